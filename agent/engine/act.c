/* One act or undo: guards, plan, approval, intent, re-check, effect, outcome; and, after a crash or
 * a lost answer, the probe (the action contract). */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"
#include "plugin/refs.h"

void act_reset(struct act *a)
{
    json_free(a->opts);
    plan_free(a->plan);
    mem_free(a->by);
    mem_free(a->hash);
    mem_free(a->doubt);
    memset(a, 0, sizeof(*a));
    a->retry_ms = NEVER;
}

bool act_in_flight(const struct run *r)
{
    enum act_stage s = r->act.stage;

    return s == ACT_INTENT || s == ACT_RECHECK || s == ACT_APPLYING || s == ACT_PROBING ||
           s == ACT_STUCK;
}

bool act_requesting(const struct run *r)
{
    enum act_stage s = r->act.stage;

    return s == ACT_INTENT || s == ACT_RECHECK || s == ACT_APPLYING;
}

void act_record(struct run *r, const char *name, const struct plan *p, bool undo)
{
    char *line = mem_printf("%s%s: %s", undo ? "undo " : "", name, p->summary ? p->summary : "");

    json_add(r->history, json_new_str(line));
    r->unverified = r->unverified || !undo;
    mem_free(line);
    if (undo) {
        for (size_t k = 0; k < r->ndone;)
            if (strcmp(r->done[k].name, name) == 0) {
                mem_free(r->done[k].name);
                plan_free(r->done[k].plan);
                memmove(&r->done[k], &r->done[k + 1], (r->ndone - k - 1) * sizeof(r->done[0]));
                r->ndone--;
            } else {
                k++;
            }
        return;
    }
    r->done = mem_realloc(r->done, (r->ndone + 1) * sizeof(r->done[0]));
    r->done[r->ndone++] = (struct done_act){mem_strdup(name), plan_copy(p)};
}

struct json *act_detail(const struct run *r, const struct plan *p)
{
    struct json *d = json_new_map();

    if (r->act.opts)
        json_set(d, "opts", json_copy(r->act.opts));
    if (p)
        json_set(d, "plan", plan_to_json(p));
    return d;
}

void act_outputs(struct run *r, const char *name, const struct json *plan_out,
                 const struct json *out)
{
    struct json *map = json_set(r->outs, name, plan_out ? json_copy(plan_out) : json_new_map());

    for (const struct json *o = json_first(out); o; o = json_next(o))
        json_set(map, json_key(o), json_copy(o));
}

/* Requests of an action that left in this run, undone or not: what max_acts bounds. */
void act_count(struct run *r, const char *name)
{
    if (!r->acted)
        r->acted = mem_calloc(r->p->nactions + 1, sizeof(*r->acted));
    for (size_t k = 0; k < r->p->nactions; k++)
        r->acted[k] += strcmp(r->p->actions[k].name, name) == 0;
}

int act_counted(const struct run *r, const char *name)
{
    for (size_t k = 0; r->acted && k < r->p->nactions; k++)
        if (strcmp(r->p->actions[k].name, name) == 0)
            return r->acted[k];
    return 0;
}

char *act_undos(const struct run *r)
{
    struct buf b;

    buf_init(&b, 2048);
    for (size_t k = 0; k < r->ndone; k++)
        if (r->done[k].plan->flags & ACTION_REVERSIBLE)
            buf_addf(&b, "%s%s %s", b.len ? ", " : "", r->done[k].name, r->done[k].plan->summary);
    return buf_take(&b);
}

static void narrow(struct json *opts, const struct json *today, const char *key, int sign)
{
    const struct json *then = json_get(opts, key), *now_ = json_get(today, key);

    if (json_type(now_) == JSON_NUMBER &&
        (json_type(then) != JSON_NUMBER || sign * (json_num(now_, 0) - json_num(then, 0)) < 0))
        json_set(opts, key, json_copy(now_));
}

