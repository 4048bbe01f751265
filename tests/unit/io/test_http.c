/* HTTP: what is sent, what is refused, what is in doubt; never twice for a mutating call; no stall
 * whatever the peer does. */
#include "help_io.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/http.h"

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct server server;
    int count, dns_fd;
    int status;
    bool left;
    char *body;
    size_t body_len;
    char header[128];
    long retry_after_s;
    struct err err;
};

static char last_request[65536];

static void got(void *arg, const struct http_answer *a, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->status = a->status;
    f->left = a->request_left;
    mem_free(f->body);
    f->body = mem_strndup(a->body ? a->body : "", a->body_len);
    f->body_len = a->body_len;
    const char *h = http_answer_header(a, "x-answer");
    snprintf(f->header, sizeof f->header, "%s", h ? h : "");
    f->retry_after_s = http_retry_after_s(a, 784111777000);
    f->err = e ? *e : (struct err)ERR_INIT;
    assert_true((a->status != 0) != (e != NULL));
    if (e)
        assert_null(strchr(e->text, '?')); /* no query in a message */
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    /* A nameserver that never answers. */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char ns[32];
    f->dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->dns_fd, (struct sockaddr *)&a, sizeof a), 0);
    getsockname(f->dns_fd, (struct sockaddr *)&a, &len);
    snprintf(ns, sizeof ns, "127.0.0.1:%d", ntohs(a.sin_port));
    f->loop = loop_new(NULL);
    f->resolver = resolver_new(f->loop, ns, NULL);
    f->http = http_new(f->loop, f->resolver, NULL, NULL);
    assert_non_null(f->http);
    f->server.fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_free(f->http);
    resolver_free(f->resolver);
    loop_free(f->loop);
    if (f->server.fd >= 0)
        server_stop(&f->server);
    close(f->dns_fd);
    mem_free(f->body);
    mem_free(f);
    return 0;
}

static struct http_call *send_to(struct fixture *f, struct http_request r, const char *scheme,
                                 const char *host)
{
    char url[128];
    snprintf(url, sizeof url, "%s://%s:%d/some/./path%%2f?secret=1", scheme, host, f->server.port);
    r.url = url;
    if (!r.method)
        r.method = "GET";
    if (!r.total_ms)
        r.total_ms = 3000;
    int before = f->count;
    struct http_call *c = http_send(f->http, &r, got, f);
    assert_int_equal(f->count, before); /* never from inside */
    return c;
}

static void ask(struct fixture *f, struct http_request r)
{
    f->count = 0;
    send_to(f, r, "http", "localhost");
    run_until(f->loop, &f->count, 1, 5000);
}

#define GET ((struct http_request){.method = "GET"})

static void keeps_alive(struct server *s, int fd, int n)
{
    (void)n;
    while (server_read_request(s, fd, last_request, sizeof last_request))
        server_say(fd,
                   "HTTP/1.1 100 Continue\r\nX-Answer: early\r\n\r\nHTTP/1.1 201 "
                   "Created\r\nX-Answer:  yes \r\n"
                   "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\r\nContent-Length: 5\r\n\r\nhello");
}

