/* The estate: what it holds, what it refuses, what belongs together, what a selector takes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/target.h"

static struct json *map(const char *text)
{
    struct json *j = json_parse(text, strlen(text), 4096, NULL);

    assert_non_null(j);
    return j;
}

static void add(struct estate *e, const char *kind, const char *name, const char *tag,
                const char *fields)
{
    struct err err = ERR_INIT;

    if (estate_add(e, kind, name, map(tag), map(fields), MODE_ENFORCE, "config/estate.lua", 3,
                   &err) != 0)
        fail_msg("%s", err.text);
}

static struct estate *portal(void)
{
    struct estate *e = estate_new();

    add(e, "aws", "prod", "{}", "{\"region\":\"us-east-1\"}");
    add(e, "asg", "web-1", "{\"tier\":\"web\",\"app\":\"portal\"}", "{\"aws\":\"prod\"}");
    add(e, "asg", "web-2", "{\"tier\":\"web\"}", "{\"aws\":\"prod\"}");
    add(e, "postgres", "db", "{}", "{\"host\":\"h\",\"proxy\":\"px\"}");
    add(e, "proxy", "px", "{}", "{\"aws\":\"prod\"}");
    add(e, "cache", "c", "{}", "{}");
    add(e, "service", "portal", "{}", "{\"asg\":\"web-1\",\"postgres\":\"db\"}");
    add(e, "service", "shop", "{}", "{\"asg\":\"web-2\",\"cache\":\"c\"}");
    add(e, "instance", "i-1", "{}", "{\"asg\":\"web-1\",\"id\":\"i-1\",\"aws\":\"prod\"}");
    return e;
}

static void a_failure_domain_is_its_own_or_its_accounts(void **state)
{
    static const struct {
        const char *id, *want;
    } cases[] = {
        {"postgres/far", "eu-west-1"}, {"postgres/near", "us-east-1"},
        {"postgres/db", NULL},         {"proxy/px", "us-east-1"},
        {"asg/web-1", NULL},           {"asg/a", "us-east-1a"},
        {"service/portal", NULL},
    };
    struct estate *e = portal();

    (void)state;
    add(e, "postgres", "far", "{}", "{\"aws\":\"prod\",\"region\":\"eu-west-1\"}");
    add(e, "postgres", "near", "{}", "{\"aws\":\"prod\"}");
    add(e, "asg", "a", "{}", "{\"aws\":\"prod\",\"zone\":\"us-east-1a\"}");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *got = estate_domain(e, estate_by_id(e, cases[i].id));

        if (cases[i].want == NULL)
            assert_null(got);
        else
            assert_string_equal(got, cases[i].want);
    }
    estate_unref(e);
}

static void found_by_kind_name_and_id(void **state)
{
    struct estate *e = portal();
    const struct target *t = estate_find(e, "asg", "web-2");

    (void)state;
    assert_int_equal(estate_len(e), 9);
    assert_string_equal(t->id, "asg/web-2");
    assert_string_equal(json_get_str(t->tag, "tier", ""), "web");
    assert_ptr_equal(estate_by_id(e, "asg/web-2"), t);
    assert_ptr_equal(estate_at(e, 2), t);
    assert_null(estate_at(e, 9));
    assert_null(estate_find(e, "postgres", "web-2"));
    assert_null(estate_by_id(e, "web-2"));
    assert_null(estate_by_id(e, "asg/"));
    assert_null(estate_by_id(e, NULL));
    estate_unref(e);
}

static void names_are_taken_once(void **state)
{
    struct estate *e = portal();
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(
        estate_add(e, "asg", "web-1", json_new_map(), json_new_map(), MODE_OFF, "b.lua", 9, &err),
        ERR_INPUT);
    assert_string_equal(err.text, "asg \"web-1\" is already declared at config/estate.lua:3; give "
                                  "each target of a kind its own name");
    assert_int_equal(estate_add(e, "asgs", "x", NULL, NULL, MODE_OFF, "b.lua", 9, &err), ERR_INPUT);
    assert_int_equal(estate_add(e, "asg", "", NULL, NULL, MODE_OFF, "b.lua", 9, &err), ERR_INPUT);
    assert_int_equal(estate_len(e), 9);
    estate_unref(e);
}

static void thousands_of_targets(void **state)
{
    struct estate *e = estate_new();
    char name[32];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_int_equal(
            estate_add(e, i % 2 == 0 ? "asg" : "cache", name, NULL, NULL, MODE_OFF, NULL, 0, NULL),
            0);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_ptr_equal(estate_find(e, i % 2 == 0 ? "asg" : "cache", name),
                         estate_at(e, (size_t)i));
        assert_null(estate_find(e, i % 2 == 0 ? "cache" : "asg", name));
    }
    estate_unref(e);
}

static void the_hash_is_of_what_is_declared(void **state)
{
    struct estate *a = estate_new(), *b = estate_new();
    char *ha, *hb;

    (void)state;
    add(a, "asg", "x", "{}", "{\"aws\":\"prod\",\"alb\":\"l\"}");
    add(a, "cache", "y", "{}", "{}");
    add(b, "cache", "y", "{}", "{}");
    add(b, "asg", "x", "{}", "{\"alb\":\"l\",\"aws\":\"prod\"}");
    ha = estate_hash(a);
    hb = estate_hash(b);
    assert_string_equal(ha, hb);
    mem_free(hb);
    add(b, "cache", "z", "{}", "{}");
    hb = estate_hash(b);
    assert_string_not_equal(ha, hb);
    mem_free(ha);
    mem_free(hb);
    estate_unref(a);
    estate_unref(b);
}

static int reports;

static void note(void *arg, const struct target *t, const char *field, const char *text)
{
    reports++;
    assert_string_equal(t->id, "service/third");
    assert_string_equal(field, "asg");
    snprintf(arg, 512, "%s", text);
}

static void references_between_targets(void **state)
{
    struct estate *e = portal();
    char text[512] = "";

    (void)state;
    reports = 0;
    estate_check(e, note, text);
    assert_int_equal(reports, 0);
    add(e, "service", "third", "{}", "{\"asg\":\"wbe-1\"}");
    estate_check(e, note, text);
    assert_int_equal(reports, 1);
    assert_string_equal(text, "service \"third\": asg names asg \"wbe-1\", which the estate does "
                              "not have; did you mean \"web-1\"?");
    estate_unref(e);
}

static bool same(const struct estate *e, const char *a, const char *b)
{
    bool ab = estate_same_service(e, estate_by_id(e, a), estate_by_id(e, b));

    assert_int_equal(ab, estate_same_service(e, estate_by_id(e, b), estate_by_id(e, a)));
    return ab;
}

static void one_service(void **state)
{
    struct estate *e = portal();

    (void)state;
    assert_true(same(e, "asg/web-1", "asg/web-1"));
    assert_true(same(e, "asg/web-1", "postgres/db"));
    assert_true(same(e, "asg/web-1", "service/portal"));
    assert_true(same(e, "proxy/px", "asg/web-1"));       /* the proxy of its database */
    assert_true(same(e, "instance/i-1", "postgres/db")); /* an instance of its group */
    assert_true(same(e, "asg/web-2", "cache/c"));
    assert_false(same(e, "asg/web-1", "asg/web-2"));
    assert_false(same(e, "cache/c", "postgres/db"));
    assert_false(same(e, "instance/i-1", "asg/web-2"));
    assert_false(same(e, "service/portal", "service/shop"));
    estate_unref(e);
}

