/* PostgreSQL over libpq's non-blocking interface: one connection, a queue of statements, a deadline
 * on each part. */
#include "io/pg.h"

#include <errno.h>
#include <event2/event.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/pg_libpq.h"
#include "io/pg_rows.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"
#define CONNECT_MS 5000
#define RECEIVE_BUFFER (64 << 10)
#define GRACE_MS 1000 /* after the server's own statement_timeout */

enum state {
    PG_DOWN,       /* no connection, nothing under way */
    PG_RESOLVING,  /* the name */
    PG_SIGNING,    /* for a password that is made for this connection */
    PG_CONNECTING, /* libpq's start-up, TLS, authentication */
    /* the session's settings, or a statement_timeout that differs from the last */
    PG_SETTING,
    /* idle; the socket is watched, so that a server that went away is noticed before the next
       statement */
    PG_READY,
    PG_RUNNING,
};

struct query {
    struct query *next;
    char *sql;
    char **params;
    size_t nparams;
    int64_t timeout_ms;
    pg_fn *fn; /* NULL: forgotten */
    void *arg;
};

struct pg {
    struct loop *loop;
    struct resolver *resolver;
    char *host, *database, *user, *password, *sslmode, *ca_file, *client_cert, *client_key,
        *application;
    int port;
    int64_t connect_ms;

    enum state state;
    PGconn *conn;
    struct event *ev;
    struct resolve_call *resolving;
    char *address; /* while a password is waited for; NULL: a socket file */
    void (*ask_password)(void *arg, struct pg *p);
    void *ask_arg;
    struct loop_timer *timer; /* the deadline of what is under way, or 0: begin */
    struct query *first, **end;
    int64_t server_timeout_ms; /* the session's statement_timeout now; -1: not set yet */
    uint64_t generation;       /* of the connection: a callback may end the one it came from */
    uint64_t received_before;  /* bytes on the socket when the statement began */
    struct pg_rows *rows;
    struct err err; /* the running statement's */
    bool dead, read_only;
};

static void advance(struct pg *p);
static void wait_socket(struct pg *p, short what);

/* What is said of this server. */
static int fail(struct pg *p, struct err *e, int code, const char *text)
{
    char line[512];
    size_t n = 0;
    for (; text && *text && n + 1 < sizeof line; text++)
        line[n++] = *text == '\n' || *text == '\r' || *text == '\t' ? ' ' : *text;
    while (n > 0 && line[n - 1] == ' ')
        n--;
    line[n] = '\0';
    if (p->host[0] == '/')
        return err_set(e, code, "PostgreSQL %s/.s.PGSQL.%d, database %s: %s", p->host, p->port,
                       p->database, line);
    return err_set(e, code, "PostgreSQL %s:%d, database %s: %s", p->host, p->port, p->database,
                   line);
}

static int connect_error(struct pg *p, struct err *e)
{
    char text[512];
    int code = pg_connect_error(p->conn, text, sizeof text);
    return fail(p, e, code, text);
}

/* Statements. */

static void query_free(struct query *q)
{
    for (size_t i = 0; i < q->nparams; i++)
        mem_free(q->params[i]);
    mem_free(q->params);
    mem_free(q->sql);
    mem_free(q);
}

static struct query *take_first(struct pg *p)
{
    struct query *q = p->first;
    p->first = q->next;
    if (!p->first)
        p->end = &p->first;
    return q;
}

/* Tells the first statement's owner; it may call anything of ours, pg_free too. */
static void tell_first(struct pg *p, const struct pg_rows *rows, bool left, const struct err *e)
{
    struct query *q = take_first(p);
    if (q->fn)
        q->fn(q->arg, rows, left, e);
    query_free(q);
}

static void disconnect(struct pg *p)
{
    resolve_cancel(p->resolving);
    p->resolving = NULL;
    mem_free(p->address);
    p->address = NULL;
    if (p->ev)
        /* before libpq closes the descriptor: its number may come back at once */
        event_free(p->ev);
    p->ev = NULL;
    if (p->conn)
        PQfinish(p->conn); /* in non-blocking mode it does not wait for the socket */
    p->conn = NULL;
    pg_rows_free(p->rows);
    p->rows = NULL;
    p->err = (struct err)ERR_INIT;
    p->server_timeout_ms = -1;
    p->generation++;
    loop_timer_stop(p->timer);
    p->state = PG_DOWN;
}

