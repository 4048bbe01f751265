/* Collected errors: kept once, sorted, printed with the source line and a caret. */
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "lua/diag.h"

#define MAX_DIAGS 200
#define MAX_SHOWN 200 /* characters of a source line */

struct diags {
    struct diag *all;
    size_t n, cap, dropped;
    bool sorted;
};

struct diags *diags_new(void)
{
    return mem_alloc(sizeof(struct diags));
}

void diags_free(struct diags *d)
{
    if (!d) {
        return;
    }
    for (size_t i = 0; i < d->n; i++) {
        mem_free(d->all[i].file);
        mem_free(d->all[i].text);
        mem_free(d->all[i].source);
    }
    mem_free(d->all);
    mem_free(d);
}

/* The line as it is shown: no control character but the tab survives, so that no file can write on
 * the terminal. */
static char *source_line(const struct place *at)
{
    if (!at->text || at->line < 1) {
        return NULL;
    }
    const char *s = at->text, *end = at->text + at->text_len;
    for (int line = 1; line < at->line && s < end; s++) {
        if (*s == '\n' || (*s == '\r' && !(s + 1 < end && s[1] == '\n'))) {
            line++;
        }
    }
    const char *stop = s;
    while (stop < end && *stop != '\n' && *stop != '\r') {
        stop++;
    }
    if (stop == s) {
        return NULL;
    }
    char *line = mem_strndup(s, (size_t)(stop - s));
    for (char *c = line; *c; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f) {
            *c = '?';
        }
    }
    return line;
}

void diag_add(struct diags *d, const char *code, const struct place *at, const char *fmt, ...)
{
    struct buf text;
    buf_init(&text, 4096);
    va_list ap;
    va_start(ap, fmt);
    (void)buf_addv(&text, fmt, ap);
    va_end(ap);
    const char *file = at->file ? at->file : "";
    for (size_t i = 0; i < d->n; i++) {
        const struct diag *o = &d->all[i];
        if (strcmp(o->code, code) == 0 && o->line == at->line && o->column == at->column &&
            strcmp(o->file, file) == 0 && strcmp(o->text, buf_str(&text)) == 0) {
            buf_free(&text);
            return;
        }
    }
    if (d->n >= MAX_DIAGS) {
        d->dropped++;
        buf_free(&text);
        return;
    }
    if (d->n == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 16;
        d->all = mem_realloc(d->all, d->cap * sizeof *d->all);
    }
    struct diag *x = &d->all[d->n++];
    memset(x, 0, sizeof *x);
    for (size_t i = 0; i < sizeof x->code - 1 && code[i]; i++) {
        x->code[i] = code[i];
    }
    x->file = mem_strdup(file);
    x->line = at->line;
    x->column = at->column;
    x->width = at->width > 0 ? at->width : 1;
    x->text = buf_take(&text);
    for (char *c = x->text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    x->source = source_line(at);
    d->sorted = false;
}

static size_t count(const struct diags *d, char kind)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        n += d->all[i].code[0] == kind;
    }
    return n;
}
size_t diags_errors(const struct diags *d)
{
    return count(d, 'E');
}
size_t diags_warnings(const struct diags *d)
{
    return count(d, 'W');
}

bool diags_has(const struct diags *d, const char *code)
{
    for (size_t i = 0; i < d->n; i++) {
        if (strcmp(d->all[i].code, code) == 0) {
            return true;
        }
    }
    return false;
}

bool diags_has_at(const struct diags *d, const char *code, const char *file, int line)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->all[i].line == line && strcmp(d->all[i].code, code) == 0 &&
            strcmp(d->all[i].file, file) == 0) {
            return true;
        }
    }
    return false;
}

bool diags_at_line(const struct diags *d, const char *file, int line)
{
    for (size_t i = 0; i < d->n; i++) {
        if (d->all[i].code[0] == 'E' && d->all[i].line == line &&
            strcmp(d->all[i].file, file) == 0) {
            return true;
        }
    }
    return false;
}

static int order(const void *a, const void *b)
{
    const struct diag *x = a, *y = b;
    int c = strcmp(x->file, y->file);
    if (c == 0) {
        c = (x->line > y->line) - (x->line < y->line);
    }
    if (c == 0) {
        c = (x->column > y->column) - (x->column < y->column);
    }
    if (c == 0) {
        c = strcmp(x->code, y->code);
    }
    return c ? c : strcmp(x->text, y->text);
}

