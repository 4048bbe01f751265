/* Discovery: each `discover` of the estate is listed on a timer of its own, completely or not at
 * all; what was listed is journaled before it counts, so that a restart knows it. */
#ifndef RB_WORLD_DISCOVER_H
#define RB_WORLD_DISCOVER_H

#include "engine/journal.h"
#include "io/loop.h"
#include "plugin/host.h"
#include "plugin/target.h"

struct discover;

struct discover_options {
    struct loop *loop;
    const struct host_io *io; /* lives as long as the discover */
    struct journal *journal; /* NULL: what is listed counts at once, and nothing is kept */
    int64_t (*now_ms)(void *arg); /* steady */
    /* What is known has changed: discover_estate gives another answer now. worry: what a human is
     * to be told, or NULL. Never from inside a call of this module. */
    void (*changed)(void *arg, const char *worry);
    void *arg;
};

struct discover *discover_new(const struct discover_options *o); /* copies o */
void discover_free(struct discover *d); /* no callback after; the journal completed what it held */

/* What earlier listings left in the journal. Waits: at the start, before discover_rows. */
int discover_restore(struct discover *d, struct err *e);

/* What is declared, and what these rows ("discover" of estate_load, with accounts of `declared`)
 * are known to hold, as one; the reference is the caller's. */
struct estate *discover_estate(const struct discover *d, const struct json *rows,
                               struct estate *declared);

/* These rows are listed from now on: one that is as it was keeps what it knows and its timer. */
void discover_rows(struct discover *d, const struct json *rows, const struct estate *declared);

/* Each row has been listed completely since the start, or has failed to be. */
bool discover_settled(const struct discover *d);

/* [{"discover": "asg", "name", "site", "members", "absent", "listed": "complete"|"unsure"|"empty",
 * "next_ms", and what health_status says}] */
struct json *discover_status(const struct discover *d);

#endif
