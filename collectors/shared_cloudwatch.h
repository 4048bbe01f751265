/* Questions to GetMetricData: each metric once, whoever reads it, packed into as few calls as AWS
 * allows; and the points of the answers. Pure: sends nothing. */
#ifndef RB_COLLECTORS_SHARED_CLOUDWATCH_H
#define RB_COLLECTORS_SHARED_CLOUDWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "aws/query.h"
#include "base/json.h"
#include "base/xml.h"

#define CW_QUERIES_A_CALL 500 /* AWS's limit on MetricDataQueries */
/* Points of a page: half of what AWS would put into one, so that an answer stays within what is
 * read of any answer, in bytes and in elements. */
#define CW_POINTS_A_PAGE 50000

struct cw_point {
    int64_t start_ms; /* AWS's clock */
    double value;
};

/* One metric at one period with one statistic. */
struct cw_query {
    char *key;
    char *words; /* holds the next four */
    const char *namespace, *metric, *stat;
    struct json *dimensions; /* map of strings */
    const char *expr; /* metric math in which the metric is called m; NULL: the metric itself */
    int64_t period_ms;
    size_t batch;
    bool alone; /* in a call of its own: it was refused before */
    /* The answer. */
    bool answered; /* some page named it */
    bool partial;  /* the last page that named it said PartialData */
    char why[200]; /* "" or AWS's reason for having no data */
    struct cw_point *points;
    size_t npoints, cap;
};

/* One call: the queries of one period, so that all ask for the same time, and of one expression:
 * AWS refuses a call as a whole, and what somebody wrote wrong costs only those who wrote it. */
struct cw_batch {
    int64_t period_ms;
    const char *expr; /* of its queries, or NULL */
    size_t nmembers;  /* MetricDataQueries: a query with an expression takes two */
    size_t nqueries;
    bool alone;
};

struct cw_set {
    struct cw_query *queries;
    size_t nqueries, cqueries;
    struct map *by_key; /* its number, from 1; NULL: none yet */
    struct cw_batch *batches;
    size_t nbatches;
};

void cw_init(struct cw_set *s);
void cw_clear(struct cw_set *s);
/* The number of that query, which is added when it is new. Copies everything. */
size_t cw_want(struct cw_set *s, const char *namespace, const char *metric,
               const struct json *dimensions, const char *stat, int64_t period_ms,
               const char *expr);
/* Deals the queries out to calls; to be called once all are there. */
void cw_pack(struct cw_set *s);
/* Gives half of a batch's queries to a new batch, which is the last then. False: it is one query,
 * which *one is. */
bool cw_split(struct cw_set *s, size_t batch, struct cw_query **one);

/* The parameters of a call for [start, end), whole seconds; token NULL on the first page. The
 * caller frees with aws_params_free. */
struct aws_params *cw_params(const struct cw_set *s, size_t batch, int64_t start_ms, int64_t end_ms,
                             const char *token);
/* Forgets the points of a batch's queries, before they are asked for anew. */
void cw_forget(struct cw_set *s, size_t batch);
/* Takes one page in; *token is its NextToken or NULL and lives as long as the answer. ERR_INPUT for
 * an answer that is none. */
int cw_take(struct cw_set *s, size_t batch, const struct xml *answer, const char **token,
            struct err *e);
/* AWS refused the call for one of its queries, and which one is not known yet: no query of the
 * batch has data, and why. */
void cw_refuse_all(struct cw_set *s, size_t batch, const char *why);
/* After the last page: points in order of time, each time once. */
void cw_finish(struct cw_set *s, size_t batch);
/* The point of that time, or NULL. */
const struct cw_point *cw_at(const struct cw_query *q, int64_t start_ms);
/* The first point after that time, or NULL. */
const struct cw_point *cw_after(const struct cw_query *q, int64_t start_ms);

/* How far back CloudWatch keeps points of this period, milliseconds. */
int64_t cw_kept_ms(int64_t period_ms);
/* Periods that CloudWatch has: 1, 5, 10, 20 and 30 s, and multiples of a minute up to a day. */
bool cw_period_exists(int64_t period_ms);

#endif
