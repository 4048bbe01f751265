/* proxy_pool's thinking: its limits, the database's headroom, odd observations, the way back. */
#include "help_actions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

extern const struct action_type proxy_pool_action;

static struct target proxy = {.kind = "proxy", .name = "px", .id = "proxy/px"};

/* A pool in order, 50% of 100 with 40 connections open of 45 in all; `more` says what differs. */
static struct json *seen_with(const char *more)
{
    struct json *s =
        parse("{\"proxy\": \"px\", \"target_group\": \"default\", \"pool_percent\": 50, "
              "\"pool_idle\": 25, \"borrow_timeout\": 120, \"pinning_filters\": "
              "[], \"proxy_status\": \"available\", \"group_status\": \"available\", \"targets\": "
              "[{\"id\": \"db-1\", \"state\": \"AVAILABLE\"}], \"instance\": \"db-1\", "
              "\"max_connections\": 100, \"reserved_connections\": 3, \"connections_used\": 45, "
              "\"pool_open\": 40}");
    struct json *m = parse(more);

    for (const struct json *i = json_first(m); i != NULL; i = json_next(i)) {
        if (json_type(i) == JSON_NULL)
            json_remove(s, json_key(i));
        else
            json_set(s, json_key(i), json_copy(i));
    }
    json_free(m);
    return s;
}

static struct plan *plan_at(const char *opts, const char *more, int64_t wall_ms, struct err *e)
{
    struct json *o = parse(opts), *s = seen_with(more);
    struct action_input in = {.target = &proxy, .opts = o, .wall_ms = wall_ms};
    struct plan *p;

    *e = (struct err)ERR_INIT;
    p = proxy_pool_action.plan(&in, s, e);
    assert_true((p == NULL) == (e->code != 0));
    json_free(o);
    json_free(s);
    return p;
}

