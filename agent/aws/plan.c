/* What a profile stands for: where its keys begin and which roles are assumed on the way. The order
 * of the sources within a profile is that of AWS's SDKs (botocore's resolver). */
#include <stdlib.h>
#include <string.h>
#include "aws/env.h"
#include "aws/profile.h"
#include "base/mem.h"

struct walk {
    const struct aws_profiles *p;
    struct aws_plan *plan;
    const char *visited[AWS_MAX_ROLES + 1];
    size_t nvisited;
};

static const char *get(const struct walk *w, const char *profile, const char *key)
{
    return aws_profiles_get(w->p, profile, key);
}

static bool has_keys(const struct walk *w, const char *profile)
{
    return get(w, profile, "aws_access_key_id") || get(w, profile, "aws_secret_access_key");
}

static bool has_role(const struct walk *w, const char *profile)
{
    return get(w, profile, "role_arn") && !get(w, profile, "web_identity_token_file");
}

static int add_role(struct walk *w, const char *profile, struct err *e)
{
    const char *duration = get(w, profile, "duration_seconds");
    struct aws_role *r;
    char *end = NULL;

    if (w->plan->nroles == AWS_MAX_ROLES)
        return err_set(e, ERR_LIMIT, "profile \"%s\": more than %d roles in a chain", profile,
                       AWS_MAX_ROLES);
    r = &w->plan->roles[w->plan->nroles];
    if (duration) {
        long s = strtol(duration, &end, 10);
        if (!*duration || *end || s < 900 || s > 43200)
            return err_set(e, ERR_INPUT,
                           "profile \"%s\": duration_seconds is \"%.20s\", expected 900 to 43200",
                           profile, duration);
        r->duration_s = (int)s;
    }
    r->arn = mem_strdup(get(w, profile, "role_arn"));
    r->external_id = mem_strdup(get(w, profile, "external_id"));
    r->session_name = mem_strdup(get(w, profile, "role_session_name"));
    w->plan->nroles++;
    return 0;
}

/* Keys in one of the two files: 1 if there are, 0 if not. */
static int keys_of(struct walk *w, const char *profile, bool credentials, struct err *e)
{
    const char *id = aws_profiles_get_from(w->p, profile, "aws_access_key_id", credentials);
    const char *secret = aws_profiles_get_from(w->p, profile, "aws_secret_access_key", credentials);
    const char *token = aws_profiles_get_from(w->p, profile, "aws_session_token", credentials);

    if (!token)
        token = aws_profiles_get_from(w->p, profile, "aws_security_token", credentials);
    if (!id)
        return 0;
    if (!*id || !secret || !*secret)
        return err_set(e, ERR_INPUT,
                       "profile \"%s\": expected aws_access_key_id and aws_secret_access_key "
                       "together, one is missing or empty",
                       profile);
    w->plan->base = AWS_BASE_KEYS;
    w->plan->access_key = mem_strdup(id);
    w->plan->secret_key = mem_strdup(secret);
    w->plan->token = token && *token ? mem_strdup(token) : NULL;
    return 1;
}

static int base_of(struct walk *w, const char *profile, struct err *e)
{
    const char *v;
    int rc;

    if ((v = get(w, profile, "web_identity_token_file"))) {
        if (!get(w, profile, "role_arn"))
            return err_set(e, ERR_INPUT,
                           "profile \"%s\" has web_identity_token_file without role_arn", profile);
        w->plan->base = AWS_BASE_WEB_IDENTITY;
        w->plan->token_file = mem_strdup(v);
        /* external_id and duration_seconds are not for this call; the SDKs leave them out. */
        w->plan->roles[0].arn = mem_strdup(get(w, profile, "role_arn"));
        w->plan->roles[0].session_name = mem_strdup(get(w, profile, "role_session_name"));
        w->plan->nroles = 1;
        return 0;
    }
    if ((rc = keys_of(w, profile, true, e)) != 0)
        return rc < 0 ? rc : 0;
    if ((v = get(w, profile, "credential_process"))) {
        w->plan->base = AWS_BASE_PROCESS;
        w->plan->process = mem_strdup(v);
        return 0;
    }
    if ((rc = keys_of(w, profile, false, e)) != 0)
        return rc < 0 ? rc : 0;
    if (get(w, profile, "sso_start_url") || get(w, profile, "sso_session"))
        return err_set(
            e, ERR_INPUT,
            "profile \"%s\" signs in with SSO, which needs a person: give a daemon a role "
            "or a credential_process",
            profile);
    return 0;
}

static int source_of(struct walk *w, const char *profile, const char *source, struct err *e)
{
    if (strcmp(source, "Environment") == 0)
        w->plan->base = AWS_BASE_ENVIRONMENT;
    else if (strcmp(source, "EcsContainer") == 0)
        w->plan->base = AWS_BASE_CONTAINER;
    else if (strcmp(source, "Ec2InstanceMetadata") == 0)
        w->plan->base = AWS_BASE_INSTANCE;
    else
        return err_set(e, ERR_INPUT,
                       "profile \"%s\": credential_source is \"%.60s\", expected Environment, "
                       "EcsContainer or Ec2InstanceMetadata",
                       profile, source);
    return 0;
}