/* No connection: every statement that waits fails alike, none has left. */
static void fail_waiting(struct pg *p, const struct err *e)
{
    struct err why = *e;
    disconnect(p);
    /* those that a callback adds get a connection attempt of their own */
    struct query *mine = p->first;
    p->first = NULL;
    p->end = &p->first;
    while (mine && !p->dead) {
        struct query *q = mine;
        mine = q->next;
        if (q->fn)
            q->fn(q->arg, NULL, false, &why);
        query_free(q);
    }
    while (mine) { /* freed meanwhile: silence */
        struct query *q = mine;
        mine = q->next;
        query_free(q);
    }
    if (!p->dead && p->first && p->state == PG_DOWN)
        loop_timer_set(p->timer, 0);
}

/* The connection is of no more use in the middle of the first statement; those behind it get a new
 * one. */
static void fail_running(struct pg *p, const struct err *e)
{
    struct err why = *e;
    bool left = p->state == PG_RUNNING;
    disconnect(p);
    tell_first(p, NULL, left, &why);
    if (!p->dead && p->first && p->state == PG_DOWN)
        loop_timer_set(p->timer, 0);
}

/* The connection broke while something of the first statement was under way. */
static void lost(struct pg *p)
{
    struct err e = p->err; /* what the server said before it closed */
    if (!e.code)
        fail(p, &e, ERR_IO, PQerrorMessage(p->conn));
    fail_running(p, &e);
}

/* Connecting. */

static void on_notice(void *arg, const PGresult *r)
{
    (void)arg;
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    log_debug("pg", "notice: %s", text ? text : "");
}

