/* Memory that never comes back NULL: at the first failure the reserve is given back and the agent
 * is told to stop in order. */
#ifndef RB_BASE_MEM_H
#define RB_BASE_MEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* All return zeroed (alloc, calloc) or copied memory, never NULL. When the allocator fails, the
 * reserve is freed, mem_is_low() turns true and the call is tried again; when it still fails, the
 * process writes one line to stderr and ends with MEM_EXIT_CODE. Ending is safe at any point: no
 * effect happens without a durable intent. */
#define MEM_EXIT_CODE 71
void *mem_alloc(size_t size);
void *mem_calloc(size_t n, size_t size); /* checks the product */
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s); /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *mem_vprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
void mem_free(void *p);

/* malloc/realloc/free that may return NULL, with the same reserve and test hook: to be handed to
 * libraries that report it (SQLite, Lua, OpenSSL, libevent). cJSON and expat get mem_alloc. */
void *mem_lib_malloc(size_t size);
void *mem_lib_realloc(void *p, size_t size);
void mem_lib_free(void *p);

void mem_reserve(size_t bytes); /* sets the reserve aside; call once at the start */
bool mem_is_low(void);          /* the reserve is spent: act no more, page, end */

/* Test hook: called before each try of an allocation (so once more after the reserve was given
 * back); true makes it fail. NULL turns it off. */
typedef bool (*mem_fail_hook)(size_t size);
void mem_set_fail_hook(mem_fail_hook hook);

/* An arena: everything a run or a parsed document owns, freed at once. For one thread. */
struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *a);                /* NULL is fine */
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for any type */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
