/* The journal over io/store: the lease, transactions and readings on the store's thread, the steady clock over restarts. */
#include "world/sqlite_journal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/db.h"
#include "io/store.h"
#include "world/journal_db.h"
#include "world/journal_lock.h"

#define AWAY_MAX_MS (30 * 86400000LL)
#define SAMPLES_KEEP_MS (400 * 86400000LL)

struct sqlite_journal {
    struct journal journal;
    struct store *store;
    int lock_fd;
    struct journal_lease lease;
    struct steady_clock clock;
    struct chain head; /* as completed */
};

static struct sqlite_journal *self(const struct journal *j)
{
    return (struct sqlite_journal *)(uintptr_t)j;
}

/* Opening: on the store's thread, in one transaction. */

struct opening {
    struct sqlite_journal *j;
    const char *created_by;
    int64_t boot_ms, wall_ms;
    char boot_id[64];
};

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int read_clocks(struct opening *o, const struct sqlite_journal_options *opt, struct err *e)
{
    if (opt->boot_id) {
        o->boot_ms = opt->boot_ms;
        o->wall_ms = opt->wall_ms;
        snprintf(o->boot_id, sizeof o->boot_id, "%s", opt->boot_id);
        return 0;
    }
    o->boot_ms = read_clock(CLOCK_BOOTTIME);
    o->wall_ms = read_clock(CLOCK_REALTIME);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    bool ok = f && fgets(o->boot_id, sizeof o->boot_id, f) && o->boot_id[0];
    if (f)
        fclose(f);
    if (!ok)
        return err_set(e, ERR_IO, "cannot read /proc/sys/kernel/random/boot_id, which tells whether the "
                       "host was rebooted; is /proc mounted?");
    o->boot_id[strcspn(o->boot_id, "\n")] = '\0';
    return 0;
}

static struct steady_clock go_on(const struct journal_meta *m, const struct opening *o)
{
    struct steady_clock c = {.source = CLOCK_NEW};
    if (!m->boot_id[0]) {
        c.offset_ms = o->wall_ms - o->boot_ms;
        return c;
    }
    if (strcmp(m->boot_id, o->boot_id) == 0 && o->boot_ms >= m->boot_ms) {
        c.source = CLOCK_SAME_BOOT;
        c.away_ms = o->boot_ms - m->boot_ms;
    } else {
        c.source = CLOCK_BY_WALL;
        c.away_ms = o->wall_ms - m->wall_ms;
        c.away_ms = c.away_ms < 0 ? 0 : c.away_ms > AWAY_MAX_MS ? AWAY_MAX_MS : c.away_ms;
    }
    c.offset_ms = m->steady_ms + c.away_ms - o->boot_ms;
    return c;
}

static int open_work(struct sqlite3 *db, void *arg, struct err *e)
{
    struct opening *o = arg;
    struct sqlite_journal *j = o->j;
    struct journal_meta m;
    int r = journal_db_check(db, e);
    if (r > 0)
        r = journal_db_create(db, o->created_by, o->wall_ms, e);
    if (!r)
        r = journal_db_check_tail(db, e);
    if (!r)
        r = journal_db_meta(db, &m, e);
    if (r)
        return r;
    j->clock = go_on(&m, o);
    j->head = m.head;
    j->lease.epoch = m.epoch + 1;
    j->lease.boot_offset_ms = j->clock.offset_ms;
    int64_t steady = o->boot_ms + j->clock.offset_ms;
    r = db_run(db, e, NULL,
               "UPDATE meta SET epoch = ?, steady_ms = ?, wall_ms = ?, boot_ms = ?, boot_id = ?",
               "iiiit", j->lease.epoch, steady, o->wall_ms, o->boot_ms, o->boot_id);
    if (!r)
        r = db_run(db, e, NULL, "DELETE FROM token WHERE t_ms < ?", "i",
                   steady - JOURNAL_TOKEN_KEEP_MS);
    if (!r)
        r = db_run(db, e, NULL, "DELETE FROM samples WHERE day_ms < ?", "i",
                   o->wall_ms - j->lease.keep_samples_ms);
    return r;
}

/* What a thread that hangs in the disk may still read is never freed; it stays in this list, so that it can be told from a leak. */
struct left_behind {
    struct left_behind *next;
    void *what;
};
static struct left_behind *left_behind;

static void leave_behind(void *what)
{
    struct left_behind *l = mem_alloc(sizeof *l);
    l->what = what;
    l->next = left_behind;
    left_behind = l;
}

/* Transactions. */

struct submitted {
    struct sqlite_journal *j;
    struct jtx *tx;
    journal_fn *fn;
    void *arg;
    char *denied;
    struct chain head;
};

static int submit_work(struct sqlite3 *db, void *arg, struct err *e)
{
    struct submitted *s = arg;
    return journal_db_apply(db, &s->j->lease, s->tx, &s->denied, &s->head, e);
}