/* An option that names another action becomes what that one gave in this run. */
static void take_steps(const struct run *r, const struct action_type *type, struct json *opts)
{
    for (size_t k = 0; k < type->noptions; k++) {
        const struct option *o = &type->options[k];
        const char *name = o->type == OPT_STEP ? json_get_str(opts, o->name, NULL) : NULL;
        const struct json *out = name ? json_get(json_get(r->outs, name), o->words) : NULL;

        if (name)
            json_set(opts, o->name, out ? json_copy(out) : json_new_list());
    }
}

/* The options of this act: "$..." resolved; a max or min that today's policy sets narrower than
 * the run's own version wins (M23). */
struct json *act_opts(struct run *r, const struct declared_action *a, struct err *err)
{
    const struct declared_action *today = policy_action(r->inst->p, a->name);
    struct json *opts = refs_resolve(
        a->opts,
        &(struct refs){.target = r->t, .params = r->params, .run_id = r->id, .steps = r->outs},
        err);

    if (opts)
        take_steps(r, a->type, opts);
    if (opts && today && today != a && today->type == a->type) {
        narrow(opts, today->opts, "max", 1);
        narrow(opts, today->opts, "min", -1);
    }
    return opts;
}

void act_input(const struct run *r, struct action_input *in)
{
    *in = (struct action_input){.target = r->t,
                                .estate = r->estate,
                                .opts = r->act.opts,
                                .wall_ms = wall(r->e),
                                .run_id = r->id,
                                .step = r->step,
                                .again = r->act.plan};
    if (r->act.plan && json_len(r->act.plan->names))
        in->within = r->act.plan->names;
}

void act_refuse_tx(struct run *r, struct jtx *tx, const char *guard, const char *why, bool failed)
{
    struct json *detail = act_detail(r, r->act.plan);
    char *text =
        guard ? mem_printf("%s %s denied by %s: %s", r->act.undo ? "undo" : "act", r->ask_name,
                           guard, why)
              : mem_printf("%s %s failed: %s", r->act.undo ? "undo" : "act", r->ask_name, why);

    json_set_str(detail, "guard", guard);
    json_set_str(detail, "why", why);
    json_set_bool(detail, "failed", failed);
    if (guard) {
        struct json *d = json_new_map();
        char *key = step_key(r);
        json_set_str(d, "policy", r->p->name);
        json_set_str(d, "target", r->t->id);
        json_set_str(d, "run", r->id);
        json_set_str(d, "guard", guard);
        json_set_str(d, "why", why);
        json_set_int(d, "at_ms", now(r->e));
        json_set_int(d, "wall_ms", wall(r->e));
        jtx_put(tx, "decision", key, d, false);
        mem_free(key);
        r->e->denials_total++;
        engine_trace(r->e, r->inst, "deny", "%s: %s", guard, why);
    } else {
        engine_trace(r->e, r->inst, r->act.undo ? "undo" : "act", "%s failed: %s", r->ask_name,
                     why);
    }
    r->failed = r->failed || failed;
    r->denied = r->denied || guard;
    r->act.approved = false; /* it is not done */
    r->undone = true;
    mem_free(r->note);
    r->note = mem_strdup(text);
    approval_close(r, tx, "void", NULL);
    report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: %s", r->t->name, text);
    act_reset(&r->act);
    run_answer_tx(r, tx, json_new_bool(false), text, detail);
    mem_free(text);
}

void act_refuse_step(struct run *r, const char *guard, const char *why, bool failed)
{
    act_refuse_tx(r, commit_new(r->e), guard, why, failed);
}

static void put_begun(struct run *r)
{
    struct jtx *tx = commit_new(r->e);
    char *key = step_key(r);

    r->step_open = true;
    run_set_state(r, RUN_RUNNING);
    jtx_put(tx, "step", key, approval_step(r), false);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    mem_free(key);
    commit_owed(r->e, tx, NULL, NULL);
}

