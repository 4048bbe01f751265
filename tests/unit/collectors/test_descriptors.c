/* The signals as policies see them: options, intervals, targets, sources. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/collector.h"

#define X(name) extern const struct collector_type name##_collector;
#include "collectors.def"
#undef X
#define X(name) &name##_collector,
static const struct collector_type *const all[] = {
#include "collectors.def"
};
#undef X

static const struct signal *find(const char *name)
{
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        for (size_t k = 0; k < all[i]->nsignals; k++) {
            if (strcmp(all[i]->signals[k].name, name) == 0)
                return &all[i]->signals[k];
        }
    }
    fail_msg("no signal %s", name);
    return NULL;
}

static struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(text, strlen(text), 1 << 16, &e);

    assert_non_null(j);
    return j;
}

static void tables(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        for (size_t k = 0; k < all[i]->nsignals; k++) {
            const struct signal *s = &all[i]->signals[k];

            if (option_table_check(s->options, s->noptions, &e) != 0)
                fail_msg("%s: %s", s->name, e.text);
            /* Every one can be asked at another pace; an alert is told, not asked for. */
            if (all[i] != &alert_collector) {
                assert_non_null(option_find(s->options, s->noptions, "period"));
                assert_non_null(s->interval_ms);
            }
        }
    }
}

