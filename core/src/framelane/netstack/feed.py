"""Keeps a netstack in kernel mode in step with what Linux knows of its interface.

Addresses, routes and link are read again whenever netlink says that something of them changed; neighbours are taken
over one by one. A neighbour that the data plane wants is resolved by the kernel, and one that it uses is kept from
ageing. What the kernel merely has not confirmed of late, or has forgotten while it was in use, stays usable until it is
known to be wrong.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from pathlib import Path

from framelane.netstack.netlink import Link, MessagesLostError, NeighbourNews, NetlinkNews, NetlinkRequests
from framelane.netstack.routes import IpAddress, IpInterface
from framelane.netstack.tables import Neighbour, NeighbourState, NetworkRoute, Tables

__all__ = ["Feed", "FeedLog"]

#: A neighbour that the data plane looked up within this time is in use.
_IN_USE_NS = 60_000_000_000
#: Shortest time between two readings of addresses, routes and link.
_SETTLE_NS = 50_000_000
_KEEP_ALIVE_LONGEST_NS = 2_000_000_000
_KEEP_ALIVE_SHORTEST_NS = 250_000_000
_DISCARD_PORT = 9
#: After a failure: until everything is read again, and the least time until anything is tried.
_RETRY_NS = 1_000_000_000
_PAUSE_S = 0.2


@dataclass(frozen=True)
class FeedLog:
    """Where a feed reports. Called on its thread."""

    note: Callable[[str], None]
    warn: Callable[[str], None]


class Feed:
    """The kernel's view of one interface, for one netstack.

    Made on a thread of the network namespace concerned, where it reads everything once; from :meth:`start` to
    :meth:`stop` a thread of its own follows the news.

    :param interface: that has the addresses; of a VLAN, the VLAN's.
    :param mtu: of the netstack: what the interface has when it is opened.
    :param now_ns: the clock of ``Neighbour.used_ns``. Any thread.
    :param receive_buffer_length: of the socket for news, bytes.
    :raises FramelaneError: if the netstack refuses what there is.
    :raises OSError: if netlink does.
    """

    def __init__(
        self,
        tables: Tables,
        interface: Link,
        log: FeedLog,
        now_ns: Callable[[], int],
        *,
        receive_buffer_length: int = 1 << 20,
    ) -> None:
        self._tables = tables
        self._interface = self._link = interface
        self._log = log
        self._now_ns = now_ns
        self._known: dict[IpAddress, Neighbour] = {}
        self._silent: set[IpAddress] = set()  #: neighbours that do not answer
        self._used: set[IpAddress] | None = None  #: neighbours in use, as of this turn
        self._said: set[str] = set()
        self._is_deleted = False
        self._view_due_ns: int | None = None
        self._keep_alive_due_ns = 0
        self._may_ask = True
        self._thread: threading.Thread | None = None
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._news = NetlinkNews(interface.index, receive_buffer_length=receive_buffer_length)
        self._requests = NetlinkRequests()
        try:
            if self._requests.has_policy_rules():
                log.note(f"{interface.name}: routing rules (ip rule) are not followed, only tables main and default")
            self._read_all()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Follow the news, on a thread of the caller's network namespace."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"framelane-netlink-{self._interface.name}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Touch the netstack no more; :meth:`start` may follow."""
        if self._thread is not None:
            os.write(self._wake_writer, b"\0")
            self._thread.join()
            os.read(self._wake_reader, 1)
            self._thread = None

    def close(self) -> None:
        """Stop, and close the sockets."""
        self.stop()
        self._news.close()
        self._requests.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    # ---- the thread ----

    def _run(self) -> None:
        waiter = select.poll()
        for descriptor in (self._news.fileno(), self._tables.wish_descriptor, self._wake_reader):
            waiter.register(descriptor, select.POLLIN)
        while True:
            due_ns = min(self._keep_alive_due_ns, self._view_due_ns or self._keep_alive_due_ns)
            timeout_ms = max(0, -(-(due_ns - self._now_ns()) // 1_000_000))
            ready = {descriptor for descriptor, _ in waiter.poll(timeout_ms)}
            if self._wake_reader in ready:
                return
            try:
                self.advance()
            except Exception as error:  # such as a netlink answer that does not come; the news go on
                self._say_once(f"{self._interface.name}: what the kernel knows could not be read: {error}")
                self._view_due_ns = self._now_ns() + _RETRY_NS
                select.select([self._wake_reader], [], [], _PAUSE_S)

    def advance(self) -> None:
        """Do what there is to do, without waiting. The feed's thread, or without one the caller's."""
        self._used = None
        self._take_news()
        self._take_wishes()
        now_ns = self._now_ns()
        if self._view_due_ns is not None and now_ns >= self._view_due_ns:
            self._view_due_ns = None
            self._read_view()
        if now_ns >= self._keep_alive_due_ns:
            self._keep_alive_due_ns = now_ns + self._keep_alive_interval_ns()
            for address in self._in_use():
                self._ask(address)

    def _take_news(self) -> None:
        try:
            told: dict[IpAddress, Neighbour] = {}  # the last word counts: who deletes an entry has it fail first
            while news := self._news.take():
                for one in news:
                    if isinstance(one, NeighbourNews):
                        told[one.neighbour.address] = one.neighbour
                    elif self._view_due_ns is None:
                        self._view_due_ns = self._now_ns() + _SETTLE_NS
            for neighbour in told.values():
                self._learn(neighbour)
        except MessagesLostError:
            while self._is_behind():
                pass
            self._log.note(f"{self._interface.name}: too much changed at once; everything is read again")
            self._read_all()

    def _is_behind(self) -> bool:
        """Drop news that a full reading makes superfluous; return whether there may be more."""
        try:
            return bool(self._news.take())
        except MessagesLostError:
            return True

    def _read_all(self) -> None:
        self._read_view()
        listed = {neighbour.address: neighbour for neighbour in self._requests.neighbours(self._interface.index)}
        for address in [address for address in self._known if address not in listed]:
            self._learn(Neighbour(address, NeighbourState.NONE))
        for neighbour in listed.values():
            self._learn(neighbour)

    # ---- link, addresses, routes ----

    def _read_view(self) -> None:
        if self._is_deleted:
            return
        link = next((one for one in self._requests.links() if one.index == self._interface.index), None)
        if link is None:
            self._is_deleted = True
            self._tables.set_routes([])
            self._tables.set_addresses([])
            self._log.warn(f"{self._interface.name} was deleted")
            return
        before, self._link = self._link, link
        if (link.is_up, link.has_carrier) != (before.is_up, before.has_carrier):
            state = "is down" if not link.is_up else "is up" if link.has_carrier else "has no carrier"
            self._log.note(f"{link.name} {state}")
        if link.mtu != before.mtu:
            effect = "packets up to that are sent" if link.mtu < self._interface.mtu else "used from the next start on"
            self._log.warn(f"{link.name}: mtu changed from {before.mtu} to {link.mtu}; {effect}")
        addresses = self._requests.addresses(link.index)
        routes = [self._limited(route) for route in self._requests.routes(link.index)] if link.is_up else []
        on_link = {route.network for route in routes}
        addresses = [own if own.network in on_link else _alone(own) for own in addresses]
        # Routes last: a route's preferred source is an address then.
        if not self._tables.set_addresses(addresses):
            self._say_once(f"{link.name} has {len(addresses)} addresses; the last of them are not used")
        if not self._tables.set_routes(routes):
            self._say_once(f"{link.name} has {len(routes)} routes; the narrowest of them are not used")

    def _limited(self, route: NetworkRoute) -> NetworkRoute:
        """Return a route that does not lead to packets longer than the interface takes now."""
        if self._link.mtu >= self._interface.mtu:
            return route
        return replace(route, mtu=min(route.mtu or self._link.mtu, self._link.mtu))

    # ---- neighbours ----

    def _learn(self, told: Neighbour) -> None:
        """Take over what the kernel says of a neighbour."""
        address, state = told.address, told.state
        known = self._known.get(address)
        has_usable = known is not None and known.state.has_mac
        if state is NeighbourState.NONE and has_usable and address in self._in_use():
            # The kernel made room. It is asked to find the neighbour again, and says so if it cannot.
            assert known is not None
            self._set(replace(known, state=NeighbourState.STALE))
            self._ask(address)
        elif state is NeighbourState.INCOMPLETE and has_usable:
            assert known is not None
            self._set(replace(known, state=NeighbourState.STALE))
        else:
            self._set(told)
        if state.has_mac:
            self._silent.discard(address)
        elif state is NeighbourState.FAILED and address not in self._silent:
            self._silent.add(address)
            self._log.note(f"{self._interface.name}: neighbour {address} does not answer")

    def _set(self, neighbour: Neighbour) -> None:
        if neighbour.state is NeighbourState.NONE:
            self._known.pop(neighbour.address, None)
            self._silent.discard(neighbour.address)
        elif self._known.get(neighbour.address) == neighbour:
            return
        else:
            self._known[neighbour.address] = neighbour
        if not self._tables.set_neighbour(neighbour):
            self._say_once(
                f"{self._interface.name}: the neighbour table is full; raise neighbour_capacity of the transport"
            )

    def _in_use(self) -> set[IpAddress]:
        """Return the neighbours that the data plane uses."""
        if self._used is None:
            now_ns = self._now_ns()
            self._used = {
                one.address
                for one in self._tables.neighbours()
                if one.used_ns != 0 and now_ns - one.used_ns < _IN_USE_NS
            }
        return self._used

    def _take_wishes(self) -> None:
        while wishes := self._tables.wishes():
            for address in wishes:
                known = self._known.get(address)
                if known is not None and known.state.has_mac:
                    self._tables.set_neighbour(known)  # it had to make room for another
                self._ask(address)

    def _keep_alive_interval_ns(self) -> int:
        """Return half of the time for which the kernel takes a neighbour for reachable, within bounds."""
        reachable_ms = 30_000
        for family in ("ipv4", "ipv6"):
            with suppress(OSError, ValueError):
                path = Path("/proc/sys/net", family, "neigh", self._interface.name, "base_reachable_time_ms")
                reachable_ms = min(reachable_ms, int(path.read_text()))
        return max(_KEEP_ALIVE_SHORTEST_NS, min(_KEEP_ALIVE_LONGEST_NS, reachable_ms * 500_000))

    def _ask(self, address: IpAddress) -> None:
        """Have the kernel resolve a neighbour, or ask it again when that is due."""
        if self._is_deleted:
            return
        try:
            if self._may_ask:
                self._requests.use_neighbour(self._interface.index, address)
                return
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES):
                self._say_once(f"{self._interface.name}: neighbour {address} is not resolved: {error}")
                return
            self._may_ask = False
        try:
            self._nudge(address)
        except OSError as error:
            self._say_once(f"{self._interface.name}: neighbour {address} is not resolved: {error}")

    def _nudge(self, address: IpAddress) -> None:
        """Resolve without privilege: send an empty datagram to the neighbour's discard port, hop limit 1."""
        is_ipv4 = address.version == 4
        with socket.socket(socket.AF_INET if is_ipv4 else socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.name.encode())
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
            if is_ipv4:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                sender.sendto(b"", (str(address), _DISCARD_PORT))
            else:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
                sender.sendto(b"", (str(address), _DISCARD_PORT, 0, self._interface.index))

    def _say_once(self, text: str) -> None:
        if text not in self._said and len(self._said) < 1000:
            self._said.add(text)
            self._log.warn(text)


def _alone(own: IpInterface) -> IpInterface:
    """Return an address without its network, which no route says to be on the link."""
    return ip_interface((own.ip, own.max_prefixlen))
