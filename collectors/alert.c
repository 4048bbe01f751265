/* Alerts of other monitors, as they were told to the agent's HTTP listener: whether any with these
 * labels fires. */
#include <stdio.h>
#include <string.h>

#include "io/loop.h"
#include "plugin/alerts.h"
#include "plugin/collector.h"
#include "shared_source.h"

#define POLL_MS 2000
/* Alertmanager tells firing alerts again each repeat_interval, 4 h unless configured otherwise
 * (prometheus.io/docs/alerting/latest/configuration, route). CloudWatch tells changes only. */
#define EXPIRES_ALERTMANAGER_MS (5 * 3600 * 1000LL)
#define EXPIRES_CLOUDWATCH_MS (24 * 3600 * 1000LL)

struct alert_collector {
    struct source_base base;
};

static int alert_source(const struct signal *g, const struct target *t, const struct estate *e,
                        char *out, size_t size, struct err *err)
{
    (void)g;
    (void)t;
    (void)e;
    (void)err;
    snprintf(out, size, "alert/received");
    return 0;
}

static void *alert_open(const struct collector_host *h, const struct estate *e, const char *source,
                        struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct alert_collector), h, e, source);
}

static void alert_poll(void *self)
{
    struct source_base *b = self;
    const struct alerts *known = b->host->io->alerts;
    int64_t now = loop_wall_ms(b->host->io->loop);

    for (size_t k = 0; k < b->nwatches; k++) {
        const struct watch *w = b->watches[k];
        const char *source = json_get_str(w->opts, "source", "");
        bool cloudwatch = strcmp(source, "cloudwatch_alarm") == 0;
        char why[200];
        int n;
        if (!known) {
            b->host->unknown(b->host, w,
                             "nobody listens for alerts: http = { listen = ... } in runbookd.lua");
            continue;
        }
        n = alerts_firing(
            known, source, json_get(w->opts, "match"), now,
            json_get_int(w->opts, "expires",
                         cloudwatch ? EXPIRES_CLOUDWATCH_MS : EXPIRES_ALERTMANAGER_MS),
            why, sizeof(why));
        if (n < 0)
            b->host->unknown(b->host, w, why);
        else
            b->host->sample(b->host, w, now, 0, n);
    }
    b->host->done(b->host);
}

static int alert_check(const struct json *opts, struct err *e)
{
    if (json_len(json_get(opts, "match")) == 0)
        return err_set(e, ERR_INPUT,
                       "match is empty, so any alert would do; write e.g. match = { alertname = "
                       "\"HighLatency\" }");
    return 0;
}

static const struct option alert_options[] = {
    {.name = "source",
     .type = OPT_ENUM,
     .required = true,
     .words = "alertmanager|cloudwatch_alarm",
     .help = "who tells"},
    {.name = "match",
     .type = OPT_MAP,
     .required = true,
     .help = "labels that the alert has; of an alarm AlarmName, AlarmArn, Region, AWSAccountId, "
             "Namespace, MetricName and its dimensions"},
    {.name = "expires",
     .type = OPT_DURATION,
     .min = 60000,
     .max = 7 * 86400000.0,
     .help = "how long one that fires counts without being told again; after that it is unknown; "
             "default 5h (alertmanager), 24h (cloudwatch_alarm)"},
};

static const struct signal alert_signals[] = {
    {.name = "alert",
     .summary = "alerts of another monitor that fire now; true while there is one, so no "
                "comparator is needed",
     .source =
         "what Alertmanager's webhook or SNS posted to the agent's HTTP listener (docs/alerts.md)",
     .unit = UNIT_COUNT,
     .targets = "any",
     .options = OPTIONS(alert_options),
     .occurs = true,
     .check = alert_check,
     .default_interval_ms = POLL_MS},
};

static const char *const alert_permissions[] = {NULL};

const struct collector_type alert_collector = {
    .name = "alert",
    .summary = "alerts that other monitors sent",
    .signals = alert_signals,
    .nsignals = sizeof(alert_signals) / sizeof(*alert_signals),
    .permissions = alert_permissions,
    .deadline_ms = 5000,
    .source = alert_source,
    .open = alert_open,
    .watch = source_base_watch,
    .poll = alert_poll,
    .cancel = source_base_cancel,
    .close = source_base_close,
    .migrate = source_base_migrate,
};
