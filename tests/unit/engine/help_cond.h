/* A small estate, a few signals and scripted samples for the tests of series and conditions. */
#ifndef HELP_COND_H
#define HELP_COND_H

#include "base/mem.h"
#include "engine/cond.h"

#define MIN_MS 60000

/* asg_cpu: an average of a minute, lag 3 m, zero suspicious. in_service, gauge: readings of an
 * instant, no lag. p99: a duration, averaged, lag 3 m. state: an enum. */
extern const struct signal sig_asg_cpu, sig_in_service, sig_p99, sig_gauge, sig_state;

struct rig {
    struct estate *estate;
    const struct target *target; /* asg "web-1": tier = web, alb = app/x/1 */
    struct json *params;
    struct series *series[32];
    size_t nseries;
    struct arena *arena; /* conditions live here */
};

void rig_init(struct rig *r);
void rig_free(struct rig *r);
struct bind_context rig_context(struct rig *r);
struct bound *rig_bind(struct rig *r, const struct cond *c);      /* must succeed */
struct series *rig_series(struct rig *r, const struct signal *s); /* found or made */

struct cond *leaf(struct rig *r, const struct signal *s, enum cmp cmp, double threshold,
                  int64_t lasting_ms);
struct cond *leaf_missing(struct rig *r, const struct signal *s, enum cmp cmp, double threshold,
                          int64_t lasting_ms, enum missing m);
struct cond *group(struct rig *r, enum cond_kind kind, size_t n, ...);

/* The value that "0m:45 10m:85 12m:_" has at t; false for '_' and before the first. */
bool script_value(const char *script, int64_t t_ms, double *out);
/* The sample that arrives at t, zero lag: it ends at t and has the script's value of t. */
void script_sample(struct series *s, const char *script, int64_t t_ms);

#endif
