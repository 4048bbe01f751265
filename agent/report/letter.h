/* A report on its way to several sinks, and what the journal is told of it: its row stays open
 * until the last of them is done with it. */
#ifndef RB_REPORT_LETTER_H
#define RB_REPORT_LETTER_H

#include <stdbool.h>
#include "engine/journal.h"
#include "io/loop.h"

struct letters;
struct letter;

struct letters_options {
    struct loop *loop;
    struct journal *journal;
    int64_t (*now_ms)(void *arg); /* the engine's steady clock, for the journal's rows */
    void *arg;
    int64_t again_ms; /* when a row that could not be marked is tried again */
    /* A further report, made beside the end of another, is durable. */
    void (*added)(void *owner, const char *row, const struct json *report);
    void *owner;
};
struct letters *letters_new(const struct letters_options *o);
void letters_free(struct letters *l);         /* what is not done with stays open in the journal */
size_t letters_open(const struct letters *l); /* with a row, not yet done or not yet marked so */

/* How a report ended at a sink, from the row's document; NULL: it has not. */
const char *letter_ended(const struct json *report, const char *sink);

/* row: its key in the journal; NULL: an emergency, which has none. sinks: how many it is for; with
 * none the row is closed at once. The letter is gone when the last is done and that is durable. */
struct letter *letter_new(struct letters *l, const char *row, const struct json *report,
                          size_t sinks);
const char *letter_row(const struct letter *m);
const struct json *letter_report(const struct letter *m);
struct json *letter_copy(const struct letter *m); /* as sinks are given it; the caller frees */
/* One sink is done with it. outcome: "delivered", "dead". text: why (may be NULL). */
void letter_ends(struct letter *m, const char *sink, const char *outcome, int attempts,
                 const char *text);
/* One sink does not get it now; the row stays open, so that it gets it after a restart. */
void letter_leaves(struct letter *m);
/* With the next mark a further report becomes durable, then `added` is called. Owns report; before
 * letter_ends. */
void letter_adds(struct letter *m, const char *row, struct json *report);

/* Takes over what a report is about, as far as no sink can stumble over it: short, plain names. */
void letter_about(struct json *to, const struct json *report);

#endif
