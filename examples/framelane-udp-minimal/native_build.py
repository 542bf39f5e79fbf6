"""How the native half is compiled: against the installed headers of framelane-abi, which is all that it needs."""

from cffi import FFI

import framelane_abi


def make_ffibuilder() -> FFI:
    builder = FFI()
    # Pointers cross to framelane as integers, so Python needs no more of the ABI than names for them.
    builder.cdef(
        """
        typedef ... fl_host_t;
        typedef ... fl_transport_t;
        typedef ... fl_transport_ops_t;
        const fl_transport_ops_t *udp_minimal_ops(void);
        fl_transport_t *udp_minimal_open(const fl_host_t *host);
        int udp_minimal_close(fl_transport_t *transport);
        """
    )
    builder.set_source(
        "framelane_udp_minimal._native",
        '#include "udp_minimal.h"',
        sources=["c/udp_minimal.c"],
        include_dirs=["c", framelane_abi.get_include()],
        extra_compile_args=["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    )
    return builder
