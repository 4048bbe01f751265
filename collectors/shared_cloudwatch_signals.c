/* The signals that are metrics of CloudWatch, and the metrics that each is made of. */
#include "shared_cloudwatch_signals.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "shared_source.h"

#define MINUTE_MS 60000
#define DIMENSIONS_MAX 30 /* of the model of CloudWatch: Dimensions */

/* A dimension of a metric: the value of a field of the target, or its name. */
struct dimension {
    const char *name;
    const char *field;   /* NULL: the target's name */
    const char *written; /* as the field is written, for who left it out */
};

struct row {
    const char *signal;
    const char *kind; /* whose metric it is: the series' target, or the one of that kind it names */
    const char *namespace, *metric, *stat;
    const char *whole; /* the metric that it is a share of; NULL: it is none */
    double scale;      /* to the signal's base unit */
    struct dimension by[2];
    const char *negative;
};

#define BY_ALB                                                                                     \
    {                                                                                              \
        {"LoadBalancer", "alb", "app/NAME/ID"},                                                    \
        {                                                                                          \
            "TargetGroup", "target_group", "targetgroup/NAME/ID"                                   \
        }                                                                                          \
    }
#define BY_INSTANCE                                                                                \
    {                                                                                              \
        {                                                                                          \
            "DBInstanceIdentifier", "instance", "NAME"                                             \
        }                                                                                          \
    }
#define BY_PROXY                                                                                   \
    {                                                                                              \
        {                                                                                          \
            "ProxyName", NULL, NULL                                                                \
        }                                                                                          \
    }

/* Metrics of RDS instances: "Amazon CloudWatch metrics for Amazon RDS" in its user guide: sizes in
 * bytes, ReplicaLag in seconds, -1 where replication is not active. Of RDS Proxy: "Monitoring RDS
 * Proxy metrics": each of the machines that serve a proxy publishes its own point a minute, so that
 * counts are summed over them; DatabaseConnectionsBorrowLatency is in microseconds. */
static const struct row rows[] = {
    {"asg_cpu",
     "asg",
     "AWS/EC2",
     "CPUUtilization",
     "Average",
     NULL,
     1,
     {{"AutoScalingGroupName", NULL, NULL}},
     NULL},
    {"alb_p99", "asg", "AWS/ApplicationELB", "TargetResponseTime", "p99", NULL, 1000, BY_ALB, NULL},
    {"alb_avg", "asg", "AWS/ApplicationELB", "TargetResponseTime", "Average", NULL, 1000, BY_ALB,
     NULL},
    {"alb_requests", "asg", "AWS/ApplicationELB", "RequestCount", "Sum", NULL, 1, BY_ALB, NULL},
    {"alb_5xx", "asg", "AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", "RequestCount", 1,
     BY_ALB, NULL},
    {"db_cpu", "postgres", "AWS/RDS", "CPUUtilization", "Average", NULL, 1, BY_INSTANCE, NULL},
    {"db_memory_free", "postgres", "AWS/RDS", "FreeableMemory", "Average", NULL, 1, BY_INSTANCE,
     NULL},
    {"db_storage_free", "postgres", "AWS/RDS", "FreeStorageSpace", "Average", NULL, 1, BY_INSTANCE,
     NULL},
    {"rds_replica_lag", "postgres", "AWS/RDS", "ReplicaLag", "Average", NULL, 1000, BY_INSTANCE,
     "RDS says that replication is not active (ReplicaLag -1)"},
    {"proxy_clients", "proxy", "AWS/RDS", "ClientConnections", "Sum", NULL, 1, BY_PROXY, NULL},
    {"proxy_connections", "proxy", "AWS/RDS", "DatabaseConnections", "Sum", NULL, 1, BY_PROXY,
     NULL},
    {"proxy_pinned", "proxy", "AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", "Sum", NULL,
     1, BY_PROXY, NULL},
    {"proxy_borrow_latency", "proxy", "AWS/RDS", "DatabaseConnectionsBorrowLatency", "Average",
     NULL, 0.001, BY_PROXY, NULL},
    {"proxy_pool_used", "proxy", "AWS/RDS", "DatabaseConnections", "Sum",
     "MaxDatabaseConnectionsAllowed", 1, BY_PROXY, NULL},
};

