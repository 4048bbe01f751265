/* PostgreSQL connections over libpq's non-blocking interface: one connection, one statement at a time, a deadline on each part. */
#ifndef RB_IO_PG_H
#define RB_IO_PG_H

#include <stdbool.h>
#include <stddef.h>
#include "io/loop.h"
#include "io/resolve.h"

struct pg; /* one connection, made at first use and again after a failure */

struct pg_options {
    const char *host; /* a name, an address, or a directory of a Unix socket (starts with '/') */
    int port;
    const char *database, *user;
    const char *password;                            /* NULL: none */
    const char *sslmode;                             /* "disable", "prefer", "require", "verify-ca", "verify-full" (the default) */
    /* NULL: the system's bundle for verify-*, none. libpq parses ca_file at each connection, on the loop: 40 ms for the system's bundle, so name
     * the file of the one CA that signs your servers. */
    const char *ca_file, *client_cert, *client_key;
    const char *application;                         /* application_name, "runbookd" */
    int64_t connect_ms;                              /* 0: 5 s */
    /* In place of password: asks for one for each connection, which waits for pg_sign_in; it may come at once. */
    void (*ask_password)(void *arg, struct pg *p);
    void *ask_arg;
    /* Every statement runs in a read-only transaction, which the server enforces, and none leaves a setting to the next. */
    bool read_only;
};

struct pg *pg_new(struct loop *l, struct resolver *r, const struct pg_options *o); /* copies all of o */
void pg_free(struct pg *p); /* ends the connection; no callback after */
void pg_set_password(struct pg *p, const char *password); /* for the next connection: rotation */
/* The answer to ask_password: for this connection alone; or why there is none. Nothing where no connection waits for it any more. */
void pg_sign_in(struct pg *p, const char *password, const struct err *e);

struct pg_rows; /* a result; valid during the callback */
size_t pg_rows_count(const struct pg_rows *r);
const char *pg_value(const struct pg_rows *r, size_t row, const char *column); /* NULL for SQL NULL or an unknown column */
size_t pg_columns(const struct pg_rows *r);
const char *pg_cell(const struct pg_rows *r, size_t row, size_t column); /* from 0; NULL as above */
size_t pg_affected(const struct pg_rows *r);

/* The session's search_path is pg_catalog alone, so that no function which a user of the database made is called by mistake: name every
 * other schema. A result above 100,000 rows or 16 MiB is ERR_LIMIT. Errors by SQLSTATE: 28xxx ERR_AUTH, 42501 ERR_DENIED, 57014 and 55P03
 * ERR_TIMEOUT, other 42xxx and 22xxx ERR_INPUT, 53xxx and 54xxx ERR_LIMIT, the rest ERR_IO. While there is no connection all that wait
 * fail at once, with nothing left. pg_free and pg_query may be called from a callback.
 *
 * Runs one statement with text parameters ($1...; NULL is SQL NULL), waiting for its turn behind earlier ones. The server gets
 * statement_timeout = timeout_ms; we give up 1 s later and drop the connection. Exactly one callback, never from inside.
 * e: NULL, or SQLSTATE and message; statement_left tells whether the statement can have reached the server (in doubt) or not. */
typedef void pg_fn(void *arg, const struct pg_rows *rows, bool statement_left, const struct err *e);
void pg_query(struct pg *p, const char *sql, const char *const *params, size_t nparams, int64_t timeout_ms, pg_fn *fn, void *arg);
void pg_forget(struct pg *p, void *arg); /* drops callbacks with this arg; running statements are left to their time-out */

#endif
