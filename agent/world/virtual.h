/* The virtual world: a clock that jumps from event to event, a journal in memory, samples and
 * effects from a model. Tests, chaos and backtests are made of it. */
#ifndef RB_WORLD_VIRTUAL_H
#define RB_WORLD_VIRTUAL_H

#include <stdbool.h>
#include "engine/engine.h"
#include "engine/series.h"
#include "world/memory_journal.h"

struct virtual_model {
    /* The reading of a series at this time (steady since the world began; the point covers the
     * interval that ends then, or is a gauge's). False: missing. */
    bool (*sample)(void *arg, const struct series *s, int64_t at_ms, double *value);
    /* What observing sees (a map), or NULL and *e. */
    struct json *(*observe)(void *arg, const struct world_step *s, struct err *e);
    /* Carries a call out, or not. */
    enum applied (*apply)(void *arg, const struct world_step *s, struct json **out, struct err *e);
    /* How long an observe or apply takes; -1: it is never answered (the world then times it out at
     * its deadline). NULL: 0. */
    int64_t (*latency)(void *arg, const struct world_step *s);
    void (*trace)(void *arg, int64_t at_ms, const char *policy, const char *target,
                  const char *verb, const char *text);
    void (*report)(void *arg, int64_t at_ms, const char *key, const struct json *report);
    void (*emergency)(void *arg, int64_t at_ms, const char *text);
    bool (*frozen)(void *arg);
    void *arg;
};

struct virtual_options {
    uint64_t seed;
    int64_t start_wall_ms; /* both clocks at the beginning; all times below count from it */
    struct engine_options engine;
    struct policy_loader loader;
    struct virtual_model model;
    bool backfill; /* a series that begins is given what the model has of the time before, as far as
                      its conditions look back: the sources keep history (M5) */
};

struct virtual;
struct virtual *virtual_new(const struct virtual_options *o);
void virtual_free(struct virtual *v);

/* Starts an agent on what the journal holds; counts set and estate. */
int virtual_start(struct virtual *v, struct policy_set *set, struct estate *estate, struct err *e);
int virtual_reload(struct virtual *v, struct policy_set *set, struct estate *estate, struct err *e);
void virtual_crash(struct virtual *v); /* kill -9: what was not committed is lost, what was asked of
                                          the model stays done */

void virtual_run_until(struct virtual *v, int64_t at_ms);
/* One event, not later than at_ms; false when there is none. Lets a test crash between any two. */
bool virtual_step(struct virtual *v, int64_t at_ms);
int64_t virtual_now(const struct virtual *v);
void virtual_step_wall(struct virtual *v, int64_t by_ms); /* a clock step */

struct engine *virtual_engine(struct virtual *v);
struct memory_disk *virtual_disk(struct virtual *v);
struct journal *virtual_journal(struct virtual *v);
struct json *virtual_command(struct virtual *v,
                             struct json *command); /* runs the world until it is answered; both
                                                       owned as usual (command is taken) */

#endif
