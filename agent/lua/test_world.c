/* The world that a test describes: targets with their state, readings, how requests end, what
 * others do meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lua/internal.h"
#include "lua/test_read.h"

#define MAX_OPTIONS 100

/* ---- targets ---- */

struct shape {
    struct option options[MAX_OPTIONS]; /* of the kind, then of the state */
    size_t nkind, n;
};

static void add_option(struct shape *s, const struct option *o, bool required)
{
    if (s->n == MAX_OPTIONS || option_find(s->options, s->n, o->name) ||
        schema_find(&schema_test_target, o->name)) {
        return;
    }
    s->options[s->n] = *o;
    s->options[s->n].one_of = NULL;
    s->options[s->n++].required = required && o->required;
}

/* What may be written of a target: the fields of its kind, of which a test needs none, and the
 * state of the actions that are planned on it. */
static void shape_of(struct shape *s, const struct target_kind *k, const struct test_case *c,
                     const struct policy *p, bool first)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < k->noptions; i++) {
        add_option(s, &k->options[i], false);
    }
    s->nkind = s->n;
    for (size_t i = 0; i < c->nactions && strcmp(k->name, p->target.kind) == 0; i++) {
        const struct action_type *a = c->actions[i].type;
        for (size_t n = 0; n < a->nstate_options; n++) {
            add_option(s, &a->state_options[n], first);
        }
    }
}

/* What an action's model says of this state; reported at the first of its fields that is written.
 */
static void check_state(lua_State *L, const struct tab *t, const struct test_case *c,
                        const struct target *target, const struct json *state)
{
    for (size_t i = 0; i < c->nactions; i++) {
        const struct action_type *a = c->actions[i].type;
        struct action_input in = {
            .target = target, .estate = c->estate, .wall_ms = c->starts_wall_ms};
        struct err e = ERR_INIT;
        if (!a->state_seen) {
            continue;
        }
        struct json *seen = a->state_seen(&in, state, &e);
        if (!seen) {
            struct place at = place_call(L, t->index);
            for (size_t n = a->nstate_options; n-- > 0;) {
                lua_pushstring(L, a->state_options[n].name);
                if (lua_rawget(L, t->index) != LUA_TNIL) {
                    at = place_value(L, t->index, a->state_options[n].name, 0);
                }
                lua_pop(L, 1);
            }
            diag_add(loader_of(L)->d, "E107", &at, "%s", e.text);
        }
        json_free(seen);
    }
}

/* Since when each field holds: what a model keeps goes by it. */
static void mark_written(struct json *state, int64_t wall_ms)
{
    struct json *written = json_new_map();
    for (const struct json *j = json_first(state); j; j = json_next(j)) {
        json_set_int(written, json_key(j), wall_ms);
    }
    json_set(state, "written", written);
}

static void add_target(lua_State *L, const struct tab *t, struct test_case *c,
                       const struct policy *p, const char *id)
{
    struct loader *ld = loader_of(L);
    bool first = c->ntargets == 0;
    const char *slash = strchr(id, '/'), *name = slash ? slash + 1 : id;
    const char *kind = slash ? arena_strndup(ld->arena, id, (size_t)(slash - id)) : p->target.kind;
    const struct target_kind *k = target_kind_find(kind);
    struct place at = place_value(L, t->index, "id", 0);
    struct shape *s;
    if (!k) {
        const char *names[NAMES_MAX];
        char hint[160];
        did_you_mean(hint, sizeof hint, kind, names, names_kinds(names));
        diag_add(ld->d, "E102", &at, "there is no kind of target \"%s\"%s", kind, hint);
        return;
    }
    s = arena_alloc(ld->arena, sizeof *s);
    shape_of(s, k, c, p, first);
    tab_known(L, t, schema_test_target.fields, schema_test_target.nfields, s->options, s->n);
    const struct json *tag = test_option(L, t, &schema_test_target, "tag");
    int mode = mode_parse(
        json_str(test_option(L, t, &schema_test_target, "mode"), mode_name(MODE_ENFORCE)));
    struct json *fields = json_copy(tab_options(L, t, s->options, s->nkind));
    struct json *state = tab_options(L, t, s->options + s->nkind, s->n - s->nkind);
    if (option_find(k->options, k->noptions, "id")) {
        json_set_str(fields, "id", name);
    }
    bool ours = strcmp(k->name, p->target.kind) == 0;
    struct err e = ERR_INIT;
    if (estate_add(c->estate, k->name, name,
                   json_copy(tag                     ? tag
                             : ours && p->target.tag ? p->target.tag
                                                     : keep_json(ld->keep, json_new_map())),
                   fields, mode < 0 ? MODE_OFF : (enum mode)mode, at.file, at.line, &e) != 0) {
        diag_add(ld->d, "E110", &at, "%s", e.text);
        return;
    }
    struct test_target *target = &c->targets[c->ntargets++];
    target->target = estate_find(c->estate, k->name, name);
    mark_written(state, c->starts_wall_ms);
    target->state = state;
    if (first && !selector_match(&p->target, target->target)) {
        diag_add(ld->d, "E107", &at,
                 "policy \"%s\" does not select this target: its find.%s names others, other tags "
                 "or excepts it",
                 p->name, p->target.kind);
    }
    if (ours) {
        check_state(L, t, c, target->target, state);
    }
}

