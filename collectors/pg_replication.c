/* How far replicas of a PostgreSQL server are behind, asked of the primary or of a replica. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "shared_source.h"

#define STATEMENT_MS 6000

/* Asked of a primary: a row for itself with the end of its WAL, and one for each standby that
 * streams from it (a base backup is none). Asked of a replica: one row. The end of its primary's
 * WAL is what the WAL sender told last: latest_end_lsn (walreceiver.c, ProcessWalSndrMessage; the
 * manual calls it "reported to origin"). Without pg_monitor the columns of both views are NULL, and
 * state or status with them. On a primary that writes nothing replay_lag becomes NULL
 * (documentation, pg_stat_replication). */
static const char sql[] =
    "SELECT CASE WHEN pg_is_in_recovery() THEN 'replica' ELSE 'primary' END AS kind, "
    "CASE WHEN pg_is_in_recovery() THEN r.latest_end_lsn ELSE pg_current_wal_lsn() END AS ends, "
    "r.status AS state, r.pid IS NOT NULL AS linked, current_user AS me, "
    "pg_wal_lsn_diff(r.latest_end_lsn, pg_last_wal_replay_lsn()) AS bytes, "
    "round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) AS lag "
    "FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver r ON true "
    "UNION ALL "
    "SELECT 'standby', NULL, a.state, true, current_user, "
    "pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn() END, "
    "a.replay_lsn), round(extract(epoch FROM a.replay_lag) * 1000) "
    "FROM pg_stat_replication a WHERE a.state IS DISTINCT FROM 'backup' AND NOT "
    "pg_is_in_recovery()";

struct replication {
    struct source_base base;
    char *ends;        /* of WAL, at the last poll; NULL: there was none */
    bool behind;       /* at the last poll not all was replayed */
    int64_t caught_ms; /* wall: when a replica was last seen to have replayed all; 0: never */
};

/* What was found: a lag in bytes and one in time, each NAN with a reason when it is unknown. */
struct lag {
    double bytes, ms;
    const char *why_bytes, *why_ms;
    char text[300];
};

static const char idle[] = "the primary has written no WAL since the last look, so that there is "
                           "no lag to be measured";

static bool is(const struct pg_rows *rows, size_t row, const char *column, const char *wanted)
{
    const char *text = pg_value(rows, row, column);

    return text != NULL && strcmp(text, wanted) == 0;
}

static void neither(struct lag *g, const char *why)
{
    g->bytes = g->ms = NAN;
    g->why_bytes = g->why_ms = why;
}

/* What there is to know of the primary's writing, and of the past. */
struct past {
    bool first, moved; /* no poll before; WAL was written since the last one, or not all replayed */
    double most_ms;    /* no lag can be longer; NAN: not known yet */
};

/* One that follows. */
static void follow(struct lag *g, const struct pg_rows *rows, size_t row, const struct past *past)
{
    double bytes = source_number(rows, row, "bytes"), ms = source_number(rows, row, "lag");
    const char *why = NULL;

    if (pg_value(rows, row, "state") == NULL) {
        const char *me = pg_value(rows, row, "me");

        snprintf(g->text, sizeof(g->text),
                 "the state of replication is hidden from %s: GRANT pg_monitor TO %s",
                 me != NULL ? me : "us", me != NULL ? me : "it");
        neither(g, g->text);
        return;
    }
    if (isnan(bytes)) {
        neither(g, "a replica has not said how far it is");
        return;
    }
    /* A standby may have replayed what was written after the end of WAL was read. */
    g->bytes = bytes > g->bytes ? bytes : g->bytes;
    if (bytes <= 0) {
        /* All there is was replayed. Only if there was something is that a lag of nothing. */
        ms = past->moved ? 0 : NAN;
        why = past->first
                  ? "it is the first look, and whether the primary writes is seen at the next"
                  : idle;
    } else if (isnan(ms)) {
        why = "a replica is behind and has not said since when";
    } else {
        ms = isnan(past->most_ms) ? NAN : fmin(ms, past->most_ms);
        why = "it is the first look, and how long it has been behind is seen at the next";
    }
    if (isnan(g->ms) || isnan(ms)) {
        g->why_ms = g->why_ms != NULL ? g->why_ms : why;
        g->ms = NAN;
    } else if (ms > g->ms) {
        g->ms = ms;
    }
}

