/* What a series is told of the points of its metrics: values of periods that are over, each once,
 * or why there is none. */
#ifndef RB_COLLECTORS_SHARED_CLOUDWATCH_TOLD_H
#define RB_COLLECTORS_SHARED_CLOUDWATCH_TOLD_H

#include "shared_cloudwatch_signals.h"

struct cw_reader {
    const struct watch *w;
    uint64_t series; /* w's, which is told of after w has gone */
    struct cw_reading reads;
    int64_t given_ms;   /* AWS's clock: the start of the last period that was told of, or -1 */
    int64_t reached_ms; /* the end of what was asked for last, or -1 */
};

/* The answers, and when they were asked for. */
struct cw_told {
    const struct collector_host *host;
    const struct cw_set *set;
    int64_t now_ms;   /* AWS's clock */
    int64_t ahead_ms; /* AWS's clock less ours */
};

/* Each query that a series reads, of CW_QUERIES + reads.nmembers, or CW_NONE. */
#define CW_QUERIES 4 /* a to d, before the members */
size_t cw_query_of(const struct cw_reader *r, size_t i);

/* All that it reads was asked, and answered; false when an answer is of no use. */
bool cw_tell(const struct cw_told *s, struct cw_reader *r);

#endif
