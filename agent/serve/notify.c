/* sd_notify, where libsystemd was there at the build and a service manager is there now. */
#include "serve/notify.h"

#include <stdarg.h>
#include <time.h>

#include "base/mem.h"

#ifdef RB_SYSTEMD
#include <systemd/sd-daemon.h>

void notify_state(const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = mem_vprintf(fmt, ap);
    va_end(ap);
    sd_notify(0, text);
    mem_free(text);
}

void notify_reloading(void)
{
    struct timespec ts;

    /* Type=notify-reload wants to know when it began, on this clock. */
    clock_gettime(CLOCK_MONOTONIC, &ts);
    notify_state("RELOADING=1\nMONOTONIC_USEC=%lld",
                 (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

int64_t notify_watchdog_ms(void)
{
    uint64_t usec = 0;

    return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t)(usec / 2000) : 0;
}
#else
void notify_state(const char *fmt, ...)
{
    (void)fmt;
}

void notify_reloading(void)
{
}

int64_t notify_watchdog_ms(void)
{
    return 0;
}
#endif
