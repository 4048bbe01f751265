/* asg_scale: the desired capacity of an Auto Scaling group, as an absolute value within its limits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "shared_asg.h"
#include "shared_slots.h"

#define SCALE_MAX 10000

/* Thinking */

/* What was seen, checked. A test may leave out all but desired: then the group has no limits of its
 * own, no other controller, and nothing is suspended. */
struct group {
    int64_t desired, min, max;
};

static bool by_signal(const struct json *opts)
{
    return json_type(json_get(opts, "to")) == JSON_MAP;
}

static int read_group(const struct json *seen, struct group *g, struct err *e)
{
    const struct json *min = json_get(seen, "min"), *max = json_get(seen, "max");

    g->desired = json_get_int(seen, "desired", -1);
    g->min = min != NULL ? json_int(min, -1) : 0;
    g->max = max != NULL ? json_int(max, -1) : 1000000;
    if (g->desired < 0)
        return err_set(e, ERR_INPUT, "the group's desired capacity is not known");
    if (g->min < 0 || g->max < g->min)
        return err_set(e, ERR_INPUT, "the group's limits make no sense: min %lld, max %lld",
                       (long long)g->min, (long long)g->max);
    return 0;
}

/* `to` as a signal: as many as it takes for what was read. */
static int64_t enough(const struct json *opts, struct err *e)
{
    const struct json *to = json_get(opts, "to");
    double n = json_get_num(to, "reading", NAN) / json_get_num(opts, "per_instance", NAN);

    if (isfinite(n) && n >= 0)
        return n < SCALE_MAX ? (int64_t)ceil(n - 1e-9) : SCALE_MAX;
    err_set(e, ERR_DENIED, "to = sig.%s: %s", json_get_str(to, "signal", "?"),
            json_get_str(to, "unknown",
                         json_get(to, "reading") != NULL ? "what it reads is no number of instances"
                                                         : "it was not read"));
    return -1;
}

/* What the options ask for, before any limit; -1 and *e. Growth by a share is rounded up to at
 * least one; shrinking is rounded down. */
static int64_t wanted(const struct json *opts, int64_t desired, struct err *e)
{
    const struct json *by = json_get(opts, "by");
    double percent, share;

    if (by == NULL)
        return by_signal(opts) ? enough(opts, e) : json_get_int(opts, "to", desired);
    if (json_type(by) == JSON_NUMBER) {
        int64_t n = desired + json_int(by, 0);
        return n < 0 ? 0 : n;
    }
    percent = json_get_num(by, "percent", 0);
    share = (double)desired * fabs(percent) / 100;
    if (percent < 0)
        return desired - (int64_t)floor(share + 1e-9);
    share = ceil(share - 1e-9);
    return desired + (share < 1 ? 1 : (int64_t)share);
}

/* All that the grown group can open, and all that is new of it beside what is open now, must fit
 * into what the database has. Where that cannot be known, it does not. */
static void require_connections(struct plan *p, const struct action_input *in,
                                const struct json *seen, int64_t now, int64_t to)
{
    struct pool_cost cost = estate_pool_cost(in->estate, in->target);
    long long more = (to - now) * cost.each;
    struct slots slots;
    char text[256];

    if (cost.database == NULL)
        return;
    if (cost.other != NULL) {
        snprintf(text, sizeof(text), "%.100s and %.100s", cost.database->id, cost.other->id);
        plan_require(p, false, text, "the services with a pool_size use one database");
        return;
    }
    if (!slots_read(seen, &slots)) {
        plan_require(p, false, json_get_str(seen, "slots", "unknown"),
                     "the connections of %s are known", cost.database->id);
        return;
    }
    snprintf(text, sizeof(text), "%lld used: %lld more into %lld", (long long)slots.used, more,
             (long long)(slots.usable - slots.used));
    plan_require(p, to * cost.each <= slots.usable && more <= slots.usable - slots.used, text,
                 "%lld instances with %lld connections each fit into the %lld of %s", (long long)to,
                 (long long)cost.each, (long long)slots.usable, cost.database->id);
}

