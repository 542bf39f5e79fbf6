"""Names that drivers tell each other (wire 7).

Each driver has a name and tells its neighbours, and every neighbour all names that it knows. What is told is believed:
there is no authentication (wire 9.2 item 10), so tables are bounded, and a fresh entry is not replaced by an older one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import islice, product
from typing import Protocol

from framelane.channel import NameResolver
from framelane.channel.addresses import Address, HostPort, IpAddress, parse_host_port, resolve
from framelane.driver.clock import Clock
from framelane.driver.counters import Counters
from framelane.driver.resources import Lane, SlowWork, Steps, slowly
from framelane.errors import ConfigError, FramelaneError
from framelane.protocol.frames import FrameError, ResEntry, ResFrame, decode_datagram
from framelane.shm.counter_types import CounterType, index_key
from framelane.shm.system_counters import SystemCounter

__all__ = ["GossipSettings", "GossipSocket", "NameGossip", "UdpGossipSocket"]

SERVICE_INTERVAL_NS = 10_000_000
_MAX_NAMES = 1024
_MAX_NEIGHBOURS = 256
_MAX_BOOTSTRAP_NEIGHBOURS = 20
_MAX_NAME_LENGTH = 512
_MAX_DATAGRAMS_A_CYCLE = 64
_MAX_ENTRIES_A_CYCLE = 1024  # and those of one datagram
_MAX_SENDS_A_CYCLE = 256
_MAX_AGE_MS = 2**31 - 1
_RES_HEADER_LENGTH = 8
_SELF = 0x80
_MILLISECOND = 1_000_000


@dataclass(frozen=True)
class GossipSettings:
    """What a driver's settings say of it; times in nanoseconds.

    :ivar interface: where to listen, ``host[:port]``.
    :ivar bootstrap: ``host:port`` of neighbours to begin with, separated by commas.
    """

    name: str
    interface: str
    bootstrap: str = ""
    mtu_length: int = 1408
    neighbour_timeout_ns: int = 10_000_000_000
    self_interval_ns: int = 1_000_000_000
    neighbour_interval_ns: int = 2_000_000_000
    bootstrap_interval_ns: int = 10_000_000_000


class GossipSocket(Protocol):
    """A UDP socket that never blocks."""

    @property
    def local(self) -> Address:
        """Where it is bound."""
        ...

    def send(self, datagram: bytes, to: Address) -> None:
        """Send if that is possible now."""
        ...

    def receive(self) -> tuple[bytes, Address] | None:
        """Take what came, and from where."""
        ...

    def close(self) -> None: ...


class UdpGossipSocket:
    """:class:`GossipSocket` of the operating system."""

    def __init__(self, bind: Address) -> None:
        family = socket.AF_INET if bind.ip.version == 4 else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind((str(bind.ip), bind.port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"driver_resolver_interface: cannot bind to {bind}: {error}") from error
        self.local = _address_of(self._socket.getsockname())

    def send(self, datagram: bytes, to: Address) -> None:
        """See :class:`GossipSocket`. What cannot be sent is sent again with the next interval."""
        try:
            self._socket.sendto(datagram, (str(to.ip), to.port))
        except OSError:
            return

    def receive(self) -> tuple[bytes, Address] | None:
        """See :class:`GossipSocket`."""
        try:
            datagram, source = self._socket.recvfrom(65536)
        except OSError:  # nothing there, or a neighbour that is not
            return None
        return datagram, _address_of(source)

    def close(self) -> None:
        """See :class:`GossipSocket`."""
        self._socket.close()


def _address_of(name: Sequence[object]) -> Address:
    host = str(name[0]).partition("%")[0]
    ip = IPv6Address(host) if ":" in host else IPv4Address(host)
    return Address(ip, int(str(name[1])))


@dataclass
class _Known:
    """What is known of one name, or of one neighbour."""

    address: Address
    heard_ns: int


@dataclass
class _Bootstrap:
    name: HostPort
    counter_id: int
    address: Address | None = None


@dataclass
class _Intervals:
    """When what is done at intervals was done last; ``None``: never."""

    at_ns: dict[str, int] = field(default_factory=dict)

    def is_due(self, what: str, interval_ns: int, now_ns: int) -> bool:
        """Whether it is, which it then is not again before the interval has passed."""
        last_ns = self.at_ns.get(what)
        if last_ns is not None and now_ns - last_ns < interval_ns:
            return False
        self.at_ns[what] = now_ns
        return True


class NameGossip(NameResolver):
    """Knows the names of other drivers. Control thread, but for :meth:`resolve`.

    :param inner: for names that nobody told, and for the neighbours to begin with.
    :param open_socket: binds to an address.
    :raises ConfigError: if the settings are none, or the interface cannot be bound.
    """

    def __init__(
        self,
        settings: GossipSettings,
        inner: NameResolver,
        counters: Counters,
        clock: Clock,
        slow_work: SlowWork,
        open_socket: Callable[[Address], GossipSocket] = UdpGossipSocket,
    ) -> None:
        self._settings = settings
        self._inner = inner
        self._counters = counters
        self._clock = clock
        self._lane = Lane(slow_work)
        self._lock = threading.Lock()  # of the names, which helper threads look up
        self._names: dict[tuple[str, int], _Known] = {}
        self._neighbours: dict[tuple[IpAddress, int], _Known] = {}
        self._intervals = _Intervals()
        self._telling: Iterator[tuple[bytes, Address]] = iter(())
        self._is_telling = False
        self._name = settings.name.encode("ascii", "replace")
        if not 0 < len(self._name) <= _MAX_NAME_LENGTH:
            raise ConfigError(
                f"driver_resolver_name has {len(self._name)} bytes, which are not 1 to {_MAX_NAME_LENGTH}"
            )
        interface = settings.interface if _has_port(settings.interface) else f"{settings.interface}:0"
        bind = resolve(parse_host_port(interface, "driver_resolver_interface"), "driver_resolver_interface", inner)
        bootstrap = [text.strip() for text in settings.bootstrap.split(",") if text.strip()]
        if len(bootstrap) > _MAX_BOOTSTRAP_NEIGHBOURS:
            raise ConfigError(
                f"driver_resolver_bootstrap_neighbor has more than {_MAX_BOOTSTRAP_NEIGHBOURS} neighbours"
            )
        names = [parse_host_port(text, "driver_resolver_bootstrap_neighbor") for text in bootstrap]
        self._socket = open_socket(bind)
        self._neighbours_id = counters.allocate(
            CounterType.RESOLVER_NEIGHBORS, b"", f"Resolver neighbors: bound {self._socket.local}"
        )
        self._names_id = counters.allocate(
            CounterType.RESOLVER_CACHE_ENTRIES, b"", f"Resolver cache entries: name={settings.name}"
        )
        self._bootstrap = [_Bootstrap(name, self._allocate(index, name)) for index, name in enumerate(names)]

    def _allocate(self, index: int, name: HostPort) -> int:
        label = f"Bootstrap neighbor: name={name.text} resolved="
        return self._counters.allocate(CounterType.BOOTSTRAP_NEIGHBOR, index_key(index), label)

    @property
    def local(self) -> Address:
        """Where it listens."""
        return self._socket.local

    def resolve(self, host: str, parameter: str) -> IpAddress:
        """See :class:`framelane.channel.NameResolver`. Names that were told come first, IPv4 before IPv6."""
        with self._lock:
            known = self._names.get((host, 4)) or self._names.get((host, 6))
        if known is not None:
            return known.address.ip
        if host == self._settings.name:
            return self._socket.local.ip
        return self._inner.resolve(host, parameter)

    def close(self) -> None:
        """Stop; resolved names stay what they are."""
        self._lane.close()
        self._socket.close()

    # ---- every cycle ----

    def service(self) -> int:
        """Take what came and tell what is due; returns the work done."""
        now_ns = self._clock.nano()
        if not self._intervals.is_due("service", SERVICE_INTERVAL_NS, now_ns):
            return 0
        work = self._lane.advance()
        work += self._receive(now_ns)
        self._expire(now_ns)
        if self._lane.is_idle and self._intervals.is_due("bootstrap", self._settings.bootstrap_interval_ns, now_ns):
            self._lane.start(self._resolve_bootstrap())
        if self._intervals.is_due("self", self._settings.self_interval_ns, now_ns):
            self._tell_own_name()
        if not self._is_telling and self._intervals.is_due("neighbours", self._settings.neighbour_interval_ns, now_ns):
            self._telling = self._all_names(now_ns)
        self._go_on_telling()
        self._counters.set(self._neighbours_id, len(self._neighbours))
        self._counters.set(self._names_id, len(self._names))
        return work

    def _resolve_bootstrap(self) -> Steps[None]:
        """Look up the neighbours to begin with that were not heard; the first of them are told at once."""
        for one in self._bootstrap:
            if one.address is not None and (one.address.ip, one.address.port) in self._neighbours:
                continue
            try:
                address = yield from slowly(partial(resolve, one.name, "bootstrap neighbor", self._inner))
            except FramelaneError:
                continue  # it is looked up again; its counter shows that it is missing
            if address != one.address:
                one.address = address
                self._counters.update_label(
                    one.counter_id, f"Bootstrap neighbor: name={one.name.text} resolved={address}"
                )
                self._socket.send(self._own_frame(), address)

    def _expire(self, now_ns: int) -> None:
        oldest_ns = now_ns - self._settings.neighbour_timeout_ns
        for key in [key for key, known in self._neighbours.items() if known.heard_ns <= oldest_ns]:
            del self._neighbours[key]
        with self._lock:
            for name in [name for name, known in self._names.items() if known.heard_ns <= oldest_ns]:
                del self._names[name]

    # ---- telling ----

    def _targets(self) -> Iterator[Address]:
        bootstrap = [one.address for one in self._bootstrap if one.address is not None]
        yield from bootstrap
        yield from (known.address for known in self._neighbours.values() if known.address not in bootstrap)

    def _own_frame(self) -> bytes:
        local = self._socket.local
        return ResFrame(0, (ResEntry(_SELF, local.port, 0, local.ip, self._name),)).encode()

    def _tell_own_name(self) -> None:
        frame = self._own_frame()
        for address in self._targets():
            self._socket.send(frame, address)

    def _go_on_telling(self) -> None:
        """Tell some of all names: with full tables all at once would keep commands waiting."""
        some = list(islice(self._telling, _MAX_SENDS_A_CYCLE))
        for frame, address in some:
            self._socket.send(frame, address)
        self._is_telling = len(some) == _MAX_SENDS_A_CYCLE

    def _all_names(self, now_ns: int) -> Iterator[tuple[bytes, Address]]:
        """Return what to send to whom, so that every neighbour knows all names."""
        entries = [
            ResEntry(0, known.address.port, _age_ms(now_ns - known.heard_ns), known.address.ip, name.encode("latin-1"))
            for (name, _), known in self._names.items()
        ]
        frames = [frame.encode() for frame in _packed(entries, self._settings.mtu_length)]
        return product(frames, [known.address for known in self._neighbours.values()])

    # ---- hearing ----

    def _receive(self, now_ns: int) -> int:
        """Take what came, as much as a cycle may; returns the number of datagrams."""
        datagrams = entries = 0
        while datagrams < _MAX_DATAGRAMS_A_CYCLE and entries < _MAX_ENTRIES_A_CYCLE:
            received = self._socket.receive()
            if received is None:
                break
            datagrams += 1
            entries += self._on_datagram(*received, now_ns)
        return datagrams

    def _on_datagram(self, datagram: bytes, source: Address, now_ns: int) -> int:
        """Take its entries, and count it if it has none: anybody can send here. Returns how many there were."""
        try:
            (frame,) = decode_datagram(datagram)
        except (FrameError, ValueError):
            frame = None
        if not isinstance(frame, ResFrame):
            self._counters.count(SystemCounter.INVALID_PACKETS)
            return 0
        for entry in frame.entries:
            self._on_entry(entry, source, now_ns)
        return len(frame.entries)

    def _on_entry(self, entry: ResEntry, source: Address, now_ns: int) -> None:
        is_self = bool(entry.res_flags & _SELF)
        address = Address(entry.address, entry.udp_port)
        if is_self and address.ip.is_unspecified:
            address = source
        is_own = entry.name == self._name and address.port == self._socket.local.port
        if is_own or not 0 < len(entry.name) <= _MAX_NAME_LENGTH or address.ip.is_unspecified:
            return
        heard_ns = now_ns - max(entry.age_in_ms, 0) * _MILLISECOND
        if heard_ns <= now_ns - self._settings.neighbour_timeout_ns:
            return
        name = (entry.name.decode("latin-1"), address.ip.version)
        known = self._names.get(name)
        if (known is None and len(self._names) < _MAX_NAMES) or (known is not None and known.heard_ns <= heard_ns):
            with self._lock:
                self._names[name] = _Known(address, heard_ns)
        key = (address.ip, address.port)
        neighbour = self._neighbours.get(key)
        if neighbour is None and len(self._neighbours) < _MAX_NEIGHBOURS:
            self._neighbours[key] = _Known(address, heard_ns)
        elif neighbour is not None and is_self:
            neighbour.heard_ns = heard_ns


def _has_port(text: str) -> bool:
    return ":" in text.rpartition("]")[2] if text.startswith("[") else ":" in text


def _age_ms(age_ns: int) -> int:
    return min(max(age_ns, 0) // _MILLISECOND, _MAX_AGE_MS)


def _packed(entries: Sequence[ResEntry], mtu_length: int) -> Iterator[ResFrame]:
    """Yield frames of at most an mtu, each with as many entries as fit."""
    held: list[ResEntry] = []
    length = _RES_HEADER_LENGTH
    for entry in entries:
        entry_length = len(entry.encode())
        if held and length + entry_length > mtu_length:
            yield ResFrame(0, tuple(held))
            held, length = [], _RES_HEADER_LENGTH
        held.append(entry)
        length += entry_length
    if held:
        yield ResFrame(0, tuple(held))
