/* M7 and M11 in virtual time: targets that listings lose, doubt or have not seen since the start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "help_rules.h"

/* The estate as after a listing: g0 .. of `all`, of which the first `unlike` are as said. */
static struct estate *listing(int all, int unlike, enum listed listed)
{
    struct estate *e = estate_new();

    for (int k = 0; k < all; k++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", k);
        assert_int_equal(estate_add(e, "asg", name, json_new_map(), json_new_map(), MODE_ENFORCE,
                                    "estate.lua", 1, NULL),
                         0);
        estate_found(e, "asg", name, k < unlike ? listed : LISTED);
    }
    return e;
}

static void put(struct rig *r, struct estate *next)
{
    struct err e = ERR_INIT;

    if (virtual_reload(r->v, r->set, next, &e))
        fail_msg("%s", e.text);
    estate_unref(r->estate);
    r->estate = next;
}

static void begin(struct rig *r, int targets)
{
    rig_init(r, targets);
    rig_policy(r, "hot")->cooldown_ms = 1;
    rig_start(r);
    rig_run(r, 5);
}

/* What the last complete listing does not have is watched, and not acted on. */
static void absent_denies(void **state)
{
    static const enum listed what[] = {LISTED_ABSENT, LISTED_EMPTY};
    static const char *const why[] = {
        "deny listing: absent from the last complete listing",
        "deny listing: the last listing was empty after one that was not: it is not believed"};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct rig r;

        begin(&r, 1);
        put(&r, listing(1, 1, what[k]));
        r.t[0].load = 1000;
        rig_run(&r, 30);
        SEEN(" fire ");
        SEEN(why[k]);
        assert_int_equal(r.t[0].effects, 0);
        rig_free(&r);
    }
}

/* Known from before the start only: the act waits for a listing, and goes on with it. */
static void unsure_defers(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1);
    put(&r, listing(1, 1, LISTED_UNSURE));
    r.t[0].load = 1000;
    rig_run(&r, 15);
    SEEN(" fire ");
    assert_int_equal(r.t[0].effects, 0);
    put(&r, listing(1, 0, LISTED));
    rig_run(&r, 16);
    assert_int_equal(r.t[0].effects, 1);
    NOT_SEEN("deny listing");
    rig_free(&r);
}

static void unsure_for_too_long_denies(void **state)
{
    struct rig r;

    (void)state;
    begin(&r, 1);
    put(&r, listing(1, 1, LISTED_UNSURE));
    r.t[0].load = 1000;
    rig_run(&r, 40);
    SEEN("deny listing: known from before the start, and not listed again yet");
    assert_int_equal(r.t[0].effects, 0);
    rig_free(&r);
}

/* M11: 10 % of twenty are two; of the eleven that the last listing has, one. */
static void the_share_is_of_what_is_listed(void **state)
{
    (void)state;
    for (int absent = 0; absent <= 9; absent += 9) {
        struct rig r;
        int acted = 0;

        begin(&r, 20);
        put(&r, listing(20, absent, LISTED_ABSENT));
        for (int k = 10; k < 13; k++)
            r.t[k].load = 1000;
        rig_run(&r, 30);
        for (int k = 0; k < 20; k++)
            acted += r.t[k].effects > 0;
        assert_int_equal(acted, absent ? 1 : 2);
        SEEN(absent ? "max_targets allows 1 of 11" : "max_targets allows 2 of 20");
        rig_free(&r);
    }
}

static const struct script_line act_and_sleep[] = {
    {'*', ASK_ACT, "scale", 0}, {'*', ASK_SLEEP, NULL, 60 * MIN_MS}, SCRIPT_END};

/* Gone: the run is cancelled, the page is closed and says why; back again, it fires anew. */
static void gone_ends_the_episode(void **state)
{
    struct rig r;
    char run[64];

    (void)state;
    rig_init(&r, 2);
    rules_scripted(&r, act_and_sleep)->page = PAGE_AT_FIRE;
    rig_start(&r);
    rig_run(&r, 5);
    r.t[1].load = 1000;
    rig_run(&r, 15);
    assert_int_equal(r.triggers, 1);
    assert_int_equal(r.t[1].effects, 1);
    put(&r, listing(1, 0, LISTED));
    rig_run(&r, 16);
    SEEN(" vanish asg/g1");
    assert_int_equal(r.resolves, 1);
    assert_non_null(strstr(r.reports, "no longer watched: the target or its policy is gone"));
    assert_string_equal(rules_run(&r, run), "");
    r.t[1].load = 2000;
    rig_run(&r, 30);
    assert_int_equal(r.t[1].effects, 1);
    assert_int_equal(r.triggers, 1);
    put(&r, listing(2, 0, LISTED));
    rig_run(&r, 60);
    assert_int_equal(r.triggers, 2);
    rig_free(&r);
}

static int told(const struct rig *r)
{
    int n = 0;

    for (const char *s = r->reports; s && (s = strstr(s, "matches no target")) != NULL; s++)
        n++;
    return n;
}

