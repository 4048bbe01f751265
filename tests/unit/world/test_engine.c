/* The engine in the virtual world: one loop from a high reading to a verified effect, and what each
 * rule and guard makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_world.h"

static void load_rises_at_10(struct rig *r, int64_t at_ms)
{
    r->t[0].load = at_ms >= 10 * MIN_MS ? 700 : 400;
}

/* 700 / 10 = 70 % fires at 15m; 700 / 12 = 58 % clears it. */
static void one_closed_loop(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises_at_10;
    rig_start(&r);
    rig_run(&r, 60);
    assert_int_equal(r.t[0].desired, 12);
    assert_int_equal(r.t[0].effects, 1);
    if (!rig_seen(&r, "15m asg/g0 fire") ||
        !rig_seen(&r, "15m asg/g0 act scale desired 10 -> 12 ok") ||
        !rig_seen(&r, "verify cleared ok") || !rig_seen(&r, "end succeeded") ||
        !rig_seen(&r, "resolve"))
        fail_msg("%s", r.timeline);
    assert_int_equal(r.triggers, 0); /* sev3 pages on failure only */
    assert_int_equal(r.resolves, 0); /* nothing was opened, so nothing is closed: a note says so */
    assert_non_null(strstr(r.reports, "g0: clear after"));
    assert_int_equal(r.humans, 0);
    rig_free(&r);
}

static void shadow_changes_nothing(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->mode = MODE_SHADOW;
    r.script = load_rises_at_10;
    rig_start(&r);
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 0);
    if (!rig_seen(&r, "act scale desired 10 -> 12 shadow") || !rig_seen(&r, "end shadowed"))
        fail_msg("%s", r.timeline);
    assert_non_null(strstr(r.reports, "shadow note"));
    assert_null(strstr(r.reports, "\nnote"));
    rig_free(&r);
}

static void approval_is_asked_and_used_once(void **state)
{
    struct rig r;
    struct json *a;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->mode = MODE_APPROVE;
    r.script = load_rises_at_10;
    rig_start(&r);
    rig_run(&r, 17);
    assert_int_equal(r.t[0].effects, 0);
    assert_int_equal(r.humans, 1);
    assert_non_null(strstr(r.reports, "/approval g0: approval wanted"));
    assert_null(strstr(r.reports, "/approval g0: scale: approved"));
    a = rig_order(&r, "status", NULL);
    snprintf(run, sizeof(run), "%s", json_get_str(json_at(json_get(a, "policies"), 0), "run", ""));
    assert_string_equal(json_get_str(json_at(json_get(a, "policies"), 0), "run_state", ""),
                        "awaiting_approval");
    json_free(a);
    a = rig_order(&r, "approve", "run", run, "hash", "00000000", NULL);
    assert_non_null(json_get_str(a, "error", NULL));
    json_free(a);
    a = rig_order(&r, "approve", "run", run, NULL);
    assert_null(json_get_str(a, "error", NULL));
    json_free(a);
    rig_run(&r, 18);
    assert_int_equal(r.t[0].effects, 1);
    assert_non_null(strstr(r.reports, "/approval g0: scale: approved by ann"));
    a = rig_order(&r, "approve", "run", run, NULL);
    assert_non_null(json_get_str(a, "error", NULL));
    json_free(a);
    rig_free(&r);
}

/* It holds for its plan and its time, and no longer. */
static void an_approval_outlives_a_crash(void **state)
{
    for (int late = 0; late < 2; late++) {
        struct rig r;
        struct json *a;
        char run[64];

        (void)state;
        rig_init(&r, 1);
        rig_policy(&r, "hot")->mode = MODE_APPROVE;
        r.script = load_rises_at_10;
        rig_start(&r);
        rig_run(&r, 17);
        a = rig_order(&r, "status", NULL);
        snprintf(run, sizeof(run), "%s",
                 json_get_str(json_at(json_get(a, "policies"), 0), "run", ""));
        json_free(a);
        r.latency_ms = 10000; /* the look that follows the approval takes so long */
        json_free(rig_order(&r, "approve", "run", run, NULL));
        virtual_crash(r.v);
        if (late)
            rig_run(&r, 40);
        rig_restart(&r);
        r.latency_ms = 0;
        rig_run(&r, late ? 50 : 28); /* the condition is known again */
        assert_int_equal(r.t[0].effects, late ? 0 : 1);
        assert_int_equal(r.humans, late ? 2 : 1);
        rig_free(&r);
    }
}

