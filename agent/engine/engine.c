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
    e->inst_by_key = map_new();
    e->doubts = json_new_map();
    watched_init(e);
    e->next_ticket = 1;
    e->owed_tail = &e->owed;
    e->fires_cap = (size_t)e->o.storm_episodes + 1;
    e->fires = mem_calloc(e->fires_cap, sizeof(*e->fires));
    return e;
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
    watched_free(e);
    due_free(e);
    map_free(e->inst_by_key);
    standing_free(e);
    for (size_t k = 0; k < e->ntokens; k++) {
        mem_free(e->tokens[k].scope);
        mem_free(e->tokens[k].item);
    }
    silence_free(e);
    while (e->owed) {
        struct owed *o = e->owed;
        e->owed = o->next;
        jtx_free(o->tx);
        mem_free(o);
    }
    json_free(e->no_targets);
    json_free(e->left_out);
    json_free(e->doubts);
    json_free(e->restored_runs);
    json_free(e->restored_episodes);
    policy_set_unref(e->set);
    if (e->estate)
        estate_unref(e->estate);
    mem_free(e->inst);
    mem_free(e->runs);
    mem_free(e->dead);
    mem_free(e->tokens);
    mem_free(e->tickets);
    mem_free(e->fires);
    mem_free(e->frozen_by);
    mem_free(e->frozen_why);
    mem_free(e->host);
    mem_free(e->dashboard);
    mem_free(e);
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

/* In the order in which they were loaded, whatever made them due. */
static void evaluate(struct engine *e, int64_t until_ms)
{
    struct instance **due;
    size_t n = due_take(e, until_ms, &due);

    for (size_t k = 0; k < n; k++)
        instance_eval(due[k]);
    mem_free(due);
}

void engine_flush(struct engine *e)
{
    watched_flush(e);
    evaluate(e, INT64_MIN);
    engine_wake(e);
}

/* Time */

static bool is_over(const struct instance *i)
{
    return i->gone && !i->run &&
           (i->state == EP_QUIET || i->state == EP_RESOLVED || i->state == EP_VANISHED);
}

