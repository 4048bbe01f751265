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

static void what_next(const struct run *r, struct buf *b);

static const char *helped(const struct run *r)
{
    if (r->state == RUN_IN_DOUBT)
        return "unknown"; /* a request may have taken effect */
    if (json_len(r->history) == 0 && !r->verified)
        return "nothing was done";
    if (!r->verified || r->unverified)
        return run_over(r) ? "not verified" : "not verified yet";
    return r->last_verify == TRI_TRUE ? "verified" : r->last_verify == TRI_FALSE ? "no" : "unknown";
}

struct json *report_told(const struct run *r)
{
    struct json *d = json_new_map();
    struct buf next;

    buf_init(&next, 4096);
    what_next(r, &next);
    json_set(d, "done", json_copy(r->history));
    json_set_str(d, "helped", helped(r));
    json_set_str(d, "next", buf_str(&next));
    buf_free(&next);
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
    buf_addf(b, "%s%s", r->step > 0 ? "goes on with its policy: " : "", how[run_mode(r)]);
    for (size_t k = 0; k < r->p->nactions; k++)
        buf_addf(b, "%s%s", k ? ", " : " (", r->p->actions[k].name);
    buf_addf(b, "%s%s", r->p->nactions ? ")" : "",
             run_mode(r) == MODE_ENFORCE ? ", and calls a human where it cannot" : "");
}

static void add_until(const struct run *r, int64_t until_ms, struct buf *b)
{
    char at[32];

    if (until_ms != NEVER)
        buf_addf(b, " until %s", time_format_iso(at, sizeof(at), wall_of(r->e, until_ms)));
}

static void while_suspended(const struct run *r, struct buf *b)
{
    if (strcmp(r->suspended_by, "replay") == 0)
        buf_addf(b, "held: all that is left is runbookctl cancel %s", r->id);
    else if (strcmp(r->suspended_by, "freeze") == 0)
        buf_adds(b, "frozen: nothing is done until runbookctl unfreeze");
    else
        buf_addf(b, "held while the mode is lower than %s, with which it began",
                 mode_name(r->mode));
    if (r->manual && strcmp(r->suspended_by, "replay") != 0)
        buf_addf(b, ", and then runbookctl resume %s", r->id);
}

/* Who goes on. What becomes of the episode's page, page_ends tells. */
static void when_over(const struct run *r, struct buf *b)
{
    switch (r->outcome) {
    case OUT_SUCCEEDED:
        buf_adds(b, r->paged ? "nothing more by itself: a human was called and goes on"
                    : json_len(r->history) == 0 ? "nothing more: there was nothing to do"
                                                : "nothing more: it is done");
        break;
    case OUT_SHADOWED:
        buf_adds(b, "nothing: in shadow it only says what it would do");
        break;
    case OUT_SUPERSEDED:
        buf_adds(b, "nothing more by this run: the one that took over goes on");
        break;
    case OUT_CANCELLED:
        buf_adds(b, r->cancel_wanted ? "nothing more by itself: it was cancelled"
                                     : "nothing more: what it was to mend ended meanwhile");
        break;
    default:
        buf_addf(b, "nothing more by itself (the run ended %s): %s%s goes on with the runbook",
                 outcome_names[r->outcome], r->manual && r->by ? r->by : "a human",
                 r->manual && r->by ? ", who started it," : "");
    }
}

static void what_next(const struct run *r, struct buf *b)
{
    static const char *const waits[] = {[ASK_VERIFY] = "verifies ",
                                        [ASK_WAIT] = "waits for ",
                                        [ASK_HOLDS] = "looks at ",
                                        [ASK_SLEEP] = "sleeps",
                                        [ASK_READ] = "reads a signal"};

    switch (r->state) {
    case RUN_AWAITING_APPROVAL:
        buf_adds(b, "waits for an approval");
        add_until(r, r->act.until_ms, b);
        break;
    case RUN_WAITING:
    case RUN_VERIFYING:
        buf_addf(b, "%s%s", waits[r->ask.kind], r->ask_name ? r->ask_name : "");
        add_until(r, r->step_until_ms, b);
        break;
    case RUN_SUSPENDED:
        while_suspended(r, b);
        break;
    case RUN_IN_DOUBT:
        if (r->act.stage == ACT_STUCK)
            buf_addf(b, "nothing until runbookctl settle %s done | not-done", r->id);
        else
            buf_adds(b, "asks the world whether the last request took effect");
        break;
    case RUN_ENDED:
        when_over(r, b);
        break;
    default:
        if (r->act.approved)
            buf_adds(b, "does what was approved, unless it has changed since");
        else if (r->ask.kind == ASK_PAGE && !r->p->script) /* with which the ladder ends */
            buf_adds(b, "nothing more by itself: a human goes on with the runbook");
        else
            may_do(r, b);
    }
}

/* What becomes of the page of an open episode that has no run any more; NULL: there is no episode.
 * resolve (instance.c) does what this says. */
static const char *page_ends(const struct instance *i)
{
    if (!i || !*i->episode || i->state == EP_VANISHED)
        return NULL;
    if (i->gone || effective_mode(i->e, i->p, i->t) == MODE_OFF)
        return "the episode ends now";
    if (i->triggered && i->verify_failed)
        return "the episode's page is closed by hand: the last verify did not pass";
    if (i->state == EP_RESOLVED)
        return NULL;
    return i->triggered ? "the episode's page closes by itself once the condition is clear"
                        : "the episode ends by itself once the condition is clear";
}

static void add_next(struct json *d, enum report_kind k, const struct instance *i,
                     const struct run *r, const char *next)
{
    const char *page = r && !run_over(r) ? NULL : page_ends(i);
    bool over = i && (i->state == EP_RESOLVED || i->state == EP_VANISHED);
    struct buf b;

    buf_init(&b, 8192);
    if (next && !over)
        buf_adds(&b, next);
    if (page && (next || over))
        buf_addf(&b, "%s%s", b.len ? "; " : "", page);
    if (k == REPORT_HUMAN && b.len)
        buf_adds(&b, "; this call is closed by hand");
    if (b.len)
        json_set_str(d, "next", buf_str(&b));
    buf_free(&b);
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
        add_next(d, k, i, r, json_get_str(told, "next", NULL));
        json_free(told);
    }
    if (r) {
        json_set_str(d, "run", r->id);
        json_set_str(d, "mode", mode_name(run_mode(r)));
        if (run_over(r))
            json_set_str(d, "outcome", outcome_names[r->outcome]);
        else if (r->state == RUN_AWAITING_APPROVAL)
            json_set_strf(d, "stop", "runbookctl deny %s, or runbookctl freeze", r->id);
        else if (r->act.stage != ACT_STUCK) /* which does nothing any more */
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
