/* Corners of AWS's ini files, chains of roles, and what is said of their mistakes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "aws/fetch_parts.h"
#include "aws/profile.h"
#include "base/mem.h"

static struct aws_profiles *parse(const char *config, const char *credentials)
{
    struct err e = ERR_INIT;
    struct aws_profiles *p = aws_profiles_parse(config, "cfg", credentials, "crd", &e);
    if (!p)
        fail_msg("%s", e.text);
    return p;
}

static void refused(const char *config, const char *word)
{
    struct err e = ERR_INIT;
    assert_null(aws_profiles_parse(config, "cfg", NULL, "crd", &e));
    assert_int_equal(e.code, ERR_INPUT);
    if (!strstr(e.text, word))
        fail_msg("\"%s\" is not in: %s", word, e.text);
}

static void syntax(void **state)
{
    struct aws_profiles *p =
        parse("\xef\xbb\xbf# comment\n; another\n\n[default]\r\nREGION = eu-west-1\r\n"
              "s3 =\n  max = 1\nk: a = b\nempty =\nno_newline_at_end\t=  x # y",
              "[two words]\naws_access_key_id=A=B:C\n");
    (void)state;
    assert_string_equal(aws_profiles_get(p, "default", "region"), "eu-west-1");
    assert_string_equal(aws_profiles_get(p, "default", "k"), "a = b");
    assert_string_equal(aws_profiles_get(p, "default", "empty"), "");
    assert_string_equal(aws_profiles_get(p, "default", "no_newline_at_end"), "x # y");
    assert_string_equal(aws_profiles_get(p, "two words", "aws_access_key_id"), "A=B:C");
    assert_null(aws_profiles_get(p, "default", "max"));
    assert_false(aws_profiles_has(p, "nobody"));
    aws_profiles_free(p);

    p = parse("", NULL);
    assert_false(aws_profiles_has(p, "default"));
    aws_profiles_free(p);

    refused("key = value\n", "cfg:1");
    refused("[default]\njust words\n", "cfg:2");
    refused("[default\n", "cfg:1");
    refused("[]\n", "cfg:1");
    refused("[default]\na=1\n[default]\n", "twice");
    refused("[default]\na=1\nA=2\n", "cfg:3");
    refused("[default]\n= x\n", "cfg:2");
}

static void names_of_sections(void **state)
{
    struct aws_profiles *p = parse("[profile a]\nx=1\n[profile \"b c\"]\nx=2\n[other]\nx=3\n"
                                   "[sso-session d]\nx=4\n[profile e f]\nx=5\n[default]\nx=6\n"
                                   "[profile default]\ny=7\n",
                                   "[a]\ny=8\nx=9\n[profile z]\nx=10\n");
    (void)state;
    assert_string_equal(aws_profiles_get(p, "a", "x"), "9"); /* the credentials file wins */
    assert_string_equal(aws_profiles_get(p, "a", "y"), "8");
    assert_string_equal(aws_profiles_get(p, "b c", "x"), "2");
    assert_false(aws_profiles_has(p, "other"));
    assert_false(aws_profiles_has(p, "d"));
    assert_false(aws_profiles_has(p, "e"));
    assert_null(aws_profiles_get(p, "default", "x"));
    assert_string_equal(aws_profiles_get(p, "default", "y"), "7");
    assert_string_equal(aws_profiles_get(p, "profile z", "x"), "10");
    aws_profiles_free(p);
}

#define ROLE(n) "role_arn = arn:aws:iam::1:role/" n "\n"

static void plans(void **state)
{
    struct aws_profiles *p =
        parse("[profile deep]\n" ROLE(
                  "d") "source_profile = mid\nexternal_id = x\n"
                       "role_session_name = me\nduration_seconds = 900\n"
                       "[profile mid]\n" ROLE(
                           "m") "source_profile = base\n"
                                "[profile self]\n" ROLE(
                                    "s") "source_profile = self\n"
                                         "[profile inst]\n" ROLE(
                                             "i") "credential_source = Ec2InstanceMetadata\n"
                                                  "[profile web]\n" ROLE(
                                                      "w") "web_identity_token_file = "
                                                           "/t\nexternal_id = no\n"
                                                           "[profile region]\nregion = eu-west-1\n",
              "[base]\naws_access_key_id = AK\naws_secret_access_key = SK\n"
              "[self]\naws_access_key_id = AK2\naws_secret_access_key = SK2\n");
    struct aws_plan plan;

    (void)state;
    assert_int_equal(aws_profile_plan(p, "deep", &plan, NULL), 0);
    assert_int_equal(plan.base, AWS_BASE_KEYS);
    assert_string_equal(plan.access_key, "AK");
    assert_int_equal(plan.nroles, 2);
    assert_string_equal(plan.roles[0].arn, "arn:aws:iam::1:role/m");
    assert_string_equal(plan.roles[1].arn, "arn:aws:iam::1:role/d");
    assert_string_equal(plan.roles[1].external_id, "x");
    assert_string_equal(plan.roles[1].session_name, "me");
    assert_int_equal(plan.roles[1].duration_s, 900);
    aws_plan_clear(&plan);
    assert_int_equal(aws_profile_plan(p, "self", &plan, NULL), 0);
    assert_string_equal(plan.access_key, "AK2");
    assert_int_equal(plan.nroles, 1);
    aws_plan_clear(&plan);
    assert_int_equal(aws_profile_plan(p, "inst", &plan, NULL), 0);
    assert_int_equal(plan.base, AWS_BASE_INSTANCE);
    aws_plan_clear(&plan);
    assert_int_equal(aws_profile_plan(p, "web", &plan, NULL), 0);
    assert_int_equal(plan.base, AWS_BASE_WEB_IDENTITY);
    assert_null(plan.roles[0].external_id);
    aws_plan_clear(&plan);
    assert_int_equal(aws_profile_plan(p, "region", &plan, NULL), 0);
    assert_int_equal(plan.base, AWS_BASE_NONE);
    aws_plan_clear(&plan);
    assert_int_equal(aws_profile_plan(p, "nobody", &plan, NULL), ERR_NOT_FOUND);
    aws_profiles_free(p);
}

