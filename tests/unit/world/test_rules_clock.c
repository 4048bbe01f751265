/* Windows of the week in virtual time: change windows and schedules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/units.h"
#include "help_rules.h"

static const struct signal clock_signal = {
    .name = "clock", .derive = DERIVE_CLOCK, .targets = "any"};

static struct cond *clock_of(struct rig *r, const char *from, const char *to)
{
    struct cond *c = arena_alloc(r->set->arena, sizeof(*c));
    struct window *w = arena_alloc(r->set->arena, sizeof(*w));
    struct err e = ERR_INIT;

    assert_int_equal(window_days("mon-sun", &w->days), 0);
    assert_int_equal(window_time(from, false, &w->from_min), 0);
    assert_int_equal(window_time(to, true, &w->to_min), 0);
    w->zone = zone_load(r->set->arena, "America/New_York", &e);
    assert_non_null(w->zone);
    w->text = arena_printf(r->set->arena, "mon-sun %s-%s", from, to);
    c->kind = COND_CLOCK;
    c->site = (struct site){"policy.lua", 2, 5};
    c->signal = &clock_signal;
    c->window = w;
    return c;
}

/* The virtual world begins on 2026-09-21T14:13:20Z, 10:13:20 in New York; the condition is true at
 * 15m, 10:28:20. */
static void a_window_refuses_or_waits(void **state)
{
    static const struct {
        const char *from, *to;
        bool wait;
        const char *seen;
        int effects;
    } rows[] = {
        {"10:00", "11:00", false, "15m asg/g0 act shake desired 10 -> 12 ok", 1},
        {"10:40", "11:00", false, "15m asg/g0 deny window: outside its change window (closed now)",
         0},
        {"10:40", "11:00", true, "26.6667m asg/g0 act shake desired 10 -> 12 ok", 1}, /* 10:40:00 */
        {"10:50", "11:00", true,
         "30m asg/g0 deny window: outside its change window (closed now) (waited 15m)", 0},
    };

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        struct rig r;
        struct policy *p;
        rig_init(&r, 1);
        p = rig_policy(&r, "hot");
        p->actions[0].type = action_find("shake"); /* what nobody notices does not ask the window */
        p->actions[0].name = "shake";
        p->window = clock_of(&r, rows[k].from, rows[k].to);
        p->outside_wait = rows[k].wait;
        rig_start(&r);
        rig_run(&r, 9.5);
        r.t[0].load = 700;
        rig_run(&r, 45);
        SEEN(rows[k].seen);
        if (rows[k].wait)
            SEEN("15m asg/g0 defer window: outside its change window (closed now)");
        assert_int_equal(r.t[0].effects, rows[k].effects);
        rig_free(&r);
    }
}

/* A condition that is only a clock is a schedule: it fires when it opens and is over when it
 * closes. */
static void a_schedule_fires_on_time(void **state)
{
    struct rig r;
    struct policy *p;

    (void)state;
    rig_init(&r, 1);
    p = rig_policy(&r, "nightly");
    p->when = clock_of(&r, "10:20", "10:45");
    p->limit = (struct rate){1, 60 * MIN_MS};
    rig_start(&r);
    rig_run(&r, 24 * 60);
    SEEN("6.66667m asg/g0 fire clock Mon 10:20 in mon-sun 10:20-10:45"); /* 10:20:00 */
    SEEN("act scale desired 10 -> 12 ok");
    SEEN("31.6667m asg/g0 clear"); /* 10:45:00 */
    rig_run(&r, 24 * 60 + 10);
    assert_int_equal(r.t[0].effects, 2); /* once a day */
    rig_free(&r);
}

/* The wall is set while the steady clock goes on: the window follows the wall, within a minute. */
static void a_schedule_follows_the_wall(void **state)
{
    struct rig r;

    (void)state;
    rig_init(&r, 1);
    rig_policy(&r, "nightly")->when = clock_of(&r, "10:20", "10:45");
    rig_start(&r);
    rig_run(&r, 2);
    virtual_step_wall(r.v, 12 * MIN_MS);
    rig_run(&r, 4);
    assert_int_equal(r.t[0].effects, 1);
    rig_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_refuses_or_waits),
        cmocka_unit_test(a_schedule_fires_on_time),
        cmocka_unit_test(a_schedule_follows_the_wall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
