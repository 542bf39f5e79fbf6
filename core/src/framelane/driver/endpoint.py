"""What send and receive endpoints have in common: sharing, opening, counters, ports, re-resolution, and moving to
another transport (wire 5.6 to 5.9)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import EndpointTable, Interfaces, NameResolver, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort, parse_ip
from framelane.driver.events import wire_text
from framelane.driver.plane_params import EndpointParams, OpenedEndpoint
from framelane.driver.receive_clock import clock_label, with_clock
from framelane.driver.resources import Lane, Steps, slowly
from framelane.driver.services import Services
from framelane.driver.transports import Transports, Wanted
from framelane.driver.verdicts import show_verdict
from framelane.errors import FramelaneError, NativeError
from framelane.shm.counter_types import ChannelStatus, CounterType, LocalAddressKey, channel_key
from framelane.shm.system_counters import SystemCounter
from framelane.transport.address import Address
from framelane.transport.selection import Chosen, PassedOver

__all__ = ["Endpoint", "Endpoints", "Side", "native_address"]

#: A name is looked up again when its address was not heard from for so long (wire 5.9).
IDLE_BEFORE_RERESOLUTION_NS = 5_000_000_000


def native_address(address: ChannelAddress) -> Address:
    """Return a channel's address as transports take it."""
    return Address(address.ip, address.port, address.scope_id)


P = TypeVar("P")  # what the data plane gave for an endpoint


@dataclass(frozen=True)
class Side(Generic[P]):
    """What one side's endpoints have of their own.

    The functions are what the data plane does with open ones; see :class:`framelane.driver.native.DataPlane`.
    """

    prefix: str  #: of the labels of their counters
    status_type: CounterType
    ports: WildcardPorts
    attach: Callable[[P, Any, EndpointParams], OpenedEndpoint]
    detach: Callable[[P], None]
    close: Callable[[P], None]
    local_address: Callable[[P], Address | None]


@dataclass(eq=False)
class Endpoint(Generic[P]):
    """What both kinds have.

    :ivar channel: with its current addresses.
    :ivar references: users; the endpoint is closed when there are none.
    """

    identifier: int
    channel: UdpChannel
    chosen: Chosen
    plane: P
    opened: OpenedEndpoint
    local: Address | None  #: where it is bound
    mtu_length: int  #: the longest datagram of its users, bytes
    max_datagram: int  #: what its transport carries, bytes
    taken: ChannelAddress | None  #: what was taken of the wildcard port range
    counter_ids: list[int]  #: status, local address, and those of the verdict
    timestamps_id: int | None = None  #: counter about receive timestamps, which the data plane writes to
    references: int = 0
    owner: Endpoint[P] | None = None  #: of which it is one destination

    @property
    def channel_status_id(self) -> int:
        """The counter that tells clients how the channel is."""
        return self.counter_ids[0]

    @property
    def name(self) -> str:
        """The channel and where it is bound, for messages."""
        return f"{self.channel.uri} at {self.local}"


_STATUS_COUNTERS = 2  # those of Endpoint.counter_ids before the verdict's


