/* One policy on one target: its condition becomes an episode, the episode starts a run, and both
 * end (M6 to M10). */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"
#include "plugin/refs.h"

const char *const episode_state_names[] = {"quiet",      "pending",  "firing",
                                           "recovering", "resolved", "vanished"};

static bool is_open(const struct instance *i)
{
    return i->state == EP_FIRING || i->state == EP_RECOVERING;
}

enum mode effective_mode(const struct engine *e, const struct policy *p, const struct target *t)
{
    enum mode m = p->mode;

    if (t->mode < m)
        m = t->mode;
    if (e->mode < m)
        m = e->mode;
    if (e->storm && m > MODE_SHADOW)
        m = MODE_SHADOW;
    return m;
}

static int bind_one(struct bound **out, const struct cond *c, const struct bind_context *ctx,
                    const char *what, struct err *err)
{
    if (!c)
        return 0;
    *out = bound_new(c, ctx, err);
    return *out ? 0
                : err_wrap(err, "%s:%d: %s", c->site.file ? c->site.file : "?", c->site.line, what);
}

struct naming {
    const struct target *t;
    struct err *err;
};

static bool names_something(void *arg, const char *ref)
{
    struct naming *n = arg;
    struct json *written, *value;
    char *text;

    if (strncmp(ref, "target.", 7) != 0)
        return true;
    text = mem_printf("$%s", ref);
    written = json_new_str(text);
    value = refs_resolve(written, &(struct refs){.target = n->t}, n->err);
    json_free(written);
    json_free(value);
    mem_free(text);
    return value != NULL;
}

/* An action that names what this target does not have could only fail, once it is wanted.
 * Conditions are told when they are bound. */
static int actions_fit(const struct policy *p, const struct target *t, struct err *err)
{
    struct naming n = {t, err};

    for (size_t a = 0; a < p->nactions; a++)
        if (!refs_each(p->actions[a].opts, names_something, &n))
            return err_wrap(err, "%s:%d: E102 act.%s",
                            p->actions[a].site.file ? p->actions[a].site.file : "?",
                            p->actions[a].site.line, p->actions[a].type->name);
    return 0;
}

struct instance *instance_new(struct engine *e, struct policy_set *set, const struct policy *p,
                              struct estate *estate, const struct target *t, struct err *err)
{
    struct instance *i = mem_alloc(sizeof(*i));
    struct json *params = params_default(p);
    struct bind_context ctx = engine_bind(e, estate, t, params);

    i->e = e;
    i->set = policy_set_ref(set);
    i->p = p;
    i->estate = estate_ref(estate);
    i->t = t;
    i->key = mem_printf("%s@%s", p->name, t->id);
    i->checks = mem_calloc(p->nchecks + 1, sizeof(struct bound *));
    i->unless = mem_calloc(p->nactions + 1, sizeof(struct bound *));
    i->reads = mem_calloc(p->nactions + 1, sizeof(struct bound *));
    i->again_ms = NEVER;
    i->now.value = TRI_UNKNOWN;
    if (bind_one(&i->when, p->when, &ctx, "when", err) ||
        bind_one(&i->clear, p->clear, &ctx, "clear", err) ||
        bind_one(&i->window, p->window, &ctx, "window", err))
        goto fail;
    for (size_t c = 0; c < p->nchecks; c++)
        if (!params_open(p, p->checks[c].cond) && /* else the run binds it, once it has a value */
            bind_one(&i->checks[c], p->checks[c].cond, &ctx, p->checks[c].name, err))
            goto fail;
    for (size_t a = 0; a < p->nactions; a++)
        if (bind_one(&i->unless[a], p->actions[a].approval_unless, &ctx, "approval_unless", err) ||
            bind_one(&i->reads[a], p->actions[a].reads, &ctx, p->actions[a].reads_as, err))
            goto fail;
    if (t->found && actions_fit(p, t, err)) /* of what is declared the check has told (E102) */
        goto fail;
    json_free(params);
    return i;
fail:
    json_free(params);
    err_wrap(err, "policy \"%s\" on %s", p->name, t->id);
    instance_free(i);
    return NULL;
}

void instance_free(struct instance *i)
{
    bound_free(i->when);
    bound_free(i->clear);
    bound_free(i->window);
    for (size_t c = 0; c < i->p->nchecks; c++)
        bound_free(i->checks[c]);
    for (size_t a = 0; a < i->p->nactions; a++) {
        bound_free(i->unless[a]);
        bound_free(i->reads[a]);
    }
    mem_free(i->checks);
    mem_free(i->unless);
    mem_free(i->reads);
    mem_free(i->key);
    mem_free(i->seen);
    json_free(i->told);
    estate_unref(i->estate);
    policy_set_unref(i->set);
    mem_free(i);
}

