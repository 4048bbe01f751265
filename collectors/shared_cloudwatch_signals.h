/* The signals that are metrics of CloudWatch: one table for all kinds of targets, so that whatever
 * an account's policies read goes into the same GetMetricData. */
#ifndef RB_COLLECTORS_SHARED_CLOUDWATCH_SIGNALS_H
#define RB_COLLECTORS_SHARED_CLOUDWATCH_SIGNALS_H

#include "plugin/collector.h"
#include "shared_cloudwatch.h"

#define CW_NONE ((size_t)-1)

/* How a value is made of the points of a period. */
enum cw_form {
    CW_METRIC,  /* a, scaled */
    CW_ERRORS,  /* a / c + b / d, percent; a and b that are missing are zero where c is alive */
    CW_SHARE,   /* a / c, percent, where both are there */
    CW_MEMBERS, /* what agg makes of the members, where the points of all are there */
};

/* What a series reads. */
struct cw_reading {
    enum cw_form form;
    size_t a, b, c, d; /* numbers of queries in the set, or CW_NONE */
    double scale;
    const char *negative; /* what a value below zero means: no value; NULL: nothing special */
    char why[256];        /* "" or why it cannot be asked at all */
    size_t *members;      /* CW_MEMBERS: numbers of queries; a is the first */
    size_t nmembers;
    const char *agg; /* of them: "sum", "max", "avg" or "min"; of the watch */
};
void cw_reading_clear(struct cw_reading *r);

/* Whether the estate does not say what the signal's metric is published by: why, and what to write.
 */
bool cw_lacks(const struct signal *g, const struct target *t, const struct estate *e, char *why,
              size_t size);
/* Whose metric it is: the account is that of the target of this kind that a series' target is or
 * names. NULL: of the series' target itself. */
const char *cw_owner_kind(const struct signal *g);
/* Puts the questions of that series into the set. */
void cw_read(struct cw_set *set, const struct estate *e, const struct watch *w,
             struct cw_reading *out);

/* As of struct signal: what CloudWatch has of no metric. */
bool cw_bad_period(const struct target *t, const struct estate *e, const struct json *opts,
                   char *text, size_t size);

#define CW_SIGNALS 15
extern const struct signal cw_signals[CW_SIGNALS];

#endif
