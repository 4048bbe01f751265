/* Keys from every source, and how they are kept fresh. */
#include "help_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "aws/credentials.h"
#include "base/mem.h"
#include "base/units.h"

#define SAID(status, body)                                                                         \
    {                                                                                              \
        SAY, status, NULL, body, NULL, NULL                                                        \
    }
#define KEYS(id, end)                                                                              \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"secret-" id            \
    "\",\"Token\":\"token-" id "\",\"Expiration\":\"" end "\"}"
#define FUTURE "2099-01-01T00:00:00Z"
#define ASSUMED(action, id)                                                                        \
    "<" action "Response><" action "Result><Credentials><AccessKeyId>" id                          \
    "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t-" id                        \
    "</SessionToken><Expiration>" FUTURE "</Expiration></Credentials></" action "Result></" action \
    "Response>"
#define SCRIPT(s) (s), sizeof(s) / sizeof *(s)

struct got {
    int count;
    bool ok;
    char id[64], secret[64], token[64];
    struct err err;
};

static void on_keys(void *arg, const struct aws_keys *k, const struct err *e)
{
    struct got *g = arg;
    g->count++;
    g->ok = k != NULL;
    assert_int_equal(k == NULL, e != NULL);
    if (k) {
        snprintf(g->id, sizeof g->id, "%s", k->access_key);
        snprintf(g->secret, sizeof g->secret, "%s", k->secret_key);
        snprintf(g->token, sizeof g->token, "%s", k->token ? k->token : "");
    } else if (e) {
        g->err = *e;
    }
}

static struct aws_provider *provider(struct world *w, const char *profile, const char *role)
{
    struct err e = ERR_INIT;
    struct aws_provider *p =
        aws_provider_new(&(struct aws_provider_options){.loop = w->loop,
                                                        .http = w->http,
                                                        .profile = profile,
                                                        .role = role,
                                                        .external_id = role ? "ext" : NULL,
                                                        .region = "us-east-1"},
                         &e);
    if (!p)
        fail_msg("%s", e.text);
    return p;
}

static struct got get(struct world *w, struct aws_provider *p)
{
    struct got g = {0};
    aws_credentials_get(p, on_keys, &g);
    assert_int_equal(g.count, 0); /* never from inside */
    world_run(w, &g.count, 1, 5000);
    return g;
}

/* A folder for one test's files, which the variables point to. */
struct files {
    char dir[32], config[64], credentials[64], token[64];
};

static void files_open(struct files *f, const char *config, const char *credentials)
{
    strcpy(f->dir, "/tmp/aws-cred-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->config, sizeof f->config, "%s/config", f->dir);
    snprintf(f->credentials, sizeof f->credentials, "%s/credentials", f->dir);
    snprintf(f->token, sizeof f->token, "%s/token", f->dir);
    write_file(f->config, config);
    write_file(f->credentials, credentials);
    write_file(f->token, "token-of-the-file\n");
    setenv("AWS_CONFIG_FILE", f->config, 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", f->credentials, 1);
}

static void files_close(struct files *f)
{
    unlink(f->config);
    unlink(f->credentials);
    unlink(f->token);
    rmdir(f->dir);
    clear_environment();
}

static void instance_metadata(void **state)
{
    static const struct line script[] = {SAID(200, "imds-token"), SAID(200, "web-role"),
                                         SAID(200, KEYS("AKI", FUTURE))};
    struct server s;
    struct world w;
    struct aws_provider *p;
    struct got g[3] = {{0}};
    int count = 0;

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.url, 1);
    p = provider(&w, NULL, NULL);
    assert_string_equal(aws_provider_source(p), "none yet");
    for (int i = 0; i < 3; i++) /* one fetch serves all */
        aws_credentials_get(p, on_keys, &g[i]);
    aws_credentials_cancel(aws_credentials_get(p, on_keys, &count));
    world_run(&w, &g[2].count, 1, 5000);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(g[i].id, "AKI");
        assert_string_equal(g[i].token, "token-AKI");
    }
    assert_int_equal(s.requests, 3);
    assert_true(server_saw(&s, 0, "PUT /latest/api/token HTTP"));
    assert_true(server_saw(&s, 0, "X-aws-ec2-metadata-token-ttl-seconds: 21600"));
    assert_true(server_saw(&s, 1, "GET /latest/meta-data/iam/security-credentials/ HTTP"));
    assert_true(server_saw(&s, 1, "X-aws-ec2-metadata-token: imds-token"));
    assert_true(server_saw(&s, 2, "GET /latest/meta-data/iam/security-credentials/web-role HTTP"));
    assert_string_equal(aws_provider_source(p), "the instance's role web-role");
    get(&w, p);
    assert_int_equal(s.requests, 3); /* kept */
    aws_provider_free(p);
    server_stop(&s);
    world_close(&w);
    clear_environment();
}

