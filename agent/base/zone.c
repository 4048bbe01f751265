/* Time zones: the transitions of a TZif file, then the POSIX rule that goes on after them. */
#include "base/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER 44
#define MAX_FILE                                                                                   \
    (1u << 20) /* a zone of 2025 has 4 KiB at most, the list of all of them 110 KiB                \
                */
#define MAX_TYPES 256
#define DAY_S 86400LL
#define OFFSET_MAX (26 * 3600) /* RFC 9636, 3.2: -25:59:59 to +25:59:59 */

/* A day of the year by rule: Mm.w.d, Jn (no 29 February), n (from 0). */
struct when {
    enum { WHEN_MONTH, WHEN_JULIAN, WHEN_DAY } kind;
    int month, week, day;
    int time_s; /* local, -167 to 167 hours */
};

struct zone {
    char *name;
    int64_t *at; /* transitions, ascending */
    unsigned char *type;
    size_t n;
    int offset[MAX_TYPES];
    bool rule; /* the last line says how it goes on */
    int std_s, dst_s;
    bool has_dst;
    struct when start, end;
};

const char *zone_name(const struct zone *z)
{
    return z->name;
}

/* ---- the calendar ---- */

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days from 1 January 1970 to 1 January of the year. */
static int64_t days_before(int64_t year)
{
    int64_t y = year - 1;

    return y * 365 + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) - 719162;
}

static int64_t year_of(int64_t utc_s)
{
    int64_t days = floor_div(utc_s, DAY_S), year = 1970 + floor_div(days * 400, 146097);

    while (days_before(year) > days)
        year--;
    while (days_before(year + 1) <= days)
        year++;
    return year;
}

/* The moment in seconds as if local time were UTC. */
static int64_t moment(const struct when *w, int64_t year)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int64_t day = days_before(year);
    int weekday, first, length;

    switch (w->kind) {
    case WHEN_JULIAN:
        day += w->day - 1 + (w->day > 59 && is_leap(year));
        break;
    case WHEN_DAY:
        day += w->day;
        break;
    case WHEN_MONTH:
        length = before[w->month] - before[w->month - 1] + (w->month == 2 && is_leap(year));
        day += before[w->month - 1] + (w->month > 2 && is_leap(year));
        weekday = (int)((day + 4) % 7); /* of the month's first; 1 January 1970 was a Thursday */
        weekday += weekday < 0 ? 7 : 0;
        first = (w->day - weekday + 7) % 7; /* days to the first such weekday */
        first += (w->week - 1) * 7;
        day += first < length ? first : first - 7; /* week 5 is the last */
        break;
    }
    return day * DAY_S + w->time_s;
}

/* ---- the rule, as POSIX TZ writes it ---- */

static bool number(const char **s, int max, int *out)
{
    int v = 0;
    const char *from = *s;

    for (; **s >= '0' && **s <= '9'; (*s)++) {
        v = v * 10 + (**s - '0');
        if (v > max)
            return false;
    }
    *out = v;
    return *s != from;
}

/* [+-]h[h][:mm[:ss]] */
static bool clock_of(const char **s, int hours, int *seconds)
{
    int sign = **s == '-' ? -1 : 1, h, m = 0, sec = 0;

    if (**s == '-' || **s == '+')
        (*s)++;
    if (!number(s, hours, &h))
        return false;
    if (**s == ':' && (++*s, !number(s, 59, &m)))
        return false;
    if (**s == ':' && (++*s, !number(s, 59, &sec)))
        return false;
    *seconds = sign * (h * 3600 + m * 60 + sec);
    return true;
}

