/* Calls against a scripted server: what is tried again, what is in doubt, clock and keys. */
#include "help_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "aws/call.h"
#include "base/mem.h"
#include "base/units.h"

#define OK_BODY                                                                                    \
    "<SetDesiredCapacityResponse><ResponseMetadata><RequestId>r-1</RequestId>"                     \
    "</ResponseMetadata></SetDesiredCapacityResponse>"
#define ERROR(code)                                                                                \
    "<ErrorResponse><Error><Type>Sender</Type><Code>" code "</Code><Message>why"                   \
    "</Message></Error><RequestId>r-2</RequestId></ErrorResponse>"
#define HTML "<html><body><h1>502 Bad Gateway</h1></body></html>"
#define SAID(status, body)                                                                         \
    {                                                                                              \
        SAY, status, NULL, body, NULL, NULL                                                        \
    }

static const struct line ok[] = {SAID(200, OK_BODY)};
static const struct line throttled[] = {SAID(400, ERROR("Throttling")), SAID(200, OK_BODY)};
static const struct line busy[] = {SAID(500, ERROR("ResourceContention")), SAID(200, OK_BODY)};
static const struct line html[] = {SAID(502, HTML), SAID(200, OK_BODY)};
static const struct line unavailable[] = {SAID(503, ERROR("ServiceUnavailable")),
                                          SAID(200, OK_BODY)};
static const struct line truncated[] = {SAID(200, "<SetDesiredCapacityResponse><Resp"),
                                        SAID(200, OK_BODY)};
static const struct line other[] = {SAID(200, "<OtherResponse/>"), SAID(200, OK_BODY)};
static const struct line reset[] = {{RESET, 0, NULL, NULL, NULL, NULL}, SAID(200, OK_BODY)};
static const struct line silent[] = {{SILENT, 0, NULL, NULL, NULL, NULL}, SAID(200, OK_BODY)};
static const struct line refused[] = {SAID(400, ERROR("ValidationError"))};
static const struct line denied[] = {SAID(403, ERROR("AccessDenied"))};
static const struct line always[] = {SAID(400, ERROR("Throttling"))};

#define SCRIPT(s) (s), sizeof(s) / sizeof *(s)

struct scenario {
    const char *name;
    const struct line *script;
    size_t nscript;
    bool mutating;
    enum aws_outcome outcome;
    int requests;
    const char *code, *word; /* the error's code, and a word of its text */
};

static const struct scenario scenarios[] = {
    {"act, nobody listens", NULL, 0, true, AWS_NOT_SENT, 3, "", "127.0.0.1"},
    {"act ok", SCRIPT(ok), true, AWS_OK, 1, "", NULL},
    {"act throttled", SCRIPT(throttled), true, AWS_OK, 2, "", NULL},
    {"act busy", SCRIPT(busy), true, AWS_OK, 2, "", NULL},
    {"act html", SCRIPT(html), true, AWS_IN_DOUBT, 1, "", "it may have been carried out"},
    {"act 503", SCRIPT(unavailable), true, AWS_IN_DOUBT, 1, "ServiceUnavailable", "may have"},
    {"act truncated", SCRIPT(truncated), true, AWS_IN_DOUBT, 1, "", "cannot be read"},
    {"act reset", SCRIPT(reset), true, AWS_IN_DOUBT, 1, "", "may have"},
    {"act silent", SCRIPT(silent), true, AWS_IN_DOUBT, 1, "", "may have"},
    {"act refused", SCRIPT(refused), true, AWS_REFUSED, 1, "ValidationError", "why"},
    {"act denied", SCRIPT(denied), true, AWS_REFUSED, 1, "AccessDenied", "the environment"},
    {"read html", SCRIPT(html), false, AWS_OK, 2, "", NULL},
    {"read 503", SCRIPT(unavailable), false, AWS_OK, 2, "", NULL},
    {"read truncated", SCRIPT(truncated), false, AWS_OK, 2, "", NULL},
    {"read other root", SCRIPT(other), false, AWS_OK, 2, "", NULL},
    {"read reset", SCRIPT(reset), false, AWS_OK, 2, "", NULL},
    {"read silent", SCRIPT(silent), false, AWS_OK, 2, "", NULL},
    {"read refused", SCRIPT(refused), false, AWS_REFUSED, 1, "ValidationError", "request r-2"},
    {"read throttled for ever", SCRIPT(always), false, AWS_REFUSED, 3, "Throttling", "several"},
};
#define NSCENARIOS (sizeof scenarios / sizeof *scenarios)

struct result {
    int *count;
    enum aws_outcome outcome;
    int status, attempts;
    char code[64], request_id[64];
    struct err err;
};

