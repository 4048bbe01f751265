/* Open addressing with linear probing, at most half full; removal moves later entries back. */
#include "base/map.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_SLOTS 64

struct slot {
    uint64_t hash;
    const char *key; /* NULL: free */
    void *value;
};

struct map {
    struct slot *slots;
    size_t nslots, len; /* nslots: a power of two */
};

/* FNV-1a, its high bits mixed into the low ones that choose the slot. */
static uint64_t hash_of(const char *key)
{
    uint64_t h = 14695981039346656037u;

    for (const char *p = key; *p != '\0'; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    return h ^ (h >> 29);
}

struct map *map_new(void)
{
    struct map *m = mem_alloc(sizeof(*m));

    m->nslots = FIRST_SLOTS;
    m->slots = mem_calloc(m->nslots, sizeof(*m->slots));
    return m;
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    mem_free(m->slots);
    mem_free(m);
}

/* Where the key is, or the free slot where it would be. */
static size_t find(const struct map *m, const char *key, uint64_t hash)
{
    size_t i = hash & (m->nslots - 1);

    while (m->slots[i].key != NULL &&
           (m->slots[i].hash != hash || strcmp(m->slots[i].key, key) != 0))
        i = (i + 1) & (m->nslots - 1);
    return i;
}

void *map_get(const struct map *m, const char *key)
{
    return m->slots[find(m, key, hash_of(key))].value;
}

static void grow(struct map *m)
{
    struct slot *old = m->slots;
    size_t n = m->nslots;

    m->nslots *= 2;
    m->slots = mem_calloc(m->nslots, sizeof(*m->slots));
    for (size_t i = 0; i < n; i++) {
        if (old[i].key != NULL)
            m->slots[find(m, old[i].key, old[i].hash)] = old[i];
    }
    mem_free(old);
}

void map_put(struct map *m, const char *key, void *value)
{
    uint64_t hash = hash_of(key);
    size_t i = find(m, key, hash);

    if (m->slots[i].key == NULL && (m->len + 1) * 2 > m->nslots) {
        grow(m);
        i = find(m, key, hash);
    }
    m->len += m->slots[i].key == NULL;
    m->slots[i] = (struct slot){hash, key, value};
}

void *map_remove(struct map *m, const char *key)
{
    size_t mask = m->nslots - 1, hole = find(m, key, hash_of(key));
    void *value = m->slots[hole].value;

    if (m->slots[hole].key == NULL)
        return NULL;
    m->len--;
    for (size_t i = (hole + 1) & mask; m->slots[i].key != NULL; i = (i + 1) & mask) {
        /* It may move back unless its own place lies behind the hole. */
        if (((i - m->slots[i].hash) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct slot){0, NULL, NULL};
    return value;
}

size_t map_len(const struct map *m)
{
    return m->len;
}
