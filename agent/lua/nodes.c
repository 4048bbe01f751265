/* The constructors of conditions, actions and selectors: sig.x, all, any, none, act.x, find.x. Each
 * checks its table at once and gives an opaque value. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/units.h"
#include "lua/loader.h"

#define MAX_NAMES NAMES_MAX

/* The table that a constructor was given, unwrapped onto the stack; false after E106. */
static bool argument(lua_State *L, int index, const char *what, struct tab *t)
{
    struct loader *ld = loader_of(L);
    if (is_poison(L, index)) {
        return false;
    }
    if (!sandbox_table(L, index)) {
        struct place at = place_here(L, strrchr(what, '.') ? strrchr(what, '.') + 1 : what);
        diag_add(ld->d, "E106", &at, "%s needs a table, write %s { ... }", what, what);
        return false;
    }
    t->index = lua_gettop(L);
    t->what = what;
    return true;
}

static const struct {
    const char *name;
    enum cmp cmp;
} comparators[] = {{"above", CMP_ABOVE},     {"below", CMP_BELOW}, {"at_least", CMP_AT_LEAST},
                   {"at_most", CMP_AT_MOST}, {"is", CMP_IS},       {"is_not", CMP_IS_NOT}};

/* E107 for a word that the signal's readings never are: it would be false for ever. */
static void check_word(lua_State *L, const struct tab *t, const struct signal *s, const char *name,
                       const char *word)
{
    const char *names[NAMES_MAX];
    char hint[160];
    size_t n = 0;
    for (; s->words && s->words[n] && n < NAMES_MAX; n++) {
        names[n] = s->words[n];
        if (strcmp(names[n], word) == 0) {
            return;
        }
    }
    struct place at = place_value(L, t->index, name, 0);
    did_you_mean(hint, sizeof hint, word, names, n);
    diag_add(loader_of(L)->d, "E107", &at, "%s: \"%s\" is no word of %s%s", name, word, t->what,
             hint);
}

/* Reads the comparator into the leaf; E109 unless there is at most one, E107 for one that the
 * signal's unit does not have. */
static void read_comparator(lua_State *L, const struct tab *t, struct node *n,
                            const struct signal *s, enum unit unit)
{
    struct loader *ld = loader_of(L);
    char got[128] = "";
    size_t last = 0;
    for (size_t i = 0; i < sizeof comparators / sizeof *comparators; i++) {
        lua_pushstring(L, comparators[i].name);
        if (lua_rawget(L, t->index) != LUA_TNIL) {
            size_t used = strlen(got);
            snprintf(got + used, sizeof got - used, "%s%s", n->comparators ? " and " : "",
                     comparators[i].name);
            n->comparators++;
            last = i;
        }
        lua_pop(L, 1);
    }
    if (n->comparators == 0) {
        return;
    }
    const char *name = comparators[last].name;
    struct place at = place_key(L, t->index, name, 0);
    if (n->comparators > 1) {
        diag_add(ld->d, "E109", &at, "%s needs exactly one of %s, got %s", t->what,
                 unit == UNIT_ENUM ? "is, is_not" : "above, below, at_least, at_most", got);
        return;
    }
    n->cond->cmp = comparators[last].cmp;
    bool word = n->cond->cmp == CMP_IS || n->cond->cmp == CMP_IS_NOT;
    if (word != (unit == UNIT_ENUM)) {
        diag_add(ld->d, "E107", &at, "%s compares %s: write one of %s", t->what,
                 unit == UNIT_ENUM ? "words" : "numbers",
                 unit == UNIT_ENUM ? "is, is_not" : "above, below, at_least, at_most");
        return;
    }
    struct option o = {.name = name, .type = schema_threshold(unit)};
    bool given;
    struct json *v = tab_option(L, t, &o, &given);
    if (v && word) {
        n->cond->word = arena_strdup(ld->arena, json_str(v, ""));
        check_word(L, t, s, name, n->cond->word);
    } else if (v) {
        n->cond->threshold = json_num(v, 0);
    }
}

