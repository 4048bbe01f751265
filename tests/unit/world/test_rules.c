/* The rules of meaning of episodes, limits, runs and approvals, each by its name (M6 to M25). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_world.h"

#define SEEN(text)                                                                                 \
    do {                                                                                           \
        if (!rig_seen(&r, text))                                                                   \
            fail_msg("not seen: %s\n%s\n%s", text, r.timeline, r.reports ? r.reports : "");        \
    } while (0)
#define NOT_SEEN(text)                                                                             \
    do {                                                                                           \
        if (rig_seen(&r, text))                                                                    \
            fail_msg("seen: %s\n%s", text, r.timeline);                                            \
    } while (0)

static const struct script_line act_verify[] = {
    {'*', ASK_ACT, "scale", 0},
    {'n', ASK_PAGE, "refused", 0},
    {'y', ASK_VERIFY, "well", 10 * MIN_MS},
    {'n', ASK_PAGE, "did not help", 0},
    SCRIPT_END,
};
static const struct script_line grow_and_back[] = {
    {'*', ASK_ACT, "scale", 0},
    {'*', ASK_WAIT, "calm|hot", 120 * MIN_MS},
    {'y', ASK_UNDO, "scale", 0},
    SCRIPT_END,
};

static struct policy *scripted(struct rig *r, const struct script_line *lines)
{
    struct policy *p = rig_policy(r, "hot");

    rig_check(r, p, "well", rig_leaf(r, CMP_BELOW, 60, 2 * MIN_MS));
    rig_check(r, p, "calm", rig_leaf(r, CMP_BELOW, 35, 10 * MIN_MS));
    rig_check(r, p, "hot", rig_leaf(r, CMP_ABOVE, 90, 5 * MIN_MS));
    rig_script(p, lines);
    return p;
}

static char *run_of(struct rig *r, char out[64])
{
    struct json *a = rig_order(r, "status", NULL);

    out[0] = 0;
    for (const struct json *p = json_first(json_get(a, "policies")); p && !*out; p = json_next(p))
        snprintf(out, 64, "%s", json_get_str(p, "run", ""));
    json_free(a);
    return out;
}

static const char *order(struct rig *r, const char *command, const char *k1, const char *v1,
                         const char *k2, const char *v2)
{
    static char text[512];
    struct json *a = rig_order(r, command, k1, v1, k2, v2, NULL);

    snprintf(text, sizeof(text), "%s", a ? json_get_str(a, "error", "") : "no answer");
    json_free(a);
    return text;
}

static void M6_one_episode_until_clear_and_the_run_ended(void **state)
{
    struct rig r;
    const char *first;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, grow_and_back)->limit = (struct rate){10, 60 * MIN_MS};
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    r.t[0].load = 500; /* clear, but the run waits for calm */
    rig_run(&r, 30);
    SEEN(" clear ");
    NOT_SEEN(" resolve ");
    r.t[0].load = 800; /* true again: the same episode */
    rig_run(&r, 60);
    first = strstr(r.timeline, " fire ");
    assert_null(strstr(first + 1, " fire "));
    r.t[0].load = 100;
    rig_run(&r, 120);
    SEEN(" resolve ");
    rig_free(&r);
}

static void M7_a_vanished_target_ends_its_episode(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    scripted(&r, grow_and_back);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    r.set->policies[0]->target.name = json_new_list();
    json_add(r.set->policies[0]->target.name, json_new_str("g1"));
    rig_reload(&r);
    rig_run(&r, 30);
    SEEN(" vanish ");
    SEEN("end cancelled");
    assert_non_null(strstr(r.reports, "resolve"));
    json_free(r.set->policies[0]->target.name);
    r.set->policies[0]->target.name = NULL;
    rig_free(&r);
}

static void M8_pages_by_severity_and_humans_have_a_key_of_their_own(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = scripted(&r, act_verify);
    p->page = PAGE_AT_FIRE;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 2000; /* acting does not help */
    rig_run(&r, 60);
    assert_int_equal(r.triggers, 1);
    assert_int_equal(r.humans, 1);
    assert_non_null(strstr(r.reports, "/human g0: did not help"));
    r.t[0].load = 100;
    rig_run(&r, 90);
    assert_int_equal(r.resolves, 0); /* clear, but the last verify did not pass */
    assert_non_null(strstr(r.reports, "the last verify did not pass"));
    rig_free(&r);
}

static void M9_inhibits_on_the_same_target(void **state)
{
    struct rig r;
    struct policy *a, *b;
    static const char *held[] = {"b"};

    (void)state;
    rig_init(&r, 1);
    a = rig_policy(&r, "a");
    b = rig_policy(&r, "b");
    a->when = rig_leaf(&r, CMP_ABOVE, 60, 2 * MIN_MS);
    a->mode = MODE_SHADOW;
    a->inhibits = held;
    a->ninhibits = 1;
    (void)b;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 30);
    SEEN("deny inhibition: policy a is firing on asg/g0 and inhibits this one");
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

