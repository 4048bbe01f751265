/* The journal on a disk that loses power, fails and hangs: nothing that was acknowledged is lost,
 * nothing is half there, and the process goes on. Argument: how many power cuts (default 100). */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "harness/faultvfs.h"
#include "harness/number.h"
#include "help_journal.h"
#include "io/db.h"
#include "world/journal_audit.h"

#define TRANSACTIONS 24
#define CHECKPOINT_PAGES 12 /* small, so that power fails during checkpoints too */

static long wanted_points = 100;

struct run {
    struct loop *loop;
    struct faultvfs *vfs;
    struct journal *j;
    int codes[TRANSACTIONS + 1]; /* 1: not completed; the last one is the one after it all */
    int outstanding, stalls;
    uint64_t random;
};

static void on_stall(void *arg, int64_t waited_ms)
{
    struct run *r = arg;
    (void)waited_ms;
    r->stalls++;
}

static int open_journal(struct run *r, int64_t stall_ms, struct err *e)
{
    struct sqlite_journal_options o = {.path = "/journal",
                                       .vfs = "faulty",
                                       .created_by = "test",
                                       .boot_id = "b",
                                       .boot_ms = 1,
                                       .wall_ms = 1,
                                       .checkpoint_pages = CHECKPOINT_PAGES,
                                       .stall_ms = stall_ms,
                                       .on_stall = on_stall,
                                       .arg = r};
    *e = (struct err)ERR_INIT;
    r->j = sqlite_journal_open(r->loop, &o, e);
    return r->j ? 0 : e->code;
}

struct ticket {
    struct run *r;
    int i;
};

static void on_done(void *arg, const char *denied, const struct err *e)
{
    struct ticket *t = arg;
    assert_null(denied);
    assert_int_equal(t->r->codes[t->i], 1);
    t->r->codes[t->i] = e->code;
    if (--t->r->outstanding == 0)
        loop_stop(t->r->loop, 0);
    mem_free(t);
}

static void submit(struct run *r, int i)
{
    struct ticket *t = mem_alloc(sizeof *t);
    *t = (struct ticket){.r = r, .i = i};
    r->outstanding++;
    r->j->ops->submit(r->j, help_tx(i), on_done, t);
}

/* In bursts of one to four, as a busy engine does. */
static void work(struct run *r)
{
    for (int i = 0; i < TRANSACTIONS;) {
        r->random = r->random * 6364136223846793005u + 1442695040888963407u;
        for (int n = 1 + (int)(r->random >> 33) % 4; n > 0 && i < TRANSACTIONS; n--)
            submit(r, i++);
        loop_run(r->loop);
    }
}

static void begin(struct run *r, uint64_t seed)
{
    r->vfs = faultvfs_new("faulty", seed, false);
    r->j = NULL;
    r->stalls = 0;
    r->random = seed;
    for (int i = 0; i <= TRANSACTIONS; i++)
        r->codes[i] = 1;
}

static void end(struct run *r)
{
    if (r->j)
        r->j->ops->close(r->j);
    faultvfs_free(r->vfs);
}

/* What is there. */

struct present {
    bool step[TRANSACTIONS + 1], token[TRANSACTIONS + 1];
};

static bool on_step(void *arg, const char *key, const struct json *doc)
{
    struct present *p = arg;
    int i = number_in(key + strlen("step-"));
    assert_int_equal(json_get_int(doc, "n", -1), i);
    p->step[i] = true;
    return true;
}

static bool on_token(void *arg, const char *scope, const char *item, int64_t at)
{
    struct present *p = arg;
    (void)at;
    if (strcmp(scope, "budget") == 0)
        p->token[number_in(item + strlen("item-"))] = true;
    return true;
}

static void on_finding(void *arg, int64_t seq, const char *text)
{
    (void)arg;
    (void)seq;
    print_error("audit: %s\n", text);
}

/* failed_may_stay: after a power cut, what failed may have become durable all the same, in order.
 */
