/* The thinking of pg_terminate and pg_cancel: who is chosen, who never is, and what the probe makes
 * of what is left. */
#include "help_actions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "harness/number.h"

extern const struct action_type pg_terminate_action, pg_cancel_action;

static struct target db = {.kind = "postgres", .name = "db", .id = "postgres/db"};

static struct plan *plan_with(const struct action_type *a, const char *opts,
                              const struct json *seen, const struct json *within, struct err *e)
{
    struct json *o = parse(opts);
    struct action_input in = {.target = &db, .opts = o, .within = within};
    struct plan *p;

    option_defaults(a->options, a->noptions, o);
    *e = (struct err)ERR_INIT;
    p = a->plan(&in, seen, e);
    assert_true((p == NULL) == (e->code != 0));
    json_free(o);
    return p;
}

#define IDLE(pid, more)                                                                            \
    "{\"pid\": " #pid ", \"state\": \"idle\", \"backend_start\": \"b\", \"state_change\": \"c\", " \
    "\"user\": \"app\", \"database\": \"d\"" more "}"
#define AGE(ms) ", \"state_age_ms\": " #ms

static void who_is_chosen(void **state)
{
    static const struct {
        const char *opts, *sessions, *names;
    } rows[] = {
        /* Oldest first, at most max, none that is just as old as the limit. */
        {"{\"idle_over\": 1000}", IDLE(1, AGE(1001)) "," IDLE(2, AGE(5000)) "," IDLE(3, AGE(1000)),
         "[\"2@b/c\",\"1@b/c\"]"},
        {"{\"idle_over\": 1000, \"max\": 1}", IDLE(1, AGE(1001)) "," IDLE(2, AGE(5000)),
         "[\"2@b/c\"]"},
        {"{\"idle_over\": 1000}", IDLE(7, AGE(2000)) "," IDLE(3, AGE(2000)),
         "[\"3@b/c\",\"7@b/c\"]"},
        /* Filters. */
        {"{\"idle_over\": 1, \"user\": \"app\"}", IDLE(1, AGE(9)), "[\"1@b/c\"]"},
        {"{\"idle_over\": 1, \"user\": \"ap\"}", IDLE(1, AGE(9)), "[]"},
        {"{\"idle_over\": 1, \"database\": \"e\"}", IDLE(1, AGE(9)), "[]"},
        {"{\"idle_over\": 1, \"application\": \"x\"}", IDLE(1, AGE(9)), "[]"},
        {"{\"idle_over\": 1, \"client\": \"10.0.0.1\"}",
         IDLE(1, AGE(9) ", \"client\": \"10.0.0.1\""), "[\"1@b/c\"]"},
        {"{\"idle_over\": 1, \"except_users\": [\"x\", \"app\"]}", IDLE(1, AGE(9)), "[]"},
        /* Never, whatever is asked. */
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"superuser\": true"), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"reserved\": true"), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"own\": true"), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"maintenance\": true"), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"backend_type\": \"walsender\""), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"backend_type\": \"autovacuum worker\""), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, AGE(9) ", \"backend_type\": null"), "[]"},
        {"{\"idle_over\": 1}",
         "{\"pid\": 1, \"state\": \"idle\", \"user\": \"rdsadmin\", \"state_age_ms\": 9}", "[]"},
        /* Another action's: the session counts, not what it does; but not one that is idle. */
        {"{\"of\": [\"1@b/q1\", \"2@b/q\", \"3@x/q\", \"5@b\", \"\", \"/\"]}",
         "{\"pid\": 1, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\"},"
         "{\"pid\": 2, \"state\": \"idle\", \"backend_start\": \"b\", \"state_change\": \"c\"},"
         "{\"pid\": 3, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\"},"
         "{\"pid\": 4, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\"},"
         "{\"pid\": 5, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\"}",
         "[\"1@b/c\"]"},
        {"{\"of\": [\"1@b/q\"]}",
         "{\"pid\": 1, \"state\": \"idle in transaction (aborted)\", \"backend_start\": \"b\", "
         "\"state_change\": \"c\"}",
         "[\"1@b/c\"]"},
        {"{\"of\": [\"1@b/q\"]}",
         "{\"pid\": 1, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\", "
         "\"superuser\": true}",
         "[]"},
        {"{\"of\": []}",
         "{\"pid\": 1, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\"}",
         "[]"},
        {"{\"of\": \"stop\"}", /* planned by hand, without a run */
         "{\"pid\": 1, \"state\": \"active\", \"backend_start\": \"b\", \"state_change\": \"c\"}",
         "[]"},
        /* Odd: no age, no pid, no state, not a map. */
        {"{\"idle_over\": 1}", IDLE(1, ""), "[]"},
        {"{\"idle_over\": 1}", IDLE(1, ", \"state_age_ms\": \"900\""), "[]"},
        {"{\"idle_over\": 1}", IDLE(0, AGE(9)) "," IDLE(-4, AGE(9)), "[]"},
        {"{\"idle_over\": 1}", "{\"pid\": 1, \"state_age_ms\": 9}", "[]"},
        {"{\"idle_over\": 1}", "7, null, \"x\", []", "[]"},
        /* States. */
        {"{\"idle_over\": 1}", "{\"pid\": 1, \"state\": \"active\", \"state_age_ms\": 9}", "[]"},
        {"{\"idle_over\": 1}",
         "{\"pid\": 1, \"state\": \"idle in transaction\", \"state_age_ms\": 9}", "[]"},
        {"{\"idle_in_transaction_over\": 1}",
         "{\"pid\": 1, \"state\": \"idle in transaction\", \"state_age_ms\": 9, \"state_change\": "
         "\"m\"}, "
         "{\"pid\": 2, \"state\": \"idle in transaction (aborted)\", \"state_age_ms\": 8}, "
         "{\"pid\": 3, \"state\": \"idle\", \"state_age_ms\": 9}",
         "[\"1@/m\",\"2@/\"]"},
        {"{\"running_over\": 1}",
         "{\"pid\": 1, \"state\": \"active\", \"query_age_ms\": 9, \"query_start\": \"q\", "
         "\"backend_start\": \"b\"}, "
         "{\"pid\": 2, \"state\": \"idle\", \"query_age_ms\": 9}",
         "[\"1@b/q\"]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *text = mem_printf("{\"now_ms\": 5, \"sessions\": [%s]}", rows[i].sessions), *names;
        struct json *seen = parse(text);
        struct err e;
        struct plan *p = plan_with(&pg_terminate_action, rows[i].opts, seen, NULL, &e);

        if (p == NULL)
            fail_msg("%s with %s: %s", rows[i].opts, rows[i].sessions, e.text);
        names = json_print(p->names);
        if (strcmp(names, rows[i].names) != 0)
            fail_msg("%s with %s: %s in place of %s", rows[i].opts, rows[i].sessions, names,
                     rows[i].names);
        assert_true(p->empty == (json_len(p->names) == 0));
        assert_int_equal(json_len(p->calls), p->empty ? 0 : 1);
        assert_true(
            p->empty ||
            json_equal(json_get(json_get(json_at(p->calls, 0), "args"), "names"), p->names));
        mem_free(names);
        mem_free(text);
        json_free(seen);
        plan_free(p);
    }
}

