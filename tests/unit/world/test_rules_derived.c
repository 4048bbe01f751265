/* sig.change and sig.compare in virtual time: the world gives the points of what they are made of,
 * and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "help_rules.h"
#include "plugin/collector.h"

static struct json *load_part(const char *key, const char *value)
{
    struct json *j = json_new_map(), *opts;

    json_set_str(j, "signal", "load");
    opts = json_set(j, "opts", json_new_map());
    if (key)
        json_set_str(opts, key, value);
    return j;
}

static struct cond *change_of_load(struct rig *r, struct json **opts)
{
    struct cond *c = rig_leaf(r, CMP_AT_LEAST, 50, 2 * MIN_MS);

    *opts = json_new_map();
    json_set(*opts, "of", load_part(NULL, NULL));
    json_set_int(*opts, "over", 5 * MIN_MS);
    c->signal = signal_find("change", NULL);
    c->opts = *opts;
    return c;
}

static void a_change_fires_and_clears(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct rig r;
        struct policy *p;
        struct json *opts;
        rig_init(&r, 1);
        p = rig_policy(&r, "sudden");
        p->when = change_of_load(&r, &opts);
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 11.5);
        if (how == 1)
            rig_reload(&r); /* what it is made of stays, and its clock */
        if (how == 2) {     /* a silent source is a missing sample; nothing is made up for it */
            r.t[0].missing = true;
            rig_run(&r, 40);
            NOT_SEEN("fire");
        } else {
            rig_run(&r, 40);
            SEEN("12m asg/g0 fire change of load over 5m 75% at least 50% for 2m");
            SEEN("act scale desired 10 -> 12 ok");
            SEEN("end succeeded");
            SEEN("resolve");
        }
        rig_free(&r);
        json_free(opts);
    }
}

/* Two signals of one target, divided. The model gives both the same reading, so the ratio is 1 as
 * long as there is one. */
static void two_compared(void **state)
{
    struct rig r;
    struct policy *p;
    struct cond *c;
    struct json *opts = json_new_map();

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "canary");
    p->when = c = rig_leaf(&r, CMP_ABOVE, 0.9, 0);
    json_set(opts, "a", load_part("of", "canary"));
    json_set(opts, "b", load_part("of", "stable"));
    c->signal = signal_find("compare", NULL);
    c->opts = opts;
    rig_start(&r);
    rig_run(&r, 5);
    SEEN("fire load / load 1 above 0.9");
    r.t[0].load = 0;
    rig_run(&r, 40);
    assert_non_null(
        strstr(r.reports,
               "blind for 15m: load / load unknown: b is zero, and nothing is a multiple of that"));
    rig_free(&r);
    json_free(opts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_fires_and_clears),
        cmocka_unit_test(two_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
