/* Series: a ring of recent points, and the judgement of each reading that wants to become one. */
#include "engine/series.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define FIRST_CAP 16 /* a power of two, as all caps of the ring are */
#define DEFAULT_INTERVAL_MS 60000
#define DEFAULT_KEEP_POINTS 10
#define RUN_FOR_JUMP 3   /* readings before a zero that must have been otherwise */
#define CLEAR_COUNT 10.0 /* a count below this may well fall to zero by itself */

const char *finding_name(enum finding f)
{
    static const char *const names[] = {
        [FINDING_NONE] = "none",
        [FINDING_NEVER] = "no reading yet",
        [FINDING_STALE] = "stale",
        [FINDING_NAN] = "not a number",
        [FINDING_RANGE] = "out of range",
        [FINDING_FUTURE] = "future timestamp",
        [FINDING_FLEET_ZERO] = "zero across the fleet",
        [FINDING_SOURCE] = "unknown to its source",
    };

    return (size_t)f < sizeof(names) / sizeof(names[0]) ? names[f] : "unknown";
}

char *series_key(const struct signal *s, const struct target *t, const struct json *opts)
{
    char *canonical = json_len(opts) > 0 ? json_print_canonical(opts) : NULL;
    char *key = mem_printf("%s %s%s%s", s->name, t->id, canonical != NULL ? " " : "",
                           canonical != NULL ? canonical : "");

    mem_free(canonical);
    return key;
}

struct series *series_new(const struct signal *s, const struct target *t, struct estate *e,
                          const struct json *opts)
{
    struct series *r = mem_alloc(sizeof(*r));

    r->key = series_key(s, t, opts);
    r->signal = s;
    r->target = (struct target *)(uintptr_t)t; /* never written through */
    r->estate = estate_ref(e);
    r->opts = opts != NULL ? json_copy(opts) : json_new_map();
    r->interval_ms = signal_interval_ms(s, t, r->opts);
    if (r->interval_ms <= 0)
        r->interval_ms = DEFAULT_INTERVAL_MS;
    r->lag_ms = signal_lag_of(s, t, r->opts);
    r->keep_ms = DEFAULT_KEEP_POINTS * r->interval_ms + r->lag_ms;
    r->cap = FIRST_CAP;
    r->points = mem_calloc(r->cap, sizeof(*r->points));
    r->finding = FINDING_NEVER;
    r->zero_suspicious = s->zero_suspicious && (s->zero_plain == NULL || !s->zero_plain(r->opts));
    r->version = 1;
    return r;
}

void series_free(struct series *s)
{
    if (s == NULL)
        return;
    json_free(s->opts);
    estate_unref(s->estate);
    mem_free(s->points);
    mem_free(s->makes);
    mem_free(s->lost);
    mem_free(s->note);
    mem_free(s->key);
    mem_free(s);
}

void series_rehome(struct series *s, const struct target *t, struct estate *e)
{
    struct estate *old = s->estate;

    s->estate = estate_ref(e);
    s->target = (struct target *)(uintptr_t)t;
    s->lag_ms = signal_lag_of(s->signal, t, s->opts);
    estate_unref(old);
}

int64_t point_end_ms(const struct point *p)
{
    return p->start_ms + p->period_ms;
}

const struct point *series_at(const struct series *s, size_t i)
{
    return i < s->count ? &s->points[(s->first + i) & (s->cap - 1)] : NULL;
}

const struct point *series_newest(const struct series *s)
{
    return s->count > 0 ? series_at(s, s->count - 1) : NULL;
}

int64_t series_late_ms(const struct series *s)
{
    int64_t jitter = s->interval_ms / 2;

    return s->lag_ms > jitter ? s->lag_ms : jitter;
}

int64_t series_expiry_ms(const struct series *s)
{
    const struct point *p = series_newest(s);

    return p != NULL ? point_end_ms(p) + s->interval_ms + series_late_ms(s) : INT64_MIN;
}

enum finding series_finding(const struct series *s, int64_t now_ms)
{
    if (s->finding == FINDING_NONE && now_ms > series_expiry_ms(s))
        return FINDING_STALE;
    return s->finding;
}

const struct point *series_reading(const struct series *s, int64_t now_ms)
{
    return series_finding(s, now_ms) == FINDING_NONE ? series_newest(s) : NULL;
}

static void changed(struct series *s)
{
    s->version++;
    s->dirty = true;
}

