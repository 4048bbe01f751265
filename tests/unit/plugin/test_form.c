/* The forms of texts: what is let through and what is not, at the edges. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "plugin/form.h"

static void forms(void **state)
{
    static const struct {
        int (*check)(const char *text, struct err *e);
        const char *text, *why; /* why: in the error; NULL: it is good */
    } table[] = {
        {form_region, "us-east-1", NULL},
        {form_region, "us-gov-west-1", NULL},
        {form_region, "ap-southeast-10", NULL},
        {form_region, "us-iso-east-1", NULL},
        {form_region, "us-east-1a", "write \"us-east-1\""},
        {form_region, "us-east", "needs a region"},
        {form_region, "useast1", "needs a region"},
        {form_region, "US-EAST-1", "needs a region"},
        {form_region, "us-east-1ab", "needs a region"},
        {form_region, " us-east-1", "needs a region"},
        {form_region, "-east-1", "needs a region"},
        {form_region, "", "needs a region"},
        {form_role, "arn:aws:iam::123456789012:role/runbookd", NULL},
        {form_role, "arn:aws-cn:iam::123456789012:role/ops/runbookd", NULL},
        {form_role, "arn:aws:iam::12345678901:role/runbookd", "needs the ARN of a role"},
        {form_role, "arn:aws:iam::123456789012:user/runbookd", "needs the ARN of a role"},
        {form_role, "arn:aws:iam::123456789012:role/", "needs the ARN of a role"},
        {form_role, "arn:aws:iam", "needs the ARN of a role"},
        {form_role, "arn:aws", "needs the ARN of a role"},
        {form_group, "targetgroup/web/0123456789abcdef", NULL},
        {form_group, "targetgroup/web", "\"targetgroup/NAME/ID\""},
        {form_group, "targetgroup/web/", "\"targetgroup/NAME/ID\""},
        {form_group, "targetgroup/web/x_z", "\"targetgroup/NAME/ID\""},
        {form_group, "targetgroup//0123", "\"targetgroup/NAME/ID\""},
        {form_group, "app/web/0123", "\"targetgroup/NAME/ID\""},
        {form_group, "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/01",
         "write \"targetgroup/web/01\""},
        {form_group, "arn:aws:elasticloadbalancing:us-east-1", "\"targetgroup/NAME/ID\""},
        {form_balancer, "app/web/0123456789abcdef", NULL},
        {form_balancer, "net/web/0123456789abcdef", "\"app/NAME/ID\""},
        {form_balancer,
         "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/01",
         "write \"app/web/01\""},
        {form_queue, "https://sqs.us-east-1.amazonaws.com/123456789012/orders", NULL},
        {form_queue, "http://127.0.0.1:4566/123456789012/orders-dead_letters.fifo", NULL},
        {form_queue, "https://sqs.us-east-1.amazonaws.com/123456789012/", "an SQS queue"},
        {form_queue, "https://sqs.us-east-1.amazonaws.com/orders", "an SQS queue"},
        {form_queue, "https://sqs.us-east-1.amazonaws.com", "an SQS queue"},
        {form_queue, "https://sqs.us-east-1.amazonaws.com/123456789012/a/b", "an SQS queue"},
        {form_queue, "arn:aws:sqs:us-east-1:123456789012:orders", "an SQS queue"},
        {form_host, "db", NULL},
        {form_host, "db-1.example.internal.", NULL},
        {form_host, "10.1.2.3", NULL},
        {form_host, "::1", NULL},
        {form_host, "db:5432", "write \"db\", port = 5432"},
        {form_host, "[::1]:5432", "write \"::1\", port = 5432"},
        {form_host, "[::1]", "needs a host name"},
        {form_host, "postgres://db/x", "needs a host name"},
        {form_host, "a b", "needs a host name"},
        {form_host, "/run/postgresql", "needs a host name"},
        {form_host, "", "needs a host name"},
        {form_host_or_socket, "/run/postgresql", NULL},
        {form_host_or_socket, "run/postgresql", "needs a host name"},
        {form_node, "a:6379", NULL},
        {form_node, "[::1]:6379", NULL},
        {form_node, "::1:6379", "needs a host and a port"},
        {form_node, "a", "needs a host and a port"},
        {form_node, ":6379", "needs a host and a port"},
        {form_node, "a:0", "needs a host and a port"},
        {form_node, "a:65536", "needs a host and a port"},
        {form_node, "a:+1", "needs a host and a port"},
        {form_node, "[]:1", "needs a host and a port"},
        {form_node, "redis://a:6379", "needs a host and a port"},
        {form_snapshot, "a", NULL},
        {form_snapshot, "A-1-b", NULL},
        {form_snapshot, "runbookd-$run.id", NULL},
        {form_snapshot, "$target.name-$run.id", NULL},
        {form_snapshot, "", "has 1 to 255 characters"},
        {form_snapshot, "Bad_Name!--", "takes letters, digits and single hyphens"},
        {form_snapshot, "1a", "begins with a letter"},
        {form_snapshot, "-$run.id", "begins with a letter"},
        {form_snapshot, "a--$run.id", "holds no two hyphens in a row"},
        {form_snapshot, "$run.id-", "does not end with a hyphen"},
        {form_snapshot, "cost$5", "takes letters, digits and single hyphens"},
        {form_snapshot, "a\xc3\xa9", "takes letters, digits and single hyphens"},
        {form_client, "10.1.2.3", NULL},
        {form_client, "2001:db8::1", NULL},
        {form_client, "local", NULL},
        {form_client, "$target.tag.client", NULL},
        {form_client, "2001:DB8::1", "write \"2001:db8::1\""},
        {form_client, "10.0.0.0/8", "networks are not compared"},
        {form_client, "10.1.2", "needs one address"},
        {form_client, "app.example.com", "needs one address"},
        {form_client, "", "needs one address"},
        {form_select, "SELECT 1", NULL},
        {form_select, " with x as (select 1) select * from x;", NULL},
        {form_select, "((values (1)))", NULL},
        {form_select, "table public.orders", NULL},
        {form_select, "/* a /* b */ c */ -- d\n select 1", NULL},
        {form_select, "$param.query", NULL},
        {form_select, "DELETE FROM x", "got \"DELETE\""},
        {form_select, "/* select */ drop table x", "got \"drop\""},
        {form_select, "selected", "got \"selected\""},
        {form_select, "SHOW ssl", "got \"SHOW\""},
        {form_select, "-- only a comment", "got \"\""},
        {form_select, "/* never closed", "got \"\""},
        {form_select, "/*", "got \"\""},
        {form_select, "1", "got \"1\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct err e = ERR_INIT;
        int rc = table[i].check(table[i].text, &e);

        if (table[i].why == NULL ? rc != 0
                                 : rc != ERR_INPUT || strstr(e.text, table[i].why) == NULL)
            fail_msg("%zu: \"%s\": %d %s", i, table[i].text, rc, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
