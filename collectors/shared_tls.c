/* Handshakes for the certificate that a server shows. */
#include "shared_tls.h"

#include <math.h>

#include "shared_source.h"

#define HANDSHAKE_MS 8000
#define DAY_MS 86400000.0

bool tls_place_of(const struct estate *e, const struct watch *w, struct tls_place *out)
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

struct tls_probe *tls_place_ask(const struct tls_place *at, const struct host_io *io,
                                tls_probe_fn *fn, void *arg)
{
    return tls_probe(io->loop, io->resolver, at->host, at->port, at->ca_file, HANDSHAKE_MS, fn,
                     arg);
}

double tls_days(int64_t not_after_wall_ms, int64_t now_wall_ms)
{
    double days = floor((double)(not_after_wall_ms - now_wall_ms) / DAY_MS);

    return days > 0 ? days : 0;
}

bool tls_days_shown(int64_t not_after_wall_ms, int64_t asked_wall_ms, const struct err *e,
                    double *days)
{
    /* One that has ended has no days left, and that is known. Any other refusal (another name, a
     * chain that leads nowhere) says nothing of an end: it may be our CA file that is wrong. */
    if (e != NULL &&
        (e->code != ERR_AUTH || not_after_wall_ms <= 0 || not_after_wall_ms >= asked_wall_ms))
        return false;
    *days = tls_days(not_after_wall_ms, asked_wall_ms);
    return true;
}

int64_t tls_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 600000);
}
