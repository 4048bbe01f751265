/* The estate: the targets of one load, found by kind and name, and how they hang together. */
#include "plugin/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/hash.h"
#include "base/mem.h"
#include "plugin/action.h"

#define HASH_TEXT_MAX (256u << 20)

static const char *const modes[] = {[MODE_OFF] = "off",
                                    [MODE_SHADOW] = "shadow",
                                    [MODE_APPROVE] = "approve",
                                    [MODE_ENFORCE] = "enforce"};

#define MODES (sizeof(modes) / sizeof(modes[0]))

const char *mode_name(enum mode m)
{
    return (size_t)m < MODES ? modes[m] : "unknown";
}

int mode_parse(const char *word)
{
    for (size_t i = 0; word != NULL && i < MODES; i++) {
        if (strcmp(modes[i], word) == 0)
            return (int)i;
    }
    return -1;
}

struct estate {
    int refs;
    struct arena *arena;
    struct target **targets; /* in the order of declaration */
    size_t len, cap;
    struct map *by_id;
    bool partial;
};

const char *listed_why(enum listed l)
{
    static const char *const why[] = {
        [LISTED] = "",
        [LISTED_UNSURE] = "known from before the start, and not listed again yet",
        [LISTED_ABSENT] = "absent from the last complete listing",
        [LISTED_EMPTY] = "the last listing was empty after one that was not: it is not believed",
    };

    return why[l];
}

struct estate *estate_new(void)
{
    struct estate *e = mem_alloc(sizeof(*e));

    e->refs = 1;
    e->arena = arena_new();
    e->by_id = map_new();
    return e;
}

struct estate *estate_ref(struct estate *e)
{
    if (e != NULL)
        e->refs++;
    return e;
}

void estate_unref(struct estate *e)
{
    if (e == NULL || --e->refs > 0)
        return;
    for (size_t i = 0; i < e->len; i++) {
        json_free(e->targets[i]->tag);
        json_free(e->targets[i]->fields);
    }
    mem_free(e->targets);
    map_free(e->by_id);
    arena_free(e->arena);
    mem_free(e);
}

static struct target *lookup(const struct estate *e, const char *kind, const char *name)
{
    char id[512], *longer = NULL;
    struct target *t;

    if ((size_t)snprintf(id, sizeof(id), "%s/%s", kind, name) >= sizeof(id))
        longer = mem_printf("%s/%s", kind, name);
    t = map_get(e->by_id, longer != NULL ? longer : id);
    mem_free(longer);
    return t;
}

int estate_add(struct estate *e, const char *kind, const char *name, struct json *tag,
               struct json *fields, enum mode mode, const char *file, int line, struct err *err)
{
    const struct target_kind *k = target_kind_find(kind);
    const struct target *first;
    struct target *t;
    int rc = 0;

    if (k == NULL) {
        rc = err_set(err, ERR_INPUT, "there is no kind of target \"%s\"", kind);
        goto out;
    }
    if (*name == '\0') {
        rc = err_set(err, ERR_INPUT, "a target needs a name");
        goto out;
    }
    first = lookup(e, kind, name);
    if (first != NULL) {
        rc = err_set(
            err, ERR_INPUT,
            "%s \"%s\" is already declared at %s:%d; give each target of a kind its own name", kind,
            name, first->file != NULL ? first->file : "?", first->line);
        goto out;
    }
    if (e->len == e->cap) {
        e->cap = e->cap == 0 ? 32 : e->cap * 2;
        e->targets = mem_realloc(e->targets, e->cap * sizeof(struct target *));
    }
    t = arena_alloc(e->arena, sizeof(*t));
    t->kind = k->name;
    t->name = arena_strdup(e->arena, name);
    t->id = arena_printf(e->arena, "%s/%s", k->name, name);
    t->tag = tag != NULL ? tag : json_new_map();
    t->fields = fields != NULL ? fields : json_new_map();
    t->mode = mode;
    t->file = file != NULL ? arena_strdup(e->arena, file) : NULL;
    t->line = line;
    tag = fields = NULL;
    t->order = e->len;
    e->targets[e->len++] = t;
    map_put(e->by_id, t->id, t);
out:
    json_free(tag);
    json_free(fields);
    return rc;
}

struct estate *estate_copy(const struct estate *e)
{
    struct estate *copy = estate_new();
    struct err err = ERR_INIT; /* names that were different once are so again */

