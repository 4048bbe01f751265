/* What a start finds in the journal and cannot go on with as it was: policies and fields that are
 * gone, plans that it cannot read; and what holds others meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

#define REPORTED(text)                                                                             \
    do {                                                                                           \
        if (!r.reports || !strstr(r.reports, text))                                                \
            fail_msg("not reported: %s\n%s\n%s", text, r.reports ? r.reports : "", r.timeline);    \
    } while (0)

/* The last row of a kind with a field that starts so, e.g. step, state, intent. */
struct wanted {
    const char *field, *value;
    char key[64];
    struct json *doc;
};

static void look(void *arg, const char *key, const struct json *doc)
{
    struct wanted *w = arg;

    if (strcmp(json_get_str(doc, w->field, ""), w->value) != 0)
        return;
    snprintf(w->key, sizeof(w->key), "%s", key);
    json_free(w->doc);
    w->doc = json_copy(doc);
}

static struct json *row_of(struct rig *r, const char *kind, const char *field, const char *value,
                           char key[64])
{
    struct wanted w = {field, value, "", NULL};

    memory_disk_each(virtual_disk(r->v), kind, look, &w);
    if (!w.doc)
        fail_msg("no %s with %s %s", kind, field, value);
    snprintf(key, 64, "%s", w.key);
    return w.doc;
}

static void ignore(void *arg, const char *denied, const struct err *e)
{
    (void)arg;
    (void)denied;
    (void)e;
}

/* As an agent of another version would have written it; between a crash and a start. Takes doc. */
static void put_row(struct rig *r, const char *kind, const char *key, struct json *doc)
{
    struct journal *j = memory_journal_open(virtual_disk(r->v));
    struct jtx *tx = jtx_new(1, 1);

    jtx_put(tx, kind, key, doc, false);
    j->ops->submit(j, tx, ignore, NULL);
    j->ops->close(j);
}

static void approval_row(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    snprintf(arg, 64, "%s", json_get_str(doc, "state", ""));
}

/* A question whose run cannot be taken up is closed, also at the pager: an answer would reach
 * nobody. */
static void a_question_nobody_asks_any_more(void **state)
{
    struct rig r;
    struct policy_set *old;
    struct json *row;
    char run[64], key[64], text[256], asked[64] = "";

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify)->actions[0].approval_required = true;
    rules_heat(&r, 16);
    SEEN("approval wanted");
    rules_run(&r, run);
    old = r.set;
    r.set = rig_new_set(); /* the policy is gone */
    rig_restart(&r);
    rig_run(&r, 17);
    assert_int_equal(r.humans, 2); /* the question, and that it is gone */
    snprintf(text, sizeof(text),
             "asg/g0: run %s of policy hot was open when the agent stopped and cannot be taken up: "
             "its policy or target is no longer loaded",
             run);
    assert_string_equal(r.last_human, text);
    snprintf(text, sizeof(text),
             "/approval asg/g0: no approval is wanted any more: run %s cannot be taken up", run);
    REPORTED(text);
    memory_disk_each(virtual_disk(r.v), "approval", approval_row, asked);
    assert_string_equal(asked, "void");
    row = row_of(&r, "step", "run", run, key);
    assert_string_equal(json_get_str(row, "state", ""), "abandoned");
    assert_string_equal(json_get_str(row, "was", ""), "begun");
    json_free(row);
    row = row_of(&r, "episode", "policy", "hot", key);
    assert_string_equal(json_get_str(row, "state", ""), "vanished");
    json_free(row);
    assert_non_null(
        strstr(rules_order(&r, "approve", "run", run, "x", "y"),
               "is over: it ended cancelled: its policy or target is no longer loaded"));
    rig_restart(&r); /* told once */
    rig_run(&r, 60);
    assert_int_equal(r.humans, 2);
    assert_int_equal(r.t[0].effects, 0);
    policy_set_unref(old);
    rig_free(&r);
}

/* Rule 2: what may have left is never forgotten. Neither probed nor sent again, as nothing tells
 * what it was. */
