/* What a report says of the future must come true: every outcome of a run, of a policy's that pages
 * at its fire or on failure, of one that an operator started, and of a procedure, is told to its
 * end, and each report is held against what came after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

#define MAX_REPORTS 128
static struct json *got[MAX_REPORTS];
static size_t ngot;

enum subject { AT_FIRE, ON_FAILURE, MANUAL, PROCEDURE };
static const char *const subjects[] = {"at_fire", "on_failure", "manual", "procedure"};

static const struct script_line well[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_VERIFY, "well", 10 * MIN_MS}, SCRIPT_END};
static const struct script_line pages[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_PAGE, "look", 0}, SCRIPT_END};
static const struct script_line never[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_VERIFY, "never", 4 * MIN_MS}, SCRIPT_END};
static const struct script_line slow[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_VERIFY, "never", 10 * MIN_MS}, SCRIPT_END};
static const struct script_line waits[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_WAIT, "calm", 40 * MIN_MS}, SCRIPT_END};
static const struct script_line acts[] = {{'*', ASK_ACT, "scale", 0}, SCRIPT_END};
static const struct script_line idles[] = {{'*', ASK_ACT, "idle", 0}, SCRIPT_END};

static void before_refused(struct rig *r, struct policy *p)
{
    (void)p;
    r->t[0].desired = 20;
}

static void before_failed(struct rig *r, struct policy *p)
{
    (void)p;
    r->next_how = APPLIED_REFUSED;
}

static void before_lost(struct rig *r, struct policy *p)
{
    (void)p;
    r->next_how = APPLIED_IN_DOUBT;
    r->doubt_desired = 13;
}

static void before_shadowed(struct rig *r, struct policy *p)
{
    (void)r;
    p->mode = MODE_SHADOW;
}

static void before_approval(struct rig *r, struct policy *p)
{
    (void)r;
    p->mode = MODE_APPROVE;
}

static void before_expired(struct rig *r, struct policy *p)
{
    (void)r;
    p->deadline_ms = 8 * MIN_MS;
}

/* A ladder on which nothing has anything to do. */
static void before_empty(struct rig *r, struct policy *p)
{
    (void)r;
    p->script = NULL;
    p->ladder = true;
    p->actions[0].name = "first";
    p->actions[0].type = p->actions[1].type;
}

static void then_blind(struct rig *r)
{
    r->t[0].missing = true;
}

static void order_run(struct rig *r, const char *command, const char *key, const char *value)
{
    char run[64];

    assert_string_equal(rules_order(r, command, "run", rules_run(r, run), key, value), "");
}

static void then_cancel(struct rig *r)
{
    order_run(r, "cancel", NULL, NULL);
}

static void then_settle(struct rig *r)
{
    order_run(r, "settle", "as", "done");
}

static void then_approve(struct rig *r)
{
    order_run(r, "approve", NULL, NULL);
}

static void then_deny(struct rig *r)
{
    order_run(r, "deny", NULL, NULL);
}

static void then_off(struct rig *r)
{
    r->set->policies[0]->mode = MODE_OFF;
    rig_reload(r);
}

/* It clears while the agent is frozen. */
static void then_over(struct rig *r)
{
    assert_string_equal(rules_order(r, "freeze", "reason", "night", NULL, NULL), "");
    r->t[0].load = 100;
}

static void then_thaw(struct rig *r)
{
    assert_string_equal(rules_order(r, "unfreeze", NULL, NULL, NULL, NULL), "");
}

static const struct story {
    const char *name, *outcome;
    const struct script_line *script;
    void (*before)(struct rig *r, struct policy *p);
    void (*then)(struct rig *r);  /* four minutes after its act */
    void (*later)(struct rig *r); /* another six later */
    enum subject last;            /* that can meet it */
} stories[] = {
    {"succeeded", "succeeded", well, NULL, NULL, NULL, PROCEDURE},
    {"succeeded, and called", "succeeded", pages, NULL, NULL, NULL, PROCEDURE},
    {"nothing to do", "succeeded", idles, NULL, NULL, NULL, PROCEDURE},
    {"ineffective", "ineffective", never, NULL, NULL, NULL, PROCEDURE},
    {"empty ladder", "succeeded", acts, before_empty, NULL, NULL, MANUAL},
    {"failed", "failed", acts, before_failed, NULL, NULL, PROCEDURE},
    {"stuck", "succeeded", acts, before_lost, then_settle, NULL, PROCEDURE},
    {"blind", "blind", slow, NULL, then_blind, NULL, PROCEDURE},
    {"shadowed", "shadowed", well, before_shadowed, NULL, NULL, PROCEDURE},
    {"cancelled", "cancelled", waits, NULL, then_cancel, NULL, PROCEDURE},
    {"off", "cancelled", waits, NULL, then_off, NULL, PROCEDURE},
    {"over", "cancelled", waits, NULL, then_over, then_thaw, ON_FAILURE},
    {"expired", "expired", waits, before_expired, NULL, NULL, PROCEDURE},
    {"refused", "refused", acts, before_refused, NULL, NULL, PROCEDURE},
    {"approved", "succeeded", well, before_approval, then_approve, NULL, PROCEDURE},
    {"denied", "refused", acts, before_approval, then_deny, NULL, PROCEDURE},
};

static void keep(struct rig *r, const struct json *report)
{
    (void)r;
    assert_true(ngot < MAX_REPORTS);
    got[ngot++] = json_copy(report);
}

