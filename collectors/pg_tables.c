/* Dead rows in the tables of a PostgreSQL database. One statement a poll, whatever number of sizes
 * is asked for. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/units.h"
#include "shared_source.h"

#define STATEMENT_MS 6000
#define SIZES_TEXT_MAX 65536
#define MIN_SIZE "100MiB"

/* For each of the sizes in $1 the most dead rows to a live one of any table at least as large, as
 * a percentage; NULL when no such table has a row that is counted. The counts are estimates that
 * the server keeps for autovacuum (documentation, pg_stat_all_tables: n_live_tup, n_dead_tup).
 * pg_relation_size waits behind an ACCESS EXCLUSIVE lock, so that what is being rewritten is left
 * out. */
static const char sql[] =
    "WITH free AS MATERIALIZED (SELECT relid, n_live_tup, n_dead_tup FROM pg_stat_user_tables "
    "WHERE relid NOT IN (SELECT relation FROM pg_locks WHERE relation IS NOT NULL AND mode = "
    "'AccessExclusiveLock')), "
    "sized AS MATERIALIZED (SELECT pg_relation_size(relid) AS bytes, n_live_tup, n_dead_tup FROM "
    "free) "
    "SELECT m.bytes, current_setting('track_counts') AS counted, count(s.bytes) AS tables, "
    "round(max(100.0 * s.n_dead_tup / greatest(s.n_live_tup, 1)) "
    "FILTER (WHERE s.n_live_tup + s.n_dead_tup > 0), 3) AS percent "
    "FROM unnest($1::bigint[]) m(bytes) LEFT JOIN sized s ON s.bytes >= m.bytes GROUP BY 1";

static void tell(struct source_base *s, const struct watch *w, const struct pg_rows *rows)
{
    const struct collector_host *h = s->host;
    double wanted = json_get_num(w->opts, "min_size", 0);
    size_t row = 0;
    double tables, percent;
    const char *counted;

    while (row < pg_rows_count(rows) && source_number(rows, row, "bytes") != wanted)
        row++;
    tables = source_number(rows, row, "tables");
    percent = source_number(rows, row, "percent");
    counted = pg_value(rows, row, "counted");
    if (isnan(tables) || counted == NULL)
        h->unknown(h, w, "the answer of PostgreSQL has no number where one should be");
    else if (strcmp(counted, "on") != 0)
        h->unknown(h, w, "rows are not counted: turn track_counts on");
    else if (tables == 0)
        h->sample(h, w, s->asked_ms, 0, 0);
    else if (isnan(percent))
        h->unknown(h, w, "no row of these tables is counted, as after a crash: ANALYZE them");
    else
        h->sample(h, w, s->asked_ms, 0, percent);
}

static void answered(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct source_base *s = arg;

    (void)left;
    s->pg = NULL;
    if (e != NULL) {
        s->host->failed(s->host, e);
        return;
    }
    for (size_t i = 0; i < s->nwatches; i++)
        tell(s, s->watches[i], rows);
    s->host->done(s->host);
}

static void tables_poll(void *self)
{
    struct source_base *s = self;
    struct buf sizes;
    const char *param;

    buf_init(&sizes, SIZES_TEXT_MAX);
    for (size_t i = 0; i < s->nwatches; i++) {
        double bytes = json_get_num(s->watches[i]->opts, "min_size", 0);
        size_t k = 0;

        while (k < i && json_get_num(s->watches[k]->opts, "min_size", 0) != bytes)
            k++;
        if (k == i)
            (void)buf_addf(&sizes, "%s%.0f", sizes.len > 0 ? "," : "{", bytes);
    }
    (void)buf_addc(&sizes, '}');
    param = sizes.len > 1 ? buf_str(&sizes) : "{}";
    source_query(s, "collect", sql, &param, 1, STATEMENT_MS, answered);
    buf_free(&sizes);
}

static void *tables_open(const struct collector_host *h, const struct estate *e, const char *source,
                         struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct source_base), h, e, source);
}

static int64_t tables_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 600000);
}

static const struct option bloat_options[] = {
    {.name = "min_size",
     .type = OPT_SIZE,
     .fallback = MIN_SIZE,
     .min = 1,
     .max = OPTION_NO_MAX,
     .help = "only tables of at least this size, without indexes and TOAST"},
    {.name = "period",
     .type = OPT_DURATION,
     .fallback = "10m",
     .min = 1000,
     .max = 86400000,
     .help = "how often the server is asked"},
};

static const struct signal tables_signals[] = {
    {.name = "pg_bloat",
     .summary = "dead rows of the worst table of the database for each 100 live ones, as in "
                "autovacuum_vacuum_scale_factor: more than 100% where more are dead than alive; "
                "0 when no table is large enough",
     .source = "pg_stat_user_tables: n_dead_tup / n_live_tup, of which at least one counts",
     .unit = UNIT_PERCENT,
     .may_exceed = true,
     .targets = "postgres",
     .options = OPTIONS(bloat_options),
     .interval_ms = tables_interval,
     .default_interval_ms = 600000},
};

static const char *const tables_permissions[] = {"postgres:CONNECT", NULL};

const struct collector_type pg_tables_collector = {
    .name = "pg_tables",
    .summary = "tables of PostgreSQL databases",
    .signals = tables_signals,
    .nsignals = sizeof(tables_signals) / sizeof(*tables_signals),
    .permissions = tables_permissions,
    .deadline_ms = 15000,
    .source = source_postgres,
    .open = tables_open,
    .watch = source_base_watch,
    .poll = tables_poll,
    .cancel = source_base_cancel,
    .close = source_base_close,
    .migrate = source_base_migrate,
};
