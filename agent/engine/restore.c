/* After a start: what the journal holds is taken up again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"

static bool on_freeze(void *arg, const char *key, const struct json *doc)
{
    struct engine *e = arg;

    (void)key;
    e->frozen = json_get_bool(doc, "frozen", true);
    mem_free(e->frozen_by);
    mem_free(e->frozen_why);
    e->frozen_by = mem_strdup(json_get_str(doc, "by", "?"));
    e->frozen_why = mem_strdup(json_get_str(doc, "reason", ""));
    return true;
}

static bool on_mode(void *arg, const char *key, const struct json *doc)
{
    struct engine *e = arg;
    int m = mode_parse(json_get_str(doc, "mode", ""));

    /* A mode that was lowered stays lowered over a restart; one that was raised holds only as far
     * as the configuration allows. */
    if (strcmp(key, "agent") == 0 && m >= 0 && (enum mode)m < e->mode)
        e->mode = (enum mode)m;
    e->storm = json_get_bool(doc, "storm", false);
    return true;
}

static bool on_silence(void *arg, const char *key, const struct json *doc)
{
    silence_add(arg, key,
                doc); /* one that ended meanwhile is closed with the others that are over */
    return true;
}

static bool on_token(void *arg, const char *scope, const char *item, int64_t at_ms)
{
    token_add_at(arg, scope, item, at_ms);
    return true;
}

/* Keys go on after those that are still to be sent, whatever the clock says: none is overwritten.
 */
static bool on_report(void *arg, const char *key, const struct json *doc)
{
    struct engine *e = arg;
    char *end;
    int64_t at_ms = strtoll(key, &end, 10);
    int count = *end == '-' ? (int)strtol(end + 1, NULL, 10) : 0;

    (void)doc;
    if (at_ms > e->report_ms || (at_ms == e->report_ms && count >= e->report_count)) {
        e->report_ms = at_ms;
        e->report_count = count + 1;
    }
    return true;
}

static bool on_doubt(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    doubt_keep(arg, doc);
    return true;
}

static bool keep(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    json_add(arg, json_copy(doc));
    return true;
}

static struct instance *instance_of(struct engine *e, const struct json *doc)
{
    char *key =
        mem_printf("%s@%s", json_get_str(doc, "policy", ""), json_get_str(doc, "target", ""));
    struct instance *i = instance_find(e, key);

    mem_free(key);
    return i;
}

static bool on_breaker(void *arg, const char *key, const struct json *doc)
{
    standing_set(arg, key, json_get_int(doc, "last_end_ms", 0), (int)json_get_int(doc, "bad", 0),
                 json_get_bool(doc, "open", false), json_get_bool(doc, "blind", false));
    return true;
}

int engine_restore(struct engine *e, struct err *err)
{
    struct journal *j = e->w->journal;
    int rc;

    e->restored_runs = json_new_list();
    e->restored_episodes = json_new_list();
    rc = j->ops->each_open(j, "freeze", on_freeze, e, err);
    rc = rc ? rc : j->ops->each_open(j, "mode", on_mode, e, err);
    rc = rc ? rc : j->ops->each_open(j, "silence", on_silence, e, err);
    rc = rc ? rc : j->ops->each_token(j, now(e) - 32LL * 24 * 3600 * 1000, on_token, e, err);
    rc = rc ? rc : j->ops->each_open(j, "breaker", on_breaker, e, err);
    rc = rc ? rc : j->ops->each_open(j, "report", on_report, e, err);
    rc = rc ? rc : j->ops->each_open(j, "doubt", on_doubt, e, err);
    rc = rc ? rc : j->ops->each_open(j, "episode", keep, e->restored_episodes, err);
    rc = rc ? rc : j->ops->each_open(j, "run", keep, e->restored_runs, err);
    return rc ? err_wrap(err, "the journal cannot be taken up") : 0;
}

