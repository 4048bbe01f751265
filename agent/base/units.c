/* Durations, percentages, sizes and rates: read by an exact grammar, printed so that they read back
 * the same. */
#include "base/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define EXACT_WHOLE 9007199254740992.0 /* 2^53: every whole number up to here is a double */

const char *unit_name(enum unit u)
{
    static const char *const names[] = {
        [UNIT_NUMBER] = "number",     [UNIT_COUNT] = "count", [UNIT_PERCENT] = "percent",
        [UNIT_DURATION] = "duration", [UNIT_SIZE] = "size",   [UNIT_PER_MINUTE] = "per_minute",
        [UNIT_ENUM] = "enum",
    };

    return (size_t)u < sizeof(names) / sizeof(names[0]) ? names[u] : "unknown";
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads a whole number of at least one digit; false if there is none or it is above max. */
static bool read_whole(const char **s, int64_t max, int64_t *out)
{
    const char *p = *s;
    int64_t v = 0;

    if (!is_digit(*p))
        return false;
    for (; is_digit(*p); p++) {
        int digit = *p - '0';
        if (v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *s = p;
    *out = v;
    return true;
}

static const double pow10_exact[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Reads "12" or "12.5" of at most 15 significant digits: both parts of mantissa / 10^decimals are
 * then exact, and so the division is rounded correctly, without strtod and its locale. */
static bool read_decimal(const char **s, double *out)
{
    const char *p = *s;
    int64_t mantissa = 0;
    int decimals = 0, digits = 0;
    bool point = false;

    if (!is_digit(*p))
        return false;
    for (;; p++) {
        if (*p == '.' && !point && is_digit(p[1])) {
            point = true;
            continue;
        }
        if (!is_digit(*p))
            break;
        mantissa = mantissa * 10 + (*p - '0');
        if (mantissa > 0)
            digits++;
        if (point)
            decimals++;
        if (digits > 15 || decimals > 15)
            return false;
    }
    *s = p;
    *out = (double)mantissa / pow10_exact[decimals];
    return true;
}

static const struct span {
    const char *name;
    int64_t ms;
} spans[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

#define SPANS (sizeof(spans) / sizeof(spans[0]))

int unit_parse_duration(const char *s, int64_t *ms)
{
    int64_t total = 0;
    size_t next = 0; /* units come in falling order, each at most once */

    if (s == NULL || *s == '\0')
        return ERR_INPUT;
    while (*s != '\0') {
        int64_t n;
        size_t i, len = 0;

        if (!read_whole(&s, UNIT_DURATION_MAX_MS, &n))
            return ERR_INPUT;
        while (s[len] >= 'a' && s[len] <= 'z')
            len++;
        for (i = next; i < SPANS; i++) {
            if (strlen(spans[i].name) == len && memcmp(spans[i].name, s, len) == 0)
                break;
        }
        if (i == SPANS || n > (UNIT_DURATION_MAX_MS - total) / spans[i].ms)
            return ERR_INPUT;
        total += n * spans[i].ms;
        next = i + 1;
        s += len;
    }
    *ms = total;
    return 0;
}

int unit_parse_percent(const char *s, double *percent)
{
    double v;

    if (s == NULL || !read_decimal(&s, &v) || strcmp(s, "%") != 0 || v > 100)
        return ERR_INPUT;
    *percent = v;
    return 0;
}

static const struct scale {
    const char *name;
    double bytes;
} binary[] = {{"TiB", 1099511627776.0},
              {"GiB", 1073741824.0},
              {"MiB", 1048576.0},
              {"KiB", 1024.0},
              {"B", 1.0}},
  decimal[] = {{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}};

#define BINARY (sizeof(binary) / sizeof(binary[0]))
#define DECIMAL (sizeof(decimal) / sizeof(decimal[0]))

static double scale_of(const char *name)
{
    for (size_t i = 0; i < BINARY; i++) {
        if (strcmp(binary[i].name, name) == 0)
            return binary[i].bytes;
    }
    for (size_t i = 0; i < DECIMAL; i++) {
        if (strcmp(decimal[i].name, name) == 0)
            return decimal[i].bytes;
    }
    return 0;
}

int unit_parse_size(const char *s, double *bytes)
{
    double n;

    if (s == NULL || !read_decimal(&s, &n))
        return ERR_INPUT;
    double total = n * scale_of(s);
    if ((n > 0 && total <= 0) || scale_of(s) <= 0)
        return ERR_INPUT;
    if (total > EXACT_WHOLE || total != floor(total)) /* "1.5GiB" is whole bytes, "0.5B" is not */
        return ERR_INPUT;
    *bytes = total;
    return 0;
}

int unit_parse_rate(const char *s, int *n, int64_t *per_ms)
{
    static const char per[] = " per ";
    int64_t count, ms;

    if (s == NULL || !read_whole(&s, INT32_MAX, &count) || count < 1)
        return ERR_INPUT;
    if (strncmp(s, per, sizeof(per) - 1) != 0 ||
        unit_parse_duration(s + sizeof(per) - 1, &ms) != 0 || ms < 1)
        return ERR_INPUT;
    *n = (int)count;
    *per_ms = ms;
    return 0;
}

/* mantissa / 10^decimals, without the zeros at the end. */
static void print_scaled(char *out, size_t size, bool negative, double mantissa, int decimals,
                         const char *suffix)
{
    int64_t m = (int64_t)mantissa;
    int64_t one = 1;

    while (decimals > 0 && m % 10 == 0) {
        m /= 10;
        decimals--;
    }
    for (int i = 0; i < decimals; i++)
        one *= 10;
    const char *sign = negative && m != 0 ? "-" : "";
    if (decimals == 0)
        snprintf(out, size, "%s%lld%s", sign, (long long)m, suffix);
    else
        snprintf(out, size, "%s%lld.%0*lld%s", sign, (long long)(m / one), decimals,
                 (long long)(m % one), suffix);
}

/* A number for people: exact where at most six decimals are enough (so what was written reads back
 * the same), else about four digits. */
static void print_number(char *out, size_t size, double v, const char *suffix)
{
    bool negative = v < 0;
    double a = fabs(v);
    int decimals;

    if (!isfinite(v)) {
        snprintf(out, size, "%s%s", isnan(v) ? "nan" : negative ? "-inf" : "inf", suffix);
        return;
    }
    if (a >= 1e15) {
        snprintf(out, size, "%.3e%s", v, suffix);
        return;
    }
    for (decimals = 0; decimals <= 6 && a * pow10_exact[decimals] < 1e15; decimals++) {
        double m = nearbyint(a * pow10_exact[decimals]);
        if (m / pow10_exact[decimals] == a) {
            print_scaled(out, size, negative, m, decimals, suffix);
            return;
        }
    }
    decimals = a >= 100 ? 1 : a >= 1 ? 2 : 3;
    while (decimals < 9 && a * pow10_exact[decimals] < 100)
        decimals++;
    print_scaled(out, size, negative, nearbyint(a * pow10_exact[decimals]), decimals, suffix);
}

/* True when v is at least 1, at most two decimals of the scale, exactly. */
static bool print_size_exact(char *out, size_t size, double v, const struct scale *scale)
{
    double hundredths = v / scale->bytes * 100;

    if (v < scale->bytes || hundredths > EXACT_WHOLE || hundredths != floor(hundredths) ||
        hundredths / 100 * scale->bytes != v)
        return false;
    print_scaled(out, size, false, hundredths, 2, scale->name);
    return true;
}

static void print_size(char *out, size_t size, double v)
{
    const struct scale *big = NULL;

    if (!isfinite(v) || v < 1 || v > EXACT_WHOLE) {
        print_number(out, size, v, "B");
        return;
    }
    for (size_t i = 0; i < BINARY && big == NULL; i++) {
        if (v >= binary[i].bytes)
            big = &binary[i];
    }
    if (big == NULL)
        big = &binary[BINARY - 1];
    if (print_size_exact(out, size, v, big))
        return;
    for (size_t i = 0; i < DECIMAL; i++) {
        if (v >= decimal[i].bytes) {
            if (print_size_exact(out, size, v, &decimal[i]))
                return;
            break;
        }
    }
    print_scaled(out, size, false, nearbyint(v / big->bytes * 100), 2, big->name);
}

char *unit_format_duration(char *out, size_t size, int64_t ms)
{
    size_t len = 0;
    uint64_t left = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;

    if (size == 0)
        return out;
    if (left == 0) {
        snprintf(out, size, "0s");
        return out;
    }
    out[0] = '\0';
    if (ms < 0)
        len = (size_t)snprintf(out, size, "-");
    for (size_t i = 0; i < SPANS && len < size; i++) {
        uint64_t n = left / (uint64_t)spans[i].ms;
        left %= (uint64_t)spans[i].ms;
        if (n > 0)
            len += (size_t)snprintf(out + len, size - len, "%llu%s", (unsigned long long)n,
                                    spans[i].name);
    }
    return out;
}

/* A measured duration has fractions that nobody wants to read: below 10 ms two decimals are kept,
 * from a minute on only seconds; a whole number of milliseconds, as policies write them, is printed
 * exactly. */
static void print_duration(char *out, size_t size, double ms)
{
    double a = fabs(ms);

    if (!isfinite(ms) || a >= EXACT_WHOLE) {
        print_number(out, size, ms, "ms");
    } else if (a != floor(a) && a < 10) {
        double m = nearbyint(a * 100);
        print_scaled(out, size, ms<0, m, 2, m> 0 ? "ms" : "s");
    } else if (a != floor(a) && a >= 60000) {
        unit_format_duration(out, size, llround(ms / 1000) * 1000);
    } else {
        unit_format_duration(out, size, llround(ms));
    }
}

char *unit_format(char *out, size_t size, enum unit u, double value)
{
    if (size == 0)
        return out;
    switch (u) {
    case UNIT_PERCENT:
        print_number(out, size, value, "%");
        break;
    case UNIT_DURATION:
        print_duration(out, size, value);
        break;
    case UNIT_SIZE:
        print_size(out, size, value);
        break;
    case UNIT_PER_MINUTE:
        print_number(out, size, value, "/min");
        break;
    case UNIT_NUMBER:
    case UNIT_COUNT:
    case UNIT_ENUM:
    default:
        print_number(out, size, value, "");
        break;
    }
    return out;
}

char *unit_format_rate(char *out, size_t size, int n, int64_t per_ms)
{
    char per[UNIT_TEXT];

    snprintf(out, size, "%d per %s", n, unit_format_duration(per, sizeof(per), per_ms));
    return out;
}

/* What a reading can be at most: doubles count one by one up to 2^53, and nothing is counted
 * further in a minute; sizes are 64-bit numbers at every source. A plain number has a scale of its
 * own. */
static double most(enum unit u)
{
    switch (u) {
    case UNIT_PERCENT:
        return 100.5;
    case UNIT_COUNT:
    case UNIT_PER_MINUTE:
        return 0x1p53;
    case UNIT_SIZE:
        return 0x1p64;
    case UNIT_DURATION:
        return (double)UNIT_DURATION_MAX_MS;
    default:
        return INFINITY;
    }
}

bool unit_plausible(enum unit u, double value)
{
    return isfinite(value) && value >= 0 && value <= most(u);
}
