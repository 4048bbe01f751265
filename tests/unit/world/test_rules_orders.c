/* Orders that end something early, that come too late or that leave something out, and what explain
 * says of the guards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

static const char *silences(struct rig *r, char out[64], int *n)
{
    struct json *a = rig_order(r, "status", NULL);
    const struct json *list = json_get(a, "silences");

    *n = (int)json_len(list);
    snprintf(out, 64, "%s", json_get_str(json_at(list, 0), "id", ""));
    if (*n) {
        assert_string_equal(json_get_str(json_at(list, 0), "by", ""), "ann");
        assert_string_equal(json_get_str(json_at(list, 0), "policy", ""), "hot");
        assert_string_equal(json_get_str(json_at(list, 0), "reason", ""), "deploy");
        assert_int_equal(json_get_int(json_at(list, 0), "until_wall_ms", 0),
                         1790000000000 + 65 * MIN_MS);
    }
    json_free(a);
    return out;
}

/* A silence ends by its id, at once and for good: the next start does not know it either. */
static void a_silence_is_ended_early(void **state)
{
    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        struct rig r;
        struct json *a;
        char id[64];
        int n;
        rig_init(&r, 1);
        rig_policy(&r, "hot");
        rig_start(&r);
        rig_run(&r, 5);
        a = rig_order(&r, "silence", "policy", "hot", "for", "1h", "reason", "deploy", NULL);
        assert_string_equal(json_get_str(a, "error", ""), "");
        json_free(a);
        silences(&r, id, &n);
        assert_int_equal(n, 1);
        assert_string_equal(rules_order(&r, "unsilence", "silence", "S9", "x", "y"),
                            "there is no silence S9");
        assert_string_equal(rules_order(&r, "unsilence", "x", "y", "x", "y"),
                            "there is no silence (none given)");
        if (ended)
            assert_string_equal(rules_order(&r, "unsilence", "silence", id, "x", "y"), "");
        silences(&r, id, &n);
        assert_int_equal(n, !ended);
        rig_restart(&r);
        silences(&r, id, &n);
        assert_int_equal(n, !ended);
        r.t[0].load = 700;
        rig_run(&r, 30);
        assert_int_equal(r.t[0].effects, ended);
        assert_int_equal(rig_seen(&r, "deny silence: silence S"), !ended);
        rig_free(&r);
    }
}

static void a_silence_that_is_over_cannot_be_ended(void **state)
{
    struct rig r;
    char id[64], want[128];
    int n;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    json_free(rig_order(&r, "silence", "policy", "hot", "for", "1h", "reason", "deploy", NULL));
    silences(&r, id, &n);
    rig_run(&r, 66);
    snprintf(want, sizeof(want), "there is no silence %s", id);
    assert_string_equal(rules_order(&r, "unsilence", "silence", id, "x", "y"), want);
    rig_free(&r);
}

static bool count_row(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    (void)doc;
    ++*(int *)arg;
    return true;
}

/* As the next start would find them. */
static int open_silences(struct rig *r)
{
    struct journal *j;
    struct err e = ERR_INIT;
    int n = 0;

    virtual_crash(r->v);
    j = memory_journal_open(virtual_disk(r->v));
    assert_int_equal(j->ops->each_open(j, "silence", count_row, &n, &e), 0);
    j->ops->close(j);
    rig_start(r);
    return n;
}

static void last_silence(void *arg, const char *key, const struct json *doc)
{
    char *text = json_print_canonical(doc);

    (void)key;
    if (strstr(text, "\"reason\":\"deploy\""))
        ++*(int *)arg;
    mem_free(text);
}

/* While the agent runs, and while it does not; what it was stays in the journal. */
static void a_silence_that_is_over_is_closed(void **state)
{
    struct rig r;
    int said = 0;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    for (int k = 0; k < 3; k++)
        json_free(rig_order(&r, "silence", "policy", "hot", "for",
                            k == 0   ? "10m"
                            : k == 1 ? "20m"
                                     : "40m",
                            "reason", "deploy", NULL));
    rig_run(&r, 14);
    assert_int_equal(open_silences(&r), 3);
    rig_run(&r, 16);
    assert_int_equal(open_silences(&r), 2);
    virtual_crash(r.v);
    rig_run(&r, 30);
    rig_start(&r);
    rig_run(&r, 31);
    assert_int_equal(open_silences(&r), 1);
    r.t[0].load = 900;
    rig_run(&r, 44);
    SEEN("deny silence: silence S");
    assert_int_equal(r.t[0].effects, 0);
    rig_run(&r, 46);
    assert_int_equal(open_silences(&r), 0);
    memory_disk_each(virtual_disk(r.v), "silence", last_silence, &said);
    assert_int_equal(said, 3);
    rig_free(&r);
}

