/* A file system in memory for SQLite that loses power, fails and hangs on demand. */
#include "harness/faultvfs.h"

#include "harness/faultvfs_disk.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECTOR 512
#define MAX_FILE_BYTES (256 << 20)

struct handle {
    sqlite3_file base; /* first: SQLite sees only this */
    struct faultvfs *v;
    struct inode *inode;
    int lock;
    bool uses_shm;
    unsigned shm_shared, shm_exclusive; /* bits of the locks held */
};

struct faultvfs {
    sqlite3_vfs base;
    sqlite3_vfs *under;
    char *name;
    pthread_mutex_t mutex;
    pthread_cond_t released;
    struct disk disk;
    uint64_t counts[6];
    bool dead;
    uint64_t cut_in; /* changes until the power fails; 0: it does not */
    struct {
        unsigned ops;
        uint64_t in, times;
        bool for_ever;
        int code;
    } fail;
    struct {
        unsigned ops, ms;
        uint64_t in, releases;
    } hang;
};

static void hang(struct faultvfs *v)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += v->hang.ms / 1000;
    until.tv_nsec += (long)(v->hang.ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    uint64_t releases = v->hang.releases;
    while (releases == v->hang.releases &&
           pthread_cond_timedwait(&v->released, &v->mutex, &until) == 0)
        ;
}

/* Every operation passes here, with the mutex held: counts it, and says whether it is to fail, and
 * how. */
static int gate(struct faultvfs *v, enum faultvfs_op op, int own_code)
{
    v->counts[__builtin_ctz(op)]++;
    if (!v->dead && (op & v->hang.ops) && v->hang.in && --v->hang.in == 0)
        hang(v);
    if (v->dead)
        return own_code;
    if ((op & FAULTVFS_CHANGES) && v->cut_in && --v->cut_in == 0) {
        v->dead = true;
        return own_code;
    }
    if (!(op & v->fail.ops) || v->fail.in == 0)
        return SQLITE_OK;
    if (v->fail.in > 1) {
        v->fail.in--;
        return SQLITE_OK;
    }
    if (!v->fail.for_ever && --v->fail.times == 0)
        v->fail.in = 0;
    return v->fail.code ? v->fail.code : own_code;
}

static struct handle *enter(sqlite3_file *f)
{
    struct handle *h = (struct handle *)(void *)f;
    pthread_mutex_lock(&h->v->mutex);
    return h;
}

static int leave(struct handle *h, int code)
{
    pthread_mutex_unlock(&h->v->mutex);
    return code;
}

static int file_unlock_to(struct handle *h, int level)
{
    struct inode *in = h->inode;
    if (h->lock > SQLITE_LOCK_SHARED && level <= SQLITE_LOCK_SHARED && in->writer == h) {
        in->writer = NULL;
        in->exclusive = false;
    }
    if (h->lock >= SQLITE_LOCK_SHARED && level == SQLITE_LOCK_NONE)
        in->sharers--;
    if (h->lock > level)
        h->lock = level;
    return SQLITE_OK;
}

static void shm_leave(struct handle *h, bool and_delete)
{
    struct inode *in = h->inode;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        if (h->shm_shared & (1U << i))
            in->shm_shared[i]--;
        if (h->shm_exclusive & (1U << i))
            in->shm_owner[i] = NULL;
    }
    h->shm_shared = h->shm_exclusive = 0;
    if (h->uses_shm && --in->shm_users == 0 && and_delete)
        disk_free_shm(in);
    h->uses_shm = false;
}

static int file_close(sqlite3_file *f)
{
    struct handle *h = enter(f);
    struct inode *in = h->inode;
    shm_leave(h, false);
    file_unlock_to(h, SQLITE_LOCK_NONE);
    in->handles--;
    if (in->temporary)
        in->linked = in->linked_durable = false;
    disk_sweep(&h->v->disk, false);
    return leave(h, SQLITE_OK);
}

