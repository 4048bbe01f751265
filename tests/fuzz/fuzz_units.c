/* Fuzz target: what the readers of units and times accept is in range, and prints so that it reads
 * back the same. */
#include <math.h>
#include <string.h>

#include "base/units.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {
    "1h30m",
    "500ms",
    "1d2h3m4s5ms",
    "60%",
    "0.1%",
    "512MiB",
    "1.5GiB",
    "7kB",
    "2 per 1h",
    "2026-11-22T13:02:43.123+02:00",
    "2024-02-29T23:59:59Z",
    "Sun, 22 Nov 2026 13:02:43 GMT",
    NULL,
};
const char *const fuzz_words[] = {
    "d", "h",        "m",     "s", "ms", "%", "B", "KiB", "TiB", "TB", ".",  "0",
    "9", "99999999", " per ", "-", "+",  ":", "T", "Z",   "GMT", "e9", NULL,
};

static void durations_and_rates(const char *s)
{
    char out[UNIT_TEXT];
    int64_t ms, back;
    int n, m;

    if (unit_parse_duration(s, &ms) == 0) {
        FUZZ_CHECK(ms >= 0 && ms <= UNIT_DURATION_MAX_MS);
        FUZZ_CHECK(unit_parse_duration(unit_format_duration(out, sizeof(out), ms), &back) == 0 &&
                   back == ms);
        FUZZ_CHECK(unit_parse_duration(unit_format(out, sizeof(out), UNIT_DURATION, (double)ms),
                                       &back) == 0 &&
                   back == ms);
    }
    if (unit_parse_rate(s, &n, &ms) == 0) {
        FUZZ_CHECK(n >= 1 && ms >= 1);
        FUZZ_CHECK(unit_parse_rate(unit_format_rate(out, sizeof(out), n, ms), &m, &back) == 0 &&
                   m == n && back == ms);
    }
}

static void percentages_and_sizes(const char *s)
{
    char out[UNIT_TEXT];
    double v, back;

    if (unit_parse_percent(s, &v) == 0) {
        FUZZ_CHECK(v >= 0 && v <= 100);
        FUZZ_CHECK(unit_parse_percent(unit_format(out, sizeof(out), UNIT_PERCENT, v), &back) == 0 &&
                   fabs(back - v) <= 0.05);
    }
    if (unit_parse_size(s, &v) == 0) {
        FUZZ_CHECK(v >= 0 && v == floor(v) && v <= 9007199254740992.0);
        unit_format(out, sizeof(out), UNIT_SIZE, v);
    }
}

static void times(const char *s)
{
    char out[UNIT_TEXT];
    int64_t ms, back;

    if (time_parse_iso(s, &ms) == 0) {
        FUZZ_CHECK(ms >= 0 && ms <= 253402300799999);
        FUZZ_CHECK(time_parse_iso(time_format_iso_ms(out, sizeof(out), ms), &back) == 0 &&
                   back == ms);
    }
    if (time_parse_http(s, &ms) == 0)
        FUZZ_CHECK(ms >= 0 && ms % 1000 == 0 && ms <= 253402300799999);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[UNIT_TEXT];
    char *s = malloc(size + 1);
    double any;

    FUZZ_CHECK(s != NULL);
    memcpy(s, data, size);
    s[size] = '\0';
    durations_and_rates(s);
    percentages_and_sizes(s);
    times(s);
    free(s);
    if (size >= sizeof(any)) { /* any bits at all print, in bounds */
        int64_t bits;
        memcpy(&any, data, sizeof(any));
        memcpy(&bits, data, sizeof(bits));
        for (enum unit u = UNIT_NUMBER; u <= UNIT_ENUM; u++)
            FUZZ_CHECK(strlen(unit_format(out, sizeof(out), u, any)) < sizeof(out) - 1);
        FUZZ_CHECK(strlen(unit_format_duration(out, sizeof(out), bits)) < sizeof(out) - 1);
        FUZZ_CHECK(strlen(time_format_iso(out, sizeof(out), bits)) == 20);
    }
    return 0;
}
