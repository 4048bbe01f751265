/* The reference as Markdown: fields, conditions, signals, actions, targets, configuration, codes.
 */
#include "tools/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "lua/schema.h"
#include "plugin/action.h"
#include "plugin/collector.h"

#define COLUMNS                                                                                    \
    "\n| name | type | required | default | range | meaning |\n|---|---|---|---|---|---|\n"

const struct reference_code reference_codes[] = {
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
    {"W205", "a period that the metric does not have, at all or on a target of the policy"},
    {"W206", "a mode that the agent's mode lowers"},
    {"W207", "a secret, a file or a user that this host does not have"},
    {"W208", "an override of a parameter that changes nothing"},
    {"W209", "a run that does too much for all of its ways to be looked at"},
    {"W210", "an approver who is not one of the operators"},
    {"W211", "an act on a target that lacks a field that it needs"},
    {"W212", "a selector that names a target that the estate does not have"},
    {"W213", "a signal that has no source on a target of the policy"},
};
const size_t reference_codes_len = sizeof(reference_codes) / sizeof(reference_codes[0]);

/* Text in a table: a bar would end the cell. */
static void cell(struct buf *out, const char *text)
{
    for (const char *s = text ? text : ""; *s; s++)
        (void)buf_adds(out, *s == '|' ? "\\|" : (char[]){*s, '\0'});
}

/* "a|b|c" or "a b c" as `a`, `b`, `c`. */
static void words(struct buf *out, const char *list, const char *separators)
{
    const char *sep = "";

    while (list && *list) {
        size_t n = strcspn(list, separators);
        if (n)
            (void)buf_addf(out, "%s`%.*s`", sep, (int)n, list);
        sep = n ? ", " : sep;
        list += n + (list[n] != '\0');
    }
}

/* A limit as it would be written. */
static const char *bound(char *out, size_t size, enum opt_type t, double v)
{
    switch (t) {
    case OPT_DURATION:
        return unit_format_duration(out, size, (int64_t)v);
    case OPT_PERCENT:
        return unit_format(out, size, UNIT_PERCENT, v);
    case OPT_SIZE:
        return unit_format(out, size, UNIT_SIZE, v);
    default:
        snprintf(out, size, "%.15g", v);
        return out;
    }
}

static void range(struct buf *out, const struct option *o)
{
    bool length =
        o->type == OPT_STRING || o->type == OPT_LIST || o->type == OPT_MAP || o->type == OPT_SECRET;
    char low[UNIT_TEXT], high[UNIT_TEXT];

    if (o->type == OPT_ENUM) {
        words(out, o->words, "|");
    } else if (o->type == OPT_TARGET) {
        (void)buf_addf(out, "the name of a `%s`", o->words ? o->words : "target");
    } else if (o->type == OPT_STEP) {
        (void)buf_addf(out, "the name of an action with the output `%s`", o->words);
    } else if (o->min == 0 && o->max == 0) {
        (void)buf_adds(out, o->type == OPT_PERCENT ? "0% to 100%" : "");
    } else if (o->max >= OPTION_NO_MAX) {
        (void)buf_addf(out, "at least %s%s", bound(low, sizeof(low), o->type, o->min),
                       length ? " long" : "");
    } else {
        (void)buf_addf(out, "%s to %s%s", bound(low, sizeof(low), o->type, o->min),
                       bound(high, sizeof(high), o->type, o->max), length ? " long" : "");
    }
}

/* table: the options among which o's group is found. */
static void need(struct buf *out, const struct option *o, const struct option *table, size_t n)
{
    const char *sep = "exactly one of ";

    if (!o->one_of) {
        (void)buf_adds(out, o->required ? "yes" : "no");
        return;
    }
    for (size_t k = 0; k < n; k++)
        if (table[k].one_of && strcmp(table[k].one_of, o->one_of) == 0) {
            (void)buf_addf(out, "%s`%s`", sep, table[k].name);
            sep = ", ";
        }
}

static void row(struct buf *out, const struct option *o, const char *type, const char *prefix,
                const struct option *table, size_t n)
{
    (void)buf_addf(out, "| `%s%s` | %s | ", prefix, o->name, type);
    need(out, o, table, n);
    (void)buf_adds(out, " | ");
    if (o->fallback) {
        (void)buf_adds(out, "`");
        cell(out, o->fallback);
        (void)buf_adds(out, "`");
    }
    (void)buf_adds(out, " | ");
    range(out, o);
    (void)buf_adds(out, " | ");
    cell(out, o->help);
    (void)buf_adds(out, " |\n");
}

