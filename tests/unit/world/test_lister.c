/* Listing groups: what is read from AWS's answers, page by page, and what is no whole answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/target.h"
#include "world/lister.h"

#define GROUPS(members, token)                                                                     \
    "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><"                        \
    "AutoScalingGroups>" members "</AutoScalingGroups>" token                                      \
    "</DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>"
#define GROUP(name, inner)                                                                         \
    "<member><AutoScalingGroupName>" name "</AutoScalingGroupName>" inner "</member>"
#define TAG(key, value) "<member><Key>" key "</Key><Value>" value "</Value></member>"
#define ARN "arn:aws:elasticloadbalancing:us-east-1:123456789012:"
#define BALANCERS(members)                                                                         \
    "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups>" members             \
    "</TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>"

static int page(size_t call, const char *text, const struct json *row, struct json *found,
                char **token, struct err *e)
{
    struct err bad = ERR_INIT;
    struct xml *x = xml_parse(text, strlen(text), 1 << 20, &bad);
    int rc;

    if (x == NULL)
        fail_msg("%s", bad.text);
    rc = lister_page(&lister_find("asg")->calls[call], x, row, found, token, e);
    xml_free(x);
    return rc;
}

static struct json *wanted(const char *key, const char *value)
{
    struct json *row = json_new_map(), *tag = json_set(row, "tag", json_new_map());

    if (key != NULL)
        json_set_str(tag, key, value);
    return row;
}

static void reads_groups(void **state)
{
    struct json *row = wanted("team", "web"), *found = json_new_list();
    const struct json *m;
    struct err e = ERR_INIT;
    char *token, *text;

    (void)state;
    assert_int_equal(
        page(
            0,
            GROUPS(
                GROUP(
                    "web-1",
                    "<Tags>" TAG("team", "web") TAG(
                        "env",
                        "prod") "</Tags><TargetGroupARNs><member>" ARN
                                "targetgroup/web/0123</member></TargetGroupARNs><AvailabilityZones>"
                                "<member>us-east-1a</member></AvailabilityZones>")
                    GROUP("web-2",
                          "<Tags>" TAG("team",
                                       "web") "</Tags><AvailabilityZones><member>a</member>"
                                              "<member>b</member></"
                                              "AvailabilityZones><TargetGroupARNs><member>" ARN
                                              "targetgroup/a/1</member><member>" ARN
                                              "targetgroup/b/2</member></TargetGroupARNs>")
                        GROUP("going",
                              "<Tags>" TAG("team", "web") "</Tags><Status>Delete in progress"
                                                          "</Status>")
                            GROUP("other", "<Tags>" TAG("team", "db") "</Tags>") GROUP("bare", ""),
                "<NextToken>more</NextToken>"),
            row, found, &token, &e),
        0);
    assert_string_equal(token, "more");
    mem_free(token);
    assert_int_equal(json_len(found), 2);
    m = json_at(found, 0);
    text = json_print_canonical(m);
    assert_string_equal(text, "{\"fields\":{\"target_group\":\"targetgroup/web/0123\",\"zone\":"
                              "\"us-east-1a\"},\"name\":\"web-1\",\"tag\":{\"env\":\"prod\","
                              "\"team\":\"web\"}}");
    mem_free(text);
    assert_int_equal(json_len(json_get(json_at(found, 1), "fields")),
                     0); /* which one is not known */
    assert_true(lister_find("asg")->calls[1].needed(found));

    /* The load balancer in front: an application one, and the only one. */
    assert_int_equal(
        page(1,
             BALANCERS("<member><TargetGroupArn>" ARN
                       "targetgroup/web/0123</TargetGroupArn><LoadBalancerArns><member>" ARN
                       "loadbalancer/app/front/4567</member></LoadBalancerArns></member>"
                       "<member><TargetGroupArn>" ARN "targetgroup/x/9</TargetGroupArn></member>"),
             row, found, &token, &e),
        0);
    assert_null(token);
    assert_string_equal(json_get_str(json_get(json_at(found, 0), "fields"), "alb", ""),
                        "app/front/4567");
    json_free(found);
    json_free(row);
}

