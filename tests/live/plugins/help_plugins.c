/* A small host for collectors and actions. */
#include "help_plugins.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "harness/number.h"
#include "io/pg.h"

static struct aws *lend_aws(void *arg, const char *name, struct err *e)
{
    struct rig *r = arg;

    if (r->aws == NULL || strcmp(name, "prod") != 0) {
        err_set(e, ERR_NOT_FOUND, "the estate has no account %s", name);
        return NULL;
    }
    return r->aws;
}

static struct pg *lend_pg(void *arg, const struct target *t, const char *use, struct err *e)
{
    struct rig *r = arg;
    bool read = strcmp(use, "read") == 0;
    struct pg **which = read ? &r->read : strcmp(use, "act") == 0 ? &r->act : &r->collect;
    struct pg_options o = {.host = "127.0.0.1",
                           .port = (int)json_get_int(t->fields, "port", 0),
                           .database = "postgres",
                           .user = r->pg_user,
                           .sslmode = "disable",
                           .read_only = read};

    if (r->no_pg) {
        err_set(e, ERR_AUTH, "no password");
        return NULL;
    }
    if (*which == NULL)
        *which = pg_new(r->loop, r->resolver, &o);
    return *which;
}

char *rig_grants(void)
{
    char *sql = mem_alloc(16384), *at;
    FILE *f = fopen(RB_SOURCE_DIR "/config/grants.sql", "re");

    assert_non_null(f);
    assert_true(fread(sql, 1, 16383, f) > 100);
    fclose(f);
    at = strstr(sql, "\"basecoat_db\"");
    assert_non_null(at);
    memcpy(at, "\"postgres\"   ", strlen("\"basecoat_db\""));
    return sql;
}

void rig_pg_user(struct rig *r, const char *user)
{
    pg_free(r->act);
    pg_free(r->collect);
    pg_free(r->read);
    r->act = r->collect = r->read = NULL;
    r->pg_user = user;
}

void rig_init(struct rig *r)
{
    struct err e = ERR_INIT;

    memset(r, 0, sizeof(*r));
    r->loop = loop_new(&e);
    r->resolver = resolver_new(r->loop, NULL, NULL);
    r->http = http_new(r->loop, r->resolver, NULL, &e);
    r->pg_user = "runbookd";
    if (getenv("AWS_ENDPOINT_URL") != NULL) {
        struct aws_options o = {.loop = r->loop, .http = r->http, .name = "prod"};
        r->aws = aws_new(&o, &e);
    }
    if (e.code != 0)
        fail_msg("%s", e.text);
    r->io = (struct host_io){.loop = r->loop,
                             .resolver = r->resolver,
                             .http = r->http,
                             .aws = lend_aws,
                             .pg = lend_pg,
                             .arg = r};
    r->estate = estate_new();
}

void rig_free(struct rig *r)
{
    rig_pg_user(r, NULL);
    if (r->aws != NULL)
        aws_free(r->aws);
    http_free(r->http);
    resolver_free(r->resolver);
    loop_free(r->loop);
    estate_unref(r->estate);
}

static struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *j = text != NULL ? json_parse(text, strlen(text), 1 << 20, &e) : json_new_map();

    if (j == NULL)
        fail_msg("%s: %s", text, e.text);
    return j;
}

const struct target *rig_target(struct rig *r, const char *kind, const char *name,
                                const char *fields)
{
    struct json *f = parse(fields);
    struct err e = ERR_INIT;
    const struct target_kind *k = target_kind_find(kind);

    option_defaults(k->options, k->noptions, f);
    if (estate_add(r->estate, kind, name, NULL, f, MODE_ENFORCE, "test", 1, &e) != 0)
        fail_msg("%s", e.text);
    return estate_find(r->estate, kind, name);
}

void *stage_begin(void **state, size_t size)
{
    struct rig *r = mem_alloc(size);

    rig_init(r);
    sim_clear(r);
    *state = r;
    return r;
}

int stage_end(void **state)
{
    struct rig *r = *state;

    sim_clear(r);
    rig_free(r);
    mem_free(r);
    return 0;
}

/* Collectors */

