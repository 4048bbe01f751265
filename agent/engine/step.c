/* The steps of a run: what the script asks is begun, answered, journaled; after a restart the
 * recorded answers are handed back. */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"
#include "plugin/refs.h"

/* A policy without a run function has the ladder. */
const struct script_ops *run_script(const struct run *r)
{
    return r->p->script ? r->p->script : &ladder_ops;
}

static struct bound *check_of(const struct run *r, const char *name)
{
    if (r->cleared && strcmp(name, "cleared") == 0)
        return r->cleared; /* the ladder's own, whatever checks are called */
    for (size_t c = 0; c < r->p->nchecks; c++)
        if (strcmp(r->p->checks[c].name, name) == 0)
            return r->checks[c];
    return NULL;
}

struct answered {
    struct run *r;
    struct json *answer;
};

static void drop_answered(void *p)
{
    json_free(((struct answered *)p)->answer);
}

static void answered(void *arg, const char *denied, const struct err *err)
{
    struct answered *a = arg;

    (void)denied;
    (void)err;
    a->r->busy = false;
    if (!run_over(a->r))
        step_advance(a->r, a->answer);
    json_free(a->answer);
    engine_release(a);
}

void run_answer_tx(struct run *r, struct jtx *tx, struct json *answer, const char *text,
                   struct json *extra)
{
    struct answered *a = engine_hold(r->e, sizeof(*a), drop_answered);
    char *key = step_key(r);
    struct json *d = step_doc(r, "done");

    json_set(d, "result", json_copy(answer));
    json_set_str(d, "text", text);
    if (r->last_act_end_ms)
        json_set_int(d, "last_act_end_ms", r->last_act_end_ms);
    if (extra)
        json_set(d, "detail", extra);
    jtx_put(tx, "step", key, d, false);
    mem_free(key);
    r->step_open = false;
    r->step_until_ms = NEVER;
    run_set_state(r, r->suspended_by ? RUN_SUSPENDED : RUN_RUNNING);
    r->resume_state = RUN_RUNNING;
    jtx_put(tx, "run", r->id, run_doc(r), true);
    a->r = r;
    a->answer = answer;
    r->busy = true;
    commit_owed(r->e, tx, answered, a);
}

void run_answer(struct run *r, struct json *answer, const char *text)
{
    run_answer_tx(r, commit_new(r->e), answer, text, NULL);
}

/* Puts the step that now begins, with its deadline, so that a restart knows how much of it is left
 * (M22). */
static void step_begin(struct run *r, enum run_state s)
{
    struct jtx *tx = commit_new(r->e);
    char *key = step_key(r);
    struct json *d;

    run_set_state(r, s);
    r->step_open = true;
    d = step_doc(r, "begun");
    if (r->ask.signal)
        json_set(d, "signal", json_copy(r->ask.signal));
    jtx_put(tx, "step", key, d, false);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    mem_free(key);
    commit_owed(r->e, tx, NULL, NULL);
}

static void end_shadowed(struct run *r)
{
    run_end(r, OUT_SHADOWED, "it would have gone on from here");
}

static void set_verified(struct run *r, enum tri v)
{
    r->verified = true;
    r->last_verify = v;
    r->unverified = false;
}

/* Ends a verify or a wait with a note of what came of it (M8); hit: the check that became true, or
 * NULL. Owns answer. */
static void answer_told(struct run *r, const char *hit, struct json *answer, const char *text)
{
    struct jtx *tx = commit_new(r->e);
    const char *name = r->t->name;

    run_set_state(r, RUN_RUNNING); /* it no longer waits: what comes next is not this */
    if (r->ask.kind == ASK_VERIFY && hit)
        report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: verified: %s", name, hit);
    else if (r->ask.kind == ASK_VERIFY)
        report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: not verified in time: %s: %s", name,
                   r->ask_name, text);
    else if (r->ask.kind == ASK_WAIT && hit)
        report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: waited for %s: %s", name, r->ask_name,
                   hit);
    else if (r->ask.kind == ASK_WAIT)
        report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: waited in vain for %s", name,
                   r->ask_name);
    run_answer_tx(r, tx, answer, text, NULL);
}

