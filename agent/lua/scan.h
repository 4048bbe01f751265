/* What a source text says before it runs: its table constructors and their fields, the globals it
 * names, the steps it asks for by name. Policies are checked and pointed at by this, because
 * running the text shows neither columns nor what stands in functions that are not called. */
#ifndef RB_LUA_SCAN_H
#define RB_LUA_SCAN_H

#include "lua/lex.h"

struct scan_field {
    size_t key;   /* token of the name, the string or the [; for a list item: its value */
    size_t value; /* first token of the value */
    size_t last;  /* last token of the value */
    int index;    /* list item: 1, 2, ...; 0: named */
};

struct scan_table {
    size_t open, close; /* tokens of the braces */
    size_t call; /* first token of the expression that it is an argument of; `open` itself when it
                    is none */
    struct scan_field *fields;
    size_t nfields, cap;
};

enum scan_use_kind { SCAN_READ, SCAN_ASSIGN };
struct scan_use { /* of a global */
    enum scan_use_kind kind;
    size_t name;
    size_t field; /* token of NAME in global.NAME; 0: none */
};

struct scan_step { /* value:METHOD "text" or value:METHOD({ "a", "b" }) with literal names */
    size_t method, text;
    size_t within; /* second argument when it is a literal string; 0: none */
    bool more;     /* there is a second argument of any kind */
};

struct scan {
    const char *name; /* the file, for messages */
    const char *text;
    size_t len;
    struct token *tokens;
    size_t ntokens;
    struct scan_table *tables; /* in the order of their opening braces */
    size_t ntables, tables_cap;
    struct scan_use *uses;
    size_t nuses, uses_cap;
    struct scan_step *steps;
    size_t nsteps, steps_cap;
    size_t *bitwise; /* tokens of bitwise operators beside a number */
    size_t nbitwise, bitwise_cap;
    bool whole; /* the text was understood to its end */
    /* What reading the same text again need not do again. */
    int refs;
    bool compiled; /* Lua has taken it as it is */
    char *marked;  /* of scan_marked, for this base */
    size_t marked_len;
    int marked_base;
};

/* Of a text that Lua has compiled. Borrows name and text. Never fails: `whole` tells. For one
 * thread. */
struct scan *scan_new(const char *name, const char *text, size_t len);
struct scan *scan_ref(struct scan *s); /* and returns it: freed by the last scan_free */
void scan_free(struct scan *s);

/* The text with a hidden entry [SCAN_MARK] = base + index in each table constructor, lines
 * unchanged; it is the scan's, until it is asked for another base. */
#define SCAN_MARK 0x1p-1074
const char *scan_marked(struct scan *s, int base, size_t *len);

/* The field of this name (or list index) in table `i`, or NULL. */
const struct scan_field *scan_field(const struct scan *s, size_t table, const char *name,
                                    int index);
/* The first token of this line, or of the next one that has any. */
size_t scan_line(const struct scan *s, int line);
/* First token in this line or the next few that reads so (a name, or a plain string's content);
 * ntokens when there is none. */
#define SCAN_NEAR 8
size_t scan_find(const struct scan *s, int line, const char *word);

#endif