/* "CET" or "<-03>". */
static bool word(const char **s)
{
    size_t n = **s == '<' ? strcspn(*s, ">") + 1
                          : strspn(*s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

    if (n < 3 || n > strlen(*s))
        return false;
    *s += n;
    return true;
}

static bool day_of(const char **s, struct when *w)
{
    if (**s == 'M') {
        w->kind = WHEN_MONTH;
        ++*s;
        if (!number(s, 12, &w->month) || w->month < 1 || *(*s)++ != '.' ||
            !number(s, 5, &w->week) || w->week < 1 || *(*s)++ != '.' || !number(s, 6, &w->day))
            return false;
    } else if (**s == 'J') {
        w->kind = WHEN_JULIAN;
        ++*s;
        if (!number(s, 365, &w->day) || w->day < 1)
            return false;
    } else {
        w->kind = WHEN_DAY;
        if (!number(s, 365, &w->day))
            return false;
    }
    w->time_s = 2 * 3600;
    return **s != '/' || (++*s, clock_of(s, 167, &w->time_s));
}

static bool parse_rule(struct zone *z, const char *s)
{
    if (!word(&s) || !clock_of(&s, 24, &z->std_s))
        return false;
    z->std_s = -z->std_s; /* POSIX counts west of Greenwich */
    z->rule = true;
    if (!*s)
        return true;
    z->has_dst = true;
    z->dst_s = z->std_s + 3600;
    if (!word(&s))
        return false;
    if (*s && *s != ',') {
        if (!clock_of(&s, 24, &z->dst_s))
            return false;
        z->dst_s = -z->dst_s;
    }
    return *s == ',' && (++s, day_of(&s, &z->start)) && *s == ',' && (++s, day_of(&s, &z->end)) &&
           !*s;
}

/* The offset by rule: the latest of the changes around this year that is not after t. */
static int by_rule(const struct zone *z, int64_t t, int64_t *from, int64_t *until)
{
    int64_t year = year_of(t);
    int offset = z->std_s;

    *from = INT64_MIN;
    *until = INT64_MAX;
    if (!z->has_dst)
        return offset;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        /* An end at the very moment of a start (the whole year in summer time) comes first. */
        const struct {
            int64_t at;
            int offset;
        } changes[] = {{moment(&z->end, y) - z->dst_s, z->std_s},
                       {moment(&z->start, y) - z->std_s, z->dst_s}};
        for (size_t k = 0; k < 2; k++) {
            if (changes[k].at <= t && changes[k].at >= *from) {
                *from = changes[k].at;
                offset = changes[k].offset;
            } else if (changes[k].at > t && changes[k].at < *until) {
                *until = changes[k].at;
            }
        }
    }
    return offset;
}

int zone_offset(const struct zone *z, int64_t utc_s, int64_t *from, int64_t *until)
{
    size_t low = 0, high = z->n; /* the first transition after it */
    int64_t a, b;
    int offset;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (z->at[mid] <= utc_s)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == z->n && z->rule) {
        offset = by_rule(z, utc_s, &a, &b);
        if (z->n && a < z->at[z->n - 1])
            a = z->at[z->n - 1];
    } else {
        offset = z->offset[low ? z->type[low - 1] : 0];
        a = low ? z->at[low - 1] : INT64_MIN;
        b = low < z->n ? z->at[low] : INT64_MAX;
    }
    if (from)
        *from = a;
    if (until)
        *until = b;
    return offset;
}

/* ---- the file ---- */

static int64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t v = n == 8 ? 0 : (p[0] & 0x80 ? UINT64_MAX : 0);

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return (int64_t)v;
}

struct counts {
    size_t isut, isstd, leap, time, type, chars;
};

static bool read_header(const unsigned char *p, size_t len, struct counts *c)
{
    size_t *const into[] = {&c->isut, &c->isstd, &c->leap, &c->time, &c->type, &c->chars};

    if (len < HEADER || memcmp(p, "TZif", 4) != 0 || p[4] < '2' || p[4] > '4')
        return false;
    for (size_t i = 0; i < 6; i++) {
        int64_t v = big_endian(p + 20 + 4 * i, 4);
        if (v < 0 || v > 100000)
            return false;
        *into[i] = (size_t)v;
    }
    return c->type >= 1 && c->type <= MAX_TYPES;
}

static size_t block(const struct counts *c, size_t time_size)
{
    return c->time * time_size + c->time + c->type * 6 + c->chars + c->leap * (time_size + 4) +
           c->isstd + c->isut;
}

static bool read_block(struct arena *a, struct zone *z, const unsigned char *p,
                       const struct counts *c)
{
    const unsigned char *types = p + c->time * 9;

    z->n = c->time;
    z->at = arena_alloc(a, (c->time + 1) * sizeof(*z->at));
    z->type = arena_alloc(a, c->time + 1);
    for (size_t i = 0; i < c->time; i++) {
        z->at[i] = big_endian(p + i * 8, 8);
        z->type[i] = p[c->time * 8 + i];
        if (z->type[i] >= c->type || (i && z->at[i] <= z->at[i - 1]))
            return false;
    }
    for (size_t i = 0; i < c->type; i++) {
        int64_t offset = big_endian(types + i * 6, 4);
        if (offset <= -OFFSET_MAX || offset >= OFFSET_MAX)
            return false;
        z->offset[i] = (int)offset;
    }
    return true;
}

