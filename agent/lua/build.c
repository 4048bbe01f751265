/* From the tables of a policy and its file's defaults to struct policy, field by field along the
 * schema. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "lua/internal.h"

struct build {
    lua_State *L;
    struct loader *ld;
    struct policy *p;
    struct tab policy, defaults;
    bool empty; /* actions = {} */
};

/* Pushes the value of a field and tells which table it came from (NULL, nil pushed: neither has
 * it). */
static const struct tab *get(struct build *b, const char *name)
{
    const struct tab *from[] = {&b->policy, &b->defaults};
    for (size_t i = 0; i < 2; i++) {
        lua_pushstring(b->L, name);
        if (lua_rawget(b->L, from[i]->index) != LUA_TNIL) {
            return from[i];
        }
        lua_pop(b->L, 1);
    }
    lua_pushnil(b->L);
    return NULL;
}

/* A field of option type: as held, its fallback when absent; NULL when absent without one, or
 * wrong. */
static const struct json *option(struct build *b, const struct schema *s, const char *name)
{
    const struct field *f = schema_find(s, name);
    const struct tab *from = get(b, name);
    lua_pop(b->L, 1);
    if (!from) {
        if (f->option.required) {
            tab_missing(b->L, &b->policy, f);
        }
        if (!f->option.fallback) {
            return NULL;
        }
        struct json *held = keep_json(b->ld->keep, json_new_map());
        option_defaults(&f->option, 1, held);
        return json_get(held, name);
    }
    bool given;
    return tab_option(b->L, from, &f->option, &given);
}

static char *text(struct build *b, const struct schema *s, const char *name)
{
    const char *v = json_str(option(b, s, name), NULL);
    return v ? arena_strdup(b->ld->arena, v) : NULL;
}

static int word(struct build *b, const struct schema *s, const char *name, const char *const *words,
                int fallback)
{
    const char *v = json_str(option(b, s, name), NULL);
    for (int i = 0; v && words[i]; i++) {
        if (strcmp(words[i], v) == 0) {
            return i;
        }
    }
    return fallback;
}

static int64_t duration(struct build *b, const struct schema *s, const char *name, int64_t fallback)
{
    return json_int(option(b, s, name), fallback);
}

static struct rate rate(struct build *b, const struct schema *s, const char *name)
{
    const struct json *v = option(b, s, name);
    return (struct rate){.n = (int)json_get_int(v, "n", 0), .per_ms = json_get_int(v, "per_ms", 0)};
}

static struct cond *condition(struct build *b, const char *name)
{
    const struct tab *from = get(b, name);
    struct cond *c = NULL;
    if (from) {
        struct place at = place_value(b->L, from->index, name, 0);
        c = tab_condition(b->L, -1, name, &at);
    }
    lua_pop(b->L, 1);
    return c;
}

/* Names of checks, actions and parameters are identifiers: a wait joins them by '|', a reference by
 * '.'. */
static bool good_name(struct build *b, int table, const char *what, const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    if (*name && strlen(name) <= 64 && !(*name >= '0' && *name <= '9') &&
        name[strspn(name, letters)] == '\0') {
        return true;
    }
    struct place at = place_key(b->L, table, name, 0);
    diag_add(b->ld->d, "E106", &at,
             "the name of %s is made of letters, digits and _, and starts with a letter", what);
    return false;
}

/* Pushes the table in the value on top and its sorted keys; the number of keys, or -1 (nothing
 * pushed) when it is not such a table. */
static lua_Integer open_table(struct build *b)
{
    int base = lua_gettop(b->L);
    if (!sandbox_table(b->L, base)) {
        return -1;
    }
    if (!sandbox_keys(b->L, base + 1)) {
        lua_settop(b->L, base);
        return -1;
    }
    return (lua_Integer)lua_rawlen(b->L, base + 2);
}

static void wrong(struct build *b, const struct tab *from, const struct field *f, const char *code)
{
    struct place at = place_value(b->L, from->index, f->option.name, 0);
    diag_add(b->ld->d, code, &at, "%s %s", f->option.name, field_type_remedy(f));
}