static int file_read(sqlite3_file *f, void *to, int size, sqlite3_int64 offset)
{
    struct handle *h = enter(f);
    int rc = gate(h->v, FAULTVFS_READ, SQLITE_IOERR_READ);
    if (rc != SQLITE_OK)
        return leave(h, rc);
    const struct image *im = &h->inode->now;
    size_t have = (size_t)offset < im->size ? im->size - (size_t)offset : 0, want = (size_t)size;
    if (have > want)
        have = want;
    if (have)
        memcpy(to, im->data + offset, have);
    memset((char *)to + have, 0, want - have);
    return leave(h, have < want ? SQLITE_IOERR_SHORT_READ : SQLITE_OK);
}

static int file_write(sqlite3_file *f, const void *data, int size, sqlite3_int64 offset)
{
    struct handle *h = enter(f);
    bool was_dead = h->v->dead;
    size_t length = (size_t)size;
    int rc = gate(h->v, FAULTVFS_WRITE, SQLITE_IOERR_WRITE);
    if (rc == SQLITE_OK && offset + size > MAX_FILE_BYTES)
        rc = SQLITE_FULL;
    if (was_dead)
        return leave(h, rc);
    if (rc != SQLITE_OK && !h->v->dead)
        length = disk_draw_below(
            &h->v->disk, length + 1); /* a part of it; when the power fails the losses decide */
    disk_write(h->inode, (size_t)offset, data, length);
    return leave(h, rc);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct handle *h = enter(f);
    int rc = gate(h->v, FAULTVFS_TRUNCATE, SQLITE_IOERR_TRUNCATE);
    if (rc == SQLITE_OK)
        disk_truncate(h->inode, (size_t)size);
    return leave(h, rc);
}

static int file_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    struct handle *h = enter(f);
    int rc = gate(h->v, FAULTVFS_SYNC, SQLITE_IOERR_FSYNC);
    if (rc == SQLITE_OK)
        disk_sync(&h->v->disk, h->inode);
    return leave(h, rc);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    struct handle *h = enter(f);
    *size = (sqlite3_int64)h->inode->now.size;
    return leave(h, h->v->dead ? SQLITE_IOERR_FSTAT : SQLITE_OK);
}

static int file_lock(sqlite3_file *f, int level)
{
    struct handle *h = enter(f);
    struct inode *in = h->inode;
    if (h->lock >= level)
        return leave(h, SQLITE_OK);
    if (h->v->dead)
        return leave(h, SQLITE_IOERR_LOCK);
    if (h->lock == SQLITE_LOCK_NONE) {
        if (in->exclusive)
            return leave(h, SQLITE_BUSY);
        in->sharers++;
        h->lock = SQLITE_LOCK_SHARED;
    }
    if (level > SQLITE_LOCK_SHARED) {
        if (in->writer && in->writer != h)
            return leave(h, SQLITE_BUSY);
        in->writer = h;
        h->lock = SQLITE_LOCK_RESERVED;
        if (level == SQLITE_LOCK_EXCLUSIVE) {
            in->exclusive = true; /* pending at least: no new sharers */
            h->lock = in->sharers > 1 ? SQLITE_LOCK_PENDING : SQLITE_LOCK_EXCLUSIVE;
            if (in->sharers > 1)
                return leave(h, SQLITE_BUSY);
        }
    }
    return leave(h, SQLITE_OK);
}

static int file_unlock(sqlite3_file *f, int level)
{
    struct handle *h = enter(f);
    return leave(h, file_unlock_to(h, level));
}

static int file_check_reserved(sqlite3_file *f, int *out)
{
    struct handle *h = enter(f);
    *out = h->inode->writer != NULL;
    return leave(h, SQLITE_OK);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    (void)f;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}

static int file_characteristics(sqlite3_file *f)
{
    (void)f;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite's own VFS claims of every disk */
}

static int shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **out)
{
    struct handle *h = enter(f);
    struct inode *in = h->inode;
    *out = NULL;
    if (h->v->dead || region >= FAULTVFS_SHM_REGIONS)
        return leave(h, SQLITE_IOERR_SHMMAP);
    if (!h->uses_shm) {
        h->uses_shm = true;
        in->shm_users++;
    }
    if (!in->shm[region] && extend)
        in->shm[region] = disk_need(calloc(1, (size_t)size));
    *out = in->shm[region];
    return leave(h, SQLITE_OK);
}

