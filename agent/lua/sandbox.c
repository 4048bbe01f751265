/* What a text may call: an allow-list written here, function by function, so that nothing of Lua's
 * own libraries is reachable. Read-only views instead of the tables themselves; pairs in sorted
 * order; no function shows an address or the locale. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lua/host.h"

#define MAX_NUMERAL 200
#define MAX_DEPTH 32

static const char view_key = 0; /* address: the metatable of read-only views marks itself with it */

/* A read-only view is an empty table whose metatable's __index is the table that it shows. */
bool sandbox_table(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE) {
        return false;
    }
    index = lua_absindex(L, index);
    if (lua_getmetatable(L, index)) {
        if (lua_rawgetp(L, -1, &view_key) == LUA_TTABLE) {
            lua_remove(L, -2);
            return true;
        }
        lua_pop(L, 2);
    }
    lua_pushvalue(L, index);
    return true;
}

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "this table cannot be changed");
}
static int view_len(lua_State *L)
{
    lua_settop(L, 1);
    sandbox_table(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, -1));
    return 1;
}

/* Depth bounded: a table that holds itself would otherwise go on for ever. */
static void freeze(lua_State *L, bool deep, int depth)
{
    luaL_checkstack(L, 10, "tables nested too deep");
    if (depth > MAX_DEPTH) {
        luaL_error(L, "tables nested more than %d deep", MAX_DEPTH);
    }
    int table = lua_gettop(L);
    if (deep) {
        lua_pushnil(L);
        while (lua_next(L, table)) {
            if (lua_type(L, -1) == LUA_TTABLE && !lua_getmetatable(L, -1)) {
                freeze(L, true, depth + 1);
                lua_pushvalue(L, -2);
                lua_insert(L, -2);
                lua_rawset(L, table); /* an existing key: allowed while walking */
            } else {
                lua_settop(L, table + 1);
            }
        }
    }
    lua_newtable(L); /* the view */
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, table);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, table);
    lua_rawsetp(L, -2, &view_key);
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, view_len);
    lua_setfield(L, -2, "__len");
    lua_setmetatable(L, -2);
    lua_replace(L, table);
}

void sandbox_freeze(lua_State *L, bool deep)
{
    freeze(L, deep, 0);
}

/* ---- pairs, ipairs ---- */

enum key_type { KEY_NUMBER, KEY_STRING, KEY_BOOLEAN };
struct key { /* small, because all of a table's must fit into one block */
    union {
        double number;
        const char *text;
    };
    unsigned len;
    int slot : 28; /* in the unsorted list */
    unsigned type : 4;
};

static int key_order(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->type != y->type) {
        return x->type < y->type ? -1 : 1;
    }
    if (x->type == KEY_STRING) {
        int c = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
        return c ? c : (x->len > y->len) - (x->len < y->len);
    }
    if (x->number != y->number) {
        return x->number < y->number ? -1 : 1;
    }
    return x->slot < y->slot ? -1 : 1;
}

bool sandbox_keys(lua_State *L, int index)
{
    luaL_checkstack(L, 10, "tables nested too deep");
    index = lua_absindex(L, index);
    int base = lua_gettop(L);
    lua_newtable(L); /* unsorted */
    int n = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        int type = lua_type(L, -1);
        if (type == LUA_TNUMBER && !lua_isinteger(L, -1) && lua_tonumber(L, -1) == SCAN_MARK) {
            continue;
        }
        if (type != LUA_TNUMBER && type != LUA_TSTRING && type != LUA_TBOOLEAN) {
            lua_settop(L, base);
            return false;
        }
        lua_pushvalue(L, -1);
        lua_rawseti(L, base + 1, ++n);
    }
    host_charge(L, 4 * n);
    struct key *keys = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *keys, 0);
    for (int i = 0; i < n; i++) {
        struct key *k = &keys[i];
        lua_rawgeti(L, base + 1, i + 1);
        *k = (struct key){.slot = (i + 1) & 0x7ffffff};
        if (lua_type(L, -1) == LUA_TSTRING) {
            size_t len;
            k->type = KEY_STRING;
            k->text = lua_tolstring(L, -1, &len);
            k->len = (unsigned)len;
        } else if (lua_type(L, -1) == LUA_TNUMBER) {
            k->type = KEY_NUMBER;
            k->number = lua_tonumber(L, -1);
        } else {
            k->type = KEY_BOOLEAN;
            k->number = lua_toboolean(L, -1);
        }
        lua_pop(L, 1);
    }
    qsort(keys, (size_t)n, sizeof *keys, key_order);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, base + 1, keys[i].slot);
        lua_rawseti(L, -2, i + 1);
    }
    lua_replace(L, base + 1);
    lua_settop(L, base + 1);
    return true;
}

/* upvalues: table, keys, position */
static int pairs_next(lua_State *L)
{
    for (;;) {
        lua_Integer i = lua_tointeger(L, lua_upvalueindex(3)) + 1;
        lua_pushinteger(L, i);
        lua_replace(L, lua_upvalueindex(3));
        if (lua_rawgeti(L, lua_upvalueindex(2), i) == LUA_TNIL) {
            return 1;
        }
        lua_pushvalue(L, -1);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
            return 2;
        }
        lua_settop(L, 0); /* removed meanwhile */
        host_charge(L, 1);
    }
}

static int f_pairs(lua_State *L)
{
    lua_settop(L, 1);
    if (!sandbox_table(L, 1)) {
        return luaL_error(L, "pairs needs a table, got %s", luaL_typename(L, 1));
    }
    if (!sandbox_keys(L, 2)) {
        return luaL_error(L, "pairs needs keys that are names or numbers: others have no order");
    }
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, pairs_next, 3);
    return 1;
}

