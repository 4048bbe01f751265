/* Series: what becomes a point, what becomes a finding, what the ring keeps, and M4. */
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "help_cond.h"

static struct rig r;
static struct series *cpu, *gauge;

static int setup(void **state)
{
    (void)state;
    rig_init(&r);
    cpu = rig_series(&r, &sig_asg_cpu);
    gauge = rig_series(&r, &sig_gauge);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&r);
    return 0;
}

static void order_and_repeats(void **state)
{
    (void)state;
    assert_null(series_newest(cpu));
    assert_int_equal(series_expiry_ms(cpu), INT64_MIN);
    assert_true(series_add(cpu, 10 * MIN_MS, MIN_MS, 50, 11 * MIN_MS));
    assert_false(series_add(cpu, 10 * MIN_MS, MIN_MS, 60, 11 * MIN_MS));         /* again */
    assert_false(series_add(cpu, 9 * MIN_MS, MIN_MS, 60, 11 * MIN_MS));          /* older */
    assert_false(series_add(cpu, 10 * MIN_MS + 58999, MIN_MS, 60, 12 * MIN_MS)); /* overlaps */
    assert_true(series_add(cpu, 11 * MIN_MS, MIN_MS, 70, 12 * MIN_MS));
    assert_int_equal(cpu->count, 2);
    assert_true(series_newest(cpu)->value == 70);
    assert_true(series_at(cpu, 0)->value == 50);
    assert_null(series_at(cpu, 2));
    assert_int_equal(point_end_ms(series_newest(cpu)), 12 * MIN_MS);
    assert_int_equal(series_expiry_ms(cpu), 16 * MIN_MS); /* interval 1 m + lag 3 m */
    assert_true(series_add(gauge, 1000, 0, 1, 1000));
    assert_int_equal(series_expiry_ms(gauge), 16000); /* interval 10 s + half of it */
}

/* Each minute's point is dated 20 ms earlier against the steady clock: none is lost, none repeated.
 */
static void a_slewed_clock_loses_nothing(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 40; m++) {
        int64_t start_ms = m * MIN_MS - 20 * m;

        assert_true(series_add(cpu, start_ms, MIN_MS, 50, (m + 1) * MIN_MS));
        assert_int_equal(cpu->total, m);
        assert_false(series_add(cpu, start_ms, MIN_MS, 50, (m + 1) * MIN_MS));
        assert_false(series_add(cpu, start_ms - 20, MIN_MS, 50, (m + 1) * MIN_MS));
    }
}

static void implausible(void **state)
{
    static const struct {
        int64_t start_ms, period_ms;
        double v;
        enum finding want;
    } bad[] = {
        {21 * MIN_MS, MIN_MS, NAN, FINDING_NAN},
        {21 * MIN_MS, MIN_MS, INFINITY, FINDING_NAN},
        {21 * MIN_MS, MIN_MS, -INFINITY, FINDING_NAN},
        {21 * MIN_MS, MIN_MS, -1, FINDING_RANGE},
        {21 * MIN_MS, MIN_MS, 101, FINDING_RANGE},
        {21 * MIN_MS, -1, 50, FINDING_RANGE},
        {INT64_MAX - 5, 10, 50, FINDING_RANGE},
        {21 * MIN_MS, MIN_MS + SERIES_FUTURE_MS + 1, 50, FINDING_FUTURE},
        {60 * MIN_MS, MIN_MS, 50, FINDING_FUTURE},
        {INT64_MAX, 0, 50, FINDING_FUTURE},
    };

    (void)state;
    assert_int_equal(series_finding(cpu, 0), FINDING_NEVER);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct series *s = series_new(&sig_asg_cpu, r.target, r.estate, NULL);

        assert_true(series_add(s, 20 * MIN_MS, MIN_MS, 50, 21 * MIN_MS));
        assert_int_equal(series_finding(s, 22 * MIN_MS), FINDING_NONE);
        assert_false(series_add(s, bad[i].start_ms, bad[i].period_ms, bad[i].v, 22 * MIN_MS));
        assert_int_equal(s->finding, bad[i].want);
        assert_int_equal(s->finding_ms, 22 * MIN_MS);
        assert_true(s->why[0] != '\0');
        assert_int_equal(s->restart, 1);
        /* A repetition of what was there neither clears nor makes a finding. */
        assert_false(series_add(s, 20 * MIN_MS, MIN_MS, NAN, 23 * MIN_MS));
        assert_int_equal(s->finding, bad[i].want);
        assert_true(series_add(s, 22 * MIN_MS, MIN_MS, 50, 23 * MIN_MS));
        assert_int_equal(s->finding, FINDING_NONE);
        assert_int_equal(series_finding(s, 27 * MIN_MS), FINDING_NONE);
        assert_int_equal(series_finding(s, 27 * MIN_MS + 1), FINDING_STALE);
        series_free(s);
    }
    assert_true(series_add(cpu, 21 * MIN_MS, MIN_MS + SERIES_FUTURE_MS, 50, 22 * MIN_MS));
}

