/* How actions speak with AWS: some questions at once, or one mutating request. */
#include "shared_aws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/loop.h"
#include "io/pg.h"

#define PAGES_MAX 20
#define STATEMENT_MAX_MS 10000

struct asked {
    struct talk *talk;
    const struct aws_question *q;
    struct aws_call *call;
    char *token;
    int pages;
};

/* What is in flight for one action_call: an observation or an application. */
struct talk {
    struct action_call *c;
    struct aws *aws;
    struct asked *asked;
    size_t n, open;
    struct pg_question pg_question;
    struct pg *pg;
    struct json *seen;
    void (*complete)(const struct action_call *c, struct json *seen, struct err *e);
    struct aws_call *request; /* apply's, or the question before it */
    bool (*still)(const struct json *call, const struct xml *answer, struct err *e);
    int64_t deadline_ms;
    struct json *out;
    struct loop_timer *later; /* to end from outside the call */
    struct err err;           /* the first */
};

static struct talk *talk_new(struct action_call *c)
{
    struct talk *t = mem_alloc(sizeof(*t));

    t->c = c;
    c->state = t;
    return t;
}

static void talk_free(struct talk *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->asked[i].call != NULL)
            aws_cancel(t->asked[i].call);
        mem_free(t->asked[i].token);
    }
    if (t->request != NULL)
        aws_cancel(t->request);
    if (t->pg != NULL)
        pg_forget(t->pg, t);
    loop_timer_free(t->later);
    json_free(t->seen);
    json_free(t->out);
    mem_free(t->asked);
    t->c->state = NULL;
    mem_free(t);
}

void aws_act_cancel(struct action_call *c)
{
    if (c->state != NULL)
        talk_free(c->state);
}

static void keep(struct talk *t, const struct err *e)
{
    if (t->err.code == 0 && e->code != 0)
        t->err = *e;
}

/* Observing */

void aws_see_int(struct json *seen, const char *key, const char *text)
{
    char *end = NULL;
    long v = text != NULL ? strtol(text, &end, 10) : 0;

    if (text != NULL && end != text && *end == '\0')
        json_set_int(seen, key, v);
}

static void observed(struct talk *t)
{
    struct action_call *c = t->c;
    struct json *seen = t->seen;
    struct err e;

    if (t->err.code == 0 && t->complete != NULL)
        t->complete(c, seen, &t->err);
    e = t->err;
    t->seen = NULL;
    talk_free(t);
    if (e.code != 0) {
        json_free(seen);
        seen = NULL;
    }
    c->observed(c, seen, e.code != 0 ? &e : NULL);
}

static void observed_later(void *arg)
{
    observed(arg);
}

static void one_less(struct talk *t)
{
    if (--t->open == 0)
        observed(t);
}

static void ask(struct asked *a);

/* Takes one page in; true when another was asked for. */
static bool take_page(struct asked *a, const struct aws_answer *answer)
{
    struct talk *t = a->talk;
    const struct aws_question *q = a->q;
    struct err bad = ERR_INIT;
    const struct xml *result;
    const char *token = "";
    char name[128];

    snprintf(name, sizeof(name), "%sResult", q->action);
    result = xml_child(answer->xml, name);
    if (result == NULL) {
        err_set(&bad, ERR_INPUT, "%s: the answer has no %s", t->c->target->id, name);
        keep(t, &bad);
        return false;
    }
    q->take(t->c, result, t->seen, &bad);
    keep(t, &bad);
    if (q->page != NULL)
        token = xml_path_text(result, q->next != NULL ? q->next : q->page, "");
    if (*token == '\0' || t->err.code != 0)
        return false;
    if (++a->pages >= PAGES_MAX || (a->token != NULL && strcmp(a->token, token) == 0)) {
        err_set(&bad, ERR_LIMIT, "%s: the pages of %s do not end", t->c->target->id, q->action);
        keep(t, &bad);
        return false;
    }
    mem_free(a->token);
    a->token = mem_strdup(token);
    ask(a);
    return true;
}

static void on_answer(void *arg, const struct aws_answer *answer, const struct err *e)
{
    struct asked *a = arg;
    struct talk *t = a->talk;

    a->call = NULL;
    if (e == NULL) {
        if (take_page(a, answer))
            return;
    } else if (a->q->absent == NULL || strcmp(answer->code, a->q->absent) != 0) {
        keep(t, e);
    }
    if (e == NULL && a->q->then != NULL && t->err.code == 0) {
        mem_free(a->token);
        *a = (struct asked){.talk = t, .q = a->q->then};
        ask(a);
        return;
    }
    one_less(t);
}

static void ask(struct asked *a)
{
    struct talk *t = a->talk;
    struct aws_params *p = aws_params_new();
    struct aws_request r = {.service = a->q->service,
                            .action = a->q->action,
                            .params = p,
                            .deadline_ms = t->c->deadline_ms};

    a->q->ask(t->c, t->seen, p);
    if (a->token != NULL)
        aws_param(p, a->q->page, a->token);
    a->call = aws_send(t->aws, &r, on_answer, a);
    aws_params_free(p);
}

static void no_rows(struct talk *t, const struct err *e)
{
    if (t->pg_question.failed != NULL)
        t->pg_question.failed(t->c, t->seen, e);
    else
        keep(t, e);
}