static int shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    struct handle *h = enter(f);
    struct inode *in = h->inode;
    unsigned bits = ((1U << n) - 1) << offset;
    for (int i = offset; i < offset + n; i++) {
        unsigned bit = 1U << i;
        bool other_shares = in->shm_shared[i] - ((h->shm_shared & bit) != 0) > 0;
        bool other_owns = in->shm_owner[i] && in->shm_owner[i] != h;
        if ((flags & SQLITE_SHM_LOCK) &&
            (other_owns || ((flags & SQLITE_SHM_EXCLUSIVE) && other_shares)))
            return leave(h, SQLITE_BUSY);
    }
    for (int i = offset; i < offset + n; i++) {
        unsigned bit = 1U << i;
        if ((flags & SQLITE_SHM_LOCK) && (flags & SQLITE_SHM_SHARED))
            in->shm_shared[i] += (h->shm_shared & bit) == 0;
        else if (flags & SQLITE_SHM_LOCK)
            in->shm_owner[i] = h;
        else if (h->shm_exclusive & bit)
            in->shm_owner[i] = NULL;
        else if (h->shm_shared & bit)
            in->shm_shared[i]--;
    }
    if (!(flags & SQLITE_SHM_LOCK)) {
        h->shm_shared &= ~bits;
        h->shm_exclusive &= ~bits;
    } else if (flags & SQLITE_SHM_SHARED) {
        h->shm_shared |= bits;
    } else {
        h->shm_exclusive |= bits;
    }
    return leave(h, SQLITE_OK);
}

static void shm_barrier(sqlite3_file *f)
{
    leave(enter(f), 0);
}

static int shm_unmap(sqlite3_file *f, int and_delete)
{
    struct handle *h = enter(f);
    shm_leave(h, and_delete != 0);
    return leave(h, SQLITE_OK);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

/* ---- the file system ---- */

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
    struct faultvfs *v = base->pAppData;
    struct handle *h = (struct handle *)(void *)f;
    char own[32];
    h->base.pMethods = NULL;
    pthread_mutex_lock(&v->mutex);
    int rc = gate(v, FAULTVFS_OPEN, SQLITE_CANTOPEN);
    bool temporary = !path;
    if (temporary) {
        snprintf(own, sizeof own, "temporary-%llu", (unsigned long long)v->counts[4]);
        path = own;
    }
    struct inode *in = rc == SQLITE_OK ? disk_find(&v->disk, path) : NULL;
    if (rc == SQLITE_OK && !in) {
        if (flags & SQLITE_OPEN_CREATE) {
            in = disk_create(&v->disk, path);
            in->folder_due =
                flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL);
        } else {
            rc = SQLITE_CANTOPEN;
        }
    }
    if (rc == SQLITE_OK) {
        in->temporary = temporary || (flags & SQLITE_OPEN_DELETEONCLOSE);
        in->handles++;
        *h = (struct handle){.base.pMethods = &methods, .v = v, .inode = in};
        if (out_flags)
            *out_flags = flags;
    }
    pthread_mutex_unlock(&v->mutex);
    return rc;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_folder)
{
    struct faultvfs *v = base->pAppData;
    pthread_mutex_lock(&v->mutex);
    int rc = gate(v, FAULTVFS_DELETE, SQLITE_IOERR_DELETE);
    struct inode *in = rc == SQLITE_OK ? disk_find(&v->disk, path) : NULL;
    if (rc == SQLITE_OK && !in)
        rc = SQLITE_IOERR_DELETE_NOENT;
    if (in) {
        in->linked = false;
        if (sync_folder)
            disk_sync_folder(&v->disk);
        disk_sweep(&v->disk, false);
    }
    pthread_mutex_unlock(&v->mutex);
    return rc;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *out)
{
    struct faultvfs *v = base->pAppData;
    pthread_mutex_lock(&v->mutex);
    const struct inode *in = disk_find(&v->disk, path);
    /* An empty file counts as absent where SQLite asks for a hot journal, as in its own VFS. */
    *out = in && (flags != SQLITE_ACCESS_EXISTS || in->now.size > 0);
    int rc = v->dead ? SQLITE_IOERR_ACCESS : SQLITE_OK;
    pthread_mutex_unlock(&v->mutex);
    return rc;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int size, char *to)
{
    (void)base;
    snprintf(to, (size_t)size, "%s", path);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *base, int size, char *to)
{
    struct faultvfs *v = base->pAppData;
    pthread_mutex_lock(&v->mutex);
    for (int i = 0; i < size; i++)
        to[i] = (char)disk_draw(&v->disk);
    pthread_mutex_unlock(&v->mutex);
    return size;
}