static void an_answer_comes_whole(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, keeps_alive);
    struct http_header h[] = {{"X-One", "1"}, {"X-Empty", ""}};
    ask(f, (struct http_request){
               .method = "PUT", .headers = h, .nheaders = 2, .body = "a\0b", .body_len = 3});
    assert_int_equal(f->err.code, 0);
    assert_int_equal(f->status, 201);
    assert_string_equal(f->body, "hello");
    assert_string_equal(f->header, "yes");
    assert_int_equal(f->retry_after_s, 60);
    assert_true(f->left);
    /* as it was signed */
    assert_non_null(strstr(last_request, "PUT /some/./path%2f?secret=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(last_request, "\r\nContent-Length: 3\r\n"));
    assert_non_null(strstr(last_request, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(last_request, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(last_request, "\r\nUser-Agent: runbookd/"));
    assert_null(strcasestr(last_request, "accept-encoding"));
    assert_null(strcasestr(last_request, "expect:"));
    assert_null(strcasestr(last_request, "content-type"));
    assert_memory_equal(strstr(last_request, "\r\n\r\n") + 4, "a\0b", 3);
}

static void the_environments_proxy_is_not_used(void **state)
{
    struct fixture *f = *state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    server_start(&f->server, keeps_alive);
    ask(f, GET);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(f->status, 201);
}

static void plain_calls_share_a_connection_and_mutating_ones_do_not(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, keeps_alive);
    for (int i = 0; i < 3; i++)
        ask(f, GET);
    assert_int_equal(f->server.accepted, 1);
    for (int i = 0; i < 3; i++)
        ask(f,
            (struct http_request){.method = "POST", .body = "x", .body_len = 1, .mutating = true});
    assert_int_equal(f->server.accepted, 4);
    ask(f, GET);
    assert_int_equal(f->server.accepted, 4);
}

/* Answers the first request of a connection, takes the second and closes: what libcurl resends by
 * itself. */
static void closes_after_second(struct server *s, int fd, int n)
{
    (void)n;
    if (server_read_request(s, fd, last_request, sizeof last_request))
        server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    server_read_request(s, fd, last_request, sizeof last_request);
}

static void libcurl_sends_a_plain_post_twice(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, closes_after_second);
    ask(f, GET);
    ask(f, (struct http_request){.method = "POST", .body = "x", .body_len = 1});
    assert_int_equal(f->status, 200);
    assert_int_equal(f->server.requests, 3); /* one GET, the POST twice: why mutating exists */
}

static void takes_and_closes(struct server *s, int fd, int n)
{
    if (server_read_request(s, fd, last_request, sizeof last_request) && n == 1) {
        server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        server_read_request(s, fd, last_request, sizeof last_request);
    }
}

static void a_mutating_post_is_never_sent_twice(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, takes_and_closes);
    ask(f, GET);
    assert_int_equal(f->status, 200);
    for (int i = 0; i < 3; i++) {
        ask(f,
            (struct http_request){.method = "POST", .body = "x", .body_len = 1, .mutating = true});
        assert_int_equal(f->status, 0);
        assert_int_equal(f->err.code, ERR_IO);
        assert_true(f->left); /* in doubt */
        assert_int_equal(f->server.requests, 2 + i);
    }
}

static void linger(struct server *s, int fd, int n)
{
    (void)n;
    server_linger(s, fd);
}

static void a_hung_server_meets_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct lag_watch w;
    server_start(&f->server, linger);
    lag_start(&w, f->loop);
    int64_t start = now_ms();
    ask(f, (struct http_request){.method = "POST", .body = "x", .body_len = 1, .total_ms = 300});
    assert_in_range(now_ms() - start, 295, 3400);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_true(f->left);
    assert_non_null(strstr(f->err.text, "POST http://localhost:"));
    assert_non_null(strstr(f->err.text, "waiting for the answer"));
    assert_null(strstr(f->err.text, "effect")); /* a question has none */
    lag_check(&w, f->loop);
    ask(f, (struct http_request){
               .method = "POST", .body = "x", .body_len = 1, .total_ms = 100, .mutating = true});
    assert_non_null(strstr(f->err.text, "its effect is unknown"));
}

static void a_hung_tls_handshake_has_not_left(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, linger);
    send_to(f, (struct http_request){.method = "POST", .body = "x", .body_len = 1, .total_ms = 300},
            "https", "localhost");
    run_until(f->loop, &f->count, 1, 2000);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_false(f->left);
    assert_non_null(strstr(f->err.text, "connecting (TCP, TLS)"));
}

static void a_refused_connection_has_not_left(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, linger);
    server_stop(&f->server);
    f->server.fd = -1;
    ask(f, (struct http_request){.method = "POST", .body = "x", .body_len = 1, .mutating = true});
    assert_int_equal(f->err.code, ERR_IO);
    assert_false(f->left);
    assert_non_null(strstr(f->err.text, "connecting"));
}

static void hung_dns_has_not_left_and_stalls_nothing(void **state)
{
    struct fixture *f = *state;
    struct lag_watch w;
    server_start(&f->server, linger);
    lag_start(&w, f->loop);
    int64_t start = now_ms();
    send_to(f, (struct http_request){.method = "GET", .total_ms = 300}, "http", "db.example.test");
    run_until(f->loop, &f->count, 1, 2000);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_false(f->left);
    assert_in_range(now_ms() - start, 295, 3400);
    send_to(f, GET, "http", "db.example.test");
    http_free(f->http); /* curl joins its own resolver's thread here, if it has one */
    f->http = http_new(f->loop, f->resolver, NULL, NULL);
    assert_true(now_ms() - start < 4000);
    lag_check(&w, f->loop);
}

