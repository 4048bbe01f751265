/* A time zone of the system's database, read once into memory: TZif files (RFC 9636) and the rule
 * in their last line. Nothing of the C library's own zone (TZ, localtime) is used or changed, so
 * every thread and every zone stands alone. */
#ifndef RB_BASE_ZONE_H
#define RB_BASE_ZONE_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define ZONE_DIR "/usr/share/zoneinfo" /* Debian's tzdata */

struct zone;

/* "Europe/Berlin". It lives in the arena. NULL: ERR_NOT_FOUND (no zone of that name), ERR_IO,
 * ERR_INPUT (a file that is no zone). */
struct zone *zone_load(struct arena *a, const char *name, struct err *e);
/* The same from a file's bytes. */
struct zone *zone_parse(struct arena *a, const char *name, const void *data, size_t len,
                        struct err *e);
const char *zone_name(const struct zone *z);

/* Seconds east of Greenwich at this moment (seconds since 1970, UTC). *from and *until, if asked
 * for, bound the time for which that is known to hold: from <= t < until. */
int zone_offset(const struct zone *z, int64_t utc_s, int64_t *from, int64_t *until);

/* All names, for "did you mean", from tzdata's own list; in the arena. How many; 0 when the list
 * cannot be read. */
size_t zone_names(struct arena *a, const char ***names);

#endif
