/* Conditions rule by rule: M1, M2, M3, M5, M15, references, words, reload, explain and the page's
 * line. */
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "help_cond.h"

static struct rig r;

static int setup(void **state)
{
    (void)state;
    rig_init(&r);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_free(&r);
    return 0;
}

/* Gives the minute's reading of in_service (no lag) and asks. */
static struct answer reading(struct bound *b, int64_t minute, double v)
{
    int64_t t = minute * MIN_MS;

    series_add(rig_series(&r, &sig_in_service), t, 0, v, t);
    return bound_eval(b, t);
}

/* The same of asg_cpu: the minute before, lag 3 m. */
static struct answer average(struct bound *b, int64_t minute, double v)
{
    int64_t t = minute * MIN_MS;

    series_add(rig_series(&r, &sig_asg_cpu), t - MIN_MS, MIN_MS, v, t);
    return bound_eval(b, t);
}

static void expect(struct answer a, enum tri value, bool pending)
{
    assert_string_equal(tri_name(a.value), tri_name(value));
    assert_int_equal(a.pending, pending);
}

static void m1_true_when_every_sample_satisfied(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_in_service, CMP_BELOW, 90, 3 * MIN_MS));

    (void)state;
    reading(b, 1, 100);
    expect(reading(b, 2, 100), TRI_FALSE, false);
    expect(reading(b, 3, 80), TRI_UNKNOWN, true);
    expect(reading(b, 4, 80), TRI_UNKNOWN, true);
    expect(reading(b, 5, 80), TRI_UNKNOWN, true);
    expect(reading(b, 6, 80), TRI_TRUE, false);
    expect(reading(b, 7, 90), TRI_FALSE, false); /* below is strict, one reading ends it */
    expect(reading(b, 8, 80), TRI_UNKNOWN, true);
    bound_free(b);
}

static void m1_boundaries_of_the_comparators(void **state)
{
    struct bound *above = rig_bind(&r, leaf(&r, &sig_in_service, CMP_ABOVE, 60, 0));
    struct bound *at_least = rig_bind(&r, leaf(&r, &sig_in_service, CMP_AT_LEAST, 60, 0));
    struct bound *below = rig_bind(&r, leaf(&r, &sig_in_service, CMP_BELOW, 60, 0));
    struct bound *at_most = rig_bind(&r, leaf(&r, &sig_in_service, CMP_AT_MOST, 60, 0));

    (void)state;
    reading(above, 1, 60);
    expect(reading(above, 2, 60), TRI_FALSE, false);
    expect(bound_eval(at_least, 2 * MIN_MS), TRI_TRUE, false);
    expect(bound_eval(below, 2 * MIN_MS), TRI_FALSE, false);
    expect(bound_eval(at_most, 2 * MIN_MS), TRI_TRUE, false);
    bound_free(above);
    bound_free(at_least);
    bound_free(below);
    bound_free(at_most);
}

static void m2_hold_bridges_and_stops_the_clock(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS));

    (void)state;
    average(b, 8, 45);
    average(b, 9, 45);
    average(b, 10, 85);
    average(b, 11, 85); /* held 1 m; 12, 13 and 14 do not come */
    expect(bound_eval(b, 14 * MIN_MS), TRI_UNKNOWN, true);
    expect(average(b, 15, 85), TRI_UNKNOWN, true); /* 2 m: the gap counts one interval */
    average(b, 16, 85);
    expect(average(b, 17, 85), TRI_UNKNOWN, true); /* 4 m */
    expect(average(b, 18, 85), TRI_TRUE, false);
    bound_free(b);
}

static void m2_longer_gap_is_unknown_and_restarts(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 2 * MIN_MS));
    struct answer a;

    (void)state;
    average(b, 9, 85);
    average(b, 10, 85);
    a = average(b, 11, 85);
    expect(a, TRI_TRUE, false);
    assert_int_equal(a.again_ms, 15 * MIN_MS + 1);
    expect(bound_eval(b, 15 * MIN_MS), TRI_TRUE, false);
    expect(bound_eval(b, 15 * MIN_MS + 1), TRI_UNKNOWN, false);
    expect(average(b, 16, 85), TRI_UNKNOWN, true); /* 5 m after the last: from zero */
    average(b, 17, 85);
    expect(average(b, 18, 85), TRI_TRUE, false);
    bound_free(b);
}

