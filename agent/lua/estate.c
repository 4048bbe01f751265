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
    struct json
        *places; /* "ID.FIELD" -> where it names another target: {"line", "column", "width"} */
};

/* A target that was wrong is one all the same: what names it is not wrong for that. */
static void add_wrong(struct loader *ld, const struct target_kind *k, const char *name)
{
    struct estate_out *out = ld->out;
    struct err e = ERR_INIT; /* there is one of that name: as good */
    (void)estate_add(out->estate, k->name, name, NULL, NULL, MODE_OFF, ld->names[0], 0, &e);
}

static void note_place(struct estate_out *out, const char *id, const char *field,
                       const struct place *at)
{
    char *key = mem_printf("%s.%s", id, field);
    struct json *row = json_set(out->places, key, json_new_map());
    json_set_int(row, "line", at->line);
    json_set_int(row, "column", at->column);
    json_set_int(row, "width", at->width);
    mem_free(key);
}

/* Where the options that name targets are written. */
static void note_places(lua_State *L, const struct tab *t, const struct option *options, size_t n,
                        const char *id)
{
    for (size_t i = 0; i < n; i++) {
        if (options[i].type == OPT_TARGET) {
            struct place at = place_value(L, t->index, options[i].name, 0);
            note_place(loader_of(L)->out, id, options[i].name, &at);
        }
    }
}

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
        add_wrong(ld, k, name);
        poison_push(L);
        return 1;
    }
    if (!sandbox_table(L, 1)) {
        struct place at = place_here(L, name);
        diag_add(ld->d, "E106", &at, "%s \"%s\" needs a table, write %s \"%s\" { ... }", k->name,
                 name, k->name, name);
        add_wrong(ld, k, name);
        poison_push(L); /* what is called of it is not wrong for that */
        return 1;
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
    } else {
        char *id = mem_printf("%s/%s", k->name, name);
        note_places(L, &t, k->options, k->noptions, id);
        note_places(L, &t, common, n, id);
        mem_free(id);
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
        poison_push(L);
        return 1;
    }
    if (!sandbox_table(L, 1)) {
        struct place at = place_here(L, "discover");
        diag_add(ld->d, "E106", &at,
                 "discover.%s needs a table, write discover.%s { aws = \"prod\" }", k->name,
                 k->name);
        poison_push(L);
        return 1;
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
    char id[32];
    snprintf(id, sizeof id, "%zu", json_len(out->discover));
    note_places(L, &t, k->discover->options, k->discover->noptions, id);
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
    const struct estate_out *out;
    const char *path, *text;
    size_t len;
};

static struct place noted(const struct reporter *r, const char *id, const char *field)
{
    char *key = mem_printf("%s.%s", id, field);
    const struct json *row = json_get(r->out->places, key);
    mem_free(key);
    return (struct place){.file = r->path,
                          .line = (int)json_get_int(row, "line", 0),
                          .column = (int)json_get_int(row, "column", 0),
                          .width = (int)json_get_int(row, "width", 0),
                          .text = r->text,
                          .text_len = r->len};
}

static void report(void *arg, const struct target *t, const char *field, const char *text)
{
    const struct reporter *r = arg;
    struct place at = noted(r, t->id, field);
    diag_add(r->d, "E102", &at, "%s", text);
}

/* What each discover names, and that no two are the same. */
static void check_discover(const struct reporter *r)
{
    const char *accounts[64];
    char id[32], hint[160];
    size_t n = 0, i = 0;
    for (size_t k = 0; k < estate_len(r->out->estate) && n < 64; k++) {
        const struct target *t = estate_at(r->out->estate, k);
        if (strcmp(t->kind, "aws") == 0) {
            accounts[n++] = t->name;
        }
    }
    for (const struct json *j = json_first(r->out->discover); j; j = json_next(j)) {
        const char *aws = json_get_str(j, "aws", NULL), *kind = json_get_str(j, "kind", "");
        snprintf(id, sizeof id, "%zu", ++i);
        struct place at = noted(r, id, "aws");
        if (aws && !estate_find(r->out->estate, "aws", aws)) {
            did_you_mean(hint, sizeof hint, aws, accounts, n);
            diag_add(r->d, "E102", &at, "discover.%s: there is no aws \"%s\"%s", kind, aws, hint);
        }
        for (const struct json *k = json_first(r->out->discover); aws && k != j; k = json_next(k)) {
            if (listing_same(j, k)) {
                diag_add(r->d, "E110", &at,
                         "discover.%s with this account and these tags is already at line %lld; "
                         "take one of them out",
                         kind, (long long)json_get_int(k, "line", 0));
            }
        }
    }
}

struct estate *estate_load(const char *path, const struct place *named, struct json **discover,
                           struct diags *d)
{
    size_t len = 0, before = diags_errors(d);
    char *text = readable(path, "estate", named, d) ? read_text(path, &len, d) : NULL;
    if (!text) {
        return NULL;
    }
    struct arena *arena = arena_new();
    struct keep keep = {0};
    struct estate_out out = {
        .estate = estate_new(), .discover = json_new_list(), .places = json_new_map()};
    struct loader ld;
    loader_init(&ld, arena, &keep, d, FILE_ESTATE);
    ld.out = &out;
    loader_run(&ld, path, text, len, NULL);
    if (ld.ended) {
        struct reporter r = {.d = d, .out = &out, .path = path, .text = text, .len = len};
        estate_check(out.estate, report, &r);
        check_discover(&r);
    }
    loader_end(&ld);
    keep_free(&keep);
    arena_free(arena);
    mem_free(text);
    json_free(out.places);
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
