/* Queues per sink and key, retries with backoff and jitter, and the row's last word in the journal.
 */
#include "report/outbox.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"

#define BACKOFF_MS 1000
#define BACKOFF_MAX_MS (5 * 60 * 1000LL)
#define ANSWER_MS 10000
#define MARK_AGAIN 5 /* backoffs until a row that could not be marked is tried again */
#define MAX_SENDING                                                                                \
    4 /* a sink, at the same time: after an outage the backlog does not become a flood */
#define MAX_PENDING 100000 /* what is more stays in the journal and goes out after a restart */
#define COMPLAIN_MS (10 * 60 * 1000LL)

struct sink {
    const struct sink_type *type;
    void *self;
    bool shadow;
    int sending;
    int64_t hold_until_ms; /* boot clock: the other side asked for a pause */
    bool failing;
    int64_t failing_since_ms, complain_ms;
    uint64_t failures;
};

struct item {
    struct json *report;
    char *row; /* its key in the journal; NULL: an emergency, which has none */
    int attempts;
    int trim;
    int64_t due_ms; /* boot clock */
    int64_t since_ms;
    struct item *next;
};

/* Reports of one key for one sink: the head is being sent or waits. */
struct queue {
    struct outbox *o;
    struct sink *sink;
    char *key;
    struct item *head, **tail;
    void *sending; /* NULL: not */
    bool busy;
    struct loop_timer *timer;
    struct queue *next;
};

/* A delivered or dead report whose row is not marked yet. */
struct mark {
    struct outbox *o;
    char *row;
    struct json *doc;
    bool sent;
    struct mark *next;
};

struct outbox {
    struct outbox_options opt;
    char *host;
    struct sink *pager, *shadow;
    struct queue *queues;
    struct mark *marks;
    struct loop_timer *mark_again, *kick;
    size_t pending;
    bool overflow, emergency_open, dead;
    int marks_out;
    uint64_t delivered, dead_letters, retries;
    char last_error[256];
};

static void try_queue(struct queue *q);

static int64_t boot(const struct outbox *o)
{
    return loop_boot_ms(o->opt.loop);
}

static double random_share(void)
{
    uint32_t r;

    random_bytes(&r, sizeof(r));
    return (double)r / 4294967296.0;
}

/* Marking: the row is closed with how it ended. A crash before that sends the report once more. */

static void mark_done(void *arg, const char *denied, const struct err *e);

static void send_mark(struct mark *m)
{
    struct outbox *o = m->o;
    struct jtx *tx = jtx_new(o->opt.now_ms(o->opt.arg), loop_wall_ms(o->opt.loop));

    m->sent = true;
    o->marks_out++;
    jtx_put(tx, "report", m->row, json_copy(m->doc), false);
    o->opt.journal->ops->submit(o->opt.journal, tx, mark_done, m);
}

static void mark_free(struct mark *m)
{
    mem_free(m->row);
    json_free(m->doc);
    mem_free(m);
}

static void mark_done(void *arg, const char *denied, const struct err *e)
{
    struct mark *m = arg;
    struct outbox *o = m->o;

    (void)denied;
    o->marks_out--;
    m->sent = false;
    if (o->dead) {
        mark_free(m);
        if (o->marks_out == 0)
            mem_free(o);
        return;
    }
    if (e && e->code) {
        log_warn("report",
                 "%s cannot be marked as delivered, it may go out once more after a restart: %s",
                 m->row, e->text);
        loop_timer_set(o->mark_again,
                       MARK_AGAIN * (o->opt.backoff_ms ? o->opt.backoff_ms : BACKOFF_MS));
        return;
    }
    for (struct mark **at = &o->marks; *at; at = &(*at)->next)
        if (*at == m) {
            *at = m->next;
            break;
        }
    o->pending--;
    mark_free(m);
}

static void on_mark_again(void *arg)
{
    struct outbox *o = arg;

    for (struct mark *m = o->marks; m; m = m->next)
        if (!m->sent)
            send_mark(m);
}

