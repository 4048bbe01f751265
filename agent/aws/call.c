/* One call from its parameters to its completion: keys, signature, attempts, answer. */
#include "aws/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "aws/env.h"
#include "aws/profile.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"

#define ATTEMPTS 3
#define DEADLINE_MS 30000
#define ATTEMPT_MS 10000
#define MAX_REQUEST_BYTES (4 * 1024 * 1024)
#define MAX_ANSWER_BYTES (16 * 1024 * 1024)
#define OFFSET_NEWS_MS 60000 /* a change of the clock's offset by more is worth a line */

struct aws {
    struct loop *loop;
    struct http *http;
    char *name, *region, *ca_file;
    struct aws_provider *provider;
    struct {
        char *url, *host;
    } at[AWS_SERVICES];
    struct aws_bucket bucket;
    int64_t offset_ms; /* AWS's clock less ours */
    LIST_HEAD(, aws_call) calls;
};

enum waiting { FOR_START, FOR_KEYS, FOR_ANSWER, FOR_DELAY };

struct aws_call {
    LIST_ENTRY(aws_call) link;
    struct aws *aws;
    aws_fn *fn;
    void *arg;
    enum aws_service service;
    char *action;
    struct buf body;
    bool mutating, anonymous;
    struct aws_keys keys; /* its own copy; access_key NULL: ask the provider */
    int64_t ends_boot_ms, attempt_ms;

    enum waiting waiting;
    struct loop_timer *timer;
    struct aws_keys_wait *keys_wait;
    struct http_call *http;
    int sent, retries, last_cost;
    bool clock_tried, keys_tried;
    int64_t signed_wall_ms;
    char key_id[128]; /* that signed the last attempt */

    /* How the last attempt ended. */
    enum aws_outcome outcome;
    int status;
    struct aws_fault fault;
    struct err err;
};

static const char *row_name(const struct aws_call *c)
{
    return aws_service_row(c->service)->name;
}

static char *choose_region(const struct aws_options *o, struct err *e)
{
    const char *r = o->region;
    char *from_profile;

    if (!r)
        r = aws_env("AWS_REGION");
    if (!r)
        r = aws_env("AWS_DEFAULT_REGION");
    if (r)
        return mem_strdup(r);
    from_profile = aws_profile_region(o->profile);
    if (!from_profile)
        err_set(e, ERR_INPUT,
                "no AWS region for \"%s\": give region = \"...\" there, or set AWS_REGION",
                o->name ? o->name : "aws");
    return from_profile;
}

struct aws *aws_new(const struct aws_options *o, struct err *e)
{
    struct aws *a = mem_alloc(sizeof *a);
    struct aws_provider_options po = {.loop = o->loop,
                                      .http = o->http,
                                      .profile = o->profile,
                                      .role = o->role,
                                      .external_id = o->external_id,
                                      .session_name = o->session_name,
                                      .endpoint = o->endpoint,
                                      .ca_file = o->ca_file};

    a->loop = o->loop;
    a->http = o->http;
    a->name = mem_strdup(o->name ? o->name : "aws");
    a->ca_file = mem_strdup(o->ca_file);
    a->bucket.tokens = AWS_BUCKET_FULL;
    LIST_INIT(&a->calls);
    a->region = choose_region(o, e);
    if (!a->region)
        goto fail;
    for (int s = 0; s < AWS_SERVICES; s++) {
        a->at[s].url = aws_service_url((enum aws_service)s, a->region, o->endpoint, e);
        a->at[s].host = a->at[s].url ? aws_url_host(a->at[s].url, e) : NULL;
        if (!a->at[s].host)
            goto fail;
    }
    po.region = a->region;
    a->provider = aws_provider_new(&po, e);
    if (!a->provider)
        goto fail;
    return a;
fail:
    err_wrap(e, "aws \"%s\"", a->name);
    aws_free(a);
    return NULL;
}

void aws_free(struct aws *a)
{
    if (!a)
        return;
    while (!LIST_EMPTY(&a->calls))
        aws_cancel(LIST_FIRST(&a->calls));
    aws_provider_free(a->provider);
    for (int s = 0; s < AWS_SERVICES; s++) {
        mem_free(a->at[s].url);
        mem_free(a->at[s].host);
    }
    mem_free(a->name);
    mem_free(a->region);
    mem_free(a->ca_file);
    mem_free(a);
}

const char *aws_region(const struct aws *a)
{
    return a->region;
}

struct aws_provider *aws_provider(struct aws *a)
{
    return a->provider;
}

int64_t aws_wall_ms(const struct aws *a)
{
    return loop_wall_ms(a->loop) + a->offset_ms;
}

