/* What a reload would widen: each field, in each direction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "serve/load.h"

static const struct action_type scale = {.name = "asg_scale"}, other = {.name = "pg_terminate"};

const struct collector_type *const collector_types[] = {NULL};
const size_t collector_types_len = 0;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

static struct cond window;

/* One policy with one action, to be changed by a test. */
struct version {
    struct declared_action action;
    struct policy policy, *list[1];
    struct policy_set set;
    struct loaded loaded;
};

static void make(struct version *v)
{
    struct err e = ERR_INIT;

    memset(v, 0, sizeof(*v));
    v->action = (struct declared_action){.name = "grow",
                                         .type = &scale,
                                         .opts = json_new_map(),
                                         .approval_required = true,
                                         .approvers = "ann,bob",
                                         .max_acts = 2};
    json_set_num(v->action.opts, "max", 20);
    json_set_num(v->action.opts, "min", 4);
    v->policy = (struct policy){.name = "p",
                                .mode = MODE_APPROVE,
                                .limit = {2, 3600000},
                                .policy_limit = {5, 3600000},
                                .cooldown_ms = 600000,
                                .max_targets_percent = 10,
                                .actions = &v->action,
                                .nactions = 1,
                                .window = &window};
    v->list[0] = &v->policy;
    v->set = (struct policy_set){.refs = 1, .policies = v->list, .npolicies = 1};
    v->loaded.set = &v->set;
    v->loaded.estate = estate_new();
    assert_int_equal(estate_add(v->loaded.estate, "asg", "web", json_new_map(), json_new_map(),
                                MODE_APPROVE, "f", 1, &e),
                     0);
}

static void drop(struct version *v)
{
    json_free(v->action.opts);
    estate_unref(v->loaded.estate);
}

static void expect(struct version *was, struct version *is, const char *text)
{
    struct json *wider = load_wider(&was->loaded, &is->loaded);

    if (!text) {
        assert_int_equal(json_len(wider), 0);
    } else {
        assert_int_equal(json_len(wider), 1);
        assert_string_equal(json_str(json_at(wider, 0), ""), text);
    }
    json_free(wider);
}

/* `change` makes the second version wider; the other way round it is narrower, which is nobody's
 * business. */
#define WIDENS(name, text, change)                                                                 \
    static void name(void **state)                                                                 \
    {                                                                                              \
        struct version was, is;                                                                    \
        (void)state;                                                                               \
        make(&was);                                                                                \
        make(&is);                                                                                 \
        expect(&was, &is, NULL);                                                                   \
        {                                                                                          \
            struct version *v = &is;                                                               \
            change;                                                                                \
        }                                                                                          \
        expect(&was, &is, text);                                                                   \
        expect(&is, &was, NULL);                                                                   \
        drop(&was);                                                                                \
        drop(&is);                                                                                 \
    }

WIDENS(mode_raised, "p: mode approve -> enforce", v->policy.mode = MODE_ENFORCE)
WIDENS(more_runs, "p: limit 2 per 1h -> 3 per 1h", v->policy.limit.n = 3)
WIDENS(shorter_period, "p: limit 2 per 1h -> 2 per 30m", v->policy.limit.per_ms = 1800000)
WIDENS(no_policy_limit, "p: policy_limit 5 per 1h -> none", v->policy.policy_limit.n = 0)
WIDENS(shorter_cooldown, "p: cooldown 10m -> 5m", v->policy.cooldown_ms = 300000)
WIDENS(more_targets, "p: max_targets 10% -> 20%", v->policy.max_targets_percent = 20)
WIDENS(window_removed, "p: window removed", v->policy.window = NULL)
WIDENS(waits_outside, "p: outside refuse -> wait", v->policy.outside_wait = true)
WIDENS(higher_max, "p.grow: max 20 -> 40", json_set_num(v->action.opts, "max", 40))
WIDENS(no_max, "p.grow: max 20 -> none", json_remove(v->action.opts, "max"))
WIDENS(lower_min, "p.grow: min 4 -> 2", json_set_num(v->action.opts, "min", 2))
WIDENS(more_acts, "p.grow: max_acts 2 -> 3", v->action.max_acts = 3)
WIDENS(approval_dropped, "p.grow: approval required -> none", v->action.approval_required = false)
WIDENS(coexists, "p.grow: coexist false -> true", v->action.coexist = true)

