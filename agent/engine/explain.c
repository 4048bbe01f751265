/* Explaining: the condition as a tree with readings, ages and hold times, then each guard's
 * verdict, then the run. */
#include <stdio.h>
#include <string.h>
#include "engine/internal.h"

struct json *explain_run(const struct run *r)
{
    struct json *d = run_doc(r);
    struct json *done = json_set(d, "done", json_new_list());

    json_remove(d, "target_doc");
    for (size_t k = 0; k < r->ndone; k++) {
        char *line = mem_printf("%s %s", r->done[k].name, r->done[k].plan->summary);
        json_add(done, json_new_str(line));
        mem_free(line);
    }
    if (!r->script || run_over(r))
        return d;
    json_set_str(d, "asks", ask_name(r->ask.kind));
    json_set_str(d, "asks_name", r->ask_name);
    if (r->step_until_ms != NEVER)
        json_set_int(d, "until_wall_ms", wall_of(r->e, r->step_until_ms));
    if (r->act.plan)
        json_set(d, "plan", plan_to_json(r->act.plan));
    if (r->act.stage == ACT_APPROVAL) {
        json_set_str(d, "hash", r->act.hash);
        json_set_int(d, "approval_until_wall_ms", wall_of(r->e, r->act.until_ms));
    }
    if (r->act.doubt)
        json_set_str(d, "doubt", r->act.doubt);
    if (r->ask.kind == ASK_VERIFY || r->ask.kind == ASK_WAIT || r->ask.kind == ASK_HOLDS) {
        struct json *checks = json_set(d, "checks", json_new_map());
        for (size_t c = 0; c < r->p->nchecks; c++)
            if (r->checks[c])
                json_set(checks, r->p->checks[c].name, bound_explain(r->checks[c], now(r->e)));
        if (r->cleared)
            json_set(checks, "cleared", bound_explain(r->cleared, now(r->e)));
    }
    return d;
}

static struct json *guards_of(struct instance *i)
{
    struct json *map = json_new_map();

    for (size_t a = 0; a < i->p->nactions; a++) {
        struct guard_input in = {i->e, i,    i->run, i->p, i->t, i->estate, &i->p->actions[a],
                                 NULL, false};
        if (i->run && i->run->act.action == in.a)
            in.plan = i->run->act.plan;
        json_set(map, i->p->actions[a].name, guard_explain(&in));
    }
    return map;
}

/* What an act needs of this target and the estate does not say: it would be refused. */
static struct json *lacks_of(const struct instance *i)
{
    struct json *map = json_new_map();

    for (size_t a = 0; a < i->p->nactions; a++) {
        const struct action_type *type = i->p->actions[a].type;
        const char *field = action_lacks(type, i->t);

        if (field)
            json_set_strf(map, i->p->actions[a].name, "act.%s needs the field %s, and %s has none",
                          type->name, field, i->t->id);
    }
    return map;
}

struct json *explain_instance(struct instance *i)
{
    struct json *d = json_new_map();
    struct json *checks = json_set(d, "checks", json_new_map());

    json_set_str(d, "policy", i->p->name);
    json_set_str(d, "target", i->t->id);
    json_set_str(d, "state", episode_state_names[i->state]);
    json_set_str(d, "episode",
                 i->state == EP_FIRING || i->state == EP_RECOVERING ? i->episode : NULL);
    json_set_str(d, "mode", mode_name(effective_mode(i->e, i->p, i->t)));
    json_set_str(d, "mode_policy", mode_name(i->p->mode));
    json_set_str(d, "mode_target", mode_name(i->t->mode));
    json_set_str(d, "mode_agent", mode_name(i->e->mode));
    json_set_strf(d, "site", "%s:%d", i->p->site.file ? i->p->site.file : "?", i->p->site.line);
    if (i->t->found)
        json_set_strf(d, "found_by", "%s:%d", i->t->file ? i->t->file : "?", i->t->line);
    json_set_int(d, "now_wall_ms", wall(i->e));
    if (i->p->noptions) {
        char *help = params_help(i->p);
        json_set_str(d, "parameters", help);
        mem_free(help);
    }
    if (i->when)
        json_set(d, "when", bound_explain(i->when, now(i->e)));
    if (i->clear)
        json_set(d, "clear", bound_explain(i->clear, now(i->e)));
    if (i->window)
        json_set(d, "window", bound_explain(i->window, now(i->e)));
    for (size_t c = 0; c < i->p->nchecks; c++)
        if (i->checks[c])
            json_set(checks, i->p->checks[c].name, bound_explain(i->checks[c], now(i->e)));
    json_set(d, "guards", guards_of(i));
    json_set(d, "lacks", lacks_of(i));
    json_set_int(d, "bad_outcomes", i->bad);
    json_set_bool(d, "breaker_open", i->breaker_open);
    if (i->run)
        json_set(d, "run", explain_run(i->run));
    return d;
}
