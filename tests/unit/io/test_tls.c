/* TLS: a CA of our own, good and bad certificates, seen by the HTTP client and by the probe, served
 * with our server's context. */
#include "help_cert.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/http.h"
#include "io/tls.h"

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct server server;
    int count, status;
    bool left;
    struct err err;
    int64_t not_after_ms;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->loop = loop_new(NULL);
    f->resolver = resolver_new(f->loop, "127.0.0.1:1", NULL);
    f->http = http_new(f->loop, f->resolver, cert_path("ca"), NULL);
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
    cert_stop(&f->server);
    mem_free(f);
    return 0;
}

static void answered(void *arg, const struct http_answer *a, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->status = a->status;
    f->left = a->request_left;
    f->err = e ? *e : (struct err)ERR_INIT;
}

static void ask(struct fixture *f, const char *host, const char *ca_file, const char *cert)
{
    char url[96];
    snprintf(url, sizeof url, "https://%s:%d/", host, f->server.port);
    f->count = 0;
    http_send(f->http,
              &(struct http_request){.method = "POST",
                                     .url = url,
                                     .body = "x",
                                     .body_len = 1,
                                     .mutating = true,
                                     .ca_file = ca_file,
                                     .client_cert = cert,
                                     .client_key = cert},
              answered, f);
    run_until(f->loop, &f->count, 1, 5000);
}

static void probed(void *arg, int64_t not_after_ms, const struct err *e)
{
    struct fixture *f = arg;
    f->count++;
    f->not_after_ms = not_after_ms;
    f->err = e ? *e : (struct err)ERR_INIT;
}

static void probe(struct fixture *f, const char *host, const char *ca_file)
{
    f->count = 0;
    tls_probe(f->loop, f->resolver, host, f->server.port, ca_file, 2000, probed, f);
    run_until(f->loop, &f->count, 1, 4000);
}

static int64_t days(int n)
{
    return ((int64_t)time(NULL) + n * 86400) * 1000;
}

static void a_good_certificate_is_taken(void **state)
{
    struct fixture *f = *state;
    cert_serve(&f->server, "good", NULL);
    ask(f, "localhost", NULL, NULL);
    assert_int_equal(f->err.code, 0);
    assert_int_equal(f->status, 200);
    ask(f, "127.0.0.1", NULL, NULL);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->server.requests, 2);
    probe(f, "localhost", cert_path("ca"));
    assert_int_equal(f->err.code, 0);
    assert_in_range(f->not_after_ms, days(5) - 60000, days(5) + 60000);
}

/* Nothing of the request has left where the certificate is refused. */
static void bad_certificates_are_refused(void **state)
{
    struct fixture *f = *state;
    cert_serve(&f->server, "good", NULL);
    ask(f, "localhost", "/etc/ssl/certs/ca-certificates.crt", NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    probe(f, "localhost", NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_in_range(f->not_after_ms, days(5) - 60000, days(5) + 60000);
    cert_serve(&f->server, "expired", NULL);
    ask(f, "localhost", NULL, NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    probe(f, "localhost", cert_path("ca"));
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_non_null(strstr(f->err.text, "expired"));
    assert_in_range(f->not_after_ms, days(-1) - 60000, days(-1) + 60000);
    cert_serve(&f->server, "other", NULL);
    ask(f, "localhost", NULL, NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    probe(f, "localhost", cert_path("ca"));
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_non_null(strstr(f->err.text, "mismatch"));
    assert_int_equal(f->server.requests, 0);
}

static void a_client_certificate_is_asked_for(void **state)
{
    struct fixture *f = *state;
    cert_serve(&f->server, "good", cert_path("ca"));
    ask(f, "localhost", NULL, cert_path("other"));
    assert_int_equal(f->status, 200);
    ask(f, "localhost", NULL, NULL);
    assert_true(f->err.code != 0);
    assert_int_equal(f->server.requests, 1);
}

/* The bundle is parsed once, not with each fresh connection. */
static void fresh_connections_do_not_stall(void **state)
{
    struct fixture *f = *state;
    struct lag_watch w;
    cert_serve(&f->server, "good", NULL);
    char both[96];
    snprintf(both, sizeof both, "cat %s /etc/ssl/certs/ca-certificates.crt > %s 2>/dev/null",
             cert_path("ca"), cert_path("both"));
    if (system(both))
        skip();
    ask(f, "localhost", cert_path("both"), NULL);
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    lag_start(&w, f->loop);
    for (int i = 0; i < 10; i++) {
        ask(f, "localhost", cert_path("both"), NULL);
        assert_int_equal(f->status, 200);
    }
    lag_check(&w, f->loop);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    unlink(cert_path("both"));
    if (ms > 200)
        fail_msg("10 fresh connections took %.0f ms of CPU: the bundle is parsed each time", ms);
}

static void what_cannot_be_loaded_says_which_file(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    FILE *f = fopen(cert_path("junk"), "we");
    fputs("no PEM\n", f);
    fclose(f);
    assert_null(tls_client("/nonexistent", NULL, NULL, &e));
    assert_non_null(strstr(e.text, "/nonexistent"));
    assert_null(tls_client(cert_path("junk"), NULL, NULL, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(tls_server(cert_path("good"), cert_path("other"), NULL, &e)); /* another's key */
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(tls_server(NULL, NULL, NULL, &e));
    assert_null(tls_server(cert_path("good"), NULL, cert_path("junk"), &e));
    assert_null(tls_server(cert_path("junk"), NULL, NULL, &e));
    assert_non_null(strstr(e.text, "junk"));
    unlink(cert_path("junk"));
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
        T(a_good_certificate_is_taken),           T(bad_certificates_are_refused),
        T(a_client_certificate_is_asked_for),     T(fresh_connections_do_not_stall),
        T(what_cannot_be_loaded_says_which_file),
    };
    return cmocka_run_group_tests(tests, certs_make, certs_remove);
}
