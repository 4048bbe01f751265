/* asg_scale's thinking: every case of the limits, odd observations, and what must hold for all. */
#include "help_actions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

extern const struct action_type asg_scale_action;

static struct target group = {.kind = "asg", .name = "web", .id = "asg/web"};

static struct plan *plan_at(const char *opts, const char *seen, int64_t wall_ms, struct err *e)
{
    struct json *o = parse(opts), *s = parse(seen);
    struct action_input in = {.target = &group, .opts = o, .wall_ms = wall_ms};
    struct plan *p;

    *e = (struct err)ERR_INIT;
    p = asg_scale_action.plan(&in, s, e);
    assert_true((p == NULL) == (e->code != 0));
    json_free(o);
    json_free(s);
    return p;
}

#define BY_SIGNAL(reading, more)                                                                   \
    "{\"to\": {\"signal\": \"alb_requests\", \"opts\": {}, \"reading\": " reading                  \
    ", \"text\": \"(it)\", "                                                                       \
    "\"end_wall_ms\": 1790000000000}, \"per_instance\": 100, \"max\": 20" more "}"

static void plans(void **state)
{
    static const struct {
        const char *opts, *seen, *says;
    } rows[] = {
        {"{\"by\": {\"percent\": 25}, \"max\": 20}", "{\"desired\": 8}", "desired 8 -> 10"},
        {"{\"by\": {\"percent\": 25}, \"max\": 20}", "{\"desired\": 9}", "desired 9 -> 12"},
        {"{\"by\": {\"percent\": 1}, \"max\": 20}", "{\"desired\": 3}", "desired 3 -> 4"},
        {"{\"by\": {\"percent\": 50}, \"max\": 20}", "{\"desired\": 0}", "desired 0 -> 1"},
        {"{\"by\": {\"percent\": 10}, \"max\": 200}", "{\"desired\": 30}", "desired 30 -> 33"},
        {"{\"by\": 3, \"max\": 20}", "{\"desired\": 8}", "desired 8 -> 11"},
        {"{\"by\": 3, \"max\": 10}", "{\"desired\": 8}", "desired 8 -> 10"},
        {"{\"by\": 3, \"max\": 20}", "{\"desired\": 8, \"min\": 1, \"max\": 9}", "desired 8 -> 9"},
        {"{\"by\": 3, \"max\": 20}", "{\"desired\": 20}", "denied: at max 20: no room"},
        {"{\"by\": 3, \"max\": 20}", "{\"desired\": 25}", "denied: at max 20: no room"},
        {"{\"by\": 3, \"max\": 20}", "{\"desired\": 9, \"min\": 1, \"max\": 9}",
         "denied: at max 9: no room"},
        {"{\"by\": -2, \"max\": 20}", "{\"desired\": 8}", "desired 8 -> 6"},
        {"{\"by\": -2, \"max\": 20, \"min\": 7}", "{\"desired\": 8}", "desired 8 -> 7"},
        {"{\"by\": -2, \"max\": 20}", "{\"desired\": 8, \"min\": 7, \"max\": 20}",
         "desired 8 -> 7"},
        {"{\"by\": -2, \"max\": 20, \"min\": 8}", "{\"desired\": 8}", "denied: at min 8: no room"},
        {"{\"by\": -2, \"max\": 20, \"min\": 8}", "{\"desired\": 5}", "denied: at min 8: no room"},
        {"{\"by\": -2, \"max\": 20}", "{\"desired\": 30}", "denied: 28 is outside 0 to 20"},
        {"{\"by\": {\"percent\": -25}, \"max\": 20}", "{\"desired\": 8}", "desired 8 -> 6"},
        {"{\"by\": {\"percent\": -25}, \"max\": 20}", "{\"desired\": 7}", "desired 7 -> 6"},
        {"{\"by\": {\"percent\": -25}, \"max\": 20}", "{\"desired\": 3}",
         "empty: desired stays 3: 25% of it are less than one instance"},
        {"{\"to\": 10, \"max\": 20}", "{\"desired\": 8}", "desired 8 -> 10"},
        {"{\"to\": 10, \"max\": 20}", "{\"desired\": 12}", "desired 12 -> 10"},
        {"{\"to\": 10, \"max\": 20}", "{\"desired\": 10}", "empty: desired is 10 already"},
        {"{\"to\": 10, \"max\": 20}", "{\"desired\": 8, \"min\": 1, \"max\": 9}", "desired 8 -> 9"},
        /* As many as it takes for what a signal reads. */
        {BY_SIGNAL("981", ""), "{\"desired\": 8}",
         "desired 8 -> 10 (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("1000", ""), "{\"desired\": 8}",
         "desired 8 -> 10 (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("0.5", ""), "{\"desired\": 8}",
         "desired 8 -> 1 (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("0", ""), "{\"desired\": 8}",
         "desired 8 -> 0 (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("800", ""), "{\"desired\": 8}",
         "empty: desired is 8 already (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("1e300", ""), "{\"desired\": 8}",
         "desired 8 -> 20 (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("5000", ""), "{\"desired\": 20}", "denied: at max 20: no room"},
        {BY_SIGNAL("5000", ""), "{\"desired\": 8, \"min\": 1, \"max\": 9}",
         "desired 8 -> 9 (alb_requests (it), 100 an instance)"},
        {"{\"to\": {\"signal\": \"alb_requests\", \"opts\": {}, \"reading\": 981, \"text\": "
         "\"(it)\", "
         "\"end_wall_ms\": 1790000000000}, \"per_instance\": 250, \"max\": 20}",
         "{\"desired\": 8}", "desired 8 -> 4 (alb_requests (it), 250 an instance)"},
        {BY_SIGNAL("100", ", \"min\": 4"), "{\"desired\": 8}",
         "desired 8 -> 4 (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("100", ", \"min\": 4"), "{\"desired\": 4}",
         "empty: desired is 4 already (alb_requests (it), 100 an instance)"},
        {BY_SIGNAL("2200", ""), "{\"desired\": 25}", "denied: 22 is outside 0 to 20"},
        {BY_SIGNAL("-3", ""), "{\"desired\": 8}",
         "denied: to = sig.alb_requests: what it reads is no number of instances"},
        {BY_SIGNAL("\"981\"", ""), "{\"desired\": 8}",
         "denied: to = sig.alb_requests: what it reads is no number of instances"},
        {"{\"to\": {\"signal\": \"alb_requests\", \"opts\": {}, \"unknown\": \"stale\"}, "
         "\"per_instance\": 100, "
         "\"max\": 20}",
         "{\"desired\": 8}", "denied: to = sig.alb_requests: stale"},
        {"{\"to\": {\"signal\": \"alb_requests\", \"opts\": {}}, \"per_instance\": 100, \"max\": "
         "20}",
         "{\"desired\": 8}", "denied: to = sig.alb_requests: it was not read"},
        {"{\"by\": 1, \"max\": 20}", "{}", "input: the group's desired capacity is not known"},
        {"{\"by\": 1, \"max\": 20}", "{\"desired\": -1}",
         "input: the group's desired capacity is not known"},
        {"{\"by\": 1, \"max\": 20}", "{\"desired\": 2.5}",
         "input: the group's desired capacity is not known"},
        {"{\"by\": 1, \"max\": 20}", "{\"desired\": \"8\"}",
         "input: the group's desired capacity is not known"},
        {"{\"by\": 1, \"max\": 20}", "[]", "input: the group's desired capacity is not known"},
        {"{\"by\": 1, \"max\": 20}", "null", "input: the group's desired capacity is not known"},
        {"{\"by\": 1, \"max\": 20}", "{\"desired\": 8, \"max\": null}",
         "input: the group's limits make no sense: min 0, max -1"},
        {"{\"by\": 1, \"max\": 20}", "{\"desired\": 8, \"min\": 9, \"max\": 3}",
         "input: the group's limits make no sense: min 9, max 3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e;
        struct plan *p = plan_at(rows[i].opts, rows[i].seen, 0, &e);

        assert_says(p, &e, rows[i].says, rows[i].seen);
    }
}

/* What was read is a reading; what it comes to is a part of the plan, and of what is approved. */
static void the_reading_goes_on_record(void **state)
{
    struct err e;
    struct plan *p = plan_at(BY_SIGNAL("981", ""), "{\"desired\": 8}", 5, &e);
    struct plan *q = plan_at(BY_SIGNAL("999", ""), "{\"desired\": 8}", 9, &e);
    struct plan *r = plan_at(BY_SIGNAL("1001", ""), "{\"desired\": 8}", 9, &e);
    const struct json *last = json_at(p->preconditions, json_len(p->preconditions) - 1);

    (void)state;
    assert_string_equal(json_get_str(last, "predicate", ""),
                        "10 is what sig.alb_requests takes at 100 an instance, within min and max");
    assert_string_equal(json_get_str(last, "observed", ""), "(it) at 2026-09-21T14:13:20Z");
    assert_true(plan_same_or_less(p, q));
    assert_false(plan_same_or_less(p, r));
    plan_free(p);
    plan_free(q);
    plan_free(r);
}

static void what_a_plan_holds(void **state)
{
    struct err e;
    struct plan *p =
        plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 8, \"min\": 2, \"max\": 20}", 5, &e);
    struct plan *q =
        plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 8, \"min\": 1, \"max\": 12}", 9, &e);
    char *call = json_print(p->calls), *a = plan_hash(p, "asg_scale", "asg/web"),
         *b = plan_hash(q, "asg_scale", "asg/web");

    (void)state;
    assert_string_equal(call, "[{\"call\":\"autoscaling:SetDesiredCapacity\",\"args\":{"
                              "\"AutoScalingGroupName\":\"web\",\"DesiredCapacity\":10,"
                              "\"HonorCooldown\":false}}]");
    assert_int_equal(p->flags, ACTION_REVERSIBLE | ACTION_COSTS_MONEY);
    assert_null(plan_broken(p));
    assert_int_equal(json_len(p->names), 0);
    assert_int_equal(json_get_int(p->out, "before", 0), 8);
    assert_int_equal(json_get_int(p->out, "after", 0), 10);
    assert_string_equal(a, b); /* readings and times are not what an approval is about */
    assert_true(plan_same_or_less(p, q));
    mem_free(call);
    mem_free(a);
    mem_free(b);
    plan_free(q);
    q = plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 9}", 9, &e);
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    q = plan_at("{\"to\": 10, \"max\": 20}", "{\"desired\": 9}", 9,
                &e); /* the same value, from elsewhere */
    assert_false(plan_same_or_less(p, q));
    plan_free(q);
    plan_free(p);
    p = plan_at("{\"by\": -2, \"max\": 20}", "{\"desired\": 8}", 0, &e);
    assert_int_equal(p->flags, ACTION_REVERSIBLE | ACTION_DESTRUCTIVE | ACTION_DISRUPTIVE);
    plan_free(p);
    p = plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 8, \"suspended\": [\"Launch\"]}", 0, &e);
    assert_string_equal(plan_broken(p),
                        "the group's process Launch is not suspended (observed suspended)");
    plan_free(p);
    p = plan_at("{\"by\": -2, \"max\": 20}", "{\"desired\": 8, \"suspended\": [\"Launch\"]}", 0,
                &e);
    assert_null(plan_broken(p));
    plan_free(p);
    p = plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 8, \"controllers\": [\"a\", \"b\"]}", 0,
                &e);
    assert_int_equal(json_len(p->controllers), 2);
    plan_free(p);
}

static enum verdict judged(const struct plan *p, const char *seen, int64_t wall_ms)
{
    struct json *s = parse(seen);
    struct action_input in = {.target = &group, .wall_ms = wall_ms};
    enum verdict v = asg_scale_action.judge(&in, p, 0, s);

    json_free(s);
    return v;
}

static void the_probe(void **state)
{
    struct err e;
    struct plan *p = plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 8}", 1000, &e);

    (void)state;
    assert_int_equal(judged(p, "{\"desired\": 10}", 1000), VERDICT_YES);
    assert_int_equal(judged(p, "{\"desired\": 8}", 1000), VERDICT_UNKNOWN); /* may be on its way */
    assert_int_equal(judged(p, "{\"desired\": 8}", 30999), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "{\"desired\": 8}", 31000), VERDICT_NO);
    assert_int_equal(judged(p, "{\"desired\": 8}", 0),
                     VERDICT_UNKNOWN); /* the clock was set back */
    assert_int_equal(judged(p, "{\"desired\": 9}", 90000), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "{}", 90000), VERDICT_UNKNOWN);
    assert_int_equal(judged(p, "null", 90000), VERDICT_UNKNOWN);
    plan_free(p);
}

