/* What operators start (M25), what goes on after a freeze (M21), what a step leaves for the next
 * ($step), and the keys under which the agent itself calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

static const struct option group_params[] = {
    {.name = "count", .type = OPT_COUNT, .fallback = "3", .help = "how many more"},
    {.name = "pause", .type = OPT_DURATION, .fallback = "1m", .help = ""},
    {.name = "why", .type = OPT_STRING, .required = true, .help = "the ticket"},
    {.name = "hard", .type = OPT_BOOL, .help = ""},
};

static struct policy *procedure_of(struct rig *r, const struct script_line *lines)
{
    struct policy *p = rules_scripted(r, lines);

    p->procedure = true;
    p->when = NULL;
    p->options = group_params;
    p->noptions = sizeof(group_params) / sizeof(group_params[0]);
    return p;
}

static struct json *start_with(struct rig *r, const char *target, const char *params)
{
    struct json *c = json_new_map(), *map = json_set(c, "params", json_new_map());
    char *copy = mem_strdup(params), *save = NULL;

    json_set_str(c, "command", "start");
    json_set_str(c, "by", "ann");
    json_set_str(c, "policy", "hot");
    json_set_str(c, "target", target);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        char *eq = strchr(w, '=');
        *eq = 0;
        json_set_str(map, w, eq + 1);
    }
    mem_free(copy);
    return virtual_command(r->v, c);
}

static void M25_parameters_are_checked_at_the_start(void **state)
{
    static const char all[] =
        ". Its parameters: count (count, default 3): how many more; pause (duration, default 1m); "
        "why (string, required): the ticket; hard (bool)";
    static const struct {
        const char *given, *error;
    } rows[] = {
        {"", "hot needs why=VALUE"},
        {"why=T1 cuont=4", "hot has no parameter \"cuont\", did you mean \"count\"?"},
        {"why=T1 count=many", "count=many: needs a whole number"},
        {"why=T1 count=1.5", "count=1.5: needs a whole number"},
        {"why=T1 count=-1", "count=-1: must not be negative, got -1"},
        {"why=T1 pause=5", "pause=5: needs a unit, write e.g. \"5m\""},
        {"why=T1 hard=yes", "hard=yes: needs true or false"},
        {"why=T1 count=4 pause=2m hard=true", NULL},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct rig r;
        struct json *a;
        char want[512];
        rig_init(&r, 1);
        procedure_of(&r, act_verify);
        rig_start(&r);
        rig_run(&r, 10);
        a = start_with(&r, "g0", rows[k].given);
        snprintf(want, sizeof(want), "%s%s", rows[k].error ? rows[k].error : "",
                 rows[k].error ? all : "");
        assert_string_equal(json_get_str(a, "error", ""), want);
        rig_run(&r, 12);
        assert_int_equal(r.t[0].effects, rows[k].error ? 0 : 1);
        json_free(a);
        rig_free(&r);
    }
}

static void M25_only_procedures_take_parameters(void **state)
{
    struct rig r;
    struct json *a;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    rig_start(&r);
    a = start_with(&r, NULL, "count=4");
    assert_string_equal(json_get_str(a, "error", ""),
                        "hot is a policy; only a procedure takes parameters");
    json_free(a);
    rig_free(&r);
}

static struct json *params_of_run(struct rig *r)
{
    struct json *a = rig_order(r, "runs", NULL), *p;

    p = json_copy(json_get(json_at(json_get(a, "runs"), 0), "params"));
    json_free(a);
    return p;
}

/* A parameter reaches the checks and the actions of its run, also over a restart and a reload. */
static void M25_parameters_reach_actions_and_checks(void **state)
{
    struct rig r;
    struct json *a, *opts;
    struct policy *p;
    char *text;

    (void)state;
    rig_init(&r, 1);
    p = procedure_of(&r, grow_and_back);
    opts = json_new_map();
    json_set_str(opts, "of", "$param.why");
    p->checks[1].cond->opts = opts;
    rig_start(&r);
    rig_run(&r, 10);
    json_free(start_with(&r, NULL, "why=T1 pause=2m"));
    rig_run(&r, 12);
    rig_restart(&r);
    rig_run(&r, 14);
    rig_reload(&r);
    a = params_of_run(&r);
    text = json_print_canonical(a);
    assert_string_equal(text, "{\"count\":3,\"pause\":\"2m\",\"why\":\"T1\"}");
    mem_free(text);
    json_free(a);
    struct action_type lacking = *p->actions[0].type;
    const struct action_type *whole = p->actions[0].type;
    lacking.needs = (const char *const[]){"cache.host", "asg.target_group", NULL};
    p->actions[0].type = &lacking;
    a = rig_order(&r, "explain", "policy", "hot", NULL);
    p->actions[0].type = whole;
    text = json_print(a);
    assert_non_null(strstr(text, "act.scale needs the field target_group, and asg/"));
    assert_non_null(
        strstr(text, "\"parameters\":\"count (count, default 3): how many more; pause"));
    assert_non_null(strstr(text, "\"opts\":{\"of\":\"T1\"}"));
    mem_free(text);
    json_free(a);
    r.t[0].load = 100;
    rig_run(&r, 40);
    SEEN("undo scale desired 12 -> 10 ok");
    json_free(opts);
    rig_free(&r);
}

