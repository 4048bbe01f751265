/* asg_replace: ends unhealthy instances of a group's target group, so that Auto Scaling puts new
 * ones in their place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "shared_asg.h"

/* Thinking */

/* The group as it was seen, counted. */
struct group {
    int64_t desired, in_service, moving, healthy, unhealthy;
};

static bool is_unhealthy(const struct json *i)
{
    return strcmp(json_get_str(i, "state", ""), "InService") == 0 &&
           strcmp(json_get_str(i, "target", ""), "unhealthy") == 0;
}

static int read_group(const struct json *seen, struct group *g, struct err *e)
{
    const struct json *instances = json_get(seen, "instances");

    *g = (struct group){.desired = json_get_int(seen, "desired", -1)};
    if (g->desired < 0 || json_type(instances) != JSON_LIST)
        return err_set(e, ERR_INPUT, "the group's desired capacity and instances are not known");
    for (const struct json *i = json_first(instances); i != NULL; i = json_next(i)) {
        const char *state = json_get_str(i, "state", "");

        if (json_get_str(i, "id", "")[0] == '\0' || *state == '\0')
            return err_set(e, ERR_INPUT, "an instance of the group has no id or no state");
        if (strcmp(state, "InService") == 0) {
            g->in_service++;
            g->healthy += strcmp(json_get_str(i, "target", ""), "healthy") == 0;
            g->unhealthy += is_unhealthy(i);
        } else if (strcmp(state, "Standby") != 0) { /* set aside by somebody, and left to them */
            g->moving++;
        }
    }
    return 0;
}

static bool listed(const struct json *list, const char *id)
{
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (strcmp(json_str(i, ""), id) == 0)
            return true;
    }
    return false;
}

/* NULL, or why this unhealthy instance is not ours to end. */
static const char *left_alone(const struct json *i)
{
    if (json_get_bool(i, "protected", false))
        return "protected from scale-in";
    if (strcmp(json_get_str(i, "health", ""), "Healthy") != 0)
        return "Auto Scaling ends it itself";
    return NULL;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(json_get_str(*(const struct json *const *)a, "id", ""),
                  json_get_str(*(const struct json *const *)b, "id", ""));
}

/* Those that may be ended, in the order of their ids, all of one zone: two zones at once would be
 * two failure domains at once. *why: of the last that may not. */
static size_t choose(const struct json *seen, const struct json *within, size_t max,
                     const struct json **chosen, char *why, size_t size)
{
    const struct json *instances = json_get(seen, "instances");
    const struct json **all = mem_calloc(json_len(instances) + 1, sizeof(*all));
    const char *zone = NULL;
    size_t n = 0, k = 0;

    for (const struct json *i = json_first(instances); i != NULL; i = json_next(i)) {
        const char *id = json_get_str(i, "id", ""), *reason = left_alone(i);

        if (!is_unhealthy(i))
            continue;
        if (reason != NULL)
            snprintf(why, size, "%.40s: %s", id, reason);
        else if (within == NULL || listed(within, id))
            all[n++] = i;
    }
    qsort(all, n, sizeof(*all), by_id);
    for (size_t i = 0; i < n && k < max; i++) {
        if (zone == NULL)
            zone = json_get_str(all[i], "zone", "");
        if (strcmp(zone, json_get_str(all[i], "zone", "")) == 0)
            chosen[k++] = all[i];
    }
    mem_free(all);
    return k;
}

static void require(struct plan *p, const struct action_input *in, const struct json *seen,
                    const struct group *g)
{
    static const char *const processes[] = {"Launch", "Terminate"};
    double least = json_get_num(in->opts, "min_healthy", 50);
    char text[120];

    snprintf(text, sizeof(text), "%lld in service, %lld coming or going, %lld desired",
             (long long)g->in_service, (long long)g->moving, (long long)g->desired);
    plan_require(p, g->in_service == g->desired && g->moving == 0, text,
                 "as many in service as desired, none coming or going");
    snprintf(text, sizeof(text), "%lld of %lld", (long long)g->healthy, (long long)g->desired);
    plan_require(p, (double)g->healthy * 100 >= least * (double)g->desired, text,
                 "at least %g%% of the group are healthy", least);
    for (size_t i = 0; i < sizeof(processes) / sizeof(*processes); i++) {
        bool stands = asg_suspended(seen, processes[i]);

        plan_require(p, !stands, stands ? "suspended" : "not suspended",
                     "the group's process %s is not suspended", processes[i]);
    }
}

