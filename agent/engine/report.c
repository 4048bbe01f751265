/* Reports: what an on-call needs at 3 a.m., written into the transaction of what they tell. */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"

/* What a sink sees, and what is appended to the key of the episode or the subject. */
static const struct {
    const char *name, *suffix;
} kinds[] = {
    [REPORT_TRIGGER] = {"trigger", ""},           [REPORT_NOTE] = {"note", ""},
    [REPORT_RESOLVE] = {"resolve", ""},           [REPORT_HUMAN] = {"human", "/human"},
    [REPORT_HEARD] = {"resolve", "/human"},       [REPORT_ASK] = {"human", "/approval"},
    [REPORT_ANSWERED] = {"resolve", "/approval"},
};

/* Ordered by key: steady time, then a count within the millisecond. */
static char *next_key(struct engine *e)
{
    int64_t t = now(e);

    if (t > e->report_ms) {
        e->report_ms = t;
        e->report_count = 0;
    }
    return mem_printf("%015lld-%04d", (long long)e->report_ms, e->report_count++);
}

struct json *report_told(const struct run *r)
{
    struct json *d = json_new_map();

    json_set(d, "done", json_copy(r->history));
    json_set_str(d, "helped",
                 !r->verified || r->unverified ? "not verified yet"
                 : r->last_verify == TRI_TRUE  ? "verified"
                 : r->last_verify == TRI_FALSE ? "no"
                                               : "unknown");
    return d;
}

/* What it may do, by the names that its later reports use. */
static void may_do(const struct run *r, struct buf *b)
{
    static const char *const how[] = {[MODE_OFF] = "does nothing",
                                      [MODE_SHADOW] = "only says what it would do",
                                      [MODE_APPROVE] = "asks a human before each act",
                                      [MODE_ENFORCE] = "acts by itself"};

    if (is_frozen(r->e)) {
        buf_adds(b, "frozen: nothing is done until runbookctl unfreeze");
        return;
    }
    buf_adds(b, how[run_mode(r)]);
    for (size_t k = 0; k < r->p->nactions; k++)
        buf_addf(b, "%s%s", k ? ", " : " (", r->p->actions[k].name);
    buf_addf(b, "%s%s", r->p->nactions ? ")" : "",
             run_mode(r) == MODE_ENFORCE ? ", and calls a human where it cannot" : "");
}

static void what_next(const struct run *r, struct buf *b)
{
    char at[32];

    switch (r->state) {
    case RUN_AWAITING_APPROVAL:
        time_format_iso(at, sizeof(at), wall_of(r->e, r->act.until_ms));
        buf_addf(b, "waits for an approval until %s", at);
        break;
    case RUN_WAITING:
    case RUN_VERIFYING:
        buf_addf(b, "%s %s", ask_name(r->ask.kind), r->ask_name ? r->ask_name : "");
        if (r->step_until_ms != NEVER)
            buf_addf(b, " until %s",
                     time_format_iso(at, sizeof(at), wall_of(r->e, r->step_until_ms)));
        break;
    case RUN_SUSPENDED:
        buf_addf(b, "suspended (%s): runbookctl explain %s %s",
                 r->suspended_by ? r->suspended_by : "?", r->p->name, r->t->id);
        break;
    case RUN_IN_DOUBT:
        buf_adds(b, "asks the world whether the last request took effect");
        break;
    case RUN_ENDED:
        if (r->outcome == OUT_SUCCEEDED)
            buf_adds(b, "nothing more: this closes by itself once the condition is clear");
        else if (r->outcome == OUT_SHADOWED)
            buf_adds(b, "nothing: in shadow it only says what it would do");
        else
            buf_addf(b,
                     "nothing more by itself (the run ended %s): a human goes on with the runbook",
                     outcome_names[r->outcome]);
        break;
    default:
        may_do(r, b);
    }
}

/* The condition as it stands now, where that is not what it was when it fired. */
static void add_now(struct engine *e, struct json *d, const struct instance *i, struct buf *text)
{
    if (!i->when || i->gone)
        return;
    buf_reset(text);
    bound_summary(i->when, now(e), text);
    if (!i->seen || strcmp(buf_str(text), i->seen) != 0)
        json_set_str(d, "now", buf_str(text));
}

static void add_policy(struct json *d, const struct policy *p, const struct target *t)
{
    json_set_str(d, "policy", p->name);
    json_set_str(d, "owner", p->owner);
    json_set_str(d, "doc", p->doc);
    json_set_strf(d, "severity", "sev%d", (int)p->severity);
    json_set_str(d, "target", t->id);
}

