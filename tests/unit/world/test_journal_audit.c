/* Tampering with a journal: every change is found, the untouched journal is not accused. */
#include "world/journal_audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "help_journal.h"
#include "io/db.h"

#define TRANSACTIONS 120

static struct folder folder;
static char copy_path[160];
static struct journal_witness head; /* as the last report would have carried it */
static struct journal_witness middle;
static char *original; /* the journal's whole content */
static size_t original_size;

static int write_journal(void **state)
{
    (void)state;
    folder_make(&folder);
    snprintf(copy_path, sizeof copy_path, "%s.copy", folder.path);
    struct loop *l = loop_new(NULL);
    struct journal *j = help_open(l, folder.path, NULL);
    for (int i = 0; i < TRANSACTIONS; i++) {
        assert_int_equal(help_run(l, j, help_tx(i)), 0);
        if (i == TRANSACTIONS / 2)
            j->ops->head(j, middle.hex, &middle.seq);
    }
    j->ops->head(j, head.hex, &head.seq);
    j->ops->close(j);
    loop_free(l);
    FILE *f = fopen(folder.path, "r");
    struct stat st;
    assert_int_equal(fstat(fileno(f), &st), 0);
    original_size = (size_t)st.st_size;
    original = mem_alloc(original_size);
    assert_int_equal(fread(original, 1, original_size, f), original_size);
    fclose(f);
    return 0;
}

static int remove_journal(void **state)
{
    (void)state;
    mem_free(original);
    folder_remove(&folder);
    return 0;
}