static void m2_late_but_gapless_goes_on(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS));
    struct series *s = rig_series(&r, &sig_asg_cpu);

    (void)state;
    average(b, 9, 85);
    average(b, 10, 85);
    expect(bound_eval(b, 17 * MIN_MS), TRI_UNKNOWN, false);
    for (int64_t m = 11; m <= 17; m++)
        series_add(s, (m - 1) * MIN_MS, MIN_MS, 85, 17 * MIN_MS);
    expect(bound_eval(b, 17 * MIN_MS), TRI_TRUE, false);
    bound_free(b);
}

/* Each bridged gap of four minutes counts one: 20 minutes take 80, and the series must keep them.
 */
static void m2_a_clock_can_be_rebuilt_from_what_is_kept(void **state)
{
    struct cond *c = leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 20 * MIN_MS);
    struct bound *b = rig_bind(&r, c), *again;
    int64_t m = 2;

    (void)state;
    average(b, 1, 45);
    average(b, m, 45);
    for (m += 4; m < 2 + 4 * 21; m += 4)
        expect(average(b, m, 85), TRI_UNKNOWN, true);
    expect(average(b, m, 85), TRI_TRUE, false);
    again = rig_bind(&r, c);
    expect(bound_eval(again, m * MIN_MS), TRI_TRUE, false);
    bound_free(again);
    bound_free(b);
}

static void m2_missing_as_a_value(void **state)
{
    struct bound *yes =
        rig_bind(&r, leaf_missing(&r, &sig_in_service, CMP_ABOVE, 60, 2 * MIN_MS, MISSING_TRUE));
    struct bound *no =
        rig_bind(&r, leaf_missing(&r, &sig_in_service, CMP_ABOVE, 60, 2 * MIN_MS, MISSING_FALSE));

    (void)state;
    reading(yes, 1, 80);
    reading(yes, 2, 80);
    bound_eval(no, 2 * MIN_MS);
    expect(bound_eval(yes, 10 * MIN_MS), TRI_TRUE, false);
    expect(bound_eval(no, 10 * MIN_MS), TRI_FALSE, false);
    expect(reading(yes, 11, 80), TRI_TRUE, false);          /* satisfied throughout */
    expect(bound_eval(no, 11 * MIN_MS), TRI_UNKNOWN, true); /* from zero */
    series_unknown(rig_series(&r, &sig_in_service), FINDING_SOURCE, "partial data", 12 * MIN_MS);
    expect(bound_eval(yes, 12 * MIN_MS), TRI_UNKNOWN, false); /* withheld is not missing */
    expect(bound_eval(no, 12 * MIN_MS), TRI_UNKNOWN, false);
    expect(bound_eval(yes, 99 * MIN_MS), TRI_UNKNOWN, false);
    bound_free(yes);
    bound_free(no);
}

static void m2_missing_never_true_without_data(void **state)
{
    struct cond *hold = leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0);
    struct cond *t = leaf_missing(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0, MISSING_TRUE);
    struct cond *f = leaf_missing(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0, MISSING_FALSE);

    (void)state;
    assert_false(cond_true_without_data(hold));
    assert_true(cond_true_without_data(t));
    assert_false(cond_true_without_data(f));
    assert_true(cond_true_without_data(group(&r, COND_NONE, 1, f)));
    assert_false(cond_true_without_data(group(&r, COND_NONE, 2, f, hold)));
    assert_true(cond_true_without_data(group(&r, COND_ANY, 2, hold, t)));
    assert_false(cond_true_without_data(group(&r, COND_ALL, 2, hold, t)));
    assert_true(cond_true_without_data(group(&r, COND_ALL, 2, t, group(&r, COND_NONE, 1, f))));
    assert_false(cond_true_without_data(group(&r, COND_ANY, 2, hold, group(&r, COND_NONE, 1, t))));
}

