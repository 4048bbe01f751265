/* Samples a second through the engine: 1,000 policies, each on ten targets of its own, one series a
 * target; a world that does nothing. bench_engine [POLICIES [TARGETS]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "bench.h"
#include "harness/number.h"
#include "engine/engine.h"
#include "engine/series.h"
#include "plugin/collector.h"
#include "world/memory_journal.h"

#define MIN 60000LL
#define ROUNDS 10
#define POLL 500 /* samples that come together: a CloudWatch call's */

static const struct signal signals[] = {{.name = "load",
                                         .unit = UNIT_PERCENT,
                                         .targets = "asg",
                                         .lag_ms = 3 * MIN,
                                         .default_interval_ms = MIN},
                                        {.name = "cpu",
                                         .unit = UNIT_PERCENT,
                                         .targets = "asg",
                                         .lag_ms = 3 * MIN,
                                         .default_interval_ms = MIN,
                                         .zero_suspicious = true}};
static const struct collector_type collector = {.name = "bench", .signals = signals, .nsignals = 2};
const struct collector_type *const collector_types[] = {&collector};
const size_t collector_types_len = 1;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

struct nothing {
    struct world world;
    int64_t now_ms;
    uint64_t *ids; /* of the series that are wanted */
    size_t n;
};

static int64_t now_ms(struct world *w)
{
    return ((struct nothing *)w)->now_ms;
}
static uint64_t draw(struct world *w)
{
    (void)w;
    return 4;
}
static void wake_at(struct world *w, int64_t at)
{
    (void)w;
    (void)at;
}
static void step(struct world *w, const struct world_step *s)
{
    (void)w;
    (void)s;
}
static void cancel(struct world *w, uint64_t t)
{
    (void)w;
    (void)t;
}
static void watch(struct world *w, struct series *const *series, size_t n)
{
    struct nothing *o = (struct nothing *)w;

    mem_free(o->ids);
    o->ids = mem_calloc(n + 1, sizeof(*o->ids));
    for (size_t k = 0; k < n; k++)
        o->ids[k] = series[k]->id;
    o->n = n;
}
static void deliver(struct world *w, const char *key, const struct json *r)
{
    (void)w;
    (void)key;
    (void)r;
}
static void emergency(struct world *w, const char *text)
{
    (void)w;
    (void)text;
}
static void trace(struct world *w, const char *p, const char *t, const char *v, const char *x)
{
    (void)w;
    (void)p;
    (void)t;
    (void)v;
    (void)x;
}
static bool frozen(struct world *w)
{
    (void)w;
    return false;
}
static const struct world_ops ops = {now_ms, now_ms, draw,    wake_at,   step,  step,
                                     cancel, watch,  deliver, emergency, trace, frozen};

static void destroy(struct policy_set *s)
{
    (void)s; /* the process ends */
}

static struct policy *policy(struct policy_set *set, int n, int per, const struct signal *signal)
{
    struct policy *p = arena_alloc(set->arena, sizeof(*p));
    struct cond *c = arena_alloc(set->arena, sizeof(*c));

    *c = (struct cond){.kind = COND_LEAF,
                       .signal = signal,
                       .opts = json_new_map(),
                       .cmp = CMP_ABOVE,
                       .threshold = 60,
                       .lasting_ms = 5 * MIN};
    p->name = arena_printf(set->arena, "policy-%d", n);
    p->owner = p->doc = "";
    p->severity = SEV3;
    p->target.kind = "asg";
    p->target.name = json_new_list();
    for (int k = 0; k < per; k++) {
        char *name = mem_printf("g%d", n * per + k);
        json_add(p->target.name, json_new_str(name));
        mem_free(name);
    }
    p->when = c;
    p->mode = MODE_SHADOW;
    p->blind_after_ms = p->deadline_ms = 15 * MIN;
    p->page = PAGE_ON_FAILURE;
    p->params = json_new_map();
    p->source_hash = "0";
    p->set = set;
    return p;
}

static double measure(int policies, int per, const struct signal *signal, double *load_s,
                      double *worst_s)
{
    struct nothing w = {.world = {.ops = &ops}, .now_ms = 1790000000000};
    struct policy_set set = {.refs = 2, .arena = arena_new(), .destroy = destroy};
    struct estate *estate = estate_new();
    struct engine_options o = {.mode = MODE_ENFORCE};
    struct memory_disk *disk = memory_disk_new();
    struct engine *e;
    struct err err = ERR_INIT;
    double begin, spent = 0;
    size_t samples = 0;

    w.world.journal = memory_journal_open(disk);
    set.policies = mem_calloc((size_t)policies, sizeof(struct policy *));
    set.npolicies = (size_t)policies;
    for (int n = 0; n < policies; n++)
        set.policies[n] = policy(&set, n, per, signal);
    for (int t = 0; t < policies * per; t++) {
        char *name = mem_printf("g%d", t);
        estate_add(estate, "asg", name, json_new_map(), json_new_map(), MODE_ENFORCE, "e", t, NULL);
        mem_free(name);
    }
    e = engine_new(&w.world, &o, NULL);
    begin = bench_now_s();
    if (engine_restore(e, &err) || engine_load(e, &set, estate, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    *load_s = bench_now_s() - begin;
    *worst_s = 0;
    for (int round = 0; round < ROUNDS; round++) {
        w.now_ms += MIN;
        for (size_t k = 0; k < w.n; k += POLL) {
            double t = bench_now_s();
            for (size_t m = k; m < w.n && m < k + POLL; m++, samples++)
                engine_sample(e, w.ids[m], w.now_ms - MIN, MIN,
                              20 + (double)((m + (size_t)round) % 30));
            engine_flush(e);
            t = bench_now_s() - t;
            spent += t;
            *worst_s = t > *worst_s ? t : *worst_s;
        }
    }
    engine_free(e);
    mem_free(w.ids);
    return (double)samples / spent;
}

int main(int argc, char **argv)
{
    int policies = argc > 1 ? number_in(argv[1]) : 1000, targets = argc > 2 ? number_in(argv[2]) : 10000;

    log_set_level(LOG_LVL_ERROR);
    for (int k = 0; k < 2; k++) {
        double load_s, worst_s,
            rate = measure(policies, targets / policies, &signals[k], &load_s, &worst_s);
        printf("engine: %d series, %d policies%s: %.0f samples/s; a poll of %d takes %.1f ms at "
               "most; loaded in %.2f s\n",
               targets, policies, signals[k].zero_suspicious ? ", fleets judged" : "", rate, POLL,
               worst_s * 1e3, load_s);
    }
    return 0;
}
