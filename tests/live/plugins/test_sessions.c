/* pg_activity, pg_terminate and pg_cancel on a real server with sessions of every kind: only the
 * right ones are counted, and only the right ones go. */
#include "help_plugins.h"

#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "harness/number.h"

enum kind {
    IDLE1,
    IDLE2,
    OTHER_USER,
    ACTIVE,
    IN_TRANSACTION,
    FAILED_TRANSACTION,
    SUPERUSER,
    REPLICATION,
    WALSENDER,
    MAINTENANCE,
    LOCKER,
    OURS,
    KINDS
};

static const struct {
    const char *options, *sql;
    bool runs; /* does not end */
} kinds[KINDS] = {
    [IDLE1] = {"user=app application_name=pool", "SELECT 1", false},
    [IDLE2] = {"user=app application_name=pool", "SELECT 2", false},
    [OTHER_USER] = {"user=batch application_name=job", "SELECT 1", false},
    [ACTIVE] = {"user=app application_name=pool", "SELECT pg_sleep(600)", true},
    [IN_TRANSACTION] = {"user=app application_name=pool", "BEGIN; SELECT 1", false},
    [FAILED_TRANSACTION] = {"user=app application_name=pool", "BEGIN; SELECT 1/0", false},
    [SUPERUSER] = {"user=postgres application_name=psql", "SELECT 1", false},
    [REPLICATION] = {"user=repl application_name=pool", "SELECT 1", false},
    [WALSENDER] = {"user=repl replication=database", "IDENTIFY_SYSTEM", false},
    [LOCKER] = {"user=app application_name=locker", "BEGIN; LOCK TABLE t", false},
    [MAINTENANCE] = {"user=app application_name=pool", "/* by hand */ VACUUM t", true},
    [OURS] = {"user=runbookd application_name=runbookd", "SELECT 1", false},
};

struct stage {
    struct rig r;
    const struct target *db;
    PGconn *super, *conn[KINDS];
    int pid[KINDS];
};

static PGconn *session(const char *options)
{
    char info[300];
    PGconn *c;

    snprintf(info, sizeof(info), "host=127.0.0.1 port=%s dbname=postgres sslmode=disable %s",
             getenv("PGPORT"), options);
    c = PQconnectdb(info);
    if (PQstatus(c) != CONNECTION_OK)
        fail_msg("%s: %s", options, PQerrorMessage(c));
    return c;
}

static char *ask(struct stage *s, const char *sql)
{
    static char text[200];
    PGresult *r = PQexec(s->super, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(s->super));
    snprintf(text, sizeof(text), "%s", PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return text;
}

static void open_session(struct stage *s, enum kind k)
{
    s->conn[k] = session(kinds[k].options);
    s->pid[k] = PQbackendPID(s->conn[k]);
    if (kinds[k].runs)
        assert_int_equal(PQsendQuery(s->conn[k], kinds[k].sql), 1);
    else
        PQclear(PQexec(s->conn[k], kinds[k].sql));
}

static bool alive(struct stage *s, enum kind k)
{
    char sql[100];

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %d", s->pid[k]);
    return strcmp(ask(s, sql), "1") == 0;
}

/* Exactly these have gone. */
static void assert_gone(struct stage *s, unsigned which)
{
    usleep(300000);
    for (enum kind k = 0; k < KINDS; k++) {
        if (alive(s, k) == ((which >> k & 1) != 0))
            fail_msg("session %d is%s there", k, alive(s, k) ? "" : " not");
    }
}

static void grant(struct stage *s)
{
    char *sql = rig_grants();

    if (strcmp(ask(s, "SELECT count(*) FROM pg_roles WHERE rolname = 'runbookd'"), "0") == 0)
        ask(s, sql);
    mem_free(sql);
}

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));
    char fields[200];

    rig_init(&s->r);
    snprintf(fields, sizeof(fields),
             "{\"host\": \"127.0.0.1\", \"port\": %s, \"database\": \"postgres\", \"user\": \"x\"}",
             getenv("PGPORT"));
    s->db = rig_target(&s->r, "postgres", "db", fields);
    s->super = session("user=postgres application_name=test");
    PQclear(PQexec(s->super,
                   "CREATE ROLE app LOGIN; CREATE ROLE batch LOGIN; CREATE ROLE repl LOGIN "
                   "REPLICATION; CREATE ROLE blind LOGIN; CREATE ROLE watcher LOGIN IN "
                   "ROLE pg_monitor; CREATE TABLE t (n int); ALTER TABLE t OWNER TO app"));
    grant(s);
    for (enum kind k = 0; k < KINDS; k++)
        open_session(s, k == MAINTENANCE ? LOCKER : k == LOCKER ? MAINTENANCE : k);
    usleep(300000);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    for (enum kind k = 0; k < KINDS; k++)
        PQfinish(s->conn[k]);
    PQfinish(s->super);
    for (int i = 0; i < 50; i++) {
        PGconn *c = session("user=postgres application_name=wait");
        bool empty;

        s->super = c;
        empty =
            strcmp(ask(s, "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN "
                          "('client backend', 'walsender') AND usename <> 'runbookd' AND pid <> "
                          "pg_backend_pid()"),
                   "0") == 0;
        ask(s,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type IN ('client "
            "backend', 'walsender') AND pid <> pg_backend_pid()");
        PQfinish(c);
        if (empty)
            break;
        usleep(20000);
    }
    rig_free(&s->r);
    mem_free(s);
    return 0;
}

