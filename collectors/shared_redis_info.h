/* INFO of a Redis node: the text taken apart, and what two of them in a row say. Pure. */
#ifndef RB_COLLECTORS_SHARED_REDIS_INFO_H
#define RB_COLLECTORS_SHARED_REDIS_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/json.h"

/* "name:value" lines to a map of strings; headings, empty and malformed lines are left out. */
struct json *info_parse(const char *text);
/* A number of it; false when there is none of that name, or it is no plain number. */
bool info_number(const struct json *info, const char *field, double *value);

/* One node's answer; info NULL: it did not answer. */
struct info_node {
    const char *name; /* "host:port", for messages */
    struct json *info;
    int64_t at_ms; /* boot clock of the question */
    char why[200]; /* why it did not answer */
    double shards; /* cluster mode: how many shards there are; below 0: not known */
};

/* All of the following are unknown while a node reads its data set from a dump or from its primary,
 * but for what INFO says of the server itself.
 *
 * What agg makes of a counter of the primaries, a minute, since the answers before: true with the
 * value and the period; false with why. now and before are the same nodes in the same order. */
bool info_rate(const struct info_node *now, const struct info_node *before, size_t n,
               const char *field, const char *agg, double *per_minute, int64_t *period_ms,
               char *why, size_t size);
/* The primaries are all there: one, or in cluster mode one a shard. False with why. */
bool info_primaries(const struct info_node *nodes, size_t n, char *why, size_t size);
/* used_memory / maxmemory, percent, what agg makes of all nodes. */
bool info_memory(const struct info_node *nodes, size_t n, const char *agg, double *percent,
                 char *why, size_t size);
/* Hits of all look-ups since the answers before, percent, over all nodes. */
bool info_hit_rate(const struct info_node *now, const struct info_node *before, size_t n,
                   double least, double *percent, int64_t *period_ms, char *why, size_t size);
/* How far the replicas are behind, milliseconds. */
bool info_replica_lag(const struct info_node *nodes, size_t n, const char *agg, double *ms,
                      char *why, size_t size);
/* Any number of INFO over all nodes; agg is max, sum, avg or min. */
bool info_value(const struct info_node *nodes, size_t n, const char *field, const char *agg,
                double *value, char *why, size_t size);
/* The change of a counter of all nodes, a minute. */
bool info_value_rate(const struct info_node *now, const struct info_node *before, size_t n,
                     const char *field, const char *agg, double *per_minute, int64_t *period_ms,
                     char *why, size_t size);

#endif
