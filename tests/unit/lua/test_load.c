/* Policies become data: the language's examples, field by field. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>
#include "base/mem.h"
#include "help_lua.h"

static void loads_the_smallest(void **state)
{
    struct policy_set *set = help_policies(smallest, NULL);
    const struct policy *p;

    (void)state;
    assert_non_null(set);
    p = policy_find(set, "pg-connections-high");
    assert_non_null(p);
    assert_string_equal(p->owner, "team-db");
    assert_int_equal(p->severity, SEV2);
    assert_string_equal(p->target.kind, "postgres");
    assert_string_equal(json_get_str(p->target.tag, "app", ""), "orders");
    assert_int_equal(p->when->kind, COND_LEAF);
    assert_string_equal(p->when->signal->name, "pg_connections");
    assert_int_equal(p->when->cmp, CMP_ABOVE);
    assert_true(p->when->threshold == 800);
    assert_int_equal(p->when->lasting_ms, 120000);
    assert_int_equal(p->when->site.line, 4);
    assert_int_equal(p->when->site.column, 13);
    assert_true(p->ladder);
    assert_null(p->script); /* the engine's own ladder runs it */
    assert_int_equal(p->nactions, 1);
    assert_string_equal(p->actions[0].name, "pg_terminate");
    assert_int_equal(json_get_int(p->actions[0].opts, "max", 0), 50);
    assert_int_equal(p->actions[0].max_acts, 1);
    assert_int_equal(p->mode, MODE_SHADOW);
    assert_int_equal(p->limit.n, 1);
    assert_int_equal(p->limit.per_ms, 3600000);
    assert_int_equal(p->cooldown_ms, 15 * 60000);
    assert_int_equal(p->verify_within_ms, 10 * 60000);
    assert_int_equal(p->deadline_ms, 24 * 3600000);
    assert_true(p->max_targets_percent == 10);
    assert_int_equal(p->page, PAGE_AT_FIRE);
    assert_false(p->outside_wait);
    assert_int_equal(strlen(p->source_hash), 64);
    policy_set_unref(set);
}

static void loads_the_example(void **state)
{
    struct policy_set *set = help_policies(example, NULL);
    const struct policy *p;

    (void)state;
    p = policy_find(set, "asg-cpu-high");
    assert_non_null(p);
    assert_int_equal(p->nchecks, 3);
    assert_ptr_equal(policy_check(p, "hot")->cond, p->when);
    assert_int_equal(policy_check(p, "healthy")->cond->nkids, 3);
    assert_true(policy_check(p, "healthy")->cond->kids[1]->threshold == 500);
    assert_int_equal(policy_action(p, "grow")->max_acts, 3);
    assert_false(p->ladder);
    assert_int_equal(p->page, PAGE_ON_FAILURE);
    assert_string_equal(json_get_str(p->params, "web_cpu_limit", ""), "60%");
    policy_set_unref(set);
}

static void step(const struct script_ops *ops, struct script *s, struct json *answer,
                 enum ask_kind kind, const char *name, struct ask *out)
{
    ops->resume(s, answer, out);
    json_free(answer);
    if (out->kind != kind)
        fail_msg("asked %s %s, not %s", ask_name(out->kind), out->text ? out->text : "",
                 ask_name(kind));
    if (name)
        assert_string_equal(out->name, name);
}

static void runs_the_example(void **state)
{
    struct policy_set *set = help_policies(example, NULL);
    const struct policy *p = policy_find(set, "asg-cpu-high");
    struct err e = ERR_INIT;
    struct json *target = json_new_map();
    struct script *s;
    struct ask a;

    (void)state;
    json_set_str(target, "name", "web-1");
    s = p->script->start(p->script_data, target, NULL, &e);
    if (!s)
        fail_msg("%s", e.text);
    step(p->script, s, NULL, ASK_ACT, "grow", &a);
    assert_int_equal(a.line, 20);
    step(p->script, s, json_new_bool(true), ASK_VERIFY, "healthy", &a);
    assert_int_equal(a.within_ms, 15 * 60000);
    step(p->script, s, json_new_bool(true), ASK_WAIT, "calm|hot", &a);
    assert_int_equal(a.within_ms, 7 * 3600000);
    step(p->script, s, json_new_str("calm"), ASK_UNDO, "grow", &a);
    step(p->script, s, json_new_bool(false), ASK_PAGE, NULL, &a);
    assert_string_equal(a.text, "scale-in skipped: capacity changed");
    assert_int_equal(a.line, 23); /* a tail call: its own line, not the caller's */
    step(p->script, s, json_new_bool(true), ASK_END, NULL, &a);
    step(p->script, s, NULL, ASK_END, NULL, &a);
    p->script->free(s);
    json_free(target);
    policy_set_unref(set);
}

/* Whether a verify is long enough depends on the targets' own periods; a run, which is loaded
 * without the estate, must not judge again by the signal's usual ones. */
