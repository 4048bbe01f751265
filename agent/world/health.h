/* Whether a source answers: how long it has been failing, when to ask it again, and complaints that
 * get rarer. */
#ifndef RB_WORLD_HEALTH_H
#define RB_WORLD_HEALTH_H

#include "base/err.h"
#include "base/json.h"

struct health {
    int failures; /* in a row */
    int64_t failing_since_ms, complain_ms, last_ok_ms;
    size_t complaints;
    struct err last;
};

/* It did not answer: complained about in the log at once, then after a minute, five, half an hour,
 * two hours and every six. */
void health_failed(struct health *h, const char *part, const char *name, int64_t now_ms,
                   const struct err *e);
/* It answered: said once if it had not. */
void health_ok(struct health *h, const char *part, const char *name, int64_t now_ms);

/* Until it is asked again (base/backoff.h). */
int64_t health_backoff_ms(const struct health *h, int64_t first_ms, int64_t most_ms);

/* "state": ok|failing|new, "failures", "error", "last_ok_age_ms" */
void health_status(const struct health *h, int64_t now_ms, struct json *row);

#endif
