#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <framelane/types.h>

static int fl_efvi_error_code(int code)
{
    switch (code)
    {
        case EPERM:
        case ENOENT:
        case EAGAIN:
        case ENOMEM:
        case EACCES:
        case EBUSY:
        case EEXIST:
        case ENODEV:
        case EINVAL:
        case ENOSPC:
        case EMSGSIZE:
        case ENOTSUP:
        case EAFNOSUPPORT:
        case EADDRINUSE:
        case EADDRNOTAVAIL:
        case ENETDOWN:
        case ENOBUFS:
            return code;

        default:
            return FL_EIO;
    }
}

int fl_efvi_error(fl_efvi_error_t *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return -fl_efvi_error_code(code);
}
