/* Policy files into one set: found in folders, loaded one by one in states of their own, checked
 * together; variants per target on demand. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "lua/internal.h"
#include "lua/tests.h"

#define MAX_TRIALS 64 /* different overrides of a file that are tried when it is loaded */

/* A file loaded once more with the overrides of one target. */
struct variant {
    const struct source *base;
    char *target;             /* id */
    struct policy **policies; /* NULL: no override changes this file for it */
    size_t npolicies;
    bool failed; /* acts on nothing: the base may be wider */
};

/* ---- finding files ---- */

struct names {
    char **items;
    size_t n, cap;
};

static void add_name(struct names *names, char *path)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->items[i], path) == 0) {
            mem_free(path);
            return;
        }
    }
    if (names->n == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 16;
        names->items = mem_realloc(names->items, names->cap * sizeof *names->items);
    }
    names->items[names->n++] = path;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* tests: the *_test.lua, in place of all others. */
static void find(struct names *names, const char *path, int depth, bool tests, struct diags *d)
{
    if (!is_folder(path)) {
        add_name(names, mem_strdup(path));
        return;
    }
    struct place at = {.file = path};
    DIR *dir = opendir(path);
    if (!dir) {
        diag_add(d, "E100", &at, "cannot be read: %s", strerror(errno));
        return;
    }
    struct names here = {0};
    for (struct dirent *e; (e = readdir(dir));) {
        char *full = mem_printf("%s/%s", path, e->d_name);
        bool folder = e->d_name[0] != '.' && is_folder(full);
        if (folder && depth == 0 && strcmp(e->d_name, "procedures") == 0) {
            find(names, full, 1, tests, d);
        } else if (!folder && e->d_name[0] != '.' && ends_with(e->d_name, ".lua") &&
                   ends_with(e->d_name, "_test.lua") == tests) {
            add_name(&here, full);
            continue;
        }
        mem_free(full);
    }
    closedir(dir);
    for (size_t i = 0; i < here.n; i++) {
        add_name(names, here.items[i]);
    }
    mem_free(here.items);
}

char **tests_find(const char *const *paths, size_t npaths, size_t *n, struct diags *d)
{
    struct names names = {0};
    for (size_t i = 0; i < npaths; i++) {
        size_t len = strlen(paths[i]);
        if (is_folder(paths[i]) || ends_with(paths[i], "_test.lua") ||
            !ends_with(paths[i], ".lua")) {
            find(&names, paths[i], 0, true, d);
        } else {
            add_name(&names, mem_printf("%.*s_test.lua", (int)len - 4, paths[i]));
        }
    }
    if (names.n) {
        qsort(names.items, names.n, sizeof *names.items, by_name);
    }
    *n = names.n;
    return names.items;
}

/* ---- libs on disk ---- */

struct folder {
    const char *libs, *file;
    struct arena *arena;
    struct diags *d;
};

static const char *disk_lib(void *arg, const char *name, size_t *len, const char **path)
{
    const struct folder *f = arg;
    const char *slash = strrchr(f->file, '/');
    int dir = slash ? (int)(slash - f->file) : 1;
    const char *base = slash ? f->file : ".";
    const char *tries[3] = {NULL};
    if (f->libs) {
        tries[0] = arena_printf(f->arena, "%s/%s.lua", f->libs, name);
    } else {
        tries[0] = arena_printf(f->arena, "%.*s/lib/%s.lua", dir, base, name);
        tries[1] = arena_printf(f->arena, "%.*s/../lib/%s.lua", dir, base, name);
    }
    for (size_t i = 0; i < 2 && tries[i]; i++) {
        struct stat st;
        char *text = stat(tries[i], &st) == 0 ? read_text(tries[i], len, f->d) : NULL;
        if (text) {
            char *kept = arena_strndup(f->arena, text, *len);
            mem_free(text);
            *path = tries[i];
            return kept;
        }
    }
    return NULL;
}

/* ---- sets ---- */

