"""Receive endpoints: opened for subscriptions, closed with the last subscription and image (wire 5.4)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import Interfaces, NameResolver, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort
from framelane.channel.udp_params import ControlMode
from framelane.driver.counters import STATIC_OWNER
from framelane.driver.endpoint import Endpoint, Endpoints, Side, native_address
from framelane.driver.errors import CommandError
from framelane.driver.native import PlaneReceiveEndpoint
from framelane.driver.plane_params import EndpointParams, OpenedEndpoint, ReceiveEndpointParams
from framelane.driver.receive_clock import clock_label
from framelane.driver.resources import Steps
from framelane.driver.services import Services
from framelane.driver.transports import Transports
from framelane.protocol.error_codes import ErrorCode
from framelane.shm.counter_types import ChannelStatus, CounterType, index_key
from framelane.transport.address import Address
from framelane.transport.selection import Chosen

__all__ = ["ReceiveEndpoint", "ReceiveEndpoints"]

#: Where subscriptions receive.
ReceiveEndpoint: TypeAlias = Endpoint[PlaneReceiveEndpoint]


class ReceiveEndpoints(Endpoints[PlaneReceiveEndpoint]):
    """The receive endpoints of a driver. References are held by subscriptions and by images."""

    def __init__(
        self, services: Services, transports: Transports, resolver: NameResolver, interfaces: Interfaces
    ) -> None:
        super().__init__(services, transports, resolver, interfaces)
        #: Of multi-destination subscriptions, by their endpoint's id and the id of the command that gave them.
        self._destinations: dict[int, dict[int, ReceiveEndpoint]] = {}

    @staticmethod
    def _make_side(services: Services) -> Side[PlaneReceiveEndpoint]:
        plane = services.plane
        return Side(
            prefix="rcv",
            status_type=CounterType.RECEIVE_CHANNEL_STATUS,
            ports=WildcardPorts(*services.settings.receiver_wildcard_port_range),
            attach=plane.receive_endpoint_attach,
            detach=plane.receive_endpoint_detach,
            close=plane.receive_endpoint_close,
            local_address=plane.receive_endpoint_local_address,
        )

    def acquire(self, channel: UdpChannel, registration_id: int, group_tag: int | None) -> Steps[ReceiveEndpoint]:
        """Return the endpoint of a channel with one more reference; opens it if there is none.

        :param registration_id: of the subscription that wants it.
        :param group_tag: for its status messages, if the endpoint is new.
        :raises ChannelError: if the channel does not fit an existing endpoint.
        :raises FramelaneError: if no transport can serve it, or it cannot be opened.
        """
        endpoint = self._join(channel)
        if endpoint is not None:
            channel.check_receive_timestamps(endpoint.channel)
        elif channel.is_multi_destination and channel.params.control_mode is ControlMode.MANUAL:
            endpoint = self._make_owner(channel, registration_id, group_tag)
        else:
            open_in_plane = partial(self._open_in_plane, channel, group_tag)
            mtu_length = self._services.settings.mtu_length
            endpoint = yield from self._open(channel, registration_id, mtu_length, open_in_plane)
        endpoint.references += 1
        return endpoint

    def _open_in_plane(
        self, channel: UdpChannel, group_tag: int | None, binding: Any, identifier: int, params: EndpointParams
    ) -> tuple[PlaneReceiveEndpoint, OpenedEndpoint]:
        receive = self._receive_params(channel, group_tag, identifier)
        return self._services.plane.receive_endpoint_open(binding, params, receive)

    def _receive_params(self, channel: UdpChannel, group_tag: int | None, identifier: int) -> ReceiveEndpointParams:
        return ReceiveEndpointParams(
            id=identifier,
            is_multicast=channel.is_multicast,
            control=None if channel.control is None else native_address(channel.control),
            has_control=channel.has_explicit_control,
            group_tag=group_tag,
            ttl=channel.params.ttl or self._services.settings.socket_multicast_ttl,
            media_timestamp_at=channel.params.timestamps.media_receive_at,
            channel_timestamp_at=channel.params.timestamps.channel_receive_at,
        )

    # ---- destinations ----

    def _make_owner(self, channel: UdpChannel, registration_id: int, group_tag: int | None) -> ReceiveEndpoint:
        """Make the endpoint of a multi-destination subscription, which has no socket of its own."""
        identifier = self._take_id()
        status_id = self._allocate_status(channel, registration_id)
        try:
            # What is common to the destinations: its own control address means nothing.
            common = replace(self._receive_params(channel, group_tag, identifier), control=None, has_control=False)
            plane = self._services.plane.receive_endpoint_new_owner(common)
        except BaseException:
            self._services.counters.free(status_id)
            raise
        self._services.counters.set(status_id, ChannelStatus.ACTIVE)
        endpoint = Endpoint(
            identifier=identifier,
            channel=channel,
            chosen=Chosen(str(channel.uri), "", "its destinations are on transports"),
            plane=plane,
            opened=OpenedEndpoint(0, 0, 0, 0, "", 0),
            local=None,
            mtu_length=0,
            max_datagram=0,
            taken=None,
            counter_ids=[status_id],
        )
        self._by_id[identifier] = endpoint
        self._table.add(endpoint)
        self._destinations[identifier] = {}
        return endpoint

    def has_destinations(self, endpoint: ReceiveEndpoint) -> bool:
        """Whether an endpoint receives at destinations that are given, be it none, and not at an address of its own."""
        return endpoint.identifier in self._destinations

    def add_destination(self, owner: ReceiveEndpoint, registration_id: int, channel: UdpChannel) -> Steps[None]:
        """Receive at one more destination, with the socket settings of the owner's channel (wire 4.12).

        :param registration_id: of the command.
        :raises FramelaneError: if no transport can serve it, it cannot be opened, or there is one with this id.
        """
        if registration_id in self._destinations[owner.identifier]:
            raise CommandError(ErrorCode.GENERIC_ERROR, f"registration id {registration_id} is in use")
        common = owner.channel.params
        params = replace(
            channel.params,
            timestamps=common.timestamps,
            socket_send_buffer_length=common.socket_send_buffer_length,
            socket_receive_buffer_length=common.socket_receive_buffer_length,
        )
        channel = replace(channel, params=params)
        open_in_plane = partial(self._open_member_in_plane, owner, channel)
        mtu_length = self._services.settings.mtu_length
        member = yield from self._open(channel, registration_id, mtu_length, open_in_plane, owner)
        member.references = 1
        self._destinations[owner.identifier][registration_id] = member

    def _open_member_in_plane(
        self, owner: ReceiveEndpoint, channel: UdpChannel, binding: Any, identifier: int, params: EndpointParams
    ) -> tuple[PlaneReceiveEndpoint, OpenedEndpoint]:
        if self.find_id(owner.identifier) is not owner:
            raise CommandError(
                ErrorCode.UNKNOWN_SUBSCRIPTION, f"the subscription is gone that was to receive at {channel.uri}"
            )
        receive = self._receive_params(channel, None, identifier)
        return self._services.plane.receive_endpoint_open_member(owner.plane, binding, params, receive)

    def remove_destination(self, owner: ReceiveEndpoint, channel: UdpChannel) -> None:
        """Receive no more at the destination that was given with this text, or else at this address; nothing if there
        is none."""
        by_id = self._destinations[owner.identifier]
        same_text = [one for one, member in by_id.items() if str(member.channel.uri) == str(channel.uri)]
        same_address = [one for one, member in by_id.items() if member.channel.data == channel.data]
        for registration_id in (same_text or same_address)[:1]:
            self.release(by_id.pop(registration_id))

    def release(self, endpoint: ReceiveEndpoint) -> None:
        """See :meth:`Endpoints.release`; an owner's last reference closes its destinations too."""
        if endpoint.references == 1:
            for member in self._destinations.pop(endpoint.identifier, {}).values():
                self.release(member)
        super().release(endpoint)

    def _count_timestamps(self, endpoint: ReceiveEndpoint) -> int | None:
        if not endpoint.channel.params.timestamps.media_receive_at:
            return None
        counters, status_id = self._services.counters, endpoint.channel_status_id
        counter_id = counters.allocate(
            CounterType.RECEIVE_TIMESTAMPS,
            index_key(status_id),
            clock_label(status_id, endpoint.chosen.transport, endpoint.opened),
            registration_id=status_id,
            owner_id=STATIC_OWNER,
        )
        try:
            self._services.plane.receive_endpoint_count_unstamped(endpoint.plane, counter_id)
        except BaseException:
            counters.free(counter_id)
            raise
        return counter_id

    def _take_port(self, channel: UdpChannel) -> ChannelAddress | None:
        return self._side.ports.take(channel.receive_bind)

    def _bind_of(self, channel: UdpChannel) -> ChannelAddress:
        return channel.receive_bind

    def _peer_of(self, _channel: UdpChannel) -> None:
        return None

    def _params(self, channel: UdpChannel, bind: Address, mtu_length: int) -> EndpointParams:
        params = super()._params(channel, bind, mtu_length)
        wants_times = bool(channel.params.timestamps.media_receive_at)
        return replace(params, flags=params.flags | lib.FL_ENDPOINT_TIMESTAMPS) if wants_times else params

    def _name_of(self, endpoint: ReceiveEndpoint) -> HostPort | None:
        return endpoint.channel.params.control if endpoint.channel.has_explicit_control else None

    def _heard_ns(self, endpoint: ReceiveEndpoint) -> int:
        return self._services.plane.receive_endpoint_time_of_last_run(endpoint.plane)

    def _resolved_again(self, channel: UdpChannel) -> UdpChannel:
        return channel.control_resolved_again(self._resolver)

    def _follow(self, endpoint: ReceiveEndpoint, channel: UdpChannel) -> ChannelAddress:
        assert channel.control is not None  # it is what changed
        self._services.plane.receive_endpoint_set_control(endpoint.plane, native_address(channel.control))
        return channel.control
