/* Options: what each type takes, what it says when it does not, and how values read back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/option.h"
#include "plugin/target.h"

#define NONE 0, 0

/* `written` and `held` are JSON; held NULL: refused with this code and text. */
struct row {
    enum opt_type type;
    double min, max;
    const char *words;
    const char *written, *held, *text; /* text: how it reads back, or the error */
    int code;
};

static const struct row rows[] = {
    {OPT_STRING, NONE, NULL, "\"a b\"", "\"a b\"", "\"a b\"", 0},
    {OPT_STRING, NONE, NULL, "\"say \\\"hi\\\"\\n\"", "\"say \\\"hi\\\"\\n\"",
     "\"say \\\"hi\\\"\\n\"", 0},
    {OPT_STRING, NONE, NULL, "5", NULL, "needs a string, write it in quotes", ERR_INPUT},
    {OPT_STRING, 1, 3, NULL, "\"abcd\"", NULL, "must have 1 to 3 characters, got 4", ERR_LIMIT},

    {OPT_COUNT, NONE, NULL, "800", "800", "800", 0},
    {OPT_COUNT, NONE, NULL, "0", "0", "0", 0},
    {OPT_COUNT, NONE, NULL, "0.5", NULL, "needs a whole number", ERR_INPUT},
    {OPT_COUNT, NONE, NULL, "\"800\"", NULL, "needs a whole number", ERR_INPUT},
    {OPT_COUNT, NONE, NULL, "1e300", NULL, "needs a whole number", ERR_INPUT},
    {OPT_COUNT, NONE, NULL, "-1", NULL, "must not be negative, got -1", ERR_LIMIT},
    {OPT_COUNT, 1, 20, NULL, "20", "20", "20", 0},
    {OPT_COUNT, 1, 20, NULL, "21", NULL, "must be between 1 and 20, got 21", ERR_LIMIT},
    {OPT_COUNT, 1, OPTION_NO_MAX, NULL, "0", NULL, "must be at least 1, got 0", ERR_LIMIT},
    {OPT_COUNT, -5, 5, NULL, "-5", "-5", "-5", 0},

    {OPT_NUMBER, NONE, NULL, "-0.5", "-0.5", "-0.5", 0},
    {OPT_NUMBER, NONE, NULL, "true", NULL, "needs a number", ERR_INPUT},

    {OPT_PERCENT, NONE, NULL, "\"60%\"", "60", "\"60%\"", 0},
    {OPT_PERCENT, NONE, NULL, "\"0.1%\"", "0.1", "\"0.1%\"", 0},
    {OPT_PERCENT, NONE, NULL, "\"100%\"", "100", "\"100%\"", 0},
    {OPT_PERCENT, NONE, NULL, "60", NULL, "needs a percent string, write \"60%\"", ERR_INPUT},
    {OPT_PERCENT, NONE, NULL, "\"60\"", NULL, "needs a percent string, write \"60%\"", ERR_INPUT},
    {OPT_PERCENT, NONE, NULL, "\"sixty%\"", NULL, "needs a percent string, write \"60%\"",
     ERR_INPUT},
    {OPT_PERCENT, NONE, NULL, "\"160%\"", NULL, "must be between 0% and 100%, got \"160%\"",
     ERR_LIMIT},
    {OPT_PERCENT, NONE, NULL, "\"-5%\"", NULL, "must not be negative, got \"-5%\"", ERR_LIMIT},
    {OPT_PERCENT, 10, 90, NULL, "\"5%\"", NULL, "must be between 10% and 90%, got \"5%\"",
     ERR_LIMIT},

    {OPT_DURATION, NONE, NULL, "\"1h30m\"", "5400000", "\"1h30m\"", 0},
    {OPT_DURATION, NONE, NULL, "\"500ms\"", "500", "\"500ms\"", 0},
    {OPT_DURATION, NONE, NULL, "5", NULL, "needs a unit, write e.g. \"5m\"", ERR_INPUT},
    {OPT_DURATION, NONE, NULL, "\"5\"", NULL, "needs a unit, write e.g. \"5m\"", ERR_INPUT},
    {OPT_DURATION, NONE, NULL, "\"5 min\"", NULL, "needs a unit, write e.g. \"5m\"", ERR_INPUT},
    {OPT_DURATION, 1000, 60000, NULL, "\"5m\"", NULL, "must be between 1s and 1m, got \"5m\"",
     ERR_LIMIT},

    {OPT_SIZE, NONE, NULL, "\"4GiB\"", "4294967296", "\"4GiB\"", 0},
    {OPT_SIZE, NONE, NULL, "4096", NULL, "needs a unit, write e.g. \"512MiB\"", ERR_INPUT},

    {OPT_RATE, NONE, NULL, "\"2 per 1h\"", "{\"n\":2,\"per_ms\":3600000}", "\"2 per 1h\"", 0},
    {OPT_RATE, NONE, NULL, "\"2/h\"", NULL, "bad rate \"2/h\", write \"2 per 1h\"", ERR_INPUT},

    {OPT_BOOL, NONE, NULL, "true", "true", "true", 0},
    {OPT_BOOL, NONE, NULL, "\"true\"", NULL, "needs true or false", ERR_INPUT},

    {OPT_ENUM, NONE, "sev1|sev2|sev3", "\"sev3\"", "\"sev3\"", "\"sev3\"", 0},
    {OPT_ENUM, NONE, "sev1|sev2|sev3", "\"critical\"", NULL,
     "must be one of sev1, sev2, sev3, got \"critical\"", ERR_INPUT},
    {OPT_ENUM, NONE, "sev1|sev2|sev3", "\"sev\"", NULL,
     "must be one of sev1, sev2, sev3, got \"sev\"", ERR_INPUT},
    {OPT_ENUM, NONE, "sev1|sev2|sev3", "\"\"", NULL, "must be one of sev1, sev2, sev3, got \"\"",
     ERR_INPUT},
    {OPT_ENUM, NONE, "sev1|sev2|sev3", "1", NULL, "must be one of sev1, sev2, sev3", ERR_INPUT},

    {OPT_LIST, NONE, NULL, "[\"a\",\"b\"]", "[\"a\",\"b\"]", "{ \"a\", \"b\" }", 0},
    {OPT_LIST, NONE, NULL, "\"a\"", "[\"a\"]", "{ \"a\" }", 0},
    {OPT_LIST, NONE, NULL, "{}", "[]", "{}", 0},
    {OPT_LIST, NONE, NULL, "[\"a\",1]", NULL, "needs a list of strings, write { \"a\", \"b\" }",
     ERR_INPUT},
    {OPT_LIST, NONE, NULL, "{\"a\":\"b\"}", NULL, "needs a list of strings, write { \"a\", \"b\" }",
     ERR_INPUT},
    {OPT_LIST, 1, 2, NULL, "[]", NULL, "must have 1 to 2 entries, got 0", ERR_LIMIT},

    {OPT_MAP, NONE, NULL, "{\"tier\":\"web\"}", "{\"tier\":\"web\"}", "{ tier = \"web\" }", 0},
    {OPT_MAP, NONE, NULL, "{\"a-b\":10,\"c\":true}", "{\"a-b\":\"10\",\"c\":\"true\"}",
     "{ [\"a-b\"] = \"10\", c = \"true\" }", 0},
    {OPT_MAP, NONE, NULL, "[]", "{}", "{}", 0},
    {OPT_MAP, NONE, NULL, "{\"a\":[]}", NULL, "needs a table of strings, write { key = \"value\" }",
     ERR_INPUT},

    {OPT_PERCENT_OR_COUNT, NONE, NULL, "\"25%\"", "{\"percent\":25}", "\"25%\"", 0},
    {OPT_PERCENT_OR_COUNT, NONE, NULL, "2", "2", "2", 0},
    {OPT_PERCENT_OR_COUNT, -100, 100, NULL, "\"-25%\"", "{\"percent\":-25}", "\"-25%\"", 0},
    {OPT_PERCENT_OR_COUNT, -100, 100, NULL, "-2", "-2", "-2", 0},
    {OPT_PERCENT_OR_COUNT, NONE, NULL, "\"-25%\"", NULL, "must not be negative, got \"-25%\"",
     ERR_LIMIT},
    {OPT_PERCENT_OR_COUNT, NONE, NULL, "2.5", NULL,
     "needs a percent string or a whole number, write \"25%\" or 2", ERR_INPUT},
    {OPT_PERCENT_OR_COUNT, NONE, NULL, "\"2\"", NULL,
     "needs a percent string or a whole number, write \"25%\" or 2", ERR_INPUT},

    {OPT_SECRET, NONE, NULL, "{\"file\":\"/etc/x\"}", "{\"file\":\"/etc/x\"}",
     "secret.file \"/etc/x\"", 0},
    {OPT_SECRET, NONE, NULL, "{\"env\":\"X\"}", "{\"env\":\"X\"}", "secret.env \"X\"", 0},
    {OPT_SECRET, NONE, NULL, "\"hunter2\"", NULL,
     "needs secret.file \"/path\" or secret.env \"NAME\"", ERR_INPUT},
    {OPT_SECRET, NONE, NULL, "{\"value\":\"hunter2\"}", NULL,
     "needs secret.file \"/path\" or secret.env \"NAME\"", ERR_INPUT},

    {OPT_SIGNAL, NONE, NULL, "{\"signal\":\"x\",\"opts\":{\"a\":1}}",
     "{\"signal\":\"x\",\"opts\":{\"a\":1}}", "sig.x { a = 1 }", 0},
    {OPT_SIGNAL, NONE, NULL, "{\"signal\":\"x\"}", "{\"signal\":\"x\",\"opts\":{}}", "sig.x {}", 0},
    {OPT_SIGNAL, NONE, NULL, "\"x\"", NULL, "needs a signal without a comparator, write sig.x{...}", ERR_INPUT},

    {OPT_COUNT_OR_SIGNAL, 0, 10, NULL, "8", "8", "8", 0},
    {OPT_COUNT_OR_SIGNAL, 0, 10, NULL, "11", NULL, "must be between 0 and 10, got 11", ERR_LIMIT},
    {OPT_COUNT_OR_SIGNAL, 0, 10, NULL, "{\"signal\":\"x\"}", "{\"signal\":\"x\",\"opts\":{}}",
     "sig.x {}", 0},
    {OPT_COUNT_OR_SIGNAL, 0, 10, NULL, "\"8\"", NULL,
     "needs a whole number, or a signal without a comparator: write 8 or sig.x{...}", ERR_INPUT},
    {OPT_COUNT_OR_SIGNAL, 0, 10, NULL, "8.5", NULL,
     "needs a whole number, or a signal without a comparator: write 8 or sig.x{...}", ERR_INPUT},

    {OPT_TARGET, NONE, "proxy", "\"p1\"", "\"p1\"", "\"p1\"", 0},
    {OPT_TARGET, NONE, "proxy", "7", NULL, "needs the name of a proxy, write it in quotes",
     ERR_INPUT},
    {OPT_STEP, NONE, "sessions", "\"stop\"", "\"stop\"", "\"stop\"", 0},
    {OPT_STEP, NONE, "sessions", "\"\"", NULL,
     "needs the name of an action of this policy, write it in quotes", ERR_INPUT},
    {OPT_STEP, NONE, "sessions", "[\"stop\"]", NULL,
     "needs the name of an action of this policy, write it in quotes", ERR_INPUT},
};