struct json *instance_episode_doc(const struct instance *i)
{
    struct json *d = json_new_map();

    json_set_str(d, "id", i->episode);
    json_set_str(d, "policy", i->p->name);
    json_set_str(d, "target", i->t->id);
    json_set_strf(d, "severity", "sev%d", (int)i->p->severity);
    json_set_str(d, "state", episode_state_names[i->state]);
    json_set_int(d, "fired_ms", i->fired_ms);
    json_set_int(d, "fired_wall_ms", i->fired_wall_ms);
    json_set_bool(d, "triggered", i->triggered);
    json_set_bool(d, "verify_failed", i->verify_failed);
    json_set_str(d, "seen", i->seen);
    json_set_str(d, "run", i->run ? i->run->id : NULL);
    json_set_str(d, "why", i->why);
    if (i->told)
        json_set(d, "told", json_copy(i->told));
    return d;
}

void instance_put_standing(struct instance *i, struct jtx *tx)
{
    struct json *d = json_new_map();

    json_set_str(d, "policy", i->p->name);
    json_set_str(d, "target", i->t->id);
    json_set_int(d, "last_end_ms", i->last_end_ms);
    json_set_int(d, "bad", i->bad);
    json_set_bool(d, "open", i->breaker_open);
    json_set_bool(d, "blind", i->blind_reported);
    standing_set(i->e, i->key, i->last_end_ms, i->bad, i->breaker_open, i->blind_reported);
    jtx_put(tx, "breaker", i->key, d,
            i->breaker_open || i->bad || i->last_end_ms || i->blind_reported);
}

/* The one function that changes an episode's state; it writes the audit row into tx. */
static void set_state(struct instance *i, enum episode_state s, struct jtx *tx)
{
    i->state = s;
    jtx_put(tx, "episode", i->episode, instance_episode_doc(i), is_open(i));
}

/* Newest first; the oldest drops out. */
void storm_count(struct engine *e, int64_t fired_ms)
{
    size_t k = e->nfires < e->fires_cap ? e->nfires++ : e->fires_cap - 1;

    if (e->fires[k] > fired_ms)
        return;
    for (; k > 0 && e->fires[k - 1] < fired_ms; k--)
        e->fires[k] = e->fires[k - 1];
    e->fires[k] = fired_ms;
}

static void storm_check(struct instance *i, struct jtx *tx)
{
    struct engine *e = i->e;
    int64_t since = now(e) - e->o.storm_window_ms;
    struct json *d;
    int recent = 0;

    storm_count(e, now(e));
    for (size_t k = 0; k < e->nfires; k++)
        recent += e->fires[k] > since;
    if (e->storm || recent <= e->o.storm_episodes)
        return;
    e->storm = true;
    d = json_new_map();
    json_set_str(d, "mode", mode_name(MODE_SHADOW));
    json_set_str(d, "by", "storm");
    json_set_bool(d, "storm", true);
    json_set_int(d, "at_ms", now(e));
    jtx_put(tx, "mode", "agent", d, true);
    report_agent(
        e, tx, REPORT_HUMAN, "agent/storm",
        "Storm: more than %d episodes in %lld minutes. runbookd dropped to shadow and acts "
        "no more until: runbookctl mode enforce",
        e->o.storm_episodes, (long long)(e->o.storm_window_ms / 60000));
    engine_trace(e, i, "storm", "%d episodes", recent);
}

static void fire(struct instance *i)
{
    struct engine *e = i->e;
    struct jtx *tx = commit_new(e);
    struct buf seen;

    buf_init(&seen, 512);
    bound_summary(i->when, now(e), &seen);
    if (i->clear) /* how long it held in the last episode does not count in this one */
        (void)bound_eval(i->clear, now(e));
    mem_free(i->seen);
    i->seen = buf_take(&seen);
    engine_make_id(e, 'E', i->episode);
    i->fired_ms = now(e);
    i->fired_wall_ms = wall(e);
    i->verify_failed = false;
    json_free(i->told);
    i->told = NULL;
    i->status_ms = i->p->status_every_ms ? now(e) + i->p->status_every_ms : NEVER;
    e->fires_total++;
    engine_trace(e, i, "fire", "%s", i->seen);
    storm_check(i, tx);
    i->triggered =
        i->p->page == PAGE_AT_FIRE && !e->storm && effective_mode(e, i->p, i->t) > MODE_SHADOW;
    if (!i->run) { /* else an operator's run is at work on it already: the episode's own (M6) */
        i->run = run_new(i, false, NULL, NULL);
        run_propose(i->run, tx);
    }
    set_state(i, EP_FIRING, tx);
    if (i->p->page == PAGE_AT_FIRE && !e->storm)
        report_add(e, tx, REPORT_TRIGGER, i, i->run, "%s: %s", i->t->name, i->seen);
    else
        report_add(e, tx, REPORT_NOTE, i, i->run, "%s: %s", i->t->name, i->seen);
    commit_owed(e, tx, run_proposed, i->run);
}