static void check(struct run *r, bool failed_may_stay, const char *when)
{
    struct present p = {0};
    struct err e = ERR_INIT;
    struct journal_audit a;
    assert_int_equal(r->j->ops->each_open(r->j, "step", on_step, &p, &e), 0);
    assert_int_equal(r->j->ops->each_token(r->j, INT64_MIN, on_token, &p, &e), 0);
    for (int i = 0; i < TRANSACTIONS; i++) {
        char hash[32];
        if (r->codes[i] == 0 && !p.step[i])
            fail_msg("%s: transaction %d was acknowledged and is lost", when, i);
        if (r->codes[i] != 0 && p.step[i] && !failed_may_stay)
            fail_msg("%s: transaction %d failed and is there", when, i);
        if (p.step[i] != p.token[i])
            fail_msg("%s: transaction %d is half there", when, i);
        if (failed_may_stay && i > 0 && p.step[i] && !p.step[i - 1])
            fail_msg("%s: transaction %d is there without the one before it", when, i);
        snprintf(hash, sizeof hash, "hash-%d", i);
        struct json *source = i % 6 == 0 ? r->j->ops->source(r->j, hash, NULL) : NULL;
        if (i % 6 == 0 && (source != NULL) != p.step[i])
            fail_msg("%s: transaction %d is half there (its source)", when, i);
        json_free(source);
    }
    struct sqlite3 *db = db_open("/journal", "faulty", false, &e);
    if (!db || journal_verify_db(db, NULL, 0, on_finding, NULL, &a, &e) || a.findings)
        fail_msg("%s: the chain does not verify: %s", when, e.text);
    db_close(db);
}

/* It goes on: one more transaction, which works. */
static void check_goes_on(struct run *r, const char *when)
{
    submit(r, TRANSACTIONS);
    loop_run(r->loop);
    if (r->codes[TRANSACTIONS] != 0)
        fail_msg("%s: the next transaction fails with %d", when, r->codes[TRANSACTIONS]);
}

/* Power. */

static uint64_t changes_without_fault(struct run *r)
{
    struct err e;
    begin(r, 1);
    assert_int_equal(open_journal(r, 0, &e), 0);
    work(r);
    r->j->ops->close(r->j);
    r->j = NULL;
    uint64_t n = faultvfs_count(r->vfs, FAULTVFS_CHANGES);
    end(r);
    return n;
}

static void test_power_loss(void **state)
{
    struct run *r = *state;
    uint64_t total = changes_without_fault(r), step = total / (uint64_t)wanted_points + 1;
    long points = 0, lost_all = 0, acknowledged = 0;
    for (uint64_t seed = 1; points < wanted_points; seed++) {
        for (uint64_t n = 1 + seed % step; n <= total && points < wanted_points;
             n += step, points++) {
            char when[80];
            struct err e;
            snprintf(when, sizeof when, "seed %llu, power cut at change %llu",
                     (unsigned long long)seed, (unsigned long long)n);
            begin(r, seed * 1000003 + n);
            faultvfs_cut_power(r->vfs, n);
            if (open_journal(r, 0, &e) == 0) {
                work(r);
                r->j->ops->close(r->j);
            } else {
                lost_all++;
            }
            faultvfs_cut_power(r->vfs, 0); /* at once, if it did not come to n */
            faultvfs_power_on(r->vfs);
            if (open_journal(r, 0, &e))
                fail_msg("%s: it does not open: %s", when, e.text);
            check(r, true, when);
            check_goes_on(r, when);
            for (int i = 0; i < TRANSACTIONS; i++)
                acknowledged += r->codes[i] == 0;
            end(r);
        }
    }
    print_message("%ld power cuts (%llu changes a run), %ld acknowledged transactions, 0 lost\n",
                  points, (unsigned long long)total, acknowledged);
    assert_true(acknowledged > points); /* it was cut in the middle of work, not always before */
    assert_true(lost_all < points / 2);
}

/* Failures. */

struct failure {
    const char *name;
    unsigned ops;
    int code;
    uint64_t times; /* 0: until it is lifted */
};

static const struct failure failures[] = {
    {"disk full once", FAULTVFS_WRITE, SQLITE_FULL, 1},
    {"disk full", FAULTVFS_WRITE, SQLITE_FULL, 0},
    {"write fails once", FAULTVFS_WRITE, SQLITE_IOERR_WRITE, 1},
    {"write fails", FAULTVFS_WRITE, SQLITE_IOERR_WRITE, 0},
    {"fsync fails once", FAULTVFS_SYNC, SQLITE_IOERR_FSYNC, 1},
    {"fsync fails", FAULTVFS_SYNC, SQLITE_IOERR_FSYNC, 0},
    {"truncate fails", FAULTVFS_TRUNCATE, 0, 0},
    {"read fails once", FAULTVFS_READ, SQLITE_IOERR_READ, 1},
    {"anything fails once", FAULTVFS_CHANGES | FAULTVFS_READ | FAULTVFS_OPEN, 0, 1},
};

/* One run with the failure at the n-th operation after the opening. False when it did not come so
 * far. */
