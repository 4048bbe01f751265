/* A reload's tests: those beside the configured policies, once each, within a time. */
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "tools/test.h"

#define MAX_TESTS 2000 /* of one reload; `runbookd test` knows no such bound */
#define MAX_LINES 80   /* of the one that is shown */
#define MAX_NAMES 50

/* A configured file of policies need not have tests; a folder's are those that are there. */
static struct test_set *load(const struct loaded *l, struct diags *d)
{
    struct test_set *tests = test_set_new();
    size_t n;
    char **names =
        tests_find((const char *const *)l->config->policies, l->config->npolicies, &n, d);

    for (size_t k = 0; k < n; k++) {
        if (access(names[k], F_OK) == 0)
            tests_load(tests, names[k], l->set, d);
        mem_free(names[k]);
    }
    mem_free(names);
    return tests;
}

/* The first lines of what `runbookd test` shows of it. */
static void show(struct buf *out, const struct test_verdict *v)
{
    struct text t;
    const char *s, *line;
    size_t lines = 0;

    text_init(&t, -1);
    test_show_failed(&t, v);
    for (s = line = buf_str(&t.out); lines < MAX_LINES && (s = strchr(line, '\n')); line = s + 1) {
        (void)buf_add(out, line, (size_t)(s - line) + 1);
        lines++;
    }
    if (*line)
        (void)buf_adds(out, "  ... (runbookd test shows all of it)\n\n");
    text_free(&t);
}

static void name(struct tested *out, const struct test_case *t)
{
    char *text = mem_printf("%s:%d: %s", t->site.file, t->site.line, t->name);

    json_add(out->failing, json_new_str(text));
    mem_free(text);
}

static void list(struct buf *text, const struct tested *out)
{
    size_t n = 0;

    for (const struct json *f = json_first(out->failing); f && n < MAX_NAMES;
         f = json_next(f), n++) {
        (void)buf_adds(text, n ? "       " : "FAILED ");
        text_safe(text, json_str(f, ""), 0);
        (void)buf_addc(text, '\n');
    }
    if (n < json_len(out->failing))
        (void)buf_addf(text, "       and %zu more\n", json_len(out->failing) - n);
}

void tests_beside(const struct loaded *l, bool (*enough)(void *arg), void *arg, struct tested *out,
                  struct diags *d)
{
    struct testbed_kill until = {.enough = enough, .arg = arg};
    size_t before = diags_errors(d);
    struct test_set *tests;
    struct buf text;

    log_mute(); /* what the agent says in a test world is not what it says here */
    out->failing = json_new_list();
    buf_init(&text, 256 * 1024);
    tests = load(l, d);
    for (size_t k = 0; k < tests->ncases && diags_errors(d) == before; k++) {
        struct test_verdict v;

        if (k >= MAX_TESTS || enough(arg)) {
            out->left += tests->ncases - k;
            break;
        }
        test_once(tests->cases[k], &until, &v);
        if (v.first.left) {
            out->left++;
        } else {
            out->ran++;
            if (!test_passed(&v)) {
                if (json_len(out->failing) == 0)
                    show(&text, &v);
                name(out, v.t);
            }
        }
        test_verdict_free(&v);
    }
    if (json_len(out->failing) > 1)
        list(&text, out);
    if (out->left)
        (void)buf_addf(&text, "%zu tests were not carried out, there was no time: runbookd test\n",
                       out->left);
    out->text = buf_take(&text);
    test_set_free(tests);
}
