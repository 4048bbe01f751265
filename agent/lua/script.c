/* A run as a coroutine: each r:act, r:verify, ... leaves it with a question, and its answer enters
 * it again. Every run has a Lua state of its own, loaded from the stored source: nothing that one
 * run changes is seen by another, so a replay meets what the first execution met. */
#include <stdio.h>
#include <string.h>
#include "lua/internal.h"

#define MAX_ASKS 1000 /* E113 */
#define MAX_TEXT 4096 /* of a page or a log line */
#define MAX_WAITS 16

struct script {
    struct loader ld;
    struct arena *arena;
    struct keep keep;
    struct diags *d;
    const struct policy *policy;
    const struct source *source;
    lua_State *co;
    const struct json *target, *params, *answer; /* during start and resume only */
    int asks;
    bool first;
    struct ask ask;
    char *name, *text;
    struct json *signal;
};

static const char co_key = 0;

static struct script *script_of(lua_State *L)
{
    return loader_of(L)->out;
}

static void clear_ask(struct script *s)
{
    mem_free(s->name);
    mem_free(s->text);
    json_free(s->signal);
    s->name = s->text = NULL;
    s->signal = NULL;
    memset(&s->ask, 0, sizeof s->ask);
}

/* The line in the policy's own file: of the innermost call that stands there. */
static int asked_at(lua_State *L)
{
    lua_Debug ar;
    int any = 0;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strcmp(ar.source, "=0") == 0) {
            return ar.currentline;
        }
        any = any || ar.currentline <= 0 ? any : ar.currentline;
    }
    return any;
}

static int ask(lua_State *L, enum ask_kind kind, const char *name, int64_t within_ms,
               const char *text)
{
    struct script *s = script_of(L);
    if (++s->asks > MAX_ASKS) {
        return luaL_error(L, "E113 the run has asked for more than %d steps: a loop without end",
                          MAX_ASKS);
    }
    s->name = mem_strdup(name);
    s->text = mem_strdup(text);
    s->ask = (struct ask){.kind = kind,
                          .name = s->name,
                          .within_ms = within_ms,
                          .text = s->text,
                          .signal = s->signal,
                          .line = asked_at(L)};
    return lua_yield(L, 0);
}

static const char *word(lua_State *L, int index, const char *method, const char *what)
{
    if (index == 2 && lua_type(L, 1) == LUA_TSTRING) {
        luaL_error(L, "E107 r:%s is written with a colon, got r.%s", method, method);
    }
    if (lua_type(L, index) != LUA_TSTRING) {
        luaL_error(L, "E107 r:%s needs %s, got %s", method, what, luaL_typename(L, index));
    }
    return lua_tostring(L, index);
}

static int64_t span(lua_State *L, int index, const char *method, bool required)
{
    int64_t ms = -1;
    if (lua_isnoneornil(L, index) && !required) {
        return -1;
    }
    if (lua_type(L, index) != LUA_TSTRING ||
        unit_parse_duration(lua_tostring(L, index), &ms) != 0) {
        luaL_error(L, "E107 r:%s needs a duration, write e.g. \"5m\"", method);
    }
    return ms;
}

static const char *check_name(lua_State *L, int index, const char *method)
{
    const struct policy *p = script_of(L)->policy;
    const char *name = word(L, index, method, "the name of a check");
    if (!policy_check(p, name)) {
        char hint[160];
        hint_check(hint, sizeof hint, p, name);
        luaL_error(L, "E111 there is no check \"%s\" in this policy%s", name, hint);
    }
    return name;
}

static const struct declared_action *action_named(lua_State *L, const char *method)
{
    const struct policy *p = script_of(L)->policy;
    const char *name = word(L, 2, method, "the name of an action");
    const struct declared_action *a = policy_action(p, name);
    if (!a) {
        char hint[160];
        hint_action(hint, sizeof hint, p, name);
        luaL_error(L, "E111 there is no action \"%s\" in this policy%s", name, hint);
    }
    return a;
}

