/* What each signal of CloudWatch asks for: namespace, metric, dimensions, statistic, scale. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "collectors/shared_cloudwatch_signals.h"

static struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(text, strlen(text), 1 << 16, &e);

    assert_non_null(j);
    return j;
}

static struct estate *estate(void)
{
    static const struct {
        const char *kind, *name, *fields;
    } rows[] = {
        {"asg", "web", "{\"aws\": \"prod\", \"alb\": \"app/w/1\", \"target_group\": \"tg/w/2\"}"},
        {"asg", "slow",
         "{\"aws\": \"prod\", \"alb\": \"app/w/1\", \"target_group\": \"tg/w/2\", \"detailed\": "
         "false}"},
        {"proxy", "px", "{\"aws\": \"prod\", \"target_group\": \"default\"}"},
        {"postgres", "db", "{\"aws\": \"prod\", \"instance\": \"db-1\", \"proxy\": \"px\"}"},
        {"postgres", "bare", "{\"aws\": \"prod\"}"},
    };
    struct estate *e = estate_new();
    struct err err = ERR_INIT;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        assert_int_equal(estate_add(e, rows[i].kind, rows[i].name, NULL, parse(rows[i].fields),
                                    MODE_ENFORCE, "t", 1, &err),
                         0);
    return e;
}

static const struct signal *find(const char *name)
{
    for (size_t i = 0; i < CW_SIGNALS; i++) {
        if (strcmp(cw_signals[i].name, name) == 0)
            return &cw_signals[i];
    }
    fprintf(stderr, "no signal %s\n", name);
    abort();
}

static void read_it(struct cw_set *set, const struct estate *e, const char *signal,
                    const char *target, const char *opts, struct cw_reading *out)
{
    struct json *o = parse(opts);
    struct watch w = {.signal = find(signal), .target = estate_by_id(e, target), .opts = o};

    option_defaults(w.signal->options, w.signal->noptions, o);
    w.interval_ms = w.signal->interval_ms(w.target, o);
    cw_read(set, e, &w, out);
    json_free(o);
}

static void asked(const struct cw_set *set, size_t query, const char *metric, const char *where,
                  const char *stat)
{
    const struct cw_query *q;
    char *d;

    assert_true(query < set->nqueries);
    q = &set->queries[query];
    d = json_print_canonical(q->dimensions);
    if (strcmp(q->metric, metric) != 0 || strcmp(d, where) != 0 || strcmp(q->stat, stat) != 0)
        fail_msg("asks for %s %s %s, not %s %s %s", q->metric, d, q->stat, metric, where, stat);
    mem_free(d);
}

#define ALB "{\"LoadBalancer\":\"app/w/1\",\"TargetGroup\":\"tg/w/2\"}"
#define PX "{\"ProxyName\":\"px\"}"
#define DB "{\"DBInstanceIdentifier\":\"db-1\"}"

/* Each signal but "cloudwatch", so that none can be added without its metric. */
static void what_each_asks_for(void **state)
{
    static const struct {
        const char *signal, *target, *namespace, *metric, *where, *stat;
        double scale; /* of a value to the signal's base unit: ms, bytes, percent */
        const char *whole;
    } rows[] = {
        {"asg_cpu", "asg/web", "AWS/EC2", "CPUUtilization", "{\"AutoScalingGroupName\":\"web\"}",
         "Average", 1, NULL},
        {"alb_p99", "asg/web", "AWS/ApplicationELB", "TargetResponseTime", ALB, "p99", 1000, NULL},
        {"alb_avg", "asg/web", "AWS/ApplicationELB", "TargetResponseTime", ALB, "Average", 1000,
         NULL},
        {"alb_requests", "asg/web", "AWS/ApplicationELB", "RequestCount", ALB, "Sum", 1, NULL},
        {"alb_5xx", "asg/web", "AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", ALB, "Sum", 1,
         "RequestCount"},
        {"db_cpu", "postgres/db", "AWS/RDS", "CPUUtilization", DB, "Average", 1, NULL},
        {"db_memory_free", "postgres/db", "AWS/RDS", "FreeableMemory", DB, "Average", 1, NULL},
        {"db_storage_free", "postgres/db", "AWS/RDS", "FreeStorageSpace", DB, "Average", 1, NULL},
        {"rds_replica_lag", "postgres/db", "AWS/RDS", "ReplicaLag", DB, "Average", 1000, NULL},
        {"proxy_clients", "proxy/px", "AWS/RDS", "ClientConnections", PX, "Sum", 1, NULL},
        {"proxy_connections", "postgres/db", "AWS/RDS", "DatabaseConnections", PX, "Sum", 1, NULL},
        {"proxy_pinned", "postgres/db", "AWS/RDS", "DatabaseConnectionsCurrentlySessionPinned", PX,
         "Sum", 1, NULL},
        {"proxy_borrow_latency", "proxy/px", "AWS/RDS", "DatabaseConnectionsBorrowLatency", PX,
         "Average", 0.001, NULL},
        {"proxy_pool_used", "postgres/db", "AWS/RDS", "DatabaseConnections", PX, "Sum", 1,
         "MaxDatabaseConnectionsAllowed"},
    };
    struct estate *e = estate();
    struct cw_set set;
    struct cw_reading r = {0};

    (void)state;
    cw_init(&set);
    assert_int_equal(sizeof(rows) / sizeof(*rows) + 1, CW_SIGNALS);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        read_it(&set, e, rows[i].signal, rows[i].target, "{}", &r);
        if (r.why[0] != '\0')
            fail_msg("%s: %s", rows[i].signal, r.why);
        asked(&set, r.a, rows[i].metric, rows[i].where, rows[i].stat);
        assert_string_equal(set.queries[r.a].namespace, rows[i].namespace);
        assert_int_equal(set.queries[r.a].period_ms, 60000);
        assert_true(r.scale > rows[i].scale * 0.999 && r.scale < rows[i].scale * 1.001);
        if (rows[i].whole != NULL)
            asked(&set, r.c, rows[i].whole, rows[i].where, rows[i].stat);
        else
            assert_true(r.c == CW_NONE && r.form == CW_METRIC);
    }
    /* The balancer's own errors have no target group. */
    read_it(&set, e, "alb_5xx", "asg/web", "{}", &r);
    asked(&set, r.b, "HTTPCode_ELB_5XX_Count", "{\"LoadBalancer\":\"app/w/1\"}", "Sum");
    asked(&set, r.d, "RequestCount", "{\"LoadBalancer\":\"app/w/1\"}", "Sum");
    assert_int_equal(r.form, CW_ERRORS);
    read_it(&set, e, "proxy_pool_used", "proxy/px", "{}", &r);
    assert_int_equal(r.form, CW_SHARE);
    read_it(&set, e, "proxy_borrow_latency", "proxy/px", "{\"stat\": \"p99\"}", &r);
    asked(&set, r.a, "DatabaseConnectionsBorrowLatency", PX, "p99");
    /* RequestCount and DatabaseConnections are read by two signals each and asked for once. */
    assert_int_equal(set.nqueries, 17);
    cw_pack(&set);
    assert_int_equal(set.nbatches, 1);
    cw_clear(&set);
    estate_unref(e);
}

