/* snapshot's thinking: names, what stands in the way, both services, the probe. */
#include "help_actions.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

extern const struct action_type snapshot_action;

static struct target target_of(const char *kind, const char *fields)
{
    return (struct target){.kind = kind, .name = "x", .id = "x/x", .fields = parse(fields)};
}

static struct plan *plan_again(const struct plan *again, const struct target *t, const char *name,
                               const char *seen, int64_t wall_ms, struct err *e)
{
    struct json *o = json_new_map(), *s = parse(seen);
    struct action_input in = {.target = t, .opts = o, .wall_ms = wall_ms, .again = again};
    struct plan *p;

    json_set_str(o, "name", name);
    json_set_int(o, "keep", 604800000);
    *e = (struct err)ERR_INIT;
    p = snapshot_action.plan(&in, s, e);
    assert_true((p == NULL) == (e->code != 0));
    json_free(o);
    json_free(s);
    return p;
}

static struct plan *plan_it(const struct target *t, const char *name, const char *seen,
                            int64_t wall_ms, struct err *e)
{
    return plan_again(NULL, t, name, seen, wall_ms, e);
}

static void plans(void **state)
{
    static const struct {
        const char *kind, *fields, *name, *seen, *says;
    } rows[] = {
        {"postgres", "{\"instance\": \"db-1\"}", "run-7", "{\"status\": \"available\"}",
         "snapshot run-7 of db-1, to be kept for 7d"},
        {"cache", "{\"replication_group\": \"c\"}", "run-7", "{\"status\": \"available\"}",
         "snapshot run-7 of c, to be kept for 7d"},
        {"postgres", "{\"instance\": \"db-1\"}", "run-7",
         "{\"snapshot\": {\"source\": \"DB-1\", \"status\": \"creating\"}}",
         "empty: snapshot run-7 is there already (creating)"},
        {"postgres", "{\"instance\": \"db-1\"}", "run-7",
         "{\"snapshot\": {\"source\": \"db-2\", \"status\": \"available\"}}",
         "denied: there is a snapshot run-7 of db-2: take another name"},
        {"postgres", "{\"instance\": \"db-1\"}", "run-7",
         "{\"snapshot\": {\"source\": \"db-1\", \"status\": \"failed\"}}",
         "denied: there is a snapshot run-7 that is failed: take another name"},
        {"postgres", "{\"instance\": \"db-1\"}", "run-7", "{}",
         "denied: there is no RDS instance db-1: correct the estate"},
        {"cache", "{\"replication_group\": \"c\"}", "run-7", "null",
         "denied: there is no replication group c: correct the estate"},
        {"postgres", "{}", "run-7", "{}",
         "denied: x/x is no RDS instance that is known by name: give it instance = \"NAME\""},
        {"cache", "{}", "run-7", "{}",
         "denied: x/x is no replication group that is known by name: give it replication_group = "
         "\"NAME\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct target t = target_of(rows[i].kind, rows[i].fields);
        struct err e;
        struct plan *p = plan_it(&t, rows[i].name, rows[i].seen, 0, &e);

        assert_says(p, &e, rows[i].says, rows[i].seen);
        json_free(t.fields);
    }
}

static void names(void **state)
{
    static const struct {
        const char *name;
        bool good;
    } rows[] = {
        {"a", true},          {"runbookd-R20261124T120000Z-0abc12", true},
        {"A-1-b", true},      {"", false},
        {"1a", false},        {"-a", false},
        {"a-", false},        {"a--b", false},
        {"a_b", false},       {"a b", false},
        {"a\xc3\xa9", false}, {"a/b", false},
    };
    struct target t = target_of("postgres", "{\"instance\": \"db-1\"}");
    char text[300];
    struct err e;
    struct plan *p;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        p = plan_it(&t, rows[i].name, "{\"status\": \"available\"}", 0, &e);
        if ((p != NULL) != rows[i].good)
            fail_msg("\"%s\": %s", rows[i].name, e.text);
        plan_free(p);
    }
    memset(text, 'a', 256);
    text[256] = '\0';
    assert_null(plan_it(&t, text, "{\"status\": \"available\"}", 0, &e));
    text[255] = '\0';
    plan_free(plan_it(&t, text, "{\"status\": \"available\"}", 0, &e));
    assert_int_equal(e.code, 0);
    json_free(t.fields);
}

