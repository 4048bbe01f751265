/* The journal's tables in SQLite. */
#include "world/journal_db.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/db.h"

/* Texts compare by bytes. log is the truth; state, token and source are what it says now, kept so
 * that a start need not read all of it. */
static const char schema[] =
    "CREATE TABLE meta ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " created_by TEXT NOT NULL, created_wall_ms INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL,"                               /* raised by each opening: the lease */
    " head_seq INTEGER NOT NULL, head_hash BLOB NOT NULL,"   /* the chain's end */
    " steady_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL," /* the last transaction's clocks */
    " boot_ms INTEGER NOT NULL, boot_id TEXT NOT NULL) STRICT;"
    "CREATE TABLE log ("
    " seq INTEGER PRIMARY KEY,"
    " t_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL,"
    " kind TEXT NOT NULL, key TEXT NOT NULL, doc TEXT NOT NULL, open INTEGER NOT NULL,"
    " prev BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE state ("
    " kind TEXT NOT NULL, key TEXT NOT NULL,"
    " first INTEGER NOT NULL, seq INTEGER NOT NULL," /* rows of log: first and last of this key */
    " doc TEXT NOT NULL, open INTEGER NOT NULL,"
    " PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX state_newest ON state (kind, seq);"
    "CREATE INDEX state_open ON state (kind, first) WHERE open = 1;"
    "CREATE TABLE token ("
    " seq INTEGER PRIMARY KEY," /* the row of log that took it */
    " scope TEXT NOT NULL, item TEXT NOT NULL, t_ms INTEGER NOT NULL) STRICT;"
    "CREATE INDEX token_window ON token (scope, t_ms, item);"
    "CREATE INDEX token_item ON token (scope, item, seq);"
    "CREATE TABLE source (hash TEXT PRIMARY KEY, doc TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE samples ("
    " series TEXT NOT NULL, day_ms INTEGER NOT NULL, packed BLOB NOT NULL,"
    " PRIMARY KEY (series, day_ms)) STRICT, WITHOUT ROWID;";

bool journal_db_has(const char *sql)
{
    const char *at = strstr(schema, sql);
    return at && strncmp(sql, "CREATE ", 7) == 0 && at[strlen(sql)] == ';';
}

int journal_db_parts(void)
{
    int n = 0;
    for (const char *p = schema; *p; p++)
        n += *p == ';';
    return n;
}

static int pragma(struct sqlite3 *db, const char *sql, int64_t *out, struct err *e)
{
    struct sqlite3_stmt *q = db_query(db, e, sql, "");
    int r = db_row(q, e);
    if (r > 0)
        *out = db_int(q, 0);
    db_end(q);
    return r < 0 ? r : 0;
}

