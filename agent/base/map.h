/* A hash table from strings to pointers. */
#ifndef RB_BASE_MAP_H
#define RB_BASE_MAP_H

#include <stddef.h>

/* Keys are borrowed: each must live as long as its entry (a member of the value, as a rule). No
 * order: whoever needs one keeps a list beside it. */
struct map;

struct map *map_new(void);
void map_free(struct map *m);                        /* NULL is fine; frees no key and no value */
void *map_get(const struct map *m, const char *key); /* NULL if absent */
void map_put(struct map *m, const char *key, void *value); /* replaces key and value */
void *map_remove(struct map *m, const char *key);          /* what was there, or NULL */
size_t map_len(const struct map *m);

#endif