/* lasting and missing; `missing` may also be written as true or false. */
void read_clock(lua_State *L, const struct tab *t, struct cond *c)
{
    bool given;
    const struct json *v = tab_option(L, t, &schema_find(&schema_leaf, "lasting")->option, &given);
    c->lasting_ms = json_int(v, 0);
    lua_pushliteral(L, "missing");
    lua_rawget(L, t->index);
    if (lua_isboolean(L, -1)) {
        c->missing = lua_toboolean(L, -1) ? MISSING_TRUE : MISSING_FALSE;
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 1);
    v = tab_option(L, t, &schema_find(&schema_leaf, "missing")->option, &given);
    const char *word = json_str(v, "hold");
    c->missing = strcmp(word, "true") == 0    ? MISSING_TRUE
                 : strcmp(word, "false") == 0 ? MISSING_FALSE
                                              : MISSING_HOLD;
}

void read_clear(lua_State *L, const struct tab *t, struct node *n, const struct option *as)
{
    struct loader *ld = loader_of(L);
    bool given;
    lua_pushliteral(L, "clear");
    given = lua_rawget(L, t->index) != LUA_TNIL;
    lua_pop(L, 1);
    if (!given) {
        return;
    }
    struct place at = place_key(L, t->index, "clear", 0);
    if (n->comparators == 0) {
        diag_add(ld->d, "E106", &at,
                 "clear of %s takes the comparator's place, and there is none: delete it", t->what);
    } else if (as->type == OPT_STRING) {
        diag_add(ld->d, "E106", &at,
                 "clear of %s: between words there is no distance; delete it, or write when it is "
                 "over as the policy's own clear = sig.x{...}",
                 t->what);
    } else {
        struct option o = *as;
        o.name = "clear";
        const struct json *v = tab_option(L, t, &o, &given);
        if (v) {
            n->cond->clear_site = site_of(ld, &at);
            n->cond->clear = json_num(v, 0);
        }
    }
}

static int make_leaf(lua_State *L)
{
    struct loader *ld = loader_of(L);
    const struct signal *s = lua_touserdata(L, lua_upvalueindex(1));
    struct tab t;
    struct err e = ERR_INIT;
    size_t before = diags_errors(ld->d);
    char what[128];
    snprintf(what, sizeof what, "sig.%s", s->name);
    lua_settop(L, 1);
    if (!argument(L, 1, what, &t)) {
        poison_push(L);
        return 1;
    }
    if (s->derive != DERIVE_NONE) {
        derived_push(L, s, &t);
        return 1;
    }
    tab_known(L, &t, schema_leaf.fields, schema_leaf.nfields, s->options, s->noptions);
    struct node *n = node_push(L, NODE_CONDITION);
    n->place = place_call(L, t.index);
    n->cond = arena_alloc(ld->arena, sizeof *n->cond);
    n->cond->kind = COND_LEAF;
    n->cond->signal = s;
    n->cond->site = site_of(ld, &n->place);
    n->cond->opts = tab_options(L, &t, s->options, s->noptions);
    read_comparator(L, &t, n, s, signal_unit(s, n->cond->opts));
    if (s->occurs && n->comparators == 0) {
        n->comparators = 1;
        n->cond->cmp = CMP_AT_LEAST;
        n->cond->threshold = 1;
    }
    read_clock(L, &t, n->cond);
    const struct option as = {.type = schema_threshold(signal_unit(s, n->cond->opts))};
    read_clear(L, &t, n, &as);
    char why[256];
    if (s->bad_period && !ld->quiet && s->bad_period(NULL, NULL, n->cond->opts, why, sizeof why)) {
        struct place at = place_value(L, t.index, "period", 0);
        diag_add(ld->d, "W205", &at, "%s: %s", what, why);
    }
    if (s->check && diags_errors(ld->d) == before && !ld->poisoned &&
        s->check(n->cond->opts, &e) != 0) {
        diag_add(ld->d, e.code == ERR_LIMIT ? "E108" : "E106", &n->place, "%s: %s", what, e.text);
    }
    return 1;
}

