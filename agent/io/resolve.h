/* Names to addresses, without blocking: numeric addresses, /etc/hosts and DNS (libevent's evdns), with a deadline and a cache. */
#ifndef RB_IO_RESOLVE_H
#define RB_IO_RESOLVE_H

#include "io/loop.h"

struct resolver;
struct resolve_call;

/* nameserver: "127.0.0.1:5353" to use that one alone (tests), NULL for /etc/resolv.conf. An empty resolv.conf is not an error. */
struct resolver *resolver_new(struct loop *l, const char *nameserver, struct err *e);
void resolver_free(struct resolver *r);

/* address: numeric, the first found (IPv4 before IPv6); valid during the call. Exactly one callback, never from inside this call.
 * Answers are kept for their TTL, 5 s to 60 s; failures for 1 s. */
typedef void resolve_fn(void *arg, const char *address, const struct err *e);
struct resolve_call *resolve(struct resolver *r, const char *host, int64_t deadline_ms, resolve_fn *fn, void *arg);
void resolve_cancel(struct resolve_call *c); /* no callback after */

#endif
