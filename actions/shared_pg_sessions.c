/* Sessions of a PostgreSQL server: observed, chosen, signalled by identity in one statement, and
 * looked for afterwards. */
#include "shared_pg_sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/loop.h"
#include "io/pg.h"

#define NAMES_TEXT_MAX (1u << 20)
#define STATEMENT_MAX_MS 10000
/* A terminated backend that waits for a client ends within milliseconds, a cancelled query at its
 * next check for interrupts; a statement whose answer was lost is carried out at once or not at
 * all. So long after the plan was made, on the server's clock, a session that is still there was
 * not signalled. */
#define STILL_DYING_MS 10000

/* All backends as rows of `s`. What is never signalled, whatever a policy says, is decided here,
 * for looking and for acting alike: everything but client backends (autovacuum, replication and
 * parallel workers, walsenders), superusers and roles with REPLICATION, the roles that RDS keeps
 * for itself, our own sessions, and maintenance: what shows in the progress views, what its query
 * text begins with (after comments) unless it is over, and the programs that come with PostgreSQL
 * for it. The times are microseconds exact: to_char's US. A NULL in any of these counts as a no. */
#define TIME_TEXT(column)                                                                          \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define AGE(column) "(extract(epoch FROM clock_timestamp() - " column ") * 1000)::bigint"

static const char sessions_sql[] =
    "SELECT a.pid, " TIME_TEXT("a.backend_start") " AS backend_start, " TIME_TEXT("a.state_change") " AS state_change, " TIME_TEXT("a.query_start") " AS query_start, " TIME_TEXT(
        "a.xact_start") " AS xact_start, a.usename AS \"user\", a.datname AS database, "
                        "a.application_name AS application, coalesce(host(a.client_addr), 'local') "
                        "AS client, a.state, "
                        "a.backend_type, coalesce(r.rolsuper, true) AS superuser, "
                        "coalesce(r.rolreplication, true) OR a.usename IN ('rdsadmin', "
                        "'rdsrepladmin', 'rdsproxyadmin', "
                        "'rdstopmgr', 'rds_superuser') OR a.datname = 'rdsadmin' AS reserved, "
                        "a.pid = pg_backend_pid() OR (a.usename = current_user AND "
                        "a.application_name LIKE 'runbookd%') "
                        "AS own, "
                        "a.pid IN (SELECT pid FROM pg_stat_progress_vacuum UNION ALL "
                        "SELECT pid FROM pg_stat_progress_analyze UNION ALL "
                        "SELECT pid FROM pg_stat_progress_cluster UNION ALL "
                        "SELECT pid FROM pg_stat_progress_create_index UNION ALL "
                        "SELECT pid FROM pg_stat_progress_basebackup) "
                        "OR a.application_name IN ('pg_dump', 'pg_dumpall', 'pg_restore', "
                        "'pg_basebackup', 'pg_repack', "
                        "'vacuumdb', 'reindexdb', 'clusterdb', 'pg_upgrade') "
                        "OR (a.state <> 'idle' AND a.query ~* "
                        "'^(\\s|--[^\\n]*(\\n|$)|/\\*([^*]|\\*+[^*/])*\\*+/"
                        ")*(vacuum|analyze|reindex|cluster|checkpoint|"
                        "create\\s+(unique\\s+)?index|create\\s+materialized|refresh\\s+"
                        "materialized|alter\\s+table|"
                        "alter\\s+index|alter\\s+system|drop\\s+index|pg_(start|stop|backup))') AS "
                        "maintenance, "
                        "coalesce(pg_has_role(a.usesysid, 'USAGE') OR "
                        "pg_has_role('pg_signal_backend', 'USAGE'), false) "
                        "AS permitted, " AGE("a.state_change") " AS state_age_ms, " AGE(
                            "a.query_start") " AS query_age_ms, " AGE("a.xact_start") " AS "
                                                                                      "xact_age_ms "
                                                                                      "FROM "
                                                                                      "pg_stat_"
                                                                                      "activity a "
                                                                                      "LEFT JOIN "
                                                                                      "pg_roles r "
                                                                                      "ON r.oid = "
                                                                                      "a.usesysid";

static const char eligible_sql[] = "s.backend_type = 'client backend' AND NOT s.superuser AND NOT "
                                   "s.reserved AND NOT s.own AND NOT s.maintenance AND s.permitted";

