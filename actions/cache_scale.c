/* cache_scale: the node type of an ElastiCache replication group, a step up a ladder that the
 * policy writes. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "plugin/action.h"
#include "shared_aws.h"

/* Looking. The group tells its type and state, its members tell what is pending, and AWS's own list
 * which types it would take. */

static const char *group_of(const struct action_call *c)
{
    return json_get_str(c->target->fields, "replication_group", "");
}

static void ask_group(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)seen;
    aws_param(p, "ReplicationGroupId", group_of(c));
}

static void ask_members(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)c;
    (void)seen;
    (void)p; /* all of the account: it cannot be asked for those of a group */
}

/* Values that are "applied in the future, or that are currently being applied" (the model of
 * PendingModifiedValues). */
static void see_pending(struct json *seen, const char *whose, const struct xml *values)
{
    struct json *list = json_get_mut(seen, "pending");
    char text[200];

    for (const struct xml *v = xml_child(values, NULL); v != NULL; v = xml_next(v, NULL)) {
        if (xml_is_empty(v)) /* an empty list waits for nothing */
            continue;
        snprintf(text, sizeof(text), "%.60s: %.60s %.60s", whose, xml_name(v), xml_text(v, ""));
        json_add(list, json_new_str(text));
        if (strcmp(xml_name(v), "CacheNodeType") == 0)
            json_set_str(seen, "pending_type", xml_text(v, ""));
    }
}

static void see_group(const struct action_call *c, const struct xml *result, struct json *seen,
                      struct err *e)
{
    const struct xml *g = xml_path(result, "ReplicationGroups/ReplicationGroup");

    for (; g != NULL; g = xml_next(g, "ReplicationGroup")) {
        if (strcasecmp(xml_path_text(g, "ReplicationGroupId", ""), group_of(c)) == 0)
            break;
    }
    if (g == NULL)
        return;
    if (*xml_path_text(g, "CacheNodeType", "") == '\0' || *xml_path_text(g, "Status", "") == '\0') {
        err_set(e, ERR_INPUT, "replication group %s: the answer has no CacheNodeType or no Status",
                group_of(c));
        return;
    }
    json_set_str(seen, "node_type", xml_path_text(g, "CacheNodeType", ""));
    json_set_str(seen, "status", xml_path_text(g, "Status", ""));
    see_pending(seen, group_of(c), xml_child(g, "PendingModifiedValues"));
}

static void see_members(const struct action_call *c, const struct xml *result, struct json *seen,
                        struct err *e)
{
    const struct xml *list = xml_child(result, "CacheClusters");

    (void)e;
    for (const struct xml *m = xml_child(list, "CacheCluster"); m != NULL;
         m = xml_next(m, "CacheCluster")) {
        if (strcasecmp(xml_path_text(m, "ReplicationGroupId", ""), group_of(c)) == 0)
            see_pending(seen, xml_path_text(m, "CacheClusterId", "?"),
                        xml_child(m, "PendingModifiedValues"));
    }
}

static void see_list(struct json *seen, const char *key, const struct xml *list)
{
    struct json *out = json_set(seen, key, json_new_list());

    for (const struct xml *t = xml_child(list, NULL); t != NULL; t = xml_next(t, NULL))
        json_add(out, json_new_str(xml_text(t, "")));
}

static void see_allowed(const struct action_call *c, const struct xml *result, struct json *seen,
                        struct err *e)
{
    (void)c;
    (void)e;
    see_list(seen, "up", xml_child(result, "ScaleUpModifications"));
    see_list(seen, "down", xml_child(result, "ScaleDownModifications"));
}

static void there(const struct action_call *c, struct json *seen, struct err *e)
{
    if (*group_of(c) == '\0')
        err_set(e, ERR_INPUT, "%s has no replication_group: its node type cannot be changed",
                c->target->id);
    else if (json_get(seen, "node_type") == NULL)
        err_set(e, ERR_NOT_FOUND, "there is no replication group %s: correct the estate",
                group_of(c));
}

