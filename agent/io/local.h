/* A server on a Unix socket: one line in, one line out, and who is at the other end by the kernel's
 * word. */
#ifndef RB_IO_LOCAL_H
#define RB_IO_LOCAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "io/loop.h"

struct local;

struct local_options {
    const char *path; /* at most 107 bytes; its folder must not be writable by others */
    size_t
        max_conns; /* 0: 16; beyond that the longest silent is told so and closed, else who comes */
    size_t max_line;   /* 0: 64 KiB; a longer one ends the connection */
    size_t max_unread; /* 0: 16 MiB of answers that the other side has not read; more ends it */
    int64_t idle_ms;   /* 0: 60 s without a whole line, or without reading the answer */
    int64_t answer_ms; /* 0: 120 s from a line to its answer */
};

struct local_peer {
    uid_t uid;
    pid_t pid;
    char user[64]; /* of /etc/passwd (no name service is asked: it could block), else "uid:1000" */
};

/* A line of a connection, without its end. The next one is read when local_send has answered this
 * one. */
typedef void local_fn(void *arg, uint64_t conn, const struct local_peer *peer, const char *line,
                      size_t len);

/* Makes the socket, mode 0600, in the place of one that nobody listens on any more. NULL:
 * ERR_STATE: somebody listens on it; ERR_AUTH: the folder is not safe; ERR_INPUT: a path that is
 * too long; ERR_IO. */
struct local *local_listen(struct loop *l, const struct local_options *o, local_fn *fn, void *arg,
                           struct err *e);
void local_free(struct local *s); /* closes all connections, removes the socket */

/* The answer to the line of this connection; a newline is added. A connection that is gone is fine.
 */
void local_send(struct local *s, uint64_t conn, const char *text);

#endif
