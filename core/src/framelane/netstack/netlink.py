"""rtnetlink as the feed of a netstack needs it: dumps, news, and "resolve this neighbour".

The sockets are plain ones, so that a lost message is seen as such and a thread can sleep on them beside other things;
pyroute2 takes the messages apart.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any, TypeVar

from framelane.errors import FramelaneError
from framelane.netstack.routes import IpAddress, IpInterface
from framelane.netstack.tables import Neighbour, NeighbourState, NetworkRoute

__all__ = ["Link", "MessagesLostError", "NetlinkNews", "NetlinkRequests", "NeighbourNews", "ViewChanged"]

_ERROR, _DONE = 2, 3  # NLMSG_*
_REQUEST, _ACK, _DUMP, _CREATE = 0x1, 0x4, 0x300, 0x400  # NLM_F_*
_DUMP_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18  # RTM_*
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR, _GET_NEIGHBOUR = 28, 29, 30
_NEW_RULE, _GET_RULE = 32, 34
#: RTMGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE.
_GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK_BODY, _ADDRESS_BODY, _ROUTE_BODY, _NEIGHBOUR_BODY = (
    struct.Struct("=BxHiII"),
    struct.Struct("=BBBBi"),
    struct.Struct("=BBBBBBBBI"),
    struct.Struct("=B3xiHBB"),
)
_RECEIVE_LENGTH = 1 << 18

_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_IFA_DAD_FAILED, _IFA_DEPRECATED, _IFA_TENTATIVE, _IFA_NO_PREFIX_ROUTE = 0x08, 0x20, 0x40, 0x200
_TABLE_MAIN, _TABLE_DEFAULT = 254, 253
_UNICAST = 1  # RTN_UNICAST
_HOP_DEAD, _HOP_LINK_DOWN = 1, 16  # RTNH_F_*
_CLONED = 0x200  # RTM_F_CLONED
_RULES_OF_LINUX = {(255, 0), (254, 32766), (253, 32767)}  # table and priority

_DST, _LLADDR = 1, 2  # NDA_*
_USE = 1  # NTF_USE
#: NUD_* to the netstack's states. DELAY is a stale entry in use, about to be asked again. NOARP needs no answer.
_STATES = {
    0x01: NeighbourState.INCOMPLETE,
    0x02: NeighbourState.REACHABLE,
    0x04: NeighbourState.STALE,
    0x08: NeighbourState.PROBE,
    0x10: NeighbourState.PROBE,
    0x20: NeighbourState.FAILED,
    0x40: NeighbourState.PERMANENT,
    0x80: NeighbourState.PERMANENT,
}

T = TypeVar("T")


class MessagesLostError(FramelaneError):
    """The kernel had no room for a message; what is known may be out of date."""


@dataclass(frozen=True)
class Link:
    """An interface."""

    index: int
    name: str
    mtu: int  #: longest IP packet, bytes
    is_up: bool
    has_carrier: bool
    parent: int = 0  #: index of the interface below it; of a VLAN
    vlan: int | None = None


@dataclass(frozen=True)
class NeighbourNews:
    """What the kernel says of a neighbour of the interface; state NONE: it has forgotten it."""

    neighbour: Neighbour


@dataclass(frozen=True)
class ViewChanged:
    """Links, addresses or routes are not what they were."""


class _Socket:
    """One rtnetlink socket of the calling thread's network namespace."""

    def __init__(self, groups: int = 0, receive_buffer_length: int = 1 << 20) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_length)
        self.socket.bind((0, groups))

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def receive(self, flags: int = 0) -> Iterator[tuple[int, int, int, bytes]]:
        """Take one datagram: type, flags, sequence and bytes of each of its messages."""
        data = self.socket.recv(_RECEIVE_LENGTH, flags)
        offset = 0
        while offset + _HEADER.size <= len(data):
            length, kind, message_flags, sequence, _ = _HEADER.unpack_from(data, offset)
            if length < _HEADER.size or offset + length > len(data):
                return
            yield kind, message_flags, sequence, data[offset : offset + length]
            offset += (length + 3) & ~3


