/* What the actions on Auto Scaling groups share: looking at a group. */
#ifndef RB_ACTIONS_SHARED_ASG_H
#define RB_ACTIONS_SHARED_ASG_H

#include "shared_aws.h"

/* An action's observe. What is seen:
 *   "desired", "min", "max", "in_service", "suspended" (names of processes)
 *   "controllers": texts on instance refreshes that are at work, and on scaling policies
 * and what pg asks, unless it is NULL. */
void asg_observe_scaling(struct action_call *c, const struct pg_question *pg);

/* An action's observe: the same without scaling policies, and of the target group that the estate
 * names:
 *   "target_group": its ARN; "health_check": the group's HealthCheckType
 *   "instances": list of {"id", "state", "health", "zone", "protected", "target"}; target is the
 *   state of DescribeTargetHealth, "" where the instance is not registered */
void asg_observe_targets(struct action_call *c);

/* Whether "suspended" names the process. */
bool asg_suspended(const struct json *seen, const char *process);

#endif
