/* Errors and warnings of policies, estate and configuration: all of all files, collected, sorted
 * and shown with their place. */
#ifndef RB_LUA_DIAG_H
#define RB_LUA_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/json.h"

/* What kind of mistake it is, for exit codes. */
enum diag_class {
    DIAG_NONE,
    DIAG_FILE,    /* E100 a file that cannot be read */
    DIAG_SYNTAX,  /* E101 */
    DIAG_UNKNOWN, /* E102, E103, E104 an unknown name or key */
    DIAG_VALUE,   /* E105 to E109: missing, wrong type or unit, out of range */
    DIAG_RULE,   /* E110 to E118, E120: what the parts say together, or what happened while the file
                    ran */
    DIAG_SECRET, /* E121 a secret that others can read */
};

struct place {
    const char *file; /* copied by diag_add */
    int line, column; /* from 1; column 0: unknown */
    int width;        /* characters to mark */
    const char *text; /* the whole source for the line to show, or NULL */
    size_t text_len;
};

struct diag {
    char code[8]; /* "E107", "W205" */
    char *file;
    int line, column, width;
    char *text;   /* one sentence */
    char *source; /* the line, control characters replaced; NULL when unknown */
};

struct diags;
struct diags *diags_new(void);
void diags_free(struct diags *d);

/* The same finding at the same place is kept once. At most 200; then one more says how many were
 * left out. */
void diag_add(struct diags *d, const char *code, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

size_t diags_errors(const struct diags *d);
size_t diags_warnings(const struct diags *d);
bool diags_has(const struct diags *d, const char *code);
bool diags_has_at(const struct diags *d, const char *code, const char *file, int line);
bool diags_at_line(const struct diags *d, const char *file, int line); /* an error is known there */
enum diag_class
diags_class(const struct diags *d); /* of the first error in the order of printing */

size_t diags_len(const struct diags *d); /* sorts: file, line, column, code */
const struct diag *diags_at(struct diags *d, size_t i);

/* file:line:column: CODE text, the source line, a caret. color: with terminal colours. */
void diags_print(struct diags *d, struct buf *out, bool color);
/* [{"code", "severity", "file", "line", "column", "width", "text", "source"}]; the caller frees. */
struct json *diags_json(struct diags *d);

#endif
