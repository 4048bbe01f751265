/* The short texts of tests: series, rows, what an operator does. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lua/test_text.h"

#define SPACE " \t\r\n"

/* ---- the series' key ---- */

/* A value that stands in a key, as its option's type writes it. */
static struct json *written(const struct option *o, const char *text)
{
    char *end;
    double v = strtod(text, &end);
    bool number = *text && *end == '\0' && isfinite(v);
    if (o->type == OPT_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        return json_new_bool(strcmp(text, "true") == 0);
    }
    if (number &&
        (o->type == OPT_COUNT || o->type == OPT_NUMBER || o->type == OPT_PERCENT_OR_COUNT)) {
        return json_new_num(v);
    }
    return json_new_str(text);
}

static char *trimmed(struct arena *a, const char *from, size_t len)
{
    while (len && strchr(SPACE, from[0])) {
        from++;
        len--;
    }
    while (len && strchr(SPACE, from[len - 1])) {
        len--;
    }
    return arena_strndup(a, from, len);
}

static int read_pair(const struct signal *s, char *pair, struct json *opts, struct err *e)
{
    char *equals = strchr(pair, '=');
    if (!equals) {
        return err_set(e, ERR_INPUT, "\"%s\" in {...} needs a value, write option=value", pair);
    }
    *equals = '\0';
    const struct option *o = option_find(s->options, s->noptions, pair);
    if (!o) {
        const char *names[NAMES_MAX];
        char hint[160];
        for (size_t i = 0; i < s->noptions && i < NAMES_MAX; i++) {
            names[i] = s->options[i].name;
        }
        did_you_mean(hint, sizeof hint, pair, names, s->noptions);
        return err_set(e, ERR_NOT_FOUND, "sig.%s has no option \"%s\"%s", s->name, pair, hint);
    }
    struct json *as_written = written(o, equals + 1);
    struct err bad = ERR_INIT;
    struct json *held = option_check(o, as_written, &bad);
    json_free(as_written);
    if (!held) {
        return err_set(e, ERR_INPUT, "%s %s", o->name, bad.text);
    }
    json_set(opts, o->name, held);
    return 0;
}

int test_key_parse(const char *text, struct arena *a, struct keep *k, struct test_series *out,
                   struct json **opts, const char **target, struct err *e)
{
    size_t len = strcspn(text, "{@");
    const char *at = text + len, *name = trimmed(a, text, len);
    *opts = NULL;
    *target = NULL;
    out->key = arena_strdup(a, text);
    out->signal = signal_find(name, NULL);
    if (!out->signal) {
        const char *names[NAMES_MAX];
        char hint[160];
        did_you_mean(hint, sizeof hint, name, names, names_signals(names));
        return err_set(e, ERR_NOT_FOUND, "there is no signal \"%s\"%s", name, hint);
    }
    if (*at == '{') {
        const char *close = strchr(at, '}');
        if (!close) {
            return err_set(e, ERR_INPUT, "\"%s\" has no closing }", text);
        }
        *opts = keep_json(k, json_new_map());
        char *save = NULL, *pairs = arena_strndup(a, at + 1, (size_t)(close - at - 1));
        for (char *p = strtok_r(pairs, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
            int rc = read_pair(out->signal, trimmed(a, p, strlen(p)), *opts, e);
            if (rc) {
                return rc;
            }
        }
        at = close + 1;
    }
    if (*at == '@') {
        *target = trimmed(a, at + 1, strlen(at + 1));
        at += strlen(at);
    }
    return *at ? err_set(e, ERR_INPUT,
                         "write SIGNAL, SIGNAL{option=value} or SIGNAL@TARGET, not "
                         "\"%s\"",
                         text)
               : 0;
}

/* ---- readings ---- */

static int read_word(const struct signal *s, const char *text, double *value, struct err *e)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (; s->words && s->words[n] && n < NAMES_MAX; n++) {
        names[n] = s->words[n];
        if (strcmp(names[n], text) == 0) {
            *value = (double)n;
            return 0;
        }
    }
    char hint[160];
    did_you_mean(hint, sizeof hint, text, names, n);
    return err_set(e, ERR_INPUT, "\"%s\" is no word of sig.%s%s", text, s->name, hint);
}

/* A reading in any unit, for signals whose policy says the unit. */
static bool read_any(const char *text, double *value)
{
    int64_t ms;
    if (unit_parse_percent(text, value) == 0 || unit_parse_size(text, value) == 0) {
        return true;
    }
    if (unit_parse_duration(text, &ms) == 0) {
        *value = (double)ms;
        return true;
    }
    return false;
}

