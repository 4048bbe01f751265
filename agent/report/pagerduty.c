/* PagerDuty's Events API v2: triggers and resolves by dedup key, notes as change events.
 *
 * Sources (github.com/PagerDuty/developer-docs, docs/events-API-v2, shown at
 * developer.pagerduty.com/docs/events-api-v2):
 * - 01-Overview.md, "Response Codes & Retry Logic": 202 accepted; 400 is not to be retried; 429,
 * 5xx and network errors are, "after some time". "Size Limits": payloads up to 512 KB. "Getting
 * Started": keys of rulesets begin with R and take no change events.
 * - 02-Trigger-Events.md: dedup_key up to 255 characters, payload.summary up to 1024; severity
 * critical, error, warning or info; once an alert is resolved, a resolve of its key is dropped and
 * a trigger opens a new one; later events must come with the same routing key. acknowledge says
 * that a person is at work on it, which is not for a daemon to say: it is never sent.
 * - 03-Change-Events.md: POST to /v2/change/enqueue; no event_action, no dedup_key, no severity;
 * links only. */
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "lua/lua.h"
#include "plugin/form.h"
#include "report/sink.h"

#define MAX_EVENT (512 * 1024)
#define MAX_SUMMARY 1024
#define MAX_KEY 255
#define MAX_LINK 2048
#define ROUTING_KEY_MEMBER (FORM_ROUTING_KEY + 32) /* bytes of "routing_key" in an event */
#define ANSWER_MS 10000

struct pagerduty {
    struct sink_env env;
    char *url, *change_url;
    struct json *secret; /* read again after a refusal: keys are rotated */
    char *key;
};

static void set_cut(struct json *map, const char *key, const char *s, size_t max)
{
    char *text;

    if (!s || !*s)
        return;
    text = text_cut(s, max, NULL);
    json_set_str(map, key, text);
    mem_free(text);
}

/* Keys are ours and short; one that is not is told apart by its hash. */
static void set_key(struct json *event, const char *key)
{
    char digest[SHA256_HEX];

    if (strlen(key) <= MAX_KEY) {
        json_set_str(event, "dedup_key", key);
        return;
    }
    sha256_hex(key, strlen(key), digest);
    json_set_strf(event, "dedup_key", "%.150s#%s", key, digest);
}

static const char *severity(const struct json *report)
{
    static const char *const words[] = {"critical", "error", "warning", "info"};
    const char *sev = json_get_str(report, "severity", "sev2");

    return strlen(sev) == 4 && sev[3] >= '1' && sev[3] <= '4' ? words[sev[3] - '1'] : "error";
}

static void add_link(struct json *links, const char *href, const char *text)
{
    struct json *l;

    if (!href || (strncmp(href, "https://", 8) != 0 && strncmp(href, "http://", 7) != 0) ||
        strlen(href) > MAX_LINK)
        return;
    l = json_add(links, json_new_map());
    json_set_str(l, "href", href);
    json_set_str(l, "text", text);
}

/* In the order in which they are asked for at 3 a.m.; "trimmed" first, so that nobody takes a part
 * for the whole. */
static struct json *details_of(const struct json *report)
{
    static const char *const fields[] = {
        "trimmed", "seen",   "since", "now",  "done",    "helped", "next",     "stop", "doc",
        "policy",  "target", "owner", "mode", "episode", "run",    "severity", "host", "at"};
    struct json *d = json_new_map();
    const struct json *chain = json_get(report, "chain");
    const char *summary = json_get_str(report, "summary", "");

    for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
        const struct json *v = json_get(report, fields[k]);
        if (v && (json_type(v) == JSON_STRING || json_len(v) > 0))
            json_set(d, fields[k], json_copy(v));
    }
    if (chain) /* as runbookd audit --witness takes it */
        json_set_strf(d, "journal", "%lld:%s", (long long)json_get_int(chain, "seq", 0),
                      json_get_str(chain, "head", ""));
    if (strlen(summary) > MAX_SUMMARY)
        json_set_str(d, "summary", summary);
    return d;
}

static bool is_note(const struct json *report)
{
    return strcmp(json_get_str(report, "kind", "note"), "note") == 0;
}

static struct json *build(const struct json *report)
{
    struct json *e = json_new_map(), *p, *links;
    const char *kind = json_get_str(report, "kind", "note"),
               *target = json_get_str(report, "target", NULL);
    const char *text = json_get_str(report, "summary", "");
    bool change = is_note(report);

