/* RDS instances as RDS itself describes them: status, what waits to be applied, how far a snapshot
 * is. One DescribeDBInstances and one DescribeDBSnapshots for all instances of an account that
 * anybody reads. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared_describe.h"

/* "Viewing Amazon RDS DB instance status" of the user guide. */
static const char *const statuses[] = {"available",
                                       "backing-up",
                                       "configuring-enhanced-monitoring",
                                       "configuring-iam-database-auth",
                                       "configuring-log-exports",
                                       "converting-to-vpc",
                                       "creating",
                                       "delete-precheck",
                                       "deleting",
                                       "failed",
                                       "inaccessible-encryption-credentials",
                                       "inaccessible-encryption-credentials-recoverable",
                                       "incompatible-create",
                                       "incompatible-network",
                                       "incompatible-option-group",
                                       "incompatible-parameters",
                                       "incompatible-restore",
                                       "insufficient-capacity",
                                       "maintenance",
                                       "modifying",
                                       "moving-to-vpc",
                                       "rebooting",
                                       "renaming",
                                       "resetting-master-credentials",
                                       "restore-error",
                                       "starting",
                                       "stopped",
                                       "stopping",
                                       "storage-config-upgrade",
                                       "storage-full",
                                       "storage-initialization",
                                       "storage-optimization",
                                       "upgrading",
                                       NULL};

static int rds_source(const struct signal *g, const struct target *t, const struct estate *e,
                      char *out, size_t size, struct err *err)
{
    (void)g;
    if (json_get_str(t->fields, "instance", NULL) == NULL)
        return err_set(err, ERR_INPUT,
                       "%s is no RDS instance that is known by name: give it instance = \"NAME\"",
                       t->id);
    return source_aws(t, e, "postgres", out, size, err);
}

static const char *instance_of(const struct describe *s, const struct watch *w)
{
    (void)s;
    return json_get_str(w->target->fields, "instance", "");
}

static bool reads_snapshots(const struct watch *w)
{
    return strcmp(w->signal->name, "snapshot_progress") == 0;
}

static bool reads_instances(const struct watch *w)
{
    return !reads_snapshots(w);
}

/* What waits for a maintenance window, and parameters that wait for a reboot. */
static void see_pending(const struct xml *x, struct describe_found *f)
{
    const struct xml *groups = xml_child(x, "DBParameterGroups");

    /* An empty list there waits for nothing. */
    f->value = 0;
    for (const struct xml *v = xml_child(xml_child(x, "PendingModifiedValues"), NULL); v != NULL;
         v = xml_next(v, NULL))
        f->value += !xml_is_empty(v);
    for (const struct xml *g = xml_child(groups, "DBParameterGroup"); g != NULL;
         g = xml_next(g, "DBParameterGroup"))
        f->value += strcmp(xml_path_text(g, "ParameterApplyStatus", ""), "pending-reboot") == 0;
    if (groups == NULL)
        snprintf(f->why, sizeof(f->why), "RDS's answer has no DBParameterGroups of the instance");
}

static void see_instance(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    f->there = true;
    if (strcmp(w->signal->name, "rds_status") == 0)
        describe_word(xml_path_text(x, "DBInstanceStatus", ""), statuses, "RDS", f);
    else
        see_pending(x, f);
}

static void see_snapshot(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    const char *name = xml_path_text(x, "DBSnapshotIdentifier", ""),
               *status = xml_path_text(x, "Status", ""),
               *progress = xml_path_text(x, "PercentProgress", "");

    (void)w;
    if (!describe_newest(xml_path_text(x, "SnapshotCreateTime", ""), f))
        return;
    f->value = source_decimal(progress);
    if (strcmp(status, "creating") != 0 && strcmp(status, "available") != 0)
        snprintf(f->why, sizeof(f->why), "snapshot %.80s is %.40s", name, status);
    else if (isnan(f->value))
        snprintf(f->why, sizeof(f->why), "snapshot %.80s has no PercentProgress", name);
}

static void no_instance(const struct describe *s, const struct watch *w, char *why, size_t size)
{
    snprintf(why, size, "there is no RDS instance %s in account %s: correct the estate",
             instance_of(s, w), s->base.name);
}

