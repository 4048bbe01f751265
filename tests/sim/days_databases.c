/* pg_connections_high over thirty simulated days: which sessions end, which never do, how often,
 * and whether clients find a free connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model.h"

#define POLICY RB_SOURCE_DIR "/policies/pg_connections_high.lua"

/* From nine in the morning to nine in the evening an application leaks; at eleven it is deployed
 * anew. */
static double working_day(const struct sim *s, int db, int64_t at_ms)
{
    int64_t h = at_ms % DAY / HOUR;

    (void)s;
    return db != 0 ? 0 : h >= 9 && h < 21 ? 1.2 : h == 23 ? -1 : 0;
}

/* Much at once, none of it idle for long. */
static double burst(const struct sim *s, int db, int64_t at_ms)
{
    (void)s;
    return db == 0 && at_ms >= 10 * HOUR && at_ms < 10 * HOUR + 13 * MIN ? 40 : 0;
}

/* As much as will go, for ever. */
static double flood(const struct sim *s, int db, int64_t at_ms)
{
    (void)s;
    return db == 0 && at_ms >= 10 * HOUR ? 25 : 0;
}

static void run(struct sim *s, const struct scenario *sc, int days)
{
    sim_begin(s, sc, POLICY, 21);
    sim_start(s);
    sim_until(s, days * DAY);
    assert_int_equal(s->emergencies, 0);
    for (int n = 0; n < DBS; n++)
        assert_int_equal(s->db[n].protected_ended, 0); /* busy, pooled, in a transaction,
                                                          superusers, replication: never */
    for (int k = 0; k + 8 < s->db[0].nacts; k++)       /* two runs of four within any hour */
        assert_true(s->db[0].acts[k + 8] - s->db[0].acts[k] >= HOUR - MIN);
}

static void a_leak_is_kept_in_bounds(void **state)
{
    static const struct scenario sc = {.leak = working_day, .mode = MODE_ENFORCE},
                                 without = {.leak = working_day, .no_agent = true};
    static struct sim s, alone;

    (void)state;
    run(&s, &sc, DAYS);
    printf("%d pages, %d requests, %d sessions ended, at most %d at once, %d clients turned away\n",
           s.triggers, s.acts, s.db[0].ended, s.db[0].most, s.db[0].refused);
    assert_in_range(s.fires, DAYS, 10 * DAYS);
    assert_int_equal(s.acts, s.fires); /* one act brings it below each time */
    assert_int_equal(s.db[0].ended, 50 * s.acts);
    assert_in_range(s.db[0].most, 800, 810); /* two minutes of the condition, and the act */
    assert_int_equal(s.db[0].refused, 0);
    assert_int_equal(s.triggers, s.fires); /* sev2: at each fire */
    assert_int_equal(s.resolved, s.fires); /* and over again */
    assert_int_equal(s.humans + s.denials + s.blinds, 0);
    assert_int_equal(s.db[1].ended, 0);
    sim_end(&s);
    run(&alone, &without, DAYS);
    assert_int_equal(alone.db[0].most, MAX_CONNECTIONS);
    assert_true(alone.db[0].refused > 0);
    sim_end(&alone);
}

static void nobody_idle_long_enough_is_ended(void **state)
{
    static const struct scenario sc = {.leak = burst, .mode = MODE_ENFORCE};
    static struct sim s;

    (void)state;
    sim_begin(&s, &sc, POLICY, 21);
    sim_start(&s);
    sim_until(&s, 10 * HOUR + 43 * MIN);
    /* Four times it found nothing to do; then a human was told. */
    assert_int_equal(s.fires, 1);
    assert_int_equal(s.db[0].ended, 0);
    assert_int_equal(s.triggers, 1);
    assert_int_equal(s.humans, 1);
    assert_non_null(strstr(s.last_human, "look for the application that leaks them"));
    assert_int_equal(s.resolved, 0);
    sim_until(&s, DAYS * DAY);
    /* The episode is open until its condition is clear: no second run, no second page. */
    assert_int_equal(s.fires, 1);
    assert_int_equal(s.triggers + s.humans, 2);
    assert_int_equal(s.db[0].ended, 0);
    sim_end(&s);
}

static void clients_that_reconnect_are_not_fought(void **state)
{
    static const struct scenario sc = {.leak = flood, .reconnect = true, .mode = MODE_ENFORCE};
    static struct sim s;

    (void)state;
    run(&s, &sc, DAYS);
    assert_int_equal(s.fires, 1);
    assert_in_range(s.db[0].ended, 0, 4 * 50); /* one run of four acts at most */
    assert_int_equal(s.triggers, 1);
    assert_int_equal(s.humans, 1);
    assert_int_equal(s.resolved, 0);
    sim_end(&s);
}

/* From noon on each reading says that there is nobody. */
static bool nobody(const struct sim *s, const char *signal, int target, int64_t at_ms,
                   double *value)
{
    (void)s;
    (void)signal;
    (void)target;
    if (at_ms > 12 * HOUR)
        *value = 0;
    return true;
}

