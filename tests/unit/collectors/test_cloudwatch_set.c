/* Questions to GetMetricData and their answers: each metric once, 500 a call, and what is made of
 * odd answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "collectors/shared_cloudwatch_refused.h"

static size_t want(struct cw_set *s, const char *metric, int64_t period_ms, const char *expr)
{
    struct json *d = json_new_map();
    size_t q;

    json_set_str(d, "B", "2");
    json_set_str(d, "A", "1");
    q = cw_want(s, "N", metric, d, "Sum", period_ms, expr);
    json_free(d);
    return q;
}

static void each_once(void **state)
{
    struct cw_set s;
    struct json *other = json_new_map();

    (void)state;
    cw_init(&s);
    assert_int_equal(want(&s, "m", 60000, NULL), 0);
    assert_int_equal(want(&s, "m", 60000, NULL), 0);
    assert_int_equal(want(&s, "n", 60000, NULL), 1);
    assert_int_equal(want(&s, "m", 300000, NULL), 2);
    assert_int_equal(want(&s, "m", 60000, "m * 2"), 3);
    assert_int_equal(want(&s, "m", 60000, "m * 2"), 3);
    json_set_str(other, "A", "1"); /* the order of dimensions does not matter, their number does */
    assert_int_equal(cw_want(&s, "N", "m", other, "Sum", 60000, NULL), 4);
    json_set_str(other, "B", "2");
    assert_int_equal(cw_want(&s, "N", "m", other, "Sum", 60000, NULL), 0);
    assert_int_equal(cw_want(&s, "N", "m", other, "Average", 60000, NULL), 5);
    assert_int_equal(s.nqueries, 6);
    json_free(other);
    cw_clear(&s);
}

static void dealt_out(void **state)
{
    struct cw_set s;
    char name[16];

    (void)state;
    cw_init(&s);
    for (int i = 0; i < 1001; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        (void)want(&s, name, i % 2 ? 60000 : 5000, NULL);
    }
    cw_pack(&s);
    assert_int_equal(s.nbatches, 3); /* 501 of 5 s, 500 of a minute */
    cw_clear(&s);
    for (int i = 0; i < 501; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        (void)want(&s, name, 60000, "m + 1"); /* two members each */
    }
    cw_pack(&s);
    assert_int_equal(s.nbatches, 3);
    for (size_t b = 0; b < s.nbatches; b++) {
        assert_true(s.batches[b].nmembers <= CW_QUERIES_A_CALL);
    }
    cw_clear(&s);
}

/* What AWS refuses for its expression costs only those who wrote that expression. */
static void an_expression_s_own_call(void **state)
{
    struct cw_set s;
    size_t plain, wrong, right, also;

    (void)state;
    cw_init(&s);
    plain = want(&s, "x", 60000, NULL);
    wrong = want(&s, "x", 60000, "m *");
    right = want(&s, "x", 60000, "m * 1000");
    also = want(&s, "y", 60000, "m * 1000");
    cw_pack(&s);
    assert_int_equal(s.nbatches, 3);
    assert_int_equal(s.queries[right].batch, s.queries[also].batch);
    cw_refuse_all(&s, s.queries[wrong].batch, "no such expression");
    cw_finish(&s, s.queries[wrong].batch);
    assert_string_equal(
        s.queries[wrong].why,
        "CloudWatch refuses a call that asks for this and others: no such expression");
    assert_string_equal(s.queries[plain].why, "");
    assert_string_equal(s.queries[right].why, "");
    cw_forget(&s, s.queries[wrong].batch);
    assert_string_equal(s.queries[wrong].why, "");
    cw_clear(&s);
}

static struct xml *page_of(int from, int n)
{
    struct buf b;
    struct err e = ERR_INIT;
    struct xml *x;

    buf_init(&b, 8u << 20); /* what is read of any answer */
    (void)buf_adds(&b, "<R><GetMetricDataResult><MetricDataResults><member><Id>q0</Id>"
                       "<StatusCode>Complete</StatusCode><Timestamps>");
    for (int i = from; i < from + n; i++)
        (void)buf_addf(&b, "<member>2026-11-%02dT%02d:%02d:%02dZ</member>", 1 + i / 86400,
                       i / 3600 % 24, i / 60 % 60, i % 60);
    (void)buf_adds(&b, "</Timestamps><Values>");
    for (int i = from; i < from + n; i++)
        (void)buf_addf(&b, "<member>%d.1234567890123456</member>", i);
    (void)buf_adds(&b, "</Values></member></MetricDataResults></GetMetricDataResult></R>");
    assert_false(b.overflow);
    x = xml_parse(b.data, b.len, 8u << 20, &e);
    if (x == NULL)
        fail_msg("%s", e.text);
    buf_free(&b);
    return x;
}

