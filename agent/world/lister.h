/* How a kind of target is listed: calls to AWS, each with all of its pages, and what is read from
 * the answers. Pure: sends nothing. */
#ifndef RB_WORLD_LISTER_H
#define RB_WORLD_LISTER_H

#include <stdbool.h>
#include "aws/query.h"
#include "aws/service.h"
#include "base/json.h"
#include "base/xml.h"

struct lister_call {
    enum aws_service service;
    const char *action;
    const char *token_in,
        *token_out;   /* the parameter of the next page, the element that gives it */
    const char *list; /* the element of the result whose members are read */
    void (*ask)(struct aws_params *p, const struct json *row); /* NULL: nothing beside the token */
    bool (*needed)(const struct json *found);                  /* NULL: always */
    /* Adds to found, or completes what is there. ERR_INPUT: this is no whole answer. */
    int (*item)(struct json *found, const struct xml *item, const struct json *row, struct err *e);
};

struct lister {
    const char *kind;
    const struct lister_call *calls; /* one after the other */
    size_t ncalls;
};
const struct lister *lister_find(const char *kind); /* NULL if there is none */

/* One page into found, [{"name", "tag", "fields"}]; *token is the next page's (the caller frees) or
 * NULL at the end. row: the options of the discover, as held. */
int lister_page(const struct lister_call *c, const struct xml *answer, const struct json *row,
                struct json *found, char **token, struct err *e);

#endif
