/* The tokenizer: Lua 5.4's lexical rules, positions kept, values not. */
#include <ctype.h>
#include <string.h>
#include "base/mem.h"
#include "lua/lex.h"

struct lexer {
    const char *text;
    size_t len, at;
    int line;
    size_t line_start;
    size_t counted, column_at; /* characters of this line up to byte `counted` */
};

static const char *const keywords[] = {"and",   "break", "do",       "else", "elseif", "end",
                                       "false", "for",   "function", "goto", "if",     "in",
                                       "local", "nil",   "not",      "or",   "repeat", "return",
                                       "then",  "true",  "until",    "while"};

static int peek(const struct lexer *x, size_t ahead)
{
    return x->at + ahead < x->len ? (unsigned char)x->text[x->at + ahead] : -1;
}

/* \r\n and \n\r are one line end, as in Lua. */
static void newline(struct lexer *x)
{
    int first = peek(x, 0), second = peek(x, 1);
    x->at++;
    if ((second == '\n' || second == '\r') && second != first) {
        x->at++;
    }
    x->line++;
    x->line_start = x->at;
    x->counted = x->at;
    x->column_at = 0;
}

static int column(struct lexer *x, size_t at)
{
    for (; x->counted < at; x->counted++) {
        if (((unsigned char)x->text[x->counted] & 0xC0) != 0x80) {
            x->column_at++;
        }
    }
    return (int)x->column_at + 1;
}

/* The level of a long bracket that opens here, or -1. */
static int long_level(const struct lexer *x)
{
    if (peek(x, 0) != '[') {
        return -1;
    }
    int level = 0;
    while (peek(x, (size_t)level + 1) == '=') {
        level++;
    }
    return peek(x, (size_t)level + 1) == '[' ? level : -1;
}

static void skip_long(struct lexer *x, int level, struct token *t)
{
    x->at += (size_t)level + 2;
    size_t body = x->at, end = x->len;
    while (x->at < x->len) {
        int c = peek(x, 0);
        if (c == '\n' || c == '\r') {
            newline(x);
            continue;
        }
        if (c == ']') {
            int i = 0;
            while (peek(x, (size_t)i + 1) == '=') {
                i++;
            }
            if (i == level && peek(x, (size_t)i + 1) == ']') {
                end = x->at;
                x->at += (size_t)level + 2;
                break;
            }
        }
        x->at++;
    }
    if (t) {
        t->body = body;
        t->body_len = end - body;
        t->plain = true;
    }
}

static void skip_string(struct lexer *x, struct token *t)
{
    int quote = peek(x, 0);
    x->at++;
    t->body = x->at;
    t->plain = true;
    while (x->at < x->len && peek(x, 0) != quote) {
        int c = peek(x, 0);
        if (c == '\n' || c == '\r') {
            break; /* unfinished */
        }
        x->at++;
        if (c != '\\') {
            continue;
        }
        t->plain = false;
        c = peek(x, 0);
        if (c == '\n' || c == '\r') {
            newline(x);
        } else if (c == 'z') {
            x->at++;
            while (x->at < x->len && isspace(peek(x, 0))) {
                if (peek(x, 0) == '\n' || peek(x, 0) == '\r') {
                    newline(x);
                } else {
                    x->at++;
                }
            }
        } else if (c >= 0) {
            x->at++;
        }
    }
    t->body_len = x->at - t->body;
    if (peek(x, 0) == quote) {
        x->at++;
    }
}

static void skip_number(struct lexer *x)
{
    bool hex = peek(x, 0) == '0' && (peek(x, 1) | 32) == 'x';
    x->at += hex ? 2 : 0;
    for (;;) {
        int c = peek(x, 0);
        if (c < 0) {
            return;
        }
        int exponent = hex ? 'p' : 'e';
        if ((c | 32) == exponent && (peek(x, 1) == '+' || peek(x, 1) == '-')) {
            x->at += 2;
        } else if (isalnum(c) || c == '_' || c == '.') {
            x->at++;
        } else {
            return;
        }
    }
}

