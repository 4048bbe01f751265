/* Runs a program and kills -9 it, with all its threads and children, just before or after its N-th
 * call that has an effect.
 *
 * A seccomp filter stops only the calls of killer_calls.c's table; everything else runs at full
 * speed. The calls that count are let through one at a time, over all threads and children, so that
 * they have one order and "after N" means that N happened and N + 1 did not. A call that blocks
 * while others wait is overtaken after OVERTAKE_MS (its line in the listing says so). Not seen:
 * stores into shared mappings (SQLite's -shm), and effects by processes that were running before.
 */
#include "harness/killer_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OVERTAKE_MS 200
#define TEXT_SIZE (3 * PATH_MAX)

enum { /* our exit codes; in --count the program's own is handed on */
       EXIT_KILLED = 0,
       EXIT_USAGE = 2,
       EXIT_NOT_REACHED = 10,
       EXIT_TIMEOUT = 11,
       EXIT_CANNOT_TRACE = 12,
};

enum mode { MODE_NONE, MODE_COUNT, MODE_BEFORE, MODE_AFTER };

struct task { /* one thread that we trace */
    pid_t tid;
    const struct call *call; /* the counted call that it is in or waits to make, or NULL */
    bool inside;             /* it has been let into that call */
    bool overtaken;
    unsigned long index;
    uint64_t args[6];
    char text[TEXT_SIZE];
    struct task *next;       /* all tasks */
    struct task *queue_next; /* those that wait for their turn */
};

static struct {
    struct call_filter filter;
    enum mode mode;
    unsigned long at;
    const char *armed; /* nothing counts until this file exists */
    const char *from;  /* nor until a call that would count carries this text: that is number 1 */
    long timeout_ms;
    FILE *log;

    pid_t root;
    int root_status;
    bool root_ended;
    bool started; /* the program's own exec is behind us */
    bool killing;
    unsigned long count;
    struct task *tasks;
    struct task *queue, **queue_tail;
    struct task *current; /* in its counted call; nobody else may enter one */
    long current_since_ms;
} k = {.timeout_ms = 60000};

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

