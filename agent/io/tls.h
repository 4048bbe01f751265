/* TLS contexts for what curl and libpq do not carry (Redis, our HTTP server), and a handshake that reports a certificate. */
#ifndef RB_IO_TLS_H
#define RB_IO_TLS_H

#include <stdint.h>
#include "io/loop.h"
#include "io/resolve.h"

struct ssl_ctx_st;
struct ssl_ctx_st *tls_client(const char *ca_file, const char *cert, const char *key, struct err *e); /* TLS 1.2 and up, verifies; NULL on error */
struct ssl_ctx_st *tls_server(const char *cert, const char *key, const char *client_ca, struct err *e);
void tls_free(struct ssl_ctx_st *ctx); /* NULL is fine; connections made with it keep what they need */

/* Connects, verifies the chain and the host name, reports when the first certificate of the chain ends; for certificate signals. One callback, never from
 * inside. With an error not_after_wall_ms is still told where a leaf was seen (expired, not trusted: ERR_AUTH), else 0. */
typedef void tls_probe_fn(void *arg, int64_t not_after_wall_ms, const struct err *e);
struct tls_probe;
struct tls_probe *tls_probe(struct loop *l, struct resolver *r, const char *host, int port, const char *ca_file, int64_t deadline_ms,
                            tls_probe_fn *fn, void *arg);
void tls_probe_cancel(struct tls_probe *p);

#endif
