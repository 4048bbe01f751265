/* INFO against real Redis servers, by the agent's own clients: what counts, what is unknown once,
 * and what must never look like evictions that end: a restart, a failover, a node that is away. */
#include "help_plugins.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "harness/number.h"
#include "world/clients.h"

#define SERVERS 3

/* A server that this test started beside the one that it was given. */
struct node {
    int port, pid;
    char socket[200], ca[200];
};

struct stage {
    struct rig r;
    struct clients *clients;
    struct node given, more[SERVERS];
    size_t n;
};

/* redis-cli by the server's Unix socket; the first line of the answer. */
static const char *cli(const struct node *s, const char *command)
{
    static char line[400];
    char *text = mem_printf("redis-cli -s %s %s 2>&1", s->socket, command);
    FILE *f = popen(text, "r");

    line[0] = '\0';
    assert_non_null(f);
    if (fgets(line, sizeof(line), f) != NULL)
        line[strcspn(line, "\r\n")] = '\0';
    while (fgetc(f) != EOF)
        ;
    pclose(f);
    mem_free(text);
    return line;
}

static double info_of(const struct node *s, const char *field)
{
    char command[200];

    snprintf(command, sizeof(command), "info all | grep '^%s:' | cut -d: -f2", field);
    return strtod(cli(s, command), NULL);
}

/* So many kilobytes of keys that are not there yet. */
static void fill(const struct node *s, int keys)
{
    static int from;
    char command[300];

    snprintf(command, sizeof(command),
             "eval \"for i=%d,%d do redis.call('set', 'k'..i, string.rep('x', 1000)) end\" 0", from,
             from + keys - 1);
    from += keys;
    (void)cli(s, command);
}

static void take_line(struct node *s, const char *name, const char *value)
{
    if (strcmp(name, "REDIS_PORT") == 0)
        s->port = number_in(value);
    else if (strcmp(name, "RB_REDIS_PID") == 0)
        s->pid = number_in(value);
    else if (strcmp(name, "RB_REDIS_SOCKET") == 0)
        snprintf(s->socket, sizeof(s->socket), "%s", value);
    else if (strcmp(name, "RB_REDIS_CA") == 0)
        snprintf(s->ca, sizeof(s->ca), "%s", value);
}

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/* Ends with this process. */
static struct node *start(struct stage *s, const char *options)
{
    struct node *server = &s->more[s->n++];
    char *text = mem_printf("'%s'/tests/harness/redistemp %s --watch %d start", RB_SOURCE_DIR,
                            options, getpid());
    char line[400];
    FILE *f = popen(text, "r");

    assert_true(s->n <= SERVERS);
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        char *eq = strchr(line, '=');

        line[strcspn(line, "\r\n")] = '\0';
        if (eq != NULL) {
            *eq = '\0';
            take_line(server, line, eq + 1);
        }
    }
    assert_int_equal(pclose(f), 0);
    assert_true(server->port > 0 && server->pid > 0);
    mem_free(text);
    return server;
}

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));

    rig_init(&s->r);
    s->clients = clients_new(s->r.loop, s->r.resolver, s->r.http, NULL);
    take_line(&s->given, "REDIS_PORT", getenv("REDIS_PORT"));
    take_line(&s->given, "RB_REDIS_PID", getenv("RB_REDIS_PID"));
    take_line(&s->given, "RB_REDIS_SOCKET", getenv("RB_REDIS_SOCKET"));
    (void)cli(&s->given, "flushall");
    (void)cli(&s->given, "config set maxmemory 3mb");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    clients_free(s->clients);
    rig_free(&s->r);
    for (size_t i = 0; i < s->n; i++) {
        if (s->more[i].pid <= 0)
            continue; /* it did not start; 0 would be all of us */
        kill(s->more[i].pid, SIGCONT);
        kill(s->more[i].pid, SIGTERM);
    }
    mem_free(s);
    return 0;
}

__attribute__((format(printf, 3, 4))) static const struct target *
cache(struct stage *s, const char *name, const char *fields, ...)
{
    va_list ap;
    char text[600];
    const struct target *t;

    va_start(ap, fields);
    vsnprintf(text, sizeof(text), fields, ap);
    va_end(ap);
    t = rig_target(&s->r, "cache", name, text);
    clients_estate(s->clients, s->r.estate);
    s->r.io = *clients_io(s->clients);
    return t;
}

