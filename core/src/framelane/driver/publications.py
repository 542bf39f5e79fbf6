"""UDP publications (shm 9.3, 9.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

from framelane._native import lib
from framelane.channel import (
    ChannelUri,
    Interfaces,
    NameResolver,
    PublicationParams,
    SessionIds,
    UdpChannel,
)
from framelane.driver.clients import Clients
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_text
from framelane.driver.links import Links
from framelane.driver.native import DataPlane, PlanePublication
from framelane.driver.plane_params import NetworkPublicationParams, PlaneEvent
from framelane.driver.publication import (
    Publication,
    PublicationState,
    allocate_publisher_counters,
    choose_start,
    log_params,
)
from framelane.driver.publication_table import PublicationTable, publication_defaults
from framelane.driver.resources import Steps, slowly
from framelane.driver.send_endpoints import SendEndpoint, SendEndpoints
from framelane.driver.services import Services
from framelane.driver.stream import Stream
from framelane.protocol.commands import AddExclusivePublication, PublicationCommand
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import AddressType, PublicationError
from framelane.shm.counter_types import CounterType

__all__ = ["KnowsSubscriptions", "NetworkPublication", "NetworkPublications"]

_POSITIONS = (
    (CounterType.SENDER_POSITION, "snd-pos"),
    (CounterType.SENDER_LIMIT, "snd-lmt"),
)
_COUNTS = (
    (CounterType.SENDER_BACK_PRESSURE, "snd-bpe"),
    (CounterType.SENDER_NAKS_RECEIVED, "snd-naks-received"),
)
#: Strategies of ``fc``, as the data plane names them.
_STRATEGIES = {
    "max": lib.FL_FLOW_CONTROL_MAX,
    "min": lib.FL_FLOW_CONTROL_MIN,
    "tagged": lib.FL_FLOW_CONTROL_TAGGED,
}


class RequestImage(Protocol):
    """An image that a publication may respond to (wire 3.10)."""

    @property
    def wants_response(self) -> bool:
        """Whether its publication asked for it."""
        ...

    def respond(self, session_id: int) -> None:
        """Tell its publication the session of the responses until they are received."""
        ...


FindImage: TypeAlias = Callable[[int], RequestImage | None]


def _responds(params: PublicationParams, find_image: FindImage) -> bool:
    """Whether a publication responds to an image: not if it is no response, or one to nothing yet.

    :raises CommandError: GENERIC_ERROR if there is no such image, or nobody waits for a response to it.
    """
    if not params.is_response or params.is_prototype:
        return False
    image = find_image(params.response_correlation_id)
    if image is None or not image.wants_response:
        what = "has not requested a response channel" if image else "is not there"
        raise CommandError(
            ErrorCode.GENERIC_ERROR,
            f"image.correlationId={params.response_correlation_id} {what}, so response-correlation-id cannot name it: "
            f"{params.uri}",
        )
    return True


@dataclass(eq=False)
class NetworkPublication(Publication):
    """One UDP publication."""

    data_plane: DataPlane = field(kw_only=True)
    plane: PlanePublication = field(kw_only=True)
    endpoint: SendEndpoint = field(kw_only=True)

    @property
    def spied_by(self) -> UdpChannel | None:
        """See :class:`framelane.driver.publication.Publication`."""
        return self.endpoint.channel

    def link(self, subscription_id: int, counter_id: int) -> int:
        """See :class:`framelane.driver.links.Source`."""
        return self.data_plane.publication_link(self.plane, subscription_id, counter_id)

    def unlink(self, subscription_id: int) -> None:
        """See :class:`framelane.driver.links.Source`."""
        self.data_plane.publication_unlink(self.plane, subscription_id)

    def is_behind(self, subscription_id: int) -> bool:
        """See :class:`framelane.driver.links.Source`."""
        return self.data_plane.publication_is_behind(self.plane, subscription_id)

    def _drain(self) -> None:
        self.data_plane.publication_drain(self.plane)

    def _revoke(self) -> None:
        self.data_plane.publication_revoke(self.plane)


class KnowsSubscriptions(Protocol):
    """Whoever knows the subscriptions."""

    def link_spies(self, publication: NetworkPublication) -> None:
        """Link all matching spies that are not linked yet."""
        ...

    def receives_over_udp(self, registration_id: int) -> bool:
        """Whether there is a subscription of this registration id, neither one to IPC nor a spy."""
        ...


def _check_request(params: PublicationParams, subscriptions: KnowsSubscriptions) -> None:
    """Check that the responses to a request have somewhere to go.

    :raises CommandError: GENERIC_ERROR if not.
    """
    if params.is_response or not (params.wants_response or params.is_prototype):
        return
    if params.is_prototype or not subscriptions.receives_over_udp(params.response_correlation_id):
        raise CommandError(
            ErrorCode.GENERIC_ERROR,
            "unable to find response subscription for response-correlation-id: it must be the registration id of a UDP "
            f"subscription: {params.uri}",
        )


class NetworkPublications(PublicationTable[NetworkPublication]):
    """All UDP publications. Control thread."""

    def __init__(
        self,
        services: Services,
        clients: Clients,
        links: Links,
        endpoints: SendEndpoints,
        sessions: SessionIds,
        resolver: NameResolver,
        interfaces: Interfaces,
    ) -> None:
        settings = services.settings
        defaults = publication_defaults(
            settings,
            mtu_length=settings.mtu_length,
            term_length=settings.term_buffer_length,
            window_length=settings.publication_term_window_length,
            counts_spies=True,
        )
        super().__init__(services, clients, sessions, defaults)
        self._links = links
        self._endpoints = endpoints
        self._resolver = resolver
        self._interfaces = interfaces

    def find_tagged(self, entity_tag: int) -> NetworkPublication | None:
        """Return the publication with an entity tag."""
        return next((one for one in self if one.params.entity_tag == entity_tag), None)

    def find(self, registration_id: int) -> NetworkPublication | None:
        """Return the publication that the command with this correlation id made."""
        return self._publications.get(registration_id)

    def sessions(self, stream_id: int, endpoint: SendEndpoint | None = None) -> set[int]:
        """Return the session ids of a stream, on one endpoint if one is given."""
        return {
            one.session_id
            for one in self
            if one.stream_id == stream_id and (endpoint is None or one.endpoint is endpoint)
        }

    def add(
        self, command: PublicationCommand, uri: ChannelUri, find_image: FindImage, subscriptions: KnowsSubscriptions
    ) -> Steps[None]:
        """Make or join a publication and answer (shm 9.3).

        :param find_image: for one that responds to it.
        :param subscriptions: those that a request names one of, and spies.
        :raises FramelaneError: nothing has changed then.
        """
        is_exclusive = isinstance(command, AddExclusivePublication)
        params = PublicationParams.parse(uri, self._defaults, self.find_tagged)
        udp = params.udp
        if udp is None:
            raise CommandError(ErrorCode.INVALID_CHANNEL, f"UDP channels must use UDP URIs: {uri}")
        _check_request(params, subscriptions)
        channel = yield from slowly(lambda: UdpChannel.resolve(udp, self._resolver, self._interfaces))
        endpoint = yield from self._endpoints.acquire(channel, command.correlation_id, params.mtu_length)
        try:
            responds = _responds(params, find_image)
            publication = None if is_exclusive else self._find(endpoint, command.stream_id, params)
            is_new = publication is None
            if publication is not None:
                params.check_matches(publication)
            else:
                publication = yield from self._make(command, params, endpoint, is_exclusive)
            self._answer(command, publication, endpoint.channel_status_id, is_new=is_new)
            # The image may be gone meanwhile.
            request = find_image(params.response_correlation_id) if responds and is_new else None
            if request is not None:
                request.respond(publication.session_id)
            subscriptions.link_spies(publication)
        finally:
            # A new publication holds a reference of its own.
            self._endpoints.release(endpoint)

    def _find(self, endpoint: SendEndpoint, stream_id: int, params: PublicationParams) -> NetworkPublication | None:
        return next((one for one in self if one.endpoint is endpoint and one.can_be_joined(stream_id, params)), None)

    def _make(
        self, command: PublicationCommand, params: PublicationParams, endpoint: SendEndpoint, is_exclusive: bool
    ) -> Steps[NetworkPublication]:
        services, stream_id, channel = self._services, command.stream_id, endpoint.channel
        params.check_send_buffer(endpoint.opened.send_buffer_granted)
        session_id = self._choose_session_id(params, self.sessions(stream_id, endpoint), stream_id)
        start = choose_start(params, services.random)
        registration_id = command.correlation_id
        udp, flow_control, is_group = channel.params, params.flow_control, channel.has_group_semantics
        counts_receivers = is_group and flow_control.counts_receivers
        metadata = services.storage.buffers.fill(
            replace(
                log_params(command, params, session_id, start, services.settings.file_page_size),
                group=is_group,
            ),
            udp,
        )
        log = yield from services.storage.create_publication(metadata)
        counter_ids: list[int] = []
        with self._freed_on_failure(log, counter_ids):
            position = start.position(params.term_length)
            stream = Stream(registration_id, session_id, stream_id, str(params.uri))
            if counts_receivers:
                kind, of_endpoint = CounterType.FLOW_CONTROL_RECEIVERS, replace(stream, channel=str(channel.uri))
                counter_ids.append(services.counters.allocate_stream(kind, "fc-receivers", of_endpoint, owner_id=-1))
            counter_ids[:0] = self._allocate_counters(stream, command.client_id, is_exclusive, position)
            plane = services.plane.publication_add(
                endpoint.plane,
                log.native,
                NetworkPublicationParams(
                    registration_id=registration_id,
                    start_position=position,
                    publication_window_length=params.publication_window_length,
                    max_resend=params.retransmit_slots(is_group),
                    retransmit_window_multiple=params.retransmit_window_multiple(is_group),
                    ttl=udp.ttl or services.settings.socket_multicast_ttl,
                    flow_control=_STRATEGIES[flow_control.strategy] if is_group else lib.FL_FLOW_CONTROL_UNICAST,
                    group_min_size=flow_control.group_min_size,
                    group_tag=flow_control.group_tag,
                    receiver_timeout_ns=flow_control.receiver_timeout_ns,
                    receivers_counter_id=counter_ids[6] if counts_receivers else -1,
                    is_exclusive=is_exclusive,
                    has_group_semantics=is_group,
                    signal_eos=params.signals_eos,
                    spies_simulate_connection=params.spies_simulate_connection,
                    linger_timeout_ns=params.linger_timeout_ns,
                    publisher_position_counter_id=counter_ids[0],
                    publisher_limit_counter_id=counter_ids[1],
                    sender_position_counter_id=counter_ids[2],
                    sender_limit_counter_id=counter_ids[3],
                    sender_bpe_counter_id=counter_ids[4],
                    sender_naks_received_counter_id=counter_ids[5],
                    is_response=params.is_response,
                    wants_response=params.wants_response,
                    timestamp_at=endpoint.channel.params.timestamps.channel_send_at,
                ),
            )
        endpoint.references += 1
        publication = self._publications[registration_id] = NetworkPublication(
            registration_id=registration_id,
            client_id=command.client_id,
            session_id=session_id,
            stream_id=stream_id,
            is_exclusive=is_exclusive,
            params=params,
            start=start,
            log=log,
            counter_ids=counter_ids,
            data_plane=services.plane,
            plane=plane,
            endpoint=endpoint,
        )
        return publication

    def _allocate_counters(self, stream: Stream, client_id: int, is_exclusive: bool, position: int) -> list[int]:
        counters = self._services.counters
        allocated = allocate_publisher_counters(
            counters, stream, client_id=client_id, is_exclusive=is_exclusive, start_position=position
        )
        try:
            for group, value in ((_POSITIONS, position), (_COUNTS, 0)):
                for type_id, name in group:
                    allocated.append(counters.allocate_stream(type_id, name, stream, owner_id=client_id, value=value))
        except BaseException:
            for counter_id in reversed(allocated):
                counters.free(counter_id)
            raise
        return allocated

    def _discard(self, publication: NetworkPublication) -> None:
        """Free a publication, in whatever state."""
        del self._publications[publication.registration_id]
        self._services.plane.publication_remove(publication.plane)
        self._links.forget_all(publication)
        self._free(publication.log, publication.counter_ids)
        self._endpoints.release(publication.endpoint)

    def on_event(self, event: PlaneEvent) -> None:
        """Follow what the sender says of a publication."""
        publication = self._publications.get(event.id)
        if publication is None:
            return
        if event.mask & lib.FL_EVENT_PUBLICATION_INVALID:
            self._services.errors.record(
                ErrorCode.GENERIC_ERROR,
                f"publication registrationId={event.id} sessionId={publication.session_id} "
                f"streamId={publication.stream_id}: its log buffer holds what is no frame of this stream behind the "
                "sender position, so nothing more of it is sent; a client wrote over the log: find which, and add the "
                "publication again",
            )
        if event.mask & lib.FL_EVENT_PUBLICATION_LINGER:
            publication.state = PublicationState.LINGER
            self._links.end(publication)
        if event.mask & lib.FL_EVENT_PUBLICATION_DONE:
            self._discard(publication)

    def on_error(self, event: PlaneEvent) -> None:
        """A receiver sent an ERR frame: tell the clients and the error log (shm 8.4.12)."""
        publication = self._publications.get(event.id)
        source = event.source
        if publication is None or source is None:
            return
        error = PublicationError(
            registration_id=publication.registration_id,
            destination_registration_id=event.destination_id,
            session_id=publication.session_id,
            stream_id=publication.stream_id,
            receiver_id=event.receiver_id,
            group_tag=event.group_tag,
            address_type=AddressType.IPV4 if source.ip.version == 4 else AddressType.IPV6,
            source_port=source.port,
            source_address=source.ip.packed,
            error_code=event.error_code,
            error_message=wire_text(event.text)[:1023],
        )
        self._services.errors.record_publication_error(error, str(source))
        self._services.events.send(error)