static struct plan *undone(const struct plan *first, const struct plan *last, const char *seen,
                           struct err *e)
{
    struct json *s = parse(seen);
    struct action_input in = {.target = &group};
    struct plan *p;

    *e = (struct err)ERR_INIT;
    p = asg_scale_action.undo(&in, first, last, s, e);
    json_free(s);
    return p;
}

static void going_back(void **state)
{
    struct err e;
    struct plan *a = plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 8}", 0, &e),
                *b = plan_at("{\"by\": 2, \"max\": 20}", "{\"desired\": 10}", 0, &e);
    struct plan *p = undone(a, b, "{\"desired\": 12, \"min\": 2, \"max\": 20}", &e);

    (void)state;
    assert_string_equal(p->summary, "desired 12 -> 8");
    assert_int_equal(p->flags, ACTION_REVERSIBLE | ACTION_DESTRUCTIVE | ACTION_DISRUPTIVE);
    plan_free(p);
    assert_null(undone(a, b, "{\"desired\": 11}", &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_string_equal(e.text, "desired is 11, not the 12 that was set: changed by someone else");
    assert_null(undone(a, b, "{\"desired\": 12, \"min\": 9, \"max\": 20}", &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_null(undone(a, b, "{}", &e));
    assert_int_equal(e.code, ERR_INPUT);
    plan_free(a);
    plan_free(b);
}

/* For any options and any group: never beyond any limit, and undo leads back. */
static void for_all(void **state)
{
    struct err e;

    (void)state;
    srand(7);
    for (int i = 0; i < 5000; i++) {
        int gmin = rand() % 6, gmax = gmin + rand() % 20, max = 1 + rand() % 20,
            min = rand() % (max + 1);
        int desired = gmin + rand() % (gmax - gmin + 1), n = rand() % 30 - 10;
        char opts[200], seen[200], what[60];
        struct plan *p, *back;
        int64_t to;

        switch (rand() % 3) {
        case 0:
            snprintf(what, sizeof(what), "\"by\": %d", n);
            break;
        case 1:
            snprintf(what, sizeof(what), "\"by\": {\"percent\": %d}", n * 5);
            break;
        default:
            snprintf(what, sizeof(what), "\"to\": %d", n + 10);
        }
        snprintf(opts, sizeof(opts), "{%s, \"min\": %d, \"max\": %d}", what, min, max);
        snprintf(seen, sizeof(seen), "{\"desired\": %d, \"min\": %d, \"max\": %d}", desired, gmin,
                 gmax);
        p = plan_at(opts, seen, 0, &e);
        if (p == NULL) {
            assert_int_equal(e.code, ERR_DENIED);
            continue;
        }
        to = json_get_int(p->after, "desired", -1);
        if (p->empty) {
            assert_int_equal(to, desired);
            assert_int_equal(json_len(p->calls), 0);
            plan_free(p);
            continue;
        }
        if (to < gmin || to > gmax || to > max || to < min || to == desired)
            fail_msg("%s with %s: %lld", opts, seen, (long long)to);
        assert_true(((p->flags & ACTION_DESTRUCTIVE) != 0) == (to < desired));
        snprintf(seen, sizeof(seen), "{\"desired\": %d, \"min\": %d, \"max\": %d}", (int)to, gmin,
                 gmax);
        back = undone(p, p, seen, &e);
        assert_int_equal(json_get_int(back->after, "desired", -1), desired);
        plan_free(back);
        plan_free(p);
    }
}

static void options(void **state)
{
    struct err e = ERR_INIT;
    static const struct {
        const char *opts;
        bool good;
    } rows[] = {
        {"{\"by\": 2, \"max\": 20, \"min\": 0}", true},
        {"{\"by\": {\"percent\": -5}, \"max\": 20, \"min\": 20}", true},
        {"{\"by\": 2, \"max\": 20, \"min\": 21}", false},
        {"{\"by\": 0, \"max\": 20, \"min\": 2}", false},
        {"{\"by\": {\"percent\": 0}, \"max\": 20}", false},
        {"{\"to\": 21, \"max\": 20}", false},
        {"{\"to\": 1, \"max\": 20, \"min\": 2}", false},
        {"{\"to\": 20, \"max\": 20, \"min\": 2}", true},
        {"{\"to\": {\"signal\": \"x\"}, \"per_instance\": 5, \"max\": 20}", true},
        {"{\"to\": {\"signal\": \"x\"}, \"max\": 20}", false},
        {"{\"to\": 8, \"per_instance\": 5, \"max\": 20}", false},
        {"{\"by\": 1, \"per_instance\": 5, \"max\": 20}", false},
    };

    (void)state;
    assert_int_equal(option_table_check(asg_scale_action.options, asg_scale_action.noptions, &e),
                     0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *o = parse(rows[i].opts);

        if ((asg_scale_action.check(o, &e) == 0) != rows[i].good)
            fail_msg("%s", rows[i].opts);
        json_free(o);
    }
}

static void add(struct estate *e, const char *kind, const char *name, const char *fields)
{
    struct err err = ERR_INIT;

    assert_int_equal(
        estate_add(e, kind, name, json_new_map(), parse(fields), MODE_ENFORCE, "f", 1, &err), 0);
}

/* The guard "conflict" of the design: a larger group opens more connections of its database. */
static void connections_must_fit(void **state)
{
#define SLOTS(used)                                                                                \
    "\"max_connections\": 103, \"reserved_connections\": 3, \"connections_used\": " used
    static const char one[] = "{\"asg\": \"web\", \"postgres\": \"db\", \"pool_size\": 10}";
    static const struct {
        const char *service, *second, *database, *by, *seen, *broken; /* broken NULL: it may grow */
    } rows[] = {
        {one, NULL, "{}", "2", "{\"desired\": 8, " SLOTS("80") "}", NULL},
        {one, NULL, "{}", "3", "{\"desired\": 8, " SLOTS("10") "}",
         "11 instances with 10 connections each fit into the 100 of postgres/db (observed 10 used: "
         "30 more into 90)"},
        {one, NULL, "{}", "2", "{\"desired\": 3, " SLOTS("81") "}",
         "5 instances with 10 connections each fit into the 100 of postgres/db (observed 81 used: "
         "20 more into 19)"},
        {one, NULL, "{}", "1", "{\"desired\": 3, \"slots\": \"db: timed out\"}",
         "the connections of postgres/db are known (observed db: timed out)"},
        {one, NULL, "{}", "1", "{\"desired\": 3, \"max_connections\": 100}",
         "the connections of postgres/db are known (observed unknown)"},
        {one, NULL, "{}", "-1", "{\"desired\": 30, " SLOTS("100") "}", NULL},
        {one, NULL, "{\"proxy\": \"p\"}", "5", "{\"desired\": 30}", NULL},
        {"{\"asg\": \"web\", \"postgres\": \"db\", \"proxy\": \"p\", \"pool_size\": 10}", NULL,
         "{}", "5", "{\"desired\": 30}", NULL},
        {"{\"asg\": \"other\", \"postgres\": \"db\", \"pool_size\": 10}", NULL, "{}", "5",
         "{\"desired\": 30}", NULL},
        {"{\"asg\": \"web\", \"postgres\": \"db\"}", NULL, "{}", "5", "{\"desired\": 30}", NULL},
        {one, one, "{}", "1", "{\"desired\": 5, " SLOTS("0") "}",
         "6 instances with 20 connections each fit into the 100 of postgres/db (observed 0 used: "
         "20 more into 100)"},
        {one, "{\"asg\": \"web\", \"postgres\": \"db2\", \"pool_size\": 1}", "{}", "1",
         "{\"desired\": 1, " SLOTS("0") "}",
         "the services with a pool_size use one database (observed postgres/db and "
         "postgres/db2)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct estate *estate = estate_new();
        char *text = mem_printf("{\"by\": %s, \"max\": 100}", rows[i].by);
        struct json *opts = parse(text), *seen = parse(rows[i].seen);
        struct err e = ERR_INIT;

        add(estate, "postgres", "db", rows[i].database);
        add(estate, "postgres", "db2", "{}");
        add(estate, "service", "shop", rows[i].service);
        if (rows[i].second)
            add(estate, "service", "shop2", rows[i].second);
        struct action_input in = {
            .target = &group, .estate = estate, .opts = opts, .wall_ms = 1790000000000};
        struct plan *p = asg_scale_action.plan(&in, seen, &e);
        if (p == NULL)
            fail_msg("row %zu: %s", i, e.text);
        const char *broken = plan_broken(p);
        if (rows[i].broken ? !broken || strcmp(broken, rows[i].broken) != 0 : broken != NULL)
            fail_msg("row %zu: %s", i, broken ? broken : "it may grow");
        plan_free(p);
        json_free(opts);
        json_free(seen);
        mem_free(text);
        estate_unref(estate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(connections_must_fit),
        cmocka_unit_test(what_a_plan_holds),
        cmocka_unit_test(the_probe),
        cmocka_unit_test(going_back),
        cmocka_unit_test(for_all),
        cmocka_unit_test(options),
        cmocka_unit_test(the_reading_goes_on_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
