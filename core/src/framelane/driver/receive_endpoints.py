"""Receive endpoints: opened for subscriptions, closed with the last subscription and image (wire 5.4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from framelane._native import lib
from framelane.channel import Address as ChannelAddress
from framelane.channel import NameResolver, UdpChannel, WildcardPorts
from framelane.channel.addresses import HostPort
from framelane.driver.endpoint import Endpoint, Endpoints, native_address
from framelane.driver.native import EndpointParams, PlaneReceiveEndpoint, ReceiveEndpointParams
from framelane.driver.resources import Steps
from framelane.driver.services import Services
from framelane.driver.transports import Transports, Wanted
from framelane.driver.verdicts import show_verdict
from framelane.shm.counter_types import CounterType

__all__ = ["ReceiveEndpoint", "ReceiveEndpoints"]


@dataclass(eq=False)
class ReceiveEndpoint(Endpoint):
    """Where subscriptions receive."""

    plane: PlaneReceiveEndpoint = field(kw_only=True)


class ReceiveEndpoints(Endpoints[ReceiveEndpoint]):
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
                    bind=native_address(taken),
                    interface_address=native_address(channel.interface.address) if channel.interface.index else None,
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
                    control=None if channel.control is None else native_address(channel.control),
                    has_control=channel.has_explicit_control,
                    group_tag=group_tag,
                    ttl=ttl,
                ),
            )
            local = services.plane.receive_endpoint_local_address(plane)
            self._show_active(counter_ids, channel, local, registration_id)
            counter_ids += show_verdict(services.counters, choice.chosen, counter_ids[0])
        except BaseException:
            if plane is not None:
                services.plane.receive_endpoint_close(plane)
            self._free_counters(counter_ids)
            self._give_back(taken)
            raise
        endpoint = ReceiveEndpoint(
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

    def release(self, endpoint: ReceiveEndpoint) -> None:
        """Drop one reference; the last one closes the endpoint."""
        endpoint.references -= 1
        if endpoint.references == 0:
            self._services.plane.receive_endpoint_close(endpoint.plane)
            self._remove(endpoint)

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
