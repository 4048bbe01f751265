/* A run: run(r) executed step by step, each step journaled, so that a restart goes on where it
 * stopped (M14 to M23). */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"

const char *const run_state_names[] = {"proposed",  "running",   "awaiting_approval", "waiting",
                                       "verifying", "suspended", "in_doubt",          "ended"};
const char *const outcome_names[] = {"none",     "succeeded",  "ineffective", "failed",  "blind",
                                     "shadowed", "superseded", "cancelled",   "expired", "refused"};
static const char *const ask_names[] = {"act",  "undo", "verify", "wait", "holds", "sleep",
                                        "page", "log",  "read",   "end",  "fault"};

const char *ask_name(enum ask_kind k)
{
    return ask_names[k];
}

bool run_over(const struct run *r)
{
    return r->state == RUN_ENDED;
}

/* What binds this run now: the least of the version that it began with and today's (M23). */
static enum mode mode_now(const struct run *r)
{
    enum mode then = effective_mode(r->e, r->p, r->t);
    enum mode today = effective_mode(r->e, r->inst->p, r->inst->t);

    return then < today ? then : today;
}

enum mode run_mode(const struct run *r)
{
    return r->mode_fixed ? r->mode : mode_now(r);
}

bool run_shadow(const struct run *r)
{
    return run_mode(r) <= MODE_SHADOW;
}

void run_fix_mode(struct run *r)
{
    r->mode = run_mode(r);
    r->mode_fixed = true;
}

/* A freeze, or a mode that was lowered below the run's, suspends it (M18, M21). */
bool run_held(struct run *r)
{
    if (is_frozen(r->e))
        run_suspend(r, "freeze");
    else if (r->mode_fixed && mode_now(r) < r->mode)
        run_suspend(r, "mode");
    return r->suspended_by != NULL;
}

/* Of when it began and of today, whichever is sooner (M23). */
int64_t run_deadline_ms(const struct run *r)
{
    int64_t today = r->started_ms + r->inst->p->deadline_ms;

    return today < r->deadline_ms ? today : r->deadline_ms;
}

char *step_key(const struct run *r)
{
    return mem_printf("%s/%03d", r->id, r->step);
}

struct json *run_doc(const struct run *r)
{
    struct json *d = json_new_map();

    json_set_str(d, "id", r->id);
    json_set_str(d, "policy", r->p->name);
    json_set_str(d, "target", r->t->id);
    json_set_str(d, "episode", !r->manual ? r->inst->episode : NULL);
    json_set_str(d, "state", run_state_names[r->state]);
    json_set_str(d, "outcome", r->state == RUN_ENDED ? outcome_names[r->outcome] : NULL);
    json_set_str(d, "mode", r->mode_fixed ? mode_name(r->mode) : NULL);
    json_set_bool(d, "manual", r->manual);
    json_set_str(d, "by", r->by);
    json_set_str(d, "suspended", r->suspended_by);
    json_set_str(d, "source", r->p->source_hash);
    json_set_int(d, "started_ms", r->started_ms);
    json_set_int(d, "started_wall_ms", wall_of(r->e, r->started_ms));
    json_set_int(d, "deadline_ms", r->deadline_ms);
    json_set_int(d, "step", r->step);
    json_set_int(d, "acts", r->acts);
    json_set(d, "target_doc", json_copy(r->target_doc));
    json_set(d, "params", json_copy(r->params));
    json_set_str(d, "note", r->note);
    return d;
}

struct json *step_doc(const struct run *r, const char *state)
{
    struct json *d = json_new_map();

    json_set_str(d, "run", r->id);
    json_set_int(d, "step", r->step);
    json_set_str(d, "kind", ask_name(r->ask.kind));
    json_set_str(d, "name", r->ask_name);
    json_set_int(d, "line", r->ask.line);
    json_set_str(d, "state", state);
    json_set_int(d, "at_ms", now(r->e));
    json_set_int(d, "wall_ms", wall(r->e));
    if (r->step_until_ms != NEVER)
        json_set_int(d, "until_ms", r->step_until_ms);
    if (r->act.deferred_ms) /* or its time would begin anew after a restart (M11) */
        json_set_int(d, "deferred_ms", r->act.deferred_ms);
    return d;
}

/* The one function that changes a run's state. The row is written with the transaction that goes
 * with the change. */
void run_set_state(struct run *r, enum run_state s)
{
    r->state = s;
}

static struct json *target_doc(const struct target *t)
{
    struct json *d = json_new_map();

