#include "plugin/form.h"

#include <string.h>

#include "base/address.h"
#include "base/hash.h"
#include "base/url.h"

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
