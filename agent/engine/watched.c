/* The series that conditions read: found by what they are, known by who reads them, judged as
 * fleets; and which of them changed since the last flush. */
#include <string.h>
#include "engine/internal.h"

/* Series of one signal with the same options, one a target (M4). */
struct fleet {
    char *key;
    struct series **members;
    size_t n, cap;
    bool judged;
};

void watched_init(struct engine *e)
{
    e->next_series = 1;
    e->series_by_key = map_new();
    e->fleet_by_key = map_new();
}

static void free_fleets(struct engine *e)
{
    for (size_t k = 0; k < e->nfleets; k++) {
        mem_free(e->fleets[k]->key);
        mem_free(e->fleets[k]->members);
        mem_free(e->fleets[k]);
    }
    mem_free(e->fleets);
    map_free(e->fleet_by_key);
    e->fleets = NULL;
    e->nfleets = 0;
}

void watched_unread(struct engine *e)
{
    for (size_t s = 0; s < e->creaders; s++)
        mem_free(e->readers[s]);
    mem_free(e->readers);
    mem_free(e->nreaders);
    e->readers = NULL;
    e->nreaders = NULL;
    e->creaders = 0;
}

void watched_free(struct engine *e)
{
    watched_unread(e);
    free_fleets(e);
    map_free(e->series_by_key);
    for (size_t k = 0; k < e->nseries; k++)
        series_free(e->series[k]);
    mem_free(e->series);
    mem_free(e->changed);
}

static void join_fleet(struct engine *e, struct series *s)
{
    /* A series is known by signal, target and options, in this order (series_key). */
    const char *opts = s->key + strlen(s->signal->name) + 1 + strlen(s->target->id);
    char *key = mem_printf("%s%s", s->signal->name, opts);
    struct fleet *f = map_get(e->fleet_by_key, key);

    if (!f) {
        f = mem_alloc(sizeof(*f));
        f->key = key;
        key = NULL;
        map_put(e->fleet_by_key, f->key, f);
        e->fleets = mem_realloc(e->fleets, (e->nfleets + 1) * sizeof(struct fleet *));
        e->fleets[e->nfleets++] = f;
        s->fleet = (uint32_t)e->nfleets;
    } else {
        s->fleet = f->members[0]->fleet;
    }
    if (f->n == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 4;
        f->members = mem_realloc(f->members, f->cap * sizeof(struct series *));
    }
    f->members[f->n++] = s;
    mem_free(key);
}

static struct series *find_or_make(struct engine *e, const struct signal *s,
                                   const struct target *of, const struct json *opts,
                                   int64_t history_ms)
{
    /* A run may hold the target of an estate before this one: a series lives in today's. */
    const struct target *t = estate_find(e->estate, of->kind, of->name);
    struct series *found;
    char *key;

    if (!t)
        return NULL;
    key = series_key(s, t, opts);
    found = map_get(e->series_by_key, key);
    if (!found) {
        found = series_new(s, t, e->estate, opts);
        found->id = e->next_series++;
        join_fleet(e, found);
        map_put(e->series_by_key, found->key, found);
        if (e->nseries == e->cseries) {
            e->cseries = e->cseries ? e->cseries * 2 : 64;
            e->series = mem_realloc(e->series, e->cseries * sizeof(*e->series));
        }
        e->series[e->nseries++] = found;
    } else if (found->estate != e->estate)
        series_rehome(found, t, e->estate);
    if (history_ms > found->keep_ms)
        found->keep_ms = history_ms;
    mem_free(key);
    return found;
}

struct series *engine_series(struct engine *e, const struct signal *s, const struct target *of,
                             const struct json *opts, int64_t history_ms)
{
    const struct signal *parts[SIGNAL_PARTS];
    const struct json *part_opts[SIGNAL_PARTS];
    struct series *from[SIGNAL_PARTS], *found;
    size_t n = signal_parts(s, opts, parts, part_opts);

    for (size_t k = 0; k < n; k++) {
        from[k] = engine_series(e, parts[k], of, part_opts[k],
                                history_ms + json_get_int(opts, "over", 0));
        if (!from[k])
            return NULL;
    }
    found = find_or_make(e, s, of, opts, history_ms);
    if (found && n)
        series_made_of(found, from, n);
    return found;
}

void engine_watch(struct engine *e)
{
    struct series **read = mem_calloc(e->nseries + 1, sizeof(struct series *));
    size_t n = 0;

    for (size_t k = 0; k < e->nseries; k++)
        if (!e->series[k]->nfrom)
            read[n++] = e->series[k];
    e->w->ops->watch(e->w, read, n);
    mem_free(read);
}

