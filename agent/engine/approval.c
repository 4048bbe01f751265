/* A human's word on one act (M24): the question, its page, the answer, and what became of it. */
#include <string.h>
#include "engine/internal.h"

/* What became of the approval that was asked for. */
void approval_put(const struct run *r, struct jtx *tx, const char *state, const char *by)
{
    struct json *d = json_new_map();
    char *key = step_key(r);

    json_set_str(d, "run", r->id);
    json_set_str(d, "state", state);
    json_set_str(d, "hash", r->act.hash);
    json_set_str(d, "by", by);
    jtx_put(tx, "approval", key, d, false);
    mem_free(key);
}

void approval_close(struct run *r, struct jtx *tx, const char *state, const char *by)
{
    if (!r->act.asked)
        return;
    r->act.asked = false;
    approval_put(r, tx, state, by);
    report_add(r->e, tx, REPORT_ANSWERED, r->inst, r, "%s: %s: %s%s%s", r->t->name, r->ask_name,
               strcmp(state, "void") == 0 ? "no approval is wanted any more" : state,
               by ? " by " : "", by ? by : "");
}

struct json *approval_step(const struct run *r)
{
    struct json *step = step_doc(r, "begun");

    if (r->act.approved) {
        json_set_str(step, "approved_by", r->act.by);
        json_set_int(step, "approved_until_ms", r->act.until_ms);
        json_set(step, "plan", plan_to_json(r->act.plan));
    } else if (r->act.asked) {
        json_set_str(step, "asked", r->act.hash);
        json_set_int(step, "asked_until_ms", r->act.until_ms);
    }
    if (r->act.approved || r->act.asked)
        json_set_bool(step, "asked_for_when", r->act.for_when);
    return step;
}

static void put_question(struct run *r)
{
    struct engine *e = r->e;
    struct jtx *tx = commit_new(e);
    struct json *d = json_new_map();
    char *key = step_key(r), ttl[32];

    r->act.until_ms = now(e) + r->act.action->approval_ttl_ms;
    approval_close(r, tx, "void", NULL); /* the plan is another by now */
    r->act.asked = true;
    r->act.for_when = !r->manual && !r->act.undo && r->inst->now.value == TRI_TRUE;
    json_set_str(d, "run", r->id);
    json_set_int(d, "step", r->step);
    json_set_str(d, "policy", r->p->name);
    json_set_str(d, "target", r->t->id);
    json_set_str(d, "action", r->ask_name);
    json_set_str(d, "state", "asked");
    json_set_str(d, "hash", r->act.hash);
    json_set_str(d, "approvers", r->act.action->approvers);
    json_set_int(d, "until_ms", r->act.until_ms);
    json_set(d, "plan", plan_to_json(r->act.plan));
    jtx_put(tx, "approval", key, d, true);
    jtx_put(tx, "step", key, approval_step(r), false);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    unit_format_duration(ttl, sizeof(ttl), r->act.action->approval_ttl_ms);
    report_add(e, tx, REPORT_ASK, r->inst, r,
               "%s: approval wanted within %s: %s %s. runbookctl approve %s --hash %.12s",
               r->t->name, ttl, r->ask_name, r->act.plan->summary, r->id, r->act.hash);
    engine_trace(e, r->inst, "approval", "wanted: %s %s", r->ask_name, r->act.plan->summary);
    mem_free(key);
    commit_owed(e, tx, NULL, NULL);
}

/* Asks a human: the plan, its hash, and how to answer. Whoever was asked for the same before a
 * restart is not asked again, nor given more time. */
void approval_ask(struct run *r)
{
    char *before = r->act.hash;
    bool same;

    r->act.hash = plan_hash(r->act.plan, r->act.action->type->name, r->t->id);
    same = r->act.asked && strcmp(before, r->act.hash) == 0;
    mem_free(before);
    r->act.stage = ACT_APPROVAL;
    run_set_state(r, RUN_AWAITING_APPROVAL);
    if (!same)
        put_question(r);
}

/* The answer and the end of the step that asked are one: a no is not asked for twice. */
void approval_refuse(struct run *r, const char *state, const char *by, const char *why)
{
    struct jtx *tx = commit_new(r->e);

    run_set_state(r, RUN_RUNNING); /* it no longer waits: what comes next is not this */
    approval_close(r, tx, state, by);
    act_refuse_tx(r, tx, "approval", why, false);
}

/* With the plan that it is for and until when, so that it holds over a crash, and no longer. The
 * caller commits tx. */
void approval_give(struct run *r, struct jtx *tx, const char *by)
{
    char *key = step_key(r);

    run_set_state(r, RUN_RUNNING);
    r->act.approved = true;
    r->act.deferred_ms = 0;
    mem_free(r->act.by);
    r->act.by = mem_strdup(by);
    approval_close(r, tx, "approved", by);
    jtx_put(tx, "step", key, approval_step(r), false);
    mem_free(key);
    engine_trace(r->e, r->inst, "approved", "by %s", by);
    /* Time has passed: all guards are asked again, then the plan is made again (M24). */
    r->act.stage = ACT_DEFERRED;
    r->act.retry_ms = now(r->e);
}

void approval_deny(struct run *r, const char *by)
{
    char *why = mem_printf("denied by %s", by);

    approval_refuse(r, "denied", by, why);
    mem_free(why);
}

/* After a restart: a yes that was written holds for its plan and its time. */
void approval_take_up(struct run *r, const struct json *step)
{
    struct err err = ERR_INIT;
    const char *by = json_get_str(step, "approved_by", NULL);

    if (!by || json_get_int(step, "approved_until_ms", 0) <= now(r->e))
        return;
    r->act.plan = plan_from_json(json_get(step, "plan"), &err);
    if (!r->act.plan)
        return;
    r->act.hash = plan_hash(r->act.plan, r->act.action->type->name, r->t->id);
    r->act.by = mem_strdup(by);
    r->act.until_ms = json_get_int(step, "approved_until_ms", 0);
    r->act.approved = true;
}
