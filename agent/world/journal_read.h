/* What is read from the journal's tables, by whoever holds the database: the writing journal on its
 * store's thread, the reading one on the caller's. */
#ifndef RB_WORLD_JOURNAL_READ_H
#define RB_WORLD_JOURNAL_READ_H

#include <stdint.h>
#include "engine/journal.h"
#include "world/journal_db.h"

enum reading_what { READ_OPEN, READ_TOKENS, READ_SOURCE, READ_QUERY, READ_SAMPLES };

struct reading {
    enum reading_what what;
    char *a, *b;
    int64_t n;
    struct journal_rows rows;
    journal_query_fn *fn;
    void *arg;
};

/* One reading on the database; arg is a struct reading. A store_work. */
int reading_work(struct sqlite3 *db, void *arg, struct err *e);

/* Has r done, waiting: what differs between the two journals. */
typedef int reading_run(struct journal *j, struct reading *r, struct err *e);

/* The waiting operations of struct journal_ops over it. */
int reading_walk_open(struct journal *j, reading_run *run, const char *kind,
                      bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                      struct err *e);
int reading_walk_tokens(struct journal *j, reading_run *run, int64_t since_ms,
                        bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                        void *arg, struct err *e);
struct json *reading_source(struct journal *j, reading_run *run, const char *hash, struct err *e);
int reading_walk_samples(struct journal *j, reading_run *run, const char *prefix, int64_t since_ms,
                         bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                    const void *blob, size_t len),
                         void *arg, struct err *e);

/* A query to be run by reading_work and ended by reading_query_done, which answers and frees it. */
struct reading *reading_query(const char *kind, const char *prefix, int limit, journal_query_fn *fn,
                              void *arg);
void reading_query_done(void *arg, const struct err *failed);

/* What a thread that hangs in the disk may still read is never freed; it is kept in a list, so that
 * it can be told from a leak. */
void journal_leave_behind(void *what);

#endif
