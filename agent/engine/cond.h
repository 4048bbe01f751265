/* Conditions: three-valued trees over series, evaluated in C on arrival of a sample (M1 to M5,
 * M15). */
#ifndef RB_ENGINE_COND_H
#define RB_ENGINE_COND_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "engine/series.h"
#include "engine/window.h"

enum tri { TRI_FALSE, TRI_TRUE, TRI_UNKNOWN };
const char *tri_name(enum tri t);

struct site { /* where something was written */
    const char *file;
    int line, column;
};

enum cond_kind { COND_LEAF, COND_ALL, COND_ANY, COND_NONE, COND_CLOCK };
enum cmp { CMP_ABOVE, CMP_BELOW, CMP_AT_LEAST, CMP_AT_MOST, CMP_IS, CMP_IS_NOT };
const char *cmp_word(enum cmp c); /* "above" */
enum missing { MISSING_HOLD, MISSING_TRUE, MISSING_FALSE };

/* What a policy says; immutable; in the policy set's arena. */
struct cond {
    enum cond_kind kind;
    struct site site;
    struct cond **kids; /* all, any, none */
    size_t nkids;
    const struct window *window; /* clock */
    const struct signal *signal; /* clock, and leaf from here on */
    struct json *opts;           /* as held; may hold "$target.FIELD" */
    enum cmp cmp;
    double threshold;       /* in the signal's base unit */
    const char *word;       /* CMP_IS, CMP_IS_NOT: the enum's word */
    struct site clear_site; /* where `clear` was written; file NULL: nowhere */
    double clear; /* of a leaf of `when`: the threshold at which it is over (M6), in that unit */
    int64_t lasting_ms;
    enum missing missing;
};

/* A condition bound to one target: its leaves have series and hold clocks. */
struct bound;

struct bind_context {
    /* Finds or makes the series of this wish; NULL and *e when the target has no such signal. opts:
     * references resolved; the caller's, to be copied. */
    struct series *(*series)(void *arg, const struct signal *s, const struct target *t,
                             struct json *opts, int64_t history_ms, struct err *e);
    const struct estate *estate;
    const struct target *target;
    struct json *params;           /* for "$param.NAME" */
    int64_t (*wall_ms)(void *arg); /* the wall's time, for clocks; NULL: they are unknown */
    void *arg;
};
/* NULL on error: "file:line:column: E102 ..." for a reference that names nothing, E107 for a word
 * that the signal does not have, else what ctx->series says. c must outlive it. A series keeps as
 * many points as the leaves need: bound_new raises its keep_ms. */
struct bound *bound_new(const struct cond *c, const struct bind_context *ctx, struct err *e);
void bound_free(struct bound *b);

/* Takes over hold clocks from leaves of `old` that read the same series with the same comparison
 * and duration (reload). */
void bound_adopt(struct bound *b, const struct bound *old);

/* Only points that start at or after this count, readings of an instant (period 0) only after it;
 * clocks begin anew (M15). 0: all. */
void bound_not_before(struct bound *b, int64_t steady_ms);

struct answer {
    enum tri value;
    bool pending;     /* unknown only because a `lasting` has not run its time */
    int64_t again_ms; /* steady time at which the answer may change without a new sample (a hold
                         ends, a point expires); INT64_MAX: never */
    int64_t since_ms; /* steady time since which it has this value: of the evaluation that first
                         gave it */
    unsigned samples; /* points of the slowest leaf that agree with it: 1 at the change, one more
                         with each later point. M6's two intervals are two. */
};
/* Brings the clocks up to the newest points and answers. Call on arrival of a sample that it reads,
 * and at again_ms. */
struct answer bound_eval(struct bound *b, int64_t now_ms);
bool bound_reads(const struct bound *b, const struct series *s);
void bound_each_series(const struct bound *b, void (*fn)(void *arg, struct series *s), void *arg);
int64_t
bound_slowest_ms(const struct bound *b); /* max over leaves of 2 periods + lag + lasting (M15); the
                                            longest interval: bound_interval_ms */
int64_t bound_interval_ms(const struct bound *b);

/* The tree as JSON for explain and reports: kind, value, site "file:line:column", signal,
 * comparator, threshold, reading, age_ms, held_ms, lasting_ms, finding, kids. */
struct json *bound_explain(const struct bound *b, int64_t now_ms);
/* One line for a page: "asg_cpu 85% above 60% for 5m". The leaf that decides. */
void bound_summary(const struct bound *b, int64_t now_ms, struct buf *out);

/* Whether both say the same, wherever they are written; either may be NULL. */
bool cond_same(const struct cond *a, const struct cond *b);

/* E108 (M2): a `missing` that could make the whole condition true without data. */
bool cond_true_without_data(const struct cond *c);

#endif
