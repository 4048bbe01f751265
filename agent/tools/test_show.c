/* Tests of policies as a person reads them: what was expected beside what came. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "tools/test.h"

/* A row of either side. */
struct line {
    int64_t at_ms;
    const char *text, *note;
};

struct sheet {
    struct line *lines;
    size_t n;
};

static struct sheet expected(const struct test_case *t)
{
    struct sheet s = {mem_calloc(t->ntimeline + 1, sizeof(struct line)), t->ntimeline};

    for (size_t k = 0; k < s.n; k++)
        s.lines[k] = (struct line){t->timeline[k].at_ms, t->timeline[k].text, NULL};
    return s;
}

static struct sheet got(const struct testbed_result *r)
{
    struct sheet s = {mem_calloc(r->nrows + 1, sizeof(struct line)), r->nrows};

    for (size_t k = 0; k < s.n; k++)
        s.lines[k] = (struct line){r->rows[k].at_ms, r->rows[k].text, r->rows[k].note};
    return s;
}

static bool equal(const struct line *a, const struct line *b)
{
    return a->at_ms / 1000 == b->at_ms / 1000 && strcmp(a->text, b->text) == 0;
}

static void show_line(struct text *t, enum tone tone, char mark, const struct line *l)
{
    char at[UNIT_TEXT];

    unit_format_duration(at, sizeof(at), l->at_ms / 1000 * 1000);
    text_addf(t, tone, "  %c %8s  ", mark, at);
    text_wrap(t, tone, l->text, 14, 16);
    if (l->note && mark == '+') {
        text_addf(t, TONE_DIM, "%16s", "");
        text_wrap(t, TONE_DIM, l->note, 16, 16);
    }
}

/* How many rows from here on both have in common, in order: the longest common subsequence. */
static size_t *common_table(const struct sheet *a, const struct sheet *b)
{
    size_t w = b->n + 1, *c = mem_calloc((a->n + 1) * w, sizeof(*c));

    for (size_t i = a->n; i-- > 0;)
        for (size_t k = b->n; k-- > 0;) {
            size_t down = c[(i + 1) * w + k], right = c[i * w + k + 1];
            c[i * w + k] = equal(&a->lines[i], &b->lines[k]) ? 1 + c[(i + 1) * w + k + 1]
                           : down > right                    ? down
                                                             : right;
        }
    return c;
}

static void show_diff(struct text *t, const struct sheet *a, const struct sheet *b)
{
    size_t w = b->n + 1, i = 0, k = 0, *c = common_table(a, b);

    while (i < a->n || k < b->n) {
        if (i < a->n && k < b->n && equal(&a->lines[i], &b->lines[k])) {
            show_line(t, TONE_PLAIN, ' ', &a->lines[i++]);
            k++;
        } else if (i < a->n && (k == b->n || c[(i + 1) * w + k] >= c[i * w + k + 1])) {
            show_line(t, TONE_BAD, '-', &a->lines[i++]);
        } else {
            show_line(t, TONE_GOOD, '+', &b->lines[k++]);
        }
    }
    mem_free(c);
}

static void show_sheets(struct text *t, const char *legend, struct sheet a, struct sheet b)
{
    text_addf(t, TONE_DIM, "%s\n", legend);
    show_diff(t, &a, &b);
    if (a.n + b.n == 0)
        text_add(t, TONE_DIM, "  no rows at all\n");
    mem_free(a.lines);
    mem_free(b.lines);
}

void test_show_failed(struct text *t, const struct test_verdict *v)
{
    text_add(t, TONE_BAD, "FAILED ");
    text_addf(t, TONE_PLAIN, "%s:%d: ", v->t->site.file, v->t->site.line);
    text_addf(t, TONE_HEAD, "%s\n", v->t->name);
    for (const struct json *f = json_first(v->failures); f; f = json_next(f)) {
        text_add(t, TONE_PLAIN, "  ");
        text_wrap(t, TONE_PLAIN, json_str(f, ""), 2, 4);
    }
    if (v->differs)
        show_sheets(t, "  - without a crash, + with one:", got(&v->first), got(&v->killed));
    else if (v->timeline_wrong)
        show_sheets(t, "  - expected, + got:", expected(v->t), got(&v->first));
    else if (v->first.nrows)
        show_sheets(t, "  what happened:", got(&v->first), got(&v->first));
    text_add(t, TONE_PLAIN, "\n");
}

