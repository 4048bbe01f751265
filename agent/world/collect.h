/* The collector host: one instance per collector and source, polled on its own timer, so that a
 * dead source delays no other. */
#ifndef RB_WORLD_COLLECT_H
#define RB_WORLD_COLLECT_H

#include <stdbool.h>
#include "engine/series.h"
#include "io/loop.h"

struct collect;

/* Where readings go. flush comes once after the samples of the polls that ended in a turn. */
struct collect_feed {
    void (*sample)(void *arg, uint64_t series, int64_t start_wall_ms, int64_t period_ms,
                   double value);
    void (*note)(void *arg, uint64_t series, const char *text); /* of the sample just given */
    void (*unknown)(void *arg, uint64_t series, const char *why);
    /* Its source does not answer, and why; NULL: it answers again. Said at each failed poll. */
    void (*lost)(void *arg, uint64_t series, const char *why);
    void (*flush)(void *arg);
    void *arg;
};

/* io and feed are copied. */
struct collect *collect_new(struct loop *l, const struct host_io *io,
                            const struct collect_feed *feed);
void collect_free(struct collect *c); /* cancels and closes everything; not from inside a callback
                                         of a collector */

/* All series that are wanted from now on, with the estate of today (counted): a source whose
 * targets did not change keeps its instance. May be called at any time: what changes is put into
 * effect at the end of the loop's turn. */
void collect_watch(struct collect *c, struct estate *estate, struct series *const *series,
                   size_t n);

/* Every source has ended a poll, well or badly, since it was opened. */
bool collect_settled(const struct collect *c);

/* [{"source", "collector", "series", "state": "ok"|"failing"|"new", "failures", "error",
 * "last_ok_ms" (age), "next_ms"}] */
struct json *collect_status(const struct collect *c);

/* Called after a change was put into effect: no source uses an earlier estate any more. */
void collect_on_change(struct collect *c, void (*fn)(void *arg), void *arg);

#endif