static const struct row *row_of(const char *signal)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (strcmp(rows[i].signal, signal) == 0)
            return &rows[i];
    }
    return NULL;
}

/* The metric's dimensions, the first n of its row, for that owner; NULL with why. */
static struct json *dimensions(const struct row *r, const struct target *owner, size_t n, char *why,
                               size_t size)
{
    struct json *d = json_new_map();

    for (size_t i = 0; i < n && r->by[i].name != NULL; i++) {
        const struct dimension *by = &r->by[i];
        const char *value =
            by->field != NULL ? json_get_str(owner->fields, by->field, NULL) : owner->name;

        if (value == NULL) {
            snprintf(why, size, "%.60s has no %s: give it %s = \"%s\"", owner->id, by->field,
                     by->field, by->written);
            json_free(d);
            return NULL;
        }
        json_set_str(d, by->name, value);
    }
    return d;
}

static void read_metric(struct cw_set *set, const struct row *r, const struct target *owner,
                        const struct watch *w, struct cw_reading *out)
{
    struct json *d = dimensions(r, owner, 2, out->why, sizeof(out->why)), *balancer;
    const char *stat = json_get_str(w->opts, "stat", r->stat);
    int64_t period_ms = w->interval_ms;

    if (d == NULL)
        return;
    out->scale = r->scale;
    out->negative = r->negative;
    out->a = cw_want(set, r->namespace, r->metric, d, stat, period_ms, NULL);
    if (r->whole != NULL) {
        out->form = CW_SHARE;
        out->c = cw_want(set, r->namespace, r->whole, d, stat, period_ms, NULL);
    }
    if (strcmp(r->signal, "alb_5xx") == 0) {
        /* AWS has these by LoadBalancer only ("CloudWatch metrics for your Application Load
         * Balancer"), whichever group they were meant for: they are a share of all of the
         * balancer's requests, not of this group's, which others' errors would be blamed on. */
        balancer = dimensions(r, owner, 1, out->why, sizeof(out->why));
        out->form = CW_ERRORS;
        out->b =
            cw_want(set, r->namespace, "HTTPCode_ELB_5XX_Count", balancer, stat, period_ms, NULL);
        out->d = cw_want(set, r->namespace, r->whole, balancer, stat, period_ms, NULL);
        json_free(balancer);
    }
    json_free(d);
}

bool cw_lacks(const struct signal *g, const struct target *t, const struct estate *e, char *why,
              size_t size)
{
    const struct row *r = row_of(g->name);
    const struct target *owner = r != NULL ? estate_related(e, t, r->kind) : NULL;
    struct json *d = owner != NULL ? dimensions(r, owner, 2, why, size) : NULL;

    json_free(d);
    return owner != NULL && d == NULL;
}

const char *cw_owner_kind(const struct signal *g)
{
    const struct row *r = row_of(g->name);

    return r != NULL ? r->kind : strncmp(g->name, "cache_", 6) == 0 ? "cache" : NULL;
}

void cw_read(struct cw_set *set, const struct estate *e, const struct watch *w,
             struct cw_reading *out)
{
    const char *name = w->signal->name;
    const struct row *r = row_of(name);
    const struct target *owner;

    cw_reading_clear(out);
    if (w->signal->bad_period(w->target, e, w->opts, out->why, sizeof(out->why)))
        return;
    if (strcmp(name, "cloudwatch") == 0) {
        out->a = cw_want(set, json_get_str(w->opts, "namespace", ""),
                         json_get_str(w->opts, "metric", ""), json_get(w->opts, "dimensions"),
                         json_get_str(w->opts, "stat", "Average"), w->interval_ms,
                         json_get_str(w->opts, "expr", NULL));
        return;
    }
    if (r == NULL) {
        snprintf(out->why, sizeof(out->why), "no metric is known for %.60s", name);
        return;
    }
    owner = estate_related(e, w->target, r->kind);
    if (owner == NULL)
        snprintf(out->why, sizeof(out->why),
                 "%.60s names no %s of the estate: give it %s = \"...\"", w->target->id, r->kind,
                 r->kind);
    else
        read_metric(set, r, owner, w, out);
}

