/* What the collector of CloudWatch asks for, and how often: each question costs. */
#include "help_plugins.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct stage {
    struct rig r;
    const struct target *web, *api;
};

static int setup(void **state)
{
    struct stage *s = stage_begin(state, sizeof(*s));

    s->web = rig_target(&s->r, "asg", "web", "{\"aws\": \"prod\"}");
    s->api = rig_target(&s->r, "asg", "api", "{\"aws\": \"prod\"}");
    return 0;
}

/* The queries of the last request, counted by their ids. */
static size_t queries_of_last(struct rig *r)
{
    struct json *j = sim(r, "requests?action=GetMetricData", NULL);
    size_t n =
        json_len(json_get(json_get(json_at(j, json_len(j) - 1), "params"), "MetricDataQueries"));

    json_free(j);
    return n;
}

/* How many queries of the requests have this expression, "m" standing for the metric. */
static size_t asked_for(struct rig *r, const char *expr)
{
    struct json *j = sim(r, "requests?action=GetMetricData", NULL);
    size_t n = 0;

    for (const struct json *q = json_first(j); q != NULL; q = json_next(q)) {
        const struct json *list = json_get(json_get(q, "params"), "MetricDataQueries");

        for (const struct json *m = json_first(list); m != NULL; m = json_next(m)) {
            const char *text = json_get_str(m, "Expression", "");
            const char *op = strpbrk(text, " ");
            n += op != NULL && strcmp(op, expr + 1) == 0;
        }
    }
    json_free(j);
    return n;
}

/* Polled as often as its shortest period asks for, each period costs one question: a batch whose
 * newest points are known is left out, whoever reads it. */
static void one_call_a_period(void **state)
{
    struct stage *s = *state;
    struct source c;
    size_t calls, minutes = 0;
    struct json *j;

    source_open(&c, &s->r, "asg_cpu", s->web);
    for (int i = 0; i < 5; i++) { /* as five policies would */
        source_watch(&c, "asg_cpu", s->web, "{\"period\": 5000}", 0);
        source_watch(&c, "asg_cpu", s->api, "{\"period\": 5000}", 0);
        source_watch(&c, "asg_cpu", s->web, "{\"period\": 60000}", 0);
    }
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 2); /* two periods */
    for (int i = 0; i < 10; i++) { /* 10 s: two more periods of 5 s, at most one of a minute */
        run_for(s->r.loop, 1000);
        source_poll(&c);
        assert_int_equal(c.err.code, 0);
    }
    calls = sim_requests(&s->r, "GetMetricData");
    j = sim(&s->r, "requests?action=GetMetricData", NULL);
    for (const struct json *q = json_first(j); q != NULL; q = json_next(q)) {
        const struct json *first = json_first(json_get(json_get(q, "params"), "MetricDataQueries"));
        minutes += json_get_int(json_get(first, "MetricStat"), "Period", 0) == 60;
    }
    json_free(j);
    /* A point may show itself a moment after its period is over: then one more. */
    if (calls - minutes < 3 || calls - minutes > 6 || minutes > 3)
        fail_msg("%zu calls, %zu of them for the minutes", calls, minutes);
    source_close(&c);
}

#define BY(expr)                                                                                   \
    "{\"namespace\": \"AWS/EC2\", \"metric\": \"CPUUtilization\", \"unit\": \"percent\", "         \
    "\"dimensions\": {\"AutoScalingGroupName\": \"web\"}, \"period\": 5000, \"expr\": \"" expr     \
    "\"}"

