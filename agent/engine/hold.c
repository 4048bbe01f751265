/* What waits for a completion of the journal or the world: held by the engine, so that nothing is
 * lost when the engine ends before the completion comes. */
#include "engine/internal.h"

struct held {
    struct held *next, **link;
    void (*drop)(void *p);
};

void *engine_hold(struct engine *e, size_t size, void (*drop)(void *p))
{
    struct held *h = mem_alloc(sizeof(*h) + size);

    h->drop = drop;
    h->next = e->held;
    h->link = &e->held;
    if (h->next)
        h->next->link = &h->next;
    e->held = h;
    return h + 1;
}

void engine_release(void *p)
{
    struct held *h = (struct held *)p - 1;

    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    mem_free(h);
}

void engine_drop_held(struct engine *e)
{
    while (e->held) {
        struct held *h = e->held;
        if (h->drop)
            h->drop(h + 1);
        engine_release(h + 1);
    }
}
