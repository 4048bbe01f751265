/* The chaos world: a modelled estate under generated load and faults, the agent killed, frozen and
 * lied to at random, and at each effect the promises that must hold whatever happens. One seed, one
 * story: `chaos 1 SEED` tells it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "help_world.h"

#define HOURS 30
#define MAX_EFFECTS 4000
#define LIMIT_N 2
#define LIMIT_MS (120 * MIN_MS)
#define BUDGET_N 6
#define BUDGET_MS (60 * MIN_MS)

struct effect {
    int64_t at_ms;
    int target;
    char token[33];
};

struct chaos {
    struct rig rig;
    uint64_t seed, state; /* the faults' own generator: the engine's draws do not shift it */
    struct effect effects[MAX_EFFECTS];
    int neffects;
    bool frozen;
    int64_t blind_since[MAX_TARGETS]; /* no samples since then; 0: there are */
    int crashes, doubts, freezes;
};

static uint64_t draw(struct chaos *c)
{
    uint64_t z = (c->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(struct chaos *c, unsigned in)
{
    return draw(c) % in == 0;
}

static void broken(struct chaos *c, const char *promise, const char *detail)
{
    fprintf(stderr, "%s\nseed %llu: broken at %gm: %s: %s\n", c->rig.timeline,
            (unsigned long long)c->seed, (double)virtual_now(c->rig.v) / MIN_MS, promise, detail);
    exit(1);
}

struct search {
    const char *token;
    bool found;
};

static void find_intent(void *arg, const char *key, const struct json *d)
{
    struct search *s = arg;

    (void)key;
    s->found = s->found || (strcmp(json_get_str(d, "state", ""), "intent") == 0 &&
                            strcmp(json_get_str(d, "token", ""), s->token) == 0);
}

static void choose_fate(struct chaos *c)
{
    struct rig *r = &c->rig;

    r->latency_ms = (int64_t)(draw(c) % 40000);
    r->next_how = -1;
    switch (draw(c) % 8) {
    case 0:
        r->next_how = APPLIED_IN_DOUBT;
        r->doubt_done = chance(c, 2);
        c->doubts++;
        break;
    case 1:
        r->next_how = APPLIED_REFUSED;
        break;
    case 2:
        r->next_how = APPLIED_NOT_SENT;
        break;
    default:
        break;
    }
}

/* At the moment a request leaves. */
static void on_apply(struct rig *r, const struct world_step *s)
{
    struct chaos *c = r->arg;
    struct effect *f = &c->effects[c->neffects];
    struct search look = {s->token, false};
    int target = atoi(s->target->name + 1), in_limit = 0, in_budget = 0;
    int64_t at = virtual_now(r->v);

    memory_disk_each(virtual_disk(r->v), "step", find_intent, &look);
    if (!look.found)
        broken(c, "no effect without a durable intent", s->token);
    for (int k = 0; k < c->neffects; k++)
        if (strcmp(c->effects[k].token, s->token) == 0)
            broken(c, "no effect twice", s->token);
    if (c->frozen)
        broken(c, "frozen means no action", s->target->id);
    if (c->blind_since[target] && at - c->blind_since[target] > 5 * MIN_MS)
        broken(c, "unknown never authorises an action", s->target->id);
    choose_fate(c);
    if (r->next_how == APPLIED_NOT_SENT)
        return; /* its tokens come back: it does not count */
    *f = (struct effect){.at_ms = at, .target = target};
    snprintf(f->token, sizeof(f->token), "%s", s->token);
    c->neffects++;
    for (int k = 0; k < c->neffects; k++) {
        in_limit += c->effects[k].target == target && c->effects[k].at_ms > at - LIMIT_MS;
        in_budget += c->effects[k].at_ms > at - BUDGET_MS;
    }
    if (in_limit > LIMIT_N)
        broken(c, "the limit of a target holds", s->target->id);
    if (in_budget > BUDGET_N)
        broken(c, "the agent's budget holds", s->target->id);
}

static void order(struct chaos *c, const char *command)
{
    bool freeze = strcmp(command, "freeze") == 0;
    struct json *a;

    c->freezes += freeze;
    a = rig_order(&c->rig, command, "reason", "chaos", NULL);
    c->frozen = freeze || (c->frozen && (!a || json_get_str(a, "error", NULL)));
    json_free(a);
}

static void settle_what_is_stuck(struct chaos *c)
{
    struct json *a = rig_order(&c->rig, "status", NULL);

    for (const struct json *p = json_first(json_get(a, "policies")); p; p = json_next(p))
        if (strcmp(json_get_str(p, "run_state", ""), "in_doubt") == 0)
            json_free(rig_order(&c->rig, "settle", "run", json_get_str(p, "run", ""), "as",
                                chance(c, 2) ? "done" : "not-done", NULL));
    json_free(a);
}

/* The operator puts back what guards have closed, so that the story goes on. */
static void help(struct chaos *c)
{
    struct json *m = json_new_map();

    for (int t = 0; t < c->rig.ntargets; t++) {
        char name[16];
        snprintf(name, sizeof(name), "asg/g%d", t);
        json_free(rig_order(&c->rig, "breaker", "policy", "hot", "target", name, NULL));
    }
    json_set_str(m, "command", "mode");
    json_set_str(m, "mode", "enforce");
    json_set_bool(m, "confirmed", true);
    json_free(virtual_command(c->rig.v, m));
}

static void fault(struct chaos *c)
{
    struct rig *r = &c->rig;
    unsigned t = (unsigned)(draw(c) % (unsigned)r->ntargets);

    switch (draw(c) % 24) {
    case 0:
        rig_restart(r);
        c->crashes++;
        break;
    case 1: /* up to 200 days either way */
        virtual_step_wall(r->v, ((int64_t)(draw(c) % 400) - 200) * 24 * 60 * MIN_MS);
        break;
    case 2:
        order(c, "freeze");
        break;
    case 11:
    case 12:
    case 13:
        if (c->frozen)
            order(c, "unfreeze");
        break;
    case 3:
        r->t[t].missing = !r->t[t].missing;
        c->blind_since[t] = r->t[t].missing ? virtual_now(r->v) : 0;
        break;
    case 4:
        memory_disk_fail(virtual_disk(r->v), 1 + draw(c) % 3,
                         chance(c, 2) ? MEMORY_LOST : MEMORY_DURABLE);
        break;
    case 5:
        r->observe_fails = !r->observe_fails;
        break;
    case 6: /* somebody else changed it */
        r->t[t].desired += (int)(draw(c) % 3) - 1;
        if (r->t[t].desired < 2)
            r->t[t].desired = 2;
        break;
    case 7:
        settle_what_is_stuck(c);
        break;
    case 10:
        help(c);
        break;
    default:
        r->t[t].load = chance(c, 2) ? 900 : (double)(draw(c) % 2000);
    }
}

static void check_all_ended(struct chaos *c)
{
    struct json *a = rig_order(&c->rig, "status", NULL);

    for (const struct json *p = json_first(json_get(a, "policies")); p; p = json_next(p))
        if (json_get_str(p, "run", NULL))
            broken(c, "every run ends", json_get_str(p, "run", ""));
    json_free(a);
}

static void begin(struct chaos *c, uint64_t seed)
{
    struct rig *r = &c->rig;
    struct policy *p;

    memset(c, 0, sizeof(*c));
    c->seed = c->state = seed;
    rig_init(r, 5);
    r->arg = c;
    r->on_apply = on_apply;
    rig_budget(r, (struct rate){BUDGET_N, BUDGET_MS});
    p = rig_policy(r, "hot");
    p->limit = (struct rate){LIMIT_N, LIMIT_MS};
    p->cooldown_ms = 5 * MIN_MS;
    p->max_targets = 4;
    p->verify_within_ms = 12 * MIN_MS;
    rig_start(r);
}

static void story(struct chaos *c, uint64_t seed, char head[65])
{
    struct rig *r = &c->rig;
    int64_t seq, at = 0;

    begin(c, seed);
    while (at < HOURS * 60 * MIN_MS) {
        int64_t until = at + (int64_t)(draw(c) % (20 * 60)) * 1000;
        unsigned steps = 1 + (unsigned)(draw(c) % 60);
        while (steps-- && virtual_step(r->v, until))
            ; /* a fault may fall between any two events */
        fault(c);
        virtual_run_until(r->v, virtual_now(r->v) + (chance(c, 4) ? 5 * MIN_MS : 1));
        at = virtual_now(r->v);
    }
    /* Then all is well again: what was begun ends. */
    r->observe_fails = false;
    for (int t = 0; t < r->ntargets; t++) {
        r->t[t].missing = false;
        c->blind_since[t] = 0;
        r->t[t].load = 10;
    }
    if (c->frozen)
        order(c, "unfreeze");
    for (int k = 1; k < 30; k++) {
        virtual_run_until(r->v, at + k * 60 * MIN_MS);
        settle_what_is_stuck(c);
    }
    check_all_ended(c);
    virtual_journal(r->v)->ops->head(virtual_journal(r->v), head, &seq);
    rig_free(r);
}

int main(int argc, char **argv)
{
    static struct chaos c;
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int effects = 0, crashes = 0, doubts = 0, freezes = 0;
    char a[65], b[65];

    log_set_level(LOG_LVL_ERROR + 1);
    for (uint64_t seed = first; seed < first + n; seed++) {
        story(&c, seed, a);
        effects += c.neffects;
        crashes += c.crashes;
        doubts += c.doubts;
        freezes += c.freezes;
        if (seed % 10)
            continue;
        story(&c, seed, b); /* promise 7: the same seed, the same journal */
        if (strcmp(a, b) != 0) {
            fprintf(stderr, "seed %llu: two tellings differ\n", (unsigned long long)seed);
            return 1;
        }
    }
    printf("%llu seeds, %llu agent-hours, %d requests, %d crashes, %d in doubt, %d freezes: "
           "0 promises broken\n",
           (unsigned long long)n, (unsigned long long)(n * HOURS), effects, crashes, doubts, freezes);
    return effects && crashes && doubts && freezes ? 0 : 1;
}
