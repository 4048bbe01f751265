/* Where keys come from: environment, profile, web identity, container, instance; and keeping them
 * fresh. */
#ifndef RB_AWS_CREDENTIALS_H
#define RB_AWS_CREDENTIALS_H

#include <stdint.h>
#include "aws/sigv4.h"
#include "base/err.h"
#include "io/http.h"
#include "io/loop.h"

struct aws_provider;
struct aws_keys_wait;

struct aws_provider_options {
    struct loop *loop;
    struct http *http;
    const char *profile; /* that profile, environment keys not looked at; NULL: the usual order */
    const char *role;    /* ARN to be assumed on top of what was found; NULL: none */
    const char *external_id;  /* for that role; NULL: none */
    const char *session_name; /* for that role; NULL: "runbookd" */
    const char *region;       /* whose STS is asked */
    const char *endpoint;     /* STS's; NULL: see aws_service_url */
    const char *ca_file;      /* what STS's certificate is checked against; NULL: http's own */
};

/* Copies all strings. Nothing is looked up before the first aws_credentials_get. */
struct aws_provider *aws_provider_new(const struct aws_provider_options *o, struct err *e);
void aws_provider_free(struct aws_provider *p); /* drops waiters without a callback */

/* Gives keys that are good for at least some minutes, fetching them if need be; keys live during
 * the callback. Exactly one callback, never from inside. On error e says which source failed and
 * what to do. All who wait share one fetch.
 *
 * Keys with an end are fetched again 15 minutes before it in the background, and from 10 minutes
 * before it callers wait for that (of keys that live less than an hour: a quarter and a sixth of
 * their life). While fetching fails, keys are handed out until they end. */
typedef void aws_keys_fn(void *arg, const struct aws_keys *keys, const struct err *e);
struct aws_keys_wait *aws_credentials_get(struct aws_provider *p, aws_keys_fn *fn, void *arg);
void aws_credentials_cancel(struct aws_keys_wait *w); /* no callback after */

/* AWS refused these keys as expired or unknown: the next get fetches anew, if they are still ours.
 */
void aws_credentials_reject(struct aws_provider *p, const char *access_key);

/* Where the current keys came from: "environment", "profile prod, role arn:..."; "none yet". */
const char *aws_provider_source(const struct aws_provider *p);

#endif
