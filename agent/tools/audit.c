/* runbookd audit: is the journal what the agent wrote? */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "serve/load.h"
#include "tools/text.h"
#include "tools/tools.h"
#include "world/journal_audit.h"

const char usage_audit[] =
    "usage: runbookd audit [--config FILE] [--witness SEQ:HEX ...] [--json] [JOURNAL]\n"
    "Reads the whole journal and checks its hash chain, also beside a running agent. A witness is "
    "a head that was seen outside: each report carries one. Exit 0: nothing was changed; 22: "
    "something was.\n";

struct findings {
    struct text *t;
    struct json *list;
};

static void found(void *arg, int64_t seq, const char *text)
{
    struct findings *f = arg;
    struct json *row = json_add(f->list, json_new_map());

    json_set_int(row, "seq", seq);
    json_set_str(row, "text", text);
}

static char *journal_path(const struct tool_args *a, int *code)
{
    struct diags *d;
    struct config *c;
    char *path = NULL;

    if (a->nrest > 0)
        return mem_strdup(a->rest[0]);
    d = diags_new();
    c = config_load(a->config, d);
    if (c && diags_errors(d) == 0) {
        path = mem_printf("%s/journal.db", c->state_dir);
    } else {
        struct buf b;
        buf_init(&b, 65536);
        diags_print(d, &b, false);
        fputs(buf_str(&b), stderr);
        buf_free(&b);
        *code = (int)load_exit(d, a->config);
    }
    config_free(c);
    diags_free(d);
    return path;
}

static void print(struct text *t, const char *path, const struct journal_audit *r,
                  const struct json *list)
{
    char from[40], to[40];

    text_addf(t, TONE_HEAD, "%s\n", path);
    if (r->rows)
        text_addf(t, TONE_PLAIN, "%lld rows from %s to %s\n", (long long)r->rows,
                  time_format_iso(from, sizeof(from), r->first_wall_ms),
                  time_format_iso(to, sizeof(to), r->last_wall_ms));
    else
        text_add(t, TONE_PLAIN, "no rows\n");
    text_addf(t, TONE_PLAIN, "%lld states, %lld tokens, %lld sources\n", (long long)r->states,
              (long long)r->tokens, (long long)r->sources);
    text_addf(t, TONE_PLAIN, "head %lld:%s\n", (long long)r->head.seq, r->head.hex);
    for (const struct json *f = json_first(list); f; f = json_next(f)) {
        text_addf(t, TONE_BAD, "row %-8lld ", (long long)json_get_int(f, "seq", 0));
        text_wrap(t, TONE_PLAIN, json_get_str(f, "text", ""), 13, 13);
    }
    if (r->findings)
        text_addf(t, TONE_BAD, "%lld findings: this is not what the agent wrote\n",
                  (long long)r->findings);
    else
        text_add(t, TONE_GOOD, "whole\n");
}

int tool_audit(int argc, char **argv)
{
    struct tool_args a;
    struct journal_witness w[16];
    struct journal_audit r = {0};
    struct err e = ERR_INIT;
    struct findings f;
    struct text t;
    char *path;
    int code = tool_args(argc, argv, usage_audit, &a);

    if (code || a.help)
        return code;
    for (size_t k = 0; k < a.nwitness; k++)
        if (journal_witness_parse(a.witness[k], &w[k], &e)) {
            fprintf(stderr, "runbookd audit: %s\n", e.text);
            return EXIT_USAGE;
        }
    path = journal_path(&a, &code);
    if (!path)
        return code;
    text_init(&t, STDOUT_FILENO);
    f = (struct findings){&t, json_new_list()};
    if (journal_verify(path, w, a.nwitness, found, &f, &r, &e)) {
        fprintf(stderr, "runbookd audit: %s\n", e.text);
        code = e.code == ERR_STATE   ? EXIT_NEWER
               : e.code == ERR_INPUT ? EXIT_CORRUPT
               : e.code == ERR_AUTH  ? EXIT_PERMISSION
                                     : EXIT_JOURNAL;
    } else if (a.json) {
        struct json *out = json_new_map();
        char *text;
        json_set_bool(out, "ok", r.findings == 0);
        json_set_int(out, "rows", r.rows);
        json_set_strf(out, "head", "%lld:%s", (long long)r.head.seq, r.head.hex);
        json_set(out, "findings", json_copy(f.list));
        text = json_print_pretty(out);
        printf("%s\n", text);
        mem_free(text);
        json_free(out);
    } else {
        print(&t, path, &r, f.list);
        text_flush(&t, STDOUT_FILENO);
    }
    if (!code && r.findings)
        code = EXIT_CORRUPT;
    json_free(f.list);
    text_free(&t);
    mem_free(path);
    return code;
}