__attribute__((format(printf, 2, 3), noreturn)) static void die(int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("killer: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

static struct task *find_task(pid_t tid)
{
    for (struct task *t = k.tasks; t; t = t->next) {
        if (t->tid == tid)
            return t;
    }
    struct task *t = calloc(1, sizeof *t);
    if (!t)
        die(EXIT_CANNOT_TRACE, "out of memory");
    t->tid = tid;
    t->next = k.tasks;
    k.tasks = t;
    return t;
}

static void unqueue(struct task *task)
{
    for (struct task **at = &k.queue; *at; at = &(*at)->queue_next) {
        if (*at == task) {
            *at = task->queue_next;
            break;
        }
    }
    k.queue_tail = &k.queue;
    while (*k.queue_tail)
        k.queue_tail = &(*k.queue_tail)->queue_next;
    task->queue_next = NULL;
}

static void drop_task(pid_t tid)
{
    for (struct task **at = &k.tasks; *at; at = &(*at)->next) {
        struct task *t = *at;
        if (t->tid != tid)
            continue;
        *at = t->next;
        unqueue(t);
        if (k.current == t)
            k.current = NULL;
        free(t);
        return;
    }
}

static void resume(struct task *task, int sig)
{
    /* ESRCH: killed meanwhile; its end is reported next */
    ptrace(task->inside ? PTRACE_SYSCALL : PTRACE_CONT, task->tid, NULL, (void *)(intptr_t)sig);
}

static void log_call(const struct task *task, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void log_call(const struct task *task, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(k.log, "%lu\t%d\t%s\t%s\t", task->index, task->tid, task->call->name, task->text);
    vfprintf(k.log, fmt, args);
    fprintf(k.log, "%s\n", task->overtaken ? "\tovertaken" : "");
    va_end(args);
}

static void kill_all(void)
{
    k.killing = true;
    for (struct task *t = k.tasks; t; t = t->next)
        kill(t->tid, SIGKILL);
}

static void leave_call(struct task *task, long result)
{
    task->inside = false;
    if (k.current == task)
        k.current = NULL;
    if (result <= -512 &&
        result >=
            -516) { /* the kernel will make the call again after a signal: nothing happened yet */
        if (task->index == k.count)
            k.count--;
        task->call = NULL;
        return;
    }
    log_call(task, "%ld", result);
    if (k.mode == MODE_AFTER && task->index == k.at)
        kill_all();
    task->call = NULL;
}

/* The task stands at its counted call: kills, or lets it in. What it acts on may have changed while
 * it waited. */
static void enter_call(struct task *task)
{
    if (!calls_match(&k.filter, task->call, task->tid, task->args, task->text, sizeof task->text)) {
        task->call = NULL;
        resume(task, 0);
        return;
    }
    if (k.from && calls_hold(task->call, task->tid, task->args, k.from))
        k.from = NULL;
    if (k.from) { /* still before the first */
        task->call = NULL;
        resume(task, 0);
        return;
    }
    task->index = ++k.count;
    task->overtaken = false;
    if (k.mode == MODE_BEFORE && task->index == k.at) {
        log_call(task, "not made");
        kill_all(); /* the kernel skips the call of a task that dies in this stop */
        return;
    }
    task->inside = true;
    k.current = task;
    k.current_since_ms = now_ms();
    resume(task, 0);
}

static void next_call(void)
{
    while (!k.killing && !k.current && k.queue) {
        struct task *task = k.queue;
        unqueue(task);
        enter_call(task);
    }
}

static void at_call(struct task *task)
{
    struct __ptrace_syscall_info info = {0};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, (void *)sizeof info, &info) <= 0) {
        resume(task, 0);
        return;
    }
    const struct call *call = calls_find(info.seccomp.nr);
    for (size_t i = 0; i < 6; i++)
        task->args[i] = info.seccomp.args[i];
    bool on = k.started && (!k.armed || access(k.armed, F_OK) == 0);
    if (!call || !on ||
        !calls_match(&k.filter, call, task->tid, task->args, task->text, sizeof task->text)) {
        resume(task, 0);
        return;
    }
    task->call = call;
    *k.queue_tail = task;
    k.queue_tail = &task->queue_next;
    next_call();
}

static void at_exit_of_call(struct task *task)
{
    struct __ptrace_syscall_info info = {0};
    ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, (void *)sizeof info, &info);
    if (task->inside)
        leave_call(task, (long)info.exit.rval);
}

static void at_exec(struct task *task)
{
    unsigned long former = 0;
    ptrace(PTRACE_GETEVENTMSG, task->tid, NULL, &former);
    if ((pid_t)former != task->tid) { /* a thread that is not the leader takes the leader's id */
        struct task *old = find_task((pid_t)former);
        task->call = old->call;
        task->inside = old->inside;
        task->index = old->index;
        memcpy(task->text, old->text, sizeof task->text);
        if (k.current == old)
            k.current = task;
        drop_task((pid_t)former);
    }
    if (task->inside)
        leave_call(task, 0);
    k.started = true;
}

static void at_stop(pid_t tid, int status)
{
    struct task *task = find_task(tid);
    int sig = WSTOPSIG(status);
    if (k.killing) {
        kill(tid, SIGKILL);
        return;
    }
    switch (status >> 16) {
    case PTRACE_EVENT_SECCOMP:
        at_call(task);
        return;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: {
        unsigned long child = 0;
        ptrace(PTRACE_GETEVENTMSG, tid, NULL, &child);
        find_task((pid_t)child);
        if (task->inside) /* the child exists, and has not run yet */
            leave_call(task, (long)child);
        break;
    }
    case PTRACE_EVENT_EXEC:
        at_exec(task);
        break;
    case PTRACE_EVENT_STOP:
        if (sig != SIGTRAP) { /* a stop by job control: stays stopped until it is continued */
            ptrace(PTRACE_LISTEN, tid, NULL, NULL);
            return;
        }
        break;
    default:
        if (sig == (SIGTRAP | 0x80)) {
            at_exit_of_call(task);
        } else if (!k.killing) { /* a signal on its way to the program */
            resume(task, sig);
            return;
        }
    }
    if (!k.killing) {
        resume(task, 0);
        next_call();
    }
}

