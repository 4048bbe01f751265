/* Answers, one JSON line each, what we make of the cases that aws_oracle.py writes to stdin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aws/env.h"
#include "aws/profile.h"
#include "aws/query.h"
#include "aws/service.h"
#include "aws/sigv4.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"

#define MAX_LINE (8 * 1024 * 1024)

static struct aws_keys keys_of(const struct json *c)
{
    return (struct aws_keys){json_get_str(c, "access", ""), json_get_str(c, "secret", ""),
                             json_get_str(c, "token", NULL)};
}

static void request_of(const struct json *c, struct sigv4_request *r, struct sigv4_header *h,
                       void *body, size_t max)
{
    const struct json *headers = json_get(c, "headers");

    *r = (struct sigv4_request){.method = json_get_str(c, "method", "GET"),
                                .host = json_get_str(c, "host", ""),
                                .path = json_get_str(c, "path", NULL),
                                .query = json_get_str(c, "query", NULL),
                                .headers = h,
                                .body = body,
                                .service = json_get_str(c, "service", ""),
                                .region = json_get_str(c, "region", "")};
    for (const struct json *x = json_first(headers); x; x = json_next(x))
        h[r->nheaders++] =
            (struct sigv4_header){json_str(json_at(x, 0), ""), json_str(json_at(x, 1), "")};
    if (base64_decode(json_get_str(c, "body", ""), body, max, &r->body_len) != 0)
        abort();
}

static void do_sign(const struct json *c, struct json *out)
{
    static char body[65536];
    struct sigv4_header h[32];
    struct sigv4_request r;
    struct aws_keys k = keys_of(c);
    struct buf b;
    struct err e = ERR_INIT;
    char date[SIGV4_DATE] = "";
    int rc;

    buf_init(&b, 1 << 20);
    request_of(c, &r, h, body, sizeof body);
    if (json_get_bool(c, "presign", false))
        rc = sigv4_presign(&r, &k, json_get_int(c, "wall_ms", 0),
                           (int)json_get_int(c, "expires", 0), &b, &e);
    else
        rc = sigv4_sign(&r, &k, json_get_int(c, "wall_ms", 0), date, &b, &e);
    json_set_str(out, "result", rc == 0 ? buf_str(&b) : e.text);
    json_set_str(out, "date", date);
    buf_free(&b);
}

static void do_rds(const struct json *c, struct json *out)
{
    struct aws_keys k = keys_of(c);
    char *t = aws_rds_token(json_get_str(c, "host", ""), (int)json_get_int(c, "port", 0),
                            json_get_str(c, "user", ""), json_get_str(c, "region", ""), &k,
                            json_get_int(c, "wall_ms", 0), NULL);
    json_set_str(out, "result", t);
    mem_free(t);
}

static void do_body(const struct json *c, struct json *out)
{
    enum aws_service s = (enum aws_service)json_get_int(c, "service", 0);
    struct aws_params *p = aws_params_of(s, json_get(c, "args"));
    struct buf b;

    buf_init(&b, MAX_LINE);
    aws_params_encode(p, json_get_str(c, "action", ""), aws_service_row(s)->version, &b);
    json_set_str(out, "result", buf_str(&b));
    buf_free(&b);
    aws_params_free(p);
}

static void do_service(const struct json *c, struct json *out)
{
    enum aws_service s = (enum aws_service)json_get_int(c, "service", 0);
    const struct aws_service_row *row = aws_service_row(s);
    char *url = aws_service_url(s, json_get_str(c, "region", ""), NULL, NULL);

    json_set_str(out, "url", url);
    json_set_str(out, "version", row->version);
    json_set_str(out, "signing", row->host);
    json_set_str(out, "target", row->target);
    json_set_str(out, "type", row->json_type);
    json_set_str(out, "env", row->env);
    json_set_str(out, "protocol", (const char *[]){"query", "ec2", "json"}[row->protocol]);
    mem_free(url);
}

/* Clears it. */
static void add_plan(struct json *out, struct aws_plan *plan)
{
    static const char *const bases[] = {"none", "keys",      "process", "web",
                                        "env",  "container", "instance"};
    struct json *roles = json_set(out, "roles", json_new_list());

    json_set_str(out, "base", bases[plan->base]);
    json_set_str(out, "access", plan->access_key);
    json_set_str(out, "secret", plan->secret_key);
    json_set_str(out, "token", plan->token);
    json_set_str(out, "process", plan->process);
    json_set_str(out, "token_file", plan->token_file);
    for (size_t i = 0; i < plan->nroles; i++) {
        struct json *r = json_add(roles, json_new_map());
        json_set_str(r, "arn", plan->roles[i].arn);
        json_set_str(r, "external_id", plan->roles[i].external_id);
        json_set_str(r, "session", plan->roles[i].session_name);
        json_set_int(r, "duration", plan->roles[i].duration_s);
    }
    aws_plan_clear(plan);
}

