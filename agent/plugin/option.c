/* Checks a written value against its descriptor and turns it into the form in which it is held. */
#include "plugin/option.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/units.h"

#define TEXT_MAX 512

static const struct {
    const char *name, *remedy;
} types[] = {
    [OPT_STRING] = {"string", "needs a string, write it in quotes"},
    [OPT_COUNT] = {"count", "needs a whole number"},
    [OPT_NUMBER] = {"number", "needs a number"},
    [OPT_PERCENT] = {"percent", "needs a percent string, write \"60%\""},
    [OPT_DURATION] = {"duration", "needs a unit, write e.g. \"5m\""},
    [OPT_SIZE] = {"size", "needs a unit, write e.g. \"512MiB\""},
    [OPT_RATE] = {"rate", "needs a rate, write \"2 per 1h\""},
    [OPT_BOOL] = {"bool", "needs true or false"},
    [OPT_ENUM] = {"enum", "must be one of the listed words"},
    [OPT_LIST] = {"list", "needs a list of strings, write { \"a\", \"b\" }"},
    [OPT_MAP] = {"map", "needs a table of strings, write { key = \"value\" }"},
    [OPT_PERCENT_OR_COUNT] = {"percent or count",
                              "needs a percent string or a whole number, write \"25%\" or 2"},
    [OPT_SECRET] = {"secret", "needs secret.file \"/path\" or secret.env \"NAME\""},
    [OPT_SIGNAL] = {"signal", "needs a signal without a comparator, write sig.x{...}"},
    [OPT_COUNT_OR_SIGNAL] = {"count or signal", "needs a whole number, or a signal without a "
                                                "comparator: write 8 or sig.x{...}"},
    [OPT_TARGET] = {"target", "needs the name of a target, write it in quotes"},
    [OPT_STEP] = {"action", "needs the name of an action of this policy, write it in quotes"},
};

const char *opt_type_name(enum opt_type t)
{
    return (size_t)t < sizeof(types) / sizeof(types[0]) ? types[t].name : "unknown";
}

const char *opt_type_remedy(enum opt_type t)
{
    return (size_t)t < sizeof(types) / sizeof(types[0]) ? types[t].remedy : "cannot be given";
}