/* The conditions, one of which is an option: three of age, and `of`, by which another action's
 * sessions are taken: "PID@BACKEND_START/..." of each, whatever it has done since. To cancel
 * interrupts a query: of those named it takes the ones that run one. */
struct age {
    const char *option, *words, *doing, *mark, *age, *state, *sql;
    bool named, cancel; /* by names; of a pg_cancel */
};

#define NAMED_SQL "s.pid || '@' || s.backend_start = ANY ($2::text[])"

static const struct age modes[] = {
    {"idle_over", "idle", "idle", "state_change", "state_age_ms", "idle",
     "s.state = 'idle' AND s.state_age_ms > $2::bigint", false, false},
    {"idle_in_transaction_over", "idle in transaction", "idle in transaction", "state_change",
     "state_age_ms", "idle in transaction",
     "s.state IN ('idle in transaction', 'idle in transaction (aborted)') "
     "AND s.state_age_ms > $2::bigint",
     false, false},
    {"running_over", "running", "running", "query_start", "query_age_ms", "active",
     "s.state = 'active' AND s.query_age_ms > $2::bigint", false, false},
    {"of", "named before and still busy", "unchanged for", "state_change", "state_age_ms", NULL,
     "s.state <> 'idle' AND " NAMED_SQL, true, false},
    {"of", "named before and still running", "running", "query_start", "query_age_ms", "active",
     "s.state = 'active' AND " NAMED_SQL, true, true},
};

static const struct age *mode_of(const struct json *opts, bool cancel)
{
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        if (json_get(opts, modes[i].option) != NULL &&
            (!modes[i].named || modes[i].cancel == cancel))
            return &modes[i];
    }
    return NULL;
}

/* Looking and doing: one statement each */

struct asking {
    struct action_call *c;
    struct pg *pg;
    struct loop_timer *later; /* to fail from outside the call */
    struct err err;
};

static void asking_free(struct asking *k)
{
    if (k->pg != NULL)
        pg_forget(k->pg, k);
    loop_timer_free(k->later);
    k->c->state = NULL;
    mem_free(k);
}

void pg_sessions_cancel(struct action_call *c)
{
    if (c->state != NULL)
        asking_free(c->state);
}

static void end_observe(struct asking *k, struct json *seen, const struct err *e)
{
    struct action_call *c = k->c;

    k->pg = NULL; /* its callback is over */
    asking_free(k);
    c->observed(c, seen, e);
}

static void end_apply(struct asking *k, enum applied how, struct json *out, const struct err *e)
{
    struct action_call *c = k->c;

    k->pg = NULL;
    asking_free(k);
    c->applied(c, how, out, e);
}

static void later(void *arg)
{
    struct asking *k = arg;
    struct err e = k->err;

    if (k->c->call == NULL)
        end_observe(k, NULL, &e);
    else
        end_apply(k, APPLIED_NOT_SENT, NULL, &e);
}

/* NULL, and the failure on its way, when there is no connection to be had. */
static struct asking *begin(struct action_call *c)
{
    struct asking *k = mem_alloc(sizeof(*k));

    c->state = k;
    k->c = c;
    k->pg = c->io->pg(c->io->arg, c->target, "act", &k->err);
    if (k->pg != NULL)
        return k;
    k->later = loop_timer_new(c->io->loop, later, k);
    loop_timer_set(k->later, 0);
    return NULL;
}

/* io/pg gives up a second after the server should have. */
static int64_t statement_ms(const struct action_call *c)
{
    int64_t ms = c->deadline_ms > 0 ? c->deadline_ms - 1500 : STATEMENT_MAX_MS;

    return ms < 500 ? 500 : ms > STATEMENT_MAX_MS ? STATEMENT_MAX_MS : ms;
}

static bool truth(const struct pg_rows *rows, size_t row, const char *column, bool unknown)
{
    const char *v = pg_value(rows, row, column);

    return v != NULL ? strcmp(v, "t") == 0 : unknown;
}

static void see_number(struct json *j, const struct pg_rows *rows, size_t row, const char *column)
{
    const char *v = pg_value(rows, row, column);

    if (v != NULL)
        json_set_int(j, column, strtoll(v, NULL, 10));
}

static struct json *see_session(const struct pg_rows *rows, size_t row)
{
    static const char *const words[] = {"backend_start", "state_change", "query_start",
                                        "xact_start",    "user",         "database",
                                        "application",   "client",       "state"};
    struct json *j = json_new_map();

