/* CloudWatch: metrics of groups, load balancers and anything else, by GetMetricData. One query for
 * each distinct metric, all of an account in one call (500 at most), whatever number of series
 * reads it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "io/loop.h"
#include "plugin/collector.h"
#include "shared_cloudwatch.h"
#include "shared_source.h"

#define BACK_PERIODS 5       /* points come late: so far back is asked each time */
#define BACK_POINTS_MAX 4320 /* three days of minutes: the most history that is asked for */
#define PAGES_MAX 1000
#define CALL_MS 15000
#define SETTLE_MAX_MS 15000
#define NONE ((size_t)-1)
#define MINUTE_MS 60000

struct reader {
    const struct watch *w;
    uint64_t series; /* w's, which is told of after w has gone */
    size_t a, b, c; /* queries: the metric; of alb_5xx target errors, balancer's errors, requests */
    char why[256];  /* cannot be asked at all */
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

/* What a series reads */

static size_t want_alb(struct cloudwatch *s, const struct target *asg, bool by_group,
                       const char *metric, const char *stat, int64_t period_ms)
{
    struct json *d = json_new_map();
    size_t q;

    json_set_str(d, "LoadBalancer", json_get_str(asg->fields, "alb", ""));
    if (by_group)
        json_set_str(d, "TargetGroup", json_get_str(asg->fields, "target_group", ""));
    q = cw_want(&s->set, "AWS/ApplicationELB", metric, d, stat, period_ms, NULL);
    json_free(d);
    return q;
}

static void read_alb(struct cloudwatch *s, struct reader *r, const struct target *asg)
{
    const char *name = r->w->signal->name;
    int64_t period_ms = r->w->interval_ms;

    if (json_get_str(asg->fields, "alb", NULL) == NULL ||
        json_get_str(asg->fields, "target_group", NULL) == NULL) {
        snprintf(r->why, sizeof(r->why),
                 "%.60s has no load balancer: give it alb = \"app/NAME/ID\" and target_group = "
                 "\"targetgroup/NAME/ID\"",
                 asg->id);
    } else if (strcmp(name, "alb_5xx") == 0) {
        r->a = want_alb(s, asg, true, "HTTPCode_Target_5XX_Count", "Sum", period_ms);
        /* These reached no target: AWS has them by LoadBalancer only. */
        r->b = want_alb(s, asg, false, "HTTPCode_ELB_5XX_Count", "Sum", period_ms);
        r->c = want_alb(s, asg, true, "RequestCount", "Sum", period_ms);
    } else if (strcmp(name, "alb_requests") == 0) {
        r->a = want_alb(s, asg, true, "RequestCount", "Sum", period_ms);
    } else {
        r->a = want_alb(s, asg, true, "TargetResponseTime",
                        strcmp(name, "alb_p99") == 0 ? "p99" : "Average", period_ms);
    }
}

static void read_cpu(struct cloudwatch *s, struct reader *r, const struct target *asg)
{
    struct json *d;

    if (!json_get_bool(asg->fields, "detailed", true) && r->w->interval_ms < 5 * MINUTE_MS) {
        snprintf(r->why, sizeof(r->why),
                 "%.60s has basic monitoring, a point each 5m: write period = \"5m\"", asg->id);
        return;
    }
    d = json_new_map();
    json_set_str(d, "AutoScalingGroupName", asg->name);
    r->a = cw_want(&s->set, "AWS/EC2", "CPUUtilization", d, "Average", r->w->interval_ms, NULL);
    json_free(d);
}

static void read_series(struct cloudwatch *s, struct reader *r)
{
    const struct watch *w = r->w;
    const struct target *asg;
    const char *aws;

    if (!cw_period_exists(w->interval_ms)) {
        snprintf(r->why, sizeof(r->why), "CloudWatch has no period of %lld ms",
                 (long long)w->interval_ms);
        return;
    }
    if (strcmp(w->signal->name, "cloudwatch") == 0) {
        r->a = cw_want(&s->set, json_get_str(w->opts, "namespace", ""),
                       json_get_str(w->opts, "metric", ""), json_get(w->opts, "dimensions"),
                       json_get_str(w->opts, "stat", "Average"), w->interval_ms,
                       json_get_str(w->opts, "expr", NULL));
        return;
    }
    asg = estate_related(s->estate, w->target, "asg");
    aws = asg != NULL ? json_get_str(asg->fields, "aws", "") : "";
    if (asg == NULL)
        snprintf(r->why, sizeof(r->why), "%.60s names no Auto Scaling group: give it asg = \"...\"",
                 w->target->id);
    else if (strcmp(aws, s->account) != 0)
        snprintf(r->why, sizeof(r->why), "%.50s is in account %.30s, %.50s in %.30s", asg->id, aws,
                 w->target->id, s->account);
    else if (strcmp(w->signal->name, "asg_cpu") == 0)
        read_cpu(s, r, asg);
    else
        read_alb(s, r, asg);
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

        *r = (struct reader){.w = watches[i],
                             .series = watches[i]->series,
                             .a = NONE,
                             .b = NONE,
                             .c = NONE,
                             .given_ms = -1,
                             .reached_ms = -1};
        for (size_t k = 0; k < nold; k++) {
            if (old[k].series == r->series) {
                r->given_ms = old[k].given_ms;
                r->reached_ms = old[k].reached_ms;
            }
        }
        read_series(s, r);
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

static void give_metric(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *q = &s->set.queries[r->a];
    const char *name = r->w->signal->name;
    double scale = strcmp(name, "alb_p99") == 0 || strcmp(name, "alb_avg") == 0 ? 1000 : 1;

    for (size_t i = 0; i < q->npoints; i++) {
        const struct cw_point *p = &q->points[i];

        if (p->start_ms > r->given_ms && p->start_ms + r->w->interval_ms <= s->now_ms)
            give(s, r, p->start_ms, p->value * scale);
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
    const struct cw_query *target = &s->set.queries[r->a], *balancer = &s->set.queries[r->b],
                          *requests = &s->set.queries[r->c];
    int64_t period_ms = r->w->interval_ms, settle_ms = period_ms / 4;
    double least = least_requests(r->w);
    char why[256];

    if (settle_ms > SETTLE_MAX_MS)
        settle_ms = SETTLE_MAX_MS;
    for (size_t i = 0; i < requests->npoints; i++) {
        const struct cw_point *n = &requests->points[i];
        const struct cw_point *a = cw_at(target, n->start_ms), *b = cw_at(balancer, n->start_ms);
        double errors = (a != NULL ? a->value : 0) + (b != NULL ? b->value : 0);

        if (n->start_ms <= r->given_ms || n->start_ms + period_ms + settle_ms > s->now_ms)
            continue;
        if (n->value < least) {
            snprintf(why, sizeof(why), "%.0f requests in the period, fewer than %.0f", n->value,
                     least);
            r->given_ms = n->start_ms;
            s->host->unknown(s->host, r->w, why);
        } else {
            /* The balancer counts what it refused itself as an error and not as a request. */
            give(s, r, n->start_ms, errors >= n->value ? 100 : 100 * errors / n->value);
        }
    }
}

/* Nothing came, and what came last is too old to be bridged by (M2): say what may be wrong. */
static void tell_silence(struct cloudwatch *s, struct reader *r)
{
    const struct cw_query *q = &s->set.queries[r->c != NONE ? r->c : r->a];
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
    return query != NONE && s->calls[s->set.queries[query].batch].pages < 0;
}

static void tell(struct cloudwatch *s, struct reader *r)
{
    int64_t before_ms = r->given_ms;

    if (r->why[0] != '\0') {
        s->host->unknown(s->host, r->w, r->why);
        return;
    }
    if (failed_batch(s, r->a) || failed_batch(s, r->b) || failed_batch(s, r->c) ||
        !usable(s, r, r->a) || (r->c != NONE && (!usable(s, r, r->b) || !usable(s, r, r->c))))
        return;
    if (r->c != NONE)
        give_errors(s, r);
    else
        give_metric(s, r);
    r->reached_ms = s->calls[s->set.queries[r->a].batch].end_ms;
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

        if (r->a == NONE || s->set.queries[r->a].period_ms != period_ms)
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

static int64_t cpu_interval(const struct target *t, const struct json *opts)
{
    /* What a service's group has is not known here: it is told when it is asked. */
    return source_period_ms(opts,
                            json_get_bool(t->fields, "detailed", true) ? MINUTE_MS : 5 * MINUTE_MS);
}

static int64_t minute_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, MINUTE_MS);
}

static bool bad_period(const struct json *opts, char *text, size_t size)
{
    int64_t ms = source_period_ms(opts, MINUTE_MS);
    char period[UNIT_TEXT];

    if (cw_period_exists(ms))
        return false;
    snprintf(text, size,
             "CloudWatch has no period of %s: write 1s, 5s, 10s, 20s, 30s or whole minutes",
             unit_format_duration(period, sizeof(period), ms));
    return true;
}

#define PERIOD(default_period, more)                                                               \
    {                                                                                              \
        .name = "period", .type = OPT_DURATION, .fallback = (default_period), .min = 1000,         \
        .max = 86400000, .help = "period of its points" more                                       \
    }

static const struct option cpu_options[] = {
    PERIOD(NULL, "; without it 1m, or 5m where the group is not detailed")};
static const struct option alb_options[] = {PERIOD("1m", "")};
static const struct option errors_options[] = {
    {.name = "min_requests",
     .type = OPT_COUNT,
     .fallback = "100",
     .min = 1,
     .max = 1000000000,
     .help = "requests a minute below which a share says nothing: unknown; of a shorter period as "
             "much less, of a longer one the same"},
    PERIOD("1m", "")};
static const struct option any_options[] = {
    {.name = "namespace", .type = OPT_STRING, .required = true, .help = "\"AWS/RDS\""},
    {.name = "metric", .type = OPT_STRING, .required = true, .help = "\"CPUUtilization\""},
    {.name = "unit",
     .type = OPT_ENUM,
     .required = true,
     .words = "number|count|percent|duration|size",
     .help = "what its values are; durations in milliseconds, sizes in bytes (see expr)"},
    {.name = "dimensions",
     .type = OPT_MAP,
     .fallback = "{}",
     .help = "all dimensions that it is published with; may name \"$target.name\" and the like"},
    {.name = "stat",
     .type = OPT_STRING,
     .fallback = "Average",
     .help = "Average, Sum, Minimum, Maximum, SampleCount or a percentile, \"p99\""},
    PERIOD("1m", ""),
    {.name = "expr",
     .type = OPT_STRING,
     .help = "metric math in which the metric is m: \"m * 1000\" makes milliseconds of seconds"},
};

#define METRIC .lag_ms = 180000, .default_interval_ms = MINUTE_MS, .bad_period = bad_period
#define ALB "by LoadBalancer and TargetGroup"

static const struct signal cloudwatch_signals[] = {
    {.name = "asg_cpu",
     .summary = "mean CPU of the group's instances",
     .source = "AWS/EC2 CPUUtilization by AutoScalingGroupName, Average",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(cpu_options),
     .zero_suspicious = true,
     .interval_ms = cpu_interval,
     METRIC},
    {.name = "alb_p99",
     .summary = "response time that 99 of 100 requests stay below",
     .source = "AWS/ApplicationELB TargetResponseTime " ALB ", p99",
     .unit = UNIT_DURATION,
     .targets = "asg service",
     .options = OPTIONS(alb_options),
     .interval_ms = minute_interval,
     METRIC},
    {.name = "alb_avg",
     .summary = "mean response time",
     .source = "AWS/ApplicationELB TargetResponseTime " ALB ", Average",
     .unit = UNIT_DURATION,
     .targets = "asg service",
     .options = OPTIONS(alb_options),
     .interval_ms = minute_interval,
     METRIC},
    {.name = "alb_requests",
     .summary = "requests in a period",
     .source = "AWS/ApplicationELB RequestCount " ALB ", Sum",
     .unit = UNIT_COUNT,
     .targets = "asg service",
     .options = OPTIONS(alb_options),
     .zero_suspicious = true,
     .interval_ms = minute_interval,
     METRIC},
    {.name = "alb_5xx",
     .summary = "share of requests that were answered with a 5xx, by the targets or by the load "
                "balancer; missing counts are zero while requests are counted",
     .source = "AWS/ApplicationELB (HTTPCode_Target_5XX_Count " ALB
               " + HTTPCode_ELB_5XX_Count by LoadBalancer) / RequestCount " ALB ", Sum",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(errors_options),
     .interval_ms = minute_interval,
     METRIC},
    {.name = "cloudwatch",
     .summary = "any metric",
     .source = "GetMetricData",
     .unit = UNIT_NUMBER,
     .targets = "any",
     .options = OPTIONS(any_options),
     .interval_ms = minute_interval,
     METRIC},
};

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
    .signals = cloudwatch_signals,
    .nsignals = sizeof(cloudwatch_signals) / sizeof(*cloudwatch_signals),
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