/* That a selector matches nothing is said once, when everything has been listed. */
static void no_target_is_told_once(void **state)
{
    struct estate *partial = listing(0, 0, LISTED);
    struct rig r;

    (void)state;
    begin(&r, 1);
    estate_set_partial(partial);
    put(&r, partial);
    rig_run(&r, 10);
    assert_int_equal(told(&r), 0);
    put(&r, listing(0, 0, LISTED));
    rig_run(&r, 15);
    assert_int_equal(told(&r), 1);
    put(&r, listing(0, 0, LISTED));
    rig_run(&r, 20);
    assert_int_equal(told(&r), 1);
    put(&r, listing(1, 0, LISTED)); /* has one, and loses it again: news */
    rig_run(&r, 25);
    put(&r, listing(0, 0, LISTED));
    rig_run(&r, 30);
    assert_int_equal(told(&r), 2);
    rig_free(&r);
}

/* Group by group: what the policy names of a target is there, or is not. */
static struct estate *tagged(const char *const *queues, int n)
{
    struct estate *e = estate_new();

    for (int k = 0; k < n; k++) {
        char name[16];
        struct json *tag = json_new_map();
        snprintf(name, sizeof(name), "g%d", k);
        if (queues[k])
            json_set_str(tag, "queue", queues[k]);
        assert_int_equal(
            estate_add(e, "asg", name, tag, json_new_map(), MODE_ENFORCE, "estate.lua", 1, NULL),
            0);
        estate_found(e, "asg", name, LISTED);
    }
    return e;
}

/* A tag that a condition or an action names and that a found target lacks: that target is left out
 * and told of once, the others are watched and acted on. A declared one is the policy's mistake. */
static void what_a_found_target_lacks_leaves_it_out(void **state)
{
    static const char *const one_lacks[] = {"a", NULL, "c"}, *const all_have[] = {"a", "b", "c"},
                             *const none_has[] = {NULL, NULL, NULL};

    (void)state;
    for (int in_action = 0; in_action < 2; in_action++) {
        struct rig r;
        struct policy *p;
        struct estate *declared = estate_new();
        struct err e = ERR_INIT;
        struct json *opts = json_new_map(), *answer;

        rig_init(&r, 3);
        p = rig_policy(&r, "hot");
        p->cooldown_ms = 1;
        p->max_targets = 10;
        json_set_str(opts, "queue", "$target.tag.queue");
        if (in_action)
            json_set_str(p->actions[0].opts, "queue", "$target.tag.queue");
        else
            p->when->opts = opts;
        estate_unref(r.estate);
        r.estate = tagged(one_lacks, 3);
        rig_start(&r);
        put(&r, tagged(one_lacks, 3)); /* listed again: no news */
        for (int k = 0; k < 3; k++)
            r.t[k].load = 700;
        rig_run(&r, 12);
        SEEN("asg/g0 fire");
        SEEN("asg/g2 act scale");
        NOT_SEEN("asg/g1");
        assert_int_equal(rules_count(r.reports, "does not apply"), 1);
        assert_non_null(strstr(r.reports, in_action ? "E102 act.scale" : "E102 sig.load"));
        assert_non_null(strstr(r.reports, "unknown name $target.tag.queue"));
        answer = rig_order(&r, "status", NULL);
        assert_int_equal(json_len(json_get(answer, "left_out")), 1);
        assert_int_equal(json_len(json_get(answer, "policies")), 2);
        json_free(answer);
        assert_non_null(strstr(rules_order(&r, "explain", "policy", "hot", "target", "asg/g1"),
                               "does not apply to this target"));
        put(&r, tagged(all_have, 3));
        rig_run(&r, 17.5);
        SEEN("asg/g1 fire");
        put(&r, tagged(none_has, 3)); /* one report for all of them, and none of "no target" */
        rig_run(&r, 20);
        SEEN("asg/g1 vanish");
        assert_int_equal(rules_count(r.reports, "does not apply"), 2);
        assert_non_null(strstr(r.reports, "and 2 more targets"));
        assert_int_equal(rules_count(r.reports, "matches no target"), 0);
        assert_int_equal(estate_add(declared, "asg", "g0", json_new_map(), json_new_map(),
                                    MODE_ENFORCE, "estate.lua", 1, NULL),
                         0);
        if (!in_action) { /* what actions name of a declared one is told by the check */
            assert_int_not_equal(virtual_reload(r.v, r.set, declared, &e), 0);
            assert_non_null(strstr(e.text, "E102"));
        }
        estate_unref(declared);
        rig_free(&r);
        json_free(opts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_denies),
        cmocka_unit_test(unsure_defers),
        cmocka_unit_test(unsure_for_too_long_denies),
        cmocka_unit_test(the_share_is_of_what_is_listed),
        cmocka_unit_test(gone_ends_the_episode),
        cmocka_unit_test(no_target_is_told_once),
        cmocka_unit_test(what_a_found_target_lacks_leaves_it_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
