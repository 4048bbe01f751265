/* An HTTP server over evhttp: small requests, answered at once, with caps on all that the other
 * side can make us hold. */
#ifndef RB_IO_HTTPD_H
#define RB_IO_HTTPD_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "io/loop.h"

struct httpd;
struct evhttp_request;

struct httpd_options {
    const char *listen; /* "127.0.0.1:9117", "[::1]:9117" */
    size_t max_conns;   /* 0: 32; who comes beyond that waits in the kernel */
    size_t max_head;    /* 0: 8 KiB */
    size_t max_body;    /* 0: 1 MiB */
    int64_t idle_ms;    /* 0: 5 s without a byte */
    int64_t total_ms;   /* 0: 15 s for a connection, however slowly it drips */
};

struct httpd_request {
    const char *method; /* GET, HEAD, POST: others are answered 501 or 405 */
    const char *path;   /* without the query, as it was sent */
    const char *body;   /* not NUL-terminated */
    size_t body_len;
    struct evhttp_request *native;
};
const char *httpd_header(const struct httpd_request *r, const char *name); /* NULL if absent */

struct httpd_reply {
    int status;       /* 200 at the start */
    const char *type; /* text/plain at the start */
    struct buf body;
};

/* Fills reply; the connection is closed after it. */
typedef void httpd_fn(void *arg, const struct httpd_request *r, struct httpd_reply *reply);

/* NULL: ERR_INPUT: no such address; ERR_IO: it is taken. */
struct httpd *httpd_listen(struct loop *l, const struct httpd_options *o, httpd_fn *fn, void *arg,
                           struct err *e);
void httpd_free(struct httpd *s);

#endif
