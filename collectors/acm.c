/* Certificates in Certificate Manager beside what their server really shows: the days left are the
 * lower of both. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "shared_source.h"
#include "shared_tls.h"

#define CALL_MS 8000
/* NotAfter is a time in seconds; beyond the year 9999 (RFC 5280, 4.1.2.5: 253402300799) it is
 * none. */
#define NOT_AFTER_MAX 253402300800.0

/* One of the two places that say how long it is good for. */
struct half {
    bool known;
    double days;
    struct err why; /* why it is not known */
};

/* Both questions of one poll. */
struct look {
    struct probe *p;
    char *arn;
    struct aws_call *call; /* in flight, or NULL */
    struct tls_probe *handshake;
    bool has_host;
    struct half acm, shown;
};

static char *acm_key(const struct estate *e, const struct watch *w, const char **why)
{
    const struct target *t = estate_related(e, w->target, "certificate");

    if (t == NULL || json_get_str(t->fields, "arn", NULL) == NULL) {
        *why = "it has no ARN that Certificate Manager could be asked about";
        return NULL;
    }
    return mem_strdup(t->id);
}

static void look_free(struct look *l)
{
    aws_cancel(l->call);
    tls_probe_cancel(l->handshake);
    mem_free(l->arn);
    mem_free(l);
}

/* "82 days", or why it is not known. */
static char *half_text(const struct half *h)
{
    return h->known ? mem_printf("%.0f days", h->days) : mem_strdup(h->why.text);
}

/* Days do not fall below 0, so a half that is there decides alone. In every other case the half
 * that is not known might be the lower one: unknown. */
static void tell(struct look *l)
{
    struct probe *p = l->p;
    const struct half *acm = &l->acm, *shown = &l->shown;
    bool by_acm = acm->known && (!shown->known || acm->days <= shown->days);
    const struct half *low = by_acm ? acm : shown;
    bool both = acm->known && (shown->known || !l->has_host);
    char *of_acm = half_text(acm), *of_server = half_text(shown), *text;
    double days = low->days;

    if (l->has_host)
        text = mem_printf("Certificate Manager: %s; what the server shows: %s", of_acm, of_server);
    else
        text = mem_printf("Certificate Manager: %s", of_acm);
    mem_free(of_acm);
    mem_free(of_server);
    if (both || (low->known && days == 0)) {
        char *note = mem_printf("decided by %s; %s",
                                by_acm ? "Certificate Manager" : "what the server shows", text);
        look_free(l);
        probe_sample_noted(p, days, note);
        mem_free(note);
    } else {
        look_free(l);
        probe_unknown(p, text);
    }
    mem_free(text);
}

static void ended(struct look *l)
{
    if (l->call == NULL && l->handshake == NULL)
        tell(l);
}

static void read_certificate(struct look *l, const struct json *c)
{
    const char *status = json_get_str(c, "Status", ""), *reason;
    double s = json_get_num(c, "NotAfter", NAN);
    struct half *h = &l->acm;

    reason = json_get_str(c, "RevocationReason", json_get_str(c, "FailureReason", ""));
    if (strcmp(json_get_str(c, "CertificateArn", ""), l->arn) != 0) {
        err_set(&h->why, ERR_INPUT, "it answered without the certificate that was asked for");
    } else if (strcmp(status, "EXPIRED") == 0) {
        h->known = true;
    } else if (strcmp(status, "ISSUED") != 0) {
        /* CertificateStatus of the model: NotAfter is not there, or does not count. */
        err_set(&h->why, ERR_INPUT, "it is %.40s%s%.60s, not ISSUED: look at it there",
                *status ? status : "without a status", *reason ? ", " : "", reason);
    } else if (!(s > 0 && s < NOT_AFTER_MAX)) {
        err_set(&h->why, ERR_INPUT, "it is ISSUED, but NotAfter is not a time in seconds");
    } else {
        h->known = true;
        h->days = tls_days((int64_t)(s * 1000), l->p->asked_ms);
    }
}

static void described(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct look *l = arg;

    l->call = NULL;
    if (e != NULL)
        l->acm.why = *e;
    else
        read_certificate(l, json_get(a->json, "Certificate"));
    ended(l);
}

