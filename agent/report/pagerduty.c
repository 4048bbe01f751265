/* PagerDuty's Events API v2: triggers and resolves by dedup key, notes as change events. */
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "lua/lua.h"
#include "report/sink.h"

/* The API's limits: developer.pagerduty.com/docs/events-api-v2/overview ("Size Limits": 512 KB an
 * event), trigger-events and send-change-events (summary 1024 characters, dedup_key 255). 202 is
 * success; 429, 5xx and no answer are to be tried again. */
#define MAX_EVENT (512 * 1024)
#define MAX_SUMMARY 1024
#define MAX_KEY 255
#define MAX_LINK 2048
#define ROUTING_KEY_LEN 32

/* How much of a report is kept, from the first size that fits. */
static const struct trim {
    size_t text, items;
    bool details;
} trims[] = {{16384, 200, true}, {2048, 50, true}, {256, 10, true}, {256, 0, false}};
#define NTRIMS ((int)(sizeof(trims) / sizeof(trims[0])))

struct pagerduty {
    struct sink_env env;
    char *url, *change_url;
    struct json *secret; /* read again after a refusal: keys are rotated */
    char *key;
};

struct sending {
    struct http_call *call;
    sink_fn *fn;
    void *arg;
    struct pagerduty *self;
};

/* At most max characters of s, cut with an ellipsis; the caller frees. */
static char *cut(const char *s, size_t max)
{
    size_t len = strlen(s), at = 0, chars = 0, last = 0;
    uint32_t cp;

    while (at < len && chars < max) {
        size_t n = utf8_next(s + at, len - at, &cp);
        if (chars + 1 == max)
            last = at;
        at += n ? n : 1;
        chars++;
    }
    if (at >= len)
        return mem_strdup(s);
    return mem_printf("%.*s\xe2\x80\xa6", (int)last, s);
}

static void set_cut(struct json *map, const char *key, const char *s, size_t max)
{
    char *text;

    if (!s || !*s)
        return;
    text = cut(s, max);
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

    return sev[3] >= '1' && sev[3] <= '4' ? words[sev[3] - '1'] : "error";
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

static struct json *details_of(const struct json *report, const struct trim *t)
{
    /* In the order in which they are asked for at 3 a.m. */
    static const char *const texts[] = {"seen",    "since",  "helped",   "next",  "stop",
                                        "doc",     "policy", "target",   "owner", "mode",
                                        "episode", "run",    "severity", "host",  "at"};
    struct json *d = json_new_map();
    const struct json *done = json_get(report, "done"), *chain = json_get(report, "chain");

    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
        set_cut(d, texts[k], json_get_str(report, texts[k], NULL), t->text);
        if (strcmp(texts[k], "since") == 0 && json_len(done) > 0) {
            struct json *list = json_set(d, "done", json_new_list());
            size_t n = 0;
            for (const struct json *i = json_first(done); i && n < t->items;
                 i = json_next(i), n++) {
                char *text = cut(json_str(i, ""), t->text);
                json_add(list, json_new_str(text));
                mem_free(text);
            }
            if (n < json_len(done)) {
                char *more = mem_printf("and %zu more", json_len(done) - n);
                json_add(list, json_new_str(more));
                mem_free(more);
            }
        }
    }
    if (chain) /* as runbookd audit --witness takes it */
        json_set_strf(d, "journal", "%lld:%s", (long long)json_get_int(chain, "seq", 0),
                      json_get_str(chain, "head", ""));
    return d;
}

static struct json *build(const struct json *report, const struct trim *t, bool change)
{
    struct json *e = json_new_map(), *p, *links;
    const char *kind = json_get_str(report, "kind", "note"),
               *target = json_get_str(report, "target", NULL);
    const char *text = json_get_str(report, "summary", "");

