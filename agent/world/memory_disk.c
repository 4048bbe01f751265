/* The memory journal's disk: what was committed, in order. */
#include "world/memory_disk.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "world/chain.h"

static size_t map_hash(const char *text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

static struct slot *map_slot(const struct map *m, const char *text)
{
    size_t i = map_hash(text) & (m->size - 1);
    while (m->slots[i].text && strcmp(m->slots[i].text, text) != 0)
        i = (i + 1) & (m->size - 1);
    return &m->slots[i];
}

size_t memory_map_get(const struct map *m, const char *text)
{
    struct slot *s = m->size ? map_slot(m, text) : NULL;
    return s && s->text ? s->value : ABSENT;
}

static void map_add(struct map *m, const char *text, size_t value)
{
    if (2 * m->used >= m->size) {
        struct map bigger = {.size = m->size ? 2 * m->size : 64, .used = m->used};
        bigger.slots = mem_calloc(bigger.size, sizeof *bigger.slots);
        for (size_t i = 0; i < m->size; i++)
            if (m->slots[i].text)
                *map_slot(&bigger, m->slots[i].text) = m->slots[i];
        mem_free(m->slots);
        *m = bigger;
    }
    struct slot *s = map_slot(m, text);
    s->text = mem_strdup(text);
    s->value = value;
    m->used++;
}

static void map_free(struct map *m)
{
    for (size_t i = 0; i < m->size; i++)
        mem_free(m->slots[i].text);
    mem_free(m->slots);
}

struct memory_disk *memory_disk_new(void)
{
    return mem_alloc(sizeof(struct memory_disk));
}

void memory_disk_free(struct memory_disk *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->nentries; i++) {
        mem_free(d->entries[i].kind);
        mem_free(d->entries[i].key);
        mem_free(d->entries[i].doc);
    }
    for (size_t i = 0; i < d->nscopes; i++) {
        for (size_t k = 0; k < d->scopes[i].n; k++)
            mem_free(d->scopes[i].tokens[k].item);
        mem_free(d->scopes[i].tokens);
        mem_free(d->scopes[i].name);
    }
    for (size_t i = 0; i < d->nsources; i++)
        mem_free(d->sources[i]);
    for (size_t i = 0; i < d->ndays; i++) {
        mem_free(d->days[i].series);
        mem_free(d->days[i].blob);
    }
    map_free(&d->entry_of);
    map_free(&d->scope_of);
    map_free(&d->source_of);
    map_free(&d->day_of);
    mem_free(d->entries);
    mem_free(d->rows);
    mem_free(d->scopes);
    mem_free(d->sources);
    mem_free(d->days);
    mem_free(d->faults);
    mem_free(d);
}

void memory_disk_fail(struct memory_disk *d, uint64_t nth, enum memory_fault how)
{
    ROOM(d->faults, d->nfaults, d->fault_cap);
    d->faults[d->nfaults++] = (struct fault){.nth = d->commits + nth, .how = how};
}

void memory_disk_unreadable(struct memory_disk *d, const char *kind)
{
    snprintf(d->unreadable, sizeof(d->unreadable), "%s", kind);
}

uint64_t memory_disk_commits(const struct memory_disk *d)
{
    return d->commits;
}

const struct fault *memory_disk_fault(const struct memory_disk *d)
{
    for (size_t i = 0; i < d->nfaults; i++)
        if (d->faults[i].nth == d->commits)
            return &d->faults[i];
    return NULL;
}

static struct scope *scope_get(struct memory_disk *d, const char *name)
{
    size_t i = memory_map_get(&d->scope_of, name);
    if (i == ABSENT) {
        ROOM(d->scopes, d->nscopes, d->scope_cap);
        i = d->nscopes++;
        d->scopes[i] = (struct scope){.name = mem_strdup(name)};
        map_add(&d->scope_of, name, i);
    }
    return &d->scopes[i];
}

/* Whether one more taking of item is allowed at now. */
static bool token_free(const struct scope *s, const struct jop *op, int64_t now_ms)
{
    int64_t since = now_ms - op->window_ms;
    int distinct = 1;
    if (op->max < 0)
        return true;
    for (size_t i = s->n; i-- > 0;) {
        const struct token *t = &s->tokens[i];
        if (t->t_ms <= since) {
            if (s->unordered)
                continue;
            break;
        }
        if (strcmp(t->item, op->item) == 0)
            return true;
        bool seen = false;
        for (size_t k = i + 1; k < s->n && !seen; k++)
            seen = s->tokens[k].t_ms > since && strcmp(s->tokens[k].item, t->item) == 0;
        distinct += !seen;
    }
    return distinct <= op->max;
}

static void token_take(struct scope *s, const char *item, int64_t order, int64_t now_ms)
{
    if (s->n && s->tokens[s->n - 1].t_ms > now_ms)
        s->unordered = true;
    ROOM(s->tokens, s->n, s->cap);
    s->tokens[s->n++] = (struct token){.order = order, .t_ms = now_ms, .item = mem_strdup(item)};
}

static size_t token_newest(const struct scope *s, const char *item)
{
    for (size_t i = s->n; i-- > 0;)
        if (strcmp(s->tokens[i].item, item) == 0)
            return i;
    return ABSENT;
}

