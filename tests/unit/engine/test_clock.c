/* sig.clock: windows of the week in conditions, on a wall that the test sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/units.h"
#include "help_cond.h"

static int64_t wall;

static int64_t wall_now(void *arg)
{
    (void)arg;
    return wall;
}

static int64_t at(const char *iso)
{
    int64_t ms;

    assert_int_equal(time_parse_iso(iso, &ms), 0);
    return ms;
}

static const struct signal clock_signal = {
    .name = "clock", .derive = DERIVE_CLOCK, .targets = "any"};

static struct cond *clock_of(struct rig *r, const char *days, const char *from, const char *to,
                             const char *tz)
{
    struct cond *c = arena_alloc(r->arena, sizeof(*c));
    struct window *w = arena_alloc(r->arena, sizeof(*w));
    struct err e = ERR_INIT;

    assert_int_equal(window_days(days, &w->days), 0);
    assert_int_equal(window_time(from, false, &w->from_min), 0);
    assert_int_equal(window_time(to, true, &w->to_min), 0);
    w->zone = zone_load(r->arena, tz, &e);
    w->text = arena_printf(r->arena, "%s %s-%s %s", days, from, to, tz);
    assert_non_null(w->zone);
    c->kind = COND_CLOCK;
    c->site = (struct site){"p.lua", 3, 5};
    c->signal = &clock_signal;
    c->window = w;
    return c;
}

static struct bound *bind(struct rig *r, const struct cond *c)
{
    struct bind_context ctx = rig_context(r);
    struct err e = ERR_INIT;
    struct bound *b;

    ctx.wall_ms = wall_now;
    b = bound_new(c, &ctx, &e);
    if (!b)
        fail_msg("%s", e.text);
    return b;
}

static void words(void **state)
{
    static const struct {
        const char *text;
        unsigned days; /* 0: refused */
    } days[] = {{"mon-sun", 127}, {"mon-fri", 31}, {"sat,sun", 96}, {"fri-mon", 113},
                {"wed", 4},       {"mon, wed", 5}, {"sun-mon", 65}, {"", 0},
                {"mon-", 0},      {"mon,", 0},     {"Monday", 0},   {"mon-fri-sun", 0},
                {"mon fri", 0},   {"monday", 0},   {"mo", 0},       {",mon", 0}};
    static const struct {
        const char *text;
        bool end;
        int minutes; /* -1: refused */
    } times[] = {{"00:00", false, 0},   {"09:30", false, 570}, {"23:59", true, 1439},
                 {"24:00", true, 1440}, {"24:00", false, -1},  {"24:01", true, -1},
                 {"9:30", false, -1},   {"09:60", false, -1},  {"-9:30", false, -1},
                 {"09:3a", false, -1},  {"", false, -1},       {"09.30", false, -1},
                 {"09:300", false, -1}, {"25:00", true, -1}};

    (void)state;
    for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
        unsigned got = 0;
        if ((window_days(days[i].text, &got) == 0) != (days[i].days != 0) || got != days[i].days)
            fail_msg("\"%s\": %u", days[i].text, got);
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        int got = -1;
        int rc = window_time(times[i].text, times[i].end, &got);
        if ((rc == 0) != (times[i].minutes >= 0) || got != times[i].minutes)
            fail_msg("\"%s\": %d", times[i].text, got);
    }
}

