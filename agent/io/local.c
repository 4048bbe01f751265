/* Lines over a Unix socket on libevent's bufferevents, with caps on everything the other side can
 * make us hold. */
#include "io/local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/user.h"

#define ACCEPT_AGAIN_MS 50
#define SILENT_MS 50

struct conn {
    struct local *server;
    uint64_t id;
    struct bufferevent *bev;
    struct loop_timer *timer;
    struct local_peer peer;
    int64_t silent_ms; /* since then it is for the other side to say something */
    bool asked;        /* a line was handed over and is not answered yet */
    bool ending;       /* closed once all is written */
    bool ended;        /* the other end has sent all it will, and may still read */
    bool dead;
    struct conn *next;
};

struct local {
    struct loop *loop;
    struct local_options o;
    char *path;
    int fd;
    int spare; /* a descriptor for who comes when there is none left, or -1 */
    dev_t dev;
    ino_t ino;
    struct event *accept;
    struct loop_timer *again; /* what could not be accepted is tried then */
    local_fn *fn;
    void *arg;
    struct conn *conns;
    size_t nconns;
    uint64_t next_id;
};

static void really_close(void *arg)
{
    struct conn *c = arg;

    bufferevent_free(c->bev);
    loop_timer_free(c->timer);
    mem_free(c);
}