static void defer(struct run *r, const char *guard, const char *why)
{
    struct engine *e = r->e;

    if (!r->act.deferred_ms) {
        r->act.deferred_ms = now(e);
        put_begun(r);
        engine_trace(e, r->inst, "defer", "%s: %s", guard, why);
        log_info("guard", "%s: %s deferred by %s: %s", r->id, r->ask_name, guard, why);
    } else if (now(e) - r->act.deferred_ms >= DEFER_MS) {
        struct buf b;
        buf_init(&b, 1024);
        buf_addf(&b, "%s (waited 15m)", why);
        act_refuse_step(r, guard, buf_str(&b), false);
        buf_free(&b);
        return;
    }
    r->act.stage = ACT_DEFERRED;
    r->act.retry_ms = now(e) + DEFER_AGAIN_MS;
    if (!r->act.approved) { /* it is made anew, of whatever there is then */
        plan_free(r->act.plan);
        r->act.plan = NULL;
    }
    run_set_state(r, RUN_RUNNING);
}

/* What it was to mend ended by itself while it waited for another run, a cooldown or a human: no
 * failure, and nobody is called. The data guard denies a known "false" to a run's first act, and to
 * one that was asked for while it was true. */
static bool passed_by(const struct run *r, const char *guard)
{
    return (r->act.deferred_ms != 0 || r->act.approved) && strcmp(guard, "data") == 0 &&
           r->inst->now.value == TRI_FALSE;
}

static bool ask_guards(struct run *r, bool planned)
{
    struct guard_input in;
    const char *guard = NULL;
    struct buf why;
    enum verdict_kind v;

    buf_init(&why, 2048);
    guard_input_of(r, &in);
    v = guard_ask(&in, planned, &guard, &why);
    if (v == GUARD_DENY && passed_by(r, guard))
        run_end(r, OUT_CANCELLED, "it ended while the run waited: %s", buf_str(&why));
    else if (v == GUARD_DENY)
        act_refuse_step(r, guard, buf_str(&why), false);
    else if (v == GUARD_DEFER)
        defer(r, guard, buf_str(&why));
    buf_free(&why);
    return v == GUARD_ALLOW;
}

static void try_guards(struct run *r)
{
    engine_check_freeze_file(r->e);
    run_fix_mode(r); /* M18 */
    if (run_held(r)) {
        r->act.stage = ACT_DEFERRED;
        r->act.retry_ms = now(r->e);
        return;
    }
    r->act.retry_ms = NEVER;
    if (ask_guards(r, false))
        act_observe(r, ACT_OBSERVING);
}

/* step: as the journal has it, NULL for one that begins. */
static bool prepare(struct run *r, const char *name, bool undo, const struct json *step)
{
    struct err err = ERR_INIT;

    act_reset(&r->act);
    r->act.undo = undo;
    r->act.hash = mem_strdup(json_get_str(step, "asked", NULL));
    r->act.until_ms = json_get_int(step, "asked_until_ms", 0);
    r->act.asked = r->act.hash != NULL;
    r->act.for_when = json_get_bool(step, "asked_for_when", false);
    r->act.deferred_ms = json_get_int(step, "deferred_ms", 0);
    r->act.action = policy_action(r->p, name);
    if (!r->act.action) {
        run_end(r, OUT_FAILED, "E111 no such action: %s", name);
        return false;
    }
    r->act.opts = act_opts(r, r->act.action, &err);
    if (!r->act.opts && run_shadow(r) && r->planned) {
        /* What only a real act would have given is not there (M18). */
        run_end(r, OUT_SHADOWED, "it would have gone on from here");
        return false;
    }
    if (!r->act.opts) {
        err_wrap(&err, "E102");
        if (doubt_may_have_left(step)) { /* it is not forgotten with its options */
            r->act.doubt = mem_strdup(err.text);
            return true;
        }
        act_refuse_step(r, NULL, err.text, true);
        return false;
    }
    return true;
}

