/* The condition as a tree, the guards in their order, the plan with its preconditions. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "tools/show.h"

static void pad(struct text *t, size_t n)
{
    buf_addf(&t->out, "%*s", (int)n, "");
}

static const char *seconds(char out[UNIT_TEXT], int64_t ms)
{
    return unit_format_duration(out, UNIT_TEXT, ms >= 1000 ? ms / 1000 * 1000 : ms);
}

static void leaf_text(struct buf *b, const struct json *n)
{
    char a[UNIT_TEXT], l[UNIT_TEXT];
    const char *reading = json_get_str(n, "reading_text", NULL);
    int64_t lasting = json_get_int(n, "lasting_ms", 0);

    buf_addf(b, "sig.%s %s %s", json_get_str(n, "signal", "?"), json_get_str(n, "comparator", "?"),
             json_get_str(n, "threshold_text", "?"));
    if (lasting)
        buf_addf(b, " for %s", seconds(l, lasting));
    if (reading)
        buf_addf(b, ": %s, %s old", reading, seconds(a, json_get_int(n, "age_ms", 0)));
    else
        buf_adds(b, ": no reading");
    if (lasting && json_get_int(n, "held_ms", 0) > 0)
        buf_addf(b, ", held %s", seconds(a, json_get_int(n, "held_ms", 0)));
    if (json_get_str(n, "missing", NULL))
        buf_addf(b, ", missing counts as %s", json_get_str(n, "missing", ""));
    if (json_get_str(n, "why", NULL))
        buf_addf(b, " (%s)", json_get_str(n, "why", ""));
    else if (json_get_str(n, "finding", NULL))
        buf_addf(b, " (%s)", json_get_str(n, "finding", ""));
    else if (json_get_str(n, "note", NULL))
        buf_addf(b, " (%s)", json_get_str(n, "note", ""));
}

static void tree(struct text *t, const char *label, const struct json *n, size_t indent, int depth)
{
    const char *value =
        json_get_bool(n, "pending", false) ? "pending" : json_get_str(n, "value", "?");
    const char *kind = json_get_str(n, "kind", "leaf"), *site = json_get_str(n, "site", "");
    struct buf b;
    size_t used = indent + 9;

    if (depth > 40)
        return;
    pad(t, indent);
    text_addf(t, text_tone(value), "%-8s ", value);
    buf_init(&b, 4096);
    if (label)
        buf_addf(&b, "%s = ", label);
    if (strcmp(kind, "leaf") == 0)
        leaf_text(&b, n);
    else if (strcmp(kind, "clock") == 0)
        buf_addf(&b, "clock in %s: %s", json_get_str(n, "window", "?"),
                 json_get_str(n, "reading_text", "?"));
    else
        buf_addf(&b, "%s of", kind);
    text_wrap(t, TONE_PLAIN, buf_str(&b), used, used);
    buf_free(&b);
    if (*site) {
        pad(t, used);
        text_addf(t, TONE_DIM, "%s\n", site);
    }
    for (const struct json *k = json_first(json_get(n, "kids")); k; k = json_next(k))
        tree(t, NULL, k, indent + 2, depth + 1);
}

void show_tree(struct text *t, const char *label, const struct json *node, size_t indent)
{
    tree(t, label, node, indent, 0);
}

void show_guards(struct text *t, const struct json *guards, size_t indent)
{
    for (const struct json *g = json_first(guards); g; g = json_next(g)) {
        const char *verdict = json_get_str(g, "verdict", "?"), *why = json_get_str(g, "why", "");
        pad(t, indent);
        text_addf(t, text_tone(verdict), "%-6s", verdict);
        if (*why && t->width < 64) { /* beside the name there is no room for it */
            text_addf(t, TONE_PLAIN, " %s\n%*s", json_get_str(g, "guard", "?"), (int)indent + 7,
                      "");
            text_wrap(t, TONE_DIM, why, indent + 7, indent + 7);
        } else if (*why) {
            text_addf(t, TONE_PLAIN, " %-18s ", json_get_str(g, "guard", "?"));
            text_wrap(t, TONE_DIM, why, indent + 26, indent + 26);
        } else {
            text_addf(t, TONE_PLAIN, " %s\n", json_get_str(g, "guard", "?"));
        }
    }
}

static void flags_text(struct buf *b, int64_t flags)
{
    static const char *const names[] = {"reversible", "disruptive", "destructive", "irreversible",
                                        "costs money"};
    bool any = false;

    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
        if (flags & (1 << k)) {
            buf_addf(b, "%s%s", any ? ", " : "", names[k]);
            any = true;
        }
}

