/* The lock file beside the journal: one agent a state directory. */
#ifndef RB_WORLD_JOURNAL_LOCK_H
#define RB_WORLD_JOURNAL_LOCK_H

#include "base/err.h"

/* Locks PATH.lock and writes our pid into it; a descriptor, or ERR_STATE with the pid of who holds
 * it, ERR_IO. Closing it unlocks. */
int journal_lock(const char *path, struct err *e);

#endif
