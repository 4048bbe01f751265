/* What a run asks for, and how it is answered: the engine's side of r:act, r:verify and the rest. Lua's coroutine and the ladder implement it. */
#ifndef RB_ENGINE_SCRIPT_H
#define RB_ENGINE_SCRIPT_H

#include <stdint.h>
#include "base/err.h"
#include "base/json.h"

enum ask_kind { ASK_ACT, ASK_UNDO, ASK_VERIFY, ASK_WAIT, ASK_HOLDS, ASK_SLEEP, ASK_PAGE, ASK_LOG, ASK_READ, ASK_END, ASK_FAULT };
const char *ask_name(enum ask_kind k); /* "act" */

struct ask {
    enum ask_kind kind;
    const char *name;     /* action or check; wait: the checks joined by '|'; read: "SIGNAL" */
    int64_t within_ms;    /* verify, wait, sleep; -1: the policy's verify_within */
    const char *text;     /* page, log; fault: the error with its code and site */
    const struct json *signal; /* read: {"signal": name, "opts": {...}} */
    int line;             /* where in the policy's file it was asked */
}; /* strings live until the next resume or free */

struct script;
struct script_ops {
    /* target: name, id, kind, tag and fields as seen at the start; params: as resolved. Both copied. */
    struct script *(*start)(void *data, const struct json *target, const struct json *params, struct err *e);
    /* answer: of the last ask (bool, string, number, null; NULL for the first). Fills *out; after ASK_END or ASK_FAULT only free follows. Never blocks: bounded by the instruction budget. */
    void (*resume)(struct script *s, const struct json *answer, struct ask *out);
    void (*free)(struct script *s);
};

#endif