/* The plan that was approved said 10 -> 12; the world moved: asked once more, then refused. */
static void a_changed_plan_voids_the_approval(void **state)
{
    struct rig r;
    struct json *a;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->mode = MODE_APPROVE;
    r.script = load_rises_at_10;
    rig_start(&r);
    rig_run(&r, 17);
    a = rig_order(&r, "status", NULL);
    snprintf(run, sizeof(run), "%s", json_get_str(json_at(json_get(a, "policies"), 0), "run", ""));
    json_free(a);
    r.t[0].desired = 11;
    json_free(rig_order(&r, "approve", "run", run, NULL));
    rig_run(&r, 17.5);
    assert_int_equal(r.t[0].effects, 0);
    assert_int_equal(r.humans, 2);
    json_free(rig_order(&r, "approve", "run", run, NULL));
    rig_run(&r, 18);
    assert_int_equal(r.t[0].desired, 13);
    rig_free(&r);
}

/* The condition is what a human was asked for: over, nothing is needed; not known, nothing is done.
 */
static void M24_an_approval_is_used_while_its_reason_lasts(void **state)
{
    static const struct {
        double load;
        bool missing;
        const char *row;
        int humans;
    } rows[] = {{850, false, "act scale", 1},
                {100, false, "end cancelled", 1},
                {850, true, "deny data: the condition is unknown", 2}};

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
        struct rig r;
        struct json *a;
        char run[64];

        rig_init(&r, 1);
        rig_policy(&r, "hot")->mode = MODE_APPROVE;
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 850;
        rig_run(&r, 16);
        r.t[0].load = rows[k].load;
        r.t[0].missing = rows[k].missing;
        rig_run(&r, 24);
        a = rig_order(&r, "status", NULL);
        snprintf(run, sizeof(run), "%s",
                 json_get_str(json_at(json_get(a, "policies"), 0), "run", ""));
        json_free(a);
        json_free(rig_order(&r, "approve", "run", run, NULL));
        rig_run(&r, 24.5);
        assert_int_equal(r.t[0].effects, k == 0);
        if (!rig_seen(&r, rows[k].row) || r.humans != rows[k].humans)
            fail_msg("row %zu: %d humans\n%s", k, r.humans, r.timeline);
        rig_free(&r);
    }
}

static void M10_unknown_never_acts_and_is_reported_once(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.t[0].missing = true;
    rig_start(&r);
    rig_run(&r, 120);
    assert_int_equal(r.t[0].effects, 0);
    assert_int_equal(r.humans, 1);
    assert_non_null(strstr(r.last_human, "blind for 15m"));
    assert_false(rig_seen(&r, "fire"));
    rig_free(&r);
}

static void breaker_opens_after_two_bad_outcomes(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "hot");
    p->limit = (struct rate){100, 60 * MIN_MS};
    p->cooldown_ms = 0;
    rig_start(&r);
    for (int round = 0; round < 3; round++) {
        r.t[0].load = 900;
        r.next_how = APPLIED_REFUSED;
        rig_run(&r, 60 * round + 30);
        r.t[0].load = 100;
        rig_run(&r, 60 * round + 60);
    }
    assert_int_equal(r.t[0].effects, 0);
    if (!rig_seen(&r, "deny breaker: open after 2"))
        fail_msg("%s", r.timeline);
    rig_free(&r);
}