/* Nobody would hear the answer to a question that a lost run asked. */
static void close_question(struct engine *e, struct jtx *tx, const struct json *run,
                           const char *key)
{
    struct json *d = json_new_map();
    const char *id = json_get_str(run, "id", "?");

    json_set_str(d, "run", id);
    json_set_str(d, "state", "void");
    jtx_put(tx, "approval", key, d, false);
    report_agent(e, tx, REPORT_ANSWERED, json_get_str(run, "episode", id),
                 "%s: no approval is wanted any more: run %s cannot be taken up",
                 json_get_str(run, "target", "?"), id);
}

/* The steps that were open when their run was lost are closed with it. */
static void close_steps(struct engine *e, struct jtx *tx, const struct json *run,
                        const struct json *rows)
{
    for (const struct json *s = json_first(rows); s; s = json_next(s)) {
        struct json *closed;
        char *key;
        if (strcmp(json_get_str(s, "state", ""), "done") == 0)
            continue;
        closed = json_copy(s);
        key = mem_printf("%s/%03lld", json_get_str(run, "id", "?"),
                         (long long)json_get_int(s, "step", 0));
        if (json_get_str(s, "asked", NULL))
            close_question(e, tx, run, key);
        json_set_str(closed, "was", json_get_str(s, "state", ""));
        json_set_str(closed, "state", "abandoned");
        jtx_put(tx, "step", key, closed, false);
        mem_free(key);
    }
}

/* doubt: what it holds from now on, or NULL. */
static void orphan_run(struct engine *e, const struct json *doc, const char *why,
                       const struct json *steps, const struct json *doubt)
{
    struct jtx *tx = commit_new(e);
    struct json *closed = json_copy(doc);
    const char *id = json_get_str(doc, "id", "?");
    char *lost = doubt ? doubt_text(doubt) : NULL, *order = doubt ? doubt_order(doubt) : NULL,
         *note = mem_printf("%s%s%s", why, lost ? ". " : "", lost ? lost : "");

    json_set_str(closed, "state", "ended");
    json_set_str(closed, "outcome", "cancelled");
    json_set_str(closed, "note", note);
    jtx_put(tx, "run", id, closed, false);
    close_steps(e, tx, doc, steps);
    if (doubt)
        doubt_leave(e, tx, doubt);
    report_agent(e, tx, REPORT_HUMAN, json_get_str(doc, "episode", id),
                 "%s: run %s of policy %s was open when the agent stopped and cannot be taken up: "
                 "%s%s%s",
                 json_get_str(doc, "target", "?"), id, json_get_str(doc, "policy", "?"), note,
                 order ? ". " : "", order ? order : "");
    commit_owed(e, tx, NULL, NULL);
    mem_free(lost);
    mem_free(order);
    mem_free(note);
}

/* As one whose policy or target goes while the agent runs (M7). */
static void orphan_episode(struct engine *e, const struct json *doc)
{
    static const char why[] = "the target or its policy is gone";
    struct jtx *tx = commit_new(e);
    struct json *closed = json_copy(doc);
    const char *id = json_get_str(doc, "id", "?");

    json_set_str(closed, "state", episode_state_names[EP_VANISHED]);
    json_set_str(closed, "why", why);
    jtx_put(tx, "episode", id, closed, false);
    report_agent(e, tx, json_get_bool(doc, "triggered", false) ? REPORT_RESOLVE : REPORT_NOTE, id,
                 "%s: policy %s: no longer watched: %s; nothing was verified",
                 json_get_str(doc, "target", "?"), json_get_str(doc, "policy", "?"), why);
    commit_owed(e, tx, NULL, NULL);
}