static struct reading *add(const struct collector_host *h, const struct watch *w)
{
    struct source *s = h->arg;

    assert_true(s->ngot < READINGS_MAX);
    assert_int_equal(s->ended, 0);
    s->got[s->ngot] = (struct reading){.w = w};
    return &s->got[s->ngot++];
}

static void on_sample(const struct collector_host *h, const struct watch *w, int64_t start_wall_ms,
                      int64_t period_ms, double value)
{
    struct reading *g = add(h, w);

    g->start_ms = start_wall_ms;
    g->period_ms = period_ms;
    g->value = value;
}

static void on_note(const struct collector_host *h, const struct watch *w, const char *text)
{
    struct source *s = h->arg;

    assert_true(s->ngot > 0 && s->got[s->ngot - 1].w == w);
    snprintf(s->got[s->ngot - 1].note, sizeof(s->got->note), "%s", text);
}

static void on_unknown(const struct collector_host *h, const struct watch *w, const char *why)
{
    assert_true(*why != '\0');
    snprintf(add(h, w)->why, sizeof(((struct reading *)0)->why), "%s", why);
}

static void on_refused(const struct collector_host *h, const struct watch *w, const char *why)
{
    ((struct source *)h->arg)->refused++;
    on_unknown(h, w, why);
}

static void on_done(const struct collector_host *h)
{
    ((struct source *)h->arg)->ended++;
}

static void on_failed(const struct collector_host *h, const struct err *e)
{
    struct source *s = h->arg;

    assert_true(e->code != 0 && e->text[0] != '\0');
    s->err = *e;
    s->ended++;
}

void source_open(struct source *s, struct rig *r, const char *signal, const struct target *t)
{
    struct err e = ERR_INIT;
    char id[200];

    memset(s, 0, sizeof(*s));
    s->r = r;
    if (signal_find(signal, &s->type) == NULL)
        fail_msg("no signal %s", signal);
    s->host = (struct collector_host){.io = &r->io,
                                      .sample = on_sample,
                                      .note = on_note,
                                      .unknown = on_unknown,
                                      .refused = on_refused,
                                      .done = on_done,
                                      .failed = on_failed,
                                      .name = "test",
                                      .arg = s};
    s->got = mem_calloc(READINGS_MAX, sizeof(*s->got));
    s->watches = mem_calloc(2000, sizeof(*s->watches));
    s->list = mem_calloc(2000, sizeof(*s->list));
    if (s->type->source(signal_find(signal, NULL), t, r->estate, id, sizeof(id), &e) != 0)
        fail_msg("%s", e.text);
    s->self = s->type->open(&s->host, r->estate, id, &e);
    if (s->self == NULL)
        fail_msg("%s", e.text);
}

const struct watch *source_watch(struct source *s, const char *signal, const struct target *t,
                                 const char *opts, int64_t history_ms)
{
    const struct signal *g = signal_find(signal, NULL);
    struct json *o = parse(opts);
    struct watch *w = &s->watches[s->n];

    option_defaults(g->options, g->noptions, o);
    *w = (struct watch){
        .signal = g, .target = t, .opts = o, .history_ms = history_ms, .series = 1000 + s->n};
    w->interval_ms = g->interval_ms != NULL ? g->interval_ms(t, o) : g->default_interval_ms;
    s->list[s->n++] = w;
    s->changed = true;
    return w;
}

void source_begin(struct source *s)
{
    if (s->changed)
        s->type->watch(s->self, s->list, s->n);
    s->changed = false;
    s->type->poll(s->self);
}

void source_poll(struct source *s)
{
    int64_t end_ms = now_ms() + s->type->deadline_ms;

    s->ngot = s->refused = 0;
    s->ended = 0;
    s->err = (struct err)ERR_INIT;
    source_begin(s);
    while (s->ended == 0 && now_ms() < end_ms)
        run_for(s->r->loop, 5);
    if (s->ended == 0) {
        s->type->cancel(s->self);
        err_set(&s->err, ERR_TIMEOUT, "no answer by the deadline");
        s->ended = 1;
        run_for(s->r->loop, 50);
    }
    assert_int_equal(s->ended, 1);
}

