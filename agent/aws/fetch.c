/* Finding keys: the order of the sources, the metadata services, child processes and STS. */
#include "aws/fetch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "aws/call.h"
#include "aws/env.h"
#include "aws/fetch_parts.h"
#include "aws/metadata.h"
#include "aws/profile.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/xml.h"
#include "io/job.h"

#define CONTAINER_MS 2000
#define INSTANCE_MS 1000 /* it is next door, or nowhere */
#define PROCESS_MS 60000
#define MAX_JSON_BYTES (64 * 1024)

struct aws_fetch {
    struct aws_provider_options o; /* the provider's own copy: it outlives us */
    aws_fetch_fn *fn;
    void *arg;
    struct aws_plan plan;
    size_t next_role;
    char *source;
    bool last_resort; /* nothing else was configured: say so when instance metadata has no role */

    struct loop_timer *timer; /* begins */
    struct aws **sts;         /* the provider's client, made at the first need */
    struct aws_call *call;
    struct job *job;
    struct aws_metadata *metadata;
    char *instance_token;
};

static void fetch_free(struct aws_fetch *f)
{
    loop_timer_free(f->timer);
    aws_plan_clear(&f->plan);
    mem_free(f->source);
    mem_free(f->instance_token);
    mem_free(f);
}

static void done(struct aws_fetch *f, const struct aws_keys *keys, int64_t expires_wall_ms,
                 const struct err *e)
{
    struct err why = ERR_INIT;

    if (e) {
        why = *e;
        if (f->last_resort)
            err_set(&why, ERR_AUTH,
                    "no AWS credentials: not in the environment, no profile, no web identity, no "
                    "container, and no instance role (%.400s); set AWS_PROFILE or attach a role",
                    e->text);
        else
            err_wrap(&why, "credentials from %s", f->source ? f->source : "AWS's files");
    }
    f->fn(f->arg, keys, expires_wall_ms, f->source, e ? &why : NULL);
    fetch_free(f);
}

static void fail(struct aws_fetch *f, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct aws_fetch *f, int code, const char *fmt, ...)
{
    struct err e = ERR_INIT;
    va_list ap;
    va_start(ap, fmt);
    err_setv(&e, code, fmt, ap);
    va_end(ap);
    done(f, NULL, 0, &e);
}

