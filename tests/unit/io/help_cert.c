/* Certificates and a server that shows them. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "help_cert.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "io/tls.h"

static char dir[] = "/tmp/rb-tls-XXXXXX";
static EVP_PKEY *ca_key;
static X509 *ca;

const char *cert_path(const char *name)
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
    FILE *f = fopen(cert_path(file), "we");
    PEM_write_X509(f, x);
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    if (key_out)
        *key_out = key;
    else
        EVP_PKEY_free(key);
    return x;
}

int certs_make(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    ca = make("ca", NULL, 10, &ca_key);
    X509_free(make("good", "DNS:localhost,IP:127.0.0.1", 5, NULL));
    X509_free(make("expired", "DNS:localhost,IP:127.0.0.1", -1, NULL));
    X509_free(make("other", "DNS:other.test", 5, NULL));
    return 0;
}

int certs_remove(void **state)
{
    (void)state;
    const char *names[] = {"ca", "good", "expired", "other"};
    for (int i = 0; i < 4; i++)
        unlink(cert_path(names[i]));
    rmdir(dir);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return 0;
}

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

void cert_stop(struct server *s)
{
    if (s->fd >= 0)
        server_stop(s);
    s->fd = -1;
    tls_free(serving);
    serving = NULL;
}

void cert_serve(struct server *s, const char *cert, const char *client_ca)
{
    struct err e = ERR_INIT;

    cert_stop(s);
    serving = tls_server(cert_path(cert), NULL, client_ca, &e);
    if (!serving)
        fail_msg("%s", e.text);
    server_start(s, serves_https);
}
