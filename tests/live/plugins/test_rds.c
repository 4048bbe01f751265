/* RDS and its proxies in cloudsim with a real PostgreSQL behind: what the collectors read, and
 * proxy_pool from looking to undo, with every way in which a request may end. */
#include "help_plugins.h"

#include <libpq-fe.h>
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "harness/number.h"

#define SESSIONS 22 /* of 40 slots, 37 of them for applications */

struct stage {
    struct rig r;
    const struct target *px, *db, *replica, *idle_replica, *bare;
    PGconn *super, *conn[SESSIONS];
};

static PGconn *session(const char *user)
{
    char info[300];
    PGconn *c;

    snprintf(info, sizeof(info),
             "host=127.0.0.1 port=%s dbname=postgres sslmode=disable user=%s "
             "application_name=test",
             getenv("PGPORT"), user);
    c = PQconnectdb(info);
    if (PQstatus(c) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(c));
    return c;
}

static void grant(PGconn *super)
{
    char *sql = rig_grants();

    PQclear(PQexec(super, "CREATE ROLE app LOGIN; CREATE ROLE blind LOGIN"));
    PQclear(PQexec(super, sql));
    mem_free(sql);
}

static const struct target *postgres(struct stage *s, const char *name, const char *more)
{
    char fields[400];

    snprintf(fields, sizeof(fields),
             "{\"host\": \"127.0.0.1\", \"port\": %s, \"database\": \"postgres\", \"user\": "
             "\"runbookd\", \"aws\": \"prod\"%s}",
             getenv("PGPORT"), more);
    return rig_target(&s->r, "postgres", name, fields);
}

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));

    rig_init(&s->r);
    s->px = rig_target(&s->r, "proxy", "px", "{\"aws\": \"prod\"}");
    s->db = postgres(s, "db", ", \"instance\": \"db-1\", \"proxy\": \"px\"");
    s->replica = postgres(s, "replica", ", \"instance\": \"db-2\"");
    s->idle_replica = postgres(s, "apart", ", \"instance\": \"db-3\"");
    s->bare = postgres(s, "bare", "");
    s->super = session("postgres");
    grant(s->super);
    sim_clear(&s->r);
    sim_do(&s->r, "proxy",
           "{\"proxy\": \"px\", \"max_percent\": 50, \"idle_percent\": 25, \"borrow_timeout\": 90, "
           "\"status\": \"available\", \"group_status\": \"available\", \"target_state\": "
           "\"AVAILABLE\"}");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    for (size_t i = 0; i < SESSIONS; i++)
        PQfinish(s->conn[i]);
    PQfinish(s->super);
    sim_clear(&s->r);
    rig_free(&s->r);
    mem_free(s);
    return 0;
}

/* What the collectors read */

static void metrics_of_databases_and_proxies(void **state)
{
    struct stage *s = *state;
    struct source c;
    struct json *j;

    source_open(&c, &s->r, "proxy_clients", s->px);
    const struct watch *clients = source_watch(&c, "proxy_clients", s->px, NULL, 0);
    const struct watch *same = source_watch(&c, "proxy_clients", s->db, NULL, 0);
    const struct watch *open = source_watch(&c, "proxy_connections", s->db, NULL, 0);
    const struct watch *pinned = source_watch(&c, "proxy_pinned", s->px, NULL, 0);
    const struct watch *wait = source_watch(&c, "proxy_borrow_latency", s->db, NULL, 0);
    const struct watch *used = source_watch(&c, "proxy_pool_used", s->px, NULL, 0);
    const struct watch *cpu = source_watch(&c, "db_cpu", s->db, NULL, 0);
    const struct watch *memory = source_watch(&c, "db_memory_free", s->db, NULL, 0);
    const struct watch *storage = source_watch(&c, "db_storage_free", s->db, NULL, 0);
    const struct watch *lag = source_watch(&c, "rds_replica_lag", s->replica, NULL, 0);
    const struct watch *none = source_watch(&c, "rds_replica_lag", s->idle_replica, NULL, 0);
    const struct watch *bare = source_watch(&c, "db_cpu", s->bare, NULL, 0);
    source_poll(&c);
    if (c.err.code != 0)
        fail_msg("%s", c.err.text);
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 1); /* one call carries all of it */
    assert_true(source_value(&c, clients) == 60 && source_value(&c, same) == 60);
    assert_true(source_value(&c, open) == 20); /* all that 50 % of 40 allow */
    assert_true(source_value(&c, pinned) == 3);
    assert_true(source_value(&c, used) == 100);
    assert_true(source_value(&c, cpu) == 20);
    assert_true(source_value(&c, memory) == 4.0 * 1024 * 1024 * 1024);
    assert_true(source_value(&c, storage) == 60.0 * 1024 * 1024 * 1024);
    assert_true(source_value(&c, lag) == 7500); /* seconds at AWS */
    assert_non_null(strstr(source_why(&c, none), "replication is not active"));
    assert_non_null(strstr(source_why(&c, bare), "give it instance"));
    /* Microseconds at AWS: what cloudsim's own model says, in milliseconds. */
    j = sim(&s->r, "state", NULL);
    assert_true(fabs(source_value(&c, wait) -
                     json_get_num(json_get(json_get(j, "proxies"), "px"), "borrow_us", 0) / 1000) <
                0.01);
    assert_true(source_value(&c, wait) > 20 && source_value(&c, wait) < 100);
    json_free(j);
    source_close(&c);
}

