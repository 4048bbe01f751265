/* The test world: one test of a policy in virtual time, by the engine, the guards and the Lua that
 * act in production; readings, results and people are scripted. */
#ifndef RB_WORLD_TESTBED_H
#define RB_WORLD_TESTBED_H

#include "lua/tests.h"
#include "world/virtual.h"

struct testbed_row {
    int64_t at_ms;
    char *text;    /* as a timeline has it */
    char *note;    /* why, or NULL */
    bool unsent;   /* a call of a human that is not durable yet: none of these is left at the end */
    bool doubtful; /* not durable when the agent was killed, or told anew after that: it may be left
                      out */
};

struct testbed_result {
    struct testbed_row *rows; /* of the tested policy on the tested target */
    size_t nrows, cap;
    char *broken;          /* why the test could not be carried out to its end, or NULL */
    bool left;             /* there was enough of it before its end */
    struct json *explains; /* the answers to the test's explains, in their order */
    bool *read;            /* which of the test's series somebody asked for */
    uint64_t *commits;     /* after these it may be killed: no request is on its way then */
    size_t ncommits;
    int64_t
        slack_ms; /* so much later a row may come after a restart: data must be fresh again (M5) */
};

/* Where the agent dies (kill -9), and is back a millisecond later; and when to leave it at that. */
struct testbed_kill {
    uint64_t after_commit; /* counted from 1; 0: never */
    uint64_t after_event; /* the same by events, of which each commit is one: also between an intent
                             and its request; 0: never */
    bool (*enough)(void *arg); /* asked now and then: true ends the test where it is; NULL: never */
    void *arg;
};

/* set: the test's policies, loaded with its parameters and its mode. The caller frees the result.
 * True when it was killed as asked (or need not be): there were so many commits or events. */
bool testbed_run(const struct test_case *t, struct policy_set *set, const struct testbed_kill *kill,
                 struct testbed_result *out);
void testbed_free(struct testbed_result *r);

/* Whether `later`, of a run that was killed, is the timeline of `first`: the same rows of the
 * episode and the same of its run, each in their order, none earlier, none later than the slack.
 * *late counts those that came later. */
bool testbed_same(const struct testbed_result *first, const struct testbed_result *later,
                  size_t *late);

/* Whether two rows say the same; ages in them may have grown by the slack: "oldest idle 52m10s". */
bool testbed_same_text(const char *then, const char *now, int64_t slack_ms);

#endif