static void a_burst_is_wider_even_at_a_lower_rate(void **state)
{
    struct version was, is;

    (void)state;
    make(&was);
    make(&is);
    is.policy.limit = (struct rate){10, 86400000};
    expect(&was, &is, "p: limit 2 per 1h -> 10 per 1d");
    expect(&is, &was,
           "p: limit 10 per 1d -> 2 per 1h"); /* and so is the other way: more in the long run */
    drop(&was);
    drop(&is);
}

static void other_approvers_and_another_action(void **state)
{
    struct version was, is;

    (void)state;
    make(&was);
    make(&is);
    is.action.approvers = "ann,eve";
    expect(&was, &is, "p.grow: approvers ann,bob -> ann,eve");
    is.action.approvers = was.action.approvers;
    is.action.type = &other;
    expect(&was, &is, "p.grow: asg_scale -> pg_terminate");
    is.action.type = &scale;
    is.action.name = "shrink";
    expect(&was, &is, "p.shrink: a new action (asg_scale)");
    drop(&was);
    drop(&is);
}

/* Which of two conditions is the wider nobody can tell: both ways it is asked. */
static void another_window_or_exception(void **state)
{
    static struct cond office = {.kind = COND_ALL}, leaf = {.kind = COND_LEAF, .threshold = 5},
                       same = {.kind = COND_LEAF, .threshold = 5};
    struct version was, is;

    (void)state;
    make(&was);
    make(&is);
    is.policy.window = &office;
    expect(&was, &is, "p: another window");
    expect(&is, &was, "p: another window");
    is.policy.window = was.policy.window;
    is.action.approval_unless = &office;
    expect(&was, &is, "p.grow: approval has an approval_unless now");
    was.action.approval_unless = &leaf;
    expect(&was, &is, "p.grow: another approval_unless");
    is.action.approval_unless = &same;
    expect(&was, &is, NULL);
    same.threshold = 6;
    expect(&was, &is, "p.grow: another approval_unless");
    drop(&was);
    drop(&is);
}

static void a_new_policy_is_wider_unless_it_only_watches(void **state)
{
    struct version was, is;

    (void)state;
    make(&was);
    make(&is);
    is.policy.name = "q";
    expect(&was, &is, "q: a new policy in mode approve");
    is.policy.mode = MODE_SHADOW;
    expect(&was, &is, NULL);
    drop(&was);
    drop(&is);
}

static void a_target_whose_mode_is_raised(void **state)
{
    struct version was, is;
    struct err e = ERR_INIT;

    (void)state;
    make(&was);
    make(&is);
    estate_unref(is.loaded.estate);
    is.loaded.estate = estate_new();
    assert_int_equal(estate_add(is.loaded.estate, "asg", "web", json_new_map(), json_new_map(),
                                MODE_ENFORCE, "f", 1, &e),
                     0);
    expect(&was, &is, "asg/web: mode approve -> enforce");
    expect(&is, &was, NULL);
    drop(&was);
    drop(&is);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mode_raised),
        cmocka_unit_test(more_runs),
        cmocka_unit_test(shorter_period),
        cmocka_unit_test(no_policy_limit),
        cmocka_unit_test(shorter_cooldown),
        cmocka_unit_test(more_targets),
        cmocka_unit_test(window_removed),
        cmocka_unit_test(waits_outside),
        cmocka_unit_test(higher_max),
        cmocka_unit_test(no_max),
        cmocka_unit_test(lower_min),
        cmocka_unit_test(more_acts),
        cmocka_unit_test(approval_dropped),
        cmocka_unit_test(coexists),
        cmocka_unit_test(a_burst_is_wider_even_at_a_lower_rate),
        cmocka_unit_test(other_approvers_and_another_action),
        cmocka_unit_test(another_window_or_exception),
        cmocka_unit_test(a_new_policy_is_wider_unless_it_only_watches),
        cmocka_unit_test(a_target_whose_mode_is_raised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
