/* The agent's HTTP listener: health, metrics, and alerts of other monitors. */
#ifndef RB_SERVE_WEB_H
#define RB_SERVE_WEB_H

#include "io/httpd.h"
#include "serve/receive.h"

struct web;

struct web_options {
    struct loop *loop;
    const char *listen;
    struct receiver *receiver;
    struct json *(*numbers)(void *arg); /* what metrics are made of; the caller frees */
    const char *(*ill)(void *arg);      /* NULL: in health; else why not */
    void *arg;
};

struct web *web_listen(const struct web_options *o, struct err *e);
void web_free(struct web *w);

#endif
