/* How a native half says what failed. For C sources alone; cffi does not take it. */
#ifndef FRAMELANE_ERRORS_H
#define FRAMELANE_ERRORS_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <framelane/host.h>

/* An errno value as one of the ABI's errors, positive; FL_EIO if none says the same. */
static inline int fl_errno_code(int error)
{
    switch (error)
    {
        case FL_EPERM:
        case FL_ENOENT:
        case FL_EAGAIN:
        case FL_ENOMEM:
        case FL_EACCES:
        case FL_EBUSY:
        case FL_EEXIST:
        case FL_ENODEV:
        case FL_EINVAL:
        case FL_ENOSPC:
        case FL_EMSGSIZE:
        case FL_ENOTSUP:
        case FL_EAFNOSUPPORT:
        case FL_EADDRINUSE:
        case FL_EADDRNOTAVAIL:
        case FL_ENETDOWN:
        case FL_ENETUNREACH:
        case FL_ENOBUFS:
        case FL_ECONNREFUSED:
        case FL_EHOSTUNREACH:
            return error;

        case ENOSYS:
            return FL_ENOTSUP;

        case ENXIO:
            return FL_ENODEV;

        case EHOSTDOWN:
            return FL_EHOSTUNREACH;

        case EPROTONOSUPPORT:
            return FL_EAFNOSUPPORT;

        default:
            return FL_EIO;
    }
}

/* Write why something failed into `text` and return the error, negative.
 *
 * error    an errno value or FL_E*, positive
 * returns  -fl_errno_code(error)
 */
__attribute__((format(printf, 4, 5))) static inline int fl_text_error(
    char *text, size_t length, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, length, format, arguments);
    va_end(arguments);
    return -fl_errno_code(error);
}

/* The same with the calling thread's error text, which the host reports. Formats, so not for a duty cycle. */
__attribute__((format(printf, 3, 4))) static inline int fl_host_error(
    const fl_host_t *host, int error, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    host->error_set(host, text);
    return -fl_errno_code(error);
}

/* Why something failed, on its way from where that is known to who reports it. */
typedef struct fl_failure
{
    char text[512];
} fl_failure_t;

/* Write a failure's text, and return the error, negative: -fl_errno_code(error). */
__attribute__((format(printf, 3, 4))) static inline int fl_fail(
    fl_failure_t *failure, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, sizeof(failure->text), format, arguments);
    va_end(arguments);
    return -fl_errno_code(error);
}

/* Check that a host is of the ABI that this is compiled against, as the native open function does first.
 *
 * returns  0, or -FL_EINVAL with the reason in `text`
 */
static inline int fl_host_check(const fl_host_t *host, char *text, size_t length)
{
    if (FL_HOST_MAGIC != host->magic || FL_ABI_VERSION != host->abi_version || host->size < sizeof(fl_host_t))
    {
        return fl_text_error(
            text, length, FL_EINVAL,
            "host table: magic 0x%x, ABI %u, %u bytes; this transport needs 0x%x, ABI %u, at least %zu bytes",
            host->magic, host->abi_version, host->size, FL_HOST_MAGIC, FL_ABI_VERSION, sizeof(fl_host_t));
    }
    return 0;
}

#endif
