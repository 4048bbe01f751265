/* The kinds of targets and their fields: what the estate may declare, what finders search, what the
 * manual lists. */
#include "plugin/target.h"

#include <stdio.h>
#include <string.h>

#include "plugin/form.h"

#define AWS_REQUIRED                                                                               \
    {                                                                                              \
        .name = "aws", .type = OPT_TARGET, .required = true, .words = "aws",                       \
        .help = "the account that it lives in"                                                     \
    }
#define AWS_OPTIONAL                                                                               \
    {                                                                                              \
        .name = "aws", .type = OPT_TARGET, .words = "aws",                                         \
        .help = "the account that it lives in, for what AWS is asked about it"                     \
    }
#define PORT(number)                                                                               \
    {                                                                                              \
        .name = "port", .type = OPT_COUNT, .fallback = (number), .min = 1, .max = 65535,           \
        .help = "TCP port"                                                                         \
    }
#define ZONE                                                                                       \
    {                                                                                              \
        .name = "zone", .type = OPT_STRING, .help = "availability zone: its failure domain"        \
    }
#define REGION                                                                                     \
    {                                                                                              \
        .name = "region", .type = OPT_STRING, .check = form_region,                                \
        .help = "AWS region: its failure domain; the account's when not given"                     \
    }

/* The form of an ARN in Certificate Manager: its model, and
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscertificatemanager.html
 */
static int arn_check(const struct json *fields, struct err *e)
{
    const char *arn = json_get_str(fields, "arn", NULL);
    char account[13] = "";
    int n = 0;

    if (arn == NULL)
        return 0;
    if (sscanf(arn, "arn:%*[a-z-]:acm:%*[a-z0-9-]:%12[0-9]:certificate/%n", account, &n) != 1 ||
        n == 0 || arn[n] == '\0' || strlen(account) != 12 ||
        arn[n + (int)strspn(arn + n, "0123456789abcdefghijklmnopqrstuvwxyz-")] != '\0')
        return err_set(e, ERR_INPUT,
                       "arn is none of Certificate Manager; write "
                       "\"arn:aws:acm:REGION:ACCOUNT:certificate/ID\", got \"%.100s\"",
                       arn);
    if (json_get_str(fields, "aws", NULL) == NULL)
        return err_set(e, ERR_INPUT,
                       "arn needs aws = \"...\": the account and region that it is asked in");
    return 0;
}

/* What is read of a certificate: of one without either, nothing ever is. */
static int certificate_check(const struct json *fields, struct err *e)
{
    if (json_get(fields, "arn") == NULL && json_get(fields, "host") == NULL)
        return err_set(e, ERR_INPUT,
                       "there is nothing to read: give it host = \"...\" (a handshake shows it), "
                       "arn = \"...\" with aws = \"...\" (Certificate Manager is asked), or both");
    return arn_check(fields, e);
}

static int cache_check(const struct json *fields, struct err *e)
{
    bool host = json_get(fields, "host") != NULL, nodes = json_get(fields, "nodes") != NULL,
         group = json_get(fields, "replication_group") != NULL,
         serverless = json_get(fields, "serverless") != NULL;

    if (nodes && json_len(json_get(fields, "nodes")) == 0)
        return err_set(e, ERR_INPUT, "nodes is empty: name them, or leave it out");
    if (host && nodes)
        return err_set(e, ERR_INPUT,
                       "nodes stands in place of host and port: leave host out, and name it among "
                       "the nodes if it is one");
    if (group && serverless)
        return err_set(e, ERR_INPUT,
                       "serverless and replication_group are two kinds of cache: leave one of them "
                       "out");
    if ((group || serverless) && json_get(fields, "aws") == NULL)
        return err_set(e, ERR_INPUT,
                       "%s needs aws = \"...\": the account and region that it is asked in",
                       group ? "replication_group" : "serverless");
    if (!host && !nodes && !group && !serverless)
        return err_set(e, ERR_INPUT,
                       "there is nothing to read: give it host or nodes (INFO is asked), or "
                       "replication_group or serverless with aws (CloudWatch is asked)");
    return 0;
}

static int service_check(const struct json *fields, struct err *e)
{
    const char *missing = json_get(fields, "asg") == NULL        ? "asg"
                          : json_get(fields, "postgres") == NULL ? "postgres"
                                                                 : NULL;

    if (json_get(fields, "pool_size") == NULL || missing == NULL)
        return 0;
    return err_set(e, ERR_INPUT,
                   "pool_size needs asg and postgres: the group whose instances open connections, "
                   "and the database that they are counted against; %s is missing",
                   missing);
}

static const struct option aws_options[] = {
    {.name = "region",
     .type = OPT_STRING,
     .required = true,
     .check = form_region,
     .help = "region of every call, \"us-east-1\""},
    {.name = "role",
     .type = OPT_STRING,
     .check = form_role,
     .help =
         "ARN of a role to assume; without it the credentials found first are used as they are"},
    {.name = "external_id",
     .type = OPT_STRING,
     .help = "external id that the role's trust policy asks for"},
    {.name = "profile",
     .type = OPT_STRING,
     .help = "profile of the shared configuration and credentials files"},
    {.name = "endpoint",
     .type = OPT_STRING,
     .check = form_link,
     .help = "URL in place of every AWS endpoint: a stand-in, a proxy"},
    {.name = "ca_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of CA certificates that the endpoint's is checked against"},
};

