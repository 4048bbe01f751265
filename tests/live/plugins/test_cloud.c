/* The collectors of AWS and asg_scale against cloudsim: what they ask, what they make of the
 * answers, and that whatever is wrong with an answer never becomes a value. */
#include "help_plugins.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define FAST "{\"period\": 5000}"
#define WEB_LB "app/web/456789abcdef0123"
#define WEB_TG "targetgroup/web/0123456789abcdef"

struct stage {
    struct rig r;
    const struct target *web, *api, *service;
};

static int setup(void **state)
{
    struct stage *s = stage_begin(state, sizeof(*s));

    s->web = rig_target(&s->r, "asg", "web",
                        "{\"aws\": \"prod\", \"alb\": \"" WEB_LB "\", \"target_group\": \"" WEB_TG
                        "\"}");
    s->api = rig_target(&s->r, "asg", "api",
                        "{\"aws\": \"prod\", \"alb\": \"app/api/556789abcdef0123\", "
                        "\"target_group\": \"targetgroup/api/1123456789abcdef\"}");
    s->service = rig_target(&s->r, "service", "portal", "{\"asg\": \"web\"}");
    return 0;
}

static int64_t wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* CloudWatch */

static void each_metric_is_asked_for_once(void **state)
{
    struct stage *s = *state;
    struct source c;
    struct json *j;
    const struct json *params = NULL;
    size_t queries = 0;

    source_open(&c, &s->r, "asg_cpu", s->web);
    for (int i = 0; i < 10; i++) {
        source_watch(&c, "asg_cpu", s->web, FAST, 0);
        source_watch(&c, "asg_cpu", s->service, FAST, 0);
        source_watch(&c, "alb_p99", s->web, FAST, 0);
        source_watch(&c, "alb_requests", i % 2 ? s->web : s->api, FAST, 0);
        source_watch(&c, "alb_5xx", s->service, FAST, 0);
        source_watch(&c, "asg_cpu", s->api, FAST, 0);
    }
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    for (size_t i = 0; i < c.n; i++) {
        if (source_count(&c, c.list[i]) == 0)
            fail_msg("%s: %s", c.list[i]->signal->name, source_why(&c, c.list[i]));
    }
    /* cpu web, cpu api, p99 web, requests web, requests api, two counts of errors, all requests of
     * the balancer: one call. */
    j = sim(&s->r, "requests?action=GetMetricData", NULL);
    assert_int_equal(json_len(json_get(j, "requests") != NULL ? json_get(j, "requests") : j), 1);
    params = json_get(json_at(json_get(j, "requests") != NULL ? json_get(j, "requests") : j, 0),
                      "params");
    queries = json_len(json_get(params, "MetricDataQueries"));
    if (queries == 0) {
        for (const struct json *p = json_first(params); p != NULL; p = json_next(p))
            queries += strstr(json_key(p), "MetricDataQueries.member.") != NULL &&
                       strcmp(json_key(p) + strlen(json_key(p)) - 3, ".Id") == 0;
    }
    assert_int_equal(queries, 8);
    json_free(j);
    source_close(&c);
}

static void five_hundred_queries_a_call(void **state)
{
    struct stage *s = *state;
    struct source c;

    source_open(&c, &s->r, "asg_cpu", s->web);
    for (int i = 0; i < 1100; i++) {
        char opts[200];

        snprintf(
            opts, sizeof(opts),
            "{\"namespace\": \"Own\", \"metric\": \"m%d\", \"unit\": \"count\", \"period\": 5000}",
            i);
        source_watch(&c, "cloudwatch", s->web, opts, 0);
    }
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 3);
    assert_int_equal(c.ngot, 1100);
    assert_non_null(strstr(source_why(&c, c.list[1099]), "no points of Own m1099 {} at period 5s"));
    source_close(&c);
}

