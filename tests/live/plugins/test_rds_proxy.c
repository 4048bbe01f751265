/* RDS proxies in cloudsim: what the collector reads of their pools and targets, beside what
 * Debian's aws reads. */
#include "help_plugins.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stage {
    struct rig r;
    const struct target *px, *db;
};

static int setup(void **state)
{
    struct stage *s = stage_begin(state, sizeof(*s));

    s->px = rig_target(&s->r, "proxy", "px", "{\"aws\": \"prod\"}");
    s->db = rig_target(&s->r, "postgres", "db", "{\"aws\": \"prod\", \"proxy\": \"px\"}");
    return 0;
}

static const char *status_of(const struct source *c, const struct watch *w)
{
    return w->signal->words[(size_t)source_value(c, w)];
}

static void debian_says(const char *args, const char *expected)
{
    char command[400], line[200] = "";
    FILE *f;

    snprintf(command, sizeof(command),
             "/usr/bin/aws --endpoint-url \"$AWS_ENDPOINT_URL\" --region us-east-1 --output text "
             "rds %s",
             args);
    f = popen(command, "r");
    assert_non_null(f);
    if (fgets(line, sizeof(line), f) == NULL)
        line[0] = '\0';
    assert_int_equal(pclose(f), 0);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(line, expected);
}

static void proxies_as_rds_describes_them(void **state)
{
    struct stage *s = *state;
    struct source c;
    const struct target *gone = rig_target(&s->r, "proxy", "gone", "{\"aws\": \"prod\"}"),
                        *odd = rig_target(&s->r, "proxy", "PX",
                                          "{\"aws\": \"prod\", \"target_group\": \"other\"}");

    source_open(&c, &s->r, "proxy_status", s->px);
    const struct watch *status = source_watch(&c, "proxy_status", s->px, NULL, 0);
    const struct watch *max = source_watch(&c, "proxy_pool_max", s->px, NULL, 0);
    const struct watch *no_max = source_watch(&c, "proxy_pool_max", gone, NULL, 0);
    const struct watch *same = source_watch(&c, "proxy_pool_max", s->db, NULL, 0);
    const struct watch *reached = source_watch(&c, "proxy_targets_available", s->db, NULL, 0);
    const struct watch *no_reached = source_watch(&c, "proxy_targets_available", gone, NULL, 0);
    const struct watch *none = source_watch(&c, "proxy_status", gone, NULL, 0);
    source_poll(&c);
    if (c.err.code != 0)
        fail_msg("%s", c.err.text);
    assert_int_equal(sim_requests(&s->r, "DescribeDBProxies"), 1);
    assert_int_equal(sim_requests(&s->r, "DescribeDBProxyTargetGroups"), 2); /* a proxy a call */
    assert_int_equal(sim_requests(&s->r, "DescribeDBProxyTargets"), 2);
    assert_string_equal(status_of(&c, status), "available");
    assert_true(source_value(&c, max) == 50 && source_value(&c, same) == 50);
    assert_true(source_value(&c, reached) == 1);
    assert_non_null(strstr(source_why(&c, none), "there is no RDS proxy gone in account prod"));
    assert_non_null(strstr(source_why(&c, no_max), "no target group default of an RDS proxy gone"));
    assert_int_equal(source_count(&c, no_reached), 0); /* not 0: there is nothing to be reached */
    sim_do(&s->r, "proxy",
           "{\"proxy\": \"px\", \"max_percent\": 65, \"status\": \"suspended\", "
           "\"target_state\": \"UNAVAILABLE\"}");
    source_poll(&c);
    assert_string_equal(status_of(&c, status), "suspended");
    debian_says("describe-db-proxies --db-proxy-name px --query 'DBProxies[].Status'", "suspended");
    debian_says("describe-db-proxy-target-groups --db-proxy-name px --query "
                "'TargetGroups[].ConnectionPoolConfig.MaxConnectionsPercent'",
                "65");
    debian_says("describe-db-proxy-targets --db-proxy-name px --query "
                "'Targets[].TargetHealth.State'",
                "UNAVAILABLE");
    assert_true(source_value(&c, max) == 65 && source_value(&c, reached) == 0);
    source_close(&c);
    source_open(&c, &s->r, "proxy_pool_max", odd);
    const struct watch *other = source_watch(&c, "proxy_pool_max", odd, NULL, 0);
    source_poll(&c);
    assert_non_null(strstr(source_why(&c, other), "no target group other"));
    source_close(&c);
}

#define PROXY(what, list)                                                                          \
    "{\"kind\": \"answer\", \"status\": 200, \"count\": 200, \"body\": \"<Describe" what           \
    "Response><Describe" what "Result>" list "</Describe" what "Result></Describe" what            \
    "Response>\"}"
#define PERCENT(x)                                                                                 \
    "<member><DBProxyName>px</DBProxyName><ConnectionPoolConfig>" x                                \
    "</ConnectionPoolConfig></member>"

static void a_spoilt_proxy_is_no_value(void **state)
{
    static const struct {
        const char *signal, *fault;
        int failed, value; /* value -1: unknown */
    } rows[] = {
        {"proxy_status",
         "{\"kind\": \"answer\", \"status\": 200, \"body\": \"<A><B/></A>\", \"count\": 20}", 1,
         -1},
        {"proxy_pool_max",
         "{\"kind\": \"error\", \"code\": \"AccessDenied\", \"status\": 403, \"count\": 20}", 1,
         -1},
        {"proxy_targets_available", PROXY("DBProxyTargets", "<Targets/><Marker>again</Marker>"), 1,
         -1},
        {"proxy_targets_available", PROXY("DBProxyTargets", "<Targets/>"), 0, 0},
        {"proxy_targets_available", PROXY("DBProxyTargets", "<Targets><member/></Targets>"), 0, -1},
        {"proxy_pool_max", PROXY("DBProxyTargetGroups", "<TargetGroups/>"), 0, -1},
        {"proxy_pool_max",
         PROXY("DBProxyTargetGroups", "<TargetGroups>" PERCENT("") "</TargetGroups>"), 0, -1},
        {"proxy_pool_max",
         PROXY("DBProxyTargetGroups",
               "<TargetGroups>" PERCENT(
                   "<MaxConnectionsPercent>many</MaxConnectionsPercent>") "</"
                                                                          "TargetGroups>"),
         0, -1},
    };
    struct stage *s = *state;
    struct source c;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        source_open(&c, &s->r, rows[i].signal, s->px);
        const struct watch *w = source_watch(&c, rows[i].signal, s->px, NULL, 0);

        sim_do(&s->r, "faults", "%s", rows[i].fault);
        source_poll(&c);
        assert_int_equal(c.err.code != 0, rows[i].failed);
        if (rows[i].value >= 0)
            assert_true(source_value(&c, w) == rows[i].value);
        else
            assert_int_equal(source_count(&c, w), 0);
        sim_clear(&s->r);
        source_close(&c);
        source_open(&c, &s->r, rows[i].signal, s->px); /* cut off in the middle */
        source_watch(&c, rows[i].signal, s->px, NULL, 0);
        source_begin(&c);
        run_for(s->r.loop, (int64_t)i);
        source_close(&c);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, stage_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(proxies_as_rds_describes_them),
        T(a_spoilt_proxy_is_no_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
