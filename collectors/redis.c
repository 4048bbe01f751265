/* Redis servers by INFO: one question to each node a poll, whatever number of series reads it. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/loop.h"
#include "io/redis.h"
#include "plugin/collector.h"
#include "shared_elasticache.h"
#include "shared_redis_info.h"
#include "shared_source.h"

#define COMMAND_MS 3000
#define NODES_MAX 512 /* ElastiCache: at most 500 nodes a cluster */

struct node {
    struct redis_source *s;
    char *name; /* "host:port"; with one node only the target's own */
    bool named; /* in nodes: the connection is by that name */
    struct redis *asked;
    bool waits_cluster;
    struct info_node now, before;
};

struct redis_source {
    const struct collector_host *host;
    const struct estate *estate;
    char *name; /* of the cache */
    const struct watch *const *watches;
    size_t nwatches;
    struct node **nodes; /* each its own: it is what a connection calls back with */
    size_t nnodes, open;
    struct info_node *now, *before; /* views of all nodes */
    int64_t asked_wall_ms;
    struct loop_timer *later; /* to end from outside poll */
    struct err err;           /* the first */
};

static int redis_source(const struct signal *g, const struct target *t, const struct estate *e,
                        char *out, size_t size, struct err *err)
{
    const struct target *cache = estate_related(e, t, "cache");

    (void)g;
    if (cache == NULL)
        return source_no_part(t, "cache", err);
    if (!cache_by_info(cache))
        return err_set(err, ERR_INPUT,
                       "%s has no host: INFO needs one, give it host = \"...\" or nodes = { "
                       "\"host:port\" }",
                       cache->id);
    if ((size_t)snprintf(out, size, "redis/%s", cache->name) >= size)
        return err_set(err, ERR_LIMIT, "%s: its name is too long", cache->id);
    return 0;
}

static void info_clear(struct info_node *i)
{
    json_free(i->info);
    i->info = NULL;
}

static void add_node(struct redis_source *s, char *name, bool named)
{
    struct node *n = mem_alloc(sizeof(*n));

    n->s = s;
    n->name = name;
    n->named = named;
    n->now.name = n->before.name = name;
    snprintf(n->now.why, sizeof(n->now.why), "it has not been asked yet");
    s->nodes = mem_realloc(s->nodes, (s->nnodes + 1) * sizeof(struct node *));
    s->nodes[s->nnodes++] = n;
}

static void later(void *arg);

static void *redis_open(const struct collector_host *h, const struct estate *e, const char *source,
                        struct err *err)
{
    const struct target *cache = estate_find(e, "cache", source_name(source));
    const struct json *nodes = cache != NULL ? json_get(cache->fields, "nodes") : NULL;
    struct redis_source *s;

    if (cache == NULL) {
        err_set(err, ERR_NOT_FOUND, "the estate declares no cache \"%s\"", source_name(source));
        return NULL;
    }
    if (json_len(nodes) > NODES_MAX) {
        err_set(err, ERR_LIMIT, "%s has more than %d nodes", cache->id, NODES_MAX);
        return NULL;
    }
    s = mem_alloc(sizeof(*s));
    s->host = h;
    s->estate = e;
    s->name = mem_strdup(cache->name);
    for (const struct json *n = json_first(nodes); n != NULL; n = json_next(n))
        add_node(s, mem_strdup(json_str(n, "")), true);
    if (s->nnodes == 0)
        add_node(s,
                 mem_printf("%s:%lld", json_get_str(cache->fields, "host", ""),
                            (long long)json_get_int(cache->fields, "port", 6379)),
                 false);
    s->now = mem_calloc(s->nnodes, sizeof(*s->now));
    s->before = mem_calloc(s->nnodes, sizeof(*s->before));
    s->later = loop_timer_new(h->io->loop, later, s);
    return s;
}

static void redis_cancel(void *self)
{
    struct redis_source *s = self;

    for (size_t i = 0; i < s->nnodes; i++) {
        if (s->nodes[i]->asked != NULL)
            redis_forget(s->nodes[i]->asked, s->nodes[i]);
        s->nodes[i]->asked = NULL;
    }
    loop_timer_stop(s->later);
    s->open = 0;
}

static void redis_close(void *self)
{
    struct redis_source *s = self;

    redis_cancel(s);
    for (size_t i = 0; i < s->nnodes; i++) {
        info_clear(&s->nodes[i]->now);
        info_clear(&s->nodes[i]->before);
        mem_free(s->nodes[i]->name);
        mem_free(s->nodes[i]);
    }
    loop_timer_free(s->later);
    mem_free(s->nodes);
    mem_free(s->now);
    mem_free(s->before);
    mem_free(s->name);
    mem_free(s);
}

static void redis_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct redis_source *s = self;

    s->watches = watches;
    s->nwatches = n;
}

/* Telling what came */