void act_begin(struct run *r, const char *name, bool undo)
{
    bool any = false;

    r->step_open = true;
    r->paged = false; /* whatever comes of this is news */
    if (!prepare(r, name, undo, NULL))
        return;
    for (size_t k = 0; k < r->ndone && !any; k++)
        any = strcmp(r->done[k].name, name) == 0;
    if (undo && !any) {
        act_reset(&r->act);
        run_answer(r, json_new_bool(true), "nothing to undo");
        return;
    }
    if (undo && !r->act.action->type->undo) {
        act_refuse_step(r, NULL, "E112 cannot be undone", true);
        return;
    }
    put_begun(r);
    try_guards(r);
}

/* Observing and planning */

static const struct plan *first_of(const struct run *r, const char *name)
{
    for (size_t k = 0; k < r->ndone; k++)
        if (strcmp(r->done[k].name, name) == 0)
            return r->done[k].plan;
    return NULL;
}

static const struct plan *last_of(const struct run *r, const char *name)
{
    for (size_t k = r->ndone; k-- > 0;)
        if (strcmp(r->done[k].name, name) == 0)
            return r->done[k].plan;
    return NULL;
}

struct plan *act_make_plan(struct run *r, const struct json *seen, struct err *err)
{
    struct action_input in;
    const struct action_type *type = r->act.action->type;

    act_input(r, &in);
    if (r->act.undo)
        return type->undo(&in, first_of(r, r->ask_name), last_of(r, r->ask_name), seen, err);
    return type->plan(&in, seen, err);
}

static void planned(struct run *r);

static void on_observed(void *arg, struct json *seen, const struct err *err)
{
    struct run *r = arg;
    struct err e2 = ERR_INIT;
    struct plan *p;

    r->act.ticket = 0;
    if (r->act.stage == ACT_PROBING) {
        effect_probed(r, seen, err);
        return;
    }
    if (r->suspended_by && r->act.stage == ACT_OBSERVING) {
        r->act.stage = ACT_DEFERRED; /* asked again when the run goes on */
        r->act.retry_ms = 0;
        return;
    }
    p = err && err->code ? NULL : act_make_plan(r, seen, &e2);
    if (!p) {
        const char *why = err && err->code ? err->text : e2.text;
        bool denied = !(err && err->code) && e2.code == ERR_DENIED;
        if (r->act.stage == ACT_RECHECK)
            effect_settle(r, APPLIED_NOT_SENT, NULL, why);
        else
            act_refuse_step(r, denied ? "preconditions" : NULL, why, !denied);
        return;
    }
    if (r->act.stage == ACT_RECHECK) {
        effect_rechecked(r, p);
        plan_free(p);
        return;
    }
    if (r->act.approved) { /* M24: an approval is used on the same plan, or on less of it; anything
                              else asks once more */
        if (!plan_same_or_less(r->act.plan, p)) {
            r->act.approved = false;
            mem_free(r->act.hash);
            r->act.hash = NULL;
            if (r->act.asked_again) {
                plan_free(p);
                act_refuse_step(r, "approval", "the plan changed again after it was approved",
                                false);
                return;
            }
            r->act.asked_again = true;
        }
    }
    plan_free(r->act.plan);
    r->act.plan = p;
    planned(r);
}

void act_observe(struct run *r, enum act_stage stage)
{
    struct ticket t = {0, on_observed, NULL, r};
    struct world_step s = {0,           r->act.action->type, r->t, r->estate,
                           r->act.opts, r->act.plan,         NULL, NULL,
                           30 * 1000,   r->act.action->name};

    if (r->act.action->timeout_ms && r->act.action->timeout_ms < s.deadline_ms)
        s.deadline_ms = r->act.action->timeout_ms;
    if (stage == ACT_OBSERVING) /* the re-check is of the world: it keeps the reading */
        reading_take(r->e, r->inst, r->act.action, r->act.opts);
    r->act.stage = stage;
    r->act.retry_ms = NEVER;
    s.ticket = r->act.ticket = engine_ticket(r->e, &t);
    r->e->w->ops->observe(r->e->w, &s);
}

