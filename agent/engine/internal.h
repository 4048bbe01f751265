/* What the engine's own files share; nobody else includes this. */
#ifndef RB_ENGINE_INTERNAL_H
#define RB_ENGINE_INTERNAL_H

#include "base/map.h"
#include "base/mem.h"
#include "engine/engine.h"

#define ID_LEN 48
#define NEVER INT64_MAX
#define DEFER_MS                                                                                   \
    (15 * 60 * 1000LL) /* M11: how long lock, cooldown and window may hold a step back */
#define DEFER_AGAIN_MS (5 * 1000LL)  /* how often a deferred step asks its guards again */
#define COMMIT_AGAIN_MS (5 * 1000LL) /* a failed commit of what already happened is tried again */
#define PROBE_AGAIN_MS                                                                             \
    (5 * 1000LL) /* an in-doubt step is probed again, until its action's time-out */
#define RADIUS_WINDOW_MS (3600 * 1000LL) /* M11: distinct targets within a sliding hour */

enum episode_state { EP_QUIET, EP_PENDING, EP_FIRING, EP_RECOVERING, EP_RESOLVED, EP_VANISHED };
enum run_state {
    RUN_PROPOSED,
    RUN_RUNNING,
    RUN_AWAITING_APPROVAL,
    RUN_WAITING,
    RUN_VERIFYING,
    RUN_SUSPENDED,
    RUN_IN_DOUBT,
    RUN_ENDED, /* outcome says how */
};
enum outcome {
    OUT_NONE,
    OUT_SUCCEEDED,
    OUT_INEFFECTIVE,
    OUT_FAILED,
    OUT_BLIND,
    OUT_SHADOWED,
    OUT_SUPERSEDED,
    OUT_CANCELLED,
    OUT_EXPIRED,
    OUT_REFUSED,
};
extern const char *const episode_state_names[];
extern const char *const run_state_names[];
extern const char *const outcome_names[];

enum verdict_kind { GUARD_ALLOW, GUARD_DEFER, GUARD_DENY };

/* One act or undo of a run, from its guards to its outcome. */
enum act_stage {
    ACT_IDLE,
    ACT_DEFERRED,
    ACT_OBSERVING,
    ACT_APPROVAL,
    ACT_INTENT,
    ACT_RECHECK,
    ACT_APPLYING,
    ACT_PROBING,
    ACT_STUCK
};
struct act {
    enum act_stage stage;
    const struct declared_action *action;
    bool undo;
    struct json *opts; /* references resolved */
    struct plan *plan;
    size_t call;         /* which call of the plan is under way */
    uint64_t ticket;     /* of the observe or apply in flight, 0: none */
    int64_t intended_ms; /* when the intent of its first call was written */
    int64_t deferred_ms; /* since when, 0: not */
    int64_t retry_ms;    /* when the guards or the probe are asked again */
    int64_t until_ms;    /* end of an approval's or a probe's time */
    bool approved;       /* the plan's hash was approved; used once */
    bool asked;          /* a question is open: its page and its row are to be closed */
    bool for_when;       /* the condition was true when the question was asked: it is the reason */
    bool asked_again;    /* the plan changed after an approval: asked once more */
    char *by;            /* who approved */
    char *hash;          /* of the plan that was shown */
    char token[33];
    char *doubt; /* why it is in doubt */
};

/* What an act of this run left behind, for undo, replay and reports. */
struct done_act {
    char *name;
    struct plan *plan;
};