static void no_plan(const char *profile_a, const char *word)
{
    char *config = mem_printf("[profile a]\n%s\n[profile empty]\nregion = x\n[profile b]\n" ROLE(
                                  "b") "source_profile = a\n",
                              profile_a);
    struct aws_profiles *p = parse(config, NULL);
    struct aws_plan plan;
    struct err e = ERR_INIT;

    assert_int_equal(aws_profile_plan(p, "a", &plan, &e), ERR_INPUT);
    if (!strstr(e.text, word))
        fail_msg("\"%s\" is not in: %s", word, e.text);
    aws_profiles_free(p);
    mem_free(config);
}

static void mistakes(void **state)
{
    (void)state;
    no_plan(ROLE("a"), "neither");
    no_plan(ROLE("a") "source_profile = b\ncredential_source = Environment", "both");
    no_plan(ROLE("a") "source_profile = b", "circle");
    no_plan(ROLE("a") "source_profile = a", "circle");
    no_plan(ROLE("a") "source_profile = gone", "does not exist");
    no_plan(ROLE("a") "source_profile = empty", "has no credentials");
    no_plan(ROLE("a") "credential_source = Moon", "Environment, EcsContainer");
    no_plan(ROLE("a") "credential_source = Environment\nduration_seconds = 1h", "900 to 43200");
    no_plan(ROLE("a") "source_profile = b\nmfa_serial = x", "mfa_serial");
    no_plan("aws_access_key_id = x", "together");
    no_plan("web_identity_token_file = /x", "role_arn");
    no_plan("sso_start_url = https://x", "SSO");
}

static void words(void **state)
{
    char **w = aws_words("  /bin/x 'a b'\t\"c \\\" \\d\" e\\ f '' g");
    const char *want[] = {"/bin/x", "a b", "c \" \\d", "e f", "", "g", NULL};

    (void)state;
    for (size_t i = 0; want[i]; i++)
        assert_string_equal(w[i], want[i]);
    assert_null(w[6]);
    aws_words_free(w);
    assert_null(aws_words("a 'b"));
    w = aws_words("");
    assert_null(w[0]);
    aws_words_free(w);
}

static void url_is(const char *relative, const char *full, const char *want, int code)
{
    struct err e = ERR_INIT;
    char *url = aws_container_url(relative, full, &e);
    if (want)
        assert_string_equal(url, want);
    else
        assert_null(url);
    assert_int_equal(e.code, code);
    mem_free(url);
}

static void container_urls(void **state)
{
    (void)state;
    url_is(NULL, NULL, NULL, 0);
    url_is("/v2/x", "https://a/", "http://169.254.170.2/v2/x", 0);
    url_is("@evil.com/", NULL, NULL, ERR_INPUT);
    url_is(NULL, "https://example.com/x", "https://example.com/x", 0);
    url_is(NULL, "http://127.0.0.1:81/x", "http://127.0.0.1:81/x", 0);
    url_is(NULL, "http://127.9.9.9/x", "http://127.9.9.9/x", 0);
    url_is(NULL, "http://localhost:81/x", "http://localhost:81/x", 0);
    url_is(NULL, "http://[::1]:81/x", "http://[::1]:81/x", 0);
    url_is(NULL, "http://169.254.170.23/v1/x", "http://169.254.170.23/v1/x", 0);
    url_is(NULL, "http://[fd00:ec2::23]/v1/x", "http://[fd00:ec2::23]/v1/x", 0);
    url_is(NULL, "http://example.com/x", NULL, ERR_DENIED);
    url_is(NULL, "http://127.0.0.1.example.com/x", NULL, ERR_DENIED);
    url_is(NULL, "http://localhost@example.com/x", NULL, ERR_INPUT);
    url_is(NULL, "http://169.254.169.254/x", NULL, ERR_DENIED);
    url_is(NULL, "ftp://127.0.0.1/x", NULL, ERR_INPUT);
}

static void files(void **state)
{
    char dir[] = "/tmp/aws-profile-XXXXXX", path[64];
    struct aws_profiles *p;
    struct err e = ERR_INIT;
    char *text;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/credentials", dir);
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
    p = aws_profiles_load(&e);
    assert_non_null(p); /* files that are not there are empty */
    aws_profiles_free(p);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    p = aws_profiles_load(&e);
    assert_non_null(p);
    aws_profiles_free(p);
    f = fopen(path, "w");
    fputs(" \n token \n", f);
    fclose(f);
    text = aws_token_read(path, &e);
    assert_string_equal(text, "token");
    mem_free(text);
    assert_null(aws_profiles_load(&e)); /* and one with rubbish is named */
    assert_non_null(strstr(e.text, path));
    unlink(path);
    assert_null(aws_token_read(path, &e));
    mkdir(path, 0700);
    assert_null(aws_profiles_load(&e));
    assert_null(aws_token_read(path, &e));
    rmdir(path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(syntax), cmocka_unit_test(names_of_sections),
        cmocka_unit_test(plans),  cmocka_unit_test(mistakes),
        cmocka_unit_test(words),  cmocka_unit_test(container_urls),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
