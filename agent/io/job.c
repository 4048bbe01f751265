/* Child processes: spawned through runbookd-child, watched by pidfd, ended as a group, their output
 * read with a ceiling. */
#include "io/job.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#define OUTPUT_MAX (1u << 20)
#define KILL_AFTER_MS 2000 /* from SIGTERM to SIGKILL */
/* for the rest of the output after the end; a grandchild that left the group may hold the pipe */
#define DRAIN_MS 250

struct stream {
    struct job *job;
    int fd;
    struct event *ev;
    struct buf buf;
};

enum { OUT, ERR, STATUS, STREAMS };

struct job {
    struct loop *loop;
    struct job *next_lingering;
    pid_t pid;
    uint64_t start_time;
    int pidfd;
    struct event *exit_ev;
    struct stream streams[STREAMS];
    struct loop_timer *timer;
    int64_t deadline_ms;
    bool terminated, exited;
    char *name;
    struct err err;
    struct job_result result;
    job_fn *fn;
    void *arg;
};

/* Cancelled ones that the kernel has not yet let go of. */
static struct job *lingering;

/* Identity. */

/* State and start time from /proc/PID/stat; the name in it may hold anything, so fields count from
 * its last parenthesis. */
static bool read_stat(pid_t pid, char *state, uint64_t *start_time)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    char *p = strrchr(text, ')');
    if (!p || p[1] != ' ')
        return false;
    *state = p[2];
    /* p is at the space before field 3, then before each next one */
    for (int field = 2; field < 22; field++) {
        p = strchr(p + 1, ' ');
        if (!p)
            return false;
    }
    *start_time = strtoull(p + 1, NULL, 10);
    return true;
}

bool job_alive(pid_t pid, uint64_t start_time)
{
    char state;
    uint64_t start;
    return pid > 1 && read_stat(pid, &state, &start) && start == start_time && state != 'Z' &&
           state != 'X';
}

