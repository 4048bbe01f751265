/* The SQLite journal's own: who may open it, the steady clock over restarts, retention, groups, a
 * hung disk. */
#include "world/sqlite_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "harness/faultvfs.h"
#include "help_journal.h"
#include "io/db.h"

#define DAY 86400000LL

struct fixture {
    struct folder folder;
    struct loop *loop;
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    folder_make(&f->folder);
    f->loop = loop_new(NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    folder_remove(&f->folder);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static int try_open(struct fixture *f, struct err *e)
{
    struct sqlite_journal_options o = {.path = f->folder.path, .created_by = "test"};
    *e = (struct err)ERR_INIT;
    struct journal *j = sqlite_journal_open(f->loop, &o, e);
    if (!j)
        return e->code;
    j->ops->close(j);
    return 0;
}

static void change(struct fixture *f, const char *sql)
{
    struct err e = ERR_INIT;
    struct sqlite3 *db = db_open(f->folder.path, NULL, true, &e);
    if (!db || db_exec(db, sql, &e))
        fail_msg("%s", e.text);
    db_close(db);
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* Who may open it. */

static void test_a_second_agent_is_told_the_pid_of_the_first(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    int ready[2], end[2];
    assert_int_equal(pipe(ready) | pipe(end), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sqlite_journal_options o = {.path = f->folder.path};
        struct journal *j = sqlite_journal_open(NULL, &o, NULL);
        char c = j ? 'y' : 'n';
        if (write(ready[1], &c, 1) != 1 || read(end[0], &c, 1) != 1)
            _exit(2);
        _exit(0); /* without closing: as a crash */
    }
    char c, text[64];
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    assert_int_equal(try_open(f, &e), ERR_STATE);
    snprintf(text, sizeof text, "pid %d", (int)pid);
    assert_has(e.text, text);
    assert_has(e.text, f->folder.path);
    assert_int_equal(write(end[1], "x", 1), 1);
    waitpid(pid, NULL, 0);
    assert_int_equal(try_open(f, &e), 0); /* the lock died with it */
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(end[i]);
    }
}

static void test_two_in_one_process(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct journal *j = help_open(f->loop, f->folder.path, NULL);
    assert_int_equal(try_open(f, &e), ERR_STATE);
    j->ops->close(j);
    assert_int_equal(try_open(f, &e), 0);
}

static void test_a_newer_version_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    assert_int_equal(try_open(f, &e), 0);
    change(f, "DROP TABLE meta; PRAGMA user_version = 2"); /* whatever else it may have changed */
    assert_int_equal(try_open(f, &e), ERR_STATE);
    assert_has(e.text, "schema version 2");
    assert_has(e.text, "newer runbookd");
    assert_has(e.text, f->folder.path);
    assert_null(journal_open_readonly(f->folder.path, &e));
    assert_int_equal(e.code, ERR_STATE);
}

static void test_other_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    change(f, "CREATE TABLE songs (title)");
    assert_int_equal(try_open(f, &e), ERR_INPUT);
    assert_has(e.text, "no runbookd journal");
    assert_int_equal(truncate(f->folder.path, 0), 0);
    assert_int_equal(try_open(f, &e), 0); /* an empty file is a new journal */
    chmod(f->folder.path, 0644);
    assert_int_equal(try_open(f, &e), ERR_AUTH);
    assert_has(e.text, "0644");
    chmod(f->folder.path, 0600);
    change(f, "DELETE FROM meta");
    assert_int_equal(try_open(f, &e), ERR_INPUT);
    assert_has(e.text, "meta");
}

static void test_a_damaged_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct journal *j = help_open(f->loop, f->folder.path, NULL);
    for (int i = 0; i < 50; i++)
        assert_int_equal(help_run(f->loop, j, help_tx(i)), 0);
    j->ops->close(j);
    FILE *file = fopen(f->folder.path, "r+");
    for (int page = 1; page < 12; page++) {
        fseek(file, page * 4096, SEEK_SET);
        fwrite("garbage!", 1, 8, file);
    }
    fclose(file);
    assert_int_equal(try_open(f, &e), ERR_INPUT);
    assert_has(e.text, f->folder.path);
    assert_has(e.text, "damaged");
}

