/* The live world: real clocks, real collectors, real actions. */
#ifndef RB_WORLD_LIVE_H
#define RB_WORLD_LIVE_H

#include "engine/engine.h"
#include "io/http.h"
#include "io/loop.h"
#include "io/resolve.h"
#include "world/discover.h"

struct live;

struct live_options {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct journal *journal;
    int64_t steady_offset_ms; /* steady = boot clock + this: journal_clock */
    const char *freeze_file;  /* while it exists nothing acts; NULL: none */
    const char *ca_file;      /* default of the estate's servers; NULL: none */
    const struct alerts *alerts; /* what was received; NULL: nothing is */
    bool look_only;           /* applies are refused: `runbookd plan` */
    /* What the layer above does with reports. */
    void (*deliver)(void *arg, const char *key, const struct json *report);
    void (*emergency)(void *arg, const char *summary);
    /* Listings changed what discover_estate gives; worry may be NULL. NULL: nothing is discovered.
     */
    void (*relisted)(void *arg, const char *worry);
    void *arg;
};

struct live *live_new(const struct live_options *o); /* copies o */
/* Ends collectors, actions and connections; the engine must not be asked any more, and is freed by
 * the caller after this. */
void live_free(struct live *l);

struct world *live_world(struct live *l);
void live_attach(struct live *l, struct engine *e); /* before the loop runs */

/* The estate of the next engine_load: names of accounts and servers mean this one from now on. */
void live_estate(struct live *l, struct estate *e);

/* Its rows are to be given; NULL without `relisted`. */
struct discover *live_discover(const struct live *l);

int64_t live_now_ms(const struct live *l);
bool live_settled(const struct live *l); /* every source and listing has ended its first poll */
struct json *live_sources(const struct live *l); /* collect_status */
size_t live_steps(const struct live *l);         /* observes and applies in flight */

#endif