static void poll_soon(struct source *c, struct stage *s)
{
    run_for(s->r.loop, 20);
    source_poll(c);
}

/* The value of a point a minute, against what the server itself counted: but for a few, because
 * each question of ours needs memory, too. */
static void counts(const struct source *c, const struct watch *w, double before, double after)
{
    const struct reading *g = source_last(c, w);

    if (g == NULL || g->why[0] != '\0') {
        fail_msg("no value: %s", source_why(c, w));
        return;
    }
    assert_true(g->period_ms > 0);
    assert_true(after - before > 500);
    assert_true(fabs(g->value * (double)g->period_ms / 60000 - (after - before)) < 50);
}

static void what_a_server_counts(void **state)
{
    struct stage *s = *state;
    const struct target *t =
        cache(s, "one", "{\"host\": \"127.0.0.1\", \"port\": %d}", s->given.port);
    const struct target *service = rig_target(&s->r, "service", "shop", "{\"cache\": \"one\"}");
    struct source c;
    double before, after;
    int64_t end_ms;

    fill(&s->given, 1500);
    source_open(&c, &s->r, "cache_evictions", t);
    const struct watch *evictions = source_watch(&c, "cache_evictions", t, NULL, 0);
    const struct watch *of_service = source_watch(&c, "cache_evictions", service, NULL, 0);
    const struct watch *memory = source_watch(&c, "cache_memory", t, NULL, 0);
    const struct watch *hits = source_watch(&c, "cache_hit_rate", t, NULL, 0);
    const struct watch *lag = source_watch(&c, "cache_replica_lag", t, NULL, 0);
    const struct watch *fragmentation = source_watch(&c, "cache_fragmentation", t, NULL, 0);
    const struct watch *clients =
        source_watch(&c, "redis", t, "{\"field\": \"connected_clients\"}", 0);
    const struct watch *commands = source_watch(
        &c, "redis", t, "{\"field\": \"total_commands_processed\", \"rate\": true}", 0);
    const struct watch *wrong = source_watch(&c, "redis", t, "{\"field\": \"redis_version\"}", 0);
    assert_int_equal(evictions->interval_ms, 10000);
    assert_int_equal(signal_lag_ms(evictions->signal, t), 0);
    assert_int_equal(signal_lag_ms(evictions->signal, service), 180000);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_non_null(strstr(source_why(&c, evictions), "a change needs two readings"));
    assert_non_null(strstr(source_why(&c, commands), "a change needs two readings"));
    assert_true(source_value(&c, memory) > 40 && source_value(&c, memory) <= 100);
    assert_true(source_value(&c, fragmentation) > 0);
    assert_true(source_value(&c, clients) >= 1);
    assert_non_null(strstr(source_why(&c, lag), "has no replica"));
    assert_non_null(strstr(source_why(&c, wrong), "no number redis_version"));
    end_ms = source_last(&c, memory)->start_ms;

    before = info_of(&s->given, "evicted_keys");
    fill(&s->given, 4000); /* 4 MB into 3 */
    (void)cli(&s->given, "eval \"for i=1,300 do redis.call('get', 'k'..i) end\" 0");
    poll_soon(&c, s);
    after = info_of(&s->given, "evicted_keys");
    assert_true(after > before);
    counts(&c, evictions, before, after);
    counts(&c, of_service, before, after);
    /* From answer to answer: no time counts twice, none is left out (but for what rounding takes:
     * one clock gives the time, another how long it was). */
    assert_true(llabs(source_last(&c, evictions)->start_ms - end_ms) <= 2);
    assert_true(source_value(&c, hits) >= 0 && source_value(&c, hits) <= 100);
    assert_true(source_value(&c, commands) > 0);
    assert_true(source_value(&c, memory) > 80);

    (void)cli(&s->given, "config set maxmemory 64mb");
    poll_soon(&c, s);
    poll_soon(&c, s);
    assert_true(source_value(&c, evictions) == 0);
    assert_non_null(strstr(source_why(&c, hits), "fewer than 100"));

    (void)cli(&s->given, "config resetstat");
    poll_soon(&c, s);
    assert_non_null(strstr(source_why(&c, evictions), "evicted_keys was reset"));
    poll_soon(&c, s);
    assert_true(source_value(&c, evictions) == 0);

    (void)cli(&s->given, "config set maxmemory 0");
    poll_soon(&c, s);
    assert_non_null(strstr(source_why(&c, memory), "is 0, without a limit"));
    source_close(&c);
}