static void each_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        struct option o = {.name = "x",
                           .type = row->type,
                           .min = row->min,
                           .max = row->max,
                           .words = row->words,
                           .help = "h"};
        struct json *written = json_parse(row->written, strlen(row->written), 1000, NULL), *held;
        struct err e = ERR_INIT;
        char *have;

        assert_non_null(written);
        held = option_check(&o, written, &e);
        if (row->held == NULL) {
            if (held != NULL)
                fail_msg("%s %s was taken", opt_type_name(row->type), row->written);
            assert_string_equal(e.text, row->text);
            assert_int_equal(e.code, row->code);
        } else {
            if (held == NULL)
                fail_msg("%s %s: %s", opt_type_name(row->type), row->written, e.text);
            have = json_print(held);
            assert_string_equal(have, row->held);
            mem_free(have);
            have = option_text(&o, held);
            assert_string_equal(have, row->text);
            mem_free(have);
        }
        json_free(held);
        json_free(written);
    }
}

static void a_required_string_is_not_empty(void **state)
{
    struct option o = {.name = "x", .type = OPT_STRING, .required = true};
    struct json *empty = json_new_str("");
    struct err e = ERR_INIT;

    (void)state;
    assert_null(option_check(&o, empty, &e));
    assert_string_equal(e.text, "must not be empty");
    json_free(empty);
}