static void the_first_of_a_row_dates_a_finding(void **state)
{
    (void)state;
    series_unknown(cpu, FINDING_SOURCE, "no such dimension", 5 * MIN_MS);
    series_unknown(cpu, FINDING_SOURCE, "partial data", 6 * MIN_MS);
    assert_int_equal(cpu->finding_ms, 5 * MIN_MS);
    assert_string_equal(cpu->why, "partial data");
}

static void the_ring_keeps_its_time(void **state)
{
    (void)state;
    gauge->keep_ms = 100 * 10000;
    for (int64_t i = 0; i < 5000; i++)
        assert_true(series_add(gauge, i * 10000, 0, (double)i, i * 10000));
    assert_true(gauge->count >= 100);
    assert_true(gauge->cap <= 256);
    for (size_t i = 0; i < gauge->count; i++)
        assert_true(series_at(gauge, i)->value == (double)(5000 - gauge->count + i));
    gauge->keep_ms = INT64_MAX / 2; /* a ceiling, whatever is asked for */
    for (int64_t i = 5000; i < 80000; i++)
        assert_true(series_add(gauge, i * 10000, 0, (double)i, i * 10000));
    assert_int_equal(gauge->cap, SERIES_MAX_POINTS);
    assert_int_equal(gauge->count, SERIES_MAX_POINTS);
    assert_true(series_newest(gauge)->value == 79999);
}

static void one_wish_one_key(void **state)
{
    struct json *a = json_new_map(), *b = json_new_map();
    char *ka, *kb;

    (void)state;
    json_set_str(a, "state", "idle");
    json_set_str(a, "user", "app");
    json_set_str(b, "user", "app");
    json_set_str(b, "state", "idle");
    ka = series_key(&sig_gauge, r.target, a);
    kb = series_key(&sig_gauge, r.target, b);
    assert_string_equal(ka, kb);
    assert_string_equal(ka, "pg_connections asg/web-1 {\"state\":\"idle\",\"user\":\"app\"}");
    assert_string_equal(gauge->key, "pg_connections asg/web-1");
    mem_free(ka);
    mem_free(kb);
    json_free(a);
    json_free(b);
}

static void a_reload_moves_the_series(void **state)
{
    struct estate *next = estate_new();
    struct series *s = series_new(&sig_asg_cpu, r.target, r.estate, NULL);

    (void)state;
    assert_int_equal(estate_add(next, "asg", "web-1", NULL, NULL, MODE_ENFORCE, NULL, 0, NULL), 0);
    series_rehome(s, estate_find(next, "asg", "web-1"), next);
    estate_unref(next);
    assert_string_equal(s->target->id, "asg/web-1");
    series_free(s);
}

/* ---- M4 ---- */

#define FLEET 3
static struct series *fleet[FLEET];

static int setup_fleet(void **state)
{
    setup(state);
    for (size_t i = 0; i < FLEET; i++)
        fleet[i] = series_new(&sig_asg_cpu, r.target, r.estate, NULL);
    return 0;
}

static int teardown_fleet(void **state)
{
    for (size_t i = 0; i < FLEET; i++)
        series_free(fleet[i]);
    return teardown(state);
}

static void feed(size_t i, int64_t minute, double v)
{
    series_add(fleet[i], (minute - 1) * MIN_MS, MIN_MS, v, minute * MIN_MS);
}

