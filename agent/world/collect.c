/* Sources: opened, polled, cancelled at their deadline, backed off, complained about, migrated. */
#include "world/collect.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "world/health.h"

#define BACKOFF_MAX_MS (5 * 60 * 1000LL)
#define SPREAD_MAX_MS 2000
#define POLL_DEADLINE_MS (30 * 1000LL) /* of a type that names none */
#define NAME_LEN 160

/* What a source watches; one is in effect, another may wait for the end of a poll. */
struct heard {
    bool now;  /* this poll told something of it */
    bool lost; /* the feed was told that its source does not answer */
};

struct set {
    struct estate *estate; /* counted: the targets live in it */
    struct watch *items;
    const struct watch **list;
    struct heard *heard; /* of each of the items */
    size_t n, cap;
    char print[SHA256_HEX]; /* of the definitions of its targets and accounts */
};

struct source {
    struct collect *c;
    const struct collector_type *type;
    char id[NAME_LEN];   /* "postgres/orders" */
    char name[NAME_LEN]; /* "pg_activity postgres/orders" */
    struct collector_host host;
    void *self; /* NULL: not open */
    struct set *set, *next_set;
    struct loop_timer *timer, *deadline;
    int64_t interval_ms, due_ms;
    bool polling, ended, wanted;
    bool settled; /* a poll has ended since it was opened */
    struct err result;
    struct health health;
    struct health refusals;    /* of the polls in which it refused a part of what was asked */
    size_t refusing, nrefused; /* series, in this poll, and in the last that ended well */
    struct err refusal;        /* of the first of them */
};

struct collect {
    struct loop *loop;
    struct host_io io;
    struct collect_feed feed;
    struct source **sources;
    size_t nsources;
    struct estate *estate;
    struct watch *wanted; /* the next set of all; opts owned */
    size_t nwanted;
    struct loop_timer *later; /* a turn of its own for the next set: thousands cost as much as the
                                 load that asked for them */
    bool change, apply, turn_wanted, dead;
    void (*changed)(void *arg);
    void *changed_arg;
};

static void turn(void *arg);

static void want_turn(struct collect *c)
{
    if (c->turn_wanted)
        return;
    c->turn_wanted = true;
    loop_defer(c->loop, turn, c);
}

static uint64_t hash_of(const char *text)
{
    uint8_t digest[SHA256_LEN];
    uint64_t v;

    sha256(text, strlen(text), digest);
    memcpy(&v, digest, sizeof(v));
    return v;
}

/* Sets */

static void set_free(struct set *s)
{
    if (!s)
        return;
    for (size_t k = 0; k < s->n; k++)
        json_free((struct json *)(uintptr_t)s->items[k].opts);
    mem_free(s->items);
    mem_free(s->list);
    mem_free(s->heard);
    estate_unref(s->estate);
    mem_free(s);
}

static void print_target(struct sha256 *h, const struct estate *e, const struct target *t)
{
    const char *aws = json_get_str(t->fields, "aws", NULL);
    const struct target *account = aws ? estate_find(e, "aws", aws) : NULL;
    char *text = json_print_canonical(t->fields);

    sha256_add(h, t->id, strlen(t->id) + 1);
    sha256_add(h, text, strlen(text) + 1);
    mem_free(text);
    if (account && account != t)
        print_target(h, e, account);
}

static void set_print(struct set *s, const char *source)
{
    struct sha256 *h = sha256_new();
    const struct target *last = NULL;
    const struct target *account =
        strncmp(source, "aws/", 4) == 0 ? estate_by_id(s->estate, source) : NULL;
    uint8_t digest[SHA256_LEN];

    /* The account behind an "aws/NAME" source; the targets themselves of every other, whose fields
     * say where to connect. */
    if (account) {
        print_target(h, s->estate, account);
    } else {
        for (size_t k = 0; k < s->n; k++)
            if (s->items[k].target != last) {
                last = s->items[k].target;
                print_target(h, s->estate, last);
            }
    }
    sha256_end(h, digest);
    hex_encode(digest, sizeof(digest), s->print);
}