static void on_done(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct result *r = arg;
    r->outcome = a->outcome;
    r->status = a->status;
    r->attempts = a->attempts;
    snprintf(r->code, sizeof r->code, "%s", a->code);
    snprintf(r->request_id, sizeof r->request_id, "%s", a->request_id);
    if (e)
        r->err = *e;
    assert_int_equal(a->outcome == AWS_OK, e == NULL);
    assert_int_equal(a->outcome == AWS_OK, a->xml != NULL || a->json != NULL);
    ++*r->count;
}

static struct aws *client(struct world *w, const char *url)
{
    struct err e = ERR_INIT;
    struct aws *a = aws_new(&(struct aws_options){.loop = w->loop,
                                                  .http = w->http,
                                                  .name = "prod",
                                                  .region = "us-east-1",
                                                  .endpoint = url},
                            &e);
    if (!a)
        fail_msg("%s", e.text);
    return a;
}

static struct aws_call *set_desired(struct aws *a, bool mutating, int64_t attempt_ms,
                                    struct result *r)
{
    struct aws_params *p = aws_params_new();
    struct aws_call *c;

    aws_param(p, "AutoScalingGroupName", "web & co");
    aws_param_int(p, "DesiredCapacity", 10);
    c = aws_send(a,
                 &(struct aws_request){.service = AWS_AUTOSCALING,
                                       .action = "SetDesiredCapacity",
                                       .params = p,
                                       .mutating = mutating,
                                       .attempt_ms = attempt_ms},
                 on_done, r);
    aws_params_free(p);
    return c;
}

static void outcomes(void **state)
{
    static struct server servers[NSCENARIOS];
    static struct result results[NSCENARIOS];
    struct aws *clients[NSCENARIOS];
    struct world w;
    int count = 0;

    (void)state;
    world_open(&w);
    for (size_t i = 0; i < NSCENARIOS; i++) {
        server_start(&servers[i], scenarios[i].script, scenarios[i].nscript);
        if (!scenarios[i].script)
            server_stop(&servers[i]); /* its port refuses now */
        clients[i] = client(&w, servers[i].url);
        results[i].count = &count;
        set_desired(clients[i], scenarios[i].mutating, 500, &results[i]);
    }
    assert_int_equal(count, 0); /* never from inside */
    world_run(&w, &count, NSCENARIOS, 15000);
    for (size_t i = 0; i < NSCENARIOS; i++) {
        const struct scenario *s = &scenarios[i];
        const struct result *r = &results[i];
        if (r->outcome != s->outcome || servers[i].requests != (s->script ? s->requests : 0) ||
            r->attempts != s->requests || strcmp(r->code, s->code) != 0 ||
            (s->word && !strstr(r->err.text, s->word)))
            fail_msg("%s: %s, %d requests, %d attempts, code %s: %s", s->name,
                     aws_outcome_name(r->outcome), servers[i].requests, r->attempts, r->code,
                     r->err.text);
        aws_free(clients[i]);
        if (s->script)
            server_stop(&servers[i]);
    }
    assert_string_equal(results[1].request_id, "r-1");
    world_close(&w);
}

static void what_goes_over_the_wire(void **state)
{
    struct server s;
    struct world w;
    struct result r = {0};
    struct aws *a;
    int count = 0;
    char host[80];

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(ok));
    a = client(&w, s.url);
    r.count = &count;
    setenv("AWS_SESSION_TOKEN", "the-token", 1);
    set_desired(a, true, 0, &r);
    world_run(&w, &count, 1, 5000);
    unsetenv("AWS_SESSION_TOKEN");
    assert_int_equal(r.outcome, AWS_OK);
    assert_true(server_saw(&s, 0, "POST / HTTP/1.1\r\n"));
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%d\r\n", s.port);
    assert_true(server_saw(&s, 0, host));
    assert_true(server_saw(&s, 0, "\r\nX-Amz-Security-Token: the-token\r\n"));
    assert_true(server_saw(&s, 0, "Credential=AKTEST/"));
    assert_true(server_saw(&s, 0, "/us-east-1/autoscaling/aws4_request"));
    assert_true(
        server_saw(&s, 0, "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"));
    assert_true(server_saw(&s, 0,
                           "\r\n\r\nAction=SetDesiredCapacity&Version=2011-01-01"
                           "&AutoScalingGroupName=web%20%26%20co&DesiredCapacity=10"));
    aws_free(a);
    server_stop(&s);
    world_close(&w);
}

