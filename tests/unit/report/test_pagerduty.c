/* The events that PagerDuty gets, and that none of them is ever larger than it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "report/sink.h"

static struct json *report(const char *kind)
{
    struct json *r = json_new_map(), *done;

    json_set_str(r, "kind", kind);
    json_set_str(r, "key", "E20261122T130243Z-4f2a1c");
    json_set_str(r, "summary", "web-1: asg_cpu 85% above 60% for 5m");
    json_set_str(r, "host", "ops-1");
    json_set_str(r, "at", "2026-11-22T13:02:43Z");
    json_set_str(r, "policy", "asg-cpu-high");
    json_set_str(r, "owner", "team-web");
    json_set_str(r, "doc", "https://runbooks.example.com/high-cpu");
    json_set_str(r, "severity", "sev3");
    json_set_str(r, "target", "asg/web-1");
    json_set_str(r, "seen", "asg_cpu 85% above 60% for 5m");
    json_set_str(r, "since", "2026-11-22T12:57:43Z");
    json_set_str(r, "helped", "not verified yet");
    json_set_str(r, "next", "verify healthy until 2026-11-22T13:17:43Z");
    json_set_str(r, "stop", "runbookctl cancel R1, or runbookctl freeze");
    done = json_set(r, "done", json_new_list());
    json_add(done, json_new_str("grow: desired 8 -> 10"));
    done = json_set(r, "chain", json_new_map());
    json_set_int(done, "seq", 77);
    json_set_str(done, "head", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    return r;
}

static const struct json *details(const struct json *event)
{
    return json_get(json_get(event, "payload"), "custom_details");
}

static void a_trigger_says_what_is_asked_at_three_in_the_morning(void **state)
{
    struct json *r = report("trigger"), *e;
    bool change = true;

    (void)state;
    e = pagerduty_event(r, 0, &change);
    assert_false(change);
    assert_string_equal(json_get_str(e, "event_action", ""), "trigger");
    assert_string_equal(json_get_str(e, "dedup_key", ""), "E20261122T130243Z-4f2a1c");
    assert_string_equal(json_get_str(json_get(e, "payload"), "severity", ""), "warning");
    assert_string_equal(json_get_str(json_get(e, "payload"), "source", ""), "asg/web-1");
    assert_string_equal(json_get_str(json_get(e, "payload"), "timestamp", ""),
                        "2026-11-22T13:02:43Z");
    for (const char *const *k =
             (const char *const[]){"seen", "since", "helped", "next", "stop", "doc", NULL};
         *k; k++)
        assert_non_null(json_get_str(details(e), *k, NULL));
    assert_string_equal(json_str(json_at(json_get(details(e), "done"), 0), ""),
                        "grow: desired 8 -> 10");
    assert_string_equal(json_get_str(details(e), "journal", ""),
                        "77:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_string_equal(json_get_str(json_at(json_get(e, "links"), 0), "href", ""),
                        "https://runbooks.example.com/high-cpu");
    json_free(e);
    json_free(r);
}

static void kinds_go_where_they_belong(void **state)
{
    static const struct {
        const char *kind, *action;
        bool change;
    } rows[] = {{"trigger", "trigger", false},
                {"human", "trigger", false},
                {"resolve", "resolve", false},
                {"note", NULL, true}};

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct json *r = report(rows[k].kind), *e;
        bool change;
        e = pagerduty_event(r, 0, &change);
        assert_int_equal(change, rows[k].change);
        if (rows[k].action)
            assert_string_equal(json_get_str(e, "event_action", ""), rows[k].action);
        else
            assert_null(json_get(e, "event_action")); /* the change endpoint knows none */
        assert_int_equal(json_get(e, "dedup_key") != NULL, !rows[k].change);
        json_free(e);
        json_free(r);
    }
}

static void severities(void **state)
{
    static const char *const want[] = {"critical", "error", "warning", "info"};

    (void)state;
    for (int k = 1; k <= 4; k++) {
        struct json *r = report("trigger"), *e;
        bool change;
        json_set_strf(r, "severity", "sev%d", k);
        e = pagerduty_event(r, 0, &change);
        assert_string_equal(json_get_str(json_get(e, "payload"), "severity", ""), want[k - 1]);
        json_free(e);
        json_free(r);
    }
}

