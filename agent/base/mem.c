/* Allocation that never comes back NULL, a reserve for the way out, and arenas. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic(void *) reserve;
static atomic_bool low;
static _Atomic(mem_fail_hook) fail_hook;

/* Ends without atexit handlers: they could allocate, and nothing is left to be saved. */
static _Noreturn void stop(const char *line)
{
    ssize_t n = write(STDERR_FILENO, line, strlen(line));

    (void)n;
    _exit(MEM_EXIT_CODE);
}

static _Noreturn void out_of_memory(void)
{
    stop("error mem: out of memory, and the reserve is spent: ending; "
         "give the agent more memory\n");
}

static bool told_to_fail(size_t size)
{
    mem_fail_hook hook = atomic_load_explicit(&fail_hook, memory_order_relaxed);

    return hook != NULL && hook(size);
}

/* True when a second try makes sense: the reserve was there to be given back, or this is the first
 * failure. */
static bool give_back_reserve(void)
{
    void *kept = atomic_exchange(&reserve, NULL);
    bool first = !atomic_exchange(&low, true);

    free(kept);
    return kept != NULL || first;
}

static void *try_once(void *p, size_t size, bool zero)
{
    if (told_to_fail(size))
        return NULL;
    if (size == 0)
        size = 1;
    if (p != NULL)
        return realloc(p, size);
    return zero ? calloc(1, size) : malloc(size);
}

static void *try_twice(void *p, size_t size, bool zero)
{
    void *q = try_once(p, size, zero);

    if (q == NULL && give_back_reserve())
        q = try_once(p, size, zero);
    return q;
}

void *mem_alloc(size_t size)
{
    void *p = try_twice(NULL, size, true);

    if (p == NULL)
        out_of_memory();
    return p;
}

void *mem_calloc(size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        stop("error mem: a size beyond what can be counted was asked for: ending\n");
    return mem_alloc(total);
}

void *mem_realloc(void *p, size_t size)
{
    void *q = try_twice(p, size, true);

    if (q == NULL)
        out_of_memory();
    return q;
}

char *mem_strdup(const char *s)
{
    return s == NULL ? NULL : mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    if (s == NULL)
        return NULL;
    size_t len = strnlen(s, n);
    char *copy = mem_alloc(len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *mem_vprintf(const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0)
        stop("error mem: a text could not be formatted: ending\n");
    char *text = mem_alloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    return text;
}

void mem_free(void *p)
{
    free(p);
}

void *mem_lib_malloc(size_t size)
{
    return try_twice(NULL, size, false);
}

void *mem_lib_realloc(void *p, size_t size)
{
    return try_twice(p, size, false);
}

void mem_lib_free(void *p)
{
    free(p);
}

void mem_reserve(size_t bytes)
{
    void *p = bytes > 0 ? mem_alloc(bytes) : NULL;

    if (p != NULL) {
        memset(p, 0xa5, bytes); /* pages that were never touched would be no reserve */
        __asm__ volatile("" : : "r"(p) : "memory");
    }
    free(atomic_exchange(&reserve, p));
}

bool mem_is_low(void)
{
    return atomic_load_explicit(&low, memory_order_relaxed);
}

void mem_set_fail_hook(mem_fail_hook hook)
{
    atomic_store(&fail_hook, hook);
}

#define ALIGN _Alignof(max_align_t)
#define CHUNK_FIRST 2048u
#define CHUNK_MAX (256u * 1024u)

struct chunk {
    struct chunk *next;
    size_t used, size; /* of data */
    _Alignas(max_align_t) char data[];
};

struct arena {
    struct chunk *chunks; /* the newest first; only it is filled further */
    size_t next_size;
};

struct arena *arena_new(void)
{
    struct arena *a = mem_alloc(sizeof(*a));

    a->next_size = CHUNK_FIRST;
    return a;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    for (struct chunk *c = a->chunks, *next; c != NULL; c = next) {
        next = c->next;
        mem_free(c);
    }
    mem_free(a);
}

static struct chunk *chunk_new(size_t size)
{
    size_t total;

    if (__builtin_add_overflow(size, sizeof(struct chunk), &total))
        out_of_memory();
    struct chunk *c = mem_alloc(total);
    c->size = size;
    return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
    struct chunk *c = a->chunks;

    if (size > SIZE_MAX - ALIGN)
        out_of_memory();
    size = (size + ALIGN - 1) & ~(ALIGN - 1);
    if (c != NULL && c->size - c->used >= size) {
        c->used += size;
        return c->data + c->used - size;
    }
    if (size > a->next_size / 4) { /* of its own, behind the one being filled */
        struct chunk *own = chunk_new(size);
        own->used = size;
        if (c != NULL) {
            own->next = c->next;
            c->next = own;
        } else {
            a->chunks = own;
        }
        return own->data;
    }
    c = chunk_new(a->next_size);
    if (a->next_size < CHUNK_MAX)
        a->next_size *= 2;
    c->next = a->chunks;
    a->chunks = c;
    c->used = size;
    return c->data;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    if (s == NULL)
        return NULL;
    size_t len = strnlen(s, n);
    char *copy = arena_alloc(a, len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s == NULL ? NULL : arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        stop("error mem: a text could not be formatted: ending\n");
    char *text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}
