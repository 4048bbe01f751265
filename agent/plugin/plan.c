/* Plans: made, printed, compared and hashed. */
#include "plugin/action.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"

#define PREDICATE_MAX 2048

struct plan *plan_new(void)
{
    struct plan *p = mem_alloc(sizeof(*p));

    p->calls = json_new_list();
    p->before = json_new_map();
    p->after = json_new_map();
    p->names = json_new_list();
    p->preconditions = json_new_list();
    p->controllers = json_new_list();
    p->out = json_new_map();
    return p;
}

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    mem_free(p->summary);
    mem_free(p->expect);
    json_free(p->calls);
    json_free(p->before);
    json_free(p->after);
    json_free(p->names);
    json_free(p->preconditions);
    json_free(p->controllers);
    json_free(p->out);
    mem_free(p);
}

static void say_call(struct json *c, const char *call, struct json *args)
{
    json_set_str(c, "call", call);
    json_set(c, "args", args != NULL ? args : json_new_map());
}

void plan_call(struct plan *p, const char *call, struct json *args)
{
    say_call(json_add(p->calls, json_new_map()), call, args);
}

void plan_call_sql(struct plan *p, const char *call, const char *sql, struct json *args)
{
    struct json *c = json_add(p->calls, json_new_map());

    say_call(c, call, args);
    json_set_str(c, "sql", sql);
}

void plan_call_if(struct plan *p, const char *first, struct json *first_args, const char *says,
                  const char *call, struct json *args)
{
    struct json *c = json_add(p->calls, json_new_map()), *before;

    say_call(c, call, args);
    before = json_set(c, "if", json_new_map());
    say_call(before, first, first_args);
    json_set_str(before, "says", says);
}

void plan_require(struct plan *p, bool holds, const char *observed, const char *predicate_fmt, ...)
{
    struct json *c = json_add(p->preconditions, json_new_map());
    struct buf text;
    va_list ap;

    buf_init(&text, PREDICATE_MAX);
    va_start(ap, predicate_fmt);
    (void)buf_addv(&text, predicate_fmt, ap);
    va_end(ap);
    json_set_str(c, "predicate", buf_str(&text));
    json_set_str(c, "observed", observed != NULL ? observed : "");
    json_set_bool(c, "holds", holds);
    buf_free(&text);
}

const char *plan_broken(const struct plan *p)
{
    /* Read at once by whoever asks, never kept: one buffer a thread will do. */
    static _Thread_local char text[PREDICATE_MAX];

    for (const struct json *c = json_first(p->preconditions); c != NULL; c = json_next(c)) {
        if (json_get_bool(c, "holds", false))
            continue;
        snprintf(text, sizeof(text), "%s (observed %s)", json_get_str(c, "predicate", "?"),
                 json_get_str(c, "observed", "?"));
        return text;
    }
    return NULL;
}

struct json *plan_to_json(const struct plan *p)
{
    struct json *j = json_new_map();

    json_set_int(j, "flags", p->flags);
    json_set_bool(j, "empty", p->empty);
    json_set(j, "summary", json_new_str(p->summary));
    json_set(j, "expect", json_new_str(p->expect));
    json_set(j, "calls", json_copy(p->calls));
    json_set(j, "before", json_copy(p->before));
    json_set(j, "after", json_copy(p->after));
    json_set(j, "names", json_copy(p->names));
    json_set(j, "preconditions", json_copy(p->preconditions));
    json_set(j, "controllers", json_copy(p->controllers));
    json_set(j, "out", json_copy(p->out));
    return j;
}

/* A part of a stored plan; a journal is read back by another version of us at most, so that a wrong
 * shape is damage and nothing to guess at. */
static int take(const struct json *j, const char *key, enum json_type want, struct json **into,
                struct err *e)
{
    const struct json *v = json_get(j, key);

    if (json_type(v) != want)
        return err_set(
            e, ERR_INPUT,
            "a stored plan has no usable \"%s\": the journal is damaged or of another version",
            key);
    json_free(*into);
    *into = json_copy(v);
    return 0;
}

static int check_calls(const struct json *calls, struct err *e)
{
    for (const struct json *c = json_first(calls); c != NULL; c = json_next(c)) {
        if (json_get_str(c, "call", NULL) == NULL || json_type(json_get(c, "args")) != JSON_MAP)
            return err_set(
                e, ERR_INPUT,
                "a stored plan has a call without name or arguments: the journal is damaged");
    }
    return 0;
}

struct plan *plan_from_json(const struct json *j, struct err *e)
{
    struct plan *p = plan_new();
    int64_t flags = json_get_int(j, "flags", -1);

