/* What a sink does not take whole is cut field by field, the least missed first, and says so. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "report/sink.h"

/* In this order, each only while it is still too large. Lists keep their newest items: what was
 * done last is what is asked for first. Summary, next and stop come last and are never left out. */
static const struct cut {
    const char *field;
    size_t chars; /* 0: the field is left out */
    size_t items; /* of a list */
} cuts[] = {
    {"done", 2048, 50},  {"seen", 4096, 0},  {"done", 256, 10},  {"link", 0, 0},
    {"helped", 256, 0},  {"now", 512, 0},    {"seen", 512, 0},   {"done", 128, 3},
    {"done", 0, 0},      {"doc", 0, 0},      {"owner", 128, 0},  {"mode", 64, 0},
    {"at", 64, 0},       {"since", 64, 0},   {"run", 64, 0},     {"host", 128, 0},
    {"policy", 128, 0},  {"episode", 64, 0}, {"target", 256, 0}, {"severity", 16, 0},
    {"next", 1024, 0},   {"stop", 1024, 0},  {"key", 255, 0},    {"summary", 1024, 0},
    {"seen", 128, 0},    {"now", 128, 0},    {"next", 256, 0},   {"stop", 256, 0},
    {"summary", 512, 0},
};

char *text_cut(const char *s, size_t max, size_t *had)
{
    size_t len = strlen(s), at = 0, chars = 0, last = 0;
    uint32_t cp;

    while (at < len) {
        size_t n = utf8_next(s + at, len - at, &cp);
        if (chars + 1 == max)
            last = at;
        at += n ? n : 1;
        chars++;
    }
    if (had)
        *had = chars;
    return chars <= max ? mem_strdup(s) : mem_printf("%.*s\xe2\x80\xa6", (int)last, s);
}

static size_t size_of(const struct json *j)
{
    char *text = json_print(j);
    size_t n = strlen(text);

    mem_free(text);
    return n;
}

/* The newest items, each cut. */
static void cut_list(struct json *d, const struct cut *c, struct json *trimmed,
                     const struct json *whole)
{
    const struct json *list = json_get(d, c->field);
    size_t len = json_len(list), n = 0, skip = len > c->items ? len - c->items : 0, had;
    struct json *out = json_new_list();
    bool shorter = false;

    for (const struct json *i = json_first(list); i; i = json_next(i)) {
        char *text;
        if (n++ < skip)
            continue;
        text = text_cut(json_str(i, ""), c->chars, &had);
        shorter |= had > c->chars;
        json_add(out, json_new_str(text));
        mem_free(text);
    }
    if (skip > 0 || shorter)
        json_set_strf(trimmed, c->field, "the newest %zu of %zu, cut", len - skip,
                      json_len(json_get(whole, c->field)));
    json_set(d, c->field, out);
}

static void cut_field(struct json *d, const struct cut *c, struct json *trimmed,
                      const struct json *whole)
{
    const struct json *v = json_get(d, c->field);
    size_t had = 0;
    char *text;

    if (json_type(v) != JSON_STRING && json_type(v) != JSON_LIST)
        return;
    if (c->chars == 0) {
        json_remove(d, c->field);
        json_set_str(trimmed, c->field, "left out");
        return;
    }
    if (json_type(v) == JSON_LIST) {
        cut_list(d, c, trimmed, whole);
        return;
    }
    text = text_cut(json_str(v, ""), c->chars, &had);
    if (had > c->chars) {
        mem_free(text_cut(json_get_str(whole, c->field, ""), 1, &had));
        json_set_strf(trimmed, c->field, "%zu of %zu characters", c->chars, had);
        json_set_str(d, c->field, text);
    }
    mem_free(text);
}

struct json *report_fit(const struct json *report, size_t max)
{
    struct json *d = json_copy(report), *trimmed = json_new_map();

    for (size_t k = 0; k < sizeof(cuts) / sizeof(cuts[0]) && size_of(d) > max; k++)
        cut_field(d, &cuts[k], trimmed, report);
    if (json_len(trimmed) > 0)
        json_set(d, "trimmed", trimmed);
    else
        json_free(trimmed);
    return d;
}

struct json *report_build(const struct json *report, size_t max,
                          struct json *(*build)(const struct json *report))
{
    size_t budget = max;

    for (;;) {
        struct json *fit = report_fit(report, budget), *event = build(fit);
        size_t size = size_of(event);
        json_free(fit);
        if (size <= max ||
            budget < 64) /* below that nothing is left to cut: it is some 3 KiB at most */
            return event;
        json_free(event);
        budget = size - max < budget ? budget - (size - max) : 0;
    }
}
