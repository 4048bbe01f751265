/* The scripted server: one thread, one connection after the other, one request a connection. */
#include "help_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REQUEST 65536

/* Head and body of one request; NULL at the end of the stream. */
static char *read_request(struct server *s, int fd)
{
    char *text = calloc(1, MAX_REQUEST + 1), *end;
    size_t len = 0, want = 0;

    while (!s->stopping) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;
        if (poll(&p, 1, 10) <= 0)
            continue;
        n = read(fd, text + len, MAX_REQUEST - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        if (!want && (end = strstr(text, "\r\n\r\n"))) {
            char *length = strcasestr(text, "\r\nContent-Length:");
            want = (size_t)(end - text) + 4 +
                   (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
        }
        if (want && len >= want)
            return text;
    }
    free(text);
    return NULL;
}

static void play(struct server *s, int fd, const struct line *l)
{
    const char *body = l->body ? l->body : "";
    struct linger now = {1, 0};
    char *answer = NULL;
    int len;

    if (l->before)
        l->before(l->arg);
    switch (l->act) {
    case RESET:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        break;
    case SILENT:
        while (!s->stopping) {
            struct pollfd p = {.fd = fd, .events = POLLRDHUP};
            if (poll(&p, 1, 10) > 0)
                break;
        }
        break;
    case SAY:
        len = asprintf(&answer,
                       "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
                       l->status, strlen(body), l->headers ? l->headers : "", body);
        for (ssize_t at = 0, n = 0; at < len; at += n)
            if ((n = send(fd, answer + at, (size_t)(len - at), MSG_NOSIGNAL)) <= 0)
                break;
        free(answer);
        break;
    }
}

static void *serve(void *arg)
{
    struct server *s = arg;

    while (!s->stopping) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        int fd, n;
        char *request;
        if (poll(&p, 1, 10) <= 0 || (fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
            continue;
        request = read_request(s, fd);
        if (request) {
            n = s->requests;
            if (n < MAX_REQUESTS)
                s->request[n] = request;
            else
                free(request);
            s->requests = n + 1;
            play(s, fd, &s->script[(size_t)n < s->nscript ? (size_t)n : s->nscript - 1]);
        }
        close(fd);
    }
    return NULL;
}

void server_start(struct server *s, const struct line *script, size_t nscript)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    memset(s, 0, sizeof *s);
    s->script = script;
    s->nscript = nscript;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    s->port = ntohs(a.sin_port);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", s->port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

void server_stop(struct server *s)
{
    s->stopping = 1;
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (int i = 0; i < MAX_REQUESTS; i++)
        free(s->request[i]);
}

bool server_saw(struct server *s, int n, const char *text)
{
    return n < s->requests && s->request[n] && strstr(s->request[n], text);
}

void world_open(struct world *w)
{
    struct err e = ERR_INIT;
    w->loop = loop_new(&e);
    assert_non_null(w->loop);
    w->resolver = resolver_new(w->loop, NULL, &e);
    assert_non_null(w->resolver);
    w->http = http_new(w->loop, w->resolver, NULL, &e);
    assert_non_null(w->http);
}

void world_close(struct world *w)
{
    http_free(w->http);
    resolver_free(w->resolver);
    loop_free(w->loop);
}

struct waiting {
    struct world *w;
    const int *count;
    int n;
    int64_t end_ms;
    struct loop_timer *timer;
};

static void look(void *arg)
{
    struct waiting *x = arg;
    if ((x->count && *x->count >= x->n) || loop_boot_ms(x->w->loop) >= x->end_ms)
        loop_stop(x->w->loop, 0);
    else
        loop_timer_set(x->timer, 5);
}

void world_run(struct world *w, const int *count, int n, int64_t max_ms)
{
    struct waiting x = {w, count, n, loop_boot_ms(w->loop) + max_ms, NULL};
    x.timer = loop_timer_new(w->loop, look, &x);
    loop_timer_set(x.timer, 0);
    loop_run(w->loop);
    loop_timer_free(x.timer);
    if (count && *count < n)
        fail_msg("%d of %d callbacks after %lld ms", *count, n, (long long)max_ms);
}

void world_wait(struct world *w, int64_t ms)
{
    world_run(w, NULL, 0, ms);
}

void clear_environment(void)
{
    for (char **v = environ; *v;) {
        char name[64];
        size_t len = strcspn(*v, "=");
        if (strncmp(*v, "AWS_", 4) == 0 && len < sizeof name) {
            memcpy(name, *v, len);
            name[len] = '\0';
            unsetenv(name);
        } else {
            v++;
        }
    }
    setenv("HOME", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

void write_file(const char *path, const char *text)
{
    char temporary[256];
    FILE *f;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    f = fopen(temporary, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(temporary, path), 0);
}