void cw_reading_clear(struct cw_reading *r)
{
    mem_free(r->members);
    *r = (struct cw_reading){.a = CW_NONE, .b = CW_NONE, .c = CW_NONE, .d = CW_NONE, .scale = 1};
}

/* Descriptors */

static int64_t cpu_interval(const struct target *t, const struct json *opts)
{
    /* What a service's group has is not known here: it is told when it is asked. */
    return source_period_ms(opts,
                            json_get_bool(t->fields, "detailed", true) ? MINUTE_MS : 5 * MINUTE_MS);
}

static int64_t minute_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, MINUTE_MS);
}

bool cw_bad_period(const struct target *t, const struct estate *e, const struct json *opts,
                   char *text, size_t size)
{
    int64_t ms = source_period_ms(opts, MINUTE_MS);
    char period[UNIT_TEXT];

    (void)t;
    (void)e;
    if (cw_period_exists(ms))
        return false;
    snprintf(text, size,
             "CloudWatch has no period of %s: write 1s, 5s, 10s, 20s, 30s or whole minutes",
             unit_format_duration(period, sizeof(period), ms));
    return true;
}

/* "Basic monitoring and detailed monitoring" of CloudWatch's user guide: EC2 publishes each 5
 * minutes, or each minute where detailed monitoring is on. */
static bool bad_cpu_period(const struct target *t, const struct estate *e, const struct json *opts,
                           char *text, size_t size)
{
    const struct target *group = estate_related(e, t, "asg");

    if (cw_bad_period(t, e, opts, text, size))
        return true;
    if (group == NULL || json_get_bool(group->fields, "detailed", true) ||
        cpu_interval(t, opts) >= 5 * (int64_t)MINUTE_MS)
        return false;
    snprintf(text, size, "%.60s has basic monitoring, a point each 5m: write period = \"5m\"",
             group->id);
    return true;
}

/* A count of what is there at a minute is summed over the machines that serve a proxy: over a
 * longer period the minutes would be added up, too. */
static bool bad_sum_period(const struct target *t, const struct estate *e, const struct json *opts,
                           char *text, size_t size)
{
    if (cw_bad_period(t, e, opts, text, size))
        return true;
    if (source_period_ms(opts, MINUTE_MS) <= MINUTE_MS)
        return false;
    snprintf(
        text, size,
        "AWS publishes it each minute, and a longer period adds the minutes up: write period = "
        "\"1m\"");
    return true;
}

#define PERIOD(default_period, more)                                                               \
    {                                                                                              \
        .name = "period", .type = OPT_DURATION, .fallback = (default_period), .min = 1000,         \
        .max = 86400000, .help = "period of its points" more                                       \
    }

static const struct option cpu_options[] = {
    PERIOD(NULL, "; without it 1m, or 5m where the group is not detailed")};
static const struct option period_options[] = {PERIOD("1m", "")};
static const struct option errors_options[] = {
    {.name = "min_requests",
     .type = OPT_COUNT,
     .fallback = "100",
     .min = 1,
     .max = 1000000000,
     .help = "requests a minute below which a share says nothing: unknown; of a shorter period as "
             "much less, of a longer one the same"},
    PERIOD("1m", "")};
static const struct option latency_options[] = {
    {.name = "stat",
     .type = OPT_ENUM,
     .fallback = "Average",
     .words = "Average|p99",
     .help = "p99 exists only where AWS publishes it: unknown elsewhere"},
    PERIOD("1m", "")};
