/* asg_replace's thinking: whom it names, when it refuses, what a lost answer proves. */
#include "help_actions.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

extern const struct action_type asg_replace_action;

static struct target group = {.kind = "asg", .name = "web", .id = "asg/web"};

/* What observe would see: instances as "id state health zone target", "!" before a protected one.
 */
static struct json *seen_of(int64_t desired, const char *instances, const char *more)
{
    struct json *seen = parse(more != NULL ? more : "{}"),
                *list = json_set(seen, "instances", json_new_list());
    char id[32], state[32], health[32], zone[32], target[32];
    int used = 0;

    json_set_int(seen, "desired", desired);
    json_set_str(seen, "target_group", "arn:tg");
    for (; sscanf(instances, " %31s %31s %31s %31s %31[^,],%n", id, state, health, zone, target,
                  &used) == 5;
         instances += used) {
        struct json *row = json_add(list, json_new_map());

        json_set_str(row, "id", id + (*id == '!'));
        json_set_bool(row, "protected", *id == '!');
        json_set_str(row, "state", state);
        json_set_str(row, "health", health);
        json_set_str(row, "zone", zone);
        json_set_str(row, "target", target);
    }
    return seen;
}

static struct plan *plan_of(const char *opts, const struct json *seen, const struct json *within,
                            struct err *e)
{
    struct json *o = parse(opts);
    struct action_input in = {.target = &group, .opts = o, .within = within, .wall_ms = 1000};
    struct plan *p;

    *e = (struct err)ERR_INIT;
    p = asg_replace_action.plan(&in, seen, e);
    assert_true((p == NULL) == (e->code != 0));
    json_free(o);
    return p;
}

/* "replace: i-1 i-2", with what is broken or who else is at work; "empty"; "denied: ...". */
static char *said(const struct plan *p, const struct err *e)
{
    struct buf b;

    buf_init(&b, 4096);
    if (p == NULL) {
        (void)buf_addf(&b, "%s: %s", err_name(e->code), e->text);
        return buf_take(&b);
    }
    (void)buf_adds(&b, p->empty ? "empty" : "replace:");
    for (const struct json *i = json_first(p->names); i != NULL; i = json_next(i))
        (void)buf_addf(&b, " %s", json_str(i, "?"));
    if (plan_broken(p) != NULL)
        (void)buf_addf(&b, "; %s", plan_broken(p));
    for (const struct json *i = json_first(p->controllers); i != NULL; i = json_next(i))
        (void)buf_addf(&b, "; beside %s", json_str(i, "?"));
    return buf_take(&b);
}

#define OK(id) id " InService Healthy a healthy,"
#define BAD(id) id " InService Healthy a unhealthy,"
#define BAD_B(id) id " InService Healthy b unhealthy,"