void series_unknown(struct series *s, enum finding f, const char *why, int64_t now_ms)
{
    /* The time of the first of a row: "unknown since". */
    if (s->finding != f)
        s->finding_ms = now_ms;
    s->finding = f;
    snprintf(s->why, sizeof(s->why), "%s", why != NULL ? why : "");
    /* No sample of that time satisfied anything: clocks begin anew (M1). Mere absence is M2's
     * business, which looks at the points' distance. */
    if (f != FINDING_NONE && f != FINDING_NEVER && f != FINDING_STALE)
        s->restart = s->total;
    changed(s);
}

void series_lost(struct series *s, const char *why)
{
    mem_free(s->lost);
    s->lost = mem_strdup(why);
}

void series_note(struct series *s, const char *text)
{
    mem_free(s->note);
    s->note = mem_strdup(text);
    s->noted = s->total;
}

const char *series_noted(const struct series *s)
{
    return s->note != NULL && s->noted == s->total ? s->note : NULL;
}

/* What was said before the source fell silent is not why there is nothing now. */
const char *series_why(const struct series *s, int64_t now_ms)
{
    enum finding f = series_finding(s, now_ms);

    if (f == FINDING_NONE)
        return NULL;
    for (size_t i = 0; i < s->nfrom; i++) {
        if (s->from[i]->lost != NULL)
            return s->from[i]->lost;
    }
    if (s->lost != NULL)
        return s->lost;
    return s->why[0] != '\0' ? s->why : finding_name(f);
}

static void make_room(struct series *s, int64_t end_ms)
{
    struct point *bigger;

    if (s->count < s->cap)
        return;
    if (s->cap >= SERIES_MAX_POINTS || end_ms - point_end_ms(series_at(s, 0)) > s->keep_ms) {
        s->first = (s->first + 1) & (s->cap - 1);
        s->count--;
        return;
    }
    bigger = mem_calloc(s->cap * 2, sizeof(*bigger));
    for (size_t i = 0; i < s->count; i++)
        bigger[i] = *series_at(s, i);
    mem_free(s->points);
    s->points = bigger;
    s->first = 0;
    s->cap *= 2;
}

/* What is wrong with a reading by itself, or FINDING_NONE. */
static enum finding judge(const struct series *s, int64_t start_ms, int64_t period_ms, double value,
                          int64_t now_ms, char *why, size_t size)
{
    int64_t end_ms;
    enum unit unit = signal_unit(s->signal, s->opts);
    size_t nwords = 0;

    if (!isfinite(value)) {
        snprintf(why, size, "the reading is %s", isnan(value) ? "not a number" : "infinite");
        return FINDING_NAN;
    }
    if (period_ms < 0 || __builtin_add_overflow(start_ms, period_ms, &end_ms) ||
        end_ms < -(INT64_MAX / 4)) {
        snprintf(why, size, "the reading's time makes no sense");
        return FINDING_RANGE;
    }
    if (end_ms > now_ms && end_ms - now_ms > SERIES_FUTURE_MS) {
        char text[64];
        snprintf(why, size, "the reading is dated %s ahead",
                 unit_format_duration(text, sizeof(text), end_ms - now_ms));
        return FINDING_FUTURE;
    }
    if (s->nfrom > 0) /* a change may be negative, and more than all of it */
        return FINDING_NONE;
    while (s->signal->words != NULL && s->signal->words[nwords] != NULL)
        nwords++;
    if (unit == UNIT_ENUM
            ? value < 0 || value >= (double)nwords || value != floor(value)
            : !unit_plausible(unit == UNIT_PERCENT && s->signal->may_exceed ? UNIT_COUNT : unit,
                              value)) {
        snprintf(why, size, "the reading %.6g cannot be a %s", value, unit_name(unit));
        return FINDING_RANGE;
    }
    return FINDING_NONE;
}

/* Keeps what M4 needs to know of the readings before a zero. */
static void note_zero(struct series *s, double value, int64_t end_ms)
{
    double clear = s->signal->unit == UNIT_COUNT ? CLEAR_COUNT : 0;

    if (value != 0) {
        s->up = s->up < RUN_FOR_JUMP ? s->up + 1 : s->up;
        s->high = value <= clear ? 0 : s->high < RUN_FOR_JUMP ? s->high + 1 : s->high;
        s->zero_jump = s->zero_fall = false;
        s->last_up = value;
        if (end_ms > s->removed_ms)
            s->removed = 0; /* it shows what they left */
        return;
    }
    if (s->up == 0)
        return; /* one more zero, or zero from the beginning */
    s->zero_jump = s->up >= RUN_FOR_JUMP || s->up == s->total;
    s->zero_fall = s->high >= RUN_FOR_JUMP;
    if (s->removed >= s->last_up)
        s->zero_jump = s->zero_fall = false;
    s->zero_end_ms = end_ms;
    s->up = s->high = 0;
}