/* verify, wait and holds: the checks are asked until one answers or the deadline passes. */
static void poke_checks(struct run *r)
{
    struct engine *e = r->e;
    char *names = mem_strdup(r->ask_name), *save = NULL;
    enum tri all = TRI_FALSE;
    const char *hit = NULL, *unknown = NULL;
    bool late = r->step_data_ms && r->step_until_ms == r->step_data_ms; /* only data is missing */
    struct buf why;

    buf_init(&why, 2048);
    for (char *n = strtok_r(names, "|", &save); n && !hit; n = strtok_r(NULL, "|", &save)) {
        struct bound *b = check_of(r, n);
        struct answer a = {.value = TRI_UNKNOWN};
        if (b)
            a = bound_eval(b, now(e));
        if (a.value == TRI_TRUE)
            hit = n;
        if (a.value == TRI_UNKNOWN) {
            all = TRI_UNKNOWN;
            unknown = n;
        }
        if (b && a.value != TRI_TRUE) {
            buf_adds(&why, why.len ? "; " : "");
            bound_summary(b, now(e), &why);
        }
    }
    if (hit) {
        engine_trace(e, r->inst, ask_name(r->ask.kind),
                     r->ask.kind == ASK_WAIT ? "%s -> %s" : "%s ok", r->ask_name, hit);
        if (r->ask.kind == ASK_VERIFY) {
            set_verified(r, TRI_TRUE);
        }
        answer_told(r, hit, r->ask.kind == ASK_WAIT ? json_new_str(hit) : json_new_bool(true),
                    "true");
    } else if (r->ask.kind == ASK_HOLDS && all == TRI_FALSE) {
        engine_trace(e, r->inst, "holds", "%s false", r->ask_name);
        run_answer(r, json_new_bool(false), buf_str(&why));
    } else if (now(e) >= r->step_until_ms && all == TRI_UNKNOWN && now(e) < r->step_data_ms) {
        r->step_until_ms = r->step_data_ms; /* it passed while we were away: not blind yet */
    } else if (now(e) >= r->step_until_ms || (late && all != TRI_UNKNOWN)) {
        if (r->ask.kind == ASK_VERIFY) {
            set_verified(r, all);
        }
        if (all == TRI_UNKNOWN) { /* M16 */
            engine_trace(e, r->inst, ask_name(r->ask.kind), "%s blind", r->ask_name);
            run_end(r, OUT_BLIND, "%s %s: still unknown at its deadline (%s)",
                    ask_name(r->ask.kind), unknown ? unknown : r->ask_name, buf_str(&why));
        } else {
            engine_trace(e, r->inst, ask_name(r->ask.kind),
                         r->ask.kind == ASK_WAIT ? "%s -> timeout" : "%s failed", r->ask_name);
            answer_told(r, NULL, json_new_bool(false), buf_str(&why));
        }
    }
    buf_free(&why);
    mem_free(names);
}

static void poke_read(struct run *r)
{
    const struct series *s = r->read_series;
    const struct point *p = s ? series_reading(s, now(r->e)) : NULL;
    struct json *answer = NULL;

    if (p)
        answer = json_new_num(p->value);
    else if (now(r->e) >= r->step_until_ms)
        answer = json_new_null();
    if (!answer)
        return;
    r->read_series = NULL;
    run_answer(r, answer, "read");
}

static void begin_checks(struct run *r, int64_t within_ms)
{
    char *names = mem_strdup(r->ask_name), *save = NULL;
    const char *missing = NULL;

    for (char *n = strtok_r(names, "|", &save); n && !missing; n = strtok_r(NULL, "|", &save)) {
        struct bound *b = check_of(r, n);
        if (!b)
            missing = n;
        else if (r->last_act_end_ms)
            bound_not_before(b, r->last_act_end_ms);
    }
    if (missing)
        run_end(r, OUT_FAILED,
                policy_check(r->p, missing)
                    ? "check %s cannot be read: the estate no longer gives what it names"
                    : "E111 no such check: %s",
                missing);
    mem_free(names);
    if (run_over(r))
        return;
    r->step_until_ms = now(r->e) + within_ms;
    step_begin(r, r->ask.kind == ASK_VERIFY ? RUN_VERIFYING : RUN_WAITING);
    poke_checks(r);
}

