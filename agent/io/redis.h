/* Redis connections: hiredis formats and parses, bufferevents carry, OpenSSL encrypts (Debian 12's hiredis has no TLS). RESP2. */
#ifndef RB_IO_REDIS_H
#define RB_IO_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/json.h"
#include "io/loop.h"
#include "io/resolve.h"

struct redis; /* one connection, made at first use and again after a failure */

struct redis_options {
    const char *host;
    int port;
    const char *user, *password; /* AUTH [user] password; NULL: none */
    bool tls;
    const char *ca_file, *client_cert, *client_key;
    int64_t connect_ms; /* 0: 3 s */
};

struct redis *redis_new(struct loop *l, struct resolver *r, const struct redis_options *o, struct err *e); /* copies o */
void redis_free(struct redis *r);

/* Answer as text: a status, integer or bulk as the string, a list as JSON (nested lists of strings and numbers). At most 4 MiB and
 * 10,000 elements. Exactly one callback, never from inside; e: NULL, or the server's error, or connection and time-out. */
typedef void redis_fn(void *arg, const struct json *reply, bool command_left, const struct err *e);
void redis_command(struct redis *r, const char *const *argv, size_t argc, int64_t timeout_ms, redis_fn *fn, void *arg);
void redis_forget(struct redis *r, void *arg);

#endif
