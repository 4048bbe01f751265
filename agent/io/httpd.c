/* evhttp 2.1 bounds heads, bodies and idle time; the number of connections and their total time are
 * bounded here, on the bufferevents that we lend it. */
#include "io/httpd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/util.h>

#include "base/address.h"
#include "base/log.h"
#include "base/mem.h"

#define SWEEP_MS 100
#define MAX_REPLY (4 << 20)

struct conn {
    struct bufferevent *bev; /* one reference is ours */
    int64_t until_ms;
    bool cut;
    struct conn *next;
};

struct httpd {
    struct loop *loop;
    struct httpd_options o;
    struct evhttp *http;
    struct evconnlistener *listener; /* evhttp's */
    struct loop_timer *sweep;
    struct conn *conns;
    size_t n;
    bool starved; /* and it was said */
    struct httpd *next;
    httpd_fn *fn;
    void *arg;
};

static struct httpd *all; /* an error of a listener comes with evhttp's argument, not with ours */

const char *httpd_header(const struct httpd_request *r, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(r->native), name);
}

/* evhttp takes its callbacks off a bufferevent when it lets it go (bufferevent_free): then ours is
 * the last reference. */
static bool is_gone(const struct conn *c)
{
    bufferevent_data_cb r = NULL, w = NULL;
    bufferevent_event_cb e = NULL;

    bufferevent_getcb(c->bev, &r, &w, &e, NULL);
    return !r && !w && !e;
}

static void on_sweep(void *arg)
{
    struct httpd *s = arg;
    int64_t now = loop_boot_ms(s->loop);

    for (struct conn **at = &s->conns; *at;) {
        struct conn *c = *at;
        if (is_gone(c)) {
            *at = c->next;
            bufferevent_decref(c->bev);
            mem_free(c);
            s->n--;
            continue;
        }
        if (now >= c->until_ms && !c->cut) {
            c->cut = true;
            (void)shutdown(bufferevent_getfd(c->bev), SHUT_RDWR); /* evhttp hears of the end */
        }
        at = &c->next;
    }
    if (s->n < s->o.max_conns)
        evconnlistener_enable(s->listener);
    if (s->n > 0)
        loop_timer_set(s->sweep, SWEEP_MS);
}

/* A connection was accepted. NULL would make evhttp take a bufferevent of its own, which nothing
 * here bounds: only when memory has run out. */
static struct bufferevent *on_new(struct event_base *base, void *arg)
{
    struct httpd *s = arg;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct conn *c;

    if (!bev)
        return NULL;
    s->starved = false;
    bufferevent_incref(bev);
    c = mem_alloc(sizeof(*c));
    c->bev = bev;
    c->until_ms = loop_boot_ms(s->loop) + s->o.total_ms;
    c->next = s->conns;
    s->conns = c;
    if (++s->n >= s->o.max_conns)
        evconnlistener_disable(s->listener);
    if (s->n == 1)
        loop_timer_set(s->sweep, SWEEP_MS);
    return bev;
}

/* No descriptor, mostly: libevent would try again at once, for ever, and write a line each time. */
static void on_accept_error(struct evconnlistener *listener, void *evhttps)
{
    struct httpd *s = all;

    (void)evhttps;
    while (s && s->listener != listener)
        s = s->next;
    if (!s)
        return;
    if (!s->starved)
        log_warn("http", "cannot accept a connection: %s", strerror(errno));
    s->starved = true;
    evconnlistener_disable(listener);
    loop_timer_set(s->sweep, SWEEP_MS);
}

