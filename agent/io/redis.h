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

/* The answer: a status, a bulk or an integer is a string, nil is null, a list is a list of the same, but with numbers as numbers up to 2^53, and
 * an error inside it as "-TEXT". At most 4 MiB and 10,000 elements, above is ERR_LIMIT. Commands wait for their turn; timeout_ms counts from
 * it. Exactly one callback, never from inside. e: NULL, or the server's error (ERR_AUTH, ERR_DENIED, ERR_STATE for LOADING and BUSY, else
 * ERR_INPUT), or connection (ERR_IO, ERR_AUTH) and time-out. While there is no connection all that wait fail at once, with nothing left.
 * redis_free and redis_command may be called from a callback. */
typedef void redis_fn(void *arg, const struct json *reply, bool command_left, const struct err *e);
void redis_command(struct redis *r, const char *const *argv, size_t argc, int64_t timeout_ms, redis_fn *fn, void *arg);
void redis_forget(struct redis *r, void *arg);

#endif