static void attach_episode(struct engine *e, const struct json *doc)
{
    struct instance *i = instance_of(e, doc);
    const char *state = json_get_str(doc, "state", "");

    if (!i) {
        orphan_episode(e, doc);
        return;
    }
    i->state = strcmp(state, "recovering") == 0 ? EP_RECOVERING : EP_FIRING;
    snprintf(i->episode, ID_LEN, "%s", json_get_str(doc, "id", ""));
    i->fired_ms = json_get_int(doc, "fired_ms", now(e));
    storm_count(e, i->fired_ms);
    i->fired_wall_ms = json_get_int(doc, "fired_wall_ms", wall(e));
    i->triggered = json_get_bool(doc, "triggered", false);
    i->verify_failed = json_get_bool(doc, "verify_failed", false);
    i->seen = mem_strdup(json_get_str(doc, "seen", NULL));
    i->told = json_get(doc, "told") ? json_copy(json_get(doc, "told")) : NULL;
    i->status_ms = i->p->status_every_ms ? now(e) + i->p->status_every_ms : NEVER;
}

/* A run whose steps are being read. */
struct taking_up {
    struct engine *e;
    struct json *doc;
};

static void drop_taking_up(void *p)
{
    json_free(((struct taking_up *)p)->doc);
}

/* By number: the journal gives the newest first. */
static struct json *in_order(const struct json *rows)
{
    struct json *list = json_new_list();
    size_t n = json_len(rows);

    for (size_t step = 1; step <= n; step++) {
        const struct json *found = NULL;
        for (const struct json *s = json_first(rows); s && !found; s = json_next(s))
            if (json_get_int(s, "step", 0) == (int64_t)step)
                found = s;
        json_add(list, found ? json_copy(found) : json_new_null());
    }
    return list;
}

/* A request that may have left and was never settled must not be forgotten with its run. Steps that
 * cannot be read may hold one. */
static struct json *doubt_in(const struct taking_up *t, const struct json *rows,
                             const struct instance *i)
{
    if (!rows)
        return doubt_new(t->doc, NULL, i);
    for (const struct json *s = json_first(rows); s; s = json_next(s))
        if (doubt_may_have_left(s))
            return doubt_new(t->doc, s, i);
    return NULL;
}

static void have_steps(void *arg, struct json *rows, const struct err *err)
{
    struct taking_up *t = arg;
    struct instance *i = instance_of(t->e, t->doc);
    struct err e2 = ERR_INIT;
    struct run *r = NULL;
    struct json *doubt = doubt_in(t, rows, i);
    const char *why = NULL;

    if (i) {
        i->awaits_run = false;
        due_mark(i); /* what waited for this goes on, be there new data or not */
    }
    if (!i || i->run)
        why = i ? "another run is open on the same policy and target"
                : "its policy or target is no longer loaded";
    else if (err && err->code)
        why = err->text;
    else if ((r = run_restore(t->e, t->doc, in_order(rows), i, &e2)) == NULL)
        why = e2.text;
    if (r) {
        engine_trace(t->e, i, "take_up", "run %s at step %zu", r->id, r->nreplay);
        r->unsettled = doubt;
        run_start(r);
    } else {
        orphan_run(t->e, t->doc, why, rows, doubt);
        json_free(doubt);
    }
    json_free(rows);
    json_free(t->doc);
    engine_wake(t->e);
    engine_release(t);
}

static void attach_run(struct engine *e, const struct json *doc)
{
    struct instance *i = instance_of(e, doc);
    struct taking_up *t = engine_hold(e, sizeof(*t), drop_taking_up);
    char *prefix = mem_printf("%s/", json_get_str(doc, "id", "?"));

    if (i)
        i->awaits_run = true;
    t->e = e;
    t->doc = json_copy(doc);
    e->w->journal->ops->query(e->w->journal, "step", prefix, 100000, have_steps, t);
    mem_free(prefix);
}

void restore_attach(struct engine *e)
{
    if (!e->restored_runs)
        return;
    for (const struct json *d = json_first(e->restored_episodes); d; d = json_next(d))
        attach_episode(e, d);
    for (const struct json *d = json_first(e->restored_runs); d; d = json_next(d))
        attach_run(e, d);
    json_free(e->restored_runs);
    json_free(e->restored_episodes);
    e->restored_runs = e->restored_episodes = NULL;
}