static void a_restart_is_unknown_once(void **state)
{
    struct stage *s = *state;
    struct node *server = start(
        s, "--set maxmemory=2mb --set maxmemory-policy=allkeys-lru --set enable-debug-command=yes");
    const struct target *t =
        cache(s, "again", "{\"host\": \"127.0.0.1\", \"port\": %d}", server->port);
    struct source c;

    source_open(&c, &s->r, "cache_evictions", t);
    const struct watch *w = source_watch(&c, "cache_evictions", t, NULL, 0);
    source_poll(&c);
    fill(server, 3000);
    poll_soon(&c, s);
    assert_true(source_value(&c, w) > 0);
    (void)cli(server, "debug restart");
    for (int i = 0; i < 100 && strcmp(cli(server, "ping"), "PONG") != 0; i++)
        run_for(s->r.loop, 20);
    source_poll(&c);
    if (c.err.code != 0) /* the connection of before, found dead */
        source_poll(&c);
    assert_int_equal(source_count(&c, w), 0);
    poll_soon(&c, s);
    assert_true(source_value(&c, w) == 0); /* not the fall from thousands to none */
    fill(server, 3000);
    poll_soon(&c, s);
    assert_true(source_value(&c, w) > 0);

    /* Stopped: no answer is no value, and another cache's goes on. */
    kill(server->pid, SIGSTOP);
    source_poll(&c);
    assert_int_equal(c.err.code, ERR_TIMEOUT);
    assert_int_equal(c.ngot, 0);
    source_begin(&c);
    run_for(s->r.loop, 20);
    c.type->cancel(c.self);
    kill(server->pid, SIGCONT);
    poll_soon(&c, s);
    assert_non_null(strstr(source_why(&c, w), "a change needs two readings"));
    source_begin(&c); /* closed in the middle */
    source_close(&c);
    run_for(s->r.loop, 50);
}

static void tls_and_a_user(void **state)
{
    struct stage *s = *state;
    struct node *server = start(s, "--tls");
    struct source c;
    static const struct {
        const char *user, *secret, *why;
        int code;
    } rows[] = {{"watcher", "RIGHT", NULL, 0},
                {"watcher", "WRONG", "WRONGPASS", ERR_AUTH},
                {"mute", "RIGHT", "NOPERM", ERR_DENIED}};

    setenv("RIGHT", "sesame", 1);
    setenv("WRONG", "simsim", 1);
    (void)cli(server, "acl setuser watcher on '>sesame' -@all +info '+cluster|info'");
    (void)cli(server, "acl setuser mute on '>sesame' -@all +ping");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char name[20];

        snprintf(name, sizeof(name), "tls%zu", i);
        const struct target *t =
            cache(s, name,
                  "{\"host\": \"localhost\", \"port\": %d, \"tls\": true, \"ca_file\": \"%s\", "
                  "\"user\": \"%s\", \"auth\": {\"env\": \"%s\"}}",
                  server->port, server->ca, rows[i].user, rows[i].secret);
        source_open(&c, &s->r, "redis", t);
        const struct watch *w =
            source_watch(&c, "redis", t, "{\"field\": \"uptime_in_seconds\"}", 0);
        source_poll(&c);
        assert_int_equal(c.err.code, rows[i].code);
        if (rows[i].why != NULL)
            assert_non_null(strstr(c.err.text, rows[i].why));
        else
            assert_true(source_value(&c, w) >= 0);
        source_close(&c);
    }
    const struct target *t =
        cache(s, "tls-unknown-ca", "{\"host\": \"localhost\", \"port\": %d, \"tls\": true}",
              server->port);
    source_open(&c, &s->r, "cache_memory", t);
    source_watch(&c, "cache_memory", t, NULL, 0);
    source_poll(&c);
    assert_true(c.err.code != 0);
    source_close(&c);
}