static void write_copy(const char *data, size_t size)
{
    FILE *f = fopen(copy_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    chmod(copy_path, 0600);
}

struct findings {
    char first[512];
    int64_t seq;
    int n;
};

static void on_finding(void *arg, int64_t seq, const char *text)
{
    struct findings *f = arg;
    if (f->n++ == 0) {
        snprintf(f->first, sizeof f->first, "%s", text);
        f->seq = seq;
    }
}

static int audit(const char *path, const struct journal_witness *w, struct findings *f,
                 struct journal_audit *a)
{
    struct err e = ERR_INIT;
    *f = (struct findings){0};
    int code = journal_verify(path, w, w ? 1 : 0, on_finding, f, a, &e);
    assert_int_equal(code, e.code);
    if (!code)
        assert_int_equal(a->findings, f->n);
    return code;
}

static void test_an_untouched_journal(void **state)
{
    (void)state;
    struct findings f;
    struct journal_audit a;
    assert_int_equal(audit(folder.path, &head, &f, &a), 0);
    if (f.n)
        fail_msg("%s", f.first);
    assert_int_equal(a.head.seq, head.seq);
    assert_string_equal(a.head.hex, head.hex);
    assert_int_equal(a.rows, head.seq);
    assert_int_equal(a.states, TRANSACTIONS + 5);
    assert_int_equal(a.sources, TRANSACTIONS / 6);
    assert_int_equal(a.tokens, TRANSACTIONS);
    assert_int_equal(a.first_wall_ms, 2000000);
    assert_int_equal(a.last_wall_ms, 2000000 + TRANSACTIONS - 1);
    assert_int_equal(audit(folder.path, &middle, &f, &a), 0);
    assert_int_equal(f.n, 0);
}

static void change(const char *sql)
{
    struct err e = ERR_INIT;
    write_copy(original, original_size);
    struct sqlite3 *db = db_open(copy_path, NULL, true, &e);
    if (!db || db_exec(db, sql, &e))
        fail_msg("%s: %s", sql, e.text);
    db_close(db);
}

#define ONLY_AUDIT "source hash-x is not one that the log says was stored"

static int newest(int64_t rows, struct err *e)
{
    struct sqlite3 *db = db_open(copy_path, NULL, false, e);
    if (!db)
        return e->code;
    int code = journal_verify_newest(db, rows, e);
    db_close(db);
    return code;
}

static void test_each_change_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *says;
    } cases[] = {
        {"UPDATE log SET doc = '{}' WHERE seq = 100", "row 100 (token returned) was changed"},
        {"UPDATE log SET key = 'x' WHERE seq = 100", "row 100"},
        {"UPDATE log SET kind = 'x' WHERE seq = 100", "row 100"},
        {"UPDATE log SET open = 1 - open WHERE seq = 100", "row 100"},
        {"UPDATE log SET open = 2 WHERE seq = (SELECT min(seq) FROM log WHERE key = 'run-1')",
         "neither"},
        {"UPDATE log SET t_ms = t_ms + 1 WHERE seq = 100", "row 100"},
        {"UPDATE log SET wall_ms = wall_ms + 1 WHERE seq = 100", "row 100"},
        {"UPDATE log SET hash = zeroblob(32) WHERE seq = 100", "row 100"},
        {"UPDATE log SET prev = zeroblob(32) WHERE seq = 100", "row 100 does not follow"},
        {"UPDATE log SET prev = x'', hash = x'' WHERE seq = 100", "row 100"},
        {"DELETE FROM log WHERE seq = 100", "rows 100 to 100 are missing"},
        {"DELETE FROM log WHERE seq BETWEEN 50 AND 60", "rows 50 to 60 are missing"},
        {"DELETE FROM log WHERE seq = 1", "rows 1 to 1 are missing"},
        {"DELETE FROM log WHERE seq > 300", "the log ends at row 300"},
        {"DELETE FROM log", "the log ends at row 0"},
        /* Renumbered, so that no gap is left. */
        {"DELETE FROM log WHERE seq = 100; UPDATE log SET seq = -(seq - 1) WHERE seq > 100;"
         "UPDATE log SET seq = -seq WHERE seq < 0",
         "row 100 does not follow"},
        /* Two rows that have changed places. */
        {"UPDATE log SET seq = -100 WHERE seq = 100; UPDATE log SET seq = 100 WHERE seq = 101;"
         "UPDATE log SET seq = 101 WHERE seq = -100",
         "row 100 does not follow"},
        {"INSERT INTO log SELECT (SELECT max(seq) FROM log) + 1, t_ms, wall_ms, kind, key, doc, "
         "open, "
         "prev, hash FROM log WHERE seq = 100",
         "does not follow"},
        {"UPDATE meta SET head_seq = head_seq - 1", "but meta says"},
        {"UPDATE meta SET head_hash = zeroblob(32)", "with another hash"},
        {"UPDATE state SET doc = '{}' WHERE key = 'step-7'", "state step step-7"},
        {"UPDATE state SET open = 0 WHERE key = 'step-7'", "state step step-7"},
        {"UPDATE state SET first = 3 WHERE key = 'step-7'", "state step step-7"},
        {"DELETE FROM state WHERE key = 'step-7'", "state step step-7"},
        {"INSERT INTO state VALUES ('freeze', 'x', 1, 1, '{}', 1)", "state freeze x"},
        {"UPDATE state SET seq = (SELECT min(seq) FROM log WHERE key = 'run-1'), doc = (SELECT doc "
         "FROM "
         "log WHERE key = 'run-1' ORDER BY seq LIMIT 1) WHERE key = 'run-1'",
         "state run run-1"},
        {"DELETE FROM token WHERE item = 'item-9' AND scope = 'budget'",
         "the token item-9 of budget"},
        {"UPDATE token SET t_ms = t_ms - 3600000 WHERE item = 'item-9'", "the token item-9 of"},
        {"UPDATE token SET scope = 'other' WHERE item = 'item-9' AND scope = 'budget'",
         "the token item-9"},
        {"INSERT INTO token VALUES (1, 's', 'x', 1)", "the token x of s is not in the log"},
        {"UPDATE source SET doc = '{\"lua\":\"evil\"}' WHERE hash = 'hash-6'", "the source hash-6"},
        {"DELETE FROM source WHERE hash = 'hash-6'", "source hash-6"},
        {"CREATE TRIGGER widen AFTER INSERT ON token BEGIN DELETE FROM token; END",
         "trigger widen is not one of the agent's"},
        {"CREATE VIEW seen AS SELECT 1", "view seen is not one of the agent's"},
        {"CREATE INDEX quick ON log (kind)", "index quick is not one of the agent's"},
        {"DROP INDEX token_window", "an index is missing"},
        {"DROP INDEX token_window; CREATE INDEX token_window ON token (scope)",
         "index token_window is not one of the agent's"},
        {"INSERT INTO source VALUES ('hash-x', '{}')", ONLY_AUDIT},
    };
    struct findings f;
    struct journal_audit a;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        change(cases[i].sql);
        assert_int_equal(audit(copy_path, NULL, &f, &a), 0);
        if (!f.n || !strstr(f.first, cases[i].says))
            fail_msg("%s: found %d, first: %s", cases[i].sql, f.n, f.first);
        /* And an agent does not start on it. */
        struct err e = ERR_INIT;
        bool refused = newest(INT64_MAX, &e) != 0;
        if (refused == !strcmp(cases[i].says, ONLY_AUDIT))
            fail_msg("%s: an opening says \"%s\"", cases[i].sql, e.text);
        if (refused && (e.code != ERR_INPUT || !strstr(e.text, cases[i].says)))
            fail_msg("%s: an opening says \"%s\"", cases[i].sql, e.text);
    }
}

