/* Readings of the journal: rows are taken on one thread, parsed and handed out on the other. */
#include "world/journal_read.h"

#include "base/mem.h"

struct left_behind {
    struct left_behind *next;
    void *what;
};
static struct left_behind *left_behind;

void journal_leave_behind(void *what)
{
    struct left_behind *l = mem_alloc(sizeof *l);
    l->what = what;
    l->next = left_behind;
    left_behind = l;
}

int reading_work(struct sqlite3 *db, void *arg, struct err *e)
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

void reading_query_done(void *arg, const struct err *failed)
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
        journal_leave_behind(r);
        return;
    }
    journal_rows_free(&r->rows);
    mem_free(r->a);
    mem_free(r->b);
    mem_free(r);
}

struct reading *reading_query(const char *kind, const char *prefix, int limit, journal_query_fn *fn,
                              void *arg)
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

int reading_walk_open(struct journal *j, reading_run *run, const char *kind,
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

int reading_walk_tokens(struct journal *j, reading_run *run, int64_t since_ms,
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

struct json *reading_source(struct journal *j, reading_run *run, const char *hash, struct err *e)
{
    struct reading r = {.what = READ_SOURCE, .a = (char *)(uintptr_t)hash};
    struct json *doc = NULL;
    if (!run(j, &r, e))
        doc = journal_row_doc(r.rows.rows[0].b, e);
    journal_rows_free(&r.rows);
    return doc;
}

int reading_walk_samples(struct journal *j, reading_run *run, const char *prefix, int64_t since_ms,
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
