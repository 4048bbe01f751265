/* What INFO of one or several nodes says: readings, changes between two answers, and everything
 * that must not be taken for a value. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "collectors/shared_redis_info.h"

#define MAX 4

/* Nodes as rows of "field:value" lines; NULL: no answer. */
static void nodes(struct info_node *out, const char *const *texts, size_t n, int64_t at_ms)
{
    static const char *const names[MAX] = {"a:1", "b:2", "c:3", "d:4"};

    for (size_t i = 0; i < n; i++) {
        out[i] = (struct info_node){.name = names[i], .at_ms = at_ms, .shards = 1};
        if (texts[i] == NULL)
            snprintf(out[i].why, sizeof(out[i].why), "connection refused");
        else
            out[i].info = info_parse(texts[i]);
        double shards;
        if (out[i].info != NULL && info_number(out[i].info, "shards", &shards))
            out[i].shards = shards;
    }
}

static void drop(struct info_node *n)
{
    for (size_t i = 0; i < MAX; i++)
        json_free(n[i].info);
}

static void text_is_taken_apart(void **state)
{
    struct json *i = info_parse("# Server\r\nredis_version:7.0.15\r\n\r\nused_memory:1048576\r\n"
                                "slave0:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0\r\n"
                                "nocolon\r\n:novalue\r\nempty:\r\nratio:1.25\nlast:7");
    double v;

    (void)state;
    assert_string_equal(json_get_str(i, "redis_version", ""), "7.0.15");
    assert_true(info_number(i, "used_memory", &v) && v == 1048576);
    assert_true(info_number(i, "ratio", &v) && v == 1.25);
    assert_true(info_number(i, "last", &v) && v == 7);
    assert_false(info_number(i, "redis_version", &v)); /* no number */
    assert_false(info_number(i, "empty", &v));
    assert_false(info_number(i, "nothing", &v));
    assert_int_equal(json_len(i), 6);
    json_free(i);
    i = info_parse("");
    assert_int_equal(json_len(i), 0);
    json_free(i);
    i = info_parse("a:nan\nb:inf\nc:1e999\nd:0x10 \n");
    assert_false(info_number(i, "a", &v) || info_number(i, "b", &v) || info_number(i, "c", &v) ||
                 info_number(i, "d", &v));
    json_free(i);
}

#define M(run, evicted) "role:master\nrun_id:" run "\nevicted_keys:" evicted "\n"
#define S(run, evicted) "role:slave\nrun_id:" run "\nevicted_keys:" evicted "\n"
#define L "loading:1\n"
#define C(shards) "cluster_enabled:1\nshards:" shards "\n"

