/* Caches by CloudWatch, and cache_scale, against cloudsim: members of a group in one question, no
 * sum without one of them, and how a change of node type ends. */
#include "help_plugins.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define FAST "{\"period\": 1000}"

struct stage {
    struct rig r;
    const struct target *web, *portal, *sharded;
};

static int setup(void **state)
{
    struct stage *s = stage_begin(state, sizeof(*s));

    s->web = rig_target(&s->r, "asg", "web", "{\"aws\": \"prod\"}");
    s->portal = rig_target(&s->r, "cache", "portal",
                           "{\"aws\": \"prod\", \"replication_group\": \"portal\"}");
    s->sharded = rig_target(&s->r, "cache", "sharded",
                            "{\"aws\": \"prod\", \"replication_group\": \"sharded\"}");
    return 0;
}

/* The source of a cache without a host is CloudWatch's instance of its account. */
static void open_cloudwatch(struct source *c, struct stage *s)
{
    const struct signal *signal = signal_find("cache_evictions", NULL);

    assert_string_equal(signal_collector(signal, s->sharded, s->r.estate)->name, "cloudwatch");
    source_open(c, &s->r, "asg_cpu", s->web);
}

static void force(struct stage *s, const char *member, int value)
{
    sim_do(&s->r, "metrics/override",
           "{\"namespace\": \"AWS/ElastiCache\", \"name\": \"Evictions\", \"dimensions\": "
           "{\"CacheClusterId\": \"%s\"}, \"value\": %d}",
           member, value);
}

static void all_members_in_one_question(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *service = rig_target(&s->r, "service", "shop", "{\"cache\": \"sharded\"}");

    force(s, "sharded-0001-001", 1);
    force(s, "sharded-0001-002", 2);
    force(s, "sharded-0002-001", 3);
    force(s, "sharded-0002-002", 4);
    run_for(s->r.loop, 2100);
    open_cloudwatch(&c, s);
    const struct watch *sum = source_watch(&c, "cache_evictions", s->sharded, FAST, 0);
    const struct watch *memory = source_watch(&c, "cache_memory", s->sharded, FAST, 0);
    const struct watch *mean =
        source_watch(&c, "cache_evictions", s->sharded, "{\"period\": 1000, \"agg\": \"avg\"}", 0);
    const struct watch *least =
        source_watch(&c, "cache_evictions", s->sharded, "{\"period\": 1000, \"agg\": \"min\"}", 0);
    const struct watch *any = source_watch(
        &c, "cloudwatch", s->sharded,
        "{\"namespace\": \"AWS/ElastiCache\", \"metric\": \"Evictions\", \"stat\": \"Sum\", "
        "\"unit\": "
        "\"count\", \"dimensions\": {}, \"per\": \"node\", \"agg\": \"max\", \"period\": 1000}",
        0);
    const struct watch *capitals =
        source_watch(&c, "cache_evictions",
                     rig_target(&s->r, "cache", "big",
                                "{\"aws\": \"prod\", \"replication_group\": \"SHARDED\"}"),
                     FAST, 0);
    const struct watch *other = source_watch(&c, "cache_memory", s->portal, FAST, 0);
    const struct watch *of_service = source_watch(&c, "cache_evictions", service, FAST, 0);
    const struct watch *cpu = source_watch(&c, "asg_cpu", s->web, FAST, 0);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 1);
    assert_int_equal(sim_requests(&s->r, "DescribeReplicationGroups"), 1);
    assert_true(source_value(&c, sum) == 600); /* 10 a second, a minute's worth of it */
    assert_true(source_value(&c, mean) == 150 && source_value(&c, least) == 60);
    assert_true(source_value(&c, any) == 4); /* the largest of 1, 2, 3 and 4, as published */
    assert_true(source_value(&c, capitals) == 600);
    assert_true(source_value(&c, of_service) == 600);
    assert_true(source_value(&c, memory) == 100);
    assert_float_equal(source_value(&c, other), 100.0 * 200 / 512, 0.01);
    assert_true(source_value(&c, cpu) > 0);
    run_for(s->r.loop, 1100);
    source_poll(&c);
    assert_int_equal(sim_requests(&s->r, "DescribeReplicationGroups"), 1); /* known for a minute */
    assert_int_equal(sim_requests(&s->r, "GetMetricData"), 2);
    /* A member that stops publishing: nothing is told in place of a sum that would be too low. */
    sim_do(&s->r, "cache", "{\"cache\": \"sharded\", \"silent\": [\"sharded-0002-002\"]}");
    run_for(s->r.loop, 1200);
    source_poll(&c); /* what it published before */
    for (int i = 0; i < 2; i++) {
        run_for(s->r.loop, 1000);
        source_poll(&c);
        for (size_t k = 0; k < c.ngot; k++) {
            if (c.got[k].w == sum)
                assert_true(c.got[k].why[0] != '\0' || c.got[k].value == 600);
        }
        assert_true(source_count(&c, sum) == 0);
        assert_true(source_count(&c, cpu) > 0);
    }
    sim_do(&s->r, "cache", "{\"cache\": \"sharded\", \"silent\": []}");
    source_close(&c);
    json_free(sim(&s->r, "state", NULL));
}

