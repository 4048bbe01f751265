/* One line an event on stderr; control characters are escaped: no input can forge a line. */
#ifndef RB_BASE_LOG_H
#define RB_BASE_LOG_H

#include <stdarg.h>
#include <stdint.h>

enum log_level { LOG_LVL_DEBUG, LOG_LVL_INFO, LOG_LVL_WARN, LOG_LVL_ERROR };

/* part: "asg", "journal", ...: who speaks. The line: 2026-11-22T13:02:43.123Z warn asg: text. Under
 * systemd (JOURNAL_STREAM) the time is left out and the line starts with <N>: "<4>warn asg: text".
 * The level is info at the start. A line is at most 4096 bytes; what is longer ends in "...". When
 * stderr takes nothing for 50 ms, lines are dropped; once it does again, their number is logged. */
void log_debug(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_warn(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_error(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_at(enum log_level level, const char *part, const char *fmt, va_list ap);

void log_set_level(enum log_level level);
void log_mute(void); /* this thread says nothing more: what it does is a rehearsal */
int log_level_parse(const char *word); /* a level, or -1 */
typedef int64_t (*log_clock)(void);
void log_set_clock(log_clock wall_ms); /* NULL: the system's */
/* Tests: lines go to sink, masked and escaped, instead of stderr. It must not log itself. */
typedef void (*log_sink)(enum log_level level, const char *part, const char *text, void *arg);
void log_set_sink(log_sink sink, void *arg);

/* From now on a thread writes the lines, so that no caller waits for stderr, whatever it is: 256 KiB
 * of them wait, what is more is lost and counted. Stopping waits 1 s at most for the last ones. */
void log_start_writer(void);
void log_stop_writer(void);

/* Masks a secret value as "***" in all later lines (copies it; shorter than 6 bytes is ignored).
 * The last 256 are kept. */
void log_hide(const char *secret);

#endif
