/* What libfailalloc.so is tried on: makes a known number of allocations and prints which failed.
 * Usage: failalloc_victim list N | kinds | threads N */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *(*volatile do_malloc)(size_t) = malloc; /* or the compiler drops unused ones */
static int per_thread;

static void *many(void *arg)
{
    long failed = 0;
    (void)arg;
    for (int i = 0; i < per_thread; i++) {
        void *p = do_malloc(16);
        failed += p == NULL && errno == ENOMEM;
        free(p);
    }
    return (void *)(intptr_t)failed;
}

int main(int argc, char **argv)
{
    static char out[1 << 12]; /* stdio must not allocate in between */
    setvbuf(stdout, out, _IOFBF, sizeof out);
    int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (argc > 1 && strcmp(argv[1], "list") == 0) {
        for (int i = 1; i <= n; i++) {
            void *p = do_malloc(8);
            if (!p)
                printf("%d ", i);
            free(p);
        }
    } else if (argc > 1 && strcmp(argv[1], "kinds") == 0) {
        void *volatile p = malloc(8); /* one of each, in this order */
        printf("%d", p == NULL);
        free(p);
        p = calloc(2, 8);
        printf("%d", p == NULL);
        void *volatile q = realloc(p, 4000);
        printf("%d", q == NULL);
        free(q ? q : p);
        void *aligned = NULL;
        printf("%d", posix_memalign(&aligned, 64, 64) == ENOMEM);
        printf("%d", aligned && (uintptr_t)aligned % 64);
        free(aligned);
        char *volatile s = strdup(argv[1]);
        printf("%d", s == NULL);
        free(s);
    } else if (argc > 1 && strcmp(argv[1], "threads") == 0) {
        pthread_t threads[4];
        long failed = 0;
        per_thread = n;
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, many, NULL);
        for (int i = 0; i < 4; i++) {
            void *result = NULL;
            pthread_join(threads[i], &result);
            failed += (long)(intptr_t)result;
        }
        printf("%ld", failed);
    } else {
        return 2;
    }
    printf("\n");
    return 0;
}
