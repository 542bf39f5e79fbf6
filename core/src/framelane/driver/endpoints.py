"""Send and receive endpoints: opened with a transport, shared by channel, closed with their last user (wire 5.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import ChannelError, EndpointTable, ErrorCode, NameResolver, UdpChannel, WildcardPorts, resolve
from framelane.channel.addresses import parse_ip
from framelane.driver.events import wire_text
from framelane.driver.native import (
    EndpointParams,
    OpenedEndpoint,
    PlaneReceiveEndpoint,
    PlaneSendEndpoint,
    ReceiveEndpointParams,
)
from framelane.driver.resources import Lane, Steps, slowly
from framelane.driver.services import Services
from framelane.driver.transports import Transports, Wanted
from framelane.shm.counter_types import ChannelStatus, CounterType, LocalAddressKey, channel_key
from framelane.shm.system_counters import SystemCounter
from framelane.transport.address import Address

__all__ = ["Endpoint", "ReceiveEndpoint", "ReceiveEndpoints", "SendEndpoint", "SendEndpoints"]

_IDLE_BEFORE_RERESOLUTION_NS = 5_000_000_000  # wire 5.9


def _address(address: ChannelAddress) -> Address:
    return Address(address.ip, address.port, address.scope_id)


@dataclass(eq=False)
class Endpoint:
    """What both kinds have.

    :ivar channel: with its current addresses.
    :ivar references: users; the endpoint is closed when there are none.
    """

    identifier: int
    channel: UdpChannel
    transport: str
    opened: OpenedEndpoint
    mtu_length: int
    taken: ChannelAddress | None  #: what the wildcard port range gave
    channel_status_id: int
    counter_ids: list[int] = field(default_factory=list)  #: all of them, in the order of their allocation
    references: int = 0


@dataclass(eq=False)
class SendEndpoint(Endpoint):
    """Where UDP publications send from."""

    plane: PlaneSendEndpoint = field(kw_only=True)


@dataclass(eq=False)
class ReceiveEndpoint(Endpoint):
    """Where subscriptions receive."""

    plane: PlaneReceiveEndpoint = field(kw_only=True)


E = TypeVar("E", bound=Endpoint)


class _Endpoints(Generic[E]):
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

    def _note(self, endpoint: Endpoint) -> None:
        if endpoint.opened.note:
            self._services.errors.note(f"{endpoint.channel.uri}: {endpoint.opened.note}")

    def _remove(self, endpoint: E) -> None:
        del self._by_id[endpoint.identifier]
        self._table.remove(endpoint)
        self._give_back(endpoint.taken)
        self._free_counters(endpoint.counter_ids)

    def _give_back(self, taken: ChannelAddress | None) -> None:
        if taken is not None:
            self._ports.give_back(taken)

    def on_transport_removed(self, name: str, text: str) -> None:
        """A device is gone: its endpoints do nothing any more, and say so."""
        for endpoint in self:
            if endpoint.transport == name:
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


class SendEndpoints(_Endpoints[SendEndpoint]):
    """The send endpoints of a driver."""

    def __init__(self, services: Services, transports: Transports, resolver: NameResolver) -> None:
        low, high = services.settings.sender_wildcard_port_range
        ports = WildcardPorts(low, high)
        super().__init__(services, transports, resolver, ports, CounterType.SEND_CHANNEL_STATUS, "snd")

    def acquire(self, channel: UdpChannel, registration_id: int, mtu_length: int) -> Steps[SendEndpoint]:
        """Return the endpoint of a channel with one more reference; opens it if there is none.

        :param registration_id: of the publication that wants it.
        :param mtu_length: the publication's.
        :raises ChannelError: if the channel does not fit an existing endpoint, or cannot have one.
        :raises FramelaneError: if no transport can serve it, or it cannot be opened.
        """
        endpoint = self._join(channel)
        if endpoint is None:
            channel.check_can_make_send_endpoint()
            endpoint = yield from self._open(channel, registration_id, mtu_length)
        if mtu_length > endpoint.mtu_length:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"mtu={mtu_length} exceeds the mtu={endpoint.mtu_length} with which the endpoint was opened: "
                f"existingChannel={endpoint.channel.uri} channel={channel.uri}",
            )
        endpoint.references += 1
        return endpoint

    def _open(self, channel: UdpChannel, registration_id: int, mtu_length: int) -> Steps[SendEndpoint]:
        settings, params, services = self._services.settings, channel.params, self._services
        peer = channel.send_peer
        toward = peer or channel.send_bind
        wanted = Wanted(
            label=str(channel.uri),
            address=toward.ip,
            port=toward.port,
            endpoint=params.endpoint.text if params.endpoint else "",
            sends=peer is not None,
            interface_address=channel.interface.address.ip if channel.interface.index else None,
            mtu_length=mtu_length,
            transport=params.transport,
        )
        choice, transport = yield from self._transports.choose(wanted)
        # Only an explicit control address takes its port from the range (wire 5.6).
        taken = self._ports.take(channel.send_bind) if channel.has_explicit_control else None
        bind = _address(taken or channel.send_bind)
        if choice.source is not None and bind.ip.is_unspecified:
            bind = replace(bind, ip=choice.source)
        flags = lib.FL_ENDPOINT_REUSE_ADDRESS if channel.is_multicast else 0
        if peer is not None and not channel.is_multicast and settings.driver_connect:
            flags |= lib.FL_ENDPOINT_CONNECT
        identifier = self._take_id()
        counter_ids: list[int] = []
        plane: PlaneSendEndpoint | None = None
        try:
            counter_ids.append(self._allocate_status(channel, registration_id))
            plane, opened = services.plane.send_endpoint_open(
                transport.binding,
                identifier,
                EndpointParams(
                    bind=bind,
                    peer=None if peer is None else _address(peer),
                    interface_address=_address(channel.interface.address) if channel.interface.index else None,
                    interface_index=channel.interface.index,
                    flags=flags,
                    ttl=params.ttl or settings.socket_multicast_ttl,
                    mtu_length=mtu_length,
                    send_buffer_length=params.socket_send_buffer_length or settings.socket_so_sndbuf,
                    receive_buffer_length=params.socket_receive_buffer_length or settings.socket_so_rcvbuf,
                ),
                channel.is_multicast,
            )
            local = services.plane.send_endpoint_local_address(plane)
            self._show_active(counter_ids, channel, local, registration_id)
            counter_ids += self._transports.allocate_verdict(choice.chosen, counter_ids[0])
        except BaseException:
            if plane is not None:
                services.plane.send_endpoint_close(plane)
            self._free_counters(counter_ids)
            self._give_back(taken)
            raise
        endpoint = SendEndpoint(
            identifier, channel, transport.name, opened, mtu_length, taken, counter_ids[0], counter_ids, plane=plane
        )
        self._enter(endpoint)
        self._note(endpoint)
        return endpoint

    def release(self, endpoint: SendEndpoint) -> None:
        """Drop one reference; the last one closes the endpoint."""
        endpoint.references -= 1
        if endpoint.references == 0:
            self._services.plane.send_endpoint_close(endpoint.plane)
            self._remove(endpoint)

    def on_timer(self) -> None:
        """Begin to resolve the names of peers that were not heard from (wire 5.9)."""
        if self._is_resolution_due():
            now_ns = self._services.clock.nano()
            for endpoint in list(self):
                if endpoint.channel.send_peer is None or endpoint.channel.is_multicast:
                    continue
                heard_ns = self._services.plane.send_endpoint_time_of_last_sm(endpoint.plane)
                if now_ns - heard_ns >= _IDLE_BEFORE_RERESOLUTION_NS:
                    self._background.start(self._resolve(endpoint))

    def _resolve(self, endpoint: SendEndpoint) -> Steps[None]:
        host_port = endpoint.channel.params.endpoint
        if host_port is None or parse_ip(host_port.host) is not None:
            return
        try:
            found = yield from slowly(lambda: resolve(host_port, "endpoint", self._resolver))
        except ChannelError as error:
            self._services.errors.record_exception(error, f"re-resolution of {endpoint.channel.uri}")
            return
        if found == endpoint.channel.data or endpoint.identifier not in self._by_id:
            return
        self._services.plane.send_endpoint_set_peer(endpoint.plane, _address(found))
        endpoint.channel = replace(endpoint.channel, data=found)
        self._count_resolution(endpoint, "endpoint", _address(found))


class ReceiveEndpoints(_Endpoints[ReceiveEndpoint]):
    """The receive endpoints of a driver. References are held by subscriptions and by images."""

    def __init__(self, services: Services, transports: Transports, resolver: NameResolver) -> None:
        low, high = services.settings.receiver_wildcard_port_range
        ports = WildcardPorts(low, high)
        super().__init__(services, transports, resolver, ports, CounterType.RECEIVE_CHANNEL_STATUS, "rcv")

    def acquire(self, channel: UdpChannel, registration_id: int, group_tag: int | None) -> Steps[ReceiveEndpoint]:
        """Return the endpoint of a channel with one more reference; opens it if there is none.

        :param registration_id: of the subscription that wants it.
        :param group_tag: for its status messages, if the endpoint is new.
        :raises ChannelError: if the channel does not fit an existing endpoint.
        :raises FramelaneError: if no transport can serve it, or it cannot be opened.
        """
        endpoint = self._join(channel)
        if endpoint is None:
            endpoint = yield from self._open(channel, registration_id, group_tag)
        endpoint.references += 1
        return endpoint

    def _open(self, channel: UdpChannel, registration_id: int, group_tag: int | None) -> Steps[ReceiveEndpoint]:
        settings, params, services = self._services.settings, channel.params, self._services
        bind = channel.receive_bind
        wanted = Wanted(
            label=str(channel.uri),
            address=bind.ip,
            port=bind.port,
            endpoint=params.endpoint.text if params.endpoint else "",
            sends=False,
            interface_address=channel.interface.address.ip if channel.interface.index else None,
            mtu_length=settings.mtu_length,
            transport=params.transport,
        )
        choice, transport = yield from self._transports.choose(wanted)
        taken = self._ports.take(channel.receive_bind)
        ttl = params.ttl or settings.socket_multicast_ttl
        identifier = self._take_id()
        counter_ids: list[int] = []
        plane: PlaneReceiveEndpoint | None = None
        try:
            counter_ids.append(self._allocate_status(channel, registration_id))
            plane, opened = services.plane.receive_endpoint_open(
                transport.binding,
                EndpointParams(
                    bind=_address(taken),
                    interface_address=_address(channel.interface.address) if channel.interface.index else None,
                    interface_index=channel.interface.index,
                    flags=lib.FL_ENDPOINT_REUSE_ADDRESS if channel.is_multicast else 0,
                    ttl=ttl,
                    mtu_length=settings.mtu_length,
                    send_buffer_length=params.socket_send_buffer_length or settings.socket_so_sndbuf,
                    receive_buffer_length=params.socket_receive_buffer_length or settings.socket_so_rcvbuf,
                ),
                ReceiveEndpointParams(
                    id=identifier,
                    is_multicast=channel.is_multicast,
                    control=None if channel.control is None else _address(channel.control),
                    has_control=channel.has_explicit_control,
                    group_tag=group_tag,
                    ttl=ttl,
                ),
            )
            local = services.plane.receive_endpoint_local_address(plane)
            self._show_active(counter_ids, channel, local, registration_id)
            counter_ids += self._transports.allocate_verdict(choice.chosen, counter_ids[0])
        except BaseException:
            if plane is not None:
                services.plane.receive_endpoint_close(plane)
            self._free_counters(counter_ids)
            self._give_back(taken)
            raise
        endpoint = ReceiveEndpoint(
            identifier, channel, transport.name, opened, 0, taken, counter_ids[0], counter_ids, plane=plane
        )
        self._enter(endpoint)
        self._note(endpoint)
        return endpoint

    def release(self, endpoint: ReceiveEndpoint) -> None:
        """Drop one reference; the last one closes the endpoint."""
        endpoint.references -= 1
        if endpoint.references == 0:
            self._services.plane.receive_endpoint_close(endpoint.plane)
            self._remove(endpoint)

    def on_timer(self) -> None:
        """Begin to resolve the names of explicit control addresses (wire 5.9)."""
        if self._is_resolution_due():
            for endpoint in list(self):
                if endpoint.channel.has_explicit_control:
                    self._background.start(self._resolve(endpoint))

    def _resolve(self, endpoint: ReceiveEndpoint) -> Steps[None]:
        host_port = endpoint.channel.params.control
        if host_port is None or parse_ip(host_port.host) is not None:
            return
        try:
            found = yield from slowly(lambda: resolve(host_port, "control", self._resolver))
        except ChannelError as error:
            self._services.errors.record_exception(error, f"re-resolution of {endpoint.channel.uri}")
            return
        if found == endpoint.channel.control or endpoint.identifier not in self._by_id:
            return
        self._services.plane.receive_endpoint_set_control(endpoint.plane, _address(found))
        endpoint.channel = replace(endpoint.channel, control=found)
        self._count_resolution(endpoint, "control", _address(found))
