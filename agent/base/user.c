#include "base/user.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

/* The first line for which it is this uid, or this name where one is given. */
static bool find(uid_t uid, const char *name, char *out, size_t size)
{
    FILE *f = fopen("/etc/passwd", "re");
    struct passwd pw, *entry = NULL;
    char line[4096];
    bool found = false;

    while (f && !found && fgetpwent_r(f, &pw, line, sizeof(line), &entry) == 0 && entry)
        if (name ? strcmp(pw.pw_name, name) == 0 : pw.pw_uid == uid) {
            snprintf(out, size, "%s", pw.pw_name);
            found = true;
        }
    if (f)
        fclose(f);
    return found;
}

void user_name(uid_t uid, char *out, size_t size)
{
    if (!find(uid, NULL, out, size))
        snprintf(out, size, "uid:%u", (unsigned)uid);
}

bool user_exists(const char *name)
{
    char any[256];

    if (strncmp(name, "uid:", 4) == 0)
        return name[4] && name[4 + strspn(name + 4, "0123456789")] == '\0';
    return find(0, name, any, sizeof(any));
}

bool user_group_exists(const char *name)
{
    FILE *f = fopen("/etc/group", "re");
    struct group group, *entry = NULL;
    char line[65536];
    bool found = false;

    while (f && !found && fgetgrent_r(f, &group, line, sizeof(line), &entry) == 0 && entry)
        found = strcmp(group.gr_name, name) == 0;
    if (f)
        fclose(f);
    return found;
}