static const char *const any = "{\"idle_over\": 50, \"max\": 1000}";

static struct json *seen_by(struct stage *s, const char *action, const char *opts)
{
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, action, s->db, opts, &e);

    if (seen == NULL)
        fail_msg("%s", e.text);
    return seen;
}

static struct plan *planned(struct stage *s, const char *action, const char *opts,
                            const struct json *seen)
{
    struct err e = ERR_INIT;
    struct plan *p = plan_of(action, s->db, opts, seen, NULL, &e);

    if (p == NULL)
        fail_msg("%s", e.text);
    return p;
}

/* Looks, plans, carries out; then the probe. */
static void go(struct stage *s, const char *action, const char *opts, size_t expected)
{
    struct json *seen = seen_by(s, action, opts), *out = NULL;
    struct plan *p = planned(s, action, opts, seen);
    const struct action_type *a = action_find(action);
    struct action_input in = {.target = s->db};
    struct err e = ERR_INIT;

    assert_int_equal(json_len(p->names), expected);
    assert_null(plan_broken(p));
    assert_int_equal(a->judge(&in, p, 0, seen),
                     VERDICT_UNKNOWN); /* not yet, and too early to say */
    if (act(&s->r, action, s->db, json_at(p->calls, 0), &out, &e) != APPLIED_OK)
        fail_msg("%s", e.text);
    /* The server shows the beginning of what it was sent last. */
    assert_memory_equal(ask(s, "SELECT left(query, 190) FROM pg_stat_activity WHERE query LIKE "
                               "'SELECT t.identity%'"),
                        json_get_str(json_at(p->calls, 0), "sql", ""), 190);
    assert_int_equal(json_len(json_get(out, "sessions")), expected);
    assert_int_equal(json_len(json_get(out, "missed")), 0);
    usleep(200000);
    json_free(seen);
    seen = seen_by(s, action, opts);
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_YES);
    json_free(seen);
    json_free(out);
    plan_free(p);
}

#define BIT(k) (1u << (k))

static void only_idle_sessions_go(void **state)
{
    struct stage *s = *state;

    go(s, "pg_terminate", any, 3);
    assert_gone(s, BIT(IDLE1) | BIT(IDLE2) | BIT(OTHER_USER));
}

