/* Collectors that ask what an AWS service lists of an account: each kind of list once a poll, page
 * by page, for all series that read it. */
#ifndef RB_COLLECTORS_SHARED_DESCRIBE_H
#define RB_COLLECTORS_SHARED_DESCRIBE_H

#include "aws/call.h"
#include "base/xml.h"
#include "shared_source.h"

/* What this poll found for a watch. */
struct describe_found {
    bool there;
    int64_t created_ms; /* of the newest snapshot so far */
    double value;
    char why[200]; /* "" or why there is no value */
};

struct describe;

/* One kind of list. */
struct describe_list {
    const char *action, *list, *item; /* "DescribeDBInstances", "DBInstances", "DBInstance" */
    /* Of the item: the child that says whose it is, as name() gives it; NULL: of whom was asked. */
    const char *id;
    bool (*reads)(const struct watch *w); /* this series reads it */
    /* Parameters beside the page. */
    void (*ask)(const struct describe *s, struct aws_params *p);
    /* An item of that series' name. */
    void (*see)(const struct watch *w, const struct xml *item, struct describe_found *f);
    /* Nothing was there: says so, "there is no RDS instance %s ..." */
    void (*absent)(const struct describe *s, const struct watch *w, char *why, size_t size);
    bool many;   /* several items may be of one name; otherwise that is no answer */
    bool counts; /* the value is how many there are: an empty list is 0, not absent */
    /* AWS takes one name a call: it is asked about each by itself, describe_asked() in ask. Errors
     * with these codes, NULL-terminated, say that there is nothing of that name. NULL: one call for
     * all names. */
    const char *const *gone;
};

struct describe_type {
    enum aws_service service;
    const char *what; /* "RDS" */
    const struct describe_list *lists;
    size_t nlists;
    const char *(*name)(const struct describe *s, const struct watch *w);
};

/* The state of an instance; the collector's own open calls describe_open. */
struct describe {
    struct source_base base;
    const struct describe_type *type;
    struct describe_found *found; /* one for each watch */
    size_t at, who; /* the list under way; where each name is asked by itself, the watch of it */
    int pages;
    char *token;
};
void *describe_open(const struct describe_type *type, const struct collector_host *h,
                    const struct estate *e, const char *source);
void describe_close(void *self);
void describe_watch(void *self, const struct watch *const *watches, size_t n);
void describe_poll(void *self);

int64_t describe_interval(const struct target *t, const struct json *opts); /* period, or 30 s */
#define DESCRIBE_PERIOD(who) SOURCE_PERIOD("30s", "how often " who " is asked")
#define DESCRIBE_EVERY .interval_ms = describe_interval, .default_interval_ms = 30000
/* Of the collector's descriptor. */
#define DESCRIBE_PARTS                                                                             \
    .deadline_ms = 30000, .watch = describe_watch, .poll = describe_poll,                          \
    .cancel = source_base_cancel, .close = describe_close, .migrate = source_base_migrate

/* Where each name is asked by itself: the series whose name it is. */
const struct watch *describe_asked(const struct describe *s);

/* The number of that word among words, NULL-terminated; or why of an unknown one. */
void describe_word(const char *word, const char *const *words, const char *what,
                   struct describe_found *f);
/* Among snapshots the newest counts: true when this one, made at that time ("" has only begun), is
 * newer than what was found; then f is begun anew. */
bool describe_newest(const char *created, struct describe_found *f);

#endif
