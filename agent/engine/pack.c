/* Packed samples: the points of one series and one UTC day as columns, read back at a few
 * nanoseconds a point. The format: docs/journal.md. */
#include <endian.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/series.h"

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "packed samples are little-endian; this host needs byte swaps in pack.c"
#endif

#define DAY_MS 86400000
#define VERSION 1
#define FLAG_PERIODS 1 /* periods differ: a column of their own */

struct header {
    char magic[4]; /* "RBPK" */
    uint8_t version, flags;
    uint16_t zero;
    uint32_t count;
    uint32_t period_ms; /* of every point, when there is no column */
    uint64_t sum;       /* over the whole blob with this field zero */
};
_Static_assert(sizeof(struct header) == 24, "the header is written as it lies in memory");

static const char magic[4] = {'R', 'B', 'P', 'K'};

struct columns {
    size_t starts, periods, values, end; /* byte offsets; periods is 0 without the column */
};

/* Values begin at a multiple of 8. */
static struct columns layout(uint32_t count, bool periods)
{
    struct columns c = {.starts = sizeof(struct header)};
    size_t at = c.starts + 4 * (size_t)count;

    if (periods) {
        c.periods = at;
        at += 4 * (size_t)count;
    }
    c.values = (at + 7) & ~(size_t)7;
    c.end = c.values + 8 * (size_t)count;
    return c;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
}

/* A check against damage, not against forgery (the journal's hash chain is that): eight bytes at a
 * time in two lanes, so that it costs less than the reading. len is a multiple of 8. Every step can
 * be undone, so that any single changed word changes the sum. */
static uint64_t checksum(const unsigned char *p, size_t len)
{
    uint64_t a = 0x243f6a8885a308d3u ^ len, b = 0x13198a2e03707344u, w;
    size_t i = 0;

    for (; i + 16 <= len; i += 16) {
        memcpy(&w, p + i, 8);
        if (i == 16)
            w = 0; /* the field itself */
        a = mix(a, w);
        memcpy(&w, p + i + 8, 8);
        b = mix(b, w);
    }
    if (i + 8 <= len) {
        memcpy(&w, p + i, 8);
        a = mix(a, i == 16 ? 0 : w);
    }
    return mix(a, b);
}

/* Whether p may stand after prev (NULL: first) in the day. */
static int check_point(const struct point *p, const struct point *prev, int64_t day_start_ms)
{
    int64_t at = p->start_ms - day_start_ms;

    if (at < 0 || at >= DAY_MS || p->period_ms < 0 || p->period_ms > UINT32_MAX ||
        !isfinite(p->value))
        return ERR_INPUT;
    if (prev != NULL && (p->start_ms <= prev->start_ms || p->start_ms < point_end_ms(prev)))
        return ERR_INPUT;
    return 0;
}

static void seal(unsigned char *blob, struct header *h, size_t len)
{
    h->sum = 0;
    memcpy(blob, h, sizeof(*h));
    h->sum = checksum(blob, len);
    memcpy(blob, h, sizeof(*h));
}

int pack_points(const struct point *p, size_t n, int64_t day_start_ms, void **blob, size_t *len)
{
    struct header h = {.version = VERSION};
    struct columns c;
    unsigned char *b;

    if (n > PACK_MAX_POINTS)
        return ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        int rc = check_point(&p[i], i > 0 ? &p[i - 1] : NULL, day_start_ms);

        if (rc != 0)
            return rc;
        if (p[i].period_ms != p[0].period_ms)
            h.flags = FLAG_PERIODS;
    }
    memcpy(h.magic, magic, sizeof(magic));
    h.count = (uint32_t)n;
    h.period_ms = n > 0 && h.flags == 0 ? (uint32_t)p[0].period_ms : 0;
    c = layout(h.count, h.flags != 0);
    b = mem_alloc(c.end);
    for (size_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)(p[i].start_ms - day_start_ms), period = (uint32_t)p[i].period_ms;

        memcpy(b + c.starts + 4 * i, &at, 4);
        if (c.periods != 0)
            memcpy(b + c.periods + 4 * i, &period, 4);
        memcpy(b + c.values + 8 * i, &p[i].value, 8);
    }
    seal(b, &h, c.end);
    *blob = b;
    *len = c.end;
    return 0;
}