static void plans(void **state)
{
    static const struct {
        const char *opts, *more, *says;
    } rows[] = {
        {"{\"add\": 10, \"max\": 90}", "{}", "pool 50% -> 60% of 100 connections"},
        {"{\"add\": 10, \"max\": 55}", "{}", "pool 50% -> 55% of 100 connections"},
        {"{\"to\": 80, \"max\": 90}", "{}", "pool 50% -> 80% of 100 connections"},
        {"{\"to\": 50, \"max\": 90}", "{}", "empty: the pool is at 50% already"},
        {"{\"to\": 20, \"max\": 90}", "{}", "pool 50% -> 20% of 100 connections, idle 25% -> 20%"},
        {"{\"add\": 10, \"max\": 50}", "{}", "denied: the pool is at 50%, max 50%: no room"},
        {"{\"add\": 10, \"max\": 90}", "{\"pool_percent\": 100}",
         "denied: the pool is at 100%, max 90%: no room"},
        {"{\"add\": 10, \"max\": 90}", "{\"missing\": \"there is none\"}", "denied: there is none"},
        {"{\"add\": 10, \"max\": 90}", "{\"pool_percent\": null}",
         "input: the proxy's pool is not known: MaxConnectionsPercent -1, "
         "MaxIdleConnectionsPercent 25"},
        {"{\"add\": 10, \"max\": 90}", "{\"pool_percent\": 101}",
         "input: the proxy's pool is not known: MaxConnectionsPercent 101, "
         "MaxIdleConnectionsPercent 25"},
        {"{\"add\": 10, \"max\": 90}", "{\"pool_idle\": \"x\"}",
         "input: the proxy's pool is not known: MaxConnectionsPercent 50, "
         "MaxIdleConnectionsPercent -1"},
        {"{\"add\": 10, \"max\": 90}", "{\"max_connections\": null}",
         "input: the database's max_connections (-1), reserved (3) or used connections (45) are "
         "not known"},
        {"{\"add\": 10, \"max\": 90}", "{\"connections_used\": null}",
         "input: the database's max_connections (100), reserved (3) or used connections (-1) are "
         "not known"},
        {"{\"add\": 10, \"max\": 90}", "{\"reserved_connections\": 100}",
         "input: the database's max_connections (100), reserved (100) or used connections (45) "
         "are not known"},
        {"{\"to\": 50, \"max\": 90}", "{\"pool_idle\": 60}", "pool 50%, idle 60% -> 50%"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e;
        struct plan *p = plan_at(rows[i].opts, rows[i].more, 0, &e);

        assert_says(p, &e, rows[i].says, rows[i].more);
    }
}

/* What the wider pool could open must fit beside what is used now. */
static void preconditions(void **state)
{
    static const struct {
        const char *opts, *more, *broken; /* NULL: all hold */
    } rows[] = {
        /* 60 - 40 = 20 more, 97 - 45 = 52 free */
        {"{\"add\": 10, \"max\": 90}", "{}", NULL},
        /* 90 - 40 = 50 into 52 */
        {"{\"to\": 90, \"max\": 90}", "{}", NULL},
        {"{\"to\": 93, \"max\": 100}", "{}",
         "a pool of 93 fits into the 97 connections beside the other sessions (observed 45 used, "
         "40 of them by the pool: 53 more into 52)"},
        /* what comes past the proxy leaves no room */
        {"{\"add\": 10, \"max\": 90}", "{\"connections_used\": 80}",
         "a pool of 60 fits into the 97 connections beside the other sessions (observed 80 used, "
         "40 of them by the pool: 20 more into 17)"},
        {"{\"add\": 10, \"max\": 90}", "{\"connections_used\": 77}", NULL},
        /* a pool whose connections are not known may have to open all of them */
        {"{\"add\": 10, \"max\": 90}", "{\"pool_open\": null}",
         "a pool of 60 fits into the 97 connections beside the other sessions (observed 45 used, "
         "0 of them by the pool: 60 more into 52)"},
        /* it holds no more than is used, nor more than it may */
        {"{\"add\": 10, \"max\": 90}", "{\"connections_used\": 30, \"pool_open\": 90}", NULL},
        {"{\"to\": 90, \"max\": 90}", "{\"connections_used\": 60, \"pool_open\": 90}",
         "a pool of 90 fits into the 97 connections beside the other sessions (observed 60 used, "
         "50 of them by the pool: 40 more into 37)"},
        /* narrowing opens nothing */
        {"{\"to\": 20, \"max\": 90}", "{\"connections_used\": 97}", NULL},
        {"{\"add\": 10, \"max\": 90}", "{\"proxy_status\": \"modifying\"}",
         "the proxy is available (observed modifying)"},
        {"{\"add\": 10, \"max\": 90}", "{\"proxy_status\": null}",
         "the proxy is available (observed unknown)"},
        {"{\"add\": 10, \"max\": 90}", "{\"group_status\": \"creating\"}",
         "its target group is available (observed creating)"},
        {"{\"add\": 10, \"max\": 90}", "{\"targets\": []}",
         "its database answers it (observed no target)"},
        {"{\"add\": 10, \"max\": 90}",
         "{\"targets\": [{\"id\": \"db-1\", \"state\": \"UNAVAILABLE\"}]}",
         "its database answers it (observed db-1 UNAVAILABLE)"},
        {"{\"add\": 10, \"max\": 90}", "{\"instance\": \"DB-1\"}",
         NULL}, /* RDS stores small letters */
        {"{\"add\": 10, \"max\": 90}", "{\"instance\": \"db-2\"}",
         "its database is the instance db-2 (observed db-1)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e;
        struct plan *p = plan_at(rows[i].opts, rows[i].more, 0, &e);
        const char *got;

        if (p == NULL)
            fail_msg("%s: %s", rows[i].more, e.text);
        got = plan_broken(p);
        if ((got == NULL) != (rows[i].broken == NULL) ||
            (got != NULL && strcmp(got, rows[i].broken) != 0))
            fail_msg("%s with %s: \"%s\"", rows[i].opts, rows[i].more, got != NULL ? got : "(all)");
        plan_free(p);
    }
}

static void what_a_plan_holds(void **state)
{
    struct err e;
    struct plan *p = plan_at("{\"add\": 10, \"max\": 90}", "{}", 5, &e);
    /* The same later, with other sessions: readings are not what a plan is about. */
    struct plan *q = plan_at("{\"add\": 10, \"max\": 90}",
                             "{\"connections_used\": 50, \"pool_open\": 44}", 9, &e);
    char *call = json_print(p->calls);

    (void)state;
    assert_string_equal(call, "[{\"call\":\"rds:ModifyDBProxyTargetGroup\",\"args\":{"
                              "\"DBProxyName\":\"px\",\"TargetGroupName\":\"default\","
                              "\"ConnectionPoolConfig\":{"
                              "\"MaxConnectionsPercent\":60,\"MaxIdleConnectionsPercent\":25,"
                              "\"ConnectionBorrowTimeout\":120}}}]");
    mem_free(call);
    assert_int_equal(p->flags, ACTION_REVERSIBLE);
    assert_int_equal(json_get_int(p->out, "before", 0), 50);
    assert_int_equal(json_get_int(p->out, "after", 0), 60);
    assert_true(plan_same_or_less(p, q));
    plan_free(q);
    /* Drift: another value, and the same end from another beginning. */
    q = plan_at("{\"add\": 10, \"max\": 90}", "{\"pool_percent\": 55}", 9, &e);
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    q = plan_at("{\"add\": 10, \"max\": 90}", "{\"pool_idle\": 20}", 9, &e);
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    q = plan_at("{\"to\": 60, \"max\": 90}", "{\"pool_percent\": 55}", 9, &e);
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    plan_free(p);
    /* The rest of the pool's configuration goes with it; idle never above. */
    p = plan_at("{\"to\": 20, \"max\": 90}",
                "{\"init_query\": \"SET x=1\", \"pinning_filters\": [\"EXCLUDE_VARIABLE_SETS\"]}",
                0, &e);
    call = json_print(p->calls);
    assert_string_equal(call, "[{\"call\":\"rds:ModifyDBProxyTargetGroup\",\"args\":{"
                              "\"DBProxyName\":\"px\",\"TargetGroupName\":\"default\","
                              "\"ConnectionPoolConfig\":{"
                              "\"MaxConnectionsPercent\":20,\"MaxIdleConnectionsPercent\":20,"
                              "\"ConnectionBorrowTimeout\":120,\"SessionPinningFilters\":["
                              "\"EXCLUDE_VARIABLE_SETS\"],\"InitQuery\":\"SET x=1\"}}}]");
    assert_int_equal(p->flags, ACTION_REVERSIBLE | ACTION_DISRUPTIVE);
    mem_free(call);
    plan_free(p);
}

static enum verdict judged(const struct plan *p, const char *seen, int64_t wall_ms)
{
    struct json *s = parse(seen);
    struct action_input in = {.target = &proxy, .wall_ms = wall_ms};
    enum verdict v = proxy_pool_action.judge(&in, p, 0, s);

    json_free(s);
    return v;
}

/* Twice changed, and back to the percentage that is there: only the idle share moves, so that it
 * tells whether the request was carried out. */
static void the_probe_of_an_idle_share(void **state)
{
    struct err e;
    struct plan *first = plan_at("{\"to\": 20, \"max\": 90}", "{}", 0, &e),
                *last = plan_at("{\"to\": 50, \"max\": 90}",
                                "{\"pool_percent\": 20, \"pool_idle\": 20}", 0, &e),
                *back;
    struct json *s = seen_with("{\"pool_idle\": 20}"), *o = json_new_map();
    struct action_input in = {.target = &proxy, .opts = o, .wall_ms = 1000};

    (void)state;
    back = proxy_pool_action.undo(&in, first, last, s, &e);
    assert_non_null(back);
    assert_false(back->empty);
    assert_string_equal(back->summary, "pool 50%, idle 20% -> 25%");
    assert_int_equal(judged(back, "{\"pool_percent\": 50, \"pool_idle\": 20}", 90000), VERDICT_NO);
    assert_int_equal(judged(back, "{\"pool_percent\": 50, \"pool_idle\": 20}", 1000),
                     VERDICT_UNKNOWN);
    assert_int_equal(judged(back, "{\"pool_percent\": 50, \"pool_idle\": 25}", 1000), VERDICT_YES);
    assert_int_equal(judged(back, "{\"pool_percent\": 60, \"pool_idle\": 25}", 90000),
                     VERDICT_UNKNOWN);
    plan_free(first);
    plan_free(last);
    plan_free(back);
    json_free(s);
    json_free(o);
}

static void the_probe(void **state)
{
    struct err e;
    struct plan *p = plan_at("{\"add\": 10, \"max\": 90}", "{}", 1000, &e);

    (void)state;
    assert_int_equal(judged(p, "{\"pool_percent\": 60, \"pool_idle\": 25}", 1000), VERDICT_YES);
    assert_int_equal(judged(p, "{\"pool_percent\": 50, \"pool_idle\": 25}", 30999),
                     VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "{\"pool_percent\": 50, \"pool_idle\": 25}", 31000), VERDICT_NO);
    assert_int_equal(judged(p, "{\"pool_percent\": 55, \"pool_idle\": 25}", 90000),
                     VERDICT_UNKNOWN);
    /* All that was written, or it was not ours. */
    assert_int_equal(judged(p, "{\"pool_percent\": 60, \"pool_idle\": 5}", 90000), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "{\"pool_percent\": 50, \"pool_idle\": 5}", 90000), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "{\"pool_percent\": 60}", 90000), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "{\"missing\": \"x\"}", 90000), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "null", 90000), VERDICT_UNKNOWN);
    plan_free(p);
}

