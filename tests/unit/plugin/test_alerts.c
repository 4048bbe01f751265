/* Which alerts fire: order, matching, and what cannot be told any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/alerts.h"

#define HOUR 3600000LL
static const int64_t T = 1790000000000;

static enum alerts_put put(struct alerts *a, const char *id, bool firing, int64_t since,
                           int64_t heard, int64_t ends)
{
    struct json *labels = json_new_map();
    struct alert x = {.source = "alertmanager",
                      .id = id,
                      .labels = labels,
                      .firing = firing,
                      .since_ms = since,
                      .heard_ms = heard,
                      .ends_ms = ends};
    enum alerts_put how;

    json_set_str(labels, "alertname", "Slow");
    json_set_str(labels, "job", id);
    how = alerts_put(a, &x);
    json_free(labels);
    return how;
}

static int firing(const struct alerts *a, const char *source, const char *key, const char *value,
                  int64_t now, char why[200])
{
    struct json *match = json_new_map();
    int n;

    json_set_str(match, key, value);
    n = alerts_firing(a, source, match, now, 5 * HOUR, why, 200);
    json_free(match);
    return n;
}

static void fires_and_is_over(void **state)
{
    struct alerts *a = alerts_new();
    char why[200];

    (void)state;
    assert_int_equal(firing(a, "alertmanager", "alertname", "Slow", T, why), 0);
    assert_int_equal(put(a, "a", true, T, T, 0), ALERTS_NEW);
    assert_int_equal(put(a, "b", true, T, T, 0), ALERTS_NEW);
    assert_int_equal(put(a, "a", true, T, T + HOUR, 0), ALERTS_SAME);
    assert_int_equal(firing(a, "alertmanager", "alertname", "Slow", T, why), 2);
    assert_int_equal(firing(a, "alertmanager", "job", "a", T, why), 1);
    assert_int_equal(firing(a, "alertmanager", "job", "c", T, why), 0);
    assert_int_equal(firing(a, "cloudwatch_alarm", "job", "a", T, why), 0);
    assert_int_equal(put(a, "a", false, T, T + HOUR, 0), ALERTS_NEW);
    assert_int_equal(firing(a, "alertmanager", "alertname", "Slow", T, why), 1);
    alerts_free(a);
}

static void what_came_before_changes_nothing(void **state)
{
    struct alerts *a = alerts_new();
    char why[200];

    (void)state;
    put(a, "a", true, T, T, 0);
    put(a, "a", false, T + 10, T + 10, 0);
    assert_int_equal(put(a, "a", true, T, T + 20, 0), ALERTS_OLD);
    assert_int_equal(firing(a, "alertmanager", "job", "a", T + 30, why), 0);
    alerts_free(a);
}

static void unknown_is_neither(void **state)
{
    struct alerts *a = alerts_new();
    char why[200];

    (void)state;
    put(a, "old", true, T, 0, 0); /* from before the start */
    assert_int_equal(firing(a, "alertmanager", "job", "old", T, why), -1);
    assert_non_null(strstr(why, "before the start"));
    put(a, "silent", true, T, T, 0);
    assert_int_equal(firing(a, "alertmanager", "job", "silent", T + 5 * HOUR, why), 1);
    assert_int_equal(firing(a, "alertmanager", "job", "silent", T + 5 * HOUR + 1, why), -1);
    assert_non_null(strstr(why, "not heard of for 5h"));
    put(a, "ends", true, T, T, T + HOUR);
    assert_int_equal(firing(a, "alertmanager", "job", "ends", T + HOUR - 1, why), 1);
    assert_int_equal(firing(a, "alertmanager", "job", "ends", T + HOUR, why), -1);
    /* One that fires for sure is enough. */
    put(a, "sure", true, T + HOUR, T + HOUR, 0);
    assert_int_equal(firing(a, "alertmanager", "alertname", "Slow", T + HOUR, why), 2);
    alerts_free(a);
}

static void no_more_than_can_be_kept(void **state)
{
    struct alerts *a = alerts_new();
    char id[16];

    (void)state;
    for (int k = 0; k < ALERTS_MAX; k++) {
        snprintf(id, sizeof(id), "%d", k);
        put(a, id, k % 2, T, T, 0);
    }
    assert_int_equal(put(a, "more", true, T, T + HOUR, 0), ALERTS_FULL);
    assert_int_equal(put(a, "1", true, T, T + HOUR, 0), ALERTS_SAME);
    assert_int_equal(put(a, "more", true, T, T + 3 * HOUR, 0),
                     ALERTS_NEW); /* those long over made room */
    assert_int_equal(alerts_count(a), ALERTS_MAX / 2 + 1);
    alerts_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_and_is_over), cmocka_unit_test(what_came_before_changes_nothing),
        cmocka_unit_test(unknown_is_neither), cmocka_unit_test(no_more_than_can_be_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
