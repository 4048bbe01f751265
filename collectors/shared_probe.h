/* Questions to places that a target or a policy names, a URL or a TLS server: each is asked once a
 * poll, all at the same time, and told to every series that reads it. */
#ifndef RB_COLLECTORS_SHARED_PROBE_H
#define RB_COLLECTORS_SHARED_PROBE_H

#include "plugin/collector.h"

struct probes;

/* One question. */
struct probe {
    struct probes *set;
    const struct watch *w; /* of the series that read it, one: its options are those of all */
    void *call;            /* what is in flight; NULL: nothing */
    int64_t asked_ms;      /* wall, of the last poll */
    int failures; /* in a row, up to now; kept over a reload while the question is the same */
    char *key;
};

struct probe_type {
    /* What makes two questions the same one, host and options written out; NULL with *why when the
     * series names no place. The caller frees. */
    char *(*key)(const struct estate *e, const struct watch *w, const char **why);
    /* Asks; ends in exactly one of probe_sample, probe_sample_noted and probe_unknown, also at
     * once. */
    void (*begin)(struct probe *p, const struct collector_host *h, const struct estate *e);
    void (*cancel)(struct probe *p); /* ends p->call, which is not NULL, without an answer */
};

void probe_sample(struct probe *p, double value);
void probe_sample_noted(struct probe *p, double value,
                        const char *note); /* note: what decided it */
void probe_unknown(struct probe *p, const char *why);

/* A collector's open, watch, poll, cancel, close and migrate. */
void *probes_open(const struct probe_type *t, const struct collector_host *h,
                  const struct estate *e);
void probes_watch(void *self, const struct watch *const *watches, size_t n);
void probes_poll(void *self);
void probes_cancel(void *self);
void probes_close(void *self);
bool probes_migrate(void *self, const struct estate *e);

#endif