static void filters_and_exceptions(void **state)
{
    struct stage *s = *state;

    go(s, "pg_terminate", "{\"idle_over\": 50, \"user\": \"batch\", \"client\": \"127.0.0.1\"}", 1);
    assert_gone(s, BIT(OTHER_USER));
    go(s, "pg_terminate",
       "{\"idle_over\": 50, \"except_users\": [\"bat\\\"ch\", \"x{}\"], \"max\": 1, "
       "\"application\": \"pool\", \"database\": \"postgres\"}",
       1);
    assert_gone(s, BIT(OTHER_USER) | BIT(IDLE1)); /* the oldest */
    struct json *seen = seen_by(s, "pg_terminate", any);
    struct plan *p =
        planned(s, "pg_terminate", "{\"idle_over\": 50, \"except_users\": [\"app\"]}", seen);
    assert_true(p->empty);
    plan_free(p);
    p = planned(s, "pg_terminate", "{\"idle_over\": 50, \"client\": \"local\"}", seen);
    assert_true(p->empty);
    plan_free(p);
    p = planned(s, "pg_terminate", "{\"idle_over\": 3600000}", seen);
    assert_true(p->empty);
    plan_free(p);
    json_free(seen);
}

static void idle_in_transaction(void **state)
{
    struct stage *s = *state;

    go(s, "pg_terminate", "{\"idle_in_transaction_over\": 50, \"application\": \"pool\"}", 2);
    assert_gone(s, BIT(IN_TRANSACTION) | BIT(FAILED_TRANSACTION));
}

static void running(void **state)
{
    struct stage *s = *state;

    go(s, "pg_terminate", "{\"running_over\": 50}", 1);
    assert_gone(s, BIT(ACTIVE));
}

static void a_cancelled_query_ends_and_its_session_stays(void **state)
{
    struct stage *s = *state;

    go(s, "pg_cancel", "{\"running_over\": 50}", 1);
    assert_gone(s, 0);
    while (PQconsumeInput(s->conn[ACTIVE]) && PQisBusy(s->conn[ACTIVE]))
        usleep(1000);
    PGresult *r = PQgetResult(s->conn[ACTIVE]);
    assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), "57014");
    PQclear(r);
}

/* Cancelled, one goes on as before (its client sends the next query at once) and one obeys. */
static void those_of_a_cancel_that_are_still_busy_go(void **state)
{
    struct stage *s = *state;
    PGconn *stubborn = session("user=app application_name=pool");
    int pid = PQbackendPID(stubborn);
    struct err e = ERR_INIT;

    PQsendQuery(stubborn, "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN "
                          "query_canceled THEN NULL; END; END LOOP; END $$");
    usleep(300000);
    struct json *seen = seen_by(s, "pg_cancel", "{\"running_over\": 50}"), *out = NULL;
    struct plan *p = planned(s, "pg_cancel", "{\"running_over\": 50}", seen);
    assert_int_equal(json_len(p->names), 2);
    assert_true(json_equal(json_get(p->out, "sessions"), p->names));
    assert_int_equal(act(&s->r, "pg_cancel", s->db, json_at(p->calls, 0), &out, &e), APPLIED_OK);
    usleep(300000);
    char *names = json_print(json_get(out, "sessions"));
    char *opts = mem_printf("{\"of\": %s}", names);
    json_free(out);
    json_free(seen);
    plan_free(p);
    /* They may be cancelled once more, or ended: either way only who did not obey. */
    for (const char *const *a = (const char *const[]){"pg_cancel", "pg_terminate", NULL}; *a; a++) {
        seen = seen_by(s, *a, opts);
        p = planned(s, *a, opts, seen);
        char *text = json_print(json_at(p->names, 0)), begins[32];
        snprintf(begins, sizeof(begins), "\"%d@", pid);
        if (json_len(p->names) != 1 || strncmp(text, begins, strlen(begins)) != 0)
            fail_msg("%s", text);
        mem_free(text);
        if (strcmp(*a, "pg_cancel") == 0) {
            assert_int_equal(act(&s->r, *a, s->db, json_at(p->calls, 0), &out, &e), APPLIED_OK);
            assert_int_equal(json_len(json_get(out, "sessions")), 1);
            json_free(out);
        }
        json_free(seen);
        plan_free(p);
    }
    go(s, "pg_terminate", opts, 1);
    assert_gone(s, 0);
    PQconsumeInput(stubborn);
    while (PQconsumeInput(stubborn) && PQisBusy(stubborn))
        usleep(1000);
    PGresult *r = PQgetResult(stubborn);
    assert_string_equal(PQresultErrorField(r, PG_DIAG_SQLSTATE), "57P01");
    PQclear(r);
    PQfinish(stubborn);
    /* Now there is nobody left of them. */
    seen = seen_by(s, "pg_terminate", opts);
    p = planned(s, "pg_terminate", opts, seen);
    assert_true(p->empty);
    json_free(seen);
    plan_free(p);
    mem_free(names);
    mem_free(opts);
}

