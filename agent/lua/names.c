/* Names that stand in a text, checked before it runs, in functions that are not called too: E102,
 * E103, W201, and what a text may not hold. */
#include <stdio.h>
#include <string.h>
#include "lua/loader.h"

#define MAX_NAMES NAMES_MAX

size_t names_signals(const char **names)
{
    size_t n = 0;
    for (size_t i = 0; i < derived_signals_len; i++) {
        names[n++] = derived_signals[i].name;
    }
    for (size_t i = 0; i < collector_types_len; i++) {
        for (size_t k = 0; k < collector_types[i]->nsignals && n < MAX_NAMES; k++) {
            names[n++] = collector_types[i]->signals[k].name;
        }
    }
    return n;
}

size_t names_actions(const char **names)
{
    size_t n = 0;
    for (; n < action_types_len && n < MAX_NAMES; n++) {
        names[n] = action_types[n]->name;
    }
    return n;
}

size_t names_kinds(const char **names)
{
    size_t n = 0;
    for (; n < target_kinds_len && n < MAX_NAMES; n++) {
        names[n] = target_kinds[n].name;
    }
    return n;
}

void hint_action(char *out, size_t size, const struct policy *p, const char *word)
{
    const char *names[MAX_NAMES];
    size_t n = 0;
    for (; n < p->nactions && n < MAX_NAMES; n++) {
        names[n] = p->actions[n].name;
    }
    did_you_mean(out, size, word, names, n);
}

void hint_check(char *out, size_t size, const struct policy *p, const char *word)
{
    const char *names[MAX_NAMES];
    size_t n = 0;
    for (; n < p->nchecks && n < MAX_NAMES; n++) {
        names[n] = p->checks[n].name;
    }
    did_you_mean(out, size, word, names, n);
}

static void check_field(struct loader *ld, const struct place *at, const char *root,
                        const char *field)
{
    const char *names[MAX_NAMES];
    size_t n = 0;
    const char *what = NULL;
    static const char *const maths[] = {"floor", "ceil", "min", "max", "abs"};
    static const char *const secrets[] = {"file", "env"};
    if (strcmp(root, "sig") == 0 && !signal_find(field, NULL)) {
        what = "signal";
        n = names_signals(names);
    } else if (strcmp(root, "act") == 0 && !action_find(field)) {
        what = "action";
        n = names_actions(names);
    } else if (strcmp(root, "find") == 0 && !target_kind_find(field)) {
        what = "kind of target";
        n = names_kinds(names);
    } else if (strcmp(root, "discover") == 0) {
        const struct target_kind *k = target_kind_find(field);
        what = k && k->discover ? NULL : "discovery of";
        for (size_t i = 0; i < target_kinds_len && n < MAX_NAMES; i++) {
            if (target_kinds[i].discover) {
                names[n++] = target_kinds[i].name;
            }
        }
    } else if (strcmp(root, "math") == 0) {
        bool known = false;
        for (n = 0; n < sizeof maths / sizeof *maths; n++) {
            names[n] = maths[n];
            known = known || strcmp(maths[n], field) == 0;
        }
        what = known ? NULL : "function in math";
    } else if (strcmp(root, "secret") == 0) {
        bool known = false;
        for (n = 0; n < sizeof secrets / sizeof *secrets; n++) {
            names[n] = secrets[n];
            known = known || strcmp(secrets[n], field) == 0;
        }
        what = known ? NULL : "kind of secret";
    } else if (strcmp(root, "string") == 0 && strcmp(field, "format") != 0) {
        what = "function in string";
        names[n++] = "format";
    }
    if (what) {
        char hint[160];
        did_you_mean(hint, sizeof hint, field, names, n);
        diag_add(ld->d, "E102", at, "there is no %s \"%s\"%s", what, field, hint);
    }
}