/* E106 for each named field of what should be a list. */
static void only_list(lua_State *L, const struct tab *t)
{
    int base = lua_gettop(L);
    if (!sandbox_keys(L, t->index)) {
        return;
    }
    for (lua_Integer i = 1; lua_rawgeti(L, base + 1, i) != LUA_TNIL; i++) {
        if (lua_type(L, -1) == LUA_TSTRING) {
            struct place at = place_key(L, t->index, lua_tostring(L, -1), 0);
            diag_add(loader_of(L)->d, "E106", &at, "%s takes a list of conditions, without names",
                     t->what);
        }
        lua_pop(L, 1);
    }
    lua_settop(L, base);
}

static int make_group(lua_State *L)
{
    struct loader *ld = loader_of(L);
    enum cond_kind kind = (enum cond_kind)lua_tointeger(L, lua_upvalueindex(1));
    static const char *const names[] = {"", "all", "any", "none"};
    struct tab t;
    lua_settop(L, 1);
    if (!argument(L, 1, names[kind], &t)) {
        poison_push(L);
        return 1;
    }
    struct node *n = node_push(L, NODE_CONDITION);
    n->place = place_call(L, t.index);
    n->cond = arena_alloc(ld->arena, sizeof *n->cond);
    n->cond->kind = kind;
    n->cond->site = site_of(ld, &n->place);
    size_t count = (size_t)lua_rawlen(L, t.index);
    n->cond->kids = arena_alloc(ld->arena, (count + 1) * sizeof *n->cond->kids);
    only_list(L, &t);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, t.index, (lua_Integer)i + 1);
        struct place at = place_value(L, t.index, NULL, (int)i + 1);
        char item[32];
        snprintf(item, sizeof item, "item %zu of %s", i + 1, names[kind]);
        struct cond *c = tab_condition(L, -1, item, &at);
        if (c) {
            n->cond->kids[n->cond->nkids++] = c;
        }
        lua_pop(L, 1);
    }
    if (count == 0) {
        diag_add(ld->d, "E106", &n->place, "%s needs a list of at least one condition",
                 names[kind]);
        lua_pop(L, 1);
        poison_push(L);
    }
    return 1;
}

/* W210: to approve is to change something, and that is for operators; root always is one. */
static void check_operator(const struct loader *ld, const struct place *at, const char *user)
{
    bool one = ld->noperators == 0 || strcmp(user, "root") == 0;
    for (size_t i = 0; i < ld->noperators && !one; i++) {
        one = strcmp(ld->operators[i], user) == 0;
    }
    if (!one) {
        diag_add(ld->d, "W210", at,
                 "approvers: \"%s\" is not one of this agent's operators, and so may not approve: "
                 "add the name to operators in the configuration, or take it out here",
                 user);
    }
}

/* approval, approval_unless, approvers, approval_ttl, timeout, max_acts, coexist (M24; the class of
 * the action decides what is allowed). */