static bool judge(size_t n, int64_t minute)
{
    return series_fleet_zero(fleet, n, minute * MIN_MS);
}

static void m4_fleet_wide_jump(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 4; m++) {
        feed(0, m, 40);
        feed(1, m, 50);
        feed(2, m, 0); /* idle from the start */
        judge(FLEET, m);
        assert_int_equal(fleet[2]->finding, FINDING_NONE);
    }
    for (size_t i = 0; i < FLEET; i++)
        feed(i, 5, 0);
    assert_true(judge(FLEET, 5));
    for (size_t i = 0; i < FLEET; i++)
        assert_int_equal(fleet[i]->finding, FINDING_FLEET_ZERO);
    assert_int_equal(fleet[0]->finding_ms, 5 * MIN_MS);
    for (size_t i = 0; i < FLEET; i++)
        feed(i, 6, 0);
    assert_false(judge(FLEET, 6));
    assert_int_equal(fleet[0]->finding, FINDING_FLEET_ZERO);
    feed(0, 7, 40); /* its own reading releases it, and the zeros before count for no clock */
    assert_int_equal(fleet[0]->finding, FINDING_NONE);
    assert_int_equal(fleet[0]->restart, 6);
    assert_true(judge(FLEET, 7)); /* and it proves the source alive: the others' zeros are values */
    assert_int_equal(fleet[1]->finding, FINDING_NONE);
    assert_int_equal(fleet[2]->finding, FINDING_NONE);
    assert_int_equal(fleet[1]->restart, 0);
}

static void m4_one_of_several_may_fall_to_zero(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 4; m++) {
        feed(0, m, 40);
        feed(1, m, 50);
        judge(2, m);
    }
    feed(0, 5, 0);
    assert_true(judge(2, 5)); /* nobody has said anything else of that minute yet */
    assert_int_equal(fleet[0]->finding, FINDING_FLEET_ZERO);
    feed(1, 5, 50);
    assert_true(judge(2, 5));
    assert_int_equal(fleet[0]->finding, FINDING_NONE);
    feed(0, 6, 0); /* no jump any more: it need not be proven at each minute */
    assert_false(judge(2, 6));
    feed(1, 6, 0);
    assert_true(judge(2, 6));
    assert_int_equal(fleet[0]->finding, FINDING_FLEET_ZERO);
    assert_int_equal(fleet[1]->finding, FINDING_FLEET_ZERO);
}

static void m4_zero_from_the_start_is_a_value(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 4; m++) {
        for (size_t i = 0; i < FLEET; i++)
            feed(i, m, 0);
        assert_false(judge(FLEET, m));
        assert_false(judge(1, m));
    }
}

static void m4_one_target_alone(void **state)
{
    (void)state;
    feed(0, 1, 40);
    feed(0, 2, 45);
    feed(0, 3, 0); /* two readings are not a level */
    assert_false(judge(1, 3));
    for (int64_t m = 4; m <= 6; m++)
        feed(0, m, 40);
    feed(0, 7, 0);
    assert_true(judge(1, 7));
    assert_int_equal(fleet[0]->finding, FINDING_FLEET_ZERO);
    feed(0, 8, 0);
    assert_false(judge(1, 8));
    assert_int_equal(fleet[0]->finding, FINDING_FLEET_ZERO);
    feed(0, 9, 1);
    assert_int_equal(fleet[0]->finding, FINDING_NONE);
}

static void m4_stale_targets_prove_nothing(void **state)
{
    (void)state;
    for (int64_t m = 1; m <= 3; m++) {
        feed(0, m, 40);
        feed(1, m, 50);
    }
    for (int64_t m = 4; m <= 9; m++)
        feed(0, m, 40); /* 1 is silent */
    feed(0, 10, 0);
    assert_true(judge(2, 10)); /* alone with fresh data, and it fell at once */
    assert_int_equal(fleet[0]->finding, FINDING_FLEET_ZERO);
}

