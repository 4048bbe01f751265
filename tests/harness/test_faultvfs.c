/* Tests faultvfs on plain SQLite: with WAL and synchronous=FULL nothing committed is lost at any
 * power cut; with less, it is, and that is seen. Argument: how many power cuts at least (default
 * 600). */
#include "harness/faultvfs.h"

#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define TRANSACTIONS 24

static long wanted_points = 600;

static sqlite3 *open_store(const char *synchronous)
{
    sqlite3 *db = NULL;
    char sql[200];
    if (sqlite3_open_v2("/store", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "faulty") !=
        SQLITE_OK) {
        sqlite3_close(db);
        return NULL;
    }
    snprintf(sql, sizeof sql,
             "PRAGMA synchronous=%s; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=12; PRAGMA "
             "cache_size=8;",
             synchronous);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, pad BLOB)", NULL,
                     NULL, NULL) != SQLITE_OK) {
        sqlite3_close(db);
        return NULL;
    }
    return db;
}

/* One transaction a row, ids from first on. Returns the last id whose COMMIT was acknowledged, at
 * least first - 1. */
static int insert(sqlite3 *db, int first, int n)
{
    for (int id = first; id < first + n; id++) {
        char sql[120];
        snprintf(sql, sizeof sql, "INSERT INTO t VALUES(%d, randomblob(%d))", id,
                 100 + id % 7 * 700);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
            return id - 1;
    }
    return first + n - 1;
}

static long number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    long value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_type(s, 0) == SQLITE_TEXT ? sqlite3_column_bytes(s, 0) == 2
                                                         : sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

struct outcome {
    long points, lost, damaged;
};

/* Works until the power fails at the n-th change, looks at what is left, goes on to the same point
 * once more, and looks again. Returns false when the work ended before that point. */
static bool one_point(const char *synchronous, uint64_t seed, uint64_t n, struct outcome *o)
{
    struct faultvfs *v = faultvfs_new("faulty", seed * 1000003 + n, false);
    int committed = 0;
    bool reached = true;
    for (int round = 0; round < 2 && reached; round++) {
        faultvfs_cut_power(v, n);
        sqlite3 *db = open_store(synchronous);
        if (db)
            committed = insert(db, committed + 1, TRANSACTIONS);
        reached = faultvfs_is_dead(v);
        faultvfs_cut_power(v, 0);
        sqlite3_close(db);
        faultvfs_power_on(v);
        db = open_store(synchronous);
        bool sound = db && number(db, "PRAGMA integrity_check") == 1;
        long rows = db ? number(db, "SELECT count(*) FROM t") : -1,
             last = db ? number(db, "SELECT ifnull(max(id), 0) FROM t") : -1;
        o->damaged += !sound || rows != last;
        o->lost += sound && last < committed;
        o->points++;
        if (sound && rows == last && last >= committed)
            assert_true(last <= committed + 1); /* the one in flight may have made it */
        committed = (int)last;
        sqlite3_close(db);
        if (committed < 0)
            break;
    }
    faultvfs_free(v);
    return reached;
}

static struct outcome many_points(const char *synchronous, long points)
{
    struct outcome o = {0};
    for (uint64_t seed = 1; o.points < points; seed++) {
        for (uint64_t n = 1; one_point(synchronous, seed, n, &o); n++)
            ;
    }
    print_message("synchronous=%s: %ld power cuts, %ld lost a commit, %ld damaged\n", synchronous,
                  o.points, o.lost, o.damaged);
    return o;
}

static void full_loses_nothing(void **state)
{
    (void)state;
    struct outcome o = many_points("FULL", wanted_points);
    assert_int_equal(o.lost, 0);
    assert_int_equal(o.damaged, 0);
}

static void less_than_full_is_found_out(void **state)
{
    (void)state;
    struct outcome o =
        many_points("NORMAL", 200); /* keeps the file sound, but may lose the last commits */
    assert_true(o.lost > 10);
    assert_int_equal(o.damaged, 0);
    o = many_points("OFF", 200);
    assert_true(o.lost > 10);
    assert_true(o.damaged > 10);
}

/* Every change fails once, with each code that a disk gives: what was acknowledged is there
 * afterwards. */
