/* Every error and warning with its exact output: golden/NAME.lua gives golden/NAME.out. estate_*,
 * config_* and test_* are read as such; a first line "-- max_limit R",
 * "-- mode M", "-- estate", "-- estate basic" or "-- params" sets what the host says.
 * RB_GOLDEN_UPDATE=1 writes what is not there yet or differs: read it before it is kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/units.h"
#include "help_lua.h"
#include "lua/tests.h"

static const char estate_text[] = "aws \"prod\" { region = \"us-east-1\" }\n"
                                  "asg \"web-1\" { aws = \"prod\", tag = { tier = \"web\" } }\n"
                                  "postgres \"orders\" { host = \"db\", database = \"orders\", "
                                  "user = \"rb\" }\n"
                                  "postgres \"bills\" { host = \"DB\", database = \"bills\", "
                                  "user = \"rb\" }\n";

static const char basic_text[] = "aws \"prod\" { region = \"us-east-1\" }\n"
                                 "asg \"web-1\" { aws = \"prod\" }\n"
                                 "asg \"old-1\" { aws = \"prod\", detailed = false }\n"
                                 "asg \"old-2\" { aws = \"prod\", detailed = false }\n";

static char *slurp(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = mem_calloc(1, 1 << 16);

    if (f) {
        size_t n = fread(text, 1, (1 << 16) - 1, f);
        text[n] = '\0';
        fclose(f);
    }
    return text;
}

static void load_policy(const char *name, struct diags *d)
{
    struct policy_load_options o = {.paths = &name, .npaths = 1, .mode = MODE_ENFORCE};
    struct estate *estate = NULL;
    char *text = slurp(name);

    text[strcspn(text, "\n")] = '\0';
    if (strncmp(text, "-- max_limit ", 13) == 0)
        assert_int_equal(unit_parse_rate(text + 13, &o.max_limit.n, &o.max_limit.per_ms), 0);
    if (strncmp(text, "-- mode ", 8) == 0)
        o.mode = (enum mode)mode_parse(text + 8);
    if (strcmp(text, "-- params") == 0)
        o.params = "params.txt";
    if (strcmp(text, "-- estate") == 0)
        o.estate = estate = estate_load(help_file("estate.lua", estate_text), NULL, NULL, d);
    if (strcmp(text, "-- estate basic") == 0)
        o.estate = estate = estate_load(help_file("estate.lua", basic_text), NULL, NULL, d);
    struct policy_set *set = policies_load(&o, d);
    if ((diags_errors(d) == 0) != (set != NULL))
        fail_msg("%s: a set and errors, or neither", name);
    if (set) {
        json_free(policies_walk(set, estate, d));
        policy_set_unref(set);
    }
    if (estate)
        estate_unref(estate);
    mem_free(text);
}

/* Tests of the language's two examples. */
static void load_test(const char *name, struct diags *d)
{
    char *text = mem_printf("%s%s", smallest, example);
    const char *path = help_file("policies.lua", text);
    struct policy_load_options o = {.paths = &path, .npaths = 1, .mode = MODE_ENFORCE};
    struct policy_set *set = policies_load(&o, d);
    struct test_set *ts = test_set_new();

    assert_non_null(set);
    tests_load(ts, name, set, d);
    test_set_free(ts);
    policy_set_unref(set);
    mem_free(text);
}

static bool check(const char *name)
{
    struct diags *d = diags_new();
    struct buf out;
    char expected_path[300];

    if (strncmp(name, "estate_", 7) == 0) {
        struct estate *e = estate_load(name, NULL, NULL, d);
        if (e)
            estate_unref(e);
    } else if (strncmp(name, "config_", 7) == 0) {
        config_free(config_load(name, d));
    } else if (strncmp(name, "test_", 5) == 0) {
        load_test(name, d);
    } else {
        load_policy(name, d);
    }
    buf_init(&out, 1 << 20);
    diags_print(d, &out, false);
    snprintf(expected_path, sizeof expected_path, "%.*s.out", (int)strlen(name) - 4, name);
    char *expected = slurp(expected_path);
    bool same = strcmp(expected, buf_str(&out)) == 0 && access(expected_path, R_OK) == 0;
    if (!same && getenv("RB_GOLDEN_UPDATE")) {
        FILE *f = fopen(expected_path, "w");
        fputs(buf_str(&out), f);
        fclose(f);
        same = true;
    }
    if (!same)
        print_error("%s\n--- expected\n%s--- got\n%s", name, expected, buf_str(&out));
    mem_free(expected);
    buf_free(&out);
    diags_free(d);
    return same;
}

static int lua_files(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 4 && strcmp(e->d_name + n - 4, ".lua") == 0;
}

static void prints_exactly(void **state)
{
    struct dirent **names;
    int n = scandir(".", &names, lua_files, alphasort), wrong = 0;

    (void)state;
    assert_true(n > 30);
    for (int i = 0; i < n; i++) {
        wrong += !check(names[i]->d_name);
        free(names[i]);
    }
    free(names);
    assert_int_equal(wrong, 0);
}

/* E100: what cannot be read has no line to show. */
static void what_cannot_be_read(void **state)
{
    static const char *const paths[] = {"nothing.lua", "lib/nothing/x.lua", "/dev/null"};
    struct policy_load_options o = {.paths = paths, .npaths = 3, .mode = MODE_ENFORCE};
    struct diags *d = diags_new();
    struct buf out;

    (void)state;
    assert_null(policies_load(&o, d));
    buf_init(&out, 1 << 16);
    diags_print(d, &out, false);
    assert_string_equal(buf_str(&out),
                        "/dev/null: E100 cannot be read: it is not a plain file\n"
                        "lib/nothing/x.lua: E100 cannot be read: No such file or directory\n"
                        "nothing.lua: E100 cannot be read: No such file or directory\n");
    buf_free(&out);
    diags_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prints_exactly),
                                       cmocka_unit_test(what_cannot_be_read)};

    help_dir();
    setenv("RB_GOLDEN_SHORT_KEY", "0123456789", 1);
    unsetenv("RB_GOLDEN_UNSET");
    if (chdir(RB_SOURCE_DIR "/tests/unit/lua/golden") != 0)
        return 1;
    chmod("open.key", 0644); /* whatever the umask was */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
