/* PostgreSQL against servers that are none: silence, garbage, closing, endless messages; and the
 * names that hang. */
#include "help_io.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/pg.h"

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct server server;
    int count;
    bool left;
    struct err err;
    struct lag_watch lag;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->loop = loop_new(NULL);
    f->resolver = resolver_new(f->loop, "127.0.0.1:1", NULL);
    f->server.fd = -1;
    lag_start(&f->lag, f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lag_check(&f->lag, f->loop);
    resolver_free(f->resolver);
    loop_free(f->loop);
    if (f->server.fd >= 0)
        server_stop(&f->server);
    mem_free(f);
    return 0;
}

static void got(void *arg, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->left = left;
    assert_true((rows != NULL) != (e != NULL));
    f->err = e ? *e : (struct err)ERR_INIT;
}

static void ask(struct fixture *f, const char *host, const char *sslmode)
{
    struct pg_options o = {
        .host = host, .port = f->server.port, .user = "u", .sslmode = sslmode, .connect_ms = 400};
    struct pg *p = pg_new(f->loop, f->resolver, &o);
    f->count = 0;
    pg_query(p, "SELECT 1", NULL, 0, 50, got, f);
    assert_int_equal(f->count, 0);
    run_until(f->loop, &f->count, 1, 3000);
    pg_free(p);
}

static void linger(struct server *s, int fd, int n)
{
    (void)n;
    server_linger(s, fd);
}

static void a_silent_server_meets_the_deadline(void **state)
{
    struct fixture *f = *state;
    server_start(&f->server, linger);
    const char *modes[] = {"disable", "prefer", "verify-full"};
    for (int i = 0; i < 3; i++) {
        int64_t start = now_ms();
        ask(f, "localhost", modes[i]);
        assert_in_range(now_ms() - start, 395, 3500);
        assert_int_equal(f->err.code, ERR_TIMEOUT);
        assert_false(f->left);
    }
}

static void hung_names_and_missing_sockets_have_not_left(void **state)
{
    struct fixture *f = *state;
    int64_t start = now_ms();
    ask(f, "db.example.test", NULL);
    assert_true(now_ms() - start < 3700);
    assert_true(f->err.code != 0);
    assert_false(f->left);
    ask(f, "/nonexistent", NULL);
    assert_int_equal(f->err.code, ERR_IO);
    assert_false(f->left);
    assert_non_null(strstr(f->err.text, "/nonexistent/.s.PGSQL."));
}

static void closes(struct server *s, int fd, int n)
{
    (void)s, (void)n;
    server_reset(fd);
}

static void talks_http(struct server *s, int fd, int n)
{
    (void)n;
    server_say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    server_linger(s, fd);
}

static void garbage_and_closing_have_not_left(void **state)
{
    struct fixture *f = *state;
    void (*kinds[])(struct server *, int, int) = {closes, talks_http};
    for (int i = 0; i < 4; i++) {
        server_start(&f->server, kinds[i % 2]);
        ask(f, "127.0.0.1", i < 2 ? "disable" : "require");
        assert_true(f->err.code != 0);
        assert_false(f->left);
        server_stop(&f->server);
        f->server.fd = -1;
    }
}

/* Lets anyone in, then answers each statement with what the test wants. */
static const char *reply;
static size_t reply_len;

static void lets_in(struct server *s, int fd, int n)
{
    (void)n;
    char block[4096];
    if (recv(fd, block, sizeof block, 0) <= 0)
        return;
    send(fd, "R\0\0\0\10\0\0\0\0Z\0\0\0\5I", 15, MSG_NOSIGNAL);
    while (recv(fd, block, sizeof block, 0) > 0) {
        if (s->requests++ == 0) /* the session's settings */
            send(fd, "C\0\0\0\15SELECT 0\0Z\0\0\0\5I", 20, MSG_NOSIGNAL);
        else
            send(fd, reply, reply_len, MSG_NOSIGNAL);
    }
}

static void a_server_that_takes_the_statement_leaves_doubt(void **state)
{
    struct fixture *f = *state;
    struct {
        const char *bytes;
        size_t len;
        int code;
    } cases[] = {
        {"", 0, ERR_TIMEOUT},               /* nothing */
        {"\377\377\377\377\377\377", 6, 0}, /* no message */
        {"D\177\377\377\377\0\1", 7, 0},    /* a row of 2 GB */
        {"T\0\0\0\6\0\1", 7, 0},            /* a column that is not there */
        {"E\0\0\0\35SFATAL\0C57P01\0Mthe end\0\0Z\0\0\0\5I", 36, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reply = cases[i].bytes;
        reply_len = cases[i].len;
        server_start(&f->server, lets_in);
        ask(f, "127.0.0.1", "disable");
        assert_true(f->err.code != 0);
        if (cases[i].code)
            assert_int_equal(f->err.code, cases[i].code);
        assert_true(f->left);
        run_for(f->loop, 5);
        server_stop(&f->server);
        f->server.fd = -1;
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_silent_server_meets_the_deadline),
        T(hung_names_and_missing_sockets_have_not_left),
        T(garbage_and_closing_have_not_left),
        T(a_server_that_takes_the_statement_leaves_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
