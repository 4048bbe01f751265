/* Addresses with a port, as configurations write them; no name is ever looked up. */
#ifndef RB_BASE_ADDRESS_H
#define RB_BASE_ADDRESS_H

#include <sys/socket.h>

/* "127.0.0.1:9117", "[::1]:9117"; without a port, "127.0.0.1" or "::1", it is default_port, and
 * where that is 0, -1. Port 0 is none. */
int address_parse(const char *text, int default_port, struct sockaddr_storage *out, socklen_t *len);
/* The host, a name or an address, and the port of "host:port", "[::1]:6379"; the caller frees.
 * NULL: it is none. */
char *address_split(const char *text, int *port);

#endif
