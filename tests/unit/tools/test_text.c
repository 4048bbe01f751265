/* What is printed for operators: nothing in it steers a terminal, nothing is wider than it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "tools/show.h"

static void text_for(struct text *t, bool color)
{
    memset(t, 0, sizeof(*t));
    buf_init(&t->out, 1 << 20);
    t->color = color;
    t->width = 80;
}

static void expect_safe(const char *in, size_t max, const char *want)
{
    struct buf b;

    buf_init(&b, 4096);
    text_safe(&b, in, max);
    assert_string_equal(buf_str(&b), want);
    buf_free(&b);
}

static void control_characters_are_shown_not_sent(void **state)
{
    (void)state;
    expect_safe("plain", 0, "plain");
    expect_safe("a\033[31mb", 0, "a\\x1b[31mb");
    expect_safe("a\nb\tc\rd", 0, "a\\x0ab\\x09c\\x0dd");
    expect_safe("\x7f", 0, "\\x7f");
    expect_safe("\xc2\x9b"
                "31m",
                0, "\\x9b31m"); /* the C1 CSI */
    expect_safe("\xe2\x80\xae"
                "evil",
                0, "\\u{202e}evil");          /* right-to-left override */
    expect_safe("\xff\xfe", 0, "\\xff\\xfe"); /* no UTF-8 */
    expect_safe("gr\xc3\xbc\xc3\x9f", 0, "gr\xc3\xbc\xc3\x9f");
}

static void cutting_keeps_characters_whole(void **state)
{
    (void)state;
    expect_safe("abcdef", 6, "abcdef");
    expect_safe("abcdef", 4, "abc\xe2\x80\xa6");
    expect_safe("\xc3\xbc\xc3\xbc\xc3\xbc", 2, "\xc3\xbc\xe2\x80\xa6");
    expect_safe("\033\033\033", 5, "\\x1b\xe2\x80\xa6");
}

static size_t widest(const char *s)
{
    size_t most = 0;

    while (*s) {
        size_t n = strcspn(s, "\n");
        char *line = mem_strndup(s, n);
        size_t w = text_columns(line);
        most = w > most ? w : most;
        mem_free(line);
        s += n + (s[n] == '\n');
    }
    return most;
}

static void a_table_fits_its_width(void **state)
{
    static const char *const heads[] = {"POLICY", "TARGET", "WHY"};
    struct table table;
    struct text t;
    struct cell *c;
    char big[301];

    (void)state;
    memset(big, 'w', 300);
    big[300] = 0;
    text_for(&t, false);
    table_init(&table, 3, heads);
    c = table_row(&table);
    table_set(c, 0, TONE_BAD, "short");
    table_set(c, 1, TONE_PLAIN, "asg/%s", big);
    table_set(c, 2, TONE_PLAIN, "%s", big);
    c = table_row(&table);
    table_set(c, 0, TONE_BAD, "two\033[2J");
    table_print(&table, &t);
    assert_true(widest(buf_str(&t.out)) <= 80);
    assert_null(strchr(buf_str(&t.out), '\033'));
    assert_non_null(strstr(buf_str(&t.out), "two\\x1b[2J\n")); /* no blanks at the end */
    text_free(&t);
}