struct run {
    struct engine *e;
    struct instance *inst; /* lives, though maybe gone, until the run is over */
    char id[ID_LEN];
    struct policy_set *set; /* counted: the version it began with */
    const struct policy *p; /* of that set */
    struct estate *estate;  /* counted */
    const struct target *t;
    enum run_state state, resume_state;
    enum outcome outcome;
    enum mode mode; /* fixed at the first act (M18) */
    bool mode_fixed;
    bool manual; /* started by an operator: `when` is skipped (M25) */
    char *by;
    char *suspended_by; /* "freeze", "mode", ...; NULL: not */
    bool cancel_wanted;
    char *cancel_by;
    int64_t started_ms, deadline_ms;
    struct script *script;
    struct json *target_doc, *params;
    struct json *outs;     /* action -> its outputs, of those that were done: what $step names */
    struct bound **checks; /* as declared */
    struct cond cleared_cond, *cleared_kid; /* the ladder's verify: none { when } */
    struct bound *cleared;
    struct ask ask; /* the step under way; its strings belong to the script */
    char *ask_name;
    int step; /* number of the step under way, from 1 */
    bool step_open;
    int64_t step_until_ms; /* its deadline, NEVER without */
    int64_t step_data_ms; /* taken up after a start: until then data may still be on its way (M5) */
    struct series *read_series;
    struct json **replay; /* recorded steps, index step - 1 */
    size_t nreplay;
    struct json *unsettled; /* of a recorded step: doubt_new, until the act has taken it up */
    struct act act;
    struct done_act *done;
    size_t ndone;
    struct json *history; /* of acts and undos, for reports: "grow: desired 3 -> 5" */
    int acts;             /* requests that left or may have left, dry or real */
    bool planned;         /* shadow: something was planned */
    bool failed;          /* an act or undo failed (M17) */
    bool denied;          /* a guard denied an act */
    int *acted;           /* by action of the policy; NULL: none */
    enum tri last_verify;
    bool verified;           /* there was a verify */
    bool unverified;         /* an act since then (an undo needs none) */
    int64_t last_act_end_ms; /* steady; verify counts points from here (M15) */
    char *note;              /* last words, for the end's report */
    bool undone;             /* the step before was an act that was not done: note says why */
    bool paged;              /* a human was called since the last act or undo began */
    struct json *held;       /* the answer that waits while the run is suspended */
    bool busy;               /* a commit is under way: nothing else moves */
};

/* One policy on one target. */
struct instance {
    struct engine *e;
    struct policy_set *set;
    const struct policy *p;
    struct estate *estate;
    const struct target *t;
    char *key; /* "policy@kind/name" */
    struct bound *when, *clear, *window;
    struct bound **checks;
    struct bound **unless; /* approval_unless, one an action; entries may be NULL */
    struct bound **reads;  /* the signal of an action's option, likewise */
    struct answer now;     /* of `when` */
    int64_t again_ms;
    enum episode_state state;
    char episode[ID_LEN];
    int64_t fired_ms, fired_wall_ms;
    const char *why;    /* it ends without being clear, while that is written */
    bool triggered;     /* a trigger went to the pager for this episode */
    bool verify_failed; /* the last verify of the run did not pass: not resolved by itself (M8) */
    char *seen;         /* the condition in one line, when it fired */
    struct json *told;  /* what its last run did and whether it helped {"done", "helped"}; NULL */
    int64_t unknown_since_ms;
    bool blind_reported;
    int64_t status_ms; /* next status update of an open episode */
    struct run *run;
    bool awaits_run; /* its run is being read from the journal */
    /* standing: survives episodes */
    int64_t last_end_ms; /* end of the last run that acted, for the cooldown; 0: none */
    int bad;             /* bad outcomes in a row */
    bool breaker_open;
    bool dirty;     /* due.c: it is in the list */
    uint64_t order; /* instances are evaluated in the order in which they were loaded */
    size_t heap_at; /* place in the heap, 0: none */
    int64_t due_ms; /* by which it stands there */
    bool gone; /* its policy or target is no longer loaded; lives until its episode is closed */
};

/* Of a policy on a target, by the instance's key: known while neither is loaded, too. */
struct standing {
    char *key;
    int64_t last_end_ms;
    int bad;
    bool open;
    bool blind; /* its source was reported as unknown (M10) */
};

struct token {
    char *scope, *item;
    int64_t at_ms;
};