    if (!change) {
        bool resolve = strcmp(kind, "resolve") == 0;
        json_set_str(e, "event_action", resolve ? "resolve" : "trigger");
        set_key(e, json_get_str(report, "key", "agent"));
        if (resolve)
            return e;
        json_set_str(e, "client", "runbookd");
        if (json_get_str(report, "link", NULL))
            json_set_str(e, "client_url", json_get_str(report, "link", NULL));
    }
    p = json_set(e, "payload", json_new_map());
    set_cut(p, "summary", *text ? text : "(no text)", t->details ? MAX_SUMMARY : t->text);
    set_cut(p, "source", target ? target : json_get_str(report, "host", "runbookd"), MAX_KEY);
    set_cut(p, "timestamp", json_get_str(report, "at", NULL), 64);
    if (!change) {
        json_set_str(p, "severity", severity(report));
        set_cut(p, "component", json_get_str(report, "policy", NULL), MAX_KEY);
        set_cut(p, "group", json_get_str(report, "owner", NULL), MAX_KEY);
    }
    if (t->details)
        json_set(p, "custom_details", details_of(report, t));
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
    *change = strcmp(json_get_str(report, "kind", "note"), "note") == 0;
    for (int k = trim ? NTRIMS - 2 : 0;; k++) {
        struct json *e = build(report, &trims[k], *change);
        char *text = json_print(e);
        bool fits = strlen(text) + 64 <= MAX_EVENT; /* 64: the routing key */
        mem_free(text);
        if (fits || k == NTRIMS - 1)
            return e;
        json_free(e);
    }
}

/* What the answer's body says, in a line. */
static void body_text(const struct http_answer *a, struct buf *out)
{
    struct err ignored = ERR_INIT;
    struct json *j = json_parse(a->body, a->body_len, 65536, &ignored);
    const struct json *errors = json_get(j, "errors");

    buf_addf(out, "HTTP %d", a->status);
    if (json_get_str(j, "message", NULL))
        buf_addf(out, ", %.200s", json_get_str(j, "message", ""));
    for (const struct json *x = json_first(errors); x; x = json_next(x))
        buf_addf(out, "; %.200s", json_str(x, ""));
    json_free(j);
}

static void answered(void *arg, const struct http_answer *a, const struct err *e)
{
    struct sending *s = arg;
    struct sink_answer out = {SINK_RETRY, -1, false, NULL};
    struct buf text;

    buf_init(&text, 2048);
    if (e && e->code) {
        buf_addf(&text, "%s", e->text);
    } else {
        long after = http_retry_after_s(a, loop_wall_ms(s->self->env.loop));
        body_text(a, &text);
        out.retry_after_ms = after >= 0 ? after * 1000LL : -1;
        out.all = a->status == 429 || a->status == 503;
        if (a->status >= 200 && a->status < 300)
            out.result = SINK_DELIVERED;
        else if (a->status == 400 || a->status == 413 || a->status == 422)
            out.result = SINK_REFUSED;
    }
    out.text = buf_str(&text);
    s->fn(s->arg, &out);
    buf_free(&text);
    mem_free(s);
}

static char *read_key(const struct pagerduty *p, struct err *e)
{
    char *key = NULL;

    if (secret_read(p->secret, &key, e))
        return NULL;
    if (strlen(key) != ROUTING_KEY_LEN) {
        err_set(e, ERR_INPUT, "routing_key: an integration key has %d characters, this one has %zu",
                ROUTING_KEY_LEN, strlen(key));
        mem_free(key);
        return NULL;
    }
    return key;
}

static void *pagerduty_send(void *self, const struct json *report, int trim, sink_fn *fn, void *arg)
{
    struct pagerduty *p = self;
    struct sending *s = mem_alloc(sizeof(*s));
    static const struct http_header headers[] = {{"Content-Type", "application/json"}};
    struct http_request r = {.method = "POST",
                             .headers = headers,
                             .nheaders = 1,
                             .total_ms = p->env.answer_ms,
                             .max_body = 65536,
                             .mutating = true};
    struct err ignored = ERR_INIT;
    bool change;
    struct json *event = pagerduty_event(report, trim, &change);
    char *fresh, *body;

    if (trim && (fresh = read_key(p, &ignored))) {
        mem_free(p->key);
        p->key = fresh;
    }
    json_set_str(event, "routing_key", p->key);
    body = json_print(event);
    r.url = change ? p->change_url : p->url;
    r.body = body;
    r.body_len = strlen(body);
    s->self = p;
    s->fn = fn;
    s->arg = arg;
    s->call = http_send(p->env.http, &r, answered, s);
    json_free(event);
    mem_free(body);
    return s;
}

static void pagerduty_cancel(void *self, void *sending)
{
    struct sending *s = sending;

    (void)self;
    http_cancel(s->call);
    mem_free(s);
}

static void pagerduty_close(void *self)
{
    struct pagerduty *p = self;

    if (p->key)
        explicit_bzero(p->key, strlen(p->key));
    mem_free(p->key);
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
    return p;
}

const struct sink_type pagerduty_sink = {
    .name = "pagerduty",
    .summary = "PagerDuty's Events API v2",
    .open = pagerduty_open,
    .close = pagerduty_close,
    .send = pagerduty_send,
    .cancel = pagerduty_cancel,
};
