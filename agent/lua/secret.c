/* Secrets: named in Lua as secret.file "..." and secret.env "...", read only when they are used,
 * and only from files that nobody else can read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "lua/internal.h"

#define MAX_SECRET 65536

/* A path that a file names is relative to that file. */
char *path_beside(const char *file, const char *path)
{
    const char *slash = strrchr(file, '/');
    if (path[0] == '/' || !slash) {
        return mem_strdup(path);
    }
    return mem_printf("%.*s/%s", (int)(slash - file), file, path);
}

static const char too_open[] = "can be read by its group or by others: chmod 0400 it";

static int make_secret(lua_State *L, const char *how)
{
    struct loader *ld = loader_of(L);
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TSTRING || !*lua_tostring(L, 1)) {
        struct place at = place_here(L, how);
        diag_add(ld->d, "E107", &at, "secret.%s needs a %s, write secret.%s \"%s\"", how,
                 strcmp(how, "file") == 0 ? "path" : "name", how,
                 strcmp(how, "file") == 0 ? "/etc/runbookd/key" : "NAME");
        poison_push(L);
        return 1;
    }
    struct node *n = node_push(L, NODE_SECRET);
    n->secret = keep_json(ld->keep, json_new_map());
    const char *value = lua_tostring(L, 1);
    if (strcmp(how, "file") != 0) {
        json_set_str(n->secret, how, value);
        return 1;
    }
    char *path = path_beside(ld->names[0], value);
    struct stat st;
    json_set_str(n->secret, how, path);
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO))) {
        struct place at = place_here(L, value);
        diag_add(ld->d, "E121", &at, "the secret %s %s", path, too_open);
    }
    mem_free(path);
    return 1;
}
static int f_file(lua_State *L)
{
    return make_secret(L, "file");
}
static int f_env(lua_State *L)
{
    return make_secret(L, "env");
}

void secret_register(lua_State *L)
{
    static const luaL_Reg names[] = {{"file", f_file}, {"env", f_env}, {NULL, NULL}};
    luaL_newlib(L, names);
    sandbox_freeze(L, false);
    lua_setfield(L, -2, "secret");
}

static int read_file(const char *path, char *text, size_t size, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    size_t len = 0;
    int rc = 0;
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                     "the secret %s cannot be read: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = err_set(e, ERR_INPUT, "the secret %s is %s: name a plain file", path,
                     S_ISDIR(st.st_mode) ? "a folder" : "no plain file");
        goto out;
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        rc = err_set(e, ERR_AUTH, "the secret %s %s", path, too_open);
        goto out;
    }
    while (len < size) {
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            rc = err_set(e, ERR_IO, "the secret %s cannot be read: %s", path, strerror(errno));
            goto out;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    if (len == size || memchr(text, 0, len)) {
        rc = err_set(e, ERR_INPUT, "the secret %s is longer than %d bytes, or no text", path,
                     MAX_SECRET);
        goto out;
    }
    text[len] = '\0';
out:
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

int secret_read(const struct json *held, char **out, struct err *e)
{
    const char *path = json_get_str(held, "file", NULL), *name = json_get_str(held, "env", NULL);
    char *text = mem_alloc(MAX_SECRET + 1);
    int rc = 0;
    *out = NULL;
    if (path) {
        rc = read_file(path, text, MAX_SECRET, e);
    } else if (name) {
        const char *value = getenv(name);
        if (!value || strlen(value) >= MAX_SECRET) {
            rc = err_set(e, ERR_NOT_FOUND, "the secret's environment variable %s is not set", name);
        } else {
            snprintf(text, MAX_SECRET, "%s", value);
        }
    } else {
        rc = err_set(e, ERR_INPUT, "a secret is secret.file \"/path\" or secret.env \"NAME\"");
    }
    if (rc == 0) {
        text[strcspn(text, "\r\n")] = '\0';
        if (!*text) {
            rc = err_set(e, ERR_INPUT, "the secret %s is empty", path ? path : name);
        } else {
            log_hide(text);
            *out = mem_strdup(text);
        }
    }
    explicit_bzero(text, MAX_SECRET + 1);
    mem_free(text);
    return rc;
}
