/* What a leaf is read from on the targets that the policy is for: W213 where it has no source, W205
 * where its source does not have such a period. */
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

static bool bad_period(const struct signal *s, const struct target *t, const struct estate *e,
                       const struct json *opts, char *why, size_t size)
{
    /* One that no target has is told where it is written. */
    if (s->bad_period && s->bad_period(NULL, NULL, opts, why, size)) {
        return false;
    }
    return (s->bad_period && s->bad_period(t, e, opts, why, size)) ||
           too_fine(s, t, e, opts, why, size);
}

static bool no_source(const struct signal *s, const struct target *t, const struct estate *e,
                      const struct json *opts, char *why, size_t size)
{
    const struct collector_type *type = signal_collector(s, t, e);
    struct err err = ERR_INIT;
    char source[160];
    (void)opts;
    if (!type || !type->source || type->source(s, t, e, source, sizeof source, &err) == 0) {
        return false;
    }
    snprintf(why, size, "%s", err.text);
    return true;
}

static const struct question {
    const char *code, *field; /* of the leaf, where it stands; NULL: the leaf */
    bool (*bad)(const struct signal *s, const struct target *t, const struct estate *e,
                const struct json *opts, char *why, size_t size);
} questions[] = {{"W213", NULL, no_source}, {"W205", "period", bad_period}};

/* One warning for all targets of which it is so: the first of them and how many more. */
static bool ask(struct checker *c, const struct question *q, const struct cond *leaf,
                const struct signal *s, const struct json *opts, const struct target **chosen,
                size_t n)
{
    char why[256], text[256], what[80], more[40] = "";
    const struct target *first = NULL;
    size_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (q->bad(s, chosen[i], c->ld->estate, opts, first ? text : why, sizeof why)) {
            first = first ? first : chosen[i];
            bad++;
        }
    }
    if (!first) {
        return false;
    }
    if (bad > 1) {
        snprintf(more, sizeof more, " and %zu more", bad - 1);
    }
    snprintf(what, sizeof what, "sig.%s", s->name);
    struct place at = q->field ? place_site_field(c->ld, &leaf->site, what, q->field)
                               : place_site(c->ld, &leaf->site, what);
    diag_add(c->ld->d, q->code, &at, "%s of %s%s: %s", what, first->id, more, why);
    return true;
}

void check_source(struct checker *c, const struct cond *leaf, const struct signal *s,
                  const struct json *opts)
{
    const struct target **chosen = NULL;
    size_t n = 0;
    if (c->ld->quiet || !c->ld->estate) {
        return;
    }
    n = estate_select(c->ld->estate, &c->p->target, &chosen);
    for (size_t k = 0; k < sizeof questions / sizeof *questions; k++) {
        if (ask(c, &questions[k], leaf, s, opts, chosen, n)) {
            break;
        }
    }
    mem_free(chosen);
}
