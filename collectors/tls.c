/* How long a server's certificate is still good for: days left, from a real handshake in which the
 * chain and the host name are checked. */
#include "base/mem.h"
#include "io/loop.h"
#include "shared_source.h"
#include "shared_tls.h"

static char *tls_key(const struct estate *e, const struct watch *w, const char **why)
{
    struct tls_place at;

    if (!tls_place_of(e, w, &at)) {
        *why = "there is no host to ask: give the certificate a host in the estate";
        return NULL;
    }
    return mem_printf("%s\n%d\n%s", at.host, at.port, at.ca_file != NULL ? at.ca_file : "");
}

static void probed(void *arg, int64_t not_after_wall_ms, const struct err *e)
{
    struct probe *p = arg;
    double days;

    if (tls_days_shown(not_after_wall_ms, p->asked_ms, e, &days))
        probe_sample(p, days);
    else
        probe_unknown(p, e->text);
}

static void tls_begin(struct probe *p, const struct collector_host *h, const struct estate *e)
{
    struct tls_place at;

    if (!tls_place_of(e, p->w, &at)) {
        probe_unknown(p, "the estate does not name its host any more");
        return;
    }
    p->call = tls_place_ask(&at, h->io, probed, p);
}

static void tls_stop(struct probe *p)
{
    tls_probe_cancel(p->call);
}

static const struct probe_type probe_type = {
    .key = tls_key, .begin = tls_begin, .cancel = tls_stop};

static int tls_source(const struct signal *g, const struct target *t, const struct estate *e,
                      char *out, size_t size, struct err *err)
{
    (void)g;
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
    TLS_PERIOD,
};

static const struct signal tls_signals[] = {
    {.name = "tls",
     .summary = "whole days that the certificate shown at a host is still good for",
     .source = TLS_SOURCE,
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
    .alone = true,
    .source = tls_source,
    .open = tls_open,
    .watch = probes_watch,
    .poll = probes_poll,
    .cancel = probes_cancel,
    .close = probes_close,
    .migrate = probes_migrate,
};
