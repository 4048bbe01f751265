/* Names: numbers and hosts at once, DNS with its cache, a nameserver that never answers, and no
 * stall meanwhile. */
#include "help_io.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/resolve.h"

/* A nameserver: *.v4 has an A record, *.v6 an AAAA only, *.none does not exist, *.hang is never
 * answered. */
struct dns {
    int fd, port;
    atomic_int questions, stopping;
    pthread_t thread;
    int ttl_s;
};

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct dns dns;
    int count;
    char address[64];
    struct err err;
};

static size_t answer(struct dns *d, unsigned char *m, size_t len)
{
    char name[256] = "";
    size_t at = 12, n = 0;
    while (at < len && m[at]) {
        n += (size_t)snprintf(name + n, sizeof name - n, "%.*s.", m[at], (char *)m + at + 1);
        at += m[at] + 1u;
    }
    at += 5; /* the root label, type, class */
    bool aaaa = m[at - 3] == 28;
    if (strcasestr(name, ".hang."))
        return 0;
    bool has = aaaa ? strcasestr(name, ".v6.") != NULL : strcasestr(name, ".v4.") != NULL;
    m[2] = 0x81;
    m[3] = strcasestr(name, ".none.") ? 0x83 : 0x80;
    m[7] = has;
    m[9] = m[11] = 0;
    if (!has)
        return at;
    unsigned char head[12] = {0xc0, 12, 0, aaaa ? 28 : 1,           0, 1,
                              0,    0,  0, (unsigned char)d->ttl_s, 0, aaaa ? 16 : 4};
    memcpy(m + at, head, sizeof head);
    at += sizeof head;
    inet_pton(aaaa ? AF_INET6 : AF_INET, aaaa ? "2001:db8::7" : "192.0.2.7", m + at);
    return at + (aaaa ? 16 : 4);
}

static void *dns_thread(void *arg)
{
    struct dns *d = arg;
    while (!d->stopping) {
        struct pollfd p = {.fd = d->fd, .events = POLLIN};
        if (poll(&p, 1, 10) <= 0)
            continue;
        unsigned char m[600];
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(d->fd, m, 500, 0, (struct sockaddr *)&from, &len);
        if (n < 17)
            continue;
        d->questions++;
        size_t out = answer(d, m, (size_t)n);
        if (out)
            sendto(d->fd, m, out, 0, (struct sockaddr *)&from, len);
    }
    return NULL;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    f->dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->dns.fd, (struct sockaddr *)&a, sizeof a), 0);
    getsockname(f->dns.fd, (struct sockaddr *)&a, &len);
    f->dns.port = ntohs(a.sin_port);
    f->dns.ttl_s = 60;
    pthread_create(&f->dns.thread, NULL, dns_thread, &f->dns);
    f->loop = loop_new(NULL);
    char ns[32];
    snprintf(ns, sizeof ns, "127.0.0.1:%d", f->dns.port);
    f->resolver = resolver_new(f->loop, ns, NULL);
    assert_non_null(f->resolver);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    resolver_free(f->resolver);
    loop_free(f->loop);
    f->dns.stopping = 1;
    pthread_join(f->dns.thread, NULL);
    close(f->dns.fd);
    mem_free(f);
    return 0;
}

static void got(void *arg, const char *address, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    snprintf(f->address, sizeof f->address, "%s", address ? address : "");
    f->err = e ? *e : (struct err)ERR_INIT;
    assert_true((address != NULL) != (e != NULL));
}

static void ask(struct fixture *f, const char *host, int64_t deadline_ms)
{
    f->count = 0;
    struct resolve_call *c = resolve(f->resolver, host, deadline_ms, got, f);
    assert_non_null(c);
    assert_int_equal(f->count, 0); /* never from inside */
    run_until(f->loop, &f->count, 1, deadline_ms + 3000);
}

static void numbers_and_localhost_need_no_dns(void **state)
{
    struct fixture *f = *state;
    ask(f, "192.0.2.1", 100);
    assert_string_equal(f->address, "192.0.2.1");
    ask(f, "2001:db8::1", 100);
    assert_string_equal(f->address, "2001:db8::1");
    ask(f, "LocalHost", 100);
    assert_string_equal(f->address, "127.0.0.1");
    assert_int_equal(f->dns.questions, 0);
}