static void connect_step(struct pg *p)
{
    struct err e = ERR_INIT;
    switch (PQconnectPoll(p->conn)) {
    case PGRES_POLLING_READING:
        wait_socket(p, EV_READ);
        return;
    case PGRES_POLLING_WRITING:
        wait_socket(p, EV_WRITE);
        return;
    case PGRES_POLLING_OK:
        if (PQsetnonblocking(p->conn, 1) == 0) {
            /* libpq reads a long row as long as there is something to read. A small window lets the
             * socket run dry within a turn; over loopback, where the sender keeps up, a single row
             * of many megabytes can still hold a turn for longer than it should. */
            int size = RECEIVE_BUFFER;
            setsockopt(PQsocket(p->conn), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
            PQsetErrorVerbosity(p->conn, PQERRORS_DEFAULT);
            p->state = PG_READY;
            loop_timer_stop(p->timer);
            advance(p);
            return;
        }
        break;
    default:
        break;
    }
    connect_error(p, &e);
    fail_waiting(p, &e);
}

static void start_connection(struct pg *p, const char *address)
{
    char port[16];
    snprintf(port, sizeof port, "%d", p->port);
    /* Whatever is not said here comes from PG* in the environment or a file in the user's home. In
     * a string, unlike in libpq's arrays, an empty value counts as said. */
    const char *pairs[][2] = {
        {"host", p->host},
        {"hostaddr", address},
        {"port", port},
        {"dbname", p->database},
        {"user", p->user},
        {"password", p->password ? p->password : ""},
        {"passfile", "/nonexistent"},
        {"options", ""},
        {"sslmode", p->sslmode},
        {"sslrootcert", p->ca_file},
        {"sslcert", p->client_cert},
        {"sslkey", p->client_key},
        {"ssl_min_protocol_version", "TLSv1.2"},
        {"gssencmode", "disable"},
        {"client_encoding", "UTF8"},
        {"application_name", p->application},
        {"tcp_user_timeout", "10000"},
        {"target_session_attrs", "any"},
    };
    struct buf info;
    buf_init(&info, 64u << 10);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        pg_conninfo_add(&info, pairs[i][0], pairs[i][1]);
    struct err e = ERR_INIT;
    p->state = PG_CONNECTING;
    p->conn = info.overflow ? NULL : PQconnectStart(buf_str(&info));
    if (info.data)
        explicit_bzero(info.data, info.len);
    buf_free(&info);
    if (!p->conn || PQstatus(p->conn) == CONNECTION_BAD) {
        if (p->conn)
            connect_error(p, &e);
        else
            fail(p, &e, ERR_LIMIT, "no memory, or options of more than 64 KiB");
        fail_waiting(p, &e);
        return;
    }
    PQsetErrorVerbosity(p->conn, PQERRORS_VERBOSE);
    PQsetNoticeReceiver(p->conn, on_notice, NULL);
    /* as libpq's manual says: as if PQconnectPoll had asked for writing */
    wait_socket(p, EV_WRITE);
}

static void sign_in(struct pg *p, const char *address)
{
    if (!p->ask_password) {
        start_connection(p, address);
        return;
    }
    p->address = mem_strdup(address);
    p->state = PG_SIGNING;
    p->ask_password(p->ask_arg, p);
}

void pg_sign_in(struct pg *p, const char *password, const struct err *e)
{
    if (p->state != PG_SIGNING)
        return;
    if (!password) {
        struct err why = ERR_INIT;
        fail(p, &why, e && e->code ? e->code : ERR_AUTH, e ? e->text : "there is no password");
        fail_waiting(p, &why);
        return;
    }
    pg_set_password(p, password);
    start_connection(p, p->address);
    pg_set_password(p, NULL); /* libpq has a copy */
}

static void on_address(void *arg, const char *address, const struct err *e)
{
    struct pg *p = arg;
    p->resolving = NULL;
    if (e) {
        struct err why = ERR_INIT;
        fail(p, &why, e->code, e->text);
        fail_waiting(p, &why);
        return;
    }
    sign_in(p, address);
}

static void begin(struct pg *p)
{
    p->state = PG_RESOLVING;
    loop_timer_set(p->timer, p->connect_ms);
    if (p->host[0] == '/')
        sign_in(p, NULL);
    else
        p->resolving = resolve(p->resolver, p->host, p->connect_ms, on_address, p);
}

/* Running. */

static void send_settings(struct pg *p, int64_t timeout_ms)
{
    char sql[512];
    /* client_connection_check_interval exists from PostgreSQL 14 on; through pg_settings an older
     * server is fine too. With it the server notices that we dropped the connection, and ends the
     * statement. The path keeps functions out that users made. */
    if (p->server_timeout_ms < 0)
        snprintf(
            sql, sizeof sql,
            "SELECT pg_catalog.set_config(name, CASE name WHEN 'statement_timeout' THEN '%lld' "
            "WHEN 'search_path' THEN 'pg_catalog' WHEN 'default_transaction_read_only' THEN 'on' "
            "ELSE '1000' END, false) FROM pg_catalog.pg_settings WHERE name IN "
            "('statement_timeout', 'search_path', 'client_connection_check_interval'%s)",
            (long long)timeout_ms, p->read_only ? ", 'default_transaction_read_only'" : "");
    else
        snprintf(sql, sizeof sql, "SET statement_timeout = %lld", (long long)timeout_ms);
    p->state = PG_SETTING;
    p->server_timeout_ms = timeout_ms;
    loop_timer_set(p->timer, timeout_ms + GRACE_MS);
    if (!PQsendQuery(p->conn, sql)) {
        lost(p);
        return;
    }
    wait_socket(p, EV_READ);
}

static void send_first(struct pg *p)
{
    struct query *q = p->first;
    p->err = (struct err)ERR_INIT;
    p->rows = pg_rows_new();
    p->received_before = pg_bytes_received(p->conn);
    p->state = PG_RUNNING;
    loop_timer_set(p->timer, q->timeout_ms + GRACE_MS);
    if (!PQsendQueryParams(p->conn, q->sql, (int)q->nparams, NULL, (const char *const *)q->params,
                           NULL, NULL, 0)) {
        lost(p);
        return;
    }
    PQsetSingleRowMode(p->conn); /* else libpq keeps all rows, however many */
    wait_socket(p, EV_READ);
}

/* Whether the idle connection still is one, looked at just before it is used. */
static bool still_up(struct pg *p)
{
    struct pollfd s = {.fd = PQsocket(p->conn), .events = POLLIN};
    if (poll(&s, 1, 0) > 0 && (!PQconsumeInput(p->conn) || PQstatus(p->conn) != CONNECTION_OK))
        return false;
    return true;
}

/* Does the next thing that the queue asks for. */
static void advance(struct pg *p)
{
    if (p->dead)
        return;
    if (p->state == PG_DOWN) {
        if (p->first)
            begin(p);
        return;
    }
    if (p->state != PG_READY)
        return;
    if (!p->first) {
        wait_socket(p, EV_READ);
        return;
    }
    if (!still_up(p)) {
        log_debug("pg", "%s:%d has ended our idle connection", p->host, p->port);
        disconnect(p);
        begin(p);
        return;
    }
    if (p->server_timeout_ms != p->first->timeout_ms)
        send_settings(p, p->first->timeout_ms);
    else
        send_first(p);
}

static void note_error(struct pg *p, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE),
               *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (p->err.code)
        return; /* the first one says why */
    char line[512];
    snprintf(line, sizeof line, "SQLSTATE %s: %s", state ? state : "unknown",
             text ? text : PQresultErrorMessage(r));
    fail(p, &p->err, state ? pg_sqlstate_code(state) : ERR_IO, line);
}