class NetlinkNews:
    """What changes, as it changes. Made on a thread of the network namespace concerned; used by one thread at a time.

    :param receive_buffer_length: bytes that may wait; the kernel drops what is beyond.
    """

    def __init__(self, interface_index: int, *, receive_buffer_length: int = 1 << 20) -> None:
        self._index = interface_index
        self._socket = _Socket(_GROUPS, receive_buffer_length)

    def fileno(self) -> int:
        """The descriptor that is readable when there are news."""
        return self._socket.fileno()

    def take(self) -> list[NeighbourNews | ViewChanged]:
        """Return the news; empty if there are none.

        :raises MessagesLostError: if some did not fit; the next call goes on with later ones.
        """
        news: list[NeighbourNews | ViewChanged] = []
        try:
            for kind, _, _, data in self._socket.receive(socket.MSG_DONTWAIT):
                if kind in (_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR):
                    neighbour = _neighbour(data, self._index, is_gone=kind == _DELETE_NEIGHBOUR)
                    if neighbour is not None:
                        news.append(NeighbourNews(neighbour))
                elif not news or not isinstance(news[-1], ViewChanged):
                    news.append(ViewChanged())
        except BlockingIOError:
            return news
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise MessagesLostError("messages of the kernel were lost") from error
            raise
        return news

    def close(self) -> None:
        self._socket.close()


class NetlinkRequests:
    """Questions and requests. Made on a thread of the network namespace concerned; used by one thread at a time."""

    def __init__(self) -> None:
        self._socket = _Socket()
        self._socket.socket.settimeout(5.0)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        """Return every interface."""
        return self._dump(_GET_LINK, _NEW_LINK, _LINK_BODY.pack(0, 0, 0, 0, 0), _link)

    def addresses(self, interface_index: int) -> list[IpInterface]:
        """Return the usable addresses of an interface, deprecated ones last."""
        found = self._dump(
            _GET_ADDRESS, _NEW_ADDRESS, _ADDRESS_BODY.pack(0, 0, 0, 0, 0), lambda data: _address(data, interface_index)
        )
        return [address for _, address in sorted(found, key=lambda one: one[0])]

    def routes(self, interface_index: int) -> list[NetworkRoute]:
        """Return the routes through an interface of the tables that Linux looks at by itself, main and default."""
        body = _ROUTE_BODY.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
        return [
            route
            for routes in self._dump(_GET_ROUTE, _NEW_ROUTE, body, lambda data: _routes(data, interface_index))
            for route in routes
        ]

    def has_policy_rules(self) -> bool:
        """Return whether there are rules beyond Linux's own, which send some traffic to other tables."""
        body = _ROUTE_BODY.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
        return any(rule not in _RULES_OF_LINUX for rule in self._dump(_GET_RULE, _NEW_RULE, body, _rule))

    def neighbours(self, interface_index: int) -> list[Neighbour]:
        """Return the neighbours on an interface."""
        body = _NEIGHBOUR_BODY.pack(0, 0, 0, 0, 0)
        return self._dump(
            _GET_NEIGHBOUR, _NEW_NEIGHBOUR, body, lambda data: _neighbour(data, interface_index, is_gone=False)
        )

    def use_neighbour(self, interface_index: int, address: IpAddress) -> None:
        """Have the kernel treat a neighbour as one that it sends to: resolve it, or ask it again when it is due.

        :raises OSError: such as EPERM, without CAP_NET_ADMIN.
        """
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = _NEIGHBOUR_BODY.pack(family, interface_index, 0, _USE, 0)
        body += struct.pack("=HH", 4 + len(address.packed), _DST) + address.packed
        sequence = self._send(_NEW_NEIGHBOUR, _REQUEST | _ACK | _CREATE, body)
        while True:
            for kind, _, answered, data in self._socket.receive():
                if kind == _ERROR and answered == sequence:
                    code = -struct.unpack_from("=i", data, _HEADER.size)[0]
                    if code != 0:
                        raise OSError(code, f"{os.strerror(code)}: resolution of {address}")
                    return

    def _send(self, kind: int, flags: int, body: bytes) -> int:
        self._sequence += 1
        self._socket.socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        return self._sequence

    def _dump(self, ask: int, wanted: int, body: bytes, read: Callable[[bytes], T | None]) -> list[T]:
        """Return what `read` makes of every message of a table; once more if the table changed meanwhile."""
        for _ in range(10):
            found, is_whole = self._dump_once(ask, wanted, body, read)
            if is_whole:
                break
        return found

    def _dump_once(self, ask: int, wanted: int, body: bytes, read: Callable[[bytes], T | None]) -> tuple[list[T], bool]:
        sequence = self._send(ask, _REQUEST | _DUMP, body)
        found: list[T] = []
        is_whole = True
        while True:
            for kind, flags, answered, data in self._socket.receive():
                if answered != sequence:  # of a request that was given up
                    continue
                is_whole = is_whole and not flags & _DUMP_INTERRUPTED
                if kind == _DONE:
                    return found, is_whole
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", data, _HEADER.size)[0]
                    raise OSError(code, f"{os.strerror(code)}: netlink dump {ask}")
                if kind == wanted:
                    value = read(data)
                    if value is not None:
                        found.append(value)


def _decoded(message: Any) -> Any:
    message.decode()
    return message


