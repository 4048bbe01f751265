/* A strict, iterative checker of JSON texts: grammar, UTF-8, escapes, numbers in range, depth. */
#include "base/json_scan.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define NUMBER_MAX                                                                                 \
    60 /* characters of a number; cJSON reads no more than 63 of them and would take the rest for  \
          the next token */

struct scan {
    const char *text;
    size_t len, at;
    size_t keys, wanted_key; /* keys seen; the key to stop at */
    struct err *e;
};

#define NO_KEY ((size_t)-1)

/* Both count from 1; columns are characters, not bytes. */
static void position(const struct scan *s, size_t at, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < s->len; i++) {
        if (s->text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((s->text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

static void describe(const struct scan *s, size_t at, char *out, size_t size)
{
    unsigned char c;

    if (at >= s->len) {
        snprintf(out, size, "the end");
        return;
    }
    c = (unsigned char)s->text[at];
    if (c > 0x20 && c < 0x7f)
        snprintf(out, size, "'%c'", c);
    else
        snprintf(out, size, "byte 0x%02x", c);
}

static int expected(struct scan *s, size_t at, const char *what)
{
    size_t line, column;
    char found[24];

    position(s, at, &line, &column);
    describe(s, at, found, sizeof(found));
    return err_set(s->e, ERR_INPUT, "not JSON at %zu:%zu: expected %s, found %s", line, column,
                   what, found);
}

static int refuse(struct scan *s, size_t at, int code, const char *why)
{
    size_t line, column;

    position(s, at, &line, &column);
    return err_set(s->e, code, "refused JSON at %zu:%zu: %s", line, column, why);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->len && (s->text[s->at] == ' ' || s->text[s->at] == '\t' ||
                              s->text[s->at] == '\n' || s->text[s->at] == '\r'))
        s->at++;
}

static bool is(const struct scan *s, char c)
{
    return s->at < s->len && s->text[s->at] == c;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9';
}

static int scan_hex4(struct scan *s, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        char c = s->at < s->len ? s->text[s->at] : '\0';
        if (c >= '0' && c <= '9')
            *out = *out << 4 | (uint32_t)(c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            *out = *out << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return expected(s, s->at, "four hexadecimal digits");
    }
    return 0;
}

/* After the backslash. */
static int scan_escape(struct scan *s)
{
    size_t start = s->at - 1;
    uint32_t c, low;
    int rc;

    if (s->at >= s->len || s->text[s->at] == '\0' || strchr("\"\\/bfnrtu", s->text[s->at]) == NULL)
        return expected(s, s->at, "one of \"\\/bfnrtu after a backslash");
    if (s->text[s->at++] != 'u')
        return 0;
    if ((rc = scan_hex4(s, &c)) != 0)
        return rc;
    if (c == 0)
        return refuse(s, start, ERR_INPUT, "a string must not contain NUL (\\u0000)");
    if (c >= 0xdc00 && c <= 0xdfff)
        return refuse(s, start, ERR_INPUT, "the second half of a surrogate pair without its first");
    if (c < 0xd800 || c > 0xdbff)
        return 0;
    if (s->len - s->at < 2 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
        return refuse(s, start, ERR_INPUT, "the first half of a surrogate pair without its second");
    s->at += 2;
    if ((rc = scan_hex4(s, &low)) != 0)
        return rc;
    if (low < 0xdc00 || low > 0xdfff)
        return refuse(s, start, ERR_INPUT, "the first half of a surrogate pair without its second");
    return 0;
}

static int scan_string(struct scan *s)
{
    size_t start = s->at++;

    while (s->at < s->len) {
        uint32_t c;
        size_t n = utf8_next(s->text + s->at, s->len - s->at, &c);

        if (n == 0)
            return refuse(s, s->at, ERR_INPUT, "not UTF-8");
        if (c < 0x20)
            return refuse(s, s->at, ERR_INPUT, "a control character in a string must be escaped");
        s->at += n;
        if (c == '"')
            return 0;
        if (c == '\\') {
            int rc = scan_escape(s);
            if (rc != 0)
                return rc;
        }
    }
    return refuse(s, start, ERR_INPUT, "this string has no end");
}

static int scan_digits(struct scan *s)
{
    if (!is_digit(s))
        return expected(s, s->at, "a digit");
    while (is_digit(s))
        s->at++;
    return 0;
}

static int scan_number(struct scan *s)
{
    size_t start = s->at;
    char copy[NUMBER_MAX + 1];
    int rc;

    if (is(s, '-'))
        s->at++;
    if (is(s, '0')) {
        s->at++;
        if (is_digit(s))
            return refuse(s, start, ERR_INPUT, "a number must not start with zeros");
    } else if ((rc = scan_digits(s)) != 0) {
        return rc;
    }
    if (is(s, '.')) {
        s->at++;
        if ((rc = scan_digits(s)) != 0)
            return rc;
    }
    if (is(s, 'e') || is(s, 'E')) {
        s->at++;
        if (is(s, '+') || is(s, '-'))
            s->at++;
        if ((rc = scan_digits(s)) != 0)
            return rc;
    }
    if (s->at - start > NUMBER_MAX)
        return refuse(s, start, ERR_LIMIT, "a number of more than 60 characters");
    memcpy(copy, s->text + start, s->at - start);
    copy[s->at - start] = '\0';
    if (!isfinite(strtod(copy, NULL)))
        return refuse(s, start, ERR_LIMIT, "a number too large for a double");
    return 0;
}

static int scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0)
        return expected(s, s->at,
                        "a value (null, true, false, a number, a string, a list or a map)");
    s->at += n;
    return 0;
}

static int scan_scalar(struct scan *s)
{
    if (is(s, '"'))
        return scan_string(s);
    if (is(s, '-') || is_digit(s))
        return scan_number(s);
    if (is(s, 't'))
        return scan_word(s, "true");
    if (is(s, 'f'))
        return scan_word(s, "false");
    return scan_word(s, "null");
}

/* A key and its colon; the positive 1 says that this is the key that was asked for. */
static int scan_key(struct scan *s)
{
    size_t start;
    int rc;

    skip_space(s);
    start = s->at;
    if (!is(s, '"'))
        return expected(s, s->at, "a key in double quotes");
    if (s->keys++ == s->wanted_key) {
        s->at = start;
        return 1;
    }
    if ((rc = scan_string(s)) != 0)
        return rc;
    skip_space(s);
    if (!is(s, ':'))
        return expected(s, s->at, "':' after a key");
    s->at++;
    return 0;
}

/* Steps over the commas and brackets after a value: 0 to read the next value, 1 at the end. */
static int scan_after_value(struct scan *s, const bool *in_map, size_t *depth, bool *done)
{
    while (*depth > 0) {
        bool map = in_map[*depth - 1];

        skip_space(s);
        if (is(s, ',')) {
            s->at++;
            return map ? scan_key(s) : 0;
        }
        if (!is(s, map ? '}' : ']'))
            return expected(s, s->at,
                            map ? "',' or '}' after a member" : "',' or ']' after an item");
        s->at++;
        --*depth;
    }
    *done = true;
    return 0;
}

static int scan_values(struct scan *s)
{
    bool in_map[JSON_DEPTH_MAX];
    size_t depth = 0;
    bool done = false;
    int rc;

    while (!done) {
        skip_space(s);
        if (is(s, '[') || is(s, '{')) {
            bool map = is(s, '{');

            if (depth == JSON_DEPTH_MAX)
                return refuse(s, s->at, ERR_LIMIT, "lists and maps more than 64 deep");
            s->at++;
            in_map[depth++] = map;
            skip_space(s);
            if (!is(s, map ? '}' : ']')) {
                if (map && (rc = scan_key(s)) != 0)
                    return rc;
                continue;
            }
            s->at++;
            depth--;
        } else if ((rc = scan_scalar(s)) != 0) {
            return rc;
        }
        if ((rc = scan_after_value(s, in_map, &depth, &done)) != 0)
            return rc;
    }
    skip_space(s);
    return s->at < s->len ? expected(s, s->at, "nothing after the value") : 0;
}

int json_scan(const char *text, size_t len, struct err *e)
{
    struct scan s = {.text = text, .len = len, .wanted_key = NO_KEY, .e = e};

    return scan_values(&s);
}

int json_scan_key_error(const char *text, size_t len, size_t nth, struct err *e)
{
    struct scan s = {.text = text, .len = len, .wanted_key = nth, .e = e};

    (void)scan_values(&s);
    return refuse(&s, s.at, ERR_INPUT, "this key is in the same map twice");
}
