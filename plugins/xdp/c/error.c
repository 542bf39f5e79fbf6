#include "error.h"

#include <framelane/errors.h>

int fl_xdp_error(fl_xdp_error_t *error, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return -fl_errno_code(code);
}