int journal_db_check(struct sqlite3 *db, struct err *e)
{
    int64_t magic = 0, version = 0, tables = 0;
    int code = pragma(db, "PRAGMA application_id", &magic, e);
    if (!code)
        code = pragma(db, "PRAGMA user_version", &version, e);
    if (!code)
        code = pragma(db, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (code)
        return code;
    if (!magic && !version && !tables)
        return 1;
    if (magic != JOURNAL_MAGIC)
        return err_set(e, ERR_INPUT,
                       "the file is a SQLite database, but no runbookd journal "
                       "(application_id %lld); move it away",
                       (long long)magic);
    if (version > JOURNAL_SCHEMA)
        return err_set(e, ERR_STATE,
                       "the journal has schema version %lld, written by a newer "
                       "runbookd; this one knows versions up to %d: run the newer one, or move the "
                       "journal away",
                       (long long)version, JOURNAL_SCHEMA);
    if (version != JOURNAL_SCHEMA)
        return err_set(e, ERR_INPUT,
                       "the journal has schema version %lld, which never existed; "
                       "restore it from a copy or move it away",
                       (long long)version);
    return 0;
}

int journal_db_create(struct sqlite3 *db, const char *created_by, int64_t wall_ms, struct err *e)
{
    char version[80];
    static const uint8_t none[SHA256_LEN];
    int code = db_exec(db, schema, e);
    if (code)
        return code;
    snprintf(version, sizeof version, "PRAGMA application_id=%d; PRAGMA user_version=%d;",
             JOURNAL_MAGIC, JOURNAL_SCHEMA);
    code = db_exec(db, version, e);
    if (code)
        return code;
    return db_run(db, e, NULL, "INSERT INTO meta VALUES (1, ?, ?, 0, 0, ?, 0, 0, 0, '')", "tib",
                  created_by ? created_by : "", wall_ms, none, sizeof none);
}

static int bad_head(struct err *e)
{
    err_set(e, ERR_INPUT,
            "the journal's meta row is missing or damaged; restore the journal "
            "from a copy or move it away");
    return ERR_INPUT;
}

static int read_hash(struct sqlite3_stmt *q, int column, uint8_t out[SHA256_LEN], struct err *e)
{
    size_t len;
    const void *p = db_blob(q, column, &len);
    if (len != SHA256_LEN)
        return bad_head(e);
    memcpy(out, p, SHA256_LEN);
    return 0;
}

int journal_db_meta(struct sqlite3 *db, struct journal_meta *m, struct err *e)
{
    struct sqlite3_stmt *q = db_query(
        db, e, "SELECT epoch, steady_ms, wall_ms, boot_ms, boot_id, head_seq, head_hash FROM meta",
        "");
    int r = db_row(q, e);
    if (r == 0)
        r = bad_head(e);
    if (r > 0) {
        m->epoch = db_int(q, 0);
        m->steady_ms = db_int(q, 1);
        m->wall_ms = db_int(q, 2);
        m->boot_ms = db_int(q, 3);
        snprintf(m->boot_id, sizeof m->boot_id, "%s", db_text(q, 4));
        m->head.seq = db_int(q, 5);
        r = read_hash(q, 6, m->head.hash, e);
    }
    db_end(q);
    return r;
}

int journal_db_clock(struct sqlite3 *db, struct journal_clock *k, struct err *e)
{
    struct sqlite3_stmt *q =
        db_query(db, e, "SELECT doc FROM state WHERE kind = 'clock' AND key = 'agent'", "");
    int r = db_row(q, e);

    *k = (struct journal_clock){0};
    if (r > 0) {
        const char *text = db_text(q, 0);
        struct json *doc = json_parse(text, strlen(text), strlen(text), NULL);
        snprintf(k->boot_id, sizeof k->boot_id, "%s", json_get_str(doc, "boot_id", ""));
        k->offset_ms = json_get_int(doc, "offset_ms", 0);
        json_free(doc);
    }
    db_end(q);
    if (r < 0)
        return r;
    q = db_query(db, e, "SELECT t_ms, wall_ms FROM log ORDER BY seq DESC LIMIT 1", "");
    r = db_row(q, e);
    if (r > 0) {
        k->last_t_ms = db_int(q, 0);
        k->last_wall_ms = db_int(q, 1);
    }
    db_end(q);
    return r < 0 ? r : 0;
}

/* Writing. */

static int append(struct sqlite3 *db, const struct chain_row *r, struct chain *c, struct err *e)
{
    uint8_t prev[SHA256_LEN];
    memcpy(prev, c->hash, SHA256_LEN);
    chain_add(c, r);
    return db_run(db, e, NULL, "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "iiitttibb",
                  c->seq, r->t_ms, r->wall_ms, r->kind, r->key, r->doc, (int64_t)r->open, prev,
                  sizeof prev, c->hash, sizeof c->hash);
}

static int one_int(struct sqlite3_stmt *q, int64_t *out, struct err *e)
{
    int r = db_row(q, e);
    if (r > 0)
        *out = db_int(q, 0);
    db_end(q);
    return r < 0 ? r : 0;
}

static int check_token(struct sqlite3 *db, const struct jtx *tx, const struct jop *op,
                       char **denied, struct err *e)
{
    int64_t since = tx->now_ms - op->window_ms, mine = 0, others = 0;
    if (op->max < 0)
        return 0;
    int r = one_int(db_query(db, e,
                             "SELECT count(*) FROM token WHERE scope = ? AND item = ? AND t_ms > ?",
                             "tti", op->scope, op->item, since),
                    &mine, e);
    if (r || mine)
        return r;
    r = one_int(db_query(db, e,
                         "SELECT count(DISTINCT item) FROM token WHERE scope = ? AND t_ms > ?",
                         "ti", op->scope, since),
                &others, e);
    if (r || others < op->max)
        return r;
    *denied = mem_strdup(op->scope);
    return err_set(e, ERR_DENIED, "no token left of %s: at most %d within %lld ms", op->scope,
                   op->max, (long long)op->window_ms);
}

static int apply_samples(struct sqlite3 *db, const struct journal_lease *l, const struct jop *op,
                         struct err *e)
{
    int code = db_run(db, e, NULL,
                      "INSERT INTO samples VALUES (?, ?, ?) ON CONFLICT (series, day_ms) "
                      "DO UPDATE SET packed = excluded.packed",
                      "tib", op->key, op->at_ms, op->blob, op->blob_len);
    if (code || l->keep_samples_ms <= 0)
        return code;
    return db_run(db, e, NULL, "DELETE FROM samples WHERE series = ? AND day_ms < ?", "ti", op->key,
                  op->at_ms - l->keep_samples_ms);
}

/* What else than the row of log an operation writes. */
static int apply_effect(struct sqlite3 *db, const struct jop *op, const struct chain_row *r,
                        int64_t seq, struct err *e)
{
    switch (op->op) {
    case JOP_PUT:
        return db_run(
            db, e, NULL,
            "INSERT INTO state VALUES (?1, ?2, ?3, ?3, ?4, ?5) ON CONFLICT (kind, key) DO "
            "UPDATE SET seq = excluded.seq, doc = excluded.doc, open = excluded.open",
            "ttiti", r->kind, r->key, seq, r->doc, (int64_t)r->open);
    case JOP_TAKE:
        return db_run(db, e, NULL, "INSERT INTO token VALUES (?, ?, ?, ?)", "itti", seq, op->scope,
                      op->item, r->t_ms);
    case JOP_GIVE_BACK:
        return db_run(db, e, NULL,
                      "DELETE FROM token WHERE seq = "
                      "(SELECT max(seq) FROM token WHERE scope = ? AND item = ?)",
                      "tt", op->scope, op->item);
    case JOP_SOURCE: {
        char sha[SHA256_HEX];
        char *text = chain_source_text(op, sha);
        int code = db_run(db, e, NULL, "INSERT INTO source VALUES (?, ?)", "tt", op->key, text);
        mem_free(text);
        return code;
    }
    case JOP_SAMPLES:
        break;
    }
    return 0;
}

/* Whether a source or a giving back changes anything. */
static int changes_nothing(struct sqlite3 *db, const struct jop *op, struct err *e)
{
    int64_t n = 0;
    int r = 0;
    if (op->op == JOP_SOURCE) {
        r = one_int(db_query(db, e, "SELECT count(*) FROM source WHERE hash = ?", "t", op->key), &n,
                    e);
        return r ? r : n > 0;
    }
    if (op->op == JOP_GIVE_BACK) {
        r = one_int(db_query(db, e, "SELECT count(*) FROM token WHERE scope = ? AND item = ?", "tt",
                             op->scope, op->item),
                    &n, e);
        return r ? r : n == 0;
    }
    return 0;
}

static int apply_op(struct sqlite3 *db, const struct journal_lease *l, const struct jtx *tx,
                    const struct jop *op, char **denied, struct chain *c, struct err *e)
{
    if (op->op == JOP_SAMPLES)
        return apply_samples(db, l, op, e);
    int r = changes_nothing(db, op, e);
    if (r)
        return r < 0 ? r : 0;
    if (op->op == JOP_TAKE && (r = check_token(db, tx, op, denied, e)))
        return r;
    struct chain_row row;
    char *text = chain_row_of(tx, op, &row);
    r = append(db, &row, c, e);
    if (!r)
        r = apply_effect(db, op, &row, c->seq, e);
    mem_free(text);
    return r;
}

int journal_db_apply(struct sqlite3 *db, const struct journal_lease *l, const struct jtx *tx,
                     char **denied, struct chain *head, struct err *e)
{
    /* The lease, the clocks and the head in one statement. */
    struct sqlite3_stmt *q =
        db_query(db, e,
                 "UPDATE meta SET steady_ms = ?, wall_ms = ?, boot_ms = ? "
                 "WHERE epoch = ? RETURNING head_seq, head_hash",
                 "iiii", tx->now_ms, tx->wall_ms, tx->now_ms - l->boot_offset_ms, l->epoch);
    struct chain c = {0};
    int r = db_row(q, e);
    if (r > 0) {
        c.seq = db_int(q, 0);
        r = read_hash(q, 1, c.hash, e);
        if (!r)
            r = db_row(q, e);
    } else if (r == 0) {
        r = err_set(e, ERR_STATE,
                    "the journal's lease was taken by another agent: ours has epoch "
                    "%lld",
                    (long long)l->epoch);
    }
    db_end(q);
    int64_t before = c.seq;
    for (size_t i = 0; i < tx->nops && !r; i++)
        r = apply_op(db, l, tx, &tx->ops[i], denied, &c, e);
    if (!r && c.seq != before)
        r = db_run(db, e, NULL, "UPDATE meta SET head_seq = ?, head_hash = ?", "ib", c.seq, c.hash,
                   sizeof c.hash);
    if (!r)
        *head = c;
    return r;
}

/* Reading. */

void journal_rows_free(struct journal_rows *r)
{
    for (size_t i = 0; i < r->n; i++) {
        mem_free(r->rows[i].a);
        mem_free(r->rows[i].b);
        mem_free(r->rows[i].blob);
    }
    mem_free(r->rows);
    *r = (struct journal_rows){0};
}

struct json *journal_row_doc(const char *text, struct err *e)
{
    size_t len = strlen(text);
    struct json *doc = json_parse(text, len, len, e);
    if (!doc)
        err_wrap(e, "the journal holds a document that is no JSON; see \"runbookd audit\"");
    return doc;
}

/* Columns: a, b, n, blob. */
static int read_rows(struct sqlite3_stmt *q, struct journal_rows *out, struct err *e)
{
    int r;
    while ((r = db_row(q, e)) > 0) {
        if (out->n == out->cap) {
            out->cap = out->cap ? 2 * out->cap : 16;
            out->rows = mem_realloc(out->rows, out->cap * sizeof *out->rows);
        }
        struct journal_row *row = &out->rows[out->n++];
        *row = (struct journal_row){
            .a = mem_strdup(db_text(q, 0)), .b = mem_strdup(db_text(q, 1)), .n = db_int(q, 2)};
        const void *blob = db_blob(q, 3, &row->len);
        row->blob = mem_alloc(row->len);
        memcpy(row->blob, blob, row->len);
    }
    db_end(q);
    return r;
}

/* The least text above all that start with prefix; NULL when there is none. The caller frees. */
static char *after_prefix(const char *prefix)
{
    char *s = mem_strdup(prefix);
    for (size_t n = strlen(s); n > 0; n--) {
        unsigned char c = (unsigned char)s[n - 1];
        if (c != 0xff) {
            s[n - 1] = (char)(c + 1);
            s[n] = '\0';
            return s;
        }
    }
    mem_free(s);
    return NULL;
}

int journal_db_open_rows(struct sqlite3 *db, const char *kind, struct journal_rows *out,
                         struct err *e)
{
    return read_rows(db_query(db, e,
                              "SELECT key, doc, 0, NULL FROM state WHERE kind = ? AND open = 1 "
                              "ORDER BY first",
                              "t", kind),
                     out, e);
}

int journal_db_tokens(struct sqlite3 *db, int64_t since_ms, struct journal_rows *out, struct err *e)
{
    return read_rows(
        db_query(db, e, "SELECT scope, item, t_ms, NULL FROM token WHERE t_ms >= ? ORDER BY seq",
                 "i", since_ms),
        out, e);
}

int journal_db_source(struct sqlite3 *db, const char *hash, struct journal_rows *out, struct err *e)
{
    int r = read_rows(
        db_query(db, e, "SELECT NULL, doc, 0, NULL FROM source WHERE hash = ?", "t", hash), out, e);
    if (!r && out->n == 0)
        return err_set(e, ERR_NOT_FOUND, "the journal holds no source %s", hash);
    return r;
}

int journal_db_query(struct sqlite3 *db, const char *kind, const char *prefix, int limit,
                     struct journal_rows *out, struct err *e)
{
    char *end = after_prefix(prefix);
    int64_t most = limit > 0 ? limit : 0;
    int r;
    if (end)
        r = read_rows(
            db_query(db, e,
                     "SELECT NULL, doc, 0, NULL FROM state WHERE kind = ? AND key >= ? AND "
                     "key < ? ORDER BY seq DESC LIMIT ?",
                     "ttti", kind, prefix, end, most),
            out, e);
    else
        r = read_rows(db_query(db, e,
                               "SELECT NULL, doc, 0, NULL FROM state WHERE kind = ? "
                               "ORDER BY seq DESC LIMIT ?",
                               "ti", kind, most),
                      out, e);
    mem_free(end);
    return r;
}

int journal_db_samples(struct sqlite3 *db, const char *prefix, int64_t since_ms,
                       struct journal_rows *out, struct err *e)
{
    char *end = after_prefix(prefix);
    int r =
        read_rows(db_query(db, e,
                           "SELECT series, NULL, day_ms, packed FROM samples WHERE series >= ? AND "
                           "(?2 IS NULL OR series < ?2) AND day_ms >= ?3 ORDER BY series, day_ms",
                           "tti", prefix, end, since_ms),
                  out, e);
    mem_free(end);
    return r;
}
