/* Formats: prometheus.io/docs/alerting/latest/configuration ("webhook_config", version "4");
 * docs.aws.amazon.com/sns/latest/dg: "Parsing Amazon SNS message formats" and "Verifying the
 * signatures of Amazon SNS messages" (what is signed, in which order; SignatureVersion 2 is
 * SHA-256). */
#include "serve/receive.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/signature.h"
#include "lua/lua.h"

#define MAX_BODY (1 << 20)
#define MAX_SIGNED (512 * 1024)
#define AHEAD_MS (5 * 60 * 1000LL) /* how far their clock may be ahead of ours */
#define OLDEST_MS                                                                                  \
    (60 * 60 * 1000LL) /* SNS gives a delivery up after less than an hour ("HTTP/HTTPS delivery    \
                          policies", the default) */
#define MIN_TOKEN 16
#define COMPLAIN_MS (60 * 1000LL)
#define TOLD_EACH 10 /* of one message; of the rest the number is told */

struct receiver {
    struct receiver_options o;
    bool alertmanager; /* there is a token */
    uint8_t token[SHA256_LEN];
    struct json *topics;
    char *certs;
    uint64_t accepted, refused;
    int64_t complain_ms;
};

/* Refusals are many when somebody tries; one a minute is told. */
static void refuse(struct receiver *r, struct httpd_reply *out, int status, const char *what,
                   const char *why)
{
    int64_t now = loop_boot_ms(r->o.loop);

    r->refused++;
    out->status = status;
    buf_addf(&out->body, "refused: %s\n", why);
    if (now < r->complain_ms)
        return;
    r->complain_ms = now + COMPLAIN_MS;
    log_warn("alerts", "%s refused: %s (%llu so far)", what, why, (unsigned long long)r->refused);
}

static void marked(void *arg, const char *denied, const struct err *e)
{
    (void)arg;
    (void)denied;
    if (e && e->code)
        log_warn("alerts",
                 "which alerts fire cannot be written: %s; after a restart this one may be unknown",
                 e->text);
}

/* What one message changes: one transaction, however many alerts it has. */
struct changes {
    struct jtx *tx; /* NULL: nothing yet */
    size_t n;
};

static void remember(struct receiver *r, struct changes *c, const struct alert *a)
{
    char *key = mem_printf("%s/%s", a->source, a->id);
    struct json *d = json_new_map();

    json_set_str(d, "source", a->source);
    json_set_str(d, "id", a->id);
    json_set(d, "labels", json_copy(a->labels));
    json_set_bool(d, "firing", a->firing);
    json_set_int(d, "since_ms", a->since_ms);
    if (!c->tx)
        c->tx = jtx_new(r->o.now_ms(r->o.arg), loop_wall_ms(r->o.loop));
    jtx_put(c->tx, "alert", key, d, a->firing);
    mem_free(key);
}

/* NULL, or why it is not taken. */
static const char *take(struct receiver *r, struct changes *c, const struct alert *a)
{
    switch (alerts_put(r->o.alerts, a)) {
    case ALERTS_FULL:
        return "more alerts than can be kept";
    case ALERTS_NEW:
        if (c->n++ < TOLD_EACH)
            log_info(
                "alerts", "%s: %s %s", a->source,
                json_get_str(a->labels, "alertname", json_get_str(a->labels, "AlarmName", a->id)),
                a->firing ? "fires" : "is over");
        remember(r, c, a);
        break;
    case ALERTS_SAME:
    case ALERTS_OLD:
        break;
    }
    return NULL;
}

static void taken(struct receiver *r, const struct changes *c)
{
    if (c->n > TOLD_EACH)
        log_info("alerts", "%zu more of the same message fire or are over", c->n - TOLD_EACH);
    if (c->tx)
        r->o.journal->ops->submit(r->o.journal, c->tx, marked, NULL);
}

static bool labels_ok(const struct json *labels)
{
    if (json_type(labels) != JSON_MAP || json_len(labels) == 0 || json_len(labels) > 100)
        return false;
    for (const struct json *l = json_first(labels); l; l = json_next(l))
        if (json_type(l) != JSON_STRING)
            return false;
    return true;
}

/* Alertmanager */

static bool proven(const struct receiver *r, const struct httpd_request *q)
{
    const char *have = httpd_header(q, "Authorization");
    uint8_t digest[SHA256_LEN];
    char text[1024], *token = NULL;
    size_t len = 0;

    if (!have)
        return false;
    if (strncasecmp(have, "Bearer ", 7) == 0) {
        snprintf(text, sizeof(text), "%s", have + 7);
        token = text;
    } else if (strncasecmp(have, "Basic ", 6) == 0 &&
               base64_decode(have + 6, text, sizeof(text) - 1, &len) == 0) {
        text[len] = 0;
        token = strchr(text, ':');
        token = token ? token + 1 : NULL;
    }
    if (!token)
        return false;
    sha256(token, strlen(token), digest); /* of digests the time tells nothing */
    explicit_bzero(text, sizeof(text));
    return memcmp(digest, r->token, sizeof(digest)) == 0;
}

