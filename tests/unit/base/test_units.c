/* The grammar of units and times, both ways, by tables. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/units.h"
#include "check.h"

#define S 1000LL
#define M (60 * S)
#define H (60 * M)
#define D (24 * H)
#define BAD (-1)

static void durations_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {
        {"0s", 0},
        {"0ms", 0},
        {"1ms", 1},
        {"500ms", 500},
        {"5m", 5 * M},
        {"1h30m", 90 * M},
        {"1h05m", 65 * M},
        {"1d", D},
        {"1d2h3m4s5ms", D + 2 * H + 3 * M + 4 * S + 5},
        {"90m", 90 * M},
        {"1m30s", 90 * S},
        {"1m500ms", M + 500},
        {"36500d", UNIT_DURATION_MAX_MS},
        {"36500d1ms", BAD},
        {"36501d", BAD},
        {"99999999999999999999d", BAD},
        {"9223372036854775808ms", BAD},
        {"", BAD},
        {"5", BAD},
        {"m", BAD},
        {"5 m", BAD},
        {" 5m", BAD},
        {"5m ", BAD},
        {"30m1h", BAD},
        {"1m1m", BAD},
        {"1ms1s", BAD},
        {"-5m", BAD},
        {"+5m", BAD},
        {"1.5h", BAD},
        {"5M", BAD},
        {"5min", BAD},
        {"1w", BAD},
        {"5m30", BAD},
        {"0x5m", BAD},
        {"5m\n", BAD},
        {"\xd9\xa5m", BAD},
        {"1h,30m", BAD},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        int64_t ms = -77;
        int rc = unit_parse_duration(table[i].text, &ms);
        if (rc != (table[i].ms == BAD ? ERR_INPUT : 0) ||
            ms != (table[i].ms == BAD ? -77 : table[i].ms))
            fail_msg("\"%s\": rc %d, %lld ms", table[i].text, rc, (long long)ms);
    }
    int64_t ms;
    assert_int_equal(unit_parse_duration(NULL, &ms), ERR_INPUT);
}

static void durations_are_printed(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } table[] = {
        {0, "0s"},
        {1, "1ms"},
        {500, "500ms"},
        {1500, "1s500ms"},
        {90 * M, "1h30m"},
        {60 * M, "1h"},
        {D, "1d"},
        {D + 1, "1d1ms"},
        {36 * H, "1d12h"},
        {-90 * S, "-1m30s"},
        {INT64_MIN, "-106751991167d7h12m55s808ms"},
    };
    char out[UNIT_TEXT];
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_string_equal(unit_format_duration(out, sizeof(out), table[i].ms), table[i].text);
    for (int64_t ms = 0; ms < 40 * D; ms = ms * 3 / 2 + 7) {
        int64_t back = -1;
        assert_int_equal(unit_parse_duration(unit_format_duration(out, sizeof(out), ms), &back), 0);
        assert_int_equal(back, ms);
        assert_string_equal(unit_format(out, sizeof(out), UNIT_DURATION, (double)ms),
                            unit_format_duration((char[UNIT_TEXT]){0}, UNIT_TEXT, ms));
    }
    char small[4];
    assert_string_equal(unit_format_duration(small, sizeof(small), 90 * M),
                        "1h3"); /* cut, never beyond */
}

static void percentages_are_read(void **state)
{
    static const struct {
        const char *text;
        double value;
    } table[] = {
        {"60%", 60},
        {"0%", 0},
        {"100%", 100},
        {"0.1%", 0.1},
        {"99.95%", 99.95},
        {"100.0%", 100},
        {"99.999%", 99.999},
        {"100.1%", BAD},
        {"101%", BAD},
        {"", BAD},
        {"%", BAD},
        {"60", BAD},
        {"60 %", BAD},
        {"-1%", BAD},
        {"+1%", BAD},
        {".5%", BAD},
        {"5.%", BAD},
        {"1.2.3%", BAD},
        {"60%%", BAD},
        {"1e1%", BAD},
        {"0x10%", BAD},
        {"nan%", BAD},
        {"inf%", BAD},
        {"1,5%", BAD},
        {"99999999999999999999%", BAD},
        {"0.00000000000000000001%", BAD},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        double v = -77;
        int rc = unit_parse_percent(table[i].text, &v);
        bool bad = table[i].value < 0;
        if (rc != (bad ? ERR_INPUT : 0) || v != (bad ? -77 : table[i].value))
            fail_msg("\"%s\": rc %d, %.17g", table[i].text, rc, v);
    }
}