static void no_credentials(void **state)
{
    struct server s;
    struct world w;
    struct result r = {0};
    struct aws *a;
    int count = 0;

    (void)state;
    unsetenv("AWS_ACCESS_KEY_ID");
    world_open(&w);
    server_start(&s, SCRIPT(ok));
    a = client(&w, s.url);
    r.count = &count;
    set_desired(a, true, 0, &r);
    world_run(&w, &count, 1, 5000);
    setenv("AWS_ACCESS_KEY_ID", "AKTEST", 1);
    assert_int_equal(r.outcome, AWS_NOT_SENT);
    assert_int_equal(r.attempts, 0);
    assert_int_equal(s.requests, 0);
    assert_int_equal(r.err.code, ERR_AUTH);
    assert_non_null(strstr(r.err.text, "no AWS credentials"));
    aws_free(a);
    server_stop(&s);
    world_close(&w);
}

static void too_large_is_not_sent(void **state)
{
    struct world w;
    struct result r = {0};
    struct aws *a;
    struct aws_params *p = aws_params_new();
    char *big = mem_alloc(5 * 1024 * 1024 + 1);
    int count = 0;

    (void)state;
    world_open(&w);
    a = client(&w, "http://127.0.0.1:1");
    r.count = &count;
    memset(big, 'x', 5 * 1024 * 1024);
    aws_param(p, "Big", big);
    aws_send(a, &(struct aws_request){.service = AWS_AUTOSCALING, .action = "X", .params = p},
             on_done, &r);
    aws_params_free(p);
    mem_free(big);
    world_run(&w, &count, 1, 5000);
    assert_int_equal(r.outcome, AWS_NOT_SENT);
    assert_int_equal(r.err.code, ERR_LIMIT);
    aws_free(a);
    world_close(&w);
}

/* The server's clock is 10 minutes ahead: the second attempt, and every later call, is signed by
 * it. */
static void a_wrong_clock_is_corrected(void **state)
{
    static char headers[128], stamp[32];
    static struct line script[2];
    struct server s;
    struct world w;
    struct result r[2] = {{0}};
    struct aws *a;
    int count = 0;
    time_t ahead = time(NULL) + 600;
    struct tm tm;

    (void)state;
    gmtime_r(&ahead, &tm);
    strftime(headers, sizeof headers, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    strftime(stamp, sizeof stamp, "X-Amz-Date: %Y%m%dT%H", &tm);
    script[0] = (struct line){SAY, 403, headers, ERROR("RequestTimeTooSkewed"), NULL, NULL};
    script[1] = (struct line)SAID(200, OK_BODY);
    world_open(&w);
    server_start(&s, script, 2);
    a = client(&w, s.url);
    r[0].count = r[1].count = &count;
    set_desired(a, true, 0, &r[0]);
    world_run(&w, &count, 1, 5000);
    assert_int_equal(r[0].outcome, AWS_OK);
    assert_int_equal(s.requests, 2);
    assert_true(server_saw(&s, 1, stamp));
    assert_in_range(aws_wall_ms(a) - loop_wall_ms(w.loop), 595000, 605000);
    set_desired(a, true, 0, &r[1]);
    world_run(&w, &count, 2, 5000);
    assert_int_equal(s.requests, 3);
    assert_true(server_saw(&s, 2, stamp));
    aws_free(a);
    server_stop(&s);
    world_close(&w);
}

static void rotate_keys(void *arg)
{
    write_file(arg, "[default]\naws_access_key_id = AKNEW\naws_secret_access_key = newsecret\n");
}

static void expired_keys_are_fetched_anew(void **state)
{
    char dir[] = "/tmp/aws-call-XXXXXX", path[64];
    struct line script[2] = {{SAY, 403, NULL, ERROR("ExpiredToken"), rotate_keys, path},
                             SAID(200, OK_BODY)};
    struct server s;
    struct world w;
    struct result r = {0};
    struct aws *a;
    int count = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/credentials", dir);
    write_file(path, "[default]\naws_access_key_id = AKOLD\naws_secret_access_key = oldsecret\n");
    chmod(path, 0600);
    unsetenv("AWS_ACCESS_KEY_ID");
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    world_open(&w);
    server_start(&s, script, 2);
    a = client(&w, s.url);
    r.count = &count;
    set_desired(a, true, 0, &r);
    world_run(&w, &count, 1, 5000);
    assert_int_equal(r.outcome, AWS_OK);
    assert_true(server_saw(&s, 0, "Credential=AKOLD/"));
    assert_true(server_saw(&s, 1, "Credential=AKNEW/"));
    aws_free(a);
    server_stop(&s);
    world_close(&w);
    setenv("AWS_ACCESS_KEY_ID", "AKTEST", 1);
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    unlink(path);
    rmdir(dir);
}

static void deadline_and_cancel(void **state)
{
    static const struct line never[] = {{SILENT, 0, NULL, NULL, NULL, NULL}};
    struct server s;
    struct world w;
    struct result r[3] = {{0}};
    struct aws *a;
    int count = 0;
    struct aws_call *c;

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(never));
    a = client(&w, s.url);
    for (int i = 0; i < 3; i++)
        r[i].count = &count;
    aws_send(a,
             &(struct aws_request){.service = AWS_AUTOSCALING,
                                   .action = "SetDesiredCapacity",
                                   .mutating = true,
                                   .deadline_ms = 200},
             on_done, &r[0]);
    world_run(&w, &count, 1, 3000);
    assert_int_equal(r[0].outcome, AWS_IN_DOUBT);
    assert_int_equal(r[0].err.code, ERR_TIMEOUT);
    c = set_desired(a, true, 0, &r[1]);
    world_wait(&w, 50);
    aws_cancel(c);
    set_desired(a, true, 0, &r[2]);
    aws_cancel(set_desired(a, true, 0, &r[2])); /* before it began */
    world_wait(&w, 50);
    aws_free(a); /* with one in flight */
    world_wait(&w, 50);
    assert_int_equal(count, 1);
    server_stop(&s);
    world_close(&w);
}

