/* The options of the subcommands. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/text.h"
#include "tools/tools.h"

int tool_args(int argc, char **argv, const char *usage, struct tool_args *a)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"witness", required_argument, NULL, 'w'},
        {"filter", required_argument, NULL, 'f'},
        {"coverage", no_argument, NULL, 'C'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    memset(a, 0, sizeof(*a));
    a->config = DEFAULT_CONFIG;
    optind = 1;
    while ((c = getopt_long(argc, argv, "c:jw:h", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            a->config = optarg;
            a->config_given = true;
            break;
        case 'j':
            a->json = true;
            break;
        case 'w':
            if (a->nwitness < sizeof(a->witness) / sizeof(a->witness[0]))
                a->witness[a->nwitness++] = optarg;
            break;
        case 'f':
            a->filter = optarg;
            break;
        case 'C':
            a->coverage = true;
            break;
        case 'h':
            a->help = true;
            text_help(stdout, usage);
            return EXIT_OK;
        default:
            text_help(stderr, usage);
            return EXIT_USAGE;
        }
    }
    a->rest = argv + optind;
    a->nrest = argc - optind;
    return EXIT_OK;
}
