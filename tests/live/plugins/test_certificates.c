/* cert_days_left: Certificate Manager in cloudsim beside a real TLS server. */
#include "help_cert.h"
#include "help_plugins.h"

#include <stdio.h>

#include "base/mem.h"

#define ARN "arn:aws:acm:us-east-1:123456789012:certificate/0c10ad51-0000-0000-0000-00000000000"

struct stage {
    struct rig r;
    struct server server;
    struct source c;
    const struct target *portal;
    const struct watch *w;
};

static int setup(void **state)
{
    struct stage *s = mem_alloc(sizeof(*s));
    char fields[400];

    rig_init(&s->r);
    s->server.fd = -1;
    cert_serve(&s->server, "good", NULL); /* five days less a moment */
    snprintf(fields, sizeof(fields),
             "{\"arn\": \"" ARN "1\", \"aws\": \"prod\", \"host\": \"localhost\", \"port\": %d, "
             "\"ca_file\": \"%s\"}",
             s->server.port, cert_path("ca"));
    s->portal = rig_target(&s->r, "certificate", "portal", fields);
    source_open(&s->c, &s->r, "cert_days_left", s->portal);
    s->w = source_watch(&s->c, "cert_days_left", s->portal, NULL, 0);
    sim_clear(&s->r);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    sim_clear(&s->r);
    source_close(&s->c);
    cert_stop(&s->server);
    rig_free(&s->r);
    mem_free(s);
    return 0;
}

static void acm_says(struct stage *s, const char *status, double days)
{
    sim_do(&s->r, "certificate",
           "{\"certificate\": \"portal.example.com\", \"status\": \"%s\", \"days\": %f, "
           "\"reason\": \"KEY_COMPROMISE\"}",
           status, days);
}

static void shows(struct stage *s, const char *cert)
{
    if (cert != NULL)
        cert_serve(&s->server, cert, NULL);
    else
        cert_stop(&s->server);
    json_set_int(s->portal->fields, "port", cert != NULL ? s->server.port : 1);
}

static void expect(struct stage *s, double days, const char *text)
{
    const struct reading *g;

    source_poll(&s->c);
    assert_int_equal(s->c.err.code, 0);
    g = source_last(&s->c, s->w);
    assert_non_null(g);
    if (strstr(days < 0 ? g->why : g->note, text) == NULL)
        fail_msg("expected \"%s\", got: %s%s", text, g->why, g->note);
    if (days >= 0)
        assert_true(source_value(&s->c, s->w) == days);
}

static void the_lower_of_both(void **state)
{
    struct stage *s = *state;

    acm_says(s, "ISSUED", 90.5);
    expect(s, 4,
           "decided by what the server shows; Certificate Manager: 90 days; what the server shows: "
           "4 days");
    acm_says(s, "ISSUED", 3.5);
    expect(s, 3, "decided by Certificate Manager; Certificate Manager: 3 days; what");
    acm_says(s, "ISSUED", -2); /* by then it is EXPIRED */
    expect(s, 0, "decided by Certificate Manager; Certificate Manager: 0 days");
    acm_says(s, "ISSUED", 90.5);
    shows(s, "expired");
    expect(s, 0, "decided by what the server shows; Certificate Manager: 90 days");
}

static void a_half_that_is_not_known(void **state)
{
    static const struct {
        const char *status, *why;
    } rows[] = {
        {"PENDING_VALIDATION", "it is PENDING_VALIDATION, not ISSUED"},
        {"REVOKED", "it is REVOKED, KEY_COMPROMISE, not ISSUED"},
        {"FAILED", "it is FAILED, KEY_COMPROMISE, not ISSUED"},
        {"INACTIVE", "it is INACTIVE, not ISSUED"},
        {"VALIDATION_TIMED_OUT", "it is VALIDATION_TIMED_OUT, not ISSUED"},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        acm_says(s, rows[i].status, 90.5);
        expect(s, -1, rows[i].why);
        expect(s, -1, "what the server shows: 4 days");
    }
    /* One that has ended is known, whatever the other half would say. */
    shows(s, "expired");
    expect(s, 0,
           "decided by what the server shows; Certificate Manager: it is VALIDATION_TIMED_OUT");
    acm_says(s, "ISSUED", 90.5);
    shows(s, "other");
    expect(s, -1, "Certificate Manager: 90 days; what the server shows: ");
    expect(s, -1, "mismatch");
    shows(s, NULL);
    expect(s, -1, "Certificate Manager: 90 days; what the server shows: ");
    acm_says(s, "EXPIRED", 90.5);
    expect(s, 0, "decided by Certificate Manager; Certificate Manager: 0 days; what the server");
}

#define ANSWER(body)                                                                               \
    "{\"kind\": \"answer\", \"status\": 200, \"value\": \"application/x-amz-json-1.1\", "          \
    "\"count\": 9, \"body\": \"" body "\"}"
#define CERTIFICATE(more)                                                                          \
    ANSWER("{\\\"Certificate\\\": {\\\"CertificateArn\\\": \\\"" ARN "1\\\"" more "}}")
#define ISSUED ", \\\"Status\\\": \\\"ISSUED\\\""

