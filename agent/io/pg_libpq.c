/* libpq's words and numbers, put into ours. */
#include "io/pg_libpq.h"

#include <stdio.h>
#include <string.h>

/* glibc's own tcp_info lacks tcpi_bytes_received, and the two headers exclude each other. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"

void pg_conninfo_add(struct buf *info, const char *key, const char *value)
{
    if (!value)
        return;
    buf_addf(info, "%s='", key);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buf_addc(info, '\\');
        buf_addc(info, *value);
    }
    buf_adds(info, "' ");
}

int pg_sqlstate_code(const char *state)
{
    if (!strncmp(state, "28", 2))
        return ERR_AUTH;
    if (!strcmp(state, "42501"))
        return ERR_DENIED;
    if (!strcmp(state, "57014") || !strcmp(state, "55P03"))
        return ERR_TIMEOUT;
    if (!strncmp(state, "42", 2) || !strncmp(state, "22", 2))
        return ERR_INPUT;
    if (!strncmp(state, "53", 2) || !strncmp(state, "54", 2))
        return ERR_LIMIT;
    return ERR_IO;
}

/* libpq 15 gives no SQLSTATE for a failed connection, but with PQERRORS_VERBOSE its text has it:
 * "FATAL:  28P01: password ...". */
int pg_connect_error(PGconn *conn, char *text, size_t size)
{
    char state[6] = "";
    snprintf(text, size, "%s", PQerrorMessage(conn));
    char *location = strstr(text, "\nLOCATION:");
    if (location)
        *location = '\0';
    for (const char *at = text; (at = strstr(at, ":  ")); at += 3)
        if (strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && at[8] == ':')
            snprintf(state, sizeof state, "%.5s", at + 3);
    if (PQconnectionNeedsPassword(conn))
        return ERR_AUTH;
    return state[0] ? pg_sqlstate_code(state) : ERR_IO;
}

uint64_t pg_bytes_received(PGconn *conn)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(PQsocket(conn), IPPROTO_TCP, TCP_INFO, &info, &len))
        return 0;
    return info.tcpi_bytes_received;
}
