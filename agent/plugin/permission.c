/* Rights as descriptors write them. */
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
