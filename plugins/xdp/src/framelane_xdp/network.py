"""What Linux says of interfaces and default routes in this thread's network namespace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Link", "Network", "read_network"]

_UNICAST = 1  # RTN_UNICAST: not blackhole, unreachable or local


@dataclass(frozen=True)
class Link:
    """An interface, with what it is made of or part of."""

    index: int
    name: str
    lower: int | None = None  #: index of the interface that it is on top of: a VLAN's, a macvlan's
    master: int | None = None  #: index of the bridge, bond or VRF that it is part of
    vlan: int | None = None  #: tag, for a VLAN interface


@dataclass(frozen=True)
class Network:
    """Interfaces, and the indexes of those that a default route leads through."""

    links: tuple[Link, ...]
    default_routes: frozenset[int]

    @property
    def names(self) -> tuple[str, ...]:
        """The interfaces but loopback."""
        return tuple(link.name for link in self.links if link.name != "lo")

    def default_route_over(self, interface: str) -> str | None:
        """Return the interface with a default route whose frames pass this one: itself, or one made of it."""
        return next((link.name for link in self._above(interface) if link.index in self.default_routes), None)

    def vlan_interface(self, interface: str, vlan: int) -> Link | None:
        """Return the VLAN interface with this tag on top of an interface."""
        below = next((link.index for link in self.links if link.name == interface), None)
        found = (link for link in self.links if link.vlan == vlan and link.lower == below)
        return None if below is None else next(found, None)

    def _above(self, interface: str) -> Iterator[Link]:
        """The interface, and all that are made of it, however indirectly."""
        waiting = [link for link in self.links if link.name == interface]
        seen = set()
        while waiting:
            link = waiting.pop()
            if link.index not in seen:
                seen.add(link.index)
                yield link
                waiting += [one for one in self.links if one.lower == link.index or one.index == link.master]


def read_network() -> Network:
    """Ask the kernel. Routes of every table count."""
    from pyroute2 import IPRoute  # slow to import

    with IPRoute() as netlink:
        links = tuple(_link(message) for message in netlink.get_links())
        routes = [
            message for message in netlink.get_routes() if message["dst_len"] == 0 and message["type"] == _UNICAST
        ]
    indexes = {message.get_attr("RTA_OIF") for message in routes}
    indexes |= {hop["oif"] for message in routes for hop in message.get_attr("RTA_MULTIPATH") or ()}
    return Network(links, frozenset(index for index in indexes if index))


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    is_vlan = info is not None and info.get_attr("IFLA_INFO_KIND") == "vlan"
    # The lower interface of a veth is its other end, often in another namespace and under a number of that one.
    is_pair = info is not None and info.get_attr("IFLA_INFO_KIND") == "veth"
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        lower=None if is_pair else message.get_attr("IFLA_LINK"),
        master=message.get_attr("IFLA_MASTER"),
        vlan=info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID") if is_vlan else None,
    )