    json_set_str(d, "name", t->name);
    json_set_str(d, "id", t->id);
    json_set_str(d, "kind", t->kind);
    json_set(d, "tag", t->tag ? json_copy(t->tag) : json_new_map());
    json_set(d, "fields", t->fields ? json_copy(t->fields) : json_new_map());
    return d;
}

static struct run *run_alloc(struct engine *e, struct instance *i)
{
    struct run *r = mem_alloc(sizeof(*r));

    r->e = e;
    r->inst = i;
    r->estate = estate_ref(i->estate);
    r->t = i->t;
    r->last_verify = TRI_UNKNOWN;
    r->history = json_new_list();
    r->outs = json_new_map();
    r->step_until_ms = NEVER;
    r->act.retry_ms = NEVER;
    if (e->nruns == e->cruns) {
        e->cruns = e->cruns ? e->cruns * 2 : 16;
        e->runs = mem_realloc(e->runs, e->cruns * sizeof(*e->runs));
    }
    e->runs[e->nruns++] = r;
    return r;
}

struct run *run_new(struct instance *i, bool manual, const char *by, struct json *params)
{
    struct run *r = run_alloc(i->e, i);

    engine_make_id(i->e, 'R', r->id);
    r->set = policy_set_ref(i->set);
    r->p = i->p;
    r->manual = manual;
    r->by = mem_strdup(by);
    r->started_ms = now(i->e);
    r->deadline_ms = r->started_ms + i->p->deadline_ms;
    r->target_doc = target_doc(i->t);
    r->params = params ? params : params_default(i->p);
    return r;
}

/* The run and the source it begins with, durable before it starts. */
void run_propose(const struct run *r, struct jtx *tx)
{
    const struct policy_loader *l = &r->e->loader;

    jtx_put(tx, "run", r->id, run_doc(r), true);
    jtx_source(tx, r->p->source_hash, l->source ? l->source(l->arg, r->p) : json_new_map());
}

void run_proposed(void *arg, const char *denied, const struct err *err)
{
    struct run *r = arg;

    (void)denied;
    (void)err;
    if (r->state == RUN_PROPOSED)
        run_start(r);
}

void run_free(struct run *r)
{
    act_reset(&r->act);
    if (r->script)
        run_script(r)->free(r->script);
    bound_free(r->cleared);
    for (size_t c = 0; r->checks && c < r->p->nchecks; c++)
        bound_free(r->checks[c]);
    for (size_t k = 0; k < r->nreplay; k++)
        json_free(r->replay[k]);
    for (size_t k = 0; k < r->ndone; k++) {
        mem_free(r->done[k].name);
        plan_free(r->done[k].plan);
    }
    mem_free(r->checks);
    mem_free(r->replay);
    mem_free(r->done);
    mem_free(r->acted);
    mem_free(r->by);
    mem_free(r->suspended_by);
    mem_free(r->cancel_by);
    mem_free(r->ask_name);
    mem_free(r->note);
    json_free(r->unsettled);
    json_free(r->held);
    json_free(r->history);
    json_free(r->target_doc);
    json_free(r->params);
    json_free(r->outs);
    estate_unref(r->estate);
    policy_set_unref(r->set);
    mem_free(r);
}

struct run *run_find(struct engine *e, const char *id)
{
    for (size_t k = 0; k < e->nruns; k++)
        if (!run_over(e->runs[k]) && strcmp(e->runs[k]->id, id) == 0)
            return e->runs[k];
    return NULL; /* one that is over and not yet durably so takes no orders */
}

/* The run's own clocks: its checks count only what came after its acts (M15). */
void run_bind_checks(struct run *r)
{
    struct engine *e = r->e;
    struct bind_context ctx = engine_bind(e, r->estate, r->t, r->params);
    struct err err = ERR_INIT;
    size_t before = e->nseries;

    r->checks = mem_calloc(r->p->nchecks + 1, sizeof(struct bound *));
    for (size_t c = 0; c < r->p->nchecks; c++) {
        r->checks[c] = bound_new(r->p->checks[c].cond, &ctx, &err);
        if (!r->checks[c]) { /* it could be bound when the policy was loaded; the estate of a stored
                                run may have changed since */
            log_error("run", "%s: check %s: %s", r->id, r->p->checks[c].name, err.text);
            continue;
        }
        engine_reads(e, r->inst, r->checks[c]);
        for (size_t k = 0; r->inst->set == r->set && k < r->inst->p->nchecks; k++)
            if (r->inst->checks[k] && strcmp(r->inst->p->checks[k].name, r->p->checks[c].name) == 0)
                bound_adopt(r->checks[c], r->inst->checks[k]);
    }
    if (!r->p->script && r->p->when) {
        r->cleared_kid = r->p->when;
        r->cleared_cond = (struct cond){
            .kind = COND_NONE, .site = r->p->when->site, .kids = &r->cleared_kid, .nkids = 1};
        r->cleared = bound_new(&r->cleared_cond, &ctx, &err);
        engine_reads(e, r->inst, r->cleared);
    }
    if (e->nseries != before)
        engine_watch(e);
}

