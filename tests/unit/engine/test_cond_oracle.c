/* Conditions against a slow oracle: random samples, gaps, findings and clocks; every answer is
 * computed again from the whole history, backwards, in other words than the engine's. */
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "help_cond.h"

#define MAX_EVENTS 4096
#define MAX_LEAVES 6

static uint64_t seed;

static unsigned rnd(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % n);
}

/* All that ever happened to one series. */
struct event {
    bool point; /* else a finding */
    int64_t start_ms, end_ms, arrival_ms;
    double value;
};

struct history {
    struct series *s;
    struct event events[MAX_EVENTS];
    size_t n;
    bool found; /* a finding stands */
};

static void add_point(struct history *h, int64_t start_ms, int64_t period_ms, double v,
                      int64_t now_ms)
{
    int64_t newest_ms = INT64_MIN, newest_start_ms = INT64_MIN;

    for (size_t i = 0; i < h->n; i++) {
        if (h->events[i].point) {
            newest_ms = h->events[i].end_ms;
            newest_start_ms = h->events[i].start_ms;
        }
    }
    assert_true(h->n < MAX_EVENTS);
    if (start_ms > newest_start_ms && start_ms >= newest_ms) {
        bool good = isfinite(v) && v >= 0;

        h->events[h->n++] = (struct event){good, start_ms, start_ms + period_ms, now_ms, v};
        h->found = !good;
    }
    series_add(h->s, start_ms, period_ms, v, now_ms);
}

static void add_finding(struct history *h, int64_t now_ms)
{
    assert_true(h->n < MAX_EVENTS);
    h->events[h->n++] = (struct event){.arrival_ms = now_ms};
    h->found = true;
    series_unknown(h->s, FINDING_SOURCE, "says so", now_ms);
}

static bool compare(const struct cond *c, double v)
{
    double t = c->threshold;

    return c->cmp == CMP_ABOVE      ? v > t
           : c->cmp == CMP_BELOW    ? v < t
           : c->cmp == CMP_AT_LEAST ? v >= t
                                    : v <= t;
}

/* 'T', 'F', 'U', or 'P': pending. first: events before it are out of reach (a rebuilt clock). */
static char oracle_leaf(const struct cond *c, const struct history *h, int64_t start_ms,
                        int64_t not_before_ms, int64_t now_ms, size_t first)
{
    int64_t interval = h->s->interval_ms;
    int64_t lag = h->s->signal->lag_ms, late = lag > interval / 2 ? lag : interval / 2;
    int64_t since = start_ms > not_before_ms ? start_ms : not_before_ms;
    char missing = c->missing == MISSING_TRUE ? 'T' : c->missing == MISSING_FALSE ? 'F' : 'U';
    int64_t arrivals[2], newest_end = INT64_MIN, later_end = 0, sum = 0;
    size_t narrivals = 0, usable = 0;

    if (h->found)
        return 'U';
    for (size_t i = 0; i < h->n; i++) {
        const struct event *ev = &h->events[i];

        if (!ev->point)
            continue;
        newest_end = ev->end_ms;
        if (ev->arrival_ms > ev->end_ms + interval + late)
            continue;
        if (narrivals < 2 && (narrivals == 0 || arrivals[narrivals - 1] != ev->arrival_ms))
            arrivals[narrivals++] = ev->arrival_ms;
    }
    /* Back from the newest while nothing breaks the run. */
    for (size_t i = h->n; i-- > first;) {
        const struct event *ev = &h->events[i];

        if (!ev->point)
            break;
        if (not_before_ms != 0 && !(ev->end_ms > ev->start_ms ? ev->start_ms >= not_before_ms
                                                              : ev->start_ms > not_before_ms))
            break;
        usable++;
        if (!compare(c, ev->value)) {
            if (usable == 1)
                sum = -1; /* the newest does not satisfy */
            break;
        }
        if (usable > 1) {
            int64_t step = later_end - ev->end_ms;

            if (c->missing == MISSING_HOLD && step > interval + late)
                break;
            if (c->missing == MISSING_FALSE && step * 2 > interval * 3)
                break;
            sum += c->missing == MISSING_HOLD && step > interval ? interval : step;
        }
        later_end = ev->end_ms;
    }
    if (narrivals < 2 || usable == 0) {
        bool overdue = now_ms > since + 2 * interval + late &&
                       (newest_end == INT64_MIN || now_ms > newest_end + interval + late);
        return overdue ? missing : 'U';
    }
    if (now_ms > newest_end + interval + late)
        return missing;
    return sum < 0 ? 'F' : sum >= c->lasting_ms ? 'T' : 'P';
}

