/* One row a metric: where it stands in the numbers, and what it is.
 * prometheus.io/docs/instrumenting/exposition_formats, "Text-based format". */
#include "serve/metrics.h"

#include <string.h>

/* path: members, separated by full stops. A list gives one line an item, labelled by its member
 * `label`. */
struct row {
    const char *name, *type, *help;
    const char *list, *path, *label;
    double scale;
};

#define GAUGE(NAME, PATH, HELP)                                                                    \
    {                                                                                              \
        "runbookd_" NAME, "gauge", HELP, NULL, PATH, NULL, 1                                       \
    }
#define SECONDS(NAME, PATH_MS, HELP)                                                               \
    {                                                                                              \
        "runbookd_" NAME "_seconds", "gauge", HELP, NULL, PATH_MS, NULL, 0.001                     \
    }
#define COUNTER(NAME, PATH, HELP)                                                                  \
    {                                                                                              \
        "runbookd_" NAME "_total", "counter", HELP, NULL, PATH, NULL, 1                            \
    }
#define EACH_SINK(NAME, PATH, HELP)                                                                \
    {                                                                                              \
        "runbookd_sink_" NAME, "gauge", HELP, "outbox.sinks", PATH, "name", 1                      \
    }
#define EACH_SOURCE(NAME, PATH, HELP)                                                              \
    {                                                                                              \
        "runbookd_source_" NAME, "gauge", HELP, "sources", PATH, "source", 1                       \
    }

static const struct row rows[] = {
    SECONDS("uptime", "uptime_ms", "Time since the start."),
    COUNTER("reloads", "reloads", "Reloads that came into force."),
    SECONDS("loop_lag", "loop_lag_minute_ms", "Longest turn of the loop within the last minute."),
    SECONDS("loop_work", "loop_work_minute_ms",
            "Most work of a turn of the loop within the last minute."),
    GAUGE("steps_in_flight", "steps_in_flight", "Requests of steps that have no answer yet."),
    GAUGE("series", "engine.series", "Series that policies read."),
    GAUGE("instances", "engine.instances", "Policies times targets."),
    GAUGE("runs", "engine.runs", "Open runs."),
    COUNTER("fires", "engine.fires", "Episodes that began since the start."),
    COUNTER("acts", "engine.acts", "Acts that began since the start."),
    COUNTER("denials", "engine.denials", "Acts that a guard denied since the start."),
    COUNTER("reports", "engine.reports", "Reports written since the start."),
    GAUGE("reports_pending", "outbox.pending", "Reports that a sink has not taken yet."),
    COUNTER("reports_delivered", "outbox.delivered", "Deliveries since the start, one a sink."),
    COUNTER("reports_dead", "outbox.dead", "Deliveries given up since the start."),
    COUNTER("reports_retries", "outbox.retries", "Deliveries tried again since the start."),
    EACH_SINK("waiting", "waiting", "Reports that wait for a sink."),
    EACH_SINK("failing", "failing", "1 while a sink takes no reports."),
    EACH_SOURCE("series", "series", "Series read from a source."),
    EACH_SOURCE("failures", "failures", "Polls of a source in a row that failed."),
    EACH_SOURCE("refused", "refused", "Series whose question a source refuses as it is asked."),
    COUNTER("alerts_accepted", "alerts.accepted", "Messages about alerts that were taken."),
    COUNTER("alerts_refused", "alerts.refused", "Messages about alerts that were refused."),
    GAUGE("alerts_known", "alerts.known", "Alerts that fire, or have not been over for long."),
    COUNTER("journal_rows", "journal.seq", "Number of the journal's newest row."),
    COUNTER("journal_commits", "journal.commits", "Commits since the start."),
    GAUGE("journal_stalled", "journal.stalled", "1 while the journal's disk does not answer."),
};

static const struct json *at(const struct json *j, const char *path)
{
    char name[64];

    while (j && path && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof(name))
            return NULL;
        memcpy(name, path, n);
        name[n] = 0;
        j = json_get(j, name);
        path += n + (path[n] == '.');
    }
    return j;
}

static void label(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "{%s=\"", name);
    for (const char *s = value; *s; s++) {
        if (*s == '\\' || *s == '"')
            buf_addc(out, '\\');
        if (*s == '\n')
            buf_adds(out, "\\n");
        else
            buf_addc(out, *s);
    }
    buf_adds(out, "\"}");
}

static void line(struct buf *out, const struct row *r, const struct json *from, const char *of)
{
    const struct json *v = at(from, r->path);

    if (json_type(v) != JSON_NUMBER && json_type(v) != JSON_BOOL)
        return;
    buf_adds(out, r->name);
    if (of)
        label(out, r->label, of);
    buf_addf(out, " %.15g\n",
             (json_type(v) == JSON_BOOL ? json_bool(v, false) : json_num(v, 0)) * r->scale);
}

void metrics_text(const struct json *numbers, struct buf *out)
{
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        const struct row *r = &rows[k];
        buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name, r->type);
        if (!r->list) {
            line(out, r, numbers, NULL);
            continue;
        }
        for (const struct json *i = json_first(at(numbers, r->list)); i; i = json_next(i))
            if (!json_get_bool(i, "shadow", false)) /* the shadow sink may be of the same name */
                line(out, r, i, json_get_str(i, r->label, "?"));
    }
}
