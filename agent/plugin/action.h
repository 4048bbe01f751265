/* The action contract: C code that changes the world. Thinking (plan, judge, undo) is pure; only
 * observe and apply touch the world, so that every world (live, test, backtest, chaos) runs the
 * same thinking. */
#ifndef RB_PLUGIN_ACTION_H
#define RB_PLUGIN_ACTION_H

#include <stdbool.h>
#include <stdint.h>
#include "plugin/host.h"
#include "plugin/option.h"
#include "plugin/target.h"

enum action_flag {
    ACTION_REVERSIBLE = 1,
    ACTION_DISRUPTIVE = 2,
    ACTION_DESTRUCTIVE = 4,
    ACTION_IRREVERSIBLE = 8,
    ACTION_COSTS_MONEY = 16,
};

/* What an act will do, exactly. Made by the pure functions below; journaled, shown, hashed and
 * compared. */
struct plan {
    unsigned
        flags;  /* action_flag of this very plan: scaling in is destructive, scaling out is not */
    bool empty; /* nothing to do: a success; summary says why */
    char *summary;       /* "desired 8 -> 10", absolute */
    char *expect;        /* the expected effect, one line */
    struct json *calls;  /* list of {"call": "autoscaling:SetDesiredCapacity", "args": {...}}: one
                            mutating request or statement each (M20), with its arguments as they are
                            sent; a statement's text is beside them in "sql". "if": a call that is
                            made first, see plan_call_if */
    struct json *before; /* map: values before, what undo restores and probe compares */
    struct json *after;  /* map: values after */
    struct json *names;  /* list: the identities that are touched (instance ids,
                            "pid@backend_start"); empty where the value is the target's own */
    struct json
        *preconditions; /* list of {"predicate": "desired = 8", "observed": "8", "holds": true} */
    struct json *controllers; /* list of strings: other controllers seen at work (M13) */
    struct json *out;         /* map: outputs that later steps may name */
};
struct plan *plan_new(void);
void plan_free(struct plan *p);
void plan_call(struct plan *p, const char *call, struct json *args); /* owns args */
/* A statement, with its parameters. */
void plan_call_sql(struct plan *p, const char *call, const char *sql, struct json *args);
/* That call is made first, in the same breath, and the other only if it says so still. */
void plan_call_if(struct plan *p, const char *first, struct json *first_args, const char *says,
                  const char *call, struct json *args); /* owns both args */
