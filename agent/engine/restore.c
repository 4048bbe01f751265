/* After a start: what the journal holds is taken up again. */
#include <stdio.h>
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
    e->frozen_ms = json_get_int(doc, "at_ms", 0);
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
    struct engine *e = arg;
    struct silence *s;

    if (json_get_int(doc, "until_ms", 0) <= now(e))
        return true;
    e->silences = mem_realloc(e->silences, (e->nsilences + 1) * sizeof(*e->silences));
    s = &e->silences[e->nsilences++];
    memset(s, 0, sizeof(*s));
    snprintf(s->id, ID_LEN, "%s", key);
    s->policy = mem_strdup(json_get_str(doc, "policy", NULL));
    s->target = mem_strdup(json_get_str(doc, "target", NULL));
    s->by = mem_strdup(json_get_str(doc, "by", "?"));
    s->reason = mem_strdup(json_get_str(doc, "reason", ""));
    s->until_ms = json_get_int(doc, "until_ms", 0);
    return true;
}

static bool on_token(void *arg, const char *scope, const char *item, int64_t at_ms)
{
    token_add_at(arg, scope, item, at_ms);
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
    for (size_t k = 0; k < e->ninst; k++) {
        struct instance *i = e->inst[k];
        if (!i->gone && strcmp(i->p->name, json_get_str(doc, "policy", "")) == 0 &&
            strcmp(i->t->id, json_get_str(doc, "target", "")) == 0)
            return i;
    }
    return NULL;
}

static bool on_breaker(void *arg, const char *key, const struct json *doc)
{
    struct instance *i = instance_of(arg, doc);

    (void)key;
    if (i) {
        i->last_end_ms = json_get_int(doc, "last_end_ms", 0);
        i->bad = (int)json_get_int(doc, "bad", 0);
        i->breaker_open = json_get_bool(doc, "open", false);
    }
    return true;
}

int engine_restore(struct engine *e, struct err *err)
{
    struct journal *j = e->w->journal;
    int rc;

    e->restored_runs = json_new_list();
    e->restored_steps = json_new_list();
    e->restored_episodes = json_new_list();
    rc = j->ops->each_open(j, "freeze", on_freeze, e, err);
    rc = rc ? rc : j->ops->each_open(j, "mode", on_mode, e, err);
    rc = rc ? rc : j->ops->each_open(j, "silence", on_silence, e, err);
    rc = rc ? rc : j->ops->each_token(j, now(e) - 32LL * 24 * 3600 * 1000, on_token, e, err);
    rc = rc ? rc : j->ops->each_open(j, "episode", keep, e->restored_episodes, err);
    rc = rc ? rc : j->ops->each_open(j, "run", keep, e->restored_runs, err);
    rc = rc ? rc : j->ops->each_open(j, "step", keep, e->restored_steps, err);
    return rc ? err_wrap(err, "the journal cannot be taken up") : 0;
}

static struct json *steps_of(struct engine *e, const char *run)
{
    struct json *list = json_new_list();

    for (const struct json *s = json_first(e->restored_steps); s; s = json_next(s))
        if (strcmp(json_get_str(s, "run", ""), run) == 0) {
            while (json_len(list) + 1 < (size_t)json_get_int(s, "step", 1))
                json_add(list, json_new_null());
            json_add(list, json_copy(s));
        }
    return list;
}

static void orphan(struct engine *e, const struct json *doc, const char *kind, const char *why)
{
    struct jtx *tx = commit_new(e);
    struct json *closed = json_copy(doc);

    json_set_str(closed, "state", strcmp(kind, "run") == 0 ? "ended" : "vanished");
    json_set_str(closed, "outcome", "cancelled");
    json_set_str(closed, "note", why);
    jtx_put(tx, kind, json_get_str(doc, "id", "?"), closed, false);
    report_add(e, tx, REPORT_HUMAN, NULL, NULL,
               "%s: %s %s of policy %s was open when the agent stopped and cannot be taken up: %s",
               json_get_str(doc, "target", "?"), kind, json_get_str(doc, "id", "?"),
               json_get_str(doc, "policy", "?"), why);
    commit_owed(e, tx, NULL, NULL);
}

static void attach_episode(struct engine *e, const struct json *doc)
{
    struct instance *i = instance_of(e, doc);
    const char *state = json_get_str(doc, "state", "");

    if (!i) {
        orphan(e, doc, "episode", "its policy or target is no longer loaded");
        return;
    }
    i->state = strcmp(state, "recovering") == 0 ? EP_RECOVERING : EP_FIRING;
    snprintf(i->episode, ID_LEN, "%s", json_get_str(doc, "id", ""));
    i->fired_ms = json_get_int(doc, "fired_ms", now(e));
    i->fired_wall_ms = json_get_int(doc, "fired_wall_ms", wall(e));
    i->triggered = json_get_bool(doc, "triggered", false);
    i->verify_failed = json_get_bool(doc, "verify_failed", false);
    i->seen = mem_strdup(json_get_str(doc, "seen", NULL));
    i->status_ms = i->p->status_every_ms ? now(e) + i->p->status_every_ms : NEVER;
}

static void attach_run(struct engine *e, const struct json *doc)
{
    struct instance *i = instance_of(e, doc);
    struct err err = ERR_INIT;
    struct run *r;

    if (!i || i->run) {
        orphan(e, doc, "run",
               i ? "another run is open on the same policy and target"
                 : "its policy or target is no longer loaded");
        return;
    }
    r = run_restore(e, doc, steps_of(e, json_get_str(doc, "id", "")), i, &err);
    if (!r) {
        orphan(e, doc, "run", err.text);
        return;
    }
    engine_trace(e, i, "take_up", "run %s at step %zu", r->id, r->nreplay);
}

void restore_attach(struct engine *e)
{
    struct err err = ERR_INIT;

    if (!e->restored_runs)
        return;
    if (e->w->journal->ops->each_open(e->w->journal, "breaker", on_breaker, e, &err))
        log_error("journal", "breakers: %s", err.text);
    for (const struct json *d = json_first(e->restored_episodes); d; d = json_next(d))
        attach_episode(e, d);
    for (const struct json *d = json_first(e->restored_runs); d; d = json_next(d))
        attach_run(e, d);
    json_free(e->restored_runs);
    json_free(e->restored_steps);
    json_free(e->restored_episodes);
    e->restored_runs = e->restored_steps = e->restored_episodes = NULL;
    for (size_t k = 0; k < e->nruns; k++)
        run_start(e->runs[k]);
}
