/* Redis: hiredis formats commands and parses answers straight into JSON values; libevent's
 * bufferevents carry them, TLS or not. */
#include "io/redis.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/connect.h"
#include "io/tls.h"

#define CONNECT_MS 3000
#define REPLY_BYTES_MAX (4u << 20)
#define REPLY_ELEMENTS_MAX 10000
#define WHOLE_NUMBER_MAX 9007199254740992LL /* 2^53: above it a JSON number is not exact */

enum state {
    REDIS_DOWN,
    REDIS_RESOLVING,
    REDIS_CONNECTING, /* TCP, TLS */
    REDIS_AUTH,
    REDIS_READY,
    REDIS_RUNNING,
};

struct command {
    struct command *next;
    char *text; /* as hiredis formats it */
    size_t len;
    int64_t timeout_ms;
    redis_fn *fn; /* NULL: forgotten */
    void *arg;
};

struct redis {
    struct loop *loop;
    struct resolver *resolver;
    char *host, *user, *password;
    int port;
    struct ssl_ctx_st *ctx; /* NULL: plain */
    int64_t connect_ms;

    enum state state;
    struct resolve_call *resolving;
    struct bufferevent *bev;
    redisReader *reader;
    size_t fed, elements; /* of the reply that comes in */
    bool too_much;
    struct loop_timer *timer;
    struct command *first, **end;
    uint64_t generation; /* of the connection */
    bool dead;
};

static void advance(struct redis *r);

/* hiredis's reader calls these; NULL means out of memory to it, and ends the parse: that is how a
 * limit is kept. */

static struct json *place(const redisReadTask *task, struct json *value)
{
    if (task->parent)
        json_add(task->parent->obj, value);
    return value;
}

static bool count_element(const redisReadTask *task, size_t n)
{
    struct redis *r = task->privdata;
    r->elements += n;
    if (r->elements > REPLY_ELEMENTS_MAX)
        r->too_much = true;
    return !r->too_much;
}

static void *make_string(const redisReadTask *task, char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);
    if (len)
        memcpy(copy, text, len);
    for (size_t i = 0; i < len; i++)
        if (!text[i])
            copy[i] = '?'; /* JSON's strings end at a NUL here */
    /* Inside a list an error is shown as text, with the minus sign that it came with. */
    char *shown = task->type == REDIS_REPLY_ERROR && task->parent ? mem_printf("-%s", copy) : NULL;
    struct json *j = json_new_str(shown ? shown : copy);
    mem_free(shown);
    mem_free(copy);
    return place(task, j);
}

static void *make_list(const redisReadTask *task, int elements)
{
    /* hiredis's own allocates what the other side announces, at once. */
    return elements < 0 || !count_element(task, (size_t)elements) ? NULL
                                                                  : place(task, json_new_list());
}

static void *make_integer(const redisReadTask *task, long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    bool exact = value <= WHOLE_NUMBER_MAX && value >= -WHOLE_NUMBER_MAX;
    return place(task, task->parent && exact ? json_new_num((double)value) : json_new_str(text));
}

static void *make_nil(const redisReadTask *task)
{
    return place(task, json_new_null());
}

static void free_reply(void *reply)
{
    json_free(reply);
}

static redisReplyObjectFunctions makers = {make_string, make_list, make_integer, make_nil,
                                           free_reply};

/* Commands. */

static int fail(struct redis *r, struct err *e, int code, const char *text)
{
    return err_set(e, code, "Redis %s:%d: %s", r->host, r->port, text);
}

static void command_free(struct command *c)
{
    redisFreeCommand(c->text);
    mem_free(c);
}

static struct command *take_first(struct redis *r)
{
    struct command *c = r->first;
    r->first = c->next;
    if (!r->first)
        r->end = &r->first;
    return c;
}

static void free_bev(void *arg)
{
    bufferevent_free(arg);
}

static void disconnect(struct redis *r)
{
    resolve_cancel(r->resolving);
    r->resolving = NULL;
    if (r->bev) {
        bufferevent_setcb(r->bev, NULL, NULL, NULL, NULL);
        bufferevent_disable(r->bev, EV_READ | EV_WRITE);
        loop_defer(r->loop, free_bev, r->bev); /* we may be inside its callback */
    }
    r->bev = NULL;
    if (r->reader)
        redisReaderFree(r->reader);
    r->reader = NULL;
    r->generation++;
    r->fed = r->elements = 0;
    r->too_much = false;
    loop_timer_stop(r->timer);
    r->state = REDIS_DOWN;
}

static void go_on_if_down(struct redis *r)
{
    if (!r->dead && r->first && r->state == REDIS_DOWN)
        loop_timer_set(r->timer, 0);
}

/* No connection: all that wait fail alike, none has left. */
static void fail_waiting(struct redis *r, const struct err *e)
{
    struct err why = *e;
    disconnect(r);
    struct command *mine = r->first;
    r->first = NULL;
    r->end = &r->first;
    while (mine) {
        struct command *c = mine;
        mine = c->next;
        if (c->fn && !r->dead)
            c->fn(c->arg, NULL, false, &why);
        command_free(c);
    }
    go_on_if_down(r);
}

