/* From the intent to the outcome: what is about to happen is durable first, the preconditions are
 * read again, the request leaves, and how it ended is settled, by its answer or by the probe. */
#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "engine/internal.h"

/* Intent */

static char *intent_item(const struct run *r)
{
    return mem_printf("%s/%03d/%zu", r->id, r->step, r->act.call);
}

static void supersede_others(struct run *r)
{
    struct writing w;

    writing_init(&w, r->act.action->type, r->t, r->estate);
    for (size_t k = 0; k < r->e->nruns; k++) {
        struct run *other = r->e->runs[k];

        if (other != r && !run_over(other) && !run_shadow(other) && run_owns(other, &w))
            run_end(other, OUT_SUPERSEDED, "run %s of policy %s took over; its undo is dropped",
                    r->id, r->p->name);
    }
    writing_free(&w);
}

static void finish_planned(struct run *r)
{
    struct jtx *tx = commit_new(r->e);
    struct json *detail = act_detail(r, r->act.plan);
    char *text = mem_printf("would %s %s: %s", r->act.undo ? "undo" : "act", r->ask_name,
                            r->act.plan->summary);

    json_set_bool(detail, "planned", true);
    json_set_bool(detail, "left", true);
    approval_close(r, tx, "void", NULL);
    if (!r->act.undo) {
        act_count(r, r->ask_name);
        act_outputs(r, r->ask_name, r->act.plan->out, NULL);
    }
    r->planned = true;
    engine_trace(r->e, r->inst, r->act.undo ? "undo" : "act", "%s %s shadow", r->ask_name,
                 r->act.plan->summary);
    report_add(r->e, tx, REPORT_NOTE, r->inst, r, "%s: %s", r->t->name, text);
    r->last_act_end_ms = now(r->e);
    act_reset(&r->act);
    run_answer_tx(r, tx, json_new_bool(true), text, detail);
    mem_free(text);
}

static void apply(struct run *r);

/* The last moment before a request leaves. */
static bool held_back(struct run *r)
{
    engine_check_freeze_file(r->e);
    return run_held(r) || r->cancel_wanted;
}

/* The request did not leave, and nobody is to blame: a first one is as if it had not been intended,
 * the guards are asked again when the run goes on; a later one ends the act half done (M20). */
static void withdraw(struct run *r)
{
    struct jtx *tx;
    struct guard_input in;
    char *key, *item;

    if (r->act.call > 0) {
        effect_settle(r, APPLIED_NOT_SENT, NULL, "held back between two requests");
        return;
    }
    tx = commit_new(r->e);
    key = step_key(r);
    item = intent_item(r);
    guard_input_of(r, &in);
    guard_give_back(&in, tx, item);
    r->act.approved = false; /* it was used */
    r->act.deferred_ms = 0;
    jtx_put(tx, "step", key, step_doc(r, "begun"), false);
    commit_owed(r->e, tx, NULL, NULL);
    mem_free(item);
    mem_free(key);
    engine_trace(r->e, r->inst, "withdraw", "%s %s", r->ask_name, r->act.plan->summary);
    plan_free(r->act.plan);
    r->act.plan = NULL;
    r->act.stage = ACT_DEFERRED;
    r->act.retry_ms = now(r->e);
}

/* Two runs may ask for the last token at once: the journal decides, the guards then say why. */
static void refuse_intent(struct run *r, const struct guard_input *in, const char *denied,
                          const struct err *err)
{
    const char *guard = NULL;
    struct buf why;

    buf_init(&why, 1024);
    if (r->act.call > 0) /* some of it is done */
        effect_settle(r, APPLIED_NOT_SENT, NULL,
                      err->code == ERR_DENIED && guard_ask(in, true, &guard, &why) == GUARD_DENY
                          ? buf_str(&why)
                          : err->text);
    else if (err->code != ERR_DENIED)
        act_refuse_step(r, "journal", err->text, true);
    else if (guard_ask(in, false, &guard, &why) == GUARD_ALLOW)
        act_refuse_step(r, "rate", denied ? denied : err->text, false);
    else
        act_refuse_step(r, guard, buf_str(&why), false);
    buf_free(&why);
}