struct silence {
    char id[ID_LEN];
    char *policy, *target; /* NULL: any */
    char *by, *reason;
    int64_t until_ms;
};

/* An observe or apply in flight. */
struct ticket {
    uint64_t id;
    void (*observed)(void *arg, struct json *seen, const struct err *err);
    void (*applied)(void *arg, enum applied how, struct json *out, const struct err *err);
    void *arg;
};

/* A commit that waits for its turn: of something that already happened, kept until the journal has
 * it, or of an intent. */
struct owed {
    struct jtx *tx;
    journal_fn *fn;
    void *arg;
    bool sent;
    bool once; /* an intent: when it cannot be written it is dropped, and fn is told */
    struct owed *next;
};

struct engine {
    struct world *w;
    struct engine_options o;
    char *host, *dashboard;
    struct policy_loader loader;
    struct policy_set *set;
    struct estate *estate;
    struct json *no_targets; /* names of the policies of which it was reported */
    struct json *left_out;   /* found targets that a policy cannot apply to: policy, target, why */
    enum mode mode;
    bool storm;
    int64_t *fires; /* times of the latest fires, a ring for the storm guard */
    size_t nfires, fires_cap;
    bool frozen;
    char *frozen_by, *frozen_why;
    bool file_frozen;
    struct series **series; /* by id */
    size_t nseries, cseries;
    uint64_t next_series;
    struct map *series_by_key, *fleet_by_key;
    struct fleet **fleets; /* by number - 1 */
    size_t nfleets;
    struct series **changed; /* since the last flush */
    size_t nchanged, cchanged;
    struct instance **inst;
    size_t ninst, cinst, ngone; /* those that are gone among them */
    struct map *inst_by_key;    /* those that are not */
    uint64_t loaded_order;
    struct instance **marked; /* due.c */
    size_t nmarked, cmarked;
    struct instance **heap; /* from 1 */
    size_t nheap, cheap;
    struct instance ***readers; /* per index of series: who reads it */
    size_t *nreaders;
    size_t creaders;
    struct run **runs;
    size_t nruns, cruns;
    struct run **dead;
    size_t ndead, cdead;
    struct standing *standings;
    size_t nstandings;
    struct token *tokens;
    size_t ntokens, ctokens;
    struct silence *silences;
    size_t nsilences;
    struct ticket *tickets;
    size_t ntickets, ctickets;
    uint64_t next_ticket;
    struct held *held; /* what waits for a completion */
    struct owed *owed, **owed_tail;
    int64_t owed_again_ms;
    bool journal_bad;
    int report_count;
    int64_t report_ms;
    bool in_wake, draining;
    void (*drained)(void *arg);
    void *drained_arg;
    struct json *doubts; /* run -> doubt_new, of those that are over */
    struct json *restored_runs,
        *restored_episodes; /* between engine_restore and the first engine_load */
    bool loaded;
    int64_t loaded_ms; /* when this process first had policies: data began to arrive then */
    uint64_t fires_total, acts_total, denials_total, reports_total;
};

/* engine.c */
int64_t now(struct engine *e);
int64_t wall(struct engine *e);
int64_t wall_of(struct engine *e, int64_t steady_ms); /* for people */
void engine_schedule(struct engine *e);
void engine_trace(struct engine *e, const struct instance *i, const char *verb, const char *fmt,
                  ...) __attribute__((format(printf, 4, 5)));
void engine_make_id(struct engine *e, char prefix, char out[ID_LEN]);
uint64_t engine_ticket(struct engine *e, const struct ticket *t);
void engine_ticket_drop(struct engine *e, uint64_t id);
/* NULL: the estate does not hold this target any more. */
struct series *engine_series(struct engine *e, const struct signal *s, const struct target *of,
                             const struct json *opts, int64_t history_ms);
