/* Text for a terminal: escaped, aligned, at most as wide as asked, coloured where that is wanted.
 */
#ifndef RB_TOOLS_TEXT_H
#define RB_TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/json.h"

enum tone { TONE_PLAIN, TONE_GOOD, TONE_WARN, TONE_BAD, TONE_DIM, TONE_HEAD };

struct text {
    struct buf out;
    bool color;
    size_t width; /* of a line */
};

/* On a terminal with colours unless NO_COLOR is set (no-color.org). As wide as COLUMNS says, else
 * as the terminal is, else 80; at least 40, at most 120. */
void text_init(struct text *t, int fd);
void text_free(struct text *t);
void text_flush(struct text *t, int fd);

/* Control characters and what turns text around (bidirectional marks) are shown as \xNN and \u{N}:
 * nothing printed steers the terminal. */
void text_safe(struct buf *out, const char *s,
               size_t max); /* at most max columns, with an ellipsis; max 0: no limit */
size_t text_columns(const char *safe);
/* A copy in which every string is safe, newlines included: what is shown of it cannot forge a line.
 */
struct json *text_clean(const struct json *j);

void text_add(struct text *t, enum tone tone, const char *s);
void text_addf(struct text *t, enum tone tone, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Wrapped at words, the first line after what stands there already (`used` columns), others
 * indented. */
void text_wrap(struct text *t, enum tone tone, const char *s, size_t used, size_t indent);

/* Breaks the lines that are longer than the width, at words where there is one. */
void text_fold(struct text *t);
/* A usage, as wide as the terminal. */
void text_help(FILE *to, const char *s);

/* A table: rows of cells, aligned. When it is too wide, the last column gets lines of its own below
 * its row; when that is not enough, each cell gets one, after its head. Nothing is cut. */
#define TABLE_COLUMNS 8
struct table {
    const char *heads[TABLE_COLUMNS];
    size_t columns;
    struct cell {
        char *text[TABLE_COLUMNS];
        enum tone tone[TABLE_COLUMNS];
    } * rows;
    size_t nrows;
};
void table_init(struct table *t, size_t columns, const char *const *heads);
struct cell *table_row(struct table *t);
void table_set(struct cell *c, size_t column, enum tone tone, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void table_print(struct table *t, struct text *out); /* and frees it */

/* "3m ago", "in 5s", from milliseconds. */
void text_age(char out[48], int64_t ms);
enum tone text_tone(const char *word); /* of a state, mode, verdict, outcome */

#endif
