/* Policies as the engine knows them: declarative data, checked when loaded, immutable, counted. */
#ifndef RB_ENGINE_POLICY_H
#define RB_ENGINE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include "engine/cond.h"
#include "engine/script.h"
#include "plugin/action.h"

enum severity { SEV1 = 1, SEV2, SEV3, SEV4 };
enum page_when { PAGE_AT_FIRE, PAGE_ON_FAILURE };

struct rate {
    int n; /* 0: none */
    int64_t per_ms;
};

struct declared_check {
    const char *name;
    struct cond *cond;
};

struct declared_action {
    const char *name; /* the author's, or the type's name in a ladder ("asg_scale", "asg_scale#2") */
    const struct action_type *type;
    struct json *opts; /* as held, defaults in */
    struct site site;
    bool approval_required;
    struct cond *approval_unless; /* NULL: none */
    struct cond *reads;           /* the signal of its OPT_COUNT_OR_SIGNAL, true of any value; NULL: none */
    const char *reads_as;         /* that option's name */
    const char *approvers;        /* NULL: anyone */
    int64_t approval_ttl_ms, timeout_ms;
    int max_acts; /* per run */
    bool coexist; /* other controllers do not deny (M13) */
};

struct policy {
    const char *name, *owner, *doc;
    enum severity severity;
    struct site site;
    bool procedure;
    struct selector target;
    struct cond *when, *clear; /* when: NULL for a procedure; clear: NULL: when false for two intervals (M6) */
    bool clear_of_when; /* clear was made of `when` and its leaves' `clear`: it, too, holds for two intervals */
    struct declared_check *checks;
    size_t nchecks;
    struct declared_action *actions;
    size_t nactions;
    bool ladder; /* actions is a list and run is the default one (M14) */
    enum mode mode;
    struct rate limit, policy_limit;
    int64_t cooldown_ms, blind_after_ms, verify_within_ms, deadline_ms, status_every_ms;
    int max_targets;            /* count; 0: the percentage below */
    double max_targets_percent;
    enum page_when page;
    const char **inhibits;
    size_t ninhibits;
    struct cond *window; /* NULL: always */
    bool outside_wait;   /* outside the window: wait (true) or refuse */
    struct json *params; /* resolved, with "NAME@target" entries resolved per target by policy_params */
    const struct script_ops *script;
    void *script_data;
    /* procedure: what `start NAME key=value` takes; checked with option_check */
    const struct option *options;
    size_t noptions;
    const char *source_hash; /* hex: source, libs, resolved params and language version under one hash (M23) */
    struct policy_set *set;
};

/* One load of all policies. Everything above lives in it. */
struct policy_set {
    int refs;
    struct arena *arena;
    struct policy **policies;
    size_t npolicies;
    void (*destroy)(struct policy_set *s); /* set by the loader: frees its Lua state and the arena */
    /* The variant of p for this target, where parameters are overridden by "NAME@target"; made once, lives in the set. NULL: there are none. */
    const struct policy *(*variant)(struct policy_set *s, const struct policy *p, const struct target *t);
    void *loader;
};
struct policy_set *policy_set_ref(struct policy_set *s);
void policy_set_unref(struct policy_set *s);
const struct policy *policy_find(const struct policy_set *s, const char *name);
const struct policy *policy_variant(struct policy_set *s, const struct policy *p,
                                    const struct target *t); /* NULL where its parameters are bad */
const struct policy *policy_for(struct policy_set *s, const char *name, const struct target *t); /* NULL if there is none */
const struct declared_action *policy_action(const struct policy *p, const char *name);
const struct declared_check *policy_check(const struct policy *p, const char *name);

/* The parameters of a run that is given none: those of the policy's file, and the defaults of a procedure's own. The
 * caller frees. */
struct json *params_default(const struct policy *p);

/* What a stored source must yield, for replay on the version that a run began with. Implemented by the Lua door. */
struct policy_loader {
    /* The stored form of a policy's source: files and params, as JSON; the caller frees. */
    struct json *(*source)(void *arg, const struct policy *p);
    /* Loads it again; NULL and *e when it cannot be. */
    struct policy_set *(*load)(void *arg, const struct json *source, struct err *e);
    void *arg;
};

#endif
