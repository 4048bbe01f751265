/* One test of a policy: carried out, held against what it expects, and carried out again with a
 * crash after each step. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tools/show.h"
#include "tools/test.h"

#define MAX_FILES 32

static void fail(struct test_verdict *v, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void fail(struct test_verdict *v, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    json_add(v->failures, json_new_str(text));
    mem_free(text);
}

/* The policies of the test, with its parameters and its mode; NULL when those do not fit. */
static struct policy_set *set_of(const struct test_case *t, struct test_verdict *v)
{
    const char *names[MAX_FILES], *files[MAX_FILES];
    size_t n = 0;
    struct policy_load_options o = {.paths = files,
                                    .mode = MODE_ENFORCE,
                                    .values = t->params,
                                    .estate = t->estate,
                                    .only = names,
                                    .as_mode = &t->mode};
    struct diags *d = diags_new();
    struct policy_set *set;

    names[n++] = t->policy;
    for (size_t k = 0; k < t->nwith && n < MAX_FILES; k++)
        names[n++] = t->with[k];
    for (size_t k = 0; k < n; k++)
        files[k] = policy_find(t->policies, names[k])->site.file;
    o.npaths = o.nonly = n;
    set = policies_load(&o, d);
    for (size_t k = 0; !set && k < diags_len(d); k++) {
        const struct diag *x = diags_at(d, k);
        if (x->code[0] == 'E')
            fail(v, "with its params the policies do not load: %s:%d: %s %s", x->file, x->line,
                 x->code, x->text);
    }
    diags_free(d);
    return set;
}

static bool is_row(const struct test_row *want, const struct testbed_row *got)
{
    return want->at_ms / 1000 == got->at_ms / 1000 && strcmp(want->text, got->text) == 0;
}

static void judge_timeline(struct test_verdict *v)
{
    const struct test_case *t = v->t;
    size_t k = 0;

    if (!t->has_timeline)
        return;
    while (k < t->ntimeline && k < v->first.nrows && is_row(&t->timeline[k], &v->first.rows[k]))
        k++;
    if (k == t->ntimeline && k == v->first.nrows)
        return;
    v->timeline_wrong = true;
    if (k < t->ntimeline)
        fail(v, "%s:%d: the timeline is another one from here on", t->site.file,
             t->timeline[k].line);
    else
        fail(v, "%s:%d: the timeline goes on", t->site.file,
             k ? t->timeline[k - 1].line : t->site.line);
}

static void judge_never(struct test_verdict *v)
{
    char at[UNIT_TEXT];

    for (const struct json *j = json_first(v->t->never); j; j = json_next(j)) {
        const char *begins = json_str(j, "");
        for (size_t k = 0; k < v->first.nrows; k++) {
            const struct testbed_row *r = &v->first.rows[k];
            if (strncmp(r->text, begins, strlen(begins)) == 0)
                fail(v, "never \"%s\": at %s there is \"%s\"", begins,
                     unit_format_duration(at, sizeof(at), r->at_ms), r->text);
        }
    }
}

/* What explain says is searched as it is printed, without the breaks of lines. */
static bool says(const struct json *answer, const char *what)
{
    struct text t;
    struct buf flat;
    bool found, space = false;

    text_init(&t, -1);
    t.color = false;
    show_explain(&t, answer);
    buf_init(&flat, 1u << 20);
    for (const char *s = buf_str(&t.out); *s; s++) {
        bool blank = *s == ' ' || *s == '\n';
        if (!blank || !space)
            (void)buf_addc(&flat, blank ? ' ' : *s);
        space = blank;
    }
    found = strstr(buf_str(&flat), what) != NULL;
    buf_free(&flat);
    text_free(&t);
    return found;
}

static void judge_explains(struct test_verdict *v)
{
    char at[UNIT_TEXT];

    for (size_t k = 0; k < v->t->nexplains; k++) {
        const struct test_explain *x = &v->t->explains[k];
        const struct json *answer = json_at(v->first.explains, k);
        if (answer && !says(answer, x->has))
            fail(v, "%s:%d: at %s explain does not say \"%s\"", x->site.file, x->site.line,
                 unit_format_duration(at, sizeof(at), x->at_ms), x->has);
    }
}

/* A series that nothing reads is a mistake of the test: what it was to show, it does not. */
static void judge_series(struct test_verdict *v)
{
    for (size_t k = 0; k < v->t->nseries; k++) {
        const struct test_series *s = &v->t->series[k];
        if (!v->first.read[k])
            fail(v, "%s:%d: nothing reads the series %s of %s", s->site.file, s->site.line, s->key,
                 s->target);
    }
}