static void add(struct engine *e, struct jtx *tx, enum report_kind k, const struct instance *i,
                const struct run *r, const char *subject, const char *fmt, va_list ap)
{
    struct json *d = json_new_map(), *told;
    const char *episode = i && *i->episode ? i->episode : r ? r->id : i ? i->key : subject;
    struct buf text;
    char *key = next_key(e), at[32];
    /* What was opened at the pager is closed there, whatever the mode is by then. */
    bool real = i && i->triggered && (k == REPORT_RESOLVE || !r);
    bool shadow = !real && (r ? run_shadow(r) : i && effective_mode(e, i->p, i->t) <= MODE_SHADOW);

    buf_init(&text, 8192);
    buf_addv(&text, fmt, ap);
    json_set_str(d, "id", key);
    json_set_str(d, "kind", kinds[k].name);
    json_set_strf(d, "key", "%s%s", episode, kinds[k].suffix);
    json_set_str(d, "summary", buf_str(&text));
    json_set_str(d, "host", e->host);
    json_set_str(d, "at", time_format_iso(at, sizeof(at), wall(e)));
    json_set_int(d, "wall_ms", wall(e));
    json_set_bool(d, "shadow", shadow);
    if (i || r)
        add_policy(d, r ? r->p : i->p, r ? r->t : i->t);
    if (i && *i->episode) {
        json_set_str(d, "episode", i->episode);
        json_set_str(d, "seen", i->seen);
        if (i->fired_wall_ms)
            json_set_str(d, "since", time_format_iso(at, sizeof(at), i->fired_wall_ms));
        add_now(e, d, i, &text);
    }
    told = r ? report_told(r) : i && *i->episode && i->told ? json_copy(i->told) : NULL;
    if (told) {
        json_set(d, "done", json_copy(json_get(told, "done")));
        json_set_str(d, "helped", json_get_str(told, "helped", NULL));
        json_free(told);
    }
    if (r) {
        json_set_str(d, "run", r->id);
        json_set_str(d, "mode", mode_name(run_mode(r)));
        buf_reset(&text);
        what_next(r, &text);
        json_set_str(d, "next", buf_str(&text));
        if (!run_over(r))
            json_set_strf(d, "stop", "runbookctl cancel %s, or runbookctl freeze", r->id);
        else
            json_set_str(d, "outcome", outcome_names[r->outcome]);
    } else if (i && *i->episode && i->told && i->state != EP_RESOLVED) {
        json_set_str(d, "next", "nothing more by itself; this closes once the condition is clear");
    }
    if (e->dashboard && i && *i->episode)
        json_set_strf(d, "link", "%s/episodes/%s", e->dashboard, episode);
    buf_free(&text);
    e->reports_total++;
    jtx_put(tx, "report", key, d, true);
    mem_free(key);
}

void report_add(struct engine *e, struct jtx *tx, enum report_kind k, const struct instance *i,
                const struct run *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(e, tx, k, i, r, "agent", fmt, ap);
    va_end(ap);
}

void report_agent(struct engine *e, struct jtx *tx, enum report_kind k, const char *subject,
                  const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add(e, tx, k, NULL, NULL, subject, fmt, ap);
    va_end(ap);
}

void report_deliver(struct engine *e, const struct jtx *tx)
{
    for (size_t k = 0; k < tx->nops; k++)
        if (tx->ops[k].op == JOP_PUT && strcmp(tx->ops[k].kind, "report") == 0)
            e->w->ops->deliver(e->w, tx->ops[k].key, tx->ops[k].doc);
}

void report_no_targets(struct engine *e)
{
    struct json *told = json_new_map();
    struct map *with = map_new(); /* policies that have a target */

    for (size_t k = 0; k < e->ninst; k++)
        if (!e->inst[k]->gone)
            map_put(with, e->inst[k]->p->name, e->inst[k]);
    for (const struct json *o = json_first(e->left_out); o; o = json_next(o))
        map_put(with, json_get_str(o, "policy", ""), with); /* of these report_left_out tells */
    for (size_t p = 0; p < e->set->npolicies; p++) {
        const struct policy *policy = e->set->policies[p];
        struct jtx *tx;

        if (policy->procedure || map_get(with, policy->name))
            continue;
        if (json_get(e->no_targets, policy->name)) {
            json_set_bool(told, policy->name, true);
            continue;
        }
        if (estate_partial(e->estate))
            continue;
        json_set_bool(told, policy->name, true);
        tx = commit_new(e);
        report_add(e, tx, REPORT_NOTE, NULL, NULL,
                   "policy %s (%s): its selector matches no target of the estate, so it never acts",
                   policy->name, policy->owner);
        log_warn("engine",
                 "policy %s: its selector matches no target of the estate, so it never acts",
                 policy->name);
        commit_owed(e, tx, NULL, NULL);
    }
    map_free(with);
    json_free(e->no_targets);
    e->no_targets = told;
}

static char *left_out_key(const struct json *row)
{
    return mem_printf("%s@%s", json_get_str(row, "policy", ""), json_get_str(row, "target", ""));
}

void report_left_out(struct engine *e, const struct json *was)
{
    struct map *known = map_new(); /* its keys are borrowed */
    char **keys = mem_calloc(json_len(was) + 1, sizeof(*keys));
    size_t nkeys = 0;

    for (const struct json *o = json_first(was); o; o = json_next(o)) {
        keys[nkeys] = left_out_key(o);
        map_put(known, keys[nkeys++], known);
    }
    for (const struct json *o = json_first(e->left_out), *next; o; o = next) {
        const char *policy = json_get_str(o, "policy", ""), *why = NULL;
        int news = 0;
        struct jtx *tx;
        char *more;

        /* The rows of a policy stand together. */
        for (next = o; next && strcmp(json_get_str(next, "policy", ""), policy) == 0;
             next = json_next(next)) {
            char *key = left_out_key(next);
            if (!map_get(known, key) && news++ == 0)
                why = json_get_str(next, "why", "?");
            mem_free(key);
        }
        if (!news)
            continue;
        more = news > 1
                   ? mem_printf(" (and %d more targets: runbookctl explain %s)", news - 1, policy)
                   : mem_strdup("");
        tx = commit_new(e);
        report_add(
            e, tx, REPORT_NOTE, NULL, NULL,
            "policy %s does not apply to a target that was found, and goes on on the others: "
            "%s%s",
            policy, why, more);
        log_warn("engine", "policy %s does not apply to a target that was found: %s%s", policy, why,
                 more);
        commit_owed(e, tx, NULL, NULL);
        mem_free(more);
    }
    map_free(known);
    for (size_t k = 0; k < nkeys; k++)
        mem_free(keys[k]);
    mem_free(keys);
}

void engine_page(struct engine *e, const char *subject, const char *text)
{
    struct jtx *tx = commit_new(e);

    report_agent(e, tx, REPORT_HUMAN, subject, "%s", text);
    commit_owed(e, tx, NULL, NULL);
}
