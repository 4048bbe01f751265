/* pg_tables, pg_replication and sql on a real server and its replica. */
#include "help_plugins.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "harness/number.h"

struct stage {
    struct rig r;
    const struct target *db, *replica;
    PGconn *super, *there; /* on the primary, on the replica */
    struct source c;
};

static PGconn *session(const char *port, const char *user)
{
    char info[200];
    PGconn *c;

    snprintf(info, sizeof(info), "host=127.0.0.1 port=%s dbname=postgres sslmode=disable user=%s",
             port, user);
    c = PQconnectdb(info);
    if (PQstatus(c) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(c));
    return c;
}

static const char *ask(PGconn *c, const char *sql)
{
    static char text[600];
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    snprintf(text, sizeof(text), "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return text;
}

static const struct target *server(struct stage *s, const char *name, const char *port)
{
    char fields[200];

    snprintf(fields, sizeof(fields),
             "{\"host\": \"127.0.0.1\", \"port\": %s, \"database\": \"postgres\", \"user\": \"x\"}",
             port);
    return rig_target(&s->r, "postgres", name, fields);
}

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));

    rig_init(&s->r);
    s->db = server(s, "db", getenv("PGPORT"));
    s->replica = server(s, "replica", getenv("RB_PG_REPLICA_PORT"));
    s->super = session(getenv("PGPORT"), "postgres");
    s->there = session(getenv("RB_PG_REPLICA_PORT"), "postgres");
    ask(s->super, "SET synchronous_commit = local"); /* WAL is written when a statement ends */
    if (strcmp(ask(s->super, "SELECT count(*) FROM pg_roles WHERE rolname = 'watcher'"), "0") == 0)
        ask(s->super, "CREATE ROLE watcher LOGIN IN ROLE pg_monitor; CREATE ROLE blind LOGIN");
    rig_pg_user(&s->r, "watcher");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    ask(s->there, "SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()");
    if (s->c.self != NULL)
        source_close(&s->c);
    PQfinish(s->super);
    PQfinish(s->there);
    rig_free(&s->r);
    mem_free(s);
    return 0;
}

static const struct reading *polled(struct stage *s, const struct watch *w)
{
    source_poll(&s->c);
    if (s->c.err.code != 0)
        fail_msg("%s", s->c.err.text);
    assert_non_null(source_last(&s->c, w));
    return source_last(&s->c, w);
}

static void await(PGconn *c, const char *sql)
{
    for (int i = 0; i < 250; i++) {
        if (strcmp(ask(c, sql), "t") == 0)
            return;
        usleep(20000);
    }
    fail_msg("it does not come true: %s", sql);
}

/* What was written is replayed. */
static void caught_up(struct stage *s)
{
    char sql[200], now[64];

    snprintf(now, sizeof(now), "%s", ask(s->super, "SELECT pg_current_wal_lsn()"));
    snprintf(sql, sizeof(sql), "SELECT pg_last_wal_replay_lsn() >= '%s'", now);
    await(s->there, sql);
}

static void dead_rows_of_the_worst_table(void **state)
{
    struct stage *s = *state;

    ask(s->super,
        "CREATE TABLE clean AS SELECT generate_series(1, 4000) n; CREATE TABLE dirty WITH "
        "(autovacuum_enabled = off) AS SELECT generate_series(1, 2000) n; CREATE TABLE "
        "\"Small; one\" WITH (autovacuum_enabled = off) AS SELECT 1 n; CREATE TABLE never "
        "(n int)");
    ask(s->super, "DELETE FROM dirty WHERE n % 4 = 0");
    ask(s->super, "DELETE FROM \"Small; one\"");
    ask(s->super, "SELECT pg_stat_force_next_flush()");
    source_open(&s->c, &s->r, "pg_bloat", s->db);
    const struct watch *w = source_watch(&s->c, "pg_bloat", s->db, "{\"min_size\": 40000}", 0);
    const struct watch *all = source_watch(&s->c, "pg_bloat", s->db, "{\"min_size\": 1}", 0);
    const struct watch *same = source_watch(&s->c, "pg_bloat", s->db, "{\"min_size\": 1}", 0);
    const struct watch *huge = source_watch(&s->c, "pg_bloat", s->db, NULL, 0);
    polled(s, w);
    assert_true(source_value(&s->c, w) > 33.2 && source_value(&s->c, w) < 33.5);
    assert_int_equal((int)source_value(&s->c, all), 100);
    assert_int_equal((int)source_value(&s->c, same), 100);
    assert_int_equal((int)source_value(&s->c, huge), 0);
    assert_int_equal(w->interval_ms, 600000);
    /* One that is locked away is left out, and waited for by nobody. */
    ask(s->super, "BEGIN; LOCK TABLE \"Small; one\"");
    polled(s, all);
    assert_true(source_value(&s->c, all) < 34);
    ask(s->super, "ROLLBACK");
    /* As after a crash. */
    ask(s->super, "SELECT pg_stat_reset()");
    assert_non_null(strstr(polled(s, all)->why, "ANALYZE"));
    ask(s->super, "ALTER SYSTEM SET track_counts = off; ");
    ask(s->super, "SELECT pg_reload_conf()");
    usleep(300000);
    assert_non_null(strstr(polled(s, all)->why, "track_counts"));
    ask(s->super, "ALTER SYSTEM RESET track_counts");
    ask(s->super, "SELECT pg_reload_conf()");
    usleep(200000);
    ask(s->super, "DROP TABLE clean, dirty, \"Small; one\", never");
    assert_int_equal((int)polled(s, all)->value, 0);
}