static const char *field(const struct json *report, const char *name)
{
    return json_get_str(report, name, "");
}

/* Whether one of this kind went to the pager under this key, from report `from` on. */
static bool went(const char *kind, const char *key, size_t from, size_t to)
{
    for (size_t k = from; k < to; k++)
        if (strcmp(field(got[k], "kind"), kind) == 0 && strcmp(field(got[k], "key"), key) == 0 &&
            !json_get_bool(got[k], "shadow", false))
            return true;
    return false;
}

static void comes_true(const struct story *s, enum subject what, size_t at)
{
    const struct json *report = got[at];
    const char *next = field(report, "next"), *key = field(report, "key"),
               *helped = field(report, "helped"), *episode = field(report, "episode"),
               *wrong = NULL;
    bool over = *field(report, "outcome") != 0, human = strcmp(field(report, "kind"), "human") == 0;
    bool triggered = went("trigger", episode, 0, at + 1),
         resolved = went("resolve", episode, at, ngot);

    if (what == PROCEDURE && (strstr(next, "the condition") || strstr(next, "episode") ||
                              strstr(field(report, "summary"), "the condition")))
        wrong = "a procedure has no condition";
    if (over && !*next)
        wrong = "what comes next is not told";
    if (over && (strcmp(helped, "not verified yet") == 0 || *field(report, "stop")))
        wrong = "it is over";
    if (strcmp(helped, "nothing was done") == 0 && json_len(json_get(report, "done")) > 0)
        wrong = "something was done";
    if (strstr(next, "page closes by itself") && (!triggered || !resolved))
        wrong = "it did not close";
    if (strstr(next, "page is closed by hand") && (!triggered || resolved))
        wrong = "it closed, or never was";
    if (strstr(next, "episode ends now") && at + 2 < ngot)
        wrong = "it went on";
    if (strstr(field(report, "summary"), "approval wanted") &&
        !strstr(field(report, "stop"), "runbookctl deny "))
        wrong = "how to say no is not told";
    if (strstr(next, "episode ends by itself") && (triggered || resolved))
        wrong = "it has a page";
    if (over && *episode && !strstr(next, "episode"))
        wrong = "what becomes of the episode is not told";
    if (human && *next && !strstr(key, "/approval") && !strstr(next, "this call is closed by hand"))
        wrong = "who closes the call is not told";
    if (strstr(key, "/human") && strncmp(key, "agent/", 6) != 0 && went("resolve", key, at, ngot))
        wrong = "a call was closed by itself";
    if (strcmp(field(report, "kind"), "resolve") == 0 && strstr(next, "waits for"))
        wrong = "nobody waits any more";
    if (strstr(next, "a human goes on") && !json_get_bool(report, "shadow", false)) {
        char *call = mem_printf("%s/human", *episode ? episode : field(report, "run"));
        if (!triggered && !went("human", call, 0, at + 1))
            wrong = "nobody was called";
        mem_free(call);
    }
    if (!wrong)
        return;
    for (size_t k = 0; k < ngot; k++)
        print_message("%s %s: %s | %s | %s\n", field(got[k], "kind"), field(got[k], "key"),
                      field(got[k], "summary"), field(got[k], "helped"), field(got[k], "next"));
    fail_msg("%s of %s: %s: \"%s\": next: \"%s\", helped: \"%s\"", s->name, subjects[what], wrong,
             field(report, "summary"), next, helped);
}

static void tell(const struct story *s, enum subject what)
{
    struct rig r;
    struct policy *p;
    bool ended = false;

    rig_init(&r, 1);
    p = rules_scripted(&r, s->script);
    rig_check(&r, p, "never", rig_leaf(&r, CMP_BELOW, 1, 0));
    rig_action(p, "idle", "idle");
    p->page = what == AT_FIRE ? PAGE_AT_FIRE : PAGE_ON_FAILURE;
    p->status_every_ms = 10 * MIN_MS;
    if (s->before)
        s->before(&r, p);
    if (what == PROCEDURE) {
        p->procedure = true;
        p->when = NULL;
    }
    r.on_report = keep;
    rig_start(&r);
    rig_run(&r, 9.5);
    if (what >= MANUAL)
        assert_string_equal(rules_order(&r, "start", "policy", "hot", "target", "g0"), "");
    else
        r.t[0].load = s->before == before_refused ? 1400 : 700;
    rig_run(&r, what >= MANUAL ? 13.5 : 18.5);
    if (s->then)
        s->then(&r);
    rig_run(&r, 25);
    if (s->later)
        s->later(&r);
    rig_run(&r, 70); /* waits, deadlines and status reports */
    r.t[0].load = 100;
    r.t[0].missing = false;
    rig_run(&r, 120);
    for (size_t k = 0; k < ngot; k++) {
        if (*field(got[k], "outcome") && strcmp(field(got[k], "outcome"), s->outcome) != 0)
            fail_msg("%s of %s ended %s:\n%s", s->name, subjects[what], field(got[k], "outcome"),
                     r.timeline);
        ended |= *field(got[k], "outcome") != 0;
        comes_true(s, what, k);
    }
    if (!ended)
        fail_msg("%s of %s did not end:\n%s", s->name, subjects[what], r.timeline);
    rig_free(&r);
    while (ngot > 0)
        json_free(got[--ngot]);
}

static void what_is_told_comes_true(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof(stories) / sizeof(stories[0]); k++)
        for (int what = 0; what <= (int)stories[k].last; what++)
            tell(&stories[k], (enum subject)what);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_comes_true),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
