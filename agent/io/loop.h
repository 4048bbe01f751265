/* The one event loop: timers on the boot clock, file descriptors, signals, and work handed in from
 * another thread. Nothing in it may block. */
#ifndef RB_IO_LOOP_H
#define RB_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct loop;
struct event_base;
struct evdns_base;

struct loop *loop_new(struct err *e); /* NULL on error */
void loop_free(struct loop *l);       /* everything made on it must be gone */
int loop_run(struct loop *l);         /* until loop_stop; returns the code given there */
void loop_stop(struct loop *l, int code);
struct event_base *loop_base(struct loop *l); /* for io's own modules and the HTTP server only */

int64_t loop_boot_ms(struct loop *l); /* CLOCK_BOOTTIME, cached once a turn */
int64_t loop_wall_ms(struct loop *l); /* CLOCK_REALTIME, read once a turn; may step */

/* A one-shot timer on the boot clock. loop_timer_set replaces the time; free from its own callback
 * is fine. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t after_ms);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

/* Runs fn at the end of this turn, outside any callback: how an object is freed that is in the
 * middle of calling us. */
void loop_defer(struct loop *l, void (*fn)(void *arg), void *arg);

/* The same from any thread (eventfd); in order per thread. */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* Signals arrive on the loop. */
int loop_on_signal(struct loop *l, int signo, void (*fn)(int signo, void *arg), void *arg,
                   struct err *e);

/* The longest turn since the last call: what the "no callback blocks" test asserts and the metrics
 * show. A turn that was long with little work and no sleep stood in line for a core. */
struct loop_lag {
    double ms;           /* of that turn, by the clock */
    double work_ms;      /* of that turn, on a core */
    long sleeps;         /* how often it gave the core up by itself: something blocked */
    double most_work_ms; /* of any turn */
};
struct loop_lag loop_take_lag(struct loop *l);

#endif
