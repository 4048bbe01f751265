/* proxy_pool: how many connections an RDS proxy may open to its database, as a percentage of the
 * database's max_connections. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "aws/call.h"
#include "base/mem.h"
#include "shared_slots.h"

#define MINUTE_MS 60000
#define BACK_MINUTES 5 /* points come late */

/* The names in what is seen, in plans and in the states of policies' tests. */
#define PERCENT "pool_percent"
#define IDLE "pool_idle"

/* Looking */

static const struct target *proxy_of(const struct action_call *c)
{
    return estate_related(c->estate, c->target, "proxy");
}

static const char *account_of(const struct target *proxy)
{
    return json_get_str(proxy->fields, "aws", "");
}

static void ask_proxy(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)seen;
    aws_param(p, "DBProxyName", proxy_of(c)->name);
}

static const char *group_of(const struct target *proxy)
{
    return json_get_str(proxy->fields, "target_group", "default");
}

static void ask_group(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    ask_proxy(c, seen, p);
    aws_param(p, "TargetGroupName", group_of(proxy_of(c)));
}

/* What the pool holds: DatabaseConnections, summed over the machines that serve the proxy, each of
 * which publishes a point a minute ("Monitoring RDS Proxy metrics"). */
static void ask_open(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    struct err e = ERR_INIT;
    struct aws *aws = c->io->aws(c->io->arg, account_of(proxy_of(c)), &e);
    int64_t end_ms = aws_wall_ms(aws) / MINUTE_MS * MINUTE_MS;

    (void)seen;
#define QUERY "MetricDataQueries.member.1."
    aws_param(p, QUERY "Id", "open");
    aws_param(p, QUERY "MetricStat.Metric.Namespace", "AWS/RDS");
    aws_param(p, QUERY "MetricStat.Metric.MetricName", "DatabaseConnections");
    aws_param(p, QUERY "MetricStat.Metric.Dimensions.member.1.Name", "ProxyName");
    aws_param(p, QUERY "MetricStat.Metric.Dimensions.member.1.Value", proxy_of(c)->name);
    aws_param(p, QUERY "MetricStat.Period", "60");
    aws_param(p, QUERY "MetricStat.Stat", "Sum");
#undef QUERY
    aws_param_time(p, "StartTime", end_ms - BACK_MINUTES * (int64_t)MINUTE_MS);
    aws_param_time(p, "EndTime", end_ms);
    aws_param(p, "ScanBy", "TimestampDescending");
}

static void see_proxy(const struct action_call *c, const struct xml *result, struct json *seen,
                      struct err *e)
{
    const struct xml *x = xml_path(result, "DBProxies/member");

    (void)e;
    for (; x != NULL; x = xml_next(x, "member")) {
        if (strcmp(xml_path_text(x, "DBProxyName", ""), proxy_of(c)->name) == 0)
            json_set_str(seen, "proxy_status", xml_path_text(x, "Status", "unknown"));
    }
}

static void see_group(const struct action_call *c, const struct xml *result, struct json *seen,
                      struct err *e)
{
    const char *name = group_of(proxy_of(c));
    const struct xml *x = xml_path(result, "TargetGroups/member"), *config;
    struct json *filters;

    (void)e;
    while (x != NULL && strcmp(xml_path_text(x, "TargetGroupName", ""), name) != 0)
        x = xml_next(x, "member");
    config = xml_child(x, "ConnectionPoolConfig");
    if (config == NULL)
        return;
    json_set_str(seen, "group_status", xml_path_text(x, "Status", "unknown"));
    aws_see_int(seen, PERCENT, xml_path_text(config, "MaxConnectionsPercent", NULL));
    aws_see_int(seen, IDLE, xml_path_text(config, "MaxIdleConnectionsPercent", NULL));
    aws_see_int(seen, "borrow_timeout", xml_path_text(config, "ConnectionBorrowTimeout", NULL));
    if (*xml_path_text(config, "InitQuery", "") != '\0')
        json_set_str(seen, "init_query", xml_path_text(config, "InitQuery", ""));
    filters = json_set(seen, "pinning_filters", json_new_list());
    for (const struct xml *f = xml_path(config, "SessionPinningFilters/member"); f != NULL;
         f = xml_next(f, "member"))
        json_add(filters, json_new_str(xml_text(f, "")));
}

static void see_targets(const struct action_call *c, const struct xml *result, struct json *seen,
                        struct err *e)
{
    struct json *list = json_get_mut(seen, "targets");

