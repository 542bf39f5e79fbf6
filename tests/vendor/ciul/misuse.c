#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ciul.h"

void fl_ciul_misuse(const char *format, ...)
{
    va_list arguments;
    fputs("ef_vi stand-in: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    fflush(stderr);
    abort();
}
