/* The collector contract: C code that reads one kind of source on a timer and yields samples. It
 * knows nothing of Lua, policies or actions. */
#ifndef RB_PLUGIN_COLLECTOR_H
#define RB_PLUGIN_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/units.h"
#include "plugin/host.h"
#include "plugin/option.h"
#include "plugin/target.h"

/* How a signal that no collector reads comes about (plugin/derived.c). */
enum derive { DERIVE_NONE, DERIVE_CLOCK, DERIVE_CHANGE, DERIVE_COMPARE };

/* What a policy reads: a named, typed view. A series is a signal with its options on one target. */
struct signal {
    const char *name, *summary;
    const char *source; /* for the manual: "AWS/EC2 CPUUtilization by AutoScalingGroupName" */
    enum unit unit;
    const char *targets;          /* kinds, space-separated: "asg service" */
    const struct option *options; /* beside the comparators */
    size_t noptions;
    int64_t lag_ms; /* how late a point may be, beyond its interval, before the leaf is unknown */
    bool zero_suspicious; /* zero across the fleet is a finding, not a value (M4) */
    bool may_exceed; /* UNIT_PERCENT: a ratio, not a part of a whole: above 100 % it is plausible */
    /* The distance between two points, milliseconds; NULL: default_interval_ms. */
    int64_t (*interval_ms)(const struct target *t, const struct json *opts);
    int64_t default_interval_ms;
    /* The lag where it depends on the target's source; NULL: lag_ms, which is the longest. */
    int64_t (*lag_of_ms)(const struct target *t);
    /* The collector that reads it for this target, where another than the one that declares it does
     * (named, or NULL); NULL: never. */
    const char *(*collector)(const struct target *t, const struct estate *e);
    const char *const *other_permissions; /* what it needs there, NULL-terminated, or NULL */
    /* A period that the metric does not have of this target, or, where t and e are NULL, of none
     * (W205): says why in text, or returns false. NULL: no such check. */
    bool (*bad_period)(const struct target *t, const struct estate *e, const struct json *opts,
                       char *text, size_t size);
    /* How often AWS publishes it at the finest, milliseconds: a shorter period is W205, but asked
     * for all the same, because what stands in for AWS may be quicker. 0: as often as is asked. */
    int64_t published_ms;
    /* Beyond the option table: cross checks at load (NULL: none). ERR_INPUT with what is wrong and
     * what to write. */
    int (*check)(const struct json *opts, struct err *e);
    /* UNIT_ENUM: its words, NULL-terminated; a reading is an index into them. */
    const char *const *words;
    /* With these options zero is an ordinary value although the signal is zero_suspicious: a filter
     * that may select nothing. NULL: never. */
    bool (*zero_plain)(const struct json *opts);
    /* It counts what happens: without a comparator it is true while there is one. */
    bool occurs;
    enum derive derive; /* of a collector's: none */
    /* Of one that is made of others: the option in place of above, below ... */
    const char *comparator;
};

/* One wanted series. It stays valid until the next watch() or close(). */
struct watch {
    const struct signal *signal;
    const struct target *target;
    const struct json *opts; /* as held, with defaults; "$..." references resolved */
    int64_t interval_ms;
    int64_t history_ms; /* how far back the first poll should reach where the source keeps history
                           (longest `lasting`) */
    uint64_t series;    /* the engine's handle */
};

/* What a collector may call, beside the io handles of `io`. */
struct collector_host {
    const struct host_io *io;
    /* A reading of the period [start_wall_ms, start_wall_ms + period_ms); a gauge read now has
     * period 0. Several in time order are fine; one that was given before is ignored. Plausibility
     * is the engine's to judge. */
    void (*sample)(const struct collector_host *h, const struct watch *w, int64_t start_wall_ms,
                   int64_t period_ms, double value);
    /* Of the reading that was just given, where it is one of several: what decided it, for
     * `explain`. */
    void (*note)(const struct collector_host *h, const struct watch *w, const char *text);
    /* Known to be unknown, and why: too few requests, partial data, no such dimension. */
    void (*unknown)(const struct collector_host *h, const struct watch *w, const char *why);
    /* As unknown(), of a series whose question the source refuses as it is asked, and will until
     * somebody mends it: the source shows it, and goes on with the others. To be told at each poll,
     * be it asked again or not. */
    void (*refused)(const struct collector_host *h, const struct watch *w, const char *why);
    /* Exactly one of these ends a poll. failed(): the source did not answer; the host backs off,
     * complains at growing intervals, announces recovery. */
    void (*done)(const struct collector_host *h);
    void (*failed)(const struct collector_host *h, const struct err *e);
    const char *name; /* "pg_activity orders": log prefix */
    void *arg;        /* the host's own */
};

struct collector_type {
    const char *name, *summary;
    const struct signal *signals;
    size_t nsignals;
    const char *const
        *permissions;    /* "cloudwatch:GetMetricData *", "postgres:pg_monitor"; NULL-terminated */
    int64_t deadline_ms; /* a poll not ended by then is cancelled and failed */
    /* Each series is a source of its own, with its own poll and back-off: what one of them asks may
     * take long, and is no other's concern. */
    bool alone;
    /* How often to poll when the shortest interval of its series is this: a source whose points
     * come at times of their own is asked more often than they come. NULL: once an interval. */
    int64_t (*pace_ms)(int64_t interval_ms);
    /* The source of this target's series of that signal, "aws/prod", "postgres/orders": one
     * instance of the collector each. ERR_INPUT when the target lacks what is needed. */
    int (*source)(const struct signal *g, const struct target *t, const struct estate *e, char *out,
                  size_t size, struct err *err);
    void *(*open)(const struct collector_host *h, const struct estate *e, const char *source,
                  struct err *err); /* NULL on error */
    void (*watch)(void *self, const struct watch *const *watches,
                  size_t n);    /* replaces the set; between polls only */
    void (*poll)(void *self);   /* asynchronous */
    void (*cancel)(void *self); /* ends the poll in flight without done or failed */
    void (*close)(void *self);
    /* A reload: true when it goes on with the new estate and keeps its state, false when it must be
     * opened anew. NULL: false. */
    bool (*migrate)(void *self, const struct estate *e);
};

/* The registry, made from collectors/collectors.def. */
extern const struct collector_type *const collector_types[];
extern const size_t collector_types_len;
/* Those that no collector reads, in every program. */
extern const struct signal derived_signals[];
extern const size_t derived_signals_len;
/* The signals that this one is made of, and their options: of its options of type OPT_SIGNAL. How
 * many, at most SIGNAL_PARTS. */
#define SIGNAL_PARTS 2
size_t signal_parts(const struct signal *s, const struct json *opts, const struct signal **parts,
                    const struct json **part_opts);
/* Of the signal with these options, or the longest of what it is made of. */
int64_t signal_lag_of(const struct signal *s, const struct target *t,
                      const struct json *opts); /* t may be NULL */
int64_t signal_interval_ms(const struct signal *s, const struct target *t,
                           const struct json *opts); /* t may be NULL */
/* NULL if there is none; *type, if asked for, is NULL for one that is derived. */
const struct signal *signal_find(const char *name, const struct collector_type **type);
static inline int64_t signal_lag_ms(const struct signal *s, const struct target *t)
{
    return s->lag_of_ms != NULL ? s->lag_of_ms(t) : s->lag_ms;
}
/* The collector that reads this signal of this target. */
const struct collector_type *signal_collector(const struct signal *s, const struct target *t,
                                              const struct estate *e);

/* What its readings are with these options: some signals take `unit` as one of them. */
enum unit signal_unit(const struct signal *s, const struct json *opts);

#endif
