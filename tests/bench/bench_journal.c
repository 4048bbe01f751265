/* What a journaled step costs with the SQLite journal: the two transactions of one act, as the
 * engine writes them, one after the other, each waited for; and the same number of bytes in as many
 * plain commits of SQLite, set to be as durable. bench_journal DIR [STEPS] */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "base/mem.h"
#include "bench.h"
#include "harness/number.h"
#include "engine/series.h"
#include "io/loop.h"
#include "plugin/collector.h"
#include "plugin/action.h"
#include "world/sqlite_journal.h"

const struct collector_type *const collector_types[] = {NULL};
const size_t collector_types_len = 0;
const struct action_type *const action_types[] = {NULL};
const size_t action_types_len = 0;

static struct json *doc(const char *text, int bytes)
{
    struct json *d = json_new_map();

    json_set_str(d, "state", text);
    json_set_strf(d, "plan", "%0*d", bytes, 7);
    return d;
}

static void intent(struct jtx *tx, int n)
{
    char key[64], item[80];

    snprintf(key, sizeof(key), "R20261122T120000Z-%06x/001", n);
    snprintf(item, sizeof(item), "%s/0", key);
    jtx_put(tx, "step", key, doc("intent", 900), false);
    jtx_put(tx, "run", "R20261122T120000Z-000001", doc("running", 600), true);
    jtx_take(tx, "limit/asg-cpu-high@asg/web-1", key, -1, 86400000);
    jtx_take(tx, "agent", item, -1, 3600000);
    jtx_take(tx, "radius/asg-cpu-high", "asg/web-1", -1, 3600000);
}

static void outcome(struct jtx *tx, int n)
{
    char key[64];

    snprintf(key, sizeof(key), "R20261122T120000Z-%06x/001", n);
    jtx_put(tx, "step", key, doc("done", 1200), false);
    jtx_put(tx, "run", "R20261122T120000Z-000001", doc("running", 600), true);
    snprintf(key, sizeof(key), "%015d-0000", n);
    jtx_put(tx, "report", key, doc("note", 900), true);
}

struct waiting {
    struct loop *loop;
    int left;
};

static void done(void *arg, const char *denied, const struct err *e)
{
    struct waiting *w = arg;

    (void)denied;
    if (e->code) {
        fprintf(stderr, "%s\n", e->text);
        exit(1);
    }
    if (--w->left == 0)
        loop_stop(w->loop, 0);
}

static double transactions(struct loop *l, struct journal *j, int n, int at_once)
{
    struct waiting w = {l, 0};
    double begin = bench_now_s();

    for (int k = 0; k < at_once; k++) {
        struct jtx *tx = jtx_new(1000000 + n, 2000000 + n);
        if ((n + k) % 2)
            outcome(tx, n + k);
        else
            intent(tx, n + k);
        w.left++;
        j->ops->submit(j, tx, done, &w);
    }
    loop_run(l);
    return bench_now_s() - begin;
}

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", text, sqlite3_errmsg(db));
        exit(1);
    }
}

/* Two commits of one row each: no chain, no counters, no state table, no thread. */
static double plain(const char *dir, int steps, double *t)
{
    char *path = mem_printf("%s/plain.db", dir), row[2600];
    sqlite3 *db;
    sqlite3_stmt *insert;

    memset(row, 'x', sizeof(row));
    if (sqlite3_open(path, &db) != SQLITE_OK)
        exit(1);
    sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE t (seq INTEGER PRIMARY KEY, doc TEXT)");
    if (sqlite3_prepare_v2(db, "INSERT INTO t (doc) VALUES (?)", -1, &insert, NULL) != SQLITE_OK)
        exit(1);
    for (int n = 0; n < steps; n++) {
        t[n] = bench_now_s();
        for (int k = 0; k < 2; k++) {
            sqlite3_bind_text(insert, 1, row, sizeof(row), SQLITE_STATIC);
            if (sqlite3_step(insert) != SQLITE_DONE)
                exit(1);
            sqlite3_reset(insert);
        }
        t[n] = bench_now_s() - t[n];
    }
    sqlite3_finalize(insert);
    sqlite3_close(db);
    mem_free(path);
    bench_sort(t, (size_t)steps);
    return t[steps / 2];
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    int steps = argc > 2 ? number_in(argv[2]) : 1000;
    double *t = mem_calloc((size_t)steps, sizeof(double)), begin, middle, peer;
    struct loop *l = loop_new(&e);
    struct sqlite_journal_options o = {.created_by = "bench"};
    struct journal *j;

    if (argc < 2) {
        fprintf(stderr, "usage: bench_journal DIR [STEPS]\n");
        return 2;
    }
    log_set_level(LOG_LVL_ERROR);
    o.path = mem_printf("%s/journal.db", argv[1]);
    j = l ? sqlite_journal_open(l, &o, &e) : NULL;
    if (!j) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    for (int n = 0; n < steps; n++)
        t[n] = transactions(l, j, 2 * n, 1) + transactions(l, j, 2 * n + 1, 1);
    bench_sort(t, (size_t)steps);
    middle = t[steps / 2];
    printf("journal: a step (intent and outcome, each durable) %.2f ms in the middle, %.2f ms p99, "
           "of %d\n",
           middle * 1e3, t[steps * 99 / 100] * 1e3, steps);
    peer = plain(argv[1], steps, t);
    printf(
        "journal: two plain commits of SQLite with as many bytes: %.2f ms in the middle; a step is "
        "%.2f times that\n",
        peer * 1e3, middle / peer);
    begin = bench_now_s();
    transactions(l, j, 10 * steps, 2 * steps);
    printf("journal: %d steps submitted at once: %.3f ms each\n", steps,
           (bench_now_s() - begin) * 1e3 / steps);
    j->ops->close(j);
    loop_free(l);
    return 0;
}
