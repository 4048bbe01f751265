/* Conditions bound to series: hold clocks, freshness and three-valued answers. The rules are M1 to
 * M5 and M15. */
#include "engine/cond.h"

#include <string.h>

#include "engine/bound.h"
#include "plugin/refs.h"

#define CLOCK_AGAIN_MS 60000
#define CLOCKS_TRIED 8u /* in a condition, each open and shut; more of them share these */

const char *tri_name(enum tri t)
{
    return t == TRI_TRUE ? "true" : t == TRI_FALSE ? "false" : "unknown";
}

const char *cmp_word(enum cmp c)
{
    static const char *const words[] = {
        [CMP_ABOVE] = "above",     [CMP_BELOW] = "below", [CMP_AT_LEAST] = "at_least",
        [CMP_AT_MOST] = "at_most", [CMP_IS] = "is",       [CMP_IS_NOT] = "is_not",
    };

    return (size_t)c < sizeof(words) / sizeof(words[0]) ? words[c] : "unknown";
}

/* ---- binding ---- */

/* What a tree takes, and while it is built, what is left of it. */
struct room {
    size_t nleaves, nnodes, nkids;
    struct node *nodes;
    struct node **kids;
};

static void measure(const struct cond *c, struct room *room)
{
    room->nnodes++;
    if (c->kind == COND_LEAF) {
        room->nleaves++;
        return;
    }
    room->nkids += c->nkids;
    for (size_t i = 0; i < c->nkids; i++)
        measure(c->kids[i], room);
}

static int at_site(const struct cond *c, const char *code, struct err *e)
{
    return err_wrap(e, "%s:%d:%d: %s%ssig.%s", c->site.file != NULL ? c->site.file : "?",
                    c->site.line, c->site.column, code, *code != '\0' ? " " : "", c->signal->name);
}

/* The number that stands for a word of an enum. */
static int word_code(const struct cond *c, double *code, struct err *e)
{
    const char *const *words = c->signal->words;
    struct buf list;

    buf_init(&list, 512);
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        if (c->word != NULL && strcmp(words[i], c->word) == 0) {
            *code = (double)i;
            buf_free(&list);
            return 0;
        }
        (void)buf_addf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    if (words == NULL)
        err_set(e, ERR_INPUT,
                "is a number, not one of several words; use above, below, at_least or at_most");
    else
        err_set(e, ERR_INPUT, "must be one of %s, got \"%s\"", buf_str(&list),
                c->word != NULL ? c->word : "");
    buf_free(&list);
    return at_site(c, "E107", e);
}

static int bind_leaf(struct bound *b, struct leaf *l, const struct cond *c,
                     const struct bind_context *ctx, struct err *e)
{
    struct refs refs = {.target = ctx->target, .params = ctx->params};
    struct json *opts = NULL;
    int64_t need_ms, step_ms;
    int rc = 0;

    l->cond = c;
    l->threshold = c->threshold;
    l->restart = UINT64_MAX; /* differs from any: the first look takes all points */
    if (c->cmp == CMP_IS || c->cmp == CMP_IS_NOT) {
        rc = word_code(c, &l->threshold, e);
        if (rc != 0)
            return rc;
    }
    if (c->opts != NULL) {
        opts = refs_resolve(c->opts, &refs, e);
        if (opts == NULL)
            return at_site(c, "E102", e);
    } else {
        opts = json_new_map();
    }
    l->series = ctx->series(ctx->arg, c->signal, ctx->target, opts, c->lasting_ms, e);
    json_free(opts);
    if (l->series == NULL)
        return at_site(c, "", e);
    /* All that a clock looks at when it is rebuilt: as many steps as the duration has intervals,
     * each as long as a bridged gap, and one before them. */
    step_ms = l->series->interval_ms + series_late_ms(l->series);
    need_ms = (c->lasting_ms / l->series->interval_ms + 2) * step_ms;
    if (l->series->keep_ms < need_ms)
        l->series->keep_ms = need_ms;
    if (b->pace == NULL || l->series->interval_ms > b->pace->series->interval_ms)
        b->pace = l;
    return 0;
}