/* Whether the source of a series answers */

static void set_lost(struct source *s, size_t k, const char *why)
{
    struct heard *h = &s->set->heard[k];

    if (why || h->lost)
        s->c->feed.lost(s->c->feed.arg, s->set->items[k].series, why);
    h->lost = why != NULL;
}

/* A poll may fail after some of it was told of: that is not lost. */
static void tell_lost(struct source *s, const char *why)
{
    for (size_t k = 0; k < s->set->n; k++)
        if (!s->set->heard[k].now)
            set_lost(s, k, why);
}

static void tell_found(struct source *s)
{
    for (size_t k = 0; k < s->set->n; k++)
        set_lost(s, k, NULL);
}

static void heard(struct source *s, const struct watch *w)
{
    size_t k = (size_t)(w - s->set->items);

    s->set->heard[k].now = true;
    set_lost(s, k, NULL);
}

/* The calls of a collector */

static void on_sample(const struct collector_host *h, const struct watch *w, int64_t start_wall_ms,
                      int64_t period_ms, double value)
{
    struct source *s = h->arg;

    if (s->c->dead)
        return;
    heard(s, w);
    s->c->feed.sample(s->c->feed.arg, w->series, start_wall_ms, period_ms, value);
}

static void on_note(const struct collector_host *h, const struct watch *w, const char *text)
{
    struct source *s = h->arg;

    if (!s->c->dead)
        s->c->feed.note(s->c->feed.arg, w->series, text);
}

static void on_unknown(const struct collector_host *h, const struct watch *w, const char *why)
{
    struct source *s = h->arg;

    if (s->c->dead)
        return;
    heard(s, w);
    s->c->feed.unknown(s->c->feed.arg, w->series, why);
}

static void on_refused(const struct collector_host *h, const struct watch *w, const char *why)
{
    struct source *s = h->arg;

    if (s->refusing++ == 0)
        err_set(&s->refusal, ERR_INPUT, "sig.%s of %s: %s", w->signal->name, w->target->id, why);
    on_unknown(h, w, why);
}

static void ended(struct source *s, const struct err *e)
{
    if (!s->polling || s->ended)
        return; /* cancelled, or said twice */
    s->ended = true;
    s->result = e ? *e : (struct err)ERR_INIT;
    loop_timer_stop(s->deadline);
    want_turn(s->c);
}

static void on_done(const struct collector_host *h)
{
    ended(h->arg, NULL);
}

static void on_failed(const struct collector_host *h, const struct err *e)
{
    struct err unsaid = ERR_INIT;

    err_set(&unsaid, ERR_IO, "the source did not answer");
    ended(h->arg, e && e->code ? e : &unsaid);
}

/* Polls */

static void next_poll(struct source *s, int64_t after_ms)
{
    s->due_ms = loop_boot_ms(s->c->loop) + after_ms;
    loop_timer_set(s->timer, after_ms);
}

static void failed(struct source *s, const struct err *e)
{
    int64_t most = s->interval_ms > BACKOFF_MAX_MS ? s->interval_ms : BACKOFF_MAX_MS;

    tell_lost(s, e->text);
    health_failed(&s->health, "collect", s->name, loop_boot_ms(s->c->loop), e);
    next_poll(s, health_backoff_ms(&s->health, s->interval_ms, most));
}

static void succeeded(struct source *s)
{
    int64_t now = loop_boot_ms(s->c->loop);
    int64_t late = now - s->due_ms;

    tell_found(s);
    health_ok(&s->health, "collect", s->name, now);
    s->nrefused = s->refusing;
    if (s->nrefused > 0)
        health_failed(&s->refusals, "collect", s->name, now, &s->refusal);
    else
        health_ok(&s->refusals, "collect", s->name, now);
    /* The cadence is kept, and polls that came to lie in the past are left out. */
    next_poll(s, s->interval_ms - (late > 0 ? late % s->interval_ms : 0));
}

