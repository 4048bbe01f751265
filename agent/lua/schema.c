/* The tables of the policy language, of the estate's common fields and of the agent's
 * configuration. */
#include <string.h>
#include "lua/schema.h"
#include "plugin/form.h"

#define S(field, need, text)                                                                       \
    {                                                                                              \
        .option = {.name = (field), .type = OPT_STRING, .required = (need), .help = (text) }       \
    }
#define OPTION(field, kind, default_, text)                                                        \
    {                                                                                              \
        .option = {.name = (field), .type = (kind), .fallback = (default_), .help = (text) }       \
    }
#define FORM(field, need, default_, shape, text)                                                   \
    {                                                                                              \
        .option = {                                                                                \
            .name = (field),                                                                       \
            .type = OPT_STRING,                                                                    \
            .required = (need),                                                                    \
            .fallback = (default_),                                                                \
            .check = (shape),                                                                      \
            .help = (text)                                                                         \
        }                                                                                          \
    }
#define KEY(field, need, shape, text)                                                              \
    {                                                                                              \
        .option = {                                                                                \
            .name = (field),                                                                       \
            .type = OPT_SECRET,                                                                    \
            .required = (need),                                                                    \
            .check = (shape),                                                                      \
            .help = (text)                                                                         \
        }                                                                                          \
    }
#define BOUNDED(field, kind, default_, low, high, text)                                            \
    {                                                                                              \
        .option = {                                                                                \
            .name = (field),                                                                       \
            .type = (kind),                                                                        \
            .fallback = (default_),                                                                \
            .min = (low),                                                                          \
            .max = (high),                                                                         \
            .help = (text)                                                                         \
        }                                                                                          \
    }
#define WORDS(field, need, default_, list, text)                                                   \
    {                                                                                              \
        .option = {                                                                                \
            .name = (field),                                                                       \
            .type = OPT_ENUM,                                                                      \
            .required = (need),                                                                    \
            .fallback = (default_),                                                                \
            .words = (list),                                                                       \
            .help = (text)                                                                         \
        }                                                                                          \
    }
#define OTHER(field, kind, need, text)                                                             \
    {                                                                                              \
        .option = {.name = (field), .required = (need), .help = (text)}, .type = (kind)            \
    }
#define FIELDS(table) table, sizeof(table) / sizeof((table)[0])

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* policy and procedure share these rows. */
#define COMMON_FIELDS                                                                              \
    S("owner", true, "who answers for it"),                                                        \
        WORDS("severity", true, NULL, "sev1|sev2|sev3|sev4", "how loud it is"),                    \
        FORM("doc", true, NULL, form_link, "URL of the runbook, in every page"),                   \
        OTHER("target", FIELD_SELECTOR, true, "what it acts on"),                                  \
        OTHER("actions", FIELD_ACTIONS, true, "a ladder of actions, or named actions for run"),    \
        OTHER("run", FIELD_FUNCTION, false,                                                        \
              "the sequence of steps; without it the list of actions is a ladder"),                \
        OTHER("checks", FIELD_CONDITIONS, false, "named conditions for verify, wait and holds"),   \
        WORDS("mode", false, "shadow", "off|shadow|approve|enforce", "how much it may do"),        \
        OPTION("limit", OPT_RATE, "1 per 1h", "runs per target"),                                  \
        BOUNDED("cooldown", OPT_DURATION, "15m", 0, 30 * DAY, "pause between runs on a target"),   \
        OPTION("policy_limit", OPT_RATE, NULL, "runs of this policy on all targets together"),     \
        OTHER("max_acts", FIELD_MAX_ACTS, false,                                                   \
              "acts in one run: a count, or one per action; default 1 each"),                      \
        OTHER("clear", FIELD_CONDITION, false,                                                     \
              "when it is over; default: `when` false for two intervals"),                         \
        WORDS("page", false, NULL, "at_fire|on_failure",                                           \
              "when a human is paged; default: at_fire for sev1 and sev2"),                        \
        OPTION("inhibits", OPT_LIST, NULL,                                                         \
               "policies held back on the same service while this one fires"),                     \
        BOUNDED("blind_after", OPT_DURATION, "15m", MINUTE, 7 * DAY,                               \
                "how long a source may be unknown before it is reported"),                         \
        BOUNDED("max_targets", OPT_PERCENT_OR_COUNT, "10%", 1, OPTION_NO_MAX,                      \
                "distinct targets acted on within an hour, at least 1"),                           \
        BOUNDED("verify_within", OPT_DURATION, "10m", SECOND, 7 * DAY,                             \
                "how long a verify may take"),                                                     \
        BOUNDED("deadline", OPT_DURATION, "24h", MINUTE, 30 * DAY, "how long a run may take"),     \
        OTHER("window", FIELD_CONDITION, false,                                                    \
              "the change window for disruptive and destructive steps"),                           \
        WORDS("outside", false, "refuse", "wait|refuse",                                           \
              "what such a step does outside the window"),                                         \
        BOUNDED("status_every", OPT_DURATION, NULL, MINUTE, DAY,                                   \
                "status updates while it lasts; default 15m for sev1")