static struct node *bind_node(struct bound *b, struct room *room, const struct cond *c,
                              const struct bind_context *ctx, struct err *e)
{
    struct node *n = room->nodes++;

    n->cond = c;
    if (c->kind == COND_CLOCK) {
        b->nclocks++;
        return n;
    }
    if (c->kind == COND_LEAF) {
        n->leaf = b->nleaves++;
        return bind_leaf(b, &b->leaves[n->leaf], c, ctx, e) == 0 ? n : NULL;
    }
    n->kids = room->kids;
    room->kids += c->nkids;
    for (size_t i = 0; i < c->nkids; i++) {
        n->kids[i] = bind_node(b, room, c->kids[i], ctx, e);
        if (n->kids[i] == NULL)
            return NULL;
    }
    return n;
}

struct bound *bound_new(const struct cond *c, const struct bind_context *ctx, struct err *e)
{
    struct room room = {0};
    struct bound *b;

    measure(c, &room);
    /* Beside each other in memory: thousands of these are looked at in a turn. */
    b = mem_alloc(sizeof(*b) + room.nleaves * sizeof(struct leaf) +
                  room.nnodes * sizeof(struct node) + room.nkids * sizeof(struct node *));
    b->leaves = (struct leaf *)(b + 1);
    room.nodes = (struct node *)(b->leaves + room.nleaves);
    room.kids = (struct node **)(room.nodes + room.nnodes);
    b->nodes = room.nodes;
    b->nnodes = room.nnodes;
    b->wall_ms = ctx->wall_ms;
    b->wall_arg = ctx->arg;
    b->answer.value = TRI_UNKNOWN;
    b->change_end_ms = INT64_MIN;
    b->root = bind_node(b, &room, c, ctx, e);
    if (b->root == NULL) {
        bound_free(b);
        return NULL;
    }
    return b;
}

void bound_free(struct bound *b)
{
    mem_free(b);
}

/* ---- clocks ---- */

static void clock_reset(struct leaf *l)
{
    l->restart = l->series->restart;
    l->next = l->restart;
    l->held_ms = 0;
    l->any = l->satisfied = false;
    l->version = 0; /* a series' own starts at 1 */
}

static bool satisfies(const struct leaf *l, double v)
{
    switch (l->cond->cmp) {
    case CMP_ABOVE:
        return v > l->threshold;
    case CMP_BELOW:
        return v < l->threshold;
    case CMP_AT_LEAST:
        return v >= l->threshold;
    case CMP_AT_MOST:
        return v <= l->threshold;
    case CMP_IS:
        return v == l->threshold;
    case CMP_IS_NOT:
        return v != l->threshold;
    }
    return false;
}

/* M1 and M2 for one more point. The clock runs from the end of the first point that satisfied the
 * comparison to the end of the newest: a point is known at its end, and a single one, however long
 * its period, has not lasted yet. So "above 60% from 10m, lasting 5m" is true at 15m for gauges and
 * averages alike. */
static void clock_take(struct leaf *l, const struct point *p)
{
    const struct series *s = l->series;
    int64_t end_ms = point_end_ms(p), step_ms = end_ms - l->last_end_ms, bridge_ms = s->interval_ms,
            vouched_ms;

    if (!satisfies(l, p->value)) {
        l->satisfied = false;
        l->held_ms = 0;
    } else if (l->any && l->satisfied) {
        switch (l->cond->missing) {
        case MISSING_HOLD: /* bridged up to the lag; what no point vouches for does not count */
            bridge_ms += series_late_ms(s);
            vouched_ms = p->period_ms > s->interval_ms ? p->period_ms : s->interval_ms;
            break;
        case MISSING_FALSE: /* a missing one did not satisfy */
            bridge_ms += s->interval_ms / 2;
            vouched_ms = bridge_ms;
            break;
        default: /* a missing one satisfied */
            bridge_ms = vouched_ms = INT64_MAX;
            break;
        }
        if (step_ms > bridge_ms)
            l->held_ms = 0;
        else
            l->held_ms += step_ms < vouched_ms ? step_ms : vouched_ms;
    } else {
        l->satisfied = true;
        l->held_ms = 0;
    }
    l->any = true;
    l->last_end_ms = end_ms;
}

