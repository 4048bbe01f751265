/* Sessions of a PostgreSQL server: how many, in which state, and how old the oldest is. One
 * statement on pg_stat_activity a poll, whatever number of series reads it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/loop.h"
#include "io/pg.h"
#include "plugin/collector.h"
#include "plugin/form.h"
#include "shared_source.h"

#define STATEMENT_MS 6000 /* the server ends it then; io/pg gives up a second later */

/* One row for each kind of session, and one without a kind (kind is NULL) for the server as a
 * whole, so that there is an answer without any session, too. Sessions of other roles show neither
 * their state nor their backend_type to a role without pg_monitor (PostgreSQL's documentation,
 * "Viewing Statistics"): those are counted as hidden. Our own sessions are left out. Ages are by
 * the server's clock, milliseconds. superuser_reserved_connections and, from PostgreSQL 16 on,
 * reserved_connections are not for applications. */
static const char *const sql =
    "SELECT 'server' AS kind, NULL AS database, NULL AS \"user\", NULL AS application, NULL AS "
    "client, NULL AS state, 0 AS sessions, NULL AS query_age, NULL AS state_age, "
    "current_setting('max_connections')::int - "
    "current_setting('superuser_reserved_connections')::int - "
    "coalesce(current_setting('reserved_connections', true)::int, 0) AS usable, "
    "(SELECT count(*) FROM pg_stat_activity WHERE backend_type IS NULL AND datid IS NOT NULL) AS "
    "hidden, current_user AS me "
    "UNION ALL "
    "SELECT 'sessions', datname, usename, application_name, coalesce(host(client_addr), 'local'), "
    "state, count(*), "
    "(extract(epoch FROM max(clock_timestamp() - query_start)) * 1000)::bigint, "
    "(extract(epoch FROM max(clock_timestamp() - state_change)) * 1000)::bigint, 0, 0, NULL "
    "FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
    "AND NOT (usename IS NOT DISTINCT FROM current_user AND application_name LIKE 'runbookd%') "
    "GROUP BY 2, 3, 4, 5, 6";

static void *activity_open(const struct collector_host *h, const struct estate *e,
                           const char *source, struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct source_base), h, e, source);
}

/* A NULL counts as zero: a group without a query has no age. Not a number where the answer has
 * none.
 */
static double number(const struct pg_rows *rows, size_t row, const char *column)
{
    return pg_value(rows, row, column) != NULL ? source_number(rows, row, column) : 0;
}

static bool is(const struct pg_rows *rows, size_t row, const char *column, const char *wanted)
{
    const char *text = pg_value(rows, row, column);

    return text != NULL && strcmp(text, wanted) == 0;
}

static bool in_transaction(const struct pg_rows *rows, size_t row)
{
    return is(rows, row, "state", "idle in transaction") ||
           is(rows, row, "state", "idle in transaction (aborted)");
}

static bool in_state(const struct pg_rows *rows, size_t row, const char *wanted)
{
    return strcmp(wanted, "idle_in_transaction") == 0 ? in_transaction(rows, row)
                                                      : is(rows, row, "state", wanted);
}

/* Whether the filters select this row; the state is looked at apart. */
static bool selected(const struct pg_rows *rows, size_t row, const struct json *opts)
{
    static const char *const filters[] = {"database", "user", "application", "client"};

    for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
        const char *wanted = json_get_str(opts, filters[i], NULL);

        if (wanted != NULL && !is(rows, row, filters[i], wanted))
            return false;
    }
    return true;
}

/* What is no number stays in sight. */
static double older(double a, double b)
{
    return isnan(a) || b <= a ? a : b;
}

static void tell(struct source_base *s, const struct watch *w, const struct pg_rows *rows,
                 size_t server)
{
    const struct collector_host *h = s->host;
    const char *signal = w->signal->name, *state = json_get_str(w->opts, "state", NULL);
    bool ages = strcmp(signal, "pg_query_age") == 0,
         transactions = strcmp(signal, "pg_idle_in_transaction") == 0;
    double count = 0, oldest = 0, usable = number(rows, server, "usable");

    for (size_t row = 0; row < pg_rows_count(rows); row++) {
        if (row == server || !selected(rows, row, w->opts))
            continue;
        if ((ages || transactions || state != NULL) && is(rows, row, "state", "disabled")) {
            h->unknown(h, w, "a session's state is not tracked: turn track_activities on");
            return;
        }
        if (state != NULL && !in_state(rows, row, state))
            continue;
        count += number(rows, row, "sessions");
        if (ages && is(rows, row, "state", "active"))
            oldest = older(oldest, number(rows, row, "query_age"));
        if (transactions && in_transaction(rows, row))
            oldest = older(oldest, number(rows, row, "state_age"));
    }
    if (isnan(usable + count + oldest)) {
        h->unknown(h, w, "the answer of PostgreSQL has no number where one should be");
        return;
    }
    if (strcmp(signal, "pg_conn_used") == 0) {
        if (usable < 1)
            h->unknown(h, w, "max_connections leaves none for applications");
        else /* superusers may use the reserved ones, too */
            h->sample(h, w, s->asked_ms, 0, count >= usable ? 100 : 100 * count / usable);
    } else {
        h->sample(h, w, s->asked_ms, 0, ages || transactions ? oldest : count);
    }
}

