/* Errors as AWS sends them, in the shapes of all its protocols. */
#ifndef RB_AWS_FAULT_H
#define RB_AWS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include "aws/service.h"

struct aws_fault {
    bool known;        /* the body (or header) was one of AWS's own shapes */
    char code[96];     /* "ValidationError", as on the wire, without namespace; "" if not known */
    char message[512]; /* AWS's words; of an unknown body what it looks like */
    char request_id[96];
};

/* error_type and request_id are the headers X-Amzn-ErrorType and x-amzn-RequestId, or NULL.
 * Anything may be in body: HTML, nothing, half an XML. */
void aws_fault_read(struct aws_fault *f, enum aws_protocol protocol, const char *error_type,
                    const char *request_id, const char *body, size_t len);

#endif
