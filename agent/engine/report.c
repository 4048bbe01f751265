/* Reports: what an on-call needs at 3 a.m., written into the transaction of what they tell. */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"

static const char *const kind_names[] = {"trigger", "note", "resolve", "human"};

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

static struct json *done_list(const struct run *r)
{
    struct json *l = json_new_list();

    for (size_t k = 0; k < r->ndone; k++) {
        char *line = mem_printf("%s: %s", r->done[k].name, r->done[k].plan->summary);
        json_add(l, json_new_str(line));
        mem_free(line);
    }
    return l;
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
        buf_addf(b, "suspended (%s)", r->suspended_by ? r->suspended_by : "?");
        break;
    case RUN_IN_DOUBT:
        buf_adds(b, "asks the world whether the last request took effect");
        break;
    case RUN_ENDED:
        buf_addf(b, "the run ended %s", outcome_names[r->outcome]);
        break;
    default:
        buf_adds(b, "goes on");
    }
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
    struct json *d = json_new_map();
    const char *episode = i && *i->episode ? i->episode : r ? r->id : i ? i->key : subject;
    struct buf text;
    char *key = next_key(e), at[32];
    /* What was opened at the pager is closed there, whatever the mode is by then. */
    bool real = i && i->triggered && (k == REPORT_RESOLVE || !r);
    bool shadow = !real && (r ? run_shadow(r) : i && effective_mode(e, i->p, i->t) <= MODE_SHADOW);

    buf_init(&text, 8192);
    buf_addv(&text, fmt, ap);
    json_set_str(d, "id", key);
    json_set_str(d, "kind", kind_names[k]);
    json_set_strf(d, "key", "%s%s", episode, k == REPORT_HUMAN ? "/human" : "");
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
    }
    if (r) {
        json_set_str(d, "run", r->id);
        json_set_str(d, "mode", mode_name(run_mode(r)));
        json_set(d, "done", done_list(r));
        json_set_str(d, "helped",
                     !r->verified                  ? "not verified yet"
                     : r->last_verify == TRI_TRUE  ? "verified"
                     : r->last_verify == TRI_FALSE ? "no"
                                                   : "unknown");
        buf_reset(&text);
        what_next(r, &text);
        json_set_str(d, "next", buf_str(&text));
        if (!run_over(r))
            json_set_strf(d, "stop", "runbookctl cancel %s, or runbookctl freeze", r->id);
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

void engine_page(struct engine *e, const char *subject, const char *text)
{
    struct jtx *tx = commit_new(e);

    report_agent(e, tx, REPORT_HUMAN, subject, "%s", text);
    commit_owed(e, tx, NULL, NULL);
}
