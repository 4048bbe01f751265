/* What outlives an episode, a target's absence and a reload: the cooldown and the breaker of each
 * policy and target, and that it is known to be blind. */
#include <string.h>
#include "engine/internal.h"

static struct standing *find(struct engine *e, const char *key)
{
    for (size_t k = 0; k < e->nstandings; k++)
        if (strcmp(e->standings[k].key, key) == 0)
            return &e->standings[k];
    return NULL;
}

void standing_set(struct engine *e, const char *key, int64_t last_end_ms, int bad, bool open,
                  bool blind)
{
    struct standing *s = find(e, key);

    if (!s) {
        e->standings = mem_realloc(e->standings, (e->nstandings + 1) * sizeof(*e->standings));
        s = &e->standings[e->nstandings++];
        s->key = mem_strdup(key);
    }
    s->last_end_ms = last_end_ms;
    s->bad = bad;
    s->open = open;
    s->blind = blind;
    /* The target may be back already while a run from before its absence ends. */
    struct instance *i = instance_find(e, key);
    if (i)
        standing_apply(i);
}

void standing_apply(struct instance *i)
{
    const struct standing *s = find(i->e, i->key);

    if (!s)
        return;
    i->last_end_ms = s->last_end_ms;
    i->bad = s->bad;
    i->breaker_open = s->open;
    i->blind_reported = s->blind;
}

void standing_free(struct engine *e)
{
    for (size_t k = 0; k < e->nstandings; k++)
        mem_free(e->standings[k].key);
    mem_free(e->standings);
}