/* Ending */

static void forget(struct run *r)
{
    struct engine *e = r->e;

    for (size_t k = 0; k < e->nruns; k++)
        if (e->runs[k] == r) {
            memmove(&e->runs[k], &e->runs[k + 1], (e->nruns - k - 1) * sizeof(struct run *));
            e->nruns--;
            break;
        }
    if (e->ndead == e->cdead) {
        e->cdead = e->cdead ? e->cdead * 2 : 8;
        e->dead = mem_realloc(e->dead, e->cdead * sizeof(struct run *));
    }
    e->dead[e->ndead++] = r;
}

static void ended(void *arg, const char *denied, const struct err *err)
{
    struct run *r = arg;

    (void)denied;
    (void)err;
    r->busy = false;
    forget(r);
}

static bool outcome_is_bad(enum outcome o)
{
    return o != OUT_SUCCEEDED && o != OUT_SHADOWED;
}

/* The one report of a run's end: how it ended, what it left, what it holds, and that its breaker
 * opened. */
static char *ended_text(const struct run *r, const char *undos, bool first, bool call, bool opened)
{
    const struct instance *i = r->inst;
    bool left = *undos && (call || r->outcome != OUT_SUCCEEDED);
    struct buf b;

    buf_init(&b, 8192);
    buf_addf(&b, "%s: ", i->t->name);
    if (first)
        buf_addf(&b, "%s; the ", i->seen ? i->seen : i->p->name);
    buf_addf(&b, "run ended %s%s%s%s%s", outcome_names[r->outcome], *r->note ? ": " : "", r->note,
             left ? ". Left as it is: " : "", left ? undos : "");
    if (r->unsettled) {
        char *order = doubt_order(r->unsettled);
        buf_addf(&b, ". %s", order);
        mem_free(order);
    }
    if (opened)
        buf_addf(&b,
                 ". The breaker of policy %s is open after %d bad outcomes in a row: runbookctl "
                 "breaker close %s %s",
                 i->p->name, i->bad, i->p->name, i->t->id);
    return buf_take(&b);
}

void run_end(struct run *r, enum outcome o, const char *fmt, ...)
{
    struct engine *e = r->e;
    struct instance *i = r->inst;
    struct jtx *tx;
    struct buf text;
    char *undos, *told;
    va_list ap;

    if (r->state == RUN_ENDED)
        return;
    buf_init(&text, 4096);
    va_start(ap, fmt);
    buf_addv(&text, fmt, ap);
    va_end(ap);
    if (r->unsettled) {
        char *doubt = doubt_text(r->unsettled);
        buf_addf(&text, ". %s", doubt);
        mem_free(doubt);
    }
    if (r->act.ticket)
        engine_ticket_drop(e, r->act.ticket);
    r->act.ticket = 0;
    undos = act_undos(r);
    tx = commit_new(e);
    if (r->step_open) {
        char *key = step_key(r);
        jtx_put(tx, "step", key, step_doc(r, "abandoned"), false);
        mem_free(key);
        r->step_open = false;
    }
    r->outcome = o;
    run_set_state(r, RUN_ENDED);
    mem_free(r->note);
    r->note = buf_take(&text);
    approval_close(r, tx, "void", NULL);
    act_reset(&r->act);
    jtx_put(tx, "run", r->id, run_doc(r), false);
    if (r->unsettled)
        doubt_leave(e, tx, r->unsettled);
    engine_trace(e, i, "end", "%s%s%s", outcome_names[o], *r->note ? ": " : "", r->note);
    if (i) {
        bool page =
            outcome_is_bad(o) && !run_shadow(r) && o != OUT_CANCELLED && o != OUT_SUPERSEDED;
        /* One thing, one page: who was called since the last act knows of it already (M8). */
        bool first =
            page && !r->paged && !i->triggered && i->p->page == PAGE_ON_FAILURE && !r->manual;
        i->triggered = i->triggered || first; /* before the episode is written */
        bool opened = instance_run_ended(i, r, tx);
        bool call = first || opened || r->unsettled ||
                    (page && !r->paged &&
                     (o == OUT_BLIND || o == OUT_EXPIRED || o == OUT_FAILED || o == OUT_REFUSED));

        told = ended_text(r, undos, first, call, opened);
        report_add(e, tx,
                   first  ? REPORT_TRIGGER
                   : call ? REPORT_HUMAN
                          : REPORT_NOTE,
                   i, r, "%s", told);
        mem_free(told);
    }
    mem_free(undos);
    r->busy = true;
    commit_owed(e, tx, ended, r);
}

