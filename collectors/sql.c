/* One number from a statement that a policy writes, on a connection that can only read. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/loop.h"
#include "plugin/form.h"
#include "shared_source.h"

#define STATEMENT_MS 5000
#define QUERY_MAX 8000

struct sql {
    struct source_base base;
    const char **list; /* distinct statements */
    size_t n, at;      /* the one that is being asked */
};

static const char *query_of(const struct watch *w)
{
    return json_get_str(w->opts, "query", "");
}

static void sql_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct sql *s = self;

    source_base_watch(s, watches, n);
    s->list = mem_realloc(s->list, (n + 1) * sizeof(*s->list));
    s->n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;

        while (k < s->n && strcmp(s->list[k], query_of(watches[i])) != 0)
            k++;
        if (k == s->n)
            s->list[s->n++] = query_of(watches[i]);
    }
}

/* The policy's statement as a subquery: the grammar takes nothing else than one SELECT, VALUES,
 * TABLE or WITH there, and no WITH that changes rows; a second row is enough to know that there are
 * many. The line break ends a comment. */
static char *wrapped(const char *query)
{
    size_t len = strlen(query);

    while (len > 0 && (isspace((unsigned char)query[len - 1]) || query[len - 1] == ';'))
        len--;
    return mem_printf("SELECT q.* FROM (%.*s\n) q LIMIT 2", (int)len, query);
}

static void tell(struct sql *s, const struct pg_rows *rows, const char *why)
{
    const struct collector_host *h = s->base.host;

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];
        const char *text;
        double value;

        if (strcmp(query_of(w), s->list[s->at]) != 0)
            continue;
        if (why != NULL) {
            h->unknown(h, w, why);
            continue;
        }
        text = pg_rows_count(rows) == 1
                   ? pg_cell(rows, 0, (size_t)json_get_int(w->opts, "column", 1) - 1)
                   : NULL;
        value = source_decimal(text);
        if (pg_rows_count(rows) == 0)
            h->unknown(h, w, "the statement gave no row; it must give one");
        else if (pg_rows_count(rows) > 1)
            h->unknown(h, w, "the statement gave more than one row; it must give one");
        else if ((size_t)json_get_int(w->opts, "column", 1) > pg_columns(rows))
            h->unknown(h, w, "the statement has fewer columns than `column` says");
        else if (text == NULL)
            h->unknown(h, w, "the statement gave NULL, not a number");
        else if (isnan(value))
            h->unknown(h, w, "the statement gave what is not a number");
        else
            h->sample(h, w, s->base.asked_ms, 0, value);
    }
}

static void ask(struct sql *s);

static void answered(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct sql *s = arg;

    s->base.pg = NULL;
    if (e != NULL && !left) { /* it is the server, not this statement */
        s->base.host->failed(s->base.host, e);
        return;
    }
    tell(s, rows, e != NULL ? e->text : NULL);
    s->at++;
    ask(s);
}

static void ask(struct sql *s)
{
    char *sql;

    if (s->at >= s->n) {
        s->base.host->done(s->base.host);
        return;
    }
    sql = wrapped(s->list[s->at]);
    source_query(&s->base, "read", sql, NULL, 0, STATEMENT_MS, answered);
    mem_free(sql);
}

static void sql_poll(void *self)
{
    struct sql *s = self;

    s->at = 0;
    ask(s);
}

static void sql_close(void *self)
{
    struct sql *s = self;

    mem_free(s->list);
    source_base_close(s);
}

static void *sql_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct sql), h, e, source);
}

static int64_t sql_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 60000);
}

static const struct option sql_options[] = {
    {.name = "query",
     .type = OPT_STRING,
     .required = true,
     .min = 1,
     .max = QUERY_MAX,
     .check = form_select,
     .help = "one SELECT that gives one row, in the target's database; only pg_catalog is on the "
             "search path: write \"public.orders\""},
    {.name = "column",
     .type = OPT_COUNT,
     .fallback = "1",
     .min = 1,
     .max = 100,
     .help = "which column of the row holds the number"},
    {.name = "unit",
     .type = OPT_ENUM,
     .required = true,
     .words = "number|count|percent|duration|size",
     .help = "what the number is; durations in milliseconds, sizes in bytes"},
    {.name = "period",
     .type = OPT_DURATION,
     .fallback = "1m",
     .min = 1000,
     .max = 86400000,
     .help = "how often it is asked"},
};

static const struct signal sql_signals[] = {
    {.name = "sql",
     .summary = "one number from a statement; unknown when it gives no row, several, NULL or no "
                "number, or takes longer than 5s",
     .source = "the statement, in a read-only transaction",
     .unit = UNIT_NUMBER,
     .targets = "postgres service",
     .options = OPTIONS(sql_options),
     .interval_ms = sql_interval,
     .default_interval_ms = 60000},
};

static const char *const sql_permissions[] = {"postgres:CONNECT", NULL};

const struct collector_type sql_collector = {
    .name = "sql",
    .summary = "numbers from statements of your own",
    .signals = sql_signals,
    .nsignals = sizeof(sql_signals) / sizeof(*sql_signals),
    .permissions = sql_permissions,
    .deadline_ms = 30000,
    .source = source_postgres,
    .open = sql_open,
    .watch = sql_watch,
    .poll = sql_poll,
    .cancel = source_base_cancel,
    .close = sql_close,
    .migrate = source_base_migrate,
};