int job_end_orphan(pid_t pid, uint64_t start_time, struct err *e)
{
    int rc = 0;
    if (pid <= 1)
        return err_set(e, ERR_INPUT, "process %d cannot be one that we started", (int)pid);
    int fd = pidfd_open(pid, 0);
    if (fd < 0 && errno != ESRCH)
        return err_set(e, ERR_IO, "cannot open process %d: %s", (int)pid, strerror(errno));
    /* From here on fd is that process, whoever gets its number; the start time tells whether it is
     * ours. */
    if (fd >= 0 && job_alive(pid, start_time)) {
        if (getpgid(pid) == pid)
            kill(-pid, SIGKILL); /* and what it started */
        if (pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
            rc = err_set(e, ERR_IO, "cannot end process %d: %s", (int)pid, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

pid_t job_pid(const struct job *j)
{
    return j->pid;
}

uint64_t job_start_time(const struct job *j)
{
    return j->start_time;
}

/* Ending. */

static void kill_group(struct job *j, int signo)
{
    /* The leader is not reaped yet, so its number, and the group's, is still its own. The group may
     * not exist yet. */
    if (kill(-j->pid, signo) < 0)
        pidfd_send_signal(j->pidfd, signo, NULL, 0);
}

static void stream_close(struct stream *s)
{
    if (s->ev)
        event_free(s->ev);
    s->ev = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void job_free(struct job *j)
{
    for (int i = 0; i < STREAMS; i++) {
        stream_close(&j->streams[i]);
        buf_free(&j->streams[i].buf);
    }
    if (j->exit_ev)
        event_free(j->exit_ev);
    if (j->pidfd >= 0)
        close(j->pidfd);
    loop_timer_free(j->timer);
    mem_free(j->name);
    mem_free(j);
}

/* True once the child is gone; takes its status. What is left of its group ends with it. */
static bool reap(struct job *j)
{
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)j->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == 0)
        return false;
    kill(-j->pid, SIGKILL);
    waitid(P_PIDFD, (id_t)j->pidfd, &info, WEXITED | WNOHANG);
    j->exited = true;
    j->result.exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
    j->result.signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    return true;
}

static void finish(struct job *j)
{
    struct stream *status = &j->streams[STATUS];
    if (status->buf.len && !j->err.code) {
        char *what;
        int number = (int)strtol(buf_str(&status->buf), &what, 10);
        err_set(&j->err,
                number == ENOENT   ? ERR_NOT_FOUND
                : number == EACCES ? ERR_DENIED
                                   : ERR_IO,
                "cannot start:%s: %s", what, strerror(number));
    }
    if (j->err.code)
        err_wrap(&j->err, "%s", j->name);
    j->result.out = buf_str(&j->streams[OUT].buf);
    j->result.out_len = j->streams[OUT].buf.len;
    j->result.err = buf_str(&j->streams[ERR].buf);
    j->result.err_len = j->streams[ERR].buf.len;
    job_fn *fn = j->fn;
    fn(j->arg, &j->result, j->err.code ? &j->err : NULL);
    job_free(j);
}

static void finish_if_done(struct job *j)
{
    if (j->exited && j->streams[OUT].fd < 0 && j->streams[ERR].fd < 0 && j->streams[STATUS].fd < 0)
        finish(j);
}

static void terminate(struct job *j)
{
    if (j->exited || j->terminated)
        return;
    j->terminated = true;
    kill_group(j, SIGTERM);
    loop_timer_set(j->timer, KILL_AFTER_MS);
}

static void on_timer(void *arg)
{
    struct job *j = arg;
    if (j->exited) {
        for (int i = 0; i < STREAMS; i++)
            stream_close(&j->streams[i]);
        finish(j);
    } else if (j->terminated) {
        kill_group(j, SIGKILL);
    } else {
        err_set(&j->err, ERR_TIMEOUT, "not done after %lld ms, ended", (long long)j->deadline_ms);
        terminate(j);
    }
}

static void on_exit_fd(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct job *j = arg;
    if (!reap(j))
        return;
    event_free(j->exit_ev);
    j->exit_ev = NULL;
    loop_timer_set(j->timer, DRAIN_MS);
    finish_if_done(j);
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct stream *s = arg;
    struct job *j = s->job;
    char block[16384];
    ssize_t n = read(fd, block, sizeof block);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        stream_close(s);
        finish_if_done(j);
        return;
    }
    if (buf_add(&s->buf, block, (size_t)n) == 0)
        return;
    if (!j->err.code)
        err_set(&j->err, ERR_LIMIT, "more than %zu bytes of output, ended", s->buf.max);
    stream_close(s); /* the rest is not wanted */
    terminate(j);
    finish_if_done(j);
}

/* Starting. */

/* Beside the executable as built, in libexec as installed, else where this build left it. Nobody
 * but root and we may be able to change it. */
static int find_trampoline(char path[PATH_MAX], struct err *e)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    const char *dir = dirname(exe);
    const char *places[][2] = {{dir, "/runbookd-child"},
                               {dir, "/../libexec/runbookd/runbookd-child"},
                               {RB_CHILD_PATH, ""}};
    for (int i = 0; i < 3; i++) {
        struct stat st;
        int len = snprintf(path, PATH_MAX, "%s%s", places[i][0], places[i][1]);
        if (len < 0 || len >= PATH_MAX || stat(path, &st) < 0)
            continue;
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
            !S_ISREG(st.st_mode))
            return err_set(e, ERR_DENIED, "%s: others can change it; make it root's, mode 0755",
                           path);
        return 0;
    }
    return err_set(
        e, ERR_NOT_FOUND,
        "runbookd-child is not beside the program nor in ../libexec/runbookd; install it again");
}

/* Moves a descriptor above those that the child's are put on. */
static int high(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    close(fd);
    return moved;
}

static int open_input(const char *input)
{
    if (!input)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd = memfd_create("input", MFD_CLOEXEC);
    size_t len = strlen(input);
    while (fd >= 0 && len > 0) {
        ssize_t n = write(fd, input, len);
        if (n < 0 && errno != EINTR) {
            close(fd);
            return -1;
        }
        input += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

static int spawn(struct job *j, const struct job_options *o, const int child_fds[4], struct err *e)
{
    static const char *const clean[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
        "HOME=/nonexistent", NULL};
    char path[PATH_MAX], parent[16], memory[24];
    if (find_trampoline(path, e))
        return e ? e->code : ERR_NOT_FOUND;
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)o->max_memory_bytes);
    size_t argc = 0;
    while (o->argv[argc])
        argc++;
    const char **argv = mem_calloc(argc + 6, sizeof(char *));
    argv[0] = "runbookd-child";
    argv[1] = parent;
    argv[2] = memory;
    argv[3] = o->dir ? o->dir : "/";
    argv[4] = "--";
    memcpy(argv + 5, o->argv, argc * sizeof(char *));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 4; i++)
        posix_spawn_file_actions_adddup2(&actions, child_fds[i], i);
    /* POSIX's prototypes lack const; nothing of these is written to. */
    int rc = posix_spawn(&j->pid, path, &actions, NULL, (char *const *)argv,
                         (char *const *)(o->env ? o->env : clean));
    posix_spawn_file_actions_destroy(&actions);
    mem_free(argv);
    return rc ? err_set(e, ERR_IO, "cannot start %s: %s", path, strerror(rc)) : 0;
}