static void words(void **state)
{
    struct err e;
    struct json *seen =
        parse("{\"sessions\": [" IDLE(1, AGE(1860000)) "," IDLE(2, AGE(1859999)) "]}");
    struct json *none = parse("{}"), *barred;
    struct plan *p = plan_with(&pg_terminate_action, "{\"idle_over\": 1800000}", seen, NULL, &e);

    (void)state;
    assert_string_equal(p->summary, "end 2 idle sessions (oldest idle 31m)");
    assert_int_equal(p->flags, ACTION_DESTRUCTIVE);
    assert_null(plan_broken(p));
    assert_string_equal(json_get_str(json_at(p->calls, 0), "call", ""), "postgres:terminate");
    plan_free(p);
    p = plan_with(&pg_terminate_action, "{\"idle_over\": 1800000, \"max\": 1}", seen, NULL, &e);
    assert_string_equal(p->summary, "end 1 idle session (oldest idle 31m)");
    plan_free(p);
    p = plan_with(&pg_terminate_action, "{\"idle_over\": 1800000}", none, NULL, &e);
    assert_true(p->empty);
    assert_string_equal(p->summary, "no session that may be touched is idle for more than 30m");
    plan_free(p);
    json_free(seen);
    seen = parse("{\"sessions\": [{\"pid\": 5, \"state\": \"active\", \"query_age_ms\": 720000}]}");
    p = plan_with(&pg_cancel_action, "{\"running_over\": 60000}", seen, NULL, &e);
    assert_string_equal(p->summary, "cancel 1 query (oldest running 12m)");
    assert_string_equal(json_get_str(json_at(p->calls, 0), "call", ""), "postgres:cancel");
    plan_free(p);
    /* Of another action's sessions it takes those that run a query, named by that query; ending
     * takes all that are busy. */
    barred = parse("{\"sessions\": ["
                   "{\"pid\": 1, \"backend_start\": \"b\", \"state\": \"active\", "
                   "\"query_start\": \"q\", \"state_change\": \"c\", \"query_age_ms\": 720000},"
                   "{\"pid\": 2, \"backend_start\": \"b\", \"state\": \"idle in transaction\", "
                   "\"query_start\": \"q\", \"state_change\": \"c\", \"query_age_ms\": 720000},"
                   "{\"pid\": 3, \"backend_start\": \"b\", \"state\": \"idle\"},"
                   "{\"pid\": 4, \"backend_start\": \"b\", \"state\": \"active\"}]}");
    for (int end = 0; end < 2; end++) {
        char *names, *args;

        p = plan_with(end ? &pg_terminate_action : &pg_cancel_action,
                      "{\"of\": [\"1@b/x\", \"2@b/x\", \"3@b/x\"]}", barred, NULL, &e);
        names = json_print(p->names);
        assert_string_equal(names, end ? "[\"1@b/c\",\"2@b/c\"]" : "[\"1@b/q\"]");
        assert_string_equal(p->summary, end ? "end 2 sessions named before and still busy (oldest "
                                              "unchanged for 0s)"
                                            : "cancel 1 query (oldest running 12m)");
        /* A query that is over meanwhile is not cancelled: the statement looks, too. */
        assert_true((strstr(json_get_str(json_at(p->calls, 0), "sql", ""),
                            end ? "AND s.state <> 'idle' AND s.pid ||"
                                : "AND s.state = 'active' AND s.pid ||") != NULL));
        /* What is sent of those named before: without the mark, which may have moved. */
        args = json_print(json_get(json_at(p->calls, 0), "args"));
        assert_string_equal(args, end ? "{\"of\":[\"1@b\",\"2@b\",\"3@b\"],\"names\":[\"1@b/c\","
                                        "\"2@b/c\"]}"
                                      : "{\"of\":[\"1@b\",\"2@b\",\"3@b\"],\"names\":[\"1@b/q\"]}");
        mem_free(args);
        mem_free(names);
        plan_free(p);
    }
    p = plan_with(&pg_cancel_action, "{\"of\": [\"3@b/x\"]}", barred, NULL, &e);
    assert_true(p->empty);
    plan_free(p);
    json_free(barred);
    /* A right that is missing is not "nothing to do". */
    barred = parse("{\"sessions\": [" IDLE(1, AGE(9) ", \"permitted\": false") "]}");
    assert_null(plan_with(&pg_terminate_action, "{\"idle_over\": 1}", barred, NULL, &e));
    assert_int_equal(e.code, ERR_DENIED);
    json_free(barred);
    barred = parse("{\"sessions\": 7}");
    assert_null(plan_with(&pg_terminate_action, "{\"idle_over\": 1}", barred, NULL, &e));
    assert_int_equal(e.code, ERR_INPUT);
    json_free(barred);
    barred = parse("[]");
    assert_null(plan_with(&pg_terminate_action, "{\"idle_over\": 1}", barred, NULL, &e));
    json_free(barred);
    json_free(seen);
    json_free(none);
}

