/* The guards, in their order, each with its reason: allow, defer or deny. No policy can widen one.
 */
#include <stdio.h>
#include <string.h>
#include "engine/internal.h"

static const char *const data_word[] = {"false", "true", "unknown"};

void guard_input_of(struct run *r, struct guard_input *in)
{
    *in = (struct guard_input){r->e,      r->inst,       r,           r->p,       r->t,
                               r->estate, r->act.action, r->act.plan, r->act.undo};
}

static bool shadow(const struct guard_input *in)
{
    return in->r ? run_shadow(in->r) : effective_mode(in->e, in->p, in->t) <= MODE_SHADOW;
}

/* Today's version of the policy, whose limits bind where they are narrower (M23). */
static const struct policy *today(const struct guard_input *in)
{
    return in->i && !in->i->gone ? in->i->p : in->p;
}

static enum verdict_kind freeze(const struct guard_input *in, struct buf *why)
{
    if (!is_frozen(in->e))
        return GUARD_ALLOW;
    buf_addf(why, "frozen by %s: %s", in->e->frozen_by ? in->e->frozen_by : "file",
             in->e->frozen_why ? in->e->frozen_why : "");
    return GUARD_DEFER; /* the run is suspended; it goes on after unfreeze or not at all (M21) */
}

static enum verdict_kind mode(const struct guard_input *in, struct buf *why)
{
    enum mode m = effective_mode(in->e, in->p, in->t), t = effective_mode(in->e, today(in), in->t);

    if (m != MODE_OFF && t != MODE_OFF)
        return GUARD_ALLOW;
    buf_addf(why, "mode off (policy %s, target %s, agent %s)", mode_name(today(in)->mode),
             mode_name(in->t->mode), mode_name(in->e->mode));
    return GUARD_DENY;
}

static enum verdict_kind silence(const struct guard_input *in, struct buf *why)
{
    for (size_t k = 0; k < in->e->nsilences; k++) {
        const struct silence *s = &in->e->silences[k];
        char left[32];
        if (s->until_ms <= now(in->e) || (s->policy && strcmp(s->policy, in->p->name) != 0) ||
            (s->target && strcmp(s->target, in->t->id) != 0 && strcmp(s->target, in->t->name) != 0))
            continue;
        unit_format_duration(left, sizeof(left), (s->until_ms - now(in->e)) / 1000 * 1000);
        buf_addf(why, "silence %s by %s for another %s: %s", s->id, s->by, left, s->reason);
        return GUARD_DENY;
    }
    return GUARD_ALLOW;
}

static enum verdict_kind storm(const struct guard_input *in, struct buf *why)
{
    if (!in->e->storm || shadow(in))
        return GUARD_ALLOW;
    buf_adds(why, "storm: the agent dropped to shadow; runbookctl mode enforce ends it");
    return GUARD_DENY;
}

static enum verdict_kind inhibition(const struct guard_input *in, struct buf *why)
{
    for (size_t k = 0; k < in->e->ninst; k++) {
        const struct instance *o = in->e->inst[k];
        if (o == in->i || o->gone || (o->state != EP_FIRING && o->state != EP_RECOVERING))
            continue;
        for (size_t n = 0; n < o->p->ninhibits; n++)
            if (strcmp(o->p->inhibits[n], in->p->name) == 0 &&
                estate_same_service(in->estate, o->t, in->t)) {
                buf_addf(why, "policy %s is %s on %s and inhibits this one", o->p->name,
                         episode_state_names[o->state], o->t->id);
                return GUARD_DENY;
            }
    }
    return GUARD_ALLOW;
}

static enum verdict_kind data(const struct guard_input *in, struct buf *why)
{
    enum verdict_kind sized =
        in->a && !in->undo ? reading_guard(in->e, in->i, in->a, why) : GUARD_ALLOW;
    bool waited; /* for a human, who was asked because of the condition */
    enum tri v;

    if (sized != GUARD_ALLOW)
        return sized;
    if (!in->i || !in->i->when || (in->r && in->r->manual))
        return GUARD_ALLOW;
    v = in->i->now.value;
    waited = in->r && in->r->act.approved && in->r->act.for_when && !in->undo;
    if (v == TRI_TRUE || (v == TRI_FALSE && in->r && in->r->ndone && !waited))
        return GUARD_ALLOW; /* a later act follows its own checks; the first one needs the condition
                               itself */
    buf_addf(why, "the condition is %s%s: ", in->i->now.pending ? "pending, so " : "",
             data_word[v]);
    bound_summary(in->i->when, now(in->e), why);
    /* After a start the data has to arrive first (M5); a run that was taken up waits for it. */
    if (v == TRI_UNKNOWN && now(in->e) - in->e->loaded_ms <= bound_slowest_ms(in->i->when))
        return GUARD_DEFER;
    return GUARD_DENY;
}

