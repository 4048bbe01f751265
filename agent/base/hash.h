/* SHA-256 and HMAC-SHA-256, over OpenSSL's EVP. A hash that cannot be computed (libcrypto is out of
 * memory) ends the process as a failed allocation does; so do random bytes that cannot be had. */
#ifndef RB_BASE_HASH_H
#define RB_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_LEN 32
#define SHA256_HEX 65 /* with the NUL */

struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *h, const void *data, size_t len);
void sha256_end(struct sha256 *h, uint8_t out[SHA256_LEN]); /* frees h */

void sha256(const void *data, size_t len, uint8_t out[SHA256_LEN]);
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX]);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_LEN]);
void hex_encode(const void *data, size_t len, char *out); /* 2 * len + 1 bytes, lower case */
/* The standard alphabet, padded, without spaces (RFC 4648, 4): 0, or ERR_INPUT, also if it needs
 * more than max bytes. */
int base64_decode(const char *s, void *out, size_t max, size_t *len);
char *base64_encode(const void *data, size_t len); /* the caller frees with mem_free */
/* The system's; the engine draws only through its world. */
void random_bytes(void *out, size_t len);

#endif
