/* Errors: filling in and prefixing the one struct that says what went wrong. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CUT "..."

/* The text must stay one line whatever was put into it, and end on a whole UTF-8 character when it
 * was cut. */
static void store(struct err *e, const char *text, size_t len, size_t wanted)
{
    if (wanted > len) {
        while (len > 0 && (text[len] & 0xc0) == 0x80)
            len--;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        e->text[i] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
    }
    e->text[len] = '\0';
    if (wanted > len)
        memcpy(e->text + len, CUT, sizeof(CUT));
}

/* Formats fmt and suffix into e by way of a copy: the arguments may be e's own text. */
static void format(struct err *e, const char *fmt, va_list ap, const char *suffix)
{
    char text[sizeof(e->text) + 1];
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    size_t want = n < 0 ? 0 : (size_t)n;
    size_t len = want < sizeof(text) ? want : sizeof(text) - 1;

    text[len] = '\0';
    if (suffix != NULL) {
        int m = snprintf(text + len, sizeof(text) - len, ": %s", suffix);
        want += m < 0 ? 0 : (size_t)m;
    }
    size_t room = sizeof(e->text) - 1;
    if (want <= room)
        store(e, text, want, want);
    else
        store(e, text, room - strlen(CUT), want);
}

int err_setv(struct err *e, int code, const char *fmt, va_list ap)
{
    int saved = errno;

    if (code >= ERR_OK)
        code = ERR_BUG; /* better a wrong word for an error than one that counts as success */
    if (e != NULL) {
        e->code = code;
        format(e, fmt, ap, NULL);
    }
    errno = saved;
    return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    code = err_setv(e, code, fmt, ap);
    va_end(ap);
    return code;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;

    if (e == NULL)
        return ERR_BUG; /* the code is lost; it was a failure all the same */
    if (e->code >= ERR_OK)
        e->code = ERR_BUG;
    va_start(ap, fmt);
    format(e, fmt, ap, e->text);
    va_end(ap);
    errno = saved;
    return e->code;
}

const char *err_name(int code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_INPUT:
        return "input";
    case ERR_NOT_FOUND:
        return "not_found";
    case ERR_IO:
        return "io";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_AUTH:
        return "auth";
    case ERR_DENIED:
        return "denied";
    case ERR_LIMIT:
        return "limit";
    case ERR_STATE:
        return "state";
    case ERR_BUG:
        return "bug";
    default:
        return "unknown";
    }
}
