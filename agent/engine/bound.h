/* Inside of bound conditions: shared by cond.c (clocks and values) and cond_explain.c (words).
 * Nobody else includes it. */
#ifndef RB_ENGINE_BOUND_H
#define RB_ENGINE_BOUND_H

#include "base/mem.h"
#include "engine/cond.h"

/* Kleene's values as numbers: all is the least, any the greatest, none the greatest negated. */
enum { K_FALSE = -1, K_UNKNOWN = 0, K_TRUE = 1 };

/* A value, and what it would be if every pending leaf turned out true, or false: unknown in neither
 * means that nothing but time is missing. */
struct kleene {
    signed char value, if_true, if_false;
};

struct leaf {
    const struct cond *cond;
    struct series *series;
    double threshold;
    /* The answer, and until when it stands if the series does not change. */
    struct kleene now;
    int64_t valid_until_ms;
    uint64_t version;
    /* The clock: a function of the series' points alone, brought forward point by point. */
    uint64_t next;    /* number of the first point not yet taken */
    uint64_t restart; /* the series' restart that this clock knows of */
    int64_t held_ms;  /* how long the comparison has held, gaps left out */
    int64_t last_end_ms;
    bool any;       /* a point was taken */
    bool satisfied; /* by the newest of them */
};

struct node {
    const struct cond *cond;
    size_t leaf; /* COND_LEAF: index */
    /* COND_CLOCK: what it said, and for which times of the wall. */
    struct kleene shows;
    int64_t from_wall_ms, until_wall_ms;
    struct node **kids;
};

/* One block: the bound, its leaves, its nodes, their lists of kids. */
struct bound {
    struct node *root, *nodes;
    struct leaf *leaves;
    size_t nleaves, nnodes, nclocks;
    int64_t (*wall_ms)(void *arg);
    void *wall_arg;
    struct leaf *pace; /* a leaf of the longest interval: samples are counted by its points */
    int64_t not_before_ms;
    bool started;
    int64_t start_ms; /* first evaluation */
    bool answered;    /* answer is of an evaluation, or adopted from one */
    struct answer answer;
    int64_t change_end_ms; /* newest end of any point when the answer last changed */
};

void leaf_refresh(struct leaf *l, const struct bound *b, int64_t now_ms);
/* Brings the clocks on the wall up to date; the steady time at which one of them may show something
 * else. */
int64_t clocks_look(const struct bound *b, int64_t now_ms);
struct kleene node_value(const struct node *n, const struct leaf *leaves);

#endif
