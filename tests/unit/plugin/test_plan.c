/* Plans: stored and read back, hashed for approvals, compared when made again (M24). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "plugin/action.h"

/* Sessions to end: each named, each a call of its own. */
static struct plan *sessions(const char *pids, const char *connections_seen)
{
    struct plan *p = plan_new();
    char pid[2] = "";

    p->flags = ACTION_DESTRUCTIVE;
    p->summary = mem_strdup("end sessions");
    p->expect = mem_strdup("fewer connections");
    for (; *pids != '\0'; pids++) {
        struct json *args = json_new_map();

        pid[0] = *pids;
        json_set_str(args, "pid", pid);
        plan_call(p, "postgres:pg_terminate_backend", args);
        json_add(p->names, json_new_str(pid));
    }
    plan_require(p, true, connections_seen, "connections > %d", 800);
    json_set_int(p->before, "connections", 850);
    return p;
}

static void stored_and_read_back(void **state)
{
    struct plan *p = sessions("ab", "850"), *q, *c = plan_copy(p);
    struct json *j = plan_to_json(p), *k;
    struct err e = ERR_INIT;

    (void)state;
    json_add(p->controllers, json_new_str("target-tracking"));
    q = plan_from_json(j, &e);
    assert_non_null(q);
    k = plan_to_json(q);
    assert_true(json_equal(j, k));
    assert_string_equal(q->summary, "end sessions");
    json_free(k);
    k = plan_to_json(c);
    assert_true(json_equal(j, k));
    json_free(k);
    plan_free(c);
    plan_free(q);
    static const char *const parts[] = {"flags", "empty",         "calls",       "before", "after",
                                        "names", "preconditions", "controllers", "out"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        k = json_copy(j);
        json_remove(k, parts[i]);
        assert_null(plan_from_json(k, &e));
        json_free(k);
        k = json_copy(j);
        json_set_str(k, parts[i], "x");
        assert_null(plan_from_json(k, &e));
        json_free(k);
    }
    json_add(json_set(j, "calls", json_new_list()), json_new_map());
    assert_null(plan_from_json(j, &e));
    assert_null(plan_from_json(NULL, &e));
    json_free(j);
    plan_free(p);
}

static void the_broken_precondition(void **state)
{
    struct plan *p = plan_new();

    (void)state;
    assert_null(plan_broken(p));
    plan_require(p, true, "20", "max >= %d", 10);
    plan_require(p, false, "9", "desired = %d", 8);
    assert_string_equal(plan_broken(p), "desired = 8 (observed 9)");
    plan_free(p);
}

static char *hash_of(struct plan *p, const char *target)
{
    char *h = plan_hash(p, "pg_terminate", target);

    assert_int_equal(strlen(h), SHA256_HEX - 1);
    plan_free(p);
    return h;
}

static void m24_hash_covers_calls_and_predicates_not_readings(void **state)
{
    char *h = hash_of(sessions("ab", "850"), "postgres/db"), *o;
    struct plan *p;

    (void)state;
    o = hash_of(sessions("ab", "861"), "postgres/db");
    assert_string_equal(h, o);
    mem_free(o);
    o = hash_of(sessions("abc", "850"), "postgres/db");
    assert_string_not_equal(h, o);
    mem_free(o);
    o = hash_of(sessions("ab", "850"), "postgres/other");
    assert_string_not_equal(h, o);
    mem_free(o);
    p = sessions("ab", "850");
    plan_require(p, true, "x", "one more");
    o = hash_of(p, "postgres/db");
    assert_string_not_equal(h, o);
    mem_free(o);
    mem_free(h);
}

static bool goes_on(struct plan *then, struct plan *now)
{
    bool ok = plan_same_or_less(then, now);

    plan_free(then);
    plan_free(now);
    return ok;
}

static struct plan *desired(int from, int to)
{
    struct plan *p = plan_new();
    struct json *args = json_new_map();

    p->flags = ACTION_REVERSIBLE;
    json_set_int(args, "DesiredCapacity", to);
    plan_call(p, "autoscaling:SetDesiredCapacity", args);
    plan_require(p, true, "", "desired = %d", from);
    return p;
}

static void m24_identical_or_a_strict_subset(void **state)
{
    struct plan *p;

    (void)state;
    assert_true(goes_on(sessions("abc", "850"), sessions("abc", "870")));
    assert_true(goes_on(sessions("abc", "850"), sessions("c", "870")));
    assert_false(goes_on(sessions("abc", "850"), sessions("cd", "850")));
    assert_false(goes_on(sessions("abc", "850"), sessions("abcd", "850")));
    assert_false(goes_on(sessions("abc", "850"), sessions("acb", "850")));
    assert_true(goes_on(desired(8, 10), desired(8, 10)));
    assert_false(goes_on(desired(8, 10), desired(8, 11)));
    assert_false(goes_on(desired(8, 10), desired(9, 10)));
    p = desired(8, 10);
    p->flags |= ACTION_DESTRUCTIVE;
    assert_false(goes_on(desired(8, 10), p));
    p = sessions("", "850");
    p->empty = true;
    assert_true(goes_on(sessions("abc", "850"), p)); /* nothing left to do */
    p = sessions("", "850");
    p->empty = true;
    assert_false(goes_on(p, sessions("a", "850")));
    assert_false(goes_on(sessions("ab", "850"),
                         sessions("", "850"))); /* not empty, yet without a call: makes no sense */
    p = sessions("a", "850");
    plan_call(p, "postgres:pg_cancel_backend", NULL);
    assert_false(goes_on(sessions("ab", "850"), p));
    p = sessions("a", "850");
    plan_require(p, true, "x", "another predicate");
    assert_false(goes_on(sessions("ab", "850"), p));
}

static const char *near(const char *word)
{
    static const char *const names[] = {"asg_cpu",        "asg_in_service", "alb_p99",
                                        "pg_connections", "pg_conn_used",   "all"};

    return closest(word, names, sizeof(names) / sizeof(names[0]));
}

static void did_you_mean(void **state)
{
    (void)state;
    assert_string_equal(near("asg_cup"), "asg_cpu");
    assert_string_equal(near("ASG_CPU"), "asg_cpu");
    assert_string_equal(near("pg_conections"), "pg_connections");
    assert_string_equal(near("pg_conn"), "pg_conn_used");
    assert_string_equal(near("al"), "all");
    assert_string_equal(near("asg_in_servcie"), "asg_in_service");
    assert_null(near("redis"));
    assert_null(near("x"));
    assert_null(near(""));
    assert_null(near(NULL));
    assert_null(closest("word", NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_and_read_back),
        cmocka_unit_test(the_broken_precondition),
        cmocka_unit_test(m24_hash_covers_calls_and_predicates_not_readings),
        cmocka_unit_test(m24_identical_or_a_strict_subset),
        cmocka_unit_test(did_you_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