const struct option *option_find(const struct option *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

static struct json *wrong(const struct option *o, struct err *e)
{
    err_set(e, ERR_INPUT, "%s", opt_type_remedy(o->type));
    return NULL;
}

/* A limit as it would be written. */
static char *limit_text(char *out, size_t size, const struct option *o, double v)
{
    enum unit u = o->type == OPT_PERCENT    ? UNIT_PERCENT
                  : o->type == OPT_DURATION ? UNIT_DURATION
                  : o->type == OPT_SIZE     ? UNIT_SIZE
                                            : UNIT_NUMBER;

    return unit_format(out, size, u, v);
}

/* E108. `got` is what was written. A minus is refused where no negative minimum invites it: what
 * counts, lasts or is a share of something is not below zero. */
static bool within(const struct option *o, double v, const char *got, struct err *e)
{
    bool limited = o->min != 0 || o->max != 0;
    bool plain = o->type == OPT_NUMBER || o->type == OPT_STRING;
    char a[64], b[64];

    if (!limited && (plain || v >= 0))
        return true;
    if (!limited) {
        err_set(e, ERR_LIMIT, "must not be negative, got %s", got);
        return false;
    }
    if (v >= o->min && v <= o->max)
        return true;
    if (o->max >= OPTION_NO_MAX)
        err_set(e, ERR_LIMIT, "must be at least %s, got %s", limit_text(a, sizeof(a), o, o->min),
                got);
    else
        err_set(e, ERR_LIMIT, "must be between %s and %s, got %s",
                limit_text(a, sizeof(a), o, o->min), limit_text(b, sizeof(b), o, o->max), got);
    return false;
}

static bool is_whole(double v)
{
    return isfinite(v) && v == floor(v) && fabs(v) <= 9007199254740992.0;
}

/* "25%", "-25%" where a minus may be written; more than 100 is out of range, not badly written. */
static bool read_percent(const char *s, double *out)
{
    bool minus = *s == '-';
    char *end = NULL;
    double v;

    if (*s == '-' || *s == '+')
        s++;
    if (unit_parse_percent(s, out) != 0) {
        if (*s < '0' || *s > '9')
            return false;
        v = strtod(s, &end);
        if (strspn(s, "0123456789.") != (size_t)(end - s) || strcmp(end, "%") != 0 || v <= 100)
            return false;
        *out = v;
    }
    if (minus)
        *out = -*out;
    return true;
}

static bool percent_within(const struct option *o, double v, const char *text, struct err *e)
{
    char quoted[TEXT_MAX];

    snprintf(quoted, sizeof(quoted), "\"%.200s\"", text);
    if (fabs(v) > 100 &&
        !(o->type == OPT_PERCENT && o->max > 100)) { /* a share, but where more is invited */
        err_set(e, ERR_LIMIT, "must be between %s and 100%%, got %s", o->min < 0 ? "-100%" : "0%",
                quoted);
        return false;
    }
    /* The limits of an option that takes both are counts; as a share only the sign is limited. */
    if (o->type == OPT_PERCENT_OR_COUNT) {
        if (v <= 0 && o->min > 0) {
            err_set(e, ERR_LIMIT, "must be more than 0%%, got %s", quoted);
            return false;
        }
        if (v < 0 && o->min >= 0) {
            err_set(e, ERR_LIMIT, "must not be negative, got %s", quoted);
            return false;
        }
        return true;
    }
    return within(o, v, quoted, e);
}

static struct json *check_number(const struct option *o, const struct json *w, struct err *e)
{
    double v = json_num(w, NAN);
    char got[64];

    if (json_type(w) != JSON_NUMBER || !isfinite(v) || (o->type != OPT_NUMBER && !is_whole(v)))
        return wrong(o, e);
    snprintf(got, sizeof(got), "%.15g", v);
    return within(o, v, got, e) ? json_new_num(v) : NULL;
}

static struct json *check_unit(const struct option *o, const struct json *w, struct err *e)
{
    const char *s = json_str(w, NULL);
    char quoted[TEXT_MAX];
    double v = 0;
    int64_t ms = 0;
    int rc;

    if (s == NULL)
        return wrong(o, e);
    if (o->type == OPT_DURATION) {
        rc = unit_parse_duration(s, &ms);
        v = (double)ms;
    } else {
        rc = unit_parse_size(s, &v);
    }
    snprintf(quoted, sizeof(quoted), "\"%.200s\"", s);
    if (rc != 0 && *s == '-' && s[1] >= '0' && s[1] <= '9') {
        err_set(e, ERR_LIMIT, "must not be negative, got %s", quoted);
        return NULL;
    }
    if (rc != 0)
        return wrong(o, e);
    return within(o, v, quoted, e) ? json_new_num(v) : NULL;
}

static struct json *check_percent(const struct option *o, const struct json *w, struct err *e)
{
    const char *s = json_str(w, NULL);
    double v;

    if (s == NULL || !read_percent(s, &v))
        return wrong(o, e);
    return percent_within(o, v, s, e) ? json_new_num(v) : NULL;
}

static struct json *check_percent_or_count(const struct option *o, const struct json *w,
                                           struct err *e)
{
    const char *s = json_str(w, NULL);
    struct json *held;
    double v;

    if (s == NULL)
        return check_number(o, w, e);
    if (!read_percent(s, &v))
        return wrong(o, e);
    if (!percent_within(o, v, s, e))
        return NULL;
    held = json_new_map();
    json_set_num(held, "percent", v);
    return held;
}

static struct json *check_rate(const struct option *o, const struct json *w, struct err *e)
{
    const char *s = json_str(w, NULL);
    struct json *held;
    int64_t per_ms;
    int n;

    if (s == NULL)
        return wrong(o, e);
    if (unit_parse_rate(s, &n, &per_ms) != 0) {
        err_set(e, ERR_INPUT, "bad rate \"%.200s\", write \"2 per 1h\"", s);
        return NULL;
    }
    held = json_new_map();
    json_set_int(held, "n", n);
    json_set_int(held, "per_ms", per_ms);
    return held;
}

/* The words of an enum as a sentence lists them: "a, b, c". */
static void list_words(const char *words, struct buf *out)
{
    for (const char *p = words; *p != '\0'; p++) {
        if (*p == '|')
            (void)buf_adds(out, ", ");
        else
            (void)buf_addc(out, *p);
    }
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = words; len > 0; p++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, word, len) == 0)
            return true;
        p += n;
        if (*p == '\0')
            break;
    }
    return false;
}

static struct json *check_enum(const struct option *o, const struct json *w, struct err *e)
{
    const char *s = json_str(w, NULL);
    const char *words = o->words != NULL ? o->words : "";
    struct buf list;

    if (s != NULL && has_word(words, s))
        return json_new_str(s);
    buf_init(&list, TEXT_MAX);
    list_words(words, &list);
    if (s != NULL)
        err_set(e, ERR_INPUT, "must be one of %s, got \"%.100s\"", buf_str(&list), s);
    else
        err_set(e, ERR_INPUT, "must be one of %s", buf_str(&list));
    buf_free(&list);
    return NULL;
}

static bool length_within(const struct option *o, size_t len, const char *what, struct err *e)
{
    if ((o->min == 0 && o->max == 0) || ((double)len >= o->min && (double)len <= o->max))
        return true;
    err_set(e, ERR_LIMIT, "must have %.0f to %.0f %s, got %zu", o->min, o->max, what, len);
    return false;
}

static struct json *check_string(const struct option *o, const struct json *w, struct err *e)
{
    const char *s = json_str(w, NULL);

    if (s == NULL)
        return wrong(o, e);
    if (o->required && *s == '\0') {
        err_set(e, ERR_LIMIT, "must not be empty");
        return NULL;
    }
    if (o->check && o->check(s, e) != 0)
        return NULL;
    return length_within(o, strlen(s), "characters", e) ? json_new_str(s) : NULL;
}