static void sizes_are_read(void **state)
{
    static const struct {
        const char *text;
        double value;
    } table[] = {
        {"0B", 0},
        {"1B", 1},
        {"1KiB", 1024},
        {"512MiB", 536870912},
        {"4GiB", 4294967296},
        {"1TiB", 1099511627776},
        {"1kB", 1000},
        {"5MB", 5e6},
        {"5GB", 5e9},
        {"5TB", 5e12},
        {"1.5GiB", 1610612736},
        {"0.5B", BAD},
        {"0.1KiB", BAD},
        {"4", BAD},
        {"4 GiB", BAD},
        {"4gib", BAD},
        {"4G", BAD},
        {"4GB ", BAD},
        {"-1B", BAD},
        {"", BAD},
        {"B", BAD},
        {"4KB", BAD},
        {"8192TiB", 9007199254740992},
        {"8193TiB", BAD},
        {"999999999999999TB", BAD},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        double v = -77;
        int rc = unit_parse_size(table[i].text, &v);
        bool bad = table[i].value < 0;
        if (rc != (bad ? ERR_INPUT : 0) || v != (bad ? -77 : table[i].value))
            fail_msg("\"%s\": rc %d, %.17g", table[i].text, rc, v);
    }
}

static void rates_are_read_and_printed(void **state)
{
    static const char *const bad[] = {
        "",          "2",         "2 per",      "2 per ",   "per 1h",
        "0 per 1h",  "2 per 0s",  "-1 per 1h",  "2per 1h",  "2 per1h",
        "2  per 1h", "2 per 1h ", "2.5 per 1h", "2 Per 1h", "2147483648 per 1h"};
    char out[UNIT_TEXT];
    int n = 0;
    int64_t per = 0;
    (void)state;
    assert_int_equal(unit_parse_rate("2 per 1h30m", &n, &per), 0);
    assert_int_equal(n, 2);
    assert_int_equal(per, 90 * M);
    assert_string_equal(unit_format_rate(out, sizeof(out), n, per), "2 per 1h30m");
    assert_string_equal(unit_format_rate(out, sizeof(out), INT32_MAX, D), "2147483647 per 1d");
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (unit_parse_rate(bad[i], &n, &per) != ERR_INPUT)
            fail_msg("\"%s\" was accepted", bad[i]);
    }
    assert_int_equal(n, 2);
    assert_int_equal(per, 90 * M);
}

static void values_are_printed(void **state)
{
    static const struct {
        enum unit u;
        double value;
        const char *text;
    } table[] = {
        {UNIT_PERCENT, 60, "60%"},
        {UNIT_PERCENT, 0.1, "0.1%"},
        {UNIT_PERCENT, 99.95, "99.95%"},
        {UNIT_PERCENT, 250.0 / 3, "83.33%"},
        {UNIT_PERCENT, 0.001, "0.001%"},
        {UNIT_PERCENT, 0, "0%"},
        {UNIT_PERCENT, 99.999, "99.999%"},
        {UNIT_PERCENT, 1.0 / 3, "0.333%"},
        {UNIT_PERCENT, 1e-12, "0%"},
        {UNIT_COUNT, 850, "850"},
        {UNIT_NUMBER, -2.5, "-2.5"},
        {UNIT_NUMBER, 12345.678, "12345.678"},
        {UNIT_NUMBER, 1e6 / 7, "142857.1"},
        {UNIT_NUMBER, 1e18, "1.000e+18"},
        {UNIT_NUMBER, -1e-12, "0"},
        {UNIT_NUMBER, NAN, "nan"},
        {UNIT_NUMBER, -INFINITY, "-inf"},
        {UNIT_PER_MINUTE, 850, "850/min"},
        {UNIT_SIZE, 4294967296, "4GiB"},
        {UNIT_SIZE, 536870912, "512MiB"},
        {UNIT_SIZE, 0, "0B"},
        {UNIT_SIZE, 1610612736, "1.5GiB"},
        {UNIT_SIZE, 5e8, "500MB"},
        {UNIT_SIZE, 1023, "1023B"},
        {UNIT_SIZE, 999, "999B"},
        {UNIT_SIZE, 4294967297, "4GiB"},
        {UNIT_SIZE, 1e300, "1.000e+300B"},
        {UNIT_DURATION, 120, "120ms"},
        {UNIT_DURATION, 120.4, "120ms"},
        {UNIT_DURATION, 0.45, "0.45ms"},
        {UNIT_DURATION, 1234.567, "1s235ms"},
        {UNIT_DURATION, 3723004.2, "1h2m3s"},
        {UNIT_DURATION, 5400000, "1h30m"},
        {UNIT_DURATION, 0.0001, "0s"},
        {UNIT_DURATION, -1500, "-1s500ms"},
        {UNIT_ENUM, 2, "2"},
    };
    char out[UNIT_TEXT];
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        if (strcmp(unit_format(out, sizeof(out), table[i].u, table[i].value), table[i].text) != 0)
            fail_msg("%s %.17g: \"%s\", not \"%s\"", unit_name(table[i].u), table[i].value, out,
                     table[i].text);
    }
}