static int r_act(lua_State *L)
{
    return ask(L, ASK_ACT, action_named(L, "act")->name, 0, NULL);
}

static int r_undo(lua_State *L)
{
    const struct declared_action *a = action_named(L, "undo");
    if (!a->type->undo) {
        return luaL_error(L, "E112 \"%s\" cannot be undone: act.%s has no undo", a->name,
                          a->type->name);
    }
    return ask(L, ASK_UNDO, a->name, 0, NULL);
}

static int r_verify(lua_State *L)
{
    const char *name = check_name(L, 2, "verify");
    return ask(L, ASK_VERIFY, name, span(L, 3, "verify", false), NULL);
}

static int r_wait(lua_State *L)
{
    char joined[MAX_WAITS * 66] = "";
    lua_settop(L, 3);
    if (sandbox_table(L, 2)) {
        size_t n = (size_t)lua_rawlen(L, 4);
        if (n == 0 || n > MAX_WAITS) {
            return luaL_error(L, "E106 r:wait needs the names of 1 to %d checks", MAX_WAITS);
        }
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, 4, (lua_Integer)i);
            size_t used = strlen(joined);
            snprintf(joined + used, sizeof joined - used, "%s%s", i > 1 ? "|" : "",
                     check_name(L, -1, "wait"));
            lua_pop(L, 1);
        }
    } else {
        snprintf(joined, sizeof joined, "%s", check_name(L, 2, "wait"));
    }
    return ask(L, ASK_WAIT, joined, span(L, 3, "wait", true), NULL);
}

static int r_holds(lua_State *L)
{
    return ask(L, ASK_HOLDS, check_name(L, 2, "holds"), 0, NULL);
}

static int r_sleep(lua_State *L)
{
    return ask(L, ASK_SLEEP, NULL, span(L, 2, "sleep", true), NULL);
}

static int say(lua_State *L, enum ask_kind kind, const char *method)
{
    const char *text = word(L, 2, method, "a text");
    char cut[MAX_TEXT];
    snprintf(cut, sizeof cut, "%s", text);
    return ask(L, kind, NULL, 0, cut);
}
static int r_page(lua_State *L)
{
    return say(L, ASK_PAGE, "page");
}
static int r_log(lua_State *L)
{
    return say(L, ASK_LOG, "log");
}

static int r_read(lua_State *L)
{
    struct script *s = script_of(L);
    lua_settop(L, 2);
    if (lua_type(L, 2) == LUA_TSTRING && signal_push(L, lua_tostring(L, 2))) {
        lua_newtable(L); /* r:read "asg_cpu" is r:read(sig.asg_cpu {}) */
        lua_call(L, 1, 1);
    }
    if (lua_type(L, 2) == LUA_TSTRING && lua_gettop(L) == 2) {
        const char *names[NAMES_MAX], *name = lua_tostring(L, 2);
        char hint[160];
        did_you_mean(hint, sizeof hint, name, names, names_signals(names));
        return luaL_error(L, "E102 there is no signal \"%s\"%s", name, hint);
    }
    const struct node *n = node_at(L, -1);
    if (!n || n->kind != NODE_CONDITION || n->cond->kind != COND_LEAF) {
        return luaL_error(L, "E107 r:read needs a signal, write r:read(sig.x {...})");
    }
    if (diags_errors(s->d)) {
        return luaL_error(L, "E107 r:read: the signal's options are wrong");
    }
    s->signal = json_new_map();
    json_set_str(s->signal, "signal", n->cond->signal->name);
    json_set(s->signal, "opts", json_copy(n->cond->opts));
    return ask(L, ASK_READ, n->cond->signal->name, 0, NULL);
}

/* ---- the coroutine ---- */

static const luaL_Reg methods[] = {{"act", r_act},   {"undo", r_undo},   {"verify", r_verify},
                                   {"wait", r_wait}, {"holds", r_holds}, {"sleep", r_sleep},
                                   {"page", r_page}, {"log", r_log},     {"read", r_read},
                                   {NULL, NULL}};

