/* runbookd: a table of subcommands. */
#include <stdio.h>
#include <string.h>

#include "plugin/action.h"
#include "tools/text.h"
#include "tools/tools.h"

static const struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;
    const char *summary;
} subcommands[] = {
    {"run", tool_run, usage_run, "run the agent"},
    {"check", tool_check, usage_check, "check configuration, estate and policies"},
    {"test", tool_test, usage_test, "test the policies in virtual time"},
    {"plan", tool_plan, usage_plan, "show what a policy would do now"},
    {"audit", tool_audit, usage_audit, "verify the journal"},
    {"iam", tool_iam, usage_iam, "print the IAM policy of each account"},
    {"grants", tool_grants, usage_grants, "print the rights on PostgreSQL and Redis"},
    {"policy-docs", tool_policy_docs, usage_policy_docs,
     "print the reference of policies and configuration"},
    {"version", tool_version, usage_version, "say which version this is"},
};
#define N (sizeof(subcommands) / sizeof(subcommands[0]))

static void help(FILE *to)
{
    struct buf out;

    buf_init(&out, 1u << 16);
    buf_adds(&out, "usage: runbookd COMMAND [OPTION ...]\n\n");
    for (size_t k = 0; k < N; k++)
        buf_addf(&out, "  %-11s %s\n", subcommands[k].name, subcommands[k].summary);
    buf_adds(&out, "\nrunbookd COMMAND --help says more. The configuration is " DEFAULT_CONFIG
                   " unless --config names another.\n"
                   "\nExit codes:\n");
#define X(name, code, text) buf_addf(&out, "  %2d  %s\n", code, text);
    EXITS(X)
#undef X
    text_help(to, buf_str(&out));
    buf_free(&out);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return EXIT_OK;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t k = 0; k < N; k++)
        if (strcmp(subcommands[k].name, name) == 0)
            return subcommands[k].run(argc - 1, argv + 1);
    if (*name) {
        const char *names[N], *near;
        for (size_t k = 0; k < N; k++)
            names[k] = subcommands[k].name;
        near = closest(name, names, N);
        fprintf(stderr, "runbookd: there is no command %s%s%s%s\n\n", name,
                near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
    }
    help(stderr);
    return EXIT_USAGE;
}