static void checks(struct build *b, const struct schema *s)
{
    lua_State *L = b->L;
    const struct tab *from = get(b, "checks");
    int base = lua_gettop(L);
    lua_Integer n = 0;
    if (from && !is_poison(L, base) && (n = open_table(b)) < 0) {
        wrong(b, from, schema_find(s, "checks"), "E106");
        n = 0;
    }
    b->p->checks = arena_alloc(b->ld->arena, ((size_t)n + 1) * sizeof *b->p->checks);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, base + 2, i);
        if (lua_type(L, -1) != LUA_TSTRING) {
            struct place at = place_key(L, base + 1, NULL, (int)lua_tointeger(L, -1));
            diag_add(b->ld->d, "E106", &at, "checks need names, write { healthy = sig.x{...} }");
        } else if (good_name(b, base + 1, "a check", lua_tostring(L, -1))) {
            const char *name = arena_strdup(b->ld->arena, lua_tostring(L, -1));
            struct place at = place_value(L, base + 1, name, 0);
            lua_pushvalue(L, -1);
            lua_rawget(L, base + 1);
            struct cond *c = tab_condition(L, -1, name, &at);
            if (c) {
                b->p->checks[b->p->nchecks++] = (struct declared_check){.name = name, .cond = c};
            }
        }
        lua_settop(L, base + 2);
    }
    lua_settop(L, base - 1);
}

/* Adds the action in the value on top. name NULL: a rung of a ladder, named after its type. */
static void add_action(struct build *b, const char *name, const struct place *at)
{
    const struct node *n = node_at(b->L, -1);
    struct policy *p = b->p;
    if (is_poison(b->L, -1)) {
        return;
    }
    if (!n || n->kind != NODE_ACTION) {
        diag_add(b->ld->d, "E107", at, "%s needs an action, write act.x { ... }",
                 name ? name : "actions");
        return;
    }
    struct declared_action *a = &p->actions[p->nactions];
    *a = n->action->action;
    a->max_acts = n->action->max_acts ? n->action->max_acts : 1;
    if (name) {
        a->name = name;
    } else {
        int same = 1;
        for (size_t i = 0; i < p->nactions; i++) {
            same += p->actions[i].type == a->type;
        }
        a->name = same == 1 ? arena_strdup(b->ld->arena, a->type->name)
                            : arena_printf(b->ld->arena, "%s#%d", a->type->name, same);
    }
    p->nactions++;
}

static bool actions(struct build *b, const struct schema *s)
{
    lua_State *L = b->L;
    const struct tab *from = get(b, "actions");
    int base = lua_gettop(L);
    bool list = false;
    lua_Integer n = 0;
    if (!from) {
        tab_missing(L, &b->policy, schema_find(s, "actions"));
    } else if (!is_poison(L, base)) {
        n = open_table(b);
        if (n < 0) {
            wrong(b, from, schema_find(s, "actions"), "E106");
            n = 0;
        }
        list = n == 0 || lua_rawlen(L, base + 1) > 0;
        b->empty = n == 0 && lua_gettop(L) > base;
    }
    b->p->actions = arena_alloc(b->ld->arena, ((size_t)n + 1) * sizeof *b->p->actions);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, base + 2, i);
        bool named = lua_type(L, -1) == LUA_TSTRING;
        if (named == list) {
            struct place at = named ? place_key(L, base + 1, lua_tostring(L, -1), 0)
                                    : place_key(L, base + 1, NULL, (int)lua_tointeger(L, -1));
            diag_add(b->ld->d, "E106", &at, "actions are a list or have names, not both");
        } else if (!named || good_name(b, base + 1, "an action", lua_tostring(L, -1))) {
            const char *name = named ? arena_strdup(b->ld->arena, lua_tostring(L, -1)) : NULL;
            struct place at = place_value(L, base + 1, name, named ? 0 : (int)lua_tointeger(L, -1));
            lua_pushvalue(L, -1);
            lua_rawget(L, base + 1);
            add_action(b, name, &at);
        }
        lua_settop(L, base + 2);
    }
    lua_settop(L, base - 1);
    return list;
}