/* Names as a plan has them, with one piece exchanged. */
static struct json *call_with(const struct plan *p, const char *from, const char *to)
{
    char *text = json_print(json_at(p->calls, 0)), *at = strstr(text, from), *whole;
    struct err e = ERR_INIT;
    struct json *call;

    assert_non_null(at);
    whole = mem_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    call = json_parse(whole, strlen(whole), 1 << 20, &e);
    assert_non_null(call);
    mem_free(whole);
    mem_free(text);
    return call;
}

static void a_reused_pid_is_another_session(void **state)
{
    struct stage *s = *state;
    struct json *seen = seen_by(s, "pg_terminate", any), *call;
    struct plan *p = planned(s, "pg_terminate", any, seen);
    struct err e = ERR_INIT;
    char pid[32], other[32];

    /* The pid of another idle session with this one's times: as if it had been given away. */
    snprintf(pid, sizeof(pid), "%d@", s->pid[IDLE1]);
    snprintf(other, sizeof(other), "%d@", s->pid[OTHER_USER]);
    for (const struct json *n = json_first(p->names); n != NULL; n = json_next(n)) {
        struct json *names;
        char *text;

        if (strncmp(json_str(n, ""), pid, strlen(pid)) != 0)
            continue;
        text = mem_printf("%s%s", other, json_str(n, "") + strlen(pid));
        call = json_copy(json_at(p->calls, 0));
        names = json_set(json_get_mut(call, "args"), "names", json_new_list());
        json_add(names, json_new_str(text));
        assert_int_equal(act(&s->r, "pg_terminate", s->db, call, NULL, &e), APPLIED_REFUSED);
        assert_non_null(strstr(e.text, "none of the 1"));
        json_free(call);
        mem_free(text);
    }
    /* A microsecond off is another session, too. */
    call = call_with(p, ".", ".9");
    assert_gone(s, 0);
    json_free(call);
    json_free(seen);
    plan_free(p);
}

static void what_woke_up_meanwhile_is_left(void **state)
{
    struct stage *s = *state;
    struct json *seen = seen_by(s, "pg_terminate", any), *out = NULL, *again;
    struct plan *p = planned(s, "pg_terminate", any, seen), *less;
    struct err e = ERR_INIT;

    PQclear(PQexec(s->conn[IDLE2], "SELECT 3"));
    /* Made again, the plan names those that are left, and may go ahead in place of the first. */
    again = seen_by(s, "pg_terminate", any);
    less = plan_of("pg_terminate", s->db, any, again, p->names, &e);
    assert_int_equal(json_len(less->names), 2);
    assert_true(plan_same_or_less(p, less));
    /* And when it woke up after that: */
    assert_int_equal(act(&s->r, "pg_terminate", s->db, json_at(p->calls, 0), &out, &e), APPLIED_OK);
    assert_int_equal(json_len(json_get(out, "sessions")), 2);
    assert_int_equal(json_len(json_get(out, "missed")), 1);
    assert_gone(s, BIT(IDLE1) | BIT(OTHER_USER));
    json_free(out);
    json_free(seen);
    json_free(again);
    plan_free(p);
    plan_free(less);
}

