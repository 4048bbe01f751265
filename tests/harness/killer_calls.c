/* Which system calls have an effect outside their process, and on what: the table and the filters
 * of the kill harness. */
#include "harness/killer_calls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "the kill harness knows x86-64 and arm64 only"
#endif
#define X32_BIT 0x40000000U

#define FD(name)                                                                                   \
    {                                                                                              \
        SYS_##name, #name, CALL_FD, 0, 0, 0, 0                                                     \
    }
static const struct call table[] = {
    FD(write),
    FD(writev),
    FD(pwrite64),
    FD(pwritev),
    FD(pwritev2),
    FD(fsync),
    FD(fdatasync),
    FD(sync_file_range),
    FD(ftruncate),
    FD(fallocate),
    FD(syncfs),
    FD(fchmod),
    FD(sendfile),
    {SYS_copy_file_range, "copy_file_range", CALL_FD, 2, 0, 0, 0},
    {SYS_splice, "splice", CALL_FD, 2, 0, 0, 0},
    {SYS_sendto, "sendto", CALL_SEND, 0, 4, 0, 0},
    {SYS_sendmsg, "sendmsg", CALL_SEND, 0, -1, 0, 0},
    {SYS_sendmmsg, "sendmmsg", CALL_SEND, 0, -1, 0, 0},
    {SYS_connect, "connect", CALL_CONNECT, 0, 1, 0, 0},
    {SYS_openat, "openat", CALL_OPEN, 0, 1, 2, 0},
    {SYS_openat2, "openat2", CALL_OPEN, 0, 1, 2, 0},
    {SYS_truncate, "truncate", CALL_PATH, -1, 0, 0, 0},
    {SYS_unlinkat, "unlinkat", CALL_PATH, 0, 1, 0, 0},
    {SYS_mkdirat, "mkdirat", CALL_PATH, 0, 1, 0, 0},
    {SYS_mknodat, "mknodat", CALL_PATH, 0, 1, 0, 0},
    {SYS_symlinkat, "symlinkat", CALL_PATH, 1, 2, 0, 0},
    {SYS_linkat, "linkat", CALL_PATHS, 0, 1, 2, 3},
    {SYS_renameat2, "renameat2", CALL_PATHS, 0, 1, 2, 3},
    {SYS_clone, "clone", CALL_CLONE, 0, 0, 0, 0},
    {SYS_clone3, "clone3", CALL_CLONE, 0, 0, 0, 0},
    {SYS_execve, "execve", CALL_EXEC, 0, 0, 0, 0},
    {SYS_execveat, "execveat", CALL_EXEC, 1, 0, 0, 0},
    {SYS_kill, "kill", CALL_SIGNAL, 0, 0, 0, 0},
    {SYS_tkill, "tkill", CALL_SIGNAL, 0, 0, 0, 0},
    {SYS_tgkill, "tgkill", CALL_SIGNAL, 0, 0, 0, 0},
    {SYS_pidfd_send_signal, "pidfd_send_signal", CALL_SIGNAL, -1, 0, 0, 0},
    {SYS_msync, "msync", CALL_MEMORY, 0, 0, 0, 0},
#ifdef SYS_renameat
    {SYS_renameat, "renameat", CALL_PATHS, 0, 1, 2, 3},
#endif
#ifdef SYS_open /* arm64 has only the ...at calls */
    {SYS_open, "open", CALL_OPEN, -1, 0, 1, 0},
    {SYS_creat, "creat", CALL_PATH, -1, 0, 0, 0},
    {SYS_unlink, "unlink", CALL_PATH, -1, 0, 0, 0},
    {SYS_mkdir, "mkdir", CALL_PATH, -1, 0, 0, 0},
    {SYS_rmdir, "rmdir", CALL_PATH, -1, 0, 0, 0},
    {SYS_mknod, "mknod", CALL_PATH, -1, 0, 0, 0},
    {SYS_symlink, "symlink", CALL_PATH, -1, 1, 0, 0},
    {SYS_link, "link", CALL_PATHS, -1, 0, -1, 1},
    {SYS_rename, "rename", CALL_PATHS, -1, 0, -1, 1},
    {SYS_fork, "fork", CALL_FORK, 0, 0, 0, 0},
    {SYS_vfork, "vfork", CALL_FORK, 0, 0, 0, 0},
#endif
};
#define NCALLS (sizeof table / sizeof table[0])

