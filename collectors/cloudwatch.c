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
#include "shared_elasticache.h"
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
    bool asked; /* in this poll: a point may have come that was not told of */
    char *token;
};

struct cloudwatch {
    const struct collector_host *host;
    const struct estate *estate;
    char *account;
    struct reader *readers;
    size_t nreaders;
    struct cw_set set;
    struct ec_list *caches; /* members of replication groups */
    bool has_caches;        /* some series reads them */
    bool listed;            /* anew: it counts from the next poll on */
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
    s->caches = ec_list_new();
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
    struct cloudwatch *s = self;

    calls_free(s);
    ec_list_cancel(s->caches);
}

static void readers_free(struct reader *readers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cw_reading_clear(&readers[i].reads);
    mem_free(readers);
}

static void cloudwatch_close(void *self)
{
    struct cloudwatch *s = self;

    cloudwatch_cancel(s);
    ec_list_free(s->caches);
    cw_clear(&s->set);
    readers_free(s->readers, s->nreaders);
    mem_free(s->account);
    mem_free(s);
}

/* The questions of all series, by what is known of the members of caches. */
static void read_all(struct cloudwatch *s)
{
    int64_t now_ms = loop_boot_ms(s->host->io->loop);

    cw_clear(&s->set);
    s->has_caches = s->listed = false;
    for (size_t i = 0; i < s->nreaders; i++) {
        struct reader *r = &s->readers[i];

        if (ec_is_read(r->w)) {
            s->has_caches = true;
            ec_read(s->caches, now_ms, &s->set, s->estate, s->account, r->w, &r->reads);
        } else {
            cw_read(&s->set, s->estate, s->account, r->w, &r->reads);
        }
    }
    cw_pack(&s->set);
}

static void cloudwatch_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct cloudwatch *s = self;
    struct reader *old = s->readers;
    size_t nold = s->nreaders, k = 0; /* as a rule both are in the same order */

    s->readers = mem_calloc(n + 1, sizeof(*s->readers));
    s->nreaders = n;
    for (size_t i = 0; i < n; i++) {
        struct reader *r = &s->readers[i];

        *r = (struct reader){
            .w = watches[i], .series = watches[i]->series, .given_ms = -1, .reached_ms = -1};
        for (size_t tried = 0; tried < nold; tried++, k++) {
            const struct reader *o = &old[k % nold];

            if (o->series != r->series)
                continue;
            r->given_ms = o->given_ms;
            r->reached_ms = o->reached_ms;
            k = k % nold + 1;
            break;
        }
    }
    readers_free(old, nold);
    read_all(s);
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

/* Members publish at different times: a period is told of when the points of all are there. What
 * stays away longer than points may be late is told as unknown: a sum without a member would be too
 * low. */