static const struct field policy_fields[] = {
    OTHER("when", FIELD_CONDITION, true, "the condition that fires it"),
    COMMON_FIELDS,
};
static const struct field procedure_fields[] = {
    OTHER("params", FIELD_PARAMS, false,
          "what `start` takes: { name = { type = \"count\", default = 1, help = \"...\" } }"),
    COMMON_FIELDS,
};

/* Of everything with points. */
#define CLOCK_FIELDS                                                                               \
    BOUNDED("lasting", OPT_DURATION, "0s", 0, 30 * DAY,                                            \
            "every sample over this time must satisfy it"),                                        \
        WORDS("missing", false, "hold", "hold|true|false", "what a missing sample counts as"),     \
        OPTION("clear", OPT_NUMBER, NULL,                                                          \
               "in `when`: once true, it is over only with this in the comparator's place")

static const struct field derived_fields[] = {CLOCK_FIELDS};
static const struct field leaf_fields[] = {
    OPTION("above", OPT_NUMBER, NULL, "true while the value is greater"),
    OPTION("below", OPT_NUMBER, NULL, "true while the value is less"),
    OPTION("at_least", OPT_NUMBER, NULL, "true while the value is greater or equal"),
    OPTION("at_most", OPT_NUMBER, NULL, "true while the value is less or equal"),
    OPTION("is", OPT_STRING, NULL, "true while the word is this one"),
    OPTION("is_not", OPT_STRING, NULL, "true while the word is another one"),
    CLOCK_FIELDS,
};

static const struct field action_fields[] = {
    WORDS("approval", false, NULL, "none|required", "whether a human must approve each act"),
    OTHER("approval_unless", FIELD_CONDITION, false, "while this is true, no approval is needed"),
    S("approvers", false, "who may approve; default: anyone"),
    BOUNDED("approval_ttl", OPT_DURATION, "15m", MINUTE, 7 * DAY,
            "how long a request for approval stands"),
    BOUNDED("timeout", OPT_DURATION, "10m", SECOND, DAY,
            "bounds the acceptance of the request; the effect is awaited by verify"),
    BOUNDED("max_acts", OPT_COUNT, NULL, 1, 1000, "acts in one run"),
    OPTION("coexist", OPT_BOOL, "false", "acts although another controller is at work"),
};

static const struct field selector_fields[] = {
    OPTION("name", OPT_LIST, NULL, "these names"),
    OPTION("tag", OPT_MAP, NULL, "these tags, all of them"),
    OPTION("except", OPT_LIST, NULL, "not these names"),
};

static const struct field param_fields[] = {
    WORDS("type", true, NULL, "string|count|number|percent|duration|size|rate|bool", "its type"),
    S("default", false,
      "its value when start does not give it; without it the parameter is required"),
    S("help", false, "one line for the operator"),
};

