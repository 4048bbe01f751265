/* estate.lua: targets by kind, accounts, what is to be discovered; and the environment's
 * parameters. Data only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lua/internal.h"
#include "plugin/listing.h"

struct estate_out {
    struct estate *estate;
    struct json *discover;
};

/* ---- targets ---- */

/* The kind's options, and of the common fields those that it does not have itself. */
static size_t common_options(const struct target_kind *k, struct option *out)
{
    size_t n = 0;
    for (size_t i = 0; i < schema_target.nfields; i++) {
        const struct option *o = &schema_target.fields[i].option;
        if (!option_find(k->options, k->noptions, o->name) &&
            !(strcmp(o->name, "aws") == 0 && strcmp(k->name, "aws") == 0)) {
            out[n++] = *o;
        }
    }
    return n;
}

/* upvalues: kind, name */
static int take_target(lua_State *L)
{
    struct loader *ld = loader_of(L);
    struct estate_out *out = ld->out;
    const struct target_kind *k = lua_touserdata(L, lua_upvalueindex(1));
    const char *name = lua_tostring(L, lua_upvalueindex(2));
    lua_settop(L, 1);
    if (is_poison(L, 1)) {
        return 0;
    }
    if (!sandbox_table(L, 1)) {
        struct place at = place_here(L, name);
        diag_add(ld->d, "E106", &at, "%s \"%s\" needs a table, write %s \"%s\" { ... }", k->name,
                 name, k->name, name);
        return 0;
    }
    struct option common[8];
    size_t n = common_options(k, common);
    struct field fields[8];
    for (size_t i = 0; i < n; i++) {
        fields[i] = (struct field){.option = common[i]};
    }
    struct tab t = {.index = lua_gettop(L),
                    .what = arena_printf(ld->arena, "%s \"%s\"", k->name, name)};
    tab_known(L, &t, fields, n, k->options, k->noptions);
    size_t before = diags_errors(ld->d);
    struct json *held = tab_options(L, &t, k->options, k->noptions);
    const struct json *more = tab_options(L, &t, common, n);
    struct err e = ERR_INIT;
    if (json_get(more, "aws")) {
        json_set(held, "aws", json_copy(json_get(more, "aws")));
    }
    int mode = mode_parse(json_get_str(more, "mode", "enforce"));
    const struct json *tag = json_get(more, "tag");
    struct place at = place_call(L, t.index);
    if (k->check && diags_errors(ld->d) == before && !ld->poisoned && k->check(held, &e) != 0) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(e.text, " "), e.text);
        struct place there = json_get(held, word) ? place_key(L, t.index, word, 0) : at;
        diag_add(ld->d, "E106", &there, "%s: %s", t.what, e.text);
    }
    if (estate_add(out->estate, k->name, name, tag ? json_copy(tag) : json_new_map(),
                   json_copy(held), mode < 0 ? MODE_OFF : (enum mode)mode, at.file, at.line,
                   &e) != 0) {
        diag_add(ld->d, "E110", &at, "%s", e.text);
    }
    return 0;
}

static int make_target(lua_State *L)
{
    const struct target_kind *k = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING || !*lua_tostring(L, 1)) {
        struct place at = place_here(L, k->name);
        diag_add(loader_of(L)->d, "E106", &at, "%s needs a name, write %s \"name\" { ... }",
                 k->name, k->name);
        poison_push(L);
        return 1;
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, take_target, 2);
    return 1;
}

/* upvalue: kind */
static int take_discover(lua_State *L)
{
    struct loader *ld = loader_of(L);
    struct estate_out *out = ld->out;
    const struct target_kind *k = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    if (is_poison(L, 1)) {
        return 0;
    }
    if (!sandbox_table(L, 1)) {
        struct place at = place_here(L, "discover");
        diag_add(ld->d, "E106", &at,
                 "discover.%s needs a table, write discover.%s { aws = \"prod\" }", k->name,
                 k->name);
        return 0;
    }
    struct tab t = {.index = lua_gettop(L),
                    .what = arena_printf(ld->arena, "discover.%s", k->name)};
    tab_known(L, &t, NULL, 0, k->discover->options, k->discover->noptions);
    struct json *held = json_copy(tab_options(L, &t, k->discover->options, k->discover->noptions));
    struct place at = place_call(L, t.index);
    json_set_str(held, "kind", k->name);
    json_set_str(held, "file", at.file);
    json_set_int(held, "line", at.line);
    json_add(out->discover, held);
    return 0;
}

/* With the kind as the function's upvalue. */
static void push_maker(lua_State *L, const struct target_kind *k, lua_CFunction make)
{
    union {
        const struct target_kind *in;
        void *out;
    } p = {.in = k};
    lua_pushlightuserdata(L, p.out);
    lua_pushcclosure(L, make, 1);
}

void estate_register(lua_State *L)
{
    for (size_t i = 0; i < target_kinds_len; i++) {
        push_maker(L, &target_kinds[i], make_target);
        lua_setfield(L, -2, target_kinds[i].name);
    }
    lua_newtable(L);
    for (size_t i = 0; i < target_kinds_len; i++) {
        if (target_kinds[i].discover) {
            push_maker(L, &target_kinds[i], take_discover);
            lua_setfield(L, -2, target_kinds[i].name);
        }
    }
    sandbox_freeze(L, false);
    lua_setfield(L, -2, "discover");
}

struct reporter {
    struct diags *d;
    const char *text;
    size_t len;
};

static void report(void *arg, const char *file, int line, const char *text)
{
    const struct reporter *r = arg;
    struct place at = {.file = file, .line = line, .text = r->text, .text_len = r->len};
    diag_add(r->d, "E102", &at, "%s", text);
}

struct estate *estate_load(const char *path, struct json **discover, struct diags *d)
{
    size_t len = 0, before = diags_errors(d);
    char *text = read_text(path, &len, d);
    if (!text) {
        return NULL;
    }
    struct arena *arena = arena_new();
    struct keep keep = {0};
    struct estate_out out = {.estate = estate_new(), .discover = json_new_list()};
    struct loader ld;
    loader_init(&ld, arena, &keep, d, FILE_ESTATE);
    ld.out = &out;
    loader_run(&ld, path, text, len, NULL);
    if (diags_errors(d) == before) {
        struct reporter r = {.d = d, .text = text, .len = len};
        estate_check(out.estate, report, &r);
        for (const struct json *j = json_first(out.discover); j; j = json_next(j)) {
            if (!estate_find(out.estate, "aws", json_get_str(j, "aws", ""))) {
                char *why = mem_printf("discover.%s: there is no aws \"%s\"",
                                       json_get_str(j, "kind", ""), json_get_str(j, "aws", ""));
                report(&r, path, (int)json_get_int(j, "line", 0), why);
                mem_free(why);
            }
            for (const struct json *k = json_first(out.discover); k != j; k = json_next(k)) {
                if (listing_same(j, k)) {
                    struct place at = {.file = path,
                                       .line = (int)json_get_int(j, "line", 0),
                                       .text = text,
                                       .text_len = len};
                    diag_add(d, "E110", &at,
                             "discover.%s with this account and these tags is already at line "
                             "%lld; take one of them out",
                             json_get_str(j, "kind", ""), (long long)json_get_int(k, "line", 0));
                }
            }
        }
    }
    loader_end(&ld);
    keep_free(&keep);
    arena_free(arena);
    mem_free(text);
    if (diags_errors(d) != before) {
        estate_unref(out.estate);
        json_free(out.discover);
        return NULL;
    }
    if (discover) {
        *discover = out.discover;
    } else {
        json_free(out.discover);
    }
    return out.estate;
}
