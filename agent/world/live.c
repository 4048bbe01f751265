/* struct world over the loop's clocks, the collector host, the action host and the freeze file. */
#include "world/live.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "world/clients.h"
#include "world/collect.h"
#include "world/steps.h"

#define FREEZE_LOOK_MS 1000

struct live {
    struct world world; /* first: the engine's handle */
    struct live_options o;
    char *freeze_file;
    struct engine *engine;
    struct clients *clients;
    struct collect *collect;
    struct steps *steps;
    struct discover *discover;
    struct loop_timer *wake, *freeze_look;
    struct estate *estate;
    bool frozen_seen, changed;
};

static struct live *self(struct world *w)
{
    return (struct live *)w;
}

int64_t live_now_ms(const struct live *l)
{
    return loop_boot_ms(l->o.loop) + l->o.steady_offset_ms;
}

static int64_t world_now(struct world *w)
{
    return live_now_ms(self(w));
}

static int64_t world_wall(struct world *w)
{
    return loop_wall_ms(self(w)->o.loop);
}

static uint64_t world_draw(struct world *w)
{
    uint64_t r;

    (void)w;
    random_bytes(&r, sizeof(r));
    return r;
}

static void on_wake(void *arg)
{
    struct live *l = arg;

    engine_wake(l->engine);
}

static void world_wake_at(struct world *w, int64_t now_ms)
{
    struct live *l = self(w);
    int64_t now = live_now_ms(l);

    if (now_ms == INT64_MAX)
        loop_timer_stop(l->wake);
    else
        loop_timer_set(l->wake, now_ms > now ? now_ms - now : 0);
}

/* The freeze file */

