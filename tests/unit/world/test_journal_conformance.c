/* What any journal must do, run over each implementation. A new one adds a row to `backends`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/db.h"
#include "io/loop.h"
#include "world/memory_journal.h"
#include "world/sqlite_journal.h"

#define HOUR 3600000LL
#define MOST 64

struct fixture {
    const struct backend *backend;
    struct journal *j;
    struct memory_disk *disk;
    struct loop *loop;
    char folder[64], path[96];
    int submitted,
        completed; /* completions come in order of submission: completed counts and checks */
    int codes[MOST];
    char denied[MOST][32];
    char texts[MOST][sizeof((struct err *)0)->text];
};

struct backend {
    const char *name;
    void (*make)(struct fixture *f);
    void (*open)(struct fixture *f);
    void (*pump)(struct fixture *f); /* until everything is completed */
    void (*steal)(struct fixture *f);
    void (*unmake)(struct fixture *f);
};

/* In memory. */

static void memory_make(struct fixture *f)
{
    f->disk = memory_disk_new();
}

static void memory_open(struct fixture *f)
{
    f->j = memory_journal_open(f->disk);
}

static void memory_pump(struct fixture *f)
{
    while (memory_journal_pending(f->j))
        memory_journal_pump(f->j);
}

static void memory_steal(struct fixture *f)
{
    struct journal *other = memory_journal_open(f->disk);
    other->ops->close(other);
}

static void memory_unmake(struct fixture *f)
{
    memory_disk_free(f->disk);
}

/* SQLite. */

static void sqlite_make(struct fixture *f)
{
    f->loop = loop_new(NULL);
    snprintf(f->folder, sizeof f->folder, "/tmp/rb_conform_XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/journal.db", f->folder);
}

static void sqlite_open(struct fixture *f)
{
    struct err e = ERR_INIT;
    struct sqlite_journal_options o = {
        .path = f->path, .created_by = "test", .boot_id = "b", .boot_ms = 1, .wall_ms = 1};
    f->j = sqlite_journal_open(f->loop, &o, &e);
    if (!f->j)
        fail_msg("%s", e.text);
}

static void sqlite_pump(struct fixture *f)
{
    if (f->completed < f->submitted)
        loop_run(f->loop); /* the last completion stops it */
}

static void sqlite_steal(struct fixture *f)
{
    struct err e = ERR_INIT;
    struct sqlite3 *db = db_open(f->path, NULL, true, &e);
    assert_non_null(db);
    assert_int_equal(db_exec(db, "UPDATE meta SET epoch = epoch + 1", &e), 0);
    db_close(db);
}

static void sqlite_unmake(struct fixture *f)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    loop_free(f->loop);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", f->path, ends[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(f->folder), 0);
}

static const struct backend backends[] = {
    {"memory", memory_make, memory_open, memory_pump, memory_steal, memory_unmake},
    {"sqlite", sqlite_make, sqlite_open, sqlite_pump, sqlite_steal, sqlite_unmake},
};

/* Every test starts with an empty journal. */

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);
    f->backend = *state;
    f->backend->make(f);
    f->backend->open(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    f->j->ops->close(f->j);
    f->backend->unmake(f);
    mem_free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    f->j->ops->close(f->j);
    f->backend->open(f);
}

/* Submitting. */

static bool inside; /* a submit is on the stack: no completion may come */

struct ticket {
    struct fixture *f;
    int n;
};

static void completed(struct fixture *f)
{
    if (++f->completed == f->submitted && f->loop)
        loop_stop(f->loop, 0);
}

static void on_done(void *arg, const char *denied, const struct err *e)
{
    struct ticket *t = arg;
    struct fixture *f = t->f;
    assert_false(inside);
    assert_non_null(e);
    assert_int_equal(t->n, f->completed); /* in order, once */
    f->codes[t->n] = e->code;
    snprintf(f->denied[t->n], sizeof f->denied[0], "%s", denied ? denied : "");
    snprintf(f->texts[t->n], sizeof f->texts[0], "%s", e->text);
    mem_free(t);
    completed(f);
}

