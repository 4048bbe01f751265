/* The store: groups, pieces that fail alone, a disk that fails or hangs, and the file it opens. */
#include "io/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "harness/faultvfs.h"
#include "io/db.h"

struct rig {
    struct loop *loop;
    struct faultvfs *vfs;
    struct store *store;
    int outstanding, completed, stalls;
    int64_t waited_ms;
};

static void on_stall(void *arg, int64_t waited_ms)
{
    struct rig *r = arg;
    r->stalls++;
    r->waited_ms = waited_ms;
}

static int make_table(struct sqlite3 *db, void *arg, struct err *e)
{
    (void)arg;
    return db_exec(db, "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)", e);
}

static void open_rig(struct rig *r, int64_t stall_ms)
{
    struct err e = ERR_INIT;
    struct store_options o = {.path = "/store",
                              .vfs = "faulty",
                              .checkpoint_pages = 8,
                              .stall_ms = stall_ms,
                              .on_stall = on_stall,
                              .arg = r};
    r->store = store_open(r->loop, &o, &e);
    if (!r->store)
        fail_msg("%s", e.text);
    assert_int_equal(store_run(r->store, make_table, NULL, &e), 0);
}

static int set_up(void **state)
{
    struct rig *r = mem_alloc(sizeof *r);
    assert_int_equal(db_init(NULL), 0);
    r->loop = loop_new(NULL);
    r->vfs = faultvfs_new("faulty", 1, false);
    open_rig(r, 1000);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    store_close(r->store);
    loop_free(r->loop);
    faultvfs_free(r->vfs);
    mem_free(r);
    return 0;
}

/* A piece inserts its number, and may be told to fail after it did. */
struct piece {
    struct rig *r;
    int n;
    int fails_with;
    int code; /* 1: not completed */
};

static int insert(struct sqlite3 *db, void *arg, struct err *e)
{
    struct piece *p = arg;
    int r = db_run(db, e, NULL, "INSERT INTO t VALUES (?)", "i", (int64_t)p->n);
    if (!r && p->fails_with)
        r = err_set(e, p->fails_with, "told to");
    return r;
}

static void on_done(void *arg, const struct err *e)
{
    struct piece *p = arg;
    assert_int_equal(p->code, 1); /* once */
    p->code = e ? e->code : 0;
    assert_int_equal(p->n, p->r->completed++); /* in order */
    if (--p->r->outstanding == 0)
        loop_stop(p->r->loop, 0);
}

static void submit(struct rig *r, struct piece *p, int n)
{
    *p = (struct piece){.r = r, .n = n, .code = 1, .fails_with = p->fails_with};
    r->outstanding++;
    store_submit(r->store, insert, on_done, p);
}

static int count_work(struct sqlite3 *db, void *arg, struct err *e)
{
    struct sqlite3_stmt *q = db_query(db, e, "SELECT count(*) FROM t", "");
    int r = db_row(q, e);
    if (r > 0)
        *(int64_t *)arg = db_int(q, 0);
    return r < 0 ? r : 0; /* left open on purpose: the store ends it */
}

static int64_t rows(struct rig *r)
{
    int64_t n = -1;
    assert_int_equal(store_run(r->store, count_work, &n, NULL), 0);
    return n;
}

static int hold(struct sqlite3 *db, void *arg, struct err *e)
{
    (void)db;
    (void)arg;
    (void)e;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    return 0;
}

static void ignore(void *arg, const struct err *e)
{
    (void)arg;
    assert_null(e);
}

static void test_groups_commit_together(void **state)
{
    struct rig *r = *state;
    struct piece p[200] = {0};
    uint64_t before = store_commits(r->store);
    store_submit(r->store, hold, ignore, NULL); /* so that the rest queues up behind it */
    for (int i = 0; i < 200; i++)
        submit(r, &p[i], i);
    loop_run(r->loop);
    for (int i = 0; i < 200; i++)
        assert_int_equal(p[i].code, 0);
    assert_int_equal(rows(r), 200);
    uint64_t commits = store_commits(r->store) - before;
    assert_in_range(commits, 2, 5);
}

static void test_a_piece_fails_alone(void **state)
{
    struct rig *r = *state;
    struct piece p[30] = {0};
    store_submit(r->store, hold, ignore, NULL);
    for (int i = 0; i < 30; i++) {
        p[i].fails_with = i % 3 == 1 ? ERR_DENIED : 0;
        submit(r, &p[i], i);
    }
    loop_run(r->loop);
    for (int i = 0; i < 30; i++)
        assert_int_equal(p[i].code, i % 3 == 1 ? ERR_DENIED : 0);
    assert_int_equal(rows(r), 20);
}