static const char *status_of(const struct source *c, const struct watch *w)
{
    return w->signal->words[(size_t)source_value(c, w)];
}

static void instances_as_rds_describes_them(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *gone = postgres(s, "gone", ", \"instance\": \"gone\"");
    char id[64];
    struct err e = ERR_INIT;

    source_open(&c, &s->r, "rds_status", s->db);
    const struct watch *status = source_watch(&c, "rds_status", s->db, NULL, 0);
    const struct watch *other = source_watch(&c, "rds_status", s->replica, "{\"period\": 5000}", 0);
    const struct watch *none = source_watch(&c, "rds_status", gone, NULL, 0);
    const struct watch *pending = source_watch(&c, "rds_pending", s->db, NULL, 0);
    source_poll(&c);
    if (c.err.code != 0)
        fail_msg("%s", c.err.text);
    /* One call for all of them, and none about snapshots that nobody reads. */
    assert_int_equal(sim_requests(&s->r, "DescribeDBInstances"), 1);
    assert_int_equal(sim_requests(&s->r, "DescribeDBSnapshots"), 0);
    assert_string_equal(status_of(&c, status), "available");
    assert_string_equal(status_of(&c, other), "available");
    assert_non_null(strstr(source_why(&c, none), "there is no RDS instance gone in account prod"));
    assert_true(source_value(&c, pending) == 0);
    sim_do(&s->r, "database",
           "{\"database\": \"db-1\", \"status\": \"storage-full\", \"pending\": "
           "{\"DBInstanceClass\": \"db.r6g.large\", \"MultiAZ\": true}, \"parameters\": "
           "[{\"name\": \"a\", \"status\": \"pending-reboot\"}, {\"name\": \"b\", "
           "\"status\": \"in-sync\"}]}");
    sim_do(&s->r, "database", "{\"database\": \"db-2\", \"status\": \"on-holiday\"}");
    source_poll(&c);
    assert_string_equal(status_of(&c, status), "storage-full");
    assert_true(source_value(&c, pending) == 3);
    assert_non_null(strstr(source_why(&c, other), "\"on-holiday\", which is not known"));
    sim_do(&s->r, "database",
           "{\"database\": \"db-1\", \"status\": \"available\", \"pending\": {}}");
    sim_do(&s->r, "database", "{\"database\": \"db-2\", \"status\": \"available\"}");
    assert_int_not_equal(
        c.type->source(&c.type->signals[0], s->bare, s->r.estate, id, sizeof(id), &e), 0);
    assert_non_null(strstr(e.text, "give it instance = \"NAME\""));
    source_close(&c);
}

#define INSTANCES(list)                                                                            \
    "{\"kind\": \"answer\", \"status\": 200, \"count\": 200, \"body\": "                           \
    "\"<DescribeDBInstancesResponse><DescribeDBInstancesResult>" list                              \
    "</DescribeDBInstancesResult></DescribeDBInstancesResponse>\"}"
#define INSTANCE(x)                                                                                \
    INSTANCES("<DBInstances><DBInstance>" x                                                        \
              "<DBInstanceIdentifier>db-1</DBInstanceIdentifier></DBInstance></DBInstances>")

