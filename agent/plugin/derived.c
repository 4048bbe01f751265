/* Signals that no collector reads. Their descriptors stand here; what they mean is the engine's
 * (engine/window.c). */
#include "plugin/collector.h"

static const struct option clock_options[] = {
    {.name = "days",
     .type = OPT_STRING,
     .fallback = "mon-sun",
     .help = "on which it begins: mon-fri, or sat,sun"},
    {.name = "from",
     .type = OPT_STRING,
     .required = true,
     .help = "local time of its begin, 22:00"},
    {.name = "to",
     .type = OPT_STRING,
     .required = true,
     .help = "local time of its end, 06:00; up to 24:00; not after from: of the next day"},
    {.name = "tz", .type = OPT_STRING, .fallback = "UTC", .help = "zone of the IANA database"},
};

static const struct option change_options[] = {
    {.name = "of",
     .type = OPT_SIGNAL,
     .required = true,
     .help = "the signal, without a comparator"},
    {.name = "over",
     .type = OPT_DURATION,
     .fallback = "10m",
     .min = 1000,
     .max = 7 * 86400000.0,
     .help = "how long ago the value was that it is compared with"},
    {.name = "by",
     .type = OPT_PERCENT,
     .min = -100,
     .max = 10000,
     .help = "true while it is at least so much more; negative: less. A condition needs it"},
};

static const struct option compare_options[] = {
    {.name = "a", .type = OPT_SIGNAL, .required = true, .help = "the signal, without a comparator"},
    {.name = "b", .type = OPT_SIGNAL, .required = true, .help = "what it is divided by"},
    {.name = "ratio_above",
     .type = OPT_NUMBER,
     .min = 0,
     .max = 1e9,
     .help = "true while a divided by b is greater. A condition needs it"},
};

const struct signal derived_signals[] = {
    {.name = "clock",
     .summary = "true while a clock in that zone shows a time of the window",
     .source = "the wall clock and the system's zone database",
     .derive = DERIVE_CLOCK,
     .targets = "any",
     .options = clock_options,
     .noptions = sizeof(clock_options) / sizeof(clock_options[0])},
    {.name = "change",
     .summary = "how much a signal changed, of what it was",
     .source = "the signal's own points",
     .unit = UNIT_PERCENT,
     .derive = DERIVE_CHANGE,
     .comparator = "by",
     .targets = "any",
     .options = change_options,
     .noptions = sizeof(change_options) / sizeof(change_options[0])},
    {.name = "compare",
     .summary = "one signal divided by another",
     .source = "the two signals' points of the same time",
     .unit = UNIT_NUMBER,
     .derive = DERIVE_COMPARE,
     .comparator = "ratio_above",
     .targets = "any",
     .options = compare_options,
     .noptions = sizeof(compare_options) / sizeof(compare_options[0])},
};
const size_t derived_signals_len = sizeof(derived_signals) / sizeof(derived_signals[0]);

size_t signal_parts(const struct signal *s, const struct json *opts, const struct signal **parts,
                    const struct json **part_opts)
{
    size_t n = 0;

    for (size_t i = 0; s->derive != DERIVE_NONE && i < s->noptions && n < SIGNAL_PARTS; i++) {
        const struct json *held = json_get(opts, s->options[i].name);
        const struct signal *part = s->options[i].type == OPT_SIGNAL
                                        ? signal_find(json_get_str(held, "signal", ""), NULL)
                                        : NULL;

        if (part == NULL)
            continue;
        parts[n] = part;
        part_opts[n++] = json_get(held, "opts");
    }
    return n;
}

int64_t signal_lag_of(const struct signal *s, const struct target *t, const struct json *opts)
{
    const struct signal *parts[SIGNAL_PARTS];
    const struct json *part_opts[SIGNAL_PARTS];
    size_t n = signal_parts(s, opts, parts, part_opts);
    int64_t most_ms = t != NULL ? signal_lag_ms(s, t) : s->lag_ms;

    for (size_t i = 0; i < n; i++) {
        int64_t ms = signal_lag_of(parts[i], t, part_opts[i]);
        most_ms = ms > most_ms ? ms : most_ms;
    }
    return most_ms;
}

int64_t signal_interval_ms(const struct signal *s, const struct target *t, const struct json *opts)
{
    const struct signal *parts[SIGNAL_PARTS];
    const struct json *part_opts[SIGNAL_PARTS];
    size_t n = signal_parts(s, opts, parts, part_opts);
    int64_t most_ms = 0;

    for (size_t i = 0; i < n; i++) {
        int64_t ms = signal_interval_ms(parts[i], t, part_opts[i]);
        most_ms = ms > most_ms ? ms : most_ms;
    }
    if (n > 0)
        return most_ms;
    if (t != NULL && s->interval_ms != NULL && s->interval_ms(t, opts) > 0)
        return s->interval_ms(t, opts);
    return s->default_interval_ms;
}
