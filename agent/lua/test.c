/* test "name" { ... }: reads a test, checks it against the policy that it is of, and makes its
 * little estate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lua/internal.h"
#include "lua/test_read.h"

struct test_set *test_set_new(void)
{
    struct test_set *ts = mem_alloc(sizeof *ts);
    ts->arena = arena_new();
    ts->keep = mem_alloc(sizeof *ts->keep);
    return ts;
}

void test_set_free(struct test_set *ts)
{
    for (size_t i = 0; i < ts->ncases; i++) {
        estate_unref(ts->cases[i]->estate);
    }
    keep_free(ts->keep);
    mem_free(ts->keep);
    arena_free(ts->arena);
    mem_free(ts->cases);
    mem_free(ts);
}

const struct json *test_option(lua_State *L, const struct tab *t, const struct schema *s,
                               const char *name)
{
    bool given;
    const struct field *f = schema_find(s, name);
    const struct json *v = tab_option(L, t, &f->option, &given);
    if (!given && f->option.required) {
        tab_missing(L, t, f);
    }
    return v;
}

static const char *text_option(lua_State *L, const struct tab *t, const char *name)
{
    const char *s = json_str(test_option(L, t, &schema_test, name), NULL);
    return s ? arena_strdup(loader_of(L)->arena, s) : NULL;
}

bool test_open(lua_State *L, const struct tab *t, const char *name, const char *write,
               struct tab *inner)
{
    lua_pushstring(L, name);
    int type = lua_rawget(L, t->index);
    if (type == LUA_TNIL || is_poison(L, -1)) {
        lua_pop(L, 1);
        return false;
    }
    if (!sandbox_table(L, -1)) {
        struct place at = place_value(L, t->index, name, 0);
        diag_add(loader_of(L)->d, "E106", &at, "%s needs a table, write %s", name, write);
        lua_pop(L, 1);
        return false;
    }
    lua_remove(L, -2);
    *inner = (struct tab){.index = lua_gettop(L), .what = name};
    return true;
}

size_t test_keys(lua_State *L, const struct tab *t, const char *write)
{
    if (!sandbox_keys(L, t->index)) {
        struct place at = place_call(L, t->index);
        diag_add(loader_of(L)->d, "E106", &at, "%s takes named fields, write %s", t->what, write);
        lua_newtable(L);
    }
    return (size_t)lua_rawlen(L, -1);
}

const char *test_key(lua_State *L, const struct tab *t, int keys, size_t i, const char *write)
{
    lua_rawgeti(L, keys, (lua_Integer)i);
    if (lua_type(L, -1) == LUA_TSTRING) {
        return lua_tostring(L, -1);
    }
    struct place at =
        place_key(L, t->index, NULL, lua_isinteger(L, -1) ? (int)lua_tointeger(L, -1) : 0);
    diag_add(loader_of(L)->d, "E106", &at, "%s takes named fields, write %s", t->what, write);
    lua_pop(L, 1);
    return NULL;
}

/* ---- the policy ---- */

static const struct policy *named(lua_State *L, const char *name, const struct place *at)
{
    struct test_out *out = loader_of(L)->out;
    const struct policy *p = policy_find(out->policies, name);
    if (!p) {
        const char *names[NAMES_MAX];
        char hint[160];
        size_t n = 0;
        for (; n < out->policies->npolicies && n < NAMES_MAX; n++) {
            names[n] = out->policies->policies[n]->name;
        }
        did_you_mean(hint, sizeof hint, name, names, n);
        diag_add(loader_of(L)->d, "E102", at, "there is no policy \"%s\"%s", name, hint);
    }
    return p;
}

static void read_with(lua_State *L, const struct tab *t, struct test_case *c)
{
    const struct json *list = test_option(L, t, &schema_test, "with");
    struct place at = place_value(L, t->index, "with", 0);
    const char **names = arena_alloc(loader_of(L)->arena, (json_len(list) + 1) * sizeof *names);
    for (const struct json *j = json_first(list); j; j = json_next(j)) {
        if (named(L, json_str(j, ""), &at)) {
            names[c->nwith++] = json_str(j, "");
        }
    }
    c->with = names;
}

/* Values are checked by the policies that use them, when they are loaded with them; here that the
 * policy asks for such a name at all. */