static void max_acts(struct build *b, const struct schema *s)
{
    lua_State *L = b->L;
    const struct tab *from = get(b, "max_acts");
    int base = lua_gettop(L);
    const struct option count = {.name = "max_acts", .type = OPT_COUNT, .min = 1, .max = 1000};
    bool given;
    if (from && lua_type(L, base) != LUA_TTABLE) {
        const struct json *v = tab_option(L, from, &count, &given);
        for (size_t i = 0; v && i < b->p->nactions; i++) {
            b->p->actions[i].max_acts = (int)json_int(v, 1);
        }
    } else if (from) {
        lua_Integer n = open_table(b);
        if (n < 0) {
            wrong(b, from, schema_find(s, "max_acts"), "E106");
        }
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, base + 2, i);
            if (lua_type(L, -1) != LUA_TSTRING) {
                wrong(b, from, schema_find(s, "max_acts"), "E106");
                break;
            }
            const char *name = lua_tostring(L, -1);
            const struct declared_action *a = policy_action(b->p, name);
            if (!a) {
                char hint[160];
                hint_action(hint, sizeof hint, b->p, name);
                struct place here = place_key(L, base + 1, name, 0);
                diag_add(b->ld->d, "E111", &here, "there is no action \"%s\" in this policy%s",
                         name, hint);
            } else {
                struct option each = count;
                struct tab t = {.index = base + 1, .what = "max_acts"};
                each.name = name;
                const struct json *v = tab_option(L, &t, &each, &given);
                b->p->actions[a - b->p->actions].max_acts = (int)json_int(v, 1);
            }
            lua_settop(L, base + 2);
        }
    }
    lua_settop(L, base - 1);
}

static void selector(struct build *b, const struct schema *s)
{
    const struct tab *from = get(b, "target");
    const struct node *n = node_at(b->L, -1);
    if (!from) {
        tab_missing(b->L, &b->policy, schema_find(s, "target"));
    } else if (n && n->kind == NODE_SELECTOR) {
        b->p->target = *n->selector;
    } else if (!is_poison(b->L, -1)) {
        wrong(b, from, schema_find(s, "target"), "E107");
    }
    lua_pop(b->L, 1);
}

