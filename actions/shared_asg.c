/* Looking at an Auto Scaling group, and one request that changes it. */
#include "shared_asg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/loop.h"

#define PAGES_MAX 20

/* Looking */

enum { GROUPS, POLICIES, REFRESHES, TARGETS, QUESTIONS };

struct look {
    struct action_call *c;
    struct aws *aws;
    struct aws_call *calls[QUESTIONS];
    char *tokens[QUESTIONS];
    int pages[QUESTIONS];
    unsigned beside;
    int open;
    struct loop_timer *later; /* to fail from outside observe */
    struct json *seen;
    struct err err; /* the first */
};

struct question {
    enum aws_service service;
    const char *action, *name, *result;
};

static const struct question questions[QUESTIONS] = {
    [GROUPS] = {AWS_AUTOSCALING, "DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1",
                "DescribeAutoScalingGroupsResult"},
    [POLICIES] = {AWS_AUTOSCALING, "DescribePolicies", "AutoScalingGroupName",
                  "DescribePoliciesResult"},
    [REFRESHES] = {AWS_AUTOSCALING, "DescribeInstanceRefreshes", "AutoScalingGroupName",
                   "DescribeInstanceRefreshesResult"},
    [TARGETS] = {AWS_ELBV2, "DescribeTargetHealth", "TargetGroupArn", "DescribeTargetHealthResult"},
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

/* The instances, and the ARN of the target group that the estate names: it is one of the group's
 * own, or the estate is wrong. */
static void see_instances(struct look *k, const struct xml *g)
{
    const char *path = json_get_str(k->c->target->fields, "target_group", NULL);
    struct json *list = json_set(k->seen, "instances", json_new_list());

    for (const struct xml *i = xml_path(g, "Instances/member"); i != NULL;
         i = xml_next(i, "member")) {
        struct json *row = json_add(list, json_new_map());

        json_set_str(row, "id", xml_path_text(i, "InstanceId", ""));
        json_set_str(row, "state", xml_path_text(i, "LifecycleState", ""));
        json_set_str(row, "health", xml_path_text(i, "HealthStatus", ""));
        json_set_str(row, "zone", xml_path_text(i, "AvailabilityZone", ""));
        json_set_bool(row, "protected",
                      strcmp(xml_path_text(i, "ProtectedFromScaleIn", "true"), "false") != 0);
        json_set_str(row, "target", "");
    }
    json_set_str(k->seen, "health_check", xml_path_text(g, "HealthCheckType", ""));
    for (const struct xml *a = xml_path(g, "TargetGroupARNs/member"); a != NULL && path != NULL;
         a = xml_next(a, "member")) {
        const char *arn = xml_text(a, ""), *end = strrchr(arn, ':');

        if (end != NULL && strcmp(end + 1, path) == 0)
            json_set_str(k->seen, "target_group", arn);
    }
    if (path == NULL)
        err_set(&k->err, ERR_INPUT,
                "%s has no target group: give it target_group = \"targetgroup/NAME/ID\"",
                k->c->target->id);
    else if (json_get(k->seen, "target_group") == NULL)
        err_set(&k->err, ERR_NOT_FOUND, "group %s has no target group %s: correct the estate",
                k->c->target->name, path);
}

static void see_targets(struct look *k, const struct xml *result)
{
    const struct xml *t = xml_path(result, "TargetHealthDescriptions/member");

    for (; t != NULL; t = xml_next(t, "member")) {
        const char *id = xml_path_text(t, "Target/Id", "");

        for (const struct json *i = json_first(json_get(k->seen, "instances")); i != NULL;
             i = json_next(i)) {
            if (strcmp(json_get_str(i, "id", ""), id) == 0)
                json_set_str((struct json *)(uintptr_t)i, "target",
                             xml_path_text(t, "TargetHealth/State", ""));
        }
    }
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
    if ((k->beside & ASG_TARGET_HEALTH) != 0)
        see_instances(k, g);
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
        else if (q == TARGETS)
            see_targets(k, result);
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
    /* The group says which target group is its own. */
    if (q == GROUPS && (k->beside & ASG_TARGET_HEALTH) != 0 && k->err.code == 0 &&
        json_get(k->seen, "target_group") != NULL) {
        k->open++;
        ask(k, TARGETS);
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

static void on_targets(void *arg, const struct aws_answer *a, const struct err *e)
{
    take(arg, TARGETS, a, e);
}

static void ask(struct look *k, int q)
{
    static aws_fn *const take_it[QUESTIONS] = {on_groups, on_policies, on_refreshes, on_targets};
    struct aws_params *p = aws_params_new();
    struct aws_request r = {.service = questions[q].service,
                            .action = questions[q].action,
                            .params = p,
                            .deadline_ms = k->c->deadline_ms};

    aws_param(p, questions[q].name,
              q == TARGETS ? json_get_str(k->seen, "target_group", "") : k->c->target->name);
    if (q != TARGETS) /* which has no pages */
        aws_param(p, "NextToken", k->tokens[q]);
    k->calls[q] = aws_send(k->aws, &r, take_it[q], k);
    aws_params_free(p);
}

void asg_observe(struct action_call *c, unsigned beside)
{
    struct look *k = mem_alloc(sizeof(*k));

    c->state = k;
    k->c = c;
    k->beside = beside;
    k->seen = json_new_map();
    json_set(k->seen, "controllers", json_new_list());
    k->aws = c->io->aws(c->io->arg, json_get_str(c->target->fields, "aws", ""), &k->err);
    if (k->aws == NULL) {
        k->later = loop_timer_new(c->io->loop, look_later, k);
        loop_timer_set(k->later, 0);
        return;
    }
    k->open = (beside & ASG_SCALING_POLICIES) != 0 ? 3 : 2;
    ask(k, GROUPS);
    if ((beside & ASG_SCALING_POLICIES) != 0)
        ask(k, POLICIES);
    ask(k, REFRESHES);
}

bool asg_suspended(const struct json *seen, const char *process)
{
    const struct json *list = json_get(seen, "suspended");

    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (strcmp(json_str(i, ""), process) == 0)
            return true;
    }
    return false;
}

/* Doing */

struct doing {
    struct action_call *c;
    struct aws *aws;
    struct asg_change change;
    struct aws_call *call;
    struct loop_timer *later;
    struct err err;
};

static void doing_free(struct doing *d)
{
    if (d->call != NULL)
        aws_cancel(d->call);
    if (d->change.params != NULL)
        aws_params_free(d->change.params);
    json_free(d->change.out);
    loop_timer_free(d->later);
    d->c->state = NULL;
    mem_free(d);
}

static void doing_end(struct doing *d, enum applied how, const struct err *e)
{
    struct action_call *c = d->c;
    struct json *out = NULL;

    if (how == APPLIED_OK) {
        out = d->change.out;
        d->change.out = NULL;
    }
    doing_free(d);
    c->applied(c, how, out, e);
}

static void not_sent(void *arg)
{
    struct doing *d = arg;
    struct err e = d->err;

    doing_end(d, APPLIED_NOT_SENT, &e);
}

static struct doing *doing_new(struct action_call *c)
{
    struct doing *d = mem_alloc(sizeof(*d));

    d->c = c;
    c->state = d;
    return d;
}

static void end_later(struct doing *d)
{
    d->later = loop_timer_new(d->c->io->loop, not_sent, d);
    loop_timer_set(d->later, 0);
}

void asg_not_sent(struct action_call *c, const struct err *e)
{
    struct doing *d = doing_new(c);

    d->err = *e;
    end_later(d);
}

static void on_changed(void *arg, const struct aws_answer *a, const struct err *e)
{
    static const enum applied how[] = {[AWS_OK] = APPLIED_OK,
                                       [AWS_REFUSED] = APPLIED_REFUSED,
                                       [AWS_NOT_SENT] = APPLIED_NOT_SENT,
                                       [AWS_IN_DOUBT] = APPLIED_IN_DOUBT};
    struct doing *d = arg;

    d->call = NULL;
    doing_end(d, how[a->outcome], e);
}

static void change(struct doing *d)
{
    struct aws_request r = {.service = AWS_AUTOSCALING,
                            .action = d->change.action,
                            .params = d->change.params,
                            .mutating = true,
                            /* Half of the time, where a question went before. */
                            .deadline_ms = d->change.still != NULL ? d->c->deadline_ms / 2
                                                                   : d->c->deadline_ms};

    d->call = aws_send(d->aws, &r, on_changed, d);
}

static void on_first(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct doing *d = arg;
    struct err why = ERR_INIT;

    d->call = NULL;
    if (e != NULL)
        doing_end(d, APPLIED_NOT_SENT, e);
    else if (!d->change.still(d->c->call, a->xml, &why))
        doing_end(d, APPLIED_NOT_SENT, &why);
    else
        change(d);
}

void asg_apply(struct action_call *c, const struct asg_change *ch)
{
    struct doing *d = doing_new(c);

    d->change = *ch;
    d->aws = c->io->aws(c->io->arg, json_get_str(c->target->fields, "aws", ""), &d->err);
    if (d->aws == NULL)
        end_later(d);
    else if (ch->first != NULL)
        d->call = aws_send(d->aws, ch->first, on_first, d);
    else
        change(d);
    d->change.first = NULL; /* the caller's */
}

void asg_cancel(struct action_call *c)
{
    if (c->state == NULL)
        return;
    if (c->call == NULL)
        look_free(c->state);
    else
        doing_free(c->state);
}