static void on_intent(void *arg, const char *denied, const struct err *err)
{
    struct run *r = arg;
    struct guard_input in;
    char *item = intent_item(r);

    r->busy = false;
    guard_input_of(r, &in);
    if (err && err->code) {
        refuse_intent(r, &in, denied, err);
    } else {
        guard_took(&in, item);
        if (run_shadow(r)) {
            finish_planned(r);
        } else if (held_back(r)) {
            withdraw(r);
        } else if (r->act.call == 0) {
            act_observe(r,
                        ACT_RECHECK); /* the preconditions are read again after the intent: nothing
                                         stands between them and the effect but the request */
        } else {
            apply(r);
        }
    }
    mem_free(item);
}

/* What is known of a request that may leave or may have left. */
static void put_request(const struct run *r, struct json *step)
{
    char *resource = action_resource(r->act.action->type, r->t, r->estate);

    json_set(step, "plan", plan_to_json(r->act.plan));
    json_set_int(step, "call", (int64_t)r->act.call);
    json_set_str(step, "token", r->act.token);
    json_set_bool(step, "undo", r->act.undo);
    json_set_str(step, "resource", resource); /* held, should the rest not be readable any more */
    mem_free(resource);
}

void effect_intend(struct run *r)
{
    struct engine *e = r->e;
    struct jtx *tx = commit_new(e);
    struct guard_input in;
    struct json *d;
    char *key = step_key(r), *item = intent_item(r), digest[SHA256_HEX];

    guard_input_of(r, &in);
    if (!run_shadow(r) && r->act.call == 0)
        supersede_others(r);
    sha256_hex(item, strlen(item), digest);
    memcpy(r->act.token, digest, 32);
    r->act.token[32] = 0;
    r->act.stage = ACT_INTENT;
    if (r->act.call == 0)
        r->act.intended_ms = now(e);
    run_set_state(r, RUN_RUNNING);
    d = step_doc(r, run_shadow(r) ? "planned" : "intent");
    put_request(r, d);
    json_set_str(d, "by", r->act.by);
    jtx_put(tx, "step", key, d, false);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    approval_close(r, tx, "void", NULL); /* meanwhile none is needed */
    if (r->act.approved)
        approval_put(r, tx, "used", r->act.by);
    guard_take(&in, tx, item);
    mem_free(item);
    mem_free(key);
    r->busy = true;
    commit_intent(e, tx, on_intent, r);
}

/* Effect */

static void on_applied(void *arg, enum applied how, struct json *out, const struct err *err)
{
    struct run *r = arg;

    r->act.ticket = 0;
    effect_settle(r, how, out, err && err->code ? err->text : NULL);
}

static void apply(struct run *r)
{
    struct ticket t = {0, NULL, on_applied, r};
    struct world_step s = {0,
                           r->act.action->type,
                           r->t,
                           r->estate,
                           r->act.opts,
                           r->act.plan,
                           json_at(r->act.plan->calls, r->act.call),
                           r->act.token,
                           r->act.action->timeout_ms ? r->act.action->timeout_ms : 60 * 1000,
                           r->act.action->name};

    r->act.stage = ACT_APPLYING;
    s.ticket = r->act.ticket = engine_ticket(r->e, &t);
    r->acts++;
    r->e->acts_total++;
    r->e->w->ops->apply(r->e->w, &s);
}

void effect_rechecked(struct run *r, const struct plan *fresh)
{
    const char *broken = plan_broken(fresh);

    if (held_back(r)) {
        withdraw(r);
    } else if (broken || fresh->empty || !plan_same_or_less(r->act.plan, fresh)) {
        char *why = mem_printf(
            "the world drifted between plan and act: planned \"%s\", now \"%s\"%s%s",
            r->act.plan->summary, fresh->summary, broken ? "; " : "", broken ? broken : "");
        effect_settle(r, APPLIED_NOT_SENT, NULL, why);
        mem_free(why);
    } else {
        plan_free(r->act.plan);
        r->act.plan = plan_copy(fresh);
        apply(r);
    }
}

