/* M10 to M12: what is told once, what is counted for whom, and who may take over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "help_rules.h"

static const struct script_line act_only[] = {{'*', ASK_ACT, "scale", 0}, SCRIPT_END};

static void M10_a_blind_source_is_reported_once(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->blind_after_ms = 25 * MIN_MS;
    r.t[0].missing = true;
    rig_start(&r);
    rig_run(&r, 24.9);
    assert_int_equal(r.humans, 0);
    rig_run(&r, 25.1);
    assert_int_equal(r.humans, 1);
    assert_non_null(strstr(r.last_human, "g0: blind for 25m"));
    rig_run(&r, 300);
    assert_int_equal(r.humans, 1);
    r.t[0].missing = false;
    rig_run(&r, 310);
    assert_non_null(strstr(r.reports, "g0: data is back"));
    r.t[0].missing = true; /* blind anew is told anew */
    rig_run(&r, 400);
    assert_int_equal(r.humans, 2);
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

static int effects(const struct rig *r, int n)
{
    int sum = 0;

    for (int k = 0; k < n; k++)
        sum += r->t[k].effects;
    return sum;
}

static void M11_policy_limit_is_for_all_targets_together(void **state)
{
    (void)state;
    for (int limited = 0; limited < 2; limited++) {
        struct rig r;
        struct policy *p;
        rig_init(&r, 5);
        p = rules_scripted(&r, act_only);
        p->max_targets = 5;
        if (limited)
            p->policy_limit = (struct rate){3, 60 * MIN_MS};
        rig_start(&r);
        rig_run(&r, 9.5);
        for (int k = 0; k < 5; k++)
            r.t[k].load = 1500;
        rig_run(&r, 30);
        assert_int_equal(effects(&r, 5), limited ? 3 : 5);
        if (limited)
            SEEN("deny rate per policy: policy_limit 3 per 1h is used up (3 of 3)");
        rig_free(&r);
    }
}

static void M11_max_targets_as_count_and_as_share(void **state)
{
    static const struct {
        int count;
        double percent;
        int allowed; /* of 20 */
    } rows[] = {{3, 0, 3}, {0, 10, 2}, {0, 26, 5}, {0, 1, 1}, {0, 100, 20}};

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct rig r;
        struct policy *p;
        char why[80];
        rig_init(&r, 20);
        p = rules_scripted(&r, act_only);
        p->max_targets = rows[k].count;
        p->max_targets_percent = rows[k].percent;
        rig_start(&r);
        rig_run(&r, 9.5);
        for (int t = 0; t < 20; t++)
            r.t[t].load = 1500;
        rig_run(&r, 30);
        assert_int_equal(effects(&r, 20), rows[k].allowed);
        snprintf(why, sizeof(why), "max_targets allows %d of 20", rows[k].allowed);
        if (rows[k].allowed < 20)
            SEEN(why);
        rig_free(&r);
    }
}

/* limit is per target, and a run takes it once however often it acts. */
static void M11_limit_is_taken_once_a_run(void **state)
{
    static const struct script_line twice[] = {
        {'*', ASK_ACT, "scale", 0}, {'*', ASK_ACT, "scale", 0}, SCRIPT_END};
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 2);
    p = rules_scripted(&r, twice);
    p->actions[0].max_acts = 2;
    p->cooldown_ms = 0;
    p->max_targets = 2;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = r.t[1].load = 1500;
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 2);
    assert_int_equal(r.t[1].effects, 2);
    r.t[0].load = 100; /* a second episode within the hour */
    rig_run(&r, 45);
    r.t[0].load = 5000;
    rig_run(&r, 55);
    SEEN("deny rate per target: limit 1 per 1h is used up (1 of 1)");
    assert_int_equal(r.t[0].effects, 2);
    rig_free(&r);
}

/* Two actions that use the same headroom of one service: the second waits until the first has been
 * verified, which here means that it is refused. */