/* The wall clock is slewed against the steady one: neighbours may then seem to overlap a little. */
static int64_t skew_ms(int64_t period_ms)
{
    return period_ms / 2 < SERIES_SKEW_MS ? period_ms / 2 : SERIES_SKEW_MS;
}

bool series_add(struct series *s, int64_t start_ms, int64_t period_ms, double value, int64_t now_ms)
{
    const struct point *last = series_newest(s);
    char why[sizeof(s->why)];
    enum finding f;
    int64_t end_ms;

    if (last != NULL && start_ms < point_end_ms(last) && start_ms > last->start_ms &&
        point_end_ms(last) - start_ms <= skew_ms(period_ms))
        start_ms = point_end_ms(last); /* the next one, dated by a clock that was corrected */
    /* Sources repeat what they said before: not a reading, and no finding either. */
    if (last != NULL && (start_ms <= last->start_ms || start_ms < point_end_ms(last)))
        return false;
    f = judge(s, start_ms, period_ms, value, now_ms, why, sizeof(why));
    if (f != FINDING_NONE) {
        series_unknown(s, f, why, now_ms);
        return false;
    }
    end_ms = start_ms + period_ms;
    make_room(s, end_ms);
    s->points[(s->first + s->count) & (s->cap - 1)] = (struct point){start_ms, period_ms, value};
    s->count++;
    if (s->zero_suspicious)
        note_zero(s, value, end_ms);
    if (s->zero_held && value != 0) {
        s->zero_held = false;
        s->restart = s->total; /* the zeros before it were no values */
    }
    s->total++;
    /* What arrives in one answer is one arrival: a backfill alone is not two fresh samples (M5). */
    if (s->fresh < 2 && now_ms <= series_expiry_ms(s) && (s->fresh == 0 || now_ms > s->fresh_ms)) {
        s->fresh++;
        s->fresh_ms = now_ms;
    }
    if (s->zero_held) {
        s->finding = FINDING_FLEET_ZERO;
    } else {
        s->finding = FINDING_NONE;
        s->why[0] = '\0';
    }
    changed(s);
    return true;
}

static bool hold_zero(struct series *s, bool held, const char *why, int64_t now_ms)
{
    if (s->zero_held == held)
        return false;
    s->zero_held = held;
    /* Another finding about a later reading stands in front of this one. */
    if (held && s->finding == FINDING_NONE) {
        s->finding = FINDING_FLEET_ZERO;
        s->finding_ms = now_ms;
        snprintf(s->why, sizeof(s->why), "%s", why);
    } else if (!held && s->finding == FINDING_FLEET_ZERO) {
        s->finding = FINDING_NONE;
        s->why[0] = '\0';
    }
    changed(s);
    return true;
}

void series_removed(struct series *s, size_t n, int64_t since_ms, int64_t done_ms)
{
    const struct point *p = series_newest(s);

    s->removed += (double)n;
    s->removed_ms = done_ms;
    /* It may have been read before the answer was here. */
    if (p != NULL && p->value == 0 && s->zero_end_ms >= since_ms && s->removed >= s->last_up) {
        s->zero_jump = s->zero_fall = false;
        changed(s);
    }
}

/* Whether the newest reading of s can be compared now. */
static bool is_live(const struct series *s, int64_t now_ms)
{
    return s->zero_suspicious && s->count > 0 && now_ms <= series_expiry_ms(s);
}

bool series_fleet_zero(struct series *const *all, size_t n, int64_t now_ms)
{
    size_t live = 0;
    bool any_jump = false, any_change = false, proof = false;
    int64_t proof_ms = 0; /* the latest end of a reading that is not zero */

    for (size_t i = 0; i < n; i++) {
        const struct point *p = series_newest(all[i]);

        if (p == NULL || !is_live(all[i], now_ms))
            continue;
        live++;
        if (p->value == 0) {
            any_jump = any_jump || all[i]->zero_jump;
        } else if (!proof || point_end_ms(p) > proof_ms) {
            proof = true;
            proof_ms = point_end_ms(p);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct series *s = all[i];
        const struct point *p = series_newest(s);
        bool held;

        /* What went stale while it was held stays held: silence proves nothing. */
        if (p == NULL || !is_live(s, now_ms) || p->value != 0)
            continue;
        if (live == 1)
            held = s->zero_fall;
        else if (s->zero_jump)
            held = !proof || proof_ms < s->zero_end_ms;
        else
            held = !proof && any_jump;
        if (hold_zero(s, held,
                      live == 1 ? "it fell to exactly zero at once"
                                : "every target with data shows exactly zero",
                      now_ms))
            any_change = true;
    }
    return any_change;
}
