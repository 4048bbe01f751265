/* A file system in memory for SQLite that loses power, fails and hangs on demand.
 *
 * It knows what has been synced. Cutting the power keeps that and gives each unsynced 512-byte
 * sector of each write, by the seed, a fate of its own: there, lost, or torn. (Reordering is in
 * this: a sector that was written twice may keep the older.) New files may be gone and deleted ones
 * back, as long as neither they nor their folder were synced. All functions may be called from any
 * thread; the files live as long as the faultvfs. */
#ifndef FAULTVFS_H
#define FAULTVFS_H

#include <stdbool.h>
#include <stdint.h>

struct faultvfs;

enum faultvfs_op { /* may be or-ed together */
                   FAULTVFS_WRITE = 1,
                   FAULTVFS_SYNC = 2,
                   FAULTVFS_TRUNCATE = 4,
                   FAULTVFS_DELETE = 8,
                   FAULTVFS_OPEN = 16,
                   FAULTVFS_READ = 32,
};
#define FAULTVFS_CHANGES (FAULTVFS_WRITE | FAULTVFS_SYNC | FAULTVFS_TRUNCATE | FAULTVFS_DELETE)

/* Registers it with SQLite under name; as the default, code that names no VFS uses it without
 * knowing. The same seed and the same calls give the same losses. Never NULL (it aborts). */
struct faultvfs *faultvfs_new(const char *name, uint64_t seed, bool make_default);
/* Ends a hang, waits up to 10 s for connections that other threads are closing, and unregisters. */
void faultvfs_free(struct faultvfs *v);

/* How many operations of these kinds there were, failed ones included. */
uint64_t faultvfs_count(struct faultvfs *v, unsigned ops);

/* The n-th (1 is the next) operation of these kinds and the times - 1 after it fail with code, an
 * SQLITE_ one (SQLITE_FULL, SQLITE_IOERR_FSYNC ...); code 0 is each operation's own SQLITE_IOERR_;
 * times 0 is for ever. A failing write may have written a part. n = 0 ends it. */
void faultvfs_fail(struct faultvfs *v, unsigned ops, uint64_t n, uint64_t times, int code);

/* The n-th operation of these kinds takes ms longer, or until faultvfs_release. */
void faultvfs_hang(struct faultvfs *v, unsigned ops, uint64_t n, unsigned ms);
void faultvfs_release(struct faultvfs *v);

/* The power fails during the n-th change (FAULTVFS_CHANGES) from now, or at once for n = 0: from
 * then on everything fails with SQLITE_IOERR_ codes. Close all connections, then faultvfs_power_on
 * decides what is left, and all works again. */
void faultvfs_cut_power(struct faultvfs *v, uint64_t n);
bool faultvfs_is_dead(struct faultvfs *v);
void faultvfs_power_on(struct faultvfs *v);

#endif