static void headroom_is_not_shared(void **state)
{
    static const struct {
        const char *action;
        bool shares;
    } rows[] = {{"burn", true}, {"shake", false}};

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct rig r;
        struct policy *p;
        rig_init(&r, 1);
        rig_policy(&r, "hot");
        p = rig_policy(&r, "warm");
        p->actions[0].type = action_find(rows[k].action);
        p->actions[0].name = rows[k].action;
        r.t[0].load = 700;
        rig_start(&r);
        rig_run(&r, 12);
        SEEN("act scale desired 10 -> 12 ok");
        if (rows[k].shares) {
            SEEN("deny conflict: run ");
            SEEN("is changing database_connections of the same service on asg/g0");
            NOT_SEEN("approval wanted");
        } else {
            NOT_SEEN("deny conflict");
        }
        rig_free(&r);
    }
}

/* Budgets of the host count every intent, an undo included, but refuse no undo. */
static void M11_an_undo_counts_and_is_not_refused(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    rig_budget(&r, (struct rate){1, 10 * 60 * MIN_MS});
    rules_scripted(&r, grow_and_back)->max_targets = 2;
    rules_heat(&r, 20);
    r.t[0].load = 100;
    rig_run(&r, 60);
    SEEN("undo scale desired 12 -> 10 ok"); /* the budget of one was spent by the act */
    r.t[1].load = 700;
    rig_run(&r, 90);
    SEEN("asg/g1 deny budget: the agent's budget 1 per 10h is used up (2 of 1)");
    rig_free(&r);
}

/* An operator's procedure takes the attribute from a policy's run that is only waiting; it is ended
 * as superseded and its undo is dropped. */
static void M12_a_procedure_outranks_policies(void **state)
{
    struct rig r;
    struct policy *p, *by_hand;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, grow_and_back);
    p->severity = SEV1;
    by_hand = rig_policy(&r, "by-hand");
    by_hand->when = NULL;
    by_hand->procedure = true;
    by_hand->severity = SEV4;
    rig_script(by_hand, act_only);
    rules_heat(&r, 20);
    assert_string_equal(rules_order(&r, "start", "policy", "by-hand", "target", "g0"), "");
    rig_run(&r, 22);
    assert_int_equal(r.t[0].effects, 2);
    SEEN("end superseded: run R");
    assert_non_null(strstr(r.reports, "of policy by-hand took over; its undo is dropped"));
    rig_free(&r);
}

/* What another service does holds nobody back here. */
static void M9_only_on_the_same_service(void **state)
{
    static const char *list[] = {"low"};
    struct rig r;
    struct policy *low, *high;
    struct json *g0 = json_new_list(), *g1 = json_new_list();

    (void)state;
    rig_init(&r, 2);
    json_add(g0, json_new_str("g0"));
    json_add(g1, json_new_str("g1"));
    high = rig_policy(&r, "high");
    high->target.name = g0;
    high->inhibits = list;
    high->ninhibits = 1;
    low = rig_policy(&r, "low");
    low->target.name = g1;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = r.t[1].load = 700;
    rig_run(&r, 25);
    SEEN("asg/g0 fire");
    assert_int_equal(r.t[1].effects, 1);
    rig_free(&r);
    json_free(g0);
    json_free(g1);
}

/* M14: the ladder verifies that `when` is false, whatever a check of the author's is called. */
static void M14_the_ladders_own_check_is_not_shadowed(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->verify_within_ms = 10 * MIN_MS;
    rig_check(&r, p, "cleared", rig_leaf(&r, CMP_BELOW, 101, 0)); /* always true */
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 1500;
    rig_run(&r, 40);
    SEEN("verify cleared failed");
    SEEN("end ineffective");
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(M9_only_on_the_same_service),
        cmocka_unit_test(M10_a_blind_source_is_reported_once),
        cmocka_unit_test(M11_policy_limit_is_for_all_targets_together),
        cmocka_unit_test(M11_max_targets_as_count_and_as_share),
        cmocka_unit_test(M11_limit_is_taken_once_a_run),
        cmocka_unit_test(headroom_is_not_shared),
        cmocka_unit_test(M11_an_undo_counts_and_is_not_refused),
        cmocka_unit_test(M12_a_procedure_outranks_policies),
        cmocka_unit_test(M14_the_ladders_own_check_is_not_shadowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
