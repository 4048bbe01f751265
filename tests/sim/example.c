/* The documented example of the policy language, through Lua and the engine: its timeline row by
 * row, and the same after a kill -9 at each event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model.h"

#define EXAMPLE RB_SOURCE_DIR "/tests/sim/policies/example.lua"

static const char timeline[] = "15m fire\n"
                               "15m act grow desired 8 -> 10 ok\n"
                               "19m verify healthy ok\n"
                               "21m clear\n"
                               "50m wait calm|hot -> calm\n"
                               "50m undo grow desired 10 -> 8 ok\n"
                               "50m end succeeded\n"
                               "50m resolve\n";

/* The same rows in the same order. After a start nothing counts before two fresh samples have come
 * (M5): a row may be two minutes late, never early. Says how many are late. */
static bool same(const char *rows, int *late)
{
    const char *want = timeline;

    while (*want && *rows) {
        char *w, *r;
        long long wanted = strtoll(want, &w, 10), at = strtoll(rows, &r, 10);
        size_t len = strcspn(w, "\n");
        if (strncmp(w, r, len + 1) != 0 || at < wanted || at > wanted + 2)
            return false;
        *late += at > wanted;
        want = w + len + 1;
        rows = r + len + 1;
    }
    return !*want && !*rows;
}

static bool series(const struct sim *s, const char *signal, int target, int64_t at_ms,
                   double *value)
{
    bool web = target == 1;

    (void)s;
    if (strcmp(signal, "asg_cpu") == 0)
        *value = !web || at_ms < 10 * MIN ? 45 : at_ms < 20 * MIN ? 85 : 30;
    else if (strcmp(signal, "asg_in_service") == 0)
        *value = web && at_ms >= 16 * MIN && at_ms < 19 * MIN ? 80 : 100;
    else if (strcmp(signal, "alb_p99") == 0)
        *value = 120;
    else
        *value = 0.01;
    return true;
}

static const struct scenario grows_once = {.arrives = series, .mode = MODE_ENFORCE};

static void its_timeline(void **state)
{
    struct sim s;

    (void)state;
    sim_begin(&s, &grows_once, EXAMPLE, 1);
    s.watched = "asg/web-1";
    sim_start(&s);
    sim_until(&s, 3 * HOUR);
    assert_string_equal(buf_str(&s.rows), timeline);
    assert_int_equal(s.g[1].desired, 8);
    assert_int_equal(s.triggers + s.humans, 0);
    sim_end(&s);
}

/* Killed before event n: false when there are fewer events. */
static bool killed_at(int n, int *doubts, int *late)
{
    struct sim s;
    bool there = true;
    const char *rows;

    sim_begin(&s, &grows_once, EXAMPLE, 1);
    s.watched = "asg/web-1";
    s.once = true;
    sim_start(&s);
    for (int k = 0; k < n && there; k++)
        there = virtual_step(s.v, 55 * MIN);
    if (virtual_now(s.v) > 9 * MIN)
        sim_restart(&s);
    sim_until(&s, 3 * HOUR);
    rows = buf_str(&s.rows);
    if (strstr(rows, "it was not carried out")) {
        /* It was intended, and had not left: that is found out, and never tried again. */
        assert_true(s.g[1].grown == 0 || s.g[1].shrunk == 0);
        assert_true(s.humans > 0);
        (*doubts)++;
    } else if (!same(rows, late)) {
        fail_msg("killed before event %d:\n%s", n, rows);
    }
    assert_true(s.g[1].grown <= 1 && s.g[1].shrunk <= 1);
    sim_end(&s);
    return there;
}

static void killed_at_each_event_it_is_the_same(void **state)
{
    int n = 50, doubts = 0, late = 0;

    (void)state;
    while (killed_at(n, &doubts, &late))
        n++;
    printf("killed at %d events: %d between an intent and its request, %d rows late\n", n, doubts,
           late);
    assert_true(n > 300 && doubts > 0 && doubts < 10);
}

static bool silent(const struct sim *s, const char *signal, int target, int64_t at_ms,
                   double *value)
{
    if (strcmp(signal, "asg_cpu") == 0 && target == 1) {
        *value = 85;
        return at_ms < 4 * MIN;
    }
    return series(s, signal, 0, at_ms, value);
}

static void a_silent_metric_never_acts(void **state)
{
    static const struct scenario sc = {.arrives = silent, .mode = MODE_ENFORCE};
    struct sim s;

    (void)state;
    sim_begin(&s, &sc, EXAMPLE, 1);
    sim_start(&s);
    sim_until(&s, HOUR);
    assert_int_equal(s.acts + s.fires, 0);
    assert_int_equal(s.blinds, 1);
    sim_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_timeline),
        cmocka_unit_test(killed_at_each_event_it_is_the_same),
        cmocka_unit_test(a_silent_metric_never_acts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
