/* The journal open for reading only, on the caller's thread: for offline tools. */
#include "base/mem.h"
#include "io/db.h"
#include "world/journal_read.h"
#include "world/sqlite_journal.h"

struct readonly_journal {
    struct journal journal;
    struct sqlite3 *db;
    struct chain head;
};

static int run_here(struct journal *j, struct reading *r, struct err *e)
{
    return reading_work(((struct readonly_journal *)j)->db, r, e);
}

static void ro_submit(struct journal *j, struct jtx *tx, journal_fn *fn, void *arg)
{
    (void)j;
    struct err e = ERR_INIT;
    err_set(&e, ERR_STATE, "the journal is open for reading only");
    jtx_free(tx);
    fn(arg, NULL, &e);
}

static void ro_query(struct journal *j, const char *kind, const char *prefix, int limit,
                     journal_query_fn *fn, void *arg)
{
    struct reading *r = reading_query(kind, prefix, limit, fn, arg);
    struct err e = ERR_INIT;
    run_here(j, r, &e);
    reading_query_done(r, e.code ? &e : NULL);
}

static int ro_each_open(struct journal *j, const char *kind,
                        bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                        struct err *e)
{
    return reading_walk_open(j, run_here, kind, fn, arg, e);
}

static int ro_each_token(struct journal *j, int64_t since_ms,
                         bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                         void *arg, struct err *e)
{
    return reading_walk_tokens(j, run_here, since_ms, fn, arg, e);
}

static struct json *ro_source(struct journal *j, const char *hash, struct err *e)
{
    return reading_source(j, run_here, hash, e);
}

static int ro_each_samples(struct journal *j, const char *prefix, int64_t since_ms,
                           bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                      const void *blob, size_t len),
                           void *arg, struct err *e)
{
    return reading_walk_samples(j, run_here, prefix, since_ms, fn, arg, e);
}

static void ro_head(struct journal *j, char hex[65], int64_t *seq)
{
    const struct chain *c = &((struct readonly_journal *)j)->head;
    hex_encode(c->hash, SHA256_LEN, hex);
    *seq = c->seq;
}

static bool ro_stalled(struct journal *j)
{
    (void)j;
    return false;
}

static void ro_close(struct journal *j)
{
    struct readonly_journal *r = (struct readonly_journal *)j;
    db_close(r->db);
    mem_free(r);
}

static const struct journal_ops ro_ops = {
    .submit = ro_submit,
    .each_open = ro_each_open,
    .each_token = ro_each_token,
    .source = ro_source,
    .query = ro_query,
    .each_samples = ro_each_samples,
    .head = ro_head,
    .stalled = ro_stalled,
    .close = ro_close,
};

struct journal *journal_open_readonly(const char *path, struct err *e)
{
    struct sqlite3 *db = db_open(path, NULL, false, e);
    if (!db)
        return NULL;
    struct journal_meta m;
    int code = journal_db_check(db, e);
    if (code > 0)
        code = err_set(e, ERR_NOT_FOUND, "the file is empty: no agent ever wrote a journal to it");
    if (!code)
        code = journal_db_meta(db, &m, e);
    if (code) {
        err_wrap(e, "%s", path);
        db_close(db);
        return NULL;
    }
    struct readonly_journal *j = mem_alloc(sizeof *j);
    j->journal.ops = &ro_ops;
    j->db = db;
    j->head = m.head;
    return &j->journal;
}