static void a_spoilt_description_is_no_value(void **state)
{
    static const char *const faults[] = {
        "{\"kind\": \"answer\", \"status\": 200, \"body\": \"<A><B/></A>\", \"count\": 20}",
        "{\"kind\": \"error\", \"code\": \"AccessDenied\", \"status\": 403, \"count\": 20}",
        INSTANCES("<DBInstances/><Marker>again</Marker>"),
    };
    static const char *const odd[] = {
        INSTANCE(""),
        INSTANCE("<DBInstanceStatus/>"),
        INSTANCES("<DBInstances><DBInstance/></DBInstances>"),
    };
    struct stage *s = *state;
    struct source c;

    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        source_open(&c, &s->r, "rds_status", s->db);
        source_watch(&c, "rds_status", s->db, NULL, 0);
        sim_do(&s->r, "faults", "%s", faults[i]);
        source_poll(&c);
        assert_true(c.err.code != 0 && c.ngot == 0);
        sim_clear(&s->r);
        source_close(&c);
        /* Cut off in the middle. */
        source_open(&c, &s->r, "rds_status", s->db);
        source_watch(&c, "rds_status", s->db, NULL, 0);
        source_begin(&c);
        run_for(s->r.loop, (int64_t)i);
        source_close(&c);
    }
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        source_open(&c, &s->r, "rds_status", s->db);
        const struct watch *a = source_watch(&c, "rds_status", s->db, NULL, 0);
        const struct watch *b = source_watch(&c, "rds_pending", s->db, NULL, 0);
        sim_do(&s->r, "faults", "%s", odd[i]);
        source_poll(&c);
        assert_int_equal(c.err.code, 0);
        assert_true(source_count(&c, a) == 0 && source_count(&c, b) == 0);
        assert_true(source_why(&c, a)[0] != '\0' && source_why(&c, b)[0] != '\0');
        source_close(&c);
        sim_clear(&s->r);
    }
}

/* proxy_pool */

#define WIDEN "{\"add\": 10}"

static struct json *seen_of(struct stage *s, const struct target *t)
{
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, "proxy_pool", t, WIDEN, &e);

    if (seen == NULL)
        fail_msg("%s", e.text);
    return seen;
}

static struct plan *planned(struct stage *s, const struct target *t, const char *opts)
{
    struct json *seen = seen_of(s, t);
    struct err e = ERR_INIT;
    struct plan *p = plan_of("proxy_pool", t, opts, seen, NULL, &e);

    if (p == NULL)
        fail_msg("%s", e.text);
    json_free(seen);
    return p;
}

static int64_t at_aws(struct stage *s, const char *field)
{
    struct json *j = sim(&s->r, "state", NULL);
    int64_t v = json_get_int(json_get(json_get(j, "proxies"), "px"), field, -1);

    json_free(j);
    return v;
}

static void open_sessions(struct stage *s)
{
    for (size_t i = 0; i < SESSIONS; i++)
        s->conn[i] = session("app");
}

static void widens_and_goes_back(void **state)
{
    struct stage *s = *state;
    const struct action_type *a = action_find("proxy_pool");
    const struct target *targets[] = {s->px, s->db};
    struct json *held = json_new_map();

    open_sessions(s);
    for (size_t i = 0; i < 2; i++) {
        const struct target *t = targets[i];
        struct json *seen = seen_of(s, t), *out = NULL;
        struct err e = ERR_INIT;
        struct plan *p = plan_of("proxy_pool", t, WIDEN, seen, NULL, &e), *back;
        struct action_input in = {.target = t, .opts = held, .wall_ms = 1790000000000 + 60000};

        assert_int_equal(json_get_int(seen, "max_connections", 0), 40);
        assert_int_equal(json_get_int(seen, "reserved_connections", 0), 3);
        assert_int_equal(json_get_int(seen, "pool_open", 0), 20);
        assert_true(json_get_int(seen, "connections_used", 0) >= SESSIONS + 1);
        assert_true(json_get_int(seen, "connections_used", 0) <= SESSIONS + 3);
        assert_string_equal(p->summary, "pool 50% -> 60% of 40 connections");
        assert_null(plan_broken(p));
        assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_NO);
        json_free(seen);
        assert_int_equal(act(&s->r, "proxy_pool", t, json_at(p->calls, 0), &out, &e), APPLIED_OK);
        assert_int_equal(json_get_int(out, "after", 0), 60);
        json_free(out);
        assert_int_equal(at_aws(s, "max_percent"), 60);
        assert_int_equal(at_aws(s, "idle_percent"), 25); /* sent with it: half of 60 otherwise */
        assert_int_equal(at_aws(s, "borrow_timeout"), 90);
        seen = seen_of(s, t);
        assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_YES);
        back = a->undo(&in, p, p, seen, &e);
        assert_string_equal(back->summary, "pool 60% -> 50% of 40 connections");
        json_free(seen);
        /* Somebody widens it further meanwhile: what we left is no more, so nothing is undone. */
        sim_do(&s->r, "proxy", "{\"proxy\": \"px\", \"max_percent\": 65}");
        seen = seen_of(s, t);
        assert_null(a->undo(&in, p, p, seen, &e));
        assert_int_equal(e.code, ERR_DENIED);
        json_free(seen);
        sim_do(&s->r, "proxy", "{\"proxy\": \"px\", \"max_percent\": 60}");
        assert_int_equal(act(&s->r, "proxy_pool", t, json_at(back->calls, 0), NULL, &e),
                         APPLIED_OK);
        assert_int_equal(at_aws(s, "max_percent"), 50);
        plan_free(p);
        plan_free(back);
    }
    json_free(held);
}