/* From the outside */

void run_start(struct run *r)
{
    struct err err = ERR_INIT;

    if (r->script)
        return;
    if (!r->checks)
        run_bind_checks(r);
    r->script = run_script(r)->start(r->p->script ? r->p->script_data : (void *)(uintptr_t)r->p,
                                     r->target_doc, r->params, &err);
    if (!r->script) {
        run_end(r, OUT_FAILED, "%s", err.text);
        return;
    }
    run_set_state(r, RUN_RUNNING);
    if (r->suspended_by) {
        run_set_state(r, RUN_SUSPENDED);
        r->resume_state = RUN_RUNNING;
    } else if (is_frozen(r->e)) {
        run_suspend(r, "freeze");
    }
    step_advance(r, NULL);
}

/* From the journal: doc is the run, steps a list of its steps in order (ownership of the list
 * passes). NULL when it cannot go on: *err says why. */
struct run *run_restore(struct engine *e, const struct json *doc, struct json *steps,
                        struct instance *i, struct err *err)
{
    const char *hash = json_get_str(doc, "source", "");
    struct json *source = NULL;
    struct policy_set *set = NULL;
    const struct policy *p = NULL;
    struct run *r = NULL;
    int mode;

    if (strcmp(i->p->source_hash, hash) == 0) {
        set = policy_set_ref(i->set);
        p = i->p;
    } else {
        source = e->w->journal->ops->source(e->w->journal, hash, err);
        if (!source)
            goto out;
        set = e->loader.load ? e->loader.load(e->loader.arg, source, err) : NULL;
        if (!set)
            goto out;
        p = policy_for(set, json_get_str(doc, "policy", ""), i->t);
        if (!p) {
            err_set(err, ERR_NOT_FOUND, "the stored source %s does not hold policy %s", hash,
                    json_get_str(doc, "policy", "?"));
            goto out;
        }
        if (strcmp(p->source_hash, hash) != 0) {
            err_set(err, ERR_INPUT, "the stored source %s was changed: it has the hash %s now",
                    hash, p->source_hash);
            goto out;
        }
    }
    r = run_alloc(e, i);
    snprintf(r->id, ID_LEN, "%s", json_get_str(doc, "id", ""));
    r->set = policy_set_ref(set);
    r->p = p;
    r->manual = json_get_bool(doc, "manual", false);
    r->by = mem_strdup(json_get_str(doc, "by", NULL));
    r->suspended_by = mem_strdup(json_get_str(doc, "suspended", NULL));
    r->started_ms = json_get_int(doc, "started_ms", now(e));
    r->deadline_ms = json_get_int(doc, "deadline_ms", now(e));
    r->acts = (int)json_get_int(doc, "acts", 0);
    mode = mode_parse(json_get_str(doc, "mode", ""));
    r->mode_fixed = mode >= 0;
    r->mode = mode >= 0 ? (enum mode)mode : MODE_OFF;
    r->target_doc = json_copy(json_get(doc, "target_doc"));
    r->params = json_copy(json_get(doc, "params"));
    r->nreplay = json_len(steps);
    r->replay = mem_calloc(r->nreplay + 1, sizeof(struct json *));
    for (size_t k = 0; k < r->nreplay; k++)
        r->replay[k] = json_copy(json_at(steps, k));
    i->run = r;
out:
    json_free(source);
    json_free(steps);
    policy_set_unref(set);
    return r;
}

