/* The disk of faultvfs: files with what was synced of them, what was not yet, and what a power cut
 * leaves. */
#include "harness/faultvfs_disk.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512

void *disk_need(void *p)
{
    if (!p)
        abort();
    return p;
}

uint64_t disk_draw(struct disk *d)
{ /* splitmix64 */
    uint64_t z = (d->random += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

size_t disk_draw_below(struct disk *d, size_t n)
{
    return n ? (size_t)(disk_draw(d) % n) : 0;
}

/* ---- images and changes ---- */

static void image_resize(struct image *im, size_t size)
{
    if (size > im->room) {
        im->room = size * 2;
        im->data = disk_need(realloc(im->data, im->room));
    }
    if (size > im->size)
        memset(im->data + im->size, 0, size - im->size);
    im->size = size;
}

static void image_write(struct image *im, size_t offset, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (offset + size > im->size)
        image_resize(im, offset + size);
    memcpy(im->data + offset, data, size);
}

static void add_change(struct inode *in, bool truncates, size_t offset, const void *data,
                       size_t size)
{
    struct change *c = disk_need(malloc(sizeof *c + size));
    *c = (struct change){.truncates = truncates, .offset = offset, .size = size};
    if (size)
        memcpy(c->data, data, size);
    *in->changes_tail = c;
    in->changes_tail = &c->next;
}

static void drop_changes(struct inode *in)
{
    while (in->changes) {
        struct change *c = in->changes;
        in->changes = c->next;
        free(c);
    }
    in->changes_tail = &in->changes;
}

void disk_sync(struct disk *d, struct inode *in)
{
    for (struct change *c = in->changes; c; c = c->next) {
        if (c->truncates)
            image_resize(&in->durable, c->offset);
        else
            image_write(&in->durable, c->offset, c->data, c->size);
    }
    drop_changes(in);
    if (in->folder_due) /* as SQLite's own VFS at a new journal's first sync */
        disk_sync_folder(d);
    in->folder_due = false;
    /* Names are durable in the order of their changes: an older file of this name cannot come back.
     */
    for (struct inode *other = in; other; other = other->next) {
        if (strcmp(other->path, in->path) == 0)
            other->linked_durable = other->linked;
    }
}

void disk_sync_folder(struct disk *d)
{
    for (struct inode *in = d->inodes; in; in = in->next)
        in->linked_durable = in->linked;
}

/* What one sector's part of an unsynced write leaves. Bytes around it keep their value, as SQLite
 * assumes of disks (powersafe overwrite). */
static void lose_piece(struct disk *d, struct inode *in, size_t offset, unsigned char *data,
                       size_t size, unsigned keep_of_8)
{
    size_t fate = disk_draw_below(d, 8), cut = disk_draw_below(d, size + 1);
    if (fate < keep_of_8) {
        image_write(&in->durable, offset, data, size);
        return;
    }
    switch (disk_draw_below(d, 8)) {
    case 0: /* torn: the first part is new */
        image_write(&in->durable, offset, data, cut);
        break;
    case 1: /* torn: the last part is new */
        image_write(&in->durable, offset + cut, data + cut, size - cut);
        break;
    case 2: /* torn: neither old nor new */
        for (size_t i = 0; i < size; i++)
            data[i] = (unsigned char)disk_draw(d);
        image_write(&in->durable, offset, data, size);
        break;
    case 3: /* lost, but the file had grown already */
        if (offset + size > in->durable.size)
            image_resize(&in->durable, offset + size);
        break;
    default: /* lost */
        break;
    }
}

static void lose_inode(struct disk *d, struct inode *in)
{
    unsigned keep_of_8 =
        (unsigned)disk_draw_below(d, 9); /* from nothing to everything reached the disk */
    for (struct change *c = in->changes; c; c = c->next) {
        if (c->truncates) {
            if (disk_draw_below(d, 8) < keep_of_8)
                image_resize(&in->durable, c->offset);
            continue;
        }
        for (size_t at = 0; at < c->size;) {
            size_t piece = SECTOR - (c->offset + at) % SECTOR;
            if (piece > c->size - at)
                piece = c->size - at;
            lose_piece(d, in, c->offset + at, c->data + at, piece, keep_of_8);
            at += piece;
        }
    }
    drop_changes(in);
    in->now.size = 0;
    image_write(&in->now, 0, in->durable.data, in->durable.size);
}

/* ---- files ---- */

struct inode *disk_find(struct disk *d, const char *path)
{
    for (struct inode *in = d->inodes; in; in = in->next) {
        if (in->linked && strcmp(in->path, path) == 0)
            return in;
    }
    return NULL;
}

struct inode *disk_create(struct disk *d, const char *path)
{
    struct inode *in = disk_need(calloc(1, sizeof *in));
    in->path = disk_need(strdup(path));
    in->linked = true;
    in->changes_tail = &in->changes;
    in->next = d->inodes; /* newest first: of two with one name the newer is found first */
    d->inodes = in;
    return in;
}

void disk_free_shm(struct inode *in)
{
    for (int i = 0; i < FAULTVFS_SHM_REGIONS; i++) {
        free(in->shm[i]);
        in->shm[i] = NULL;
    }
}

/* Frees the inodes that nobody can reach any more, now or after a power cut. */
void disk_sweep(struct disk *d, bool all)
{
    for (struct inode **at = &d->inodes; *at;) {
        struct inode *in = *at;
        if (!all && (in->linked || in->linked_durable || in->handles)) {
            at = &in->next;
            continue;
        }
        *at = in->next;
        drop_changes(in);
        disk_free_shm(in);
        free(in->now.data);
        free(in->durable.data);
        free(in->path);
        free(in);
    }
}

void disk_write(struct inode *in, size_t offset, const void *data, size_t size)
{
    image_write(&in->now, offset, data, size);
    add_change(in, false, offset, data, size);
}

void disk_truncate(struct inode *in, size_t size)
{
    image_resize(&in->now, size);
    add_change(in, true, size, NULL, 0);
}

void disk_lose(struct disk *d)
{
    for (struct inode *in = d->inodes; in; in = in->next) {
        if (in->handles)
            abort(); /* a connection was left open */
        lose_inode(d, in);
        disk_free_shm(in);
        /* A name whose creation or removal was not synced may be there or not. */
        if (in->linked != in->linked_durable)
            in->linked = in->linked_durable = disk_draw_below(d, 2) == 0;
    }
    for (struct inode *in = d->inodes; in;
         in = in->next) { /* of two with one name the newer has it */
        for (struct inode *older = in->linked ? in->next : NULL; older; older = older->next) {
            if (strcmp(older->path, in->path) == 0)
                older->linked = older->linked_durable = false;
        }
    }
    disk_sweep(d, false);
}