static bool away(const struct sim *s, const char *signal, int target, int64_t at_ms, double *value)
{
    (void)s;
    (void)signal;
    (void)target;
    (void)value;
    return at_ms < 12 * HOUR;
}

static bool negative(const struct sim *s, const char *signal, int target, int64_t at_ms,
                     double *value)
{
    if (!away(s, signal, target, at_ms, value))
        *value = -1;
    return true;
}

static void bad_data_does_nothing(void **state)
{
    static bool (*const kinds[])(const struct sim *s, const char *signal, int target, int64_t at_ms,
                                 double *value) = {nobody, away, negative};

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct scenario sc = {.leak = working_day, .arrives = kinds[k], .mode = MODE_ENFORCE};
        static struct sim s;
        run(&s, &sc, DAYS);
        assert_int_equal(s.fires + s.acts, 0);
        assert_int_equal(s.db[0].ended, 0);
        assert_int_equal(s.blinds, DBS);
        assert_int_equal(s.humans, DBS);
        assert_int_equal(s.triggers + s.resolved, 0);
        sim_end(&s);
    }
}

static void shadow_decides_the_same_and_does_nothing(void **state)
{
    static const struct scenario real = {.leak = working_day, .mode = MODE_ENFORCE},
                                 shadow = {.leak = working_day, .mode = MODE_SHADOW};
    static struct sim s, dry;
    size_t same;

    (void)state;
    sim_begin(&s, &real, POLICY, 21);
    s.watched = "postgres/db-0";
    sim_start(&s);
    sim_until(&s, DAY);
    sim_begin(&dry, &shadow, POLICY, 21);
    dry.watched = "postgres/db-0";
    sim_start(&dry);
    sim_until(&dry, DAY);
    same = strcspn(buf_str(&dry.rows), ")") + 1; /* up to the plan's own words */
    assert_true(same > 40);
    assert_int_equal(strncmp(buf_str(&dry.rows), buf_str(&s.rows), same), 0);
    assert_int_equal(strncmp(buf_str(&dry.rows) + same, " shadow\n", 8), 0);
    assert_int_equal(strncmp(buf_str(&s.rows) + same, " ok\n", 4), 0);
    assert_int_equal(dry.db[0].ended + dry.triggers + dry.humans + dry.resolved, 0);
    assert_true(dry.shadow_acts > 0);
    sim_end(&s);
    sim_end(&dry);
}

static void a_seed_is_a_journal(void **state)
{
    static const struct scenario sc = {.leak = working_day, .mode = MODE_ENFORCE};
    static struct sim s;
    char head[2][65];

    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        sim_begin(&s, &sc, POLICY, 5);
        sim_start(&s);
        sim_until(&s, 2 * DAY);
        sim_head(&s, head[k]);
        sim_end(&s);
    }
    assert_string_equal(head[0], head[1]);
}

/* One incident of half an hour, killed at each event of it. */
static double one_leak(const struct sim *s, int db, int64_t at_ms)
{
    (void)s;
    return db == 0 && at_ms < 35 * MIN ? 14.5 : 0;
}

static void killed_at_each_event_it_ends_the_same(void **state)
{
    static const struct scenario sc = {.leak = one_leak, .mode = MODE_ENFORCE};
    int n, doubts = 0, killed = 0;
    bool there = true;

    (void)state;
    for (n = 200; there; n++) {
        static struct sim s;
        sim_begin(&s, &sc, POLICY, 3);
        s.watched = "postgres/db-0";
        s.once = true;
        sim_start(&s);
        for (int k = 0; k < n && there; k++)
            there = virtual_step(s.v, 42 * MIN);
        sim_restart(&s);
        killed++;
        sim_until(&s, 60 * MIN);
        assert_true(s.db[0].nacts <= 1);
        if (strstr(buf_str(&s.rows), "it was not carried out")) {
            doubts++;
            assert_int_equal(s.db[0].ended, 0);
            assert_true(s.humans > 0);
        } else if (s.db[0].ended != 50 || s.humans || s.triggers < 1 ||
                   !strstr(buf_str(&s.rows), "end succeeded") ||
                   !strstr(buf_str(&s.rows), "resolve")) {
            fail_msg("killed before event %d: %d ended, %d humans\n%s", n, s.db[0].ended, s.humans,
                     buf_str(&s.rows));
        }
        sim_end(&s);
    }
    printf("killed at %d events, %d of them between an intent and its request\n", killed, doubts);
    assert_true(killed > 50 && doubts < 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leak_is_kept_in_bounds),
        cmocka_unit_test(nobody_idle_long_enough_is_ended),
        cmocka_unit_test(clients_that_reconnect_are_not_fought),
        cmocka_unit_test(bad_data_does_nothing),
        cmocka_unit_test(shadow_decides_the_same_and_does_nothing),
        cmocka_unit_test(a_seed_is_a_journal),
        cmocka_unit_test(killed_at_each_event_it_ends_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
