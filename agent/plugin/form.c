#include "plugin/form.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/address.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/url.h"
#include "plugin/refs.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define WEBHOOK_PREFIX "whsec_"
#define WEBHOOK_MIN 24

int form_url(const char *text, struct err *e)
{
    if (url_safe(text))
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs https://HOST/PATH (http:// only to this host itself), got \"%.200s\"",
                   text);
}

int form_link(const char *text, struct err *e)
{
    size_t scheme = strncmp(text, "https://", 8) == 0  ? 8
                    : strncmp(text, "http://", 7) == 0 ? 7
                                                       : 0;

    if (scheme && strcspn(text + scheme, "/?# \t\r\n") > 0 &&
        text[strcspn(text, " \t\r\n")] == '\0')
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs a URL, write e.g. \"https://www.example.com/page\", got "
                   "\"%.200s\"",
                   text);
}

int form_listen(const char *text, struct err *e)
{
    struct sockaddr_storage a;
    socklen_t len;

    if (address_parse(text, 0, &a, &len) == 0)
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs an address and a port, write e.g. \"127.0.0.1:9117\", got \"%.200s\"",
                   text);
}

int form_nameserver(const char *text, struct err *e)
{
    struct sockaddr_storage a;
    socklen_t len;

    if (address_parse(text, 53, &a, &len) == 0)
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs an address, with a port or without, write e.g. \"127.0.0.1:5353\", got "
                   "\"%.200s\"",
                   text);
}

/* arn:PARTITION:sns:REGION:ACCOUNT:NAME (docs.aws.amazon.com/service-authorization, Amazon SNS,
 * "Resource types"). */
int form_topic(const char *text, struct err *e)
{
    const char *rest = strncmp(text, "arn:aws", 7) == 0 ? strchr(text + 7, ':') : NULL;
    size_t colons = 0;

    for (const char *s = rest; s && *s; s++)
        colons += *s == ':';
    if (colons == 4 && strncmp(rest, ":sns:", 5) == 0 && text[strlen(text) - 1] != ':')
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs the ARN of a topic, write e.g. "
                   "\"arn:aws:sns:us-east-1:123456789012:alarms\", got \"%.200s\"",
                   text);
}

/* Words, then a number, by dashes: the forms of botocore's endpoints.json (regionRegex of each
 * partition: "us-east-1", "us-gov-west-1", "cn-north-1"). An availability zone is a region and a
 * letter. */
int form_region(const char *text, struct err *e)
{
    const char *s = text;
    size_t words = 0, digits;

    for (; strspn(s, LOWER) > 0 && s[strspn(s, LOWER)] == '-'; words++)
        s += strspn(s, LOWER) + 1;
    digits = strspn(s, DIGITS);
    if (words >= 2 && digits > 0 && s[digits] == '\0')
        return 0;
    if (words >= 2 && digits > 0 && strspn(s + digits, LOWER) == 1 && s[digits + 1] == '\0')
        return err_set(e, ERR_INPUT,
                       "needs a region, and \"%s\" is an availability zone: write \"%.*s\"", text,
                       (int)strlen(text) - 1, text);
    return err_set(e, ERR_INPUT, "needs a region, write e.g. \"us-east-1\", got \"%.200s\"", text);
}

/* The part after "arn:PARTITION:SERVICE:REGION:" of an ARN of this service; NULL: it is none. */
static const char *arn_rest(const char *text, const char *service)
{
    const char *rest = strncmp(text, "arn:aws", 7) == 0 ? strchr(text + 7, ':') : NULL;
    size_t n = strlen(service);

    if (rest == NULL || strncmp(rest + 1, service, n) != 0 || rest[1 + n] != ':')
        return NULL;
    rest = strchr(rest + 2 + n, ':');
    return rest != NULL ? rest + 1 : NULL;
}

/* https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html */
int form_role(const char *text, struct err *e)
{
    const char *rest = arn_rest(text, "iam");

    if (rest != NULL && strspn(rest, DIGITS) == 12 && strncmp(rest + 12, ":role/", 6) == 0 &&
        rest[18] != '\0')
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs the ARN of a role, write e.g. "
                   "\"arn:aws:iam::123456789012:role/runbookd\", got \"%.200s\"",
                   text);
}

/* PREFIX/NAME/ID, as the dimensions of AWS/ApplicationELB are: the end of the ARN
 * ("CloudWatch metrics for your Application Load Balancer"). */