static void what_a_plan_holds(void **state)
{
    struct target db = target_of("postgres", "{\"instance\": \"db-1\"}"),
                  cache = target_of("cache", "{\"replication_group\": \"c\"}");
    struct err e;
    struct plan *p = plan_it(&db, "s", "{\"status\": \"available\", \"pauses\": true}", 5, &e),
                *q = plan_again(p, &db, "s", "{\"status\": \"available\", \"pauses\": true}", 99000,
                                &e);
    char *call = json_print(p->calls);

    (void)state;
    assert_string_equal(
        call, "[{\"call\":\"rds:CreateDBSnapshot\",\"args\":{\"DBSnapshotIdentifier\":\"s\","
              "\"DBInstanceIdentifier\":\"db-1\",\"Tags\":[{\"Key\":\"runbookd:keep-until\","
              "\"Value\":\"1970-01-08T00:00:00Z\"}]}}]");
    mem_free(call);
    assert_true(plan_same_or_less(p, q)); /* made again, it keeps its end; another begins anew */
    plan_free(q);
    q = plan_it(&db, "s", "{\"status\": \"available\", \"pauses\": true}", 99000, &e);
    assert_false(plan_same_or_less(p, q));
    assert_int_equal(p->flags, ACTION_COSTS_MONEY | ACTION_DISRUPTIVE);
    assert_string_equal(json_get_str(p->out, "id", ""), "s");
    assert_null(plan_broken(p));
    plan_free(q);
    /* It is there by now: less than before. */
    q = plan_it(&db, "s", "{\"snapshot\": {\"source\": \"db-1\", \"status\": \"creating\"}}", 9,
                &e);
    assert_true(plan_same_or_less(p, q));
    plan_free(q);
    plan_free(p);
    p = plan_it(&cache, "s", "{\"status\": \"modifying\", \"pauses\": false}", 5, &e);
    call = json_print(p->calls);
    assert_string_equal(call,
                        "[{\"call\":\"elasticache:CreateSnapshot\",\"args\":{\"SnapshotName\":"
                        "\"s\",\"ReplicationGroupId\":\"c\",\"Tags\":[{\"Key\":\"runbookd:keep-"
                        "until\",\"Value\":\"1970-01-08T00:00:00Z\"}]}}]");
    mem_free(call);
    assert_int_equal(p->flags, ACTION_COSTS_MONEY);
    assert_string_equal(plan_broken(p), "the replication group is available (observed modifying)");
    plan_free(p);
    json_free(db.fields);
    json_free(cache.fields);
}

static void the_probe(void **state)
{
    static const struct {
        const char *seen;
        int64_t wall_ms;
        enum verdict verdict;
    } rows[] = {
        {"{\"status\": \"available\"}", 1000, VERDICT_UNKNOWN}, /* may be on its way */
        {"{\"status\": \"available\"}", 30999, VERDICT_UNKNOWN},
        {"{\"status\": \"available\"}", 31000, VERDICT_NO},
        {"{\"snapshot\": {\"source\": \"db-1\", \"status\": \"creating\"}}", 1000, VERDICT_YES},
        {"{\"snapshot\": {\"source\": \"Db-1\", \"status\": \"available\"}}", 90000, VERDICT_YES},
        {"{\"snapshot\": {\"source\": \"db-1\", \"status\": \"failed\"}}", 90000, VERDICT_YES},
        {"{\"snapshot\": {\"source\": \"db-2\", \"status\": \"available\"}}", 90000,
         VERDICT_UNKNOWN},
        {"null", 90000, VERDICT_UNKNOWN},
    };
    struct target t = target_of("postgres", "{\"instance\": \"db-1\"}");
    struct err e;
    struct plan *p = plan_it(&t, "s", "{\"status\": \"available\"}", 1000, &e);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *s = parse(rows[i].seen);
        struct action_input in = {.target = &t, .wall_ms = rows[i].wall_ms};

        if (snapshot_action.judge(&in, p, 0, s) != rows[i].verdict)
            fail_msg("%s at %lld", rows[i].seen, (long long)rows[i].wall_ms);
        json_free(s);
    }
    plan_free(p);
    json_free(t.fields);
}

/* The model of policies' tests: taken once, there afterwards. */
static void the_model(void **state)
{
    struct target t = target_of("cache", "{\"replication_group\": \"c\"}");
    struct json *o = parse("{\"name\": \"s\", \"keep\": 3600000}"), *db = parse("{}"), *seen;
    struct action_input in = {.target = &t, .opts = o};
    struct err e = ERR_INIT;
    struct plan *p;

    (void)state;
    assert_int_equal(
        option_table_check(snapshot_action.state_options, snapshot_action.nstate_options, &e), 0);
    assert_int_equal(option_table_check(snapshot_action.options, snapshot_action.noptions, &e), 0);
    seen = snapshot_action.state_seen(&in, db, &e);
    p = snapshot_action.plan(&in, seen, &e);
    assert_false(p->empty);
    snapshot_action.state_apply(&in, json_at(p->calls, 0), db);
    json_free(seen);
    seen = snapshot_action.state_seen(&in, db, &e);
    assert_int_equal(snapshot_action.judge(&in, p, 0, seen), VERDICT_YES);
    plan_free(p);
    p = snapshot_action.plan(&in, seen, &e);
    assert_true(p->empty);
    plan_free(p);
    json_free(seen);
    json_free(db);
    json_free(o);
    json_free(t.fields);
}

/* Each right is one kind's: who saves only databases grants nothing on caches. */
static void rights(void **state)
{
    char *p = permission_for("a:B *", "postgres");

    (void)state;
    assert_string_equal(p, "a:B *");
    mem_free(p);
    p = permission_for("a:B * [cache]", "cache");
    assert_string_equal(p, "a:B *");
    mem_free(p);
    assert_null(permission_for("a:B * [cache]", "cach"));
    assert_null(permission_for("a:B * [cache]", "postgres"));
    for (size_t i = 0; snapshot_action.permissions[i] != NULL; i++) {
        char *db = permission_for(snapshot_action.permissions[i], "postgres"),
             *cache = permission_for(snapshot_action.permissions[i], "cache");

        assert_true((db == NULL) != (cache == NULL));
        if (db != NULL)
            assert_true(strncmp(db, "rds:", 4) == 0);
        if (cache != NULL)
            assert_true(strncmp(cache, "elasticache:", 12) == 0);
        mem_free(db);
        mem_free(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),     cmocka_unit_test(names),
        cmocka_unit_test(the_probe), cmocka_unit_test(what_a_plan_holds),
        cmocka_unit_test(the_model), cmocka_unit_test(rights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