static void the_plan_of_an_intent_cannot_be_read(void **state)
{
    struct rig r;
    struct json *row;
    char key[64];

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, act_verify);
    r.latency_ms = 10 * 1000;
    rules_heat(&r, 15.4); /* the request is on its way */
    virtual_crash(r.v);
    row = row_of(&r, "step", "state", "intent", key);
    json_remove(json_get_mut(row, "plan"), "flags");
    put_row(&r, "step", key, row);
    rig_start(&r);
    rig_run(&r, 40);
    REPORTED("run ended failed: the plan of step 1 cannot be read from the journal: a stored plan "
             "has no usable \"flags\" or \"empty\": the journal is damaged or of another version. "
             "IN DOUBT: whether \"scale desired 10 -> 12\" took effect is not known");
    SEEN("end failed");
    NOT_SEEN(" probe ");
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

/* A request is on its way for g0 when the agent stops; what stands for both targets is asked after
 * next, by a policy of higher severity, so that nothing but the doubt is in its way. */
static void crash_with_a_request(struct rig *r, char run[64])
{
    rig_init(r, 3);
    for (size_t k = 0; k < 2; k++) /* g2 is something else */
        json_set_str(estate_at(r->estate, k)->fields, "alb", "app/web/1");
    rules_scripted(r, act_verify);
    r->latency_ms = 10 * 1000;
    rules_heat(r, 15.4);
    assert_string_not_equal(rules_run(r, run), "");
    virtual_crash(r->v);
    assert_int_equal(r->t[0].effects, 1);
}

/* No other guard is in the way. */
static void widen(struct rig *r)
{
    for (size_t k = 0; k < r->set->npolicies; k++) {
        struct policy *p = r->set->policies[k];
        p->max_targets = 5;
        p->limit = (struct rate){50, 60 * MIN_MS};
        p->cooldown_ms = 0;
    }
}

static int doubts(struct rig *r, const char *run)
{
    struct json *a = rig_order(r, "status", NULL);
    const struct json *list = json_get(a, "in_doubt"), *row = json_at(list, 0);
    int n = (int)json_len(list);

    if (n) {
        assert_string_equal(json_get_str(row, "run", ""), run);
        assert_string_equal(json_get_str(row, "target", ""), "asg/g0");
        assert_string_equal(json_get_str(row, "policy", ""), "hot");
        assert_true(json_get_bool(row, "stuck", false));
    }
    json_free(a);
    return n;
}

/* "deny WHY", by explain. */
static const char *lock_of(struct rig *r, const char *policy, const char *target, char out[256])
{
    struct json *a = rig_order(r, "explain", "policy", policy, "target", target, NULL);
    const struct json *list =
        json_get(json_get(json_at(json_get(a, "explain"), 0), "guards"), "scale");

    snprintf(out, 256, "not asked");
    for (const struct json *g = json_first(list); g; g = json_next(g))
        if (strcmp(json_get_str(g, "guard", ""), "lock") == 0)
            snprintf(out, 256, "%s %s", json_get_str(g, "verdict", "?"),
                     json_get_str(g, "why", ""));
    json_free(a);
    return out;
}

/* The target and what it stands for, and nothing else. */
static void is_held(struct rig *r, const char *run, bool resource)
{
    const char *policy = r->set->policies[r->set->npolicies - 1]->name;
    char got[256], want[256];

    assert_int_equal(doubts(r, run), 1);
    snprintf(want, sizeof(want), "deny run %s left app/web/1 in doubt: runbookctl settle %s", run,
             run);
    assert_string_equal(lock_of(r, policy, "g0", got), want);
    assert_string_equal(lock_of(r, policy, "g1", got), resource ? want : "allow ");
    assert_string_equal(lock_of(r, policy, "g2", got), "allow ");
}

static void settle(struct rig *r, const char *run, const char *as)
{
    const char *policy = r->set->policies[r->set->npolicies - 1]->name;
    char got[256];
    int before = r->t[0].effects;

    assert_string_equal(rules_order(r, "settle", "run", run, "as", "maybe"),
                        "say what you saw: done or not-done, not maybe");
    assert_string_equal(rules_order(r, "settle", "run", run, "as", as), "");
    assert_int_equal(doubts(r, run), 0);
    assert_string_equal(lock_of(r, policy, "g0", got), "allow ");
    assert_string_equal(rules_order(r, "breaker", "policy", policy, "target", "g0"), "");
    assert_string_equal(rules_order(r, "start", "policy", policy, "target", "g0"), "");
    rig_run(r, 200);
    if (r->t[0].effects <= before)
        fail_msg("%s", r->timeline);
    if (strstr(rules_order(r, "settle", "run", run, "as", as), "is over: it ended") == NULL)
        fail_msg("settled twice: %s", rules_order(r, "settle", "run", run, "as", as));
    rig_restart(r);
    assert_int_equal(doubts(r, run), 0);
}