static const char *method_of(struct evhttp_request *req)
{
    switch (evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    default:
        return "POST"; /* no other is allowed */
    }
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct httpd *s = arg;
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    struct httpd_request r = {.method = method_of(req),
                              .path = path ? path : "/",
                              .body_len = evbuffer_get_length(in),
                              .native = req};
    struct httpd_reply reply = {.status = 200, .type = "text/plain; charset=utf-8"};
    struct evkeyvalq *head = evhttp_request_get_output_headers(req);

    r.body = r.body_len ? (const char *)evbuffer_pullup(in, -1) : "";
    buf_init(&reply.body, MAX_REPLY);
    s->fn(s->arg, &r, &reply);
    evhttp_add_header(head, "Content-Type", reply.type);
    evhttp_add_header(head, "Connection", "close");
    evhttp_add_header(head, "Cache-Control", "no-store");
    evhttp_add_header(head, "X-Content-Type-Options", "nosniff");
    if (strcmp(r.method, "HEAD") != 0)
        evbuffer_add(evhttp_request_get_output_buffer(req), buf_str(&reply.body), reply.body.len);
    evhttp_send_reply(req, reply.status, NULL, NULL);
    buf_free(&reply.body);
}

/* Of a listening socket, connections inherit it. */
static int tune(struct evconnlistener *l)
{
    int one = 1;

    return setsockopt(evconnlistener_get_fd(l), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static struct httpd *fail(struct httpd *s)
{
    httpd_free(s);
    return NULL;
}

struct httpd *httpd_listen(struct loop *l, const struct httpd_options *o, httpd_fn *fn, void *arg,
                           struct err *e)
{
    struct httpd *s = mem_alloc(sizeof(*s));
    struct sockaddr_storage a;
    socklen_t len;
    struct timeval idle;

    s->loop = l;
    s->o = *o;
    s->fn = fn;
    s->arg = arg;
    s->o.max_conns = o->max_conns ? o->max_conns : 32;
    s->o.idle_ms = o->idle_ms ? o->idle_ms : 5000;
    s->o.total_ms = o->total_ms ? o->total_ms : 15000;
    s->sweep = loop_timer_new(l, on_sweep, s);
    if (address_parse(o->listen, 0, &a, &len)) {
        err_set(e, ERR_INPUT,
                "listen: needs an address and a port, write e.g. \"127.0.0.1:9117\", got \"%s\"",
                o->listen);
        return fail(s);
    }
    s->http = evhttp_new(loop_base(l));
    s->listener = s->http ? evconnlistener_new_bind(loop_base(l), NULL, NULL,
                                                    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
                                                        LEV_OPT_REUSEABLE,
                                                    128, (struct sockaddr *)&a, (int)len)
                          : NULL;
    if (!s->listener || tune(s->listener)) {
        err_set(e, ERR_IO, "cannot listen on %s: %s", o->listen, strerror(errno));
        if (s->listener)
            evconnlistener_free(s->listener);
        return fail(s);
    }
    if (!evhttp_bind_listener(s->http, s->listener)) {
        evconnlistener_free(s->listener);
        err_set(e, ERR_LIMIT, "cannot listen on %s: out of memory", o->listen);
        return fail(s);
    }
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    idle = (struct timeval){s->o.idle_ms / 1000, s->o.idle_ms % 1000 * 1000};
    evhttp_set_timeout_tv(s->http, &idle);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
    evhttp_set_max_headers_size(s->http, (ev_ssize_t)(o->max_head ? o->max_head : 8192));
    evhttp_set_max_body_size(s->http, (ev_ssize_t)(o->max_body ? o->max_body : 1 << 20));
    evhttp_set_bevcb(s->http, on_new, s);
    evhttp_set_gencb(s->http, on_request, s);
    s->next = all;
    all = s;
    return s;
}

void httpd_free(struct httpd *s)
{
    if (!s)
        return;
    for (struct httpd **at = &all; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    if (s->http)
        evhttp_free(s->http); /* its connections and its listener, too */
    while (s->conns) {
        struct conn *c = s->conns;
        s->conns = c->next;
        bufferevent_decref(c->bev);
        mem_free(c);
    }
    loop_timer_free(s->sweep);
    mem_free(s);
}