static void fields(struct buf *out, const struct field *f, size_t n, const char *prefix)
{
    for (size_t k = 0; k < n; k++) {
        row(out, &f[k].option, field_type_name(&f[k]), prefix, NULL, 0);
        if (f[k].type == FIELD_TABLE) {
            char *inner = mem_printf("%s%s.", prefix, f[k].option.name);
            fields(out, f[k].fields, f[k].nfields, inner);
            mem_free(inner);
        }
    }
}

static void options(struct buf *out, const struct option *o, size_t n)
{
    (void)buf_adds(out, n ? COLUMNS : "\nNo options of its own.\n");
    for (size_t k = 0; k < n; k++)
        row(out, &o[k], opt_type_name(o[k].type), "", o, n);
}

static void schema(struct buf *out, const struct schema *s, const char *title)
{
    (void)buf_addf(out, "\n## %s\n\n`%s`: %s.\n" COLUMNS, title, s->name, s->summary);
    fields(out, s->fields, s->nfields, "");
}

/* Types */

static void types(struct buf *out)
{
    static const struct {
        enum opt_type type;
        const char *written, *held;
    } rows[] = {
        {OPT_STRING, "`\"text\"`", "as it is"},
        {OPT_COUNT, "`800`", "a whole number"},
        {OPT_NUMBER, "`0.5`", "a number"},
        {OPT_PERCENT, "`\"60%\"`", "0 to 100"},
        {OPT_DURATION, "`\"1h30m\"`; units `d h m s ms`, each at most once, in this order",
         "milliseconds"},
        {OPT_SIZE, "`\"4GiB\"`; units `B KiB MiB GiB TiB kB MB GB TB`", "bytes"},
        {OPT_RATE, "`\"2 per 1h\"`", "a number of times within a time"},
        {OPT_BOOL, "`true`, `false`", "a truth value"},
        {OPT_ENUM, "one of the words listed", "the word"},
        {OPT_LIST, "`{ \"a\", \"b\" }`, or one string", "a list of strings"},
        {OPT_MAP, "`{ key = \"value\" }`", "strings by name"},
        {OPT_PERCENT_OR_COUNT, "`\"25%\"` or `2`", "a share or a number"},
        {OPT_SECRET, "`secret.file \"/path\"`, `secret.env \"NAME\"`",
         "where it is, never the value"},
        {OPT_SIGNAL, "`sig.x { ... }`", "the signal and its options"},
        {OPT_COUNT_OR_SIGNAL, "`8` or `sig.x { ... }`",
         "a number, or what the signal reads when the step is planned; unknown or stale: denied"},
        {OPT_TARGET, "`\"name\"`", "another target of the estate"},
        {OPT_STEP, "`\"name\"`", "another action of the same policy: what it did in this run"},
    };

    (void)buf_adds(out, "\n## Types\n\n| type | written | means |\n|---|---|---|\n");
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
        (void)buf_addf(out, "| %s | %s | %s |\n", opt_type_name(rows[k].type), rows[k].written,
                       rows[k].held);
}

/* Signals */

static void permissions(struct buf *out, const char *const *p)
{
    if (!p || !*p)
        (void)buf_adds(out, "none");
    for (const char *const *w = p; w && *w; w++)
        (void)buf_addf(out, "%s`%s`", w == p ? "" : ", ", *w);
}

static void threshold(struct buf *out, const struct signal *s)
{
    if (s->unit != UNIT_ENUM) {
        (void)buf_addf(out,
                       "| compared by | `above`, `below`, `at_least`, `at_most`, with a %s |\n",
                       opt_type_name(schema_threshold(s->unit)));
        return;
    }
    (void)buf_adds(out, "| compared by | `is`, `is_not`, with one of ");
    for (const char *const *w = s->words; w && *w; w++)
        (void)buf_addf(out, "%s`%s`", w == s->words ? "" : ", ", *w);
    (void)buf_adds(out, " |\n");
}

