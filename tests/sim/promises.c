/* What must hold whatever happens: one owner of an attribute, limits, approvals, reports. */
#include "promises.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "harness/number.h"

void broken(const struct promises *p, const char *promise, const char *detail)
{
    fprintf(stderr, "%s\nseed %llu: broken at %gm: %s: %s\n",
            p->rig->timeline ? p->rig->timeline : "", (unsigned long long)p->seed,
            (double)virtual_now(p->rig->v) / MIN_MS, promise, detail);
    exit(1);
}

static void each(const struct promises *p, const char *kind,
                 void (*fn)(void *arg, const char *key, const struct json *doc), void *arg)
{
    memory_disk_each(virtual_disk(p->rig->v), kind, fn, arg);
}

/* The intent of this token: its step's key, its run and its policy. */
struct intent {
    const char *token;
    struct effect *to;
    bool found;
};

static void find_intent(void *arg, const char *key, const struct json *d)
{
    struct intent *i = arg;

    if (strcmp(json_get_str(d, "state", ""), "intent") != 0 ||
        strcmp(json_get_str(d, "token", ""), i->token) != 0)
        return;
    i->found = true;
    i->to->undo = json_get_bool(d, "undo", false);
    snprintf(i->to->step, KEY_LEN, "%s", key);
    snprintf(i->to->run, KEY_LEN, "%s", json_get_str(d, "run", ""));
}

/* Who else owns what this request writes: an open run on the same target that has changed it and
 * not put it back, or does not know. */
struct owner {
    const struct promises *p;
    const char *target, *me;
    const char *run; /* under examination */
    bool owns;
    char who[KEY_LEN], policy[32];
};

static void look_at_step(void *arg, const char *key, const struct json *d)
{
    struct owner *o = arg;
    const char *kind = json_get_str(d, "kind", ""), *state = json_get_str(d, "state", "");
    bool undo = strcmp(kind, "undo") == 0;

    (void)key;
    if (strcmp(json_get_str(d, "run", ""), o->run) != 0 || (!undo && strcmp(kind, "act") != 0))
        return;
    if (strcmp(state, "intent") == 0 || strcmp(state, "in_doubt") == 0)
        o->owns = true;
    else if (strcmp(state, "done") == 0 && json_get_bool(json_get(d, "detail"), "counted", false))
        o->owns = !undo;
}

static void look_at_run(void *arg, const char *key, const struct json *d)
{
    struct owner *o = arg;

    if (strcmp(key, o->me) == 0)
        snprintf(o->policy, sizeof(o->policy), "%s", json_get_str(d, "policy", ""));
    if (strcmp(json_get_str(d, "state", ""), "ended") == 0 || strcmp(key, o->me) == 0 ||
        strcmp(json_get_str(d, "target", ""), o->target) != 0)
        return;
    o->run = key;
    o->owns = false;
    each(o->p, "step", look_at_step, o);
    if (o->owns)
        snprintf(o->who, sizeof(o->who), "%s", key);
}

struct use {
    const struct effect *f;
    const char *hash;
    bool used;
};

static void look_at_approval(void *arg, const char *key, const struct json *d)
{
    struct use *u = arg;

    if (strcmp(key, u->f->step) == 0)
        u->used = strcmp(json_get_str(d, "state", ""), "used") == 0 &&
                  strcmp(json_get_str(d, "hash", ""), u->hash) == 0;
}

static void check_approval(struct promises *p, const struct effect *f, const struct world_step *s)
{
    char *hash = plan_hash(s->plan, s->type->name, s->target->id);
    struct use u = {f, hash, false};
    bool given = false;

    each(p, "approval", look_at_approval, &u);
    if (!u.used)
        broken(p, "what an approval was used for is on record", f->step);
    for (int k = 0; k < p->napprovals && !given; k++) {
        struct approved *a = &p->approvals[k];
        if (a->used || strcmp(a->step, f->step) != 0 || strcmp(a->hash, hash) != 0)
            continue;
        a->used = given = true;
    }
    if (!given)
        broken(p, "an approval is for one plan and used once", f->step);
    p->approved_used++;
    mem_free(hash);
}

static void check_cooldown(const struct promises *p, const struct effect *f, const char *target)
{
    for (int k = 0; k < p->neffects; k++)
        if (strcmp(p->effects[k].run, f->run) == 0)
            return; /* it is the run's first act that waits */
    for (int k = 0; k < p->nends; k++)
        if (strcmp(p->ends[k].policy, f->policy) == 0 && strcmp(p->ends[k].target, target) == 0 &&
            f->at_ms - p->ends[k].at_ms < COOLDOWN_MS)
            broken(p, "the cooldown holds", f->step);
}

