/* What the kill harness is tried on: makes a known number of effects, each of which can be counted
 * from outside. Usage: killer_victim files DIR N | threads DIR N | socket PORT N | children DIR N |
 * names DIR N | hidden DIR N */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int out = -1;
static int per_thread;

static void need(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        _exit(99);
    }
}

static void *writer(void *arg)
{
    for (int i = 0; i < per_thread; i++)
        need(write(out, arg, 1) == 1, "write");
    return NULL;
}

static void run_threads(int n)
{
    pthread_t threads[4];
    per_thread = n / 4;
    for (int i = 0; i < 4; i++)
        need(pthread_create(&threads[i], NULL, writer, "abcd" + i) == 0, "thread");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void run_socket(int port, int n)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    need(connect(s, (struct sockaddr *)&to, sizeof to) == 0, "connect");
    for (int i = 0; i < n; i++)
        need(send(s, "x", 1, MSG_NOSIGNAL) == 1, "send");
}

/* N children, each of which writes a byte by execing a program: fork, exec, write. */
static void run_children(int n)
{
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        if (child == 0) {
            dup2(out, 1);
            execl("/bin/echo", "echo", "-n", "c", (char *)NULL);
            _exit(98);
        }
        waitpid(child, NULL, 0);
    }
}

static void run_names(const char *dir, int n)
{
    char from[4096], to[4096];
    for (int i = 0; i < n; i++) { /* each: create, write, fsync, rename */
        snprintf(from, sizeof from, "%s/tmp%d", dir, i);
        snprintf(to, sizeof to, "%s/name%d", dir, i);
        int f = open(from, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0600);
        char digit = (char)('0' + i % 10);
        need(f >= 0 && write(f, &digit, 1) == 1 && fsync(f) == 0 && rename(from, to) == 0, "name");
        close(f);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    const char *what = argv[1], *where = argv[2];
    int n = (int)strtol(argv[3], NULL, 10);
    char path[4096];
    if (strcmp(what, "socket") == 0) {
        run_socket((int)strtol(where, NULL, 10), n);
        return 0;
    }
    snprintf(path, sizeof path, "%s/out", where);
    out = open(path, O_WRONLY | O_APPEND | O_CLOEXEC); /* the test has made it */
    need(out >= 0, path);
    if (strcmp(what, "files") == 0) {
        for (int i = 0; i < n; i++)
            need(write(out, "x", 1) == 1, "write");
    } else if (strcmp(what, "threads") == 0) {
        run_threads(n);
    } else if (strcmp(what, "children") == 0) {
        run_children(n);
    } else if (strcmp(what, "names") == 0) {
        run_names(where, n);
    } else if (strcmp(what, "hidden") ==
               0) { /* io_uring would pass unseen, so it must be refused */
        char params[256] = {0};
        need(syscall(SYS_io_uring_setup, 1, params) < 0 && errno == ENOSYS, "io_uring_setup");
        return 5;
    } else {
        return 2;
    }
    return 0;
}
