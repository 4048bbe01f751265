/* What libpq does not tell or take in a form we can use: SQLSTATEs, connection strings, bytes. Private to io/pg. */
#ifndef RB_IO_PG_LIBPQ_H
#define RB_IO_PG_LIBPQ_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Adds key='value' with what must be escaped; nothing where value is NULL. */
void pg_conninfo_add(struct buf *info, const char *key, const char *value);

int pg_sqlstate_code(const char *state); /* the ERR_* of a SQLSTATE, as pg.h tells */

/* Why a connection failed: its text, without the server's source location, and its ERR_*. The connection must have PQERRORS_VERBOSE. */
int pg_connect_error(PGconn *conn, char *text, size_t size);

uint64_t pg_bytes_received(PGconn *conn); /* over TCP so far; 0 over a Unix socket: a server on this host */

#endif
