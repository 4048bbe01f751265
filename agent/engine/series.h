/* Series: recent points of one metric of one target, and their packed form for storage. Times are the engine's steady milliseconds. */
#ifndef RB_ENGINE_SERIES_H
#define RB_ENGINE_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "plugin/collector.h"

struct point {
    int64_t start_ms; /* steady */
    int64_t period_ms; /* 0 for a gauge */
    double value;
};

/* Why a series has no usable value now. */
enum finding { FINDING_NONE, FINDING_NEVER, FINDING_STALE, FINDING_NAN, FINDING_RANGE, FINDING_FUTURE, FINDING_FLEET_ZERO, FINDING_SOURCE };
const char *finding_name(enum finding f); /* "stale", "future timestamp", "zero across the fleet" */

struct series {
    uint64_t id;
    char *key; /* canonical: signal, target id, options: the same wish is the same series */
    const struct signal *signal;
    struct target *target; /* copied strings live in the estate that `estate` holds */
    struct estate *estate;
    struct json *opts;
    int64_t interval_ms;
    int64_t keep_ms; /* how far back points are kept in memory */
    struct point *points; /* ring, oldest first */
    size_t first, count, cap;
    enum finding finding; /* about the newest reading, kept until a good one arrives */
    int64_t finding_ms;   /* when it was made, steady */
    char why[160];        /* the source's own words */
    bool dirty;           /* conditions that read it are to be evaluated */
};

struct series *series_new(const struct signal *s, const struct target *t, struct estate *e, const struct json *opts);
void series_free(struct series *s);
char *series_key(const struct signal *s, const struct target *t, const struct json *opts); /* the caller frees */

/* Adds a reading, judged for plausibility; a point at or before the newest is ignored, an overlapping one too. now is steady. True when it became a point. */
bool series_add(struct series *s, int64_t start_ms, int64_t period_ms, double value, int64_t now_ms);
void series_unknown(struct series *s, enum finding f, const char *why, int64_t now_ms);
const struct point *series_newest(const struct series *s);           /* NULL if none */
const struct point *series_at(const struct series *s, size_t i);     /* 0: oldest */
int64_t point_end_ms(const struct point *p);                         /* start + period */
int64_t series_expiry_ms(const struct series *s); /* steady time at which the newest point becomes too old: end + interval + lag (M2) */

/* Packed days: one blob a series and UTC day, columns: header, then start offsets, then values. The format is fixed: docs/journal.md. */
#define PACK_MAX_POINTS 86400
int pack_points(const struct point *p, size_t n, int64_t day_start_ms, void **blob, size_t *len); /* the caller frees; ERR_LIMIT */
int pack_append(void **blob, size_t *len, const struct point *p, int64_t day_start_ms);
int pack_each(const void *blob, size_t len, int64_t day_start_ms, void (*fn)(void *arg, const struct point *p), void *arg, struct err *e);

#endif
