/* Conditions in words: the tree for explain, the line for a page. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/bound.h"

#define TEXT 64
#define NAME 160
#define WHY 240

/* Asking must not move a hold clock: the leaves as they would be now, in a copy that the caller
 * frees. What a clock on the wall shows moves by itself. */
static struct leaf *look(const struct bound *b, int64_t now_ms)
{
    struct leaf *leaves = mem_calloc(b->nleaves + 1, sizeof(*leaves));
    struct bound at = *b;

    if (!at.started)
        at.start_ms = now_ms;
    clocks_look(b, now_ms);
    for (size_t i = 0; i < b->nleaves; i++) {
        leaves[i] = b->leaves[i];
        leaf_refresh(&leaves[i], &at, now_ms);
    }
    return leaves;
}

static const char *value_name(struct kleene k)
{
    return k.value == K_TRUE ? "true" : k.value == K_FALSE ? "false" : "unknown";
}

static bool is_pending(struct kleene k)
{
    return k.value == K_UNKNOWN && k.if_true != K_UNKNOWN && k.if_false != K_UNKNOWN;
}

static bool is_word(const struct cond *c)
{
    return c->cmp == CMP_IS || c->cmp == CMP_IS_NOT;
}

static const char *value_text(char *out, size_t size, const struct cond *c, double v)
{
    const struct signal *s = c->signal;
    size_t n = 0;

    while (s->words != NULL && s->words[n] != NULL)
        n++;
    if (s->unit == UNIT_ENUM && v >= 0 && v < (double)n)
        return s->words[(size_t)v];
    return unit_format(out, size, signal_unit(s, c->opts), v);
}

static const char *threshold_text(char *out, size_t size, const struct cond *c)
{
    if (is_word(c))
        return c->word != NULL ? c->word : "?";
    return unit_format(out, size, signal_unit(c->signal, c->opts), c->threshold);
}

/* "asg_cpu"; of one that is made of others: "change of alb_requests over 10m", "asg_cpu / db_cpu".
 */
static const char *leaf_name(char *out, size_t size, const struct leaf *l)
{
    const struct series *s = l->series;
    char text[TEXT];

    if (s->signal->derive == DERIVE_CHANGE && s->nfrom == 1)
        snprintf(out, size, "change of %s over %s", s->from[0]->signal->name,
                 unit_format_duration(text, sizeof(text), json_get_int(s->opts, "over", 0)));
    else if (s->signal->derive == DERIVE_COMPARE && s->nfrom == 2)
        snprintf(out, size, "%s / %s", s->from[0]->signal->name, s->from[1]->signal->name);
    else
        snprintf(out, size, "%s", s->signal->name);
    return out;
}

/* Why a leaf has no value, or NULL. */
static const char *unknown_why(const struct leaf *l, const struct bound *b, int64_t now_ms)
{
    const struct series *s = l->series;
    const char *why = series_why(s, now_ms);

    if (why != NULL)
        return why;
    if (s->fresh < 2)
        return "only one fresh reading since the start, two are needed";
    if (!l->any)
        return b->not_before_ms != 0 ? "no reading yet of the time after the act"
                                     : "no reading yet after an implausible one";
    return NULL;
}

static const char *missing_word(enum missing m)
{
    return m == MISSING_TRUE ? "true" : m == MISSING_FALSE ? "false" : "hold";
}

static void explain_leaf(struct json *j, const struct leaf *l, const struct bound *b,
                         int64_t now_ms)
{
    const struct cond *c = l->cond;
    const struct series *s = l->series;
    const struct point *p = series_newest(s);
    enum finding f = series_finding(s, now_ms);
    char text[TEXT], name[NAME];

    json_set_str(j, "signal", leaf_name(name, sizeof(name), l));
    json_set_str(j, "target", s->target->id);
    if (json_len(s->opts) > 0)
        json_set(j, "opts", json_copy(s->opts));
    json_set_str(j, "comparator", cmp_word(c->cmp));
    json_set_num(j, "threshold", l->threshold);
    json_set_str(j, "threshold_text", threshold_text(text, sizeof(text), c));
    if (p != NULL) {
        json_set_num(j, "reading", p->value);
        json_set_str(j, "reading_text", value_text(text, sizeof(text), c, p->value));
        json_set_int(j, "age_ms", now_ms - point_end_ms(p));
        if (series_noted(s) != NULL)
            json_set_str(j, "note", series_noted(s));
    }
    json_set_int(j, "held_ms", l->held_ms);
    json_set_int(j, "lasting_ms", c->lasting_ms);
    if (c->missing != MISSING_HOLD)
        json_set_str(j, "missing", missing_word(c->missing));
    if (f != FINDING_NONE)
        json_set_str(j, "finding", finding_name(f));
    if (l->now.value == K_UNKNOWN && !is_pending(l->now) && unknown_why(l, b, now_ms) != NULL)
        json_set_str(j, "why", unknown_why(l, b, now_ms));
}

static struct json *explain_node(const struct node *n, const struct leaf *leaves,
                                 const struct bound *b, int64_t now_ms)
{
    static const char *const kinds[] = {[COND_LEAF] = "leaf",
                                        [COND_ALL] = "all",
                                        [COND_ANY] = "any",
                                        [COND_NONE] = "none",
                                        [COND_CLOCK] = "clock"};
    struct kleene k = node_value(n, leaves);
    struct json *j = json_new_map(), *kids;

    json_set_str(j, "kind", kinds[n->cond->kind]);
    json_set_str(j, "value", value_name(k));
    if (is_pending(k))
        json_set_bool(j, "pending", true);
    json_set_strf(j, "site", "%s:%d:%d", n->cond->site.file != NULL ? n->cond->site.file : "?",
                  n->cond->site.line, n->cond->site.column);
    if (n->cond->kind == COND_LEAF) {
        explain_leaf(j, &leaves[n->leaf], b, now_ms);
        return j;
    }
    if (n->cond->kind == COND_CLOCK) {
        char text[TEXT];
        json_set_str(j, "signal", n->cond->signal->name);
        json_set_str(j, "window", n->cond->window->text);
        if (b->wall_ms != NULL)
            json_set_str(
                j, "reading_text",
                window_shows(n->cond->window, b->wall_ms(b->wall_arg), text, sizeof(text)));
        return j;
    }
    kids = json_set(j, "kids", json_new_list());
    for (size_t i = 0; i < n->cond->nkids; i++)
        json_add(kids, explain_node(n->kids[i], leaves, b, now_ms));
    return j;
}

