/* What the io tests share: a loop that gives up in time, its lag, and loopback servers that
 * misbehave to order. */
#ifndef RB_TESTS_HELP_IO_H
#define RB_TESTS_HELP_IO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "io/loop.h"

/* Runs the loop until *flag is at least n; fails the test after max_ms. */
void run_until(struct loop *l, const int *flag, int n, int64_t max_ms);
void run_for(struct loop *l, int64_t ms);
int64_t now_ms(void); /* CLOCK_MONOTONIC, read now */

/* Valgrind runs everything twenty times slower and knows no pidfd: what measures time has no
 * meaning there. */
bool under_valgrind(void);

/* The 50 ms of the design, less what this thread spent waiting for a core that others held, and
 * what the hypervisor took. */
struct lag_watch {
    double waited_ms;
};
void lag_start(struct lag_watch *w, struct loop *l);
void lag_check(const struct lag_watch *w, struct loop *l);

/* A TCP server on 127.0.0.1 whose connections are each handled by fn on its own thread. */
struct server {
    int fd, port;
    atomic_int accepted, requests, stopping;
    atomic_int busy; /* connections that are being handled */
    /* n: 1 for the first connection; closes fd itself or leaves it to us */
    void (*fn)(struct server *s, int fd, int n);
    void *arg;
    unsigned long thread;
};
void server_start(struct server *s, void (*fn)(struct server *s, int fd, int n));
void server_stop(struct server *s);
/* Reads one HTTP request, head and body; its length, 0 at the end of the stream. Counts it in
 * requests. */
size_t server_read_request(struct server *s, int fd, char *out, size_t size);
void server_say(int fd, const char *text);
/* waits until the peer closes or the server stops */
void server_linger(struct server *s, int fd);
void server_reset(int fd); /* closes with RST */

#endif