static void values_and_their_units(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct reading *g;
    double cpu, p99, avg;

    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *w = source_watch(&c, "asg_cpu", s->web, FAST, 60000);
    const struct watch *tail = source_watch(&c, "alb_p99", s->web, FAST, 0);
    const struct watch *mean = source_watch(&c, "alb_avg", s->web, FAST, 0);
    const struct watch *n = source_watch(&c, "alb_requests", s->web, FAST, 0);
    const struct watch *own = source_watch(
        &c, "cloudwatch", s->web,
        "{\"namespace\": \"AWS/ApplicationELB\", \"metric\": \"TargetResponseTime\", \"unit\": "
        "\"duration\", \"dimensions\": {\"LoadBalancer\": \"" WEB_LB "\"}, \"stat\": \"Average\", "
        "\"period\": 5000, \"expr\": \"m * 1000\"}",
        0);
    source_poll(&c);
    cpu = source_value(&c, w);
    p99 = source_value(&c, tail);
    avg = source_value(&c, mean);
    assert_true(cpu > 35 && cpu < 50); /* 120 of 300 requests a second, and 3 % idle */
    assert_true(avg > 25 && avg < 45 && p99 > 4 * avg && p99 < 5 * avg); /* milliseconds */
    assert_true(source_value(&c, n) > 400 &&
                source_value(&c, n) < 650); /* the first may be partial */
    assert_true(fabs(source_value(&c, own) - avg) < 1);
    /* The first poll reaches back for the history, in order, whole periods, none that is not over.
     */
    assert_true(source_count(&c, w) >= 16);
    for (size_t i = 0, last = 0; i < c.ngot; i++) {
        if (c.got[i].w != w)
            continue;
        assert_int_equal(c.got[i].period_ms, 5000);
        assert_int_equal(c.got[i].start_ms % 5000, 0);
        assert_true(c.got[i].start_ms + 5000 <= wall_ms());
        assert_true((int64_t)last < c.got[i].start_ms);
        last = (size_t)c.got[i].start_ms;
    }
    g = source_last(&c, w);
    assert_true(wall_ms() - g->start_ms < 11500);
    /* What was told is not told again. */
    source_poll(&c);
    assert_true(source_count(&c, w) <= 1);
    source_close(&c);
}

static void pages_are_followed(void **state)
{
    struct stage *s = *state;
    struct source c;

    sim_do(&s->r, "settings", "{\"metric_data_points\": 7}");
    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *w = source_watch(&c, "asg_cpu", s->web, FAST, 60000);
    const struct watch *n = source_watch(&c, "alb_requests", s->web, FAST, 60000);
    sim_clear(&s->r);
    source_poll(&c);
    sim_do(&s->r, "settings", "{\"metric_data_points\": 100800}");
    assert_true(sim_requests(&s->r, "GetMetricData") >= 5);
    assert_true(source_count(&c, w) >= 16 && source_count(&c, n) >= 16);
    source_close(&c);
}

static void missing_errors_are_zero_while_requests_live(void **state)
{
    struct stage *s = *state;
    struct source c;
    int64_t now = wall_ms() / 5000 * 5;

    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *web = source_watch(&c, "alb_5xx", s->web, FAST, 0);
    const struct watch *api = source_watch(&c, "alb_5xx", s->api, FAST, 0);
    const struct watch *many =
        source_watch(&c, "alb_5xx", s->web, "{\"period\": 5000, \"min_requests\": 100000}", 0);
    source_poll(&c);
    assert_true(source_value(&c, web) == 0);
    assert_true(source_value(&c, api) > 1.5 && source_value(&c, api) < 2.5);
    /* 100,000 a minute are 8,334 in five seconds. */
    assert_non_null(strstr(source_why(&c, many), "fewer than 8334"));
    /* What the balancer refused itself is by LoadBalancer only, and counts: of all of its requests,
     * of which another group has half here. */
    sim_do(&s->r, "metrics",
           "{\"namespace\": \"AWS/ApplicationELB\", \"name\": \"RequestCount\", "
           "\"dimensions\": {\"LoadBalancer\": \"" WEB_LB "\"}, \"points\": [{\"time\": %lld, "
           "\"count\": 600, \"sum\": 600}, {\"time\": %lld, \"count\": 600, \"sum\": 600}]}",
           (long long)now, (long long)now + 5);
    sim_do(&s->r, "metrics",
           "{\"namespace\": \"AWS/ApplicationELB\", \"name\": \"HTTPCode_ELB_5XX_Count\", "
           "\"dimensions\": {\"LoadBalancer\": \"" WEB_LB "\"}, \"points\": [{\"time\": %lld, "
           "\"count\": 60, \"sum\": 60}, {\"time\": %lld, \"count\": 60, \"sum\": 60}]}",
           (long long)now, (long long)now + 5);
    run_for(s->r.loop, 7000);
    source_poll(&c);
    assert_true(source_value(&c, web) > 4 && source_value(&c, web) < 6);
    source_close(&c);
    /* Without requests there is no share: stale by itself, and then said. */
    sim_do(&s->r, "metrics/drop",
           "{\"namespace\": \"AWS/ApplicationELB\", \"name\": \"RequestCount\"}");
    source_open(&c, &s->r, "asg_cpu", s->web);
    web = source_watch(&c, "alb_5xx", s->web, FAST, 0);
    source_poll(&c);
    assert_int_equal(source_count(&c, web), 0);
    assert_non_null(strstr(source_why(&c, web), "no points of AWS/ApplicationELB RequestCount"));
    source_close(&c);
    run_for(s->r.loop, 11000);
}

