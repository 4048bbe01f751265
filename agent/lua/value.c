/* From Lua's values to checked data: nodes, JSON, options with their errors at the place where the
 * value was written. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "lua/internal.h"

#define MAX_DEPTH 16
#define MAX_NAMES 128
#define MAX_NODES 20000

struct json *keep_json(struct keep *k, struct json *j)
{
    if (k->n == k->cap) {
        k->cap = k->cap ? k->cap * 2 : 64;
        k->items = mem_realloc(k->items, k->cap * sizeof *k->items);
    }
    k->items[k->n++] = j;
    return j;
}

void keep_free(struct keep *k)
{
    for (size_t i = 0; i < k->n; i++) {
        json_free(k->items[i]);
    }
    mem_free(k->items);
    *k = (struct keep){0};
}

/* ---- nodes ---- */

static const char *const node_names[] = {"unknown", "condition", "action", "selector", "secret"};

static int poison_back(lua_State *L)
{
    poison_push(L);
    return 1;
}
static int poison_compare(lua_State *L)
{
    lua_pushboolean(L, 0);
    return 1;
}
static int poison_keep(lua_State *L)
{
    (void)L;
    return 0;
}
static int node_index(lua_State *L)
{
    return luaL_error(L, "a %s has no fields: it is data for a policy", luaL_tolstring(L, 1, NULL));
}
static int node_text(lua_State *L)
{
    const struct node *n = lua_touserdata(L, 1);
    lua_pushstring(L, node_names[n->kind]);
    return 1;
}

static void metatable(lua_State *L, enum node_kind kind)
{
    if (luaL_newmetatable(L, node_names[kind]) == 0) {
        return;
    }
    if (kind == NODE_POISON) { /* takes part in everything and gives itself, so that one mistake is
                                  reported once */
        static const char *const all[] = {"__index", "__call",   "__add",  "__sub", "__mul",
                                          "__div",   "__mod",    "__pow",  "__unm", "__idiv",
                                          "__band",  "__bor",    "__bxor", "__shl", "__shr",
                                          "__bnot",  "__concat", "__len"};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            lua_pushcfunction(L, poison_back);
            lua_setfield(L, -2, all[i]);
        }
        lua_pushcfunction(L, poison_compare);
        lua_setfield(L, -2, "__lt");
        lua_pushcfunction(L, poison_compare);
        lua_setfield(L, -2, "__le");
        lua_pushcfunction(L, poison_keep);
        lua_setfield(L, -2, "__newindex");
    } else {
        lua_pushcfunction(L, node_index);
        lua_setfield(L, -2, "__index");
    }
    lua_pushcfunction(L, node_text);
    lua_setfield(L, -2, "__tostring");
}

struct node *node_push(lua_State *L, enum node_kind kind)
{
    struct loader *ld = loader_of(L);
    if (++ld->nodes >
        MAX_NODES) { /* their data is outside Lua's memory, so it has a bound of its own */
        luaL_error(L, "E116 more than %d conditions, actions and selectors in one file", MAX_NODES);
    }
    host_charge(L, 100);
    struct node *n = lua_newuserdatauv(L, sizeof *n, 0);
    memset(n, 0, sizeof *n);
    n->kind = kind;
    metatable(L, kind);
    lua_setmetatable(L, -2);
    return n;
}

struct node *node_at(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TUSERDATA ? lua_touserdata(L, index) : NULL;
}

bool is_poison(lua_State *L, int index)
{
    const struct node *n = node_at(L, index);
    return n && n->kind == NODE_POISON;
}

void poison_push(lua_State *L)
{
    loader_of(L)->poisoned = true;
    node_push(L, NODE_POISON);
}

/* ---- JSON ---- */

static struct json *convert(lua_State *L, int index, bool *poison, int depth);

/* Fills the kept list or map `into` from the table at `index`; false when it holds what is not
 * data, or names beside a list. */
static struct json *convert_table(lua_State *L, int index, bool *poison, int depth)
{
    struct keep *keep = loader_of(L)->keep;
    int base = lua_gettop(L);
    if (!sandbox_table(L, index) || !sandbox_keys(L, base + 1)) {
        lua_settop(L, base);
        return NULL;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, base + 2);
    struct json *into = NULL;
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, base + 2, i);
        bool named = lua_type(L, -1) == LUA_TSTRING;
        if (!into) {
            into = keep_json(keep, named ? json_new_map() : json_new_list());
        }
        if (named != (json_type(into) == JSON_MAP) ||
            (!named && !(lua_isinteger(L, -1) && lua_tointeger(L, -1) == i))) {
            lua_settop(L, base);
            return NULL;
        }
        lua_pushvalue(L, -1);
        lua_rawget(L, base + 1);
        struct json *item = convert(L, lua_gettop(L), poison, depth + 1);
        if (!item) {
            lua_settop(L, base);
            return NULL;
        }
        if (named) {
            json_set(into, lua_tostring(L, -2), json_copy(item));
        } else {
            json_add(into, json_copy(item));
        }
        lua_settop(L, base + 2);
    }
    lua_settop(L, base);
    return into ? into : keep_json(keep, json_new_list());
}