static void signal_section(struct buf *out, const struct signal *s, const struct collector_type *t)
{
    char d[UNIT_TEXT];

    (void)buf_addf(out, "\n### `sig.%s`\n\n", s->name);
    cell(out, s->summary);
    (void)buf_addf(out, "\n\n| | |\n|---|---|\n| unit | %s |\n", unit_name(s->unit));
    threshold(out, s);
    (void)buf_adds(out, "| targets | ");
    words(out, s->targets, " ");
    (void)buf_adds(out, " |\n| source | ");
    cell(out, s->source);
    (void)buf_addf(out, " |\n| a point every | %s%s |\n",
                   unit_format_duration(d, sizeof(d), s->default_interval_ms),
                   s->interval_ms ? ", or as its target and options say" : "");
    (void)buf_addf(out, "| lag | %s |\n", unit_format_duration(d, sizeof(d), s->lag_ms));
    (void)buf_addf(out, "| zero across the fleet | %s%s |\n",
                   s->zero_suspicious ? "a finding, not a value" : "an ordinary value",
                   s->zero_suspicious && s->zero_plain ? ", unless its options may select nothing"
                                                       : "");
    (void)buf_addf(out, "| collector | `%s`; rights: ", t->name);
    permissions(out, t->permissions);
    if (s->other_permissions) {
        (void)buf_adds(out, "; from its other source: ");
        permissions(out, s->other_permissions);
    }
    (void)buf_adds(out, " |\n");
    options(out, s->options, s->noptions);
}

/* One that no collector reads. */
static void derived_section(struct buf *out, const struct signal *s)
{
    (void)buf_addf(out, "\n### `sig.%s`\n\n", s->name);
    cell(out, s->summary);
    (void)buf_adds(out, "\n\n| | |\n|---|---|\n");
    if (s->derive == DERIVE_CLOCK)
        (void)buf_adds(
            out,
            "| compared by | nothing, and it has no `lasting`, no `missing` and no `clear` |\n");
    else
        (void)buf_addf(out,
                       "| compared by | `%s` |\n| a point every, lag | as what it is made of |\n",
                       s->comparator);
    (void)buf_adds(out, "| targets | ");
    words(out, s->targets, " ");
    (void)buf_adds(out, " |\n| source | ");
    cell(out, s->source);
    (void)buf_adds(out, " |\n");
    options(out, s->options, s->noptions);
}

static void signals(struct buf *out)
{
    (void)buf_adds(out, "\n## Signals\n\nBeside these fields each takes those of `sig.x` above.\n\n"
                        "| signal | unit | targets | meaning |\n|---|---|---|---|\n");
    for (size_t k = 0; k < collector_types_len; k++)
        for (size_t n = 0; n < collector_types[k]->nsignals; n++) {
            const struct signal *s = &collector_types[k]->signals[n];
            (void)buf_addf(out, "| `sig.%s` | %s | ", s->name, unit_name(s->unit));
            words(out, s->targets, " ");
            (void)buf_adds(out, " | ");
            cell(out, s->summary);
            (void)buf_adds(out, " |\n");
        }
    for (size_t k = 0; k < derived_signals_len; k++) {
        const struct signal *s = &derived_signals[k];
        (void)buf_addf(out, "| `sig.%s` | %s | ", s->name,
                       s->derive == DERIVE_CLOCK ? "" : unit_name(s->unit));
        words(out, s->targets, " ");
        (void)buf_adds(out, " | ");
        cell(out, s->summary);
        (void)buf_adds(out, " |\n");
    }
    for (size_t k = 0; k < collector_types_len; k++)
        for (size_t n = 0; n < collector_types[k]->nsignals; n++)
            signal_section(out, &collector_types[k]->signals[n], collector_types[k]);
    for (size_t k = 0; k < derived_signals_len; k++)
        derived_section(out, &derived_signals[k]);
}

/* Actions */

static void flags(struct buf *out, const struct action_type *t)
{
    static const struct {
        unsigned flag;
        const char *word;
    } names[] = {
        {ACTION_REVERSIBLE, "reversible"},   {ACTION_DISRUPTIVE, "disruptive"},
        {ACTION_DESTRUCTIVE, "destructive"}, {ACTION_IRREVERSIBLE, "irreversible"},
        {ACTION_COSTS_MONEY, "costs money"},
    };
    const char *sep = "";

    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
        if (t->flags & names[k].flag) {
            (void)buf_addf(out, "%s%s", sep, names[k].word);
            sep = ", ";
        }
    if (!*sep)
        (void)buf_adds(out, "none");
}

