"""What send and receive endpoints have in common: sharing, counters, ports and re-resolution (wire 5.6 to 5.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from framelane.channel import Address as ChannelAddress
from framelane.channel import EndpointTable, ErrorCode, NameResolver, UdpChannel, WildcardPorts
from framelane.driver.events import wire_text
from framelane.driver.native import OpenedEndpoint
from framelane.driver.resources import Lane
from framelane.driver.services import Services
from framelane.driver.transports import Transports
from framelane.shm.counter_types import ChannelStatus, CounterType, LocalAddressKey, channel_key
from framelane.shm.system_counters import SystemCounter
from framelane.transport.address import Address
from framelane.transport.selection import Chosen

__all__ = ["IDLE_BEFORE_RERESOLUTION_NS", "Endpoint", "Endpoints", "native_address"]

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


class Endpoints(Generic[E]):
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

    def _count_resolution(self, endpoint: Endpoint, parameter: str, found: Address) -> None:
        self._services.counters.count(SystemCounter.RESOLUTION_CHANGES)
        self._services.errors.note(f"{endpoint.channel.uri}: {parameter} is {found} now")
