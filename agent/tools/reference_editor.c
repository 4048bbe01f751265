/* The reference for editors: definitions for the Lua language server, a standard for luacheck. */
#include <string.h>

#include "plugin/action.h"
#include "plugin/collector.h"
#include "lua/schema.h"
#include "tools/reference.h"

static const char *lua_type(const struct option *o)
{
    switch (o->type) {
    case OPT_COUNT:
        return "integer";
    case OPT_NUMBER:
        return "number";
    case OPT_BOOL:
        return "boolean";
    case OPT_LIST:
        return "string|string[]";
    case OPT_MAP:
        return "table<string, string>";
    case OPT_PERCENT_OR_COUNT:
        return "string|integer";
    case OPT_SECRET:
        return "runbookd.Secret";
    case OPT_SIGNAL:
        return "runbookd.Condition";
    case OPT_COUNT_OR_SIGNAL:
        return "integer|runbookd.Condition";
    case OPT_STRING:
    case OPT_PERCENT:
    case OPT_DURATION:
    case OPT_SIZE:
    case OPT_RATE:
    case OPT_ENUM:
    case OPT_TARGET:
    case OPT_STEP:
        break;
    }
    return "string";
}

static const char *field_lua_type(const struct field *f)
{
    switch (f->type) {
    case FIELD_CONDITION:
        return "runbookd.Condition";
    case FIELD_CONDITIONS:
        return "table<string, runbookd.Condition>";
    case FIELD_ACTIONS:
        return "runbookd.Action[]|table<string, runbookd.Action>";
    case FIELD_SELECTOR:
        return "runbookd.Selector";
    case FIELD_FUNCTION:
        return "fun(r: runbookd.Run)";
    case FIELD_MAX_ACTS:
        return "integer|table<string, integer>";
    case FIELD_PARAMS:
        return "table<string, table>";
    case FIELD_TABLE:
        return "table";
    case FIELD_OPTION:
        break;
    }
    return lua_type(&f->option);
}

/* parameters make the type wider: param(...) gives a value of its default's type. */
static void field(struct buf *out, const struct option *o, const char *type)
{
    (void)buf_addf(out, "---@field %s%s ", o->name, o->required ? "" : "?");
    if (o->type == OPT_ENUM && o->words) {
        for (const char *w = o->words; *w;) {
            size_t n = strcspn(w, "|");
            (void)buf_addf(out, "%s\"%.*s\"", w == o->words ? "" : "|", (int)n, w);
            w += n + (w[n] == '|');
        }
    } else {
        (void)buf_adds(out, type);
    }
    (void)buf_addf(out, " %s\n", o->help ? o->help : "");
}

static void schema_fields(struct buf *out, const struct schema *s)
{
    for (size_t k = 0; k < s->nfields; k++)
        field(out, &s->fields[k].option, field_lua_type(&s->fields[k]));
}

static void options(struct buf *out, const struct option *o, size_t n)
{
    for (size_t k = 0; k < n; k++)
        field(out, &o[k], lua_type(&o[k]));
}

/* The comparators take what the signal's unit is written as. */
static void comparators(struct buf *out, const struct signal *s)
{
    /* What is made of others has an option of its own for it. */
    static const char *const numeric[] = {"above", "below", "at_least", "at_most"},
                             *const word[] = {"is", "is_not"};
    const struct option o = {.type = schema_threshold(s->unit)};
    bool words = s->unit == UNIT_ENUM;

    for (size_t k = 0; !s->comparator && k < (words ? 2 : 4); k++)
        (void)buf_addf(out, "---@field %s? %s\n", words ? word[k] : numeric[k], lua_type(&o));
    for (size_t k = 0; k < schema_derived.nfields; k++) { /* of every signal with points */
        const struct field *f = &schema_derived.fields[k];
        if (strcmp(f->option.name, "clear") != 0)
            field(out, &f->option, field_lua_type(f));
        else if (!words)
            field(out, &f->option,
                  s->comparator ? lua_type(option_find(s->options, s->noptions, s->comparator))
                                : lua_type(&o));
    }
}

static void signal(struct buf *out, const struct signal *s)
{
    (void)buf_addf(out, "\n---@class runbookd.sig.%s\n", s->name);
    if (s->derive != DERIVE_CLOCK)
        comparators(out, s);
    options(out, s->options, s->noptions);
    (void)buf_addf(out,
                   "\n---%s\n---@param fields runbookd.sig.%s\n---@return "
                   "runbookd.Condition\nfunction sig.%s(fields) end\n",
                   s->summary ? s->summary : "", s->name, s->name);
}

static void constructors(struct buf *out)
{
    for (size_t k = 0; k < collector_types_len; k++)
        for (size_t n = 0; n < collector_types[k]->nsignals; n++)
            signal(out, &collector_types[k]->signals[n]);
    for (size_t k = 0; k < derived_signals_len; k++)
        signal(out, &derived_signals[k]);
    for (size_t k = 0; k < action_types_len; k++) {
        const struct action_type *t = action_types[k];
        (void)buf_addf(out, "\n---@class runbookd.act.%s : runbookd.ActionFields\n", t->name);
        options(out, t->options, t->noptions);
        (void)buf_addf(out,
                       "\n---%s\n---@param fields runbookd.act.%s\n---@return "
                       "runbookd.Action\nfunction act.%s(fields) end\n",
                       t->summary ? t->summary : "", t->name, t->name);
    }
    for (size_t k = 0; k < target_kinds_len; k++)
        (void)buf_addf(out,
                       "\n---%s\n---@param fields runbookd.SelectorFields\n---@return "
                       "runbookd.Selector\nfunction find.%s(fields) end\n",
                       target_kinds[k].summary, target_kinds[k].name);
}