static bool first_act(const struct guard_input *in)
{
    return !in->r || (in->r->acts == 0 && !in->r->planned);
}

static enum verdict_kind cooldown(const struct guard_input *in, struct buf *why)
{
    int64_t cool =
        in->p->cooldown_ms > today(in)->cooldown_ms ? in->p->cooldown_ms : today(in)->cooldown_ms;
    char left[32];

    if (!in->i || !first_act(in) || shadow(in) || !in->i->last_end_ms ||
        now(in->e) - in->i->last_end_ms >= cool)
        return GUARD_ALLOW;
    unit_format_duration(left, sizeof(left),
                         (in->i->last_end_ms + cool - now(in->e) + 999) / 1000 * 1000);
    buf_addf(why, "the last run on this target ended too recently; %s to go", left);
    return GUARD_DEFER;
}

/* Scopes of the counters. A shadow run has its own (M18). */
static char *scope(const struct guard_input *in, const char *what, const char *who)
{
    return mem_printf("%s%s%s%s", shadow(in) ? "shadow/" : "", what, who ? "/" : "",
                      who ? who : "");
}

static enum verdict_kind check_rate(const struct guard_input *in, struct rate r, const char *what,
                                    const char *who, const char *item, const char *label,
                                    struct buf *why)
{
    char *s, text[64];
    int used;

    if (!r.n)
        return GUARD_ALLOW;
    s = scope(in, what, who);
    used = token_count(in->e, s, item, r.per_ms);
    mem_free(s);
    if (used < r.n)
        return GUARD_ALLOW;
    buf_addf(why, "%s %s is used up (%d of %d)", label,
             unit_format_rate(text, sizeof(text), r.n, r.per_ms), used, r.n);
    return GUARD_DENY;
}

static bool same_rate(struct rate a, struct rate b)
{
    return a.n == b.n && a.per_ms == b.per_ms;
}

/* Then's and today's: neither is the narrower one at all times, so both hold (M23). */
static enum verdict_kind check_rates(const struct guard_input *in, struct rate then,
                                     struct rate now_, const char *what, const char *who,
                                     const char *label, struct buf *why)
{
    const char *item = in->r ? in->r->id : NULL;
    enum verdict_kind v = check_rate(in, then, what, who, item, label, why);

    return v == GUARD_ALLOW && !same_rate(then, now_)
               ? check_rate(in, now_, what, who, item, label, why)
               : v;
}

static char *instance_name(const struct guard_input *in)
{
    return mem_printf("%s@%s", in->p->name, in->t->id);
}

static enum verdict_kind rate_target(const struct guard_input *in, struct buf *why)
{
    char *who = instance_name(in);
    enum verdict_kind v =
        check_rates(in, in->p->limit, today(in)->limit, "limit", who, "limit", why);
    const struct declared_action *t = in->a ? policy_action(today(in), in->a->name) : NULL;
    int max = in->a ? in->a->max_acts : 0, done;

    mem_free(who);
    if (v != GUARD_ALLOW || !in->a || !in->r)
        return v;
    if (t && t->max_acts && t->max_acts < max)
        max = t->max_acts;
    done = act_counted(in->r, in->a->name);
    if (!max || done < max)
        return GUARD_ALLOW;
    buf_addf(why, "max_acts: %s was done %d of %d times in this run", in->a->name, done, max);
    return GUARD_DENY;
}

static enum verdict_kind rate_policy(const struct guard_input *in, struct buf *why)
{
    return check_rates(in, in->p->policy_limit, today(in)->policy_limit, "policy", in->p->name,
                       "policy_limit", why);
}

static bool destructive(const struct guard_input *in)
{
    unsigned flags = in->plan ? in->plan->flags : in->a ? in->a->type->flags : 0;

    return flags & (ACTION_DESTRUCTIVE | ACTION_IRREVERSIBLE);
}

static enum verdict_kind budget(const struct guard_input *in, struct buf *why)
{
    enum verdict_kind v =
        check_rate(in, in->e->o.budget, "agent", NULL, NULL, "the agent's budget", why);

