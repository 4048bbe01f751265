/* A TCP connection over a bufferevent, plain or TLS with the host verified. Private to io (tls, redis). */
#ifndef RB_IO_CONNECT_H
#define RB_IO_CONNECT_H

#include "base/err.h"
#include "io/loop.h"

struct bufferevent;
struct ssl_ctx_st;

/* Not connected yet. ctx NULL: plain. The certificate must name host. NULL on error. */
struct bufferevent *tls_bufferevent(struct loop *l, struct ssl_ctx_st *ctx, const char *host, struct err *e);
int tls_connect(struct bufferevent *bev, const char *address, int port); /* address numeric; 0 or -1 */
/* What a bufferevent's event without BEV_EVENT_CONNECTED means, in words; returns the code. */
int tls_connect_error(struct bufferevent *bev, short what, struct err *e);

#endif
