/* Runs one file in a state of its own: globals by the kind of file, names checked before, errors
 * collected. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/utf8.h"
#include "lua/loader.h"

#define MAX_GLOBALS 128

struct loader *loader_of(lua_State *L)
{
    return host_of(L)->user;
}

void loader_init(struct loader *ld, struct arena *arena, struct keep *keep, struct diags *d,
                 enum file_kind kind)
{
    memset(ld, 0, sizeof *ld);
    ld->arena = arena;
    ld->keep = keep;
    ld->d = d;
    ld->kind = kind;
    ld->used = json_new_map();
    ld->libs = json_new_map();
}

void loader_end(struct loader *ld)
{
    host_free(ld->h);
    json_free(ld->used);
    json_free(ld->libs);
    mem_free(ld->policies);
    ld->h = NULL;
    ld->used = ld->libs = NULL;
    ld->policies = NULL;
}

bool readable(const char *path, const char *key, const struct place *named, struct diags *d)
{
    if (!named || access(path, R_OK) == 0) {
        return true;
    }
    diag_add(d, "E100", named, "%s: %s cannot be read: %s", key, path, strerror(errno));
    return false;
}

char *read_text(const char *path, size_t *len, struct diags *d)
{
    struct place at = {.file = path};
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        diag_add(d, "E100", &at, "cannot be read: %s", strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        diag_add(d, "E100", &at, "cannot be read: it is not a plain file");
    } else if (st.st_size > HOST_MAX_SOURCE) {
        diag_add(d, "E100", &at, "is larger than %u KiB", HOST_MAX_SOURCE / 1024);
    } else {
        size_t have = 0, want = (size_t)st.st_size;
        text = mem_alloc(want + 1);
        while (have < want) {
            ssize_t n = read(fd, text + have, want - have);
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n < 0) {
                diag_add(d, "E100", &at, "cannot be read: %s", strerror(errno));
                mem_free(text);
                text = NULL;
            }
            if (n <= 0) {
                break;
            }
            have += (size_t)n;
        }
        *len = have;
    }
    if (fd >= 0) {
        close(fd);
    }
    return text;
}

/* What people forget, or bring from elsewhere, when Lua stumbles over token `at`. */
static void syntax_hint(const struct scan *s, size_t at, char *text, size_t size)
{
    const struct token *t = &s->tokens[at], *before = at ? t - 1 : NULL;
    size_t used = strlen(text);
    if (!before) {
        return;
    }
    bool value = before->kind == TOKEN_STRING || before->kind == TOKEN_NUMBER ||
                 before->kind == TOKEN_NAME || token_is(s->text, before, "}") ||
                 token_is(s->text, before, ")") || token_is(s->text, before, "true") ||
                 token_is(s->text, before, "false") || token_is(s->text, before, "end");
    bool begins = t->kind == TOKEN_STRING || t->kind == TOKEN_NUMBER || t->kind == TOKEN_NAME ||
                  token_is(s->text, t, "{") || token_is(s->text, t, "[");
    if (token_is(s->text, before, "%") && at > 1 && before[-1].kind == TOKEN_NUMBER) {
        snprintf(text + used, size - used, "; a percentage stands in quotes, write \"%.*s%%\"",
                 (int)before[-1].len, s->text + before[-1].at);
    } else if (strstr(text, "malformed number")) {
        snprintf(text + used, size - used, "; a number with its unit stands in quotes");
    } else if (token_is(s->text, t, "!")) {
        snprintf(text + used, size - used, "; \"not\" is not, \"not equal\" is ~=");
    } else if (value && begins && strstr(text, "'}' expected")) {
        snprintf(text + used, size - used, "; is a comma missing before it?");
    }
}

