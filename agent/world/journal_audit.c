/* Checks a journal against its hash chain, its witnesses and itself: all of it, or its newest rows.
 */
#include "world/journal_audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/db.h"
#include "world/journal_db.h"

#define REPORTS_MAX 1000

struct taking { /* a token, as the log has it */
    int64_t seq, t_ms;
    char *scope, *item;
    bool given_back;
};

struct audit {
    struct sqlite3 *db;
    struct journal_audit *out;
    void (*report)(void *arg, int64_t seq, const char *text);
    void *arg;
    const struct journal_witness *witness;
    size_t nwitness;
    struct journal_meta meta;
    struct journal_clock clock;
    int64_t since;      /* the rows of log after this one; 0: all */
    struct err trouble; /* the first reading that did not go through */
    struct taking *takings;
    size_t ntakings, cap;
};

static void found(struct audit *a, int64_t seq, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void found(struct audit *a, int64_t seq, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    if (a->out->findings++ < REPORTS_MAX && a->report)
        a->report(a->arg, seq, text);
    mem_free(text);
}

/* A table that cannot be read to its end is a finding too: the rest is still looked at. */
static void found_unreadable(struct audit *a, const char *table, const struct err *e)
{
    found(a, 0, "%s cannot be read to its end: %s", table, e->text);
    if (!a->trouble.code)
        a->trouble = *e;
}

int journal_witness_parse(const char *text, struct journal_witness *w, struct err *e)
{
    char *end = NULL;
    long long seq = strtoll(text, &end, 10);
    const char *hex = end && *end == ':' ? end + 1 : "";
    if (end == text || seq < 0 || strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
        return err_set(e, ERR_INPUT,
                       "a witness is SEQ:HASH as a report carries it (a number, a colon, 64 "
                       "lower-case hex digits), not \"%.100s\"",
                       text);
    w->seq = seq;
    memcpy(w->hex, hex, sizeof w->hex);
    return 0;
}

static void check_structure(struct audit *a)
{
    struct err e = ERR_INIT;
    struct sqlite3_stmt *q = db_query(a->db, &e, "PRAGMA integrity_check(20)", "");
    int r;
    while ((r = db_row(q, &e)) > 0)
        if (strcmp(db_text(q, 0), "ok") != 0)
            found(a, 0, "the file is damaged: %s", db_text(q, 0));
    db_end(q);
    if (r < 0)
        found_unreadable(a, "the file", &e);
}

/* The tables are ours, and nothing else is there: a trigger would write along with every
 * transaction. */
static void check_schema(struct audit *a)
{
    struct err e = ERR_INIT;
    struct sqlite3_stmt *q =
        db_query(a->db, &e, "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL", "");
    int n = 0, r;
    while ((r = db_row(q, &e)) > 0) {
        n++;
        if (!journal_db_has(db_text(q, 2)))
            found(a, 0, "%s %s is not one of the agent's", db_text(q, 0), db_text(q, 1));
    }
    db_end(q);
    if (r < 0)
        found_unreadable(a, "the schema", &e);
    else if (n < journal_db_parts())
        found(a, 0, "a table or an index is missing: %d of %d are there", n, journal_db_parts());
}

/* Tokens, as the log tells of them. */

static void note_token(struct audit *a, int64_t seq, int64_t t_ms, const char *scope,
                       const char *text)
{
    struct json *doc = json_parse(text, strlen(text), strlen(text), NULL);
    const char *item = json_get_str(doc, "item", NULL), *op = json_get_str(doc, "op", "");
    if (!item) {
        found(a, seq, "row %lld: not a token's document", (long long)seq);
    } else if (strcmp(op, "take") == 0) {
        if (a->ntakings == a->cap) {
            a->cap = a->cap ? 2 * a->cap : 64;
            a->takings = mem_realloc(a->takings, a->cap * sizeof *a->takings);
        }
        a->takings[a->ntakings++] = (struct taking){
            .seq = seq, .t_ms = t_ms, .scope = mem_strdup(scope), .item = mem_strdup(item)};
    } else {
        for (size_t i = a->ntakings; i-- > 0;) {
            struct taking *t = &a->takings[i];
            if (!t->given_back && strcmp(t->scope, scope) == 0 && strcmp(t->item, item) == 0) {
                t->given_back = true;
                break;
            }
        }
    }
    json_free(doc);
}

/* The log. */

static void check_witnesses(struct audit *a, const struct chain *c)
{
    char hex[SHA256_HEX];
    hex_encode(c->hash, SHA256_LEN, hex);
    for (size_t i = 0; i < a->nwitness; i++)
        if (a->witness[i].seq == c->seq && strcmp(a->witness[i].hex, hex) != 0)
            found(a, c->seq,
                  "row %lld is not the one that the witness saw: its hash is %s, the witness "
                  "has %s",
                  (long long)c->seq, hex, a->witness[i].hex);
}

static bool hash_is(struct sqlite3_stmt *q, int column, const uint8_t hash[SHA256_LEN])
{
    size_t len;
    const void *p = db_blob(q, column, &len);
    return len == SHA256_LEN && memcmp(p, hash, SHA256_LEN) == 0;
}

static void check_row(struct audit *a, struct sqlite3_stmt *q, struct chain *c)
{
    int64_t seq = db_int(q, 0);
    struct chain_row row = {.t_ms = db_int(q, 1),
                            .wall_ms = db_int(q, 2),
                            .kind = db_text(q, 3),
                            .key = db_text(q, 4),
                            .doc = db_text(q, 5),
                            .open = db_int(q, 6) != 0};
    if (a->since && a->out->rows == 0) { /* what the newest rows stand on is taken as it is */
        size_t len;
        const void *prev = db_blob(q, 7, &len);
        memcpy(c->hash, prev, len < SHA256_LEN ? len : SHA256_LEN);
    }
    if (seq != c->seq + 1)
        found(a, seq, "rows %lld to %lld are missing", (long long)c->seq + 1, (long long)seq - 1);
    c->seq = seq - 1;
    if (!hash_is(q, 7, c->hash))
        found(a, seq, "row %lld does not follow the row before it", (long long)seq);
    /* The row's own hash stands on the link that it names, so that one changed row is one finding.
     */
    if (db_int(q, 6) != row.open)
        found(a, seq, "row %lld is neither open (1) nor closed (0)", (long long)seq);
    size_t len;
    const void *prev = db_blob(q, 7, &len);
    memset(c->hash, 0, SHA256_LEN);
    memcpy(c->hash, prev, len < SHA256_LEN ? len : SHA256_LEN);
    chain_add(c, &row);
    if (!hash_is(q, 8, c->hash)) {
        found(a, seq, "row %lld (%s %s) was changed: its content does not have its hash",
              (long long)seq, row.kind, row.key);
        const void *hash = db_blob(q, 8, &len);
        memset(c->hash, 0, SHA256_LEN);
        memcpy(c->hash, hash, len < SHA256_LEN ? len : SHA256_LEN);
    }
    check_witnesses(a, c);
    if (strcmp(row.kind, "token") == 0)
        note_token(a, seq, row.t_ms, row.key, row.doc);
    if (a->out->rows++ == 0)
        a->out->first_wall_ms = row.wall_ms;
    a->out->last_wall_ms = row.wall_ms;
}

static void check_log(struct audit *a)
{
    struct err e = ERR_INIT;
    struct chain c = {.seq = a->since};
    struct sqlite3_stmt *q = db_query(a->db, &e,
                                      "SELECT seq, t_ms, wall_ms, kind, key, doc, open, prev, hash "
                                      "FROM log NOT INDEXED WHERE seq > ? ORDER BY seq",
                                      "i", a->since);
    int r;
    while ((r = db_row(q, &e)) > 0)
        check_row(a, q, &c);
    db_end(q);
    if (r < 0)
        found_unreadable(a, "log", &e);
    if (c.seq != a->meta.head.seq || memcmp(c.hash, a->meta.head.hash, SHA256_LEN) != 0)
        found(a, c.seq, "the log ends at row %lld, but meta says it ended at row %lld%s",
              (long long)c.seq, (long long)a->meta.head.seq,
              c.seq == a->meta.head.seq ? " with another hash" : "");
    for (size_t i = 0; i < a->nwitness; i++)
        if (a->witness[i].seq > c.seq)
            found(a, a->witness[i].seq,
                  "row %lld, which a witness saw, is missing: the log was cut off "
                  "after row %lld",
                  (long long)a->witness[i].seq, (long long)c.seq);
    a->out->head.seq = c.seq;
    hex_encode(c.hash, SHA256_LEN, a->out->head.hex);
}

/* What the log says now. */

static void check_each(struct audit *a, const char *table, const char *sql, const char *what)
{
    struct err e = ERR_INIT;
    struct sqlite3_stmt *q = db_query(a->db, &e, sql, "i", a->since);
    int r;
    while ((r = db_row(q, &e)) > 0)
        found(a, db_int(q, 2), "%s %s%s%s %s", table, db_text(q, 0), *db_text(q, 1) ? " " : "",
              db_text(q, 1), what);
    db_end(q);
    if (r < 0)
        found_unreadable(a, table, &e);
}

static int64_t count(struct audit *a, const char *sql)
{
    struct err e = ERR_INIT;
    struct sqlite3_stmt *q = db_query(a->db, &e, sql, "");
    int64_t n = db_row(q, &e) > 0 ? db_int(q, 0) : 0;
    db_end(q);
    return n;
}

/* Of older rows those that are open: they are what a start takes up. */
static void check_state(struct audit *a)
{
    check_each(a, "state",
               "SELECT s.kind, s.key, s.seq FROM state s LEFT JOIN log l ON l.seq = s.seq LEFT "
               "JOIN log f ON f.seq = s.first WHERE (s.open <> 0 OR s.seq > ?1) AND "
               "(l.seq IS NULL OR l.kind <> s.kind OR l.key <> s.key OR l.doc <> s.doc OR "
               "l.open <> s.open OR f.seq IS NULL OR f.kind <> s.kind OR f.key <> s.key)",
               "is not what the log says");
    check_each(
        a, "state",
        "SELECT l.kind, l.key, l.last FROM (SELECT kind, key, min(seq) AS first, max(seq) AS last "
        "FROM log WHERE seq > ?1 AND kind NOT IN ('token', 'source') GROUP BY kind, key) l "
        "LEFT JOIN state s ON s.kind = l.kind AND s.key = l.key "
        "WHERE s.seq IS NULL OR s.seq <> l.last OR (s.first > ?1 AND s.first <> l.first)",
        "is missing or not the newest one of the log");
}

/* A token that was taken before what is read: by its own row of the log. */
static void check_old_token(struct audit *a, struct sqlite3_stmt *q)
{
    const char *text = db_text(q, 6);
    struct json *doc = json_parse(text, strlen(text), strlen(text), NULL);
    if (strcmp(db_text(q, 4), db_text(q, 1)) != 0 || db_int(q, 5) != db_int(q, 3) ||
        strcmp(json_get_str(doc, "item", ""), db_text(q, 2)) != 0)
        found(a, db_int(q, 0), "the token %s of %s is not in the log", db_text(q, 2),
              db_text(q, 1));
    json_free(doc);
}

static void check_tokens(struct audit *a)
{
    struct err e = ERR_INIT;
    int64_t kept_since = a->clock.last_t_ms - JOURNAL_TOKEN_KEEP_MS;
    struct sqlite3_stmt *q = db_query(a->db, &e,
                                      "SELECT t.seq, t.scope, t.item, t.t_ms, l.key, l.t_ms, l.doc "
                                      "FROM token t NOT INDEXED LEFT JOIN log l ON l.seq = t.seq "
                                      "AND t.seq <= ? AND l.kind = 'token' ORDER BY t.seq",
                                      "i", a->since);
    size_t i = 0;
    int r;
    for (;;) {
        r = db_row(q, &e);
        int64_t seq = r > 0 ? db_int(q, 0) : INT64_MAX;
        for (; i < a->ntakings && a->takings[i].seq < seq; i++) {
            const struct taking *t = &a->takings[i];
            if (!t->given_back && t->t_ms >= kept_since && r >= 0)
                found(a, t->seq,
                      "the token %s of %s, taken in row %lld, is missing: its limit would be "
                      "exceeded",
                      t->item, t->scope, (long long)t->seq);
        }
        if (r <= 0)
            break;
        a->out->tokens++;
        if (seq <= a->since) {
            check_old_token(a, q);
            continue;
        }
        const struct taking *t = i < a->ntakings ? &a->takings[i] : NULL;
        if (!t || t->seq != seq || t->given_back || t->t_ms != db_int(q, 3) ||
            strcmp(t->scope, db_text(q, 1)) != 0 || strcmp(t->item, db_text(q, 2)) != 0)
            found(a, seq, "the token %s of %s is not in the log", db_text(q, 2), db_text(q, 1));
        if (t && t->seq == seq)
            i++;
    }
    db_end(q);
    if (r < 0)
        found_unreadable(a, "token", &e);
}

static void check_sources(struct audit *a)
{
    struct err e = ERR_INIT;
    struct sqlite3_stmt *q = db_query(a->db, &e,
                                      "SELECT l.key, s.doc, l.doc, l.seq FROM log l JOIN source s "
                                      "ON s.hash = l.key WHERE l.kind = 'source' AND l.seq > ?",
                                      "i", a->since);
    int r;
    while ((r = db_row(q, &e)) > 0) {
        char sha[SHA256_HEX];
        const char *text = db_text(q, 1), *says = db_text(q, 2);
        sha256_hex(text, strlen(text), sha);
        struct json *doc = json_parse(says, strlen(says), strlen(says), NULL);
        if (strcmp(json_get_str(doc, "sha256", ""), sha) != 0)
            found(a, db_int(q, 3), "the source %s is not the one that the log says was stored",
                  db_text(q, 0));
        json_free(doc);
    }
    db_end(q);
    if (r < 0)
        found_unreadable(a, "source", &e);
    check_each(a, "source",
               "SELECT l.key, '', l.seq FROM log l LEFT JOIN source s ON s.hash = l.key "
               "WHERE l.kind = 'source' AND l.seq > ?1 AND s.hash IS NULL",
               "is missing");
}

/* A source that the log does not know: only all of the log can tell. */
static void check_strange_sources(struct audit *a)
{
    check_each(a, "source",
               "SELECT hash, '', ?1 FROM source WHERE hash NOT IN "
               "(SELECT key FROM log WHERE kind = 'source')",
               "is not one that the log says was stored");
}

static void audit_end(struct audit *a)
{
    for (size_t i = 0; i < a->ntakings; i++) {
        mem_free(a->takings[i].scope);
        mem_free(a->takings[i].item);
    }
    mem_free(a->takings);
}

/* meta says when the last transaction was; what the steady clock goes by, the log says. */
static void check_clock(struct audit *a)
{
    struct err e = ERR_INIT;

    if (journal_db_clock(a->db, &a->clock, &e))
        found_unreadable(a, "state", &e);
    else if (a->clock.boot_id[0] && (strcmp(a->clock.boot_id, a->meta.boot_id) != 0 ||
                                     a->meta.steady_ms - a->meta.boot_ms != a->clock.offset_ms))
        found(a, a->meta.head.seq,
              "the clocks in meta are not what the log says: limits would count wrongly");
}

static void check_rows(struct audit *a)
{
    check_schema(a);
    check_clock(a);
    check_log(a);
    check_state(a);
    check_tokens(a);
    check_sources(a);
}

static void keep_first(void *arg, int64_t seq, const char *text)
{
    char **first = arg;
    (void)seq;
    if (!*first)
        *first = mem_strdup(text);
}

int journal_verify_newest(struct sqlite3 *db, int64_t rows, struct err *e)
{
    struct journal_audit out = {0};
    char *first = NULL;
    struct audit a = {
        .db = db, .out = &out, .report = keep_first, .arg = &first, .trouble = ERR_INIT};
    int code = journal_db_meta(db, &a.meta, e);
    if (code)
        return code;
    a.since = a.meta.head.seq > rows ? a.meta.head.seq - rows : 0;
    check_rows(&a);
    if (a.trouble.code)
        code = err_set(e, a.trouble.code, "%s", a.trouble.text);
    else if (first)
        code = err_set(e, ERR_INPUT,
                       "the journal was changed by something else than the agent: %s: see what "
                       "\"runbookd audit\" says, then restore it from a copy or move it away",
                       first);
    mem_free(first);
    audit_end(&a);
    return code;
}

int journal_verify_db(struct sqlite3 *db, const struct journal_witness *witness, size_t nwitness,
                      void (*report)(void *arg, int64_t seq, const char *text), void *arg,
                      struct journal_audit *out, struct err *e)
{
    struct audit a = {.db = db,
                      .trouble = ERR_INIT,
                      .out = out,
                      .report = report,
                      .arg = arg,
                      .witness = witness,
                      .nwitness = nwitness};
    *out = (struct journal_audit){0};
    /* One reading transaction: the agent may go on writing meanwhile. */
    int code = db_exec(db, "BEGIN", e);
    if (!code)
        code = journal_db_check(db, e);
    if (code > 0)
        code = err_set(e, ERR_NOT_FOUND, "the file is empty: no agent ever wrote a journal to it");
    if (!code)
        code = journal_db_meta(db, &a.meta, e);
    if (!code) {
        check_structure(&a);
        check_rows(&a);
        check_strange_sources(&a);
        out->states = count(&a, "SELECT count(*) FROM state");
        out->sources = count(&a, "SELECT count(*) FROM source");
    }
    audit_end(&a);
    db_reset_all(db);
    if (db_in_transaction(db))
        db_exec(db, "ROLLBACK", NULL);
    return code;
}

int journal_verify(const char *path, const struct journal_witness *witness, size_t nwitness,
                   void (*report)(void *arg, int64_t seq, const char *text), void *arg,
                   struct journal_audit *out, struct err *e)
{
    struct sqlite3 *db = db_open(path, NULL, false, e);
    if (!db)
        return e ? e->code : ERR_IO;
    int code = journal_verify_db(db, witness, nwitness, report, arg, out, e);
    if (code)
        err_wrap(e, "%s", path);
    db_close(db);
    return code;
}
