/* What the agent's own files share. */
#ifndef RB_SERVE_INTERNAL_H
#define RB_SERVE_INTERNAL_H

#include "report/outbox.h"
#include "serve/control.h"
#include "serve/load.h"
#include "serve/web.h"
#include "world/live.h"
#include "world/sqlite_journal.h"

struct agent {
    const char *config_path, *version;
    tests_fn *tests;
    struct loaded now; /* what is in force */
    struct loaded was; /* before the last reload, until it is freed */
    char *host;
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct journal *journal;
    struct live *live;
    struct outbox *outbox;
    struct engine *engine;
    struct control *control;
    struct alerts *alerts;
    struct receiver *receiver; /* NULL: nothing listens */
    struct web *web;
    struct loop_timer *house, *stop_timer;
    int64_t started_ms, stop_at_ms;
    struct loop_lag lag, lag_minute; /* of the last second and of the last minute */
    int64_t lag_since_ms;
    bool watchdog, stopping, drained, out_of_memory;
    int reloads;
    enum mode said_mode; /* to the service manager */
    struct reload *reload; /* under way */
    bool reload_again;     /* SIGHUP came meanwhile */
};

extern const struct control_verb agent_verbs[];
struct json *agent_numbers(void *agent); /* what metrics are made of; the caller frees */

/* Reads everything anew and puts it in force, or keeps the old and says why: the answer for the
 * operator, now or later; fn may be NULL. */
void agent_reload(struct agent *a, bool widen, command_fn *fn, void *arg);
void agent_reload_stop(
    struct agent *a); /* waits for one that is under way; puts nothing in force */
/* The first time, with what the journal holds: exit code, with *e. */
int agent_load(struct agent *a, struct err *e);
/* Listings changed (live_options.relisted). */
void agent_relisted(void *agent, const char *worry);

#endif