static struct json *convert(lua_State *L, int index, bool *poison, int depth)
{
    struct keep *keep = loader_of(L)->keep;
    luaL_checkstack(L, 12, "tables nested too deep");
    if (depth > MAX_DEPTH) {
        return NULL;
    }
    const struct node *n = node_at(L, index);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return keep_json(keep, json_new_null());
    case LUA_TBOOLEAN:
        return keep_json(keep, json_new_bool(lua_toboolean(L, index)));
    case LUA_TNUMBER:
        /* Neither infinity nor what is no number is data: JSON has no word for them. */
        return isfinite(lua_tonumber(L, index))
                   ? keep_json(keep, json_new_num(lua_tonumber(L, index)))
                   : NULL;
    case LUA_TSTRING:
        return keep_json(keep, json_new_str(lua_tostring(L, index)));
    case LUA_TTABLE:
        return convert_table(L, index, poison, depth);
    case LUA_TUSERDATA:
        if (n->kind == NODE_POISON) {
            *poison = true;
        } else if (n->kind == NODE_SECRET) {
            return n->secret;
        } else if (n->kind == NODE_CONDITION && n->cond->kind == COND_LEAF && n->comparators == 0 &&
                   n->cond->lasting_ms == 0 && n->cond->missing == MISSING_HOLD &&
                   !n->cond->clear_site.file) {
            struct json *j = keep_json(keep, json_new_map());
            json_set_str(j, "signal", n->cond->signal->name);
            json_set(j, "opts", json_copy(n->cond->opts));
            return j;
        }
        return NULL;
    default:
        return NULL;
    }
}

struct json *value_json(lua_State *L, int index, bool *poison)
{
    *poison = false;
    return convert(L, lua_absindex(L, index), poison, 0);
}

/* ---- tables of fields ---- */

int did_you_mean(char *out, size_t size, const char *word, const char *const *names, size_t n)
{
    const char *near = closest(word, names, n);
    return snprintf(out, size, near ? ", did you mean \"%s\"?" : "%s", near ? near : "");
}

void tab_known(lua_State *L, const struct tab *t, const struct field *fields, size_t nfields,
               const struct option *options, size_t noptions)
{
    struct loader *ld = loader_of(L);
    const char *names[MAX_NAMES];
    size_t n = 0;
    for (size_t i = 0; i < nfields && n < MAX_NAMES; i++) {
        names[n++] = fields[i].option.name;
    }
    for (size_t i = 0; i < noptions && n < MAX_NAMES; i++) {
        names[n++] = options[i].name;
    }
    int base = lua_gettop(L);
    if (!sandbox_keys(L, t->index)) {
        struct place at = place_call(L, t->index);
        diag_add(ld->d, "E106", &at, "%s takes named fields, write { name = value }", t->what);
        return;
    }
    lua_Integer keys = (lua_Integer)lua_rawlen(L, base + 1);
    for (lua_Integer i = 1; i <= keys; i++) {
        lua_rawgeti(L, base + 1, i);
        if (lua_type(L, -1) != LUA_TSTRING) {
            struct place at =
                place_key(L, t->index, NULL, lua_isinteger(L, -1) ? (int)lua_tointeger(L, -1) : 0);
            diag_add(ld->d, "E106", &at, "%s takes named fields, write name = value", t->what);
        } else {
            const char *key = lua_tostring(L, -1);
            bool known = false;
            for (size_t k = 0; k < n; k++) {
                known = known || strcmp(names[k], key) == 0;
            }
            if (!known) {
                char hint[160];
                did_you_mean(hint, sizeof hint, key, names, n);
                struct place at = place_key(L, t->index, key, 0);
                diag_add(ld->d, "E104", &at, "%s has no field \"%s\"%s", t->what, key, hint);
            }
        }
        lua_pop(L, 1);
    }
    lua_settop(L, base);
}

void tab_missing(lua_State *L, const struct tab *t, const struct field *f)
{
    struct place at = place_call(L, t->index);
    diag_add(loader_of(L)->d, "E105", &at, "%s needs the field \"%s\" (%s): %s", t->what,
             f->option.name, field_type_name(f), f->option.help ? f->option.help : "");
}

/* The first entry of a list of texts that the option's check refuses; false: none. */
static bool bad_entry(lua_State *L, const struct tab *t, const struct option *o,
                      const struct json *written, struct place *at)
{
    int i = 1;
    for (const struct json *j = json_first(written); j; j = json_next(j), i++) {
        if (json_type(j) == JSON_STRING && o->check(json_str(j, ""), NULL) != 0) {
            *at = place_entry(L, t->index, o->name, i);
            return true;
        }
    }
    return false;
}

