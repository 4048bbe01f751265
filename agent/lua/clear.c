/* `clear` on the leaves of a `when`: hysteresis that is written where the threshold is (M6). */
#include <stdio.h>
#include "base/units.h"
#include "lua/internal.h"

/* The condition with each `clear` in its comparator's place; itself where it has none. Whether it
 * is over is a matter of the newest points, so these leaves have no `lasting`. */
static struct cond *at_clear(struct arena *a, struct cond *c)
{
    struct cond *copy = NULL;
    if (c->kind == COND_LEAF && c->clear_site.file) {
        copy = arena_alloc(a, sizeof *copy);
        *copy = *c;
        copy->threshold = c->clear;
        copy->lasting_ms = 0;
        copy->clear_site = (struct site){0};
    }
    for (size_t i = 0; i < c->nkids; i++) {
        struct cond *kid = at_clear(a, c->kids[i]);
        if (kid != c->kids[i] && !copy) {
            copy = arena_alloc(a, sizeof *copy);
            *copy = *c;
            copy->kids = arena_alloc(a, c->nkids * sizeof *copy->kids);
            for (size_t k = 0; k < c->nkids; k++) {
                copy->kids[k] = c->kids[k];
            }
        }
        if (copy) {
            copy->kids[i] = kid;
        }
    }
    return copy ? copy : c;
}

struct cond *clear_of_when(struct arena *a, struct cond *when)
{
    struct cond *kid = when ? at_clear(a, when) : NULL;
    if (kid == when) {
        return NULL;
    }
    struct cond *c = arena_alloc(a, sizeof *c);
    c->kind = COND_NONE;
    c->site = when->site;
    c->kids = arena_alloc(a, sizeof *c->kids);
    c->kids[0] = kid;
    c->nkids = 1;
    return c;
}

/* Whether the leaf stands in the tree: a condition that has a name may be used twice. */
static bool stands_in(const struct cond *tree, const struct cond *leaf)
{
    bool found = tree == leaf;
    for (size_t i = 0; tree && i < tree->nkids && !found; i++) {
        found = stands_in(tree->kids[i], leaf);
    }
    return found;
}

/* E106: a leaf that is not of `when` has no end that its `clear` could tell. */
static void check_elsewhere(const struct loader *ld, const struct policy *p, const char *field,
                            const struct cond *c)
{
    for (size_t i = 0; c && i < c->nkids; i++) {
        check_elsewhere(ld, p, field, c->kids[i]);
    }
    if (!c || !c->clear_site.file || stands_in(p->when, c)) {
        return;
    }
    struct place at = place_site(ld, &c->clear_site, "clear");
    diag_add(ld->d, "E106", &at,
             "clear of sig.%s has a meaning in `when` only, and this one is in %s: delete it",
             c->signal->name, field);
}

/* `inside`: true within a `none`, where the leaf's being false is what fires. */
static void check_side(const struct loader *ld, const struct policy *p, const struct cond *c,
                       bool inside)
{
    for (size_t i = 0; i < c->nkids; i++) {
        check_side(ld, p, c->kids[i], inside != (c->kind == COND_NONE));
    }
    if (!c->clear_site.file) {
        return;
    }
    struct place at = place_site(ld, &c->clear_site, "clear");
    if (p->clear && !p->clear_of_when) {
        diag_add(ld->d, "E106", &at,
                 "clear of sig.%s: policy \"%s\" has a `clear` of its own, which alone says when "
                 "it is over; delete this one, or the policy's",
                 c->signal->name, p->name);
        return;
    }
    bool less = (c->cmp == CMP_ABOVE || c->cmp == CMP_AT_LEAST) != inside;
    if (less ? c->clear < c->threshold : c->clear > c->threshold) {
        return;
    }
    enum unit unit = signal_unit(c->signal, c->opts);
    char limit[UNIT_TEXT], got[UNIT_TEXT];
    diag_add(ld->d, "E108", &at,
             "clear of sig.%s must be %s than %s, got %s: it is over only some way back from where "
             "it fires%s",
             c->signal->name, less ? "less" : "more",
             unit_format(limit, sizeof limit, unit, c->threshold),
             unit_format(got, sizeof got, unit, c->clear),
             inside ? " (in `none` that is when the comparison is false)" : "");
}

void check_clear(const struct loader *ld, const struct policy *p)
{
    if (p->when) {
        check_side(ld, p, p->when, false);
    }
    if (!p->clear_of_when) {
        check_elsewhere(ld, p, "the policy's own `clear`", p->clear);
    }
    check_elsewhere(ld, p, "`window`", p->window);
    for (size_t i = 0; i < p->nchecks; i++) {
        char field[128];
        snprintf(field, sizeof field, "check \"%s\"", p->checks[i].name);
        check_elsewhere(ld, p, field, p->checks[i].cond);
    }
    for (size_t i = 0; i < p->nactions; i++) {
        check_elsewhere(ld, p, "`approval_unless`", p->actions[i].approval_unless);
    }
}