static void begin_read(struct run *r)
{
    const struct collector_type *type;
    const struct signal *s = signal_find(json_get_str(r->ask.signal, "signal", ""), &type);
    struct err err = ERR_INIT;
    struct json *opts = refs_resolve(
        json_get(r->ask.signal, "opts"),
        &(struct refs){.target = r->t, .params = r->params, .run_id = r->id, .steps = r->outs},
        &err);

    if (!s) {
        run_end(r, OUT_FAILED, "E102 no such signal: %s",
                json_get_str(r->ask.signal, "signal", "?"));
    } else if (!opts) {
        run_end(r, OUT_FAILED, "E102 r:read: %s", err.text);
    } else {
        r->read_series = engine_series(r->e, s, r->t, opts, 0);
        engine_watch(r->e);
        r->step_until_ms = now(r->e); /* a target that is gone is not read */
        if (r->read_series)
            r->step_until_ms += 2 * r->read_series->interval_ms + r->read_series->lag_ms;
        step_begin(r, RUN_WAITING);
        poke_read(r);
    }
    json_free(opts);
}

static void begin_page(struct run *r)
{
    struct jtx *tx = commit_new(r->e);
    const char *text = r->ask.text ? r->ask.text : "";
    char *said = mem_strdup(text), *why = r->undone ? r->note : NULL;
    char *note = mem_printf("%s%s%s%s", said, why ? " (" : "", why ? why : "", why ? ")" : "");

    r->paged = true;
    mem_free(r->note);
    r->note = note;
    engine_trace(r->e, r->inst, "page", "%s", said);
    report_add(r->e, tx, REPORT_HUMAN, r->inst, r, "%s: %s", r->t->name, note);
    run_answer_tx(r, tx, json_new_bool(true), note, NULL);
    mem_free(said);
}

static bool shadow_stops_here(const struct run *r)
{
    return run_shadow(r) && r->planned;
}

static void dispatch(struct run *r)
{
    enum outcome o;

    if (r->ask.kind != ASK_PAGE && r->ask.kind != ASK_LOG)
        r->undone = false;
    switch (r->ask.kind) {
    case ASK_ACT:
    case ASK_UNDO:
        act_begin(r, r->ask_name, r->ask.kind == ASK_UNDO);
        return;
    case ASK_VERIFY:
    case ASK_WAIT:
    case ASK_HOLDS:
        if (shadow_stops_here(r))
            end_shadowed(r);
        else if (r->ask.kind == ASK_HOLDS) {
            struct bound *b = check_of(r, r->ask_name);
            begin_checks(r, b ? bound_slowest_ms(b) : 0);
        } else
            begin_checks(r, r->ask.within_ms >= 0 ? r->ask.within_ms : r->p->verify_within_ms);
        return;
    case ASK_SLEEP:
        if (shadow_stops_here(r)) {
            end_shadowed(r);
            return;
        }
        r->step_until_ms = now(r->e) + r->ask.within_ms;
        step_begin(r, RUN_WAITING);
        return;
    case ASK_READ:
        if (shadow_stops_here(r))
            end_shadowed(r);
        else
            begin_read(r);
        return;
    case ASK_PAGE:
        begin_page(r);
        return;
    case ASK_LOG:
        engine_trace(r->e, r->inst, "log", "%s", r->ask.text ? r->ask.text : "");
        run_answer(r, json_new_bool(true), r->ask.text);
        return;
    case ASK_END: /* M17 */
        o = r->failed                                    ? OUT_FAILED
            : r->verified && r->last_verify == TRI_FALSE ? OUT_INEFFECTIVE
                                                         : OUT_SUCCEEDED;
        if (run_shadow(r) && r->planned)
            o = OUT_SHADOWED;
        else if (o == OUT_SUCCEEDED && r->denied && !r->acts)
            o = OUT_REFUSED; /* a guard held back all that was asked */
        run_end(r, o, "%s", o == OUT_SUCCEEDED || !r->note ? "" : r->note);
        return;
    case ASK_FAULT:
        run_end(r, OUT_FAILED, "%s", r->ask.text ? r->ask.text : "the policy failed");
        return;
    }
}