static void what_an_order_leaves_out_is_asked_for(void **state)
{
    static const struct {
        const char *command, *k, *v, *error;
    } rows[] = {
        {"silence", "policy", "hot", "for how long? write e.g. for=2h"},
        {"silence", "for", "2h", "what? give policy=NAME, target=KIND/NAME or both"},
        {"mode", "mode", "fast", "which mode? off, shadow, approve or enforce"},
        {"mode", "x", "y", "which mode? off, shadow, approve or enforce"},
        {"mode", "mode", "enforce", "the agent's configuration allows approve at most"},
        {"unfreeze", "x", "y", "the agent is not frozen"},
        {"settle", "run", "R1", "say what you saw: done or not-done, not nothing"},
        {"show", "x", "y", "which one? give the id of a run or an episode"},
        {"show", "id", "R1", "there is no run or episode R1 in the journal"},
        {"show", "id", "E1", "there is no run or episode E1 in the journal"},
        {"resume", "x", "y", "there is no open run (none given); runbookctl runs lists them"},
        {"dance", "x", "y", "there is no command dance"},
    };
    struct rig r;
    uint64_t before;

    (void)state;
    rig_init(&r, 1);
    r.options.engine.mode = MODE_APPROVE;
    rig_budget(&r, (struct rate){0, 0});
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    before = memory_disk_commits(virtual_disk(r.v));
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
        assert_string_equal(rules_order(&r, rows[k].command, rows[k].k, rows[k].v, "x", "y"),
                            rows[k].error);
    assert_string_equal(rules_order(&r, "silence", "policy", "hot", "for", "-2h"),
                        "for how long? write e.g. for=2h");
    assert_int_equal(memory_disk_commits(virtual_disk(r.v)), before); /* none left anything */
    rig_free(&r);
}

/* M21: the file holds as long as it is there, whatever is said. */
static void unfreeze_does_not_lift_the_file(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    r.frozen_file = true;
    r.t[0].load = 700;
    rig_run(&r, 10);
    assert_string_equal(rules_order(&r, "unfreeze", "reason", "go", "x", "y"),
                        "the freeze file is still there: remove it first");
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 0);
    NOT_SEEN(" unfreeze ");
    r.frozen_file = false; /* its going away alone lifts nothing either */
    rig_run(&r, 40);
    assert_int_equal(r.t[0].effects, 0);
    assert_string_equal(rules_order(&r, "unfreeze", "reason", "go", "x", "y"), "");
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

static void settle_and_resume_are_for_runs_that_wait_for_them(void **state)
{
    struct rig r;
    char run[64], want[128];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    r.t[0].load = 800; /* it holds: the run goes on after the freeze */
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 1);
    rules_run(&r, run);
    snprintf(want, sizeof(want), "run %s is not in doubt (it is waiting)", run);
    assert_string_equal(rules_order(&r, "settle", "run", run, "as", "not-done"), want);
    snprintf(want, sizeof(want), "run %s is not suspended (it is waiting)", run);
    assert_string_equal(rules_order(&r, "resume", "run", run, "x", "y"), want);
    assert_string_equal(rules_order(&r, "freeze", "reason", "look", "x", "y"), "");
    assert_string_equal(rules_order(&r, "resume", "run", run, "x", "y"),
                        "the agent is frozen: runbookctl unfreeze first");
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    r.t[0].load = 100;
    rig_run(&r, 60);
    SEEN("undo scale desired 12 -> 10 ok"); /* none of it changed what the run does */
    rig_free(&r);
}

static void a_replay_that_differs_is_not_resumed(void **state)
{
    static const struct script_line nothing[] = {SCRIPT_END};
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    rules_heat(&r, 20);
    rig_script(r.set->policies[0], nothing);
    rig_restart(&r);
    rig_run(&r, 25);
    rules_run(&r, run);
    assert_string_equal(rules_order(&r, "resume", "run", run, "x", "y"),
                        "its replay differs from the journal; it can only be cancelled");
    rig_run(&r, 30);
    NOT_SEEN(" end ");
    assert_string_equal(rules_order(&r, "cancel", "run", run, "x", "y"), "");
    rig_run(&r, 31);
    SEEN("end cancelled");
    assert_int_equal(r.t[0].effects, 1); /* no undo without the policy's word */
    rig_free(&r);
}

static void a_frozen_question_is_not_approved(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify)->actions[0].approval_required = true;
    rules_heat(&r, 16);
    SEEN("approval wanted");
    rules_run(&r, run);
    rules_order(&r, "freeze", "reason", "look", "x", "y");
    assert_string_equal(rules_order(&r, "approve", "run", run, "x", "y"),
                        "the run is suspended (freeze); unfreeze first");
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rig_run(&r, 17);
    assert_int_equal(r.t[0].effects, 0);
    assert_string_equal(rules_order(&r, "approve", "run", run, "x", "y"), "");
    rig_run(&r, 18);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* A journal that hangs does not keep an order waiting: it holds, and says that it may be lost. */