    for (size_t i = 0; i < estate_len(e); i++) {
        const struct target *t = e->targets[i];

        (void)estate_add(copy, t->kind, t->name, json_copy(t->tag), json_copy(t->fields), t->mode,
                         t->file, t->line, &err);
        copy->targets[i]->found = t->found;
        copy->targets[i]->listed = t->listed;
    }
    copy->partial = e->partial;
    return copy;
}

void estate_found(struct estate *e, const char *kind, const char *name, enum listed listed)
{
    struct target *t = lookup(e, kind, name);

    if (t != NULL) {
        t->found = true;
        t->listed = listed;
    }
}

void estate_lower(struct estate *e, const char *kind, const char *name, enum mode mode)
{
    struct target *t = lookup(e, kind, name);

    if (t != NULL && mode < t->mode)
        t->mode = mode;
}

void estate_set_partial(struct estate *e)
{
    e->partial = true;
}

bool estate_partial(const struct estate *e)
{
    return e->partial;
}

const struct target *estate_find(const struct estate *e, const char *kind, const char *name)
{
    return e != NULL && kind != NULL && name != NULL ? lookup(e, kind, name) : NULL;
}

const struct target *estate_by_id(const struct estate *e, const char *id)
{
    return e != NULL && id != NULL ? map_get(e->by_id, id) : NULL;
}

size_t estate_len(const struct estate *e)
{
    return e != NULL ? e->len : 0;
}

const struct target *estate_at(const struct estate *e, size_t i)
{
    return e != NULL && i < e->len ? e->targets[i] : NULL;
}

char *estate_hash(const struct estate *e)
{
    struct json *all = json_new_map(); /* by id: the order of declaration does not matter */
    char *text, *hex = mem_alloc(SHA256_HEX);

    for (size_t i = 0; i < e->len; i++) {
        const struct target *t = e->targets[i];
        struct json *j = json_set(all, t->id, json_new_map());

        json_set(j, "tag", json_copy(t->tag));
        json_set(j, "fields", json_copy(t->fields));
        json_set_str(j, "mode", mode_name(t->mode));
    }
    text = json_print_canonical(all);
    sha256_hex(text, strlen(text), hex);
    mem_free(text);
    json_free(all);
    return hex;
}

static const char *suggestion(const struct estate *e, const char *kind, const char *name)
{
    const char **names = mem_calloc(e->len + 1, sizeof(*names));
    const char *best;
    size_t n = 0;

    for (size_t i = 0; i < e->len; i++) {
        if (strcmp(e->targets[i]->kind, kind) == 0)
            names[n++] = e->targets[i]->name;
    }
    best = closest(name, names, n);
    mem_free(names);
    return best;
}

void estate_check(const struct estate *e,
                  void (*report)(void *arg, const struct target *t, const char *field,
                                 const char *text),
                  void *arg)
{
    for (size_t i = 0; i < e->len; i++) {
        const struct target *t = e->targets[i];
        const struct target_kind *k = target_kind_find(t->kind);

        for (size_t o = 0; o < k->noptions; o++) {
            const struct option *opt = &k->options[o];
            const char *name = json_get_str(t->fields, opt->name, NULL);
            const char *near;
            char text[512];

            if (opt->type != OPT_TARGET || name == NULL || lookup(e, opt->words, name) != NULL)
                continue;
            near = suggestion(e, opt->words, name);
            snprintf(
                text, sizeof(text),
                "%s \"%.100s\": %s names %s \"%.100s\", which the estate does not have%s%.100s%s",
                t->kind, t->name, opt->name, opt->words, name,
                near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                near != NULL ? "\"?" : "");
            report(arg, t, opt->name, text);
        }
    }
}

static bool names(const struct target *t, const char *field, const char *name)
{
    const char *s = t != NULL ? json_get_str(t->fields, field, NULL) : NULL;

    return s != NULL && strcmp(s, name) == 0;
}

/* Whether t is the service itself, named by it, the proxy of its database, or an instance of its
 * group. */
static bool belongs(const struct estate *e, const struct target *service, const struct target *t)
{
    const char *group;

    if (service == t || strcmp(service->id, t->id) == 0 || names(service, t->kind, t->name))
        return true;
    if (strcmp(t->kind, "proxy") == 0)
        return names(estate_related(e, service, "postgres"), "proxy", t->name);
    group = json_get_str(service->fields, "asg", NULL);
    return strcmp(t->kind, "instance") == 0 && group != NULL && names(t, "asg", group);
}

