/* How long to leave alone what failed. */
#ifndef RB_BASE_BACKOFF_H
#define RB_BASE_BACKOFF_H

#include <stdint.h>

/* After the first failure first_ms, then twice as long each time up to most_ms, and from the second
 * time on up to a quarter shorter, so that not all come back at once. */
int64_t backoff_ms(int failures, int64_t first_ms, int64_t most_ms);

#endif