    (void)c;
    (void)e;
    for (const struct xml *x = xml_path(result, "Targets/member"); x != NULL;
         x = xml_next(x, "member")) {
        struct json *t = json_add(list, json_new_map());

        json_set_str(t, "id", xml_path_text(x, "RdsResourceId", ""));
        json_set_str(t, "state", xml_path_text(x, "TargetHealth/State", "unknown"));
        json_set_str(t, "reason", xml_path_text(x, "TargetHealth/Reason", ""));
    }
}

static void see_open(const struct action_call *c, const struct xml *result, struct json *seen,
                     struct err *e)
{
    const struct xml *r = xml_path(result, "MetricDataResults/member");
    const struct xml *values = xml_child(r, "Values"), *times = xml_child(r, "Timestamps");
    const char *text = xml_path_text(values, "member", "");
    char *end = NULL;
    double v = strtod(text, &end);

    (void)c;
    (void)e;
    if (*text != '\0' && text[strspn(text, "0123456789+-.eE")] == '\0' && *end == '\0' && v >= 0 &&
        v < 1e6 && xml_count(values, "member") == xml_count(times, "member"))
        json_set_int(seen, "pool_open", (int64_t)v);
}

static const struct aws_question questions[] = {
    {.service = AWS_RDS, .action = "DescribeDBProxies", .ask = ask_proxy, .take = see_proxy},
    {.service = AWS_RDS,
     .action = "DescribeDBProxyTargetGroups",
     .page = "Marker",
     .ask = ask_group,
     .take = see_group},
    {.service = AWS_RDS,
     .action = "DescribeDBProxyTargets",
     .page = "Marker",
     .ask = ask_group,
     .take = see_targets},
    {.service = AWS_CLOUDWATCH, .action = "GetMetricData", .ask = ask_open, .take = see_open},
};

static void pool_observe(struct action_call *c)
{
    const struct target *proxy = proxy_of(c),
                        *database = proxy != NULL ? estate_database(c->estate, c->target) : NULL;
    struct pg_question slots = {.server = database, .sql = slots_sql, .take = slots_take};
    struct json *seen = json_new_map();

    /* Nothing to ask about is something seen: the plan refuses with it. */
    if (proxy == NULL)
        json_set_strf(seen, "missing", "%s names no proxy of the estate: there is no pool to widen",
                      c->target->id);
    else if (database == NULL)
        json_set_strf(seen, "missing",
                      "no postgres of the estate names %s: give one proxy = \"%s\", so that its "
                      "max_connections can be read",
                      proxy->id, proxy->name);
    if (proxy == NULL || database == NULL) {
        aws_observe(c, NULL, NULL, 0, NULL, seen, NULL);
        return;
    }
    json_set(seen, "targets", json_new_list());
    json_set_str(seen, "proxy", proxy->name);
    json_set_str(seen, "target_group", group_of(proxy));
    if (json_get_str(database->fields, "instance", NULL) != NULL)
        json_set_str(seen, "instance", json_get_str(database->fields, "instance", ""));
    aws_observe(c, account_of(proxy), questions, sizeof(questions) / sizeof(*questions), &slots,
                seen, NULL);
}

/* Thinking */

/* What was seen, checked. A test may leave out what is in order. */
struct pool {
    int64_t percent, idle, max_connections, usable, used, open;
};

static int read_pool(const struct json *seen, struct pool *p, struct err *e)
{
    struct slots slots;
    bool known = slots_read(seen, &slots);
    const char *missing = json_get_str(seen, "missing", NULL);

    if (missing != NULL)
        return err_set(e, ERR_DENIED, "%s", missing);
    p->percent = json_get_int(seen, PERCENT, -1);
    p->idle = json_get_int(seen, IDLE, -1);
    p->max_connections = slots.max_connections;
    p->used = slots.used;
    p->usable = slots.usable;
    if (p->percent < 1 || p->percent > 100 || p->idle < 0 || p->idle > 100)
        return err_set(e, ERR_INPUT,
                       "the proxy's pool is not known: MaxConnectionsPercent %lld, "
                       "MaxIdleConnectionsPercent %lld",
                       (long long)p->percent, (long long)p->idle);
    if (!known)
        return err_set(e, ERR_INPUT,
                       "the database's max_connections (%lld), reserved (%lld) or used "
                       "connections (%lld) are not known",
                       (long long)p->max_connections, (long long)slots.reserved,
                       (long long)p->used);
    /* The pool holds no more than there is, nor than it may. What is not known counts as none: then
     * all of the wider pool must fit. */
    p->open = json_get_int(seen, "pool_open", 0);
    p->open = p->open < p->used ? p->open : p->used;
    if (p->open > p->percent * p->max_connections / 100)
        p->open = p->percent * p->max_connections / 100;
    return 0;
}