void source_close(struct source *s)
{
    s->type->close(s->self);
    for (size_t i = 0; i < s->n; i++)
        json_free((struct json *)(uintptr_t)s->watches[i].opts);
    mem_free(s->watches);
    mem_free(s->list);
    mem_free(s->got);
}

const struct reading *source_last(const struct source *s, const struct watch *w)
{
    for (size_t i = s->ngot; i-- > 0;) {
        if (s->got[i].w == w)
            return &s->got[i];
    }
    return NULL;
}

size_t source_count(const struct source *s, const struct watch *w)
{
    size_t n = 0;

    for (size_t i = 0; i < s->ngot; i++)
        n += s->got[i].w == w && s->got[i].why[0] == '\0';
    return n;
}

double source_value(const struct source *s, const struct watch *w)
{
    const struct reading *g = source_last(s, w);

    if (g == NULL || g->why[0] != '\0')
        fail_msg("%s has no value: %s %s", w->signal->name, g != NULL ? g->why : "nothing",
                 s->err.text);
    return g != NULL ? g->value : 0;
}

const char *source_why(const struct source *s, const struct watch *w)
{
    const struct reading *g = source_last(s, w);

    return g != NULL ? g->why : "(nothing was said)";
}

/* Actions */

struct ended {
    int count;
    struct json *json;
    struct err err;
    enum applied how;
};

static void on_observed(struct action_call *c, struct json *seen, const struct err *e)
{
    struct ended *d = c->arg;

    d->count++;
    d->json = seen;
    d->err = e != NULL ? *e : (struct err)ERR_INIT;
    assert_true((seen != NULL) == (e == NULL));
    assert_null(c->state);
}

static void on_applied(struct action_call *c, enum applied how, struct json *out,
                       const struct err *e)
{
    struct ended *d = c->arg;

    d->count++;
    d->how = how;
    d->json = out;
    d->err = e != NULL ? *e : (struct err)ERR_INIT;
    assert_true((how == APPLIED_OK) == (e == NULL));
    assert_null(c->state);
}

static struct json *options(const struct action_type *a, const char *text)
{
    struct json *o = parse(text);

    option_defaults(a->options, a->noptions, o);
    return o;
}

struct json *look(struct rig *r, const char *action, const struct target *t, const char *opts,
                  struct err *e)
{
    const struct action_type *a = action_find(action);
    struct json *o = options(a, opts);
    struct ended d = {0};
    struct action_call c = {.io = &r->io,
                            .target = t,
                            .estate = r->estate,
                            .opts = o,
                            .deadline_ms = 8000,
                            .observed = on_observed,
                            .arg = &d};

    a->observe(&c);
    assert_int_equal(d.count, 0);
    run_until(r->loop, &d.count, 1, 20000);
    json_free(o);
    *e = d.err;
    return d.json;
}

/* What cloudsim received last of a call is what the plan said of it, neither more nor less. */
static void assert_sent_as_planned(struct rig *r, const struct json *call)
{
    const char *name = json_get_str(call, "call", ""), *colon = strchr(name, ':');
    const struct json *list, *got;
    char path[100];
    struct json *j;

    if (strncmp(name, "postgres:", 9) == 0)
        return;
    assert_non_null(colon);
    snprintf(path, sizeof(path), "requests?action=%s", colon + 1);
    j = sim(r, path, NULL);
    list = json_type(j) == JSON_LIST ? j : json_get(j, "requests");
    got = json_get(json_at(list, json_len(list) - 1), "params");
    if (!json_equal(got, json_get(call, "args"))) {
        char *a = json_print(got), *b = json_print(json_get(call, "args"));
        fail_msg("%s was received with %s; the plan has %s", name, a, b);
    }
    json_free(j);
}

enum applied act(struct rig *r, const char *action, const struct target *t, const struct json *call,
                 struct json **out, struct err *e)
{
    const struct action_type *a = action_find(action);
    struct ended d = {0};
    struct action_call c = {.io = &r->io,
                            .target = t,
                            .estate = r->estate,
                            .call = call, /* and no options: what is sent stands in it */
                            .token = "0123456789abcdef0123456789abcdef",
                            .deadline_ms = 8000,
                            .applied = on_applied,
                            .arg = &d};