/* One of its list: NULL, or what is wrong with it. */
static const char *read_alert(const struct json *j, int64_t now, struct alert *a)
{
    const char *status = json_get_str(j, "status", ""), *ends = json_get_str(j, "endsAt", NULL);
    int64_t ends_ms = 0;

    *a = (struct alert){.source = "alertmanager",
                        .id = json_get_str(j, "fingerprint", ""),
                        .labels = json_get(j, "labels"),
                        .heard_ms = now};
    a->firing = strcmp(status, "firing") == 0;
    if (!a->firing && strcmp(status, "resolved") != 0)
        return "status is neither firing nor resolved";
    if (!labels_ok(a->labels))
        return "labels is no map of strings";
    if (strlen(a->id) == 0 || strlen(a->id) > 64 ||
        strspn(a->id, "0123456789abcdefABCDEF") != strlen(a->id))
        return "fingerprint is none";
    if (time_parse_iso(json_get_str(j, "startsAt", ""), &a->since_ms))
        return "startsAt is no time";
    if (a->since_ms > now + AHEAD_MS)
        return "startsAt is in the future: is a clock wrong?";
    /* Of one that fires it is 0001-01-01T00:00:00Z where nobody set it. */
    if (ends && strncmp(ends, "0001-", 5) != 0 && time_parse_iso(ends, &ends_ms))
        return "endsAt is no time";
    a->ends_ms = a->firing ? ends_ms : 0;
    return NULL;
}

void receive_alertmanager(struct receiver *r, const struct httpd_request *q,
                          struct httpd_reply *out)
{
    static const char what[] = "a webhook of Alertmanager";
    int64_t now = loop_wall_ms(r->o.loop);
    struct err e = ERR_INIT;
    struct json *j = NULL;
    const struct json *list;
    struct changes changes = {0};
    struct alert a;
    const char *why = NULL;

    if (!r->alertmanager) {
        refuse(r, out, 404, what,
               "none is expected: http = { alertmanager = secret.file \"...\" } in runbookd.lua");
        return;
    }
    if (!proven(r, q)) {
        refuse(r, out, 401, what, "it has not the token");
        return;
    }
    j = json_parse(q->body, q->body_len, MAX_BODY, &e);
    list = json_get(j, "alerts");
    if (!j)
        why = e.text;
    else if (strcmp(json_get_str(j, "version", ""), "4") != 0)
        why = "its version is not \"4\"";
    else if (json_type(list) != JSON_LIST)
        why = "alerts is no list";
    for (const struct json *i = why ? NULL : json_first(list); i && !why; i = json_next(i))
        why = read_alert(i, now, &a); /* all or none */
    for (const struct json *i = why ? NULL : json_first(list); i && !why; i = json_next(i)) {
        (void)read_alert(i, now, &a);
        why = take(r, &changes, &a);
    }
    taken(r, &changes);
    if (why) {
        refuse(r, out, 400, what, why);
    } else {
        r->accepted++;
        if (json_get_int(j, "truncatedAlerts", 0) > 0)
            log_warn("alerts",
                     "Alertmanager left out %lld alerts of a group: max_alerts of its webhook is "
                     "too small",
                     (long long)json_get_int(j, "truncatedAlerts", 0));
        buf_adds(&out->body, "ok\n");
    }
    json_free(j);
}

/* SNS */

static bool listed(const struct json *list, const char *text)
{
    for (const struct json *i = json_first(list); i; i = json_next(i))
        if (strcmp(json_str(i, ""), text) == 0)
            return true;
    return false;
}

/* The file that a certificate's URL stands for, if it is one of SNS in the topic's region; the URL
 * itself is never asked. */
static char *cert_file(const struct receiver *r, const char *url, const char *topic)
{
    static const char name[] = "/SimpleNotificationService-";
    char region[32] = "", host[80];
    size_t n;

    if (sscanf(topic, "arn:%*[a-z-]:sns:%31[a-z0-9-]:", region) != 1)
        return NULL;
    snprintf(host, sizeof(host), "https://sns.%s.amazonaws.com", region);
    n = strlen(host);
    if (strncmp(url, host, n) != 0)
        return NULL;
    if (strncmp(url + n, ".cn/", 4) == 0)
        n += 3;
    if (strncmp(url + n, name, sizeof(name) - 1) != 0)
        return NULL;
    if (strspn(url + n + sizeof(name) - 1, "0123456789abcdef") != 32 ||
        strcmp(url + n + sizeof(name) - 1 + 32, ".pem") != 0)
        return NULL;
    return mem_printf("%s%s", r->certs, url + n);
}

