/* flock on a file that names its holder. */
#include "world/journal_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"

int journal_lock(const char *path, struct err *e)
{
    char *name = mem_printf("%s.lock", path);
    char pid[32] = "";
    int code;
    int fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        code =
            err_set(e,
                    errno == EACCES   ? ERR_AUTH
                    : errno == ENOENT ? ERR_NOT_FOUND
                                      : ERR_IO,
                    "cannot open the lock file %s: %s; the state directory must exist and belong "
                    "to the agent's user",
                    name, strerror(errno));
        goto out;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno;
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        if (error == EWOULDBLOCK)
            code = err_set(e, ERR_STATE,
                           "another agent (pid %ld) already runs on %s: stop it, or give "
                           "this one its own state directory",
                           strtol(pid, NULL, 10), path);
        else
            code = err_set(e, ERR_IO, "cannot lock %s: %s", name, strerror(error));
        goto out;
    }
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        code = err_set(e, ERR_IO, "cannot write to the lock file %s: %s", name, strerror(errno));
        goto out;
    }
    code = fd;
    fd = -1;
out:
    if (fd >= 0)
        close(fd);
    mem_free(name);
    return code;
}