static void what_cannot_be_asked(void **state)
{
    static const struct {
        const char *signal, *target, *opts, *why;
    } rows[] = {
        {"alb_p99", "postgres/db", "{}", "names no asg"},
        {"proxy_clients", "postgres/bare", "{}", "postgres/bare names no proxy of the estate"},
        {"proxy_clients", "proxy/px", "{\"period\": 300000}", "adds the minutes up"},
        {"proxy_pool_used", "proxy/px", "{\"period\": 300000}", "adds the minutes up"},
        {"db_cpu", "postgres/bare", "{}", "has no instance: give it instance = \"NAME\""},
        {"asg_cpu", "asg/slow", "{\"period\": 60000}", "write period = \"5m\""},
        {"db_cpu", "postgres/db", "{\"period\": 7000}", "no period of 7s: write 1s"},
    };
    struct estate *e = estate();
    struct cw_set set;
    struct cw_reading r = {0};
    struct json *five = parse("{\"period\": 300000}"), *one = parse("{}");
    char text[200];

    (void)state;
    cw_init(&set);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        read_it(&set, e, rows[i].signal, rows[i].target, rows[i].opts, &r);
        if (strstr(r.why, rows[i].why) == NULL || r.a != CW_NONE)
            fail_msg("%s of %s: \"%s\"", rows[i].signal, rows[i].target, r.why);
    }
    assert_int_equal(set.nqueries, 0);
    read_it(&set, e, "proxy_borrow_latency", "proxy/px", "{\"period\": 300000}", &r);
    assert_string_equal(r.why, ""); /* a mean of means */
    assert_true(find("proxy_clients")->bad_period(NULL, NULL, five, text, sizeof(text)));
    assert_false(find("proxy_clients")->bad_period(NULL, NULL, one, text, sizeof(text)));
    assert_false(find("proxy_borrow_latency")->bad_period(NULL, NULL, five, text, sizeof(text)));
    json_free(five);
    json_free(one);
    cw_clear(&set);
    estate_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_each_asks_for),
        cmocka_unit_test(what_cannot_be_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
