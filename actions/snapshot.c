/* snapshot: a manual snapshot of an RDS instance or of an ElastiCache replication group, by a name
 * that is chosen beforehand, so that the same request made twice is one snapshot. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/units.h"
#include "plugin/action.h"
#include "plugin/form.h"
#include "shared_aws.h"

#define KEEP_TAG "runbookd:keep-until"

/* Of which kind of target it is taken, and how the services name things. */
struct kind {
    const char *kind, *field, *what;
    enum aws_service service;
    const char *create, *call;
    const char *name_param, *source_param; /* of requests */
    const char *list, *name, *source, *status;
    const struct aws_question *questions;
};

static const struct kind *kind_of(const struct target *t);

static const char *source_of(const struct target *t)
{
    return json_get_str(t->fields, kind_of(t)->field, "");
}

/* Looking */

static void ask_snapshot(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)seen;
    aws_param(p, kind_of(c->target)->name_param, json_get_str(c->opts, "name", ""));
}

static void ask_source(const struct action_call *c, const struct json *seen, struct aws_params *p)
{
    (void)seen;
    aws_param(p, kind_of(c->target)->source_param, source_of(c->target));
}

static void see_snapshot(const struct action_call *c, const struct xml *result, struct json *seen,
                         struct err *e)
{
    const struct kind *k = kind_of(c->target);

    (void)e;
    for (const struct xml *x = xml_child(xml_path(result, k->list), NULL); x != NULL;
         x = xml_next(x, NULL)) {
        struct json *s;

        if (strcasecmp(xml_path_text(x, k->name, ""), json_get_str(c->opts, "name", "")) != 0)
            continue;
        s = json_set(seen, "snapshot", json_new_map());
        json_set_str(s, "source", xml_path_text(x, k->source, ""));
        json_set_str(s, "status", xml_path_text(x, k->status, "unknown"));
    }
}

/* What the snapshot is to be of, among what was answered; NULL: it is not there. */
static const struct xml *source_in(const struct action_call *c, const struct xml *list)
{
    const struct xml *x = xml_child(list, NULL);

    while (x != NULL && strcasecmp(xml_path_text(x, kind_of(c->target)->source_param, ""),
                                   source_of(c->target)) != 0)
        x = xml_next(x, NULL);
    return x;
}

/* The brief pause: "I/O is suspended" while a snapshot of a Single-AZ instance begins (RDS's user
 * guide, "Creating a DB snapshot for a Single-AZ DB instance"). */
static void see_instance(const struct action_call *c, const struct xml *result, struct json *seen,
                         struct err *e)
{
    const struct xml *x = source_in(c, xml_child(result, "DBInstances"));

    (void)e;
    if (x == NULL)
        return;
    json_set_str(seen, "status", xml_path_text(x, "DBInstanceStatus", "unknown"));
    json_set_bool(seen, "pauses", strcmp(xml_path_text(x, "MultiAZ", "false"), "true") != 0);
}

/* A backup is taken from a replica; without one the primary has to make it ("Performance impact of
 * backups of node-based clusters", ElastiCache's user guide). */
static void see_group(const struct action_call *c, const struct xml *result, struct json *seen,
                      struct err *e)
{
    const struct xml *x = source_in(c, xml_child(result, "ReplicationGroups"));

    (void)e;
    if (x == NULL)
        return;
    json_set_str(seen, "status", xml_path_text(x, "Status", "unknown"));
    json_set_bool(seen, "pauses",
                  xml_count(xml_child(x, "MemberClusters"), NULL) <=
                      xml_count(xml_child(x, "NodeGroups"), NULL));
}

#define QUESTIONS 2

static const struct aws_question rds_questions[QUESTIONS] = {
    {.service = AWS_RDS,
     .action = "DescribeDBSnapshots",
     .page = "Marker",
     .absent = "DBSnapshotNotFound",
     .ask = ask_snapshot,
     .take = see_snapshot},
    {.service = AWS_RDS,
     .action = "DescribeDBInstances",
     .absent = "DBInstanceNotFound",
     .ask = ask_source,
     .take = see_instance},
};
static const struct aws_question cache_questions[QUESTIONS] = {
    {.service = AWS_ELASTICACHE,
     .action = "DescribeSnapshots",
     .page = "Marker",
     .absent = "SnapshotNotFoundFault",
     .ask = ask_snapshot,
     .take = see_snapshot},
    {.service = AWS_ELASTICACHE,
     .action = "DescribeReplicationGroups",
     .absent = "ReplicationGroupNotFoundFault",
     .ask = ask_source,
     .take = see_group},
};

