/* Every field of the language: what it is when nothing is written, and what it is when something
 * is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "help_lua.h"

#define HEAD "owner = 't', severity = 'sev3', doc = 'https://e.com/x', target = find.asg {}, "
#define BODY                                                                                       \
    "when = sig.asg_cpu { above = '60%', lasting = '5m' }, actions = { act.asg_scale { by = 1, "   \
    "max = 9 } }, "

static char text[2000];

/* Loads a policy "p" with these fields beside the usual ones; the caller unrefs. */
static struct policy_set *with(const char *fields)
{
    snprintf(text, sizeof text, "policy 'p' { %s%s%s }", HEAD, BODY, fields);
    return help_policies(text, NULL);
}

static int64_t number(const struct policy *p, const char *what)
{
    const struct {
        const char *name;
        int64_t value;
    } all[] = {
        {"mode", p->mode},
        {"limit.n", p->limit.n},
        {"limit.per_ms", p->limit.per_ms},
        {"cooldown", p->cooldown_ms},
        {"policy_limit.n", p->policy_limit.n},
        {"policy_limit.per_ms", p->policy_limit.per_ms},
        {"max_acts", p->actions[0].max_acts},
        {"clear", p->clear != NULL},
        {"page", p->page},
        {"inhibits", (int64_t)p->ninhibits},
        {"blind_after", p->blind_after_ms},
        {"max_targets", p->max_targets},
        {"max_targets%", (int64_t)p->max_targets_percent},
        {"verify_within", p->verify_within_ms},
        {"deadline", p->deadline_ms},
        {"window", p->window != NULL},
        {"outside", p->outside_wait},
        {"status_every", p->status_every_ms},
        {"checks", (int64_t)p->nchecks},
        {"ladder", p->ladder},
        {"severity", p->severity},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, what) == 0)
            return all[i].value;
    fail_msg("no %s", what);
    return 0;
}

