/* TLS contexts over OpenSSL, the parsed CA bundles that they share, and the certificate probe. */
/* OpenSSL has a type of this name; ours is an error code. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "io/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "io/connect.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* Parsing the system's bundle takes 40 ms, so each file is parsed once until it changes. For the
 * life of the process. */
struct bundle {
    struct bundle *next;
    char *path;
    struct timespec mtime;
    X509_STORE *store;
};

static struct bundle *bundles;

/* OpenSSL's own words for what failed last; empties its queue. */
static const char *ssl_reason(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    snprintf(out, size, "%s", text ? text : "unknown TLS error");
    ERR_clear_error();
    return out;
}

static X509_STORE *ca_store(const char *path, struct err *e)
{
    struct stat st;
    char why[128];
    if (stat(path, &st) < 0) {
        err_set(e, ERR_INPUT, "CA file %s: %s", path, strerror(errno));
        return NULL;
    }
    struct bundle *b = bundles;
    while (b && strcmp(b->path, path))
        b = b->next;
    if (b && b->mtime.tv_sec == st.st_mtim.tv_sec && b->mtime.tv_nsec == st.st_mtim.tv_nsec)
        return b->store;
    ERR_clear_error();
    X509_STORE *store = X509_STORE_new();
    if (!store || !X509_STORE_load_file(store, path)) {
        err_set(e, ERR_INPUT, "CA file %s: %s; expected PEM certificates", path,
                ssl_reason(why, sizeof why));
        X509_STORE_free(store);
        return NULL;
    }
    if (!b) {
        b = mem_alloc(sizeof *b);
        b->path = mem_strdup(path);
        b->next = bundles;
        bundles = b;
    }
    X509_STORE_free(b->store); /* contexts that use it hold a reference of their own */
    b->store = store;
    b->mtime = st.st_mtim;
    return store;
}

static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return 0; /* never asks on a terminal */
}

