/* Queues per sink and key, and retries with backoff and jitter. */
#include "report/outbox.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "report/letter.h"

#define BACKOFF_MS 1000
#define BACKOFF_MAX_MS (5 * 60 * 1000LL)
#define MARK_AGAIN 5 /* backoffs until a row that could not be marked is tried again */
#define MAX_SENDING                                                                                \
    4 /* a sink, at the same time: after an outage the backlog does not become a flood */
#define MAX_WAITING 100000 /* a sink; what is more stays in the journal until these are gone */
#define REST_AGAIN_MS 1000
#define COMPLAIN_MS (10 * 60 * 1000LL)
#define TELL_AFTER 3 /* longest backoffs that a sink may fail until the others are told */
#define MAX_TRIM 3

struct sink {
    const struct sink_type *type;
    void *self;
    int sending;
    size_t waiting;
    bool overflow;         /* what comes now stays in the journal, until all that waits is gone */
    bool gone;             /* until a restart: it wants no more */
    int64_t hold_until_ms; /* boot clock: the other side asked for a pause */
    bool failing, told;    /* told: the other sinks know of it */
    int64_t failing_since_ms, complain_ms;
    uint64_t failures;
};

/* A letter on its way to one sink. */
struct item {
    struct letter *letter;
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

struct outbox {
    struct outbox_options opt;
    char *host;
    struct sink sinks[SINKS_MAX]; /* of what is real */
    size_t nsinks;
    struct sink log, shadow; /* log: where there is no other (any more) */
    struct queue *queues;
    struct letters *letters;
    struct loop_timer *kick;
    bool emergency_open;
    uint64_t delivered, dead_letters, retries;
    char last_error[256];
};

static void try_queue(struct queue *q);
static void take_up_rest(struct outbox *o);
static void tell_others(struct outbox *o, struct sink *s, const char *kind, const char *summary);

static int64_t boot(const struct outbox *o)
{
    return loop_boot_ms(o->opt.loop);
}

static int64_t backoff(const struct outbox *o)
{
    return o->opt.backoff_ms ? o->opt.backoff_ms : BACKOFF_MS;
}

static double random_share(void)
{
    uint32_t r;

    random_bytes(&r, sizeof(r));
    return (double)r / 4294967296.0;
}

/* Queues */

static void queue_free(struct queue *q)
{
    if (q->sending)
        q->sink->type->cancel(q->sink->self, q->sending);
    while (q->head) {
        struct item *it = q->head;
        q->head = it->next;
        mem_free(it);
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
    take_up_rest(o);
}

/* The head is done with; others of this sink get its turn. */
static void finished(struct queue *q, const char *outcome, const char *text)
{
    struct item *it = q->head;

    q->head = it->next;
    if (!q->head)
        q->tail = &q->head;
    q->sink->waiting--;
    letter_ends(it->letter, q->sink->type->name, outcome, it->attempts, text);
    mem_free(it);
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
    if (s->told) {
        char *text = mem_printf("%s takes reports again, after %s", s->type->name, since);
        tell_others(q->o, s, "resolve", text);
        mem_free(text);
    }
    s->failing = s->told = false;
    s->failures = 0;
    q->o->delivered++;
    q->o->last_error[0] = 0;
    if (s->type != &lines_sink) /* which has just said it itself */
        log_info("report", "%s: %s %s delivered: %s", s->type->name,
                 json_get_str(letter_report(q->head->letter), "kind", "?"), q->key,
                 json_get_str(letter_report(q->head->letter), "summary", ""));
    finished(q, "delivered", NULL);
}

/* That a report was lost is itself reported, in the transaction that says so: to the other sinks,
 * and to this one in words that have next to nothing of what it refused. */
static void tell_loss(struct queue *q, bool all, const char *text)
{
    struct outbox *o = q->o;
    const struct item *it = q->head;
    const struct json *lost = letter_report(it->letter);
    const char *sink = q->sink->type->name;
    struct json *d;
    char at[32], *row;

    /* A note is no page, and the loss of such a report is not told by another. */
    if (!letter_row(it->letter) || json_get_str(lost, "lost", NULL) ||
        (!all && strcmp(json_get_str(lost, "kind", "note"), "note") == 0))
        return;
    d = json_new_map();
    row = mem_printf("%s-%s", letter_row(it->letter), sink);
    json_set_str(d, "id", row);
    json_set_str(d, "kind", "human");
    json_set_strf(d, "key", "runbookd/%s/reports", o->host);
    json_set_str(d, "lost", letter_row(it->letter));
    if (!all)
        letter_about(d, lost);
    if (all)
        json_set_strf(d, "summary",
                      "%s wants no more reports of runbookd and gets none until a restart: %.200s",
                      sink, text);
    else
        json_set_strf(d, "summary", "%s did not take a report of runbookd%s%s: %s %s: %.200s", sink,
                      json_get_str(d, "target", NULL) ? " about " : "",
                      json_get_str(d, "target", ""), json_get_str(lost, "kind", "?"), q->key, text);
    json_set_str(d, "host", o->host);
    json_set_str(d, "severity", json_get_str(lost, "severity", "sev2"));
    json_set_str(d, "at", time_format_iso(at, sizeof(at), loop_wall_ms(o->opt.loop)));
    json_set_int(d, "wall_ms", loop_wall_ms(o->opt.loop));
    json_set_bool(d, "shadow", false);
    json_set_str(d, "next", "read it: runbookctl reports");
    letter_adds(it->letter, row, d);
    mem_free(row);
}

static void dead(struct queue *q, const char *text)
{
    const struct json *lost = letter_report(q->head->letter);

    q->o->dead_letters++;
    log_error("report", "%s does not take this report, it is given up: %s; the report: %s %s: %s",
              q->sink->type->name, text, json_get_str(lost, "kind", "?"), q->key,
              json_get_str(lost, "summary", ""));
    tell_loss(q, false, text);
    finished(q, "dead", text);
}

static void too_large(struct queue *q, const char *text)
{
    struct item *it = q->head;

    if (it->trim >= MAX_TRIM) {
        dead(q, text);
        return;
    }
    log_warn("report", "%s takes no report as large as %s (%s); trying it trimmed",
             q->sink->type->name, q->key, text);
    it->trim++;
    it->due_ms = boot(q->o);
    loop_timer_set(q->timer, 0);
}

/* It wants no more: what waits for it is given up, one report says so. */
static void gone(struct sink *s, struct outbox *o, const char *text)
{
    bool told = s->gone;

    if (!s->gone)
        log_error("report",
                  "%s says that it wants no more reports (%s): nothing is sent there until "
                  "runbookd is restarted; %zu that waited are given up",
                  s->type->name, text, s->waiting);
    s->gone = true;
    for (struct queue *q = o->queues; q; q = q->next)
        while (q->sink == s && q->head && !q->busy) {
            if (!told && letter_row(q->head->letter)) {
                tell_loss(q, true, text);
                told = true;
            }
            o->dead_letters++;
            finished(q, "dead", text);
        }
}

static void retry(struct queue *q, const struct sink_answer *a)
{
    struct outbox *o = q->o;
    struct sink *s = q->sink;
    struct item *it = q->head;
    int64_t most = o->opt.backoff_max_ms ? o->opt.backoff_max_ms : BACKOFF_MAX_MS;
    int64_t wait = backoff(o), now = boot(o);

    if (s->gone || (s->type->give_up_ms && now - it->since_ms > s->type->give_up_ms)) {
        dead(q, a->text);
        return;
    }

    for (int k = 1; k < it->attempts && wait < most; k++)
        wait *= 2;
    wait = (int64_t)((double)(wait < most ? wait : most) * (0.5 + 0.5 * random_share()));
    /* Never longer than the ceiling, whatever was asked for: a page that comes hours late is no
     * page. */
    if (a->retry_after_ms > wait)
        wait = a->retry_after_ms < most ? a->retry_after_ms : most;
    if (a->all && a->retry_after_ms > 0 && letter_row(it->letter))
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
                 a->text, s->waiting);
    } else if (now >= s->complain_ms) {
        s->complain_ms = now + COMPLAIN_MS;
        log_error("report", "%s still takes no reports: %s; %zu wait", s->type->name, a->text,
                  s->waiting);
    }
    if (!s->told && now - s->failing_since_ms >= TELL_AFTER * most) {
        char *text = mem_printf("%s takes no reports of runbookd: %s; %zu wait and are tried again",
                                s->type->name, a->text, s->waiting);
        tell_others(o, s, "human", text);
        mem_free(text);
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
    case SINK_TOO_LARGE:
        too_large(q, a->text);
        break;
    case SINK_REFUSED:
        dead(q, a->text);
        break;
    case SINK_GONE:
        gone(q->sink, q->o, a->text);
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
    struct json *report, *chain;
    char head[65];
    int64_t seq = 0, now = boot(o), due;
    bool urgent = it && !letter_row(it->letter); /* emergencies overtake what waits */

    if (q->busy)
        return;
    if (!it) {
        drop_queue(q);
        return;
    }
    due = !urgent && q->sink->hold_until_ms > it->due_ms ? q->sink->hold_until_ms : it->due_ms;
    if (due > now) {
        loop_timer_set(q->timer, due - now);
        return;
    }
    if (!urgent && q->sink->sending >= MAX_SENDING)
        return; /* kicked when one ends */
    o->opt.journal->ops->head(o->opt.journal, head, &seq);
    report = letter_copy(it->letter);
    chain = json_set(report, "chain", json_new_map());
    json_set_int(chain, "seq", seq);
    json_set_str(chain, "head", head);
    it->attempts++;
    q->busy = true;
    q->sink->sending++;
    q->sending = q->sink->type->send(q->sink->self, report, it->trim, answered, q);
    json_free(report);
}

static void add(struct outbox *o, struct sink *s, struct letter *m)
{
    struct queue *q;
    struct item *it;

    if (s->overflow || s->waiting >= o->opt.waiting_max) {
        if (!s->overflow)
            log_error("report",
                      "%zu reports wait for %s: what comes now stays in the journal until these "
                      "are delivered",
                      s->waiting, s->type->name);
        s->overflow = true;
        letter_leaves(m);
        return;
    }
    q = queue_of(o, s, json_get_str(letter_report(m), "key", "agent"));
    it = mem_alloc(sizeof(*it));
    it->letter = m;
    it->due_ms = it->since_ms = boot(o);
    *q->tail = it;
    q->tail = &it->next;
    s->waiting++;
    if (q->head == it)
        loop_timer_set(q->timer, 0);
}

/* To each sink that it is for and that has not had it yet. */
static void post(struct outbox *o, const char *row, const struct json *report)
{
    struct sink *to[SINKS_MAX];
    size_t n = 0, left = 0;
    struct letter *m;

    if (json_get_bool(report, "shadow", false))
        to[n++] = &o->shadow;
    else
        for (size_t k = 0; k < o->nsinks; k++)
            if (!o->sinks[k].gone)
                to[n++] = &o->sinks[k];
    if (n == 0)
        to[n++] = &o->log;
    for (size_t k = 0; k < n; k++)
        if (!letter_ended(report, to[k]->type->name))
            to[left++] = to[k];
    m = letter_new(o->letters, row, report, left);
    for (size_t k = 0; k < left; k++)
        add(o, to[k], m);
}

/* From memory: an outage of one sink is told to those that are not away. */
static void tell_others(struct outbox *o, struct sink *s, const char *kind, const char *summary)
{
    struct sink *to[SINKS_MAX];
    struct json *d;
    struct letter *m;
    char at[32];
    size_t n = 0;

    for (size_t k = 0; k < o->nsinks; k++)
        if (&o->sinks[k] != s && !o->sinks[k].gone && !o->sinks[k].failing)
            to[n++] = &o->sinks[k];
    if (n == 0 || s == &o->shadow)
        return;
    s->told = true;
    d = json_new_map();
    json_set_str(d, "kind", kind);
    json_set_strf(d, "key", "runbookd/%s/%s", o->host, s->type->name);
    json_set_str(d, "summary", summary);
    json_set_str(d, "host", o->host);
    json_set_str(d, "severity", "sev2");
    json_set_str(d, "at", time_format_iso(at, sizeof(at), loop_wall_ms(o->opt.loop)));
    json_set_int(d, "wall_ms", loop_wall_ms(o->opt.loop));
    m = letter_new(o->letters, NULL, d, n);
    for (size_t k = 0; k < n; k++)
        add(o, to[k], m);
    json_free(d);
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
    post(o, NULL, d);
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
            if (!letter_row(it->letter))
                return false;
    return true;
}

void outbox_deliver(struct outbox *o, const char *row, const struct json *report)
{
    if (o->emergency_open) {
        o->emergency_open = false;
        emergency(o, "resolve", "the journal can be written again");
    }
    post(o, row, report);
}

static bool restore_one(void *arg, const char *key, const struct json *doc)
{
    outbox_deliver(arg, key, doc);
    return true;
}

int outbox_restore(struct outbox *o, struct err *e)
{
    int rc = o->opt.journal->ops->each_open(o->opt.journal, "report", restore_one, o, e);

    if (rc == 0 && outbox_pending(o))
        log_info("report", "%zu reports that the journal holds go out now", outbox_pending(o));
    return rc;
}

/* What stayed in the journal goes out when all that waited in memory is gone, in its order: while
 * it is there, what is newer stays behind it. */
static void take_up_rest(struct outbox *o)
{
    struct err e = ERR_INIT;
    bool over = false;

    for (size_t k = 0; k < o->nsinks; k++)
        over = over || o->sinks[k].overflow;
    if (!over && !o->log.overflow && !o->shadow.overflow)
        return;
    if (outbox_pending(o) || o->opt.journal->ops->stalled(o->opt.journal)) {
        loop_timer_set(o->kick, REST_AGAIN_MS);
        return;
    }
    for (size_t k = 0; k < o->nsinks; k++)
        o->sinks[k].overflow = false;
    o->log.overflow = o->shadow.overflow = false;
    if (outbox_restore(o, &e))
        log_error("report", "reports that stayed in the journal go out after a restart: %s",
                  e.text);
}

/* Making and ending */

static int sink_open(struct sink *s, const struct sink_type *type, const struct outbox_options *o,
                     const struct json *config, const char *what, struct err *e)
{
    struct sink_env env = {o->loop, o->http, o->host, o->answer_ms};

    s->self = type->open(&env, config, e);
    if (!s->self)
        return err_wrap(e, "%s", what);
    s->type = type;
    return 0;
}

static void sink_close(struct sink *s)
{
    if (s->type)
        s->type->close(s->self);
}

static void close_all(struct outbox *o)
{
    for (size_t k = 0; k < o->nsinks; k++)
        sink_close(&o->sinks[k]);
    sink_close(&o->log);
    sink_close(&o->shadow);
}

static int open_all(struct outbox *o, struct err *e)
{
    const struct outbox_options *opt = &o->opt;

    for (size_t k = 0; k < sink_types_len; k++) {
        const struct json *config = json_get(opt->config, sink_types[k]->name);
        if (!config)
            continue;
        if (sink_open(&o->sinks[o->nsinks], sink_types[k], opt, config, sink_types[k]->name, e))
            return e->code;
        o->nsinks++;
    }
    if (sink_open(&o->log, &lines_sink, opt, NULL, "log", e))
        return e->code;
    return sink_open(&o->shadow,
                     json_get(opt->shadow, "routing_key") ? &pagerduty_sink : &lines_sink, opt,
                     opt->shadow, "shadow_sink", e);
}

static void on_added(void *owner, const char *row, const struct json *report)
{
    post(owner, row, report);
}

struct outbox *outbox_new(const struct outbox_options *opt, struct err *e)
{
    struct outbox *o = mem_alloc(sizeof(*o));
    struct letters_options l = {.loop = opt->loop,
                                .journal = opt->journal,
                                .now_ms = opt->now_ms,
                                .arg = opt->arg,
                                .added = on_added,
                                .owner = o};