static int read_value(const struct signal *s, const char *text, double *value, struct err *e)
{
    char *end;
    double plain = strtod(text, &end);
    bool number = *text && *end == '\0' && isfinite(plain);
    if (s->unit == UNIT_ENUM) {
        return read_word(s, text, value, e);
    }
    if (option_find(s->options, s->noptions, "unit") && read_any(text, value)) {
        return 0;
    }
    struct option o = {.type = schema_threshold(s->unit)};
    if (o.type == OPT_NUMBER || (o.type == OPT_COUNT && number)) {
        /* A reading may be a fraction of what is counted: an average. */
        *value = plain;
        return number ? 0 : err_set(e, ERR_INPUT, "\"%s\" is not a number", text);
    }
    struct json *as_written = json_new_str(text);
    struct err bad = ERR_INIT;
    struct json *held = option_check(&o, as_written, &bad);
    json_free(as_written);
    if (!held) {
        return err_set(e, ERR_INPUT, "\"%s\": sig.%s is a %s and %s", text, s->name,
                       unit_name(s->unit), bad.text);
    }
    *value = json_num(held, 0);
    json_free(held);
    return 0;
}

static int read_point(const struct signal *s, char *word, bool first, struct test_point *p,
                      struct err *e)
{
    char *colon = strchr(word, ':');
    const char *value = word;
    p->at_ms = 0;
    if (colon) {
        *colon = '\0';
        value = colon + 1;
        if (unit_parse_duration(word, &p->at_ms) != 0) {
            return err_set(e, ERR_INPUT,
                           "\"%s\" is not a time, write TIME:VALUE, e.g. \"0m:45%% 10m:85%%\"",
                           word);
        }
    } else if (!first) {
        return err_set(e, ERR_INPUT,
                       "\"%s\" has no time, write TIME:VALUE, e.g. \"0m:45%% 10m:85%%\"", word);
    }
    p->missing = strcmp(value, "_") == 0;
    return p->missing ? 0 : read_value(s, value, &p->value, e);
}

int test_series_parse(const char *text, struct arena *a, struct test_series *s, struct err *e)
{
    char *copy = arena_strdup(a, text), *save = NULL;
    size_t cap = 1;
    for (const char *c = text; *c; c++) {
        cap += strchr(SPACE, *c) != NULL;
    }
    if (cap > TEST_MAX_POINTS) {
        return err_set(e, ERR_LIMIT, "a series has at most %d readings", TEST_MAX_POINTS);
    }
    s->points = arena_alloc(a, cap * sizeof *s->points);
    for (char *w = strtok_r(copy, SPACE, &save); w; w = strtok_r(NULL, SPACE, &save)) {
        struct test_point *p = &s->points[s->npoints];
        bool alone = s->npoints == 0 && !strchr(w, ':');
        int rc = read_point(s->signal, w, s->npoints == 0, p, e);
        if (rc) {
            return rc;
        }
        if (s->npoints && p->at_ms <= p[-1].at_ms) {
            char at[UNIT_TEXT], before[UNIT_TEXT];
            return err_set(e, ERR_INPUT, "times must grow: %s comes after %s",
                           unit_format_duration(at, sizeof at, p->at_ms),
                           unit_format_duration(before, sizeof before, p[-1].at_ms));
        }
        s->npoints++;
        if (alone && strtok_r(NULL, SPACE, &save)) {
            return err_set(e, ERR_INPUT,
                           "several readings need times, write TIME:VALUE, e.g. \"0m:45%% "
                           "10m:85%%\"");
        }
    }
    return s->npoints ? 0 : err_set(e, ERR_INPUT, "is empty, write e.g. \"0m:45%% 10m:85%%\"");
}

/* ---- rows ---- */

const char *const test_verbs[] = {"fire", "deny",  "act",     "verify", "wait", "undo",
                                  "page", "clear", "resolve", "end",    NULL};

bool test_row_known(const char *text, char *hint, size_t size)
{
    char verb[32];
    size_t n = 0;
    snprintf(verb, sizeof verb, "%.*s", (int)strcspn(text, SPACE), text);
    for (; test_verbs[n]; n++) {
        if (strcmp(test_verbs[n], verb) == 0) {
            return true;
        }
    }
    did_you_mean(hint, size, verb, test_verbs, n);
    return false;
}

