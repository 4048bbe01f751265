/* The virtual world: events in order of time, nothing else moves the clock. */
#include <string.h>
#include "base/mem.h"
#include "world/virtual.h"

#define NEVER INT64_MAX

struct pending {
    uint64_t ticket;
    bool apply;
    int64_t at_ms;
    enum applied how;
    struct json *json; /* seen or out */
    struct err err;
};

struct feed {
    struct series *series;
    int64_t next_ms;
};

struct virtual
{
    struct world world; /* first: the engine's view */
    struct virtual_options o;
    struct memory_disk *disk;
    struct engine *engine;
    int64_t now_ms, wake_ms, wall_offset_ms;
    uint64_t random;
    bool journal_due;
    struct pending *pending;
    size_t npending, cpending;
    struct feed *feeds;
    size_t nfeeds;
};

static struct virtual *of(struct world *w)
{
    return (struct virtual *)w;
}

static int64_t world_now(struct world *w)
{
    return of(w)->now_ms;
}

static int64_t world_wall(struct world *w)
{
    return of(w)->now_ms + of(w)->wall_offset_ms;
}

/* splitmix64: a few lines, the same on every machine */
static uint64_t world_random(struct world *w)
{
    uint64_t z = (of(w)->random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void world_wake_at(struct world *w, int64_t at_ms)
{
    of(w)->wake_ms = at_ms;
}

static void add_pending(struct virtual *v, const struct pending *p)
{
    if (v->npending == v->cpending) {
        v->cpending = v->cpending ? v->cpending * 2 : 16;
        v->pending = mem_realloc(v->pending, v->cpending * sizeof(*v->pending));
    }
    v->pending[v->npending++] = *p;
}

static void time_out(struct virtual *v, struct pending *p, const struct world_step *s)
{
    p->at_ms = v->now_ms + s->deadline_ms;
    p->how = APPLIED_IN_DOUBT;
    err_set(&p->err, ERR_TIMEOUT, "no answer within its deadline");
}

static void world_observe(struct world *w, const struct world_step *s)
{
    struct virtual *v = of(w);
    int64_t latency = v->o.model.latency ? v->o.model.latency(v->o.model.arg, s) : 0;
    struct pending p = {.ticket = s->ticket, .at_ms = v->now_ms + latency};

    p.json = v->o.model.observe(v->o.model.arg, s, &p.err);
    if (latency < 0 || latency > s->deadline_ms) {
        json_free(p.json);
        p.json = NULL;
        time_out(v, &p, s);
    }
    add_pending(v, &p);
}

static void world_apply(struct world *w, const struct world_step *s)
{
    struct virtual *v = of(w);
    int64_t latency = v->o.model.latency ? v->o.model.latency(v->o.model.arg, s) : 0;
    struct pending p = {.ticket = s->ticket, .apply = true, .at_ms = v->now_ms + latency};

    p.how = v->o.model.apply(v->o.model.arg, s, &p.json,
                             &p.err); /* the effect stands even when its answer is lost */
    if (latency < 0 || latency > s->deadline_ms)
        time_out(v, &p, s);
    add_pending(v, &p);
}

static void world_cancel(struct world *w, uint64_t ticket)
{
    struct virtual *v = of(w);

    for (size_t k = 0; k < v->npending; k++)
        if (v->pending[k].ticket == ticket) {
            json_free(v->pending[k].json);
            memmove(&v->pending[k], &v->pending[k + 1],
                    (v->npending - k - 1) * sizeof(v->pending[0]));
            v->npending--;
            return;
        }
}

/* Each series has a reading at every multiple of its interval (M26). */
static void world_watch(struct world *w, struct series *const *series, size_t n)
{
    struct virtual *v = of(w);

    v->feeds = mem_realloc(v->feeds, (n + 1) * sizeof(*v->feeds));
    for (size_t k = 0; k < n; k++) {
        int64_t every = series[k]->interval_ms > 0 ? series[k]->interval_ms : 1000;
        v->feeds[k].series = series[k];
        int64_t from = virtual_now(v);
        if (v->o.backfill && series[k]->count == 0)
            from = from > series[k]->keep_ms + every ? from - series[k]->keep_ms - every : 0;
        v->feeds[k].next_ms = v->o.start_wall_ms + (from + every - 1) / every * every;
    }
    v->nfeeds = n;
}

static void world_deliver(struct world *w, const char *key, const struct json *report)
{
    struct virtual *v = of(w);

    if (v->o.model.report)
        v->o.model.report(v->o.model.arg, virtual_now(v), key, report);
}

static void world_emergency(struct world *w, const char *text)
{
    struct virtual *v = of(w);

    if (v->o.model.emergency)
        v->o.model.emergency(v->o.model.arg, virtual_now(v), text);
}

static void world_trace(struct world *w, const char *policy, const char *target, const char *verb,
                        const char *text)
{
    struct virtual *v = of(w);

    if (v->o.model.trace)
        v->o.model.trace(v->o.model.arg, virtual_now(v), policy, target, verb, text);
}

static bool world_frozen(struct world *w)
{
    struct virtual *v = of(w);

    return v->o.model.frozen && v->o.model.frozen(v->o.model.arg);
}

static const struct world_ops virtual_ops = {
    world_now,    world_wall,  world_random,  world_wake_at,   world_observe, world_apply,
    world_cancel, world_watch, world_deliver, world_emergency, world_trace,   world_frozen};

static void on_submit(void *arg)
{
    ((struct virtual *)arg)->journal_due = true;
}

struct virtual *virtual_new(const struct virtual_options *o)
{
    struct virtual *v = mem_alloc(sizeof(*v));

    v->o = *o;
    v->world.ops = &virtual_ops;
    v->disk = memory_disk_new();
    v->random = o->seed;
    v->now_ms = o->start_wall_ms; /* steady time is never near zero, as in the live world */
    v->wake_ms = NEVER;
    return v;
}

void virtual_crash(struct virtual *v)
{
    if (!v->engine)
        return;
    engine_free(v->engine);
    v->engine = NULL;
    memory_journal_crash(v->world.journal);
    v->world.journal = NULL;
    v->journal_due = false;
    for (size_t k = 0; k < v->npending; k++)
        json_free(v->pending[k].json);
    v->npending = 0;
    v->nfeeds = 0;
    v->wake_ms = NEVER;
    v->now_ms++; /* a process is not back within the millisecond */
}

void virtual_free(struct virtual *v)
{
    virtual_crash(v);
    memory_disk_free(v->disk);
    mem_free(v->pending);
    mem_free(v->feeds);
    mem_free(v);
}

int virtual_reload(struct virtual *v, struct policy_set *set, struct estate *estate, struct err *e)
{
    return engine_load(v->engine, set, estate, e);
}

static struct pending *next_pending(struct virtual *v)
{
    struct pending *first = NULL;

    for (size_t k = 0; k < v->npending; k++)
        if (!first || v->pending[k].at_ms < first->at_ms)
            first = &v->pending[k];
    return first;
}

static int64_t next_feed(const struct virtual *v)
{
    int64_t at = NEVER;

    for (size_t k = 0; k < v->nfeeds; k++)
        at = v->feeds[k].next_ms < at ? v->feeds[k].next_ms : at;
    return at;
}

/* A source that keeps history is asked twice at a start: for its past, and a millisecond later for
 * its present. Two answers are what M5 wants. */
static void feed(struct virtual *v)
{
    bool any = false, past = false;

    for (size_t k = 0; k < v->nfeeds && v->o.backfill; k++)
        past = past || v->feeds[k].next_ms + v->feeds[k].series->interval_ms <= v->now_ms;
    for (size_t k = 0; k < v->nfeeds; k++) {
        struct feed *f = &v->feeds[k];
        int64_t every = f->series->interval_ms > 0 ? f->series->interval_ms : 1000;
        double value;
        for (; f->next_ms + (past ? every : 0) <= v->now_ms; f->next_ms += every) {
            int64_t ago = v->o.backfill ? v->now_ms - f->next_ms : 0;
            if (!v->o.model.sample(v->o.model.arg, f->series, virtual_now(v) - ago, &value))
                continue;
            engine_sample(v->engine, f->series->id, world_wall(&v->world) - ago - every, every,
                          value);
            any = true;
        }
    }
    if (any)
        engine_flush(v->engine);
    v->now_ms += past;
}

int virtual_start(struct virtual *v, struct policy_set *set, struct estate *estate, struct err *e)
{
    int rc;

    v->world.journal = memory_journal_open(v->disk);
    memory_journal_on_submit(v->world.journal, on_submit, v);
    v->engine = engine_new(&v->world, &v->o.engine, &v->o.loader);
    rc = engine_restore(v->engine, e);
    rc = rc ? rc : engine_load(v->engine, set, estate, e);
    while (!rc && v->o.backfill && next_feed(v) <= v->now_ms)
        feed(v); /* before the journal has given back its runs */
    return rc;
}

static void complete(struct virtual *v, struct pending *p)
{
    struct pending done = *p;

    *p = v->pending[--v->npending];
    if (done.apply)
        engine_applied(v->engine, done.ticket, done.how, done.json,
                       done.err.code ? &done.err : NULL);
    else
        engine_observed(v->engine, done.ticket, done.json, done.err.code ? &done.err : NULL);
}

bool virtual_step(struct virtual *v, int64_t until_ms)
{
    int64_t at_ms = v->o.start_wall_ms + until_ms;
    struct pending *p = next_pending(v);
    int64_t fed = next_feed(v), answered = p ? p->at_ms : NEVER, next;

    if (!v->engine)
        return false;
    if (v->journal_due) { /* before time moves: a commit takes no virtual time */
        v->journal_due = false;
        memory_journal_pump(v->world.journal);
        if (memory_journal_pending(v->world.journal))
            v->journal_due = true;
        return true;
    }
    next = fed < answered ? fed : answered;
    next = v->wake_ms < next ? v->wake_ms : next;
    if (next > at_ms)
        return false;
    if (next > v->now_ms)
        v->now_ms = next;
    if (fed <= v->now_ms)
        feed(v);
    else if (p && answered <= v->now_ms)
        complete(v, p);
    else {
        v->wake_ms = NEVER;
        engine_wake(v->engine);
    }
    return true;
}

void virtual_run_until(struct virtual *v, int64_t at_ms)
{
    while (virtual_step(v, at_ms))
        ;
    if (virtual_now(v) < at_ms)
        v->now_ms = v->o.start_wall_ms + at_ms;
}

int64_t virtual_now(const struct virtual *v)
{
    return v->now_ms - v->o.start_wall_ms;
}

void virtual_step_wall(struct virtual *v, int64_t by_ms)
{
    v->wall_offset_ms += by_ms;
}

struct engine *virtual_engine(struct virtual *v)
{
    return v->engine;
}

struct memory_disk *virtual_disk(struct virtual *v)
{
    return v->disk;
}

struct journal *virtual_journal(struct virtual *v)
{
    return v->world.journal;
}

static void answered(void *arg, struct json *answer)
{
    *(struct json **)arg = answer;
}

struct json *virtual_command(struct virtual *v, struct json *command)
{
    struct json *answer = NULL;

    engine_command(v->engine, command, answered, &answer);
    while (!answer && virtual_step(v, virtual_now(v) + 60 * 1000))
        ;
    json_free(command);
    return answer;
}