struct json *tab_option(lua_State *L, const struct tab *t, const struct option *o, bool *given)
{
    struct loader *ld = loader_of(L);
    lua_pushstring(L, o->name);
    lua_rawget(L, t->index);
    *given = !lua_isnil(L, -1);
    bool poison = false, table = lua_type(L, -1) == LUA_TTABLE;
    struct json *written = *given ? value_json(L, -1, &poison) : NULL;
    lua_pop(L, 1);
    if (!*given || poison) {
        return NULL;
    }
    struct place at = place_value(L, t->index, o->name, 0);
    if (!written) {
        diag_add(ld->d, table ? "E106" : "E107", &at, "%s %s", o->name,
                 table ? "needs plain values: names or a list, not both"
                       : opt_type_remedy(o->type));
        return NULL;
    }
    if (o->type == OPT_MAP && json_type(written) == JSON_LIST && json_len(written) == 0) {
        written = keep_json(ld->keep, json_new_map());
    }
    struct err e = ERR_INIT;
    struct json *held = option_check(o, written, &e);
    if (!held) {
        bool shape = table && (o->type == OPT_LIST || o->type == OPT_MAP);
        if (table && o->check && o->type == OPT_LIST) {
            shape = !bad_entry(L, t, o, written, &at);
        }
        diag_add(ld->d,
                 e.code == ERR_LIMIT ? "E108"
                 : shape             ? "E106"
                                     : "E107",
                 &at, "%s %s", o->name, e.text);
        return NULL;
    }
    if (o->path && json_type(held) == JSON_STRING) {
        char *full = path_beside(ld->names[0], json_str(held, ""));
        json_free(held);
        held = json_new_str(full);
        here_file(ld, &at, o->name, full);
        mem_free(full);
    } else if (o->type == OPT_SECRET) {
        here_secret(ld, &at, o, held);
    }
    return keep_json(ld->keep, held);
}

/* Exactly one of the options that share a word must be written. */
static void one_of(lua_State *L, const struct tab *t, const struct option *options, size_t n,
                   size_t first)
{
    struct loader *ld = loader_of(L);
    char all[256] = "", got[256] = "";
    int count = 0;
    struct place at = place_call(L, t->index);
    for (size_t i = first; i < n; i++) {
        if (!options[i].one_of || strcmp(options[i].one_of, options[first].one_of) != 0) {
            continue;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", options[i].name);
        lua_pushstring(L, options[i].name);
        if (lua_rawget(L, t->index) != LUA_TNIL) {
            used = strlen(got);
            snprintf(got + used, sizeof got - used, "%s%s", used ? " and " : "", options[i].name);
            if (++count == 2) {
                at = place_key(L, t->index, options[i].name, 0);
            }
        }
        lua_pop(L, 1);
    }
    if (count != 1) {
        diag_add(ld->d, count ? "E106" : "E105", &at, "%s needs exactly one of %s, got %s", t->what,
                 all, count ? got : "none");
    }
}

struct json *tab_options(lua_State *L, const struct tab *t, const struct option *options, size_t n)
{
    struct loader *ld = loader_of(L);
    struct json *held = keep_json(ld->keep, json_new_map());
    luaL_checkstack(L, 8, NULL);
    for (size_t i = 0; i < n; i++) {
        bool given;
        struct json *v = tab_option(L, t, &options[i], &given);
        if (v) {
            json_set(held, options[i].name, json_copy(v));
        } else if (!given && options[i].required && !options[i].one_of) {
            struct field f = {.option = options[i]};
            tab_missing(L, t, &f);
        }
        bool first = options[i].one_of != NULL;
        for (size_t k = 0; first && k < i; k++) {
            first = !options[k].one_of || strcmp(options[k].one_of, options[i].one_of) != 0;
        }
        if (first) {
            one_of(L, t, options, n, i);
        }
    }
    option_defaults(options, n, held);
    return held;
}

struct cond *tab_condition(lua_State *L, int index, const char *name, const struct place *at)
{
    struct loader *ld = loader_of(L);
    const struct node *n = node_at(L, index);
    if (is_poison(L, index)) {
        return NULL;
    }
    if (!n || n->kind != NODE_CONDITION) {
        diag_add(ld->d, "E107", at,
                 "%s needs a condition: sig.x{...}, all{...}, any{...} or none{...}", name);
        return NULL;
    }
    const struct signal *s = n->cond->signal;
    if (n->cond->kind == COND_LEAF && n->comparators == 0 && s->comparator) {
        const struct option *o = option_find(s->options, s->noptions, s->comparator);
        diag_add(ld->d, "E105", &n->place, "sig.%s needs the field \"%s\" (%s) here", s->name,
                 o->name, opt_type_name(o->type));
        return NULL;
    }
    if (n->cond->kind == COND_LEAF && n->comparators == 0) {
        diag_add(ld->d, "E109", &n->place, "sig.%s needs exactly one of %s, got none",
                 n->cond->signal->name,
                 n->cond->signal->unit == UNIT_ENUM ? "is, is_not"
                                                    : "above, below, at_least, at_most");
        return NULL;
    }
    return n->cond;
}