static void made_again_within_the_names(void **state)
{
    struct err e;
    struct json *seen = parse("{\"now_ms\": 1, \"sessions\": [" IDLE(1, AGE(50)) "," IDLE(
        2, AGE(40)) "," IDLE(3, AGE(30)) "]}");
    struct json *later = parse("{\"now_ms\": 9, \"sessions\": [" IDLE(1, AGE(60)) "," IDLE(
        3, AGE(40)) "," IDLE(4, AGE(90)) "]}");
    struct plan *p = plan_with(&pg_terminate_action, "{\"idle_over\": 10}", seen, NULL, &e);
    struct plan *q = plan_with(&pg_terminate_action, "{\"idle_over\": 10}", later, p->names, &e);
    char *names = json_print(q->names), *a, *b;

    (void)state;
    assert_string_equal(names, "[\"1@b/c\",\"3@b/c\"]"); /* 2 is gone, 4 was not named */
    assert_true(plan_same_or_less(p, q));
    assert_false(plan_same_or_less(q, p));
    plan_free(q);
    mem_free(names);
    /* The same sessions, older by now: the same plan. */
    json_free(later);
    later = parse("{\"now_ms\": 9, \"sessions\": [" IDLE(1, AGE(950)) "," IDLE(
        2, AGE(940)) "," IDLE(3, AGE(930)) "]}");
    q = plan_with(&pg_terminate_action, "{\"idle_over\": 10}", later, p->names, &e);
    a = plan_hash(p, "pg_terminate", "postgres/db");
    b = plan_hash(q, "pg_terminate", "postgres/db");
    assert_string_equal(a, b);
    mem_free(a);
    mem_free(b);
    plan_free(p);
    plan_free(q);
    json_free(seen);
    json_free(later);
}