static void of_a_policy(void **state)
{
    static const struct {
        const char *fields, *what;
        int64_t value;
    } rows[] = {
        {"", "mode", MODE_SHADOW},
        {"mode = 'off'", "mode", MODE_OFF},
        {"mode = 'approve'", "mode", MODE_APPROVE},
        {"mode = 'enforce'", "mode", MODE_ENFORCE},
        {"", "limit.n", 1},
        {"", "limit.per_ms", 3600000},
        {"limit = '2 per 1d'", "limit.per_ms", 86400000},
        {"", "cooldown", 15 * 60000},
        {"cooldown = '1h30m'", "cooldown", 90 * 60000},
        {"", "policy_limit.n", 0},
        {"policy_limit = '5 per 10m'", "policy_limit.n", 5},
        {"policy_limit = '5 per 10m'", "policy_limit.per_ms", 600000},
        {"", "max_acts", 1},
        {"max_acts = 3", "max_acts", 3},
        {"max_acts = { asg_scale = 4 }", "max_acts", 4},
        {"", "clear", 0},
        {"clear = sig.asg_cpu { below = '40%' }", "clear", 1},
        {"", "page", PAGE_ON_FAILURE},
        {"page = 'at_fire'", "page", PAGE_AT_FIRE},
        {"", "inhibits", 0},
        {"inhibits = { 'a', 'b' }", "inhibits", 2},
        {"inhibits = 'a'", "inhibits", 1},
        {"", "blind_after", 15 * 60000},
        {"blind_after = '1h'", "blind_after", 3600000},
        {"", "max_targets", 0},
        {"", "max_targets%", 10},
        {"max_targets = 3", "max_targets", 3},
        {"max_targets = '20%'", "max_targets%", 20},
        {"", "verify_within", 10 * 60000},
        {"verify_within = '20m'", "verify_within", 20 * 60000},
        {"", "deadline", 24 * 3600000},
        {"deadline = '2d'", "deadline", 48 * 3600000},
        {"", "window", 0},
        {"window = sig.clock { from = '01:00', to = '02:00' }", "window", 1},
        {"", "outside", 0},
        {"outside = 'wait'", "outside", 1},
        {"outside = 'refuse'", "outside", 0},
        {"", "status_every", 0},
        {"status_every = '5m'", "status_every", 300000},
        {"", "checks", 0},
        {"checks = { a = sig.asg_cpu { below = '40%' } }", "checks", 1},
        {"", "ladder", 1},
        {"run = function(r) r:page 'x' end", "ladder", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct policy_set *set = with(rows[i].fields);
        int64_t got = number(policy_find(set, "p"), rows[i].what);
        if (got != rows[i].value)
            fail_msg("{ %s }: %s is %lld", rows[i].fields, rows[i].what, (long long)got);
        policy_set_unref(set);
    }
}

/* M8: when it pages; 15 minutes between the status updates of a sev1. */
static void of_a_severity(void **state)
{
    (void)state;
    for (int sev = 1; sev <= 4; sev++) {
        struct policy_set *set;
        const struct policy *p;
        snprintf(text, sizeof text,
                 "policy 'p' { owner = 't', severity = 'sev%d', doc = 'https://e.com/x', "
                 "target = find.asg {}, %s }",
                 sev, BODY);
        set = help_policies(text, NULL);
        p = policy_find(set, "p");
        assert_int_equal(number(p, "severity"), sev);
        assert_int_equal(number(p, "page"), sev <= 2 ? PAGE_AT_FIRE : PAGE_ON_FAILURE);
        assert_int_equal(number(p, "status_every"), sev == 1 ? 15 * 60000 : 0);
        policy_set_unref(set);
    }
}

static void of_an_action(void **state)
{
    struct policy_set *set = help_policies(
        "policy 'p' { " HEAD "when = sig.asg_cpu { above = '60%' }, actions = { "
        "plain = act.asg_scale { by = 1, max = 9 }, "
        "full = act.asg_scale { by = 1, max = 9, approval = 'required', approvers = 'root, bin', "
        "approval_ttl = '1h', timeout = '3m', max_acts = 4, coexist = true, "
        "approval_unless = sig.asg_cpu { below = '95%' } }, "
        "none = act.asg_scale { by = 1, max = 9, approval = 'none' } }, "
        "run = function(r) r:page 'x' end }\n"
        "policy 'q' { owner = 't', severity = 'sev3', doc = 'https://e.com/x', target = "
        "find.postgres {}, when = sig.pg_connections { above = 800 }, actions = { "
        "act.rds_promote { replica = 'r' } } }",
        NULL);
    const struct policy *p = policy_find(set, "p");
    const struct declared_action *a = policy_action(p, "plain");

    (void)state;
    assert_false(a->approval_required);
    assert_null(a->approval_unless);
    assert_null(a->approvers);
    assert_int_equal(a->approval_ttl_ms, 15 * 60000);
    assert_int_equal(a->timeout_ms, 10 * 60000);
    assert_int_equal(a->max_acts, 1);
    assert_false(a->coexist);
    a = policy_action(p, "full");
    assert_true(a->approval_required);
    assert_non_null(a->approval_unless);
    assert_string_equal(a->approvers, "root, bin");
    assert_int_equal(a->approval_ttl_ms, 3600000);
    assert_int_equal(a->timeout_ms, 180000);
    assert_int_equal(a->max_acts, 4);
    assert_true(a->coexist);
    assert_false(policy_action(p, "none")->approval_required);
    assert_true(policy_find(set, "q")->actions[0].approval_required); /* irreversible: always */
    policy_set_unref(set);
}

static const struct cond *when_of(struct policy_set *set)
{
    return policy_find(set, "p")->when;
}

static void of_a_condition(void **state)
{
    static const struct {
        const char *when;
        int cmp;
        double threshold;
        int64_t lasting_ms;
        int missing;
    } rows[] = {
        {"sig.asg_cpu { above = '60%' }", CMP_ABOVE, 60, 0, MISSING_HOLD},
        {"sig.asg_cpu { below = '60.5%', lasting = '90s' }", CMP_BELOW, 60.5, 90000, MISSING_HOLD},
        {"sig.asg_cpu { at_least = '0%', missing = 'hold' }", CMP_AT_LEAST, 0, 0, MISSING_HOLD},
        {"sig.asg_cpu { at_most = '100%', missing = 'false' }", CMP_AT_MOST, 100, 0, MISSING_FALSE},
        {"sig.asg_cpu { above = '1%', missing = false }", CMP_ABOVE, 1, 0, MISSING_FALSE},
        {"sig.alb_p99 { above = '1s500ms' }", CMP_ABOVE, 1500, 0, MISSING_HOLD},
        {"sig.change { of = sig.asg_cpu {}, by = '50%' }", CMP_AT_LEAST, 50, 0, MISSING_HOLD},
        {"sig.change { of = sig.asg_cpu {}, by = '-50%', lasting = '5m' }", CMP_AT_MOST, -50,
         300000, MISSING_HOLD},
        {"sig.compare { a = sig.asg_cpu {}, b = sig.alb_5xx {}, ratio_above = 1.5, missing = "
         "'false' }",
         CMP_ABOVE, 1.5, 0, MISSING_FALSE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct policy_set *set;
        const struct cond *c;
        snprintf(text, sizeof text,
                 "policy 'p' { " HEAD "when = %s, actions = { act.asg_scale { by = 1, max = 9 } }, "
                 "verify_within = '1h' }",
                 rows[i].when);
        set = help_policies(text, NULL);
        c = when_of(set);
        if (c->kind != COND_LEAF || (int)c->cmp != rows[i].cmp ||
            c->threshold != rows[i].threshold || c->lasting_ms != rows[i].lasting_ms ||
            (int)c->missing != rows[i].missing)
            fail_msg("%s", rows[i].when);
        policy_set_unref(set);
    }
}

/* M6: over when `when` is false with each `clear` in its comparator's place; what has none stays.
 */
static void of_a_clear(void **state)
{
    struct policy_set *set = help_policies(
        "local low = sig.asg_in_service { below = '90%', lasting = '2m' }\n"
        "policy 'p' { " HEAD
        "verify_within = '1h', actions = { act.asg_scale { by = 1, max = 9 } }, "
        "when = all { low, any { sig.asg_cpu { above = '60%', clear = '45%', lasting = '5m', "
        "missing = 'false' }, sig.change { of = sig.asg_cpu {}, by = '-50%', clear = '-20%' } } } "
        "}\n"
        "policy 'q' { " HEAD "actions = { act.asg_scale { by = 1, max = 9 } }, when = low }",
        NULL);
    const struct policy *p = policy_find(set, "p");
    const struct cond *over = p->clear, *all, *any;

    (void)state;
    assert_true(p->clear_of_when);
    assert_int_equal(over->kind, COND_NONE);
    assert_int_equal(over->nkids, 1);
    all = over->kids[0];
    assert_int_equal(all->kind, COND_ALL);
    assert_ptr_equal(all->kids[0], p->when->kids[0]);
    any = all->kids[1];
    assert_int_equal(any->kind, COND_ANY);
    assert_int_equal(any->kids[0]->cmp, CMP_ABOVE);
    assert_true(any->kids[0]->threshold == 45 && any->kids[1]->threshold == -20);
    assert_int_equal(any->kids[0]->lasting_ms, 0);
    assert_int_equal(any->kids[0]->missing, MISSING_FALSE);
    assert_int_equal(any->kids[1]->cmp, CMP_AT_MOST);
    any = p->when->kids[1]; /* `when` fires where it did */
    assert_true(any->kids[0]->threshold == 60 && any->kids[1]->threshold == -50);
    assert_int_equal(any->kids[0]->lasting_ms, 300000);
    assert_null(policy_find(set, "q")->clear);
    assert_false(policy_find(set, "q")->clear_of_when);
    policy_set_unref(set);
}

static void of_what_is_made_of_others(void **state)
{
    struct policy_set *set = help_policies(
        "policy 'p' { " HEAD "when = sig.change { of = sig.asg_cpu {}, by = '50%' }, actions = { "
        "act.asg_scale { by = 1, max = 9 } }, verify_within = '1h' }",
        NULL);
    char *opts = json_print_canonical(when_of(set)->opts);

    (void)state;
    /* `by` is the condition's: two limits on one change read one series. */
    assert_string_equal(opts, "{\"of\":{\"opts\":{},\"signal\":\"asg_cpu\"},\"over\":600000}");
    mem_free(opts);
    policy_set_unref(set);
}

static void of_a_clock(void **state)
{
    struct policy_set *set = help_policies(
        "policy 'p' { " HEAD "when = any { sig.clock { from = '09:00', to = '17:30' }, "
        "sig.clock { days = 'sat,sun', from = '22:00', to = '06:00', tz = 'Europe/Berlin' } }, "
        "actions = { act.asg_scale { by = 1, max = 9 } } }",
        NULL);
    const struct window *a = when_of(set)->kids[0]->window, *b = when_of(set)->kids[1]->window;

    (void)state;
    assert_int_equal(a->days, 127);
    assert_int_equal(a->from_min, 540);
    assert_int_equal(a->to_min, 1050);
    assert_string_equal(zone_name(a->zone), "UTC");
    assert_string_equal(a->text, "mon-sun 09:00-17:30 UTC");
    assert_int_equal(b->days, 96);
    assert_string_equal(zone_name(b->zone), "Europe/Berlin");
    policy_set_unref(set);
}

/* defaults { } takes the fields of a policy for its file; what a policy writes itself goes before
 * it. */
static void of_defaults(void **state)
{
    struct policy_set *set = help_policies(
        "defaults { owner = 'd', severity = 'sev1', doc = 'https://e.com/d', target = find.asg {}, "
        "mode = 'enforce', limit = '7 per 1h', when = sig.asg_cpu { above = '60%' }, "
        "actions = { act.asg_scale { by = 1, max = 9 } } }\n"
        "policy 'a' {}\n"
        "policy 'b' { owner = 'own', mode = 'off' }",
        NULL);
    const struct policy *a = policy_find(set, "a"), *b = policy_find(set, "b");

    (void)state;
    assert_string_equal(a->owner, "d");
    assert_int_equal(a->mode, MODE_ENFORCE);
    assert_int_equal(a->limit.n, 7);
    assert_int_equal(a->status_every_ms, 15 * 60000);
    assert_string_equal(b->owner, "own");
    assert_int_equal(b->mode, MODE_OFF);
    assert_int_equal(b->limit.n, 7);
    policy_set_unref(set);
}

static void of_a_procedure(void **state)
{
    static const struct {
        const char *name;
        enum opt_type type;
        const char *fallback;
        bool required;
    } rows[] = {
        {"a", OPT_STRING, NULL, true},      {"b", OPT_COUNT, "3", false},
        {"c", OPT_NUMBER, "0.5", false},    {"d", OPT_PERCENT, "60%", false},
        {"e", OPT_DURATION, "90m", false},  {"f", OPT_SIZE, "4GiB", false},
        {"g", OPT_RATE, "2 per 1h", false}, {"h", OPT_BOOL, "false", false},
        {"i", OPT_STRING, "text", false},
    };
    struct policy_set *set = help_policies(
        "procedure 'p' { " HEAD
        "actions = { grow = act.asg_scale { by = 1, max = 9 } }, params = { "
        "a = { type = 'string', help = 'why' }, b = { type = 'count', default = 3 }, "
        "c = { type = 'number', default = 0.5 }, d = { type = 'percent', default = '60%' }, "
        "e = { type = 'duration', default = '90m' }, f = { type = 'size', default = '4GiB' }, "
        "g = { type = 'rate', default = '2 per 1h' }, h = { type = 'bool', default = false }, "
        "i = { type = 'string', default = 'text' } }, run = function(r) r:page 'x' end }",
        NULL);
    const struct policy *p = policy_find(set, "p");

    struct json *defaults;
    char *written;

    (void)state;
    assert_true(p->procedure);
    assert_null(p->when);
    assert_false(p->ladder);
    assert_int_equal(p->noptions, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct option *o = option_find(p->options, p->noptions, rows[i].name);
        assert_non_null(o);
        assert_int_equal(o->type, rows[i].type);
        assert_int_equal(o->required, rows[i].required);
        if (rows[i].fallback)
            assert_string_equal(o->fallback, rows[i].fallback);
        else
            assert_null(o->fallback);
    }
    assert_string_equal(option_find(p->options, p->noptions, "a")->help, "why");
    defaults = params_default(p);
    written = json_print_canonical(defaults);
    assert_string_equal(written, "{\"b\":3,\"c\":0.5,\"d\":\"60%\",\"e\":\"90m\",\"f\":\"4GiB\","
                                 "\"g\":\"2 per 1h\",\"h\":false,\"i\":\"text\"}");
    mem_free(written);
    json_free(defaults);
    policy_set_unref(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_policy),    cmocka_unit_test(of_a_severity),
        cmocka_unit_test(of_an_action),   cmocka_unit_test(of_a_condition),
        cmocka_unit_test(of_a_clear),     cmocka_unit_test(of_what_is_made_of_others),
        cmocka_unit_test(of_a_clock),     cmocka_unit_test(of_defaults),
        cmocka_unit_test(of_a_procedure),
    };

    help_dir();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
