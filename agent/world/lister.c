/* Listing Auto Scaling groups by tag, with what the estate says of a group: its target group, the
 * load balancer in front, its zone. */
#include "world/lister.h"

#include <string.h>

#include "base/mem.h"

#define ARN_MAX 2048

/* The part of an ARN by which CloudWatch names the resource: "targetgroup/NAME/ID" of
 * "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/NAME/ID", "app/NAME/ID" of
 * "...:loadbalancer/app/NAME/ID". Source: the Elastic Load Balancing guide, "CloudWatch metrics",
 * dimensions TargetGroup and LoadBalancer. NULL: it is another kind of ARN. */
static const char *dimension_of(const char *arn, const char *before, const char *start)
{
    const char *at = arn;

    for (int k = 0; at != NULL && k < 5; k++) {
        at = strchr(at, ':');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL || strlen(arn) > ARN_MAX || strncmp(at, before, strlen(before)) != 0)
        return NULL;
    at += strlen(before);
    return strncmp(at, start, strlen(start)) == 0 && at[strlen(start)] != '\0' ? at : NULL;
}

/* The one member of a list, or NULL where there are none or several: then it is not known which is
 * meant. */
static const char *only(const struct xml *list)
{
    return xml_count(list, "member") == 1 ? xml_text(xml_child(list, "member"), NULL) : NULL;
}

/* Names and values of filters: API reference, DescribeAutoScalingGroups, Filter ("tag:<key>");
 * several must all match. 50 groups a page: with hundreds of instances each, more would be beyond
 * what is read of one answer. */
static void ask_groups(struct aws_params *p, const struct json *row)
{
    int n = 0;

    for (const struct json *t = json_first(json_get(row, "tag")); t != NULL; t = json_next(t)) {
        char *name = mem_printf("tag:%s", json_key(t));

        aws_paramf(p, name, "Filters.member.%d.Name", ++n);
        aws_paramf(p, json_str(t, ""), "Filters.member.%d.Values.member.1", n);
        mem_free(name);
    }
    aws_param_int(p, "MaxRecords", 50);
}

static bool has_tags(const struct json *have, const struct json *wanted)
{
    for (const struct json *t = json_first(wanted); t != NULL; t = json_next(t)) {
        if (strcmp(json_get_str(have, json_key(t), ""), json_str(t, "")) != 0 ||
            json_get(have, json_key(t)) == NULL)
            return false;
    }
    return true;
}

static int group_item(struct json *found, const struct xml *item, const struct json *row,
                      struct err *e)
{
    const char *name = xml_path_text(item, "AutoScalingGroupName", ""), *arn, *zone;
    struct json *tag = json_new_map(), *member, *fields;

    if (*name == '\0') {
        json_free(tag);
        return err_set(e, ERR_INPUT, "a group of the answer has no AutoScalingGroupName");
    }
    for (const struct xml *t = xml_path(item, "Tags/member"); t != NULL; t = xml_next(t, "member"))
        json_set_str(tag, xml_path_text(t, "Key", ""), xml_path_text(t, "Value", ""));
    /* Status is there only while the group is being deleted (API reference, AutoScalingGroup). The
     * tags are looked at again: a stand-in or a proxy may not know the filter. */
    if (*xml_path_text(item, "Status", "") != '\0' || !has_tags(tag, json_get(row, "tag"))) {
        json_free(tag);
        return 0;
    }
    member = json_add(found, json_new_map());
    json_set_str(member, "name", name);
    json_set(member, "tag", tag);
    fields = json_set(member, "fields", json_new_map());
    arn = only(xml_child(item, "TargetGroupARNs"));
    if (arn != NULL && dimension_of(arn, "", "targetgroup/") != NULL)
        json_set_str(fields, "target_group", dimension_of(arn, "", "targetgroup/"));
    zone = only(xml_child(item, "AvailabilityZones"));
    if (zone != NULL)
        json_set_str(fields, "zone", zone);
    return 0;
}

static bool any_target_group(const struct json *found)
{
    for (const struct json *m = json_first(found); m != NULL; m = json_next(m)) {
        if (json_get(json_get(m, "fields"), "target_group") != NULL)
            return true;
    }
    return false;
}

/* The most that DescribeTargetGroups gives at once: API reference, PageSize. */
static void ask_target_groups(struct aws_params *p, const struct json *row)
{
    (void)row;
    aws_param_int(p, "PageSize", 400);
}

static int target_group_item(struct json *found, const struct xml *item, const struct json *row,
                             struct err *e)
{
    const char *own = dimension_of(xml_path_text(item, "TargetGroupArn", ""), "", "targetgroup/");
    const char *arn = only(xml_child(item, "LoadBalancerArns"));
    const char *alb = arn != NULL ? dimension_of(arn, "loadbalancer/", "app/") : NULL;

    (void)row;
    if (own == NULL)
        return err_set(e, ERR_INPUT, "a target group of the answer has no TargetGroupArn");
    for (const struct json *m = json_first(found); alb != NULL && m != NULL; m = json_next(m)) {
        /* found is ours to change; reading a list gives its items as constant */
        struct json *fields = json_get_mut((struct json *)(uintptr_t)m, "fields");

        if (strcmp(json_get_str(fields, "target_group", ""), own) == 0)
            json_set_str(fields, "alb", alb);
    }
    return 0;
}

static const struct lister_call asg_calls[] = {
    {.service = AWS_AUTOSCALING,
     .action = "DescribeAutoScalingGroups",
     .token_in = "NextToken",
     .token_out = "NextToken",
     .list = "AutoScalingGroups",
     .ask = ask_groups,
     .item = group_item},
    {.service = AWS_ELBV2,
     .action = "DescribeTargetGroups",
     .token_in = "Marker",
     .token_out = "NextMarker",
     .list = "TargetGroups",
     .ask = ask_target_groups,
     .needed = any_target_group,
     .item = target_group_item},
};

static const struct lister listers[] = {{"asg", asg_calls, sizeof(asg_calls) / sizeof(*asg_calls)}};

const struct lister *lister_find(const char *kind)
{
    for (size_t k = 0; k < sizeof(listers) / sizeof(*listers); k++) {
        if (strcmp(listers[k].kind, kind) == 0)
            return &listers[k];
    }
    return NULL;
}

int lister_page(const struct lister_call *c, const struct xml *answer, const struct json *row,
                struct json *found, char **token, struct err *e)
{
    char *name = mem_printf("%sResult", c->action);
    const struct xml *result = xml_child(answer, name);
    const struct xml *list = xml_child(result, c->list);
    const char *next = xml_path_text(result, c->token_out, "");

    mem_free(name);
    *token = NULL;
    if (list == NULL)
        return err_set(e, ERR_INPUT, "the answer of %s has no %s", c->action, c->list);
    for (const struct xml *i = xml_child(list, "member"); i != NULL; i = xml_next(i, "member")) {
        int rc = c->item(found, i, row, e);

        if (rc != 0)
            return rc;
    }
    if (*next != '\0')
        *token = mem_strdup(next);
    return 0;
}
