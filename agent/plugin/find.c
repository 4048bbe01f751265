/* Look-ups in the registry's tables. */
#include <string.h>

#include "plugin/action.h"
#include "plugin/collector.h"

const struct signal *signal_find(const char *name, const struct collector_type **type)
{
    for (size_t i = 0; i < collector_types_len; i++) {
        const struct collector_type *t = collector_types[i];

        for (size_t j = 0; j < t->nsignals; j++) {
            if (strcmp(t->signals[j].name, name) == 0) {
                if (type != NULL)
                    *type = t;
                return &t->signals[j];
            }
        }
    }
    if (type != NULL)
        *type = NULL;
    for (size_t i = 0; i < derived_signals_len; i++) {
        if (strcmp(derived_signals[i].name, name) == 0)
            return &derived_signals[i];
    }
    return NULL;
}

const struct collector_type *signal_collector(const struct signal *s, const struct target *t,
                                              const struct estate *e)
{
    const char *name = s->collector != NULL ? s->collector(t, e) : NULL;
    const struct collector_type *type = NULL;

    for (size_t i = 0; name != NULL && i < collector_types_len; i++) {
        if (strcmp(collector_types[i]->name, name) == 0)
            return collector_types[i];
    }
    signal_find(s->name, &type);
    return type;
}

const struct action_type *action_find(const char *name)
{
    for (size_t i = 0; i < action_types_len; i++) {
        if (strcmp(action_types[i]->name, name) == 0)
            return action_types[i];
    }
    return NULL;
}
