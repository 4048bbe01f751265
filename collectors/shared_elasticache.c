/* The members of replication groups, by DescribeReplicationGroups; and which source a cache has. */
#include "shared_elasticache.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "plugin/target.h"
#include "shared_source.h"

#define LIST_AGAIN_MS 60000 /* members come and go by scaling, failover and replacement */
#define LIST_AGAIN_MAX_MS 300000
/* Older than this, a new shard may be missing from it: a sum over it might be too low. */
#define LIST_OLD_MS 300000
#define PAGES_MAX 100
#define CALL_MS 4000

struct ec_list {
    struct json *groups, *next; /* group: list of members; the listing under way */
    int64_t listed_ms, tried_ms;
    int failures;
    bool tried;
    struct err err; /* of the last listing */
    struct aws *aws;
    struct aws_call *call;
    char *marker;
    int pages;
    int64_t asked_ms;
    ec_fn *fn;
    void *arg;
};

struct ec_list *ec_list_new(void)
{
    return mem_alloc(sizeof(struct ec_list));
}

void ec_list_cancel(struct ec_list *l)
{
    if (l->call != NULL)
        aws_cancel(l->call);
    l->call = NULL;
    mem_free(l->marker);
    l->marker = NULL;
    json_free(l->next);
    l->next = NULL;
}

void ec_list_free(struct ec_list *l)
{
    if (l == NULL)
        return;
    ec_list_cancel(l);
    json_free(l->groups);
    mem_free(l);
}

bool ec_list_due(const struct ec_list *l, int64_t now_ms)
{
    int64_t wait_ms = LIST_AGAIN_MS;

    for (int i = 1; i < l->failures && wait_ms < LIST_AGAIN_MAX_MS; i++)
        wait_ms *= 2;
    return !l->tried || now_ms - l->tried_ms >= wait_ms;
}

bool ec_list_tried(const struct ec_list *l)
{
    return l->tried;
}

static void ask(struct ec_list *l);

static void end(struct ec_list *l, const struct err *e)
{
    l->tried = true;
    l->tried_ms = l->asked_ms;
    if (e == NULL) {
        json_free(l->groups);
        l->groups = l->next;
        l->next = NULL;
        l->listed_ms = l->asked_ms;
        l->failures = 0;
        l->err = (struct err)ERR_INIT;
    } else {
        l->err = *e;
        l->failures++;
    }
    ec_list_cancel(l);
    l->fn(l->arg, e != NULL ? &l->err : NULL);
}

static void take(struct ec_list *l, const struct xml *list)
{
    for (const struct xml *g = xml_child(list, "ReplicationGroup"); g != NULL;
         g = xml_next(g, "ReplicationGroup")) {
        const struct xml *members = xml_child(g, "MemberClusters");
        struct json *ids =
            json_set(l->next, xml_path_text(g, "ReplicationGroupId", "?"), json_new_list());

        for (const struct xml *m = xml_child(members, "ClusterId"); m != NULL;
             m = xml_next(m, "ClusterId"))
            json_add(ids, json_new_str(xml_text(m, "")));
    }
}

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct ec_list *l = arg;
    struct err bad = ERR_INIT;
    const struct xml *result;
    const char *marker;

    l->call = NULL;
    if (e != NULL) {
        end(l, e);
        return;
    }
    result = xml_child(a->xml, "DescribeReplicationGroupsResult");
    marker = xml_path_text(result, "Marker", "");
    if (xml_child(result, "ReplicationGroups") == NULL)
        err_set(&bad, ERR_INPUT, "DescribeReplicationGroups: the answer has no list of groups");
    else if (*marker != '\0' &&
             (++l->pages >= PAGES_MAX || (l->marker != NULL && strcmp(l->marker, marker) == 0)))
        err_set(&bad, ERR_LIMIT, "DescribeReplicationGroups: the pages of the answer do not end");
    if (bad.code != 0) {
        end(l, &bad);
        return;
    }
    take(l, xml_child(result, "ReplicationGroups"));
    if (*marker == '\0') {
        end(l, NULL);
        return;
    }
    mem_free(l->marker);
    l->marker = mem_strdup(marker);
    ask(l);
}

static void ask(struct ec_list *l)
{
    struct aws_params *p = aws_params_new();
    struct aws_request r = {.service = AWS_ELASTICACHE,
                            .action = "DescribeReplicationGroups",
                            .params = p,
                            .deadline_ms = CALL_MS};

    aws_param(p, "Marker", l->marker);
    l->call = aws_send(l->aws, &r, answered, l);
    aws_params_free(p);
}

void ec_list_ask(struct ec_list *l, struct aws *aws, int64_t now_ms, ec_fn *fn, void *arg)
{
    ec_list_cancel(l);
    l->next = json_new_map();
    l->pages = 0;
    l->aws = aws;
    l->asked_ms = now_ms;
    l->fn = fn;
    l->arg = arg;
    ask(l);
}

const struct json *ec_list_members(const struct ec_list *l, const char *group, int64_t now_ms,
                                   char *why, size_t size)
{
    const struct json *members = json_first(l->groups);

    /* ElastiCache keeps names in small letters, however they were given (the model of
     * CreateReplicationGroup). */
    while (members != NULL && strcasecmp(json_key(members), group) != 0)
        members = json_next(members);

    if (l->groups == NULL || now_ms - l->listed_ms > LIST_OLD_MS)
        snprintf(why, size, "the members of replication group %.60s are not known: %.150s", group,
                 l->err.code != 0 ? l->err.text : "they are being listed");
    else if (members == NULL)
        snprintf(why, size,
                 "there is no replication group %.60s in this account and region: correct the "
                 "estate",
                 group);
    else if (json_len(members) == 0)
        snprintf(why, size, "replication group %.60s has no members", group);
    else
        return members;
    return NULL;
}

