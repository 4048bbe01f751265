/* Configuration, estate and policies read and checked together, as run, reload, check and plan do.
 */
#ifndef RB_SERVE_LOAD_H
#define RB_SERVE_LOAD_H

#include "lua/lua.h"
#include "serve/exits.h"

struct loaded {
    struct config *config;
    struct estate *estate; /* one reference each */
    struct policy_set *set;
    struct json *discover;
};

/* Everything wrong is in d. False when there was an error; what was read all the same is in *out,
 * to be freed in any case. files: policies in place of the configuration's, or none. */
bool load_all(const char *config, const char *const *files, size_t nfiles, struct loaded *out,
              struct diags *d);
void loaded_free(struct loaded *l);
/* Makes the variants of policies that parameters of declared targets ask for, so that nobody waits
 * for them when the set is put in force. */
void load_variants(const struct loaded *l);

/* What the tests beside the policies have shown, each carried out once. */
struct tested {
    size_t ran, left; /* left: not carried out to its end, for want of time or because of many */
    struct json *failing; /* list of "FILE:LINE: NAME" */
    char *text;           /* for a person: the first that fails as `runbookd test` shows it */
};
void tested_free(struct tested *t);
/* Shares nothing with what is in force: for a thread of its own, which is mute from then on. Tests
 * that cannot be read are errors in d. enough: asked now and then; true ends it. */
typedef void tests_fn(const struct loaded *l, bool (*enough)(void *arg), void *arg,
                      struct tested *out, struct diags *d);

/* The exit code for the errors in d; config: the path of the configuration, whose being unreadable
 * is another matter than a policy's. */
enum exit_code load_exit(struct diags *d, const char *config);

/* What the new set may do and the old one may not, one line each; "" when nothing (M23: mode, max
 * and min, rates, approval, max_targets). */
struct json *load_wider(const struct loaded *old, const struct loaded *now);

#endif