static void a_pair_and_its_failover(void **state)
{
    struct stage *s = *state;
    struct node *a = start(s, "--set maxmemory=3mb --set maxmemory-policy=allkeys-lru "
                              "--set repl-diskless-sync-delay=0"),
                *b = start(s, "--set maxmemory=3mb --set maxmemory-policy=allkeys-lru");
    char command[80];
    struct source c;

    snprintf(command, sizeof(command), "replicaof 127.0.0.1 %d", a->port);
    (void)cli(b, command);
    for (int i = 0; i < 300 && info_of(a, "connected_slaves") < 1; i++)
        run_for(s->r.loop, 20);
    for (int i = 0; i < 300 && strstr(cli(a, "info replication | grep slave0"), "online") == NULL;
         i++)
        run_for(s->r.loop, 20);
    const struct target *t =
        cache(s, "pair", "{\"nodes\": [\"127.0.0.1:%d\", \"127.0.0.1:%d\"]}", a->port, b->port);
    source_open(&c, &s->r, "cache_evictions", t);
    const struct watch *evictions = source_watch(&c, "cache_evictions", t, NULL, 0);
    const struct watch *memory = source_watch(&c, "cache_memory", t, NULL, 0);
    const struct watch *lag = source_watch(&c, "cache_replica_lag", t, NULL, 0);
    const struct watch *up =
        source_watch(&c, "redis", t, "{\"field\": \"connected_slaves\", \"agg\": \"sum\"}", 0);
    const struct watch *mean =
        source_watch(&c, "redis", t, "{\"field\": \"connected_slaves\", \"agg\": \"avg\"}", 0);
    const struct watch *least =
        source_watch(&c, "redis", t, "{\"field\": \"connected_slaves\", \"agg\": \"min\"}", 0);
    source_poll(&c);
    assert_true(source_value(&c, memory) > 0);
    assert_true(source_value(&c, lag) >= 0 && source_value(&c, lag) < 10000);
    assert_true(source_value(&c, up) == 1);
    assert_float_equal(source_value(&c, mean), 0.5, 1e-9); /* of 1 and 0 */
    assert_true(source_value(&c, least) == 0);
    fill(a, 4000);
    poll_soon(&c, s);
    assert_true(source_value(&c, evictions) > 0);

    /* Failover. Evictions do not seem to end: they are unknown, once. */
    (void)cli(b, "replicaof no one");
    snprintf(command, sizeof(command), "replicaof 127.0.0.1 %d", b->port);
    (void)cli(a, command);
    poll_soon(&c, s);
    assert_int_equal(source_count(&c, evictions), 0);
    assert_non_null(strstr(source_why(&c, evictions), "changed its role, slave to master"));
    fill(b, 4000);
    poll_soon(&c, s);
    assert_true(source_value(&c, evictions) > 0);

    /* The replica is away: evictions are whole without it, what is of all nodes is not. */
    kill(a->pid, SIGSTOP);
    source_poll(&c);
    assert_int_equal(c.err.code, 0);
    assert_true(source_count(&c, evictions) == 1);
    assert_non_null(strstr(source_why(&c, memory), "does not answer"));
    assert_non_null(strstr(source_why(&c, up), "does not answer"));
    kill(a->pid, SIGCONT);
    /* The primary is gone: its replica says nothing of evictions. */
    poll_soon(&c, s);
    (void)cli(b, "shutdown nosave");
    poll_soon(&c, s);
    assert_int_equal(source_count(&c, evictions), 0);
    assert_non_null(strstr(source_why(&c, evictions), "does not answer"));
    source_close(&c);
}

/* The bus of a cluster is 10,000 above the port unless it is said: that may not exist. */
static struct node *start_shard(struct stage *s, int bus)
{
    char options[200];

    snprintf(options, sizeof(options),
             "--set cluster-enabled=yes --set cluster-port=%d --set maxmemory=2mb --set "
             "maxmemory-policy=allkeys-lru",
             bus);
    return start(s, options);
}