static void keep_source(struct set_data *s, struct source *source)
{
    if (s->nsources == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->sources = mem_realloc(s->sources, s->cap * sizeof(struct source *));
    }
    s->sources[s->nsources++] = source;
}

static void destroy(struct policy_set *set)
{
    struct set_data *s = set->loader;
    for (size_t i = 0; i < s->nsources; i++) {
        source_free(s->sources[i]);
    }
    for (size_t i = 0; i < s->nvariants; i++) {
        mem_free(s->variants[i].target);
        mem_free(s->variants[i].policies);
    }
    mem_free(s->sources);
    mem_free(s->variants);
    json_free(s->params);
    keep_free(&s->keep);
    mem_free(s);
    mem_free(set->policies);
    arena_free(set->arena);
    mem_free(set);
}

static const struct policy *variant(struct policy_set *set, const struct policy *p,
                                    const struct target *t);

static void try_overrides(struct policy_set *set, const struct policy_load_options *o,
                          struct diags *d);

static struct policy_set *new_set(void)
{
    struct policy_set *set = mem_alloc(sizeof *set);
    set->refs = 1;
    set->arena = arena_new();
    set->destroy = destroy;
    set->loader = mem_alloc(sizeof(struct set_data));
    return set;
}

/* Ties the loaded policies to their source. */
static void adopt(struct policy_set *set, struct policy **policies, size_t n, struct source *source)
{
    const struct set_data *s = set->loader;
    for (size_t i = 0; i < n; i++) {
        struct policy_data *d = arena_alloc(set->arena, sizeof *d);
        d->source = source;
        d->policy = policies[i]->name;
        /* a ladder has no run function: it is the engine's */
        policies[i]->script = policies[i]->ladder ? NULL : &lua_script_ops;
        policies[i]->script_data = d;
        policies[i]->source_hash = source->hash;
        policies[i]->params = source->params;
        policies[i]->set = set;
        if (s->mode_given) {
            policies[i]->mode = s->mode;
        }
    }
}

static void load_file(struct policy_set *set, const char *path, const char *libs, struct diags *d)
{
    struct set_data *s = set->loader;
    size_t len = 0;
    char *text = read_text(path, &len, d);
    if (!text) {
        return;
    }
    struct loader ld;
    struct folder folder = {.libs = libs, .file = path, .arena = set->arena, .d = d};
    loader_init(&ld, set->arena, &s->keep, d, FILE_POLICY);
    ld.lib = disk_lib;
    ld.arg = &folder;
    ld.params = s->params;
    ld.estate = s->estate;
    ld.operators = s->operators;
    ld.noperators = s->noperators;
    loader_run(&ld, path, text, len, policy_finish);
    struct source *source = source_new(path, text, len, ld.libs, ld.used);
    keep_source(s, source);
    adopt(set, ld.policies, ld.npolicies, source);
    set->policies =
        mem_realloc(set->policies, (set->npolicies + ld.npolicies + 1) * sizeof(struct policy *));
    for (size_t i = 0; i < ld.npolicies; i++) {
        set->policies[set->npolicies++] = ld.policies[i];
    }
    loader_end(&ld);
    mem_free(text);
}

static void keep_only(struct policy_set *set, const char *const *names, size_t nnames)
{
    size_t n = 0;
    for (size_t i = 0; i < set->npolicies; i++) {
        for (size_t k = 0; k < nnames; k++) {
            if (strcmp(set->policies[i]->name, names[k]) == 0) {
                set->policies[n++] = set->policies[i];
                break;
            }
        }
    }
    set->npolicies = n;
}

