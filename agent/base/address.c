#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int port_of(const char *text)
{
    size_t n = strspn(text, "0123456789");
    long port = n > 0 && n <= 5 && text[n] == '\0' ? strtol(text, NULL, 10) : 0;

    return port > 0 && port <= 65535 ? (int)port : -1;
}

int address_parse(const char *text, int default_port, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in *four = (struct sockaddr_in *)out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
    const char *colon = strrchr(text, ':'), *close = strchr(text, ']');
    bool brackets = *text == '[' && close;
    const char *port = brackets                              ? close[1] ? close + 1 : NULL
                       : colon && strchr(text, ':') == colon ? colon
                                                             : NULL;
    const char *host = text + brackets, *end = brackets ? close : port;
    char name[INET6_ADDRSTRLEN];
    int n = port ? *port == ':' ? port_of(port + 1) : -1 : default_port;
    size_t size = end ? (size_t)(end - host) : strlen(host);

    memset(out, 0, sizeof(*out));
    if (n <= 0 || size >= sizeof(name))
        return -1;
    memcpy(name, host, size);
    name[size] = '\0';
    if (!brackets && inet_pton(AF_INET, name, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)n);
        *len = sizeof(*four);
        return 0;
    }
    if (inet_pton(AF_INET6, name, &six->sin6_addr) != 1)
        return -1;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)n);
    *len = sizeof(*six);
    return 0;
}

char *address_split(const char *text, int *port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;

    *port = len > 0 ? port_of(colon + 1) : -1;
    if (*port < 0)
        return NULL;
    if (text[0] == '[' && text[len - 1] == ']')
        return len > 2 ? mem_strndup(text + 1, len - 2) : NULL;
    return mem_strndup(text, len);
}