static void require_available(struct plan *p, const struct json *seen)
{
    const char *proxy = json_get_str(seen, "proxy_status", "unknown"),
               *group = json_get_str(seen, "group_status", "unknown"),
               *instance = json_get_str(seen, "instance", NULL);
    const char *state = "no target", *id = "";
    char text[128];

    for (const struct json *t = json_first(json_get(seen, "targets")); t != NULL;
         t = json_next(t)) {
        state = json_get_str(t, "state", "unknown");
        id = json_get_str(t, "id", "");
        if (strcmp(state, "AVAILABLE") == 0)
            break;
    }
    plan_require(p, strcmp(proxy, "available") == 0, proxy, "the proxy is available");
    plan_require(p, strcmp(group, "available") == 0, group, "its target group is available");
    snprintf(text, sizeof(text), "%.60s%s%.40s", id, *id != '\0' ? " " : "", state);
    plan_require(p, strcmp(state, "AVAILABLE") == 0, text, "its database answers it");
    /* A pool is sized by the database behind it: the one whose slots were counted must be it. */
    if (instance != NULL)
        plan_require(p, strcasecmp(instance, id) == 0, id, "its database is the instance %s",
                     instance);
}

/* ModifyDBProxyTargetGroup with all of the pool's configuration: what is left out may fall back to
 * its default (the model's text on ConnectionPoolConfiguration). */
static struct json *call_args(const struct json *seen, int64_t percent, int64_t idle)
{
    const char *query = json_get_str(seen, "init_query", NULL);
    struct json *args = json_new_map(), *config;

    json_set_str(args, "DBProxyName", json_get_str(seen, "proxy", ""));
    json_set_str(args, "TargetGroupName", json_get_str(seen, "target_group", ""));
    config = json_set(args, "ConnectionPoolConfig", json_new_map());
    json_set_int(config, "MaxConnectionsPercent", percent);
    json_set_int(config, "MaxIdleConnectionsPercent", idle);
    if (json_get(seen, "borrow_timeout") != NULL)
        json_set_int(config, "ConnectionBorrowTimeout", json_get_int(seen, "borrow_timeout", 120));
    if (json_len(json_get(seen, "pinning_filters")) > 0)
        json_set(config, "SessionPinningFilters", json_copy(json_get(seen, "pinning_filters")));
    if (query != NULL)
        json_set_str(config, "InitQuery", query);
    return args;
}

static struct plan *change(const struct action_input *in, const struct json *seen,
                           const struct pool *now, int64_t to, int64_t idle)
{
    struct plan *p = plan_new();
    int64_t size = to * now->max_connections / 100, more = size - now->open,
            room = now->usable - now->used;
    char text[160] = "";

    json_set_int(p->before, PERCENT, now->percent);
    json_set_int(p->before, IDLE, now->idle);
    json_set_int(p->before, "at_ms", in->wall_ms);
    json_set_int(p->after, PERCENT, to);
    json_set_int(p->after, IDLE, idle);
    json_set_int(p->out, "before", now->percent);
    json_set_int(p->out, "after", to);
    if (to == now->percent && idle == now->idle) {
        p->empty = true;
        p->summary = mem_printf("the pool is at %lld%% already", (long long)to);
        p->expect = mem_strdup("nothing changes");
        return p;
    }
    p->flags = ACTION_REVERSIBLE | (to < now->percent ? ACTION_DISRUPTIVE : 0);
    if (idle != now->idle)
        snprintf(text, sizeof(text), ", idle %lld%% -> %lld%%", (long long)now->idle,
                 (long long)idle);
    p->summary = to != now->percent ? mem_printf("pool %lld%% -> %lld%% of %lld connections%s",
                                                 (long long)now->percent, (long long)to,
                                                 (long long)now->max_connections, text)
                                    : mem_printf("pool %lld%%%s", (long long)to, text);
    p->expect = mem_printf("the proxy opens up to %lld connections", (long long)size);
    plan_call(p, "rds:ModifyDBProxyTargetGroup", call_args(seen, to, idle));
    snprintf(text, sizeof(text), "%lld", (long long)now->percent);
    plan_require(p, true, text, "MaxConnectionsPercent = %lld", (long long)now->percent);
    snprintf(text, sizeof(text), "%lld", (long long)now->idle);
    plan_require(p, true, text, "MaxIdleConnectionsPercent = %lld", (long long)now->idle);
    require_available(p, seen);
    if (to > now->percent) {
        snprintf(text, sizeof(text), "%lld used, %lld of them by the pool: %lld more into %lld",
                 (long long)now->used, (long long)now->open, (long long)more, (long long)room);
        plan_require(p, more <= room, text,
                     "a pool of %lld fits into the %lld connections beside the other sessions",
                     (long long)size, (long long)now->usable);
    }
    return p;
}