bool estate_same_service(const struct estate *e, const struct target *a, const struct target *b)
{
    if (a == b || strcmp(a->id, b->id) == 0)
        return true;
    for (size_t i = 0; i < estate_len(e); i++) {
        const struct target *t = e->targets[i];

        if (strcmp(t->kind, "service") == 0 && belongs(e, t, a) && belongs(e, t, b))
            return true;
    }
    return false;
}

const struct target *estate_related(const struct estate *e, const struct target *t,
                                    const char *kind)
{
    if (t == NULL)
        return NULL;
    if (strcmp(t->kind, kind) == 0)
        return t;
    return estate_find(e, kind, json_get_str(t->fields, kind, NULL));
}

struct pool_cost estate_pool_cost(const struct estate *e, const struct target *asg)
{
    struct pool_cost cost = {0};

    for (size_t i = 0; i < estate_len(e); i++) {
        const struct target *s = estate_at(e, i), *d;
        int64_t size = json_get_int(s->fields, "pool_size", 0);

        if (strcmp(s->kind, "service") != 0 || size <= 0 || !names(s, "asg", asg->name))
            continue;
        d = estate_related(e, s, "postgres");
        if (d == NULL || json_get(s->fields, "proxy") != NULL ||
            json_get(d->fields, "proxy") != NULL)
            continue;
        if (cost.database != NULL && cost.database != d)
            cost.other = d;
        cost.database = cost.database != NULL ? cost.database : d;
        cost.each += size;
    }
    return cost;
}

const struct target *estate_database(const struct estate *e, const struct target *t)
{
    struct pool_cost cost;

    if (strcmp(t->kind, "asg") == 0) {
        cost = estate_pool_cost(e, t);
        return cost.other == NULL ? cost.database : NULL;
    }
    for (size_t i = 0; strcmp(t->kind, "proxy") == 0 && i < estate_len(e); i++) {
        const struct target *d = estate_at(e, i);

        if (strcmp(d->kind, "postgres") == 0 && names(d, "proxy", t->name))
            return d;
    }
    return estate_related(e, t, "postgres");
}

const char *estate_domain(const struct estate *e, const struct target *t)
{
    const char *field = target_kind_find(t->kind)->domain;
    const struct target *account = estate_related(e, t, "aws");
    const char *own = field != NULL ? json_get_str(t->fields, field, NULL) : NULL;

    if (own != NULL || field == NULL || account == NULL)
        return own;
    return json_get_str(account->fields, field, NULL);
}

static bool listed(const struct json *list, const char *name)
{
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (strcmp(json_str(i, ""), name) == 0)
            return true;
    }
    return false;
}

bool selector_match(const struct selector *s, const struct target *t)
{
    /* One without a kind is what is left of a selector that was wrong, and reported: it selects
     * nothing. */
    if (s->kind == NULL || strcmp(s->kind, t->kind) != 0)
        return false;
    /* A list that is given and empty selects nothing: only an absent one means all. */
    if (json_type(s->name) == JSON_LIST && !listed(s->name, t->name))
        return false;
    if (json_type(s->except) == JSON_LIST && listed(s->except, t->name))
        return false;
    for (const struct json *i = json_first(s->tag); i != NULL; i = json_next(i)) {
        const char *have = json_get_str(t->tag, json_key(i), NULL);

        if (have == NULL || strcmp(have, json_str(i, "")) != 0)
            return false;
    }
    return true;
}

static int by_order(const void *a, const void *b)
{
    const struct target *x = *(const struct target *const *)a,
                        *y = *(const struct target *const *)b;

    return x->order < y->order ? -1 : x->order > y->order;
}

size_t estate_select(const struct estate *e, const struct selector *s, const struct target ***out)
{
    bool by_name = json_type(s->name) == JSON_LIST;
    size_t n = 0, most = by_name ? json_len(s->name) : estate_len(e);
    const struct target **found = mem_calloc(most + 1, sizeof(*found));

    *out = found;
    if (!by_name) {
        for (size_t i = 0; i < most; i++) {
            if (selector_match(s, e->targets[i]))
                found[n++] = e->targets[i];
        }
        return n;
    }
    /* Few names among many targets: they are looked up. */
    for (const struct json *i = json_first(s->name); i != NULL; i = json_next(i)) {
        const struct target *t = estate_find(e, s->kind, json_str(i, ""));

        if (t != NULL && selector_match(s, t))
            found[n++] = t;
    }
    qsort(found, n, sizeof(*found), by_order);
    most = n;
    n = 0;
    for (size_t i = 0; i < most; i++) { /* a name may be given twice */
        if (i == 0 || found[i] != found[i - 1])
            found[n++] = found[i];
    }
    return n;
}
