/* The journal's hash chain: each row carries the hash of the row before it, so that nobody changes
 * the past without leaving a trace. */
#ifndef RB_WORLD_CHAIN_H
#define RB_WORLD_CHAIN_H

#include <stdint.h>
#include "base/hash.h"
#include "engine/journal.h"

struct chain {
    int64_t seq;              /* of the last row; 0: none yet */
    uint8_t hash[SHA256_LEN]; /* of the last row; zeros: none yet */
};

struct chain_row {
    int64_t t_ms, wall_ms;
    bool open;
    const char *kind, *key, *doc; /* doc: canonical JSON */
};

/* Moves the chain one row on. The hash is SHA-256 over "PREV SEQ T_MS WALL_MS OPEN KIND_BYTES
 * KEY_BYTES DOC_BYTES\n", all decimal but PREV (hex), followed by kind, key and doc without
 * anything between them. docs/journal.md shows how to check a row by hand. */
void chain_add(struct chain *c, const struct chain_row *r);

/* What an operation leaves in the log: its canonical document (the caller frees) with the kind and
 * key in *r; NULL for samples, which have none. Tokens are rows of kind "token", key = scope; a
 * source is a row of kind "source", key = its hash, with the SHA-256 of what is stored. */
char *chain_row_of(const struct jtx *tx, const struct jop *op, struct chain_row *r);

/* The canonical text of a source, and its SHA-256 in hex. The caller frees. */
char *chain_source_text(const struct jop *op, char sha[SHA256_HEX]);

#endif
