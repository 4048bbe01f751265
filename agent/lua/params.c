/* params/ENVIRONMENT.lua: the values of param(...), and whether each is one that something asks
 * for. */
#include <string.h>
#include "lua/internal.h"

struct params_out {
    struct json *values, *places;
};

static int params_finish(lua_State *L)
{
    struct loader *ld = loader_of(L);
    bool poison = false;
    lua_settop(L, 1);
    struct json *j = lua_type(L, 1) == LUA_TTABLE ? value_json(L, 1, &poison) : NULL;
    if (json_type(j) == JSON_LIST && json_len(j) == 0) {
        j = keep_json(ld->keep, json_new_map());
    }
    if (json_type(j) == JSON_MAP) {
        struct params_out *out = ld->out;
        out->values = j;
        for (const struct json *v = json_first(j); v; v = json_next(v)) {
            struct place at = place_key(L, 1, json_key(v), 0);
            struct json *row = json_set(out->places, json_key(v), json_new_map());
            json_set_int(row, "line", at.line);
            json_set_int(row, "column", at.column);
            json_set_int(row, "width", at.width);
        }
    } else if (!poison) {
        struct place at = {.file = ld->names[0], .line = 1, .column = 1};
        diag_add(ld->d, "E106", &at,
                 "parameters are a table of plain values, write return { name = value, "
                 "[\"name@target\"] = value }");
    }
    return 0;
}

struct json *params_load(const char *path, struct json *places, struct diags *d)
{
    struct params_out out = {.places = places};
    size_t len = 0;
    char *text = read_text(path, &len, d);
    struct json *params = NULL;
    if (text) {
        struct arena *arena = arena_new();
        struct keep keep = {0};
        struct loader ld;
        loader_init(&ld, arena, &keep, d, FILE_PARAMS);
        ld.out = &out;
        loader_run(&ld, path, text, len, params_finish);
        params = out.values ? json_copy(out.values) : NULL;
        loader_end(&ld);
        keep_free(&keep);
        arena_free(arena);
        mem_free(text);
    }
    return params;
}

/* ---- what nobody asks for ---- */

struct params_check {
    const struct policy_set *set;
    const struct policy_load_options *o;
    const struct json *places;
    const char *text; /* of the file */
    size_t len;
    const char **names; /* that some policy asks for */
    size_t nnames;
    struct diags *d;
};

static const struct source *source_of(const struct policy *p)
{
    return ((const struct policy_data *)p->script_data)->source;
}

static bool quoted(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = text; (s = strstr(s, name)); s++) {
        if (s > text && (s[-1] == '"' || s[-1] == '\'') && s[n] == s[-1]) {
            return true;
        }
    }
    return false;
}

/* A name that stands in a text and was not asked for this time, as after an `if`, is known too. */
static bool asked(const struct params_check *c, const char *name)
{
    for (size_t i = 0; i < c->nnames; i++) {
        if (strcmp(c->names[i], name) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < c->set->npolicies; i++) {
        const struct source *s = source_of(c->set->policies[i]);
        bool found = quoted(s->text, name);
        for (const struct json *lib = json_first(s->libs); lib && !found; lib = json_next(lib)) {
            found = quoted(json_str(lib, ""), name);
        }
        if (found) {
            return true;
        }
    }
    return false;
}

static void tell(const struct params_check *c, const char *code, const char *key, const char *text)
{
    const struct json *row = json_get(c->places, key);
    struct place at = {.file = c->o->params,
                       .line = (int)json_get_int(row, "line", 0),
                       .column = (int)json_get_int(row, "column", 0),
                       .width = (int)json_get_int(row, "width", 0),
                       .text = c->text,
                       .text_len = c->len};
    diag_add(c->d, code, &at, "%s", text);
}

/* Of NAME@TARGET, that there is such a target, and that a policy which asks for NAME is for it. */
static void check_target(const struct params_check *c, const char *key, const char *name,
                         const char *target)
{
    const struct estate *estate = c->o->estate;
    const struct target *t = NULL;
    const char **names = mem_calloc(estate_len(estate) + 1, sizeof *names);
    char hint[160], *text = NULL;
    bool applies = false, found = false;
    for (size_t i = 0; i < estate_len(estate); i++) {
        t = estate_at(estate, i);
        names[i] = strchr(target, '/') ? t->id : t->name;
        if (strcmp(names[i], target) != 0) {
            continue;
        }
        found = true;
        for (size_t k = 0; k < c->set->npolicies && !applies; k++) {
            const struct policy *p = c->set->policies[k];
            applies = selector_match(&p->target, t) &&
                      (json_get(source_of(p)->params, name) || quoted(source_of(p)->text, name));
        }
    }
    did_you_mean(hint, sizeof hint, target, names, estate_len(estate));
    if (!found && json_len(c->o->discover)) {
        text = mem_printf("\"%s\": the estate declares no target \"%s\"%s; it counts only if a "
                          "discover finds one of that name",
                          key, target, hint);
        tell(c, "W208", key, text);
    } else if (!found) {
        text = mem_printf("\"%s\": there is no target \"%s\"%s", key, target, hint);
        tell(c, "E102", key, text);
    } else if (!applies) {
        text =
            mem_printf("\"%s\": no policy that asks for \"%s\" is for \"%s\": it changes nothing",
                       key, name, target);
        tell(c, "W208", key, text);
    }
    mem_free(text);
    mem_free(names);
}

void params_check(const struct policy_set *set, const struct policy_load_options *o,
                  const struct json *values, const struct json *places, struct diags *d)
{
    struct params_check c = {.set = set, .o = o, .places = places, .d = d};
    struct diags *none = diags_new();
    char *source = read_text(o->params, &c.len, none);
    size_t cap = 0;
    diags_free(none);
    c.text = source;
    for (size_t i = 0; i < set->npolicies; i++) {
        const struct json *used = source_of(set->policies[i])->params;
        for (const struct json *u = json_first(used); u; u = json_next(u)) {
            if (c.nnames == cap) {
                cap = cap ? cap * 2 : 32;
                c.names = mem_realloc(c.names, cap * sizeof *c.names);
            }
            c.names[c.nnames++] = json_key(u);
        }
    }
    for (const struct json *v = json_first(values); v; v = json_next(v)) {
        const char *key = json_key(v), *at = strchr(key, '@');
        char *name = mem_strndup(key, at ? (size_t)(at - key) : strlen(key));
        if (!asked(&c, name)) {
            char hint[160];
            did_you_mean(hint, sizeof hint, name, c.names, c.nnames);
            char *text = mem_printf("no policy asks for the parameter \"%s\"%s", name, hint);
            tell(&c, "E102", key, text);
            mem_free(text);
        } else if (at && o->estate) {
            check_target(&c, key, name, at + 1);
        }
        mem_free(name);
    }
    mem_free(c.names);
    mem_free(source);
}
