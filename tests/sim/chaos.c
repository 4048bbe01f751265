/* The chaos world: a modelled estate under generated load and faults, the agent killed, frozen,
 * reloaded and lied to at random, and at each effect the promises that must hold whatever happens.
 * One seed, one story: `chaos 1 SEED` tells it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "promises.h"

#define HOURS 30
#define TARGETS 5

struct chaos {
    struct rig rig;
    struct promises p;
    uint64_t state;  /* the faults' own generator: the engine's draws do not shift it */
    int version;     /* of the policies */
    unsigned absent; /* targets that the estate does not have now, a bit each */
    int crashes, doubts, freezes, reloads, denials;
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

/* Policies: a mild one that grows and goes back, a severe one that takes over from it. */

static const struct script_line grow_and_back[] = {
    {'*', ASK_ACT, "scale", 0},
    {'y', ASK_WAIT, "calm|worse", 90 * MIN_MS},
    {'y', ASK_UNDO, "scale", 0},
    {'n', ASK_PAGE, "could not grow, or could not go back", 0},
    SCRIPT_END,
};
static const struct script_line grow_and_verify[] = {
    {'*', ASK_ACT, "scale", 0},
    {'y', ASK_VERIFY, "well", 12 * MIN_MS},
    {'n', ASK_PAGE, "did not help", 0},
    SCRIPT_END,
};
static const char *const hashes[] = {"v0", "v1", "v2", "v3"};

static struct policy *one_policy(struct rig *r, const char *name, int version, double threshold,
                                 const struct script_line *lines)
{
    struct policy *p = rig_policy(r, name);

    p->when = rig_leaf(r, CMP_ABOVE, threshold, 5 * MIN_MS);
    rig_check(r, p, "well", rig_leaf(r, CMP_BELOW, threshold, 2 * MIN_MS));
    rig_check(r, p, "calm", rig_leaf(r, CMP_BELOW, 40, 10 * MIN_MS));
    rig_check(r, p, "worse", rig_leaf(r, CMP_ABOVE, 95, 5 * MIN_MS));
    rig_script(p, lines);
    p->limit = (struct rate){LIMIT_N, LIMIT_MS};
    p->cooldown_ms = COOLDOWN_MS;
    p->max_targets = 4;
    p->verify_within_ms = 12 * MIN_MS;
    p->source_hash = hashes[version];
    return p;
}

static struct policy_set *policies(struct rig *r, int version)
{
    struct policy_set *was = r->set, *made = r->set = rig_new_set();

    one_policy(r, "hot", version, 55 + 5 * version, grow_and_back)->severity = SEV3;
    one_policy(r, "hotter", version, 75 + 5 * version, grow_and_verify)->severity = SEV2;
    r->set = was;
    return made;
}

static struct json *source(void *arg, const struct policy *p)
{
    struct json *j = json_new_map();

    (void)arg;
    json_set_int(j, "version", p->source_hash[1] - '0');
    return j;
}

static struct policy_set *load(void *arg, const struct json *j, struct err *e)
{
    (void)e;
    return policies(arg, (int)json_get_int(j, "version", 0));
}

/* Group 3 asks a human before each act. */
static struct estate *estate(const struct chaos *c)
{
    struct estate *e = estate_new();

    for (int t = 0; t < TARGETS; t++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", t);
        if (!(c->absent & (1u << t)))
            assert_int_equal(estate_add(e, "asg", name, json_new_map(), json_new_map(),
                                        t == 3 ? MODE_APPROVE : MODE_ENFORCE, "estate.lua", t + 1,
                                        NULL),
                             0);
    }
    return e;
}

static void reload(struct chaos *c)
{
    struct rig *r = &c->rig;
    struct policy_set *set = policies(r, c->version);
    struct estate *now = estate(c);

    policy_set_unref(r->set);
    estate_unref(r->estate);
    r->set = set;
    r->estate = now;
    if (virtual_engine(r->v))
        rig_reload(r);
    c->reloads++;
}

