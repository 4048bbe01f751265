/* SQLite on its own thread: a queue of pieces, committed in groups, completed in order on the loop.
 */
#include "io/store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/db.h"

#define GROUP_MAX 256 /* pieces that share a commit */
#define CHECKPOINT_PAGES 1000
#define STALL_DEFAULT_MS 4000 /* so that the page is out within 5 s */

enum piece_state { QUEUED, RUNNING, FINISHED };

struct piece {
    TAILQ_ENTRY(piece) link;
    store_work *work;
    store_done *done; /* NULL: store_run waits for it and takes it off the list */
    void *arg;
    int64_t since_ms;
    enum piece_state state;
    struct err err;
};
TAILQ_HEAD(pieces, piece);

/* A file of the journal as it was opened. */
struct opened {
    char *path;
    bool known; /* of a test's VFS there is none on the disk */
    dev_t dev;
    ino_t ino;
};

struct store {
    /* The loop's own. */
    struct loop *loop;
    struct loop_timer *watch;
    int64_t stall_ms;
    void (*on_stall)(void *arg, int64_t waited_ms);
    void *arg;
    bool stalled, checkpoint_bad;
    pthread_t thread;

    /* Shared, under lock. The list is in order of submission: first what is finished, then the
     * group at work, then what waits from `next` on. */
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the thread: there is work, or it is to end */
    pthread_cond_t finished; /* whoever waits: a group ended, or the thread did */
    struct pieces pieces;
    struct piece *next;
    int refs; /* the owner, the thread, a delivery on its way */
    bool closing, abandoned, exited, posted;
    struct err checkpoint; /* how the last one ended */

    /* The thread's own. */
    struct sqlite3 *db;
    struct opened file, wal;
    int wal_pages, checkpoint_pages;
    atomic_uint_fast64_t commits;
};

static void unref_locked(struct store *s)
{
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->finished);
    mem_free(s->file.path);
    mem_free(s->wal.path);
    mem_free(s);
}

/* The thread. */

static int on_wal(void *arg, struct sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct store *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

/* One piece in its savepoint. Negative: the whole group is lost, *e says why; the piece's own
 * failure is in p->err. */
static int run_piece(struct store *s, struct piece *p, struct err *e)
{
    int code = db_exec(s->db, "SAVEPOINT piece", e);
    if (code)
        return code;
    int r = p->work(s->db, p->arg, &p->err);
    if (r < 0 && !p->err.code)
        err_set(&p->err, ERR_BUG, "a piece of work for the store failed without saying why");
    else if (r >= 0)
        p->err.code = 0;
    db_reset_all(s->db);
    if (!db_in_transaction(s->db)) {
        /* Disk full, an I/O error or no memory: SQLite has rolled back everything, not this piece
         * alone. */
        *e = p->err.code ? p->err : *e;
        return p->err.code ? p->err.code : err_set(e, ERR_IO, "the transaction was rolled back");
    }
    if (p->err.code)
        code = db_exec(s->db, "ROLLBACK TO piece", e);
    return code ? code : db_exec(s->db, "RELEASE piece", e);
}

static void note(struct opened *o)
{
    struct stat st;
    if (o->known || stat(o->path, &st) < 0)
        return;
    o->known = true;
    o->dev = st.st_dev;
    o->ino = st.st_ino;
}

/* SQLite goes on in a file that has no name any more, and says that it is durable: it is lost with
 * this process, and another could meanwhile start on a new one. */
static int check_named(const struct opened *o, struct err *e)
{
    struct stat st;
    if (!o->known)
        return 0;
    if (stat(o->path, &st) < 0)
        return err_set(e, ERR_IO, "%s was removed while it is in use (%s): put it back, or restart",
                       o->path, strerror(errno));
    if (st.st_dev != o->dev || st.st_ino != o->ino)
        return err_set(e, ERR_IO,
                       "%s was replaced while it is in use: put back what was there, or restart",
                       o->path);
    return 0;
}

static void run_group(struct store *s, struct piece **group, size_t n)
{
    struct err e = ERR_INIT;
    int code = check_named(&s->file, &e);
    if (!code)
        code = check_named(&s->wal, &e);
    if (!code)
        code = db_exec(s->db, "BEGIN IMMEDIATE", &e);
    for (size_t i = 0; i < n && !code; i++)
        code = run_piece(s, group[i], &e);
    if (!code)
        code = db_exec(s->db, "COMMIT", &e);
    if (!code) {
        atomic_fetch_add(&s->commits, 1);
        note(&s->wal); /* it is made with the first of a new database */
        return;
    }
    db_reset_all(s->db);
    if (db_in_transaction(s->db))
        db_exec(s->db, "ROLLBACK", NULL);
    for (size_t i = 0; i < n; i++)
        if (!group[i]->err.code)
            group[i]->err = e;
}

static void checkpoint(struct store *s, struct err *e)
{
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    s->wal_pages =
        0; /* also after a failure: the next commit tells how long it is, and tries again */
    if (rc && rc != SQLITE_BUSY)
        err_set(e, ERR_IO, "%s", sqlite3_errmsg(s->db));
}

static void deliver(void *arg);

static void *run_thread(void *arg)
{
    struct store *s = arg;
    struct piece *group[GROUP_MAX];
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->next && !s->closing)
            pthread_cond_wait(&s->wake, &s->lock);
        if (!s->next)
            break;
        size_t n = 0;
        for (; s->next && n < GROUP_MAX; s->next = TAILQ_NEXT(s->next, link)) {
            s->next->state = RUNNING;
            group[n++] = s->next;
        }
        pthread_mutex_unlock(&s->lock);
        run_group(s, group, n);
        pthread_mutex_lock(&s->lock);
        if (s->abandoned) {
            /* They were completed without us; only their memory was left for us. */
            for (size_t i = 0; i < n; i++)
                mem_free(group[i]);
            break;
        }
        bool post = false;
        for (size_t i = 0; i < n; i++) {
            group[i]->state = FINISHED;
            post = post || group[i]->done;
        }
        pthread_cond_broadcast(&s->finished);
        if (post && !s->posted && !s->closing && s->loop) {
            s->posted = true;
            s->refs++;
            loop_post(s->loop, deliver, s);
        }
        if (s->wal_pages < s->checkpoint_pages)
            continue;
        pthread_mutex_unlock(&s->lock);
        struct err e = ERR_INIT;
        checkpoint(s, &e);
        pthread_mutex_lock(&s->lock);
        s->checkpoint = e;
    }
    pthread_mutex_unlock(&s->lock);
    db_close(s->db);
    pthread_mutex_lock(&s->lock);
    s->exited = true;
    pthread_cond_broadcast(&s->finished);
    unref_locked(s);
    return NULL;
}