    /* Only the plan tells whether it is destructive: scaling out is not, scaling in is. */
    if (v == GUARD_ALLOW && in->plan && destructive(in))
        v = check_rate(in, in->e->o.budget_destructive, "destructive", NULL, NULL,
                       "the agent's budget of destructive actions", why);
    return v;
}

static int allowed_of(const struct policy *p, size_t listed)
{
    int n = p->max_targets ? p->max_targets : (int)((double)listed * p->max_targets_percent / 100);

    return n < 1 ? 1 : n;
}

/* How many distinct targets this policy may act on within the hour: of those listed last. */
static int radius(const struct guard_input *in, size_t *listed)
{
    const struct estate *estate = in->e->estate;
    int then, now_;
    size_t n = 0;

    for (size_t k = 0; k < estate_len(estate); k++)
        n += estate_at(estate, k)->listed != LISTED_ABSENT &&
             selector_match(&today(in)->target, estate_at(estate, k));
    *listed = n;
    then = allowed_of(in->p, n);
    now_ = allowed_of(today(in), n);
    return then < now_ ? then : now_;
}

/* M7: what was found is acted on while the last complete listing has it, and no longer. */
static enum verdict_kind listing(const struct guard_input *in, struct buf *why)
{
    const struct target *t = estate_find(in->e->estate, in->t->kind, in->t->name);

    if (!t || t->listed == LISTED)
        return GUARD_ALLOW;
    buf_adds(why, listed_why(t->listed));
    return t->listed == LISTED_UNSURE ? GUARD_DEFER : GUARD_DENY;
}

static enum verdict_kind blast_radius(const struct guard_input *in, struct buf *why)
{
    size_t listed;
    int allowed = radius(in, &listed), used;
    const char *mine = estate_domain(in->estate, in->t);
    char *s;

    if (listed == 0) {
        buf_adds(why, "the selector finds no target now: an empty target set refuses");
        return GUARD_DENY;
    }
    s = scope(in, "radius", in->p->name);
    used = token_count(in->e, s, in->t->id, RADIUS_WINDOW_MS);
    mem_free(s);
    if (used >= allowed) {
        buf_addf(why,
                 "%d other target%s of this policy acted on within the hour; max_targets allows %d "
                 "of %zu",
                 used, used == 1 ? "" : "s", allowed, listed);
        return GUARD_DENY;
    }
    for (size_t k = 0; mine && k < in->e->nruns; k++) {
        const struct run *o = in->e->runs[k];
        const char *theirs = estate_domain(o->estate, o->t);
        if (o != in->r && o->acts && !run_over(o) && theirs &&
            strcmp(o->p->name, in->p->name) == 0 && strcmp(theirs, mine) != 0) {
            buf_addf(why, "run %s is at work in %s: one failure domain at a time", o->id, theirs);
            return GUARD_DEFER;
        }
    }
    return GUARD_ALLOW;
}

static enum verdict_kind lock(const struct guard_input *in, struct buf *why)
{
    return in->a && !shadow(in) ? lock_ask(in, why) : GUARD_ALLOW;
}

static const char *headroom_of(const struct run *o)
{
    if (o->act.action && o->act.stage >= ACT_INTENT && o->act.action->type->headroom &&
        *o->act.action->type->headroom)
        return o->act.action->type->headroom;
    if (o->state != RUN_VERIFYING || !o->ndone)
        return NULL;
    for (size_t k = o->ndone; k-- > 0;) {
        const struct declared_action *a = policy_action(o->p, o->done[k].name);
        if (a && a->type->headroom && *a->type->headroom)
            return a->type->headroom;
    }
    return NULL;
}

static enum verdict_kind conflict(const struct guard_input *in, struct buf *why)
{
    const char *mine = in->a->type->headroom;

    for (size_t k = 0; mine && *mine && k < in->e->nruns; k++) {
        const struct run *o = in->e->runs[k];
        const char *theirs = o == in->r || run_over(o) || run_shadow(o) ? NULL : headroom_of(o);
        if (theirs && strcmp(theirs, mine) == 0 && estate_same_service(in->estate, o->t, in->t)) {
            buf_addf(why,
                     "run %s is changing %s of the same service on %s and has not verified it yet",
                     o->id, mine, o->t->id);
            return GUARD_DENY;
        }
    }
    return GUARD_ALLOW;
}

