/* A CA of the test's own, good and bad certificates in a temporary folder, and a server that shows
 * one. */
#ifndef RB_TESTS_HELP_CERT_H
#define RB_TESTS_HELP_CERT_H

#include "help_io.h"

/* Makes "ca" (ends in 10 days), "good" (localhost, 127.0.0.1; 5 days), "expired" (since a day) and
 * "other" (of other.test); each file holds certificate and key. 0. For cmocka's group. */
int certs_make(void **state);
int certs_remove(void **state);
const char *cert_path(const char *name); /* good for the next three calls */

/* An HTTPS server that shows `cert` and answers 200 "ok", to clients with a certificate of
 * client_ca where that is not NULL; counts requests. */
void cert_serve(struct server *s, const char *cert, const char *client_ca);
void cert_stop(struct server *s); /* nothing is served: fine */

#endif
