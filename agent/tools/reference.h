/* The reference of the policy language and the configuration, made from the tables that the checks
 * use. */
#ifndef RB_TOOLS_REFERENCE_H
#define RB_TOOLS_REFERENCE_H

#include <stddef.h>

#include "base/buf.h"

/* All of them add to out: Markdown for people, definitions for the Lua language server, a standard
 * for luacheck. */
void reference_markdown(struct buf *out);
void reference_luals(struct buf *out);
void reference_luacheck(struct buf *out);

/* Every error and warning, in order. */
struct reference_code {
    const char *code, *text;
};
extern const struct reference_code reference_codes[];
extern const size_t reference_codes_len;

#endif