static int send(struct fixture *f, struct jtx *tx)
{
    struct ticket *t = mem_alloc(sizeof *t);
    t->f = f;
    t->n = f->submitted++;
    assert_true(t->n < MOST);
    inside = true;
    f->j->ops->submit(f->j, tx, on_done, t);
    inside = false;
    return t->n;
}

static int run(struct fixture *f, struct jtx *tx)
{
    int n = send(f, tx);
    f->backend->pump(f);
    assert_int_equal(f->completed, f->submitted);
    return f->codes[n];
}

static struct json *doc(const char *what, int n)
{
    struct json *d = json_new_map();
    json_set_str(d, "what", what);
    json_set_int(d, "n", n);
    return d;
}

static struct jtx *put(const char *kind, const char *key, int n, bool open)
{
    struct jtx *tx = jtx_new(1000 + n, 5000 + n);
    jtx_put(tx, kind, key, doc(key, n), open);
    return tx;
}

static struct jtx *take(const char *scope, const char *item, int max, int64_t window, int64_t now)
{
    struct jtx *tx = jtx_new(now, now);
    jtx_take(tx, scope, item, max, window);
    return tx;
}

/* Reading, as one line: "key=n key=n". */

struct line {
    char text[1024];
    int most;
};

static void add_to_line(struct line *l, const char *fmt, ...)
{
    size_t n = strlen(l->text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->text + n, sizeof l->text - n, fmt, ap);
    va_end(ap);
}

static bool on_open(void *arg, const char *key, const struct json *d)
{
    struct line *l = arg;
    add_to_line(l, "%s%s=%lld", l->text[0] ? " " : "", key, (long long)json_get_int(d, "n", -1));
    return --l->most != 0;
}

static const char *open_rows(struct fixture *f, const char *kind, int most)
{
    static struct line l;
    struct err e = ERR_INIT;
    l = (struct line){.most = most};
    assert_int_equal(f->j->ops->each_open(f->j, kind, on_open, &l, &e), 0);
    return l.text;
}

static bool on_token(void *arg, const char *scope, const char *item, int64_t at)
{
    struct line *l = arg;
    add_to_line(l, "%s%s/%s@%lld", l->text[0] ? " " : "", scope, item, (long long)at);
    return true;
}

static const char *tokens(struct fixture *f, int64_t since)
{
    static struct line l;
    l = (struct line){0};
    assert_int_equal(f->j->ops->each_token(f->j, since, on_token, &l, NULL), 0);
    return l.text;
}

struct answer {
    struct fixture *f;
    struct line line;
    bool came;
};

static void on_list(void *arg, struct json *list, const struct err *e)
{
    struct answer *a = arg;
    assert_false(inside);
    assert_int_equal(e->code, 0);
    for (const struct json *d = json_first(list); d; d = json_next(d))
        add_to_line(&a->line, "%s%s=%lld", a->line.text[0] ? " " : "", json_get_str(d, "what", "?"),
                    (long long)json_get_int(d, "n", -1));
    json_free(list);
    a->came = true;
    completed(a->f);
}

static const char *query(struct fixture *f, const char *kind, const char *prefix, int limit)
{
    static struct answer a;
    a = (struct answer){.f = f};
    f->submitted++;
    inside = true;
    f->j->ops->query(f->j, kind, prefix, limit, on_list, &a);
    inside = false;
    f->backend->pump(f);
    assert_true(a.came);
    return a.line.text;
}

struct head {
    char hex[65];
    int64_t seq;
};

static struct head head(struct fixture *f)
{
    struct head h;
    f->j->ops->head(f->j, h.hex, &h.seq);
    return h;
}

/* The tests. */

static void test_empty(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(open_rows(f, "run", 0), "");
    assert_string_equal(tokens(f, INT64_MIN), "");
    assert_string_equal(query(f, "run", "", 10), "");
    assert_null(f->j->ops->source(f->j, "abc", NULL));
    assert_false(f->j->ops->stalled(f->j));
    assert_int_equal(head(f).seq, 0);
    assert_int_equal(run(f, jtx_new(1, 1)), 0); /* nothing in it: fine */
    assert_int_equal(head(f).seq, 0);
}