static void skip_blanks(struct lexer *x)
{
    for (;;) {
        int c = peek(x, 0);
        if (c == '\n' || c == '\r') {
            newline(x);
        } else if (c >= 0 && isspace(c)) {
            x->at++;
        } else if (c == '-' && peek(x, 1) == '-') {
            x->at += 2;
            int level = long_level(x);
            if (level >= 0) {
                skip_long(x, level, NULL);
                continue;
            }
            while (x->at < x->len && peek(x, 0) != '\n' && peek(x, 0) != '\r') {
                x->at++;
            }
        } else {
            return;
        }
    }
}

static size_t sign_len(const struct lexer *x)
{
    static const char *const signs[] = {
        "...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t n = strlen(signs[i]);
        if (x->len - x->at >= n && memcmp(x->text + x->at, signs[i], n) == 0) {
            return n;
        }
    }
    return 1;
}

static void next(struct lexer *x, struct token *t)
{
    memset(t, 0, sizeof *t);
    skip_blanks(x);
    t->at = x->at;
    t->line = x->line;
    t->column = column(x, x->at);
    int c = peek(x, 0);
    if (c < 0) {
        t->kind = TOKEN_END;
    } else if (isalpha(c) || c == '_') {
        while (peek(x, 0) >= 0 && (isalnum(peek(x, 0)) || peek(x, 0) == '_')) {
            x->at++;
        }
        t->kind = TOKEN_NAME;
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++) {
            if (strlen(keywords[i]) == x->at - t->at &&
                memcmp(keywords[i], x->text + t->at, x->at - t->at) == 0) {
                t->kind = TOKEN_KEYWORD;
            }
        }
    } else if (c == '"' || c == '\'') {
        t->kind = TOKEN_STRING;
        skip_string(x, t);
    } else if (long_level(x) >= 0) {
        t->kind = TOKEN_STRING;
        skip_long(x, long_level(x), t);
    } else if (isdigit(c) || (c == '.' && peek(x, 1) >= 0 && isdigit(peek(x, 1)))) {
        t->kind = TOKEN_NUMBER;
        skip_number(x);
    } else {
        t->kind = TOKEN_SIGN;
        x->at += sign_len(x);
    }
    t->len = x->at - t->at;
}

struct token *lex(const char *text, size_t len, size_t *count)
{
    struct lexer x = {.text = text, .len = len, .line = 1};
    size_t cap = 256, n = 0;
    struct token *tokens = mem_calloc(cap, sizeof *tokens);
    do {
        if (n == cap) {
            cap *= 2;
            tokens = mem_realloc(tokens, cap * sizeof *tokens);
        }
        next(&x, &tokens[n]);
    } while (tokens[n++].kind != TOKEN_END);
    *count = n;
    return tokens;
}

bool token_is(const char *text, const struct token *t, const char *word)
{
    return (t->kind == TOKEN_NAME || t->kind == TOKEN_KEYWORD || t->kind == TOKEN_SIGN) &&
           strlen(word) == t->len && memcmp(text + t->at, word, t->len) == 0;
}

bool lex_has_nul(const char *text, const struct token *t)
{
    if (t->kind != TOKEN_STRING) {
        return false;
    }
    if (memchr(text + t->body, 0, t->body_len)) {
        return true;
    }
    if (t->plain) {
        return false;
    }
    for (size_t i = 0; i + 1 < t->body_len; i++) {
        const char *s = text + t->body + i;
        size_t left = t->body_len - i;
        if (s[0] != '\\') {
            continue;
        }
        size_t digits = 1;
        if (isdigit((unsigned char)s[1])) {
            int value = 0;
            for (; digits < left && digits <= 3 && isdigit((unsigned char)s[digits]); digits++) {
                value = value * 10 + (s[digits] - '0');
            }
            if (value == 0) {
                return true;
            }
        } else if (s[1] == 'x' && left >= 4 && s[2] == '0' && s[3] == '0') {
            return true;
        } else if (s[1] == 'u' && left >= 4) {
            size_t k = 3;
            while (k < left && s[k] == '0') {
                k++;
            }
            if (k > 3 && k < left && s[k] == '}') {
                return true;
            }
        }
        i++; /* the escaped character */
    }
    return false;
}