/* The period of a change ends now; a reading is of now. */
static void tell(struct redis_source *s, const struct watch *w)
{
    const char *name = w->signal->name, *agg = json_get_str(w->opts, "agg", "sum");
    const char *field = json_get_str(w->opts, "field", "");
    char why[300] = "";
    int64_t period_ms = 0;
    double value = 0;
    bool ok;

    if (strcmp(name, "cache_evictions") == 0)
        ok = info_rate(s->now, s->before, s->nnodes, "evicted_keys", agg, &value, &period_ms, why,
                       sizeof(why));
    else if (strcmp(name, "cache_memory") == 0)
        ok = info_memory(s->now, s->nnodes, agg, &value, why, sizeof(why));
    else if (strcmp(name, "cache_hit_rate") == 0)
        ok = info_hit_rate(s->now, s->before, s->nnodes, json_get_num(w->opts, "min_lookups", 100),
                           &value, &period_ms, why, sizeof(why));
    else if (strcmp(name, "cache_replica_lag") == 0)
        ok = info_replica_lag(s->now, s->nnodes, agg, &value, why, sizeof(why));
    else if (strcmp(name, "cache_fragmentation") == 0)
        ok =
            info_value(s->now, s->nnodes, "mem_fragmentation_ratio", agg, &value, why, sizeof(why));
    else if (json_get_bool(w->opts, "rate", false))
        ok = info_value_rate(s->now, s->before, s->nnodes, field, agg, &value, &period_ms, why,
                             sizeof(why));
    else
        ok = info_value(s->now, s->nnodes, field, agg, &value, why, sizeof(why));
    if (ok)
        s->host->sample(s->host, w, s->asked_wall_ms - period_ms, period_ms, value);
    else
        s->host->unknown(s->host, w, why);
}

static void finish(struct redis_source *s)
{
    bool any = false;

    for (size_t i = 0; i < s->nnodes; i++) {
        s->now[i] = s->nodes[i]->now;
        s->before[i] = s->nodes[i]->before;
        any = any || s->now[i].info != NULL;
    }
    if (!any) {
        s->host->failed(s->host, &s->err);
        return;
    }
    for (size_t i = 0; i < s->nwatches; i++)
        tell(s, s->watches[i]);
    s->host->done(s->host);
}

static void later(void *arg)
{
    finish(arg);
}

/* Asking */

static void node_done(struct node *n, const struct err *e)
{
    struct redis_source *s = n->s;

    n->asked = NULL;
    if (e != NULL) {
        snprintf(n->now.why, sizeof(n->now.why), "%.190s", e->text);
        if (s->err.code == 0)
            s->err = *e;
    }
    if (--s->open == 0)
        finish(s);
}

/* CLUSTER INFO: cluster_size is the number of primaries with slots. Without the right to it the
 * shards are not known. */
static void on_cluster(void *arg, const struct json *reply, bool left, const struct err *e)
{
    struct node *n = arg;
    struct json *info = info_parse(e == NULL ? json_str(reply, "") : "");

    (void)left;
    if (!info_number(info, "cluster_size", &n->now.shards))
        n->now.shards = -1;
    json_free(info);
    node_done(n, NULL);
}

static void on_info(void *arg, const struct json *reply, bool left, const struct err *e)
{
    static const char *const cluster[] = {"CLUSTER", "INFO"};
    struct node *n = arg;
    struct err bad = ERR_INIT;

    (void)left;
    if (e != NULL) {
        node_done(n, e);
        return;
    }
    n->now.info = info_parse(json_str(reply, ""));
    if (json_get(n->now.info, "run_id") == NULL || json_get(n->now.info, "role") == NULL) {
        info_clear(&n->now);
        err_set(&bad, ERR_INPUT, "%s: INFO has no run_id or no role", n->name);
        node_done(n, &bad);
    } else if (strcmp(json_get_str(n->now.info, "cluster_enabled", "0"), "1") == 0) {
        redis_command(n->asked, cluster, 2, COMMAND_MS, on_cluster, n);
    } else {
        n->now.shards = 1;
        node_done(n, NULL);
    }
}

static void redis_poll(void *self)
{
    static const char *const info[] = {"INFO"};
    struct redis_source *s = self;
    const struct host_io *io = s->host->io;
    const struct target *cache = estate_find(s->estate, "cache", s->name);

    s->err = (struct err)ERR_INIT;
    s->asked_wall_ms = loop_wall_ms(io->loop);
    s->open = 0;
    for (size_t i = 0; i < s->nnodes; i++) {
        struct node *n = s->nodes[i];
        struct err e = ERR_INIT;

        /* An answer that failed is kept as no answer: a change is told between two in a row only,
         * so that no time counts twice and none is left out. */
        info_clear(&n->before);
        n->before = n->now;
        n->now = (struct info_node){.name = n->name, .at_ms = loop_boot_ms(io->loop)};
        n->asked = cache != NULL
                       ? io->redis(io->arg, cache, n->named ? n->name : NULL, "collect", &e)
                       : NULL;
        if (n->asked == NULL) {
            if (e.code == 0)
                err_set(&e, ERR_NOT_FOUND, "the estate declares no cache \"%s\"", s->name);
            snprintf(n->now.why, sizeof(n->now.why), "%.190s", e.text);
            if (s->err.code == 0)
                s->err = e;
            continue;
        }
        s->open++;
        redis_command(n->asked, info, 1, COMMAND_MS, on_info, n);
    }
    if (s->open == 0)
        loop_timer_set(s->later, 0);
}

