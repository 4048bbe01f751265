/* What a text must be beyond its type: the checks that options name. What is wrong is told when a
 * file is loaded, not when the text is used. */
#ifndef RB_PLUGIN_FORM_H
#define RB_PLUGIN_FORM_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* All: 0, or ERR_INPUT, whose text follows the option's name and says what was expected. Of a
 * secret it never says what it is. */
int form_url(const char *text, struct err *e);  /* https, or http to this host itself */
int form_link(const char *text, struct err *e); /* http or https, for people */
int form_listen(const char *text, struct err *e);
int form_nameserver(const char *text, struct err *e);
int form_topic(const char *text, struct err *e);          /* an SNS topic's ARN */
int form_region(const char *text, struct err *e);         /* "us-east-1" */
int form_role(const char *text, struct err *e);           /* the ARN of an IAM role */
int form_group(const char *text, struct err *e);          /* "targetgroup/NAME/ID" */
int form_balancer(const char *text, struct err *e);       /* "app/NAME/ID" */
int form_queue(const char *text, struct err *e);          /* the URL of an SQS queue */
int form_host(const char *text, struct err *e);           /* a name or an address */
int form_host_or_socket(const char *text, struct err *e); /* or the directory of a Unix socket */
int form_node(const char *text, struct err *e);           /* "host:port" */
/* Of policies' options, which may hold references: what is one is not looked at. */
int form_client(const char *text,
                struct err *e); /* one address as PostgreSQL prints it, or local */
int form_snapshot(const char *text, struct err *e); /* what RDS and ElastiCache take for a name */
int form_select(const char *text, struct err *e);   /* a statement that can stand in a FROM (...) */
int form_routing_key(const char *text, struct err *e);
int form_webhook_secret(const char *text, struct err *e);

#define FORM_ROUTING_KEY 32 /* characters of PagerDuty's integration keys */
#define FORM_WEBHOOK_MAX 64 /* bytes of a webhook's secret (Standard Webhooks: 24 to 64) */
/* The bytes of a webhook's secret, of which there is room for FORM_WEBHOOK_MAX. */
int form_webhook_bytes(const char *text, uint8_t *out, size_t *len, struct err *e);

#endif