/* r.x for what r does not have: a typo, not a nil that fails in the middle of a run. */
static int r_unknown(lua_State *L)
{
    const char *names[sizeof methods / sizeof methods[0] + 2];
    size_t n = 0;
    for (const luaL_Reg *m = methods; m->name; m++) {
        names[n++] = m->name;
    }
    names[n++] = "target";
    names[n++] = "params";
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    char hint[160];
    did_you_mean(hint, sizeof hint, name, names, n);
    return luaL_error(L, "E104 a run has no \"%s\"%s", name, hint);
}

/* The names of the part of a run in the upvalues: what it is, and of which policy. */
static int part_unknown(lua_State *L)
{
    static const char *const own[] = {"kind", "name", "id", "tag", "fields"};
    const struct policy *p = script_of(L)->policy;
    const struct target_kind *k = p->target.kind ? target_kind_find(p->target.kind) : NULL;
    const char *part = lua_tostring(L, lua_upvalueindex(1)), *names[NAMES_MAX];
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    bool known = false;
    size_t n = 0;
    if (strcmp(part, "target") == 0) {
        for (; n < sizeof own / sizeof *own; n++) {
            names[n] = own[n];
        }
    } else if (strcmp(part, "params") == 0) {
        for (size_t i = 0; i < p->noptions && n < NAMES_MAX; i++) {
            names[n++] = p->options[i].name;
        }
    } else {
        names[n++] = "aws";
        for (size_t i = 0; k && i < k->noptions && n < NAMES_MAX; i++) {
            names[n++] = k->options[i].name;
        }
    }
    for (size_t i = 0; i < n && !known; i++) {
        known = strcmp(names[i], name) == 0;
    }
    if (known) { /* and not given */
        lua_pushnil(L);
        return 1;
    }
    if (strcmp(part, "target") == 0 && k && option_find(k->options, k->noptions, name)) {
        return luaL_error(L, "E104 r.target has no \"%s\": write r.target.fields.%s", name, name);
    }
    char hint[160];
    did_you_mean(hint, sizeof hint, name, names, n);
    return luaL_error(L, "E104 r.%s has no \"%s\"%s", part, name, hint);
}

/* A misspelt name in a frozen part of the table on top is a mistake, and not a nil that is taken
 * for one that was not given. */
static void guard_part(lua_State *L, const char *part)
{
    int top = lua_gettop(L);
    sandbox_table(L, top);
    const char *dot = strchr(part, '.');
    char first[16];
    snprintf(first, sizeof first, "%.*s", dot ? (int)(dot - part) : (int)strlen(part), part);
    lua_getfield(L, -1, first);
    if (dot && sandbox_table(L, -1)) {
        lua_getfield(L, -1, dot + 1);
    }
    if (sandbox_table(L, -1)) {
        lua_createtable(L, 0, 1);
        lua_pushstring(L, part);
        lua_pushcclosure(L, part_unknown, 1);
        lua_setfield(L, -2, "__index");
        lua_setmetatable(L, -2);
    }
    lua_settop(L, top);
}

static int begin(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    if (!run_push(L, s->policy->name)) {
        return luaL_error(L, "E105 the policy has no run function");
    }
    luaL_newlib(L, methods);
    value_push(L, s->target);
    if (lua_isnil(L, -1)) {
        lua_newtable(L);
        lua_replace(L, -2);
    }
    lua_setfield(L, -2, "target");
    value_push(L, s->params);
    if (lua_isnil(L, -1)) {
        lua_newtable(L);
        lua_replace(L, -2);
    }
    lua_setfield(L, -2, "params");
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, r_unknown);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    sandbox_freeze(L, true);
    guard_part(L, "target");
    guard_part(L, "target.fields");
    guard_part(L, "params");
    s->co = lua_newthread(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &co_key);
    lua_pushvalue(L, -3);
    coverage_begin(L, s->co, s->source, s->policy->name);
    lua_pushvalue(L, -3);
    lua_xmove(L, s->co, 2);
    return 0;
}

