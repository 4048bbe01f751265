/* TLS: a CA of our own, good and bad certificates, seen by the HTTP client and by the probe, served
 * with our server's context. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "help_io.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/http.h"
#include "io/tls.h"

static char dir[] = "/tmp/rb-tls-XXXXXX";
static EVP_PKEY *ca_key;
static X509 *ca;

static const char *path(const char *name)
{
    static char out[4][96];
    static int k;
    k = (k + 1) % 4;
    snprintf(out[k], sizeof out[k], "%s/%s", dir, name);
    return out[k];
}

/* names: as in subjectAltName; NULL makes a CA that signs itself. Ends in `days` from now, begun
 * two days ago. */
static X509 *make(const char *file, const char *names, int days, EVP_PKEY **key_out)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509V3_CTX v3;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), rand());
    X509_gmtime_adj(X509_getm_notBefore(x), -2 * 86400);
    X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)file, -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(names ? ca : x));
    X509_set_pubkey(x, key);
    X509V3_set_ctx(&v3, names ? ca : x, x, NULL, NULL, 0);
    X509_EXTENSION *ext =
        X509V3_EXT_conf_nid(NULL, &v3, names ? NID_subject_alt_name : NID_basic_constraints,
                            names ? names : "critical,CA:TRUE");
    X509_add_ext(x, ext, -1);
    X509_EXTENSION_free(ext);
    X509_sign(x, names ? ca_key : key, EVP_sha256());
    FILE *f = fopen(path(file), "we");
    PEM_write_X509(f, x);
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    if (key_out)
        *key_out = key;
    else
        EVP_PKEY_free(key);
    return x;
}

static int make_all(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    ca = make("ca", NULL, 10, &ca_key);
    X509_free(make("good", "DNS:localhost,IP:127.0.0.1", 5, NULL));
    X509_free(make("expired", "DNS:localhost,IP:127.0.0.1", -1, NULL));
    X509_free(make("other", "DNS:other.test", 5, NULL));
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    const char *names[] = {"ca", "good", "expired", "other"};
    for (int i = 0; i < 4; i++)
        unlink(path(names[i]));
    rmdir(dir);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return 0;
}

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

static SSL_CTX *serving;

static void serves_https(struct server *s, int fd, int n)
{
    (void)n;
    char block[4096];
    struct timeval limit = {2, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    SSL *ssl = SSL_new(serving);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, block, sizeof block) > 0) {
        s->requests++;
        SSL_write(ssl, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->loop = loop_new(NULL);
    f->resolver = resolver_new(f->loop, "127.0.0.1:1", NULL);
    f->http = http_new(f->loop, f->resolver, path("ca"), NULL);
    f->server.fd = -1;
    *state = f;
    return 0;
}

static void stop(struct fixture *f)
{
    if (f->server.fd >= 0)
        server_stop(&f->server);
    f->server.fd = -1;
    tls_free(serving);
    serving = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_free(f->http);
    resolver_free(f->resolver);
    loop_free(f->loop);
    stop(f);
    mem_free(f);
    return 0;
}

static void serve(struct fixture *f, const char *cert, const char *client_ca)
{
    struct err e = ERR_INIT;
    stop(f);
    serving = tls_server(path(cert), NULL, client_ca, &e);
    if (!serving)
        fail_msg("%s", e.text);
    server_start(&f->server, serves_https);
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
    serve(f, "good", NULL);
    ask(f, "localhost", NULL, NULL);
    assert_int_equal(f->err.code, 0);
    assert_int_equal(f->status, 200);
    ask(f, "127.0.0.1", NULL, NULL);
    assert_int_equal(f->status, 200);
    assert_int_equal(f->server.requests, 2);
    probe(f, "localhost", path("ca"));
    assert_int_equal(f->err.code, 0);
    assert_in_range(f->not_after_ms, days(5) - 60000, days(5) + 60000);
}

/* Nothing of the request has left where the certificate is refused. */
static void bad_certificates_are_refused(void **state)
{
    struct fixture *f = *state;
    serve(f, "good", NULL);
    ask(f, "localhost", "/etc/ssl/certs/ca-certificates.crt", NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    probe(f, "localhost", NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_in_range(f->not_after_ms, days(5) - 60000, days(5) + 60000);
    serve(f, "expired", NULL);
    ask(f, "localhost", NULL, NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    probe(f, "localhost", path("ca"));
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_non_null(strstr(f->err.text, "expired"));
    assert_in_range(f->not_after_ms, days(-1) - 60000, days(-1) + 60000);
    serve(f, "other", NULL);
    ask(f, "localhost", NULL, NULL);
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_false(f->left);
    probe(f, "localhost", path("ca"));
    assert_int_equal(f->err.code, ERR_AUTH);
    assert_non_null(strstr(f->err.text, "mismatch"));
    assert_int_equal(f->server.requests, 0);
}

static void a_client_certificate_is_asked_for(void **state)
{
    struct fixture *f = *state;
    serve(f, "good", path("ca"));
    ask(f, "localhost", NULL, path("other"));
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
    serve(f, "good", NULL);
    char both[96];
    snprintf(both, sizeof both, "cat %s /etc/ssl/certs/ca-certificates.crt > %s 2>/dev/null",
             path("ca"), path("both"));
    if (system(both))
        skip();
    ask(f, "localhost", path("both"), NULL);
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    lag_start(&w, f->loop);
    for (int i = 0; i < 10; i++) {
        ask(f, "localhost", path("both"), NULL);
        assert_int_equal(f->status, 200);
    }
    lag_check(&w, f->loop);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    unlink(path("both"));
    if (ms > 200)
        fail_msg("10 fresh connections took %.0f ms of CPU: the bundle is parsed each time", ms);
}

static void what_cannot_be_loaded_says_which_file(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    FILE *f = fopen(path("junk"), "we");
    fputs("no PEM\n", f);
    fclose(f);
    assert_null(tls_client("/nonexistent", NULL, NULL, &e));
    assert_non_null(strstr(e.text, "/nonexistent"));
    assert_null(tls_client(path("junk"), NULL, NULL, &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(tls_server(path("good"), path("other"), NULL, &e)); /* another's key */
    assert_int_equal(e.code, ERR_INPUT);
    assert_null(tls_server(NULL, NULL, NULL, &e));
    assert_null(tls_server(path("good"), NULL, path("junk"), &e));
    assert_null(tls_server(path("junk"), NULL, NULL, &e));
    assert_non_null(strstr(e.text, "junk"));
    unlink(path("junk"));
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
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