static void choose_fate(struct chaos *c)
{
    struct rig *r = &c->rig;

    r->latency_ms = chance(c, 8) ? 40000 : (int64_t)(draw(c) % 20000);
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

    promises_at_request(&c->p, s);
    choose_fate(c);
    if (r->next_how != APPLIED_NOT_SENT) /* else its tokens come back: it does not count */
        promises_count(&c->p, s);
}

static void on_trace(struct rig *r, const char *policy, const char *target, const char *verb,
                     const char *text)
{
    promises_at_trace(&((struct chaos *)r->arg)->p, policy, target, verb, text);
}

static void order(struct chaos *c, const char *command)
{
    bool freeze = strcmp(command, "freeze") == 0;
    struct json *a;

    c->freezes += freeze;
    if (!freeze)
        c->p.frozen = false;
    a = rig_order(&c->rig, command, "reason", "chaos", NULL);
    if (freeze)
        c->p.frozen = a && json_get_bool(a, "durable", true);
    json_free(a);
}

static void settle_what_is_stuck(struct chaos *c)
{
    struct json *a = rig_order(&c->rig, "status", NULL);

    for (const struct json *r = json_first(json_get(a, "in_doubt")); r; r = json_next(r))
        json_free(rig_order(&c->rig, "settle", "run", json_get_str(r, "run", ""), "as",
                            chance(c, 2) ? "done" : "not-done", NULL));
    json_free(a);
}

struct asked {
    char step[8][KEY_LEN], run[8][KEY_LEN], hash[8][65];
    int n;
};

static void find_asked(void *arg, const char *key, const struct json *d)
{
    struct asked *a = arg;

    if (a->n == 8 || strcmp(json_get_str(d, "state", ""), "asked") != 0)
        return;
    snprintf(a->step[a->n], KEY_LEN, "%s", key);
    snprintf(a->run[a->n], KEY_LEN, "%s", json_get_str(d, "run", ""));
    snprintf(a->hash[a->n++], 65, "%s", json_get_str(d, "hash", ""));
}

static bool refused(struct json *answer)
{
    bool no = !answer || json_get_str(answer, "error", NULL);

    json_free(answer);
    return no;
}

/* The operator answers what waits, once or twice, or with the hash of something else. */
static void answer_what_waits(struct chaos *c)
{
    struct asked a = {.n = 0};

    memory_disk_each(virtual_disk(c->rig.v), "approval", find_asked, &a);
    for (int k = 0; k < a.n; k++) {
        switch (draw(c) % 6) {
        case 0:
            c->denials += !refused(rig_order(&c->rig, "deny", "run", a.run[k], NULL));
            break;
        case 1:
            if (!refused(rig_order(&c->rig, "approve", "run", a.run[k], "hash", "0123456789abcdef",
                                   NULL)))
                broken(&c->p, "an approval names its plan", a.step[k]);
            break;
        default:
            promises_approve(&c->p, a.step[k], a.hash[k]);
            if (refused(rig_order(&c->rig, "approve", "run", a.run[k], "hash", a.hash[k], NULL)))
                promises_unapprove(&c->p);
            else if (chance(c, 3) && !refused(rig_order(&c->rig, "approve", "run", a.run[k], "hash",
                                                        a.hash[k], NULL)))
                broken(&c->p, "an approval is given once", a.step[k]);
        }
    }
}

/* The operator puts back what guards have closed, so that the story goes on. */
static void help(struct chaos *c)
{
    struct json *m = json_new_map();

    for (int t = 0; t < TARGETS; t++) {
        char name[16];
        snprintf(name, sizeof(name), "asg/g%d", t);
        json_free(rig_order(&c->rig, "breaker", "policy", "hot", "target", name, NULL));
        json_free(rig_order(&c->rig, "breaker", "policy", "hotter", "target", name, NULL));
    }
    json_set_str(m, "command", "mode");
    json_set_str(m, "mode", "enforce");
    json_set_bool(m, "confirmed", true);
    json_free(virtual_command(c->rig.v, m));
}