static void the_probe(void **state)
{
    struct err e;
    struct json *seen =
        parse("{\"now_ms\": 1000, \"sessions\": [" IDLE(1, AGE(50)) "," IDLE(2, AGE(40)) "]}");
    struct plan *p = plan_with(&pg_terminate_action, "{\"idle_over\": 10}", seen, NULL, &e);
    struct action_input in = {.target = &db};
    static const struct {
        const char *seen;
        enum verdict v;
    } rows[] = {
        {"{\"now_ms\": 1100, \"sessions\": []}", VERDICT_YES},
        {"{\"now_ms\": 1100, \"sessions\": [" IDLE(2, "") "]}",
         VERDICT_UNKNOWN}, /* on its way out */
        {"{\"now_ms\": 11000, \"sessions\": [" IDLE(2, "") "]}", VERDICT_YES},
        {"{\"now_ms\": 1100, \"sessions\": [" IDLE(1, "") "," IDLE(2, "") "]}", VERDICT_UNKNOWN},
        {"{\"now_ms\": 11000, \"sessions\": [" IDLE(1, "") "," IDLE(2, "") "]}", VERDICT_NO},
        /* It did something since: it is there all the same. */
        {"{\"now_ms\": 11000, \"sessions\": [{\"pid\": 1, \"backend_start\": \"b\", "
         "\"state_change\": "
         "\"z\"}," IDLE(2, "") "]}",
         VERDICT_NO},
        /* The pid is another session's now. */
        {"{\"now_ms\": 1100, \"sessions\": [{\"pid\": 1, \"backend_start\": \"bb\", "
         "\"state_change\": "
         "\"c\"}]}",
         VERDICT_YES},
        {"{\"now_ms\": 11000}", VERDICT_UNKNOWN},
        {"{\"sessions\": 3}", VERDICT_UNKNOWN},
        {"null", VERDICT_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *now = parse(rows[i].seen);

        if (pg_terminate_action.judge(&in, p, 0, now) != rows[i].v)
            fail_msg("%s", rows[i].seen);
        json_free(now);
    }
    assert_int_equal(pg_terminate_action.judge(&in, p, 1, seen),
                     VERDICT_UNKNOWN); /* no such call */
    plan_free(p);
    json_free(seen);
    /* A cancelled query's session stays. */
    seen = parse(
        "{\"now_ms\": 1000, \"sessions\": [{\"pid\": 1, \"backend_start\": \"b\", \"query_start\": "
        "\"q\", \"state\": \"active\", \"query_age_ms\": 90}]}");
    p = plan_with(&pg_cancel_action, "{\"running_over\": 10}", seen, NULL, &e);
    assert_int_equal(pg_cancel_action.judge(&in, p, 0, seen), VERDICT_UNKNOWN);
    json_set_int(seen, "now_ms", 99000);
    assert_int_equal(pg_cancel_action.judge(&in, p, 0, seen), VERDICT_NO);
    json_free(seen);
    seen = parse(
        "{\"now_ms\": 1001, \"sessions\": [{\"pid\": 1, \"backend_start\": \"b\", \"query_start\": "
        "\"q\", \"state\": \"idle\"}]}");
    assert_int_equal(pg_cancel_action.judge(&in, p, 0, seen), VERDICT_YES);
    json_free(seen);
    plan_free(p);
}

/* Whatever a server shows: named are only those that may be, at most max of them. */
static void for_all(void **state)
{
    static const char *const states[] = {"idle", "active", "idle in transaction", "disabled"};
    static const char *const types[] = {"client backend", "client backend", "walsender",
                                        "autovacuum worker"};
    static const char *const users[] = {"app", "batch", "rdsadmin"};

    (void)state;
    srand(11);
    for (int i = 0; i < 1000; i++) {
        struct json *seen = json_new_map(), *list = json_set(seen, "sessions", json_new_list());
        int n = rand() % 20, max = 1 + rand() % 8;
        char opts[100];
        struct err e;
        struct plan *p;

        for (int k = 0; k < n; k++) {
            struct json *s = json_add(list, json_new_map());

            json_set_int(s, "pid", 100 + k);
            json_set_str(s, "state", states[rand() % 4]);
            json_set_str(s, "backend_type", types[rand() % 4]);
            json_set_str(s, "user", users[rand() % 3]);
            json_set_bool(s, "superuser", rand() % 5 == 0);
            json_set_bool(s, "reserved", rand() % 5 == 0);
            json_set_bool(s, "own", rand() % 5 == 0);
            json_set_bool(s, "maintenance", rand() % 5 == 0);
            json_set_int(s, "state_age_ms", rand() % 200);
        }
        snprintf(opts, sizeof(opts), "{\"idle_over\": 100, \"max\": %d}", max);
        p = plan_with(&pg_terminate_action, opts, seen, NULL, &e);
        assert_true(json_len(p->names) <= (size_t)max);
        for (const struct json *name = json_first(p->names); name != NULL; name = json_next(name)) {
            const struct json *s = json_at(list, (size_t)number_in(json_str(name, "")) - 100);

            assert_string_equal(json_get_str(s, "state", ""), "idle");
            assert_string_equal(json_get_str(s, "backend_type", ""), "client backend");
            assert_string_not_equal(json_get_str(s, "user", ""), "rdsadmin");
            assert_false(json_get_bool(s, "superuser", true) ||
                         json_get_bool(s, "reserved", true) || json_get_bool(s, "own", true) ||
                         json_get_bool(s, "maintenance", true));
            assert_true(json_get_int(s, "state_age_ms", 0) > 100);
        }
        plan_free(p);
        json_free(seen);
    }
}

static void descriptors(void **state)
{
    static const struct action_type *const both[] = {&pg_terminate_action, &pg_cancel_action};
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        if (option_table_check(both[i]->options, both[i]->noptions, &e) != 0)
            fail_msg("%s", e.text);
        assert_null(both[i]->undo);
        assert_true(both[i]->can_probe && both[i]->flags == ACTION_DESTRUCTIVE);
    }
    assert_null(option_find(pg_cancel_action.options, pg_cancel_action.noptions, "idle_over"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_chosen),
        cmocka_unit_test(words),
        cmocka_unit_test(made_again_within_the_names),
        cmocka_unit_test(the_probe),
        cmocka_unit_test(for_all),
        cmocka_unit_test(descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
