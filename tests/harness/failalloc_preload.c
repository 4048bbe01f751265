/* libfailalloc.so, for LD_PRELOAD: makes the N-th call of malloc, calloc, realloc and their kin
 * return NULL.
 *
 * For libraries without an allocation hook (libpq, libcurl), in processes without ASan. Set by the
 * environment: FAILALLOC_AT=N        the N-th call fails (1 is the first); absent or 0: none, calls
 * are only counted FAILALLOC_TIMES=K     so many in a row (default 1; 0: all from there on)
 *   FAILALLOC_FROM=A,B    only calls made directly by an object whose path contains A or B (e.g.
 * libpq.so) FAILALLOC_PROGRAM=P   only in processes whose program is called P, so that children can
 * be spared FAILALLOC_REPORT=FILE at exit: "COUNT" calls and "failed K" as one line appended there
 *   FAILALLOC_TRACE=1     a line on stderr for each failure, with the object that asked
 * Threads are counted together, in the order of their calls. What runs before this library's
 * constructor is not counted. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own names: dlsym would allocate before it can answer. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_bool on;
static bool trace;
static uint64_t from, times = 1;
static char objects[256], report[256];
static _Atomic uint64_t calls, failures;
static _Thread_local bool inside; /* dladdr may come back here */

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n > 0 &&
        write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0)
        return;
}

static bool wanted_object(const char *path)
{
    for (const char *at = objects; *at;) {
        size_t n = strcspn(at, ",");
        char one[sizeof objects];
        memcpy(one, at, n);
        one[n] = 0;
        if (n && strstr(path, one))
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

static bool must_fail(const char *function, size_t size, const void *caller)
{
    if (!atomic_load_explicit(&on, memory_order_relaxed) || inside)
        return false;
    Dl_info info = {0};
    if (objects[0] || trace) {
        inside = true;
        bool found = dladdr(caller, &info) != 0 && info.dli_fname;
        inside = false;
        if (objects[0] && !(found && wanted_object(info.dli_fname)))
            return false;
    }
    uint64_t n = atomic_fetch_add(&calls, 1) + 1;
    if (!from || n < from || (times && n >= from + times))
        return false;
    atomic_fetch_add(&failures, 1);
    if (trace) {
        inside = true;
        say("failalloc: %s of %zu bytes, call %llu, by %s fails\n", function, size,
            (unsigned long long)n, info.dli_fname ? info.dli_fname : "?");
        inside = false;
    }
    errno = ENOMEM;
    return true;
}

#define MUST_FAIL(function, size) must_fail(function, size, __builtin_return_address(0))

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return MUST_FAIL("malloc", size) ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    return MUST_FAIL("calloc", n * size) ? NULL : __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
    return size && MUST_FAIL("realloc", size) ? NULL : __libc_realloc(p, size); /* size 0 frees */
}

__attribute__((visibility("default"))) void *reallocarray(void *p, size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return total && MUST_FAIL("reallocarray", total) ? NULL : __libc_realloc(p, total);
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
    return MUST_FAIL("aligned_alloc", size) ? NULL : __libc_memalign(alignment, size);
}

__attribute__((visibility("default"))) int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) || (alignment & (alignment - 1)) || !alignment)
        return EINVAL;
    void *p = MUST_FAIL("posix_memalign", size) ? NULL : __libc_memalign(alignment, size);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

/* strdup and its kin allocate inside the C library, past the names above: they are made again here.
 */
__attribute__((visibility("default"))) char *strndup(const char *s, size_t n)
{
    size_t length = strnlen(s, n);
    char *p = MUST_FAIL("strndup", length + 1) ? NULL : __libc_malloc(length + 1);
    if (p) {
        memcpy(p, s, length);
        p[length] = 0;
    }
    return p;
}

__attribute__((visibility("default"))) char *strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char *p = MUST_FAIL("strdup", size) ? NULL : __libc_malloc(size);
    return p ? memcpy(p, s, size) : NULL;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void copy(const char *name, char *to, size_t size)
{
    const char *text = getenv(name);
    if (text)
        snprintf(to, size, "%s", text);
}

__attribute__((constructor)) static void begin(void)
{
    char program[128] = "";
    copy("FAILALLOC_PROGRAM", program, sizeof program);
    if (program[0] && strcmp(program, program_invocation_short_name) != 0)
        return;
    from = number("FAILALLOC_AT", 0);
    times = number("FAILALLOC_TIMES", 1);
    trace = number("FAILALLOC_TRACE", 0) != 0;
    copy("FAILALLOC_FROM", objects, sizeof objects);
    copy("FAILALLOC_REPORT", report, sizeof report);
    atomic_store(&on, true);
}

__attribute__((destructor)) static void end(void)
{
    if (!atomic_exchange(&on, false) || !report[0])
        return;
    char line[64];
    int n =
        snprintf(line, sizeof line, "%llu failed %llu\n", (unsigned long long)atomic_load(&calls),
                 (unsigned long long)atomic_load(&failures));
    int fd = open(report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        say("failalloc: cannot write %s\n", report);
    if (fd >= 0)
        close(fd);
}
