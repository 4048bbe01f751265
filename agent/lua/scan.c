/* A recursive-descent reading of Lua 5.4's grammar that keeps positions and scopes and makes no
 * code. Its depth is bounded by Lua's own (200 levels), because only texts that Lua has compiled
 * come here. */
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "base/mem.h"
#include "lua/scan.h"

#define MAX_LOCALS 4096

struct parser {
    struct scan *s;
    size_t at;
    size_t locals[MAX_LOCALS]; /* their tokens */
    size_t nlocals;
    bool lost;
};

#define PUSH(array, count, cap, item)                                                              \
    do {                                                                                           \
        if ((count) == (cap)) {                                                                    \
            (cap) = (cap) ? (cap)*2 : 16;                                                          \
            (array) = mem_realloc((array), (cap) * sizeof *(array));                               \
        }                                                                                          \
        (array)[(count)++] = (item);                                                               \
    } while (0)

static void block(struct parser *p);
static void expression(struct parser *p);
static size_t constructor(struct parser *p, size_t call);

static const struct token *now(const struct parser *p)
{
    return &p->s->tokens[p->at];
}
static bool is(const struct parser *p, const char *word)
{
    return token_is(p->s->text, now(p), word);
}
static void advance(struct parser *p)
{
    if (now(p)->kind != TOKEN_END) {
        p->at++;
    }
}
static bool accept(struct parser *p, const char *word)
{
    if (is(p, word)) {
        advance(p);
        return true;
    }
    return false;
}
/* What is not as expected ends the reading: the text is not Lua after all. */
static void lose(struct parser *p)
{
    p->lost = true;
    p->at = p->s->ntokens - 1;
}
static void expect(struct parser *p, const char *word)
{
    if (!accept(p, word)) {
        lose(p);
    }
}

static void declare(struct parser *p, size_t token)
{
    if (token_is(p->s->text, &p->s->tokens[token],
                 "_ENV")) { /* would hide which names are global */
        struct scan_use u = {.kind = SCAN_READ, .name = token};
        PUSH(p->s->uses, p->s->nuses, p->s->uses_cap, u);
    }
    if (p->nlocals < MAX_LOCALS) {
        p->locals[p->nlocals++] = token;
    } else {
        lose(p);
    }
}
static size_t name(struct parser *p)
{
    if (now(p)->kind != TOKEN_NAME) {
        lose(p);
        return p->at;
    }
    advance(p);
    return p->at - 1;
}
static bool is_local(const struct parser *p, size_t token)
{
    const struct token *t = &p->s->tokens[token];
    for (size_t i = p->nlocals; i > 0; i--) {
        const struct token *l = &p->s->tokens[p->locals[i - 1]];
        if (l->len == t->len && memcmp(p->s->text + l->at, p->s->text + t->at, t->len) == 0) {
            return true;
        }
    }
    return token_is(
        p->s->text, t,
        "self"); /* the parameter of `function a:b()`; such a table would be local anyway */
}

static void body(struct parser *p)
{
    size_t outer = p->nlocals;
    expect(p, "(");
    while (!p->lost && !is(p, ")")) {
        if (!accept(p, "...")) {
            declare(p, name(p));
        }
        if (!accept(p, ",")) {
            break;
        }
    }
    expect(p, ")");
    block(p);
    expect(p, "end");
    p->nlocals = outer;
}

static void expressions(struct parser *p)
{
    do {
        expression(p);
    } while (!p->lost && accept(p, ","));
}

/* Notes value:method "text"; called at the token after the method's name. */
static void note_step(struct parser *p, size_t method)
{
    const struct token *t = p->s->tokens;
    struct scan_step step = {.method = method};
    size_t at = p->at;
    if (t[at].kind == TOKEN_SIGN && is(p, "(")) {
        at++;
        if (t[at].kind == TOKEN_STRING && t[at + 1].kind == TOKEN_SIGN) {
            step.text = at;
            step.more = token_is(p->s->text, &t[at + 1], ",");
            if (step.more && t[at + 2].kind == TOKEN_STRING &&
                token_is(p->s->text, &t[at + 3], ")")) {
                step.within = at + 2;
            }
        }
    } else if (t[at].kind == TOKEN_STRING) {
        step.text = at;
    }
    if (step.text && t[step.text].plain) {
        PUSH(p->s->steps, p->s->nsteps, p->s->steps_cap, step);
    }
    /* a list of names: each is a use of its own */
    bool list = token_is(p->s->text, &t[at], "{");
    for (size_t i = at + 1; list && t[i].kind == TOKEN_STRING; i += 2) {
        struct scan_step each = {.method = method, .text = i, .more = true};
        if (t[i].plain) {
            PUSH(p->s->steps, p->s->nsteps, p->s->steps_cap, each);
        }
        list = token_is(p->s->text, &t[i + 1], ",") || token_is(p->s->text, &t[i + 1], ";");
    }
}

/* True when it can be assigned to: a name or an index. Sets *global to the token of a bare global
 * name. */
