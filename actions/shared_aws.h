/* How actions speak with AWS: some questions at once for observe, one mutating request for apply.
 */
#ifndef RB_ACTIONS_SHARED_AWS_H
#define RB_ACTIONS_SHARED_AWS_H

#include "aws/call.h"
#include "plugin/action.h"

struct pg_rows;

/* One question of an observation. Lists are asked for page by page. */
struct aws_question {
    enum aws_service service;
    const char *action; /* "DescribeDBProxies"; the answer is in ACTIONResult */
    const char *page;   /* its parameter of pages: "Marker"; NULL: it has none */
    const char *next;   /* where the answer has it; NULL: as `page` */
    const char *absent; /* this error is an answer, too: nothing is there; NULL: none is */
    /* Asked after this one, by what it has seen; NULL: nothing is. */
    const struct aws_question *then;
    void (*ask)(const struct action_call *c, const struct json *seen, struct aws_params *p);
    /* Takes a page into what is seen; *e where it makes no sense. */
    void (*take)(const struct action_call *c, const struct xml *result, struct json *seen,
                 struct err *e);
};

/* A statement for a PostgreSQL server beside them: read-only, one row. */
struct pg_question {
    const struct target *server;
    const char *sql;
    void (*take)(const struct action_call *c, const struct pg_rows *rows, struct json *seen,
                 struct err *e);
    /* Where there is no answer; NULL: then nothing was seen at all. */
    void (*failed)(const struct action_call *c, struct json *seen, const struct err *e);
};

/* A whole number into what is seen; nothing where it is none, or NULL. */
void aws_see_int(struct json *seen, const char *key, const char *text);

/* Observes: asks all of it at once in that account (and pg, unless NULL), then observed() with what
 * was seen, or with the first error. complete, unless NULL, has the last word. Nothing to ask: seen
 * as it is. Owns seen. */
void aws_observe(struct action_call *c, const char *account, const struct aws_question *questions,
                 size_t n, const struct pg_question *pg, struct json *seen,
                 void (*complete)(const struct action_call *c, struct json *seen, struct err *e));

/* Applies the call: sends its "args" as they stand, then applied(). With an "if" in it
 * (plan_call_if) that question is asked first, each has half of the time, and the request is only
 * sent if `still` says true of the answer; else it sets *e to why not. Owns out, the outputs of a
 * success. */
void aws_apply(struct action_call *c, const char *account,
               bool (*still)(const struct json *call, const struct xml *answer, struct err *e),
               struct json *out);

/* A request whose answer was lost may still be on its way: so long after the plan was made the old
 * value proves nothing. */
#define AWS_STILL_ON_ITS_WAY_MS 30000

/* The cancel of both. */
void aws_act_cancel(struct action_call *c);

#endif
