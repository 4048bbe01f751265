/* The disk of faultvfs: files with what was synced of them, what was not yet, and what a power cut
 * leaves. Not locked here. */
#ifndef FAULTVFS_DISK_H
#define FAULTVFS_DISK_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULTVFS_SHM_REGIONS 256

struct disk {
    struct inode *inodes;
    uint64_t random;
};

struct image {
    unsigned char *data;
    size_t size, room;
};

struct change { /* one write or truncation that was not synced yet, oldest first */
    struct change *next;
    bool truncates; /* to offset */
    size_t offset, size;
    unsigned char data[];
};

struct handle;

struct inode {
    struct inode *next;
    char *path;
    bool linked;         /* it has its name */
    bool linked_durable; /* and would have it after a power cut */
    bool temporary;
    bool folder_due; /* its first sync syncs the folder too */
    int handles;
    struct image now, durable;
    struct change *changes, **changes_tail;
    /* file locks: any number share, one of them may write */
    int sharers;
    struct handle *writer; /* holds RESERVED or more */
    bool exclusive;        /* the writer holds or waits for EXCLUSIVE */
    /* shared memory of the write-ahead log's index */
    void *shm[FAULTVFS_SHM_REGIONS];
    int shm_users, shm_shared[SQLITE_SHM_NLOCK];
    struct handle *shm_owner[SQLITE_SHM_NLOCK];
};

void *disk_need(void *p); /* aborts for NULL */
uint64_t disk_draw(struct disk *d);
size_t disk_draw_below(struct disk *d, size_t n);

struct inode *disk_find(struct disk *d, const char *path); /* NULL: no file of that name */
struct inode *disk_create(struct disk *d, const char *path);
void disk_sweep(struct disk *d,
                bool all); /* frees what nobody can reach any more, now or after a power cut */
void disk_free_shm(struct inode *in);

void disk_write(struct inode *in, size_t offset, const void *data, size_t size);
void disk_truncate(struct inode *in, size_t size);
void disk_sync(struct disk *d, struct inode *in);
void disk_sync_folder(struct disk *d); /* all files are in one folder */
void disk_lose(struct disk *d);        /* the power was cut and is back */

#endif