static void read_common(lua_State *L, const struct tab *t, struct action_node *a)
{
    struct loader *ld = loader_of(L);
    const struct action_type *type = a->action.type;
    struct option options[16];
    size_t n = 0;
    for (size_t i = 0; i < schema_action.nfields; i++) {
        if (schema_action.fields[i].type == FIELD_OPTION) {
            options[n++] = schema_action.fields[i].option;
        }
    }
    const struct json *held = tab_options(L, t, options, n);
    const char *approval = json_get_str(held, "approval", NULL);
    bool must = (type->flags & ACTION_IRREVERSIBLE) ||
                ((type->flags & ACTION_DESTRUCTIVE) && !type->can_probe);
    a->approval_given = approval != NULL;
    a->action.approval_required = must || (approval && strcmp(approval, "required") == 0);
    if (must && approval && strcmp(approval, "none") == 0) {
        struct place at = place_value(L, t->index, "approval", 0);
        diag_add(ld->d, "E108", &at, "%s is %s: its approval cannot be \"none\"", t->what,
                 type->flags & ACTION_IRREVERSIBLE ? "irreversible"
                                                   : "destructive and cannot be probed");
    }
    const char *approvers = json_get_str(held, "approvers", NULL);
    for (const char *s = approvers; s && *s && !ld->quiet; s += strcspn(s, ", ")) {
        char user[80];
        s += strspn(s, ", ");
        snprintf(user, sizeof user, "%.*s", (int)strcspn(s, ", "), s);
        struct place at = place_value(L, t->index, "approvers", 0);
        if (*user) {
            here_user(ld, &at, "approvers", user);
            check_operator(ld, &at, user);
        }
    }
    a->action.approvers = approvers ? arena_strdup(ld->arena, approvers) : NULL;
    a->action.approval_ttl_ms = json_get_int(held, "approval_ttl", 0);
    a->action.timeout_ms = json_get_int(held, "timeout", 0);
    a->max_acts = (int)json_get_int(held, "max_acts", 0);
    a->action.coexist = json_get_bool(held, "coexist", false);
    lua_pushliteral(L, "approval_unless");
    if (lua_rawget(L, t->index) != LUA_TNIL) {
        struct place at = place_value(L, t->index, "approval_unless", 0);
        a->action.approval_unless = tab_condition(L, -1, "approval_unless", &at);
    }
    lua_pop(L, 1);
}

/* An option that may be a signal keeps it as a condition, too: one that any value satisfies. So it
 * is checked, bound and watched like the others. */
static void read_reads(lua_State *L, const struct tab *t, struct declared_action *a)
{
    struct loader *ld = loader_of(L);
    for (size_t i = 0; i < a->type->noptions; i++) {
        const char *name = a->type->options[i].name;
        if (a->type->options[i].type != OPT_COUNT_OR_SIGNAL ||
            json_type(json_get(a->opts, name)) != JSON_MAP) {
            continue;
        }
        lua_pushstring(L, name);
        lua_rawget(L, t->index);
        const struct node *n = node_at(L, -1);
        if (n && n->kind == NODE_CONDITION && n->cond->signal->unit == UNIT_ENUM) {
            struct place at = place_value(L, t->index, name, 0);
            diag_add(ld->d, "E107", &at, "%s needs a signal that is a number: sig.%s is a word",
                     name, n->cond->signal->name);
        } else if (n && n->kind == NODE_CONDITION) {
            a->reads = arena_alloc(ld->arena, sizeof *a->reads);
            *a->reads = *n->cond;
            a->reads->cmp = CMP_AT_LEAST;
            a->reads->threshold = -INFINITY;
            a->reads_as = name;
        }
        lua_pop(L, 1);
    }
}

static int make_action(lua_State *L)
{
    struct loader *ld = loader_of(L);
    const struct action_type *type = lua_touserdata(L, lua_upvalueindex(1));
    struct tab t;
    char what[128];
    snprintf(what, sizeof what, "act.%s", type->name);
    lua_settop(L, 1);
    if (!argument(L, 1, what, &t)) {
        poison_push(L);
        return 1;
    }
    size_t before = diags_errors(ld->d);
    tab_known(L, &t, schema_action.fields, schema_action.nfields, type->options, type->noptions);
    struct node *n = node_push(L, NODE_ACTION);
    n->place = place_call(L, t.index);
    n->action = arena_alloc(ld->arena, sizeof *n->action);
    n->action->action.type = type;
    n->action->action.site = site_of(ld, &n->place);
    n->action->action.opts = tab_options(L, &t, type->options, type->noptions);
    read_common(L, &t, n->action);
    read_reads(L, &t, &n->action->action);
    struct err e = ERR_INIT;
    if (type->check && diags_errors(ld->d) == before && !ld->poisoned &&
        type->check(n->action->action.opts, &e) != 0) {
        diag_add(ld->d, e.code == ERR_LIMIT ? "E108" : "E106", &n->place, "%s: %s", what, e.text);
    }
    return 1;
}

