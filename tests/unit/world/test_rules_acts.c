/* The rules of an act that is held back, stopped half way or asked for again (M11, M17 to M23). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

/* A policy of the same name in a set of its own, as a reload brings it. */
static struct policy *next_version(struct rig *r, const struct script_line *lines,
                                   struct policy_set **old)
{
    *old = r->set;
    r->set = rig_new_set();
    return rules_scripted(r, lines);
}

static void load_next(struct rig *r, struct policy_set *old)
{
    rig_reload(r);
    policy_set_unref(old);
}

/* M21: a freeze between the intent and the request leaves nothing behind, no bad outcome either. */
static void frozen_before_the_request_left_it_is_asked_again(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    r.latency_ms = 10 * 1000; /* planned at 15m10s, checked again until 15m20s */
    rules_heat(&r, 15.25);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 0);
    SEEN(" withdraw scale");
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 1);
    SEEN("end succeeded");
    rig_free(&r);
}

static const struct script_line pair_or_back[] = {
    {'*', ASK_ACT, "scale", 0}, {'n', ASK_UNDO, "scale", 0}, SCRIPT_END};

static void refuse_second(struct rig *r, const struct world_step *s)
{
    if (strstr(json_get_str(s->call, "call", ""), "Second"))
        r->next_how = APPLIED_REFUSED;
}

/* M20: what was done of an act that stopped half way is reversed by its undo. */
static void half_an_act_is_undone(void **state)
{
    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct rig r;
        rig_init(&r, 1);
        rules_scripted(&r, pair_or_back)->actions[0].type = action_find("pair");
        r.on_apply = refuse_second;
        r.latency_ms = 10 * 1000;
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 15.7); /* the second request is refused at 15m40s */
        SEEN("failed: refused by the model");
        assert_int_equal(r.t[0].desired, 12);
        if (restart)
            rig_restart(&r);
        rig_run(&r, 40);
        assert_int_equal(r.t[0].desired, 10);
        assert_non_null(strstr(r.reports, "only 1 of 2 requests done"));
        SEEN("end failed");
        rig_free(&r);
    }
}

static void a_freeze_between_two_requests_holds_the_second(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, pair_or_back)->actions[0].type = action_find("pair");
    r.latency_ms = 10 * 1000;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 15.4); /* the first request is on its way */
    assert_int_equal(r.t[0].effects, 1);
    r.frozen_file = true; /* nobody said a word: it is seen before the next */
    r.t[0].load = 900;
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    r.frozen_file = false;
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    /* It still holds: the run goes on, and takes back what was done. */
    rig_run(&r, 30);
    if (r.t[0].desired != 10)
        fail_msg("%s", r.timeline);
    rig_free(&r);
}

/* M11: max_acts bounds what is done in a run; an undo does not open it again. */
static void an_undo_does_not_make_room_for_another_act(void **state)
{
    struct rig r;
    static const struct script_line flap[] = {{'*', ASK_ACT, "scale", 0},
                                              {'*', ASK_UNDO, "scale", 0},
                                              {'*', ASK_ACT, "scale", 0},
                                              SCRIPT_END};

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, flap);
    rig_start(&r);
    r.t[0].load = 900;
    rig_run(&r, 20);
    SEEN("deny rate per target: max_acts: scale was done 1 of 1 times in this run");
    assert_int_equal(r.t[0].effects, 2);
    rig_free(&r);
}

/* The budget of destructive actions is asked of the plan: growing is none, whatever else the
 * action can do. */
static void growing_does_not_need_the_budget_of_destructive_actions(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 2);
    r.options.engine.budget_destructive = (struct rate){1, 600 * MIN_MS};
    rig_budget(&r, (struct rate){20, 60 * MIN_MS});
    p = rules_scripted(&r, grow_and_back);
    p->max_targets = 2;
    rules_heat(&r, 20);
    r.t[0].load = 100; /* its undo scales in: that is destructive */
    rig_run(&r, 40);
    assert_int_equal(r.t[0].desired, 10);
    r.t[1].load = 700;
    rig_run(&r, 60);
    assert_int_equal(r.t[1].effects, 1);
    rig_free(&r);
}

/* M12: in doubt holds the target, not only the attribute. */
static void in_doubt_holds_the_whole_target(void **state)
{
    struct rig r;
    struct policy *other;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify)->actions[0].timeout_ms = 60 * MIN_MS;
    other = rig_policy(&r, "other");
    other->actions[0].type = action_find("pair");
    other->when = rig_leaf(&r, CMP_ABOVE, 60, 8 * MIN_MS);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    r.next_how = APPLIED_IN_DOUBT;
    r.doubt_desired = 11; /* 63 %: neither before nor after */
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("defer lock: run R");
    assert_true(rig_seen(&r, "is asking whether its request"));
    rig_free(&r);
}

/* Two targets that stand for one thing, here a balancer. */
static void one_resource(struct rig *r)
{
    for (size_t k = 0; k < 2; k++)
        json_set_str(estate_at(r->estate, k)->fields, "alb", "app/web/1");
}

