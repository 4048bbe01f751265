/* What an on-call reads at 3 a.m.: each report says what was seen, what was done, whether it
 * helped, what comes next and how to stop it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/json.h"
#include "help_rules.h"

#define MAX_REPORTS 64
static struct json *got[MAX_REPORTS];
static size_t ngot;

static void keep(struct rig *r, const struct json *report)
{
    (void)r;
    if (ngot < MAX_REPORTS)
        got[ngot++] = json_copy(report);
}

static void drop(void)
{
    while (ngot > 0)
        json_free(got[--ngot]);
}

/* The one whose summary has this in it. */
static const struct json *about(const char *text)
{
    for (size_t k = 0; k < ngot; k++)
        if (strstr(json_get_str(got[k], "summary", ""), text))
            return got[k];
    for (size_t k = 0; k < ngot; k++) {
        char *s = json_print(got[k]);
        print_message("%s\n", s);
        mem_free(s);
    }
    fail_msg("no report about: %s", text);
    return NULL;
}

/* Its field has this in it; "" : there is none. */
static void says(const struct json *report, const char *field, const char *text)
{
    const char *have = json_get_str(report, field, "");

    if (*text ? !strstr(have, text) : *have)
        fail_msg("%s: %s: \"%s\", wanted \"%s\"", json_get_str(report, "summary", ""), field, have,
                 text);
}

static void did(const struct json *report, const char *first, const char *second)
{
    const struct json *done = json_get(report, "done");

    assert_string_equal(json_str(json_at(done, 0), ""), first);
    assert_string_equal(json_str(json_at(done, 1), ""), second);
}

static void rises_then_falls(struct rig *r, int64_t at_ms)
{
    r->t[0].load = at_ms < 10 * MIN_MS || at_ms >= 40 * MIN_MS ? 400 : 850;
}

/* The first policy, at its fire, after its act, verified, ended, and resolved. */
static void a_whole_episode(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, grow_and_back);
    p->page = PAGE_AT_FIRE;
    p->status_every_ms = 5 * MIN_MS;
    r.script = rises_then_falls;
    r.on_report = keep;
    rig_start(&r);
    rig_run(&r, 17);
    says(about("above"), "kind", "trigger");
    says(about("above"), "seen", "85% above 60% for 5m");
    says(about("above"), "now", "");
    says(about("above"), "helped", "nothing was done");
    says(about("above"), "next", "acts by itself (scale), and calls a human where it cannot");
    says(about("above"), "stop", "runbookctl cancel R");
    did(about("did: scale"), "scale: desired 10 -> 12", "");
    says(about("did: scale"), "helped", "not verified yet");
    rig_restart(&r); /* what it did outlives it */
    rig_run(&r, 120);
    did(about("still "), "scale: desired 10 -> 12", "");
    did(about("run ended"), "scale: desired 10 -> 12", "undo scale: desired 12 -> 10");
    says(about("run ended"), "stop", "");
    says(about("clear after"), "kind", "resolve");
    did(about("clear after"), "scale: desired 10 -> 12", "undo scale: desired 12 -> 10");
    says(about("clear after"), "now", "not above 60%");
    says(about("clear after"), "seen", "above 60%");
    says(about("clear after"), "next", "");
    rig_free(&r);
    drop();
}

/* An act after a verify is not covered by it. */
static void helped_is_of_the_last_act(void **state)
{
    static const struct script_line twice[] = {{'*', ASK_ACT, "scale", 0},
                                               {'*', ASK_VERIFY, "well", 4 * MIN_MS},
                                               {'*', ASK_ACT, "scale", 0},
                                               {'*', ASK_VERIFY, "well", 4 * MIN_MS},
                                               SCRIPT_END};
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, twice);
    p->actions[0].max_acts = 2;
    r.on_report = keep;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 1500;
    rig_run(&r, 60);
    says(about("not verified in time"), "helped", "no");
    says(about("not verified in time"), "next", "acts by itself");
    for (size_t k = 0, acts = 0; k < ngot; k++)
        if (strstr(json_get_str(got[k], "summary", ""), "did: scale")) {
            says(got[k], "helped", "not verified yet");
            assert_int_equal(json_len(json_get(got[k], "done")), ++acts);
        }
    says(about("run ended ineffective"), "kind", "trigger");
    says(about("run ended ineffective"), "summary",
         "g0: load 100% above 60% for 5m; the run ended ineffective. Left as it is: scale desired "
         "10 -> 12");
    says(about("run ended ineffective"), "next", "a human goes on with the runbook");
    rig_free(&r);
    drop();
}

