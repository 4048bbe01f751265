/* The short texts of tests: series, rows, what an operator does. Files of this folder only. */
#ifndef RB_LUA_TEST_TEXT_H
#define RB_LUA_TEST_TEXT_H

#include "lua/loader.h"
#include "lua/tests.h"

#define TEST_MAX_POINTS 10000
#define TEST_MAX_ROWS 2000

/* Each returns 0, or a code with *e: what is wrong and what to write. */

/* "SIGNAL", "SIGNAL{option=value, ...}", "SIGNAL@TARGET". opts and target are set where the key has
 * them; opts is kept in k, target lives in a. ERR_NOT_FOUND: no such signal or option. */
int test_key_parse(const char *text, struct arena *a, struct keep *k, struct test_series *out,
                   struct json **opts, const char **target, struct err *e);
/* "0m:45% 10m:85% 20m:_", or one value for all the time. */
int test_series_parse(const char *text, struct arena *a, struct test_series *s, struct err *e);
/* "15m  act grow desired 8 -> 10 ok": the time, and the words with one space between.
 * ERR_NOT_FOUND: no such row. */
int test_row_parse(const char *line, size_t len, struct arena *a, struct test_row *out,
                   struct err *e);
bool test_row_known(const char *text, char *hint, size_t size);
/* "freeze", "silence 2h", "settle done", ...: as a command. */
int test_order_parse(const char *text, struct json **command, struct err *e);

#endif
