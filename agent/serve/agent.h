/* The agent as a whole: everything `runbookd run` starts, in order, and ends in the opposite order.
 */
#ifndef RB_SERVE_AGENT_H
#define RB_SERVE_AGENT_H

#include "serve/load.h"

/* Runs until it is told to stop. What goes wrong at the start has been said on stderr; the code
 * says which kind it was. tests: what carries out the tests beside the policies. */
enum exit_code agent_run(const char *config, const char *version, tests_fn *tests);

#endif
