/* Memory: never NULL, the reserve, the way out, arenas. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "check.h"

static int calls, fail_from, fail_to; /* the tries with these numbers fail, both included */

static bool fail_range(size_t size)
{
    (void)size;
    calls++;
    return calls >= fail_from && calls <= fail_to;
}

/* Runs f in a child of its own, since low memory is a state of the process; returns its exit
 * status, -1 after a signal. */
static int in_child(void (*f)(void), char *said, size_t size)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        f();
        _exit(0);
    }
    close(fds[1]);
    size_t len = 0;
    ssize_t n;
    while ((n = read(fds[0], said + len, size - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    close(fds[0]);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void fail_tries(int from, int to)
{
    calls = 0;
    fail_from = from;
    fail_to = to;
    mem_set_fail_hook(fail_range);
}

static void one_failure_is_survived(void)
{
    fail_tries(2, 2);
    CHECK(!mem_is_low());
    CHECK(mem_alloc(10) != NULL);
    CHECK(!mem_is_low());
    CHECK(mem_alloc(10) != NULL); /* fails, gives back, is tried again */
    CHECK(calls == 3);
    CHECK(mem_is_low());
}

static void with_a_reserve(void)
{
    mem_reserve(1 << 20);
    one_failure_is_survived();
    mem_set_fail_hook(NULL);
    mem_reserve(1 << 20); /* set aside anew: spent again at the next failure, for one more try */
    fail_tries(1, 1);
    CHECK(mem_alloc(10) != NULL);
    fail_tries(1, 1);
    mem_alloc(10); /* nothing is left to give back: ends */
    CHECK(!"reached");
}

static void alloc_fails(void)
{
    fail_tries(1, 1000);
    mem_alloc(10);
}

static void realloc_fails(void)
{
    char *p = mem_alloc(10);
    fail_tries(1, 1000);
    p = mem_realloc(p, 20);
    CHECK(p == NULL);
}

static void strdup_fails(void)
{
    fail_tries(1, 1000);
    mem_strdup("x");
}

static void arena_fails(void)
{
    struct arena *a = arena_new();
    fail_tries(1, 1000);
    for (int i = 0; i < 10000; i++)
        arena_alloc(a, 64);
}

static void product_overflows(void)
{
    mem_calloc((size_t)1 << 33, (size_t)1 << 33);
}

static void huge_in_arena(void)
{
    arena_alloc(arena_new(), (size_t)-1);
}

static void libraries_get_null(void)
{
    void *p = mem_lib_malloc(10);
    CHECK(p != NULL);
    fail_tries(1, 1000);
    CHECK(mem_lib_malloc(10) == NULL);
    CHECK(calls == 2 && mem_is_low());
    CHECK(mem_lib_malloc(10) == NULL);
    CHECK(calls == 3); /* no reserve is left: no second try */
    CHECK(mem_lib_realloc(p, 20) == NULL);
    mem_lib_free(p); /* still there */
    mem_set_fail_hook(NULL);
    p = mem_lib_realloc(NULL, 20);
    CHECK(p != NULL);
    mem_lib_free(p);
}

static void failures_end_the_process_in_order(void **state)
{
    static const struct {
        const char *name;
        void (*f)(void);
        int status;
        const char *said;
    } table[] = {
        {"one failure", one_failure_is_survived, 0, ""},
        {"reserve", with_a_reserve, MEM_EXIT_CODE, "out of memory"},
        {"alloc", alloc_fails, MEM_EXIT_CODE, "out of memory"},
        {"realloc", realloc_fails, MEM_EXIT_CODE, "out of memory"},
        {"strdup", strdup_fails, MEM_EXIT_CODE, "out of memory"},
        {"arena", arena_fails, MEM_EXIT_CODE, "out of memory"},
        {"product", product_overflows, MEM_EXIT_CODE, "beyond what can be counted"},
        {"huge", huge_in_arena, MEM_EXIT_CODE, "out of memory"},
        {"libraries", libraries_get_null, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char said[512];
        int status = in_child(table[i].f, said, sizeof(said));
        if (status != table[i].status || strstr(said, table[i].said) == NULL)
            fail_msg("%s: status %d, said \"%s\"", table[i].name, status, said);
        char *newline = strchr(said, '\n');
        assert_true(newline == NULL || newline[1] == '\0'); /* one line */
    }
}

static bool is_zero(const char *p, size_t n)
{
    while (n > 0 && p[n - 1] == 0)
        n--;
    return n == 0;
}

static void memory_is_zeroed_or_copied(void **state)
{
    (void)state;
    for (size_t n = 0; n < 5000; n = n * 2 + 1) {
        char *dirty = mem_alloc(n);
        assert_true(is_zero(dirty, n));
        memset(dirty, 0xff, n);
        mem_free(dirty);
        char *p = mem_calloc(n, 3);
        assert_true(is_zero(p, n * 3));
        mem_free(p);
    }
    char *p = mem_realloc(NULL, 4);
    assert_true(is_zero(p, 4));
    memcpy(p, "abc", 4);
    p = mem_realloc(p, 4000);
    assert_string_equal(p, "abc");
    p = mem_realloc(p, 0);
    assert_non_null(p);
    mem_free(p);
    mem_free(NULL);
}

static void strings_are_copied(void **state)
{
    char *p;
    (void)state;
    assert_null(mem_strdup(NULL));
    assert_null(mem_strndup(NULL, 3));
    assert_string_equal(p = mem_strdup("hello"), "hello");
    mem_free(p);
    assert_string_equal(p = mem_strndup("hello", 2), "he");
    mem_free(p);
    assert_string_equal(p = mem_strndup("he", 20), "he");
    mem_free(p);
    p = mem_printf("%s-%0300d", "x", 7);
    assert_int_equal(strlen(p), 302);
    mem_free(p);
}

static void arenas_give_aligned_zeroed_memory(void **state)
{
    struct arena *a = arena_new();
    unsigned char *all[3000];
    size_t sizes[3000];
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        sizes[i] = i % 100 == 99 ? 70000 : i * 37 % 300;
        all[i] = arena_alloc(a, sizes[i]);
        assert_int_equal((uintptr_t)all[i] % _Alignof(max_align_t), 0);
        assert_true(is_zero((char *)all[i], sizes[i]));
        memset(all[i], (int)(i % 251) + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT(all); i++) { /* nobody wrote over another's */
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(all[i][k], i % 251 + 1);
    }
    assert_string_equal(arena_strdup(a, "abc"), "abc");
    assert_string_equal(arena_strndup(a, "abc", 2), "ab");
    assert_null(arena_strdup(a, NULL));
    assert_string_equal(arena_printf(a, "%d %s", 5, "x"), "5 x");
    arena_free(a);
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_end_the_process_in_order),
        cmocka_unit_test(memory_is_zeroed_or_copied),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(arenas_give_aligned_zeroed_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