/* What is reported from now on has nothing to do with the episode that ended. */
static void to_quiet(struct instance *i)
{
    i->state = EP_QUIET;
    i->episode[0] = 0;
    i->triggered = false;
}

static void resolve(struct instance *i)
{
    struct engine *e = i->e;
    struct jtx *tx = commit_new(e);
    char spent[32];

    unit_format_duration(spent, sizeof(spent), (now(e) - i->fired_ms) / 1000 * 1000);
    set_state(i, EP_RESOLVED, tx);
    if (i->verify_failed)
        report_add(e, tx, REPORT_NOTE, i, NULL,
                   "%s: the condition is clear after %s, but the last verify did not pass: look%s",
                   i->t->name, spent, i->triggered ? ", then close this page by hand" : "");
    else
        report_add(e, tx, i->triggered ? REPORT_RESOLVE : REPORT_NOTE, i, NULL,
                   "%s: clear after %s", i->t->name, spent);
    engine_trace(e, i, "resolve", "after %s", spent);
    commit_owed(e, tx, NULL, NULL);
    to_quiet(i);
}

/* Why nobody is told of it any more; NULL: somebody is. */
static const char *unwatched(const struct instance *i)
{
    return i->gone                  ? "the target or its policy is gone"
           : i->p->mode == MODE_OFF ? "its policy is off"
           : i->t->mode == MODE_OFF ? "its target is off"
           : i->e->mode == MODE_OFF ? "the agent is off"
                                    : NULL;
}

/* Who is told of nothing has no open page either (M7): it would stay open for ever. The run ends
 * first, after what is on its way or in doubt. */
static void end_unwatched(struct instance *i, const char *why)
{
    struct engine *e = i->e;
    struct jtx *tx;

    if (i->run)
        run_cancel(i->run, why);
    if (i->state == EP_PENDING)
        i->state = EP_QUIET;
    if (!is_open(i) || i->run || i->awaits_run)
        return; /* it is due again once its run has ended */
    tx = commit_new(e);
    i->why = why;
    set_state(i, EP_VANISHED, tx);
    report_add(e, tx, i->triggered ? REPORT_RESOLVE : REPORT_NOTE, i, NULL,
               "%s: no longer watched: %s; nothing was verified", i->t->name, why);
    engine_trace(e, i, "vanish", "%s", i->t->id);
    commit_owed(e, tx, NULL, NULL);
    i->why = NULL;
    if (!i->gone)
        to_quiet(i);
}

void instance_vanish(struct instance *i)
{
    end_unwatched(i, unwatched(i));
}

static bool is_clear(struct instance *i)
{
    struct engine *e = i->e;

    if (!i->when)
        return true;
    if (i->clear) {
        struct answer c = bound_eval(i->clear, now(e));
        if (c.again_ms < i->again_ms)
            i->again_ms = c.again_ms;
        return c.value == TRI_TRUE && (!i->p->clear_of_when || c.samples >= 2); /* (M6) */
    }
    return i->now.value == TRI_FALSE && i->now.samples >= 2; /* two intervals (M6) */
}

static void note_blind(struct instance *i)
{
    struct engine *e = i->e;
    struct jtx *tx;
    struct buf why;
    char spent[32];

    if (i->now.value != TRI_UNKNOWN || i->now.pending) {
        if (i->blind_reported) {
            tx = commit_new(e);
            report_add(e, tx, REPORT_NOTE, i, NULL, "%s: data is back", i->t->name);
            i->blind_reported = false;
            instance_put_standing(i, tx);
            commit_owed(e, tx, NULL, NULL);
        }
        i->unknown_since_ms = 0;
        return;
    }
    if (!i->unknown_since_ms)
        i->unknown_since_ms = now(e);
    if (i->blind_reported || now(e) - i->unknown_since_ms < i->p->blind_after_ms)
        return;
    i->blind_reported = true;
    buf_init(&why, 512);
    bound_summary(i->when, now(e), &why);
    tx = commit_new(e);
    unit_format_duration(spent, sizeof(spent), (now(e) - i->unknown_since_ms) / 1000 * 1000);
    report_add(e, tx, REPORT_HUMAN, i, NULL,
               "%s: blind for %s: %s. Policy %s neither acts nor resolves until it knows",
               i->t->name, spent, buf_str(&why), i->p->name);
    instance_put_standing(i, tx); /* once, also over a restart (M10) */
    engine_trace(e, i, "blind", "%s", buf_str(&why));
    commit_owed(e, tx, NULL, NULL);
    buf_free(&why);
}