static void answered(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct source_base *s = arg;
    struct err bad = ERR_INIT;
    size_t server = 0;
    double hidden;
    char why[300];

    (void)left;
    s->pg = NULL;
    if (e != NULL) {
        s->host->failed(s->host, e);
        return;
    }
    while (server < pg_rows_count(rows) && !is(rows, server, "kind", "server"))
        server++;
    if (server == pg_rows_count(rows)) {
        err_set(&bad, ERR_INPUT, "PostgreSQL %s: the answer has no row of the server", s->name);
        s->host->failed(s->host, &bad);
        return;
    }
    hidden = number(rows, server, "hidden");
    if (hidden != 0) {
        const char *me = pg_value(rows, server, "me");

        snprintf(why, sizeof(why),
                 "%.0f sessions of other roles are hidden from %s: GRANT pg_monitor TO %s", hidden,
                 me != NULL ? me : "us", me != NULL ? me : "it");
    }
    for (size_t i = 0; i < s->nwatches; i++) {
        if (hidden != 0)
            s->host->unknown(s->host, s->watches[i], why);
        else
            tell(s, s->watches[i], rows, server);
    }
    s->host->done(s->host);
}

static void activity_poll(void *self)
{
    source_query(self, "collect", sql, NULL, 0, STATEMENT_MS, answered);
}

/* A filter may select no session: then zero is an ordinary answer. */
static bool filtered(const struct json *opts)
{
    static const char *const filters[] = {"state", "database", "user", "application", "client"};

    for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++) {
        if (json_get(opts, filters[i]) != NULL)
            return true;
    }
    return false;
}

#define PERIOD SOURCE_PERIOD("10s", "how often the server is asked")
#define FILTERS                                                                                    \
    {.name = "database", .type = OPT_STRING, .help = "only sessions on this database"},            \
        {.name = "user", .type = OPT_STRING, .help = "only sessions of this role"},                \
        {.name = "application",                                                                    \
         .type = OPT_STRING,                                                                       \
         .help = "only sessions with this application_name"},                                      \
    {                                                                                              \
        .name = "client", .type = OPT_STRING, .check = form_client,                                \
        .help = "only sessions from this address, \"10.1.2.3\"; \"local\": by the server's socket" \
    }

static const struct option count_options[] = {
    {.name = "state",
     .type = OPT_ENUM,
     .words = "active|idle|idle_in_transaction",
     .help = "only sessions in this state; idle_in_transaction includes failed transactions"},
    FILTERS,
    PERIOD,
};
static const struct option age_options[] = {FILTERS, PERIOD};
static const struct option used_options[] = {PERIOD};

#define COMMON .interval_ms = source_interval, .default_interval_ms = 10000

static const struct signal activity_signals[] = {
    {.name = "pg_connections",
     .summary = "sessions of clients, our own left out",
     .source = "pg_stat_activity: client backends",
     .unit = UNIT_COUNT,
     .targets = "postgres service",
     .options = OPTIONS(count_options),
     .zero_suspicious = true,
     .zero_plain = filtered,
     COMMON},
    {.name = "pg_conn_used",
     .summary = "share of the connections for applications that clients use",
     .source = "pg_stat_activity: client backends / (max_connections - "
               "superuser_reserved_connections - reserved_connections)",
     .unit = UNIT_PERCENT,
     .targets = "postgres",
     .options = OPTIONS(used_options),
     COMMON},
    {.name = "pg_query_age",
     .summary = "age of the oldest query that runs; 0 when none does",
     .source = "pg_stat_activity: now - query_start of active client backends",
     .unit = UNIT_DURATION,
     .targets = "postgres",
     .options = OPTIONS(age_options),
     COMMON},
    {.name = "pg_idle_in_transaction",
     .summary = "how long the longest has been idle in a transaction; 0 when none is",
     .source = "pg_stat_activity: now - state_change of client backends idle in transaction",
     .unit = UNIT_DURATION,
     .targets = "postgres",
     .options = OPTIONS(age_options),
     COMMON},
};

static const char *const activity_permissions[] = {"postgres:pg_monitor", NULL};

const struct collector_type pg_activity_collector = {
    .name = "pg_activity",
    .summary = "sessions of PostgreSQL servers",
    .signals = activity_signals,
    .nsignals = sizeof(activity_signals) / sizeof(*activity_signals),
    .permissions = activity_permissions,
    .deadline_ms = 10000,
    .source = source_postgres,
    .open = activity_open,
    .watch = source_base_watch,
    .poll = activity_poll,
    .cancel = source_base_cancel,
    .close = source_base_close,
    .migrate = source_base_migrate,
};
