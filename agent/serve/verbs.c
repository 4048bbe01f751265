/* The agent's own commands, beside the engine's. */
#include "base/mem.h"
#include "serve/internal.h"

static struct json *verb_version(void *arg, const struct json *command)
{
    struct agent *a = arg;
    struct json *d = json_new_map();

    (void)command;
    json_set_str(d, "version", a->version);
    json_set_str(d, "host", a->host);
    json_set_str(d, "config", a->config_path);
    json_set_int(d, "uptime_ms", loop_boot_ms(a->loop) - a->started_ms);
    json_set_int(d, "reloads", a->reloads);
    return d;
}

static struct json *verb_sources(void *arg, const struct json *command)
{
    struct agent *a = arg;
    struct json *d = json_new_map();

    (void)command;
    json_set(d, "sources", live_sources(a->live));
    json_set(d, "listings", discover_status(live_discover(a->live)));
    return d;
}

static struct json *verb_metrics(void *arg, const struct json *command)
{
    struct agent *a = arg;
    struct json *d = verb_version(arg, command), *j;
    char head[65];
    int64_t seq = 0;

    json_set_num(d, "loop_lag_ms", a->lag.ms);
    json_set_num(d, "loop_lag_minute_ms", a->lag_minute.ms);
    json_set_num(d, "loop_work_minute_ms", a->lag_minute.most_work_ms);
    json_set_int(d, "steps_in_flight", (int64_t)live_steps(a->live));
    json_set(d, "engine", engine_counts(a->engine));
    json_set(d, "outbox", outbox_status(a->outbox));
    json_set(d, "sources", live_sources(a->live));
    json_set(d, "listings", discover_status(live_discover(a->live)));
    if (a->receiver)
        json_set(d, "alerts", receiver_status(a->receiver));
    a->journal->ops->head(a->journal, head, &seq);
    j = json_set(d, "journal", json_new_map());
    json_set_int(j, "seq", seq);
    json_set_str(j, "head", head);
    json_set_bool(j, "stalled", a->journal->ops->stalled(a->journal));
    json_set_int(j, "commits", (int64_t)sqlite_journal_commits(a->journal));
    return d;
}

static void verb_reload(void *arg, const struct json *command, command_fn *fn, void *fn_arg)
{
    agent_reload(arg, json_get_bool(command, "widen", false), fn, fn_arg);
}

struct json *agent_numbers(void *agent)
{
    return verb_metrics(agent, NULL);
}

const struct control_verb agent_verbs[] = {
    {"version", false, verb_version, NULL},
    {"sources", false, verb_sources, NULL},
    {"metrics", false, verb_metrics, NULL},
    {"reload", true, NULL, verb_reload},
    {NULL, false, NULL, NULL},
};
