"""Receive endpoints: opened for subscriptions, closed with the last subscription and image (wire 5.4)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort
from framelane.driver.counters import STATIC_OWNER
from framelane.driver.endpoint import Endpoint, Endpoints, Side, native_address
from framelane.driver.native import EndpointParams, OpenedEndpoint, PlaneReceiveEndpoint, ReceiveEndpointParams
from framelane.driver.receive_clock import clock_label
from framelane.driver.resources import Steps
from framelane.driver.services import Services
from framelane.shm.counter_types import CounterType, index_key
from framelane.transport.address import Address

__all__ = ["ReceiveEndpoint", "ReceiveEndpoints"]

#: Where subscriptions receive.
ReceiveEndpoint: TypeAlias = Endpoint[PlaneReceiveEndpoint]


class ReceiveEndpoints(Endpoints[PlaneReceiveEndpoint]):
    """The receive endpoints of a driver. References are held by subscriptions and by images."""

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
        else:
            open_in_plane = partial(self._open_in_plane, channel, group_tag)
            mtu_length = self._services.settings.mtu_length
            endpoint = yield from self._open(channel, registration_id, mtu_length, open_in_plane)
        endpoint.references += 1
        return endpoint

    def _open_in_plane(
        self, channel: UdpChannel, group_tag: int | None, binding: Any, identifier: int, params: EndpointParams
    ) -> tuple[PlaneReceiveEndpoint, OpenedEndpoint]:
        receive = ReceiveEndpointParams(
            id=identifier,
            is_multicast=channel.is_multicast,
            control=None if channel.control is None else native_address(channel.control),
            has_control=channel.has_explicit_control,
            group_tag=group_tag,
            ttl=params.ttl,
            media_timestamp_at=channel.params.timestamps.media_receive_at,
            channel_timestamp_at=channel.params.timestamps.channel_receive_at,
        )
        return self._services.plane.receive_endpoint_open(binding, params, receive)

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
