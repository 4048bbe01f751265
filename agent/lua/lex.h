/* Tokens of a Lua source text with their columns: what errors point at, because Lua itself only
 * knows lines. */
#ifndef RB_LUA_LEX_H
#define RB_LUA_LEX_H

#include <stdbool.h>
#include <stddef.h>

enum token_kind { TOKEN_NAME, TOKEN_KEYWORD, TOKEN_STRING, TOKEN_NUMBER, TOKEN_SIGN, TOKEN_END };

struct token {
    enum token_kind kind;
    size_t at, len;        /* bytes in the text, quotes included */
    size_t body, body_len; /* a string's content as written, escapes not resolved */
    bool plain;            /* a string without escapes: body is its value */
    int line, column;      /* column: characters, from 1 */
};

/* All tokens, the last one TOKEN_END; the caller frees with mem_free. The text should be one that
 * Lua accepts: of another one, an unfinished string or comment ends with the text, and unknown
 * bytes are signs of their own. */
struct token *lex(const char *text, size_t len, size_t *count);

bool token_is(const char *text, const struct token *t,
              const char *word); /* a keyword, sign or name */

/* Finds byte, escape "\0", "\x00" or "\u{0}" that would put a NUL into a string: true, and the
 * place of the token. */
bool lex_has_nul(const char *text, const struct token *t);

#endif
