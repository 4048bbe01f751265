/* What INFO says. The fields and their meaning: redis.io, command INFO (Redis 7.0; ElastiCache
 * answers the same). */
#include "shared_redis_info.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "shared_source.h"

struct json *info_parse(const char *text)
{
    struct json *out = json_new_map();
    char name[128];

    while (*text != '\0') {
        size_t len = strcspn(text, "\r\n"), key = strcspn(text, ":\r\n");

        if (*text != '#' && key > 0 && key < len && key < sizeof(name)) {
            char *value = mem_printf("%.*s", (int)(len - key - 1), text + key + 1);

            memcpy(name, text, key);
            name[key] = '\0';
            json_set_str(out, name, value);
            mem_free(value);
        }
        text += len;
        text += strspn(text, "\r\n");
    }
    return out;
}

bool info_number(const struct json *info, const char *field, double *value)
{
    const char *text = json_get_str(info, field, "");
    char *end = NULL;

    *value = strtod(text, &end);
    return *text != '\0' && *end == '\0' && isfinite(*value);
}

static const char *word(const struct info_node *node, const char *field)
{
    return json_get_str(node->info, field, "");
}

static bool is(const struct info_node *node, const char *field, const char *value)
{
    return strcmp(word(node, field), value) == 0;
}

__attribute__((format(printf, 3, 4))) static bool say(char *why, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, size, fmt, ap);
    va_end(ap);
    return false;
}

static bool silent(const struct info_node *node, char *why, size_t size)
{
    return say(why, size, "%.60s does not answer: %.150s", node->name, node->why);
}

/* Fields that hold while the data set does not: INFO's sections Server and Persistence, and what a
 * replica says of its link. */
static bool is_of_server(const char *field)
{
    static const char *const heads[] = {
        "loading",    "async_loading", "rdb_",          "aof_",         "module_fork_",
        "current_",   "uptime_",       "configured_hz", "server_time_", "lru_clock",
        "process_id", "tcp_port",      "master_",
    };

    for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
        if (strncmp(field, heads[i], strlen(heads[i])) == 0)
            return true;
    }
    return false;
}

static bool never_in_step(const struct info_node *node, char *why, size_t size)
{
    return say(why, size, "replica %.60s has never been in step with its primary", node->name);
}

/* The node's data set is there, and is the cache's. INFO is answered without it, too (redis.io,
 * command INFO: loading, async_loading, master_sync_in_progress): from an old dump that is being
 * read while all other commands are refused, or on a replica that is about to throw its data away
 * for those of its primary. What its memory and its counters say then is not how the cache is. A
 * replica whose link is only down still serves what it has: that is told by its lag alone. */
static bool has_data(const struct info_node *node, char *why, size_t size)
{
    double down_s;

    if (is(node, "loading", "1"))
        return say(why, size, "%.60s is loading its data set and refuses commands", node->name);
    if (is(node, "async_loading", "1"))
        return say(why, size, "%.60s is loading its primary's data set", node->name);
    if (is(node, "master_sync_in_progress", "1"))
        return say(why, size, "replica %.60s is being sent its primary's data set", node->name);
    if (is(node, "master_link_status", "down") &&
        info_number(node->info, "master_link_down_since_seconds", &down_s) && down_s < 0)
        return never_in_step(node, why, size);
    return true;
}

/* A number of INFO that tells what it seems to tell. */
static bool number(const struct info_node *node, const char *field, double *value, char *why,
                   size_t size)
{
    if (node->info == NULL)
        return silent(node, why, size);
    if (!is_of_server(field) && !has_data(node, why, size))
        return false;
    return info_number(node->info, field, value) ||
           say(why, size, "INFO of %.60s has no number %.60s", node->name, field);
}