struct policy_set *policies_load(const struct policy_load_options *o, struct diags *d)
{
    struct policy_set *set = new_set();
    struct set_data *s = set->loader;
    struct names names = {0};
    struct json *places = json_new_map();
    size_t before = diags_errors(d);
    set->variant = variant;
    s->estate = o->estate;
    s->operators = o->operators;
    s->noperators = o->noperators;
    if (o->params && readable(o->params, "environment", o->params_at, d)) {
        s->params = params_load(o->params, places, d);
    } else if (o->values) {
        s->params = json_copy(o->values);
    }
    if (o->as_mode) {
        s->mode_given = true;
        s->mode = *o->as_mode;
    }
    bool folders = false;
    for (size_t i = 0; i < o->npaths; i++) {
        if (!readable(o->paths[i], "policies", o->paths_at ? &o->paths_at[i] : NULL, d)) {
            continue;
        }
        folders = folders || is_folder(o->paths[i]);
        find(&names, o->paths[i], 0, false, d);
    }
    if (names.n) {
        qsort(names.items, names.n, sizeof *names.items, by_name);
    }
    for (size_t i = 0; i < names.n; i++) {
        load_file(set, names.items[i], o->libs, d);
        mem_free(names.items[i]);
    }
    mem_free(names.items);
    check_set(set, o, folders, d);
    if (o->whole && o->params && diags_errors(d) == before) {
        params_check(set, o, s->params, places, d);
    }
    json_free(places);
    if (diags_errors(d) == before) {
        try_overrides(set, o, d);
    }
    if (o->only) {
        keep_only(set, o->only, o->nonly);
    }
    s->estate = NULL; /* the caller's; the target's own fields are not needed again */
    s->operators = NULL;
    if (diags_errors(d) != before) {
        destroy(set);
        return NULL;
    }
    return set;
}

struct policy_set *set_of_source(struct source *source, struct diags *d)
{
    struct policy_set *set = new_set();
    struct set_data *s = set->loader;
    struct loader ld;
    size_t before = diags_errors(d);
    keep_source(s, source);
    loader_init(&ld, set->arena, &s->keep, d, FILE_POLICY);
    source_serve(&ld, source);
    loader_run(&ld, source->name, source->text, source->len, policy_finish);
    adopt(set, ld.policies, ld.npolicies, source);
    set->policies = mem_realloc(NULL, (ld.npolicies + 1) * sizeof(struct policy *));
    for (size_t i = 0; i < ld.npolicies; i++) {
        set->policies[set->npolicies++] = ld.policies[i];
    }
    loader_end(&ld);
    if (diags_errors(d) != before) {
        destroy(set);
        return NULL;
    }
    return set;
}

/* ---- variants ---- */

/* Whether the environment has an override of one of the file's parameters for this target. */
static bool overridden(const struct json *params, const struct source *base, const struct target *t)
{
    for (const struct json *p = json_first(base->params); p; p = json_next(p)) {
        char *by_name_ = mem_printf("%s@%s", json_key(p), t->name);
        char *by_id = mem_printf("%s@%s", json_key(p), t->id);
        bool found = json_get(params, by_name_) || json_get(params, by_id);
        mem_free(by_name_);
        mem_free(by_id);
        if (found) {
            return true;
        }
    }
    return false;
}

/* Loads the file of `base` with the overrides of one target; the policies are the caller's array.
 */
static struct policy **load_variant(struct policy_set *set, const struct source *base,
                                    const char *target_name, const char *target_id, size_t *n,
                                    struct diags *d)
{
    struct set_data *s = set->loader;
    struct policy **policies = NULL;
    struct loader ld;
    *n = 0;
    loader_init(&ld, set->arena, &s->keep, d, FILE_POLICY);
    source_serve(&ld, base);
    ld.estate = s->estate;
    ld.params = s->params;
    ld.target_name = target_name;
    ld.target_id = target_id;
    ld.quiet = true;
    loader_run(&ld, base->name, base->text, base->len, policy_finish);
    if (diags_errors(d) == 0) {
        struct source *source = source_new(base->name, base->text, base->len, ld.libs, ld.used);
        keep_source(s, source);
        adopt(set, ld.policies, ld.npolicies, source);
        policies = ld.policies;
        *n = ld.npolicies;
        ld.policies = NULL;
    }
    loader_end(&ld);
    return policies;
}