static void test_put_and_reopen(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, put("run", "a", 1, true)), 0);
    assert_int_equal(run(f, put("run", "a", 2, true)), 0);
    assert_int_equal(run(f, put("episode", "a", 3, true)), 0);
    assert_string_equal(open_rows(f, "run", 0), "a=2");
    struct head before = head(f);
    assert_int_equal(before.seq, 3);
    reopen(f);
    assert_string_equal(open_rows(f, "run", 0), "a=2");
    assert_string_equal(open_rows(f, "episode", 0), "a=3");
    /* An opening may leave a row of its own, and does so once. */
    struct head after = head(f);
    assert_in_range(after.seq, 3, 4);
    reopen(f);
    assert_int_equal(head(f).seq, after.seq);
    assert_string_equal(head(f).hex, after.hex);
}

static void test_open_rows_are_ordered_by_first_write(void **state)
{
    struct fixture *f = *state;
    run(f, put("step", "c", 1, true));
    run(f, put("step", "a", 2, true));
    run(f, put("step", "b", 3, true));
    run(f, put("step", "c", 4, true));
    assert_string_equal(open_rows(f, "step", 0), "c=4 a=2 b=3");
    run(f, put("step", "a", 5, false));
    assert_string_equal(open_rows(f, "step", 0), "c=4 b=3");
    run(f, put("step", "a", 6, true)); /* opened again: its first write counts */
    assert_string_equal(open_rows(f, "step", 0), "c=4 a=6 b=3");
    assert_string_equal(open_rows(f, "step", 2), "c=4 a=6");
    reopen(f);
    assert_string_equal(open_rows(f, "step", 0), "c=4 a=6 b=3");
}

static void test_completions_come_in_order_never_from_inside(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 40; i++)
        send(f, put("note", i % 2 ? "x" : "y", i, false));
    f->backend->pump(f);
    assert_int_equal(f->completed, 40);
    for (int i = 0; i < 40; i++)
        assert_int_equal(f->codes[i], 0);
    assert_int_equal(head(f).seq, 40);
}

static void test_a_waiting_read_sees_what_was_submitted(void **state)
{
    struct fixture *f = *state;
    send(f, put("run", "a", 1, true));
    assert_string_equal(open_rows(f, "run", 0), "a=1");
    f->backend->pump(f);
    assert_int_equal(f->completed, 1);
}

static void test_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, take("s", "x", 1, HOUR, 1000)), 0);
    struct head before = head(f);
    struct jtx *tx = jtx_new(2000, 2000);
    jtx_put(tx, "run", "a", doc("a", 1), true);
    jtx_source(tx, "hash", doc("source", 1));
    jtx_take(tx, "other", "free", 5, HOUR);
    jtx_samples(tx, "cpu", 0, mem_strdup("blob"), 4);
    jtx_give_back(tx, "s", "none");
    jtx_take(tx, "s", "y", 1, HOUR); /* denied */
    jtx_put(tx, "run", "b", doc("b", 1), true);
    assert_int_equal(run(f, tx), ERR_DENIED);
    assert_string_equal(f->denied[1], "s");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(open_rows(f, "run", 0), "");
        assert_string_equal(tokens(f, INT64_MIN), "s/x@1000");
        assert_null(f->j->ops->source(f->j, "hash", NULL));
        if (i == 0) {
            assert_int_equal(head(f).seq, before.seq);
            assert_string_equal(head(f).hex, before.hex);
        }
        reopen(f);
    }
}