static void fault(struct chaos *c)
{
    struct rig *r = &c->rig;
    unsigned t = (unsigned)(draw(c) % TARGETS);

    switch (draw(c) % 28) {
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
        if (c->p.frozen)
            order(c, "unfreeze");
        break;
    case 3:
        r->t[t].missing = !r->t[t].missing;
        c->p.blind_since[t] = r->t[t].missing ? virtual_now(r->v) : 0;
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
    case 14: /* changed thresholds */
        c->version = (int)(draw(c) % 4);
        reload(c);
        break;
    case 15: /* a target goes, or is back */
        c->absent ^= 1u << t;
        reload(c);
        if (chance(c, 2)) {
            virtual_run_until(r->v, virtual_now(r->v) + MIN_MS);
            c->absent = 0;
            reload(c);
        }
        break;
    case 16:
    case 17:
    case 18:
        answer_what_waits(c);
        break;
    case 19:
        r->latency_ms = (int64_t)(draw(c) % 20000);
        break;
    default:
        r->t[t].load = chance(c, 2) ? 900 : chance(c, 2) ? 200 : (double)(draw(c) % 2000);
    }
}

static void begin(struct chaos *c, uint64_t seed)
{
    struct rig *r = &c->rig;

    memset(c, 0, sizeof(*c));
    c->p.seed = c->state = seed;
    c->p.rig = r;
    rig_init(r, TARGETS);
    r->arg = c;
    r->on_apply = on_apply;
    r->on_trace = on_trace;
    r->options.loader = (struct policy_loader){source, load, r};
    rig_budget(r, (struct rate){BUDGET_N, BUDGET_MS});
    reload(c);
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
    for (int t = 0; t < TARGETS; t++) {
        r->t[t].missing = false;
        c->p.blind_since[t] = 0;
        r->t[t].load = 10;
    }
    order(c, "unfreeze");
    for (int k = 1; k < 30; k++) {
        virtual_run_until(r->v, at + k * 60 * MIN_MS);
        settle_what_is_stuck(c);
    }
    promises_at_end(&c->p);
    virtual_journal(r->v)->ops->head(virtual_journal(r->v), head, &seq);
    rig_free(r);
}

int main(int argc, char **argv)
{
    static struct chaos c;
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int effects = 0, crashes = 0, doubts = 0, freezes = 0, reloads = 0, undos = 0, taken = 0,
        approved = 0, denied = 0;
    char a[65], b[65];

    log_set_level(LOG_LVL_ERROR + 1);
    for (uint64_t seed = first; seed < first + n; seed++) {
        story(&c, seed, a);
        effects += c.p.neffects;
        undos += c.p.undos;
        taken += c.p.superseded;
        approved += c.p.approved_used;
        crashes += c.crashes;
        doubts += c.doubts;
        freezes += c.freezes;
        reloads += c.reloads;
        denied += c.denials;
        if (seed % 10)
            continue;
        story(&c, seed, b); /* promise 7: the same seed, the same journal */
        if (strcmp(a, b) != 0) {
            fprintf(stderr, "seed %llu: two tellings differ\n", (unsigned long long)seed);
            return 1;
        }
    }
    printf("%llu seeds, %llu agent-hours: %d requests (%d undos, %d approved), %d crashes, %d in "
           "doubt, %d freezes, %d reloads, %d taken over, %d denied: 0 promises broken\n",
           (unsigned long long)n, (unsigned long long)n * HOURS, effects, undos, approved, crashes,
           doubts, freezes, reloads, taken, denied);
    return effects && undos && approved && crashes && doubts && freezes && reloads && taken &&
                   denied
               ? 0
               : 1;
}
