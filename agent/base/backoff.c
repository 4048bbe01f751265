/* How long to leave alone what failed. */
#include "base/backoff.h"

#include "base/hash.h"

int64_t backoff_ms(int failures, int64_t first_ms, int64_t most_ms)
{
    int64_t delay = first_ms;
    uint32_t r;

    for (int k = 1; k < failures && delay < most_ms; k++)
        delay *= 2;
    if (delay > most_ms)
        delay = most_ms;
    if (failures <= 1)
        return delay;
    random_bytes(&r, sizeof(r));
    return (int64_t)((double)delay * (0.75 + 0.25 * ((double)r / 4294967296.0)));
}