static void shaken(void *arg, int64_t not_after_wall_ms, const struct err *e)
{
    struct look *l = arg;

    l->handshake = NULL;
    l->shown.known = tls_days_shown(not_after_wall_ms, l->p->asked_ms, e, &l->shown.days);
    if (!l->shown.known)
        l->shown.why = *e;
    ended(l);
}

/* A certificate is known in the region of its ARN only. */
static struct aws *account_of(const struct look *l, const struct host_io *io,
                              const struct target *t, struct err *e)
{
    struct aws *aws = io->aws(io->arg, json_get_str(t->fields, "aws", ""), e);
    char region[40] = "";

    (void)sscanf(l->arn, "arn:%*[^:]:acm:%39[^:]", region);
    if (aws != NULL && strcmp(region, aws_region(aws)) != 0) {
        err_set(e, ERR_INPUT,
                "its ARN is of region %s, and its account in the estate of %s: name an aws with "
                "region = \"%s\"",
                region, aws_region(aws), region);
        return NULL;
    }
    return aws;
}

static void acm_begin(struct probe *p, const struct collector_host *h, const struct estate *e)
{
    const struct target *t = estate_related(e, p->w->target, "certificate");
    struct look *l = mem_alloc(sizeof(*l));
    struct tls_place at;
    struct aws *aws = NULL;

    l->p = p;
    l->arn = mem_strdup(t != NULL ? json_get_str(t->fields, "arn", "") : "");
    p->call = l;
    if (t == NULL)
        err_set(&l->acm.why, ERR_NOT_FOUND, "the estate does not name it any more");
    else
        aws = account_of(l, h->io, t, &l->acm.why);
    if (aws != NULL) {
        struct json *body = json_new_map();
        struct aws_request r = {.service = AWS_ACM,
                                .action = "DescribeCertificate",
                                .body = body,
                                .deadline_ms = CALL_MS};

        json_set_str(body, "CertificateArn", l->arn);
        l->call = aws_send(aws, &r, described, l);
        json_free(body);
    }
    l->has_host = tls_place_of(e, p->w, &at);
    if (l->has_host)
        l->handshake = tls_place_ask(&at, h->io, shaken, l);
    ended(l);
}

static void acm_stop(struct probe *p)
{
    look_free(p->call);
}

static const struct probe_type probe_type = {
    .key = acm_key, .begin = acm_begin, .cancel = acm_stop};

static int acm_source(const struct signal *g, const struct target *t, const struct estate *e,
                      char *out, size_t size, struct err *err)
{
    (void)g;
    (void)e;
    return source_self(t, "acm", out, size, err);
}

static void *acm_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)source;
    (void)err;
    return probes_open(&probe_type, h, e);
}

/* One that is not in Certificate Manager is only looked at. */
static const char *only_shown(const struct target *t, const struct estate *e)
{
    const struct target *c = estate_related(e, t, "certificate");

    return c == NULL || json_get_str(c->fields, "arn", NULL) == NULL ? "tls" : NULL;
}

static const struct option acm_options[] = {TLS_PERIOD};

static const struct signal acm_signals[] = {
    {.name = "cert_days_left",
     .summary = "whole days that a certificate is still good for, by Certificate Manager (of one "
                "with an arn) and by what its host shows (of one with a host): the lower of both",
     .source = "DescribeCertificate: NotAfter, of one that is ISSUED; 0 of one that is EXPIRED; "
               "unknown in every other status; and " TLS_SOURCE
               ". Where one of both is unknown, unknown, unless the other is 0",
     .unit = UNIT_COUNT,
     .targets = "certificate service",
     .options = OPTIONS(acm_options),
     .collector = only_shown,
     .interval_ms = tls_interval,
     .default_interval_ms = 600000},
};

static const char *const acm_permissions[] = {"acm:DescribeCertificate $target.arn", NULL};

const struct collector_type acm_collector = {
    .name = "acm",
    .summary = "certificates in Certificate Manager, and what their servers show",
    .signals = acm_signals,
    .nsignals = sizeof(acm_signals) / sizeof(*acm_signals),
    .permissions = acm_permissions,
    .deadline_ms = 12000,
    .source = acm_source,
    .open = acm_open,
    .watch = probes_watch,
    .poll = probes_poll,
    .cancel = probes_cancel,
    .close = probes_close,
    .migrate = probes_migrate,
};