static void submit_done(void *arg, const struct err *e)
{
    static const struct err ok = ERR_INIT;
    struct submitted *s = arg;
    if (!e)
        s->j->head = s->head;
    s->fn(s->arg, e && e->code == ERR_DENIED ? s->denied : NULL, e ? e : &ok);
    if (e && e->code == ERR_TIMEOUT) {
        leave_behind(s);
        return;
    }
    jtx_free(s->tx);
    mem_free(s->denied);
    mem_free(s);
}

static void submit(struct journal *j, struct jtx *tx, journal_fn *fn, void *arg)
{
    struct submitted *s = mem_alloc(sizeof *s);
    s->j = self(j);
    s->tx = tx;
    s->fn = fn;
    s->arg = arg;
    store_submit(s->j->store, submit_work, submit_done, s);
}

/* Readings. */

enum reading_what { READ_OPEN, READ_TOKENS, READ_SOURCE, READ_QUERY, READ_SAMPLES };

struct reading {
    enum reading_what what;
    char *a, *b;
    int64_t n;
    struct journal_rows rows;
    journal_query_fn *fn;
    void *arg;
};

static int read_work(struct sqlite3 *db, void *arg, struct err *e)
{
    struct reading *r = arg;
    switch (r->what) {
    case READ_OPEN:
        return journal_db_open_rows(db, r->a, &r->rows, e);
    case READ_TOKENS:
        return journal_db_tokens(db, r->n, &r->rows, e);
    case READ_SOURCE:
        return journal_db_source(db, r->a, &r->rows, e);
    case READ_QUERY:
        return journal_db_query(db, r->a, r->b, (int)r->n, &r->rows, e);
    case READ_SAMPLES:
        return journal_db_samples(db, r->a, r->n, &r->rows, e);
    }
    return err_set(e, ERR_BUG, "no such reading");
}

static void query_done(void *arg, const struct err *failed)
{
    struct reading *r = arg;
    struct err e = ERR_INIT;
    struct json *list = NULL;
    if (failed) {
        e = *failed;
    } else {
        list = json_new_list();
        for (size_t i = 0; i < r->rows.n && !e.code; i++)
            json_add(list, journal_row_doc(r->rows.rows[i].b, &e));
        if (e.code) {
            json_free(list);
            list = NULL;
        }
    }
    r->fn(r->arg, list, &e);
    if (failed && failed->code == ERR_TIMEOUT) {
        leave_behind(r);
        return;
    }
    journal_rows_free(&r->rows);
    mem_free(r->a);
    mem_free(r->b);
    mem_free(r);
}

static struct reading *new_query(const char *kind, const char *prefix, int limit,
                                 journal_query_fn *fn, void *arg)
{
    struct reading *r = mem_alloc(sizeof *r);
    r->what = READ_QUERY;
    r->a = mem_strdup(kind);
    r->b = mem_strdup(prefix ? prefix : "");
    r->n = limit;
    r->fn = fn;
    r->arg = arg;
    return r;
}

static void query(struct journal *j, const char *kind, const char *prefix, int limit,
                  journal_query_fn *fn, void *arg)
{
    store_submit(self(j)->store, read_work, query_done, new_query(kind, prefix, limit, fn, arg));
}

/* What waits is the same for both journals but for who runs the work. */
typedef int run_fn(struct journal *j, struct reading *r, struct err *e);

static int run_on_store(struct journal *j, struct reading *r, struct err *e)
{
    return store_run(self(j)->store, read_work, r, e);
}

static int walk_open(struct journal *j, run_fn *run, const char *kind,
                     bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                     struct err *e)
{
    struct reading r = {.what = READ_OPEN, .a = (char *)(uintptr_t)kind};
    int code = run(j, &r, e);
    bool more = true;
    for (size_t i = 0; i < r.rows.n && !code && more; i++) {
        struct err bad = ERR_INIT;
        struct json *doc = journal_row_doc(r.rows.rows[i].b, &bad);
        if (!doc)
            code = err_set(e, bad.code, "%s %s: %s", kind, r.rows.rows[i].a, bad.text);
        else
            more = fn(arg, r.rows.rows[i].a, doc);
        json_free(doc);
    }
    journal_rows_free(&r.rows);
    return code;
}

static int walk_tokens(struct journal *j, run_fn *run, int64_t since_ms,
                       bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                       void *arg, struct err *e)
{
    struct reading r = {.what = READ_TOKENS, .n = since_ms};
    int code = run(j, &r, e);
    for (size_t i = 0; i < r.rows.n && !code; i++)
        if (!fn(arg, r.rows.rows[i].a, r.rows.rows[i].b, r.rows.rows[i].n))
            break;
    journal_rows_free(&r.rows);
    return code;
}

static struct json *get_source(struct journal *j, run_fn *run, const char *hash, struct err *e)
{
    struct reading r = {.what = READ_SOURCE, .a = (char *)(uintptr_t)hash};
    struct json *doc = NULL;
    if (!run(j, &r, e))
        doc = journal_row_doc(r.rows.rows[0].b, e);
    journal_rows_free(&r.rows);
    return doc;
}

