"""Socket addresses of channels: syntax, resolution and multicast groups (wire 5.4)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from framelane.channel.errors import ChannelError, ErrorCode

__all__ = [
    "Address",
    "HostPort",
    "IpAddress",
    "NameResolver",
    "SystemNameResolver",
    "control_group",
    "parse_host_port",
    "parse_ip",
    "parse_port",
    "resolve",
]

IpAddress = IPv4Address | IPv6Address

_MAX_HOST_LENGTH = 383


@dataclass(frozen=True)
class Address:
    """An IP address and UDP port.

    :ivar scope_id: interface index of a link-local IPv6 address, else 0.
    """

    ip: IpAddress
    port: int
    scope_id: int = 0

    @property
    def is_multicast(self) -> bool:
        """In 224/4 or ff00::/8."""
        return self.ip.is_multicast

    @property
    def is_wildcard(self) -> bool:
        """Any local address, whatever the port."""
        return self.ip.is_unspecified

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}" if self.ip.version == 4 else f"[{self.ip}]:{self.port}"


@dataclass(frozen=True)
class HostPort:
    """``host:port`` as written. ``host`` has no brackets; ``is_ipv6`` says that it had them."""

    text: str
    host: str
    port: int
    is_ipv6: bool


class NameResolver(Protocol):
    """Turns host names into addresses."""

    def resolve(self, host: str, parameter: str) -> IpAddress:
        """Return the address of a host name; literals do not come here.

        May block; called on a helper thread, several at once.

        :param parameter: the channel parameter that names it, such as ``endpoint``.
        :raises ChannelError: UNKNOWN_HOST if it does not resolve.
        """
        ...


class SystemNameResolver:
    """:class:`NameResolver` over the resolver of the operating system; prefers IPv4."""

    def resolve(self, host: str, parameter: str) -> IpAddress:
        """See :class:`NameResolver`."""
        reason = "the name has no IPv4 or IPv6 address"
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                found = socket.getaddrinfo(host, None, family, socket.SOCK_DGRAM)
            except (OSError, ValueError) as error:  # ValueError: not a name that can be encoded
                reason = str(error)
                continue
            for _, _, _, _, sockaddr in found:
                ip = parse_ip(str(sockaddr[0]))
                if ip is not None:
                    return ip
        raise ChannelError(
            ErrorCode.UNKNOWN_HOST,
            f"unknown host {parameter}={host}: {reason}; give an address, or a name that 'getent ahosts' finds here",
        )


def parse_ip(text: str) -> IpAddress | None:
    """Return the address that a literal gives, without its zone; ``None`` if the text is not one."""
    try:
        return IPv6Address(text.partition("%")[0]) if ":" in text else IPv4Address(text)
    except ValueError:
        return None


def parse_host_port(text: str, parameter: str) -> HostPort:
    """Split ``host:port`` or ``[ipv6]:port``.

    :param parameter: the channel parameter that it is the value of, for messages.
    :raises ChannelError: INVALID_CHANNEL for the form, GENERIC_ERROR for the port (wire 5.3).
    """
    if text.startswith("["):
        host, bracket, port_text = text[1:].partition("]")
        is_ipv6 = True
        if not bracket or not isinstance(parse_ip(host), IPv6Address):
            raise _invalid(text, parameter, "the brackets do not hold an IPv6 address")
        if port_text and not port_text.startswith(":"):
            raise _invalid(text, parameter, "unexpected text after ']'")
        port_text = port_text[1:]
    else:
        host, _, port_text = text.partition(":")
        is_ipv6 = False
        if ":" in port_text:
            raise _invalid(text, parameter, "an IPv6 address needs brackets: [address]:port")
    if not host:
        raise _invalid(text, parameter, "there is no host")
    if len(host) > _MAX_HOST_LENGTH:
        raise _invalid(text, parameter, f"the host is longer than {_MAX_HOST_LENGTH} characters")
    if any(character.isspace() for character in host):
        raise _invalid(text, parameter, "there is white space in the host")
    return HostPort(text, host, parse_port(port_text, text, parameter), is_ipv6)


def parse_port(port_text: str, text: str, parameter: str) -> int:
    """Return a port, 0 to 65535.

    :raises ChannelError: GENERIC_ERROR.
    """
    if not port_text:
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"port not specified: {parameter}={text}")
    # A longer number is out of range whatever it is.
    if not (port_text.isascii() and port_text.isdigit()) or len(port_text.lstrip("0")) > 5 or int(port_text) > 65535:
        raise ChannelError(ErrorCode.GENERIC_ERROR, f"port invalid, expected 0 to 65535: {parameter}={text}")
    return int(port_text)


def resolve(host_port: HostPort, parameter: str, resolver: NameResolver) -> Address:
    """Return the address of a host and port. May block.

    A zone after ``%`` counts for link-local addresses and is dropped otherwise.

    :raises ChannelError: UNKNOWN_HOST if the name does not resolve, GENERIC_ERROR if the zone is no interface.
    """
    ip = parse_ip(host_port.host)
    if ip is None:
        return Address(resolver.resolve(host_port.host, parameter), host_port.port)
    zone = host_port.host.partition("%")[2]
    needs_zone = ip.is_link_local or (ip.is_multicast and ip.packed[1] & 0x0F <= 2)
    scope_id = _scope_id(zone, host_port, parameter) if zone and ip.version == 6 and needs_zone else 0
    return Address(ip, host_port.port, scope_id)


def control_group(data: Address) -> Address:
    """Return the group that receivers send to: the data group with the last byte plus one (wire 5.4).

    The addition is one of bytes: 255 is followed by 0.

    :raises ChannelError: INVALID_CHANNEL if the last byte of the data group is even.
    """
    packed = bytearray(data.ip.packed)
    if not packed[-1] & 1:
        raise ChannelError(
            ErrorCode.INVALID_CHANNEL,
            f"multicast data address must be odd, its last byte is {packed[-1]}: {data}",
        )
    packed[-1] = (packed[-1] + 1) & 0xFF
    return Address(type(data.ip)(bytes(packed)), data.port, data.scope_id)


def _scope_id(zone: str, host_port: HostPort, parameter: str) -> int:
    try:
        return socket.if_nametoindex(zone)
    except (OSError, ValueError):
        if zone.isascii() and zone.isdigit() and 0 < int(zone[:11]) < 2**32:
            return int(zone[:11])
    raise ChannelError(ErrorCode.GENERIC_ERROR, f"zone '{zone}' is no interface: {parameter}={host_port.text}")


def _invalid(text: str, parameter: str, why: str) -> ChannelError:
    return ChannelError(ErrorCode.INVALID_CHANNEL, f"could not parse {parameter}={text}: {why}")