/* 100,800 points of one series, in pages as large as we ask for; one more is none. */
static void as_many_points_as_there_can_be(void **state)
{
    struct cw_set s;
    struct err e = ERR_INIT;
    const char *token;

    (void)state;
    cw_init(&s);
    (void)want(&s, "x", 1000, NULL);
    cw_pack(&s);
    for (int from = 0; from <= 100800; from += CW_POINTS_A_PAGE) {
        struct xml *x = page_of(from, from == 100000 ? 800 : CW_POINTS_A_PAGE);

        assert_int_equal(cw_take(&s, 0, x, &token, &e), 0);
        xml_free(x);
    }
    cw_finish(&s, 0);
    assert_int_equal(s.queries[0].npoints, 100800);
    assert_true(s.queries[0].points[100799].value > 100799);
    struct xml *more = page_of(100800, 1);
    assert_int_equal(cw_take(&s, 0, more, &token, &e), ERR_LIMIT);
    xml_free(more);
    cw_clear(&s);
}

static void how_long_points_are_kept(void **state)
{
    (void)state;
    assert_int_equal(cw_kept_ms(1000) / 3600000, 3);
    assert_int_equal(cw_kept_ms(30000) / 3600000, 3);
    assert_int_equal(cw_kept_ms(60000) / 86400000, 15);
    assert_int_equal(cw_kept_ms(300000) / 86400000, 63);
    assert_int_equal(cw_kept_ms(3600000) / 86400000, 455);
    assert_int_equal(cw_kept_ms(86400000) / 86400000, 455);
}

static void on_the_wire(void **state)
{
    struct cw_set s;
    struct aws_params *p;

    (void)state;
    cw_init(&s);
    (void)want(&s, "x", 60000, NULL);
    (void)want(&s, "y", 60000, "FILL(m, 0) * m1m - my(m)");
    cw_pack(&s);
    p = cw_params(&s, 0, 1790000040000, 1790000340000, "tok");
#define IS(name, value) assert_string_equal(aws_params_get(p, name), value)
    IS("MetricDataQueries.member.1.Id", "q0");
    IS("MetricDataQueries.member.1.MetricStat.Metric.Namespace", "N");
    IS("MetricDataQueries.member.1.MetricStat.Metric.MetricName", "x");
    IS("MetricDataQueries.member.1.MetricStat.Stat", "Sum");
    IS("MetricDataQueries.member.1.MetricStat.Period", "60");
    assert_null(aws_params_get(p, "MetricDataQueries.member.1.ReturnData"));
    assert_null(aws_params_get(p, "MetricDataQueries.member.2.Id"));
    aws_params_free(p);
    p = cw_params(&s, 1, 1790000040000, 1790000340000, "tok");
    IS("MetricDataQueries.member.1.Id", "m1");
    IS("MetricDataQueries.member.1.ReturnData", "false");
    IS("MetricDataQueries.member.2.Id", "q1");
    IS("MetricDataQueries.member.2.Expression", "FILL(m1, 0) * m1m - my(m1)");
    IS("StartTime", "2026-09-21T14:14:00Z");
    IS("EndTime", "2026-09-21T14:19:00Z");
    IS("ScanBy", "TimestampAscending");
    IS("MaxDatapoints", "50000");
    IS("NextToken", "tok");
    aws_params_free(p);
    cw_clear(&s);
}

#define PAGE(inner)                                                                                \
    "<GetMetricDataResponse><GetMetricDataResult><MetricDataResults>" inner                        \
    "</MetricDataResults></GetMetricDataResult></GetMetricDataResponse>"
#define RESULT(id, times, values, rest)                                                            \
    "<member><Id>" id "</Id><Timestamps>" times "</Timestamps><Values>" values "</Values>" rest    \
    "</member>"