/* M3: every operator over every pair of values, by the rule's own words. */
static void m3_three_values(void **state)
{
    /* in_service gives true or false; a source's "I do not know" gives unknown. */
    const struct signal *sig[2] = {&sig_in_service, &sig_asg_cpu};

    (void)state;
    for (int x = 0; x < 3; x++) {
        for (int y = 0; y < 3; y++) {
            int v[2] = {x, y}; /* tri */
            bool f = x == TRI_FALSE || y == TRI_FALSE, t = x == TRI_TRUE || y == TRI_TRUE;
            bool u = x == TRI_UNKNOWN || y == TRI_UNKNOWN;
            struct bound *all, *any, *none;

            rig_free(&r);
            rig_init(&r);
            all = rig_bind(&r, group(&r, COND_ALL, 2, leaf(&r, sig[0], CMP_ABOVE, 60, 0),
                                     leaf(&r, sig[1], CMP_ABOVE, 60, 0)));
            any = rig_bind(&r, group(&r, COND_ANY, 2, leaf(&r, sig[0], CMP_ABOVE, 60, 0),
                                     leaf(&r, sig[1], CMP_ABOVE, 60, 0)));
            none = rig_bind(&r, group(&r, COND_NONE, 2, leaf(&r, sig[0], CMP_ABOVE, 60, 0),
                                      leaf(&r, sig[1], CMP_ABOVE, 60, 0)));
            for (int64_t m = 1; m <= 2; m++) {
                for (int i = 0; i < 2; i++)
                    series_add(rig_series(&r, sig[i]), m * MIN_MS, 0, v[i] == TRI_TRUE ? 80 : 40,
                               m * MIN_MS);
            }
            for (int i = 0; i < 2; i++) {
                if (v[i] == TRI_UNKNOWN)
                    series_unknown(rig_series(&r, sig[i]), FINDING_SOURCE, "", 2 * MIN_MS);
            }
            expect(bound_eval(all, 2 * MIN_MS), f ? TRI_FALSE : u ? TRI_UNKNOWN : TRI_TRUE, false);
            expect(bound_eval(any, 2 * MIN_MS), t ? TRI_TRUE : u ? TRI_UNKNOWN : TRI_FALSE, false);
            expect(bound_eval(none, 2 * MIN_MS), t ? TRI_FALSE : u ? TRI_UNKNOWN : TRI_TRUE, false);
            bound_free(all);
            bound_free(any);
            bound_free(none);
        }
    }
}

static void m3_pending_only_when_nothing_else_is_missing(void **state)
{
    struct bound *b =
        rig_bind(&r, group(&r, COND_ALL, 2, leaf(&r, &sig_in_service, CMP_ABOVE, 60, 9 * MIN_MS),
                           leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0)));

    (void)state;
    reading(b, 1, 80);
    expect(reading(b, 2, 80), TRI_UNKNOWN, false); /* asg_cpu is unknown too */
    average(b, 2, 80);
    expect(average(b, 3, 80), TRI_UNKNOWN, true);
    expect(average(b, 4, 50), TRI_FALSE, false);
    bound_free(b);
}

static void m5_two_fresh_samples(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS));
    struct series *s = rig_series(&r, &sig_asg_cpu);

    (void)state;
    expect(bound_eval(b, 20 * MIN_MS), TRI_UNKNOWN, false);
    for (int64_t m = 5; m <= 20; m++) /* a backfill: one arrival */
        series_add(s, (m - 1) * MIN_MS, MIN_MS, 85, 20 * MIN_MS);
    expect(bound_eval(b, 20 * MIN_MS), TRI_UNKNOWN, false);
    expect(average(b, 21, 85), TRI_TRUE, false); /* gapless: its points count for the clock */
    bound_free(b);
}

