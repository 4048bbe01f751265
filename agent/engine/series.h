/* Series: recent points of one metric of one target, and their packed form for storage. Times are
 * the engine's steady milliseconds. */
#ifndef RB_ENGINE_SERIES_H
#define RB_ENGINE_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "plugin/collector.h"

/* A reading. It says something of [start, start + period), and it is known from its end on:
 * durations are counted from end to end (docs/design.md, "Time of a point"). */
struct point {
    int64_t start_ms;  /* steady */
    int64_t period_ms; /* 0 for a gauge */
    double value;
};

/* Why a series has no usable value now. */
enum finding {
    FINDING_NONE,
    FINDING_NEVER,
    FINDING_STALE,
    FINDING_NAN,
    FINDING_RANGE,
    FINDING_FUTURE,
    FINDING_FLEET_ZERO,
    FINDING_SOURCE
};
const char *finding_name(enum finding f); /* "stale", "future timestamp", "zero across the fleet" */

#define SERIES_FUTURE_MS 5000   /* clocks differ a little: a point may end this far ahead of ours */
#define SERIES_SKEW_MS 1000     /* a period may seem to begin this much before the last one ended */
#define SERIES_MAX_POINTS 65536 /* kept in memory, whatever keep_ms says */

struct series {
    uint64_t id;
    char *key; /* canonical: signal, target id, options: the same wish is the same series */
    const struct signal *signal;
    struct target *target; /* copied strings live in the estate that `estate` holds */
    struct estate *estate;
    struct json *opts;
    int64_t interval_ms, lag_ms;
    int64_t keep_ms;      /* how far back points are kept in memory */
    struct point *points; /* ring, oldest first */
    size_t first, count, cap;
    enum finding finding; /* about the newest reading, kept until a good one arrives */
    int64_t finding_ms;   /* when it was made, steady */
    char why[160];        /* the source's own words */
    char *note;           /* what decided the reading number noted - 1; or NULL */
    uint64_t noted;
    char *lost;                        /* why the source itself does not answer; NULL: it does */
    bool dirty;                        /* conditions that read it are to be evaluated */
    struct series *from[SIGNAL_PARTS]; /* what it is made of; they live as long as it does */
    size_t nfrom;                      /* 0: a collector's */
    uint64_t taken;        /* points of from[0], or of the slower one, that it is made of already */
    struct series **makes; /* what is made of it */
    size_t nmakes;
    bool queued; /* the engine knows that it changed */
    /* Kept by series.c; conditions read them. */
    uint64_t total;   /* points ever added: the newest is number total - 1 */
    uint64_t restart; /* points before this number count for no hold clock: an implausible reading
                         came after them */
    uint64_t version; /* changes whenever an answer may */
    unsigned fresh;   /* arrivals that were not too old when they came, counted up to 2 (M5) */
    int64_t fresh_ms; /* when the last of them came */
    uint32_t fleet;   /* the same number: the same signal with the same options */
    bool zero_suspicious; /* M4 applies: by the signal, and by these options */
    bool zero_held;       /* marked FINDING_FLEET_ZERO */
    bool zero_jump;       /* the newest readings are zero, those before were not */
    bool zero_fall;       /* ... and were clearly above zero */
    int64_t zero_end_ms;  /* end of the first of these zeros */
    double last_up;       /* the last reading that was not zero */
    double removed; /* so many were removed by acts of ours since the last reading that shows it */
    int64_t removed_ms; /* when the last of them was done */
    unsigned up,
        high; /* readings in a row, up to 3, that were not zero, that were clearly above it */
};

struct series *series_new(const struct signal *s, const struct target *t, struct estate *e,
                          const struct json *opts);
void series_free(struct series *s);
char *series_key(const struct signal *s, const struct target *t,
                 const struct json *opts); /* the caller frees */
/* After a reload: the same series under the new estate's target, which it counts. */
void series_rehome(struct series *s, const struct target *t, struct estate *e);

