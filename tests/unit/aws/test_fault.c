/* Errors in every shape that AWS sends, and in shapes that it does not. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "aws/fault.h"
#include "base/mem.h"

static struct aws_fault read_fault(enum aws_protocol p, const char *type, const char *body)
{
    struct aws_fault f;
    aws_fault_read(&f, p, type, NULL, body, body ? strlen(body) : 0);
    return f;
}

static void query_error(void **state)
{
    struct aws_fault f = read_fault(
        AWS_QUERY, NULL,
        "<ErrorResponse xmlns=\"http://autoscaling.amazonaws.com/doc/2011-01-01/\">\n  <Error>\n"
        "    <Type>Sender</Type>\n    <Code>ValidationError</Code>\n"
        "    <Message>New value 9 is above max value 8 for the group.</Message>\n  </Error>\n"
        "  <RequestId>id-1</RequestId>\n</ErrorResponse>\n");
    (void)state;
    assert_true(f.known);
    assert_string_equal(f.code, "ValidationError");
    assert_string_equal(f.message, "New value 9 is above max value 8 for the group.");
    assert_string_equal(f.request_id, "id-1");
}

static void ec2_error(void **state)
{
    struct aws_fault f =
        read_fault(AWS_EC2_QUERY, NULL,
                   "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error>"
                   "<Code>InvalidInstanceID.NotFound</Code><Message>gone</Message></Error></Errors>"
                   "<RequestID>id-2</RequestID></Response>");
    (void)state;
    assert_string_equal(f.code, "InvalidInstanceID.NotFound");
    assert_string_equal(f.request_id, "id-2");
}

static void json_errors(void **state)
{
    struct aws_fault f = read_fault(AWS_JSON, NULL,
                                    "{\"__type\":\"com.amazonaws.acm#ThrottlingException\","
                                    "\"message\":\"slow\"}");
    (void)state;
    assert_string_equal(f.code, "ThrottlingException");
    assert_string_equal(f.message, "slow");
    f = read_fault(AWS_JSON, "FromHeader:", "{\"__type\":\"\",\"Message\":\"no\"}");
    assert_string_equal(f.code, "FromHeader");
    f = read_fault(AWS_JSON, NULL, "{\"__type\":\"ResourceNotFoundException\",\"Message\":\"no\"}");
    assert_string_equal(f.code, "ResourceNotFoundException");
    assert_string_equal(f.message, "no");
    f = read_fault(AWS_JSON, "AccessDeniedException:http://internal.amazon.com/coral/x/", "{}");
    assert_string_equal(f.code, "AccessDeniedException");
    f = read_fault(AWS_JSON, "ns#Code:http://a#b", "");
    assert_string_equal(f.code, "Code");
    f = read_fault(AWS_JSON, NULL, "[]");
    assert_false(f.known);
}

static void strange_bodies(void **state)
{
    static const char *const bodies[] = {
        "<html><body><h1>502 Bad Gateway</h1></body></html>",
        "<ErrorResponse><Error><Code>Thrott",
        "<ErrorResponse/>",
        "<ErrorResponse><Error><Code/></Error></ErrorResponse>",
        "{\"__type\":\"x\"}",
        "",
        "   \n",
        "\x01\x02\x1b[31m",
        NULL,
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct aws_fault f = read_fault(AWS_QUERY, NULL, bodies[i]);
        assert_false(f.known);
        assert_string_equal(f.code, "");
        assert_true(*f.message);
        assert_null(strchr(f.message, '\x1b'));
        assert_null(strchr(f.message, '\n'));
    }
}

static void long_ones_are_cut(void **state)
{
    char *body = mem_alloc(100001), *p = body;
    struct aws_fault f;

    (void)state;
    p += sprintf(p, "<ErrorResponse><Error><Code>");
    memset(p, 'c', 500);
    p += 500;
    p += sprintf(p, "</Code><Message>");
    memset(p, 'm', 90000);
    p += 90000;
    sprintf(p, "</Message></Error></ErrorResponse>");
    f = read_fault(AWS_QUERY, NULL, body);
    assert_true(f.known);
    assert_int_equal(strlen(f.code), sizeof f.code - 1);
    assert_int_equal(strlen(f.message), sizeof f.message - 1);
    mem_free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_error),       cmocka_unit_test(ec2_error),
        cmocka_unit_test(json_errors),       cmocka_unit_test(strange_bodies),
        cmocka_unit_test(long_ones_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
