/* Values of the points of metrics. */
#include "shared_cloudwatch_told.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "shared_source.h"

#define SETTLE_MAX_MS 15000
#define MINUTE_MS 60000

static bool usable(const struct cw_told *s, const struct cw_reader *r, size_t query)
{
    const struct cw_query *q = &s->set->queries[query];

    if (q->why[0] != '\0')
        s->host->unknown(s->host, r->w, q->why);
    return q->why[0] == '\0';
}

static void give(const struct cw_told *s, struct cw_reader *r, int64_t start_ms, double value)
{
    r->given_ms = start_ms;
    s->host->sample(s->host, r->w, start_ms - s->ahead_ms, r->w->interval_ms, value);
}

/* The period of that point is over, and was not told of. */
static bool is_new(const struct cw_told *s, const struct cw_reader *r, const struct cw_point *p,
                   int64_t settle_ms)
{
    return p->start_ms > r->given_ms && p->start_ms + r->w->interval_ms + settle_ms <= s->now_ms;
}

static void give_unknown(const struct cw_told *s, struct cw_reader *r, int64_t start_ms,
                         const char *why)
{
    r->given_ms = start_ms;
    s->host->unknown(s->host, r->w, why);
}

static void give_metric(const struct cw_told *s, struct cw_reader *r)
{
    const struct cw_query *q = &s->set->queries[r->reads.a];

    for (size_t i = 0; i < q->npoints; i++) {
        const struct cw_point *p = &q->points[i];

        if (!is_new(s, r, p, 0))
            continue;
        if (r->reads.negative != NULL && p->value < 0)
            give_unknown(s, r, p->start_ms, r->reads.negative);
        else
            give(s, r, p->start_ms, p->value * r->reads.scale);
    }
}

/* Points of one period of two metrics may come at different times: a share is told of when both
 * are there. */
static void give_share(const struct cw_told *s, struct cw_reader *r)
{
    const struct cw_query *part = &s->set->queries[r->reads.a],
                          *whole = &s->set->queries[r->reads.c];
    char why[256];

    for (size_t i = 0; i < whole->npoints; i++) {
        const struct cw_point *n = &whole->points[i], *k = cw_at(part, n->start_ms);

        if (k == NULL || !is_new(s, r, n, 0))
            continue;
        if (n->value > 0) {
            give(s, r, n->start_ms, 100 * k->value / n->value);
        } else {
            snprintf(why, sizeof(why), "%.60s is %.0f: there is no share of it", whole->metric,
                     n->value);
            give_unknown(s, r, n->start_ms, why);
        }
    }
}

/* The earliest period after that one of which a member has a point, or -1. */
static int64_t next_of_members(const struct cw_told *s, const struct cw_reader *r, int64_t after_ms)
{
    int64_t next_ms = -1;

    for (size_t i = 0; i < r->reads.nmembers; i++) {
        const struct cw_point *p = cw_after(&s->set->queries[r->reads.members[i]], after_ms);

        if (p != NULL && (next_ms < 0 || p->start_ms < next_ms))
            next_ms = p->start_ms;
    }
    return next_ms;
}

/* Members publish at different times: a period is told of when the points of all are there. What
 * stays away longer than points may be late is told as unknown: a sum without a member would be too
 * low. */
static void give_members(const struct cw_told *s, struct cw_reader *r)
{
    int64_t late_ms = signal_lag_ms(r->w->signal, r->w->target);
    char why[256];

    for (int64_t t = next_of_members(s, r, r->given_ms); t >= 0; t = next_of_members(s, r, t)) {
        const struct cw_query *missing = NULL;
        struct cw_point all = {t, 0};
        size_t there = 0;

        for (size_t i = 0; i < r->reads.nmembers; i++) {
            const struct cw_query *q = &s->set->queries[r->reads.members[i]];
            const struct cw_point *p = cw_at(q, t);

            if (p == NULL) {
                missing = q;
                continue;
            }
            all.value = source_fold(r->reads.agg, all.value, p->value, there++);
        }
        if (!is_new(s, r, &all, missing != NULL ? late_ms : 0))
            continue;
        if (missing == NULL) {
            give(s, r, t, all.value * r->reads.scale);
            continue;
        }
        snprintf(why, sizeof(why),
                 "%.40s of member %.60s is missing: the others alone say too little",
                 missing->metric, json_str(json_first(missing->dimensions), "?"));
        give_unknown(s, r, t, why);
    }
}

