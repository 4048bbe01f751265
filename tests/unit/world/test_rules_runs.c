/* The rules of meaning of runs, undo, freezes and approvals, each by its name (M17 to M25). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

static void M17_outcomes(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 2000;
    rig_run(&r, 60);
    SEEN("end ineffective");
    rig_free(&r);
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
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
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    assert_string_equal(rules_order(&r, "mode", "mode", "shadow", "reason", "x"), "");
    r.t[0].load = 200;
    rig_run(&r, 60);
    SEEN("suspend mode");
    assert_int_equal(r.t[0].effects, 1); /* not undone meanwhile */
    assert_non_null(strstr(rules_order(&r, "mode", "mode", "enforce", "reason", "x"), "confirm"));
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
        rules_scripted(&r, grow_and_back)->limit = (struct rate){1, 600 * MIN_MS};
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

static void freeze_at(struct rig *r, int nth)
{
    if (nth == *(const int *)r->arg)
        engine_freeze_now(virtual_engine(r->v), "ann", "look");
}

/* M19, M21: an undo skips many guards, but never the freeze. The act looks twice, then its undo:
 * before its plan and, behind its intent, before its request. */
static void M21_a_freeze_holds_an_undo(void **state)
{
    (void)state;
    for (int nth = 3; nth <= 5; nth++) {
        struct rig r;
        rig_init(&r, 1);
        r.arg = &nth;
        r.on_observe = freeze_at;
        rules_scripted(&r, grow_and_back);
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 20);
        assert_int_equal(r.t[0].desired, 12);
        r.t[0].load = 100;
        rig_run(&r, 60);
        assert_int_equal(r.t[0].desired, nth <= 4 ? 12 : 10);
        assert_int_equal(r.observed, 4 - (nth == 3));
        rig_free(&r);
    }
}

/* M24: an approval is for one intent. A request that a freeze held back behind it asks anew. */
static void M24_an_approval_is_used_once(void **state)
{
    struct rig r;
    char run[64];
    int nth =
        3; /* it looks for the question, for the plan that was approved, and behind the intent */

    (void)state;
    rig_init(&r, 1);
    r.arg = &nth;
    r.on_observe = freeze_at;
    rules_scripted(&r, act_verify)->mode = MODE_APPROVE;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    rig_run(&r, 16);
    SEEN("approval wanted");
    assert_string_equal(rules_order(&r, "approve", "run", rules_run(&r, run), "by", "ann"), "");
    rig_run(&r, 17);
    SEEN("withdraw scale desired 10 -> 12");
    json_free(rig_order(&r, "unfreeze", NULL));
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 0);
    assert_string_equal(rules_order(&r, "approve", "run", rules_run(&r, run), "by", "ann"), "");
    rig_run(&r, 21);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
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
    rules_heat(&r, 40);
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
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    r.t[0].load = 100;
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 1);
    rules_order(&r, "unfreeze", "reason", "done", "x", "y");
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
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    rules_run(&r, run);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    assert_non_null(strstr(rules_order(&r, "resume", "run", run, "x", "y"), "unfreeze first"));
    r.t[0].missing = true; /* unknown: it waits for its operator or for data */
    rig_run(&r, 40);
    rules_order(&r, "unfreeze", "reason", "done", "x", "y");
    rig_run(&r, 41);
    NOT_SEEN(" end ");
    assert_string_equal(rules_order(&r, "resume", "run", run, "x", "y"), "");
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
    rules_scripted(&r, grow_and_back)->deadline_ms = 30 * MIN_MS;
    rules_heat(&r, 90);
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
    rules_scripted(&r, sleeper);
    rules_heat(&r, 25);
    virtual_crash(r.v);
    rig_start(&r);
    virtual_step_wall(r.v, -365 * 24 * 60 * MIN_MS);
    rig_run(&r, 60);
    SEEN("45m asg/g0 log awake");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* Its answer comes with the first data after the start, and is not `blind` because there is none
 * yet. */
static void M22_a_wait_that_ran_out_while_away_asks_the_data(void **state)
{
    struct rig r;
    static const struct script_line waits[] = {
        {'*', ASK_ACT, "scale", 0}, {'*', ASK_WAIT, "calm", 30 * MIN_MS}, SCRIPT_END};

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, waits);
    rules_heat(&r, 25);
    SEEN(" act scale ");
    virtual_crash(r.v);
    rig_run(&r, 60);
    rig_start(&r);
    rig_run(&r, 63);
    SEEN("wait calm -> timeout");
    NOT_SEEN("blind");
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
    rules_heat(&r, 40);
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
    rules_heat(&r, 17);
    rules_run(&r, run);
    assert_non_null(strstr(rules_order(&r, "approve", "run", run, "x", "y"),
                           "ann is not one of its approvers"));
    assert_string_equal(rules_order(&r, "approve", "run", run, "by", "bob"), "");
    rig_run(&r, 18);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);

    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->mode = MODE_APPROVE;
    rules_heat(&r, 17);
    rules_run(&r, run);
    assert_string_equal(rules_order(&r, "deny", "run", run, "x", "y"), "");
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("end refused");
    rig_free(&r);
}

