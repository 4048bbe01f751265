/* Marking: a row is written anew each time a sink is done with it, and closed with the last. A
 * crash before that sends the report once more, to that sink only. */
#include "report/letter.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct letter {
    struct letters *of;
    char *row;
    struct json *doc;
    size_t sinks; /* not done with it yet */
    bool left;    /* one of them gets it after a restart */
    bool changed; /* since what was last sent to the journal */
    bool in_flight;
    size_t nadds;              /* of adds, in flight */
    struct json *adds;         /* further reports for the same transaction, by row; NULL: none */
    struct letter *next, **at; /* where it hangs in the list */
};

struct letters {
    struct letters_options o;
    struct letter *list;
    struct loop_timer *again;
    size_t open;
    int in_flight;
    bool dead;
};

static void letter_free(struct letter *m)
{
    mem_free(m->row);
    json_free(m->adds);
    json_free(m->doc);
    mem_free(m);
}

static void drop(struct letter *m)
{
    *m->at = m->next;
    if (m->next)
        m->next->at = m->at;
    if (m->row)
        m->of->open--;
    letter_free(m);
}

static void mark_done(void *arg, const char *denied, const struct err *e);

static void mark(struct letter *m)
{
    struct letters *l = m->of;
    struct jtx *tx;

    if (!m->row || m->in_flight)
        return;
    tx = jtx_new(l->o.now_ms(l->o.arg), loop_wall_ms(l->o.loop));
    m->in_flight = true;
    m->changed = false;
    l->in_flight++;
    jtx_put(tx, "report", m->row, json_copy(m->doc), m->sinks > 0 || m->left);
    for (const struct json *a = json_first(m->adds); a; a = json_next(a))
        jtx_put(tx, "report", json_key(a), json_copy(a), true);
    m->nadds = json_len(m->adds);
    l->o.journal->ops->submit(l->o.journal, tx, mark_done, m);
}

static void mark_done(void *arg, const char *denied, const struct err *e)
{
    struct letter *m = arg;
    struct letters *l = m->of;
    struct json *adds;
    size_t n, k;

    (void)denied;
    l->in_flight--;
    m->in_flight = false;
    if (l->dead) {
        letter_free(m);
        if (l->in_flight == 0)
            mem_free(l);
        return;
    }
    if (e && e->code) {
        log_warn("report",
                 "%s cannot be marked as delivered, it may go out once more after a restart: %s",
                 m->row, e->text);
        m->changed = true;
        loop_timer_set(l->again, l->o.again_ms);
        return;
    }
    adds = m->adds;
    n = m->nadds;
    m->adds = NULL;
    k = 0;
    for (const struct json *a = json_first(adds); a; a = json_next(a))
        if (k++ >= n) /* came meanwhile: with the next mark */
            letter_adds(m, json_key(a), json_copy(a));
    if (m->changed)
        mark(m);
    else if (m->sinks == 0)
        drop(m);
    for (const struct json *a = json_first(adds); a && n > 0; a = json_next(a), n--)
        l->o.added(l->o.owner, json_key(a), a);
    json_free(adds);
}

static void on_again(void *arg)
{
    struct letters *l = arg;

    for (struct letter *m = l->list; m; m = m->next)
        if (m->changed)
            mark(m);
}

/* One done or left; the last lets a letter go that nothing has to be written of. */
static void settle(struct letter *m)
{
    m->sinks--;
    if (m->changed)
        mark(m);
    else if (m->sinks == 0 && !m->in_flight)
        drop(m);
}

void letter_ends(struct letter *m, const char *sink, const char *outcome, int attempts,
                 const char *text)
{
    struct json *d = json_get_mut(m->doc, "delivery"), *sinks, *one;
    bool dead = strcmp(outcome, "dead") == 0 || strcmp(json_get_str(d, "worst", ""), "dead") == 0;

    if (!d) {
        d = json_set(m->doc, "delivery", json_new_map());
        json_set(d, "sinks", json_new_map());
    }
    json_set_str(d, "worst", dead ? "dead" : "delivered");
    json_set_str(d, "outcome", m->sinks > 1 || m->left ? "waiting" : dead ? "dead" : "delivered");
    json_set_int(d, "wall_ms", loop_wall_ms(m->of->o.loop));
    sinks = json_get_mut(d, "sinks");
    one = json_set(sinks, sink, json_new_map());
    json_set_str(one, "outcome", outcome);
    json_set_int(one, "attempts", attempts);
    json_set_int(one, "wall_ms", loop_wall_ms(m->of->o.loop));
    if (text)
        json_set_str(one, "text", text);
    m->changed = m->row != NULL;
    settle(m);
}

void letter_leaves(struct letter *m)
{
    m->left = true;
    settle(m);
}

void letter_adds(struct letter *m, const char *row, struct json *report)
{
    if (!m->adds)
        m->adds = json_new_map();
    json_set(m->adds, row, report);
}

const char *letter_ended(const struct json *report, const char *sink)
{
    return json_get_str(json_get(json_get(json_get(report, "delivery"), "sinks"), sink), "outcome",
                        NULL);
}

struct letter *letter_new(struct letters *l, const char *row, const struct json *report,
                          size_t sinks)
{
    struct letter *m = mem_alloc(sizeof(*m));

    m->of = l;
    m->row = mem_strdup(row);
    m->doc = json_copy(report);
    m->sinks = sinks;
    m->next = l->list;
    m->at = &l->list;
    if (m->next)
        m->next->at = &m->next;
    l->list = m;
    if (row)
        l->open++;
    if (sinks == 0)
        mark(m);
    return m;
}

const char *letter_row(const struct letter *m)
{
    return m->row;
}

const struct json *letter_report(const struct letter *m)
{
    return m->doc;
}

struct json *letter_copy(const struct letter *m)
{
    struct json *d = json_copy(m->doc);

    json_remove(d, "delivery");
    return d;
}

size_t letters_open(const struct letters *l)
{
    return l->open;
}

struct letters *letters_new(const struct letters_options *o)
{
    struct letters *l = mem_alloc(sizeof(*l));

    l->o = *o;
    l->again = loop_timer_new(o->loop, on_again, l);
    return l;
}

void letters_free(struct letters *l)
{
    loop_timer_free(l->again);
    l->dead = true;
    for (struct letter *m = l->list, *next; m; m = next) {
        next = m->next;
        if (!m->in_flight)
            letter_free(m); /* the others are freed by their completion */
    }
    if (l->in_flight == 0)
        mem_free(l);
}

void letter_about(struct json *to, const struct json *report)
{
    static const char *const fields[] = {"target", "policy", "owner", "doc", "run"};

    for (size_t k = 0; k < sizeof(fields) / sizeof(*fields); k++) {
        const char *value = json_get_str(report, fields[k], "");
        size_t n = 0;

        while (value[n] > ' ' && value[n] < 127)
            n++;
        if (n > 0 && n <= 200 && value[n] == '\0')
            json_set_str(to, fields[k], value);
    }
}