/* Minutes ago one member had no points: by now they will not come any more. */
static void a_gap_of_one_member_is_unknown(void **state)
{
    struct stage *s = *state;
    struct source c;
    int64_t now_s = time(NULL);
    size_t unknown = 0, given = 0;

    sim_do(&s->r, "metrics/drop",
           "{\"namespace\": \"AWS/ElastiCache\", \"name\": \"Evictions\", \"dimensions\": "
           "{\"CacheClusterId\": \"sharded-0002-001\"}, \"start\": %lld, \"end\": %lld}",
           (long long)now_s - 260, (long long)now_s - 250);
    open_cloudwatch(&c, s);
    const struct watch *w = source_watch(&c, "cache_evictions", s->sharded, FAST, 300000);
    source_poll(&c);
    for (size_t k = 0; k < c.ngot; k++) {
        if (c.got[k].w != w)
            continue;
        given += c.got[k].why[0] == '\0';
        if (c.got[k].why[0] != '\0') {
            unknown++;
            assert_non_null(strstr(c.got[k].why, "of member sharded-0002-001 is missing"));
        } else {
            assert_true(c.got[k].start_ms < (now_s - 260) * 1000 ||
                        c.got[k].start_ms >= (now_s - 250) * 1000);
        }
    }
    assert_int_equal(unknown, 10);
    assert_true(given > 250);
    source_close(&c);
}

/* Whichever it is: the first one's points are not where the periods begin. */
static void a_member_without_any_point_is_unknown(void **state)
{
    static const char *const members[] = {"sharded-0001-001", "sharded-0002-001"};
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
        struct source c;
        size_t unknown = 0;

        sim_do(&s->r, "metrics/drop",
               "{\"namespace\": \"AWS/ElastiCache\", \"name\": \"Evictions\", \"dimensions\": "
               "{\"CacheClusterId\": \"%s\"}, \"start\": 0, \"end\": %lld}",
               members[i], (long long)time(NULL) + 1000);
        open_cloudwatch(&c, s);
        const struct watch *w = source_watch(&c, "cache_evictions", s->sharded, FAST, 300000);
        source_poll(&c);
        for (size_t k = 0; k < c.ngot; k++) {
            if (c.got[k].w == w) {
                unknown++;
                assert_non_null(strstr(c.got[k].why, "is missing"));
            }
        }
        assert_true(unknown > 0);
        source_close(&c);
    }
}

