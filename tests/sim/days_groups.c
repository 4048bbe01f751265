/* asg_cpu_high over thirty simulated days: what it does, what it must not do, and whether users are
 * served better with it than without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "model.h"

#define POLICY RB_SOURCE_DIR "/policies/asg_cpu_high.lua"

/* Below the limit, always: a day's curve and noise. */
static double calm_traffic(const struct sim *s, int group, int64_t at_ms)
{
    return 8 * (38 + 14 * sim_daily(at_ms) + 3 * sim_noise(s, group, at_ms));
}

/* Two hours a day, from ten o'clock, one group after the other has more than it can carry. */
static bool spike(int group, int64_t at_ms)
{
    return group == at_ms / DAY % GROUPS && at_ms % DAY >= 10 * HOUR && at_ms % DAY < 12 * HOUR;
}

static double spiky_traffic(const struct sim *s, int group, int64_t at_ms)
{
    return spike(group, at_ms) ? 8 * 85.0
                               : 8 * (32 + 8 * sim_daily(at_ms) + 2 * sim_noise(s, group, at_ms));
}

/* Four times a day, half an hour, the same group. */
static double often_traffic(const struct sim *s, int group, int64_t at_ms)
{
    int64_t h = at_ms % DAY / HOUR, m = at_ms % HOUR / MIN;

    return group == 0 && (h == 8 || h == 11 || h == 14 || h == 17) && m < 30
               ? 8 * 85.0
               : 8 * (30 + 2 * sim_noise(s, group, at_ms));
}

/* It never stops growing. */
static double growing_traffic(const struct sim *s, int group, int64_t at_ms)
{
    (void)s;
    return group == 0 ? 8 * (50 + 0.3 * (double)at_ms / (double)HOUR) : 8 * 40;
}

/* Around the limit, each minute another value. */
static double nervous_traffic(const struct sim *s, int group, int64_t at_ms)
{
    return 8 * (59 + 12 * sim_noise(s, group, at_ms));
}

static double too_much(const struct sim *s, int group, int64_t at_ms)
{
    (void)s;
    (void)group;
    return at_ms < 2 * HOUR ? 8 * 40 : 8 * 85;
}

/* The same for all, and what is not done is counted. */
static void run(struct sim *s, const struct scenario *sc, int days)
{
    sim_begin(s, sc, POLICY, 11);
    sim_start(s);
    sim_until(s, days * DAY);
    for (int n = 0; n < GROUPS; n++) {
        assert_in_range(s->g[n].highest, 8, 20); /* the policy's max; the group's own is 30 */
        assert_int_equal(s->g[n].lowest, 8);
    }
    assert_int_equal(s->emergencies, 0);
}

static int slow_minutes(const struct sim *s)
{
    int n = 0;

    for (int k = 0; k < GROUPS; k++)
        n += s->g[k].slow_minutes;
    return n;
}

static void nothing_happens_on_calm_days(void **state)
{
    static const struct scenario sc = {.traffic = calm_traffic, .mode = MODE_ENFORCE};
    static struct sim s;

    (void)state;
    run(&s, &sc, DAYS);
    assert_int_equal(s.fires + s.acts + s.undos + s.denials, 0);
    assert_int_equal(s.triggers + s.humans + s.resolved + s.blinds, 0);
    sim_end(&s);
}

static void spikes_are_met_and_given_back(void **state)
{
    static const struct scenario sc = {.traffic = spiky_traffic, .mode = MODE_ENFORCE},
                                 without = {.traffic = spiky_traffic, .no_agent = true};
    static struct sim s, alone;
    int slow;

    (void)state;
    run(&s, &sc, DAYS);
    slow = slow_minutes(&s);
    assert_int_equal(s.fires, DAYS); /* one a spike: none twice */
    assert_int_equal(s.undos, DAYS);
    assert_int_equal(s.resolves, DAYS);
    assert_int_equal(s.resolved, 0); /* what was never opened at the pager is not closed there */
    assert_in_range(s.acts, DAYS, 3 * DAYS);
    assert_int_equal(s.triggers + s.humans + s.denials, 0); /* nobody was woken */
    assert_in_range(s.first_fire_ms, 10 * HOUR + 5 * MIN, 10 * HOUR + 6 * MIN);
    assert_in_range(s.first_act_ms, s.first_fire_ms, s.first_fire_ms + 5 * SEC);
    /* Back when it has been calm for half an hour, not before. */
    assert_in_range(s.first_undo_ms, 12 * HOUR + 29 * MIN, 12 * HOUR + 35 * MIN);
    for (int n = 0; n < GROUPS; n++) {
        assert_int_equal(s.g[n].desired, 8);
        assert_int_equal(s.g[n].shrunk, DAYS / GROUPS);
        assert_true(s.g[n].nchanges <= 4 * DAYS / GROUPS);
    }
    sim_end(&s);
    run(&alone, &without, DAYS);
    printf("minutes with p99 at or above 500 ms in %d days: %d with the agent, %d without\n", DAYS,
           slow, slow_minutes(&alone));
    assert_int_equal(alone.acts, 0);
    assert_int_equal(slow_minutes(&alone), DAYS * 120);
    assert_true(slow <= DAYS * 12); /* the five minutes of the condition, the three of the boot */
    sim_end(&alone);
}

