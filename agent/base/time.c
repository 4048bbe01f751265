/* Wall time as text and back: UTC by the Gregorian calendar for 1970 to 9999, without the C
 * library's time zones and locale. */
#include "base/units.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define DAY_MS 86400000LL
#define LAST_MS 253402300799999LL /* 9999-12-31T23:59:59.999Z */

struct civil {
    int year, month, day, hour, minute, second, ms, weekday; /* weekday: 0 is Sunday */
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1 January 1970 to 1 January of the year. */
static int64_t days_before_year(int year)
{
    int64_t y = year - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

static bool to_ms(const struct civil *c, int64_t *ms)
{
    if (c->year < 1970 || c->year > 9999 || c->month < 1 || c->month > 12 || c->day < 1 ||
        c->day > days_in_month(c->year, c->month) || c->hour > 23 || c->minute > 59 ||
        c->second > 59)
        return false;
    int64_t days = days_before_year(c->year) + c->day - 1;
    for (int m = 1; m < c->month; m++)
        days += days_in_month(c->year, m);
    *ms = days * DAY_MS + ((c->hour * 60LL + c->minute) * 60 + c->second) * 1000 + c->ms;
    return true;
}

static struct civil from_ms(int64_t ms)
{
    struct civil c = {0};

    ms = ms < 0 ? 0 : ms > LAST_MS ? LAST_MS : ms;
    int64_t days = ms / DAY_MS, left = ms % DAY_MS;
    c.ms = (int)(left % 1000);
    c.second = (int)(left / 1000 % 60);
    c.minute = (int)(left / 60000 % 60);
    c.hour = (int)(left / 3600000);
    c.weekday = (int)((days + 4) % 7); /* 1 January 1970 was a Thursday */
    c.year = 1970 + (int)(days / 366); /* never too late; at most a few years too early */
    while (days_before_year(c.year + 1) <= days)
        c.year++;
    days -= days_before_year(c.year);
    for (c.month = 1; days >= days_in_month(c.year, c.month); c.month++)
        days -= days_in_month(c.year, c.month);
    c.day = (int)days + 1;
    return c;
}

/* Reads exactly n digits. */
static bool digits(const char **s, int n, int *out)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        char d = (*s)[i];
        if (d < '0' || d > '9')
            return false;
        v = v * 10 + (d - '0');
    }
    *s += n;
    *out = v;
    return true;
}

static bool literal(const char **s, const char *word)
{
    size_t len = strlen(word);

    if (strncmp(*s, word, len) != 0)
        return false;
    *s += len;
    return true;
}

static bool clock_time(const char **s, struct civil *c)
{
    return digits(s, 2, &c->hour) && literal(s, ":") && digits(s, 2, &c->minute) &&
           literal(s, ":") && digits(s, 2, &c->second);
}

/* ".123456": any number of digits, cut to milliseconds. */
static bool fraction(const char **s, int *ms)
{
    int scale = 100;

    *ms = 0;
    if (**s != '.')
        return true;
    ++*s;
    if (**s < '0' || **s > '9')
        return false;
    for (; **s >= '0' && **s <= '9'; ++*s, scale /= 10)
        *ms += (**s - '0') * scale;
    return true;
}

/* "Z", "+02:00", "+0200" or "+02". */
static bool offset(const char **s, int *minutes)
{
    int sign, h, m = 0;

    *minutes = 0;
    if (literal(s, "Z"))
        return true;
    if (**s != '+' && **s != '-')
        return false;
    sign = **s == '-' ? -1 : 1;
    ++*s;
    if (!digits(s, 2, &h))
        return false;
    if (**s != '\0') {
        (void)literal(s, ":");
        if (!digits(s, 2, &m))
            return false;
    }
    if (h > 23 || m > 59)
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

int time_parse_iso(const char *s, int64_t *wall_ms)
{
    struct civil c = {0};
    int minutes;
    int64_t ms;

    if (s == NULL || !digits(&s, 4, &c.year) || !literal(&s, "-") || !digits(&s, 2, &c.month) ||
        !literal(&s, "-") || !digits(&s, 2, &c.day) || !literal(&s, "T") || !clock_time(&s, &c) ||
        !fraction(&s, &c.ms) || !offset(&s, &minutes) || *s != '\0' || !to_ms(&c, &ms))
        return ERR_INPUT;
    ms -= minutes * 60000LL;
    if (ms < 0 || ms > LAST_MS)
        return ERR_INPUT;
    *wall_ms = ms;
    return 0;
}

char *time_format_iso(char *out, size_t size, int64_t wall_ms)
{
    struct civil c = from_ms(wall_ms);

    snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour, c.minute,
             c.second);
    return out;
}

char *time_format_iso_ms(char *out, size_t size, int64_t wall_ms)
{
    struct civil c = from_ms(wall_ms);

    snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", c.year, c.month, c.day, c.hour,
             c.minute, c.second, c.ms);
    return out;
}

char *time_format_basic(char *out, size_t size, int64_t wall_ms)
{
    struct civil c = from_ms(wall_ms);

    snprintf(out, size, "%04d%02d%02dT%02d%02d%02dZ", c.year, c.month, c.day, c.hour, c.minute,
             c.second);
    return out;
}

int time_parse_http(const char *s, int64_t *wall_ms)
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c = {0};
    int weekday = -1;
    int64_t ms;

    if (s == NULL)
        return ERR_INPUT;
    for (int i = 0; i < 7 && weekday < 0; i++) {
        if (literal(&s, weekdays[i]))
            weekday = i;
    }
    if (weekday < 0 || !literal(&s, ", ") || !digits(&s, 2, &c.day) || !literal(&s, " "))
        return ERR_INPUT;
    for (int i = 0; i < 12 && c.month == 0; i++) {
        if (literal(&s, months[i]))
            c.month = i + 1;
    }
    if (c.month == 0 || !literal(&s, " ") || !digits(&s, 4, &c.year) || !literal(&s, " ") ||
        !clock_time(&s, &c) || !literal(&s, " GMT") || *s != '\0' || !to_ms(&c, &ms) ||
        from_ms(ms).weekday != weekday)
        return ERR_INPUT;
    *wall_ms = ms;
    return 0;
}
