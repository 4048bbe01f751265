/* Parameters of a query-protocol call: an ordered list of names and values, and its form encoding.
 */
#ifndef RB_AWS_QUERY_H
#define RB_AWS_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "aws/service.h"
#include "base/buf.h"
#include "base/json.h"

struct aws_params; /* grows to 100,000 parameters; more is refused when the call is sent */

struct aws_params *aws_params_new(void);
void aws_params_free(struct aws_params *p); /* NULL is fine */

/* Names are the wire's: "AutoScalingGroupName", "Filter.1.Value.2",
 * "MetricDataQueries.member.3.Id". A value of NULL adds nothing. All is copied. */
void aws_param(struct aws_params *p, const char *name, const char *value);
void aws_paramf(struct aws_params *p, const char *value, const char *name_fmt, ...)
    __attribute__((format(printf, 3, 4)));
void aws_param_int(struct aws_params *p, const char *name, int64_t value);
void aws_param_num(struct aws_params *p, const char *name, double value); /* shortest exact form */
void aws_param_bool(struct aws_params *p, const char *name, bool value);
void aws_param_time(struct aws_params *p, const char *name,
                    int64_t wall_ms); /* whole seconds, UTC */

/* list "X.member" gives X.member.1, X.member.2, ...; "InstanceId" gives InstanceId.1 (EC2). n = 0
 * adds nothing: the services read an absent list and an empty one alike. */
void aws_param_list(struct aws_params *p, const char *list, const char *const *values, size_t n);

/* Arguments as AWS's own documentation and clients write them, JSON: {"Tags": [{"Key": "k"}]} gives
 * Tags.Tag.1.Key to RDS; a map's keys are joined by dots, a list's elements are numbered under the
 * name that the service's model gives them. The caller frees. */
struct aws_params *aws_params_of(enum aws_service s, const struct json *args);

size_t aws_params_count(const struct aws_params *p);
const char *aws_params_get(const struct aws_params *p, const char *name); /* NULL if absent */

/* "Action=...&Version=...&name=value...", percent-encoded (a space is %20). p may be NULL. */
void aws_params_encode(const struct aws_params *p, const char *action, const char *version,
                       struct buf *out);

#endif
