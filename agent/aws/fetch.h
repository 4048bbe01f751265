/* One look for keys, from the first source that is configured through the roles on top of it. */
#ifndef RB_AWS_FETCH_H
#define RB_AWS_FETCH_H

#include "aws/credentials.h"

struct aws;
struct aws_fetch;

/* expires_wall_ms: 0 for keys without an end. source and keys live during the callback; source is
 * set on an error, too, where it is known. *sts is made when STS is first needed and is the
 * caller's, who keeps it, and with it what it learned of the clock. Exactly one callback, never
 * from inside aws_fetch_start. */
typedef void aws_fetch_fn(void *arg, const struct aws_keys *keys, int64_t expires_wall_ms,
                          const char *source, const struct err *e);
struct aws_fetch *aws_fetch_start(const struct aws_provider_options *o, struct aws **sts,
                                  aws_fetch_fn *fn, void *arg);
void aws_fetch_cancel(struct aws_fetch *f); /* no callback after */

#endif
