/* SHA-256 and HMAC over OpenSSL's EVP, hex, base64 and the system's random bytes; what cannot fail
 * in order ends the process. */
#include "base/hash.h"

#include <errno.h>
#include <limits.h>
/* A type of libcrypto's that we never use; our error codes have the name. */
#define ERR_STATE ERR_STATE_OF_OPENSSL
#include <openssl/evp.h>
#include <openssl/hmac.h>
#undef ERR_STATE
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

struct sha256 {
    EVP_MD_CTX *ctx;
};

/* A hash that was not computed must never be taken for one. libcrypto fails here for want of memory
 * only, so it ends as that does. */
static _Noreturn void stop(const char *line)
{
    ssize_t n = write(STDERR_FILENO, line, strlen(line));

    (void)n;
    _exit(MEM_EXIT_CODE);
}

static void must(int ok)
{
    if (ok != 1)
        stop("error hash: libcrypto could not compute a hash (out of memory?): ending\n");
}

struct sha256 *sha256_new(void)
{
    struct sha256 *h = mem_alloc(sizeof(*h));

    h->ctx = EVP_MD_CTX_new();
    must(h->ctx != NULL);
    must(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
    return h;
}

void sha256_add(struct sha256 *h, const void *data, size_t len)
{
    if (len > 0)
        must(EVP_DigestUpdate(h->ctx, data, len));
}

void sha256_end(struct sha256 *h, uint8_t out[SHA256_LEN])
{
    unsigned int n = 0;

    must(EVP_DigestFinal_ex(h->ctx, out, &n));
    must(n == SHA256_LEN);
    EVP_MD_CTX_free(h->ctx);
    mem_free(h);
}

void sha256(const void *data, size_t len, uint8_t out[SHA256_LEN])
{
    unsigned int n = 0;

    must(EVP_Digest(len > 0 ? data : "", len, out, &n, EVP_sha256(), NULL));
    must(n == SHA256_LEN);
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX])
{
    uint8_t sum[SHA256_LEN];

    sha256(data, len, sum);
    hex_encode(sum, sizeof(sum), out);
}

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_LEN])
{
    unsigned int n = 0;

    must(key_len <= INT_MAX);
    /* A NULL key would mean "the one of before" to libcrypto. */
    must(HMAC(EVP_sha256(), key_len > 0 ? key : "", (int)key_len, len > 0 ? data : (const void *)"",
              len, out, &n) != NULL);
    must(n == SHA256_LEN);
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = '\0';
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *s, void *out, size_t max, size_t *len)
{
    size_t n = strlen(s), pad = 0, used = 0;
    unsigned char *p = out;

    if (n % 4 != 0)
        return ERR_INPUT;
    if (n > 0 && s[n - 1] == '=')
        pad = s[n - 2] == '=' ? 2 : 1;
    if (n / 4 * 3 - pad > max)
        return ERR_INPUT;
    for (size_t i = 0; i < n; i += 4) {
        size_t keep = i + 4 == n ? 3 - pad : 3;
        uint32_t bits = 0;

        for (size_t k = 0; k < 4; k++) {
            int v = k <= keep ? base64_value(s[i + k]) : 0;
            if (v < 0)
                return ERR_INPUT;
            bits = bits << 6 | (uint32_t)v;
        }
        if (keep < 3 && (bits & ((1u << 8 * (3 - keep)) - 1)) != 0)
            return ERR_INPUT; /* bits that say nothing must be zero (RFC 4648, 3.5): one value, one
                                 spelling */
        for (size_t k = 0; k < keep; k++)
            p[used++] = (unsigned char)(bits >> (16 - 8 * k));
    }
    *len = used;
    return 0;
}

char *base64_encode(const void *data, size_t len)
{
    const unsigned char *p = data;
    char *out = mem_alloc((len / 3 + 1) * 4 + 1);
    char *o = out;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t bits = (uint32_t)p[i] << 16;

        if (left > 1)
            bits |= (uint32_t)p[i + 1] << 8;
        if (left > 2)
            bits |= p[i + 2];
        *o++ = base64_digits[bits >> 18];
        *o++ = base64_digits[bits >> 12 & 63];
        *o++ = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
        *o++ = left > 2 ? base64_digits[bits & 63] : '=';
    }
    *o = '\0';
    return out;
}

void random_bytes(void *out, size_t len)
{
    unsigned char *p = out;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            stop("error hash: the system gave no random bytes: ending\n");
        p += n;
        len -= (size_t)n;
    }
}