static void sort(struct diags *d)
{
    if (!d->sorted && d->n) {
        qsort(d->all, d->n, sizeof *d->all, order);
    }
    d->sorted = true;
}

size_t diags_len(const struct diags *d)
{
    return d->n;
}

const struct diag *diags_at(struct diags *d, size_t i)
{
    sort(d);
    return i < d->n ? &d->all[i] : NULL;
}

enum diag_class diags_class(const struct diags *d)
{
    const struct diag *first = NULL;
    for (size_t i = 0; i < d->n; i++) {
        if (d->all[i].code[0] == 'E' && (!first || order(&d->all[i], first) < 0)) {
            first = &d->all[i];
        }
    }
    if (!first) {
        return DIAG_NONE;
    }
    switch (strtol(first->code + 1, NULL, 10)) {
    case 100:
        return DIAG_FILE;
    case 101:
        return DIAG_SYNTAX;
    case 102:
    case 103:
    case 104:
        return DIAG_UNKNOWN;
    case 105:
    case 106:
    case 107:
    case 108:
    case 109:
        return DIAG_VALUE;
    case 121:
        return DIAG_SECRET;
    default:
        return DIAG_RULE;
    }
}

/* The line from a place that keeps the marked column in sight, and the caret under it: tabs stay
 * tabs, so that both lines align. */
static void print_source(const struct diag *x, struct buf *out, bool color)
{
    const char *from = x->source;
    int column = x->column > 0 ? x->column : 1, skipped = 0;
    bool cut = false;
    while (column - skipped > MAX_SHOWN / 2 + 20 && *from) { /* long lines: start nearer */
        do {
            from++;
        } while (((unsigned char)*from & 0xC0) == 0x80);
        skipped++;
        cut = true;
    }
    const char *to = from;
    int shown = 0;
    while (*to && shown < MAX_SHOWN / 2 + 60) {
        do {
            to++;
        } while (((unsigned char)*to & 0xC0) == 0x80);
        shown++;
    }
    (void)buf_addf(out, "    %s%.*s%s\n    %s", cut ? "..." : "", (int)(to - from), from,
                   *to ? "..." : "", cut ? "   " : "");
    if (x->column < 1) {
        while (*from == ' ' || *from == '\t') { /* no column known: mark the line's start */
            (void)buf_addc(out, *from++);
        }
    }
    for (int i = 1 + skipped; i < column && *from; i++) {
        (void)buf_addc(out, *from == '\t' ? '\t' : ' ');
        do {
            from++;
        } while (((unsigned char)*from & 0xC0) == 0x80);
    }
    (void)buf_adds(out, color ? "\033[1;31m" : "");
    int width =
        x->width < shown - (column - skipped) + 1 ? x->width : shown - (column - skipped) + 1;
    for (int i = 0; i < (width > 0 ? width : 1); i++) {
        (void)buf_addc(out, '^');
    }
    (void)buf_adds(out, color ? "\033[0m\n" : "\n");
}

void diags_print(struct diags *d, struct buf *out, bool color)
{
    sort(d);
    for (size_t i = 0; i < d->n; i++) {
        const struct diag *x = &d->all[i];
        const char *paint = !color ? "" : x->code[0] == 'E' ? "\033[1;31m" : "\033[1;33m";
        (void)buf_adds(out, x->file);
        if (x->line > 0) {
            (void)buf_addf(out, ":%d:%d", x->line, x->column > 0 ? x->column : 1);
        }
        (void)buf_addf(out, ": %s%s%s %s\n", paint, x->code, color ? "\033[0m" : "", x->text);
        if (x->source) {
            print_source(x, out, color);
        }
    }
    if (d->dropped) {
        (void)buf_addf(out, "and %zu more\n", d->dropped);
    }
}

struct json *diags_json(struct diags *d)
{
    struct json *list = json_new_list();
    sort(d);
    for (size_t i = 0; i < d->n; i++) {
        const struct diag *x = &d->all[i];
        struct json *o = json_add(list, json_new_map());
        json_set_str(o, "code", x->code);
        json_set_str(o, "severity", x->code[0] == 'E' ? "error" : "warning");
        json_set_str(o, "file", x->file);
        json_set_int(o, "line", x->line);
        json_set_int(o, "column", x->column);
        json_set_int(o, "width", x->width);
        json_set_str(o, "text", x->text);
        json_set_str(o, "source", x->source);
    }
    return list;
}
