/* Answers in every legal form are read alike by collectors and by what actions look at, and what is
 * not legal is refused in words. What answers is forms.py. */
#include "help_plugins.h"

#include <stdio.h>

#include "base/mem.h"

struct stage {
    struct rig r;
    const struct target *asg, *db, *px, *cache, *certificate;
};

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));
    char fields[300];

    rig_init(&s->r);
    rig_pg_user(&s->r, "postgres");
    s->asg = rig_target(&s->r, "asg", "web",
                        "{\"aws\": \"prod\", \"target_group\": "
                        "\"targetgroup/web/0123456789abcdef\"}");
    s->px = rig_target(&s->r, "proxy", "px", "{\"aws\": \"prod\"}");
    snprintf(fields, sizeof(fields),
             "{\"host\": \"127.0.0.1\", \"port\": %s, \"database\": \"postgres\", \"user\": "
             "\"postgres\", \"aws\": \"prod\", \"instance\": \"db-1\", \"proxy\": \"px\"}",
             getenv("PGPORT"));
    s->db = rig_target(&s->r, "postgres", "db", fields);
    s->cache = rig_target(&s->r, "cache", "cache",
                          "{\"aws\": \"prod\", \"replication_group\": \"cache-1\"}");
    s->certificate = rig_target(&s->r, "certificate", "portal",
                                "{\"aws\": \"prod\", \"arn\": \"arn:aws:acm:us-east-1:"
                                "123456789012:certificate/0c10ad51-1\"}");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    rig_free(&s->r);
    mem_free(s);
    return 0;
}

/* What collectors read */

static const struct {
    const char *signal;
    size_t target;      /* where it is in struct stage */
    double value;       /* -1: as in the plain form */
    const char *opener; /* a signal of the collector that reads it there; NULL: its own does */
} readings[] = {
#define OF(x) offsetof(struct stage, x)
    {"asg_cpu", OF(asg), 12.5, NULL},
    {"proxy_clients", OF(px), 12.5, NULL},
    {"asg_desired", OF(asg), 3, NULL},
    {"asg_in_service", OF(asg), 100.0 * 2 / 3, NULL},
    {"alb_healthy", OF(asg), 100.0 * 2 / 3, NULL},
    {"rds_pending", OF(db), 2, NULL}, /* the class, and one group that waits for a reboot */
    {"snapshot_progress", OF(db), 40, NULL},
    {"snapshot_progress", OF(cache), 100, "cache_status"},
    {"cert_days_left", OF(certificate), -1, NULL},
    {"rds_status", OF(db), -1, NULL},
    {"cache_status", OF(cache), -1, NULL},
#undef OF
};
#define READINGS (sizeof(readings) / sizeof(*readings))

static const struct target *target_at(const struct stage *s, size_t offset)
{
    return *(const struct target *const *)(const void *)((const char *)s + offset);
}

/* The last value, or NAN with why there is none. */
static double poll_one(struct stage *s, size_t i, char *why, size_t size)
{
    const struct target *t = target_at(s, readings[i].target);
    struct source c;
    const struct reading *g;
    const struct watch *w;
    double value;

    source_open(&c, &s->r, readings[i].opener != NULL ? readings[i].opener : readings[i].signal, t);
    w = source_watch(&c, readings[i].signal, t, NULL, 0);
    source_poll(&c);
    g = source_last(&c, w);
    if (c.err.code != 0)
        snprintf(why, size, "%s", c.err.text);
    else
        snprintf(why, size, "%s", g != NULL ? g->why : "nothing was said");
    value = g != NULL && *why == '\0' ? g->value : -2;
    source_close(&c);
    return value;
}

static void choose(struct stage *s, const char *form)
{
    struct json *body = json_new_map();
    char *text;

    json_set_str(body, "form", form);
    text = json_print(body);
    json_free(sim(&s->r, "form", text));
    mem_free(text);
    json_free(body);
}

/* What actions look at */

static const struct {
    const char *action, *opts;
    size_t target;
} looks[] = {
#define OF(x) offsetof(struct stage, x)
    {"asg_scale", "{\"by\": 1, \"max\": 6}", OF(asg)},
    {"asg_replace", "{}", OF(asg)},
    {"proxy_pool", "{\"add\": 10, \"max\": 90}", OF(px)},
    {"cache_scale", "{\"ladder\": [\"cache.t4g.small\", \"cache.t4g.medium\"]}", OF(cache)},
    {"snapshot", "{\"name\": \"new\"}", OF(db)},
    {"snapshot", "{\"name\": \"s\"}", OF(cache)},
#undef OF
};
#define LOOKS (sizeof(looks) / sizeof(*looks))

/* What an action saw, canonical; the caller frees. */
static char *look_one(struct stage *s, size_t i)
{
    struct err e = ERR_INIT;
    struct json *seen =
        look(&s->r, looks[i].action, target_at(s, looks[i].target), looks[i].opts, &e);
    char *text = seen != NULL ? json_print_canonical(seen) : mem_strdup(e.text);

    json_free(seen);
    return text;
}

