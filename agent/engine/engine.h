/* The engine: from samples to decisions to journaled steps. A pure function of journal, clock, samples and step results. */
#ifndef RB_ENGINE_ENGINE_H
#define RB_ENGINE_ENGINE_H

#include "engine/policy.h"
#include "engine/world.h"

struct engine;

struct engine_options {
    enum mode mode;           /* the agent's; policies and targets can only be lower */
    struct rate budget;             /* acts of the whole agent; default 20 per 1h */
    struct rate budget_destructive; /* default 5 per 1h */
    int storm_episodes;       /* default 20 */
    int64_t storm_window_ms;  /* default 5 min */
    const char *dashboard;    /* URL prefix for links in reports, or NULL */
    const char *host;         /* this host's name, as the reports' source */
};

struct engine *engine_new(struct world *w, const struct engine_options *o, const struct policy_loader *loader);
void engine_free(struct engine *e);

/* Takes up what the journal holds: freezes, silences, counters, breakers, open episodes and runs (replayed when the policies are loaded). At the start, before engine_load. */
int engine_restore(struct engine *e, struct err *err);
/* Swaps in a set of policies and an estate; episodes, counters and hold times survive. Counts both. */
int engine_load(struct engine *e, struct policy_set *set, struct estate *estate, struct err *err);

/* From the world. */
void engine_sample(struct engine *e, uint64_t series, int64_t start_wall_ms, int64_t period_ms, double value);
void engine_unknown(struct engine *e, uint64_t series, const char *why);
/* What decided the sample just given: for what people are told. */
void engine_note(struct engine *e, uint64_t series, const char *text);
/* The source of a series does not answer, or (NULL) answers again: for what people are told. */
void engine_lost(struct engine *e, uint64_t series, const char *why);
void engine_wake(struct engine *e);
/* Evaluates all conditions whose series changed; after each batch of samples (a collector's poll), so that a fleet is judged as a whole (M4). */
void engine_flush(struct engine *e);
void engine_observed(struct engine *e, uint64_t ticket, struct json *seen, const struct err *err); /* owns seen */
void engine_applied(struct engine *e, uint64_t ticket, enum applied how, struct json *out, const struct err *err); /* owns out */

/* Stops taking up new steps, lets requests in flight end, suspends runs; fn when nothing is in flight. */
void engine_drain(struct engine *e, void (*fn)(void *arg), void *arg);

/* An operator's command: {"command": "freeze", "by": "ann", "reason": ...} -> an answer, or {"error": ...}. One callback, maybe later (after the journal).
 * Commands: status, episodes, runs, show, explain, plan, start, approve, deny, cancel, settle, freeze, unfreeze, resume, silence, unsilence, breaker, mode, report-test. docs/control.md. */
typedef void command_fn(void *arg, struct json *answer); /* ownership passes */
void engine_command(struct engine *e, const struct json *command, command_fn *fn, void *arg);
void engine_freeze_now(struct engine *e, const char *by, const char *reason); /* in memory at once, durable after: SIGUSR1, the file */

/* Pages a human about what belongs to no episode, under a key of its own ("agent/listing"). */
void engine_page(struct engine *e, const char *subject, const char *text);

/* In force now: an operator may have lowered it, and that outlives a restart. */
enum mode engine_mode(const struct engine *e, enum mode *configured);
/* For metrics and tests. */
struct json *engine_counts(const struct engine *e);

#endif
