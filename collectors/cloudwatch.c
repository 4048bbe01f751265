/* CloudWatch: the metrics of shared_cloudwatch_signals.c and any other, by GetMetricData. One query
 * for each distinct metric, all of an account in one call (500 at most), whatever number of series
 * reads it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "io/loop.h"
#include "plugin/collector.h"
#include "shared_cloudwatch.h"
#include "shared_cloudwatch_signals.h"
#include "shared_source.h"

#define BACK_PERIODS 5       /* points come late: so far back is asked each time */
#define BACK_POINTS_MAX 4320 /* three days of minutes: the most history that is asked for */
#define PAGES_MAX 1000
#define CALL_MS 15000
#define SETTLE_MAX_MS 15000
#define MINUTE_MS 60000

struct reader {
    const struct watch *w;
    uint64_t series; /* w's, which is told of after w has gone */
    struct cw_reading reads;
    int64_t given_ms;   /* AWS's clock: the start of the last period that was told of, or -1 */
    int64_t reached_ms; /* the end of what was asked for last, or -1 */
};

struct batch_call {
    struct cloudwatch *s;
    size_t batch;
    struct aws_call *call;
    int64_t start_ms, end_ms;
    int pages;
    char *token;
};

struct cloudwatch {
    const struct collector_host *host;
    const struct estate *estate;
    char *account;
    struct reader *readers;
    size_t nreaders;
    struct cw_set set;
    struct batch_call *calls;
    size_t ncalls, open;
    int64_t now_ms;   /* AWS's clock when it was asked */
    int64_t ahead_ms; /* AWS's clock less ours */
    struct err err;   /* the first that went wrong in this poll */
};

static int cloudwatch_source(const struct target *t, const struct estate *e, char *out, size_t size,
                             struct err *err)
{
    return source_aws(t, e, NULL, out, size, err);
}

static void *cloudwatch_open(const struct collector_host *h, const struct estate *e,
                             const char *source, struct err *err)
{
    struct cloudwatch *s = mem_alloc(sizeof(*s));

    (void)err;
    s->host = h;
    s->estate = e;
    s->account = mem_strdup(source_name(source));
    cw_init(&s->set);
    return s;
}

static void calls_free(struct cloudwatch *s)
{
    for (size_t i = 0; i < s->ncalls; i++) {
        if (s->calls[i].call != NULL)
            aws_cancel(s->calls[i].call);
        mem_free(s->calls[i].token);
    }
    mem_free(s->calls);
    s->calls = NULL;
    s->ncalls = s->open = 0;
}

static void cloudwatch_cancel(void *self)
{
    calls_free(self);
}

static void cloudwatch_close(void *self)
{
    struct cloudwatch *s = self;

    calls_free(s);
    cw_clear(&s->set);
    mem_free(s->readers);
    mem_free(s->account);
    mem_free(s);
}

static void cloudwatch_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct cloudwatch *s = self;
    struct reader *old = s->readers;
    size_t nold = s->nreaders;

    s->readers = mem_calloc(n + 1, sizeof(*s->readers));
    s->nreaders = n;
    cw_clear(&s->set);
    for (size_t i = 0; i < n; i++) {
        struct reader *r = &s->readers[i];

        *r = (struct reader){
            .w = watches[i], .series = watches[i]->series, .given_ms = -1, .reached_ms = -1};
        for (size_t k = 0; k < nold; k++) {
            if (old[k].series == r->series) {
                r->given_ms = old[k].given_ms;
                r->reached_ms = old[k].reached_ms;
            }
        }
        cw_read(&s->set, s->estate, s->account, r->w, &r->reads);
    }
    mem_free(old);
    cw_pack(&s->set);
}

/* Telling what came */

static bool usable(struct cloudwatch *s, const struct reader *r, size_t query)
{
    const struct cw_query *q = &s->set.queries[query];

    if (q->why[0] != '\0')
        s->host->unknown(s->host, r->w, q->why);
    return q->why[0] == '\0';
}

static void give(struct cloudwatch *s, struct reader *r, int64_t start_ms, double value)
{
    r->given_ms = start_ms;
    s->host->sample(s->host, r->w, start_ms - s->ahead_ms, r->w->interval_ms, value);
}

/* The period of that point is over, and was not told of. */
static bool is_new(const struct cloudwatch *s, const struct reader *r, const struct cw_point *p,
                   int64_t settle_ms)
{
    return p->start_ms > r->given_ms && p->start_ms + r->w->interval_ms + settle_ms <= s->now_ms;
}

