/* The types that policies and configuration are written in, and how values are printed. */
#ifndef RB_BASE_UNITS_H
#define RB_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value is a double in its unit's base: percent 0..100, duration in milliseconds, size in bytes,
 * count per minute for rates. */
enum unit {
    UNIT_NUMBER,
    UNIT_COUNT,
    UNIT_PERCENT,
    UNIT_DURATION,
    UNIT_SIZE,
    UNIT_PER_MINUTE,
    UNIT_ENUM
};

const char *unit_name(enum unit u); /* "percent" */

/* A hundred years: no deadline is longer, and now + duration never overflows. */
#define UNIT_DURATION_MAX_MS (36500LL * 86400000LL)

/* Each returns 0 or ERR_INPUT and leaves *out alone then (also when s is NULL). Nothing but the
 * whole string is accepted. */
/* "1h30m", "500ms": whole numbers of d h m s ms, in this order, each at most once. */
int unit_parse_duration(const char *s, int64_t *ms);
/* "60%", "0.1%": 0 to 100, at most 15 digits. */
int unit_parse_percent(const char *s, double *percent);
/* "512MiB", "1.5GiB": B KiB MiB GiB TiB kB MB GB TB; whole bytes, at most 2^53. */
int unit_parse_size(const char *s, double *bytes);
/* "2 per 1h"; at least 1 per 1ms. */
int unit_parse_rate(const char *s, int *n, int64_t *per_ms);

/* Prints into out (32 bytes are enough for all) and returns it. All whole durations, percentages
 * and numbers of up to six decimals, and sizes of up to two in their largest unit read back the
 * same; what is finer, as readings are, is rounded to what a person wants to see. */
#define UNIT_TEXT 32
/* "60%", "2m", "4GiB", "850", "850/min". */
char *unit_format(char *out, size_t size, enum unit u, double value);
char *unit_format_duration(char *out, size_t size, int64_t ms); /* "1h30m", "0s" */
char *unit_format_rate(char *out, size_t size, int n, int64_t per_ms);

/* Whether a reading is plausible for its unit: finite, not negative, percent at most 100 (with 0.5
 * of slack; above is not), counts at most 2^53, sizes 2^64, durations a hundred years. */
bool unit_plausible(enum unit u, double value);

/* Wall time, UTC, milliseconds since 1970; years 1970 to 9999, dates that exist, no leap seconds;
 * ERR_INPUT otherwise. Parses "2026-11-22T13:02:43Z", with fraction (cut to ms) or offset. Formats
 * with seconds, "...:43Z"; a time outside those years prints as the nearest one inside. */
int time_parse_iso(const char *s, int64_t *wall_ms);
char *time_format_iso(char *out, size_t size, int64_t wall_ms);
char *time_format_iso_ms(char *out, size_t size, int64_t wall_ms); /* with .123 */
char *time_format_basic(char *out, size_t size, int64_t wall_ms);  /* 20261122T130243Z, for SigV4 */
/* "Sun, 22 Nov 2026 13:02:43 GMT" (RFC 9110, 5.6.7), with the right day of the week. */
int time_parse_http(const char *s, int64_t *wall_ms);

#endif
