/* Observes and applies in flight: started, watched, ended once. */
#include "world/steps.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"

#define GRACE_MS                                                                                   \
    1000 /* an action that keeps its own deadline can say more than we can: it gets to speak first \
          */

struct step {
    struct steps *host;
    uint64_t ticket;
    const struct action_type *type;
    struct action_call call;
    struct estate *estate;
    struct json *opts, *one_call;
    char *token, *name;
    struct loop_timer *deadline;
    bool apply;
    bool running; /* the action has it; it must be ended or cancelled by the action */
    bool ended;
    struct json *result;
    enum applied how;
    struct err e;
    struct step *next;
};

struct steps {
    struct loop *loop;
    struct host_io io;
    struct steps_feed feed;
    struct step *list;
    bool turn_wanted, dead;
};

static void step_free(struct step *s)
{
    if (s->deadline)
        loop_timer_free(s->deadline);
    json_free(s->opts);
    json_free(s->one_call);
    json_free(s->result);
    mem_free(s->token);
    mem_free(s->name);
    estate_unref(s->estate);
    mem_free(s);
}

static void turn(void *arg)
{
    struct steps *h = arg;
    struct step **at = &h->list;

    h->turn_wanted = false;
    while (*at) {
        struct step *s = *at;
        struct json *result = s->result;
        if (!s->ended) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        s->result = NULL;
        if (h->dead || s->ticket == 0)
            json_free(result);
        else if (s->apply)
            h->feed.applied(h->feed.arg, s->ticket, s->how, result, s->e.code ? &s->e : NULL);
        else
            h->feed.observed(h->feed.arg, s->ticket, result, s->e.code ? &s->e : NULL);
        step_free(s);
        at = &h->list; /* the engine may have started or cancelled others */
    }
    if (h->dead)
        mem_free(h);
}

static void want_turn(struct steps *h)
{
    if (h->turn_wanted)
        return;
    h->turn_wanted = true;
    loop_defer(h->loop, turn, h);
}

static void end(struct step *s, struct json *result, const struct err *e)
{
    s->ended = true;
    s->running = false;
    s->result = result;
    s->e = e ? *e : (struct err)ERR_INIT;
    if (s->deadline)
        loop_timer_stop(s->deadline);
    want_turn(s->host);
}

static void on_observed(struct action_call *c, struct json *seen, const struct err *e)
{
    struct step *s = c->arg;

    if (s->ended || s->apply) {
        json_free(seen); /* late: its ticket is gone */
        return;
    }
    end(s, seen, e);
}

static void on_applied(struct action_call *c, enum applied how, struct json *out,
                       const struct err *e)
{
    struct step *s = c->arg;
    struct err unsaid = ERR_INIT;

    if (s->ended || !s->apply) {
        json_free(out);
        return;
    }
    s->how = how;
    if (how != APPLIED_OK && !(e && e->code)) {
        err_set(&unsaid, ERR_IO, "%s did not say why", s->type->name);
        e = &unsaid;
    }
    end(s, out, how == APPLIED_OK ? NULL : e);
}

static void on_deadline(void *arg)
{
    struct step *s = arg;
    struct err e = ERR_INIT;
    char text[UNIT_TEXT];

    if (s->ended)
        return;
    s->running = false;
    s->ended = true; /* whatever it says from here on is too late */
    s->type->cancel(&s->call);
    unit_format_duration(text, sizeof(text), s->call.deadline_ms);
    s->how = APPLIED_IN_DOUBT;
    err_set(&e, ERR_TIMEOUT,
            s->apply ? "no answer within %s; it may have been carried out" : "no answer within %s",
            text);
    log_warn("action", "%s on %s: %s", s->name, s->call.target->id, e.text);
    end(s, NULL, &e);
}

static struct step *step_new(struct steps *h, const struct world_step *w, bool apply)
{
    struct step *s = mem_alloc(sizeof(*s));

    s->host = h;
    s->ticket = w->ticket;
    s->type = w->type;
    s->apply = apply;
    s->estate = estate_ref(w->estate);
    s->opts = json_copy(w->opts);
    s->one_call = w->call ? json_copy(w->call) : NULL;
    s->token = mem_strdup(w->token);
    s->name = mem_strdup(w->name ? w->name : w->type->name);
    s->call = (struct action_call){&h->io,   w->target,      w->estate, s->opts,     s->one_call,
                                   s->token, w->deadline_ms, NULL,      on_observed, on_applied,
                                   s};
    s->deadline = loop_timer_new(h->loop, on_deadline, s);
    s->next = h->list;
    h->list = s;
    return s;
}

void steps_observe(struct steps *h, const struct world_step *w)
{
    struct step *s = step_new(h, w, false);

    s->running = true;
    loop_timer_set(s->deadline, w->deadline_ms + GRACE_MS);
    s->type->observe(&s->call);
}

void steps_apply(struct steps *h, const struct world_step *w)
{
    struct step *s = step_new(h, w, true);
    struct err e = ERR_INIT;

    if (h->feed.frozen(h->feed.arg)) {
        s->how = APPLIED_NOT_SENT;
        err_set(&e, ERR_DENIED, "the agent was frozen before the request left");
        end(s, NULL, &e);
        return;
    }
    s->running = true;
    loop_timer_set(s->deadline, w->deadline_ms + GRACE_MS);
    s->type->apply(&s->call);
}

static void drop(struct step *s)
{
    s->ended = true;
    s->ticket = 0;
    if (s->running) {
        s->running = false;
        s->type->cancel(&s->call);
    }
    loop_timer_stop(s->deadline);
    want_turn(s->host);
}

void steps_cancel(struct steps *h, uint64_t ticket)
{
    for (struct step *s = h->list; s && ticket; s = s->next)
        if (s->ticket == ticket) {
            drop(s);
            return;
        }
}

size_t steps_in_flight(const struct steps *h)
{
    size_t n = 0;

    for (const struct step *s = h->list; s; s = s->next)
        n += !s->ended;
    return n;
}

struct steps *steps_new(struct loop *l, const struct host_io *io, const struct steps_feed *feed)
{
    struct steps *h = mem_alloc(sizeof(*h));

    h->loop = l;
    h->io = *io;
    h->feed = *feed;
    return h;
}

void steps_free(struct steps *h)
{
    if (!h)
        return;
    for (struct step *s = h->list; s; s = s->next)
        drop(s);
    while (h->list) { /* nothing of ours is on the stack, so they can go at once */
        struct step *s = h->list;
        h->list = s->next;
        step_free(s);
    }
    h->dead = true;
    if (!h->turn_wanted)
        mem_free(h);
}