static void finish_empty(struct run *r)
{
    struct jtx *tx = commit_new(r->e);
    struct json *detail = act_detail(r, r->act.plan);
    char *text = mem_printf("%s: nothing to do: %s", r->ask_name,
                            r->act.plan->summary ? r->act.plan->summary : "");

    json_set_bool(detail, "empty", true);
    r->act.approved = false;
    approval_close(r, tx, "void", NULL);
    engine_trace(r->e, r->inst, r->act.undo ? "undo" : "act", "%s nothing to do", r->ask_name);
    report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: %s", r->t->name, text);
    r->last_act_end_ms = now(r->e);
    if (!r->act.undo)
        act_outputs(r, r->ask_name, r->act.plan->out, NULL);
    act_reset(&r->act);
    /* A run function hears of a success; the ladder, that this rung was none (M14). */
    run_answer_tx(r, tx, r->p->script ? json_new_bool(true) : json_new_str("empty"), text, detail);
    mem_free(text);
}

static void planned(struct run *r)
{
    struct guard_input in;

    if (r->act.plan->empty) {
        finish_empty(r);
        return;
    }
    /* A human took their time: what was allowed then is asked again. */
    if ((r->act.approved && !ask_guards(r, false)) || !ask_guards(r, true))
        return;
    guard_input_of(r, &in);
    if (guard_needs_approval(&in) && !r->act.approved) {
        approval_ask(r);
        return;
    }
    r->act.call = 0;
    effect_intend(r);
}

/* After a restart */

void act_resume(struct run *r, const struct json *step)
{
    struct err err = ERR_INIT;
    char *why;

    if (!prepare(r, r->ask_name, r->ask.kind == ASK_UNDO, step))
        return;
    if (!doubt_may_have_left(step)) {
        r->act.stage =
            ACT_DEFERRED; /* nothing was intended yet: the guards are asked from the start */
        r->act.retry_ms = now(r->e);
        approval_take_up(r, step);
        return;
    }
    r->act.plan = plan_from_json(json_get(step, "plan"), &err);
    r->act.call = (size_t)json_get_int(step, "call", 0);
    r->act.intended_ms = json_get_int(step, "at_ms", now(r->e));
    r->act.by = mem_strdup(json_get_str(step, "by", NULL));
    snprintf(r->act.token, sizeof(r->act.token), "%s", json_get_str(step, "token", ""));
    r->acts++;
    if (!r->act.plan) {
        run_end(r, OUT_FAILED, "the plan of step %d cannot be read from the journal: %s", r->step,
                err.text);
        return;
    }
    json_free(r->unsettled);
    r->unsettled = NULL;
    why = mem_printf("the agent stopped between intent and outcome%s%s", r->act.doubt ? "; " : "",
                     r->act.doubt ? r->act.doubt : "");
    effect_doubt(r, why);
    mem_free(why);
}

void act_poke(struct run *r)
{
    struct act *a = &r->act;
    struct engine *e = r->e;

    if (a->stage == ACT_DEFERRED && now(e) >= a->retry_ms)
        try_guards(r);
    else if (a->stage == ACT_PROBING && !a->ticket && now(e) >= a->retry_ms)
        act_observe(r, ACT_PROBING);
    else if (a->stage == ACT_APPROVAL && now(e) >= a->until_ms)
        approval_refuse(r, "expired", NULL, "nobody approved in time");
}

int64_t act_next_ms(const struct run *r)
{
    switch (r->act.stage) {
    case ACT_DEFERRED:
        return r->act.retry_ms;
    case ACT_PROBING:
        return r->act.ticket ? NEVER : r->act.retry_ms;
    case ACT_APPROVAL:
        return r->act.until_ms;
    default:
        return NEVER;
    }
}

void act_settle(struct run *r, bool done, const char *by)
{
    char *why = mem_printf("settled by %s", by);

    engine_ticket_drop(r->e, r->act.ticket);
    r->act.ticket = 0;
    effect_settle(r, done ? APPLIED_OK : APPLIED_REFUSED, NULL, why);
    mem_free(why);
}
