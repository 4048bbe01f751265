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
#include "shared_cloudwatch_refused.h"
#include "shared_cloudwatch_signals.h"
#include "shared_cloudwatch_told.h"
#include "shared_elasticache.h"
#include "shared_source.h"

#define BACK_PERIODS 5       /* points come late: so far back is asked each time */
#define BACK_POINTS_MAX 4320 /* three days of minutes: the most history that is asked for */
#define PAGES_MAX 1000
#define SPLITS_MAX 32 /* calls more in a poll, to find out which questions are refused */
#define CALL_MS 15000
#define MINUTE_MS 60000

struct batch_call {
    struct cloudwatch *s;
    size_t batch;
    struct aws_call *call;
    int64_t start_ms, end_ms;
    int pages;
    bool asked;   /* in this poll: a point may have come that was not told of */
    bool waits;   /* for another one's end */
    bool refused; /* for what was asked */
    char *token;
};

struct cloudwatch {
    const struct collector_host *host;
    const struct estate *estate;
    char *account;
    struct cw_reader *readers;
    size_t nreaders;
    struct cw_set set;
    struct ec_list *caches;    /* members of replication groups */
    bool has_caches;           /* some series reads them */
    bool listed;               /* anew: it counts from the next poll on */
    struct batch_call **calls; /* one for each batch */
    size_t ncalls, open;
    struct cw_refused *refused;
    struct err refusal; /* the last in this poll */
    size_t splits;      /* in this poll */
    bool repack;        /* what is refused is another than it was */
    bool good;          /* something was answered since it was opened */
    int64_t now_ms;     /* AWS's clock when it was asked */
    int64_t ahead_ms;   /* AWS's clock less ours */
    struct err err;     /* the first that went wrong in this poll */
};

static int cloudwatch_source(const struct signal *g, const struct target *t, const struct estate *e,
                             char *out, size_t size, struct err *err)
{
    char why[200];

    if (source_aws(t, e, cw_owner_kind(g), out, size, err) != 0)
        return err->code;
    return cw_lacks(g, t, e, why, sizeof(why)) ? err_set(err, ERR_INPUT, "%s", why) : 0;
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
    s->refused = cw_refused_new();
    return s;
}