/* Outcome */

static void stuck(struct run *r, const char *why)
{
    struct engine *e = r->e;
    struct jtx *tx = commit_new(e);

    r->act.stage = ACT_STUCK;
    r->act.retry_ms = NEVER;
    run_set_state(r, RUN_IN_DOUBT);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    r->paged = true;
    report_add(e, tx, REPORT_HUMAN, r->inst, r,
               "%s: it cannot be told whether \"%s %s\" took effect (%s; %s). The target is held. "
               "Look, then: runbookctl settle %s done | not-done",
               r->t->name, r->ask_name, r->act.plan->summary,
               r->act.doubt ? r->act.doubt : "in doubt", why, r->id);
    engine_trace(e, r->inst, "stuck", "%s", why);
    commit_owed(e, tx, NULL, NULL);
}

void effect_doubt(struct run *r, const char *why)
{
    struct engine *e = r->e;
    struct jtx *tx = commit_new(e);
    char *key = step_key(r);
    struct json *d = step_doc(r, "in_doubt");

    mem_free(r->act.doubt);
    r->act.doubt = mem_strdup(why);
    put_request(r, d);
    json_set_str(d, "text", why);
    run_set_state(r, RUN_IN_DOUBT);
    jtx_put(tx, "step", key, d, false);
    jtx_put(tx, "run", r->id, run_doc(r), true);
    report_add(e, tx, REPORT_NOTE, r->inst, r, "%s: %s %s is in doubt (%s); asking the world",
               r->t->name, r->ask_name, r->act.plan->summary, why);
    engine_trace(e, r->inst, "in_doubt", "%s: %s", r->ask_name, why);
    mem_free(key);
    commit_owed(e, tx, NULL, NULL);
    if (!r->act.opts) { /* what they named is gone: nothing to ask with */
        stuck(r, "it cannot be asked after");
        return;
    }
    r->act.until_ms =
        now(e) + (r->act.action->timeout_ms ? r->act.action->timeout_ms : 10 * 60 * 1000);
    r->act.stage = ACT_PROBING;
    r->act.retry_ms = now(e);
    act_poke(r);
}

void effect_probed(struct run *r, const struct json *seen, const struct err *err)
{
    struct action_input in;
    enum verdict v = VERDICT_UNKNOWN;

    act_input(r, &in);
    if (!(err && err->code))
        v = r->act.action->type->judge(&in, r->act.plan, r->act.call, seen);
    engine_trace(r->e, r->inst, "probe", "%s: %s", r->ask_name,
                 v == VERDICT_YES  ? "done"
                 : v == VERDICT_NO ? "not done"
                                   : "cannot tell");
    if (v == VERDICT_YES)
        effect_settle(r, APPLIED_OK, NULL, "settled by probe");
    else if (v == VERDICT_NO)
        effect_settle(r, APPLIED_REFUSED, NULL, "settled by probe: it was not carried out");
    else if (now(r->e) < r->act.until_ms)
        r->act.retry_ms = now(r->e) + PROBE_AGAIN_MS;
    else
        stuck(r, err && err->code ? err->text : "the probe cannot tell");
}

static void on_done_call(void *arg, const char *denied, const struct err *err)
{
    struct run *r = arg;

    (void)denied;
    (void)err;
    r->busy = false;
    r->act.call++;
    r->act.stage = ACT_INTENT;
    if (held_back(r))
        withdraw(r);
    else if (now(r->e) >= run_deadline_ms(r))
        effect_settle(r, APPLIED_NOT_SENT, NULL, "the run's deadline passed between two requests");
    else
        effect_intend(r);
}

/* What of a plan was done before it stopped: its first calls. That is what an undo reverses (M20).
 */
static struct plan *done_part(const struct plan *p, size_t calls)
{
    struct plan *part = plan_copy(p);