static struct plan *change(const struct action_input *in, const struct json *seen,
                           const struct group *g, int64_t to)
{
    struct plan *p = plan_new();
    const char *process = to > g->desired ? "Launch" : "Terminate";
    const struct json *others = json_get(seen, "controllers");
    bool stands = asg_suspended(seen, process);
    char text[32];
    struct json *args;

    json_set_int(p->before, "desired", g->desired);
    json_set_int(p->before, "at_ms", in->wall_ms);
    json_set_int(p->after, "desired", to);
    json_set_int(p->out, "before", g->desired);
    json_set_int(p->out, "after", to);
    if (to == g->desired) {
        p->empty = true;
        p->summary = mem_printf("desired is %lld already", (long long)to);
        p->expect = mem_strdup("nothing changes");
        return p;
    }
    p->flags = ACTION_REVERSIBLE |
               (to > g->desired ? ACTION_COSTS_MONEY : ACTION_DESTRUCTIVE | ACTION_DISRUPTIVE);
    p->summary = mem_printf("desired %lld -> %lld", (long long)g->desired, (long long)to);
    p->expect = to > g->desired ? mem_printf("%lld more in service", (long long)(to - g->desired))
                                : mem_printf("%lld fewer in service, drained first",
                                             (long long)(g->desired - to));
    args = json_new_map();
    json_set_str(args, "AutoScalingGroupName", in->target->name);
    json_set_int(args, "DesiredCapacity", to);
    json_set_bool(args, "HonorCooldown", false);
    plan_call(p, "autoscaling:SetDesiredCapacity", args);
    /* The value that the plan was made from is a part of the plan; the limits seen are readings. */
    snprintf(text, sizeof(text), "%lld", (long long)g->desired);
    plan_require(p, true, text, "desired = %lld", (long long)g->desired);
    snprintf(text, sizeof(text), "%lld to %lld", (long long)g->min, (long long)g->max);
    plan_require(p, to >= g->min && to <= g->max, text, "the group's limits allow %lld",
                 (long long)to);
    plan_require(p, !stands, stands ? "suspended" : "not suspended",
                 "the group's process %s is not suspended", process);
    if (to > g->desired)
        require_connections(p, in, seen, g->desired, to);
    for (const struct json *i = json_first(others); i != NULL; i = json_next(i))
        json_add(p->controllers, json_new_str(json_str(i, "another controller")));
    return p;
}

/* The reading goes on record; what it comes to is a part of the plan. */
static void say_why(struct plan *p, const struct json *opts, int64_t to)
{
    const struct json *of = json_get(opts, "to");
    const char *name = json_get_str(of, "signal", "?"), *text = json_get_str(of, "text", "?");
    double per = json_get_num(opts, "per_instance", 1);
    char at[40], *summary = p->summary, *observed;

    p->summary = mem_printf("%s (%s %s, %g an instance)", summary, name, text, per);
    mem_free(summary);
    observed = mem_printf("%s at %s", text,
                          time_format_iso(at, sizeof(at), json_get_int(of, "end_wall_ms", 0)));
    plan_require(p, true, observed,
                 "%lld is what sig.%s takes at %g an instance, within min and max", (long long)to,
                 name, per);
    mem_free(observed);
}

static struct plan *scale_plan(const struct action_input *in, const struct json *seen,
                               struct err *e)
{
    int64_t most = json_get_int(in->opts, "max", 0), least = json_get_int(in->opts, "min", 0), to;
    struct group g;
    struct plan *p;

    if (read_group(seen, &g, e) != 0)
        return NULL;
    most = most < g.max ? most : g.max;
    least = least > g.min ? least : g.min;
    to = wanted(in->opts, g.desired, e);
    if (to < 0)
        return NULL;
    if (to > g.desired) {
        to = to < most ? to : most;
        if (to <= g.desired) {
            err_set(e, ERR_DENIED, "at max %lld: no room", (long long)most);
            return NULL;
        }
    } else if (to < g.desired) {
        to = to > least ? to : least;
        if (to >= g.desired && by_signal(in->opts)) {
            to = g.desired; /* it asks for less, and the least is there */
        } else if (to >= g.desired) {
            err_set(e, ERR_DENIED, "at min %lld: no room", (long long)least);
            return NULL;
        }
    }
    if (to != g.desired && (to > most || to < least)) {
        err_set(e, ERR_DENIED, "%lld is outside %lld to %lld", (long long)to, (long long)least,
                (long long)most);
        return NULL;
    }
    p = change(in, seen, &g, to);
    if (p->empty && json_get(in->opts, "by") != NULL) { /* only a share can come to nothing */
        mem_free(p->summary);
        p->summary =
            mem_printf("desired stays %lld: %g%% of it are less than one instance", (long long)to,
                       fabs(json_get_num(json_get(in->opts, "by"), "percent", 0)));
    }
    if (by_signal(in->opts))
        say_why(p, in->opts, to);
    return p;
}