/* A name that is cut cannot be given to the next command. */
static void nothing_of_a_table_is_cut(void **state)
{
    static const char *const heads[] = {"RUN", "POLICY", "TARGET", "STATE", "NOTE"};
    static const char wide[] =
        "RUN                       POLICY        TARGET                   STATE      NOTE\n"
        "R20261124T185036Z-bb6534  asg-cpu-high  asg/basecoat-portal-asg  verifying  one two three "
        "four five six seven\n";
    static const char narrow[] = "R20261124T185036Z-bb6534\n"
                                 "  POLICY  asg-cpu-high\n"
                                 "  TARGET  asg/basecoat-portal-asg\n"
                                 "  STATE   verifying\n"
                                 "  NOTE    one two three four five six\n"
                                 "          seven\n";
    static const char usual[] =
        "RUN                       POLICY        TARGET                   STATE\n"
        "R20261124T185036Z-bb6534  asg-cpu-high  asg/basecoat-portal-asg  verifying\n"
        "    one two three four five six seven\n";
    static const char *const want[] = {[40] = narrow, [80] = usual, [120] = wide};

    (void)state;
    for (size_t width = 40; width <= 120; width++) {
        struct table table;
        struct text t;
        struct cell *c;
        text_for(&t, false);
        t.width = width;
        table_init(&table, 5, heads);
        c = table_row(&table);
        table_set(c, 0, TONE_PLAIN, "R20261124T185036Z-bb6534");
        table_set(c, 1, TONE_PLAIN, "asg-cpu-high");
        table_set(c, 2, TONE_PLAIN, "asg/basecoat-portal-asg");
        table_set(c, 3, TONE_PLAIN, "verifying");
        table_set(c, 4, TONE_PLAIN, "one two three four five six seven");
        table_print(&table, &t);
        assert_true(widest(buf_str(&t.out)) <= width);
        assert_null(strstr(buf_str(&t.out), "\xe2\x80\xa6"));
        assert_non_null(strstr(buf_str(&t.out), "asg/basecoat-portal-asg"));
        if (want[width])
            assert_string_equal(buf_str(&t.out), want[width]);
        text_free(&t);
    }
}

static void colours_only_where_wanted(void **state)
{
    struct text t;

    (void)state;
    text_for(&t, false);
    text_add(&t, TONE_BAD, "x");
    assert_string_equal(buf_str(&t.out), "x");
    text_free(&t);
    text_for(&t, true);
    text_add(&t, TONE_BAD, "x\033");
    assert_string_equal(buf_str(&t.out), "\033[31;1mx\\x1b\033[0m");
    text_free(&t);
}

static void wrapping_indents(void **state)
{
    struct text t;

    (void)state;
    text_for(&t, false);
    t.width = 20;
    text_add(&t, TONE_PLAIN, "label ");
    text_wrap(&t, TONE_PLAIN, "one two three four five", 6, 6);
    assert_string_equal(buf_str(&t.out), "label one two three\n      four five\n");
    text_free(&t);
}

static void explain_is_readable_on_80_columns(void **state)
{
    static const char answer[] =
        "{\"explain\":[{\"policy\":\"asg-cpu-high\",\"target\":\"asg/"
        "web-1\",\"state\":\"firing\",\"episode\":\"E1\",\"mode\":\"shadow\","
        "\"mode_policy\":\"shadow\",\"mode_target\":\"enforce\",\"mode_agent\":\"enforce\","
        "\"site\":\"policies/asg.lua:3\",\"breaker_open\":true,"
        "\"when\":{\"kind\":\"all\",\"value\":\"unknown\",\"site\":\"policies/"
        "asg.lua:7:10\",\"kids\":["
        "{\"kind\":\"leaf\",\"value\":\"unknown\",\"pending\":true,\"site\":\"policies/"
        "asg.lua:8:3\",\"signal\":\"asg_cpu\",\"comparator\":\"above\","
        "\"threshold_text\":\"60%\",\"reading_text\":\"85%\",\"age_ms\":12345,\"held_ms\":180000,"
        "\"lasting_ms\":300000},"
        "{\"kind\":\"leaf\",\"value\":\"unknown\",\"site\":\"x:1:1\",\"signal\":\"alb_p99\","
        "\"comparator\":\"below\",\"threshold_text\":\"500ms\","
        "\"why\":\"forged\\u001b[2J\\nline that is long enough to be wrapped on the terminal of "
        "whoever reads it\"}]},"
        "\"guards\":{\"grow\":[{\"guard\":\"freeze\",\"verdict\":\"allow\",\"why\":\"\"},"
        "{\"guard\":\"mode\",\"verdict\":\"deny\",\"why\":\"the policy is in shadow\"}]}}]}";
    struct err e = ERR_INIT;
    struct json *j = json_parse(answer, strlen(answer), 1 << 20, &e), *clean = text_clean(j);
    struct text t;

    (void)state;
    assert_non_null(j);
    text_for(&t, false);
    t.width = 60;
    show_explain(&t, clean);
    text_fold(&t);
    assert_true(widest(buf_str(&t.out)) <= 60);
    text_free(&t);
    text_for(&t, false);
    show_explain(&t, clean);
    assert_true(widest(buf_str(&t.out)) <= 80);
    assert_non_null(
        strstr(buf_str(&t.out), "pending  sig.asg_cpu above 60% for 5m: 85%, 12s old, held 3m"));
    assert_non_null(strstr(buf_str(&t.out), "policies/asg.lua:8:3"));
    assert_non_null(strstr(buf_str(&t.out), "deny   mode"));
    assert_null(strchr(buf_str(&t.out), '\033'));
    assert_null(strstr(buf_str(&t.out), "\nline that"));
    text_free(&t);
    json_free(clean);
    json_free(j);
}