static SSL_CTX *new_context(const SSL_METHOD *method, const char *cert, const char *key,
                            struct err *e)
{
    char why[128];
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx) {
        err_set(e, ERR_IO, "cannot make a TLS context: %s", ssl_reason(why, sizeof why));
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (!cert)
        return ctx;
    if (!key)
        key = cert;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        err_set(e, ERR_INPUT, "certificate %s: %s; expected PEM", cert,
                ssl_reason(why, sizeof why));
    else if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        err_set(e, ERR_INPUT, "key %s: %s; expected PEM without a passphrase", key,
                ssl_reason(why, sizeof why));
    else if (SSL_CTX_check_private_key(ctx) != 1)
        err_set(e, ERR_INPUT, "key %s is not that of certificate %s", key, cert);
    else
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

struct ssl_ctx_st *tls_client(const char *ca_file, const char *cert, const char *key, struct err *e)
{
    X509_STORE *store = ca_store(ca_file ? ca_file : SYSTEM_CA, e);
    SSL_CTX *ctx = store ? new_context(TLS_client_method(), cert, key, e) : NULL;
    if (!ctx)
        return NULL;
    SSL_CTX_set1_cert_store(ctx, store);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

struct ssl_ctx_st *tls_server(const char *cert, const char *key, const char *client_ca,
                              struct err *e)
{
    char why[128];
    if (!cert) {
        err_set(e, ERR_INPUT, "a TLS server needs a certificate");
        return NULL;
    }
    SSL_CTX *ctx = new_context(TLS_server_method(), cert, key, e);
    if (!ctx || !client_ca)
        return ctx;
    X509_STORE *store = ca_store(client_ca, e);
    STACK_OF(X509_NAME) *names = store ? SSL_load_client_CA_file(client_ca) : NULL;
    if (!names) {
        if (store)
            err_set(e, ERR_INPUT, "client CA %s: %s", client_ca, ssl_reason(why, sizeof why));
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set1_cert_store(ctx, store);
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

void tls_free(struct ssl_ctx_st *ctx)
{
    SSL_CTX_free(ctx);
}

/* A TCP connection, plain or TLS, under way: shared with io/redis. */

struct bufferevent *tls_bufferevent(struct loop *l, SSL_CTX *ctx, const char *host, struct err *e)
{
    char why[128];
    if (!ctx)
        return bufferevent_socket_new(loop_base(l), -1, BEV_OPT_CLOSE_ON_FREE);
    ERR_clear_error();
    SSL *ssl = SSL_new(ctx);
    unsigned char raw[16];
    bool numeric = inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
    X509_VERIFY_PARAM *param = ssl ? SSL_get0_param(ssl) : NULL;
    if (!ssl || (numeric ? !X509_VERIFY_PARAM_set1_ip_asc(param, host)
                         : !X509_VERIFY_PARAM_set1_host(param, host, 0) ||
                               !SSL_set_tlsext_host_name(ssl, host))) {
        err_set(e, ERR_INPUT, "%s: %s", host, ssl_reason(why, sizeof why));
        SSL_free(ssl);
        return NULL;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    struct bufferevent *bev =
        bufferevent_openssl_socket_new(loop_base(l), -1, ssl, BUFFEREVENT_SSL_CONNECTING,
                                       /* which frees ssl too */
                                       BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        SSL_free(ssl);
        err_set(e, ERR_IO, "cannot make a TLS connection");
        return NULL;
    }
    /* else a peer that closes without close_notify is an error */
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

int tls_connect(struct bufferevent *bev, const char *address, int port)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&ss;
    int len;
    if (inet_pton(AF_INET, address, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        len = sizeof *four;
    } else {
        inet_pton(AF_INET6, address, &six->sin6_addr);
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        len = sizeof *six;
    }
    return bufferevent_socket_connect(bev, (struct sockaddr *)&ss, len);
}

int tls_connect_error(struct bufferevent *bev, short what, struct err *e)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    unsigned long code = ssl ? bufferevent_get_openssl_error(bev) : 0;
    int os = EVUTIL_SOCKET_ERROR();
    ERR_clear_error();
    if (verify != X509_V_OK)
        return err_set(e, ERR_AUTH, "the certificate is not trusted: %s",
                       X509_verify_cert_error_string(verify));
    if (code && ERR_SYSTEM_ERROR(code))
        os = ERR_GET_REASON(code);
    else if (code && ERR_reason_error_string(code))
        return err_set(e, ERR_IO, "TLS: %s", ERR_reason_error_string(code));
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    /* With dirty shutdown allowed libevent shows a TLS connection that never came up as an end. */
    if (ssl && getpeername(bufferevent_getfd(bev), (struct sockaddr *)&peer, &len))
        return err_set(e, ERR_IO, "the connection was refused or reset");
    if (what & BEV_EVENT_EOF)
        return err_set(e, ERR_IO, "the other side closed the connection");
    return err_set(e, ERR_IO, "%s",
                   os ? evutil_socket_error_to_string(os) : "the connection failed");
}

/* The probe. */

struct tls_probe {
    struct loop *loop;
    SSL_CTX *ctx;
    struct bufferevent *bev;
    struct resolve_call *resolving;
    struct loop_timer *timer;
    char *host;
    int port;
    int64_t deadline_ms, not_after_ms;
    struct err err; /* code set before the timer runs: refused at the start */
    tls_probe_fn *fn;
    void *arg;
};

static void probe_free(struct tls_probe *p)
{
    resolve_cancel(p->resolving);
    loop_timer_free(p->timer);
    if (p->bev)
        bufferevent_free(p->bev);
    SSL_CTX_free(p->ctx);
    mem_free(p->host);
    mem_free(p);
}

static void probe_free_late(void *arg)
{
    probe_free(arg);
}

/* Called from a bufferevent's callback, so the rest is freed at the end of the turn. */
static void probe_done(struct tls_probe *p)
{
    loop_timer_stop(p->timer);
    resolve_cancel(p->resolving);
    p->resolving = NULL;
    if (p->bev)
        bufferevent_setcb(p->bev, NULL, NULL, NULL, NULL);
    if (p->err.code)
        err_wrap(&p->err, "TLS %s:%d", p->host, p->port);
    tls_probe_fn *fn = p->fn;
    fn(p->arg, p->not_after_ms, p->err.code ? &p->err : NULL);
    loop_defer(p->loop, probe_free_late, p);
}

/* Called for each certificate of the chain, from the root to the leaf, and for a refused one more
 * often. A leaf that is refused is seen here only, and when it ended is what one wants to know; a
 * chain ends with the first of its certificates that does. */
static int see_leaf(int ok, X509_STORE_CTX *chain)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_probe *p = SSL_get_app_data(ssl);
    X509 *seen[] = {X509_STORE_CTX_get0_cert(chain), X509_STORE_CTX_get_current_cert(chain)};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        struct tm tm = {0};
        if (!seen[i] || !ASN1_TIME_to_tm(X509_get0_notAfter(seen[i]), &tm))
            continue;
        int64_t ms = (int64_t)timegm(&tm) * 1000;
        if (!p->not_after_ms || ms < p->not_after_ms)
            p->not_after_ms = ms;
    }
    return ok;
}

static void on_probe_event(struct bufferevent *bev, short what, void *arg)
{
    struct tls_probe *p = arg;
    if (!(what & BEV_EVENT_CONNECTED))
        tls_connect_error(bev, what, &p->err);
    else if (!p->not_after_ms)
        err_set(&p->err, ERR_INPUT,
                "the server showed no certificate with an end that can be read");
    probe_done(p);
}

static void on_probe_timer(void *arg)
{
    struct tls_probe *p = arg;
    if (!p->err.code)
        err_set(&p->err, ERR_TIMEOUT, "no certificate after %lld ms", (long long)p->deadline_ms);
    probe_done(p);
}

static void on_probe_address(void *arg, const char *address, const struct err *e)
{
    struct tls_probe *p = arg;
    p->resolving = NULL;
    if (e) {
        p->err = *e;
        probe_done(p);
        return;
    }
    p->bev = tls_bufferevent(p->loop, p->ctx, p->host, &p->err);
    if (!p->bev) {
        probe_done(p);
        return;
    }
    SSL *ssl = bufferevent_openssl_get_ssl(p->bev);
    SSL_set_app_data(ssl, p);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, see_leaf);
    bufferevent_setcb(p->bev, NULL, NULL, on_probe_event, p);
    bufferevent_enable(p->bev, EV_READ | EV_WRITE);
    if (tls_connect(p->bev, address, p->port) && !p->err.code) {
        err_set(&p->err, ERR_IO, "cannot connect to %s: %s", address, strerror(errno));
        loop_timer_set(p->timer, 0); /* libevent may have told us already, or will not */
    }
}

struct tls_probe *tls_probe(struct loop *l, struct resolver *r, const char *host, int port,
                            const char *ca_file, int64_t deadline_ms, tls_probe_fn *fn, void *arg)
{
    struct tls_probe *p = mem_alloc(sizeof *p);
    p->loop = l;
    p->host = mem_strdup(host);
    p->port = port;
    p->deadline_ms = deadline_ms;
    p->fn = fn;
    p->arg = arg;
    p->timer = loop_timer_new(l, on_probe_timer, p);
    p->ctx = tls_client(ca_file, NULL, NULL, &p->err);
    loop_timer_set(p->timer, p->ctx ? deadline_ms : 0);
    if (p->ctx)
        p->resolving = resolve(r, host, deadline_ms, on_probe_address, p);
    return p;
}

void tls_probe_cancel(struct tls_probe *p)
{
    if (!p)
        return;
    if (p->bev)
        bufferevent_setcb(p->bev, NULL, NULL, NULL, NULL);
    probe_free(p);
}
