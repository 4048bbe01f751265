/* References in strings: "$root.part.part". */
#include "plugin/refs.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "plugin/action.h"

#define TEXT_MAX (1u << 20)
#define REF_MAX 200

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_part(char c)
{
    return is_alpha(c) || (c >= '0' && c <= '9');
}

/* The length of the reference that starts after the '$' at s, or 0: a word, then one or more
 * ".part". A dash belongs to a tag's key only, where keys have them, and not at its end, so that
 * "$target.name-$run.id" is two; a full stop that ends a sentence is not part of it either. */
size_t refs_length(const char *s)
{
    static const char tag[] = "target.tag.";
    size_t len = 0, dots = 0;

    if (!is_alpha(*s))
        return 0;
    for (;;) {
        bool dash = len == sizeof(tag) - 1 && memcmp(s, tag, len) == 0;

        while (is_part(s[len]) || (dash && s[len] == '-'))
            len++;
        while (dash && s[len - 1] == '-')
            len--;
        if (s[len] != '.' || !is_part(s[len + 1]))
            break;
        dots++;
        len++;
    }
    return dots > 0 ? len : 0;
}

static int unknown(const char *ref, const char *part, const struct json *map,
                   const char *const *more, size_t nmore, struct err *e)
{
    const char **names = mem_calloc(json_len(map) + nmore + 1, sizeof(*names));
    const char *near;
    size_t n = 0;

    for (const struct json *i = json_first(map); i != NULL; i = json_next(i))
        names[n++] = json_key(i);
    for (size_t i = 0; i < nmore; i++)
        names[n++] = more[i];
    near = closest(part, names, n);
    err_set(e, ERR_NOT_FOUND, "unknown name $%s%s%s%s", ref,
            near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
            near != NULL ? "\"?" : "");
    mem_free(names);
    return ERR_NOT_FOUND;
}

static int add_scalar(struct buf *out, const char *ref, const struct json *v, struct err *e)
{
    switch (json_type(v)) {
    case JSON_STRING:
        (void)buf_adds(out, json_str(v, ""));
        return 0;
    case JSON_NUMBER:
        (void)buf_addf(out, "%.15g", json_num(v, 0));
        return 0;
    case JSON_BOOL:
        (void)buf_adds(out, json_bool(v, false) ? "true" : "false");
        return 0;
    default:
        return err_set(e, ERR_INPUT, "$%s is a table; name one of its values", ref);
    }
}

static int absent(const char *ref, const char *why, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "unknown name $%s: %s", ref, why);
}

static int add_target(struct buf *out, const char *ref, const char *field, const struct target *t,
                      struct err *e)
{
    static const char *const own[] = {"name", "id", "kind"};
    const char *words[] = {t->name, t->id, t->kind};
    const struct json *v;

    if (strncmp(field, "tag.", 4) == 0) {
        v = json_get(t->tag, field + 4);
        return v != NULL ? add_scalar(out, ref, v, e) : unknown(ref, field + 4, t->tag, NULL, 0, e);
    }
    /* A field of the estate before the target's own words: an instance has an id of its own. */
    v = json_get(t->fields, field);
    /* A secret's place is no value for a query, a dimension or a report. */
    if (v != NULL && json_type(v) == JSON_MAP &&
        (json_get(v, "file") != NULL || json_get(v, "env") != NULL))
        return err_set(e, ERR_INPUT, "$%s is a secret, which cannot be written into an option",
                       ref);
    if (v != NULL)
        return add_scalar(out, ref, v, e);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(field, own[i]) == 0) {
            (void)buf_adds(out, words[i]);
            return 0;
        }
    }
    return unknown(ref, field, t->fields, own, sizeof(own) / sizeof(own[0]), e);
}

static int add_step(struct buf *out, const char *ref, const char *rest, const struct json *steps,
                    struct err *e)
{
    const char *dot = strchr(rest, '.');
    const struct json *step, *v;
    char action[REF_MAX];

    if (dot == NULL)
        return absent(ref, "write $step.ACTION.OUTPUT", e);
    memcpy(action, rest, (size_t)(dot - rest));
    action[dot - rest] = '\0';
    step = json_get(steps, action);
    if (step == NULL)
        return unknown(ref, action, steps, NULL, 0, e);
    v = json_get(step, dot + 1);
    return v != NULL ? add_scalar(out, ref, v, e) : unknown(ref, dot + 1, step, NULL, 0, e);
}