static void give_members(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *first = &s->set.queries[r->reads.a];
    int64_t late_ms = signal_lag_ms(r->w->signal, r->w->target);
    char why[256];

    for (int64_t t = first->npoints > 0 ? first->points[0].start_ms : 0;
         t + r->w->interval_ms <= s->now_ms; t += r->w->interval_ms) {
        const struct cw_query *missing = NULL;
        struct cw_point all = {t, 0};
        size_t there = 0;

        for (size_t i = 0; i < r->reads.nmembers; i++) {
            const struct cw_query *q = &s->set.queries[r->reads.members[i]];
            const struct cw_point *p = cw_at(q, t);

            if (p == NULL) {
                missing = q;
                continue;
            }
            all.value = source_fold(r->reads.agg, all.value, p->value, there++);
        }
        if (there == 0 || !is_new(s, r, &all, missing != NULL ? late_ms : 0))
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
static void give_errors(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *target = &s->set.queries[r->reads.a],
                          *balancer = &s->set.queries[r->reads.b],
                          *requests = &s->set.queries[r->reads.c],
                          *all_requests = &s->set.queries[r->reads.d];
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
static void tell_silence(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *q = &s->set.queries[r->reads.c != CW_NONE ? r->reads.c : r->reads.a];
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

static bool failed_batch(const struct cloudwatch *s, size_t query)
{
    return query != CW_NONE && s->calls[s->set.queries[query].batch].pages < 0;
}

#define QUERIES 4 /* a to d, before the members */

/* Each query that a series reads. */
static size_t query_of(const struct reader *r, size_t i)
{
    const size_t queries[] = {r->reads.a, r->reads.b, r->reads.c, r->reads.d};

    return i < QUERIES ? queries[i] : r->reads.members[i - QUERIES];
}

static bool reads_batch(const struct cloudwatch *s, const struct reader *r, size_t batch)
{
    for (size_t i = 0; i < QUERIES + r->reads.nmembers; i++) {
        size_t q = query_of(r, i);

        if (q != CW_NONE && s->set.queries[q].batch == batch)
            return true;
    }
    return false;
}

/* Not all that it reads was asked for: it knows the newest point already. */
static bool left_out(const struct cloudwatch *s, const struct reader *r)
{
    for (size_t i = 0; i < QUERIES + r->reads.nmembers; i++) {
        size_t q = query_of(r, i);

        if (q != CW_NONE && !s->calls[s->set.queries[q].batch].asked)
            return true;
    }
    return false;
}

static void tell(struct cloudwatch *s, struct reader *r)
{
    int64_t before_ms = r->given_ms;

    if (r->reads.why[0] != '\0') {
        s->host->unknown(s->host, r->w, r->reads.why);
        return;
    }
    if (left_out(s, r))
        return;
    for (size_t i = 0; i < QUERIES + r->reads.nmembers; i++) {
        if (failed_batch(s, query_of(r, i)))
            return;
    }
    /* The first member is a. */
    for (size_t i = 0; i < QUERIES + r->reads.nmembers; i++) {
        if (i != QUERIES && query_of(r, i) != CW_NONE && !usable(s, r, query_of(r, i)))
            return;
    }
    if (r->reads.form == CW_MEMBERS)
        give_members(s, r);
    else if (r->reads.form == CW_ERRORS)
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
    if (s->listed)
        read_all(s);
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

/* Whether it was refused for what was asked, an expression that AWS cannot read: CloudWatch itself
 * answers. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html */
static bool wrong_question(const struct aws_answer *a)
{
    static const char *const codes[] = {"ValidationError", "InvalidParameterValue",
                                        "InvalidParameterCombination", "MissingRequiredParameter"};

    for (size_t i = 0; a->outcome == AWS_REFUSED && i < sizeof(codes) / sizeof(*codes); i++) {
        if (strcmp(a->code, codes[i]) == 0)
            return true;
    }
    return false;
}

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct batch_call *c = arg;
    struct err bad = ERR_INIT;
    const char *token = NULL;
    bool again;

    c->call = NULL;
    if (e != NULL && wrong_question(a)) {
        cw_refused(&c->s->set, c->batch, e->text);
        end_batch(c, NULL);
        return;
    }
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
    if (periods > cw_kept_ms(period_ms) / period_ms)
        periods = cw_kept_ms(period_ms) / period_ms;
    c->start_ms = c->end_ms - periods * period_ms;
}

/* Each metric that is asked for costs: a batch is asked only while some reader of it has not been
 * told of the newest period that is over. */
static bool due(const struct cloudwatch *s, size_t batch)
{
    int64_t period_ms = s->set.batches[batch].period_ms;
    int64_t newest_ms = s->now_ms / period_ms * period_ms - period_ms;

    for (size_t i = 0; i < s->nreaders; i++) {
        if (s->readers[i].given_ms < newest_ms && reads_batch(s, &s->readers[i], batch))
            return true;
    }
    return false;
}

static void ask_all(struct cloudwatch *s, struct aws *aws)
{
    const struct host_io *io = s->host->io;
    size_t n = s->set.nbatches;

    if (n == 0 && s->open == 0) {
        finish(s);
        return;
    }
    s->now_ms = aws_wall_ms(aws);
    s->ahead_ms = s->now_ms - loop_wall_ms(io->loop);
    /* AWS's clock is behind what was believed: what was told of lies ahead of it, and would hold
     * back all that comes until it got there. */
    for (size_t i = 0; i < s->nreaders; i++) {
        if (s->readers[i].given_ms > s->now_ms)
            s->readers[i].given_ms = s->readers[i].reached_ms = -1;
    }
    s->calls = mem_calloc(n, sizeof(*s->calls));
    s->ncalls = n;
    for (size_t b = 0; b < n; b++) {
        s->calls[b] = (struct batch_call){.s = s, .batch = b, .asked = due(s, b)};
        s->open += s->calls[b].asked;
        cw_forget(&s->set, b);
        set_range(s, &s->calls[b]);
    }
    if (s->open == 0) {
        finish(s);
        return;
    }
    for (size_t b = 0; b < n; b++) {
        if (s->calls[b].asked)
            ask(&s->calls[b]);
    }
}

/* The first time the questions wait for the members; later both are asked at once, and what is new
 * counts at the next poll. A listing that fails costs nobody but the caches. */
static void listed(void *arg, const struct err *e)
{
    struct cloudwatch *s = arg;
    const struct host_io *io = s->host->io;
    struct err none = ERR_INIT;
    struct aws *aws;

    (void)e; /* the list says so to whoever looks for a group */
    s->listed = true;
    if (s->ncalls > 0) {
        if (--s->open == 0)
            finish(s);
        return;
    }
    s->open = 0;
    read_all(s);
    aws = io->aws(io->arg, s->account, &none);
    if (aws != NULL)
        ask_all(s, aws);
    else
        s->host->failed(s->host, &none);
}

static void cloudwatch_poll(void *self)
{
    struct cloudwatch *s = self;
    const struct host_io *io = s->host->io;
    struct aws *aws;
    int64_t now_ms = loop_boot_ms(io->loop);

    s->err = (struct err)ERR_INIT;
    aws = io->aws(io->arg, s->account, &s->err);
    if (aws == NULL) {
        s->host->failed(s->host, &s->err);
        return;
    }
    s->open = 0;
    if (s->has_caches && ec_list_due(s->caches, now_ms)) {
        bool first = !ec_list_tried(s->caches) || s->set.nbatches == 0;

        s->open = 1;
        ec_list_ask(s->caches, aws, now_ms, listed, s);
        if (first)
            return;
    }
    ask_all(s, aws);
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

static const char *const cloudwatch_permissions[] = {
    "cloudwatch:GetMetricData *", "elasticache:DescribeReplicationGroups * [cache]", NULL};

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
