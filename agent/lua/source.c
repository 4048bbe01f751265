/* A policy file as it is stored and loaded again: text, libs, resolved parameters and the
 * language's version under one hash (M23). */
#include <string.h>
#include "base/hash.h"
#include "lua/internal.h"

#define LANGUAGE_VERSION 1

static struct json *stored(const struct source *s)
{
    struct json *j = json_new_map();
    json_set_int(j, "language", LANGUAGE_VERSION);
    json_set_str(j, "file", s->name);
    json_set_str(j, "text", s->text);
    json_set(j, "libs", json_copy(s->libs));
    json_set(j, "params", json_copy(s->params));
    return j;
}

/* The file's name is not under the hash: a moved file is the same policy. */
static void hash(struct source *s)
{
    struct json *j = stored(s);
    json_remove(j, "file");
    char *text = json_print_canonical(j);
    sha256_hex(text, strlen(text), s->hash);
    mem_free(text);
    json_free(j);
}

struct source *source_new(const char *name, const char *text, size_t len, const struct json *libs,
                          const struct json *params)
{
    struct source *s = mem_alloc(sizeof *s);
    s->name = mem_strdup(name);
    s->text = mem_strndup(text, len);
    s->len = len;
    s->libs = json_copy(libs);
    s->params = json_copy(params);
    hash(s);
    return s;
}

void source_scan(struct source *s)
{
    size_t n = json_len(s->libs) + 1;
    source_forget(s);
    s->scans = mem_calloc(n, sizeof(struct scan *));
    s->scans[s->nscans++] = scan_new(s->name, s->text, s->len);
    for (const struct json *lib = json_first(s->libs); lib; lib = json_next(lib)) {
        const char *text = json_str(lib, "");
        s->scans[s->nscans++] = scan_new(json_key(lib), text, strlen(text));
    }
}

void source_forget(struct source *s)
{
    for (size_t i = 0; i < s->nscans; i++) {
        scan_free(s->scans[i]);
    }
    mem_free(s->scans);
    s->scans = NULL;
    s->nscans = 0;
}

void source_free(struct source *s)
{
    if (!s) {
        return;
    }
    source_forget(s);
    mem_free(s->name);
    mem_free(s->text);
    json_free(s->libs);
    json_free(s->params);
    mem_free(s);
}

static const char *stored_lib(void *arg, const char *name, size_t *len, const char **path)
{
    const struct source *s = arg;
    const struct json *item = json_get(s->libs, name);
    const char *text = json_str(item, NULL);
    if (!text) {
        return NULL;
    }
    *len = strlen(text);
    *path = json_key(item);
    return text;
}

void source_serve(struct loader *ld, const struct source *s)
{
    union {
        const struct source *in;
        void *out;
    } p = {.in = s};
    ld->lib = stored_lib;
    ld->arg = p.out;
    ld->params = s->params;
    ld->scans = s->scans;
    ld->nscans = s->nscans;
}

static struct json *loader_source(void *arg, const struct policy *p)
{
    (void)arg;
    const struct policy_data *d = p->script_data;
    return stored(d->source);
}

static struct policy_set *loader_load(void *arg, const struct json *j, struct err *e)
{
    (void)arg;
    const char *text = json_get_str(j, "text", NULL);
    int64_t version = json_get_int(j, "language", 0);
    if (version != LANGUAGE_VERSION) {
        err_set(
            e, ERR_STATE,
            "the stored policy is written in language version %lld, this agent reads version %d",
            (long long)version, LANGUAGE_VERSION);
        return NULL;
    }
    if (!text || json_type(json_get(j, "libs")) != JSON_MAP ||
        json_type(json_get(j, "params")) != JSON_MAP) {
        err_set(e, ERR_INPUT, "the stored policy lacks its text, libs or params");
        return NULL;
    }
    struct diags *d = diags_new();
    struct source *s = source_new(json_get_str(j, "file", "stored"), text, strlen(text),
                                  json_get(j, "libs"), json_get(j, "params"));
    struct policy_set *set = set_of_source(s, d);
    if (!set) {
        const struct diag *x = NULL;
        for (size_t i = 0; i < diags_len(d) && (!x || x->code[0] != 'E'); i++) {
            x = diags_at(d, i);
        }
        err_set(e, ERR_INPUT, "%s:%d: %s %s", x ? x->file : "", x ? x->line : 0, x ? x->code : "",
                x ? x->text : "cannot be loaded");
    }
    diags_free(d);
    return set;
}

const struct policy_loader *lua_policy_loader(void)
{
    static const struct policy_loader loader = {.source = loader_source, .load = loader_load};
    return &loader;
}
