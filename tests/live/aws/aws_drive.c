/* Makes the calls that a JSON document on stdin lists, and prints a JSON line for each as it ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aws/call.h"
#include "base/buf.h"
#include "base/mem.h"

#define MAX_INPUT (1024 * 1024)

struct drive {
    struct loop *loop;
    struct aws *aws;
    const struct json *calls, *next; /* next: NULL when all were started */
    bool parallel;
    size_t left;
    struct loop_timer *timer;
};

struct one {
    struct drive *d;
    const struct json *call;
};

static int service_by_host(const char *host)
{
    for (int s = 0; s < AWS_SERVICES; s++)
        if (strcmp(aws_service_row((enum aws_service)s)->host, host) == 0)
            return s;
    fprintf(stderr, "no service %s\n", host);
    exit(2);
}

static void on_done(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct one *o = arg;
    struct drive *d = o->d;
    struct json *out = json_new_map();
    const char *path = json_get_str(o->call, "path", NULL);
    char *text;

    json_set_str(out, "outcome", aws_outcome_name(a->outcome));
    json_set_int(out, "status", a->status);
    json_set_str(out, "code", a->code);
    json_set_str(out, "request_id", a->request_id);
    json_set_int(out, "attempts", a->attempts);
    json_set_str(out, "error", e ? e->text : NULL);
    json_set_str(out, "source", aws_provider_source(aws_provider(d->aws)));
    if (path)
        json_set_str(out, "value", xml_path_text(a->xml, path, NULL));
    text = json_print(out);
    puts(text);
    fflush(stdout);
    mem_free(text);
    json_free(out);
    mem_free(o);
    if (--d->left == 0)
        loop_stop(d->loop, 0);
    else if (!d->parallel)
        loop_timer_set(d->timer, json_get_int(d->next, "after_ms", 0));
}

static void start(void *arg)
{
    struct drive *d = arg;

    do {
        const struct json *c = d->next;
        struct aws_params *p = aws_params_new();
        struct one *o = mem_alloc(sizeof *o);
        struct aws_request r = {
            .service = (enum aws_service)service_by_host(json_get_str(c, "service", "")),
            .action = json_get_str(c, "action", ""),
            .params = p,
            .mutating = json_get_bool(c, "mutating", false),
            .deadline_ms = json_get_int(c, "deadline_ms", 0),
            .attempt_ms = json_get_int(c, "attempt_ms", 0)};
        *o = (struct one){d, c};
        for (const struct json *m = json_first(json_get(c, "params")); m; m = json_next(m))
            aws_param(p, json_key(m), json_str(m, ""));
        aws_send(d->aws, &r, on_done, o);
        aws_params_free(p);
        d->next = json_next(c);
    } while (d->parallel && d->next);
}

int main(void)
{
    struct err e = ERR_INIT;
    struct drive d = {0};
    char *input = mem_alloc(MAX_INPUT);
    size_t len = fread(input, 1, MAX_INPUT, stdin);
    struct json *j = json_parse(input, len, MAX_INPUT, &e);
    struct resolver *r = NULL;
    struct http *h = NULL;

    if (j && (d.loop = loop_new(&e)) && (r = resolver_new(d.loop, NULL, &e)) &&
        (h = http_new(d.loop, r, NULL, &e)))
        d.aws = aws_new(&(struct aws_options){.loop = d.loop,
                                              .http = h,
                                              .name = "live",
                                              .region = json_get_str(j, "region", NULL),
                                              .endpoint = json_get_str(j, "endpoint", NULL),
                                              .profile = json_get_str(j, "profile", NULL),
                                              .role = json_get_str(j, "role", NULL),
                                              .external_id = json_get_str(j, "external_id", NULL)},
                        &e);
    if (!d.aws) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    d.calls = json_get(j, "calls");
    d.parallel = json_get_bool(j, "parallel", false);
    d.next = json_first(d.calls);
    d.left = json_len(d.calls);
    d.timer = loop_timer_new(d.loop, start, &d);
    loop_timer_set(d.timer, 0);
    loop_run(d.loop);
    loop_timer_free(d.timer);
    aws_free(d.aws);
    http_free(h);
    resolver_free(r);
    loop_free(d.loop);
    json_free(j);
    mem_free(input);
    return 0;
}