static void read_target(lua_State *L, const struct tab *t, struct test_case *c,
                        const struct policy *p)
{
    const char *id = json_str(test_option(L, t, &schema_test_target, "id"), NULL);
    if (id) {
        add_target(L, t, c, p, id);
    }
}

static void read_targets(lua_State *L, const struct tab *t, struct test_case *c,
                         const struct policy *p)
{
    static const char write[] = "{ id = \"web-1\", ... }";
    struct tab one, list;
    lua_pushliteral(L, "target");
    if (lua_rawget(L, t->index) == LUA_TNIL) {
        tab_missing(L, t, schema_find(&schema_test, "target"));
    }
    lua_pop(L, 1);
    size_t n = test_open(L, t, "others", "{ { id = \"web-2\" }, ... }", &list)
                   ? (size_t)lua_rawlen(L, -1)
                   : 0;
    bool others = n > 0;
    c->targets = arena_alloc(loader_of(L)->arena, (n + 1) * sizeof *c->targets);
    if (test_open(L, t, "target", write, &one)) {
        read_target(L, &one, c, p);
        lua_pop(L, 1);
    }
    for (size_t i = 1; others && c->ntargets && i <= n; i++) {
        lua_rawgeti(L, list.index, (lua_Integer)i);
        if (sandbox_table(L, -1)) {
            one = (struct tab){.index = lua_gettop(L), .what = "others"};
            read_target(L, &one, c, p);
        } else if (!is_poison(L, -1)) {
            struct place at = place_value(L, list.index, NULL, (int)i);
            diag_add(loader_of(L)->d, "E106", &at, "others is a list of tables, write %s", write);
        }
        lua_settop(L, list.index);
    }
}

/* References between targets, "asg" of a service: each must be listed. */
struct reporting {
    lua_State *L;
    int table;
};
static void report(void *arg, const struct target *t, const char *field, const char *text)
{
    const struct reporting *f = arg;
    struct place at = place_call(f->L, f->table);
    (void)field;
    if (t->line) {
        at.line = t->line;
        at.column = 0;
    }
    diag_add(loader_of(f->L)->d, "E102", &at, "%s: list it in others", text);
}

/* ---- series ---- */