static void intervals(void **state)
{
    static const struct {
        const char *signal, *target, *opts;
        int64_t ms;
    } rows[] = {
        {"asg_cpu", "{\"detailed\": true}", "{}", 60000},
        {"asg_cpu", "{\"detailed\": false}", "{}", 300000},
        {"asg_cpu", "{}", "{}", 60000},
        {"asg_cpu", "{\"detailed\": false}", "{\"period\": 60000}", 60000},
        {"asg_cpu", "{}", "{\"period\": 5000}", 5000},
        {"alb_p99", "{}", "{\"period\": 60000}", 60000},
        {"alb_5xx", "{}", "{\"period\": 5000}", 5000},
        {"asg_in_service", "{}", "{}", 10000},
        {"asg_in_service", "{}", "{\"period\": 2000}", 2000},
        {"pg_connections", "{}", "{\"period\": 2000}", 2000},
        {"alb_healthy", "{}", "{}", 10000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct target t = {.fields = parse(rows[i].target)};
        struct json *o = parse(rows[i].opts);

        assert_int_equal(find(rows[i].signal)->interval_ms(&t, o), rows[i].ms);
        json_free(t.fields);
        json_free(o);
    }
}

static void units(void **state)
{
    struct json *none = parse("{}"), *share = parse("{\"unit\": \"percent\"}"),
                *odd = parse("{\"unit\": \"furlong\"}"), *size = parse("{\"unit\": \"size\"}");

    (void)state;
    assert_int_equal(signal_unit(find("sql"), share), UNIT_PERCENT);
    assert_int_equal(signal_unit(find("sql"), odd), UNIT_NUMBER);
    assert_int_equal(signal_unit(find("sql"), none), UNIT_NUMBER);
    assert_int_equal(signal_unit(find("pg_replica_lag"), size), UNIT_SIZE);
    assert_int_equal(signal_unit(find("pg_replica_lag"), none), UNIT_DURATION);
    assert_int_equal(signal_unit(find("pg_connections"), share), UNIT_COUNT); /* no such option */
    json_free(none);
    json_free(share);
    json_free(odd);
    json_free(size);
}

static void paces(void **state)
{
    (void)state;
    assert_int_equal(cloudwatch_collector.pace_ms(300000), 300000);
    assert_int_equal(cloudwatch_collector.pace_ms(60000), 60000);
    assert_int_equal(cloudwatch_collector.pace_ms(5000), 2500);
    assert_int_equal(cloudwatch_collector.pace_ms(1000), 1000);
}

static void warnings(void **state)
{
    struct json *good = parse("{\"period\": 5000}"), *bad = parse("{\"period\": 45000}"),
                *none = parse("{}");
    char text[200] = "";

    (void)state;
    assert_false(find("asg_cpu")->bad_period(NULL, NULL, good, text, sizeof(text)));
    assert_false(find("asg_cpu")->bad_period(NULL, NULL, none, text, sizeof(text)));
    assert_true(find("cloudwatch")->bad_period(NULL, NULL, bad, text, sizeof(text)));
    assert_string_equal(
        text, "CloudWatch has no period of 45s: write 1s, 5s, 10s, 20s, 30s or whole minutes");
    json_free(good);
    json_free(bad);
    json_free(none);
}

/* The same period is right on one target and wrong on another; who writes none may be wrong, too.
 */
static void warnings_of_targets(void **state)
{
    static const struct {
        const char *signal, *kind, *name, *opts, *text;
    } rows[] = {
        {"asg_cpu", "asg", "web", "{\"period\": 60000}", NULL},
        {"asg_cpu", "asg", "slow", "{\"period\": 60000}",
         "asg/slow has basic monitoring, a point each 5m: write period = \"5m\""},
        {"asg_cpu", "asg", "slow", "{}", NULL},
        {"asg_cpu", "asg", "slow", "{\"period\": 300000}", NULL},
        {"asg_cpu", "service", "shop", "{}",
         "asg/slow has basic monitoring, a point each 5m: write period = \"5m\""},
        {"asg_cpu", "service", "shop", "{\"period\": 600000}", NULL},
        {"cache_evictions", "cache", "info", "{\"period\": 2000}", NULL},
        {"cache_evictions", "cache", "nodes", "{\"period\": 2000}", NULL},
        {"cache_memory", "cache", "group", "{\"period\": 2000}",
         "CloudWatch has no period of 2s: write 1s, 5s, 10s, 20s, 30s or whole minutes"},
        {"cache_evictions", "cache", "group", "{}", NULL},
        {"cache_evictions", "service", "shop", "{\"period\": 90000}",
         "CloudWatch has no period of 1m30s: write 1s, 5s, 10s, 20s, 30s or whole minutes"},
    };
    static const struct {
        const char *kind, *name, *fields;
    } targets[] = {
        {"asg", "web", "{}"},
        {"asg", "slow", "{\"detailed\": false}"},
        {"cache", "info", "{\"host\": \"c\"}"},
        {"cache", "nodes", "{\"nodes\": [\"a:1\"]}"},
        {"cache", "group", "{\"replication_group\": \"group\"}"},
        {"service", "shop", "{\"asg\": \"slow\", \"cache\": \"group\"}"},
    };
    struct estate *e = estate_new();
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
        assert_int_equal(estate_add(e, targets[i].kind, targets[i].name, NULL,
                                    parse(targets[i].fields), MODE_ENFORCE, "t", 1, &err),
                         0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct json *opts = parse(rows[i].opts);
        char text[200] = "";
        bool bad = find(rows[i].signal)
                       ->bad_period(estate_find(e, rows[i].kind, rows[i].name), e, opts, text,
                                    sizeof(text));

        if (bad != (rows[i].text != NULL) || (bad && strcmp(text, rows[i].text) != 0))
            fail_msg("%s of %s with %s: %d \"%s\"", rows[i].signal, rows[i].name, rows[i].opts, bad,
                     text);
        json_free(opts);
    }
    estate_unref(e);
}

static void zeros(void **state)
{
    struct json *none = parse("{\"period\": 10000}"), *one = parse("{\"application\": \"x\"}");
    const struct signal *s = find("pg_connections");

    (void)state;
    assert_true(s->zero_suspicious && find("asg_cpu")->zero_suspicious);
    assert_true(find("alb_requests")->zero_suspicious && !find("alb_5xx")->zero_suspicious);
    assert_false(s->zero_plain(none));
    assert_true(s->zero_plain(one));
    json_free(none);
    json_free(one);
}

static void sources(void **state)
{
    static const struct {
        const char *signal, *kind, *name, *source; /* NULL: an error that names what to write */
    } rows[] = {
        {"asg_desired", "asg", "web", "aws/prod"},
        {"asg_desired", "service", "portal", "aws/prod"},
        {"asg_desired", "service", "lone", NULL},
        {"asg_desired", "postgres", "db", NULL},
        {"alb_healthy", "asg", "web", "aws/prod"},
        {"alb_healthy", "asg", "bare", NULL},
        {"alb_p99", "asg", "bare", NULL},
        {"cloudwatch", "service", "portal", "aws/prod"},
        {"cloudwatch", "service", "lone", "aws/dev"},
        {"cloudwatch", "postgres", "db", NULL},
        /* A service's parts may be in other accounts than it, and than one another. */
        {"asg_cpu", "service", "far", "aws/prod"},
        {"alb_5xx", "service", "far", "aws/prod"},
        {"cache_evictions", "service", "far", "aws/dev"},
        {"cache_memory", "cache", "group", "aws/dev"},
        {"cache_status", "service", "far", "aws/dev"},
        {"cloudwatch", "service", "far", "aws/third"},
        {"proxy_clients", "postgres", "proxied", "aws/dev"},
        {"db_cpu", "postgres", "proxied", "aws/prod"},
        {"cache_evictions", "service", "lone", NULL},
        {"pg_connections", "postgres", "db", "postgres/db"},
        {"pg_connections", "service", "portal", "postgres/db"},
        {"pg_connections", "service", "lone", NULL},
    };
    struct estate *e = estate_new();

    (void)state;
    (void)estate_add(e, "asg", "web", NULL,
                     parse("{\"aws\": \"prod\", \"target_group\": \"targetgroup/w/1\", "
                           "\"alb\": \"app/w/1\"}"),
                     MODE_ENFORCE, "t", 1, NULL);
    (void)estate_add(e, "asg", "bare", NULL, parse("{\"aws\": \"prod\"}"), MODE_ENFORCE, "t", 1,
                     NULL);
    (void)estate_add(e, "postgres", "db", NULL, parse("{}"), MODE_ENFORCE, "t", 1, NULL);
    (void)estate_add(e, "service", "portal", NULL,
                     parse("{\"asg\": \"web\", \"postgres\": \"db\"}"), MODE_ENFORCE, "t", 1, NULL);
    (void)estate_add(e, "service", "lone", NULL, parse("{\"aws\": \"dev\"}"), MODE_ENFORCE, "t", 1,
                     NULL);
    (void)estate_add(e, "cache", "group", NULL,
                     parse("{\"aws\": \"dev\", \"replication_group\": \"g\"}"), MODE_ENFORCE, "t",
                     1, NULL);
    (void)estate_add(e, "proxy", "px", NULL, parse("{\"aws\": \"dev\"}"), MODE_ENFORCE, "t", 1,
                     NULL);
    (void)estate_add(e, "postgres", "proxied", NULL,
                     parse("{\"aws\": \"prod\", \"instance\": \"i\", \"proxy\": \"px\"}"),
                     MODE_ENFORCE, "t", 1, NULL);
    (void)estate_add(e, "service", "far", NULL,
                     parse("{\"aws\": \"third\", \"asg\": \"web\", \"cache\": \"group\"}"),
                     MODE_ENFORCE, "t", 1, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct target *t = estate_find(e, rows[i].kind, rows[i].name);
        struct err err = ERR_INIT;
        char out[64] = "";
        const struct signal *g = signal_find(rows[i].signal, NULL);
        const struct collector_type *type = signal_collector(g, t, e);
        int rc = type->source(g, t, e, out, sizeof(out), &err);

        if ((rc == 0) != (rows[i].source != NULL) || (rc == 0 && strcmp(out, rows[i].source) != 0))
            fail_msg("%s of %s: %s%s", type->name, t->id, out, err.text);
        if (rc != 0)
            assert_non_null(strstr(err.text, "give it"));
        assert_int_equal(type->source(g, t, e, out, 4, &err) != 0, 1); /* no room */
    }
    estate_unref(e);
}

/* What no source would ever answer is told when the policy is loaded. */
static void checked_at_load(void **state)
{
    static const struct {
        const char *signal, *opts;
        bool good;
    } rows[] = {
        {"cloudwatch", "{}", true},
        {"cloudwatch", "{\"stat\": \"SampleCount\"}", true},
        {"cloudwatch", "{\"stat\": \"p99.9\"}", true},
        {"cloudwatch", "{\"stat\": \"tm90\"}", true},
        {"cloudwatch", "{\"stat\": \"TM(10%:90%)\"}", true},
        {"cloudwatch", "{\"stat\": \"IQM\"}", true},
        {"cloudwatch", "{\"stat\": \"$target.tag.stat\"}", true},
        {"cloudwatch", "{\"stat\": \"Avg\"}", false},
        {"cloudwatch", "{\"stat\": \"average\"}", false},
        {"cloudwatch", "{\"stat\": \"\"}", false},
        {"cloudwatch", "{\"stat\": \"p\"}", false},
        {"cloudwatch", "{\"stat\": \"p101\"}", false},
        {"cloudwatch", "{\"stat\": \"p9.9.9\"}", false},
        {"cloudwatch", "{\"stat\": \"TM(10%:90%\"}", false},
        {"http", "{\"url\": \"https://shop.example.com/health?a=b\", \"expect\": \"200\"}", true},
        {"http", "{\"url\": \"http://$target.name:8080/\", \"expect\": \"200\"}", true},
        {"http", "{\"url\": \"$target.url\", \"expect\": \"200\"}", true},
        {"http", "{\"url\": \"ftp://shop/\", \"expect\": \"200\"}", false},
        {"http", "{\"url\": \"shop.example.com\", \"expect\": \"200\"}", false},
        {"http", "{\"url\": \"http:///health\", \"expect\": \"200\"}", false},
        {"http", "{\"url\": \"https://\", \"expect\": \"200\"}", false},
        {"http", "{\"url\": \"http://shop/\\r\\nHost: other\", \"expect\": \"200\"}", false},
        {"probe_failures", "{\"expect\": \"200\"}", true},
    };
    struct json *many = parse("{\"dimensions\": {}}"), *dims = json_new_map();

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e = ERR_INIT;
        struct json *opts = parse(rows[i].opts);
        bool good = find(rows[i].signal)->check(opts, &e) == 0;

        if (good != rows[i].good)
            fail_msg("%s %s: %s", rows[i].signal, rows[i].opts, good ? "taken" : e.text);
        json_free(opts);
    }
    for (int i = 0; i <= 30; i++) {
        struct err e = ERR_INIT;
        char name[8];

        json_set(many, "dimensions", json_copy(dims));
        assert_int_equal(find("cloudwatch")->check(many, &e), 0);
        snprintf(name, sizeof(name), "d%d", i);
        json_set_str(dims, name, "x");
    }
    struct err e = ERR_INIT;
    json_set(many, "dimensions", dims);
    assert_int_equal(find("cloudwatch")->check(many, &e), ERR_INPUT);
    assert_string_equal(e.text, "a metric has at most 30 dimensions, got 31");
    json_free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),          cmocka_unit_test(paces),
        cmocka_unit_test(units),           cmocka_unit_test(intervals),
        cmocka_unit_test(warnings),        cmocka_unit_test(warnings_of_targets),
        cmocka_unit_test(checked_at_load), cmocka_unit_test(zeros),
        cmocka_unit_test(sources),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