/* A node that does not answer may be a primary: only the count of the others can say. */
bool info_primaries(const struct info_node *nodes, size_t n, char *why, size_t size)
{
    const struct info_node *lost = NULL;
    double shards = 1;
    size_t primaries = 0;
    bool cluster = false;

    for (size_t i = 0; i < n; i++) {
        if (nodes[i].info == NULL) {
            lost = &nodes[i];
            continue;
        }
        if (is(&nodes[i], "role", "master")) {
            if (!has_data(&nodes[i], why, size))
                return false;
            primaries++;
        }
        if (is(&nodes[i], "cluster_enabled", "1")) {
            if (!cluster || nodes[i].shards > shards)
                shards = nodes[i].shards;
            cluster = true;
        }
    }
    if (cluster && shards < 1)
        return say(why, size,
                   "the cluster's number of shards is not known: the user needs +cluster|info");
    if ((double)primaries == shards)
        return true;
    if (lost != NULL && (double)primaries < shards)
        return silent(lost, why, size);
    if ((double)primaries > shards)
        return say(why, size,
                   "%zu nodes say that they are primary, of %.0f shard%s: wait for the "
                   "failover to end",
                   primaries, shards, shards == 1 ? "" : "s");
    return say(why, size,
               "%zu primar%s of %.0f shards answer%s: name all nodes in nodes = { "
               "\"host:port\" }",
               primaries, primaries == 1 ? "y" : "ies", shards, primaries == 1 ? "s" : "");
}

/* The change of a node's counter since the answer before. A node that was started anew, or took
 * over, counts from somewhere else: there is no change to tell of, and never a negative one. */
static bool change(const struct info_node *now, const struct info_node *before, const char *field,
                   double *delta, int64_t *period_ms, char *why, size_t size)
{
    double a, b;

    if (!number(now, field, &b, why, size))
        return false;
    if (before->info == NULL)
        return say(why, size, "%.60s has answered once: a change needs two readings", now->name);
    if (strcmp(word(now, "run_id"), word(before, "run_id")) != 0 || *word(now, "run_id") == '\0')
        return say(why, size, "%.60s is another server than before: started anew, or a failover",
                   now->name);
    if (strcmp(word(now, "role"), word(before, "role")) != 0)
        return say(why, size, "%.60s changed its role, %.10s to %.10s: a failover", now->name,
                   word(before, "role"), word(now, "role"));
    if (!is_of_server(field) && !has_data(before, why, size))
        return say(why, size, "%.60s had not all its data at the reading before", now->name);
    if (!info_number(before->info, field, &a) || b < a)
        return say(why, size, "%.60s was reset on %.60s", field, now->name);
    if (now->at_ms <= before->at_ms)
        return say(why, size, "%.60s was asked twice at once", now->name);
    *delta = b - a;
    *period_ms = now->at_ms - before->at_ms;
    return true;
}

static double a_minute(double delta, int64_t period_ms)
{
    return delta * 60000.0 / (double)period_ms;
}

bool info_rate(const struct info_node *now, const struct info_node *before, size_t n,
               const char *field, const char *agg, double *per_minute, int64_t *period_ms,
               char *why, size_t size)
{
    double delta = 0;
    int64_t ms = 0;
    size_t primaries = 0;

    *per_minute = 0;
    *period_ms = 0;
    if (!info_primaries(now, n, why, size))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (now[i].info == NULL || !is(&now[i], "role", "master"))
            continue;
        if (!change(&now[i], &before[i], field, &delta, &ms, why, size))
            return false;
        *per_minute = source_fold(agg, *per_minute, a_minute(delta, ms), primaries++);
        *period_ms = ms > *period_ms ? ms : *period_ms;
    }
    return true;
}

bool info_memory(const struct info_node *nodes, size_t n, const char *agg, double *percent,
                 char *why, size_t size)
{
    /* It is of now: that of a server which was started anew is its own, at once. */
    for (size_t i = 0; i < n; i++) {
        double used, most;

        if (!number(&nodes[i], "used_memory", &used, why, size) ||
            !number(&nodes[i], "maxmemory", &most, why, size))
            return false;
        if (most <= 0)
            return say(why, size,
                       "maxmemory of %.60s is 0, without a limit: there is no share of it",
                       nodes[i].name);
        /* Output buffers and the like may be beyond it for a moment. */
        *percent = source_fold(agg, *percent, used >= most ? 100 : 100 * used / most, i);
    }
    return true;
}