#define AT(minute) "<member>2026-11-22T13:0" minute ":00Z</member>"
#define V(value) "<member>" value "</member>"
#define WHOLE "<StatusCode>Complete</StatusCode>"

static int take(struct cw_set *s, const char *text, const char **token)
{
    struct err e = ERR_INIT;
    struct xml *x = xml_parse(text, strlen(text), 1 << 20, &e);
    int rc;

    assert_non_null(x);
    rc = cw_take(s, 0, x, token, &e);
    assert_true((rc == 0) == (e.code == 0));
    xml_free(x);
    return rc;
}

static void answers(void **state)
{
    static const struct {
        const char *text, *why;
        int rc;
        size_t n;
    } rows[] = {
        {PAGE(RESULT("q0", AT("1") AT("2"), V("1") V("2.5e1"), WHOLE)), "", 0, 2},
        {PAGE(RESULT("q0", AT("2") AT("1") AT("2"), V("3") V("2") V("3.0"), WHOLE)), "", 0, 2},
        {PAGE(RESULT("q0", AT("2") AT("1") AT("2"), V("1") V("2") V("3"), WHOLE)),
         "CloudWatch gave different values of x at one time", 0, 2},
        {PAGE(RESULT("q0", AT("1"), V("1"), WHOLE) RESULT("q0", AT("2"), V("2"), WHOLE)), NULL,
         ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), V("0x1F"), WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), V("nan"), WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", "", "", WHOLE)), "", 0, 0},
        {PAGE(RESULT("q0", AT("1"), V("1"), "<StatusCode>PartialData</StatusCode>")),
         "CloudWatch gave only a part of x", 0, 1},
        {PAGE(RESULT("q0", AT("1"), V("1"),
                     "<StatusCode>Forbidden</StatusCode><Messages><member><Value>no</Value></"
                     "member></Messages>")),
         "CloudWatch says Forbidden of x: no", 0, 1},
        {PAGE(RESULT("q0", AT("1"), V("1"), "")), "CloudWatch says nothing of x: no reason given",
         0, 1},
        {PAGE(""), "CloudWatch's answer leaves x out", 0, 0},
        {PAGE(RESULT("q1", "", "", WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q", "", "", WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("m0", "", "", WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0x", "", "", WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), "", WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), V("1") V("2"), WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), V("one"), WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), V("1x"), WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", AT("1"), V(""), WHOLE)), NULL, ERR_INPUT, 0},
        {PAGE(RESULT("q0", "<member>yesterday</member>", V("1"), WHOLE)), NULL, ERR_INPUT, 0},
        {"<html><body>It works!</body></html>", NULL, ERR_INPUT, 0},
        {"<GetMetricDataResponse/>", NULL, ERR_INPUT, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *token;
        struct cw_set s;

        cw_init(&s);
        (void)want(&s, "x", 60000, NULL);
        cw_pack(&s);
        cw_forget(&s, 0);
        if (take(&s, rows[i].text, &token) != rows[i].rc)
            fail_msg("%s", rows[i].text);
        assert_null(token);
        if (rows[i].rc == 0) {
            cw_finish(&s, 0);
            assert_string_equal(s.queries[0].why, rows[i].why);
            assert_int_equal(s.queries[0].npoints, rows[i].n);
            for (size_t k = 1; k < s.queries[0].npoints; k++)
                assert_true(s.queries[0].points[k - 1].start_ms < s.queries[0].points[k].start_ms);
        }
        cw_clear(&s);
    }
}

static void pages(void **state)
{
    const char *token;
    struct cw_set s;

    (void)state;
    cw_init(&s);
    (void)want(&s, "x", 60000, NULL);
    cw_pack(&s);
    cw_forget(&s, 0);
    assert_int_equal(
        take(&s,
             "<R><GetMetricDataResult><MetricDataResults>" RESULT(
                 "q0", AT("1"), V("1"),
                 "<StatusCode>PartialData</StatusCode>") "</MetricDataResults><NextToken>t"
                                                         "</NextToken></GetMetricDataResult></R>",
             &token),
        0);
    assert_non_null(token);
    assert_int_equal(take(&s, PAGE(RESULT("q0", AT("2"), V("2"), WHOLE)), &token), 0);
    assert_null(token);
    cw_finish(&s, 0);
    assert_string_equal(s.queries[0].why, "");
    assert_int_equal(s.queries[0].npoints, 2);
    assert_non_null(cw_at(&s.queries[0], s.queries[0].points[1].start_ms));
    assert_null(cw_at(&s.queries[0], s.queries[0].points[1].start_ms + 1));
    cw_forget(&s, 0);
    assert_null(cw_at(&s.queries[0], s.queries[0].points[1].start_ms));
    cw_clear(&s);
}

