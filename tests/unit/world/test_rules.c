/* The rules of meaning of episodes, limits and the ladder, each by its name (M6 to M16). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

static void M6_one_episode_until_clear_and_the_run_ended(void **state)
{
    struct rig r;
    const char *first;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back)->limit = (struct rate){10, 60 * MIN_MS};
    rules_heat(&r, 20);
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

/* What the reading is from each minute on, whatever was done. */
static void readings(struct rig *r, int64_t at_ms)
{
    static const struct {
        int minute;
        double reading;
    } rows[] = {{0, 40},  {10, 80}, {11, 44}, {12, 50}, {13, 44}, {14, 46},
                {15, 80}, {16, 59}, {20, 40}, {30, 80}, {31, 40}};

    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
        if (at_ms >= rows[k].minute * MIN_MS)
            r->t[0].load = rows[k].reading * r->t[0].desired;
}

/* One point below `clear` is not enough, nor are two that the leaf's comparator alone finds low;
 * and in the next episode the points of the one before it do not count. */
static void M6_the_clear_of_a_leaf(void **state)
{
    (void)state;
    for (int reloads = 0; reloads < 2; reloads++) {
        struct cond *kid, none = {.kind = COND_NONE, .kids = &kid, .nkids = 1};
        struct rig r;
        struct policy *p;
        const char *again;

        rig_init(&r, 1);
        p = rig_policy(&r, "hot");
        p->when = rig_leaf(&r, CMP_ABOVE, 60, 0);
        kid = rig_leaf(&r, CMP_ABOVE, 45, 0);
        p->clear = &none;
        p->clear_of_when = true;
        r.script = readings;
        rig_start(&r);
        rig_run(&r, 20.5);
        if (reloads)
            rig_reload(&r); /* the first of the two points was before it */
        rig_run(&r, 40);
        SEEN("10m asg/g0 fire");
        SEEN("21m asg/g0 clear");
        again = strstr(r.timeline, "30m asg/g0 fire");
        assert_non_null(again);
        assert_non_null(strstr(again, "32m asg/g0 clear"));
        assert_null(strstr(strstr(r.timeline, " clear ") + 1, "31m asg/g0 clear"));
        rig_free(&r);
    }
}

static void M7_a_vanished_target_ends_its_episode(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 2);
    rules_scripted(&r, grow_and_back)->page = PAGE_AT_FIRE;
    rules_heat(&r, 20);
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

static void a_selector_that_matches_nothing_is_reported(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, grow_and_back);
    p->target.name = json_new_list();
    json_add(p->target.name, json_new_str("nothing"));
    rules_heat(&r, 30);
    NOT_SEEN(" fire ");
    assert_non_null(strstr(r.reports, "its selector matches no target"));
    assert_non_null(strstr(rules_order(&r, "explain", "policy", p->name, NULL, NULL),
                           "its selector matches no target"));
    json_free(p->target.name);
    p->target.name = NULL;
    rig_free(&r);
}

static void M8_pages_by_severity_and_humans_have_a_key_of_their_own(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, act_verify);
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
    rules_heat(&r, 30);
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
    rules_heat(&r, 20);
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
    rules_scripted(&r, twice);
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
    low = rules_scripted(&r, grow_and_back);
    high = rig_policy(&r, "worse");
    high->severity = SEV1;
    high->when = rig_leaf(&r, CMP_ABOVE, 85, 2 * MIN_MS);
    low->max_targets = high->max_targets = 5;
    rules_heat(&r, 20);
    r.t[0].load = 1100; /* 12 instances: 91 % */
    rig_run(&r, 24);
    SEEN("end superseded");
    assert_int_equal(r.t[0].desired, 14);
    rig_free(&r);
}

/* A question is no claim: the worse of two does not wait until somebody answers the other's. */
static void M12_a_higher_severity_takes_over_from_one_that_asked(void **state)
{
    struct rig r;
    struct policy *low, *high;

    (void)state;
    rig_init(&r, 1);
    low = rules_scripted(&r, grow_and_back);
    low->actions[0].approval_required = true;
    high = rig_policy(&r, "worse");
    high->severity = SEV1;
    high->when = rig_leaf(&r, CMP_ABOVE, 85, 2 * MIN_MS);
    low->max_targets = high->max_targets = 5;
    rules_heat(&r, 20);
    SEEN("approval wanted: scale");
    assert_int_equal(r.t[0].effects, 0);
    r.t[0].load = 1100; /* of 10 instances */
    rig_run(&r, 24);
    SEEN("end superseded: run R");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

static void M12_an_equal_severity_defers(void **state)
{
    struct rig r;
    struct policy *low, *other;

    (void)state;
    rig_init(&r, 1);
    low = rules_scripted(&r, grow_and_back);
    other = rig_policy(&r, "other");
    other->when = rig_leaf(&r, CMP_ABOVE, 85, 2 * MIN_MS);
    low->max_targets = other->max_targets = 5;
    rules_heat(&r, 20);
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
    rules_heat(&r, 20);
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
    rules_heat(&r, 90);
    SEEN("15m asg/g0 act idle nothing to do");
    SEEN("15m asg/g0 act scale desired 10 -> 12 ok"); /* at once: there was nothing to wait for */
    SEEN("act scale desired 10 -> 12 ok");
    SEEN("end succeeded");
    rig_free(&r);

    rig_init(&r, 1); /* denied: page and stop, the next rung is not tried */
    p = rig_policy(&r, "hot");
    rig_action(p, "second", "pair");
    p->actions[0].coexist = false;
    r.t[0].controller = "a refresh";
    rules_heat(&r, 90);
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
    p = rules_scripted(&r, act_verify);
    p->checks[0].cond = rig_leaf(&r, CMP_ABOVE, 1, 3 * MIN_MS); /* was true all the time before */
    rules_heat(&r, 40);
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
    rules_scripted(&r, act_verify);
    rules_heat(&r, 15);
    r.t[0].missing = true;
    rig_run(&r, 40);
    SEEN("end blind");
    NOT_SEEN("did not help");
    assert_non_null(strstr(r.last_human, "blind"));
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(M6_one_episode_until_clear_and_the_run_ended),
        cmocka_unit_test(M6_the_clear_of_a_leaf),
        cmocka_unit_test(M7_a_vanished_target_ends_its_episode),
        cmocka_unit_test(a_selector_that_matches_nothing_is_reported),
        cmocka_unit_test(M8_pages_by_severity_and_humans_have_a_key_of_their_own),
        cmocka_unit_test(M9_inhibits_on_the_same_target),
        cmocka_unit_test(M11_a_token_returns_only_if_no_request_left),
        cmocka_unit_test(M11_cooldown_defers_then_denies),
        cmocka_unit_test(M11_max_acts_bound_a_run),
        cmocka_unit_test(M12_a_higher_severity_takes_over_from_a_waiting_run),
        cmocka_unit_test(M12_a_higher_severity_takes_over_from_one_that_asked),
        cmocka_unit_test(M12_an_equal_severity_defers),
        cmocka_unit_test(M13_coexist_allows_both),
        cmocka_unit_test(M14_the_ladder_climbs_only_on_known_false_or_nothing_to_do),
        cmocka_unit_test(M15_verify_counts_only_points_after_the_act),
        cmocka_unit_test(M16_unknown_at_the_deadline_is_blind_not_false),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