static void M21_what_an_operator_started_waits_for_an_operator(void **state)
{
    (void)state;
    for (int hot = 0; hot < 2; hot++) {
        struct rig r;
        struct json *a;
        char run[64];
        rig_init(&r, 1);
        rules_scripted(&r, grow_and_back);
        rig_start(&r);
        r.t[0].load = hot ? 1500 : 400;
        rig_run(&r, 3);
        assert_string_equal(rules_order(&r, "start", "policy", "hot", "target", "g0"), "");
        rig_run(&r, 5);
        assert_int_equal(r.t[0].effects, 1);
        rules_run(&r, run);
        rules_order(&r, "freeze", "reason", "look", "x", "y");
        rig_run(&r, 10);
        a = rig_order(&r, "unfreeze", NULL);
        assert_non_null(strstr(json_get_str(a, "warning", ""),
                               "was started by ann and waits: runbookctl resume"));
        json_free(a);
        rig_run(&r, 30);
        NOT_SEEN(
            " end "); /* neither cancelled because `when` is false nor gone on because it is true */
        NOT_SEEN(" resume ");
        assert_string_equal(rules_order(&r, "resume", "run", run, "x", "y"), "");
        r.t[0].load = 100;
        rig_run(&r, 60);
        SEEN("undo scale desired 12 -> 10 ok");
        rig_free(&r);
    }
}

/* The first act's outputs name an option of the second. */
static void step_references_are_resolved_when_planned(void **state)
{
    static const struct script_line two[] = {{'*', ASK_ACT, "scale", 0},
                                             {'*', ASK_SLEEP, NULL, 5 * MIN_MS},
                                             {'*', ASK_ACT, "second", 0},
                                             SCRIPT_END};

    (void)state;
    for (int restart = 0; restart < 2; restart++) {
        struct rig r;
        struct policy *p;
        struct json *a;
        char run[64], *text;
        rig_init(&r, 1);
        p = rules_scripted(&r, two);
        json_set_str(rig_action(p, "second", "pair")->opts, "note",
                     "from $step.scale.before to $step.scale.after in $run.id for $target.name");
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 17);
        rules_run(&r, run);
        if (restart)
            rig_restart(&r);
        rig_run(&r, 30);
        SEEN("act second desired 12 -> 14 ok");
        a = rig_order(&r, "show", "id", run, NULL);
        text = json_print(a);
        assert_non_null(strstr(text, "\"note\":\"from 10 to 12 in R"));
        assert_non_null(strstr(text, " for g0\""));
        mem_free(text);
        json_free(a);
        rig_free(&r);
    }
}