static int dimension(const char *text, const char *what, const char *arn_prefix, const char *prefix,
                     struct err *e)
{
    const char *rest = arn_rest(text, "elasticloadbalancing"),
               *end = rest != NULL ? strchr(rest, ':') : NULL;
    size_t n = strlen(prefix), name;

    if (end != NULL && strncmp(end + 1, arn_prefix, strlen(arn_prefix)) == 0)
        return err_set(e, ERR_INPUT, "needs the end of the %s's ARN only: write \"%.200s\"", what,
                       end + 1 + strlen(arn_prefix));
    name = strncmp(text, prefix, n) == 0 ? strspn(text + n, LETTERS DIGITS "-") : 0;
    if (name > 0 && text[n + name] == '/') {
        const char *id = text + n + name + 1;

        if (*id != '\0' && id[strspn(id, LETTERS DIGITS)] == '\0')
            return 0;
    }
    return err_set(e, ERR_INPUT,
                   "needs the end of the %s's ARN, \"%sNAME/ID\": write e.g. "
                   "\"%sweb/0123456789abcdef\", got \"%.200s\"",
                   what, prefix, prefix, text);
}

int form_group(const char *text, struct err *e)
{
    return dimension(text, "target group", "", "targetgroup/", e);
}

int form_balancer(const char *text, struct err *e)
{
    return dimension(text, "load balancer", "loadbalancer/", "app/", e);
}

/* https://HOST/ACCOUNT/NAME, whatever the endpoint ("Amazon SQS queue and message identifiers"). */
int form_queue(const char *text, struct err *e)
{
    const char *path = form_link(text, NULL) == 0 ? strchr(strstr(text, "://") + 3, '/') : NULL;
    size_t name = path != NULL && strspn(path + 1, DIGITS) == 12 && path[13] == '/'
                      ? strspn(path + 14, LETTERS DIGITS "-_")
                      : 0;

    if (name > 0 && name <= 80 &&
        (path[14 + name] == '\0' || strcmp(path + 14 + name, ".fifo") == 0))
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs the URL of an SQS queue, write e.g. "
                   "\"https://sqs.us-east-1.amazonaws.com/123456789012/orders\", got \"%.200s\"",
                   text);
}

/* A name or an address; what colons mean in it is the caller's to know. */
static bool is_host(const char *text)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return (*text != '\0' && text[strspn(text, LETTERS DIGITS ".-_")] == '\0') ||
           inet_pton(AF_INET6, text, bytes) == 1;
}

int form_host(const char *text, struct err *e)
{
    int port;
    char *host = is_host(text) ? NULL : address_split(text, &port);

    if (host != NULL && is_host(host))
        err_set(e, ERR_INPUT, "needs a host without a port: write \"%.200s\", port = %d", host,
                port);
    else if (!is_host(text))
        err_set(e, ERR_INPUT,
                "needs a host name or an address, write e.g. \"db.example.internal\", got "
                "\"%.200s\"",
                text);
    mem_free(host);
    return is_host(text) ? 0 : ERR_INPUT;
}

int form_host_or_socket(const char *text, struct err *e)
{
    return *text == '/' ? 0 : form_host(text, e);
}

int form_node(const char *text, struct err *e)
{
    int port;
    char *host = address_split(text, &port);
    bool good = host != NULL && is_host(host) && (strchr(host, ':') == NULL || *text == '[');

    mem_free(host);
    if (good)
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs a host and a port from 1 to 65535, write e.g. "
                   "\"catalogue-1.example.internal:6379\", got \"%.200s\"",
                   text);
}

/* What is compared with is host(client_addr), a text: one address, in the one way in which it is
 * printed. */
int form_client(const char *text, struct err *e)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    char printed[INET6_ADDRSTRLEN] = "";
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

    if (strcmp(text, "local") == 0 || strchr(text, '$') != NULL)
        return 0;
    if (inet_pton(family, text, bytes) == 1 &&
        inet_ntop(family, bytes, printed, sizeof(printed)) != NULL && strcmp(printed, text) == 0)
        return 0;
    if (*printed != '\0')
        return err_set(e, ERR_INPUT, "needs the address as PostgreSQL prints it: write \"%s\"",
                       printed);
    return err_set(e, ERR_INPUT,
                   "needs one address, write e.g. \"10.1.2.3\", or \"local\" for the server's "
                   "socket%s, got \"%.200s\"",
                   strchr(text, '/') != NULL ? " (networks are not compared)" : "", text);
}

