/* Policy sets: counted, searched; conditions compared. */
#include <stdio.h>
#include <string.h>
#include "engine/policy.h"

struct policy_set *policy_set_ref(struct policy_set *s)
{
    s->refs++;
    return s;
}

void policy_set_unref(struct policy_set *s)
{
    if (s && --s->refs == 0)
        s->destroy(s);
}

const struct policy *policy_find(const struct policy_set *s, const char *name)
{
    for (size_t k = 0; k < s->npolicies; k++)
        if (strcmp(s->policies[k]->name, name) == 0)
            return s->policies[k];
    return NULL;
}

const struct policy *policy_variant(struct policy_set *s, const struct policy *p,
                                    const struct target *t)
{
    return s->variant ? s->variant(s, p, t) : p;
}

const struct policy *policy_for(struct policy_set *s, const char *name, const struct target *t)
{
    const struct policy *p = policy_find(s, name);

    return p ? policy_variant(s, p, t) : NULL;
}

const struct declared_action *policy_action(const struct policy *p, const char *name)
{
    for (size_t k = 0; k < p->nactions; k++)
        if (strcmp(p->actions[k].name, name) == 0)
            return &p->actions[k];
    return NULL;
}

const struct declared_check *policy_check(const struct policy *p, const char *name)
{
    for (size_t k = 0; k < p->nchecks; k++)
        if (strcmp(p->checks[k].name, name) == 0)
            return &p->checks[k];
    return NULL;
}

static bool same_word(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_window(const struct window *a, const struct window *b)
{
    return a == b ||
           (a && b && a->days == b->days && a->from_min == b->from_min && a->to_min == b->to_min &&
            strcmp(zone_name(a->zone), zone_name(b->zone)) == 0);
}

bool cond_same(const struct cond *a, const struct cond *b)
{
    if (!a || !b)
        return a == b;
    /* Signals are of the program, so there is one of each name. */
    if (a->kind != b->kind || a->nkids != b->nkids || a->signal != b->signal || a->cmp != b->cmp ||
        a->threshold != b->threshold || !same_word(a->word, b->word) ||
        a->lasting_ms != b->lasting_ms || a->missing != b->missing ||
        !same_window(a->window, b->window) || !json_equal(a->opts, b->opts))
        return false;
    for (size_t k = 0; k < a->nkids; k++)
        if (!cond_same(a->kids[k], b->kids[k]))
            return false;
    return true;
}
