"""The ``interface`` parameter: syntax, and the search for the interface that it means (wire 5.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from typing import Any, Protocol

from framelane.channel.addresses import Address, NameResolver, parse_ip, parse_port
from framelane.channel.errors import ChannelError, ErrorCode

__all__ = [
    "Interface",
    "InterfaceSpec",
    "Interfaces",
    "IpInterface",
    "LocalInterface",
    "NetlinkInterfaces",
    "NetworkInterface",
    "find_interface",
    "parse_interface",
]

IpInterface = IPv4Interface | IPv6Interface

_NAMED = re.compile(r"\{([^{}]+)\}(?::(.*))?")
_ADDRESSED = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]/{}]+))(?::([^/]*))?(?:/(.*))?")

_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_MULTICAST = 0x1000


class Interface(Protocol):
    """A network interface of this host, or a device with addresses of its own; its index is 0 then."""

    @property
    def name(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def is_up(self) -> bool: ...
    @property
    def is_loopback(self) -> bool: ...
    @property
    def is_multicast(self) -> bool: ...
    @property
    def addresses(self) -> Sequence[IpInterface]:
        """Its addresses with their own prefix lengths, in the kernel's order."""
        ...


class Interfaces(Protocol):
    """The interfaces of this host."""

    def interfaces(self) -> Sequence[Interface]:
        """Return what is there now, in the order of the indexes. May block; called on a helper thread."""
        ...


@dataclass(frozen=True)
class NetworkInterface:
    """:class:`Interface` as a value."""

    name: str
    index: int
    is_up: bool = True
    is_loopback: bool = False
    is_multicast: bool = True
    addresses: tuple[IpInterface, ...] = ()


class NetlinkInterfaces:
    """:class:`Interfaces` of this network namespace, over rtnetlink."""

    def interfaces(self) -> Sequence[Interface]:
        """See :class:`Interfaces`."""
        from pyroute2 import IPRoute  # slow to import, and clients that only build channels need none

        netlink: Any
        with IPRoute() as netlink:
            links = list(netlink.get_links())
            messages = list(netlink.get_addr())
        addresses: dict[int, list[IpInterface]] = {}
        for message in messages:
            # On a point-to-point link IFA_ADDRESS is the far end; IFA_LOCAL is this one where both are given.
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            addresses.setdefault(message["index"], []).append(ip_interface(f"{text}/{message['prefixlen']}"))
        return [
            NetworkInterface(
                name=link.get_attr("IFLA_IFNAME"),
                index=link["index"],
                is_up=bool(link["flags"] & _IFF_UP),
                is_loopback=bool(link["flags"] & _IFF_LOOPBACK),
                is_multicast=bool(link["flags"] & _IFF_MULTICAST),
                addresses=tuple(addresses.get(link["index"], ())),
            )
            for link in sorted(links, key=lambda link: int(link["index"]))
        ]


@dataclass(frozen=True)
class InterfaceSpec:
    """The ``interface`` parameter as written.

    :ivar host: address literal or host name; ``None`` if the interface is named by ``{name}``.
    :ivar name: name of the interface; ``None`` if it is given by an address.
    :ivar prefix_length: how many leading bits must agree; ``None``: all.
    """

    text: str
    host: str | None
    name: str | None
    port: int
    prefix_length: int | None


@dataclass(frozen=True)
class LocalInterface:
    """An interface chosen for a channel.

    :ivar address: its address, with the port that the parameter gave.
    :ivar index: the kernel's; 0 if any interface will do, and for a device that the kernel does not have.
    :ivar name: empty if any interface will do; then the address is the wildcard.
    """

    address: Address
    index: int = 0
    name: str = ""

    @property
    def is_any(self) -> bool:
        """Whether any interface will do."""
        return not self.name