static void on_deadline(void *arg)
{
    struct source *s = arg;
    struct err e = ERR_INIT;
    char text[UNIT_TEXT];

    if (!s->polling || s->ended)
        return;
    s->type->cancel(s->self);
    unit_format_duration(text, sizeof(text),
                         s->type->deadline_ms ? s->type->deadline_ms : POLL_DEADLINE_MS);
    err_set(&e, ERR_TIMEOUT, "no answer within %s", text);
    ended(s, &e);
}

static int open_source(struct source *s, struct err *e)
{
    s->self = s->type->open(&s->host, s->set->estate, s->id, e);
    if (!s->self)
        return e->code ? e->code : err_set(e, ERR_IO, "cannot be opened");
    s->type->watch(s->self, s->set->list, s->set->n);
    return 0;
}

static void on_timer(void *arg)
{
    struct source *s = arg;
    struct err e = ERR_INIT;

    if (s->polling)
        return;
    s->polling = true;
    s->ended = false;
    s->refusing = 0;
    for (size_t k = 0; k < s->set->n; k++)
        s->set->heard[k].now = false;
    if (!s->self && open_source(s, &e)) {
        ended(s, &e);
        return;
    }
    loop_timer_set(s->deadline, s->type->deadline_ms ? s->type->deadline_ms : POLL_DEADLINE_MS);
    s->type->poll(s->self);
}

/* Making, changing and ending sources */

static void close_source(struct source *s)
{
    if (s->self) {
        if (s->polling && !s->ended)
            s->type->cancel(s->self);
        s->type->close(s->self);
    }
    s->self = NULL;
    s->polling = s->ended = false;
    loop_timer_stop(s->deadline);
}

static void source_free(struct source *s)
{
    close_source(s);
    if (s->set && !s->c->dead)
        tell_found(s);
    loop_timer_free(s->timer);
    loop_timer_free(s->deadline);
    set_free(s->set);
    set_free(s->next_set);
    mem_free(s);
}

static int64_t shortest(const struct set *set)
{
    int64_t ms = 3600 * 1000LL;

    for (size_t k = 0; k < set->n; k++)
        if (set->items[k].interval_ms > 0 && set->items[k].interval_ms < ms)
            ms = set->items[k].interval_ms;
    return ms < 100 ? 100 : ms;
}

/* Series are wanted in the order of their numbers. */
static bool has_series(const struct set *set, uint64_t series)
{
    size_t low = 0, high = set->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (set->items[mid].series < series)
            low = mid + 1;
        else
            high = mid;
    }
    return low < set->n && set->items[low].series == series;
}

/* Between polls only. */
static void take_set(struct source *s)
{
    struct set *old = s->set, *set = s->next_set;
    bool keep = s->self && strcmp(old->print, set->print) == 0, more = !old;

    s->next_set = NULL;
    if (keep && old->estate != set->estate)
        keep = s->type->migrate && s->type->migrate(s->self, set->estate);
    for (size_t k = 0; old && k < set->n && !more; k++)
        more = !has_series(old, set->items[k].series);
    if (s->self && !keep) {
        close_source(s);
        log_info("collect", "%s: opened anew, its definition changed", s->name);
        s->settled = false;
        more = true;
    }
    if (old)
        tell_found(s); /* what is wanted now is told anew */
    set->heard = mem_calloc(set->n, sizeof(*set->heard));
    s->set = set;
    s->interval_ms = shortest(set);
    if (s->type->pace_ms)
        s->interval_ms = s->type->pace_ms(s->interval_ms);
    if (s->self)
        s->type->watch(s->self, set->list, set->n);
    set_free(old);
    if (more) {
        /* Sources do not all start at once; where each starts is its name's doing, the same at
         * every start. */
        int64_t spread = s->interval_ms / 10 < SPREAD_MAX_MS ? s->interval_ms / 10 : SPREAD_MAX_MS;
        next_poll(s, (int64_t)(hash_of(s->name) % (uint64_t)(spread + 1)));
    } else if (!s->health.failures && s->due_ms > loop_boot_ms(s->c->loop) + s->interval_ms) {
        next_poll(s, s->interval_ms);
    }
}