static void drips(struct server *s, int fd, int n)
{
    (void)n;
    server_read_request(s, fd, last_request, sizeof last_request);
    server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (!s->stopping && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
        usleep(20000);
}

static void a_slow_drip_meets_the_total_deadline(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, drips);
    int64_t start = now_ms();
    ask(f, (struct http_request){.method = "GET", .total_ms = 400});
    assert_in_range(now_ms() - start, 395, 3500);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_non_null(strstr(f->err.text, "reading the answer"));
}

static void floods(struct server *s, int fd, int n)
{
    (void)n;
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    char block[4096];
    memset(block, 'x', sizeof block);
    server_read_request(s, fd, last_request, sizeof last_request);
    server_say(fd, head);
    while (!s->stopping && send(fd, block, sizeof block, MSG_NOSIGNAL) > 0)
        s->requests++;
}

static void breaks_off(struct server *s, int fd, int n)
{
    (void)n;
    server_read_request(s, fd, last_request, sizeof last_request);
    server_say(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\nhalf of");
}

static void promises(struct server *s, int fd, int n)
{
    (void)n;
    server_read_request(s, fd, last_request, sizeof last_request);
    server_say(fd, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void a_huge_body_is_cut(void **state)
{
    struct fixture *f = *state;
    struct lag_watch w;
    server_start(&f->server, floods);
    lag_start(&w, f->loop);
    ask(f, (struct http_request){.method = "GET", .max_body = 1 << 20});
    assert_int_equal(f->err.code, ERR_LIMIT);
    assert_true(f->left);
    lag_check(&w, f->loop);
}

/* A report that was taken must not be sent again because of what came after the status. */
static void the_status_is_enough_where_nothing_else_counts(void **state)
{
    struct fixture *f = *state;
    struct http_request q = {.method = "GET", .max_body = 4096, .total_ms = 400, .by_status = true};
    server_start(&f->server, floods);
    ask(f, q);
    assert_int_equal(f->err.code, 0);
    assert_int_equal(f->status, 200);
    assert_true(f->body_len <= 4096);
    f->server.fn = drips; /* no end within the time */
    ask(f, q);
    assert_int_equal(f->status, 200);
    assert_in_range(f->body_len, 1, 999);
    f->server.fn = breaks_off;
    ask(f, q);
    assert_int_equal(f->status, 503);
    f->server.fn = promises; /* 100 Continue is no answer */
    ask(f, q);
    assert_int_equal(f->status, 0);
    assert_int_not_equal(f->err.code, 0);
}

static void floods_headers(struct server *s, int fd, int n)
{
    (void)n;
    server_read_request(s, fd, last_request, sizeof last_request);
    server_say(fd, "HTTP/1.1 200 OK\r\n");
    while (!s->stopping &&
           send(fd, "X-Answer: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 48, MSG_NOSIGNAL) > 0) {
    }
}

static void endless_headers_are_cut(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, floods_headers);
    ask(f, GET);
    assert_true(f->err.code == ERR_LIMIT || f->err.code == ERR_IO);
    assert_int_equal(f->status, 0);
}

static void resets(struct server *s, int fd, int n)
{
    server_read_request(s, fd, last_request, sizeof last_request);
    if (n == 2)
        server_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    server_reset(fd);
}

static void a_reset_is_in_doubt(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, resets);
    for (int i = 0; i < 2; i++) {
        ask(f,
            (struct http_request){.method = "POST", .body = "x", .body_len = 1, .mutating = true});
        assert_int_equal(f->err.code, ERR_IO);
        assert_int_equal(f->status, 0);
        assert_true(f->left);
    }
}

static void redirects(struct server *s, int fd, int n)
{
    (void)n;
    server_read_request(s, fd, last_request, sizeof last_request);
    server_say(fd,
               "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
}

static void redirects_are_not_followed(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, redirects);
    ask(f, GET);
    assert_int_equal(f->status, 302);
    assert_int_equal(f->server.requests, 1);
}

static void what_is_wrong_is_refused_before_it_leaves(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, keeps_alive);
    const char *urls[] = {"",
                          "nonsense",
                          "ftp://localhost/",
                          "file:///etc/passwd",
                          "http://user:pw@localhost/?q",
                          "http://localhost./",
                          "http://a b/",
                          "gopher://localhost/"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        f->count = 0;
        http_send(f->http, &(struct http_request){.method = "GET", .url = urls[i]}, got, f);
        assert_int_equal(f->count, 0);
        run_until(f->loop, &f->count, 1, 1000);
        assert_int_equal(f->err.code, ERR_INPUT);
        assert_false(f->left);
        assert_null(strstr(f->err.text, "pw"));
    }
    struct http_header bad[] = {{"X-A", "1\r\nX-B: 2"}, {"X A", "1"}, {"", "1"}, {"X\r\nY", "1"}};
    for (int i = 0; i < 4; i++) {
        ask(f, (struct http_request){.method = "GET", .headers = &bad[i], .nheaders = 1});
        assert_int_equal(f->err.code, ERR_INPUT);
    }
    ask(f, (struct http_request){.method = "DELETE"});
    assert_int_equal(f->err.code, ERR_INPUT);
    ask(f, (struct http_request){.method = "GET", .body = "x", .body_len = 1});
    assert_int_equal(f->err.code, ERR_INPUT);
    assert_int_equal(f->server.accepted, 0);
}

static void a_cancelled_call_is_silent(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, linger);
    http_cancel(send_to(f, GET, "http", "localhost")); /* before it began */
    http_cancel(send_to(f, GET, "http", "db.example.test"));
    http_cancel(send_to(f, (struct http_request){.method = "DELETE"}, "http", "localhost"));
    struct http_call *c = send_to(f, GET, "http", "localhost");
    for (int i = 0; i < 100 && !f->server.accepted; i++)
        run_for(f->loop, 10);
    assert_int_equal(f->server.accepted, 1);
    http_cancel(c); /* in the middle */
    run_for(f->loop, 50);
    assert_int_equal(f->count, 0);
}

