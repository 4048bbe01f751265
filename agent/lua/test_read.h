/* What reads a test out of its table. Files of this folder only. */
#ifndef RB_LUA_TEST_READ_H
#define RB_LUA_TEST_READ_H

#include "lua/test_text.h"

/* The loader's `out` for a file of tests. */
struct test_out {
    struct test_set *tests;
    const struct policy_set *policies;
    size_t first; /* of this file's cases */
    char *open;   /* the name that was said and has no table yet, or NULL; and where */
    struct place open_at;
};

/* One option by its schema, reported when it is required and absent. */
const struct json *test_option(lua_State *L, const struct tab *t, const struct schema *s,
                               const char *name);
/* The table in a field; pushes it. False (nothing pushed): absent, or wrong and reported. write:
 * what to write. */
bool test_open(lua_State *L, const struct tab *t, const char *name, const char *write,
               struct tab *inner);
/* Pushes the list of a table's keys; how many. */
size_t test_keys(lua_State *L, const struct tab *t, const char *write);
/* Pushes and returns key i (from 1) of the list at `keys`; NULL (nothing pushed): no name,
 * reported.
 */
const char *test_key(lua_State *L, const struct tab *t, int keys, size_t i, const char *write);

/* Everything of the world: target, others, series, results, changes, operator. */
void test_read_world(lua_State *L, const struct tab *t, struct test_case *c,
                     const struct policy *p);

#endif
