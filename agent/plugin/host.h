/* What the live world lends to collectors and actions: io handles and clients of the estate's
 * accounts and servers. */
#ifndef RB_PLUGIN_HOST_H
#define RB_PLUGIN_HOST_H

#include <stdint.h>
#include "base/err.h"
#include "base/json.h"

struct loop;
struct resolver;
struct http;
struct aws;
struct pg;
struct redis;
struct target;
struct alerts;

struct host_io {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    /* The client of the estate's `aws NAME`; shared; NULL and *e when there is none. */
    struct aws *(*aws)(void *arg, const char *name, struct err *e);
    /* A connection to a postgres or cache target: `use` separates users of the same server
     * ("collect", "act", and "read", on which the server lets nothing be changed), so that none waits
     * behind another. Shared, not to be freed. */
    struct pg *(*pg)(void *arg, const struct target *t, const char *use, struct err *e);
    /* node: "host:port" of one of several nodes, or NULL: the target's host and port. */
    struct redis *(*redis)(void *arg, const struct target *t, const char *node, const char *use,
                           struct err *e);
    void *arg;
    const struct alerts *alerts; /* NULL: nobody receives any */
};

#endif