/* Names alone do not help: each of the protected ones, named by its true identity, stays. */
static void the_statement_itself_refuses_the_protected(void **state)
{
    struct stage *s = *state;
    static const enum kind protected[] = {SUPERUSER, REPLICATION, WALSENDER, MAINTENANCE, OURS};
    static const char *const modes[] = {"idle_over", "idle_in_transaction_over", "running_over"};
    struct json *seen = seen_by(s, "pg_terminate", any);
    struct err e = ERR_INIT;

    for (size_t i = 0; i < sizeof(protected) / sizeof(*protected) * 3; i++) {
        char sql[400], opts[100];
        struct plan *p;

        snprintf(sql, sizeof(sql),
                 "SELECT pid || '@' || to_char(backend_start AT TIME ZONE 'UTC', "
                 "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') || '/' || to_char(%s AT TIME ZONE 'UTC', "
                 "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pg_stat_activity WHERE pid = %d",
                 i % 3 == 2 ? "query_start" : "state_change", s->pid[protected[i / 3]]);
        snprintf(opts, sizeof(opts), "{\"%s\": 1, \"max\": 1}", modes[i % 3]);
        p = planned(s, "pg_terminate", opts, seen); /* of others */
        struct json *call = call_with(p, json_str(json_at(p->names, 0), "?"), ask(s, sql));
        assert_int_equal(act(&s->r, "pg_terminate", s->db, call, NULL, &e), APPLIED_REFUSED);
        json_free(call);
        plan_free(p);
    }
    json_free(seen);
    assert_gone(s, 0);
}

static void after_a_restart_no_name_fits(void **state)
{
    struct stage *s = *state;
    struct json *seen = seen_by(s, "pg_terminate", any);
    struct plan *p = planned(s, "pg_terminate", any, seen);
    struct action_input in = {.target = s->db};
    struct err e = ERR_INIT;

    kill(s->pid[ACTIVE], SIGKILL); /* the server ends all sessions and recovers */
    for (int i = 0; i < 200 && PQstatus(s->super) == CONNECTION_OK; i++) {
        PQclear(PQexec(s->super, "SELECT 1"));
        usleep(20000);
    }
    for (int i = 0; i < 100; i++) {
        PQreset(s->super);
        if (PQstatus(s->super) == CONNECTION_OK)
            break;
        usleep(50000);
    }
    for (enum kind k = 0; k < KINDS; k++)
        PQfinish(s->conn[k]);
    for (enum kind k = 0; k < KINDS; k++)
        open_session(s, k == MAINTENANCE ? LOCKER : k == LOCKER ? MAINTENANCE : k);
    run_for(s->r.loop, 300); /* our own connection is seen to have ended, too */
    if (act(&s->r, "pg_terminate", s->db, json_at(p->calls, 0), NULL, &e) != APPLIED_REFUSED)
        fail_msg("%s", e.text);
    assert_gone(s, 0);
    json_free(seen);
    seen = seen_by(s, "pg_terminate", any);
    assert_int_equal(action_find("pg_terminate")->judge(&in, p, 0, seen), VERDICT_YES);
    json_free(seen);
    plan_free(p);
}