/* Narrowed twice, which took the idle share down with it: both go back, and only if both are ours.
 */
static void going_back(void **state)
{
    static const struct {
        const char *more;
        int code; /* 0: goes back */
        const char *says;
    } rows[] = {
        {"{\"pool_percent\": 30, \"pool_idle\": 30}", 0,
         "pool 30% -> 50% of 100 connections, idle 30% -> 40%"},
        {"{\"pool_percent\": 65, \"pool_idle\": 30}", ERR_DENIED,
         "MaxConnectionsPercent is 65, not the 30 that was set: changed by someone else"},
        {"{\"pool_percent\": 30, \"pool_idle\": 5}", ERR_DENIED,
         "MaxIdleConnectionsPercent is 5, not the 30 that was set: changed by someone else"},
        {"{\"pool_percent\": null}", ERR_INPUT, "the proxy's pool is not known"},
    };
    struct err e;
    struct plan *a = plan_at("{\"to\": 35, \"max\": 90}", "{\"pool_idle\": 40}", 0, &e),
                *b = plan_at("{\"to\": 30, \"max\": 90}",
                             "{\"pool_percent\": 35, \"pool_idle\": 35}", 0, &e);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *s = seen_with(rows[i].more);
        struct action_input in = {.target = &proxy};
        struct plan *p;

        e = (struct err)ERR_INIT;
        p = proxy_pool_action.undo(&in, a, b, s, &e);
        if (strstr(p != NULL ? p->summary : e.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].more, p != NULL ? p->summary : e.text);
        assert_int_equal(e.code, rows[i].code);
        if (p != NULL) {
            assert_int_equal(json_get_int(p->after, "pool_idle", 0), 40);
            assert_null(plan_broken(p));
        }
        plan_free(p);
        json_free(s);
    }
    plan_free(a);
    plan_free(b);
}