static void read_params(lua_State *L, const struct tab *t, struct test_case *c,
                        const struct policy *p)
{
    static const char write[] = "{ name = value }";
    struct loader *ld = loader_of(L);
    struct tab in;
    bool poison;
    if (!test_open(L, t, "params", write, &in)) {
        return;
    }
    size_t n = test_keys(L, &in, write);
    int keys = lua_gettop(L);
    for (size_t i = 1; i <= n; i++) {
        const char *key = test_key(L, &in, keys, i, write);
        if (!key) {
            continue;
        }
        char *name = arena_strndup(ld->arena, key, strcspn(key, "@")), hint[160];
        if (c->nwith == 0 && !json_get(p->params, name)) {
            const char *names[NAMES_MAX];
            size_t known = 0;
            for (const struct json *j = json_first(p->params); j && known < NAMES_MAX;
                 j = json_next(j)) {
                names[known++] = json_key(j);
            }
            did_you_mean(hint, sizeof hint, name, names, known);
            struct place at = place_key(L, in.index, key, 0);
            diag_add(ld->d, "E102", &at, "the file of policy \"%s\" has no parameter \"%s\"%s",
                     p->name, name, hint);
        }
        lua_settop(L, keys);
    }
    lua_pop(L, 1);
    c->params = value_json(L, in.index, &poison);
    if (!c->params && !poison) {
        struct place at = place_value(L, t->index, "params", 0);
        diag_add(ld->d, "E107", &at, "params needs plain values, write %s", write);
    }
    lua_pop(L, 1);
}

/* ---- what is expected ---- */

/* The line at which the text of a literal begins: after [[ a first line end does not count. */
static int first_line(const struct place *at)
{
    const char *s = at->text;
    size_t left = at->text_len;
    for (int line = 1; s && left && line < at->line; left--) {
        line += *s++ == '\n';
    }
    for (int column = 1; s && left > 1 && column < at->column; left--) {
        s++;
        column += (*s & 0xC0) != 0x80;
    }
    if (!s || left < 3 || *s != '[') {
        return at->line;
    }
    size_t open = 1 + strspn(s + 1, "=");
    return at->line +
           (open + 1 < left && s[open] == '[' && (s[open + 1] == '\n' || s[open + 1] == '\r'));
}

static void read_timeline(lua_State *L, const struct tab *t, struct test_case *c)
{
    struct loader *ld = loader_of(L);
    const char *text = text_option(L, t, "timeline");
    if (!text) {
        return;
    }
    struct place at = place_value(L, t->index, "timeline", 0), here = at;
    size_t cap = 1;
    for (const char *s = text; *s; s++) {
        cap += *s == '\n';
    }
    c->has_timeline = true;
    c->timeline = arena_alloc(ld->arena, cap * sizeof *c->timeline);
    here.line = first_line(&at);
    for (const char *s = text; *s; here.line++) {
        size_t len = strcspn(s, "\n"), indent = strspn(s, " \t\r");
        struct test_row *row = &c->timeline[c->ntimeline];
        struct err e = ERR_INIT;
        row->line = here.line;
        if (here.line > at.line) {
            here.column = (int)indent + 1;
            here.width = (int)(len > indent ? len - indent : 1);
        }
        if (indent >= len) {
            /* an empty line */
        } else if (c->ntimeline == TEST_MAX_ROWS) {
            diag_add(ld->d, "E108", &at, "a timeline has at most %d rows", TEST_MAX_ROWS);
            return;
        } else if (test_row_parse(s, len, ld->arena, row, &e) != 0) {
            diag_add(ld->d, e.code == ERR_NOT_FOUND ? "E102" : "E107", &here, "%s", e.text);
        } else if (row->at_ms > c->run_for_ms) {
            diag_add(ld->d, "E108", &here,
                     "this row is after the end of the test: run_for is less");
        } else if (c->ntimeline && row->at_ms < row[-1].at_ms) {
            diag_add(ld->d, "E108", &here, "rows stand in the order of their times");
        } else {
            c->ntimeline++;
        }
        s += len + (s[len] == '\n');
    }
}