int test_row_parse(const char *line, size_t len, struct arena *a, struct test_row *out,
                   struct err *e)
{
    char *copy = arena_strndup(a, line, len), *save = NULL, hint[160];
    char *time = strtok_r(copy, SPACE, &save);
    if (unit_parse_duration(time ? time : "", &out->at_ms) != 0) {
        return err_set(e, ERR_INPUT,
                       "a row of the timeline begins with its time, write e.g. \"15m fire\", not "
                       "\"%s\"",
                       time ? time : "");
    }
    char *text = arena_alloc(a, len + 2);
    size_t n = 0;
    for (const char *w = strtok_r(NULL, SPACE, &save); w; w = strtok_r(NULL, SPACE, &save)) {
        n += (size_t)snprintf(text + n, len + 2 - n, "%s%s", n ? " " : "", w);
    }
    out->text = text;
    if (!test_row_known(text, hint, sizeof hint)) {
        return err_set(e, ERR_NOT_FOUND,
                       "there is no row \"%s\"%s; rows are fire, deny GUARD, act, verify, wait, "
                       "undo, page, clear, resolve, end OUTCOME",
                       text, hint);
    }
    return 0;
}

/* ---- what an operator does ---- */

static const struct {
    const char *verb, *command;
    enum { NOTHING, SPAN, SETTLE, MODE, PAIRS, TEXT } takes;
} orders[] = {
    {"approve", "approve", NOTHING}, {"deny", "deny", NOTHING},
    {"cancel", "cancel", NOTHING},   {"resume", "resume", NOTHING},
    {"settle", "settle", SETTLE},    {"freeze", "freeze", TEXT},
    {"unfreeze", "unfreeze", TEXT},  {"silence", "silence", SPAN},
    {"mode", "mode", MODE},          {"close_breaker", "breaker", NOTHING},
    {"start", "start", PAIRS},
};

static int read_pairs(char *rest, struct json *command, struct err *e)
{
    struct json *params = json_set(command, "params", json_new_map());
    char *save = NULL;
    for (char *w = strtok_r(rest, SPACE, &save); w; w = strtok_r(NULL, SPACE, &save)) {
        char *equals = strchr(w, '=');
        if (!equals || equals == w) {
            return err_set(e, ERR_INPUT, "start takes name=value, not \"%s\"", w);
        }
        *equals = '\0';
        json_set_str(params, w, equals + 1);
    }
    return 0;
}

static int read_rest(size_t k, char *rest, struct json *command, struct err *e)
{
    int64_t ms;
    switch (orders[k].takes) {
    case NOTHING:
        return *rest ? err_set(e, ERR_INPUT, "%s takes nothing more, got \"%s\"", orders[k].verb,
                               rest)
                     : 0;
    case SPAN:
        json_set_str(command, "for", rest);
        return unit_parse_duration(rest, &ms) == 0 && ms > 0
                   ? 0
                   : err_set(e, ERR_INPUT, "for how long? write e.g. \"silence 2h\"");
    case SETTLE:
        json_set_str(command, "as", rest);
        return strcmp(rest, "done") == 0 || strcmp(rest, "not-done") == 0
                   ? 0
                   : err_set(e, ERR_INPUT, "write \"settle done\" or \"settle not-done\"");
    case MODE:
        json_set_str(command, "mode", rest);
        json_set_bool(command, "confirmed", true);
        return mode_parse(rest) >= 0
                   ? 0
                   : err_set(e, ERR_INPUT, "mode takes off, shadow, approve or enforce");
    case PAIRS:
        return read_pairs(rest, command, e);
    case TEXT:
        json_set_str(command, "reason", *rest ? rest : "the test says so");
        return 0;
    }
    return err_set(e, ERR_BUG, "an order of no kind");
}

int test_order_parse(const char *text, struct json **command, struct err *e)
{
    const char *names[sizeof orders / sizeof *orders];
    size_t n = sizeof orders / sizeof *orders, k = 0, len = strcspn(text, SPACE);
    for (; k < n && !(strlen(orders[k].verb) == len && strncmp(orders[k].verb, text, len) == 0);
         k++) {
    }
    if (k == n) {
        char verb[64], hint[160];
        for (size_t i = 0; i < n; i++) {
            names[i] = orders[i].verb;
        }
        snprintf(verb, sizeof verb, "%.*s", (int)len, text);
        did_you_mean(hint, sizeof hint, verb, names, n);
        return err_set(e, ERR_INPUT,
                       "an operator cannot \"%s\"%s; write approve, deny, cancel, resume, settle, "
                       "freeze, unfreeze, silence, mode, close_breaker or start",
                       verb, hint);
    }
    char *rest = mem_strdup(text + len + strspn(text + len, SPACE));
    *command = json_new_map();
    json_set_str(*command, "command", orders[k].command);
    json_set_str(*command, "by", "operator");
    int rc = read_rest(k, rest, *command, e);
    mem_free(rest);
    if (rc) {
        json_free(*command);
        *command = NULL;
    }
    return rc;
}