static void fail_running(struct redis *r, const struct err *e)
{
    struct err why = *e;
    disconnect(r);
    struct command *c = take_first(r);
    if (c->fn)
        c->fn(c->arg, NULL, true, &why);
    command_free(c);
    go_on_if_down(r);
}

static void broken(struct redis *r, const struct err *e)
{
    struct err why = ERR_INIT;
    fail(r, &why, e->code, e->text);
    if (r->state == REDIS_RUNNING) {
        fail_running(r, &why);
    } else if (r->state == REDIS_READY) {
        log_debug("redis", "%s; the idle connection is dropped", why.text);
        disconnect(r);
        go_on_if_down(r);
    } else {
        fail_waiting(r, &why);
    }
}

/* Answers. */

static int error_code(const char *text)
{
    if (!strncmp(text, "NOAUTH", 6) || !strncmp(text, "WRONGPASS", 9) ||
        strstr(text, "invalid password") || strstr(text, "without any password configured"))
        return ERR_AUTH;
    if (!strncmp(text, "NOPERM", 6) || !strncmp(text, "READONLY", 8))
        return ERR_DENIED;
    if (!strncmp(text, "OOM", 3))
        return ERR_LIMIT;
    if (!strncmp(text, "LOADING", 7) || !strncmp(text, "BUSY", 4) ||
        !strncmp(text, "MASTERDOWN", 10))
        return ERR_STATE;
    return ERR_INPUT;
}

static void take_reply(struct redis *r, struct json *reply, bool is_error)
{
    struct err e = ERR_INIT;
    r->fed = r->elements = 0;
    if (is_error)
        fail(r, &e, error_code(json_str(reply, "")), json_str(reply, "error"));
    loop_timer_stop(r->timer);
    if (r->state == REDIS_AUTH) {
        if (e.code) {
            fail_waiting(r, &e);
        } else {
            r->state = REDIS_READY;
            advance(r);
        }
    } else {
        uint64_t generation = r->generation;
        struct command *c = take_first(r);
        r->state = REDIS_READY;
        if (c->fn)
            c->fn(c->arg, e.code ? NULL : reply, true, e.code ? &e : NULL);
        command_free(c);
        if (!r->dead && r->generation == generation)
            advance(r);
    }
    json_free(reply);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct redis *r = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct err e = ERR_INIT;
    if (r->state != REDIS_AUTH && r->state != REDIS_RUNNING) {
        err_set(&e, ERR_INPUT, "the server speaks without being asked");
        broken(r, &e);
        return;
    }
    char block[16384];
    int n;
    while ((n = evbuffer_remove(in, block, sizeof block)) > 0) {
        r->fed += (size_t)n;
        if (r->fed > REPLY_BYTES_MAX) {
            err_set(&e, ERR_LIMIT, "the answer is larger than %u bytes", REPLY_BYTES_MAX);
            broken(r, &e);
            return;
        }
        redisReaderFeed(r->reader, block, (size_t)n);
    }
    void *reply = NULL;
    int rc = redisReaderGetReply(r->reader, &reply);
    if (rc != REDIS_OK) {
        if (r->too_much)
            err_set(&e, ERR_LIMIT, "the answer has more than %d elements", REPLY_ELEMENTS_MAX);
        else
            err_set(&e, ERR_INPUT, "the answer is not RESP2: %s", r->reader->errstr);
        broken(r, &e);
        return;
    }
    if (!reply)
        return;
    if (r->reader->pos < r->reader->len) {
        json_free(reply);
        err_set(&e, ERR_INPUT, "the server answers more than it was asked");
        broken(r, &e);
        return;
    }
    /* the root's type stays there */
    take_reply(r, reply, r->reader->rstack[0].type == REDIS_REPLY_ERROR);
}

/* Connecting. */

static void send_auth(struct redis *r)
{
    if (!r->password) {
        r->state = REDIS_READY;
        loop_timer_stop(r->timer);
        advance(r);
        return;
    }
    const char *argv[3] = {"AUTH", r->user ? r->user : r->password, r->password};
    char *text;
    int len = redisFormatCommandArgv(&text, r->user ? 3 : 2, argv, NULL);
    r->state = REDIS_AUTH;
    bufferevent_write(r->bev, text, (size_t)len);
    explicit_bzero(text, (size_t)len);
    redisFreeCommand(text);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct redis *r = arg;
    struct err e = ERR_INIT;
    if (what & BEV_EVENT_CONNECTED) {
        send_auth(r);
        return;
    }
    tls_connect_error(bev, what, &e);
    broken(r, &e);
}

