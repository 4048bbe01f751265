/* What each end of an attempt proves and whether the call goes on, and the tokens of all retries.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "aws/retry.h"

struct row {
    const char *what;
    enum aws_service service;
    int status;
    const char *code; /* NULL: the body was none of AWS's */
    enum aws_outcome outcome;
    bool read_again, act_again;
};

/* Throttles and busy answers prove that nothing was done; a bare 5xx proves nothing. */
static const struct row rows[] = {
    {"ok", AWS_AUTOSCALING, 200, NULL, AWS_OK, false, false},
    {"throttle 400", AWS_AUTOSCALING, 400, "Throttling", AWS_REFUSED, true, true},
    {"throttle 503", AWS_EC2, 503, "RequestLimitExceeded", AWS_REFUSED, true, true},
    {"throttle 500", AWS_CLOUDWATCH, 500, "ThrottlingException", AWS_REFUSED, true, true},
    {"a bare 429", AWS_SQS, 429, NULL, AWS_REFUSED, true, true},
    {"quota in Secrets Manager", AWS_SECRETSMANAGER, 400, "LimitExceededException", AWS_REFUSED,
     false, false},
    {"rate elsewhere", AWS_LOGS, 400, "LimitExceededException", AWS_REFUSED, true, true},
    {"contention", AWS_AUTOSCALING, 500, "ResourceContention", AWS_REFUSED, true, true},
    {"validation", AWS_AUTOSCALING, 400, "ValidationError", AWS_REFUSED, false, false},
    {"access denied", AWS_STS, 403, "AccessDenied", AWS_REFUSED, false, false},
    {"internal failure", AWS_RDS, 500, "InternalFailure", AWS_IN_DOUBT, true, false},
    {"unavailable", AWS_RDS, 503, "ServiceUnavailable", AWS_IN_DOUBT, true, false},
    {"HTML 500", AWS_ELBV2, 500, NULL, AWS_IN_DOUBT, true, false},
    {"HTML 502", AWS_ELBV2, 502, NULL, AWS_IN_DOUBT, true, false},
    {"HTML 403 of a proxy", AWS_ELBV2, 403, NULL, AWS_IN_DOUBT, false, false},
    {"redirect", AWS_ELBV2, 301, NULL, AWS_IN_DOUBT, false, false},
    {"501", AWS_ELBV2, 501, NULL, AWS_IN_DOUBT, false, false},
    {"501 in its words", AWS_ELBV2, 501, "NotImplemented", AWS_IN_DOUBT, false, false},
    {"403 words in a 500", AWS_STS, 500, "ExpiredToken", AWS_IN_DOUBT, false, false},
    {"request time-out", AWS_EC2, 400, "RequestTimeout", AWS_IN_DOUBT, true, false},
};

static struct aws_attempt attempt_of(const struct row *r, bool mutating)
{
    struct aws_attempt a = {.service = r->service,
                            .mutating = mutating,
                            .number = 1,
                            .max = 3,
                            .request_left = true,
                            .status = r->status,
                            .parsed = true};
    if (r->code) {
        a.fault.known = true;
        strcpy(a.fault.code, r->code);
    }
    return a;
}

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int mutating = 0; mutating < 2; mutating++) {
            struct aws_attempt a = attempt_of(&rows[i], mutating);
            struct aws_verdict v = aws_judge(&a);
            bool again = mutating ? rows[i].act_again : rows[i].read_again;
            if (v.outcome != rows[i].outcome || (v.next == AWS_NEXT_RETRY) != again)
                fail_msg("%s, mutating %d: %s, next %d", rows[i].what, mutating,
                         aws_outcome_name(v.outcome), v.next);
            a.number = a.max;
            assert_int_equal(aws_judge(&a).next, AWS_NEXT_NONE);
        }
    }
}

static void no_answer(void **state)
{
    struct aws_attempt a = {.service = AWS_AUTOSCALING, .number = 1, .max = 3};
    struct aws_verdict v;

    (void)state;
    for (int mutating = 0; mutating < 2; mutating++) {
        a.mutating = mutating;
        a.request_left = false;
        a.timed_out = false;
        v = aws_judge(&a);
        assert_int_equal(v.outcome, AWS_NOT_SENT);
        assert_int_equal(v.next, AWS_NEXT_RETRY);
        assert_int_equal(v.cost, AWS_RETRY_COST);
        a.request_left = true;
        a.timed_out = true;
        v = aws_judge(&a);
        assert_int_equal(v.outcome, AWS_IN_DOUBT);
        assert_int_equal(v.next, mutating ? AWS_NEXT_NONE : AWS_NEXT_RETRY);
        assert_int_equal(v.cost, AWS_TIMEOUT_COST);
    }
}