static void test_a_changed_tail_is_refused(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    static const char *const changes[] = {
        "UPDATE log SET doc = replace(doc, '29', '30') WHERE seq = (SELECT max(seq) FROM log)",
        "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)",
        "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log) - 5",
        "UPDATE meta SET head_hash = zeroblob(32)",
        "UPDATE meta SET head_hash = x'00'",
        "UPDATE log SET hash = x'00' WHERE seq = (SELECT max(seq) FROM log) - 1",
        "DELETE FROM log",
        "DELETE FROM token WHERE seq = (SELECT max(seq) FROM token)",
        "CREATE TRIGGER t AFTER INSERT ON token BEGIN DELETE FROM token; END",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct journal *j = help_open(f->loop, f->folder.path, NULL);
        for (int k = 0; k < 30; k++)
            assert_int_equal(help_run(f->loop, j, help_tx(k)), 0);
        j->ops->close(j);
        change(f, changes[i]);
        assert_int_equal(try_open(f, &e), ERR_INPUT);
        unlink(f->folder.path);
    }
    assert_has(e.text, "runbookd audit");
}

static void test_no_folder(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    struct sqlite_journal_options o = {.path = "/tmp/rb_no_such_folder/journal.db"};
    assert_null(sqlite_journal_open(f->loop, &o, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_has(e.text, "/tmp/rb_no_such_folder");
}

/* The steady clock. */

static struct steady_clock open_at(struct fixture *f, const char *boot_id, int64_t boot_ms,
                                   int64_t wall_ms, int64_t then_ms)
{
    struct err e = ERR_INIT;
    struct sqlite_journal_options o = {
        .path = f->folder.path, .boot_id = boot_id, .boot_ms = boot_ms, .wall_ms = wall_ms};
    struct steady_clock c = {0};
    struct journal *j = sqlite_journal_open(f->loop, &o, &e);
    if (!j) {
        fail_msg("%s", e.text);
        return c;
    }
    journal_clock(j, &c);
    if (then_ms) { /* runs on for a while, and writes */
        int64_t steady = boot_ms + then_ms + c.offset_ms;
        struct jtx *tx = jtx_new(steady, wall_ms + then_ms);
        jtx_put(tx, "note", "n", json_new_map(), false);
        assert_int_equal(help_run(f->loop, j, tx), 0);
    }
    j->ops->close(j);
    return c;
}

static void test_steady_time_goes_on(void **state)
{
    struct fixture *f = *state;
    const int64_t wall = 1800000000000, t0 = wall;
    struct steady_clock c = open_at(f, "boot-1", 5000, wall, 1000); /* steady: t0 .. t0 + 1000 */
    assert_int_equal(c.source, CLOCK_NEW);
    assert_int_equal(5000 + c.offset_ms, t0);

    /* The same boot: exact, whatever the wall clock did. */
    c = open_at(f, "boot-1", 5000 + 61000, wall - 365 * DAY, 1000);
    assert_int_equal(c.source, CLOCK_SAME_BOOT);
    assert_int_equal(c.away_ms, 60000);
    assert_int_equal(5000 + 61000 + c.offset_ms, t0 + 61000);

    /* An opening alone moves it on too (t0 + 62000 was the last). */
    c = open_at(f, "boot-1", 5000 + 63000, wall + 63000, 0);
    assert_int_equal(5000 + 63000 + c.offset_ms, t0 + 63000);

    /* Another boot: the wall clock's difference. */
    c = open_at(f, "boot-2", 10, wall + 63000 + 7000, 0);
    assert_int_equal(c.source, CLOCK_BY_WALL);
    assert_int_equal(c.away_ms, 7000);
    assert_int_equal(10 + c.offset_ms, t0 + 70000);

    /* ... never back ... */
    c = open_at(f, "boot-3", 10, wall - DAY, 0);
    assert_int_equal(c.away_ms, 0);
    assert_int_equal(10 + c.offset_ms, t0 + 70000);

    /* ... and at most 30 days on. */
    c = open_at(f, "boot-4", 10, wall + 3650 * DAY, 0);
    assert_int_equal(c.away_ms, 30 * DAY);
    assert_int_equal(10 + c.offset_ms, t0 + 70000 + 30 * DAY);

    /* A boot clock that stands before the last one (another time namespace) says nothing. */
    c = open_at(f, "boot-4", 5, wall + 3650 * DAY + 2000, 0);
    assert_int_equal(c.source, CLOCK_BY_WALL);
    assert_int_equal(c.away_ms, 2000);
}

/* Whoever sets the clocks forward makes the limits forget: found at the next opening. */
static void test_forged_clocks_are_found(void **state)
{
    struct fixture *f = *state;
    static const char *const forgeries[][2] = {
        {"steady_ms = steady_ms + 86400000", "steady_ms = steady_ms - 86400000"},
        {"boot_ms = boot_ms - 86400000", "boot_ms = boot_ms + 86400000"},
        {"boot_id = 'boot-0'", "boot_id = 'boot-1'"}};
    const int64_t wall = 1800000000000;
    struct steady_clock c;

    open_at(f, "boot-1", 5000, wall, 1000);
    open_at(f, "boot-1", 65000, wall + 60000, 1000); /* tells the clock */
    for (size_t k = 0; k < sizeof(forgeries) / sizeof(forgeries[0]); k++) {
        struct sqlite_journal_options o = {
            .path = f->folder.path, .boot_id = "boot-1", .boot_ms = 125000, .wall_ms = wall};
        for (int back = 0; back < 2; back++) {
            struct err e = ERR_INIT;
            char *sql = mem_printf("UPDATE meta SET %s", forgeries[k][back]);
            change(f, sql);
            mem_free(sql);
            if (back)
                continue;
            assert_null(sqlite_journal_open(f->loop, &o, &e));
            assert_int_equal(e.code, ERR_INPUT);
            assert_has(e.text, "the clocks in meta are not what the log says");
        }
    }
    /* The wall clock's is not gone by: over a reboot the newest row's counts. */
    change(f, "UPDATE meta SET wall_ms = 0");
    c = open_at(f, "boot-2", 10, wall + 61000 + 7000, 0);
    assert_int_equal(c.away_ms, 7000);
    assert_int_equal(10 + c.offset_ms, wall + 61000 + 7000);
}

static void test_the_hosts_clocks(void **state)
{
    struct fixture *f = *state;
    struct sqlite_journal_options o = {.path = f->folder.path};
    struct steady_clock a, b;
    struct journal *j = sqlite_journal_open(f->loop, &o, NULL);
    journal_clock(j, &a);
    j->ops->close(j);
    j = sqlite_journal_open(f->loop, &o, NULL);
    journal_clock(j, &b);
    j->ops->close(j);
    assert_int_equal(a.source, CLOCK_NEW);
    assert_int_equal(b.source, CLOCK_SAME_BOOT);
    assert_int_equal(a.offset_ms, b.offset_ms);
}

/* Tokens and samples that are too old. */

static bool count_token(void *arg, const char *scope, const char *item, int64_t at)
{
    (void)scope;
    (void)item;
    (void)at;
    ++*(int *)arg;
    return true;
}

static bool count_day(void *arg, const char *series, int64_t day, const void *blob, size_t len)
{
    (void)series;
    (void)day;
    (void)blob;
    (void)len;
    ++*(int *)arg;
    return true;
}

static void test_retention(void **state)
{
    struct fixture *f = *state;
    struct sqlite_journal_options o = {.path = f->folder.path,
                                       .boot_id = "b",
                                       .boot_ms = 0,
                                       .wall_ms = 1000 * DAY,
                                       .keep_samples_ms = 10 * DAY};
    struct journal *j = sqlite_journal_open(f->loop, &o, NULL);
    struct jtx *tx = jtx_new(1000 * DAY, 1000 * DAY);
    jtx_take(tx, "s", "a", 1, DAY);
    for (int day = 980; day <= 1000; day++)
        jtx_samples(tx, "cpu", day * DAY, mem_strdup("x"), 1);
    jtx_samples(tx, "gone", 989 * DAY, mem_strdup("x"), 1); /* its series has no newer day */
    jtx_samples(tx, "mem", 991 * DAY, mem_strdup("x"), 1);
    assert_int_equal(help_run(f->loop, j, tx), 0);
    int days = 0, tokens = 0;
    j->ops->each_samples(j, "", 0, count_day, &days, NULL);
    assert_int_equal(days, 11 + 2);
    j->ops->close(j);
    j = sqlite_journal_open(f->loop, &o, NULL);
    days = 0;
    j->ops->each_samples(j, "", 0, count_day, &days, NULL);
    assert_int_equal(days, 11 + 1);
    j->ops->close(j);
    o.boot_ms = 399 * DAY;
    for (int i = 0; i < 2; i++) {
        j = sqlite_journal_open(f->loop, &o, NULL);
        tokens = 0;
        j->ops->each_token(j, INT64_MIN, count_token, &tokens, NULL);
        assert_int_equal(tokens, i == 0); /* 399 days: there; 401: gone */
        j->ops->close(j);
        o.boot_ms = 401 * DAY;
    }
}

/* Reading beside a running agent. */

static bool count_row(void *arg, const char *key, const struct json *doc)
{
    (void)key;
    assert_true(json_get_int(doc, "n", -1) >= 0);
    ++*(int *)arg;
    return true;
}

static void on_list(void *arg, struct json *list, const struct err *e)
{
    assert_int_equal(e->code, 0);
    *(int64_t *)arg = json_get_int(json_at(list, 0), "n", -1);
    json_free(list);
}

static void on_refused(void *arg, const char *denied, const struct err *e)
{
    assert_null(denied);
    *(int *)arg = e->code;
}

static void test_reading_only(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    assert_null(journal_open_readonly(f->folder.path, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    struct journal *j = help_open(f->loop, f->folder.path, NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(help_run(f->loop, j, help_tx(i)), 0);
    for (int running = 1; running >= 0; running--) {
        struct journal *r = journal_open_readonly(f->folder.path, &e);
        if (!r)
            fail_msg("%s", e.text);
        int n = 0, code = 0;
        int64_t newest = -1, seq;
        char hex[65];
        assert_int_equal(r->ops->each_open(r, "step", count_row, &n, &e), 0);
        assert_int_equal(n, 20);
        n = 0;
        assert_int_equal(r->ops->each_token(r, INT64_MIN, count_token, &n, &e), 0);
        assert_int_equal(n, 20);
        n = 0;
        assert_int_equal(r->ops->each_samples(r, "cpu", 0, count_day, &n, &e), 0);
        assert_int_equal(n, 2);
        r->ops->query(r, "step", "", 1, on_list, &newest);
        assert_int_equal(newest, 19);
        struct json *source = r->ops->source(r, "hash-6", &e);
        assert_string_equal(json_get_str(source, "lua", ""), "policy 6");
        json_free(source);
        r->ops->head(r, hex, &seq);
        assert_true(seq > 60);
        assert_false(r->ops->stalled(r));
        r->ops->submit(r, help_tx(1), on_refused, &code);
        assert_int_equal(code, ERR_STATE);
        r->ops->close(r);
        if (running)
            j->ops->close(j);
    }
}

/* Groups. */

struct burst {
    struct loop *loop;
    int left, failed;
};

static void on_burst(void *arg, const char *denied, const struct err *e)
{
    struct burst *b = arg;
    (void)denied;
    b->failed += e->code != 0;
    if (--b->left == 0)
        loop_stop(b->loop, 0);
}

static void test_transactions_share_commits(void **state)
{
    struct fixture *f = *state;
    struct journal *j = help_open(f->loop, f->folder.path, NULL);
    struct burst b = {.loop = f->loop, .left = 400};
    uint64_t before = sqlite_journal_commits(j);
    for (int i = 0; i < 400; i++)
        j->ops->submit(j, help_tx(i), on_burst, &b);
    loop_run(f->loop);
    assert_int_equal(b.failed, 0);
    assert_true(sqlite_journal_commits(j) - before < 200);
    int n = 0;
    assert_int_equal(j->ops->each_open(j, "step", count_row, &n, NULL), 0);
    assert_int_equal(n, 400);
    j->ops->close(j);
}

/* A disk that hangs for good: the journal closes, and says what nobody knows. */

struct hung {
    int codes[3], n;
};

static void on_hung(void *arg, const char *denied, const struct err *e)
{
    struct hung *h = arg;
    (void)denied;
    h->codes[h->n++] = e->code;
}

static void on_stall(void *arg, int64_t waited_ms)
{
    struct loop *l = arg;
    assert_in_range(waited_ms, 50, 150);
    loop_stop(l, 0);
}

static void test_closing_on_a_hung_disk(void **state)
{
    struct fixture *f = *state;
    static struct hung h;
    h = (struct hung){0};
    struct faultvfs *v = faultvfs_new("hung", 1, false);
    struct sqlite_journal_options o = {
        .path = "/journal", .vfs = "hung", .stall_ms = 50, .on_stall = on_stall, .arg = f->loop};
    struct journal *j = sqlite_journal_open(f->loop, &o, NULL);
    assert_non_null(j);
    faultvfs_hang(v, FAULTVFS_SYNC, 1, 20000);
    j->ops->submit(j, help_tx(1), on_hung, &h);
    loop_run(f->loop);
    assert_true(j->ops->stalled(j));
    j->ops->submit(j, help_tx(2), on_hung, &h);
    j->ops->submit(j, help_tx(3), on_hung, &h);
    loop_take_lag(f->loop);
    j->ops->close(j);
    assert_int_equal(h.n, 3);
    assert_int_equal(h.codes[0], ERR_TIMEOUT);
    assert_int_equal(h.codes[1], ERR_IO);
    assert_int_equal(h.codes[2], ERR_IO);
    faultvfs_release(v);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    faultvfs_free(v);
}

#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_second_agent_is_told_the_pid_of_the_first),
        T(test_two_in_one_process),
        T(test_a_newer_version_is_refused),
        T(test_other_files_are_refused),
        T(test_a_damaged_file_is_refused),
        T(test_a_changed_tail_is_refused),
        T(test_no_folder),
        T(test_steady_time_goes_on),
        T(test_forged_clocks_are_found),
        T(test_the_hosts_clocks),
        T(test_retention),
        T(test_reading_only),
        T(test_transactions_share_commits),
        T(test_closing_on_a_hung_disk),
    };
    if (db_init(NULL)) /* before the file system of the last test registers */
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