/* "38, 41 to 43" */
static void ranges(struct buf *b, const struct json *lines)
{
    for (const struct json *l = json_first(lines); l; l = json_next(l)) {
        int64_t from = json_int(l, 0), to = from;
        while (json_next(l) && json_int(json_next(l), 0) == to + 1) {
            l = json_next(l);
            to++;
        }
        (void)buf_addf(b, "%s%lld", b->len ? ", " : "", (long long)from);
        if (to > from)
            (void)buf_addf(b, "%s%lld", to == from + 1 ? ", " : " to ", (long long)to);
    }
}

static void words(struct buf *b, const struct json *list)
{
    for (const struct json *i = json_first(list); i; i = json_next(i))
        (void)buf_addf(b, "%s%s", b->len ? ", " : "", json_str(i, ""));
}

static void show_list(struct text *t, const char *label, const struct json *list,
                      void (*print)(struct buf *b, const struct json *list), enum tone tone)
{
    struct buf b;

    if (json_len(list) == 0)
        return;
    buf_init(&b, 65536);
    print(&b, list);
    text_addf(t, TONE_DIM, "  %-17s ", label);
    text_wrap(t, tone, buf_str(&b), 20, 20);
    buf_free(&b);
}

static void show_lines(struct text *t, const struct json *row, enum tone tone)
{
    int64_t lines = json_get_int(row, "lines", -1),
            missed = (int64_t)json_len(json_get(row, "lines_missed"));

    if (lines < 0)
        text_add(t, tone, "a ladder");
    else
        text_addf(t, tone, "%lld of %lld lines of run", (long long)(lines - missed),
                  (long long)lines);
}

void test_show_coverage(struct text *t, const struct json *list, bool all)
{
    for (const struct json *row = json_first(list); row; row = json_next(row)) {
        int64_t tests = json_get_int(row, "tests", 0);
        bool whole = tests > 0 && json_len(json_get(row, "lines_missed")) == 0 &&
                     json_len(json_get(row, "outcomes_missed")) == 0;

        if (!tests && !all)
            continue;
        text_addf(t, TONE_PLAIN, "%s: %lld %s, ", json_get_str(row, "policy", "?"),
                  (long long)tests, tests == 1 ? "test" : "tests");
        show_lines(t, row, whole ? TONE_GOOD : TONE_WARN);
        text_add(t, TONE_PLAIN, "\n");
        if (!all)
            continue;
        text_addf(t, TONE_DIM, "  %s\n", json_get_str(row, "file", ""));
        show_list(t, "lines not run", json_get(row, "lines_missed"), ranges, TONE_WARN);
        show_list(t, "outcomes", json_get(row, "outcomes"), words, TONE_PLAIN);
        show_list(t, "outcomes not met", json_get(row, "outcomes_missed"), words, TONE_WARN);
    }
}

static struct json *rows_json(const struct testbed_result *r)
{
    struct json *list = json_new_list();

    for (size_t k = 0; k < r->nrows; k++) {
        struct json *row = json_add(list, json_new_map());
        json_set_int(row, "at_ms", r->rows[k].at_ms);
        json_set_str(row, "row", r->rows[k].text);
        json_set_str(row, "note", r->rows[k].note);
    }
    return list;
}

struct json *test_verdict_json(const struct test_verdict *v)
{
    struct json *d = json_new_map();

    json_set_str(d, "name", v->t->name);
    json_set_str(d, "policy", v->t->policy);
    json_set_str(d, "file", v->t->site.file);
    json_set_int(d, "line", v->t->site.line);
    json_set_bool(d, "passed", test_passed(v));
    json_set(d, "failures", json_copy(v->failures));
    json_set(d, "timeline", rows_json(&v->first));
    json_set_int(d, "restarts", (int64_t)v->restarts);
    json_set_int(d, "late_rows", (int64_t)v->late);
    if (v->differs)
        json_set(d, "after_crash", rows_json(&v->killed));
    return d;
}
