/* The two ways into the journal: what happened is written until it is durable; what is about to
 * happen is tried once. */
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "engine/internal.h"

struct jtx *commit_new(struct engine *e)
{
    return jtx_new(now(e), wall(e));
}

/* A copy, because the journal owns what it is given and a failed commit is tried again. Only puts,
 * tokens and sources are ever owed. */
static struct jtx *copy(const struct jtx *tx)
{
    struct jtx *c = jtx_new(tx->now_ms, tx->wall_ms);

    for (size_t k = 0; k < tx->nops; k++) {
        const struct jop *op = &tx->ops[k];
        switch (op->op) {
        case JOP_PUT:
            jtx_put(c, op->kind, op->key, json_copy(op->doc), op->open);
            break;
        case JOP_TAKE:
            jtx_take(c, op->scope, op->item, op->max, op->window_ms);
            break;
        case JOP_GIVE_BACK:
            jtx_give_back(c, op->scope, op->item);
            break;
        case JOP_SOURCE:
            jtx_source(c, op->key, json_copy(op->doc));
            break;
        case JOP_SAMPLES:
            break;
        }
    }
    return c;
}

/* Intents behind a commit that cannot be made are not made either: what they stand on is not
 * durable. */
static void fail_intents(struct engine *e, const struct err *err)
{
    struct owed **at = e->owed ? &e->owed->next : NULL, *failed = NULL, **end = &failed;

    while (at && *at) {
        struct owed *o = *at;
        if (!o->once) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        o->next = NULL;
        *end = o;
        end = &o->next;
    }
    e->owed_tail = &e->owed;
    while (*e->owed_tail)
        e->owed_tail = &(*e->owed_tail)->next;
    while (failed) {
        struct owed *o = failed;
        failed = o->next;
        o->fn(o->arg, NULL, err);
        jtx_free(o->tx);
        mem_free(o);
    }
}

static void cannot_write(struct engine *e, const struct err *err)
{
    if (!e->journal_bad) {
        struct buf text;
        buf_init(&text, 1024);
        buf_addf(&text,
                 "runbookd on %s cannot write its journal: %s. It does nothing until it can.",
                 e->host, err->text);
        log_error("journal", "%s", buf_str(&text));
        e->w->ops->emergency(e->w, buf_str(&text));
        buf_free(&text);
    }
    e->journal_bad = true;
    e->owed_again_ms = now(e) + COMMIT_AGAIN_MS;
    fail_intents(e, err);
    engine_schedule(e);
}

static void owed_done(void *arg, const char *denied_scope, const struct err *err)
{
    struct engine *e = arg;
    struct owed *o = e->owed; /* completions come in order, and one is out at a time */

    o->sent = false;
    if (o->once && err && err->code && err->code != ERR_DENIED)
        log_error("journal", "an intent could not be written: %s; nothing is done", err->text);
    if (!o->once && err && err->code) {
        cannot_write(e, err);
        return;
    }
    if (e->journal_bad && !(err && err->code)) {
        e->journal_bad = false;
        log_info("journal", "it can be written again; nothing was lost");
    }
    e->owed = o->next;
    if (!e->owed)
        e->owed_tail = &e->owed;
    if (!(err && err->code))
        report_deliver(e, o->tx);
    if (o->fn)
        o->fn(o->arg, denied_scope, err);
    jtx_free(o->tx);
    mem_free(o);
    commit_again(e);
    engine_wake(e);
}

void commit_again(struct engine *e)
{
    if (!e->owed || e->owed->sent)
        return;
    e->owed->sent = true;
    e->owed_again_ms = NEVER;
    e->w->journal->ops->submit(e->w->journal, copy(e->owed->tx), owed_done, e);
}

static void append(struct engine *e, struct jtx *tx, journal_fn *fn, void *arg, bool once)
{
    struct owed *o = mem_alloc(sizeof(*o));

    o->tx = tx;
    o->fn = fn;
    o->arg = arg;
    o->once = once;
    *e->owed_tail = o;
    e->owed_tail = &o->next;
    if (e->owed == o || e->owed_again_ms == NEVER)
        commit_again(e);
}

void commit_owed(struct engine *e, struct jtx *tx, journal_fn *fn, void *arg)
{
    append(e, tx, fn, arg, false);
}

/* In the same order as all else: a run that was ended in favour of this one is over in the journal
 * before the intent is. */
void commit_intent(struct engine *e, struct jtx *tx, journal_fn *fn, void *arg)
{
    append(e, tx, fn, arg, true);
}

bool commit_pending(const struct engine *e)
{
    return e->owed && !e->journal_bad;
}
