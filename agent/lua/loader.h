/* What loads one file: its Lua state, where its data goes, where its errors go. Files of this
 * folder only. */
#ifndef RB_LUA_LOADER_H
#define RB_LUA_LOADER_H

#include "base/json.h"
#include "base/mem.h"
#include "engine/policy.h"
#include "lua/host.h"
#include "lua/schema.h"

/* JSON values that live as long as an arena. */
struct keep {
    struct json **items;
    size_t n, cap;
};
struct json *keep_json(struct keep *k, struct json *j); /* takes it over and returns it */
void keep_free(struct keep *k);

enum file_kind { FILE_POLICY, FILE_ESTATE, FILE_CONFIG, FILE_PARAMS, FILE_TEST };

struct loader {
    struct host *h;
    struct arena *arena; /* owner: whoever made the loader */
    struct keep *keep;
    struct diags *d;
    enum file_kind kind;
    const char *names[HOST_MAX_FILES]; /* the sources' names in the arena */
    struct scan *const *scans;         /* of texts that were read before, borrowed; or NULL */
    size_t nscans;
    const char *only; /* the one policy that is wanted; NULL: all */
    /* use "x": text of lib x, or NULL; the text stays valid. path: where it came from, for
     * messages. */
    const char *(*lib)(void *arg, const char *name, size_t *len, const char **path);
    void *arg;
    const struct json *params;           /* "NAME" and "NAME@TARGET" -> value; NULL: none */
    const char *target_name, *target_id; /* whose overrides count; NULL: nobody's */
    struct json *used; /* resolved values of the parameters that the file asked for */
    struct json *libs; /* name -> text of the libs that it used */
    bool quiet;        /* a variant or a run: what was said once is not said again */
    bool poisoned; /* something was reported and replaced: what follows from it is not reported */
    int nodes;     /* made so far */
    int depth;     /* of use in use */
    struct policy **policies;
    size_t npolicies, policies_cap;
    const struct estate *estate; /* for periods; NULL: unknown */
    const char *const *operators;
    size_t noperators; /* who may change things; none: whoever can open the socket */
    bool ended;        /* the file ran to its end: what it does not have it does not have */
    void *out;         /* estate or configuration that is being filled */
};

enum node_kind { NODE_POISON, NODE_CONDITION, NODE_ACTION, NODE_SELECTOR, NODE_SECRET };
struct action_node {
    struct declared_action action; /* without a name */
    bool approval_given, approval_none;
    int max_acts; /* 0: not given */
};
/* What a constructor gives to Lua: opaque there, its data in the arena. */
struct node {
    enum node_kind kind;
    struct cond *cond;
    int comparators; /* of a leaf */
    struct action_node *action;
    struct selector *selector;
    struct json *secret;
    struct place place; /* where it was made */
};

struct loader *loader_of(lua_State *L);
void loader_init(struct loader *ld, struct arena *arena, struct keep *keep, struct diags *d,
                 enum file_kind kind);
/* Makes the state and runs the file under the protected door; what goes wrong is in ld->d. False
 * when it could not be run to its end. `finish`, if not NULL, is called in Lua with the chunk's
 * value on the stack. */
bool loader_run(struct loader *ld, const char *name, const char *text, size_t len,
                lua_CFunction finish);
void loader_end(struct loader *ld); /* frees the state and `used`, `libs` */
void loader_fault(struct loader *ld, const struct fault *f);
/* False and E100 when a file that `named` names in its field `key` cannot be read, where it is
 * named. NULL: named by no file, and looked at when it is read. */
bool readable(const char *path, const char *key, const struct place *named, struct diags *d);
/* Reads a whole file; E100 when it cannot. */
char *read_text(const char *path, size_t *len, struct diags *d);

/* ---- places ---- */
struct place place_token(const struct loader *ld, int source, size_t token);
struct place place_line(const struct loader *ld, int source, int line, const char *word);
struct place place_here(lua_State *L, const char *word); /* of the calling Lua code */
struct place place_call(lua_State *L,
                        int table); /* of the expression that the table is the argument of */