/* An undo takes nothing from it; a note that closes says no more what comes next. */
static void an_undo_leaves_what_was_verified(void **state)
{
    static const struct script_line back[] = {{'*', ASK_ACT, "scale", 0},
                                              {'*', ASK_VERIFY, "well", 10 * MIN_MS},
                                              {'*', ASK_UNDO, "scale", 0},
                                              SCRIPT_END};
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rules_scripted(&r, back);
    r.on_report = keep;
    r.script = rises_then_falls;
    r.t[0].load = 850;
    rig_start(&r);
    rig_run(&r, 12);
    r.script = NULL;
    rig_run(&r, 16);
    r.t[0].load = 100;
    rig_run(&r, 60);
    says(about("verified: well"), "helped", "verified");
    says(about("undid: scale"), "helped", "verified");
    says(about("run ended"), "helped", "verified");
    says(about("clear after"), "next", "");
    rig_free(&r);
    drop();
}

/* M8: the policy's own page on failure is for what nobody was called about yet. */
static void one_thing_is_one_page(void **state)
{
    static const struct script_line says_so[] = {
        {'*', ASK_ACT, "scale", 0}, {'n', ASK_PAGE, "refused", 0}, SCRIPT_END};
    static const struct script_line says_it_before[] = {
        {'*', ASK_PAGE, "look", 0}, {'*', ASK_ACT, "scale", 0}, SCRIPT_END};
    static const struct {
        const struct script_line *script;
        int humans, triggers;
    } rows[] = {{says_so, 1, 0}, {says_it_before, 1, 1}};

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++)
        for (int crash = 0; crash < 2; crash++) {
            struct rig r;

            rig_init(&r, 1);
            rules_scripted(&r, rows[k].script);
            r.on_report = keep;
            rig_start(&r);
            rig_run(&r, 9.5);
            r.t[0].load = 850;
            r.next_how = APPLIED_REFUSED;
            rig_run(&r, 15);
            if (crash) /* taken up again, it calls nobody a second time */
                rig_restart(&r);
            rig_run(&r, 20);
            says(about("run ended failed"), "kind", rows[k].triggers ? "trigger" : "note");
            if (r.humans != rows[k].humans || r.triggers != rows[k].triggers)
                fail_msg("script %zu: %d and %d", k, r.humans, r.triggers);
            rig_free(&r);
            drop();
        }
}

/* That the breaker opened stands in the report of the run that opened it. */
static void a_breaker_is_told_with_the_end(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rules_scripted(&r, (const struct script_line[]){{'*', ASK_ACT, "scale", 0}, SCRIPT_END});
    p->limit = (struct rate){100, 60 * MIN_MS};
    p->cooldown_ms = 0;
    r.on_report = keep;
    rig_start(&r);
    for (int round = 0; round < 2; round++) {
        r.t[0].load = 900;
        r.next_how = APPLIED_REFUSED;
        rig_run(&r, 60 * round + 30);
        r.t[0].load = 100;
        rig_run(&r, 60 * round + 60);
    }
    says(about("breaker of policy"), "kind", "trigger");
    says(about("breaker of policy"), "summary", "run ended failed");
    says(about("breaker of policy"), "summary", "runbookctl breaker close hot ");
    assert_int_equal(r.triggers, 2);
    assert_int_equal(r.humans, 0);
    rig_free(&r);
    drop();
}

static void one_that_asks_or_is_frozen_says_so(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 2);
    p = rig_policy(&r, "hot");
    p->mode = MODE_APPROVE;
    r.on_report = keep;
    rig_start(&r);
    rig_run(&r, 9.5);
    r.t[0].load = 850;
    rig_run(&r, 20);
    says(about("above"), "next", "asks a human before each act (scale)");
    says(about("approval wanted"), "next", "waits for an approval until ");
    says(about("approval wanted"), "summary", "runbookctl approve R");
    rules_order(&r, "freeze", "reason", "night", NULL, NULL);
    drop();
    r.t[1].load = 850;
    rig_run(&r, 30);
    says(about("g1: "), "next", "frozen: nothing is done until runbookctl unfreeze");
    rig_free(&r);
    drop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_episode),
        cmocka_unit_test(one_thing_is_one_page),
        cmocka_unit_test(a_breaker_is_told_with_the_end),
        cmocka_unit_test(helped_is_of_the_last_act),
        cmocka_unit_test(an_undo_leaves_what_was_verified),
        cmocka_unit_test(one_that_asks_or_is_frozen_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
