/* Questions that CloudWatch refuses, and when each is asked again. */
#include "shared_cloudwatch_refused.h"

#include <stdio.h>

#include "base/backoff.h"
#include "base/map.h"
#include "base/mem.h"

/* Only its author can mend it, and what he writes is another question: this is for what AWS itself
 * comes to understand. */
#define AGAIN_MS 60000
#define AGAIN_MAX_MS 3600000

struct entry {
    char *key;
    int times;
    int64_t again_ms;
    char why[200];
};

struct cw_refused {
    struct map *by_key;
    struct entry **list;
    size_t n;
};

struct cw_refused *cw_refused_new(void)
{
    struct cw_refused *r = mem_alloc(sizeof(*r));

    r->by_key = map_new();
    return r;
}

static void drop(struct cw_refused *r, size_t i)
{
    struct entry *e = r->list[i];

    map_remove(r->by_key, e->key);
    r->list[i] = r->list[--r->n];
    mem_free(e->key);
    mem_free(e);
}

void cw_refused_free(struct cw_refused *r)
{
    if (r == NULL)
        return;
    while (r->n > 0)
        drop(r, r->n - 1);
    map_free(r->by_key);
    mem_free(r->list);
    mem_free(r);
}

static struct entry *of(const struct cw_refused *r, const struct cw_query *q)
{
    return map_get(r->by_key, q->key);
}

void cw_refused_note(struct cw_refused *r, const struct cw_query *q, int64_t now_ms,
                     const char *why)
{
    struct entry *e = of(r, q);

    if (e == NULL) {
        e = mem_alloc(sizeof(*e));
        e->key = mem_strdup(q->key);
        r->list = mem_realloc(r->list, (r->n + 1) * sizeof(*r->list));
        r->list[r->n++] = e;
        map_put(r->by_key, e->key, e);
    }
    e->times++;
    e->again_ms = now_ms + backoff_ms(e->times, AGAIN_MS, AGAIN_MAX_MS);
    snprintf(e->why, sizeof(e->why), "CloudWatch refuses the question: %.150s", why);
}

void cw_refused_forget(struct cw_refused *r, const struct cw_query *q)
{
    const struct entry *e = of(r, q);

    for (size_t i = 0; e != NULL && i < r->n; i++) {
        if (r->list[i] == e) {
            drop(r, i);
            break;
        }
    }
}

void cw_refused_mark(struct cw_refused *r, struct cw_set *s)
{
    for (size_t i = r->n; i-- > 0;) {
        if (s->by_key == NULL || map_get(s->by_key, r->list[i]->key) == NULL)
            drop(r, i);
    }
    for (size_t i = 0; i < s->nqueries; i++)
        s->queries[i].alone = of(r, &s->queries[i]) != NULL;
}

const char *cw_refused_why(const struct cw_refused *r, const struct cw_query *q)
{
    const struct entry *e = of(r, q);

    return e != NULL ? e->why : NULL;
}

bool cw_refused_due(const struct cw_refused *r, const struct cw_query *q, int64_t now_ms)
{
    const struct entry *e = of(r, q);

    return e == NULL || now_ms >= e->again_ms;
}