    see_number(j, rows, row, "pid");
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        json_set_str(j, words[i], pg_value(rows, row, words[i]));
    json_set_str(j, "backend_type", pg_value(rows, row, "backend_type"));
    json_set_bool(j, "superuser", truth(rows, row, "superuser", true));
    json_set_bool(j, "reserved", truth(rows, row, "reserved", true));
    json_set_bool(j, "own", truth(rows, row, "own", true));
    json_set_bool(j, "maintenance", truth(rows, row, "maintenance", true));
    json_set_bool(j, "permitted", truth(rows, row, "permitted", false));
    see_number(j, rows, row, "state_age_ms");
    see_number(j, rows, row, "query_age_ms");
    see_number(j, rows, row, "xact_age_ms");
    return j;
}

static void on_sessions(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct asking *k = arg;
    struct json *seen, *list;
    struct err bad = ERR_INIT;
    size_t hidden = 0;
    const char *me = NULL;

    (void)left;
    if (e != NULL) {
        end_observe(k, NULL, e);
        return;
    }
    seen = json_new_map();
    list = json_set(seen, "sessions", json_new_list());
    for (size_t i = 0; i < pg_rows_count(rows); i++) {
        me = pg_value(rows, i, "me");
        if (i == 0)
            json_set_int(seen, "now_ms", strtoll(pg_value(rows, i, "now_ms"), NULL, 10));
        if (pg_value(rows, i, "pid") == NULL)
            continue;
        if (pg_value(rows, i, "backend_type") == NULL && pg_value(rows, i, "database") != NULL)
            hidden++;
        json_add(list, see_session(rows, i));
    }
    if (hidden > 0) {
        err_set(
            &bad, ERR_DENIED,
            "PostgreSQL %s: %zu sessions of other roles are hidden from %s: GRANT pg_monitor TO "
            "%s",
            k->c->target->name, hidden, me, me);
        json_free(seen);
        end_observe(k, NULL, &bad);
        return;
    }
    end_observe(k, seen, NULL);
}

void pg_sessions_observe(struct action_call *c)
{
    struct asking *k = begin(c);
    char *sql;

    if (k == NULL)
        return;
    sql = mem_printf("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms, "
                     "current_user AS me, s.* FROM (SELECT 1) one LEFT JOIN (%s) s ON true",
                     sessions_sql);
    pg_query(k->pg, sql, NULL, 0, statement_ms(c), on_sessions, k);
    mem_free(sql);
}

static bool listed(const struct json *list, const char *word)
{
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (strcmp(json_str(i, ""), word) == 0)
            return true;
    }
    return false;
}

static void on_signalled(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct asking *k = arg;
    const struct json *names = json_get(json_get(k->c->call, "args"), "names");
    struct json *out, *done, *missed;
    struct err none = ERR_INIT;

    if (e != NULL) {
        /* Signals are not undone when a statement fails after some were sent. */
        end_apply(k, left ? APPLIED_IN_DOUBT : APPLIED_NOT_SENT, NULL, e);
        return;
    }
    out = json_new_map();
    done = json_set(out, "sessions", json_new_list());
    missed = json_set(out, "missed", json_new_list());
    for (size_t i = 0; i < pg_rows_count(rows); i++) {
        if (truth(rows, i, "signalled", false))
            json_add(done, json_new_str(pg_value(rows, i, "identity")));
    }
    for (const struct json *n = json_first(names); n != NULL; n = json_next(n)) {
        if (!listed(done, json_str(n, "")))
            json_add(missed, json_copy(n));
    }
    if (json_len(done) == 0) {
        json_free(out);
        err_set(&none, ERR_STATE, "none of the %zu sessions is as it was any more",
                json_len(names));
        end_apply(k, APPLIED_REFUSED, NULL, &none);
        return;
    }
    end_apply(k, APPLIED_OK, out, NULL);
}

/* {"a","b"} as PostgreSQL reads an array of text. The caller frees. */
static char *array_text(const struct json *list)
{
    struct buf b;

    buf_init(&b, NAMES_TEXT_MAX);
    (void)buf_addc(&b, '{');
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        (void)buf_adds(&b, b.len > 1 ? ",\"" : "\"");
        for (const char *c = json_str(i, ""); *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                (void)buf_addc(&b, '\\');
            (void)buf_addc(&b, *c);
        }
        (void)buf_addc(&b, '"');
    }
    (void)buf_addc(&b, '}');
    return buf_take(&b);
}