static void judge(struct test_verdict *v)
{
    if (v->first.broken)
        fail(v, "%s", v->first.broken);
    judge_series(v);
    judge_timeline(v);
    judge_never(v);
    judge_explains(v);
}

/* Whatever the agent was doing: it dies, comes back, and goes on as if nothing had happened. */
static void restart(struct test_verdict *v, struct policy_set *set)
{
    for (size_t k = 0; k < v->first.ncommits && !v->differs; k++) {
        struct testbed_kill kill = {.after_commit = v->first.commits[k]};
        struct testbed_result later;
        size_t late;

        v->restarts += testbed_run(v->t, set, &kill, &later);
        v->differs = later.broken || !testbed_same(&v->first, &later, &late);
        if (v->differs) {
            fail(v, "killed after commit %llu it goes on differently%s%s",
                 (unsigned long long)kill.after_commit, later.broken ? ": " : "",
                 later.broken ? later.broken : "");
            v->killed = later;
            return;
        }
        v->late += late;
        testbed_free(&later);
    }
}

static struct policy_set *first(const struct test_case *t, const struct testbed_kill *until,
                                struct test_verdict *v)
{
    struct policy_set *set;

    memset(v, 0, sizeof(*v));
    v->t = t;
    v->failures = json_new_list();
    set = set_of(t, v);
    if (!set)
        return NULL;
    testbed_run(t, set, until, &v->first);
    judge(v);
    return set;
}

void test_once(const struct test_case *t, const struct testbed_kill *until, struct test_verdict *v)
{
    struct policy_set *set = first(t, until, v);

    if (set)
        policy_set_unref(set);
}

void test_one(const struct test_case *t, struct test_verdict *v)
{
    struct testbed_kill never = {0};
    struct policy_set *set = first(t, &never, v);

    if (!set)
        return;
    if (test_passed(v))
        restart(v, set);
    policy_set_unref(set);
}

void test_verdict_free(struct test_verdict *v)
{
    json_free(v->failures);
    testbed_free(&v->first);
    testbed_free(&v->killed);
}

bool test_passed(const struct test_verdict *v)
{
    return json_len(v->failures) == 0;
}

/* Coverage */

static bool listed(const struct json *list, const char *word)
{
    for (const struct json *i = json_first(list); i; i = json_next(i))
        if (strcmp(json_str(i, ""), word) == 0)
            return true;
    return false;
}

static void add_word(struct json *list, const char *word)
{
    if (!listed(list, word))
        json_add(list, json_new_str(word));
}

/* Outcomes that a way through run can end with. */
static struct json *possible(const struct policy_set *all, const char *policy)
{
    struct diags *d = diags_new();
    struct json *walks = policies_walk(all, NULL, d), *out = json_new_list();

    for (const struct json *w = json_first(walks); w; w = json_next(w)) {
        if (strcmp(json_get_str(w, "policy", ""), policy) != 0)
            continue;
        for (const struct json *p = json_first(json_get(w, "paths")); p; p = json_next(p))
            add_word(out, json_get_str(p, "outcome", ""));
    }
    json_free(walks);
    diags_free(d);
    return out;
}

void test_coverage(struct json *list, struct coverage *c, const struct policy_set *all,
                   const struct test_verdict *v, size_t n)
{
    for (size_t k = 0; k < all->npolicies; k++) {
        const struct policy *p = all->policies[k];
        struct json *row = json_add(list, json_new_map()), *lines = coverage_of(c, p);
        struct json *seen = json_new_list(), *unseen = json_new_list(),
                    *can = possible(all, p->name);
        int64_t tests = 0;

        for (size_t i = 0; i < n; i++) {
            if (v[i].t->policies != all || strcmp(v[i].t->policy, p->name) != 0)
                continue;
            tests++;
            for (size_t r = 0; r < v[i].first.nrows; r++)
                if (strncmp(v[i].first.rows[r].text, "end ", 4) == 0)
                    add_word(seen, v[i].first.rows[r].text + 4);
        }
        for (const struct json *o = json_first(can); o; o = json_next(o))
            if (!listed(seen, json_str(o, "")))
                json_add(unseen, json_copy(o));
        json_set_str(row, "policy", p->name);
        json_set_str(row, "file", p->site.file);
        json_set_int(row, "tests", tests);
        json_set(row, "outcomes", seen);
        json_set(row, "outcomes_missed", unseen);
        if (lines) {
            json_set_int(row, "lines", json_get_int(lines, "lines", 0));
            json_set(row, "lines_missed", json_copy(json_get(lines, "missed")));
        }
        json_free(lines);
        json_free(can);
    }
}
