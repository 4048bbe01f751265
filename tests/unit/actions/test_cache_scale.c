/* cache_scale's thinking: the ladder, what AWS takes, what must hold, and how an interrupted
 * request is settled. */
#include "help_actions.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

extern const struct action_type cache_scale_action;

#define LADDER "{\"ladder\": [\"cache.a\", \"cache.b\", \"cache.c\"], \"step\": 1}"
#define AT(type)                                                                                   \
    "{\"node_type\": \"" type "\", \"status\": \"available\", \"pending\": [], \"up\": "           \
    "[\"cache.b\", \"cache.c\", \"cache.z\"], \"down\": [\"cache.a\", \"cache.b\"]}"
#define NOW 1790035200000

static struct target *cache(void)
{
    static struct target t = {.kind = "cache", .name = "portal", .id = "cache/portal"};

    if (t.fields == NULL)
        t.fields = parse("{\"replication_group\": \"portal-rg\", \"aws\": \"prod\"}");
    return &t;
}

static struct plan *plan_at(const char *opts, const char *seen, int64_t wall_ms, struct err *e)
{
    struct json *o = parse(opts), *s = parse(seen);
    struct action_input in = {.target = cache(), .opts = o, .wall_ms = wall_ms};
    struct plan *p;

    *e = (struct err)ERR_INIT;
    p = cache_scale_action.plan(&in, s, e);
    assert_true((p == NULL) == (e->code != 0));
    json_free(o);
    json_free(s);
    return p;
}

/* What a plan says: its summary, what is broken in it, or why there is none. */
static char *said(struct plan *p, const struct err *e)
{
    char *text;

    if (p == NULL)
        return mem_printf("%s: %s", err_name(e->code), e->text);
    text =
        plan_broken(p) != NULL ? mem_printf("broken: %s", plan_broken(p)) : mem_strdup(p->summary);
    plan_free(p);
    return text;
}

