/* The journal in memory: a queue before a disk, which can fail, stall and be lost. */
#include "world/memory_journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "world/memory_disk.h"

struct pending {
    struct pending *next;
    struct jtx *tx; /* NULL: a query */
    journal_fn *fn;
    journal_query_fn *query_fn;
    void *arg;
    char *kind, *prefix;
    int limit;
    bool committed;
    char *denied;
    struct json *list;
    struct chain head; /* after it */
    struct err err;
};

struct memory_journal {
    struct journal journal;
    struct memory_disk *disk;
    int64_t epoch;
    struct pending *first, **end;
    size_t npending;
    bool stalled;
    struct chain head; /* as completed */
    void (*on_submit)(void *arg);
    void *on_submit_arg;
};

static struct memory_journal *self(struct journal *j)
{
    return (struct memory_journal *)j;
}

static struct pending *enqueue(struct journal *j, void *arg)
{
    struct memory_journal *m = self(j);
    struct pending *p = mem_alloc(sizeof *p);
    p->arg = arg;
    *m->end = p;
    m->end = &p->next;
    m->npending++;
    if (m->on_submit)
        m->on_submit(m->on_submit_arg);
    return p;
}

static void pending_free(struct pending *p)
{
    jtx_free(p->tx);
    mem_free(p->kind);
    mem_free(p->prefix);
    mem_free(p->denied);
    json_free(p->list);
    mem_free(p);
}

static void submit(struct journal *j, struct jtx *tx, journal_fn *fn, void *arg)
{
    struct pending *p = enqueue(j, arg);
    p->tx = tx;
    p->fn = fn;
}

static void query(struct journal *j, const char *kind, const char *prefix, int limit,
                  journal_query_fn *fn, void *arg)
{
    struct pending *p = enqueue(j, arg);
    p->kind = mem_strdup(kind);
    p->prefix = mem_strdup(prefix ? prefix : "");
    p->limit = limit;
    p->query_fn = fn;
}

static struct json *doc_of(const struct entry *en)
{
    return json_parse(en->doc, strlen(en->doc), strlen(en->doc), NULL);
}

static struct json *run_query(const struct memory_disk *d, const struct pending *p)
{
    struct json *list = json_new_list();
    size_t len = strlen(p->prefix);
    int left = p->limit;
    for (size_t row = (size_t)d->chain.seq; row-- > 0 && left > 0;) {
        const struct entry *en = d->rows[row] == ABSENT ? NULL : &d->entries[d->rows[row]];
        if (!en || en->seq != (int64_t)row + 1 || strcmp(en->kind, p->kind) != 0 ||
            strncmp(en->key, p->prefix, len) != 0)
            continue;
        json_add(list, doc_of(en));
        left--;
    }
    return list;
}

static void commit_one(struct memory_journal *m, struct pending *p)
{
    struct memory_disk *d = m->disk;
    p->committed = true;
    if (!p->tx && strcmp(p->kind, d->unreadable) == 0) {
        err_set(&p->err, ERR_IO, "the rows of kind %s cannot be read, as told", p->kind);
        return;
    }
    if (!p->tx) {
        p->list = run_query(d, p);
        return;
    }
    d->commits++;
    const struct fault *f = memory_disk_fault(d);
    if (m->epoch != d->epoch)
        err_set(&p->err, ERR_STATE,
                "the journal's lease was taken by another agent (epoch %lld, "
                "ours is %lld)",
                (long long)d->epoch, (long long)m->epoch);
    else if (!f || f->how == MEMORY_DURABLE)
        memory_disk_apply(d, p->tx, &p->denied, &p->err);
    p->head = d->chain;
    if (f && !p->err.code)
        err_set(&p->err, ERR_IO, "commit %llu failed, as told", (unsigned long long)d->commits);
}

void memory_journal_commit(struct journal *j)
{
    struct memory_journal *m = self(j);
    if (m->stalled)
        return;
    for (struct pending *p = m->first; p; p = p->next)
        if (!p->committed)
            commit_one(m, p);
}

size_t memory_journal_pump(struct journal *j)
{
    struct memory_journal *m = self(j);
    size_t n = 0, todo = m->npending;
    memory_journal_commit(j);
    while (n < todo && m->first->committed) {
        struct pending *p = m->first;
        m->first = p->next;
        if (!m->first)
            m->end = &m->first;
        m->npending--;
        n++;
        if (p->tx) {
            if (!p->err.code)
                m->head = p->head;
            p->fn(p->arg, p->denied, &p->err);
        } else {
            struct json *list = p->list;
            p->list = NULL;
            p->query_fn(p->arg, list, &p->err);
        }
        pending_free(p);
    }
    return n;
}

size_t memory_journal_pending(const struct journal *j)
{
    return ((const struct memory_journal *)j)->npending;
}

void memory_journal_stall(struct journal *j, bool stalled)
{
    self(j)->stalled = stalled;
}

