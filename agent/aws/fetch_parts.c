/* Files, URLs and environments around the search for keys. */
#include "aws/fetch_parts.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "aws/env.h"
#include "aws/service.h"
#include "base/mem.h"

#define MAX_TOKEN_BYTES (64 * 1024)

char *aws_token_read(const char *path, struct err *e)
{
    struct stat st;
    char *text = NULL;
    size_t len = 0, start = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set(e, ERR_IO, "cannot read the token file %s: %m", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(e, ERR_IO, "the token file %s is no regular file", path);
        goto out;
    }
    text = mem_alloc(MAX_TOKEN_BYTES + 1);
    while (len < MAX_TOKEN_BYTES && (n = read(fd, text + len, MAX_TOKEN_BYTES - len)) > 0)
        len += (size_t)n;
    while (len && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    while (start < len && isspace((unsigned char)text[start]))
        start++;
    memmove(text, text + start, len - start + 1);
    if (n < 0 || len == MAX_TOKEN_BYTES || !*text) {
        if (n < 0)
            err_set(e, ERR_IO, "cannot read the token file %s: %m", path);
        else
            err_set(e, ERR_IO, "the token file %s is %s", path, *text ? "too large" : "empty");
        mem_free(text);
        text = NULL;
    }
out:
    if (fd >= 0)
        close(fd);
    return text;
}

static bool may_ask_over_http(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6, eks;

    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127 || strcmp(host, "169.254.170.2") == 0 ||
               strcmp(host, "169.254.170.23") == 0;
    inet_pton(AF_INET6, "fd00:ec2::23", &eks);
    return inet_pton(AF_INET6, host, &v6) == 1 &&
           (IN6_IS_ADDR_LOOPBACK(&v6) || IN6_ARE_ADDR_EQUAL(&v6, &eks));
}

char *aws_container_url(const char *relative, const char *full, struct err *e)
{
    char *host, *end, *name;
    bool ok;

    if (relative && *relative) {
        if (*relative == '/')
            return mem_printf("http://169.254.170.2%s", relative);
        err_set(e, ERR_INPUT,
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is \"%.100s\", expected a path from /",
                relative);
        return NULL;
    }
    if (!full || !*full || !(host = aws_url_host(full, e)))
        return NULL;
    name = host;
    if (*host == '[') {
        name++;
        end = strchr(name, ']');
    } else {
        end = strchr(name, ':');
    }
    if (end)
        *end = '\0';
    ok = strncasecmp(full, "https://", 8) == 0 || may_ask_over_http(name);
    if (!ok)
        err_set(e, ERR_DENIED,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is \"%.100s\": without https only loopback, "
                "169.254.170.2 and 169.254.170.23 may be asked for keys",
                full);
    mem_free(host);
    return ok ? mem_strdup(full) : NULL;
}

char *aws_find_program(const char *name)
{
    const char *path = aws_env("PATH");
    struct stat st;

    if (strchr(name, '/'))
        return *name == '/' ? mem_strdup(name) : NULL;
    if (!path)
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path) {
        size_t len = strcspn(path, ":");
        char *full = mem_printf("%.*s/%s", (int)len, path, name);
        if (*path == '/' && stat(full, &st) == 0 && S_ISREG(st.st_mode) && access(full, X_OK) == 0)
            return full;
        mem_free(full);
        path += len + (path[len] == ':');
    }
    return NULL;
}

char **aws_process_env(void)
{
    static const char *const keep[] = {
        "PATH=", "HOME=", "USER=", "LOGNAME=", "LANG=", "TMPDIR=", "AWS_"};
    size_t n = 0, count = 0;
    char **env;

    while (environ[n])
        n++;
    env = mem_calloc(n + 1, sizeof *env);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < sizeof keep / sizeof *keep; k++)
            if (strncmp(environ[i], keep[k], strlen(keep[k])) == 0)
                env[count++] = mem_strdup(environ[i]);
    return env;
}