static void open_and_shut(void **state)
{
    static const struct {
        const char *days, *from, *to, *tz, *at;
        bool open;
    } rows[] = {
        {"mon-fri", "09:00", "17:00", "UTC", "2026-11-24T09:00:00Z", true}, /* a Tuesday */
        {"mon-fri", "09:00", "17:00", "UTC", "2026-11-24T08:59:59Z", false},
        {"mon-fri", "09:00", "17:00", "UTC", "2026-11-24T16:59:59Z", true},
        {"mon-fri", "09:00", "17:00", "UTC", "2026-11-24T17:00:00Z", false},
        {"mon-fri", "09:00", "17:00", "UTC", "2026-11-28T12:00:00Z", false},
        {"mon-fri", "09:00", "17:00", "America/New_York", "2026-11-24T13:59:59Z", false},
        {"mon-fri", "09:00", "17:00", "America/New_York", "2026-11-24T14:00:00Z", true},
        {"mon-fri", "09:00", "17:00", "America/New_York", "2026-07-21T13:00:00Z",
         true}, /* summer */
        /* Over midnight it belongs to the day on which it begins. */
        {"fri", "22:00", "06:00", "UTC", "2026-11-27T21:59:59Z", false},
        {"fri", "22:00", "06:00", "UTC", "2026-11-27T23:00:00Z", true},
        {"fri", "22:00", "06:00", "UTC", "2026-11-28T05:59:59Z", true},
        {"fri", "22:00", "06:00", "UTC", "2026-11-28T06:00:00Z", false},
        {"fri", "22:00", "06:00", "UTC", "2026-11-27T03:00:00Z", false},
        {"sun", "22:00", "00:00", "UTC", "2026-11-29T23:59:59Z", true},
        {"sun", "22:00", "00:00", "UTC", "2026-11-30T00:00:00Z", false},
        {"sun", "00:00", "24:00", "Asia/Kolkata", "2026-11-28T18:30:00Z", true},
        {"sun", "00:00", "24:00", "Asia/Kolkata", "2026-11-29T18:30:00Z", false},
        /* 02:00 becomes 03:00: from 02:30 on is from 03:00 on. */
        {"mon-sun", "02:30", "04:00", "Europe/Berlin", "2026-03-29T00:59:59Z", false},
        {"mon-sun", "02:30", "04:00", "Europe/Berlin", "2026-03-29T01:00:00Z", true},
        {"mon-sun", "02:30", "04:00", "Europe/Berlin", "2026-03-29T02:00:00Z", false},
        {"mon-sun", "02:15", "02:45", "Europe/Berlin", "2026-03-29T01:00:00Z", false}, /* skipped */
        /* 03:00 becomes 02:00: 02:30 comes twice. */
        {"mon-sun", "02:15", "02:45", "Europe/Berlin", "2026-10-25T00:30:00Z", true},
        {"mon-sun", "02:15", "02:45", "Europe/Berlin", "2026-10-25T01:00:00Z", false},
        {"mon-sun", "02:15", "02:45", "Europe/Berlin", "2026-10-25T01:30:00Z", true},
        {"mon-sun", "02:15", "02:45", "Europe/Berlin", "2026-10-25T01:45:00Z", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rig r;
        struct bound *b;
        rig_init(&r);
        b = bind(&r, clock_of(&r, rows[i].days, rows[i].from, rows[i].to, rows[i].tz));
        wall = at(rows[i].at);
        if (bound_eval(b, 1000).value != (rows[i].open ? TRI_TRUE : TRI_FALSE))
            fail_msg("row %zu: %s %s-%s %s at %s", i, rows[i].days, rows[i].from, rows[i].to,
                     rows[i].tz, rows[i].at);
        bound_free(b);
        rig_free(&r);
    }
}

/* It asks to be looked at when it changes, at the latest in a minute: the wall may be set
 * meanwhile. */
static void it_says_when_to_look_again(void **state)
{
    struct rig r;
    struct bound *b;
    struct answer a;

    (void)state;
    rig_init(&r);
    b = bind(&r, clock_of(&r, "mon-sun", "22:00", "06:00", "UTC"));
    wall = at("2026-11-24T21:59:30Z");
    a = bound_eval(b, 5000);
    assert_int_equal(a.value, TRI_FALSE);
    assert_int_equal(a.again_ms, 5000 + 30000);
    wall += 30000;
    a = bound_eval(b, a.again_ms);
    assert_int_equal(a.value, TRI_TRUE);
    assert_int_equal(a.since_ms, 35000);
    assert_int_equal(a.again_ms, 35000 + 60000);
    wall = at("2026-11-24T12:00:00Z"); /* somebody sets the clock back */
    a = bound_eval(b, 40000);
    assert_int_equal(a.value, TRI_FALSE);
    assert_int_equal(a.samples, 2); /* M6: two intervals of a clock are no time */
    bound_free(b);
    rig_free(&r);
}

static void beside_a_signal(void **state)
{
    struct rig r;
    struct series *s;
    struct bound *b;
    struct answer a;
    struct buf text;

    (void)state;
    rig_init(&r);
    s = rig_series(&r, &sig_in_service);
    b = bind(&r, group(&r, COND_ALL, 2, clock_of(&r, "mon-sun", "22:00", "06:00", "UTC"),
                       leaf(&r, &sig_in_service, CMP_BELOW, 90, 0)));
    wall = at("2026-11-24T21:58:00Z");
    assert_int_equal(bound_eval(b, 0).value, TRI_FALSE); /* false whatever the data says (M3) */
    for (int i = 1; i <= 2; i++) {
        wall += MIN_MS;
        series_add(s, i * MIN_MS, 0, 80, i * MIN_MS);
        a = bound_eval(b, i * MIN_MS);
        assert_int_equal(a.value, i == 2 ? TRI_TRUE : TRI_FALSE);
    }
    assert_int_equal(a.samples, 1); /* now points of the signal count */
    buf_init(&text, 1000);
    wall = at("2026-11-25T06:00:00Z");
    bound_summary(b, 2 * MIN_MS, &text); /* asking brings it up to date */
    assert_string_equal(buf_str(&text), "clock Wed 06:00 not in mon-sun 22:00-06:00 UTC");
    assert_int_equal(bound_eval(b, 2 * MIN_MS).value, TRI_FALSE);
    buf_free(&text);
    bound_free(b);
    rig_free(&r);
}

static void in_the_tree_for_explain(void **state)
{
    struct rig r;
    struct bound *b;
    struct json *j;
    char *text;

    (void)state;
    rig_init(&r);
    b = bind(&r, clock_of(&r, "mon-fri", "09:00", "17:00", "Europe/Berlin"));
    wall = at("2026-11-24T11:05:00Z");
    j = bound_explain(b, 0); /* never evaluated before */
    text = json_print_canonical(j);
    assert_string_equal(text,
                        "{\"kind\":\"clock\",\"reading_text\":\"Tue "
                        "12:05\",\"signal\":\"clock\",\"site\":\"p.lua:3:5\","
                        "\"value\":\"true\",\"window\":\"mon-fri 09:00-17:00 Europe/Berlin\"}");
    mem_free(text);
    json_free(j);
    bound_free(b);
    rig_free(&r);
}

static void a_wall_that_nobody_knows_is_unknown(void **state)
{
    struct rig r;
    struct bound *b;

    (void)state;
    rig_init(&r);
    b = rig_bind(&r, clock_of(&r, "mon-sun", "00:00", "24:00", "UTC"));
    assert_int_equal(bound_eval(b, 0).value, TRI_UNKNOWN);
    bound_free(b);
    rig_free(&r);
}

/* M2: what is true by the clock alone is a schedule; what silence makes true at some time of the
 * day is refused. */
static void M2_silence_at_any_time_of_the_day(void **state)
{
    struct rig r;
    struct cond *clock, *silent, *hold;

    (void)state;
    rig_init(&r);
    clock = clock_of(&r, "mon-sun", "22:00", "06:00", "UTC");
    silent = leaf_missing(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0, MISSING_TRUE);
    hold = leaf(&r, &sig_asg_cpu, CMP_ABOVE, 60, 0);
    assert_false(cond_true_without_data(clock));
    assert_false(cond_true_without_data(group(&r, COND_NONE, 1, clock)));
    assert_false(cond_true_without_data(group(&r, COND_ALL, 2, clock, hold)));
    assert_false(cond_true_without_data(group(&r, COND_ANY, 2, clock, hold)));
    assert_true(cond_true_without_data(group(&r, COND_ALL, 2, clock, silent)));
    assert_true(cond_true_without_data(group(&r, COND_ANY, 2, clock, silent)));
    assert_true(
        cond_true_without_data(group(&r, COND_ALL, 2, group(&r, COND_NONE, 1, clock), silent)));
    assert_false(cond_true_without_data(group(&r, COND_ALL, 3, clock, silent, hold)));
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(open_and_shut),
        cmocka_unit_test(it_says_when_to_look_again),
        cmocka_unit_test(beside_a_signal),
        cmocka_unit_test(in_the_tree_for_explain),
        cmocka_unit_test(a_wall_that_nobody_knows_is_unknown),
        cmocka_unit_test(M2_silence_at_any_time_of_the_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
