/* The engine's frame: policies and estate in, samples in, time in; instances and runs are poked,
 * the world is told when to wake us. */
#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "base/log.h"
#include "engine/internal.h"

int64_t now(struct engine *e)
{
    return e->w->ops->now_ms(e->w);
}

int64_t wall(struct engine *e)
{
    return e->w->ops->wall_ms(e->w);
}

int64_t wall_of(struct engine *e, int64_t steady_ms)
{
    return wall(e) + (steady_ms - now(e));
}

bool is_frozen(struct engine *e)
{
    return e->frozen || e->file_frozen;
}

void engine_trace(struct engine *e, const struct instance *i, const char *verb, const char *fmt,
                  ...)
{
    va_list ap;
    struct buf text;

    buf_init(&text, 4096);
    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    e->w->ops->trace(e->w, i ? i->p->name : "", i ? i->t->id : "", verb, buf_str(&text));
    buf_free(&text);
}

/* Readable, sortable by time, unique on this host: R20261122T130243Z-4f2a1c. */
void engine_make_id(struct engine *e, char prefix, char out[ID_LEN])
{
    char at[32];
    uint64_t r = e->w->ops->draw(e->w);

    time_format_basic(at, sizeof(at), wall(e));
    snprintf(out, ID_LEN, "%c%s-%06llx", prefix, at, (unsigned long long)(r & 0xffffff));
}

struct engine *engine_new(struct world *w, const struct engine_options *o,
                          const struct policy_loader *loader)
{
    struct engine *e = mem_alloc(sizeof(*e));

    e->w = w;
    e->o = *o;
    if (!e->o.budget.n)
        e->o.budget = (struct rate){20, 3600 * 1000};
    if (!e->o.budget_destructive.n)
        e->o.budget_destructive = (struct rate){5, 3600 * 1000};
    if (!e->o.storm_episodes)
        e->o.storm_episodes = 20;
    if (!e->o.storm_window_ms)
        e->o.storm_window_ms = 5 * 60 * 1000;
    e->host = mem_strdup(o->host ? o->host : "runbookd");
    e->dashboard = mem_strdup(o->dashboard);
    if (loader)
        e->loader = *loader;
    e->mode = o->mode;
    e->next_series = 1;
    e->next_ticket = 1;
    e->owed_tail = &e->owed;
    e->fires_cap = (size_t)e->o.storm_episodes + 1;
    e->fires = mem_calloc(e->fires_cap, sizeof(*e->fires));
    return e;
}

static void free_readers(struct engine *e)
{
    for (size_t s = 0; s < e->creaders; s++)
        mem_free(e->readers[s]);
    mem_free(e->readers);
    mem_free(e->nreaders);
    e->readers = NULL;
    e->nreaders = NULL;
    e->creaders = 0;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    engine_drop_held(e);
    for (size_t k = 0; k < e->nruns; k++)
        run_free(e->runs[k]);
    for (size_t k = 0; k < e->ndead; k++)
        run_free(e->dead[k]);
    for (size_t k = 0; k < e->ninst; k++)
        instance_free(e->inst[k]);
    for (size_t k = 0; k < e->nseries; k++)
        series_free(e->series[k]);
    free_readers(e);
    standing_free(e);
    for (size_t k = 0; k < e->ntokens; k++) {
        mem_free(e->tokens[k].scope);
        mem_free(e->tokens[k].item);
    }
    for (size_t k = 0; k < e->nsilences; k++) {
        mem_free(e->silences[k].policy);
        mem_free(e->silences[k].target);
        mem_free(e->silences[k].by);
        mem_free(e->silences[k].reason);
    }
    while (e->owed) {
        struct owed *o = e->owed;
        e->owed = o->next;
        jtx_free(o->tx);
        mem_free(o);
    }
    json_free(e->no_targets);
    json_free(e->restored_runs);
    json_free(e->restored_episodes);
    policy_set_unref(e->set);
    if (e->estate)
        estate_unref(e->estate);
    mem_free(e->series);
    mem_free(e->inst);
    mem_free(e->runs);
    mem_free(e->dead);
    mem_free(e->tokens);
    mem_free(e->silences);
    mem_free(e->tickets);
    mem_free(e->fires);
    mem_free(e->frozen_by);
    mem_free(e->frozen_why);
    mem_free(e->host);
    mem_free(e->dashboard);
    mem_free(e);
}

/* Series and who reads them */

/* The number of the fleet that a new series belongs to: comparing numbers is what each flush does.
 */