static void limits_hold_over_a_restart(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->cooldown_ms = 0;
    rig_start(&r);
    r.t[0].load = 700;
    rig_run(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    r.t[0].load = 100;
    rig_run(&r, 28);
    rig_restart(&r);
    virtual_step_wall(r.v,
                      400LL * 24 * 60 * MIN_MS); /* a year of the wall clock does not help either */
    r.t[0].load = 900;
    rig_run(&r, 45);
    assert_int_equal(r.t[0].effects, 1);
    if (!rig_seen(&r, "deny rate per target: limit 1 per 1h is used up"))
        fail_msg("%s", r.timeline);
    rig_free(&r);
}

static void a_fleet_is_not_all_acted_on(void **state)
{
    struct rig r;
    int acted = 0;

    (void)state;
    rig_init(&r, 20);
    rig_policy(&r, "hot");
    for (int k = 0; k < 20; k++)
        r.t[k].load = 700;
    rig_start(&r);
    rig_run(&r, 30);
    for (int k = 0; k < 20; k++)
        acted += r.t[k].effects;
    assert_int_equal(acted, 2); /* 10 % of 20 */
    assert_true(rig_seen(&r, "deny blast radius: 2 other targets"));
    rig_free(&r);
}

static void a_storm_is_one_page_and_shadow(void **state)
{
    struct rig r;
    struct policy *p;
    int acted = 0;

    (void)state;
    rig_init(&r, 30);
    p = rig_policy(&r, "hot");
    p->page = PAGE_AT_FIRE;
    p->max_targets = 100;
    for (int k = 0; k < 30; k++)
        r.t[k].load = 700;
    rig_start(&r);
    rig_run(&r, 30);
    for (int k = 0; k < 30; k++)
        acted += r.t[k].effects;
    assert_true(acted <= 20);
    assert_int_equal(r.triggers, 20);
    assert_non_null(strstr(r.reports, "human agent/storm/human Storm"));
    rig_free(&r);
}

static void other_controllers_deny(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.t[0].controller = "dynamic scaling policy cpu-50";
    r.t[0].load = 700;
    rig_start(&r);
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 0);
    assert_true(rig_seen(
        &r,
        "deny other controllers: another controller is at work: dynamic scaling policy cpu-50"));
    rig_free(&r);
}

static void freeze_holds_and_survives(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises_at_10;
    rig_start(&r);
    rig_run(&r, 12);
    json_free(rig_order(&r, "freeze", "reason", "look first", NULL));
    rig_restart(&r);
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    json_free(rig_order(&r, "unfreeze", NULL));
    rig_run(&r, 42);
    assert_int_equal(r.t[0].effects, 1); /* the condition still holds: the run goes on (M21) */
    rig_free(&r);
}

static void freeze_file_only_freezes(void **state)
{
    struct rig r;
    struct json *a;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises_at_10;
    r.frozen_file = true;
    rig_start(&r);
    rig_run(&r, 20);
    r.frozen_file = false;
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    a = rig_order(&r, "status", NULL);
    assert_true(json_get_bool(a, "frozen", false));
    json_free(a);
    rig_free(&r);
}

/* M2: what is in doubt is settled by the probe, whichever way it went; nothing is sent twice. */
static void doubt_is_settled_by_probe(void **state)
{
    (void)state;
    for (int done = 0; done < 2; done++) {
        struct rig r;
        rig_init(&r, 1);
        rig_policy(&r, "hot");
        r.script = load_rises_at_10;
        r.next_how = APPLIED_IN_DOUBT;
        r.doubt_done = done;
        rig_start(&r);
        rig_run(&r, 60);
        assert_int_equal(r.t[0].effects, done);
        assert_true(rig_seen(&r, done ? "probe scale: done" : "probe scale: not done"));
        assert_true(rig_seen(&r, done ? "end succeeded" : "end failed"));
        rig_free(&r);
    }
}