static void evictions(void **state)
{
    static const struct {
        const char *before[MAX], *now[MAX];
        double rate; /* -1: unknown */
        const char *why;
    } rows[] = {
        {{M("r1", "100")}, {M("r1", "100")}, 0, ""},
        {{M("r1", "100")}, {M("r1", "160")}, 360, ""},
        {{NULL}, {M("r1", "160")}, -1, "has answered once"},
        {{M("r1", "100")}, {NULL}, -1, "a:1 does not answer: connection refused"},
        {{M("r1", "100")}, {M("r2", "3")}, -1, "another server than before"},
        {{M("r1", "100")}, {M("r2", "300")}, -1, "another server than before"},
        {{M("r1", "100")}, {M("r1", "5")}, -1, "evicted_keys was reset"}, /* CONFIG RESETSTAT */
        {{M("r1", "100")}, {S("r1", "100")}, -1, "0 primaries of 1 shards"},
        {{S("r1", "0")}, {M("r1", "7")}, -1, "changed its role, slave to master"},
        {{"role:master\nevicted_keys:1\n"},
         {"role:master\nevicted_keys:2\n"},
         -1,
         "another server"},
        {{M("r1", "x")}, {M("r1", "1")}, -1, "was reset"},
        {{M("r1", "1")}, {M("r1", "x")}, -1, "has no number evicted_keys"},
        {{M("r1", "1")}, {"role:master\nrun_id:r1\n"}, -1, "has no number evicted_keys"},
        /* a primary and its replicas: the replicas evict nothing, and need not answer */
        {{M("r1", "100"), S("r2", "9")}, {M("r1", "110"), S("r2", "99")}, 60, ""},
        {{M("r1", "100"), S("r2", "9")}, {M("r1", "110"), NULL}, 60, ""},
        {{M("r1", "100"), S("r2", "0")}, {NULL, S("r2", "0")}, -1, "a:1 does not answer"},
        /* a failover: known to be unknown once, then the new primary's */
        {{M("r1", "100"), S("r2", "0")}, {NULL, M("r2", "4")}, -1, "changed its role"},
        {{NULL, M("r2", "4")}, {NULL, M("r2", "14")}, 60, ""},
        {{NULL, M("r2", "4")},
         {M("r1", "100"), M("r2", "14")},
         -1,
         "2 nodes say that they are primary"},
        {{NULL, M("r2", "4")}, {S("r3", "0"), M("r2", "14")}, 60, ""},
        /* it reads its dump: INFO is answered, nothing else */
        {{M("r1", "0")}, {M("r1", "0") L}, -1, "a:1 is loading its data set"},
        {{M("r1", "0") L}, {M("r1", "0")}, -1, "a:1 had not all its data at the reading before"},
        {{M("r1", "0") "loading:0\n"}, {M("r1", "60") "loading:0\n"}, 360, ""},
        {{M("r1", "0"), S("r2", "0")}, {M("r1", "60"), S("r2", "0") L}, 360, ""},
        {{M("r1", "0") C("2"), M("r2", "0") C("2")},
         {M("r1", "9") C("2"), M("r2", "0") C("-1") L},
         -1,
         "b:2 is loading its data set"},
        /* shards */
        {{M("r1", "0") C("2"), M("r2", "0") C("2")},
         {M("r1", "10") C("2"), M("r2", "20") C("2")},
         180,
         ""},
        {{M("r1", "0") C("2")}, {M("r1", "10") C("2")}, -1, "1 primary of 2 shards answers"},
        {{M("r1", "0") C("2"), M("r2", "0") C("2")},
         {M("r1", "10") C("2"), NULL},
         -1,
         "b:2 does not answer"},
        {{M("r1", "0") C("-1")}, {M("r1", "10") C("-1")}, -1, "number of shards is not known"},
        {{M("r1", "0") C("0")}, {M("r1", "10") C("0")}, -1, "number of shards is not known"},
        {{M("r1", "0") C("2"), M("r2", "0") C("2"), S("r3", "0") C("2")},
         {M("r1", "10") C("2"), NULL, M("r3", "5") C("2")},
         -1,
         "changed its role"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct info_node before[MAX] = {0}, now[MAX] = {0};
        size_t n = 1;
        double rate = -5;
        int64_t period = 0;
        char why[300] = "";

        while (n < MAX && (rows[i].now[n] != NULL || rows[i].before[n] != NULL))
            n++;
        nodes(before, rows[i].before, n, 1000);
        nodes(now, rows[i].now, n, 11000);
        bool ok =
            info_rate(now, before, n, "evicted_keys", "sum", &rate, &period, why, sizeof(why));
        if (ok != (rows[i].rate >= 0) || (ok && fabs(rate - rows[i].rate) > 1e-9) ||
            (ok && period != 10000) || strstr(why, rows[i].why) == NULL)
            fail_msg("row %zu: %d %g %s", i, ok, rate, why);
        drop(before);
        drop(now);
    }
}

static void memory(void **state)
{
    static const struct {
        const char *now[MAX];
        double percent;
        const char *why;
    } rows[] = {
        {{"used_memory:50\nmaxmemory:200\n"}, 25, ""},
        {{"used_memory:250\nmaxmemory:200\n"}, 100, ""},
        {{"used_memory:50\nmaxmemory:0\n"}, -1, "maxmemory of a:1 is 0, without a limit"},
        {{"used_memory:50\n"}, -1, "no number maxmemory"},
        {{"used_memory:5\nmaxmemory:200\nloading:1\n"}, -1, "a:1 is loading its data set"},
        {{"used_memory:5\nmaxmemory:200\nloading:0\nasync_loading:1\n"},
         -1,
         "is loading its primary's data set"},
        {{"used_memory:50\nmaxmemory:200\n",
          "used_memory:9\nmaxmemory:100\nrole:slave\nmaster_link_status:down\n"
          "master_sync_in_progress:1\n"},
         -1,
         "replica b:2 is being sent its primary's data set"},
        {{"used_memory:9\nmaxmemory:100\nrole:slave\nmaster_link_status:down\n"
          "master_sync_in_progress:0\nmaster_link_down_since_seconds:-1\n"},
         -1,
         "replica a:1 has never been in step"},
        {{"used_memory:9\nmaxmemory:100\nrole:slave\nmaster_link_status:down\n"
          "master_sync_in_progress:0\nmaster_link_down_since_seconds:60\n"},
         9,
         ""},
        {{"used_memory:50\nmaxmemory:200\n", "used_memory:80\nmaxmemory:100\n"}, 80, ""},
        {{"used_memory:90\nmaxmemory:100\n", "used_memory:0\nmaxmemory:0\n"}, -1, "b:2 is 0"},
        {{NULL}, -1, "does not answer"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct info_node now[MAX] = {0};
        size_t n = rows[i].now[1] != NULL ? 2 : 1;
        double percent = 0;
        char why[300] = "";

        nodes(now, rows[i].now, n, 1);
        bool ok = info_memory(now, n, "max", &percent, why, sizeof(why));
        if (ok != (rows[i].percent >= 0) || (ok && fabs(percent - rows[i].percent) > 1e-9) ||
            strstr(why, rows[i].why) == NULL)
            fail_msg("row %zu: %d %g %s", i, ok, percent, why);
        drop(now);
    }
}

#define H(hits, misses)                                                                            \
    "role:master\nrun_id:r\nkeyspace_hits:" hits "\nkeyspace_misses:" misses "\n"

static void hits(void **state)
{
    static const struct {
        const char *before, *now;
        double percent;
        const char *why;
    } rows[] = {
        {H("1000", "0"), H("1090", "10"), 90, ""},
        {H("1000", "0"), H("1000", "100"), 0, ""},
        {H("1000", "0"), H("1098", "1"), -1,
         "99 look-ups since the reading before, fewer than 100"},
        {H("1000", "0"), H("1000", "0"), -1, "0 look-ups"},
        {H("1000", "0"), H("1090", "10") L, -1, "a:1 is loading its data set"},
        {H("1000", "0") L, H("1090", "10"), -1, "had not all its data"},
        {H("1000", "0"), H("10", "10"), -1, "keyspace_hits was reset"},
        {H("10", "1000"), H("1000", "5"), -1, "keyspace_misses was reset"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct info_node before[MAX] = {0}, now[MAX] = {0};
        double percent = 0;
        int64_t period = 0;
        char why[300] = "";

        nodes(before, &rows[i].before, 1, 0);
        nodes(now, &rows[i].now, 1, 5000);
        bool ok = info_hit_rate(now, before, 1, 100, &percent, &period, why, sizeof(why));
        if (ok != (rows[i].percent >= 0) || (ok && fabs(percent - rows[i].percent) > 1e-9) ||
            strstr(why, rows[i].why) == NULL)
            fail_msg("row %zu: %d %g %s", i, ok, percent, why);
        drop(before);
        drop(now);
    }
}

static void replicas(void **state)
{
    static const struct {
        const char *now[MAX];
        double ms;
        const char *why;
    } rows[] = {
        {{"role:master\nconnected_slaves:0\n"}, -1, "it has no replica"},
        {{"role:master\nconnected_slaves:2\nslave0:ip=1,port=2,state=online,offset=9,lag=0\n"
          "slave1:ip=1,port=3,state=online,offset=8,lag=3\n"},
         3000,
         ""},
        {{"role:master\nconnected_slaves:1\nslave0:ip=1,port=2,state=wait_bgsave,offset=0,lag=0\n"},
         -1,
         "not in step: wait_bgsave"},
        {{"role:master\nconnected_slaves:1\n"}, -1, "not in step: ?"},
        {{"role:master\nconnected_slaves:0\n" L}, -1, "a:1 is loading its data set"},
        {{"role:slave\nmaster_link_status:down\nmaster_link_down_since_seconds:90\n" L}, 90000, ""},
        {{"role:master\nconnected_slaves:1\nslave0:ip=1,state=online\n"}, -1, "does not say"},
        {{"role:master\nconnected_slaves:1\nslave0:state=online,lag=-1\n"}, -1, "does not say"},
        {{"role:slave\nmaster_link_status:up\nmaster_last_io_seconds_ago:4\n"}, 4000, ""},
        {{"role:slave\nmaster_link_status:down\nmaster_link_down_since_seconds:90\n"}, 90000, ""},
        {{"role:slave\nmaster_link_status:down\nmaster_link_down_since_seconds:-1\n"},
         -1,
         "never been in step"},
        {{"role:slave\nmaster_link_status:up\nmaster_last_io_seconds_ago:1\n", NULL}, 1000, ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct info_node now[MAX] = {0};
        double ms = 0;
        char why[300] = "";

        nodes(now, rows[i].now, 1, 1);
        bool ok = info_replica_lag(now, 1, "max", &ms, why, sizeof(why));
        if (ok != (rows[i].ms >= 0) || (ok && fabs(ms - rows[i].ms) > 1e-9) ||
            strstr(why, rows[i].why) == NULL)
            fail_msg("row %zu: %d %g %s", i, ok, ms, why);
        drop(now);
    }
}

static void any_field(void **state)
{
    static const char *const texts[] = {"role:master\nrun_id:r\nx:6\n",
                                        "role:slave\nrun_id:s\nx:1\n",
                                        "role:slave\nrun_id:t\nx:2\n"},
                             *const later[] = {"role:master\nrun_id:r\nx:16\n",
                                               "role:slave\nrun_id:s\nx:2\n",
                                               "role:slave\nrun_id:t\nx:4\n"},
                             *const lost[] = {"role:master\nx:1\n", NULL},
                             *const loads[] = {"role:master\nrun_id:r\nx:1\n" L
                                               "loading_eta_seconds:7\nrdb_saves:3\n"};
    static const struct {
        const char *agg;
        double value, rate;
    } rows[] = {{"max", 6, 600}, {"min", 1, 60}, {"sum", 9, 780}, {"avg", 3, 260}};
    struct info_node a[MAX] = {0}, b[MAX] = {0}, c[MAX] = {0}, d[MAX] = {0};
    double v = 0;
    int64_t period;
    char why[300] = "";

    (void)state;
    nodes(a, texts, 3, 0);
    nodes(b, later, 3, 1000);
    nodes(c, lost, 2, 0);
    nodes(d, loads, 1, 0);
    for (size_t i = 0; i < 4; i++) {
        v = 0;
        assert_true(info_value(a, 3, "x", rows[i].agg, &v, why, sizeof(why)));
        assert_float_equal(v, rows[i].value, 1e-9);
        v = 0;
        assert_true(info_value_rate(b, a, 3, "x", rows[i].agg, &v, &period, why, sizeof(why)));
        assert_float_equal(v, rows[i].rate, 1e-9);
    }
    assert_false(info_value(a, 3, "y", "max", &v, why, sizeof(why)));
    assert_non_null(strstr(why, "INFO of a:1 has no number y"));
    assert_false(info_value(c, 2, "x", "max", &v, why, sizeof(why))); /* not the half of it */
    assert_non_null(strstr(why, "b:2 does not answer"));
    assert_false(info_value(d, 1, "x", "max", &v, why, sizeof(why)));
    assert_non_null(strstr(why, "a:1 is loading its data set"));
    assert_true(info_value(d, 1, "loading", "max", &v, why, sizeof(why)) && v == 1);
    assert_true(info_value(d, 1, "loading_eta_seconds", "max", &v, why, sizeof(why)) && v == 7);
    assert_true(info_value(d, 1, "rdb_saves", "max", &v, why, sizeof(why)) && v == 3);
    assert_false(info_value_rate(a, a, 3, "x", "max", &v, &period, why, sizeof(why)));
    drop(a);
    drop(b);
    drop(c);
    drop(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_taken_apart),
        cmocka_unit_test(evictions),
        cmocka_unit_test(memory),
        cmocka_unit_test(hits),
        cmocka_unit_test(replicas),
        cmocka_unit_test(any_field),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