static void m5_old_samples_are_not_fresh(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0));
    struct series *s = rig_series(&r, &sig_asg_cpu);

    (void)state;
    series_add(s, 1 * MIN_MS, MIN_MS, 85, 20 * MIN_MS);
    series_add(s, 2 * MIN_MS, MIN_MS, 85, 21 * MIN_MS);
    expect(average(b, 22, 85), TRI_UNKNOWN, false); /* the first fresh one */
    expect(average(b, 23, 85), TRI_TRUE, false);
    bound_free(b);
}

static void m5_a_metric_that_is_never_published(void **state)
{
    struct bound *b = rig_bind(&r, leaf_missing(&r, &sig_asg_cpu, CMP_ABOVE, 0, 0, MISSING_FALSE));
    struct answer a = bound_eval(b, 10 * MIN_MS);

    (void)state;
    expect(a, TRI_UNKNOWN, false);
    assert_int_equal(a.again_ms, 15 * MIN_MS + 1);
    expect(bound_eval(b, 15 * MIN_MS), TRI_UNKNOWN, false);
    expect(bound_eval(b, 15 * MIN_MS + 1), TRI_FALSE, false);
    bound_free(b);
}

static void m15_only_points_that_start_after(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_BELOW, 60, 0));
    struct series *s = rig_series(&r, &sig_asg_cpu);

    (void)state;
    average(b, 9, 30);
    expect(average(b, 10, 30), TRI_TRUE, false);
    bound_not_before(b, 10 * MIN_MS + 1);
    expect(bound_eval(b, 10 * MIN_MS + 1), TRI_UNKNOWN, false);
    expect(average(b, 11, 30), TRI_UNKNOWN, false); /* began before the act ended */
    expect(average(b, 12, 30), TRI_TRUE, false);
    bound_not_before(b, 12 * MIN_MS); /* a period that begins at that instant counts */
    expect(bound_eval(b, 12 * MIN_MS), TRI_UNKNOWN, false);
    expect(average(b, 13, 30), TRI_TRUE, false);
    bound_not_before(b, 0);
    expect(bound_eval(b, 13 * MIN_MS), TRI_TRUE, false);
    assert_int_equal(s->count, 5);
    bound_free(b);
}

static void m15_a_gauge_of_that_instant_does_not_count(void **state)
{
    struct bound *b = rig_bind(&r, leaf(&r, &sig_in_service, CMP_AT_LEAST, 100, 0));

    (void)state;
    reading(b, 1, 100);
    reading(b, 2, 100);
    bound_not_before(b, 2 * MIN_MS);
    expect(bound_eval(b, 2 * MIN_MS), TRI_UNKNOWN, false);
    expect(reading(b, 3, 100), TRI_TRUE, false);
    bound_free(b);
}

static void m15_slowest(void **state)
{
    struct bound *b =
        rig_bind(&r, group(&r, COND_ANY, 2, leaf(&r, &sig_p99, CMP_BELOW, 500, 2 * MIN_MS),
                           leaf(&r, &sig_gauge, CMP_BELOW, 5, 3 * MIN_MS)));

    (void)state;
    assert_int_equal(bound_slowest_ms(b), 7 * MIN_MS); /* 2 periods + lag 3 m + lasting 2 m */
    assert_int_equal(bound_interval_ms(b), MIN_MS);
    assert_true(bound_reads(b, rig_series(&r, &sig_gauge)));
    assert_false(bound_reads(b, rig_series(&r, &sig_state)));
    bound_free(b);
}

static void m6_samples_count_points_of_the_slowest_leaf(void **state)
{
    struct bound *b = rig_bind(&r, group(&r, COND_ANY, 2, leaf(&r, &sig_gauge, CMP_ABOVE, 5, 0),
                                         leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0)));
    struct series *g = rig_series(&r, &sig_gauge);

    (void)state;
    for (int64_t t = 8 * MIN_MS; t < 10 * MIN_MS; t += 10000)
        series_add(g, t, 0, 9, t);
    average(b, 8, 30);
    expect(average(b, 9, 30), TRI_TRUE, false);
    for (int64_t t = 10 * MIN_MS; t < 11 * MIN_MS; t += 10000) {
        struct answer a;

        series_add(g, t, 0, 1, t);
        a = bound_eval(b, t);
        expect(a, TRI_FALSE, false);
        assert_int_equal(a.samples, 1); /* however many the fast leaf has */
        assert_int_equal(a.since_ms, 10 * MIN_MS);
    }
    assert_int_equal(average(b, 10, 30).samples, 1); /* of the minute in which it changed */
    assert_int_equal(average(b, 11, 30).samples, 2);
    bound_free(b);
}