static void doubt_that_cannot_be_settled_holds_the_target(void **state)
{
    struct rig r;
    struct json *a;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises_at_10;
    r.next_how = APPLIED_IN_DOUBT;
    rig_start(&r);
    r.doubt_desired = 17; /* neither before nor after */
    rig_run(&r, 40);
    assert_true(rig_seen(&r, "stuck"));
    assert_non_null(strstr(r.last_human, "runbookctl settle"));
    a = rig_order(&r, "status", NULL);
    snprintf(run, sizeof(run), "%s", json_get_str(json_at(json_get(a, "policies"), 0), "run", ""));
    json_free(a);
    rig_restart(&r);
    rig_run(&r, 50);
    a = rig_order(&r, "status", NULL);
    assert_string_equal(json_get_str(json_at(json_get(a, "in_doubt"), 0), "run", ""), run);
    assert_true(json_get_bool(json_at(json_get(a, "in_doubt"), 0), "stuck", false));
    json_free(a);
    a = rig_order(&r, "settle", "run", run, "as", "done", NULL);
    assert_null(json_get_str(a, "error", NULL));
    json_free(a);
    rig_run(&r, 90);
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

static void a_journal_that_cannot_be_written_means_no_action(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    r.script = load_rises_at_10;
    rig_start(&r);
    rig_run(&r, 14);
    for (uint64_t n = 1; n < 400; n++)
        memory_disk_fail(virtual_disk(r.v), n, MEMORY_LOST);
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    assert_int_equal(r.emergencies, 1);
    rig_free(&r);
}

/* The whole story with a kill -9 before each event in turn: one effect, one resolve, the same end.
 */
static void killed_anywhere_it_ends_the_same(void **state)
{
    int restarts = 0;

    (void)state;
    for (int at = 0; at < 400; at++) {
        struct rig r;
        int n = 0;
        bool ended = false;
        rig_init(&r, 1);
        rig_policy(&r, "hot");
        r.script = load_rises_at_10;
        rig_start(&r);
        while (n < at && virtual_step(r.v, 60 * MIN_MS))
            n++;
        ended = n < at;
        if (virtual_now(r.v) > 14 * MIN_MS || at == 0) {
            rig_restart(&r);
            restarts++;
        }
        rig_run(&r, 60);
        if (r.t[0].effects > 1)
            fail_msg("killed before event %d: %d effects\n%s", at, r.t[0].effects, r.timeline);
        if (r.t[0].effects == 0 && !rig_seen(&r, "settled by probe") && !rig_seen(&r, "not done"))
            fail_msg("killed before event %d: no effect and no doubt\n%s", at, r.timeline);
        rig_free(&r);
        if (ended)
            break;
    }
    assert_true(restarts > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_closed_loop),
        cmocka_unit_test(shadow_changes_nothing),
        cmocka_unit_test(approval_is_asked_and_used_once),
        cmocka_unit_test(an_approval_outlives_a_crash),
        cmocka_unit_test(a_changed_plan_voids_the_approval),
        cmocka_unit_test(M24_an_approval_is_used_while_its_reason_lasts),
        cmocka_unit_test(M10_unknown_never_acts_and_is_reported_once),
        cmocka_unit_test(breaker_opens_after_two_bad_outcomes),
        cmocka_unit_test(limits_hold_over_a_restart),
        cmocka_unit_test(a_fleet_is_not_all_acted_on),
        cmocka_unit_test(a_storm_is_one_page_and_shadow),
        cmocka_unit_test(other_controllers_deny),
        cmocka_unit_test(freeze_holds_and_survives),
        cmocka_unit_test(freeze_file_only_freezes),
        cmocka_unit_test(doubt_is_settled_by_probe),
        cmocka_unit_test(doubt_that_cannot_be_settled_holds_the_target),
        cmocka_unit_test(a_journal_that_cannot_be_written_means_no_action),
        cmocka_unit_test(killed_anywhere_it_ends_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