static void missing_rights_are_named(void **state)
{
    struct stage *s = *state;
    struct err e = ERR_INIT;
    struct json *seen;

    rig_pg_user(&s->r, "blind");
    assert_null(look(&s->r, "pg_terminate", s->db, any, &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_non_null(strstr(e.text, "GRANT pg_monitor TO blind"));
    rig_pg_user(&s->r, "watcher");
    seen = seen_by(s, "pg_terminate", any);
    assert_null(plan_of("pg_terminate", s->db, any, seen, NULL, &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_non_null(strstr(e.text, "pg_signal_backend"));
    json_free(seen);
    rig_pg_user(&s->r, "nobody");
    assert_null(look(&s->r, "pg_terminate", s->db, any, &e));
    assert_int_equal(e.code, ERR_AUTH);
    s->r.no_pg = true;
    assert_null(look(&s->r, "pg_terminate", s->db, any, &e));
    struct json *call = json_new_map();
    json_add(json_set(json_set(call, "args", json_new_map()), "names", json_new_list()),
             json_new_str("1@a/b"));
    assert_int_equal(act(&s->r, "pg_terminate", s->db, call, NULL, &e), APPLIED_NOT_SENT);
    s->r.no_pg = false;
    json_free(call);
    assert_gone(s, 0);
}

static void a_stopped_server_leaves_it_in_doubt(void **state)
{
    struct stage *s = *state;
    struct json *seen = seen_by(s, "pg_terminate", any);
    struct plan *p = planned(s, "pg_terminate", any, seen);
    struct err e = ERR_INIT;
    int backend =
        number_in(ask(s, "SELECT pid FROM pg_stat_activity WHERE usename = 'runbookd' AND "
                         "state_change = (SELECT max(state_change) FROM pg_stat_activity WHERE "
                         "usename = 'runbookd')"));

    assert_true(backend > 0);
    cut_off(&s->r, "pg_terminate", s->db, any, NULL, 0);
    cut_off(&s->r, "pg_terminate", s->db, any, NULL, 2);
    run_for(s->r.loop, 100);
    kill(backend, SIGSTOP);
    assert_int_equal(act(&s->r, "pg_terminate", s->db, json_at(p->calls, 0), NULL, &e),
                     APPLIED_IN_DOUBT);
    kill(backend, SIGCONT);
    cut_off(&s->r, "pg_terminate", s->db, any, json_at(p->calls, 0), 0);
    json_free(seen);
    plan_free(p);
}

/* The collector */

static void counts_by_filter(void **state)
{
    struct stage *s = *state;
    const struct target *t = rig_target(&s->r, "service", "portal", "{\"postgres\": \"db\"}");
    struct source c;

    source_open(&c, &s->r, "pg_connections", s->db);
    const struct watch *all = source_watch(&c, "pg_connections", t, NULL, 0);
    const struct watch *idle =
        source_watch(&c, "pg_connections", s->db, "{\"state\": \"idle\", \"user\": \"app\"}", 0);
    const struct watch *tx =
        source_watch(&c, "pg_connections", s->db, "{\"state\": \"idle_in_transaction\"}", 0);
    const struct watch *job = source_watch(
        &c, "pg_connections", s->db, "{\"application\": \"job\", \"client\": \"127.0.0.1\"}", 0);
    const struct watch *none =
        source_watch(&c, "pg_connections", s->db, "{\"database\": \"other\"}", 0);
    const struct watch *used = source_watch(&c, "pg_conn_used", s->db, NULL, 0);
    const struct watch *age =
        source_watch(&c, "pg_query_age", s->db, "{\"application\": \"pool\"}", 0);
    const struct watch *old = source_watch(&c, "pg_idle_in_transaction", s->db, NULL, 0);
    const struct watch *no_query =
        source_watch(&c, "pg_query_age", s->db, "{\"user\": \"batch\"}", 0);
    source_poll(&c);
    /* All client backends but our own: 10 of the kinds and the test's own; a walsender is none. */
    assert_int_equal((int)source_value(&c, all), 11);
    assert_int_equal((int)source_value(&c, idle), 2);
    assert_int_equal((int)source_value(&c, tx), 3);
    assert_int_equal((int)source_value(&c, job), 1);
    assert_int_equal((int)source_value(&c, none), 0);
    char *max = ask(s, "SELECT current_setting('max_connections')::int - 3");
    assert_true(source_value(&c, used) > 1099.9 / number_in(max) &&
                source_value(&c, used) < 1100.1 / number_in(max));
    assert_true(source_value(&c, age) > 200 && source_value(&c, age) < 20000);
    assert_true(source_value(&c, old) > 200 && source_value(&c, old) < 20000);
    assert_int_equal((int)source_value(&c, no_query), 0);
    assert_true(all->signal->zero_plain(idle->opts) && !all->signal->zero_plain(all->opts));
    /* One statement for all of them. */
    size_t before = c.ngot;
    assert_int_equal(before, 9);
    source_close(&c);
}

/* Names are data, whatever is in them. */
static void names_of_every_kind_are_filtered_by(void **state)
{
    struct stage *s = *state;
    static const char app[] = "x'; DROP TABLE t; -- \\\" {}$1,%s";
    struct source c;

    PGconn *odd = session("user=app");
    char *quoted = PQescapeLiteral(odd, app, strlen(app)), sql[200];
    snprintf(sql, sizeof(sql), "SET application_name = %s", quoted);
    PQfreemem(quoted);
    PQclear(PQexec(odd, sql));
    source_open(&c, &s->r, "pg_connections", s->db);
    const struct watch *w = source_watch(&c, "pg_connections", s->db, NULL, 0);
    json_set_str((struct json *)w->opts, "application", app);
    source_poll(&c);
    assert_int_equal((int)source_value(&c, w), 1);
    json_set_str((struct json *)w->opts, "application", "%");
    source_poll(&c);
    assert_int_equal((int)source_value(&c, w), 0);
    /* A role that keeps what it does from being tracked. */
    ask(s, "ALTER ROLE batch SET track_activities = off");
    PGconn *dark = session("user=batch");
    const struct watch *age = source_watch(&c, "pg_query_age", s->db, NULL, 0);
    const struct watch *idle =
        source_watch(&c, "pg_connections", s->db, "{\"state\": \"idle\"}", 0);
    const struct watch *app_only =
        source_watch(&c, "pg_query_age", s->db, "{\"user\": \"app\"}", 0);
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, age), "track_activities"));
    assert_non_null(strstr(source_why(&c, idle), "track_activities"));
    assert_true(source_value(&c, app_only) > 0);
    ask(s, "ALTER ROLE batch RESET track_activities");
    PQfinish(dark);
    PQfinish(odd);
    source_close(&c);
}

static void the_collector_says_what_it_lacks(void **state)
{
    struct stage *s = *state;
    struct source c;

    source_open(&c, &s->r, "pg_connections", s->db);
    const struct watch *w = source_watch(&c, "pg_connections", s->db, NULL, 0);
    rig_pg_user(&s->r, "blind");
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, w), "GRANT pg_monitor TO blind"));
    rig_pg_user(&s->r, "nobody");
    source_poll(&c);
    assert_int_equal(c.err.code, ERR_AUTH);
    assert_null(source_last(&c, w));
    s->r.no_pg = true;
    source_poll(&c);
    assert_int_equal(c.err.code, ERR_AUTH);
    s->r.no_pg = false;
    rig_pg_user(&s->r, "runbookd");
    source_poll(&c);
    assert_int_equal((int)source_value(&c, w), 11);
    source_close(&c);
}

