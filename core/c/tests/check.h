/* Assertions of the C tests: a failed one prints where and what, and ends the program with status 1. */
#ifndef FL_TESTS_CHECK_H
#define FL_TESTS_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                     \
    do                                                                                       \
    {                                                                                        \
        if (!(condition))                                                                    \
        {                                                                                    \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #condition);    \
            exit(1);                                                                         \
        }                                                                                    \
    }                                                                                        \
    while (0)

#define CHECK_EQUAL(expected, actual)                                                                         \
    do                                                                                                        \
    {                                                                                                         \
        const int64_t check_expected = (int64_t)(expected);                                                   \
        const int64_t check_actual = (int64_t)(actual);                                                       \
        if (check_expected != check_actual)                                                                   \
        {                                                                                                     \
            fprintf(stderr, "%s:%d: %s: %s is %" PRId64 ", expected %" PRId64 "\n", __FILE__, __LINE__,       \
                __func__, #actual, check_actual, check_expected);                                             \
            exit(1);                                                                                          \
        }                                                                                                     \
    }                                                                                                         \
    while (0)

/* Run a test and print its name. */
#define RUN(test)           \
    do                      \
    {                       \
        printf("%s\n", #test); \
        fflush(stdout);     \
        test();             \
    }                       \
    while (0)

/* Bytes from hexadecimal digits, blanks ignored. Returns how many. */
static inline size_t check_unhex(const char *text, uint8_t *bytes, size_t capacity)
{
    size_t digits = 0;
    for (; '\0' != *text; text++)
    {
        if (' ' == *text)
        {
            continue;
        }
        const char *set = "0123456789abcdef";
        const char *digit = strchr(set, *text);
        CHECK(NULL != digit && digits / 2 < capacity);
        const uint8_t value = (uint8_t)(digit - set);
        bytes[digits / 2] = (uint8_t)(0 == digits % 2 ? value << 4 : bytes[digits / 2] | value);
        digits++;
    }
    return digits / 2;
}

#endif