static void what_was_written_reads_back(void **state)
{
    static const char *const sizes[] = {"1B",     "999B",    "1KiB", "1.5GiB", "512MiB", "500MB",
                                        "1.25TB", "8192TiB", "7kB",  "1023B",  "1536B"};
    char out[UNIT_TEXT];
    (void)state;
    for (int n = 0; n <= 100000; n += 7) { /* thousandths of a percent */
        char text[UNIT_TEXT];
        double v = -1, back = -2;
        snprintf(text, sizeof(text), "%d.%03d%%", n / 1000, n % 1000);
        assert_int_equal(unit_parse_percent(text, &v), 0);
        assert_int_equal(unit_parse_percent(unit_format(out, sizeof(out), UNIT_PERCENT, v), &back),
                         0);
        assert_true(v == back);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        double v = -1, back = -2;
        assert_int_equal(unit_parse_size(sizes[i], &v), 0);
        assert_int_equal(unit_parse_size(unit_format(out, sizeof(out), UNIT_SIZE, v), &back), 0);
        if (v != back)
            fail_msg("%s printed as %s", sizes[i], out);
    }
}

static void implausible_readings_are_told(void **state)
{
    (void)state;
    assert_true(unit_plausible(UNIT_PERCENT, 0));
    assert_true(unit_plausible(UNIT_PERCENT, 100.5));
    assert_false(unit_plausible(UNIT_PERCENT, 100.6));
    assert_true(unit_plausible(UNIT_COUNT, 1e9));
    assert_false(unit_plausible(UNIT_COUNT, -1));
    assert_false(unit_plausible(UNIT_NUMBER, NAN));
    assert_false(unit_plausible(UNIT_DURATION, INFINITY));
    for (int u = UNIT_COUNT; u <= UNIT_PER_MINUTE; u++)
        assert_false(unit_plausible((enum unit)u, 1e300));
    assert_true(unit_plausible(UNIT_SIZE, 1e19)); /* 8.7 EiB: buckets come near it */
    assert_true(unit_plausible(UNIT_PER_MINUTE, 1e12));
    assert_true(unit_plausible(UNIT_NUMBER, 1e300));
}

