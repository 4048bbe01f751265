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

static void clock_of(lua_State *L, const struct tab *t, struct cond *c, const struct json *opts)
{
    struct loader *ld = loader_of(L);
    c->kind = COND_CLOCK;
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
    c->window = w;
}

/* The signal in a field, if it is one with numbers that a collector reads. */
static bool part_of(lua_State *L, const struct tab *t, const struct json *opts, const char *field,
                    enum unit *unit)
{
    const struct json *held = json_get(opts, field);
    const struct signal *s = held ? signal_find(json_get_str(held, "signal", ""), NULL) : NULL;
    if (!s) {
        return false; /* it was told */
    }
    if (option_find(s->options, s->noptions, "unit") &&
        !json_get_str(json_get(held, "opts"), "unit", NULL)) {
        return false;
    }
    *unit = signal_unit(s, json_get(held, "opts"));
    if (s->derive != DERIVE_NONE) {
        wrong(L, t, field, "E107", "needs a signal that is read, not one that is made of others");
    } else if (*unit == UNIT_ENUM) {
        wrong(L, t, field, "E107", "needs a signal with numbers");
    }
    return s->derive == DERIVE_NONE && *unit != UNIT_ENUM;
}

static void made_of(lua_State *L, const struct tab *t, struct node *n, struct json *opts)
{
    struct loader *ld = loader_of(L);
    struct cond *c = n->cond;
    const struct json *limit = json_get(opts, c->signal->comparator);
    enum unit a, b;
    read_clock(L, t, c);
    c->cmp = CMP_ABOVE;
    lua_pushstring(L, c->signal->comparator);
    n->comparators = lua_rawget(L, t->index) != LUA_TNIL;
    lua_pop(L, 1);
    c->threshold = json_num(limit, 0);
    read_clear(L, t, n,
               option_find(c->signal->options, c->signal->noptions, c->signal->comparator));
    if (c->signal->derive == DERIVE_CHANGE) {
        (void)part_of(L, t, opts, "of", &a);
        c->cmp = c->threshold < 0 ? CMP_AT_MOST : CMP_AT_LEAST;
        if (limit && c->threshold == 0) {
            wrong(L, t, "by", "E108", "must not be 0%: that is no change");
        }
    } else if (part_of(L, t, opts, "a", &a) && part_of(L, t, opts, "b", &b) && a != b) {
        struct place at = place_value(L, t->index, "b", 0);
        diag_add(ld->d, "E107", &at, "a and b need the same unit, got %s and %s", unit_name(a),
                 unit_name(b));
    }
    json_remove(opts, c->signal->comparator); /* two limits on one series */
    c->opts = opts;
}

void derived_push(lua_State *L, const struct signal *s, const struct tab *t)
{
    struct loader *ld = loader_of(L);
    bool clock = s->derive == DERIVE_CLOCK;
    tab_known(L, t, schema_derived.fields, clock ? 0 : schema_derived.nfields, s->options,
              s->noptions);
    struct node *n = node_push(L, NODE_CONDITION);
    n->place = place_call(L, t->index);
    n->cond = arena_alloc(ld->arena, sizeof *n->cond);
    n->cond->signal = s;
    n->cond->site = site_of(ld, &n->place);
    struct json *opts = tab_options(L, t, s->options, s->noptions);
    if (clock) {
        clock_of(L, t, n->cond, opts);
    } else {
        made_of(L, t, n, opts);
    }
}
