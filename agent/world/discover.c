/* Rows of the estate's discover: listed page by page, journaled, put into force. */
#include <assert.h>
#include "world/discover.h"

#include <string.h>

#include "aws/call.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "plugin/listing.h"
#include "world/health.h"
#include "world/lister.h"

#define CALL_MS 20000
#define PAGES_MAX 200
#define AGAIN_MS 5000 /* after a listing that failed, doubled up to the row's own pace */
#define SPREAD_MS 500 /* rows do not all start at once */

struct row {
    struct discover *d;
    char *key; /* what is listed: the same over restarts and over changes of mode or pace */
    char *name;
    const struct lister *lister;
    struct json *row;     /* as the estate says */
    struct json *listing; /* as journaled; NULL: nothing is known */
    bool listed;          /* completely, since the start */
    bool wanted;
    struct health health;
    struct loop_timer *timer;
    int64_t due_ms;
    /* The listing under way. */
    struct json *found; /* NULL: none */
    size_t step;
    int pages;
    char *token;
    struct aws_call *call;
    struct writing *writing;
};

/* A listing on its way into the journal; outlives a row that a reload takes away. */
struct writing {
    struct row *r; /* NULL: gone */
    struct json *listing;
};

struct discover {
    struct discover_options o;
    struct row **rows;
    size_t nrows;
    struct json *restored; /* by key */
};

static int64_t boot(const struct row *r)
{
    return loop_boot_ms(r->d->o.loop);
}

static void list_again(struct row *r, int64_t after_ms)
{
    r->due_ms = boot(r) + after_ms;
    loop_timer_set(r->timer, after_ms);
}

static void soon(struct row *r)
{
    uint16_t x;

    random_bytes(&x, sizeof(x));
    list_again(r, x % SPREAD_MS);
}

static int64_t pace_ms(const struct row *r)
{
    return json_get_int(r->row, "every", 5 * 60 * 1000LL);
}

/* The end of a listing */

static void drop(struct row *r)
{
    if (r->call)
        aws_cancel(r->call);
    r->call = NULL;
    json_free(r->found);
    r->found = NULL;
    mem_free(r->token);
    r->token = NULL;
}

static void failed(struct row *r, const struct err *e)
{
    int64_t pace = pace_ms(r);

    drop(r);
    health_failed(&r->health, "discover", r->name, boot(r), e);
    list_again(r, health_backoff_ms(&r->health, AGAIN_MS < pace ? AGAIN_MS : pace, pace));
}

static void in_force(struct row *r, struct json *listing)
{
    bool was_empty = json_get_bool(r->listing, "empty", false),
         empty = json_get_bool(listing, "empty", false);
    bool changed = !r->listed || !json_equal(r->listing, listing);
    char *worry = NULL;

    health_ok(&r->health, "discover", r->name, boot(r));
    list_again(r, pace_ms(r));
    if (empty && !was_empty)
        worry = mem_printf(
            "%s lists nothing, after %zu targets before: that is not believed, and nothing acts on "
            "them. If they are gone, take the line out (%s:%lld) and reload",
            r->name, json_len(json_get(listing, "members")), json_get_str(r->row, "file", "?"),
            (long long)json_get_int(r->row, "line", 0));
    else if (was_empty && !empty)
        log_info("discover", "%s: lists its targets again", r->name);
    if (changed)
        log_info("discover", "%s: %zu targets%s", r->name, listing_count(listing),
                 empty ? ", after more before: not believed" : "");
    json_free(r->listing);
    r->listing = listing;
    r->listed = true;
    if (changed)
        r->d->o.changed(r->d->o.arg, worry);
    mem_free(worry);
}

static void written(void *arg, const char *denied, const struct err *e)
{
    struct writing *w = arg;
    struct row *r = w->r;
    struct err why = ERR_INIT;

    (void)denied;
    if (!r) {
        json_free(w->listing);
    } else {
        r->writing = NULL;
        if (e->code) {
            json_free(w->listing);
            err_set(&why, e->code, "what was listed cannot be journaled, so it does not count: %s",
                    e->text);
            failed(r, &why);
        } else {
            in_force(r, w->listing);
        }
    }
    mem_free(w);
}

static void put(struct discover *d, const char *key, const struct json *listing, bool open,
                journal_fn *fn, void *arg)
{
    struct jtx *tx = jtx_new(d->o.now_ms(d->o.arg), loop_wall_ms(d->o.loop));

    assert(d->o.journal != NULL);
    jtx_put(tx, "listing", key, json_copy(listing), open);
    d->o.journal->ops->submit(d->o.journal, tx, fn, arg);
}

