/* The constructors of signals that no collector reads. */
#include <stdio.h>
#include <string.h>
#include "lua/loader.h"

static void wrong(lua_State *L, const struct tab *t, const char *field, const char *code,
                  const char *text)
{
    struct place at = place_value(L, t->index, field, 0);
    diag_add(loader_of(L)->d, code, &at, "%s %s", field, text);
}

static const struct zone *read_zone(lua_State *L, const struct tab *t, const char *name)
{
    struct loader *ld = loader_of(L);
    struct err e = ERR_INIT;
    const struct zone *z = zone_load(ld->arena, name, &e);
    if (!z) {
        const char **names;
        char hint[160] = "";
        size_t n = zone_names(ld->arena, &names);
        struct place at = place_value(L, t->index, "tz", 0);
        if (e.code == ERR_NOT_FOUND) {
            did_you_mean(hint, sizeof hint, name, names, n);
        }
        diag_add(ld->d, e.code == ERR_NOT_FOUND ? "E102" : "E107", &at, "%s%s", e.text, hint);
    }
    return z;
}

static int minutes(lua_State *L, const struct tab *t, const struct json *opts, const char *field)
{
    const char *text = json_get_str(opts, field, NULL);
    int m = -1;
    if (text && window_time(text, strcmp(field, "to") == 0, &m) != 0) {
        wrong(L, t, field, "E107",
              strcmp(field, "to") == 0
                  ? "needs a time of the day, write \"06:00\", at most \"24:00\""
                  : "needs a time of the day, write \"22:00\"");
    }
    return m;
}

void clock_push(lua_State *L, const struct signal *s, const struct tab *t)
{
    struct loader *ld = loader_of(L);
    tab_known(L, t, NULL, 0, s->options, s->noptions);
    struct node *n = node_push(L, NODE_CONDITION);
    n->place = place_call(L, t->index);
    n->cond = arena_alloc(ld->arena, sizeof *n->cond);
    n->cond->kind = COND_CLOCK;
    n->cond->signal = s;
    n->cond->site = site_of(ld, &n->place);
    const struct json *opts = tab_options(L, t, s->options, s->noptions);
    struct window *w = arena_alloc(ld->arena, sizeof *w);
    const char *days = json_get_str(opts, "days", "mon-sun"), *tz = json_get_str(opts, "tz", "UTC");
    if (window_days(days, &w->days) != 0) {
        wrong(L, t, "days", "E107", "needs days of the week, write \"mon-fri\" or \"sat,sun\"");
    }
    w->from_min = minutes(L, t, opts, "from");
    w->to_min = minutes(L, t, opts, "to");
    w->zone = read_zone(L, t, tz);
    w->text = arena_printf(ld->arena, "%s %s-%s %s", days, json_get_str(opts, "from", "?"),
                           json_get_str(opts, "to", "?"), tz);
    if (w->from_min >= 0 && w->from_min == w->to_min) {
        wrong(L, t, "to", "E108",
              "is the same time as from: the whole day is from = \"00:00\", to = \"24:00\"");
    }
    n->cond->window = w;
}