static int add_ref(struct buf *out, const char *ref, const struct refs *r, struct err *e)
{
    static const char *const roots[] = {"target", "param", "run", "step"};
    const char *rest = strchr(ref, '.') + 1;
    size_t len = (size_t)(rest - 1 - ref);
    char root[REF_MAX];
    const struct json *v;

    memcpy(root, ref, len);
    root[len] = '\0';
    if (strcmp(root, "target") == 0)
        return r->target != NULL ? add_target(out, ref, rest, r->target, e)
                                 : absent(ref, "there is no target here", e);
    if (strcmp(root, "param") == 0) {
        v = json_get(r->params, rest);
        return v != NULL ? add_scalar(out, ref, v, e) : unknown(ref, rest, r->params, NULL, 0, e);
    }
    if (strcmp(root, "run") == 0) {
        if (strcmp(rest, "id") != 0)
            return absent(ref, "a run has only $run.id", e);
        if (r->run_id == NULL)
            return absent(ref, "there is no run here; it can be used in the options of actions", e);
        (void)buf_adds(out, r->run_id);
        return 0;
    }
    if (strcmp(root, "step") == 0) {
        if (r->steps == NULL)
            return absent(ref, "there are no steps here; it can be used in the options of actions",
                          e);
        return add_step(out, ref, rest, r->steps, e);
    }
    return unknown(ref, root, NULL, roots, sizeof(roots) / sizeof(roots[0]), e);
}

static struct json *resolve_string(const char *s, const struct refs *r, struct err *e)
{
    struct json *held = NULL;
    char ref[REF_MAX];
    struct buf out;

    buf_init(&out, TEXT_MAX);
    while (*s != '\0') {
        size_t plain = strcspn(s, "$"), len;

        (void)buf_add(&out, s, plain);
        s += plain;
        if (*s == '\0')
            break;
        len = refs_length(s + 1);
        if (len == 0) {
            (void)buf_addc(&out, *s++);
            continue;
        }
        if (len >= sizeof(ref)) {
            err_set(e, ERR_LIMIT, "the reference $%.40s... is longer than %d characters", s + 1,
                    REF_MAX - 1);
            goto out;
        }
        memcpy(ref, s + 1, len);
        ref[len] = '\0';
        s += 1 + len;
        if (add_ref(&out, ref, r, e) != 0)
            goto out;
    }
    if (out.overflow)
        err_set(e, ERR_LIMIT, "a string is longer than %u bytes once its references are filled in",
                TEXT_MAX);
    else
        held = json_new_str(buf_str(&out));
out:
    buf_free(&out);
    return held;
}

struct json *refs_resolve(const struct json *opts, const struct refs *r, struct err *e)
{
    struct json *out;

    switch (json_type(opts)) {
    case JSON_STRING:
        return resolve_string(json_str(opts, ""), r, e);
    case JSON_LIST:
    case JSON_MAP:
        break;
    default:
        return opts != NULL ? json_copy(opts) : json_new_null();
    }
    out = json_type(opts) == JSON_LIST ? json_new_list() : json_new_map();
    for (const struct json *i = json_first(opts); i != NULL; i = json_next(i)) {
        struct json *v = refs_resolve(i, r, e);

        if (v == NULL) {
            json_free(out);
            return NULL;
        }
        if (json_type(opts) == JSON_LIST)
            json_add(out, v);
        else
            json_set(out, json_key(i), v);
    }
    return out;
}

static bool each_in_string(const char *s, bool (*fn)(void *arg, const char *ref), void *arg)
{
    char ref[REF_MAX];

    for (s = strchr(s, '$'); s != NULL; s = strchr(s + 1, '$')) {
        size_t len = refs_length(s + 1);

        if (len == 0)
            continue;
        if (len >= sizeof(ref))
            len = sizeof(ref) - 1;
        memcpy(ref, s + 1, len);
        ref[len] = '\0';
        if (!fn(arg, ref))
            return false;
    }
    return true;
}

bool refs_each(const struct json *opts, bool (*fn)(void *arg, const char *ref), void *arg)
{
    enum json_type t = json_type(opts);

    if (t == JSON_STRING)
        return each_in_string(json_str(opts, ""), fn, arg);
    for (const struct json *i = t == JSON_LIST || t == JSON_MAP ? json_first(opts) : NULL;
         i != NULL; i = json_next(i)) {
        if (!refs_each(i, fn, arg))
            return false;
    }
    return true;
}
