/* A signed webhook to whoever wants to know: Standard Webhooks 1.0.0.
 *
 * Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. What is signed
 * is ID.TIMESTAMP.BODY with HMAC-SHA256; headers webhook-id (the same at each attempt),
 * webhook-timestamp (of the attempt, unix seconds), webhook-signature (a list "v1,BASE64
 * v1,BASE64": one a secret, so that secrets can be rotated); secrets are whsec_ and the base64 of
 * 24 to 64 bytes. 2xx is success; redirects are not followed; 410 disables the endpoint; 429, 502,
 * 504 and Retry-After throttle; everything else is a failure and is tried again, for days.
 * Time-outs of 15 to 30 s, payloads below 20 kB are recommended. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/lua.h"
#include "plugin/form.h"
#include "report/sink.h"

#define MAX_BODY (20 * 1000)
#define ANSWER_MS 20000
#define GIVE_UP_MS (3 * 24 * 3600 * 1000LL)
#define MAX_SECRETS 2 /* the one in force, and the one before it */

struct secret {
    uint8_t key[FORM_WEBHOOK_MAX];
    size_t len;
};

struct webhook {
    struct sink_env env;
    char *url;
    struct json *config; /* the secrets are read again when the other side does not accept them:
                            they are rotated */
    struct secret secrets[MAX_SECRETS];
    size_t nsecrets;
};

static const char *const secret_names[MAX_SECRETS] = {"secret", "old_secret"};

static int read_one(const struct json *config, const char *name, struct secret *out, struct err *e)
{
    char *text = NULL;
    int rc = secret_read(json_get(config, name), &text, e);

    if (rc)
        return err_wrap(e, "%s", name);
    if (form_webhook_bytes(text, out->key, &out->len, e))
        rc = err_wrap(e, "%s", name);
    explicit_bzero(text, strlen(text));
    mem_free(text);
    return rc;
}

/* All or nothing: what was in force stays when one cannot be read. True: they are others than
 * before. */
static bool read_secrets(struct webhook *w, struct err *e)
{
    struct secret fresh[MAX_SECRETS] = {{.len = 0}};
    size_t n = 0;
    bool other = false;

    for (size_t k = 0; k < MAX_SECRETS; k++)
        if (json_get(w->config, secret_names[k]) &&
            read_one(w->config, secret_names[k], &fresh[n++], e))
            goto out;
    other = n != w->nsecrets || memcmp(fresh, w->secrets, sizeof(fresh)) != 0;
    memcpy(w->secrets, fresh, sizeof(fresh));
    w->nsecrets = n;
out:
    explicit_bzero(fresh, sizeof(fresh));
    return other;
}

/* The same for each attempt, also after a restart; another for each report of each host. No full
 * stop may be in it. */
static void make_id(const struct json *report, const char *host, char out[SHA256_HEX + 8])
{
    char *what = mem_printf("%s/%s/%s/%s/%lld", host, json_get_str(report, "id", ""),
                            json_get_str(report, "key", ""), json_get_str(report, "kind", ""),
                            (long long)json_get_int(report, "wall_ms", 0));
    char hex[SHA256_HEX];

    sha256_hex(what, strlen(what), hex);
    snprintf(out, SHA256_HEX + 8, "msg_%.32s", hex);
    mem_free(what);
}

/* Each type has the same schema: docs/webhook.schema.json. A field that is not known is null, never
 * left out. */
static struct json *build(const struct json *report)
{
    static const struct {
        const char *kind, *type;
    } types[] = {{"trigger", "runbookd.episode.triggered"},
                 {"note", "runbookd.episode.noted"},
                 {"resolve", "runbookd.episode.resolved"},
                 {"human", "runbookd.human.called"}};
    static const char *const fields[] = {"key",   "kind",   "summary", "severity", "policy",
                                         "owner", "target", "host",    "mode",     "episode",
                                         "run",   "seen",   "since",   "now",      "helped",
                                         "next",  "stop",   "doc",     "link"};
    const char *kind = json_get_str(report, "kind", "note");
    const struct json *chain = json_get(report, "chain");
    struct json *e = json_new_map(), *d;