    if (!change) {
        bool resolve = strcmp(kind, "resolve") == 0;
        json_set_str(e, "event_action", resolve ? "resolve" : "trigger");
        set_key(e, json_get_str(report, "key", "agent"));
        json_set_str(e, "client", "runbookd");
        set_cut(e, "client_url", json_get_str(report, "link", NULL), MAX_LINK);
    }
    p = json_set(e, "payload", json_new_map());
    set_cut(p, "summary", *text ? text : "(no text)", MAX_SUMMARY);
    set_cut(p, "source", target ? target : json_get_str(report, "host", "runbookd"), MAX_KEY);
    set_cut(p, "timestamp", json_get_str(report, "at", NULL), 64);
    if (!change) {
        json_set_str(p, "severity", severity(report));
        set_cut(p, "component", json_get_str(report, "policy", NULL), MAX_KEY);
        set_cut(p, "group", json_get_str(report, "owner", NULL), MAX_KEY);
    }
    json_set(p, "custom_details", details_of(report));
    links = json_new_list();
    add_link(links, json_get_str(report, "doc", NULL), "runbook");
    add_link(links, json_get_str(report, "link", NULL), "episode");
    if (json_len(links) > 0)
        json_set(e, "links", links);
    else
        json_free(links);
    return e;
}

struct json *pagerduty_event(const struct json *report, int trim, bool *change)
{
    *change = is_note(report);
    /* What was too large all the same (413, which a proxy may say) is an eighth the next time. */
    return report_build(
        report, (size_t)(MAX_EVENT >> (3 * (trim < 3 ? trim : 3))) - ROUTING_KEY_MEMBER, build);
}

static char *read_key(const struct pagerduty *p, struct err *e)
{
    char *key = NULL;

    if (secret_read(p->secret, &key, e))
        return NULL;
    if (form_routing_key(key, e)) {
        err_wrap(e, "routing_key");
        mem_free(key);
        return NULL;
    }
    return key;
}

static void drop_key(char *key)
{
    if (key)
        explicit_bzero(key, strlen(key));
    mem_free(key);
}

static enum sink_result judge(void *self, const struct http_answer *a)
{
    struct pagerduty *p = self;
    struct err ignored = ERR_INIT;
    char *fresh;

    if (a->status >= 200 && a->status < 300)
        return SINK_DELIVERED;
    if (a->status == 413)
        return SINK_TOO_LARGE;
    if (a->status != 400)
        return SINK_RETRY;
    /* Refused for good, unless it was the key's fault and there is a new one: that is another
     * request. */
    fresh = read_key(p, &ignored);
    if (!fresh || strcmp(fresh, p->key) == 0) {
        drop_key(fresh);
        return SINK_REFUSED;
    }
    log_info("report", "pagerduty: the routing key has changed, the new one is used from now on");
    drop_key(p->key);
    p->key = fresh;
    return SINK_RETRY;
}

static void *pagerduty_send(void *self, const struct json *report, int trim, sink_fn *fn, void *arg)
{
    struct pagerduty *p = self;
    static const struct http_header headers[] = {{"Content-Type", "application/json"}};
    struct http_request r = {.method = "POST",
                             .headers = headers,
                             .nheaders = 1,
                             .total_ms = p->env.answer_ms ? p->env.answer_ms : ANSWER_MS,
                             .max_body = SINK_ANSWER_MAX,
                             .by_status = true,
                             .mutating = true};
    bool change;
    struct json *event = pagerduty_event(report, trim, &change);
    char *body;
    void *sending;

    json_set_str(event, "routing_key", p->key);
    body = json_print(event);
    r.url = change ? p->change_url : p->url;
    r.body = body;
    r.body_len = strlen(body);
    sending = sink_post(&p->env, &r, judge, p, fn, arg);
    json_free(event);
    mem_free(body);
    return sending;
}

static void pagerduty_close(void *self)
{
    struct pagerduty *p = self;

    drop_key(p->key);
    mem_free(p->url);
    mem_free(p->change_url);
    json_free(p->secret);
    mem_free(p);
}

static void *pagerduty_open(const struct sink_env *env, const struct json *config, struct err *e)
{
    struct pagerduty *p = mem_alloc(sizeof(*p));
    const char *url = json_get_str(config, "url", "https://events.pagerduty.com/v2/enqueue");
    const char *change = json_get_str(config, "change_url", NULL);
    const char *tail = strstr(url, "/v2/enqueue");

    p->env = *env;
    p->url = mem_strdup(url);
    /* Where only one URL is given, notes go to the change endpoint beside it. */
    p->change_url = change ? mem_strdup(change)
                    : tail ? mem_printf("%.*s/v2/change/enqueue", (int)(tail - url), url)
                           : mem_strdup("https://events.pagerduty.com/v2/change/enqueue");
    p->secret = json_copy(json_get(config, "routing_key"));
    p->key = read_key(p, e);
    if (!p->key) {
        pagerduty_close(p);
        return NULL;
    }
    if (p->key[0] == 'R')
        log_warn("report", "pagerduty: the routing key begins with R, so it is a ruleset's: "
                           "PagerDuty takes no change events (notes) with it; use a service's "
                           "integration key");
    return p;
}

const struct sink_type pagerduty_sink = {
    .name = "pagerduty",
    .summary = "PagerDuty's Events API v2",
    .open = pagerduty_open,
    .close = pagerduty_close,
    .send = pagerduty_send,
    .cancel = sink_post_cancel,
};