void run_suspend(struct run *r, const char *why)
{
    bool before_intent = r->act.stage == ACT_DEFERRED || r->act.stage == ACT_OBSERVING;
    struct jtx *tx;

    if (r->suspended_by || run_over(r))
        return;
    r->suspended_by = mem_strdup(why);
    r->resume_state = r->state;
    tx = commit_new(r->e);
    if (r->act.approved && before_intent) {
        char *key = step_key(r);
        jtx_put(tx, "step", key, step_doc(r, "begun"), false);
        mem_free(key);
    }
    r->act.approved = false;      /* it was given for what was then */
    if (r->state != RUN_IN_DOUBT) /* that is still to be seen, probed and settled */
        run_set_state(r, RUN_SUSPENDED);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    commit_owed(r->e, tx, NULL, NULL);
    engine_trace(r->e, r->inst, "suspend", "%s", why);
}

static void go_on(struct run *r)
{
    struct jtx *tx = commit_new(r->e);
    struct json *held = r->held;

    mem_free(r->suspended_by);
    r->suspended_by = NULL;
    run_set_state(r, r->resume_state == RUN_SUSPENDED ? RUN_RUNNING : r->resume_state);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    commit_owed(r->e, tx, NULL, NULL);
    engine_trace(r->e, r->inst, "resume", "%s", r->id);
    r->held = NULL;
    if (held)
        step_advance(r, held);
    json_free(held);
}

void run_unsuspend(struct run *r, bool by_operator)
{
    if (!r->suspended_by || run_over(r) || r->busy)
        return;
    if (by_operator || (!r->manual && r->inst->when && r->inst->now.value == TRI_TRUE)) {
        go_on(r);
        return;
    }
    /* What an operator started never went by the condition: it waits for an operator (M21, M25).
     * Unknown waits until it is known. */
    if (r->manual || !r->inst->when || r->inst->now.value == TRI_UNKNOWN)
        return;
    if (!act_in_flight(r))
        run_end(r, OUT_CANCELLED, "the condition no longer holds after the %s", r->suspended_by);
}

/* What holds a suspended run is over, and it is known how to go on. */
static void poke_suspended(struct run *r)
{
    if (strcmp(r->suspended_by, "replay") != 0 && !is_frozen(r->e) &&
        (!r->mode_fixed || mode_now(r) >= r->mode))
        run_unsuspend(r, false);
}

void run_poke(struct run *r)
{
    struct engine *e = r->e;

    if (run_over(r) || r->busy || r->state == RUN_PROPOSED || e->draining)
        return;
    if (!act_in_flight(r)) {
        if (r->cancel_wanted) {
            run_end(r, OUT_CANCELLED, "%s", r->cancel_by);
            return;
        }
        if (now(e) >= run_deadline_ms(r)) {
            run_end(r, OUT_EXPIRED, "its deadline passed");
            return;
        }
    }
    if (run_held(r)) {
        if (r->step_open && act_in_flight(r))
            step_poke(r); /* what is in doubt is still asked after: that is no act */
        else
            poke_suspended(r);
        return;
    }
    if (r->step_open)
        step_poke(r);
}

int64_t run_next_ms(const struct run *r)
{
    int64_t at = NEVER, n;

    if (run_over(r) || r->busy || r->state == RUN_PROPOSED)
        return NEVER;
    at = run_deadline_ms(r);
    if (act_in_flight(r) || r->suspended_by)
        return act_in_flight(r) ? act_next_ms(r) : at;
    if (r->step_open && r->step_until_ms < at)
        at = r->step_until_ms;
    n = act_next_ms(r);
    if (n < at)
        at = n;
    if (!r->step_open ||
        (r->ask.kind != ASK_VERIFY && r->ask.kind != ASK_WAIT && r->ask.kind != ASK_HOLDS))
        return at;
    for (size_t c = 0; c <= r->p->nchecks; c++) {
        struct bound *b = c < r->p->nchecks ? r->checks[c] : r->cleared;
        struct answer a = {.again_ms = NEVER};
        if (b)
            a = bound_eval(b, now(r->e));
        if (a.again_ms < at && a.again_ms > now(r->e))
            at = a.again_ms;
    }
    return at;
}

void run_cancel(struct run *r, const char *by)
{
    if (run_over(r) || r->cancel_wanted)
        return;
    r->cancel_wanted = true;
    r->cancel_by = mem_strdup(by);
    if (!act_in_flight(r) && !r->busy)
        run_end(r, OUT_CANCELLED, "%s", by);
}

void run_settle(struct run *r, bool done, const char *by)
{
    char *what = mem_strdup(json_get_str(r->unsettled, "what", "?"));

    json_free(r->unsettled);
    r->unsettled = NULL;
    run_end(r, OUT_CANCELLED, "its replay differs from the journal; \"%s\" was %s: settled by %s",
            what, done ? "done" : "not done", by);
    mem_free(what);
}