static void set_source(struct aws_fetch *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_source(struct aws_fetch *f, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mem_free(f->source);
    f->source = mem_strdup(text);
}

/* ---- roles, one on top of the other ---- */

static void ask_sts(struct aws_fetch *f, const struct aws_keys *keys, const char *web_token);

static void got_keys(struct aws_fetch *f, const struct aws_keys *keys, int64_t expires_wall_ms)
{
    log_hide(keys->secret_key);
    log_hide(keys->token);
    if (expires_wall_ms && expires_wall_ms <= loop_wall_ms(f->o.loop)) {
        char t[32];
        fail(f, ERR_AUTH,
             "it gave keys that ended at %s already: renew them there, or set this "
             "host's clock",
             time_format_iso(t, sizeof t, expires_wall_ms));
        return;
    }
    if (f->next_role < f->plan.nroles)
        ask_sts(f, keys, NULL); /* what a role gives has an end of its own */
    else
        done(f, keys, expires_wall_ms, NULL);
}

static void on_assumed(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct aws_fetch *f = arg;
    const struct xml *web = xml_path(a->xml, "AssumeRoleWithWebIdentityResult/Credentials");
    const struct xml *c = web ? web : xml_path(a->xml, "AssumeRoleResult/Credentials");
    struct aws_keys keys = {xml_path_text(c, "AccessKeyId", ""),
                            xml_path_text(c, "SecretAccessKey", ""),
                            xml_path_text(c, "SessionToken", "")};
    int64_t expires;

    f->call = NULL;
    if (e)
        done(f, NULL, 0, e);
    else if (!*keys.access_key || !*keys.secret_key || !*keys.token ||
             time_parse_iso(xml_path_text(c, "Expiration", ""), &expires) != 0)
        fail(f, ERR_IO, "STS's answer has no complete <Credentials>");
    else /* its time is STS's, which our clock may be wrong about */
        got_keys(f, &keys, expires - (aws_wall_ms(*f->sts) - loop_wall_ms(f->o.loop)));
}

/* Sends AssumeRole for the next role, or AssumeRoleWithWebIdentity if there is a token. */
static void ask_sts(struct aws_fetch *f, const struct aws_keys *keys, const char *web_token)
{
    struct aws_role *role = &f->plan.roles[f->next_role++];
    struct aws_options o = {.loop = f->o.loop,
                            .http = f->o.http,
                            .name = "sts",
                            .region = f->o.region,
                            .endpoint = f->o.endpoint,
                            .ca_file = f->o.ca_file};
    struct aws_request r = {.service = AWS_STS,
                            .action = web_token ? "AssumeRoleWithWebIdentity" : "AssumeRole",
                            .keys = web_token ? NULL : keys,
                            .anonymous = web_token != NULL};
    struct aws_params *p;
    struct err e = ERR_INIT;

    set_source(f, "%s, role %s", f->source, role->arn);
    if (!*f->sts && !(*f->sts = aws_new(&o, &e))) {
        done(f, NULL, 0, &e);
        return;
    }
    p = aws_params_new();
    aws_param(p, "RoleArn", role->arn);
    aws_param(p, "RoleSessionName", role->session_name ? role->session_name : "runbookd");
    aws_param(p, "ExternalId", web_token ? NULL : role->external_id);
    if (role->duration_s)
        aws_param_int(p, "DurationSeconds", role->duration_s);
    aws_param(p, "WebIdentityToken", web_token);
    r.params = p;
    f->call = aws_send(*f->sts, &r, on_assumed, f);
    aws_params_free(p);
}

static void from_web_identity(struct aws_fetch *f)
{
    struct err e = ERR_INIT;
    char *token = aws_token_read(f->plan.token_file, &e);

    if (!token) {
        done(f, NULL, 0, &e);
        return;
    }
    log_hide(token);
    ask_sts(f, NULL, token);
    explicit_bzero(token, strlen(token));
    mem_free(token);
}

/* ---- JSON with keys in it: metadata services and processes ---- */

static void got_json(struct aws_fetch *f, const struct json *j, const char *token_name,
                     bool must_expire)
{
    struct aws_keys keys = {json_get_str(j, "AccessKeyId", ""),
                            json_get_str(j, "SecretAccessKey", ""),
                            json_get_str(j, token_name, NULL)};
    const struct json *end = json_get(j, "Expiration");
    /* What is there and is no text must not be taken for keys without an end. */
    const char *expiration =
        end && json_type(end) != JSON_NULL ? json_str(end, "of another type") : NULL;
    int64_t expires = 0;

    if (!*keys.access_key || !*keys.secret_key || (must_expire && (!expiration || !keys.token)))
        fail(f, ERR_IO, "its answer lacks %s: %.100s",
             must_expire ? "AccessKeyId, SecretAccessKey, Token or Expiration"
                         : "AccessKeyId or SecretAccessKey",
             json_get_str(j, "Message", json_get_str(j, "Code", "expected an object of keys")));
    else if (expiration && time_parse_iso(expiration, &expires) != 0)
        fail(f, ERR_IO, "its Expiration is \"%.40s\", expected a time like 2026-11-22T13:02:43Z",
             expiration);
    else
        got_keys(f, &keys, expires);
}

static void got_metadata(void *arg, const char *body, size_t len, const struct err *e)
{
    struct aws_fetch *f = arg;
    struct err why = ERR_INIT;
    struct json *j;

    f->metadata = NULL;
    if (e) {
        done(f, NULL, 0, e);
        return;
    }
    f->last_resort = false; /* there is a role; what goes wrong now is its own */
    j = json_parse(body, len, MAX_JSON_BYTES, &why);
    if (!j) {
        err_wrap(&why, "its answer is not JSON");
        done(f, NULL, 0, &why);
        return;
    }
    got_json(f, j, "Token", true);
    json_free(j);
}

/* Takes over url. */
static void ask(struct aws_fetch *f, const char *method, char *url, const char *header,
                const char *value, int64_t total_ms, aws_metadata_fn *fn)
{
    struct aws_question q = {method, url, header, value, total_ms};
    f->metadata = aws_metadata_ask(f->o.loop, f->o.http, &q, fn, f);
    mem_free(url);
}

static void from_container(struct aws_fetch *f)
{
    struct err e = ERR_INIT;
    const char *file = aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    char *token = NULL, *url;

    set_source(f, "the container's endpoint");
    url = aws_container_url(aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
                            aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI"), &e);
    if (!url) {
        if (e.code == 0)
            err_set(&e, ERR_AUTH, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
        done(f, NULL, 0, &e);
        return;
    }
    if (file)
        token = aws_token_read(file, &e);
    else if (aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
        token = mem_strdup(aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    if (e.code == 0 && token && strpbrk(token, "\r\n"))
        err_set(&e, ERR_INPUT, "the container's authorization token has a line break");
    if (e.code != 0) {
        mem_free(url);
        mem_free(token);
        done(f, NULL, 0, &e);
        return;
    }
    log_hide(token);
    ask(f, "GET", url, token ? "Authorization" : NULL, token, CONTAINER_MS, got_metadata);
    mem_free(token);
}

static char *instance_url(const char *path)
{
    const char *base = aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    size_t len;

    if (!base)
        base = "http://169.254.169.254";
    for (len = strlen(base); len && base[len - 1] == '/';)
        len--;
    return mem_printf("%.*s%s", (int)len, base, path);
}

#define INSTANCE_ROLES "/latest/meta-data/iam/security-credentials/"

static void got_instance_role(void *arg, const char *body, size_t len, const struct err *e)
{
    struct aws_fetch *f = arg;
    size_t n = 0;
    char *path;

    f->metadata = NULL;
    if (e) {
        done(f, NULL, 0, e);
        return;
    }
    while (n < len && body[n] > ' ' && body[n] < 0x7f && !strchr("/?#%", body[n]))
        n++;
    if (n == 0 || (n < len && body[n] != '\n' && body[n] != '\r')) {
        fail(f, ERR_IO, "instance metadata names no role: \"%.60s\"", body);
        return;
    }
    set_source(f, "the instance's role %.*s", (int)n, body);
    path = mem_printf(INSTANCE_ROLES "%.*s", (int)n, body);
    ask(f, "GET", instance_url(path), "X-aws-ec2-metadata-token", f->instance_token, INSTANCE_MS,
        got_metadata);
    mem_free(path);
}

static void got_instance_token(void *arg, const char *body, size_t len, const struct err *e)
{
    struct aws_fetch *f = arg;
    struct err why = ERR_INIT;

    f->metadata = NULL;
    if (e) {
        why = *e;
        if (e->code == ERR_AUTH)
            err_wrap(&why, "IMDSv2 must be on, with a hop limit of 2 if this runs in a container");
        done(f, NULL, 0, &why);
        return;
    }
    f->instance_token = mem_strndup(body, len);
    if (strpbrk(f->instance_token, "\r\n")) {
        fail(f, ERR_IO, "instance metadata's session token has a line break");
        return;
    }
    ask(f, "GET", instance_url(INSTANCE_ROLES), "X-aws-ec2-metadata-token", f->instance_token,
        INSTANCE_MS, got_instance_role);
}

static void from_instance(struct aws_fetch *f)
{
    const char *off = aws_env("AWS_EC2_METADATA_DISABLED");

    set_source(f, "instance metadata");
    if (off && strcasecmp(off, "true") == 0) {
        fail(f, ERR_AUTH, "AWS_EC2_METADATA_DISABLED is set");
        return;
    }
    ask(f, "PUT", instance_url("/latest/api/token"), "X-aws-ec2-metadata-token-ttl-seconds",
        "21600", INSTANCE_MS, got_instance_token);
}

/* ---- a child process ---- */

static void on_process(void *arg, const struct job_result *r, const struct err *e)
{
    struct aws_fetch *f = arg;
    struct err why = ERR_INIT;
    struct json *j;

    f->job = NULL;
    if (e) {
        done(f, NULL, 0, e);
        return;
    }
    if (r->exit_code != 0) {
        fail(f, ERR_AUTH, "it ended with %s %d: %.200s", r->exit_code < 0 ? "signal" : "exit code",
             r->exit_code < 0 ? r->signal : r->exit_code, r->err ? r->err : "");
        return;
    }
    j = json_parse(r->out, r->out_len, MAX_JSON_BYTES, &why);
    if (!j) {
        err_wrap(&why, "its output is not JSON");
        done(f, NULL, 0, &why);
        return;
    }
    if (json_get_int(j, "Version", 0) != 1)
        fail(f, ERR_INPUT, "its output has no \"Version\": 1");
    else
        got_json(f, j, "SessionToken", false);
    json_free(j);
}

static void from_process(struct aws_fetch *f)
{
    struct err e = ERR_INIT;
    char **argv = aws_words(f->plan.process), **env = aws_process_env();
    char *program = argv && argv[0] ? aws_find_program(argv[0]) : NULL;
    struct job_options o = {.argv = (const char *const *)argv,
                            .env = (const char *const *)env,
                            .max_output = MAX_JSON_BYTES,
                            .deadline_ms = PROCESS_MS};

    if (!program) {
        err_set(
            &e, ERR_INPUT,
            "its credential_process \"%.200s\" is no command: expected a program on PATH and its "
            "arguments",
            f->plan.process);
    } else {
        mem_free(argv[0]);
        argv[0] = program;
        f->job = job_start(f->o.loop, &o, on_process, f, &e);
    }
    aws_words_free(argv);
    aws_words_free(env);
    if (!f->job)
        done(f, NULL, 0, &e);
}

/* ---- which source ---- */

static void from_environment(struct aws_fetch *f)
{
    const char *token = aws_env("AWS_SESSION_TOKEN"),
               *expiration = aws_env("AWS_CREDENTIAL_EXPIRATION");
    struct aws_keys keys = {aws_env("AWS_ACCESS_KEY_ID"), aws_env("AWS_SECRET_ACCESS_KEY"), NULL};
    int64_t expires = 0;

    set_source(f, "the environment");
    keys.token = token ? token : aws_env("AWS_SECURITY_TOKEN");
    if (!keys.access_key || !keys.secret_key)
        fail(f, ERR_AUTH, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are needed together");
    else if (expiration && time_parse_iso(expiration, &expires) != 0)
        fail(f, ERR_INPUT, "AWS_CREDENTIAL_EXPIRATION is \"%.40s\", which is no time", expiration);
    else
        got_keys(f, &keys, expires);
}

/* Adds the role that is asked for on top of everything. */
static int add_own_role(struct aws_fetch *f, struct err *e)
{
    struct aws_role *r;

    if (!f->o.role)
        return 0;
    if (f->plan.nroles == AWS_MAX_ROLES)
        return err_set(e, ERR_LIMIT, "more than %d roles in a chain", AWS_MAX_ROLES);
    r = &f->plan.roles[f->plan.nroles++];
    r->arn = mem_strdup(f->o.role);
    r->external_id = mem_strdup(f->o.external_id);
    r->session_name = mem_strdup(f->o.session_name);
    return 0;
}

static void begin(void *arg)
{
    struct aws_fetch *f = arg;
    struct err e = ERR_INIT;
    struct aws_keys keys;

    if (aws_plan_find(f->o.profile, &f->plan, &f->source, &e) != 0 || add_own_role(f, &e) != 0) {
        done(f, NULL, 0, &e);
        return;
    }
    f->last_resort = f->plan.base == AWS_BASE_INSTANCE && !f->source;
    switch (f->plan.base) {
    case AWS_BASE_NONE:
        fail(f, ERR_BUG, "no source was chosen");
        break;
    case AWS_BASE_KEYS:
        keys = (struct aws_keys){f->plan.access_key, f->plan.secret_key, f->plan.token};
        got_keys(f, &keys, 0);
        break;
    case AWS_BASE_PROCESS:
        from_process(f);
        break;
    case AWS_BASE_WEB_IDENTITY:
        from_web_identity(f);
        break;
    case AWS_BASE_ENVIRONMENT:
        from_environment(f);
        break;
    case AWS_BASE_CONTAINER:
        from_container(f);
        break;
    case AWS_BASE_INSTANCE:
        from_instance(f);
        break;
    }
}

struct aws_fetch *aws_fetch_start(const struct aws_provider_options *o, struct aws **sts,
                                  aws_fetch_fn *fn, void *arg)
{
    struct aws_fetch *f = mem_alloc(sizeof *f);

    f->o = *o;
    f->fn = fn;
    f->arg = arg;
    f->sts = sts;
    f->timer = loop_timer_new(o->loop, begin, f);
    loop_timer_set(f->timer, 0);
    return f;
}

void aws_fetch_cancel(struct aws_fetch *f)
{
    if (!f)
        return;
    aws_metadata_cancel(f->metadata);
    if (f->job)
        job_cancel(f->job);
    if (f->call)
        aws_cancel(f->call);
    fetch_free(f);
}