static void close_conn(struct conn *c)
{
    if (c->dead)
        return;
    c->dead = true;
    for (struct conn **at = &c->server->conns; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    c->server->nconns--;
    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
    bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
    loop_timer_stop(c->timer);
    loop_defer(c->server->loop, really_close, c);
}

static void end_with(struct conn *c, const char *line)
{
    c->ending = true;
    bufferevent_disable(c->bev, EV_READ);
    evbuffer_add_printf(bufferevent_get_output(c->bev), "%s\n", line);
    loop_timer_set(c->timer, 5000);
}

static void on_timer(void *arg)
{
    struct conn *c = arg;

    if (c->asked && !c->ending) {
        c->asked = false;
        end_with(c, "{\"error\":\"no answer in time; it may still be carried out\"}");
        return;
    }
    close_conn(c);
}

static void next_line(struct conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    size_t len = 0;
    char *line;

    if (c->asked || c->ending || c->dead)
        return;
    line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
    if (!line) {
        if (evbuffer_get_length(in) > c->server->o.max_line) {
            end_with(c, "{\"error\":\"the line is too long\"}");
        } else if (c->ended) {
            c->ending = true; /* all is answered */
            loop_timer_set(c->timer, 5000);
            if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
                close_conn(c);
        }
        return;
    }
    if (len > c->server->o.max_line) {
        end_with(c, "{\"error\":\"the line is too long\"}");
    } else {
        c->asked = true;
        loop_timer_set(c->timer, c->server->o.answer_ms);
        c->server->fn(c->server->arg, c->id, &c->peer, line, len);
    }
    free(line);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;

    (void)bev;
    /* What comes while an answer is due is held, up to a line; the rest stays in the kernel. */
    next_line(c);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;

    if (c->ending && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        close_conn(c);
}

/* Gone altogether, and not only done with sending (shutdown(2), as `nc -N` does it). */
static bool hung_up(const struct conn *c)
{
    struct pollfd p = {.fd = bufferevent_getfd(c->bev)};

    return poll(&p, 1, 0) != 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *c = arg;

    (void)bev;
    if ((what & BEV_EVENT_EOF) && c->ending)
        return; /* it has stopped sending, not reading */
    if ((what & BEV_EVENT_EOF) && !hung_up(c)) {
        c->ended = true;
        next_line(c); /* what it has sent is answered still */
        return;
    }
    close_conn(c);
}

static void on_more(void *arg)
{
    struct conn *c = arg;

    if (!c->dead) /* a dead one is freed by a later deferred call */
        next_line(c);
}

void local_send(struct local *s, uint64_t id, const char *text)
{
    struct evbuffer *out;

    for (struct conn *c = s->conns; c; c = c->next) {
        if (c->id != id)
            continue;
        if (!c->asked)
            return;
        c->asked = false;
        out = bufferevent_get_output(c->bev);
        if (evbuffer_get_length(out) + strlen(text) > s->o.max_unread) {
            end_with(c, "{\"error\":\"the answer is too long\"}");
            return;
        }
        evbuffer_add(out, text, strlen(text));
        evbuffer_add(out, "\n", 1);
        c->silent_ms = loop_boot_ms(s->loop);
        loop_timer_set(c->timer, s->o.idle_ms);
        loop_defer(s->loop, on_more,
                   c); /* not from here: pipelined lines must not become a deep stack */
        return;
    }
}

static const char too_many[] = "{\"error\":\"too many connections\"}\n";

/* A freeze must not wait until those who hold a connection and say nothing have run out of time.
 * Of who has only just come the line may be on its way. */
static bool make_place(struct local *s)
{
    struct conn *longest = NULL;
    int64_t before = loop_boot_ms(s->loop) - SILENT_MS;

    for (struct conn *c = s->conns; c; c = c->next)
        if (!c->asked && !c->ending && c->silent_ms <= before &&
            (!longest || c->silent_ms <= longest->silent_ms))
            longest = c; /* the newest stands first */
    if (!longest)
        return false;
    if (evbuffer_get_length(bufferevent_get_output(longest->bev)) == 0)
        (void)!send(bufferevent_getfd(longest->bev), too_many, sizeof(too_many) - 1,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    close_conn(longest);
    return true;
}

/* ACCEPT_AGAIN_MS instead of at once and for ever, as the descriptor stays readable. */
static void on_again(void *arg)
{
    struct local *s = arg;

    (void)event_add(s->accept, NULL);
}

/* The socket of who comes, or -1. */
static int accept_one(struct local *s)
{
    int sock;

    if (s->spare < 0)
        s->spare = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    sock = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (sock >= 0 || (errno != EMFILE && errno != ENFILE))
        return sock;
    if (s->spare >= 0) {
        close(s->spare);
        s->spare = -1;
        return accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    (void)make_place(s);
    (void)event_del(s->accept);
    loop_timer_set(s->again, ACCEPT_AGAIN_MS);
    return -1;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct local *s = arg;
    struct ucred cred;
    socklen_t len = sizeof(cred);
    struct conn *c;
    int sock = accept_one(s);

    (void)fd;
    (void)what;
    if (sock < 0)
        return;
    if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
        close(sock);
        return;
    }
    if (s->nconns >= s->o.max_conns && !make_place(s)) {
        (void)!send(sock, too_many, sizeof(too_many) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(sock);
        return;
    }
    c = mem_alloc(sizeof(*c));
    c->server = s;
    c->id = ++s->next_id;
    c->peer.uid = cred.uid;
    c->peer.pid = cred.pid;
    c->silent_ms = loop_boot_ms(s->loop);
    user_name(cred.uid, c->peer.user, sizeof(c->peer.user));
    c->timer = loop_timer_new(s->loop, on_timer, c);
    c->bev = bufferevent_socket_new(loop_base(s->loop), sock, BEV_OPT_CLOSE_ON_FREE);
    if (!c->bev) {
        close(sock);
        loop_timer_free(c->timer);
        mem_free(c);
        return;
    }
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, s->o.max_line + 1);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    loop_timer_set(c->timer, s->o.idle_ms);
    c->next = s->conns;
    s->conns = c;
    s->nconns++;
}

/* Who may write in the folder can put a socket of their own in our place. */
static int check_folder(const char *path, struct err *e)
{
    char *folder = mem_strdup(path), *slash = strrchr(folder, '/');
    struct stat st;
    int rc = 0;

    if (slash == folder)
        folder[1] = 0;
    else if (slash)
        *slash = 0;
    else
        strcpy(folder, ".");
    if (stat(folder, &st) && errno == ENOENT && mkdir(folder, 0700))
        rc = err_set(e, ERR_IO, "cannot make the folder %s of the control socket: %s", folder,
                     strerror(errno));
    else if (stat(folder, &st))
        rc = err_set(e, ERR_IO, "cannot look at the folder %s of the control socket: %s", folder,
                     strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        rc = err_set(e, ERR_IO, "%s is no folder; the control socket cannot be made in it", folder);
    else if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
        rc = err_set(e, ERR_AUTH,
                     "others may write in %s, where the control socket is to be: give it to us or "
                     "root and take their right (chmod go-w)",
                     folder);
    mem_free(folder);
    return rc;
}

/* 0: the path is free; a stale socket was removed. */
static int make_room(const struct sockaddr_un *a, struct err *e)
{
    struct stat st;
    int fd, rc = 0;

    if (lstat(a->sun_path, &st))
        return errno == ENOENT ? 0 : err_set(e, ERR_IO, "%s: %s", a->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, ERR_IO, "%s is there and is no socket: remove it, or name another path",
                       a->sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, ERR_IO, "socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN)
        rc = err_set(e, ERR_STATE, "another process listens on %s", a->sun_path);
    else if (errno != ECONNREFUSED)
        rc = err_set(e, ERR_IO, "%s: %s", a->sun_path, strerror(errno));
    else if (unlink(a->sun_path))
        rc = err_set(e, ERR_IO, "cannot remove the stale socket %s: %s", a->sun_path,
                     strerror(errno));
    close(fd);
    return rc;
}

struct local *local_listen(struct loop *l, const struct local_options *o, local_fn *fn, void *arg,
                           struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct local *s = NULL;
    struct stat st;
    int fd = -1;

    if (strlen(o->path) >= sizeof(a.sun_path)) {
        err_set(e, ERR_INPUT,
                "the control socket's path has %zu bytes; a socket's may have %zu: %s",
                strlen(o->path), sizeof(a.sun_path) - 1, o->path);
        return NULL;
    }
    strcpy(a.sun_path, o->path);
    if (check_folder(o->path, e) || make_room(&a, e))
        return NULL;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)&a, sizeof(a)) ||
        chmod(o->path, 0600) || listen(fd, 16) || stat(o->path, &st)) {
        err_set(e, ERR_IO, "cannot listen on %s: %s", o->path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    s = mem_alloc(sizeof(*s));
    s->loop = l;
    s->o = *o;
    s->o.max_conns = o->max_conns ? o->max_conns : 16;
    s->o.max_line = o->max_line ? o->max_line : 64 * 1024;
    s->o.max_unread = o->max_unread ? o->max_unread : 16 * 1024 * 1024;
    s->o.idle_ms = o->idle_ms ? o->idle_ms : 60 * 1000;
    s->o.answer_ms = o->answer_ms ? o->answer_ms : 120 * 1000;
    s->path = mem_strdup(o->path);
    s->fd = fd;
    s->spare = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    s->again = loop_timer_new(l, on_again, s);
    s->dev = st.st_dev;
    s->ino = st.st_ino;
    s->fn = fn;
    s->arg = arg;
    s->accept = event_new(loop_base(l), fd, EV_READ | EV_PERSIST, on_accept, s);
    if (!s->accept || event_add(s->accept, NULL)) {
        err_set(e, ERR_IO, "cannot watch %s", o->path);
        local_free(s);
        return NULL;
    }
    return s;
}

void local_free(struct local *s)
{
    struct stat st;

    if (!s)
        return;
    while (s->conns)
        close_conn(s->conns);
    if (s->accept)
        event_free(s->accept);
    loop_timer_free(s->again);
    if (s->spare >= 0)
        close(s->spare);
    close(s->fd);
    /* Only our own: a successor may have made its socket already. */
    if (lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->path);
    mem_free(s->path);
    mem_free(s);
}