static void complete(struct row *r)
{
    struct json *next = listing_next(r->listing, r->found);

    r->found = NULL;
    drop(r);
    if (json_equal(next, r->listing) || !r->d->o.journal) {
        in_force(r, next);
        return;
    }
    r->writing = mem_alloc(sizeof(*r->writing));
    *r->writing = (struct writing){r, next};
    put(r->d, r->key, next, true, written, r->writing);
}

/* Page by page */

static void ask(struct row *r);

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct row *r = arg;
    const struct lister_call *c = &r->lister->calls[r->step];
    struct err why = ERR_INIT;
    char *token = NULL;
    int rc = 0;

    r->call = NULL;
    if (e) {
        failed(r, e);
        return;
    }
    rc = lister_page(c, a->xml, r->row, r->found, &token, &why);
    if (!rc && token && ((r->token && strcmp(token, r->token) == 0) || ++r->pages >= PAGES_MAX))
        rc = err_set(&why, ERR_LIMIT, "the pages of %s do not end", c->action);
    mem_free(r->token);
    r->token = token;
    if (rc) {
        failed(r, &why);
        return;
    }
    if (!token)
        r->step++;
    ask(r);
}

static void ask(struct row *r)
{
    const struct host_io *io = r->d->o.io;
    struct aws_request q = {.deadline_ms = CALL_MS};
    const struct lister_call *c;
    struct err e = ERR_INIT;
    struct aws *aws = io->aws(io->arg, json_get_str(r->row, "aws", ""), &e);
    struct aws_params *p;

    if (!aws) {
        failed(r, &e);
        return;
    }
    while (r->step < r->lister->ncalls && r->lister->calls[r->step].needed &&
           !r->lister->calls[r->step].needed(r->found))
        r->step++;
    if (r->step == r->lister->ncalls) {
        complete(r);
        return;
    }
    c = &r->lister->calls[r->step];
    p = aws_params_new();
    if (c->ask)
        c->ask(p, r->row);
    aws_param(p, c->token_in, r->token);
    q.service = c->service;
    q.action = c->action;
    q.params = p;
    r->call = aws_send(aws, &q, answered, r);
    aws_params_free(p);
}

static void on_timer(void *arg)
{
    struct row *r = arg;

    r->found = json_new_list();
    r->step = 0;
    r->pages = 0;
    ask(r);
}

/* Rows */

static void row_free(struct row *r)
{
    drop(r);
    if (r->writing)
        r->writing->r = NULL;
    loop_timer_free(r->timer);
    json_free(r->row);
    json_free(r->listing);
    mem_free(r->key);
    mem_free(r->name);
    mem_free(r);
}

/* "asg prod us-east-1 {"team":"web"}" */
static char *key_of(const struct json *row, const struct estate *declared)
{
    const char *aws = json_get_str(row, "aws", "");
    const struct target *account = estate_find(declared, "aws", aws);
    char *tag = json_print_canonical(json_get(row, "tag")), *key;

    key = mem_printf("%s %s %s %s", json_get_str(row, "kind", "?"), aws,
                     account ? json_get_str(account->fields, "region", "?") : "?", tag);
    mem_free(tag);
    return key;
}

static char *name_of(const struct json *row)
{
    struct buf b;

    buf_init(&b, 4096);
    buf_addf(&b, "discover.%s of %s", json_get_str(row, "kind", "?"),
             json_get_str(row, "aws", "?"));
    for (const struct json *t = json_first(json_get(row, "tag")); t; t = json_next(t))
        buf_addf(&b, " %s=%s", json_key(t), json_str(t, ""));
    return buf_take(&b);
}

static struct row *find_row(const struct discover *d, const char *key)
{
    for (size_t k = 0; k < d->nrows; k++)
        if (strcmp(d->rows[k]->key, key) == 0)
            return d->rows[k];
    return NULL;
}

static struct row *row_of(struct discover *d, const struct json *row, const char *key)
{
    struct row *r = find_row(d, key);

    if (r)
        return r;
    r = mem_alloc(sizeof(*r));
    r->d = d;
    r->key = mem_strdup(key);
    r->name = name_of(row);
    r->lister = lister_find(json_get_str(row, "kind", ""));
    r->timer = loop_timer_new(d->o.loop, on_timer, r);
    if (json_get(d->restored, key)) {
        r->listing = json_copy(json_get(d->restored, key));
        json_remove(d->restored, key);
    }
    d->rows = mem_realloc(d->rows, (d->nrows + 1) * sizeof(d->rows[0]));
    d->rows[d->nrows++] = r;
    soon(r);
    return r;
}