static void few_requests_say_nothing(void **state)
{
    struct stage *s = *state;
    struct source c;

    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *w = source_watch(&c, "alb_5xx", s->web, FAST, 0);
    sim_do(&s->r, "metrics/override",
           "{\"namespace\": \"AWS/ApplicationELB\", \"name\": "
           "\"RequestCount\", \"value\": 0.01}");
    run_for(s->r.loop, 11000);
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, w), "requests in the period, fewer than 9"));
    json_free(sim(&s->r, "settings", "{}"));
    source_close(&c);
}

static void late_points_are_taken_when_they_come(void **state)
{
    struct stage *s = *state;
    struct source c;
    int64_t first = 0;

    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *w = source_watch(&c, "asg_cpu", s->web, FAST, 0);
    source_poll(&c);
    first = source_last(&c, w)->start_ms;
    sim_do(&s->r, "settings", "{\"metric_delay\": 6}");
    run_for(s->r.loop, 5500);
    source_poll(&c);
    run_for(s->r.loop, 7000);
    source_poll(&c);
    sim_do(&s->r, "settings", "{\"metric_delay\": 0}");
    assert_true(source_count(&c, w) >= 1);
    assert_true(source_last(&c, w)->start_ms > first);
    source_close(&c);
}

static void what_cannot_be_asked_says_why(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *bare = rig_target(&s->r, "asg", "bare", "{\"aws\": \"prod\"}");
    const struct target *basic =
        rig_target(&s->r, "asg", "basic", "{\"aws\": \"prod\", \"detailed\": false}");
    const struct target *lone = rig_target(&s->r, "service", "lone", "{\"aws\": \"prod\"}");

    source_open(&c, &s->r, "asg_cpu", s->web);
    const struct watch *a = source_watch(&c, "alb_p99", bare, FAST, 0);
    const struct watch *b = source_watch(&c, "asg_cpu", basic, "{\"period\": 60000}", 0);
    const struct watch *d = source_watch(&c, "asg_cpu", basic, NULL, 0);
    const struct watch *e = source_watch(&c, "asg_cpu", lone, NULL, 0);
    const struct watch *f = source_watch(&c, "asg_cpu", s->web, "{\"period\": 7000}", 0);
    assert_int_equal(d->interval_ms, 300000);
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, a), "has no alb: give it alb = \"app/NAME/ID\""));
    assert_non_null(strstr(source_why(&c, b), "write period = \"5m\""));
    assert_non_null(strstr(source_why(&c, e), "names no asg of the estate"));
    assert_non_null(strstr(source_why(&c, f), "no period of 7s: write"));
    source_close(&c);
}

static const char *const faults[] = {
    "{\"kind\": \"html\", \"status\": 200, \"count\": 20}",
    "{\"kind\": \"html\", \"count\": 20}",
    "{\"kind\": \"throttle\", \"count\": 20}",
    "{\"kind\": \"truncated\", \"count\": 20}",
    "{\"kind\": \"invalid_utf8\", \"count\": 20}",
    "{\"kind\": \"cut_off\", \"count\": 20}",
    "{\"kind\": \"reset\", \"count\": 20}",
    "{\"kind\": \"dtd\", \"count\": 20}",
    "{\"kind\": \"answer\", \"status\": 200, \"body\": \"<A><B/></A>\", \"count\": 20}",
    "{\"kind\": \"error\", \"code\": \"AccessDenied\", \"status\": 403, \"count\": 20}",
    "{\"kind\": \"answer\", \"status\": 200, \"count\": 20, \"body\": \"<GetMetricDataResponse>"
    "<GetMetricDataResult><MetricDataResults><member><Id>q0</"
    "Id><Timestamps><member>2026-11-22T00:00:00Z"
    "</member></Timestamps><Values><member>nonsense</member></Values></member></MetricDataResults>"
    "</GetMetricDataResult></GetMetricDataResponse>\"}",
};

