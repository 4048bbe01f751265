/* A table of paths. */
#include "serve/web.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/metrics.h"

struct web {
    struct web_options o;
    struct httpd *httpd;
};

static void healthz(struct web *w, const struct httpd_request *q, struct httpd_reply *out)
{
    const char *why = w->o.ill(w->o.arg);

    (void)q;
    out->status = why ? 503 : 200;
    buf_addf(&out->body, "%s\n", why ? why : "ok");
}

static void metrics(struct web *w, const struct httpd_request *q, struct httpd_reply *out)
{
    struct json *numbers = w->o.numbers(w->o.arg);

    (void)q;
    out->type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_text(numbers, &out->body);
    json_free(numbers);
}

static void alertmanager(struct web *w, const struct httpd_request *q, struct httpd_reply *out)
{
    receive_alertmanager(w->o.receiver, q, out);
}

static void sns(struct web *w, const struct httpd_request *q, struct httpd_reply *out)
{
    receive_sns(w->o.receiver, q, out);
}

static const struct {
    const char *path;
    bool post;
    void (*fn)(struct web *w, const struct httpd_request *q, struct httpd_reply *out);
} paths[] = {
    {"/healthz", false, healthz},
    {"/metrics", false, metrics},
    {"/alerts/alertmanager", true, alertmanager},
    {"/alerts/sns", true, sns},
};

static void on_request(void *arg, const struct httpd_request *q, struct httpd_reply *out)
{
    for (size_t k = 0; k < sizeof(paths) / sizeof(paths[0]); k++) {
        if (strcmp(paths[k].path, q->path) != 0)
            continue;
        if (paths[k].post == (strcmp(q->method, "POST") == 0)) {
            paths[k].fn(arg, q, out);
            return;
        }
        out->status = 405;
        buf_addf(&out->body, "use %s\n", paths[k].post ? "POST" : "GET");
        return;
    }
    out->status = 404;
    buf_adds(&out->body, "there is /healthz, /metrics, /alerts/alertmanager and /alerts/sns\n");
}

struct web *web_listen(const struct web_options *o, struct err *e)
{
    struct web *w = mem_alloc(sizeof(*w));
    struct httpd_options h = {.listen = o->listen};

    w->o = *o;
    w->httpd = httpd_listen(o->loop, &h, on_request, w, e);
    if (!w->httpd) {
        mem_free(w);
        return NULL;
    }
    if (strncmp(o->listen, "127.", 4) != 0 && strncmp(o->listen, "[::1]", 5) != 0)
        log_warn("http",
                 "%s can be reached from other hosts, without TLS: tokens cross the network in the "
                 "clear; put a proxy in front of 127.0.0.1 instead",
                 o->listen);
    log_info("http", "listens on %s", o->listen);
    return w;
}

void web_free(struct web *w)
{
    if (!w)
        return;
    httpd_free(w->httpd);
    mem_free(w);
}