    json_free(part->calls);
    part->calls = json_new_list();
    for (size_t k = 0; k < calls; k++)
        json_add(part->calls, json_copy(json_at(p->calls, k)));
    return part;
}

/* How a request ended becomes the step's outcome and its report, in one transaction. */
void effect_settle(struct run *r, enum applied how, const struct json *out, const char *text)
{
    struct engine *e = r->e;
    struct jtx *tx;
    struct json *detail;
    struct guard_input in;
    struct plan *p = r->act.plan, *part = NULL;
    const char *verb = r->act.undo ? "undo" : "act";
    char *item, *line;
    bool ok = how == APPLIED_OK;

    if (how == APPLIED_NOT_SENT && r->act.stage == ACT_APPLYING)
        r->acts--; /* it never left */
    if (how == APPLIED_IN_DOUBT) {
        effect_doubt(r, text ? text : "no answer");
        return;
    }
    if (ok && r->act.call + 1 < json_len(p->calls)) {
        char *key = mem_printf("%s/%03d/%zu", r->id, r->step, r->act.call);
        struct json *d = step_doc(r, "done");
        json_set_int(d, "call", (int64_t)r->act.call);
        tx = commit_new(e);
        jtx_put(tx, "call", key, d, false);
        mem_free(key);
        r->busy = true;
        commit_owed(e, tx, on_done_call, r);
        return;
    }
    tx = commit_new(e);
    item = intent_item(r);
    guard_input_of(r, &in);
    if (!ok && !r->act.undo && r->act.call > 0)
        part = done_part(p, r->act.call);
    detail = act_detail(r, part ? part : p);
    json_set_bool(detail, "counted", ok || part);
    json_set_bool(detail, "left", how != APPLIED_NOT_SENT || r->act.call > 0);
    json_set_bool(detail, "failed", !ok);
    json_set_str(detail, "how", ok ? "ok" : how == APPLIED_REFUSED ? "refused" : "not_sent");
    json_set_str(detail, "by", r->act.by);
    if (out)
        json_set(detail, "out", json_copy(out));
    if (how == APPLIED_NOT_SENT)
        guard_give_back(&in, tx,
                        item); /* M11: a token returns only when no request left the host */
    if (part)
        json_set_int(detail, "of_calls", (int64_t)json_len(p->calls));
    line = ok ? mem_printf("%s %s%s%s%s", r->ask_name, p->summary, text ? " (" : "",
                           text ? text : "", text ? ")" : "")
           : part
               ? mem_printf("%s %s: only %zu of %zu requests done: %s", r->ask_name, p->summary,
                            r->act.call, json_len(p->calls), text ? text : "refused")
               : mem_printf("%s %s not done: %s", r->ask_name, p->summary, text ? text : "refused");
    engine_trace(e, r->inst, verb, "%s %s %s%s%s", r->ask_name, p->summary, ok ? "ok" : "failed",
                 ok || !text ? "" : ": ", ok || !text ? "" : text);
    r->last_act_end_ms = now(e);
    if (!r->act.undo && (how != APPLIED_NOT_SENT || r->act.call > 0))
        act_count(r, r->ask_name);
    if (ok && !r->act.undo)
        act_outputs(r, r->ask_name, p->out, out);
    if (ok && !r->act.undo)
        engine_removed(e, r->act.action->type, r->t, p, r->act.intended_ms);
    if (ok || part)
        act_record(r, r->ask_name, part ? part : p, r->act.undo);
    r->act.approved = false;                                         /* it was used */
    run_set_state(r, r->suspended_by ? RUN_SUSPENDED : RUN_RUNNING); /* in doubt no more */
    report_add(e, tx, REPORT_NOTE, r->inst, r, "%s: %s%s", r->t->name,
               r->act.undo ? "undid: " : "did: ", line);
    if (!ok) {
        r->failed = r->undone = true;
        mem_free(r->note);
        r->note = mem_strdup(line);
    }
    mem_free(item);
    plan_free(part);
    act_reset(&r->act);
    run_answer_tx(r, tx, json_new_bool(ok), line, detail);
    mem_free(line);
}
