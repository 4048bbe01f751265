/* X.509 and EVP. */
/* OpenSSL's own ERR_STATE is another. */
#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#undef ERR_STATE

#include "io/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_PEM 65536

static X509 *load(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
    char text[MAX_PEM];
    ssize_t n = -1;
    struct stat st;
    X509 *cert = NULL;
    BIO *b;

    if (fd < 0) {
        err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        n = read(fd, text, sizeof(text));
    close(fd);
    if (n > 0 && (b = BIO_new_mem_buf(text, (int)n))) {
        cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
        BIO_free(b);
    }
    if (!cert)
        err_set(e, ERR_INPUT, "%s holds no certificate (PEM)", path);
    return cert;
}

int signature_check(const char *pem_file, const void *text, size_t len, const uint8_t *signature,
                    size_t signature_len, int64_t wall_ms, struct err *e)
{
    X509 *cert = load(pem_file, e);
    time_t now = (time_t)(wall_ms / 1000);
    EVP_PKEY *key;
    EVP_MD_CTX *md = NULL;
    int rc = 0;

    if (!cert)
        return e->code;
    key = X509_get0_pubkey(cert);
    if (X509_cmp_time(X509_get0_notBefore(cert), &now) >= 0 ||
        X509_cmp_time(X509_get0_notAfter(cert), &now) <= 0)
        rc = err_set(e, ERR_AUTH, "the certificate %s is not valid now", pem_file);
    else if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key) < 2048)
        rc = err_set(e, ERR_AUTH, "the certificate %s has no RSA key of 2048 bits or more",
                     pem_file);
    else if (!(md = EVP_MD_CTX_new()) ||
             EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) != 1 ||
             EVP_DigestVerify(md, signature, signature_len, text, len) != 1)
        rc = err_set(e, ERR_AUTH, "the signature is not by %s", pem_file);
    EVP_MD_CTX_free(md);
    X509_free(cert);
    return rc;
}