static struct token token_remove(struct scope *s, size_t i)
{
    struct token t = s->tokens[i];
    memmove(&s->tokens[i], &s->tokens[i + 1], (s->n - i - 1) * sizeof *s->tokens);
    s->n--;
    return t;
}

static void token_restore(struct scope *s, struct token t, size_t i)
{
    ROOM(s->tokens, s->n, s->cap);
    memmove(&s->tokens[i + 1], &s->tokens[i], (s->n - i) * sizeof *s->tokens);
    s->tokens[i] = t;
    s->n++;
}

static void put_entry(struct memory_disk *d, const struct chain_row *r, char *doc)
{
    char *name = mem_printf("%s\n%s", r->kind, r->key);
    size_t i = memory_map_get(&d->entry_of, name);
    if (i == ABSENT) {
        ROOM(d->entries, d->nentries, d->entry_cap);
        i = d->nentries++;
        d->entries[i] = (struct entry){.kind = mem_strdup(r->kind), .key = mem_strdup(r->key)};
        map_add(&d->entry_of, name, i);
    }
    mem_free(name);
    struct entry *en = &d->entries[i];
    mem_free(en->doc);
    en->doc = doc;
    en->open = r->open;
    en->seq = d->chain.seq;
    d->rows[d->chain.seq - 1] = i;
}

static void put_samples(struct memory_disk *d, struct jop *op)
{
    char *name = mem_printf("%lld\n%s", (long long)op->at_ms, op->key);
    size_t i = memory_map_get(&d->day_of, name);
    if (i == ABSENT) {
        ROOM(d->days, d->ndays, d->day_cap);
        i = d->ndays++;
        d->days[i] = (struct day){.series = mem_strdup(op->key), .day_ms = op->at_ms};
        map_add(&d->day_of, name, i);
    }
    mem_free(name);
    mem_free(d->days[i].blob);
    d->days[i].blob = op->blob;
    d->days[i].len = op->blob_len;
    op->blob = NULL;
}

static void put_source(struct memory_disk *d, const struct jop *op)
{
    char sha[SHA256_HEX];
    ROOM(d->sources, d->nsources, d->source_cap);
    d->sources[d->nsources] = chain_source_text(op, sha);
    map_add(&d->source_of, op->key, d->nsources++);
}

/* One operation that cannot fail any more: its row, and what it says. `done`: of a giving back,
 * whether there was something to give. */
static void apply(struct memory_disk *d, const struct jtx *tx, struct jop *op, bool done)
{
    if (op->op == JOP_SAMPLES) {
        put_samples(d, op);
        return;
    }
    if (op->op == JOP_GIVE_BACK && !done)
        return;
    if (op->op == JOP_SOURCE && memory_map_get(&d->source_of, op->key) != ABSENT)
        return;
    struct chain_row r;
    char *text = chain_row_of(tx, op, &r);
    size_t n = (size_t)d->chain.seq;
    ROOM(d->rows, n, d->row_cap);
    d->rows[n] = ABSENT;
    chain_add(&d->chain, &r);
    if (op->op == JOP_PUT) {
        put_entry(d, &r, text);
        return;
    }
    mem_free(text);
    if (op->op == JOP_SOURCE)
        put_source(d, op);
}

/* Only tokens can be refused, so they go first, and are taken back when one is. */
struct token_change {
    size_t scope, at;
    struct token token; /* given back; item NULL: it was a taking */
};

int memory_disk_apply(struct memory_disk *d, struct jtx *tx, char **denied, struct err *e)
{
    struct token_change *changes = mem_calloc(tx->nops ? tx->nops : 1, sizeof *changes);
    bool *done = mem_calloc(tx->nops ? tx->nops : 1, sizeof *done);
    size_t n = 0;
    int code = 0;
    for (size_t i = 0; i < tx->nops && !code; i++) {
        struct jop *op = &tx->ops[i];
        if (op->op != JOP_TAKE && op->op != JOP_GIVE_BACK)
            continue;
        struct scope *s = scope_get(d, op->scope);
        struct token_change c = {.scope = (size_t)(s - d->scopes)};
        if (op->op == JOP_GIVE_BACK) {
            c.at = s->n > 0 ? token_newest(s, op->item) : ABSENT;
            if (c.at == ABSENT)
                continue;
            c.token = token_remove(s, c.at);
        } else if (token_free(s, op, tx->now_ms)) {
            c.at = s->n;
            token_take(s, op->item, ++d->takings, tx->now_ms);
        } else {
            *denied = mem_strdup(op->scope);
            code = err_set(e, ERR_DENIED, "no token left of %s: at most %d within %lld ms",
                           op->scope, op->max, (long long)op->window_ms);
            continue;
        }
        done[i] = true;
        changes[n++] = c;
    }
    while (code && n > 0) {
        struct token_change *c = &changes[--n];
        struct scope *s = &d->scopes[c->scope];
        if (c->token.item)
            token_restore(s, c->token, c->at);
        else
            mem_free(token_remove(s, c->at).item);
    }
    for (size_t i = 0; i < n; i++)
        mem_free(changes[i].token.item);
    for (size_t i = 0; i < tx->nops && !code; i++)
        apply(d, tx, &tx->ops[i], done[i]);
    mem_free(changes);
    mem_free(done);
    return code;
}
