/* A disk that fills up or hangs while a program runs on it: preloaded, it looks at the file named
 * by RB_DISKFAULT before each write and sync of a file below RB_DISKFAULT_UNDER. "full" fails
 * writes with ENOSPC, "error" fails writes and syncs with EIO, "hang" holds both until the file
 * says something else; anything else, or no file, lets them through. The first call on a journal.db
 * that is not let through makes the file NAME.hit: what follows is timed from there, not from when
 * the disk went bad unnoticed. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AGAIN_NS (20 * 1000 * 1000L)

#define REAL(name) ((__typeof__(&(name)))(uintptr_t)dlsym(RTLD_NEXT, #name))

/* Its name is put into file. */
static bool watched(int fd, char file[PATH_MAX])
{
    const char *under = getenv("RB_DISKFAULT_UNDER");
    char number[64];
    ssize_t n;

    if (!under)
        return false;
    snprintf(number, sizeof number, "/proc/self/fd/%d", fd);
    n = readlink(number, file, PATH_MAX - 1);
    if (n <= 0)
        return false;
    file[n] = 0;
    return strncmp(file, under, strlen(under)) == 0;
}

/* What the file says now: the first letter, or 0. */
static char said(void)
{
    const char *name = getenv("RB_DISKFAULT");
    char c = 0;
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return 0;
    if (read(fd, &c, 1) != 1)
        c = 0;
    close(fd);
    return c;
}

static void note_hit(void)
{
    char name[4096];
    int fd;

    snprintf(name, sizeof name, "%s.hit", getenv("RB_DISKFAULT"));
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

/* 0, or the errno that the call is to fail with. */
static int fault(int fd, bool sync)
{
    char c, file[PATH_MAX];

    if (!watched(fd, file))
        return 0;
    c = said();
    if (strstr(file, "/journal.db") && (c == 'h' || c == 'e' || (c == 'f' && !sync)))
        note_hit();
    while ((c = said()) == 'h')
        nanosleep(&(struct timespec){0, LOOK_AGAIN_NS}, NULL);
    return c == 'e' ? EIO : c == 'f' && !sync ? ENOSPC : 0;
}

#define FAIL_OR(call, sync)                                                                        \
    do {                                                                                           \
        int e = fault(fd, sync);                                                                   \
        if (e) {                                                                                   \
            errno = e;                                                                             \
            return -1;                                                                             \
        }                                                                                          \
        return call;                                                                               \
    } while (0)

__attribute__((visibility("default"))) ssize_t pwrite64(int fd, const void *data, size_t n,
                                                        off64_t at)
{
    FAIL_OR(REAL(pwrite64)(fd, data, n, at), false);
}

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    FAIL_OR(REAL(pwrite)(fd, data, n, at), false);
}

__attribute__((visibility("default"))) ssize_t write(int fd, const void *data, size_t n)
{
    FAIL_OR(REAL(write)(fd, data, n), false);
}

__attribute__((visibility("default"))) int fsync(int fd)
{
    FAIL_OR(REAL(fsync)(fd), true);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
    FAIL_OR(REAL(fdatasync)(fd), true);
}
