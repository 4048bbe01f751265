/* What every test program of this folder starts with. */
#ifndef RB_TESTS_BASE_CHECK_H
#define RB_TESTS_BASE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#endif
