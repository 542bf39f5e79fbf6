"""Send endpoints: opened for UDP publications, closed with the last one (wire 5.4)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import ChannelError, ErrorCode, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort
from framelane.driver.endpoint import Endpoint, Endpoints, Side, native_address
from framelane.driver.native import EndpointParams, OpenedEndpoint, PlaneSendEndpoint
from framelane.driver.resources import Steps
from framelane.driver.services import Services
from framelane.shm.counter_types import CounterType
from framelane.transport.address import Address

__all__ = ["SendEndpoint", "SendEndpoints"]

#: Where UDP publications send from.
SendEndpoint: TypeAlias = Endpoint[PlaneSendEndpoint]


class SendEndpoints(Endpoints[PlaneSendEndpoint]):
    """The send endpoints of a driver. References are held by publications."""

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
            open_in_plane = partial(self._open_in_plane, channel.is_multicast)
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
        self, is_multicast: bool, binding: Any, identifier: int, params: EndpointParams
    ) -> tuple[PlaneSendEndpoint, OpenedEndpoint]:
        return self._services.plane.send_endpoint_open(binding, identifier, params, is_multicast)

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
        return None if endpoint.channel.is_multicast else endpoint.channel.params.endpoint

    def _heard_ns(self, endpoint: SendEndpoint) -> int:
        return self._services.plane.send_endpoint_time_of_last_sm(endpoint.plane)

    def _resolved_again(self, channel: UdpChannel) -> UdpChannel:
        return channel.peer_resolved_again(self._resolver)

    def _follow(self, endpoint: SendEndpoint, channel: UdpChannel) -> ChannelAddress:
        self._services.plane.send_endpoint_set_peer(endpoint.plane, native_address(channel.data))
        return channel.data
