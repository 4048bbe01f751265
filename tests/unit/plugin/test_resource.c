/* What acts write: two targets may stand for one thing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/action.h"

static const char *const targets[][3] = {
    {"aws", "prod", "{\"region\":\"eu-west-1\"}"},
    {"aws", "prod-too", "{\"region\":\"eu-west-1\"}"},
    {"aws", "other", "{\"region\":\"eu-west-1\",\"profile\":\"other\"}"},
    {"aws", "role", "{\"region\":\"eu-west-1\",\"role\":\"arn:aws:iam::111122223333:role/a/b\"}"},
    {"aws", "role-too", "{\"region\":\"eu-west-1\",\"role\":\"arn:aws:iam::111122223333:role/c\"}"},
    {"proxy", "px", "{\"aws\":\"prod\"}"},
    {"postgres", "db", "{\"host\":\"h\",\"port\":5432,\"proxy\":\"px\",\"aws\":\"prod\"}"},
    {"postgres", "db2", "{\"host\":\"h\",\"port\":5432,\"proxy\":\"gone\"}"},
    {"cache", "a", "{\"aws\":\"prod\",\"replication_group\":\"rg\"}"},
    {"cache", "b", "{\"aws\":\"prod-too\",\"replication_group\":\"rg\"}"},
    {"cache", "c", "{\"aws\":\"other\",\"replication_group\":\"rg\"}"},
    {"cache", "d", "{\"aws\":\"role\",\"replication_group\":\"rg\"}"},
    {"cache", "e", "{\"aws\":\"role-too\",\"replication_group\":\"rg\"}"},
    {"cache", "f", "{\"replication_group\":\"rg\"}"},
    {"cache", "g", "{\"aws\":\"prod\"}"},
};

static void by_what_the_target_names(void **state)
{
    static const struct {
        const char *writes, *target, *want;
    } cases[] = {
        {NULL, "postgres/db", "postgres/db"},
        {"", "postgres/db", "postgres/db"},
        {"proxy", "postgres/db", "proxy/px"},
        {"proxy", "proxy/px", "proxy/px"},
        {"proxy", "postgres/db2", "postgres/db2"}, /* its proxy is not declared */
        {"host port", "postgres/db", "h 5432"},
        {"host port", "postgres/db2", "h 5432"},
        {"aws replication_group", "cache/a", "eu-west-1 rg"},
        {"aws replication_group", "cache/b", "eu-west-1 rg"},
        {"aws replication_group", "cache/c", "eu-west-1/other rg"},
        {"aws replication_group", "cache/d", "eu-west-1/111122223333 rg"},
        {"aws replication_group", "cache/e", "eu-west-1/111122223333 rg"},
        {"aws replication_group", "cache/f", "rg"},
        {"aws replication_group", "cache/g", "cache/g"}, /* an account alone is nothing */
    };
    struct estate *e = estate_new();
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
        assert_int_equal(estate_add(e, targets[i][0], targets[i][1], NULL,
                                    json_parse(targets[i][2], strlen(targets[i][2]), 4096, NULL),
                                    MODE_ENFORCE, NULL, 0, &err),
                         0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct action_type type = {.writes = cases[i].writes};
        char *got = action_resource(&type, estate_by_id(e, cases[i].target), e);

        assert_string_equal(got, cases[i].want);
        mem_free(got);
    }
    estate_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_what_the_target_names)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
