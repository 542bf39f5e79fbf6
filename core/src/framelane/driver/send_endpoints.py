"""Send endpoints: opened for UDP publications, closed with the last one (wire 5.4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import ChannelError, ErrorCode, Interfaces, NameResolver, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort, parse_ip, resolve
from framelane.channel.udp_params import ControlMode
from framelane.driver.endpoint import IDLE_BEFORE_RERESOLUTION_NS, Endpoint, Endpoints, Side, native_address
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_text
from framelane.driver.native import PlaneSendEndpoint
from framelane.driver.plane_params import EndpointParams, OpenedEndpoint, SendEndpointParams
from framelane.driver.resources import Steps, slowly
from framelane.driver.services import Services
from framelane.driver.transports import Transports
from framelane.errors import FramelaneError
from framelane.shm.counter_types import CounterType, channel_key
from framelane.shm.system_counters import SystemCounter
from framelane.transport.address import Address

__all__ = ["SendEndpoint", "SendEndpoints"]

_DESTINATIONS = {
    ControlMode.MANUAL: lib.FL_DESTINATIONS_MANUAL,
    ControlMode.DYNAMIC: lib.FL_DESTINATIONS_DYNAMIC,
}

#: Where UDP publications send from.
SendEndpoint: TypeAlias = Endpoint[PlaneSendEndpoint]


@dataclass(frozen=True)
class _Destination:
    """Where a client told a publication to send.

    :ivar address: ``None``: the name did not resolve yet.
    """

    name: HostPort
    address: ChannelAddress | None


@dataclass
class _Destinations:
    """Those of one endpoint, by the correlation ids of the commands that gave them; learnt ones are not here."""

    counter_id: int
    by_id: dict[int, _Destination] = field(default_factory=dict)


def _check_family(endpoint: SendEndpoint, name: HostPort, address: ChannelAddress | None) -> None:
    local = endpoint.local
    if address is not None and local is not None and address.ip.version != local.ip.version:
        raise ChannelError(
            ErrorCode.INVALID_CHANNEL,
            f"destination {name.text} is IPv{address.ip.version} and the publication is at {local}: "
            f"{endpoint.channel.uri}",
        )


class SendEndpoints(Endpoints[PlaneSendEndpoint]):
    """The send endpoints of a driver. References are held by publications."""

    def __init__(
        self, services: Services, transports: Transports, resolver: NameResolver, interfaces: Interfaces
    ) -> None:
        super().__init__(services, transports, resolver, interfaces)
        self._destinations: dict[int, _Destinations] = {}

    @staticmethod
    def _make_side(services: Services) -> Side[PlaneSendEndpoint]:
        plane = services.plane
        return Side(
            prefix="snd",
            status_type=CounterType.SEND_CHANNEL_STATUS,
            ports=WildcardPorts(*services.settings.sender_wildcard_port_range),
            attach=plane.send_endpoint_attach,
            detach=plane.send_endpoint_detach,
            close=plane.send_endpoint_close,
            local_address=plane.send_endpoint_local_address,
        )

    def acquire(self, channel: UdpChannel, registration_id: int, mtu_length: int) -> Steps[SendEndpoint]:
        """Return the endpoint of a channel with one more reference; opens it if there is none.

        :param registration_id: of the publication that wants it.
        :param mtu_length: the publication's.
        :raises ChannelError: if the channel does not fit an existing endpoint, or cannot have one.
        :raises FramelaneError: if no transport can serve it, or it cannot be opened.
        """
        endpoint = self._join(channel)
        if endpoint is not None:
            channel.check_send_timestamps(endpoint.channel)
        else:
            channel.check_can_make_send_endpoint()
            open_in_plane = partial(self._open_in_plane, channel, registration_id)
            endpoint = yield from self._open(channel, registration_id, mtu_length, open_in_plane)
        # Publications of one endpoint may have different mtus, as in the stock driver.
        if mtu_length > endpoint.max_datagram:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"mtu={mtu_length} is more than transport {endpoint.chosen.transport} of the endpoint carries, "
                f"{endpoint.max_datagram}: existingChannel={endpoint.channel.uri} channel={channel.uri}",
            )
        endpoint.mtu_length = max(endpoint.mtu_length, mtu_length)
        endpoint.references += 1
        return endpoint

    def _open_in_plane(
        self, channel: UdpChannel, registration_id: int, binding: Any, identifier: int, params: EndpointParams
    ) -> tuple[PlaneSendEndpoint, OpenedEndpoint]:
        counter_id = -1
        if channel.is_multi_destination:
            text = str(channel.uri)
            counter_id = self._services.counters.allocate(
                CounterType.MDC_DESTINATIONS,
                channel_key(wire_text(text)),
                f"mdc-num-dest: {text}",
                registration_id=registration_id,
            )
            self._destinations[identifier] = _Destinations(counter_id)
        send = SendEndpointParams(
            id=identifier,
            is_multicast=channel.is_multicast,
            destinations=_DESTINATIONS[channel.params.control_mode]
            if channel.is_multi_destination
            else lib.FL_DESTINATIONS_NONE,
            destinations_counter_id=counter_id,
        )
        return self._services.plane.send_endpoint_open(binding, params, send)

    def _forget(self, identifier: int) -> None:
        destinations = self._destinations.pop(identifier, None)
        if destinations is not None:
            self._services.counters.free(destinations.counter_id)

    # ---- destinations of control-mode=manual ----

    def add_destination(
        self, endpoint: SendEndpoint, identifier: int, name: HostPort, address: ChannelAddress | None
    ) -> None:
        """Send to one more destination.

        :param identifier: the correlation id of its command.
        :param address: ``None``: the name does not resolve; it is looked up again later.
        :raises ChannelError: if the endpoint's socket cannot send there.
        :raises CommandError: if there is a destination with this id.
        """
        if identifier in self._destinations[endpoint.identifier].by_id:
            raise CommandError(ErrorCode.GENERIC_ERROR, f"registration id {identifier} is in use")
        _check_family(endpoint, name, address)
        native = None if address is None else native_address(address)
        self._services.plane.send_endpoint_add_destination(endpoint.plane, identifier, native)
        self._destinations[endpoint.identifier].by_id[identifier] = _Destination(name, address)

    def remove_destination(self, endpoint: SendEndpoint, identifier: int) -> None:
        """Send to a destination no more; nothing if there is none."""
        if self._destinations[endpoint.identifier].by_id.pop(identifier, None) is not None:
            self._services.plane.send_endpoint_remove_destination(endpoint.plane, identifier)

    def find_destination(self, endpoint: SendEndpoint, name: HostPort, address: ChannelAddress | None) -> int | None:
        """Return the id of the destination that was given with this name, else of one with this address."""
        by_id = self._destinations[endpoint.identifier].by_id
        same_name = (one for one, destination in by_id.items() if destination.name.text == name.text)
        same_address = (one for one, destination in by_id.items() if destination.address == address is not None)
        return next(same_name, None) or next(same_address, None)

    def _resolve_more(self, endpoint: SendEndpoint, now_ns: int) -> None:
        destinations = self._destinations.get(endpoint.identifier)
        for identifier, destination in destinations.by_id.items() if destinations else ():
            if parse_ip(destination.name.host) is None:
                heard_ns = self._services.plane.send_endpoint_destination_activity(endpoint.plane, identifier)
                if now_ns - heard_ns >= IDLE_BEFORE_RERESOLUTION_NS:
                    self._background.start(self._resolve_destination(endpoint, identifier, destination))

    def _resolve_destination(self, endpoint: SendEndpoint, identifier: int, destination: _Destination) -> Steps[None]:
        name = destination.name
        try:
            address = yield from slowly(partial(resolve, name, "endpoint", self._resolver))
            destinations = self._destinations.get(endpoint.identifier)
            if address == destination.address or destinations is None or identifier not in destinations.by_id:
                return
            _check_family(endpoint, name, address)
            self._services.plane.send_endpoint_set_destination(endpoint.plane, identifier, native_address(address))
        except FramelaneError as error:
            # One that did not resolve when it was given is not reported every second.
            if destination.address is not None:
                self._services.errors.record_exception(error, f"re-resolution of {name.text} of {endpoint.channel.uri}")
            return
        destinations.by_id[identifier] = _Destination(name, address)
        self._services.counters.count(SystemCounter.RESOLUTION_CHANGES)
        self._services.errors.note(f"{endpoint.channel.uri}: {name.text} is {address} now")

    def _take_port(self, channel: UdpChannel) -> ChannelAddress | None:
        # Only an explicit control address takes its port from the range (wire 5.6).
        return self._side.ports.take(channel.send_bind) if channel.has_explicit_control else None

    def _bind_of(self, channel: UdpChannel) -> ChannelAddress:
        return channel.send_bind

    def _peer_of(self, channel: UdpChannel) -> ChannelAddress | None:
        return channel.send_peer

    def _params(self, channel: UdpChannel, bind: Address, mtu_length: int) -> EndpointParams:
        params, peer = super()._params(channel, bind, mtu_length), channel.send_peer
        if peer is None:
            return params
        connects = not channel.is_multicast and self._services.settings.driver_connect
        flags = params.flags | (lib.FL_ENDPOINT_CONNECT if connects else 0)
        return replace(params, peer=native_address(peer), flags=flags)

    def _name_of(self, endpoint: SendEndpoint) -> HostPort | None:
        channel = endpoint.channel
        return channel.params.endpoint if channel.send_peer is not None and not channel.is_multicast else None

    def _heard_ns(self, endpoint: SendEndpoint) -> int:
        return self._services.plane.send_endpoint_time_of_last_sm(endpoint.plane)

    def _resolved_again(self, channel: UdpChannel) -> UdpChannel:
        return channel.peer_resolved_again(self._resolver)

    def _follow(self, endpoint: SendEndpoint, channel: UdpChannel) -> ChannelAddress:
        self._services.plane.send_endpoint_set_peer(endpoint.plane, native_address(channel.data))
        return channel.data