static const struct option any_options[] = {
    {.name = "namespace", .type = OPT_STRING, .required = true, .help = "\"AWS/RDS\""},
    {.name = "metric", .type = OPT_STRING, .required = true, .help = "\"CPUUtilization\""},
    {.name = "unit",
     .type = OPT_ENUM,
     .required = true,
     .words = "number|count|percent|duration|size",
     .help = "what its values are; durations in milliseconds, sizes in bytes (see expr)"},
    {.name = "dimensions",
     .type = OPT_MAP,
     .fallback = "{}",
     .help = "all dimensions that it is published with; may name \"$target.name\" and the like"},
    {.name = "stat",
     .type = OPT_STRING,
     .fallback = "Average",
     .help = "Average, Sum, Minimum, Maximum, SampleCount or a percentile, \"p99\""},
    PERIOD("1m", ""),
    {.name = "expr",
     .type = OPT_STRING,
     .help = "metric math in which the metric is m: \"m * 1000\" makes milliseconds of seconds"},
    {.name = "per",
     .type = OPT_ENUM,
     .fallback = "target",
     .words = "target|node",
     .help = "node: of each member of the cache's replication group, by CacheClusterId beside the "
             "dimensions; needs all of them"},
    {.name = "agg",
     .type = OPT_ENUM,
     .fallback = "max",
     .words = "max|sum|avg|min",
     .help = "what is made of the readings of several nodes"},
};

/* https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html */
static bool is_stat(const char *stat)
{
    static const char *const words[] = {"Average", "Sum",         "Minimum",
                                        "Maximum", "SampleCount", "IQM"};
    static const char *const shares[] = {"p", "tm", "wm", "tc", "ts"}, *const ranges[] = {
                                                                           "TM(", "WM(", "PR(",
                                                                           "TC(", "TS("};
    size_t len = strlen(stat);

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(stat, words[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        if (strncmp(stat, ranges[i], 3) == 0)
            return stat[len - 1] == ')' && strchr(stat, ':') != NULL;
    }
    for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
        size_t n = strlen(shares[i]);
        char *end;

        if (strncmp(stat, shares[i], n) == 0 && isdigit((unsigned char)stat[n]) &&
            strspn(stat + n, "0123456789.") == len - n)
            return strtod(stat + n, &end) <= 100 && *end == '\0';
    }
    return false;
}

/* CloudWatch would refuse the question each time that it is asked: a typo is told at load. */
static int any_check(const struct json *opts, struct err *e)
{
    const char *stat = json_get_str(opts, "stat", "Average");
    size_t n = json_len(json_get(opts, "dimensions"));

    if (strchr(stat, '$') == NULL && !is_stat(stat))
        return err_set(e, ERR_INPUT,
                       "CloudWatch has no statistic \"%.60s\"; write Average, Sum, Minimum, "
                       "Maximum, SampleCount or a percentile, \"p99\"",
                       stat);
    if (strcmp(json_get_str(opts, "per", "target"), "node") == 0 &&
        json_get(json_get(opts, "dimensions"), "CacheClusterId") != NULL)
        return err_set(e, ERR_INPUT,
                       "per = \"node\" gives each member's CacheClusterId itself; delete it from "
                       "dimensions");
    if (n > DIMENSIONS_MAX)
        return err_set(e, ERR_INPUT, "a metric has at most %d dimensions, got %zu", DIMENSIONS_MAX,
                       n);
    return 0;
}

#define MINUTELY .lag_ms = 180000, .default_interval_ms = MINUTE_MS, .published_ms = MINUTE_MS
#define METRIC MINUTELY, .bad_period = cw_bad_period
#define ALB "by LoadBalancer and TargetGroup"
#define RDS(metric) "AWS/RDS " metric " by DBInstanceIdentifier, Average"
#define PROXY(metrics) "AWS/RDS by ProxyName: " metrics
#define RDS_SIGNAL                                                                                 \
    .targets = "postgres", .options = OPTIONS(period_options), .interval_ms = minute_interval,     \
    METRIC
#define PROXY_SIGNAL .targets = "proxy postgres", .interval_ms = minute_interval, MINUTELY
#define PROXY_COUNT PROXY_SIGNAL, .bad_period = bad_sum_period

