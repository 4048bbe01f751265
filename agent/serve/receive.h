/* Alerts that other monitors post: Alertmanager's webhook, and CloudWatch alarms over SNS. What is
 * not proven to be from them is refused, and nothing that they say makes the agent ask anybody. */
#ifndef RB_SERVE_RECEIVE_H
#define RB_SERVE_RECEIVE_H

#include "engine/journal.h"
#include "io/httpd.h"
#include "plugin/alerts.h"

struct receiver;

struct receiver_options {
    struct loop *loop;
    struct journal
        *journal; /* remembers which fire: an agent that was away does not take them for over */
    int64_t (*now_ms)(void *arg);
    void *arg;
    struct alerts *alerts;
    const struct json *config; /* runbookd.lua's `http` */
};

/* NULL: a secret that cannot be read, or is too short. */
struct receiver *receiver_new(const struct receiver_options *o, struct err *e);
void receiver_free(struct receiver *r);

void receive_alertmanager(struct receiver *r, const struct httpd_request *q,
                          struct httpd_reply *out);
void receive_sns(struct receiver *r, const struct httpd_request *q, struct httpd_reply *out);

/* {"accepted", "refused", "known"} */
struct json *receiver_status(const struct receiver *r);

#endif
