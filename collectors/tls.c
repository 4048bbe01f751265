/* How long a server's certificate is still good for: days left, from a real handshake in which the
 * chain and the host name are checked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/loop.h"
#include "io/tls.h"
#include "shared_probe.h"
#include "shared_source.h"

#define HANDSHAKE_MS 8000
#define DAY_MS 86400000.0

struct place {
    const char *host, *ca_file;
    int port;
};

/* Of the options, or of the certificate that the target is or shows. */
static bool place_of(const struct estate *e, const struct watch *w, struct place *out)
{
    const struct target *t = estate_related(e, w->target, "certificate");
    const struct json *from = json_get(w->opts, "host") != NULL ? w->opts
                              : t != NULL                       ? t->fields
                                                                : NULL;

    if (from == NULL || json_get_str(from, "host", NULL) == NULL)
        return false;
    out->host = json_get_str(from, "host", NULL);
    out->port = (int)json_get_int(from, "port", 443);
    out->ca_file = json_get_str(from, "ca_file", NULL);
    return true;
}

static char *tls_key(const struct estate *e, const struct watch *w, const char **why)
{
    struct place at;

    if (!place_of(e, w, &at)) {
        *why = "there is no host to ask: give the certificate a host in the estate";
        return NULL;
    }
    return mem_printf("%s\n%d\n%s", at.host, at.port, at.ca_file != NULL ? at.ca_file : "");
}

static void probed(void *arg, int64_t not_after_wall_ms, const struct err *e)
{
    struct probe *p = arg;
    double days = floor((double)(not_after_wall_ms - p->asked_ms) / DAY_MS);

    /* One that has ended has no days left, and that is known. Any other refusal (another name, a
     * chain that leads nowhere) says nothing of an end: it may be our CA file that is wrong. */
    if (e == NULL || (e->code == ERR_AUTH && not_after_wall_ms > 0 && days < 0))
        probe_sample(p, days > 0 ? days : 0);
    else
        probe_unknown(p, e->text);
}

static void tls_begin(struct probe *p, const struct collector_host *h, const struct estate *e)
{
    struct place at;

    if (!place_of(e, p->w, &at)) {
        probe_unknown(p, "the estate does not name its host any more");
        return;
    }
    p->call = tls_probe(h->io->loop, h->io->resolver, at.host, at.port, at.ca_file, HANDSHAKE_MS,
                        probed, p);
}

static void tls_stop(struct probe *p)
{
    tls_probe_cancel(p->call);
}

static const struct probe_type probe_type = {
    .key = tls_key, .begin = tls_begin, .cancel = tls_stop};

static int tls_source(const struct target *t, const struct estate *e, char *out, size_t size,
                      struct err *err)
{
    (void)e;
    return source_self(t, "tls", out, size, err);
}

static void *tls_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)source;
    (void)err;
    return probes_open(&probe_type, h, e);
}

static int64_t tls_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 600000);
}

#define PERIOD                                                                                     \
    {                                                                                              \
        .name = "period", .type = OPT_DURATION, .fallback = "10m", .min = 1000, .max = 86400000,   \
        .help = "how often it is asked"                                                            \
    }

static const struct option host_options[] = {
    {.name = "host",
     .type = OPT_STRING,
     .required = true,
     .help = "host name that is connected to, and that the certificate must be for"},
    {.name = "port",
     .type = OPT_COUNT,
     .fallback = "443",
     .min = 1,
     .max = 65535,
     .help = "TCP port"},
    {.name = "ca_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of CA certificates that the chain is checked against; without it the system's"},
    PERIOD,
};
static const struct option certificate_options[] = {PERIOD};

#define SOURCE                                                                                     \
    "a TLS handshake: the earliest end in the chain; 0 once it has ended; unknown when the chain " \
    "or the host name is refused"

static const struct signal tls_signals[] = {
    {.name = "cert_days_left",
     .summary = "whole days that the certificate shown at its host is still good for",
     .source = SOURCE,
     .unit = UNIT_COUNT,
     .targets = "certificate service",
     .options = OPTIONS(certificate_options),
     .interval_ms = tls_interval,
     .default_interval_ms = 600000},
    {.name = "tls",
     .summary = "whole days that the certificate shown at a host is still good for",
     .source = SOURCE,
     .unit = UNIT_COUNT,
     .targets = "any",
     .options = OPTIONS(host_options),
     .interval_ms = tls_interval,
     .default_interval_ms = 600000},
};

static const char *const tls_permissions[] = {NULL};

const struct collector_type tls_collector = {
    .name = "tls",
    .summary = "certificates that servers show",
    .signals = tls_signals,
    .nsignals = sizeof(tls_signals) / sizeof(*tls_signals),
    .permissions = tls_permissions,
    .deadline_ms = 12000,
    .source = tls_source,
    .open = tls_open,
    .watch = probes_watch,
    .poll = probes_poll,
    .cancel = probes_cancel,
    .close = probes_close,
    .migrate = probes_migrate,
};
