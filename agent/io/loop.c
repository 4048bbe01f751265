/* The event loop: libevent for descriptors, our own heap of timers over one timerfd on
 * CLOCK_BOOTTIME. */
#include "io/loop.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* libevent's own time-outs (evdns, evhttp) are seen at least this often; ours wake the loop by the
 * timerfd. */
#define LIBEVENT_TICK_MS 250
#define NOT_IN_HEAP SIZE_MAX

struct call {
    struct call *next;
    void (*fn)(void *arg);
    void *arg;
};

struct calls {
    struct call *first, **end;
};

struct loop_timer {
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    int64_t due_ms;
    uint64_t seq; /* equal times run in the order in which they were set */
    size_t pos;   /* in the heap, or NOT_IN_HEAP */
};

struct signal_watch {
    struct signal_watch *next;
    struct event *ev;
    void (*fn)(int signo, void *arg);
    void *arg;
};

struct loop {
    struct event_base *base;
    /* libevent's: we wait on it ourselves, so that a turn's length can be measured */
    int epoll_fd;
    int timer_fd, post_fd;
    struct event *timer_ev, *post_ev;
    struct loop_timer **heap;
    size_t heap_len, heap_cap;
    uint64_t seq;
    int64_t armed_ms; /* what timer_fd is set to; INT64_MAX: nothing */
    struct calls deferred;
    pthread_mutex_t post_lock;
    struct calls posted;
    struct signal_watch *signals;
    bool clock_fresh, in_turn;
    int64_t boot_ms, wall_ms;
    struct loop_lag lag;
    bool stop;
    int code;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void read_clocks(struct loop *l)
{
    if (l->clock_fresh)
        return;
    l->boot_ms = clock_ns(CLOCK_BOOTTIME) / 1000000;
    l->wall_ms = clock_ns(CLOCK_REALTIME) / 1000000;
    l->clock_fresh = l->in_turn; /* outside a turn nothing would ever refresh it */
}

int64_t loop_boot_ms(struct loop *l)
{
    read_clocks(l);
    return l->boot_ms;
}

int64_t loop_wall_ms(struct loop *l)
{
    read_clocks(l);
    return l->wall_ms;
}

/* Lists of calls. */

static void calls_init(struct calls *c)
{
    c->first = NULL;
    c->end = &c->first;
}

static void calls_add(struct calls *c, void (*fn)(void *), void *arg)
{
    struct call *n = mem_alloc(sizeof *n);
    n->fn = fn;
    n->arg = arg;
    *c->end = n;
    c->end = &n->next;
}

static void calls_run(struct call *n)
{
    while (n) {
        struct call *next = n->next;
        n->fn(n->arg);
        mem_free(n);
        n = next;
    }
}

static void calls_drop(struct calls *c)
{
    while (c->first) {
        struct call *next = c->first->next;
        mem_free(c->first);
        c->first = next;
    }
    calls_init(c);
}

/* The heap of timers, earliest first. */

static bool earlier(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void heap_place(struct loop *l, struct loop_timer *t, size_t pos)
{
    l->heap[pos] = t;
    t->pos = pos;
}

static void heap_settle(struct loop *l, struct loop_timer *t, size_t pos)
{
    while (pos > 0 && earlier(t, l->heap[(pos - 1) / 2])) {
        heap_place(l, l->heap[(pos - 1) / 2], pos);
        pos = (pos - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * pos + 1;
        if (child >= l->heap_len)
            break;
        if (child + 1 < l->heap_len && earlier(l->heap[child + 1], l->heap[child]))
            child++;
        if (!earlier(l->heap[child], t))
            break;
        heap_place(l, l->heap[child], pos);
        pos = child;
    }
    heap_place(l, t, pos);
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
    size_t pos = t->pos;
    if (pos == NOT_IN_HEAP)
        return;
    t->pos = NOT_IN_HEAP;
    struct loop_timer *last = l->heap[--l->heap_len];
    if (last != t)
        heap_settle(l, last, pos);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct loop_timer *t = mem_alloc(sizeof *t);
    t->loop = l;
    t->fn = fn;
    t->arg = arg;
    t->pos = NOT_IN_HEAP;
    return t;
}

void loop_timer_set(struct loop_timer *t, int64_t after_ms)
{
    struct loop *l = t->loop;
    int64_t now = loop_boot_ms(l);
    heap_remove(l, t);
    if (after_ms < 0)
        after_ms = 0;
    t->due_ms = after_ms > INT64_MAX / 2 - now ? INT64_MAX / 2 : now + after_ms;
    t->seq = l->seq++;
    if (l->heap_len == l->heap_cap) {
        l->heap_cap = l->heap_cap ? 2 * l->heap_cap : 64;
        l->heap = mem_realloc(l->heap, l->heap_cap * sizeof(struct loop_timer *));
    }
    l->heap_len++;
    heap_settle(l, t, l->heap_len - 1);
}

void loop_timer_stop(struct loop_timer *t)
{
    heap_remove(t->loop, t);
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    heap_remove(t->loop, t);
    mem_free(t);
}

static void on_timer_fd(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *l = arg;
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
        return;
    l->armed_ms = INT64_MAX;
    int64_t now = loop_boot_ms(l);
    /* what a callback sets now waits for the next turn, even at 0 ms */
    uint64_t before = l->seq;
    while (l->heap_len && l->heap[0]->due_ms <= now && l->heap[0]->seq < before) {
        struct loop_timer *t = l->heap[0];
        heap_remove(l, t);
        t->fn(t->arg);
    }
}

static void arm_timer_fd(struct loop *l)
{
    int64_t due = l->heap_len ? l->heap[0]->due_ms : INT64_MAX;
    if (due == l->armed_ms)
        return;
    struct itimerspec its = {0};
    if (due != INT64_MAX) {
        if (due < 1)
            due = 1; /* zero would disarm it */
        its.it_value.tv_sec = due / 1000;
        its.it_value.tv_nsec = due % 1000 * 1000000;
    }
    timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &its, NULL);
    l->armed_ms = l->heap_len ? l->heap[0]->due_ms : INT64_MAX;
}

/* Work handed in. */

void loop_defer(struct loop *l, void (*fn)(void *arg), void *arg)
{
    calls_add(&l->deferred, fn, arg);
}

static void run_deferred(struct loop *l)
{
    struct call *first = l->deferred.first;
    calls_init(&l->deferred);
    calls_run(first);
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    uint64_t one = 1;
    pthread_mutex_lock(&l->post_lock);
    calls_add(&l->posted, fn, arg);
    /* Inside the lock: the loop may be freed as soon as it has run this. It fails only when the
     * counter is full, and then the descriptor is readable anyway. */
    ssize_t n = write(l->post_fd, &one, sizeof one);
    (void)n;
    pthread_mutex_unlock(&l->post_lock);
}

static void on_post_fd(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct loop *l = arg;
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN)
        return;
    pthread_mutex_lock(&l->post_lock);
    struct call *first = l->posted.first;
    calls_init(&l->posted);
    pthread_mutex_unlock(&l->post_lock);
    calls_run(first);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    (void)what;
    struct signal_watch *w = arg;
    w->fn((int)signo, w->arg);
}

int loop_on_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg,
                   struct err *e)
{
    struct signal_watch *w = mem_alloc(sizeof *w);
    w->fn = fn;
    w->arg = arg;
    w->ev = evsignal_new(l->base, signo, on_signal, w);
    if (!w->ev || event_add(w->ev, NULL) < 0) {
        if (w->ev)
            event_free(w->ev);
        mem_free(w);
        return err_set(e, ERR_IO, "cannot watch signal %d: %s", signo, strerror(errno));
    }
    w->next = l->signals;
    l->signals = w;
    return 0;
}

