"""Route and interface look-ups: where would the kernel send a datagram, and which addresses are this host's?"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)
from types import TracebackType
from typing import Any, Protocol, Self

from framelane.errors import FramelaneError

__all__ = ["Interface", "IpAddress", "IpInterface", "NetlinkRoutes", "Route", "Routes"]

IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface

_ROUTE_TYPE_LOCAL = 2  # RTN_LOCAL
_FLAG_UP = 1  # IFF_UP
_FLAG_LOOPBACK = 8  # IFF_LOOPBACK


@dataclass(frozen=True)
class Interface:
    """A network interface of this host."""

    name: str
    index: int
    mtu: int  #: longest IP packet, bytes
    is_up: bool
    is_loopback: bool
    addresses: tuple[IpInterface, ...] = ()


@dataclass(frozen=True)
class Route:
    """How the kernel would send to an address."""

    interface: str
    interface_index: int
    source: IpAddress | None = None  #: the preferred one
    gateway: IpAddress | None = None
    is_local: bool = False  #: the address is one of this host's


class Routes(Protocol):
    """Look-ups; each answers for the moment in which it is asked. Control plane only."""

    def route_to(self, address: IpAddress, *, interface_index: int = 0) -> Route | None:
        """Return the route to an address, through a given interface if one is, or ``None`` if there is none."""
        ...

    def interfaces(self) -> Sequence[Interface]:
        """Return the interfaces with their addresses, in the order of their indexes."""
        ...


@dataclass(eq=False)
class NetlinkRoutes:
    """:class:`Routes` of this network namespace, over rtnetlink. A context manager; opens on first use."""

    _socket: Any = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the netlink socket; a later look-up opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def route_to(self, address: IpAddress, *, interface_index: int = 0) -> Route | None:
        """See :class:`Routes`.

        :raises FramelaneError: if the kernel answers with something else than a route or "unreachable".
        """
        from pyroute2.netlink.exceptions import NetlinkError

        arguments: dict[str, Any] = {"dst": str(address).partition("%")[0]}
        if interface_index:
            arguments["oif"] = interface_index
        netlink = self._netlink()
        try:
            messages = list(netlink.route("get", **arguments))
        except NetlinkError as error:
            if error.code in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENODEV, errno.EACCES, errno.EINVAL):
                return None
            raise FramelaneError(f"the kernel does not tell the route to {address}: {error}") from error
        if not messages:
            return None
        message = messages[0]
        index = message.get_attr("RTA_OIF") or 0
        links = list(netlink.get_links(index)) if index else []
        source, gateway = message.get_attr("RTA_PREFSRC"), message.get_attr("RTA_GATEWAY")
        return Route(
            interface=links[0].get_attr("IFLA_IFNAME") if links else "",
            interface_index=index,
            source=ip_address(source) if source else None,
            gateway=ip_address(gateway) if gateway else None,
            is_local=message["type"] == _ROUTE_TYPE_LOCAL,
        )

    def interfaces(self) -> Sequence[Interface]:
        """See :class:`Routes`."""
        netlink = self._netlink()
        addresses: dict[int, list[IpInterface]] = {}
        for message in netlink.get_addr():
            # On a point-to-point link IFA_ADDRESS is the far end; IFA_LOCAL is this one where both are given.
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            addresses.setdefault(message["index"], []).append(ip_interface(f"{text}/{message['prefixlen']}"))
        return [
            Interface(
                name=message.get_attr("IFLA_IFNAME"),
                index=message["index"],
                mtu=message.get_attr("IFLA_MTU"),
                is_up=bool(message["flags"] & _FLAG_UP),
                is_loopback=bool(message["flags"] & _FLAG_LOOPBACK),
                addresses=tuple(addresses.get(message["index"], ())),
            )
            for message in sorted(netlink.get_links(), key=lambda link: link["index"])
        ]

    def _netlink(self) -> Any:
        if self._socket is None:
            from pyroute2 import IPRoute  # slow to import, and many commands need no routes

            self._socket = IPRoute()
        return self._socket
