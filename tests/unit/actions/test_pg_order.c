/* Which sessions a plan names, and in which order: the same at each look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "plugin/action.h"

extern const struct action_type pg_terminate_action;

static void add(struct json *list, int pid, const char *state_change, int age_ms)
{
    struct json *s = json_add(list, json_new_map());

    json_set_int(s, "pid", pid);
    json_set_str(s, "backend_start", "2026-01-01T00:00:00.000000Z");
    json_set_str(s, "backend_type", "client backend");
    json_set_str(s, "state", "idle");
    json_set_str(s, "state_change", state_change);
    json_set_int(s, "state_age_ms", age_ms);
}

static struct plan *plan_of(struct json *seen, int max)
{
    struct json *opts = json_new_map();
    struct action_input in = {.opts = opts};
    struct err e = ERR_INIT;
    struct plan *p;

    json_set_int(opts, "idle_over", 1000);
    json_set_int(opts, "max", max);
    p = pg_terminate_action.plan(&in, seen, &e);
    assert_non_null(p);
    json_free(opts);
    json_free(seen);
    return p;
}

/* The server computes ages row by row: of two sessions that are a fraction of a millisecond apart
 * the younger may look older. */
static void test_ages_that_waver(void **state)
{
    struct plan *plans[2];

    (void)state;
    for (int look = 0; look < 2; look++) {
        struct json *seen = json_new_map(), *list = json_set(seen, "sessions", json_new_list());
        add(list, 31, "2026-01-01T00:10:00.000900Z", look ? 5001 : 5000);
        add(list, 22, "2026-01-01T00:10:00.000200Z", 5000);
        add(list, 43, "2026-01-01T00:10:00.000500Z", look ? 5000 : 5001);
        plans[look] = plan_of(seen, 2);
    }
    assert_true(strncmp(json_str(json_at(plans[0]->names, 0), ""), "22@", 3) == 0);
    assert_true(strncmp(json_str(json_at(plans[0]->names, 1), ""), "43@", 3) == 0);
    assert_true(plan_same_or_less(plans[0], plans[1]));
    plan_free(plans[0]);
    plan_free(plans[1]);
}

static void test_without_marks_by_age(void **state)
{
    struct json *seen = json_new_map(), *list = json_set(seen, "sessions", json_new_list());
    struct plan *p;

    (void)state;
    add(list, 31, NULL, 2000);
    add(list, 43, NULL, 9000);
    p = plan_of(seen, 1);
    assert_true(strncmp(json_str(json_at(p->names, 0), ""), "43@", 3) == 0);
    plan_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages_that_waver),
        cmocka_unit_test(test_without_marks_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
