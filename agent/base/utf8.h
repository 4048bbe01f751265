/* UTF-8, read one character at a time, strictly. */
#ifndef RB_BASE_UTF8_H
#define RB_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The number of bytes (1 to 4) of the character at s, of which n bytes may be read, and the
 * character in *cp; 0 if there is none: cut off, overlong, a surrogate, beyond U+10FFFF (RFC 3629),
 * or n is 0. */
size_t utf8_next(const char *s, size_t n, uint32_t *cp);

#endif