static void close_row(struct outbox *o, struct item *it, const char *outcome, const char *sink,
                      const char *text)
{
    struct mark *m;
    struct json *d;

    if (!it->row)
        return;
    m = mem_alloc(sizeof(*m));
    m->o = o;
    m->row = mem_strdup(it->row);
    m->doc = json_copy(it->report);
    json_remove(m->doc, "chain");
    d = json_set(m->doc, "delivery", json_new_map());
    json_set_str(d, "outcome", outcome);
    json_set_str(d, "sink", sink);
    json_set_int(d, "attempts", it->attempts);
    json_set_int(d, "wall_ms", loop_wall_ms(o->opt.loop));
    json_set_str(d, "text", text);
    m->next = o->marks;
    o->marks = m;
    send_mark(m);
}

/* Queues */

static void item_free(struct item *it)
{
    json_free(it->report);
    mem_free(it->row);
    mem_free(it);
}

static void queue_free(struct queue *q)
{
    if (q->sending)
        q->sink->type->cancel(q->sink->self, q->sending);
    while (q->head) {
        struct item *it = q->head;
        q->head = it->next;
        item_free(it);
    }
    loop_timer_free(q->timer);
    mem_free(q->key);
    mem_free(q);
}

static void drop_queue(struct queue *q)
{
    for (struct queue **at = &q->o->queues; *at; at = &(*at)->next)
        if (*at == q) {
            *at = q->next;
            queue_free(q);
            return;
        }
}

static void on_queue_timer(void *arg)
{
    try_queue(arg);
}

static struct queue *queue_of(struct outbox *o, struct sink *s, const char *key)
{
    struct queue *q;

    for (q = o->queues; q; q = q->next)
        if (q->sink == s && strcmp(q->key, key) == 0)
            return q;
    q = mem_alloc(sizeof(*q));
    q->o = o;
    q->sink = s;
    q->key = mem_strdup(key);
    q->tail = &q->head;
    q->timer = loop_timer_new(o->opt.loop, on_queue_timer, q);
    q->next = o->queues;
    o->queues = q;
    return q;
}

/* Others of this sink get the place that became free. */
static void on_kick(void *arg)
{
    struct outbox *o = arg;

    for (struct queue *q = o->queues, *next; q; q = next) {
        next = q->next;
        try_queue(q);
    }
}

static void finished(struct queue *q, const char *outcome, const char *text)
{
    struct item *it = q->head;

    close_row(q->o, it, outcome, q->sink->type->name, text);
    q->head = it->next;
    if (!q->head)
        q->tail = &q->head;
    item_free(it);
    loop_timer_set(q->o->kick, 0);
}

static void delivered(struct queue *q)
{
    struct sink *s = q->sink;
    char since[UNIT_TEXT];

    if (s->failing) {
        unit_format_duration(since, sizeof(since),
                             (boot(q->o) - s->failing_since_ms) / 1000 * 1000);
        log_info("report", "%s takes reports again, after %s and %llu attempts", s->type->name,
                 since, (unsigned long long)s->failures);
    }
    s->failing = false;
    s->failures = 0;
    q->o->delivered++;
    q->o->last_error[0] = 0;
    if (s->type != &lines_sink) /* which has just said it itself */
        log_info("report", "%s: %s %s delivered: %s", s->type->name,
                 json_get_str(q->head->report, "kind", "?"), q->key,
                 json_get_str(q->head->report, "summary", ""));
    finished(q, "delivered", NULL);
}

static void refused(struct queue *q, const char *text)
{
    struct item *it = q->head;

    if (it->trim == 0) {
        log_warn("report", "%s refused %s (%s); trying it trimmed", q->sink->type->name, q->key,
                 text);
        it->trim = 1;
        it->due_ms = boot(q->o);
        loop_timer_set(q->timer, 0);
        return;
    }
    q->o->dead_letters++;
    log_error("report", "%s does not take this report, it is given up: %s; the report: %s %s: %s",
              q->sink->type->name, text, json_get_str(it->report, "kind", "?"), q->key,
              json_get_str(it->report, "summary", ""));
    finished(q, "dead", text);
}