static void e102_references_are_resolved(void **state)
{
    struct cond *c = leaf(&r, &sig_p99, CMP_ABOVE, 500, 0);
    struct bind_context ctx = rig_context(&r);
    struct err e = ERR_INIT;
    struct bound *b;

    (void)state;
    c->opts = json_new_map();
    json_set_str(c->opts, "where", "$target.alb/$target.tag.tier/$param.env");
    json_set_str(r.params, "env", "prod");
    b = bound_new(c, &ctx, &e);
    assert_non_null(b);
    assert_string_equal(json_get_str(r.series[0]->opts, "where", ""), "app/x/1/web/prod");
    bound_free(b);
    json_set_str(c->opts, "where", "$target.abl");
    assert_null(bound_new(c, &ctx, &e));
    assert_string_equal(
        e.text,
        "policies/t.lua:7:12: E102 sig.alb_p99: unknown name $target.abl; did you mean \"alb\"?");
    json_set_str(c->opts, "where", "$run.id");
    assert_null(bound_new(c, &ctx, &e));
    assert_non_null(strstr(e.text, "there is no run here"));
    json_free(c->opts);
}

static void words_of_an_enum(void **state)
{
    struct cond *c = leaf(&r, &sig_state, CMP_IS_NOT, 0, 0);
    struct bind_context ctx = rig_context(&r);
    struct series *s = rig_series(&r, &sig_state);
    struct err e = ERR_INIT;
    struct buf line;
    struct bound *b;

    (void)state;
    c->word = "available";
    b = rig_bind(&r, c);
    for (int64_t m = 1; m <= 2; m++)
        series_add(s, m * MIN_MS, 0, 2, m * MIN_MS);
    expect(bound_eval(b, 2 * MIN_MS), TRI_TRUE, false);
    buf_init(&line, 200);
    bound_summary(b, 2 * MIN_MS, &line);
    assert_string_equal(buf_str(&line), "rds_status failed is not available");
    buf_free(&line);
    assert_false(series_add(s, 3 * MIN_MS, 0, 7, 3 * MIN_MS)); /* no such word */
    expect(bound_eval(b, 3 * MIN_MS), TRI_UNKNOWN, false);
    bound_free(b);
    c->word = "avaliable";
    assert_null(bound_new(c, &ctx, &e));
    assert_string_equal(
        e.text,
        "policies/t.lua:7:12: E107 sig.rds_status: must be one of available, modifying, failed, "
        "got \"avaliable\"");
    c->signal = &sig_p99;
    assert_null(bound_new(c, &ctx, &e));
}

static void reload_keeps_clocks_of_what_did_not_change(void **state)
{
    struct cond *c = leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS);
    struct cond *longer = leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 6 * MIN_MS);
    struct bound *a = rig_bind(&r, c), *b = rig_bind(&r, c), *d = rig_bind(&r, longer);
    struct answer was;

    (void)state;
    for (int64_t m = 1; m <= 4; m++)
        was = average(a, m, 85);
    bound_not_before(a, 2 * MIN_MS); /* so that a rebuilt clock would differ */
    for (int64_t m = 5; m <= 9; m++)
        was = average(a, m, 85);
    expect(was, TRI_TRUE, false);
    bound_adopt(b, a);
    bound_adopt(d, a);
    expect(bound_eval(b, 9 * MIN_MS), TRI_TRUE, false);
    assert_int_equal(bound_eval(b, 9 * MIN_MS).since_ms, was.since_ms);
    expect(bound_eval(d, 9 * MIN_MS), TRI_TRUE,
           false); /* its own clock, from the points: 3m to 9m */
    bound_free(a);
    bound_free(b);
    bound_free(d);
}