/* Where a series of this id stands in e->series; e->nseries: nowhere. */
static size_t index_of(const struct engine *e, uint64_t id)
{
    size_t low = 0, high = e->nseries; /* ids only grow: sorted */

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (e->series[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < e->nseries && e->series[low]->id == id ? low : e->nseries;
}

static struct series *series_by_id(struct engine *e, uint64_t id)
{
    size_t k = index_of(e, id);

    return k < e->nseries ? e->series[k] : NULL;
}

/* Who reads them */

struct reading {
    struct engine *e;
    struct instance *i;
};

static void add_reader(void *arg, struct series *s)
{
    struct reading *r = arg;
    struct engine *e = r->e;
    size_t k = index_of(e, s->id);

    if (k == e->nseries)
        return;
    for (size_t n = 0; n < e->nreaders[k]; n++)
        if (e->readers[k][n] == r->i)
            return;
    e->readers[k] = mem_realloc(e->readers[k], (e->nreaders[k] + 1) * sizeof(*e->readers[k]));
    e->readers[k][e->nreaders[k]++] = r->i;
}

void engine_reads(struct engine *e, struct instance *i, const struct bound *b)
{
    if (!b)
        return;
    if (e->creaders < e->cseries) {
        e->readers = mem_realloc(e->readers, e->cseries * sizeof(*e->readers));
        e->nreaders = mem_realloc(e->nreaders, e->cseries * sizeof(*e->nreaders));
        for (size_t k = e->creaders; k < e->cseries; k++) {
            e->readers[k] = NULL;
            e->nreaders[k] = 0;
        }
        e->creaders = e->cseries;
    }
    bound_each_series(b, add_reader, &(struct reading){e, i});
}

void watched_forget(struct engine *e, const struct instance *i)
{
    for (size_t s = 0; s < e->creaders; s++)
        for (size_t n = 0; n < e->nreaders[s];)
            if (e->readers[s][n] == i)
                e->readers[s][n] = e->readers[s][--e->nreaders[s]];
            else
                n++;
}

static void index_readers(struct engine *e)
{
    watched_unread(e);
    for (size_t n = 0; n < e->ninst; n++) {
        struct instance *i = e->inst[n];
        engine_reads(e, i, i->when);
        engine_reads(e, i, i->clear);
        engine_reads(e, i, i->window);
        for (size_t c = 0; c < i->p->nchecks; c++)
            engine_reads(e, i, i->checks[c]);
        for (size_t a = 0; a < i->p->nactions; a++)
            engine_reads(e, i, i->unless[a]);
        for (size_t c = 0; i->run && i->run->checks && c < i->run->p->nchecks; c++)
            engine_reads(e, i, i->run->checks[c]);
        if (i->run)
            engine_reads(e, i, i->run->cleared);
    }
}

/* What changed */

static void note_changed(struct engine *e, struct series *s)
{
    if (s->queued)
        return;
    s->queued = true;
    if (e->nchanged == e->cchanged) {
        e->cchanged = e->cchanged ? e->cchanged * 2 : 64;
        e->changed = mem_realloc(e->changed, e->cchanged * sizeof(*e->changed));
    }
    e->changed[e->nchanged++] = s;
}

void engine_sample(struct engine *e, uint64_t series, int64_t start_wall_ms, int64_t period_ms,
                   double value)
{
    struct series *s = series_by_id(e, series);
    int64_t start_ms;

    if (!s)
        return; /* a late answer for a series that a reload dropped */
    start_ms = now(e) + (start_wall_ms - wall(e));
    series_add(s, start_ms, period_ms, value, now(e));
    note_changed(e, s);
}

void engine_unknown(struct engine *e, uint64_t series, const char *why)
{
    struct series *s = series_by_id(e, series);

    if (!s)
        return;
    series_unknown(s, FINDING_SOURCE, why, now(e));
    note_changed(e, s);
}

void engine_note(struct engine *e, uint64_t series, const char *text)
{
    struct series *s = series_by_id(e, series);

    if (s)
        series_note(s, text);
}

void engine_lost(struct engine *e, uint64_t series, const char *why)
{
    struct series *s = series_by_id(e, series);

    if (s)
        series_lost(s, why);
}

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *w = list; w && *w; w += strcspn(w, " "), w += *w == ' ')
        if (strcspn(w, " ") == n && strncmp(w, word, n) == 0)
            return true;
    return false;
}

