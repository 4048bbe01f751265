/* A number at the beginning of a text that a test reads. */
#ifndef RB_TESTS_NUMBER_H
#define RB_TESTS_NUMBER_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the test when there is none, where atoi would say 0: kill(0, ...) is everyone's. */
static inline int number_in(const char *text)
{
    char *end = NULL;
    long n = text ? strtol(text, &end, 10) : 0;

    if (!text || end == text || n < INT_MIN || n > INT_MAX) {
        fprintf(stderr, "a number was expected, not \"%s\"\n", text ? text : "(null)");
        abort();
    }
    return (int)n;
}

#endif
