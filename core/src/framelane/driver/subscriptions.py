"""Subscriptions: what clients want to read (shm 9.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from framelane.channel import (
    ChannelUri,
    Group,
    Interfaces,
    NameResolver,
    SubscriptionDefaults,
    SubscriptionParams,
    UdpChannel,
    UdpParams,
    UntetheredTimeouts,
)
from framelane.driver.clients import Clients
from framelane.driver.errors import CommandError
from framelane.driver.links import Link, Links, Source
from framelane.driver.receive_endpoints import ReceiveEndpoint, ReceiveEndpoints
from framelane.driver.resources import Steps, slowly
from framelane.driver.services import Services
from framelane.protocol.commands import AddSubscription
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import SubscriptionReady

if TYPE_CHECKING:
    from framelane.driver.images import Images
    from framelane.driver.ipc_publications import IpcPublication, IpcPublications
    from framelane.driver.publications import NetworkPublication, NetworkPublications

__all__ = ["Subscription", "Subscriptions"]


@dataclass(eq=False)
class Subscription:
    """One subscription.

    :ivar channel: its text, as the client gave it.
    :ivar endpoint: ``None`` for IPC and spies.
    :ivar spied: of spies: the channel whose publications they read.
    """

    registration_id: int
    client_id: int
    stream_id: int
    channel: str
    params: SubscriptionParams
    endpoint: ReceiveEndpoint | None = None
    spied: UdpChannel | None = None
    links: list[Link] = field(default_factory=list)

    def matches(self, stream_id: int, session_id: int) -> bool:
        """Whether it reads a session of a stream, the endpoint aside (shm 9.4)."""
        return self.stream_id == stream_id and self.params.session_id in (None, session_id)

    def spies_on(self, publication: NetworkPublication) -> bool:
        """Whether it is a spy that reads a publication; one with the channel's tag reads all sessions (shm 9.4)."""
        if self.spied is None or self.stream_id != publication.stream_id:
            return False
        channel = publication.endpoint.channel
        if self.spied.tag is not None and self.spied.tag == channel.tag:
            return True
        return self.spied.canonical == channel.canonical and self.matches(publication.stream_id, publication.session_id)


