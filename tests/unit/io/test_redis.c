/* Redis against servers that lie: announced arrays without end, nests, floods, other protocols,
 * silence, words unasked. */
#include "help_io.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/redis.h"

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct redis *redis;
    struct server server;
    int count;
    bool left;
    char *text;
    struct err err;
    struct lag_watch lag;
};

/* What the server answers to anything. */
static const char *answer;
static size_t answer_len;
static bool unasked;

static void says(struct server *s, int fd, int n)
{
    (void)n;
    char block[1024];
    if (unasked)
        send(fd, answer, answer_len, MSG_NOSIGNAL);
    while (recv(fd, block, sizeof block, 0) > 0) {
        s->requests++;
        send(fd, answer, answer_len, MSG_NOSIGNAL);
    }
}

static void set_answer(const char *text)
{
    answer = text;
    answer_len = strlen(text);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->loop = loop_new(NULL);
    f->resolver = resolver_new(f->loop, "127.0.0.1:1", NULL);
    unasked = false;
    server_start(&f->server, says);
    struct redis_options o = {.host = "127.0.0.1", .port = f->server.port};
    f->redis = redis_new(f->loop, f->resolver, &o, NULL);
    lag_start(&f->lag, f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lag_check(&f->lag, f->loop);
    redis_free(f->redis);
    resolver_free(f->resolver);
    loop_free(f->loop); /* which closes the connection and so ends the server's thread */
    server_stop(&f->server);
    mem_free(f->text);
    mem_free(f);
    return 0;
}

static void got(void *arg, const struct json *reply, bool left, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->left = left;
    f->err = e ? *e : (struct err)ERR_INIT;
    mem_free(f->text);
    f->text = reply ? json_print(reply) : mem_strdup("(error)");
}

static int64_t deadline_ms = 5000;

static void ask(struct fixture *f)
{
    const char *argv[] = {"PING"};
    f->count = 0;
    redis_command(f->redis, argv, 1, deadline_ms, got, f);
    run_until(f->loop, &f->count, 1, 6000);
}

static void an_announced_array_allocates_nothing(void **state)
{
    struct fixture *f = *state;
    set_answer("*2000000000\r\n");
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    ask(f);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(f->err.code, ERR_LIMIT);
    assert_true(f->left);
    assert_true(after.ru_maxrss - before.ru_maxrss < 20000); /* KiB */
    set_answer("*9000\r\n*1001\r\n");
    ask(f);
    assert_int_equal(f->err.code, ERR_LIMIT);
}

static void deep_nests_are_refused(void **state)
{
    struct fixture *f = *state;
    set_answer("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n");
    ask(f);
    assert_int_equal(f->err.code, ERR_INPUT);
}

static void a_bulk_without_end_is_cut(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 6 << 20 };
    char *flood = mem_alloc(SIZE);
    memset(flood, 'x', SIZE);
    memcpy(flood, "$500000000\r\n", 12);
    answer = flood;
    answer_len = SIZE;
    ask(f);
    assert_int_equal(f->err.code, ERR_LIMIT);
    run_for(f->loop, 20); /* lets go of the connection, and so of the server's send */
    server_stop(&f->server);
    mem_free(flood);
    server_start(&f->server, says);
}

static void what_is_not_resp2_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
                         "%1\r\n+a\r\n+b\r\n",
                         "_\r\n",
                         ":abc\r\n",
                         "$-5\r\n",
                         "*-5\r\n",
                         "+OK\r\n+OK\r\n",
                         "\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        set_answer(bad[i]);
        ask(f);
        assert_true(f->err.code == ERR_INPUT || f->err.code == ERR_LIMIT);
        assert_true(f->left);
    }
    set_answer("+fine\r\n"); /* on a new connection */
    ask(f);
    assert_string_equal(f->text, "\"fine\"");
}

static void bytes_that_are_no_text_do_no_harm(void **state)
{
    struct fixture *f = *state;
    answer = "$6\r\na\0b\xff\xfe"
             "c\r\n";
    answer_len = 12;
    ask(f);
    assert_int_equal(f->err.code, 0);
    assert_string_equal(f->text, "\"a?b\xef\xbf\xbd\xef\xbf\xbd"
                                 "c\"");
}

static void half_an_answer_meets_the_deadline(void **state)
{
    struct fixture *f = *state;
    set_answer("$100\r\nhalf");
    int64_t start = now_ms();
    deadline_ms = 500;
    ask(f);
    deadline_ms = 5000;
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_in_range(now_ms() - start, 495, 3700);
}

static void words_unasked_are_not_an_answer(void **state)
{
    struct fixture *f = *state;
    set_answer("+one\r\n");
    ask(f);
    unasked = true;
    for (int i = 0; i < 5; i++) {
        ask(f);
        /* They come before the command, as its answer, or with it: never one left over for the next
         * command. */
        assert_true(f->err.code != 0 || !strcmp(f->text, "\"one\""));
        run_for(f->loop, 5);
    }
}

static void large_integers_stay_exact(void **state)
{
    struct fixture *f = *state;
    set_answer("*2\r\n:9223372036854775807\r\n:-9007199254740992\r\n");
    ask(f);
    assert_string_equal(f->text, "[\"9223372036854775807\",-9007199254740992]");
    set_answer(":9223372036854775807\r\n");
    ask(f);
    assert_string_equal(f->text, "\"9223372036854775807\"");
}

static void options_that_cannot_be_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct redis_options o = {.host = "127.0.0.1", .user = "someone"};
    assert_null(redis_new(f->loop, f->resolver, &o, &e));
    assert_int_equal(e.code, ERR_INPUT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    if (under_valgrind()) {
        puts("skipped: it stands on times and calls that valgrind does not keep; the asan preset "
             "runs it");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        T(an_announced_array_allocates_nothing),
        T(deep_nests_are_refused),
        T(a_bulk_without_end_is_cut),
        T(what_is_not_resp2_is_refused),
        T(bytes_that_are_no_text_do_no_harm),
        T(half_an_answer_meets_the_deadline),
        T(words_unasked_are_not_an_answer),
        T(large_integers_stay_exact),
        T(options_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
