/* The collectors http and tls against servers that answer well, badly, late and not at all. */
#include "help_cert.h"
#include "help_plugins.h"

#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"

struct stage {
    struct rig r;
    struct server server;
    struct source c;
};

static const char *answer = "";

static const char *block4k(void)
{
    static char text[4097];

    memset(text, 'x', sizeof(text) - 1);
    return text;
}

static void says(struct server *s, int fd, int n)
{
    char block[4096];

    (void)n;
    if (server_read_request(s, fd, block, sizeof(block)) == 0)
        return;
    if (strcmp(answer, "late") == 0)
        server_linger(s, fd);
    else if (strcmp(answer, "reset") == 0)
        server_reset(fd);
    else if (strcmp(answer, "big") == 0) {
        server_say(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        for (int i = 0; i < 80; i++)
            server_say(fd, block4k());
    } else
        server_say(fd, answer);
}

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));

    rig_init(&s->r);
    s->server.fd = -1;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    if (s->c.self != NULL)
        source_close(&s->c);
    rig_free(&s->r);
    cert_stop(&s->server);
    mem_free(s);
    return 0;
}

static const char *opts_for(const struct stage *s, const char *more)
{
    static char text[400];

    snprintf(text, sizeof(text), "{\"url\": \"http://127.0.0.1:%d/health\"%s}", s->server.port,
             more);
    return text;
}

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok!"
#define BAD "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
#define MOVED "HTTP/1.1 301 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"