static void name(struct plan *p, const struct json *seen, const struct json *i)
{
    const char *id = json_get_str(i, "id", "");
    struct json *health = json_new_map(), *args = json_new_map();

    json_add(p->names, json_new_str(id));
    json_add(json_get_mut(p->before, "ids"), json_new_str(id));
    json_add(json_get_mut(p->out, "ids"), json_new_str(id));
    json_set_str(health, "TargetGroupArn", json_get_str(seen, "target_group", ""));
    json_set_str(json_add(json_set(health, "Targets", json_new_list()), json_new_map()), "Id", id);
    json_set_str(args, "InstanceId", id);
    /* Never true: the group is to stay as large as it is. */
    json_set_bool(args, "ShouldDecrementDesiredCapacity", false);
    plan_call_if(p, "elasticloadbalancing:DescribeTargetHealth", health, "unhealthy",
                 "autoscaling:TerminateInstanceInAutoScalingGroup", args);
}

static void see_controllers(struct plan *p, const struct json *seen)
{
    for (const struct json *i = json_first(json_get(seen, "controllers")); i != NULL;
         i = json_next(i))
        json_add(p->controllers, json_new_str(json_str(i, "another controller")));
    /* https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-health-checks.html */
    if (strstr(json_get_str(seen, "health_check", ""), "ELB") != NULL &&
        !asg_suspended(seen, "ReplaceUnhealthy"))
        json_add(p->controllers, json_new_str("Auto Scaling's own health check (ELB)"));
}

static struct plan *replace_plan(const struct action_input *in, const struct json *seen,
                                 struct err *e)
{
    size_t max = (size_t)json_get_int(in->opts, "max", 1), n;
    const struct json **chosen;
    struct group g;
    struct plan *p;
    char why[120] = "";

    if (read_group(seen, &g, e) != 0)
        return NULL;
    chosen = mem_calloc(max + 1, sizeof(*chosen));
    n = choose(seen, in->within, max, chosen, why, sizeof(why));
    if (n == 0 && why[0] != '\0') {
        err_set(e, ERR_DENIED, "%lld unhealthy, none to be ended here: %s", (long long)g.unhealthy,
                why);
        mem_free(chosen);
        return NULL;
    }
    p = plan_new();
    json_set_int(p->before, "at_ms", in->wall_ms);
    json_set(p->before, "ids", json_new_list());
    json_set(p->out, "ids", json_new_list());
    json_set_int(p->after, "desired", g.desired);
    if (n == 0) {
        p->empty = true;
        p->summary = mem_strdup("no unhealthy instance");
        p->expect = mem_strdup("nothing changes");
        mem_free(chosen);
        return p;
    }
    p->flags = ACTION_DESTRUCTIVE | ACTION_DISRUPTIVE;
    p->summary = mem_printf("replace %zu of %lld unhealthy: %s%s", n, (long long)g.unhealthy,
                            json_get_str(chosen[0], "id", ""), n > 1 ? ", ..." : "");
    p->expect = mem_printf("%zu new in service in their place, desired stays %lld", n,
                           (long long)g.desired);
    for (size_t i = 0; i < n; i++)
        name(p, seen, chosen[i]);
    require(p, in, seen, &g);
    see_controllers(p, seen);
    mem_free(chosen);
    return p;
}

/* Gone or going is a yes, whoever did it. Still in service is a no, but not at once, and only of
 * the first request: when a later one left is not known here. */
static enum verdict replace_judge(const struct action_input *in, const struct plan *p, size_t i,
                                  const struct json *seen)
{
    const char *id = json_get_str(json_get(json_at(p->calls, i), "args"), "InstanceId", NULL);
    int64_t age_ms = in->wall_ms - json_get_int(p->before, "at_ms", 0);
    const struct json *instances = json_get(seen, "instances"), *k;

    if (id == NULL || json_type(instances) != JSON_LIST)
        return VERDICT_UNKNOWN;
    for (k = json_first(instances); k != NULL; k = json_next(k)) {
        if (strcmp(json_get_str(k, "id", ""), id) == 0)
            break;
    }
    if (k == NULL || strncmp(json_get_str(k, "state", ""), "Terminat", 8) == 0)
        return VERDICT_YES;
    if (i == 0 && strcmp(json_get_str(k, "state", ""), "InService") == 0 &&
        age_ms >= AWS_STILL_ON_ITS_WAY_MS)
        return VERDICT_NO;
    return VERDICT_UNKNOWN;
}

/* Doing */