static void check_limits(const struct promises *p, const struct effect *f)
{
    int runs = 1, all = 1;

    for (int k = 0; k < p->neffects; k++) {
        const struct effect *o = &p->effects[k];
        bool again = strcmp(o->run, f->run) == 0;
        all += o->at_ms > f->at_ms - BUDGET_MS;
        if (o->target != f->target || strcmp(o->policy, f->policy) != 0 || o->undo || again ||
            o->at_ms <= f->at_ms - LIMIT_MS)
            continue;
        for (int m = 0; m < k && !again; m++)
            again = strcmp(p->effects[m].run, o->run) == 0 && !p->effects[m].undo &&
                    p->effects[m].at_ms > f->at_ms - LIMIT_MS;
        runs += !again;
    }
    if (runs > LIMIT_N)
        broken(p, "the limit of a target holds", f->step);
    if (all > BUDGET_N)
        broken(p, "the agent's budget holds", f->step);
}

static void identify(const struct promises *p, const struct world_step *s, struct effect *f)
{
    struct intent i = {s->token, f, false};

    memset(f, 0, sizeof(*f));
    f->at_ms = virtual_now(p->rig->v);
    f->target = number_in(s->target->name + 1);
    snprintf(f->token, sizeof(f->token), "%s", s->token);
    snprintf(f->summary, sizeof(f->summary), "%s", s->plan->summary);
    each(p, "step", find_intent, &i);
    if (!i.found)
        broken(p, "no effect without a durable intent", s->token);
}

void promises_at_request(struct promises *p, const struct world_step *s)
{
    struct effect f;
    struct owner o = {.p = p, .target = s->target->id};

    identify(p, s, &f);
    for (int k = 0; k < p->neffects; k++)
        if (strcmp(p->effects[k].token, s->token) == 0)
            broken(p, "no effect twice", s->token);
    if (p->frozen)
        broken(p, "frozen means no action", s->target->id);
    o.me = f.run;
    each(p, "run", look_at_run, &o);
    if (*o.who)
        broken(p, "one owner of an attribute at a time", o.who);
    snprintf(f.policy, sizeof(f.policy), "%s", o.policy);
    if (s->target->mode == MODE_APPROVE)
        check_approval(p, &f, s);
    if (f.undo)
        return; /* it skips cooldown, rates and budget; its condition is its run's wait */
    if (p->blind_since[f.target] && f.at_ms - p->blind_since[f.target] > 5 * MIN_MS)
        broken(p, "unknown never authorises an action", s->target->id);
    check_cooldown(p, &f, s->target->id);
    check_limits(p, &f);
}

void promises_count(struct promises *p, const struct world_step *s)
{
    struct owner o = {.p = p, .target = s->target->id};
    struct effect *f = &p->effects[p->neffects];

    if (p->neffects + 1 >= MAX_EFFECTS)
        broken(p, "effects are bounded", s->token);
    identify(p, s, f);
    o.me = f->run;
    each(p, "run", look_at_run, &o);
    snprintf(f->policy, sizeof(f->policy), "%s", o.policy);
    p->undos += f->undo;
    p->neffects++;
}

void promises_at_trace(struct promises *p, const char *policy, const char *target, const char *verb,
                       const char *text)
{
    struct last_end *e = NULL;
    bool acted = false;

    if (strcmp(verb, "end") != 0)
        return;
    p->superseded += strncmp(text, "superseded", 10) == 0;
    for (int k = 0; k < p->nends && !e; k++)
        if (strcmp(p->ends[k].policy, policy) == 0 && strcmp(p->ends[k].target, target) == 0)
            e = &p->ends[k];
    if (!e) {
        e = &p->ends[p->nends++];
        memset(e, 0, sizeof(*e));
        e->at_ms = INT64_MIN / 2;
        snprintf(e->policy, sizeof(e->policy), "%s", policy);
        snprintf(e->target, sizeof(e->target), "%s", target);
    }
    for (int k = e->effects; k < p->neffects && !acted; k++) { /* since the end before */
        const struct effect *f = &p->effects[k];
        char id[32];
        snprintf(id, sizeof(id), "asg/g%d", f->target);
        acted = strcmp(f->policy, policy) == 0 && strcmp(id, target) == 0;
    }
    e->effects = p->neffects;
    if (acted)
        e->at_ms = virtual_now(p->rig->v);
}