static void failures_in_a_row_are_counted(void **state)
{
    struct stage *s = *state;
    const struct target *t = rig_target(&s->r, "queue", "orders", "{\"url\": \"x\"}");

    server_start(&s->server, says);
    source_open(&s->c, &s->r, "http", t);
    const struct watch *w = source_watch(&s->c, "http", t, opts_for(s, ", \"timeout\": 300"), 0);
    const struct watch *same = source_watch(&s->c, "http", t, opts_for(s, ", \"timeout\": 300"), 0);
    const struct watch *text =
        source_watch(&s->c, "http", t, opts_for(s, ", \"timeout\": 300, \"body\": \"all ok\""), 0);
    const struct watch *only =
        source_watch(&s->c, "http", t, opts_for(s, ", \"timeout\": 300, \"expect\": \"200\""), 0);
    static const struct {
        const char *answer;
        int any, text, only;
    } rows[] = {
        {OK, 0, 0, 0},
        {BAD, 1, 1, 1},
        {"reset", 2, 2, 2},
        {"late", 3, 3, 3},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nall ok and then", 4, 4, 4},
        {"220 smtp\r\n", 5, 5, 5},
        {MOVED, 0, 6, 6},
        {OK, 0, 0, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone", 0, 1, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int before = s->server.requests;

        answer = rows[i].answer;
        source_poll(&s->c);
        assert_int_equal(s->c.err.code, 0);
        assert_int_equal((int)source_value(&s->c, w), rows[i].any);
        assert_int_equal((int)source_value(&s->c, same), rows[i].any);
        assert_int_equal((int)source_value(&s->c, text), rows[i].text);
        assert_int_equal((int)source_value(&s->c, only), rows[i].only);
        /* Three questions, whoever reads them. */
        assert_int_equal(s->server.requests - before, 3);
        assert_int_equal(s->c.ended, 1);
    }
    /* A reload keeps the count; a server that is gone goes on with it. */
    answer = BAD;
    source_poll(&s->c);
    source_watch(&s->c, "http", t, opts_for(s, ", \"expect\": \"503\""), 0);
    assert_true(s->c.type->migrate(s->c.self, s->r.estate));
    source_poll(&s->c);
    assert_int_equal((int)source_value(&s->c, w), 2);
    cert_stop(&s->server);
    source_poll(&s->c);
    assert_int_equal((int)source_value(&s->c, w), 3);
}

static void what_says_nothing_of_the_server_is_unknown(void **state)
{
    struct stage *s = *state;
    const struct target *t = rig_target(&s->r, "service", "portal", "{}");
    const struct target *dark =
        rig_target(&s->r, "service", "dark", "{\"url\": \"http://service.example/\"}");
    struct resolver *real = s->r.resolver;

    server_start(&s->server, says);
    source_open(&s->c, &s->r, "http", t);
    const struct watch *w = source_watch(&s->c, "http", t, opts_for(s, ""), 0);
    const struct watch *url = source_watch(&s->c, "http", t, "{\"url\": \"ftp://x/\"}", 0);
    const struct watch *none = source_watch(&s->c, "probe_failures", t, NULL, 0);
    const struct watch *list =
        source_watch(&s->c, "http", t, opts_for(s, ", \"expect\": \"2xx\""), 0);
    const struct watch *gone =
        source_watch(&s->c, "http", t, "{\"url\": \"http://nothing.invalid./\"}", 0);
    const struct watch *ca = source_watch(
        &s->c, "http", t,
        "{\"url\": \"https://127.0.0.1:1/\", \"ca_file\": \"/nonexistent\", \"timeout\": 300}", 0);
    answer = "big";
    source_poll(&s->c);
    assert_non_null(strstr(source_why(&s->c, w), "larger than"));
    assert_non_null(strstr(source_why(&s->c, url), "http or https"));
    assert_non_null(strstr(source_why(&s->c, none), "no url"));
    assert_non_null(strstr(source_why(&s->c, list), "200-399"));
    assert_non_null(strstr(source_why(&s->c, gone), "dot"));
    assert_true(source_last(&s->c, ca) != NULL);
    source_close(&s->c);
    /* No DNS server answers: that is ours, and says nothing of the service. */
    s->r.resolver = resolver_new(s->r.loop, "127.0.0.1:1", NULL);
    struct http *http = s->r.http;
    s->r.http = http_new(s->r.loop, s->r.resolver, NULL, NULL);
    s->r.io.http = s->r.http;
    source_open(&s->c, &s->r, "probe_failures", dark);
    const struct watch *name = source_watch(&s->c, "probe_failures", dark, "{\"timeout\": 400}", 0);
    source_poll(&s->c);
    assert_true(source_last(&s->c, name)->why[0] != '\0');
    http_free(s->r.http);
    resolver_free(s->r.resolver);
    s->r.resolver = real;
    s->r.http = s->r.io.http = http;
}

static void a_cancelled_poll_is_silent(void **state)
{
    struct stage *s = *state;
    const struct target *t = rig_target(&s->r, "queue", "orders", "{\"url\": \"x\"}");

    server_start(&s->server, says);
    answer = "late";
    source_open(&s->c, &s->r, "http", t);
    const struct watch *w = source_watch(&s->c, "http", t, opts_for(s, ", \"timeout\": 400"), 0);
    s->c.ngot = 0;
    s->c.ended = 0;
    source_begin(&s->c);
    run_for(s->r.loop, 50);
    s->c.type->cancel(s->c.self);
    run_for(s->r.loop, 500);
    assert_int_equal(s->c.ngot + (size_t)s->c.ended, 0);
    answer = OK;
    source_poll(&s->c);
    assert_int_equal((int)source_value(&s->c, w), 0);
    answer = "late";
    source_begin(&s->c); /* closed in the middle of the next one */
}

static void days_are_those_of_the_certificate_shown(void **state)
{
    struct stage *s = *state;
    char fields[300];

    cert_serve(&s->server, "good", NULL);
    snprintf(fields, sizeof(fields), "{\"host\": \"localhost\", \"port\": %d, \"ca_file\": \"%s\"}",
             s->server.port, cert_path("ca"));
    const struct target *t = rig_target(&s->r, "certificate", "portal", fields);
    const struct target *service =
        rig_target(&s->r, "service", "portal", "{\"certificate\": \"portal\"}");
    const struct target *bare = rig_target(&s->r, "certificate", "bare", "{}");
    source_open(&s->c, &s->r, "tls", t);
    const struct watch *w = source_watch(&s->c, "cert_days_left", t, NULL, 0);
    const struct watch *shown = source_watch(&s->c, "cert_days_left", service, NULL, 0);
    const struct watch *named = source_watch(&s->c, "tls", service, fields, 0);
    const struct watch *none = source_watch(&s->c, "cert_days_left", bare, NULL, 0);
    const struct watch *untrusted =
        source_watch(&s->c, "tls", service, "{\"host\": \"localhost\"}", 0);
    json_set_int((struct json *)untrusted->opts, "port", s->server.port);
    source_poll(&s->c);
    assert_int_equal((int)source_value(&s->c, w), 4); /* whole days of five, less a moment */
    assert_int_equal((int)source_value(&s->c, shown), 4);
    assert_int_equal((int)source_value(&s->c, named), 4);
    assert_non_null(strstr(source_why(&s->c, none), "host"));
    assert_non_null(strstr(source_why(&s->c, untrusted), "not trusted"));
    static const struct {
        const char *cert, *why;
    } rows[] = {{"expired", NULL}, {"other", "mismatch"}};
    for (size_t i = 0; i < 2; i++) {
        int port = s->server.port;

        cert_serve(&s->server, rows[i].cert, NULL);
        json_set_int(t->fields, "port", s->server.port);
        assert_true(s->server.port != port || s->server.port > 0);
        source_poll(&s->c);
        if (rows[i].why == NULL)
            assert_int_equal((int)source_value(&s->c, w), 0);
        else
            assert_non_null(strstr(source_why(&s->c, w), rows[i].why));
    }
    /* Nobody there; and somebody who says nothing of TLS. */
    cert_stop(&s->server);
    source_poll(&s->c);
    assert_non_null(strstr(source_why(&s->c, w), "refused"));
    server_start(&s->server, says);
    answer = "220 no TLS here\r\n";
    json_set_int(t->fields, "port", s->server.port);
    source_poll(&s->c);
    assert_true(source_last(&s->c, w)->why[0] != '\0');
    s->c.ngot = 0;
    s->c.ended = 0;
    source_begin(&s->c);
    s->c.type->cancel(s->c.self);
    run_for(s->r.loop, 100);
    assert_int_equal(s->c.ngot + (size_t)s->c.ended, 1); /* what has no host is told at once */
}

/* A probe's point is of when it was asked, and all probes of a service end before the next are
 * asked: while it hangs the points come so much later, and must not be too old then. */
static void a_server_that_hangs_is_not_unknown(void **state)
{
    static const char *const names[] = {"http", "probe_failures"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const struct signal *s = signal_find(names[i], NULL);

        for (size_t k = 0; k < s->noptions; k++) {
            if (strcmp(s->options[k].name, "timeout") == 0)
                assert_true((double)s->lag_ms >= (double)s->options[k].max);
        }
    }
}

static void lists_of_status_codes_are_checked(void **state)
{
    static const struct {
        const char *opts;
        int code;
    } rows[] = {
        {"{\"expect\": \"200\"}", 0},          {"{\"expect\": \"200,204,301-399\"}", 0},
        {"{\"expect\": \"$param.x\"}", 0},     {"{\"expect\": \"\"}", ERR_INPUT},
        {"{\"expect\": \"ok\"}", ERR_INPUT},   {"{\"expect\": \"300-200\"}", ERR_INPUT},
        {"{\"expect\": \"99\"}", ERR_INPUT},   {"{\"expect\": \"200,\"}", ERR_INPUT},
        {"{\"expect\": \"-200\"}", ERR_INPUT}, {"{\"expect\": \"200-\"}", ERR_INPUT},
        {"{\"expect\": \"600\"}", ERR_INPUT},  {"{\"expect\": \"200 204\"}", ERR_INPUT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err e = ERR_INIT;
        struct json *o = json_parse(rows[i].opts, strlen(rows[i].opts), 1000, &e);

        assert_int_equal(signal_find("http", NULL)->check(o, &e), rows[i].code);
        json_free(o);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(failures_in_a_row_are_counted),
        T(what_says_nothing_of_the_server_is_unknown),
        T(a_cancelled_poll_is_silent),
        T(days_are_those_of_the_certificate_shown),
        cmocka_unit_test(a_server_that_hangs_is_not_unknown),
        cmocka_unit_test(lists_of_status_codes_are_checked),
    };

    return cmocka_run_group_tests(tests, certs_make, certs_remove);
}