static const struct option table[] = {
    {.name = "idle_over", .type = OPT_DURATION, .fallback = "30m", .help = "h"},
    {.name = "max", .type = OPT_COUNT, .fallback = "10", .help = "h"},
    {.name = "share", .type = OPT_PERCENT_OR_COUNT, .fallback = "10%", .help = "h"},
    {.name = "on", .type = OPT_BOOL, .fallback = "true", .help = "h"},
    {.name = "users", .type = OPT_LIST, .fallback = "{ \"a\", \"b\" }", .help = "h"},
    {.name = "tags", .type = OPT_MAP, .fallback = "{}", .help = "h"},
    {.name = "stat", .type = OPT_STRING, .fallback = "Average", .help = "h"},
    {.name = "none", .type = OPT_STRING, .help = "h"},
};

static void fallbacks(void **state)
{
    struct json *held = json_new_map();
    char *text;

    (void)state;
    json_set_num(held, "max", 3);
    option_defaults(OPTIONS(table), held);
    text = json_print_canonical(held);
    assert_string_equal(text, "{\"idle_over\":1800000,\"max\":3,\"on\":true,\"share\":{\"percent\":"
                              "10},\"stat\":\"Average\","
                              "\"tags\":{},\"users\":[\"a\",\"b\"]}");
    mem_free(text);
    json_free(held);
    assert_ptr_equal(option_find(OPTIONS(table), "max"), &table[1]);
    assert_null(option_find(OPTIONS(table), "min"));
}