/* The token that Lua's message speaks of ("near 'x'"), on its line or the last one before it. */
static struct place syntax_place(const struct loader *ld, const struct fault *f, char *text,
                                 size_t size)
{
    char near[64] = "";
    snprintf(text, size, "%s", f->text);
    char *at = strstr(text, " near ");
    if (at) {
        size_t n = strlen(at + 6);
        if (n >= 2 && n - 2 < sizeof near && at[6] == '\'') {
            memcpy(near, at + 7, n - 2);
            near[n - 2] = '\0';
        }
        if (strcmp(at + 6, "<eof>") == 0) {
            snprintf(at, size - (size_t)(at - text), " at the end of the file");
        }
    }
    const struct scan *s = ld->h->sources[f->source];
    struct place p = {.file = ld->names[f->source],
                      .line = f->line,
                      .text = s->text,
                      .text_len = s->len,
                      .width = 1};
    const struct token *best = NULL;
    for (size_t i = 0; i < s->ntokens; i++) {
        const struct token *t = &s->tokens[i];
        if (t->line > f->line) {
            break;
        }
        bool same = strlen(near) == t->len && memcmp(s->text + t->at, near, t->len) == 0;
        bool starts =
            t->kind == TOKEN_STRING && t->len &&
            strncmp(s->text + t->at, near, strlen(near) < t->len ? strlen(near) : t->len) == 0;
        if (t->line == f->line && *near && (same || (!best && starts))) {
            best = t; /* the last one: what comes before it was accepted */
        }
    }
    if (best) {
        syntax_hint(s, (size_t)(best - s->tokens), text, size);
    }
    for (size_t i = 0; i < s->ntokens && !best; i++) {
        const struct token *t = &s->tokens[i];
        if (t->kind == TOKEN_END ||
            (t->line == f->line && i + 1 < s->ntokens && s->tokens[i + 1].line > f->line)) {
            best = t; /* the end of the file, or the line's last token */
        }
    }
    if (best) {
        p.line = best->line;
        p.column = best->column;
        p.width = best->len && !memchr(s->text + best->at, '\n', best->len) ? (int)best->len : 1;
    }
    return p;
}

/* Lua names the first byte of a character that it does not know, "near '<\\226>'": which character
 * that is, and where, is found here. False: it is none of these. */
static bool foreign_place(const struct loader *ld, const struct fault *f, char *text, size_t size,
                          struct place *at)
{
    const struct scan *s = ld->h->sources[f->source];
    struct place p = {.file = ld->names[f->source],
                      .line = 1,
                      .column = 1,
                      .text = s->text,
                      .text_len = s->len,
                      .width = 1};
    const char *near = strstr(f->text, " near '<\\");
    size_t token = 0;
    uint32_t c = 0;
    if (!near) {
        return false;
    }
    for (size_t i = 0, n; i < s->len && p.line <= f->line; i += n) {
        n = utf8_next(s->text + i, s->len - i, &c);
        while (token < s->ntokens && s->tokens[token].at + s->tokens[token].len <= i) {
            token++;
        }
        bool quoted =
            token < s->ntokens && s->tokens[token].kind == TOKEN_STRING && s->tokens[token].at <= i;
        if (n == 0) {
            return false;
        }
        if (p.line == f->line && c >= 0x80 && !quoted &&
            (unsigned char)s->text[i] == (unsigned)strtol(near + 9, NULL, 10)) {
            bool quote = c >= 0x2018 && c <= 0x201f;
            snprintf(text, size, "the character U+%04X stands outside of a string: %s", (unsigned)c,
                     quote        ? "quotes are \" or '"
                     : c == 0xa0u ? "write a plain blank in place of this no-break space"
                                  : "names are made of ASCII letters, digits and _");
            *at = p;
            return true;
        }
        p.column = c == '\n' ? 1 : p.column + 1;
        p.line += c == '\n';
    }
    return false;
}