/* What a recorded step tells the run, beside its answer. False: it did something, and what is not
 * known; the run has ended. */
static bool recall(struct run *r, const struct json *step)
{
    struct err err = ERR_INIT;
    const struct json *detail = json_get(step, "detail"), *plan = json_get(detail, "plan");
    const struct json *result = json_get(step, "result");

    r->last_act_end_ms = json_get_int(step, "last_act_end_ms", r->last_act_end_ms);
    if (r->ask.kind != ASK_PAGE && r->ask.kind != ASK_LOG)
        r->undone = false;
    switch (r->ask.kind) {
    case ASK_ACT:
    case ASK_UNDO: {
        struct plan *p = plan ? plan_from_json(plan, &err) : NULL;
        r->paged = false;
        if (!p && json_get_bool(detail, "counted", false)) {
            run_end(r, OUT_FAILED,
                    "the plan of step %d cannot be read from the journal: %s. What \"%s %s\" did "
                    "is left as it is",
                    r->step, err.code ? err.text : "it holds none", r->ask_name,
                    json_get_str(plan, "summary", "(no summary)"));
            return false;
        }
        if (p && json_get_bool(detail, "counted", false))
            act_record(r, r->ask_name, p, r->ask.kind == ASK_UNDO);
        if (p && r->ask.kind == ASK_ACT && json_type(result) != JSON_NULL &&
            (json_get_bool(detail, "counted", false) || json_get_bool(detail, "planned", false) ||
             json_get_bool(detail, "empty", false)))
            act_outputs(r, r->ask_name, p->out, json_get(detail, "out"));
        plan_free(p);
        r->failed = r->failed || json_get_bool(detail, "failed", false);
        r->planned = r->planned || json_get_bool(detail, "planned", false);
        r->denied = r->denied || json_get_str(detail, "guard", NULL);
        if (r->ask.kind == ASK_ACT && json_get_bool(detail, "left", false))
            act_count(r, r->ask_name);
        if (json_get_str(step, "text", NULL) && !json_bool(result, false)) {
            mem_free(r->note);
            r->note = mem_strdup(json_get_str(step, "text", ""));
            r->undone = json_type(result) == JSON_BOOL;
        }
        break;
    }
    case ASK_VERIFY:
        set_verified(r, json_bool(result, false) ? TRI_TRUE : TRI_FALSE);
        break;
    case ASK_PAGE:
        r->paged = true;
        mem_free(r->note);
        r->note = mem_strdup(json_get_str(step, "text", ""));
        break;
    default:
        break;
    }
    return true;
}

/* How long the slowest of the step's checks may take to have data after the start. */
static int64_t data_by(const struct run *r)
{
    char *names = mem_strdup(r->ask_name), *save = NULL;
    int64_t slowest_ms = 0;

    for (char *n = strtok_r(names, "|", &save); n; n = strtok_r(NULL, "|", &save)) {
        const struct bound *b = check_of(r, n);
        if (b && bound_slowest_ms(b) > slowest_ms)
            slowest_ms = bound_slowest_ms(b);
    }
    mem_free(names);
    return r->e->loaded_ms + slowest_ms;
}

/* A step that was begun before the restart and is not done. */
static void resume_open(struct run *r, const struct json *step)
{
    switch (r->ask.kind) {
    case ASK_ACT:
    case ASK_UNDO:
        act_resume(r, step);
        return;
    case ASK_VERIFY:
    case ASK_WAIT:
    case ASK_HOLDS:
        run_set_state(r, r->ask.kind == ASK_VERIFY ? RUN_VERIFYING : RUN_WAITING);
        for (size_t c = 0; c < r->p->nchecks; c++)
            if (r->last_act_end_ms && r->checks[c])
                bound_not_before(r->checks[c], r->last_act_end_ms);
        if (r->last_act_end_ms && r->cleared)
            bound_not_before(r->cleared, r->last_act_end_ms);
        r->step_data_ms = data_by(r);
        return; /* poked when data comes, or at the deadline: the steady clock went on while we were
                   away */
    case ASK_SLEEP:
        run_set_state(r, RUN_WAITING);
        return;
    case ASK_READ:
        begin_read(r);
        return;
    default:
        dispatch(r);
        return;
    }
}