static bool frozen_by_file(const struct live *l)
{
    struct stat st;

    /* Anything but a clear "it does not exist" freezes: a kill switch that cannot be read is not a
     * licence to act. */
    return l->freeze_file &&
           (lstat(l->freeze_file, &st) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

static bool world_frozen(struct world *w)
{
    return frozen_by_file(self(w));
}

static bool steps_frozen(void *arg)
{
    struct live *l = arg;

    return l->o.look_only || frozen_by_file(l);
}

static void on_freeze_look(void *arg)
{
    struct live *l = arg;
    bool frozen = frozen_by_file(l);

    loop_timer_set(l->freeze_look, FREEZE_LOOK_MS);
    if (frozen != l->frozen_seen) {
        l->frozen_seen = frozen;
        log_warn("freeze",
                 frozen ? "%s exists: nothing acts"
                        : "%s is gone; the agent stays frozen until runbookctl unfreeze",
                 l->freeze_file);
        engine_wake(l->engine);
    }
}

/* Steps */

static void observed(void *arg, uint64_t ticket, struct json *seen, const struct err *e)
{
    struct live *l = arg;

    engine_observed(l->engine, ticket, seen, e);
}

static void applied(void *arg, uint64_t ticket, enum applied how, struct json *out,
                    const struct err *e)
{
    struct live *l = arg;

    engine_applied(l->engine, ticket, how, out, e);
}

static void world_observe(struct world *w, const struct world_step *s)
{
    steps_observe(self(w)->steps, s);
}

static void world_apply(struct world *w, const struct world_step *s)
{
    steps_apply(self(w)->steps, s);
}

static void retire(struct live *l)
{
    if (l->changed && steps_in_flight(l->steps) == 0) {
        l->changed = false;
        clients_retire(l->clients);
    }
}

static void world_cancel(struct world *w, uint64_t ticket)
{
    steps_cancel(self(w)->steps, ticket);
}

/* Samples */

static void fed(void *arg, uint64_t series, int64_t start_wall_ms, int64_t period_ms, double value)
{
    struct live *l = arg;

    engine_sample(l->engine, series, start_wall_ms, period_ms, value);
}

static void fed_unknown(void *arg, uint64_t series, const char *why)
{
    struct live *l = arg;

    engine_unknown(l->engine, series, why);
}

static void fed_note(void *arg, uint64_t series, const char *text)
{
    struct live *l = arg;

    engine_note(l->engine, series, text);
}

static void fed_lost(void *arg, uint64_t series, const char *why)
{
    struct live *l = arg;

    engine_lost(l->engine, series, why);
}

static void fed_flush(void *arg)
{
    struct live *l = arg;

    engine_flush(l->engine);
    retire(l);
}

static void collectors_changed(void *arg)
{
    struct live *l = arg;

    l->changed = true;
    retire(l);
}

static void world_watch(struct world *w, struct series *const *series, size_t n)
{
    struct live *l = self(w);

    if (l->estate)
        collect_watch(l->collect, l->estate, series, n);
}

/* Reports */

static void world_deliver(struct world *w, const char *key, const struct json *report)
{
    struct live *l = self(w);

    if (l->o.deliver)
        l->o.deliver(l->o.arg, key, report);
}

static void world_emergency(struct world *w, const char *summary)
{
    struct live *l = self(w);

    if (l->o.emergency)
        l->o.emergency(l->o.arg, summary);
}

static void world_trace(struct world *w, const char *policy, const char *target, const char *verb,
                        const char *text)
{
    (void)w;
    if (*policy)
        log_info("engine", "%s@%s: %s %s", policy, target, verb, text);
    else
        log_info("engine", "%s %s", verb, text);
}

/* Listings */

static int64_t discover_now(void *arg)
{
    return live_now_ms(arg);
}

static void relisted(void *arg, const char *worry)
{
    struct live *l = arg;

    l->o.relisted(l->o.arg, worry);
}

struct discover *live_discover(const struct live *l)
{
    return l->discover;
}

static const struct world_ops ops = {
    .now_ms = world_now,
    .wall_ms = world_wall,
    .draw = world_draw,
    .wake_at = world_wake_at,
    .observe = world_observe,
    .apply = world_apply,
    .cancel = world_cancel,
    .watch = world_watch,
    .deliver = world_deliver,
    .emergency = world_emergency,
    .trace = world_trace,
    .frozen_by_file = world_frozen,
};

struct live *live_new(const struct live_options *o)
{
    struct live *l = mem_alloc(sizeof(*l));
    const struct collect_feed feed = {fed, fed_note, fed_unknown, fed_lost, fed_flush, l};
    const struct steps_feed step_feed = {observed, applied, steps_frozen, l};

    l->world.ops = &ops;
    l->world.journal = o->journal;
    l->o = *o;
    l->freeze_file = mem_strdup(o->freeze_file);
    l->clients = clients_new(o->loop, o->resolver, o->http, o->ca_file);
    clients_alerts(l->clients, o->alerts);
    l->collect = collect_new(o->loop, clients_io(l->clients), &feed);
    collect_on_change(l->collect, collectors_changed, l);
    l->steps = steps_new(o->loop, clients_io(l->clients), &step_feed);
    if (o->relisted)
        l->discover =
            discover_new(&(struct discover_options){.loop = o->loop,
                                                    .io = clients_io(l->clients),
                                                    .journal = o->look_only ? NULL : o->journal,
                                                    .now_ms = discover_now,
                                                    .changed = relisted,
                                                    .arg = l});
    l->wake = loop_timer_new(o->loop, on_wake, l);
    l->freeze_look = loop_timer_new(o->loop, on_freeze_look, l);
    return l;
}

void live_free(struct live *l)
{
    if (!l)
        return;
    loop_timer_free(l->wake);
    loop_timer_free(l->freeze_look);
    steps_free(l->steps);
    collect_free(l->collect);
    discover_free(l->discover);
    clients_free(l->clients);
    if (l->estate)
        estate_unref(l->estate);
    mem_free(l->freeze_file);
    mem_free(l);
}

struct world *live_world(struct live *l)
{
    return &l->world;
}

void live_attach(struct live *l, struct engine *e)
{
    l->engine = e;
    if (l->freeze_file)
        loop_timer_set(l->freeze_look, FREEZE_LOOK_MS);
}

void live_estate(struct live *l, struct estate *e)
{
    struct estate *old = l->estate;

    l->estate = estate_ref(e);
    if (old)
        estate_unref(old);
    clients_estate(l->clients, e);
}

bool live_settled(const struct live *l)
{
    return collect_settled(l->collect) && (!l->discover || discover_settled(l->discover));
}

struct json *live_sources(const struct live *l)
{
    return collect_status(l->collect);
}

size_t live_steps(const struct live *l)
{
    return steps_in_flight(l->steps);
}
