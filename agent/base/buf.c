/* A growable byte buffer below a declared ceiling. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define FIRST_CAP 64u

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void buf_free(struct buf *b)
{
    size_t max = b->max;

    mem_free(b->data);
    *b = (struct buf){.max = max};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

/* Makes room for len more bytes and the NUL. After an overflow everything is refused: a text with a
 * hole in the middle would read as if it were whole. */
static int make_room(struct buf *b, size_t len)
{
    if (b->overflow || len > b->max - b->len) {
        b->overflow = true;
        return ERR_LIMIT;
    }
    size_t need = b->len + len + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap * 2;
    if (cap < need)
        cap = need;
    if (cap > b->max + 1)
        cap = b->max + 1;
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t len)
{
    int rc = make_room(b, len);

    if (rc != 0)
        return rc;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

int buf_addc(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_addv(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    size_t spare = b->cap - b->len;
    int rc = 0;

    va_copy(again, ap);
    int n = vsnprintf(spare > 0 ? b->data + b->len : NULL, spare, fmt, ap);
    if (n < 0) {
        b->overflow = true;
        rc = ERR_LIMIT;
    } else {
        rc = make_room(b, (size_t)n);
    }
    if (rc == 0) {
        if ((size_t)n >= spare)
            vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    } else if (spare > 0) {
        b->data[b->len] = '\0'; /* takes back what the first try left */
    }
    va_end(again);
    return rc;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int rc = buf_addv(b, fmt, ap);
    va_end(ap);
    return rc;
}

const char *buf_str(const struct buf *b)
{
    return b->data != NULL ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *data = b->data != NULL ? b->data : mem_alloc(1);

    *b = (struct buf){.max = b->max};
    return data;
}
