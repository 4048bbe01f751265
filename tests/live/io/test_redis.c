/* The Redis connection against a real server, plain and TLS (by how the server was started), and
 * the certificate probe against the latter. */
#include "help_io.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "harness/number.h"
#include "io/redis.h"
#include "io/tls.h"

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct redis *redis;
    int count;
    bool left;
    char *text; /* the answer as JSON */
    struct err err;
    int64_t not_after_ms;
    struct lag_watch lag;
};

static struct redis_options options(void)
{
    return (struct redis_options){.host = "localhost",
                                  .port = number_in(getenv("REDIS_PORT")),
                                  .password = "right",
                                  .tls = getenv("RB_REDIS_CA") != NULL,
                                  .ca_file = getenv("RB_REDIS_CA")};
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    struct redis_options o = options();
    f->loop = loop_new(NULL);
    f->resolver = resolver_new(f->loop, NULL, NULL);
    f->redis = redis_new(f->loop, f->resolver, &o, &f->err);
    if (!f->redis)
        fail_msg("%s", f->err.text);
    lag_start(&f->lag, f->loop);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lag_check(&f->lag, f->loop); /* in every test */
    redis_free(f->redis);
    resolver_free(f->resolver);
    loop_free(f->loop);
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
    assert_true((reply != NULL) != (e != NULL));
    mem_free(f->text);
    f->text = reply ? json_print(reply) : mem_strdup("(error)");
}

/* Words split at spaces. */
static void command(struct redis *r, const char *line, int64_t timeout_ms, redis_fn *fn, void *arg)
{
    char copy[512], *save = NULL;
    const char *argv[16];
    size_t n = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    redis_command(r, argv, n, timeout_ms, fn, arg);
}

static void run(struct fixture *f, const char *line, int64_t timeout_ms)
{
    f->count = 0;
    command(f->redis, line, timeout_ms, got, f);
    assert_int_equal(f->count, 0);
    run_until(f->loop, &f->count, 1, timeout_ms + 5000);
}

static void use(struct fixture *f, struct redis_options o)
{
    redis_free(f->redis);
    f->redis = redis_new(f->loop, f->resolver, &o, &f->err);
    if (!f->redis)
        fail_msg("%s", f->err.text);
}

static void answers_of_every_kind(void **state)
{
    struct fixture *f = *state;
    run(f, "PING", 1000);
    assert_string_equal(f->text, "\"PONG\"");
    assert_true(f->left);
    run(f, "SET k it's", 1000);
    run(f, "GET k", 1000);
    assert_string_equal(f->text, "\"it's\"");
    run(f, "GET none", 1000);
    assert_string_equal(f->text, "null");
    run(f, "INCRBY n 41", 1000);
    assert_string_equal(f->text, "\"41\"");
    run(f, "DEL n", 1000);
    run(f, "EVAL return{1,'two',{3,{}},false,{err='BAD'}} 0", 1000);
    assert_string_equal(f->text, "[1,\"two\",[3,[]],null,\"-BAD\"]");
    run(f, "EVAL return{} 0", 1000);
    assert_string_equal(f->text, "[]");
    run(f, "INFO server", 1000);
    assert_non_null(strstr(f->text, "redis_version"));
    run(f, "NOSUCH", 1000);
    assert_int_equal(f->err.code, ERR_INPUT);
    assert_true(f->left);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, 0);
}

static void an_argument_is_one_argument(void **state)
{
    struct fixture *f = *state;
    const char *set[] = {"SET", "k", "a b\r\nDEL k\r\n"}, *get[] = {"GET", "k"};
    redis_command(f->redis, set, 3, 1000, got, f);
    redis_command(f->redis, get, 2, 1000, got, f);
    run_until(f->loop, &f->count, 2, 3000);
    assert_string_equal(f->text, "\"a b\\r\\nDEL k\\r\\n\"");
}

static void what_is_too_large_is_cut(void **state)
{
    struct fixture *f = *state;
    run(f, "EVAL return(string.rep('x',1000000)) 0", 3000);
    assert_int_equal(f->err.code, 0);
    run(f, "EVAL return(string.rep('x',5000000)) 0", 3000);
    assert_int_equal(f->err.code, ERR_LIMIT);
    run(f, "EVAL local(t)={};for(i)=1,10001(do)t[i]=i(end)return(t) 0", 3000);
    /* not Lua: the line splits at spaces; the real one follows */
    assert_int_equal(f->err.code, ERR_INPUT);
    const char *many[] = {"EVAL", "local t = {} for i = 1, 10001 do t[i] = i end return t", "0"};
    f->count = 0;
    redis_command(f->redis, many, 3, 3000, got, f);
    run_until(f->loop, &f->count, 1, 5000);
    assert_int_equal(f->err.code, ERR_LIMIT);
    const char *fits[] = {"EVAL", "local t = {} for i = 1, 10000 do t[i] = i end return t", "0"};
    f->count = 0;
    redis_command(f->redis, fits, 3, 3000, got, f);
    run_until(f->loop, &f->count, 1, 5000);
    assert_int_equal(f->err.code, 0);
}