static void M11_a_token_returns_only_if_no_request_left(void **state)
{
    (void)state;
    for (int left = 0; left < 2; left++) {
        struct rig r;
        struct policy *p;
        rig_init(&r, 1);
        p = rig_policy(&r, "hot");
        p->cooldown_ms = 0;
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        r.next_how = left ? APPLIED_REFUSED : APPLIED_NOT_SENT;
        rig_run(&r, 20);
        r.t[0].load = 100;
        rig_run(&r, 25);
        r.t[0].load = 700;
        rig_run(&r, 45);
        if (r.t[0].effects != (left ? 0 : 1)) /* limit is 1 per 1h */
            fail_msg("%s", r.timeline);
        rig_free(&r);
    }
}

static void M11_cooldown_defers_then_denies(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->limit = (struct rate){10, 60 * MIN_MS};
    p->cooldown_ms = 20 * MIN_MS;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    r.t[0].load = 100;
    rig_run(&r, 24);
    r.t[0].load = 900; /* fires at 30m; the cooldown ends at about 37m */
    rig_run(&r, 50);
    SEEN("defer cooldown");
    assert_int_equal(r.t[0].effects, 2);
    rig_free(&r);
}

static void M11_max_acts_bound_a_run(void **state)
{
    struct rig r;
    static const struct script_line twice[] = {
        {'*', ASK_ACT, "scale", 0}, {'*', ASK_ACT, "scale", 0}, SCRIPT_END};

    (void)state;
    rig_init(&r, 1);
    scripted(&r, twice);
    rig_start(&r);
    r.t[0].load = 900;
    rig_run(&r, 20);
    SEEN("deny rate per target: max_acts: scale was done 1 of 1 times in this run");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

static void M12_a_higher_severity_takes_over_from_a_waiting_run(void **state)
{
    struct rig r;
    struct policy *low, *high;

    (void)state;
    rig_init(&r, 1);
    low = scripted(&r, grow_and_back);
    high = rig_policy(&r, "worse");
    high->severity = SEV1;
    high->when = rig_leaf(&r, CMP_ABOVE, 85, 2 * MIN_MS);
    low->max_targets = high->max_targets = 5;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    r.t[0].load = 1100; /* 12 instances: 91 % */
    rig_run(&r, 24);
    SEEN("end superseded");
    assert_int_equal(r.t[0].desired, 14);
    rig_free(&r);
}

static void M12_an_equal_severity_defers(void **state)
{
    struct rig r;
    struct policy *low, *other;

    (void)state;
    rig_init(&r, 1);
    low = scripted(&r, grow_and_back);
    other = rig_policy(&r, "other");
    other->when = rig_leaf(&r, CMP_ABOVE, 85, 2 * MIN_MS);
    low->max_targets = other->max_targets = 5;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    r.t[0].load = 1050; /* 87.5 %: above 85, not yet the 90 that ends the wait */
    rig_run(&r, 60);
    SEEN("defer lock: run R");
    SEEN("deny lock: run R");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

static void M13_coexist_allows_both(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->actions[0].coexist = true;
    r.t[0].controller = "dynamic scaling policy";
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

static void M14_the_ladder_climbs_only_on_known_false_or_nothing_to_do(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->actions[0].type = action_find("idle");
    p->actions[0].name = "idle";
    rig_action(p, "scale", "scale");
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 90);
    SEEN("act idle nothing to do");
    SEEN("act scale desired 10 -> 12 ok");
    SEEN("end succeeded");
    rig_free(&r);

    rig_init(&r, 1); /* denied: page and stop, the next rung is not tried */
    p = rig_policy(&r, "hot");
    rig_action(p, "second", "pair");
    p->actions[0].coexist = false;
    r.t[0].controller = "a refresh";
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 90);
    NOT_SEEN("second");
    assert_int_equal(r.humans, 1);
    rig_free(&r);
}

static void M15_verify_counts_only_points_after_the_act(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = scripted(&r, act_verify);
    p->checks[0].cond = rig_leaf(&r, CMP_ABOVE, 1, 3 * MIN_MS); /* was true all the time before */
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 40);
    SEEN("15m asg/g0 act scale");
    NOT_SEEN("15m asg/g0 verify well ok");
    SEEN("verify well ok");
    rig_free(&r);
}

