/* What may be written where: one table a thing. The tables drive the check, the errors and the
 * reference (runbookd policy-docs). */
#ifndef RB_LUA_SCHEMA_H
#define RB_LUA_SCHEMA_H

#include "base/units.h"
#include "plugin/option.h"

enum field_type {
    FIELD_OPTION,     /* `option` says all */
    FIELD_CONDITION,  /* sig.x{...}, all{...}, any{...}, none{...} */
    FIELD_CONDITIONS, /* { name = condition } */
    FIELD_ACTIONS,    /* { act.x{...} } or { name = act.x{...} } */
    FIELD_SELECTOR,   /* find.x{...} */
    FIELD_FUNCTION,
    FIELD_MAX_ACTS, /* { action = count } or a count for each */
    FIELD_PARAMS,   /* { name = { type = ..., default = ..., help = ... } } */
    FIELD_TABLE,    /* a table of `fields` */
};

struct field {
    struct option option; /* name, required, fallback, help in any case */
    enum field_type type;
    const struct field *fields; /* FIELD_TABLE */
    size_t nfields;
};

struct schema {
    const char *name; /* "policy", "sig.x", "runbookd" */
    const char *summary;
    const struct field *fields;
    size_t nfields;
};

extern const struct schema schema_policy, schema_procedure, schema_leaf, schema_derived,
    schema_action, schema_selector, schema_param, schema_config, schema_target, schema_test,
    schema_test_target;
extern const struct schema *const schemas[]; /* all of them, for the manual */
extern const size_t schemas_len;

const struct field *schema_find(const struct schema *s, const char *name);
const char *field_type_name(const struct field *f);   /* "condition" */
const char *field_type_remedy(const struct field *f); /* `needs a condition: sig.x{...}, ...` */

/* How a threshold of this unit is written. */
enum opt_type schema_threshold(enum unit u);

#endif
