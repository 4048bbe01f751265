/* asg_scale: the desired capacity of an Auto Scaling group, as an absolute value within its limits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "io/loop.h"
#include "plugin/action.h"

#define PAGES_MAX 20
/* A request whose answer was lost may still be on its way: so long after the plan was made the old
 * value proves nothing. */
#define STILL_ON_ITS_WAY_MS 30000

/* Looking */

enum { GROUPS, POLICIES, REFRESHES, QUESTIONS };

struct look {
    struct action_call *c;
    struct aws *aws;
    struct aws_call *calls[QUESTIONS];
    char *tokens[QUESTIONS];
    int pages[QUESTIONS];
    int open;
    struct loop_timer *later; /* to fail from outside observe */
    struct json *seen;
    struct err err; /* the first */
};

struct question {
    const char *action, *name, *result;
};

static const struct question questions[QUESTIONS] = {
    [GROUPS] = {"DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1",
                "DescribeAutoScalingGroupsResult"},
    [POLICIES] = {"DescribePolicies", "AutoScalingGroupName", "DescribePoliciesResult"},
    [REFRESHES] = {"DescribeInstanceRefreshes", "AutoScalingGroupName",
                   "DescribeInstanceRefreshesResult"},
};

static void look_free(struct look *k)
{
    for (int q = 0; q < QUESTIONS; q++) {
        if (k->calls[q] != NULL)
            aws_cancel(k->calls[q]);
        mem_free(k->tokens[q]);
    }
    loop_timer_free(k->later);
    json_free(k->seen);
    k->c->state = NULL;
    mem_free(k);
}

static void look_done(struct look *k)
{
    struct action_call *c = k->c;
    struct err e = k->err;
    struct json *seen = k->seen;

    if (e.code == 0 && json_get(seen, "desired") == NULL)
        err_set(&e, ERR_NOT_FOUND, "there is no Auto Scaling group %s: correct the estate",
                c->target->name);
    k->seen = NULL;
    look_free(k);
    if (e.code != 0) {
        json_free(seen);
        seen = NULL;
    }
    c->observed(c, seen, e.code != 0 ? &e : NULL);
}

static void look_later(void *arg)
{
    look_done(arg);
}

static void see_int(struct json *seen, const char *key, const struct xml *x, const char *name)
{
    const char *text = xml_path_text(x, name, "");
    char *end = NULL;
    long v = strtol(text, &end, 10);

    if (*text != '\0' && *end == '\0')
        json_set_int(seen, key, v);
}

static void see_group(struct look *k, const struct xml *result)
{
    const struct xml *g = xml_path(result, "AutoScalingGroups/member");
    int64_t in_service = 0;
    struct json *suspended;

    for (; g != NULL; g = xml_next(g, "member")) {
        if (strcmp(xml_path_text(g, "AutoScalingGroupName", ""), k->c->target->name) == 0)
            break;
    }
    if (g == NULL)
        return;
    see_int(k->seen, "desired", g, "DesiredCapacity");
    see_int(k->seen, "min", g, "MinSize");
    see_int(k->seen, "max", g, "MaxSize");
    for (const struct xml *i = xml_path(g, "Instances/member"); i != NULL;
         i = xml_next(i, "member"))
        in_service += strcmp(xml_path_text(i, "LifecycleState", ""), "InService") == 0;
    json_set_int(k->seen, "in_service", in_service);
    suspended = json_set(k->seen, "suspended", json_new_list());
    for (const struct xml *p = xml_path(g, "SuspendedProcesses/member"); p != NULL;
         p = xml_next(p, "member"))
        json_add(suspended, json_new_str(xml_path_text(p, "ProcessName", "")));
    if (json_get(k->seen, "desired") == NULL || json_get(k->seen, "min") == NULL ||
        json_get(k->seen, "max") == NULL)
        err_set(&k->err, ERR_INPUT,
                "group %s: the answer has no DesiredCapacity, MinSize or MaxSize",
                k->c->target->name);
}