static void call_free(struct aws_call *c)
{
    loop_timer_free(c->timer);
    buf_free(&c->body);
    mem_free(c->action);
    aws_keys_clear(&c->keys);
    mem_free(c);
}

/* Hands over the result and ends the call. */
static void finish(struct aws_call *c, const struct xml *xml, const struct json *json)
{
    struct aws_answer answer = {.outcome = c->outcome,
                                .xml = xml,
                                .json = json,
                                .status = c->status,
                                .code = c->fault.code,
                                .request_id = c->fault.request_id,
                                .attempts = c->sent};

    LIST_REMOVE(c, link);
    if (c->outcome != AWS_OK) {
        err_wrap(&c->err, "%s %s in %s (aws \"%s\")", row_name(c), c->action, c->aws->region,
                 c->aws->name);
        log_debug("aws", "%s: %s", aws_outcome_name(c->outcome), c->err.text);
    }
    c->fn(c->arg, &answer, c->outcome == AWS_OK ? NULL : &c->err);
    call_free(c);
}

/* Ends a call that could not be sent (again). What an earlier attempt proved stays. */
static void finish_unsent(struct aws_call *c)
{
    if (c->sent == 0)
        c->outcome = AWS_NOT_SENT;
    finish(c, NULL, NULL);
}

static void on_answer(void *arg, const struct http_answer *a, const struct err *e);

static void send_signed(struct aws_call *c, const struct aws_keys *keys)
{
    const struct aws_service_row *row = aws_service_row(c->service);
    struct aws *a = c->aws;
    int64_t left = c->ends_boot_ms - loop_boot_ms(a->loop);
    char date[SIGV4_DATE], *url = mem_printf("%s/", a->at[c->service].url);
    char *target = mem_printf("%s.%s", row->target ? row->target : "", c->action);
    struct buf auth;
    struct http_header h[5] = {
        {"Content-Type",
         row->json_type ? row->json_type : "application/x-www-form-urlencoded; charset=utf-8"},
    };
    struct sigv4_header to_sign[2] = {{h[0].name, h[0].value}, {"X-Amz-Target", target}};
    struct sigv4_request r = {.method = "POST",
                              .host = a->at[c->service].host,
                              .path = "/",
                              .headers = to_sign,
                              .nheaders = row->target ? 2 : 1,
                              .body = c->body.data,
                              .body_len = c->body.len,
                              .service = row->host,
                              .region = a->region};
    struct http_request req = {.method = "POST",
                               .url = url,
                               .headers = h,
                               .nheaders = 1,
                               .body = c->body.data,
                               .body_len = c->body.len,
                               .mutating = c->mutating,
                               .total_ms = left < 1               ? 1
                                           : left < c->attempt_ms ? left
                                                                  : c->attempt_ms,
                               .max_body = MAX_ANSWER_BYTES,
                               .ca_file = a->ca_file};
    int rc = 0;

    buf_init(&auth, 16 * 1024);
    if (row->target)
        h[req.nheaders++] = (struct http_header){"X-Amz-Target", target};
    c->signed_wall_ms = aws_wall_ms(a);
    if (!c->anonymous) {
        rc = sigv4_sign(&r, keys, c->signed_wall_ms, date, &auth, &c->err);
        snprintf(c->key_id, sizeof c->key_id, "%s", keys->access_key);
        h[req.nheaders++] = (struct http_header){"X-Amz-Date", date};
        h[req.nheaders++] = (struct http_header){"Authorization", buf_str(&auth)};
        if (keys->token)
            h[req.nheaders++] = (struct http_header){"X-Amz-Security-Token", keys->token};
    }
    if (rc == 0) {
        c->sent++;
        c->waiting = FOR_ANSWER;
        c->http = http_send(a->http, &req, on_answer, c);
    }
    buf_free(&auth);
    mem_free(url);
    mem_free(target);
    if (rc != 0)
        finish_unsent(c);
}

static void on_keys(void *arg, const struct aws_keys *keys, const struct err *e)
{
    struct aws_call *c = arg;

    c->keys_wait = NULL;
    loop_timer_stop(c->timer);
    if (keys) {
        send_signed(c, keys);
    } else {
        c->err = *e;
        finish_unsent(c);
    }
}

static void attempt(struct aws_call *c)
{
    int64_t left = c->ends_boot_ms - loop_boot_ms(c->aws->loop);

    if (left <= 0) {
        err_set(&c->err, ERR_TIMEOUT, "its deadline passed before it was sent");
        finish_unsent(c);
    } else if (c->anonymous || c->keys.access_key) {
        send_signed(c, &c->keys);
    } else {
        c->waiting = FOR_KEYS;
        loop_timer_set(c->timer, left);
        c->keys_wait = aws_credentials_get(c->aws->provider, on_keys, c);
    }
}

