/* Makes allocation N fail, in code that allocates through base/mem.h. */
#include "harness/failalloc.h"

#include "base/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct state { /* in memory that a child shares with its parent, so that the count survives
                         any end */
    _Atomic uint64_t count;
} * state;
static uint64_t from, to; /* these fail, both included; from 0: none */

static bool hook(size_t size)
{
    (void)size;
    uint64_t n = atomic_fetch_add(&state->count, 1) + 1;
    return from && n >= from && n <= to;
}

void failalloc_arm(uint64_t n, uint64_t times)
{
    if (!state) {
        state =
            mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (state == MAP_FAILED)
            abort();
    }
    mem_set_fail_hook(NULL);
    atomic_store(&state->count, 0);
    from = n;
    to = times ? n + times - 1 : UINT64_MAX;
    mem_set_fail_hook(hook);
}

void failalloc_disarm(void)
{
    mem_set_fail_hook(NULL);
}

uint64_t failalloc_count(void)
{
    return state ? atomic_load(&state->count) : 0;
}

struct failalloc_end failalloc_try(void (*body)(void *arg), void *arg, uint64_t n, uint64_t times)
{
    struct failalloc_end end = {.exit_code = -1};
    int status = 0;
    failalloc_arm(n, times);
    failalloc_disarm();
    fflush(NULL); /* or the child would print it again */
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        mem_set_fail_hook(hook);
        body(arg);
        mem_set_fail_hook(NULL);
        fflush(NULL);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    end.count = failalloc_count();
    end.reached = n && end.count >= n;
    if (WIFEXITED(status))
        end.exit_code = WEXITSTATUS(status);
    else
        end.signal = WTERMSIG(status);
    return end;
}