void loader_fault(struct loader *ld, const struct fault *f)
{
    char text[640];
    snprintf(text, sizeof text, "%s", f->text);
    struct place at = place_line(ld, f->source, f->line, NULL);
    if (f->source < 0) {
        at.file = ld->names[0] ? ld->names[0] : "";
    } else if (strcmp(f->code, "E101") == 0) {
        if (!foreign_place(ld, f, text, sizeof text, &at)) {
            at = syntax_place(ld, f, text, sizeof text);
        }
    } else if (strcmp(f->code, "E118") == 0) {
        /* "(local 'x')", "(field 'x')": point at the name */
        const char *quote = strrchr(text, '\'');
        const char *open = quote ? memrchr(text, '\'', (size_t)(quote - text)) : NULL;
        if (open && quote - open < 64) {
            char word[64];
            snprintf(word, sizeof word, "%.*s", (int)(quote - open - 1), open + 1);
            at = place_line(ld, f->source, f->line, word);
            if (at.line != f->line) {
                at = place_line(ld, f->source, f->line, NULL);
            }
        }
        if (ld->poisoned) {
            return; /* follows from what was reported */
        }
    }
    diag_add(ld->d, f->code, &at, "%s", text);
}

/* ---- globals ---- */

static int env_index(lua_State *L)
{
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
        return 1;
    }
    struct loader *ld = loader_of(L);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    struct place at = place_here(L, name);
    if (!diags_at_line(ld->d, at.file, at.line)) {
        diag_add(ld->d, "E102", &at, "unknown name \"%s\"", name);
    }
    poison_push(L);
    return 1;
}

/* E103 was said when the names were checked; the value is kept, so that nothing follows from it. */
static int env_newindex(lua_State *L)
{
    struct loader *ld = loader_of(L);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    struct place at = place_here(L, name);
    if (!diags_at_line(ld->d, at.file, at.line)) {
        diag_add(ld->d, "E103", &at, "assignment to the global \"%s\": write local %s", name, name);
    }
    lua_settop(L, 3);
    lua_rawset(L, lua_upvalueindex(1));
    return 0;
}

static void make_globals(lua_State *L, enum file_kind kind)
{
    sandbox_push(L);
    switch (kind) {
    case FILE_POLICY:
        nodes_register(L);
        policy_register(L);
        break;
    case FILE_TEST:
        nodes_register(L);
        policy_register(L);
        test_register(L);
        break;
    case FILE_ESTATE:
        secret_register(L);
        estate_register(L);
        break;
    case FILE_CONFIG:
        secret_register(L);
        config_register(L);
        break;
    case FILE_PARAMS:
        break;
    }
    names_guard(L);
}

struct job {
    struct loader *ld;
    int source;
    lua_CFunction finish;
};

static const char env_key = 0, names_key = 0;

/* Compiles source n, checks its names and pushes it as a function; false when it was reported. */
static bool prepare(lua_State *L, struct loader *ld, int n)
{
    struct fault f;
    const struct scan *s = ld->h->sources[n];
    lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key);
    bool ok = host_compile(L, ld->h, n, -1, &f);
    if (!ok) {
        loader_fault(ld, &f);
        lua_pop(L, 1);
        return false;
    }
    lua_remove(L, -2);
    if (!s->whole) { /* cannot be: what Lua compiles, the scan reads; refused, because names and
                        marks would be missing */
        struct place at = {.file = ld->names[n]};
        diag_add(ld->d, "E101", &at, "is written in a way that cannot be read");
        lua_pop(L, 1);
        return false;
    }
    if (!ld->quiet) {
        const char *globals[MAX_GLOBALS];
        size_t count = 0;
        lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            lua_pop(L, 1);
            if (count < MAX_GLOBALS && lua_type(L, -1) == LUA_TSTRING) {
                globals[count++] = lua_tostring(L, -1);
            }
        }
        lua_pop(L, 1);
        loader_names(ld, n, globals, count);
    }
    return true;
}

static int run_file(lua_State *L)
{
    struct job *job = lua_touserdata(L, 1);
    struct loader *ld = job->ld;
    make_globals(L, ld->kind);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
    lua_newtable(
        L); /* the globals that the text sees: always empty, so that every access comes here */
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, env_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushvalue(L, -3);
    lua_pushcclosure(L, env_newindex, 1);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
    lua_settop(L, 1);
    if (!prepare(L, ld, job->source)) {
        return 0;
    }
    lua_call(L, 0, 1);
    ld->ended = true;
    if (job->finish) {
        lua_pushcfunction(L, job->finish);
        lua_insert(L, -2);
        lua_call(L, 1, 0);
    }
    return 0;
}