static void read_never(lua_State *L, const struct tab *t, struct test_case *c)
{
    char hint[160];
    struct place at = place_value(L, t->index, "never", 0);
    c->never = test_option(L, t, &schema_test, "never");
    for (const struct json *j = json_first(c->never); j; j = json_next(j)) {
        if (!test_row_known(json_str(j, ""), hint, sizeof hint)) {
            diag_add(loader_of(L)->d, "E102", &at, "never: no row begins with \"%s\"%s",
                     json_str(j, ""), hint);
        }
    }
}

static void read_one_explain(lua_State *L, const struct tab *t, struct test_case *c)
{
    const struct field *f = schema_find(&schema_test, "explain");
    const struct schema s = {.name = "explain", .fields = f->fields, .nfields = f->nfields};
    struct loader *ld = loader_of(L);
    struct place at = place_call(L, t->index);
    tab_known(L, t, f->fields, f->nfields, NULL, 0);
    const struct json *when = test_option(L, t, &s, "at"), *has = test_option(L, t, &s, "has");
    if (!when || !has) {
        return;
    }
    if (json_int(when, 0) > c->run_for_ms) {
        at = place_value(L, t->index, "at", 0);
        diag_add(ld->d, "E108", &at, "at is after the end of the test: run_for is less");
    }
    c->explains[c->nexplains++] = (struct test_explain){
        .at_ms = json_int(when, 0), .has = json_str(has, ""), .site = site_of(ld, &at)};
}

static int by_explain_time(const void *a, const void *b)
{
    const struct test_explain *x = a, *y = b;
    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static void read_explain(lua_State *L, const struct tab *t, struct test_case *c)
{
    static const char write[] = "{ at = \"20m\", has = \"text\" }";
    struct loader *ld = loader_of(L);
    struct tab in;
    if (!test_open(L, t, "explain", write, &in)) {
        return;
    }
    size_t n = (size_t)lua_rawlen(L, in.index);
    c->explains = arena_alloc(ld->arena, (n + 1) * sizeof *c->explains);
    if (n == 0) {
        read_one_explain(L, &in, c);
    }
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, in.index, (lua_Integer)i);
        if (sandbox_table(L, -1)) {
            struct tab one = {.index = lua_gettop(L), .what = "explain"};
            read_one_explain(L, &one, c);
        } else if (!is_poison(L, -1)) {
            struct place at = place_value(L, in.index, NULL, (int)i);
            diag_add(ld->d, "E106", &at, "explain needs a table, write %s", write);
        }
        lua_settop(L, in.index);
    }
    lua_pop(L, 1);
    if (c->nexplains > 1) {
        qsort(c->explains, c->nexplains, sizeof *c->explains, by_explain_time);
    }
}

/* ---- the constructor ---- */

static void add_case(lua_State *L, struct test_case *c)
{
    struct test_out *out = loader_of(L)->out;
    struct test_set *ts = out->tests;
    if (ts->ncases == ts->cap) {
        ts->cap = ts->cap ? ts->cap * 2 : 16;
        ts->cases = mem_realloc(ts->cases, ts->cap * sizeof(struct test_case *));
    }
    ts->cases[ts->ncases++] = c;
}

static void read_test(lua_State *L, const struct tab *t, struct test_case *c)
{
    struct loader *ld = loader_of(L);
    tab_known(L, t, schema_test.fields, schema_test.nfields, NULL, 0);
    const char *starts = text_option(L, t, "starts_at");
    c->policy = text_option(L, t, "policy");
    c->run_for_ms = json_int(test_option(L, t, &schema_test, "run_for"), INT64_MAX);
    int mode =
        mode_parse(json_str(test_option(L, t, &schema_test, "mode"), mode_name(MODE_ENFORCE)));
    c->mode = mode < 0 ? MODE_OFF : (enum mode)mode;
    if (!starts) {
        starts = schema_find(&schema_test, "starts_at")->option.fallback;
    }
    if (time_parse_iso(starts, &c->starts_wall_ms) != 0) {
        struct place at = place_value(L, t->index, "starts_at", 0);
        diag_add(ld->d, "E107", &at, "starts_at needs a time, write \"2026-11-22T01:50:00Z\"");
    }
    struct place at = place_value(L, t->index, "policy", 0);
    const struct policy *p = c->policy ? named(L, c->policy, &at) : NULL;
    if (p) {
        c->actions = p->actions;
        c->nactions = p->nactions;
        read_with(L, t, c);
        read_params(L, t, c, p);
        test_read_world(L, t, c, p);
    }
    read_timeline(L, t, c);
    read_never(L, t, c);
    read_explain(L, t, c);
    if (!c->has_timeline && json_len(c->never) == 0 && !c->nexplains) {
        at = place_call(L, t->index);
        diag_add(ld->d, "E105", &at, "%s expects nothing: give it a timeline, never or explain",
                 t->what);
    }
}

