/* Targets and the estate: what policies can act on, and how it hangs together. Data only; loaded by
 * the Lua door, searched by the engine. */
#ifndef RB_PLUGIN_TARGET_H
#define RB_PLUGIN_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/json.h"
#include "plugin/option.h"

enum mode { MODE_OFF, MODE_SHADOW, MODE_APPROVE, MODE_ENFORCE };
const char *mode_name(enum mode m);
int mode_parse(const char *word); /* a mode, or -1 */

/* What the last listings said of a target that was found, not declared: only what is in the last
 * complete one may be acted on. */
enum listed {
    LISTED,        /* declared, or in the last complete listing */
    LISTED_UNSURE, /* known from before the start; not listed again yet */
    LISTED_ABSENT, /* not in the last complete listing; in the one before it was */
    LISTED_EMPTY,  /* the last listing had nothing in it, the one before had: it is not believed */
};
const char *listed_why(enum listed l); /* for people: why nothing may act on it; "" of LISTED */

struct target {
    const char *kind;    /* "asg", "postgres", ... one of target_kinds */
    const char *name;    /* unique within its kind */
    const char *id;      /* "asg/web-1" */
    struct json *tag;    /* map of strings */
    struct json *fields; /* the kind's options, as held; with "aws" where given */
    enum mode mode;      /* MODE_ENFORCE when the estate does not say: narrows nothing */
    bool found;          /* by a discover, not declared */
    enum listed listed;
    size_t order;     /* of declaration */
    const char *file; /* where it was declared, or the discover that found it */
    int line;
};

/* What `discover.KIND { ... }` takes, and needs. */
struct discovery {
    const struct option *options;
    size_t noptions;
    const char *const *permissions; /* as of a collector */
};

/* One kind of target; a table that the schema, the finders and the manual share. */
struct target_kind {
    const char *name, *summary;
    const struct option *options;
    size_t noptions;
    const char *domain; /* the field that is its failure domain ("zone", "region"), or NULL */
    const struct discovery *discover; /* NULL: it cannot be discovered */
    /* Beyond the option table: cross checks (NULL: none). ERR_INPUT with what is wrong and what to
     * write; a text that begins with the name of a field is shown at that field. */
    int (*check)(const struct json *fields, struct err *e);
};
extern const struct target_kind target_kinds[];
extern const size_t target_kinds_len;
const struct target_kind *target_kind_find(const char *name);

/* One version of the estate; immutable once loaded; counted, because runs, samples and collectors
 * may outlive a reload. */
struct estate;
struct estate *estate_new(void);
struct estate *estate_ref(struct estate *e);
void estate_unref(struct estate *e);

/* Adds a target; takes ownership of tag and fields. ERR_INPUT when the name is taken (text names
 * the first site). */
int estate_add(struct estate *e, const char *kind, const char *name, struct json *tag,
               struct json *fields, enum mode mode, const char *file, int line, struct err *err);
/* While an estate is made: a copy of another's targets; that one of them was found, and what
 * listings said of it; a lower mode of one; and that a discover of it has not been listed
 * completely yet, so that a selector may find more. */
struct estate *estate_copy(const struct estate *e);
void estate_found(struct estate *e, const char *kind, const char *name, enum listed listed);
void estate_lower(struct estate *e, const char *kind, const char *name, enum mode mode);
void estate_set_partial(struct estate *e);
bool estate_partial(const struct estate *e);
const struct target *estate_find(const struct estate *e, const char *kind,
                                 const char *name); /* NULL if absent */
const struct target *estate_by_id(const struct estate *e, const char *id);
size_t estate_len(const struct estate *e);
const struct target *estate_at(const struct estate *e, size_t i);
char *estate_hash(const struct estate *e); /* hex SHA-256 of all of it; the caller frees */

/* Checks references between targets (OPT_TARGET fields name existing ones): one message each
 * through `report`. */
void estate_check(const struct estate *e,
                  void (*report)(void *arg, const struct target *t, const char *field,
                                 const char *text),
                  void *arg);

/* "Same service": both belong to a service target, directly or as the proxy or instance of one that
 * does, or they are the same. */
bool estate_same_service(const struct estate *e, const struct target *a, const struct target *b);

/* The target that `t` names in its field `kind` ("asg" of a service), or t itself when it is of
 * that kind; NULL without. */
const struct target *estate_related(const struct estate *e, const struct target *t,
                                    const char *kind);

/* What one more instance of a group costs a database: the pool_size of the services that run on it.
 * Behind a proxy it costs none: how many connections the proxy opens is its own limit. */
struct pool_cost {
    const struct target *database; /* NULL: none is known of */
    const struct target *other;    /* a second one, which is one too many to be counted */
    int64_t each;
};
struct pool_cost estate_pool_cost(const struct estate *e, const struct target *asg);

/* The database that acts on `t` ask: t itself or the one that it names; of a proxy the one that
 * names it; of a group the one that its pool_cost is about. NULL without, or with more than one of
 * a group: then none is asked. */
const struct target *estate_database(const struct estate *e, const struct target *t);

/* Its failure domain, an availability zone or a region: what it says, or its account does; NULL
 * when neither is known. */
const char *estate_domain(const struct estate *e, const struct target *t);

/* What find.KIND { name, tag, except } holds. */
struct selector {
    const char *kind;
    struct json *name;   /* list of strings or NULL: all */
    struct json *tag;    /* map of strings or NULL */
    struct json *except; /* list of strings or NULL */
};
bool selector_match(const struct selector *s, const struct target *t);
/* The targets that it selects, in the order of declaration; the caller frees the array. */
size_t estate_select(const struct estate *e, const struct selector *s, const struct target ***out);

#endif