static void lag_by_the_primary(void **state)
{
    struct stage *s = *state;

    ask(s->super, "CREATE TABLE IF NOT EXISTS t (n int)");
    caught_up(s);
    source_open(&s->c, &s->r, "pg_replica_lag", s->db);
    const struct watch *w = source_watch(&s->c, "pg_replica_lag", s->db, NULL, 0);
    const struct watch *size =
        source_watch(&s->c, "pg_replica_lag", s->db, "{\"unit\": \"size\"}", 0);
    assert_non_null(strstr(polled(s, w)->why, "first look"));
    assert_int_equal((int)source_value(&s->c, size), 0);
    assert_non_null(strstr(polled(s, w)->why, "no WAL")); /* idle: no lag, and not none */
    ask(s->super, "INSERT INTO t VALUES (1)");
    caught_up(s);
    usleep(100000); /* until the replica has said so */
    polled(s, w);
    assert_true(source_value(&s->c, w) < 500);
    ask(s->there, "SELECT pg_wal_replay_pause()");
    usleep(200000);
    ask(s->super, "INSERT INTO t SELECT generate_series(1, 1000)");
    usleep(1200000);
    polled(s, size);
    assert_true(source_value(&s->c, size) > 1000);
    ask(s->there, "SELECT pg_wal_replay_resume()");
    caught_up(s);
    usleep(200000);
    polled(s, w);
    assert_int_equal((int)source_value(&s->c, size), 0);
    assert_int_equal((int)source_value(&s->c, w), 0);
    assert_non_null(strstr(polled(s, w)->why, "no WAL"));
    rig_pg_user(&s->r, "blind");
    assert_non_null(strstr(polled(s, w)->why, "GRANT pg_monitor TO blind"));
    assert_non_null(strstr(source_why(&s->c, size), "GRANT pg_monitor TO blind"));
}

static void lag_by_the_replica(void **state)
{
    struct stage *s = *state;

    caught_up(s);
    usleep(200000);
    source_open(&s->c, &s->r, "pg_replica_lag", s->replica);
    const struct watch *w = source_watch(&s->c, "pg_replica_lag", s->replica, NULL, 0);
    const struct watch *size =
        source_watch(&s->c, "pg_replica_lag", s->replica, "{\"unit\": \"size\"}", 0);
    assert_non_null(strstr(polled(s, w)->why, "first look"));
    usleep(1500000); /* a quiet while, which is no lag */
    ask(s->there, "SELECT pg_wal_replay_pause()");
    usleep(200000);
    polled(s, w);
    int64_t caught = w != NULL ? now_ms() : 0;
    ask(s->super, "INSERT INTO t SELECT generate_series(1, 1000)");
    usleep(300000);
    polled(s, w);
    assert_true(source_value(&s->c, w) > 100 &&
                source_value(&s->c, w) < (double)(now_ms() - caught) + 50);
    assert_true(source_value(&s->c, size) > 1000);
    double before = source_value(&s->c, w);
    usleep(700000);
    polled(s, w);
    assert_true(source_value(&s->c, w) > before + 600);
    ask(s->there, "SELECT pg_wal_replay_resume()");
    caught_up(s);
    usleep(100000);
    polled(s, w);
    assert_int_equal((int)source_value(&s->c, w), 0);
    assert_int_equal((int)source_value(&s->c, size), 0);
    rig_pg_user(&s->r, "blind");
    assert_non_null(strstr(polled(s, w)->why, "GRANT pg_monitor TO blind"));
    rig_pg_user(&s->r, "watcher");
    /* Cut off from its primary it would look as if it had replayed everything. */
    char back[600];
    snprintf(back, sizeof(back), "ALTER SYSTEM SET primary_conninfo = %s",
             ask(s->there, "SELECT quote_literal(current_setting('primary_conninfo'))"));
    ask(s->there, "ALTER SYSTEM SET primary_conninfo = ''");
    ask(s->there, "SELECT pg_reload_conf()");
    await(s->there, "SELECT count(*) = 0 FROM pg_stat_wal_receiver");
    assert_non_null(strstr(polled(s, w)->why, "no connection to its primary"));
    assert_non_null(strstr(source_why(&s->c, size), "no connection to its primary"));
    source_close(&s->c);
    source_open(&s->c, &s->r, "pg_replica_lag", s->db);
    rig_pg_user(&s->r, "watcher");
    w = source_watch(&s->c, "pg_replica_lag", s->db, NULL, 0);
    assert_non_null(strstr(polled(s, w)->why, "no replica is connected"));
    ask(s->there, back);
    ask(s->there, "SELECT pg_reload_conf()");
}