void engine_removed(struct engine *e, const struct action_type *type, const struct target *t,
                    const struct plan *p, int64_t since_ms)
{
    size_t n = json_len(p->names);

    for (size_t k = 0; n && type->removes && k < e->nseries; k++) {
        struct series *s = e->series[k];
        if (!s->zero_suspicious || strcmp(s->target->id, t->id) != 0 ||
            !has_word(type->removes, s->signal->name))
            continue;
        series_removed(s, n, since_ms, now(e));
        if (s->dirty)
            note_changed(e, s);
    }
}

/* M4: of each fleet of which a member changed; what that does to the others has changed, too. */
static void judge_fleets(struct engine *e)
{
    size_t n = e->nchanged;

    for (size_t k = 0; k < n; k++) {
        struct fleet *f = e->fleets[e->changed[k]->fleet - 1];
        if (!e->changed[k]->zero_suspicious || f->judged)
            continue;
        f->judged = true;
        if (series_fleet_zero(f->members, f->n, now(e)))
            for (size_t m = 0; m < f->n; m++)
                if (f->members[m]->dirty)
                    note_changed(e, f->members[m]);
    }
    for (size_t k = 0; k < n; k++)
        e->fleets[e->changed[k]->fleet - 1]->judged = false;
}

/* New points of what is made of those that changed. */
static void derive(struct engine *e)
{
    size_t n = e->nchanged;

    for (size_t k = 0; k < n; k++) {
        struct series *s = e->changed[k];
        for (size_t m = 0; m < s->nmakes; m++) {
            series_derive(s->makes[m], now(e));
            note_changed(e, s->makes[m]);
        }
    }
}

void watched_flush(struct engine *e)
{
    judge_fleets(e);
    derive(e);
    for (size_t c = 0; c < e->nchanged; c++) {
        struct series *s = e->changed[c];
        size_t k = index_of(e, s->id);
        s->dirty = s->queued = false;
        for (size_t n = 0; k < e->creaders && n < e->nreaders[k]; n++)
            due_mark(e->readers[k][n]);
    }
    e->nchanged = 0;
}

/* After a load: what nobody reads any more goes. */

struct marking {
    struct engine *e;
    bool *used; /* an entry a series */
};

static void mark(void *arg, struct series *s)
{
    struct marking *m = arg;
    size_t k = s ? index_of(m->e, s->id) : m->e->nseries;

    if (k < m->e->nseries)
        m->used[k] = true;
    for (size_t n = 0; s && n < s->nfrom; n++)
        mark(arg, s->from[n]);
}

static void mark_bound(struct marking *m, const struct bound *b)
{
    if (b)
        bound_each_series(b, mark, m);
}

void watched_sweep(struct engine *e)
{
    struct marking m = {e, mem_calloc(e->nseries + 1, sizeof(bool))};
    size_t kept = 0;

    for (size_t n = 0; n < e->ninst; n++) {
        const struct instance *i = e->inst[n];
        mark_bound(&m, i->when);
        mark_bound(&m, i->clear);
        mark_bound(&m, i->window);
        for (size_t c = 0; c < i->p->nchecks; c++)
            mark_bound(&m, i->checks[c]);
        for (size_t a = 0; a < i->p->nactions; a++) {
            mark_bound(&m, i->unless[a]);
            mark_bound(&m, i->reads[a]);
        }
    }
    for (size_t n = 0; n < e->nruns; n++) {
        struct run *r = e->runs[n];
        mark(&m, r->read_series);
        mark_bound(&m, r->cleared);
        for (size_t c = 0; r->checks && c < r->p->nchecks; c++)
            mark_bound(&m, r->checks[c]);
    }
    for (size_t k = 0; k < e->nseries; k++)
        e->series[k]->nmakes = 0;
    for (size_t k = 0; k < e->nseries; k++)
        if (m.used[k] && e->series[k]->nfrom)
            series_made_of(e->series[k], e->series[k]->from, e->series[k]->nfrom);
    free_fleets(e);
    e->fleet_by_key = map_new();
    e->nchanged = 0; /* every instance is evaluated after a load */
    for (size_t k = 0; k < e->nseries; k++)
        if (m.used[k]) {
            e->series[k]->queued = false;
            join_fleet(e, e->series[k]);
            e->series[kept++] = e->series[k];
        } else {
            map_remove(e->series_by_key, e->series[k]->key);
            series_free(e->series[k]);
        }
    e->nseries = kept;
    mem_free(m.used);
    index_readers(e);
}