static void tables_are_checked(void **state)
{
    struct option bad[2] = {{.name = "a", .type = OPT_COUNT, .help = "h"},
                            {.name = "b", .type = OPT_DURATION, .fallback = "5", .help = "h"}};
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(option_table_check(OPTIONS(table), &e), 0);
    assert_int_equal(option_table_check(bad, 2, &e), ERR_BUG);
    assert_string_equal(e.text, "option b: its fallback \"5\" needs a unit, write e.g. \"5m\"");
    bad[1].name = "a";
    assert_int_equal(option_table_check(bad, 2, &e), ERR_BUG);
    bad[1] = (struct option){.name = "c", .type = OPT_ENUM, .help = "h"};
    assert_int_equal(option_table_check(bad, 2, &e), ERR_BUG);
    bad[1] = (struct option){.name = "c", .type = OPT_COUNT};
    assert_int_equal(option_table_check(bad, 2, &e), ERR_BUG);
    for (size_t i = 0; i < target_kinds_len; i++) {
        if (option_table_check(target_kinds[i].options, target_kinds[i].noptions, &e) != 0)
            fail_msg("%s: %s", target_kinds[i].name, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type),
        cmocka_unit_test(a_required_string_is_not_empty),
        cmocka_unit_test(fallbacks),
        cmocka_unit_test(tables_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
