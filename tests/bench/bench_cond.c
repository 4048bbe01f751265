/* A condition in C against the same comparison as a Lua function under lua_pcall: what it costs
 * that policies are data. all { cpu above 60 % for 5 m, any { p99 above 500 ms, errors above 5 } },
 * one new point of each a minute. The Lua side is given the readings and does less: it knows no
 * missing, late or implausible data. bench_cond [ROUNDS] */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "bench.h"
#include "harness/number.h"
#include "engine/cond.h"
#include "plugin/action.h"
#include "plugin/collector.h"

#define MIN 60000LL

static const struct signal signals[] = {{.name = "cpu",
                                         .unit = UNIT_PERCENT,
                                         .targets = "asg",
                                         .lag_ms = 3 * MIN,
                                         .default_interval_ms = MIN},
                                        {.name = "p99",
                                         .unit = UNIT_DURATION,
                                         .targets = "asg",
                                         .lag_ms = 3 * MIN,
                                         .default_interval_ms = MIN},
                                        {.name = "errors",
                                         .unit = UNIT_COUNT,
                                         .targets = "asg",
                                         .lag_ms = 3 * MIN,
                                         .default_interval_ms = MIN}};
static const struct collector_type collector = {.name = "bench", .signals = signals, .nsignals = 3};
const struct collector_type *const collector_types[] = {&collector};
const size_t collector_types_len = 1;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

static const char source[] =
    "local since\n"
    "return function(now, cpu, p99, errors)\n"
    "  if cpu > 60 then since = since or now else since = nil end\n"
    "  return since ~= nil and now - since >= 300000 and (p99 > 500 or errors > 5)\n"
    "end\n";

struct made {
    struct series *s[3];
};

static struct series *wanted(void *arg, const struct signal *s, const struct target *t,
                             struct json *opts, int64_t history_ms, struct err *e)
{
    struct made *m = arg;

    (void)t;
    (void)opts;
    (void)e;
    if (m->s[s - signals]->keep_ms < history_ms)
        m->s[s - signals]->keep_ms = history_ms;
    return m->s[s - signals];
}

static double value(int which, int64_t n)
{
    static const double base[] = {55, 450, 3};

    return base[which] + (double)((n / 7 + which) % 13);
}

int main(int argc, char **argv)
{
    int64_t rounds = argc > 1 ? number_in(argv[1]) : 1000000, now = 1790000000000;
    struct estate *estate = estate_new();
    struct json *opts = json_new_map();
    struct err e = ERR_INIT;
    struct cond leaf[3], any = {.kind = COND_ANY}, all = {.kind = COND_ALL};
    struct cond *any_kids[] = {&leaf[1], &leaf[2]}, *all_kids[] = {&leaf[0], &any};
    static const double threshold[] = {60, 500, 5};
    struct made made;
    struct bind_context ctx = {.series = wanted, .estate = estate, .arg = &made};
    struct bound *b;
    lua_State *L = luaL_newstate();
    double c, add, lua;
    int64_t true_c = 0, true_lua = 0;

    estate_add(estate, "asg", "web", json_new_map(), json_new_map(), MODE_ENFORCE, "e", 1, &e);
    ctx.target = estate_at(estate, 0);
    for (int k = 0; k < 3; k++) {
        leaf[k] = (struct cond){.kind = COND_LEAF,
                                .signal = &signals[k],
                                .opts = opts,
                                .cmp = CMP_ABOVE,
                                .threshold = threshold[k],
                                .lasting_ms = k == 0 ? 5 * MIN : 0};
        made.s[k] = series_new(&signals[k], ctx.target, estate, opts);
    }
    any.kids = any_kids;
    any.nkids = 2;
    all.kids = all_kids;
    all.nkids = 2;
    b = bound_new(&all, &ctx, &e);
    luaL_openlibs(L);
    if (!b || luaL_dostring(L, source) != LUA_OK) {
        fprintf(stderr, "%s\n", b ? lua_tostring(L, -1) : e.text);
        return 1;
    }

    add = bench_now_s(); /* the samples alone */
    for (int64_t n = 0; n < rounds; n++, now += MIN)
        for (int k = 0; k < 3; k++)
            series_add(made.s[k], now - MIN, MIN, value(k, n), now);
    add = bench_now_s() - add;
    c = bench_now_s();
    for (int64_t n = 0; n < rounds; n++, now += MIN) {
        for (int k = 0; k < 3; k++)
            series_add(made.s[k], now - MIN, MIN, value(k, n), now);
        true_c += bound_eval(b, now).value == TRI_TRUE;
    }
    c = bench_now_s() - c;
    lua = bench_now_s();
    for (int64_t n = 0; n < rounds; n++, now += MIN) {
        lua_pushvalue(L, -1);
        lua_pushinteger(L, now);
        for (int k = 0; k < 3; k++)
            lua_pushnumber(L, value(k, n));
        if (lua_pcall(L, 4, 1, 0) != LUA_OK)
            return 1;
        true_lua += lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    lua = bench_now_s() - lua;
    printf("condition: three leaves, each with a new point: %.0f ns, and %.0f ns to take in the "
           "points; "
           "the comparison alone in Lua under lua_pcall: %.0f ns; C is %.2f times that (true "
           "%.1f%% and "
           "%.1f%% of the time)\n",
           (c - add) * 1e9 / (double)rounds, add * 1e9 / (double)rounds, lua * 1e9 / (double)rounds,
           (c - add) / lua, (double)true_c * 100 / (double)rounds,
           (double)true_lua * 100 / (double)rounds);
    lua_close(L);
    bound_free(b);
    for (int k = 0; k < 3; k++)
        series_free(made.s[k]);
    json_free(opts);
    estate_unref(estate);
    return 0;
}
