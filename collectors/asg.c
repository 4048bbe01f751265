/* Auto Scaling groups: how many instances are wanted, how many are in service, how much room is
 * left. One DescribeAutoScalingGroups for up to 50 groups, whatever number of series reads them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "io/loop.h"
#include "plugin/collector.h"
#include "shared_source.h"

#define GROUPS_A_CALL 50 /* the most names that DescribeAutoScalingGroups takes */
#define PAGES_MAX 100
#define CALL_MS 12000

struct asg {
    struct source_base base;
    const char **groups; /* distinct, of the estate */
    bool *seen;
    size_t ngroups, from, to; /* the batch under way */
    int pages;
    char *token;
};

static int asg_source(const struct signal *g, const struct target *t, const struct estate *e,
                      char *out, size_t size, struct err *err)
{
    (void)g;
    return source_aws(t, e, "asg", out, size, err);
}

static void *asg_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct asg), h, e, source);
}

static void asg_close(void *self)
{
    struct asg *s = self;

    mem_free(s->token);
    mem_free(s->groups);
    mem_free(s->seen);
    source_base_close(s);
}

static const char *group_of(const struct asg *s, const struct watch *w)
{
    const struct target *t = estate_related(s->base.estate, w->target, "asg");

    return t != NULL ? t->name : NULL;
}

static void asg_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct asg *s = self;

    source_base_watch(s, watches, n);
    s->groups = mem_realloc(s->groups, (n + 1) * sizeof(*s->groups));
    s->ngroups = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = group_of(s, watches[i]);
        size_t k = 0;

        while (name != NULL && k < s->ngroups && strcmp(s->groups[k], name) != 0)
            k++;
        if (name != NULL && k == s->ngroups)
            s->groups[s->ngroups++] = name;
    }
    mem_free(s->seen);
    s->seen = mem_calloc(s->ngroups + 1, sizeof(*s->seen));
}

/* A whole number of the answer, or -1. */
static long number(const struct xml *x, const char *name)
{
    const char *text = xml_path_text(x, name, "");
    char *end = NULL;
    long v = strtol(text, &end, 10);

    return *text != '\0' && *end == '\0' && v >= 0 && v <= 1000000 ? v : -1;
}

static void tell(struct asg *s, const struct watch *w, const struct xml *group)
{
    const struct collector_host *h = s->base.host;
    const char *signal = w->signal->name;
    long desired = number(group, "DesiredCapacity"), max = number(group, "MaxSize"), good = 0;
    double value;

    if (desired < 0 || max < 0) {
        h->unknown(h, w, "AWS's answer has no DesiredCapacity or no MaxSize of the group");
        return;
    }
    if (strcmp(signal, "asg_desired") == 0) {
        value = (double)desired;
    } else if (strcmp(signal, "asg_headroom") == 0) {
        value = max > desired ? (double)(max - desired) : 0;
    } else {
        if (desired == 0) {
            h->unknown(h, w, "no instance is desired: there is no share that could be in service");
            return;
        }
        for (const struct xml *i = xml_child(xml_child(group, "Instances"), "member"); i != NULL;
             i = xml_next(i, "member")) {
            if (strcmp(xml_path_text(i, "LifecycleState", ""), "InService") == 0 &&
                strcasecmp(xml_path_text(i, "HealthStatus", ""), "Healthy") == 0)
                good++;
        }
        /* While a group shrinks more are in service than desired. */
        value = good >= desired ? 100 : 100.0 * (double)good / (double)desired;
    }
    h->sample(h, w, s->base.asked_ms, 0, value);
}

static void tell_group(struct asg *s, const struct xml *group)
{
    const char *name = xml_path_text(group, "AutoScalingGroupName", "");

    bool again = false;

    for (size_t k = s->from; k < s->to; k++) {
        if (strcmp(s->groups[k], name) != 0)
            continue;
        again = s->seen[k];
        s->seen[k] = true;
    }
    for (size_t i = 0; i < s->base.nwatches; i++) {
        const char *wanted = group_of(s, s->base.watches[i]);

        if (wanted == NULL || strcmp(wanted, name) != 0)
            continue;
        if (again) /* whichever is right, what was told is taken back */
            s->base.host->unknown(s->base.host, s->base.watches[i],
                                  "AWS's answer has the group twice");
        else
            tell(s, s->base.watches[i], group);
    }
}

/* The listing of this batch is complete: what is not in it does not exist. */
static void tell_absent(struct asg *s)
{
    char why[300];

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const char *wanted = group_of(s, s->base.watches[i]);

        for (size_t k = s->from; k < s->to; k++) {
            if (s->seen[k] || wanted == NULL || strcmp(wanted, s->groups[k]) != 0)
                continue;
            snprintf(why, sizeof(why),
                     "there is no Auto Scaling group %s in account %s: correct the estate", wanted,
                     s->base.name);
            s->base.host->unknown(s->base.host, s->base.watches[i], why);
        }
    }
}