static void no_whole_answer(void **state)
{
    static const struct {
        size_t call;
        const char *text, *why;
    } rows[] = {
        {0, "<DescribeAutoScalingGroupsResponse/>", "has no AutoScalingGroups"},
        {0, "<html><body/></html>", "has no AutoScalingGroups"},
        {0, GROUPS("<member><Tags/></member>", ""), "has no AutoScalingGroupName"},
        {0, BALANCERS(""), "has no AutoScalingGroups"},
        {1, GROUPS("", ""), "has no TargetGroups"},
        {1, BALANCERS("<member/>"), "has no TargetGroupArn"},
        {1, BALANCERS("<member><TargetGroupArn>web</TargetGroupArn></member>"),
         "has no TargetGroupArn"},
    };
    struct json *row = wanted(NULL, NULL);

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
        struct json *found = json_new_list();
        struct err e = ERR_INIT;
        char *token = NULL;

        assert_int_not_equal(page(rows[k].call, rows[k].text, row, found, &token, &e), 0);
        if (strstr(e.text, rows[k].why) == NULL)
            fail_msg("%s", e.text);
        assert_null(token);
        json_free(found);
    }
    json_free(row);
}

/* A network load balancer, several, and ARNs that are none name no application load balancer. */
static void no_balancer(void **state)
{
    static const char *const arns[] = {
        "<member>" ARN "loadbalancer/net/front/1</member>",
        "<member>" ARN "loadbalancer/app/a/1</member><member>" ARN "loadbalancer/app/b/2</member>",
        "<member>loadbalancer/app/a/1</member>",
        "<member>" ARN "loadbalancer/app/</member>",
        "<member/>",
        "",
    };
    struct json *row = wanted(NULL, NULL);

    (void)state;
    for (size_t k = 0; k < sizeof(arns) / sizeof(*arns); k++) {
        struct json *found = json_new_list(), *m = json_add(found, json_new_map());
        char *text = mem_printf(BALANCERS("<member><TargetGroupArn>" ARN
                                          "targetgroup/web/1</TargetGroupArn><LoadBalancerArns>%s"
                                          "</LoadBalancerArns></member>"),
                                arns[k]);
        struct err e = ERR_INIT;
        char *token;

        json_set_str(json_set(m, "fields", json_new_map()), "target_group", "targetgroup/web/1");
        assert_int_equal(page(1, text, row, found, &token, &e), 0);
        assert_null(json_get(json_get(m, "fields"), "alb"));
        mem_free(text);
        json_free(found);
    }
    json_free(row);
}

static void asks_by_tag(void **state)
{
    struct json *row = wanted("team", "web");
    struct aws_params *p = aws_params_new();

    (void)state;
    json_set_str(json_get_mut(row, "tag"), "env", "prod");
    lister_find("asg")->calls[0].ask(p, row);
    assert_string_equal(aws_params_get(p, "Filters.member.1.Name"), "tag:team");
    assert_string_equal(aws_params_get(p, "Filters.member.1.Values.member.1"), "web");
    assert_string_equal(aws_params_get(p, "Filters.member.2.Name"), "tag:env");
    assert_string_equal(aws_params_get(p, "MaxRecords"), "50");
    aws_params_free(p);
    json_free(row);
}

/* What the estate takes can be listed. */
static void every_kind_has_a_lister(void **state)
{
    size_t n = 0;

    (void)state;
    for (size_t k = 0; k < target_kinds_len; k++) {
        if (target_kinds[k].discover == NULL)
            continue;
        n++;
        assert_non_null(lister_find(target_kinds[k].name));
    }
    assert_true(n > 0);
    assert_null(lister_find("service"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_groups),
        cmocka_unit_test(no_whole_answer),
        cmocka_unit_test(no_balancer),
        cmocka_unit_test(asks_by_tag),
        cmocka_unit_test(every_kind_has_a_lister),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
