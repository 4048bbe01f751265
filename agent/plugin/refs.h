/* References in strings of options, "$target.name" and the like: found when a policy is checked,
 * resolved when a condition is bound or a step is planned. */
#ifndef RB_PLUGIN_REFS_H
#define RB_PLUGIN_REFS_H

#include <stdbool.h>
#include "plugin/target.h"

/* What references may name. NULL: that kind of reference is not possible here, and naming one is an
 * error that says so. */
struct refs {
    const struct target *target; /* $target.name, .id, .kind, .FIELD, .tag.KEY */
    const struct json *params;   /* $param.NAME: map */
    const char *run_id;          /* $run.id */
    const struct json *steps;    /* $step.ACTION.OUTPUT: map of maps */
};

/* A copy of opts in which every reference of every string, at any depth, is replaced by its value
 * as text; NULL and *e (ERR_NOT_FOUND: the E102 text) when one names nothing. A '$' that no "word."
 * follows stays as it is: SQL's $1, a regular expression's end. The caller frees. */
struct json *refs_resolve(const struct json *opts, const struct refs *r, struct err *e);

/* The length of the reference that follows a '$', after which s points; 0: it is no reference. */
size_t refs_length(const char *s);

/* Calls fn with each reference in opts, without the '$': "target.tag.tier". fn returning false ends
 * the walk; the walk's answer is whether it was not ended. */
bool refs_each(const struct json *opts, bool (*fn)(void *arg, const char *ref), void *arg);

#endif
