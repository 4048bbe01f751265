/* Windows of the week. */
#include "engine/window.h"

#include <stdio.h>
#include <string.h>

#define DAY_S 86400LL

static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static int day_index(const char **s)
{
    for (int i = 0; i < 7; i++) {
        if (strncmp(*s, day_names[i], 3) == 0) {
            *s += 3;
            return i;
        }
    }
    return -1;
}

int window_days(const char *text, unsigned *days)
{
    unsigned all = 0;
    const char *s = text;

    for (;;) {
        int first, last;

        s += strspn(s, " ");
        first = last = day_index(&s);
        if (first >= 0 && *s == '-') {
            s++;
            last = day_index(&s);
        }
        if (first < 0 || last < 0)
            return ERR_INPUT;
        for (int d = first;; d = (d + 1) % 7) {
            all |= 1u << d;
            if (d == last)
                break;
        }
        s += strspn(s, " ");
        if (!*s)
            break;
        if (*s++ != ',')
            return ERR_INPUT;
    }
    *days = all;
    return 0;
}

int window_time(const char *text, bool end, int *minutes)
{
    int h, m;

    if (strlen(text) != 5 || text[2] != ':' || strspn(text, "0123456789") != 2 ||
        strspn(text + 3, "0123456789") != 2)
        return ERR_INPUT;
    h = (text[0] - '0') * 10 + (text[1] - '0');
    m = (text[3] - '0') * 10 + (text[4] - '0');
    if (m > 59 || h > (end ? 24 : 23) || (h == 24 && m > 0))
        return ERR_INPUT;
    *minutes = h * 60 + m;
    return 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

bool window_open(const struct window *w, int64_t wall_ms, int64_t *from_ms, int64_t *until_ms)
{
    int64_t utc = floor_div(wall_ms, 1000), from, until;
    int64_t local = utc + zone_offset(w->zone, utc, &from, &until);
    int64_t day = floor_div(local, DAY_S), at = local - day * DAY_S;
    int64_t first = w->from_min * 60LL, last = w->to_min * 60LL;
    const int64_t edges[] = {0, first, last, DAY_S}; /* within this day nothing else changes it */
    int today = (int)((day % 7 + 10) % 7);           /* 1 January 1970 was a Thursday: 3 */
    bool on = w->days >> today & 1, before = w->days >> (today + 6) % 7 & 1;

    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        if (edges[i] <= at && utc - at + edges[i] > from)
            from = utc - at + edges[i];
        if (edges[i] > at && utc - at + edges[i] < until)
            until = utc - at + edges[i];
    }
    *from_ms = from * 1000;
    *until_ms = until * 1000;
    if (first < last)
        return on && at >= first && at < last;
    return (on && at >= first) || (before && at < last);
}

const char *window_shows(const struct window *w, int64_t wall_ms, char *out, size_t size)
{
    int64_t utc = floor_div(wall_ms, 1000), local = utc + zone_offset(w->zone, utc, NULL, NULL);
    int64_t day = floor_div(local, DAY_S), at = local - day * DAY_S;
    const char *name = day_names[(day % 7 + 10) % 7];

    snprintf(out, size, "%c%s %02d:%02d", name[0] - 'a' + 'A', name + 1, (int)(at / 3600),
             (int)(at / 60 % 60));
    return out;
}
