/* The control socket: operators' commands as JSON, one object a line, and the name of who gave them
 * by the kernel's word. */
#ifndef RB_SERVE_CONTROL_H
#define RB_SERVE_CONTROL_H

#include "engine/engine.h"
#include "io/local.h"

struct control;

/* Commands beside the engine's: name, and what answers it (a map; ownership passes): one that is
 * carried out at once, or one that takes its time and then calls fn, exactly once. */
struct control_verb {
    const char *name;
    bool widens; /* for operators only */
    struct json *(*run)(void *arg, const struct json *command);
    void (*later)(void *arg, const struct json *command, command_fn *fn, void *fn_arg);
};

struct control_options {
    struct loop *loop;
    struct engine *engine;
    const char *path, *host;
    const char *const
        *operators; /* users who may change things; none: whoever can open the socket */
    size_t noperators;
    const struct control_verb *verbs; /* ended by a NULL name */
    void *arg;
};

struct control *control_listen(const struct control_options *o,
                               struct err *e); /* copies o but verbs; NULL as local_listen */
void control_free(struct control *c);

/* How a command is to be treated, for --help and tests: -1 unknown to us (the engine says so), 0
 * looks, 1 changes. */
int control_kind(const struct control_verb *verbs, const char *command);

#endif