struct zone *zone_parse(struct arena *a, const char *name, const void *data, size_t len,
                        struct err *e)
{
    const unsigned char *p = data, *end = p + len;
    struct zone *z = arena_alloc(a, sizeof(*z));
    struct counts c;
    size_t n;
    char *line;

    z->name = arena_strdup(a, name);
    /* The first block is for programs that know 32-bit times only. */
    if (!read_header(p, len, &c) || len - HEADER < block(&c, 4))
        goto bad;
    p += HEADER + block(&c, 4);
    if (!read_header(p, (size_t)(end - p), &c) || (size_t)(end - p) - HEADER < block(&c, 8))
        goto bad;
    p += HEADER;
    if (c.leap) {
        err_set(e, ERR_INPUT, "zone \"%s\" counts leap seconds, which no other clock here does",
                name);
        return NULL;
    }
    if (!read_block(a, z, p, &c))
        goto bad;
    p += block(&c, 8);
    n = (size_t)(end - p);
    if (n < 2 || p[0] != '\n' || end[-1] != '\n' || memchr(p, '\0', n))
        goto bad;
    line = arena_strndup(a, (const char *)p + 1, n - 2);
    if (*line && !parse_rule(z, line))
        goto bad;
    return z;
bad:
    err_set(e, ERR_INPUT, "zone \"%s\": " ZONE_DIR "/%s is no time zone file of version 2 to 4",
            name, name);
    return NULL;
}

/* A name of the database, not a path out of it. */
static bool good_name(const char *name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";

    return *name && strlen(name) < 64 && name[strspn(name, letters)] == '\0' && *name != '/' &&
           !strstr(name, "//");
}

static char *slurp(const char *path, size_t *len, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    char *data;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        int why = fd < 0 ? errno : ENOENT;
        if (fd >= 0)
            close(fd);
        err_set(e, why == ENOENT || why == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                strerror(why));
        return NULL;
    }
    *len = st.st_size > (off_t)MAX_FILE ? MAX_FILE : (size_t)st.st_size;
    data = mem_alloc(*len + 1);
    if (read(fd, data, *len) != (ssize_t)*len) {
        err_set(e, ERR_IO, "%s cannot be read", path);
        mem_free(data);
        data = NULL;
    }
    close(fd);
    return data;
}

struct zone *zone_load(struct arena *a, const char *name, struct err *e)
{
    char path[128];
    struct zone *z = NULL;
    size_t len = 0;
    char *data;

    if (!good_name(name)) {
        err_set(e, ERR_NOT_FOUND, "there is no time zone \"%s\"", name);
        return NULL;
    }
    snprintf(path, sizeof(path), ZONE_DIR "/%s", name);
    data = slurp(path, &len, e);
    if (data)
        z = zone_parse(a, name, data, len, e);
    else if (access(ZONE_DIR "/UTC", R_OK) != 0)
        err_set(e, ERR_IO, "no time zone can be read: install tzdata (" ZONE_DIR ")");
    else if (e->code == ERR_NOT_FOUND)
        err_set(e, ERR_NOT_FOUND, "there is no time zone \"%s\"", name);
    mem_free(data);
    return z;
}

size_t zone_names(struct arena *a, const char ***names)
{
    struct err e = ERR_INIT;
    size_t len = 0, n = 0, cap = 0;
    char *data = slurp(ZONE_DIR "/tzdata.zi", &len, &e), *save = NULL;

    *names = NULL;
    if (!data)
        return 0;
    data[len] = '\0';
    for (const char *s = data; *s; s++)
        cap += *s == '\n';
    *names = arena_alloc(a, (cap + 1) * sizeof(**names));
    for (char *l = strtok_r(data, "\n", &save); l && n < cap; l = strtok_r(NULL, "\n", &save)) {
        char *name = l + 2, *of = strchr(name, ' '); /* "Z NAME ...", "L OF NAME" */
        if ((*l != 'Z' && *l != 'L') || l[1] != ' ' || !of)
            continue;
        (*names)[n++] =
            *l == 'Z' ? arena_strndup(a, name, (size_t)(of - name)) : arena_strdup(a, of + 1);
    }
    mem_free(data);
    return n;
}