/* Making, running, freeing. */

/* libevent 2.1 does not tell its epoll descriptor. The kernel does: it is the one that watches our
 * eventfd. */
static int find_epoll_fd(int watched_fd)
{
    int found = -1;
    DIR *d = opendir("/proc/self/fdinfo");
    if (!d)
        return -1;
    struct dirent *de;
    while (found < 0 && (de = readdir(d))) {
        char path[288], line[256];
        snprintf(path, sizeof path, "/proc/self/fdinfo/%s", de->d_name);
        FILE *f = de->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!f)
            continue;
        while (found < 0 && fgets(line, sizeof line, f)) {
            if (!strncmp(line, "tfd:", 4) && strtol(line + 4, NULL, 10) == watched_fd)
                found = (int)strtol(de->d_name, NULL, 10);
        }
        fclose(f);
    }
    closedir(d);
    return found;
}

struct loop *loop_new(struct err *e)
{
    /* OpenSSL's bufferevents and libpq write to sockets that the peer has closed */
    signal(SIGPIPE, SIG_IGN);
    /* A line that libevent has no memory for is memory that is low: the agent must notice. */
    event_set_mem_functions(mem_lib_malloc, mem_lib_realloc, mem_lib_free);
    struct loop *l = mem_alloc(sizeof *l);
    l->timer_fd = l->post_fd = -1;
    l->armed_ms = INT64_MAX;
    calls_init(&l->deferred);
    calls_init(&l->posted);
    pthread_mutex_init(&l->post_lock, NULL);
    struct event_config *cfg = event_config_new();
    if (cfg) {
        event_config_require_features(cfg, EV_FEATURE_O1);
        event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
        l->base = event_base_new_with_config(cfg);
        event_config_free(cfg);
    }
    if (!l->base) {
        err_set(e, ERR_IO, "cannot make the event loop (epoll): %s", strerror(errno));
        goto fail;
    }
    l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    l->post_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->timer_fd < 0 || l->post_fd < 0) {
        err_set(e, ERR_IO, "cannot make the loop's timerfd and eventfd: %s", strerror(errno));
        goto fail;
    }
    l->timer_ev = event_new(l->base, l->timer_fd, EV_READ | EV_PERSIST, on_timer_fd, l);
    l->post_ev = event_new(l->base, l->post_fd, EV_READ | EV_PERSIST, on_post_fd, l);
    if (!l->timer_ev || !l->post_ev || event_add(l->timer_ev, NULL) ||
        event_add(l->post_ev, NULL)) {
        err_set(e, ERR_IO, "cannot watch the loop's timerfd and eventfd");
        goto fail;
    }
    l->epoll_fd = find_epoll_fd(l->post_fd);
    if (l->epoll_fd < 0) {
        err_set(e, ERR_IO,
                "cannot find the event loop's epoll descriptor in /proc/self/fdinfo; is /proc "
                "mounted?");
        goto fail;
    }
    return l;
