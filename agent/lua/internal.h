/* What the files of this folder share beyond one loader: building, checking, stored sources. */
#ifndef RB_LUA_INTERNAL_H
#define RB_LUA_INTERNAL_H

#include "lua/loader.h"
#include "lua/lua.h"

/* A policy file as it was read or stored. Everything a run needs to load it again. */
struct source {
    char *name, *text; /* file name for messages, its text */
    size_t len;
    struct json *libs;   /* name -> text, those that it uses */
    struct json *params; /* resolved: NAME -> value, those that it asks for */
    char hash[65];
    struct scan **scans; /* of its text, then of the libs', while many runs of it are begun */
    size_t nscans;
};

/* script_data of a policy. */
struct policy_data {
    struct source *source;
    const char *policy;
};

/* The arena's extra owner: what a set's loader holds. */
struct set_data {
    struct keep keep;
    struct source **sources; /* one per file and per variant */
    size_t nsources, cap;
    struct json *params; /* of the environment, overrides included; NULL: none */
    struct variant *variants;
    size_t nvariants, variants_cap;
    const struct estate *estate; /* while the set is being loaded */
    const char *const *operators;
    size_t noperators;
    bool mode_given; /* `mode` is that of every policy */
    enum mode mode;
};

void value_push(lua_State *L, const struct json *j);
/* A parameter as the environment gives it for the loader's target; NULL: it does not. */
const struct json *param_value(const struct loader *ld, const char *name);

/* Builds one policy from the table at `table` with the defaults at `defaults`. Errors are in ld->d;
 * never NULL. */
struct policy *build_policy(lua_State *L, const char *name, int table, int defaults,
                            bool procedure);

/* The registry's table name -> run function, of build_policy. Pushes the function; false (nothing
 * pushed) when there is none. */
bool run_push(lua_State *L, const char *name);

/* clear.c: when a policy is over whose `when` has leaves with `clear`: none { when }, in which
 * those leaves have that threshold and no `lasting` (M6). NULL: there is no such leaf. */
struct cond *clear_of_when(struct arena *a, struct cond *when);
/* E108 for a `clear` on the wrong side of its comparator, E106 for one that nothing asks. */
void check_clear(const struct loader *ld, const struct policy *p);

/* What the checks of one policy share. */
struct checker {
    lua_State *L;
    struct loader *ld;
    struct policy *p;
    int table, defaults;
    const struct scan *scan; /* of the file */
    int source;
    bool before_start; /* of conditions that are asked before a procedure has its parameters */
};
/* check_refs.c: E102 for references that name nothing; `at` is what has the options. in_action:
 * else in a condition, which is read without a run. */
void check_refs(struct checker *c, const struct json *opts, struct place at, bool in_action);

/* check_source.c: W213 and W205 of the targets that the policy is for; s is what the leaf reads, or
 * a part of it. */
void check_source(struct checker *c, const struct cond *leaf, const struct signal *s,
                  const struct json *opts);

/* check.c: checks of one policy that need its text (steps by name, E108 of verifies); in Lua, run
 * function (or nil) at `run`. */
void check_policy(lua_State *L, struct policy *p, int table, int defaults, int run);
/* E108 at `at` when `cond` cannot have a verdict within_ms after an act (M15; -1: it
 * is not known); estate NULL: by the signals' usual periods. */
void check_within(struct diags *d, const struct place *at, const char *what, const struct policy *p,
                  const struct cond *cond, int64_t within_ms, const struct estate *estate);
/* Whether a word is in a descriptor's list of target kinds. */
bool check_listed(const char *list, const char *word);
/* Of one policy against the host's limits: E117, W206. */
void check_limits(const struct policy *p, const struct policy_load_options *o, const char *text,
                  size_t len, struct diags *d);
/* W203: an enforcing policy that writes what one before it writes. The estate may be NULL: then
 * nothing is known. */
struct writers *writers_new(const struct estate *estate);
void writers_add(struct writers *w, const struct policy *p, const struct place *at,
                 struct diags *d);
void writers_free(struct writers *w);

/* Across files: E110, W203, what inhibits names (when whole folders were read). */
void check_set(struct policy_set *set, const struct policy_load_options *o, bool folders,
               struct diags *d);

/* The environment's parameters as a map; NULL and errors in d. places gets where each is written:
 * {NAME: {"line", "column", "width"}}. */
struct json *params_load(const char *path, struct json *places, struct diags *d);
/* Across files, when all policies were read: E102 for a parameter that none asks for and for the
 * override of a target that does not exist, W208 for one that changes nothing. */
void params_check(const struct policy_set *set, const struct policy_load_options *o,
                  const struct json *values, const struct json *places, struct diags *d);

/* A path as named in `file`: relative to it. The caller frees. */
char *path_beside(const char *file, const char *path);

/* script.c */
extern const struct script_ops lua_script_ops;
int64_t script_spent(const struct script *s); /* instructions since its start, loading included */

/* coverage.c: notes the lines of the run function on top of L's stack and from now on those that co
 * carries out. Does nothing while nobody wants to know. */
void coverage_begin(lua_State *L, lua_State *co, const struct source *s, const char *policy);

/* source.c */
struct source *source_new(const char *name, const char *text, size_t len, const struct json *libs,
                          const struct json *params);
void source_free(struct source *s);
/* Reads its texts once for all runs that begin until source_forget. */
void source_scan(struct source *s);
void source_forget(struct source *s);
/* A set of one stored source, which it takes over; NULL when there were errors. */
struct policy_set *set_of_source(struct source *s, struct diags *d);
/* Fills arguments for loading from a stored source: libs and parameters come from it. */
void source_serve(struct loader *ld, const struct source *s);

#endif
