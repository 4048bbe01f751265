/* sig.change and sig.compare: series made of others, point by point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "help_cond.h"

static struct json *part(const char *name)
{
    struct json *j = json_new_map();

    json_set_str(j, "signal", name);
    json_set(j, "opts", json_new_map());
    return j;
}

static struct series *part_series(struct rig *r, const char *name)
{
    struct series *s = rig_series(r, signal_find(name, NULL));

    assert_non_null(s);
    return s;
}

/* change of requests over so many minutes. */
static struct series *change(struct rig *r, struct series *of, int minutes)
{
    struct json *opts = json_new_map();
    struct series *s;

    json_set(opts, "of", part("requests"));
    json_set_int(opts, "over", minutes * MIN_MS);
    s = series_new(signal_find("change", NULL), r->target, r->estate, opts);
    json_free(opts);
    series_made_of(s, &of, 1);
    r->series[r->nseries++] = s;
    return s;
}

static struct series *compare(struct rig *r, struct series *a, struct series *b)
{
    struct json *opts = json_new_map();
    struct series *s, *from[] = {a, b};

    json_set(opts, "a", part(a->signal->name));
    json_set(opts, "b", part(b->signal->name));
    s = series_new(signal_find("compare", NULL), r->target, r->estate, opts);
    json_free(opts);
    series_made_of(s, from, 2);
    r->series[r->nseries++] = s;
    return s;
}

/* The values of all points in order: "20@10m -50@11m". */
static char *text_of(const struct series *s)
{
    struct buf b;

    buf_init(&b, 4096);
    for (size_t i = 0; i < s->count; i++) {
        const struct point *p = series_at(s, i);
        buf_addf(&b, "%s%.4g@%lldm", i ? " " : "", p->value, (long long)(point_end_ms(p) / MIN_MS));
    }
    return buf_take(&b);
}

static void expect(const struct series *s, const char *want)
{
    char *got = text_of(s);

    if (strcmp(got, want) != 0)
        fail_msg("got \"%s\", wanted \"%s\"", got, want);
    mem_free(got);
}

static void give(struct series *s, int end_minute, double v)
{
    series_add(s, end_minute * MIN_MS - s->interval_ms, s->interval_ms, v, end_minute * MIN_MS);
}

