/* What the tests of actions' thinking share. */
#ifndef RB_TESTS_HELP_ACTIONS_H
#define RB_TESTS_HELP_ACTIONS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "plugin/action.h"

struct json *parse(const char *text); /* fails the test where it is no JSON */

/* What came of planning, which it frees: "desired 8 -> 10", "empty: ...", "denied: ...". Fails the
 * test with `with` where it is not what it should be. */
void assert_says(struct plan *p, const struct err *e, const char *says, const char *with);

#endif