/* Adds a reading, judged for plausibility; a point at or before the newest is ignored, an
 * overlapping one too. One that overlaps by no more than a clock's correction (SERIES_SKEW_MS, half
 * a period at most) is moved to the end of the one before. now is steady. True when it became a
 * point. Where s->zero_suspicious, series_fleet_zero is to be called before conditions are
 * evaluated. */
bool series_add(struct series *s, int64_t start_ms, int64_t period_ms, double value,
                int64_t now_ms);
/* The source knows that it does not know, or a reading was implausible: conditions are unknown at
 * once and their clocks begin anew. A poll that merely failed is not that: it is a missing sample,
 * which M2 bridges. */
void series_unknown(struct series *s, enum finding f, const char *why, int64_t now_ms);
/* Polls fail, and why; NULL: they do no longer. For what people are told only: it judges nothing.
 */
void series_lost(struct series *s, const char *why);
/* What decided the newest reading, where it is one of several; for people only. */
void series_note(struct series *s, const char *text);
const char *series_noted(const struct series *s); /* NULL: nothing was said of the newest reading */
/* What people are told of why there is no reading, or NULL where there is one. */
const char *series_why(const struct series *s, int64_t now_ms);

/* M4, over all series of one signal with the same options, one a target. A zero that follows a
 * reading above zero is taken for a value only once another target has shown, at that time or
 * later, that the source can say something else; when no target with fresh data shows anything but
 * zero, all are held. Where only one target has fresh data, a zero is held that follows three
 * readings clearly above zero (counts: 10 and more). Held: FINDING_FLEET_ZERO, until the target's
 * own reading is not zero or another's proves the source alive. True when a finding changed (series
 * are dirty). */
bool series_fleet_zero(struct series *const *all, size_t n, int64_t now_ms);

/* derive.c: what it is made of; no effect when it is known. Then, whenever one of those changed:
 * its new points. */
void series_made_of(struct series *s, struct series *const *from, size_t n);
void series_derive(struct series *s, int64_t now_ms);

/* An act of ours removed n of what this series counts, between these two times. A zero that it
 * explains, one that follows a reading of at most n, is a value and no finding (M4). */
void series_removed(struct series *s, size_t n, int64_t since_ms, int64_t done_ms);

enum finding
series_finding(const struct series *s,
               int64_t now_ms); /* the finding, or FINDING_STALE when the newest point is too old */
const struct point *series_newest(const struct series *s); /* NULL if none */
/* What it reads now: the newest point; NULL where series_finding has one. */
const struct point *series_reading(const struct series *s, int64_t now_ms);
const struct point *series_at(const struct series *s, size_t i); /* 0: oldest */
int64_t point_end_ms(const struct point *p);                     /* start + period */
/* How late beyond its interval a point may be: the signal's lag, but at least half an interval,
 * because a reading that is taken every 10 s is not taken to the millisecond. */
int64_t series_late_ms(const struct series *s);
int64_t
series_expiry_ms(const struct series *s); /* the newest point is too old after this steady time: end
                                             + interval + late (M2); INT64_MIN without one */

/* Packed days: one blob a series and UTC day, columns: header, start offsets, values. The format is
 * fixed: docs/journal.md, "Packed samples". Times are the wall clock's here: the caller has turned
 * them. Points are in order, do not overlap, start within the day, have a finite value (ERR_INPUT
 * otherwise). */
#define PACK_MAX_POINTS 86400
int pack_points(const struct point *p, size_t n, int64_t day_start_ms, void **blob,
                size_t *len); /* the caller frees; ERR_LIMIT, ERR_INPUT */
int pack_append(
    void **blob, size_t *len, const struct point *p,
    int64_t day_start_ms); /* *blob may be NULL: a new day; the old one is kept on error */
/* Calls fn with each point in order; ERR_INPUT, before any call, when the blob is not what
 * pack_points made. */
int pack_each(const void *blob, size_t len, int64_t day_start_ms,
              void (*fn)(void *arg, const struct point *p), void *arg, struct err *e);

#endif