/* Two runs within any twenty-four hours, and a page for each time that was one too many. */
static void the_limit_of_a_day_holds(void **state)
{
    static const struct scenario sc = {.traffic = often_traffic, .mode = MODE_ENFORCE};
    static struct sim s;
    int64_t starts[400];
    int n = 0;

    (void)state;
    run(&s, &sc, DAYS);
    for (int k = 0; k < s.g[0].nchanges; k++)
        if (n == 0 || s.g[0].changes[k] - starts[n - 1] > 2 * HOUR)
            starts[n++] = s.g[0].changes[k];
    for (int k = 0; k + 2 < n; k++)
        assert_true(starts[k + 2] - starts[k] >= DAY);
    assert_int_equal(s.fires, 4 * DAYS);
    assert_in_range(n, DAYS, 2 * DAYS + 2);
    assert_int_equal(s.denials, s.fires - n);
    assert_int_equal(s.triggers, 0); /* the run called a human: one page for one thing (M8) */
    assert_int_equal(s.humans, s.denials);
    assert_int_equal(s.undos, n);
    assert_int_equal(s.resolves, s.fires);
    assert_int_equal(s.resolved, s.triggers);
    assert_int_equal(s.g[0].desired, 8);
    sim_end(&s);
}

static void growth_ends_at_the_policys_max(void **state)
{
    static const struct scenario sc = {.traffic = growing_traffic, .mode = MODE_ENFORCE};
    static struct sim s;

    (void)state;
    run(&s, &sc, 30);
    assert_int_equal(s.g[0].highest, 20);
    assert_int_equal(s.g[0].desired, 20);
    assert_int_equal(s.g[0].grown, 4); /* 10, 13, 17, 20 and no more than that */
    assert_true(s.humans >= 1);
    assert_non_null(strstr(s.last_human, "web-0"));
    for (int n = 1; n < GROUPS; n++)
        assert_int_equal(s.g[n].nchanges, 0);
    sim_end(&s);
}

static void noise_at_the_limit_does_not_flap(void **state)
{
    static const struct scenario sc = {.traffic = nervous_traffic, .mode = MODE_ENFORCE};
    static struct sim s;

    (void)state;
    run(&s, &sc, DAYS);
    assert_in_range(s.fires, 1, 2 * GROUPS);
    for (int n = 0; n < GROUPS; n++) {
        assert_int_equal(s.g[n].shrunk, 0);
        assert_true(s.g[n].grown <= 1);
    }
    sim_end(&s);
}

/* Data that says nothing: none of it acts, resolves, or is taken for calm. */

static bool missing(const struct sim *s, const char *signal, int target, int64_t at_ms,
                    double *value)
{
    (void)s;
    (void)target;
    (void)value;
    return strcmp(signal, "asg_cpu") != 0 || at_ms < HOUR;
}

static bool not_a_number(const struct sim *s, const char *signal, int target, int64_t at_ms,
                         double *value)
{
    if (!missing(s, signal, target, at_ms, value))
        *value = (double)NAN;
    return true;
}

static bool all_zero(const struct sim *s, const char *signal, int target, int64_t at_ms,
                     double *value)
{
    if (!missing(s, signal, target, at_ms, value))
        *value = 0;
    return true;
}

static bool impossible(const struct sim *s, const char *signal, int target, int64_t at_ms,
                       double *value)
{
    if (!missing(s, signal, target, at_ms, value))
        *value = 250; /* percent of a processor */
    return true;
}

static void bad_data_does_nothing(void **state)
{
    static bool (*const kinds[])(const struct sim *s, const char *signal, int target, int64_t at_ms,
                                 double *value) = {missing, not_a_number, all_zero, impossible};

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct scenario sc = {.traffic = too_much, .arrives = kinds[k], .mode = MODE_ENFORCE};
        static struct sim s;
        run(&s, &sc, DAYS);
        assert_int_equal(s.fires + s.acts + s.undos, 0);
        assert_int_equal(s.blinds, GROUPS); /* each said once */
        assert_int_equal(s.humans, GROUPS);
        assert_int_equal(s.triggers + s.resolved, 0);
        sim_end(&s);
    }
}

/* In the middle of an incident the data goes away: the run ends blind, capacity stays, and the
 * episode stays open. */
static bool lost_at_five_past(const struct sim *s, const char *signal, int target, int64_t at_ms,
                              double *value)
{
    (void)s;
    (void)signal;
    (void)value;
    return target != 0 || at_ms < 10 * HOUR + 6 * MIN || at_ms > 20 * HOUR;
}

