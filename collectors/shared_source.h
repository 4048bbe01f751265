/* Which source a target's series come from, for the collectors that ask AWS or a server. */
#ifndef RB_COLLECTORS_SHARED_SOURCE_H
#define RB_COLLECTORS_SHARED_SOURCE_H

#include "plugin/target.h"

struct aws;
struct collector_host;

/* "aws/NAME": the account of the target of `kind` that t is or names; kind NULL: of t itself, or
 * else of the first of its parts that has one. ERR_INPUT when there is none, with what to write. */
int source_aws(const struct target *t, const struct estate *e, const char *kind, char *out,
               size_t size, struct err *err);
/* "postgres/NAME" of t, or of the database of a service. */
int source_postgres(const struct target *t, const struct estate *e, char *out, size_t size,
                    struct err *err);

/* "KIND/ID" of t itself, for collectors that ask a place which the target or the options name: one
 * that hangs delays those of no other target. */
int source_self(const struct target *t, const char *kind, char *out, size_t size, struct err *err);

/* A source's name after its "aws/" or "postgres/". */
const char *source_name(const char *source);

/* The option `period` in milliseconds, or what is given. */
int64_t source_period_ms(const struct json *opts, int64_t fallback_ms);

#endif
