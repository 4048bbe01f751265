/* The table of services and the choice of an endpoint. */
#include "aws/service.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "aws/env.h"
#include "base/mem.h"

#define JSON_1_1 "application/x-amz-json-1.1"

/* Source: the service models that AWS publishes with its SDKs (apiVersion, endpointPrefix,
 * targetPrefix, serviceId). CloudWatch and SQS speak JSON 1.0 as well; query is what all of their
 * versions know. */
static const struct aws_service_row rows[AWS_SERVICES] = {
    [AWS_CLOUDWATCH] = {"CloudWatch", "monitoring", "CLOUDWATCH", AWS_QUERY, "2010-08-01", NULL,
                        NULL},
    [AWS_AUTOSCALING] = {"Auto Scaling", "autoscaling", "AUTO_SCALING", AWS_QUERY, "2011-01-01",
                         NULL, NULL},
    [AWS_ELBV2] = {"ELBv2", "elasticloadbalancing", "ELASTIC_LOAD_BALANCING_V2", AWS_QUERY,
                   "2015-12-01", NULL, NULL},
    [AWS_RDS] = {"RDS", "rds", "RDS", AWS_QUERY, "2014-10-31", NULL, NULL},
    [AWS_ELASTICACHE] = {"ElastiCache", "elasticache", "ELASTICACHE", AWS_QUERY, "2015-02-02", NULL,
                         NULL},
    [AWS_STS] = {"STS", "sts", "STS", AWS_QUERY, "2011-06-15", NULL, NULL},
    [AWS_EC2] = {"EC2", "ec2", "EC2", AWS_EC2_QUERY, "2016-11-15", NULL, NULL},
    [AWS_SECRETSMANAGER] = {"Secrets Manager", "secretsmanager", "SECRETS_MANAGER", AWS_JSON,
                            "2017-10-17", "secretsmanager", JSON_1_1},
    [AWS_ACM] = {"ACM", "acm", "ACM", AWS_JSON, "2015-12-08", "CertificateManager", JSON_1_1},
    [AWS_LOGS] = {"CloudWatch Logs", "logs", "CLOUDWATCH_LOGS", AWS_JSON, "2014-03-28",
                  "Logs_20140328", JSON_1_1},
    [AWS_SQS] = {"SQS", "sqs", "SQS", AWS_QUERY, "2012-11-05", NULL, NULL},
};

/* Partitions whose host names do not end in amazonaws.com, by the start of the region's name;
 * GovCloud (us-gov-) shares the common suffix. Source: the endpoint data of AWS's SDKs. */
static const struct {
    const char *prefix, *suffix;
} partitions[] = {
    {"cn-", "amazonaws.com.cn"},    {"us-iso-", "c2s.ic.gov"},      {"us-isob-", "sc2s.sgov.gov"},
    {"eu-isoe-", "cloud.adc-e.uk"}, {"us-isof-", "csp.hci.ic.gov"}, {"eusc-", "amazonaws.eu"},
};

const struct aws_service_row *aws_service_row(enum aws_service s)
{
    return &rows[s];
}

enum aws_service aws_service_of(const char *call, const char **action)
{
    size_t len = strcspn(call, ":"), i = 0;

    while (i < AWS_SERVICES && (strncmp(rows[i].host, call, len) != 0 || rows[i].host[len] != '\0'))
        i++;
    *action = call[len] == ':' ? call + len + 1 : "";
    return (enum aws_service)i;
}

/* A region becomes a part of a host name: letters, digits and dashes only. */
static int check_region(const char *region, struct err *e)
{
    size_t len = strlen(region);
    if (len == 0 || len > 32 || strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != len ||
        !strchr(region, '-'))
        return err_set(e, ERR_INPUT,
                       "the AWS region \"%s\" is none: expected a name like \"us-east-1\"", region);
    return 0;
}

static int split_url(const char *url, const char **host, size_t *host_len, const char **port,
                     size_t *port_len, bool *tls)
{
    const char *p;

    *tls = strncasecmp(url, "https://", 8) == 0;
    if (!*tls && strncasecmp(url, "http://", 7) != 0)
        return ERR_INPUT;
    p = url + (*tls ? 8 : 7);
    *host = p;
    if (*p == '[') {
        p += strcspn(p, "]/?#");
        if (*p != ']')
            return ERR_INPUT;
        p++;
    } else {
        p += strcspn(p, ":/?#@");
    }
    *host_len = (size_t)(p - *host);
    *port = NULL;
    *port_len = 0;
    if (*p == ':') {
        *port = p + 1;
        *port_len = strspn(*port, "0123456789");
        p = *port + *port_len;
        if (*port_len == 0 || *port_len > 5)
            return ERR_INPUT;
    }
    return *host_len == 0 || (*p && *p != '/') ? ERR_INPUT : 0;
}

char *aws_url_host(const char *url, struct err *e)
{
    const char *host, *port;
    size_t host_len, port_len;
    bool tls;
    char *out;

    if (split_url(url, &host, &host_len, &port, &port_len, &tls) != 0) {
        err_set(e, ERR_INPUT, "the URL \"%.200s\" is none: expected http(s)://HOST[:PORT]", url);
        return NULL;
    }
    if (port && strtol(port, NULL, 10) == (tls ? 443 : 80))
        port = NULL;
    out = mem_printf("%.*s%s%.*s", (int)host_len, host, port ? ":" : "", port ? (int)port_len : 0,
                     port ? port : "");
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return out;
}

static char *given_url(const char *url, const char *from, struct err *e)
{
    const char *host, *port, *path;
    size_t host_len, port_len;
    bool tls;
    char *out;

    if (split_url(url, &host, &host_len, &port, &port_len, &tls) != 0)
        goto bad;
    path = (port ? port + port_len : host + host_len);
    if (strspn(path, "/") != strlen(path))
        goto bad;
    out = mem_strndup(url, (size_t)(path - url));
    for (char *c = out; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return out;
bad:
    err_set(e, ERR_INPUT, "%s is \"%.200s\": expected http(s)://HOST[:PORT] without a path", from,
            url);
    return NULL;
}

char *aws_service_url(enum aws_service s, const char *region, const char *endpoint, struct err *e)
{
    const char *suffix = "amazonaws.com", *url;
    char env[64] = "AWS_ENDPOINT_URL_";

    if (check_region(region, e) != 0)
        return NULL;
    if (endpoint)
        return given_url(endpoint, "the endpoint", e);
    strncat(env, rows[s].env, sizeof env - strlen(env) - 1);
    if ((url = aws_env(env)))
        return given_url(url, env, e);
    if ((url = aws_env("AWS_ENDPOINT_URL")))
        return given_url(url, "AWS_ENDPOINT_URL", e);
    for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++)
        if (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) == 0)
            suffix = partitions[i].suffix;
    return mem_printf("https://%s.%s.%s", rows[s].host, region, suffix);
}
