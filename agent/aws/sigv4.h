/* AWS Signature Version 4, as pure functions: headers of a request, and presigned queries. */
#ifndef RB_AWS_SIGV4_H
#define RB_AWS_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

struct aws_keys {
    const char *access_key, *secret_key;
    const char *token; /* the session token; NULL for long-term keys */
};

/* Owned copies of keys; clear wipes and frees what a copy holds. */
void aws_keys_copy(struct aws_keys *to, const struct aws_keys *from);
void aws_keys_clear(struct aws_keys *k);

struct sigv4_header {
    const char *name, *value;
};

struct sigv4_request {
    const char *method;
    const char *host;  /* as in the Host header: with the port where it is not the scheme's own */
    const char *path;  /* as it goes over the wire, encoded; NULL or "" is "/" */
    const char *query; /* as it goes over the wire, encoded, without '?'; NULL for none */
    const struct sigv4_header *headers; /* to be signed beside Host, X-Amz-Date and the token */
    size_t nheaders;
    const void *body;
    size_t body_len;
    const char *service, *region; /* signing names: "autoscaling", "us-east-1" */
};

#define SIGV4_DATE 17 /* 20261122T130243Z and the NUL */

/* Signs Host, X-Amz-Date, X-Amz-Security-Token (where keys have one) and the given headers, except
 * those that a proxy may change (Expect, User-Agent, X-Amzn-Trace-Id). Dot segments and repeated
 * slashes of the path are removed and it is encoded once more, as every service but S3 wants. date
 * is the value for X-Amz-Date, authorization (appended) that of Authorization; the token goes into
 * X-Amz-Security-Token. wall_ms is the time by the server's clock. ERR_LIMIT beyond 1 MiB. */
int sigv4_sign(const struct sigv4_request *r, const struct aws_keys *k, int64_t wall_ms,
               char date[SIGV4_DATE], struct buf *authorization, struct err *e);

/* Appends "HOST/PATH?QUERY&X-Amz-...&X-Amz-Signature=..." without a scheme: the request's own query
 * first, then ours. Signs Host and the given headers, and the hash of the body. */
int sigv4_presign(const struct sigv4_request *r, const struct aws_keys *k, int64_t wall_ms,
                  int expires_s, struct buf *url, struct err *e);

/* The password of an RDS or RDS Proxy login with IAM: valid for 15 minutes, to be made anew for
 * each connection. The caller frees; NULL on error. Source: the RDS guide, "Connecting using IAM".
 */
char *aws_rds_token(const char *host, int port, const char *user, const char *region,
                    const struct aws_keys *k, int64_t wall_ms, struct err *e);

/* Percent-encodes all but A-Z a-z 0-9 - _ . ~ (and '/' if keep_slash), with capital hex digits. */
void aws_uri_encode(struct buf *out, const char *s, size_t len, bool keep_slash);

#endif
