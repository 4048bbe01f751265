/* config/runbookd.lua: the agent's configuration, one call of runbookd { ... }. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/user.h"
#include "lua/internal.h"

/* Where the files of a configuration are named. */
struct naming {
    struct place estate, params, *policies;
};

/* The fields of a schema as held, sections as maps. */
static struct json *read_fields(lua_State *L, const struct tab *t, const struct field *fields,
                                size_t n)
{
    struct loader *ld = loader_of(L);
    struct json *held = keep_json(ld->keep, json_new_map());
    luaL_checkstack(L, 8, NULL);
    tab_known(L, t, fields, n, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        const struct field *f = &fields[i];
        if (f->type != FIELD_TABLE) {
            bool given;
            struct json *v = tab_option(L, t, &f->option, &given);
            if (v) {
                json_set(held, f->option.name, json_copy(v));
            } else if (!given && f->option.required) {
                tab_missing(L, t, f);
            } else if (!given) {
                option_defaults(&f->option, 1, held);
            }
            continue;
        }
        lua_pushstring(L, f->option.name);
        int type = lua_rawget(L, t->index);
        if (type != LUA_TNIL && !is_poison(L, -1)) {
            if (!sandbox_table(L, -1)) {
                struct place at = place_value(L, t->index, f->option.name, 0);
                diag_add(ld->d, "E106", &at, "%s %s", f->option.name, field_type_remedy(f));
            } else {
                struct tab inner = {.index = lua_gettop(L), .what = f->option.name};
                json_set(held, f->option.name,
                         json_copy(read_fields(L, &inner, f->fields, f->nfields)));
                lua_pop(L, 1);
            }
        }
        lua_pop(L, 1);
    }
    return held;
}

/* Each of the operators, where it is written. */
static void check_operators(lua_State *L, int table, const struct json *operators)
{
    struct loader *ld = loader_of(L);
    int i = 0;
    for (const struct json *j = json_first(operators); j; j = json_next(j)) {
        struct place at = place_entry(L, table, "operators", ++i);
        here_user(ld, &at, "operators", json_str(j, ""));
    }
}

/* Where the files are named: for those that cannot be read. The text is the caller's to fill in. */
static void note_places(lua_State *L, int table, const struct json *held)
{
    struct naming *n = loader_of(L)->arg;
    const struct json *policies = json_get(held, "policies");
    int i = 0;
    n->estate = place_value(L, table, "estate", 0);
    n->params = place_value(L, table, "environment", 0);
    n->policies = mem_calloc(json_len(policies) + 1, sizeof *n->policies);
    for (; (size_t)i < json_len(policies); i++) {
        n->policies[i] = place_entry(L, table, "policies", i + 1);
    }
}

static int f_runbookd(lua_State *L)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 1);
    if (is_poison(L, 1)) {
        return 0;
    }
    struct place at = place_here(L, "runbookd");
    if (!sandbox_table(L, 1)) {
        diag_add(ld->d, "E106", &at, "runbookd needs a table, write runbookd { ... }");
        return 0;
    }
    if (ld->out) {
        diag_add(ld->d, "E106", &at, "a configuration has one runbookd { ... }");
        return 0;
    }
    struct tab t = {.index = lua_gettop(L), .what = "runbookd"};
    struct json *held = read_fields(L, &t, schema_config.fields, schema_config.nfields);
    check_operators(L, t.index, json_get(held, "operators"));
    ld->out = held;
    note_places(L, t.index, held);
    return 0;
}

void config_register(lua_State *L)
{
    lua_pushcfunction(L, f_runbookd);
    lua_setfield(L, -2, "runbookd");
}

static int config_finish(lua_State *L)
{
    struct loader *ld = loader_of(L);
    if (!ld->out && !ld->poisoned) {
        struct place at = {.file = ld->names[0], .line = 1, .column = 1};
        diag_add(ld->d, "E105", &at, "there is no runbookd { ... } in it");
    }
    return 0;
}

static char *text(const struct json *held, const char *name)
{
    return mem_strdup(json_get_str(held, name, NULL));
}
static char *path(const struct json *held, const char *name, const char *file)
{
    const char *v = json_get_str(held, name, NULL);
    return v ? path_beside(file, v) : NULL;
}
static struct rate rate(const struct json *held, const char *name)
{
    const struct json *v = json_get(held, name);
    return (struct rate){.n = (int)json_get_int(v, "n", 0), .per_ms = json_get_int(v, "per_ms", 0)};
}
static char **list(const struct json *held, const char *name, const char *file, size_t *n)
{
    const struct json *l = json_get(held, name);
    char **out = mem_calloc(json_len(l) + 1, sizeof *out);
    *n = 0;
    for (const struct json *j = json_first(l); j; j = json_next(j)) {
        out[(*n)++] = file ? path_beside(file, json_str(j, "")) : mem_strdup(json_str(j, ""));
    }
    return out;
}

