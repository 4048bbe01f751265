/* Signatures by a certificate that is at hand as a file. */
#ifndef RB_IO_SIGNATURE_H
#define RB_IO_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* RSA (PKCS #1 1.5) with SHA-256 over text, by the first certificate of a PEM file. ERR_NOT_FOUND:
 * no such file; ERR_AUTH: not its signature, or the certificate is not valid at that time;
 * ERR_INPUT: the file holds none. */
int signature_check(const char *pem_file, const void *text, size_t len, const uint8_t *signature,
                    size_t signature_len, int64_t wall_ms, struct err *e);

#endif
