/* Which instances are to be evaluated: those that something changed for, and those whose time has
 * come. A list and a heap, so that a turn costs what is due and not what there is. */
#include <stdlib.h>
#include "engine/internal.h"

void due_mark(struct instance *i)
{
    struct engine *e = i->e;

    if (i->dirty)
        return;
    i->dirty = true;
    if (e->nmarked == e->cmarked) {
        e->cmarked = e->cmarked ? e->cmarked * 2 : 64;
        e->marked = mem_realloc(e->marked, e->cmarked * sizeof(*e->marked));
    }
    e->marked[e->nmarked++] = i;
}

/* The heap: the earliest first; an instance knows its place, from 1. */

static void place(struct engine *e, size_t at, struct instance *i)
{
    e->heap[at] = i;
    i->heap_at = at;
}

static void up(struct engine *e, size_t at, struct instance *i)
{
    for (; at > 1 && e->heap[at / 2]->due_ms > i->due_ms; at /= 2)
        place(e, at, e->heap[at / 2]);
    place(e, at, i);
}

static void down(struct engine *e, size_t at, struct instance *i)
{
    for (size_t kid; (kid = at * 2) <= e->nheap; at = kid) {
        if (kid < e->nheap && e->heap[kid + 1]->due_ms < e->heap[kid]->due_ms)
            kid++;
        if (e->heap[kid]->due_ms >= i->due_ms)
            break;
        place(e, at, e->heap[kid]);
    }
    place(e, at, i);
}

static void take_out(struct instance *i)
{
    struct engine *e = i->e;
    size_t at = i->heap_at;
    struct instance *last;

    if (!at)
        return;
    i->heap_at = 0;
    last = e->heap[e->nheap--];
    if (last == i)
        return;
    if (at > 1 && e->heap[at / 2]->due_ms > last->due_ms)
        up(e, at, last);
    else
        down(e, at, last);
}

void due_set(struct instance *i)
{
    struct engine *e = i->e;
    int64_t at_ms = instance_next_ms(i);

    if (i->heap_at && at_ms == i->due_ms)
        return;
    take_out(i);
    i->due_ms = at_ms;
    if (at_ms == NEVER)
        return;
    if (e->nheap + 2 > e->cheap) {
        e->cheap = e->cheap ? e->cheap * 2 : 64;
        e->heap = mem_realloc(e->heap, e->cheap * sizeof(*e->heap));
    }
    up(e, ++e->nheap, i);
}

void due_forget(struct instance *i)
{
    struct engine *e = i->e;

    take_out(i);
    if (!i->dirty)
        return;
    for (size_t k = 0; k < e->nmarked; k++)
        if (e->marked[k] == i) {
            e->marked[k] = e->marked[--e->nmarked];
            return;
        }
}

static int by_order(const void *a, const void *b)
{
    const struct instance *x = *(struct instance *const *)a, *y = *(struct instance *const *)b;

    return x->order < y->order ? -1 : x->order > y->order;
}

size_t due_take(struct engine *e, int64_t until_ms, struct instance ***out)
{
    size_t n = e->nmarked;

    *out = e->marked;
    if (!n && !(e->nheap && e->heap[1]->due_ms <= until_ms)) {
        *out = NULL;
        return 0;
    }
    for (size_t cap = e->cmarked; e->nheap && e->heap[1]->due_ms <= until_ms;) {
        struct instance *i = e->heap[1];
        take_out(i);
        if (i->dirty)
            continue; /* in the list already */
        if (n == cap) {
            cap = cap ? cap * 2 : 64;
            *out = mem_realloc(*out, cap * sizeof(**out));
        }
        (*out)[n++] = i;
    }
    e->marked = NULL; /* the list is the caller's */
    e->nmarked = e->cmarked = 0;
    for (size_t k = 0; k < n; k++)
        (*out)[k]->dirty = false;
    qsort(*out, n, sizeof(**out), by_order);
    return n;
}

int64_t due_next_ms(const struct engine *e)
{
    return e->nmarked ? 0 : e->nheap ? e->heap[1]->due_ms : NEVER;
}

void due_free(struct engine *e)
{
    mem_free(e->marked);
    mem_free(e->heap);
}