static void line(struct text *t, size_t indent, const char *label, const char *value)
{
    if (!value || !*value)
        return;
    pad(t, indent);
    text_addf(t, TONE_DIM, "%-9s ", label);
    text_wrap(t, TONE_PLAIN, value, indent + 10, indent + 10);
}

/* A call's arguments on one line that can be wrapped: JSON with a blank after each comma and colon.
 */
static void args_text(struct buf *b, const struct json *call)
{
    char *args = json_print(json_get(call, "args"));
    bool quoted = false;

    buf_addf(b, "%s ", json_get_str(call, "call", "?"));
    for (const char *s = args; *s; s++) {
        (void)buf_addc(b, *s);
        if (*s == '\\' && s[1])
            (void)buf_addc(b, *++s);
        else if (*s == '"')
            quoted = !quoted;
        else if (!quoted && (*s == ',' || *s == ':'))
            (void)buf_addc(b, ' ');
    }
    mem_free(args);
}

void show_plan(struct text *t, const struct json *p, const char *hash, size_t indent)
{
    struct buf b;
    const char *label = "calls";

    buf_init(&b, 65536);
    line(t, indent, json_get_bool(p, "empty", false) ? "nothing" : "will",
         json_get_str(p, "summary", ""));
    line(t, indent, "expect", json_get_str(p, "expect", ""));
    flags_text(&b, json_get_int(p, "flags", 0));
    line(t, indent, "class", buf_str(&b));
    for (const struct json *c = json_first(json_get(p, "calls")); c; c = json_next(c)) {
        const struct json *first = json_get(c, "if");

        buf_reset(&b);
        args_text(&b, c);
        if (json_get(c, "sql"))
            buf_adds(&b, " (--json shows the statement)");
        line(t, indent, label, buf_str(&b));
        label = "";
        if (first) {
            buf_reset(&b);
            buf_adds(&b, "only if ");
            args_text(&b, first);
            buf_addf(&b, " says %s right before", json_get_str(first, "says", "?"));
            line(t, indent, label, buf_str(&b));
        }
    }
    label = "requires";
    for (const struct json *c = json_first(json_get(p, "preconditions")); c; c = json_next(c)) {
        buf_reset(&b);
        buf_addf(&b, "%s (%s%s)", json_get_str(c, "predicate", "?"),
                 json_get_bool(c, "holds", false) ? "now " : "NOT: now ",
                 json_get_str(c, "observed", "?"));
        line(t, indent, label, buf_str(&b));
        label = "";
    }
    label = "others";
    for (const struct json *c = json_first(json_get(p, "controllers")); c; c = json_next(c)) {
        line(t, indent, label, json_str(c, ""));
        label = "";
    }
    if (json_len(json_get(p, "names")) > 0) {
        buf_reset(&b);
        for (const struct json *n = json_first(json_get(p, "names")); n; n = json_next(n))
            buf_addf(&b, "%s%s", b.len ? ", " : "", json_str(n, ""));
        line(t, indent, "touches", buf_str(&b));
    }
    line(t, indent, "hash", hash);
    buf_free(&b);
}

static void heading(struct text *t, const char *s)
{
    text_addf(t, TONE_HEAD, "\n%s\n", s);
}

static void explain_open_run(struct text *t, const struct json *r)
{
    char *text = mem_printf("Run %s: %s, step %lld, %s %s", json_get_str(r, "id", "?"),
                            json_get_str(r, "state", "?"), (long long)json_get_int(r, "step", 0),
                            json_get_str(r, "asks", ""), json_get_str(r, "asks_name", ""));

    heading(t, text);
    mem_free(text);
    line(t, 2, "doubt", json_get_str(r, "doubt", NULL));
    line(t, 2, "suspended", json_get_str(r, "suspended", NULL));
    for (const struct json *d = json_first(json_get(r, "done")); d; d = json_next(d))
        line(t, 2, "done", json_str(d, ""));
    if (json_get(r, "plan"))
        show_plan(t, json_get(r, "plan"), json_get_str(r, "hash", NULL), 2);
    for (const struct json *c = json_first(json_get(r, "checks")); c; c = json_next(c))
        tree(t, json_key(c), c, 2, 0);
}

