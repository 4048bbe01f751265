/* What operators ask: status, history from the journal, explanations, plans. */
#include <stdio.h>
#include <string.h>
#include "engine/internal.h"
#include "plugin/refs.h"

static struct json *instance_row(const struct instance *i)
{
    struct json *d = json_new_map();

    json_set_str(d, "policy", i->p->name);
    json_set_str(d, "target", i->t->id);
    json_set_strf(d, "severity", "sev%d", (int)i->p->severity);
    json_set_str(d, "mode", mode_name(effective_mode(i->e, i->p, i->t)));
    json_set_str(d, "state", i->when ? episode_state_names[i->state] : "procedure");
    json_set_str(d, "when",
                 i->when ? (i->now.pending ? "pending" : tri_name(i->now.value)) : "none");
    json_set_bool(d, "breaker_open", i->breaker_open);
    if (i->state == EP_FIRING || i->state == EP_RECOVERING) {
        json_set_str(d, "episode", i->episode);
        json_set_str(d, "seen", i->seen);
        json_set_int(d, "fired_wall_ms", i->fired_wall_ms);
    }
    if (i->run) {
        json_set_str(d, "run", i->run->id);
        json_set_str(d, "run_state", run_state_names[i->run->state]);
        json_set_str(d, "asks", i->run->script ? ask_name(i->run->ask.kind) : "start");
        json_set_str(d, "asks_name", i->run->ask_name);
    }
    if (i->when) {
        struct buf b;
        buf_init(&b, 512);
        bound_summary(i->when, now(i->e), &b);
        json_set_str(d, "reading", buf_str(&b));
        buf_free(&b);
    }
    return d;
}

/* A run in doubt holds its target back, also after policy or target have gone and come back. */
static struct json *doubt_row(const struct run *r)
{
    struct json *j = json_new_map();

    json_set_str(j, "run", r->id);
    json_set_str(j, "policy", r->p->name);
    json_set_str(j, "target", r->t->id);
    json_set_bool(j, "stuck", r->unsettled || r->act.stage == ACT_STUCK);
    return j;
}

void query_left_out(const struct engine *e, const char *policy, struct json *list)
{
    for (const struct json *o = json_first(e->left_out); o; o = json_next(o))
        if (!policy || strcmp(json_get_str(o, "policy", ""), policy) == 0)
            json_add(list, json_copy(o));
}

void query_status(struct request *q)
{
    struct engine *e = q->e;
    struct json *list;

    json_set_str(q->answer, "host", e->host);
    json_set_str(q->answer, "mode", mode_name(e->mode));
    json_set_bool(q->answer, "frozen", is_frozen(e));
    json_set_str(q->answer, "frozen_by", is_frozen(e) ? e->frozen_by : NULL);
    json_set_str(q->answer, "frozen_reason", is_frozen(e) ? e->frozen_why : NULL);
    json_set_bool(q->answer, "storm", e->storm);
    json_set_bool(q->answer, "journal_ok",
                  !e->journal_bad && !e->w->journal->ops->stalled(e->w->journal));
    json_set_int(q->answer, "now_wall_ms", wall(e));
    json_set(q->answer, "counts", engine_counts(e));
    list = json_set(q->answer, "policies", json_new_list());
    for (size_t k = 0; k < e->ninst; k++)
        if (!e->inst[k]->gone)
            json_add(list, instance_row(e->inst[k]));
    query_left_out(e, NULL, json_set(q->answer, "left_out", json_new_list()));
    list = json_set(q->answer, "in_doubt", json_new_list());
    for (size_t k = 0; k < e->nruns; k++)
        if (e->runs[k]->state == RUN_IN_DOUBT || (e->runs[k]->unsettled && !run_over(e->runs[k])))
            json_add(list, doubt_row(e->runs[k]));
    for (const struct json *d = json_first(e->doubts); d; d = json_next(d)) {
        struct json *row = json_add(list, json_new_map());
        json_set_str(row, "run", json_get_str(d, "run", "?"));
        json_set_str(row, "policy", json_get_str(d, "policy", "?"));
        json_set_str(row, "target", json_get_str(d, "target", "?"));
        json_set_bool(row, "stuck", true);
    }
    list = json_set(q->answer, "silences", json_new_list());
    for (size_t k = 0; k < e->nsilences; k++) {
        struct json *s;
        if (e->silences[k].until_ms <= now(e))
            continue;
        s = json_add(list, json_new_map());
        json_set_str(s, "id", e->silences[k].id);
        json_set_str(s, "policy", e->silences[k].policy);
        json_set_str(s, "target", e->silences[k].target);
        json_set_str(s, "by", e->silences[k].by);
        json_set_str(s, "reason", e->silences[k].reason);
        json_set_int(s, "until_wall_ms", wall_of(e, e->silences[k].until_ms));
    }
}

