"""Subscriptions: what clients want to read (shm 9.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from framelane.driver.links import Link, Links, LinkState, Source
from framelane.driver.publication import Publication
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
    :ivar destinations: those that are IPC or a spy; their registration id is this one's.
    :ivar session_id: the only one that it reads; ``None``: all.
    """

    registration_id: int
    client_id: int
    stream_id: int
    channel: str
    params: SubscriptionParams
    endpoint: ReceiveEndpoint | None = None
    spied: UdpChannel | None = None
    session_id: int | None = field(default=None, init=False)
    links: list[Link] = field(default_factory=list)
    destinations: list[Subscription] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.params.is_response:
            self.session_id = self.params.session_id

    def matches(self, stream_id: int, session_id: int) -> bool:
        """Whether it reads a session of a stream, the endpoint aside (shm 9.4)."""
        return self.has_sessions and self.stream_id == stream_id and self.session_id in (None, session_id)

    @property
    def has_sessions(self) -> bool:
        """Whether it reads anything: one for responses does not before it is told in which session they come."""
        return not self.params.is_response or self.session_id is not None

    def reads(self, publication: Publication) -> bool:
        """Whether it is of IPC or a spy, and reads a publication of this driver (shm 9.4)."""
        spied, channel = self.spied, publication.spied_by
        if self.endpoint is not None or self.stream_id != publication.stream_id:
            return False
        is_session = self.matches(publication.stream_id, publication.session_id)
        if spied is None or channel is None:
            return spied is channel and is_session
        # A spy with the channel's tag reads all sessions.
        return (spied.tag is not None and spied.tag == channel.tag) or (
            spied.canonical == channel.canonical and is_session
        )


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
            congestion_control="cubic" if "cubic" in settings.congestioncontrol_supplier else "static",
            untethered=UntetheredTimeouts(
                settings.untethered_window_limit_timeout,
                settings.untethered_linger_timeout,
                settings.untethered_resting_timeout,
            ),
        )

    def __iter__(self) -> Iterator[Subscription]:
        return iter(list(self._subscriptions.values()))

    def find(self, registration_id: int) -> Subscription | None:
        """Return the subscription that the command with this correlation id made."""
        return self._subscriptions.get(registration_id)

    def receives_over_udp(self, registration_id: int) -> bool:
        """See :class:`framelane.driver.publications.KnowsSubscriptions`."""
        subscription = self._subscriptions.get(registration_id)
        return subscription is not None and subscription.endpoint is not None

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
        self._link_publications(subscription, publications)

    def add_spy(
        self, command: AddSubscription, uri: ChannelUri, clients: Clients, publications: NetworkPublications
    ) -> Steps[None]:
        """Add a subscription that reads UDP publications of this driver from their logs, answer, and link it (shm 9.4).

        :raises FramelaneError: nothing has changed then.
        """
        params = SubscriptionParams.parse(uri, self._defaults)
        channel = yield from self._resolve(params)
        clients.get_or_add(command.client_id)
        subscription = self._enter(command, params, spied=channel)
        self._services.events.send(
            SubscriptionReady(correlation_id=command.correlation_id, channel_status_counter_id=-1)
        )
        self._link_publications(subscription, publications)

    def add_network(self, command: AddSubscription, uri: ChannelUri, clients: Clients, images: Images) -> Steps[None]:
        """Add a UDP subscription, answer, and link it (shm 9.4).

        :raises FramelaneError: nothing has changed then.
        """
        params = SubscriptionParams.parse(uri, self._defaults)
        channel = yield from self._resolve(params)
        endpoint = yield from self._endpoints.acquire(channel, command.correlation_id, params.group_tag)
        try:
            params.check_receive_buffer(endpoint.opened.receive_buffer_granted)
            for other in self._on(endpoint):
                if other.stream_id == command.stream_id and other.params.session_id == params.session_id:
                    params.check_conflicts(other.params)
            clients.get_or_add(command.client_id)
            if not params.is_response:
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

    def _resolve(self, params: SubscriptionParams) -> Steps[UdpChannel]:
        udp = _udp_of(params)
        return (yield from slowly(lambda: UdpChannel.resolve(udp, self._resolver, self._interfaces)))

    # ---- destinations that are publications of this driver (shm 9.5) ----

    def make_destination(self, subscription: Subscription, uri: ChannelUri) -> Steps[Subscription]:
        """Give a subscription a destination that is IPC or a spy; :meth:`link_destination` comes next.

        :raises FramelaneError: nothing has changed then.
        """
        params = SubscriptionParams.parse(uri, self._defaults)
        spied = (yield from self._resolve(params)) if uri.is_spy else None
        if self.find(subscription.registration_id) is not subscription:
            raise CommandError(
                ErrorCode.UNKNOWN_SUBSCRIPTION,
                f"unknown subscription client_id={subscription.client_id} "
                f"registration_id={subscription.registration_id}",
            )
        inner = Subscription(
            subscription.registration_id,
            subscription.client_id,
            subscription.stream_id,
            str(uri),
            params,
            spied=spied,
        )
        subscription.destinations.append(inner)
        return inner

    def link_destination(
        self, inner: Subscription, ipc_publications: IpcPublications, publications: NetworkPublications
    ) -> None:
        """Link what a new destination matches."""
        self._link_publications(inner, ipc_publications if inner.spied is None else publications)

    def remove_destination(self, subscription: Subscription, inner: Subscription) -> None:
        """Take a destination away, and tell the client that its images are gone, but for those that another destination
        reads: these go on."""
        subscription.destinations.remove(inner)
        for link in list(inner.links):
            other = _reader_of(link.source, subscription.destinations)
            if other is not None and link.state is LinkState.ACTIVE:
                self._links.hand_over(link, other)
                continue
            self._links.announce_gone(link, inner.channel)
            self._links.unlink(link)
            if other is not None:
                self._link(other, link.source)

    def _link_publications(self, subscription: Subscription, publications: Iterable[Publication]) -> None:
        for publication in publications:
            if subscription.reads(publication):
                self._link(subscription, publication)

    def with_destinations(self) -> Iterator[Subscription]:
        """Return the subscriptions, and their destinations that are IPC or a spy."""
        for subscription in self:
            yield subscription
            yield from list(subscription.destinations)

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
        self._link_all(publication)

    def link_spies(self, publication: NetworkPublication) -> None:
        """Link all spies that match a publication and are not linked yet."""
        self._link_all(publication)

    def _link_all(self, publication: Publication) -> None:
        for subscription in self.with_destinations():
            if subscription.reads(publication):
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
        for one in (subscription, *subscription.destinations):
            for link in list(one.links):
                self._links.unlink(link)
        endpoint = subscription.endpoint
        if endpoint is not None:
            self._remove_interest(subscription, endpoint)
            self._endpoints.release(endpoint)

    def _remove_interest(self, subscription: Subscription, endpoint: ReceiveEndpoint) -> None:
        if subscription.has_sessions:
            self._services.plane.receive_endpoint_remove_stream(
                endpoint.plane, subscription.stream_id, subscription.session_id
            )

    # ---- responses (wire 3.10, shm 9.14) ----

    def respond(self, registration_id: int, session_id: int, images: Images) -> None:
        """Let a subscription for responses read the session in which they come, and ask for it; known ones are asked
        for again."""
        subscription = self._subscriptions.get(registration_id)
        endpoint = subscription.endpoint if subscription else None
        if subscription is None or endpoint is None or not subscription.params.is_response:
            return
        plane = self._services.plane
        if subscription.session_id == session_id:
            plane.receive_endpoint_elicit_session(endpoint.plane, subscription.stream_id, session_id)
            return
        self._remove_interest(subscription, endpoint)
        subscription.session_id = session_id
        plane.receive_endpoint_add_stream(endpoint.plane, subscription.stream_id, session_id)
        for image in images.on(endpoint):
            if subscription.matches(image.stream_id, image.session_id):
                self._link(subscription, image)

    def respond_ipc(self, registration_id: int, session_id: int) -> None:
        """As :meth:`respond`, for responses over IPC; links nothing yet."""
        subscription = self._subscriptions.get(registration_id)
        if subscription is not None and subscription.endpoint is None and subscription.params.is_response:
            subscription.session_id = session_id

    def close(self) -> None:
        """Remove all of them, after the agents have stopped."""
        for subscription in self:
            self._remove(subscription)


def _reader_of(source: Source, destinations: Iterable[Subscription]) -> Subscription | None:
    if not isinstance(source, Publication):
        return None
    return next((one for one in destinations if one.reads(source)), None)


def _udp_of(params: SubscriptionParams) -> UdpParams:
    if params.udp is None:
        raise CommandError(ErrorCode.INVALID_CHANNEL, f"UDP channels must use UDP URIs: {params.uri}")
    return params.udp