static uint32_t fleet_of(struct engine *e, const struct series *s)
{
    for (size_t k = 0; k < e->nseries; k++)
        if (e->series[k]->signal == s->signal && json_equal(e->series[k]->opts, s->opts))
            return e->series[k]->fleet;
    return ++e->next_fleet;
}

struct series *engine_series(struct engine *e, const struct signal *s, const struct target *of,
                             const struct json *opts, int64_t history_ms)
{
    /* A run may hold the target of an estate before this one: a series lives in today's. */
    const struct target *t = estate_find(e->estate, of->kind, of->name);
    struct series *found = NULL;
    char *key;

    if (!t)
        return NULL;
    key = series_key(s, t, opts);
    for (size_t k = 0; k < e->nseries && !found; k++)
        if (strcmp(e->series[k]->key, key) == 0)
            found = e->series[k];
    if (!found) {
        found = series_new(s, t, e->estate, opts);
        found->id = e->next_series++;
        found->fleet = fleet_of(e, found);
        if (e->nseries == e->cseries) {
            e->cseries = e->cseries ? e->cseries * 2 : 64;
            e->series = mem_realloc(e->series, e->cseries * sizeof(*e->series));
        }
        e->series[e->nseries++] = found;
    } else if (found->estate != e->estate)
        series_rehome(found, t, e->estate);
    if (history_ms > found->keep_ms)
        found->keep_ms = history_ms;
    mem_free(key);
    return found;
}

static struct series *wanted(void *arg, const struct signal *s, const struct target *t,
                             struct json *opts, int64_t history_ms, struct err *err)
{
    struct series *found = engine_series(arg, s, t, opts, history_ms);

    if (!found)
        err_set(err, ERR_NOT_FOUND, "%s is no longer in the estate", t->id);
    return found;
}

static int64_t wall_now(void *arg)
{
    return wall(arg);
}

struct bind_context engine_bind(struct engine *e, struct estate *estate, const struct target *t,
                                struct json *params)
{
    return (struct bind_context){.series = wanted,
                                 .estate = estate,
                                 .target = t,
                                 .params = params,
                                 .wall_ms = wall_now,
                                 .arg = e};
}

