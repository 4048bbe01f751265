/* Looking at an Auto Scaling group. */
#include "shared_asg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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
static void see_instances(const struct action_call *c, const struct xml *g, struct json *seen,
                          struct err *e)
{
    const char *path = json_get_str(c->target->fields, "target_group", NULL);
    struct json *list = json_set(seen, "instances", json_new_list());

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
    json_set_str(seen, "health_check", xml_path_text(g, "HealthCheckType", ""));
    for (const struct xml *a = xml_path(g, "TargetGroupARNs/member"); a != NULL && path != NULL;
         a = xml_next(a, "member")) {
        const char *arn = xml_text(a, ""), *end = strrchr(arn, ':');

        if (end != NULL && strcmp(end + 1, path) == 0)
            json_set_str(seen, "target_group", arn);
    }
    if (path == NULL)
        err_set(e, ERR_INPUT,
                "%s has no target group: give it target_group = \"targetgroup/NAME/ID\"",
                c->target->id);
    else if (json_get(seen, "target_group") == NULL)
        err_set(e, ERR_NOT_FOUND, "group %s has no target group %s: correct the estate",
                c->target->name, path);
}

static void see_targets(const struct action_call *c, const struct xml *result, struct json *seen,
                        struct err *e)
{
    const struct xml *t = xml_path(result, "TargetHealthDescriptions/member");

    (void)c;
    (void)e;
    for (; t != NULL; t = xml_next(t, "member")) {
        const char *id = xml_path_text(t, "Target/Id", "");

        for (const struct json *i = json_first(json_get(seen, "instances")); i != NULL;
             i = json_next(i)) {
            if (strcmp(json_get_str(i, "id", ""), id) == 0)
                json_set_str((struct json *)(uintptr_t)i, "target",
                             xml_path_text(t, "TargetHealth/State", ""));
        }
    }
}

static const struct xml *see_group(const struct action_call *c, const struct xml *result,
                                   struct json *seen, struct err *e)
{
    const struct xml *g = xml_path(result, "AutoScalingGroups/member");
    int64_t in_service = 0;
    struct json *suspended;

    for (; g != NULL; g = xml_next(g, "member")) {
        if (strcmp(xml_path_text(g, "AutoScalingGroupName", ""), c->target->name) == 0)
            break;
    }
    if (g == NULL) {
        if (json_get(seen, "desired") == NULL && xml_path_text(result, "NextToken", "")[0] == '\0')
            err_set(e, ERR_NOT_FOUND, "there is no Auto Scaling group %s: correct the estate",
                    c->target->name);
        return NULL;
    }
    see_int(seen, "desired", g, "DesiredCapacity");
    see_int(seen, "min", g, "MinSize");
    see_int(seen, "max", g, "MaxSize");
    for (const struct xml *i = xml_path(g, "Instances/member"); i != NULL;
         i = xml_next(i, "member"))
        in_service += strcmp(xml_path_text(i, "LifecycleState", ""), "InService") == 0;
    json_set_int(seen, "in_service", in_service);
    suspended = json_set(seen, "suspended", json_new_list());
    for (const struct xml *p = xml_path(g, "SuspendedProcesses/member"); p != NULL;
         p = xml_next(p, "member"))
        json_add(suspended, json_new_str(xml_path_text(p, "ProcessName", "")));
    if (json_get(seen, "desired") == NULL || json_get(seen, "min") == NULL ||
        json_get(seen, "max") == NULL)
        err_set(e, ERR_INPUT, "group %s: the answer has no DesiredCapacity, MinSize or MaxSize",
                c->target->name);
    return g;
}

static void add_controller(struct json *seen, const char *what, const char *name, const char *how)
{
    char text[256];

    snprintf(text, sizeof(text), "%s %.100s (%.60s)", what, name, how);
    json_add(json_get_mut(seen, "controllers"), json_new_str(text));
}

/* Target tracking, step and simple scaling act by themselves; predictive scaling only when it is
 * told to do more than forecast. */
