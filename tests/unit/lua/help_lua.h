/* Files in a folder of the test's own, and the language's two examples. */
#ifndef HELP_LUA_H
#define HELP_LUA_H

#include "lua/lua.h"

extern const char smallest[], example[];

const char *help_dir(void);                          /* made at the first call, removed at exit */
char *help_file(const char *name, const char *text); /* its path; freed at exit */
/* Loads one text as a policy file; what was wrong goes to *out (freed by the caller with mem_free)
 * or, NULL, fails the test. */
struct policy_set *help_policies(const char *text, char **out);

#endif