static int walk_samples(struct journal *j, run_fn *run, const char *prefix, int64_t since_ms,
                        bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                   const void *blob, size_t len),
                        void *arg, struct err *e)
{
    struct reading r = {.what = READ_SAMPLES, .a = (char *)(uintptr_t)prefix, .n = since_ms};
    int code = run(j, &r, e);
    for (size_t i = 0; i < r.rows.n && !code; i++) {
        const struct journal_row *row = &r.rows.rows[i];
        if (!fn(arg, row->a, row->n, row->blob, row->len))
            break;
    }
    journal_rows_free(&r.rows);
    return code;
}

static int each_open(struct journal *j, const char *kind,
                     bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                     struct err *e)
{
    return walk_open(j, run_on_store, kind, fn, arg, e);
}

static int each_token(struct journal *j, int64_t since_ms,
                      bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                      void *arg, struct err *e)
{
    return walk_tokens(j, run_on_store, since_ms, fn, arg, e);
}

static struct json *source(struct journal *j, const char *hash, struct err *e)
{
    return get_source(j, run_on_store, hash, e);
}

static int each_samples(struct journal *j, const char *prefix, int64_t since_ms,
                        bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                   const void *blob, size_t len),
                        void *arg, struct err *e)
{
    return walk_samples(j, run_on_store, prefix, since_ms, fn, arg, e);
}

static void head(struct journal *j, char hex[65], int64_t *seq)
{
    hex_encode(self(j)->head.hash, SHA256_LEN, hex);
    *seq = self(j)->head.seq;
}

static bool stalled(struct journal *j)
{
    return store_stalled(self(j)->store);
}

static void close_journal(struct journal *j)
{
    struct sqlite_journal *s = self(j);
    bool hung = store_close(s->store) != 0;
    /* A thread left behind still reads our lease, and still may write: the lock stays with it until the process ends. */
    if (hung) {
        leave_behind(s);
        return;
    }
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    mem_free(s);
}

static const struct journal_ops ops = {
    .submit = submit,
    .each_open = each_open,
    .each_token = each_token,
    .source = source,
    .query = query,
    .each_samples = each_samples,
    .head = head,
    .stalled = stalled,
    .close = close_journal,
};

struct journal *sqlite_journal_open(struct loop *l, const struct sqlite_journal_options *o,
                                    struct err *e)
{
    struct sqlite_journal *j = mem_alloc(sizeof *j);
    struct opening opening = {.j = j, .created_by = o->created_by};
    struct store_options so = {.path = o->path, .vfs = o->vfs,
                               .checkpoint_pages = o->checkpoint_pages, .stall_ms = o->stall_ms,
                               .on_stall = o->on_stall, .arg = o->arg};
    j->journal.ops = &ops;
    j->lease.keep_samples_ms = o->keep_samples_ms > 0 ? o->keep_samples_ms : SAMPLES_KEEP_MS;
    j->lock_fd = -1;
    if (read_clocks(&opening, o, e))
        goto fail;
    if (!o->vfs && (j->lock_fd = journal_lock(o->path, e)) < 0)
        goto fail;
    j->store = store_open(l, &so, e);
    if (!j->store)
        goto fail;
    if (store_run(j->store, open_work, &opening, e)) {
        err_wrap(e, "%s", o->path);
        goto fail;
    }
    return &j->journal;
fail:
    store_close(j->store);
    if (j->lock_fd >= 0)
        close(j->lock_fd);
    mem_free(j);
    return NULL;
}

void journal_clock(const struct journal *j, struct steady_clock *out)
{
    *out = self(j)->clock;
}

uint64_t sqlite_journal_commits(const struct journal *j)
{
    return store_commits(self(j)->store);
}

/* The reading journal: on the caller's thread. */

struct readonly_journal {
    struct journal journal;
    struct sqlite3 *db;
    struct chain head;
};

static int run_here(struct journal *j, struct reading *r, struct err *e)
{
    return read_work(((struct readonly_journal *)j)->db, r, e);
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
    struct reading *r = new_query(kind, prefix, limit, fn, arg);
    struct err e = ERR_INIT;
    run_here(j, r, &e);
    query_done(r, e.code ? &e : NULL);
}

static int ro_each_open(struct journal *j, const char *kind,
                        bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                        struct err *e)
{
    return walk_open(j, run_here, kind, fn, arg, e);
}

static int ro_each_token(struct journal *j, int64_t since_ms,
                         bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                         void *arg, struct err *e)
{
    return walk_tokens(j, run_here, since_ms, fn, arg, e);
}

static struct json *ro_source(struct journal *j, const char *hash, struct err *e)
{
    return get_source(j, run_here, hash, e);
}

static int ro_each_samples(struct journal *j, const char *prefix, int64_t since_ms,
                           bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                      const void *blob, size_t len),
                           void *arg, struct err *e)
{
    return walk_samples(j, run_here, prefix, since_ms, fn, arg, e);
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