const struct call *calls_find(uint64_t number)
{
    for (size_t i = 0; i < NCALLS; i++) {
        if ((uint64_t)table[i].number == number)
            return &table[i];
    }
    return NULL;
}

int calls_install_filter(void)
{
    struct sock_filter code[NCALLS + 20];
    unsigned short n = 0;
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0);
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    /* Who shuts others out of its memory shuts out a tracer that is not root: "done", without a
     * deed. */
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 4);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                             offsetof(struct seccomp_data, args[0]));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_DUMPABLE, 0, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < NCALLS; i++)
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)table[i].number, (unsigned char)(NCALLS - i), 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {.len = n, .filter = code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
        return 0; /* root: set-uid programs keep working below us */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        return -errno;
    return 0;
}

static bool read_memory(pid_t tid, uint64_t at, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)at, size};
    return process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static void read_string(pid_t tid, uint64_t at, char *to, size_t size)
{
    size_t have = 0;
    while (have < size - 1) {
        /* up to the end of the page, since the next one may not be there */
        size_t step = 4096 - (size_t)((at + have) % 4096);
        if (step > size - 1 - have)
            step = size - 1 - have;
        if (!read_memory(tid, at + have, to + have, step))
            break;
        if (memchr(to + have, 0, step))
            return;
        have += step;
    }
    to[have] = 0;
}

static bool is_below(const struct call_filter *filter, const char *path)
{
    size_t size = strlen(path);
    for (size_t i = 0; i < filter->nexcept; i++) {
        size_t length = strlen(filter->except[i]);
        if (size >= length && strcmp(path + size - length, filter->except[i]) == 0)
            return false;
    }
    for (size_t i = 0; i < filter->nunder; i++) {
        size_t length = strlen(filter->under[i]);
        if (strncmp(path, filter->under[i], length) == 0 &&
            (path[length] == '/' || path[length] == 0 || path[length] == ' '))
            return true;
    }
    return false;
}

/* The folder is resolved through its links, the last name is not: it may be a link, or not be there
 * yet. */
static void resolve_path(pid_t tid, int dirfd, uint64_t at, char *to, size_t size)
{
    char given[PATH_MAX], joined[PATH_MAX * 2 + 64], folder[PATH_MAX], link[64];
    read_string(tid, at, given, sizeof given);
    if (given[0] == '/') {
        snprintf(joined, sizeof joined, "%s", given);
    } else {
        char base[PATH_MAX];
        if (dirfd == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/%d/cwd", tid);
        else
            snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, dirfd);
        ssize_t n = readlink(link, base, sizeof base - 1);
        base[n < 0 ? 0 : n] = 0;
        snprintf(joined, sizeof joined, "%s/%s", base, given);
    }
    char *slash = strrchr(joined, '/');
    if (slash && slash != joined) {
        *slash = 0;
        if (realpath(joined, folder)) {
            snprintf(to, size, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, slash + 1);
            return;
        }
        *slash = '/';
    }
    snprintf(to, size, "%s", joined);
}

static bool describe_address(const struct call_filter *filter, const struct sockaddr *address,
                             socklen_t length, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    uint16_t port;
    if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        port = ntohs(in->sin_port);
    } else if (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        port = ntohs(in->sin6_port);
    } else if (address->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)address;
        size_t head = offsetof(struct sockaddr_un, sun_path);
        int n = length > head ? (int)(length - head) : 0;
        snprintf(text, size, "unix:%s%.*s", n > 0 && !un->sun_path[0] ? "@" : "", n,
                 n > 0 && !un->sun_path[0] ? un->sun_path + 1 : un->sun_path);
        return n > 0 ? filter->sockets && filter->nports == 0 : filter->pipes;
    } else {
        snprintf(text, size, "family %d", address->sa_family);
        return false; /* netlink and the like change nothing outside */
    }
    snprintf(text, size, "%s:%u", host, port);
    bool wanted = filter->nports == 0;
    for (size_t i = 0; i < filter->nports; i++)
        wanted |= filter->ports[i] == port;
    return filter->sockets && wanted;
}