static void add_controller(struct look *k, const char *what, const char *name, const char *how)
{
    char text[256];

    snprintf(text, sizeof(text), "%s %.100s (%.60s)", what, name, how);
    json_add(json_get_mut(k->seen, "controllers"), json_new_str(text));
}

/* Target tracking, step and simple scaling act by themselves; predictive scaling only when it is
 * told to do more than forecast. */
static void see_policies(struct look *k, const struct xml *result)
{
    for (const struct xml *p = xml_path(result, "ScalingPolicies/member"); p != NULL;
         p = xml_next(p, "member")) {
        const char *type = xml_path_text(p, "PolicyType", "SimpleScaling");
        const char *mode = xml_path_text(p, "PredictiveScalingConfiguration/Mode", "ForecastOnly");

        if (strcmp(xml_path_text(p, "Enabled", "true"), "false") == 0 ||
            (strcmp(type, "PredictiveScaling") == 0 && strcmp(mode, "ForecastAndScale") != 0))
            continue;
        add_controller(k, "scaling policy", xml_path_text(p, "PolicyName", "?"), type);
    }
}

static void see_refreshes(struct look *k, const struct xml *result)
{
    static const char *const over[] = {"Successful", "Failed", "Cancelled", "RollbackFailed",
                                       "RollbackSuccessful"};

    for (const struct xml *r = xml_path(result, "InstanceRefreshes/member"); r != NULL;
         r = xml_next(r, "member")) {
        const char *status = xml_path_text(r, "Status", "unknown");
        size_t i = 0;

        while (i < sizeof(over) / sizeof(*over) && strcmp(over[i], status) != 0)
            i++;
        if (i == sizeof(over) / sizeof(*over))
            add_controller(k, "instance refresh", xml_path_text(r, "InstanceRefreshId", "?"),
                           status);
    }
}

static void ask(struct look *k, int q);

static void take(struct look *k, int q, const struct aws_answer *a, const struct err *e)
{
    const struct xml *result;
    const char *token;

    k->calls[q] = NULL;
    if (e != NULL) {
        if (k->err.code == 0)
            k->err = *e;
    } else if ((result = xml_child(a->xml, questions[q].result)) == NULL) {
        err_set(&k->err, ERR_INPUT, "group %s: the answer has no %s", k->c->target->name,
                questions[q].result);
    } else {
        if (q == GROUPS)
            see_group(k, result);
        else if (q == POLICIES)
            see_policies(k, result);
        else
            see_refreshes(k, result);
        token = xml_path_text(result, "NextToken", "");
        if (*token != '\0' && ++k->pages[q] < PAGES_MAX && k->err.code == 0) {
            mem_free(k->tokens[q]);
            k->tokens[q] = mem_strdup(token);
            ask(k, q);
            return;
        }
        if (*token != '\0' && k->err.code == 0)
            err_set(&k->err, ERR_LIMIT, "group %s: the pages of %s do not end", k->c->target->name,
                    questions[q].action);
    }
    if (--k->open == 0)
        look_done(k);
}

static void on_groups(void *arg, const struct aws_answer *a, const struct err *e)
{
    take(arg, GROUPS, a, e);
}

static void on_policies(void *arg, const struct aws_answer *a, const struct err *e)
{
    take(arg, POLICIES, a, e);
}

static void on_refreshes(void *arg, const struct aws_answer *a, const struct err *e)
{
    take(arg, REFRESHES, a, e);
}

static void ask(struct look *k, int q)
{
    static aws_fn *const take_it[QUESTIONS] = {on_groups, on_policies, on_refreshes};
    struct aws_params *p = aws_params_new();
    struct aws_request r = {.service = AWS_AUTOSCALING,
                            .action = questions[q].action,
                            .params = p,
                            .deadline_ms = k->c->deadline_ms};

    aws_param(p, questions[q].name, k->c->target->name);
    aws_param(p, "NextToken", k->tokens[q]);
    k->calls[q] = aws_send(k->aws, &r, take_it[q], k);
    aws_params_free(p);
}