static void give_unknown(struct cloudwatch *s, struct reader *r, int64_t start_ms, const char *why)
{
    r->given_ms = start_ms;
    s->host->unknown(s->host, r->w, why);
}

static void give_metric(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *q = &s->set.queries[r->reads.a];

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
static void give_share(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *part = &s->set.queries[r->reads.a], *whole = &s->set.queries[r->reads.c];
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
static void give_errors(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *target = &s->set.queries[r->reads.a],
                          *balancer = &s->set.queries[r->reads.b],
                          *requests = &s->set.queries[r->reads.c];
    int64_t period_ms = r->w->interval_ms, settle_ms = period_ms / 4;
    double least = least_requests(r->w);
    char why[256];

    if (settle_ms > SETTLE_MAX_MS)
        settle_ms = SETTLE_MAX_MS;
    for (size_t i = 0; i < requests->npoints; i++) {
        const struct cw_point *n = &requests->points[i];
        const struct cw_point *a = cw_at(target, n->start_ms), *b = cw_at(balancer, n->start_ms);
        double errors = (a != NULL ? a->value : 0) + (b != NULL ? b->value : 0);

        if (!is_new(s, r, n, settle_ms))
            continue;
        if (n->value < least) {
            snprintf(why, sizeof(why), "%.0f requests in the period, fewer than %.0f", n->value,
                     least);
            give_unknown(s, r, n->start_ms, why);
        } else {
            /* The balancer counts what it refused itself as an error and not as a request. */
            give(s, r, n->start_ms, errors >= n->value ? 100 : 100 * errors / n->value);
        }
    }
}

/* Nothing came, and what came last is too old to be bridged by (M2): say what may be wrong. */
static void tell_silence(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *q = &s->set.queries[r->reads.c != CW_NONE ? r->reads.c : r->reads.a];
    const struct watch *w = r->w;
    char why[256], period[UNIT_TEXT], *where;

    if (r->given_ms >= 0 &&
        s->now_ms - r->given_ms <= 2 * w->interval_ms + w->signal->lag_ms + SETTLE_MAX_MS)
        return;
    where = json_print_canonical(q->dimensions);
    snprintf(why, sizeof(why), "CloudWatch has no points of %.40s %.60s %.100s at period %s",
             q->namespace, q->metric, where,
             unit_format_duration(period, sizeof(period), w->interval_ms));
    mem_free(where);
    s->host->unknown(s->host, w, why);
}

static bool failed_batch(const struct cloudwatch *s, size_t query)
{
    return query != CW_NONE && s->calls[s->set.queries[query].batch].pages < 0;
}

static void tell(struct cloudwatch *s, struct reader *r)
{
    const size_t queries[] = {r->reads.a, r->reads.b, r->reads.c};
    int64_t before_ms = r->given_ms;

    if (r->reads.why[0] != '\0') {
        s->host->unknown(s->host, r->w, r->reads.why);
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        if (failed_batch(s, queries[i]))
            return;
    }
    for (size_t i = 0; i < 3; i++) {
        if (queries[i] != CW_NONE && !usable(s, r, queries[i]))
            return;
    }
    if (r->reads.form == CW_ERRORS)
        give_errors(s, r);
    else if (r->reads.form == CW_SHARE)
        give_share(s, r);
    else
        give_metric(s, r);
    r->reached_ms = s->calls[s->set.queries[r->reads.a].batch].end_ms;
    if (r->given_ms == before_ms)
        tell_silence(s, r);
}

static void finish(struct cloudwatch *s)
{
    struct err e = s->err;

    for (size_t i = 0; i < s->nreaders; i++)
        tell(s, &s->readers[i]);
    calls_free(s);
    if (e.code != 0)
        s->host->failed(s->host, &e);
    else
        s->host->done(s->host);
}

/* Asking */

static void ask(struct batch_call *c);

static void end_batch(struct batch_call *c, const struct err *e)
{
    struct cloudwatch *s = c->s;

    if (e != NULL) {
        c->pages = -1; /* what came of it is not looked at */
        if (s->err.code == 0)
            s->err = *e;
    } else {
        cw_finish(&s->set, c->batch);
    }
    if (--s->open == 0)
        finish(s);
}

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct batch_call *c = arg;
    struct err bad = ERR_INIT;
    const char *token = NULL;
    bool again;

    c->call = NULL;
    if (e != NULL) {
        end_batch(c, e);
        return;
    }
    if (cw_take(&c->s->set, c->batch, a->xml, &token, &bad) != 0) {
        err_wrap(&bad, "CloudWatch of account %s", c->s->account);
        end_batch(c, &bad);
        return;
    }
    again = token != NULL && c->token != NULL && strcmp(token, c->token) == 0;
    mem_free(c->token);
    c->token = mem_strdup(token);
    if (token == NULL) {
        end_batch(c, NULL);
    } else if (again || ++c->pages >= PAGES_MAX) {
        err_set(&bad, ERR_LIMIT, "CloudWatch of account %s: the pages of the answer do not end",
                c->s->account);
        end_batch(c, &bad);
    } else {
        ask(c);
    }
}

static void ask(struct batch_call *c)
{
    struct cloudwatch *s = c->s;
    const struct host_io *io = s->host->io;
    struct aws_request r = {
        .service = AWS_CLOUDWATCH, .action = "GetMetricData", .deadline_ms = CALL_MS};
    struct err e = ERR_INIT;
    struct aws *aws = io->aws(io->arg, s->account, &e);
    struct aws_params *p;

    if (aws == NULL) {
        end_batch(c, &e);
        return;
    }
    p = cw_params(&s->set, c->batch, c->start_ms, c->end_ms, c->token);
    r.params = p;
    c->call = aws_send(aws, &r, answered, c);
    aws_params_free(p);
}

/* So far back that the needs of all who read this batch are met. The times are multiples of the
 * period: CloudWatch counts periods from the start that it is given. */
static void set_range(struct cloudwatch *s, struct batch_call *c)
{
    int64_t period_ms = s->set.batches[c->batch].period_ms, periods = BACK_PERIODS;

    c->end_ms = s->now_ms / period_ms * period_ms;
    for (size_t i = 0; i < s->nreaders; i++) {
        const struct reader *r = &s->readers[i];
        int64_t most, need;

        if (r->reads.a == CW_NONE || s->set.queries[r->reads.a].period_ms != period_ms)
            continue;
        most = (r->w->history_ms + period_ms - 1) / period_ms + BACK_PERIODS;
        need = r->reached_ms < 0 ? most : (c->end_ms - r->reached_ms) / period_ms + BACK_PERIODS;
        need = need > most ? most : need;
        periods = need > periods ? need : periods;
    }
    if (periods > BACK_POINTS_MAX)
        periods = BACK_POINTS_MAX;
    c->start_ms = c->end_ms - periods * period_ms;
}

static void cloudwatch_poll(void *self)
{
    struct cloudwatch *s = self;
    const struct host_io *io = s->host->io;
    struct aws *aws;
    size_t n = s->set.nbatches;

    s->err = (struct err)ERR_INIT;
    aws = io->aws(io->arg, s->account, &s->err);
    if (aws == NULL) {
        s->host->failed(s->host, &s->err);
        return;
    }
    if (n == 0) {
        finish(s);
        return;
    }
    s->now_ms = aws_wall_ms(aws);
    s->ahead_ms = s->now_ms - loop_wall_ms(io->loop);
    s->calls = mem_calloc(n, sizeof(*s->calls));
    s->ncalls = s->open = n;
    for (size_t b = 0; b < n; b++) {
        s->calls[b] = (struct batch_call){.s = s, .batch = b};
        cw_forget(&s->set, b);
        set_range(s, &s->calls[b]);
    }
    for (size_t b = 0; b < n; b++)
        ask(&s->calls[b]);
}

static bool cloudwatch_migrate(void *self, const struct estate *e)
{
    ((struct cloudwatch *)self)->estate = e;
    return true;
}

/* Descriptors */

/* Points of a minute are asked for once: each question costs, and a lag of minutes is allowed for.
 * Shorter ones are there to be seen soon. */
static int64_t pace(int64_t interval_ms)
{
    return interval_ms >= MINUTE_MS ? interval_ms : interval_ms >= 2000 ? interval_ms / 2 : 1000;
}

static const char *const cloudwatch_permissions[] = {"cloudwatch:GetMetricData *", NULL};

const struct collector_type cloudwatch_collector = {
    .name = "cloudwatch",
    .summary = "metrics of CloudWatch",
    .signals = cw_signals,
    .nsignals = CW_SIGNALS,
    .permissions = cloudwatch_permissions,
    .deadline_ms = 20000,
    .pace_ms = pace,
    .source = cloudwatch_source,
    .open = cloudwatch_open,
    .watch = cloudwatch_watch,
    .poll = cloudwatch_poll,
    .cancel = cloudwatch_cancel,
    .close = cloudwatch_close,
    .migrate = cloudwatch_migrate,
};