static void one_number_of_a_statement(void **state)
{
    struct stage *s = *state;
    static const struct {
        const char *query;
        int column;
        double value;
        const char *why;
    } rows[] = {
        {"SELECT 42", 1, 42, NULL},
        {"SELECT 1, 2.5 ;\n", 2, 2.5, NULL},
        {"SELECT n FROM public.q -- the largest", 1, 7, NULL},
        {"VALUES (-3e2)", 1, -300, NULL},
        {"WITH x AS (SELECT 5 AS n) SELECT n FROM x", 1, 5, NULL},
        {"SELECT 1 AS a, 2 AS a", 2, 2, NULL},
        {"SELECT 'it''s \\\"quoted\\\" $1'::text", 1, 0, "not a number"},
        {"SELECT NULL", 1, 0, "NULL"},
        {"SELECT 1 WHERE false", 1, 0, "no row"},
        {"SELECT generate_series(1, 100000000)", 1, 0, "more than one row"},
        {"SELECT 'NaN'::float", 1, 0, "not a number"},
        {"SELECT 'Infinity'::float", 1, 0, "not a number"},
        {"SELECT ''", 1, 0, "not a number"},
        {"SELECT '0x10'", 1, 0, "not a number"},
        {"SELECT 1", 2, 0, "fewer columns"},
        {"SELECT 1; SELECT 2", 1, 0, "syntax error"},
        {"SELECT 1) q; DELETE FROM public.q; --", 1, 0, "42601"},
        {"SELECT 1) q; DELETE FROM public.q; SELECT (1", 1, 0, "multiple commands"},
        {"DELETE FROM public.q RETURNING 1", 1, 0, "syntax error"},
        {"WITH d AS (DELETE FROM public.q RETURNING 1) SELECT 1", 1, 0, "top level"},
        {"SELECT nextval('public.seq')", 1, 0, "read-only"},
        {"SELECT set_config('transaction_read_only', 'off', false)::int", 1, 0, "read"},
        {"SELECT length(set_config('default_transaction_read_only', 'off', false))", 1, 3, NULL},
        {"SELECT nextval('public.seq') + 0", 1, 0, "read-only"},
        {"SELECT length(set_config('statement_timeout', '0', false))", 1, 1, NULL},
        {"SELECT n FROM q", 1, 0, "does not exist"},
        {"SELECT count(*) FROM public.secret", 1, 0, "permission denied"},
        {"SELECT 1/0", 1, 0, "division by zero"},
        {"BEGIN", 1, 0, "syntax error"},
        {"", 1, 0, "syntax error"},
    };
    char opts[400];

    if (strcmp(ask(s->super, "SELECT count(*) FROM pg_class WHERE relname = 'q'"), "0") == 0)
        ask(s->super,
            "CREATE TABLE q AS SELECT 7 AS n; CREATE SEQUENCE seq; GRANT ALL ON q, seq TO "
            "watcher; CREATE TABLE secret (n int)");
    source_open(&s->c, &s->r, "sql", s->db);
    const struct watch *w[sizeof(rows) / sizeof(*rows)];
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char *query = mem_printf("%s", rows[i].query);

        for (char *c = query; *c != '\0'; c++)
            *c = *c == '\n' ? ' ' : *c;
        snprintf(opts, sizeof(opts), "{\"query\": \"%s\", \"column\": %d, \"unit\": \"number\"}",
                 query, rows[i].column);
        mem_free(query);
        w[i] = source_watch(&s->c, "sql", s->db, opts, 0);
    }
    for (int round = 0; round < 2; round++) { /* none leaves anything to the next */
        polled(s, w[0]);
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
            const struct reading *g = source_last(&s->c, w[i]);

            assert_non_null(g);
            if (rows[i].why != NULL ? strstr(g->why, rows[i].why) == NULL
                                    : g->why[0] != '\0' || g->value != rows[i].value)
                fail_msg("%s: got %g, \"%s\"", rows[i].query, g->value, g->why);
        }
    }
    assert_string_equal(ask(s->super, "SELECT count(*) FROM q"), "1");
    assert_string_equal(ask(s->super, "SELECT is_called FROM seq"), "f");
}

