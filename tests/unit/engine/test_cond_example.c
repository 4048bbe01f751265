/* The policy language's example, row by row: 15m fire, 19m verify, 21m clear, 50m calm. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "help_cond.h"

struct rows {
    int64_t fire, healthy, clear, calm, p99_ok;
};

static void note(int64_t *row, bool now, int64_t t_ms)
{
    if (now && *row == 0)
        *row = t_ms / MIN_MS;
}

static void whole_example(void **state)
{
    static const char cpu[] = "0m:45 10m:85 20m:30", in_service[] = "0m:100 16m:80 19m:100";
    static const char p99[] = "0m:120";
    struct rig r;
    struct bound *hot, *healthy, *calm;
    struct rows rows = {0};

    (void)state;
    rig_init(&r);
    hot = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS));
    healthy = rig_bind(&r, group(&r, COND_ALL, 2, leaf(&r, &sig_in_service, CMP_AT_LEAST, 100, 0),
                                 leaf(&r, &sig_p99, CMP_BELOW, 500, 2 * MIN_MS)));
    calm = rig_bind(&r, group(&r, COND_ALL, 2, leaf(&r, &sig_asg_cpu, CMP_BELOW, 35, 30 * MIN_MS),
                              leaf(&r, &sig_p99, CMP_BELOW, 300, 30 * MIN_MS)));
    for (int64_t t = 0; t <= 180 * MIN_MS; t += MIN_MS) {
        struct answer when, ok, quiet;

        script_sample(rig_series(&r, &sig_asg_cpu), cpu, t);
        script_sample(rig_series(&r, &sig_in_service), in_service, t);
        script_sample(rig_series(&r, &sig_p99), p99, t);
        when = bound_eval(hot, t);
        ok = bound_eval(healthy, t);
        quiet = bound_eval(calm, t);
        note(&rows.fire, when.value == TRI_TRUE, t);
        if (rows.fire == 0)
            assert_int_not_equal(when.value, TRI_TRUE);
        if (t == 14 * MIN_MS)
            assert_true(when.pending);
        if (t == 15 * MIN_MS) { /* the act, done at once */
            bound_not_before(healthy, t);
            ok = bound_eval(healthy, t);
            assert_int_equal(ok.value, TRI_UNKNOWN);
        }
        note(&rows.healthy, t > 15 * MIN_MS && ok.value == TRI_TRUE, t);
        /* M6: `when` false for two intervals, that is at two points of it. */
        note(&rows.clear, rows.fire != 0 && when.value == TRI_FALSE && when.samples >= 2, t);
        note(&rows.calm, rows.healthy != 0 && quiet.value == TRI_TRUE, t);
    }
    assert_int_equal(rows.fire, 15);
    assert_int_equal(rows.healthy, 19);
    assert_int_equal(rows.clear, 21);
    assert_int_equal(rows.calm, 50);
    bound_free(hot);
    bound_free(healthy);
    bound_free(calm);
    rig_free(&r);
}

/* "a silent metric never acts": 85% to the third minute, then nothing, for an hour. */
static void silent_metric(void **state)
{
    struct rig r;
    struct bound *hot;
    struct answer a = {0};

    (void)state;
    rig_init(&r);
    hot = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS));
    for (int64_t t = 0; t <= 60 * MIN_MS; t += MIN_MS) {
        script_sample(rig_series(&r, &sig_asg_cpu), "0m:85 4m:_", t);
        a = bound_eval(hot, t);
        assert_int_not_equal(a.value, TRI_TRUE);
    }
    assert_int_equal(a.value, TRI_UNKNOWN);
    assert_false(a.pending);
    bound_free(hot);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_example),
        cmocka_unit_test(silent_metric),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