static void test_a_failed_commit_fails_its_whole_group_and_no_more(void **state)
{
    struct rig *r = *state;
    struct piece p[20] = {0};
    faultvfs_fail(r->vfs, FAULTVFS_SYNC, 1, 1, SQLITE_IOERR_FSYNC);
    submit(r, &p[0], 0); /* whatever shares its group goes with it; the others go on */
    for (int i = 1; i < 10; i++)
        submit(r, &p[i], i);
    loop_run(r->loop);
    int64_t kept = 0;
    assert_int_equal(p[0].code, ERR_IO);
    for (int i = 1; i < 10; i++) {
        assert_true(p[i].code == 0 || p[i].code == ERR_IO);
        kept += p[i].code == 0;
    }
    assert_int_equal(rows(r), kept);
    for (int i = 10; i < 20; i++)
        submit(r, &p[i], i);
    loop_run(r->loop);
    for (int i = 10; i < 20; i++)
        assert_int_equal(p[i].code, 0);
    assert_int_equal(rows(r), kept + 10);
}

/* A full disk makes SQLite roll back the whole transaction in the middle of a group. */
static void test_a_full_disk(void **state)
{
    struct rig *r = *state;
    struct piece p[12] = {0};
    faultvfs_fail(r->vfs, FAULTVFS_WRITE, 1, 0, SQLITE_FULL);
    for (int i = 0; i < 6; i++)
        submit(r, &p[i], i);
    loop_run(r->loop);
    for (int i = 0; i < 6; i++)
        assert_int_equal(p[i].code, ERR_IO);
    faultvfs_fail(r->vfs, FAULTVFS_WRITE, 0, 0, 0);
    assert_int_equal(rows(r), 0);
    for (int i = 6; i < 12; i++)
        submit(r, &p[i], i);
    loop_run(r->loop);
    assert_int_equal(rows(r), 6);
}

/* The loop's heart: it beats on while the disk hangs. */
struct beat {
    struct rig *r;
    struct loop_timer *timer;
    int n;
    int release_at;
};

static void on_beat(void *arg)
{
    struct beat *b = arg;
    if (++b->n == b->release_at)
        faultvfs_release(b->r->vfs);
    loop_timer_set(b->timer, 5);
}

static void test_a_hanging_fsync_stalls_nobody(void **state)
{
    struct rig *r = *state;
    struct piece p[8] = {0};
    store_close(r->store);
    open_rig(r, 50);
    struct beat b = {.r = r, .release_at = 40};
    b.timer = loop_timer_new(r->loop, on_beat, &b);
    loop_timer_set(b.timer, 5);
    faultvfs_hang(r->vfs, FAULTVFS_SYNC, 1, 10000);
    for (int i = 0; i < 4; i++)
        submit(r, &p[i], i);
    loop_take_lag(r->loop);
    loop_run(r->loop);
    double lag_ms = loop_take_lag(r->loop).ms;
    assert_int_equal(r->stalls, 1); /* once, though it went on for 200 ms */
    assert_in_range(r->waited_ms, 50, 150);
    assert_int_equal(p[3].code, 0); /* late, but durable */
    assert_false(store_stalled(r->store));
    assert_true(b.n >= 40);

    faultvfs_hang(r->vfs, FAULTVFS_SYNC, 1, 10000); /* a second stall is a new one */
    b.n = 0;
    for (int i = 4; i < 8; i++)
        submit(r, &p[i], i);
    loop_run(r->loop);
    assert_int_equal(r->stalls, 2);
    assert_int_equal(rows(r), 8);
    /* Twice, because a busy machine may take the processor from us once. */
    assert_true(lag_ms < 50 || loop_take_lag(r->loop).ms < 50);
    loop_timer_free(b.timer);
}