/* M12: what is written counts, not the target by which it is reached. */
static void two_targets_of_one_resource_are_written_in_turn(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    one_resource(&r);
    rules_scripted(&r, grow_and_back)->max_targets = 5;
    r.t[1].load = 700;
    rules_heat(&r, 40);
    SEEN("owns desired_capacity of app/web/1 (through asg/g");
    assert_int_equal(r.t[0].effects + r.t[1].effects, 1);
    rig_free(&r);
}

static void two_targets_of_two_resources_are_not(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    rules_scripted(&r, grow_and_back)->max_targets = 5;
    r.t[1].load = 700;
    rules_heat(&r, 40);
    assert_int_equal(r.t[0].effects + r.t[1].effects, 2);
    rig_free(&r);
}

/* Both are hot from the start; those of two zones are worked on in turn, each until it is well. */
static void one_failure_domain_at_a_time(void **state)
{
    (void)state;
    for (int two = 0; two < 2; two++) {
        struct rig r;

        rig_init(&r, 2);
        json_set_str(estate_at(r.estate, 0)->fields, "zone", "us-east-1a");
        json_set_str(estate_at(r.estate, 1)->fields, "zone", two ? "us-east-1b" : "us-east-1a");
        rules_scripted(&r, grow_and_back)->max_targets = 5;
        r.t[1].load = 700;
        rules_heat(&r, 40);
        assert_int_equal(r.t[0].effects + r.t[1].effects, two ? 1 : 2);
        assert_int_equal(rig_seen(&r, "one failure domain at a time"), two);
        rig_free(&r);
    }
}

static void a_higher_severity_takes_the_resource_over_from_another_target(void **state)
{
    struct policy *low, *high;
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    one_resource(&r);
    low = rules_scripted(&r, grow_and_back);
    high = rig_policy(&r, "worse");
    high->severity = SEV1;
    high->when = rig_leaf(&r, CMP_ABOVE, 85, 2 * MIN_MS);
    low->max_targets = high->max_targets = 5;
    rules_heat(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    r.t[1].load = 900;
    rig_run(&r, 24);
    SEEN("end superseded");
    assert_int_equal(r.t[1].effects, 1);
    rig_free(&r);
}

static void in_doubt_holds_the_resource_for_other_targets(void **state)
{
    struct policy *other;
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    one_resource(&r);
    rules_scripted(&r, act_verify)->actions[0].timeout_ms = 60 * MIN_MS;
    other = rig_policy(&r, "other");
    other->severity = SEV1; /* it would take what only waits */
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    r.next_how = APPLIED_IN_DOUBT;
    r.doubt_desired = 11;
    rig_run(&r, 10);
    r.t[1].load = 700;
    rig_run(&r, 30);
    assert_int_equal(r.t[1].effects, 0);
    SEEN("defer lock: run R");
    rig_free(&r);
}

static void a_run_that_only_pages_succeeds(void **state)
{
    struct rig r;
    static const struct script_line call[] = {{'*', ASK_PAGE, "look at it", 0}, SCRIPT_END};

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, call);
    rig_start(&r);
    r.t[0].load = 900;
    rig_run(&r, 20);
    SEEN("end succeeded");
    rig_free(&r);
}

/* M23: what began as shadow stays shadow, however today's version is written. */
static void a_raised_mode_is_for_the_runs_to_come(void **state)
{
    struct rig r;
    struct policy_set *old;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify)->mode = MODE_SHADOW;
    rig_start(&r);
    rig_run(&r, 9.5);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    r.t[0].load = 700;
    rig_run(&r, 20);
    SEEN(" fire ");
    next_version(&r, act_verify, &old);
    load_next(&r, old);
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("end shadowed");
    rig_free(&r);
}

static void a_sooner_deadline_binds_the_open_run(void **state)
{
    struct rig r;
    struct policy_set *old;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    next_version(&r, grow_and_back, &old)->deadline_ms = 30 * MIN_MS;
    load_next(&r, old);
    rig_run(&r, 60);
    SEEN("45m asg/g0 end expired");
    rig_free(&r);
}

/* M23: of max, min, rates, max_targets and approval the narrower of then and today binds. */
static void the_narrower_max_binds(void **state)
{
    struct rig r;
    struct policy_set *old;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    rig_start(&r);
    rig_run(&r, 9.5);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    r.t[0].load = 700;
    rig_run(&r, 20);
    json_set_int(next_version(&r, act_verify, &old)->actions[0].opts, "max", 11);
    load_next(&r, old);
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 40);
    assert_int_equal(r.t[0].desired, 11);
    rig_free(&r);
}

static void the_narrower_share_of_targets_binds(void **state)
{
    struct rig r;
    struct policy_set *old;
    int acted = 0;

    (void)state;
    rig_init(&r, 20);
    rules_scripted(&r, act_verify);
    rig_start(&r);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    for (int k = 0; k < 20; k++)
        r.t[k].load = 700;
    rig_run(&r, 10);
    next_version(&r, act_verify, &old)->max_targets_percent = 100;
    load_next(&r, old);
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 30);
    for (int k = 0; k < 20; k++)
        acted += r.t[k].effects;
    assert_int_equal(acted, 2);
    rig_free(&r);
}