static void what_cannot_connect_has_not_left(void **state)
{
    struct fixture *f = *state;
    struct redis_options o = options();
    o.password = "wrong";
    use(f, o);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    o = options();
    o.password = NULL;
    use(f, o);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_true(f->left);
    o = options();
    o.port = 1;
    use(f, o);
    f->count = 0;
    for (int i = 0; i < 5; i++)
        command(f->redis, "PING", 1000, got, f);
    run_until(f->loop, &f->count, 5, 1000);
    assert_int_equal(f->err.code, ERR_IO);
    assert_non_null(strstr(f->err.text, "refused"));
    assert_false(f->left);
    o = options();
    o.host = "no.such.name.invalid";
    o.connect_ms = 300;
    use(f, o);
    int64_t start = now_ms();
    run(f, "PING", 1000);
    assert_false(f->left);
    assert_true(now_ms() - start < 4000);
    if (!options().tls)
        return;
    o = options();
    o.ca_file = NULL; /* the system's: this server's CA is not in it */
    use(f, o);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    o = options();
    o.host = "127.0.0.2"; /* not in the certificate */
    use(f, o);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    o.host = "127.0.0.1";
    use(f, o);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, 0);
    struct err e = ERR_INIT;
    o.ca_file = "/nonexistent";
    assert_null(redis_new(f->loop, f->resolver, &o, &e));
    assert_int_equal(e.code, ERR_INPUT);
}

/* TLS spoken to a plain server, and plain to a TLS server. */
static void the_wrong_protocol_ends_in_time(void **state)
{
    struct fixture *f = *state;
    struct redis_options o = options();
    o.tls = !o.tls;
    o.ca_file = NULL;
    o.connect_ms = 500;
    use(f, o);
    run(f, "PING", 500);
    assert_true(f->err.code != 0);
    assert_false(f->left);
}

static void a_slow_command_meets_its_deadline(void **state)
{
    struct fixture *f = *state;
    int64_t start = now_ms();
    run(f, "DEBUG SLEEP 1", 200);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_true(f->left);
    assert_in_range(now_ms() - start, 195, 3300);
    run(f, "ECHO next", 3000); /* the late answer is not taken for this one's */
    assert_string_equal(f->text, "\"next\"");
}

static void a_restart_is_survived(void **state)
{
    struct fixture *f = *state;
    run(f, "PING", 1000);
    struct fixture g = {.loop = f->loop};
    struct redis_options o = options();
    g.redis = redis_new(f->loop, f->resolver, &o, NULL);
    command(g.redis, "BLPOP nothing 20", 20000, got, &g);
    run_for(f->loop, 200);
    f->count = 0;
    command(f->redis, "DEBUG RESTART", 2000, got, f);
    run_until(f->loop, &g.count, 1, 5000);
    assert_int_equal(g.err.code, ERR_IO);
    assert_true(g.left); /* in doubt */
    run_until(f->loop, &f->count, 1, 5000);
    for (int i = 0; i < 50; i++) {
        run(f, "ECHO back", 1000);
        if (!f->err.code)
            break;
        assert_false(f->left);
        run_for(f->loop, 50);
    }
    assert_string_equal(f->text, "\"back\"");
    redis_free(g.redis);
    mem_free(g.text);
}

static void an_idle_connection_that_was_closed_is_made_anew(void **state)
{
    struct fixture *f = *state;
    run(f, "CLIENT ID", 1000);
    struct fixture g = {.loop = f->loop};
    struct redis_options o = options();
    g.redis = redis_new(f->loop, f->resolver, &o, NULL);
    run(&g, "CLIENT KILL TYPE normal SKIPME yes", 1000);
    assert_string_equal(g.text, "\"1\"");
    redis_free(g.redis);
    mem_free(g.text);
    run(f, "ECHO again", 1000);
    assert_string_equal(f->text, "\"again\"");
}

static void a_stopped_server_meets_our_deadlines(void **state)
{
    struct fixture *f = *state;
    struct redis_options o = options();
    o.connect_ms = 300;
    use(f, o);
    run(f, "PING", 1000);
    pid_t server = number_in(getenv("RB_REDIS_PID"));
    kill(server, SIGSTOP);
    int64_t start = now_ms();
    run(f, "PING", 200);
    int64_t took = now_ms() - start;
    int code = f->err.code;
    bool left = f->left;
    run(f, "PING", 200); /* the kernel accepts; TLS or AUTH does not come to an end */
    int64_t took_both = now_ms() - start;
    kill(server, SIGCONT);
    assert_int_equal(code, ERR_TIMEOUT);
    assert_true(left);
    assert_in_range(took, 195, 3300);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_false(f->left);
    assert_in_range(took_both - took, 295, 3400);
    run(f, "PING", 1000);
    assert_int_equal(f->err.code, 0);
}