static void legal_forms_are_read_alike(void **state)
{
    static const char *const seen[LOOKS] = {
        "{\"controllers\":[\"scaling policy track <cpu> & more "
        "(TargetTrackingScaling)\"],\"desired\":3,\"in_service\":2,\"max\":6,\"min\":1,"
        "\"suspended\":[\"AZRebalance\"]}",
        "{\"controllers\":[],\"desired\":3,\"health_check\":\"EC2\",\"in_service\":2,\"instances\":"
        "[{\"health\":\"Healthy\",\"id\":\"i-0\",\"protected\":false,\"state\":\"InService\","
        "\"target\":\"healthy\",\"zone\":\"us-east-1a\"},{\"health\":\"Healthy\",\"id\":\"i-1\","
        "\"protected\":false,\"state\":\"InService\",\"target\":\"unhealthy\",\"zone\":\"us-east-"
        "1a\"},{\"health\":\"Healthy\",\"id\":\"i-2\",\"protected\":false,\"state\":\"Pending\","
        "\"target\":\"healthy\",\"zone\":\"us-east-1a\"}],\"max\":6,\"min\":1,\"suspended\":["
        "\"AZRebalance\"],\"target_group\":\"arn:aws:elasticloadbalancing:us-east-1:123456789012:"
        "targetgroup/web/0123456789abcdef\"}",
        "{\"borrow_timeout\":120,\"connections_used\":1,\"group_status\":\"available\",\"init_"
        "query\":\"SET a = 'x < y && "
        "ü'\",\"instance\":\"db-1\",\"max_connections\":100,\"pinning_filters\":[],\"pool_idle\":"
        "25,\"pool_open\":12,\"pool_percent\":50,\"proxy\":\"px\",\"proxy_status\":\"available\","
        "\"reserved_"
        "connections\":3,\"target_group\":\"default\",\"targets\":[{\"id\":\"db-1\",\"reason\":"
        "\"\",\"state\":\"AVAILABLE\"}]}",
        "{\"down\":[],\"node_type\":\"cache.t4g.small\",\"pending\":[],\"status\":\"available\","
        "\"up\":[\"cache.t4g.medium\"]}",
        "{\"pauses\":false,\"snapshot\":{\"source\":\"db-1\",\"status\":\"creating\"},\"status\":"
        "\"available\"}",
        "{\"pauses\":false,\"snapshot\":{\"source\":\"cache-1\",\"status\":\"available\"},"
        "\"status\":\"available\"}",
    };
    struct stage *s = *state;
    struct json *list = sim(&s->r, "legal", NULL);
    char why[1000];
    double first[READINGS] = {0};

    assert_true(json_len(list) > 20);
    for (const struct json *f = json_first(list); f != NULL; f = json_next(f)) {
        const char *form = json_str(f, "");
        bool is_first = f == json_first(list);

        choose(s, form);
        for (size_t i = 0; i < READINGS; i++) {
            double v = poll_one(s, i, why, sizeof(why)), d;

            if (*why != '\0')
                fail_msg("%s: %s: %s", form, readings[i].signal, why);
            if (is_first)
                first[i] = v;
            d = v - (readings[i].value >= 0 ? readings[i].value : first[i]);
            if (d > 1e-9 || d < -1e-9)
                fail_msg("%s: %s is %f", form, readings[i].signal, v);
        }
        for (size_t i = 0; i < LOOKS; i++) {
            char *text = look_one(s, i);

            if (strcmp(text, seen[i]) != 0)
                fail_msg("%s: %s sees %s", form, looks[i].action, text);
            mem_free(text);
        }
    }
    json_free(list);
}

static void what_is_not_legal_is_refused_in_words(void **state)
{
    struct stage *s = *state;
    struct json *list = sim(&s->r, "illegal", NULL), *trapped;
    char why[1000];

    assert_true(json_len(list) > 20);
    for (const struct json *f = json_first(list); f != NULL; f = json_next(f)) {
        const char *probe = json_get_str(f, "probe", ""), *want = json_get_str(f, "why", "?");
        size_t i = 0;

        while (i < READINGS && strcmp(readings[i].signal, probe) != 0)
            i++;
        assert_true(i < READINGS);
        choose(s, json_get_str(f, "form", ""));
        poll_one(s, i, why, sizeof(why));
        if (strstr(why, want) == NULL)
            fail_msg("%s: %s says \"%s\", not \"%s\"", json_get_str(f, "form", ""), probe, why,
                     want);
    }
    json_free(list);
    /* Nobody followed the redirect with a signed request. */
    trapped = sim(&s->r, "trapped", NULL);
    assert_int_equal(json_len(trapped), 0);
    json_free(trapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(legal_forms_are_read_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_legal_is_refused_in_words, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
