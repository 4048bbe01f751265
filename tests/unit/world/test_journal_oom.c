/* The journal without memory: allocation n fails, ours and SQLite's, for many n. The process may
 * end in order; the journal stays whole. Argument: 1 tries every n. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "harness/failalloc.h"
#include "harness/number.h"
#include "help_journal.h"
#include "world/journal_audit.h"

#define TRANSACTIONS 6

static bool every;

/* What the child tells: survives its end. */
struct told {
    char path[96];
    bool opened;
    int acknowledged[TRANSACTIONS], failed;
};

static void on_done(void *arg, const char *denied, const struct err *e)
{
    int *code = arg;
    (void)denied;
    *code = e->code ? e->code : 1;
}

static void body(void *arg)
{
    struct told *t = arg;
    struct err e = ERR_INIT;
    struct sqlite_journal_options o = {
        .path = t->path, .created_by = "test", .boot_id = "b", .boot_ms = 1, .wall_ms = 1};
    struct journal *j = sqlite_journal_open(NULL, &o, &e);
    if (!j)
        return;
    t->opened = true;
    for (int i = 0; i < TRANSACTIONS; i++)
        j->ops->submit(j, help_tx(i), on_done, &t->acknowledged[i]);
    j->ops->close(j); /* completes them */
}

static bool count_row(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    (void)doc;
    ++*(int *)arg;
    return true;
}

static void test_allocation_n_fails(void **state)
{
    (void)state;
    struct told *t =
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ended = 0, unopened = 0, failed = 0;
    bool reached = true;
    uint64_t n;
    for (n = 1; reached; n += every ? 1 : 1 + n / 12) {
        struct folder f;
        folder_make(&f);
        *t = (struct told){0};
        snprintf(t->path, sizeof t->path, "%s", f.path);
        struct failalloc_end end = failalloc_try(body, t, n, 2); /* the second try fails too */
        reached = end.reached;
        if (end.exit_code != 0 && end.exit_code != MEM_EXIT_CODE)
            fail_msg("allocation %llu: exit code %d, signal %d", (unsigned long long)n,
                     end.exit_code, end.signal);
        struct err e = ERR_INIT;
        int rows = 0, acknowledged = 0;
        for (int i = 0; i < TRANSACTIONS; i++) {
            acknowledged += t->acknowledged[i] == 1;
            failed += t->acknowledged[i] < 0;
        }
        ended += end.exit_code != 0;
        unopened += !t->opened;
        struct journal *j =
            sqlite_journal_open(NULL, &(struct sqlite_journal_options){.path = f.path}, &e);
        if (!j)
            fail_msg("allocation %llu: it does not open again: %s", (unsigned long long)n, e.text);
        j->ops->each_open(j, "step", count_row, &rows, &e);
        if (rows < acknowledged)
            fail_msg("allocation %llu: %d acknowledged, %d there", (unsigned long long)n,
                     acknowledged, rows);
        j->ops->close(j);
        struct journal_audit a;
        assert_int_equal(journal_verify(f.path, NULL, 0, NULL, NULL, &a, &e), 0);
        assert_int_equal(a.findings, 0);
        folder_remove(&f);
    }
    print_message(
        "to allocation %llu: %d ended in order, %d could not open, %d transactions failed\n",
        (unsigned long long)n, ended, unopened, failed);
    assert_true(ended > 0 && unopened > 0 && n > 300);
    munmap(t, sizeof *t);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_allocation_n_fails)};
    every = argc > 1 && number_in(argv[1]) == 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
