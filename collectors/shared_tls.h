/* What collectors that look at certificates share: where a server is asked, and how many days what
 * it shows is still good for. */
#ifndef RB_COLLECTORS_SHARED_TLS_H
#define RB_COLLECTORS_SHARED_TLS_H

#include "io/tls.h"
#include "shared_probe.h"

struct tls_place {
    const char *host, *ca_file; /* ca_file NULL: the system's */
    int port;
};
/* Of the options, or of the certificate that the target is or shows; false: no host is named. */
bool tls_place_of(const struct estate *e, const struct watch *w, struct tls_place *out);
struct tls_probe *tls_place_ask(const struct tls_place *at, const struct host_io *io,
                                tls_probe_fn *fn, void *arg);

/* Whole days from one time to the other, 0 once it has passed. */
double tls_days(int64_t not_after_wall_ms, int64_t now_wall_ms);
/* Of an answer of tls_probe; false: it tells nothing of an end, and the error says why. */
bool tls_days_shown(int64_t not_after_wall_ms, int64_t asked_wall_ms, const struct err *e,
                    double *days);

int64_t tls_interval(const struct target *t, const struct json *opts);

#define TLS_PERIOD                                                                                 \
    {                                                                                              \
        .name = "period", .type = OPT_DURATION, .fallback = "10m", .min = 1000, .max = 86400000,   \
        .help = "how often it is asked"                                                            \
    }
#define TLS_SOURCE                                                                                 \
    "a TLS handshake: the earliest end in the chain; 0 once it has ended; unknown when the chain " \
    "or the host name is refused"

#endif