/* Looks at the socket itself through a duplicate of its descriptor. A tracer may take one; the
 * process named must be the leader of its threads. */
static bool match_socket(const struct call_filter *filter, pid_t tid, int fd, char *text,
                         size_t size)
{
    char path[64], line[256];
    pid_t leader = tid;
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "Tgid:", 5) == 0)
            leader = (pid_t)strtol(line + 5, NULL, 10);
    }
    if (f)
        fclose(f);
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;
    snprintf(text, size, "socket");
    int pidfd = (int)syscall(SYS_pidfd_open, leader, 0);
    int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    bool known = copy >= 0 && getpeername(copy, (struct sockaddr *)&peer, &length) == 0;
    if (!known && copy >= 0) { /* not connected (yet, or any more): its family at least */
        int domain = 0;
        socklen_t n = sizeof domain;
        getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &domain, &n);
        known = (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX) && filter->sockets &&
                filter->nports == 0;
        snprintf(text, size, "socket without peer");
    } else if (known) {
        known = describe_address(filter, (struct sockaddr *)&peer, length, text, size);
    }
    if (copy >= 0)
        close(copy);
    if (pidfd >= 0)
        close(pidfd);
    return known;
}

static bool match_fd(const struct call_filter *filter, pid_t tid, int fd, char *text, size_t size)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, fd);
    ssize_t n = readlink(link, text, size - 1);
    if (n < 0) {
        snprintf(text, size, "bad descriptor %d", fd);
        return false;
    }
    text[n] = 0;
    if (strncmp(text, "socket:", 7) == 0)
        return match_socket(filter, tid, fd, text, size);
    if (strncmp(text, "pipe:", 5) == 0)
        return filter->pipes;
    return text[0] == '/' && is_below(filter, text);
}

/* The file behind the mapping that holds an address. */
static bool match_mapping(const struct call_filter *filter, pid_t tid, uint64_t address, char *text,
                          size_t size)
{
    char path[64], line[PATH_MAX + 128];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/maps", tid);
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *end;
        uint64_t from = strtoull(line, &end, 16), to = strtoull(end + 1, NULL, 16);
        char *name = strchr(line, '/');
        if (address >= from && address < to && name) {
            name[strcspn(name, "\n")] = 0;
            snprintf(text, size, "%s", name);
            found = is_below(filter, text);
        }
    }
    if (f)
        fclose(f);
    return found;
}

static bool match_open(const struct call_filter *filter, const struct call *call, pid_t tid,
                       const uint64_t args[6], char *text, size_t size)
{
    uint64_t flags = args[call->c];
    if (call->number == SYS_openat2) {
        struct open_how how = {0};
        if (!read_memory(tid, flags, &how, sizeof how))
            return false;
        flags = how.flags;
    }
    if (!(flags & (O_CREAT | O_TRUNC)))
        return false;
    resolve_path(tid, call->a < 0 ? AT_FDCWD : (int)args[call->a], args[call->b], text, size);
    /* Opening what is there, without cutting it, changes nothing. */
    return is_below(filter, text) && ((flags & O_TRUNC) || access(text, F_OK) != 0);
}

static bool match_clone(const struct call_filter *filter, const struct call *call, pid_t tid,
                        const uint64_t args[6], char *text, size_t size)
{
    uint64_t flags = args[0];
    if (call->number == SYS_clone3 && !read_memory(tid, args[0], &flags, sizeof flags))
        return false;
    snprintf(text, size, "%s", flags & CLONE_THREAD ? "thread" : "child");
    return filter->children && !(flags & CLONE_THREAD);
}