struct freer {
    struct aws *a;
    int count;
};

static void free_inside(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct freer *f = arg;
    (void)a;
    (void)e;
    f->count++;
    aws_free(f->a);
}

static void the_client_may_be_freed_by_a_completion(void **state)
{
    struct world w;
    struct server s;
    struct freer f = {0};

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(refused));
    for (int i = 0; i < 2; i++) { /* from an answer, and from missing keys */
        if (i == 1)
            unsetenv("AWS_ACCESS_KEY_ID");
        f.a = client(&w, s.url);
        for (int n = 0; n < 2; n++)
            aws_send(f.a, &(struct aws_request){.service = AWS_STS, .action = "GetCallerIdentity"},
                     free_inside, &f);
        world_run(&w, &f.count, i + 1, 5000);
        world_wait(&w, 50);
        assert_int_equal(f.count, i + 1);
    }
    setenv("AWS_ACCESS_KEY_ID", "AKTEST", 1);
    server_stop(&s);
    world_close(&w);
}

static void json_service(void **state)
{
    static const struct line script[] = {
        SAID(400, "{\"__type\":\"com.amazon#ThrottlingException\",\"message\":\"slow\"}"),
        {SAY, 200, "x-amzn-RequestId: r-9\r\n", "{}", NULL, NULL}};
    struct server s;
    struct world w;
    struct aws *a;
    struct result r = {0};
    int count = 0;

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    a = client(&w, s.url);
    r.count = &count;
    aws_send(a, &(struct aws_request){.service = AWS_SECRETSMANAGER, .action = "GetSecretValue"},
             on_done, &r);
    world_run(&w, &count, 1, 5000);
    assert_int_equal(r.outcome, AWS_OK);
    assert_int_equal(s.requests, 2);
    assert_true(server_saw(&s, 0, "\r\nX-Amz-Target: secretsmanager.GetSecretValue\r\n"));
    assert_true(server_saw(&s, 0, "\r\nContent-Type: application/x-amz-json-1.1\r\n"));
    assert_true(server_saw(&s, 0, ";x-amz-target,"));
    assert_true(server_saw(&s, 1, "\r\n\r\n{}"));
    assert_string_equal(r.request_id, "r-9");
    aws_free(a);
    server_stop(&s);
    world_close(&w);
}

static void options_are_checked(void **state)
{
    struct world w;
    struct err e = ERR_INIT;
    struct aws_options o = {.name = "x"};

    (void)state;
    world_open(&w);
    o.loop = w.loop;
    o.http = w.http;
    assert_null(aws_new(&o, &e));
    assert_non_null(strstr(e.text, "region"));
    setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
    o.role = "runbookd";
    assert_null(aws_new(&o, &e));
    assert_non_null(strstr(e.text, "ARN"));
    o.role = NULL;
    o.endpoint = "nowhere";
    assert_null(aws_new(&o, &e));
    unsetenv("AWS_DEFAULT_REGION");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes),
        cmocka_unit_test(what_goes_over_the_wire),
        cmocka_unit_test(no_credentials),
        cmocka_unit_test(too_large_is_not_sent),
        cmocka_unit_test(a_wrong_clock_is_corrected),
        cmocka_unit_test(expired_keys_are_fetched_anew),
        cmocka_unit_test(deadline_and_cancel),
        cmocka_unit_test(the_client_may_be_freed_by_a_completion),
        cmocka_unit_test(json_service),
        cmocka_unit_test(options_are_checked),
    };
    clear_environment();
    setenv("AWS_ACCESS_KEY_ID", "AKTEST", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