/* The same leaves in another tree: its answer is its own, and is counted from the reload on. */
static void reload_of_another_tree_answers_anew(void **state)
{
    struct cond *load = leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0);
    struct cond *full = leaf(&r, &sig_in_service, CMP_BELOW, 90, 0);
    struct bound *any = rig_bind(&r, group(&r, COND_ANY, 2, load, full));
    struct bound *same = rig_bind(&r, group(&r, COND_ANY, 2, load, full));
    struct bound *all = rig_bind(&r, group(&r, COND_ALL, 2, load, full));
    struct bound *other =
        rig_bind(&r, group(&r, COND_ANY, 2, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 95, 0), full));
    struct answer was, now;

    (void)state;
    for (int64_t m = 1; m <= 9; m++) {
        reading(any, m, 80);
        was = average(any, m, 85);
    }
    expect(was, TRI_TRUE, false);
    assert_true(was.samples > 2);
    bound_adopt(same, any);
    bound_adopt(all, any);
    bound_adopt(other, any);
    now = bound_eval(same, 9 * MIN_MS + 1);
    assert_int_equal(now.samples, was.samples);
    assert_int_equal(now.since_ms, was.since_ms);
    for (int k = 0; k < 2; k++) {
        now = bound_eval(k ? other : all, 9 * MIN_MS + 1);
        expect(now, TRI_TRUE, false); /* as before, but not for as long as before */
        assert_int_equal(now.samples, 1);
        assert_int_equal(now.since_ms, 9 * MIN_MS + 1);
    }
    bound_free(other);
    /* What is false now was not false before. */
    other = rig_bind(&r, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 95, 0));
    bound_adopt(other, any);
    now = bound_eval(other, 9 * MIN_MS + 1);
    expect(now, TRI_FALSE, false);
    assert_int_equal(now.samples, 1);
    assert_int_equal(now.since_ms, 9 * MIN_MS + 1);
    bound_free(any);
    bound_free(same);
    bound_free(all);
    bound_free(other);
}

static char *summary(const struct bound *b, int64_t t_ms)
{
    struct buf line;

    buf_init(&line, 300);
    bound_summary(b, t_ms, &line);
    return buf_take(&line);
}

static void expect_summary(const struct bound *b, int64_t minute, const char *want)
{
    char *have = summary(b, minute * MIN_MS);

    assert_string_equal(have, want);
    mem_free(have);
}

static void the_line_for_a_page(void **state)
{
    struct bound *b =
        rig_bind(&r, group(&r, COND_ALL, 1, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 2 * MIN_MS)));
    char words[701] = "", *have;

    (void)state;
    expect_summary(b, 1, "asg_cpu unknown: no reading yet");
    series_lost(rig_series(&r, &sig_asg_cpu), "connection refused");
    expect_summary(b, 1, "asg_cpu unknown: connection refused");
    /* A source that says a lot is cut, and not left out: "blind for 15m: ." would be no page. */
    for (size_t k = 0; k + 2 < sizeof(words); k += 2)
        memcpy(words + k, "\xc3\xa4", 2);
    series_lost(rig_series(&r, &sig_asg_cpu), words);
    have = summary(b, 1 * MIN_MS);
    assert_int_equal(strncmp(have, "asg_cpu unknown: \xc3\xa4", 19), 0);
    assert_string_equal(have + strlen(have) - 5, "\xc3\xa4...");
    assert_true(strlen(have) < 300);
    mem_free(have);
    series_lost(rig_series(&r, &sig_asg_cpu), "connection refused");
    average(b, 1, 45);
    average(b, 2, 45);
    expect_summary(b, 2, "asg_cpu 45% not above 60%");
    average(b, 3, 85);
    average(b, 4, 85);
    expect_summary(b, 4, "asg_cpu 85% above 60% for 1m of 2m");
    average(b, 5, 85);
    expect_summary(b, 5, "asg_cpu 85% above 60% for 2m");
    expect_summary(b, 12, "asg_cpu unknown: connection refused; last reading 85% 7m ago");
    series_lost(rig_series(&r, &sig_asg_cpu), NULL);
    expect_summary(b, 12, "asg_cpu unknown: stale; last reading 85% 7m ago");
    series_add(rig_series(&r, &sig_asg_cpu), 12 * MIN_MS, MIN_MS, NAN, 13 * MIN_MS);
    expect_summary(b, 13, "asg_cpu unknown: the reading is not a number; last reading 85% 8m ago");
    bound_free(b);
}

