/* The journal's tables, and what is read from and written to them: shared by the writing journal,
 * the reading one and the audit. */
#ifndef RB_WORLD_JOURNAL_DB_H
#define RB_WORLD_JOURNAL_DB_H

#include <stdint.h>
#include "engine/journal.h"
#include "world/chain.h"

struct sqlite3;

#define JOURNAL_SCHEMA 1         /* PRAGMA user_version */
#define JOURNAL_MAGIC 0x52424b44 /* PRAGMA application_id, "RBKD" */
#define JOURNAL_TOKEN_KEEP_MS                                                                      \
    (400 * 86400000LL) /* no window is longer; older ones are dropped at a start */

/* What the last transaction of the last holder left: the steady clock goes on from there. */
struct journal_meta {
    int64_t epoch, steady_ms, wall_ms, boot_ms;
    char boot_id[64];
    struct chain head;
};

/* What the log, and so the chain, says of the clocks; boot_id is empty in a journal that says
 * nothing yet. */
struct journal_clock {
    char boot_id[64];
    int64_t offset_ms;               /* steady = boot + offset, in that boot */
    int64_t last_t_ms, last_wall_ms; /* of the newest row */
};

/* Who writes, and under which lease. */
struct journal_lease {
    int64_t epoch, boot_offset_ms; /* steady = boot + offset */
    int64_t keep_samples_ms;
};

/* 0: a journal that we can read; 1: an empty file; ERR_STATE: of a newer version; ERR_INPUT:
 * something else. */
int journal_db_check(struct sqlite3 *db, struct err *e);
int journal_db_create(struct sqlite3 *db, const char *created_by, int64_t wall_ms, struct err *e);
int journal_db_meta(struct sqlite3 *db, struct journal_meta *m, struct err *e);
int journal_db_clock(struct sqlite3 *db, struct journal_clock *k, struct err *e);
/* Whether a statement of sqlite_schema is one of ours; of how many ours consists. */
bool journal_db_has(const char *sql);
int journal_db_parts(void);

/* One transaction, inside the caller's savepoint. *denied: owned by the caller, set with
 * ERR_DENIED. *head: after it. */
int journal_db_apply(struct sqlite3 *db, const struct journal_lease *l, const struct jtx *tx,
                     char **denied, struct chain *head, struct err *e);

/* Rows as read; texts are parsed on the thread that asked, never on the store's. */
struct journal_row {
    char *a, *b;
    int64_t n;
    void *blob;
    size_t len;
};
struct journal_rows {
    struct journal_row *rows;
    size_t n, cap;
};
void journal_rows_free(struct journal_rows *r);
struct json *journal_row_doc(const char *text, struct err *e);
int journal_db_open_rows(struct sqlite3 *db, const char *kind, struct journal_rows *out,
                         struct err *e); /* a key, b doc */
int journal_db_tokens(struct sqlite3 *db, int64_t since_ms, struct journal_rows *out,
                      struct err *e); /* a scope, b item, n at */
int journal_db_source(struct sqlite3 *db, const char *hash, struct journal_rows *out,
                      struct err *e); /* b doc */
int journal_db_query(struct sqlite3 *db, const char *kind, const char *prefix, int limit,
                     struct journal_rows *out, struct err *e); /* b doc */
int journal_db_samples(struct sqlite3 *db, const char *prefix, int64_t since_ms,
                       struct journal_rows *out, struct err *e); /* a series, n day, blob */

#endif
