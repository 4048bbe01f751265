/* The action host: what the engine asked to be observed or applied, each with a deadline and
 * exactly one completion. */
#ifndef RB_WORLD_STEPS_H
#define RB_WORLD_STEPS_H

#include "engine/world.h"
#include "io/loop.h"

struct steps;

struct steps_feed {
    void (*observed)(void *arg, uint64_t ticket, struct json *seen,
                     const struct err *e); /* owns seen */
    void (*applied)(void *arg, uint64_t ticket, enum applied how, struct json *out,
                    const struct err *e); /* owns out */
    bool (*frozen)(void *arg);            /* asked right before a request leaves */
    void *arg;
};

struct steps *steps_new(struct loop *l, const struct host_io *io,
                        const struct steps_feed *feed); /* io and feed are copied */
void steps_free(struct steps *s); /* cancels what is in flight, without completions; not from inside
                                     a callback */

/* Completions come at the end of a turn of the loop, never from inside, and outside the action's
 * own callbacks. A deadline ends an observe with ERR_TIMEOUT, and an apply as in doubt: what was
 * sent may have been carried out. */
void steps_observe(struct steps *s, const struct world_step *step);
void steps_apply(struct steps *s, const struct world_step *step);
void steps_cancel(struct steps *s,
                  uint64_t ticket); /* no completion after; an unknown ticket is fine */

size_t steps_in_flight(const struct steps *s);

#endif