    o->opt = *opt;
    o->host = mem_strdup(opt->host ? opt->host : "runbookd");
    o->opt.host = o->host;
    if (!o->opt.waiting_max)
        o->opt.waiting_max = MAX_WAITING;
    if (open_all(o, e)) {
        close_all(o);
        mem_free(o->host);
        mem_free(o);
        return NULL;
    }
    o->opt.config = o->opt.shadow = NULL; /* not ours beyond the opening */
    l.again_ms = MARK_AGAIN * backoff(o);
    o->letters = letters_new(&l);
    o->kick = loop_timer_new(opt->loop, on_kick, o);
    if (o->nsinks == 0)
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
    close_all(o);
    loop_timer_free(o->kick);
    letters_free(o->letters);
    mem_free(o->host);
    mem_free(o);
}

size_t outbox_pending(const struct outbox *o)
{
    return letters_open(o->letters);
}

static void sink_status(struct json *list, const struct sink *s, bool shadow)
{
    struct json *d = json_add(list, json_new_map());

    json_set_str(d, "name", s->type->name);
    json_set_bool(d, "shadow", shadow);
    json_set_int(d, "waiting", (int64_t)s->waiting);
    json_set_bool(d, "failing", s->failing);
    json_set_bool(d, "gone", s->gone);
}

struct json *outbox_status(const struct outbox *o)
{
    struct json *d = json_new_map(), *list;
    int64_t oldest = INT64_MAX;

    for (const struct queue *q = o->queues; q; q = q->next)
        if (q->head && q->head->since_ms < oldest)
            oldest = q->head->since_ms;
    json_set_int(d, "pending", (int64_t)outbox_pending(o));
    json_set_int(d, "delivered", (int64_t)o->delivered);
    json_set_int(d, "dead", (int64_t)o->dead_letters);
    json_set_int(d, "retries", (int64_t)o->retries);
    if (oldest != INT64_MAX)
        json_set_int(d, "oldest_ms", boot(o) - oldest);
    list = json_set(d, "sinks", json_new_list());
    for (size_t k = 0; k < o->nsinks; k++)
        sink_status(list, &o->sinks[k], false);
    if (o->nsinks == 0)
        sink_status(list, &o->log, false);
    sink_status(list, &o->shadow, true);
    if (o->last_error[0])
        json_set_str(d, "error", o->last_error);
    return d;
}