static void scale_observe(struct action_call *c)
{
    struct look *k = mem_alloc(sizeof(*k));

    c->state = k;
    k->c = c;
    k->seen = json_new_map();
    json_set(k->seen, "controllers", json_new_list());
    k->aws = c->io->aws(c->io->arg, json_get_str(c->target->fields, "aws", ""), &k->err);
    if (k->aws == NULL) {
        k->later = loop_timer_new(c->io->loop, look_later, k);
        loop_timer_set(k->later, 0);
        return;
    }
    k->open = QUESTIONS;
    for (int q = 0; q < QUESTIONS; q++)
        ask(k, q);
}

/* Thinking */

/* What was seen, checked. A test may leave out all but desired: then the group has no limits of its
 * own, no other controller, and nothing is suspended. */
struct group {
    int64_t desired, min, max;
};

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

static bool suspended(const struct json *seen, const char *process)
{
    const struct json *list = json_get(seen, "suspended");

    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (strcmp(json_str(i, ""), process) == 0)
            return true;
    }
    return false;
}

/* What the options ask for, before any limit. Growth is rounded up to at least one; shrinking is
 * rounded down. */
static int64_t wanted(const struct json *opts, int64_t desired)
{
    const struct json *by = json_get(opts, "by");
    double percent, share;

    if (by == NULL)
        return json_get_int(opts, "to", desired);
    if (json_type(by) == JSON_NUMBER)
        return desired + json_int(by, 0);
    percent = json_get_num(by, "percent", 0);
    share = (double)desired * fabs(percent) / 100;
    if (percent < 0)
        return desired - (int64_t)floor(share + 1e-9);
    share = ceil(share - 1e-9);
    return desired + (share < 1 ? 1 : (int64_t)share);
}

static struct plan *change(const struct action_input *in, const struct json *seen,
                           const struct group *g, int64_t to)
{
    struct plan *p = plan_new();
    const char *process = to > g->desired ? "Launch" : "Terminate";
    const struct json *others = json_get(seen, "controllers");
    bool stands = suspended(seen, process);
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
    for (const struct json *i = json_first(others); i != NULL; i = json_next(i))
        json_add(p->controllers, json_new_str(json_str(i, "another controller")));
    return p;
}

static struct plan *scale_plan(const struct action_input *in, const struct json *seen,
                               struct err *e)
{
    int64_t most = json_get_int(in->opts, "max", 0), least = json_get_int(in->opts, "min", 0), to;
    struct group g;

