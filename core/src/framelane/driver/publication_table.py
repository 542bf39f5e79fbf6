"""The publications of one kind: how they are found, answered for and freed (shm 9.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from framelane.channel import (
    FlowControl,
    PublicationDefaults,
    PublicationParams,
    SessionIds,
    UntetheredTimeouts,
    check_session_id,
)
from framelane.driver.clients import Clients
from framelane.driver.publication import Publication
from framelane.driver.services import Services
from framelane.driver.settings import DriverSettings
from framelane.driver.storage import LogFile
from framelane.protocol.commands import PublicationCommand

__all__ = ["PublicationTable", "publication_defaults"]

OnePublication = TypeVar("OnePublication", bound=Publication)


def _strategy_of(supplier: str) -> str:
    """Return ``max``, ``min`` or ``tagged``, of the short name or the symbol's."""
    return supplier.removeprefix("aeron_").partition("_")[0]


def publication_defaults(
    settings: DriverSettings, *, mtu_length: int, term_length: int, window_length: int, counts_spies: bool
) -> PublicationDefaults:
    """Return what a channel that does not say otherwise gets; the rest is the same for UDP and IPC."""
    return PublicationDefaults(
        mtu_length=mtu_length,
        term_length=term_length,
        publication_window_length=window_length,
        linger_timeout_ns=settings.publication_linger_timeout,
        is_sparse=settings.term_buffer_sparse_file,
        spies_simulate_connection=counts_spies and settings.spies_simulate_connection,
        max_resend=settings.max_resend,
        unicast_retransmit_window_multiple=settings.unicast_flow_control_rrwm,
        flow_control=FlowControl(
            strategy=_strategy_of(settings.multicast_flowcontrol_supplier),
            retransmit_window_multiple=settings.multicast_flow_control_rrwm,
            receiver_timeout_ns=settings.flow_control_receiver_timeout,
            group_tag=settings.flow_control_group_tag,
            group_min_size=settings.flow_control_group_min_size,
        ),
        untethered=UntetheredTimeouts(
            settings.untethered_window_limit_timeout,
            settings.untethered_linger_timeout,
            settings.untethered_resting_timeout,
        ),
    )


class PublicationTable(ABC, Generic[OnePublication]):
    """All publications of one kind by registration id. Control thread."""

    def __init__(
        self, services: Services, clients: Clients, sessions: SessionIds, defaults: PublicationDefaults
    ) -> None:
        self._services = services
        self._clients = clients
        self._sessions = sessions
        self._defaults = defaults
        self._publications: dict[int, OnePublication] = {}

    def __iter__(self) -> Iterator[OnePublication]:
        return iter(list(self._publications.values()))

    def __contains__(self, registration_id: object) -> bool:
        return registration_id in self._publications

    def close(self) -> None:
        """Free all of them, after the agents have stopped."""
        for publication in self:
            self._discard(publication)

    @abstractmethod
    def _discard(self, publication: OnePublication) -> None:
        """Free a publication, in whatever state."""

    def _answer(
        self, command: PublicationCommand, publication: OnePublication, channel_status_id: int, *, is_new: bool
    ) -> None:
        """Give the client a publication that was made or joined for it.

        :raises FramelaneError: if there is no room for the client; a new publication is gone then.
        """
        try:
            client = self._clients.get_or_add(command.client_id)
        except BaseException:
            if is_new:
                self._discard(publication)
            raise
        publication.references += 1
        client.publications[command.correlation_id] = publication
        self._services.events.send(publication.ready(command.correlation_id, channel_status_id))

    def _choose_session_id(self, params: PublicationParams, live: set[int], stream_id: int) -> int:
        """Return the channel's session id or a free one.

        :param live: the session ids that are taken.
        :raises FramelaneError: if the channel's is taken.
        """
        if params.session_id is None:
            return self._sessions.choose(live)
        check_session_id(params.session_id, live, stream_id, str(params.uri))
        return params.session_id

    def _free(self, log: LogFile, counter_ids: Sequence[int]) -> None:
        for counter_id in reversed(counter_ids):
            self._services.counters.free(counter_id)
        self._services.storage.remove(log)

    @contextmanager
    def _freed_on_failure(self, log: LogFile, counter_ids: list[int]) -> Iterator[None]:
        """Free a log, and the counters that are in the list by then, if what is done with them fails."""
        try:
            yield
        except BaseException:
            self._free(log, counter_ids)
            raise