static const struct field explain_fields[] = {
    {.option = {.name = "at",
                .type = OPT_DURATION,
                .required = true,
                .help = "when it is asked, after the readings of that moment"}},
    S("has", true, "what `runbookctl explain` then prints"),
};
/* The time of a test is bounded, so that none runs for ever. */
static const struct field test_fields[] = {
    S("policy", true, "the policy or procedure that is tested"),
    OTHER("target", FIELD_TABLE, true,
          "what it acts on: { id = \"web-1\", desired = 8 }; its fields are below"),
    OTHER("others", FIELD_TABLE, false, "a list of further targets, written like `target`"),
    OPTION("with", OPT_LIST, NULL, "other policies that are in force beside it"),
    OTHER("params", FIELD_TABLE, false,
          "values of the policies' parameters: { name = value, [\"name@target\"] = value }"),
    WORDS("mode", false, "enforce", "off|shadow|approve|enforce", "the mode of the policies"),
    OPTION("starts_at", OPT_STRING, "2026-09-22T00:00:00Z",
           "the wall clock at 0m, for windows; a Tuesday's midnight, UTC"),
    OTHER("series", FIELD_TABLE, false,
          "readings: { asg_cpu = \"0m:45% 10m:85% 20m:_\", alb_p99 = \"120ms\" }; `_` and what is "
          "not listed is missing; [\"SIGNAL{option=value}\"] and [\"SIGNAL@TARGET\"] are one of "
          "several"),
    OTHER(
        "results", FIELD_TABLE, false,
        "how requests end: { grow = \"refused\" }, or a list for the first, the second, ...: ok, "
        "refused, not_sent, in_doubt_done, in_doubt_not_done, unseen, { result = \"ok\", before = "
        "{ desired = 9 } }"),
    OTHER("changes", FIELD_TABLE, false,
          "what somebody else changes of the target: { [\"20m\"] = { desired = 9 } }"),
    OTHER(
        "operator", FIELD_TABLE, false,
        "what an operator does: { [\"16m\"] = \"approve\" }: approve, deny, cancel, resume, settle "
        "done, settle not-done, freeze, unfreeze, silence 2h, mode shadow, close_breaker, start "
        "name=value"),
    {.option = {.name = "run_for",
                .type = OPT_DURATION,
                .required = true,
                .min = SECOND,
                .max = 31 * DAY,
                .help = "how long the test is, in virtual time"}},
    S("timeline", false,
      "every row, exactly: fire, deny GUARD, act, verify, wait, undo, page, clear, resolve, end "
      "OUTCOME"),
    OPTION("never", OPT_LIST, NULL, "beginnings of rows that must not be there, \"act \""),
    {.option = {.name = "explain", .help = "what explain says at a time; one, or a list of them"},
     .type = FIELD_TABLE,
     .fields = FIELDS(explain_fields)},
};
static const struct field test_target_fields[] = {
    S("id", true, "its name, or \"KIND/NAME\""),
    OPTION("tag", OPT_MAP, NULL, "its tags; default: those that the policy looks for"),
    WORDS("mode", false, NULL, "off|shadow|approve|enforce",
          "the most that any policy may do to it"),
};

static const struct field target_fields[] = {
    OPTION("tag", OPT_MAP, NULL, "what find.x { tag = ... } looks for"),
    {.option =
         {.name = "aws", .type = OPT_TARGET, .words = "aws", .help = "the account it lives in"}},
    WORDS("mode", false, NULL, "off|shadow|approve|enforce",
          "the most that any policy may do to it"),
};

