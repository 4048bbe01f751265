/* Calls to AWS: a client for one account and region that signs, sends, reads, and tries again. */
#ifndef RB_AWS_CALL_H
#define RB_AWS_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include "aws/credentials.h"
#include "aws/query.h"
#include "aws/retry.h"
#include "aws/service.h"
#include "base/json.h"
#include "base/xml.h"
#include "io/http.h"
#include "io/loop.h"

struct aws;
struct aws_call;

struct aws_options {
    struct loop *loop;
    struct http *http;
    const char *name;     /* for logs and errors, as in the estate: "prod"; NULL: "aws" */
    const char *region;   /* NULL: AWS_REGION, AWS_DEFAULT_REGION, then the profile's */
    const char *endpoint; /* every service is there, for stand-ins; NULL: see aws_service_url */
    const char *ca_file;  /* what the services' certificates are checked against; NULL: http's own */
    const char *profile, *role, *external_id, *session_name; /* see struct aws_provider_options */
};

/* Copies all of o but loop and http; makes its own provider of credentials, which it asks at the
 * first call. NULL on error: no region, a URL that is none. aws_free ends what is in flight,
 * without a callback. */
struct aws *aws_new(const struct aws_options *o, struct err *e);
void aws_free(struct aws *a);

const char *aws_region(const struct aws *a);
struct aws_provider *aws_provider(struct aws *a); /* for RDS tokens */
int64_t aws_wall_ms(const struct aws *a); /* our clock, corrected by what AWS's answers showed */

struct aws_request {
    enum aws_service service;
    const char *action;              /* "SetDesiredCapacity" */
    const struct aws_params *params; /* of a query service; NULL: none */
    const struct json *body;         /* of a JSON service; NULL: {} */
    bool mutating;       /* is sent on a fresh connection and again only where that is safe */
    int64_t deadline_ms; /* over all attempts, keys and delays included; 0: 30 s */
    int64_t attempt_ms;  /* of one attempt; 0: 10 s */
    const struct aws_keys *keys; /* copied; sign with these and no others; NULL: the client's */
    bool anonymous;              /* do not sign (AssumeRoleWithWebIdentity) */
};

struct aws_answer {
    enum aws_outcome outcome;
    const struct xml
        *xml; /* of AWS_OK in query: the root, "...Response"; lives during the callback */
    const struct json *json; /* of AWS_OK in JSON */
    int status;              /* HTTP's; 0: no answer */
    const char *code;        /* AWS's error code, "" if there is none */
    const char *request_id;  /* "" if unknown */
    int attempts;            /* how often it was sent */
};

/* Exactly one callback, never from inside aws_send. e is NULL exactly if the outcome is AWS_OK,
 * else it says service, action, region, code, message and request id. Params and body are read at
 * once and may be freed after. */
typedef void aws_fn(void *arg, const struct aws_answer *a, const struct err *e);
struct aws_call *aws_send(struct aws *a, const struct aws_request *r, aws_fn *fn, void *arg);
void aws_cancel(
    struct aws_call *c); /* no callback after; a mutating call may have been carried out */

#endif