static void M24_an_approval_that_comes_too_late_does_nothing(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->mode = MODE_APPROVE;
    rules_heat(&r, 17);
    rules_run(&r, run);
    r.t[0].load = 100; /* it passed by itself */
    rig_run(&r, 20);
    assert_string_equal(rules_order(&r, "approve", "run", run, "x", "y"), "");
    rig_run(&r, 22);
    assert_int_equal(r.t[0].effects, 0);
    SEEN("end cancelled: it ended while the run waited: the condition is false");
    rig_free(&r);
}

static void M25_started_by_hand_skips_when_and_no_guard(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    rig_start(&r);
    r.t[0].load = 100;
    rig_run(&r, 10);
    assert_string_equal(rules_order(&r, "start", "policy", "hot", "target", "g0"), "");
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    SEEN("end succeeded");
    assert_string_equal(rules_order(&r, "start", "policy", "hot", "target", "g0"), "");
    rig_run(&r, 22);
    assert_int_equal(r.t[0].effects, 1);
    SEEN("defer cooldown");
    rig_free(&r);
}

static void heard(void *arg, struct json *answer)
{
    *(int *)arg += json_get_str(answer, "error", NULL) == NULL;
    json_free(answer);
}

/* M24: whoever approved and heard no answer, because the agent was killed, says it again: nothing
 * is done twice, and the answer tells how far it is. */
static void M24_an_approval_that_is_repeated(void **state)
{
    int again = 0, anew = 0, told = 0, over = 0;

    (void)state;
    for (int after = 0; after < 24; after++) {
        struct rig r;
        struct json *c;
        char run[64];
        int yes = 0;

        rig_init(&r, 1);
        rules_scripted(&r, act_verify)->mode = MODE_APPROVE;
        rules_heat(&r, 16);
        rules_run(&r, run);
        c = json_new_map();
        json_set_str(c, "command", "approve");
        json_set_str(c, "by", "ann");
        json_set_str(c, "run", run);
        engine_command(virtual_engine(r.v), c, heard, &yes);
        json_free(c);
        for (int n = 0; n < after; n++)
            virtual_step(r.v, 30 * MIN_MS);
        rig_restart(&r);
        for (int minute = 16; minute < 60; minute += 7) {
            const char *said;
            char done[512];
            rig_run(&r, minute > 16 ? minute : 16 + after * 0.02);
            c = rig_order(&r, "approve", "run", run, NULL);
            said = json_get_str(c, "error", "");
            snprintf(done, sizeof(done), "run %s waits for no approval (it is ", run);
            if (strcmp(said, "it is approved already, by ann; the run is running") == 0) {
                told++;
            } else if (strstr(said, "is over: it ended succeeded") ||
                       strstr(said, "; done: scale: desired 10 -> 12)")) {
                over++;
            } else if (strstr(said, " asks its guards anew ")) {
                anew++;
            } else if (*said && strncmp(said, done, strlen(done)) != 0 &&
                       !strstr(said, "is over: ")) {
                fail_msg("after %d events: %s\n%s", after, said, r.timeline);
            }
            again += !*said;
            json_free(c);
        }
        if (rig_seen(&r, "it was not carried out")) { /* killed between intent and request */
            assert_int_equal(r.t[0].effects, 0);
            SEEN("end failed");
        } else {
            assert_int_equal(r.t[0].effects, 1);
            SEEN("end succeeded");
        }
        rig_free(&r);
    }
    assert_true(again > 0 && anew > 0 && told > 0 && over > 0);
}

static void a_silence_denies_until_it_ends(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    assert_string_equal(rules_order(&r, "silence", "policy", "hot", "for", "1h"), "");
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
        cmocka_unit_test(M17_outcomes),
        cmocka_unit_test(M18_lowering_the_mode_suspends),
        cmocka_unit_test(M19_undo_is_compare_and_set),
        cmocka_unit_test(M21_a_freeze_holds_an_undo),
        cmocka_unit_test(M24_an_approval_is_used_once),
        cmocka_unit_test(M20_one_intent_a_request),
        cmocka_unit_test(M21_after_unfreeze_only_while_it_still_holds),
        cmocka_unit_test(M21_an_operator_resumes),
        cmocka_unit_test(M21_the_deadline_expires_a_run),
        cmocka_unit_test(M22_a_wait_goes_on_over_a_restart),
        cmocka_unit_test(M22_a_wait_that_ran_out_while_away_asks_the_data),
        cmocka_unit_test(M24_an_irreversible_act_needs_a_human_even_when_enforced),
        cmocka_unit_test(M24_approval_unless),
        cmocka_unit_test(M24_only_the_named_approve_and_deny_ends_it),
        cmocka_unit_test(M24_an_approval_that_comes_too_late_does_nothing),
        cmocka_unit_test(M25_started_by_hand_skips_when_and_no_guard),
        cmocka_unit_test(M24_an_approval_that_is_repeated),
        cmocka_unit_test(a_silence_denies_until_it_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
