/* Makes allocation N fail, in code that allocates through base/mem.h (libraries included, where
 * they got its functions). */
#ifndef FAILALLOC_H
#define FAILALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* In this process: the n-th allocation from now (1 is the next) and the times - 1 after it fail;
 * times 0 is for ever; n = 0 only counts. mem_* tries twice, so one failure shows as mem_is_low()
 * and a second ends the process with MEM_EXIT_CODE. Any thread's allocations count, in their order.
 */
void failalloc_arm(uint64_t n, uint64_t times);
void failalloc_disarm(void);
uint64_t failalloc_count(void); /* allocations since it was armed, failed ones included */

struct failalloc_end {
    bool reached;   /* the n-th allocation was asked for */
    int exit_code;  /* -1: ended by a signal */
    int signal;     /* 0: it exited */
    uint64_t count; /* allocations that the body asked for, as far as it came */
};

/* Runs body in a child of its own, armed so; its end is exit code 0 when body returns. For loops
 * over every n until !reached. */
struct failalloc_end failalloc_try(void (*body)(void *arg), void *arg, uint64_t n, uint64_t times);

#endif