void plan_require(struct plan *p, bool holds, const char *observed, const char *predicate_fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *
plan_broken(const struct plan *p); /* "desired = 8 (observed 9)" of the first precondition that does
                                      not hold, or NULL; valid until the next call */
struct json *plan_to_json(const struct plan *p);
struct plan *plan_from_json(const struct json *j, struct err *e);
struct plan *plan_copy(const struct plan *p);
/* Hex SHA-256 over target id, calls and predicates, not readings: what an approval binds to (M24).
 * The caller frees. */
char *plan_hash(const struct plan *p, const char *action, const char *target_id);
/* Whether `now` may go ahead in place of `then`: identical, or touching a strict subset of the
 * named identities by calls that `then` had, or by the same calls with fewer of their "names" (a
 * call's arguments hold the identities that it touches under that key), or empty. */
bool plan_same_or_less(const struct plan *then, const struct plan *now);

/* What the pure functions are given. */
struct action_input {
    const struct target *target;
    const struct estate *estate;
    const struct json *opts; /* as held, with defaults; references resolved */
    int64_t wall_ms;
    const char *run_id; /* for chosen names and tokens: the same at each attempt of a step */
    int step;
    /* When a plan is made again (after an approval, after the intent): only these identities may
     * be named; those that no longer qualify are left out. NULL: any. */
    const struct json *within;
    /* When a plan is made again: the one before. What it says of a time ("until 12:00") is taken
     * from there, or it would be another plan each second. NULL: this is the first. */
    const struct plan *again;
};

enum verdict { VERDICT_NO, VERDICT_YES, VERDICT_UNKNOWN };

/* How a request ended. */
enum applied {
    APPLIED_OK,
    APPLIED_REFUSED,  /* the answer proves that nothing was carried out */
    APPLIED_NOT_SENT, /* no byte left the host */
    APPLIED_IN_DOUBT, /* only a probe can tell */
};

/* One asynchronous part in flight. The action fills nothing but `state`; exactly one of the done
 * functions ends it, never from inside the call. */
struct action_call {
    const struct host_io *io;
    const struct target *target;
    const struct estate *estate;
    const struct json *opts;
    const struct json *call; /* apply: one entry of plan->calls; NULL for observe */
    const char *
        token; /* apply: the idempotency token of this intent, 32 hex digits, stable over a crash */
    int64_t deadline_ms; /* from now */
    void *state;         /* the action's; freed by it before it ends the call or in cancel */
    /* observe ends with what was seen (a map, ownership passes) or with e; apply ends with how it
     * ended, e for the last three, out: outputs or NULL. */
    void (*observed)(struct action_call *c, struct json *seen, const struct err *e);
    void (*applied)(struct action_call *c, enum applied how, struct json *out, const struct err *e);
    void *arg; /* the host's own */
};

struct action_type {
    const char *name, *summary;
    const char *targets;   /* kinds, space-separated */
    const char *attribute; /* what it owns while its run lasts, for the lock: "desired_capacity",
                              "sessions" */
    const char *writes;    /* whose attribute that is, where it is not the target's own: fields that
                              name it, space-separated ("host port"; "aws", its account; the kind of
                              a target that it names, "proxy"). Two targets may name one such thing */
    const char *removes; /* signals that count what its plans name, space-separated, or NULL: what a
                            done act named explains that they fall to zero (M4) */
    const char *headroom; /* the shared resource that it consumes or "" : "database_connections" */
    unsigned flags;       /* the most that any plan of it can be */
    bool can_probe;       /* judge can tell; otherwise destructive acts need an approval */
    const struct option *options;
    size_t noptions;
    const char *const
        *permissions; /* "autoscaling:SetDesiredCapacity arn:...", "postgres:pg_signal_backend";
                         NULL-terminated; may hold $target.FIELD; ends in " [cache]" where only acts
                         on targets of that kind need it */
    const char *const *outs;  /* names of outputs; NULL-terminated */
    const char *const *needs; /* fields without which it cannot act on a target of that kind,
                                 "cache.replication_group"; NULL-terminated. NULL: none but those
                                 that the estate requires anyway (W211) */

    /* Beyond the option table: cross checks at load (may be NULL). ERR_INPUT with what is wrong and
     * what to write. */
    int (*check)(const struct json *opts, struct err *e);
    void (*observe)(
        struct action_call *c); /* asynchronous: reads what plan and judge need; changes nothing */
    void (*apply)(struct action_call *c); /* asynchronous: makes one call of the plan */
    void (*cancel)(
        struct action_call *c); /* ends either without a completion; what was sent stays in doubt */

    /* Pure. NULL with *e: cannot be planned; ERR_DENIED for a refusal by a precondition, ERR_INPUT
     * for an observation that makes no sense. */
    struct plan *(*plan)(const struct action_input *in, const struct json *seen, struct err *e);
    /* Pure: has the intent of call `i` of this plan taken effect, by what is seen now? */
    enum verdict (*judge)(const struct action_input *in, const struct plan *p, size_t i,
                          const struct json *seen);
    /* Pure, NULL when it cannot be undone: back from `last` to the value before `first`, as
     * compare-and-set: ERR_DENIED when what is seen is not what `last` left. */
    struct plan *(*undo)(const struct action_input *in, const struct plan *first,
                         const struct plan *last, const struct json *seen, struct err *e);

    /* A model for policies' tests, where no world is: the state of a target as a test file writes
     * it (`target = { id = "web-1", desired = 8 }`), and what a request changes of it. All actions
     * on a target share its state: a field of the same name is the same thing. Beside the fields,
     * held as the options say, the state has "written": a map of each written field to the wall
     * time (ms) at which it came to hold; an action may keep more there, under names of its own. */
    const struct option *state_options; /* the fields that a test may write */
    size_t nstate_options;
    /* Pure: what observe would see of a target in this state. NULL with *e: the state makes no
     * sense; the text follows the name of the action, and is told when the file is loaded (opts is
     * NULL then). A NULL function: the state itself is what is seen. */
    struct json *(*state_seen)(const struct action_input *in, const struct json *state,
                               struct err *e);
    /* Pure: carries one call of a plan out on the state. Required of every action. */
    void (*state_apply)(const struct action_input *in, const struct json *call, struct json *state);
};

/* The registry, made from actions/actions.def. */
extern const struct action_type *const action_types[];
extern const size_t action_types_len;
const struct action_type *action_find(const char *name);

/* What acts of this type on `t` write to, for people and for comparing without regard to case: what
 * `writes` says, or the target's id where that names nothing. The caller frees. */
char *action_resource(const struct action_type *type, const struct target *t,
                      const struct estate *e);

/* A permission without its mark of a kind; NULL when targets of this kind do not need it. The
 * caller frees. */
char *permission_for(const char *permission, const char *kind);

/* The first field that it needs and that the estate does not give this target; NULL: none. */
const char *action_lacks(const struct action_type *a, const struct target *t);

/* The names in a table that are closest to `word` (edit distance), for "did you mean"; NULL when
 * none is close. */
const char *closest(const char *word, const char *const *names, size_t n);

#endif
