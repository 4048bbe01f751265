/* One row a metric: where it stands in the numbers, and what it is.
 * prometheus.io/docs/instrumenting/exposition_formats, "Text-based format". */
#include "serve/metrics.h"

#include <string.h>

/* path: members, separated by full stops. A list gives one line an item, labelled by its member
 * `label`. */
static const struct row {
    const char *name, *type, *help;
    const char *list, *path, *label;
    double scale;
} rows[] = {
    {"runbookd_uptime_seconds", "gauge", "Time since the start.", NULL, "uptime_ms", NULL, 0.001},
    {"runbookd_reloads_total", "counter", "Reloads that came into force.", NULL, "reloads", NULL,
     1},
    {"runbookd_loop_lag_seconds", "gauge", "Longest turn of the loop within the last minute.", NULL,
     "loop_lag_minute_ms", NULL, 0.001},
    {"runbookd_steps_in_flight", "gauge", "Requests of steps that have no answer yet.", NULL,
     "steps_in_flight", NULL, 1},
    {"runbookd_series", "gauge", "Series that policies read.", NULL, "engine.series", NULL, 1},
    {"runbookd_instances", "gauge", "Policies times targets.", NULL, "engine.instances", NULL, 1},
    {"runbookd_runs", "gauge", "Open runs.", NULL, "engine.runs", NULL, 1},
    {"runbookd_fires_total", "counter", "Episodes that began since the start.", NULL,
     "engine.fires", NULL, 1},
    {"runbookd_acts_total", "counter", "Acts that began since the start.", NULL, "engine.acts",
     NULL, 1},
    {"runbookd_denials_total", "counter", "Acts that a guard denied since the start.", NULL,
     "engine.denials", NULL, 1},
    {"runbookd_reports_total", "counter", "Reports written since the start.", NULL,
     "engine.reports", NULL, 1},
    {"runbookd_reports_pending", "gauge", "Reports that a sink has not taken yet.", NULL,
     "outbox.pending", NULL, 1},
    {"runbookd_reports_delivered_total", "counter", "Deliveries since the start, one a sink.", NULL,
     "outbox.delivered", NULL, 1},
    {"runbookd_reports_dead_total", "counter", "Deliveries given up since the start.", NULL,
     "outbox.dead", NULL, 1},
    {"runbookd_reports_retries_total", "counter", "Deliveries tried again since the start.", NULL,
     "outbox.retries", NULL, 1},
    {"runbookd_sink_waiting", "gauge", "Reports that wait for a sink.", "outbox.sinks", "waiting",
     "name", 1},
    {"runbookd_sink_failing", "gauge", "1 while a sink takes no reports.", "outbox.sinks",
     "failing", "name", 1},
    {"runbookd_source_series", "gauge", "Series read from a source.", "sources", "series", "source",
     1},
    {"runbookd_source_failures", "gauge", "Polls of a source in a row that failed.", "sources",
     "failures", "source", 1},
    {"runbookd_alerts_accepted_total", "counter", "Messages about alerts that were taken.", NULL,
     "alerts.accepted", NULL, 1},
    {"runbookd_alerts_refused_total", "counter", "Messages about alerts that were refused.", NULL,
     "alerts.refused", NULL, 1},
    {"runbookd_alerts_known", "gauge", "Alerts that fire, or have not been over for long.", NULL,
     "alerts.known", NULL, 1},
    {"runbookd_journal_rows_total", "counter", "Number of the journal's newest row.", NULL,
     "journal.seq", NULL, 1},
    {"runbookd_journal_commits_total", "counter", "Commits since the start.", NULL,
     "journal.commits", NULL, 1},
    {"runbookd_journal_stalled", "gauge", "1 while the journal's disk does not answer.", NULL,
     "journal.stalled", NULL, 1},
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