    if (json_type(j) != JSON_MAP || flags < 0 || flags > 0xffff ||
        json_type(json_get(j, "empty")) != JSON_BOOL) {
        err_set(e, ERR_INPUT,
                "a stored plan has no usable \"flags\" or \"empty\": the journal is damaged or of "
                "another version");
        goto bad;
    }
    p->flags = (unsigned)flags;
    p->empty = json_get_bool(j, "empty", false);
    p->summary = mem_strdup(json_get_str(j, "summary", NULL));
    p->expect = mem_strdup(json_get_str(j, "expect", NULL));
    if (take(j, "calls", JSON_LIST, &p->calls, e) != 0 ||
        take(j, "before", JSON_MAP, &p->before, e) != 0 ||
        take(j, "after", JSON_MAP, &p->after, e) != 0 ||
        take(j, "names", JSON_LIST, &p->names, e) != 0 ||
        take(j, "preconditions", JSON_LIST, &p->preconditions, e) != 0 ||
        take(j, "controllers", JSON_LIST, &p->controllers, e) != 0 ||
        take(j, "out", JSON_MAP, &p->out, e) != 0 || check_calls(p->calls, e) != 0)
        goto bad;
    return p;
bad:
    plan_free(p);
    return NULL;
}

struct plan *plan_copy(const struct plan *p)
{
    struct plan *c = mem_alloc(sizeof(*c));

    c->flags = p->flags;
    c->empty = p->empty;
    c->summary = mem_strdup(p->summary);
    c->expect = mem_strdup(p->expect);
    c->calls = json_copy(p->calls);
    c->before = json_copy(p->before);
    c->after = json_copy(p->after);
    c->names = json_copy(p->names);
    c->preconditions = json_copy(p->preconditions);
    c->controllers = json_copy(p->controllers);
    c->out = json_copy(p->out);
    return c;
}

/* The predicates without their readings: what an approval is about, not what was seen when it was
 * asked for (M24). */
static struct json *predicates(const struct plan *p)
{
    struct json *list = json_new_list();

    for (const struct json *c = json_first(p->preconditions); c != NULL; c = json_next(c))
        json_add(list, json_new_str(json_get_str(c, "predicate", "")));
    return list;
}

char *plan_hash(const struct plan *p, const char *action, const char *target_id)
{
    struct json *j = json_new_map();
    char *text, *hex = mem_alloc(SHA256_HEX);

    json_set_str(j, "action", action);
    json_set_str(j, "target", target_id);
    json_set(j, "calls", json_copy(p->calls));
    json_set(j, "names", json_copy(p->names));
    json_set(j, "predicates", predicates(p));
    text = json_print_canonical(j);
    sha256_hex(text, strlen(text), hex);
    mem_free(text);
    json_free(j);
    return hex;
}

static bool contains(const struct json *list, const struct json *item)
{
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (json_equal(i, item))
            return true;
    }
    return false;
}

static bool all_in(const struct json *few, const struct json *many)
{
    for (const struct json *i = json_first(few); i != NULL; i = json_next(i)) {
        if (!contains(many, i))
            return false;
    }
    return true;
}

/* Calls that differ only in that they name fewer: "names" in a call's arguments are its identities.
 */
static bool calls_less(const struct json *now, const struct json *then)
{
    const struct json *b = json_first(then);
    bool ok = json_len(now) == json_len(then);

    for (const struct json *a = json_first(now); ok && a; a = json_next(a), b = json_next(b)) {
        struct json *x = json_copy(a), *y = json_copy(b);
        struct json *xa = json_get_mut(x, "args"), *ya = json_get_mut(y, "args");
        const struct json *xn = json_get(xa, "names"), *yn = json_get(ya, "names");

        ok = xa && ya && xn && yn && all_in(xn, yn);
        if (ok) {
            json_remove(xa, "names");
            json_remove(ya, "names");
            ok = json_equal(x, y);
        }
        json_free(x);
        json_free(y);
    }
    return ok;
}

bool plan_same_or_less(const struct plan *then, const struct plan *now)
{
    struct json *a, *b;
    bool same, less;

    if (now->empty)
        return true; /* nothing would be done */
    /* A plan that became more dangerous (scaling in where it was scaling out) is another plan,
     * whatever its calls look like. */
    if ((now->flags & ~then->flags) != 0 || then->empty)
        return false;
    a = predicates(then);
    b = predicates(now);
    same = json_equal(then->calls, now->calls) && json_equal(then->names, now->names) &&
           json_equal(a, b);
    /* Fewer of the named, each by a call that was there before, or by one that named it too. */
    less = json_len(now->names) > 0 && json_len(now->names) < json_len(then->names) &&
           json_len(now->calls) > 0 && all_in(now->names, then->names) && all_in(b, a) &&
           (all_in(now->calls, then->calls) || calls_less(now->calls, then->calls));
    json_free(a);
    json_free(b);
    return same || less;
}
