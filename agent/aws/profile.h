/* AWS's config and credentials files: their syntax, and what a profile in them stands for. */
#ifndef RB_AWS_PROFILE_H
#define RB_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct aws_profiles; /* both files, merged: a profile's keys in the credentials file win */

/* Parses the texts (NULL: that file does not exist); the names are for errors. NULL with ERR_INPUT
 * for a syntax error, a section or key given twice, with file and line. */
struct aws_profiles *aws_profiles_parse(const char *config, const char *config_name,
                                        const char *credentials, const char *credentials_name,
                                        struct err *e);
void aws_profiles_free(struct aws_profiles *p);
const char *aws_profiles_get(const struct aws_profiles *p, const char *profile, const char *key);
const char *aws_profiles_get_from(const struct aws_profiles *p, const char *profile,
                                  const char *key, bool credentials);
bool aws_profiles_has(const struct aws_profiles *p, const char *profile);

/* Reads AWS_CONFIG_FILE (~/.aws/config) and AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials); a
 * file that does not exist is empty, one that cannot be read is ERR_IO. Warns once of a credentials
 * file that everybody may read. */
struct aws_profiles *aws_profiles_load(struct err *e);

/* The region of the profile (NULL: AWS_PROFILE, "default"), or NULL; the caller frees. */
char *aws_profile_region(const char *profile);

#define AWS_MAX_ROLES 8
struct aws_role {
    char *arn, *external_id, *session_name; /* the last two may be NULL */
    int duration_s;                         /* 0: STS's default, one hour */
};

enum aws_base {
    AWS_BASE_NONE, /* the profile says nothing of credentials */
    AWS_BASE_KEYS,
    AWS_BASE_PROCESS,
    AWS_BASE_WEB_IDENTITY, /* roles[0] is the one for the token */
    AWS_BASE_ENVIRONMENT,
    AWS_BASE_CONTAINER,
    AWS_BASE_INSTANCE,
};

/* Where credentials begin, and the roles assumed from there on, in their order. */
struct aws_plan {
    enum aws_base base;
    char *access_key, *secret_key, *token; /* of AWS_BASE_KEYS */
    char *process;                         /* the command line */
    char *token_file;                      /* of web identity */
    struct aws_role roles[AWS_MAX_ROLES];
    size_t nroles;
};

/* Follows source_profile and credential_source. 0, or ERR_INPUT (what is wrong in which profile),
 * ERR_NOT_FOUND (no such profile). */
int aws_profile_plan(const struct aws_profiles *p, const char *profile, struct aws_plan *plan,
                     struct err *e);
/* The usual order: environment (unless a profile is given), profile (that one, AWS_PROFILE,
 * "default"), web identity, container, instance. *source (the caller frees; NULL for the instance,
 * the last resort) says where. 0, or an error that ends the search: a profile that is named must be
 * good. */
int aws_plan_find(const char *profile, struct aws_plan *plan, char **source, struct err *e);
void aws_plan_clear(struct aws_plan *plan);

/* A command line into arguments: blanks, '...', "..." with \" and \\, and \x. NULL-terminated, to
 * be freed with aws_words_free; NULL for a quote that does not end. */
char **aws_words(const char *line);
void aws_words_free(char **words);

#endif