static void related(void **state)
{
    struct estate *e = portal();
    const struct target *service = estate_by_id(e, "service/portal"),
                        *asg = estate_by_id(e, "asg/web-1");

    (void)state;
    assert_ptr_equal(estate_related(e, service, "asg"), asg);
    assert_ptr_equal(estate_related(e, asg, "asg"), asg);
    assert_ptr_equal(estate_related(e, asg, "aws"), estate_by_id(e, "aws/prod"));
    assert_null(estate_related(e, asg, "postgres"));
    assert_null(estate_related(e, service, "cache"));
    estate_unref(e);
}

static bool matches(const struct target *t, const char *name, const char *tag, const char *except)
{
    struct selector s = {.kind = "asg",
                         .name = name != NULL ? map(name) : NULL,
                         .tag = tag != NULL ? map(tag) : NULL,
                         .except = except != NULL ? map(except) : NULL};
    bool m = selector_match(&s, t);

    json_free(s.name);
    json_free(s.tag);
    json_free(s.except);
    return m;
}

static void selectors(void **state)
{
    struct estate *e = portal();
    const struct target *t = estate_by_id(e, "asg/web-1");

    (void)state;
    assert_true(matches(t, NULL, NULL, NULL));
    assert_false(matches(estate_by_id(e, "cache/c"), NULL, NULL, NULL));
    assert_true(matches(t, "[\"web-2\",\"web-1\"]", NULL, NULL));
    assert_false(matches(t, "[\"web-2\"]", NULL, NULL));
    assert_false(matches(t, "[]", NULL, NULL)); /* an empty list is not "all" */
    assert_true(matches(t, NULL, "{\"tier\":\"web\",\"app\":\"portal\"}", NULL));
    assert_false(matches(t, NULL, "{\"tier\":\"web\",\"app\":\"shop\"}", NULL));
    assert_false(matches(t, NULL, "{\"zone\":\"a\"}", NULL));
    assert_false(matches(t, NULL, "{\"tier\":\"web\"}", "[\"web-1\"]"));
    assert_false(matches(t, "[\"web-1\"]", NULL, "[\"web-1\"]"));
    estate_unref(e);
}

static void kinds_and_modes(void **state)
{
    static const char *const kinds[] = {"aws",     "asg",   "postgres",    "proxy",   "cache",
                                        "service", "queue", "certificate", "instance"};

    (void)state;
    assert_int_equal(target_kinds_len, sizeof(kinds) / sizeof(kinds[0]));
    for (size_t i = 0; i < target_kinds_len; i++) {
        const struct target_kind *k = target_kind_find(kinds[i]);

        assert_non_null(k);
        assert_true(k->domain == NULL || option_find(k->options, k->noptions, k->domain) != NULL);
    }
    assert_null(target_kind_find("lambda"));
    for (int m = MODE_OFF; m <= MODE_ENFORCE; m++)
        assert_int_equal(mode_parse(mode_name((enum mode)m)), m);
    assert_int_equal(mode_parse("on"), -1);
    assert_int_equal(mode_parse(NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_kind_name_and_id),
        cmocka_unit_test(a_failure_domain_is_its_own_or_its_accounts),
        cmocka_unit_test(names_are_taken_once),
        cmocka_unit_test(thousands_of_targets),
        cmocka_unit_test(the_hash_is_of_what_is_declared),
        cmocka_unit_test(references_between_targets),
        cmocka_unit_test(one_service),
        cmocka_unit_test(related),
        cmocka_unit_test(selectors),
        cmocka_unit_test(kinds_and_modes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
