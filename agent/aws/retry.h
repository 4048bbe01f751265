/* What follows from one attempt of a call: the outcome it proves, whether to try again, and when.
 */
#ifndef RB_AWS_RETRY_H
#define RB_AWS_RETRY_H

#include <stdbool.h>
#include <stdint.h>
#include "aws/fault.h"
#include "aws/service.h"

enum aws_outcome {
    AWS_OK,       /* carried out, and the answer was understood */
    AWS_REFUSED,  /* the answer proves that it was not carried out */
    AWS_NOT_SENT, /* nothing of the request left this host */
    AWS_IN_DOUBT, /* it may have been carried out */
};
const char *aws_outcome_name(enum aws_outcome o); /* "ok", "refused", "not sent", "in doubt" */

/* One attempt as it ended. */
struct aws_attempt {
    enum aws_service service;
    bool mutating;
    int number, max;   /* 1 of 3 */
    bool request_left; /* as http_answer says; true when there is an answer */
    bool timed_out;
    int status;                   /* 0: no answer */
    bool parsed;                  /* of a 2xx: the body was what it has to be */
    struct aws_fault fault;       /* of a status from 300 up */
    bool has_date;                /* the answer had a Date */
    int64_t ahead_ms;             /* by how much that Date was ahead of the time that we signed */
    bool clock_tried, keys_tried; /* what this call did already; each is done once a call */
};

enum aws_next {
    AWS_NEXT_NONE,  /* it is over */
    AWS_NEXT_RETRY, /* again, after a delay and for tokens */
    AWS_NEXT_CLOCK, /* take the clock's offset from the answer, sign again now */
    AWS_NEXT_KEYS,  /* the keys were refused: fetch new ones, sign again */
};

struct aws_verdict {
    enum aws_outcome outcome;
    enum aws_next next;
    int cost; /* of AWS_NEXT_RETRY, in tokens */
};

/* Rules (the design's AWS page, "Retries" and "Signing"): a mutating call goes on only after
 * AWS_REFUSED or AWS_NOT_SENT. Throttles, whatever their status, and transient faults are tried
 * again. */
struct aws_verdict aws_judge(const struct aws_attempt *a);
bool aws_is_throttle(enum aws_service service, int status, const char *code);

/* Tokens that all retries of a client share: an outage is not made worse by retrying into it. */
#define AWS_BUCKET_FULL 500
#define AWS_RETRY_COST 5
#define AWS_TIMEOUT_COST 10
struct aws_bucket {
    int tokens;
};
bool aws_bucket_take(struct aws_bucket *b, int cost);
void aws_bucket_give(struct aws_bucket *b,
                     int tokens); /* after a success: what its last retry cost, or 1 */

/* Before attempt retry + 1 (retry from 1): r of 2^32 times min(2^(retry - 1) s, 20 s). */
int64_t aws_backoff_ms(int retry, uint32_t r);

#endif