static void see_policies(const struct action_call *c, const struct xml *result, struct json *seen,
                         struct err *e)
{
    (void)c;
    (void)e;
    for (const struct xml *p = xml_path(result, "ScalingPolicies/member"); p != NULL;
         p = xml_next(p, "member")) {
        const char *type = xml_path_text(p, "PolicyType", "SimpleScaling");
        const char *mode = xml_path_text(p, "PredictiveScalingConfiguration/Mode", "ForecastOnly");

        if (strcmp(xml_path_text(p, "Enabled", "true"), "false") == 0 ||
            (strcmp(type, "PredictiveScaling") == 0 && strcmp(mode, "ForecastAndScale") != 0))
            continue;
        add_controller(seen, "scaling policy", xml_path_text(p, "PolicyName", "?"), type);
    }
}

static void see_refreshes(const struct action_call *c, const struct xml *result, struct json *seen,
                          struct err *e)
{
    static const char *const over[] = {"Successful", "Failed", "Cancelled", "RollbackFailed",
                                       "RollbackSuccessful"};

    (void)c;
    (void)e;
    for (const struct xml *r = xml_path(result, "InstanceRefreshes/member"); r != NULL;
         r = xml_next(r, "member")) {
        const char *status = xml_path_text(r, "Status", "unknown");
        size_t i = 0;

        while (i < sizeof(over) / sizeof(*over) && strcmp(over[i], status) != 0)
            i++;
        if (i == sizeof(over) / sizeof(*over))
            add_controller(seen, "instance refresh", xml_path_text(r, "InstanceRefreshId", "?"),
                           status);
    }
}

static void take_group(const struct action_call *c, const struct xml *result, struct json *seen,
                       struct err *e)
{
    see_group(c, result, seen, e);
}

static void take_instances(const struct action_call *c, const struct xml *result, struct json *seen,
                           struct err *e)
{
    const struct xml *g = see_group(c, result, seen, e);

    if (g != NULL)
        see_instances(c, g, seen, e);
}

static void ask_groups(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)seen;
    aws_param(p, "AutoScalingGroupNames.member.1", c->target->name);
}

static void ask_of_group(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)seen;
    aws_param(p, "AutoScalingGroupName", c->target->name);
}

static void ask_targets(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)c;
    aws_param(p, "TargetGroupArn", json_get_str(seen, "target_group", ""));
}

static void observe(struct action_call *c, const struct aws_question *questions, size_t n,
                    const struct pg_question *pg)
{
    struct json *seen = json_new_map();

    json_set(seen, "controllers", json_new_list());
    aws_observe(c, json_get_str(c->target->fields, "aws", ""), questions, n, pg, seen, NULL);
}

#define REFRESHES                                                                                  \
    {                                                                                              \
        .service = AWS_AUTOSCALING, .action = "DescribeInstanceRefreshes", .page = "NextToken",    \
        .ask = ask_of_group, .take = see_refreshes                                                 \
    }

void asg_observe_scaling(struct action_call *c, const struct pg_question *pg)
{
    static const struct aws_question questions[] = {
        {.service = AWS_AUTOSCALING,
         .action = "DescribeAutoScalingGroups",
         .page = "NextToken",
         .ask = ask_groups,
         .take = take_group},
        {.service = AWS_AUTOSCALING,
         .action = "DescribePolicies",
         .page = "NextToken",
         .ask = ask_of_group,
         .take = see_policies},
        REFRESHES,
    };

    observe(c, questions, sizeof(questions) / sizeof(*questions), pg);
}

void asg_observe_targets(struct action_call *c)
{
    /* The group says which target group is its own. It has no pages. */
    static const struct aws_question targets = {.service = AWS_ELBV2,
                                                .action = "DescribeTargetHealth",
                                                .ask = ask_targets,
                                                .take = see_targets};
    static const struct aws_question questions[] = {
        {.service = AWS_AUTOSCALING,
         .action = "DescribeAutoScalingGroups",
         .page = "NextToken",
         .ask = ask_groups,
         .take = take_instances,
         .then = &targets},
        REFRESHES,
    };

    observe(c, questions, sizeof(questions) / sizeof(*questions), NULL);
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
