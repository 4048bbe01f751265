/* The form encoding of parameters, and the choice of an endpoint. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "aws/query.h"
#include "aws/service.h"
#include "base/mem.h"

static void encoding(void **state)
{
    const char *names[] = {"a b", "c&d=e"};
    struct aws_params *p = aws_params_new();
    struct buf b;

    (void)state;
    aws_param_list(p, "AutoScalingGroupNames.member", names, 2);
    aws_param_int(p, "MaxRecords", 100);
    aws_param_bool(p, "HonorCooldown", false);
    aws_param_num(p, "Value", 0.1);
    aws_param_num(p, "Sixty", 60);
    aws_param_time(p, "StartTime", 1440938160000LL);
    aws_param(p, "Absent", NULL);
    aws_paramf(p, "\xc3\xa9~", "Filter.%d.Value.%d", 1, 2);
    aws_param_list(p, "Empty.member", NULL, 0);
    buf_init(&b, 4096);
    aws_params_encode(p, "DescribeAutoScalingGroups", "2011-01-01", &b);
    assert_string_equal(buf_str(&b),
                        "Action=DescribeAutoScalingGroups&Version=2011-01-01"
                        "&AutoScalingGroupNames.member.1=a%20b"
                        "&AutoScalingGroupNames.member.2=c%26d%3De&MaxRecords=100"
                        "&HonorCooldown=false&Value=0.1&Sixty=60"
                        "&StartTime=2015-08-30T12%3A36%3A00Z&Filter.1.Value.2=%C3%A9~");
    assert_string_equal(aws_params_get(p, "MaxRecords"), "100");
    assert_null(aws_params_get(p, "Nothing"));
    buf_free(&b);
    aws_params_free(p);

    buf_init(&b, 100);
    aws_params_encode(NULL, "GetCallerIdentity", "2011-06-15", &b);
    assert_string_equal(buf_str(&b), "Action=GetCallerIdentity&Version=2011-06-15");
    buf_free(&b);
}

static void too_many_are_marked(void **state)
{
    struct aws_params *p = aws_params_new();
    struct buf b;

    (void)state;
    for (int i = 0; i < 100005; i++)
        aws_param(p, "a", "b");
    buf_init(&b, 4 * 1024 * 1024);
    aws_params_encode(p, "X", "1", &b);
    assert_true(b.overflow);
    buf_free(&b);
    aws_params_free(p);
}

static void url_is(enum aws_service s, const char *region, const char *endpoint, const char *want)
{
    struct err e = ERR_INIT;
    char *url = aws_service_url(s, region, endpoint, &e);
    if (want)
        assert_string_equal(url, want);
    else
        assert_int_equal(e.code, ERR_INPUT);
    mem_free(url);
}

static void endpoints(void **state)
{
    (void)state;
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_AUTO_SCALING");
    url_is(AWS_AUTOSCALING, "eu-west-1", NULL, "https://autoscaling.eu-west-1.amazonaws.com");
    url_is(AWS_CLOUDWATCH, "cn-north-1", NULL, "https://monitoring.cn-north-1.amazonaws.com.cn");
    url_is(AWS_STS, "us-gov-west-1", NULL, "https://sts.us-gov-west-1.amazonaws.com");
    url_is(AWS_EC2, "us-iso-east-1", NULL, "https://ec2.us-iso-east-1.c2s.ic.gov");
    url_is(AWS_EC2, "us-isob-east-1", NULL, "https://ec2.us-isob-east-1.sc2s.sgov.gov");
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:8000/", 1);
    setenv("AWS_ENDPOINT_URL_AUTO_SCALING", "http://LocalHost:8001", 1);
    url_is(AWS_AUTOSCALING, "eu-west-1", NULL, "http://localhost:8001");
    url_is(AWS_RDS, "eu-west-1", NULL, "http://127.0.0.1:8000");
    url_is(AWS_RDS, "eu-west-1", "https://[::1]:4566", "https://[::1]:4566");
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_AUTO_SCALING");
    url_is(AWS_RDS, "eu-west-1", "https://example.com/path", NULL);
    url_is(AWS_RDS, "eu-west-1", "https://user@example.com", NULL);
    url_is(AWS_RDS, "eu-west-1", "example.com", NULL);
    url_is(AWS_RDS, "eu-west-1", "http://:80", NULL);
    url_is(AWS_RDS, "evil.com/", NULL, NULL);
    url_is(AWS_RDS, "", NULL, NULL);
    url_is(AWS_RDS, "US-EAST-1", NULL, NULL);
}

static void host_is(const char *url, const char *want)
{
    char *host = aws_url_host(url, NULL);
    assert_string_equal(host, want);
    mem_free(host);
}

static void hosts(void **state)
{
    (void)state;
    host_is("https://Example.com", "example.com");
    host_is("https://example.com:443/", "example.com");
    host_is("https://example.com:80", "example.com:80");
    host_is("http://example.com:80/x", "example.com");
    host_is("http://[::1]:8000/x", "[::1]:8000");
    assert_null(aws_url_host("http://", NULL));
    assert_null(aws_url_host("http://a:b/", NULL));
    assert_null(aws_url_host("http://[::1", NULL));
}

static void every_service_has_a_row(void **state)
{
    (void)state;
    for (int s = 0; s < AWS_SERVICES; s++) {
        const struct aws_service_row *r = aws_service_row((enum aws_service)s);
        assert_true(r->name && r->host && r->env && r->version);
        assert_int_equal(r->protocol == AWS_JSON, r->target && r->json_type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding),
        cmocka_unit_test(too_many_are_marked),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(hosts),
        cmocka_unit_test(every_service_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