static void drop_request(void *p)
{
    struct request *q = p;

    json_free((struct json *)(uintptr_t)q->in);
    json_free(q->answer);
}

/* History comes from the journal. */
static void listed(void *p, struct json *list, const struct err *err)
{
    struct request *q = p;

    if (err && err->code)
        request_fail(q, "%s", err->text);
    json_set(q->answer, request_arg(q, "command"), list ? list : json_new_list());
    q->fn(q->arg, q->answer);
    json_free((struct json *)(uintptr_t)q->in);
    engine_release(q);
}

static void history(struct request *q, const char *kind, const char *prefix)
{
    struct request *own = engine_hold(q->e, sizeof(*own), drop_request);

    *own = *q;
    own->in = json_copy(q->in);
    q->later = true;
    q->e->w->journal->ops->query(q->e->w->journal, kind, prefix,
                                 (int)json_get_int(q->in, "limit", 20), listed, own);
}

static void have_run(void *p, struct json *list, const struct err *err)
{
    struct request *q = p;
    const struct json *d = json_at(list, 0);
    const char *id = request_arg(q, "run"), *outcome = json_get_str(d, "outcome", NULL),
               *note = json_get_str(d, "note", "");

    if (err && err->code)
        request_fail(q, "%s", err->text);
    else if (!d || strcmp(json_get_str(d, "id", ""), id) != 0)
        request_fail(q, "there is no open run %s; runbookctl runs lists them", id);
    else if (!outcome)
        request_fail(q, "run %s is being taken up from the journal: ask again in a moment", id);
    else
        request_fail(q, "run %s is over: it ended %s%s%s", id, outcome, *note ? ": " : "", note);
    q->fn(q->arg, q->answer);
    json_free((struct json *)(uintptr_t)q->in);
    json_free(list);
    engine_release(q);
}

bool query_ended(struct request *q, const char *id)
{
    struct request *own;

    if (!id || !*id)
        return false;
    own = engine_hold(q->e, sizeof(*own), drop_request);
    *own = *q;
    own->in = json_copy(q->in);
    q->later = true;
    q->e->w->journal->ops->query(q->e->w->journal, "run", id, 1, have_run, own);
    return true;
}

void query_episodes(struct request *q)
{
    history(q, "episode", "");
}

void query_runs(struct request *q)
{
    history(q, "run", "");
}

void query_decisions(struct request *q)
{
    history(q, "decision", "");
}

void query_reports(struct request *q)
{
    history(q, "report", "");
}

static void shown_steps(void *p, struct json *list, const struct err *err)
{
    struct request *q = p;

    if (err && err->code)
        request_fail(q, "%s", err->text);
    json_set(q->answer, "steps", list ? list : json_new_list());
    if (json_get_str(q->answer, "error", NULL) == NULL &&
        json_len(json_get(q->answer, "run")) == 0 && json_len(json_get(q->answer, "episode")) == 0)
        request_fail(q, "there is no run or episode %s in the journal", request_arg(q, "id"));
    q->fn(q->arg, q->answer);
    json_free((struct json *)(uintptr_t)q->in);
    engine_release(q);
}

static void shown(void *p, struct json *list, const struct err *err)
{
    struct request *q = p;
    const char *id = request_arg(q, "id");
    const struct json *doc = json_at(list, 0);
    const char *run = *id == 'E' ? json_get_str(doc, "run", NULL) : id;
    char *prefix = mem_printf("%s/", run ? run : id);

    if (err && err->code)
        request_fail(q, "%s", err->text);
    if (doc)
        json_set(q->answer, *id == 'E' ? "episode" : "run", json_copy(doc));
    json_free(list);
    q->e->w->journal->ops->query(q->e->w->journal, "step", prefix, 500, shown_steps, q);
    mem_free(prefix);
}

void query_show(struct request *q)
{
    struct request *own;
    const char *id = request_arg(q, "id");

    if (!id || !*id) {
        request_fail(q, "which one? give the id of a run or an episode");
        return;
    }
    own = engine_hold(q->e, sizeof(*own), drop_request);
    *own = *q;
    own->in = json_copy(q->in);
    q->later = true;
    q->e->w->journal->ops->query(q->e->w->journal, *id == 'E' ? "episode" : "run", id, 1, shown,
                                 own);
}