static struct source *source_of(struct collect *c, const struct collector_type *type,
                                const char *id)
{
    struct source *s;

    for (size_t k = 0; k < c->nsources; k++)
        if (c->sources[k]->type == type && strcmp(c->sources[k]->id, id) == 0)
            return c->sources[k];
    s = mem_alloc(sizeof(*s));
    s->c = c;
    s->type = type;
    snprintf(s->id, sizeof(s->id), "%s", id);
    snprintf(s->name, sizeof(s->name), "%s %.100s", type->name, id);
    s->host = (struct collector_host){&c->io,  on_sample, on_note, on_unknown, on_refused,
                                      on_done, on_failed, s->name, s};
    s->timer = loop_timer_new(c->loop, on_timer, s);
    s->deadline = loop_timer_new(c->loop, on_deadline, s);
    c->sources = mem_realloc(c->sources, (c->nsources + 1) * sizeof(c->sources[0]));
    c->sources[c->nsources++] = s;
    return s;
}

static void add_to_set(struct set *set, struct watch *w)
{
    if (set->n == set->cap) { /* there may be thousands */
        set->cap = set->cap ? set->cap * 2 : 8;
        set->items = mem_realloc(set->items, set->cap * sizeof(set->items[0]));
    }
    set->items[set->n++] = *w;
    w->opts = NULL; /* passed on */
}

/* Series with the same options ask the same. */
static void add_print(char id[NAME_LEN], const struct json *opts)
{
    char *text = json_print_canonical(opts);
    size_t len = strlen(id), room = NAME_LEN - sizeof("#0123456789abcdef");

    snprintf(id + (len < room ? len : room), sizeof("#0123456789abcdef"), "#%016llx",
             (unsigned long long)hash_of(text));
    mem_free(text);
}

static void apply_change(struct collect *c)
{
    c->change = false;
    for (size_t k = 0; k < c->nsources; k++)
        c->sources[k]->wanted = false;
    for (size_t k = 0; k < c->nwanted; k++) {
        struct watch *w = &c->wanted[k];
        const struct collector_type *type = signal_collector(w->signal, w->target, c->estate);
        struct err e = ERR_INIT;
        char id[NAME_LEN];
        struct source *s;

        if (!type)
            continue; /* "clock" and the like: the engine's own */
        if (type->source(w->signal, w->target, c->estate, id, sizeof(id), &e)) {
            c->feed.unknown(c->feed.arg, w->series, e.text);
            continue;
        }
        if (type->alone)
            add_print(id, w->opts);
        s = source_of(c, type, id);
        if (!s->wanted) {
            set_free(s->next_set);
            s->next_set = mem_alloc(sizeof(*s->next_set));
            s->next_set->estate = estate_ref(c->estate);
            s->wanted = true;
        }
        add_to_set(s->next_set, w);
    }
    for (size_t k = 0; k < c->nsources;) {
        struct source *s = c->sources[k];
        if (!s->wanted) {
            source_free(s);
            c->sources[k] = c->sources[--c->nsources];
            continue;
        }
        s->next_set->list = mem_calloc(s->next_set->n, sizeof(s->next_set->list[0]));
        for (size_t n = 0; n < s->next_set->n; n++)
            s->next_set->list[n] = &s->next_set->items[n];
        set_print(s->next_set, s->id);
        if (s->polling && strcmp(s->set->print, s->next_set->print) != 0)
            close_source(s); /* its answer is of no use any more */
        if (!s->polling)
            take_set(s);
        k++;
    }
}

static void drop_wanted(struct collect *c)
{
    for (size_t k = 0; k < c->nwanted; k++)
        json_free((struct json *)(uintptr_t)c->wanted[k].opts);
    mem_free(c->wanted);
    c->wanted = NULL;
    c->nwanted = 0;
}

static void destroy(struct collect *c)
{
    drop_wanted(c);
    if (c->estate)
        estate_unref(c->estate);
    mem_free(c->sources);
    mem_free(c);
}

