/* RDS instances as RDS itself describes them: status, what waits to be applied, how far a snapshot
 * is. One DescribeDBInstances and one DescribeDBSnapshots for all instances of an account that
 * anybody reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/call.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/loop.h"
#include "plugin/collector.h"
#include "shared_source.h"

#define PAGES_MAX 100
#define CALL_MS 12000

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

enum question { INSTANCES, SNAPSHOTS, QUESTIONS };

static const struct {
    const char *action, *list, *item;
} questions[QUESTIONS] = {
    [INSTANCES] = {"DescribeDBInstances", "DescribeDBInstancesResult/DBInstances", "DBInstance"},
    [SNAPSHOTS] = {"DescribeDBSnapshots", "DescribeDBSnapshotsResult/DBSnapshots", "DBSnapshot"},
};

/* What this poll found for a watch. */
struct finding {
    bool there;
    int64_t created_ms; /* of the newest snapshot so far */
    double value;
    char why[200]; /* "" or why there is no value */
};

struct rds {
    struct source_base base;
    struct finding *found; /* one for each watch */
    enum question at;
    int pages;
    char *token;
};

static int rds_source(const struct target *t, const struct estate *e, char *out, size_t size,
                      struct err *err)
{
    if (json_get_str(t->fields, "instance", NULL) == NULL)
        return err_set(err, ERR_INPUT,
                       "%s is no RDS instance that is known by name: give it instance = \"NAME\"",
                       t->id);
    return source_aws(t, e, "postgres", out, size, err);
}

static void *rds_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct rds), h, e, source);
}

static void rds_close(void *self)
{
    struct rds *s = self;

    mem_free(s->token);
    mem_free(s->found);
    source_base_close(s);
}

static void rds_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct rds *s = self;

    source_base_watch(s, watches, n);
    s->found = mem_realloc(s->found, (n + 1) * sizeof(*s->found));
}

static const char *instance_of(const struct watch *w)
{
    return json_get_str(w->target->fields, "instance", "");
}

static enum question asked_by(const struct watch *w)
{
    return strcmp(w->signal->name, "snapshot_progress") == 0 ? SNAPSHOTS : INSTANCES;
}

static void see_status(const struct xml *x, struct finding *f)
{
    const char *status = xml_path_text(x, "DBInstanceStatus", "");

    for (size_t i = 0; statuses[i] != NULL; i++) {
        if (strcmp(statuses[i], status) == 0) {
            f->value = (double)i;
            return;
        }
    }
    snprintf(f->why, sizeof(f->why), "RDS says that its status is \"%.60s\", which is not known",
             status);
}

/* What waits for a maintenance window, and parameters that wait for a reboot. */
static void see_pending(const struct xml *x, struct finding *f)
{
    const struct xml *groups = xml_child(x, "DBParameterGroups");

    f->value = (double)xml_count(xml_child(x, "PendingModifiedValues"), NULL);
    for (const struct xml *g = xml_child(groups, "DBParameterGroup"); g != NULL;
         g = xml_next(g, "DBParameterGroup"))
        f->value += strcmp(xml_path_text(g, "ParameterApplyStatus", ""), "pending-reboot") == 0;
    if (groups == NULL)
        snprintf(f->why, sizeof(f->why), "RDS's answer has no DBParameterGroups of the instance");
}

/* The newest. */
static void see_snapshot(const struct xml *x, struct finding *f)
{
    const char *name = xml_path_text(x, "DBSnapshotIdentifier", ""),
               *status = xml_path_text(x, "Status", ""),
               *progress = xml_path_text(x, "PercentProgress", "");
    char *end = NULL;
    int64_t created_ms = INT64_MAX; /* what has no time yet has only begun */
    double v = strtod(progress, &end);

    if (time_parse_iso(xml_path_text(x, "SnapshotCreateTime", ""), &created_ms) != 0)
        created_ms = INT64_MAX;
    if (f->there && created_ms <= f->created_ms)
        return;
    *f = (struct finding){.there = true, .created_ms = created_ms, .value = v};
    if (strcmp(status, "creating") != 0 && strcmp(status, "available") != 0)
        snprintf(f->why, sizeof(f->why), "snapshot %.80s is %.40s", name, status);
    else if (*progress == '\0' || *end != '\0')
        snprintf(f->why, sizeof(f->why), "snapshot %.80s has no PercentProgress", name);
}

static void see(struct rds *s, const struct xml *x)
{
    const char *name = xml_path_text(x, "DBInstanceIdentifier", "");

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];

        if (asked_by(w) != s->at || strcasecmp(instance_of(w), name) != 0)
            continue;
        if (s->at == SNAPSHOTS) {
            see_snapshot(x, &s->found[i]);
            continue;
        }
        s->found[i].there = true;
        if (strcmp(w->signal->name, "rds_status") == 0)
            see_status(x, &s->found[i]);
        else
            see_pending(x, &s->found[i]);
    }
}