static void scale_observe(struct action_call *c)
{
    static const struct aws_question questions[] = {
        {.service = AWS_ELASTICACHE,
         .action = "DescribeReplicationGroups",
         .page = "Marker",
         .ask = ask_group,
         .take = see_group},
        {.service = AWS_ELASTICACHE,
         .action = "DescribeCacheClusters",
         .page = "Marker",
         .ask = ask_members,
         .take = see_members},
        {.service = AWS_ELASTICACHE,
         .action = "ListAllowedNodeTypeModifications",
         .ask = ask_group,
         .take = see_allowed},
    };
    struct json *seen = json_new_map();

    json_set(seen, "pending", json_new_list());
    aws_observe(c, json_get_str(c->target->fields, "aws", ""), questions,
                *group_of(c) != '\0' ? sizeof(questions) / sizeof(*questions) : 0, NULL, seen,
                there);
}

/* Thinking */

static bool has(const struct json *list, const char *word)
{
    for (const struct json *i = json_first(list); i != NULL; i = json_next(i)) {
        if (strcmp(json_str(i, ""), word) == 0)
            return true;
    }
    return false;
}

static void join(char *out, size_t size, const struct json *list)
{
    size_t len = 0;

    *out = '\0';
    for (const struct json *i = json_first(list); i != NULL && len < size; i = json_next(i))
        len +=
            (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? ", " : "", json_str(i, ""));
}

static const char *type_of(const struct json *seen, struct err *e)
{
    const char *type = json_get_str(seen, "node_type", "");

    if (*type == '\0')
        err_set(e, ERR_INPUT, "the group's node type is not known");
    return type;
}

/* To that type, absolute. `up`: it costs more; down: it must hold the data, which AWS's list looks
 * after. */
static struct plan *change(const struct action_input *in, const struct json *seen, const char *from,
                           const char *to, bool up, struct err *e)
{
    const struct json *allowed = json_get(seen, up ? "up" : "down"),
                      *pending = json_get(seen, "pending");
    const char *status = json_get_str(seen, "status", "?");
    char text[300];
    struct json *args;
    struct plan *p;

    if (!has(allowed, to)) {
        join(text, sizeof(text), allowed);
        err_set(e, ERR_DENIED,
                "AWS does not take %s from %s to %s (ListAllowedNodeTypeModifications: %s)",
                json_get_str(in->target->fields, "replication_group", in->target->name), from, to,
                *text != '\0' ? text : "nothing");
        return NULL;
    }
    p = plan_new();
    json_set_str(p->before, "node_type", from);
    json_set_int(p->before, "at_ms", in->wall_ms);
    json_set_str(p->after, "node_type", to);
    json_set_str(p->out, "before", from);
    json_set_str(p->out, "after", to);
    p->flags = ACTION_REVERSIBLE | ACTION_DISRUPTIVE | (up ? ACTION_COSTS_MONEY : 0);
    p->summary = mem_printf("node type %s -> %s", from, to);
    p->expect = mem_strdup(up ? "more memory on each node after some minutes; connections are cut "
                                "when its nodes are replaced"
                              : "less memory on each node after some minutes; connections are cut "
                                "when its nodes are replaced");
    args = json_new_map();
    json_set_str(args, "ReplicationGroupId",
                 json_get_str(in->target->fields, "replication_group", in->target->name));
    json_set_str(args, "CacheNodeType", to);
    json_set_bool(args, "ApplyImmediately", true);
    plan_call(p, "elasticache:ModifyReplicationGroup", args);
    plan_require(p, true, from, "node type = %s", from);
    plan_require(p, strcmp(status, "available") == 0, status, "the group is available");
    join(text, sizeof(text), pending);
    plan_require(p, json_len(pending) == 0, *text != '\0' ? text : "none",
                 "no modification is pending");
    return p;
}