static int make_selector(lua_State *L)
{
    struct loader *ld = loader_of(L);
    const struct target_kind *kind = lua_touserdata(L, lua_upvalueindex(1));
    struct tab t;
    char what[128];
    snprintf(what, sizeof what, "find.%s", kind->name);
    lua_settop(L, 1);
    if (!argument(L, 1, what, &t)) {
        poison_push(L);
        return 1;
    }
    tab_known(L, &t, schema_selector.fields, schema_selector.nfields, NULL, 0);
    struct node *n = node_push(L, NODE_SELECTOR);
    n->place = place_call(L, t.index);
    n->selector = arena_alloc(ld->arena, sizeof *n->selector);
    n->selector->kind = kind->name;
    bool given;
    n->selector->name = tab_option(L, &t, &schema_find(&schema_selector, "name")->option, &given);
    n->selector->tag = tab_option(L, &t, &schema_find(&schema_selector, "tag")->option, &given);
    n->selector->except =
        tab_option(L, &t, &schema_find(&schema_selector, "except")->option, &given);
    return 1;
}

/* ---- sig.NAME, act.NAME, find.NAME ---- */

static int unknown(lua_State *L, const char *what, const char *name, const char *const *names,
                   size_t n)
{
    struct loader *ld = loader_of(L);
    char hint[160];
    did_you_mean(hint, sizeof hint, name, names, n);
    struct place at = place_here(L, name);
    if (!diags_at_line(ld->d, at.file, at.line)) {
        diag_add(ld->d, "E102", &at, "there is no %s \"%s\"%s", what, name, hint);
    }
    poison_push(L);
    return 1;
}

static const char *field_name(lua_State *L)
{
    return lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
}

int signal_push(lua_State *L, const char *name)
{
    const struct signal *s = signal_find(name, NULL);
    if (!s) {
        return 0;
    }
    union {
        const struct signal *in;
        void *out;
    } p = {.in = s};
    lua_pushlightuserdata(L, p.out);
    lua_pushcclosure(L, make_leaf, 1);
    return 1;
}

static int sig_index(lua_State *L)
{
    const char *names[MAX_NAMES];
    if (lua_type(L, 2) == LUA_TSTRING && signal_push(L, lua_tostring(L, 2))) {
        return 1;
    }
    return unknown(L, "signal", field_name(L), names, names_signals(names));
}
static int act_index(lua_State *L)
{
    const char *names[MAX_NAMES];
    const struct action_type *a =
        lua_type(L, 2) == LUA_TSTRING ? action_find(lua_tostring(L, 2)) : NULL;
    if (!a) {
        return unknown(L, "action", field_name(L), names, names_actions(names));
    }
    union {
        const struct action_type *in;
        void *out;
    } p = {.in = a};
    lua_pushlightuserdata(L, p.out);
    lua_pushcclosure(L, make_action, 1);
    return 1;
}
static int find_index(lua_State *L)
{
    const char *names[MAX_NAMES];
    const struct target_kind *k =
        lua_type(L, 2) == LUA_TSTRING ? target_kind_find(lua_tostring(L, 2)) : NULL;
    if (!k) {
        return unknown(L, "kind of target", field_name(L), names, names_kinds(names));
    }
    union {
        const struct target_kind *in;
        void *out;
    } p = {.in = k};
    lua_pushlightuserdata(L, p.out);
    lua_pushcclosure(L, make_selector, 1);
    return 1;
}

static int refuse(lua_State *L)
{
    return luaL_error(L, "this table cannot be changed");
}
static void space(lua_State *L, const char *name, lua_CFunction index)
{
    lua_newtable(L);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse);
    lua_setfield(L, -2, "__newindex");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, name);
}

void nodes_register(lua_State *L)
{
    static const struct {
        const char *name;
        enum cond_kind kind;
    } groups[] = {{"all", COND_ALL}, {"any", COND_ANY}, {"none", COND_NONE}};
    space(L, "sig", sig_index);
    space(L, "act", act_index);
    space(L, "find", find_index);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        lua_pushinteger(L, groups[i].kind);
        lua_pushcclosure(L, make_group, 1);
        lua_setfield(L, -2, groups[i].name);
    }
}
