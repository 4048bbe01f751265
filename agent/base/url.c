#include "base/url.h"
#include <string.h>

bool url_safe(const char *url)
{
    static const char *const loopback[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};

    for (const char *s = url; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    if (strncmp(url, "https://", 8) == 0)
        return url[8] != '\0' && !strchr(":/?#@", url[8]);
    if (strchr(url, '@')) /* http://localhost:1@elsewhere */
        return false;
    for (size_t k = 0; k < sizeof(loopback) / sizeof(loopback[0]); k++) {
        size_t n = strlen(loopback[k]);
        if (strncmp(url, loopback[k], n) == 0 && (url[n] == ':' || url[n] == '/' || url[n] == '\0'))
            return true;
    }
    return false;
}
