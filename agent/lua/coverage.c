/* Which lines of the policies' run functions were carried out: what their tests have shown. */
#include <string.h>
#include "lua/internal.h"

struct covered {
    char *file, *policy;
    bool *active, *seen; /* by line; active: it has code of the run function itself */
    int nlines;
    struct covered *next;
};

struct coverage {
    struct covered *all;
};

static _Thread_local struct coverage *in_use; /* a reload's tests are on a thread of their own */

struct coverage *coverage_new(void)
{
    return mem_alloc(sizeof(struct coverage));
}

void coverage_free(struct coverage *c)
{
    if (in_use == c) {
        in_use = NULL;
    }
    while (c->all) {
        struct covered *one = c->all;
        c->all = one->next;
        mem_free(one->file);
        mem_free(one->policy);
        mem_free(one->active);
        mem_free(one->seen);
        mem_free(one);
    }
    mem_free(c);
}

void coverage_use(struct coverage *c)
{
    in_use = c;
}

static struct covered *find(struct coverage *c, const struct source *s, const char *policy)
{
    for (struct covered *one = c->all; one; one = one->next) {
        if (strcmp(one->file, s->name) == 0 && strcmp(one->policy, policy) == 0) {
            return one;
        }
    }
    struct covered *one = mem_alloc(sizeof *one);
    one->nlines = 2;
    for (size_t i = 0; i < s->len; i++) {
        one->nlines += s->text[i] == '\n';
    }
    one->file = mem_strdup(s->name);
    one->policy = mem_strdup(policy);
    one->active = mem_calloc((size_t)one->nlines, sizeof *one->active);
    one->seen = mem_calloc((size_t)one->nlines, sizeof *one->seen);
    one->next = c->all;
    c->all = one;
    return one;
}

void coverage_begin(lua_State *L, lua_State *co, const struct source *s, const char *policy)
{
    lua_Debug ar;
    if (!in_use) {
        return;
    }
    struct covered *one = find(in_use, s, policy);
    lua_pushvalue(L, -1);
    lua_getinfo(L, ">SL", &ar);
    bool ours = host_source(ar.source) == 0; /* a run function out of a lib has no line here */
    lua_pushnil(L);
    while (ours && lua_next(L, -2)) {
        lua_Integer line = lua_tointeger(L, -2);
        /* The closing `end` has the code that returns, which an earlier return leaves out. */
        if (line > 0 && line < one->nlines &&
            (line != ar.lastlinedefined || ar.linedefined == ar.lastlinedefined)) {
            one->active[line] = true;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, ours ? 1 : 2);
    host_lines(host_of(L), co, one->seen, one->nlines);
}

struct json *coverage_of(struct coverage *c, const struct policy *p)
{
    if (p->script != &lua_script_ops) {
        return NULL;
    }
    const struct policy_data *d = p->script_data;
    struct coverage *before = in_use;
    struct err e = ERR_INIT;
    in_use = c; /* beginning a run tells which lines there are */
    p->script->free(p->script->start(p->script_data, NULL, NULL, &e));
    in_use = before;
    const struct covered *one = find(c, d->source, p->name);
    struct json *out = json_new_map(), *missed = json_new_list();
    int64_t lines = 0;
    for (int i = 0; i < one->nlines; i++) {
        lines += one->active[i];
        if (one->active[i] && !one->seen[i]) {
            json_add(missed, json_new_num(i));
        }
    }
    json_set_int(out, "lines", lines);
    json_set(out, "missed", missed);
    return out;
}
