/* The AWS services that are spoken here: one row each, and where they live. */
#ifndef RB_AWS_SERVICE_H
#define RB_AWS_SERVICE_H

#include "base/err.h"

enum aws_service {
    AWS_CLOUDWATCH,
    AWS_AUTOSCALING,
    AWS_ELBV2,
    AWS_RDS,
    AWS_ELASTICACHE,
    AWS_STS,
    AWS_EC2,
    AWS_SECRETSMANAGER,
    AWS_ACM,
    AWS_LOGS,
    AWS_SQS,
    AWS_SERVICES
};

enum aws_protocol { AWS_QUERY, AWS_EC2_QUERY, AWS_JSON };

struct aws_service_row {
    const char *name; /* for people: "Auto Scaling" */
    const char *host; /* host prefix and signing name */
    const char *env;  /* AWS_ENDPOINT_URL_<env> */
    enum aws_protocol protocol;
    const char *version;   /* API version; of JSON services only for the record */
    const char *target;    /* prefix of X-Amz-Target; NULL for query */
    const char *json_type; /* Content-Type; NULL for query */
};

const struct aws_service_row *aws_service_row(enum aws_service s);

/* The service of a call's name, "rds:CreateDBSnapshot": AWS_SERVICES for none; *action is what
 * follows the colon. */
enum aws_service aws_service_of(const char *call, const char **action);

/* The service's URL, without a path or a trailing slash: endpoint if given, else
 * AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, else https://HOST.REGION.SUFFIX with the suffix of
 * the region's partition. The caller frees; NULL with ERR_INPUT for a region or URL that cannot be
 * one. */
char *aws_service_url(enum aws_service s, const char *region, const char *endpoint, struct err *e);

/* "host" or "host:port" of an http(s) URL, as a Host header carries it (the scheme's own port left
 * out, IPv6 in brackets). The caller frees; NULL with ERR_INPUT. */
char *aws_url_host(const char *url, struct err *e);

#endif
