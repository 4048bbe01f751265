/* RDS proxies as RDS itself describes them: status, how large the pool may be, whether the database
 * is reached. One DescribeDBProxies for all proxies of an account; of target groups and targets AWS
 * tells one proxy a call. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "shared_describe.h"

/* The model of DBProxyStatus. */
static const char *const statuses[] = {"available",
                                       "modifying",
                                       "incompatible-network",
                                       "insufficient-resource-limits",
                                       "creating",
                                       "deleting",
                                       "suspended",
                                       "suspending",
                                       "reactivating",
                                       NULL};

static const struct target *proxy_of(const struct describe *s, const struct watch *w)
{
    return estate_related(s->base.estate, w->target, "proxy");
}

static const char *name_of(const struct describe *s, const struct watch *w)
{
    const struct target *proxy = proxy_of(s, w);

    return proxy != NULL ? proxy->name : "";
}

static const char *group_of(const struct describe *s, const struct watch *w)
{
    const struct target *proxy = proxy_of(s, w);

    return proxy != NULL ? json_get_str(proxy->fields, "target_group", "default") : "default";
}

static bool reads_proxies(const struct watch *w)
{
    return strcmp(w->signal->name, "proxy_status") == 0;
}

static bool reads_groups(const struct watch *w)
{
    return strcmp(w->signal->name, "proxy_pool_max") == 0;
}

static bool reads_targets(const struct watch *w)
{
    return strcmp(w->signal->name, "proxy_targets_available") == 0;
}

static void ask_proxies(const struct describe *s, struct aws_params *p)
{
    (void)s;
    (void)p; /* all of the account: one by one each would be a call */
}

static void ask_group(const struct describe *s, struct aws_params *p)
{
    const struct watch *w = describe_asked(s);

    aws_param(p, "DBProxyName", name_of(s, w));
    aws_param(p, "TargetGroupName", group_of(s, w));
}

static void see_proxy(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    (void)w;
    describe_word(xml_path_text(x, "Status", ""), statuses, "RDS", f);
}

/* MaxConnectionsPercent: 1 to 100 (the model of ConnectionPoolConfiguration). */
static void see_group(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    (void)w;
    f->there = true;
    f->value = source_decimal(xml_path_text(x, "ConnectionPoolConfig/MaxConnectionsPercent", NULL));
    if (isnan(f->value))
        snprintf(f->why, sizeof(f->why), "RDS's answer has no MaxConnectionsPercent of the pool");
}

/* A cluster is listed beside its instances, without a health of its own. */
static void see_target(const struct watch *w, const struct xml *x, struct describe_found *f)
{
    const char *type = xml_path_text(x, "Type", ""),
               *state = xml_path_text(x, "TargetHealth/State", "");

    (void)w;
    if (strcmp(state, "AVAILABLE") == 0)
        f->value++;
    else if (*state == '\0' && strcmp(type, "TRACKED_CLUSTER") != 0)
        snprintf(f->why, sizeof(f->why), "RDS's answer has no state of the target %.80s",
                 xml_path_text(x, "RdsResourceId", "(without a name)"));
}

static void no_proxy(const struct describe *s, const struct watch *w, char *why, size_t size)
{
    snprintf(why, size, "there is no RDS proxy %s in account %s: correct the estate", name_of(s, w),
             s->base.name);
}

static void no_group(const struct describe *s, const struct watch *w, char *why, size_t size)
{
    snprintf(why, size,
             "there is no target group %s of an RDS proxy %s in account %s: correct the estate",
             group_of(s, w), name_of(s, w), s->base.name);
}

/* The errors of both calls in the model, which are on the wire as they are there. */
static const char *const gone[] = {"DBProxyNotFoundFault", "DBProxyTargetGroupNotFoundFault", NULL};

static const struct describe_list lists[] = {
    {.action = "DescribeDBProxies",
     .list = "DBProxies",
     .item = "member",
     .id = "DBProxyName",
     .reads = reads_proxies,
     .ask = ask_proxies,
     .see = see_proxy,
     .absent = no_proxy},
    {.action = "DescribeDBProxyTargetGroups",
     .list = "TargetGroups",
     .item = "member",
     .id = "DBProxyName",
     .reads = reads_groups,
     .ask = ask_group,
     .see = see_group,
     .absent = no_group,
     .gone = gone},
    {.action = "DescribeDBProxyTargets",
     .list = "Targets",
     .item = "member",
     .reads = reads_targets,
     .ask = ask_group,
     .see = see_target,
     .absent = no_group,
     .many = true,
     .counts = true,
     .gone = gone},
};

static const struct describe_type describes = {AWS_RDS, "RDS", lists,
                                               sizeof(lists) / sizeof(*lists), name_of};

static int proxy_source(const struct signal *g, const struct target *t, const struct estate *e,
                        char *out, size_t size, struct err *err)
{
    (void)g;
    return source_aws(t, e, "proxy", out, size, err);
}

static void *proxy_open(const struct collector_host *h, const struct estate *e, const char *source,
                        struct err *err)
{
    (void)err;
    return describe_open(&describes, h, e, source);
}

static const struct option period_options[] = {
    DESCRIBE_PERIOD("RDS"),
};

#define COMMON .targets = "proxy postgres", .options = OPTIONS(period_options), DESCRIBE_EVERY

static const struct signal proxy_signals[] = {
    {.name = "proxy_status",
     .summary = "status of the RDS proxy",
     .source = "DescribeDBProxies: Status",
     .unit = UNIT_ENUM,
     .words = statuses,
     COMMON},
    {.name = "proxy_pool_max",
     .summary = "share of the database's max_connections that the RDS proxy may open: what "
                "`proxy_pool` sets",
     .source = "DescribeDBProxyTargetGroups: MaxConnectionsPercent of the target group",
     .unit = UNIT_PERCENT,
     COMMON},
    {.name = "proxy_targets_available",
     .summary = "databases behind the RDS proxy that it reaches; 0 where none is registered",
     .source = "DescribeDBProxyTargets: State AVAILABLE",
     .unit = UNIT_COUNT,
     COMMON},
};

static const char *const proxy_permissions[] = {"rds:DescribeDBProxies *",
                                                "rds:DescribeDBProxyTargetGroups *",
                                                "rds:DescribeDBProxyTargets *", NULL};

const struct collector_type rds_proxy_collector = {
    .name = "rds_proxy",
    .summary = "RDS proxies, their pools and the databases behind them",
    .signals = proxy_signals,
    .nsignals = sizeof(proxy_signals) / sizeof(*proxy_signals),
    .permissions = proxy_permissions,
    .source = proxy_source,
    .open = proxy_open,
    DESCRIBE_PARTS,
};