/* The new value is a yes, whoever set it. The old one is a no, but not at once: a request whose
 * answer was lost may arrive a little later. Any other value: somebody else was there, and may have
 * been there after us. */
static enum verdict scale_judge(const struct action_input *in, const struct plan *p, size_t i,
                                const struct json *seen)
{
    int64_t desired = json_get_int(seen, "desired", -1);
    int64_t age_ms = in->wall_ms - json_get_int(p->before, "at_ms", 0);

    (void)i;
    if (desired < 0)
        return VERDICT_UNKNOWN;
    if (desired == json_get_int(p->after, "desired", -2))
        return VERDICT_YES;
    if (desired == json_get_int(p->before, "desired", -2))
        return age_ms >= AWS_STILL_ON_ITS_WAY_MS ? VERDICT_NO : VERDICT_UNKNOWN;
    return VERDICT_UNKNOWN;
}

static struct plan *scale_undo(const struct action_input *in, const struct plan *first,
                               const struct plan *last, const struct json *seen, struct err *e)
{
    int64_t ours = json_get_int(last->after, "desired", -1),
            to = json_get_int(first->before, "desired", -1);
    struct group g;

    if (read_group(seen, &g, e) != 0)
        return NULL;
    if (ours < 0 || to < 0) {
        err_set(e, ERR_INPUT, "what was done is not on record");
        return NULL;
    }
    if (g.desired != ours) {
        err_set(e, ERR_DENIED,
                "desired is %lld, not the %lld that was set: changed by someone else",
                (long long)g.desired, (long long)ours);
        return NULL;
    }
    if (to < g.min || to > g.max) {
        err_set(e, ERR_DENIED, "the group allows %lld to %lld now: it cannot go back to %lld",
                (long long)g.min, (long long)g.max, (long long)to);
        return NULL;
    }
    return change(in, seen, &g, to);
}

static int scale_check(const struct json *opts, struct err *e)
{
    const struct json *by = json_get(opts, "by");
    int64_t min = json_get_int(opts, "min", 0), max = json_get_int(opts, "max", 0),
            to = json_get_int(opts, "to", min);

    if (by_signal(opts) != (json_get(opts, "per_instance") != NULL))
        return err_set(e, ERR_INPUT,
                       by_signal(opts)
                           ? "to = sig.%s needs per_instance, how much of it one instance takes: "
                             "write e.g. per_instance = 100"
                           : "per_instance goes with to = sig.x { ... }%s",
                       by_signal(opts) ? json_get_str(json_get(opts, "to"), "signal", "?") : "");
    if (min > max)
        return err_set(e, ERR_INPUT, "min %lld is above max %lld", (long long)min, (long long)max);
    if (json_get(opts, "to") != NULL && (to < min || to > max))
        return err_set(e, ERR_INPUT, "to = %lld is outside min %lld to max %lld", (long long)to,
                       (long long)min, (long long)max);
    if (by != NULL &&
        (json_type(by) == JSON_NUMBER ? json_num(by, 0) : json_get_num(by, "percent", 0)) == 0)
        return err_set(e, ERR_INPUT, "by = 0 changes nothing: write e.g. \"25%%\", 2 or \"-25%%\"");
    return 0;
}

/* Looking */

/* A database that does not answer keeps the group from growing, and from nothing else: not from an
 * undo, and not from the question whether a request took effect. */
static void no_slots(const struct action_call *c, struct json *seen, const struct err *e)
{
    (void)c;
    json_set_str(seen, "slots", e->text);
}

static void scale_observe(struct action_call *c)
{
    struct pg_question slots = {.server = estate_database(c->estate, c->target),
                                .sql = slots_sql,
                                .take = slots_take,
                                .failed = no_slots};

    asg_observe_scaling(c, slots.server != NULL ? &slots : NULL);
}