static void an_unreadable_success_is_in_doubt(void **state)
{
    struct aws_attempt a = {.number = 1, .max = 3, .request_left = true, .status = 200};

    (void)state;
    assert_int_equal(aws_judge(&a).outcome, AWS_IN_DOUBT);
    assert_int_equal(aws_judge(&a).next, AWS_NEXT_RETRY);
    a.mutating = true;
    assert_int_equal(aws_judge(&a).next, AWS_NEXT_NONE);
}

static enum aws_next next_of(const char *code, int64_t ahead_ms, bool clock_tried, bool keys_tried)
{
    struct row r = {"", AWS_AUTOSCALING, 403, code, AWS_REFUSED, false, false};
    struct aws_attempt a = attempt_of(&r, true);
    a.has_date = true;
    a.ahead_ms = ahead_ms;
    a.clock_tried = clock_tried;
    a.keys_tried = keys_tried;
    return aws_judge(&a).next;
}

static void clock_and_keys(void **state)
{
    const int64_t far = 10 * 60000;
    (void)state;
    assert_int_equal(next_of("RequestTimeTooSkewed", far, false, false), AWS_NEXT_CLOCK);
    assert_int_equal(next_of("RequestTimeTooSkewed", -far, false, false), AWS_NEXT_CLOCK);
    assert_int_equal(next_of("SignatureDoesNotMatch", far, false, false), AWS_NEXT_CLOCK);
    assert_int_equal(next_of("InvalidSignatureException", far, false, false), AWS_NEXT_CLOCK);
    assert_int_equal(next_of("SignatureDoesNotMatch", 2000, false, false), AWS_NEXT_NONE);
    assert_int_equal(next_of("SignatureDoesNotMatch", far, true, false), AWS_NEXT_NONE);
    assert_int_equal(next_of("RequestExpired", far, false, false), AWS_NEXT_CLOCK);
    assert_int_equal(next_of("RequestExpired", far, true, false), AWS_NEXT_KEYS);
    assert_int_equal(next_of("RequestExpired", 2000, false, false), AWS_NEXT_KEYS);
    assert_int_equal(next_of("ExpiredToken", 0, false, false), AWS_NEXT_KEYS);
    assert_int_equal(next_of("ExpiredTokenException", 0, false, true), AWS_NEXT_NONE);
    assert_int_equal(next_of("AccessDenied", far, false, false), AWS_NEXT_NONE);
}

static void bucket(void **state)
{
    struct aws_bucket b = {AWS_BUCKET_FULL};
    int n = 0;

    (void)state;
    while (aws_bucket_take(&b, AWS_RETRY_COST))
        n++;
    assert_int_equal(n, 100);
    assert_false(aws_bucket_take(&b, AWS_RETRY_COST));
    aws_bucket_give(&b, AWS_RETRY_COST);
    assert_true(aws_bucket_take(&b, AWS_RETRY_COST));
    aws_bucket_give(&b, 10 * AWS_BUCKET_FULL);
    assert_int_equal(b.tokens, AWS_BUCKET_FULL);
}

static void backoff(void **state)
{
    static const int64_t limits[] = {1000, 2000, 4000, 8000, 16000, 20000, 20000};
    (void)state;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(aws_backoff_ms(i + 1, 0), 0);
        assert_int_equal(aws_backoff_ms(i + 1, 0x80000000u), limits[i] / 2);
        assert_int_equal(aws_backoff_ms(i + 1, UINT32_MAX), limits[i] - 1);
    }
    assert_int_equal(aws_backoff_ms(1000, UINT32_MAX), 19999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(no_answer),
        cmocka_unit_test(an_unreadable_success_is_in_doubt),
        cmocka_unit_test(clock_and_keys),
        cmocka_unit_test(bucket),
        cmocka_unit_test(backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