static void forgotten(void *arg, const char *denied, const struct err *e)
{
    (void)arg;
    (void)denied;
    if (e->code)
        log_warn("discover", "that a listing is no longer wanted cannot be journaled: %s", e->text);
}

void discover_rows(struct discover *d, const struct json *rows, const struct estate *declared)
{
    for (size_t k = 0; k < d->nrows; k++)
        d->rows[k]->wanted = false;
    for (const struct json *j = json_first(rows); j; j = json_next(j)) {
        char *key = key_of(j, declared);
        struct row *r = row_of(d, j, key);
        mem_free(key);
        json_free(r->row);
        r->row = json_copy(j);
        r->wanted = true;
        if (r->found) { /* its client may be about to be replaced */
            drop(r);
            soon(r);
        } else if (!r->writing && r->due_ms > boot(r) + pace_ms(r)) {
            list_again(r, pace_ms(r));
        }
    }
    for (size_t k = 0; k < d->nrows;) {
        struct row *r = d->rows[k];
        if (r->wanted) {
            k++;
            continue;
        }
        if (d->o.journal && (r->listing || r->writing))
            put(d, r->key, r->listing, false, forgotten, NULL);
        row_free(r);
        memmove(&d->rows[k], &d->rows[k + 1], (d->nrows - k - 1) * sizeof(d->rows[0]));
        d->nrows--;
    }
    for (const struct json *left = json_first(d->restored); left; left = json_next(left))
        put(d, json_key(left), left, false, forgotten, NULL);
    json_free(d->restored);
    d->restored = NULL;
}

struct estate *discover_estate(const struct discover *d, const struct json *rows,
                               struct estate *declared)
{
    struct estate *e;

    if (json_len(rows) == 0)
        return estate_ref(declared);
    e = estate_copy(declared);
    for (const struct json *j = json_first(rows); j; j = json_next(j)) {
        char *key = key_of(j, declared);
        const struct row *r = find_row(d, key);
        bool listed = r && r->listed;
        listing_add(e, r ? r->listing : json_get(d->restored, key), j, !listed);
        if (!listed)
            estate_set_partial(e);
        mem_free(key);
    }
    return e;
}

bool discover_settled(const struct discover *d)
{
    for (size_t k = 0; k < d->nrows; k++)
        if (!d->rows[k]->listed && !d->rows[k]->health.failures)
            return false;
    return true;
}

struct json *discover_status(const struct discover *d)
{
    struct json *list = json_new_list();

    for (size_t k = 0; k < d->nrows; k++) {
        const struct row *r = d->rows[k];
        struct json *j = json_add(list, json_new_map());
        size_t all = json_len(json_get(r->listing, "members")), n = listing_count(r->listing);
        bool empty = json_get_bool(r->listing, "empty", false);
        int64_t now = boot(r);
        json_set_str(j, "discover", json_get_str(r->row, "kind", "?"));
        json_set_str(j, "name", r->name);
        json_set_strf(j, "site", "%s:%lld", json_get_str(r->row, "file", "?"),
                      (long long)json_get_int(r->row, "line", 0));
        json_set_int(j, "members", (int64_t)n);
        json_set_int(j, "absent", (int64_t)(all - n));
        json_set_str(j, "listed", empty ? "empty" : r->listed ? "complete" : "unsure");
        health_status(&r->health, now, j);
        if (!r->found && !r->writing)
            json_set_int(j, "next_ms", r->due_ms > now ? r->due_ms - now : 0);
    }
    return list;
}

/* Making and ending */

static bool restore_one(void *arg, const char *key, const struct json *doc)
{
    json_set(arg, key, json_copy(doc));
    return true;
}

int discover_restore(struct discover *d, struct err *e)
{
    d->restored = json_new_map();
    return d->o.journal->ops->each_open(d->o.journal, "listing", restore_one, d->restored, e);
}

struct discover *discover_new(const struct discover_options *o)
{
    struct discover *d = mem_alloc(sizeof(*d));

    d->o = *o;
    return d;
}

void discover_free(struct discover *d)
{
    if (!d)
        return;
    for (size_t k = 0; k < d->nrows; k++)
        row_free(d->rows[k]);
    json_free(d->restored);
    mem_free(d->rows);
    mem_free(d);
}