static void M16_unknown_at_the_deadline_is_blind_not_false(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, act_verify);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 15);
    r.t[0].missing = true;
    rig_run(&r, 40);
    SEEN("end blind");
    NOT_SEEN("did not help");
    assert_non_null(strstr(r.last_human, "blind"));
    rig_free(&r);
}

static void M17_outcomes(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, act_verify);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 2000;
    rig_run(&r, 60);
    SEEN("end ineffective");
    rig_free(&r);
    rig_init(&r, 1);
    scripted(&r, act_verify);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    r.next_how = APPLIED_REFUSED;
    rig_run(&r, 60);
    SEEN("end failed");
    rig_free(&r);
}

static void M18_lowering_the_mode_suspends(void **state)
{
    struct rig r;
    char run[64];
    struct json *m;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, grow_and_back);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    assert_string_equal(order(&r, "mode", "mode", "shadow", "reason", "x"), "");
    r.t[0].load = 200;
    rig_run(&r, 60);
    SEEN("suspend mode");
    assert_int_equal(r.t[0].effects, 1); /* not undone meanwhile */
    assert_non_null(strstr(order(&r, "mode", "mode", "enforce", "reason", "x"), "confirm"));
    m = json_new_map();
    json_set_str(m, "command", "mode");
    json_set_str(m, "mode", "enforce");
    json_set_bool(m, "confirmed", true);
    json_free(virtual_command(r.v, m));
    rig_run(&r, 62);
    SEEN("end cancelled"); /* the condition no longer holds: its undo is only offered */
    assert_non_null(strstr(r.reports, "Left as it is: scale desired 10 -> 12"));
    (void)run;
    rig_free(&r);
}

static void M19_undo_is_compare_and_set(void **state)
{
    (void)state;
    for (int drift = 0; drift < 2; drift++) {
        struct rig r;
        rig_init(&r, 1);
        scripted(&r, grow_and_back)->limit = (struct rate){1, 600 * MIN_MS};
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 20);
        assert_int_equal(r.t[0].desired, 12);
        if (drift)
            r.t[0].desired = 13;
        r.t[0].load = 100;
        rig_run(&r, 60);
        assert_int_equal(r.t[0].desired, drift ? 13 : 10);
        if (drift)
            SEEN("desired is 13: changed by someone else");
        else
            SEEN("undo scale desired 12 -> 10 ok"); /* the limit is used up: an undo is counted, not
                                                       refused */
        rig_free(&r);
    }
}

static void M20_one_intent_a_request(void **state)
{
    struct rig r;
    struct policy *p;
    struct json *a;
    int intents;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->actions[0].type = action_find("pair");
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 2);
    SEEN("act scale desired 10 -> 12 ok");
    a = rig_order(&r, "status", NULL);
    intents = (int)json_get_int(json_get(a, "counts"), "acts", 0);
    json_free(a);
    assert_int_equal(intents, 2);
    rig_free(&r);
}

static void M21_after_unfreeze_only_while_it_still_holds(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, grow_and_back);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    order(&r, "freeze", "reason", "look", "x", "y");
    r.t[0].load = 100;
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 1);
    order(&r, "unfreeze", "reason", "done", "x", "y");
    rig_run(&r, 62);
    SEEN("end cancelled: the condition no longer holds after the freeze");
    assert_int_equal(r.t[0].desired, 12);
    rig_free(&r);
}

static void M21_an_operator_resumes(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    scripted(&r, grow_and_back);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 20);
    run_of(&r, run);
    order(&r, "freeze", "reason", "look", "x", "y");
    assert_non_null(strstr(order(&r, "resume", "run", run, "x", "y"), "unfreeze first"));
    r.t[0].missing = true; /* unknown: it waits for its operator or for data */
    rig_run(&r, 40);
    order(&r, "unfreeze", "reason", "done", "x", "y");
    rig_run(&r, 41);
    NOT_SEEN(" end ");
    assert_string_equal(order(&r, "resume", "run", run, "x", "y"), "");
    r.t[0].missing = false;
    r.t[0].load = 100;
    rig_run(&r, 70);
    SEEN("undo scale desired 12 -> 10 ok");
    rig_free(&r);
}

static void M21_the_deadline_expires_a_run(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, grow_and_back)->deadline_ms = 30 * MIN_MS;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 90);
    SEEN("45m asg/g0 end expired");
    assert_non_null(strstr(r.reports, "Left as it is: scale desired 10 -> 12"));
    rig_free(&r);
}

static void M22_a_wait_goes_on_over_a_restart(void **state)
{
    struct rig r;
    static const struct script_line sleeper[] = {{'*', ASK_ACT, "scale", 0},
                                                 {'*', ASK_SLEEP, NULL, 30 * MIN_MS},
                                                 {'*', ASK_LOG, "awake", 0},
                                                 SCRIPT_END};

    (void)state;
    rig_init(&r, 1);
    scripted(&r, sleeper);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 25);
    virtual_crash(r.v);
    rig_start(&r);
    virtual_step_wall(r.v, -365 * 24 * 60 * MIN_MS);
    rig_run(&r, 60);
    SEEN("45m asg/g0 log awake");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