/* What a done act of ours took away of what this target's series count (M4). */
void engine_removed(struct engine *e, const struct action_type *type, const struct target *t,
                    const struct plan *p, int64_t since_ms);
void engine_watch(struct engine *e); /* tells the world which series it is to read */
struct bind_context engine_bind(struct engine *e, struct estate *estate, const struct target *t,
                                struct json *params);
struct instance *instance_find(struct engine *e, const char *key); /* "policy@kind/name" */
void engine_reads(struct engine *e, struct instance *i,
                  const struct bound *b); /* i is evaluated when a series of b changes */
bool is_frozen(struct engine *e);
void engine_check_freeze_file(struct engine *e);

/* watched.c */
void watched_init(struct engine *e);
void watched_flush(struct engine *e);  /* whoever reads what changed is due */
void watched_unread(struct engine *e); /* nobody reads anything */
void watched_sweep(struct engine *e);  /* drops what nobody wants; finds out anew who reads what */
void watched_forget(struct engine *e, const struct instance *i); /* before it is freed */
void watched_free(struct engine *e);

/* due.c */
void due_mark(struct instance *i);   /* to be evaluated at the next opportunity */
void due_set(struct instance *i);    /* after an evaluation: its time, by instance_next_ms */
void due_forget(struct instance *i); /* before it is freed */
/* Those that are marked, and those whose time is until_ms or before, by their order; they are so no
 * more. The caller frees the array. */
size_t due_take(struct engine *e, int64_t until_ms, struct instance ***out);
int64_t due_next_ms(const struct engine *e);
void due_free(struct engine *e);

/* hold.c */
void *engine_hold(struct engine *e, size_t size,
                  void (*drop)(void *p)); /* zeroed; drop (may be NULL) frees its members */
void engine_release(void *p);             /* the completion came: frees p, not its members */
void engine_drop_held(struct engine *e);

/* commit.c: the two ways into the journal */
struct jtx *commit_new(struct engine *e);
void commit_owed(
    struct engine *e, struct jtx *tx, journal_fn *fn,
    void *arg); /* of what happened: tried until durable; fn (may be NULL) with success only */
void commit_intent(struct engine *e, struct jtx *tx, journal_fn *fn,
                   void *arg); /* before an effect: once */
void commit_again(struct engine *e);
bool commit_pending(const struct engine *e);

/* standing.c */
void standing_set(struct engine *e, const char *key, int64_t last_end_ms, int bad, bool open,
                  bool blind);
void standing_apply(struct instance *i); /* what is known of it, if anything */
void standing_free(struct engine *e);

/* silence.c */
/* doc: as an order or a row of the journal says; the caller may set its end. */
struct silence *silence_add(struct engine *e, const char *id, const struct json *doc);
struct json *silence_doc(const struct silence *s);
/* False: there is no such silence, or it is over. */
bool silence_end(struct engine *e, struct jtx *tx, const char *id, const char *by);
void silence_sweep(struct engine *e); /* those that are over */
void silence_free(struct engine *e);

/* token.c: the engine's mirror of the journal's counters */
void token_add(struct engine *e, const char *scope, const char *item);
void token_add_at(struct engine *e, const char *scope, const char *item, int64_t at_ms);
void token_drop(struct engine *e, const char *scope, const char *item);
int token_count(struct engine *e, const char *scope, const char *except_item,
                int64_t window_ms); /* distinct items */
void token_sweep(struct engine *e);

/* report.c: what a run did and whether that helped, {"done", "helped"} */
struct json *report_told(const struct run *r);

/* instance.c: episodes */
struct instance *instance_new(struct engine *e, struct policy_set *set, const struct policy *p,
                              struct estate *estate, const struct target *t, struct err *err);
void instance_free(struct instance *i);
void instance_eval(struct instance *i);
int64_t instance_next_ms(const struct instance *i);
/* Adds standing and episode to the run's last transaction; whether its outcome opened the breaker.
 */
