/* Checks that a text is JSON by the letter of RFC 8259, and within limits, before a parser that is
 * more generous sees it. */
#ifndef RB_BASE_JSON_SCAN_H
#define RB_BASE_JSON_SCAN_H

#include <stddef.h>
#include "base/err.h"

#define JSON_DEPTH_MAX 64

/* 0, ERR_INPUT or ERR_LIMIT with line and column. */
int json_scan(const char *text, size_t len, struct err *e);

/* For a text that passed: sets e for what is wrong with the nth key (from 0, in the order of the
 * text), and returns ERR_INPUT. */
int json_scan_key_error(const char *text, size_t len, size_t nth, struct err *e);

#endif