/* The listing is complete: what is not in it does not exist. */
static void tell(struct rds *s)
{
    const struct collector_host *h = s->base.host;
    char why[300];

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];
        const struct finding *f = &s->found[i];

        if (asked_by(w) != s->at)
            continue;
        if (f->there && f->why[0] == '\0') {
            h->sample(h, w, s->base.asked_ms, 0, f->value);
            continue;
        }
        if (f->there)
            snprintf(why, sizeof(why), "%s", f->why);
        else if (s->at == INSTANCES)
            snprintf(why, sizeof(why),
                     "there is no RDS instance %s in account %s: correct the estate",
                     instance_of(w), s->base.name);
        else
            snprintf(why, sizeof(why), "%s has no manual snapshot", instance_of(w));
        h->unknown(h, w, why);
    }
}

static void ask(struct rds *s);

static void failed(struct rds *s, const char *what)
{
    struct err e = ERR_INIT;

    err_set(&e, ERR_INPUT, "RDS of account %s: %s %s", s->base.name, questions[s->at].action, what);
    s->base.host->failed(s->base.host, &e);
}

static void next_question(struct rds *s)
{
    s->at++;
    s->pages = 0;
    mem_free(s->token);
    s->token = NULL;
    ask(s);
}

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct rds *s = arg;
    const struct xml *list;
    const char *token;
    char path[64];

    s->base.call = NULL;
    if (e != NULL) {
        s->base.host->failed(s->base.host, e);
        return;
    }
    list = xml_path(a->xml, questions[s->at].list);
    if (list == NULL) {
        failed(s, "gave no list");
        return;
    }
    for (const struct xml *x = xml_child(list, questions[s->at].item); x != NULL;
         x = xml_next(x, questions[s->at].item))
        see(s, x);
    snprintf(path, sizeof(path), "%sResult/Marker", questions[s->at].action);
    token = xml_path_text(a->xml, path, "");
    if (*token == '\0') {
        tell(s);
        next_question(s);
    } else if (++s->pages >= PAGES_MAX || (s->token != NULL && strcmp(s->token, token) == 0)) {
        failed(s, "has pages that do not end");
    } else {
        mem_free(s->token);
        s->token = mem_strdup(token);
        ask(s);
    }
}

/* The instances that this question is about, each once; how many there are. */
static size_t add_instances(const struct rds *s, struct aws_params *p)
{
    size_t n = 0;

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const char *name = instance_of(s->base.watches[i]);
        size_t k = 0;

        if (asked_by(s->base.watches[i]) != s->at)
            continue;
        while (k < i && (asked_by(s->base.watches[k]) != s->at ||
                         strcasecmp(instance_of(s->base.watches[k]), name) != 0))
            k++;
        if (k == i)
            aws_paramf(p, name, "Filters.Filter.1.Values.Value.%zu", ++n);
    }
    return n;
}

static void ask(struct rds *s)
{
    const struct host_io *io = s->base.host->io;
    struct err e = ERR_INIT;
    struct aws *aws;
    struct aws_params *p = NULL;
    struct aws_request r = {.service = AWS_RDS, .deadline_ms = CALL_MS};

    for (; s->at < QUESTIONS; s->at++) {
        p = aws_params_new();
        if (add_instances(s, p) > 0)
            break;
        aws_params_free(p);
    }
    if (s->at == QUESTIONS) {
        s->base.host->done(s->base.host);
        return;
    }
    aws = io->aws(io->arg, s->base.name, &e);
    if (aws == NULL) {
        aws_params_free(p);
        s->base.host->failed(s->base.host, &e);
        return;
    }
    aws_param(p, "Filters.Filter.1.Name", "db-instance-id");
    if (s->at == SNAPSHOTS)
        aws_param(p, "SnapshotType", "manual");
    aws_param(p, "Marker", s->token);
    r.action = questions[s->at].action;
    r.params = p;
    if (s->token == NULL)
        s->base.asked_ms = loop_wall_ms(io->loop);
    s->base.call = aws_send(aws, &r, answered, s);
    aws_params_free(p);
}

static void rds_poll(void *self)
{
    struct rds *s = self;

    memset(s->found, 0, (s->base.nwatches + 1) * sizeof(*s->found));
    mem_free(s->token);
    s->token = NULL;
    s->pages = 0;
    s->at = INSTANCES;
    ask(s);
}

static int64_t rds_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 30000);
}

static const struct option period_options[] = {
    {.name = "period",
     .type = OPT_DURATION,
     .fallback = "30s",
     .min = 1000,
     .max = 3600000,
     .help = "how often RDS is asked"},
};

#define COMMON .targets = "postgres", .interval_ms = rds_interval, .default_interval_ms = 30000

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
     .summary = "how far the newest manual snapshot of the RDS instance is; 100% when it is there",
     .source = "DescribeDBSnapshots: PercentProgress",
     .unit = UNIT_PERCENT,
     .options = OPTIONS(period_options),
     COMMON},
};

static const char *const rds_permissions[] = {"rds:DescribeDBInstances *",
                                              "rds:DescribeDBSnapshots *", NULL};

const struct collector_type rds_collector = {
    .name = "rds",
    .summary = "RDS instances and their snapshots",
    .signals = rds_signals,
    .nsignals = sizeof(rds_signals) / sizeof(*rds_signals),
    .permissions = rds_permissions,
    .deadline_ms = 30000,
    .source = rds_source,
    .open = rds_open,
    .watch = rds_watch,
    .poll = rds_poll,
    .cancel = source_base_cancel,
    .close = rds_close,
    .migrate = source_base_migrate,
};