static const struct field storm_fields[] = {
    BOUNDED("episodes", OPT_COUNT, "20", 1, 10000,
            "more than so many become one page, and the agent drops to shadow"),
    BOUNDED("window", OPT_DURATION, "5m", SECOND, DAY, "within this time"),
};
static const struct field pagerduty_fields[] = {
    KEY("routing_key", true, form_routing_key, "the integration key of the service"),
    FORM("url", false, "https://events.pagerduty.com/v2/enqueue", form_url, "where events go"),
    FORM("change_url", false, "https://events.pagerduty.com/v2/change/enqueue", form_url,
         "where notes go"),
};
static const struct field webhook_fields[] = {
    FORM("url", true, NULL, form_url, "where reports are posted to; https, or http to this host"),
    KEY("secret", true, form_webhook_secret,
        "what signs them: whsec_ and the base64 of 24 to 64 bytes"),
    KEY("old_secret", false, form_webhook_secret,
        "the one before it, while it is being replaced: both sign"),
};
static const struct field shadow_sink_fields[] = {
    KEY("routing_key", false, form_routing_key, "key of a service that pages nobody"),
    FORM("url", false, NULL, form_url, "where the reports of shadow runs go"),
    OPTION("file", OPT_STRING, NULL, "a file that they are appended to"),
};
static const struct field http_fields[] = {
    FORM("listen", true, NULL, form_listen,
         "address:port of /healthz, /metrics and /alerts/...; plain HTTP, so best 127.0.0.1:9117"),
    {.option = {.name = "alertmanager",
                .type = OPT_SECRET,
                .help = "the token that Alertmanager's webhook sends (bearer, or a password); "
                        "without it none is taken"}},
    {.option = {.name = "sns_topics",
                .type = OPT_LIST,
                .check = form_topic,
                .help = "ARNs of the topics whose CloudWatch alarms are taken"}},
    OPTION("sns_certs", OPT_STRING, NULL,
           "folder of SNS's signing certificates, by their own names; none is ever fetched"),
};
static const struct field config_fields[] = {
    OPTION("state_dir", OPT_STRING, "/var/lib/runbookd", "where the journal lives"),
    WORDS("mode", false, "shadow", "off|shadow|approve|enforce", "the most that any policy may do"),
    OPTION("estate", OPT_STRING, "estate.lua", "the file of the estate"),
    OPTION("policies", OPT_LIST, "policies",
           "folders and files of policies; a folder's lib/ is what use \"x\" finds"),
    OPTION("environment", OPT_STRING, NULL,
           "params/ENVIRONMENT.lua holds the values of param(...)"),
    OPTION("control", OPT_STRING, "/run/runbookd/control.sock", "the control socket"),
    OPTION("freeze_file", OPT_STRING, "/run/runbookd/freeze", "while it exists, nothing acts"),
    WORDS("log_level", false, "info", "debug|info|warn|error", "what is logged"),
    OPTION("budget", OPT_RATE, "20 per 1h", "acts of the whole agent"),
    OPTION("budget_destructive", OPT_RATE, "5 per 1h", "destructive acts of the whole agent"),
    {.option = {.name = "storm", .help = "when many episodes become one page"},
     .type = FIELD_TABLE,
     .fields = FIELDS(storm_fields)},
    OPTION("max_limit", OPT_RATE, NULL, "the widest `limit` that a policy may have"),
    {.option = {.name = "pagerduty", .help = "the pager"},
     .type = FIELD_TABLE,
     .fields = FIELDS(pagerduty_fields)},
    {.option = {.name = "webhook", .help = "a signed webhook beside the pager"},
     .type = FIELD_TABLE,
     .fields = FIELDS(webhook_fields)},
    {.option = {.name = "http",
                .help = "an HTTP listener: health, metrics, alerts of other monitors"},
     .type = FIELD_TABLE,
     .fields = FIELDS(http_fields)},
    {.option = {.name = "shadow_sink", .help = "where shadow runs report to"},
     .type = FIELD_TABLE,
     .fields = FIELDS(shadow_sink_fields)},
    FORM("dashboard", false, NULL, form_link, "URL prefix of links in reports"),
    OPTION("host", OPT_STRING, NULL, "this host's name in reports; default: the system's"),
    OPTION("operators", OPT_LIST, NULL,
           "users who may change things, beside root; default: who can open the socket, as for "
           "looking "
           "and freezing"),
    FORM("nameserver", false, NULL, form_nameserver,
         "address:port of the resolver; default: the system's"),
    OPTION("ca_file", OPT_STRING, "/etc/ssl/certs/ca-certificates.crt",
           "the certificates that TLS trusts"),
};

