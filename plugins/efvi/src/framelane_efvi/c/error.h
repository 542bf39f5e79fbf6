/* Errors of control calls: a text with what failed, and the code. */
#ifndef FL_EFVI_ERROR_H
#define FL_EFVI_ERROR_H

#include <stddef.h>

typedef struct fl_efvi_error
{
    char text[512];
} fl_efvi_error_t;

/* Write the text and return the negative FL_E* of an errno value. */
int fl_efvi_error(fl_efvi_error_t *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