static void plans(void **state)
{
    static const struct {
        const char *opts, *seen, *says;
    } rows[] = {
        {LADDER, AT("cache.a"), "node type cache.a -> cache.b"},
        {LADDER, AT("cache.b"), "node type cache.b -> cache.c"},
        {"{\"ladder\": [\"cache.a\", \"cache.b\", \"cache.c\"], \"step\": 2}", AT("cache.a"),
         "node type cache.a -> cache.c"},
        {"{\"ladder\": [\"cache.a\", \"cache.b\", \"cache.c\"], \"step\": 9}", AT("cache.b"),
         "node type cache.b -> cache.c"},
        {LADDER, AT("cache.c"), "denied: at cache.c, the top of the ladder: no step up"},
        {LADDER, AT("cache.x"),
         "denied: node type cache.x is not on the ladder: cache.a, cache.b, cache.c"},
        {"{\"ladder\": [\"cache.a\", \"cache.q\"], \"step\": 1}", AT("cache.a"),
         "denied: AWS does not take portal-rg from cache.a to cache.q "
         "(ListAllowedNodeTypeModifications: cache.b, cache.c, cache.z)"},
        {LADDER, "{\"node_type\": \"cache.a\", \"status\": \"available\"}",
         "denied: AWS does not take portal-rg from cache.a to cache.b "
         "(ListAllowedNodeTypeModifications: nothing)"},
        {LADDER, "{\"node_type\": \"cache.a\", \"status\": \"modifying\", \"up\": [\"cache.b\"]}",
         "broken: the group is available (observed modifying)"},
        {LADDER, "{\"node_type\": \"cache.a\", \"up\": [\"cache.b\"]}",
         "broken: the group is available (observed ?)"},
        {LADDER,
         "{\"node_type\": \"cache.a\", \"status\": \"available\", \"up\": [\"cache.b\"], "
         "\"pending\": [\"portal-rg-001: EngineVersion 7.1\"]}",
         "broken: no modification is pending (observed portal-rg-001: EngineVersion 7.1)"},
        {LADDER, "{}", "input: the group's node type is not known"},
        {LADDER, "{\"node_type\": 5}", "input: the group's node type is not known"},
        {LADDER, "[]", "input: the group's node type is not known"},
        {LADDER, "null", "input: the group's node type is not known"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e;
        char *got = said(plan_at(rows[i].opts, rows[i].seen, 0, &e), &e);

        if (strcmp(got, rows[i].says) != 0)
            fail_msg("%s with %s: \"%s\" in place of \"%s\"", rows[i].opts, rows[i].seen, got,
                     rows[i].says);
        mem_free(got);
    }
}

static void what_a_plan_holds(void **state)
{
    struct err e;
    struct plan *p = plan_at(LADDER, AT("cache.a"), NOW, &e),
                *q = plan_at(LADDER, AT("cache.a"), NOW + 9000, &e);
    char *calls = json_print(p->calls);

    (void)state;
    assert_string_equal(calls, "[{\"call\":\"elasticache:ModifyReplicationGroup\",\"args\":{"
                               "\"ReplicationGroupId\":\"portal-rg\",\"CacheNodeType\":\"cache.b\","
                               "\"ApplyImmediately\":true}}]");
    assert_int_equal(p->flags, ACTION_REVERSIBLE | ACTION_DISRUPTIVE | ACTION_COSTS_MONEY);
    assert_string_equal(json_get_str(p->out, "before", ""), "cache.a");
    assert_string_equal(json_get_str(p->out, "after", ""), "cache.b");
    assert_true(plan_same_or_less(p, q)); /* the time of it is not what an approval is about */
    plan_free(q);
    q = plan_at(LADDER, AT("cache.b"), NOW, &e); /* somebody stepped up meanwhile */
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    q = plan_at("{\"ladder\": [\"cache.b\", \"cache.c\"], \"step\": 1}", AT("cache.b"), NOW, &e);
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    plan_free(p);
    mem_free(calls);
}

static void judges(void **state)
{
    static const struct {
        const char *seen;
        int64_t after_ms;
        enum verdict verdict;
    } rows[] = {
        {AT("cache.b"), 0, VERDICT_YES},
        {AT("cache.b"), 3600000, VERDICT_YES},
        /* accepted, and on its way */
        {"{\"node_type\": \"cache.a\", \"status\": \"modifying\", \"pending_type\": \"cache.b\", "
         "\"pending\": [\"x: CacheNodeType cache.b\"]}",
         1000, VERDICT_YES},
        {"{\"node_type\": \"cache.a\", \"status\": \"modifying\", \"pending\": []}", 60000,
         VERDICT_UNKNOWN},                      /* somebody's modification, perhaps ours */
        {AT("cache.a"), 1000, VERDICT_UNKNOWN}, /* the request may be on its way */
        {AT("cache.a"), 29999, VERDICT_UNKNOWN},
        {AT("cache.a"), 30000, VERDICT_NO},
        {"{\"node_type\": \"cache.a\", \"status\": \"available\", \"pending\": [\"x: CacheNodeType "
         "cache.c\"], \"pending_type\": \"cache.c\"}",
         60000, VERDICT_UNKNOWN},
        {AT("cache.c"), 60000, VERDICT_UNKNOWN}, /* a third hand */
        {"{\"node_type\": \"cache.a\"}", 60000, VERDICT_UNKNOWN},
        {"{}", 60000, VERDICT_UNKNOWN},
        {"null", 60000, VERDICT_UNKNOWN},
    };
    struct err e;
    struct plan *p = plan_at(LADDER, AT("cache.a"), NOW, &e);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *opts = parse(LADDER), *seen = parse(rows[i].seen);
        struct action_input in = {
            .target = cache(), .opts = opts, .wall_ms = NOW + rows[i].after_ms};

        if (cache_scale_action.judge(&in, p, 0, seen) != rows[i].verdict)
            fail_msg("row %zu: %s after %lld ms", i, rows[i].seen, (long long)rows[i].after_ms);
        json_free(opts);
        json_free(seen);
    }
    plan_free(p);
}

