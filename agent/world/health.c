/* Back-off and complaints, for collectors' sources and for listings. */
#include "world/health.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/units.h"

/* A failing source is complained about at once, then after these times, then again after the last
 * of them. */
static const int64_t complain_after_ms[] = {60 * 1000LL, 5 * 60 * 1000LL, 30 * 60 * 1000LL,
                                            2 * 3600 * 1000LL, 6 * 3600 * 1000LL};

void health_failed(struct health *h, const char *part, const char *name, int64_t now_ms,
                   const struct err *e)
{
    size_t last = sizeof(complain_after_ms) / sizeof(complain_after_ms[0]) - 1;
    char since[UNIT_TEXT];

    h->last = *e;
    h->failures++;
    if (h->failures == 1) {
        h->failing_since_ms = now_ms;
        h->complaints = 0;
        log_warn(part, "%s: %s", name, e->text);
    } else if (now_ms >= h->complain_ms) {
        unit_format_duration(since, sizeof(since), (now_ms - h->failing_since_ms) / 1000 * 1000);
        log_warn(part, "%s: still failing after %s, %d times: %s", name, since, h->failures,
                 e->text);
    } else {
        return;
    }
    h->complain_ms =
        h->failing_since_ms + complain_after_ms[h->complaints < last ? h->complaints : last];
    if (h->complaints >= last)
        h->complain_ms = now_ms + complain_after_ms[last];
    h->complaints++;
}

void health_ok(struct health *h, const char *part, const char *name, int64_t now_ms)
{
    char since[UNIT_TEXT];

    if (h->failures) {
        unit_format_duration(since, sizeof(since), (now_ms - h->failing_since_ms) / 1000 * 1000);
        log_info(part, "%s: answers again, after %s and %d failures", name, since, h->failures);
    }
    h->failures = 0;
    h->last = (struct err)ERR_INIT;
    h->last_ok_ms = now_ms;
}

int64_t health_backoff_ms(const struct health *h, int64_t first_ms, int64_t most_ms)
{
    return backoff_ms(h->failures, first_ms, most_ms);
}

void health_status(const struct health *h, int64_t now_ms, struct json *row)
{
    json_set_str(row, "state", h->failures ? "failing" : h->last_ok_ms ? "ok" : "new");
    json_set_int(row, "failures", h->failures);
    if (h->failures)
        json_set_str(row, "error", h->last.text);
    if (h->last_ok_ms)
        json_set_int(row, "last_ok_age_ms", now_ms - h->last_ok_ms);
}