/* What is asked of CloudWatch. AWS's "Metrics for Redis": both are published by CacheClusterId, and
 * with CacheNodeId, of each member, Evictions as a count of the minute; "Serverless metrics": by
 * clusterId, and no share of memory, because there is no fixed memory. */

static bool is_evictions(const struct watch *w)
{
    return strcmp(w->signal->name, "cache_evictions") == 0;
}

static bool is_any(const struct watch *w)
{
    return strcmp(w->signal->name, "cloudwatch") == 0;
}

bool ec_is_read(const struct watch *w)
{
    return is_evictions(w) || strcmp(w->signal->name, "cache_memory") == 0 ||
           (is_any(w) && strcmp(json_get_str(w->opts, "per", "target"), "node") == 0);
}

static size_t want(struct cw_set *set, const struct watch *w, const char *dimension,
                   const char *value)
{
    struct json *d = is_any(w) ? json_copy(json_get(w->opts, "dimensions")) : json_new_map();
    bool sum = is_evictions(w);
    size_t q;

    json_set_str(d, dimension, value);
    if (is_any(w))
        q = cw_want(set, json_get_str(w->opts, "namespace", ""),
                    json_get_str(w->opts, "metric", ""), d,
                    json_get_str(w->opts, "stat", "Average"), w->interval_ms,
                    json_get_str(w->opts, "expr", NULL));
    else
        q = cw_want(set, "AWS/ElastiCache", sum ? "Evictions" : "DatabaseMemoryUsagePercentage", d,
                    sum ? "Sum" : "Average", w->interval_ms, NULL);
    json_free(d);
    return q;
}

static void read_members(const struct ec_list *l, int64_t now_ms, struct cw_set *set,
                         const char *group, const struct watch *w, struct cw_reading *out)
{
    const struct json *members = ec_list_members(l, group, now_ms, out->why, sizeof(out->why));

    if (members == NULL)
        return;
    out->form = CW_MEMBERS;
    out->members = mem_calloc(json_len(members), sizeof(*out->members));
    for (const struct json *m = json_first(members); m != NULL; m = json_next(m))
        out->members[out->nmembers++] = want(set, w, "CacheClusterId", json_str(m, ""));
    out->a = out->members[0];
}

void ec_read(const struct ec_list *l, int64_t now_ms, struct cw_set *set, const struct estate *e,
             const struct watch *w, struct cw_reading *out)
{
    const struct target *cache = estate_related(e, w->target, "cache");
    const char *group, *serverless;
    bool evictions = is_evictions(w);

    cw_reading_clear(out);
    out->agg = json_get_str(w->opts, "agg", evictions ? "sum" : "max");
    if (evictions) /* a count a minute, whatever the period */
        out->scale = 60000.0 / (double)w->interval_ms;
    if (cache == NULL) {
        snprintf(out->why, sizeof(out->why),
                 "%.60s names no cache of the estate: give it cache = \"...\"", w->target->id);
        return;
    }
    if (is_any(w) && cache != w->target) {
        snprintf(out->why, sizeof(out->why),
                 "%.60s has no nodes: per = \"node\" is for %.60s itself", w->target->id,
                 cache->id);
        return;
    }
    group = json_get_str(cache->fields, "replication_group", NULL);
    serverless = json_get_str(cache->fields, "serverless", NULL);
    if (w->signal->bad_period(w->target, e, w->opts, out->why, sizeof(out->why)))
        return;
    if (group != NULL)
        read_members(l, now_ms, set, group, w, out);
    else if (serverless != NULL && evictions)
        out->a = want(set, w, "clusterId", serverless);
    else if (is_any(w))
        snprintf(
            out->why, sizeof(out->why),
            "%.60s has no nodes that CloudWatch knows: give it replication_group = \"NAME\", or "
            "write per = \"target\"",
            cache->id);
    else if (serverless != NULL)
        snprintf(out->why, sizeof(out->why),
                 "%.60s is serverless: it has no fixed memory that a share could be of", cache->id);
    else
        snprintf(out->why, sizeof(out->why),
                 "%.60s says nowhere what it is: give it host, nodes, replication_group or "
                 "serverless",
                 cache->id);
}

/* Which source a cache has */

bool cache_by_info(const struct target *cache)
{
    return json_get_str(cache->fields, "host", NULL) != NULL ||
           json_len(json_get(cache->fields, "nodes")) > 0;
}

const char *cache_collector(const struct target *t, const struct estate *e)
{
    const struct target *cache = estate_related(e, t, "cache");

    return cache != NULL && !cache_by_info(cache) ? "cloudwatch" : NULL;
}

/* What a service's cache has is not known here: the slower of the two. */
static bool quick(const struct target *t)
{
    return strcmp(t->kind, "cache") == 0 && cache_by_info(t);
}

int64_t cache_interval_ms(const struct target *t, const struct json *opts)
{
    return source_period_ms(opts, quick(t) ? 10000 : 60000);
}

bool cache_bad_period(const struct target *t, const struct estate *e, const struct json *opts,
                      char *text, size_t size)
{
    const struct target *cache = estate_related(e, t, "cache");

    return cache != NULL && !cache_by_info(cache) && cw_bad_period(cache, e, opts, text, size);
}

int64_t cache_lag_ms(const struct target *t)
{
    return quick(t) ? 0 : 180000;
}
