/* The documented example of the policy language and its test, in the world of `runbookd test`: the
 * timeline row by row, and the same after a kill -9 at each event, also between an intent and its
 * request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "lua/lua.h"
#include "world/testbed.h"

#define EXAMPLE RB_SOURCE_DIR "/tests/sim/policies/example"

static struct policy_set *all, *set;
static struct test_set *tests;

static int load(void **state)
{
    static const char *const path = EXAMPLE ".lua";
    const enum mode mode = MODE_ENFORCE;
    struct policy_load_options o = {
        .paths = &path, .npaths = 1, .mode = MODE_ENFORCE, .as_mode = &mode};
    struct diags *d = diags_new();

    (void)state;
    log_set_level(LOG_LVL_ERROR + 1);
    all = policies_load(
        &(struct policy_load_options){.paths = &path, .npaths = 1, .mode = MODE_ENFORCE}, d);
    set = policies_load(&o, d);
    tests = test_set_new();
    if (all && set)
        tests_load(tests, EXAMPLE "_test.lua", all, d);
    for (size_t k = 0; k < diags_len(d); k++)
        print_error("%s:%d: %s\n", diags_at(d, k)->file, diags_at(d, k)->line,
                    diags_at(d, k)->text);
    return diags_errors(d) || tests->ncases != 2 ? (diags_free(d), -1) : (diags_free(d), 0);
}

static int unload(void **state)
{
    (void)state;
    test_set_free(tests);
    policy_set_unref(set);
    policy_set_unref(all);
    return 0;
}

static char *rows(const struct testbed_result *r)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t k = 0; k < r->nrows; k++)
        (void)buf_addf(&b, "%lldm %s%s\n", (long long)(r->rows[k].at_ms / 60000), r->rows[k].text,
                       r->rows[k].doubtful ? " (doubtful)" : "");
    return buf_take(&b);
}

static void its_timeline(void **state)
{
    const struct test_case *t = tests->cases[0];
    struct testbed_result r;

    (void)state;
    assert_true(testbed_run(t, set, &(struct testbed_kill){0}, &r));
    assert_null(r.broken);
    assert_int_equal(r.nrows, t->ntimeline);
    for (size_t k = 0; k < r.nrows; k++) {
        assert_string_equal(r.rows[k].text, t->timeline[k].text);
        assert_int_equal(r.rows[k].at_ms, t->timeline[k].at_ms);
    }
    testbed_free(&r);
}

static bool has_row(const struct testbed_result *r, const char *begins)
{
    for (size_t k = 0; k < r->nrows; k++)
        if (strncmp(r->rows[k].text, begins, strlen(begins)) == 0)
            return true;
    return false;
}

static size_t count(const struct testbed_result *r, const char *begins)
{
    size_t n = 0;

    for (size_t k = 0; k < r->nrows; k++)
        n += !r->rows[k].doubtful && strncmp(r->rows[k].text, begins, strlen(begins)) == 0;
    return n;
}

static void killed_at_each_event_it_is_the_same(void **state)
{
    const struct test_case *t = tests->cases[0];
    size_t doubts = 0, late = 0, n = 0;
    struct testbed_result first;
    bool there = true;

    (void)state;
    assert_true(testbed_run(t, set, &(struct testbed_kill){0}, &first));
    for (n = 1; there; n++) {
        struct testbed_result r;
        size_t those;

        there = testbed_run(t, set, &(struct testbed_kill){.after_event = n}, &r);
        if (has_row(&r, "act grow desired 8 -> 10 failed") ||
            has_row(&r, "undo grow desired 10 -> 8 failed")) {
            /* It was intended, and had not left: that is found out, and never tried again. */
            assert_true(count(&r, "act grow") <= 1 && count(&r, "undo grow") <= 1);
            assert_true(has_row(&r, "page"));
            doubts++;
        } else if (!testbed_same(&first, &r, &those)) {
            fail_msg("killed after event %zu:\n%s", n, rows(&r));
        } else {
            late += those;
        }
        testbed_free(&r);
    }
    testbed_free(&first);
    printf("killed at %zu events: %zu between an intent and its request, %zu rows late\n", n,
           doubts, late);
    assert_true(n > 300 && doubts > 0 && doubts < 10);
}

static void a_silent_metric_never_acts(void **state)
{
    struct testbed_result r;

    (void)state;
    assert_true(testbed_run(tests->cases[1], set, &(struct testbed_kill){0}, &r));
    assert_int_equal(count(&r, "act") + count(&r, "fire"), 0);
    assert_int_equal(count(&r, "page blind"), 1);
    assert_int_equal(json_len(r.explains), 1);
    testbed_free(&r);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(its_timeline),
        cmocka_unit_test(killed_at_each_event_it_is_the_same),
        cmocka_unit_test(a_silent_metric_never_acts),
    };

    return cmocka_run_group_tests(cases, load, unload);
}
