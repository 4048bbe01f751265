/* The rules by which a call is tried again, without any I/O. */
#include "aws/retry.h"

#include <stdlib.h>
#include <string.h>

/* Beyond this a request's time is refused: AWS allows 5 minutes; a Date has whole seconds and is
 * old by the answer's way. */
#define FAR_MS (4 * 60 * 1000)

enum {
    THROTTLE = 1,
    TRANSIENT = 2, /* may have been carried out */
    BUSY = 4,      /* again later; not carried out */
    CLOCK = 8,     /* our clock is wrong, if the answer's Date is far from it */
    KEYS = 16,     /* the keys are no longer, or not yet, known */
};

/* Source: botocore's retry modes ("standard") and the services' error lists. */
static const struct {
    const char *code;
    int flags;
} codes[] = {
    {"Throttling", THROTTLE},
    {"ThrottlingException", THROTTLE},
    {"ThrottledException", THROTTLE},
    {"RequestThrottled", THROTTLE},
    {"RequestThrottledException", THROTTLE},
    {"TooManyRequestsException", THROTTLE},
    {"RequestLimitExceeded", THROTTLE},
    {"BandwidthLimitExceeded", THROTTLE},
    {"LimitExceededException", THROTTLE},
    {"PriorRequestNotComplete", THROTTLE},
    {"TransactionInProgressException", THROTTLE},
    {"SlowDown", THROTTLE},
    {"EC2ThrottledException", THROTTLE},
    {"ProvisionedThroughputExceededException", THROTTLE},
    {"ResourceContention", BUSY},
    {"ResourceContentionFault", BUSY},
    {"RequestTimeout", TRANSIENT},
    {"RequestTimeoutException", TRANSIENT},
    {"RequestTimeTooSkewed", CLOCK},
    {"RequestInTheFuture", CLOCK},
    {"SignatureDoesNotMatch", CLOCK},
    {"InvalidSignatureException", CLOCK},
    {"RequestExpired", CLOCK | KEYS}, /* EC2 says so of an expired token, too */
    {"AuthFailure", CLOCK | KEYS},
    {"ExpiredToken", KEYS},
    {"ExpiredTokenException", KEYS},
    {"InvalidClientTokenId", KEYS},
    {"UnrecognizedClientException", KEYS},
};

const char *aws_outcome_name(enum aws_outcome o)
{
    static const char *const names[] = {"ok", "refused", "not sent", "in doubt"};
    return names[o];
}

static int flags_of(enum aws_service service, int status, const char *code)
{
    if (strcmp(code, "LimitExceededException") == 0 && service == AWS_SECRETSMANAGER)
        return 0; /* a quota there, not a rate */
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i].code) == 0)
            return codes[i].flags;
    if (status == 429)
        return THROTTLE;
    return status == 500 || status == 502 || status == 503 || status == 504 ? TRANSIENT : 0;
}

bool aws_is_throttle(enum aws_service service, int status, const char *code)
{
    return flags_of(service, status, code) & THROTTLE;
}

struct aws_verdict aws_judge(const struct aws_attempt *a)
{
    struct aws_verdict v = {AWS_IN_DOUBT, AWS_NEXT_NONE, AWS_RETRY_COST};
    int flags = 0;
    bool again;

    if (a->status == 0) {
        v.outcome = a->request_left ? AWS_IN_DOUBT : AWS_NOT_SENT;
        v.cost = a->timed_out ? AWS_TIMEOUT_COST : AWS_RETRY_COST;
        again = true;
    } else if (a->status >= 200 && a->status < 300) {
        v.outcome = a->parsed ? AWS_OK : AWS_IN_DOUBT;
        again = !a->parsed;
    } else {
        flags = flags_of(a->service, a->status, a->fault.code);
        /* A 4xx in AWS's own words was looked at and refused; one from something in between proves
         * nothing, except that a 429 is refused by whoever sends it. */
        if (flags & (THROTTLE | BUSY) ||
            (a->fault.known && a->status >= 400 && a->status < 500 && !(flags & TRANSIENT)))
            v.outcome = AWS_REFUSED;
        again = flags & (THROTTLE | BUSY | TRANSIENT);
    }

    if (v.outcome == AWS_REFUSED && flags & CLOCK && a->has_date && !a->clock_tried &&
        llabs(a->ahead_ms) > FAR_MS)
        v.next = AWS_NEXT_CLOCK;
    else if (v.outcome == AWS_REFUSED && flags & KEYS && !a->keys_tried)
        v.next = AWS_NEXT_KEYS;
    else if (again && a->number < a->max && !(a->mutating && v.outcome == AWS_IN_DOUBT))
        v.next = AWS_NEXT_RETRY;
    return v;
}

bool aws_bucket_take(struct aws_bucket *b, int cost)
{
    if (b->tokens < cost)
        return false;
    b->tokens -= cost;
    return true;
}

void aws_bucket_give(struct aws_bucket *b, int tokens)
{
    b->tokens += tokens;
    if (b->tokens > AWS_BUCKET_FULL)
        b->tokens = AWS_BUCKET_FULL;
}

int64_t aws_backoff_ms(int retry, uint32_t r)
{
    int64_t limit = retry > 5 ? 20000 : (int64_t)1000 << (retry - 1);
    if (limit > 20000)
        limit = 20000;
    return (int64_t)(((uint64_t)limit * r) >> 32);
}