    for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++)
        if (strcmp(types[k].kind, kind) == 0)
            json_set_str(e, "type", types[k].type);
    json_set_str(e, "timestamp", json_get_str(report, "at", NULL));
    d = json_set(e, "data", json_new_map());
    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++)
        json_set_str(d, fields[k], json_get_str(report, fields[k], NULL));
    json_set(d, "done",
             json_type(json_get(report, "done")) == JSON_LIST ? json_copy(json_get(report, "done"))
                                                              : json_new_list());
    json_set(d, "trimmed",
             json_type(json_get(report, "trimmed")) == JSON_MAP
                 ? json_copy(json_get(report, "trimmed"))
                 : json_new_map());
    if (chain)
        json_set_strf(d, "journal", "%lld:%s", (long long)json_get_int(chain, "seq", 0),
                      json_get_str(chain, "head", ""));
    else
        json_set(d, "journal", json_new_null());
    return e;
}

struct json *webhook_event(const struct json *report, int trim)
{
    return report_build(report, (size_t)(MAX_BODY >> (trim < 2 ? trim : 2)), build);
}

static enum sink_result judge(void *self, const struct http_answer *a)
{
    struct webhook *w = self;
    struct err e = ERR_INIT;

    if (a->status >= 200 && a->status < 300)
        return SINK_DELIVERED;
    if (a->status == 410)
        return SINK_GONE;
    if (a->status == 413)
        return SINK_TOO_LARGE;
    if (a->status == 400 || a->status == 401 || a->status == 403) {
        if (read_secrets(w, &e))
            log_info("report",
                     "webhook: the secrets have changed, the new ones are used from now on");
        else if (e.code)
            log_warn("report", "webhook: HTTP %d, and the secrets cannot be read again: %s",
                     a->status, e.text);
    }
    return SINK_RETRY;
}

static void *webhook_send(void *self, const struct json *report, int trim, sink_fn *fn, void *arg)
{
    struct webhook *w = self;
    struct json *event = webhook_event(report, trim);
    char *body = json_print(event), *content, id[SHA256_HEX + 8], at[24];
    struct buf signatures;
    void *sending;

    make_id(report, w->env.host, id);
    snprintf(at, sizeof(at), "%lld", (long long)(loop_wall_ms(w->env.loop) / 1000));
    content = mem_printf("%s.%s.%s", id, at, body);
    buf_init(&signatures, 512);
    for (size_t k = 0; k < w->nsecrets; k++) {
        uint8_t mac[SHA256_LEN];
        char *text;
        hmac_sha256(w->secrets[k].key, w->secrets[k].len, content, strlen(content), mac);
        text = base64_encode(mac, sizeof(mac));
        buf_addf(&signatures, "%sv1,%s", k ? " " : "", text);
        mem_free(text);
    }
    {
        const struct http_header headers[] = {{"Content-Type", "application/json"},
                                              {"webhook-id", id},
                                              {"webhook-timestamp", at},
                                              {"webhook-signature", buf_str(&signatures)}};
        const struct http_request r = {.method = "POST",
                                       .url = w->url,
                                       .headers = headers,
                                       .nheaders = sizeof(headers) / sizeof(headers[0]),
                                       .body = body,
                                       .body_len = strlen(body),
                                       .total_ms = w->env.answer_ms ? w->env.answer_ms : ANSWER_MS,
                                       .max_body = SINK_ANSWER_MAX,
                                       .by_status = true,
                                       .mutating = true};
        sending = sink_post(&w->env, &r, judge, w, fn, arg);
    }
    buf_free(&signatures);
    mem_free(content);
    mem_free(body);
    json_free(event);
    return sending;
}

static void webhook_close(void *self)
{
    struct webhook *w = self;

    explicit_bzero(w->secrets, sizeof(w->secrets));
    json_free(w->config);
    mem_free(w->url);
    mem_free(w);
}

static void *webhook_open(const struct sink_env *env, const struct json *config, struct err *e)
{
    struct webhook *w = mem_alloc(sizeof(*w));

    w->env = *env;
    w->url = mem_strdup(json_get_str(config, "url", ""));
    w->config = json_copy(config);
    read_secrets(w, e);
    if (w->nsecrets == 0) {
        webhook_close(w);
        return NULL;
    }
    return w;
}

const struct sink_type webhook_sink = {
    .name = "webhook",
    .summary = "a signed webhook (Standard Webhooks)",
    .give_up_ms = GIVE_UP_MS,
    .open = webhook_open,
    .close = webhook_close,
    .send = webhook_send,
    .cancel = sink_post_cancel,
};