static bool suffixed(struct parser *p, size_t *global)
{
    size_t first = p->at, use = 0;
    bool target = false, bare = false, is_use = false;
    *global = 0;
    if (accept(p, "(")) {
        expression(p);
        expect(p, ")");
    } else if (now(p)->kind == TOKEN_NAME) {
        size_t token = name(p);
        target = true;
        if (!is_local(p, token)) {
            struct scan_use u = {.kind = SCAN_READ, .name = token};
            PUSH(p->s->uses, p->s->nuses, p->s->uses_cap, u);
            use = p->s->nuses - 1;
            is_use = bare = true;
        }
    } else {
        lose(p);
    }
    for (bool root = true; !p->lost; root = false) {
        if (accept(p, ".")) {
            size_t field = name(p);
            if (root && is_use) {
                p->s->uses[use].field = field;
            }
            target = true;
        } else if (accept(p, "[")) {
            expression(p);
            expect(p, "]");
            target = true;
        } else if (accept(p, ":")) {
            size_t method = name(p);
            note_step(p, method);
            target = false;
            continue;
        } else if (accept(p, "(")) {
            if (!is(p, ")")) {
                if (is(p, "{")) {                 /* f({ ... }): the table is the call's */
                    size_t table = p->s->ntables; /* the number that it will have */
                    expression(p);
                    p->s->tables[table].call = first;
                    if (accept(p, ",")) {
                        expressions(p);
                    }
                } else {
                    expressions(p);
                }
            }
            expect(p, ")");
            target = false;
        } else if (is(p, "{")) {
            constructor(p, first);
            target = false;
        } else if (now(p)->kind == TOKEN_STRING) {
            advance(p);
            target = false;
        } else {
            break;
        }
        bare = false;
    }
    if (bare && target) {
        *global = use + 1; /* the use's number, from 1 */
    }
    return target;
}

static void simple(struct parser *p)
{
    size_t global;
    const struct token *t = now(p);
    if (t->kind == TOKEN_NUMBER || t->kind == TOKEN_STRING || is(p, "nil") || is(p, "true") ||
        is(p, "false") || is(p, "...")) {
        advance(p);
    } else if (is(p, "{")) {
        constructor(p, p->at);
    } else if (accept(p, "function")) {
        body(p);
    } else {
        suffixed(p, &global);
    }
}

static bool binary(const struct parser *p)
{
    static const char *const words[] = {
        "+",  "-",  "*",  "/",   "//", "%", "^", "..", "<",  "<=", ">",
        ">=", "==", "~=", "and", "or", "&", "|", "~",  "<<", ">>"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (is(p, words[i])) {
            return now(p)->kind != TOKEN_NAME;
        }
    }
    return false;
}

static void expression(struct parser *p)
{
    for (;;) {
        while (is(p, "not") || is(p, "-") || is(p, "#") || is(p, "~")) {
            advance(p);
        }
        simple(p);
        if (p->lost || !binary(p)) {
            return;
        }
        if (is(p, "&") || is(p, "|") || is(p, "~") || is(p, "<<") || is(p, ">>")) {
            const struct token *t = p->s->tokens;
            size_t after = p->at + 1;
            while (token_is(p->s->text, &t[after], "(") || token_is(p->s->text, &t[after], "-")) {
                after++;
            }
            if (t[p->at - 1].kind == TOKEN_NUMBER || t[after].kind == TOKEN_NUMBER) {
                PUSH(p->s->bitwise, p->s->nbitwise, p->s->bitwise_cap, p->at);
            }
        }
        advance(p);
    }
}

static size_t constructor(struct parser *p, size_t call)
{
    struct scan_table fresh = {.open = p->at, .call = call};
    size_t self = p->s->ntables;
    PUSH(p->s->tables, p->s->ntables, p->s->tables_cap, fresh);
    int index = 0;
    expect(p, "{");
    while (!p->lost && !is(p, "}")) {
        struct scan_field f = {.key = p->at};
        if (accept(p, "[")) {
            if (now(p)->kind == TOKEN_STRING) {
                f.key = p->at;
            }
            expression(p);
            expect(p, "]");
            expect(p, "=");
        } else if (now(p)->kind == TOKEN_NAME && token_is(p->s->text, now(p) + 1, "=")) {
            advance(p);
            advance(p);
        } else {
            f.index = ++index;
        }
        f.value = p->at;
        expression(p);
        f.last = p->at > f.value ? p->at - 1 : f.value;
        struct scan_table *t = &p->s->tables[self];
        PUSH(t->fields, t->nfields, t->cap, f);
        if (!accept(p, ",") && !accept(p, ";")) {
            break;
        }
    }
    p->s->tables[self].close = p->at;
    expect(p, "}");
    return self;
}

static void assignment_or_call(struct parser *p)
{
    size_t global = 0, globals[64], n = 0;
    bool target = suffixed(p, &global);
    if (!is(p, "=") && !is(p, ",")) {
        return;
    }
    for (;;) {
        if (!target) {
            lose(p);
            return;
        }
        if (global && n < 64) {
            globals[n++] = global - 1;
        }
        if (!accept(p, ",")) {
            break;
        }
        target = suffixed(p, &global);
    }
    for (size_t i = 0; i < n; i++) {
        p->s->uses[globals[i]].kind = SCAN_ASSIGN;
    }
    expect(p, "=");
    expressions(p);
}

