/* How runbookd ends: one code for each reason, told apart by whoever starts it. `runbookd --help`
 * prints this table. */
#ifndef RB_SERVE_EXITS_H
#define RB_SERVE_EXITS_H

#include "base/err.h"
#include "base/mem.h"

/* X(name, code, what it means) */
#define EXITS(X)                                                                                   \
    X(EXIT_OK, 0, "done; of run: stopped in order")                                                \
    X(EXIT_FAILED, 1, "the command itself failed: see its message")                                \
    X(EXIT_USAGE, 2, "a wrong option or argument")                                                 \
    X(EXIT_NO_PLAN, 3, "plan: none of the policy's actions can be planned now")                     \
    X(EXIT_CONFIG_FILE, 10, "the configuration cannot be read")                                    \
    X(EXIT_POLICY_FILE, 11, "a policy, the estate or a file of parameters cannot be read (E100)")  \
    X(EXIT_SYNTAX, 12, "a file is not Lua (E101)")                                                 \
    X(EXIT_UNKNOWN, 13, "an unknown name or key (E102, E103, E104)")                               \
    X(EXIT_VALUE, 14, "a value is missing, of a wrong type or unit, or out of range (E105-E109)")  \
    X(EXIT_RULE, 15, "what is written breaks a rule of the language (E110 and above)")             \
    X(EXIT_SECRET, 16, "a secret that others can read (E121)")                                     \
    X(EXIT_NO_SECRET, 17, "a secret that cannot be read")                                          \
    X(EXIT_SECOND, 20, "another agent runs on this state directory")                               \
    X(EXIT_NEWER, 21, "the journal was written by a newer version")                                \
    X(EXIT_CORRUPT, 22, "the journal is damaged, or was changed by somebody else")                 \
    X(EXIT_PERMISSION, 23, "no permission for the state directory, the journal or the socket")     \
    X(EXIT_JOURNAL, 24, "the journal cannot be opened or read for another reason")                 \
    X(EXIT_CONTROL, 25, "the control socket or the HTTP listener cannot be made")                                       \
    X(EXIT_HOST, 26, "the host lacks something: event loop, resolver, certificates")               \
    X(EXIT_TEST, 30, "a test of a policy failed")                                                  \
    X(EXIT_TEST_RESTART, 31, "the tests pass, but one is another after a crash")                   \
    X(EXIT_NO_TEST, 32, "there is no test, or none that --filter lets through")                    \
    X(EXIT_MEMORY, MEM_EXIT_CODE, "out of memory: nothing more is done, the journal is whole")

enum exit_code {
#define X(name, code, text) name = (code),
    EXITS(X)
#undef X
};

#endif