struct place place_key(lua_State *L, int table, const char *key, int index);
struct place place_value(lua_State *L, int table, const char *key, int index);
/* Of one entry of the list in a field, or of the field where it is no list. */
struct place place_entry(lua_State *L, int table, const char *field, int index);
struct place place_site(const struct loader *ld, const struct site *site, const char *word);
/* Of a field of the table that the call at that site has; without it, of word there. */
struct place place_site_field(const struct loader *ld, const struct site *site, const char *word,
                              const char *field);
struct site site_of(const struct loader *ld, const struct place *p);

/* ---- values ---- */
struct node *node_push(lua_State *L, enum node_kind kind);
struct node *node_at(lua_State *L, int index); /* NULL: no node */
bool is_poison(lua_State *L, int index);       /* something that was reported before */
void poison_push(lua_State *L);
/* The value as JSON; NULL when it holds what is not data. Poison sets *poison. */
struct json *value_json(lua_State *L, int index, bool *poison);

/* A table of named fields being read. */
struct tab {
    int index;
    const char *what; /* "policy \"x\"", "sig.asg_cpu" */
};
/* Reports keys that none of the tables knows (E104) and list items (E106). */
void tab_known(lua_State *L, const struct tab *t, const struct field *fields, size_t nfields,
               const struct option *options, size_t noptions);
/* One option: pushes nothing. NULL: absent, wrong (reported) or poison; *given tells that something
 * was written. */
struct json *tab_option(lua_State *L, const struct tab *t, const struct option *o, bool *given);
/* All options of a table into one map as held, defaults in; one_of groups checked. */
struct json *tab_options(lua_State *L, const struct tab *t, const struct option *options,
                         size_t noptions);
void tab_missing(lua_State *L, const struct tab *t, const struct field *f); /* E105 */
/* The condition in the value at `index`; NULL after E107 or E109 at `at` (or poison). `name`: the
 * field. */
struct cond *tab_condition(lua_State *L, int index, const char *name, const struct place *at);
int did_you_mean(char *out, size_t size, const char *word, const char *const *names,
                 size_t n); /* `, did you mean "x"?` or "" */

/* The same among a policy's own actions and checks. */
void hint_action(char *out, size_t size, const struct policy *p, const char *word);
void hint_check(char *out, size_t size, const struct policy *p, const char *word);

/* ---- constructors ---- */
void nodes_register(lua_State *L);  /* sig, act, find, all, any, none into the table on top */
void policy_register(lua_State *L); /* policy, procedure, defaults, param, use */
void estate_register(lua_State *L);
void test_register(lua_State *L); /* test, and what stands in its way in a file of tests */
void secret_register(lua_State *L);
void config_register(lua_State *L);
int loader_use(lua_State *L);    /* use "x" */
int policy_finish(lua_State *L); /* builds the policies once the file has run */
/* The node of a signal that no collector reads. */
void derived_push(lua_State *L, const struct signal *s, const struct tab *t);
void read_clock(lua_State *L, const struct tab *t, struct cond *c); /* lasting and missing */
/* clear, of the type of the comparator's value, which is written as `as`; E106 without one. */
void read_clear(lua_State *L, const struct tab *t, struct node *n, const struct option *as);
int signal_push(lua_State *L, const char *name); /* sig.NAME's function; 0: no such signal */

/* The names of all signals, actions, kinds of targets, for "did you mean"; how many. */
#define NAMES_MAX 256
size_t names_signals(const char **names);
size_t names_actions(const char **names);
size_t names_kinds(const char **names);

/* What math, string, secret and discover do not have is E102, and stands for itself afterwards, so
 * that the rest of the file is read. Of the table of globals on top. */
void names_guard(lua_State *L);
/* Checks of names that stand in the text (E102, E103, W201) before it runs. */
void loader_names(struct loader *ld, int source, const char *const *globals, size_t n);

/* here.c: W207 for what is not on this host, E107 for a secret that is here and wrong. */
void here_file(struct loader *ld, const struct place *at, const char *name, const char *path);
void here_secret(struct loader *ld, const struct place *at, const struct option *o,
                 const struct json *held);
void here_user(struct loader *ld, const struct place *at, const char *name, const char *user);

#endif
