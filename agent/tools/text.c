/* Escaping, colours, wrapping, tables. */
#include "tools/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "base/utf8.h"

#define MAX_OUT (64u << 20)

void text_init(struct text *t, int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM"), *columns = getenv("COLUMNS");
    struct winsize w;
    bool tty = isatty(fd);

    buf_init(&t->out, MAX_OUT);
    t->color = tty && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
    t->width = 80;
    if (columns && columns[strspn(columns, "0123456789")] == '\0' && strtoul(columns, NULL, 10) > 0)
        t->width = strtoul(columns, NULL, 10);
    else if (tty && ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        t->width = w.ws_col;
    t->width = t->width < 40 ? 40 : t->width > 120 ? 120 : t->width;
}

void text_free(struct text *t)
{
    buf_free(&t->out);
}

void text_flush(struct text *t, int fd)
{
    const char *p = buf_str(&t->out);
    size_t left = t->out.len;

    while (left > 0) {
        ssize_t n = write(fd, p, left);
        if (n <= 0)
            break;
        p += n;
        left -= (size_t)n;
    }
    buf_reset(&t->out);
}

static bool steers(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x200b && cp <= 0x200f) ||
           (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff ||
           cp == 0x2028 || cp == 0x2029;
}

void text_safe(struct buf *out, const char *s, size_t max)
{
    size_t len = strlen(s), columns = 0, cut = out->len;

    for (size_t at = 0; at < len;) {
        uint32_t cp = 0;
        size_t n = utf8_next(s + at, len - at, &cp);
        char piece[16];
        if (n == 0) {
            snprintf(piece, sizeof(piece), "\\x%02x", (unsigned char)s[at]);
            n = 1;
        } else if (steers(cp)) {
            snprintf(piece, sizeof(piece), cp < 0x100 ? "\\x%02x" : "\\u{%x}", cp);
        } else {
            memcpy(piece, s + at, n);
            piece[n] = 0;
        }
        columns += n == 1 || steers(cp) ? strlen(piece) : 1;
        if (max && columns > max) {
            /* What was added beyond the place for the ellipsis goes. */
            char *kept = mem_strndup(buf_str(out), cut);
            buf_reset(out);
            buf_adds(out, kept);
            mem_free(kept);
            buf_adds(out, "\xe2\x80\xa6");
            return;
        }
        buf_adds(out, piece);
        if (max && columns < max)
            cut = out->len;
        at += n;
    }
}

size_t text_columns(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static char *safe_copy(const char *s)
{
    struct buf b;

    buf_init(&b, 8u << 20);
    text_safe(&b, s, 0);
    return buf_take(&b);
}

struct json *text_clean(const struct json *j)
{
    struct json *out;
    char *safe;

    switch (json_type(j)) {
    case JSON_STRING:
        safe = safe_copy(json_str(j, ""));
        out = json_new_str(safe);
        mem_free(safe);
        return out;
    case JSON_LIST:
        out = json_new_list();
        for (const struct json *i = json_first(j); i; i = json_next(i))
            json_add(out, text_clean(i));
        return out;
    case JSON_MAP:
        out = json_new_map();
        for (const struct json *i = json_first(j); i; i = json_next(i)) {
            safe = safe_copy(json_key(i));
            json_set(out, safe, text_clean(i));
            mem_free(safe);
        }
        return out;
    default:
        return json_copy(j);
    }
}

static const char *const codes[] = {"", "\033[32m", "\033[33m", "\033[31;1m", "\033[2m", "\033[1m"};

static void add_raw(struct text *t, enum tone tone, const char *safe)
{
    bool color = t->color && tone != TONE_PLAIN && *safe;

    if (color)
        buf_adds(&t->out, codes[tone]);
    buf_adds(&t->out, safe);
    if (color)
        buf_adds(&t->out, "\033[0m");
}

void text_add(struct text *t, enum tone tone, const char *s)
{
    struct buf b;

    /* Newlines and leading blanks of ours are not content. */
    buf_init(&b, 1u << 20);
    for (const char *line = s; *line;) {
        size_t n = strcspn(line, "\n");
        char *one = mem_strndup(line, n);
        text_safe(&b, one, 0);
        mem_free(one);
        add_raw(t, tone, buf_str(&b));
        buf_reset(&b);
        if (line[n] == '\n')
            buf_addc(&t->out, '\n');
        line += n + (line[n] == '\n');
    }
    buf_free(&b);
}

void text_addf(struct text *t, enum tone tone, const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = mem_vprintf(fmt, ap);
    va_end(ap);
    text_add(t, tone, s);
    mem_free(s);
}

/* The bytes of the first `columns` characters of a word: one that is longer than a line is broken.
 */
static size_t bytes_within(const char *word, size_t len, size_t columns)
{
    size_t n = 0;

    while (n < len && (columns > 0 || ((unsigned char)word[n] & 0xc0) == 0x80)) {
        if (((unsigned char)word[n] & 0xc0) != 0x80)
            columns--;
        n++;
    }
    return n;
}

void text_wrap(struct text *t, enum tone tone, const char *s, size_t used, size_t indent)
{
    struct buf safe;
    size_t column = used;
    bool first = true;

    buf_init(&safe, 1u << 20);
    text_safe(&safe, s, 0);
    for (const char *word = buf_str(&safe); *word;) {
        size_t n = bytes_within(word, strcspn(word, " "), t->width - indent);
        char *one = mem_strndup(word, n);
        size_t width = text_columns(one);
        if (!first && column + 1 + width > t->width) {
            buf_addf(&t->out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_addc(&t->out, ' ');
            column++;
        }
        add_raw(t, tone, one);
        column += width;
        mem_free(one);
        first = false;
        word += n;
        word += strspn(word, " ");
    }
    buf_free(&safe);
    buf_addc(&t->out, '\n');
}

/* Folding what is too long, whoever made it */

/* Bytes of one character or of one colour code, which takes no column. */
static size_t piece(const char *s, size_t *columns)
{
    size_t n = 1;

    if (*s == '\033') {
        *columns = 0;
        n += strcspn(s, "m");
        return s[n - 1] ? n : n - 1;
    }
    *columns = 1;
    while (((unsigned char)s[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* Where the rest of a line goes: under its second column, if it has one near, else a little in. */
static size_t hanging(const char *line, size_t width)
{
    size_t lead = strspn(line, " "), most = width / 2;

    for (size_t at = lead; at < most && line[at] && line[at] != '\n' && line[at] != '\033'; at++)
        if (strspn(line + at, " ") >= 2)
            return at + strspn(line + at, " ") < most ? at + strspn(line + at, " ") : lead + 2;
    return lead + 2 < most ? lead + 2 : most;
}

void text_fold(struct text *t)
{
    struct buf out;
    size_t columns;

    buf_init(&out, MAX_OUT);
    for (const char *line = buf_str(&t->out); *line;) {
        size_t indent = hanging(line, t->width), column = 0;
        const char *from = line, *blank = NULL, *s = line;
        while (*s && *s != '\n') {
            size_t n = piece(s, &columns);
            if (*s == ' ' && column >= indent)
                blank = s;
            if (column + columns <= t->width) {
                column += columns;
                s += n;
                continue;
            }
            const char *end = blank ? blank : s;
            while (end > from && end[-1] == ' ')
                end--;
            buf_add(&out, from, (size_t)(end - from));
            buf_addf(&out, "\n%*s", (int)indent, "");
            from = s = blank ? blank + strspn(blank, " ") : s;
            column = indent;
            blank = NULL;
        }
        buf_add(&out, from, (size_t)(s - from));
        if (*s == '\n')
            buf_addc(&out, *s++);
        line = s;
    }
    buf_free(&t->out);
    t->out = out;
}

void text_help(FILE *to, const char *s)
{
    struct text t;

    text_init(&t, fileno(to));
    text_add(&t, TONE_PLAIN, s);
    text_fold(&t);
    fputs(buf_str(&t.out), to);
    text_free(&t);
}

/* Tables */

void table_init(struct table *t, size_t columns, const char *const *heads)
{
    memset(t, 0, sizeof(*t));
    t->columns = columns;
    for (size_t k = 0; k < columns; k++)
        t->heads[k] = heads[k];
}

struct cell *table_row(struct table *t)
{
    t->rows = mem_realloc(t->rows, (t->nrows + 1) * sizeof(t->rows[0]));
    memset(&t->rows[t->nrows], 0, sizeof(t->rows[0]));
    return &t->rows[t->nrows++];
}

void table_set(struct cell *c, size_t column, enum tone tone, const char *fmt, ...)
{
    struct buf safe;
    va_list ap;
    char *s;

    va_start(ap, fmt);
    s = mem_vprintf(fmt, ap);
    va_end(ap);
    buf_init(&safe, 1u << 16);
    text_safe(&safe, s, 0);
    mem_free(s);
    mem_free(c->text[column]);
    c->text[column] = buf_take(&safe);
    c->tone[column] = tone;
}

static void print_cell(struct text *out, enum tone tone, const char *s, size_t width, bool last)
{
    size_t have = text_columns(s);

    add_raw(out, tone, s);
    if (!last)
        buf_addf(&out->out, "%*s", (int)(width > have ? width - have + 2 : 2), "");
}

/* Widths of the first n columns; how wide a line of them is. */
static size_t measure(const struct table *t, size_t n, size_t width[TABLE_COLUMNS])
{
    size_t total = 0;

    for (size_t k = 0; k < n; k++) {
        width[k] = strlen(t->heads[k]);
        for (size_t r = 0; r < t->nrows; r++) {
            size_t have = t->rows[r].text[k] ? text_columns(t->rows[r].text[k]) : 0;
            if (have > width[k])
                width[k] = have;
        }
        total += width[k] + (k + 1 < n ? 2 : 0);
    }
    return total;
}

/* The first n columns of a row on one line. */
static void print_row(const struct cell *row, size_t n, const size_t width[TABLE_COLUMNS],
                      struct text *out)
{
    while (n > 1 && (!row->text[n - 1] || !*row->text[n - 1]))
        n--; /* no blanks at a line's end */
    for (size_t k = 0; k < n; k++)
        print_cell(out, row->tone[k], row->text[k] ? row->text[k] : "", width[k], k + 1 == n);
    buf_addc(&out->out, '\n');
}

/* One below the other, under the first, each after its head. */
static void print_record(const struct table *t, const struct cell *row, struct text *out)
{
    size_t heads = 0;

    for (size_t k = 1; k < t->columns; k++)
        if (strlen(t->heads[k]) > heads)
            heads = strlen(t->heads[k]);
    text_wrap(out, row->tone[0], row->text[0] ? row->text[0] : "", 0, 2);
    for (size_t k = 1; k < t->columns; k++) {
        if (!row->text[k] || !*row->text[k])
            continue;
        text_addf(out, TONE_HEAD, "  %-*s", (int)heads, t->heads[k]);
        buf_adds(&out->out, "  ");
        text_wrap(out, row->tone[k], row->text[k], heads + 4, heads + 4);
    }
}

void table_print(struct table *t, struct text *out)
{
    size_t width[TABLE_COLUMNS] = {0}, last = t->columns - 1;
    /* What does not fit beside the rest gets lines of its own: a name or a reason that is cut is
     * none. */
    bool below = measure(t, t->columns, width) > out->width;
    bool records = below && measure(t, last, width) > out->width;
    size_t columns = below ? last : t->columns;
    struct cell heads = {.tone = {TONE_PLAIN}};

    for (size_t k = 0; k < columns; k++) {
        heads.text[k] = (char *)(uintptr_t)t->heads[k];
        heads.tone[k] = TONE_HEAD;
    }
    if (!records)
        print_row(&heads, columns, width, out);
    for (size_t r = 0; r < t->nrows; r++) {
        const char *text = t->rows[r].text[last];
        if (records)
            print_record(t, &t->rows[r], out);
        else
            print_row(&t->rows[r], columns, width, out);
        if (below && !records && text && *text) {
            buf_adds(&out->out, "    ");
            text_wrap(out, t->rows[r].tone[last], text, 4, 4);
        }
        for (size_t k = 0; k < t->columns; k++)
            mem_free(t->rows[r].text[k]);
    }
    mem_free(t->rows);
    memset(t, 0, sizeof(*t));
}

void text_age(char out[48], int64_t ms)
{
    char d[UNIT_TEXT];
    int64_t a = ms < 0 ? -ms : ms;

    /* Two units are enough for people. */
    a = a >= 86400000 ? a / 3600000 * 3600000 : a >= 3600000 ? a / 60000 * 60000 : a / 1000 * 1000;
    unit_format_duration(d, sizeof(d), a);
    snprintf(out, 48, ms < 0 ? "in %s" : "%s ago", d);
}

enum tone text_tone(const char *w)
{
    static const struct {
        const char *word;
        enum tone tone;
    } tones[] = {
        {"quiet", TONE_DIM},        {"procedure", TONE_DIM},
        {"pending", TONE_WARN},     {"firing", TONE_BAD},
        {"recovering", TONE_WARN},  {"resolved", TONE_GOOD},
        {"vanished", TONE_DIM},     {"succeeded", TONE_GOOD},
        {"ineffective", TONE_WARN}, {"failed", TONE_BAD},
        {"blind", TONE_BAD},        {"shadowed", TONE_DIM},
        {"superseded", TONE_DIM},   {"cancelled", TONE_WARN},
        {"expired", TONE_WARN},     {"refused", TONE_WARN},
        {"running", TONE_PLAIN},    {"waiting", TONE_PLAIN},
        {"verifying", TONE_PLAIN},  {"suspended", TONE_WARN},
        {"in_doubt", TONE_BAD},     {"awaiting_approval", TONE_WARN},
        {"true", TONE_BAD},         {"false", TONE_GOOD},
        {"unknown", TONE_WARN},     {"allow", TONE_GOOD},
        {"defer", TONE_WARN},       {"deny", TONE_BAD},
        {"later", TONE_DIM},        {"enforce", TONE_GOOD},
        {"approve", TONE_WARN},     {"shadow", TONE_DIM},
        {"off", TONE_DIM},          {"ok", TONE_GOOD},
        {"failing", TONE_BAD},
    };

    for (size_t k = 0; w && k < sizeof(tones) / sizeof(tones[0]); k++)
        if (strcmp(tones[k].word, w) == 0)
            return tones[k].tone;
    return TONE_PLAIN;
}