bool info_hit_rate(const struct info_node *now, const struct info_node *before, size_t n,
                   double least, double *percent, int64_t *period_ms, char *why, size_t size)
{
    double hits = 0, misses = 0, delta;

    *period_ms = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t ms;

        if (!change(&now[i], &before[i], "keyspace_hits", &delta, &ms, why, size))
            return false;
        hits += delta;
        if (!change(&now[i], &before[i], "keyspace_misses", &delta, &ms, why, size))
            return false;
        misses += delta;
        *period_ms = ms > *period_ms ? ms : *period_ms;
    }
    if (hits + misses < least)
        return say(why, size, "%.0f look-ups since the reading before, fewer than %.0f",
                   hits + misses, least);
    *percent = 100 * hits / (hits + misses);
    return true;
}

/* "ip=10.0.0.1,port=6379,state=online,offset=1,lag=0" */
static bool part(const char *text, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);

    while (text != NULL) {
        if (strncmp(text, name, len) == 0 && text[len] == '=') {
            snprintf(out, size, "%.*s", (int)strcspn(text + len + 1, ","), text + len + 1);
            return true;
        }
        text = strchr(text, ',');
        text = text != NULL ? text + 1 : NULL;
    }
    return false;
}

/* Of a replica: how long ago its primary last spoke, or for how long the link is down. Of a
 * primary: how long ago each of its replicas last acknowledged. */
bool info_replica_lag(const struct info_node *nodes, size_t n, const char *agg, double *ms,
                      char *why, size_t size)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        const struct info_node *node = &nodes[i];
        double seconds, replicas = 0;

        if (node->info == NULL)
            return silent(node, why, size);
        if (!is(node, "role", "master")) {
            bool up = is(node, "master_link_status", "up");

            if (!info_number(node->info,
                             up ? "master_last_io_seconds_ago" : "master_link_down_since_seconds",
                             &seconds) ||
                seconds < 0)
                return never_in_step(node, why, size);
            *ms = source_fold(agg, *ms, seconds * 1000, found++);
            continue;
        }
        if (!has_data(node, why, size)) /* it takes no replica before */
            return false;
        (void)info_number(node->info, "connected_slaves", &replicas);
        for (int k = 0; k < (int)replicas && k < 100; k++) {
            char name[24], text[32], state[32] = "?", *end = NULL;
            const char *line;

            snprintf(name, sizeof(name), "slave%d", k);
            line = word(node, name);
            if (!part(line, "state", state, sizeof(state)) || strcmp(state, "online") != 0)
                return say(why, size, "a replica of %.60s is not in step: %.30s", node->name,
                           state);
            if (!part(line, "lag", text, sizeof(text)) ||
                (seconds = strtod(text, &end), end == text || *end != '\0' || seconds < 0))
                return say(why, size, "INFO of %.60s does not say how far %.20s is behind",
                           node->name, name);
            *ms = source_fold(agg, *ms, seconds * 1000, found++);
        }
    }
    return found > 0 || say(why, size, "it has no replica");
}

bool info_value(const struct info_node *nodes, size_t n, const char *field, const char *agg,
                double *value, char *why, size_t size)
{
    double one;

    for (size_t i = 0; i < n; i++) {
        if (!number(&nodes[i], field, &one, why, size))
            return false;
        *value = source_fold(agg, *value, one, i);
    }
    return true;
}

bool info_value_rate(const struct info_node *now, const struct info_node *before, size_t n,
                     const char *field, const char *agg, double *per_minute, int64_t *period_ms,
                     char *why, size_t size)
{
    double delta = 0;
    int64_t ms = 0;

    *period_ms = 0;
    for (size_t i = 0; i < n; i++) {
        if (!change(&now[i], &before[i], field, &delta, &ms, why, size))
            return false;
        *per_minute = source_fold(agg, *per_minute, a_minute(delta, ms), i);
        *period_ms = ms > *period_ms ? ms : *period_ms;
    }
    return true;
}
