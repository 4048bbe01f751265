/* Builds transactions for the journal; what a journal does with them is its own. */
#include "engine/journal.h"

#include "base/mem.h"

struct jtx *jtx_new(int64_t now_ms, int64_t wall_ms)
{
    struct jtx *tx = mem_alloc(sizeof *tx);
    tx->now_ms = now_ms;
    tx->wall_ms = wall_ms;
    return tx;
}

void jtx_free(struct jtx *tx)
{
    if (!tx)
        return;
    for (size_t i = 0; i < tx->nops; i++) {
        struct jop *op = &tx->ops[i];
        mem_free(op->kind);
        mem_free(op->key);
        json_free(op->doc);
        mem_free(op->scope);
        mem_free(op->item);
        mem_free(op->blob);
    }
    mem_free(tx->ops);
    mem_free(tx);
}

static struct jop *add(struct jtx *tx, enum jop_kind kind)
{
    if (tx->nops == tx->cap) {
        tx->cap = tx->cap ? 2 * tx->cap : 4;
        tx->ops = mem_realloc(tx->ops, tx->cap * sizeof *tx->ops);
    }
    struct jop *op = &tx->ops[tx->nops++];
    *op = (struct jop){.op = kind};
    return op;
}

void jtx_put(struct jtx *tx, const char *kind, const char *key, struct json *doc, bool open)
{
    struct jop *op = add(tx, JOP_PUT);
    op->kind = mem_strdup(kind);
    op->key = mem_strdup(key);
    op->doc = doc ? doc : json_new_null();
    op->open = open;
}

void jtx_take(struct jtx *tx, const char *scope, const char *item, int max, int64_t window_ms)
{
    struct jop *op = add(tx, JOP_TAKE);
    op->scope = mem_strdup(scope);
    op->item = mem_strdup(item);
    op->max = max;
    op->window_ms = window_ms;
}

void jtx_give_back(struct jtx *tx, const char *scope, const char *item)
{
    struct jop *op = add(tx, JOP_GIVE_BACK);
    op->scope = mem_strdup(scope);
    op->item = mem_strdup(item);
}

void jtx_source(struct jtx *tx, const char *hash, struct json *source)
{
    struct jop *op = add(tx, JOP_SOURCE);
    op->key = mem_strdup(hash);
    op->doc = source ? source : json_new_null();
}

void jtx_samples(struct jtx *tx, const char *series_key, int64_t day_start_ms, void *blob,
                 size_t len)
{
    struct jop *op = add(tx, JOP_SAMPLES);
    op->key = mem_strdup(series_key);
    op->at_ms = day_start_ms;
    op->blob = blob;
    op->blob_len = len;
}