static void note_status(struct instance *i)
{
    struct engine *e = i->e;
    struct jtx *tx;
    struct buf seen;
    char spent[32];

    if (!is_open(i) || now(e) < i->status_ms)
        return;
    i->status_ms = now(e) + i->p->status_every_ms;
    unit_format_duration(spent, sizeof(spent), (now(e) - i->fired_ms) / 60000 * 60000);
    tx = commit_new(e);
    buf_init(&seen, 512);
    if (i->when)
        bound_summary(i->when, now(e), &seen);
    report_add(e, tx, REPORT_NOTE, i, i->run, "%s: still %s after %s%s%s", i->t->name,
               episode_state_names[i->state], spent, seen.len ? ": " : "", buf_str(&seen));
    commit_owed(e, tx, NULL, NULL);
    buf_free(&seen);
}

static void step_episode(struct instance *i)
{
    struct engine *e = i->e;
    struct jtx *tx;

    switch (i->state) {
    case EP_QUIET:
    case EP_PENDING:
    case EP_RESOLVED:
        if (i->awaits_run)
            return; /* what is being read from the journal comes first */
        if (i->now.value == TRI_TRUE)
            fire(i);
        else if (i->now.pending && i->state != EP_PENDING) {
            i->state = EP_PENDING; /* in memory only: after a restart the clocks are rebuilt (M5) */
            engine_trace(e, i, "pending", "%s", i->t->id);
        } else if (i->now.value == TRI_FALSE)
            i->state = EP_QUIET;
        return;
    case EP_FIRING:
        if (!is_clear(i))
            return;
        tx = commit_new(e);
        set_state(i, EP_RECOVERING, tx);
        commit_owed(e, tx, NULL, NULL);
        engine_trace(e, i, "clear", "%s", i->t->id);
        __attribute__((fallthrough)); /* it is resolved at once when no run holds it open */
    case EP_RECOVERING:
        if (i->when && i->now.value == TRI_TRUE && !is_clear(i)) {
            tx = commit_new(e);
            set_state(i, EP_FIRING, tx);
            commit_owed(e, tx, NULL, NULL);
            return;
        }
        if (!i->run && !i->awaits_run && is_clear(i)) /* still: unknown resolves nothing */
            resolve(i);
        return;
    case EP_VANISHED:
        return;
    }
}

void instance_eval(struct instance *i)
{
    struct engine *e = i->e;
    const char *why = unwatched(i);

    i->again_ms = NEVER;
    if (i->when) {
        i->now = bound_eval(i->when, now(e));
        i->again_ms = i->now.again_ms;
    }
    if (why) {
        i->unknown_since_ms = 0; /* no time to wait for */
        if (e->loaded && !e->draining)
            end_unwatched(i, why);
    } else {
        if (i->when)
            note_blind(i);
        note_status(i);
        if ((i->when || is_open(i)) && e->loaded && !e->draining)
            step_episode(i);
    }
    if (i->run)
        run_poke(i->run);
    due_set(i);
}

int64_t instance_next_ms(const struct instance *i)
{
    int64_t at = i->again_ms;

    if (i->unknown_since_ms && !i->blind_reported &&
        i->unknown_since_ms + i->p->blind_after_ms < at)
        at = i->unknown_since_ms + i->p->blind_after_ms;
    if (is_open(i) && i->p->status_every_ms && i->status_ms < at && !unwatched(i))
        at = i->status_ms;
    return at;
}

bool instance_run_ended(struct instance *i, struct run *r, struct jtx *tx)
{
    struct engine *e = i->e;
    bool opened = false;
    bool bad = r->outcome == OUT_FAILED || r->outcome == OUT_INEFFECTIVE || r->outcome == OUT_BLIND;

    i->run = NULL;
    if (r->verified)
        i->verify_failed = r->last_verify != TRI_TRUE;
    json_free(i->told);
    i->told = report_told(r);
    if (!run_shadow(r)) {
        if (r->acts)
            i->last_end_ms = now(e);
        /* A guard's denial ends a run refused, which opens no breaker (M17). */
        if (bad)
            i->bad++;
        else if (r->outcome == OUT_SUCCEEDED)
            i->bad = 0;
        opened = i->bad >= 2 && !i->breaker_open;
        i->breaker_open = i->breaker_open || opened;
        instance_put_standing(i, tx);
    }
    if (is_open(i))
        jtx_put(tx, "episode", i->episode, instance_episode_doc(i), true);
    due_mark(i);
    return opened;
}
