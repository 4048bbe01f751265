/* The rights that the loaded policies and the collectors behind them need, target by target: what
 * `iam` and `grants` print. */
#ifndef RB_TOOLS_NEEDS_H
#define RB_TOOLS_NEEDS_H

#include "serve/load.h"

/* A list of maps, each once:
 *   "system"  "aws", "postgres" or "redis"
 *   "right"   "autoscaling:SetDesiredCapacity", "pg_monitor", "+info"
 *   "on"      name of the account, the server, the cache in the estate
 *   "acts"    bool: an action needs it to change something; false: to look
 *   "resource"  aws: an ARN with what is known of it filled in, or "*"
 *   "tags"    aws, of what is discovered: the tags that the resource has, or absent
 *   "by"      list of what needs it: "asg-cpu-high: act.asg_scale"
 * What cannot be said is a line in notes. The caller frees. */
struct json *needs_of(const struct loaded *l, struct json *notes);

/* The queries that policies send to a server themselves, as lines "POLICY: QUERY". */
struct json *needs_queries(const struct loaded *l, const struct target *server);

/* Whether the estate has a target of one of these kinds ("postgres", "cache"; or_kind may be NULL)
 * with this name or id; where it has none, that and what is close is printed for `command`. */
bool needs_known(const struct loaded *l, const char *command, const char *kind, const char *or_kind,
                 const char *name);

/* The account number in an "arn:aws:iam::NUMBER:role/..." of the estate, or "*". */
void needs_account(const struct target *aws, char out[16]);

/* The partition of a region: "aws", "aws-cn", "aws-us-gov". */
const char *needs_partition(const char *region);

#endif