static void both_rates_bind(void **state)
{
    struct rig r;
    struct policy *p;
    struct policy_set *old;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
    p->limit = (struct rate){3, 360 * MIN_MS}; /* less an hour, but three at once */
    p->cooldown_ms = 0;
    rules_heat(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    r.t[0].load = 100;
    rig_run(&r, 29);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    r.t[0].load = 1000;
    rig_run(&r, 40);
    next_version(&r, act_verify, &old)->cooldown_ms = 0; /* limit: 1 per 1h */
    load_next(&r, old);
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 50);
    assert_int_equal(r.t[0].effects, 1);
    SEEN("deny rate per target: limit 1 per 1h is used up");
    rig_free(&r);
}

static void a_new_exception_does_not_spare_an_open_run_its_approval(void **state)
{
    struct rig r;
    struct policy_set *old;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify)->actions[0].approval_required = true;
    rig_start(&r);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    r.t[0].load = 700;
    rig_run(&r, 10);
    p = next_version(&r, act_verify, &old);
    p->actions[0].approval_required = true;
    p->actions[0].approval_unless = rig_leaf(&r, CMP_ABOVE, 1, 0);
    load_next(&r, old);
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 15);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("approval wanted");
    rig_free(&r);
}

/* E114, also where the policy of the replay ends before the journal does. */
static void a_replay_that_ends_too_soon_is_held(void **state)
{
    struct rig r;
    static const struct script_line nothing[] = {SCRIPT_END};
    char run[64], want[256];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    rig_script(r.set->policies[0], nothing);
    rig_restart(&r);
    rig_run(&r, 30);
    snprintf(
        want, sizeof(want),
        "g0: E114 replay differs: step 1 was act scale, the policy now asks end . The run is held: "
        "runbookctl cancel %s",
        rules_run(&r, run));
    assert_string_equal(r.last_human, want);
    NOT_SEEN(" end ");
    rig_free(&r);
}

/* M4: what an act of ours ended explains that none is left; what it does not explain is held, and
 * the run is blind. */
static void M4_a_zero_that_the_act_explains_verifies(void **state)
{
    static const struct script_line end_them[] = {
        {'*', ASK_ACT, "end", 0}, {'*', ASK_VERIFY, "few", 5 * MIN_MS}, SCRIPT_END};

    (void)state;
    for (int more = 0; more < 2; more++) {
        struct rig r;
        struct policy *p;
        struct cond *c;
        rig_init(&r, 1);
        p = rules_scripted(&r, end_them);
        c = rig_leaf(&r, CMP_ABOVE, 10, 0);
        c->signal = signal_find("sessions", NULL);
        p->when = c;
        c = rig_leaf(&r, CMP_BELOW, 10, 0);
        c->signal = signal_find("sessions", NULL);
        rig_check(&r, p, "few", c);
        json_set_int(rig_action(p, "end", "end")->opts, "by", 40);
        r.t[0].sessions = more ? 400 : 40;
        r.latency_ms = 5000;
        rig_start(&r);
        virtual_run_until(r.v, 26000);
        if (more) /* forty are ended, and the 360 that were left are gone at once */
            r.t[0].sessions = 0;
        rig_run(&r, 20);
        SEEN(more ? "end blind" : "end succeeded");
        rig_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(M4_a_zero_that_the_act_explains_verifies),
        cmocka_unit_test(frozen_before_the_request_left_it_is_asked_again),
        cmocka_unit_test(half_an_act_is_undone),
        cmocka_unit_test(a_freeze_between_two_requests_holds_the_second),
        cmocka_unit_test(an_undo_does_not_make_room_for_another_act),
        cmocka_unit_test(growing_does_not_need_the_budget_of_destructive_actions),
        cmocka_unit_test(in_doubt_holds_the_whole_target),
        cmocka_unit_test(two_targets_of_one_resource_are_written_in_turn),
        cmocka_unit_test(two_targets_of_two_resources_are_not),
        cmocka_unit_test(one_failure_domain_at_a_time),
        cmocka_unit_test(a_higher_severity_takes_the_resource_over_from_another_target),
        cmocka_unit_test(in_doubt_holds_the_resource_for_other_targets),
        cmocka_unit_test(a_run_that_only_pages_succeeds),
        cmocka_unit_test(a_raised_mode_is_for_the_runs_to_come),
        cmocka_unit_test(a_sooner_deadline_binds_the_open_run),
        cmocka_unit_test(the_narrower_max_binds),
        cmocka_unit_test(the_narrower_share_of_targets_binds),
        cmocka_unit_test(both_rates_bind),
        cmocka_unit_test(a_new_exception_does_not_spare_an_open_run_its_approval),
        cmocka_unit_test(a_replay_that_ends_too_soon_is_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