void memory_journal_on_submit(struct journal *j, void (*fn)(void *arg), void *arg)
{
    self(j)->on_submit = fn;
    self(j)->on_submit_arg = arg;
}

static int each_open(struct journal *j, const char *kind,
                     bool (*fn)(void *arg, const char *key, const struct json *doc), void *arg,
                     struct err *e)
{
    (void)e;
    struct memory_disk *d = self(j)->disk;
    memory_journal_commit(j);
    bool more = true;
    for (size_t i = 0; i < d->nentries && more; i++) {
        if (!d->entries[i].open || strcmp(d->entries[i].kind, kind) != 0)
            continue;
        struct json *doc = doc_of(&d->entries[i]);
        more = fn(arg, d->entries[i].key, doc);
        json_free(doc);
    }
    return 0;
}

void memory_disk_each(const struct memory_disk *d, const char *kind,
                      void (*fn)(void *arg, const char *key, const struct json *doc), void *arg)
{
    for (size_t i = 0; i < d->nentries; i++) {
        if (strcmp(d->entries[i].kind, kind) != 0)
            continue;
        struct json *doc = doc_of(&d->entries[i]);
        fn(arg, d->entries[i].key, doc);
        json_free(doc);
    }
}

struct found {
    const struct scope *scope;
    const struct token *token;
};

static int by_order(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return (x->token->order > y->token->order) - (x->token->order < y->token->order);
}

static int each_token(struct journal *j, int64_t since_ms,
                      bool (*fn)(void *arg, const char *scope, const char *item, int64_t at_ms),
                      void *arg, struct err *e)
{
    (void)e;
    struct memory_disk *d = self(j)->disk;
    memory_journal_commit(j);
    struct found *all = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < d->nscopes; i++) {
        for (size_t k = 0; k < d->scopes[i].n; k++) {
            if (d->scopes[i].tokens[k].t_ms < since_ms)
                continue;
            ROOM(all, n, cap);
            all[n++] = (struct found){&d->scopes[i], &d->scopes[i].tokens[k]};
        }
    }
    if (n)
        qsort(all, n, sizeof *all, by_order);
    for (size_t i = 0; i < n; i++)
        if (!fn(arg, all[i].scope->name, all[i].token->item, all[i].token->t_ms))
            break;
    mem_free(all);
    return 0;
}

static struct json *source(struct journal *j, const char *hash, struct err *e)
{
    struct memory_disk *d = self(j)->disk;
    memory_journal_commit(j);
    size_t i = memory_map_get(&d->source_of, hash);
    if (i == ABSENT) {
        err_set(e, ERR_NOT_FOUND, "the journal holds no source %s", hash);
        return NULL;
    }
    return json_parse(d->sources[i], strlen(d->sources[i]), strlen(d->sources[i]), e);
}

static int by_series_and_day(const void *a, const void *b)
{
    const struct day *x = *(const struct day *const *)a, *y = *(const struct day *const *)b;
    int c = strcmp(x->series, y->series);
    return c ? c : (x->day_ms > y->day_ms) - (x->day_ms < y->day_ms);
}

static int each_samples(struct journal *j, const char *prefix, int64_t since_ms,
                        bool (*fn)(void *arg, const char *series_key, int64_t day_start_ms,
                                   const void *blob, size_t len),
                        void *arg, struct err *e)
{
    (void)e;
    struct memory_disk *d = self(j)->disk;
    memory_journal_commit(j);
    const struct day **all = mem_calloc(d->ndays ? d->ndays : 1, sizeof(struct day *));
    size_t n = 0;
    for (size_t i = 0; i < d->ndays; i++)
        if (d->days[i].day_ms >= since_ms &&
            strncmp(d->days[i].series, prefix, strlen(prefix)) == 0)
            all[n++] = &d->days[i];
    qsort(all, n, sizeof(struct day *), by_series_and_day);
    for (size_t i = 0; i < n; i++)
        if (!fn(arg, all[i]->series, all[i]->day_ms, all[i]->blob, all[i]->len))
            break;
    mem_free(all);
    return 0;
}

static void head(struct journal *j, char hex[65], int64_t *seq)
{
    const struct chain *c = &self(j)->head;
    hex_encode(c->hash, SHA256_LEN, hex);
    *seq = c->seq;
}

static bool stalled(struct journal *j)
{
    return self(j)->stalled;
}

void memory_journal_crash(struct journal *j)
{
    struct memory_journal *m = self(j);
    for (struct pending *p; (p = m->first);) {
        m->first = p->next;
        pending_free(p);
    }
    mem_free(m);
}

static void close_journal(struct journal *j)
{
    struct memory_journal *m = self(j);
    m->stalled = false;
    while (m->npending)
        memory_journal_pump(j);
    memory_journal_crash(j);
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

struct journal *memory_journal_open(struct memory_disk *d)
{
    struct memory_journal *m = mem_alloc(sizeof *m);
    m->journal.ops = &ops;
    m->disk = d;
    m->epoch = ++d->epoch;
    m->end = &m->first;
    m->head = d->chain;
    return &m->journal;
}