/* 90 % of 40 are 36: 16 more than the pool holds, into 37 less the sessions that are there. */
static void no_headroom_is_refused(void **state)
{
    struct stage *s = *state;
    struct plan *p;

    p = planned(s, s->px, "{\"to\": 90}");
    /* Hardly a session: the pool can hold no more than what is used, so all of it must fit. */
    assert_null(plan_broken(p));
    plan_free(p);
    open_sessions(s);
    p = planned(s, s->px, "{\"to\": 90}");
    assert_non_null(plan_broken(p));
    assert_non_null(strstr(plan_broken(p), "a pool of 36 fits into the 37 connections"));
    assert_non_null(strstr(plan_broken(p), "16 more into 1"));
    plan_free(p);
    p = planned(s, s->px, "{\"to\": 60}");
    assert_null(plan_broken(p));
    plan_free(p);
    /* Without a metric of the pool all of it counts as still to be opened. */
    sim_do(&s->r, "metrics/drop",
           "{\"namespace\": \"AWS/RDS\", \"name\": \"DatabaseConnections\"}");
    p = planned(s, s->px, "{\"to\": 60}");
    assert_non_null(strstr(plan_broken(p), "0 of them by the pool: 24 more into 1"));
    plan_free(p);
}

static void what_is_not_in_order_is_refused(void **state)
{
    static const struct {
        const char *change, *broken;
    } rows[] = {
        {"\"status\": \"modifying\"", "the proxy is available (observed modifying)"},
        {"\"group_status\": \"creating\"", "its target group is available (observed creating)"},
        {"\"target_state\": \"UNAVAILABLE\"",
         "its database answers it (observed db-1 UNAVAILABLE)"},
    };
    struct stage *s = *state;
    struct err e = ERR_INIT;
    struct plan *p, *q = planned(s, s->px, WIDEN);
    struct json *seen;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        sim_do(&s->r, "proxy", "{\"proxy\": \"px\", %s}", rows[i].change);
        p = planned(s, s->px, WIDEN);
        assert_string_equal(plan_broken(p), rows[i].broken);
        plan_free(p);
        sim_do(&s->r, "proxy",
               "{\"proxy\": \"px\", \"status\": \"available\", \"group_status\": \"available\", "
               "\"target_state\": \"AVAILABLE\"}");
    }
    /* Drift between the plan and the request: another plan, not the same or less. */
    sim_do(&s->r, "proxy", "{\"proxy\": \"px\", \"max_percent\": 55}");
    p = planned(s, s->px, WIDEN);
    assert_false(plan_same_or_less(q, p));
    plan_free(p);
    plan_free(q);
    /* AWS itself refuses in a state that came between. */
    p = planned(s, s->px, WIDEN);
    sim_do(&s->r, "proxy", "{\"proxy\": \"px\", \"status\": \"modifying\"}");
    assert_int_equal(act(&s->r, "proxy_pool", s->px, json_at(p->calls, 0), NULL, &e),
                     APPLIED_REFUSED);
    assert_non_null(strstr(e.text, "InvalidDBProxyStateFault"));
    plan_free(p);
    /* A database without a proxy has no pool. */
    seen = seen_of(s, s->bare);
    assert_null(plan_of("proxy_pool", s->bare, WIDEN, seen, NULL, &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_non_null(strstr(e.text, "postgres/bare names no proxy"));
    json_free(seen);
    assert_int_equal(at_aws(s, "max_percent"), 55);
}

static void how_a_request_ended(void **state)
{
#define ONCE "\"count\": 1, \"action\": \"ModifyDBProxyTargetGroup\""
    static const struct {
        const char *fault;
        enum applied how;
        int percent;
        enum verdict verdict; /* of the probe, a minute later */
    } rows[] = {
        {"{\"kind\": \"error\", \"code\": \"InvalidParameterValue\", \"status\": 400, " ONCE "}",
         APPLIED_REFUSED, 50, VERDICT_NO},
        {"{\"kind\": \"reset\", \"when\": \"after\", " ONCE "}", APPLIED_IN_DOUBT, 60, VERDICT_YES},
        {"{\"kind\": \"reset\", " ONCE "}", APPLIED_IN_DOUBT, 50, VERDICT_NO},
        {"{\"kind\": \"html\", \"when\": \"after\", " ONCE "}", APPLIED_IN_DOUBT, 60, VERDICT_YES},
        {"{\"kind\": \"truncated\", " ONCE "}", APPLIED_IN_DOUBT, 60, VERDICT_YES},
        {"{\"kind\": \"drop\", " ONCE "}", APPLIED_IN_DOUBT, 60, VERDICT_YES},
        {"{\"kind\": \"throttle\", " ONCE "}", APPLIED_OK, 60, VERDICT_YES},
    };
    struct stage *s = *state;
    const struct action_type *a = action_find("proxy_pool");
    struct action_input in = {.target = s->px, .wall_ms = 1790000000000 + 60000};
    struct json *seen, *effects;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e = ERR_INIT;
        struct plan *p;

        sim_clear(&s->r);
        sim_do(&s->r, "proxy", "{\"proxy\": \"px\", \"max_percent\": 50}");
        p = planned(s, s->px, WIDEN);
        sim_do(&s->r, "faults", "%s", rows[i].fault);
        if (act(&s->r, "proxy_pool", s->px, json_at(p->calls, 0), NULL, &e) != rows[i].how)
            fail_msg("%s: %s", rows[i].fault, e.text);
        assert_int_equal(at_aws(s, "max_percent"), rows[i].percent);
        seen = seen_of(s, s->px);
        assert_int_equal(a->judge(&in, p, 0, seen), rows[i].verdict);
        json_free(seen);
        /* Counted at the other end: never twice. */
        effects = sim(&s->r, "effects", NULL);
        assert_int_equal(
            json_get_int(json_get(effects, "counts"), "rds:ModifyDBProxyTargetGroup", 0),
            rows[i].percent == 60);
        json_free(effects);
        plan_free(p);
    }
}