static void no_snapshot(const struct describe *s, const struct watch *w, char *why, size_t size)
{
    snprintf(why, size, "%s has no manual snapshot", instance_of(s, w));
}

/* The instances that this question is about, each once. */
static void ask_instances(const struct describe *s, struct aws_params *p)
{
    bool (*reads)(const struct watch *w) = s->type->lists[s->at].reads;
    size_t n = 0;

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const char *name = instance_of(s, s->base.watches[i]);
        size_t k = 0;

        if (!reads(s->base.watches[i]))
            continue;
        while (k < i && (!reads(s->base.watches[k]) ||
                         strcasecmp(instance_of(s, s->base.watches[k]), name) != 0))
            k++;
        if (k == i)
            aws_paramf(p, name, "Filters.Filter.1.Values.Value.%zu", ++n);
    }
    aws_param(p, "Filters.Filter.1.Name", "db-instance-id");
}

static void ask_snapshots(const struct describe *s, struct aws_params *p)
{
    ask_instances(s, p);
    aws_param(p, "SnapshotType", "manual");
}

static const struct describe_list lists[] = {
    {.action = "DescribeDBInstances",
     .list = "DBInstances",
     .item = "DBInstance",
     .id = "DBInstanceIdentifier",
     .reads = reads_instances,
     .ask = ask_instances,
     .see = see_instance,
     .absent = no_instance},
    {.action = "DescribeDBSnapshots",
     .list = "DBSnapshots",
     .item = "DBSnapshot",
     .id = "DBInstanceIdentifier",
     .reads = reads_snapshots,
     .ask = ask_snapshots,
     .see = see_snapshot,
     .absent = no_snapshot,
     .many = true},
};

static const struct describe_type describes = {AWS_RDS, "RDS", lists,
                                               sizeof(lists) / sizeof(*lists), instance_of};

static void *rds_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)err;
    return describe_open(&describes, h, e, source);
}

/* A snapshot of a cache is ElastiCache's. */
static const char *snapshot_collector(const struct target *t, const struct estate *e)
{
    (void)e;
    return strcmp(t->kind, "cache") == 0 ? "elasticache" : NULL;
}

static const struct option period_options[] = {
    DESCRIBE_PERIOD("RDS"),
};

#define COMMON .targets = "postgres", DESCRIBE_EVERY

static const char *const of_caches[] = {"elasticache:DescribeSnapshots *", NULL};

static const struct signal rds_signals[] = {
    {.name = "rds_status",
     .summary = "status of the RDS instance",
     .source = "DescribeDBInstances: DBInstanceStatus",
     .unit = UNIT_ENUM,
     .words = statuses,
     .options = OPTIONS(period_options),
     COMMON},
    {.name = "rds_pending",
     .summary = "changes of the RDS instance that wait for its maintenance window, and parameter "
                "groups that wait for a reboot",
     .source = "DescribeDBInstances: members of PendingModifiedValues, DBParameterGroups whose "
               "ParameterApplyStatus is pending-reboot",
     .unit = UNIT_COUNT,
     .options = OPTIONS(period_options),
     COMMON},
    {.name = "snapshot_progress",
     .summary = "how far the newest manual snapshot is; 100% when it is there. Of a cache 0% until "
                "then: ElastiCache tells no more",
     .source = "DescribeDBSnapshots: PercentProgress; of a cache DescribeSnapshots: SnapshotStatus",
     .unit = UNIT_PERCENT,
     .options = OPTIONS(period_options),
     .targets = "postgres cache",
     DESCRIBE_EVERY,
     .collector = snapshot_collector,
     .other_permissions = of_caches},
};

static const char *const rds_permissions[] = {"rds:DescribeDBInstances *",
                                              "rds:DescribeDBSnapshots *", NULL};

const struct collector_type rds_collector = {
    .name = "rds",
    .summary = "RDS instances and their snapshots",
    .signals = rds_signals,
    .nsignals = sizeof(rds_signals) / sizeof(*rds_signals),
    .permissions = rds_permissions,
    .source = rds_source,
    .open = rds_open,
    DESCRIBE_PARTS,
};
