/* The only door into Lua: policies, estate and configuration are Lua files, loaded and checked here
 * into plain data; a policy's run function is a coroutine behind script_ops. No Lua type leaves
 * this folder. */
#ifndef RB_LUA_LUA_H
#define RB_LUA_LUA_H

#include "engine/policy.h"
#include "lua/diag.h"
#include "plugin/target.h"

/* ---- policies ---- */

struct policy_load_options {
    const struct place *paths_at; /* where a file names each of them, and params; NULL: nowhere */
    const struct place *params_at;
    const char *const *paths; /* folders (every *.lua in them and in their procedures/, but
                               *_test.lua) and single files */
    size_t npaths;
    const char *params; /* file of the environment's parameters, or NULL */
    const char *libs;   /* folder of use "x", or NULL: lib/ beside the file that uses it, or beside
                           its folder */
    struct rate max_limit;        /* the widest `limit` a policy may have (E117); n 0: none */
    enum mode mode;               /* the agent's, for W206; MODE_ENFORCE: no warning */
    const struct estate *estate;  /* for periods and for W203; NULL: unknown */
    const char *const *operators; /* for W210; none: whoever can open the socket */
    size_t noperators;
    const struct json *discover; /* as estate_load gave it, or NULL: what else may be found */
    bool whole; /* these are all the policies: each parameter of the file must be one's */
    /* For tests of policies. */
    const struct json *values; /* parameters in place of a file's, or NULL */
    const char *const *only;   /* the policies that are kept of all, by name; NULL: all */
    size_t nonly;
    const enum mode *as_mode; /* the mode of every policy, whatever it says; NULL: what it says */
};

/* Loads and checks all of it; everything wrong is in d, of all files in one go. NULL when there was
 * an error; warnings do not stop it. One reference is the caller's (policy_set_unref). The policies
 * of set->policies are without overrides per target; policy_for() gives a target's variant: the
 * file is loaded once more with "NAME@TARGET" values in force, at the first question, and kept in
 * the set; NULL when the values do not fit, so that nothing acts on them. Different overrides of a
 * file are tried here already, the first 64 of them. */
struct policy_set *policies_load(const struct policy_load_options *o, struct diags *d);

/* Enumerates the outcomes of each run function, as its steps can be answered (act and verify: done
 * or not; wait: each check or none): W202 for those that fail without a page, E113 for loops
 * without a wait; W211 for acts on targets of the estate that lack what they need. At most 300
 * paths a policy, each started anew: for `check` and before a set is taken, not for the loop.
 * estate (or NULL) gives a target to try with. The list: {"policy", "complete", "paths": [{"steps":
 * [...], "outcome", "pages"}]}; the caller frees. */
struct json *policies_walk(const struct policy_set *set, const struct estate *estate,
                           struct diags *d);

/* The stored form of sources and back, for replay (M23). */
const struct policy_loader *lua_policy_loader(void);

/* ---- coverage of run functions, for tests ---- */

struct coverage;
struct coverage *coverage_new(void);
void coverage_free(struct coverage *c);
/* While one is in use, every line of a run function that is carried out is noted in it; NULL: none.
 */
void coverage_use(struct coverage *c);
/* {"lines": how many its run function has, "missed": [those never carried out]}; NULL: it has no
 * run function of its own. The caller frees. */
struct json *coverage_of(struct coverage *c, const struct policy *p);

/* ---- estate and configuration ---- */

/* NULL when there was an error. One reference is the caller's (estate_unref). *discover, if asked
 * for, is the list of discover.KIND { ... }: its options as held, and
 * {"kind": "asg", "file", "line"}; the caller frees. named: where a file names it, or NULL. */
struct estate *estate_load(const char *path, const struct place *named, struct json **discover,
                           struct diags *d);

struct config {
    char *path, *state_dir, *estate, *control,
        *freeze_file; /* absolute, or relative to the working directory as `path` is */
    char **policies;
    size_t npolicies;
    char *environment, *params; /* NULL: none; params: the environment's file */
    enum mode mode;
    char *log_level;
    struct rate budget, budget_destructive, max_limit; /* max_limit.n 0: none */
    int storm_episodes;
    int64_t storm_window_ms;
    struct json *shadow_sink; /* {"routing_key"?, "url"?, "file"?}, or NULL */
    struct json
        *http; /* {"listen", "alertmanager"?: secret, "sns_topics"?, "sns_certs"?}, or NULL */
    char *dashboard, *host, *nameserver, *ca_file; /* NULL: not given (ca_file has a default) */
    char **operators;
    size_t noperators;
    char *source; /* its text, and where in it the files are named */
    struct place estate_at, params_at, *policies_at;
    struct json *all; /* the whole of it as held, secrets as references: for `runbookd version
                         --config` and diffs */
};
/* NULL when it cannot be read. With errors in d it is what was good of it, to look for further
 * mistakes with and for nothing else. */
struct config *config_load(const char *path, struct diags *d);
void config_free(struct config *c);

/* ---- secrets ---- */

/* The value of a held secret, {"file": path} or {"env": name}, without the line end; the caller
 * frees with mem_free. ERR_AUTH: the file can be read by its group or by others; ERR_NOT_FOUND,
 * ERR_IO, ERR_INPUT: there is none, or it is empty. The value is hidden from the log. */
int secret_read(const struct json *held, char **out, struct err *e);

#endif