static void what_is_forgotten_is_silent(void **state)
{
    struct fixture *f = *state;
    int other = 0;
    command(f->redis, "BLPOP nothing 0.2", 2000, got, f);
    command(f->redis, "PING", 2000, got, f);
    run_for(f->loop, 80);
    redis_forget(f->redis, f);
    redis_forget(f->redis, &other);
    run_for(f->loop, 400);
    assert_int_equal(f->count, 0);
    run(f, "ECHO on", 1000);
    assert_string_equal(f->text, "\"on\"");
    f->count = 0;
    command(f->redis, "BLPOP nothing 5", 20000, got, f);
    run_for(f->loop, 60);
    use(f, options()); /* freed while running */
    run_for(f->loop, 60);
    assert_int_equal(f->count, 0);
}

static void free_it(void *arg, const struct json *reply, bool left, const struct err *e)
{
    (void)reply, (void)left, (void)e;
    struct fixture *f = arg;
    f->count++;
    redis_free(f->redis);
    f->redis = NULL;
}

static void a_callback_may_free_the_connection(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 4; i++) {
        struct redis_options o = options();
        o.port = i == 1 ? 1 : o.port;
        o.password = i == 3 ? "wrong" : o.password;
        use(f, o);
        f->count = 0;
        command(f->redis, i == 2 ? "EVAL return(string.rep('x',5000000)) 0" : "PING", 2000, free_it,
                f);
        command(f->redis, "PING", 2000, free_it, f);
        run_until(f->loop, &f->count, 1, 3000);
        run_for(f->loop, 50);
        assert_int_equal(f->count, 1);
    }
}

static void probed(void *arg, int64_t not_after_ms, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->not_after_ms = not_after_ms;
    f->err = e ? *e : (struct err)ERR_INIT;
}

static void probe(struct fixture *f, const char *host, int port, const char *ca,
                  int64_t deadline_ms)
{
    f->count = 0;
    assert_non_null(tls_probe(f->loop, f->resolver, host, port, ca, deadline_ms, probed, f));
    assert_int_equal(f->count, 0);
    run_until(f->loop, &f->count, 1, deadline_ms + 2000);
}

static void the_probe_reads_a_certificate(void **state)
{
    struct fixture *f = *state;
    int port = options().port;
    const char *ca = getenv("RB_REDIS_CA");
    if (!ca) {
        probe(f, "localhost", port, NULL, 300); /* a plain server */
        assert_true(f->err.code != 0);
        assert_int_equal(f->not_after_ms, 0);
        return;
    }
    int64_t day_ms = 86400000, now = (int64_t)time(NULL) * 1000;
    probe(f, "localhost", port, ca, 2000);
    assert_int_equal(f->err.code, 0);
    assert_in_range(f->not_after_ms, now, now + day_ms);
    probe(f, "localhost", port, NULL, 2000); /* not trusted, and its end is told all the same */
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_in_range(f->not_after_ms, now, now + day_ms);
    probe(f, "127.0.0.2", port, ca, 2000);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_non_null(strstr(f->err.text, "mismatch"));
    probe(f, "localhost", 1, ca, 2000);
    assert_int_equal(f->err.code, ERR_IO);
    probe(f, "localhost", port, "/nonexistent", 2000);
    assert_int_equal(f->err.code, ERR_INPUT);
    kill(number_in(getenv("RB_REDIS_PID")), SIGSTOP);
    int64_t start = now_ms();
    probe(f, "localhost", port, ca, 200);
    int64_t took = now_ms() - start;
    f->count = 0;
    struct tls_probe *p = tls_probe(f->loop, f->resolver, "localhost", port, ca, 500, probed, f);
    run_for(f->loop, 50);
    tls_probe_cancel(p);
    run_for(f->loop, 50);
    kill(number_in(getenv("RB_REDIS_PID")), SIGCONT);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    assert_in_range(took, 195, 3300);
    assert_int_equal(f->count, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(answers_of_every_kind),
        T(an_argument_is_one_argument),
        T(what_is_too_large_is_cut),
        T(what_cannot_connect_has_not_left),
        T(the_wrong_protocol_ends_in_time),
        T(a_slow_command_meets_its_deadline),
        T(a_restart_is_survived),
        T(an_idle_connection_that_was_closed_is_made_anew),
        T(a_stopped_server_meets_our_deadlines),
        T(what_is_forgotten_is_silent),
        T(a_callback_may_free_the_connection),
        T(the_probe_reads_a_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
