/* Sinks that post JSON: one request, one answer, in words. */
#include "base/buf.h"
#include "base/mem.h"
#include "report/sink.h"

struct sending {
    struct http_call *call;
    struct loop *loop;
    sink_judge_fn *judge;
    void *self;
    sink_fn *fn;
    void *arg;
};

/* What the answer's body says, in a line. */
static void body_text(const struct http_answer *a, struct buf *out)
{
    struct err ignored = ERR_INIT;
    struct json *j = json_parse(a->body, a->body_len, SINK_ANSWER_MAX, &ignored);
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
        long after = http_retry_after_s(a, loop_wall_ms(s->loop));
        body_text(a, &text);
        out.retry_after_ms = after >= 0 ? after * 1000LL : -1;
        out.all = a->status == 429 || a->status == 502 || a->status == 503 || a->status == 504;
        out.result = s->judge(s->self, a);
    }
    out.text = buf_str(&text);
    s->fn(s->arg, &out);
    buf_free(&text);
    mem_free(s);
}

void *sink_post(const struct sink_env *env, const struct http_request *r, sink_judge_fn *judge,
                void *self, sink_fn *fn, void *arg)
{
    struct sending *s = mem_alloc(sizeof(*s));

    *s = (struct sending){.loop = env->loop, .judge = judge, .self = self, .fn = fn, .arg = arg};
    s->call = http_send(env->http, r, answered, s);
    return s;
}

void sink_post_cancel(void *self, void *sending)
{
    struct sending *s = sending;

    (void)self;
    http_cancel(s->call);
    mem_free(s);
}