/* Of the one target, whose health is asked for once more. */
static bool still_unhealthy(const struct json *call, const struct xml *answer, struct err *e)
{
    const char *id = json_get_str(json_get(call, "args"), "InstanceId", "");
    const struct xml *t =
        xml_path(answer, "DescribeTargetHealthResult/TargetHealthDescriptions/member");
    const char *state = xml_path_text(t, "TargetHealth/State", "");

    if (strcmp(xml_path_text(t, "Target/Id", ""), id) == 0 && strcmp(state, "unhealthy") == 0)
        return true;
    err_set(e, ERR_DENIED, "%s is %s now, not unhealthy", id,
            *state != '\0' ? state : "of no known health");
    return false;
}

static void replace_apply(struct action_call *c)
{
    aws_apply(c, json_get_str(c->target->fields, "aws", ""), still_unhealthy, NULL);
}

/* The model of a group in policies' tests: of the desired ones some are unhealthy, and each that is
 * ended is in service again, healthy and under another id. */
static struct json *replace_state_seen(const struct action_input *in, const struct json *state,
                                       struct err *e)
{
    int64_t desired = json_get_int(state, "desired", 0),
            unhealthy = json_get_int(state, "unhealthy", 0),
            replaced = json_get_int(state, "replaced", 0);
    struct json *seen = json_copy(state), *list = json_set(seen, "instances", json_new_list());

    (void)in;
    if (unhealthy > desired) {
        err_set(e, ERR_INPUT, "unhealthy = %lld is more than desired = %lld", (long long)unhealthy,
                (long long)desired);
        json_free(seen);
        return NULL;
    }
    for (int64_t i = 0; i < desired; i++) {
        struct json *row = json_add(list, json_new_map());
        int64_t number = replaced + i + 1;

        json_set_strf(row, "id", "i-%04lld", (long long)number);
        json_set_str(row, "state", "InService");
        json_set_str(row, "health", "Healthy");
        json_set_str(row, "target", i < unhealthy ? "unhealthy" : "healthy");
    }
    json_set_str(seen, "target_group", "targetgroup/test");
    return seen;
}

static void replace_state_apply(const struct action_input *in, const struct json *call,
                                struct json *state)
{
    (void)in;
    (void)call;
    json_set_int(state, "unhealthy", json_get_int(state, "unhealthy", 0) - 1);
    json_set_int(state, "replaced", json_get_int(state, "replaced", 0) + 1);
}

static const struct option replace_state[] = {
    {.name = "desired",
     .type = OPT_COUNT,
     .required = true,
     .max = 10000,
     .help = "the group's desired capacity"},
    {.name = "unhealthy",
     .type = OPT_COUNT,
     .fallback = "0",
     .max = 10000,
     .help = "how many of them are unhealthy in the target group"},
    {.name = "replaced",
     .type = OPT_COUNT,
     .fallback = "0",
     .max = 10000,
     .help = "how many were replaced before: the ids begin after them"},
    {.name = "suspended",
     .type = OPT_LIST,
     .help = "its suspended processes, \"Launch\", \"Terminate\""},
    {.name = "controllers",
     .type = OPT_LIST,
     .help = "others that scale it, \"scaling policy target-60 (TargetTrackingScaling)\""},
};

static const struct option replace_options[] = {
    {.name = "max",
     .type = OPT_COUNT,
     .fallback = "1",
     .min = 1,
     .max = 10,
     .help = "at most so many at once, all in one availability zone"},
    {.name = "min_healthy",
     .type = OPT_PERCENT,
     .fallback = "50%",
     .max = 100,
     .help = "with fewer of the group healthy it is not single instances that are broken: none is "
             "ended"},
};

/* Terminate has the group's ARN as its resource, the describe calls have none:
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
 */
static const char *const replace_permissions[] = {
    "autoscaling:DescribeAutoScalingGroups *",
    "autoscaling:DescribeInstanceRefreshes *",
    "elasticloadbalancing:DescribeTargetHealth *",
    ("autoscaling:TerminateInstanceInAutoScalingGroup "
     "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/$target.name"),
    NULL,
};
static const char *const replace_outs[] = {"ids", NULL};

static const char *const replace_needs[] = {"asg.target_group", NULL};

const struct action_type asg_replace_action = {
    .name = "asg_replace",
    .summary = "end unhealthy instances of a group, for Auto Scaling to replace them",
    .targets = "asg",
    .attribute = "instances",
    .headroom = "",
    .flags = ACTION_DESTRUCTIVE | ACTION_DISRUPTIVE,
    .can_probe = true,
    .options = OPTIONS(replace_options),
    .permissions = replace_permissions,
    .outs = replace_outs,
    .needs = replace_needs,
    .observe = asg_observe_targets,
    .apply = replace_apply,
    .cancel = aws_act_cancel,
    .plan = replace_plan,
    .judge = replace_judge,
    .state_options = OPTIONS(replace_state),
    .state_seen = replace_state_seen,
    .state_apply = replace_state_apply,
};
