/* The HTTP server against those who send too much, too slowly, or too many at a time. */
#include "help_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/mem.h"
#include "io/httpd.h"

struct fixture {
    struct loop *loop;
    struct httpd *httpd;
    int port, served;
    char said[256];
};

static void on_request(void *arg, const struct httpd_request *r, struct httpd_reply *out)
{
    struct fixture *f = arg;

    f->served++;
    snprintf(f->said, sizeof(f->said), "%s %s %.*s %s", r->method, r->path, (int)r->body_len,
             r->body, httpd_header(r, "x-a") ? httpd_header(r, "x-a") : "-");
    out->status = strcmp(r->path, "/none") == 0 ? 404 : 200;
    buf_adds(&out->body, "hello\n");
}

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    struct err e = ERR_INIT;
    char listen[32];
    struct httpd_options o = {.listen = listen,
                              .max_conns = 3,
                              .max_head = 1000,
                              .max_body = 2000,
                              .idle_ms = 300,
                              .total_ms = 500};

    f->port = free_port();
    snprintf(listen, sizeof(listen), "127.0.0.1:%d", f->port);
    f->loop = loop_new(&e);
    f->httpd = httpd_listen(f->loop, &o, on_request, f, &e);
    if (!f->httpd)
        fail_msg("%s", e.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    httpd_free(f->httpd);
    run_for(f->loop, 5);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static int dial(const struct fixture *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)f->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* All that comes until the connection ends; how long that took, or -1: it did not within ms. */
static int64_t hear(struct fixture *f, int fd, char *out, size_t size, int64_t ms)
{
    int64_t from = now_ms();
    size_t len = 0;

    *out = 0;
    while (now_ms() - from < ms) {
        ssize_t n;
        run_for(f->loop, 4);
        n = recv(fd, out + len, size - len - 1, 0);
        if (n > 0)
            len += (size_t)n;
        out[len] = 0;
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return now_ms() - from;
    }
    return -1;
}

static void a_request_is_answered_and_closed(void **state)
{
    struct fixture *f = *state;
    char got[1000];
    int fd = dial(f);

    say(fd, "POST /x?y=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi");
    assert_true(hear(f, fd, got, sizeof(got), 2000) >= 0);
    assert_string_equal(f->said, "POST /x hi 1");
    assert_non_null(strstr(got, "HTTP/1.1 200"));
    assert_non_null(strstr(got, "Connection: close"));
    assert_non_null(strstr(got, "\r\n\r\nhello\n"));
    close(fd);
}

static void what_is_too_much_is_refused(void **state)
{
    struct fixture *f = *state;
    char got[1000], big[4000];
    static const char *const heads[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: ",
        "\x16\x03\x01\x02garbage\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n",
    };

    memset(big, 'y', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    for (size_t k = 0; k < sizeof(heads) / sizeof(heads[0]); k++) {
        int fd = dial(f);
        say(fd, heads[k]);
        say(fd, big);
        if (hear(f, fd, got, sizeof(got), 3000) < 0)
            fail_msg("not closed: %s", heads[k]);
        if (*got && !strstr(got, " 4") && !strstr(got, " 5"))
            fail_msg("%s: %s", heads[k], got);
        close(fd);
    }
    assert_int_equal(f->served, 0);
}

static void one_that_drips_is_cut(void **state)
{
    struct fixture *f = *state;
    char got[1000];
    int fd = dial(f);
    int64_t from = now_ms();

    say(fd, "GET / HTTP/1.1\r\nX: ");
    while (now_ms() - from < 3000) {
        say(fd, "y"); /* never idle for long */
        if (hear(f, fd, got, sizeof(got), 50) >= 0)
            break;
    }
    assert_in_range(now_ms() - from, 450, 2900);
    assert_int_equal(f->served, 0);
    close(fd);
}

static void a_crowd_waits_and_is_served(void **state)
{
    struct fixture *f = *state;
    char got[1000];
    int crowd[6], fd;

    for (int k = 0; k < 6; k++)
        crowd[k] = dial(f); /* silent: three are taken, three wait in the kernel */
    run_for(f->loop, 20);
    fd = dial(f);
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    run_for(f->loop, 50);
    assert_int_equal(f->served, 0);
    assert_true(hear(f, fd, got, sizeof(got), 5000) >= 0);
    assert_int_equal(f->served, 1);
    for (int k = 0; k < 6; k++)
        close(crowd[k]);
    close(fd);
}

static int said_by_libevent;

static void on_libevent(int severity, const char *text)
{
    (void)severity;
    (void)text;
    said_by_libevent++;
}

/* libevent would ask again at once and for ever, with a line on stderr each time. */
static void without_a_descriptor_it_waits(void **state)
{
    struct fixture *f = *state;
    struct rlimit was, none;
    char got[512];
    int fd = dial(f), lowest = dup(0);

    close(lowest);
    event_set_log_callback(on_libevent);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    run_for(f->loop, 250);
    setrlimit(RLIMIT_NOFILE, &was);
    event_set_log_callback(NULL);
    assert_int_equal(said_by_libevent, 0);
    assert_int_equal(f->served, 0);
    hear(f, fd, got, sizeof(got), 1000);
    assert_non_null(strstr(got, "hello"));
    close(fd);
}

static void bad_addresses_are_said(void **state)
{
    struct fixture *f = *state;
    char taken[32];
    struct err e = ERR_INIT;
    static const char *const bad[] = {
        "", "localhost:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "[::1"};

    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        struct httpd_options o = {.listen = bad[k]};
        assert_null(httpd_listen(f->loop, &o, on_request, f, &e));
        assert_int_equal(e.code, ERR_INPUT);
    }
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", f->port);
    struct httpd_options o = {.listen = taken};
    assert_null(httpd_listen(f->loop, &o, on_request, f, &e));
    assert_int_equal(e.code, ERR_IO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered_and_closed),
        TEST(what_is_too_much_is_refused),
        TEST(one_that_drips_is_cut),
        TEST(a_crowd_waits_and_is_served),
        TEST(without_a_descriptor_it_waits),
        TEST(bad_addresses_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
