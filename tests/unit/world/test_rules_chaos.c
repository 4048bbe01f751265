/* What the chaos world found, and what it cannot see: a test each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

static void load_rises(struct rig *r, int64_t at_ms)
{
    if (at_ms >= 10 * MIN_MS && r->t[0].load < 500)
        r->t[0].load = 900;
}

/* Somebody else changes the group after the plan was made and before the request leaves. */
static void drift_at_the_second_look(struct rig *r, int nth)
{
    if (nth == 2)
        r->t[0].desired = 13;
}

static void what_drifted_is_not_done(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises;
    r.on_observe = drift_at_the_second_look;
    rig_start(&r);
    rig_run(&r, 40);
    SEEN("the world drifted between plan and act");
    assert_int_equal(r.t[0].effects, 0);
    assert_int_equal(r.t[0].desired, 13);
    rig_free(&r);
}

/* An operator freezes while a request is on its way, and the agent is killed: the intent is settled
 * by the probe although the run stands still. */
static void a_suspended_run_settles_its_doubt(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises;
    r.latency_ms = 20000;
    rig_start(&r);
    while (r.t[0].effects == 0 && virtual_step(r.v, 30 * MIN_MS))
        ;
    assert_int_equal(r.t[0].effects, 1); /* its answer is not here yet */
    json_free(rig_order(&r, "freeze", "reason", "look", NULL));
    NOT_SEEN("act scale desired 10 -> 12 ok");
    rig_restart(&r);
    rig_run(&r, 25);
    SEEN("probe scale: done");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* A run that stands still still owns what it changed, after a restart too. */
static void a_suspended_run_keeps_its_lock(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    r.script = load_rises;
    rig_start(&r);
    rig_run(&r, 18);
    assert_int_equal(r.t[0].effects, 1);
    json_free(rig_order(&r, "freeze", "reason", "look", NULL));
    rig_restart(&r);
    r.set->policies[0]->when = rig_leaf(&r, CMP_ABOVE, 2000, 5 * MIN_MS);
    p = rig_policy(&r, "other");
    p->severity = SEV3;
    rig_run(&r, 20);
    json_free(rig_order(&r, "unfreeze", NULL));
    json_free(rig_order(&r, "start", "policy", "other", "target", "asg/g0", NULL));
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* The estate is another object after a reload; the target is the same. */
static void a_take_over_works_across_a_reload(void **state)
{
    struct rig r;
    struct policy *p;
    struct estate *fresh = estate_new();

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    p = rig_policy(&r, "worse");
    p->when = rig_leaf(&r, CMP_ABOVE, 70, 30 * MIN_MS);
    p->severity = SEV1;
    r.script = load_rises;
    rig_start(&r);
    rig_run(&r, 18);
    assert_int_equal(r.t[0].effects, 1);
    assert_int_equal(estate_add(fresh, "asg", "g0", json_new_map(), json_new_map(), MODE_ENFORCE,
                                "estate.lua", 1, NULL),
                     0);
    estate_unref(r.estate);
    r.estate = fresh;
    rig_reload(&r);
    rig_run(&r, 60);
    SEEN("end superseded");
    assert_int_equal(r.t[0].effects, 2);
    rig_free(&r);
}

/* A target that goes and comes back has its cooldown still. */
static void the_cooldown_outlives_an_absence(void **state)
{
    struct rig r;
    struct estate *empty = estate_new();
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
    p->cooldown_ms = 60 * MIN_MS;
    p->limit = (struct rate){10, 60 * MIN_MS};
    r.script = load_rises;
    rig_start(&r);
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 1);
    assert_int_equal(virtual_reload(r.v, r.set, empty, NULL), 0);
    rig_run(&r, 31);
    rig_reload(&r);
    r.t[0].load = 5000;
    rig_run(&r, 45);
    SEEN("defer cooldown");
    assert_int_equal(r.t[0].effects, 1);
    estate_unref(empty);
    rig_free(&r);
}

static void the_cooldown_outlives_a_restart(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
    p->cooldown_ms = 90 * MIN_MS;
    p->limit = (struct rate){10, 60 * MIN_MS};
    r.t[0].load = 700;
    rig_start(&r);
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 1);
    rig_restart(&r);
    r.t[0].load = 900;
    rig_run(&r, 60);
    SEEN("defer cooldown");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* M11: who starts again and again is held back no longer for it, and what ends meanwhile is no
 * failure. */
static void a_deferral_outlives_a_restart(void **state)
{
    for (int over = 0; over < 2; over++) {
        struct rig r;
        struct policy *p;

        (void)state;
        rig_init(&r, 1);
        p = rig_policy(&r, "hot");
        p->limit = (struct rate){10, 60 * MIN_MS};
        p->cooldown_ms = 120 * MIN_MS;
        rules_heat(&r, 20);
        r.t[0].load = 100;
        rig_run(&r, 24);
        r.t[0].load = 900;
        rig_run(&r, 32);
        SEEN("30m asg/g0 defer cooldown");
        for (int k = 0; k < 2; k++) {
            rig_restart(&r);
            if (over)
                r.t[0].load = 100;
            rig_run(&r, 38 + 5 * k);
        }
        rig_run(&r, 50);
        if (over)
            SEEN("end cancelled: it ended while the run waited");
        else
            SEEN("45m asg/g0 deny cooldown: ");
        assert_int_equal(r.humans, over ? 0 : 1);
        assert_int_equal(r.t[0].effects, 1);
        rig_free(&r);
    }
}

static void the_breaker_outlives_a_restart(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
    p->cooldown_ms = 0;
    p->limit = (struct rate){10, 60 * MIN_MS};
    rig_start(&r);
    for (int k = 0; k < 2; k++) { /* two that do not help */
        r.t[0].load = 5000;
        rig_run(&r, 30 + 60 * k);
        r.t[0].load = 10;
        rig_run(&r, 60 + 60 * k);
    }
    assert_int_equal(r.t[0].effects, 2);
    rig_restart(&r);
    r.t[0].load = 5000;
    rig_run(&r, 150);
    SEEN("deny breaker");
    assert_int_equal(r.t[0].effects, 2);
    rig_free(&r);
}

/* Cancelled while its request is on its way: the answer is taken, the script is asked no more. */
static void a_cancelled_run_asks_no_more(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    r.t[0].load = 700;
    r.latency_ms = 20000;
    rig_start(&r);
    r.next_how = APPLIED_REFUSED; /* the script would call a human now */
    rig_run(&r, 5.9);             /* looked twice, and asked */
    assert_string_equal(rules_order(&r, "cancel", "run", rules_run(&r, run), "by", "ann"), "");
    rig_run(&r, 20);
    SEEN("end cancelled");
    NOT_SEEN("page");
    rig_free(&r);
}

/* M23: of the limit that a run began with and today's, the narrower binds. */
static void M23_the_narrower_limit_binds(void **state)
{
    struct rig r;
    struct policy_set *then;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
    p->limit = (struct rate){1, 600 * MIN_MS};
    p->cooldown_ms = 0;
    r.t[0].load = 700;
    rig_start(&r);
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 1);
    rig_run(&r, 60);
    json_free(rig_order(&r, "freeze", "reason", "look", NULL));
    r.t[0].load = 900;
    rig_run(&r, 70); /* it fires, and stands still */
    then = r.set;
    r.set = rig_new_set();
    p = rules_scripted(&r, act_verify);
    p->limit = (struct rate){10, 600 * MIN_MS};
    p->source_hash = "0456";
    rig_reload(&r);
    json_free(rig_order(&r, "unfreeze", NULL));
    rig_run(&r, 90);
    SEEN("deny rate per target");
    assert_int_equal(r.t[0].effects, 1);
    policy_set_unref(then);
    rig_free(&r);
}