/* params of a procedure: option descriptors that `start` checks its arguments with. */
static void params(struct build *b)
{
    lua_State *L = b->L;
    static const char *const names[] = {"string", "count", "number", "percent", "duration",
                                        "size",   "rate",  "bool",   NULL};
    static const enum opt_type types[] = {OPT_STRING,   OPT_COUNT, OPT_NUMBER, OPT_PERCENT,
                                          OPT_DURATION, OPT_SIZE,  OPT_RATE,   OPT_BOOL};
    const struct tab *from = get(b, "params");
    int base = lua_gettop(L);
    lua_Integer n = 0;
    if (from && !is_poison(L, base) && (n = open_table(b)) < 0) {
        wrong(b, from, schema_find(&schema_procedure, "params"), "E106");
        n = 0;
    }
    struct option *out = arena_alloc(b->ld->arena, ((size_t)n + 1) * sizeof *out);
    for (lua_Integer i = 1; i <= n; i++, lua_settop(L, base + 2)) {
        lua_rawgeti(L, base + 2, i);
        if (lua_type(L, -1) != LUA_TSTRING) {
            wrong(b, from, schema_find(&schema_procedure, "params"), "E106");
            continue;
        }
        const char *name = arena_strdup(b->ld->arena, lua_tostring(L, -1));
        lua_pushvalue(L, -1);
        lua_rawget(L, base + 1);
        struct place at = place_value(L, base + 1, name, 0);
        if (!good_name(b, base + 1, "a parameter", name) || !sandbox_table(L, -1)) {
            diag_add(b->ld->d, "E106", &at,
                     "%s needs a table, write { type = \"count\", default = 1 }", name);
            continue;
        }
        struct tab t = {.index = lua_gettop(L),
                        .what = arena_printf(b->ld->arena, "parameter \"%s\"", name)};
        tab_known(L, &t, schema_param.fields, schema_param.nfields, NULL, 0);
        bool given;
        const struct json *type =
            tab_option(L, &t, &schema_find(&schema_param, "type")->option, &given);
        const struct json *help =
            tab_option(L, &t, &schema_find(&schema_param, "help")->option, &given);
        struct option *o = &out[b->p->noptions];
        *o = (struct option){.name = name, .help = json_str(help, "")};
        if (!type) {
            lua_pushliteral(L, "type");
            if (lua_rawget(L, t.index) == LUA_TNIL) {
                tab_missing(L, &t, schema_find(&schema_param, "type"));
            }
            continue;
        }
        for (int k = 0; names[k]; k++) {
            o->type = strcmp(names[k], json_str(type, "")) == 0 ? types[k] : o->type;
        }
        struct option fallback = {.name = "default", .type = o->type};
        struct json *held = tab_option(L, &t, &fallback, &given);
        o->required = !given;
        lua_pushliteral(L, "default");
        if (held && lua_rawget(L, t.index) == LUA_TSTRING) { /* a fallback has no quotes */
            o->fallback = arena_strdup(b->ld->arena, lua_tostring(L, -1));
        } else if (held) {
            char *written = option_text(&fallback, held);
            o->fallback = arena_strdup(b->ld->arena, written);
            mem_free(written);
        }
        b->p->noptions++;
    }
    b->p->options = out;
    lua_settop(L, base - 1);
}

static void inhibits(struct build *b, const struct schema *s)
{
    const struct json *list = option(b, s, "inhibits");
    const struct tab *from = get(b, "inhibits");
    int i = 0;
    lua_pop(b->L, 1);
    b->p->inhibits = arena_alloc(b->ld->arena, (json_len(list) + 1) * sizeof *b->p->inhibits);
    for (const struct json *j = json_first(list); j; j = json_next(j)) {
        i++;
        if (strcmp(json_str(j, ""), b->p->name) == 0) {
            struct place at = place_entry(b->L, from->index, "inhibits", i);
            diag_add(b->ld->d, "E106", &at,
                     "policy \"%s\" inhibits itself: name the policies that it holds back",
                     b->p->name);
        }
        b->p->inhibits[b->p->ninhibits++] = arena_strdup(b->ld->arena, json_str(j, ""));
    }
}

static const char run_key = 0;

bool run_push(lua_State *L, const char *name)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &run_key) == LUA_TTABLE &&
        lua_getfield(L, -1, name) == LUA_TFUNCTION) {
        lua_remove(L, -2);
        return true;
    }
    return false;
}

/* Keeps the run function where a script finds it; pushes it, or nil. */
static void run(struct build *b, const struct schema *s, bool list)
{
    lua_State *L = b->L;
    const struct tab *from = get(b, "run");
    if (from && lua_type(L, -1) != LUA_TFUNCTION) {
        if (!is_poison(L, -1)) {
            wrong(b, from, schema_find(s, "run"), "E107");
        }
        lua_pop(L, 1);
        lua_pushnil(L);
        return;
    }
    b->p->ladder = !from && list;
    if (!from) {
        struct place at = place_call(L, b->policy.index);
        if (b->p->ladder && !b->p->procedure && b->empty) {
            const struct tab *actions = get(b, "actions");
            lua_pop(L, 1);
            at = place_value(L, actions->index, "actions", 0);
            diag_add(b->ld->d, "E106", &at,
                     "actions needs at least one action: a ladder without rungs does nothing");
        }
        if (b->p->procedure) { /* a ladder goes by the condition, and a procedure has none */
            b->p->ladder = false;
            diag_add(b->ld->d, "E105", &at,
                     "%s needs the field \"run\" (function): the sequence of its steps",
                     b->policy.what);
        } else if (!list && b->p->nactions) {
            diag_add(b->ld->d, "E105", &at,
                     "%s needs the field \"run\" (function): its actions have names, so the "
                     "sequence is yours to write",
                     b->policy.what);
        }
        return;
    }
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &run_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &run_key);
    }
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, b->p->name);
    lua_pop(L, 1);
}