/* One result of the statement that runs. Returns false when the connection had to be dropped. */
static bool take_result(struct pg *p, const PGresult *r)
{
    switch (PQresultStatus(r)) {
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (p->state == PG_RUNNING && !pg_rows_add(p->rows, r)) {
            struct err e = ERR_INIT;
            fail(p, &e, ERR_LIMIT, "the result is larger than 100,000 rows or 16 MiB");
            fail_running(p, &e);
            return false;
        }
        return true;
    case PGRES_EMPTY_QUERY:
        return true;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH: {
        struct err e = ERR_INIT;
        fail(p, &e, ERR_INPUT, "COPY is not supported here");
        fail_running(p, &e);
        return false;
    }
    default:
        note_error(p, r);
        return true;
    }
}

static void statement_ended(struct pg *p)
{
    uint64_t generation = p->generation;
    loop_timer_stop(p->timer);
    if (PQstatus(p->conn) != CONNECTION_OK) {
        struct err e = p->err;
        if (!e.code)
            fail(p, &e, ERR_IO, "the connection ended");
        fail_running(p, &e);
        return;
    }
    bool was_setting = p->state == PG_SETTING;
    p->state = PG_READY;
    if (was_setting) {
        if (p->err.code) {
            struct err e = p->err;
            p->err = (struct err)ERR_INIT;
            fail_waiting(p, &e); /* a server that refuses its settings gets no statement */
            return;
        }
        advance(p);
        return;
    }
    if (p->read_only)
        p->server_timeout_ms = -1;
    struct pg_rows *rows = p->rows;
    struct err e = p->err;
    p->rows = NULL;
    p->err = (struct err)ERR_INIT;
    tell_first(p, e.code ? NULL : rows, true, e.code ? &e : NULL);
    pg_rows_free(rows);
    if (!p->dead && p->generation == generation)
        advance(p);
}

static void run_step(struct pg *p, short what)
{
    if ((what & EV_READ) && !PQconsumeInput(p->conn)) {
        lost(p);
        return;
    }
    int rc = PQflush(p->conn);
    if (rc < 0) {
        lost(p);
        return;
    }
    uint64_t generation = p->generation;
    while (!PQisBusy(p->conn)) {
        PGresult *r = PQgetResult(p->conn);
        if (!r) {
            statement_ended(p);
            return;
        }
        bool go_on = take_result(p, r);
        PQclear(r);
        if (!go_on || p->dead || p->generation != generation)
            return;
    }
    /* A single row without end gives no result to count: the socket's count is looked at. */
    if (p->state == PG_RUNNING && pg_bytes_received(p->conn) - p->received_before > PG_WIRE_MAX) {
        struct err e = ERR_INIT;
        fail(p, &e, ERR_LIMIT, "the server sent more than 32 MiB for one result");
        fail_running(p, &e);
        return;
    }
    wait_socket(p, (short)(EV_READ | (rc ? EV_WRITE : 0)));
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct pg *p = arg;
    switch (p->state) {
    case PG_CONNECTING:
        connect_step(p);
        return;
    case PG_SETTING:
    case PG_RUNNING:
        run_step(p, what);
        return;
    case PG_READY:
        if (!PQconsumeInput(p->conn) || PQstatus(p->conn) != CONNECTION_OK) {
            log_debug("pg", "%s:%d has ended our idle connection", p->host, p->port);
            disconnect(p);
            advance(p);
            return;
        }
        wait_socket(p, EV_READ);
        return;
    default:
        return;
    }
}

/* Not persistent, and made anew each time: libpq changes its socket between attempts. */
static void wait_socket(struct pg *p, short what)
{
    if (p->ev)
        event_free(p->ev);
    /* While a statement is sent its rest may still be in libpq's buffer. */
    if ((p->state == PG_SETTING || p->state == PG_RUNNING) && !(what & EV_WRITE) &&
        PQflush(p->conn) == 1)
        what = (short)(what | EV_WRITE);
    p->ev = event_new(loop_base(p->loop), PQsocket(p->conn), what, on_socket, p);
    event_add(p->ev, NULL);
}

