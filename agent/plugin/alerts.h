/* What other monitors have told us: which of their alerts fire. Whoever receives them puts them in,
 * the collector `alert` reads them. */
#ifndef RB_PLUGIN_ALERTS_H
#define RB_PLUGIN_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/json.h"

struct alerts;

#define ALERTS_MAX 10000 /* alerts known at a time */

struct alert {
    const char *source;        /* "alertmanager", "cloudwatch_alarm" */
    const char *id;            /* what makes it the same alert there */
    const struct json *labels; /* a map of strings */
    bool firing;
    int64_t since_ms; /* wall: when it changed to this, by its source's clock */
    int64_t heard_ms; /* wall: when we were told; 0: before the start */
    int64_t ends_ms;  /* wall: its source holds it for over by then unless it says otherwise; 0: not
                         said */
};

struct alerts *alerts_new(void);
void alerts_free(struct alerts *a);

enum alerts_put { ALERTS_NEW, ALERTS_SAME, ALERTS_OLD, ALERTS_FULL };
/* ALERTS_NEW: it fires now and did not, or the other way round. ALERTS_SAME: heard again.
 * ALERTS_OLD: a later change is known; nothing was done. */
enum alerts_put alerts_put(struct alerts *a, const struct alert *what);

/* How many alerts of the source fire that have all of these labels; -1: that cannot be told, and
 * why: one fired and has neither ended nor been heard of for expires_ms, or since the start. */
int alerts_firing(const struct alerts *a, const char *source, const struct json *match,
                  int64_t now_ms, int64_t expires_ms, char *why, size_t size);

size_t alerts_count(const struct alerts *a); /* known, firing or not long over */

#endif