static void plans(void **state)
{
    static const struct {
        const char *opts, *instances, *more, *says;
        int desired;
    } rows[] = {
        {"{}", OK("i-1") OK("i-2"), NULL, "empty", 2},
        {"{}", OK("i-1") OK("i-2") BAD("i-3"), NULL, "replace: i-3", 3},
        {"{}", OK("i-1") OK("i-2") BAD("i-4") BAD("i-3"), NULL, "replace: i-3", 4},
        {"{\"max\": 2}", OK("i-1") OK("i-2") BAD("i-4") BAD("i-3"), NULL, "replace: i-3 i-4", 4},
        /* one failure domain */
        {"{\"max\": 2}", OK("i-1") OK("i-2") BAD("i-3") BAD_B("i-4"), NULL, "replace: i-3", 4},
        {"{\"max\": 3}", OK("i-1") OK("i-2") OK("i-6") BAD_B("i-3") BAD("i-4") BAD_B("i-5"), NULL,
         "replace: i-3 i-5", 6},
        /* too few remain */
        {"{}", OK("i-1") BAD("i-2") BAD("i-3"), NULL,
         "replace: i-2; at least 50% of the group are healthy (observed 1 of 3)", 3},
        {"{\"min_healthy\": 34}", OK("i-1") BAD("i-2") BAD("i-3"), NULL,
         "replace: i-2; at least 34% of the group are healthy (observed 1 of 3)", 3},
        {"{\"min_healthy\": 33}", OK("i-1") BAD("i-2") BAD("i-3"), NULL, "replace: i-2", 3},
        {"{}", BAD("i-1"), NULL,
         "replace: i-1; at least 50% of the group are healthy (observed 0 of 1)", 1},
        {"{\"min_healthy\": 0}", BAD("i-1"), NULL, "replace: i-1", 1},
        /* something else is at work */
        {"{}", OK("i-1") OK("i-2") BAD("i-3"), NULL,
         "replace: i-3; as many in service as desired, none coming or going (observed 3 in "
         "service, 0 coming or going, 4 desired)",
         4},
        {"{}", OK("i-1") OK("i-2") BAD("i-3") "i-4 Pending Healthy a -,", NULL,
         "replace: i-3; as many in service as desired, none coming or going (observed 3 in "
         "service, 1 coming or going, 4 desired)",
         4},
        {"{}", OK("i-1") OK("i-2") BAD("i-3") "i-4 Terminating Healthy a draining,", NULL,
         "replace: i-3; as many in service as desired, none coming or going (observed 3 in "
         "service, 1 coming or going, 3 desired)",
         3},
        {"{}", OK("i-1") OK("i-2") BAD("i-3") "i-4 Terminating:Wait Healthy a draining,", NULL,
         "replace: i-3; as many in service as desired, none coming or going (observed 3 in "
         "service, 1 coming or going, 3 desired)",
         3},
        {"{}", OK("i-1") OK("i-2") BAD("i-3"), "{\"suspended\": [\"Launch\"]}",
         "replace: i-3; the group's process Launch is not suspended (observed suspended)", 3},
        {"{}", OK("i-1") OK("i-2") BAD("i-3"), "{\"suspended\": [\"Terminate\"]}",
         "replace: i-3; the group's process Terminate is not suspended (observed suspended)", 3},
        {"{}", OK("i-1") OK("i-2") BAD("i-3"),
         "{\"controllers\": [\"instance refresh r-1 (InProgress)\"]}",
         "replace: i-3; beside instance refresh r-1 (InProgress)", 3},
        {"{}", OK("i-1") OK("i-2") BAD("i-3"), "{\"health_check\": \"EC2,ELB\"}",
         "replace: i-3; beside Auto Scaling's own health check (ELB)", 3},
        {"{}", OK("i-1") OK("i-2") BAD("i-3"),
         "{\"health_check\": \"ELB\", \"suspended\": [\"ReplaceUnhealthy\"]}", "replace: i-3", 3},
        /* set aside, protected, Auto Scaling's own */
        {"{}", OK("i-1") OK("i-2") BAD("i-3") "i-4 Standby Healthy a unhealthy,", NULL,
         "replace: i-3", 3},
        {"{}", OK("i-1") OK("i-2") "i-4 Standby Healthy a unhealthy,", NULL, "empty", 2},
        {"{}", OK("i-1") OK("i-2") BAD("!i-3"), NULL,
         "denied: 1 unhealthy, none to be ended here: i-3: protected from scale-in", 3},
        {"{}", OK("i-1") OK("i-2") BAD("!i-3") BAD("i-4"), NULL, "replace: i-4", 4},
        {"{}", OK("i-1") OK("i-2") "i-3 InService Unhealthy a unhealthy,", NULL,
         "denied: 1 unhealthy, none to be ended here: i-3: Auto Scaling ends it itself", 3},
        /* not healthy is not yet unhealthy */
        {"{}", OK("i-1") OK("i-2") "i-3 InService Healthy a initial,", NULL, "empty", 3},
        {"{}", OK("i-1") OK("i-2") "i-3 InService Healthy a unavailable,", NULL, "empty", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *seen = seen_of(rows[i].desired, rows[i].instances, rows[i].more);
        struct err e;
        struct plan *p = plan_of(rows[i].opts, seen, NULL, &e);
        char *got = said(p, &e);

        if (strcmp(got, rows[i].says) != 0)
            fail_msg("%s of %s: \"%s\" in place of \"%s\"", rows[i].opts, rows[i].instances, got,
                     rows[i].says);
        mem_free(got);
        plan_free(p);
        json_free(seen);
    }
}

static void what_makes_no_sense_is_no_plan(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "null",
        "{\"desired\": 2}",
        "{\"desired\": 2, \"instances\": {}}",
        "{\"instances\": []}",
        "{\"desired\": 1, \"instances\": [{\"id\": \"i-1\"}]}",
        "{\"desired\": 1, \"instances\": [{\"state\": \"InService\"}]}"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct json *seen = parse(bad[i]);
        struct err e;
        struct plan *p = plan_of("{}", seen, NULL, &e);

        if (p != NULL || e.code != ERR_INPUT)
            fail_msg("%s gives a plan", bad[i]);
        json_free(seen);
    }
}

#define HEALTH_OF(id)                                                                              \
    "\"if\":{\"call\":\"elasticloadbalancing:DescribeTargetHealth\",\"args\":{\"TargetGroupArn\":" \
    "\"arn:tg\",\"Targets\":[{\"Id\":\"" id "\"}]},\"says\":\"unhealthy\"}"

