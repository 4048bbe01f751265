/* The journal in SQLite: the embedded default, for one agent on one host. docs/journal.md describes
 * the file. */
#ifndef RB_WORLD_SQLITE_JOURNAL_H
#define RB_WORLD_SQLITE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/journal.h"

struct loop;

struct sqlite_journal_options {
    const char *path;       /* in the state directory; PATH.lock is made beside it */
    const char *created_by; /* "runbookd 0.1.0" */
    int64_t stall_ms;       /* as in io/store.h; 0: 4 s */
    void (*on_stall)(void *arg, int64_t waited_ms); /* from the loop */
    void *arg;
    int64_t keep_samples_ms; /* packed days older than this are dropped; 0: 400 days */
    /* For tests: a SQLite VFS (then there is no lock file and no check of the file's mode); clocks
     * instead of the host's. */
    const char *vfs;
    int checkpoint_pages; /* as in io/store.h */
    const char *boot_id;  /* NULL: the kernel's, and boot_ms and wall_ms are the host's */
    int64_t boot_ms, wall_ms;
};

/* Opens or makes the journal and takes the lease, waiting; completions come on the loop. NULL on
 * error: ERR_STATE: another agent holds it (with its pid), or a newer version wrote it; ERR_AUTH:
 * its mode or owner; ERR_INPUT: no journal, or changed by someone else; ERR_IO: unreadable. */
struct journal *sqlite_journal_open(struct loop *l, const struct sqlite_journal_options *o,
                                    struct err *e);

/* For offline tools, also beside a running agent: each_open, each_token, each_samples, source and
 * query read what is committed (query answers from inside), head is that of the opening, submit is
 * answered ERR_STATE from inside. */
struct journal *journal_open_readonly(const char *path, struct err *e);

/* How the steady clock goes on over a restart: steady = CLOCK_BOOTTIME in milliseconds + offset_ms.
 * Exact when the host was not rebooted; else the wall clock's difference since the last
 * transaction, clamped to [0, 30 days]; a new journal starts with the wall clock. */
enum clock_source { CLOCK_NEW, CLOCK_SAME_BOOT, CLOCK_BY_WALL };
struct steady_clock {
    int64_t offset_ms;
    int64_t away_ms; /* between the last transaction and the opening */
    enum clock_source source;
};
void journal_clock(const struct journal *j, struct steady_clock *out); /* of sqlite_journal_open */

uint64_t sqlite_journal_commits(
    const struct journal *j); /* groups committed: fewer than transactions when they share */

#endif