static void resume_step(struct run *r, const struct json *step)
{
    r->step_open = true;
    r->step_until_ms = json_get_int(step, "until_ms", NEVER);
    resume_open(r, step);
    if (r->suspended_by && r->state != RUN_IN_DOUBT && !run_over(r)) {
        r->resume_state = r->state;
        run_set_state(r, RUN_SUSPENDED);
    }
}

/* E114: the run is held, and the target with it when a request may have left. */
static void replay_differs(struct run *r, const struct json *recorded)
{
    struct jtx *tx = commit_new(r->e);
    char *doubt = r->unsettled ? doubt_text(r->unsettled) : NULL,
         *order = r->unsettled ? doubt_order(r->unsettled)
                               : mem_printf("The run is held: runbookctl cancel %s", r->id);

    mem_free(r->suspended_by);
    r->suspended_by = mem_strdup("replay");
    run_set_state(r, RUN_SUSPENDED);
    report_add(r->e, tx, REPORT_HUMAN, r->inst, r,
               "%s: E114 replay differs: step %d was %s %s, the policy now asks %s %s. %s%s%s",
               r->t->name, r->step, json_get_str(recorded, "kind", "?"),
               json_get_str(recorded, "name", ""), ask_name(r->ask.kind), r->ask_name,
               doubt ? doubt : "", doubt ? ". " : "", order);
    mem_free(doubt);
    mem_free(order);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    commit_owed(r->e, tx, NULL, NULL);
}

void step_advance(struct run *r, const struct json *answer)
{
    struct json *recorded = NULL;

    for (;;) {
        if (r->cancel_wanted && (size_t)r->step >= r->nreplay) {
            json_free(recorded);
            run_end(r, OUT_CANCELLED, "%s", r->cancel_by);
            return;
        }
        if ((r->suspended_by || r->e->draining) && (size_t)r->step >= r->nreplay) {
            /* The answer is journaled; the script is not asked for more until the run goes on. What
             * is recorded is handed back all the same: what the run owns and what is in doubt does
             * not wait. */
            json_free(r->held);
            r->held = answer ? json_copy(answer) : json_new_null();
            json_free(recorded);
            return;
        }
        run_script(r)->resume(r->script, answer, &r->ask);
        json_free(recorded);
        recorded = NULL;
        mem_free(r->ask_name);
        r->ask_name = mem_strdup(r->ask.name ? r->ask.name : "");
        r->step++;
        r->step_until_ms = NEVER;
        r->step_data_ms = 0;
        if ((size_t)r->step > r->nreplay)
            break;
        recorded = r->replay[r->step - 1];
        r->replay[r->step - 1] = NULL;
        if (!recorded)
            break;
        if (strcmp(json_get_str(recorded, "kind", ""), ask_name(r->ask.kind)) != 0 ||
            strcmp(json_get_str(recorded, "name", ""), r->ask_name) != 0) {
            replay_differs(r, recorded);
            json_free(recorded);
            return;
        }
        if (strcmp(json_get_str(recorded, "state", ""), "done") != 0) {
            resume_step(r, recorded);
            json_free(recorded);
            return;
        }
        if (!recall(r, recorded)) {
            json_free(recorded);
            return;
        }
        answer = json_get(recorded, "result");
    }
    dispatch(r);
}

void step_poke(struct run *r)
{
    struct engine *e = r->e;

    switch (r->ask.kind) {
    case ASK_ACT:
    case ASK_UNDO:
        act_poke(r);
        return;
    case ASK_VERIFY:
    case ASK_WAIT:
    case ASK_HOLDS:
        poke_checks(r);
        return;
    case ASK_SLEEP:
        if (now(e) >= r->step_until_ms) {
            engine_trace(e, r->inst, "sleep", "over");
            run_answer(r, json_new_bool(true), "slept");
        }
        return;
    case ASK_READ:
        poke_read(r);
        return;
    default:
        return;
    }
}