/* What may go wrong at the instance: each is an error that says what to do, and no old protocol. */
static void instance_metadata_fails(void **state)
{
    static const struct {
        struct line script[3];
        int n, requests;
        const char *word;
    } cases[] = {
        {{SAID(403, "")}, 1, 1, "IMDSv2"},
        {{SAID(200, "tok"), SAID(404, "")}, 2, 2, "HTTP 404"},
        {{SAID(200, "tok"), SAID(200, "<html>no</html>")}, 2, 2, "names no role"},
        {{SAID(200, "tok"), SAID(200, "r"), SAID(200, "{")}, 3, 3, "not JSON"},
        {{SAID(200, "tok"), SAID(200, "r"),
          SAID(200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"no trust\"}")},
         3,
         3,
         "no trust"},
        {{SAID(200, "tok"), SAID(200, "r"), SAID(200, KEYS("AKOLD", "2001-01-01T00:00:00Z"))},
         3,
         3,
         "ended at 2001-01-01"},
        {{SAID(200, "tok"), SAID(200, "r"), SAID(200, KEYS("AKBAD", "soon"))}, 3, 3, "soon"},
    };
    struct world w;

    (void)state;
    unsetenv("AWS_EC2_METADATA_DISABLED");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct server s;
        struct aws_provider *p;
        struct got g;
        world_open(&w);
        server_start(&s, cases[i].script, (size_t)cases[i].n);
        setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.url, 1);
        p = provider(&w, NULL, NULL);
        g = get(&w, p);
        if (g.ok || !strstr(g.err.text, cases[i].word) || s.requests != cases[i].requests)
            fail_msg("%zu: %d requests: %s", i, s.requests, g.err.text);
        aws_provider_free(p);
        server_stop(&s);
        world_close(&w);
    }
    clear_environment();
}

static void container(void **state)
{
    static const struct line script[] = {SAID(500, ""), SAID(200, KEYS("AK1", FUTURE)),
                                         SAID(200, KEYS("AK2", FUTURE))};
    struct files f;
    struct server s;
    struct world w;
    struct aws_provider *p;
    char url[96];

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    files_open(&f, "", "");
    snprintf(url, sizeof url, "%s/v1/keys", s.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", f.token, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this one", 1);
    p = provider(&w, NULL, NULL);
    assert_string_equal(get(&w, p).id, "AK1");
    assert_true(server_saw(&s, 1, "GET /v1/keys HTTP"));
    assert_true(server_saw(&s, 1, "\r\nAuthorization: token-of-the-file\r\n"));
    write_file(f.token, "rotated"); /* read again at each refresh */
    aws_credentials_reject(p, "SOMEONE-ELSES");
    assert_string_equal(get(&w, p).id, "AK1");
    aws_credentials_reject(p, "AK1");
    assert_string_equal(get(&w, p).id, "AK2");
    assert_true(server_saw(&s, 2, "\r\nAuthorization: rotated\r\n"));
    aws_provider_free(p);

    write_file(f.token, "two\nlines");
    p = provider(&w, NULL, NULL);
    assert_non_null(strstr(get(&w, p).err.text, "line break"));
    aws_provider_free(p);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x", 1);
    p = provider(&w, NULL, NULL);
    assert_non_null(strstr(get(&w, p).err.text, "loopback"));
    aws_provider_free(p);
    assert_int_equal(s.requests, 3);
    server_stop(&s);
    world_close(&w);
    files_close(&f);
}