static void do_profile(const struct json *c, struct json *out)
{
    struct err e = ERR_INIT;
    struct aws_plan plan;
    struct aws_profiles *p =
        aws_profiles_parse(json_get_str(c, "config", NULL), "config",
                           json_get_str(c, "credentials", NULL), "credentials", &e);

    if (!p || aws_profile_plan(p, json_get_str(c, "profile", ""), &plan, &e) != 0)
        json_set_str(out, "error", e.text);
    else
        add_plan(out, &plan);
    aws_profiles_free(p);
}

static void do_find(const struct json *c, struct json *out)
{
    struct err e = ERR_INIT;
    struct aws_plan plan;
    char *source = NULL;

    clearenv();
    for (const struct json *v = json_first(json_get(c, "env")); v; v = json_next(v))
        setenv(json_key(v), json_str(v, ""), 1);
    if (aws_plan_find(json_get_str(c, "profile", NULL), &plan, &source, &e) != 0)
        json_set_str(out, "error", e.text);
    else if (plan.base == AWS_BASE_ENVIRONMENT &&
             (!aws_env("AWS_ACCESS_KEY_ID") || !aws_env("AWS_SECRET_ACCESS_KEY")))
        json_set_str(out, "error", "the environment lacks a part of the keys");
    else if (plan.base == AWS_BASE_CONTAINER &&
             !aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") &&
             !aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
        json_set_str(out, "error", "there is no container");
    else
        add_plan(out, &plan);
    mem_free(source);
}

static void do_ini(const struct json *c, struct json *out)
{
    struct err e = ERR_INIT;
    struct json *values = json_new_list();
    struct aws_profiles *p =
        aws_profiles_parse(json_get_str(c, "config", NULL), "config",
                           json_get_str(c, "credentials", NULL), "credentials", &e);

    json_set(out, "values", values);
    if (!p)
        json_set_str(out, "error", e.text);
    for (const struct json *q = json_first(json_get(c, "ask")); q && p; q = json_next(q))
        json_add(values, json_new_str(aws_profiles_get(p, json_str(json_at(q, 0), ""),
                                                       json_str(json_at(q, 1), ""))));
    aws_profiles_free(p);
}

int main(void)
{
    static const struct {
        const char *kind;
        void (*fn)(const struct json *c, struct json *out);
    } kinds[] = {{"sign", do_sign},       {"rds", do_rds},         {"body", do_body},
                 {"service", do_service}, {"profile", do_profile}, {"find", do_find},
                 {"ini", do_ini}};
    char *line = NULL, *text;
    size_t cap = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) > 0) {
        struct err e = ERR_INIT;
        struct json *c = json_parse(line, (size_t)len, MAX_LINE, &e), *out = json_new_map();
        if (!c) {
            fprintf(stderr, "%s\n", e.text);
            return 2;
        }
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (strcmp(json_get_str(c, "kind", ""), kinds[i].kind) == 0)
                kinds[i].fn(c, out);
        text = json_print(out);
        puts(text);
        mem_free(text);
        json_free(out);
        json_free(c);
    }
    free(line);
    return 0;
}
