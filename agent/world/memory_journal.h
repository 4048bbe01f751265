/* A journal in memory for the test, backtest and chaos worlds: what a disk does, on command. */
#ifndef RB_WORLD_MEMORY_JOURNAL_H
#define RB_WORLD_MEMORY_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/journal.h"

/* What was committed. It outlives the journal that wrote it, as a disk outlives a process. */
struct memory_disk;
struct memory_disk *memory_disk_new(void);
void memory_disk_free(struct memory_disk *d);

/* The nth commit from now (1: the next one) completes with ERR_IO. MEMORY_LOST: nothing of it was
 * written. MEMORY_DURABLE: it was, only the word of it was lost (as when fsync fails after the
 * write, and the machine then stops). Several may be set. */
enum memory_fault { MEMORY_LOST, MEMORY_DURABLE };
void memory_disk_fail(struct memory_disk *d, uint64_t nth, enum memory_fault how);
/* Each query for rows of this kind completes with ERR_IO from now on. */
void memory_disk_unreadable(struct memory_disk *d, const char *kind);
/* What is on it, of one kind: for tests that look over the agent's shoulder. */
void memory_disk_each(const struct memory_disk *d, const char *kind,
                      void (*fn)(void *arg, const char *key, const struct json *doc), void *arg);
uint64_t
memory_disk_commits(const struct memory_disk *d); /* attempts so far, failed ones included */

/* Opens what is there and takes the lease: a journal opened before on the same disk gets ERR_STATE
 * from then on. */
struct journal *memory_journal_open(struct memory_disk *d);

/* Called inside each submit and query, so that a world can set the time at which to pump. */
void memory_journal_on_submit(struct journal *j, void (*fn)(void *arg), void *arg);
/* Makes durable what was submitted; completes nothing. Does nothing while stalled. */
void memory_journal_commit(struct journal *j);
/* Commits, then completes in order what is committed; what the completions submit waits for the
 * next call. Returns how many were completed. */
size_t memory_journal_pump(struct journal *j);
size_t memory_journal_pending(const struct journal *j); /* submitted and not completed */
void memory_journal_stall(struct journal *j, bool stalled);
/* The process dies: what was not committed is lost, nothing completes. Frees j; the disk stays.
 * (close, on the other hand, pumps first.) */
void memory_journal_crash(struct journal *j);

#endif