static struct plan *scale_plan(const struct action_input *in, const struct json *seen,
                               struct err *e)
{
    const struct json *ladder = json_get(in->opts, "ladder"), *rung = json_first(ladder);
    const char *from = type_of(seen, e), *to = NULL;
    int64_t step = json_get_int(in->opts, "step", 1);
    char text[300];

    if (*from == '\0')
        return NULL;
    while (rung != NULL && strcmp(json_str(rung, ""), from) != 0)
        rung = json_next(rung);
    if (rung == NULL) {
        join(text, sizeof(text), ladder);
        err_set(e, ERR_DENIED, "node type %s is not on the ladder: %s", from, text);
        return NULL;
    }
    for (rung = json_next(rung); rung != NULL && step > 0; rung = json_next(rung), step--)
        to = json_str(rung, "");
    if (to == NULL) {
        err_set(e, ERR_DENIED, "at %s, the top of the ladder: no step up", from);
        return NULL;
    }
    return change(in, seen, from, to, true, e);
}

/* The new type, there or on its way (AWS shows it as pending while it is being applied), is a yes.
 * The old one on a group that nothing happens to is a no, but not at once. */
static enum verdict scale_judge(const struct action_input *in, const struct plan *p, size_t i,
                                const struct json *seen)
{
    const char *type = json_get_str(seen, "node_type", ""),
               *to = json_get_str(p->after, "node_type", "?");
    int64_t age_ms = in->wall_ms - json_get_int(p->before, "at_ms", 0);

    (void)i;
    if (strcmp(type, to) == 0 || strcmp(json_get_str(seen, "pending_type", ""), to) == 0)
        return VERDICT_YES;
    if (strcmp(type, json_get_str(p->before, "node_type", "?")) == 0 &&
        strcmp(json_get_str(seen, "status", ""), "available") == 0 &&
        json_len(json_get(seen, "pending")) == 0 && age_ms >= AWS_STILL_ON_ITS_WAY_MS)
        return VERDICT_NO;
    return VERDICT_UNKNOWN;
}

static struct plan *scale_undo(const struct action_input *in, const struct plan *first,
                               const struct plan *last, const struct json *seen, struct err *e)
{
    const char *ours = json_get_str(last->after, "node_type", ""),
               *to = json_get_str(first->before, "node_type", ""), *now = type_of(seen, e);

    if (*now == '\0')
        return NULL;
    if (*ours == '\0' || *to == '\0') {
        err_set(e, ERR_INPUT, "what was done is not on record");
        return NULL;
    }
    if (strcmp(now, ours) != 0) {
        err_set(e, ERR_DENIED, "node type is %s, not the %s that was set: changed by someone else",
                now, ours);
        return NULL;
    }
    return change(in, seen, now, to, false, e);
}

static int scale_check(const struct json *opts, struct err *e)
{
    const struct json *ladder = json_get(opts, "ladder");

    if (json_len(ladder) < 2)
        return err_set(e, ERR_INPUT,
                       "a ladder needs two node types or more, smallest first: { "
                       "\"cache.t4g.small\", \"cache.t4g.medium\" }");
    for (const struct json *i = json_first(ladder); i != NULL; i = json_next(i)) {
        if (strncmp(json_str(i, ""), "cache.", 6) != 0)
            return err_set(e, ERR_INPUT,
                           "\"%.60s\" on the ladder is no node type: they begin with "
                           "\"cache.\"",
                           json_str(i, ""));
        for (const struct json *k = json_next(i); k != NULL; k = json_next(k)) {
            if (strcmp(json_str(i, ""), json_str(k, "")) == 0)
                return err_set(e, ERR_INPUT, "%.60s is on the ladder twice", json_str(i, ""));
        }
    }
    return 0;
}

/* Doing */

static void scale_apply(struct action_call *c)
{
    struct json *out = json_new_map();

    json_set_str(out, "after", json_get_str(json_get(c->call, "args"), "CacheNodeType", ""));
    aws_apply(c, json_get_str(c->target->fields, "aws", ""), NULL, out);
}

