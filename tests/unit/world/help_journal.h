/* What the journal's tests share: a folder for a journal, and a journal that is written to and
 * waited for. */
#ifndef HELP_JOURNAL_H
#define HELP_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/journal.h"
#include "io/loop.h"
#include "world/sqlite_journal.h"

struct folder {
    char name[64], path[96]; /* path: of the journal in it */
};
void folder_make(struct folder *f);
void folder_remove(struct folder *f);

/* Opens with the given clocks, or fails the test. */
struct journal *help_open(struct loop *l, const char *path, const char *vfs);

/* Submits and runs the loop until completed; the code. */
int help_run(struct loop *l, struct journal *j, struct jtx *tx);

/* Number i of a series of transactions that have something of everything. */
struct jtx *help_tx(int i);

#endif