/* The arguments of a call by the statement's parameters, $1 and on; $2 is the one or the other. */
#define PARAMS 7
static const char *const param_names[PARAMS] = {"names",       "over_ms", "database",    "user",
                                                "application", "client",  "except_users"};

/* NULL where there is none: the statement takes it for any. The caller frees. */
static char *param_text(const struct json *v)
{
    switch (json_type(v)) {
    case JSON_LIST:
        return array_text(v);
    case JSON_NUMBER:
        return mem_printf("%lld", (long long)json_int(v, 0));
    default:
        return mem_strdup(json_str(v, NULL));
    }
}

void pg_sessions_apply(struct action_call *c)
{
    const struct json *args = json_get(c->call, "args"), *of = json_get(args, "of");
    const char *sql = json_get_str(c->call, "sql", NULL);
    struct asking *k = begin(c);
    char *texts[PARAMS];

    if (k == NULL)
        return;
    if (sql == NULL || json_len(json_get(args, "names")) == 0) {
        err_set(&k->err, ERR_BUG, "the call names no sessions, or has no statement");
        k->later = loop_timer_new(c->io->loop, later, k);
        loop_timer_set(k->later, 0);
        return;
    }
    for (size_t i = 0; i < PARAMS; i++)
        texts[i] = param_text(i == 1 && of != NULL ? of : json_get(args, param_names[i]));
    pg_query(k->pg, sql, (const char *const *)texts, PARAMS, statement_ms(c), on_signalled, k);
    for (size_t i = 0; i < PARAMS; i++)
        mem_free(texts[i]);
}

/* Thinking */

struct chosen {
    int64_t age_ms, pid;
    char identity[PG_IDENTITY_MAX];
};

/* What a test leaves out of a session: it is a client backend of an ordinary role that we may
 * signal. What was really seen says all of it. */
static bool eligible(const struct json *s)
{
    return strcmp(json_get_str(s, "backend_type", "client backend"), "client backend") == 0 &&
           (json_get(s, "backend_type") == NULL ||
            json_type(json_get(s, "backend_type")) == JSON_STRING) &&
           !json_get_bool(s, "superuser", false) && !json_get_bool(s, "reserved", false) &&
           strcmp(json_get_str(s, "user", ""), "rdsadmin") != 0 &&
           !json_get_bool(s, "own", false) && !json_get_bool(s, "maintenance", false);
}

/* The part of an identity before its mark: pid and backend_start. */
static bool same_session(const struct json *s, const char *identity)
{
    char own[PG_IDENTITY_MAX];
    const char *slash = strrchr(identity, '/');
    int len = snprintf(own, sizeof(own), "%lld@%s", (long long)json_get_int(s, "pid", 0),
                       json_get_str(s, "backend_start", ""));

    return slash != NULL && len == (int)(slash - identity) &&
           memcmp(own, identity, (size_t)len) == 0;
}

static bool named_before(const struct json *s, const struct json *list)
{
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (same_session(s, json_str(i, "")))
            return true;
    }
    return false;
}

static bool wanted(const struct json *s, const struct json *opts, const struct age *m)
{
    static const char *const filters[] = {"database", "user", "application", "client"};
    const char *state = json_get_str(s, "state", "");

    for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
        const char *f = json_get_str(opts, filters[i], NULL);

        if (f != NULL && strcmp(json_get_str(s, filters[i], ""), f) != 0)
            return false;
    }
    if (listed(json_get(opts, "except_users"), json_get_str(s, "user", "")))
        return false;
    /* Who has become idle obeyed, and is left alone. */
    if (m->named)
        return (m->state != NULL ? strcmp(state, m->state) == 0 : strcmp(state, "idle") != 0) &&
               named_before(s, json_get(opts, m->option));
    if (strcmp(state, m->state) != 0 && !(strcmp(m->state, "idle in transaction") == 0 &&
                                          strcmp(state, "idle in transaction (aborted)") == 0))
        return false;
    return json_get_int(s, m->age, -1) > json_get_int(opts, m->option, INT64_MAX);
}

static bool identify(const struct json *s, const struct age *m, char *out, size_t size)
{
    int64_t pid = json_get_int(s, "pid", 0);

    return pid > 0 && (size_t)snprintf(out, size, "%lld@%s/%s", (long long)pid,
                                       json_get_str(s, "backend_start", ""),
                                       json_get_str(s, m->mark, "")) < size;
}