static void explain_found(struct text *t, const char *site, const struct json *listings)
{
    for (const struct json *l = json_first(listings); l; l = json_next(l))
        if (strcmp(json_get_str(l, "site", ""), site) == 0) {
            text_addf(t, TONE_PLAIN, "found by ");
            show_listing(t, l);
            return;
        }
    text_addf(t, TONE_PLAIN, "found by %s\n", site);
}

static void explain_one(struct text *t, const struct json *x, const struct json *listings)
{
    const char *state = json_get_str(x, "state", "?");

    text_addf(t, TONE_HEAD, "%s on %s", json_get_str(x, "policy", "?"),
              json_get_str(x, "target", "?"));
    text_add(t, TONE_PLAIN, ": ");
    text_add(t, text_tone(state), state);
    if (json_get_str(x, "episode", NULL))
        text_addf(t, TONE_PLAIN, " (%s)", json_get_str(x, "episode", ""));
    text_addf(t, TONE_DIM, "\n%s\n", json_get_str(x, "site", ""));
    text_addf(t, TONE_PLAIN, "mode %s: policy %s, target %s, agent %s\n",
              json_get_str(x, "mode", "?"), json_get_str(x, "mode_policy", "?"),
              json_get_str(x, "mode_target", "?"), json_get_str(x, "mode_agent", "?"));
    if (json_get_str(x, "parameters", NULL)) {
        text_add(t, TONE_PLAIN, "starts with ");
        text_wrap(t, TONE_PLAIN, json_get_str(x, "parameters", ""), 12, 2);
    }
    if (json_get_str(x, "found_by", NULL))
        explain_found(t, json_get_str(x, "found_by", ""), listings);
    if (json_get_bool(x, "breaker_open", false))
        text_addf(t, TONE_BAD,
                  "breaker open after %lld bad outcomes\n  runbookctl breaker close %s %s\n",
                  (long long)json_get_int(x, "bad_outcomes", 0), json_get_str(x, "policy", "?"),
                  json_get_str(x, "target", "?"));
    if (json_get(x, "when")) {
        heading(t, "When");
        tree(t, NULL, json_get(x, "when"), 2, 0);
    }
    if (json_get(x, "clear")) {
        heading(t, "Clear");
        tree(t, NULL, json_get(x, "clear"), 2, 0);
    }
    if (json_get(x, "window")) {
        heading(t, "Window");
        tree(t, NULL, json_get(x, "window"), 2, 0);
    }
    if (json_len(json_get(x, "checks")) > 0)
        heading(t, "Checks");
    for (const struct json *c = json_first(json_get(x, "checks")); c; c = json_next(c))
        tree(t, json_key(c), c, 2, 0);
    for (const struct json *g = json_first(json_get(x, "guards")); g; g = json_next(g)) {
        char *text = mem_printf("Guards of %s, in their order", json_key(g));
        heading(t, text);
        mem_free(text);
        if (json_get(json_get(x, "lacks"), json_key(g)))
            text_addf(t, TONE_BAD, "  %s\n", json_get_str(json_get(x, "lacks"), json_key(g), ""));
        show_guards(t, g, 2);
    }
    if (json_get(x, "run"))
        explain_open_run(t, json_get(x, "run"));
}

void show_explain(struct text *t, const struct json *a)
{
    bool first = true;

    for (const struct json *x = json_first(json_get(a, "explain")); x; x = json_next(x)) {
        if (!first)
            text_add(t, TONE_PLAIN, "\n");
        explain_one(t, x, json_get(a, "listings"));
        first = false;
    }
    if (json_len(json_get(a, "left_out")) > 0) {
        text_add(t, TONE_PLAIN, "\n");
        show_left_out(t, json_get(a, "left_out"));
    }
}

void show_plans(struct text *t, const struct json *a)
{
    text_addf(t, TONE_HEAD, "%s on %s, as of now; nothing was changed\n",
              json_get_str(a, "policy", "?"), json_get_str(a, "target", "?"));
    for (const struct json *p = json_first(json_get(a, "plans")); p; p = json_next(p)) {
        const char *error = json_get_str(p, "error", NULL);
        text_addf(t, TONE_HEAD, "\n%s (%s)\n", json_get_str(p, "action", "?"),
                  json_get_str(p, "type", "?"));
        if (error) {
            text_add(t, TONE_BAD, "  cannot be planned: ");
            text_wrap(t, TONE_PLAIN, error, 21, 4);
        } else {
            show_plan(t, json_get(p, "plan"), json_get_str(p, "hash", NULL), 2);
        }
        show_guards(t, json_get(p, "guards"), 2);
    }
}
