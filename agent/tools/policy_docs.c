/* runbookd policy-docs: the reference, printed from the descriptors, for people and for editors. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/reference.h"
#include "tools/text.h"
#include "tools/tools.h"

const char usage_policy_docs[] =
    "usage: runbookd policy-docs [--format markdown|luals|luacheck]\n"
    "Prints every field, signal, action, kind of target and key of the configuration that this "
    "program knows: as Markdown, as definitions for the Lua language server, or as a standard for "
    "luacheck.\n";

#define MAX_REFERENCE (4u << 20)

static const struct format {
    const char *name;
    void (*print)(struct buf *out);
} formats[] = {
    {"markdown", reference_markdown},
    {"luals", reference_luals},
    {"luacheck", reference_luacheck},
};

int tool_policy_docs(int argc, char **argv)
{
    static const struct option options[] = {
        {"format", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    const struct format *f = &formats[0];
    struct buf out;
    int c;

    optind = 1;
    while ((c = getopt_long(argc, argv, "f:h", options, NULL)) != -1) {
        if (c == 'h') {
            text_help(stdout, usage_policy_docs);
            return EXIT_OK;
        }
        f = NULL;
        for (size_t k = 0; c == 'f' && k < sizeof(formats) / sizeof(formats[0]); k++)
            if (strcmp(formats[k].name, optarg) == 0)
                f = &formats[k];
        if (!f)
            break;
    }
    if (!f || optind != argc) {
        text_help(stderr, usage_policy_docs);
        return EXIT_USAGE;
    }
    buf_init(&out, MAX_REFERENCE);
    f->print(&out);
    c = !out.overflow && fputs(buf_str(&out), stdout) >= 0 && fflush(stdout) == 0 ? EXIT_OK
                                                                                  : EXIT_FAILED;
    buf_free(&out);
    if (c)
        perror("runbookd policy-docs");
    return c;
}
