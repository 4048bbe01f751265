/* runbookd test: the policies in virtual time, against the tests beside them. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/load.h"
#include "tools/test.h"
#include "tools/tools.h"

const char usage_test[] =
    "usage: runbookd test [--config FILE] [--filter TEXT] [--coverage] [--json] [FILE|FOLDER ...]\n"
    "Carries out the tests (*_test.lua) of the configured policies, or of the files and folders "
    "given, in virtual time. Each that passes is carried out again with a crash after each step, "
    "and must go on the same. --filter: only tests with this text in \"FILE: NAME\". --coverage: "
    "which lines of the policies' run functions and which outcomes no test has shown.\n";

/* The policies of one folder, for the tests in it. */
struct group {
    char *folder;
    struct policy_set *set;
    struct group *next;
};

struct session {
    struct tool_args *args;
    struct diags *d;
    struct group *groups;
    struct test_set *tests;
    struct test_verdict *verdicts;
    size_t n, failed, differing, restarts, late;
    struct json *coverage;
};

/* The policies stand where the tests do; those of a folder procedures/ belong to the one above. */
static char *folder_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *folder = slash ? mem_strndup(file, (size_t)(slash - file)) : mem_strdup(".");
    char *last = strrchr(folder, '/');

    if (last && strcmp(last + 1, "procedures") == 0)
        *last = '\0';
    return folder;
}

static const struct policy_set *policies_beside(struct session *s, const char *file)
{
    char *folder = folder_of(file);
    struct policy_load_options o = {
        .paths = (const char *const *)&folder, .npaths = 1, .mode = MODE_ENFORCE};
    struct group *g = s->groups;

    while (g && strcmp(g->folder, folder) != 0)
        g = g->next;
    if (g) {
        mem_free(folder);
        return g->set;
    }
    g = mem_alloc(sizeof(*g));
    g->folder = folder;
    g->next = s->groups;
    g->set = policies_load(&o, s->d);
    s->groups = g;
    return g->set;
}

static bool wanted(const struct session *s, const struct test_case *t)
{
    char *name = mem_printf("%s: %s", t->site.file, t->name);
    bool found = !s->args->filter || strstr(name, s->args->filter);

    mem_free(name);
    return found;
}

/* The files of tests, from the arguments or the configuration. */
static char **files(struct session *s, size_t *n)
{
    const struct tool_args *a = s->args;
    struct config *c;
    char **found = NULL;

    *n = 0;
    if (a->nrest > 0)
        return tests_find((const char *const *)a->rest, (size_t)a->nrest, n, s->d);
    c = config_load(a->config, s->d);
    if (c && diags_errors(s->d) == 0)
        found = tests_find((const char *const *)c->policies, c->npolicies, n, s->d);
    config_free(c);
    return found;
}

static void load(struct session *s)
{
    size_t n;
    char **names = files(s, &n);

    s->tests = test_set_new();
    for (size_t k = 0; k < n; k++) {
        const struct policy_set *set = policies_beside(s, names[k]);
        if (set)
            tests_load(s->tests, names[k], set, s->d);
        mem_free(names[k]);
    }
    mem_free(names);
}

static void run(struct session *s)
{
    struct coverage *c = coverage_new();

    coverage_use(c);
    s->verdicts = mem_calloc(s->tests->ncases + 1, sizeof(*s->verdicts));
    for (size_t k = 0; k < s->tests->ncases; k++) {
        struct test_verdict *v = &s->verdicts[s->n];
        if (!wanted(s, s->tests->cases[k]))
            continue;
        s->n++;
        test_one(s->tests->cases[k], v);
        s->failed += !test_passed(v) && !v->differs;
        s->differing += v->differs;
        s->restarts += v->restarts;
        s->late += v->late;
    }
    for (const struct group *g = s->groups; g; g = g->next)
        test_coverage(s->coverage, c, g->set, s->verdicts, s->n);
    coverage_free(c);
}

static int code_of(struct session *s)
{
    if (diags_errors(s->d))
        return (int)load_exit(s->d, s->args->config);
    return s->failed ? EXIT_TEST : s->differing ? EXIT_TEST_RESTART : s->n ? EXIT_OK : EXIT_NO_TEST;
}

static void print_json(struct session *s, int code)
{
    struct json *out = json_new_map(), *tests;
    char *text;

    json_set_bool(out, "ok", code == EXIT_OK);
    json_set_int(out, "exit", code);
    json_set(out, "diagnostics", diags_json(s->d));
    tests = json_set(out, "tests", json_new_list());
    for (size_t k = 0; k < s->n; k++)
        json_add(tests, test_verdict_json(&s->verdicts[k]));
    json_set(out, "coverage", json_copy(s->coverage));
    text = json_print_pretty(out);
    printf("%s\n", text);
    mem_free(text);
    json_free(out);
}

static void print_text(struct session *s, int code)
{
    struct text t;

    text_init(&t, STDOUT_FILENO);
    diags_print(s->d, &t.out, t.color);
    for (size_t k = 0; k < s->n; k++)
        if (!test_passed(&s->verdicts[k]))
            test_show_failed(&t, &s->verdicts[k]);
    if (diags_errors(s->d)) {
        text_addf(&t, TONE_BAD, "%zu errors: nothing was tested\n", diags_errors(s->d));
    } else {
        test_show_coverage(&t, s->coverage, s->args->coverage);
        text_addf(&t, code == EXIT_OK ? TONE_GOOD : TONE_BAD,
                  "%zu tests: %zu passed, %zu failed; again with %zu crashes%s\n", s->n,
                  s->n - s->failed - s->differing, s->failed + s->differing, s->restarts,
                  s->n ? "" : ": there is no test");
    }
    text_flush(&t, STDOUT_FILENO);
    text_free(&t);
}

static void session_free(struct session *s)
{
    for (size_t k = 0; k < s->n; k++)
        test_verdict_free(&s->verdicts[k]);
    mem_free(s->verdicts);
    test_set_free(s->tests);
    while (s->groups) {
        struct group *g = s->groups;
        s->groups = g->next;
        if (g->set)
            policy_set_unref(g->set);
        mem_free(g->folder);
        mem_free(g);
    }
    json_free(s->coverage);
}

size_t test_check(const char *const *names, size_t n, struct diags *d)
{
    struct session s = {.d = d, .tests = test_set_new()};
    size_t cases;

    for (size_t k = 0; k < n; k++) {
        const struct policy_set *set = policies_beside(&s, names[k]);
        if (set)
            tests_load(s.tests, names[k], set, d);
    }
    cases = s.tests->ncases;
    session_free(&s);
    return cases;
}

int tool_test(int argc, char **argv)
{
    struct tool_args a;
    struct session s = {.args = &a};
    int code = tool_args(argc, argv, usage_test, &a);

    if (code || a.help)
        return code;
    log_mute();
    s.d = diags_new();
    s.coverage = json_new_list();
    load(&s);
    if (!diags_errors(s.d))
        run(&s);
    code = code_of(&s);
    if (a.json)
        print_json(&s, code);
    else
        print_text(&s, code);
    session_free(&s);
    diags_free(s.d);
    return code;
}