void query_explain(struct request *q)
{
    struct json *list;
    bool any = false;

    if (!request_instance(q))
        return;
    list = json_set(q->answer, "explain", json_new_list());
    for (size_t k = 0; k < q->e->ninst; k++) {
        struct instance *i = q->e->inst[k];
        if (i->gone || strcmp(i->p->name, request_arg(q, "policy")) != 0)
            continue;
        if (request_arg(q, "target") && strcmp(i->t->id, request_arg(q, "target")) != 0 &&
            strcmp(i->t->name, request_arg(q, "target")) != 0)
            continue;
        json_add(list, explain_instance(i));
        any = true;
    }
    if (!any)
        request_fail(q, "nothing to explain");
    if (!request_arg(q, "target"))
        query_left_out(q->e, request_arg(q, "policy"),
                       json_set(q->answer, "left_out", json_new_list()));
}

/* plan: what each action would do now; asks the world, changes nothing */
struct planning {
    struct request q;
    struct policy_set *set; /* counted, as the estate: a reload may come in between */
    const struct policy *p;
    struct estate *estate;
    const struct target *t;
    size_t action;
    struct json *opts;
    struct json *list;
};

static void plan_next(struct planning *p);

static void drop_planning(void *arg)
{
    struct planning *p = arg;

    drop_request(&p->q);
    json_free(p->opts);
    estate_unref(p->estate);
    policy_set_unref(p->set);
}

static void plan_seen(void *arg_, struct json *seen, const struct err *err)
{
    struct planning *p = arg_;
    const struct declared_action *a = &p->p->actions[p->action];
    struct json *row = json_add(p->list, json_new_map());
    struct action_input in = {.target = p->t,
                              .estate = p->estate,
                              .opts = p->opts,
                              .wall_ms = wall(p->q.e),
                              .run_id = "plan"};
    char *key = mem_printf("%s@%s", p->p->name, p->t->id);
    struct guard_input g = {
        p->q.e, instance_find(p->q.e, key), NULL, p->p, p->t, p->estate, a, NULL, false};
    struct err e2 = ERR_INIT;
    struct plan *plan = err && err->code ? NULL : a->type->plan(&in, seen, &e2);

    json_set_str(row, "action", a->name);
    json_set_str(row, "type", a->type->name);
    if (plan) {
        char *hash = plan_hash(plan, a->type->name, p->t->id);
        json_set(row, "plan", plan_to_json(plan));
        json_set_str(row, "hash", hash);
        mem_free(hash);
        g.plan = plan;
    } else {
        json_set_str(row, "error", err && err->code ? err->text : e2.text);
    }
    json_set(row, "guards", guard_explain(&g));
    plan_free(plan);
    json_free(p->opts);
    p->opts = NULL;
    mem_free(key);
    p->action++;
    plan_next(p);
}

static void plan_end(struct planning *p)
{
    p->q.fn(p->q.arg, p->q.answer);
    json_free((struct json *)(uintptr_t)p->q.in);
    estate_unref(p->estate);
    policy_set_unref(p->set);
    engine_release(p);
}

static void plan_next(struct planning *p)
{
    struct err err = ERR_INIT;
    const struct declared_action *a;
    struct ticket t = {0, plan_seen, NULL, p};
    struct world_step s;
    struct json *params;
    char *key;

    if (p->action >= p->p->nactions) {
        plan_end(p);
        return;
    }
    a = &p->p->actions[p->action];
    params = params_default(p->p);
    p->opts = refs_resolve(
        a->opts, &(struct refs){.target = p->t, .params = params, .run_id = "plan"}, &err);
    json_free(params);
    if (!p->opts) { /* it names what only a start or an earlier step gives */
        struct json *row = json_add(p->list, json_new_map());
        json_set_str(row, "action", a->name);
        json_set_str(row, "type", a->type->name);
        json_set_str(row, "error", err.text);
        p->action++;
        plan_next(p);
        return;
    }
    key = mem_printf("%s@%s", p->p->name, p->t->id);
    reading_take(p->q.e, instance_find(p->q.e, key), a, p->opts);
    mem_free(key);
    s = (struct world_step){0,    a->type, p->t, p->estate, p->opts,
                            NULL, NULL,    NULL, 30 * 1000, a->name};
    s.ticket = engine_ticket(p->q.e, &t);
    p->q.e->w->ops->observe(p->q.e->w, &s);
}

void query_plan(struct request *q)
{
    struct instance *i = request_instance(q);
    struct planning *p;

    if (!i)
        return;
    p = engine_hold(q->e, sizeof(*p), drop_planning);
    p->q = *q;
    p->q.in = json_copy(q->in);
    p->set = policy_set_ref(i->set);
    p->p = i->p;
    p->estate = estate_ref(i->estate);
    p->t = i->t;
    p->list = json_set(q->answer, "plans", json_new_list());
    json_set_str(q->answer, "policy", i->p->name);
    json_set_str(q->answer, "target", i->t->id);
    q->later = true;
    plan_next(p);
}
