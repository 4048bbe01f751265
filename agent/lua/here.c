/* What a file names and this host lacks: W207, because the agent may run on another one. What is
 * here and wrong is an error. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/user.h"
#include "lua/internal.h"

void here_file(struct loader *ld, const struct place *at, const char *name, const char *path)
{
    if (access(path, R_OK) != 0) {
        diag_add(ld->d, "W207", at,
                 "%s: %s cannot be read here: %s; it must be readable where the agent runs", name,
                 path, strerror(errno));
    }
}

void here_secret(struct loader *ld, const struct place *at, const struct option *o,
                 const struct json *held)
{
    struct err e = ERR_INIT;
    char *text = NULL;
    int rc = secret_read(held, &text, &e);
    if (rc == ERR_NOT_FOUND || rc == ERR_IO) {
        diag_add(ld->d, "W207", at, "%s: %s; the agent needs it where it runs", o->name, e.text);
    } else if (rc == ERR_INPUT || (rc == 0 && o->check && o->check(text, &e) != 0)) {
        diag_add(ld->d, "E107", at, rc ? "%s: %s" : "%s %s", o->name, e.text);
    }
    if (text) {
        explicit_bzero(text, strlen(text));
    }
    mem_free(text);
}

void here_user(struct loader *ld, const struct place *at, const char *name, const char *user)
{
    if (!user_exists(user)) {
        diag_add(ld->d, "W207", at,
                 "%s: this host has no user \"%s\" in /etc/passwd%s; write the name of a user, or "
                 "\"uid:1234\" of one whom a directory service knows",
                 name, user,
                 user_group_exists(user) ? ", only a group, and a group cannot be named" : "");
    }
}
