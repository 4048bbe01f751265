/* The models of targets in policies' tests: plan on what is seen, carry out, see again; the judge
 * must say that it was done, and nothing else may have changed. */
#include "help_actions.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

extern const struct action_type asg_scale_action, pg_terminate_action, pg_cancel_action,
    proxy_pool_action;

#define NOW 1790035200000

static struct json *see(const struct action_type *a, const struct action_input *in,
                        const struct json *state)
{
    struct err e = ERR_INIT;
    struct json *seen = a->state_seen != NULL ? a->state_seen(in, state, &e) : json_copy(state);

    if (seen == NULL)
        fail_msg("%s: %s", a->name, e.text);
    return seen;
}

/* One act on a state; its summary, and whether the judge sees it. The caller frees. */
static char *act(const struct action_type *a, const char *opts, struct json *state, int64_t at_ms)
{
    struct target t = {.kind = "x", .name = "x", .id = "x/x"};
    struct action_input in = {.target = &t, .opts = parse(opts), .wall_ms = NOW + at_ms};
    struct json *seen = see(a, &in, state), *written = json_copy(state);
    struct err e = ERR_INIT;
    struct plan *p = a->plan(&in, seen, &e);
    char *text;

    if (p == NULL) {
        fail_msg("%s: %s", a->name, e.text);
        return NULL;
    }
    for (size_t i = 0; i < json_len(p->calls); i++) {
        assert_true(a->judge(&in, p, i, seen) != VERDICT_YES);
        a->state_apply(&in, json_at(p->calls, i), state);
        json_free(seen);
        in.wall_ms += 60000;
        seen = see(a, &in, state);
        assert_int_equal(a->judge(&in, p, i, seen), VERDICT_YES);
    }
    /* What the test wrote stays, but for what was set. */
    assert_true(json_equal(json_get(state, "sessions"), json_get(written, "sessions")));
    assert_true(json_equal(json_get(state, "max"), json_get(written, "max")));
    text = mem_strdup(p->summary);
    plan_free(p);
    json_free(seen);
    json_free(written);
    json_free((struct json *)in.opts);
    return text;
}

static void says(const struct action_type *a, const char *opts, struct json *state, int64_t at_ms,
                 const char *expected)
{
    char *got = act(a, opts, state, at_ms);

    assert_string_equal(got, expected);
    mem_free(got);
}

static void a_group(void **state)
{
    struct json *group = parse("{\"desired\": 8, \"max\": 11}");

    (void)state;
    says(&asg_scale_action, "{\"by\": 2, \"max\": 20}", group, 0, "desired 8 -> 10");
    says(&asg_scale_action, "{\"by\": 2, \"max\": 20}", group, 0, "desired 10 -> 11");
    says(&asg_scale_action, "{\"to\": 11, \"max\": 20}", group, 0, "desired is 11 already");
    json_free(group);
}

static void a_proxy(void **state)
{
    struct json *pool = parse(
        "{\"pool_percent\": 50, \"pool_idle\": 25, \"pool_open\": 500, \"max_connections\": 1000, "
        "\"reserved_connections\": 3, \"connections_used\": 560, \"proxy_status\": \"available\"}");

    (void)state;
    says(&proxy_pool_action, "{\"add\": 10, \"max\": 65}", pool, 0,
         "pool 50% -> 60% of 1000 connections");
    says(&proxy_pool_action, "{\"add\": 10, \"max\": 65}", pool, 0,
         "pool 60% -> 65% of 1000 connections");
    says(&proxy_pool_action, "{\"to\": 65, \"max\": 65}", pool, 0, "the pool is at 65% already");
    json_free(pool);
}

#define MINUTE 60000

static void sessions(void **state)
{
    struct json *db = parse(
        "{\"sessions\": [\"3 idle 45m\", \"2 idle 0s\", \"1 idle 2h superuser\", "
        "\"2 active 5m user=batch\", \"1 idle in transaction 9m database=d application=a "
        "client=10.0.0.1\", \"1 idle in transaction (aborted) 1m\"], \"written\": {\"sessions\": "
        "1790035200000}}");

    (void)state;
    says(&pg_terminate_action, "{\"idle_over\": 1800000, \"max\": 2}", db, 0,
         "end 2 idle sessions (oldest idle 45m)");
    says(&pg_terminate_action, "{\"idle_over\": 1800000, \"max\": 2}", db, MINUTE,
         "end 1 idle session (oldest idle 46m)");
    says(&pg_terminate_action, "{\"idle_over\": 1800000, \"max\": 2}", db, 90 * MINUTE,
         "no session that may be touched is idle for more than 30m");
    says(&pg_cancel_action, "{\"running_over\": 300000, \"user\": \"batch\"}", db, 10 * MINUTE,
         "cancel 2 queries (oldest running 15m)");
    says(&pg_cancel_action, "{\"running_over\": 300000}", db, 20 * MINUTE,
         "no query that may be touched is running for more than 5m");
    /* Cancelled, and idle since. */
    says(&pg_terminate_action, "{\"idle_over\": 300000, \"user\": \"batch\"}", db, 20 * MINUTE,
         "end 2 idle sessions (oldest idle 10m)");
    says(&pg_terminate_action, "{\"idle_in_transaction_over\": 60000, \"client\": \"10.0.0.1\"}",
         db, 0, "end 1 idle in transaction session (oldest idle in transaction 9m)");
    json_free(db);
}

static void sessions_that_make_no_sense(void **state)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"idle 4m", "does not begin with a count"},
        {"0 idle 4m", "does not begin with a count"},
        {"5001 idle 4m", "does not begin with a count"},
        {"99999999999999999999 idle 4m", "does not begin with a count"},
        {"5", "does not begin with a count"},
        {"", "does not begin with a count"},
        {"5 sleeping 4m", "must be idle, active"},
        {"5 idle", "must be idle, active"},
        {"5 idle ", "has no age"},
        {"5 idle soon", "has no age"},
        {"5 idle in transaction", "has no age"},
        {"5 idle 4m root", "got \"root\""},
        {"5 idle 4m user=", "got \"user=\""},
        {"5 idle 4m superuser=yes", "got \"superuser=yes\""},
        {"5 idle 4m use=x", "got \"use=x\""},
    };
    struct action_input in = {.wall_ms = NOW};
    struct json *many = parse("{\"sessions\": [\"5000 idle 1m\", \"1 idle 1m\"]}");
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *s = json_new_map();

        json_add(json_set(s, "sessions", json_new_list()), json_new_str(rows[i].line));
        e = (struct err)ERR_INIT;
        assert_null(pg_terminate_action.state_seen(&in, s, &e));
        if (e.code != ERR_INPUT || strstr(e.text, rows[i].says) == NULL)
            fail_msg("\"%s\": %s", rows[i].line, e.text);
        json_free(s);
    }
    assert_null(pg_terminate_action.state_seen(&in, many, &e));
    json_free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group),
        cmocka_unit_test(a_proxy),
        cmocka_unit_test(sessions),
        cmocka_unit_test(sessions_that_make_no_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
