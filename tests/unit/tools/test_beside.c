/* A reload's tests: those of a shipped policy, and what becomes of them when there is no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "tools/test.h"

struct shop {
    struct config config;
    struct loaded loaded;
    char *paths[1];
    struct diags *d;
    struct tested out;
    long asked, patience; /* -1: without end */
};

static bool enough(void *arg)
{
    struct shop *s = arg;

    s->asked++;
    return s->patience >= 0 && s->asked > s->patience;
}

static void carry_out(struct shop *s, long patience)
{
    static char file[] = RB_SOURCE_DIR "/policies/asg_cpu_high.lua";
    struct policy_load_options o = {.npaths = 1, .mode = MODE_ENFORCE};

    memset(s, 0, sizeof(*s));
    s->patience = patience;
    s->paths[0] = file;
    s->config.policies = s->paths;
    s->config.npolicies = 1;
    s->d = diags_new();
    o.paths = (const char *const *)s->paths;
    s->loaded.config = &s->config;
    s->loaded.set = policies_load(&o, s->d);
    assert_non_null(s->loaded.set);
    tests_beside(&s->loaded, enough, s, &s->out, s->d);
    assert_int_equal(diags_errors(s->d), 0);
}

static void drop(struct shop *s)
{
    tested_free(&s->out);
    policy_set_unref(s->loaded.set);
    diags_free(s->d);
}

static void what_there_was_no_time_for_is_told(void **state)
{
    struct shop s;
    size_t all;
    long asked;

    (void)state;
    carry_out(&s, -1);
    all = s.out.ran;
    asked = s.asked;
    assert_true(all > 2);
    assert_int_equal(s.out.left, 0);
    assert_string_equal(s.out.text, "");
    drop(&s);
    /* At each of these moments, between two tests and in the middle of one: never a failure. */
    for (long patience = 0; patience < asked; patience += 1 + asked / 4) {
        carry_out(&s, patience);
        assert_true(s.out.left > 0);
        assert_int_equal(s.out.ran + s.out.left, all);
        assert_int_equal(json_len(s.out.failing), 0);
        assert_non_null(strstr(s.out.text, "were not carried out"));
        assert_true(patience > 0 || s.out.ran == 0);
        drop(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_there_was_no_time_for_is_told)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
