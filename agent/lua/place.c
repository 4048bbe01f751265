/* Places: from a table at run time to the file, line and column where it and its fields were
 * written. */
#include <string.h>
#include "lua/loader.h"

struct place place_token(const struct loader *ld, int source, size_t token)
{
    const struct scan *s = ld->h->sources[source];
    const struct token *t = &s->tokens[token];
    struct place p = {.file = ld->names[source],
                      .line = t->line,
                      .column = t->column,
                      .text = s->text,
                      .text_len = s->len};
    for (size_t i = 0; i < t->len; i++) {
        char c = s->text[t->at + i];
        if (c == '\n' || c == '\r') {
            break;
        }
        p.width += (c & 0xC0) != 0x80;
    }
    return p;
}

/* From one token to another, as far as the first one's line goes. */
static struct place of_tokens(const struct loader *ld, int source, size_t first, size_t last)
{
    const struct scan *s = ld->h->sources[source];
    struct place p = place_token(ld, source, first);
    while (last > first && s->tokens[last].line != s->tokens[first].line) {
        last--;
    }
    if (last > first) {
        struct place end = place_token(ld, source, last);
        p.width = end.column + end.width - p.column;
    }
    return p;
}

struct place place_line(const struct loader *ld, int source, int line, const char *word)
{
    struct place p = {.file = "", .line = line};
    if (source < 0 || source >= ld->h->nsources) {
        return p;
    }
    const struct scan *s = ld->h->sources[source];
    p.file = ld->names[source];
    p.text = s->text;
    p.text_len = s->len;
    size_t found = word ? scan_find(s, line, word) : s->ntokens;
    if (found == s->ntokens) {
        found = scan_line(s, line);
        if (s->tokens[found].line != line || s->tokens[found].kind == TOKEN_END) {
            return p;
        }
    }
    return place_token(ld, source, found);
}

struct place place_here(lua_State *L, const char *word)
{
    int source, line;
    host_where(L, &source, &line);
    host_charge(L, 100); /* the search is work, and a loop over a mistake must end too */
    return place_line(loader_of(L), source, line, word);
}

/* The mark of the table at `index`: false when it was not written as a constructor of a known text.
 */
static bool mark(lua_State *L, int index, int *source, size_t *table)
{
    struct host *h = host_of(L);
    if (!lua_checkstack(L, 4) || !sandbox_table(L, index)) {
        return false;
    }
    lua_pushnumber(L, SCAN_MARK);
    lua_rawget(L, -2);
    lua_Integer m = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    lua_pop(L, 2);
    if (m < 0 || (m >> HOST_MARK_SHIFT) >= h->nsources) {
        return false;
    }
    *source = (int)(m >> HOST_MARK_SHIFT);
    *table = (size_t)(m & ((1 << HOST_MARK_SHIFT) - 1));
    return *table < h->sources[*source]->ntables;
}

struct place place_call(lua_State *L, int table)
{
    int source;
    size_t number;
    if (!mark(L, table, &source, &number)) {
        return place_here(L, NULL);
    }
    struct loader *ld = loader_of(L);
    const struct scan *s = ld->h->sources[source];
    const struct scan_table *t = &s->tables[number];
    size_t last = t->open;
    if (t->call < t->open) {
        last = t->open - 1;
        if (last > t->call && token_is(s->text, &s->tokens[last], "(")) {
            last--;
        }
    }
    return of_tokens(ld, source, t->call, last);
}

static struct place part(lua_State *L, int table, const char *key, int index, bool value)
{
    int source;
    size_t number;
    if (mark(L, table, &source, &number)) {
        struct loader *ld = loader_of(L);
        const struct scan_field *f = scan_field(ld->h->sources[source], number, key, index);
        if (f) {
            return value || f->index ? of_tokens(ld, source, f->value, f->last)
                                     : place_token(ld, source, f->key);
        }
    }
    return place_call(L, table); /* set later, or by a computed key */
}

struct place place_key(lua_State *L, int table, const char *key, int index)
{
    return part(L, table, key, index, false);
}
struct place place_value(lua_State *L, int table, const char *key, int index)
{
    return part(L, table, key, index, true);
}

struct place place_entry(lua_State *L, int table, const char *field, int index)
{
    lua_pushstring(L, field);
    bool list = lua_rawget(L, table) == LUA_TTABLE;
    struct place at =
        list ? place_value(L, lua_gettop(L), NULL, index) : place_value(L, table, field, 0);
    lua_pop(L, 1);
    return at;
}

struct place place_site(const struct loader *ld, const struct site *site, const char *word)
{
    struct place at = {
        .file = site->file, .line = site->line, .column = site->column, .width = (int)strlen(word)};
    for (int i = 0; i < ld->h->nsources; i++) {
        if (ld->names[i] && strcmp(ld->names[i], site->file) == 0) {
            at.text = ld->h->sources[i]->text;
            at.text_len = ld->h->sources[i]->len;
        }
    }
    return at;
}

struct place place_site_field(const struct loader *ld, const struct site *site, const char *word,
                              const char *field)
{
    for (int i = 0; i < ld->h->nsources; i++) {
        const struct scan *s = ld->h->sources[i];
        bool here = ld->names[i] && strcmp(ld->names[i], site->file) == 0;
        for (size_t t = 0; here && t < s->ntables; t++) {
            const struct token *call = &s->tokens[s->tables[t].call];
            const struct scan_field *f = scan_field(s, t, field, 0);
            if (f && call->line == site->line && call->column == site->column) {
                return of_tokens(ld, i, f->value, f->last);
            }
        }
    }
    return place_site(ld, site, word);
}

struct site site_of(const struct loader *ld, const struct place *p)
{
    (void)ld; /* a place's file is a name in the loader's arena */
    return (struct site){.file = p->file, .line = p->line, .column = p->column};
}