/* Where a series of this id stands in e->series; e->nseries: nowhere. */
static size_t index_of(const struct engine *e, uint64_t id)
{
    size_t low = 0, high = e->nseries; /* ids only grow: sorted */

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (e->series[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < e->nseries && e->series[low]->id == id ? low : e->nseries;
}

static struct series *series_by_id(struct engine *e, uint64_t id)
{
    size_t k = index_of(e, id);

    return k < e->nseries ? e->series[k] : NULL;
}

struct reading {
    struct engine *e;
    struct instance *i;
};

static void add_reader(void *arg, struct series *s)
{
    struct reading *r = arg;
    struct engine *e = r->e;
    size_t k = index_of(e, s->id);

    if (k == e->nseries)
        return;
    for (size_t n = 0; n < e->nreaders[k]; n++)
        if (e->readers[k][n] == r->i)
            return;
    e->readers[k] = mem_realloc(e->readers[k], (e->nreaders[k] + 1) * sizeof(*e->readers[k]));
    e->readers[k][e->nreaders[k]++] = r->i;
}

void engine_reads(struct engine *e, struct instance *i, const struct bound *b)
{
    if (!b)
        return;
    if (e->creaders < e->cseries) {
        e->readers = mem_realloc(e->readers, e->cseries * sizeof(*e->readers));
        e->nreaders = mem_realloc(e->nreaders, e->cseries * sizeof(*e->nreaders));
        for (size_t k = e->creaders; k < e->cseries; k++) {
            e->readers[k] = NULL;
            e->nreaders[k] = 0;
        }
        e->creaders = e->cseries;
    }
    bound_each_series(b, add_reader, &(struct reading){e, i});
}

void engine_sample(struct engine *e, uint64_t series, int64_t start_wall_ms, int64_t period_ms,
                   double value)
{
    struct series *s = series_by_id(e, series);
    int64_t start_ms;

    if (!s)
        return; /* a late answer for a series that a reload dropped */
    start_ms = now(e) + (start_wall_ms - wall(e));
    series_add(s, start_ms, period_ms, value, now(e));
    s->dirty = true;
}

void engine_unknown(struct engine *e, uint64_t series, const char *why)
{
    struct series *s = series_by_id(e, series);

    if (!s)
        return;
    series_unknown(s, FINDING_SOURCE, why, now(e));
    s->dirty = true;
}

/* M4: the series of one signal with the same options, one a target, are judged together. */
static void judge_fleets(struct engine *e)
{
    struct series **fleet = NULL;
    uint32_t *judged = NULL;
    size_t njudged = 0;

    for (size_t k = 0; k < e->nseries; k++) {
        size_t n = 0;
        bool before = false;

        if (!e->series[k]->zero_suspicious || !e->series[k]->dirty)
            continue;
        for (size_t m = 0; m < njudged && !before; m++)
            before = judged[m] == e->series[k]->fleet;
        if (before)
            continue;
        if (!fleet) {
            fleet = mem_calloc(e->nseries, sizeof(struct series *));
            judged = mem_calloc(e->nseries, sizeof(*judged));
        }
        judged[njudged++] = e->series[k]->fleet;
        for (size_t m = 0; m < e->nseries; m++)
            if (e->series[m]->fleet == e->series[k]->fleet)
                fleet[n++] = e->series[m];
        series_fleet_zero(fleet, n, now(e));
    }
    mem_free(judged);
    mem_free(fleet);
}

void engine_flush(struct engine *e)
{
    judge_fleets(e);
    for (size_t k = 0; k < e->nseries; k++) {
        if (!e->series[k]->dirty)
            continue;
        e->series[k]->dirty = false;
        for (size_t n = 0; k < e->creaders && n < e->nreaders[k]; n++)
            e->readers[k][n]->dirty = true;
    }
    for (size_t k = 0; k < e->ninst; k++)
        if (e->inst[k]->dirty)
            instance_eval(e->inst[k]);
    engine_wake(e);
}

/* Time */

static void bury(struct engine *e)
{
    for (size_t k = 0; k < e->ndead; k++)
        run_free(e->dead[k]);
    e->ndead = 0;
    for (size_t k = 0; k < e->ninst;) {
        struct instance *i = e->inst[k];
        if (i->gone && !i->run &&
            (i->state == EP_QUIET || i->state == EP_RESOLVED || i->state == EP_VANISHED)) {
            for (size_t s = 0; s < e->creaders; s++)
                for (size_t n = 0; n < e->nreaders[s];)
                    if (e->readers[s][n] == i)
                        e->readers[s][n] = e->readers[s][--e->nreaders[s]];
                    else
                        n++;
            instance_free(i);
            memmove(&e->inst[k], &e->inst[k + 1], (e->ninst - k - 1) * sizeof(e->inst[0]));
            e->ninst--;
        } else {
            k++;
        }
    }
}

void engine_check_freeze_file(struct engine *e)
{
    bool there = e->w->ops->frozen_by_file(e->w);

    if (there && !e->file_frozen) {
        e->file_frozen = true; /* the file only ever freezes (M21): its absence does not unfreeze */
        engine_freeze_now(e, "file", "the freeze file exists");
    }
    e->file_frozen = there;
}

void engine_wake(struct engine *e)
{
    int64_t t = now(e);

    if (e->in_wake)
        return;
    e->in_wake = true;
    engine_check_freeze_file(e);
    if (e->owed && t >= e->owed_again_ms)
        commit_again(e);
    for (size_t k = 0; k < e->ninst; k++)
        if (instance_next_ms(e->inst[k]) <= t)
            instance_eval(e->inst[k]);
    for (size_t k = 0; k < e->nruns; k++)
        run_poke(e->runs[k]);
    bury(e);
    e->in_wake = false;
    engine_schedule(e);
    if (e->draining && e->drained) {
        bool flying = commit_pending(e);
        for (size_t k = 0; k < e->nruns && !flying; k++)
            flying = act_requesting(e->runs[k]) || (e->runs[k]->busy && !e->journal_bad);
        if (!flying) {
            void (*fn)(void *) = e->drained;
            e->drained = NULL;
            fn(e->drained_arg);
        }
    }
}

void engine_schedule(struct engine *e)
{
    int64_t at = NEVER;

    for (size_t k = 0; k < e->ninst; k++) {
        int64_t n = instance_next_ms(e->inst[k]);
        at = n < at ? n : at;
    }
    for (size_t k = 0; k < e->nruns && !e->draining; k++) { /* nobody is poked while it drains */
        int64_t n = run_next_ms(e->runs[k]);
        at = n < at ? n : at;
    }
    if (e->owed && e->owed_again_ms < at)
        at = e->owed_again_ms;
    e->w->ops->wake_at(e->w, at);
}

/* Tickets: what the world was asked to do */

uint64_t engine_ticket(struct engine *e, const struct ticket *t)
{
    if (e->ntickets == e->ctickets) {
        e->ctickets = e->ctickets ? e->ctickets * 2 : 16;
        e->tickets = mem_realloc(e->tickets, e->ctickets * sizeof(*e->tickets));
    }
    e->tickets[e->ntickets] = *t;
    e->tickets[e->ntickets].id = e->next_ticket++;
    return e->tickets[e->ntickets++].id;
}

static bool take_ticket(struct engine *e, uint64_t id, struct ticket *out)
{
    for (size_t k = 0; k < e->ntickets; k++)
        if (e->tickets[k].id == id) {
            *out = e->tickets[k];
            e->tickets[k] = e->tickets[--e->ntickets];
            return true;
        }
    return false; /* cancelled: a late completion */
}

void engine_ticket_drop(struct engine *e, uint64_t id)
{
    struct ticket t;

    if (id && take_ticket(e, id, &t))
        e->w->ops->cancel(e->w, id);
}

void engine_observed(struct engine *e, uint64_t ticket, struct json *seen, const struct err *err)
{
    struct ticket t;

    if (take_ticket(e, ticket, &t) && t.observed)
        t.observed(t.arg, seen, err);
    json_free(seen);
    engine_wake(e);
}

void engine_applied(struct engine *e, uint64_t ticket, enum applied how, struct json *out,
                    const struct err *err)
{
    struct ticket t;

    if (take_ticket(e, ticket, &t) && t.applied)
        t.applied(t.arg, how, out, err);
    json_free(out);
    engine_wake(e);
}

/* Loading */

struct instance *instance_find(struct engine *e, const char *key)
{
    for (size_t k = 0; k < e->ninst; k++)
        if (!e->inst[k]->gone && strcmp(e->inst[k]->key, key) == 0)
            return e->inst[k];
    return NULL;
}

static void take_over(struct instance *to, struct instance *from)
{
    if (to->when && from->when) /* a procedure has none */
        bound_adopt(to->when, from->when);
    for (size_t c = 0; c < to->p->nchecks; c++) {
        const struct declared_check *dc = &to->p->checks[c];
        for (size_t d = 0; d < from->p->nchecks; d++)
            if (to->checks[c] && from->checks[d] && strcmp(dc->name, from->p->checks[d].name) == 0)
                bound_adopt(to->checks[c], from->checks[d]);
    }
    if (to->clear && from->clear)
        bound_adopt(to->clear, from->clear);
    to->state = from->state;
    memcpy(to->episode, from->episode, ID_LEN);
    to->fired_ms = from->fired_ms;
    to->fired_wall_ms = from->fired_wall_ms;
    to->triggered = from->triggered;
    to->verify_failed = from->verify_failed;
    to->seen = from->seen;
    from->seen = NULL;
    to->unknown_since_ms = from->unknown_since_ms;
    to->blind_reported = from->blind_reported;
    to->status_ms = from->status_ms;
    if (!to->p->status_every_ms)
        to->status_ms = NEVER;
    else if (to->status_ms > now(to->e) + to->p->status_every_ms)
        to->status_ms = now(to->e) + to->p->status_every_ms;
    to->last_end_ms = from->last_end_ms;
    to->bad = from->bad;
    to->breaker_open = from->breaker_open;
    to->awaits_run = from->awaits_run;
    to->run = from->run;
    if (to->run)
        to->run->inst = to;
    from->run = NULL;
}

struct marking {
    struct engine *e;
    bool *used; /* an entry a series */
};

static void mark(void *arg, struct series *s)
{
    struct marking *m = arg;
    size_t k = s ? index_of(m->e, s->id) : m->e->nseries;

    if (k < m->e->nseries)
        m->used[k] = true;
}

static void mark_bound(struct marking *m, const struct bound *b)
{
    if (b)
        bound_each_series(b, mark, m);
}

static void sweep_series(struct engine *e)
{
    struct marking m = {e, mem_calloc(e->nseries + 1, sizeof(bool))};
    size_t kept = 0;

    for (size_t n = 0; n < e->ninst; n++) {
        const struct instance *i = e->inst[n];
        mark_bound(&m, i->when);
        mark_bound(&m, i->clear);
        mark_bound(&m, i->window);
        for (size_t c = 0; c < i->p->nchecks; c++)
            mark_bound(&m, i->checks[c]);
        for (size_t a = 0; a < i->p->nactions; a++)
            mark_bound(&m, i->unless[a]);
    }
    for (size_t n = 0; n < e->nruns; n++) {
        struct run *r = e->runs[n];
        mark(&m, r->read_series);
        mark_bound(&m, r->cleared);
        for (size_t c = 0; r->checks && c < r->p->nchecks; c++)
            mark_bound(&m, r->checks[c]);
    }
    for (size_t k = 0; k < e->nseries; k++)
        if (m.used[k])
            e->series[kept++] = e->series[k];
        else
            series_free(e->series[k]);
    e->nseries = kept;
    mem_free(m.used);
}

static void index_readers(struct engine *e)
{
    free_readers(e);
    for (size_t n = 0; n < e->ninst; n++) {
        struct instance *i = e->inst[n];
        engine_reads(e, i, i->when);
        engine_reads(e, i, i->clear);
        engine_reads(e, i, i->window);
        for (size_t c = 0; c < i->p->nchecks; c++)
            engine_reads(e, i, i->checks[c]);
        for (size_t a = 0; a < i->p->nactions; a++)
            engine_reads(e, i, i->unless[a]);
        for (size_t c = 0; i->run && i->run->checks && c < i->run->p->nchecks; c++)
            engine_reads(e, i, i->run->checks[c]);
        if (i->run)
            engine_reads(e, i, i->run->cleared);
    }
}

int engine_load(struct engine *e, struct policy_set *set, struct estate *estate, struct err *err)
{
    struct instance **made = NULL;
    size_t n = 0;
    struct estate *old_estate = e->estate;

    e->estate = estate; /* series are made in it */
    for (size_t p = 0; p < set->npolicies; p++)
        for (size_t t = 0; t < estate_len(estate); t++) {
            const struct target *target = estate_at(estate, t);
            const struct policy *policy = set->policies[p];
            struct instance *i;

            if (!selector_match(&policy->target, target))
                continue;
            policy = policy_for(set, policy->name, target);
            if (!policy) { /* not the base in its place: that may be wider */
                err_set(err, ERR_INPUT,
                        "policy %s: the parameters that the environment gives for %s do not fit "
                        "each other; correct its NAME@TARGET values",
                        set->policies[p]->name, target->id);
                goto fail;
            }
            i = instance_new(e, set, policy, estate, target, err);
            if (!i)
                goto fail;
            made = mem_realloc(made, (n + 1) * sizeof(struct instance *));
            made[n++] = i;
        }
    for (size_t k = 0; k < n; k++) {
        struct instance *old = instance_find(e, made[k]->key);
        if (old) {
            take_over(made[k], old);
            old->state = EP_QUIET;
            old->gone = true;
        } else {
            standing_apply(made[k]);
        }
    }
    for (size_t k = 0; k < e->ninst; k++)
        if (!e->inst[k]->gone) {
            e->inst[k]->gone = true;
            instance_vanish(e->inst[k]);
        }
    while (e->ninst + n > e->cinst) {
        e->cinst = e->cinst ? e->cinst * 2 : 64;
        e->inst = mem_realloc(e->inst, e->cinst * sizeof(struct instance *));
    }
    for (size_t k = 0; k < n; k++)
        e->inst[e->ninst++] = made[k];
    mem_free(made);
    e->estate = estate_ref(estate);
    if (old_estate)
        estate_unref(old_estate);
    policy_set_ref(set);
    policy_set_unref(e->set);
    e->set = set;
    free_readers(e); /* before the instances in it are freed */
    bury(e);
    sweep_series(e);
    index_readers(e);
    if (!e->loaded) {
        e->loaded_ms = now(e);
        restore_attach(e);
    }
    e->loaded = true;
    report_no_targets(e);
    e->w->ops->watch(e->w, e->series, e->nseries);
    for (size_t k = 0; k < e->ninst; k++)
        e->inst[k]->dirty = true;
    engine_flush(e);
    return 0;
fail:
    for (size_t k = 0; k < n; k++)
        instance_free(made[k]);
    mem_free(made);
    e->estate = old_estate;
    return err ? err->code : ERR_INPUT;
}

void engine_drain(struct engine *e, void (*fn)(void *arg), void *arg)
{
    e->draining = true;
    e->drained = fn;
    e->drained_arg = arg;
    engine_wake(e);
}

struct json *engine_counts(const struct engine *e)
{
    struct json *j = json_new_map();

    json_set_int(j, "series", (int64_t)e->nseries);
    json_set_int(j, "instances", (int64_t)e->ninst);
    json_set_int(j, "runs", (int64_t)e->nruns);
    json_set_int(j, "fires", (int64_t)e->fires_total);
    json_set_int(j, "acts", (int64_t)e->acts_total);
    json_set_int(j, "denials", (int64_t)e->denials_total);
    json_set_int(j, "reports", (int64_t)e->reports_total);
    return j;
}
