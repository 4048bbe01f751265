/* Child processes: a trampoline of ours sets PDEATHSIG, limits, a process group and closes descriptors, then execs with a clean environment. */
#ifndef RB_IO_JOB_H
#define RB_IO_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "io/loop.h"

struct job;

struct job_options {
    const char *const *argv; /* argv[0] absolute; NULL-terminated */
    const char *const *env;  /* the whole environment, NULL-terminated; NULL: PATH, LANG=C.UTF-8 and HOME=/nonexistent */
    const char *dir;         /* NULL: / */
    const char *input;       /* stdin; NULL: /dev/null */
    size_t max_output;       /* of each stream; 0: 1 MiB; more ends the job with ERR_LIMIT */
    int64_t deadline_ms;     /* SIGTERM to the group then, SIGKILL 2 s later */
    uint64_t max_memory_bytes; /* RLIMIT_AS; 0: none */
};

struct job_result {
    int exit_code; /* -1: killed, see signal */
    int signal;
    const char *out, *err;
    size_t out_len, err_len;
};

typedef void job_fn(void *arg, const struct job_result *r, const struct err *e);
struct job *job_start(struct loop *l, const struct job_options *o, job_fn *fn, void *arg, struct err *e); /* NULL on error */
void job_cancel(struct job *j); /* ends the group; no callback after */

/* The identity that is journaled, and what is asked of it after a crash: a pid is reused, pid and start time are not. */
pid_t job_pid(const struct job *j);
uint64_t job_start_time(const struct job *j); /* clock ticks since boot, field 22 of /proc/PID/stat */
bool job_alive(pid_t pid, uint64_t start_time);
int job_end_orphan(pid_t pid, uint64_t start_time, struct err *e); /* SIGKILL to that very process (pidfd) */

#endif
