/* W203: what enforcing policies write, each thing with those that write it. */
#include <ctype.h>
#include <string.h>
#include "base/map.h"
#include "lua/internal.h"

struct writer {
    const struct policy *p;
    const struct target *target; /* by which the policy reaches it */
    struct writer *earlier;      /* of another policy, or NULL */
};

/* By attribute and resource, in lower case, the last one that writes it. */
struct writers {
    const struct estate *estate;
    struct map *last;
    struct arena *arena;
};

struct writers *writers_new(const struct estate *estate)
{
    struct writers *w = mem_alloc(sizeof *w);
    w->estate = estate;
    w->last = map_new();
    w->arena = arena_new();
    return w;
}

void writers_free(struct writers *w)
{
    map_free(w->last);
    arena_free(w->arena);
    mem_free(w);
}

static const char *key_of(struct writers *w, const struct action_type *type, const struct target *t)
{
    char *resource = action_resource(type, t, w->estate);
    char *key = arena_printf(w->arena, "%s %s", type->attribute, resource);
    mem_free(resource);
    for (char *c = key; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return key;
}

/* One warning for each earlier policy. */
static void tell(const struct writer *w, const char *attribute, const struct place *at,
                 struct json *told, struct diags *d)
{
    for (const struct writer *e = w->earlier; e; e = e->earlier) {
        if (json_get(told, e->p->name)) {
            continue;
        }
        json_set_bool(told, e->p->name, true);
        bool same = e->target == w->target;
        diag_add(d, "W203", at,
                 "policies \"%s\" (%s:%d) and \"%s\" both enforce %s of %s%s%s: the higher "
                 "severity will take it from the other",
                 e->p->name, e->p->site.file, e->p->site.line, w->p->name, attribute, e->target->id,
                 same ? "" : ", which has it in common with ", same ? "" : w->target->id);
    }
}

void writers_add(struct writers *w, const struct policy *p, const struct place *at, struct diags *d)
{
    const struct target **targets = NULL;
    if (!w->estate || p->procedure || p->mode != MODE_ENFORCE) {
        return;
    }
    struct json *told = json_new_map();
    size_t n = estate_select(w->estate, &p->target, &targets);
    for (size_t i = 0; i < p->nactions * n; i++) {
        const struct action_type *type = p->actions[i / n].type;
        const char *key = key_of(w, type, targets[i % n]);
        struct writer *last = map_get(w->last, key);
        if (last && last->p == p) {
            continue; /* another action, or another target, of this very policy */
        }
        struct writer *new = arena_alloc(w->arena, sizeof *new);
        *new = (struct writer){p, targets[i % n], last};
        map_put(w->last, key, new);
        tell(new, type->attribute, at, told, d);
    }
    mem_free(targets);
    json_free(told);
}