static void action_section(struct buf *out, const struct action_type *t)
{
    (void)buf_addf(out, "\n### `act.%s`\n\n", t->name);
    cell(out, t->summary);
    (void)buf_adds(out, "\n\n| | |\n|---|---|\n| targets | ");
    words(out, t->targets, " ");
    (void)buf_adds(out, " |\n| at most it is | ");
    flags(out, t);
    (void)buf_addf(out, " |\n| attribute | `%s` of ", t->attribute);
    if (t->writes)
        words(out, t->writes, " ");
    else
        (void)buf_adds(out, "the target");
    (void)buf_addf(out, " |\n| headroom | %s%s%s |\n", t->headroom && *t->headroom ? "`" : "",
                   t->headroom && *t->headroom ? t->headroom : "none",
                   t->headroom && *t->headroom ? "`" : "");
    (void)buf_addf(out, "| a lost answer | %s |\n| undo | %s |\n| outputs | ",
                   t->can_probe ? "is settled by asking the world"
                                : "cannot be settled: destructive acts need an approval",
                   t->undo ? "yes" : "no");
    if (!t->outs || !*t->outs)
        (void)buf_adds(out, "none");
    for (const char *const *w = t->outs; w && *w; w++)
        (void)buf_addf(out, "%s`%s`", w == t->outs ? "" : ", ", *w);
    (void)buf_adds(out, " |\n| rights | ");
    permissions(out, t->permissions);
    (void)buf_adds(out, " |\n");
    options(out, t->options, t->noptions);
    (void)buf_adds(out, "\nThe state of its target in tests:\n");
    options(out, t->state_options, t->nstate_options);
}

static void actions(struct buf *out)
{
    (void)buf_adds(out, "\n## Actions\n\nBeside these fields each takes those of `act.x` above. A "
                        "plan may be less than its action at most is: "
                        "growing a group destroys nothing, shrinking it does.\n\n| action | "
                        "targets | meaning |\n|---|---|---|\n");
    for (size_t k = 0; k < action_types_len; k++) {
        (void)buf_addf(out, "| `act.%s` | ", action_types[k]->name);
        words(out, action_types[k]->targets, " ");
        (void)buf_adds(out, " | ");
        cell(out, action_types[k]->summary);
        (void)buf_adds(out, " |\n");
    }
    for (size_t k = 0; k < action_types_len; k++)
        action_section(out, action_types[k]);
}

/* Targets */

static void targets(struct buf *out)
{
    for (size_t k = 0; k < target_kinds_len; k++) {
        const struct target_kind *t = &target_kinds[k];
        (void)buf_addf(out, "\n### `%s \"name\" { ... }`\n\n", t->name);
        cell(out, t->summary);
        if (t->domain)
            (void)buf_addf(out, "; its failure domain is its `%s`", t->domain);
        (void)buf_adds(out, "\n");
        options(out, t->options, t->noptions);
    }
    for (size_t k = 0; k < target_kinds_len; k++) {
        const struct target_kind *t = &target_kinds[k];
        if (!t->discover)
            continue;
        (void)buf_addf(
            out,
            "\n### `discover.%s { ... }`\n\nWhat is found joins the estate as if it were "
            "declared ([operations.md](operations.md#discovery)). Rights: ",
            t->name);
        permissions(out, t->discover->permissions);
        (void)buf_adds(out, ".\n");
        options(out, t->discover->options, t->discover->noptions);
    }
}

void reference_markdown(struct buf *out)
{
    (void)buf_adds(out, "# Reference\n\nEvery field, signal, action, kind of target and key of the "
                        "configuration. Printed by "
                        "`runbookd policy-docs` from the tables that check the files; a test keeps "
                        "this page equal to them. How they are used: "
                        "[policies.md](policies.md).\n");
    types(out);
    schema(out, &schema_policy, "`policy \"name\" { ... }`");
    schema(out, &schema_procedure, "`procedure \"name\" { ... }`");
    schema(out, &schema_param, "One of a procedure's `params`");
    schema(out, &schema_selector, "`find.KIND { ... }`");
    schema(out, &schema_leaf, "`sig.NAME { ... }`");
    schema(out, &schema_action, "`act.NAME { ... }`");
    signals(out);
    actions(out);
    schema(out, &schema_test, "`test \"name\" { ... }` in *_test.lua");
    schema(out, &schema_test_target, "The `target` of a test");
    schema(out, &schema_config, "The agent: `runbookd { ... }` in runbookd.lua");
    (void)buf_adds(out, "\nPaths are relative to the file that names them. A secret is named, "
                        "never written; its file may be readable by its owner only.\n");
    schema(out, &schema_target, "The estate: every target of estate.lua");
    targets(out);
    (void)buf_adds(
        out, "\n## Errors and warnings\n\nCauses and remedies: "
             "[policies.md](policies.md#errors-and-warnings).\n\n| code | meaning |\n|---|---|\n");
    for (size_t k = 0; k < reference_codes_len; k++)
        (void)buf_addf(out, "| %s | %s |\n", reference_codes[k].code, reference_codes[k].text);
}
