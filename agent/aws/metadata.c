/* Asking a metadata service: no answer, 429 and 5xx are tried again at once, all else is final. */
#include "aws/metadata.h"

#include <string.h>
#include "base/mem.h"

#define ATTEMPTS 3
#define DELAY_MS 100 /* times the attempt's number */
#define MAX_BYTES (64 * 1024)

struct aws_metadata {
    struct http *http;
    struct loop_timer *timer;
    struct http_call *call;
    char *method, *url, *header, *value;
    int64_t total_ms;
    int tries;
    aws_metadata_fn *fn;
    void *arg;
};

static void metadata_free(struct aws_metadata *m)
{
    loop_timer_free(m->timer);
    mem_free(m->method);
    mem_free(m->url);
    mem_free(m->header);
    if (m->value)
        explicit_bzero(m->value, strlen(m->value));
    mem_free(m->value);
    mem_free(m);
}

static void on_answer(void *arg, const struct http_answer *a, const struct err *e)
{
    struct aws_metadata *m = arg;
    struct err why = ERR_INIT;

    m->call = NULL;
    if (a->status == 200 && a->body_len > 0) {
        m->fn(m->arg, a->body, a->body_len, NULL);
    } else if ((a->status == 0 || a->status == 429 || a->status >= 500) && m->tries < ATTEMPTS) {
        loop_timer_set(m->timer, DELAY_MS * m->tries);
        return;
    } else {
        if (a->status == 0)
            why = *e;
        else
            err_set(&why, ERR_AUTH, "%s %s answers HTTP %d%s", m->method, m->url, a->status,
                    a->status == 200 ? " and nothing else" : "");
        m->fn(m->arg, NULL, 0, &why);
    }
    metadata_free(m);
}

static void ask(void *arg)
{
    struct aws_metadata *m = arg;
    struct http_header h[2] = {{"Accept", "application/json"}, {m->header, m->value}};

    m->tries++;
    m->call = http_send(m->http,
                        &(struct http_request){.method = m->method,
                                               .url = m->url,
                                               .headers = h,
                                               .nheaders = m->header ? 2 : 1,
                                               .connect_ms = m->total_ms,
                                               .total_ms = m->total_ms,
                                               .max_body = MAX_BYTES},
                        on_answer, m);
}

struct aws_metadata *aws_metadata_ask(struct loop *l, struct http *h, const struct aws_question *q,
                                      aws_metadata_fn *fn, void *arg)
{
    struct aws_metadata *m = mem_alloc(sizeof *m);

    m->http = h;
    m->timer = loop_timer_new(l, ask, m);
    m->method = mem_strdup(q->method);
    m->url = mem_strdup(q->url);
    m->header = mem_strdup(q->header);
    m->value = mem_strdup(q->value);
    m->total_ms = q->total_ms;
    m->fn = fn;
    m->arg = arg;
    ask(m);
    return m;
}

void aws_metadata_cancel(struct aws_metadata *m)
{
    if (!m)
        return;
    if (m->call)
        http_cancel(m->call);
    metadata_free(m);
}
