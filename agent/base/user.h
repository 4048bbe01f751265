/* This host's users, from /etc/passwd alone: whoever else there is has a number. A directory
 * service could block, and could be away when it is needed. */
#ifndef RB_BASE_USER_H
#define RB_BASE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The name, or "uid:1234". */
void user_name(uid_t uid, char *out, size_t size);
/* Whether somebody can be called that: the name of a user, or "uid:1234" of one without a name. */
bool user_exists(const char *name);
/* Whether it is the name of a group. */
bool user_group_exists(const char *name);

#endif
