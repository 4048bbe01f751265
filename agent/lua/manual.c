/* The reference manual, printed from the tables that the checks use. */
#include <string.h>
#include "base/units.h"
#include "lua/internal.h"

#define MAX_MANUAL (1u << 20)

static void cell(struct buf *out, const char *text)
{
    for (const char *s = text ? text : ""; *s; s++) {
        (void)buf_adds(out, *s == '|' ? "\\|" : (char[]){*s, '\0'});
    }
}

static void row(struct buf *out, const struct option *o, const char *type, const char *prefix)
{
    (void)buf_addf(out, "| `%s%s`%s | ", prefix, o->name, o->required ? " *" : "");
    if (o->type == OPT_ENUM && o->words) {
        for (const char *w = o->words; *w;) {
            size_t n = strcspn(w, "|");
            (void)buf_addf(out, "%s`%.*s`", w == o->words ? "" : ", ", (int)n, w);
            w += n + (w[n] == '|');
        }
    } else {
        (void)buf_adds(out, type);
    }
    (void)buf_addf(out, " | %s%s%s | ", o->fallback ? "`" : "", o->fallback ? o->fallback : "",
                   o->fallback ? "`" : "");
    cell(out, o->help);
    (void)buf_adds(out, o->one_of ? " (exactly one of its group)" : "");
    (void)buf_adds(out, " |\n");
}

static void head(struct buf *out)
{
    (void)buf_adds(out, "\n| field | written | default | meaning |\n|---|---|---|---|\n");
}

static void fields(struct buf *out, const struct field *f, size_t n, const char *prefix)
{
    for (size_t i = 0; i < n; i++) {
        row(out, &f[i].option, field_type_name(&f[i]), prefix);
        if (f[i].type == FIELD_TABLE) {
            char *inner = mem_printf("%s%s.", prefix, f[i].option.name);
            fields(out, f[i].fields, f[i].nfields, inner);
            mem_free(inner);
        }
    }
}

static void options(struct buf *out, const struct option *o, size_t n)
{
    if (n) {
        head(out);
    }
    for (size_t i = 0; i < n; i++) {
        row(out, &o[i], opt_type_name(o[i].type), "");
    }
}

static void schema(struct buf *out, const struct schema *s, const char *title)
{
    (void)buf_addf(out, "\n## %s\n\n%s: %s. `*` is required.\n", title, s->name, s->summary);
    head(out);
    fields(out, s->fields, s->nfields, "");
}

char *manual_configuration(void)
{
    struct buf out;
    buf_init(&out, MAX_MANUAL);
    (void)buf_adds(&out, "# Configuration reference\n\nPrinted from the tables that check the "
                         "files; a test keeps this page equal to them.\n"
                         "Relative paths are relative to the file that names them. Secrets are "
                         "named, never written: `secret.file \"/path\"` "
                         "(readable by its owner only) or `secret.env \"NAME\"`.\n");
    schema(&out, &schema_config, "The agent: `runbookd { ... }` in runbookd.lua");
    schema(&out, &schema_target, "The estate: every target of estate.lua");
    for (size_t i = 0; i < target_kinds_len; i++) {
        const struct target_kind *k = &target_kinds[i];
        (void)buf_addf(&out, "\n### `%s \"name\" { ... }`: %s\n", k->name, k->summary);
        options(&out, k->options, k->noptions);
    }
    (void)buf_adds(
        &out,
        "\n### `discover.asg { aws = ..., tag = ..., mode = ... }`: groups found by their tags\n");
    return buf_take(&out);
}

static void codes(struct buf *out)
{
    static const char *const all[][2] = {
        {"E100", "a file that cannot be read"},
        {"E101", "syntax"},
        {"E102", "unknown name"},
        {"E103", "assignment to a global"},
        {"E104", "unknown field"},
        {"E105", "missing field"},
        {"E106", "wrong shape"},
        {"E107", "wrong type or unit"},
        {"E108", "out of range"},
        {"E109", "not exactly one comparator"},
        {"E110", "declared twice"},
        {"E111", "no such action or check"},
        {"E112", "cannot be undone"},
        {"E113", "unbounded run"},
        {"E114", "replay differs"},
        {"E115", "instruction budget spent"},
        {"E116", "out of memory"},
        {"E117", "wider than the host's limit"},
        {"E118", "an error that the file itself raised"},
        {"E120", "param without value"},
        {"E121", "a secret that others can read"},
        {"W201", "a bitwise operator on a constant"},
        {"W202", "a path that fails without a page"},
        {"W203", "two enforcing policies on one attribute of one target"},
        {"W204", "a check that can flap"},
        {"W205", "a period that the metric does not have"},
        {"W206", "a mode that the agent's mode lowers"}};
    (void)buf_adds(out, "\n## Errors and warnings\n\n| code | meaning |\n|---|---|\n");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        (void)buf_addf(out, "| %s | %s |\n", all[i][0], all[i][1]);
    }
}

char *manual_policies(void)
{
    struct buf out;
    char a[40];
    buf_init(&out, MAX_MANUAL);
    (void)buf_adds(&out, "# Policy reference\n\nPrinted from the tables that check the files.\n");
    schema(&out, &schema_policy, "`policy \"name\" { ... }`");
    schema(&out, &schema_procedure, "`procedure \"name\" { ... }`");
    schema(&out, &schema_param, "One of a procedure's `params`");
    schema(&out, &schema_selector, "`find.KIND { ... }`");
    schema(&out, &schema_leaf, "`sig.NAME { ... }`, beside the signal's own options");
    schema(&out, &schema_action, "`act.NAME { ... }`, beside the action's own options");
    (void)buf_adds(&out, "\n## Signals\n");
    for (size_t i = 0; i < collector_types_len; i++) {
        for (size_t k = 0; k < collector_types[i]->nsignals; k++) {
            const struct signal *s = &collector_types[i]->signals[k];
            (void)buf_addf(&out, "\n### `sig.%s` (%s): %s\n\nOn %s. Source: %s. Lag %s%s.\n",
                           s->name, unit_name(s->unit), s->summary ? s->summary : "",
                           s->targets ? s->targets : "any target",
                           s->source ? s->source : collector_types[i]->name,
                           unit_format_duration(a, sizeof a, s->lag_ms),
                           s->zero_suspicious ? "; zero across the fleet is a finding" : "");
            options(&out, s->options, s->noptions);
        }
    }
    (void)buf_adds(&out, "\n## Actions\n");
    for (size_t i = 0; i < action_types_len; i++) {
        const struct action_type *t = action_types[i];
        (void)buf_addf(&out, "\n### `act.%s`: %s\n\nOn %s.%s%s%s%s%s\n", t->name,
                       t->summary ? t->summary : "", t->targets ? t->targets : "any target",
                       t->flags & ACTION_REVERSIBLE ? " Reversible." : "",
                       t->flags & ACTION_DISRUPTIVE ? " Disruptive." : "",
                       t->flags & ACTION_DESTRUCTIVE ? " Destructive." : "",
                       t->flags & ACTION_IRREVERSIBLE ? " Irreversible." : "",
                       t->flags & ACTION_COSTS_MONEY ? " Costs money." : "");
        options(&out, t->options, t->noptions);
    }
    codes(&out);
    return buf_take(&out);
}