static int add_source(struct loader *ld, const char *name, const char *text, size_t len)
{
    char *kept = arena_strdup(ld->arena, name);
    struct scan *s = NULL;
    for (size_t i = 0; i < ld->nscans && !s; i++) {
        s = ld->scans[i]->text == text ? scan_ref(ld->scans[i]) : NULL;
    }
    int n = host_add_source(ld->h, s ? s : scan_new(kept, text, len));
    if (n >= 0) {
        ld->names[n] = kept;
    }
    return n;
}

/* Sources are stored as JSON and shown in pages: UTF-8 or nothing. */
static bool is_text(struct loader *ld, const char *name, const char *text, size_t len)
{
    uint32_t c;
    struct place at = {.file = name, .line = 1, .text = text, .text_len = len};
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        diag_add(
            ld->d, "E101", &at,
            "begins with a byte order mark, which Lua does not know: save it as UTF-8 without one");
        return false;
    }
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_next(text + i, len - i, &c);
        if (n == 0 || c == 0) {
            diag_add(ld->d, "E101", &at, "is not UTF-8 text: byte %zu in line %d", i + 1, at.line);
            return false;
        }
        at.line += c == '\n';
    }
    return true;
}

bool loader_run(struct loader *ld, const char *name, const char *text, size_t len,
                lua_CFunction finish)
{
    struct err e = ERR_INIT;
    struct fault f;
    if (!is_text(ld, name, text, len)) {
        return false;
    }
    ld->h = host_new(&e);
    if (!ld->h) {
        struct place at = {.file = name};
        diag_add(ld->d, "E116", &at, "%s", e.text);
        return false;
    }
    ld->h->user = ld;
    if (ld->kind != FILE_POLICY && ld->kind != FILE_TEST) {
        ld->h->block = ld->h->block_max = HOST_DATA_BLOCK;
    }
    struct job job = {.ld = ld, .source = add_source(ld, name, text, len), .finish = finish};
    size_t before = diags_errors(ld->d);
    host_budget(ld->h, HOST_LOAD_BUDGET, HOST_LOAD_STRING);
    if (!host_enter(ld->h, run_file, &job, &f)) {
        loader_fault(ld, &f);
        return false;
    }
    return diags_errors(ld->d) == before;
}

/* ---- use ---- */

static const char libs_key = 0;

int loader_use(lua_State *L)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING) {
        return luaL_error(L, "E107 use needs a name, write use \"x\"");
    }
    const char *name = lua_tostring(L, 1);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &libs_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &libs_key);
    }
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) == LUA_TBOOLEAN) {
        return luaL_error(L, "use \"%s\" goes round in a circle", name);
    }
    if (!lua_isnil(L, -1)) {
        return 1;
    }
    lua_pop(L, 1);
    size_t len = 0;
    const char *path = NULL, *text = NULL;
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0' && *name && ld->lib) {
        text = ld->lib(ld->arg, name, &len, &path);
    }
    if (text && !is_text(ld, path, text, len)) {
        poison_push(L);
        return 1;
    }
    int n = text ? add_source(ld, path, text, len) : -1;
    if (n < 0) {
        struct place at = place_here(L, name);
        diag_add(ld->d, "E102", &at, "there is no lib/%s.lua beside the policies", name);
        poison_push(L);
        return 1;
    }
    json_set_str(ld->libs, name, text);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 1);
    lua_rawset(L, 2);
    if (!prepare(L, ld, n)) {
        poison_push(L);
        return 1;
    }
    if (++ld->depth > 16) {
        return luaL_error(L, "use \"%s\": libs use each other more than 16 deep", name);
    }
    lua_call(L, 0, 1);
    ld->depth--;
    if (lua_type(L, -1) != LUA_TTABLE && !is_poison(L, -1)) {
        struct place at = {.file = ld->names[n], .line = 1, .column = 1};
        diag_add(ld->d, "E106", &at, "a lib must return a table, write return { ... }");
        poison_push(L);
        return 1;
    }
    if (lua_type(L, -1) == LUA_TTABLE) {
        sandbox_freeze(L, true);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}