/* Doing */

static void scale_apply(struct action_call *c)
{
    struct json *out = json_new_map();

    json_set_int(out, "after", json_get_int(json_get(c->call, "args"), "DesiredCapacity", -1));
    aws_apply(c, json_get_str(c->target->fields, "aws", ""), NULL, out);
}

/* The model of a group in policies' tests: what was written is what is seen. */
static void scale_state_apply(const struct action_input *in, const struct json *call,
                              struct json *state)
{
    (void)in;
    json_set_int(
        state, "desired",
        json_get_int(json_get(call, "args"), "DesiredCapacity", json_get_int(state, "desired", 0)));
}

static const struct option scale_state[] = {
    {.name = "desired",
     .type = OPT_COUNT,
     .required = true,
     .max = SCALE_MAX,
     .help = "the group's desired capacity"},
    {.name = "min",
     .type = OPT_COUNT,
     .fallback = "0",
     .max = SCALE_MAX,
     .help = "its own minimum"},
    {.name = "max",
     .type = OPT_COUNT,
     .fallback = "10000",
     .max = SCALE_MAX,
     .help = "its own maximum"},
    {.name = "suspended",
     .type = OPT_LIST,
     .help = "its suspended processes, \"Launch\", \"Terminate\""},
    {.name = "controllers",
     .type = OPT_LIST,
     .help = "others that scale it, \"scaling policy target-60 (TargetTrackingScaling)\""},
    SLOTS_STATE("of the database of a service in `others` with a pool_size that runs on it"),
};

static const struct option scale_options[] = {
    {.name = "by",
     .type = OPT_PERCENT_OR_COUNT,
     .min = -SCALE_MAX,
     .max = SCALE_MAX,
     .one_of = "how",
     .help = "change of the desired capacity, \"25%\", 2, \"-25%\", -2: growth is rounded up to at "
             "least one instance, shrinking is rounded down"},
    {.name = "to",
     .type = OPT_COUNT_OR_SIGNAL,
     .max = SCALE_MAX,
     .one_of = "how",
     .help = "the desired capacity itself; or a signal, of which each instance takes per_instance: "
             "rounded up, within min and max. Denied while it is unknown"},
    {.name = "per_instance",
     .type = OPT_NUMBER,
     .min = 0.001,
     .max = OPTION_NO_MAX,
     .help = "with a signal as `to`: how much of it one instance takes, in its base unit (percent, "
             "milliseconds, bytes)"},
    {.name = "min",
     .type = OPT_COUNT,
     .fallback = "0",
     .max = SCALE_MAX,
     .help = "never below this, nor below the group's own minimum"},
    {.name = "max",
     .type = OPT_COUNT,
     .required = true,
     .min = 1,
     .max = SCALE_MAX,
     .help = "never above this, nor above the group's own maximum"},
};

static const char *const scale_permissions[] = {
    "autoscaling:DescribeAutoScalingGroups *",
    "autoscaling:DescribePolicies *",
    "autoscaling:DescribeInstanceRefreshes *",
    ("autoscaling:SetDesiredCapacity "
     "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/$target.name"),
    "postgres:pg_monitor", /* of the database that estate_database says, where there is one */
    NULL,
};
static const char *const scale_outs[] = {"before", "after", NULL};

const struct action_type asg_scale_action = {
    .name = "asg_scale",
    .summary = "set the desired capacity of an Auto Scaling group",
    .targets = "asg",
    .attribute = "desired_capacity",
    .headroom = "database_connections",
    .flags = ACTION_REVERSIBLE | ACTION_DISRUPTIVE | ACTION_DESTRUCTIVE | ACTION_COSTS_MONEY,
    .can_probe = true,
    .options = OPTIONS(scale_options),
    .permissions = scale_permissions,
    .outs = scale_outs,
    .check = scale_check,
    .observe = scale_observe,
    .apply = scale_apply,
    .cancel = aws_act_cancel,
    .plan = scale_plan,
    .judge = scale_judge,
    .undo = scale_undo,
    .state_options = OPTIONS(scale_state),
    .state_apply = scale_state_apply,
};
