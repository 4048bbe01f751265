/* Requests that may have taken effect and whose runs cannot be gone on with: whatever each of them
 * may have written is held until a human settles it, over restarts too. */
#include <string.h>
#include <strings.h>
#include "engine/internal.h"

bool doubt_may_have_left(const struct json *step)
{
    const char *state = json_get_str(step, "state", "");

    return strcmp(state, "intent") == 0 || strcmp(state, "in_doubt") == 0;
}

/* What the policy's actions could write on this target, where it is not known what was. */
static void add_resources(struct json *list, const struct instance *i, const char *action)
{
    for (size_t k = 0; i && k < i->p->nactions; k++) {
        const struct declared_action *a = &i->p->actions[k];
        char *resource;
        if (action && strcmp(action, a->name) != 0)
            continue;
        resource = action_resource(a->type, i->t, i->estate);
        json_add(list, json_new_str(resource));
        mem_free(resource);
    }
}

struct json *doubt_new(const struct json *run, const struct json *step, const struct instance *i)
{
    struct json *d = json_new_map(), *list;
    const char *resource = json_get_str(step, "resource", NULL);

    json_set_str(d, "run", json_get_str(run, "id", "?"));
    json_set_str(d, "episode", json_get_str(run, "episode", NULL));
    json_set_str(d, "policy", json_get_str(run, "policy", "?"));
    json_set_str(d, "target", json_get_str(run, "target", "?"));
    if (step)
        json_set_strf(d, "what", "%s %s", json_get_str(step, "name", "?"),
                      json_get_str(json_get(step, "plan"), "summary", "(no summary)"));
    else
        json_set_str(d, "what", "what it had begun");
    list = json_set(d, "resources", json_new_list());
    if (resource)
        json_add(list, json_new_str(resource));
    else
        add_resources(list, i, json_get_str(step, "name", NULL));
    return d;
}

void doubt_keep(struct engine *e, const struct json *doubt)
{
    json_set(e->doubts, json_get_str(doubt, "run", "?"), json_copy(doubt));
}

void doubt_leave(struct engine *e, struct jtx *tx, const struct json *doubt)
{
    struct json *d = json_copy(doubt);

    doubt_keep(e, doubt);
    json_set_int(d, "at_ms", now(e));
    json_set_int(d, "wall_ms", wall(e));
    jtx_put(tx, "doubt", json_get_str(doubt, "run", "?"), d, true);
}

char *doubt_text(const struct json *doubt)
{
    return mem_printf("IN DOUBT: whether \"%s\" took effect is not known",
                      json_get_str(doubt, "what", "?"));
}

char *doubt_order(const struct json *doubt)
{
    return mem_printf("The target is held. Look, then: runbookctl settle %s done | not-done",
                      json_get_str(doubt, "run", "?"));
}

bool doubt_settle(struct engine *e, struct jtx *tx, const char *run, bool done, const char *by)
{
    const struct json *doubt = json_get(e->doubts, run);
    struct json *d;

    if (!doubt)
        return false;
    d = json_copy(doubt);
    json_set_str(d, "settled", done ? "done" : "not-done");
    json_set_str(d, "by", by);
    json_set_int(d, "at_ms", now(e));
    json_set_int(d, "wall_ms", wall(e));
    jtx_put(tx, "doubt", run, d, false);
    report_agent(e, tx, REPORT_NOTE, json_get_str(d, "episode", run),
                 "%s: \"%s\" of run %s was %s: settled by %s. The target is held no more",
                 json_get_str(d, "target", "?"), json_get_str(d, "what", "?"), run,
                 done ? "done" : "not done", by);
    engine_trace(e, NULL, "settle", "%s %s", run, done ? "done" : "not-done");
    json_remove(e->doubts, run);
    return true;
}

bool doubt_holds(const struct json *doubt, const struct writing *w)
{
    if (strcmp(json_get_str(doubt, "target", ""), w->target->id) == 0)
        return true;
    for (const struct json *r = json_first(json_get(doubt, "resources")); r; r = json_next(r))
        if (strcasecmp(json_str(r, ""), w->resource) == 0)
            return true;
    return false;
}

const struct json *doubt_of(const struct engine *e, const struct writing *w)
{
    for (const struct json *d = json_first(e->doubts); d; d = json_next(d))
        if (doubt_holds(d, w))
            return d;
    return NULL;
}