static void retry(struct queue *q, const struct sink_answer *a)
{
    struct outbox *o = q->o;
    struct sink *s = q->sink;
    struct item *it = q->head;
    int64_t first = o->opt.backoff_ms ? o->opt.backoff_ms : BACKOFF_MS,
            most = o->opt.backoff_max_ms ? o->opt.backoff_max_ms : BACKOFF_MAX_MS;
    int64_t wait = first, now = boot(o);

    for (int k = 1; k < it->attempts && wait < most; k++)
        wait *= 2;
    wait = (int64_t)((double)(wait < most ? wait : most) * (0.5 + 0.5 * random_share()));
    /* Never longer than the ceiling, whatever was asked for: a page that comes hours late is no
     * page. */
    if (a->retry_after_ms > wait)
        wait = a->retry_after_ms < most ? a->retry_after_ms : most;
    if (a->all && a->retry_after_ms > 0 && it->row)
        s->hold_until_ms = now + wait;
    it->due_ms = now + wait;
    o->retries++;
    s->failures++;
    snprintf(o->last_error, sizeof(o->last_error), "%s: %s", s->type->name, a->text);
    if (!s->failing) {
        s->failing = true;
        s->failing_since_ms = now;
        s->complain_ms = now + COMPLAIN_MS;
        log_warn("report", "%s: %s; tried again until it is taken, %zu reports wait", s->type->name,
                 a->text, o->pending);
    } else if (now >= s->complain_ms) {
        s->complain_ms = now + COMPLAIN_MS;
        log_error("report", "%s still takes no reports: %s; %zu wait", s->type->name, a->text,
                  o->pending);
    }
    loop_timer_set(q->timer, wait);
}

static void answered(void *arg, const struct sink_answer *a)
{
    struct queue *q = arg;

    q->sending = NULL;
    q->busy = false;
    q->sink->sending--;
    switch (a->result) {
    case SINK_DELIVERED:
        delivered(q);
        break;
    case SINK_REFUSED:
        refused(q, a->text);
        break;
    case SINK_RETRY:
        retry(q, a);
        break;
    }
}

static void try_queue(struct queue *q)
{
    struct outbox *o = q->o;
    struct item *it = q->head;
    struct json *chain;
    char head[65];
    int64_t seq = 0, now = boot(o), due;

    if (q->busy)
        return;
    if (!it) {
        drop_queue(q);
        return;
    }
    due = it->row && q->sink->hold_until_ms > it->due_ms ? q->sink->hold_until_ms : it->due_ms;
    if (due > now) {
        loop_timer_set(q->timer, due - now);
        return;
    }
    if (it->row && q->sink->sending >= MAX_SENDING)
        return; /* kicked when one ends */
    o->opt.journal->ops->head(o->opt.journal, head, &seq);
    chain = json_set(it->report, "chain", json_new_map());
    json_set_int(chain, "seq", seq);
    json_set_str(chain, "head", head);
    it->attempts++;
    q->busy = true;
    q->sink->sending++;
    q->sending = q->sink->type->send(q->sink->self, it->report, it->trim, answered, q);
}

static void add(struct outbox *o, struct sink *s, const char *row, const struct json *report)
{
    struct queue *q = queue_of(o, s, json_get_str(report, "key", "agent"));
    struct item *it = mem_alloc(sizeof(*it));

    it->report = json_copy(report);
    it->row = mem_strdup(row);
    it->due_ms = it->since_ms = boot(o);
    *q->tail = it;
    q->tail = &it->next;
    if (row)
        o->pending++;
    if (q->head == it)
        loop_timer_set(q->timer, 0);
}

/* Emergencies */

static void emergency(struct outbox *o, const char *kind, const char *summary)
{
    struct json *d = json_new_map();
    char at[32];

    json_set_str(d, "kind", kind);
    json_set_strf(d, "key", "runbookd/%s/emergency", o->host);
    json_set_str(d, "summary", summary);
    json_set_str(d, "host", o->host);
    json_set_str(d, "severity", "sev1");
    json_set_str(d, "at", time_format_iso(at, sizeof(at), loop_wall_ms(o->opt.loop)));
    json_set_str(d, "next", "nothing is done until this is mended");
    add(o, o->pager, NULL, d);
    json_free(d);
}

void outbox_emergency(struct outbox *o, const char *summary)
{
    log_error("report", "emergency: %s", summary);
    if (o->emergency_open)
        return;
    o->emergency_open = true;
    emergency(o, "human", summary);
}

bool outbox_emergency_sent(const struct outbox *o)
{
    for (const struct queue *q = o->queues; q; q = q->next)
        for (const struct item *it = q->head; it; it = it->next)
            if (!it->row)
                return false;
    return true;
}

