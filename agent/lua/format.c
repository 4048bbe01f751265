/* string.format, without what shows addresses, reads the locale or makes NULs, and with bounded
 * widths. */
#include <stdio.h>
#include <string.h>
#include "lua/host.h"

struct out {
    char data[8192];
    size_t len;
};

static void put(lua_State *L, struct out *o, const char *s, size_t len)
{
    if (len > sizeof o->data - o->len) {
        luaL_error(L, "string.format makes at most %d bytes", (int)sizeof o->data);
    }
    memcpy(o->data + o->len, s, len);
    o->len += len;
}

static void put_quoted(lua_State *L, struct out *o, const char *s)
{
    put(L, o, "\"", 1);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\' || *s == '\n') {
            put(L, o, "\\", 1);
        }
        put(L, o, s, 1);
    }
    put(L, o, "\"", 1);
}

/* The format comes from the text, but only as flags, two digits and two digits, read below; the
 * conversion's letter is ours. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void put_number(lua_State *L, struct out *o, char *spec, size_t n, char kind, int arg)
{
    char text[512]; /* %99.99f of 1e308 is 409 characters */
    int size;
    if (lua_type(L, arg) != LUA_TNUMBER) {
        luaL_error(L, "string.format: %%%c needs a number, got %s", kind, luaL_typename(L, arg));
    }
    if (strchr("dixX", kind)) {
        int exact;
        lua_Integer v = lua_tointegerx(L, arg, &exact);
        if (!exact) {
            luaL_error(L, "string.format: %%%c needs a whole number", kind);
        }
        snprintf(spec + n, 4, "ll%c", kind);
        size = snprintf(text, sizeof text, spec, (long long)v);
    } else {
        snprintf(spec + n, 2, "%c", kind);
        size = snprintf(text, sizeof text, spec, lua_tonumber(L, arg));
    }
    put(L, o, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

static void put_text(lua_State *L, struct out *o, char *spec, size_t n, int arg)
{
    char text[512];
    const char *s = sandbox_text(L, arg);
    if (n == 1) {
        put(L, o, s, strlen(s));
    } else {
        snprintf(spec + n, 2, "s");
        int size = snprintf(text, sizeof text, spec, s);
        put(L, o, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
    }
    lua_pop(L, 1);
}
#pragma GCC diagnostic pop

static size_t digits(lua_State *L, const char **s, char *spec, size_t n)
{
    for (int i = 0; **s >= '0' && **s <= '9'; i++) {
        if (i == 2) {
            luaL_error(L, "string.format takes a width and a precision of at most 99");
        }
        spec[n++] = *(*s)++;
    }
    return n;
}

int sandbox_format(lua_State *L)
{
    struct out o;
    o.len = 0;
    int arg = 1, args = lua_gettop(L);
    if (lua_type(L, 1) != LUA_TSTRING) {
        return luaL_error(L, "string.format needs a text, got %s", luaL_typename(L, 1));
    }
    luaL_checkstack(L, 8, NULL);
    for (const char *s = lua_tostring(L, 1); *s; s++) {
        if (*s != '%' || *++s == '%') {
            put(L, &o, s, 1);
            continue;
        }
        char spec[16] = "%";
        size_t n = 1;
        for (int i = 0; *s && strchr("-+ #0", *s); i++, s++) {
            if (i == 5) {
                return luaL_error(L, "string.format: too many flags");
            }
            spec[n++] = *s;
        }
        n = digits(L, &s, spec, n);
        if (*s == '.') {
            spec[n++] = *s++;
            n = digits(L, &s, spec, n);
        }
        if (!*s || !strchr("disfgexXq", *s)) {
            return luaL_error(L, "string.format knows %%d %%s %%f %%g %%e %%x %%q and %%%%");
        }
        if (++arg > args) {
            return luaL_error(L, "string.format needs a value for conversion %d", arg - 1);
        }
        if (*s == 's') {
            put_text(L, &o, spec, n, arg);
        } else if (*s == 'q') {
            const char *text = sandbox_text(L, arg);
            put_quoted(L, &o, text);
            lua_pop(L, 1);
        } else {
            put_number(L, &o, spec, n, *s, arg);
        }
    }
    host_charge(L, (int64_t)o.len + 20 * arg); /* a digit costs about an instruction */
    lua_pushlstring(L, o.data, o.len);
    return 1;
}