/* The loop's side. */

static void rearm(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    struct piece *p = TAILQ_FIRST(&s->pieces);
    int64_t since = p ? p->since_ms : 0;
    pthread_mutex_unlock(&s->lock);
    int64_t left = p ? since + s->stall_ms - loop_boot_ms(s->loop) : 0;
    if (!p || left > 0)
        s->stalled = false;
    if (p && !s->stalled)
        loop_timer_set(s->watch, left);
    else
        loop_timer_stop(s->watch);
}

static void complete_finished(struct store *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        struct piece *p = TAILQ_FIRST(&s->pieces);
        bool ready = p && p->state == FINISHED && p->done;
        if (ready)
            TAILQ_REMOVE(&s->pieces, p, link);
        pthread_mutex_unlock(&s->lock);
        if (!ready)
            return;
        p->done(p->arg, p->err.code ? &p->err : NULL);
        mem_free(p);
    }
}

static void deliver(void *arg)
{
    struct store *s = arg;
    pthread_mutex_lock(&s->lock);
    s->posted = false;
    if (s->closing) {
        unref_locked(s);
        return;
    }
    struct err e = s->checkpoint;
    pthread_mutex_unlock(&s->lock);
    if (e.code && !s->checkpoint_bad)
        log_warn("store", "the write-ahead log cannot be moved into the journal and grows: %s",
                 e.text);
    else if (!e.code && s->checkpoint_bad)
        log_info("store", "the write-ahead log is moved into the journal again");
    s->checkpoint_bad = e.code != 0;
    complete_finished(s);
    rearm(s);
    pthread_mutex_lock(&s->lock);
    unref_locked(s);
}

static void on_watch(void *arg)
{
    struct store *s = arg;
    pthread_mutex_lock(&s->lock);
    struct piece *p = TAILQ_FIRST(&s->pieces);
    bool late = p && p->state != FINISHED;
    int64_t since = p ? p->since_ms : 0;
    pthread_mutex_unlock(&s->lock);
    int64_t waited = loop_boot_ms(s->loop) - since;
    if (!late || waited < s->stall_ms) {
        if (late)
            loop_timer_set(s->watch, s->stall_ms - waited);
        return; /* what is finished is on its way to us, and rearms */
    }
    s->stalled = true;
    if (s->on_stall)
        s->on_stall(s->arg, waited);
}

static void add(struct store *s, struct piece *p)
{
    p->since_ms = s->loop ? loop_boot_ms(s->loop) : 0;
    pthread_mutex_lock(&s->lock);
    bool first = TAILQ_EMPTY(&s->pieces), waits_on_loop = p->done;
    TAILQ_INSERT_TAIL(&s->pieces, p, link);
    if (!s->next)
        s->next = p;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (first && s->watch && waits_on_loop)
        loop_timer_set(s->watch, s->stall_ms);
}