struct policy *build_policy(lua_State *L, const char *name, int table, int defaults, bool procedure)
{
    static const char *const severities[] = {"sev1", "sev2", "sev3", "sev4", NULL};
    static const char *const modes[] = {"off", "shadow", "approve", "enforce", NULL};
    static const char *const pages[] = {"at_fire", "on_failure", NULL};
    static const char *const outsides[] = {"refuse", "wait", NULL};
    struct loader *ld = loader_of(L);
    const struct schema *s = procedure ? &schema_procedure : &schema_policy;
    luaL_checkstack(L, 40, NULL);
    struct policy *p = arena_alloc(ld->arena, sizeof *p);
    struct build b = {.L = L, .ld = ld, .p = p};
    b.policy = (struct tab){
        .index = lua_absindex(L, table),
        .what = arena_printf(ld->arena, "%s \"%s\"", procedure ? "procedure" : "policy", name)};
    b.defaults = (struct tab){.index = lua_absindex(L, defaults), .what = "defaults"};
    tab_known(L, &b.policy, s->fields, s->nfields, NULL, 0);
    p->name = arena_strdup(ld->arena, name);
    p->procedure = procedure;
    struct place at = place_call(L, b.policy.index);
    p->site = site_of(ld, &at);
    p->owner = text(&b, s, "owner");
    p->doc = text(&b, s, "doc");
    p->severity = (enum severity)(SEV1 + word(&b, s, "severity", severities, 3));
    selector(&b, s);
    if (!procedure) {
        p->when = condition(&b, "when");
        const struct tab *from = get(&b, "when");
        lua_pop(L, 1);
        if (!from) {
            tab_missing(L, &b.policy, schema_find(s, "when"));
        }
    }
    p->clear = condition(&b, "clear");
    if (!p->clear) {
        p->clear = clear_of_when(ld->arena, p->when);
        p->clear_of_when = p->clear != NULL;
    }
    p->window = condition(&b, "window");
    checks(&b, s);
    bool list = actions(&b, s);
    max_acts(&b, s);
    p->mode = (enum mode)word(&b, s, "mode", modes, MODE_SHADOW);
    p->limit = rate(&b, s, "limit");
    p->policy_limit = rate(&b, s, "policy_limit");
    p->cooldown_ms = duration(&b, s, "cooldown", 0);
    p->blind_after_ms = duration(&b, s, "blind_after", 0);
    p->verify_within_ms = duration(&b, s, "verify_within", 0);
    p->deadline_ms = duration(&b, s, "deadline", 0);
    p->status_every_ms = duration(&b, s, "status_every", p->severity == SEV1 ? 15 * 60000 : 0);
    p->page = (enum page_when)word(&b, s, "page", pages,
                                   p->severity <= SEV2 ? PAGE_AT_FIRE : PAGE_ON_FAILURE);
    p->outside_wait = word(&b, s, "outside", outsides, 0) == 1;
    inhibits(&b, s);
    const struct json *most = option(&b, s, "max_targets");
    if (json_type(most) == JSON_NUMBER) {
        p->max_targets = json_int(most, 1) < 1 ? 1 : (int)json_int(most, 1);
    } else {
        p->max_targets_percent = json_get_num(most, "percent", 10);
    }
    if (procedure) {
        params(&b);
    }
    p->params = ld->used;
    run(&b, s, list);
    check_policy(L, p, b.policy.index, b.defaults.index, lua_gettop(L));
    lua_pop(L, 1);
    return p;
}