    a->apply(&c);
    assert_int_equal(d.count, 0);
    run_until(r->loop, &d.count, 1, 20000);
    if (d.how == APPLIED_OK)
        assert_sent_as_planned(r, call);
    *e = d.err;
    if (out != NULL)
        *out = d.json;
    else
        json_free(d.json);
    return d.how;
}

void cut_off(struct rig *r, const char *action, const struct target *t, const char *opts,
             const struct json *call, int64_t after_ms)
{
    const struct action_type *a = action_find(action);
    struct json *o = options(a, opts);
    struct ended d = {0};
    struct action_call c = {.io = &r->io,
                            .target = t,
                            .estate = r->estate,
                            .opts = o,
                            .call = call,
                            .token = "0123456789abcdef0123456789abcdef",
                            .deadline_ms = 8000,
                            .observed = on_observed,
                            .applied = on_applied,
                            .arg = &d};

    if (call != NULL)
        a->apply(&c);
    else
        a->observe(&c);
    if (after_ms > 0)
        run_for(r->loop, after_ms);
    a->cancel(&c);
    run_for(r->loop, 100);
    assert_int_equal(d.count, 0);
    json_free(o);
}

struct plan *plan_of(const char *action, const struct target *t, const char *opts,
                     const struct json *seen, const struct json *within, struct err *e)
{
    const struct action_type *a = action_find(action);
    struct json *o = options(a, opts);
    struct action_input in = {.target = t,
                              .opts = o,
                              .wall_ms = 1790000000000,
                              .run_id = "r1",
                              .step = 1,
                              .within = within};
    struct plan *p;

    *e = (struct err)ERR_INIT;
    p = a->plan(&in, seen, e);
    json_free(o);
    return p;
}

/* cloudsim: by a socket of our own, so that what is tested is not what looks */

static struct json *talk(struct rig *r, const char *method, const char *path, const char *body)
{
    const char *url = getenv("CLOUDSIM_URL"), *colon = url != NULL ? strrchr(url, ':') : NULL;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port =
                                htons((uint16_t)number_in(colon != NULL ? colon + 1 : NULL))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct err e = ERR_INIT;
    struct json *j;
    struct buf in;
    char *out, piece[65536];
    const char *text;
    ssize_t n;

    (void)r;
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    out = mem_printf("%s /_sim/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     method, path, body != NULL ? strlen(body) : 0, body != NULL ? body : "");
    assert_int_equal(send(fd, out, strlen(out), MSG_NOSIGNAL), (ssize_t)strlen(out));
    mem_free(out);
    buf_init(&in, 64u << 20);
    while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
        assert_int_equal(buf_add(&in, piece, (size_t)n), 0);
    close(fd);
    text = strstr(buf_str(&in), "\r\n\r\n");
    if (strncmp(buf_str(&in), "HTTP/1.1 200", 12) != 0 || text == NULL)
        fail_msg("cloudsim: %s %s: %.300s", method, path, buf_str(&in));
    j = text != NULL ? json_parse(text + 4, strlen(text + 4), 64u << 20, &e) : NULL;
    if (j == NULL)
        fail_msg("cloudsim: %s %s: %s", method, path, e.text);
    buf_free(&in);
    return j;
}

struct json *sim(struct rig *r, const char *path, const char *body)
{
    return talk(r, body != NULL ? "POST" : "GET", path, body);
}

void sim_do(struct rig *r, const char *path, const char *body, ...)
{
    char *text;
    va_list ap;

    va_start(ap, body);
    text = mem_vprintf(body, ap);
    va_end(ap);
    json_free(sim(r, path, text));
    mem_free(text);
}

void sim_clear(struct rig *r)
{
    json_free(talk(r, "DELETE", "requests", NULL));
    json_free(talk(r, "DELETE", "faults", NULL));
}

size_t sim_requests(struct rig *r, const char *action)
{
    char path[100];
    struct json *j;
    size_t n;

    snprintf(path, sizeof(path), "requests?action=%s", action);
    j = sim(r, path, NULL);
    n = json_type(j) == JSON_LIST ? json_len(j) : json_len(json_get(j, "requests"));
    json_free(j);
    return n;
}
