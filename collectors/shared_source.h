/* What collectors that ask AWS or a server share: which source a target's series come from, and the
 * state of an instance that has one question in flight. */
#ifndef RB_COLLECTORS_SHARED_SOURCE_H
#define RB_COLLECTORS_SHARED_SOURCE_H

#include "io/pg.h"
#include "plugin/collector.h"

struct aws_call;

/* The first member of a collector's state. */
struct source_base {
    const struct collector_host *host;
    const struct estate *estate;
    char *name; /* after the slash: the account, the server */
    const struct watch *const *watches;
    size_t nwatches;
    int64_t asked_ms;      /* wall: a reading is as old as its question */
    struct aws_call *call; /* in flight; at most one of these two */
    struct pg *pg;
};

/* A collector's parts, for those that need no more; size is that of its state. */
void *source_base_open(size_t size, const struct collector_host *h, const struct estate *e,
                       const char *source);
void source_base_watch(void *self, const struct watch *const *watches, size_t n);
void source_base_cancel(void *self);
void source_base_close(void *self); /* cancels and frees */
bool source_base_migrate(void *self, const struct estate *e);
int64_t source_interval(const struct target *t, const struct json *opts); /* period, or 10 s */

/* A finite decimal number; NAN where it is none, or NULL. */
double source_decimal(const char *text);
/* max, min, avg or sum (agg) of the values so far and this one, the nth, from 0. */
double source_fold(const char *agg, double so_far, double value, size_t nth);
double source_number(const struct pg_rows *rows, size_t row, const char *column);

/* One statement to the postgres target that the source is named after; fn is called with the
 * instance, in which pg is to be cleared. use: see struct host_io. Without a connection the poll
 * has failed. */
void source_query(struct source_base *s, const char *use, const char *sql,
                  const char *const *params, size_t nparams, int64_t timeout_ms, pg_fn *fn);

/* "aws/NAME": the account of the target of `kind` that t is or names; kind NULL: of t itself, or
 * else of the first of its parts that has one. ERR_INPUT when there is none, with what to write. */
int source_aws(const struct target *t, const struct estate *e, const char *kind, char *out,
               size_t size, struct err *err);
/* "postgres/NAME" of t, or of the database of a service. */
int source_postgres(const struct signal *g, const struct target *t, const struct estate *e,
                    char *out, size_t size, struct err *err);

/* "KIND/ID" of t itself, for collectors that ask a place which the target or the options name: one
 * that hangs delays those of no other target. */
int source_self(const struct target *t, const char *kind, char *out, size_t size, struct err *err);

/* ERR_INPUT: the target neither is nor names one of that kind; says what to write. */
int source_no_part(const struct target *t, const char *kind, struct err *err);

/* A source's name after its "aws/" or "postgres/". */
const char *source_name(const char *source);

/* The option `period` of a source that is asked as often as one likes. */
#define SOURCE_PERIOD(every, text)                                                                 \
    {                                                                                              \
        .name = "period", .type = OPT_DURATION, .fallback = (every), .min = 1000, .max = 3600000,  \
        .help = (text)                                                                             \
    }
/* The option `period` in milliseconds, or what is given. */
int64_t source_period_ms(const struct json *opts, int64_t fallback_ms);

#endif