bool instance_run_ended(struct instance *i, struct run *r, struct jtx *tx);
struct json *instance_episode_doc(const struct instance *i);
void instance_vanish(struct instance *i); /* its policy or target is gone */
void storm_count(struct engine *e,
                 int64_t fired_ms); /* one more episode, now or before a restart */
void instance_put_standing(struct instance *i, struct jtx *tx);
enum mode effective_mode(const struct engine *e, const struct policy *p, const struct target *t);

/* run.c */
/* params: of an operator's start, owned; NULL: the policy's own. */
struct run *run_new(struct instance *i, bool manual, const char *by, struct json *params);
struct run *run_restore(struct engine *e, const struct json *doc, struct json *steps,
                        struct instance *i, struct err *err);
void run_propose(const struct run *r, struct jtx *tx);
void run_proposed(void *run, const char *denied, const struct err *err); /* starts it */
void run_free(struct run *r);
void run_start(struct run *r);
void run_poke(struct run *r); /* time passed or a condition changed */
int64_t run_next_ms(const struct run *r);
void run_answer(struct run *r, struct json *answer,
                const char *text); /* ends the step under way; owns answer */
void run_answer_tx(
    struct run *r, struct jtx *tx, struct json *answer, const char *text,
    struct json *extra); /* within a transaction that is already begun; owns answer and extra */
