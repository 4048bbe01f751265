/* One line an event on stderr; control characters are escaped, so that no input can forge a line. */
#ifndef RB_BASE_LOG_H
#define RB_BASE_LOG_H

#include <stdarg.h>
#include <stdint.h>

enum log_level { LOG_LVL_DEBUG, LOG_LVL_INFO, LOG_LVL_WARN, LOG_LVL_ERROR };

/* part: "asg", "journal", ...: who speaks. The line: 2026-11-22T13:02:43.123Z warn asg: text. Under systemd (JOURNAL_STREAM) the time is
 * left out and the line starts with <N>. */
void log_debug(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_warn(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_error(const char *part, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_at(enum log_level level, const char *part, const char *fmt, va_list ap);

void log_set_level(enum log_level level);
int log_level_parse(const char *word); /* a level, or -1 */
void log_set_clock(int64_t (*wall_ms)(void)); /* NULL: the system's */
void log_set_sink(void (*sink)(enum log_level, const char *part, const char *text, void *arg), void *arg); /* tests */

/* Masks a secret value in all later lines (copies it; shorter than 6 bytes is ignored). */
void log_hide(const char *secret);

#endif
