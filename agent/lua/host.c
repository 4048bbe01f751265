/* The Lua state, its allocator, its counter and its door. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "lua/host.h"

#define HOOK_EVERY 100            /* instructions between two looks at the counter */
#define BYTES_PER_INSTRUCTION 256 /* what an allocation costs: about the time to copy as much */

static void hook(lua_State *L, lua_Debug *ar);

/* Sets the counter's hook so that it fires at every instruction from now on. lua_sethook may be
 * called at any time, by design of Lua's signal handling. */
static void arm(struct host *h)
{
    h->cut = true;
    if (h->running) {
        lua_sethook(h->running, hook, LUA_MASKCOUNT, 1);
    }
}

static void hook(lua_State *L, lua_Debug *ar)
{
    struct host *h = host_of(L);
    if (ar->event == LUA_HOOKLINE) {
        lua_getinfo(L, "S", ar);
        if (host_source(ar->source) == 0 && ar->currentline > 0 && ar->currentline < h->nlines) {
            h->lines[ar->currentline] = true;
        }
        return;
    }
    h->spent += h->cut ? 1 : HOOK_EVERY;
    if (h->spent > h->budget) {
        h->cut = true;
        lua_sethook(L, hook, LUA_MASKCOUNT, 1);
        int source, line; /* luaL_error would name the caller: a hook has no level of its own */
        host_where(L, &source, &line);
        lua_pushfstring(L, "%d:%d: instruction budget spent", source, line);
        lua_error(L);
    }
}

/* Notes where the text was when it could get no memory: such an error carries no place. Reading the
 * call chain allocates nothing. */
static void *refused(struct host *h)
{
    h->no_memory = true;
    if (h->running) {
        host_where(h->running, &h->refused_source, &h->refused_line);
    }
    return NULL;
}

static void *allocate(void *arg, void *old, size_t old_size, size_t size)
{
    struct host *h = arg;
    size_t before = old ? old_size : 0;
    if (size == 0) {
        mem_lib_free(old);
        h->used -= before;
        return NULL;
    }
    if (size > before) {
        bool string = !old && old_size == LUA_TSTRING;
        if (h->used - before + size > h->memory || (string && size > h->string_max) ||
            size > h->block_max) {
            return refused(h);
        }
    }
    void *p = mem_lib_realloc(old, size);
    if (!p && size <= before) {
        p = old; /* Lua counts on it that shrinking cannot fail, and the old block is large enough
                  */
    } else if (!p) {
        return refused(h);
    }
    h->used = h->used - before + size;
    if (size > before) {
        h->spent += (int64_t)((size - before) / BYTES_PER_INSTRUCTION);
        if (h->spent > h->budget && !h->cut) {
            arm(h);
        }
    }
    return p;
}

/* Unreachable: every entry is protected. Ending here is safe, no effect happens without a durable
 * intent. */
static int panic(lua_State *L)
{
    log_error("lua", "an error outside the protected door: %s",
              lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
    abort();
}

struct host *host_of(lua_State *L)
{
    return *(struct host **)lua_getextraspace(L);
}

struct host *host_new(struct err *e)
{
    struct host *h = mem_alloc(sizeof *h);
    h->memory = HOST_MEMORY;
    h->string_max = HOST_LOAD_STRING;
    h->budget = INT64_MAX;
    h->block = h->block_max = HOST_BLOCK;
    h->L = lua_newstate(allocate, h);
    if (!h->L) {
        mem_free(h);
        err_set(e, ERR_LIMIT, "no memory for a Lua state");
        return NULL;
    }
    *(struct host **)lua_getextraspace(h->L) = h;
    h->running = h->L;
    lua_atpanic(h->L, panic);
    lua_sethook(h->L, hook, LUA_MASKCOUNT, HOOK_EVERY);
    return h;
}

void host_lines(struct host *h, lua_State *L, bool *lines, int n)
{
    h->lines = lines;
    h->nlines = n;
    lua_sethook(L, hook, LUA_MASKCOUNT | LUA_MASKLINE, HOOK_EVERY);
}

void host_free(struct host *h)
{
    if (!h) {
        return;
    }
    lua_close(h->L);
    for (int i = 0; i < h->nsources; i++) {
        scan_free(h->sources[i]);
    }
    mem_free(h);
}

int host_add_source(struct host *h, struct scan *s)
{
    if (h->nsources == HOST_MAX_FILES) {
        scan_free(s);
        return -1;
    }
    h->sources[h->nsources] = s;
    return h->nsources++;
}

const char *host_file(const struct host *h, int source)
{
    return source >= 0 && source < h->nsources ? h->sources[source]->name : "";
}

void host_budget(struct host *h, int64_t instructions, size_t string_max)
{
    h->before += h->spent;
    h->spent = 0;
    h->budget = instructions;
    h->string_max = string_max;
    h->no_memory = false;
    h->refused_source = -1;
    h->refused_line = 0;
}

int64_t host_spent(const struct host *h)
{
    return h->before + h->spent;
}

void host_charge(lua_State *L, int64_t instructions)
{
    struct host *h = host_of(L);
    h->spent += instructions;
    if (h->spent > h->budget) {
        arm(h);
        luaL_error(L, "instruction budget spent");
    }
}

/* Runs where the error was raised: puts "SOURCE:LINE: " in front when the message has no place. */
static int message(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TSTRING) {
        lua_settop(L, 0);
        lua_pushliteral(L, "an error value that is not a text");
    }
    const char *text = lua_tostring(L, 1);
    char *end;
    if (strtol(text, &end, 10) >= 0 && end > text && *end == ':') {
        return 1;
    }
    int source, line;
    host_where(L, &source, &line);
    if (source >= 0) {
        lua_pushfstring(L, "%d:%d: %s", source, line, text);
    }
    return 1;
}