static void on_timer(void *arg)
{
    struct pg *p = arg;
    struct err e = ERR_INIT;
    char text[96];
    long long answer_ms = p->server_timeout_ms + GRACE_MS;
    switch (p->state) {
    case PG_DOWN:
    case PG_READY:
        advance(p);
        return;
    case PG_RESOLVING:
    case PG_SIGNING:
    case PG_CONNECTING:
        snprintf(text, sizeof text, "no %s after %lld ms",
                 p->state == PG_SIGNING ? "password to sign in with" : "connection",
                 (long long)p->connect_ms);
        fail(p, &e, ERR_TIMEOUT, text);
        fail_waiting(p, &e);
        return;
    default:
        snprintf(text, sizeof text, "no answer after %lld ms; the connection was dropped",
                 answer_ms);
        fail(p, &e, ERR_TIMEOUT, text);
        fail_running(p, &e);
        return;
    }
}

/* The interface. */

struct pg *pg_new(struct loop *l, struct resolver *r, const struct pg_options *o)
{
    struct pg *p = mem_alloc(sizeof *p);
    p->loop = l;
    p->resolver = r;
    p->host = mem_strdup(o->host);
    p->port = o->port ? o->port : 5432;
    p->database = mem_strdup(o->database ? o->database : "postgres");
    p->user = mem_strdup(o->user);
    p->password = mem_strdup(o->password);
    p->sslmode = mem_strdup(o->sslmode ? o->sslmode : "verify-full");
    /* libpq takes "require" for "verify-ca" where a CA file is given. */
    bool verify = !strncmp(p->sslmode, "verify-", 7);
    p->ca_file = mem_strdup(o->ca_file ? o->ca_file : verify ? SYSTEM_CA : NULL);
    p->client_cert = mem_strdup(o->client_cert);
    p->client_key = mem_strdup(o->client_key);
    p->application = mem_strdup(o->application ? o->application : "runbookd");
    p->ask_password = o->ask_password;
    p->ask_arg = o->ask_arg;
    p->read_only = o->read_only;
    p->connect_ms = o->connect_ms > 0 ? o->connect_ms : CONNECT_MS;
    p->server_timeout_ms = -1;
    p->end = &p->first;
    p->timer = loop_timer_new(l, on_timer, p);
    return p;
}

void pg_set_password(struct pg *p, const char *password)
{
    if (p->password)
        explicit_bzero(p->password, strlen(p->password));
    mem_free(p->password);
    p->password = mem_strdup(password);
}

static void free_late(void *arg)
{
    struct pg *p = arg;
    mem_free(p);
}

void pg_free(struct pg *p)
{
    if (!p)
        return;
    p->dead = true;
    disconnect(p);
    while (p->first)
        query_free(take_first(p));
    loop_timer_free(p->timer);
    pg_set_password(p, NULL);
    char *all[] = {p->host,    p->database,    p->user,       p->sslmode,
                   p->ca_file, p->client_cert, p->client_key, p->application};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        mem_free(all[i]);
    loop_defer(p->loop, free_late, p); /* we may be inside one of its callbacks */
}

void pg_query(struct pg *p, const char *sql, const char *const *params, size_t nparams,
              int64_t timeout_ms, pg_fn *fn, void *arg)
{
    struct query *q = mem_alloc(sizeof *q);
    q->sql = mem_strdup(sql);
    q->params = mem_calloc(nparams + 1, sizeof(char *));
    q->nparams = nparams;
    for (size_t i = 0; i < nparams; i++)
        q->params[i] = mem_strdup(params[i]);
    q->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
    q->fn = fn;
    q->arg = arg;
    bool idle = !p->first;
    *p->end = q;
    p->end = &q->next;
    if (idle && (p->state == PG_DOWN || p->state == PG_READY))
        loop_timer_set(p->timer, 0);
}

void pg_forget(struct pg *p, void *arg)
{
    /* The first may be on its way to the server; the others have not begun. */
    bool first_runs = p->state == PG_SETTING || p->state == PG_RUNNING;
    struct query **at = &p->first;
    while (*at) {
        struct query *q = *at;
        if (q->arg != arg || (q == p->first && first_runs)) {
            if (q->arg == arg)
                q->fn = NULL;
            at = &q->next;
            continue;
        }
        *at = q->next;
        query_free(q);
    }
    p->end = at;
}