static void a_hung_server_meets_the_deadline(void **state)
{
    struct stage *s = *state;
    struct source c;

    source_open(&c, &s->r, "pg_connections", s->db);
    const struct watch *w = source_watch(&c, "pg_connections", s->db, NULL, 0);
    source_poll(&c);
    int backend =
        number_in(ask(s, "SELECT max(pid) FROM pg_stat_activity WHERE usename = 'runbookd' AND "
                         "query LIKE '%UNION ALL%'"));
    assert_true(backend > 0);
    kill(backend, SIGSTOP);
    source_poll(&c);
    kill(backend, SIGCONT);
    assert_int_equal(c.err.code, ERR_TIMEOUT);
    assert_null(source_last(&c, w));
    source_poll(&c);
    assert_int_equal((int)source_value(&c, w), 11);
    /* Cancelled in the middle: nothing more is heard of it. */
    c.ngot = 0;
    c.ended = 0;
    source_begin(&c);
    c.type->cancel(c.self);
    run_for(s->r.loop, 300);
    assert_int_equal(c.ngot + (size_t)c.ended, 0);
    source_begin(&c);
    source_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(only_idle_sessions_go),
        T(filters_and_exceptions),
        T(idle_in_transaction),
        T(running),
        T(a_cancelled_query_ends_and_its_session_stays),
        T(those_of_a_cancel_that_are_still_busy_go),
        T(a_reused_pid_is_another_session),
        T(what_woke_up_meanwhile_is_left),
        T(the_statement_itself_refuses_the_protected),
        T(missing_rights_are_named),
        T(counts_by_filter),
        T(names_of_every_kind_are_filtered_by),
        T(the_collector_says_what_it_lacks),
        T(a_hung_server_meets_the_deadline),
        T(a_stopped_server_leaves_it_in_doubt),
        T(after_a_restart_no_name_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