static void periods(void **state)
{
    static const int64_t good[] = {1000, 5000, 10000, 20000, 30000, 60000, 300000, 86400000},
                         bad[] = {0, -60000, 500, 2000, 15000, 45000, 90000, 61000, 86460000};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(cw_period_exists(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(cw_period_exists(bad[i]));
}

/* Halves of halves come down to each query by itself, and no query is lost. */
static void split_down_to_one(void **state)
{
    struct cw_set s;
    struct cw_query *one = NULL;
    char name[16];
    size_t splits = 0;

    (void)state;
    cw_init(&s);
    for (int i = 0; i < 37; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        (void)want(&s, name, 60000, "m * 2");
    }
    cw_pack(&s);
    assert_int_equal(s.nbatches, 1);
    for (size_t b = 0; b < s.nbatches; b++) {
        while (cw_split(&s, b, &one))
            splits++;
        assert_int_equal(one->batch, b);
        assert_int_equal(s.batches[b].nmembers, 2);
        assert_int_equal(s.batches[b].nqueries, 1);
    }
    assert_int_equal(splits, 36);
    assert_int_equal(s.nbatches, 37);
    cw_pack(&s);
    assert_int_equal(s.nbatches, 1);
    cw_clear(&s);
}

static void refused_ones_are_left_alone_longer_and_longer(void **state)
{
    struct cw_set s;
    struct cw_refused *r = cw_refused_new();
    int64_t now_ms = 1000, wait_ms = 60000;
    size_t bad, good;

    (void)state;
    cw_init(&s);
    good = want(&s, "good", 60000, NULL);
    bad = want(&s, "bad", 60000, NULL);
    assert_null(cw_refused_why(r, &s.queries[bad]));
    for (int i = 0; i < 10; i++) {
        cw_refused_note(r, &s.queries[bad], now_ms, "no such word");
        assert_false(cw_refused_due(r, &s.queries[bad], now_ms + wait_ms * 3 / 4 - 1));
        assert_true(cw_refused_due(r, &s.queries[bad], now_ms + wait_ms));
        now_ms += wait_ms;
        wait_ms = wait_ms * 2 > 3600000 ? 3600000 : wait_ms * 2;
    }
    assert_string_equal(cw_refused_why(r, &s.queries[bad]),
                        "CloudWatch refuses the question: no such word");
    assert_true(cw_refused_due(r, &s.queries[good], 0));
    cw_refused_mark(r, &s);
    cw_pack(&s);
    assert_int_equal(s.nbatches, 2);
    assert_true(s.batches[s.queries[bad].batch].alone);
    assert_int_not_equal(s.queries[bad].batch, s.queries[good].batch);
    cw_refused_forget(r, &s.queries[bad]);
    cw_refused_mark(r, &s);
    cw_pack(&s);
    assert_int_equal(s.nbatches, 1);
    cw_refused_note(r, &s.queries[bad], now_ms, "no such word");
    cw_clear(&s);
    assert_int_equal(want(&s, "good", 60000, NULL), 0);
    cw_refused_mark(r, &s); /* nobody asks for it any more: what comes back is asked at once */
    bad = want(&s, "bad", 60000, NULL);
    assert_null(cw_refused_why(r, &s.queries[bad]));
    cw_clear(&s);
    cw_refused_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once),
        cmocka_unit_test(dealt_out),
        cmocka_unit_test(on_the_wire),
        cmocka_unit_test(answers),
        cmocka_unit_test(pages),
        cmocka_unit_test(periods),
        cmocka_unit_test(an_expression_s_own_call),
        cmocka_unit_test(split_down_to_one),
        cmocka_unit_test(refused_ones_are_left_alone_longer_and_longer),
        cmocka_unit_test(as_many_points_as_there_can_be),
        cmocka_unit_test(how_long_points_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
