/* Packed days: what goes in comes out, and nothing damaged is taken for samples. */
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "engine/series.h"

#define DAY 1700006400000 /* a midnight */

static uint64_t seed = 88172645463325252u;

static unsigned rnd(unsigned n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % n);
}

struct read {
    const struct point *want;
    size_t n, i;
};

static void same(void *arg, const struct point *p)
{
    struct read *rd = arg;

    assert_true(rd->i < rd->n);
    assert_memory_equal(p, &rd->want[rd->i], sizeof(*p));
    rd->i++;
}

static void count(void *arg, const struct point *p)
{
    (void)p;
    ++*(size_t *)arg;
}

static size_t make(struct point *out, size_t n, bool mixed)
{
    int64_t at = DAY + (int64_t)rnd(1000);
    int64_t period = (int64_t)rnd(3) * 30000;

    for (size_t i = 0; i < n; i++) {
        if (mixed)
            period = (int64_t)rnd(60000);
        if (at >= DAY + 86400000)
            return i;
        out[i] = (struct point){at, period, rnd(2) == 0 ? (double)rnd(100) : rnd(1000000) / 7.0};
        at += period + 1 + (int64_t)rnd(60000);
    }
    return n;
}

static void round_trip(void **state)
{
    struct point *points = calloc(1500, sizeof(*points));

    (void)state;
    for (int i = 0; i < 300; i++) {
        struct read rd = {.want = points, .n = make(points, rnd(1500), i % 2 == 1)};
        struct err e = ERR_INIT;
        void *blob = NULL;
        size_t len = 0;

        assert_int_equal(pack_points(points, rd.n, DAY, &blob, &len), 0);
        assert_int_equal(pack_each(blob, len, DAY, same, &rd, &e), 0);
        assert_int_equal(rd.i, rd.n);
        mem_free(blob);
    }
    free(points);
}

static void append_is_the_same_as_packing_all(void **state)
{
    struct point points[200];

    (void)state;
    for (int i = 0; i < 20; i++) {
        size_t n = make(points, 200, i % 2 == 1), len = 0, whole_len = 0;
        void *blob = NULL, *whole = NULL;

        for (size_t j = 0; j < n; j++)
            assert_int_equal(pack_append(&blob, &len, &points[j], DAY), 0);
        assert_int_equal(pack_points(points, n, DAY, &whole, &whole_len), 0);
        assert_int_equal(len, whole_len);
        assert_memory_equal(blob, whole, len);
        /* What cannot follow is refused and leaves the day as it was. */
        assert_int_equal(pack_append(&blob, &len, &points[n - 1], DAY), ERR_INPUT);
        assert_memory_equal(blob, whole, len);
        mem_free(blob);
        mem_free(whole);
    }
}

static void refuses_what_is_not_a_day(void **state)
{
    struct point p[2] = {{DAY, 60000, 1}, {DAY + 60000, 60000, 2}};
    struct point *many = calloc(PACK_MAX_POINTS + 1, sizeof(*many));
    void *blob = NULL;
    size_t len = 0;

    (void)state;
    p[1].start_ms = DAY + 59999; /* overlaps */
    assert_int_equal(pack_points(p, 2, DAY, &blob, &len), ERR_INPUT);
    p[1].start_ms = DAY + 86400000; /* the next day */
    assert_int_equal(pack_points(p, 2, DAY, &blob, &len), ERR_INPUT);
    p[1] = (struct point){DAY + 60000, 0, NAN};
    assert_int_equal(pack_points(p, 2, DAY, &blob, &len), ERR_INPUT);
    p[1] = (struct point){DAY + 60000, -1, 1};
    assert_int_equal(pack_points(p, 2, DAY, &blob, &len), ERR_INPUT);
    p[0].start_ms = DAY - 1;
    assert_int_equal(pack_points(p, 1, DAY, &blob, &len), ERR_INPUT);
    for (size_t i = 0; i <= PACK_MAX_POINTS; i++)
        many[i].start_ms = DAY + (int64_t)i;
    assert_int_equal(pack_points(many, PACK_MAX_POINTS + 1, DAY, &blob, &len), ERR_LIMIT);
    assert_int_equal(pack_points(many, PACK_MAX_POINTS, DAY, &blob, &len), 0);
    many[0].start_ms = DAY + PACK_MAX_POINTS;
    assert_int_equal(pack_append(&blob, &len, &many[0], DAY), ERR_LIMIT);
    mem_free(blob);
    free(many);
}

/* The bytes of a day are a promise: backtests of other versions stand on them. The sum was computed
 * by hand from the description in docs/journal.md. */