static struct plan *pool_plan(const struct action_input *in, const struct json *seen, struct err *e)
{
    int64_t most = (int64_t)json_get_num(in->opts, "max", 90), to;
    const struct json *add = json_get(in->opts, "add");
    struct pool now = {0};

    if (read_pool(seen, &now, e) != 0)
        return NULL;
    to = add != NULL ? now.percent + (int64_t)json_num(add, 0)
                     : (int64_t)json_get_num(in->opts, "to", (double)now.percent);
    if (to > now.percent) {
        to = to < most ? to : most;
        if (to <= now.percent) {
            err_set(e, ERR_DENIED, "the pool is at %lld%%, max %lld%%: no room",
                    (long long)now.percent, (long long)most);
            return NULL;
        }
    }
    return change(in, seen, &now, to, now.idle < to ? now.idle : to);
}

static bool is_at(const struct json *seen, const struct json *values)
{
    return json_get_int(seen, PERCENT, -1) == json_get_int(values, PERCENT, -2) &&
           json_get_int(seen, IDLE, -1) == json_get_int(values, IDLE, -2);
}

/* The new values are a yes, whoever set them; the old ones a no, but not at once; any others:
 * somebody else was there, and may have been there after us. */
static enum verdict pool_judge(const struct action_input *in, const struct plan *p, size_t i,
                               const struct json *seen)
{
    int64_t age_ms = in->wall_ms - json_get_int(p->before, "at_ms", 0);

    (void)i;
    if (is_at(seen, p->after))
        return VERDICT_YES;
    if (is_at(seen, p->before) && age_ms >= AWS_STILL_ON_ITS_WAY_MS)
        return VERDICT_NO;
    return VERDICT_UNKNOWN;
}

static struct plan *pool_undo(const struct action_input *in, const struct plan *first,
                              const struct plan *last, const struct json *seen, struct err *e)
{
    static const struct {
        const char *key, *name;
    } written[] = {{PERCENT, "MaxConnectionsPercent"}, {IDLE, "MaxIdleConnectionsPercent"}};
    int64_t to[2];
    struct pool now = {0};

    if (read_pool(seen, &now, e) != 0)
        return NULL;
    for (size_t i = 0; i < sizeof(written) / sizeof(*written); i++) {
        int64_t ours = json_get_int(last->after, written[i].key, -1),
                is = json_get_int(seen, written[i].key, -1);

        to[i] = json_get_int(first->before, written[i].key, -1);
        if (ours < 0 || to[i] < 0) {
            err_set(e, ERR_INPUT, "what was done is not on record");
            return NULL;
        }
        if (is != ours) {
            err_set(e, ERR_DENIED, "%s is %lld, not the %lld that was set: changed by someone else",
                    written[i].name, (long long)is, (long long)ours);
            return NULL;
        }
    }
    return change(in, seen, &now, to[0], to[1]);
}

static int pool_check(const struct json *opts, struct err *e)
{
    static const char *const names[] = {"add", "to", "max"};
    double to = json_get_num(opts, "to", 0), max = json_get_num(opts, "max", 90);

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        double v = json_get_num(opts, names[i], 1);

        if (v != floor(v))
            return err_set(e, ERR_INPUT, "%s = %g%%: AWS takes whole percents, write \"%.0f%%\"",
                           names[i], v, floor(v) + 1);
    }
    return to > max ? err_set(e, ERR_INPUT, "to %.0f%% is above max %.0f%%", to, max) : 0;
}

/* Doing */

static void pool_apply(struct action_call *c)
{
    const struct json *config = json_get(json_get(c->call, "args"), "ConnectionPoolConfig");
    const struct target *proxy = proxy_of(c);
    struct json *out = json_new_map();

    json_set_int(out, "after", json_get_int(config, "MaxConnectionsPercent", -1));
    aws_apply(c, proxy != NULL ? account_of(proxy) : "", NULL, out);
}

