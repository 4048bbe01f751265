/* The world: everything the engine knows of the outside. Live, test, backtest and chaos each supply one. */
#ifndef RB_ENGINE_WORLD_H
#define RB_ENGINE_WORLD_H

#include <stdint.h>
#include "engine/journal.h"
#include "plugin/action.h"

struct series;
struct world;

/* One observe or apply that the engine has asked for. `ticket` names it in the completion. Everything is copied or counted by the world as it needs. */
struct world_step {
    uint64_t ticket;
    const struct action_type *type;
    const struct target *target;
    struct estate *estate;
    const struct json *opts;
    const struct plan *plan; /* apply */
    const struct json *call; /* apply: one entry of plan->calls; NULL: observe */
    const char *token;
    int64_t deadline_ms;     /* from now */
    const char *name;        /* the action's name in the policy: what a test scripts results by */
};

struct world_ops {
    /* Steady milliseconds: never steps, never stands still for long, goes on over a restart (from the journal and the boot clock). All durations use it. */
    int64_t (*now_ms)(struct world *w);
    /* The wall clock: for windows and for people; may step. */
    int64_t (*wall_ms)(struct world *w);
    uint64_t (*draw)(struct world *w);
    /* Calls engine_wake at this steady time; replaces an earlier wish. INT64_MAX: never. */
    void (*wake_at)(struct world *w, int64_t now_ms);
    /* Exactly one engine_observed or engine_applied follows, never from inside; none after cancel. */
    void (*observe)(struct world *w, const struct world_step *s);
    void (*apply)(struct world *w, const struct world_step *s);
    void (*cancel)(struct world *w, uint64_t ticket);
    /* Series that are wanted from now on (all of them, after each load): the world collects. */
    void (*watch)(struct world *w, struct series *const *series, size_t n);
    /* A new row of kind "report" is durable: the sinks may have it. After a restart the world reads the open ones itself (journal each_open). */
    void (*deliver)(struct world *w, const char *key, const struct json *report);
    /* The journal cannot be written: this page goes out from memory, now. */
    void (*emergency)(struct world *w, const char *summary);
    /* Each decision as it falls, for logs and the test's timeline: verb "fire", "act", "deny", ... and a text. */
    void (*trace)(struct world *w, const char *policy, const char *target, const char *verb, const char *text);
    /* The freeze file exists (kill switch); asked before each act. */
    bool (*frozen_by_file)(struct world *w);
};

struct world {
    const struct world_ops *ops;
    struct journal *journal;
};

#endif
