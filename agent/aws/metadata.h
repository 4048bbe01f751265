/* One question to a metadata service (an instance's, a container's), asked up to three times. */
#ifndef RB_AWS_METADATA_H
#define RB_AWS_METADATA_H

#include <stddef.h>
#include "base/err.h"
#include "io/http.h"
#include "io/loop.h"

struct aws_metadata;

struct aws_question {
    const char *method, *url;
    const char *header, *value; /* one header more; NULL: none */
    int64_t total_ms;           /* of one attempt */
};

/* body: NUL-terminated, not empty, during the callback; NULL with e. Exactly one callback, never
 * from inside aws_metadata_ask. Copies q. */
typedef void aws_metadata_fn(void *arg, const char *body, size_t len, const struct err *e);
struct aws_metadata *aws_metadata_ask(struct loop *l, struct http *h, const struct aws_question *q,
                                      aws_metadata_fn *fn, void *arg);
void aws_metadata_cancel(struct aws_metadata *m); /* NULL is fine; no callback after */

#endif