static void on_timer(void *arg)
{
    struct aws_call *c = arg;

    if (c->waiting == FOR_KEYS) {
        aws_credentials_cancel(c->keys_wait);
        c->keys_wait = NULL;
        err_set(&c->err, ERR_TIMEOUT,
                "its deadline passed while waiting for credentials (last known source: %s)",
                aws_provider_source(c->aws->provider));
        finish_unsent(c);
    } else if (c->waiting == FOR_START && (c->err.code != 0)) {
        finish_unsent(c);
    } else {
        attempt(c);
    }
}

/* The clock's offset by an answer's Date, which has whole seconds: its middle is the best guess. */
static void take_clock(struct aws *a, int64_t date_wall_ms)
{
    int64_t offset = date_wall_ms + 500 - loop_wall_ms(a->loop);

    if (llabs(offset - a->offset_ms) > OFFSET_NEWS_MS)
        log_warn("aws",
                 "aws \"%s\": this host's clock is %lld s %s AWS's; signing with AWS's time: check "
                 "the time service",
                 a->name, (long long)(llabs(offset) / 1000), offset > 0 ? "behind" : "ahead of");
    a->offset_ms = offset;
}

static int fault_err_code(const struct aws_call *c, const struct aws_attempt *t)
{
    if (t->status >= 500 || !t->fault.known)
        return ERR_IO;
    if (aws_is_throttle(c->service, t->status, t->fault.code))
        return ERR_LIMIT;
    return t->status == 401 || t->status == 403 ? ERR_AUTH : ERR_DENIED;
}

/* Says in c->err what a status that is no success means. */
static void describe_fault(struct aws_call *c, const struct aws_attempt *t)
{
    const struct aws_fault *f = &t->fault;
    char id[128] = "";

    if (f->request_id[0])
        snprintf(id, sizeof id, ", request %s", f->request_id);
    err_set(&c->err, fault_err_code(c, t), "%s%s%s (HTTP %d%s%s)%s%s", f->code,
            f->known ? ": " : "", f->message, t->status, id,
            t->number > 1 ? ", after several attempts" : "",
            t->status == 401 || t->status == 403 ? "; credentials are from " : "",
            t->status == 401 || t->status == 403
                ? (c->keys.access_key || c->anonymous ? "the caller"
                                                      : aws_provider_source(c->aws->provider))
                : "");
}

static void doubt_note(struct aws_call *c)
{
    size_t len = strlen(c->err.text);
    if (c->mutating && c->outcome == AWS_IN_DOUBT)
        snprintf(c->err.text + len, sizeof c->err.text - len, "; it may have been carried out");
}

static bool root_is_response(const struct xml *root, const char *action)
{
    const char *name = xml_name(root);
    size_t len = strlen(action);
    return strncmp(name, action, len) == 0 && strcmp(name + len, "Response") == 0;
}

static void read_success(struct aws_call *c, const struct http_answer *a, struct xml **xml,
                         struct json **json)
{
    struct err e = ERR_INIT;
    const char *id;

    if (aws_service_row(c->service)->protocol == AWS_JSON) {
        *json =
            a->body_len ? json_parse(a->body, a->body_len, MAX_ANSWER_BYTES, &e) : json_new_map();
        if (*json && json_type(*json) != JSON_MAP) {
            err_set(&e, ERR_INPUT, "the answer is JSON, but no object");
            json_free(*json);
            *json = NULL;
        }
    } else {
        *xml = xml_parse(a->body, a->body_len, MAX_ANSWER_BYTES, &e);
        if (*xml && !root_is_response(*xml, c->action)) {
            err_set(&e, ERR_INPUT, "the answer is <%.60s>, not <%sResponse>", xml_name(*xml),
                    c->action);
            xml_free(*xml);
            *xml = NULL;
        }
        id =
            xml_path_text(*xml, "ResponseMetadata/RequestId", xml_path_text(*xml, "requestId", ""));
        snprintf(c->fault.request_id, sizeof c->fault.request_id, "%s", id);
    }
    if (!c->fault.request_id[0] && (id = http_answer_header(a, "x-amzn-RequestId")))
        snprintf(c->fault.request_id, sizeof c->fault.request_id, "%s", id);
    if (!*json && !*xml)
        err_set(&c->err, ERR_IO, "HTTP %d, but the answer cannot be read: %s", a->status, e.text);
}

