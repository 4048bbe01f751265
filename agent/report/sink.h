/* The contract of a sink: where reports go. One file each; sinks.c holds the table. */
#ifndef RB_REPORT_SINK_H
#define RB_REPORT_SINK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/json.h"
#include "io/http.h"
#include "io/loop.h"

/* What a sink is given once. */
struct sink_env {
    struct loop *loop;
    struct http *http;
    const char *host;  /* this host's name in reports */
    int64_t answer_ms; /* how long one delivery may take */
};

enum sink_result {
    SINK_DELIVERED,
    SINK_RETRY,   /* later: throttled, server error, no answer */
    SINK_REFUSED, /* this report will never be taken as it is */
};

struct sink_answer {
    enum sink_result result;
    int64_t retry_after_ms; /* what the other side asked for; -1: nothing */
    bool all;               /* RETRY: it concerns every report, not this one */
    const char *text;       /* for people; lives during the callback */
};
typedef void sink_fn(void *arg, const struct sink_answer *a);

/* A report as the engine made it (agent/engine/report.c), with "chain" {"seq", "head"} added. trim:
 * 0, or how much shorter it must be than what was refused before. */
struct sink_type {
    const char *name, *summary;
    /* config: this sink's table of the configuration, secrets as references. NULL on error. */
    void *(*open)(const struct sink_env *env, const struct json *config, struct err *e);
    void (*close)(void *self);
    /* Begins to deliver; exactly one fn, never from inside. Returns what names it for cancel. */
    void *(*send)(void *self, const struct json *report, int trim, sink_fn *fn, void *arg);
    void (*cancel)(void *self, void *sending); /* no fn after; it may have been delivered */
};

extern const struct sink_type pagerduty_sink, lines_sink;

/* The event that PagerDuty is sent, without the routing key; *change: it goes to the change
 * endpoint. The caller frees. */
struct json *pagerduty_event(const struct json *report, int trim, bool *change);

#endif