class Endpoints(ABC, Generic[P]):
    """What is the same on both sides. Control thread.

    :param interfaces: of this host, for an interface that was made again.
    """

    def __init__(
        self,
        services: Services,
        transports: Transports,
        resolver: NameResolver,
        interfaces: Interfaces,
    ) -> None:
        self._services = services
        self._transports = transports
        self._resolver = resolver
        self._interfaces = interfaces
        self._side = self._make_side(services)
        self._table: EndpointTable[Endpoint[P]] = EndpointTable()
        self._by_id: dict[int, Endpoint[P]] = {}
        self._next_id = 1
        self._background = Lane(services.slow_work)
        self._resolved_at_ns = services.clock.nano()

    def __iter__(self) -> Iterator[Endpoint[P]]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find_id(self, identifier: int) -> Endpoint[P] | None:
        """Return the endpoint that an event of the data plane names."""
        return self._by_id.get(identifier)

    def _join(self, channel: UdpChannel) -> Endpoint[P] | None:
        endpoint = self._table.find(channel)
        if endpoint is not None:
            settings = self._services.settings
            channel.check_socket_buffers(endpoint.channel, settings.socket_so_sndbuf, settings.socket_so_rcvbuf)
        return endpoint

    def _open(
        self,
        channel: UdpChannel,
        registration_id: int,
        mtu_length: int,
        open_in_plane: Callable[[Any, int, EndpointParams], tuple[P, OpenedEndpoint]],
        owner: Endpoint[P] | None = None,
    ) -> Steps[Endpoint[P]]:
        """Choose a transport and open an endpoint on it; whatever fails leaves nothing behind.

        :param owner: of which it is one destination; nobody else can join it then.
        :param open_in_plane: takes the transport's binding, the endpoint's id, and the parameters.
        """
        choice, transport = yield from self._transports.choose(self._wanted(channel, mtu_length))
        taken = self._take_port(channel)
        identifier = self._take_id()
        counter_ids: list[int] = []
        plane: P | None = None
        try:
            counter_ids.append(self._allocate_status(channel, registration_id))
            bind = native_address(taken or self._bind_of(channel))
            if choice.source is not None and bind.ip.is_unspecified:
                bind = replace(bind, ip=choice.source)
            params = self._params(channel, bind, mtu_length)
            plane, opened = open_in_plane(transport.binding, identifier, params)
            local = self._side.local_address(plane)
            self._show_active(counter_ids, channel, local, registration_id, owner)
            chosen = with_clock(choice.chosen, params, opened)
            counter_ids += show_verdict(self._services.counters, chosen, counter_ids[0])
            endpoint = Endpoint(
                identifier=identifier,
                channel=channel,
                chosen=chosen,
                plane=plane,
                opened=opened,
                local=local,
                mtu_length=mtu_length,
                max_datagram=transport.capabilities.longest_datagram(bind.ip.version),
                taken=taken,
                counter_ids=counter_ids,
                owner=owner,
            )
            endpoint.timestamps_id = self._count_timestamps(endpoint)
        except BaseException:
            if plane is not None:
                self._side.close(plane)
            self._free_counters(counter_ids)
            self._forget(identifier)
            self._give_back(taken)
            raise
        self._by_id[identifier] = endpoint
        if owner is None:
            self._table.add(endpoint)
        self._transports.count_fallback(endpoint.chosen, 1)
        self._note(endpoint)
        return endpoint

    @staticmethod
    @abstractmethod
    def _make_side(services: Services) -> Side[P]:
        """Return what is this side's own."""

    def _wanted(self, channel: UdpChannel, mtu_length: int) -> Wanted:
        """Return what selection is asked."""
        params, peer = channel.params, self._peer_of(channel)
        toward = peer or self._bind_of(channel)
        return Wanted(
            label=str(channel.uri),
            address=toward.ip,
            port=toward.port,
            endpoint=params.endpoint.text if params.endpoint else "",
            sends=peer is not None,
            interface_address=None if channel.interface.is_any else channel.interface.address.ip,
            mtu_length=mtu_length,
            transport=params.transport,
        )

    @abstractmethod
    def _peer_of(self, channel: UdpChannel) -> ChannelAddress | None:
        """Return where the endpoint sends to; ``None`` if nowhere in particular, and the bind decides the transport."""

    @abstractmethod
    def _take_port(self, channel: UdpChannel) -> ChannelAddress | None:
        """Return the address to bind to if its port is one that the wildcard range knows of (wire 5.6)."""

    @abstractmethod
    def _bind_of(self, channel: UdpChannel) -> ChannelAddress:
        """Return where the channel says to bind."""

    def _params(self, channel: UdpChannel, bind: Address, mtu_length: int) -> EndpointParams:
        """Return what the transport is asked for."""
        settings, params = self._services.settings, channel.params
        return EndpointParams(
            bind=bind,
            interface_address=None if channel.interface.is_any else native_address(channel.interface.address),
            interface_index=channel.interface.index,
            flags=lib.FL_ENDPOINT_REUSE_ADDRESS if channel.is_multicast else 0,
            ttl=params.ttl or settings.socket_multicast_ttl,
            mtu_length=mtu_length,
            send_buffer_length=params.socket_send_buffer_length or settings.socket_so_sndbuf,
            receive_buffer_length=params.socket_receive_buffer_length or settings.socket_so_rcvbuf,
        )

    def _count_timestamps(self, endpoint: Endpoint[P]) -> int | None:  # noqa: ARG002
        """Have the data plane count about receive timestamps if the channel wants them; returns the counter's id."""
        return None

    def _forget(self, identifier: int) -> None:
        """Let go of what a side keeps for an endpoint that is gone, or was not opened."""

    def _note(self, endpoint: Endpoint[P]) -> None:
        if endpoint.opened.note:
            self._services.errors.note(f"{endpoint.channel.uri}: {endpoint.opened.note}")

    def release(self, endpoint: Endpoint[P]) -> None:
        """Drop one reference; the last one closes the endpoint."""
        endpoint.references -= 1
        if endpoint.references == 0:
            self._side.close(endpoint.plane)
            self._remove(endpoint)

    def close(self) -> None:
        """Close what is left, such as an endpoint that a command waited with when the driver ended."""
        self._background.close()
        for endpoint in reversed(list(self)):  # destinations before their owners
            self._side.close(endpoint.plane)
            self._remove(endpoint)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _allocate_status(self, channel: UdpChannel, registration_id: int) -> int:
        text = str(channel.uri)
        return self._services.counters.allocate(
            self._side.status_type,
            channel_key(wire_text(text)),
            f"{self._side.prefix}-channel: {text}",
            registration_id=registration_id,
        )

    def _free_counters(self, counter_ids: list[int]) -> None:
        for counter_id in reversed(counter_ids):
            self._services.counters.free(counter_id)

    def _show_active(
        self,
        counter_ids: list[int],
        channel: UdpChannel,
        local: Address | None,
        registration_id: int,
        owner: Endpoint[P] | None,
    ) -> None:
        """Label the status with the bound address, allocate the local address, and set both to active (shm 5.6).

        Clients know the local address by the status of the channel that they asked for, which is the owner's.
        """
        counters, status_id = self._services.counters, counter_ids[0]
        bound = "" if local is None else str(local)
        clients_id = status_id if owner is None else owner.channel_status_id
        counters.update_label(status_id, f"{self._side.prefix}-channel: {channel.uri} {bound}")
        counter_ids.append(
            counters.allocate(
                CounterType.LOCAL_SOCKET_ADDRESS,
                LocalAddressKey(clients_id, bound).encode(),
                f"{self._side.prefix}-local-sockaddr: {clients_id} {bound}",
                registration_id=registration_id,
                value=ChannelStatus.ACTIVE,
            )
        )
        counters.set(status_id, ChannelStatus.ACTIVE)

    def _remove(self, endpoint: Endpoint[P]) -> None:
        del self._by_id[endpoint.identifier]
        if endpoint.owner is None:
            self._table.remove(endpoint)
        self._give_back(endpoint.taken)
        self._transports.count_fallback(endpoint.chosen, -1)
        self._free_counters(endpoint.counter_ids)
        self._forget(endpoint.identifier)
        if endpoint.timestamps_id is not None:
            self._services.counters.free(endpoint.timestamps_id)

    def _give_back(self, taken: ChannelAddress | None) -> None:
        if taken is not None:
            self._side.ports.give_back(taken)

    # ---- another transport ----

    def detach_from(self, transport: str) -> list[Endpoint[P]]:
        """Take every endpoint off a transport whose device was lost; returns them."""
        lost = [endpoint for endpoint in self if endpoint.chosen.transport == transport]
        for endpoint in lost:
            try:
                self._side.detach(endpoint.plane)
            except NativeError as error:  # it is detached all the same
                self._services.errors.record_exception(error, f"{endpoint.name}, taken off transport {transport}")
        return lost

    def reopen(self, endpoint: Endpoint[P]) -> Steps[None]:
        """Open a detached endpoint on the first transport that binds the address and port that it had.

        An endpoint that is closed meanwhile is left alone.

        :raises FramelaneError: if none does; the endpoint is as detached as it was.
        """
        found = yield from slowly(partial(endpoint.channel.interface_found_again, self._interfaces))
        refused: dict[str, str] = {}
        while True:
            wanted = self._wanted(found, endpoint.mtu_length)
            choice, transport = yield from self._transports.choose(wanted, refused)
            if self.find_id(endpoint.identifier) is not endpoint:
                return
            # The names may have been resolved again meanwhile.
            endpoint.channel = replace(endpoint.channel, interface=found.interface)
            bind = self._bind_again(endpoint)
            try:
                params = self._params(endpoint.channel, bind, endpoint.mtu_length)
                endpoint.opened = self._side.attach(endpoint.plane, transport.binding, params)
            except NativeError as error:
                hint = self._transports.privilege_hint(error, transport.capabilities)
                refused[choice.chosen.transport] = f"does not bind {bind}: {error}{hint}"
                continue
            break
        endpoint.max_datagram = transport.capabilities.longest_datagram(bind.ip.version)
        self._change_verdict(endpoint, with_clock(choice.chosen, params, endpoint.opened))
        if endpoint.timestamps_id is not None:
            label = clock_label(endpoint.channel_status_id, endpoint.chosen.transport, endpoint.opened)
            self._services.counters.update_label(endpoint.timestamps_id, label)
        self._set_status(endpoint, ChannelStatus.ACTIVE)
        self._note(endpoint)

    def _bind_again(self, endpoint: Endpoint[P]) -> Address:
        """Return where an endpoint was bound: peers know its streams by that, so it stays."""
        bind, had = native_address(endpoint.taken or self._bind_of(endpoint.channel)), endpoint.local
        if had is None:
            return bind
        return replace(bind, ip=had.ip if bind.ip.is_unspecified else bind.ip, port=bind.port or had.port)

    def show_lost(self, endpoint: Endpoint[P], why: str, passed_over: tuple[PassedOver, ...]) -> None:
        """Show that an endpoint is on no transport.

        :param why: a sentence.
        :param passed_over: what selection says of each transport.
        """
        chosen = Chosen(endpoint.chosen.label, endpoint.chosen.transport, why, passed_over)
        if chosen != endpoint.chosen:
            self._change_verdict(endpoint, chosen)
        self._set_status(endpoint, ChannelStatus.ERRORED)

    def _change_verdict(self, endpoint: Endpoint[P], chosen: Chosen) -> None:
        self._transports.count_fallback(endpoint.chosen, -1)
        self._transports.count_fallback(chosen, 1)
        endpoint.chosen = chosen
        self._free_counters(endpoint.counter_ids[_STATUS_COUNTERS:])
        del endpoint.counter_ids[_STATUS_COUNTERS:]
        try:
            endpoint.counter_ids += show_verdict(self._services.counters, chosen, endpoint.channel_status_id)
        except FramelaneError as error:  # the stream matters more than the counters about it
            self._services.errors.record_exception(error, f"counters about the transport of {endpoint.name}")

    def _set_status(self, endpoint: Endpoint[P], status: ChannelStatus) -> None:
        for counter_id in endpoint.counter_ids[:_STATUS_COUNTERS]:
            self._services.counters.set(counter_id, status)

    # ---- re-resolution ----

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
                self._resolve_more(endpoint, now_ns)

    def _resolve_more(self, endpoint: Endpoint[P], now_ns: int) -> None:
        """Begin to resolve what else has names on an endpoint."""

    def _resolve(self, endpoint: Endpoint[P]) -> Steps[None]:
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
    def _name_of(self, endpoint: Endpoint[P]) -> HostPort | None:
        """Return the name that may come to mean another address, if there is one."""

    @abstractmethod
    def _heard_ns(self, endpoint: Endpoint[P]) -> int:
        """Return when it was last heard from, on the monotonic clock."""

    @abstractmethod
    def _resolved_again(self, channel: UdpChannel) -> UdpChannel:
        """Look the name up; returns the same object if nothing changed. May block."""

    @abstractmethod
    def _follow(self, endpoint: Endpoint[P], channel: UdpChannel) -> ChannelAddress:
        """Let the owning agent use the new address; returns it."""