/* Returns when nobody is left. */
static void trace(int signals)
{
    long deadline = now_ms() + k.timeout_ms;
    for (;;) {
        int status;
        pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
        if (tid < 0 && errno == ECHILD)
            return;
        if (tid > 0 && WIFSTOPPED(status)) {
            at_stop(tid, status);
        } else if (tid > 0) {
            if (tid == k.root) {
                k.root_status = status;
                k.root_ended = true;
            }
            drop_task(tid);
            next_call();
        } else {
            struct pollfd p = {.fd = signals, .events = POLLIN};
            poll(&p, 1, 50);
            struct signalfd_siginfo info;
            if (p.revents && read(signals, &info, sizeof info) == sizeof info &&
                info.ssi_signo != SIGCHLD) {
                kill_all();
                exit(128 + (int)info.ssi_signo);
            }
        }
        long now = now_ms();
        if (k.current && k.queue && now - k.current_since_ms > OVERTAKE_MS) {
            k.current->overtaken = true;
            k.current = NULL;
            next_call();
        }
        if (now > deadline) {
            fprintf(k.log, "# timed out after %ld ms at %lu effects\n", k.timeout_ms, k.count);
            kill_all();
            exit(EXIT_TIMEOUT);
        }
    }
}

static void start(char **argv)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0)
        die(EXIT_CANNOT_TRACE, "pipe: %m");
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, &before);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    k.root = fork();
    if (k.root < 0)
        die(EXIT_CANNOT_TRACE, "fork: %m");
    if (k.root == 0) {
        char go;
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(ready[1]);
        if (read(ready[0], &go, 1) != 1)
            _exit(EXIT_CANNOT_TRACE);
        int rc = calls_install_filter();
        if (rc != 0) {
            fprintf(stderr, "killer: the seccomp filter is refused here: %s\n", strerror(-rc));
            _exit(EXIT_CANNOT_TRACE);
        }
        execvp(argv[0], argv);
        fprintf(stderr, "killer: %s: %m\n", argv[0]);
        _exit(127);
    }
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                   PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, k.root, NULL, (void *)options) != 0)
        die(EXIT_CANNOT_TRACE, "ptrace is refused here: %m");
    find_task(k.root);
    if (write(ready[1], "g", 1) != 1)
        die(EXIT_CANNOT_TRACE, "pipe: %m");
    close(ready[0]);
    close(ready[1]);
    trace(signals);
}

static const char usage[] =
    "usage: killer MODE WHAT [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
    "modes:\n"
    "  --count               run to the end and list the calls that count; exits as the program "
    "does\n"
    "  --kill before|after --at N   kill -9 the program and all below it there; exits 0 when that "
    "was done,\n"
    "                        10 when the program ended first, 11 at the time-out, 12 when tracing "
    "is refused\n"
    "what counts (one at least):\n"
    "  --under DIR           changes to files below DIR (repeatable)\n"
    "  --except ENDING       but not where the path ends so, e.g. -shm (repeatable)\n"
    "  --sockets             what is sent on sockets, and connects\n"
    "  --port N              of the sockets only those whose peer has this port (repeatable; "
    "implies --sockets)\n"
    "  --pipes               what is written to pipes and socket pairs\n"
    "  --children            fork, exec, kill\n"
    "options:\n"
    "  --only-sync           of the file calls only fsync, fdatasync, msync and renames\n"
    "  --armed FILE          count only from when FILE exists\n"
    "  --from TEXT           count only from the first call on that writes or sends TEXT\n"
    "  --log FILE            the listing: index, thread, call, target, result (default: standard "
    "error)\n"
    "  --timeout SECONDS     default 60\n";