/* M3 as it is written. `pending` is what a pending leaf counts as. */
static char oracle_tree(const struct cond *c, const char *leaves, size_t *next, char pending)
{
    bool saw_true = false, saw_false = false, saw_unknown = false;

    if (c->kind == COND_LEAF) {
        char v = leaves[(*next)++];
        return v == 'P' ? pending : v;
    }
    for (size_t i = 0; i < c->nkids; i++) {
        char v = oracle_tree(c->kids[i], leaves, next, pending);

        saw_true = saw_true || v == 'T';
        saw_false = saw_false || v == 'F';
        saw_unknown = saw_unknown || v == 'U';
    }
    if (c->kind == COND_ALL)
        return saw_false ? 'F' : saw_unknown ? 'U' : 'T';
    if (c->kind == COND_ANY)
        return saw_true ? 'T' : saw_unknown ? 'U' : 'F';
    return saw_true ? 'F' : saw_unknown ? 'U' : 'T';
}

static struct cond *random_leaf(struct rig *r)
{
    static const struct signal *const signals[] = {&sig_asg_cpu, &sig_in_service, &sig_p99};
    static const enum missing kinds[] = {MISSING_HOLD, MISSING_HOLD, MISSING_TRUE, MISSING_FALSE};

    return leaf_missing(r, signals[rnd(3)], (enum cmp)rnd(4), 40 + rnd(3) * 10,
                        (int64_t)rnd(5) * MIN_MS, kinds[rnd(4)]);
}

static struct cond *random_tree(struct rig *r, unsigned depth, unsigned *budget)
{
    struct cond *a, *b;

    if (depth == 0 || *budget < 2 || rnd(3) == 0) {
        *budget -= *budget > 0;
        return random_leaf(r);
    }
    a = random_tree(r, depth - 1, budget);
    b = random_tree(r, depth - 1, budget);
    return group(r, (enum cond_kind)(COND_ALL + (int)rnd(3)), rnd(4) == 0 ? 1 : 2, a, b);
}

static size_t flatten(const struct cond *c, const struct cond **out, size_t n)
{
    if (c->kind == COND_LEAF) {
        out[n] = c;
        return n + 1;
    }
    for (size_t i = 0; i < c->nkids; i++)
        n = flatten(c->kids[i], out, n);
    return n;
}

static void random_arrivals(struct history *h, int64_t t)
{
    int64_t period = h->s->signal->lag_ms > 0 ? h->s->interval_ms : 0;
    unsigned what = rnd(40);
    double v = (double)(30 + rnd(45));

    if (t % h->s->interval_ms != 0)
        return;
    if (what < 6)
        return; /* missing; what comes later may fill it or not */
    if (what == 6) {
        add_finding(h, t);
    } else if (what == 7) {
        add_point(h, t - period, period, rnd(2) == 0 ? NAN : -5, t);
    } else if (what < 12) { /* all of the last minutes at once, some of it again */
        for (int64_t back = (int64_t)rnd(8); back >= 0; back--)
            add_point(h, t - period - back * h->s->interval_ms, period, v, t);
    } else {
        add_point(h, t - period, period, v, t);
    }
}

