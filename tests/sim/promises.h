/* What must hold whatever happens, looked at from outside: at each request that leaves, and over
 * the whole journal when a story has ended. */
#ifndef SIM_PROMISES_H
#define SIM_PROMISES_H

#include "help_world.h"

#define MAX_EFFECTS 4000
#define MAX_APPROVALS 4000
#define MAX_ENDS 64
#define KEY_LEN 80

#define LIMIT_N 2
#define LIMIT_MS (120 * MIN_MS)
#define BUDGET_N 6
#define BUDGET_MS (60 * MIN_MS)
#define COOLDOWN_MS (14 * MIN_MS)

/* A request that left. */
struct effect {
    int64_t at_ms;
    int target;
    bool undo;
    char token[33], policy[32], run[KEY_LEN], step[KEY_LEN], summary[64];
};

/* An operator said yes to the plan with this hash in this step. */
struct approved {
    char step[KEY_LEN], hash[65];
    bool used;
};

/* When a policy's last run on a target that did something ended. */
struct last_end {
    char policy[32], target[32];
    int64_t at_ms;
    int effects; /* of all, when it ended */
};

struct promises {
    struct rig *rig;
    uint64_t seed;
    bool frozen;                      /* a freeze was answered as durable */
    int64_t blind_since[MAX_TARGETS]; /* no samples since then; 0: there are */
    struct effect effects[MAX_EFFECTS];
    int neffects;
    struct approved approvals[MAX_APPROVALS];
    int napprovals;
    struct last_end ends[MAX_ENDS];
    int nends;
    int undos, superseded, approved_used; /* that they happened at all */
};

/* Ends the program: the story so far, the seed and the promise. */
_Noreturn void broken(const struct promises *p, const char *promise, const char *detail);

/* Before the model carries a request out. */
void promises_at_request(struct promises *p, const struct world_step *s);
/* The request counts: it may have reached the other side. */
void promises_count(struct promises *p, const struct world_step *s);
void promises_at_trace(struct promises *p, const char *policy, const char *target, const char *verb,
                       const char *text);
/* An operator is about to approve; taken back when the agent refuses the approval. */
void promises_approve(struct promises *p, const char *step, const char *hash);
void promises_unapprove(struct promises *p);
/* When all has ended and is durable. */
void promises_at_end(struct promises *p);

#endif
