/* runbookd check: every error of every file, and what the policies see, do and may touch. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "serve/load.h"
#include "tools/test.h"
#include "tools/text.h"
#include "tools/tools.h"

const char usage_check[] =
    "usage: runbookd check [--config FILE] [--json] [FILE|FOLDER ...]\n"
    "Checks the configuration, the estate, the parameters and the policies: all errors of all "
    "files. With FILEs these policies are checked in place of the configured ones; without a "
    "configuration, alone. A *_test.lua among them is checked as tests, with the policies beside "
    "it.\n";

/* A set of words in the order in which they came. */
static void word(struct json *list, const char *w)
{
    for (const struct json *i = json_first(list); i; i = json_next(i))
        if (strcmp(json_str(i, ""), w) == 0)
            return;
    json_add(list, json_new_str(w));
}

/* What a descriptor needs for targets of this kind. */
static void rights_of(struct json *rights, const char *const *permissions, const char *kind)
{
    for (const char *const *p = permissions; p && *p; p++) {
        char *permission = permission_for(*p, kind);

        if (permission)
            word(rights, permission);
        mem_free(permission);
    }
}

static void signals_of(struct json *signals, struct json *rights, const struct cond *c,
                       const char *kind)
{
    const struct collector_type *type = NULL;
    const struct signal *parts[1 + SIGNAL_PARTS];
    const struct json *part_opts[SIGNAL_PARTS];
    size_t n = 0;

    if (!c)
        return;
    for (size_t k = 0; k < c->nkids; k++)
        signals_of(signals, rights, c->kids[k], kind);
    if (!c->signal)
        return;
    word(signals, c->signal->name);
    parts[n++] = c->signal;
    n += signal_parts(c->signal, c->opts, parts + 1, part_opts);
    for (size_t k = 0; k < n; k++) {
        word(signals, parts[k]->name);
        signal_find(parts[k]->name, &type);
        rights_of(rights, type ? type->permissions : NULL, kind);
        rights_of(rights, parts[k]->other_permissions, kind);
    }
}

static struct json *summary_of(const struct policy *p, const struct estate *estate,
                               const struct json *discover)
{
    struct json *d = json_new_map(), *signals = json_new_list(), *reads = json_new_list(),
                *rights = json_new_list();
    struct json *targets = json_new_list(), *actions;
    const struct target **selected = NULL;
    const char *kind = p->target.kind;
    size_t n = 0;

    json_set_str(d, "policy", p->name);
    json_set_strf(d, "site", "%s:%d", p->site.file, p->site.line);
    json_set_str(d, "kind", p->procedure ? "procedure" : "policy");
    json_set_strf(d, "severity", "sev%d", (int)p->severity);
    json_set_str(d, "mode", mode_name(p->mode));
    json_set_str(d, "owner", p->owner);
    signals_of(signals, reads, p->when, kind);
    signals_of(signals, reads, p->clear, kind);
    signals_of(signals, reads, p->window, kind);
    for (size_t k = 0; k < p->nchecks; k++)
        signals_of(signals, reads, p->checks[k].cond, kind);
    actions = json_set(d, "actions", json_new_list());
    for (size_t k = 0; k < p->nactions; k++) {
        const struct declared_action *a = &p->actions[k];
        struct json *row = json_add(actions, json_new_map());
        json_set_str(row, "name", a->name);
        json_set_str(row, "type", a->type->name);
        json_set_bool(row, "approval", a->approval_required);
        signals_of(signals, reads, a->approval_unless, kind);
        signals_of(signals, reads, a->reads, kind);
        rights_of(rights, a->type->permissions, kind);
    }
    if (estate)
        n = estate_select(estate, &p->target, &selected);
    for (size_t k = 0; k < n; k++)
        json_add(targets, json_new_str(selected[k]->id));
    mem_free(selected);
    for (const struct json *j = json_first(discover); j; j = json_next(j))
        if (strcmp(json_get_str(j, "kind", ""), p->target.kind) == 0) {
            char *what =
                mem_printf("what discover.%s finds (%s:%lld)", p->target.kind,
                           json_get_str(j, "file", "?"), (long long)json_get_int(j, "line", 0));
            json_add(targets, json_new_str(what));
            mem_free(what);
        }
    json_set(d, "signals", signals);
    json_set(d, "reads", reads);
    json_set(d, "may_touch", rights);
    json_set(d, "targets", targets);
    return d;
}

static void joined(struct text *t, const char *label, const struct json *list, const char *none)
{
    struct buf b;

    if (json_len(list) == 0 && !none)
        return;
    buf_init(&b, 65536);
    for (const struct json *i = json_first(list); i; i = json_next(i))
        buf_addf(&b, "%s%s", b.len ? ", " : "", json_str(i, ""));
    text_addf(t, TONE_DIM, "  %-10s ", label);
    text_wrap(t, json_len(list) ? TONE_PLAIN : TONE_WARN, json_len(list) ? buf_str(&b) : none, 13,
              13);
    buf_free(&b);
}

