/* Clients of the estate's accounts and servers, shared by collectors and actions, made at first
 * use. */
#ifndef RB_WORLD_CLIENTS_H
#define RB_WORLD_CLIENTS_H

#include "plugin/host.h"
#include "plugin/target.h"

struct clients;

struct clients *clients_new(struct loop *l, struct resolver *r, struct http *h,
                            const char *ca_file);
void clients_free(struct clients *c);

/* The handle that collectors and actions are given; lives as long as c. */
const struct host_io *clients_io(const struct clients *c);

/* Lends collectors what was received; it outlives c. */
void clients_alerts(struct clients *c, const struct alerts *alerts);

/* From now on names mean what they mean in this estate (counted). A client whose definition changed
 * is made anew at its next use; the old one lives on until clients_retire, because a collector or a
 * request in flight may hold it. */
void clients_estate(struct clients *c, struct estate *e);
void clients_retire(
    struct clients *c); /* nothing holds a client of an earlier definition any more */

#endif