/* Over restarts, until a human settles it: nothing of what cannot be read is needed for that. */
static void held_until_settled(struct rig *r, const char *run, bool resource, const char *as)
{
    char page[160];

    snprintf(page, sizeof(page),
             "The target is held. Look, then: runbookctl settle %s done | not-done", run);
    rig_run(r, 30);
    is_held(r, run, resource);
    r->t[0].load = r->t[1].load = r->t[2].load = 1900;
    rig_run(r, 80);
    if (!rig_seen(r, "deny lock: run R"))
        fail_msg("%s", r->timeline);
    assert_int_equal(r->t[0].effects, 1);
    assert_int_equal(r->t[1].effects > 0, !resource);
    assert_true(r->t[2].effects > 0);
    for (int k = 0; k < 2; k++) {
        rig_restart(r);
        rig_run(r, 90 + k * 10);
        is_held(r, run, resource);
    }
    assert_int_equal(r->t[0].effects, 1);
    assert_int_equal(rules_count(r->reports, page), 1); /* told once */
    settle(r, run, as);
    if (!strstr(r->reports, "settled by ann. The target is held no more"))
        fail_msg("%s", r->reports);
}

static void a_lost_intent_holds_its_target(void **state)
{
    static const struct {
        const char *what; /* becomes unreadable */
        bool resource;    /* is held as well */
        const char *as;
    } rows[] = {{"plan", true, "done"},
                {"plan and resource", true, "not-done"}, /* by today's policy */
                {"policy", true, "not-done"},
                {"policy and resource", false, "done"}, /* written by an older version */
                {"steps", true, "not-done"}};

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct policy_set *old = NULL;
        struct json *row;
        char run[64], key[64];
        struct rig r;
        crash_with_a_request(&r, run);
        row = row_of(&r, "step", "state", "intent", key);
        assert_string_equal(json_get_str(row, "resource", ""), "app/web/1");
        if (strstr(rows[k].what, "plan"))
            json_remove(json_get_mut(row, "plan"), "flags");
        if (strstr(rows[k].what, "resource"))
            json_remove(row, "resource");
        put_row(&r, "step", key, row);
        if (strcmp(rows[k].what, "steps") == 0)
            memory_disk_unreadable(virtual_disk(r.v), "step");
        if (strstr(rows[k].what, "policy")) {
            old = r.set;
            r.set = rig_new_set();
            rig_policy(&r, "other")->severity = SEV1;
        }
        widen(&r);
        r.latency_ms = 0;
        rig_start(&r);
        held_until_settled(&r, run, rows[k].resource, rows[k].as);
        policy_set_unref(old);
        rig_free(&r);
    }
}

/* E114 with a request that may have left: a run that is not asked on, and cannot be probed. Whether
 * it is settled or cancelled first. */
static void a_replay_that_differs_holds_what_it_sent(void **state)
{
    static const struct script_line nothing[] = {SCRIPT_END};

    (void)state;
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        char run[64], text[256];
        struct rig r;
        crash_with_a_request(&r, run);
        rig_script(r.set->policies[0], nothing);
        rig_policy(&r, "other")->severity = SEV1;
        widen(&r);
        r.latency_ms = 0;
        rig_start(&r);
        rig_run(&r, 20);
        snprintf(text, sizeof(text),
                 "IN DOUBT: whether \"scale desired 10 -> 12\" took effect is "
                 "not known. The target is held. Look, then: runbookctl settle %s",
                 run);
        if (!strstr(r.last_human, text))
            fail_msg("%s", r.last_human);
        assert_int_equal(doubts(&r, run), 1);
        is_held(&r, run, true);
        if (cancelled)
            assert_string_equal(rules_order(&r, "cancel", "run", run, "x", "y"), "");
        rig_restart(&r);
        rig_run(&r, 30);
        is_held(&r, run, true);
        assert_int_equal(r.t[0].effects, 1);
        settle(&r, run, "done");
        SEEN("end cancelled");
        rig_free(&r);
    }
}