static void bury(struct engine *e)
{
    size_t kept = 0;

    for (size_t k = 0; k < e->ndead; k++)
        run_free(e->dead[k]);
    e->ndead = 0;
    if (!e->ngone)
        return;
    for (size_t k = 0; k < e->ninst; k++) {
        struct instance *i = e->inst[k];
        if (!is_over(i)) {
            e->inst[kept++] = i;
            continue;
        }
        watched_forget(e, i);
        due_forget(i);
        instance_free(i);
        e->ngone--;
    }
    e->ninst = kept;
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
    if (!e->draining)
        silence_sweep(e);
    evaluate(e, t);
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
    int64_t at = due_next_ms(e);

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
    return map_get(e->inst_by_key, key);
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
    to->told = from->told;
    from->seen = NULL;
    from->told = NULL;
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

/* NULL with *err where the policy cannot apply to the target. */
static struct instance *make_one(struct engine *e, struct policy_set *set, const struct policy *p,
                                 struct estate *estate, const struct target *t, struct err *err)
{
    const struct policy *variant = policy_variant(set, p, t);

    if (!variant) { /* not the base in its place: that may be wider */
        err_set(err, ERR_INPUT,
                "policy %s: the parameters that the environment gives for %s do not fit each "
                "other; correct its NAME@TARGET values",
                p->name, t->id);
        return NULL;
    }
    return instance_new(e, set, variant, estate, t, err);
}

static void leave_out(struct json *out, const struct policy *p, const struct target *t,
                      const struct err *why)
{
    struct json *row = json_add(out, json_new_map());

    json_set_str(row, "policy", p->name);
    json_set_str(row, "target", t->id);
    json_set_str(row, "why", why->text);
}

/* One instance a policy and target that it selects; NULL with *err. What was found is not the
 * policy's fault: where it cannot apply, that target is left out, and all others go on. */
static struct instance **make_all(struct engine *e, struct policy_set *set, struct estate *estate,
                                  size_t *n, struct json *out, struct err *err)
{
    struct instance **made = NULL;
    size_t cap = 0;

    *n = 0;
    for (size_t p = 0; p < set->npolicies; p++) {
        const struct target **targets;
        size_t ntargets = estate_select(estate, &set->policies[p]->target, &targets);
        bool bad = false;

        if (!made || *n + ntargets + 1 > cap) {
            cap = (*n + ntargets + 1) * 2;
            made = mem_realloc(made, cap * sizeof(struct instance *));
        }
        for (size_t t = 0; t < ntargets && !bad; t++) {
            struct err why = ERR_INIT;
            struct instance *i = make_one(e, set, set->policies[p], estate, targets[t], &why);
            if (i) {
                made[(*n)++] = i;
            } else if (targets[t]->found) {
                leave_out(out, set->policies[p], targets[t], &why);
            } else {
                bad = true;
                if (err)
                    *err = why;
            }
        }
        mem_free(targets);
        if (!bad)
            continue;
        for (size_t k = 0; k < *n; k++)
            instance_free(made[k]);
        mem_free(made);
        return NULL;
    }
    return made ? made : mem_calloc(1, sizeof(struct instance *));
}

static void leave(struct instance *i)
{
    i->gone = true;
    i->e->ngone++;
}

/* Those made take the place of those that there were; what has no successor vanishes. */
static void put_in_place(struct engine *e, struct instance **made, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        struct instance *old = instance_find(e, made[k]->key);
        if (old) {
            take_over(made[k], old);
            old->state = EP_QUIET;
            leave(old);
        } else {
            standing_apply(made[k]);
        }
        map_put(e->inst_by_key, made[k]->key, made[k]);
    }
    for (size_t k = 0; k < e->ninst; k++)
        if (!e->inst[k]->gone) {
            leave(e->inst[k]);
            map_remove(e->inst_by_key, e->inst[k]->key);
            instance_vanish(e->inst[k]);
        }
    while (e->ninst + n > e->cinst) {
        e->cinst = e->cinst ? e->cinst * 2 : 64;
        e->inst = mem_realloc(e->inst, e->cinst * sizeof(struct instance *));
    }
    for (size_t k = 0; k < n; k++) {
        made[k]->order = ++e->loaded_order;
        e->inst[e->ninst++] = made[k];
    }
}

int engine_load(struct engine *e, struct policy_set *set, struct estate *estate, struct err *err)
{
    struct instance **made;
    size_t n = 0;
    struct estate *old_estate = e->estate;
    struct json *left_out = json_new_list(), *was = e->left_out;

    e->estate = estate; /* series are made in it */
    made = make_all(e, set, estate, &n, left_out, err);
    if (!made) {
        json_free(left_out);
        e->estate = old_estate;
        return err ? err->code : ERR_INPUT;
    }
    put_in_place(e, made, n);
    mem_free(made);
    e->estate = estate_ref(estate);
    if (old_estate)
        estate_unref(old_estate);
    policy_set_ref(set);
    policy_set_unref(e->set);
    e->set = set;
    watched_unread(e); /* before the instances in it are freed */
    bury(e);
    watched_sweep(e);
    if (!e->loaded) {
        e->loaded_ms = now(e);
        restore_attach(e);
    }
    e->loaded = true;
    e->left_out = left_out;
    report_no_targets(e);
    report_left_out(e, was);
    json_free(was);
    engine_watch(e);
    for (size_t k = 0; k < e->ninst; k++)
        due_mark(e->inst[k]);
    engine_flush(e);
    return 0;
}

void engine_drain(struct engine *e, void (*fn)(void *arg), void *arg)
{
    e->draining = true;
    e->drained = fn;
    e->drained_arg = arg;
    engine_wake(e);
}

enum mode engine_mode(const struct engine *e, enum mode *configured)
{
    *configured = e->o.mode;
    return e->mode;
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