static void m4_makes_conditions_unknown(void **state)
{
    struct bound *calm = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_BELOW, 35, 2 * MIN_MS));

    (void)state;
    for (int64_t m = 1; m <= 8; m++) {
        series_add(cpu, (m - 1) * MIN_MS, MIN_MS, m < 5 ? 80 : 0, m * MIN_MS);
        series_fleet_zero(&cpu, 1, m * MIN_MS);
        assert_int_equal(bound_eval(calm, m * MIN_MS).value,
                         m == 1 || m >= 5 ? TRI_UNKNOWN : TRI_FALSE);
    }
    series_add(cpu, 8 * MIN_MS, MIN_MS, 20, 9 * MIN_MS);
    assert_true(bound_eval(calm, 9 * MIN_MS).pending); /* the zeros did not run its clock */
    bound_free(calm);
}

/* An act of ours that named so many explains that none is left, and nothing else. */
static void M4_an_own_act_explains_the_zero(void **state)
{
    static const struct signal sessions = {.name = "sessions",
                                           .unit = UNIT_COUNT,
                                           .targets = "asg",
                                           .zero_suspicious = true,
                                           .default_interval_ms = MIN_MS};
    static const struct {
        double before;      /* readings at 1m to 5m */
        int removed;        /* done at 330s, begun at 310s */
        int zero_s, more_s; /* the zero is read then; before it, if not 0, one of 7 */
        bool held;
    } rows[] = {
        {40, 40, 360, 0, false},   {40, 60, 360, 0, false},
        {40, 39, 360, 0, true},    {40, 0, 360, 0, true},
        {850, 50, 360, 0, true},   {40, 40, 320, 0, false}, /* read before the answer was here */
        {40, 40, 305, 0, true},                             /* before the act began */
        {40, 40, 420, 360, false}, /* 7 are left: few may end by themselves */
        {5, 0, 360, 0, false},     /* as ever */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct series *s = series_new(&sessions, r.target, r.estate, NULL);
        for (int m = 1; m <= 5; m++)
            series_add(s, m * MIN_MS, 0, rows[i].before, m * MIN_MS);
        for (int t = 301; t <= 420; t++) {
            if (t == 330 && rows[i].removed)
                series_removed(s, (size_t)rows[i].removed, 310 * 1000, 330 * 1000);
            if (t == rows[i].more_s)
                series_add(s, t * 1000, 0, 7, t * 1000);
            if (t == rows[i].zero_s)
                series_add(s, t * 1000, 0, 0, t * 1000);
            series_fleet_zero(&s, 1, t * 1000);
        }
        if ((s->finding == FINDING_FLEET_ZERO) != rows[i].held)
            fail_msg("row %zu: %s", i, finding_name(s->finding));
        series_free(s);
    }
}

static bool zero_is_plain(const struct json *opts)
{
    return json_get(opts, "state") != NULL;
}

static void m4_not_for_filters_that_select_nothing(void **state)
{
    struct signal s = sig_asg_cpu;
    struct json *opts = json_new_map();
    struct series *plain, *filtered;

    (void)state;
    s.zero_plain = zero_is_plain;
    plain = series_new(&s, r.target, r.estate, opts);
    json_set_str(opts, "state", "idle");
    filtered = series_new(&s, r.target, r.estate, opts);
    assert_true(plain->zero_suspicious);
    assert_false(filtered->zero_suspicious);
    series_free(plain);
    series_free(filtered);
    json_free(opts);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define FLEET_RULE(f) cmocka_unit_test_setup_teardown(f, setup_fleet, teardown_fleet)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(order_and_repeats),
        RULE(a_slewed_clock_loses_nothing),
        RULE(implausible),
        RULE(the_first_of_a_row_dates_a_finding),
        RULE(the_ring_keeps_its_time),
        RULE(one_wish_one_key),
        RULE(a_reload_moves_the_series),
        FLEET_RULE(m4_fleet_wide_jump),
        FLEET_RULE(m4_one_of_several_may_fall_to_zero),
        FLEET_RULE(m4_zero_from_the_start_is_a_value),
        FLEET_RULE(M4_an_own_act_explains_the_zero),
        FLEET_RULE(m4_one_target_alone),
        FLEET_RULE(m4_stale_targets_prove_nothing),
        RULE(m4_makes_conditions_unknown),
        RULE(m4_not_for_filters_that_select_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