/* min_requests is meant for a period of a minute; of a shorter one as much less. */
static double least_requests(const struct watch *w)
{
    double least = json_get_num(w->opts, "min_requests", 100);

    if (w->interval_ms < MINUTE_MS)
        least = ceil(least * (double)w->interval_ms / MINUTE_MS);
    return least < 1 ? 1 : least;
}

/* Counts of errors are published only when they are not zero: where requests were counted, a
 * missing one is zero. For a moment after a period's end the requests may be there and the errors
 * not yet. */
static void give_errors(const struct cw_told *s, struct cw_reader *r)
{
    const struct cw_query *target = &s->set->queries[r->reads.a],
                          *balancer = &s->set->queries[r->reads.b],
                          *requests = &s->set->queries[r->reads.c],
                          *all_requests = &s->set->queries[r->reads.d];
    int64_t period_ms = r->w->interval_ms, settle_ms = period_ms / 4;
    double least = least_requests(r->w);
    char why[256];

    if (settle_ms > SETTLE_MAX_MS)
        settle_ms = SETTLE_MAX_MS;
    for (size_t i = 0; i < requests->npoints; i++) {
        const struct cw_point *n = &requests->points[i];
        const struct cw_point *a = cw_at(target, n->start_ms), *b = cw_at(balancer, n->start_ms);
        const struct cw_point *all = cw_at(all_requests, n->start_ms);
        double own = a != NULL ? a->value : 0, refused = b != NULL ? b->value : 0, share;

        if (!is_new(s, r, n, settle_ms) || (refused > 0 && (all == NULL || all->value <= 0)))
            continue;
        if (n->value < least) {
            snprintf(why, sizeof(why), "%.0f requests in the period, fewer than %.0f", n->value,
                     least);
            give_unknown(s, r, n->start_ms, why);
        } else {
            /* The balancer counts what it refused itself as an error and not as a request: there
             * may be more errors than requests, and it is all of them then. */
            share = 100 * own / n->value + (refused > 0 ? 100 * refused / all->value : 0);
            give(s, r, n->start_ms, share > 100 ? 100 : share);
        }
    }
}

/* Nothing came, and what came last is too old to be bridged by (M2): say what may be wrong. */
static void tell_silence(const struct cw_told *s, struct cw_reader *r)
{
    const struct cw_query *q = &s->set->queries[r->reads.c != CW_NONE ? r->reads.c : r->reads.a];
    const struct watch *w = r->w;
    char why[256], period[UNIT_TEXT], *where;

    if (r->given_ms >= 0 && s->now_ms - r->given_ms <= 2 * w->interval_ms +
                                                           signal_lag_ms(w->signal, w->target) +
                                                           SETTLE_MAX_MS)
        return;
    where = json_print_canonical(q->dimensions);
    snprintf(why, sizeof(why), "CloudWatch has no points of %.40s %.60s %.100s at period %s",
             q->namespace, q->metric, where,
             unit_format_duration(period, sizeof(period), w->interval_ms));
    mem_free(where);
    s->host->unknown(s->host, w, why);
}

size_t cw_query_of(const struct cw_reader *r, size_t i)
{
    const size_t queries[] = {r->reads.a, r->reads.b, r->reads.c, r->reads.d};

    return i < CW_QUERIES ? queries[i] : r->reads.members[i - CW_QUERIES];
}

bool cw_tell(const struct cw_told *s, struct cw_reader *r)
{
    int64_t before_ms = r->given_ms;

    /* The first member is a. */
    for (size_t i = 0; i < CW_QUERIES + r->reads.nmembers; i++) {
        size_t query = cw_query_of(r, i);

        if (i != CW_QUERIES && query != CW_NONE && !usable(s, r, query))
            return false;
    }
    if (r->reads.form == CW_MEMBERS)
        give_members(s, r);
    else if (r->reads.form == CW_ERRORS)
        give_errors(s, r);
    else if (r->reads.form == CW_SHARE)
        give_share(s, r);
    else
        give_metric(s, r);
    if (r->given_ms == before_ms)
        tell_silence(s, r);
    return true;
}
