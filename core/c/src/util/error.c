#include "util/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/common.h"

static _Thread_local char fl_error_buffer[FL_ERROR_TEXT_LENGTH];
static _Thread_local int fl_error_number;

static void fl_error_write(size_t offset, const char *format, va_list arguments)
{
    if (offset < sizeof(fl_error_buffer))
    {
        vsnprintf(fl_error_buffer + offset, sizeof(fl_error_buffer) - offset, format, arguments);
    }
}

int fl_error(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fl_error_write(0, format, arguments);
    va_end(arguments);
    fl_error_number = code;
    return -code;
}

void fl_error_set_code(int code)
{
    fl_error_number = code;
}

void fl_error_append(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fl_error_write(strlen(fl_error_buffer), format, arguments);
    va_end(arguments);
}

const char *fl_error_text(void)
{
    return fl_error_buffer;
}

int fl_error_code(void)
{
    return fl_error_number;
}

void fl_error_clear(void)
{
    fl_error_buffer[0] = '\0';
    fl_error_number = 0;
}
