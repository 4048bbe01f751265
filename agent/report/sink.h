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
    int64_t answer_ms; /* how long one delivery may take; 0: as long as the sink says itself */
};

enum sink_result {
    SINK_RETRY, /* later: throttled, server error, no answer */
    SINK_DELIVERED,
    SINK_TOO_LARGE, /* once more, trimmed further */
    SINK_REFUSED,   /* this report will never be taken */
    SINK_GONE,      /* no report will ever be taken: nothing more is sent there until a restart */
};

struct sink_answer {
    enum sink_result result;
    int64_t retry_after_ms; /* what the other side asked for; -1: nothing */
    bool all;               /* RETRY: it concerns every report, not this one */
    const char *text;       /* for people; lives during the callback */
};
typedef void sink_fn(void *arg, const struct sink_answer *a);

/* A report as the engine made it (agent/engine/report.c), with "chain" {"seq", "head"} added. trim:
 * how often it was too large. */
struct sink_type {
    const char *name; /* also its table in the configuration, which switches it on */
    const char *summary;
    int64_t give_up_ms; /* how long a report is tried before it is given up; 0: for ever */
    /* config: this sink's table of the configuration, secrets as references. NULL on error. */
    void *(*open)(const struct sink_env *env, const struct json *config, struct err *e);
    void (*close)(void *self);
    /* Begins to deliver; exactly one fn, never from inside. Returns what names it for cancel. */
    void *(*send)(void *self, const struct json *report, int trim, sink_fn *fn, void *arg);
    void (*cancel)(void *self, void *sending); /* no fn after; it may have been delivered */
};

/* Those that the configuration can switch on; and the one that takes what shadow runs say, and
 * everything where none is switched on. */
extern const struct sink_type *const sink_types[];
#define SINKS_MAX 4
extern const size_t sink_types_len;
extern const struct sink_type pagerduty_sink, webhook_sink, lines_sink;

#define SINK_ANSWER_MAX 65536 /* bytes of an answer's body that are looked at */
/* For sinks that post JSON. judge: what an answer that arrived means; no answer is SINK_RETRY. The
 * body is copied. */
typedef enum sink_result sink_judge_fn(void *self, const struct http_answer *a);
void *sink_post(const struct sink_env *env, const struct http_request *r, sink_judge_fn *judge,
                void *self, sink_fn *fn, void *arg);
void sink_post_cancel(void *self, void *sending);

/* fit.c: what is said of a report is bounded, field by field. */
char *text_cut(const char *s, size_t max,
               size_t *had); /* at most max characters, the last an ellipsis if it had more; the
                                caller frees */
/* A report that prints in at most about max bytes: the fields that are missed least are cut first,
 * and "trimmed" says what was. Summary, severity, target, next and stop are never left out. The
 * caller frees. */
struct json *report_fit(const struct json *report, size_t max);
/* build(report) below max bytes, from a report that is cut until it is. The caller frees. */
struct json *report_build(const struct json *report, size_t max,
                          struct json *(*build)(const struct json *report));

/* What PagerDuty is sent, without the routing key; *change: it goes to the change endpoint. What
 * the webhook is sent. The caller frees. */
struct json *pagerduty_event(const struct json *report, int trim, bool *change);
struct json *webhook_event(const struct json *report, int trim);

#endif
