/* The hash table against a plain list, over many puts and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/map.h"

#define KEYS 3000

static char keys[KEYS][16];

static void agrees_with_a_list(void **state)
{
    struct map *m = map_new();
    static void *list[KEYS];
    uint32_t r = 12345;
    size_t len = 0;

    (void)state;
    for (int k = 0; k < KEYS; k++)
        snprintf(keys[k], sizeof(keys[k]), "asg/web-%d", k);
    for (int step = 0; step < 60000; step++) {
        uint32_t k;
        void *value;

        r = r * 1664525 + 1013904223;
        k = (r >> 8) % KEYS;
        value = &keys[(k + step) % KEYS];
        if (r >> 31) {
            len += list[k] == NULL;
            list[k] = value;
            map_put(m, keys[k], value);
        } else {
            len -= list[k] != NULL;
            assert_ptr_equal(map_remove(m, keys[k]), list[k]);
            list[k] = NULL;
        }
        assert_int_equal(map_len(m), len);
        if (step % 997 == 0)
            for (int n = 0; n < KEYS; n++)
                assert_ptr_equal(map_get(m, keys[n]), list[n]);
    }
    assert_null(map_get(m, "asg/nobody"));
    assert_null(map_get(m, ""));
    map_free(m);
    map_free(NULL);
}

static void the_key_is_the_newest(void **state)
{
    struct map *m = map_new();
    char first[] = "key", second[] = "key";

    (void)state;
    map_put(m, first, first);
    map_put(m, second, second);
    first[0] = '!'; /* nobody looks at it any more */
    assert_ptr_equal(map_get(m, "key"), second);
    assert_int_equal(map_len(m), 1);
    assert_ptr_equal(map_remove(m, "key"), second);
    assert_null(map_remove(m, "key"));
    map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(the_key_is_the_newest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
