#include "streams.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#ifdef __GLIBC__

#define FL_STREAM_LINE 256

/* Made once, and never closed: another thread may have read the variables just before they are set back. */
static struct
{
    FILE *real_output;
    FILE *real_error;
    FILE *output;
    FILE *error;

    /* Of the thread that has taken them. */
    void (*line)(const char *line, size_t length);
    char text[FL_STREAM_LINE];
    size_t length;
} fl_streams;

static _Thread_local bool fl_is_taken;

static void fl_streams_end_line(void)
{
    if (fl_streams.length > 0)
    {
        fl_streams.text[fl_streams.length] = '\0';
        fl_streams.line(fl_streams.text, fl_streams.length);
    }
    fl_streams.length = 0;
}

static ssize_t fl_output_write(void *cookie, const char *data, size_t length)
{
    (void)cookie;
    return fl_is_taken ? (ssize_t)length : (ssize_t)fwrite(data, 1, length, fl_streams.real_output);
}

static ssize_t fl_error_write(void *cookie, const char *data, size_t length)
{
    (void)cookie;
    if (!fl_is_taken)
    {
        return (ssize_t)fwrite(data, 1, length, fl_streams.real_error);
    }
    for (size_t i = 0; i < length; i++)
    {
        if ('\n' == data[i])
        {
            fl_streams_end_line();
        }
        else if (fl_streams.length < FL_STREAM_LINE - 1)
        {
            fl_streams.text[fl_streams.length++] = data[i];
        }
    }
    return (ssize_t)length;
}

/* Without a buffer, so that the thread that writes is the one that is asked. NULL if there is no memory. */
static FILE *fl_stream_open(cookie_write_function_t *write)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write});
    if (NULL != stream)
    {
        setvbuf(stream, NULL, _IONBF, 0);
    }
    return stream;
}

void fl_streams_take(void (*line)(const char *line, size_t length))
{
    if (NULL == fl_streams.output)
    {
        fl_streams.output = fl_stream_open(fl_output_write);
        fl_streams.error = fl_stream_open(fl_error_write);
    }
    if (NULL == fl_streams.output || NULL == fl_streams.error)
    {
        return;   /* less tidy, and no reason to fail */
    }
    fl_streams.line = line;
    fl_streams.real_output = stdout;
    fl_streams.real_error = stderr;
    fl_is_taken = true;
    stdout = fl_streams.output;
    stderr = fl_streams.error;
}

void fl_streams_give_back(void)
{
    if (!fl_is_taken)
    {
        return;
    }
    /* Unless the application set them meanwhile. */
    stdout = stdout == fl_streams.output ? fl_streams.real_output : stdout;
    stderr = stderr == fl_streams.error ? fl_streams.real_error : stderr;
    fl_streams_end_line();
    fl_is_taken = false;
}

#else

void fl_streams_take(void (*line)(const char *line, size_t length))
{
    (void)line;
}

void fl_streams_give_back(void)
{
}

#endif