/* M23: a run goes on, on the source that it began with: on that one, and no other. */
static void a_source_that_was_changed_is_not_run(void **state)
{
    (void)state;
    for (int changed = 0; changed < 2; changed++) {
        struct policy_set *first;
        struct rig r;
        rig_init(&r, 1);
        rules_scripted(&r, grow_and_back);
        first = r.set;
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 20);
        assert_int_equal(r.t[0].effects, 1);
        r.stored = r.set = rig_new_set();
        rules_scripted(&r, grow_and_back)->source_hash = changed ? "0789" : "0123";
        r.set = rig_new_set();
        rules_scripted(&r, grow_and_back)->source_hash = "0456";
        rig_restart(&r);
        r.t[0].load = 100;
        rig_run(&r, 60);
        assert_int_equal(r.t[0].desired, changed ? 12 : 10);
        if (changed)
            assert_non_null(strstr(r.reports, "the stored source 0123 was changed"));
        policy_set_unref(r.stored);
        policy_set_unref(first);
        rig_free(&r);
    }
}

/* Guards are asked again when an approval is used: what was true a quarter of an hour ago need not
 * be. */
static void data_lost_while_a_human_thought(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->mode = MODE_APPROVE;
    r.script = load_rises;
    rig_start(&r);
    rig_run(&r, 16);
    SEEN("approval wanted");
    r.t[0].missing = true;
    rig_run(&r, 28);
    assert_string_equal(rules_order(&r, "approve", "run", rules_run(&r, run), "by", "ann"), "");
    rig_run(&r, 35);
    SEEN("deny data");
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

/* Whatever the wall clock says: limits count the steady one. */
static void limits_hold_over_a_clock_step_and_a_restart(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
    p->limit = (struct rate){1, 600 * MIN_MS};
    p->cooldown_ms = 0;
    r.t[0].load = 700;
    rig_start(&r);
    virtual_step_wall(r.v, -100 * 24 * 60 * MIN_MS);
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 1);
    rig_restart(&r);
    r.t[0].load = 900;
    rig_run(&r, 120);
    SEEN("deny rate per target");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* M20, M21: between two requests of one act, at whatever event the freeze comes. */
static void a_freeze_comes_between_two_requests(void **state)
{
    int between = 0;

    (void)state;
    for (int n = 0; n < 12; n++) {
        struct rig r;
        struct policy *p;
        int before;
        rig_init(&r, 1);
        p = rig_policy(&r, "hot");
        p->actions[0].type = action_find("pair");
        r.t[0].load = 700;
        rig_start(&r);
        while (r.t[0].effects == 0 && virtual_step(r.v, 20 * MIN_MS))
            ;
        for (int k = 0; k < n; k++)
            virtual_step(r.v, 20 * MIN_MS);
        before = r.t[0].effects;
        between += before == 1;
        engine_freeze_now(virtual_engine(r.v), "ann", "look");
        rig_run(&r, 25);
        assert_int_equal(r.t[0].effects, before);
        rig_free(&r);
    }
    assert_true(between > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_drifted_is_not_done),
        cmocka_unit_test(a_suspended_run_settles_its_doubt),
        cmocka_unit_test(a_suspended_run_keeps_its_lock),
        cmocka_unit_test(a_take_over_works_across_a_reload),
        cmocka_unit_test(the_cooldown_outlives_an_absence),
        cmocka_unit_test(the_cooldown_outlives_a_restart),
        cmocka_unit_test(a_deferral_outlives_a_restart),
        cmocka_unit_test(the_breaker_outlives_a_restart),
        cmocka_unit_test(a_cancelled_run_asks_no_more),
        cmocka_unit_test(M23_the_narrower_limit_binds),
        cmocka_unit_test(a_source_that_was_changed_is_not_run),
        cmocka_unit_test(data_lost_while_a_human_thought),
        cmocka_unit_test(limits_hold_over_a_clock_step_and_a_restart),
        cmocka_unit_test(a_freeze_comes_between_two_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
