"""Send endpoints: opened for UDP publications, closed with the last one (wire 5.4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import ChannelError, ErrorCode, NameResolver, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort
from framelane.driver.endpoint import Endpoint, Endpoints, native_address
from framelane.driver.native import EndpointParams, PlaneSendEndpoint
from framelane.driver.resources import Steps
from framelane.driver.services import Services
from framelane.driver.transports import Transports, Wanted
from framelane.driver.verdicts import show_verdict
from framelane.shm.counter_types import CounterType

__all__ = ["SendEndpoint", "SendEndpoints"]


@dataclass(eq=False)
class SendEndpoint(Endpoint):
    """Where UDP publications send from."""

    plane: PlaneSendEndpoint = field(kw_only=True)


class SendEndpoints(Endpoints[SendEndpoint]):
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
        # Publications of one endpoint may have different mtus, as in the stock driver.
        if mtu_length > endpoint.max_datagram:
            raise ChannelError(
                ErrorCode.GENERIC_ERROR,
                f"mtu={mtu_length} is more than transport {endpoint.chosen.transport} of the endpoint carries, "
                f"{endpoint.max_datagram}: existingChannel={endpoint.channel.uri} channel={channel.uri}",
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
        bind = native_address(taken or channel.send_bind)
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
                    peer=None if peer is None else native_address(peer),
                    interface_address=native_address(channel.interface.address) if channel.interface.index else None,
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
            counter_ids += show_verdict(services.counters, choice.chosen, counter_ids[0])
        except BaseException:
            if plane is not None:
                services.plane.send_endpoint_close(plane)
            self._free_counters(counter_ids)
            self._give_back(taken)
            raise
        endpoint = SendEndpoint(
            identifier,
            channel,
            choice.chosen,
            opened,
            transport.capabilities.max_datagram,
            taken,
            counter_ids[0],
            counter_ids,
            plane=plane,
        )
        self._enter(endpoint)
        return endpoint

    def release(self, endpoint: SendEndpoint) -> None:
        """Drop one reference; the last one closes the endpoint."""
        endpoint.references -= 1
        if endpoint.references == 0:
            self._services.plane.send_endpoint_close(endpoint.plane)
            self._remove(endpoint)

    def _name_of(self, endpoint: SendEndpoint) -> HostPort | None:
        return None if endpoint.channel.is_multicast else endpoint.channel.params.endpoint

    def _heard_ns(self, endpoint: SendEndpoint) -> int:
        return self._services.plane.send_endpoint_time_of_last_sm(endpoint.plane)

    def _resolved_again(self, channel: UdpChannel) -> UdpChannel:
        return channel.peer_resolved_again(self._resolver)

    def _follow(self, endpoint: SendEndpoint, channel: UdpChannel) -> ChannelAddress:
        self._services.plane.send_endpoint_set_peer(endpoint.plane, native_address(channel.data))
        return channel.data