static void shards(void **state)
{
    struct stage *s = *state;
    int bus_a = free_port(), bus_b = free_port();
    struct node *a = start_shard(s, bus_a), *b = start_shard(s, bus_b);
    char command[80];
    struct source c, half;

    (void)cli(a, "cluster addslotsrange 0 8191");
    (void)cli(b, "cluster addslotsrange 8192 16383");
    snprintf(command, sizeof(command), "cluster meet 127.0.0.1 %d %d", b->port, bus_b);
    (void)cli(a, command);
    for (int i = 0;
         i < 300 && (strcmp(cli(a, "cluster info | grep cluster_size"), "cluster_size:2") != 0 ||
                     strcmp(cli(b, "cluster info | grep cluster_size"), "cluster_size:2") != 0);
         i++)
        run_for(s->r.loop, 20);
    const struct target *both =
        cache(s, "both", "{\"nodes\": [\"127.0.0.1:%d\", \"127.0.0.1:%d\"]}", a->port, b->port);
    const struct target *one =
        cache(s, "one-of-two", "{\"host\": \"127.0.0.1\", \"port\": %d}", a->port);
    const struct target *bad = cache(s, "bad", "{\"nodes\": [\"127.0.0.1\"]}");
    source_open(&c, &s->r, "cache_evictions", both);
    source_open(&half, &s->r, "cache_evictions", one);
    const struct watch *w = source_watch(&c, "cache_evictions", both, NULL, 0);
    const struct watch *h = source_watch(&half, "cache_evictions", one, NULL, 0);
    source_poll(&c);
    source_poll(&half);
    poll_soon(&c, s);
    poll_soon(&half, s);
    assert_true(source_value(&c, w) == 0);
    assert_non_null(strstr(source_why(&half, h), "1 primary of 2 shards answers"));
    source_close(&c);
    source_close(&half);
    source_open(&c, &s->r, "cache_memory", bad);
    source_watch(&c, "cache_memory", bad, NULL, 0);
    source_poll(&c);
    assert_int_equal(c.err.code, ERR_INPUT);
    assert_non_null(strstr(c.err.text, "node \"127.0.0.1\" is not \"host:port\""));
    source_close(&c);
}

/* INFO is answered by a server that refuses all else. */
static void data_that_are_being_loaded(void **state)
{
    struct stage *s = *state;
    struct source c;
    struct node *b = start(s, "--set key-load-delay=5000 "
                              "--set loading-process-events-interval-bytes=1024 "
                              "--set maxmemory=100mb");
    const struct target *t = cache(s, "late", "{\"host\": \"127.0.0.1\", \"port\": %d}", b->port);
    char command[100];
    int i;

    (void)cli(&s->given, "config set repl-diskless-sync-delay 0");
    fill(&s->given, 1000);
    source_open(&c, &s->r, "cache_memory", t);
    const struct watch *memory = source_watch(&c, "cache_memory", t, NULL, 0);
    const struct watch *loading = source_watch(&c, "redis", t, "{\"field\": \"loading\"}", 0);
    const struct watch *lag = source_watch(&c, "cache_replica_lag", t, NULL, 0);
    source_poll(&c);
    assert_true(source_value(&c, memory) < 100 && source_value(&c, loading) == 0);
    snprintf(command, sizeof(command), "replicaof 127.0.0.1 %d", s->given.port);
    (void)cli(b, command);
    for (i = 0; i < 500 && info_of(b, "loading") != 1; i++)
        run_for(s->r.loop, 10);
    assert_true(i < 500);
    source_poll(&c);
    assert_non_null(strstr(cli(b, "get k1"), "LOADING"));
    assert_non_null(strstr(source_why(&c, memory), "is loading its data set"));
    assert_true(source_value(&c, loading) == 1);
    assert_non_null(strstr(source_why(&c, lag), "never been in step"));
    (void)cli(b, "config set key-load-delay 0");
    for (i = 0; i < 500 && info_of(b, "loading") != 0; i++)
        run_for(s->r.loop, 10);
    for (i = 0; i < 500 && info_of(b, "master_last_io_seconds_ago") < 0; i++)
        run_for(s->r.loop, 10);
    source_poll(&c);
    assert_true(source_value(&c, memory) > 0 && source_value(&c, loading) == 0);
    source_close(&c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(what_a_server_counts),
                                       T(a_restart_is_unknown_once),
                                       T(tls_and_a_user),
                                       T(a_pair_and_its_failover),
                                       T(shards),
                                       T(data_that_are_being_loaded)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