static void test_closing_leaves_a_hanging_thread_behind(void **state)
{
    struct rig *r = *state;
    static struct piece p[3]; /* outlives the test: the thread may still read them */
    memset(p, 0, sizeof p);
    store_close(r->store);
    open_rig(r, 50);
    faultvfs_hang(r->vfs, FAULTVFS_SYNC, 1, 10000);
    p[0] = (struct piece){.r = r, .n = 0, .code = 1};
    r->outstanding = 1;
    store_submit(r->store, insert, on_done, &p[0]);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    submit(r, &p[1], 1);
    submit(r, &p[2], 2);
    assert_int_equal(store_close(r->store), ERR_TIMEOUT);
    assert_int_equal(p[0].code, ERR_TIMEOUT);
    assert_int_equal(p[1].code, ERR_IO);
    assert_int_equal(p[2].code, ERR_IO);
    assert_int_equal(r->completed, 3);
    faultvfs_release(r->vfs);
    nanosleep(&(struct timespec){.tv_nsec = 50000000},
              NULL); /* lets it end, for the file system's sake */
    open_rig(r, 1000);
    assert_int_equal(rows(r), 1); /* what nobody knew: it had become durable */
}

static void submit_again(void *arg, const struct err *e)
{
    struct piece *p = arg;
    assert_null(e);
    submit(p->r, &p[1], 0);
}

static void test_closing_completes_all(void **state)
{
    struct rig *r = *state;
    struct piece p[2] = {{.r = r, .n = 7, .code = 1}};
    store_submit(r->store, insert, submit_again, p);
    assert_int_equal(store_close(r->store), 0);
    assert_int_equal(p[1].code, ERR_IO); /* submitted by a completion while closing */
    open_rig(r, 1000);
    assert_int_equal(rows(r), 1);
}

static int complaints, recoveries;

static void on_log(enum log_level level, const char *part, const char *text, void *arg)
{
    (void)arg;
    assert_string_equal(part, "store");
    complaints += level == LOG_LVL_WARN && strstr(text, "cannot be moved");
    recoveries += level == LOG_LVL_INFO && strstr(text, "again");
}

static void insert_each(struct rig *r, struct piece *p, int from, int to, bool fail)
{
    for (int i = from; i < to; i++) {
        /* A commit syncs once, or twice where the log begins anew; the third is a checkpoint's. */
        if (fail)
            faultvfs_fail(r->vfs, FAULTVFS_SYNC, 3, 1, SQLITE_IOERR_FSYNC);
        submit(r, &p[i], i);
        loop_run(r->loop);
        assert_int_equal(p[i].code, 0);   /* a checkpoint that fails is no commit that fails */
        assert_int_equal(rows(r), i + 1); /* answered after the checkpoint */
    }
}

static void test_the_log_is_moved_into_the_file(void **state)
{
    struct rig *r = *state;
    struct piece p[90] = {0};
    complaints = recoveries = 0;
    log_set_sink(on_log, NULL);
    uint64_t before = faultvfs_count(r->vfs, FAULTVFS_SYNC);
    insert_each(r, p, 0, 30, false);
    assert_true(faultvfs_count(r->vfs, FAULTVFS_SYNC) >
                before + 35); /* one a commit, two and more a checkpoint */
    insert_each(r, p, 30, 60, true);
    assert_int_equal(complaints, 1);
    assert_int_equal(recoveries, 0);
    faultvfs_fail(r->vfs, FAULTVFS_SYNC, 0, 0, 0);
    insert_each(r, p, 60, 90, false);
    assert_int_equal(complaints, 1);
    assert_int_equal(recoveries, 1);
    log_set_sink(NULL, NULL);
}

/* The file. */

static char folder[64], path[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/rb_store_XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/j.db", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm", ".other"};
    for (size_t i = 0; i < 4; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
    chmod(folder, 0700);
    return rmdir(folder);
}

static int open_file(struct err *e)
{
    struct store_options o = {.path = path};
    *e = (struct err)ERR_INIT;
    struct store *s = store_open(NULL, &o, e);
    if (s)
        assert_int_equal(store_run(s, make_table, NULL, e), 0);
    store_close(s);
    return s ? 0 : e->code;
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(name, &st), 0);
    return st.st_mode & 07777;
}

static int modes_work(struct sqlite3 *db, void *arg, struct err *e)
{
    char name[160];
    (void)arg;
    assert_int_equal(db_exec(db, "CREATE TABLE m (x)", e), 0);
    snprintf(name, sizeof name, "%s-wal", path);
    assert_int_equal(mode_of(name), 0600);
    snprintf(name, sizeof name, "%s-shm", path);
    assert_int_equal(mode_of(name), 0600);
    return 0;
}

