/* runbookd's subcommands beside run: each takes its own arguments (argv[0] is its name) and returns
 * an exit code. */
#ifndef RB_TOOLS_TOOLS_H
#define RB_TOOLS_TOOLS_H

#include "serve/exits.h"

#define DEFAULT_CONFIG "/etc/runbookd/runbookd.lua"

int tool_run(int argc, char **argv);
int tool_check(int argc, char **argv);
int tool_test(int argc, char **argv);
int tool_plan(int argc, char **argv);
int tool_audit(int argc, char **argv);
int tool_iam(int argc, char **argv);
int tool_grants(int argc, char **argv);
int tool_policy_docs(int argc, char **argv);
int tool_version(int argc, char **argv);

/* The usage of each, for --help. */
extern const char usage_run[], usage_check[], usage_test[], usage_plan[], usage_audit[],
    usage_iam[], usage_grants[], usage_policy_docs[], usage_version[];

/* Options that the subcommands share. 0, or the exit code to end with at once (EXIT_USAGE; after
 * --help EXIT_OK is in *done). */
struct tool_args {
    const char *config;
    bool config_given, json, help;
    const char *witness[16]; /* audit */
    size_t nwitness;
    const char *filter; /* test */
    bool coverage;
    char **rest;
    int nrest;
};
int tool_args(int argc, char **argv, const char *usage, struct tool_args *a);

/* What iam and grants have in common: everything is loaded and must be right, then print says what
 * follows from it. nrest_max: how many arguments beside the options there may be. */
struct loaded;
int tool_rights(int argc, char **argv, const char *usage, int nrest_max,
                int (*print)(const struct loaded *l, const struct tool_args *a));

#endif
