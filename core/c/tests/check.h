/* Assertions of the C tests: the first that fails ends the program. */
#ifndef FL_TESTS_CHECK_H
#define FL_TESTS_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                               \
    do                                                                                                                 \
    {                                                                                                                  \
        if (!(condition))                                                                                              \
        {                                                                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK_EQUAL(actual, expected)                                                                                  \
    do                                                                                                                 \
    {                                                                                                                  \
        const int64_t actual_value = (int64_t)(actual);                                                                \
        const int64_t expected_value = (int64_t)(expected);                                                            \
        if (actual_value != expected_value)                                                                            \
        {                                                                                                              \
            fprintf(                                                                                                   \
                stderr,                                                                                                \
                "%s:%d: %s is %" PRId64 ", not %" PRId64 "\n",                                                         \
                __FILE__,                                                                                              \
                __LINE__,                                                                                              \
                #actual,                                                                                               \
                actual_value,                                                                                          \
                expected_value);                                                                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define RUN(test)                                                                                                      \
    do                                                                                                                 \
    {                                                                                                                  \
        test();                                                                                                        \
        printf("ok %s\n", #test);                                                                                      \
    } while (0)

#endif