static bool redis_migrate(void *self, const struct estate *e)
{
    ((struct redis_source *)self)->estate = e;
    return true;
}

/* Descriptors */

#define PERIOD(every, more) SOURCE_PERIOD(every, "how often it is asked" more)
#define AGG_OF(default_agg, all)                                                                   \
    {                                                                                              \
        .name = "agg", .type = OPT_ENUM, .fallback = (default_agg), .words = (all),                \
        .help = "what is made of the readings of several nodes"                                    \
    }
#define AGG(default_agg) AGG_OF(default_agg, "max|sum|avg|min")
#define BOTH_PERIOD                                                                                \
    PERIOD(NULL, "; without it 10s by INFO, 1m from CloudWatch, which has whole minutes only")

static const struct option evictions_options[] = {BOTH_PERIOD, AGG("sum")};
/* A sum of shares is the share of nothing. */
static const struct option memory_options[] = {BOTH_PERIOD, AGG_OF("max", "max|avg|min")};
static const struct option node_options[] = {PERIOD("10s", ""), AGG("max")};
static const struct option hit_options[] = {
    PERIOD("10s", ""),
    {.name = "min_lookups",
     .type = OPT_COUNT,
     .fallback = "100",
     .min = 1,
     .max = 1000000000,
     .help = "look-ups between two readings below which a share says nothing: unknown"},
};
static const struct option any_options[] = {
    {.name = "field",
     .type = OPT_STRING,
     .required = true,
     .min = 1,
     .max = 100,
     .help = "a number of INFO: \"connected_clients\", \"instantaneous_ops_per_sec\""},
    {.name = "rate",
     .type = OPT_BOOL,
     .fallback = "false",
     .help = "its change a minute, for fields that only count up: \"expired_keys\""},
    AGG("max"),
    PERIOD("10s", "")};

static const char *const members[] = {"cloudwatch:GetMetricData *",
                                      "elasticache:DescribeReplicationGroups *", NULL};

#define BOTH                                                                                       \
    .targets = "cache service", .interval_ms = cache_interval_ms, .default_interval_ms = 60000,    \
    .lag_ms = 180000, .lag_of_ms = cache_lag_ms, .collector = cache_collector,                     \
    .bad_period = cache_bad_period, .other_permissions = members
#define INFO                                                                                       \
    .targets = "cache service", .interval_ms = source_interval, .default_interval_ms = 10000

static const struct signal redis_signals[] = {
    {.name = "cache_evictions",
     .summary =
         "keys that were pushed out because the memory is full, a minute, over all "
         "primaries (`agg`); by INFO where the estate gives the cache a host, else from CloudWatch",
     .source = "INFO evicted_keys, the change since the reading before; or AWS/ElastiCache "
               "Evictions by CacheClusterId, Sum, over all members",
     .unit = UNIT_PER_MINUTE,
     .options = OPTIONS(evictions_options),
     BOTH},
    {.name = "cache_memory",
     .summary = "share of its memory that the fullest node uses, or what `agg` says; by INFO where "
                "the estate gives the "
                "cache a host, else from CloudWatch",
     .source = "INFO used_memory / maxmemory; or AWS/ElastiCache DatabaseMemoryUsagePercentage by "
               "CacheClusterId, Average, over all members",
     .unit = UNIT_PERCENT,
     .options = OPTIONS(memory_options),
     BOTH},
    {.name = "cache_hit_rate",
     .summary = "share of the look-ups since the reading before that found their key",
     .source = "INFO keyspace_hits / (keyspace_hits + keyspace_misses)",
     .unit = UNIT_PERCENT,
     .options = OPTIONS(hit_options),
     INFO},
    {.name = "cache_replica_lag",
     .summary = "how long ago replicas and their primary last heard of each other; unknown without "
                "a replica and while one is being made",
     .source = "INFO slaveN lag of primaries, master_last_io_seconds_ago of replicas",
     .unit = UNIT_DURATION,
     .options = OPTIONS(node_options),
     INFO},
    {.name = "cache_fragmentation",
     .summary = "memory that the server takes from the system, divided by what its data need",
     .source = "INFO mem_fragmentation_ratio",
     .unit = UNIT_NUMBER,
     .options = OPTIONS(node_options),
     INFO},
    {.name = "redis",
     .summary = "any number of INFO, or how fast it grows",
     .source = "INFO",
     .unit = UNIT_NUMBER,
     .options = OPTIONS(any_options),
     INFO},
};

static const char *const redis_permissions[] = {"redis:+info", "redis:+cluster|info", NULL};

const struct collector_type redis_collector = {
    .name = "redis",
    .summary = "Redis servers, by INFO",
    .signals = redis_signals,
    .nsignals = sizeof(redis_signals) / sizeof(*redis_signals),
    .permissions = redis_permissions,
    .deadline_ms = 10000,
    .source = redis_source,
    .open = redis_open,
    .watch = redis_watch,
    .poll = redis_poll,
    .cancel = redis_cancel,
    .close = redis_close,
    .migrate = redis_migrate,
};
