/* The rules where two things meet: what fires, ends, reloads or goes blind while something else is
 * under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

/* The same targets, listed anew; the estate before is freed when nothing holds it. */
static void list_again(struct rig *r, int targets)
{
    struct estate *next = estate_new();
    struct err e = ERR_INIT;

    for (int k = 0; k < targets; k++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", k);
        assert_int_equal(estate_add(next, "asg", name, json_new_map(), json_new_map(), MODE_ENFORCE,
                                    "estate.lua", k + 1, NULL),
                         0);
    }
    if (virtual_reload(r->v, r->set, next, &e))
        fail_msg("%s", e.text);
    estate_unref(r->estate);
    r->estate = next;
}

/* A policy that is turned off while its data is missing waits for nothing any more. */
static void off_while_blind_is_quiet(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.t[0].missing = true;
    rig_start(&r);
    rig_run(&r, 10);
    r.set->policies[0]->mode = MODE_OFF;
    rig_reload(&r);
    rig_run(&r, 120);
    assert_int_equal(r.humans, 0);
    rig_free(&r);
}

static const struct script_line act_and_sleep[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_SLEEP, NULL, 20 * MIN_MS}, SCRIPT_END};

static void unknown_never_resolves(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_and_sleep);
    rules_heat(&r, 25);
    SEEN(" clear ");
    r.t[0].missing = true; /* the run ends at 35m, blind */
    rig_run(&r, 45);
    SEEN(" end ");
    NOT_SEEN(" resolve ");
    r.t[0].missing = false;
    rig_run(&r, 60);
    SEEN(" resolve ");
    rig_free(&r);
}

/* M6: one run on one policy and target, also when an operator was first. */
static void firing_joins_the_run_that_an_operator_started(void **state)
{
    struct rig r;
    char before[64], after[64];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_and_sleep)->page = PAGE_AT_FIRE;
    rig_start(&r);
    rig_run(&r, 5);
    assert_string_equal(rules_order(&r, "start", "policy", "hot", "target", "g0"), "");
    rig_run(&r, 6);
    assert_int_equal(r.t[0].effects, 1);
    rules_run(&r, before);
    r.t[0].load = 1000;
    rig_run(&r, 15);
    SEEN(" fire ");
    assert_int_equal(r.triggers, 1);
    rules_run(&r, after);
    assert_string_equal(before, after);
    r.t[0].load = 100;
    rig_run(&r, 60);
    assert_int_equal(rules_count(r.timeline, " end "), 1);
    SEEN(" resolve ");
    rules_run(&r, after);
    assert_string_equal(after, "");
    rig_free(&r);
}

/* M8: what is reported without an episode has a key of its own, not that of one long resolved. */
static void blindness_is_heard_under_the_policys_own_key(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rules_heat(&r, 40);
    SEEN(" resolve ");
    r.t[0].missing = true;
    rig_run(&r, 80);
    assert_non_null(strstr(r.reports, "human hot@asg/g0/human g0: blind for"));
    rig_free(&r);
}

static void status_updates_follow_the_policy_of_today(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_and_sleep);
    p->status_every_ms = 5 * MIN_MS;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 1500;
    rig_run(&r, 31);
    assert_int_equal(rules_count(r.reports, "still firing"), 3);
    p->status_every_ms = 0;
    rig_reload(&r);
    rig_run(&r, 60);
    assert_int_equal(rules_count(r.reports, "still firing"), 3);
    p->status_every_ms = 10 * MIN_MS;
    rig_reload(&r);
    rig_run(&r, 72);
    assert_int_equal(rules_count(r.reports, "still firing"), 4);
    rig_free(&r);
}

/* A page that was opened before the storm lowered the mode is closed at the pager. */
static void what_was_triggered_is_resolved_whatever_the_mode_is_by_then(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 30);
    p = rig_policy(&r, "hot");
    p->page = PAGE_AT_FIRE;
    p->max_targets = 100;
    for (int k = 0; k < 30; k++)
        r.t[k].load = 700;
    rig_start(&r);
    rig_run(&r, 20);
    assert_int_equal(r.triggers, 20);
    for (int k = 0; k < 30; k++)
        r.t[k].load = 10;
    rig_run(&r, 90);
    assert_int_equal(rules_count(r.reports, "\nresolve "), 20);
    /* Ending the storm widens what the agent may do. */
    assert_non_null(strstr(rules_order(&r, "mode", "mode", "enforce", "x", "y"), "confirm"));
    rig_free(&r);
}

static void take_answer(void *arg, struct json *answer)
{
    *(struct json **)arg = answer;
}

