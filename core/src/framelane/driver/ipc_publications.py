"""IPC publications (shm 9.3, 9.6, 9.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from framelane._native import lib
from framelane.channel import ChannelUri, PublicationParams, SessionIds, UdpChannel
from framelane.channel.publication_params import FindTagged
from framelane.driver.clients import Clients
from framelane.driver.events import wire_text
from framelane.driver.links import Links
from framelane.driver.native import DataPlane, PlaneIpcPublication
from framelane.driver.plane_params import IpcPublicationParams, PlaneEvent
from framelane.driver.publication import (
    Publication,
    PublicationState,
    allocate_publisher_counters,
    choose_start,
    log_params,
)
from framelane.driver.publication_table import PublicationTable, publication_defaults
from framelane.driver.resources import Steps
from framelane.driver.services import Services
from framelane.driver.stream import Stream
from framelane.protocol.commands import AddExclusivePublication, PublicationCommand
from framelane.protocol.error_codes import ErrorCode
from framelane.protocol.events import IPC_SOURCE_IDENTITY, AddressType, PublicationError

__all__ = ["IpcPublication", "IpcPublications", "LinksSubscribers"]

#: Loopback with its bytes reversed, as the native driver reports it (shm 8.4.12).
_IPC_ADDRESS = bytes([1, 0, 0, 127]).ljust(16, b"\0")


@dataclass(eq=False)
class IpcPublication(Publication):
    """One IPC publication."""

    data_plane: DataPlane = field(kw_only=True)
    plane: PlaneIpcPublication = field(kw_only=True)

    @property
    def spied_by(self) -> UdpChannel | None:
        """See :class:`framelane.driver.publication.Publication`."""
        return None

    def link(self, subscription_id: int, counter_id: int) -> int:
        """See :class:`framelane.driver.links.Source`."""
        return self.data_plane.ipc_publication_link(self.plane, subscription_id, counter_id)

    def unlink(self, subscription_id: int) -> None:
        """See :class:`framelane.driver.links.Source`."""
        self.data_plane.ipc_publication_unlink(self.plane, subscription_id)

    def is_behind(self, subscription_id: int) -> bool:
        """See :class:`framelane.driver.links.Source`."""
        return self.data_plane.ipc_publication_is_behind(self.plane, subscription_id)

    def _drain(self) -> None:
        self.data_plane.ipc_publication_drain(self.plane)

    def _revoke(self) -> None:
        self.data_plane.ipc_publication_revoke(self.plane)


class LinksSubscribers(Protocol):
    """Whoever knows the IPC subscriptions."""

    def link_ipc(self, publication: IpcPublication) -> None:
        """Link all matching subscriptions that are not linked yet."""
        ...

    def respond_ipc(self, registration_id: int, session_id: int) -> None:
        """Let a subscription for responses match their session, and no other."""
        ...


class IpcPublications(PublicationTable[IpcPublication]):
    """All IPC publications. Control thread."""

    def __init__(self, services: Services, clients: Clients, links: Links, sessions: SessionIds) -> None:
        settings = services.settings
        defaults = publication_defaults(
            settings,
            mtu_length=settings.ipc_mtu_length,
            term_length=settings.ipc_term_buffer_length,
            window_length=settings.ipc_publication_term_window_length,
            counts_spies=False,
        )
        super().__init__(services, clients, sessions, defaults)
        self._links = links

    def sessions(self, stream_id: int) -> set[int]:
        """Return the session ids of live publications of a stream (shm 9.3)."""
        live = (PublicationState.ACTIVE, PublicationState.REVOKED, PublicationState.DRAINING)
        return {one.session_id for one in self if one.stream_id == stream_id and one.state in live}

    def add(
        self, command: PublicationCommand, uri: ChannelUri, find_tagged: FindTagged, subscriptions: LinksSubscribers
    ) -> Steps[None]:
        """Make or join a publication and answer (shm 9.3).

        :raises FramelaneError: nothing has changed then.
        """
        is_exclusive = isinstance(command, AddExclusivePublication)
        params = PublicationParams.parse(uri, self._defaults, find_tagged)
        publication = None if is_exclusive else self._find(command.stream_id, params)
        is_new = publication is None
        if publication is not None:
            params.check_matches(publication)
        else:
            publication = yield from self._make(command, params, is_exclusive)
        self._answer(command, publication, -1, is_new=is_new)
        request = self._publications.get(params.response_correlation_id)
        if request is not None and is_new:
            subscriptions.respond_ipc(request.params.response_correlation_id, publication.session_id)
        subscriptions.link_ipc(publication)

    def _find(self, stream_id: int, params: PublicationParams) -> IpcPublication | None:
        return next((one for one in self if one.can_be_joined(stream_id, params)), None)

    def _make(
        self, command: PublicationCommand, params: PublicationParams, is_exclusive: bool
    ) -> Steps[IpcPublication]:
        services, stream_id = self._services, command.stream_id
        session_id = self._choose_session_id(params, self.sessions(stream_id), stream_id)
        start = choose_start(params, services.random)
        registration_id = command.correlation_id
        metadata = log_params(command, params, session_id, start, services.settings.file_page_size)
        log = yield from services.storage.create_publication(services.storage.buffers.fill(metadata, None))
        counter_ids: list[int] = []
        with self._freed_on_failure(log, counter_ids):
            position = start.position(params.term_length)
            counter_ids += allocate_publisher_counters(
                services.counters,
                Stream(registration_id, session_id, stream_id, str(params.uri)),
                client_id=command.client_id,
                is_exclusive=is_exclusive,
                start_position=position,
            )
            plane = services.plane.ipc_publication_add(
                log.native,
                IpcPublicationParams(
                    registration_id=registration_id,
                    start_position=position,
                    publication_window_length=params.publication_window_length,
                    is_exclusive=is_exclusive,
                    publisher_position_counter_id=counter_ids[0],
                    publisher_limit_counter_id=counter_ids[1],
                ),
            )
        publication = self._publications[registration_id] = IpcPublication(
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
        )
        return publication

    def _discard(self, publication: IpcPublication) -> None:
        """Free a publication, in whatever state."""
        del self._publications[publication.registration_id]
        self._services.plane.ipc_publication_remove(publication.plane)
        self._links.forget_all(publication)
        self._free(publication.log, publication.counter_ids)

    def reject(self, registration_id: int, reason: str) -> bool:
        """Carry out a rejection (shm 9.7); ``False`` if there is no such publication."""
        publication = self._publications.get(registration_id)
        if publication is None:
            return False
        error = PublicationError(
            registration_id=registration_id,
            destination_registration_id=-1,
            session_id=publication.session_id,
            stream_id=publication.stream_id,
            receiver_id=-1,
            group_tag=-1,
            address_type=AddressType.IPV4,
            source_port=0,
            source_address=_IPC_ADDRESS,
            error_code=ErrorCode.IMAGE_REJECTED,
            error_message=wire_text(reason),
        )
        self._services.errors.record_publication_error(error, IPC_SOURCE_IDENTITY)
        self._services.events.send(error)
        self._services.plane.ipc_publication_reject(publication.plane, self._services.settings.image_liveness_timeout)
        self._links.announce_unavailable(publication)
        self._links.forget_all(publication)
        return True

    def on_event(self, event: PlaneEvent, subscriptions: LinksSubscribers) -> None:
        """Follow what the conductor agent says of a publication."""
        publication = self._publications.get(event.id)
        if publication is None:
            return
        if event.mask & lib.FL_EVENT_PUBLICATION_COOLED:
            subscriptions.link_ipc(publication)
        if event.mask & lib.FL_EVENT_PUBLICATION_LINGER:
            publication.state = PublicationState.LINGER
            self._links.end(publication)
        if event.mask & lib.FL_EVENT_PUBLICATION_DONE:
            self._discard(publication)
