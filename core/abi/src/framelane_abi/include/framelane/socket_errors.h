/* What the errors of socket calls mean for a transport, the kernel's calls or those of a library that has the same
 * ones. For C sources alone; cffi does not take it. */
#ifndef FRAMELANE_SOCKET_ERRORS_H
#define FRAMELANE_SOCKET_ERRORS_H

#include <errno.h>
#include <stdbool.h>

#include <framelane/address.h>
#include <framelane/errors.h>

/* The errno of a socket's call as one of the ABI's errors, positive. */
static inline int fl_socket_error(int error)
{
    const int code = fl_errno_code(error);
    /* -FL_ENODEV would say that the transport is gone; sockets outlive an interface. */
    return FL_ENODEV == code ? FL_ENETDOWN : code;
}

/* Whether an errno of a send or a receive may be the ICMP error of an earlier datagram, which the call has consumed:
 * the next call finds the socket as if it had not come. */
static inline bool fl_error_is_icmp(int error)
{
    switch (error)
    {
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENETUNREACH:
        case ENONET:
        case ENOPROTOOPT:
        case EOPNOTSUPP:
        case EPROTO:
        case EACCES:
        case EMSGSIZE:
            return true;

        default:
            return false;
    }
}

/* Say that an address could not be bound, and what to do about it. Returns the negative FL_E*. Thread: control. */
static inline int fl_socket_bind_error(const fl_host_t *host, const fl_address_t *address, int error)
{
    char text[FL_ADDRESS_TEXT_LENGTH];
    const char *next = EADDRINUSE == error ? "; another socket has this address and port"
        : EADDRNOTAVAIL == error           ? "; no interface of this host has this address"
        : EACCES == error                  ? "; ports below net.ipv4.ip_unprivileged_port_start need a capability"
                                           : "";
    return fl_host_error(
        host, fl_socket_error(error), "bind %s: %s%s", fl_address_format(address, text), strerror(error), next);
}

#endif