static void blind_in_the_middle_keeps_what_was_done(void **state)
{
    static const struct scenario sc = {
        .traffic = spiky_traffic, .arrives = lost_at_five_past, .mode = MODE_ENFORCE};
    static struct sim s;

    (void)state;
    sim_begin(&s, &sc, POLICY, 11);
    sim_start(&s);
    sim_until(&s, 19 * HOUR);
    assert_int_equal(s.acts, 1);
    assert_int_equal(s.undos + s.resolved, 0);
    assert_int_equal(s.triggers, 1);
    assert_true(s.g[0].desired > 8);
    sim_end(&s);
}

static void shadow_decides_the_same_and_does_nothing(void **state)
{
    static const struct scenario real = {.traffic = spiky_traffic, .mode = MODE_ENFORCE},
                                 shadow = {.traffic = spiky_traffic, .mode = MODE_SHADOW};
    static struct sim s, dry;
    static const char decided[] = "605m fire\n605m act grow desired 8 -> 10 ";
    size_t same = strlen(decided);

    (void)state;
    sim_begin(&s, &real, POLICY, 11);
    s.watched = "asg/web-0";
    sim_start(&s);
    sim_until(&s, DAY);
    sim_begin(&dry, &shadow, POLICY, 11);
    dry.watched = "asg/web-0";
    sim_start(&dry);
    sim_until(&dry, DAY);
    assert_int_equal(strncmp(buf_str(&s.rows), decided, same), 0);
    assert_int_equal(strncmp(buf_str(&dry.rows), decided, same), 0);
    assert_int_equal(strncmp(buf_str(&s.rows) + same, "ok\n", 3), 0);
    assert_int_equal(strncmp(buf_str(&dry.rows) + same, "shadow\n", 7), 0);
    assert_non_null(strstr(buf_str(&dry.rows), "end shadowed"));
    sim_until(&dry, DAYS * DAY);
    assert_int_equal(dry.fires, DAYS);
    assert_int_equal(dry.shadow_acts, DAYS);
    assert_int_equal(dry.acts, 0);
    assert_int_equal(dry.triggers + dry.humans + dry.resolved, 0);
    for (int n = 0; n < GROUPS; n++)
        assert_int_equal(dry.g[n].nchanges, 0);
    sim_end(&s);
    sim_end(&dry);
}

static void a_seed_is_a_journal(void **state)
{
    static const struct scenario sc = {.traffic = spiky_traffic, .mode = MODE_ENFORCE};
    static struct sim s;
    char head[3][65];

    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        sim_begin(&s, &sc, POLICY, k < 2 ? 5 : 6);
        sim_start(&s);
        sim_until(&s, 3 * DAY);
        sim_head(&s, head[k]);
        sim_end(&s);
    }
    assert_string_equal(head[0], head[1]);
    assert_string_not_equal(head[0], head[2]);
}

/* An incident of an hour and a quarter, killed at each event of it. */
static double one_incident(const struct sim *s, int group, int64_t at_ms)
{
    (void)s;
    return group == 0 && at_ms >= 10 * MIN && at_ms < 40 * MIN ? 8 * 85 : 8 * 30;
}

static const struct scenario incident = {.traffic = one_incident, .mode = MODE_ENFORCE};

static void killed_at_each_event_it_ends_the_same(void **state)
{
    int n = 0, doubts = 0;
    bool there = true;

    (void)state;
    for (n = 60; there; n++) {
        static struct sim s;
        sim_begin(&s, &incident, POLICY, 3);
        s.watched = "asg/web-0";
        s.once = true;
        sim_start(&s);
        for (int k = 0; k < n && there; k++)
            there = virtual_step(s.v, 80 * MIN);
        sim_restart(&s);
        sim_until(&s, 100 * MIN);
        if (strstr(buf_str(&s.rows), "it was not carried out")) {
            doubts++;
            assert_true(s.humans > 0);
        } else if (s.g[0].desired != 8 || s.g[0].shrunk != 1 || s.g[0].grown > 2 || s.humans ||
                   !strstr(buf_str(&s.rows), "end succeeded") ||
                   !strstr(buf_str(&s.rows), "resolve")) {
            fail_msg("killed before event %d: desired %d\n%s", n, s.g[0].desired, buf_str(&s.rows));
        }
        sim_end(&s);
    }
    printf("killed at %d events, %d of them between an intent and its request\n", n, doubts);
    assert_true(n > 400 && doubts < 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_on_calm_days),
        cmocka_unit_test(spikes_are_met_and_given_back),
        cmocka_unit_test(the_limit_of_a_day_holds),
        cmocka_unit_test(growth_ends_at_the_policys_max),
        cmocka_unit_test(noise_at_the_limit_does_not_flap),
        cmocka_unit_test(bad_data_does_nothing),
        cmocka_unit_test(blind_in_the_middle_keeps_what_was_done),
        cmocka_unit_test(shadow_decides_the_same_and_does_nothing),
        cmocka_unit_test(a_seed_is_a_journal),
        cmocka_unit_test(killed_at_each_event_it_ends_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
