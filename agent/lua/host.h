/* One Lua state and its bounds: memory by an allocator cap, work by one counter over all its
 * coroutines, every entry through one protected door. Only files of this folder include it; no
 * other module sees Lua. */
#ifndef RB_LUA_HOST_H
#define RB_LUA_HOST_H

#include <lauxlib.h>
#include <lua.h>
#include "base/err.h"
#include "lua/diag.h"
#include "lua/scan.h"

#define HOST_MEMORY (16u << 20) /* bytes a state may hold (E116) */
#define HOST_LOAD_BUDGET 200000 /* instructions of one file, its libs included (E115) */
#define HOST_RUN_BUDGET 50000   /* instructions between two steps of a run */
/* Longest string that a text makes: comparing or reading one is a single instruction, so this
 * bounds what an instruction costs. */
#define HOST_LOAD_STRING (16u << 10)
#define HOST_RUN_STRING (2u << 10)
#define HOST_LITERAL                                                                               \
    4096 /* longest string that is written out; tests have long timelines and are not bound by it  \
          */
/* Largest block while text runs: bounds the stack, and so what one call can copy. */
#define HOST_BLOCK (128u << 10)
#define HOST_DATA_BLOCK (256u << 10) /* the estate and parameters may be long tables */
#define HOST_MAX_SOURCE (256u << 10) /* bytes of one file */
#define HOST_MAX_FILES 64            /* of one state */
#define HOST_MARK_SHIFT 20           /* a mark is (file << shift) + number of the table */

struct host {
    lua_State *L;
    lua_State *running; /* the coroutine that the hook must reach */
    size_t used, memory, string_max, block_max,
        block; /* block: what block_max is while text runs */
    int64_t spent, budget;
    int64_t before; /* spent in the stretches before this one */
    bool cut;                         /* the budget is spent: nothing runs in this state any more */
    int refused_source, refused_line; /* where */
    bool no_memory;                   /* an allocation was refused */
    struct scan *sources[HOST_MAX_FILES];
    int nsources;
    void *user;   /* the loader or script that it serves */
    void *poison; /* the value that stands for what was already reported */
    bool *lines;  /* of source 0, which were carried out; NULL: nobody asks */
    int nlines;
};

/* How an entry failed. */
struct fault {
    char code[8];     /* E115, E116, E118 */
    int source, line; /* source -1: unknown */
    char text[512];
};

struct host *host_new(struct err *e); /* NULL: out of memory */
void host_free(struct host *h);
struct host *host_of(lua_State *L);

/* Takes the scan over; its number, or -1 when there are too many. */
int host_add_source(struct host *h, struct scan *s);
const char *host_file(const struct host *h, int source); /* its name, "" when unknown */

/* Begins a stretch of work with a fresh counter. */
void host_budget(struct host *h, int64_t instructions, size_t string_max);
/* Instructions spent since the host was made. */
int64_t host_spent(const struct host *h);
/* Work done in C on behalf of the text, in instructions; raises E115 when spent. */
void host_charge(lua_State *L, int64_t instructions);

/* The one door: calls fn(L) protected, with arg as its only argument (a light userdata). False and
 * *f on any error. */
bool host_enter(struct host *h, lua_CFunction fn, void *arg, struct fault *f);

/* From now on the lines of source 0 that L carries out are marked in `lines` (of n). */
void host_lines(struct host *h, lua_State *L, bool *lines, int n);

/* Turns the error value on top of `L` into a fault and pops it. */
void host_fault(struct host *h, lua_State *L, int status, struct fault *f);

/* Compiles source `n` and pushes the function, with `env` (stack index) as its globals; false and
 * *f (E101) when it is not Lua. Raises on lack of memory. */
bool host_compile(lua_State *L, struct host *h, int n, int env, struct fault *f);

/* The place of the Lua code that called the running C function: source (or -1) and line. */
void host_where(lua_State *L, int *source, int *line);

/* The source that a chunk's name (lua_Debug.source, "=3") tells, or -1: not one of ours. */
int host_source(const char *name);

/* sandbox.c: makes the allow-listed globals (assert ... string.format) as a table on top of the
 * stack. */
void sandbox_push(lua_State *L);
/* Replaces the table on top of the stack by a read-only view of it (and of the tables in it, if
 * deep). */
void sandbox_freeze(lua_State *L, bool deep);
/* The table itself when the value at `index` is one, or what a frozen view shows; pushes it. False
 * (nothing pushed): not a table. */
bool sandbox_table(lua_State *L, int index);
/* Pushes a list of the table's keys in order: numbers, strings, booleans; without the mark. False
 * (nothing pushed): it has others. */
bool sandbox_keys(lua_State *L, int index);
int sandbox_format(lua_State *L); /* string.format */
/* Text of a value without addresses; pushes it. */
const char *sandbox_text(lua_State *L, int index);

#endif
