/* Target groups of load balancers: how many targets are healthy, how many are draining. */
#include <stdio.h>
#include <string.h>

#include "aws/call.h"
#include "base/mem.h"
#include "io/loop.h"
#include "plugin/collector.h"
#include "shared_source.h"

#define CALL_MS 12000

/* A target group as the estate names it, "targetgroup/NAME/ID", and its ARN once it is known. */
struct group {
    char *path, *arn;
};

struct alb {
    struct source_base base;
    struct group *groups;
    size_t ngroups, at; /* the one that is being asked about */
};

static int alb_source(const struct signal *g, const struct target *t, const struct estate *e,
                      char *out, size_t size, struct err *err)
{
    const struct target *asg = estate_related(e, t, "asg");

    (void)g;
    if (asg != NULL && json_get_str(asg->fields, "target_group", NULL) == NULL)
        return err_set(err, ERR_INPUT,
                       "%s has no target group: give it target_group = \"targetgroup/NAME/ID\"",
                       asg->id);
    return source_aws(t, e, "asg", out, size, err);
}

static void *alb_open(const struct collector_host *h, const struct estate *e, const char *source,
                      struct err *err)
{
    (void)err;
    return source_base_open(sizeof(struct alb), h, e, source);
}

static void groups_free(struct group *groups, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free(groups[i].path);
        mem_free(groups[i].arn);
    }
    mem_free(groups);
}

static void alb_close(void *self)
{
    struct alb *s = self;

    groups_free(s->groups, s->ngroups);
    source_base_close(s);
}

static const char *path_of(const struct alb *s, const struct watch *w)
{
    const struct target *t = estate_related(s->base.estate, w->target, "asg");

    return t != NULL ? json_get_str(t->fields, "target_group", NULL) : NULL;
}

static void alb_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct alb *s = self;
    struct group *old = s->groups;
    size_t nold = s->ngroups;

    source_base_watch(s, watches, n);
    s->groups = mem_calloc(n + 1, sizeof(*s->groups));
    s->ngroups = 0;
    for (size_t i = 0; i < n; i++) {
        const char *path = path_of(s, watches[i]);
        size_t k = 0;

        while (path != NULL && k < s->ngroups && strcmp(s->groups[k].path, path) != 0)
            k++;
        if (path == NULL || k < s->ngroups)
            continue;
        s->groups[k].path = mem_strdup(path);
        s->ngroups++;
        for (size_t o = 0; o < nold; o++) {
            if (strcmp(old[o].path, path) == 0 && old[o].arn != NULL)
                s->groups[k].arn = mem_strdup(old[o].arn);
        }
    }
    groups_free(old, nold);
}

static void tell_unknown(struct alb *s, const char *why)
{
    for (size_t i = 0; i < s->base.nwatches; i++) {
        const char *path = path_of(s, s->base.watches[i]);

        if (path != NULL && strcmp(path, s->groups[s->at].path) == 0)
            s->base.host->unknown(s->base.host, s->base.watches[i], why);
    }
}

static void tell(struct alb *s, size_t targets, size_t healthy, size_t draining)
{
    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];
        const char *path = path_of(s, w);

        if (path == NULL || strcmp(path, s->groups[s->at].path) != 0)
            continue;
        if (strcmp(w->signal->name, "alb_draining") == 0)
            s->base.host->sample(s->base.host, w, s->base.asked_ms, 0, (double)draining);
        else if (targets == 0)
            s->base.host->unknown(
                s->base.host, w,
                "no target is registered: there is no share that could be healthy");
        else
            s->base.host->sample(s->base.host, w, s->base.asked_ms, 0,
                                 100.0 * (double)healthy / (double)targets);
    }
}

static void ask(struct alb *s);

static void next(struct alb *s)
{
    if (++s->at < s->ngroups)
        ask(s);
    else
        s->base.host->done(s->base.host);
}

static void malformed(struct alb *s, const char *what)
{
    struct err e = ERR_INIT;

    err_set(&e, ERR_INPUT, "target group %s in account %s: the answer has no %s",
            s->groups[s->at].path, s->base.name, what);
    s->base.host->failed(s->base.host, &e);
}

/* True when that is an answer, too: the group does not exist. */
static bool not_found(struct alb *s, const struct aws_answer *a)
{
    char why[300];

    if (strcmp(a->code, "TargetGroupNotFound") != 0)
        return false;
    snprintf(why, sizeof(why), "there is no target group %s in account %s: correct the estate",
             s->groups[s->at].path, s->base.name);
    tell_unknown(s, why);
    mem_free(s->groups[s->at].arn);
    s->groups[s->at].arn = NULL;
    return true;
}

