/* Series made of others: how much a signal changed, and how two of them compare. A derived point
 * has the time of the point that it is made of, so all that holds for points (clocks, freshness,
 * what counts after an act) holds for it. It is a function of points, not of when they came. */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "engine/series.h"

static void makes(struct series *part, struct series *s)
{
    for (size_t i = 0; i < part->nmakes; i++)
        if (part->makes[i] == s)
            return;
    part->makes = mem_realloc(part->makes, (part->nmakes + 1) * sizeof(struct series *));
    part->makes[part->nmakes++] = s;
}

void series_made_of(struct series *s, struct series *const *from, size_t n)
{
    int64_t over_ms = json_get_int(s->opts, "over", 0);

    for (size_t i = 0; i < n; i++) {
        int64_t need_ms =
            s->keep_ms + over_ms + 2 * (from[i]->interval_ms + series_late_ms(from[i]));
        if (from[i]->keep_ms < need_ms)
            from[i]->keep_ms = need_ms;
        s->from[i] = from[i];
        makes(from[i], s);
    }
    s->nfrom = n;
}

/* Points from this number on are values: not forgotten, and no implausible reading came after them.
 */
static uint64_t first_value(const struct series *s)
{
    uint64_t oldest = s->total - s->count;

    return s->restart > oldest ? s->restart : oldest;
}

static const struct point *numbered(const struct series *s, uint64_t number)
{
    return series_at(s, (size_t)(number - (s->total - s->count)));
}

/* The newest point that was known at that time and not too old then; NULL: there is none. */
static const struct point *known_at(const struct series *s, int64_t at_ms)
{
    for (uint64_t i = s->total; i-- > first_value(s);) {
        const struct point *p = numbered(s, i);

        if (point_end_ms(p) <= at_ms)
            return point_end_ms(p) + s->interval_ms + series_late_ms(s) >= at_ms ? p : NULL;
    }
    return NULL;
}

static bool is_bad(enum finding f)
{
    return f != FINDING_NONE && f != FINDING_NEVER && f != FINDING_STALE;
}

/* a of b in percent, or a through b; false with why when there is no such number. */
static bool change_of(double now, double then, double *out, const char **why)
{
    *why = "it was zero then, and what grows from zero has no share";
    if (then == 0 && now != 0)
        return false;
    *out = then == 0 ? 0 : (now - then) / fabs(then) * 100;
    return true;
}

static bool ratio_of(double a, double b, double *out, const char **why)
{
    *why = "b is zero, and nothing is a multiple of that";
    *out = b != 0 ? a / b : 0;
    return b != 0;
}

void series_derive(struct series *s, int64_t now_ms)
{
    bool compare = s->signal->derive == DERIVE_COMPARE;
    int64_t over_ms = json_get_int(s->opts, "over", 0);
    /* One point for each of the slower of two. */
    size_t slow = compare && s->from[1]->interval_ms > s->from[0]->interval_ms;
    const struct series *pace = s->from[slow], *other = compare ? s->from[!slow] : pace;

    for (size_t i = 0; i < s->nfrom; i++) {
        const struct series *f = s->from[i];
        if (is_bad(f->finding)) {
            series_unknown(s, FINDING_SOURCE, f->why[0] != '\0' ? f->why : finding_name(f->finding),
                           now_ms);
            return; /* what it is about is looked at again when it is a value */
        }
    }
    if (s->taken < first_value(pace))
        s->taken = first_value(pace);
    for (; s->taken < pace->total; s->taken++) {
        const struct point *p = numbered(pace, s->taken), *q, *newest = series_newest(other);
        const char *why;
        double v;
        bool ok;

        /* The other's point of this time may still come. */
        if (compare && (newest == NULL || point_end_ms(newest) < point_end_ms(p)))
            return;
        q = known_at(other, point_end_ms(p) - over_ms);
        if (q == NULL)
            continue; /* no sample of this time: missing, as any other */
        if (!compare)
            ok = change_of(p->value, q->value, &v, &why);
        else
            ok = slow ? ratio_of(q->value, p->value, &v, &why)
                      : ratio_of(p->value, q->value, &v, &why);
        if (ok)
            series_add(s, p->start_ms, p->period_ms, v, now_ms);
        else
            series_unknown(s, FINDING_SOURCE, why, now_ms);
    }
}
