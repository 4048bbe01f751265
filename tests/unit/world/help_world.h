/* A small estate with a model behind it: load on groups that can be scaled, and policies made by
 * hand. */
#ifndef HELP_WORLD_H
#define HELP_WORLD_H

#include "world/virtual.h"

#define MIN_MS 60000LL
#define MAX_TARGETS 40

struct model_target {
    double load; /* what the group carries; the reading is load / desired */
    int desired, max;
    bool missing; /* no samples */
    int sessions;
    int effects; /* how often desired was changed */
    const char *controller;
    int calls; /* how many requests a plan of type "pair" takes */
};

/* A run function in C: the asks in order; a line is skipped unless the answer before it was `when`
 * ('y' true, 'n' false, '*' any). */
struct script_line {
    char when;
    enum ask_kind kind;
    const char *name; /* action, check, or the text of a page */
    int64_t within_ms;
};
#define SCRIPT_END                                                                                 \
    {                                                                                              \
        '*', ASK_END, NULL, 0                                                                      \
    }

struct rig {
    struct virtual *v;
    struct virtual_options options;
    struct policy_set *set;
    struct policy_set *stored; /* what a source of the journal is loaded as; NULL: it is none */
    struct estate *estate;
    struct model_target t[MAX_TARGETS];
    int ntargets;
    int next_how; /* the next apply: -1 as usual, else an enum applied; IN_DOUBT does the effect
                     when `doubt_done` */
    bool doubt_done;
    int doubt_desired; /* what the lost request left behind when it was half done; 0: nothing */
    bool observe_fails;
    bool frozen_file;
    int64_t latency_ms;
    char *timeline; /* "15m fire\n..." */
    char *reports;  /* "trigger KEY summary\n" */
    int emergencies, humans, triggers, resolves;
    char last_human[512];
    void (*on_apply)(struct rig *r, const struct world_step *s); /* before the effect */
    void (*on_observe)(struct rig *r, int nth);                  /* before it looks; nth: from 1 */
    int observed;
    void (*on_report)(struct rig *r, const struct json *report);
    void (*on_trace)(struct rig *r, const char *policy, const char *target, const char *verb,
                     const char *text);
    void *arg;
    void (*script)(struct rig *r,
                   int64_t at_ms); /* changes the model before the samples of this time */
};

struct policy *
rig_policy(struct rig *r,
           const char *name); /* ladder: scale by 2, max 20, when load above 60 for 5m */
void rig_init(struct rig *r, int targets);
struct policy_set *rig_new_set(void);               /* without policies: rig_policy fills r->set */
void rig_budget(struct rig *r, struct rate budget); /* before rig_start */
void rig_start(struct rig *r);
void rig_restart(struct rig *r);
void rig_free(struct rig *r);
void rig_run(struct rig *r, double minutes);
struct json *rig_order(struct rig *r, const char *command,
                       ...); /* pairs of key, value; NULL ends; the answer */
void rig_script(struct policy *p, const struct script_line *lines);
struct declared_action *rig_action(struct policy *p, const char *name,
                                   const char *type);                              /* adds one */
void rig_check(struct rig *r, struct policy *p, const char *name, struct cond *c); /* adds one */
void rig_reload(struct rig *r);
bool rig_seen(const struct rig *r, const char *text); /* in the timeline */
struct cond *rig_leaf(struct rig *r, enum cmp cmp, double threshold, int64_t lasting_ms);

#endif
