/* The engine's mirror of the journal's counters, so that guards can be asked and explained without
 * waiting; the journal decides. */
#include <stdio.h>
#include <string.h>
#include "engine/internal.h"

#define KEEP_MS                                                                                    \
    (32LL * 24 * 3600 *                                                                            \
     1000) /* longer than any rate's window in sensible use; the journal keeps all */

void token_add_at(struct engine *e, const char *scope, const char *item, int64_t at_ms)
{
    for (size_t k = 0; k < e->ntokens; k++)
        if (strcmp(e->tokens[k].scope, scope) == 0 && strcmp(e->tokens[k].item, item) == 0) {
            if (at_ms > e->tokens[k].at_ms)
                e->tokens[k].at_ms = at_ms;
            return;
        }
    if (e->ntokens == e->ctokens) {
        e->ctokens = e->ctokens ? e->ctokens * 2 : 64;
        e->tokens = mem_realloc(e->tokens, e->ctokens * sizeof(*e->tokens));
    }
    e->tokens[e->ntokens++] = (struct token){mem_strdup(scope), mem_strdup(item), at_ms};
}

void token_add(struct engine *e, const char *scope, const char *item)
{
    token_sweep(e);
    token_add_at(e, scope, item, now(e));
}

static void drop_at(struct engine *e, size_t k)
{
    mem_free(e->tokens[k].scope);
    mem_free(e->tokens[k].item);
    e->tokens[k] = e->tokens[--e->ntokens];
}

void token_drop(struct engine *e, const char *scope, const char *item)
{
    for (size_t k = 0; k < e->ntokens; k++)
        if (strcmp(e->tokens[k].scope, scope) == 0 && strcmp(e->tokens[k].item, item) == 0) {
            drop_at(e, k);
            return;
        }
}

int token_count(struct engine *e, const char *scope, const char *except_item, int64_t window_ms)
{
    int n = 0;

    for (size_t k = 0; k < e->ntokens; k++)
        n += strcmp(e->tokens[k].scope, scope) == 0 && e->tokens[k].at_ms > now(e) - window_ms &&
             !(except_item && strcmp(e->tokens[k].item, except_item) == 0);
    return n;
}

void token_sweep(struct engine *e)
{
    for (size_t k = 0; k < e->ntokens;)
        if (e->tokens[k].at_ms < now(e) - KEEP_MS)
            drop_at(e, k);
        else
            k++;
}
