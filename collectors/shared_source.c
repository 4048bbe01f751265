/* Sources of series, and the state of an instance that asks one. */
#include "shared_source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "io/loop.h"

int source_no_part(const struct target *t, const char *kind, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "%s names no %s of the estate: give it %s = \"...\", or take a target that has "
                   "one",
                   t->id, kind, kind);
}

int source_aws(const struct target *t, const struct estate *e, const char *kind, char *out,
               size_t size, struct err *err)
{
    static const char *const parts[] = {"asg",   "postgres", "proxy",
                                        "cache", "queue",    "certificate"};
    const struct target *owner = t;
    const char *aws;

    if (kind != NULL) {
        owner = estate_related(e, t, kind);
        if (owner == NULL)
            return source_no_part(t, kind, err);
    }
    aws = json_get_str(owner->fields, "aws", NULL);
    for (size_t i = 0; aws == NULL && kind == NULL && i < sizeof(parts) / sizeof(*parts); i++) {
        const struct target *part = estate_related(e, t, parts[i]);

        aws = part != NULL ? json_get_str(part->fields, "aws", NULL) : NULL;
    }
    if (aws == NULL)
        return err_set(err, ERR_INPUT, "%s is in no account: give it aws = \"...\"", owner->id);
    if ((size_t)snprintf(out, size, "aws/%s", aws) >= size)
        return err_set(err, ERR_LIMIT, "%s: the name of its account is too long", owner->id);
    return 0;
}

int source_postgres(const struct signal *g, const struct target *t, const struct estate *e,
                    char *out, size_t size, struct err *err)
{
    const struct target *server = estate_related(e, t, "postgres");

    (void)g;
    if (server == NULL)
        return source_no_part(t, "postgres", err);
    if ((size_t)snprintf(out, size, "postgres/%s", server->name) >= size)
        return err_set(err, ERR_LIMIT, "%s: its name is too long", server->id);
    return 0;
}

int source_self(const struct target *t, const char *kind, char *out, size_t size, struct err *err)
{
    if ((size_t)snprintf(out, size, "%s/%s", kind, t->id) >= size)
        return err_set(err, ERR_LIMIT, "%s: its name is too long", t->id);
    return 0;
}

const char *source_name(const char *source)
{
    const char *slash = strchr(source, '/');

    return slash != NULL ? slash + 1 : source;
}

int64_t source_period_ms(const struct json *opts, int64_t fallback_ms)
{
    int64_t ms = json_get_int(opts, "period", 0);

    return ms > 0 ? ms : fallback_ms;
}

void *source_base_open(size_t size, const struct collector_host *h, const struct estate *e,
                       const char *source)
{
    struct source_base *s = mem_alloc(size);

    s->host = h;
    s->estate = e;
    s->name = mem_strdup(source_name(source));
    return s;
}

void source_base_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct source_base *s = self;

    s->watches = watches;
    s->nwatches = n;
}

void source_base_cancel(void *self)
{
    struct source_base *s = self;

    if (s->call != NULL)
        aws_cancel(s->call);
    if (s->pg != NULL)
        pg_forget(s->pg, s);
    s->call = NULL;
    s->pg = NULL;
}

void source_base_close(void *self)
{
    struct source_base *s = self;

    source_base_cancel(s);
    mem_free(s->name);
    mem_free(s);
}

bool source_base_migrate(void *self, const struct estate *e)
{
    ((struct source_base *)self)->estate = e;
    return true;
}

int64_t source_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 10000);
}

double source_decimal(const char *text)
{
    char *end = NULL;
    double v;

    if (text == NULL || *text == '\0' || text[strspn(text, "0123456789+-.eE")] != '\0')
        return NAN;
    v = strtod(text, &end);
    return *end == '\0' && isfinite(v) ? v : NAN;
}

double source_fold(const char *agg, double so_far, double value, size_t nth)
{
    if (nth == 0)
        return value;
    if (strcmp(agg, "max") == 0)
        return value > so_far ? value : so_far;
    if (strcmp(agg, "min") == 0)
        return value < so_far ? value : so_far;
    if (strcmp(agg, "avg") == 0)
        return so_far + (value - so_far) / (double)(nth + 1);
    return so_far + value;
}

double source_number(const struct pg_rows *rows, size_t row, const char *column)
{
    return source_decimal(pg_value(rows, row, column));
}

void source_query(struct source_base *s, const char *use, const char *sql,
                  const char *const *params, size_t nparams, int64_t timeout_ms, pg_fn *fn)
{
    const struct host_io *io = s->host->io;
    const struct target *t = estate_find(s->estate, "postgres", s->name);
    struct err e = ERR_INIT;

    if (t == NULL)
        err_set(&e, ERR_NOT_FOUND, "the estate has no postgres \"%s\" any more", s->name);
    else
        s->pg = io->pg(io->arg, t, use, &e);
    if (s->pg == NULL) {
        s->host->failed(s->host, &e);
        return;
    }
    s->asked_ms = loop_wall_ms(io->loop);
    pg_query(s->pg, sql, params, nparams, timeout_ms, fn, s);
}