static void test_a_denial_spoils_no_neighbour(void **state)
{
    struct fixture *f = *state;
    int first = send(f, take("s", "x", 1, HOUR, 1000));
    int second = send(f, take("s", "y", 1, HOUR, 1000));
    int third = send(f, put("run", "a", 1, true));
    f->backend->pump(f);
    assert_int_equal(f->codes[first], 0);
    assert_int_equal(f->codes[second], ERR_DENIED);
    assert_non_null(strstr(f->texts[second], "s"));
    assert_int_equal(f->codes[third], 0);
    assert_string_equal(f->denied[first], "");
    assert_string_equal(f->denied[third], "");
    assert_string_equal(open_rows(f, "run", 0), "a=1");
}

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *item;
        int max;
        int64_t window, now;
        int code;
    } cases[] = {
        {"a", 2, HOUR, 0, 0},
        {"b", 2, HOUR, 10, 0},
        {"c", 2, HOUR, 20, ERR_DENIED}, /* two distinct ones are there */
        {"a", 2, HOUR, 30, 0},          /* the same again is free */
        {"a", 1, HOUR, 30, 0},          /* also when the limit has become smaller */
        {"c", 2, HOUR, HOUR + 9,
         ERR_DENIED}, /* b is 1 ms short of leaving; a counts from its last taking on */
        {"c", 2, HOUR, HOUR + 10, 0}, /* b has left */
        {"b", 2, HOUR, HOUR + 11, ERR_DENIED},
        {"b", 3, HOUR, HOUR + 11, 0},          /* a wider limit */
        {"d", -1, HOUR, HOUR + 12, 0},         /* only counted */
        {"e", 4, HOUR, HOUR + 13, ERR_DENIED}, /* a b c d */
        {"e", 1, 1, HOUR + 14, 0},             /* a window of its own: nothing in it */
        {"f", 0, HOUR, 9 * HOUR, ERR_DENIED},  /* none is allowed */
        {"f", 1, HOUR, 9 * HOUR, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (run(f, take("s", cases[i].item, cases[i].max, cases[i].window, cases[i].now)) !=
            cases[i].code)
            fail_msg("case %zu: got %d", i, f->codes[i]);
    assert_int_equal(run(f, take("t", "f", 1, HOUR, 0)), 0); /* scopes do not mix */
    assert_string_equal(tokens(f, HOUR),
                        "s/c@3600010 s/b@3600011 s/d@3600012 s/e@3600014 s/f@32400000");
}

static void test_giving_back(void **state)
{
    struct fixture *f = *state;
    run(f, take("s", "a", 1, HOUR, 0));
    struct jtx *tx = jtx_new(10, 10);
    jtx_give_back(tx, "s", "a");
    jtx_take(tx, "s", "b", 1, HOUR); /* in order: the place is free again */
    assert_int_equal(run(f, tx), 0);
    assert_string_equal(tokens(f, 0), "s/b@10");

    /* Only the newest taking goes: the effect that the first one stood for has happened. */
    run(f, take("s", "b", 1, HOUR, 20));
    tx = jtx_new(30, 30);
    jtx_give_back(tx, "s", "b");
    assert_int_equal(run(f, tx), 0);
    assert_string_equal(tokens(f, 0), "s/b@10");
    assert_int_equal(run(f, take("s", "c", 1, HOUR, 40)), ERR_DENIED);

    struct head before = head(f);
    tx = jtx_new(50, 50);
    jtx_give_back(tx, "s", "never taken");
    assert_int_equal(run(f, tx), 0);
    assert_int_equal(head(f).seq, before.seq);

    tx = jtx_new(60, 60); /* a giving back inside a refused transaction did not happen */
    jtx_give_back(tx, "s", "b");
    jtx_take(tx, "s", "c", 0, HOUR);
    assert_int_equal(run(f, tx), ERR_DENIED);
    assert_string_equal(tokens(f, 0), "s/b@10");
    reopen(f);
    assert_string_equal(tokens(f, 0), "s/b@10");
    assert_int_equal(run(f, take("s", "c", 1, HOUR, 70)), ERR_DENIED);
}

static void test_two_takings_in_one_transaction(void **state)
{
    struct fixture *f = *state;
    struct jtx *tx = jtx_new(0, 0);
    jtx_take(tx, "s", "a", 2, HOUR);
    jtx_take(tx, "s", "b", 2, HOUR);
    jtx_take(tx, "s", "a", 2, HOUR);
    assert_int_equal(run(f, tx), 0);
    tx = jtx_new(0, 0);
    jtx_take(tx, "t", "a", 2, HOUR);
    jtx_take(tx, "t", "b", 2, HOUR);
    jtx_take(tx, "t", "c", 2, HOUR);
    assert_int_equal(run(f, tx), ERR_DENIED);
    assert_string_equal(f->denied[1], "t");
    assert_string_equal(tokens(f, 0), "s/a@0 s/b@0 s/a@0");
}

static void test_a_source_is_stored_once(void **state)
{
    struct fixture *f = *state;
    struct jtx *tx = jtx_new(0, 0);
    jtx_source(tx, "h1", doc("first", 1));
    assert_int_equal(run(f, tx), 0);
    int64_t seq = head(f).seq;
    tx = jtx_new(0, 0);
    jtx_source(tx, "h1", doc("second", 2));
    assert_int_equal(run(f, tx), 0);
    assert_int_equal(head(f).seq, seq);
    reopen(f);
    struct json *s = f->j->ops->source(f->j, "h1", NULL);
    assert_string_equal(json_get_str(s, "what", ""), "first");
    json_free(s);
    struct err e = ERR_INIT;
    assert_null(f->j->ops->source(f->j, "h2", &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void test_query_newest_first(void **state)
{
    struct fixture *f = *state;
    run(f, put("run", "web/1", 1, false));
    run(f, put("run", "web/2", 2, true));
    run(f, put("run", "db/1", 3, true));
    run(f, put("run", "web0", 4, true)); /* not below "web/" */
    run(f, put("episode", "web/1", 5, true));
    run(f, put("run", "web/1", 6, false));
    assert_string_equal(query(f, "run", "", 10), "web/1=6 web0=4 db/1=3 web/2=2");
    assert_string_equal(query(f, "run", "", 2), "web/1=6 web0=4");
    assert_string_equal(query(f, "run", "web/", 10), "web/1=6 web/2=2");
    assert_string_equal(query(f, "run", "nothing", 10), "");
    assert_string_equal(query(f, "run", "", 0), "");
    send(f, put("run", "web/3", 7, true)); /* a query sees what was submitted before it */
    assert_string_equal(query(f, "run", "web/", 1), "web/3=7");
}

static bool on_day(void *arg, const char *series, int64_t day, const void *blob, size_t len)
{
    add_to_line(arg, "%s@%lld=%.*s ", series, (long long)day, (int)len, (const char *)blob);
    return true;
}

static void add_day(struct jtx *tx, const char *series, int64_t day, const char *blob)
{
    jtx_samples(tx, series, day, mem_strdup(blob), strlen(blob));
}

static void test_samples(void **state)
{
    struct fixture *f = *state;
    struct jtx *tx = jtx_new(0, 0);
    add_day(tx, "cpu/b", 200, "b2");
    add_day(tx, "cpu/a", 200, "old");
    add_day(tx, "cpu/a", 100, "a1");
    add_day(tx, "mem", 200, "m2");
    assert_int_equal(run(f, tx), 0);
    tx = jtx_new(0, 0);
    add_day(tx, "cpu/a", 200, "a2"); /* replaces the day */
    add_day(tx, "empty", 200, "");
    assert_int_equal(run(f, tx), 0);
    assert_int_equal(head(f).seq, 0); /* no rows of log */
    reopen(f);
    struct line l = {0};
    assert_int_equal(f->j->ops->each_samples(f->j, "cpu/", 100, on_day, &l, NULL), 0);
    assert_string_equal(l.text, "cpu/a@100=a1 cpu/a@200=a2 cpu/b@200=b2 ");
    l = (struct line){0};
    assert_int_equal(f->j->ops->each_samples(f->j, "", 101, on_day, &l, NULL), 0);
    assert_string_equal(l.text, "cpu/a@200=a2 cpu/b@200=b2 empty@200= mem@200=m2 ");
}

static void test_a_stolen_lease(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, put("run", "a", 1, true)), 0);
    struct head before = head(f);
    f->backend->steal(f);
    assert_int_equal(run(f, put("run", "a", 2, true)), ERR_STATE);
    struct jtx *tx = jtx_new(0, 0);
    jtx_take(tx, "s", "a", 1, HOUR);
    assert_int_equal(run(f, tx), ERR_STATE);
    assert_string_equal(f->denied[2], "");
    assert_string_equal(head(f).hex, before.hex);
    assert_string_equal(open_rows(f, "run", 0), "a=1");
    assert_string_equal(tokens(f, 0), "");
    reopen(f); /* takes it back */
    before = head(f);
    assert_int_equal(run(f, put("run", "a", 3, true)), 0);
    assert_int_equal(head(f).seq, before.seq + 1);
}

static void again(void *arg, const char *denied, const struct err *e)
{
    struct fixture *f = arg;
    (void)denied;
    assert_int_equal(e->code, 0);
    send(f, put("run", "b", 2, true)); /* from inside a completion */
    f->completed++;                    /* ours was not sent by send() */
}

static void test_submitting_from_a_completion(void **state)
{
    struct fixture *f = *state;
    f->submitted++;
    f->j->ops->submit(f->j, put("run", "a", 1, true), again, f);
    f->backend->pump(f);
    f->backend->pump(f);
    assert_int_equal(f->completed, 2);
    assert_string_equal(open_rows(f, "run", 0), "a=1 b=2");
}

static void test_closing_writes_what_was_submitted(void **state)
{
    struct fixture *f = *state;
    send(f, put("run", "a", 1, true));
    send(f, put("run", "b", 2, true));
    reopen(f);
    assert_int_equal(f->completed, 2);
    assert_int_equal(f->codes[1], 0);
    assert_string_equal(open_rows(f, "run", 0), "a=1 b=2");
}

/* The same transactions give the same chain everywhere, so this value may be compared with what an
 * old version wrote. */
static void test_the_chain_is_the_same_everywhere(void **state)
{
    struct fixture *f = *state;
    struct jtx *tx = jtx_new(1000, 2000);
    jtx_put(tx, "run", "a", doc("\"quoted\" \xc3\xa4\n", 1), true);
    jtx_take(tx, "s", "x", 1, HOUR);
    jtx_source(tx, "h", doc("source", 1));
    jtx_give_back(tx, "s", "x");
    assert_int_equal(run(f, tx), 0);
    assert_int_equal(head(f).seq, 4);
    assert_string_equal(head(f).hex,
                        "2612a3116e0b4199de6f091c5489e66a76b8ca6d999221ef53b21158b627b111");
}

#define TESTS(T)                                                                                   \
    T(test_empty)                                                                                  \
    T(test_put_and_reopen)                                                                         \
    T(test_open_rows_are_ordered_by_first_write)                                                   \
    T(test_completions_come_in_order_never_from_inside)                                            \
    T(test_a_waiting_read_sees_what_was_submitted)                                                 \
    T(test_all_or_nothing)                                                                         \
    T(test_a_denial_spoils_no_neighbour)                                                           \
    T(test_tokens)                                                                                 \
    T(test_giving_back)                                                                            \
    T(test_two_takings_in_one_transaction)                                                         \
    T(test_a_source_is_stored_once)                                                                \
    T(test_query_newest_first)                                                                     \
    T(test_samples)                                                                                \
    T(test_a_stolen_lease)                                                                         \
    T(test_submitting_from_a_completion)                                                           \
    T(test_closing_writes_what_was_submitted)                                                      \
    T(test_the_chain_is_the_same_everywhere)

#define TEST_OF(test) {#test, test, set_up, tear_down, NULL},

int main(void)
{
    static const struct CMUnitTest tests[] = {TESTS(TEST_OF)};
    enum { N = sizeof tests / sizeof *tests };
    int failed = 0;
    for (size_t b = 0; b < sizeof backends / sizeof *backends; b++) {
        struct CMUnitTest mine[N];
        for (size_t i = 0; i < N; i++) {
            mine[i] = tests[i];
            mine[i].initial_state = (void *)(uintptr_t)&backends[b];
        }
        failed += _cmocka_run_group_tests(backends[b].name, mine, N, NULL, NULL);
    }
    return failed;
}