static void watch(struct job *j)
{
    for (int i = 0; i < STREAMS; i++) {
        struct stream *s = &j->streams[i];
        fcntl(s->fd, F_SETFL, O_NONBLOCK);
        s->ev = event_new(loop_base(j->loop), s->fd, EV_READ | EV_PERSIST, on_output, s);
        event_add(s->ev, NULL);
    }
    j->exit_ev = event_new(loop_base(j->loop), j->pidfd, EV_READ | EV_PERSIST, on_exit_fd, j);
    event_add(j->exit_ev, NULL);
    loop_timer_set(j->timer, j->deadline_ms);
}

struct job *job_start(struct loop *l, const struct job_options *o, job_fn *fn, void *arg,
                      struct err *e)
{
    int child_fds[4] = {-1, -1, -1, -1}, rc = ERR_INPUT;
    if (!o->argv || !o->argv[0] || o->argv[0][0] != '/') {
        err_set(e, ERR_INPUT, "command \"%.200s\" is not an absolute path",
                o->argv && o->argv[0] ? o->argv[0] : "");
        return NULL;
    }
    if (o->deadline_ms <= 0) {
        err_set(e, ERR_INPUT, "%.200s: a job needs a deadline", o->argv[0]);
        return NULL;
    }
    struct job *j = mem_alloc(sizeof *j);
    j->loop = l;
    j->fn = fn;
    j->arg = arg;
    j->name = mem_strdup(o->argv[0]);
    j->deadline_ms = o->deadline_ms;
    j->pidfd = -1;
    j->result.exit_code = -1;
    j->timer = loop_timer_new(l, on_timer, j);
    for (int i = 0; i < STREAMS; i++) {
        j->streams[i] = (struct stream){.job = j, .fd = -1};
        buf_init(&j->streams[i].buf, i == STATUS     ? 512
                                     : o->max_output ? o->max_output
                                                     : OUTPUT_MAX);
    }
    child_fds[0] = open_input(o->input);
    if (child_fds[0] >= 0)
        child_fds[0] = high(child_fds[0]);
    for (int i = 0; i < STREAMS; i++) {
        int pair[2];
        if (pipe2(pair, O_CLOEXEC) == 0) {
            j->streams[i].fd = high(pair[0]);
            child_fds[1 + i] = high(pair[1]);
        }
    }
    for (int i = 0; i < 4; i++) {
        if (child_fds[i] < 0 || (i && j->streams[i - 1].fd < 0)) {
            err_set(e, ERR_IO, "%s: no descriptors for its pipes: %s", j->name, strerror(errno));
            goto out;
        }
    }
    rc = spawn(j, o, child_fds, e);
    if (rc)
        goto out;
    char state;
    j->pidfd = pidfd_open(j->pid, 0);
    if (j->pidfd < 0 || !read_stat(j->pid, &state, &j->start_time)) {
        /* It is our child and not reaped, so the number is still its own. */
        rc = err_set(e, ERR_IO, "%s: cannot watch process %d: %s", j->name, (int)j->pid,
                     strerror(errno));
        kill(j->pid, SIGKILL);
        waitpid(j->pid, NULL, 0);
        goto out;
    }
    watch(j);
out:
    for (int i = 0; i < 4; i++)
        if (child_fds[i] >= 0)
            close(child_fds[i]);
    if (rc) {
        job_free(j);
        return NULL;
    }
    return j;
}

static void on_late_exit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct job *j = arg;
    if (!reap(j))
        return;
    for (struct job **p = &lingering; *p; p = &(*p)->next_lingering) {
        if (*p == j) {
            *p = j->next_lingering;
            break;
        }
    }
    job_free(j);
}

void job_cancel(struct job *j)
{
    if (!j)
        return;
    loop_timer_stop(j->timer);
    for (int i = 0; i < STREAMS; i++)
        stream_close(&j->streams[i]);
    if (!j->exited) {
        kill_group(j, SIGKILL);
        struct pollfd p = {.fd = j->pidfd, .events = POLLIN};
        poll(&p, 1, 2); /* as a rule it is gone at once */
        if (!reap(j)) {
            event_free(j->exit_ev);
            j->exit_ev =
                event_new(loop_base(j->loop), j->pidfd, EV_READ | EV_PERSIST, on_late_exit, j);
            event_add(j->exit_ev, NULL);
            j->next_lingering = lingering;
            lingering = j;
            return;
        }
    }
    job_free(j);
}
