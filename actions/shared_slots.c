#include "shared_slots.h"

#include "io/pg.h"

/* Slots, and what is in them: each client backend, ours and superusers' too. To a role without
 * pg_monitor the kind of other roles' sessions is hidden (PostgreSQL's documentation, "Viewing
 * Statistics"): what belongs to a database is counted then. */
const char slots_sql[] =
    "SELECT current_setting('max_connections') AS max_connections, "
    "current_setting('superuser_reserved_connections')::int + "
    "coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved_connections, "
    "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
    "OR (backend_type IS NULL AND datid IS NOT NULL)) AS connections_used";

void slots_take(const struct action_call *c, const struct pg_rows *rows, struct json *seen,
                struct err *e)
{
    static const char *const columns[] = {"max_connections", "reserved_connections",
                                          "connections_used"};

    (void)c;
    (void)e;
    for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
        aws_see_int(seen, columns[i], pg_value(rows, 0, columns[i]));
}

bool slots_read(const struct json *seen, struct slots *out)
{
    out->max_connections = json_get_int(seen, "max_connections", -1);
    out->reserved = json_get_int(seen, "reserved_connections", -1);
    out->used = json_get_int(seen, "connections_used", -1);
    out->usable = out->max_connections - out->reserved;
    return out->reserved >= 0 && out->usable >= 1 && out->used >= 0;
}