static int check_source_profile(const struct walk *w, const char *profile, const char *source,
                                struct err *e)
{
    if (!aws_profiles_has(w->p, source))
        return err_set(e, ERR_INPUT, "profile \"%s\": its source_profile \"%s\" does not exist",
                       profile, source);
    for (size_t i = 0; i < w->nvisited; i++) {
        /* A profile may name itself: its own keys, then its role. */
        if (strcmp(w->visited[i], source) == 0 &&
            (strcmp(source, profile) != 0 || !has_keys(w, source)))
            return err_set(e, ERR_INPUT,
                           "profile \"%s\": its source_profile \"%s\" leads in a circle", profile,
                           source);
    }
    return 0;
}

static int assume(struct walk *w, const char *profile, struct err *e)
{
    const char *source = get(w, profile, "source_profile");
    const char *credential_source = get(w, profile, "credential_source");
    int rc;

    if (get(w, profile, "mfa_serial"))
        return err_set(e, ERR_INPUT,
                       "profile \"%s\" has mfa_serial, which needs a person: give a daemon a role "
                       "without it",
                       profile);
    if (!source == !credential_source)
        return err_set(
            e, ERR_INPUT,
            "profile \"%s\" has role_arn with %s: expected exactly one of source_profile "
            "and credential_source",
            profile, source ? "both" : "neither");
    if (credential_source) {
        rc = source_of(w, profile, credential_source, e);
    } else if ((rc = check_source_profile(w, profile, source, e)) == 0) {
        if (w->nvisited > AWS_MAX_ROLES)
            return err_set(e, ERR_LIMIT, "profile \"%s\": more than %d roles in a chain", profile,
                           AWS_MAX_ROLES);
        w->visited[w->nvisited++] = source;
        if (!has_keys(w, source) && has_role(w, source)) {
            rc = assume(w, source, e);
        } else {
            rc = base_of(w, source, e);
            if (rc == 0 && w->plan->base == AWS_BASE_NONE)
                rc = err_set(e, ERR_INPUT,
                             "profile \"%s\": its source_profile \"%s\" has no credentials",
                             profile, source);
        }
    }
    return rc == 0 ? add_role(w, profile, e) : rc;
}

int aws_profile_plan(const struct aws_profiles *p, const char *profile, struct aws_plan *plan,
                     struct err *e)
{
    struct walk w = {.p = p, .plan = plan, .visited = {profile}, .nvisited = 1};
    int rc;

    memset(plan, 0, sizeof *plan);
    if (!aws_profiles_has(p, profile))
        return err_set(e, ERR_NOT_FOUND,
                       "profile \"%s\" is in neither AWS's config nor its credentials file",
                       profile);
    rc = has_role(&w, profile) ? assume(&w, profile, e) : base_of(&w, profile, e);
    if (rc != 0)
        aws_plan_clear(plan);
    return rc;
}

int aws_plan_find(const char *profile, struct aws_plan *plan, char **source, struct err *e)
{
    const char *named = profile ? profile : aws_env("AWS_PROFILE"), *file, *arn;
    const char *name = named ? named : "default";
    struct aws_profiles *p;
    int rc = 0;

    memset(plan, 0, sizeof *plan);
    *source = NULL;
    if (!profile && aws_env("AWS_ACCESS_KEY_ID")) {
        *source = mem_strdup("the environment");
        plan->base = AWS_BASE_ENVIRONMENT;
        return 0;
    }
    if (!(p = aws_profiles_load(e)))
        return ERR_INPUT;
    if (named || aws_profiles_has(p, name)) {
        *source = mem_printf("profile \"%s\"", name);
        rc = aws_profile_plan(p, name, plan, e);
        if (rc == 0 && plan->base == AWS_BASE_NONE && profile)
            rc = err_set(e, ERR_AUTH,
                         "it says nothing of credentials: give it keys, a role_arn or a "
                         "credential_process");
    }
    aws_profiles_free(p);
    if (rc != 0 || plan->base != AWS_BASE_NONE)
        return rc;

    mem_free(*source);
    *source = NULL;
    file = aws_env("AWS_WEB_IDENTITY_TOKEN_FILE");
    if (file) {
        arn = aws_env("AWS_ROLE_ARN");
        *source = mem_strdup("web identity");
        if (!arn)
            return err_set(e, ERR_INPUT, "AWS_WEB_IDENTITY_TOKEN_FILE needs AWS_ROLE_ARN");
        plan->base = AWS_BASE_WEB_IDENTITY;
        plan->token_file = mem_strdup(file);
        plan->roles[0].arn = mem_strdup(arn);
        plan->roles[0].session_name = mem_strdup(aws_env("AWS_ROLE_SESSION_NAME"));
        plan->nroles = 1;
    } else if (aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
               aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
        *source = mem_strdup("the container's endpoint");
        plan->base = AWS_BASE_CONTAINER;
    } else {
        plan->base = AWS_BASE_INSTANCE;
    }
    return 0;
}

void aws_plan_clear(struct aws_plan *plan)
{
    if (plan->secret_key)
        explicit_bzero(plan->secret_key, strlen(plan->secret_key));
    mem_free(plan->access_key);
    mem_free(plan->secret_key);
    mem_free(plan->token);
    mem_free(plan->process);
    mem_free(plan->token_file);
    for (size_t i = 0; i < plan->nroles; i++) {
        mem_free(plan->roles[i].arn);
        mem_free(plan->roles[i].external_id);
        mem_free(plan->roles[i].session_name);
    }
    memset(plan, 0, sizeof *plan);
}
