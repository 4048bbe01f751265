/* HTTP requests over libcurl's multi interface on our loop; names come from io/resolve. */
#ifndef RB_IO_HTTP_H
#define RB_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include "io/loop.h"
#include "io/resolve.h"

struct http;
struct http_call;

/* ca_file: NULL for the system's bundle. */
struct http *http_new(struct loop *l, struct resolver *r, const char *ca_file, struct err *e);
void http_free(struct http *h);

struct http_header {
    const char *name, *value;
};

struct http_request {
    const char *method; /* GET, POST, PUT */
    const char *url;    /* http or https; nothing else, no redirects are followed */
    const struct http_header *headers;
    size_t nheaders;
    const void *body; /* copied */
    size_t body_len;
    bool mutating;      /* a fresh connection that is not kept: libcurl resends a POST silently on a reused one that was closed */
    int64_t connect_ms; /* 0: 3 s */
    int64_t total_ms;   /* 0: 10 s; includes the name */
    size_t max_body;    /* 0: 16 MiB; a larger answer is ERR_LIMIT */
    bool by_status;     /* the status is all that counts: once it is there, it is the answer, with what came of the body below max_body */
    const char *ca_file, *client_cert, *client_key; /* NULL: the default, none */
};

struct buf;

struct http_answer {
    int status; /* 0: there is none, see err */
    const char *body; /* NUL-terminated, valid during the callback */
    size_t body_len;
    /* False only when it is proven that no byte of the request left: name, connect, TLS failed. True with an err means: in doubt. */
    bool request_left;
    bool no_address; /* with an err: it ended before the name was looked up; the server was not asked */
    const struct buf *headers; /* for http_answer_header; NULL: none */
};

/* Exactly one callback, never from inside http_send; the call is gone once its callback has begun. e is NULL or says which URL (without its query),
 * phase and what. Any answer that arrived whole is e == NULL, whatever its status. a is never NULL. */
typedef void http_fn(void *arg, const struct http_answer *a, const struct err *e);
struct http_call *http_send(struct http *h, const struct http_request *req, http_fn *fn, void *arg);
void http_cancel(struct http_call *c); /* no callback after */

const char *http_answer_header(const struct http_answer *a, const char *name); /* case-insensitive; NULL if absent */
long http_retry_after_s(const struct http_answer *a, int64_t wall_ms); /* seconds from Retry-After (number or date), -1 without */

#endif
