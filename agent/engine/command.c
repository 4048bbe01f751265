/* What operators can ask and order: a table of commands, each answered once its effect is durable.
 */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"
#include "plugin/refs.h"

void request_fail(struct request *q, const char *fmt, ...)
{
    struct buf b;
    va_list ap;

    buf_init(&b, 4096);
    va_start(ap, fmt);
    buf_addv(&b, fmt, ap);
    va_end(ap);
    json_set_str(q->answer, "error", buf_str(&b));
    buf_free(&b);
}

static const char *by(const struct request *q)
{
    return json_get_str(q->in, "by", "unknown");
}

const char *request_arg(const struct request *q, const char *name)
{
    return json_get_str(q->in, name, NULL);
}

static struct instance *find(struct engine *e, const char *policy, const char *target)
{
    struct instance *found = NULL;

    for (size_t k = 0; policy && k < e->ninst; k++) {
        struct instance *i = e->inst[k];
        if (i->gone || strcmp(i->p->name, policy) != 0)
            continue;
        if (!target || strcmp(i->t->id, target) == 0 || strcmp(i->t->name, target) == 0) {
            if (!found || (target && strcmp(i->t->id, target) == 0))
                found = i;
        }
    }
    return found;
}

/* Why a policy does not apply to a target that was found, by its id or name (NULL: to the first);
 * NULL: it was not left out. */
static const char *why_left_out(const struct engine *e, const char *policy, const char *target)
{
    for (const struct json *o = json_first(e->left_out); o; o = json_next(o)) {
        const char *id = json_get_str(o, "target", ""), *slash = strchr(id, '/');
        if (policy && strcmp(json_get_str(o, "policy", ""), policy) == 0 &&
            (!target || strcmp(id, target) == 0 || (slash && strcmp(slash + 1, target) == 0)))
            return json_get_str(o, "why", "?");
    }
    return NULL;
}

struct instance *request_instance(struct request *q)
{
    const char *why = why_left_out(q->e, request_arg(q, "policy"), request_arg(q, "target"));
    struct instance *i = find(q->e, request_arg(q, "policy"), request_arg(q, "target"));

    if (!i && request_arg(q, "policy") &&
        !(q->e->set && policy_find(q->e->set, request_arg(q, "policy"))))
        request_fail(q, "there is no policy %s; runbookctl status lists them",
                     request_arg(q, "policy"));
    else if (!i && why)
        request_fail(q, "the policy does not apply to this target: %s", why);
    else if (!i && !find(q->e, request_arg(q, "policy"), NULL))
        request_fail(q, "policy %s: its selector matches no target of the estate, so it never acts",
                     request_arg(q, "policy") ? request_arg(q, "policy") : "?");
    else if (!i)
        request_fail(q, "policy %s has no target %s; runbookctl status lists them",
                     request_arg(q, "policy"), request_arg(q, "target"));
    return i;
}

static struct run *need_run(struct request *q)
{
    const char *id = request_arg(q, "run");
    struct run *r = id ? run_find(q->e, id) : NULL;

    if (!r && !query_ended(q, id))
        request_fail(q, "there is no open run %s; runbookctl runs lists them",
                     id ? id : "(none given)");
    return r;
}

/* Orders */

static bool only_one(const struct engine *e, const struct instance *i)
{
    for (size_t k = 0; k < e->ninst; k++)
        if (e->inst[k] != i && !e->inst[k]->gone && strcmp(e->inst[k]->p->name, i->p->name) == 0)
            return false;
    return true;
}