static void a_step_reference_without_its_step_fails_the_act(void **state)
{
    static const struct script_line wrong[] = {
        {'*', ASK_ACT, "second", 0}, {'n', ASK_PAGE, "no", 0}, SCRIPT_END};
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, wrong);
    json_set_str(rig_action(p, "second", "pair")->opts, "note", "$step.scale.after");
    rules_heat(&r, 30);
    SEEN("act second failed: E102: unknown name $step.scale.after");
    SEEN("end failed");
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

/* In shadow an act gives what its plan foretells; what only its answer would tell ends the run
 * (M18). */
static void M18_shadow_ends_where_an_output_is_missing(void **state)
{
    static const struct script_line two[] = {
        {'*', ASK_ACT, "scale", 0}, {'*', ASK_ACT, "second", 0}, SCRIPT_END};

    (void)state;
    for (int foretold = 0; foretold < 2; foretold++) {
        struct rig r;
        struct policy *p;
        rig_init(&r, 1);
        p = rules_scripted(&r, two);
        p->mode = MODE_SHADOW;
        json_set_str(rig_action(p, "second", "pair")->opts, "note",
                     foretold ? "$step.scale.after" : "$step.scale.id");
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 30);
        if (foretold)
            SEEN("act second desired 10 -> 12 shadow");
        else
            NOT_SEEN("act second");
        SEEN("end shadowed");
        assert_int_equal(r.t[0].effects, 0);
        rig_free(&r);
    }
}

/* M14, M17: a request that the probe finds not carried out is an act that failed: a human is
 * called, and nothing is sent a second time. */
static void M14_a_step_settled_as_not_done_is_a_failed_act(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->limit = (struct rate){10, 60 * MIN_MS};
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 700;
    r.next_how = APPLIED_IN_DOUBT;
    rig_run(&r, 25);
    SEEN("probe scale: not done");
    SEEN("act scale desired 10 -> 12 failed: settled by probe: it was not carried out");
    SEEN("page the remediation was refused or failed");
    SEEN("end failed");
    assert_int_equal(r.t[0].effects, 0);
    assert_int_equal(r.humans, 1);
    rig_free(&r);
}

static void M8_freeze_and_storm_call_under_keys_of_their_own(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 30);
    rig_policy(&r, "hot");
    for (int k = 0; k < 30; k++)
        r.t[k].load = 700;
    rig_start(&r);
    rig_run(&r, 5);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    rig_run(&r, 10);
    rules_order(&r, "unfreeze", "reason", "done", "x", "y");
    rules_order(&r, "report-test", "x", "y", "x", "y");
    assert_string_equal(rules_order(&r, "mode", "mode", "shadow", "x", "y"),
                        ""); /* ends the storm */
    assert_non_null(strstr(r.reports, "resolve agent/storm/human The storm was ended by ann"));
    assert_non_null(strstr(r.reports, "human agent/freeze/human Frozen by ann: look"));
    assert_non_null(strstr(r.reports, "human agent/storm/human Storm"));
    assert_non_null(strstr(r.reports, "human agent/test/human This is a test"));
    assert_non_null(strstr(r.reports, "resolve agent/freeze/human Unfrozen by ann"));
    rig_free(&r);
}

static void settle_asks_for_its_word_first(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    assert_string_equal(rules_order(&r, "settle", "run", "R1", "as", "maybe"),
                        "say what you saw: done or not-done, not maybe");
    assert_string_equal(rules_order(&r, "settle", "run", "R1", "as", "done"),
                        "there is no open run R1; runbookctl runs lists them");
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(M25_parameters_are_checked_at_the_start),
        cmocka_unit_test(M25_only_procedures_take_parameters),
        cmocka_unit_test(M25_parameters_reach_actions_and_checks),
        cmocka_unit_test(M21_what_an_operator_started_waits_for_an_operator),
        cmocka_unit_test(step_references_are_resolved_when_planned),
        cmocka_unit_test(a_step_reference_without_its_step_fails_the_act),
        cmocka_unit_test(M18_shadow_ends_where_an_output_is_missing),
        cmocka_unit_test(M14_a_step_settled_as_not_done_is_a_failed_act),
        cmocka_unit_test(M8_freeze_and_storm_call_under_keys_of_their_own),
        cmocka_unit_test(settle_asks_for_its_word_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