static void failing_calls_lose_nothing(void **state)
{
    (void)state;
    static const struct {
        unsigned op;
        int code;
        bool shows; /* SQLite hands the error on; a failed truncation at the last close it may
                       ignore */
    } faults[] = {{FAULTVFS_WRITE, SQLITE_FULL, true},
                  {FAULTVFS_WRITE, 0, true},
                  {FAULTVFS_SYNC, 0, true},
                  {FAULTVFS_OPEN, 0, true},
                  {FAULTVFS_TRUNCATE, 0, false},
                  {FAULTVFS_READ, 0, true}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        bool hit = true;
        long failures = 0, hits = 0;
        for (uint64_t n = 1; hit && n < 400; n += 1 + n / 20) {
            struct faultvfs *v = faultvfs_new("faulty", n, false);
            faultvfs_fail(v, faults[i].op, n, 1, faults[i].code);
            sqlite3 *db = open_store("FULL");
            int committed = db ? insert(db, 1, TRANSACTIONS) : 0;
            hit = faultvfs_count(v, faults[i].op) >= n;
            hits += hit;
            failures += committed < TRANSACTIONS;
            sqlite3_close(db);
            faultvfs_fail(v, 0, 0, 1, 0);
            db = open_store("FULL");
            assert_non_null(db);
            assert_int_equal(number(db, "PRAGMA integrity_check"), 1);
            long last = number(db, "SELECT ifnull(max(id), 0) FROM t");
            assert_true(last == committed || last == committed + 1);
            sqlite3_close(db);
            faultvfs_free(v);
        }
        print_message("operation %u, code %d: %ld faults, %ld errors\n", faults[i].op,
                      faults[i].code, hits, failures);
        assert_true(failures > 0 || !faults[i].shows);
    }
}

static void failing_for_ever_says_so(void **state)
{
    (void)state;
    struct faultvfs *v = faultvfs_new("faulty", 1, false);
    sqlite3 *db = open_store("FULL");
    assert_int_equal(insert(db, 1, 3), 3);
    faultvfs_fail(v, FAULTVFS_WRITE, 1, 0, SQLITE_FULL);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(insert(db, 4, 1), 3);
        assert_int_equal(sqlite3_errcode(db), SQLITE_FULL);
    }
    faultvfs_fail(v, 0, 0, 1, 0);
    assert_int_equal(insert(db, 4, 2), 5);
    sqlite3_close(db);
    faultvfs_free(v);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *insert_two(void *db)
{
    return insert(db, 10, 2) == 11 ? "done" : NULL;
}

static void hangs_in_sync(void **state)
{
    (void)state;
    struct faultvfs *v = faultvfs_new("faulty", 1, true); /* as default: found without its name */
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open("/store", &db), SQLITE_OK);
    sqlite3_close(db);
    db = open_store("FULL");
    double from = now_s();
    faultvfs_hang(v, FAULTVFS_SYNC, 1, 300);
    assert_int_equal(insert(db, 1, 1), 1);
    assert_true(now_s() - from >= 0.3);
    from = now_s();
    faultvfs_hang(v, FAULTVFS_SYNC, 1, 60000);
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, insert_two, db);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    faultvfs_release(v);
    pthread_join(thread, &result);
    assert_non_null(result);
    assert_true(now_s() - from < 30);
    sqlite3_close(db);
    faultvfs_free(v);
}

static void *write_alongside(void *arg)
{
    (void)arg;
    sqlite3 *db = open_store("FULL");
    sqlite3_busy_timeout(db, 20000);
    const char *result = db && insert(db, 1001, 100) == 1100 ? "done" : NULL;
    sqlite3_close(db);
    return (void *)(uintptr_t)result;
}

static void several_connections_share(void **state)
{
    (void)state;
    struct faultvfs *v = faultvfs_new("faulty", 1, false);
    sqlite3 *db = open_store("FULL"), *reader = open_store("FULL");
    sqlite3_busy_timeout(db, 20000);
    sqlite3_busy_timeout(reader, 20000);
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, write_alongside, NULL);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(insert(db, 1 + i, 1), 1 + i);
        assert_true(number(reader, "SELECT count(*) FROM t") >= i + 1);
    }
    pthread_join(thread, &result);
    assert_non_null(result);
    assert_int_equal(number(reader, "SELECT count(*) FROM t"), 200);
    assert_int_equal(number(reader, "PRAGMA integrity_check"), 1);
    sqlite3_close(reader);
    sqlite3_close(db);
    faultvfs_free(v);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_loses_nothing),
        cmocka_unit_test(less_than_full_is_found_out),
        cmocka_unit_test(failing_calls_lose_nothing),
        cmocka_unit_test(failing_for_ever_says_so),
        cmocka_unit_test(hangs_in_sync),
        cmocka_unit_test(several_connections_share),
    };
    if (argc > 1)
        wanted_points = strtol(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