static void start(struct request *q)
{
    struct instance *i = request_instance(q);
    struct engine *e = q->e;
    struct err err = ERR_INIT;
    struct json *params;
    struct jtx *tx;

    if (!i)
        return;
    if (!request_arg(q, "target") && only_one(e, i) == false) {
        request_fail(q, "policy %s has several targets: say which", i->p->name);
        return;
    }
    if (i->run || i->awaits_run) {
        request_fail(q, "run %s of this policy is open on this target",
                     i->run ? i->run->id : "(being read from the journal)");
        return;
    }
    if (effective_mode(e, i->p, i->t) == MODE_OFF) {
        request_fail(q, "%s is off on %s (its mode %s, the target's %s, the agent's %s)",
                     i->p->name, i->t->id, mode_name(i->p->mode), mode_name(i->t->mode),
                     mode_name(e->mode));
        return;
    }
    params = params_given(i->p, json_get(q->in, "params"), &err);
    if (!params) {
        request_fail(q, "%s", err.text);
        return;
    }
    i->run = run_new(i, true, by(q), params);
    tx = commit_new(e);
    run_propose(i->run, tx);
    report_add(e, tx, REPORT_NOTE, NULL, i->run, "%s: %s started by %s", i->t->name, i->p->name,
               by(q));
    engine_trace(e, i, "start", "by %s", by(q));
    json_set_str(q->answer, "run", i->run->id);
    commit_owed(e, tx, run_proposed, i->run);
}

/* Whoever did not hear the answer asks again: an approval is given once, how far it is is told.
 */
static void approve_again(struct request *q, const struct run *r)
{
    size_t n = json_len(r->history);

    if (r->act.approved)
        request_fail(q, "it is approved already, by %s; the run is %s", r->act.by ? r->act.by : "?",
                     run_state_names[r->state]);
    else if (r->act.asked) /* from before a start */
        request_fail(q,
                     "run %s asks its guards anew before it can be approved: say it again in a "
                     "moment",
                     r->id);
    else
        request_fail(q, "run %s waits for no approval (it is %s%s%s)", r->id,
                     run_state_names[r->state], n ? "; done: " : "",
                     n ? json_str(json_at(r->history, n - 1), "") : "");
}

static void approve(struct request *q)
{
    struct run *r = need_run(q);
    const char *hash = request_arg(q, "hash");
    bool another; /* plan than the one that was looked at */

    if (!r)
        return;
    another =
        hash && r->act.hash && (strlen(hash) < 8 || strncmp(hash, r->act.hash, strlen(hash)) != 0);
    if (r->act.stage != ACT_APPROVAL && !(r->act.approved && another)) {
        approve_again(q, r);
    } else if (another) {
        request_fail(q, "the plan is another one now (%.12s): look at it with runbookctl show %s",
                     r->act.hash, r->id);
    } else if (now(q->e) >= r->act.until_ms) {
        request_fail(q, "its time to be approved is over");
    } else if (is_frozen(q->e) || r->suspended_by) {
        request_fail(q, "the run is suspended (%s); unfreeze first",
                     r->suspended_by ? r->suspended_by : "freeze");
    } else if (r->act.action->approvers && *r->act.action->approvers) {
        /* a comma-separated list of names */
        bool listed_ = false;
        char *copy = mem_strdup(r->act.action->approvers), *save = NULL;
        for (char *w = strtok_r(copy, ", ", &save); w && !listed_; w = strtok_r(NULL, ", ", &save))
            listed_ = strcmp(w, by(q)) == 0;
        mem_free(copy);
        if (!listed_) {
            request_fail(q, "%s is not one of its approvers: %s", by(q), r->act.action->approvers);
            return;
        }
        q->tx = commit_new(q->e);
        approval_give(r, q->tx, by(q));
    } else {
        q->tx = commit_new(q->e);
        approval_give(r, q->tx, by(q));
    }
}

static void deny(struct request *q)
{
    struct run *r = need_run(q);

    if (!r)
        return;
    if (r->act.stage != ACT_APPROVAL)
        request_fail(q, "run %s waits for no approval (it is %s)", r->id,
                     run_state_names[r->state]);
    else
        approval_deny(r, by(q));
}

static void cancel(struct request *q)
{
    struct run *r = need_run(q);
    char *why;

    if (!r)
        return;
    why = mem_printf("cancelled by %s", by(q));
    run_cancel(r, why);
    mem_free(why);
}

