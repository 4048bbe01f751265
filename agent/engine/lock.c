/* The lock (M12): a run owns what its actions write until it ends, by whatever target they reach
 * it.
 */
#include <string.h>
#include <strings.h>
#include "engine/internal.h"

static bool same_target(const struct target *a, const struct target *b)
{
    return strcmp(a->id, b->id) == 0;
}

void writing_init(struct writing *w, const struct action_type *type, const struct target *t,
                  const struct estate *e)
{
    *w = (struct writing){type->attribute, t, action_resource(type, t, e)};
}

void writing_free(struct writing *w)
{
    mem_free(w->resource);
}

/* By id as well: after a reload, the same target may name another resource. */
static bool same_resource(const struct writing *w, const struct action_type *type,
                          const struct target *t, const struct estate *e)
{
    char *resource = action_resource(type, t, e);
    bool same = same_target(t, w->target) || strcasecmp(resource, w->resource) == 0;

    mem_free(resource);
    return same;
}

static bool clashes(const struct writing *w, const struct action_type *type, const struct target *t,
                    const struct estate *e)
{
    return strcmp(type->attribute, w->attribute) == 0 && same_resource(w, type, t, e);
}

bool run_owns(const struct run *o, const struct writing *w)
{
    if (o->act.action && o->act.stage != ACT_IDLE && o->act.stage != ACT_DEFERRED &&
        clashes(w, o->act.action->type, o->t, o->estate))
        return true;
    for (size_t k = 0; k < o->ndone; k++) {
        const struct declared_action *a = policy_action(o->p, o->done[k].name);
        if (a && clashes(w, a->type, o->t, o->estate))
            return true;
    }
    return false;
}

/* Whatever its run turns out to have done. */
static bool may_own(const struct instance *i, const struct writing *w)
{
    if (same_target(i->t, w->target))
        return true;
    for (size_t k = 0; k < i->p->nactions; k++)
        if (clashes(w, i->p->actions[k].type, i->t, i->estate))
            return true;
    return false;
}

/* For a check, for whoever suspended it, or for a human's approval. */
static bool only_waiting(const struct run *o)
{
    return (o->state == RUN_WAITING || o->state == RUN_SUSPENDED ||
            o->state == RUN_AWAITING_APPROVAL) &&
           !act_in_flight(o) && !o->busy;
}

/* By which of its targets a run has what it has; nothing where that is the same target. */
static void by_target(struct buf *why, const struct run *o, const struct writing *w)
{
    if (!same_target(o->t, w->target))
        buf_addf(why, " (through %s)", o->t->id);
}

static void left_in_doubt(struct buf *why, const char *run, const struct writing *w)
{
    buf_addf(why, "run %s left %s in doubt: runbookctl settle %s", run, w->resource, run);
}

static enum verdict_kind locked(const struct guard_input *in, const struct writing *w,
                                struct buf *why)
{
    const struct engine *e = in->e;
    const struct json *doubt = doubt_of(e, w);

    for (size_t k = 0; k < e->nruns && !doubt; k++)
        if (e->runs[k] != in->r && e->runs[k]->unsettled && doubt_holds(e->runs[k]->unsettled, w))
            doubt = e->runs[k]->unsettled;
    if (doubt) {
        left_in_doubt(why, json_get_str(doubt, "run", "?"), w);
        return GUARD_DENY;
    }
    for (size_t k = 0; k < e->ninst; k++) {
        const struct instance *o = e->inst[k];
        if (o->awaits_run && may_own(o, w)) {
            buf_addf(why, "a run of policy %s is being read from the journal", o->p->name);
            return GUARD_DEFER;
        }
    }
    for (size_t k = 0; k < e->nruns; k++) {
        const struct run *o = e->runs[k];
        bool higher;
        if (o == in->r || run_over(o) || run_shadow(o) || !run_owns(o, w))
            continue;
        higher = (in->r && in->r->manual && !o->manual) ||
                 (in->p->severity < o->p->severity && !(o->manual && !(in->r && in->r->manual)));
        if (higher && only_waiting(o))
            continue; /* taken over when the intent is written */
        buf_addf(why, "run %s of policy %s owns %s of %s", o->id, o->p->name, w->attribute,
                 w->resource);
        by_target(why, o, w);
        return GUARD_DEFER;
    }
    for (size_t k = 0; k < e->nruns; k++) {
        const struct run *o = e->runs[k];
        if (o == in->r || !o->act.action ||
            (o->act.stage != ACT_STUCK && o->act.stage != ACT_PROBING) ||
            !same_resource(w, o->act.action->type, o->t, o->estate))
            continue;
        if (o->act.stage == ACT_STUCK) {
            left_in_doubt(why, o->id, w);
            return GUARD_DENY;
        }
        buf_addf(why, "run %s is asking whether its request to %s took effect", o->id, w->resource);
        return GUARD_DEFER;
    }
    return GUARD_ALLOW;
}

enum verdict_kind lock_ask(const struct guard_input *in, struct buf *why)
{
    enum verdict_kind kind;
    struct writing w;

    writing_init(&w, in->a->type, in->t, in->estate);
    kind = locked(in, &w, why);
    writing_free(&w);
    return kind;
}
