/* What the service manager is told, where there is one. */
#ifndef RB_SERVE_NOTIFY_H
#define RB_SERVE_NOTIFY_H

#include <stdint.h>

void notify_state(const char *fmt, ...)
    __attribute__((format(printf, 1, 2))); /* "READY=1", "STOPPING=1\nSTATUS=..." */
void notify_reloading(void);
int64_t notify_watchdog_ms(void); /* how often it wants to hear WATCHDOG=1; 0: not at all */

#endif