/* A start reads the newest rows; of what is older, the open states and the tokens that are there.
 */
static void test_the_newest_rows(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *says;
    } cases[] = {
        {"SELECT 1", NULL},
        {"UPDATE log SET doc = '{}' WHERE seq = (SELECT max(seq) FROM log) - 99", "was changed"},
        {"UPDATE log SET doc = '{}' WHERE seq = (SELECT max(seq) FROM log) - 100", NULL},
        {"DELETE FROM log WHERE seq = (SELECT max(seq) FROM log) - 99", "are missing"},
        {"UPDATE log SET prev = zeroblob(32) WHERE seq = (SELECT max(seq) FROM log) - 99",
         "was changed"},
        {"DELETE FROM token WHERE seq = (SELECT max(seq) FROM token)",
         "its limit would be exceeded"},
        {"DELETE FROM state WHERE seq = (SELECT max(seq) FROM state)", "is missing"},
        {"UPDATE state SET doc = '{}' WHERE seq = (SELECT max(seq) FROM state)", "is not what"},
        {"UPDATE token SET t_ms = t_ms - 3600000 WHERE item = 'item-9'", "the token item-9 of"},
        {"UPDATE token SET item = 'other' WHERE item = 'item-9'", "the token other of"},
        {"INSERT INTO token VALUES (1, 's', 'x', 1)", "the token x of s is not in the log"},
        {"INSERT INTO state VALUES ('freeze', 'x', 1, 1, '{}', 1)", "state freeze x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        change(cases[i].sql);
        int code = newest(100, &e);
        if (code != (cases[i].says ? ERR_INPUT : 0) || (code && !strstr(e.text, cases[i].says)))
            fail_msg("%s: %s", cases[i].sql, e.text);
    }
}

/* Someone who knows how, and makes all of it fit: only the witness tells. */
static void test_a_cut_that_fits_is_found_by_the_witness(void **state)
{
    (void)state;
    static const char cut[] =
        "DELETE FROM log WHERE seq > 250;"
        "UPDATE meta SET head_seq = 250, head_hash = (SELECT hash FROM log WHERE seq = 250);"
        "DELETE FROM token WHERE seq > 250; DELETE FROM state;"
        "INSERT INTO state SELECT kind, key, min(seq), max(seq), doc, open FROM log "
        "WHERE kind NOT IN ('token', 'source') GROUP BY kind, key;"
        "DELETE FROM source WHERE hash NOT IN (SELECT key FROM log WHERE kind = 'source')";
    struct findings f;
    struct journal_audit a;
    change(cut);
    /* Tokens that were given back after the cut are there again. */
    struct err e = ERR_INIT;
    struct sqlite3 *db = db_open(copy_path, NULL, true, &e);
    assert_int_equal(
        db_exec(db,
                "INSERT OR IGNORE INTO token SELECT seq, key, json_extract(doc, '$.item'), t_ms "
                "FROM log l WHERE kind = 'token' AND json_extract(doc, '$.op') = 'take' AND NOT "
                "EXISTS (SELECT 1 FROM log g WHERE g.kind = 'token' AND g.key = l.key AND "
                "json_extract(g.doc, '$.item') = json_extract(l.doc, '$.item') AND "
                "json_extract(g.doc, '$.op') = 'give_back')",
                &e),
        0);
    db_close(db);
    assert_int_equal(audit(copy_path, NULL, &f, &a), 0);
    if (f.n)
        fail_msg("without a witness nothing should be found, but: %s", f.first);
    struct journal_witness old = {.seq = 250};
    memcpy(old.hex, a.head.hex, sizeof old.hex);
    assert_int_equal(audit(copy_path, &old, &f, &a), 0);
    assert_int_equal(f.n, 0);
    assert_int_equal(audit(copy_path, &head, &f, &a), 0);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.seq, head.seq);
    assert_non_null(strstr(f.first, "cut off after row 250"));
    /* A witness of a row that was written anew. */
    old.hex[0] = old.hex[0] == '0' ? '1' : '0';
    assert_int_equal(audit(copy_path, &old, &f, &a), 0);
    assert_int_equal(f.n, 1);
    assert_non_null(strstr(f.first, "not the one that the witness saw"));
}