void reference_luals(struct buf *out)
{
    static const struct {
        const char *class;
        const struct schema *schema;
    } classes[] = {
        {"runbookd.Policy", &schema_policy},       {"runbookd.Procedure", &schema_procedure},
        {"runbookd.ActionFields", &schema_action}, {"runbookd.SelectorFields", &schema_selector},
        {"runbookd.Test", &schema_test},
    };

    (void)buf_adds(out, "---@meta\n-- Definitions of the policy language for the Lua language "
                        "server; printed by runbookd policy-docs --format luals.\n\n"
                        "---@class runbookd.Condition\n---@class runbookd.Action\n---@class "
                        "runbookd.Selector\n---@class runbookd.Secret\n");
    for (size_t k = 0; k < sizeof(classes) / sizeof(classes[0]); k++) {
        (void)buf_addf(out, "\n---@class %s\n", classes[k].class);
        schema_fields(out, classes[k].schema);
    }
    (void)buf_adds(
        out,
        "\n---The run of a policy: each call is a journaled step.\n"
        "---@class runbookd.Run\n---@field target table\n---@field params table\nlocal run = {}\n"
        "---@param name string\n---@return boolean\nfunction run:act(name) end\n"
        "---@param name string\n---@return boolean\nfunction run:undo(name) end\n"
        "---@param check string\n---@param within? string\n---@return boolean\nfunction "
        "run:verify(check, within) end\n"
        "---@param checks string|string[]\n---@param timeout string\n---@return "
        "string|false\nfunction run:wait(checks, timeout) end\n"
        "---@param check string\n---@return boolean\nfunction run:holds(check) end\n"
        "---@param duration string\nfunction run:sleep(duration) end\n"
        "---@param text string\n---@return true\nfunction run:page(text) end\n"
        "---@param text string\nfunction run:log(text) end\n"
        "---@param signal runbookd.Condition\n---@return number|nil\nfunction run:read(signal) "
        "end\n"
        "\n---@param name string\n---@return fun(fields: runbookd.Policy)\nfunction policy(name) "
        "end\n"
        "---@param name string\n---@return fun(fields: runbookd.Procedure)\nfunction "
        "procedure(name) end\n"
        "---In *_test.lua: a policy in virtual time.\n---@param name string\n---@return "
        "fun(fields: "
        "runbookd.Test)\nfunction test(name) end\n"
        "---@param fields runbookd.Policy\nfunction defaults(fields) end\n"
        "---@generic T\n---@param name string\n---@param default? T\n---@return T\nfunction "
        "param(name, default) end\n"
        "---@param name string\n---@return table\nfunction use(name) end\n"
        "---@param conditions runbookd.Condition[]\n---@return runbookd.Condition\nfunction "
        "all(conditions) end\n"
        "---@param conditions runbookd.Condition[]\n---@return runbookd.Condition\nfunction "
        "any(conditions) end\n"
        "---@param conditions runbookd.Condition[]\n---@return runbookd.Condition\nfunction "
        "none(conditions) end\n"
        "\nsig, act, find = {}, {}, {}\n");
    constructors(out);
}

void reference_luacheck(struct buf *out)
{
    (void)buf_adds(
        out,
        "-- A standard for luacheck; printed by runbookd policy-docs --format luacheck. In "
        ".luacheckrc:\n"
        "--   stds.runbookd = dofile \"luacheck.lua\"\n--   std = \"runbookd\"\n"
        "return {\n  read_globals = {\n    \"policy\", \"procedure\", \"defaults\", \"param\", "
        "\"use\", \"all\", \"any\", \"none\", \"test\",\n"
        "    \"assert\", \"error\", \"ipairs\", \"pairs\", \"tonumber\", \"tostring\", \"type\",\n"
        "    math = { fields = { \"floor\", \"ceil\", \"min\", \"max\", \"abs\" } },\n    string = "
        "{ fields = { \"format\" } },\n"
        "    sig = { fields = {\n");
    for (size_t k = 0; k < collector_types_len; k++)
        for (size_t n = 0; n < collector_types[k]->nsignals; n++)
            (void)buf_addf(out, "      \"%s\",\n", collector_types[k]->signals[n].name);
    for (size_t k = 0; k < derived_signals_len; k++)
        (void)buf_addf(out, "      \"%s\",\n", derived_signals[k].name);
    (void)buf_adds(out, "    } },\n    act = { fields = {\n");
    for (size_t k = 0; k < action_types_len; k++)
        (void)buf_addf(out, "      \"%s\",\n", action_types[k]->name);
    (void)buf_adds(out, "    } },\n    find = { fields = {\n");
    for (size_t k = 0; k < target_kinds_len; k++)
        (void)buf_addf(out, "      \"%s\",\n", target_kinds[k].name);
    (void)buf_adds(out, "    } },\n  },\n}\n");
}