/* Whatever the answer holds, showing it is safe. */
static void odd_answers_do_no_harm(void **state)
{
    static void (*const shows[])(struct text * t, const struct json *a) = {
        show_status,  show_episodes, show_runs,    show_decisions, show_reports, show_one,
        show_explain, show_plans,    show_sources, show_reload,    show_version};
    static const char *const answers[] = {
        "{}", "[]",
        "{\"in_doubt\":[1,{}],\"explain\":[1,null,{}],\"plans\":[{}],\"policies\":[{}"
        "],\"steps\":[{}],\"runs\":[1],\"run\":{}}"};

    (void)state;
    for (size_t a = 0; a < 3; a++)
        for (size_t k = 0; k < sizeof(shows) / sizeof(shows[0]); k++) {
            struct err e = ERR_INIT;
            struct json *j = json_parse(answers[a], strlen(answers[a]), 4096, &e);
            struct text t;
            text_for(&t, true);
            shows[k](&t, j);
            text_free(&t);
            json_free(j);
        }
}

static void folds_to_the_width(void **state)
{
    static const struct {
        size_t width;
        const char *text, *folded;
    } rows[] = {
        {40, "short\n", "short\n"},
        {40, "0123456789 0123456789 0123456789 0123456789 x\n",
         "0123456789 0123456789 0123456789\n  0123456789 x\n"},
        {40, "  name      what it is good for, in more words than fit\n",
         "  name      what it is good for, in more\n            words than fit\n"},
        {40, "0123456789012345678901234567890123456789xyz\n",
         "0123456789012345678901234567890123456789\n  xyz\n"},
        {40,
         "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4 \033[32m0123456789\033[0m "
         "0123456789 012345\n",
         "\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4 \033[32m0123456789\033[0m "
         "0123456789 012345\n"},
        {40, "\n\nno newline at the end", "\n\nno newline at the end"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct text t;
        text_init(&t, STDOUT_FILENO);
        t.width = rows[i].width;
        buf_adds(&t.out, rows[i].text);
        text_fold(&t);
        assert_string_equal(buf_str(&t.out), rows[i].folded);
        text_free(&t);
    }
}

static void is_as_wide_as_it_is_told(void **state)
{
    static const struct {
        const char *columns;
        size_t width;
    } rows[] = {{"60", 60}, {"20", 40}, {"100", 100}, {"500", 120}, {"x", 80}, {"0", 80}, {"", 80}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct text t;
        FILE *plain = tmpfile();
        assert_non_null(plain);
        setenv("COLUMNS", rows[i].columns, 1);
        text_init(&t, fileno(plain));
        assert_int_equal(t.width, rows[i].width);
        text_free(&t);
        fclose(plain);
    }
    unsetenv("COLUMNS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_to_the_width),
        cmocka_unit_test(is_as_wide_as_it_is_told),
        cmocka_unit_test(control_characters_are_shown_not_sent),
        cmocka_unit_test(cutting_keeps_characters_whole),
        cmocka_unit_test(a_table_fits_its_width),
        cmocka_unit_test(nothing_of_a_table_is_cut),
        cmocka_unit_test(colours_only_where_wanted),
        cmocka_unit_test(wrapping_indents),
        cmocka_unit_test(explain_is_readable_on_80_columns),
        cmocka_unit_test(odd_answers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