static void on_health(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct alb *s = arg;
    const struct xml *list;
    size_t targets = 0, healthy = 0, draining = 0;

    s->base.call = NULL;
    if (e != NULL) {
        if (not_found(s, a))
            next(s);
        else
            s->base.host->failed(s->base.host, e);
        return;
    }
    list = xml_path(a->xml, "DescribeTargetHealthResult/TargetHealthDescriptions");
    if (list == NULL) {
        malformed(s, "list of targets");
        return;
    }
    for (const struct xml *t = xml_child(list, "member"); t != NULL; t = xml_next(t, "member")) {
        const char *state = xml_path_text(t, "TargetHealth/State", "");

        if (*state == '\0') {
            malformed(s, "state of a target");
            return;
        }
        /* What is on its way out is neither healthy nor missing; what is registered and takes no
         * traffic (initial, unused, unhealthy, unavailable) is not healthy. */
        if (strcmp(state, "draining") == 0) {
            draining++;
            continue;
        }
        targets++;
        healthy += strcmp(state, "healthy") == 0;
    }
    tell(s, targets, healthy, draining);
    next(s);
}

static void on_group(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct alb *s = arg;
    struct group *g = &s->groups[s->at];
    const char *arn, *path;
    char why[400];

    s->base.call = NULL;
    if (e != NULL) {
        if (not_found(s, a))
            next(s);
        else
            s->base.host->failed(s->base.host, e);
        return;
    }
    arn = xml_path_text(a->xml, "DescribeTargetGroupsResult/TargetGroups/member/TargetGroupArn",
                        NULL);
    path = arn != NULL ? strrchr(arn, ':') : NULL;
    if (path == NULL) {
        malformed(s, "ARN of the group");
        return;
    }
    if (strcmp(path + 1, g->path) != 0) {
        snprintf(why, sizeof(why),
                 "the target group of that name is %s now, the estate says %s: it was made anew; "
                 "correct the estate",
                 path + 1, g->path);
        tell_unknown(s, why);
        next(s);
        return;
    }
    g->arn = mem_strdup(arn);
    ask(s);
}

/* "NAME" of "targetgroup/NAME/ID"; NULL when it is not of that form. The caller frees. */
static char *name_of(const char *path)
{
    static const char head[] = "targetgroup/";
    const char *name = path + sizeof(head) - 1, *slash;

    if (strncmp(path, head, sizeof(head) - 1) != 0)
        return NULL;
    slash = strchr(name, '/');
    return slash != NULL && slash > name && slash[1] != '\0' && strchr(slash + 1, '/') == NULL
               ? mem_strndup(name, (size_t)(slash - name))
               : NULL;
}

static void ask(struct alb *s)
{
    const struct host_io *io = s->base.host->io;
    struct group *g = &s->groups[s->at];
    struct aws_request r = {.service = AWS_ELBV2, .deadline_ms = CALL_MS};
    struct err e = ERR_INIT;
    struct aws *aws = io->aws(io->arg, s->base.name, &e);
    struct aws_params *p;
    char *name;

    if (aws == NULL) {
        s->base.host->failed(s->base.host, &e);
        return;
    }
    p = aws_params_new();
    r.params = p;
    s->base.asked_ms = loop_wall_ms(io->loop);
    if (g->arn != NULL) {
        r.action = "DescribeTargetHealth";
        aws_param(p, "TargetGroupArn", g->arn);
        s->base.call = aws_send(aws, &r, on_health, s);
    } else if ((name = name_of(g->path)) != NULL) {
        r.action = "DescribeTargetGroups";
        aws_param(p, "Names.member.1", name);
        s->base.call = aws_send(aws, &r, on_group, s);
        mem_free(name);
    } else {
        tell_unknown(s, "its target_group in the estate is not \"targetgroup/NAME/ID\"");
        aws_params_free(p);
        next(s);
        return;
    }
    aws_params_free(p);
}

static void alb_poll(void *self)
{
    struct alb *s = self;

    s->at = 0;
    if (s->ngroups == 0)
        s->base.host->done(s->base.host);
    else
        ask(s);
}

static const struct option alb_options[] = {
    SOURCE_PERIOD("10s", "how often it is asked"),
};

static const struct signal alb_signals[] = {
    {.name = "alb_healthy",
     .summary = "share of the registered targets, draining ones left out, that are healthy; "
                "unknown where none is registered",
     .source = "DescribeTargetHealth: State healthy / all but draining",
     .unit = UNIT_PERCENT,
     .targets = "asg service",
     .options = OPTIONS(alb_options),
     .interval_ms = source_interval,
     .default_interval_ms = 10000},
    {.name = "alb_draining",
     .summary = "targets that are draining",
     .source = "DescribeTargetHealth: State draining",
     .unit = UNIT_COUNT,
     .targets = "asg service",
     .options = OPTIONS(alb_options),
     .interval_ms = source_interval,
     .default_interval_ms = 10000},
};

static const char *const alb_permissions[] = {"elasticloadbalancing:DescribeTargetGroups *",
                                              "elasticloadbalancing:DescribeTargetHealth *", NULL};

const struct collector_type alb_collector = {
    .name = "alb",
    .summary = "health of load balancers' targets",
    .signals = alb_signals,
    .nsignals = sizeof(alb_signals) / sizeof(*alb_signals),
    .permissions = alb_permissions,
    .deadline_ms = 30000,
    .source = alb_source,
    .open = alb_open,
    .watch = alb_watch,
    .poll = alb_poll,
    .cancel = source_base_cancel,
    .close = alb_close,
    .migrate = source_base_migrate,
};