static void looking_may_fail_and_be_cut_off(void **state)
{
    static const char *const actions[] = {"DescribeDBProxies", "DescribeDBProxyTargetGroups",
                                          "DescribeDBProxyTargets", "GetMetricData"};
    struct stage *s = *state;
    struct err e = ERR_INIT;
    struct json *call;
    struct plan *p = planned(s, s->px, WIDEN);

    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        sim_do(&s->r, "faults",
               "{\"kind\": \"error\", \"count\": 1, \"action\": \"%s\", \"code\": "
               "\"AccessDenied\", \"status\": 403}",
               actions[i]);
        assert_null(look(&s->r, "proxy_pool", s->px, WIDEN, &e));
        assert_non_null(strstr(e.text, actions[i]));
        sim_clear(&s->r);
    }
    sim_do(&s->r, "faults",
           "{\"kind\": \"truncated\", \"count\": 9, \"action\": \"DescribeDBProxyTargetGroups\"}");
    assert_null(look(&s->r, "proxy_pool", s->px, WIDEN, &e));
    sim_clear(&s->r);
    s->r.no_pg = true;
    assert_null(look(&s->r, "proxy_pool", s->px, WIDEN, &e));
    assert_non_null(strstr(e.text, "no password"));
    s->r.no_pg = false;
    /* A role that may not see whose sessions there are still sees that they are there. */
    open_sessions(s);
    rig_pg_user(&s->r, "blind");
    call = seen_of(s, s->px);
    assert_true(json_get_int(call, "connections_used", 0) >= SESSIONS + 1);
    json_free(call);
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 20, \"count\": 20}");
    cut_off(&s->r, "proxy_pool", s->px, WIDEN, NULL, 0);
    cut_off(&s->r, "proxy_pool", s->px, WIDEN, NULL, 50);
    cut_off(&s->r, "proxy_pool", s->bare, WIDEN, NULL, 0);
    cut_off(&s->r, "proxy_pool", s->px, WIDEN, json_at(p->calls, 0), 20);
    call = json_new_map();
    assert_int_equal(act(&s->r, "proxy_pool", s->px, call, NULL, &e), APPLIED_NOT_SENT);
    assert_int_equal(act(&s->r, "proxy_pool", s->bare, call, NULL, &e), APPLIED_NOT_SENT);
    json_free(call);
    plan_free(p);
}