def parse_interface(text: str) -> InterfaceSpec:
    """Parse the ``interface`` parameter.

    :raises ChannelError: INVALID_CHANNEL for the form, GENERIC_ERROR for the port.
    """
    if match := _NAMED.fullmatch(text):
        name, port_text = match.groups()
        return InterfaceSpec(text, None, name, _port(port_text, text), None)
    match = _ADDRESSED.fullmatch(text)
    if not match:
        raise _invalid(text, "expected address[:port][/prefix], [ipv6][:port][/prefix] or {name}[:port]")
    ipv6, host, port_text, prefix_text = match.groups()
    if ipv6 is not None and not isinstance(parse_ip(ipv6), IPv6Address):
        raise _invalid(text, "the brackets do not hold an IPv6 address")
    longest = 128 if ipv6 is not None else 32
    prefix_length = None
    if prefix_text is not None:
        if not re.fullmatch("[0-9]{1,3}", prefix_text) or int(prefix_text) > longest:
            raise _invalid(text, f"the prefix length is not 0 to {longest}")
        prefix_length = int(prefix_text)
    return InterfaceSpec(text, ipv6 or host, None, _port(port_text, text), prefix_length)


def find_interface(
    spec: InterfaceSpec | None, family: int, is_multicast: bool, resolver: NameResolver, interfaces: Interfaces
) -> LocalInterface:
    """Return the interface that a channel means. May block.

    :param spec: ``None`` if none is given: the wildcard for unicast, the most specific one for multicast.
    :param family: 4 or 6, of the channel's addresses.
    :raises ChannelError: GENERIC_ERROR if none matches, UNKNOWN_HOST if its name does not resolve.
    """
    wildcard = IPv4Address(0) if family == 4 else IPv6Address(0)
    if spec is None:
        if not is_multicast:
            return LocalInterface(Address(wildcard, 0))
        return _search(wildcard, 0, 0, f"{'[::]' if family == 6 else wildcard}/0", interfaces)
    if spec.host is None:
        return _named(spec, family, interfaces)
    ip = parse_ip(spec.host) or resolver.resolve(spec.host, "interface")
    if ip.version != family:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR,
            f"interface={spec.text} is IPv{ip.version}, the channel's addresses are IPv{family}",
        )
    if ip.is_unspecified and not is_multicast:
        return LocalInterface(Address(ip, spec.port))
    prefix_length = ip.max_prefixlen if spec.prefix_length is None else spec.prefix_length
    return _search(ip, prefix_length, spec.port, spec.text, interfaces)


def _search(
    ip: IPv4Address | IPv6Address, prefix_length: int, port: int, text: str, interfaces: Interfaces
) -> LocalInterface:
    shift = ip.max_prefixlen - prefix_length
    wanted = int(ip) >> shift
    loopback: LocalInterface | None = None
    best: LocalInterface | None = None
    longest = -1
    seen = []
    for interface in interfaces.interfaces():
        if not interface.is_up or not (interface.is_loopback or interface.is_multicast):
            continue
        for address in interface.addresses:
            if address.version != ip.version:
                continue
            seen.append(f"{interface.name} {address}")
            if int(address.ip) >> shift != wanted:
                continue
            if interface.is_loopback:
                loopback = loopback or _chosen(interface, address, port)
            elif address.network.prefixlen > longest:
                best, longest = _chosen(interface, address, port), address.network.prefixlen
    chosen = best or loopback
    if chosen is None:
        raise ChannelError(
            ErrorCode.GENERIC_ERROR,
            f"no interface matches interface={text}: up, loopback or multicast capable are {', '.join(seen) or 'none'}",
        )
    return chosen


def _named(spec: InterfaceSpec, family: int, interfaces: Interfaces) -> LocalInterface:
    names = []
    for interface in interfaces.interfaces():
        names.append(interface.name)
        if interface.name != spec.name:
            continue
        for address in interface.addresses:
            if address.version == family:
                return _chosen(interface, address, spec.port)
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"interface={spec.text}: {spec.name} has no IPv{family} address")
    raise ChannelError(
        ErrorCode.GENERIC_ERROR, f"interface={spec.text}: no such interface, there are {', '.join(names) or 'none'}"
    )


def _chosen(interface: Interface, address: IpInterface, port: int) -> LocalInterface:
    scope_id = interface.index if address.version == 6 and address.ip.is_link_local else 0
    return LocalInterface(Address(address.ip, port, scope_id), interface.index, interface.name)


def _port(port_text: str | None, text: str) -> int:
    return 0 if port_text is None else parse_port(port_text, text, "interface")


def _invalid(text: str, why: str) -> ChannelError:
    return ChannelError(ErrorCode.INVALID_CHANNEL, f"could not parse interface={text}: {why}")
