"""Who holds a UDP port: for the message that says that it cannot be had."""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from framelane.netstack.open_files import Program, socket_owners
from framelane.netstack.routes import IpAddress

__all__ = ["Holder", "describe_holders", "find_holders"]

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST_DUMP = 0x301
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI48x")  # inet_diag_req_v2
_ANSWER = struct.Struct("=BBBB2s2s16s16sI8xIIIII")  # inet_diag_msg
_ALL_STATES = 0xFFFFFFFF
#: Longest that /proc is searched; a host with very many processes is not held up by a message.
_SEARCH_S = 0.5


@dataclass(frozen=True)
class Holder:
    """A UDP socket that is in the way."""

    address: IpAddress
    port: int
    user: str
    inode: int
    owner: Program | None = None  #: ``None``: not found, such as another user's without privilege

    def __str__(self) -> str:
        at = f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"
        if self.owner is None:
            return f"a process of user {self.user} at {at}"
        if self.owner.pid == os.getpid():
            return f"this driver's own process, pid {self.owner.pid}, at {at}"
        return f"pid {self.owner.pid} ({self.owner.command}) of user {self.user} at {at}"


def describe_holders(address: IpAddress, port: int) -> str:
    """Return "held by ..." for a port in use, or nothing if nobody is found. Never raises."""
    try:
        found = find_holders(address, port)
    except (OSError, struct.error):  # sock_diag is not in this kernel
        return f"who holds it, ss -ulpn 'sport = :{port}' may tell" if port else ""
    return "held by " + ", ".join(map(str, found)) if found else ""


def find_holders(address: IpAddress, port: int) -> list[Holder]:
    """Return the UDP sockets of this network namespace that a bind to an address collides with.

    :param address: or the wildcard, which collides with every address.
    :raises OSError: if the kernel does not tell.
    """
    sockets = [one for one in _sockets() if one.port == port and _collide(one.address, address)]
    owners = socket_owners({one.inode for one in sockets}, limit_s=_SEARCH_S)
    return [replace(one, owner=owners.get(one.inode)) for one in sockets]


def _collide(bound: IpAddress, wanted: IpAddress) -> bool:
    """Whether two bind addresses exclude each other; the wildcard of IPv6 mostly takes IPv4 as well."""
    if bound.version != wanted.version:
        ipv6 = bound if bound.version == 6 else wanted
        return ipv6.is_unspecified
    return bound == wanted or bound.is_unspecified or wanted.is_unspecified


def _sockets() -> Iterator[Holder]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as diagnosis:
        diagnosis.settimeout(2.0)
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _QUESTION.pack(family, socket.IPPROTO_UDP, 0, 0, _ALL_STATES)
            diagnosis.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, family, 0) + body)
            yield from _answers(diagnosis)


def _answers(diagnosis: socket.socket) -> Iterator[Holder]:
    while True:
        data = diagnosis.recv(1 << 18)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
            if kind == _BY_FAMILY:
                yield _holder(data, offset + _HEADER.size)
            elif kind == 2:  # NLMSG_ERROR
                code = -struct.unpack_from("=i", data, offset + _HEADER.size)[0]
                raise OSError(code, os.strerror(code))
            else:
                return
            offset += (length + 3) & ~3


def _holder(data: bytes, offset: int) -> Holder:
    family, _, _, _, port, _, source, _, _, _, _, _, uid, inode = _ANSWER.unpack_from(data, offset)
    own = IPv4Address(source[:4]) if family == socket.AF_INET else _unmapped(IPv6Address(source))
    return Holder(own, int.from_bytes(port), _user(uid), inode)


def _unmapped(address: IPv6Address) -> IpAddress:
    return address if address.ipv4_mapped is None else ip_address(address.ipv4_mapped)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