void run_end(struct run *r, enum outcome o, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void run_suspend(struct run *r, const char *why);
void run_unsuspend(struct run *r, bool by_operator);
void run_set_state(struct run *r, enum run_state s);
void run_cancel(struct run *r, const char *by);
/* What it left in doubt, of a run whose replay differs: it can only end. */
void run_settle(struct run *r, bool done, const char *by);
struct json *run_doc(const struct run *r);
struct json *step_doc(const struct run *r, const char *state);
char *step_key(const struct run *r);
struct run *run_find(struct engine *e, const char *id);
enum mode run_mode(const struct run *r); /* that of its first act, or what it would be now */
void run_fix_mode(struct run *r);
bool run_shadow(const struct run *r);
bool run_held(struct run *r); /* suspends it where it has to be; true: it is suspended */
int64_t run_deadline_ms(const struct run *r);
bool run_over(const struct run *r);
void run_bind_checks(struct run *r);

/* step.c */
const struct script_ops *
run_script(const struct run *r); /* the ladder where the policy has no run function */
void step_advance(
    struct run *r,
    const struct json *answer); /* hands the script its answer and begins what it asks */
void step_poke(struct run *r);  /* the open step: a condition changed or time passed */

/* act.c */
void act_begin(struct run *r, const char *name, bool undo);
void act_resume(struct run *r, const struct json *step); /* a step that a crash interrupted */
void act_poke(struct run *r);
void act_reset(struct act *a);
int64_t act_next_ms(const struct run *r);
bool act_in_flight(const struct run *r);  /* a request may be on its way */
bool act_requesting(const struct run *r); /* in flight, and about to end by itself */
void act_record(struct run *r, const char *name, const struct plan *p, bool undo);
/* What is kept of an act with its outcome: the options as they were resolved, and the plan (may be
 * NULL). */
struct json *act_detail(const struct run *r, const struct plan *p);
void act_outputs(struct run *r, const char *name, const struct json *plan_out,
                 const struct json *out); /* for $step; either may be NULL */
void act_count(struct run *r, const char *name);
int act_counted(const struct run *r, const char *name);
void act_settle(struct run *r, bool done, const char *by);
struct json *act_opts(struct run *r, const struct declared_action *a, struct err *err);
char *
act_undos(const struct run *r); /* what was done and not undone, for the report; "" when nothing */

void act_observe(struct run *r, enum act_stage stage);
struct plan *act_make_plan(struct run *r, const struct json *seen, struct err *err);
void act_input(const struct run *r, struct action_input *in);
/* The end of the step without an effect: false to the script, the reason on record. guard NULL: it
 * failed. */
void act_refuse_step(struct run *r, const char *guard, const char *why, bool failed);
void act_refuse_tx(struct run *r, struct jtx *tx, const char *guard, const char *why, bool failed);

/* approval.c */
void approval_ask(struct run *r);
void approval_give(struct run *r, struct jtx *tx, const char *by); /* the caller commits tx */
void approval_deny(struct run *r, const char *by);
/* state: denied or expired. Ends the step without an effect. */
void approval_refuse(struct run *r, const char *state, const char *by, const char *why);
/* Closes the question that is open, if one is: its row, and the page that asked. */
void approval_close(struct run *r, struct jtx *tx, const char *state, const char *by);
void approval_put(const struct run *r, struct jtx *tx, const char *state, const char *by);
/* The row of an act's step before its intent: what was asked or answered, and since when it is
 * deferred. */
struct json *approval_step(const struct run *r);
void approval_take_up(struct run *r, const struct json *step);

/* reading.c: the signal that an option of an action is read from. Whether it is known, by the rule
 * for conditions (M5): an action that has none is allowed. */
enum verdict_kind reading_guard(struct engine *e, const struct instance *i,
                                const struct declared_action *a, struct buf *why);
/* Puts what it reads now into the options. */
void reading_take(struct engine *e, const struct instance *i, const struct declared_action *a,
                  struct json *opts);

/* effect.c: from the intent to the outcome */
void effect_intend(struct run *r); /* of call act.call of the plan */
void effect_rechecked(struct run *r,
                      const struct plan *fresh); /* the plan, made again after the intent */
void effect_settle(struct run *r, enum applied how, const struct json *out, const char *text);
void effect_doubt(struct run *r, const char *why); /* in doubt: the probe begins */
void effect_probed(struct run *r, const struct json *seen, const struct err *err);

/* guard.c */
struct guard_input {
    struct engine *e;
    struct instance *i; /* may be NULL: a plan whose policy or target is gone */
    struct run *r;      /* may be NULL in explain */
    const struct policy *p;
    const struct target *t;
    struct estate *estate;
    const struct declared_action *a;
    const struct plan *plan; /* NULL before it is made: guards that need it are skipped */
    bool undo;
};
/* Asks the guards in their order; the first that does not allow decides: its name and its reason.
 * only_planned: those that need the plan (after it was made). */
enum verdict_kind guard_ask(const struct guard_input *in, bool only_planned, const char **guard,
                            struct buf *why);
struct json *guard_explain(const struct guard_input *in); /* all of them, as a list */
void guard_take(const struct guard_input *in, struct jtx *tx,
                const char *item);                               /* the tokens of an intent */
void guard_took(const struct guard_input *in, const char *item); /* mirrors them after the commit */
void guard_give_back(const struct guard_input *in, struct jtx *tx, const char *item);
bool guard_needs_approval(const struct guard_input *in);
void guard_input_of(struct run *r, struct guard_input *in);

/* lock.c */
/* What an act writes, for the lock (M12): this attribute of this resource. */
struct writing {
    const char *attribute;
    const struct target *target; /* by which it is reached */
    char *resource;
};
void writing_init(struct writing *w, const struct action_type *type, const struct target *t,
                  const struct estate *e);
void writing_free(struct writing *w);
/* Whether the run owns it, by whatever target: it writes it, or wrote it, or asks to. */
bool run_owns(const struct run *r, const struct writing *w);
/* Whether another run owns what the act would write, or is in doubt about it. `in` names an action.
 */
enum verdict_kind lock_ask(const struct guard_input *in, struct buf *why);

/* doubt.c: requests that may have taken effect and whose runs cannot be gone on with */
bool doubt_may_have_left(const struct json *step); /* an intent without an outcome */
/* What is held for a run: its target, and what the step may have written. step NULL: its steps
 * cannot be read; i NULL: its policy or target is not loaded. */
struct json *doubt_new(const struct json *run, const struct json *step, const struct instance *i);
void doubt_keep(struct engine *e, const struct json *doubt); /* as the journal has it */
void doubt_leave(struct engine *e, struct jtx *tx, const struct json *doubt); /* with its run's end */
char *doubt_text(const struct json *doubt);  /* that it is in doubt, without a full stop */
char *doubt_order(const struct json *doubt); /* what an operator does then */
/* False: nothing is held for this run. */
bool doubt_settle(struct engine *e, struct jtx *tx, const char *run, bool done, const char *by);
bool doubt_holds(const struct json *doubt, const struct writing *w);
const struct json *doubt_of(const struct engine *e, const struct writing *w); /* NULL: none */

/* report.c */
enum report_kind {
    REPORT_TRIGGER,
    REPORT_NOTE,
    REPORT_RESOLVE,
    REPORT_HUMAN,    /* a call for a human, which only a human closes ... */
    REPORT_HEARD,    /* ... but where an operator's command ends what it was about */
    REPORT_ASK,      /* an approval is wanted: a page of its own, */
    REPORT_ANSWERED, /* which closes with the answer, whichever it is */
};
/* Adds a report to the transaction; report_deliver hands it on after the commit. r or i may be
 * NULL: then it is of the agent itself. */
void report_add(struct engine *e, struct jtx *tx, enum report_kind k, const struct instance *i,
                const struct run *r, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same of the agent itself, under a key of its own ("agent/freeze"): at the pager a freeze and
 * a storm are two pages, and neither hides the other. */
void report_agent(struct engine *e, struct jtx *tx, enum report_kind k, const char *subject,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* A policy whose selector matches nothing is reported: a mistyped tag looks just like peace. Once,
 * and not before everything that is discovered was listed. */
void report_no_targets(struct engine *e);
/* Found targets that were left out of a policy and were not in `was`: one report a policy. */
void report_left_out(struct engine *e, const struct json *was);
void report_deliver(
    struct engine *e,
    const struct jtx *tx); /* hands the reports of a committed transaction to the world */

/* restore.c */
void restore_attach(struct engine *e);

/* explain.c */
struct json *explain_instance(struct instance *i); /* the condition as a tree, each guard's verdict,
                                                      the run, what was decided last */
struct json *explain_run(const struct run *r);
void set_frozen(struct engine *e, bool frozen, const char *by, const char *reason, struct jtx *tx);

/* params.c */
/* The same with what an operator gives, a map of texts; NULL and *err, which lists what there is.
 */
struct json *params_given(const struct policy *p, const struct json *given, struct err *err);
char *params_help(const struct policy *p); /* "n (count, default 1): how many; ..."; "": none */
/* Whether the condition names a parameter that has no value before a start. */
bool params_open(const struct policy *p, const struct cond *c);

/* ladder.c: the default run of a policy whose actions are a list (M14) */
extern const struct script_ops ladder_ops;

/* command.c, query.c: what operators ask and order */
struct request {
    struct engine *e;
    const struct json *in;
    command_fn *fn;
    void *arg;
    struct json *answer; /* filled by the command; sent at once, or after `tx` is durable */
    struct jtx *tx;
    bool later; /* the command sends it itself */
};
void request_fail(struct request *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *request_arg(const struct request *q, const char *name); /* NULL if absent */
struct instance *
request_instance(struct request *q); /* by policy and target; NULL after request_fail */
/* Adds the rows of what is left out of a policy (NULL: of any) to a list. */
void query_left_out(const struct engine *e, const char *policy, struct json *list);
/* Says of a run that is not open how it ended, by the journal; false: no id was given. */
bool query_ended(struct request *q, const char *id);
void query_status(struct request *q);
void query_episodes(struct request *q);
void query_runs(struct request *q);
void query_decisions(struct request *q);
void query_reports(struct request *q);
void query_show(struct request *q);
void query_explain(struct request *q);
void query_plan(struct request *q);

#endif