/* What was done cannot be undone without its plan, and it is not taken for nothing. */
static void the_plan_of_an_act_cannot_be_read(void **state)
{
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        struct rig r;
        struct json *row;
        char key[64];
        rig_init(&r, 1);
        rules_scripted(&r, grow_and_back);
        rules_heat(&r, 20);
        assert_int_equal(r.t[0].effects, 1);
        virtual_crash(r.v);
        row = row_of(&r, "step", "kind", "act", key);
        if (missing)
            json_remove(json_get_mut(row, "detail"), "plan");
        else
            json_remove(json_get_mut(json_get_mut(row, "detail"), "plan"), "before");
        put_row(&r, "step", key, row);
        rig_start(&r);
        r.t[0].load = 100;
        rig_run(&r, 60);
        REPORTED(missing
                     ? "the plan of step 1 cannot be read from the journal: it holds none. What "
                       "\"scale (no summary)\" did is left as it is"
                     : "What \"scale desired 10 -> 12\" did is left as it is");
        SEEN("end failed");
        assert_int_equal(r.triggers, 1);
        assert_int_equal(r.t[0].desired, 12);
        rig_free(&r);
    }
}

/* The same targets with another field, as a restart finds them. */
static void estate_again(struct rig *r, const char *field)
{
    struct json *fields = json_new_map();

    estate_unref(r->estate);
    r->estate = estate_new();
    json_set_str(fields, field, "us-east-1a");
    assert_int_equal(estate_add(r->estate, "asg", "g0", json_new_map(), fields, MODE_ENFORCE,
                                "estate.lua", 1, NULL),
                     0);
}

/* A run of before goes on on its own version, which names what the estate of today does not give.
 */
static void stored_version(struct rig *r, struct policy *p, const char *note)
{
    r->stored = policy_set_ref(r->set);
    if (note)
        json_set_str(p->actions[0].opts, "note", note);
}

static void todays_version(struct rig *r, const struct script_line *lines)
{
    policy_set_unref(r->set);
    r->set = rig_new_set();
    rules_scripted(r, lines)->source_hash = "0456";
}

/* A request that may have left, whose options cannot be resolved any more: nothing can be asked of
 * the world, so a human settles it, and the target is held until then. */
static void the_options_of_an_intent_are_gone(void **state)
{
    (void)state;
    for (int done = 0; done < 2; done++) {
        struct rig r;
        struct policy *other;
        char run[64], text[512];
        rig_init(&r, 1);
        estate_again(&r, "zone");
        stored_version(&r, rules_scripted(&r, act_verify), "$target.zone");
        r.latency_ms = 10 * 1000;
        rules_heat(&r, 15.4);
        estate_again(&r, "service");
        todays_version(&r, act_verify);
        other = rig_policy(&r, "other");
        other->actions[0].type = action_find("pair");
        other->severity = SEV1;
        rig_restart(&r);
        rig_run(&r, 16);
        rules_run(&r, run);
        snprintf(text, sizeof(text),
                 "g0: it cannot be told whether \"scale desired 10 -> 12\" took effect (the agent "
                 "stopped between intent and outcome; E102: unknown name $target.zone; it cannot "
                 "be asked after). The target is held. Look, then: runbookctl settle %s done | "
                 "not-done",
                 run);
        if (!strstr(r.last_human, "it cannot be told whether"))
            fail_msg("%s\n%s", r.timeline, r.last_human);
        if (strncmp(r.last_human, text, strlen(text)) != 0)
            fail_msg("%s", r.last_human);
        NOT_SEEN(" probe ");
        r.t[0].load = 1500;
        rig_run(&r, 40); /* whoever else would act is held, and told by what */
        assert_int_equal(r.t[0].effects, 1);
        snprintf(text, sizeof(text), "deny lock: run %s left asg/g0 in doubt: runbookctl settle %s",
                 run, run);
        SEEN(text);
        assert_string_equal(rules_order(&r, "settle", "run", run, "as", done ? "done" : "not-done"),
                            "");
        rig_run(&r, 60);
        SEEN(done ? "act scale desired 10 -> 12 ok"
                  : "act scale desired 10 -> 12 failed: settled by ann");
        policy_set_unref(r.stored);
        rig_free(&r);
    }
}