static int oldest_first(const void *a, const void *b)
{
    const struct chosen *x = a, *y = b;
    const char *p = strrchr(x->identity, '/'), *q = strrchr(y->identity, '/');
    int order = strcmp(p, q);

    /* By the mark itself, where there is one: the server reads its clock anew for each row, so that
     * of two that are close each is the older at times, and the same plan would look like another.
     * Only a test leaves marks out. */
    if (order != 0)
        return p[1] == '\0' ? 1 : q[1] == '\0' ? -1 : order;
    if (x->age_ms != y->age_ms)
        return x->age_ms > y->age_ms ? -1 : 1;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static struct chosen *choose(const struct action_input *in, const struct json *list,
                             const struct age *m, size_t *n, size_t *forbidden)
{
    struct chosen *all = mem_calloc(json_len(list) + 1, sizeof(*all));

    *n = *forbidden = 0;
    for (const struct json *s = json_first(list); s != NULL; s = json_next(s)) {
        struct chosen *x = &all[*n];

        if (!eligible(s) || !wanted(s, in->opts, m) ||
            !identify(s, m, x->identity, sizeof(x->identity)) ||
            (in->within != NULL && !listed(in->within, x->identity)))
            continue;
        if (!json_get_bool(s, "permitted", true)) {
            ++*forbidden;
            continue;
        }
        x->age_ms = json_get_int(s, m->age, 0);
        x->pid = json_get_int(s, "pid", 0);
        (*n)++;
    }
    if (*n > 1)
        qsort(all, *n, sizeof(*all), oldest_first);
    return all;
}

/* "idle for more than 30m"; m->words. */
static void say_which(char *out, size_t size, const struct age *m, const struct json *opts)
{
    char over[UNIT_TEXT];

    if (m->named)
        snprintf(out, size, "%s", m->words);
    else
        snprintf(out, size, "%s for more than %s", m->words,
                 unit_format_duration(over, sizeof(over), json_get_int(opts, m->option, 0)));
}

/* OFFSET 0 keeps the signal out of the inner query: it is sent for the rows that are left. The
 * caller frees. */
static char *statement(const struct age *m, bool cancel)
{
    return mem_printf(
        "SELECT t.identity, %s(t.pid) AS signalled FROM (SELECT s.pid, s.pid || '@' || "
        "s.backend_start || '/' || s.%s AS identity FROM (%s) s WHERE %s AND %s "
        "AND s.pid || '@' || s.backend_start || '/' || s.%s = ANY ($1::text[]) "
        "AND ($3::text IS NULL OR s.database = $3) AND ($4::text IS NULL OR s.\"user\" = $4) "
        "AND ($5::text IS NULL OR s.application = $5) AND ($6::text IS NULL OR s.client = $6) "
        "AND ($7::text[] IS NULL OR s.\"user\" <> ALL ($7::text[])) OFFSET 0) t",
        cancel ? "pg_cancel_backend" : "pg_terminate_backend", m->mark, sessions_sql, eligible_sql,
        m->sql, m->mark);
}

/* The statement's parameters, as they are sent, but for the names. */
static struct json *statement_args(const struct age *m, const struct json *opts)
{
    struct json *args = json_new_map(), *of;

    if (m->named) {
        of = json_set(args, "of", json_new_list());
        for (const struct json *i = json_first(json_get(opts, m->option)); i != NULL;
             i = json_next(i)) {
            const char *who = json_str(i, ""), *slash = strrchr(who, '/');
            char *start = mem_printf("%.*s", (int)(slash != NULL ? slash - who : (long)strlen(who)),
                                     who); /* without the mark */

            json_add(of, json_new_str(start));
            mem_free(start);
        }
    } else {
        json_set_int(args, "over_ms", json_get_int(opts, m->option, 0));
    }
    for (size_t i = 2; i < PARAMS; i++)
        if (json_get(opts, param_names[i]) != NULL)
            json_set(args, param_names[i], json_copy(json_get(opts, param_names[i])));
    return args;
}

struct plan *pg_sessions_plan(const struct action_input *in, const struct json *seen, bool cancel,
                              struct err *e)
{
    const struct json *list = json_get(seen, "sessions");
    const struct age *m = mode_of(in->opts, cancel);
    int64_t max = json_get_int(in->opts, "max", 10);
    char which[96], age[UNIT_TEXT], text[128], *sql;
    const char *what = cancel ? "query" : "session", *many = cancel ? "queries" : "sessions";
    struct chosen *all;
    struct json *args, *names;
    struct plan *p;
    size_t found, forbidden, n;

    if (m == NULL || (list == NULL && json_type(seen) != JSON_MAP) ||
        (list != NULL && json_type(list) != JSON_LIST)) {
        err_set(e, ERR_INPUT,
                m == NULL ? "there is no age in the options"
                          : "the observation has no list of sessions");
        return NULL;
    }
    all = choose(in, list, m, &found, &forbidden);
    if (found == 0 && forbidden > 0) {
        err_set(e, ERR_DENIED,
                "%zu %s could be taken, and we have no right to signal them: GRANT "
                "pg_signal_backend TO our role",
                forbidden, forbidden == 1 ? what : many);
        mem_free(all);
        return NULL;
    }
    n = found > (size_t)max ? (size_t)max : found;
    say_which(which, sizeof(which), m, in->opts);
    p = plan_new();
    json_set_int(p->before, "sessions", (int64_t)found);
    json_set_int(p->before, "at_ms", json_get_int(seen, "now_ms", 0));
    json_set_int(p->after, "sessions", (int64_t)(found - n));
    if (n == 0) {
        p->empty = true;
        p->summary = mem_printf("no %s that may be touched is %s", what, which);
        p->expect = mem_strdup("nothing changes");
        mem_free(all);
        return p;
    }
    p->flags = ACTION_DESTRUCTIVE;
    unit_format_duration(age, sizeof(age),
                         all[0].age_ms >= 1000 ? all[0].age_ms / 1000 * 1000 : all[0].age_ms);
    p->summary = cancel
                     ? mem_printf("cancel %zu %s (oldest running %s)", n, n == 1 ? what : many, age)
                 : m->named ? mem_printf("end %zu %s %s (oldest %s %s)", n, n == 1 ? what : many,
                                         m->words, m->doing, age)
                            : mem_printf("end %zu %s %s (oldest %s %s)", n, m->words,
                                         n == 1 ? what : many, m->doing, age);
    p->expect = mem_printf("%zu %s fewer", n, n == 1 ? what : many);
    args = statement_args(m, in->opts);
    names = json_set(args, "names", json_new_list());
    for (size_t i = 0; i < n; i++) {
        json_add(names, json_new_str(all[i].identity));
        json_add(p->names, json_new_str(all[i].identity));
    }
    json_set(p->out, "sessions", json_copy(names));
    sql = statement(m, cancel);
    plan_call_sql(p, cancel ? "postgres:cancel" : "postgres:terminate", sql, args);
    mem_free(sql);
    snprintf(text, sizeof(text), "%zu of %zu, oldest %s", n, found, age);
    plan_require(p, true, text, "each by pid, backend_start and %s, and still %s", m->mark, which);
    plan_require(p, true, "none", "none is a superuser's, of replication, maintenance or our own");
    mem_free(all);
    return p;
}

enum verdict pg_sessions_judge(const struct plan *p, size_t i, const struct json *seen,
                               bool by_query)
{
    const struct json *names = json_get(json_get(json_at(p->calls, i), "args"), "names");
    const struct json *list = json_get(seen, "sessions");
    int64_t now_ms = json_get_int(seen, "now_ms", -1), at_ms = json_get_int(p->before, "at_ms", 0);
    size_t there = 0;

    if (json_type(list) != JSON_LIST || json_len(names) == 0)
        return VERDICT_UNKNOWN;
    for (const struct json *n = json_first(names); n != NULL; n = json_next(n)) {
        const char *identity = json_str(n, "");

        for (const struct json *s = json_first(list); s != NULL; s = json_next(s)) {
            if (!same_session(s, identity))
                continue;
            /* A cancelled query's session stays, and does something else. */
            there += !by_query ||
                     (strcmp(json_get_str(s, "state", ""), "active") == 0 &&
                      strcmp(json_get_str(s, "query_start", ""), strrchr(identity, '/') + 1) == 0);
            break;
        }
    }
    if (there == 0)
        return VERDICT_YES;
    if (now_ms >= 0 && now_ms - at_ms < STILL_DYING_MS)
        return VERDICT_UNKNOWN; /* asked again: the rest may be on its way out */
    /* Sessions also leave by themselves, so that some being gone proves nothing. It is taken for
     * done: what counts as done is neither repeated nor given back to a limit, and what is left is
     * named again by the next plan, if there is one. */
    return there == json_len(names) ? VERDICT_NO : VERDICT_YES;
}