static void a_wrong_expression_blinds_nobody_else(void **state)
{
    struct stage *s = *state;
    struct source c;
    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *plain = source_watch(&c, "asg_cpu", s->web, "{\"period\": 5000}", 0);
    const struct watch *half = source_watch(&c, "cloudwatch", s->web, BY("m / 2"), 0);
    const struct watch *wrong = source_watch(&c, "cloudwatch", s->web, BY("m +"), 0);
    const struct watch *more =
        source_watch(&c, "cloudwatch", s->web, BY("FILL(m, 0) + CEIL(m)"), 0);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 4);
    assert_true(queries_of_last(&s->r) <= 2);
    assert_true(source_value(&c, plain) > 10);
    assert_true(fabs(source_value(&c, half) * 2 - source_value(&c, plain)) < 1e-6);
    assert_true(source_value(&c, more) >= 2 * source_value(&c, plain));
    assert_int_equal(source_count(&c, wrong), 0);
    if (strstr(source_why(&c, wrong), "CloudWatch refuses the question") == NULL)
        fail_msg("%s", source_why(&c, wrong));
    assert_int_equal(c.refused, 1);
    /* Asked by itself, and not again for a minute: the others go on, the source keeps showing it.
     */
    sim_clear(&s->r);
    for (int i = 0; i < 3; i++) {
        run_for(s->r.loop, 100);
        source_poll(&c);
        assert_int_equal(c.err.code, 0);
        assert_int_equal(c.refused, 1);
        assert_non_null(strstr(source_why(&c, wrong), "CloudWatch refuses the question"));
    }
    assert_int_equal(asked_for(&s->r, "m +"), 0);
    source_close(&c);
}

/* AWS refuses a call for one of its questions: the others of the call are answered in the same
 * poll, and from then on in one call again. */
static void a_poisonous_question_starves_nobody(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct watch *bad[2] = {NULL, NULL}, *cpu;
    size_t calls;

    source_open(&c, &s->r, "asg_cpu", s->web);
    for (int i = 0; i < 60; i++) {
        char opts[200];

        snprintf(opts, sizeof(opts),
                 "{\"namespace\": \"%s\", \"metric\": \"m%d\", \"unit\": \"count\", "
                 "\"period\": 5000}",
                 i == 17 || i == 40 ? ":odd" : "Own", i);
        const struct watch *w = source_watch(&c, "cloudwatch", s->web, opts, 0);
        if (i == 17 || i == 40)
            bad[i == 40] = w;
    }
    cpu = source_watch(&c, "asg_cpu", s->web, "{\"period\": 5000}", 0);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_true(source_value(&c, cpu) > 0);
    assert_int_equal(c.refused, 2);
    for (size_t i = 0; i < c.n; i++) {
        bool is_bad = c.list[i] == bad[0] || c.list[i] == bad[1];
        if (c.list[i] != cpu && (strstr(source_why(&c, c.list[i]), "CloudWatch refuses the "
                                                                   "question") != NULL) != is_bad)
            fail_msg("%zu: %s", i, source_why(&c, c.list[i]));
    }
    calls = sim_requests(&s->r, "GetMetricData");
    if (calls < 3 || calls > 25) /* 1 + 2 times log2 of 61, for each of the two at the most */
        fail_msg("%zu calls", calls);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 1);
    assert_int_equal(c.refused, 2);
    source_close(&c);
}

/* Where nothing was ever answered it may be the call, or the account: the source has failed, and
 * the host backs off. */
static void refused_alone_is_a_failure(void **state)
{
    struct stage *s = *state;
    struct source c;

    source_open(&c, &s->r, "cloudwatch", s->web);
    source_watch(&c, "cloudwatch", s->web, BY("m +"), 0);
    source_poll(&c);
    assert_int_not_equal(c.err.code, 0);
    assert_non_null(strstr(c.err.text, "ValidationError"));
    assert_int_equal(c.refused + c.ngot, 0);
    source_close(&c);
}

/* More history than CloudWatch keeps, or than we need, is not asked for. */
static void history_is_bounded(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct json *params;
    struct json *j;

    source_open(&c, &s->r, "asg_cpu", s->web);
    source_watch(&c, "asg_cpu", s->web, "{\"period\": 5000}", 7 * 86400000LL);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    j = sim(&s->r, "requests?action=GetMetricData", NULL);
    params = json_get(json_at(j, 0), "params");
    assert_int_equal((json_get_int(params, "EndTime", 0) - json_get_int(params, "StartTime", 0)),
                     3 * 3600);
    json_free(j);
    source_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_call_a_period, setup, stage_end),
        cmocka_unit_test_setup_teardown(a_wrong_expression_blinds_nobody_else, setup, stage_end),
        cmocka_unit_test_setup_teardown(a_poisonous_question_starves_nobody, setup, stage_end),
        cmocka_unit_test_setup_teardown(refused_alone_is_a_failure, setup, stage_end),
        cmocka_unit_test_setup_teardown(history_is_bounded, setup, stage_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