/* Whatever the answer looks like: failed, nothing told; and well again afterwards. */
static void spoilt(struct stage *s, const char *signal, const char *opts)
{
    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        struct source c;

        source_open(&c, &s->r, signal, s->web);
        const struct watch *w = source_watch(&c, signal, s->web, opts, 0);
        sim_do(&s->r, "faults", "%s", faults[i]);
        source_poll(&c);
        if (c.err.code == 0 || c.ngot != 0)
            fail_msg("%s: %s: %zu readings, %s", signal, faults[i], c.ngot,
                     c.ngot > 0 ? c.got[0].why : "no error");
        sim_clear(&s->r);
        source_poll(&c);
        if (c.err.code != 0)
            fail_msg("%s", c.err.text);
        (void)source_value(&c, w);
        source_close(&c);
    }
}

static void a_spoilt_answer_is_no_value(void **state)
{
    spoilt(*state, "asg_cpu", FAST);
    spoilt(*state, "asg_in_service", NULL);
    spoilt(*state, "alb_healthy", NULL);
}

static void partial_data_without_a_token_is_no_value(void **state)
{
    struct stage *s = *state;
    struct source c;
    static const char *const bodies[] = {"<StatusCode>PartialData</StatusCode>",
                                         "<StatusCode>InternalError</StatusCode>",
                                         "<StatusCode>Forbidden</StatusCode>"};

    for (size_t i = 0; i < 3; i++) {
        char when[32];
        time_t t = time(NULL) / 5 * 5 - 10;
        struct tm tm;

        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
        source_open(&c, &s->r, "asg_cpu", s->web);
        const struct watch *w = source_watch(&c, "asg_cpu", s->web, FAST, 0);
        sim_do(&s->r, "faults",
               "{\"kind\": \"answer\", \"status\": 200, \"body\": \"<GetMetricDataResponse>"
               "<GetMetricDataResult><MetricDataResults><member><Id>q0</Id><Timestamps><member>%s"
               "</member></Timestamps><Values><member>99</member></Values>%s</member>"
               "</MetricDataResults></GetMetricDataResult></GetMetricDataResponse>\"}",
               when, bodies[i]);
        source_poll(&c);
        assert_int_equal(source_count(&c, w), 0);
        assert_non_null(strstr(source_why(&c, w), i == 0 ? "only a part" : "CloudWatch says"));
        source_close(&c);
        sim_clear(&s->r);
    }
}

static void a_hung_service_meets_the_deadline(void **state)
{
    struct stage *s = *state;
    struct source c;

    source_open(&c, &s->r, "asg_in_service", s->web);
    const struct watch *w = source_watch(&c, "asg_in_service", s->web, NULL, 0);
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 40, \"count\": 5}");
    source_poll(&c);
    assert_int_equal(c.err.code, ERR_TIMEOUT);
    assert_int_equal(c.ngot, 0);
    sim_clear(&s->r);
    source_poll(&c);
    assert_true(source_value(&c, w) > 0);
    source_close(&c);
    static const char *const signals[] = {"asg_cpu", "alb_healthy", "asg_desired"};
    for (size_t i = 0; i < 3; i++) { /* cancelled in the middle, closed in the middle */
        source_open(&c, &s->r, signals[i], s->web);
        source_watch(&c, signals[i], s->web, NULL, 0);
        source_begin(&c);
        c.type->cancel(c.self);
        run_for(s->r.loop, 30);
        source_begin(&c);
        run_for(s->r.loop, 1);
        source_close(&c);
    }
    run_for(s->r.loop, 100);
}

/* Groups and targets */