static void local_names(struct parser *p)
{
    size_t names[256], n = 0;
    do {
        size_t token = name(p);
        if (n < 256) {
            names[n++] = token;
        }
        if (accept(p, "<")) {
            name(p);
            expect(p, ">");
        }
    } while (!p->lost && accept(p, ","));
    if (accept(p, "=")) {
        expressions(p);
    }
    for (size_t i = 0; i < n; i++) { /* in scope after the statement */
        declare(p, names[i]);
    }
}

static void function_statement(struct parser *p)
{
    size_t token = name(p);
    bool plain = true;
    if (is(p, ".") || is(p, ":")) {
        plain = false;
    }
    if (!p->lost && !is_local(p, token)) {
        struct scan_use u = {.kind = plain ? SCAN_ASSIGN : SCAN_READ, .name = token};
        PUSH(p->s->uses, p->s->nuses, p->s->uses_cap, u);
    }
    while (accept(p, ".") || accept(p, ":")) {
        name(p);
    }
    body(p);
}

static void for_statement(struct parser *p)
{
    size_t outer = p->nlocals, names[256], n = 0;
    do {
        size_t token = name(p);
        if (n < 256) {
            names[n++] = token;
        }
    } while (!p->lost && accept(p, ","));
    if (!accept(p, "=")) {
        expect(p, "in");
    }
    expressions(p);
    for (size_t i = 0; i < n; i++) {
        declare(p, names[i]);
    }
    expect(p, "do");
    block(p);
    expect(p, "end");
    p->nlocals = outer;
}

static void if_statement(struct parser *p)
{
    size_t outer = p->nlocals;
    do {
        expression(p);
        expect(p, "then");
        block(p);
        p->nlocals = outer;
    } while (!p->lost && accept(p, "elseif"));
    if (accept(p, "else")) {
        block(p);
        p->nlocals = outer;
    }
    expect(p, "end");
}

static void repeat_statement(struct parser *p)
{
    size_t outer = p->nlocals;
    /* the condition sees the block's locals: its statements are read here, without a scope of their
     * own */
    while (!p->lost && !is(p, "until") && now(p)->kind != TOKEN_END) {
        size_t before = p->at;
        block(p);
        p->lost = p->lost || (p->at == before && !is(p, "until"));
    }
    expect(p, "until");
    expression(p);
    p->nlocals = outer;
}

static bool statement(struct parser *p)
{
    if (accept(p, ";") || accept(p, "break")) {
        /* nothing belongs to it */
    } else if (accept(p, "::")) {
        name(p);
        expect(p, "::");
    } else if (accept(p, "goto")) {
        name(p);
    } else if (accept(p, "do")) {
        size_t outer = p->nlocals;
        block(p);
        p->nlocals = outer;
        expect(p, "end");
    } else if (accept(p, "while")) {
        expression(p);
        expect(p, "do");
        size_t outer = p->nlocals;
        block(p);
        p->nlocals = outer;
        expect(p, "end");
    } else if (accept(p, "repeat")) {
        repeat_statement(p);
    } else if (accept(p, "if")) {
        if_statement(p);
    } else if (accept(p, "for")) {
        for_statement(p);
    } else if (accept(p, "function")) {
        function_statement(p);
    } else if (accept(p, "local")) {
        if (accept(p, "function")) {
            declare(p, name(p));
            body(p);
        } else {
            local_names(p);
        }
    } else if (accept(p, "return")) {
        if (!is(p, ";") && !is(p, "end") && !is(p, "else") && !is(p, "elseif") && !is(p, "until") &&
            now(p)->kind != TOKEN_END) {
            expressions(p);
        }
        accept(p, ";");
        return false;
    } else {
        assignment_or_call(p);
    }
    return true;
}

/* A block's locals stay declared at its end for `until`; other callers cut them back. */
static void block(struct parser *p)
{
    while (!p->lost && now(p)->kind != TOKEN_END && !is(p, "end") && !is(p, "else") &&
           !is(p, "elseif") && !is(p, "until")) {
        size_t scope = p->nlocals;
        bool control =
            is(p, "if") || is(p, "for") || is(p, "while") || is(p, "repeat") || is(p, "function");
        if (!statement(p)) {
            break;
        }
        if (control) { /* what an if's branches declared ends with it */
            p->nlocals = scope;
        }
    }
}

struct scan *scan_new(const char *file, const char *text, size_t len)
{
    struct scan *s = mem_alloc(sizeof *s);
    s->refs = 1;
    s->name = file;
    s->text = text;
    s->len = len;
    s->tokens = lex(text, len, &s->ntokens);
    struct parser *p = mem_alloc(sizeof *p);
    p->s = s;
    block(p);
    s->whole = !p->lost && now(p)->kind == TOKEN_END;
    mem_free(p);
    return s;
}