/* Two roles of profiles and one on top, each signed by the keys before it. */
static void roles(void **state)
{
    static const struct line script[] = {SAID(200, ASSUMED("AssumeRole", "AKMID")),
                                         SAID(200, ASSUMED("AssumeRole", "AKDEEP")),
                                         SAID(200, ASSUMED("AssumeRole", "AKTOP"))};
    struct files f;
    struct server s;
    struct world w;
    struct aws_provider *p;
    struct got g;

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    files_open(&f,
               "[profile deep]\nrole_arn = arn:aws:iam::1:role/deep\nsource_profile = mid\n"
               "external_id = x y\nrole_session_name = me\nduration_seconds = 900\n"
               "[profile mid]\nrole_arn = arn:aws:iam::1:role/mid\nsource_profile = base\n",
               "[base]\naws_access_key_id = AKBASE\naws_secret_access_key = SK\n");
    setenv("AWS_ENDPOINT_URL_STS", s.url, 1);
    setenv("AWS_PROFILE", "deep", 1);
    p = provider(&w, NULL, "arn:aws:iam::2:role/top");
    g = get(&w, p);
    assert_string_equal(g.id, "AKTOP");
    assert_string_equal(g.token, "t-AKTOP");
    assert_true(server_saw(&s, 0, "Credential=AKBASE/"));
    assert_true(
        server_saw(&s, 0, "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fmid&RoleSessionName=runbookd"));
    assert_true(server_saw(&s, 1, "Credential=AKMID/"));
    assert_true(server_saw(&s, 1, "RoleSessionName=me&ExternalId=x%20y&DurationSeconds=900"));
    assert_true(server_saw(&s, 2, "Credential=AKDEEP/"));
    assert_true(server_saw(&s, 2, "role%2Ftop&RoleSessionName=runbookd&ExternalId=ext"));
    assert_non_null(strstr(aws_provider_source(p), "profile \"deep\""));
    assert_non_null(strstr(aws_provider_source(p), "role arn:aws:iam::2:role/top"));
    aws_provider_free(p);
    server_stop(&s);
    world_close(&w);
    files_close(&f);
}

static void a_role_that_is_refused(void **state)
{
    static const struct line script[] = {SAID(
        403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized to perform: "
             "sts:AssumeRole</Message></Error></ErrorResponse>")};
    struct server s;
    struct world w;
    struct aws_provider *p;
    struct got g;

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
    setenv("AWS_ENDPOINT_URL", s.url, 1);
    p = provider(&w, NULL, "arn:aws:iam::2:role/top");
    g = get(&w, p);
    assert_false(g.ok);
    assert_int_equal(g.err.code, ERR_AUTH);
    assert_non_null(strstr(g.err.text, "role arn:aws:iam::2:role/top"));
    assert_non_null(strstr(g.err.text, "sts:AssumeRole"));
    aws_provider_free(p);
    server_stop(&s);
    world_close(&w);
    clear_environment();
}