void promises_approve(struct promises *p, const char *step, const char *hash)
{
    struct approved *a = &p->approvals[p->napprovals++];

    if (p->napprovals >= MAX_APPROVALS)
        broken(p, "approvals are bounded", step);
    memset(a, 0, sizeof(*a));
    snprintf(a->step, sizeof(a->step), "%s", step);
    snprintf(a->hash, sizeof(a->hash), "%s", hash);
}

void promises_unapprove(struct promises *p)
{
    p->napprovals--;
}

/* At the end */

static void run_is_over(void *arg, const char *key, const struct json *d)
{
    if (strcmp(json_get_str(d, "state", ""), "ended") != 0)
        broken(arg, "every run ends", key);
}

static void step_is_over(void *arg, const char *key, const struct json *d)
{
    const char *state = json_get_str(d, "state", "");

    if (strcmp(state, "done") != 0 && strcmp(state, "abandoned") != 0)
        broken(arg, "no step stays open", key);
}

/* The pager's view of one dedup key. */
struct thread {
    char key[KEY_LEN];
    bool triggered, resolved, asked;
};
struct threads {
    struct promises *p;
    struct thread *items;
    size_t n, cap;
};

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static struct thread *thread_of(struct threads *t, const char *key)
{
    for (size_t k = 0; k < t->n; k++)
        if (strcmp(t->items[k].key, key) == 0)
            return &t->items[k];
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->items = mem_realloc(t->items, t->cap * sizeof(*t->items));
    }
    memset(&t->items[t->n], 0, sizeof(t->items[0]));
    snprintf(t->items[t->n].key, KEY_LEN, "%s", key);
    return &t->items[t->n++];
}

static void in_order(void *arg, const char *key, const struct json *d)
{
    struct threads *t = arg;
    struct thread *one = thread_of(t, json_get_str(d, "key", ""));
    const char *kind = json_get_str(d, "kind", "");

    /* A freeze and a storm come again under the same key: each time it was closed before. */
    if (strncmp(one->key, "agent/", 6) == 0 && strcmp(kind, "human") == 0) {
        one->triggered = true;
        one->resolved = false;
    }
    if (strcmp(kind, "trigger") == 0) {
        if (one->triggered || one->resolved)
            broken(t->p, "one alert an episode, and never after its resolve", key);
        one->triggered = true;
    }
    if (ends_in(one->key, "/approval")) { /* asked and answered in turn */
        if (one->asked == (strcmp(kind, "human") == 0))
            broken(t->p, "each question is closed once, and before it is asked again", key);
        one->asked = !one->asked;
    } else if (strcmp(kind, "resolve") == 0 && !ends_in(one->key, "/human")) {
        if (one->resolved)
            broken(t->p, "an episode is resolved once", key);
        one->resolved = true;
    }
}

struct told {
    const struct effect *f;
    char state[16];
    int64_t at_ms;
    bool told;
};

static void how_it_ended(void *arg, const char *key, const struct json *d)
{
    struct told *t = arg;

    if (strcmp(key, t->f->step) != 0)
        return;
    snprintf(t->state, sizeof(t->state), "%s", json_get_str(d, "state", ""));
    t->at_ms = json_get_int(d, "at_ms", 0);
}

/* The outcome and its report are one transaction: they have the same time. What was lost with its
 * run is told as in doubt. */
static void is_told(void *arg, const char *key, const struct json *d)
{
    struct told *t = arg;
    const char *text = json_get_str(d, "summary", "");

    if (t->told || !strstr(text, t->f->summary))
        return;
    t->told = strcmp(t->state, "done") == 0 ? strcmp(json_get_str(d, "run", ""), t->f->run) == 0 &&
                                                  strtoll(key, NULL, 10) == t->at_ms
                                            : strstr(text, t->f->run) && strstr(text, "IN DOUBT");
}

void promises_at_end(struct promises *p)
{
    struct threads t = {.p = p};

    each(p, "run", run_is_over, p);
    each(p, "step", step_is_over, p);
    each(p, "report", in_order, &t);
    for (size_t k = 0; k < t.n; k++)
        if (t.items[k].asked)
            broken(p, "each question is closed", t.items[k].key);
    for (int k = 0; k < p->neffects; k++) {
        struct told told = {.f = &p->effects[k]};
        each(p, "step", how_it_ended, &told);
        each(p, "report", is_told, &told);
        if (!told.told)
            broken(p, "every effect is reported with its outcome", p->effects[k].step);
    }
    mem_free(t.items);
}