static void ask(struct asg *s);

static void fail(struct asg *s, int code, const char *text)
{
    struct err e = ERR_INIT;

    err_set(&e, code, "Auto Scaling groups of account %s: %s", s->base.name, text);
    s->base.host->failed(s->base.host, &e);
}

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct asg *s = arg;
    const struct xml *result;
    const char *token;
    bool again;

    s->base.call = NULL;
    if (e != NULL) {
        s->base.host->failed(s->base.host, e);
        return;
    }
    result = xml_child(a->xml, "DescribeAutoScalingGroupsResult");
    if (xml_child(result, "AutoScalingGroups") == NULL) {
        fail(s, ERR_INPUT, "the answer has no list of groups");
        return;
    }
    for (const struct xml *g = xml_path(result, "AutoScalingGroups/member"); g != NULL;
         g = xml_next(g, "member"))
        tell_group(s, g);
    token = xml_path_text(result, "NextToken", "");
    again = s->token != NULL && strcmp(token, s->token) == 0;
    mem_free(s->token);
    s->token = *token != '\0' ? mem_strdup(token) : NULL;
    if (s->token != NULL && (again || ++s->pages >= PAGES_MAX)) {
        fail(s, ERR_LIMIT, "the pages of the answer do not end");
        return;
    }
    if (s->token == NULL) {
        tell_absent(s);
        s->from = s->to;
        s->pages = 0;
    }
    if (s->from < s->ngroups)
        ask(s);
    else
        s->base.host->done(s->base.host);
}

static void ask(struct asg *s)
{
    const struct host_io *io = s->base.host->io;
    struct aws_request r = {
        .service = AWS_AUTOSCALING, .action = "DescribeAutoScalingGroups", .deadline_ms = CALL_MS};
    struct err e = ERR_INIT;
    struct aws *aws = io->aws(io->arg, s->base.name, &e);
    struct aws_params *p;

    if (aws == NULL) {
        s->base.host->failed(s->base.host, &e);
        return;
    }
    s->to = s->from + GROUPS_A_CALL < s->ngroups ? s->from + GROUPS_A_CALL : s->ngroups;
    p = aws_params_new();
    aws_param_list(p, "AutoScalingGroupNames.member", s->groups + s->from, s->to - s->from);
    aws_param(p, "NextToken", s->token);
    r.params = p;
    s->base.asked_ms = loop_wall_ms(io->loop);
    s->base.call = aws_send(aws, &r, answered, s);
    aws_params_free(p);
}

static void asg_poll(void *self)
{
    struct asg *s = self;

    memset(s->seen, 0, s->ngroups * sizeof(*s->seen));
    s->from = s->to = 0;
    s->pages = 0;
    mem_free(s->token);
    s->token = NULL;
    if (s->ngroups == 0)
        s->base.host->done(s->base.host);
    else
        ask(s);
}

static const struct option asg_options[] = {
    SOURCE_PERIOD("10s", "how often it is asked"),
};

#define SOURCE "DescribeAutoScalingGroups: "

static const struct signal asg_signals[] = {
    {.name = "asg_in_service",
     .summary = "share of the desired instances that are InService and Healthy; unknown where none "
                "is desired",
     .source = SOURCE "instances InService and Healthy / DesiredCapacity",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(asg_options),
     .interval_ms = source_interval,
     .default_interval_ms = 10000},
    {.name = "asg_desired",
     .summary = "desired capacity of the group",
     .source = SOURCE "DesiredCapacity",
     .unit = UNIT_COUNT,
     .targets = "asg",
     .options = OPTIONS(asg_options),
     .interval_ms = source_interval,
     .default_interval_ms = 10000},
    {.name = "asg_headroom",
     .summary = "instances that the group may still grow by",
     .source = SOURCE "MaxSize - DesiredCapacity",
     .unit = UNIT_COUNT,
     .targets = "asg",
     .options = OPTIONS(asg_options),
     .interval_ms = source_interval,
     .default_interval_ms = 10000},
};

static const char *const asg_permissions[] = {"autoscaling:DescribeAutoScalingGroups *", NULL};

const struct collector_type asg_collector = {
    .name = "asg",
    .summary = "capacity of Auto Scaling groups",
    .signals = asg_signals,
    .nsignals = sizeof(asg_signals) / sizeof(*asg_signals),
    .permissions = asg_permissions,
    .deadline_ms = 15000,
    .source = asg_source,
    .open = asg_open,
    .watch = asg_watch,
    .poll = asg_poll,
    .cancel = source_base_cancel,
    .close = asg_close,
    .migrate = source_base_migrate,
};