static int signed_text(const struct json *j, struct buf *out)
{
    static const char *const notification[] = {"Message",  "MessageId", "Subject", "Timestamp",
                                               "TopicArn", "Type",      NULL};
    static const char *const confirmation[] = {"Message", "MessageId", "SubscribeURL", "Timestamp",
                                               "Token",   "TopicArn",  "Type",         NULL};
    const char *const *names =
        strcmp(json_get_str(j, "Type", ""), "Notification") == 0 ? notification : confirmation;

    for (; *names; names++) {
        const char *v = json_get_str(j, *names, NULL);
        if (!v && strcmp(*names, "Subject") == 0)
            continue;
        if (!v)
            return -1;
        buf_addf(out, "%s\n", *names);
        buf_addf(out, "%s\n", v);
    }
    return out->overflow ? -1 : 0;
}

/* NULL: it is SNS's and of a topic that is expected; else why not. */
static const char *check_sns(struct receiver *r, const struct json *j, int64_t now, struct err *e)
{
    const char *type = json_get_str(j, "Type", ""), *topic = json_get_str(j, "TopicArn", ""),
               *signature = json_get_str(j, "Signature", "");
    uint8_t raw[1024];
    size_t len = 0;
    int64_t at = 0;
    struct buf text;
    const char *why = NULL;
    char *file = NULL;

    if (strcmp(type, "Notification") != 0 && strcmp(type, "SubscriptionConfirmation") != 0 &&
        strcmp(type, "UnsubscribeConfirmation") != 0)
        return "Type is none of SNS";
    if (!listed(r->topics, topic))
        return "its topic is not in sns_topics";
    if (strcmp(json_get_str(j, "SignatureVersion", ""), "2") != 0)
        return "it is not signed with SHA-256: aws sns set-topic-attributes --attribute-name "
               "SignatureVersion --attribute-value 2";
    if (time_parse_iso(json_get_str(j, "Timestamp", ""), &at))
        return "Timestamp is no time";
    if (at > now + AHEAD_MS || at < now - OLDEST_MS)
        return "Timestamp is more than an hour old, or in the future: a repetition, or a wrong "
               "clock";
    if (base64_decode(signature, raw, sizeof(raw), &len) || len == 0)
        return "Signature is no base64";
    file = cert_file(r, json_get_str(j, "SigningCertURL", ""), topic);
    if (!file)
        return "SigningCertURL is no certificate of SNS in the topic's region";
    buf_init(&text, MAX_SIGNED);
    if (signed_text(j, &text))
        why = "a field that is signed is missing or too long";
    else if (signature_check(file, buf_str(&text), text.len, raw, len, now, e)) {
        if (e->code == ERR_NOT_FOUND)
            err_set(e, ERR_NOT_FOUND,
                    "its certificate is not in sns_certs: if AWS has a new one, put it there "
                    "yourself as %s (it is never fetched)",
                    file);
        why = e->text;
    }
    buf_free(&text);
    mem_free(file);
    return why;
}

static const char *take_alarm(struct receiver *r, const char *text, int64_t now)
{
    struct err e = ERR_INIT;
    struct json *m = json_parse(text, strlen(text), MAX_BODY, &e), *labels;
    static const char *const names[] = {"AlarmName", "AlarmArn", "AWSAccountId", "Region"};
    const char *state = json_get_str(m, "NewStateValue", ""), *why = NULL;
    const struct json *trigger = json_get(m, "Trigger");
    struct alert a = {.source = "cloudwatch_alarm",
                      .id = json_get_str(m, "AlarmArn", ""),
                      .heard_ms = now,
                      .firing = strcmp(state, "ALARM") == 0};
    struct changes changes = {0};

    if (!m || !*a.id || strlen(a.id) > 512 || !json_get_str(m, "AlarmName", NULL) ||
        time_parse_iso(json_get_str(m, "StateChangeTime", ""), &a.since_ms) ||
        (strcmp(state, "ALARM") != 0 && strcmp(state, "OK") != 0 &&
         strcmp(state, "INSUFFICIENT_DATA") != 0)) {
        json_free(m);
        return "its message is no CloudWatch alarm";
    }
    labels = json_new_map();
    for (const struct json *d = json_first(json_get(trigger, "Dimensions")); d; d = json_next(d))
        if (json_get_str(d, "name", NULL) && json_get_str(d, "value", NULL))
            json_set_str(labels, json_get_str(d, "name", ""), json_get_str(d, "value", ""));
    if (json_get_str(trigger, "Namespace", NULL))
        json_set_str(labels, "Namespace", json_get_str(trigger, "Namespace", ""));
    if (json_get_str(trigger, "MetricName", NULL))
        json_set_str(labels, "MetricName", json_get_str(trigger, "MetricName", ""));
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
        if (json_get_str(m, names[k], NULL))
            json_set_str(labels, names[k], json_get_str(m, names[k], ""));
    a.labels = labels;
    /* INSUFFICIENT_DATA says that CloudWatch does not know: one that fired is then neither over nor
     * known to go on. */
    if (strcmp(state, "INSUFFICIENT_DATA") == 0) {
        a.firing = true;
        a.ends_ms = a.since_ms;
        if (alerts_firing(r->o.alerts, a.source, labels, now, INT64_MAX, (char[8]){0}, 8) == 0) {
            a.firing = false;
            a.ends_ms = 0;
        }
    }
    why = take(r, &changes, &a);
    taken(r, &changes);
    json_free(labels);
    json_free(m);
    return why;
}

