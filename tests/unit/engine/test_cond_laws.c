/* The laws of three-valued logic, over random trees and every assignment of their leaves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "help_cond.h"

#define LEAVES 4
#define NOW (2 * MIN_MS)

static const struct signal *const signals[LEAVES] = {&sig_in_service, &sig_asg_cpu, &sig_p99,
                                                     &sig_gauge};
static struct rig r;
static uint64_t seed = 2463534242u;

static unsigned rnd(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % n);
}

/* The first `n` leaves get these values: digits of `code` to base 3. */
static void assign(unsigned code)
{
    for (size_t i = 0; i < LEAVES; i++, code /= 3) {
        struct series *s = rig_series(&r, signals[i]);
        enum tri v = (enum tri)(code % 3);
        int64_t at = s->count == 0 ? MIN_MS : point_end_ms(series_newest(s));

        for (int k = 0; k < 2;
             k++) /* two readings, a millisecond apart, so that the time hardly moves */
            series_add(s, at + 1 + k, 0, v == TRI_TRUE ? 80 : 40, at + 1 + k);
        if (v == TRI_UNKNOWN)
            series_unknown(s, FINDING_SOURCE, "", NOW);
    }
}

static enum tri value(const struct cond *c)
{
    struct bound *b = rig_bind(&r, c);
    enum tri v = bound_eval(b, NOW).value;

    bound_free(b);
    return v;
}

static struct cond *tree(unsigned depth)
{
    struct cond *kids[3];

    if (depth == 0 || rnd(4) == 0)
        return leaf(&r, signals[rnd(LEAVES)], CMP_ABOVE, 60, 0);
    for (size_t i = 0; i < 3; i++)
        kids[i] = tree(depth - 1);
    return group(&r, (enum cond_kind)(COND_ALL + (int)rnd(3)), 1 + rnd(3), kids[0], kids[1],
                 kids[2]);
}

static struct cond * not(struct cond * c)
{
    return group(&r, COND_NONE, 1, c);
}

#define SAME(a, b) assert_string_equal(tri_name(value(a)), tri_name(value(b)))

static void laws(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        struct cond *a, *b, *c;

        rig_init(&r);
        a = tree(2);
        b = tree(2);
        c = tree(1);
        for (unsigned k = 0; k < 12; k++) {
            assign(rnd(81));
            SAME(not(not(a)), a);
            SAME(group(&r, COND_ALL, 2, a, b), group(&r, COND_ALL, 2, b, a));
            SAME(group(&r, COND_ANY, 2, a, b), group(&r, COND_ANY, 2, b, a));
            SAME(group(&r, COND_ALL, 2, a, a), a);
            SAME(group(&r, COND_ANY, 2, a, a), a);
            SAME(not(group(&r, COND_ALL, 2, a, b)), group(&r, COND_ANY, 2, not(a), not(b)));
            SAME(not(group(&r, COND_ANY, 2, a, b)), group(&r, COND_ALL, 2, not(a), not(b)));
            SAME(group(&r, COND_NONE, 2, a, b), not(group(&r, COND_ANY, 2, a, b)));
            SAME(group(&r, COND_ALL, 3, a, b, c),
                 group(&r, COND_ALL, 2, a, group(&r, COND_ALL, 2, b, c)));
            SAME(group(&r, COND_ANY, 3, a, b, c),
                 group(&r, COND_ANY, 2, a, group(&r, COND_ANY, 2, b, c)));
            SAME(
                group(&r, COND_ALL, 2, a, group(&r, COND_ANY, 2, b, c)),
                group(&r, COND_ANY, 2, group(&r, COND_ALL, 2, a, b), group(&r, COND_ALL, 2, a, c)));
            SAME(group(&r, COND_ANY, 2, a, group(&r, COND_ALL, 2, a, b)), a); /* absorption */
        }
        rig_free(&r);
    }
}

/* What is decided without a leaf stays decided whatever that leaf turns out to be: unknown never
 * counts as either. */
static void more_knowledge_never_contradicts(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++) {
        static const unsigned power[LEAVES] = {1, 3, 9, 27};
        struct cond *c;
        unsigned code, digit;

        rig_init(&r);
        c = tree(3);
        code = rnd(81);
        digit = rnd(LEAVES);
        code -= code / power[digit] % 3 * power[digit];
        enum tri v[3];
        for (unsigned k = 0; k < 3; k++) {
            assign(code + k * power[digit]);
            v[k] = value(c);
        }
        if (v[TRI_UNKNOWN] != TRI_UNKNOWN) {
            assert_int_equal(v[TRI_FALSE], v[TRI_UNKNOWN]);
            assert_int_equal(v[TRI_TRUE], v[TRI_UNKNOWN]);
        }
        rig_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(laws),
        cmocka_unit_test(more_knowledge_never_contradicts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