static void look(struct replication *s, const struct pg_rows *rows, struct lag *g)
{
    size_t standbys = 0;
    const char *ends = pg_value(rows, 0, "ends");
    struct past past = {.first = s->ends == NULL, .most_ms = INFINITY};

    past.moved = s->behind || (!past.first && ends != NULL && strcmp(ends, s->ends) != 0);
    for (size_t i = 1; i < pg_rows_count(rows); i++)
        standbys += is(rows, i, "kind", "standby");
    if (is(rows, 0, "kind", "replica") && !is(rows, 0, "linked", "t")) {
        neither(g, "the replica receives nothing: it has no connection to its primary");
    } else if (is(rows, 0, "kind", "replica")) {
        /* The time of the last commit that was replayed says nothing of a lag after a quiet hour,
         * nor during a long transaction; a lag is younger than when all was last replayed. */
        if (source_number(rows, 0, "bytes") <= 0)
            s->caught_ms = s->base.asked_ms;
        if (s->caught_ms > 0)
            past.most_ms = fmax(0, (double)(s->base.asked_ms - s->caught_ms));
        else if (past.first)
            past.most_ms = NAN;
        follow(g, rows, 0, &past);
    } else if (is(rows, 0, "kind", "primary") && ends != NULL && standbys > 0) {
        for (size_t i = 1; i < pg_rows_count(rows) && g->why_bytes == NULL; i++)
            follow(g, rows, i, &past);
    } else if (is(rows, 0, "kind", "primary") && ends != NULL) {
        neither(g, "no replica is connected to this primary");
    } else {
        neither(g, "the answer of PostgreSQL has no row of the server");
    }
    mem_free(s->ends);
    s->ends = mem_strdup(ends);
    s->behind = g->bytes > 0;
}

static void answered(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct replication *s = arg;
    const struct collector_host *h = s->base.host;
    struct lag g = {0};

    (void)left;
    s->base.pg = NULL;
    if (e != NULL) {
        h->failed(h, e);
        return;
    }
    look(s, rows, &g);
    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];
        bool size = strcmp(json_get_str(w->opts, "unit", ""), "size") == 0;
        const char *why = size ? g.why_bytes : g.why_ms;

        if (why != NULL)
            h->unknown(h, w, why);
        else
            h->sample(h, w, s->base.asked_ms, 0, size ? g.bytes : g.ms);
    }
    h->done(h);
}

static void replication_poll(void *self)
{
    source_query(self, "collect", sql, NULL, 0, STATEMENT_MS, answered);
}

static void replication_close(void *self)
{
    struct replication *s = self;

    mem_free(s->ends);
    source_base_close(s);
}

static void *replication_open(const struct collector_host *h, const struct estate *e,
                              const char *source, struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct replication), h, e, source);
}

static const struct option lag_options[] = {
    {.name = "unit",
     .type = OPT_ENUM,
     .fallback = "duration",
     .words = "duration|size",
     .help =
         "duration: how old what was replayed last is; size: bytes of WAL that are not replayed "
         "yet"},
    SOURCE_PERIOD("10s", "how often the server is asked"),
};

static const struct signal replication_signals[] = {
    {.name = "pg_replica_lag",
     .summary = "how far the last of the primary's replicas, or this replica, is behind; as a "
                "duration unknown while the primary writes nothing",
     .source = "pg_stat_replication: replay_lag, replay_lsn; on a replica pg_stat_wal_receiver and "
               "pg_last_xact_replay_timestamp",
     .unit = UNIT_DURATION,
     .targets = "postgres",
     .options = OPTIONS(lag_options),
     .interval_ms = source_interval,
     .default_interval_ms = 10000},
};

static const char *const replication_permissions[] = {"postgres:pg_monitor", NULL};

const struct collector_type pg_replication_collector = {
    .name = "pg_replication",
    .summary = "replicas of PostgreSQL servers",
    .signals = replication_signals,
    .nsignals = sizeof(replication_signals) / sizeof(*replication_signals),
    .permissions = replication_permissions,
    .deadline_ms = 15000,
    .source = source_postgres,
    .open = replication_open,
    .watch = source_base_watch,
    .poll = replication_poll,
    .cancel = source_base_cancel,
    .close = replication_close,
    .migrate = source_base_migrate,
};