static void a_plan_outlives_a_reload(void **state)
{
    struct rig r;
    struct json *c = json_new_map(), *answer = NULL;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    r.latency_ms = 5000;
    json_set_str(c, "command", "plan");
    json_set_str(c, "policy", "hot");
    engine_command(virtual_engine(r.v), c, take_answer, &answer);
    list_again(&r, 1);
    rig_run(&r, 6);
    assert_non_null(answer);
    assert_int_equal(json_len(json_get(answer, "plans")), 1);
    json_free(answer);
    json_free(c);
    rig_free(&r);
}

/* The series that a run of before a reload reads belongs to the estate of today. */
static void a_reading_outlives_the_estate_it_began_with(void **state)
{
    struct rig r;
    static const struct script_line reader[] = {{'*', ASK_ACT, "scale", 0},
                                                {'*', ASK_SLEEP, NULL, 10 * MIN_MS},
                                                {'*', ASK_READ, "load", 0},
                                                SCRIPT_END};

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, reader);
    rules_heat(&r, 20);
    list_again(&r, 1);
    rig_run(&r, 60);
    SEEN("end succeeded");
    rig_free(&r);
}

static void a_silence_names_its_target_either_way(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    assert_string_equal(rules_order(&r, "silence", "target", "g0", "for", "1h"), "");
    r.t[0].load = 700;
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

static void a_silence_of_nothing_is_refused(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    assert_non_null(strstr(rules_order(&r, "silence", "policy", "hto", "for", "1h"), "policy hto"));
    assert_non_null(strstr(rules_order(&r, "silence", "target", "g9", "for", "1h"), "target g9"));
    rig_free(&r);
}

static void start_says_which_target(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    assert_non_null(strstr(rules_order(&r, "start", "policy", "hot", "x", "y"), "say which"));
    rig_free(&r);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

/* A request in flight ends before the agent does; a run that only sleeps is not waited for. */
static void draining_waits_for_requests_only(void **state)
{
    struct rig r;
    bool drained = false;

    (void)state;
    rig_init(&r, 2);
    rules_scripted(&r, act_and_sleep)->max_targets = 2;
    rules_heat(&r, 20);
    r.t[1].load = 700;
    r.latency_ms = 90 * 1000; /* the observation times out, the request would not */
    rig_run(&r, 24);
    r.latency_ms = 25 * 1000;
    rig_run(&r, 34.7);
    engine_drain(virtual_engine(r.v), on_drained, &drained);
    rig_run(&r, 60);
    assert_true(drained);
    assert_false(rig_seen(&r, "sleep over"));
    rig_free(&r);
}

static void ignore(void *arg, const char *denied, const struct err *e)
{
    (void)arg;
    (void)denied;
    (void)e;
}

static void newest_key(void *arg, const char *key, const struct json *d)
{
    (void)d;
    if (strcmp(key, arg) > 0)
        snprintf(arg, 64, "%s", key);
}

/* A report that is still to be sent is not overwritten by one of after a restart, whatever the
 * clock says by then. */
static void reports_go_on_after_those_of_before(void **state)
{
    struct rig r;
    struct journal *j;
    struct jtx *tx = jtx_new(1, 1);
    char newest[64] = "";

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    j = memory_journal_open(virtual_disk(r.v));
    jtx_put(tx, "report", "001790009999999-0007", json_new_map(), true);
    j->ops->submit(j, tx, ignore, NULL);
    j->ops->close(j);
    rig_start(&r);
    rules_order(&r, "report-test", "x", "y", "x", "y");
    memory_disk_each(virtual_disk(r.v), "report", newest_key, newest);
    assert_string_equal(newest, "001790009999999-0008");
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_while_blind_is_quiet),
        cmocka_unit_test(unknown_never_resolves),
        cmocka_unit_test(firing_joins_the_run_that_an_operator_started),
        cmocka_unit_test(blindness_is_heard_under_the_policys_own_key),
        cmocka_unit_test(status_updates_follow_the_policy_of_today),
        cmocka_unit_test(what_was_triggered_is_resolved_whatever_the_mode_is_by_then),
        cmocka_unit_test(a_plan_outlives_a_reload),
        cmocka_unit_test(a_reading_outlives_the_estate_it_began_with),
        cmocka_unit_test(a_silence_names_its_target_either_way),
        cmocka_unit_test(a_silence_of_nothing_is_refused),
        cmocka_unit_test(start_says_which_target),
        cmocka_unit_test(reports_go_on_after_those_of_before),
        cmocka_unit_test(draining_waits_for_requests_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