static void groups_in_one_call(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *gone = rig_target(&s->r, "asg", "gone", "{\"aws\": \"prod\"}");

    source_open(&c, &s->r, "asg_desired", s->web);
    const struct watch *a = source_watch(&c, "asg_in_service", s->web, NULL, 0);
    const struct watch *b = source_watch(&c, "asg_desired", s->web, "{\"period\": 2000}", 0);
    const struct watch *d = source_watch(&c, "asg_headroom", s->web, NULL, 0);
    const struct watch *e = source_watch(&c, "asg_in_service", s->service, NULL, 0);
    const struct watch *f = source_watch(&c, "asg_desired", s->api, NULL, 0);
    const struct watch *g = source_watch(&c, "asg_desired", gone, NULL, 0);
    assert_int_equal(a->interval_ms, 10000);
    assert_int_equal(b->interval_ms, 2000);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(sim_requests(&s->r, "DescribeAutoScalingGroups"), 1);
    assert_true(source_value(&c, a) == 100 && source_value(&c, e) == 100);
    assert_true(source_value(&c, b) == 3 && source_value(&c, d) == 5 && source_value(&c, f) == 2);
    assert_non_null(strstr(source_why(&c, g), "there is no Auto Scaling group gone"));
    sim_do(&s->r, "group", "{\"group\": \"web\", \"desired\": 6, \"launches\": \"hang\"}");
    source_poll(&c);
    assert_true(source_value(&c, a) == 50 && source_value(&c, d) == 2);
    sim_do(&s->r, "group", "{\"group\": \"web\", \"desired\": 3, \"launches\": \"ok\"}");
    run_for(s->r.loop, 4500);
    source_poll(&c);
    assert_true(source_value(&c, a) == 100);
    source_close(&c);
}

static void targets_of_a_group(void **state)
{
    struct stage *s = *state;
    struct source c;
    struct json *j;
    const struct target *old =
        rig_target(&s->r, "asg", "old",
                   "{\"aws\": \"prod\", \"target_group\": \"targetgroup/web/ffffffffffffffff\"}");
    const struct target *gone = rig_target(
        &s->r, "asg", "gone", "{\"aws\": \"prod\", \"target_group\": \"targetgroup/gone/0123\"}");

    source_open(&c, &s->r, "alb_healthy", s->web);
    const struct watch *w = source_watch(&c, "alb_healthy", s->service, NULL, 0);
    const struct watch *d = source_watch(&c, "alb_draining", s->web, NULL, 0);
    const struct watch *o = source_watch(&c, "alb_healthy", old, NULL, 0);
    const struct watch *g = source_watch(&c, "alb_healthy", gone, NULL, 0);
    sim_clear(&s->r);
    source_poll(&c);
    assert_true(source_value(&c, w) == 100 && source_value(&c, d) == 0);
    assert_non_null(strstr(source_why(&c, o), "made anew"));
    assert_non_null(strstr(source_why(&c, g), "there is no target group targetgroup/gone"));
    source_poll(&c);
    assert_int_equal(sim_requests(&s->r, "DescribeTargetHealth"), 2);
    assert_int_equal(sim_requests(&s->r, "DescribeTargetGroups"),
                     5); /* web once, the others again */
    j = sim(&s->r, "state", NULL);
    const struct json *groups = json_get(j, "groups");
    const struct json *i = json_first(json_get(json_get(groups, "web"), "instances"));
    sim_do(&s->r, "instance", "{\"id\": \"%s\", \"target\": \"unhealthy\"}",
           json_get_str(i, "id", ""));
    source_poll(&c);
    assert_true(fabs(source_value(&c, w) - 200.0 / 3) < 0.01);
    sim_do(&s->r, "instance", "{\"id\": \"%s\", \"target\": \"draining\"}",
           json_get_str(i, "id", ""));
    source_poll(&c);
    assert_true(source_value(&c, w) == 100 && source_value(&c, d) == 1);
    sim_do(&s->r, "instance", "{\"id\": \"%s\", \"target\": \"healthy\"}",
           json_get_str(i, "id", ""));
    json_free(j);
    source_close(&c);
}

/* asg_scale */

static struct json *seen_of(struct stage *s, const char *opts)
{
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, "asg_scale", s->web, opts, &e);

    if (seen == NULL)
        fail_msg("%s", e.text);
    return seen;
}