static enum verdict_kind controllers(const struct guard_input *in, struct buf *why)
{
    if (in->a->coexist || json_len(in->plan->controllers) == 0)
        return GUARD_ALLOW;
    buf_adds(why, "another controller is at work: ");
    for (const struct json *c = json_first(in->plan->controllers); c; c = json_next(c))
        buf_addf(why, "%s%s", c == json_first(in->plan->controllers) ? "" : ", ", json_str(c, "?"));
    buf_adds(why, " (coexist = true allows both)");
    return GUARD_DENY;
}

static enum verdict_kind window(const struct guard_input *in, struct buf *why)
{
    struct answer a;

    if (!in->i || !in->i->window ||
        !(in->plan->flags & (ACTION_DISRUPTIVE | ACTION_DESTRUCTIVE | ACTION_IRREVERSIBLE)))
        return GUARD_ALLOW;
    a = bound_eval(in->i->window, now(in->e));
    if (a.value == TRI_TRUE)
        return GUARD_ALLOW;
    buf_addf(why, "outside its change window (%s)",
             a.value == TRI_UNKNOWN ? "the window's condition is unknown" : "closed now");
    return today(in)->outside_wait ? GUARD_DEFER : GUARD_DENY;
}

static enum verdict_kind breaker(const struct guard_input *in, struct buf *why)
{
    if (!in->i || !in->i->breaker_open || shadow(in))
        return GUARD_ALLOW;
    buf_addf(why, "open after %d bad outcomes in a row; runbookctl breaker close %s %s", in->i->bad,
             in->p->name, in->t->id);
    return GUARD_DENY;
}

bool guard_needs_approval(const struct guard_input *in)
{
    enum mode m = in->r ? run_mode(in->r) : effective_mode(in->e, in->p, in->t);
    const struct declared_action *t = policy_action(today(in), in->a->name);

    if (m <= MODE_SHADOW)
        return false;
    if (m == MODE_APPROVE)
        return true; /* M24: each act, its undo included */
    if (in->undo)
        return false;
    if (in->a->type->flags & ACTION_IRREVERSIBLE)
        return true;
    if ((in->plan ? in->plan->flags : in->a->type->flags) & ACTION_DESTRUCTIVE &&
        !in->a->type->can_probe)
        return true;
    if (!in->a->approval_required && !(t && t->approval_required))
        return false;
    /* An exception that one of the two versions does not make is none (M23). */
    if ((in->a->approval_required && !in->a->approval_unless) ||
        (t && t->approval_required && !t->approval_unless))
        return true;
    for (size_t k = 0; in->i && k < in->i->p->nactions; k++)
        if (in->i->unless[k] && strcmp(in->i->p->actions[k].name, in->a->name) == 0)
            return bound_eval(in->i->unless[k], now(in->e)).value !=
                   TRI_TRUE; /* unknown means approval */
    return true;
}

static enum verdict_kind approval(const struct guard_input *in, struct buf *why)
{
    if (in->r || !guard_needs_approval(in))
        return GUARD_ALLOW; /* a run asks and waits; this only explains */
    buf_adds(why, "a human has to approve the plan");
    return GUARD_DEFER;
}

static enum verdict_kind preconditions(const struct guard_input *in, struct buf *why)
{
    const char *broken = plan_broken(in->plan);

    if (!broken)
        return GUARD_ALLOW;
    buf_adds(why, broken);
    return GUARD_DENY;
}

/* The order is part of the design: the first that does not allow decides, and explain shows all. */
enum { BEFORE = 1, WITH_PLAN = 2 };
static const struct guard {
    const char *name;
    enum verdict_kind (*ask)(const struct guard_input *in, struct buf *why);
    unsigned when; /* it is asked */
    bool for_undo; /* M19: undo skips the others, never these */
} guards[] = {
    {"freeze", freeze, BEFORE, true},
    {"mode", mode, BEFORE, true},
    {"silence", silence, BEFORE, false},
    {"storm", storm, BEFORE, true},
    {"inhibition", inhibition, BEFORE, false},
    {"data", data, BEFORE, false},
    {"listing", listing, BEFORE | WITH_PLAN, true},
    {"cooldown", cooldown, BEFORE, false},
    {"rate per target", rate_target, BEFORE, false},
    {"rate per policy", rate_policy, BEFORE, false},
    {"budget", budget, BEFORE | WITH_PLAN, false},
    {"blast radius", blast_radius, BEFORE, false},
    {"lock", lock, BEFORE | WITH_PLAN, true},
    {"conflict", conflict, WITH_PLAN, true},
    {"other controllers", controllers, WITH_PLAN, true},
    {"window", window, WITH_PLAN, false},
    {"breaker", breaker, WITH_PLAN, false},
    {"approval", approval, WITH_PLAN, true},
    {"preconditions", preconditions, WITH_PLAN, true},
};

