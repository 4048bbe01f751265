/* A growable byte buffer that declares its ceiling when it is made. */
#ifndef RB_BASE_BUF_H
#define RB_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* What does not fit below max is dropped whole, and so is all that follows until a reset. */
struct buf {
    char *data; /* always NUL-terminated once something was added; NULL before */
    size_t len, cap, max;
    bool overflow; /* something did not fit below max and was dropped; checked once at the end */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);
void buf_reset(struct buf *b);                            /* empties it, keeps the memory */
int buf_add(struct buf *b, const void *data, size_t len); /* 0 or ERR_LIMIT */
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_addv(struct buf *b, const char *fmt, va_list ap);
const char *buf_str(const struct buf *b); /* never NULL */
/* Hands the text over: the caller frees it with mem_free; never NULL. The buffer is empty after.
 * Ask for overflow first. */
char *buf_take(struct buf *b);

#endif