static void settle(struct request *q)
{
    const char *as = request_arg(q, "as");
    struct run *r;
    bool done;

    if (!as || (strcmp(as, "done") != 0 && strcmp(as, "not-done") != 0)) {
        request_fail(q, "say what you saw: done or not-done, not %s", as ? as : "nothing");
        return;
    }
    done = strcmp(as, "done") == 0;
    if (request_arg(q, "run") && json_get(q->e->doubts, request_arg(q, "run"))) {
        q->tx = commit_new(q->e);
        doubt_settle(q->e, q->tx, request_arg(q, "run"), done, by(q));
        return;
    }
    r = need_run(q);
    if (!r)
        return;
    if (r->unsettled && r->suspended_by && strcmp(r->suspended_by, "replay") == 0)
        run_settle(r, done, by(q));
    else if (r->act.stage != ACT_STUCK && r->act.stage != ACT_PROBING)
        request_fail(q, "run %s is not in doubt (it is %s)", r->id, run_state_names[r->state]);
    else
        act_settle(r, done, by(q));
}

static void resume(struct request *q)
{
    struct run *r = need_run(q);

    if (!r)
        return;
    if (!r->suspended_by)
        request_fail(q, "run %s is not suspended (it is %s)", r->id, run_state_names[r->state]);
    else if (is_frozen(q->e))
        request_fail(q, "the agent is frozen: runbookctl unfreeze first");
    else if (strcmp(r->suspended_by, "replay") == 0)
        request_fail(q, "its replay differs from the journal; it can only be cancelled");
    else
        run_unsuspend(r, true);
}

void set_frozen(struct engine *e, bool frozen, const char *who, const char *reason, struct jtx *tx)
{
    struct json *d = json_new_map();
    char *w = mem_strdup(who), *why = mem_strdup(reason ? reason : "");

    e->frozen = frozen;
    mem_free(e->frozen_by);
    mem_free(e->frozen_why);
    e->frozen_by = w;
    e->frozen_why = why;
    json_set_bool(d, "frozen", frozen);
    json_set_str(d, "by", w);
    json_set_str(d, "reason", why);
    json_set_int(d, "at_ms", now(e));
    json_set_int(d, "wall_ms", wall(e));
    jtx_put(tx, "freeze", "agent", d, frozen);
    engine_trace(e, NULL, frozen ? "freeze" : "unfreeze", "by %s: %s", w, why);
}

static void freeze_all(struct engine *e, const char *who, const char *reason, struct jtx *tx)
{
    set_frozen(e, true, who, reason, tx);
    report_agent(e, tx, REPORT_HUMAN, "agent/freeze",
                 "Frozen by %s: %s. runbookd acts no more until: runbookctl unfreeze", who,
                 reason ? reason : "");
    for (size_t k = 0; k < e->nruns; k++)
        if (e->runs[k]->state != RUN_PROPOSED)
            run_suspend(e->runs[k], "freeze");
}

void engine_freeze_now(struct engine *e, const char *who, const char *reason)
{
    struct jtx *tx = commit_new(e);

    freeze_all(e, who, reason, tx);
    commit_owed(e, tx, NULL, NULL);
}

static void freeze(struct request *q)
{
    q->tx = commit_new(q->e);
    freeze_all(q->e, by(q), request_arg(q, "reason"), q->tx);
}

/* Runs that an operator started go on by an operator's word only (M21). */
static void tell_who_waits(struct request *q)
{
    struct buf b;

    buf_init(&b, 4096);
    for (size_t k = 0; k < q->e->nruns; k++) {
        const struct run *r = q->e->runs[k];
        if (!run_over(r) && r->manual && r->suspended_by && strcmp(r->suspended_by, "freeze") == 0)
            buf_addf(&b,
                     "%srun %s of %s on %s was started by %s and waits: runbookctl resume %s, or "
                     "cancel it",
                     b.len ? "; " : "", r->id, r->p->name, r->t->id, r->by, r->id);
    }
    if (b.len)
        json_set_str(q->answer, "warning", buf_str(&b));
    buf_free(&b);
}