static const struct kind kinds[] = {
    {"postgres", "instance", "RDS instance", AWS_RDS, "CreateDBSnapshot", "rds:CreateDBSnapshot",
     "DBSnapshotIdentifier", "DBInstanceIdentifier", "DBSnapshots", "DBSnapshotIdentifier",
     "DBInstanceIdentifier", "Status", rds_questions},
    {"cache", "replication_group", "replication group", AWS_ELASTICACHE, "CreateSnapshot",
     "elasticache:CreateSnapshot", "SnapshotName", "ReplicationGroupId", "Snapshots",
     "SnapshotName", "ReplicationGroupId", "SnapshotStatus", cache_questions},
};

static const struct kind *kind_of(const struct target *t)
{
    return strcmp(t->kind, kinds[1].kind) == 0 ? &kinds[1] : &kinds[0];
}

static void snapshot_observe(struct action_call *c)
{
    struct json *seen = json_new_map();
    size_t n = *source_of(c->target) != '\0' ? QUESTIONS : 0;

    aws_observe(c, json_get_str(c->target->fields, "aws", ""), kind_of(c->target)->questions, n,
                NULL, seen, NULL);
}

/* Thinking */

/* What there is under that name: nothing, ours, or what stands in the way. */
static int look_at(const struct action_input *in, const struct json *seen, bool *there,
                   struct err *e)
{
    const struct json *s = json_get(seen, "snapshot");
    const char *name = json_get_str(in->opts, "name", ""), *source = json_get_str(s, "source", ""),
               *status = json_get_str(s, "status", "unknown");

    *there = s != NULL;
    if (s == NULL)
        return 0;
    if (strcasecmp(source, source_of(in->target)) != 0)
        return err_set(e, ERR_DENIED, "there is a snapshot %s of %s: take another name", name,
                       source);
    if (strcmp(status, "creating") != 0 && strcmp(status, "available") != 0)
        return err_set(e, ERR_DENIED, "there is a snapshot %s that is %s: take another name", name,
                       status);
    return 0;
}

static struct plan *snapshot_plan(const struct action_input *in, const struct json *seen,
                                  struct err *e)
{
    const struct kind *k = kind_of(in->target);
    const char *name = json_get_str(in->opts, "name", ""),
               *status = json_get_str(seen, "status", NULL);
    struct err bad = ERR_INIT;
    struct json *args, *tag;
    char until[40], keep[UNIT_TEXT];
    struct plan *p;
    bool there;

    if (*source_of(in->target) == '\0') {
        err_set(e, ERR_DENIED, "%s is no %s that is known by name: give it %s = \"NAME\"",
                in->target->id, k->what, k->field);
        return NULL;
    }
    if (form_snapshot(name, &bad) != 0) { /* what its references came to, too */
        err_set(e, ERR_DENIED, "name %s", bad.text);
        return NULL;
    }
    if (look_at(in, seen, &there, e) != 0)
        return NULL;
    if (!there && status == NULL) {
        err_set(e, ERR_DENIED, "there is no %s %s: correct the estate", k->what,
                source_of(in->target));
        return NULL;
    }
    p = plan_new();
    json_set_int(p->before, "at_ms", in->wall_ms);
    json_set_str(p->after, "snapshot", name);
    json_set_str(p->out, "id", name);
    if (there) {
        p->empty = true;
        p->summary = mem_printf("snapshot %s is there already (%s)", name,
                                json_get_str(json_get(seen, "snapshot"), "status", ""));
        p->expect = mem_strdup("nothing changes");
        return p;
    }
    time_format_iso(until, sizeof(until), in->wall_ms + json_get_int(in->opts, "keep", 0));
    json_set_str(p->after, "keep_until",
                 in->again != NULL ? json_get_str(in->again->after, "keep_until", until) : until);
    p->flags = ACTION_COSTS_MONEY | (json_get_bool(seen, "pauses", false) ? ACTION_DISRUPTIVE : 0);
    unit_format_duration(keep, sizeof(keep), json_get_int(in->opts, "keep", 0));
    p->summary =
        mem_printf("snapshot %s of %s, to be kept for %s", name, source_of(in->target), keep);
    p->expect = mem_strdup("a snapshot that comes to 100%");
    args = json_new_map();
    json_set_str(args, k->name_param, name);
    json_set_str(args, k->source_param, source_of(in->target));
    tag = json_add(json_set(args, "Tags", json_new_list()), json_new_map());
    json_set_str(tag, "Key", KEEP_TAG);
    json_set_str(tag, "Value", json_get_str(p->after, "keep_until", ""));
    plan_call(p, k->call, args);
    plan_require(p, true, "none", "there is no snapshot %s", name);
    plan_require(p, strcmp(status, "available") == 0, status, "the %s is available", k->what);
    return p;
}