struct pair {
    struct pair *peer;
    struct http_call *call;
    int *count;
};

static void cancel_peer(void *arg, const struct http_answer *a, const struct err *e)
{
    (void)a, (void)e;
    struct pair *p = arg;
    ++*p->count;
    p->call = NULL;
    http_cancel(p->peer->call);
    p->peer->call = NULL;
}

/* Both may end in one turn: then the first one's callback takes the second out of what is to be
 * told. */
static void a_callback_may_cancel_another(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, keeps_alive);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", f->server.port);
    struct http_request r = {.method = "GET", .url = url}, refused = {.method = "GET", .url = "x"};
    for (int i = 0; i < 20; i++) {
        f->count = 0;
        struct pair p[2] = {{&p[1], NULL, &f->count}, {&p[0], NULL, &f->count}};
        for (int k = 0; k < 2; k++)
            p[k].call = http_send(f->http, i % 2 ? &r : &refused, cancel_peer, &p[k]);
        run_until(f->loop, &f->count, 1, 5000);
        run_for(f->loop, 10);
        assert_int_equal(f->count, 1);
    }
}

static void many_at_once(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, keeps_alive);
    for (int i = 0; i < 40; i++)
        send_to(f, (struct http_request){.method = "GET", .total_ms = 20000}, "http", "localhost");
    run_until(f->loop, &f->count, 40, 20000);
    assert_int_equal(f->status, 201);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_answer_comes_whole),
        T(the_environments_proxy_is_not_used),
        T(plain_calls_share_a_connection_and_mutating_ones_do_not),
        T(libcurl_sends_a_plain_post_twice),
        T(a_mutating_post_is_never_sent_twice),
        T(a_hung_server_meets_the_deadline),
        T(a_hung_tls_handshake_has_not_left),
        T(a_refused_connection_has_not_left),
        T(hung_dns_has_not_left_and_stalls_nothing),
        T(a_slow_drip_meets_the_total_deadline),
        T(a_huge_body_is_cut),
        T(the_status_is_enough_where_nothing_else_counts),
        T(endless_headers_are_cut),
        T(a_reset_is_in_doubt),
        T(redirects_are_not_followed),
        T(what_is_wrong_is_refused_before_it_leaves),
        T(a_cancelled_call_is_silent),
        T(a_callback_may_cancel_another),
        T(many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
