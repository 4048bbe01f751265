/* JSON as text: compact, indented, canonical; and the comparison of values. Reads trees through
 * json.h only. */
#include "base/json.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define EXACT_WHOLE 9007199254740992.0 /* 2^53 */

struct printer {
    struct buf out; /* the tree is its ceiling: it exists, and was itself read or built below one */
    bool pretty, sorted;
    int indent;
};

static void print_string(struct buf *out, const char *s)
{
    buf_addc(out, '"');
    while (*s != '\0') {
        size_t plain = 0;

        while ((unsigned char)s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\')
            plain++;
        buf_add(out, s, plain);
        s += plain;
        if (*s == '\0')
            break;
        if (*s == '"' || *s == '\\')
            buf_addf(out, "\\%c", *s);
        else if (*s == '\n' || *s == '\t' || *s == '\r')
            buf_addf(out, "\\%c", *s == '\n' ? 'n' : *s == '\t' ? 't' : 'r');
        else
            buf_addf(out, "\\u%04x", (unsigned)(unsigned char)*s);
        s++;
    }
    buf_addc(out, '"');
}

/* Whole numbers plainly up to 2^53; others in the fewest digits of 15, 16 or 17 that read back as
 * the same double. */
static void print_number(struct buf *out, double v)
{
    char text[40];

    if (fabs(v) <= EXACT_WHOLE && v == floor(v)) {
        buf_addf(out, "%lld", (long long)v);
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_adds(out, text);
}

static int by_key(const void *a, const void *b)
{
    const struct json *const *x = a, *const *y = b;

    return strcmp(json_key(*x), json_key(*y)); /* compares bytes as unsigned */
}

/* The members of a map, sorted; the caller frees the array. */
static const struct json **sorted_members(const struct json *map, size_t *n)
{
    const struct json **members = mem_calloc(json_len(map), sizeof(struct json *));

    *n = 0;
    for (const struct json *m = json_first(map); m != NULL; m = json_next(m))
        members[(*n)++] = m;
    qsort(members, *n, sizeof(struct json *), by_key);
    return members;
}

static void new_line(struct printer *p)
{
    if (p->pretty)
        buf_addf(&p->out, "\n%*s", p->indent * 2, "");
}

static void print_value(struct printer *p, const struct json *j);

static void print_member(struct printer *p, const struct json *m, bool first, bool in_map)
{
    if (!first)
        buf_addc(&p->out, ',');
    new_line(p);
    if (in_map) {
        print_string(&p->out, json_key(m));
        buf_adds(&p->out, p->pretty ? ": " : ":");
    }
    print_value(p, m);
}

static void print_members(struct printer *p, const struct json *j, bool in_map)
{
    bool first = true;

    buf_addc(&p->out, in_map ? '{' : '[');
    p->indent++;
    if (in_map && p->sorted) {
        size_t n;
        const struct json **members = sorted_members(j, &n);
        for (size_t i = 0; i < n; i++)
            print_member(p, members[i], i == 0, true);
        mem_free(members);
    } else {
        for (const struct json *m = json_first(j); m != NULL; m = json_next(m), first = false)
            print_member(p, m, first, in_map);
    }
    p->indent--;
    if (json_first(j) != NULL)
        new_line(p);
    buf_addc(&p->out, in_map ? '}' : ']');
}

static void print_value(struct printer *p, const struct json *j)
{
    switch (json_type(j)) {
    case JSON_NULL:
        buf_adds(&p->out, "null");
        break;
    case JSON_BOOL:
        buf_adds(&p->out, json_bool(j, false) ? "true" : "false");
        break;
    case JSON_NUMBER:
        print_number(&p->out, json_num(j, 0));
        break;
    case JSON_STRING:
        print_string(&p->out, json_str(j, ""));
        break;
    case JSON_LIST:
        print_members(p, j, false);
        break;
    case JSON_MAP:
        print_members(p, j, true);
        break;
    }
}

static char *print(const struct json *j, bool pretty, bool sorted)
{
    struct printer p = {.pretty = pretty, .sorted = sorted};

    buf_init(&p.out, SIZE_MAX);
    print_value(&p, j);
    return buf_take(&p.out);
}

char *json_print(const struct json *j)
{
    return print(j, false, false);
}

char *json_print_pretty(const struct json *j)
{
    return print(j, true, false);
}

char *json_print_canonical(const struct json *j)
{
    return print(j, false, true);
}

static bool equal_lists(const struct json *a, const struct json *b)
{
    a = json_first(a);
    b = json_first(b);
    while (a != NULL && b != NULL && json_equal(a, b)) {
        a = json_next(a);
        b = json_next(b);
    }
    return a == NULL && b == NULL;
}

static bool equal_maps(const struct json *a, const struct json *b)
{
    size_t na, nb, i = 0;

    if (json_len(a) != json_len(b))
        return false;
    const struct json **x = sorted_members(a, &na), **y = sorted_members(b, &nb);
    while (i < na && strcmp(json_key(x[i]), json_key(y[i])) == 0 && json_equal(x[i], y[i]))
        i++;
    mem_free(x);
    mem_free(y);
    return i == na;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (json_type(a) != json_type(b))
        return false;
    switch (json_type(a)) {
    case JSON_BOOL:
        return json_bool(a, false) == json_bool(b, false);
    case JSON_NUMBER:
        return json_num(a, 0) == json_num(b, 0);
    case JSON_STRING:
        return strcmp(json_str(a, ""), json_str(b, "")) == 0;
    case JSON_LIST:
        return equal_lists(a, b);
    case JSON_MAP:
        return equal_maps(a, b);
    case JSON_NULL:
    default:
        return true;
    }
}