static void what_cannot_be_known_says_why(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *gone =
        rig_target(&s->r, "cache", "gone", "{\"aws\": \"prod\", \"replication_group\": \"gone\"}");
    const struct target *nothing = rig_target(&s->r, "cache", "nothing", "{\"aws\": \"prod\"}");
    const struct target *serverless =
        rig_target(&s->r, "cache", "sl", "{\"aws\": \"prod\", \"serverless\": \"sl-1\"}");

    sim_do(&s->r, "metrics",
           "{\"namespace\": \"AWS/ElastiCache\", \"name\": \"Evictions\", \"dimensions\": "
           "{\"clusterId\": \"sl-1\"}, \"points\": [{\"ago\": 4, \"value\": 7}]}");
    open_cloudwatch(&c, s);
    const struct watch *a = source_watch(&c, "cache_evictions", gone, FAST, 0);
    const struct watch *b = source_watch(&c, "cache_evictions", nothing, FAST, 0);
    const struct watch *d = source_watch(&c, "cache_evictions", serverless, FAST, 0);
    const struct watch *e = source_watch(&c, "cache_memory", serverless, FAST, 0);
    const struct watch *per = source_watch(&c, "cloudwatch", nothing,
                                           "{\"namespace\": \"N\", \"metric\": \"M\", \"unit\": "
                                           "\"count\", \"dimensions\": {}, \"per\": "
                                           "\"node\", \"period\": 1000}",
                                           0);
    const struct watch *g = source_watch(&c, "cache_memory", s->portal, "{\"period\": 7000}", 0);
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, a), "there is no replication group gone"));
    assert_non_null(strstr(source_why(&c, b), "says nowhere what it is"));
    assert_true(source_value(&c, d) == 420);
    assert_non_null(strstr(source_why(&c, e), "is serverless"));
    assert_non_null(strstr(source_why(&c, per), "has no nodes that CloudWatch knows"));
    assert_non_null(strstr(source_why(&c, g), "no period of 7s: write"));
    source_close(&c);
}

static void a_listing_that_fails_costs_only_the_caches(void **state)
{
    struct stage *s = *state;
    static const char *const faults[] = {
        "{\"kind\": \"error\", \"code\": \"AccessDenied\", \"status\": 403, \"action\": "
        "\"DescribeReplicationGroups\", \"count\": 9}",
        "{\"kind\": \"answer\", \"status\": 200, \"body\": "
        "\"<DescribeReplicationGroupsResponse/>\", \"action\": \"DescribeReplicationGroups\"}",
        "{\"kind\": \"answer\", \"status\": 200, \"count\": 200, \"body\": "
        "\"<DescribeReplicationGroupsResponse><DescribeReplicationGroupsResult><ReplicationGroups/>"
        "<Marker>again</Marker></DescribeReplicationGroupsResult>"
        "</DescribeReplicationGroupsResponse>\", \"action\": \"DescribeReplicationGroups\"}"};

    for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        struct source c;

        sim_clear(&s->r);
        sim_do(&s->r, "faults", "%s", faults[i]);
        open_cloudwatch(&c, s);
        const struct watch *sum = source_watch(&c, "cache_evictions", s->portal, FAST, 0);
        const struct watch *cpu = source_watch(&c, "asg_cpu", s->web, FAST, 0);
        source_poll(&c);
        assert_int_equal(c.err.code, 0);
        assert_non_null(strstr(source_why(&c, sum), "the members of replication group portal"));
        assert_true(source_value(&c, cpu) > 0);
        source_close(&c);
    }
    sim_clear(&s->r);
    struct source c; /* cancelled and closed in the middle of a listing */
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 20, \"count\": 5}");
    open_cloudwatch(&c, s);
    source_watch(&c, "cache_evictions", s->portal, FAST, 0);
    source_begin(&c);
    run_for(s->r.loop, 30);
    c.type->cancel(c.self);
    run_for(s->r.loop, 30);
    source_begin(&c);
    run_for(s->r.loop, 1);
    source_close(&c);
    run_for(s->r.loop, 50);
}

