/* Off says nothing: what is open when a policy, its target or the agent is turned off, or when they
 * go, is settled and closed, also over a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

static const struct script_line act_and_wait[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_WAIT, "calm", 120 * MIN_MS}, SCRIPT_END};

/* One group that fires at 15m, pages, is acted on, and stays hot while its run waits. */
static struct policy *waiting(struct rig *r)
{
    struct policy *p;

    rig_init(r, 2);
    p = rules_scripted(r, act_and_wait);
    p->page = PAGE_AT_FIRE;
    p->status_every_ms = 5 * MIN_MS;
    p->limit = (struct rate){10, 60 * MIN_MS};
    p->cooldown_ms = 0;
    rig_start(r);
    rig_run(r, 9.5);
    r->t[0].load = 1100;
    return p;
}

/* Nothing but group 1 is selected from the next load on. */
static void select_other(struct rig *r)
{
    struct policy *p = r->set->policies[0];

    p->target.name = json_new_list();
    json_add(p->target.name, json_new_str("g1"));
}

static void free_rig(struct rig *r)
{
    json_free(r->set->policies[0]->target.name);
    r->set->policies[0]->target.name = NULL;
    rig_free(r);
}

static size_t open_episodes(struct rig *r)
{
    struct json *a = rig_order(r, "status", NULL);
    size_t n = 0;

    for (const struct json *p = json_first(json_get(a, "policies")); p; p = json_next(p))
        n += json_get_str(p, "episode", NULL) != NULL;
    json_free(a);
    return n;
}

/* Closed, with its reason, and quiet for two hours and a restart. */
static void is_over(struct rig *r, const char *why, double minute)
{
    char *text = mem_printf("no longer watched: %s; nothing was verified", why);
    struct json *a = rig_order(r, "episodes", NULL);
    int told;

    if (!r->reports || !strstr(r->reports, text))
        fail_msg("not told: %s\n%s", text, r->reports ? r->reports : "");
    mem_free(text);
    assert_string_equal(json_get_str(json_at(json_get(a, "episodes"), 0), "state", ""), "vanished");
    assert_string_equal(json_get_str(json_at(json_get(a, "episodes"), 0), "why", ""), why);
    json_free(a);
    assert_int_equal(r->resolves, 1);
    assert_int_equal(open_episodes(r), 0);
    told = rules_count(r->reports, "\n");
    rig_run(r, minute + 60);
    rig_restart(r);
    rig_run(r, minute + 120);
    if (rules_count(r->reports, "\n") != told)
        fail_msg("told after its end:\n%s", r->reports);
}

static void a_policy_that_is_turned_off_and_on(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    p = waiting(&r);
    rig_run(&r, 32);
    assert_int_equal(rules_count(r.reports, "still firing"), 3);
    p->mode = MODE_OFF;
    rig_reload(&r);
    rig_run(&r, 33);
    SEEN("end cancelled: its policy is off");
    assert_non_null(strstr(r.reports, "Left as it is: scale desired 10 -> 12"));
    is_over(&r, "its policy is off", 33);
    assert_int_equal(rules_count(r.timeline, " fire "), 1);
    p->mode = MODE_ENFORCE;
    r.t[0].load = 1300;
    rig_reload(&r);
    rig_run(&r, 170);
    assert_int_equal(rules_count(r.timeline, " fire "), 2); /* another episode, another page */
    assert_int_equal(r.triggers, 2);
    free_rig(&r);
}

static void the_agent_is_turned_off(void **state)
{
    struct rig r;
    struct json *a;

    (void)state;
    waiting(&r);
    rig_run(&r, 22);
    a = rig_order(&r, "mode", "mode", "off", NULL);
    assert_string_equal(json_get_str(a, "warning", ""),
                        "1 open episode ends without being clear, and the page closes; what only "
                        "holds the agent is runbookctl freeze");
    json_free(a);
    rig_restart(&r); /* the order is durable, the end perhaps not: it is made up for */
    rig_run(&r, 30);
    SEEN("end cancelled: the agent is off");
    is_over(&r, "the agent is off", 30);
    assert_string_equal(rules_order(&r, "start", "policy", "hot", "target", "g0"),
                        "hot is off on asg/g0 (its mode enforce, the target's enforce, the agent's "
                        "off)");
    free_rig(&r);
}

static void turned_off_while_the_agent_was_away(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    p = waiting(&r);
    rig_run(&r, 22);
    p->mode = MODE_OFF;
    r.t[0].missing = true; /* nor does a silent source keep it open */
    rig_restart(&r);
    rig_run(&r, 22.01);
    SEEN("end cancelled: its policy is off");
    is_over(&r, "its policy is off", 30);
    free_rig(&r);
}

/* What may have taken effect is settled first, whoever asks. */
static void what_is_in_doubt_is_settled_first(void **state)
{
    for (int gone = 0; gone < 2; gone++)
        for (int crash = 0; crash < 2; crash++) {
            struct rig r;
            struct policy *p;
            char run[64];

            (void)state;
            p = waiting(&r);
            r.next_how = APPLIED_IN_DOUBT;
            r.doubt_desired = 13;
            rig_run(&r, 20);
            assert_int_equal(r.humans, 1);
            rules_run(&r, run);
            if (gone)
                select_other(&r);
            else
                p->mode = MODE_OFF;
            rig_reload(&r);
            if (crash && !gone) /* a run whose target is gone is not taken up: a human is called */
                rig_restart(&r);
            rig_run(&r, 30);
            assert_int_equal(r.resolves, 0);
            assert_string_equal(rules_order(&r, "settle", "run", run, "as", "done"), "");
            rig_run(&r, 32);
            SEEN("end cancelled: ");
            is_over(&r, gone ? "the target or its policy is gone" : "its policy is off", 32);
            free_rig(&r);
        }
}

/* The page that was open when the agent stopped is closed when its policy or target is gone. */
static void gone_while_the_agent_was_away(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    waiting(&r);
    rig_run(&r, 20); /* the run ends, its episode stays open */
    assert_string_equal(rules_order(&r, "cancel", "run", rules_run(&r, run), NULL, NULL), "");
    select_other(&r);
    rig_restart(&r);
    rig_run(&r, 25);
    assert_int_equal(r.humans, 0);
    is_over(&r, "the target or its policy is gone", 25);
    free_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_policy_that_is_turned_off_and_on),
        cmocka_unit_test(the_agent_is_turned_off),
        cmocka_unit_test(turned_off_while_the_agent_was_away),
        cmocka_unit_test(what_is_in_doubt_is_settled_first),
        cmocka_unit_test(gone_while_the_agent_was_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