void outbox_deliver(struct outbox *o, const char *row, const struct json *report)
{
    if (o->emergency_open) {
        o->emergency_open = false;
        emergency(o, "resolve", "the journal can be written again");
    }
    if (o->overflow || o->pending >= MAX_PENDING) {
        if (!o->overflow)
            log_error(
                "report",
                "%d reports wait: what comes now stays in the journal and goes out after a restart",
                MAX_PENDING);
        o->overflow = true;
        return;
    }
    add(o, json_get_bool(report, "shadow", false) ? o->shadow : o->pager, row, report);
}

static bool restore_one(void *arg, const char *key, const struct json *doc)
{
    outbox_deliver(arg, key, doc);
    return true;
}

int outbox_restore(struct outbox *o, struct err *e)
{
    int rc = o->opt.journal->ops->each_open(o->opt.journal, "report", restore_one, o, e);

    if (rc == 0 && o->pending)
        log_info("report", "%zu reports from before the start go out now", o->pending);
    return rc;
}

/* Making and ending */

static struct sink *sink_new(const struct outbox_options *o, bool shadow, struct err *e)
{
    struct sink_env env = {o->loop, o->http, o->host, o->answer_ms ? o->answer_ms : ANSWER_MS};
    const struct json *config = shadow ? o->shadow : o->pagerduty;
    struct sink *s = mem_alloc(sizeof(*s));

    s->shadow = shadow;
    s->type = json_get(config, "routing_key") ? &pagerduty_sink : &lines_sink;
    s->self = s->type->open(&env, config, e);
    if (!s->self) {
        err_wrap(e, "%s", shadow ? "shadow_sink" : "pagerduty");
        mem_free(s);
        return NULL;
    }
    return s;
}

static void sink_free(struct sink *s)
{
    if (!s)
        return;
    s->type->close(s->self);
    mem_free(s);
}

struct outbox *outbox_new(const struct outbox_options *opt, struct err *e)
{
    struct outbox *o = mem_alloc(sizeof(*o));

    o->opt = *opt;
    o->host = mem_strdup(opt->host ? opt->host : "runbookd");
    o->opt.host = o->host;
    o->pager = sink_new(&o->opt, false, e);
    o->shadow = o->pager ? sink_new(&o->opt, true, e) : NULL;
    if (!o->shadow) {
        sink_free(o->pager);
        mem_free(o->host);
        mem_free(o);
        return NULL;
    }
    o->opt.pagerduty = o->opt.shadow = NULL; /* not ours beyond the opening */
    o->mark_again = loop_timer_new(opt->loop, on_mark_again, o);
    o->kick = loop_timer_new(opt->loop, on_kick, o);
    if (o->pager->type == &lines_sink)
        log_warn("report", "no pager is configured: reports are only logged");
    return o;
}

void outbox_free(struct outbox *o)
{
    if (!o)
        return;
    while (o->queues) {
        struct queue *q = o->queues;
        o->queues = q->next;
        queue_free(q);
    }
    sink_free(o->pager);
    sink_free(o->shadow);
    loop_timer_free(o->mark_again);
    loop_timer_free(o->kick);
    o->dead = true;
    for (struct mark *m = o->marks, *next; m; m = next) {
        next = m->next;
        if (!m->sent)
            mark_free(m); /* the others are freed by their completion */
    }
    mem_free(o->host);
    if (o->marks_out == 0)
        mem_free(o);
}

size_t outbox_pending(const struct outbox *o)
{
    return o->pending;
}

struct json *outbox_status(const struct outbox *o)
{
    struct json *d = json_new_map();
    int64_t oldest = INT64_MAX;

    for (const struct queue *q = o->queues; q; q = q->next)
        if (q->head && q->head->since_ms < oldest)
            oldest = q->head->since_ms;
    json_set_int(d, "pending", (int64_t)o->pending);
    json_set_int(d, "delivered", (int64_t)o->delivered);
    json_set_int(d, "dead", (int64_t)o->dead_letters);
    json_set_int(d, "retries", (int64_t)o->retries);
    if (oldest != INT64_MAX)
        json_set_int(d, "oldest_ms", boot(o) - oldest);
    json_set_str(d, "pager", o->pager->type->name);
    json_set_str(d, "shadow", o->shadow->type->name);
    if (o->last_error[0])
        json_set_str(d, "error", o->last_error);
    return d;
}
