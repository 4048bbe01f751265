/* What is sent where, in the open or not. */
#ifndef RB_BASE_URL_H
#define RB_BASE_URL_H

#include <stdbool.h>

/* Whether secrets, and reports, which tell much of an estate, may be sent there: https to anywhere,
 * http to this host itself only. */
bool url_safe(const char *url);

#endif