static void M24_an_irreversible_act_needs_a_human_even_when_enforced(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->actions[0].type = action_find("burn");
    p->actions[0].approval_unless = rig_leaf(&r, CMP_ABOVE, 1, 0); /* is ignored for these */
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("deny approval: nobody approved in time");
    rig_free(&r);
}

static void M24_approval_unless(void **state)
{
    (void)state;
    for (int unknown = 0; unknown < 2; unknown++) {
        struct rig r;
        struct policy *p;
        rig_init(&r, 1);
        p = rig_policy(&r, "hot");
        p->actions[0].approval_required = true;
        p->actions[0].approval_unless =
            rig_leaf(&r, unknown ? CMP_BELOW : CMP_ABOVE, 50, unknown ? 60 * MIN_MS : 0);
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 17);
        assert_int_equal(r.t[0].effects, unknown ? 0 : 1);
        rig_free(&r);
    }
}

static void M24_only_the_named_approve_and_deny_ends_it(void **state)
{
    struct rig r;
    struct policy *p;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->mode = MODE_APPROVE;
    p->actions[0].approvers = "bob, carol";
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 17);
    run_of(&r, run);
    assert_non_null(
        strstr(order(&r, "approve", "run", run, "x", "y"), "ann is not one of its approvers"));
    assert_string_equal(order(&r, "approve", "run", run, "by", "bob"), "");
    rig_run(&r, 18);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);

    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->mode = MODE_APPROVE;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 17);
    run_of(&r, run);
    assert_string_equal(order(&r, "deny", "run", run, "x", "y"), "");
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("end refused");
    rig_free(&r);
}

static void M25_started_by_hand_skips_when_and_no_guard(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    scripted(&r, act_verify);
    rig_start(&r);
    r.t[0].load = 100;
    rig_run(&r, 10);
    assert_string_equal(order(&r, "start", "policy", "hot", "target", "g0"), "");
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    SEEN("end succeeded");
    assert_string_equal(order(&r, "start", "policy", "hot", "target", "g0"), "");
    rig_run(&r, 22);
    assert_int_equal(r.t[0].effects, 1);
    SEEN("defer cooldown");
    rig_free(&r);
}

static void a_silence_denies_until_it_ends(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    assert_string_equal(order(&r, "silence", "policy", "hot", "for", "1h"), "");
    rig_restart(&r);
    r.t[0].load = 700;
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("deny silence: silence S");
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(M6_one_episode_until_clear_and_the_run_ended),
        cmocka_unit_test(M7_a_vanished_target_ends_its_episode),
        cmocka_unit_test(M8_pages_by_severity_and_humans_have_a_key_of_their_own),
        cmocka_unit_test(M9_inhibits_on_the_same_target),
        cmocka_unit_test(M11_a_token_returns_only_if_no_request_left),
        cmocka_unit_test(M11_cooldown_defers_then_denies),
        cmocka_unit_test(M11_max_acts_bound_a_run),
        cmocka_unit_test(M12_a_higher_severity_takes_over_from_a_waiting_run),
        cmocka_unit_test(M12_an_equal_severity_defers),
        cmocka_unit_test(M13_coexist_allows_both),
        cmocka_unit_test(M14_the_ladder_climbs_only_on_known_false_or_nothing_to_do),
        cmocka_unit_test(M15_verify_counts_only_points_after_the_act),
        cmocka_unit_test(M16_unknown_at_the_deadline_is_blind_not_false),
        cmocka_unit_test(M17_outcomes),
        cmocka_unit_test(M18_lowering_the_mode_suspends),
        cmocka_unit_test(M19_undo_is_compare_and_set),
        cmocka_unit_test(M20_one_intent_a_request),
        cmocka_unit_test(M21_after_unfreeze_only_while_it_still_holds),
        cmocka_unit_test(M21_an_operator_resumes),
        cmocka_unit_test(M21_the_deadline_expires_a_run),
        cmocka_unit_test(M22_a_wait_goes_on_over_a_restart),
        cmocka_unit_test(M24_an_irreversible_act_needs_a_human_even_when_enforced),
        cmocka_unit_test(M24_approval_unless),
        cmocka_unit_test(M24_only_the_named_approve_and_deny_ends_it),
        cmocka_unit_test(M25_started_by_hand_skips_when_and_no_guard),
        cmocka_unit_test(a_silence_denies_until_it_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