static int damaged(struct err *e, const char *what)
{
    err_set(e, ERR_INPUT, "a stored day of samples is damaged: %s; it is left out", what);
    return ERR_INPUT;
}

/* Everything that does not need a look at each point. */
static int open_blob(const unsigned char *b, size_t len, struct header *h, struct columns *c,
                     struct err *e)
{
    if (b == NULL || len < sizeof(*h) || len % 8 != 0)
        return damaged(e, "its length is not possible");
    memcpy(h, b, sizeof(*h));
    if (memcmp(h->magic, magic, sizeof(magic)) != 0)
        return damaged(e, "it does not begin as one");
    if (h->version != VERSION) {
        err_set(e, ERR_STATE,
                "a stored day of samples has format %d, this version reads %d; use the "
                "version that wrote it",
                h->version, VERSION);
        return ERR_STATE;
    }
    if ((h->flags & ~FLAG_PERIODS) != 0 || h->zero != 0 || h->count > PACK_MAX_POINTS)
        return damaged(e, "its header is not possible");
    *c = layout(h->count, h->flags != 0);
    if (c->end != len)
        return damaged(e, "its length does not fit its number of points");
    if (checksum(b, len) != h->sum)
        return damaged(e, "its check sum is wrong");
    return 0;
}

static struct point read_point(const unsigned char *b, const struct header *h,
                               const struct columns *c, size_t i, int64_t day_start_ms)
{
    uint32_t at, period = h->period_ms;
    struct point p;

    memcpy(&at, b + c->starts + 4 * i, 4);
    if (c->periods != 0)
        memcpy(&period, b + c->periods + 4 * i, 4);
    memcpy(&p.value, b + c->values + 8 * i, 8);
    p.start_ms = day_start_ms + at;
    p.period_ms = period;
    return p;
}

/* check_point for a whole opened blob, column by column: it is read for years of history. */
static bool points_are_right(const unsigned char *b, const struct header *h,
                             const struct columns *c)
{
    uint64_t free_from = 0; /* the least start that the next point may have */

    for (size_t i = 0; i < h->count; i++) {
        uint32_t at, period = h->period_ms;

        memcpy(&at, b + c->starts + 4 * i, 4);
        if (c->periods != 0)
            memcpy(&period, b + c->periods + 4 * i, 4);
        if (at >= DAY_MS || at < free_from)
            return false;
        free_from = (uint64_t)at + (period > 0 ? period : 1);
    }
    for (size_t i = 0; i < h->count; i++) {
        double v;

        memcpy(&v, b + c->values + 8 * i, 8);
        if (!isfinite(v))
            return false;
    }
    return true;
}

int pack_each(const void *blob, size_t len, int64_t day_start_ms,
              void (*fn)(void *arg, const struct point *p), void *arg, struct err *e)
{
    struct header h;
    struct columns c;
    int rc = open_blob(blob, len, &h, &c, e);

    if (rc != 0)
        return rc;
    if (!points_are_right(blob, &h, &c))
        return damaged(e, "its points are out of order or not possible");
    for (size_t i = 0; i < h.count; i++) {
        struct point p = read_point(blob, &h, &c, i, day_start_ms);

        fn(arg, &p);
    }
    return 0;
}

int pack_append(void **blob, size_t *len, const struct point *p, int64_t day_start_ms)
{
    struct header h;
    struct columns c;
    struct point *all;
    size_t n = 0;
    void *made = NULL;
    size_t made_len = 0;
    int rc = 0;

    if (*blob != NULL) {
        rc = open_blob(*blob, *len, &h, &c, NULL);
        if (rc != 0)
            return rc;
        n = h.count;
    }
    if (n >= PACK_MAX_POINTS)
        return ERR_LIMIT;
    all = mem_calloc(n + 1, sizeof(*all));
    for (size_t i = 0; i < n; i++)
        all[i] = read_point(*blob, &h, &c, i, day_start_ms);
    all[n] = *p;
    rc = pack_points(all, n + 1, day_start_ms, &made, &made_len);
    mem_free(all);
    if (rc != 0)
        return rc;
    mem_free(*blob);
    *blob = made;
    *len = made_len;
    return 0;
}