static void an_order_that_is_not_written_says_so(void **state)
{
    struct rig r;
    struct json *a;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot");
    rig_start(&r);
    rig_run(&r, 5);
    a = rig_order(&r, "freeze", "reason", "look", NULL);
    assert_null(json_get(a, "durable"));
    json_free(a);
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    memory_journal_stall(virtual_journal(r.v), true);
    a = rig_order(&r, "freeze", "reason", "look", NULL);
    assert_false(json_get_bool(a, "durable", true));
    assert_string_equal(json_get_str(a, "warning", ""),
                        "it holds, but is not yet written: the journal cannot be written. It is "
                        "lost if the agent ends before it can");
    json_free(a);
    memory_journal_stall(virtual_journal(r.v), false);
    r.t[0].load = 700;
    rig_run(&r, 30);
    assert_int_equal(r.t[0].effects, 0);
    rig_restart(&r); /* written meanwhile */
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

/* The verdict and the reason of one guard, as "verdict: why", asked of explain. */
static const char *guard(struct rig *r, const char *name)
{
    static char out[512];
    struct json *a = rig_order(r, "explain", "policy", "hot", "target", "g0", NULL);
    const struct json *list =
        json_get(json_get(json_at(json_get(a, "explain"), 0), "guards"), "scale");

    snprintf(out, sizeof(out), "%s", "none");
    for (const struct json *g = json_first(list); g; g = json_next(g))
        if (strcmp(json_get_str(g, "guard", ""), name) == 0)
            snprintf(out, sizeof(out), "%s: %s", json_get_str(g, "verdict", ""),
                     json_get_str(g, "why", ""));
    json_free(a);
    return out;
}

static const char *planned_guard(struct rig *r, const char *name)
{
    static char out[512];
    struct json *a = rig_order(r, "plan", "policy", "hot", "target", "g0", NULL);
    const struct json *list = json_get(json_at(json_get(a, "plans"), 0), "guards");

    snprintf(out, sizeof(out), "%s", "none");
    for (const struct json *g = json_first(list); g; g = json_next(g))
        if (strcmp(json_get_str(g, "guard", ""), name) == 0)
            snprintf(out, sizeof(out), "%s: %s", json_get_str(g, "verdict", ""),
                     json_get_str(g, "why", ""));
    json_free(a);
    return out;
}

static void explain_says_which_guard_would_hold(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "hot")->actions[0].approval_required = true;
    rig_start(&r);
    rig_run(&r, 5);
    assert_string_equal(guard(&r, "freeze"), "allow: ");
    assert_string_equal(guard(&r, "mode"), "allow: ");
    assert_string_equal(guard(&r, "silence"), "allow: ");
    assert_string_equal(guard(&r, "approval"), "later: known once the act is planned");
    assert_string_equal(planned_guard(&r, "approval"), "defer: a human has to approve the plan");
    rules_order(&r, "freeze", "reason", "look at it", "x", "y");
    assert_string_equal(guard(&r, "freeze"), "defer: frozen by ann: look at it");
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    r.frozen_file = true;
    rig_run(&r, 6);
    assert_string_equal(guard(&r, "freeze"), "defer: frozen by file: the freeze file exists");
    r.frozen_file = false;
    rules_order(&r, "unfreeze", "reason", "go", "x", "y");
    rules_order(&r, "mode", "mode", "off", "x", "y");
    assert_string_equal(guard(&r, "mode"),
                        "deny: mode off (policy enforce, target enforce, agent off)");
    rig_free(&r);
}

/* M10, M18: what acts already is held by a storm, and explain says by what. */
static void a_storm_holds_an_open_run_and_explain_says_so(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 30);
    p = rules_scripted(&r, grow_and_back);
    p->max_targets = 100;
    rules_heat(&r, 20);
    assert_int_equal(r.t[0].effects, 1);
    assert_string_equal(guard(&r, "storm"), "allow: ");
    for (int k = 1; k < 30; k++)
        r.t[k].load = 700;
    rig_run(&r, 30);
    assert_string_equal(guard(&r, "storm"), "deny: storm: the agent dropped to shadow; runbookctl "
                                            "mode enforce ends it");
    r.t[0].load = 100;
    rig_run(&r, 60);
    assert_int_equal(r.t[0].effects, 1); /* its undo waits, too */
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silence_is_ended_early),
        cmocka_unit_test(a_silence_that_is_over_cannot_be_ended),
        cmocka_unit_test(a_silence_that_is_over_is_closed),
        cmocka_unit_test(what_an_order_leaves_out_is_asked_for),
        cmocka_unit_test(unfreeze_does_not_lift_the_file),
        cmocka_unit_test(settle_and_resume_are_for_runs_that_wait_for_them),
        cmocka_unit_test(a_replay_that_differs_is_not_resumed),
        cmocka_unit_test(a_frozen_question_is_not_approved),
        cmocka_unit_test(an_order_that_is_not_written_says_so),
        cmocka_unit_test(explain_says_which_guard_would_hold),
        cmocka_unit_test(a_storm_holds_an_open_run_and_explain_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