enum verdict_kind guard_ask(const struct guard_input *in, bool only_planned, const char **guard,
                            struct buf *why)
{
    if (in->e->journal_bad || in->e->w->journal->ops->stalled(in->e->w->journal)) {
        *guard = "journal";
        buf_adds(why, "the journal cannot be written");
        return GUARD_DEFER;
    }
    for (size_t k = 0; k < sizeof(guards) / sizeof(guards[0]); k++) {
        enum verdict_kind v;
        if (!(guards[k].when & (only_planned ? WITH_PLAN : BEFORE)) ||
            (in->undo && !guards[k].for_undo))
            continue;
        v = guards[k].ask(in, why);
        if (v == GUARD_ALLOW)
            continue;
        *guard = guards[k].name;
        return v;
    }
    return GUARD_ALLOW;
}

struct json *guard_explain(const struct guard_input *in)
{
    static const char *const words[] = {"allow", "defer", "deny"};
    struct json *list = json_new_list();

    for (size_t k = 0; k < sizeof(guards) / sizeof(guards[0]); k++) {
        struct json *g = json_add(list, json_new_map());
        struct buf why;
        json_set_str(g, "guard", guards[k].name);
        if (guards[k].when == WITH_PLAN && (!in->plan || !in->a)) {
            json_set_str(g, "verdict", "later");
            json_set_str(g, "why", "known once the act is planned");
            continue;
        }
        buf_init(&why, 1024);
        json_set_str(g, "verdict", words[guards[k].ask(in, &why)]);
        json_set_str(g, "why", buf_str(&why));
        buf_free(&why);
    }
    return list;
}

/* Tokens: what an intent takes, in its own transaction */

struct taking {
    struct jtx *tx; /* NULL: only the mirror */
    struct engine *e;
    bool back;
};

static void one(struct taking *t, char *scope_, const char *item, int max, int64_t window_ms)
{
    if (t->tx && t->back) {
        jtx_give_back(t->tx, scope_, item);
        token_drop(t->e, scope_, item);
    } else if (t->tx)
        jtx_take(t->tx, scope_, item, max, window_ms);
    else
        token_add(t->e, scope_, item);
    mem_free(scope_);
}

static void rates(const struct guard_input *in, struct taking *t, const char *what, const char *who,
                  struct rate then, struct rate now_)
{
    if (then.n)
        one(t, scope(in, what, who), in->r->id, then.n, then.per_ms);
    if (now_.n && !same_rate(then, now_))
        one(t, scope(in, what, who), in->r->id, now_.n, now_.per_ms);
}

static void each_token(const struct guard_input *in, struct taking *t, const char *item)
{
    char *who = instance_name(in);
    bool free_ = in->undo, first = in->r->acts == 0;
    size_t listed;

    /* limit and policy_limit are taken once a run: the run is the item, so a second take is free.
     * An undo is counted, never refused (M11, M19). */
    if (!free_ && (!t->back || first)) {
        rates(in, t, "limit", who, in->p->limit, today(in)->limit);
        rates(in, t, "policy", in->p->name, in->p->policy_limit, today(in)->policy_limit);
    }
    one(t, scope(in, "agent", NULL), item, free_ ? -1 : in->e->o.budget.n, in->e->o.budget.per_ms);
    if (destructive(in))
        one(t, scope(in, "destructive", NULL), item, free_ ? -1 : in->e->o.budget_destructive.n,
            in->e->o.budget_destructive.per_ms);
    if (!t->back) /* not given back: the target may have been touched by an earlier run within the
                     hour */
        one(t, scope(in, "radius", in->p->name), in->t->id, free_ ? -1 : radius(in, &listed),
            RADIUS_WINDOW_MS);
    mem_free(who);
}

void guard_take(const struct guard_input *in, struct jtx *tx, const char *item)
{
    struct taking t = {tx, in->e, false};

    each_token(in, &t, item);
}

void guard_took(const struct guard_input *in, const char *item)
{
    struct taking t = {NULL, in->e, false};

    each_token(in, &t, item);
}

void guard_give_back(const struct guard_input *in, struct jtx *tx, const char *item)
{
    struct taking t = {tx, in->e, true};

    each_token(in, &t, item);
}
