/* runbookd-child: the moment between us and an allow-listed command. It takes the parent's leftovers away, then becomes the command.
 *
 * runbookd-child PARENT-PID MAX-BYTES DIR -- /COMMAND ARGUMENT...
 * Descriptor 3 is where a failure is told ("ERRNO WHAT"); it closes by itself when the command has begun. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_FD 3

static _Noreturn void fail(const char *what)
{
    dprintf(STATUS_FD, "%d %s", errno, what);
    _exit(127);
}

int main(int argc, char **argv)
{
    if (argc < 6 || strcmp(argv[4], "--")) {
        fputs("runbookd-child is started by runbookd only\n", stderr);
        return 64;
    }
    long parent = strtol(argv[1], NULL, 10);
    unsigned long long max_bytes = strtoull(argv[2], NULL, 10);

    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        fail("PR_SET_PDEATHSIG");
    if (getppid() != parent) /* it ended before the line above */
        _exit(127);
    if (setsid() < 0) /* a process group of its own, and no terminal */
        fail("setsid");

    /* Ignored signals and the mask are inherited through exec; runbookd ignores SIGPIPE. */
    for (int signo = 1; signo < NSIG; signo++)
        signal(signo, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    struct rlimit no_core = {0, 0}, memory = {max_bytes, max_bytes};
    if (setrlimit(RLIMIT_CORE, &no_core))
        fail("RLIMIT_CORE");
    umask(077);
    if (fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC) < 0 || close_range(STATUS_FD + 1, ~0U, 0))
        fail("close_range");
    if (chdir(argv[3]))
        fail("chdir");
    if (max_bytes && setrlimit(RLIMIT_AS, &memory))
        fail("RLIMIT_AS");
    execv(argv[5], argv + 5);
    fail("exec");
}