static void scales_out_and_back(void **state)
{
    struct stage *s = *state;
    static const char *const opts = "{\"by\": {\"percent\": 50}, \"max\": 8}";
    const struct action_type *a = action_find("asg_scale");
    struct json *seen = seen_of(s, opts), *out = NULL, *held = json_new_map();
    struct err e = ERR_INIT;
    struct plan *p = plan_of("asg_scale", s->web, opts, seen, NULL, &e), *back;
    struct action_input in = {.target = s->web, .opts = held, .wall_ms = 1790000000000 + 60000};

    assert_int_equal(json_get_int(seen, "desired", 0), 3);
    assert_int_equal(json_get_int(seen, "max", 0), 8);
    assert_string_equal(p->summary, "desired 3 -> 5");
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_NO);
    assert_int_equal(act(&s->r, "asg_scale", s->web, json_at(p->calls, 0), &out, &e), APPLIED_OK);
    assert_int_equal(json_get_int(out, "after", 0), 5);
    json_free(out);
    json_free(seen);
    seen = seen_of(s, opts);
    assert_int_equal(json_get_int(seen, "desired", 0), 5);
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_YES);
    back = a->undo(&in, p, p, seen, &e);
    assert_string_equal(back->summary, "desired 5 -> 3");
    assert_int_equal(act(&s->r, "asg_scale", s->web, json_at(back->calls, 0), NULL, &e),
                     APPLIED_OK);
    json_free(seen);
    seen = seen_of(s, opts);
    assert_int_equal(json_get_int(seen, "desired", 0), 3);
    json_free(seen);
    json_free(held);
    plan_free(p);
    plan_free(back);
    run_for(s->r.loop, 4000);
}

static void other_controllers_are_seen(void **state)
{
    struct stage *s = *state;
    struct json *seen;

    sim_do(&s->r, "group",
           "{\"group\": \"web\", \"suspended\": [\"Launch\"], \"policies\": [{\"PolicyName\": "
           "\"cpu50\", \"PolicyType\": "
           "\"TargetTrackingScaling\"}, {\"PolicyName\": \"off\", \"PolicyType\": \"StepScaling\", "
           "\"Enabled\": false}], \"refreshes\": [{\"InstanceRefreshId\": \"r-1\", \"Status\": "
           "\"InProgress\"}, {\"InstanceRefreshId\": \"r-0\", \"Status\": \"Successful\"}]}");
    seen = seen_of(s, "{\"by\": 1, \"max\": 8}");
    assert_int_equal(json_len(json_get(seen, "controllers")), 2);
    char *text = json_print(json_get(seen, "controllers"));
    assert_non_null(strstr(text, "scaling policy cpu50 (TargetTrackingScaling)"));
    assert_non_null(strstr(text, "instance refresh r-1 (InProgress)"));
    assert_string_equal(json_str(json_at(json_get(seen, "suspended"), 0), ""), "Launch");
    mem_free(text);
    json_free(seen);
    sim_do(&s->r, "group",
           "{\"group\": \"web\", \"policies\": [], \"refreshes\": [], \"suspended\": []}");
}