/* Everything of log, state, token and source, as one text. */
static char *dump(const char *path)
{
    static const char *const queries[] = {
        "SELECT seq || ' ' || t_ms || ' ' || wall_ms || ' ' || open || kind || key || doc || "
        "hex(prev) || "
        "hex(hash) FROM log ORDER BY seq",
        "SELECT kind || key || first || ' ' || seq || doc || open FROM state ORDER BY kind, key",
        "SELECT seq || scope || item || t_ms FROM token ORDER BY seq",
        "SELECT hash || doc FROM source ORDER BY hash",
    };
    struct err e = ERR_INIT;
    struct buf b;
    buf_init(&b, 4 << 20);
    struct sqlite3 *db = db_open(path, NULL, false, &e);
    for (size_t i = 0; db && i < sizeof queries / sizeof *queries; i++) {
        struct sqlite3_stmt *q = db_query(db, &e, queries[i], "");
        while (db_row(q, &e) > 0)
            buf_adds(&b, db_text(q, 0));
        db_end(q);
    }
    db_close(db);
    return buf_take(&b);
}

/* One bit of the file, anywhere: found, or of no consequence (free space, samples, who made it). */
static void test_flipped_bits(void **state)
{
    (void)state;
    char *before = dump(folder.path), *data = mem_alloc(original_size);
    uint64_t r = 12345;
    int detected = 0, harmless = 0, points = 100;
    memcpy(data, original, original_size);
    for (int i = 0; i < points; i++) {
        struct findings f;
        struct journal_audit a;
        r = r * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(r >> 20) % original_size;
        char bit = (char)(1 << (r >> 17) % 8);
        data[at] ^= bit;
        write_copy(data, original_size);
        data[at] ^= bit;
        if (audit(copy_path, &head, &f, &a) || f.n) {
            detected++;
            continue;
        }
        harmless++;
        char *after = dump(copy_path);
        if (strcmp(before, after) != 0)
            fail_msg("bit %d of byte %zu changed what is read, and was not found", bit, at);
        mem_free(after);
    }
    assert_true(detected > points / 2);
    assert_true(harmless > 0);
    mem_free(before);
    mem_free(data);
}

static void test_what_is_no_journal(void **state)
{
    (void)state;
    struct findings f;
    struct journal_audit a;
    char text[600];
    memset(text, 'x', sizeof text);
    assert_int_equal(audit("/tmp/rb_no_such_journal", NULL, &f, &a), ERR_NOT_FOUND);
    write_copy(text, sizeof text);
    assert_int_equal(audit(copy_path, NULL, &f, &a), ERR_INPUT);
    write_copy("", 0);
    assert_int_equal(audit(copy_path, NULL, &f, &a), ERR_NOT_FOUND);
    change("PRAGMA user_version = 9");
    assert_int_equal(audit(copy_path, NULL, &f, &a), ERR_STATE);
    change("DELETE FROM meta");
    assert_int_equal(audit(copy_path, NULL, &f, &a), ERR_INPUT);
}

static void test_witness_texts(void **state)
{
    (void)state;
    struct journal_witness w;
    struct err e = ERR_INIT;
    char text[128];
    snprintf(text, sizeof text, "%lld:%s", (long long)head.seq, head.hex);
    assert_int_equal(journal_witness_parse(text, &w, &e), 0);
    assert_int_equal(w.seq, head.seq);
    assert_string_equal(w.hex, head.hex);
    static const char *const bad[] = {"", ":", "12", "12:", "x:00", "12:00", "-1:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(journal_witness_parse(bad[i], &w, &e), ERR_INPUT);
    text[strlen(text) - 1] = 'X';
    assert_int_equal(journal_witness_parse(text, &w, &e), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_untouched_journal),
        cmocka_unit_test(test_each_change_is_found),
        cmocka_unit_test(test_the_newest_rows),
        cmocka_unit_test(test_a_cut_that_fits_is_found_by_the_witness),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_what_is_no_journal),
        cmocka_unit_test(test_witness_texts),
    };
    return cmocka_run_group_tests(tests, write_journal, remove_journal);
}