static void iso_times_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T13:02:43Z", 1795352563000},
        {"2026-11-22T13:02:43.1Z", 1795352563100},
        {"2026-11-22T13:02:43.1239999Z", 1795352563123},
        {"2026-11-22T15:02:43+02:00", 1795352563000},
        {"2026-11-22T15:02:43+0200", 1795352563000},
        {"2026-11-22T15:02:43.000+02", 1795352563000},
        {"2026-11-22T07:32:43-05:30", 1795352563000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2000-02-29T23:59:59Z", 951868799000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
        {"9999-12-31T23:59:59-01:00", BAD},
        {"1970-01-01T00:00:00+01:00", BAD},
        {"1969-12-31T23:59:59Z", BAD},
        {"2026-13-01T00:00:00Z", BAD},
        {"2026-00-01T00:00:00Z", BAD},
        {"2026-02-30T00:00:00Z", BAD},
        {"2026-02-29T00:00:00Z", BAD},
        {"2100-02-29T00:00:00Z", BAD},
        {"2026-04-31T00:00:00Z", BAD},
        {"2026-11-00T00:00:00Z", BAD},
        {"2026-11-22T24:00:00Z", BAD},
        {"2026-11-22T13:60:00Z", BAD},
        {"2026-11-22T13:02:60Z", BAD},
        {"2026-11-22T13:02:43", BAD},
        {"2026-11-22T13:02:43.Z", BAD},
        {"2026-11-22T13:02:43Zx", BAD},
        {"2026-11-22T13:02:43+24:00", BAD},
        {"2026-11-22T13:02:43+02:0", BAD},
        {"2026-11-22T13:02:43+02:60", BAD},
        {"2026-11-22 13:02:43Z", BAD},
        {"2026-11-22T13:02Z", BAD},
        {"26-11-22T13:02:43Z", BAD},
        {"2026-1-22T13:02:43Z", BAD},
        {" 2026-11-22T13:02:43Z", BAD},
        {"+026-11-22T13:02:43Z", BAD},
        {"", BAD},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        int64_t ms = -77;
        int rc = time_parse_iso(table[i].text, &ms);
        if (rc != (table[i].ms == BAD ? ERR_INPUT : 0) ||
            ms != (table[i].ms == BAD ? -77 : table[i].ms))
            fail_msg("\"%s\": rc %d, %lld", table[i].text, rc, (long long)ms);
    }
}

/* The C library is the oracle, day by day from 1970 to 9999. */
static void every_day_agrees_with_the_c_library(void **state)
{
    char out[UNIT_TEXT], expected[64];
    (void)state;
    for (int64_t day = 0; day < 2932897; day++) {
        int64_t ms = day * D + (day * 7919 % 86400) * S + day % 1000, back = -1;
        time_t t = (time_t)(ms / 1000);
        struct tm tm;

        if (day % 13 != 0 && day > 60000)
            continue;
        gmtime_r(&t, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_string_equal(time_format_iso(out, sizeof(out), ms), expected);
        assert_int_equal(time_parse_iso(time_format_iso_ms(out, sizeof(out), ms), &back), 0);
        assert_int_equal(back, ms);
        strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        assert_int_equal(time_parse_http(expected, &back), 0);
        assert_int_equal(back, t * 1000);
    }
}

static void times_are_printed(void **state)
{
    char out[UNIT_TEXT];
    (void)state;
    assert_string_equal(time_format_iso(out, sizeof(out), 1795352563123), "2026-11-22T13:02:43Z");
    assert_string_equal(time_format_iso_ms(out, sizeof(out), 1795352563123),
                        "2026-11-22T13:02:43.123Z");
    assert_string_equal(time_format_basic(out, sizeof(out), 1795352563123), "20261122T130243Z");
    assert_string_equal(time_format_iso(out, sizeof(out), -1), "1970-01-01T00:00:00Z");
    assert_string_equal(time_format_iso(out, sizeof(out), INT64_MAX), "9999-12-31T23:59:59Z");
}

static void http_times_are_read(void **state)
{
    static const char *const bad[] = {"",
                                      "Sun, 22 Nov 2026 13:02:43 UTC",
                                      "Mon, 22 Nov 2026 13:02:43 GMT", /* it was a Sunday */
                                      "Sun, 22 nov 2026 13:02:43 GMT",
                                      "Sun, 31 Nov 2026 13:02:43 GMT",
                                      "Sun, 2 Nov 2026 13:02:43 GMT",
                                      "Sun, 22 Nov 2026 25:02:43 GMT",
                                      "Sun 22 Nov 2026 13:02:43 GMT",
                                      "Sun, 22 Nov 2026 13:02:43 GMT "};
    int64_t ms = 0;
    (void)state;
    assert_int_equal(time_parse_http("Sun, 22 Nov 2026 13:02:43 GMT", &ms), 0);
    assert_int_equal(ms, 1795352563000);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (time_parse_http(bad[i], &ms) != ERR_INPUT)
            fail_msg("\"%s\" was accepted", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(durations_are_printed),
        cmocka_unit_test(percentages_are_read),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(rates_are_read_and_printed),
        cmocka_unit_test(values_are_printed),
        cmocka_unit_test(what_was_written_reads_back),
        cmocka_unit_test(implausible_readings_are_told),
        cmocka_unit_test(iso_times_are_read),
        cmocka_unit_test(every_day_agrees_with_the_c_library),
        cmocka_unit_test(times_are_printed),
        cmocka_unit_test(http_times_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