fail:
    loop_free(l);
    return NULL;
}

struct mark {
    int64_t at_ns, work_ns;
    long sleeps;
};

static struct mark mark_now(void)
{
    struct rusage u = {0};
    struct mark m = {.at_ns = clock_ns(CLOCK_MONOTONIC)};
    getrusage(RUSAGE_THREAD, &u);
    m.sleeps = u.ru_nvcsw;
    m.work_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    return m;
}

static void note_turn(struct loop_lag *lag, const struct mark *start)
{
    struct mark end = mark_now();
    double ms = (double)(end.at_ns - start->at_ns) / 1e6,
           work_ms = (double)(end.work_ns - start->work_ns) / 1e6;
    if (ms > lag->ms) {
        lag->ms = ms;
        lag->work_ms = work_ms;
        lag->sleeps = end.sleeps - start->sleeps;
    }
    if (work_ms > lag->most_work_ms)
        lag->most_work_ms = work_ms;
}

/* Waits until something is ready, then runs what is: one turn. */
static void turn(struct loop *l, int wait_ms)
{
    arm_timer_fd(l);
    if (l->deferred.first || event_base_get_num_events(l->base, EVENT_BASE_COUNT_ACTIVE))
        wait_ms = 0;
    struct pollfd p = {.fd = l->epoll_fd, .events = POLLIN};
    if (wait_ms)
        poll(&p, 1, wait_ms);
    l->in_turn = true;
    l->clock_fresh = false;
    struct mark start = mark_now();
    event_base_loop(l->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    run_deferred(l);
    note_turn(&l->lag, &start);
    l->in_turn = false;
    l->clock_fresh = false;
}

int loop_run(struct loop *l)
{
    l->stop = false;
    while (!l->stop)
        turn(l, LIBEVENT_TICK_MS);
    return l->code;
}

void loop_stop(struct loop *l, int code)
{
    l->stop = true;
    l->code = code;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

struct loop_lag loop_take_lag(struct loop *l)
{
    struct loop_lag lag = l->lag;
    l->lag = (struct loop_lag){0};
    return lag;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    /* libevent runs some last callbacks late (evdns at its end, bufferevents freed); let them come,
     * and what they defer. */
    for (int i = 0; l->base && l->timer_ev && i < 3; i++) {
        event_base_loop(l->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
        run_deferred(l);
    }
    while (l->signals) {
        struct signal_watch *next = l->signals->next;
        event_free(l->signals->ev);
        mem_free(l->signals);
        l->signals = next;
    }
    if (l->timer_ev)
        event_free(l->timer_ev);
    if (l->post_ev)
        event_free(l->post_ev);
    if (l->base)
        event_base_free(l->base);
    if (l->timer_fd >= 0)
        close(l->timer_fd);
    if (l->post_fd >= 0)
        close(l->post_fd);
    calls_drop(&l->deferred);
    calls_drop(&l->posted);
    pthread_mutex_destroy(&l->post_lock);
    mem_free(l->heap);
    mem_free(l);
}
