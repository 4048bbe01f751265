/* Tests of policies: carried out, judged, shown. */
#ifndef RB_TOOLS_TEST_H
#define RB_TOOLS_TEST_H

#include "lua/lua.h"
#include "lua/tests.h"
#include "serve/load.h"
#include "tools/text.h"
#include "world/testbed.h"

/* What came of one test. */
struct test_verdict {
    const struct test_case *t;
    struct json *failures;       /* list of texts; none: it passed */
    bool timeline_wrong;         /* its rows are not those of `first` */
    struct testbed_result first; /* without a crash */
    size_t restarts, late;       /* reruns with a crash; of their rows, those that came later */
    bool differs;                /* one of them gave another timeline: */
    struct testbed_result killed;
};

/* Without a crash; until says when it is enough. */
void test_once(const struct test_case *t, const struct testbed_kill *until, struct test_verdict *v);
void test_one(const struct test_case *t, struct test_verdict *v); /* with all of its crashes */
/* Reads files of tests with the policies beside them; what is wrong is in d. How many tests. */
size_t test_check(const char *const *files, size_t n, struct diags *d);
/* What a reload does with the tests beside the policies. */
tests_fn tests_beside;

void test_verdict_free(struct test_verdict *v);
bool test_passed(const struct test_verdict *v);

/* What the tests have shown of each policy: lines of run, outcomes. Adds to list. */
void test_coverage(struct json *list, struct coverage *c, const struct policy_set *all,
                   const struct test_verdict *v, size_t n);

struct json *test_verdict_json(const struct test_verdict *v);
void test_show_failed(struct text *t, const struct test_verdict *v);
void test_show_coverage(struct text *t, const struct json *list, bool all);

#endif