static void unfreeze(struct request *q)
{
    struct engine *e = q->e;

    engine_check_freeze_file(e); /* it may have just been removed */
    if (!is_frozen(e)) {
        request_fail(q, "the agent is not frozen");
        return;
    }
    if (e->file_frozen) {
        request_fail(q, "the freeze file is still there: remove it first");
        return;
    }
    q->tx = commit_new(e);
    set_frozen(e, false, by(q), request_arg(q, "reason"), q->tx);
    tell_who_waits(q);
    /* Else the next freeze would be merged into a page that is still open, and nobody would hear
     * it. */
    report_agent(e, q->tx, REPORT_HEARD, "agent/freeze", "Unfrozen by %s", by(q));
}

/* A silence with a mistyped name would hold nothing back, and let people believe that it does. */
static bool names_something(struct request *q)
{
    const struct engine *e = q->e;
    const char *policy = request_arg(q, "policy"), *target = request_arg(q, "target");

    for (size_t k = 0; k < e->ninst; k++) {
        const struct instance *i = e->inst[k];
        if (!i->gone && (!policy || strcmp(i->p->name, policy) == 0) &&
            (!target || strcmp(i->t->id, target) == 0 || strcmp(i->t->name, target) == 0))
            return true;
    }
    request_fail(q, "nothing is called so: %s%s%s%s%s; runbookctl status lists what there is",
                 policy ? "policy " : "", policy ? policy : "", policy && target ? " on " : "",
                 target ? "target " : "", target ? target : "");
    return false;
}

static void silence(struct request *q)
{
    struct engine *e = q->e;
    int64_t for_ms = 0;
    struct silence *s;
    char id[ID_LEN];

    if (unit_parse_duration(request_arg(q, "for") ? request_arg(q, "for") : "", &for_ms) ||
        for_ms <= 0) {
        request_fail(q, "for how long? write e.g. for=2h");
        return;
    }
    if (!request_arg(q, "policy") && !request_arg(q, "target")) {
        request_fail(q, "what? give policy=NAME, target=KIND/NAME or both");
        return;
    }
    if (!names_something(q))
        return;
    engine_make_id(e, 'S', id);
    s = silence_add(e, id, q->in);
    s->until_ms = now(e) + for_ms;
    q->tx = commit_new(e);
    jtx_put(q->tx, "silence", s->id, silence_doc(s), true);
    json_set_str(q->answer, "silence", s->id);
}

static void unsilence(struct request *q)
{
    const char *id = request_arg(q, "silence");

    q->tx = commit_new(q->e);
    if (id && silence_end(q->e, q->tx, id, by(q)))
        return;
    jtx_free(q->tx);
    q->tx = NULL;
    request_fail(q, "there is no silence %s", id ? id : "(none given)");
}

static void breaker(struct request *q)
{
    struct instance *i = request_instance(q);

    if (!i)
        return;
    i->breaker_open = false;
    i->bad = 0;
    q->tx = commit_new(q->e);
    instance_put_standing(i, q->tx);
    report_add(q->e, q->tx, REPORT_NOTE, i, NULL, "%s: breaker of policy %s closed by %s",
               i->t->name, i->p->name, by(q));
}

/* Off is no pause: what is open ends, and its page with it. */
static void tell_what_ends(struct request *q)
{
    int open = 0;

    for (size_t k = 0; q->e->mode == MODE_OFF && k < q->e->ninst; k++)
        open += q->e->inst[k]->state == EP_FIRING || q->e->inst[k]->state == EP_RECOVERING;
    if (open)
        json_set_strf(q->answer, "warning",
                      "%d open episode%s end%s without being clear, and the page%s close%s; what "
                      "only holds the agent is runbookctl freeze",
                      open, open > 1 ? "s" : "", open > 1 ? "" : "s", open > 1 ? "s" : "",
                      open > 1 ? "" : "s");
}

