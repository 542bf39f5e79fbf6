"""What send and receive endpoints have in common: sharing, counters, ports and re-resolution (wire 5.6 to 5.9)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from framelane.channel import Address as ChannelAddress
from framelane.channel import EndpointTable, ErrorCode, NameResolver, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort, parse_ip
from framelane.driver.events import wire_text
from framelane.driver.native import OpenedEndpoint
from framelane.driver.resources import Lane, Steps, slowly
from framelane.driver.services import Services
from framelane.driver.transports import Transports
from framelane.errors import FramelaneError
from framelane.shm.counter_types import ChannelStatus, CounterType, LocalAddressKey, channel_key
from framelane.shm.system_counters import SystemCounter
from framelane.transport.address import Address
from framelane.transport.selection import Chosen

__all__ = ["Endpoint", "Endpoints", "native_address"]

#: A name is looked up again when its address was not heard from for so long (wire 5.9).
IDLE_BEFORE_RERESOLUTION_NS = 5_000_000_000


def native_address(address: ChannelAddress) -> Address:
    """Return a channel's address as transports take it."""
    return Address(address.ip, address.port, address.scope_id)


@dataclass(eq=False)
class Endpoint:
    """What both kinds have.

    :ivar channel: with its current addresses.
    :ivar references: users; the endpoint is closed when there are none.
    """

    identifier: int
    channel: UdpChannel
    chosen: Chosen
    opened: OpenedEndpoint
    max_datagram: int  #: what its transport carries, bytes
    taken: ChannelAddress | None  #: what the wildcard port range gave
    channel_status_id: int
    counter_ids: list[int] = field(default_factory=list)  #: all of them, in the order of their allocation
    references: int = 0


E = TypeVar("E", bound=Endpoint)


class Endpoints(ABC, Generic[E]):
    """What is the same on both sides. Control thread."""

    def __init__(
        self,
        services: Services,
        transports: Transports,
        resolver: NameResolver,
        ports: WildcardPorts,
        status_type: CounterType,
        prefix: str,
    ) -> None:
        self._services = services
        self._transports = transports
        self._resolver = resolver
        self._ports = ports
        self._status_type = status_type
        self._prefix = prefix
        self._table: EndpointTable[E] = EndpointTable()
        self._by_id: dict[int, E] = {}
        self._next_id = 1
        self._background = Lane(services.slow_work)
        self._resolved_at_ns = services.clock.nano()

    def __iter__(self) -> Iterator[E]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find_id(self, identifier: int) -> E | None:
        """Return the endpoint that an event of the data plane names."""
        return self._by_id.get(identifier)

    def _join(self, channel: UdpChannel) -> E | None:
        endpoint = self._table.find(channel)
        if endpoint is not None:
            settings = self._services.settings
            channel.check_socket_buffers(endpoint.channel, settings.socket_so_sndbuf, settings.socket_so_rcvbuf)
        return endpoint

    def _enter(self, endpoint: E) -> None:
        self._by_id[endpoint.identifier] = endpoint
        self._table.add(endpoint)
        self._transports.count_fallback(endpoint.chosen, 1)
        if endpoint.opened.note:
            self._services.errors.note(f"{endpoint.channel.uri}: {endpoint.opened.note}")

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _allocate_status(self, channel: UdpChannel, registration_id: int) -> int:
        text = str(channel.uri)
        return self._services.counters.allocate(
            self._status_type,
            channel_key(wire_text(text)),
            f"{self._prefix}-channel: {text}",
            registration_id=registration_id,
        )

    def _free_counters(self, counter_ids: list[int]) -> None:
        for counter_id in reversed(counter_ids):
            self._services.counters.free(counter_id)

    def _show_active(self, counter_ids: list[int], channel: UdpChannel, local: Address | None, owner: int) -> None:
        """Label the status with the bound address, allocate the local address, and set both to active (shm 5.6)."""
        counters, status_id = self._services.counters, counter_ids[0]
        bound = "" if local is None else str(local)
        counters.update_label(status_id, f"{self._prefix}-channel: {channel.uri} {bound}")
        counter_ids.append(
            counters.allocate(
                CounterType.LOCAL_SOCKET_ADDRESS,
                LocalAddressKey(status_id, bound).encode(),
                f"{self._prefix}-local-sockaddr: {status_id} {bound}",
                registration_id=owner,
                value=ChannelStatus.ACTIVE,
            )
        )
        counters.set(status_id, ChannelStatus.ACTIVE)

    def _remove(self, endpoint: E) -> None:
        del self._by_id[endpoint.identifier]
        self._table.remove(endpoint)
        self._give_back(endpoint.taken)
        self._transports.count_fallback(endpoint.chosen, -1)
        self._free_counters(endpoint.counter_ids)

    def _give_back(self, taken: ChannelAddress | None) -> None:
        if taken is not None:
            self._ports.give_back(taken)

    def on_transport_removed(self, name: str, text: str) -> None:
        """A device is gone: its endpoints do nothing any more, and say so."""
        for endpoint in self:
            if endpoint.chosen.transport == name:
                self._services.counters.set(endpoint.channel_status_id, ChannelStatus.ERRORED)
                self._services.errors.record(
                    ErrorCode.GENERIC_ERROR, f"{endpoint.channel.uri}: device of transport {name} is gone: {text}"
                )

    def _is_resolution_due(self) -> bool:
        interval_ns = self._services.settings.driver_reresolution_check_interval
        now_ns = self._services.clock.nano()
        if interval_ns == 0 or now_ns - self._resolved_at_ns < interval_ns or not self._background.is_idle:
            return False
        self._resolved_at_ns = now_ns
        return True

    def advance(self) -> int:
        """Go on with re-resolution."""
        return self._background.advance()

    def on_timer(self) -> None:
        """Begin to resolve the names of those that were not heard from (wire 5.9)."""
        if self._is_resolution_due():
            now_ns = self._services.clock.nano()
            for endpoint in list(self):
                name = self._name_of(endpoint)
                is_name = name is not None and parse_ip(name.host) is None
                if is_name and now_ns - self._heard_ns(endpoint) >= IDLE_BEFORE_RERESOLUTION_NS:
                    self._background.start(self._resolve(endpoint))

    def _resolve(self, endpoint: E) -> Steps[None]:
        try:
            channel = yield from slowly(partial(self._resolved_again, endpoint.channel))
            if channel is endpoint.channel or endpoint.identifier not in self._by_id:
                return
            found = self._follow(endpoint, channel)
        except FramelaneError as error:
            self._services.errors.record_exception(error, f"re-resolution of {endpoint.channel.uri}")
            return
        endpoint.channel = channel
        name = self._name_of(endpoint)
        self._services.counters.count(SystemCounter.RESOLUTION_CHANGES)
        self._services.errors.note(f"{channel.uri}: {name.text if name else ''} is {found} now")

    @abstractmethod
    def _name_of(self, endpoint: E) -> HostPort | None:
        """Return the name that may come to mean another address, if there is one."""

    @abstractmethod
    def _heard_ns(self, endpoint: E) -> int:
        """Return when it was last heard from, on the monotonic clock."""

    @abstractmethod
    def _resolved_again(self, channel: UdpChannel) -> UdpChannel:
        """Look the name up; returns the same object if nothing changed. May block."""

    @abstractmethod
    def _follow(self, endpoint: E, channel: UdpChannel) -> ChannelAddress:
        """Let the owning agent use the new address; returns it."""
