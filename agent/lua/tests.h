/* A policy's tests as data: what a *_test.lua file says, checked against the policies that it
 * tests.
 */
#ifndef RB_LUA_TESTS_H
#define RB_LUA_TESTS_H

#include "engine/policy.h"
#include "lua/diag.h"

/* All times count from the beginning of the test, in milliseconds. */
struct test_point {
    int64_t at_ms;
    bool missing;
    double value; /* in the unit's base; of words: their index */
};

/* The readings of a series: a value holds until the next one. */
struct test_series {
    const char *key; /* as written */
    const struct signal *signal;
    const struct json *opts; /* those that the key names, as held: any series that has them */
    const char *target;      /* id */
    struct test_point *points;
    size_t npoints;
    struct site site;
};

struct test_target {
    const struct target *target; /* in the test's estate */
    const struct json *state;    /* of the actions' models, with defaults */
};

/* How a request of an action ends; what is not listed is carried out and answered. */
enum test_ending {
    TEST_OK,
    TEST_REFUSED,
    TEST_NOT_SENT,
    TEST_IN_DOUBT_DONE,     /* carried out, the answer lost */
    TEST_IN_DOUBT_NOT_DONE, /* lost on its way */
    TEST_UNSEEN,            /* the target cannot even be read */
};
struct test_answer {
    enum test_ending ending;
    const struct json *before; /* fields that somebody else changes before the request, or NULL */
};
struct test_result {
    const char *action;
    struct test_answer *answers; /* of the first request, the second, ... */
    size_t nanswers;
    bool always; /* the one answer holds for all */
};

struct test_change {
    int64_t at_ms;
    const struct json *fields;
};

struct test_order {
    int64_t at_ms;
    const char *text;
    const struct json *command; /* without run, policy, target where they are the test's own */
    struct site site;
};

struct test_row {
    int64_t at_ms;
    const char *text;
    int line;
};

struct test_explain {
    int64_t at_ms;
    const char *has;
    struct site site;
};

struct test_case {
    const char *name;
    struct site site;
    const char *policy;
    const struct policy_set *policies;     /* that it was chosen from */
    const struct declared_action *actions; /* the policy's, for their models */
    size_t nactions;
    const char *const *with; /* other policies that are in force */
    size_t nwith;
    enum mode mode;
    int64_t starts_wall_ms, run_for_ms;
    const struct json *params; /* NAME or NAME@TARGET -> value, or NULL */
    struct estate *estate;
    struct test_target *targets; /* the first is the one under test */
    size_t ntargets;
    struct test_series *series;
    size_t nseries;
    struct test_result *results;
    size_t nresults;
    struct test_change *changes; /* in order */
    size_t nchanges;
    struct test_order *orders; /* in order */
    size_t norders;
    bool has_timeline;
    struct test_row *timeline;
    size_t ntimeline;
    const struct json *never; /* list of beginnings of rows, or NULL */
    struct test_explain *explains;
    size_t nexplains;
};

struct test_set {
    struct arena *arena;
    struct keep *keep;
    struct test_case **cases;
    size_t ncases, cap;
};
struct test_set *test_set_new(void);
void test_set_free(struct test_set *ts);

/* The *_test.lua files in folders (and in their procedures/) and of single files: the file itself,
 * or the tests beside a policy's file. In order; the caller frees each and the list with mem_free.
 */
char **tests_find(const char *const *paths, size_t npaths, size_t *n, struct diags *d);

/* Adds the tests of one file; policies: those that they may be of. What is wrong is in d. */
void tests_load(struct test_set *ts, const char *path, const struct policy_set *policies,
                struct diags *d);

/* The first words of a timeline's rows, for messages and for `never`; NULL-terminated. */
extern const char *const test_verbs[];

#endif