/* After a verdict that is not final: true if the call goes on. */
static bool go_on(struct aws_call *c, const struct aws_verdict *v, int64_t date_wall_ms)
{
    int64_t delay = 0;

    switch (v->next) {
    case AWS_NEXT_NONE:
        return false;
    case AWS_NEXT_CLOCK:
        take_clock(c->aws, date_wall_ms);
        c->clock_tried = true;
        break;
    case AWS_NEXT_KEYS:
        aws_credentials_reject(c->aws->provider, c->key_id);
        c->keys_tried = true;
        break;
    case AWS_NEXT_RETRY: {
        uint32_t r;
        random_bytes(&r, sizeof r);
        delay = aws_backoff_ms(c->retries + 1, r);
        if (loop_boot_ms(c->aws->loop) + delay >= c->ends_boot_ms)
            return false;
        if (!aws_bucket_take(&c->aws->bucket, v->cost)) {
            err_wrap(&c->err, "not tried again, too many calls are failing");
            return false;
        }
        c->last_cost = v->cost;
        c->retries++;
        log_debug("aws", "%s %s: %s; again in %lld ms", row_name(c), c->action, c->err.text,
                  (long long)delay);
        break;
    }
    }
    c->waiting = FOR_DELAY;
    loop_timer_set(c->timer, delay);
    return true;
}

static void on_answer(void *arg, const struct http_answer *a, const struct err *e)
{
    struct aws_call *c = arg;
    enum aws_protocol protocol = aws_service_row(c->service)->protocol;
    const char *date = a->status ? http_answer_header(a, "Date") : NULL;
    struct aws_attempt t = {.service = c->service,
                            .mutating = c->mutating,
                            .number = c->retries + 1,
                            .max = ATTEMPTS,
                            .request_left = a->status != 0 || a->request_left,
                            .timed_out = e && e->code == ERR_TIMEOUT,
                            .status = a->status,
                            .clock_tried = c->clock_tried,
                            .keys_tried = c->keys_tried};
    struct aws_verdict v;
    struct xml *xml = NULL;
    struct json *json = NULL;
    int64_t date_wall_ms = 0;

    c->http = NULL;
    c->status = a->status;
    memset(&c->fault, 0, sizeof c->fault);
    c->err = (struct err)ERR_INIT;
    if (date && time_parse_http(date, &date_wall_ms) == 0) {
        t.has_date = true;
        t.ahead_ms = date_wall_ms - c->signed_wall_ms;
    }
    if (a->status == 0) {
        if (e)
            c->err = *e;
    } else if (a->status >= 200 && a->status < 300) {
        read_success(c, a, &xml, &json);
        t.parsed = xml || json;
    } else {
        aws_fault_read(&t.fault, protocol, http_answer_header(a, "X-Amzn-ErrorType"),
                       http_answer_header(a, "x-amzn-RequestId"), a->body, a->body_len);
        c->fault = t.fault;
        describe_fault(c, &t);
    }
    v = aws_judge(&t);
    c->outcome = v.outcome;
    doubt_note(c);
    if (v.outcome == AWS_OK)
        aws_bucket_give(&c->aws->bucket, c->last_cost ? c->last_cost : 1);
    if (!go_on(c, &v, date_wall_ms))
        finish(c, xml, json);
    xml_free(xml);
    json_free(json);
}

struct aws_call *aws_send(struct aws *a, const struct aws_request *r, aws_fn *fn, void *arg)
{
    const struct aws_service_row *row = aws_service_row(r->service);
    struct aws_call *c = mem_alloc(sizeof *c);

    c->aws = a;
    c->fn = fn;
    c->arg = arg;
    c->service = r->service;
    c->action = mem_strdup(r->action);
    c->mutating = r->mutating;
    c->anonymous = r->anonymous;
    c->attempt_ms = r->attempt_ms > 0 ? r->attempt_ms : ATTEMPT_MS;
    c->ends_boot_ms = loop_boot_ms(a->loop) + (r->deadline_ms > 0 ? r->deadline_ms : DEADLINE_MS);
    if (r->keys)
        aws_keys_copy(&c->keys, r->keys);
    c->keys_tried = r->keys || r->anonymous; /* there are no others to try */
    buf_init(&c->body, MAX_REQUEST_BYTES);
    if (row->protocol == AWS_JSON) {
        char *text = r->body ? json_print(r->body) : mem_strdup("{}");
        buf_adds(&c->body, text);
        mem_free(text);
    } else {
        aws_params_encode(r->params, r->action, row->version, &c->body);
    }
    if (c->body.overflow)
        err_set(&c->err, ERR_LIMIT, "its parameters are more than %d bytes", MAX_REQUEST_BYTES);
    LIST_INSERT_HEAD(&a->calls, c, link);
    c->waiting = FOR_START;
    c->timer = loop_timer_new(a->loop, on_timer, c);
    loop_timer_set(c->timer, 0);
    return c;
}

void aws_cancel(struct aws_call *c)
{
    if (!c)
        return;
    if (c->keys_wait)
        aws_credentials_cancel(c->keys_wait);
    if (c->http)
        http_cancel(c->http);
    LIST_REMOVE(c, link);
    call_free(c);
}