/* snapshot */

#define NAMED "{\"name\": \"live-1\"}"

static struct json *snapshot_seen(struct stage *s, const struct target *t, const char *opts)
{
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, "snapshot", t, opts, &e);

    if (seen == NULL)
        fail_msg("%s", e.text);
    return seen;
}

static size_t snapshots_made(struct stage *s, const char *effect)
{
    struct json *j = sim(&s->r, "effects", NULL);
    int64_t n = json_get_int(json_get(j, "counts"), effect, 0);

    json_free(j);
    return (size_t)n;
}

/* Taken once, whatever becomes of the answer; found again by its name; tagged with its end. */
static void a_snapshot_of(struct stage *s, const struct target *t, const char *create,
                          const char *effect)
{
    const struct action_type *a = action_find("snapshot");
    struct json *seen = snapshot_seen(s, t, NAMED), *out = NULL;
    struct err e = ERR_INIT;
    struct plan *p = plan_of("snapshot", t, NAMED, seen, NULL, &e), *again;
    struct action_input in = {.target = t, .wall_ms = 1790000000000 + 60000};

    if (p == NULL || plan_broken(p) != NULL) {
        fail_msg("%s", p == NULL ? e.text : plan_broken(p));
        return;
    }
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_NO);
    json_free(seen);
    /* The answer is lost, and the probe finds that it was carried out. */
    sim_do(&s->r, "faults",
           "{\"kind\": \"reset\", \"when\": \"after\", \"count\": 1, \"action\": \"%s\"}", create);
    assert_int_equal(act(&s->r, "snapshot", t, json_at(p->calls, 0), NULL, &e), APPLIED_IN_DOUBT);
    seen = snapshot_seen(s, t, NAMED);
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_YES);
    again = plan_of("snapshot", t, NAMED, seen, NULL, &e);
    assert_true(again->empty);
    plan_free(again);
    json_free(seen);
    /* Sent again all the same: AWS refuses, there is one. */
    assert_int_equal(act(&s->r, "snapshot", t, json_at(p->calls, 0), &out, &e), APPLIED_REFUSED);
    assert_non_null(strstr(e.text, "AlreadyExists"));
    assert_int_equal(snapshots_made(s, effect), 1);
    plan_free(p);
}

