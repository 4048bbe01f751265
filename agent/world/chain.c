/* The hash over a row and over the row before it. */
#include "world/chain.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

void chain_add(struct chain *c, const struct chain_row *r)
{
    char prev[SHA256_HEX], head[SHA256_HEX + 160];
    size_t kind = strlen(r->kind), key = strlen(r->key), doc = strlen(r->doc);
    hex_encode(c->hash, SHA256_LEN, prev);
    c->seq++;
    int n =
        snprintf(head, sizeof head, "%s %lld %lld %lld %d %zu %zu %zu\n", prev, (long long)c->seq,
                 (long long)r->t_ms, (long long)r->wall_ms, r->open, kind, key, doc);
    struct sha256 *h = sha256_new();
    sha256_add(h, head, (size_t)n);
    sha256_add(h, r->kind, kind);
    sha256_add(h, r->key, key);
    sha256_add(h, r->doc, doc);
    sha256_end(h, c->hash);
}

char *chain_source_text(const struct jop *op, char sha[SHA256_HEX])
{
    char *text = json_print_canonical(op->doc);
    sha256_hex(text, strlen(text), sha);
    return text;
}

char *chain_row_of(const struct jtx *tx, const struct jop *op, struct chain_row *r)
{
    struct json *doc = NULL;
    char *text = NULL;
    *r = (struct chain_row){.t_ms = tx->now_ms, .wall_ms = tx->wall_ms};
    switch (op->op) {
    case JOP_PUT:
        r->kind = op->kind;
        r->key = op->key;
        r->open = op->open;
        text = json_print_canonical(op->doc);
        break;
    case JOP_TAKE:
    case JOP_GIVE_BACK:
        r->kind = "token";
        r->key = op->scope;
        doc = json_new_map();
        json_set_str(doc, "item", op->item);
        json_set_str(doc, "op", op->op == JOP_TAKE ? "take" : "give_back");
        text = json_print_canonical(doc);
        break;
    case JOP_SOURCE: {
        char sha[SHA256_HEX];
        mem_free(chain_source_text(op, sha));
        r->kind = "source";
        r->key = op->key;
        doc = json_new_map();
        json_set_str(doc, "sha256", sha);
        text = json_print_canonical(doc);
        break;
    }
    case JOP_SAMPLES:
        break;
    }
    json_free(doc);
    r->doc = text;
    return text;
}
