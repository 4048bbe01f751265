/* runbookd version, and run: the thin ones. */
#include <stdio.h>

#include "base/mem.h"
#include "plugin/action.h"
#include "plugin/collector.h"
#include "serve/agent.h"
#include "tools/test.h"
#include "tools/text.h"
#include "tools/tools.h"

const char usage_version[] = "usage: runbookd version [--json]\n"
                             "\n";
const char usage_run[] =
    "usage: runbookd run [--config FILE]\n"
    "Runs the agent in the foreground until SIGTERM. SIGHUP reloads, SIGUSR1 freezes.\n";

int tool_version(int argc, char **argv)
{
    struct tool_args a;
    int code = tool_args(argc, argv, usage_version, &a);

    if (code || a.help)
        return code;
    if (a.json) {
        struct json *out = json_new_map(), *list;
        char *text;
        json_set_str(out, "version", RB_VERSION);
        list = json_set(out, "collectors", json_new_list());
        for (size_t k = 0; k < collector_types_len; k++)
            json_add(list, json_new_str(collector_types[k]->name));
        list = json_set(out, "actions", json_new_list());
        for (size_t k = 0; k < action_types_len; k++)
            json_add(list, json_new_str(action_types[k]->name));
        text = json_print_pretty(out);
        printf("%s\n", text);
        mem_free(text);
        json_free(out);
    } else {
        printf("runbookd %s\n", RB_VERSION);
    }
    return EXIT_OK;
}

int tool_run(int argc, char **argv)
{
    struct tool_args a;
    int code = tool_args(argc, argv, usage_run, &a);

    if (code || a.help)
        return code;
    if (a.nrest != 0) {
        text_help(stderr, usage_run);
        return EXIT_USAGE;
    }
    return (int)agent_run(a.config, RB_VERSION, tests_beside);
}
