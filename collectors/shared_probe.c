/* The set of distinct questions behind the series of a source. */
#include "shared_probe.h"

#include <string.h>

#include "base/mem.h"
#include "io/loop.h"

struct probes {
    const struct probe_type *type;
    const struct collector_host *host;
    const struct estate *estate;
    const struct watch *const *watches;
    size_t nwatches;
    size_t *reads; /* of each watch the question, or n: it names no place */
    const char **why;
    struct probe *list;
    size_t n, open; /* open: questions that have no answer yet */
};

void *probes_open(const struct probe_type *t, const struct collector_host *h,
                  const struct estate *e)
{
    struct probes *s = mem_alloc(sizeof(*s));

    s->type = t;
    s->host = h;
    s->estate = e;
    return s;
}

static void free_list(struct probe *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(list[i].key);
    mem_free(list);
}

/* The question of that key among n; n when it is none of them. */
static size_t find(const struct probe *list, size_t n, const char *key)
{
    size_t i = 0;

    while (i < n && strcmp(list[i].key, key) != 0)
        i++;
    return i;
}

void probes_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct probes *s = self;
    struct probe *list = mem_calloc(n + 1, sizeof(*list));
    size_t len = 0;

    s->watches = watches;
    s->nwatches = n;
    s->reads = mem_realloc(s->reads, (n + 1) * sizeof(*s->reads));
    s->why = mem_realloc(s->why, (n + 1) * sizeof(*s->why));
    for (size_t i = 0; i < n; i++) {
        char *key = s->type->key(s->estate, watches[i], &s->why[i]);
        size_t at = key != NULL ? find(list, len, key) : SIZE_MAX, before;

        s->reads[i] = at;
        if (key == NULL)
            continue;
        if (at < len) {
            mem_free(key);
            continue;
        }
        before = find(s->list, s->n, key);
        list[len++] = (struct probe){.set = s,
                                     .w = watches[i],
                                     .key = key,
                                     .failures = before < s->n ? s->list[before].failures : 0};
    }
    free_list(s->list, s->n);
    s->list = list;
    s->n = len;
}

static void ended(struct probes *s)
{
    if (--s->open == 0)
        s->host->done(s->host);
}

void probe_sample(struct probe *p, double value)
{
    probe_sample_noted(p, value, NULL);
}

void probe_sample_noted(struct probe *p, double value, const char *note)
{
    struct probes *s = p->set;

    p->call = NULL;
    for (size_t i = 0; i < s->nwatches; i++) {
        if (s->reads[i] != (size_t)(p - s->list))
            continue;
        s->host->sample(s->host, s->watches[i], p->asked_ms, 0, value);
        if (note != NULL)
            s->host->note(s->host, s->watches[i], note);
    }
    ended(s);
}

void probe_unknown(struct probe *p, const char *why)
{
    struct probes *s = p->set;

    p->call = NULL;
    for (size_t i = 0; i < s->nwatches; i++) {
        if (s->reads[i] == (size_t)(p - s->list))
            s->host->unknown(s->host, s->watches[i], why);
    }
    ended(s);
}

void probes_poll(void *self)
{
    struct probes *s = self;

    for (size_t i = 0; i < s->nwatches; i++) {
        if (s->reads[i] == SIZE_MAX)
            s->host->unknown(s->host, s->watches[i], s->why[i]);
    }
    s->open = s->n + 1; /* one of our own, so that an answer at once does not end the poll */
    for (size_t i = 0; i < s->n; i++) {
        s->list[i].asked_ms = loop_wall_ms(s->host->io->loop);
        s->type->begin(&s->list[i], s->host, s->estate);
    }
    ended(s);
}

void probes_cancel(void *self)
{
    struct probes *s = self;

    for (size_t i = 0; i < s->n; i++) {
        if (s->list[i].call != NULL)
            s->type->cancel(&s->list[i]);
        s->list[i].call = NULL;
    }
}

void probes_close(void *self)
{
    struct probes *s = self;

    probes_cancel(s);
    free_list(s->list, s->n);
    mem_free(s->reads);
    mem_free(s->why);
    mem_free(s);
}

bool probes_migrate(void *self, const struct estate *e)
{
    ((struct probes *)self)->estate = e;
    return true;
}
