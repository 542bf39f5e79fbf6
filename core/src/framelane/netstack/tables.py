"""What a netstack knows of the network around it: addresses, routes, neighbours; and its native side."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol

from framelane._native import ffi, lib
from framelane.netstack.routes import IpAddress, IpInterface
from framelane.transport.address import Address
from framelane.transport.native import raise_native

__all__ = ["NativeTables", "Neighbour", "NeighbourState", "NetstackView", "NetworkRoute", "Tables"]

_WISHES = 64
_ADDRESSES = 64  # FL_INTERFACE_ADDRESSES
_ROUTES = 256  # FL_NETSTACK_ROUTES


class NeighbourState(enum.IntEnum):
    """``FL_NEIGHBOUR_*``."""

    NONE = 0  #: not known
    INCOMPLETE = 1  #: asked for
    REACHABLE = 2
    STALE = 3  #: not confirmed of late, and in use all the same
    PROBE = 4  #: in use while it is asked again
    FAILED = 5  #: does not answer
    PERMANENT = 6

    @property
    def has_mac(self) -> bool:
        """Whether datagrams can be sent to it."""
        return self in (self.REACHABLE, self.STALE, self.PROBE, self.PERMANENT)


@dataclass(frozen=True)
class Neighbour:
    """A line of the neighbour table."""

    address: IpAddress
    state: NeighbourState
    mac: bytes | None = None  #: in the states that have one
    used_ns: int = 0  #: last use by this driver, on the host's clock; 0: never

    @property
    def mac_text(self) -> str:
        return self.mac.hex(":") if self.mac else "-"


@dataclass(frozen=True)
class NetworkRoute:
    """A route through the netstack's interface."""

    network: IPv4Network | IPv6Network
    gateway: IpAddress | None = None  #: ``None``: on link
    source: IpAddress | None = None  #: preferred source address
    metric: int = 0
    mtu: int = 0  #: longest IP packet, bytes; 0: the interface's


@dataclass(frozen=True)
class NetstackView:
    """A netstack and its network at one moment, for people."""

    mode: str  #: ``kernel`` or ``own``
    interface: str | None  #: kernel mode: that has the addresses
    mtu: int  #: longest IP packet, bytes
    addresses: tuple[IpInterface, ...]
    neighbours: tuple[Neighbour, ...]


class Tables(Protocol):
    """Where a netstack is told what is around it. One thread at a time, except for ``neighbours``."""

    def set_addresses(self, addresses: Sequence[IpInterface]) -> bool:
        """Replace the interface's addresses. Returns whether all found room; those at the end did not."""
        ...

    def set_routes(self, routes: Sequence[NetworkRoute]) -> bool:
        """Replace the routes, likewise."""
        ...

    def set_neighbour(self, neighbour: Neighbour) -> bool:
        """Take over what is known of a neighbour; state NONE removes it. Returns whether it found room."""
        ...

    def wishes(self) -> list[IpAddress]:
        """Take the next hops that were wanted and not found."""
        ...

    @property
    def wish_descriptor(self) -> int:
        """Becomes readable when there are wishes."""
        ...

    def neighbours(self) -> list[Neighbour]:
        """Return the neighbour table. Any thread."""
        ...


class NativeTables:
    """:class:`Tables` of a ``fl_transport_t *`` of ``fl_netstack_open``; not used after its close.

    :ivar addresses: those that were set last. Any thread.
    """

    def __init__(self, netstack: Any) -> None:
        self._netstack = netstack
        self.addresses: tuple[IpInterface, ...] = ()
        self._wishes = ffi.new("fl_address_t[]", _WISHES)

    def set_addresses(self, addresses: Sequence[IpInterface]) -> bool:
        """See :class:`Tables`."""
        fitting = addresses[:_ADDRESSES]
        native = ffi.new("fl_interface_address_t[]", len(fitting))
        for i, own in enumerate(fitting):
            Address(own.ip).store(native[i].address)
            native[i].prefix_length = own.network.prefixlen
        _check(lib.fl_netstack_set_addresses(self._netstack, native, len(fitting)), "addresses of a netstack")
        self.addresses = tuple(fitting)
        return len(fitting) == len(addresses)

    def set_routes(self, routes: Sequence[NetworkRoute]) -> bool:
        """See :class:`Tables`."""
        # Where there is no room for all, the widest and the best of each are kept: they reach everything somehow.
        ordered = sorted(routes, key=lambda route: (route.network.prefixlen, route.metric))
        fitting = ordered[:_ROUTES]
        native = ffi.new("fl_netstack_route_t[]", len(fitting))
        for i, route in enumerate(fitting):
            Address(route.network.network_address).store(native[i].network)
            if route.gateway is not None:
                Address(route.gateway).store(native[i].gateway)
            if route.source is not None:
                Address(route.source).store(native[i].source)
            native[i].prefix_length = route.network.prefixlen
            native[i].metric = route.metric
            native[i].mtu_length = route.mtu
        _check(lib.fl_netstack_set_routes(self._netstack, native, len(fitting)), "routes of a netstack")
        return len(fitting) == len(routes)

    def set_neighbour(self, neighbour: Neighbour) -> bool:
        """See :class:`Tables`."""
        native = ffi.new(
            "fl_netstack_neighbour_t *", {"state": neighbour.state, "mac": list(neighbour.mac or bytes(6))}
        )
        Address(neighbour.address).store(native.address)
        status = lib.fl_netstack_set_neighbour(self._netstack, native)
        if status == -lib.FL_ENOSPC:
            lib.fl_error_clear()
            return False
        _check(status, f"neighbour {neighbour.address} of a netstack")
        return True

    def wishes(self) -> list[IpAddress]:
        """See :class:`Tables`."""
        count = _check(lib.fl_netstack_wishes(self._netstack, self._wishes, _WISHES), "wishes of a netstack")
        found = [Address.from_native(self._wishes[i]) for i in range(count)]
        return [one.ip for one in found if one is not None]

    @property
    def wish_descriptor(self) -> int:
        """See :class:`Tables`."""
        return _check(lib.fl_netstack_wish_descriptor(self._netstack), "wishes of a netstack")

    def neighbours(self) -> list[Neighbour]:
        """See :class:`Tables`."""
        capacity = 64
        while True:
            native = ffi.new("fl_netstack_neighbour_t[]", capacity)
            count = _check(lib.fl_netstack_neighbours(self._netstack, native, capacity), "neighbours of a netstack")
            if count <= capacity:
                break
            capacity = count
        found = []
        for i in range(count):
            address, state = Address.from_native(native[i].address), NeighbourState(native[i].state)
            if address is not None:
                mac = bytes(native[i].mac) if state.has_mac else None
                found.append(Neighbour(address.ip, state, mac, native[i].used_ns))
        return found


def _check(status: int, what: str) -> int:
    if status < 0:
        raise_native(status, what)
    return status