/* The name is ours alone: what has it, and is of this source, is what was asked for. */
static enum verdict snapshot_judge(const struct action_input *in, const struct plan *p, size_t i,
                                   const struct json *seen)
{
    const struct json *s = json_get(seen, "snapshot");

    (void)i;
    if (json_type(seen) != JSON_MAP)
        return VERDICT_UNKNOWN;
    if (s != NULL)
        return strcasecmp(json_get_str(s, "source", ""), source_of(in->target)) == 0
                   ? VERDICT_YES
                   : VERDICT_UNKNOWN;
    return in->wall_ms - json_get_int(p->before, "at_ms", 0) >= AWS_STILL_ON_ITS_WAY_MS
               ? VERDICT_NO
               : VERDICT_UNKNOWN;
}

/* Doing */

static void snapshot_apply(struct action_call *c)
{
    struct json *out = json_new_map();

    json_set_str(out, "id",
                 json_get_str(json_get(c->call, "args"), kind_of(c->target)->name_param, ""));
    aws_apply(c, json_get_str(c->target->fields, "aws", ""), NULL, out);
}

/* The model of policies' tests: names of snapshots that there are. */
static struct json *snapshot_state_seen(const struct action_input *in, const struct json *state,
                                        struct err *e)
{
    struct json *seen = json_new_map(), *s;
    const char *name = json_get_str(in->opts, "name", "");

    (void)e;
    json_set_str(seen, "status", "available");
    for (const struct json *i = json_first(json_get(state, "snapshots")); i != NULL;
         i = json_next(i)) {
        if (strcasecmp(json_str(i, ""), name) != 0)
            continue;
        s = json_set(seen, "snapshot", json_new_map());
        json_set_str(s, "source", source_of(in->target));
        json_set_str(s, "status", "available");
    }
    return seen;
}

static void snapshot_state_apply(const struct action_input *in, const struct json *call,
                                 struct json *state)
{
    struct json *list = json_get_mut(state, "snapshots");

    if (list == NULL)
        list = json_set(state, "snapshots", json_new_list());
    json_add(list, json_new_str(
                       json_get_str(json_get(call, "args"), kind_of(in->target)->name_param, "")));
}

static const struct option snapshot_state[] = {
    {.name = "snapshots", .type = OPT_LIST, .help = "names of the snapshots that there are"},
};

static const struct option snapshot_options[] = {
    {.name = "name",
     .type = OPT_STRING,
     .fallback = "runbookd-$run.id",
     .check = form_snapshot,
     .help = "its name; one that is there already, of this source, is taken for done"},
    {.name = "keep",
     .type = OPT_DURATION,
     .fallback = "7d",
     .min = 3600000,
     .max = OPTION_NO_MAX,
     .help = "it is tagged " KEEP_TAG
             " with the time this long after it was planned; runbookd itself deletes "
             "no snapshot"},
};

static const char *const snapshot_permissions[] = {
    "rds:DescribeDBInstances * [postgres]",
    "rds:DescribeDBSnapshots * [postgres]",
    "rds:CreateDBSnapshot arn:aws:rds:*:*:db:$target.instance [postgres]",
    "rds:CreateDBSnapshot arn:aws:rds:*:*:snapshot:* [postgres]",
    "rds:AddTagsToResource arn:aws:rds:*:*:snapshot:* [postgres]",
    "elasticache:DescribeReplicationGroups * [cache]",
    "elasticache:DescribeSnapshots * [cache]",
    ("elasticache:CreateSnapshot "
     "arn:aws:elasticache:*:*:replicationgroup:$target.replication_group [cache]"),
    "elasticache:CreateSnapshot arn:aws:elasticache:*:*:snapshot:* [cache]",
    "elasticache:AddTagsToResource arn:aws:elasticache:*:*:snapshot:* [cache]",
    NULL,
};
static const char *const snapshot_outs[] = {"id", NULL};

static const char *const snapshot_needs[] = {"postgres.instance", "postgres.aws",
                                             "cache.replication_group", NULL};

const struct action_type snapshot_action = {
    .name = "snapshot",
    .summary = "take a manual snapshot of an RDS instance or an ElastiCache replication group",
    .targets = "postgres cache",
    .attribute = "snapshot",
    .writes = "aws instance replication_group",
    .headroom = "",
    .flags = ACTION_DISRUPTIVE | ACTION_COSTS_MONEY,
    .can_probe = true,
    .options = OPTIONS(snapshot_options),
    .permissions = snapshot_permissions,
    .outs = snapshot_outs,
    .needs = snapshot_needs,
    .observe = snapshot_observe,
    .apply = snapshot_apply,
    .cancel = aws_act_cancel,
    .plan = snapshot_plan,
    .judge = snapshot_judge,
    .state_options = OPTIONS(snapshot_state),
    .state_seen = snapshot_state_seen,
    .state_apply = snapshot_state_apply,
};