static int go_on(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    int args = 1, results = 0;
    if (!s->first) {
        if (json_type(s->answer) == JSON_STRING || json_type(s->answer) == JSON_NUMBER ||
            json_type(s->answer) == JSON_BOOL) {
            value_push(L, s->answer);
        } else {
            lua_pushnil(L);
        }
        lua_xmove(L, s->co, 1);
    }
    s->first = false;
    s->ld.h->running = s->co;
    int status = lua_resume(s->co, L, args, &results);
    s->ld.h->running = L;
    if (status == LUA_YIELD) {
        lua_pop(s->co, results);
    } else if (status == LUA_OK) {
        lua_settop(s->co, 0);
        s->ask = (struct ask){.kind = ASK_END};
    } else {
        int source,
            line; /* the coroutine's stack still stands: the place of an error that says none */
        host_where(s->co, &source, &line);
        lua_xmove(s->co, L, 1);
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        if (source >= 0 && strchr(text, ':') != text + strspn(text, "0123456789")) {
            lua_pushfstring(L, "%d:%d: %s", source, line, text);
        }
        return lua_error(L);
    }
    return 0;
}

static void faulted(struct script *s, const struct fault *f)
{
    clear_ask(s);
    const char *file = host_file(s->ld.h, f->source);
    s->text = f->line > 0 ? mem_printf("%s %s:%d: %s", f->code, file, f->line, f->text)
                          : mem_printf("%s %s", f->code, f->text);
    s->ask = (struct ask){.kind = ASK_FAULT, .text = s->text, .line = f->line};
}

static void script_free(struct script *s)
{
    if (!s) {
        return;
    }
    clear_ask(s);
    loader_end(&s->ld);
    keep_free(&s->keep);
    diags_free(s->d);
    arena_free(s->arena);
    mem_free(s);
}

static struct script *script_start(void *data, const struct json *target, const struct json *params,
                                   struct err *e)
{
    const struct policy_data *p = data;
    const struct source *src = p->source;
    struct script *s = mem_alloc(sizeof *s);
    struct fault f;
    s->arena = arena_new();
    s->d = diags_new();
    s->first = true;
    s->source = src;
    loader_init(&s->ld, s->arena, &s->keep, s->d, FILE_POLICY);
    source_serve(&s->ld, src);
    s->ld.quiet = true;
    s->ld.only = p->policy;
    s->ld.out = s;
    bool ok = loader_run(&s->ld, src->name, src->text, src->len, policy_finish);
    for (size_t i = 0; ok && i < s->ld.npolicies; i++) {
        s->policy = strcmp(s->ld.policies[i]->name, p->policy) == 0 ? s->ld.policies[i] : s->policy;
    }
    if (!ok || !s->policy) {
        const struct diag *x = diags_at(s->d, 0);
        err_set(e, ERR_INPUT, "policy \"%s\" cannot be loaded for a run: %s", p->policy,
                x ? x->text : "it is not in its file");
        script_free(s);
        return NULL;
    }
    s->target = target;
    s->params = params;
    host_budget(s->ld.h, HOST_LOAD_BUDGET, HOST_LOAD_STRING);
    if (!host_enter(s->ld.h, begin, s, &f)) {
        err_set(e, ERR_INPUT, "policy \"%s\" cannot be run: %s %s", p->policy, f.code, f.text);
        script_free(s);
        return NULL;
    }
    s->target = s->params = NULL;
    return s;
}

static void script_resume(struct script *s, const struct json *answer, struct ask *out)
{
    struct fault f;
    if (s->ask.kind != ASK_FAULT && !(s->ask.kind == ASK_END && !s->first)) {
        clear_ask(s);
        s->answer = answer;
        host_budget(s->ld.h, HOST_RUN_BUDGET, HOST_RUN_STRING);
        if (!host_enter(s->ld.h, go_on, s, &f)) {
            faulted(s, &f);
        }
        s->answer = NULL;
    }
    *out = s->ask;
}

int64_t script_spent(const struct script *s)
{
    return host_spent(s->ld.h);
}

const struct script_ops lua_script_ops = {
    .start = script_start, .resume = script_resume, .free = script_free};