static void a_part_of_an_answer_is_no_sum(void **state)
{
    struct stage *s = *state;
    struct source c;
    char when[32];
    time_t t = time(NULL) - 3;
    struct tm tm;

    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    open_cloudwatch(&c, s);
    const struct watch *w = source_watch(&c, "cache_evictions", s->portal, FAST, 0);
    sim_do(&s->r, "faults",
           "{\"kind\": \"answer\", \"status\": 200, \"action\": \"GetMetricData\", \"body\": "
           "\"<GetMetricDataResponse><GetMetricDataResult><MetricDataResults>"
           "<member><Id>q0</Id><Timestamps><member>%s</member></Timestamps><Values><member>9"
           "</member></Values><StatusCode>Complete</StatusCode></member>"
           "<member><Id>q1</Id><Timestamps><member>%s</member></Timestamps><Values><member>9"
           "</member></Values><StatusCode>PartialData</StatusCode></member>"
           "</MetricDataResults></GetMetricDataResult></GetMetricDataResponse>\"}",
           when, when);
    source_poll(&c);
    assert_int_equal(source_count(&c, w), 0);
    assert_non_null(strstr(source_why(&c, w), "only a part of Evictions"));
    source_close(&c);
}

/* Status and snapshots, as ElastiCache tells them */

static void status_and_snapshots(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *service = rig_target(&s->r, "service", "shop2", "{\"cache\": \"portal\"}");
    const struct target *gone =
        rig_target(&s->r, "cache", "gone2", "{\"aws\": \"prod\", \"replication_group\": \"gone\"}");
    const struct signal *progress = signal_find("snapshot_progress", NULL);

    assert_string_equal(signal_collector(progress, s->portal, s->r.estate)->name, "elasticache");
    source_open(&c, &s->r, "cache_status", s->portal);
    const struct watch *status = source_watch(&c, "cache_status", s->portal, NULL, 0);
    const struct watch *of_service = source_watch(&c, "cache_status", service, NULL, 0);
    const struct watch *lost = source_watch(&c, "cache_status", gone, NULL, 0);
    const struct watch *p = source_watch(&c, "snapshot_progress", s->portal, NULL, 0);
    sim_clear(&s->r);
    source_poll(&c);
    assert_int_equal(sim_requests(&s->r, "DescribeReplicationGroups"), 1);
    assert_int_equal(sim_requests(&s->r, "DescribeSnapshots"), 1);
    assert_string_equal(status->signal->words[(int)source_value(&c, status)], "available");
    assert_true(source_value(&c, of_service) == source_value(&c, status));
    assert_non_null(strstr(source_why(&c, lost), "there is no replication group gone in account"));
    assert_non_null(strstr(source_why(&c, p), "portal has no manual snapshot"));

    sim_do(&s->r, "cache", "{\"cache\": \"portal\", \"snapshot_seconds\": 1}");
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, "snapshot", s->portal, "{\"name\": \"before\"}", &e);
    struct plan *plan = plan_of("snapshot", s->portal, "{\"name\": \"before\"}", seen, NULL, &e);
    assert_int_equal(act(&s->r, "snapshot", s->portal, json_at(plan->calls, 0), NULL, &e),
                     APPLIED_OK);
    source_poll(&c);
    assert_string_equal(status->signal->words[(int)source_value(&c, status)], "snapshotting");
    assert_true(source_value(&c, p) == 0);
    for (int i = 0; i < 40 && source_value(&c, p) < 100; i++) {
        run_for(s->r.loop, 100);
        source_poll(&c);
    }
    assert_true(source_value(&c, p) == 100);
    source_poll(&c); /* the status may have been asked just before the snapshot was there */
    assert_string_equal(status->signal->words[(int)source_value(&c, status)], "available");
    sim_do(&s->r, "cache", "{\"cache\": \"portal\", \"status\": \"bewildered\"}");
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, status), "\"bewildered\", which is not known"));
    sim_do(&s->r, "cache", "{\"cache\": \"portal\", \"status\": \"available\"}");
    sim_do(&s->r, "faults", "{\"kind\": \"truncated\", \"count\": 9}");
    source_poll(&c);
    assert_int_equal(c.ngot, 0);
    assert_true(c.err.code != 0);
    source_close(&c);
    plan_free(plan);
    json_free(seen);
}

/* cache_scale */

#define LADDER                                                                                     \
    "{\"ladder\": [\"cache.t4g.micro\", \"cache.t4g.small\", \"cache.t4g.medium\"], \"step\": 1}"

static struct json *seen_of(struct stage *s)
{
    struct err e = ERR_INIT;
    struct json *seen = look(&s->r, "cache_scale", s->portal, LADDER, &e);