/* M16: a check that cannot be read is not false. */
static void a_check_names_what_is_gone(void **state)
{
    static const struct script_line then_verify[] = {{'*', ASK_ACT, "scale", 0},
                                                     {'*', ASK_SLEEP, NULL, 5 * MIN_MS},
                                                     {'*', ASK_VERIFY, "well", 10 * MIN_MS},
                                                     {'n', ASK_UNDO, "scale", 0},
                                                     SCRIPT_END};
    struct rig r;
    struct policy *p;
    struct json *opts = json_new_map();

    (void)state;
    rig_init(&r, 1);
    estate_again(&r, "zone");
    p = rules_scripted(&r, then_verify);
    json_set_str(opts, "of", "$target.zone");
    p->checks[0].cond->opts = opts;
    stored_version(&r, p, NULL);
    rules_heat(&r, 17);
    assert_int_equal(r.t[0].effects, 1);
    estate_again(&r, "service");
    todays_version(&r, then_verify);
    rig_restart(&r);
    rig_run(&r, 60);
    REPORTED(
        "run ended failed: check well cannot be read: the estate no longer gives what it names. "
        "Left as it is: scale desired 10 -> 12");
    assert_int_equal(r.t[0].desired, 12);
    json_free(opts);
    policy_set_unref(r.stored);
    rig_free(&r);
}

/* What a run that is still being read did is not known: nobody else acts on its target. */
static void a_run_that_is_being_read_holds_its_target(void **state)
{
    struct rig r;
    struct policy *other;
    struct json *a;
    const struct json *g;
    char *text;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, grow_and_back);
    other = rig_policy(&r, "other");
    other->actions[0].type = action_find("pair"); /* nothing that hot's actions write */
    other->when = rig_leaf(&r, CMP_ABOVE, 95, 5 * MIN_MS);
    rules_heat(&r, 20);
    virtual_crash(r.v);
    rig_start(&r);
    a = rig_order(&r, "explain", "policy", "other", "target", "g0", NULL);
    g = json_get(json_get(json_at(json_get(a, "explain"), 0), "guards"), "scale");
    text = json_print_canonical(g);
    assert_non_null(strstr(text,
                           "{\"guard\":\"lock\",\"verdict\":\"defer\",\"why\":\"a run of policy "
                           "hot is being read from the journal\"}"));
    mem_free(text);
    json_free(a);
    rig_run(&r, 21);
    a = rig_order(&r, "explain", "policy", "other", "target", "g0", NULL);
    text = json_print_canonical(a);
    assert_non_null(strstr(text, "{\"guard\":\"lock\",\"verdict\":\"allow\",\"why\":\"\"}"));
    mem_free(text);
    json_free(a);
    rig_free(&r);
}

/* What no complete listing has any more is no target, and there is none left. */
static void an_empty_target_set_refuses(void **state)
{
    (void)state;
    for (int absent = 0; absent < 2; absent++) {
        struct rig r;
        struct json *a;
        char *text;
        rig_init(&r, 1);
        rules_scripted(&r, act_verify);
        rig_start(&r);
        rig_run(&r, 5);
        estate_again(&r, "service");
        estate_found(r.estate, "asg", "g0", absent ? LISTED_ABSENT : LISTED);
        rig_reload(&r);
        a = rig_order(&r, "explain", "policy", "hot", "target", "g0", NULL);
        text = json_print_canonical(a);
        if ((strstr(text, "{\"guard\":\"blast radius\",\"verdict\":\"deny\",\"why\":\"the selector "
                          "finds no target now: an empty target set refuses\"}") != NULL) != absent)
            fail_msg("%s", text);
        mem_free(text);
        json_free(a);
        r.t[0].load = 900;
        rig_run(&r, 40);
        assert_int_equal(r.t[0].effects, !absent);
        rig_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_nobody_asks_any_more),
        cmocka_unit_test(the_plan_of_an_intent_cannot_be_read),
        cmocka_unit_test(a_lost_intent_holds_its_target),
        cmocka_unit_test(a_replay_that_differs_holds_what_it_sent),
        cmocka_unit_test(the_plan_of_an_act_cannot_be_read),
        cmocka_unit_test(the_options_of_an_intent_are_gone),
        cmocka_unit_test(a_check_names_what_is_gone),
        cmocka_unit_test(a_run_that_is_being_read_holds_its_target),
        cmocka_unit_test(an_empty_target_set_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