bool calls_match(const struct call_filter *filter, const struct call *call, pid_t tid,
                 const uint64_t args[6], char *text, size_t size)
{
    char other[PATH_MAX + 64];
    *text = 0;
    bool sync = call->number == SYS_fsync || call->number == SYS_fdatasync ||
                call->number == SYS_msync || call->kind == CALL_PATHS;
    switch (call->kind) {
    case CALL_FD:
        if (!match_fd(filter, tid, (int)args[call->a], text, size))
            return false;
        return !filter->only_sync || sync || text[0] != '/';
    case CALL_SEND:
        if (call->b >= 0 && args[call->b] != 0) {
            struct sockaddr_storage to = {0};
            socklen_t length = args[5] < sizeof to ? (socklen_t)args[5] : (socklen_t)sizeof to;
            return read_memory(tid, args[call->b], &to, length) &&
                   describe_address(filter, (struct sockaddr *)&to, length, text, size);
        }
        return match_fd(filter, tid, (int)args[call->a], text, size);
    case CALL_CONNECT: {
        struct sockaddr_storage to = {0};
        socklen_t length = args[2] < sizeof to ? (socklen_t)args[2] : (socklen_t)sizeof to;
        return read_memory(tid, args[call->b], &to, length) &&
               describe_address(filter, (struct sockaddr *)&to, length, text, size);
    }
    case CALL_PATH:
        resolve_path(tid, call->a < 0 ? AT_FDCWD : (int)args[call->a], args[call->b], text, size);
        return !filter->only_sync && is_below(filter, text);
    case CALL_PATHS: {
        resolve_path(tid, call->a < 0 ? AT_FDCWD : (int)args[call->a], args[call->b], text, size);
        resolve_path(tid, call->c < 0 ? AT_FDCWD : (int)args[call->c], args[call->d], other,
                     sizeof other);
        bool wanted = is_below(filter, text) || is_below(filter, other);
        size_t used = strlen(text);
        snprintf(text + used, size - used, " -> %s", other);
        return wanted;
    }
    case CALL_OPEN:
        return !filter->only_sync && match_open(filter, call, tid, args, text, size);
    case CALL_FORK:
        snprintf(text, size, "child");
        return filter->children;
    case CALL_CLONE:
        return match_clone(filter, call, tid, args, text, size);
    case CALL_EXEC:
        read_string(tid, args[call->a], text, size);
        return filter->children;
    case CALL_SIGNAL: {
        int sig = (int)args[call->number == SYS_tgkill ? 2 : 1];
        pid_t whom = (pid_t)args[0];
        snprintf(text, size, "process %d signal %d", call->a < 0 ? -1 : whom, sig);
        /* abort() and pthread_kill() inside one process are no effect; signal 0 only asks. */
        return filter->children && sig != 0 &&
               !(call->number == SYS_tgkill || call->number == SYS_tkill);
    }
    case CALL_MEMORY:
        return match_mapping(filter, tid, args[0], text, size);
    }
    return false;
}

#define LOOK_BYTES ((size_t)256 * 1024) /* of one buffer: more is not looked at */

static bool buffer_holds(pid_t tid, uint64_t at, size_t size, const char *text)
{
    if (size > LOOK_BYTES)
        size = LOOK_BYTES;
    char *data = malloc(size ? size : 1);
    bool found = data && read_memory(tid, at, data, size) && memmem(data, size, text, strlen(text));
    free(data);
    return found;
}

static bool vector_holds(pid_t tid, uint64_t at, size_t n, const char *text)
{
    struct iovec pieces[64];
    if (n > 64)
        n = 64;
    if (!read_memory(tid, at, pieces, n * sizeof pieces[0]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (buffer_holds(tid, (uint64_t)(uintptr_t)pieces[i].iov_base, pieces[i].iov_len, text))
            return true;
    }
    return false;
}

bool calls_hold(const struct call *call, pid_t tid, const uint64_t args[6], const char *text)
{
    struct msghdr message;
    switch (call->number) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_sendto:
        return buffer_holds(tid, args[1], args[2], text);
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
        return vector_holds(tid, args[1], args[2], text);
    case SYS_sendmsg:
        return read_memory(tid, args[1], &message, sizeof message) &&
               vector_holds(tid, (uint64_t)(uintptr_t)message.msg_iov, message.msg_iovlen, text);
    default:
        return false;
    }
}