static void on_rows(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct talk *t = arg;
    struct err bad = ERR_INIT;

    (void)left;
    t->pg = NULL;
    if (e != NULL)
        no_rows(t, e);
    else if (pg_rows_count(rows) != 1)
        err_set(&bad, ERR_INPUT, "%s: the answer has %zu rows in place of one",
                t->pg_question.server->id, pg_rows_count(rows));
    else
        t->pg_question.take(t->c, rows, t->seen, &bad);
    keep(t, &bad);
    one_less(t);
}

static void end_later(struct talk *t, void (*how)(void *))
{
    t->later = loop_timer_new(t->c->io->loop, how, t);
    loop_timer_set(t->later, 0);
}

void aws_observe(struct action_call *c, const char *account, const struct aws_question *questions,
                 size_t n, const struct pg_question *pg, struct json *seen,
                 void (*complete)(const struct action_call *c, struct json *seen, struct err *e))
{
    struct talk *t = talk_new(c);
    int64_t ms = c->deadline_ms < STATEMENT_MAX_MS ? c->deadline_ms : STATEMENT_MAX_MS;

    t->seen = seen;
    t->complete = complete;
    if (n > 0)
        t->aws = c->io->aws(c->io->arg, account, &t->err);
    if (t->err.code == 0 && pg != NULL) {
        struct err e = ERR_INIT;

        t->pg_question = *pg;
        t->pg = c->io->pg(c->io->arg, pg->server, "act", &e);
        if (t->pg == NULL)
            no_rows(t, &e);
    }
    t->open = n + (t->pg != NULL ? 1 : 0);
    if (t->err.code != 0 || t->open == 0) {
        end_later(t, observed_later);
        return;
    }
    t->n = n;
    t->asked = mem_calloc(n, sizeof(*t->asked));
    for (size_t i = 0; i < n; i++) {
        t->asked[i] = (struct asked){.talk = t, .q = &questions[i]};
        ask(&t->asked[i]);
    }
    if (pg != NULL && t->pg != NULL)
        pg_query(t->pg, pg->sql, NULL, 0, ms, on_rows, t);
}

/* Applying */

static void applied(struct talk *t, enum applied how, const struct err *e)
{
    struct action_call *c = t->c;
    struct json *out = how == APPLIED_OK ? t->out : NULL;

    if (how == APPLIED_OK)
        t->out = NULL;
    talk_free(t);
    c->applied(c, how, out, e);
}

static void not_sent(void *arg)
{
    struct talk *t = arg;
    struct err e = t->err;

    applied(t, APPLIED_NOT_SENT, &e);
}

static void on_applied(void *arg, const struct aws_answer *a, const struct err *e)
{
    static const enum applied how[] = {[AWS_OK] = APPLIED_OK,
                                       [AWS_REFUSED] = APPLIED_REFUSED,
                                       [AWS_NOT_SENT] = APPLIED_NOT_SENT,
                                       [AWS_IN_DOUBT] = APPLIED_IN_DOUBT};
    struct talk *t = arg;

    t->request = NULL;
    applied(t, how[a->outcome], e);
}

/* Sends what stands in a plan, {"call", "args"}; false where that is none, with t->err. */
static bool send_as_it_stands(struct talk *t, const struct json *call, bool mutating, aws_fn *fn)
{
    const char *name = json_get_str(call, "call", "");
    const struct json *args = json_get(call, "args");
    struct aws_request r = {.mutating = mutating, .deadline_ms = t->deadline_ms};
    struct aws_params *p;

    r.service = aws_service_of(name, &r.action);
    if (r.service == AWS_SERVICES || *r.action == '\0' || json_len(args) == 0) {
        err_set(&t->err, ERR_BUG, "\"%.60s\" is no call to AWS, or has no arguments", name);
        return false;
    }
    p = aws_params_of(r.service, args);
    r.params = p;
    t->request = aws_send(t->aws, &r, fn, t);
    aws_params_free(p);
    return true;
}

static void on_condition(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct talk *t = arg;
    struct err why = ERR_INIT;

    t->request = NULL;
    if (e != NULL)
        applied(t, APPLIED_NOT_SENT, e);
    else if (!t->still(t->c->call, a->xml, &why))
        applied(t, APPLIED_NOT_SENT, &why);
    else if (!send_as_it_stands(t, t->c->call, true, on_applied))
        not_sent(t);
}

void aws_apply(struct action_call *c, const char *account,
               bool (*still)(const struct json *call, const struct xml *answer, struct err *e),
               struct json *out)
{
    struct talk *t = talk_new(c);
    const struct json *first = json_get(c->call, "if");

    t->out = out;
    t->still = still;
    t->deadline_ms = first != NULL ? c->deadline_ms / 2 : c->deadline_ms;
    t->aws = c->io->aws(c->io->arg, account, &t->err);
    if ((still != NULL) != (first != NULL))
        err_set(&t->err, ERR_BUG, "the call has %s condition", first != NULL ? "a" : "no");
    if (t->aws == NULL || t->err.code != 0 ||
        !(first != NULL ? send_as_it_stands(t, first, false, on_condition)
                        : send_as_it_stands(t, c->call, true, on_applied)))
        end_later(t, not_sent);
}
