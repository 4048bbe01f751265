/* A small estate, a few signals and scripted samples for the tests of series and conditions. */
#include "help_cond.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/action.h"

static const char *const state_words[] = {"available", "modifying", "failed", NULL};

/* A registry of what has options that name a signal. */
static const struct signal listed_signals[] = {
    {.name = "requests",
     .unit = UNIT_COUNT,
     .targets = "asg",
     .lag_ms = 3 * MIN_MS,
     .default_interval_ms = MIN_MS},
    {.name = "slow",
     .unit = UNIT_COUNT,
     .targets = "asg",
     .lag_ms = 3 * MIN_MS,
     .default_interval_ms = 5 * MIN_MS},
};
static const struct collector_type listed = {
    .name = "listed", .signals = listed_signals, .nsignals = 2};
const struct collector_type *const collector_types[] = {&listed};
const size_t collector_types_len = 1;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

const struct signal sig_asg_cpu = {.name = "asg_cpu",
                                   .unit = UNIT_PERCENT,
                                   .targets = "asg",
                                   .lag_ms = 3 * MIN_MS,
                                   .zero_suspicious = true,
                                   .default_interval_ms = MIN_MS};
const struct signal sig_in_service = {.name = "asg_in_service",
                                      .unit = UNIT_PERCENT,
                                      .targets = "asg",
                                      .default_interval_ms = MIN_MS};
const struct signal sig_p99 = {.name = "alb_p99",
                               .unit = UNIT_DURATION,
                               .targets = "asg",
                               .lag_ms = 3 * MIN_MS,
                               .default_interval_ms = MIN_MS};
const struct signal sig_gauge = {
    .name = "pg_connections", .unit = UNIT_COUNT, .targets = "asg", .default_interval_ms = 10000};
const struct signal sig_state = {.name = "rds_status",
                                 .unit = UNIT_ENUM,
                                 .words = state_words,
                                 .targets = "asg",
                                 .default_interval_ms = MIN_MS};

void rig_init(struct rig *r)
{
    struct json *tag = json_new_map(), *fields = json_new_map();

    memset(r, 0, sizeof(*r));
    r->estate = estate_new();
    r->arena = arena_new();
    r->params = json_new_map();
    json_set_str(tag, "tier", "web");
    json_set_str(fields, "alb", "app/x/1");
    assert_int_equal(
        estate_add(r->estate, "asg", "web-1", tag, fields, MODE_ENFORCE, "estate.lua", 1, NULL), 0);
    r->target = estate_find(r->estate, "asg", "web-1");
}

void rig_free(struct rig *r)
{
    for (size_t i = 0; i < r->nseries; i++)
        series_free(r->series[i]);
    json_free(r->params);
    estate_unref(r->estate);
    arena_free(r->arena);
}

static struct series *find_or_make(void *arg, const struct signal *s, const struct target *t,
                                   struct json *opts, int64_t history_ms, struct err *e)
{
    struct rig *r = arg;
    char *key;

    (void)history_ms;
    if (strcmp(s->targets, "any") != 0 && strstr(s->targets, t->kind) == NULL) {
        err_set(e, ERR_INPUT, "a %s has no such signal", t->kind);
        return NULL;
    }
    key = series_key(s, t, opts);
    for (size_t i = 0; i < r->nseries; i++) {
        if (strcmp(r->series[i]->key, key) == 0) {
            mem_free(key);
            return r->series[i];
        }
    }
    mem_free(key);
    assert_true(r->nseries < sizeof(r->series) / sizeof(r->series[0]));
    r->series[r->nseries] = series_new(s, t, r->estate, opts);
    return r->series[r->nseries++];
}

struct series *rig_series(struct rig *r, const struct signal *s)
{
    struct json *none = json_new_map();
    struct series *found = find_or_make(r, s, r->target, none, 0, NULL);

    json_free(none);
    return found;
}

struct bind_context rig_context(struct rig *r)
{
    return (struct bind_context){.series = find_or_make,
                                 .estate = r->estate,
                                 .target = r->target,
                                 .params = r->params,
                                 .arg = r};
}

struct bound *rig_bind(struct rig *r, const struct cond *c)
{
    struct bind_context ctx = rig_context(r);
    struct err e = ERR_INIT;
    struct bound *b = bound_new(c, &ctx, &e);

    if (b == NULL)
        fail_msg("%s", e.text);
    return b;
}

struct cond *leaf_missing(struct rig *r, const struct signal *s, enum cmp cmp, double threshold,
                          int64_t lasting_ms, enum missing m)
{
    struct cond *c = arena_alloc(r->arena, sizeof(*c));

    c->kind = COND_LEAF;
    c->site = (struct site){"policies/t.lua", 7, 12};
    c->signal = s;
    c->cmp = cmp;
    c->threshold = threshold;
    c->lasting_ms = lasting_ms;
    c->missing = m;
    return c;
}

struct cond *leaf(struct rig *r, const struct signal *s, enum cmp cmp, double threshold,
                  int64_t lasting_ms)
{
    return leaf_missing(r, s, cmp, threshold, lasting_ms, MISSING_HOLD);
}

struct cond *group(struct rig *r, enum cond_kind kind, size_t n, ...)
{
    struct cond *c = arena_alloc(r->arena, sizeof(*c));
    va_list ap;

    c->kind = kind;
    c->site = (struct site){"policies/t.lua", 6, 3};
    c->kids = arena_alloc(r->arena, (n + 1) * sizeof(struct cond *));
    c->nkids = n;
    va_start(ap, n);
    for (size_t i = 0; i < n; i++)
        c->kids[i] = va_arg(ap, struct cond *);
    va_end(ap);
    return c;
}

bool script_value(const char *script, int64_t t_ms, double *out)
{
    bool have = false;

    while (*script != '\0') {
        char *end;
        int64_t at_ms = strtoll(script, &end, 10) * (*end == 's' ? 1000 : MIN_MS);

        end = strchr(end, ':') + 1;
        if (at_ms > t_ms)
            break;
        have = *end != '_';
        if (have)
            *out = strtod(end, NULL);
        script = end + strcspn(end, " ");
        script += strspn(script, " ");
    }
    return have;
}

void script_sample(struct series *s, const char *script, int64_t t_ms)
{
    int64_t period_ms = s->signal->lag_ms > 0 ? s->interval_ms : 0;
    double v;

    if (t_ms % s->interval_ms == 0 && script_value(script, t_ms, &v))
        series_add(s, t_ms - period_ms, period_ms, v, t_ms);
}