static void snapshots(void **state)
{
    struct stage *s = *state;
    const struct target *cache =
        rig_target(&s->r, "cache", "c", "{\"aws\": \"prod\", \"replication_group\": \"portal\"}");
    const struct watch *newest, *none;
    struct source c;
    struct err e = ERR_INIT;
    struct json *seen, *j;
    double before;
    char *text;
    struct plan *p;

    source_open(&c, &s->r, "snapshot_progress", s->db);
    newest = source_watch(&c, "snapshot_progress", s->db, NULL, 0);
    none = source_watch(&c, "snapshot_progress", s->replica, NULL, 0);
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, newest), "db-1 has no manual snapshot"));
    a_snapshot_of(s, s->db, "CreateDBSnapshot", "rds:CreateDBSnapshot");
    source_poll(&c);
    before = source_value(&c, newest);
    assert_true(before < 100);
    assert_true(source_why(&c, none)[0] != '\0');
    /* Busy with it: another one is refused, by the plan and by AWS. */
    seen = snapshot_seen(s, s->db, "{\"name\": \"live-2\"}");
    p = plan_of("snapshot", s->db, "{\"name\": \"live-2\"}", seen, NULL, &e);
    assert_string_equal(plan_broken(p), "the RDS instance is available (observed backing-up)");
    assert_int_equal(act(&s->r, "snapshot", s->db, json_at(p->calls, 0), NULL, &e),
                     APPLIED_REFUSED);
    assert_non_null(strstr(e.text, "InvalidDBInstanceState"));
    plan_free(p);
    json_free(seen);
    /* The name is taken by another instance. */
    seen = snapshot_seen(s, s->replica, NAMED);
    assert_null(plan_of("snapshot", s->replica, NAMED, seen, NULL, &e));
    assert_non_null(strstr(e.text, "there is a snapshot live-1 of db-1"));
    json_free(seen);
    j = sim(&s->r, "requests?action=CreateDBSnapshot", NULL);
    text = json_print(j);
    assert_non_null(strstr(text, "runbookd:keep-until"));
    mem_free(text);
    json_free(j);
    run_for(s->r.loop, 2500);
    source_poll(&c);
    assert_true(source_value(&c, newest) == 100);
    source_close(&c);
    a_snapshot_of(s, cache, "CreateSnapshot", "elasticache:CreateSnapshot");
    /* Nothing that AWS would know by name. */
    seen = snapshot_seen(s, s->bare, NAMED);
    assert_null(plan_of("snapshot", s->bare, NAMED, seen, NULL, &e));
    assert_int_equal(e.code, ERR_DENIED);
    json_free(seen);
    sim_do(&s->r, "faults",
           "{\"kind\": \"error\", \"count\": 1, \"action\": \"DescribeDBInstances\", \"code\": "
           "\"AccessDenied\", \"status\": 403}");
    assert_null(look(&s->r, "snapshot", s->db, NAMED, &e));
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 20, \"count\": 9}");
    cut_off(&s->r, "snapshot", s->db, NAMED, NULL, 0);
    cut_off(&s->r, "snapshot", cache, NAMED, NULL, 1);
}

/* asg_scale, of a group whose instances open connections */

static void a_group_asks_its_database(void **state)
{
    struct stage *s = *state;
    const struct target *web = rig_target(&s->r, "asg", "web", "{\"aws\": \"prod\"}");
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, "asg_scale", web, "{\"by\": 1, \"max\": 9}", &e);

    assert_non_null(seen);
    assert_null(json_get(seen, "max_connections")); /* no service: nothing to ask */
    json_free(seen);
    rig_target(&s->r, "service", "shop",
               "{\"asg\": \"web\", \"postgres\": \"bare\", \"pool_size\": 5}");
    seen = look(&s->r, "asg_scale", web, "{\"by\": 1, \"max\": 9}", &e);
    assert_non_null(seen);
    assert_int_equal(json_get_int(seen, "max_connections", 0), 40);
    assert_int_equal(json_get_int(seen, "reserved_connections", 0), 3);
    assert_true(json_get_int(seen, "connections_used", 0) >= 1);
    assert_int_equal(json_get_int(seen, "desired", 0), 3);
    json_free(seen);
    /* One that is away is something seen, too: the group is, with it. */
    PQclear(PQexec(s->super, "ALTER ROLE runbookd NOLOGIN; SELECT pg_terminate_backend(pid) FROM "
                             "pg_stat_activity WHERE usename = 'runbookd'"));
    seen = look(&s->r, "asg_scale", web, "{\"by\": 1, \"max\": 9}", &e);
    PQclear(PQexec(s->super, "ALTER ROLE runbookd LOGIN"));
    assert_non_null(seen);
    assert_null(json_get(seen, "max_connections"));
    assert_int_equal(json_get_int(seen, "desired", 0), 3);
    assert_true(strlen(json_get_str(seen, "slots", "")) > 10);
    json_free(seen);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(metrics_of_databases_and_proxies),
        T(widens_and_goes_back),
        T(instances_as_rds_describes_them),
        T(a_spoilt_description_is_no_value),
        T(snapshots),
        T(what_is_not_in_order_is_refused),
        T(a_group_asks_its_database),
        T(how_a_request_ended),
        T(looking_may_fail_and_be_cut_off),
        T(no_headroom_is_refused), /* drops a metric: last */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