struct json *bound_explain(const struct bound *b, int64_t now_ms)
{
    struct leaf *leaves = look(b, now_ms);
    struct json *j = explain_node(b->root, leaves, b, now_ms);

    mem_free(leaves);
    return j;
}

/* The first leaf or clock without which the node's value would not be what it is; NULL for a node
 * without kids. */
static const struct node *deciding(const struct node *n, const struct leaf *leaves)
{
    struct kleene k = node_value(n, leaves);
    bool pending = is_pending(k);
    int want = n->cond->kind == COND_NONE ? -k.value : k.value;

    if (n->cond->kind == COND_LEAF || n->cond->kind == COND_CLOCK)
        return n;
    for (size_t i = 0; i < n->cond->nkids; i++) {
        struct kleene kid = node_value(n->kids[i], leaves);

        if (kid.value == want && (want != K_UNKNOWN || is_pending(kid) == pending))
            return deciding(n->kids[i], leaves);
    }
    return n->cond->nkids > 0 ? deciding(n->kids[0], leaves) : NULL;
}

static void add_duration(struct buf *out, int64_t ms)
{
    char text[TEXT];

    /* Seconds are enough for people, except below one. */
    (void)buf_adds(out,
                   unit_format_duration(text, sizeof(text), ms >= 1000 ? ms / 1000 * 1000 : ms));
}

static void add_unknown(struct buf *out, const struct leaf *l, const struct bound *b,
                        int64_t now_ms)
{
    const struct point *p = series_newest(l->series);
    const char *why = unknown_why(l, b, now_ms);
    char text[TEXT], name[NAME];

    size_t len;

    /* A source may say more than a line holds, as AWS does of what it denies; the tree has it all.
     */
    why = why != NULL ? why : "no usable reading";
    len = strlen(why);
    if (len > WHY) {
        len = WHY - strlen("...");
        while (len > 0 && ((unsigned char)why[len] & 0xc0) == 0x80) /* within a character */
            len--;
    }
    (void)buf_addf(out, "%s unknown: %.*s%s", leaf_name(name, sizeof(name), l), (int)len, why,
                   why[len] != '\0' ? "..." : "");
    if (p == NULL)
        return;
    (void)buf_addf(out, "; last reading %s ", value_text(text, sizeof(text), l->cond, p->value));
    add_duration(out, now_ms > point_end_ms(p) ? now_ms - point_end_ms(p) : 0);
    (void)buf_adds(out, " ago");
}

void bound_summary(const struct bound *b, int64_t now_ms, struct buf *out)
{
    static const char *const phrases[] = {
        [CMP_ABOVE] = "above",     [CMP_BELOW] = "below", [CMP_AT_LEAST] = "at least",
        [CMP_AT_MOST] = "at most", [CMP_IS] = "is",       [CMP_IS_NOT] = "is not",
    };
    struct leaf *leaves = look(b, now_ms);
    const struct node *n = deciding(b->root, leaves);
    const struct leaf *l = n != NULL && n->cond->kind == COND_LEAF ? &leaves[n->leaf] : NULL;
    const struct point *p = l != NULL ? series_newest(l->series) : NULL;
    bool stale = l != NULL && series_finding(l->series, now_ms) != FINDING_NONE;
    char have[TEXT], limit[TEXT], name[NAME];

    if (n == NULL) {
        (void)buf_adds(out, "an empty condition");
    } else if (l == NULL) {
        (void)buf_addf(out, "clock%s%s %s %s", b->wall_ms != NULL ? " " : "",
                       b->wall_ms != NULL ? window_shows(n->cond->window, b->wall_ms(b->wall_arg),
                                                         have, sizeof(have))
                                          : "",
                       n->shows.value == K_TRUE    ? "in"
                       : n->shows.value == K_FALSE ? "not in"
                                                   : "unknown:",
                       n->cond->window->text);
    } else if (l->now.value == K_UNKNOWN && !is_pending(l->now)) {
        add_unknown(out, l, b, now_ms);
    } else if (stale || p == NULL) {
        (void)buf_addf(out, "%s missing, which counts as %s", leaf_name(name, sizeof(name), l),
                       missing_word(l->cond->missing));
    } else {
        const char *verb = l->now.value != K_FALSE                                ? ""
                           : l->cond->cmp == CMP_IS || l->cond->cmp == CMP_IS_NOT ? "and not: "
                                                                                  : "not ";

        (void)buf_addf(out, "%s %s %s%s %s", leaf_name(name, sizeof(name), l),
                       value_text(have, sizeof(have), l->cond, p->value), verb,
                       phrases[l->cond->cmp], threshold_text(limit, sizeof(limit), l->cond));
        if (l->now.value != K_FALSE && l->cond->lasting_ms > 0) {
            (void)buf_adds(out, " for ");
            add_duration(out, l->held_ms);
            if (is_pending(l->now)) {
                (void)buf_adds(out, " of ");
                add_duration(out, l->cond->lasting_ms);
            }
        }
    }
    mem_free(leaves);
}
