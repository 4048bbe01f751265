/* Whether a URL answers as it should: how many probes in a row have failed. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "io/http.h"
#include "shared_probe.h"
#include "shared_source.h"

#define BODY_MAX (256u << 10) /* a page that tells a health is small */
/* A point is of when it was asked, and comes when its probe has ended: so much later, and so much
 * lag it has. */
#define TIMEOUT_MAX_MS 10000

/* Where a series asks: the option url, or what the service says. */
static const char *url_of(const struct watch *w)
{
    return json_get_str(w->opts, "url", json_get_str(w->target->fields, "url", NULL));
}

static const char *ca_of(const struct watch *w)
{
    return json_get_str(w->opts, "ca_file", json_get_str(w->target->fields, "ca_file", NULL));
}

/* Whether a status is within "200-399" or "200,204,301-302": 1, 0, or -1 for what is no such list.
 */
static int expected(const char *list, long status)
{
    int found = 0;

    for (const char *at = list;; at++) {
        long from, to;
        char *end;

        if (!isdigit((unsigned char)*at))
            return -1;
        from = to = strtol(at, &end, 10);
        if (*end == '-' && isdigit((unsigned char)end[1]))
            to = strtol(end + 1, &end, 10);
        if (from < 100 || to > 599 || from > to || (*end != ',' && *end != '\0'))
            return -1;
        if (status >= from && status <= to)
            found = 1;
        if (*end == '\0')
            return found;
        at = end;
    }
}

static char *http_key(const struct estate *e, const struct watch *w, const char **why)
{
    const char *url = url_of(w), *ca = ca_of(w), *expect = json_get_str(w->opts, "expect", "");

    (void)e;
    if (url == NULL || *url == '\0') {
        *why = "the service has no url in the estate: give it url = \"https://...\"";
        return NULL;
    }
    if (expected(expect, 0) < 0) {
        *why = "expect is no list of status codes: write e.g. \"200-399\" or \"200,204\"";
        return NULL;
    }
    return mem_printf("%s\n%s\n%s\n%lld\n%s", url, expect, json_get_str(w->opts, "body", ""),
                      (long long)json_get_int(w->opts, "timeout", 0), ca != NULL ? ca : "");
}

static void failed(struct probe *p)
{
    probe_sample(p, ++p->failures);
}

/* What the service did is told from what only says something of us: that no DNS server answered,
 * that the URL or the CA file is none, that memory or what we read is at its limit. */
static void answered(void *arg, const struct http_answer *a, const struct err *e)
{
    struct probe *p = arg;
    const char *body = json_get_str(p->w->opts, "body", NULL);

    if (e != NULL) {
        if ((a->no_address && e->code != ERR_NOT_FOUND) || e->code == ERR_BUG ||
            e->code == ERR_LIMIT || (e->code == ERR_INPUT && !a->request_left))
            probe_unknown(p, e->text);
        else
            failed(p);
        return;
    }
    if (expected(json_get_str(p->w->opts, "expect", ""), a->status) != 1 ||
        (body != NULL && memmem(a->body, a->body_len, body, strlen(body)) == NULL)) {
        failed(p);
        return;
    }
    p->failures = 0;
    probe_sample(p, 0);
}

static void http_begin(struct probe *p, const struct collector_host *h, const struct estate *e)
{
    struct http_request r = {.method = "GET",
                             .url = url_of(p->w),
                             .mutating = true, /* each probe connects, as a new user would */
                             .total_ms = json_get_int(p->w->opts, "timeout", 5000),
                             .connect_ms = json_get_int(p->w->opts, "timeout", 5000),
                             .max_body = BODY_MAX,
                             .ca_file = ca_of(p->w)};

    (void)e;
    p->call = http_send(h->io->http, &r, answered, p);
}

static void http_stop(struct probe *p)
{
    http_cancel(p->call);
}

static const struct probe_type probe_type = {
    .key = http_key, .begin = http_begin, .cancel = http_stop};

static int http_source(const struct signal *g, const struct target *t, const struct estate *e,
                       char *out, size_t size, struct err *err)
{
    (void)g;
    (void)e;
    return source_self(t, "http", out, size, err);
}

