/* References in options: what they become, and what is said of one that names nothing (E102). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/refs.h"

static struct estate *estate;
static struct json *params, *steps;
static struct refs refs;

static struct json *parse(const char *text)
{
    struct json *j = json_parse(text, strlen(text), 4096, NULL);

    assert_non_null(j);
    return j;
}

static int setup(void **state)
{
    (void)state;
    estate = estate_new();
    params = parse("{\"env\":\"prod\",\"n\":3}");
    steps = parse("{\"grow\":{\"after\":10}}");
    assert_int_equal(estate_add(estate, "postgres", "db",
                                parse("{\"app\":\"portal\",\"cost-center\":\"7\"}"),
                                parse("{\"host\":\"h.example\",\"port\":5432,\"iam\":false,"
                                      "\"password\":{\"file\":\"/s\"}}"),
                                MODE_ENFORCE, NULL, 0, NULL),
                     0);
    refs = (struct refs){.target = estate_find(estate, "postgres", "db"),
                         .params = params,
                         .run_id = "R1",
                         .steps = steps};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_free(params);
    json_free(steps);
    estate_unref(estate);
    return 0;
}

static void expect(const char *written, const char *want)
{
    struct json *opts = json_new_str(written), *out;
    struct err e = ERR_INIT;

    out = refs_resolve(opts, &refs, &e);
    if (out == NULL)
        fail_msg("%s: %s", written, e.text);
    assert_string_equal(json_str(out, ""), want);
    json_free(out);
    json_free(opts);
}

static void refuse(const char *written, const char *want)
{
    struct json *opts = json_new_str(written);
    struct err e = ERR_INIT;

    assert_null(refs_resolve(opts, &refs, &e));
    assert_string_equal(e.text, want);
    json_free(opts);
}

static void what_they_become(void **state)
{
    (void)state;
    expect("$target.name", "db");
    expect("$target.id $target.kind", "postgres/db postgres");
    expect("$target.host:$target.port", "h.example:5432");
    expect("$target.iam", "false");
    expect("app=$target.tag.app.", "app=portal.");
    expect("$target.tag.cost-center", "7");
}

static void a_dash_belongs_to_keys_of_tags(void **state)
{
    (void)state;
    expect("snap-$param.env-$run.id", "snap-prod-R1");
    expect("$target.name-$run.id", "db-R1");
    expect("$target.tag.app-$run.id", "portal-R1");
    refuse("$target.tag.app-x", "unknown name $target.tag.app-x; did you mean \"app\"?");
    expect("$step.grow.after", "10");
    expect("n = $param.n", "n = 3");
}

static void a_plain_dollar_stays(void **state)
{
    (void)state;
    expect("select $1 where a ~ '^x$'", "select $1 where a ~ '^x$'");
    expect("$$", "$$");
    expect("$", "$");
    expect("$name costs 5$", "$name costs 5$");
    expect("cost: 5$.", "cost: 5$.");
}

static void what_names_nothing(void **state)
{
    (void)state;
    refuse("$target.hots", "unknown name $target.hots; did you mean \"host\"?");
    refuse("$target.tag.ap", "unknown name $target.tag.ap; did you mean \"app\"?");
    refuse("$param.missing", "unknown name $param.missing");
    refuse("$targt.name", "unknown name $targt.name; did you mean \"target\"?");
    refuse("$run.name", "unknown name $run.name: a run has only $run.id");
    refuse("$step.grow", "unknown name $step.grow: write $step.ACTION.OUTPUT");
    refuse("$step.grwo.after", "unknown name $step.grwo.after; did you mean \"grow\"?");
    refuse("$step.grow.before", "unknown name $step.grow.before");
    refuse("$target.password",
           "$target.password is a secret, which cannot be written into an option");
    refs.run_id = NULL;
    refs.steps = NULL;
    refs.target = NULL;
    refuse("$run.id",
           "unknown name $run.id: there is no run here; it can be used in the options of actions");
    refuse("$step.grow.after", "unknown name $step.grow.after: there are no steps here; it can be "
                               "used in the options of actions");
    refuse("$target.name", "unknown name $target.name: there is no target here");
}

static bool collect(void *arg, const char *ref)
{
    struct json *list = arg;

    json_add(list, json_new_str(ref));
    return strcmp(ref, "run.id") != 0;
}

static void at_any_depth(void **state)
{
    struct json *opts = parse("{\"dimensions\":{\"A\":\"$target.name\"},\"list\":[\"$param.env\","
                              "\"x\"],\"n\":5,\"b\":true,\"s\":\"$run.id\",\"z\":\"$no.more\"}");
    struct json *want = parse("{\"dimensions\":{\"A\":\"db\"},\"list\":[\"prod\",\"x\"],\"n\":5,"
                              "\"b\":true,\"s\":\"R1\"}");
    struct json *found = json_new_list(), *out;
    char *text;

    (void)state;
    assert_false(refs_each(opts, collect, found));
    text = json_print(found);
    assert_string_equal(text, "[\"target.name\",\"param.env\",\"run.id\"]");
    assert_null(refs_resolve(opts, &refs, NULL));
    json_remove(opts, "z");
    out = refs_resolve(opts, &refs, NULL);
    assert_true(json_equal(out, want));
    mem_free(text);
    json_free(out);
    json_free(found);
    json_free(want);
    json_free(opts);
}

static void long_references(void **state)
{
    char text[2000] = "$target.";
    struct json *opts;
    struct err e = ERR_INIT;

    (void)state;
    memset(text + 8, 'a', 1500);
    opts = json_new_str(text);
    assert_null(refs_resolve(opts, &refs, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    json_free(opts);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(what_they_become),     RULE(a_dash_belongs_to_keys_of_tags),
        RULE(a_plain_dollar_stays), RULE(what_names_nothing),
        RULE(at_any_depth),         RULE(long_references),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