static struct json *check_list(const struct option *o, const struct json *w, struct err *e)
{
    enum json_type t = json_type(w);
    struct json *held;

    /* In Lua an empty table is both. */
    if (t != JSON_STRING && t != JSON_LIST && !(t == JSON_MAP && json_len(w) == 0))
        return wrong(o, e);
    held = json_new_list();
    if (t == JSON_STRING)
        json_add(held, json_new_str(json_str(w, "")));
    for (const struct json *i = t == JSON_LIST ? json_first(w) : NULL; i != NULL;
         i = json_next(i)) {
        if (json_type(i) != JSON_STRING) {
            json_free(held);
            return wrong(o, e);
        }
        json_add(held, json_new_str(json_str(i, "")));
    }
    for (const struct json *i = o->check ? json_first(held) : NULL; i != NULL; i = json_next(i)) {
        if (o->check(json_str(i, ""), e) != 0) {
            json_free(held);
            return NULL;
        }
    }
    if (!length_within(o, json_len(held), "entries", e)) {
        json_free(held);
        return NULL;
    }
    return held;
}

static struct json *check_map(const struct option *o, const struct json *w, struct err *e)
{
    enum json_type t = json_type(w);
    struct json *held;

    if (t != JSON_MAP && !(t == JSON_LIST && json_len(w) == 0))
        return wrong(o, e);
    held = json_new_map();
    for (const struct json *i = t == JSON_MAP ? json_first(w) : NULL; i != NULL; i = json_next(i)) {
        switch (json_type(i)) {
        case JSON_STRING:
            json_set_str(held, json_key(i), json_str(i, ""));
            break;
        case JSON_NUMBER: /* weights and the like: held as text, as the wire wants them */
            json_set_strf(held, json_key(i), "%.15g", json_num(i, 0));
            break;
        case JSON_BOOL:
            json_set_str(held, json_key(i), json_bool(i, false) ? "true" : "false");
            break;
        default:
            json_free(held);
            return wrong(o, e);
        }
    }
    if (!length_within(o, json_len(held), "entries", e)) {
        json_free(held);
        return NULL;
    }
    return held;
}

static struct json *check_secret(const struct option *o, const struct json *w, struct err *e)
{
    const struct json *only = json_type(w) == JSON_MAP && json_len(w) == 1 ? json_first(w) : NULL;
    const char *key = only != NULL ? json_key(only) : "";
    const char *s = json_str(only, "");

    /* A plain string would be the secret itself, in a file that is copied and reviewed: never
     * accepted, never repeated. */
    if (*s == '\0' || (strcmp(key, "file") != 0 && strcmp(key, "env") != 0))
        return wrong(o, e);
    return json_copy(w);
}

static struct json *check_signal(const struct option *o, const struct json *w, struct err *e)
{
    const char *name = json_get_str(w, "signal", NULL);
    const struct json *opts = json_get(w, "opts");
    struct json *held;

    if (name == NULL || *name == '\0' || (opts != NULL && json_type(opts) != JSON_MAP))
        return wrong(o, e);
    held = json_copy(w);
    if (opts == NULL)
        json_set(held, "opts", json_new_map());
    return held;
}

static struct json *check_target(const struct option *o, const struct json *w, struct err *e)
{
    const char *s = json_str(w, NULL);

    if (s != NULL && *s != '\0')
        return json_new_str(s);
    err_set(e, ERR_INPUT, "needs the name of a %s, write it in quotes",
            o->words != NULL ? o->words : "target");
    return NULL;
}

struct json *option_check(const struct option *o, const struct json *written, struct err *e)
{
    switch (o->type) {
    case OPT_STRING:
        return check_string(o, written, e);
    case OPT_COUNT:
    case OPT_NUMBER:
        return check_number(o, written, e);
    case OPT_PERCENT:
        return check_percent(o, written, e);
    case OPT_DURATION:
    case OPT_SIZE:
        return check_unit(o, written, e);
    case OPT_RATE:
        return check_rate(o, written, e);
    case OPT_BOOL:
        return json_type(written) == JSON_BOOL ? json_new_bool(json_bool(written, false))
                                               : wrong(o, e);
    case OPT_ENUM:
        return check_enum(o, written, e);
    case OPT_LIST:
        return check_list(o, written, e);
    case OPT_MAP:
        return check_map(o, written, e);
    case OPT_PERCENT_OR_COUNT:
        return check_percent_or_count(o, written, e);
    case OPT_SECRET:
        return check_secret(o, written, e);
    case OPT_SIGNAL:
        return check_signal(o, written, e);
    case OPT_COUNT_OR_SIGNAL:
        return json_type(written) == JSON_NUMBER ? check_number(o, written, e)
                                                 : check_signal(o, written, e);
    case OPT_TARGET:
        return check_target(o, written, e);
    case OPT_STEP:
        if (json_type(written) == JSON_STRING && *json_str(written, "") != '\0')
            return json_copy(written);
        err_set(e, ERR_INPUT, "%s", opt_type_remedy(OPT_STEP));
        return NULL;
    }
    err_set(e, ERR_BUG, "option %s has no type", o->name);
    return NULL;
}
