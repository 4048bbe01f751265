/* The memory journal's faults on command: failed commits, stalls, crashes. */
#include "world/memory_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"

struct fixture {
    struct memory_disk *disk;
    struct journal *j;
    int codes[16], n, submits;
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->disk = memory_disk_new();
    f->j = memory_journal_open(f->disk);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->j->ops->close(f->j);
    memory_disk_free(f->disk);
    mem_free(f);
    return 0;
}

static void on_done(void *arg, const char *denied, const struct err *e)
{
    struct fixture *f = arg;
    (void)denied;
    f->codes[f->n++] = e->code;
}

static void put(struct fixture *f, const char *key)
{
    struct jtx *tx = jtx_new(0, 0);
    jtx_put(tx, "run", key, json_new_map(), true);
    f->j->ops->submit(f->j, tx, on_done, f);
}

static bool add_key(void *arg, const char *key, const struct json *doc)
{
    (void)doc;
    strcat(arg, key);
    return true;
}

static const char *keys(struct fixture *f)
{
    static char text[64];
    text[0] = '\0';
    f->j->ops->each_open(f->j, "run", add_key, text, NULL);
    return text;
}

static void test_nothing_completes_before_the_pump(void **state)
{
    struct fixture *f = *state;
    put(f, "a");
    put(f, "b");
    assert_int_equal(memory_journal_pending(f->j), 2);
    memory_journal_commit(f->j);
    assert_int_equal(f->n, 0);
    assert_string_equal(keys(f), "ab");
    assert_int_equal(memory_journal_pump(f->j), 2);
    assert_int_equal(f->n, 2);
    assert_int_equal(memory_journal_pump(f->j), 0);
}

static void test_a_failed_commit(void **state)
{
    struct fixture *f = *state;
    memory_disk_fail(f->disk, 2, MEMORY_LOST);
    memory_disk_fail(f->disk, 3, MEMORY_DURABLE);
    for (const char *key = "a\0b\0c\0d\0"; *key; key += 2)
        put(f, key);
    memory_journal_pump(f->j);
    assert_int_equal(f->codes[0], 0);
    assert_int_equal(f->codes[1], ERR_IO);
    assert_int_equal(f->codes[2], ERR_IO);
    assert_int_equal(f->codes[3], 0);
    assert_int_equal(memory_disk_commits(f->disk), 4);
    assert_string_equal(keys(f), "acd"); /* c was written, though nobody was told */
}

static void test_a_crash_loses_what_is_not_committed(void **state)
{
    struct fixture *f = *state;
    put(f, "a");
    memory_journal_commit(f->j); /* durable, but its completion never comes */
    put(f, "b");
    memory_journal_crash(f->j);
    assert_int_equal(f->n, 0);
    f->j = memory_journal_open(f->disk);
    assert_string_equal(keys(f), "a");
    char hex[65];
    int64_t seq;
    f->j->ops->head(f->j, hex, &seq);
    assert_int_equal(seq, 1);
}

static void test_a_stall(void **state)
{
    struct fixture *f = *state;
    put(f, "a");
    memory_journal_stall(f->j, true);
    assert_true(f->j->ops->stalled(f->j));
    assert_int_equal(memory_journal_pump(f->j), 0);
    assert_string_equal(keys(f), "");
    memory_journal_stall(f->j, false);
    assert_int_equal(memory_journal_pump(f->j), 1);
    assert_string_equal(keys(f), "a");
}

static void test_the_head_is_that_of_what_completed(void **state)
{
    struct fixture *f = *state;
    char hex[65];
    int64_t seq;
    put(f, "a");
    memory_journal_commit(f->j);
    f->j->ops->head(f->j, hex, &seq);
    assert_int_equal(seq, 0);
    memory_journal_pump(f->j);
    f->j->ops->head(f->j, hex, &seq);
    assert_int_equal(seq, 1);
}

static void count_submit(void *arg)
{
    ((struct fixture *)arg)->submits++;
}

static void test_the_world_is_told_of_submissions(void **state)
{
    struct fixture *f = *state;
    memory_journal_on_submit(f->j, count_submit, f);
    put(f, "a");
    put(f, "b");
    assert_int_equal(f->submits, 2);
}

/* Many keys, tokens and scopes: the tables grow. */
static void test_growth(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3000; i++) {
        struct jtx *tx = jtx_new(i, i);
        char *scope = mem_printf("scope-%d", i % 100);
        char *name = mem_printf("%d", i % 1000);
        jtx_put(tx, "run", name, json_new_map(), i < 2000);
        jtx_take(tx, scope, name, 10, 100);
        f->n = 0;
        f->j->ops->submit(f->j, tx, on_done, f);
        memory_journal_pump(f->j);
        assert_int_equal(f->codes[0], 0);
        mem_free(scope);
        mem_free(name);
    }
    assert_string_equal(keys(f), "");
    f->j->ops->close(f->j);
    f->j = memory_journal_open(f->disk);
    char hex[65];
    int64_t seq;
    f->j->ops->head(f->j, hex, &seq);
    assert_int_equal(seq, 6000);
}

#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_nothing_completes_before_the_pump),
        T(test_a_failed_commit),
        T(test_a_crash_loses_what_is_not_committed),
        T(test_a_stall),
        T(test_the_head_is_that_of_what_completed),
        T(test_the_world_is_told_of_submissions),
        T(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