void host_fault(struct host *h, lua_State *L, int status, struct fault *f)
{
    const char *text =
        lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error value that is not a text";
    memset(f, 0, sizeof *f);
    f->source = -1;
    char *end;
    long source = strtol(text, &end, 10);
    if (end > text && *end == ':' && source >= 0 && source < h->nsources) {
        char *after;
        long line = strtol(end + 1, &after, 10);
        if (after > end + 1 && *after == ':' && line > 0 && line < INT_MAX) {
            f->source = (int)source;
            f->line = (int)line;
            text = after + 1 + (after[1] == ' ');
        }
    }
    if (h->cut) {
        snprintf(f->code, sizeof f->code, "E115");
        snprintf(f->text, sizeof f->text,
                 "the instruction budget of %lld is spent: an endless loop, or work that belongs "
                 "into a condition",
                 (long long)h->budget);
    } else if (status == LUA_ERRMEM || status == LUA_ERRERR ||
               strcmp(text, "not enough memory") == 0 || strstr(text, "stack overflow")) {
        snprintf(f->code, sizeof f->code, "E116");
        if (f->source < 0 && h->no_memory) {
            f->source = h->refused_source;
            f->line = h->refused_line;
        }
        snprintf(f->text, sizeof f->text, "%s",
                 !strstr(text, "stack overflow")
                     ? "out of memory: something grows without end, or calls itself without end"
                     : "nested too deep: brackets or functions of the text, or calls without end");
    } else {
        /* a code of its own: raised by the door's own functions */
        bool coded = text[0] == 'E' && text[1] == '1' && strlen(text) > 5 && text[4] == ' ';
        snprintf(f->code, sizeof f->code, "%.4s", coded ? text : "E118");
        text += coded ? 5 : 0;
        snprintf(f->text, sizeof f->text, "%.*s", (int)strcspn(text, "\n"), text);
    }
    lua_pop(L, 1);
}

bool host_enter(struct host *h, lua_CFunction fn, void *arg, struct fault *f)
{
    lua_State *L = h->L;
    if (h->cut) {
        memset(f, 0, sizeof *f);
        f->source = -1;
        snprintf(f->code, sizeof f->code, "E115");
        snprintf(f->text, sizeof f->text, "the instruction budget is spent");
        return false;
    }
    lua_State *outer = h->running;
    h->running = L;
    lua_settop(
        L, 0); /* three slots are always free below LUA_MINSTACK; none of these pushes allocates */
    lua_pushcfunction(L, message);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, 1);
    h->running = outer;
    if (status != LUA_OK) {
        host_fault(h, L, status, f);
        lua_settop(L, 0);
        return false;
    }
    lua_settop(L, 0);
    return true;
}

int host_source(const char *name)
{
    char *end;
    long n = name[0] == '=' ? strtol(name + 1, &end, 10) : -1;
    return n >= 0 && n <= INT_MAX && end > name + 1 && !*end ? (int)n : -1;
}

void host_where(lua_State *L, int *source, int *line)
{
    lua_Debug ar;
    *source = -1;
    *line = 0;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && ar.source[0] == '=') {
            *source = host_source(ar.source);
            *line = ar.currentline;
            return;
        }
    }
}

struct text {
    const char *data;
    size_t len;
};
static const char *reader(lua_State *L, void *arg, size_t *len)
{
    (void)L;
    struct text *t = arg;
    *len = t->len;
    t->len = 0;
    return *len ? t->data : NULL;
}

bool host_compile(lua_State *L, struct host *h, int n, int env, struct fault *f)
{
    char chunk[16];
    env = lua_absindex(L, env);
    snprintf(chunk, sizeof chunk, "=%d", n);
    struct scan *s = h->sources[n];
    struct text plain = {s->text, s->len};
    /* First as it is, so that messages speak of the text that was written; then with the marks,
     * which change no line. */
    size_t string_max = h->string_max;
    h->string_max = h->block_max = HOST_MEMORY; /* long texts and long code are legitimate here */
    int status = s->compiled ? LUA_OK : lua_load(L, reader, &plain, chunk, "t");
    if (status == LUA_OK && s->whole) {
        if (!s->compiled) {
            lua_pop(L, 1);
        }
        s->compiled = true;
        size_t len;
        const char *marked = scan_marked(s, n << HOST_MARK_SHIFT, &len);
        struct text t = {marked, len};
        status = lua_load(L, reader, &t, chunk, "t");
    }
    h->string_max = string_max;
    h->block_max = h->block;
    if (status == LUA_ERRMEM) {
        lua_error(L);
    }
    if (status != LUA_OK) {
        host_fault(h, L, status, f);
        snprintf(f->code, sizeof f->code, "E101");
        return false;
    }
    lua_pushvalue(L, env);
    if (!lua_setupvalue(L, -2, 1)) { /* the text names no global: then it has no _ENV to replace */
        lua_pop(L, 1);
    }
    return true;
}