/* A test that was named and got no table would be left out in silence. */
static void check_open(struct loader *ld)
{
    struct test_out *out = ld->out;
    if (out->open) {
        diag_add(ld->d, "E106", &out->open_at,
                 "test \"%s\" needs a table, write { ... } after its name", out->open);
    }
    out->open = NULL;
}

/* upvalues: name, line, column */
static int take_test(lua_State *L)
{
    struct loader *ld = loader_of(L);
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    struct place at = place_here(L, name);
    ((struct test_out *)ld->out)->open = NULL;
    lua_settop(L, 1);
    if (is_poison(L, 1)) {
        return 0;
    }
    if (!sandbox_table(L, 1)) {
        diag_add(ld->d, "E106", &at, "test \"%s\" needs a table, write test \"%s\" { ... }", name,
                 name);
        return 0;
    }
    struct tab t = {.index = lua_gettop(L), .what = arena_printf(ld->arena, "test \"%s\"", name)};
    struct test_case *c = arena_alloc(ld->arena, sizeof *c);
    c->name = arena_strdup(ld->arena, name);
    c->policies = ((struct test_out *)ld->out)->policies;
    c->site = (struct site){.file = ld->names[0],
                            .line = (int)lua_tointeger(L, lua_upvalueindex(2)),
                            .column = (int)lua_tointeger(L, lua_upvalueindex(3))};
    c->estate = estate_new();
    luaL_checkstack(L, 40, NULL);
    add_case(L, c);
    read_test(L, &t, c);
    return 0;
}

static int f_test(lua_State *L)
{
    struct loader *ld = loader_of(L);
    struct test_out *out = ld->out;
    lua_settop(L, 1);
    check_open(ld);
    if (lua_type(L, 1) != LUA_TSTRING || !*lua_tostring(L, 1)) {
        struct place at = place_here(L, "test");
        diag_add(ld->d, "E106", &at, "test needs a name, write test \"what it shows\" { ... }");
        poison_push(L);
        return 1;
    }
    struct place at = place_here(L, lua_tostring(L, 1));
    for (size_t i = out->first; i < out->tests->ncases; i++) {
        const struct test_case *c = out->tests->cases[i];
        if (strcmp(c->name, lua_tostring(L, 1)) == 0) {
            diag_add(ld->d, "E110", &at, "the test \"%s\" is there already, in line %d", c->name,
                     c->site.line);
        }
    }
    out->open = arena_strdup(ld->arena, lua_tostring(L, 1));
    out->open_at = at;
    lua_pushinteger(L, at.line);
    lua_pushinteger(L, at.column);
    lua_pushcclosure(L, take_test, 3);
    return 1;
}

static int no_policy_here(lua_State *L)
{
    struct place at = place_here(L, NULL);
    diag_add(loader_of(L)->d, "E106", &at,
             "a policy stands in a file of its own: *_test.lua holds its tests");
    poison_push(L);
    return 1;
}

void test_register(lua_State *L)
{
    static const luaL_Reg names[] = {{"test", f_test},
                                     {"policy", no_policy_here},
                                     {"procedure", no_policy_here},
                                     {"defaults", no_policy_here},
                                     {NULL, NULL}};
    luaL_setfuncs(L, names, 0);
}

void tests_load(struct test_set *ts, const char *path, const struct policy_set *policies,
                struct diags *d)
{
    size_t len = 0;
    char *text = read_text(path, &len, d);
    if (!text) {
        return;
    }
    struct loader ld;
    struct test_out out = {.tests = ts, .policies = policies, .first = ts->ncases};
    loader_init(&ld, ts->arena, ts->keep, d, FILE_TEST);
    ld.out = &out;
    loader_run(&ld, path, text, len, NULL);
    check_open(&ld);
    loader_end(&ld);
    mem_free(text);
}