static void calls_free(struct cloudwatch *s)
{
    for (size_t i = 0; i < s->ncalls; i++) {
        if (s->calls[i]->call != NULL)
            aws_cancel(s->calls[i]->call);
        mem_free(s->calls[i]->token);
        mem_free(s->calls[i]);
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

static void readers_free(struct cw_reader *readers, size_t n)
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
    cw_refused_free(s->refused);
    cw_clear(&s->set);
    readers_free(s->readers, s->nreaders);
    mem_free(s->account);
    mem_free(s);
}

static void pack(struct cloudwatch *s)
{
    cw_refused_mark(s->refused, &s->set);
    cw_pack(&s->set);
    s->repack = false;
}

/* The questions of all series, by what is known of the members of caches. */
static void read_all(struct cloudwatch *s)
{
    int64_t now_ms = loop_boot_ms(s->host->io->loop);

    cw_clear(&s->set);
    s->has_caches = s->listed = false;
    for (size_t i = 0; i < s->nreaders; i++) {
        struct cw_reader *r = &s->readers[i];

        if (ec_is_read(r->w)) {
            s->has_caches = true;
            ec_read(s->caches, now_ms, &s->set, s->estate, r->w, &r->reads);
        } else {
            cw_read(&s->set, s->estate, r->w, &r->reads);
        }
    }
    pack(s);
}

static void cloudwatch_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct cloudwatch *s = self;
    struct cw_reader *old = s->readers;
    size_t nold = s->nreaders, k = 0; /* as a rule both are in the same order */

    s->readers = mem_calloc(n + 1, sizeof(*s->readers));
    s->nreaders = n;
    for (size_t i = 0; i < n; i++) {
        struct cw_reader *r = &s->readers[i];

        *r = (struct cw_reader){
            .w = watches[i], .series = watches[i]->series, .given_ms = -1, .reached_ms = -1};
        for (size_t tried = 0; tried < nold; tried++, k++) {
            const struct cw_reader *o = &old[k % nold];

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

static bool failed_batch(const struct cloudwatch *s, size_t query)
{
    return query != CW_NONE && s->calls[s->set.queries[query].batch]->pages < 0;
}

static bool reads_batch(const struct cloudwatch *s, const struct cw_reader *r, size_t batch)
{
    for (size_t i = 0; i < CW_QUERIES + r->reads.nmembers; i++) {
        size_t q = cw_query_of(r, i);

        if (q != CW_NONE && s->set.queries[q].batch == batch)
            return true;
    }
    return false;
}

/* Not all that it reads was asked for: it knows the newest point already. */
static bool left_out(const struct cloudwatch *s, const struct cw_reader *r)
{
    for (size_t i = 0; i < CW_QUERIES + r->reads.nmembers; i++) {
        size_t q = cw_query_of(r, i);

        if (q != CW_NONE && !s->calls[s->set.queries[q].batch]->asked)
            return true;
    }
    return false;
}

/* Why one of the questions that it reads is refused, or NULL. */
static const char *refused_why(const struct cloudwatch *s, const struct cw_reader *r)
{
    const char *why = NULL;

    for (size_t i = 0; i < CW_QUERIES + r->reads.nmembers && why == NULL; i++) {
        if (cw_query_of(r, i) != CW_NONE)
            why = cw_refused_why(s->refused, &s->set.queries[cw_query_of(r, i)]);
    }
    return why;
}

static void tell(struct cloudwatch *s, struct cw_reader *r)
{
    const struct cw_told told = {s->host, &s->set, s->now_ms, s->ahead_ms};
    const char *refused;

    if (r->reads.why[0] != '\0') {
        s->host->unknown(s->host, r->w, r->reads.why);
        return;
    }
    refused = refused_why(s, r);
    if (refused != NULL) {
        s->host->refused(s->host, r->w, refused);
        return;
    }
    if (left_out(s, r))
        return;
    for (size_t i = 0; i < CW_QUERIES + r->reads.nmembers; i++) {
        if (failed_batch(s, cw_query_of(r, i)))
            return;
    }
    if (cw_tell(&told, r))
        r->reached_ms = s->calls[s->set.queries[r->reads.a].batch]->end_ms;
}

/* As long as nothing at all was answered, it may be the call that is wrong, or the account: that is
 * not laid on a question, and the source has failed. */
static void blame_nobody(struct cloudwatch *s)
{
    for (size_t b = 0; b < s->ncalls; b++) {
        if (!s->calls[b]->refused)
            continue;
        s->calls[b]->pages = -1;
        for (size_t i = 0; i < s->set.nqueries; i++) {
            if (s->set.queries[i].batch == b)
                cw_refused_forget(s->refused, &s->set.queries[i]);
        }
    }
    if (s->err.code == 0)
        s->err = s->refusal;
}

static void finish(struct cloudwatch *s)
{
    struct err e;

    if (!s->good && s->refusal.code != 0)
        blame_nobody(s);
    e = s->err;
    for (size_t i = 0; i < s->nreaders; i++)
        tell(s, &s->readers[i]);
    calls_free(s);
    if (s->listed)
        read_all(s);
    else if (s->repack)
        pack(s);
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
    size_t waiting = s->ncalls;

    if (e != NULL) {
        c->pages = -1; /* what came of it is not looked at */
        if (s->err.code == 0)
            s->err = *e;
    } else {
        cw_finish(&s->set, c->batch);
    }
    if (--s->open == 0) {
        finish(s);
        return;
    }
    while (waiting > 0 && !s->calls[waiting - 1]->waits)
        waiting--;
    if (waiting > 0) { /* the one that waits last: what is nearly found out first */
        s->calls[waiting - 1]->waits = false;
        ask(s->calls[waiting - 1]);
    }
}

static void answered_well(struct batch_call *c)
{
    struct cloudwatch *s = c->s;

    s->good = true;
    for (size_t i = 0; s->set.batches[c->batch].alone && i < s->set.nqueries; i++) {
        if (s->set.queries[i].batch != c->batch)
            continue;
        cw_refused_forget(s->refused, &s->set.queries[i]);
        s->repack = true;
    }
    end_batch(c, NULL);
}

/* AWS refuses a call as a whole for one of its questions: ValidationError, with a text for people
 * that names it (github.com/prometheus-community/yet-another-cloudwatch-exporter, its issues 385
 * and 1435; the model has no error for it). Halves are asked until it is one, so that it costs
 * nobody else. */
static void refused(struct batch_call *c, const struct err *e)
{
    struct cloudwatch *s = c->s;
    const struct host_io *io = s->host->io;
    struct cw_query *one = NULL;
    struct batch_call *half;

    s->refusal = *e;
    if (s->splits == SPLITS_MAX) { /* the next poll goes on */
        c->refused = true;
        cw_refuse_all(&s->set, c->batch, e->text);
        end_batch(c, NULL);
        return;
    }
    if (!cw_split(&s->set, c->batch, &one)) {
        c->refused = s->repack = true;
        cw_refused_note(s->refused, one, loop_boot_ms(io->loop), e->text);
        end_batch(c, NULL);
        return;
    }
    s->splits++;
    s->open++;
    half = mem_alloc(sizeof(*half));
    *half = (struct batch_call){.s = s,
                                .batch = s->ncalls,
                                .start_ms = c->start_ms,
                                .end_ms = c->end_ms,
                                .asked = true,
                                .waits = true};
    s->calls = mem_realloc(s->calls, (s->ncalls + 1) * sizeof(struct batch_call *));
    s->calls[s->ncalls++] = half;
    ask(c);
}

/* Whether it was refused for what was asked, an expression that AWS cannot read: CloudWatch itself
 * answers. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html */
static bool wrong_question(const struct aws_answer *a)
{
    static const char *const codes[] = {"ValidationError", "ValidationException",
                                        "InvalidParameterValue", "InvalidParameterCombination",
                                        "MissingRequiredParameter"};

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
    if (e != NULL && c->token == NULL && wrong_question(a)) {
        refused(c, e);
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
        answered_well(c);
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
        const struct cw_reader *r = &s->readers[i];
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
    int64_t now_ms = loop_boot_ms(s->host->io->loop);

    for (size_t i = 0; s->set.batches[batch].alone && i < s->set.nqueries; i++) {
        if (s->set.queries[i].batch == batch &&
            !cw_refused_due(s->refused, &s->set.queries[i], now_ms))
            return false;
    }
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
    s->calls = mem_calloc(n, sizeof(struct batch_call *));
    s->ncalls = n;
    for (size_t b = 0; b < n; b++) {
        s->calls[b] = mem_alloc(sizeof(*s->calls[b]));
        *s->calls[b] = (struct batch_call){.s = s, .batch = b, .asked = due(s, b)};
        s->open += s->calls[b]->asked;
        cw_forget(&s->set, b);
        set_range(s, s->calls[b]);
    }
    if (s->open == 0) {
        finish(s);
        return;
    }
    for (size_t b = 0; b < s->ncalls; b++) {
        if (s->calls[b]->asked)
            ask(s->calls[b]);
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

    s->err = s->refusal = (struct err)ERR_INIT;
    s->splits = 0;
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
