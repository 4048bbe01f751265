/* policy{}, procedure{}, defaults{}, param(), use: what a policy file says, gathered while it runs
 * and built into struct policy when it has. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "base/hash.h"
#include "lua/internal.h"

/* Registry: list of { name, table, procedure, line... } in the order of the file. */
static const char raw_key = 0, defaults_key = 0;

/* ---- param ---- */

static void push_json(lua_State *L, const struct json *j)
{
    luaL_checkstack(L, 8, "values nested too deep");
    int i = 0;
    switch (json_type(j)) {
    case JSON_NULL:
        lua_pushnil(L);
        break;
    case JSON_BOOL:
        lua_pushboolean(L, json_bool(j, false));
        break;
    case JSON_NUMBER:
        if (json_int(j, INT64_MIN) != INT64_MIN) {
            lua_pushinteger(L, json_int(j, 0));
        } else {
            lua_pushnumber(L, json_num(j, 0));
        }
        break;
    case JSON_STRING:
        lua_pushstring(L, json_str(j, ""));
        break;
    case JSON_LIST:
        lua_newtable(L);
        for (const struct json *k = json_first(j); k; k = json_next(k)) {
            push_json(L, k);
            lua_rawseti(L, -2, ++i);
        }
        break;
    case JSON_MAP:
        lua_newtable(L);
        for (const struct json *k = json_first(j); k; k = json_next(k)) {
            lua_pushstring(L, json_key(k));
            push_json(L, k);
            lua_rawset(L, -3);
        }
        break;
    }
}

void value_push(lua_State *L, const struct json *j)
{
    push_json(L, j);
}

/* The value of a parameter for the loader's target: NAME@KIND/TARGET before NAME@TARGET before
 * NAME. */
const struct json *param_value(const struct loader *ld, const char *name)
{
    char key[256];
    const struct json *v = NULL;
    if (ld->target_id) {
        snprintf(key, sizeof key, "%s@%s", name, ld->target_id);
        v = json_get(ld->params, key);
    }
    if (!v && ld->target_name) {
        snprintf(key, sizeof key, "%s@%s", name, ld->target_name);
        v = json_get(ld->params, key);
    }
    return v ? v : json_get(ld->params, name);
}

static int f_param(lua_State *L)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 2);
    if (lua_type(L, 1) != LUA_TSTRING) {
        return luaL_error(L, "E107 param needs a name, write param(\"name\", default)");
    }
    const char *name = lua_tostring(L, 1);
    const struct json *v = param_value(ld, name);
    bool poison;
    if (v) {
        push_json(L, v);
    } else if (lua_isnil(L, 2)) {
        struct place at = place_here(L, name);
        diag_add(ld->d, "E120", &at,
                 "param \"%s\" has no value: give it a default, or set it in the parameters of the "
                 "environment",
                 name);
        poison_push(L);
        return 1;
    } else {
        v = value_json(L, 2, &poison);
        if (!v && !poison) {
            struct place at = place_here(L, name);
            diag_add(ld->d, "E107", &at, "param \"%s\" needs a plain value as its default", name);
        }
    }
    if (v) {
        json_set(ld->used, name, json_copy(v));
    }
    return 1;
}

/* ---- policy, procedure, defaults ---- */

/* upvalues: the raw entry */
static int take_table(lua_State *L)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 1);
    if (is_poison(L, 1)) {
        lua_pushboolean(L, 1);
    } else if (!sandbox_table(L, 1)) {
        lua_rawgeti(L, lua_upvalueindex(1), 1);
        struct place at = place_here(L, lua_tostring(L, -1));
        diag_add(ld->d, "E106", &at, "policy \"%s\" needs a table, write policy \"%s\" { ... }",
                 lua_tostring(L, -1), lua_tostring(L, -1));
        lua_pushboolean(L, 1);
    }
    lua_rawseti(L, lua_upvalueindex(1), 2);
    return 0;
}

static int declare(lua_State *L, bool procedure)
{
    struct loader *ld = loader_of(L);
    const char *what = procedure ? "procedure" : "policy";
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING) {
        struct place at = place_here(L, what);
        diag_add(ld->d, "E106", &at, "%s needs a name, write %s \"name\" { ... }", what, what);
        poison_push(L);
        return 1;
    }
    const char *name = lua_tostring(L, 1);
    struct place at = place_here(L, name);
    if (!*name || strlen(name) > 64 ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")]) {
        diag_add(ld->d, "E107", &at,
                 "the name of a %s is made of letters, digits, - _ and ., at most 64", what);
    }
    lua_createtable(L, 6, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, 2, 1);
    lua_pushboolean(L, procedure);
    lua_rawseti(L, 2, 3);
    lua_pushinteger(L, at.line);
    lua_rawseti(L, 2, 4);
    lua_pushinteger(L, at.column);
    lua_rawseti(L, 2, 5);
    lua_pushstring(L, at.file);
    lua_rawseti(L, 2, 6);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &raw_key);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_settop(L, 2);
    lua_pushcclosure(L, take_table, 1);
    return 1;
}
static int f_policy(lua_State *L)
{
    return declare(L, false);
}
static int f_procedure(lua_State *L)
{
    return declare(L, true);
}

static int f_defaults(lua_State *L)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 1);
    struct place at = place_here(L, "defaults");
    if (is_poison(L, 1)) {
        return 0;
    }
    if (!sandbox_table(L, 1)) {
        diag_add(ld->d, "E106", &at, "defaults needs a table, write defaults { ... }");
        return 0;
    }
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &defaults_key) == LUA_TTABLE) {
        diag_add(ld->d, "E106", &at, "a file has at most one defaults { ... }");
        return 0;
    }
    lua_pop(L, 1);
    struct tab t = {.index = lua_gettop(L), .what = "defaults"};
    tab_known(L, &t, schema_policy.fields, schema_policy.nfields, NULL, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &defaults_key);
    return 0;
}

int policy_finish(lua_State *L)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &raw_key);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &defaults_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    for (lua_Integer i = 1; lua_rawgeti(L, 1, i) == LUA_TTABLE; i++) {
        lua_settop(L, 3);
        for (int k = 1; k <= 6; k++) {
            lua_rawgeti(L, 3, k);
        }
        struct place at = {.file = ld->names[0],
                           .line = (int)lua_tointeger(L, 7),
                           .column = (int)lua_tointeger(L, 8)};
        const char *name = lua_tostring(L, 4);
        if (lua_isnil(L, 5)) {
            struct place here = place_line(ld, 0, at.line, name);
            diag_add(ld->d, "E106", &here, "%s \"%s\" needs a table, write { ... } after its name",
                     lua_toboolean(L, 6) ? "procedure" : "policy", name);
        } else if (lua_type(L, 5) == LUA_TTABLE && (!ld->only || strcmp(ld->only, name) == 0)) {
            struct policy *p = build_policy(L, name, 5, 2, lua_toboolean(L, 6));
            if (ld->npolicies == ld->policies_cap) {
                ld->policies_cap = ld->policies_cap ? ld->policies_cap * 2 : 8;
                ld->policies =
                    mem_realloc(ld->policies, ld->policies_cap * sizeof(struct policy *));
            }
            ld->policies[ld->npolicies++] = p;
        }
        lua_settop(L, 2);
    }
    return 0;
}

void policy_register(lua_State *L)
{
    static const luaL_Reg names[] = {{"policy", f_policy},     {"procedure", f_procedure},
                                     {"defaults", f_defaults}, {"param", f_param},
                                     {"use", loader_use},      {NULL, NULL}};
    luaL_setfuncs(L, names, 0);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &raw_key);
}
