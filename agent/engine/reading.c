/* The signal that sizes an act: read when the step is planned, and kept with its options, so that
 * the plan, its approval and the re-check mean the same reading. */
#include <string.h>

#include "engine/internal.h"

#define NOT_READ "what is loaded now does not read it"

/* Its bound; NULL: what is loaded now reads another one. */
static struct bound *bound_of(const struct instance *i, const struct declared_action *a)
{
    for (size_t k = 0; i && a->reads && k < i->p->nactions; k++)
        if (i->reads[k] && strcmp(i->p->actions[k].name, a->name) == 0 &&
            cond_same(i->p->actions[k].reads, a->reads))
            return i->reads[k];
    return NULL;
}

/* It has one leaf. */
static void keep(void *series, struct series *s)
{
    *(struct series **)series = s;
}

static const struct series *series_of(const struct bound *b)
{
    struct series *s = NULL;

    if (b)
        bound_each_series(b, keep, &s);
    return s;
}

enum verdict_kind reading_guard(struct engine *e, const struct instance *i,
                                const struct declared_action *a, struct buf *why)
{
    struct bound *b = a->reads ? bound_of(i, a) : NULL;
    const struct series *s = series_of(b);
    const char *text = s ? series_why(s, now(e)) : NOT_READ;

    if (!a->reads || (b && bound_eval(b, now(e)).value == TRI_TRUE))
        return GUARD_ALLOW;
    buf_addf(why, "%s of %s is sig.%s, which is unknown: %s", a->reads_as, a->name,
             a->reads->signal->name, text ? text : "it takes two readings to be sure");
    /* After a start the data has to arrive first; a run that was taken up waits for it. */
    return b && now(e) - e->loaded_ms <= bound_slowest_ms(b) ? GUARD_DEFER : GUARD_DENY;
}

void reading_take(struct engine *e, const struct instance *i, const struct declared_action *a,
                  struct json *opts)
{
    struct json *of = a->reads ? json_get_mut(opts, a->reads_as) : NULL;
    const struct bound *b = of ? bound_of(i, a) : NULL;
    const struct series *s;
    const struct point *p;
    char text[UNIT_TEXT];

    if (!of)
        return;
    json_remove(of, "reading");
    json_remove(of, "unknown");
    s = series_of(b);
    p = s ? series_reading(s, now(e)) : NULL;
    if (!p) {
        json_set_str(of, "unknown", s ? series_why(s, now(e)) : NOT_READ);
        return;
    }
    json_set_num(of, "reading", p->value);
    json_set_str(of, "text",
                 unit_format(text, sizeof(text), signal_unit(s->signal, s->opts), p->value));
    json_set_int(of, "end_wall_ms", wall_of(e, point_end_ms(p)));
}