void store_submit(struct store *s, store_work *work, store_done *done, void *arg)
{
    struct piece *p = mem_alloc(sizeof *p);
    p->work = work;
    p->done = done;
    p->arg = arg;
    add(s, p);
}

int store_run(struct store *s, store_work *work, void *arg, struct err *e)
{
    struct piece *p = mem_alloc(sizeof *p);
    p->work = work;
    p->arg = arg;
    add(s, p);
    pthread_mutex_lock(&s->lock);
    while (p->state != FINISHED)
        pthread_cond_wait(&s->finished, &s->lock);
    TAILQ_REMOVE(&s->pieces, p, link);
    /* What was submitted before and is finished could not be delivered past us. */
    if (s->loop && !s->posted && !TAILQ_EMPTY(&s->pieces)) {
        s->posted = true;
        s->refs++;
        loop_post(s->loop, deliver, s);
    }
    pthread_mutex_unlock(&s->lock);
    int code = p->err.code;
    if (code)
        err_set(e, code, "%s", p->err.text);
    mem_free(p);
    return code;
}

struct store *store_open(struct loop *l, const struct store_options *o, struct err *e)
{
    struct sqlite3 *db = db_open(o->path, o->vfs, true, e);
    if (!db)
        return NULL;
    struct store *s = mem_alloc(sizeof *s);
    s->loop = l;
    s->stall_ms = o->stall_ms > 0 ? o->stall_ms : STALL_DEFAULT_MS;
    s->checkpoint_pages = o->checkpoint_pages > 0 ? o->checkpoint_pages : CHECKPOINT_PAGES;
    s->on_stall = o->on_stall;
    s->arg = o->arg;
    s->db = db;
    s->file.path = mem_strdup(o->path);
    s->wal.path = mem_printf("%s-wal", o->path);
    note(&s->file);
    s->refs = 2;
    TAILQ_INIT(&s->pieces);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->finished, &attr);
    pthread_condattr_destroy(&attr);
    sqlite3_wal_hook(db, on_wal, s);
    if (l)
        s->watch = loop_timer_new(l, on_watch, s);

    sigset_t all, old;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&s->thread, NULL, run_thread, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        err_set(e, ERR_IO, "cannot start the store's thread: %s", strerror(rc));
        db_close(db);
        loop_timer_free(s->watch);
        s->refs = 1;
        pthread_mutex_lock(&s->lock);
        unref_locked(s);
        return NULL;
    }
    return s;
}

/* At the end: completes what the thread will not complete any more, whether it has ended or hangs
 * in the disk. The memory of the group that a hanging thread has in hand stays its own, so the list
 * is copied. */
static void complete_rest(struct store *s)
{
    struct pieces left;
    TAILQ_INIT(&left);
    pthread_mutex_lock(&s->lock);
    s->abandoned = true;
    s->next = NULL;
    for (struct piece *p; (p = TAILQ_FIRST(&s->pieces));) {
        TAILQ_REMOVE(&s->pieces, p, link);
        if (p->state == RUNNING) {
            struct piece *copy = mem_alloc(sizeof *copy);
            copy->done = p->done;
            copy->arg = p->arg;
            err_set(&copy->err, ERR_TIMEOUT,
                    "the disk did not answer within %lld ms; nobody knows "
                    "whether this became durable",
                    (long long)s->stall_ms);
            p = copy;
        } else if (p->state == QUEUED) {
            err_set(&p->err, ERR_IO, "the store was closed before this was written");
        }
        TAILQ_INSERT_TAIL(&left, p, link);
    }
    pthread_mutex_unlock(&s->lock);
    for (struct piece *p; (p = TAILQ_FIRST(&left));) {
        TAILQ_REMOVE(&left, p, link);
        if (p->done)
            p->done(p->arg, p->err.code ? &p->err : NULL);
        mem_free(p);
    }
}

int store_close(struct store *s)
{
    if (!s)
        return 0;
    loop_timer_free(s->watch);
    s->watch = NULL;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += s->stall_ms / 1000;
    until.tv_nsec += s->stall_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->wake);
    int rc = 0;
    while (!s->exited && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&s->finished, &s->lock, &until);
    bool exited = s->exited;
    pthread_mutex_unlock(&s->lock);
    if (exited)
        pthread_join(s->thread, NULL);
    else
        pthread_detach(s->thread);
    complete_finished(s);
    do
        complete_rest(s);
    while (!TAILQ_EMPTY(&s->pieces)); /* what completions submitted */
    pthread_mutex_lock(&s->lock);
    unref_locked(s);
    return exited ? 0 : ERR_TIMEOUT;
}

bool store_stalled(const struct store *s)
{
    return s->stalled;
}

uint64_t store_commits(const struct store *s)
{
    return atomic_load(&((struct store *)(uintptr_t)s)->commits);
}