static const struct target *find_target(const struct test_case *c, const char *name)
{
    for (size_t i = 0; i < c->ntargets; i++) {
        const struct target *t = c->targets[i].target;
        if (strcmp(t->id, name) == 0 || strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

/* A constant may be written as the number that it is. */
static char *value_text(lua_State *L)
{
    if (lua_type(L, -1) == LUA_TSTRING) {
        return mem_strdup(lua_tostring(L, -1));
    }
    return lua_type(L, -1) == LUA_TNUMBER ? mem_printf("%.15g", lua_tonumber(L, -1)) : NULL;
}

static void read_one_series(lua_State *L, const struct tab *in, struct test_case *c,
                            const char *key)
{
    struct loader *ld = loader_of(L);
    struct test_series *s = &c->series[c->nseries];
    struct place at = place_key(L, in->index, key, 0);
    memset(s, 0, sizeof *s);
    struct json *opts = NULL;
    const char *target = NULL;
    struct err e = ERR_INIT;
    if (test_key_parse(key, ld->arena, ld->keep, s, &opts, &target, &e) != 0) {
        diag_add(ld->d, e.code == ERR_NOT_FOUND ? "E102" : "E107", &at, "%s", e.text);
        return;
    }
    s->opts = opts;
    s->site = site_of(ld, &at);
    const struct target *t = target ? find_target(c, target) : c->targets[0].target;
    if (!t) {
        diag_add(ld->d, "E102", &at, "no target of this test is called \"%s\"", target);
        return;
    }
    s->target = t->id;
    at = place_value(L, in->index, key, 0);
    lua_pushstring(L, key);
    lua_rawget(L, in->index);
    char *text = value_text(L);
    if (is_poison(L, -1)) {
        /* reported where it was made */
    } else if (!text) {
        diag_add(ld->d, "E107", &at, "%s needs readings, write \"0m:45%% 10m:85%%\"", key);
    } else if (test_series_parse(text, ld->arena, s, &e) != 0) {
        diag_add(ld->d, "E107", &at, "%s: %s", key, e.text);
    } else {
        c->nseries++;
    }
    mem_free(text);
    lua_pop(L, 1);
}

static void read_series(lua_State *L, const struct tab *t, struct test_case *c)
{
    static const char write[] = "{ asg_cpu = \"0m:45% 10m:85%\" }";
    struct tab in;
    if (!test_open(L, t, "series", write, &in)) {
        return;
    }
    size_t n = test_keys(L, &in, write);
    int keys = lua_gettop(L);
    c->series = arena_alloc(loader_of(L)->arena, (n + 1) * sizeof *c->series);
    for (size_t i = 1; i <= n; i++) {
        const char *key = test_key(L, &in, keys, i, write);
        if (key) {
            read_one_series(L, &in, c, key);
        }
        lua_settop(L, keys);
    }
    lua_settop(L, in.index - 1);
}

/* ---- results ---- */

static const struct {
    const char *word;
    enum test_ending ending;
} endings[] = {{"ok", TEST_OK},
               {"refused", TEST_REFUSED},
               {"not_sent", TEST_NOT_SENT},
               {"in_doubt_done", TEST_IN_DOUBT_DONE},
               {"in_doubt_not_done", TEST_IN_DOUBT_NOT_DONE},
               {"unseen", TEST_UNSEEN}};
#define NENDINGS (sizeof endings / sizeof *endings)

static void read_ending(lua_State *L, const char *word, const struct place *at,
                        struct test_answer *out)
{
    const char *names[NENDINGS];
    char hint[160];
    for (size_t i = 0; i < NENDINGS; i++) {
        names[i] = endings[i].word;
        if (strcmp(endings[i].word, word) == 0) {
            out->ending = endings[i].ending;
            return;
        }
    }
    did_you_mean(hint, sizeof hint, word, names, NENDINGS);
    diag_add(loader_of(L)->d, "E107", at,
             "a result is one of ok, refused, not_sent, in_doubt_done, in_doubt_not_done, unseen, "
             "got \"%s\"%s",
             word, hint);
}

/* The fields of the tested target that somebody else changes, as held. */
static const struct json *read_state(lua_State *L, const struct tab *t, const struct test_case *c,
                                     const struct policy *p)
{
    struct shape *s = arena_alloc(loader_of(L)->arena, sizeof *s);
    struct json *held = keep_json(loader_of(L)->keep, json_new_map());
    shape_of(s, target_kind_find(p->target.kind), c, p, false);
    tab_known(L, t, NULL, 0, s->options + s->nkind, s->n - s->nkind);
    for (size_t i = s->nkind; i < s->n; i++) {
        bool given;
        const struct json *v = tab_option(L, t, &s->options[i], &given);
        if (v) {
            json_set(held, s->options[i].name, json_copy(v));
        }
    }
    check_state(L, t, c, c->targets[0].target, held);
    return held;
}

static void read_answer_table(lua_State *L, const struct tab *t, struct test_case *c,
                              const struct policy *p, struct test_answer *out)
{
    static const struct field fields[] = {
        {.option = {.name = "result", .type = OPT_STRING, .help = "how the request ends"}},
        {.option = {.name = "before", .help = "what changes before it"}, .type = FIELD_TABLE}};
    struct tab before;
    bool given;
    tab_known(L, t, fields, 2, NULL, 0);
    const struct json *word = tab_option(L, t, &fields[0].option, &given);
    struct place at = place_value(L, t->index, "result", 0);
    read_ending(L, json_str(word, "ok"), &at, out);
    if (test_open(L, t, "before", "{ desired = 9 }", &before)) {
        out->before = read_state(L, &before, c, p);
        lua_settop(L, before.index - 1);
    }
}

/* What stands on top of the stack: a word or a table. */
static void read_answer(lua_State *L, const struct place *at, struct test_case *c,
                        const struct policy *p, struct test_answer *out)
{
    int top = lua_gettop(L);
    if (lua_type(L, top) == LUA_TSTRING) {
        read_ending(L, lua_tostring(L, top), at, out);
    } else if (sandbox_table(L, top)) {
        struct tab t = {.index = lua_gettop(L), .what = "a result"};
        read_answer_table(L, &t, c, p, out);
    } else if (!is_poison(L, top)) {
        diag_add(loader_of(L)->d, "E107", at,
                 "a result is a word or a table, write \"refused\" or { before = { ... } }");
    }
    lua_settop(L, top);
}

static void read_one_result(lua_State *L, const struct tab *in, struct test_case *c,
                            const struct policy *p, const char *action)
{
    struct loader *ld = loader_of(L);
    struct test_result *r = &c->results[c->nresults];
    struct place at = place_key(L, in->index, action, 0);
    if (!policy_action(p, action)) {
        const char *names[NAMES_MAX];
        char hint[160];
        size_t n = 0;
        for (; n < p->nactions && n < NAMES_MAX; n++) {
            names[n] = p->actions[n].name;
        }
        did_you_mean(hint, sizeof hint, action, names, n);
        diag_add(ld->d, "E111", &at, "policy \"%s\" has no action \"%s\"%s", p->name, action, hint);
        return;
    }
    c->nresults++;
    r->action = arena_strdup(ld->arena, action);
    at = place_value(L, in->index, action, 0);
    lua_pushstring(L, action);
    lua_rawget(L, in->index);
    int top = lua_gettop(L);
    size_t n = sandbox_table(L, top) ? (size_t)lua_rawlen(L, top + 1) : 0;
    r->answers = arena_alloc(ld->arena, (n + 1) * sizeof *r->answers);
    r->always = n == 0;
    r->nanswers = n ? n : 1;
    if (n == 0) {
        lua_settop(L, top);
        read_answer(L, &at, c, p, &r->answers[0]);
    }
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, top + 1, (lua_Integer)i);
        at = place_value(L, top + 1, NULL, (int)i);
        read_answer(L, &at, c, p, &r->answers[i - 1]);
        lua_settop(L, top + 1);
    }
    lua_settop(L, top - 1);
}

static void read_results(lua_State *L, const struct tab *t, struct test_case *c,
                         const struct policy *p)
{
    static const char write[] = "{ ACTION = \"refused\" }";
    struct tab in;
    if (!test_open(L, t, "results", write, &in)) {
        return;
    }
    size_t n = test_keys(L, &in, write);
    int keys = lua_gettop(L);
    c->results = arena_alloc(loader_of(L)->arena, (n + 1) * sizeof *c->results);
    for (size_t i = 1; i <= n; i++) {
        const char *key = test_key(L, &in, keys, i, write);
        if (key) {
            read_one_result(L, &in, c, p, key);
        }
        lua_settop(L, keys);
    }
    lua_settop(L, in.index - 1);
}

/* ---- what happens at a time ---- */

/* The time that a key is; false: it is none, reported. */
static bool read_time(lua_State *L, const struct tab *in, const struct test_case *c,
                      const char *key, int64_t *at_ms)
{
    struct place at = place_key(L, in->index, key, 0);
    if (unit_parse_duration(key, at_ms) != 0) {
        diag_add(loader_of(L)->d, "E107", &at, "%s: \"%s\" is not a time, write [\"20m\"] = ...",
                 in->what, key);
        return false;
    }
    if (*at_ms > c->run_for_ms) {
        diag_add(loader_of(L)->d, "E108", &at,
                 "%s: %s is after the end of the test: run_for is less", in->what, key);
    }
    return true;
}

static int by_change_time(const void *a, const void *b)
{
    const struct test_change *x = a, *y = b;
    return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

static void read_changes(lua_State *L, const struct tab *t, struct test_case *c,
                         const struct policy *p)
{
    static const char write[] = "{ [\"20m\"] = { desired = 9 } }";
    struct tab in, one;
    if (!test_open(L, t, "changes", write, &in)) {
        return;
    }
    size_t n = test_keys(L, &in, write);
    int keys = lua_gettop(L);
    c->changes = arena_alloc(loader_of(L)->arena, (n + 1) * sizeof *c->changes);
    for (size_t i = 1; i <= n; i++) {
        const char *key = test_key(L, &in, keys, i, write);
        struct test_change *change = &c->changes[c->nchanges];
        if (key && read_time(L, &in, c, key, &change->at_ms) &&
            test_open(L, &in, key, "{ desired = 9 }", &one)) {
            one.what = "changes";
            change->fields = read_state(L, &one, c, p);
            c->nchanges++;
        }
        lua_settop(L, keys);
    }
    lua_settop(L, in.index - 1);
    if (c->nchanges > 1) {
        qsort(c->changes, c->nchanges, sizeof *c->changes, by_change_time);
    }
}

/* Those of one moment stay in the order in which they were written. */
static void sort_orders(struct test_order *o, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct test_order one = o[i];
        size_t k = i;
        for (; k > 0 && o[k - 1].at_ms > one.at_ms; k--) {
            o[k] = o[k - 1];
        }
        o[k] = one;
    }
}

static void add_order(lua_State *L, struct test_case *c, int64_t at_ms, const struct place *at)
{
    struct loader *ld = loader_of(L);
    struct json *command = NULL;
    struct err e = ERR_INIT;
    if (is_poison(L, -1)) {
        return;
    }
    if (lua_type(L, -1) != LUA_TSTRING) {
        diag_add(ld->d, "E107", at, "operator needs what is done, write \"approve\"");
    } else if (test_order_parse(lua_tostring(L, -1), &command, &e) != 0) {
        diag_add(ld->d, "E107", at, "%s", e.text);
    } else {
        c->orders[c->norders++] =
            (struct test_order){.at_ms = at_ms,
                                .text = arena_strdup(ld->arena, lua_tostring(L, -1)),
                                .command = keep_json(ld->keep, command),
                                .site = site_of(ld, at)};
    }
}

#define MAX_ORDERS 1000

static void read_operator(lua_State *L, const struct tab *t, struct test_case *c)
{
    static const char write[] = "{ [\"16m\"] = \"approve\" }";
    struct tab in;
    int64_t at_ms = 0;
    if (!test_open(L, t, "operator", write, &in)) {
        return;
    }
    size_t n = test_keys(L, &in, write);
    int keys = lua_gettop(L);
    c->orders = arena_alloc(loader_of(L)->arena, MAX_ORDERS * sizeof *c->orders);
    for (size_t i = 1; i <= n; i++) {
        const char *key = test_key(L, &in, keys, i, write);
        if (!key || !read_time(L, &in, c, key, &at_ms)) {
            lua_settop(L, keys);
            continue;
        }
        struct place at = place_value(L, in.index, key, 0);
        lua_pushstring(L, key);
        lua_rawget(L, in.index);
        if (!sandbox_table(L, -1)) {
            lua_pushvalue(L, -1);
            lua_createtable(L, 1, 0);
            lua_insert(L, -2);
            lua_rawseti(L, -2, 1);
        }
        int list = lua_gettop(L);
        for (lua_Integer k = 1; k <= (lua_Integer)lua_rawlen(L, list) && c->norders < MAX_ORDERS;
             k++) {
            lua_rawgeti(L, list, k);
            add_order(L, c, at_ms, &at);
            lua_settop(L, list);
        }
        lua_settop(L, keys);
    }
    lua_settop(L, in.index - 1);
    sort_orders(c->orders, c->norders);
}

void test_read_world(lua_State *L, const struct tab *t, struct test_case *c, const struct policy *p)
{
    int base = lua_gettop(L);
    struct reporting f = {.L = L, .table = t->index};
    read_targets(L, t, c, p);
    lua_settop(L, base);
    if (!c->ntargets) {
        return;
    }
    estate_check(c->estate, report, &f);
    read_series(L, t, c);
    read_results(L, t, c, p);
    read_changes(L, t, c, p);
    read_operator(L, t, c);
    lua_settop(L, base);
}