static int ipairs_next(lua_State *L)
{
    lua_Integer i = luaL_checkinteger(L, 2) + 1;
    lua_settop(L, 1);
    lua_pushinteger(L, i);
    if (!sandbox_table(L, 1)) {
        return luaL_error(L, "ipairs needs a table");
    }
    lua_rawgeti(L, -1, i);
    lua_remove(L, -2);
    return lua_isnil(L, -1) ? 1 : 2;
}

static int f_ipairs(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TTABLE) {
        return luaL_error(L, "ipairs needs a table, got %s", luaL_typename(L, 1));
    }
    lua_pushcfunction(L, ipairs_next);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, 0);
    return 3;
}

/* ---- values and texts ---- */

const char *sandbox_text(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
    case LUA_TSTRING:
        lua_pushvalue(L, index);
        return lua_tostring(L, -1);
    case LUA_TBOOLEAN:
        return lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
    case LUA_TUSERDATA:
        if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) {
            return lua_tostring(L, -1);
        }
        /* fall through */
    default:
        return lua_pushstring(L, luaL_typename(L, index));
    }
}

static int f_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    sandbox_text(L, 1);
    return 1;
}

static int f_type(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushstring(L, luaL_typename(L, 1));
    return 1;
}

static int f_tonumber(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_type(L, 1) == LUA_TNUMBER && lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        return 1;
    }
    size_t len = 0;
    const char *s = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &len) : NULL;
    lua_Integer base = luaL_optinteger(L, 2, 10);
    if (base < 2 || base > 36) {
        return luaL_error(L, "tonumber needs a base from 2 to 36");
    }
    if (s && len <= MAX_NUMERAL) {
        if (base == 10) {
            if (lua_stringtonumber(L, s) == len + 1) {
                return 1;
            }
        } else {
            char *end;
            long long v = strtoll(s, &end, (int)base);
            if (end > s && *end == '\0') {
                lua_pushinteger(L, v);
                return 1;
            }
        }
    }
    lua_pushnil(L);
    return 1;
}

static int f_error(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING || lua_rawlen(L, 1) == 0) {
        lua_settop(L, 0);
        lua_pushliteral(L, "error");
    }
    luaL_where(L, 1);
    lua_insert(L, 1);
    lua_concat(L, 2);
    return lua_error(L);
}

static int f_assert(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_toboolean(L, 1)) {
        return lua_gettop(L);
    }
    lua_settop(L, 2); /* the place must not stand where the message is looked for */
    luaL_where(L, 1);
    if (lua_type(L, 2) == LUA_TSTRING && lua_rawlen(L, 2) > 0) {
        lua_pushvalue(L, 2);
    } else {
        lua_pushliteral(L, "assertion failed");
    }
    lua_concat(L, 2);
    return lua_error(L);
}

/* ---- math ---- */

static void need_number(lua_State *L, int index, const char *what)
{
    if (lua_type(L, index) != LUA_TNUMBER) {
        luaL_error(L, "%s needs a number, got %s", what, luaL_typename(L, index));
    }
}

static int rounded(lua_State *L, const char *what, double (*fn)(double))
{
    need_number(L, 1, what);
    lua_settop(L, 1);
    if (!lua_isinteger(L, 1)) {
        double v = fn(lua_tonumber(L, 1));
        lua_Integer i;
        if (lua_numbertointeger(v, &i)) {
            lua_pushinteger(L, i);
        } else {
            lua_pushnumber(L, v);
        }
    }
    return 1;
}
static int f_floor(lua_State *L)
{
    return rounded(L, "math.floor", floor);
}
static int f_ceil(lua_State *L)
{
    return rounded(L, "math.ceil", ceil);
}
static int f_abs(lua_State *L)
{
    need_number(L, 1, "math.abs");
    if (lua_isinteger(L, 1)) {
        lua_Integer n = lua_tointeger(L, 1);
        lua_pushinteger(L, n < 0 ? (lua_Integer)(0u - (lua_Unsigned)n) : n);
    } else {
        lua_pushnumber(L, fabs(lua_tonumber(L, 1)));
    }
    return 1;
}
static int extreme(lua_State *L, const char *what, bool largest)
{
    int n = lua_gettop(L), best = 1;
    need_number(L, 1, what);
    for (int i = 2; i <= n; i++) {
        need_number(L, i, what);
        if (largest ? lua_compare(L, best, i, LUA_OPLT) : lua_compare(L, i, best, LUA_OPLT)) {
            best = i;
        }
    }
    lua_pushvalue(L, best);
    return 1;
}
static int f_min(lua_State *L)
{
    return extreme(L, "math.min", false);
}
static int f_max(lua_State *L)
{
    return extreme(L, "math.max", true);
}

void sandbox_push(lua_State *L)
{
    static const luaL_Reg names[] = {{"assert", f_assert},     {"error", f_error},
                                     {"ipairs", f_ipairs},     {"pairs", f_pairs},
                                     {"tonumber", f_tonumber}, {"tostring", f_tostring},
                                     {"type", f_type},         {NULL, NULL}};
    static const luaL_Reg math[] = {{"floor", f_floor}, {"ceil", f_ceil}, {"min", f_min},
                                    {"max", f_max},     {"abs", f_abs},   {NULL, NULL}};
    static const luaL_Reg strings[] = {{"format", sandbox_format}, {NULL, NULL}};
    lua_newtable(L);
    luaL_setfuncs(L, names, 0);
    luaL_newlib(L, math);
    sandbox_freeze(L, false);
    lua_setfield(L, -2, "math");
    luaL_newlib(L, strings);
    sandbox_freeze(L, false);
    /* What ("x"):method() reaches. */
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_setfield(L, -2, "string");
}