static void web_identity(void **state)
{
    static const struct line script[] = {SAID(200, ASSUMED("AssumeRoleWithWebIdentity", "AKWEB"))};
    struct files f;
    struct server s;
    struct world w;
    struct aws_provider *p;

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    files_open(&f, "", "");
    setenv("AWS_ENDPOINT_URL", s.url, 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f.token, 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod", 1);
    setenv("AWS_ROLE_SESSION_NAME", "pod-7", 1);
    p = provider(&w, NULL, NULL);
    assert_string_equal(get(&w, p).id, "AKWEB");
    assert_true(server_saw(&s, 0, "Action=AssumeRoleWithWebIdentity"));
    assert_true(server_saw(&s, 0, "RoleSessionName=pod-7&WebIdentityToken=token-of-the-file"));
    assert_false(server_saw(&s, 0, "Authorization"));
    aws_provider_free(p);
    server_stop(&s);
    world_close(&w);
    files_close(&f);
}

/* The order: environment, profile, web identity, container. A profile that is asked for by name is
 * never replaced by what else lies about. */
static void order(void **state)
{
    struct files f;
    struct world w;
    struct aws_provider *p;
    struct got g;

    (void)state;
    world_open(&w);
    files_open(&f, "[profile named]\nregion = eu-west-1\n",
               "[default]\naws_access_key_id = AKDEFAULT\naws_secret_access_key = SK\n"
               "[other]\naws_access_key_id = AKOTHER\naws_secret_access_key = SK\n");
    setenv("AWS_ACCESS_KEY_ID", "AKENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", f.token, 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod", 1);
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x", 1);

    p = provider(&w, NULL, NULL);
    assert_string_equal(get(&w, p).id, "AKENV");
    aws_provider_free(p);

    p = provider(&w, "other", NULL);
    assert_string_equal(get(&w, p).id, "AKOTHER");
    aws_provider_free(p);

    p = provider(&w, "named", NULL);
    g = get(&w, p);
    assert_false(g.ok);
    assert_non_null(strstr(g.err.text, "says nothing of credentials"));
    aws_provider_free(p);

    p = provider(&w, "nobody", NULL);
    assert_int_equal(get(&w, p).err.code, ERR_NOT_FOUND);
    aws_provider_free(p);

    unsetenv("AWS_SECRET_ACCESS_KEY");
    p = provider(&w, NULL, NULL);
    g = get(&w, p);
    assert_false(g.ok);
    assert_non_null(strstr(g.err.text, "AWS_SECRET_ACCESS_KEY"));
    aws_provider_free(p);

    unsetenv("AWS_ACCESS_KEY_ID");
    p = provider(&w, NULL, NULL);
    assert_string_equal(get(&w, p).id, "AKDEFAULT");
    aws_provider_free(p);
    world_close(&w);
    files_close(&f);
}

static void process(void **state)
{
    struct files f;
    struct world w;
    struct aws_provider *p;
    struct got g;
    char config[512];

    (void)state;
    world_open(&w);
    files_open(&f, "", "");
    snprintf(config, sizeof config,
             "[profile p]\ncredential_process = cat \"%s\"\n[profile fails]\n"
             "credential_process = sh -c 'echo the vault is sealed >&2; exit 3'\n"
             "[profile none]\ncredential_process = /nonexistent/program\n",
             f.token);
    write_file(f.config, config);
    write_file(f.token, "{\"Version\":1,\"AccessKeyId\":\"AKP\",\"SecretAccessKey\":\"S K\"}");
    p = provider(&w, "p", NULL);
    assert_string_equal(get(&w, p).id, "AKP");
    aws_provider_free(p);
    write_file(f.token, "{\"Version\":2,\"AccessKeyId\":\"AKP\",\"SecretAccessKey\":\"S K\"}");
    p = provider(&w, "p", NULL);
    assert_non_null(strstr(get(&w, p).err.text, "Version"));
    aws_provider_free(p);
    /* An end that cannot be read must not pass for none; null is none. */
    write_file(f.token, "{\"Version\":1,\"AccessKeyId\":\"AKP\",\"SecretAccessKey\":\"S K\","
                        "\"Expiration\":4102444800}");
    p = provider(&w, "p", NULL);
    assert_non_null(strstr(get(&w, p).err.text, "its Expiration is \"of another type\""));
    aws_provider_free(p);
    write_file(f.token, "{\"Version\":1,\"AccessKeyId\":\"AKQ\",\"SecretAccessKey\":\"S K\","
                        "\"Expiration\":null}");
    p = provider(&w, "p", NULL);
    assert_string_equal(get(&w, p).id, "AKQ");
    aws_provider_free(p);
    p = provider(&w, "fails", NULL);
    g = get(&w, p);
    assert_non_null(strstr(g.err.text, "exit code 3: the vault is sealed"));
    aws_provider_free(p);
    p = provider(&w, "none", NULL);
    assert_false(get(&w, p).ok);
    aws_provider_free(p);
    world_close(&w);
    files_close(&f);
}

static char short_lived[512];

static void make_short_lived(struct world *w, int64_t ms)
{
    char end[32];
    time_format_iso_ms(end, sizeof end, loop_wall_ms(w->loop) + ms);
    snprintf(
        short_lived, sizeof short_lived,
        "{\"AccessKeyId\":\"AKSHORT\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":"
        "\"%s\"}",
        end);
}

static void wait_for_requests(struct world *w, struct server *s, int n)
{
    for (int i = 0; i < 200 && s->requests < n; i++)
        world_wait(w, 25);
    assert_int_equal(s->requests, n);
}

/* Keys of 2 s are fetched again 0.5 s before their end, with nobody asking. */
static void refreshed_in_the_background(void **state)
{
    static const struct line script[] = {SAID(200, short_lived), SAID(200, KEYS("AKNEXT", FUTURE))};
    struct server s;
    struct world w;
    struct aws_provider *p;
    char url[96];

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    snprintf(url, sizeof url, "%s/", s.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    make_short_lived(&w, 2000);
    p = provider(&w, NULL, NULL);
    assert_string_equal(get(&w, p).id, "AKSHORT");
    get(&w, p); /* fresh enough to be kept */
    world_wait(&w, 700);
    assert_int_equal(s.requests, 1);
    wait_for_requests(&w, &s, 2);
    world_wait(&w, 50);
    assert_string_equal(get(&w, p).id, "AKNEXT");
    assert_int_equal(s.requests, 2);
    aws_provider_free(p);
    server_stop(&s);
    world_close(&w);
    clear_environment();
}

/* A source that fails leaves the keys in use until they end; then it is an error. */
static void kept_while_fetching_fails(void **state)
{
    static const struct line script[] = {SAID(200, short_lived), SAID(403, "no")};
    struct server s;
    struct world w;
    struct aws_provider *p;
    struct got g;
    char url[96];

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    snprintf(url, sizeof url, "%s/", s.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    make_short_lived(&w, 2400);
    p = provider(&w, NULL, NULL);
    assert_string_equal(get(&w, p).id, "AKSHORT");
    wait_for_requests(&w, &s, 2);
    world_wait(&w, 300); /* within the last sixth: a get would wait, but the source just failed */
    assert_string_equal(get(&w, p).id, "AKSHORT");
    assert_int_equal(s.requests, 2);
    world_wait(&w, 400);
    g = get(&w, p);
    assert_false(g.ok);
    assert_non_null(strstr(g.err.text, "HTTP 403"));
    assert_int_equal(s.requests, 3);
    aws_provider_free(p);
    server_stop(&s);
    world_close(&w);
    clear_environment();
}

/* Freed while a question, a call to STS or a process is under way: nobody is called. */
static void freed_in_the_middle(void **state)
{
    static const struct line script[] = {{SILENT, 0, NULL, NULL, NULL, NULL}};
    struct files f;
    struct server s;
    struct world w;
    struct got g = {0};

    (void)state;
    world_open(&w);
    server_start(&s, SCRIPT(script));
    files_open(&f, "[profile slow]\ncredential_process = sleep 30\n",
               "[keys]\naws_access_key_id = AK\naws_secret_access_key = SK\n");
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", s.url, 1);
    setenv("AWS_ENDPOINT_URL", s.url, 1);
    for (int i = 0; i < 4; i++) {
        static const char *const profiles[] = {NULL, "keys", "slow", NULL};
        struct aws_provider *p = provider(&w, profiles[i], i == 1 ? "arn:aws:iam::2:role/x" : NULL);
        aws_credentials_get(p, on_keys, &g);
        aws_credentials_get(p, on_keys, &g);
        world_wait(&w, i < 3 ? 60 : 0);
        aws_provider_free(p);
    }
    world_wait(&w, 60);
    assert_int_equal(g.count, 0);
    assert_in_range(s.requests, 2, 3);
    server_stop(&s);
    world_close(&w);
    files_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instance_metadata),
        cmocka_unit_test(instance_metadata_fails),
        cmocka_unit_test(container),
        cmocka_unit_test(roles),
        cmocka_unit_test(a_role_that_is_refused),
        cmocka_unit_test(web_identity),
        cmocka_unit_test(order),
        cmocka_unit_test(process),
        cmocka_unit_test(refreshed_in_the_background),
        cmocka_unit_test(freed_in_the_middle),
        cmocka_unit_test(kept_while_fetching_fails),
    };
    clear_environment();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
