/* Which system calls have an effect outside their process, and on what: the table and the filters
 * of the kill harness. */
#ifndef KILLER_CALLS_H
#define KILLER_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a call of the table does; says where its arguments name what it acts on. */
enum call_kind {
    CALL_FD,      /* writes to, syncs or sizes descriptor args[a] */
    CALL_SEND,    /* sends on socket args[a]; a destination may stand at args[b] (sendto) */
    CALL_CONNECT, /* connects socket args[a] to the address at args[b] */
    CALL_PATH, /* changes the path at args[b], relative to descriptor args[a] (a < 0: to the current
                  folder) */
    CALL_PATHS, /* the same for two paths: a, b and then c, d (renames, links) */
    CALL_OPEN,  /* as CALL_PATH, when the flags create or truncate; args[c] holds the flags */
    CALL_FORK,  /* makes a child */
    CALL_CLONE, /* makes a child or a thread; args[a] holds the flags, or points to them (clone3) */
    CALL_EXEC,  /* becomes another program: the path is at args[a] */
    CALL_SIGNAL, /* signals process args[a] */
    CALL_MEMORY, /* msync: the file mapped at args[a] */
};

struct call {
    int number;
    const char *name;
    enum call_kind kind;
    signed char a, b, c, d;
};

/* What counts; each part is off until asked for. */
struct call_filter {
    const char *under[16]; /* absolute folders: files below one of these count */
    size_t nunder;
    const char *except[16]; /* but not those whose path ends so */
    size_t nexcept;
    uint16_t ports[16]; /* only sockets whose peer has one of these ports; none given: every peer */
    size_t nports;
    bool sockets;   /* inet sockets, and unix sockets with a name */
    bool pipes;     /* pipes and socket pairs */
    bool children;  /* fork, exec, signals to others */
    bool only_sync; /* of the file calls only fsync, fdatasync, msync, rename */
};

/* Installs the seccomp filter in the calling process: the calls of the table stop at the tracer,
 * the rest run at full speed; io_uring and other architectures' calls, which would escape, fail
 * with ENOSYS. Returns 0 or -errno. */
int calls_install_filter(void);

const struct call *calls_find(uint64_t number); /* NULL: not in the table */

/* Tells whether the call that tid is stopped at counts, and describes its target in text (a path, a
 * peer, a command). */
bool calls_match(const struct call_filter *filter, const struct call *call, pid_t tid,
                 const uint64_t args[6], char *text, size_t size);

/* Tells whether the data that the call writes or sends holds this text. */
bool calls_hold(const struct call *call, pid_t tid, const uint64_t args[6], const char *text);

#endif