static void *http_open(const struct collector_host *h, const struct estate *e, const char *source,
                       struct err *err)
{
    (void)source;
    (void)err;
    return probes_open(&probe_type, h, e);
}

static int http_check(const struct json *opts, struct err *e)
{
    const char *expect = json_get_str(opts, "expect", ""), *url = json_get_str(opts, "url", NULL);
    size_t scheme = url != NULL && strncmp(url, "https://", 8) == 0  ? 8
                    : url != NULL && strncmp(url, "http://", 7) == 0 ? 7
                                                                     : 0;

    if (url != NULL && *url != '$' &&
        (scheme == 0 || strcspn(url + scheme, "/?#") == 0 || strcspn(url, " \t\r\n") < strlen(url)))
        return err_set(
            e, ERR_INPUT,
            "url is none; write e.g. \"https://shop.example.com/health\", got \"%.100s\"", url);
    /* What a reference stands for is known when it is asked. */
    if (strchr(expect, '$') == NULL && expected(expect, 0) < 0)
        return err_set(
            e, ERR_INPUT,
            "expect is no list of status codes; write e.g. \"200-399\" or \"200,204\", got \"%s\"",
            expect);
    return 0;
}

#define COMMON_OPTIONS                                                                             \
    {.name = "expect",                                                                             \
     .type = OPT_STRING,                                                                           \
     .fallback = "200-399",                                                                        \
     .help = "status codes of a good answer, \"200-399\" or \"200,204\"; redirects are not "       \
             "followed"},                                                                          \
        {.name = "body",                                                                           \
         .type = OPT_STRING,                                                                       \
         .min = 1,                                                                                 \
         .max = 1000,                                                                              \
         .help = "text that a good answer holds"},                                                 \
        {.name = "timeout",                                                                        \
         .type = OPT_DURATION,                                                                     \
         .fallback = "5s",                                                                         \
         .min = 100,                                                                               \
         .max = TIMEOUT_MAX_MS,                                                                    \
         .help = "an answer that is not whole by then is a failure"},                              \
        {.name = "ca_file",                                                                        \
         .type = OPT_STRING,                                                                       \
         .path = true,                                                                             \
         .help = "file of CA certificates that the server's is checked against; without it the "   \
                 "agent's"},                                                                       \
        SOURCE_PERIOD("10s", "how often it is asked")

static const struct option url_options[] = {
    {.name = "url",
     .type = OPT_STRING,
     .required = true,
     .help = "what is asked, http or https; may name \"$target.FIELD\" and the like"},
    COMMON_OPTIONS,
};
static const struct option service_options[] = {COMMON_OPTIONS};

#define SOURCE                                                                                     \
    "GET on a connection of its own; a failure is another status, a body without the text, no "    \
    "answer in time, a name that does not exist, a connection or certificate that is refused"

static const struct signal http_signals[] = {
    {.name = "probe_failures",
     .summary = "probes of the service's url in a row that failed; 0 while it answers well",
     .source = SOURCE,
     .unit = UNIT_COUNT,
     .targets = "service",
     .options = OPTIONS(service_options),
     .check = http_check,
     .interval_ms = source_interval,
     .default_interval_ms = 10000,
     .lag_ms = TIMEOUT_MAX_MS},
    {.name = "http",
     .summary = "probes of a URL in a row that failed; 0 while it answers well",
     .source = SOURCE,
     .unit = UNIT_COUNT,
     .targets = "any",
     .options = OPTIONS(url_options),
     .check = http_check,
     .interval_ms = source_interval,
     .default_interval_ms = 10000,
     .lag_ms = TIMEOUT_MAX_MS},
};

static const char *const http_permissions[] = {NULL};

const struct collector_type http_collector = {
    .name = "http",
    .summary = "probes of URLs",
    .signals = http_signals,
    .nsignals = sizeof(http_signals) / sizeof(*http_signals),
    .permissions = http_permissions,
    .deadline_ms = 15000,
    .alone = true,
    .source = http_source,
    .open = http_open,
    .watch = probes_watch,
    .poll = probes_poll,
    .cancel = probes_cancel,
    .close = probes_close,
    .migrate = probes_migrate,
};