    if (seen == NULL)
        fail_msg("%s", e.text);
    return seen;
}

static void available(struct stage *s)
{
    for (int i = 0; i < 40; i++) {
        struct json *seen = seen_of(s);
        bool free_now = strcmp(json_get_str(seen, "status", ""), "available") == 0;

        json_free(seen);
        if (free_now)
            return;
        run_for(s->r.loop, 100);
    }
    fail_msg("the group never became available");
}

static void a_step_up_and_back(void **state)
{
    struct stage *s = *state;
    const struct action_type *a = action_find("cache_scale");
    struct json *held = json_new_map(), *seen = seen_of(s), *out = NULL;
    struct action_input in = {.target = s->portal, .opts = held, .wall_ms = 1790000000000 + 60000};
    struct err e = ERR_INIT;
    struct plan *p = plan_of("cache_scale", s->portal, LADDER, seen, NULL, &e), *back;

    assert_string_equal(p->summary, "node type cache.t4g.micro -> cache.t4g.small");
    assert_null(plan_broken(p));
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_NO);
    assert_int_equal(act(&s->r, "cache_scale", s->portal, json_at(p->calls, 0), &out, &e),
                     APPLIED_OK);
    assert_string_equal(json_get_str(out, "after", ""), "cache.t4g.small");
    json_free(out);
    json_free(seen);
    seen = seen_of(s); /* accepted, and on its way */
    assert_string_equal(json_get_str(seen, "status", ""), "modifying");
    assert_string_equal(json_get_str(seen, "node_type", ""), "cache.t4g.micro");
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_YES);
    back = plan_of("cache_scale", s->portal, LADDER, seen, NULL, &e);
    assert_non_null(strstr(plan_broken(back), "the group is available (observed modifying)"));
    plan_free(back);
    json_free(seen);
    /* Once more, by who does not look: AWS refuses. */
    assert_int_equal(act(&s->r, "cache_scale", s->portal, json_at(p->calls, 0), NULL, &e),
                     APPLIED_REFUSED);
    assert_non_null(strstr(e.text, "InvalidReplicationGroupState"));
    available(s);
    seen = seen_of(s);
    assert_string_equal(json_get_str(seen, "node_type", ""), "cache.t4g.small");
    assert_int_equal(json_len(json_get(seen, "pending")), 0);
    assert_int_equal(a->judge(&in, p, 0, seen), VERDICT_YES);
    back = a->undo(&in, p, p, seen, &e);
    assert_string_equal(back->summary, "node type cache.t4g.small -> cache.t4g.micro");
    assert_int_equal(act(&s->r, "cache_scale", s->portal, json_at(back->calls, 0), NULL, &e),
                     APPLIED_OK);
    available(s);
    json_free(seen);
    json_free(held);
    plan_free(p);
    plan_free(back);
}

