/* SQLite on its own thread: work is submitted, completions arrive on the loop; a slow or hung disk stalls no one else. */
#ifndef RB_IO_STORE_H
#define RB_IO_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "io/loop.h"

struct sqlite3;
struct store;

struct store_options {
    const char *path;
    const char *vfs;       /* NULL: the default; tests pass one that tears and drops writes */
    int checkpoint_pages;  /* the write-ahead log is moved into the file when it is longer; 0: 1000 pages */
    int64_t stall_ms;      /* a piece of work not done by then is reported to on_stall, once, from the loop; 0: 4 s */
    void (*on_stall)(void *arg, int64_t waited_ms);
    void *arg;
};

/* Opens as db_open does for writing (io/db.h), waiting. The caller makes the schema in its first work. l NULL: offline, store_run only. */
struct store *store_open(struct loop *l, const struct store_options *o, struct err *e);
/* Waits for what was submitted, at most stall_ms, and completes it from inside. A thread that hangs beyond that is left behind: what it holds then
 * completes with ERR_TIMEOUT (nobody knows whether it became durable) and its arg must stay allocated (ERR_TIMEOUT is returned). Not from inside a completion. NULL is fine. */
int store_close(struct store *s);

/* work runs on the store's thread inside a savepoint of one transaction that may hold others' work (group commit): a negative return rolls this
 * piece back alone. done runs on the loop after the COMMIT is durable (e NULL) or with what failed; in order of submission, exactly once. When the
 * commit fails, every piece of its group fails. Nothing is committed while the file, or its log, is not what its name stands for: ERR_IO. */
typedef int store_work(struct sqlite3 *db, void *arg, struct err *e);
typedef void store_done(void *arg, const struct err *e);
void store_submit(struct store *s, store_work *work, store_done *done, void *arg);

/* At the start, before the loop runs: the same, waiting. */
int store_run(struct store *s, store_work *work, void *arg, struct err *e);

bool store_stalled(const struct store *s); /* since on_stall, until what was late is done */
uint64_t store_commits(const struct store *s); /* groups that became durable; from any thread */

#endif