static const struct option asg_options[] = {
    AWS_REQUIRED,
    {.name = "target_group",
     .type = OPT_STRING,
     .check = form_group,
     .help = "the group's target group as CloudWatch names it, \"targetgroup/NAME/ID\""},
    {.name = "alb",
     .type = OPT_STRING,
     .check = form_balancer,
     .help = "the load balancer in front as CloudWatch names it, \"app/NAME/ID\""},
    {.name = "detailed",
     .type = OPT_BOOL,
     .fallback = "true",
     .help = "instances have detailed monitoring: CPU every minute; without it every 5 minutes"},
    ZONE,
};

static const struct option discover_asg_options[] = {
    {.name = "aws",
     .type = OPT_TARGET,
     .required = true,
     .words = "aws",
     .help = "the account to list"},
    {.name = "tag", .type = OPT_MAP, .help = "only groups that have all of these tags"},
    {.name = "mode",
     .type = OPT_ENUM,
     .words = "off|shadow|approve|enforce",
     .help = "the most that any policy may do to what is found"},
    {.name = "every",
     .type = OPT_DURATION,
     .fallback = "5m",
     .min = 1000,
     .max = 3600000,
     .help = "how often it is listed"},
    {.name = "detailed",
     .type = OPT_BOOL,
     .fallback = "true",
     .help = "instances have detailed monitoring: the listing does not tell, so this is taken for "
             "all of them"},
};

static const char *const discover_asg_rights[] = {
    "autoscaling:DescribeAutoScalingGroups *", "elasticloadbalancing:DescribeTargetGroups *", NULL};

static const struct discovery discover_asg = {OPTIONS(discover_asg_options), discover_asg_rights};

static const struct option postgres_options[] = {
    {.name = "host",
     .type = OPT_STRING,
     .required = true,
     .check = form_host_or_socket,
     .help = "host name, address, or the directory of a Unix socket"},
    PORT("5432"),
    {.name = "database", .type = OPT_STRING, .required = true, .help = "database to connect to"},
    {.name = "user",
     .type = OPT_STRING,
     .required = true,
     .help = "role to connect as; `runbookd grants` prints its rights"},
    {.name = "password", .type = OPT_SECRET, .help = "its password"},
    {.name = "iam",
     .type = OPT_BOOL,
     .fallback = "false",
     .help = "sign in with an RDS IAM token in place of a password; needs aws and TLS"},
    {.name = "sslmode",
     .type = OPT_ENUM,
     .fallback = "verify-full",
     .words = "disable|prefer|require|verify-ca|verify-full",
     .help = "how TLS is asked for and checked"},
    {.name = "ca_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of CA certificates that the server's is checked against"},
    {.name = "cert_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of the client certificate to sign in with, PEM"},
    {.name = "key_file",
     .type = OPT_SECRET,
     .help = "its key, PEM without a passphrase: secret.file \"...\""},
    {.name = "instance",
     .type = OPT_STRING,
     .help = "RDS identifier of the instance, for what AWS is asked about it"},
    {.name = "proxy", .type = OPT_TARGET, .words = "proxy", .help = "the RDS proxy in front of it"},
    AWS_OPTIONAL,
    REGION,
};

static const struct option proxy_options[] = {
    {.name = "target_group",
     .type = OPT_STRING,
     .fallback = "default",
     .help = "the proxy's target group"},
    AWS_REQUIRED,
    REGION,
};

static const struct option cache_options[] = {
    {.name = "host",
     .type = OPT_STRING,
     .check = form_host,
     .help = "host name or address; without it only AWS is asked"},
    {.name = "nodes",
     .type = OPT_LIST,
     .check = form_node,
     .help =
         "where it has several: its nodes, primaries and replicas, as \"host:port\"; in place of "
         "host and port"},
    PORT("6379"),
    {.name = "tls", .type = OPT_BOOL, .fallback = "false", .help = "connect with TLS"},
    {.name = "ca_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of CA certificates that the server's is checked against"},
    {.name = "user", .type = OPT_STRING, .help = "user of the access control list"},
    {.name = "auth", .type = OPT_SECRET, .help = "its password, or the AUTH token"},
    {.name = "replication_group",
     .type = OPT_STRING,
     .help = "ElastiCache replication group, for what AWS is asked about it"},
    {.name = "serverless",
     .type = OPT_STRING,
     .help = "name of the ElastiCache serverless cache, where it is one"},
    AWS_OPTIONAL,
    ZONE,
};

