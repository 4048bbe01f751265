/* The memory journal's disk, as its own two files see it. */
#ifndef RB_WORLD_MEMORY_DISK_H
#define RB_WORLD_MEMORY_DISK_H

#include "world/chain.h"
#include "world/memory_journal.h"

/* From a text to a number; nothing is ever taken out. */
struct map {
    struct slot {
        char *text; /* NULL: free */
        size_t value;
    } * slots;
    size_t used, size; /* size: a power of two, or 0 */
};

#define ABSENT SIZE_MAX

struct entry { /* the last of one kind and key */
    char *kind, *key, *doc;
    bool open;
    int64_t seq;
};

struct token {
    int64_t order, t_ms; /* order: of all takings */
    char *item;
};

struct scope {
    char *name;
    struct token *tokens; /* in order */
    size_t n, cap;
    bool unordered; /* a time went back once: no search may stop early */
};

struct day {
    char *series;
    int64_t day_ms;
    void *blob;
    size_t len;
};

struct fault {
    uint64_t nth;
    enum memory_fault how;
};

struct memory_disk {
    struct chain chain;
    struct entry *entries; /* by first write */
    size_t nentries, entry_cap;
    size_t *rows; /* log: seq - 1 -> entry, ABSENT for tokens and sources */
    size_t row_cap;
    struct map entry_of, scope_of, source_of, day_of;
    struct scope *scopes;
    size_t nscopes, scope_cap;
    char **sources;
    size_t nsources, source_cap;
    struct day *days;
    size_t ndays, day_cap;
    struct fault *faults;
    size_t nfaults, fault_cap;
    uint64_t commits;
    int64_t epoch, takings;
    char unreadable[32]; /* a kind, "": none */
};

#define ROOM(array, n, cap)                                                                        \
    do {                                                                                           \
        if ((n) == (cap)) {                                                                        \
            (cap) = (cap) ? 2 * (cap) : 16;                                                        \
            (array) = mem_realloc((array), (cap) * sizeof *(array));                               \
        }                                                                                          \
    } while (0)

size_t memory_map_get(const struct map *m, const char *text); /* ABSENT if it is not there */

/* The fault set for the commit that is counted last, or NULL. */
const struct fault *memory_disk_fault(const struct memory_disk *d);

/* All or nothing. ERR_DENIED with *denied, which the caller frees. Takes what blobs it keeps out of
 * tx. */
int memory_disk_apply(struct memory_disk *d, struct jtx *tx, char **denied, struct err *e);

#endif
