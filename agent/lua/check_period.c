/* W205 of a target: a period that the metric has, but not on what the policy is for. */
#include <stdio.h>
#include "lua/internal.h"

/* Of the account that the target's metrics are in. One with an endpoint of its own is not AWS. */
static bool too_fine(const struct signal *s, const struct target *t, const struct estate *e,
                     const struct json *opts, char *why, size_t size)
{
    char kind[32] = "", period[UNIT_TEXT];
    (void)sscanf(s->targets, "%31s", kind);
    const struct target *owner = estate_related(e, t, kind);
    const struct target *aws = estate_related(e, owner ? owner : t, "aws");
    if (!aws || json_get(aws->fields, "endpoint") ||
        signal_interval_ms(s, t, opts) >= s->published_ms) {
        return false;
    }
    unit_format_duration(period, sizeof period, s->published_ms);
    snprintf(why, size, "AWS publishes it every %s: write period = \"%s\" or longer", period,
             period);
    return true;
}

void check_period(struct checker *c, const struct cond *leaf, const struct signal *s,
                  const struct json *opts)
{
    char why[256], what[80], more[40] = "";
    const struct target **chosen = NULL, *first = NULL;
    size_t n = 0, bad = 0;
    if (!s->bad_period || c->ld->quiet || !c->ld->estate ||
        s->bad_period(NULL, NULL, opts, why, sizeof why)) { /* told where it is written */
        return;
    }
    n = estate_select(c->ld->estate, &c->p->target, &chosen);
    for (size_t i = 0; i < n; i++) {
        char text[sizeof why];
        char *say = first ? text : why;
        if (s->bad_period(chosen[i], c->ld->estate, opts, say, sizeof why) ||
            too_fine(s, chosen[i], c->ld->estate, opts, say, sizeof why)) {
            first = first ? first : chosen[i];
            bad++;
        }
    }
    if (first) {
        if (bad > 1) {
            snprintf(more, sizeof more, " and %zu more", bad - 1);
        }
        snprintf(what, sizeof what, "sig.%s", s->name);
        struct place at = place_site_field(c->ld, &leaf->site, what, "period");
        diag_add(c->ld->d, "W205", &at, "%s of %s%s: %s", what, first->id, more, why);
    }
    mem_free(chosen);
}