class Subscriptions:
    """All subscriptions, oldest first. Control thread."""

    def __init__(
        self,
        services: Services,
        links: Links,
        endpoints: ReceiveEndpoints,
        resolver: NameResolver,
        interfaces: Interfaces,
    ) -> None:
        settings = services.settings
        self._services = services
        self._links = links
        self._endpoints = endpoints
        self._resolver = resolver
        self._interfaces = interfaces
        self._subscriptions: dict[int, Subscription] = {}
        self._defaults = SubscriptionDefaults(
            is_reliable=settings.reliable_stream,
            is_rejoin=settings.rejoin_stream,
            is_tethered=settings.tether_subscriptions,
            is_sparse=settings.term_buffer_sparse_file,
            group=Group(settings.receiver_group_consideration),
            receiver_window_length=settings.rcv_initial_window_length,
            group_tag=settings.receiver_group_tag,
            untethered=UntetheredTimeouts(
                settings.untethered_window_limit_timeout,
                settings.untethered_linger_timeout,
                settings.untethered_resting_timeout,
            ),
        )

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._subscriptions.values()))

    def __contains__(self, registration_id: object) -> bool:
        return registration_id in self._subscriptions

    def add_ipc(
        self, command: AddSubscription, uri: ChannelUri, clients: Clients, publications: IpcPublications
    ) -> None:
        """Add an IPC subscription, answer, and link it (shm 9.4).

        :raises FramelaneError: nothing has changed then.
        """
        params = SubscriptionParams.parse(uri, self._defaults)
        clients.get_or_add(command.client_id)
        subscription = self._enter(command, params)
        self._services.events.send(
            SubscriptionReady(correlation_id=command.correlation_id, channel_status_counter_id=-1)
        )
        for publication in publications:
            if subscription.matches(publication.stream_id, publication.session_id):
                self._link(subscription, publication)

    def add_spy(
        self, command: AddSubscription, uri: ChannelUri, clients: Clients, publications: NetworkPublications
    ) -> Steps[None]:
        """Add a subscription that reads UDP publications of this driver from their logs, answer, and link it (shm 9.4).

        :raises FramelaneError: nothing has changed then.
        """
        params = SubscriptionParams.parse(uri, self._defaults)
        udp = _udp_of(params)
        channel = yield from slowly(lambda: UdpChannel.resolve(udp, self._resolver, self._interfaces))
        clients.get_or_add(command.client_id)
        subscription = self._enter(command, params, spied=channel)
        self._services.events.send(
            SubscriptionReady(correlation_id=command.correlation_id, channel_status_counter_id=-1)
        )
        for publication in publications:
            if subscription.spies_on(publication):
                self._link(subscription, publication)

    def add_network(self, command: AddSubscription, uri: ChannelUri, clients: Clients, images: Images) -> Steps[None]:
        """Add a UDP subscription, answer, and link it (shm 9.4).

        :raises FramelaneError: nothing has changed then.
        """
        params = SubscriptionParams.parse(uri, self._defaults)
        udp = _udp_of(params)
        channel = yield from slowly(lambda: UdpChannel.resolve(udp, self._resolver, self._interfaces))
        endpoint = yield from self._endpoints.acquire(channel, command.correlation_id, params.group_tag)
        try:
            params.check_receive_buffer(endpoint.opened.receive_buffer_granted)
            for other in self._on(endpoint):
                if other.stream_id == command.stream_id and other.params.session_id == params.session_id:
                    params.check_conflicts(other.params)
            clients.get_or_add(command.client_id)
            self._services.plane.receive_endpoint_add_stream(endpoint.plane, command.stream_id, params.session_id)
        except BaseException:
            self._endpoints.release(endpoint)
            raise
        subscription = self._enter(command, params, endpoint)
        self._services.events.send(
            SubscriptionReady(
                correlation_id=command.correlation_id, channel_status_counter_id=endpoint.channel_status_id
            )
        )
        for image in images.on(endpoint):
            if subscription.matches(image.stream_id, image.session_id):
                self._link(subscription, image)

    def _link(self, subscription: Subscription, source: Source) -> None:
        """Link what matches; the command was answered already, so a failure goes to the error log."""
        try:
            self._links.link(subscription, source)
        except Exception as error:
            self._services.errors.record_exception(error, f"link of subscription {subscription.registration_id}")

    def _enter(
        self,
        command: AddSubscription,
        params: SubscriptionParams,
        endpoint: ReceiveEndpoint | None = None,
        spied: UdpChannel | None = None,
    ) -> Subscription:
        subscription = self._subscriptions[command.correlation_id] = Subscription(
            command.correlation_id, command.client_id, command.stream_id, str(params.uri), params, endpoint, spied
        )
        return subscription

    def _on(self, endpoint: ReceiveEndpoint) -> Iterator[Subscription]:
        return (one for one in self if one.endpoint is endpoint)

    def matching(self, endpoint: ReceiveEndpoint, stream_id: int, session_id: int) -> list[Subscription]:
        """Return the subscriptions that read a session on an endpoint, oldest first."""
        return [one for one in self._on(endpoint) if one.matches(stream_id, session_id)]

    def link_ipc(self, publication: IpcPublication) -> None:
        """Link all IPC subscriptions that match a publication and are not linked yet."""
        for subscription in self:
            is_ipc = subscription.endpoint is None and subscription.spied is None
            if is_ipc and subscription.matches(publication.stream_id, publication.session_id):
                self._link(subscription, publication)

    def link_spies(self, publication: NetworkPublication) -> None:
        """Link all spies that match a publication and are not linked yet."""
        for subscription in self:
            if subscription.spies_on(publication):
                self._link(subscription, publication)

    def remove(self, client_id: int, registration_id: int) -> None:
        """Remove a subscription; its id alone counts (shm 9.4).

        :raises CommandError: if there is no such subscription.
        """
        subscription = self._subscriptions.get(registration_id)
        if subscription is None:
            raise CommandError(
                ErrorCode.UNKNOWN_SUBSCRIPTION,
                f"unknown subscription client_id={client_id} registration_id={registration_id}",
            )
        self._remove(subscription)

    def remove_of(self, client_id: int) -> None:
        """Remove the subscriptions of a client that is gone, without events."""
        for subscription in self:
            if subscription.client_id == client_id:
                self._remove(subscription)

    def _remove(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription.registration_id]
        for link in list(subscription.links):
            self._links.unlink(link)
        endpoint = subscription.endpoint
        if endpoint is not None:
            self._services.plane.receive_endpoint_remove_stream(
                endpoint.plane, subscription.stream_id, subscription.params.session_id
            )
            self._endpoints.release(endpoint)

    def close(self) -> None:
        """Remove all of them, after the agents have stopped."""
        for subscription in self:
            self._remove(subscription)


def _udp_of(params: SubscriptionParams) -> UdpParams:
    if params.udp is None:
        raise CommandError(ErrorCode.INVALID_CHANNEL, f"UDP channels must use UDP URIs: {params.uri}")
    return params.udp