static void the_format_is_fixed(void **state)
{
    static const unsigned char want[] = {
        'R',  'B',  'P',  'K',  1,    0,    0,    0,    2,    0,    0, 0, 0x60, 0xea, 0,    0,
        0xfb, 0x0b, 0x7c, 0x8d, 0x61, 0x2e, 0x9e, 0xe4, 0xe8, 0x03, 0, 0, 0x48, 0xee, 0,    0,
        0,    0,    0,    0,    0,    0,    0xf0, 0x3f, 0,    0,    0, 0, 0,    0,    0x45, 0x40};
    struct point p[2] = {{DAY + 1000, 60000, 1}, {DAY + 61000, 60000, 42}};
    void *blob = NULL;
    size_t len = 0;

    (void)state;
    assert_int_equal(pack_points(p, 2, DAY, &blob, &len), 0);
    assert_int_equal(len, sizeof(want));
    assert_memory_equal(blob, want, sizeof(want));
    mem_free(blob);
}

static void damage_is_found(void **state)
{
    struct point points[40];

    (void)state;
    for (int i = 0; i < 200; i++) {
        size_t n = make(points, 1 + rnd(39), i % 2 == 1), len = 0, seen = 0;
        struct err e = ERR_INIT;
        void *blob = NULL;
        unsigned char *copy;

        assert_int_equal(pack_points(points, n, DAY, &blob, &len), 0);
        copy = malloc(len + 64);
        for (size_t bit = 0; bit < len * 8; bit += 1 + rnd(5)) {
            memcpy(copy, blob, len);
            copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_int_not_equal(pack_each(copy, len, DAY, count, &seen, &e), 0);
            assert_true(e.text[0] != '\0');
        }
        for (int k = 0; k < 50; k++) {
            size_t l = rnd((unsigned)len + 64);

            memcpy(copy, blob, len);
            memset(copy + len, 0, 64);
            if (rnd(2) == 0) {
                for (size_t j = 0; j < l; j++)
                    copy[j] = (unsigned char)rnd(256);
                memcpy(copy, "RBPK\1", l < 5 ? l : 5);
            }
            if (l != len)
                assert_int_not_equal(pack_each(copy, l, DAY, count, &seen, NULL), 0);
        }
        assert_int_equal(seen, 0);
        free(copy);
        mem_free(blob);
    }
    assert_int_equal(pack_each(NULL, 0, DAY, count, NULL, NULL), ERR_INPUT);
}

static uint64_t mixed(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
}

/* Gives a changed blob the right sum, as docs/journal.md has it. */
static void reseal(unsigned char *b, size_t len)
{
    uint64_t lanes[2] = {0x243f6a8885a308d3u ^ len, 0x13198a2e03707344u}, word;

    memset(b + 16, 0, 8);
    for (size_t i = 0; i < len / 8; i++) {
        memcpy(&word, b + 8 * i, 8);
        lanes[i % 2] = mixed(lanes[i % 2], word);
    }
    word = mixed(lanes[0], lanes[1]);
    memcpy(b + 16, &word, 8);
}

/* A writer's fault, or a forger's: the sum is right, the points are not. */
static void a_right_sum_is_not_enough(void **state)
{
    struct point p[3] = {{DAY, 60000, 1}, {DAY + 60000, 60000, 2}, {DAY + 120000, 60000, 3}};
    static const struct {
        size_t at;
        uint32_t word;
    } wrong[] = {
        {24 + 4, 59999},    /* overlaps the first */
        {24 + 8, 30000},    /* before the second */
        {24 + 8, 86400000}, /* the next day */
        {12, 60001},        /* the period makes them overlap */
        {8, 2},             /* count and length differ */
        {8, 4},
        {36 + 4 + 4, 0x7ff80000}, /* not a number */
        {36 + 4 + 4, 0x7ff00000}, /* infinite */
        {4, 1 | 2 << 8},          /* an unknown flag */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        void *blob = NULL;
        size_t len = 0, seen = 0;

        assert_int_equal(pack_points(p, 3, DAY, &blob, &len), 0);
        reseal(blob, len);
        assert_int_equal(pack_each(blob, len, DAY, count, &seen, NULL), 0);
        assert_int_equal(seen, 3);
        memcpy((char *)blob + wrong[i].at, &wrong[i].word, 4);
        reseal(blob, len);
        assert_int_equal(pack_each(blob, len, DAY, count, &seen, NULL), ERR_INPUT);
        assert_int_equal(seen, 3);
        mem_free(blob);
    }
}

static void a_newer_version_says_so(void **state)
{
    struct point p = {DAY, 0, 1};
    struct err e = ERR_INIT;
    void *blob = NULL;
    size_t len = 0, seen = 0;

    (void)state;
    assert_int_equal(pack_points(&p, 1, DAY, &blob, &len), 0);
    ((unsigned char *)blob)[4] = 2;
    assert_int_equal(pack_each(blob, len, DAY, count, &seen, &e), ERR_STATE);
    assert_non_null(strstr(e.text, "format 2"));
    mem_free(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(append_is_the_same_as_packing_all),
        cmocka_unit_test(refuses_what_is_not_a_day),
        cmocka_unit_test(the_format_is_fixed),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(a_right_sum_is_not_enough),
        cmocka_unit_test(a_newer_version_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