static const struct option service_options[] = {
    {.name = "url", .type = OPT_STRING, .check = form_link, .help = "URL that tells its health"},
    {.name = "ca_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of CA certificates that the url's certificate is checked against"},
    {.name = "asg", .type = OPT_TARGET, .words = "asg", .help = "the group that it runs on"},
    {.name = "postgres", .type = OPT_TARGET, .words = "postgres", .help = "its database"},
    {.name = "proxy",
     .type = OPT_TARGET,
     .words = "proxy",
     .help = "the RDS proxy that it connects through, when its database names none"},
    {.name = "cache", .type = OPT_TARGET, .words = "cache", .help = "its cache"},
    {.name = "queue", .type = OPT_TARGET, .words = "queue", .help = "the queue that it works off"},
    {.name = "certificate",
     .type = OPT_TARGET,
     .words = "certificate",
     .help = "the certificate that it shows"},
    {.name = "pool_size",
     .type = OPT_COUNT,
     .min = 1,
     .max = 1000000,
     .help = "database connections that one instance of it may open, without a proxy: its group "
             "grows only while they fit"},
    AWS_OPTIONAL,
};

static const struct option queue_options[] = {
    {.name = "url",
     .type = OPT_STRING,
     .required = true,
     .check = form_queue,
     .help = "URL of the SQS queue"},
    AWS_REQUIRED,
};

static const struct option certificate_options[] = {
    {.name = "arn",
     .type = OPT_STRING,
     .help = "ARN in Certificate Manager, which is asked as well; needs aws"},
    {.name = "host",
     .type = OPT_STRING,
     .check = form_host,
     .help = "host name that a real handshake is made with, and that the certificate must be for"},
    PORT("443"),
    {.name = "ca_file",
     .type = OPT_STRING,
     .path = true,
     .help = "file of CA certificates that its chain is checked against; without it the system's"},
    AWS_OPTIONAL,
};

static const struct option instance_options[] = {
    {.name = "id",
     .type = OPT_STRING,
     .required = true,
     .help = "EC2 instance id, \"i-0123456789abcdef0\""},
    {.name = "asg", .type = OPT_TARGET, .words = "asg", .help = "the group that it belongs to"},
    AWS_REQUIRED,
    ZONE,
};

static int postgres_check(const struct json *f, struct err *e)
{
    bool iam = json_get_bool(f, "iam", false), cert = json_get(f, "cert_file") != NULL,
         key = json_get(f, "key_file") != NULL;
    const char *mode = json_get_str(f, "sslmode", "verify-full");
    bool plain = strcmp(mode, "disable") == 0 || strcmp(mode, "prefer") == 0;

    if (iam && json_get(f, "aws") == NULL)
        return err_set(e, ERR_INPUT, "iam = true needs aws = \"...\": its keys sign the token");
    if (iam && json_get(f, "password") != NULL)
        return err_set(e, ERR_INPUT,
                       "iam = true takes a token in place of the password: leave one of them out");
    /* Whoever reads a token can use it for 15 minutes. */
    if (iam && plain)
        return err_set(e, ERR_INPUT,
                       "iam = true needs TLS: write sslmode = \"verify-full\", got \"%s\"", mode);
    if (cert != key)
        return err_set(e, ERR_INPUT, "cert_file and key_file belong together: %s is missing",
                       cert ? "key_file" : "cert_file");
    if (key && json_get(json_get(f, "key_file"), "file") == NULL)
        return err_set(e, ERR_INPUT, "key_file is a file: write key_file = secret.file \"...\"");
    if (cert && plain)
        return err_set(
            e, ERR_INPUT,
            "a client certificate needs TLS: write sslmode = \"verify-full\", got \"%s\"", mode);
    return 0;
}

const struct target_kind target_kinds[] = {
    {"aws", "an AWS account and region, and how to sign in", OPTIONS(aws_options), NULL, NULL,
     NULL},
    {"asg", "an Auto Scaling group", OPTIONS(asg_options), "zone", &discover_asg, NULL},
    {"postgres", "a PostgreSQL server", OPTIONS(postgres_options), "region", NULL, postgres_check},
    {"proxy", "an RDS proxy", OPTIONS(proxy_options), "region", NULL, NULL},
    {"cache", "a Redis server or an ElastiCache replication group", OPTIONS(cache_options), "zone",
     NULL, cache_check},
    {"service", "what users see: a group, its database, its cache", OPTIONS(service_options), NULL,
     NULL, service_check},
    {"queue", "an SQS queue", OPTIONS(queue_options), NULL, NULL, NULL},
    {"certificate", "a TLS certificate and where it is shown", OPTIONS(certificate_options), NULL,
     NULL, certificate_check},
    {"instance", "an EC2 instance", OPTIONS(instance_options), "zone", NULL, NULL},
};
const size_t target_kinds_len = sizeof(target_kinds) / sizeof(target_kinds[0]);

const struct target_kind *target_kind_find(const char *name)
{
    for (size_t i = 0; i < target_kinds_len; i++) {
        if (strcmp(target_kinds[i].name, name) == 0)
            return &target_kinds[i];
    }
    return NULL;
}