static void what_is_no_answer_is_unknown(void **state)
{
    static const struct {
        const char *fault, *why;
    } rows[] = {
        {ANSWER("{}"), "without the certificate"},
        {ANSWER("[]"), "no object"},
        {ANSWER("{\\\"Certificate\\\": {\\\"CertificateArn\\\": \\\"" ARN "2\\\"" ISSUED "}}"),
         "without the certificate"},
        {CERTIFICATE(""), "it is without a status, not ISSUED"},
        {CERTIFICATE(", \\\"Status\\\": 7"), "it is without a status"},
        {CERTIFICATE(", \\\"Status\\\": \\\"ON_HOLIDAY\\\""), "it is ON_HOLIDAY, not ISSUED"},
        {CERTIFICATE(ISSUED), "NotAfter is not a time"},
        {CERTIFICATE(ISSUED ", \\\"NotAfter\\\": \\\"2030-01-01T00:00:00Z\\\""), "NotAfter is not"},
        {CERTIFICATE(ISSUED ", \\\"NotAfter\\\": null"), "NotAfter is not a time"},
        {CERTIFICATE(ISSUED ", \\\"NotAfter\\\": -5"), "NotAfter is not a time"},
        {CERTIFICATE(ISSUED ", \\\"NotAfter\\\": 1.9e12"), "NotAfter is not a time"},
        {"{\"kind\": \"error\", \"code\": \"AccessDeniedException\", \"status\": 400, \"count\": "
         "9}",
         "AccessDeniedException"},
    };
    struct stage *s = *state;

    acm_says(s, "ISSUED", 90.5);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        sim_do(&s->r, "faults", "%s", rows[i].fault);
        expect(s, -1, rows[i].why);
        sim_clear(&s->r);
    }
    /* Numbers come with an exponent, too; an unknown member is nothing. */
    sim_do(&s->r, "faults", "%s",
           CERTIFICATE(ISSUED ", \\\"NotAfter\\\": 4.0E9, \\\"Odd\\\": {\\\"a\\\": []}"));
    expect(s, 4, "decided by what the server shows");
}

static void one_half_alone(void **state)
{
    struct stage *s = *state;
    const struct target *alone =
        rig_target(&s->r, "certificate", "alone", "{\"arn\": \"" ARN "2\", \"aws\": \"prod\"}");
    const struct target *gone =
        rig_target(&s->r, "certificate", "gone", "{\"arn\": \"" ARN "3\", \"aws\": \"prod\"}");
    const struct target *far = rig_target(
        &s->r, "certificate", "far",
        "{\"arn\": \"arn:aws:acm:eu-west-1:123456789012:certificate/1\", \"aws\": \"prod\"}");
    const struct target *lost =
        rig_target(&s->r, "certificate", "lost", "{\"arn\": \"" ARN "2\", \"aws\": \"test\"}");
    const struct target *service =
        rig_target(&s->r, "service", "portal", "{\"certificate\": \"alone\"}");
    const struct target *bare =
        rig_target(&s->r, "certificate", "bare", "{\"host\": \"localhost\"}");
    const struct signal *signal = s->w->signal;
    const struct watch *of[5];

    of[0] = source_watch(&s->c, "cert_days_left", alone, NULL, 0);
    of[1] = source_watch(&s->c, "cert_days_left", service, NULL, 0);
    of[2] = source_watch(&s->c, "cert_days_left", gone, NULL, 0);
    of[3] = source_watch(&s->c, "cert_days_left", far, NULL, 0);
    of[4] = source_watch(&s->c, "cert_days_left", lost, NULL, 0);
    source_poll(&s->c);
    for (size_t i = 0; i < 2; i++) {
        assert_true(source_value(&s->c, of[i]) == 20);
        assert_string_equal(source_last(&s->c, of[i])->note,
                            "decided by Certificate Manager; Certificate Manager: 20 days");
    }
    assert_non_null(strstr(source_why(&s->c, of[2]), "ResourceNotFoundException"));
    assert_non_null(strstr(source_why(&s->c, of[3]), "name an aws with region = \"eu-west-1\""));
    assert_non_null(strstr(source_why(&s->c, of[4]), "no account test"));
    /* Three certificates that can be asked about, whoever reads them: three calls. */
    assert_int_equal(sim_requests(&s->r, "DescribeCertificate"), 3);
    /* Without an ARN only the server is looked at, by the collector that does that. */
    assert_string_equal(signal_collector(signal, bare, s->r.estate)->name, "tls");
    assert_string_equal(signal_collector(signal, alone, s->r.estate)->name, "acm");
    assert_string_equal(signal_collector(signal, service, s->r.estate)->name, "acm");
}

static void a_cancelled_poll_is_silent(void **state)
{
    struct stage *s = *state;

    for (int after_ms = 0; after_ms < 40; after_ms += 4) {
        s->c.ngot = 0;
        s->c.ended = 0;
        source_begin(&s->c);
        run_for(s->r.loop, after_ms);
        if (s->c.ended == 0) {
            s->c.type->cancel(s->c.self);
            run_for(s->r.loop, 30);
            assert_int_equal(s->c.ngot + (size_t)s->c.ended, 0);
        }
    }
    sim_do(&s->r, "faults", "{\"kind\": \"hang\", \"seconds\": 5, \"count\": 9}");
    s->c.ngot = 0;
    s->c.ended = 0;
    source_begin(&s->c); /* closed with both questions under way */
    run_for(s->r.loop, 20);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_lower_of_both), T(a_half_that_is_not_known),   T(what_is_no_answer_is_unknown),
        T(one_half_alone),    T(a_cancelled_poll_is_silent),
    };

    return cmocka_run_group_tests(tests, certs_make, certs_remove);
}