    if (read_group(seen, &g, e) != 0)
        return NULL;
    most = most < g.max ? most : g.max;
    least = least > g.min ? least : g.min;
    to = wanted(in->opts, g.desired);
    if (to > g.desired) {
        to = to < most ? to : most;
        if (to <= g.desired) {
            err_set(e, ERR_DENIED, "at max %lld: no room", (long long)most);
            return NULL;
        }
    } else if (to < g.desired) {
        to = to > least ? to : least;
        if (to >= g.desired) {
            err_set(e, ERR_DENIED, "at min %lld: no room", (long long)least);
            return NULL;
        }
    }
    if (to != g.desired && (to > most || to < least)) {
        err_set(e, ERR_DENIED, "%lld is outside %lld to %lld", (long long)to, (long long)least,
                (long long)most);
        return NULL;
    }
    return change(in, seen, &g, to);
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
        return age_ms >= STILL_ON_ITS_WAY_MS ? VERDICT_NO : VERDICT_UNKNOWN;
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

/* Doing */

struct doing {
    struct action_call *c;
    struct aws_call *call;
    struct loop_timer *later;
    struct err err;
};

static void doing_end(struct doing *d, enum applied how, const struct err *e)
{
    struct action_call *c = d->c;
    struct json *out = NULL;

    loop_timer_free(d->later);
    mem_free(d);
    c->state = NULL;
    if (how == APPLIED_OK) {
        out = json_new_map();
        json_set_int(out, "after", json_get_int(json_get(c->call, "args"), "DesiredCapacity", -1));
    }
    c->applied(c, how, out, e);
}

static void not_sent(void *arg)
{
    struct doing *d = arg;
    struct err e = d->err;

    doing_end(d, APPLIED_NOT_SENT, &e);
}

static void on_set(void *arg, const struct aws_answer *a, const struct err *e)
{
    static const enum applied how[] = {[AWS_OK] = APPLIED_OK,
                                       [AWS_REFUSED] = APPLIED_REFUSED,
                                       [AWS_NOT_SENT] = APPLIED_NOT_SENT,
                                       [AWS_IN_DOUBT] = APPLIED_IN_DOUBT};
    struct doing *d = arg;

    d->call = NULL;
    doing_end(d, how[a->outcome], e);
}

static void scale_apply(struct action_call *c)
{
    const struct json *args = json_get(c->call, "args");
    struct doing *d = mem_alloc(sizeof(*d));
    struct aws *aws = c->io->aws(c->io->arg, json_get_str(c->target->fields, "aws", ""), &d->err);
    struct aws_request r = {.service = AWS_AUTOSCALING,
                            .action = "SetDesiredCapacity",
                            .mutating = true,
                            .deadline_ms = c->deadline_ms};
    struct aws_params *p;

    c->state = d;
    d->c = c;
    if (aws != NULL && json_get_int(args, "DesiredCapacity", -1) < 0)
        err_set(&d->err, ERR_BUG, "the call has no DesiredCapacity");
    if (d->err.code != 0) {
        d->later = loop_timer_new(c->io->loop, not_sent, d);
        loop_timer_set(d->later, 0);
        return;
    }
    p = aws_params_new();
    aws_param(p, "AutoScalingGroupName", json_get_str(args, "AutoScalingGroupName", ""));
    aws_param_int(p, "DesiredCapacity", json_get_int(args, "DesiredCapacity", -1));
    aws_param_bool(p, "HonorCooldown", json_get_bool(args, "HonorCooldown", false));
    r.params = p;
    d->call = aws_send(aws, &r, on_set, d);
    aws_params_free(p);
}

static void scale_cancel(struct action_call *c)
{
    struct doing *d = c->state;

    if (c->state == NULL)
        return;
    if (c->call == NULL) {
        look_free(c->state);
        return;
    }
    if (d->call != NULL)
        aws_cancel(d->call);
    loop_timer_free(d->later);
    mem_free(d);
    c->state = NULL;
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
     .max = 10000,
     .help = "the group's desired capacity"},
    {.name = "min", .type = OPT_COUNT, .fallback = "0", .max = 10000, .help = "its own minimum"},
    {.name = "max",
     .type = OPT_COUNT,
     .fallback = "10000",
     .max = 10000,
     .help = "its own maximum"},
    {.name = "suspended",
     .type = OPT_LIST,
     .help = "its suspended processes, \"Launch\", \"Terminate\""},
    {.name = "controllers",
     .type = OPT_LIST,
     .help = "others that scale it, \"scaling policy target-60 (TargetTrackingScaling)\""},
};

static const struct option scale_options[] = {
    {.name = "by",
     .type = OPT_PERCENT_OR_COUNT,
     .min = -10000,
     .max = 10000,
     .one_of = "how",
     .help = "change of the desired capacity, \"25%\", 2, \"-25%\", -2: growth is rounded up to at "
             "least one instance, shrinking is rounded down"},
    {.name = "to",
     .type = OPT_COUNT,
     .max = 10000,
     .one_of = "how",
     .help = "the desired capacity itself"},
    {.name = "min",
     .type = OPT_COUNT,
     .fallback = "0",
     .max = 10000,
     .help = "never below this, nor below the group's own minimum"},
    {.name = "max",
     .type = OPT_COUNT,
     .required = true,
     .min = 1,
     .max = 10000,
     .help = "never above this, nor above the group's own maximum"},
};

static const char *const scale_permissions[] = {
    "autoscaling:DescribeAutoScalingGroups *",
    "autoscaling:DescribePolicies *",
    "autoscaling:DescribeInstanceRefreshes *",
    ("autoscaling:SetDesiredCapacity "
     "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/$target.name"),
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
    .cancel = scale_cancel,
    .plan = scale_plan,
    .judge = scale_judge,
    .undo = scale_undo,
    .state_options = OPTIONS(scale_state),
    .state_apply = scale_state_apply,
};
