"""Program of a test: a million duty cycles of two netstacks that stream to each other, and what they allocate.

    python -m support.duty_cycles ring|xdp CYCLES [NEAR_NAMESPACE FAR_NAMESPACE]

Preloaded is ``duty_cycles.c``, built as a library. Prints the runs that were received and the allocations.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import Any

from framelane._native import ffi, lib
from framelane.testing import Family, Station, TransportPair
from framelane.testing.station import Endpoint
from framelane.transport.address import Address
from support.namespaces import inside
from support.transport_pairs import open_plugin

_FAMILY = Family("10.77.0.1", "10.77.0.2", absent="192.0.2.1")


class _End(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ops", "transport", "poller", "endpoint", "peer")]


def _pointer(value: Any) -> int:
    return int(ffi.cast("uintptr_t", value))


def _end(endpoint: Endpoint, peer: Address) -> _End:
    station = endpoint.station
    binding = station.transport.binding
    pointers = (ffi.addressof(binding, "ops"), binding.transport, station.poller, endpoint.native, station.peer(peer))
    return _End(*map(_pointer, pointers))


def _open(kind: str, host: int, namespace: str | None) -> Station:
    if kind == "ring":
        addresses = [f"10.77.0.{host}/24"]
        settings: dict[str, Any] = {"vdev": "net_ring", "vdev_args": {"link": "pair"}, "addresses": addresses}
        return Station(open_plugin("dpdk", settings))
    assert namespace is not None
    with inside(namespace):
        return Station(open_plugin("xdp", {"interface": "eth0"}))


def main(kind: str, cycles: str, *namespaces: str) -> None:
    near, far = (_open(kind, host, namespaces[host - 1] if namespaces else None) for host in (1, 2))
    pair = TransportPair(near=near, far=far, reopen=lambda: near.transport, ipv4=_FAMILY)
    endpoints = []
    for host, station in enumerate((near, far), start=1):
        # An endpoint in kernel mode holds a socket of its interface's namespace.
        with inside(namespaces[host - 1]) if namespaces else contextlib.nullcontext():
            endpoints.append(station.open(bind=Address.of(f"10.77.0.{host}", 4000)))
    ends = (_End * 2)(_end(endpoints[0], endpoints[1].local), _end(endpoints[1], endpoints[0].local))
    program = ctypes.CDLL(None)
    program.duty_cycles.restype = program.duty_cycles_count_one.restype = ctypes.c_long
    program.duty_cycles.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_int64, ctypes.c_void_p]
    assert program.duty_cycles_count_one() == 1, "allocations are not counted"
    allocated = ctypes.c_long()
    now = lib.fl_clock_nano(lib.fl_clock_system())
    # The first ones make the ends known to each other.
    assert program.duty_cycles(ends, 10_000, now, ctypes.byref(allocated)) >= 0
    received = program.duty_cycles(ends, int(cycles), now, ctypes.byref(allocated))
    pair.close()
    print(received, allocated.value)


if __name__ == "__main__":
    main(*sys.argv[1:])
