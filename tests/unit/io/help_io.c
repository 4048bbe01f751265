/* Loopback servers and loop running for the io tests. */
#include "help_io.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct waiting {
    struct loop *loop;
    const int *flag;
    int n;
    int64_t end_ms;
    struct loop_timer *timer;
};

int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void look(void *arg)
{
    struct waiting *w = arg;
    if ((w->flag && *w->flag >= w->n) || now_ms() >= w->end_ms)
        loop_stop(w->loop, 0);
    else
        loop_timer_set(w->timer, 2);
}

static void wait_for(struct loop *l, const int *flag, int n, int64_t ms)
{
    struct waiting w = {l, flag, n, now_ms() + ms, NULL};
    w.timer = loop_timer_new(l, look, &w);
    loop_timer_set(w.timer, 0);
    loop_run(l);
    loop_timer_free(w.timer);
}

void run_until(struct loop *l, const int *flag, int n, int64_t max_ms)
{
    max_ms += 10000; /* on a machine that others load */
    wait_for(l, flag, n, max_ms);
    if (*flag < n)
        fail_msg("%d of %d callbacks after %lld ms", *flag, n, (long long)max_ms);
}

void run_for(struct loop *l, int64_t ms)
{
    wait_for(l, NULL, 0, ms);
}

static double core_wait_ms(void)
{
    char line[128] = "", *end = line;
    unsigned long long waited;
    FILE *f = fopen("/proc/thread-self/schedstat", "re");
    if (f) {
        if (!fgets(line, sizeof line, f))
            line[0] = 0;
        fclose(f);
    }
    strtoull(line, &end, 10); /* how long it ran */
    waited = strtoull(end, NULL, 10);
    return (double)waited / 1e6;
}

/* What the hypervisor gave to others while somebody here wanted to run, all cores together: the
 * eighth number of /proc/stat's first line, in ticks (proc(5)). */
static double stolen_ms(void)
{
    char line[256] = "", *at = line + sizeof("cpu") - 1;
    unsigned long long ticks = 0;
    FILE *f = fopen("/proc/stat", "re");
    if (f) {
        if (!fgets(line, sizeof line, f))
            line[0] = 0;
        fclose(f);
    }
    for (int i = 0; *line && i < 8; i++)
        ticks = strtoull(at, &at, 10);
    return (double)ticks * 1000 / (double)sysconf(_SC_CLK_TCK);
}

bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

void lag_start(struct lag_watch *w, struct loop *l)
{
    loop_take_lag(l);
    w->waited_ms = core_wait_ms() + stolen_ms();
}

void lag_check(const struct lag_watch *w, struct loop *l)
{
    double lag = loop_take_lag(l).ms, waited = core_wait_ms() + stolen_ms() - w->waited_ms;
    if (getenv("RB_SHOW_LAG"))
        print_message("lag %.1f ms, waited %.1f ms\n", lag, waited);
#ifdef __SANITIZE_ADDRESS__
    double limit =
        150; /* computing (TLS, SCRAM) takes three times as long; a block is seen all the same */
#else
    double limit = under_valgrind() ? 1000 : 50;
#endif
    if (lag - waited >= limit)
        fail_msg("a turn of the loop took %.1f ms (%.1f ms of it at most for want of a core)", lag,
                 waited);
}

struct connection {
    struct server *server;
    int fd, n;
};

static void *serve_one(void *arg)
{
    struct connection *c = arg;
    struct server *s = c->server;
    s->fn(s, c->fd, c->n);
    close(c->fd);
    free(c);
    s->busy--;
    return NULL;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    int n = 0;
    while (!s->stopping) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (poll(&p, 1, 10) <= 0)
            continue;
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        struct connection *c = malloc(sizeof *c);
        *c = (struct connection){s, fd, ++n};
        s->busy++;
        s->accepted++;
        pthread_t t;
        if (pthread_create(&t, NULL, serve_one, c) == 0)
            pthread_detach(t);
    }
    while (s->busy > 0)
        usleep(1000);
    return NULL;
}

void server_start(struct server *s, void (*fn)(struct server *, int, int))
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    memset(s, 0, sizeof *s);
    s->fn = fn;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 64), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, serve, s), 0);
    s->thread = (unsigned long)t;
}

void server_stop(struct server *s)
{
    s->stopping = 1;
    pthread_join((pthread_t)s->thread, NULL);
    close(s->fd);
}

static bool readable(struct server *s, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!s->stopping)
        if (poll(&p, 1, 10) > 0)
            return true;
    return false;
}

size_t server_read_request(struct server *s, int fd, char *out, size_t size)
{
    size_t len = 0;
    while (len + 1 < size && readable(s, fd)) {
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        out[len] = '\0';
        char *end = strstr(out, "\r\n\r\n"), *cl = strcasestr(out, "content-length:");
        if (end &&
            len >= (size_t)(end + 4 - out) + (cl && cl < end ? strtoul(cl + 15, NULL, 10) : 0)) {
            s->requests++;
            return len;
        }
    }
    return 0;
}

void server_say(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

void server_linger(struct server *s, int fd)
{
    char scrap[4096];
    while (readable(s, fd) && recv(fd, scrap, sizeof scrap, 0) > 0) {
    }
}

void server_reset(int fd)
{
    struct linger l = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
}