static void one_world(uint64_t number)
{
    struct rig r;
    struct history *h = calloc(3, sizeof(*h));
    const struct signal *signals[] = {&sig_asg_cpu, &sig_in_service, &sig_p99};
    const struct cond *leaves[MAX_LEAVES * 2];
    size_t first[MAX_LEAVES * 2] = {0}, nleaves;
    unsigned budget = MAX_LEAVES;
    struct cond *c;
    struct bound *b;
    int64_t not_before = 0, begun = -1;
    char last = 0;
    int64_t last_since = 0, quiet_until = INT64_MIN;
    bool news = true;

    seed = number * 0x9e3779b97f4a7c15u + 1;
    rig_init(&r);
    for (size_t i = 0; i < 3; i++)
        h[i].s = rig_series(&r, signals[i]);
    c = random_tree(&r, 3, &budget);
    nleaves = flatten(c, leaves, 0);
    b = rig_bind(&r, c);
    for (int64_t t = 1000 * MIN_MS; t < 1150 * MIN_MS; t += 30000) {
        char values[MAX_LEAVES * 2], want, if_true, if_false;
        struct answer a;
        size_t next;

        for (size_t i = 0; i < 3; i++) {
            size_t before = h[i].n;
            random_arrivals(&h[i], t);
            news = news || h[i].n != before;
        }
        if (rnd(60) == 0) {
            not_before = t - (int64_t)rnd(2) * 30000;
            bound_not_before(b, not_before);
            news = true;
        } else if (rnd(40) == 0 && begun >= 0) { /* a reload that adopts */
            struct bound *again = rig_bind(&r, c);

            bound_adopt(again, b);
            bound_free(b);
            b = again;
        } else if (rnd(60) == 0) { /* a clock that is rebuilt from what the series still has */
            bound_free(b);
            b = rig_bind(&r, c);
            begun = -1;
            not_before = 0;
            last = 0;
            news = true;
            for (size_t i = 0; i < nleaves; i++) {
                size_t k = leaves[i]->signal == signals[0]   ? 0
                           : leaves[i]->signal == signals[1] ? 1
                                                             : 2;
                size_t have = h[k].s->count, at = h[k].n;

                while (have > 0 && at > 0) {
                    if (h[k].events[--at].point)
                        have--;
                }
                first[i] = leaves[i]->missing == MISSING_TRUE ? at : 0;
            }
        }
        if (rnd(5) == 0)
            continue; /* nobody looked */
        if (begun < 0)
            begun = t;
        a = bound_eval(b, t);
        for (size_t i = 0; i < nleaves; i++) {
            size_t k = leaves[i]->signal == signals[0]   ? 0
                       : leaves[i]->signal == signals[1] ? 1
                                                         : 2;
            values[i] = oracle_leaf(leaves[i], &h[k], begun, not_before, t, first[i]);
        }
        next = 0;
        want = oracle_tree(c, values, &next, 'U');
        next = 0;
        if_true = oracle_tree(c, values, &next, 'T');
        next = 0;
        if_false = oracle_tree(c, values, &next, 'F');
        if ("FTU"[a.value] != want ||
            a.pending != (want == 'U' && if_true != 'U' && if_false != 'U')) {
            char *text = json_print(bound_explain(b, t));

            fprintf(stderr, "%s\n", text);
            fail_msg("world %llu, %lld s: %s%s, expected %c (leaves %.*s)",
                     (unsigned long long)number, (long long)(t / 1000), tri_name(a.value),
                     a.pending ? " pending" : "", want, (int)nleaves, values);
        }
        /* again_ms is a promise: without news the answer stands until then. */
        if (!news && last != 0 && last != want && t < quiet_until)
            fail_msg("world %llu, %lld s: changed before again_ms", (unsigned long long)number,
                     (long long)(t / 1000));
        if (last != want)
            last_since = t;
        assert_int_equal(a.since_ms, last_since);
        last = want;
        quiet_until =
            news || a.again_ms < quiet_until || quiet_until < t ? a.again_ms : quiet_until;
    }
    bound_free(b);
    rig_free(&r);
    free(h);
}

static void against_the_oracle(void **state)
{
    const char *only = getenv("COND_WORLD");

    (void)state;
    for (uint64_t i = only != NULL ? strtoull(only, NULL, 10) : 0; i < 500; i++) {
        one_world(i);
        if (only != NULL)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_the_oracle)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
