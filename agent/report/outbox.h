/* The outbox: every report goes out at least once to each sink, in order within its key, for as
 * long as it takes, and never holds up an action. */
#ifndef RB_REPORT_OUTBOX_H
#define RB_REPORT_OUTBOX_H

#include "engine/journal.h"
#include "report/sink.h"

struct outbox;

struct outbox_options {
    struct loop *loop;
    struct http *http;
    struct journal *journal;
    int64_t (*now_ms)(void *arg); /* the engine's steady clock, for the journal's rows */
    void *arg;
    const char *host;
    const struct json
        *config; /* its tables name the sinks (sinks.c); none: reports are only logged */
    const struct json *shadow; /* what shadow_sink says; NULL: the log */
    int64_t backoff_ms;        /* the first; 0: 1 s. Tests make it small. */
    int64_t backoff_max_ms;    /* 0: 5 min */
    int64_t answer_ms;         /* how long a sink may take; 0: what it says itself */
    size_t waiting_max;        /* reports in memory, a sink; 0: 100,000 */
};

/* NULL on error: a secret that cannot be read. */
struct outbox *outbox_new(const struct outbox_options *o, struct err *e);
void outbox_free(struct outbox *o); /* what is not delivered stays open in the journal */

/* Takes up the reports that the journal still holds as open; waits, so only at the start. */
int outbox_restore(struct outbox *o, struct err *e);

/* A new row of kind "report" is durable. */
void outbox_deliver(struct outbox *o, const char *key, const struct json *report);

/* Straight to the pager, not through the journal: it cannot be written, or memory is short. Said
 * once while it lasts; resolved when a report becomes durable again. */
void outbox_emergency(struct outbox *o, const char *summary);

size_t outbox_pending(const struct outbox *o); /* reports not yet delivered or not yet marked so */
bool outbox_emergency_sent(const struct outbox *o); /* no emergency waits to be sent */
/* {"pending", "delivered", "dead", "retries", "oldest_ms", "error", "sinks": [{"name", "shadow",
 * "waiting", "failing", "gone"}]} */
struct json *outbox_status(const struct outbox *o);

#endif