/* The model of a group in policies' tests. What AWS would take is the ladder itself, unless a test
 * writes it. */
static struct json *scale_state_seen(const struct action_input *in, const struct json *state,
                                     struct err *e)
{
    const char *type = type_of(state, e);
    struct json *seen, *lists[2];
    int above = 0;

    if (*type == '\0')
        return NULL;
    seen = json_copy(state);
    lists[0] = json_new_list();
    lists[1] = json_new_list();
    for (const struct json *i = json_first(json_get(in->opts, "ladder")); i != NULL;
         i = json_next(i)) {
        if (strcmp(json_str(i, ""), type) == 0)
            above = 1;
        else
            json_add(lists[above], json_new_str(json_str(i, "")));
    }
    for (int k = 0; k < 2; k++) {
        if (json_get(seen, k ? "up" : "down") == NULL)
            json_set(seen, k ? "up" : "down", lists[k]);
        else
            json_free(lists[k]);
    }
    return seen;
}

static void scale_state_apply(const struct action_input *in, const struct json *call,
                              struct json *state)
{
    (void)in;
    json_set_str(state, "node_type",
                 json_get_str(json_get(call, "args"), "CacheNodeType",
                              json_get_str(state, "node_type", "")));
}

static const struct option scale_state[] = {
    {.name = "node_type",
     .type = OPT_STRING,
     .required = true,
     .help = "the group's node type, \"cache.t4g.small\""},
    {.name = "status", .type = OPT_STRING, .fallback = "available", .help = "the group's status"},
    {.name = "pending",
     .type = OPT_LIST,
     .help = "modifications that wait, \"portal-001: CacheNodeType cache.t4g.medium\""},
    {.name = "up",
     .type = OPT_LIST,
     .help = "node types that AWS would scale up to; without it those above on the ladder"},
    {.name = "down",
     .type = OPT_LIST,
     .help = "node types that AWS would scale down to; without it those below on the ladder"},
};

static const struct option scale_options[] = {
    {.name = "ladder",
     .type = OPT_LIST,
     .required = true,
     .help = "node types, smallest first: no other is ever set, and a group on another type is "
             "left alone"},
    {.name = "step",
     .type = OPT_COUNT,
     .fallback = "1",
     .min = 1,
     .max = 20,
     .help = "rungs to go up, to the top at most"},
};

#define GROUP "arn:aws:elasticache:*:*:replicationgroup:$target.replication_group"

static const char *const scale_permissions[] = {
    "elasticache:DescribeReplicationGroups " GROUP,
    "elasticache:DescribeCacheClusters *",
    "elasticache:ListAllowedNodeTypeModifications " GROUP,
    "elasticache:ModifyReplicationGroup " GROUP,
    NULL,
};
static const char *const scale_outs[] = {"before", "after", NULL};

static const char *const scale_needs[] = {"cache.replication_group", NULL};

const struct action_type cache_scale_action = {
    .name = "cache_scale",
    .summary = "raise the node type of an ElastiCache replication group, a step up a ladder",
    .targets = "cache",
    .attribute = "node_type",
    .writes = "aws replication_group",
    .headroom = "",
    .flags = ACTION_REVERSIBLE | ACTION_DISRUPTIVE | ACTION_COSTS_MONEY,
    .can_probe = true,
    .options = OPTIONS(scale_options),
    .permissions = scale_permissions,
    .outs = scale_outs,
    .needs = scale_needs,
    .check = scale_check,
    .observe = scale_observe,
    .apply = scale_apply,
    .cancel = aws_act_cancel,
    .plan = scale_plan,
    .judge = scale_judge,
    .undo = scale_undo,
    .state_options = OPTIONS(scale_state),
    .state_seen = scale_state_seen,
    .state_apply = scale_state_apply,
};
