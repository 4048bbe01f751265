/* What the actions on Auto Scaling groups share: looking at a group, and one request that changes
 * it. */
#ifndef RB_ACTIONS_SHARED_ASG_H
#define RB_ACTIONS_SHARED_ASG_H

#include "aws/call.h"
#include "plugin/action.h"
#include "shared_aws.h"

/* The group and its instance refreshes are always looked at; these beside them. */
#define ASG_SCALING_POLICIES 1u
#define ASG_TARGET_HEALTH 2u

/* An action's observe. What is seen:
 *   "desired", "min", "max", "in_service", "suspended" (names of processes)
 *   "controllers": texts on scaling policies and instance refreshes that are at work
 * and with ASG_TARGET_HEALTH, of the target group that the estate names:
 *   "target_group": its ARN; "health_check": the group's HealthCheckType
 *   "instances": list of {"id", "state", "health", "zone", "protected", "target"}; target is the
 *   state of DescribeTargetHealth, "" where the instance is not registered */
void asg_observe(struct action_call *c, unsigned beside);

/* Whether "suspended" names the process. */
bool asg_suspended(const struct json *seen, const char *process);

/* One request that changes the group. Where `first` is not NULL that question is asked before it,
 * and the request is sent only if `still` says true of the answer (or sets *e to why not). */
struct asg_change {
    const char *action;
    struct aws_params *params; /* freed by asg_apply */
    struct json *out;          /* outputs of a request that was carried out; freed */
    const struct aws_request *first;
    bool (*still)(const struct json *call, const struct xml *answer, struct err *e);
};
void asg_apply(struct action_call *c, const struct asg_change *change);
/* An action's apply that cannot make its request at all: ends as not sent. */
void asg_not_sent(struct action_call *c, const struct err *e);

/* An action's cancel, for both. */
void asg_cancel(struct action_call *c);

#endif