static void on_address(void *arg, const char *address, const struct err *e)
{
    struct redis *r = arg;
    struct err why = ERR_INIT;
    r->resolving = NULL;
    if (e) {
        broken(r, e);
        return;
    }
    r->bev = tls_bufferevent(r->loop, r->ctx, r->host, &why);
    if (!r->bev) {
        broken(r, &why);
        return;
    }
    r->state = REDIS_CONNECTING;
    r->reader = redisReaderCreateWithFunctions(&makers);
    r->reader->privdata = r;
    r->reader->maxbuf = 0; /* give the memory of a large answer back */
    uint64_t generation = r->generation;
    bufferevent_setcb(r->bev, on_read, NULL, on_event, r);
    bufferevent_setwatermark(r->bev, EV_READ, 0, 64u << 10); /* one turn reads no more */
    bufferevent_enable(r->bev, EV_READ | EV_WRITE);
    if (tls_connect(r->bev, address, r->port) && r->generation == generation) {
        err_set(&why, ERR_IO, "cannot connect to %s: %s", address, strerror(errno));
        broken(r, &why);
    }
}

/* libevent reads an idle connection's end by itself; this looks just before use. */
static bool still_up(struct redis *r)
{
    struct pollfd p = {.fd = bufferevent_getfd(r->bev), .events = POLLIN | POLLRDHUP};
    return p.fd >= 0 && (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

static void advance(struct redis *r)
{
    if (r->dead || !r->first)
        return;
    if (r->state == REDIS_READY && !still_up(r))
        disconnect(r);
    if (r->state == REDIS_DOWN) {
        r->state = REDIS_RESOLVING;
        loop_timer_set(r->timer, r->connect_ms);
        r->resolving = resolve(r->resolver, r->host, r->connect_ms, on_address, r);
    } else if (r->state == REDIS_READY) {
        r->state = REDIS_RUNNING;
        loop_timer_set(r->timer, r->first->timeout_ms);
        bufferevent_write(r->bev, r->first->text, r->first->len);
    }
}

static void on_timer(void *arg)
{
    struct redis *r = arg;
    struct err e = ERR_INIT;
    if (r->state == REDIS_DOWN || r->state == REDIS_READY) {
        advance(r);
    } else if (r->state == REDIS_RUNNING) {
        err_set(&e, ERR_TIMEOUT, "no answer after %lld ms; the connection was dropped",
                (long long)r->first->timeout_ms);
        broken(r, &e); /* a late answer would be taken for the next command's */
    } else {
        err_set(&e, ERR_TIMEOUT, "no connection after %lld ms", (long long)r->connect_ms);
        broken(r, &e);
    }
}

/* The interface. */

struct redis *redis_new(struct loop *l, struct resolver *rs, const struct redis_options *o,
                        struct err *e)
{
    struct ssl_ctx_st *ctx = NULL;
    if (o->user && !o->password) {
        err_set(e, ERR_INPUT, "Redis %s: a user without a password", o->host);
        return NULL;
    }
    if (o->tls && !(ctx = tls_client(o->ca_file, o->client_cert, o->client_key, e))) {
        err_wrap(e, "Redis %s", o->host);
        return NULL;
    }
    struct redis *r = mem_alloc(sizeof *r);
    r->loop = l;
    r->resolver = rs;
    r->host = mem_strdup(o->host);
    r->port = o->port ? o->port : 6379;
    r->user = mem_strdup(o->user);
    r->password = mem_strdup(o->password);
    r->ctx = ctx;
    r->connect_ms = o->connect_ms > 0 ? o->connect_ms : CONNECT_MS;
    r->end = &r->first;
    r->timer = loop_timer_new(l, on_timer, r);
    return r;
}

static void free_late(void *arg)
{
    mem_free(arg);
}

void redis_free(struct redis *r)
{
    if (!r)
        return;
    r->dead = true;
    disconnect(r);
    while (r->first)
        command_free(take_first(r));
    loop_timer_free(r->timer);
    tls_free(r->ctx);
    if (r->password)
        explicit_bzero(r->password, strlen(r->password));
    mem_free(r->password);
    mem_free(r->user);
    mem_free(r->host);
    loop_defer(r->loop, free_late, r); /* we may be inside one of its callbacks */
}

void redis_command(struct redis *r, const char *const *argv, size_t argc, int64_t timeout_ms,
                   redis_fn *fn, void *arg)
{
    struct command *c = mem_alloc(sizeof *c);
    size_t *lens = mem_calloc(argc + 1, sizeof *lens);
    for (size_t i = 0; i < argc; i++)
        lens[i] = strlen(argv[i]);
    /* hiredis's prototype lacks a const */
    const char **copy = mem_calloc(argc + 1, sizeof *copy);
    memcpy(copy, argv, argc * sizeof *copy);
    c->len = (size_t)redisFormatCommandArgv(&c->text, (int)argc, copy, lens);
    mem_free(copy);
    mem_free(lens);
    c->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
    c->fn = fn;
    c->arg = arg;
    bool idle = !r->first;
    *r->end = c;
    r->end = &c->next;
    if (idle && (r->state == REDIS_DOWN || r->state == REDIS_READY))
        loop_timer_set(r->timer, 0);
}

void redis_forget(struct redis *r, void *arg)
{
    struct command **at = &r->first;
    while (*at) {
        struct command *c = *at;
        if (c->arg == arg && !(c == r->first && r->state == REDIS_RUNNING)) {
            *at = c->next;
            command_free(c);
            continue;
        }
        if (c->arg == arg)
            c->fn = NULL;
        at = &c->next;
    }
    r->end = at;
}