static void print_summary(struct text *t, const struct json *d, bool has_estate)
{
    struct json *actions = json_new_list();

    text_addf(t, TONE_HEAD, "\n%s", json_get_str(d, "policy", "?"));
    text_addf(t, TONE_PLAIN, "  %s, %s, %s", json_get_str(d, "kind", ""),
              json_get_str(d, "severity", ""), json_get_str(d, "mode", ""));
    text_addf(t, TONE_DIM, "  %s\n", json_get_str(d, "site", ""));
    if (has_estate)
        joined(t, "targets", json_get(d, "targets"), "none of the estate: it will never act");
    joined(t, "reads", json_get(d, "signals"), NULL);
    for (const struct json *a = json_first(json_get(d, "actions")); a; a = json_next(a)) {
        char *s =
            strcmp(json_get_str(a, "name", ""), json_get_str(a, "type", "")) == 0
                ? mem_printf("%s%s", json_get_str(a, "type", ""),
                             json_get_bool(a, "approval", false) ? " (approval)" : "")
                : mem_printf("%s = %s%s", json_get_str(a, "name", ""), json_get_str(a, "type", ""),
                             json_get_bool(a, "approval", false) ? " (approval)" : "");
        json_add(actions, json_new_str(s));
        mem_free(s);
    }
    joined(t, "acts", actions, NULL);
    joined(t, "needs", json_get(d, "reads"), NULL);
    joined(t, "may touch", json_get(d, "may_touch"), NULL);
    json_free(actions);
}

static int finish(struct diags *d, const struct loaded *l, size_t ntests, const char *config,
                  bool as_json)
{
    int code = (int)load_exit(d, config);
    struct text t;
    struct json *summaries = json_new_list();

    text_init(&t, STDOUT_FILENO);
    for (size_t k = 0; l->set && k < l->set->npolicies; k++)
        json_add(summaries, summary_of(l->set->policies[k], l->estate, l->discover));
    if (as_json) {
        struct json *out = json_new_map();
        char *text;
        json_set_bool(out, "ok", diags_errors(d) == 0);
        json_set_int(out, "exit", code);
        json_set(out, "diagnostics", diags_json(d));
        json_set(out, "policies", summaries);
        if (ntests)
            json_set_int(out, "tests", (int64_t)ntests);
        text = json_print_pretty(out);
        printf("%s\n", text);
        mem_free(text);
        json_free(out);
    } else {
        diags_print(d, &t.out, t.color);
        for (const struct json *s = json_first(summaries); s && !diags_errors(d); s = json_next(s))
            print_summary(&t, s, l->estate != NULL);
        if (diags_errors(d))
            text_addf(&t, TONE_BAD, "%zu errors, %zu warnings\n", diags_errors(d),
                      diags_warnings(d));
        else if (ntests)
            text_addf(&t, TONE_GOOD, "%s%zu tests, %zu policies, no errors, %zu warnings\n",
                      json_len(summaries) ? "\n" : "", ntests, json_len(summaries),
                      diags_warnings(d));
        else
            text_addf(&t, TONE_GOOD, "%s%zu policies, %zu targets, no errors, %zu warnings\n",
                      json_len(summaries) ? "\n" : "", json_len(summaries),
                      l->estate ? estate_len(l->estate) : 0, diags_warnings(d));
        text_flush(&t, STDOUT_FILENO);
        json_free(summaries);
    }
    text_free(&t);
    return code;
}

/* Moves the files of tests to the end of the arguments; how many come before them. */
static size_t tests_last(char **files, size_t n)
{
    size_t npolicies = 0;

    for (size_t k = 0; k < n; k++) {
        size_t len = strlen(files[k]);
        if (len >= 9 && strcmp(files[k] + len - 9, "_test.lua") == 0)
            continue;
        char *policy = files[k];
        memmove(files + npolicies + 1, files + npolicies, (k - npolicies) * sizeof(*files));
        files[npolicies++] = policy;
    }
    return npolicies;
}

int tool_check(int argc, char **argv)
{
    struct tool_args a;
    struct loaded l;
    struct diags *d;
    size_t npolicies, ntests = 0;
    int code = tool_args(argc, argv, usage_check, &a);

    if (code || a.help)
        return code;
    d = diags_new();
    memset(&l, 0, sizeof(l));
    npolicies = tests_last(a.rest, (size_t)a.nrest);
    if (npolicies < (size_t)a.nrest)
        ntests =
            test_check((const char *const *)a.rest + npolicies, (size_t)a.nrest - npolicies, d);
    if (npolicies == 0 && a.nrest > 0) {
        ; /* tests alone */
    } else if (!a.config_given && npolicies > 0 && access(a.config, F_OK) != 0) {
        struct policy_load_options o = {
            .paths = (const char *const *)a.rest, .npaths = npolicies, .mode = MODE_ENFORCE};
        l.set = policies_load(&o, d);
        if (l.set && diags_errors(d) == 0)
            json_free(policies_walk(l.set, NULL, d));
    } else {
        load_all(a.config, (const char *const *)a.rest, npolicies, &l, d);
    }
    code = finish(d, &l, ntests, a.config, a.json);
    loaded_free(&l);
    diags_free(d);
    return code;
}