static void a_statement_that_takes_long_is_ended(void **state)
{
    struct stage *s = *state;
    struct lag_watch lag;

    source_open(&s->c, &s->r, "sql", s->db);
    const struct watch *slow = source_watch(
        &s->c, "sql", s->db, "{\"query\": \"SELECT 1 FROM pg_sleep(60)\", \"unit\": \"count\"}", 0);
    const struct watch *quick =
        source_watch(&s->c, "sql", s->db, "{\"query\": \"SELECT 1\", \"unit\": \"count\"}", 0);
    lag_start(&lag, s->r.loop);
    polled(s, slow);
    lag_check(&lag, s->r.loop);
    assert_non_null(strstr(source_why(&s->c, slow), "57014"));
    assert_int_equal((int)source_value(&s->c, quick), 1);
    assert_string_equal(ask(s->super, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
                                      "'%pg_sleep(60)%' AND state = 'active' AND pid <> "
                                      "pg_backend_pid()"),
                        "0");
    rig_pg_user(&s->r, "nobody");
    source_poll(&s->c);
    assert_int_equal(s->c.err.code, ERR_AUTH);
}

/* The server ends all sessions and recovers: what is in flight and what comes while it is away
 * fails as a whole, and nothing is told that is not so. */
static void over_a_restart(void **state)
{
    static const char *const signals[] = {"pg_connections", "pg_bloat", "pg_replica_lag", "sql"};
    struct stage *s = *state;
    struct source c[4];
    const struct watch *w[4];
    struct lag_watch lag;

    lag_start(&lag, s->r.loop);
    for (size_t i = 0; i < 4; i++) {
        source_open(&c[i], &s->r, signals[i], s->db);
        w[i] = source_watch(&c[i], signals[i], s->db,
                            i == 3 ? "{\"query\": \"SELECT 1\", \"unit\": \"count\"}" : NULL, 0);
        source_poll(&c[i]);
        if (c[i].err.code != 0)
            fail_msg("%s", c[i].err.text);
    }
    kill(number_in(ask(s->super, "SELECT pg_backend_pid()")), SIGKILL);
    for (int failures = 0, round = 0;; round++) {
        size_t well = 0;

        for (size_t i = 0; i < 4; i++) {
            source_poll(&c[i]);
            assert_int_equal(c[i].ended, 1);
            if (c[i].err.code != 0) {
                assert_null(source_last(&c[i], w[i])); /* no zero, no number of before */
                failures++;
            } else {
                well++;
            }
        }
        if (well == 4 && failures > 0)
            break;
        assert_true(round < 100);
        run_for(s->r.loop, 50);
    }
    assert_int_equal((int)source_value(&c[3], w[3]), 1);
    lag_check(&lag, s->r.loop);
    for (size_t i = 0; i < 4; i++)
        source_close(&c[i]);
    PQreset(s->super);
}

/* The replica takes over: it is a primary without a replica now, and no lag of zero. */
static void over_a_failover(void **state)
{
    struct stage *s = *state;

    source_open(&s->c, &s->r, "pg_replica_lag", s->replica);
    const struct watch *w = source_watch(&s->c, "pg_replica_lag", s->replica, NULL, 0);
    const struct watch *size =
        source_watch(&s->c, "pg_replica_lag", s->replica, "{\"unit\": \"size\"}", 0);
    polled(s, w);
    ask(s->there, "SELECT pg_promote()");
    assert_non_null(strstr(polled(s, w)->why, "no replica is connected"));
    assert_non_null(strstr(source_why(&s->c, size), "no replica is connected"));
    source_close(&s->c);
    source_open(&s->c, &s->r, "pg_connections", s->replica);
    w = source_watch(&s->c, "pg_connections", s->replica, NULL, 0);
    polled(s, w);
    assert_true(source_value(&s->c, w) >= 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(dead_rows_of_the_worst_table),
        T(lag_by_the_primary),
        T(lag_by_the_replica),
        T(one_number_of_a_statement),
        T(a_statement_that_takes_long_is_ended),
        T(over_a_restart),
        T(over_a_failover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