/* What the overrides of one target give the file's parameters, as text; NULL: nothing. The caller
 * frees. */
static char *assignment(const struct json *params, const struct source *base, const char *target)
{
    struct json *own = json_new_map();
    for (const struct json *p = json_first(base->params); p; p = json_next(p)) {
        char *key = mem_printf("%s@%s", json_key(p), target);
        if (json_get(params, key)) {
            json_set(own, json_key(p), json_copy(json_get(params, key)));
        }
        mem_free(key);
    }
    char *text = json_len(own) ? json_print_canonical(own) : NULL;
    json_free(own);
    return text;
}

static void try_one(struct policy_set *set, const struct policy_load_options *o,
                    const struct source *base, const char *target, struct diags *d)
{
    struct diags *mine = diags_new();
    size_t n = 0;
    struct policy **policies = load_variant(set, base, target, target, &n, mine);
    for (size_t k = 0; k < n; k++) {
        check_limits(policies[k], o, base->text, base->len, mine);
    }
    for (size_t k = 0; k < diags_len(mine); k++) {
        const struct diag *x = diags_at(mine, k);
        struct place at = {.file = x->file,
                           .line = x->line,
                           .column = x->column,
                           .width = x->width,
                           .text = strcmp(x->file, base->name) == 0 ? base->text : NULL,
                           .text_len = base->len};
        if (x->code[0] == 'E') {
            diag_add(d, x->code, &at, "%s (with the parameters of @%s)", x->text, target);
        }
    }
    mem_free(policies);
    diags_free(mine);
}

/* The overrides that the environment has are tried once, so that a wrong one is an error now and
 * not when its target is met: each different set of values of a file, up to a bound that keeps a
 * load short. Beyond it a wrong one leaves its target without the policy. */
static void try_overrides(struct policy_set *set, const struct policy_load_options *o,
                          struct diags *d)
{
    struct set_data *s = set->loader;
    size_t nsources = s->nsources;
    for (size_t i = 0; i < nsources; i++) {
        const struct source *base = s->sources[i];
        struct json *seen = json_new_map();
        for (const struct json *v = json_first(s->params); v; v = json_next(v)) {
            const char *at = strchr(json_key(v), '@');
            char *values =
                at && json_len(seen) < MAX_TRIALS ? assignment(s->params, base, at + 1) : NULL;
            if (values && !json_get(seen, values)) {
                json_set_bool(seen, values, true);
                try_one(set, o, base, at + 1, d);
            }
            mem_free(values);
        }
        json_free(seen);
    }
}

static const struct policy *variant(struct policy_set *set, const struct policy *p,
                                    const struct target *t)
{
    struct set_data *s = set->loader;
    const struct policy_data *data = p->script_data;
    const struct source *base = data->source;
    if (!s->params || !overridden(s->params, base, t)) {
        return p;
    }
    struct variant *v = NULL;
    for (size_t i = 0; i < s->nvariants && !v; i++) {
        if (s->variants[i].base == base && strcmp(s->variants[i].target, t->id) == 0) {
            v = &s->variants[i];
        }
    }
    if (!v) {
        if (s->nvariants == s->variants_cap) {
            s->variants_cap = s->variants_cap ? s->variants_cap * 2 : 8;
            s->variants = mem_realloc(s->variants, s->variants_cap * sizeof *s->variants);
        }
        v = &s->variants[s->nvariants++];
        *v = (struct variant){.base = base, .target = mem_strdup(t->id)};
        struct diags *d = diags_new();
        v->policies = load_variant(set, base, t->name, t->id, &v->npolicies, d);
        v->failed = diags_errors(d) != 0;
        diags_free(d);
    }
    for (size_t i = 0; i < v->npolicies; i++) {
        if (strcmp(v->policies[i]->name, p->name) == 0) {
            return v->policies[i];
        }
    }
    return v->failed ? NULL : p;
}
