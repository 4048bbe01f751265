/* The environment as AWS's SDKs read it: a variable that is empty counts as not set. */
#ifndef RB_AWS_ENV_H
#define RB_AWS_ENV_H

#include <stdlib.h>

static inline const char *aws_env(const char *name)
{
    const char *v = getenv(name); /* NOLINT(concurrency-mt-unsafe): nothing sets variables */
    return v && *v ? v : NULL;
}

#endif