/* For any pool: never above a limit, never more than the database has room for, and back again. */
static void for_all(void **state)
{
    struct err e;
    int planned = 0;

    (void)state;
    srand(11);
    for (int i = 0; i < 5000; i++) {
        int percent = 1 + rand() % 100, max = 1 + rand() % 100, slots = 20 + rand() % 1000,
            used = rand() % slots, open = rand() % (used + 1), add = 1 + rand() % 99;
        char opts[100], more[300];
        struct plan *p;
        int64_t to;

        snprintf(opts, sizeof(opts), "{\"%s\": %d, \"max\": %d}", i % 2 ? "add" : "to", add, max);
        snprintf(more, sizeof(more),
                 "{\"pool_percent\": %d, \"pool_idle\": %d, \"max_connections\": %d, "
                 "\"connections_used\": %d, \"pool_open\": %d}",
                 percent, rand() % (percent + 1), slots, used, open);
        p = plan_at(opts, more, 0, &e);
        if (p == NULL) {
            assert_int_equal(e.code, ERR_DENIED);
            continue;
        }
        to = json_get_int(p->after, "pool_percent", -1);
        if (to > percent && plan_broken(p) == NULL) {
            int held = open < percent * slots / 100 ? open : percent * slots / 100;

            planned++;
            assert_true(to <= max);
            assert_true(used - held + to * slots / 100 <= slots - 3);
        }
        assert_true(json_get_int(p->after, "pool_idle", -1) <= to);
        plan_free(p);
    }
    assert_true(planned > 300);
}

static void options(void **state)
{
    struct err e = ERR_INIT;
    static const struct {
        const char *opts;
        bool good;
    } rows[] = {
        {"{\"add\": 10, \"max\": 90}", true},   {"{\"add\": 2.5, \"max\": 90}", false},
        {"{\"to\": 90, \"max\": 90}", true},    {"{\"to\": 91, \"max\": 90}", false},
        {"{\"to\": 50, \"max\": 90.5}", false}, {"{\"add\": 60, \"max\": 50}", true},
    };

    (void)state;
    assert_int_equal(option_table_check(proxy_pool_action.options, proxy_pool_action.noptions, &e),
                     0);
    assert_int_equal(
        option_table_check(proxy_pool_action.state_options, proxy_pool_action.nstate_options, &e),
        0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *o = parse(rows[i].opts);

        if ((proxy_pool_action.check(o, &e) == 0) != rows[i].good)
            fail_msg("%s: %s", rows[i].opts, e.text);
        json_free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(preconditions),
        cmocka_unit_test(the_probe),
        cmocka_unit_test(the_probe_of_an_idle_share),
        cmocka_unit_test(what_a_plan_holds),
        cmocka_unit_test(for_all),
        cmocka_unit_test(going_back),
        cmocka_unit_test(options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