static int vfs_sleep(sqlite3_vfs *base, int us)
{
    struct faultvfs *v = base->pAppData;
    return v->under->xSleep(v->under, us);
}

static int vfs_current_time(sqlite3_vfs *base, double *out)
{
    struct faultvfs *v = base->pAppData;
    return v->under->xCurrentTime(v->under, out);
}

static int vfs_last_error(sqlite3_vfs *base, int size, char *to)
{
    (void)base;
    (void)size;
    (void)to;
    return 0;
}

struct faultvfs *faultvfs_new(const char *name, uint64_t seed, bool make_default)
{
    struct faultvfs *v = disk_need(calloc(1, sizeof *v));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&v->released, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&v->mutex, NULL);
    v->under = disk_need(sqlite3_vfs_find("unix"));
    v->name = disk_need(strdup(name));
    v->disk.random = seed;
    v->base = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = sizeof(struct handle),
        .mxPathname = 1024,
        .zName = v->name,
        .pAppData = v,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_current_time,
        .xGetLastError = vfs_last_error,
    };
    if (sqlite3_vfs_register(&v->base, make_default) != SQLITE_OK)
        abort();
    return v;
}

/* Whether a connection is still open. */
static bool is_used(struct faultvfs *v)
{
    bool used = false;
    pthread_mutex_lock(&v->mutex);
    for (const struct inode *in = v->disk.inodes; in; in = in->next)
        used = used || in->handles > 0;
    pthread_mutex_unlock(&v->mutex);
    return used;
}

void faultvfs_free(struct faultvfs *v)
{
    faultvfs_release(v);
    for (int i = 0; is_used(v); i++) { /* another thread may be about to close */
        if (i == 10000) {
            fprintf(stderr, "faultvfs_free: %s: a connection is still open after 10 s\n", v->name);
            abort();
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    sqlite3_vfs_unregister(&v->base);
    disk_sweep(&v->disk, true);
    pthread_cond_destroy(&v->released);
    pthread_mutex_destroy(&v->mutex);
    free(v->name);
    free(v);
}

uint64_t faultvfs_count(struct faultvfs *v, unsigned ops)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&v->mutex);
    for (unsigned i = 0; i < 6; i++)
        sum += ops & (1U << i) ? v->counts[i] : 0;
    pthread_mutex_unlock(&v->mutex);
    return sum;
}

void faultvfs_fail(struct faultvfs *v, unsigned ops, uint64_t n, uint64_t times, int code)
{
    pthread_mutex_lock(&v->mutex);
    v->fail.ops = ops;
    v->fail.in = n;
    v->fail.times = times;
    v->fail.for_ever = times == 0;
    v->fail.code = code;
    pthread_mutex_unlock(&v->mutex);
}

void faultvfs_hang(struct faultvfs *v, unsigned ops, uint64_t n, unsigned ms)
{
    pthread_mutex_lock(&v->mutex);
    v->hang.ops = ops;
    v->hang.in = n;
    v->hang.ms = ms;
    pthread_mutex_unlock(&v->mutex);
}

void faultvfs_release(struct faultvfs *v)
{
    pthread_mutex_lock(&v->mutex);
    v->hang.releases++;
    v->hang.in = 0;
    pthread_cond_broadcast(&v->released);
    pthread_mutex_unlock(&v->mutex);
}

void faultvfs_cut_power(struct faultvfs *v, uint64_t n)
{
    pthread_mutex_lock(&v->mutex);
    v->cut_in = n;
    v->dead = v->dead || n == 0;
    pthread_mutex_unlock(&v->mutex);
}

bool faultvfs_is_dead(struct faultvfs *v)
{
    pthread_mutex_lock(&v->mutex);
    bool dead = v->dead;
    pthread_mutex_unlock(&v->mutex);
    return dead;
}

void faultvfs_power_on(struct faultvfs *v)
{
    pthread_mutex_lock(&v->mutex);
    disk_lose(&v->disk);
    v->dead = false;
    v->cut_in = 0;
    pthread_mutex_unlock(&v->mutex);
}