static void undoes(void **state)
{
    static const struct {
        const char *seen, *says;
    } rows[] = {
        {AT("cache.c"), "node type cache.c -> cache.a"},
        {AT("cache.b"),
         "denied: node type is cache.b, not the cache.c that was set: changed by someone else"},
        {"{\"node_type\": \"cache.c\", \"status\": \"available\", \"down\": [\"cache.b\"]}",
         "denied: AWS does not take portal-rg from cache.c to cache.a "
         "(ListAllowedNodeTypeModifications: cache.b)"},
        {"{\"node_type\": \"cache.c\", \"status\": \"snapshotting\", \"down\": [\"cache.a\"]}",
         "broken: the group is available (observed snapshotting)"},
        {"{}", "input: the group's node type is not known"},
    };
    struct err e;
    struct plan *first = plan_at(LADDER, AT("cache.a"), NOW, &e),
                *last = plan_at(LADDER, AT("cache.b"), NOW, &e);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *opts = parse(LADDER), *seen = parse(rows[i].seen);
        struct action_input in = {.target = cache(), .opts = opts, .wall_ms = NOW};
        char *got;

        e = (struct err)ERR_INIT;
        struct plan *p = cache_scale_action.undo(&in, first, last, seen, &e);
        if (p != NULL)
            assert_int_equal(p->flags, ACTION_REVERSIBLE | ACTION_DISRUPTIVE);
        got = said(p, &e);
        assert_string_equal(got, rows[i].says);
        mem_free(got);
        json_free(opts);
        json_free(seen);
    }
    plan_free(first);
    plan_free(last);
}

static void checks(void **state)
{
    static const struct {
        const char *opts, *says;
    } rows[] = {
        {LADDER, ""},
        {"{\"ladder\": [\"cache.a\"]}", "a ladder needs two node types or more"},
        {"{\"ladder\": [\"cache.a\", \"db.r6g.large\"]}", "\"db.r6g.large\" on the ladder is no"},
        {"{\"ladder\": [\"cache.a\", \"cache.b\", \"cache.a\"]}", "cache.a is on the ladder twice"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *opts = parse(rows[i].opts);
        struct err e = ERR_INIT;

        assert_int_equal(cache_scale_action.check(opts, &e) != 0, *rows[i].says != '\0');
        if (strstr(e.text, rows[i].says) == NULL)
            fail_msg("\"%s\" in place of \"%s\"", e.text, rows[i].says);
        json_free(opts);
    }
}

/* In a policy's test AWS takes what is on the ladder, unless the test says otherwise. */
static void models(void **state)
{
    struct json *opts = parse(LADDER), *group = parse("{\"node_type\": \"cache.b\"}"), *seen;
    struct action_input in = {.target = cache(), .opts = opts, .wall_ms = NOW};
    struct err e = ERR_INIT;
    struct plan *p;

    (void)state;
    option_defaults(cache_scale_action.state_options, cache_scale_action.nstate_options, group);
    seen = cache_scale_action.state_seen(&in, group, &e);
    p = cache_scale_action.plan(&in, seen, &e);
    assert_non_null(p);
    assert_null(plan_broken(p));
    assert_string_equal(p->summary, "node type cache.b -> cache.c");
    cache_scale_action.state_apply(&in, json_at(p->calls, 0), group);
    assert_string_equal(json_get_str(group, "node_type", ""), "cache.c");
    json_free(seen);
    seen = cache_scale_action.state_seen(&in, group, &e);
    assert_int_equal(cache_scale_action.judge(&in, p, 0, seen), VERDICT_YES);
    struct plan *back = cache_scale_action.undo(&in, p, p, seen, &e);
    assert_non_null(back);
    cache_scale_action.state_apply(&in, json_at(back->calls, 0), group);
    assert_string_equal(json_get_str(group, "node_type", ""), "cache.b");
    plan_free(back);
    plan_free(p);
    json_free(seen);
    json_set(group, "up", json_new_list());
    seen = cache_scale_action.state_seen(&in, group, &e);
    assert_null(cache_scale_action.plan(&in, seen, &e));
    assert_int_equal(e.code, ERR_DENIED);
    json_free(seen);
    json_free(group);
    json_free(opts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),  cmocka_unit_test(what_a_plan_holds),
        cmocka_unit_test(judges), cmocka_unit_test(undoes),
        cmocka_unit_test(checks), cmocka_unit_test(models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