static void mode(struct request *q)
{
    struct engine *e = q->e;
    int m = mode_parse(request_arg(q, "mode") ? request_arg(q, "mode") : "");
    struct json *d;
    bool storm = e->storm;

    if (m < 0) {
        request_fail(q, "which mode? off, shadow, approve or enforce");
        return;
    }
    if ((enum mode)m > e->o.mode) {
        request_fail(q, "the agent's configuration allows %s at most", mode_name(e->o.mode));
        return;
    }
    if ((enum mode)m > (e->storm && e->mode > MODE_SHADOW ? MODE_SHADOW : e->mode) &&
        !json_get_bool(q->in, "confirmed", false)) {
        request_fail(
            q,
            "this widens what the agent may do: confirm it by name (runbookctl mode %s --confirm "
            "%s)",
            mode_name((enum mode)m), e->host);
        return;
    }
    e->mode = (enum mode)m;
    e->storm = false;
    tell_what_ends(q);
    for (size_t k = 0; k < e->ninst; k++)
        due_mark(e->inst[k]); /* off, its episodes end; on again, what is true fires */
    d = json_new_map();
    json_set_str(d, "mode", mode_name(e->mode));
    json_set_str(d, "by", by(q));
    json_set_int(d, "at_ms", now(e));
    q->tx = commit_new(e);
    jtx_put(q->tx, "mode", "agent", d, e->mode != e->o.mode);
    report_add(e, q->tx, REPORT_NOTE, NULL, NULL, "Mode of the agent set to %s by %s",
               mode_name(e->mode), by(q));
    if (storm)
        report_agent(e, q->tx, REPORT_HEARD, "agent/storm", "The storm was ended by %s", by(q));
}

static void report_test(struct request *q)
{
    q->tx = commit_new(q->e);
    report_agent(q->e, q->tx, REPORT_HUMAN, "agent/test",
                 "This is a test by %s: the way from runbookd to you works", by(q));
}

static const struct command {
    const char *name;
    void (*run)(struct request *q);
    bool order; /* changes something: answered once that is durable */
} commands[] = {
    {"status", query_status, false},
    {"episodes", query_episodes, false},
    {"runs", query_runs, false},
    {"decisions", query_decisions, false},
    {"reports", query_reports, false},
    {"show", query_show, false},
    {"explain", query_explain, false},
    {"plan", query_plan, false},
    {"start", start, true},
    {"approve", approve, true},
    {"deny", deny, true},
    {"cancel", cancel, true},
    {"settle", settle, true},
    {"resume", resume, true},
    {"freeze", freeze, true},
    {"unfreeze", unfreeze, true},
    {"silence", silence, true},
    {"unsilence", unsilence, true},
    {"breaker", breaker, true},
    {"mode", mode, true},
    {"report-test", report_test, true},
};

struct durable {
    command_fn *fn;
    void *arg;
    struct json *answer;
};

static void drop_durable(void *p)
{
    json_free(((struct durable *)p)->answer);
}

static void durable(void *arg_, const char *denied, const struct err *err)
{
    struct durable *d = arg_;

    (void)denied;
    (void)err;
    d->fn(d->arg, d->answer);
    engine_release(d);
}

void engine_command(struct engine *e, const struct json *command, command_fn *fn, void *arg_)
{
    const char *name = json_get_str(command, "command", "");
    struct request q = {e, command, fn, arg_, json_new_map(), NULL, false};
    size_t k, n = sizeof(commands) / sizeof(commands[0]);

    for (k = 0; k < n && strcmp(commands[k].name, name) != 0; k++)
        ;
    if (k == n)
        request_fail(&q, "there is no command %s", name);
    else
        commands[k].run(&q);
    if (k < n && commands[k].order && !q.later && (q.tx || e->owed)) {
        struct durable *d = engine_hold(e, sizeof(*d), drop_durable);
        d->fn = fn;
        d->arg = arg_;
        d->answer = q.answer;
        if (e->journal_bad || e->w->journal->ops->stalled(e->w->journal)) {
            /* It holds, but only in memory. */
            json_set_bool(d->answer, "durable", false);
            if (!json_get(d->answer, "warning"))
                json_set_str(d->answer, "warning",
                             "it holds, but is not yet written: the journal cannot be written. It "
                             "is lost if the agent ends before it can");
            if (q.tx)
                commit_owed(e, q.tx, NULL, NULL);
            durable(d, NULL, NULL);
        } else {
            commit_owed(e, q.tx ? q.tx : commit_new(e), durable, d);
        }
    } else if (!q.later) {
        fn(arg_, q.answer);
    }
    engine_wake(e);
}
