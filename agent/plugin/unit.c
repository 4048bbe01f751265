/* The unit of a signal's readings. */
#include <string.h>

#include "plugin/collector.h"

enum unit signal_unit(const struct signal *s, const struct json *opts)
{
    const char *word = option_find(s->options, s->noptions, "unit") != NULL
                           ? json_get_str(opts, "unit", NULL)
                           : NULL;

    for (int u = UNIT_NUMBER; word != NULL && u <= UNIT_ENUM; u++) {
        if (strcmp(unit_name((enum unit)u), word) == 0)
            return (enum unit)u;
    }
    return s->unit;
}