static void how_a_request_ended(void **state)
{
    struct stage *s = *state;
    struct json *call = json_new_map(), *args = json_set(call, "args", json_new_map());
    struct err e = ERR_INIT;
    static const struct {
        const char *fault;
        enum applied how;
        const char *type; /* then */
    } rows[] = {
        {"{\"kind\": \"error\", \"count\": 1, \"code\": \"InvalidParameterValue\", \"status\": "
         "400, \"action\": \"ModifyReplicationGroup\"}",
         APPLIED_REFUSED, "cache.t4g.micro"},
        {"{\"kind\": \"reset\", \"count\": 1, \"when\": \"after\", \"action\": "
         "\"ModifyReplicationGroup\"}",
         APPLIED_IN_DOUBT, "cache.t4g.small"},
        {"{\"kind\": \"reset\", \"count\": 1, \"action\": \"ModifyReplicationGroup\"}",
         APPLIED_IN_DOUBT, "cache.t4g.micro"},
        {"{\"kind\": \"html\", \"count\": 1, \"when\": \"after\", \"action\": "
         "\"ModifyReplicationGroup\"}",
         APPLIED_IN_DOUBT, "cache.t4g.small"},
        {"{\"kind\": \"throttle\", \"count\": 1, \"action\": \"ModifyReplicationGroup\"}",
         APPLIED_OK, "cache.t4g.small"},
    };

    json_set_str(call, "call", "elasticache:ModifyReplicationGroup");
    json_set_str(args, "ReplicationGroupId", "portal");
    json_set_str(args, "CacheNodeType", "cache.t4g.small");
    json_set_bool(args, "ApplyImmediately", true);
    sim_do(&s->r, "cache", "{\"cache\": \"portal\", \"modify_seconds\": 0}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        sim_clear(&s->r);
        sim_do(&s->r, "cache", "{\"cache\": \"portal\", \"node_type\": \"cache.t4g.micro\"}");
        sim_do(&s->r, "faults", "%s", rows[i].fault);
        assert_int_equal(act(&s->r, "cache_scale", s->portal, call, NULL, &e), rows[i].how);
        available(s);
        struct json *seen = seen_of(s);
        assert_string_equal(json_get_str(seen, "node_type", ""), rows[i].type);
        json_free(seen);
    }
    sim_do(&s->r, "cache",
           "{\"cache\": \"portal\", \"node_type\": \"cache.t4g.micro\", \"modify_seconds\": 1}");
    json_free(call);
}

static void looking_may_fail_and_be_cut_off(void **state)
{
    struct stage *s = *state;
    static const char *const actions[] = {"DescribeReplicationGroups", "DescribeCacheClusters",
                                          "ListAllowedNodeTypeModifications"};
    const struct target *lost =
        rig_target(&s->r, "cache", "lost", "{\"aws\": \"prod\", \"replication_group\": \"lost\"}");
    const struct target *plain =
        rig_target(&s->r, "cache", "plain", "{\"aws\": \"prod\", \"host\": \"10.0.0.1\"}");
    struct json *call = json_new_map();
    struct err e = ERR_INIT;

    for (size_t i = 0; i < 3; i++) {
        sim_do(&s->r, "faults",
               "{\"kind\": \"error\", \"count\": 1, \"action\": \"%s\", \"code\": "
               "\"AccessDenied\", \"status\": 403}",
               actions[i]);
        assert_null(look(&s->r, "cache_scale", s->portal, LADDER, &e));
        assert_non_null(strstr(e.text, actions[i]));
    }
    assert_null(look(&s->r, "cache_scale", lost, LADDER, &e));
    assert_non_null(strstr(e.text, "lost"));
    assert_null(look(&s->r, "cache_scale", plain, LADDER, &e));
    assert_non_null(strstr(e.text, "has no replication_group"));
    assert_int_equal(act(&s->r, "cache_scale", s->portal, call, NULL, &e), APPLIED_NOT_SENT);
    assert_non_null(strstr(e.text, "is no call to AWS"));
    json_set_str(call, "call", "elasticache:ModifyReplicationGroup");
    json_set_str(json_set(call, "args", json_new_map()), "CacheNodeType", "cache.t4g.small");
    /* A condition that this action knows nothing of: of another version, or damage. */
    json_set(call, "if", json_copy(call));
    assert_int_equal(act(&s->r, "cache_scale", s->portal, call, NULL, &e), APPLIED_NOT_SENT);
    assert_non_null(strstr(e.text, "has a condition"));
    json_remove(call, "if");
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 20, \"count\": 10}");
    cut_off(&s->r, "cache_scale", s->portal, LADDER, NULL, 0);
    cut_off(&s->r, "cache_scale", s->portal, LADDER, NULL, 50);
    cut_off(&s->r, "cache_scale", s->portal, LADDER, call, 20);
    json_free(call);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(all_members_in_one_question),
        T(a_gap_of_one_member_is_unknown),
        T(a_member_without_any_point_is_unknown),
        T(what_cannot_be_known_says_why),
        T(status_and_snapshots),
        T(a_listing_that_fails_costs_only_the_caches),
        T(a_part_of_an_answer_is_no_sum),
        T(a_step_up_and_back),
        T(how_a_request_ended),
        T(looking_may_fail_and_be_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