static void a_change_is_of_what_it_was(void **state)
{
    static const struct {
        double then, now;
        const char *want; /* "": unknown */
    } rows[] = {
        {100, 150, "50@5m"}, {100, 50, "-50@5m"}, {100, 100, "0@5m"},     {100, 0, "-100@5m"},
        {0, 0, "0@5m"},      {0, 5, ""},          {100, 1100, "1000@5m"}, {3, 4, "33.33@5m"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        struct series *of, *s;
        rig_init(&r);
        of = part_series(&r, "requests");
        s = change(&r, of, 4);
        give(of, 1, rows[i].then);
        give(of, 5, rows[i].now);
        series_derive(s, 5 * MIN_MS);
        expect(s, rows[i].want);
        if (!*rows[i].want) {
            assert_int_equal(s->finding, FINDING_SOURCE);
            assert_string_equal(s->why, "it was zero then, and what grows from zero has no share");
        }
        rig_free(&r);
    }
}

/* The value of then is the newest that was known then, if it was not too old; without one there is
 * no point. */
static void a_gap_then_is_a_gap_now(void **state)
{
    struct rig r;
    struct series *of, *s;

    (void)state;
    rig_init(&r);
    of = part_series(&r, "requests"); /* every minute, 3 m late at most */
    s = change(&r, of, 10);
    for (int m = 1; m <= 30; m++) {
        if (m < 5 || m > 12)
            give(of, m, 100 + m);
        series_derive(s, m * MIN_MS);
    }
    /* 1..4 are known until 8 (4 + 1 + 3): compared with at 11..18; 13 is known from 13 on: at 23.
     */
    expect(
        s,
        "9.709@13m 9.615@14m 10.58@15m 11.54@16m 12.5@17m 13.46@18m 8.85@23m 8.772@24m 8.696@25m "
        "8.621@26m 8.547@27m 8.475@28m 8.403@29m 8.333@30m");
    rig_free(&r);
}

static void it_is_the_same_however_points_come(void **state)
{
    char *one, *other;

    (void)state;
    for (int way = 0; way < 2; way++) {
        struct rig r;
        struct series *of, *s;
        rig_init(&r);
        of = part_series(&r, "requests");
        s = change(&r, of, 5);
        for (int m = 1; m <= 20; m++) {
            series_add(of, (m - 1) * MIN_MS, MIN_MS, m * m, 20 * MIN_MS);
            if (way == 0)
                series_derive(s, 20 * MIN_MS);
        }
        series_derive(s, 20 * MIN_MS);
        *(way ? &other : &one) = text_of(s);
        rig_free(&r);
    }
    assert_string_equal(one, other);
    assert_non_null(strstr(one, "@20m"));
    mem_free(one);
    mem_free(other);
}

/* What is no value of the source is none here, and is told in its words. */
static void findings_are_the_sources(void **state)
{
    struct rig r;
    struct series *of, *s;

    (void)state;
    rig_init(&r);
    of = part_series(&r, "requests");
    s = change(&r, of, 3);
    for (int m = 1; m <= 4; m++)
        give(of, m, 100);
    series_derive(s, 4 * MIN_MS);
    expect(s, "0@4m");
    series_unknown(of, FINDING_SOURCE, "throttled", 5 * MIN_MS);
    series_derive(s, 5 * MIN_MS);
    assert_int_equal(s->finding, FINDING_SOURCE);
    assert_string_equal(s->why, "throttled");
    assert_true(s->restart == s->total); /* clocks begin anew (M1) */
    give(of, 6, 200);                    /* the points before are compared with no more */
    series_derive(s, 6 * MIN_MS);
    expect(s, "0@4m");
    give(of, 7, 200);
    give(of, 8, 200);
    give(of, 9, 300);
    series_derive(s, 9 * MIN_MS);
    expect(s, "0@4m 50@9m");
    assert_int_equal(s->finding, FINDING_NONE);
    rig_free(&r);
}

static void two_are_compared_at_one_time(void **state)
{
    struct rig r;
    struct series *a, *b, *s;

    (void)state;
    rig_init(&r);
    a = part_series(&r, "requests");
    b = rig_series(&r, &sig_gauge); /* a gauge every 10 s */
    s = compare(&r, a, b);
    assert_int_equal(s->interval_ms, MIN_MS);
    assert_int_equal(s->lag_ms, 3 * MIN_MS);
    give(a, 1, 30);
    series_derive(s, MIN_MS);
    expect(s, ""); /* b's point of that time may still come */
    series_add(b, MIN_MS - 5000, 0, 10, MIN_MS);
    series_derive(s, MIN_MS);
    expect(s, "");
    series_add(b, MIN_MS + 5000, 0, 15, MIN_MS + 5000);
    series_derive(s, MIN_MS + 5000);
    expect(s, "3@1m"); /* the one that was known at 1m, not the newer one */
    give(a, 2, 30);
    series_add(b, 2 * MIN_MS, 0, 0, 2 * MIN_MS);
    series_derive(s, 2 * MIN_MS);
    assert_int_equal(s->finding, FINDING_SOURCE);
    assert_string_equal(s->why, "b is zero, and nothing is a multiple of that");
    give(a, 3, 30);
    series_add(b, 4 * MIN_MS, 0, 10,
               4 * MIN_MS); /* none was known at 3m: 2m is too old for a gauge */
    series_derive(s, 4 * MIN_MS);
    expect(s, "3@1m");
    rig_free(&r);
}

static void the_slower_sets_the_pace(void **state)
{
    struct rig r;
    struct series *fast, *slow, *s, *back;

    (void)state;
    rig_init(&r);
    fast = part_series(&r, "requests");
    slow = part_series(&r, "slow"); /* every five minutes */
    s = compare(&r, fast, slow);
    back = compare(&r, slow, fast);
    assert_int_equal(s->interval_ms, 5 * MIN_MS);
    for (int m = 1; m <= 10; m++) {
        give(fast, m, m);
        if (m % 5 == 0)
            give(slow, m, 10);
        series_derive(s, m * MIN_MS);
        series_derive(back, m * MIN_MS);
    }
    expect(s, "0.5@5m 1@10m");
    expect(back, "2@5m 1@10m");
    rig_free(&r);
}

/* A condition on it holds its clock, waits for two fresh readings (M5) and names what it is made
 * of. */
static void in_a_condition(void **state)
{
    struct rig r;
    struct series *of, *s;
    struct cond *c;
    struct bound *b;
    struct buf text;

    (void)state;
    rig_init(&r);
    of = part_series(&r, "requests");
    s = change(&r, of, 5);
    c = leaf(&r, s->signal, CMP_AT_LEAST, 50, 2 * MIN_MS);
    c->opts = s->opts;
    b = rig_bind(&r, c);
    assert_true(bound_reads(b, s));
    for (int m = 1; m <= 9; m++) {
        give(of, m, m < 6 ? 100 : 170);
        series_derive(s, m * MIN_MS);
        assert_int_equal(bound_eval(b, m * MIN_MS).value, m < 8 ? TRI_UNKNOWN : TRI_TRUE);
    }
    buf_init(&text, 400);
    bound_summary(b, 9 * MIN_MS, &text);
    assert_string_equal(buf_str(&text), "change of requests over 5m 70% at least 50% for 3m");
    assert_int_equal(bound_eval(b, 13 * MIN_MS).value, TRI_TRUE); /* 9m + interval + lag */
    assert_int_equal(bound_eval(b, 13 * MIN_MS + 1).value, TRI_UNKNOWN);
    assert_int_equal(bound_slowest_ms(b), 2 * MIN_MS + 3 * MIN_MS + 2 * MIN_MS);
    buf_free(&text);
    bound_free(b);
    rig_free(&r);
}

/* What it needs of the past is kept, and asked for where the source keeps history. */
static void the_past_is_kept(void **state)
{
    struct rig r;
    struct series *of;

    (void)state;
    rig_init(&r);
    of = part_series(&r, "requests");
    change(&r, of, 60);
    assert_true(of->keep_ms >= 60 * MIN_MS + 2 * (MIN_MS + 3 * MIN_MS));
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_of_what_it_was),
        cmocka_unit_test(a_gap_then_is_a_gap_now),
        cmocka_unit_test(it_is_the_same_however_points_come),
        cmocka_unit_test(findings_are_the_sources),
        cmocka_unit_test(two_are_compared_at_one_time),
        cmocka_unit_test(the_slower_sets_the_pace),
        cmocka_unit_test(in_a_condition),
        cmocka_unit_test(the_past_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