static struct place kept(struct place at, const struct config *c)
{
    at.file = c->path;
    at.text = c->source;
    return at;
}

static struct config *fill(const struct json *held, const char *file, char *source,
                           const struct naming *at)
{
    struct config *c = mem_alloc(sizeof *c);
    c->path = mem_strdup(file);
    c->source = source;
    c->all = json_copy(held);
    c->state_dir = path(held, "state_dir", file);
    c->estate = path(held, "estate", file);
    c->control = path(held, "control", file);
    c->freeze_file = path(held, "freeze_file", file);
    c->ca_file = path(held, "ca_file", file);
    c->policies = list(held, "policies", file, &c->npolicies);
    c->estate_at = kept(at->estate, c);
    c->params_at = kept(at->params, c);
    c->policies_at = at->policies;
    for (size_t i = 0; i < c->npolicies; i++) {
        c->policies_at[i] = kept(at->policies[i], c);
    }
    c->operators = list(held, "operators", NULL, &c->noperators);
    c->environment = text(held, "environment");
    if (c->environment) {
        char *name = mem_printf("params/%s.lua", c->environment);
        c->params = path_beside(file, name);
        mem_free(name);
    }
    int mode = mode_parse(json_get_str(held, "mode", "shadow"));
    c->mode = mode < 0 ? MODE_OFF : (enum mode)mode;
    c->log_level = text(held, "log_level");
    c->budget = rate(held, "budget");
    c->budget_destructive = rate(held, "budget_destructive");
    c->max_limit = rate(held, "max_limit");
    const struct json *storm = json_get(held, "storm");
    c->storm_episodes = (int)json_get_int(storm, "episodes", 20);
    c->storm_window_ms = json_get_int(storm, "window", 5 * 60000);
    c->shadow_sink =
        json_get(held, "shadow_sink") ? json_copy(json_get(held, "shadow_sink")) : NULL;
    if (json_get_str(c->shadow_sink, "file", NULL)) {
        char *full = path(c->shadow_sink, "file", file);
        json_set_str(c->shadow_sink, "file", full);
        mem_free(full);
    }
    c->http = json_get(held, "http") ? json_copy(json_get(held, "http")) : NULL;
    if (json_get_str(c->http, "sns_certs", NULL)) {
        char *full = path(c->http, "sns_certs", file);
        json_set_str(c->http, "sns_certs", full);
        mem_free(full);
    }
    c->dashboard = text(held, "dashboard");
    c->host = text(held, "host");
    c->nameserver = text(held, "nameserver");
    return c;
}

struct config *config_load(const char *file, struct diags *d)
{
    size_t len = 0;
    char *source = read_text(file, &len, d);
    struct config *c = NULL;
    struct naming at = {.policies = NULL};
    if (!source) {
        return NULL;
    }
    struct arena *arena = arena_new();
    struct keep keep = {0};
    struct loader ld;
    loader_init(&ld, arena, &keep, d, FILE_CONFIG);
    ld.arg = &at;
    loader_run(&ld, file, source, len, config_finish);
    if (ld.out) {
        c = fill(ld.out, file, source, &at);
    }
    loader_end(&ld);
    keep_free(&keep);
    arena_free(arena);
    if (!c) {
        mem_free(at.policies);
        mem_free(source);
    }
    return c;
}

void config_free(struct config *c)
{
    if (!c) {
        return;
    }
    char *texts[] = {c->path,        c->state_dir, c->estate,    c->control,   c->freeze_file,
                     c->environment, c->params,    c->log_level, c->dashboard, c->host,
                     c->nameserver,  c->ca_file,   c->source};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mem_free(texts[i]);
    }
    for (size_t i = 0; i < c->npolicies; i++) {
        mem_free(c->policies[i]);
    }
    for (size_t i = 0; i < c->noperators; i++) {
        mem_free(c->operators[i]);
    }
    mem_free(c->policies);
    mem_free(c->policies_at);
    mem_free(c->operators);
    json_free(c->shadow_sink);
    json_free(c->http);
    json_free(c->all);
    mem_free(c);
}
