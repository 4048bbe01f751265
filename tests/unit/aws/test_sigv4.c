/* Signatures of AWS's published SigV4 test suite, and the shape of an RDS token. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "aws/sigv4.h"
#include "base/mem.h"

#define WALL_MS 1440938160000LL /* 20150830T123600Z, the suite's */
static const struct aws_keys suite = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                      NULL};

struct suite_case {
    const char *name, *method, *path, *query;
    struct sigv4_header headers[4];
    size_t nheaders;
    const char *body, *token, *signature;
};

static const struct suite_case cases[] = {
    {"get-vanilla",
     "GET",
     "/",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"empty path",
     "GET",
     NULL,
     "",
     {{0}},
     0,
     NULL,
     NULL,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-relative",
     "GET",
     "/example/..",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-dot-slash",
     "GET",
     "/./",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slashes",
     "GET",
     "//example//",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-slash-pointless-dot",
     "GET",
     "/./example",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"get-space",
     "GET",
     "/example space/",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
    {"get-unreserved",
     "GET",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8",
     "GET",
     "/\xe1\x88\xb4",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "/",
     "Param2=value2&Param1=value1",
     {{0}},
     0,
     NULL,
     NULL,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-empty-query-key",
     "GET",
     "/",
     "Param1=value1",
     {{0}},
     0,
     NULL,
     NULL,
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-utf8-query",
     "GET",
     "/",
     "\xe1\x88\xb4=bar",
     {{0}},
     0,
     NULL,
     NULL,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-header-value-trim",
     "GET",
     "/",
     NULL,
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     2,
     NULL,
     NULL,
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"get-header-key-duplicate",
     "GET",
     "/",
     NULL,
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     3,
     NULL,
     NULL,
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-multiline",
     "GET",
     "/",
     NULL,
     {{"My-Header1", "value1\n  value2\n     value3"}},
     1,
     NULL,
     NULL,
     "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"},
    {"get-header-value-order",
     "GET",
     "/",
     NULL,
     {{"My-Header1", "value4"},
      {"My-Header1", "value1"},
      {"My-Header1", "value3"},
      {"My-Header1", "value2"}},
     4,
     NULL,
     NULL,
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-vanilla-query-order-key",
     "GET",
     "/",
     "Param1=value2&Param1=Value1",
     {{0}},
     0,
     NULL,
     NULL,
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {"get-vanilla-query-order-value",
     "GET",
     "/",
     "Param1=value2&Param1=value1",
     {{0}},
     0,
     NULL,
     NULL,
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved",
     "GET",
     "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~"
     "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {{0}},
     0,
     NULL,
     NULL,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-relative-relative",
     "GET",
     "/example1/example2/../..",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-header-key-sort",
     "POST",
     "/",
     NULL,
     {{"My-Header1", "value1"}},
     1,
     NULL,
     NULL,
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post-header-value-case",
     "POST",
     "/",
     NULL,
     {{"My-Header1", "VALUE1"}},
     1,
     NULL,
     NULL,
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-vanilla-query",
     "POST",
     "/",
     "Param1=value1",
     {{0}},
     0,
     NULL,
     NULL,
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post-x-www-form-urlencoded-parameters",
     "POST",
     "/",
     NULL,
     {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}},
     1,
     "Param1=value1",
     NULL,
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
    {"post-vanilla",
     "POST",
     "/",
     NULL,
     {{0}},
     0,
     NULL,
     NULL,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post-x-www-form-urlencoded",
     "POST",
     "/",
     NULL,
     {{"Content-Type", "application/x-www-form-urlencoded"}},
     1,
     "Param1=value1",
     NULL,
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-sts-header-before",
     "POST",
     "/",
     NULL,
     {{0}},
     0,
     NULL,
     "AQoDYXdzEPT//////////"
     "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYR"
     "qTflfKD8YUuwthAx7mSEI/qkPpKPi/"
     "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp"
     "75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
     "scqKmlzm8FDrypNC9Yjc8fPOLn"
     "9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static void suite_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct suite_case *c = &cases[i];
        struct aws_keys k = suite;
        struct sigv4_request r = {.method = c->method,
                                  .host = "Example.amazonaws.com",
                                  .path = c->path,
                                  .query = c->query,
                                  .headers = c->headers,
                                  .nheaders = c->nheaders,
                                  .body = c->body,
                                  .body_len = c->body ? strlen(c->body) : 0,
                                  .service = "service",
                                  .region = "us-east-1"};
        struct buf b;
        struct err e = ERR_INIT;
        char date[SIGV4_DATE];

        k.token = c->token;
        buf_init(&b, 4096);
        assert_int_equal(sigv4_sign(&r, &k, WALL_MS, date, &b, &e), 0);
        assert_string_equal(date, "20150830T123600Z");
        if (!strstr(buf_str(&b), c->signature))
            fail_msg("%s: %s", c->name, buf_str(&b));
        buf_free(&b);
    }
}

static void the_header_names_what_is_signed(void **state)
{
    struct aws_keys k = {"AK", "SK", "token"};
    struct sigv4_header h[] = {
        {"User-Agent", "x"}, {"X-B", "1"}, {"Content-Type", "t"}, {"Expect", "y"}, {"x-b", "2"}};
    struct sigv4_request r = {.method = "POST",
                              .host = "h:8000",
                              .headers = h,
                              .nheaders = 5,
                              .service = "sts",
                              .region = "us-east-1"};
    struct buf b;
    char date[SIGV4_DATE];

    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(sigv4_sign(&r, &k, WALL_MS, date, &b, NULL), 0);
    assert_non_null(strstr(buf_str(&b), "Credential=AK/20150830/us-east-1/sts/aws4_request, "));
    assert_non_null(strstr(
        buf_str(&b), "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-b, "));
    buf_free(&b);
}

static void too_large_is_refused(void **state)
{
    size_t len = 2 * 1024 * 1024;
    char *query = mem_alloc(len + 1), date[SIGV4_DATE];
    struct sigv4_request r = {
        .method = "GET", .host = "h", .query = query, .service = "s", .region = "r"};
    struct err e = ERR_INIT;
    struct buf b;

    (void)state;
    memset(query, 'a', len);
    buf_init(&b, 4096);
    assert_int_equal(sigv4_sign(&r, &suite, WALL_MS, date, &b, &e), ERR_LIMIT);
    assert_int_equal(b.len, 0);
    assert_int_equal(sigv4_presign(&r, &suite, WALL_MS, 60, &b, &e), ERR_LIMIT);
    buf_free(&b);
    mem_free(query);
}

static void rds_token(void **state)
{
    char *t =
        aws_rds_token("db.example.com", 5432, "run book@d", "eu-west-1", &suite, WALL_MS, NULL);

    (void)state;
    assert_non_null(t);
    assert_int_equal(strncmp(t, "db.example.com:5432/?Action=connect&DBUser=run%20book%40d&", 58),
                     0);
    assert_non_null(strstr(t, "&X-Amz-Expires=900&"));
    assert_non_null(strstr(t, "&X-Amz-SignedHeaders=host&"));
    assert_non_null(strstr(t, "%2Feu-west-1%2Frds-db%2Faws4_request&"));
    assert_null(strstr(t, "http"));
    mem_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suite_signatures),
        cmocka_unit_test(the_header_names_what_is_signed),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(rds_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