void receive_sns(struct receiver *r, const struct httpd_request *q, struct httpd_reply *out)
{
    static const char what[] = "a message of SNS";
    int64_t now = loop_wall_ms(r->o.loop);
    struct err e = ERR_INIT;
    struct json *j;
    const char *why, *type;

    if (json_len(r->topics) == 0 || !r->certs) {
        refuse(r, out, 404, what,
               "none is expected: http = { sns_topics = { \"arn:...\" }, sns_certs = \"...\" } in "
               "runbookd.lua");
        return;
    }
    j = json_parse(q->body, q->body_len, MAX_BODY, &e);
    why = j ? check_sns(r, j, now, &e) : e.text;
    type = json_get_str(j, "Type", "");
    if (why) {
        refuse(r, out, 403, what, why);
    } else if (strcmp(type, "Notification") == 0) {
        why = take_alarm(r, json_get_str(j, "Message", ""), now);
        if (why)
            refuse(r, out, 400, what, why);
    } else if (strcmp(type, "SubscriptionConfirmation") == 0) {
        log_warn("alerts",
                 "the topic %s asks whether it may send here; runbookd confirms nothing by itself. "
                 "If you want it: aws sns confirm-subscription --topic-arn %s --token %s",
                 json_get_str(j, "TopicArn", ""), json_get_str(j, "TopicArn", ""),
                 json_get_str(j, "Token", ""));
    } else {
        log_warn("alerts", "the topic %s sends here no more", json_get_str(j, "TopicArn", ""));
    }
    if (!why) {
        r->accepted++;
        buf_adds(&out->body, "ok\n");
    }
    json_free(j);
}

/* Making and ending */

static bool restore_one(void *arg, const char *key, const struct json *doc)
{
    struct receiver *r = arg;
    struct alert a = {.source = json_get_str(doc, "source", ""),
                      .id = json_get_str(doc, "id", ""),
                      .labels = json_get(doc, "labels"),
                      .firing = true,
                      .since_ms = json_get_int(doc, "since_ms", 0)};

    (void)key;
    (void)alerts_put(r->o.alerts, &a); /* heard_ms 0: unknown until it is heard of again */
    return true;
}

struct receiver *receiver_new(const struct receiver_options *o, struct err *e)
{
    struct receiver *r = mem_alloc(sizeof(*r));
    const struct json *secret = json_get(o->config, "alertmanager");
    char *token = NULL;

    r->o = *o;
    r->o.config = NULL;
    r->topics = json_copy(json_get(o->config, "sns_topics"));
    r->certs = mem_strdup(json_get_str(o->config, "sns_certs", NULL));
    if (secret && secret_read(secret, &token, e)) {
        err_wrap(e, "http.alertmanager");
        goto fail;
    }
    if (token && strlen(token) < MIN_TOKEN) {
        err_set(e, ERR_INPUT,
                "http.alertmanager: the token has fewer than %d characters; make one with: openssl "
                "rand -hex 24",
                MIN_TOKEN);
        goto fail;
    }
    if (token) {
        r->alertmanager = true;
        sha256(token, strlen(token), r->token);
    }
    if (o->journal->ops->each_open(o->journal, "alert", restore_one, r, e))
        goto fail;
    if (token)
        explicit_bzero(token, strlen(token));
    mem_free(token);
    return r;
fail:
    mem_free(token);
    receiver_free(r);
    return NULL;
}

void receiver_free(struct receiver *r)
{
    if (!r)
        return;
    json_free(r->topics);
    mem_free(r->certs);
    mem_free(r);
}

struct json *receiver_status(const struct receiver *r)
{
    struct json *d = json_new_map();

    json_set_int(d, "accepted", (int64_t)r->accepted);
    json_set_int(d, "refused", (int64_t)r->refused);
    json_set_int(d, "known", (int64_t)alerts_count(r->o.alerts));
    return d;
}
