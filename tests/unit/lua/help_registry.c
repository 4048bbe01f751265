/* Signals and actions for these tests, as the catalogue describes them; the real ones are tested
 * with their collectors. */
#include <stdio.h>
#include <string.h>
#include "plugin/action.h"
#include "plugin/collector.h"

static int64_t cpu_interval(const struct target *t, const struct json *opts)
{
    int64_t period_ms = json_get_int(opts, "period", 0);

    if (period_ms > 0)
        return period_ms;
    return json_get_bool(t->fields, "detailed", true) ? 60000 : 300000;
}

static bool cpu_bad_period(const struct target *t, const struct estate *e, const struct json *opts,
                           char *text, size_t size)
{
    double period = json_get_num(opts, "period", 60000);

    (void)e;
    if (t && cpu_interval(t, opts) < 300000 && !json_get_bool(t->fields, "detailed", true)) {
        snprintf(text, size, "it has basic monitoring, a point each 5m");
        return true;
    }
    if (period == 60000 || period == 300000)
        return false;
    snprintf(text, size, "EC2 publishes CPU every 1m with detailed monitoring, else every 5m");
    return true;
}

static const struct option cpu_options[] = {
    {.name = "period", .type = OPT_DURATION, .help = "distance of points"},
};
static const struct option errors_options[] = {
    {.name = "min_requests", .type = OPT_COUNT, .fallback = "100", .help = "fewer are unknown"},
};
static const struct option pg_options[] = {
    {.name = "state",
     .type = OPT_ENUM,
     .words = "active|idle|idle_in_transaction",
     .help = "state"},
    {.name = "database", .type = OPT_STRING, .help = "database"},
    {.name = "application", .type = OPT_STRING, .help = "application_name"},
};
static const struct option watch_options[] = {
    {.name = "namespace", .type = OPT_STRING, .required = true, .help = "namespace"},
    {.name = "metric", .type = OPT_STRING, .required = true, .help = "metric"},
    {.name = "unit",
     .type = OPT_ENUM,
     .required = true,
     .words = "number|count|percent|duration|size",
     .help = "unit"},
    {.name = "dimensions", .type = OPT_MAP, .help = "dimensions"},
};

static const char *const statuses[] = {"available", "failed", "storage-full", NULL};

static const struct signal signals[] = {
    {.name = "asg_cpu",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(cpu_options),
     .lag_ms = 180000,
     .zero_suspicious = true,
     .interval_ms = cpu_interval,
     .default_interval_ms = 60000,
     .bad_period = cpu_bad_period},
    {.name = "asg_in_service",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .default_interval_ms = 30000},
    {.name = "alb_p99",
     .unit = UNIT_DURATION,
     .targets = "asg service",
     .lag_ms = 180000,
     .default_interval_ms = 60000},
    {.name = "alb_5xx",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(errors_options),
     .lag_ms = 180000,
     .default_interval_ms = 60000},
    {.name = "pg_connections",
     .unit = UNIT_COUNT,
     .targets = "postgres service",
     .options = OPTIONS(pg_options),
     .default_interval_ms = 10000},
    {.name = "rds_status",
     .unit = UNIT_ENUM,
     .words = statuses,
     .targets = "postgres",
     .default_interval_ms = 60000},
    {.name = "cloudwatch",
     .unit = UNIT_NUMBER,
     .targets = "any",
     .options = OPTIONS(watch_options),
     .lag_ms = 180000,
     .default_interval_ms = 60000},
};
static const struct collector_type collector = {
    .name = "fake", .signals = signals, .nsignals = sizeof signals / sizeof *signals};
const struct collector_type *const collector_types[] = {&collector};
const size_t collector_types_len = 1;

static int scale_check(const struct json *opts, struct err *e)
{
    if (json_get_num(opts, "min", 0) > json_get_num(opts, "max", 0))
        return err_set(e, ERR_LIMIT, "min is greater than max");
    return 0;
}
static struct plan *no_undo(const struct action_input *in, const struct plan *first,
                            const struct plan *last, const struct json *seen, struct err *e)
{
    (void)in, (void)first, (void)last, (void)seen, (void)e;
    return NULL;
}

static const struct option scale_options[] = {
    {.name = "by",
     .type = OPT_PERCENT_OR_COUNT,
     .min = -1000,
     .max = 1000,
     .one_of = "how",
     .help = "change"},
    {.name = "to", .type = OPT_COUNT_OR_SIGNAL, .one_of = "how", .help = "absolute"},
    {.name = "per_instance", .type = OPT_NUMBER, .help = "how much of it one takes"},
    {.name = "min", .type = OPT_COUNT, .help = "not below"},
    {.name = "max",
     .type = OPT_COUNT,
     .required = true,
     .min = 1,
     .max = 1000,
     .help = "not above"},
};
static const struct option kill_options[] = {
    {.name = "idle_over", .type = OPT_DURATION, .one_of = "which", .help = "idle for longer"},
    {.name = "running_over", .type = OPT_DURATION, .one_of = "which", .help = "running for longer"},
    {.name = "of", .type = OPT_STEP, .words = "sessions", .one_of = "which", .help = "another's"},
    {.name = "application", .type = OPT_STRING, .help = "application_name"},
    {.name = "max",
     .type = OPT_COUNT,
     .fallback = "10",
     .min = 1,
     .max = 1000,
     .help = "at most so many"},
};
static const struct option promote_options[] = {
    {.name = "replica", .type = OPT_STRING, .required = true, .help = "which"},
};
static const struct option scale_state[] = {
    {.name = "desired", .type = OPT_COUNT, .required = true, .max = 100, .help = "capacity"},
    {.name = "suspended", .type = OPT_LIST, .help = "processes"},
};
static const struct option kill_state[] = {
    {.name = "sessions", .type = OPT_LIST, .fallback = "{}", .help = "its sessions"},
};
static struct json *sessions_seen(const struct action_input *in, const struct json *state,
                                  struct err *e)
{
    (void)in;
    if (strcmp(json_str(json_at(json_get(state, "sessions"), 0), ""), "nonsense") == 0) {
        err_set(e, ERR_INPUT, "sessions are written otherwise");
        return NULL;
    }
    return json_copy(state);
}
static const char *const kill_outs[] = {"sessions", NULL};
static const char *const scale_outs[] = {"before", "after", NULL};
static const struct action_type scale = {.name = "asg_scale",
                                         .targets = "asg",
                                         .attribute = "desired_capacity",
                                         .flags = ACTION_REVERSIBLE | ACTION_DESTRUCTIVE,
                                         .can_probe = true,
                                         .options = OPTIONS(scale_options),
                                         .outs = scale_outs,
                                         .check = scale_check,
                                         .state_options = OPTIONS(scale_state),
                                         .undo = no_undo};
static const struct action_type terminate = {.name = "pg_terminate",
                                             .targets = "postgres",
                                             .attribute = "sessions",
                                             .writes = "host port",
                                             .flags = ACTION_DESTRUCTIVE,
                                             .can_probe = true,
                                             .options = OPTIONS(kill_options),
                                             .outs = kill_outs,
                                             .state_options = OPTIONS(kill_state),
                                             .state_seen = sessions_seen};
static const struct action_type promote = {.name = "rds_promote",
                                           .targets = "postgres",
                                           .attribute = "role",
                                           .flags = ACTION_IRREVERSIBLE,
                                           .options = OPTIONS(promote_options)};
const struct action_type *const action_types[] = {&scale, &terminate, &promote};
const size_t action_types_len = 3;