static void a_plan_holds_its_identities(void **state)
{
    struct json *seen = seen_of(4, OK("i-1") OK("i-2") BAD("i-3") BAD("i-4"), NULL),
                *then = parse("[\"i-3\", \"i-4\"]"), *later, *only = parse("[\"i-4\"]");
    struct err e;
    struct plan *p = plan_of("{\"max\": 2}", seen, NULL, &e), *q;
    char *calls = json_print(p->calls), *out = json_print(p->out);

    (void)state;
    assert_string_equal(
        calls,
        "[{\"call\":\"autoscaling:TerminateInstanceInAutoScalingGroup\",\"args\":{"
        "\"InstanceId\":\"i-3\",\"ShouldDecrementDesiredCapacity\":false}," HEALTH_OF(
            "i-3") "},"
                   "{\"call\":\"autoscaling:TerminateInstanceInAutoScalingGroup\",\"args\":{"
                   "\"InstanceId\":\"i-4\",\"ShouldDecrementDesiredCapacity\":false}," HEALTH_OF(
                       "i-4") "}]");
    assert_string_equal(out, "{\"ids\":[\"i-3\",\"i-4\"]}");
    assert_int_equal(p->flags, ACTION_DESTRUCTIVE | ACTION_DISRUPTIVE);
    assert_null(asg_replace_action.undo);
    mem_free(calls);
    mem_free(out);

    /* One got well, another fell ill: the re-check names fewer, never another. */
    later = seen_of(4, OK("i-1") BAD("i-2") OK("i-3") BAD("i-4"), NULL);
    q = plan_of("{\"max\": 2}", later, then, &e);
    assert_int_equal(json_len(q->names), 1);
    assert_true(json_equal(q->names, only));
    assert_true(plan_same_or_less(p, q));
    plan_free(q);
    q = plan_of("{\"max\": 2}", later, NULL, &e);
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    json_free(later);
    json_free(only);
    json_free(then);
    json_free(seen);
    plan_free(p);
}

static enum verdict judged(const struct plan *p, size_t call, const struct json *seen,
                           int64_t age_ms)
{
    struct action_input in = {.target = &group, .wall_ms = 1000 + age_ms};

    return asg_replace_action.judge(&in, p, call, seen);
}

static void a_lost_answer(void **state)
{
    static const struct {
        const char *instances;
        enum verdict early, late, second;
    } rows[] = {
        {OK("i-1") BAD("i-3") BAD("i-4"), VERDICT_UNKNOWN, VERDICT_NO, VERDICT_UNKNOWN},
        {OK("i-1") OK("i-3") OK("i-4"), VERDICT_UNKNOWN, VERDICT_NO, VERDICT_UNKNOWN},
        {OK("i-1"), VERDICT_YES, VERDICT_YES, VERDICT_YES},
        {OK("i-1") "i-3 Terminating Healthy a draining,i-4 Terminating:Wait Healthy a draining,",
         VERDICT_YES, VERDICT_YES, VERDICT_YES},
        {OK("i-1") "i-3 Standby Healthy a -,i-4 Detaching Healthy a -,", VERDICT_UNKNOWN,
         VERDICT_UNKNOWN, VERDICT_UNKNOWN},
    };
    struct json *seen = seen_of(4, OK("i-1") OK("i-2") BAD("i-3") BAD("i-4"), NULL),
                *nothing = parse("{}");
    struct err e;
    struct plan *p = plan_of("{\"max\": 2}", seen, NULL, &e);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *now = seen_of(4, rows[i].instances, NULL);

        if (judged(p, 0, now, 29999) != rows[i].early || judged(p, 0, now, 30000) != rows[i].late ||
            judged(p, 1, now, 99999) != rows[i].second)
            fail_msg("row %zu: %d %d %d", i, judged(p, 0, now, 29999), judged(p, 0, now, 30000),
                     judged(p, 1, now, 99999));
        json_free(now);
    }
    assert_int_equal(judged(p, 0, nothing, 99999), VERDICT_UNKNOWN);
    json_free(nothing);
    json_free(seen);
    plan_free(p);
}

static void the_model_carries_it_out(void **state)
{
    struct json *s = parse("{\"desired\": 4, \"unhealthy\": 2, \"replaced\": 0}"),
                *opts = parse("{\"max\": 1}");
    struct action_input in = {.target = &group, .opts = opts};
    struct json *too_many = parse("{\"desired\": 1, \"unhealthy\": 2}");
    struct err e = ERR_INIT;

    (void)state;
    for (int round = 0; round < 3; round++) {
        struct json *seen = asg_replace_action.state_seen(&in, s, &e);
        struct plan *p = asg_replace_action.plan(&in, seen, &e);

        assert_non_null(p);
        if (round == 2) {
            assert_true(p->empty);
        } else {
            assert_null(plan_broken(p));
            asg_replace_action.state_apply(&in, json_at(p->calls, 0), s);
            json_free(seen);
            seen = asg_replace_action.state_seen(&in, s, &e);
            assert_int_equal(asg_replace_action.judge(&in, p, 0, seen), VERDICT_YES);
        }
        plan_free(p);
        json_free(seen);
    }
    assert_null(asg_replace_action.state_seen(&in, too_many, &e));
    assert_string_equal(e.text, "unhealthy = 2 is more than desired = 1");
    json_free(too_many);
    json_free(opts);
    json_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(what_makes_no_sense_is_no_plan),
        cmocka_unit_test(a_plan_holds_its_identities),
        cmocka_unit_test(a_lost_answer),
        cmocka_unit_test(the_model_carries_it_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
