/* Numeric addresses, and who is a user of this host. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "base/address.h"
#include "base/user.h"
#include "check.h"

static void reads_addresses(void **state)
{
    static const struct {
        const char *text;
        int default_port, port; /* port 0: refused */
    } table[] = {
        {"127.0.0.1:9117", 0, 9117},
        {"0.0.0.0:1", 0, 1},
        {"[::1]:9117", 0, 9117},
        {"[2001:db8::53]:65535", 0, 65535},
        {"127.0.0.1", 53, 53},
        {"::1", 53, 53},
        {"[::1]", 53, 53},
        {"127.0.0.1:5353", 53, 5353},
        {"127.0.0.1", 0, 0},
        {"::1", 0, 0},
        {"127.0.0.1:0", 0, 0},
        {"127.0.0.1:65536", 0, 0},
        {"127.0.0.1:+1", 0, 0},
        {"127.0.0.1:1x", 0, 0},
        {"127.0.0.1:", 53, 0},
        {"127.1:80", 0, 0},
        {"[127.0.0.1]:80", 0, 0},
        {"[::1", 53, 0},
        {"[::1]9117", 0, 0},
        {"localhost:9117", 0, 0},
        {":9117", 0, 0},
        {"9117", 53, 0},
        {"nonsense", 0, 0},
        {"", 53, 0},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd", 53, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        struct sockaddr_storage a;
        socklen_t len = 0;
        int rc = address_parse(table[i].text, table[i].default_port, &a, &len);
        int port = rc                       ? 0
                   : a.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&a)->sin_port)
                                            : ntohs(((struct sockaddr_in6 *)&a)->sin6_port);

        if (port != table[i].port)
            fail_msg("%s: port %d, not %d", table[i].text, port, table[i].port);
    }
}

static void knows_users(void **state)
{
    char name[64];

    (void)state;
    user_name(0, name, sizeof(name));
    assert_string_equal(name, "root");
    user_name(3999999999u, name, sizeof(name));
    assert_string_equal(name, "uid:3999999999");
    assert_true(user_exists("root"));
    assert_true(user_exists("uid:3999999999"));
    assert_false(user_exists("uid:"));
    assert_false(user_exists("uid:x"));
    assert_false(user_exists("no-such-user"));
    assert_false(user_exists(""));
    assert_false(user_exists("tty"));
    assert_true(user_group_exists("tty"));
    assert_false(user_group_exists("no-such-group"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_addresses),
                                       cmocka_unit_test(knows_users)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