static unsigned long number(const char *option, const char *text, unsigned long most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || end == text || value == 0 || value > most)
        die(EXIT_USAGE, "%s %s: needs a whole number from 1 to %lu", option, text, most);
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", no_argument, NULL, 'c'},
        {"kill", required_argument, NULL, 'k'},
        {"at", required_argument, NULL, 'n'},
        {"under", required_argument, NULL, 'u'},
        {"except", required_argument, NULL, 'x'},
        {"sockets", no_argument, NULL, 's'},
        {"port", required_argument, NULL, 'p'},
        {"pipes", no_argument, NULL, 'i'},
        {"children", no_argument, NULL, 'f'},
        {"only-sync", no_argument, NULL, 'y'},
        {"armed", required_argument, NULL, 'a'},
        {"from", required_argument, NULL, 'F'},
        {"log", required_argument, NULL, 'l'},
        {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    k.log = stderr;
    k.queue_tail = &k.queue;
    int option;

    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            k.mode = MODE_COUNT;
            break;
        case 'k':
            k.mode = strcmp(optarg, "before") == 0  ? MODE_BEFORE
                     : strcmp(optarg, "after") == 0 ? MODE_AFTER
                                                    : MODE_NONE;
            break;
        case 'n':
            k.at = number("--at", optarg, ULONG_MAX - 1);
            break;
        case 'u': {
            char *path = realpath(optarg, NULL);
            if (!path || k.filter.nunder == 16)
                die(EXIT_USAGE, "--under %s: %s", optarg, path ? "at most 16" : "no such folder");
            k.filter.under[k.filter.nunder++] = path; /* kept to the end */
            break;
        }
        case 'x':
            if (k.filter.nexcept == 16)
                die(EXIT_USAGE, "--except: at most 16");
            k.filter.except[k.filter.nexcept++] = optarg;
            break;
        case 'p':
            if (k.filter.nports == 16)
                die(EXIT_USAGE, "--port: at most 16");
            k.filter.ports[k.filter.nports++] = (uint16_t)number("--port", optarg, 65535);
            k.filter.sockets = true;
            break;
        case 's':
            k.filter.sockets = true;
            break;
        case 'i':
            k.filter.pipes = true;
            break;
        case 'f':
            k.filter.children = true;
            break;
        case 'y':
            k.filter.only_sync = true;
            break;
        case 'a':
            k.armed = optarg;
            break;
        case 'F':
            k.from = optarg;
            break;
        case 'l':
            k.log = fopen(optarg, "we");
            if (!k.log)
                die(EXIT_USAGE, "--log %s: %m", optarg);
            break;
        case 't':
            k.timeout_ms = (long)number("--timeout", optarg, 86400) * 1000;
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : EXIT_USAGE;
        }
    }
    bool kills = k.mode == MODE_BEFORE || k.mode == MODE_AFTER;
    bool any = k.filter.nunder || k.filter.sockets || k.filter.pipes || k.filter.children;
    if (k.mode == MODE_NONE || kills != (k.at != 0) || !any || optind == argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* and the tracees follow: PTRACE_O_EXITKILL */
    start(argv + optind);
    if (k.killing) {
        fprintf(k.log, "# killed %s %lu\n", k.mode == MODE_BEFORE ? "before" : "after", k.at);
        return EXIT_KILLED;
    }
    int code =
        WIFEXITED(k.root_status) ? WEXITSTATUS(k.root_status) : 128 + WTERMSIG(k.root_status);
    fprintf(k.log, "# %lu effects; the program ended with %d\n", k.count, code);
    return kills && code != EXIT_CANNOT_TRACE ? EXIT_NOT_REACHED : code;
}
