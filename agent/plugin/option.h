/* Options: the descriptor is the documentation. Policies, the estate and the configuration are
 * checked against these tables. */
#ifndef RB_PLUGIN_OPTION_H
#define RB_PLUGIN_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/json.h"

/* How a value is written, and how it is held once checked (a JSON value in base units). */
enum opt_type {
    OPT_STRING,   /* "..."                held as the string */
    OPT_COUNT,    /* 800                  number, whole */
    OPT_NUMBER,   /* 0.5                  number */
    OPT_PERCENT,  /* "60%"                number 60; at most 100 where max does not say more */
    OPT_DURATION, /* "5m"                 number, milliseconds */
    OPT_SIZE,     /* "4GiB"               number, bytes */
    OPT_RATE,     /* "2 per 1h"           {"n": 2, "per_ms": 3600000} */
    OPT_BOOL,     /* true                 bool */
    OPT_ENUM,     /* one of `words`       the string */
    OPT_LIST,     /* { "a", "b" }         list of strings; a single string is a list of one */
    OPT_MAP,      /* { k = "v" }          map of strings */
    OPT_PERCENT_OR_COUNT, /* "25%" or 2           {"percent": 25} or a number; signed where min < 0
                           */
    OPT_SECRET, /* secret.file "...", secret.env "..."  {"file": path} or {"env": name}: never the
                   value */
    OPT_SIGNAL, /* sig.x { ... }        {"signal": name, "opts": {...}} */
    OPT_COUNT_OR_SIGNAL, /* 8 or sig.x { ... }  a number, or the same map. When the step is planned
                            it has what the signal reads: {..., "reading": 981, "text": "981",
                            "end_wall_ms": ...}, or "unknown": why. At most one in a table */
    OPT_TARGET,          /* the name of another target of kind `words` */
    OPT_STEP, /* the name of another action of the same policy. When the step is planned: what that
                 one gave as its output `words` in this run, or an empty list */
};

struct option {
    const char *name;
    enum opt_type type;
    bool required;
    const char *fallback; /* as it would be written, strings without their quotes ("5m", "60%",
                             "true", "{}"); NULL: none */
    double min, max;      /* in base units (text and lists: length); both 0: no limits, but only
                             OPT_NUMBER may be negative then */
    const char *words;    /* OPT_ENUM: "a|b|c"; OPT_TARGET: the kind; OPT_STEP: the output */
    bool path;            /* OPT_STRING: of a file, beside the one that it is written in */
    /* OPT_STRING, each entry of an OPT_LIST, and what an OPT_SECRET refers to: 0, or ERR_INPUT with
     * what follows the name. NULL: any (plugin/form.h) */
    int (*check)(const char *text, struct err *e);
    const char *one_of; /* options that share this word: exactly one of them must be given */
    const char *help;   /* one line, for the manual and the errors */
};

#define OPTIONS(table) table, sizeof(table) / sizeof((table)[0])
#define OPTION_NO_MAX 1e300 /* a `max` for options that only have a least value */

const char *opt_type_name(enum opt_type t);   /* "duration" */
const char *opt_type_remedy(enum opt_type t); /* the E107 text: `needs a unit, write e.g. "5m"` */

const struct option *option_find(const struct option *table, size_t n, const char *name);

/* Checks one written value (a JSON string, number, bool, list or map, as Lua gave it) and returns
 * it as held, or NULL with *e: its text is what follows the option's name, e.g. `needs a unit,
 * write e.g. "5m"`; code ERR_INPUT for a wrong type (E107), ERR_LIMIT for out of range (E108). */
struct json *option_check(const struct option *o, const struct json *written, struct err *e);

/* Puts the fallbacks of what is absent into held. */
void option_defaults(const struct option *table, size_t n, struct json *held);

/* For tests of descriptors: names, help, words and limits are there and every fallback passes its
 * own check. ERR_BUG with what is wrong. */
int option_table_check(const struct option *table, size_t n, struct err *e);

/* How a held value is written, for messages, plans and diffs; the caller frees with mem_free. */
char *option_text(const struct option *o, const struct json *held);

#endif
