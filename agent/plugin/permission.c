/* What descriptors say that an action needs: rights, and fields of its target. */
#include <string.h>

#include "base/mem.h"
#include "plugin/action.h"

char *permission_for(const char *permission, const char *kind)
{
    const char *mark = strstr(permission, " [");
    size_t len = strlen(kind);

    if (mark == NULL)
        return mem_strdup(permission);
    if (strncmp(mark + 2, kind, len) != 0 || strcmp(mark + 2 + len, "]") != 0)
        return NULL;
    return mem_strndup(permission, (size_t)(mark - permission));
}

const char *action_lacks(const struct action_type *a, const struct target *t)
{
    size_t len = strlen(t->kind);

    for (const char *const *n = a->needs; n != NULL && *n != NULL; n++) {
        const char *field = *n + len + 1;

        if (strncmp(*n, t->kind, len) == 0 && (*n)[len] == '.' &&
            json_get(t->fields, field) == NULL)
            return field;
    }
    return NULL;
}
