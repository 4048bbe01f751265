/* Reads a whole journal and tells what was changed by something else than the agent: what "runbookd
 * audit" is made of. */
#ifndef RB_WORLD_JOURNAL_AUDIT_H
#define RB_WORLD_JOURNAL_AUDIT_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* A head of the chain that was seen outside, as each report carries one. */
struct journal_witness {
    int64_t seq;
    char hex[65];
};
int journal_witness_parse(const char *text, struct journal_witness *w,
                          struct err *e); /* "SEQ:HEX" */

struct journal_audit {
    struct journal_witness head; /* the last row that was read */
    int64_t rows, states, tokens, sources;
    int64_t first_wall_ms, last_wall_ms;
    int64_t
        findings; /* 0: the journal is what the agent wrote, up to the newest witness at least */
};

/* Checks, beside a running agent too: the file's structure (SQLite's integrity_check), that there
 * is no table, index or trigger that the agent did not make, that rows are numbered without a gap,
 * each linked to the one before it and with the hash of its content, the head in meta, each
 * witness, and that state, tokens and sources are what the log says. Rows cut off the end together
 * with a meta row that was made to fit are seen only by a witness that is newer. Packed samples are
 * not in the chain. report is called for each finding, at most 1000 times; seq is 0 where none
 * applies. Returns 0 when all was read, whatever was found; ERR_NOT_FOUND, ERR_IO, ERR_INPUT,
 * ERR_STATE when the file cannot be read as a journal at all. */
int journal_verify(const char *path, const struct journal_witness *witness, size_t nwitness,
                   void (*report)(void *arg, int64_t seq, const char *text), void *arg,
                   struct journal_audit *out, struct err *e);

struct sqlite3;
int journal_verify_db(struct sqlite3 *db, const struct journal_witness *witness,
                      size_t nwitness, /* the same over an open file */
                      void (*report)(void *arg, int64_t seq, const char *text), void *arg,
                      struct journal_audit *out, struct err *e);

/* What an opening asks before it believes the journal, within the caller's transaction: the same
 * over the newest rows of log, and over all states that are open and all tokens. ERR_INPUT with the
 * first finding. */
int journal_verify_newest(struct sqlite3 *db, int64_t rows, struct err *e);

#endif