def _link(data: bytes) -> Link:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = _decoded(ifinfmsg(data))
    info = message.get_attr("IFLA_LINKINFO")
    vlan = None
    if info is not None and info.get_attr("IFLA_INFO_KIND") == "vlan":
        vlan = info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_VLAN_ID")
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        mtu=message.get_attr("IFLA_MTU"),
        is_up=bool(message["flags"] & _IFF_UP),
        has_carrier=bool(message["flags"] & _IFF_LOWER_UP),
        parent=message.get_attr("IFLA_LINK") or 0,
        vlan=vlan,
    )


def _address(data: bytes, interface_index: int) -> tuple[bool, IpInterface] | None:
    """Return whether an address is deprecated, and the address."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    if _ADDRESS_BODY.unpack_from(data, _HEADER.size)[4] != interface_index:
        return None
    message = _decoded(ifaddrmsg(data))
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    if message["family"] == socket.AF_INET6 and flags & (_IFA_TENTATIVE | _IFA_DAD_FAILED):
        return None
    local, far = message.get_attr("IFA_LOCAL"), message.get_attr("IFA_ADDRESS")
    own = ip_address(local or far)
    length = message["prefixlen"]
    if flags & _IFA_NO_PREFIX_ROUTE or (local is not None and local != far):
        length = own.max_prefixlen  # what is on the link, the routes tell
    return bool(flags & _IFA_DEPRECATED), ip_interface(f"{own}/{length}")


def _routes(data: bytes, interface_index: int) -> list[NetworkRoute] | None:
    """Return the route of a message as far as it leads through the interface: one of its next hops."""
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    fixed = _ROUTE_BODY.unpack_from(data, _HEADER.size)
    family, length, source_length, table, kind, flags = (*fixed[:3], fixed[4], fixed[7], fixed[8])
    if family not in (socket.AF_INET, socket.AF_INET6) or table not in (_TABLE_MAIN, _TABLE_DEFAULT):
        return None
    if kind != _UNICAST or flags & _CLONED or source_length != 0:
        return None
    message = _decoded(rtmsg(data))
    wildcard = "0.0.0.0" if family == socket.AF_INET else "::"
    network = ip_network(f"{message.get_attr('RTA_DST') or wildcard}/{length}")
    if network.is_multicast:
        return None
    hops = message.get_attr("RTA_MULTIPATH")
    for hop in [message] if hops is None else hops:
        index = message.get_attr("RTA_OIF") if hops is None else hop["oif"]
        hop_flags = flags if hops is None else hop["flags"]
        if index != interface_index or hop_flags & (_HOP_DEAD | _HOP_LINK_DOWN):
            continue
        gateway, source = hop.get_attr("RTA_GATEWAY"), message.get_attr("RTA_PREFSRC")
        if hop.get_attr("RTA_VIA") is not None:
            return None  # a gateway of the other family
        metrics = message.get_attr("RTA_METRICS")
        return [
            NetworkRoute(
                network,
                gateway=ip_address(gateway) if gateway else None,
                source=ip_address(source) if source else None,
                metric=message.get_attr("RTA_PRIORITY") or 0,
                mtu=(metrics.get_attr("RTAX_MTU") or 0) if metrics is not None else 0,
            )
        ]
    return None


def _rule(data: bytes) -> tuple[int, int] | None:
    """Return table and priority of a rule; multicast routing has rules of its own."""
    from pyroute2.netlink.rtnl.fibmsg import fibmsg

    message = _decoded(fibmsg(data))
    if message["family"] not in (socket.AF_INET, socket.AF_INET6):
        return None
    return message.get_attr("FRA_TABLE") or message["table"], message.get_attr("FRA_PRIORITY") or 0


def _neighbour(data: bytes, interface_index: int, *, is_gone: bool) -> Neighbour | None:
    from pyroute2.netlink.rtnl.ndmsg import ndmsg

    family, index, state, _, _ = _NEIGHBOUR_BODY.unpack_from(data, _HEADER.size)
    if index != interface_index or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    message = _decoded(ndmsg(data))
    destination, lladdr = message.get_attr("NDA_DST"), message.get_attr("NDA_LLADDR")
    if destination is None:
        return None
    address = ip_address(destination)
    mac = bytes.fromhex(lladdr.replace(":", "")) if lladdr else b""
    if address.is_multicast or address.is_unspecified:
        return None
    known = NeighbourState.NONE if is_gone else _STATES.get(state, NeighbourState.NONE)
    if known.has_mac and len(mac) != 6:
        known = NeighbourState.INCOMPLETE
    if known is NeighbourState.PERMANENT and mac[0] & 1:
        return None  # broadcast, which the netstack maps by itself
    return Neighbour(address, known, mac if known.has_mac else None)
