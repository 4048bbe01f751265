/* Zone files: what they say, what is refused. That every zone is read rightly:
 * tests/oracle/zone_oracle.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/zone.h"

/* A TZif file without transitions but with this rule. */
static size_t file_of(unsigned char *out, const char *rule)
{
    static const unsigned char header[20] = "TZif2";
    unsigned char *p = out;

    for (int i = 0; i < 2; i++) {
        memcpy(p, header, 20);
        memset(p + 20, 0, 24);
        p[39] = 1; /* one type */
        p[43] = 4; /* "UTC\0" */
        memcpy(p + 44, "\0\0\0\0\0\0UTC", 10);
        p += 54;
    }
    return (size_t)(p - out) + (size_t)sprintf((char *)p, "\n%s\n", rule);
}

static void rules_of_the_last_line(void **state)
{
    static const struct {
        const char *rule;
        int64_t utc;
        int offset; /* -1: the file is refused */
    } rows[] = {
        {"UTC0", 0, 0},
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1767225600, 3600},       /* 2026-01-01 */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1782864000, 7200},       /* 2026-07-01 */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1774745999, 3600},       /* 2026-03-29 00:59:59 */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1774746000, 7200},       /* 01:00:00 */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1792889999, 7200},       /* 2026-10-25 00:59:59 */
        {"CET-1CEST,M3.5.0,M10.5.0/3", 1792890000, 3600},       /* 01:00:00 */
        {"AEST-10AEDT,M10.1.0,M4.1.0/3", 1767225600, 39600},    /* summer there */
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 1782864000, -3600}, /* a change before midnight */
        {"IST-2IDT,M3.4.4/26,M10.5.0", 1782864000, 10800},      /* and 26 hours after it */
        {"XXX3YYY,J60/0,300/0", 1772334000, -7200},             /* J60 is 1 March, always */
        {"XXX3YYY,J60/0,300/0", 1772333999, -10800},
        {"EST5EDT,0/0,J365/25", 1767225600, -14400}, /* the whole year in summer time */
        {"<+0545>-5:45", 0, 20700},
        {"", 0, 0},
        {"CET", 0, -1},
        {"CET-1CEST", 0, -1},
        {"CET-1CEST,M3.6.0,M10.5.0", 0, -1},
        {"CET-1CEST,M13.1.0,M10.5.0", 0, -1},
        {"CET-1CEST,M3.5.7,M10.5.0", 0, -1},
        {"CET-1CEST,M3.5.0", 0, -1},
        {"CET-1CEST,M3.5.0,M10.5.0/168", 0, -1},
        {"CET-1CEST,M3.5.0,M10.5.0,", 0, -1},
        {"CE-1", 0, -1},
        {"<+01-1", 0, -1},
        {"CET-99", 0, -1},
        {"CET-1CEST,J0,J100", 0, -1},
        {"CET-1CEST,366,J100", 0, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned char bytes[300];
        struct arena *a = arena_new();
        struct err e = ERR_INIT;
        struct zone *z = zone_parse(a, "T", bytes, file_of(bytes, rows[i].rule), &e);
        if ((z != NULL) != (rows[i].offset != -1))
            fail_msg("%s: %s", rows[i].rule, z ? "taken" : e.text);
        if (z && zone_offset(z, rows[i].utc, NULL, NULL) != rows[i].offset)
            fail_msg("%s at %lld: %d", rows[i].rule, (long long)rows[i].utc,
                     zone_offset(z, rows[i].utc, NULL, NULL));
        arena_free(a);
    }
}

/* Cut anywhere, or with any byte changed, a file is refused or read; it never breaks us. */
static void damaged_files(void **state)
{
    unsigned char bytes[8192], cut[8192];
    FILE *f = fopen(ZONE_DIR "/America/Santiago", "rb");
    size_t n = f ? fread(bytes, 1, sizeof(bytes), f) : 0;

    (void)state;
    assert_true(n > 200);
    fclose(f);
    for (size_t i = 0; i < n; i++) {
        struct arena *a = arena_new();
        struct err e = ERR_INIT;
        struct zone *z = zone_parse(a, "cut", bytes, i, &e);
        /* Only the end of the last line can be missing without being seen, and only before it is
         * one. */
        if (z)
            fail_msg("cut at %zu of %zu: taken", i, n);
        memcpy(cut, bytes, n);
        cut[i] ^= 0xff;
        z = zone_parse(a, "flipped", cut, n, &e);
        for (int64_t t = -4000000000; z && t < 8000000000; t += 86400 * 97) {
            int64_t from, until;
            int o = zone_offset(z, t, &from, &until);
            assert_true(o > -26 * 3600 && o < 26 * 3600);
            assert_true(from <= t && t < until);
        }
        arena_free(a);
    }
}

static void names(void **state)
{
    static const struct {
        const char *name;
        int code;
    } rows[] = {
        {"UTC", 0},
        {"Europe/Berlin", 0},
        {"America/Argentina/Buenos_Aires", 0},
        {"Etc/GMT+5", 0},
        {"", ERR_NOT_FOUND},
        {"Europe", ERR_NOT_FOUND},
        {"Europe/", ERR_NOT_FOUND},
        {"Europe/Berlin/", ERR_NOT_FOUND},
        {"/etc/localtime", ERR_NOT_FOUND},
        {"../zoneinfo/UTC", ERR_NOT_FOUND},
        {"Europe//Berlin", ERR_NOT_FOUND},
        {"zone1970.tab", ERR_NOT_FOUND}, /* no name of a zone has a dot */
        {"leapseconds", ERR_INPUT},
        {"right/UTC", ERR_INPUT}, /* counts leap seconds */
    };
    struct arena *a = arena_new();
    const char **all;
    size_t n = zone_names(a, &all), known = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct err e = ERR_INIT;
        struct zone *z = zone_load(a, rows[i].name, &e);
        if (e.code != rows[i].code || (z != NULL) != (rows[i].code == 0))
            fail_msg("%s: %d %s", rows[i].name, e.code, e.text);
        if (z)
            assert_string_equal(zone_name(z), rows[i].name);
    }
    assert_true(n > 400);
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_INIT;
        known += strcmp(all[i], "Europe/Berlin") == 0 || strcmp(all[i], "US/Pacific") == 0;
        if (!zone_load(a, all[i], &e))
            fail_msg("%s: %s", all[i], e.text);
    }
    assert_int_equal(known, 2);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_of_the_last_line),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