static bool fail_at(struct run *r, const struct failure *f, uint64_t n)
{
    char when[80];
    struct err e;
    snprintf(when, sizeof when, "%s at operation %llu", f->name, (unsigned long long)n);
    begin(r, n);
    assert_int_equal(open_journal(r, 0, &e), 0);
    uint64_t before = faultvfs_count(r->vfs, f->ops);
    faultvfs_fail(r->vfs, f->ops, n, f->times, f->code);
    work(r);
    bool reached = faultvfs_count(r->vfs, f->ops) - before >= n;
    int failed = 0;
    for (int i = 0; i < TRANSACTIONS; i++) {
        if (r->codes[i] != 0 && r->codes[i] != ERR_IO)
            fail_msg("%s: transaction %d ended with %d", when, i, r->codes[i]);
        failed += r->codes[i] != 0;
    }
    if (!reached && failed)
        fail_msg("%s: %d failed without a failure", when, failed);
    faultvfs_fail(r->vfs, f->ops, 0, 0, 0);
    check(r, false, when);
    check_goes_on(r, when);
    r->j->ops->close(r->j);
    if (open_journal(r, 0, &e))
        fail_msg("%s: it does not open again: %s", when, e.text);
    check(r, false, when);
    end(r);
    return reached;
}

static void test_failing_disk(void **state)
{
    struct run *r = *state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        uint64_t n = 1;
        /* Every n of the thorough run; in the quick one the first ones, then steps. */
        while (fail_at(r, &failures[i], n))
            n += wanted_points >= 5000 || n < 5 ? 1 : 23;
        assert_true(n > 1 || failures[i].ops == FAULTVFS_TRUNCATE);
    }
}

/* The opening itself meets the failure: it says so, and the next one works. */
static void test_failing_opening(void **state)
{
    struct run *r = *state;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        const struct failure *f = &failures[i];
        bool reached = true;
        for (uint64_t n = 1; reached; n += wanted_points >= 5000 || n < 4 ? 1 : 7) {
            char when[80];
            struct err e;
            snprintf(when, sizeof when, "opening, %s at operation %llu", f->name,
                     (unsigned long long)n);
            begin(r, n);
            faultvfs_fail(r->vfs, f->ops, n, f->times, f->code);
            int code = open_journal(r, 0, &e);
            reached = faultvfs_count(r->vfs, f->ops) >= n;
            if (code && (code != ERR_IO || !e.text[0]))
                fail_msg("%s: %d %s", when, code, e.text);
            if (r->j)
                r->j->ops->close(r->j);
            faultvfs_fail(r->vfs, f->ops, 0, 0, 0);
            if (open_journal(r, 0, &e))
                fail_msg("%s: the next one fails too: %s", when, e.text);
            check_goes_on(r, when);
            end(r);
        }
    }
}

static void test_hanging_fsync(void **state)
{
    struct run *r = *state;
    uint64_t most = wanted_points >= 5000 ? UINT64_MAX : 6, slow = 0, n;
    bool reached = true;
    for (n = 1; n <= most && reached; n++) {
        char when[80];
        struct err e;
        snprintf(when, sizeof when, "fsync %llu hangs", (unsigned long long)n);
        begin(r, n);
        assert_int_equal(open_journal(r, 15, &e), 0);
        uint64_t before = faultvfs_count(r->vfs, FAULTVFS_SYNC);
        faultvfs_hang(r->vfs, FAULTVFS_SYNC, n, 60);
        loop_take_lag(r->loop);
        work(r);
        submit(r, TRANSACTIONS); /* waits behind a checkpoint that hangs */
        loop_run(r->loop);
        slow += loop_take_lag(r->loop).ms >= 50;
        reached = faultvfs_count(r->vfs, FAULTVFS_SYNC) - before >= n;
        assert_true(r->stalls >= 1 || !reached);
        assert_false(r->j->ops->stalled(r->j));
        for (int i = 0; i <= TRANSACTIONS; i++)
            assert_int_equal(r->codes[i], 0); /* late, but durable */
        check(r, false, when);
        end(r);
    }
    assert_true(n > 6);
    assert_true(slow < n / 2); /* a loop that waited for the disk would be slow each time; a busy
                                  machine is now and then */
}

static int set_up(void **state)
{
    struct run *r = mem_alloc(sizeof *r);
    r->loop = loop_new(NULL);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct run *r = *state;
    loop_free(r->loop);
    mem_free(r);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_loss),
        cmocka_unit_test(test_failing_disk),
        cmocka_unit_test(test_failing_opening),
        cmocka_unit_test(test_hanging_fsync),
    };
    if (argc > 1)
        wanted_points = number_in(argv[1]);
    log_set_level(LOG_LVL_ERROR); /* of checkpoints that fail, as they are told to */
    if (db_init(NULL) || wanted_points < 1)
        return 1;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
