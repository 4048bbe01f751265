/* A window of the week in a time zone: what sig.clock says. Pure: the wall's time comes in, so it
 * holds in every world. */
#ifndef RB_ENGINE_WINDOW_H
#define RB_ENGINE_WINDOW_H

#include <stdbool.h>
#include "base/zone.h"

struct window {
    unsigned days;        /* on which it begins; bit 0 is Monday */
    int from_min, to_min; /* minutes of the local day; to up to 1440; one that is not after `from`
                             is of the next day */
    const struct zone *zone;
    const char *text; /* "mon-fri 22:00-06:00 Europe/Berlin" */
};

/* "mon-fri", "sat,sun", "fri-mon"; ERR_INPUT. */
int window_days(const char *text, unsigned *days);
/* "09:30" in minutes; "24:00" only as an end. ERR_INPUT. */
int window_time(const char *text, bool end, int *minutes);

/* Whether a clock on a wall of that zone shows a time of the window. An hour that is skipped is in
 * no window, one that comes twice is in it twice. The answer holds for *from_ms <= wall time <
 * *until_ms. */
bool window_open(const struct window *w, int64_t wall_ms, int64_t *from_ms, int64_t *until_ms);
/* What that clock shows: "Tue 14:05". */
const char *window_shows(const struct window *w, int64_t wall_ms, char *out, size_t size);

#endif
