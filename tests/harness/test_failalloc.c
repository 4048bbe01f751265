/* Tests failalloc on base/mem.h: a failure is survived, a second in the same place ends the process
 * with its own code. */
#include "harness/failalloc.h"

#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void allocate(void *arg)
{
    int n = *(int *)arg;
    for (int i = 0; i < n; i++)
        mem_free(mem_alloc(16));
    if (mem_is_low())
        _exit(3);
}

static void each_allocation_fails_in_turn(void **state)
{
    (void)state;
    int n = 5;
    struct failalloc_end end = failalloc_try(allocate, &n, 0, 1);
    assert_false(end.reached);
    assert_int_equal(end.count, 5);
    assert_int_equal(end.exit_code, 0);
    for (uint64_t at = 1; at <= 5; at++) {
        end = failalloc_try(allocate, &n, at, 1);
        assert_true(end.reached);
        assert_int_equal(end.exit_code, 3); /* it went on, and knows that memory is low */
        end = failalloc_try(allocate, &n, at, 0);
        assert_int_equal(end.exit_code, MEM_EXIT_CODE);
        assert_int_equal(end.count, at + 1); /* tried twice */
    }
    end = failalloc_try(allocate, &n, 6, 1);
    assert_false(end.reached);
    assert_int_equal(end.exit_code, 0);
}

static void crash(void *arg)
{
    (void)arg;
    raise(SIGKILL);
}

static void a_crash_is_told_apart(void **state)
{
    (void)state;
    struct failalloc_end end = failalloc_try(crash, NULL, 1, 1);
    assert_int_equal(end.exit_code, -1);
    assert_int_equal(end.signal, SIGKILL);
    assert_false(end.reached);
}

static void in_this_process(void **state)
{
    (void)state;
    failalloc_arm(2, 1);
    void *a = mem_lib_malloc(8), *b = mem_lib_malloc(8);
    failalloc_disarm();
    assert_non_null(a);
    assert_true(mem_is_low() || b == NULL);
    assert_true(failalloc_count() >= 2);
    mem_lib_free(a);
    mem_lib_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_in_turn),
        cmocka_unit_test(a_crash_is_told_apart),
        cmocka_unit_test(in_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
