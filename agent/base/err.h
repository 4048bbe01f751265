/* Errors: one struct that says what went wrong, where, and what to do about it. */
#ifndef RB_BASE_ERR_H
#define RB_BASE_ERR_H

#include <stdarg.h>

enum {
    ERR_OK = 0,
    ERR_INPUT = -1,     /* what we were given is wrong: configuration, policy, answer, command */
    ERR_NOT_FOUND = -2, /* it does not exist */
    ERR_IO = -3,        /* file, disk, socket */
    ERR_TIMEOUT = -4,   /* a deadline passed */
    ERR_AUTH = -5,      /* credentials missing, refused or expired */
    ERR_DENIED = -6,    /* refused by a guard or by the other side */
    ERR_LIMIT = -7,     /* too large, too deep, too many */
    ERR_STATE = -8,     /* not possible in this state: busy, frozen, newer version, lost lease */
    ERR_BUG = -9,       /* cannot happen */
};

struct err {
    int code;       /* one of ERR_*; 0 when nothing was set */
    char text[768]; /* one sentence, no newline, complete without its context */
};

#define ERR_INIT {0, ""}

/* Sets *e (which may be NULL) and returns code, so that "return err_set(e, ERR_IO, ...)" reads
 * well. A code that is no error becomes ERR_BUG. A file that includes OpenSSL's headers needs
 * "#define ERR_STATE ERR_STATE_OF_OPENSSL" before them and "#undef ERR_STATE" after: OpenSSL has a
 * type of that name. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_setv(struct err *e, int code, const char *fmt, va_list ap);

/* Puts "context: " in front of what is there; returns e's code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "input", "timeout", ...: a stable word for logs and --json. */
const char *err_name(int code);

#endif