const struct signal cw_signals[CW_SIGNALS] = {
    {.name = "asg_cpu",
     .summary = "mean CPU of the group's instances",
     .source = "AWS/EC2 CPUUtilization by AutoScalingGroupName, Average",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(cpu_options),
     .zero_suspicious = true,
     .interval_ms = cpu_interval,
     MINUTELY,
     .bad_period = bad_cpu_period},
    {.name = "alb_p99",
     .summary = "response time that 99 of 100 requests stay below",
     .source = "AWS/ApplicationELB TargetResponseTime " ALB ", p99",
     .unit = UNIT_DURATION,
     .targets = "asg service",
     .options = OPTIONS(period_options),
     .interval_ms = minute_interval,
     METRIC},
    {.name = "alb_avg",
     .summary = "mean response time",
     .source = "AWS/ApplicationELB TargetResponseTime " ALB ", Average",
     .unit = UNIT_DURATION,
     .targets = "asg service",
     .options = OPTIONS(period_options),
     .interval_ms = minute_interval,
     METRIC},
    {.name = "alb_requests",
     .summary = "requests in a period",
     .source = "AWS/ApplicationELB RequestCount " ALB ", Sum",
     .unit = UNIT_COUNT,
     .targets = "asg service",
     .options = OPTIONS(period_options),
     .zero_suspicious = true,
     .interval_ms = minute_interval,
     METRIC},
    {.name = "alb_5xx",
     .summary = "share of requests that were answered with a 5xx: by the group's targets, of the "
                "group's requests, plus by the load balancer itself, of all of its requests; "
                "missing counts are zero while requests are counted",
     .source = "AWS/ApplicationELB HTTPCode_Target_5XX_Count / RequestCount " ALB
               " + HTTPCode_ELB_5XX_Count / RequestCount by LoadBalancer, Sum",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(errors_options),
     .interval_ms = minute_interval,
     METRIC},
    {.name = "db_cpu",
     .summary = "CPU of the RDS instance",
     .source = RDS("CPUUtilization"),
     .unit = UNIT_PERCENT,
     .zero_suspicious = true,
     RDS_SIGNAL},
    {.name = "db_memory_free",
     .summary = "memory that the RDS instance could still use",
     .source = RDS("FreeableMemory"),
     .unit = UNIT_SIZE,
     RDS_SIGNAL},
    {.name = "db_storage_free",
     .summary = "storage that the RDS instance has left",
     .source = RDS("FreeStorageSpace"),
     .unit = UNIT_SIZE,
     RDS_SIGNAL},
    {.name = "rds_replica_lag",
     .summary = "how far an RDS replica is behind its source; on a source that writes nothing it "
                "grows to 5m and falls back, because RDS switches the log that often: compare with "
                "more; unknown where replication is not active",
     .source = RDS("ReplicaLag"),
     .unit = UNIT_DURATION,
     RDS_SIGNAL},
    {.name = "proxy_clients",
     .summary = "connections of clients to the RDS proxy",
     .source = PROXY("ClientConnections, Sum"),
     .unit = UNIT_COUNT,
     .zero_suspicious = true,
     .options = OPTIONS(period_options),
     PROXY_COUNT},
    {.name = "proxy_connections",
     .summary = "connections of the RDS proxy to its database: what its pool holds",
     .source = PROXY("DatabaseConnections, Sum"),
     .unit = UNIT_COUNT,
     .options = OPTIONS(period_options),
     PROXY_COUNT},
    {.name = "proxy_pinned",
     .summary = "connections of the pool that are bound to one client's session",
     .source = PROXY("DatabaseConnectionsCurrentlySessionPinned, Sum"),
     .unit = UNIT_COUNT,
     .options = OPTIONS(period_options),
     PROXY_COUNT},
    {.name = "proxy_borrow_latency",
     .summary = "how long clients of the RDS proxy wait for a connection of the pool",
     .source = PROXY("DatabaseConnectionsBorrowLatency (microseconds), Average or p99"),
     .unit = UNIT_DURATION,
     .options = OPTIONS(latency_options),
     PROXY_SIGNAL,
     .bad_period = cw_bad_period},
    {.name = "proxy_pool_used",
     .summary = "share of the connections that the RDS proxy may open which are open",
     .source = PROXY("DatabaseConnections / MaxDatabaseConnectionsAllowed, Sum"),
     .unit = UNIT_PERCENT,
     .options = OPTIONS(period_options),
     PROXY_COUNT},
    {.name = "cloudwatch",
     .summary = "any metric",
     .source = "GetMetricData",
     .unit = UNIT_NUMBER,
     .targets = "any",
     .options = OPTIONS(any_options),
     .check = any_check,
     .interval_ms = minute_interval,
     .lag_ms = 180000,
     .default_interval_ms = MINUTE_MS,
     .bad_period = cw_bad_period},
};