static void test_the_file_is_private(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    mode_t old = umask(0);
    struct store_options o = {.path = path};
    struct store *s = store_open(NULL, &o, &e);
    assert_non_null(s);
    assert_int_equal(store_run(s, modes_work, NULL, &e), 0);
    store_close(s);
    umask(old);
    assert_int_equal(mode_of(path), 0600);
    assert_int_equal(open_file(&e), 0);
    static const mode_t bad[] = {0644, 0640, 0620, 0602, 0601};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        chmod(path, bad[i]);
        assert_int_equal(open_file(&e), ERR_AUTH);
        assert_non_null(strstr(e.text, "chmod 0600"));
    }
    chmod(path, 0600);
    static const mode_t bad_folder[] = {0770, 0777, 01777, 0702};
    for (size_t i = 0; i < sizeof bad_folder / sizeof *bad_folder; i++) {
        chmod(folder, bad_folder[i]);
        assert_int_equal(open_file(&e), ERR_AUTH);
        assert_non_null(strstr(e.text, "go-w"));
    }
    chmod(folder, 0755);
    assert_int_equal(open_file(&e), 0);
}

/* Its folder is emptied, or a backup is put in its place: what is committed to it is lost with the
 * process, so nothing is. Put back, it goes on. */
static void test_a_file_that_was_taken_away(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct err e = ERR_INIT;
        char name[160], other[160];
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        snprintf(other, sizeof other, "%s.other", path);
        struct store_options o = {.path = path};
        struct store *s = store_open(NULL, &o, &e);
        assert_non_null(s);
        assert_int_equal(store_run(s, make_table, NULL, &e), 0);
        assert_int_equal(rename(name, other), 0);
        assert_int_equal(store_run(s, make_table, NULL, &e), ERR_IO);
        assert_non_null(strstr(e.text, name));
        assert_non_null(strstr(e.text, "removed"));
        int fd = creat(name, 0600);
        assert_true(fd >= 0);
        close(fd);
        e = (struct err)ERR_INIT;
        assert_int_equal(store_run(s, make_table, NULL, &e), ERR_IO);
        assert_non_null(strstr(e.text, "replaced"));
        assert_int_equal(rename(other, name), 0);
        assert_int_equal(store_run(s, make_table, NULL, &e), 0);
        store_close(s);
        unlink(path);
    }
}

static void test_no_plain_file(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char other[160];
    snprintf(other, sizeof other, "%s.other", path);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(open_file(&e), ERR_INPUT);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_file(&e), ERR_INPUT);
    rmdir(path);
    strcpy(path + strlen(path), "/x/j.db");
    assert_int_equal(open_file(&e), ERR_NOT_FOUND);
    path[strlen(path) - strlen("/x/j.db")] = '\0';
}

static void write_file(const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    chmod(path, 0600);
}

static void test_no_database(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    char text[4096];
    memset(text, 'x', sizeof text);
    write_file(text, sizeof text);
    assert_int_equal(open_file(&e), ERR_INPUT);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "not a SQLite database"));
    /* The right beginning, rubbish after it. */
    memcpy(text, "SQLite format 3", 16);
    write_file(text, sizeof text);
    assert_int_equal(open_file(&e), ERR_INPUT);
    assert_non_null(strstr(e.text, "move it away"));
}

static int hostile(struct sqlite3 *db, void *arg, struct err *e)
{
    (void)arg;
    return db_exec(db, "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'x'", e);
}

static void test_defensive(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct store_options o = {.path = path};
    struct store *s = store_open(NULL, &o, &e);
    assert_non_null(s);
    assert_int_equal(store_run(s, make_table, NULL, &e), 0);
    assert_true(store_run(s, hostile, NULL, &e) < 0);
    store_close(s);
}

#define WITH_RIG(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
#define WITH_FILE(t) cmocka_unit_test_setup_teardown(t, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_groups_commit_together),
        WITH_RIG(test_a_piece_fails_alone),
        WITH_RIG(test_a_failed_commit_fails_its_whole_group_and_no_more),
        WITH_RIG(test_a_full_disk),
        WITH_RIG(test_a_hanging_fsync_stalls_nobody),
        WITH_RIG(test_closing_leaves_a_hanging_thread_behind),
        WITH_RIG(test_closing_completes_all),
        WITH_RIG(test_the_log_is_moved_into_the_file),
        WITH_FILE(test_the_file_is_private),
        WITH_FILE(test_a_file_that_was_taken_away),
        WITH_FILE(test_no_plain_file),
        WITH_FILE(test_no_database),
        WITH_FILE(test_defensive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