static void a_short_verify_that_loaded_runs(void **state)
{
    static const char text[] =
        "policy \"p\" { owner = \"o\", severity = \"sev3\", doc = \"https://x.example\",\n"
        "  target = find.asg {}, when = sig.asg_cpu { above = \"60%\", period = \"5s\" },\n"
        "  checks = { well = sig.asg_cpu { below = \"50%\", period = \"5s\" } },\n"
        "  actions = { grow = act.asg_scale { by = 1, max = 5 } },\n"
        "  run = function(r)\n    if not r:act \"grow\" then return r:page \"no\" end\n"
        "    if not r:verify(\"well\", \"4m\") then return r:page \"not well\" end\n  end }\n";
    const char *path = help_file("p.lua", text);
    struct estate *e = estate_new();
    const struct policy_load_options o = {
        .paths = &path, .npaths = 1, .mode = MODE_ENFORCE, .estate = e};
    struct diags *d = diags_new();
    struct err err = ERR_INIT;
    struct json *target = json_new_map();
    const struct policy *p;
    struct script *s;
    struct policy_set *set;

    (void)state;
    assert_int_equal(estate_add(e, "asg", "web", NULL, json_new_map(), MODE_ENFORCE, "t", 1, &err),
                     0);
    set = policies_load(&o, d);
    assert_int_equal(diags_errors(d), 0);
    p = policy_find(set, "p");
    s = p->script->start(p->script_data, target, NULL, &err);
    if (!s)
        fail_msg("%s", err.text);
    p->script->free(s);
    json_free(target);
    diags_free(d);
    policy_set_unref(set);
    estate_unref(e);
}

/* The line of the call in the policy's file: of a helper's own, a lib's caller's. */
static void tells_where_it_was_asked(void **state)
{
    const char *text =
        "local say = use \"say\"\n"
        "local function page(r) return\n r:page \"helper\" end\n"
        "policy \"p\" { owner = \"o\", severity = \"sev3\", doc = \"https://x.example\",\n"
        "  target = find.asg {}, when = sig.asg_cpu { above = \"60%\" },\n"
        "  actions = { grow = act.asg_scale { by = 1, max = 5 } },\n"
        "  run = function(r)\n    page(r)\n    say.it(r)\n\n    local x = "
        "r.target.tag.at.all\n  end "
        "}\n";
    static const int lines[] = {3, 9, 11};
    struct policy_set *set;
    struct err e = ERR_INIT;
    struct ask a;

    (void)state;
    help_file("lib/say.lua",
              "\n\n\n\nreturn { it = function(r)\n r:log \"lib\"\n return true\nend }\n");
    set = help_policies(text, NULL);
    const struct policy *p = policy_find(set, "p");
    struct script *s = p->script->start(p->script_data, NULL, NULL, &e);
    for (int i = 0; i < 3; i++) {
        p->script->resume(s, NULL, &a);
        assert_int_equal(a.line, lines[i]);
    }
    assert_int_equal(a.kind, ASK_FAULT);
    assert_non_null(strstr(a.text, "E118"));
    assert_non_null(strstr(a.text, "p.lua:11: attempt to index a nil value"));
    p->script->free(s);
    policy_set_unref(set);
}

/* A start is cheap enough to give every run a state of its own. */
static void starts_quickly(void **state)
{
    struct policy_set *set = help_policies(example, NULL);
    const struct policy *p = policy_find(set, "asg-cpu-high");
    struct timespec a, b;
    struct err e = ERR_INIT;

    (void)state;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    for (int i = 0; i < 20; i++)
        p->script->free(p->script->start(p->script_data, NULL, NULL, &e));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double ms = ((double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6) / 20;
    print_message("a start takes %.2f ms\n", ms);
    assert_true(ms < 50);
    policy_set_unref(set);
}

static void walks_the_example(void **state)
{
    struct policy_set *set = help_policies(example, NULL);
    struct diags *d = diags_new();
    struct json *list = policies_walk(set, NULL, d);
    const struct json *walk = json_at(list, 0), *paths = json_get(walk, "paths");
    int succeeded = 0;

    (void)state;
    assert_int_equal(json_len(list), 1);
    assert_int_equal(diags_len(d), 0);
    assert_true(json_get_bool(walk, "complete", false));
    for (const struct json *p = json_first(paths); p; p = json_next(p)) {
        bool good = strcmp(json_get_str(p, "outcome", ""), "succeeded") == 0;
        assert_true(good || json_get_bool(p, "pages", false));
        succeeded += good;
    }
    /* each of 3 rounds: act fails; verify fails; calm: undo or not; hot: next round; nothing: page
     */
    assert_int_equal(json_len(paths), 3 * 5 + 1);
    assert_true(succeeded >= 3);
    json_free(list);
    diags_free(d);
    policy_set_unref(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_the_smallest),
        cmocka_unit_test(loads_the_example),
        cmocka_unit_test(runs_the_example),
        cmocka_unit_test(tells_where_it_was_asked),
        cmocka_unit_test(a_short_verify_that_loaded_runs),
        cmocka_unit_test(starts_quickly),
        cmocka_unit_test(walks_the_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
