/* The agent's numbers in Prometheus' text format. */
#ifndef RB_SERVE_METRICS_H
#define RB_SERVE_METRICS_H

#include "base/buf.h"
#include "base/json.h"

/* numbers: what the control socket's `metrics` answers. */
void metrics_text(const struct json *numbers, struct buf *out);

#endif