const struct schema schema_policy = {"policy", "acts by itself when its condition holds",
                                     FIELDS(policy_fields)};
const struct schema schema_procedure = {"procedure", "is started by an operator, by name",
                                        FIELDS(procedure_fields)};
const struct schema schema_leaf = {"sig.x", "a condition: a signal, one comparator, a duration",
                                   FIELDS(leaf_fields)};
const struct schema schema_derived = {"sig.x", "a condition on a signal that is made of others",
                                      FIELDS(derived_fields)};
const struct schema schema_action = {
    "act.x", "fields that every action takes beside its own options", FIELDS(action_fields)};
const struct schema schema_selector = {"find.x", "which targets a policy is for",
                                       FIELDS(selector_fields)};
const struct schema schema_param = {"params", "one parameter of a procedure", FIELDS(param_fields)};
const struct schema schema_target = {"estate", "fields that every target takes beside its own",
                                     FIELDS(target_fields)};
const struct schema schema_config = {"runbookd", "the agent's configuration",
                                     FIELDS(config_fields)};
const struct schema schema_test = {"test", "a policy in virtual time, with scripted readings",
                                   FIELDS(test_fields)};
const struct schema schema_test_target = {
    "target", "what a test's target takes beside the fields of its kind and the state below",
    FIELDS(test_target_fields)};
const struct schema *const schemas[] = {
    &schema_policy, &schema_procedure, &schema_leaf,   &schema_action, &schema_selector,
    &schema_param,  &schema_target,    &schema_config, &schema_test,   &schema_test_target};
const size_t schemas_len = sizeof schemas / sizeof *schemas;

const struct field *schema_find(const struct schema *s, const char *name)
{
    for (size_t i = 0; i < s->nfields; i++) {
        if (strcmp(s->fields[i].option.name, name) == 0) {
            return &s->fields[i];
        }
    }
    return NULL;
}

const char *field_type_name(const struct field *f)
{
    static const char *const names[] = {"",         "condition", "conditions",   "actions",
                                        "selector", "function",  "count or map", "parameters",
                                        "table"};
    return f->type == FIELD_OPTION ? opt_type_name(f->option.type) : names[f->type];
}

const char *field_type_remedy(const struct field *f)
{
    switch (f->type) {
    case FIELD_CONDITION:
        return "needs a condition: sig.x{...}, all{...}, any{...} or none{...}";
    case FIELD_CONDITIONS:
        return "needs named conditions, write e.g. { healthy = sig.x{...} }";
    case FIELD_ACTIONS:
        return "needs actions, write { act.x{...} } or { name = act.x{...} }";
    case FIELD_SELECTOR:
        return "needs a selector, write e.g. find.asg { tag = { tier = \"web\" } }";
    case FIELD_FUNCTION:
        return "needs a function, write function(r) ... end";
    case FIELD_MAX_ACTS:
        return "needs a whole number or one per action, write e.g. { grow = 3 }";
    case FIELD_PARAMS:
        return "needs typed parameters, write e.g. { count = { type = \"count\", default = 1 } }";
    case FIELD_TABLE:
        return "needs a table, write { ... }";
    case FIELD_OPTION:
        break;
    }
    return opt_type_remedy(f->option.type);
}

enum opt_type schema_threshold(enum unit u)
{
    switch (u) {
    case UNIT_COUNT:
        return OPT_COUNT;
    case UNIT_PERCENT:
        return OPT_PERCENT;
    case UNIT_DURATION:
        return OPT_DURATION;
    case UNIT_SIZE:
        return OPT_SIZE;
    case UNIT_ENUM:
        return OPT_STRING;
    case UNIT_NUMBER:
    case UNIT_PER_MINUTE:
        break;
    }
    return OPT_NUMBER;
}