static int unknown_field(lua_State *L)
{
    struct loader *ld = loader_of(L);
    const char *root = lua_tostring(L, lua_upvalueindex(1));
    const char *field = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    if (ld->quiet) { /* a run: it was said at the load, or is made up while it runs */
        lua_pushnil(L);
        return 1;
    }
    struct place at = place_here(L, field);
    if (!diags_at_line(ld->d, at.file, at.line)) {
        check_field(ld, &at, root, field);
    }
    poison_push(L);
    return 1;
}

void names_guard(lua_State *L)
{
    static const char *const roots[] = {"math", "string", "secret", "discover"};
    int globals = lua_gettop(L);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        lua_getfield(L, globals, roots[i]);
        if (sandbox_table(L, -1)) {
            lua_createtable(L, 0, 1);
            lua_pushstring(L, roots[i]);
            lua_pushcclosure(L, unknown_field, 1);
            lua_setfield(L, -2, "__index");
            lua_setmetatable(L, -2);
        }
        lua_settop(L, globals);
    }
}

/* Whether the text assigns to this name somewhere, which is said there already. */
static bool assigned(const struct scan *s, const struct token *t)
{
    for (size_t k = 0; k < s->nuses; k++) {
        const struct token *o = &s->tokens[s->uses[k].name];
        if (s->uses[k].kind == SCAN_ASSIGN && o->len == t->len &&
            memcmp(s->text + o->at, s->text + t->at, t->len) == 0) {
            return true;
        }
    }
    return false;
}

static void check_use(struct loader *ld, int source, const struct scan_use *u,
                      const char *const *globals, size_t n)
{
    const struct scan *s = ld->h->sources[source];
    const struct token *t = &s->tokens[u->name];
    struct place at = place_token(ld, source, u->name);
    char word[128], field[128], hint[160];
    bool known = false;
    snprintf(word, sizeof word, "%.*s", (int)t->len, s->text + t->at);
    for (size_t k = 0; k < n; k++) {
        known = known || strcmp(globals[k], word) == 0;
    }
    if (u->kind == SCAN_ASSIGN) {
        diag_add(ld->d, "E103", &at, "assignment to the global \"%s\": write local %s", word, word);
    } else if (!known && !assigned(s, t)) {
        bool value = token_is(s->text, t + 1, ",") || token_is(s->text, t + 1, "}") ||
                     token_is(s->text, t + 1, ")"); /* and the last token is TOKEN_END */
        did_you_mean(hint, sizeof hint, word, globals, n);
        diag_add(ld->d, "E102", &at, "unknown name \"%s\"%s", word,
                 !*hint && value ? "; a text stands in quotes" : hint);
    } else if (known && u->field) {
        const struct token *f = &s->tokens[u->field];
        snprintf(field, sizeof field, "%.*s", (int)f->len, s->text + f->at);
        at = place_token(ld, source, u->field);
        check_field(ld, &at, word, field);
    }
}

void loader_names(struct loader *ld, int source, const char *const *globals, size_t n)
{
    const struct scan *s = ld->h->sources[source];
    for (size_t i = 0; i < s->nuses; i++) {
        check_use(ld, source, &s->uses[i], globals, n);
    }
    for (size_t i = 0; i < s->nbitwise; i++) {
        struct place at = place_token(ld, source, s->bitwise[i]);
        diag_add(ld->d, "W201", &at,
                 "a bitwise operator on a constant: Lua 5.4.4 folds some of them wrongly");
    }
    for (size_t i = 0; i < s->ntokens; i++) {
        const struct token *t = &s->tokens[i];
        struct place at = place_token(ld, source, i);
        if (lex_has_nul(s->text, t)) {
            diag_add(ld->d, "E101", &at, "a NUL in a text");
        }
        if (t->kind == TOKEN_STRING && t->body_len > HOST_LITERAL && ld->kind != FILE_TEST) {
            at.width = 0;
            diag_add(ld->d, "E108", &at, "a text is at most %d bytes long, got %zu", HOST_LITERAL,
                     t->body_len);
        }
    }
}