static void what_is_no_name_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = {"", "a b", "-x", ".x", "a/b", "x\n", "[::1]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ask(f, bad[i], 100);
        assert_int_equal(f->err.code, ERR_INPUT);
    }
    assert_int_equal(f->dns.questions, 0);
}

static void a_name_is_asked_once_and_kept(void **state)
{
    struct fixture *f = *state;
    ask(f, "db.v4.test", 2000);
    assert_string_equal(f->address, "192.0.2.7");
    ask(f, "DB.V4.test", 2000);
    assert_string_equal(f->address, "192.0.2.7");
    assert_int_equal(f->dns.questions, 1);
}

static void a_name_without_ipv4_gets_its_ipv6(void **state)
{
    struct fixture *f = *state;
    ask(f, "db.v6.test", 2000);
    assert_string_equal(f->address, "2001:db8::7");
}

static void one_question_for_many_at_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 50; i++)
        resolve(f->resolver, "many.v4.test", 2000, got, f);
    run_until(f->loop, &f->count, 50, 3000);
    assert_int_equal(f->dns.questions, 1);
}

static void a_missing_name_fails_and_is_asked_again_a_second_later(void **state)
{
    struct fixture *f = *state;
    ask(f, "x.none.test", 2000);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(f->err.text, "x.none.test"));
    int asked = f->dns.questions;
    ask(f, "x.none.test", 2000);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_int_equal(f->dns.questions, asked);
    run_for(f->loop, 1100);
    ask(f, "x.none.test", 2000);
    assert_true(f->dns.questions > asked);
}

static void hung_dns_keeps_its_deadline_and_stalls_nothing(void **state)
{
    struct fixture *f = *state;
    struct lag_watch w;
    lag_start(&w, f->loop);
    int64_t start = now_ms();
    ask(f, "db.hang.test", 400);
    assert_in_range(now_ms() - start, 398, 3400);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
    lag_check(&w, f->loop);
    ask(f, "127.0.0.1", 100); /* others go on */
    ask(f, "other.v4.test", 2000);
    assert_string_equal(f->address, "192.0.2.7");
}

static void a_cancelled_call_is_silent(void **state)
{
    struct fixture *f = *state;
    struct resolve_call *a = resolve(f->resolver, "one.v4.test", 500, got, f);
    struct resolve_call *b = resolve(f->resolver, "192.0.2.1", 500, got, f);
    resolve(f->resolver, "one.v4.test", 500, got, f);
    resolve_cancel(a);
    resolve_cancel(b);
    run_until(f->loop, &f->count, 1, 2000);
    run_for(f->loop, 50);
    assert_int_equal(f->count, 1);
}

static void freeing_with_questions_under_way_is_clean(void **state)
{
    struct fixture *f = *state;
    resolve(f->resolver, "a.hang.test", 500, got, f);
    resolve(f->resolver, "b.v4.test", 500, got, f);
    run_for(f->loop, 5);
    resolver_free(f->resolver);
    /* whatever /etc/resolv.conf holds, even nothing */
    f->resolver = resolver_new(f->loop, NULL, NULL);
    assert_non_null(f->resolver);
    int count = f->count;
    run_for(f->loop, 600);
    assert_int_equal(f->count, count);
}

static void a_bad_nameserver_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    assert_null(resolver_new(f->loop, "not an address", &e));
    assert_int_equal(e.code, ERR_INPUT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(numbers_and_localhost_need_no_dns),
        T(what_is_no_name_is_refused),
        T(a_name_is_asked_once_and_kept),
        T(a_name_without_ipv4_gets_its_ipv6),
        T(one_question_for_many_at_once),
        T(a_missing_name_fails_and_is_asked_again_a_second_later),
        T(hung_dns_keeps_its_deadline_and_stalls_nothing),
        T(a_cancelled_call_is_silent),
        T(freeing_with_questions_under_way_is_clean),
        T(a_bad_nameserver_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
