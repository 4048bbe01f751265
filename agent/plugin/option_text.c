/* Options as text: how a held value is written, what a fallback means, and whether a table of
 * descriptors makes sense. */
#include "plugin/option.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/units.h"

#define TEXT_MAX 65536

static void add_quoted(struct buf *b, const char *s)
{
    (void)buf_addc(b, '"');
    for (; *s != '\0'; s++) {
        if (*s == '"' || *s == '\\')
            (void)buf_addf(b, "\\%c", *s);
        else if (*s == '\n')
            (void)buf_adds(b, "\\n");
        else if ((unsigned char)*s < 0x20)
            (void)buf_addf(b, "\\%03d", (unsigned char)*s);
        else
            (void)buf_addc(b, *s);
    }
    (void)buf_addc(b, '"');
}

static bool is_name(const char *s)
{
    if (*s >= '0' && *s <= '9')
        return false;
    return *s != '\0' &&
           s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
}

/* A value without a type of its own: what maps, lists and a signal's options hold. */
static void add_value(struct buf *b, const struct json *j)
{
    const char *sep = "";

    switch (json_type(j)) {
    case JSON_NULL:
        (void)buf_adds(b, "nil");
        return;
    case JSON_BOOL:
        (void)buf_adds(b, json_bool(j, false) ? "true" : "false");
        return;
    case JSON_NUMBER:
        (void)buf_addf(b, "%.15g", json_num(j, 0));
        return;
    case JSON_STRING:
        add_quoted(b, json_str(j, ""));
        return;
    case JSON_LIST:
    case JSON_MAP:
        break;
    }
    if (json_len(j) == 0) {
        (void)buf_adds(b, "{}");
        return;
    }
    (void)buf_adds(b, "{ ");
    for (const struct json *i = json_first(j); i != NULL; i = json_next(i)) {
        (void)buf_adds(b, sep);
        sep = ", ";
        if (json_type(j) == JSON_MAP && is_name(json_key(i))) {
            (void)buf_addf(b, "%s = ", json_key(i));
        } else if (json_type(j) == JSON_MAP) {
            (void)buf_addc(b, '[');
            add_quoted(b, json_key(i));
            (void)buf_adds(b, "] = ");
        }
        add_value(b, i);
    }
    (void)buf_adds(b, " }");
}

static void add_unit(struct buf *b, enum unit u, double v)
{
    char text[64];

    (void)buf_addf(b, "\"%s%s\"", v < 0 ? "-" : "", unit_format(text, sizeof(text), u, fabs(v)));
}

char *option_text(const struct option *o, const struct json *held)
{
    struct buf b;
    char text[64];

    buf_init(&b, TEXT_MAX);
    if (json_type(held) == JSON_NULL) {
        (void)buf_adds(&b, "nil");
        return buf_take(&b);
    }
    switch (o->type) {
    case OPT_PERCENT:
        add_unit(&b, UNIT_PERCENT, json_num(held, 0));
        break;
    case OPT_DURATION:
        add_unit(&b, UNIT_DURATION, json_num(held, 0));
        break;
    case OPT_SIZE:
        add_unit(&b, UNIT_SIZE, json_num(held, 0));
        break;
    case OPT_PERCENT_OR_COUNT:
        if (json_type(held) == JSON_MAP)
            add_unit(&b, UNIT_PERCENT, json_get_num(held, "percent", 0));
        else
            add_value(&b, held);
        break;
    case OPT_RATE:
        (void)buf_addf(&b, "\"%s\"",
                       unit_format_rate(text, sizeof(text), (int)json_get_int(held, "n", 0),
                                        json_get_int(held, "per_ms", 0)));
        break;
    case OPT_SECRET:
        (void)buf_addf(&b, "secret.%s ", json_get(held, "file") != NULL ? "file" : "env");
        add_quoted(&b, json_get_str(held, "file", json_get_str(held, "env", "")));
        break;
    case OPT_SIGNAL:
    case OPT_COUNT_OR_SIGNAL:
        if (json_type(held) != JSON_MAP) {
            add_value(&b, held);
            break;
        }
        (void)buf_addf(&b, "sig.%s ", json_get_str(held, "signal", "?"));
        add_value(&b, json_get(held, "opts"));
        break;
    default:
        add_value(&b, held);
        break;
    }
    return buf_take(&b);
}

/* A fallback is text as a policy would have it, without the quotes of a plain string: 5m, 60%,
 * true, {}, { "a", "b" }. */
static struct json *written_fallback(const struct option *o)
{
    const char *s = o->fallback;
    struct json *j;
    char *copy, *end;
    size_t len;
    double v;

    switch (o->type) {
    case OPT_COUNT:
    case OPT_NUMBER:
    case OPT_PERCENT_OR_COUNT:
        v = strtod(s, &end);
        return end != s && *end == '\0' ? json_new_num(v) : json_new_str(s);
    case OPT_BOOL:
        if (strcmp(s, "true") != 0 && strcmp(s, "false") != 0)
            return json_new_str(s);
        return json_new_bool(strcmp(s, "true") == 0);
    case OPT_LIST:
    case OPT_MAP:
        if (strcmp(s, "{}") == 0)
            return o->type == OPT_LIST ? json_new_list() : json_new_map();
        len = strlen(s);
        if (o->type == OPT_MAP || len < 2 || s[0] != '{' || s[len - 1] != '}')
            return json_new_str(s);
        copy = mem_strdup(s);
        copy[0] = '[';
        copy[len - 1] = ']';
        j = json_parse(copy, len, 4096, NULL);
        mem_free(copy);
        return j != NULL ? j : json_new_null();
    default:
        return json_new_str(s);
    }
}

static struct json *held_fallback(const struct option *o, struct err *e)
{
    struct json *written = written_fallback(o);
    struct json *held = option_check(o, written, e);

    json_free(written);
    return held;
}

void option_defaults(const struct option *table, size_t n, struct json *held)
{
    for (size_t i = 0; i < n; i++) {
        struct json *v;

        if (table[i].fallback == NULL || json_get(held, table[i].name) != NULL)
            continue;
        v = held_fallback(&table[i], NULL);
        if (v != NULL)
            json_set(held, table[i].name, v);
    }
}

int option_table_check(const struct option *table, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const struct option *o = &table[i];
        struct err why = ERR_INIT;
        struct json *v;

        if (o->name == NULL || !is_name(o->name))
            return err_set(e, ERR_BUG, "option %zu has no usable name", i);
        if (option_find(table, n, o->name) != o)
            return err_set(e, ERR_BUG, "option %s is there twice", o->name);
        if (o->help == NULL || *o->help == '\0')
            return err_set(e, ERR_BUG, "option %s has no help", o->name);
        if ((o->type == OPT_ENUM || o->type == OPT_TARGET || o->type == OPT_STEP) &&
            (o->words == NULL || *o->words == '\0'))
            return err_set(e, ERR_BUG, "option %s needs its words", o->name);
        if (o->min > o->max)
            return err_set(e, ERR_BUG, "option %s has its least above its most", o->name);
        if (o->required && o->fallback != NULL)
            return err_set(e, ERR_BUG, "option %s is required and has a fallback", o->name);
        if (o->required && o->one_of != NULL)
            return err_set(e, ERR_BUG, "option %s is required and one of several", o->name);
        if (o->fallback == NULL)
            continue;
        v = held_fallback(o, &why);
        if (v == NULL)
            return err_set(e, ERR_BUG, "option %s: its fallback \"%s\" %s", o->name, o->fallback,
                           why.text);
        json_free(v);
    }
    return 0;
}