static void how_a_request_ended(void **state)
{
    struct stage *s = *state;
    struct err e = ERR_INIT;
    struct json *call = json_new_map(), *args = json_set(call, "args", json_new_map());
    static const char *const opts = "{\"to\": 4, \"max\": 8}";
    static const struct {
        const char *fault;
        enum applied how;
        int desired;
    } rows[] = {
        {"{\"kind\": \"error\", \"count\": 1, \"action\": \"SetDesiredCapacity\", \"code\": "
         "\"ValidationError\", \"status\": 400}",
         APPLIED_REFUSED, 3},
        {"{\"kind\": \"reset\", \"count\": 1, \"action\": \"SetDesiredCapacity\", \"when\": "
         "\"after\"}",
         APPLIED_IN_DOUBT, 4},
        {"{\"kind\": \"reset\", \"count\": 1, \"action\": \"SetDesiredCapacity\"}",
         APPLIED_IN_DOUBT, 3},
        {"{\"kind\": \"html\", \"count\": 1, \"action\": \"SetDesiredCapacity\", \"when\": "
         "\"after\"}",
         APPLIED_IN_DOUBT, 4},
        {"{\"kind\": \"truncated\", \"count\": 1, \"action\": \"SetDesiredCapacity\"}",
         APPLIED_IN_DOUBT, 4},
        {"{\"kind\": \"throttle\", \"count\": 1, \"action\": \"SetDesiredCapacity\"}", APPLIED_OK,
         4},
    };

    json_set_str(call, "call", "autoscaling:SetDesiredCapacity");
    json_set_str(args, "AutoScalingGroupName", "web");
    json_set_int(args, "DesiredCapacity", 4);
    json_set_bool(args, "HonorCooldown", false);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        sim_clear(&s->r);
        sim_do(&s->r, "group", "{\"group\": \"web\", \"desired\": 3}");
        sim_do(&s->r, "faults", "%s", rows[i].fault);
        assert_int_equal(act(&s->r, "asg_scale", s->web, call, NULL, &e), rows[i].how);
        struct json *seen = seen_of(s, opts);
        assert_int_equal(json_get_int(seen, "desired", 0), rows[i].desired);
        json_free(seen);
    }
    sim_do(&s->r, "group", "{\"group\": \"web\", \"desired\": 3}");
    json_set_int(args, "DesiredCapacity", 9); /* above the group's maximum: AWS refuses */
    assert_int_equal(act(&s->r, "asg_scale", s->web, call, NULL, &e), APPLIED_REFUSED);
    json_free(call);
}

static void looking_may_fail_and_be_cut_off(void **state)
{
    struct stage *s = *state;
    struct err e = ERR_INIT;
    static const char *const opts = "{\"to\": 3, \"max\": 8}";
    static const char *const actions[] = {"DescribeAutoScalingGroups", "DescribePolicies",
                                          "DescribeInstanceRefreshes"};
    const struct target *lost = rig_target(&s->r, "asg", "lost", "{\"aws\": \"prod\"}");
    const struct target *elsewhere = rig_target(&s->r, "asg", "elsewhere", "{\"aws\": \"dev\"}");

    for (size_t i = 0; i < 3; i++) {
        sim_do(&s->r, "faults",
               "{\"kind\": \"error\", \"count\": 1, \"action\": \"%s\", \"code\": "
               "\"AccessDenied\", \"status\": 403}",
               actions[i]);
        assert_null(look(&s->r, "asg_scale", s->web, opts, &e));
        assert_non_null(strstr(e.text, actions[i]));
    }
    assert_null(look(&s->r, "asg_scale", lost, opts, &e));
    assert_null(look(&s->r, "asg_scale", elsewhere, opts, &e));
    assert_non_null(strstr(e.text, "no account dev"));
    struct json *call = json_new_map();
    assert_int_equal(act(&s->r, "asg_scale", elsewhere, call, NULL, &e), APPLIED_NOT_SENT);
    cut_off(&s->r, "asg_scale", elsewhere, opts, NULL, 0);
    cut_off(&s->r, "asg_scale", elsewhere, opts, call, 0);
    json_set_str(call, "call", "autoscaling:SetDesiredCapacity");
    json_set_int(json_set(call, "args", json_new_map()), "DesiredCapacity", 3);
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 20, \"count\": 10}");
    cut_off(&s->r, "asg_scale", s->web, opts, NULL, 0);
    cut_off(&s->r, "asg_scale", s->web, opts, NULL, 50);
    cut_off(&s->r, "asg_scale", s->web, opts, call, 20);
    json_free(call);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(each_metric_is_asked_for_once),
        T(five_hundred_queries_a_call),
        T(values_and_their_units),
        T(pages_are_followed),
        T(missing_errors_are_zero_while_requests_live),
        T(late_points_are_taken_when_they_come),
        T(what_cannot_be_asked_says_why),
        T(partial_data_without_a_token_is_no_value),
        T(groups_in_one_call),
        T(targets_of_a_group),
        T(scales_out_and_back),
        T(other_controllers_are_seen),
        T(how_a_request_ended),
        T(looking_may_fail_and_be_cut_off),
        T(a_spoilt_answer_is_no_value),
        T(a_hung_service_meets_the_deadline),
        T(few_requests_say_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
