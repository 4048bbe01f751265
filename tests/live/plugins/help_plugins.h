/* A small host for collectors and actions against real servers: one poll, one look, one act at a
 * time. */
#ifndef RB_TESTS_HELP_PLUGINS_H
#define RB_TESTS_HELP_PLUGINS_H

#include "help_io.h"

#include "aws/call.h"
#include "base/json.h"
#include "plugin/action.h"
#include "plugin/collector.h"

#define READINGS_MAX 20000

struct reading {
    const struct watch *w;
    int64_t start_ms, period_ms;
    double value;
    char why[300]; /* "" for a sample */
    char note[300];
};

struct rig {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct aws *aws; /* the account "prod"; NULL where AWS_ENDPOINT_URL is not set */
    struct pg *collect, *act, *read;
    const char *pg_user;
    bool no_pg;
    struct host_io io;
    struct estate *estate;
};
void rig_init(struct rig *r);
void rig_free(struct rig *r);
/* Fields as they are held, JSON. */
const struct target *rig_target(struct rig *r, const char *kind, const char *name,
                                const char *fields);
/* The beginning and the end of a test against cloudsim: a stage of that size whose first member is
 * the rig. The end is cmocka's own teardown. */
void *stage_begin(void **state, size_t size);
int stage_end(void **state);
/* What `runbookd grants` prints for the example, here for the database postgres: the role is made
 * as users are told to. The caller frees. */
char *rig_grants(void);
void rig_pg_user(struct rig *r, const char *user); /* from the next connection on */

/* One collector with its watches. */
struct source {
    struct rig *r;
    const struct collector_type *type;
    struct collector_host host;
    void *self;
    struct watch *watches;
    const struct watch **list;
    size_t n;
    bool changed;        /* watches were added since the last poll */
    struct reading *got; /* of the last poll */
    size_t ngot, refused;
    int ended; /* 1 done or failed */
    struct err err;
};
void source_open(struct source *s, struct rig *r, const char *signal, const struct target *t);
/* Adds a series; opts as held, JSON or NULL: the option's fallbacks are put in. */
const struct watch *source_watch(struct source *s, const char *signal, const struct target *t,
                                 const char *opts, int64_t history_ms);
void source_begin(struct source *s); /* the watches, if they changed, and a poll */
void source_poll(struct source *s);  /* runs it to its end, or to the collector's deadline */
void source_close(struct source *s);
/* The last reading of that series in the last poll; NULL without. */
const struct reading *source_last(const struct source *s, const struct watch *w);
size_t source_count(const struct source *s, const struct watch *w); /* samples of it */
double source_value(const struct source *s, const struct watch *w); /* fails the test without one */
const char *source_why(const struct source *s, const struct watch *w);

/* Actions. opts JSON as held. NULL with *e set on failure; the caller frees. */
struct json *look(struct rig *r, const char *action, const struct target *t, const char *opts,
                  struct err *e);
enum applied act(struct rig *r, const char *action, const struct target *t, const struct json *call,
                 struct json **out, struct err *e);
/* Begins one, lets it run for a while, cancels it. */
void cut_off(struct rig *r, const char *action, const struct target *t, const char *opts,
             const struct json *call, int64_t after_ms);
struct plan *plan_of(const char *action, const struct target *t, const char *opts,
                     const struct json *seen, const struct json *within, struct err *e);

/* cloudsim's control API; the answer, which the caller frees. body NULL: GET. */
struct json *sim(struct rig *r, const char *path, const char *body);
void sim_do(struct rig *r, const char *path, const char *body, ...)
    __attribute__((format(printf, 3, 4)));
void sim_clear(struct rig *r); /* forgets requests and faults */
size_t sim_requests(struct rig *r, const char *action);

#endif