/* M15. */
static bool counts(const struct point *p, int64_t not_before_ms)
{
    if (not_before_ms == 0 || p->start_ms > not_before_ms)
        return true;
    /* At the very millisecond a period lies wholly after it; a reading of that instant may have
     * been taken before. */
    return p->start_ms == not_before_ms && p->period_ms > 0;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct kleene known(bool v)
{
    signed char k = v ? K_TRUE : K_FALSE;

    return (struct kleene){k, k, k};
}

static bool is_bad(enum finding f)
{
    return f != FINDING_NONE && f != FINDING_NEVER && f != FINDING_STALE;
}

/* Brings the answer of a leaf whose clock is up to date to `now`. */
static void leaf_answer(struct leaf *l, const struct bound *b, int64_t now_ms)
{
    const struct series *s = l->series;
    int64_t wait_ms = s->interval_ms + series_late_ms(s), due_ms;
    bool ready = s->fresh >= 2 && l->any; /* M5: one reading after a start is not enough */

    l->valid_until_ms = INT64_MAX;
    l->now = (struct kleene){K_UNKNOWN, K_UNKNOWN, K_UNKNOWN};
    if (is_bad(s->finding))
        return; /* implausible or withheld is neither a value nor missing */
    if (ready) {
        due_ms = l->last_end_ms + wait_ms;
    } else {
        /* A first period may begin an interval after the start (M5) or the act (M15); until then
         * nothing is missing. */
        due_ms = later(b->start_ms, b->not_before_ms) + s->interval_ms + wait_ms;
        if (s->count > 0)
            due_ms = later(due_ms, series_expiry_ms(s));
    }
    if (now_ms > due_ms) {
        if (l->cond->missing != MISSING_HOLD)
            l->now = known(l->cond->missing == MISSING_TRUE);
        return;
    }
    if (ready || l->cond->missing != MISSING_HOLD)
        l->valid_until_ms = due_ms;
    if (!ready)
        return;
    if (!l->satisfied)
        l->now = known(false);
    else if (l->held_ms >= l->cond->lasting_ms)
        l->now = known(true);
    else
        l->now = (struct kleene){K_UNKNOWN, K_TRUE, K_FALSE}; /* pending */
}

static bool stands(const struct leaf *l, int64_t now_ms)
{
    return l->version == l->series->version && now_ms <= l->valid_until_ms;
}

void leaf_refresh(struct leaf *l, const struct bound *b, int64_t now_ms)
{
    const struct series *s = l->series;
    uint64_t oldest = s->total - s->count;

    if (l->restart != s->restart)
        clock_reset(l);
    if (l->next < oldest)
        l->next = oldest;
    for (; l->next < s->total; l->next++) {
        const struct point *p = series_at(s, (size_t)(l->next - oldest));

        if (counts(p, b->not_before_ms))
            clock_take(l, p);
    }
    leaf_answer(l, b, now_ms);
    l->version = s->version;
}

/* ---- values ---- */

static signed char least(signed char a, signed char b)
{
    return a < b ? a : b;
}

static signed char greatest(signed char a, signed char b)
{
    return a > b ? a : b;
}

/* M3: Kleene's strong logic. */
struct kleene node_value(const struct node *n, const struct leaf *leaves)
{
    bool all = n->cond->kind == COND_ALL;
    struct kleene v;

    if (n->cond->kind == COND_LEAF)
        return leaves[n->leaf].now;
    if (n->cond->kind == COND_CLOCK)
        return n->shows;
    v = known(all);
    for (size_t i = 0; i < n->cond->nkids; i++) {
        struct kleene k = node_value(n->kids[i], leaves);

        v.value = all ? least(v.value, k.value) : greatest(v.value, k.value);
        v.if_true = all ? least(v.if_true, k.if_true) : greatest(v.if_true, k.if_true);
        v.if_false = all ? least(v.if_false, k.if_false) : greatest(v.if_false, k.if_false);
    }
    if (n->cond->kind == COND_NONE) {
        v.value = (signed char)-v.value;
        v.if_true = (signed char)-v.if_true;
        v.if_false = (signed char)-v.if_false;
    }
    return v;
}

/* The wall can be set, so it is looked at again once a minute. */
int64_t clocks_look(const struct bound *b, int64_t now_ms)
{
    int64_t wall_ms, until_ms = INT64_MAX;

    if (b->nclocks == 0 || b->wall_ms == NULL)
        return INT64_MAX;
    wall_ms = b->wall_ms(b->wall_arg);
    for (size_t i = 0; i < b->nnodes; i++) {
        struct node *n = &b->nodes[i];
        int64_t left_ms;

        if (n->cond->kind != COND_CLOCK)
            continue;
        if (wall_ms < n->from_wall_ms || wall_ms >= n->until_wall_ms)
            n->shows =
                known(window_open(n->cond->window, wall_ms, &n->from_wall_ms, &n->until_wall_ms));
        left_ms = n->until_wall_ms - wall_ms;
        if (left_ms > CLOCK_AGAIN_MS)
            left_ms = CLOCK_AGAIN_MS;
        if (now_ms + left_ms < until_ms)
            until_ms = now_ms + left_ms;
    }
    return until_ms;
}

static int64_t newest_end(const struct bound *b)
{
    int64_t end_ms = INT64_MIN;

    for (size_t i = 0; i < b->nleaves; i++) {
        const struct point *p = series_newest(b->leaves[i].series);

        if (p != NULL)
            end_ms = later(end_ms, point_end_ms(p));
    }
    return end_ms;
}

/* Points of the pace leaf from number `from` on that ended after the answer last changed. */
static unsigned later_points(const struct bound *b, uint64_t from)
{
    const struct series *s = b->pace->series;
    uint64_t oldest = s->total - s->count;
    unsigned n = 0;

    for (uint64_t i = from > oldest ? from : oldest; i < s->total; i++) {
        if (point_end_ms(series_at(s, (size_t)(i - oldest))) > b->change_end_ms)
            n++;
    }
    return n;
}

struct answer bound_eval(struct bound *b, int64_t now_ms)
{
    uint64_t from = b->pace != NULL ? b->pace->next : 0;
    int64_t until_ms = INT64_MAX;
    bool anew = !b->answered, changed = anew;
    struct kleene k;
    enum tri value;

    if (!b->started) {
        b->started = true;
        b->start_ms = now_ms;
    }
    for (size_t i = 0; i < b->nleaves; i++) {
        struct leaf *l = &b->leaves[i];

        if (!stands(l, now_ms)) {
            leaf_refresh(l, b, now_ms);
            changed = true;
        }
        if (l->valid_until_ms < until_ms)
            until_ms = l->valid_until_ms;
    }
    b->answer.again_ms = until_ms != INT64_MAX ? until_ms + 1 : INT64_MAX;
    until_ms = clocks_look(b, now_ms);
    if (until_ms < b->answer.again_ms)
        b->answer.again_ms = until_ms;
    if (!changed && b->nclocks == 0)
        return b->answer;
    k = node_value(b->root, b->leaves);
    value = k.value == K_TRUE ? TRI_TRUE : k.value == K_FALSE ? TRI_FALSE : TRI_UNKNOWN;
    b->answered = true;
    if (anew || value != b->answer.value) {
        b->answer.value = value;
        b->answer.since_ms = now_ms;
        b->answer.samples = b->pace != NULL ? 1 : 2; /* two intervals of a clock are no time */
        b->change_end_ms = newest_end(b);
    } else if (b->pace != NULL) {
        b->answer.samples += later_points(b, from);
    }
    b->answer.pending = k.value == K_UNKNOWN && k.if_true != K_UNKNOWN && k.if_false != K_UNKNOWN;
    return b->answer;
}

void bound_not_before(struct bound *b, int64_t steady_ms)
{
    b->not_before_ms = steady_ms;
    for (size_t i = 0; i < b->nleaves; i++)
        clock_reset(&b->leaves[i]);
}

static bool same_leaf(const struct leaf *a, const struct leaf *b)
{
    return a->series == b->series && a->cond->cmp == b->cond->cmp && a->threshold == b->threshold &&
           a->cond->lasting_ms == b->cond->lasting_ms && a->cond->missing == b->cond->missing;
}

void bound_adopt(struct bound *b, const struct bound *old)
{
    size_t adopted = 0;

    b->started = old->started;
    b->start_ms = old->start_ms;
    b->not_before_ms = old->not_before_ms;
    for (size_t i = 0; i < b->nleaves; i++) {
        struct leaf *l = &b->leaves[i];

        for (size_t j = 0; j < old->nleaves; j++) {
            const struct leaf *from = &old->leaves[j];

            if (!same_leaf(l, from))
                continue;
            l->next = from->next;
            l->restart = from->restart;
            l->held_ms = from->held_ms;
            l->last_end_ms = from->last_end_ms;
            l->any = from->any;
            l->satisfied = from->satisfied;
            l->version = 0;
            adopted++;
            break;
        }
    }
    /* For how long it has said what it says: only of the same condition. */
    if (adopted == b->nleaves && b->nleaves == old->nleaves &&
        cond_same(b->root->cond, old->root->cond)) {
        b->answered = old->answered;
        b->answer = old->answer;
        b->change_end_ms = old->change_end_ms;
    }
}

bool bound_reads(const struct bound *b, const struct series *s)
{
    for (size_t i = 0; i < b->nleaves; i++) {
        if (b->leaves[i].series == s)
            return true;
    }
    return false;
}

void bound_each_series(const struct bound *b, void (*fn)(void *arg, struct series *s), void *arg)
{
    for (size_t i = 0; i < b->nleaves; i++)
        fn(arg, b->leaves[i].series);
}

int64_t bound_slowest_ms(const struct bound *b)
{
    int64_t slowest_ms = 0;

    for (size_t i = 0; i < b->nleaves; i++) {
        const struct leaf *l = &b->leaves[i];

        slowest_ms =
            later(slowest_ms, 2 * l->series->interval_ms + l->series->lag_ms + l->cond->lasting_ms);
    }
    return slowest_ms;
}

int64_t bound_interval_ms(const struct bound *b)
{
    return b->pace != NULL ? b->pace->series->interval_ms : 0;
}

/* What a condition is with every reading missing, when its clocks show what `clocks` says, a bit
 * each from *next on. silent: leaves count as their `missing` says, else they are unknown. */
static int without_data(const struct cond *c, bool silent, unsigned clocks, unsigned *next)
{
    bool all = c->kind == COND_ALL;
    int v = all ? K_TRUE : K_FALSE;

    if (c->kind == COND_CLOCK)
        return clocks >> (*next)++ % CLOCKS_TRIED & 1 ? K_TRUE : K_FALSE;
    if (c->kind == COND_LEAF)
        return !silent || c->missing == MISSING_HOLD ? K_UNKNOWN
               : c->missing == MISSING_TRUE          ? K_TRUE
                                                     : K_FALSE;
    for (size_t i = 0; i < c->nkids; i++) {
        int k = without_data(c->kids[i], silent, clocks, next);

        if (all ? k < v : k > v)
            v = k;
    }
    return c->kind == COND_NONE ? -v : v;
}

static unsigned count_clocks(const struct cond *c)
{
    unsigned n = c->kind == COND_CLOCK;

    for (size_t i = 0; i < c->nkids; i++)
        n += count_clocks(c->kids[i]);
    return n;
}

/* With every reading missing, at every time of the day. That is enough: a leaf that is unknown can
 * become true or false with data, and Kleene's operators never take back a true when an unknown
 * among their operands becomes known. What a clock makes true by itself is no silence. */
bool cond_true_without_data(const struct cond *c)
{
    unsigned n = count_clocks(c), next;

    for (unsigned clocks = 0; clocks >> (n < CLOCKS_TRIED ? n : CLOCKS_TRIED) == 0; clocks++) {
        int silent = without_data(c, true, clocks, (next = 0, &next));

        if (silent == K_TRUE && without_data(c, false, clocks, (next = 0, &next)) != K_TRUE)
            return true;
    }
    return false;
}
