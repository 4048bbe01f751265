/* Which source a target's series come from: its account, or its server. */
#include "shared_source.h"

#include <stdio.h>
#include <string.h>

static int no_part(const struct target *t, const char *kind, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "%s names no %s of the estate: give it %s = \"...\", or take a target that has "
                   "one",
                   t->id, kind, kind);
}

int source_aws(const struct target *t, const struct estate *e, const char *kind, char *out,
               size_t size, struct err *err)
{
    static const char *const parts[] = {"asg",   "postgres", "proxy",
                                        "cache", "queue",    "certificate"};
    const struct target *owner = t;
    const char *aws;

    if (kind != NULL) {
        owner = estate_related(e, t, kind);
        if (owner == NULL)
            return no_part(t, kind, err);
    }
    aws = json_get_str(owner->fields, "aws", NULL);
    for (size_t i = 0; aws == NULL && kind == NULL && i < sizeof(parts) / sizeof(*parts); i++) {
        const struct target *part = estate_related(e, t, parts[i]);

        aws = part != NULL ? json_get_str(part->fields, "aws", NULL) : NULL;
    }
    if (aws == NULL)
        return err_set(err, ERR_INPUT, "%s is in no account: give it aws = \"...\"", owner->id);
    if ((size_t)snprintf(out, size, "aws/%s", aws) >= size)
        return err_set(err, ERR_LIMIT, "%s: the name of its account is too long", owner->id);
    return 0;
}

int source_postgres(const struct target *t, const struct estate *e, char *out, size_t size,
                    struct err *err)
{
    const struct target *server = estate_related(e, t, "postgres");

    if (server == NULL)
        return no_part(t, "postgres", err);
    if ((size_t)snprintf(out, size, "postgres/%s", server->name) >= size)
        return err_set(err, ERR_LIMIT, "%s: its name is too long", server->id);
    return 0;
}

int source_self(const struct target *t, const char *kind, char *out, size_t size, struct err *err)
{
    if ((size_t)snprintf(out, size, "%s/%s", kind, t->id) >= size)
        return err_set(err, ERR_LIMIT, "%s: its name is too long", t->id);
    return 0;
}

const char *source_name(const char *source)
{
    const char *slash = strchr(source, '/');

    return slash != NULL ? slash + 1 : source;
}

int64_t source_period_ms(const struct json *opts, int64_t fallback_ms)
{
    int64_t ms = json_get_int(opts, "period", 0);

    return ms > 0 ? ms : fallback_ms;
}