static void the_tree_for_explain(void **state)
{
    struct bound *b =
        rig_bind(&r, group(&r, COND_ANY, 2, leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 5 * MIN_MS),
                           leaf(&r, &sig_in_service, CMP_BELOW, 50, 0)));
    struct json *j;
    const struct json *k;

    (void)state;
    for (int64_t m = 1; m <= 4; m++)
        average(b, m, 85);
    j = bound_explain(b, 4 * MIN_MS + 500);
    assert_string_equal(json_get_str(j, "kind", ""), "any");
    assert_string_equal(json_get_str(j, "value", ""), "unknown");
    assert_string_equal(json_get_str(j, "site", ""), "policies/t.lua:6:3");
    k = json_at(json_get(j, "kids"), 0);
    assert_string_equal(json_get_str(k, "signal", ""), "asg_cpu");
    assert_string_equal(json_get_str(k, "target", ""), "asg/web-1");
    assert_string_equal(json_get_str(k, "comparator", ""), "above");
    assert_string_equal(json_get_str(k, "threshold_text", ""), "60%");
    assert_int_equal(json_get_int(k, "reading", -1), 85);
    assert_int_equal(json_get_int(k, "age_ms", -1), 500);
    assert_int_equal(json_get_int(k, "held_ms", -1), 3 * MIN_MS);
    assert_int_equal(json_get_int(k, "lasting_ms", -1), 5 * MIN_MS);
    assert_true(json_get_bool(k, "pending", false));
    assert_null(json_get(k, "note"));
    k = json_at(json_get(j, "kids"), 1);
    assert_string_equal(json_get_str(k, "finding", ""), "no reading yet");
    json_free(j);
    /* Explaining moves nothing. */
    expect(bound_eval(b, 4 * MIN_MS), TRI_UNKNOWN, false);
    /* What was said of a reading is not said of the next one. */
    series_note(rig_series(&r, &sig_asg_cpu), "by the left one");
    j = bound_explain(b, 4 * MIN_MS + 500);
    k = json_at(json_get(j, "kids"), 0);
    assert_string_equal(json_get_str(k, "note", ""), "by the left one");
    json_free(j);
    average(b, 5, 20);
    j = bound_explain(b, 5 * MIN_MS);
    assert_null(json_get(json_at(json_get(j, "kids"), 0), "note"));
    json_free(j);
    bound_free(b);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(m1_true_when_every_sample_satisfied),
        RULE(m1_boundaries_of_the_comparators),
        RULE(m2_hold_bridges_and_stops_the_clock),
        RULE(m2_longer_gap_is_unknown_and_restarts),
        RULE(m2_late_but_gapless_goes_on),
        RULE(m2_a_clock_can_be_rebuilt_from_what_is_kept),
        RULE(m2_missing_as_a_value),
        RULE(m2_missing_never_true_without_data),
        RULE(m3_three_values),
        RULE(m3_pending_only_when_nothing_else_is_missing),
        RULE(m5_two_fresh_samples),
        RULE(m5_old_samples_are_not_fresh),
        RULE(m5_a_metric_that_is_never_published),
        RULE(m15_only_points_that_start_after),
        RULE(m15_a_gauge_of_that_instant_does_not_count),
        RULE(m15_slowest),
        RULE(m6_samples_count_points_of_the_slowest_leaf),
        RULE(e102_references_are_resolved),
        RULE(words_of_an_enum),
        RULE(reload_keeps_clocks_of_what_did_not_change),
        RULE(reload_of_another_tree_answers_anew),
        RULE(the_line_for_a_page),
        RULE(the_tree_for_explain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
