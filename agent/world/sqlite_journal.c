/* The journal over io/store: the lease, transactions and readings on the store's thread, the steady
 * clock over restarts. */
#include "world/sqlite_journal.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/db.h"
#include "io/store.h"
#include "world/journal_audit.h"
#include "world/journal_db.h"
#include "world/journal_lock.h"
#include "world/journal_read.h"

#define TRUST_ROWS 100000 /* read again at a start: half a second */
#define DAY_MS 86400000LL
#define AWAY_MAX_MS (30 * DAY_MS)
#define STEPPED_MS 60000 /* between steady and wall clock: more is a step */
#define SAMPLES_KEEP_MS (400 * DAY_MS)

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
        return err_set(e, ERR_IO,
                       "cannot read /proc/sys/kernel/random/boot_id, which tells whether the "
                       "host was rebooted; is /proc mounted?");
    o->boot_id[strcspn(o->boot_id, "\n")] = '\0';
    return 0;
}

/* Over a reboot it goes on from the newest row, which the chain covers, where it can. */
static struct steady_clock go_on(const struct journal_meta *m, const struct journal_clock *k,
                                 const struct opening *o)
{
    int64_t steady = k->boot_id[0] ? k->last_t_ms : m->steady_ms,
            wall = k->boot_id[0] ? k->last_wall_ms : m->wall_ms;
    struct steady_clock c = {.source = CLOCK_NEW};
    if (!m->boot_id[0]) {
        c.offset_ms = o->wall_ms - o->boot_ms;
        return c;
    }
    if (strcmp(m->boot_id, o->boot_id) == 0 && o->boot_ms >= m->boot_ms) {
        c.source = CLOCK_SAME_BOOT;
        c.away_ms = o->boot_ms - m->boot_ms;
        c.offset_ms = m->steady_ms - m->boot_ms;
    } else {
        c.source = CLOCK_BY_WALL;
        c.away_ms = o->wall_ms - wall;
        c.away_ms = c.away_ms < 0 ? 0 : c.away_ms > AWAY_MAX_MS ? AWAY_MAX_MS : c.away_ms;
        c.offset_ms = steady + c.away_ms - o->boot_ms;
    }
    return c;
}

/* Whether the newest row still says what the steady clock goes by: that of this boot, with the wall
 * clock beside it, of no more than a day ago. A new journal has counted nothing yet. */
static bool clock_told(const struct sqlite_journal *j, const struct journal_clock *k,
                       const struct opening *o, int64_t steady)
{
    int64_t stepped = (o->wall_ms - k->last_wall_ms) - (steady - k->last_t_ms);

    return j->head.seq == 0 ||
           (strcmp(k->boot_id, o->boot_id) == 0 && k->offset_ms == j->clock.offset_ms &&
            stepped >= -STEPPED_MS && stepped <= STEPPED_MS && steady - k->last_t_ms < DAY_MS);
}

/* A clock that went on from a forged time would forget what the limits have counted: so what it
 * goes on from is in the chain. */
static int tell_clock(struct sqlite3 *db, struct journal_clock *k, const struct opening *o,
                      int64_t steady, struct err *e)
{
    struct sqlite_journal *j = o->j;
    struct jtx *tx;
    struct json *doc;
    char *denied = NULL;
    int r;

    if (clock_told(j, k, o, steady))
        return 0;
    tx = jtx_new(steady, o->wall_ms);
    doc = json_new_map();
    json_set_str(doc, "boot_id", o->boot_id);
    json_set_int(doc, "offset_ms", j->clock.offset_ms);
    jtx_put(tx, "clock", "agent", doc, true);
    r = journal_db_apply(db, &j->lease, tx, &denied, &j->head, e);
    k->last_t_ms = steady;
    mem_free(denied);
    jtx_free(tx);
    return r;
}

static int open_work(struct sqlite3 *db, void *arg, struct err *e)
{
    struct opening *o = arg;
    struct sqlite_journal *j = o->j;
    struct journal_meta m;
    struct journal_clock k;
    int r = journal_db_check(db, e);
    if (r > 0)
        r = journal_db_create(db, o->created_by, o->wall_ms, e);
    if (!r)
        r = journal_verify_newest(db, TRUST_ROWS, e);
    if (!r)
        r = journal_db_meta(db, &m, e);
    if (!r)
        r = journal_db_clock(db, &k, e);
    if (r)
        return r;
    j->clock = go_on(&m, &k, o);
    j->head = m.head;
    j->lease.epoch = m.epoch + 1;
    j->lease.boot_offset_ms = j->clock.offset_ms;
    int64_t steady = o->boot_ms + j->clock.offset_ms;
    r = db_run(db, e, NULL,
               "UPDATE meta SET epoch = ?, steady_ms = ?, wall_ms = ?, boot_ms = ?, boot_id = ?",
               "iiiit", j->lease.epoch, steady, o->wall_ms, o->boot_ms, o->boot_id);
    if (!r)
        r = tell_clock(db, &k, o, steady, e);
    if (!r) /* by the log's time, as the audit counts them */
        r = db_run(db, e, NULL, "DELETE FROM token WHERE t_ms < ?", "i",
                   k.last_t_ms - JOURNAL_TOKEN_KEEP_MS);
    if (!r)
        r = db_run(db, e, NULL, "DELETE FROM samples WHERE day_ms < ?", "i",
                   o->wall_ms - j->lease.keep_samples_ms);
    return r;
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
        journal_leave_behind(s);
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

static void query(struct journal *j, const char *kind, const char *prefix, int limit,
                  journal_query_fn *fn, void *arg)
{
    store_submit(self(j)->store, reading_work, reading_query_done,
                 reading_query(kind, prefix, limit, fn, arg));
}

static int run_on_store(struct journal *j, struct reading *r, struct err *e)
{
    return store_run(self(j)->store, reading_work, r, e);
}

static int each_open(struct journal *j, const char *kind,
                     bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                     struct err *e)
{
    return reading_walk_open(j, run_on_store, kind, fn, arg, e);
}

static int each_token(struct journal *j, int64_t since_ms,
                      bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                      void *arg, struct err *e)
{
    return reading_walk_tokens(j, run_on_store, since_ms, fn, arg, e);
}

static struct json *source(struct journal *j, const char *hash, struct err *e)
{
    return reading_source(j, run_on_store, hash, e);
}

static int each_samples(struct journal *j, const char *prefix, int64_t since_ms,
                        bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                   const void *blob, size_t len),
                        void *arg, struct err *e)
{
    return reading_walk_samples(j, run_on_store, prefix, since_ms, fn, arg, e);
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
    /* A thread left behind still reads our lease, and still may write: the lock stays with it until
     * the process ends. */
    if (hung) {
        journal_leave_behind(s);
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
    struct store_options so = {.path = o->path,
                               .vfs = o->vfs,
                               .checkpoint_pages = o->checkpoint_pages,
                               .stall_ms = o->stall_ms,
                               .on_stall = o->on_stall,
                               .arg = o->arg};
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