/* The end of a turn of the loop: outside every callback of a collector. */
static void turn(void *arg)
{
    struct collect *c = arg;
    bool flush = false, changed = c->apply, old = false;

    c->turn_wanted = false;
    if (c->dead) {
        destroy(c);
        return;
    }
    for (size_t k = 0; k < c->nsources; k++) {
        struct source *s = c->sources[k];
        if (!s->polling || !s->ended)
            continue;
        s->polling = s->ended = false;
        s->settled = flush = true;
        if (s->result.code)
            failed(s, &s->result);
        else
            succeeded(s);
        if (s->next_set && !c->change) {
            take_set(s);
            changed = true;
        }
    }
    if (c->apply) {
        c->apply = false;
        apply_change(c);
        drop_wanted(c);
    }
    for (size_t k = 0; k < c->nsources && !old; k++)
        old = c->sources[k]->next_set != NULL;
    if (changed && !old && c->changed)
        c->changed(c->changed_arg);
    if (flush)
        c->feed.flush(c->feed.arg);
}

static void on_later(void *arg)
{
    struct collect *c = arg;

    c->apply = true;
    want_turn(c);
}

struct collect *collect_new(struct loop *l, const struct host_io *io,
                            const struct collect_feed *feed)
{
    struct collect *c = mem_alloc(sizeof(*c));

    c->loop = l;
    c->io = *io;
    c->feed = *feed;
    c->later = loop_timer_new(l, on_later, c);
    return c;
}

void collect_free(struct collect *c)
{
    if (!c)
        return;
    c->dead = true;
    loop_timer_free(c->later);
    for (size_t k = 0; k < c->nsources; k++)
        source_free(c->sources[k]);
    c->nsources = 0;
    if (!c->turn_wanted)
        destroy(c);
}

void collect_watch(struct collect *c, struct estate *estate, struct series *const *series, size_t n)
{
    struct estate *old = c->estate;

    drop_wanted(c);
    c->estate = estate_ref(estate);
    if (old)
        estate_unref(old);
    c->wanted = mem_calloc(n + 1, sizeof(c->wanted[0]));
    for (size_t k = 0; k < n; k++) {
        const struct series *s = series[k];
        /* The target as it is declared today: the series may be older than the last reload. */
        const struct target *t = estate_by_id(estate, s->target->id);
        if (!t) {
            c->feed.unknown(c->feed.arg, s->id, "the target is no longer in the estate");
            continue;
        }
        c->wanted[c->nwanted++] =
            (struct watch){s->signal, t, json_copy(s->opts), s->interval_ms, s->keep_ms, s->id};
    }
    c->change = true;
    loop_timer_set(c->later, 1); /* 0 may be this turn */
}

bool collect_settled(const struct collect *c)
{
    if (c->change)
        return false;
    for (size_t k = 0; k < c->nsources; k++)
        if (!c->sources[k]->settled)
            return false;
    return true;
}

struct json *collect_status(const struct collect *c)
{
    struct json *list = json_new_list();
    int64_t now = loop_boot_ms(c->loop);

    for (size_t k = 0; k < c->nsources; k++) {
        const struct source *s = c->sources[k];
        struct json *row = json_add(list, json_new_map());
        json_set_str(row, "source", s->id);
        json_set_str(row, "collector", s->type->name);
        json_set_int(row, "series", s->set ? (int64_t)s->set->n : 0);
        health_status(&s->health, now, row);
        if (s->nrefused && !s->health.failures) {
            json_set_str(row, "state", "refused");
            json_set_str(row, "error", s->refusal.text);
        }
        json_set_int(row, "refused", (int64_t)s->nrefused);
        if (!s->polling)
            json_set_int(row, "next_ms", s->due_ms > now ? s->due_ms - now : 0);
    }
    return list;
}

void collect_on_change(struct collect *c, void (*fn)(void *arg), void *arg)
{
    c->changed = fn;
    c->changed_arg = arg;
}