static size_t characters(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void nothing_is_longer_than_the_pager_takes(void **state)
{
    struct json *r = report("trigger"), *e, *done = json_get_mut(r, "done");
    char *big = mem_alloc(300001), *printed, *wide;
    bool change;

    (void)state;
    memset(big, 'x', 300000);
    for (int k = 0; k < 20; k++) {
        char *line = mem_printf("%d%s", k, big);
        json_add(done, json_new_str(line));
        mem_free(line);
    }
    json_set_str(r, "seen", big);
    json_set_str(r, "next", big);
    json_set_str(r, "key", big);
    /* characters of three bytes are cut whole */
    wide = mem_alloc(6001);
    for (int k = 0; k < 2000; k++)
        memcpy(wide + 3 * k, "\xe2\x82\xac", 3);
    json_set_str(r, "summary", wide);
    e = pagerduty_event(r, 0, &change);
    printed = json_print(e);
    assert_true(strlen(printed) < 512 * 1024 - 64);
    assert_true(strlen(json_get_str(e, "dedup_key", "")) <= 255);
    assert_int_equal(characters(json_get_str(json_get(e, "payload"), "summary", "")), 1024);
    assert_null(strstr(json_get_str(json_get(e, "payload"), "summary", ""), "\xef\xbf\xbd"));
    mem_free(printed);
    json_free(e);
    /* after a refusal it is shorter still, and says at least the summary */
    e = pagerduty_event(r, 1, &change);
    printed = json_print(e);
    assert_true(strlen(printed) < 16 * 1024);
    assert_true(strlen(json_get_str(json_get(e, "payload"), "summary", "")) > 0);
    mem_free(printed);
    json_free(e);
    json_free(r);
    mem_free(big);
    mem_free(wide);
}

/* Field by field, the least missed first, no more than needed, and said. */
static void what_is_cut_is_cut_in_order_and_said(void **state)
{
    static const struct {
        size_t max;
        const char *cut[4]; /* fields that "trimmed" names, in order */
        const char *whole[6];
    } rows[] = {
        {1 << 20, {NULL}, {"seen", "helped", "stop", "doc", NULL}},
        {300000, {"done", NULL}, {"seen", "helped", "stop", "doc", "next", NULL}},
        {50000, {"done", "seen", NULL}, {"helped", "stop", "doc", "next", NULL}},
        {8000, {"done", "seen", "helped", NULL}, {"stop", "doc", "next", "summary", NULL}},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct json *r = report("trigger"), *fit, *done = json_get_mut(r, "done");
        const struct json *trimmed, *t;
        char *big = mem_alloc(150001), *printed;

        memset(big, 'x', 150000);
        json_set_str(r, "seen", big);
        for (int n = 0; n < 60; n++) {
            big[3000 - n] = 0;
            json_add(done, json_new_str(big));
            big[3000 - n] = 'x';
        }
        big[9000] = 0;
        json_set_str(r, "helped", big);
        fit = report_fit(r, rows[k].max);
        printed = json_print(fit);
        assert_true(strlen(printed) <= rows[k].max + 256); /* what "trimmed" says */
        trimmed = json_get(fit, "trimmed");
        t = json_first(trimmed);
        for (int n = 0; rows[k].cut[n]; n++, t = json_next(t)) {
            assert_non_null(t);
            assert_string_equal(json_key(t), rows[k].cut[n]);
        }
        assert_null(t);
        for (int n = 0; rows[k].whole[n]; n++)
            assert_string_equal(json_get_str(fit, rows[k].whole[n], "?"),
                                json_get_str(r, rows[k].whole[n], ""));
        if (k == 2) {
            assert_string_equal(json_get_str(trimmed, "done", ""), "the newest 10 of 61, cut");
            assert_string_equal(json_get_str(trimmed, "seen", ""), "4096 of 150000 characters");
        }
        mem_free(printed);
        mem_free(big);
        json_free(fit);
        json_free(r);
    }
}

/* Every type has the same fields, null where nothing is known (docs/webhook.schema.json). */
static void the_webhooks_payload_has_one_shape(void **state)
{
    static const char *const kinds[] = {"trigger", "note", "resolve", "human"};
    size_t len = 0;

    (void)state;
    for (size_t k = 0; k < 8; k++) {
        struct json *r = k < 4 ? report(kinds[k]) : json_new_map(), *e;
        if (k >= 4)
            json_set_str(r, "kind", kinds[k - 4]);
        e = webhook_event(r, 0);
        assert_true(strncmp(json_get_str(e, "type", ""), "runbookd.", 9) == 0);
        assert_int_equal(json_len(e), 3);
        if (!len)
            len = json_len(json_get(e, "data"));
        assert_int_equal(json_len(json_get(e, "data")), len);
        assert_int_equal(json_type(json_get(json_get(e, "data"), "done")), JSON_LIST);
        json_free(e);
        json_free(r);
    }
}

static void two_long_keys_stay_two(void **state)
{
    struct json *a = report("trigger"), *b = report("trigger"), *ea, *eb;
    char *big = mem_alloc(401);
    bool change;

    (void)state;
    memset(big, 'k', 400);
    json_set_str(a, "key", big);
    big[399] = 'j';
    json_set_str(b, "key", big);
    ea = pagerduty_event(a, 0, &change);
    eb = pagerduty_event(b, 0, &change);
    assert_string_not_equal(json_get_str(ea, "dedup_key", ""), json_get_str(eb, "dedup_key", ""));
    json_free(ea);
    json_free(eb);
    json_free(a);
    json_free(b);
    mem_free(big);
}

static void an_empty_report_is_still_an_event(void **state)
{
    struct json *r = json_new_map(), *e;
    bool change;

    (void)state;
    json_set_str(r, "kind", "human");
    e = pagerduty_event(r, 0, &change);
    assert_true(strlen(json_get_str(json_get(e, "payload"), "summary", "")) > 0);
    assert_true(strlen(json_get_str(json_get(e, "payload"), "source", "")) > 0);
    json_free(e);
    json_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trigger_says_what_is_asked_at_three_in_the_morning),
        cmocka_unit_test(kinds_go_where_they_belong),
        cmocka_unit_test(severities),
        cmocka_unit_test(nothing_is_longer_than_the_pager_takes),
        cmocka_unit_test(what_is_cut_is_cut_in_order_and_said),
        cmocka_unit_test(the_webhooks_payload_has_one_shape),
        cmocka_unit_test(two_long_keys_stay_two),
        cmocka_unit_test(an_empty_report_is_still_an_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
