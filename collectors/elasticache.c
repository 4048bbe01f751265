/* ElastiCache replication groups as ElastiCache itself describes them: status, and whether a
 * snapshot is there. What is measured of caches comes from CloudWatch or by INFO. */
#include <stdio.h>
#include <string.h>

#include "shared_describe.h"

/* The model of ReplicationGroup.Status. */
static const char *const statuses[] = {"available",     "creating",     "modifying", "deleting",
                                       "create-failed", "snapshotting", NULL};

static const struct target *cache_of(const struct estate *e, const struct target *t)
{
    return estate_related(e, t, "cache");
}

static int elasticache_source(const struct signal *g, const struct target *t,
                              const struct estate *e, char *out, size_t size, struct err *err)
{
    const struct target *cache = cache_of(e, t);

    (void)g;
    if (cache == NULL)
        return source_no_part(t, "cache", err);
    if (json_get_str(cache->fields, "replication_group", NULL) == NULL)
        return err_set(err, ERR_INPUT,
                       "%s is no replication group that is known by name: give it "
                       "replication_group = \"NAME\"",
                       cache->id);
    return source_aws(t, e, "cache", out, size, err);
}

static const char *group_of(const struct describe *s, const struct watch *w)
{
    const struct target *cache = cache_of(s->base.estate, w->target);

    return cache != NULL ? json_get_str(cache->fields, "replication_group", "") : "";
}

static bool reads_snapshots(const struct watch *w)
{
    return strcmp(w->signal->name, "snapshot_progress") == 0;
}

static bool reads_groups(const struct watch *w)
{
    return !reads_snapshots(w);
}

static void ask_groups(const struct describe *s, struct aws_params *p)
{
    (void)s;
    (void)p; /* all of the account: one by one each would be a call */
}

static void ask_snapshots(const struct describe *s, struct aws_params *p)
{
    (void)s;
    aws_param(p, "SnapshotSource", "user"); /* made by hand, not by ElastiCache's own schedule */
}

static void see_group(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    (void)w;
    describe_word(xml_path_text(x, "Status", ""), statuses, "ElastiCache", f);
}

static void see_snapshot(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    const char *name = xml_path_text(x, "SnapshotName", ""),
               *status = xml_path_text(x, "SnapshotStatus", "");

    (void)w;
    if (!describe_newest(xml_path_text(x, "NodeSnapshots/NodeSnapshot/SnapshotCreateTime", ""), f))
        return;
    if (strcmp(status, "available") == 0)
        f->value = 100;
    else if (strcmp(status, "creating") != 0)
        snprintf(f->why, sizeof(f->why), "snapshot %.80s is %.40s", name, status);
}

static void no_group(const struct describe *s, const struct watch *w, char *why, size_t size)
{
    snprintf(why, size, "there is no replication group %s in account %s: correct the estate",
             group_of(s, w), s->base.name);
}

static void no_snapshot(const struct describe *s, const struct watch *w, char *why, size_t size)
{
    snprintf(why, size, "%s has no manual snapshot", group_of(s, w));
}

static const struct describe_list lists[] = {
    {.action = "DescribeReplicationGroups",
     .list = "ReplicationGroups",
     .item = "ReplicationGroup",
     .id = "ReplicationGroupId",
     .reads = reads_groups,
     .ask = ask_groups,
     .see = see_group,
     .absent = no_group},
    {.action = "DescribeSnapshots",
     .list = "Snapshots",
     .item = "Snapshot",
     .id = "ReplicationGroupId",
     .reads = reads_snapshots,
     .ask = ask_snapshots,
     .see = see_snapshot,
     .absent = no_snapshot,
     .many = true},
};

static const struct describe_type describes = {AWS_ELASTICACHE, "ElastiCache", lists,
                                               sizeof(lists) / sizeof(*lists), group_of};

static void *elasticache_open(const struct collector_host *h, const struct estate *e,
                              const char *source, struct err *err)
{
    (void)err;
    return describe_open(&describes, h, e, source);
}

static const struct option period_options[] = {
    DESCRIBE_PERIOD("ElastiCache"),
};

static const struct signal elasticache_signals[] = {
    {.name = "cache_status",
     .summary = "status of the replication group",
     .source = "DescribeReplicationGroups: Status",
     .unit = UNIT_ENUM,
     .words = statuses,
     .targets = "cache service",
     .options = OPTIONS(period_options),
     DESCRIBE_EVERY},
};

static const char *const elasticache_permissions[] = {"elasticache:DescribeReplicationGroups *",
                                                      NULL};

const struct collector_type elasticache_collector = {
    .name = "elasticache",
    .summary = "ElastiCache replication groups and their snapshots",
    .signals = elasticache_signals,
    .nsignals = sizeof(elasticache_signals) / sizeof(*elasticache_signals),
    .permissions = elasticache_permissions,
    .source = elasticache_source,
    .open = elasticache_open,
    DESCRIBE_PARTS,
};