/* "1 to 255 letters, numbers, or hyphens. First character must be a letter. Can't end with a hyphen
 * or contain two consecutive hyphens" (RDS's model on DBSnapshotIdentifier); ElastiCache refuses
 * with the same words and says nothing of a length. A reference stands for one letter here: what
 * comes of it is checked again when the name is used. */
int form_snapshot(const char *text, struct err *e)
{
    const char *wrong = NULL;
    char last = '\0';
    size_t len = 0;

    for (const char *s = text; *s != '\0' && wrong == NULL; len++) {
        size_t ref = *s == '$' ? refs_length(s + 1) : 0;
        char c = ref > 0 ? 'x' : *s;

        s += ref + 1;
        if (!isalnum((unsigned char)c) && c != '-')
            wrong = "takes letters, digits and single hyphens";
        else if (last == '\0' && !isalpha((unsigned char)c))
            wrong = "begins with a letter";
        else if (c == '-' && last == '-')
            wrong = "holds no two hyphens in a row";
        last = c;
    }
    if (wrong == NULL && (len == 0 || len > 255))
        wrong = "has 1 to 255 characters";
    if (wrong == NULL && last == '-')
        wrong = "does not end with a hyphen";
    if (wrong == NULL)
        return 0;
    return err_set(e, ERR_INPUT,
                   "cannot be \"%.80s\": the name of a snapshot %s, e.g. "
                   "\"before-$run.id\"",
                   text, wrong);
}

/* Past blanks and comments, which nest
 * (https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-COMMENTS). */
static const char *past_comments(const char *s)
{
    for (;;) {
        if (isspace((unsigned char)*s)) {
            s++;
        } else if (s[0] == '-' && s[1] == '-') {
            s += strcspn(s, "\r\n");
        } else if (s[0] == '/' && s[1] == '*') {
            size_t depth = 0;

            do {
                int open = s[0] == '/' && s[1] == '*', close = s[0] == '*' && s[1] == '/';

                depth += (size_t)open;
                depth -= (size_t)close;
                s += open || close ? 2 : 1;
            } while (depth > 0 && *s != '\0');
        } else {
            return s;
        }
    }
}

/* What PostgreSQL's grammar takes there begins with one of these; what comes after is the server's
 * to judge. */
int form_select(const char *text, struct err *e)
{
    static const char *const begins[] = {"select", "with", "values", "table"};
    const char *s = past_comments(text);
    size_t n;

    while (*s == '(')
        s = past_comments(s + 1);
    n = strspn(s, LETTERS "_");
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
        if (n == strlen(begins[i]) && strncasecmp(s, begins[i], n) == 0)
            return 0;
    }
    if (*s == '$') /* a reference */
        return 0;
    return err_set(e, ERR_INPUT,
                   "needs one statement that reads, and begins with SELECT, WITH, VALUES or TABLE; "
                   "got \"%.*s\"",
                   n > 0 ? (int)n : 20, s);
}

int form_routing_key(const char *text, struct err *e)
{
    if (strlen(text) == FORM_ROUTING_KEY)
        return 0;
    return err_set(e, ERR_INPUT, "needs an integration key of %d characters, this one has %zu",
                   FORM_ROUTING_KEY, strlen(text));
}

int form_webhook_bytes(const char *text, uint8_t *out, size_t *len, struct err *e)
{
    if (strncmp(text, WEBHOOK_PREFIX, strlen(WEBHOOK_PREFIX)) == 0 &&
        base64_decode(text + strlen(WEBHOOK_PREFIX), out, FORM_WEBHOOK_MAX, len) == 0 &&
        *len >= WEBHOOK_MIN)
        return 0;
    return err_set(e, ERR_INPUT,
                   "must be " WEBHOOK_PREFIX
                   " and the base64 of %d to %d random bytes; make one with: echo \"" WEBHOOK_PREFIX
                   "$(openssl rand -base64 32)\"",
                   WEBHOOK_MIN, FORM_WEBHOOK_MAX);
}

int form_webhook_secret(const char *text, struct err *e)
{
    uint8_t bytes[FORM_WEBHOOK_MAX];
    size_t len = 0;
    int rc = form_webhook_bytes(text, bytes, &len, e);

    explicit_bzero(bytes, sizeof(bytes));
    return rc;
}