/* The model of a pool in policies' tests: a proxy in order in front of a database with room. */
static struct json *pool_state_seen(const struct action_input *in, const struct json *state,
                                    struct err *e)
{
    const struct target *proxy = estate_related(in->estate, in->target, "proxy");
    struct json *seen = json_copy(state), *target;

    (void)e;
    json_set_str(seen, "proxy", proxy != NULL ? proxy->name : "proxy");
    json_set_str(seen, "target_group", proxy != NULL ? group_of(proxy) : "default");
    target = json_add(json_set(seen, "targets", json_new_list()), json_new_map());
    json_set_str(target, "id", "database");
    json_set_str(target, "state", json_get_str(state, "proxy_target", "AVAILABLE"));
    json_set_str(seen, "group_status", "available");
    return seen;
}

static void pool_state_apply(const struct action_input *in, const struct json *call,
                             struct json *state)
{
    const struct json *config = json_get(json_get(call, "args"), "ConnectionPoolConfig");

    (void)in;
    json_set_int(state, PERCENT,
                 json_get_int(config, "MaxConnectionsPercent", json_get_int(state, PERCENT, 0)));
    json_set_int(state, IDLE,
                 json_get_int(config, "MaxIdleConnectionsPercent", json_get_int(state, IDLE, 0)));
}

static const struct option pool_state[] = {
    {.name = PERCENT,
     .type = OPT_PERCENT,
     .fallback = "50%",
     .min = 1,
     .max = 100,
     .help = "MaxConnectionsPercent of the proxy"},
    {.name = IDLE,
     .type = OPT_PERCENT,
     .fallback = "25%",
     .max = 100,
     .help = "its MaxIdleConnectionsPercent"},
    {.name = "pool_open",
     .type = OPT_COUNT,
     .fallback = "0",
     .max = 100000,
     .help = "connections that the pool holds; they are among connections_used"},
    SLOTS_STATE("of the database"),
    {.name = "proxy_status",
     .type = OPT_STRING,
     .fallback = "available",
     .help = "the proxy's status as RDS has it"},
    {.name = "proxy_target",
     .type = OPT_ENUM,
     .fallback = "AVAILABLE",
     .words = "AVAILABLE|REGISTERING|UNAVAILABLE",
     .help = "health of the proxy's target"},
};

static const struct option pool_options[] = {
    {.name = "add",
     .type = OPT_PERCENT,
     .min = 1,
     .max = 99,
     .one_of = "how",
     .help = "so many points of max_connections more: \"10%\" makes 60% of 50%"},
    {.name = "to",
     .type = OPT_PERCENT,
     .min = 1,
     .max = 100,
     .one_of = "how",
     .help = "MaxConnectionsPercent itself"},
    {.name = "max",
     .type = OPT_PERCENT,
     .fallback = "90%",
     .min = 1,
     .max = 100,
     .help = "never above this share of the database's max_connections"},
};

static const char *const pool_permissions[] = {
    "rds:DescribeDBProxies *",
    "rds:DescribeDBProxyTargetGroups *",
    "rds:DescribeDBProxyTargets *",
    "cloudwatch:GetMetricData *",
    "rds:ModifyDBProxyTargetGroup arn:aws:rds:*:*:target-group:*",
    "postgres:pg_monitor",
    NULL,
};
static const char *const pool_outs[] = {"before", "after", NULL};

static const char *const pool_needs[] = {"postgres.proxy", NULL};

const struct action_type proxy_pool_action = {
    .name = "proxy_pool",
    .summary = "set how many connections an RDS proxy may open, where its database has room",
    .targets = "proxy postgres",
    .attribute = "proxy_pool",
    .writes = "proxy",
    .headroom = "database_connections",
    .flags = ACTION_REVERSIBLE | ACTION_DISRUPTIVE,
    .can_probe = true,
    .options = OPTIONS(pool_options),
    .permissions = pool_permissions,
    .outs = pool_outs,
    .needs = pool_needs,
    .check = pool_check,
    .observe = pool_observe,
    .apply = pool_apply,
    .cancel = aws_act_cancel,
    .plan = pool_plan,
    .judge = pool_judge,
    .undo = pool_undo,
    .state_options = OPTIONS(pool_state),
    .state_seen = pool_state_seen,
    .state_apply = pool_state_apply,
};
