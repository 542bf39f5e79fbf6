"""What UDP and IPC publications have in common: references, states and the sharing rule (shm 9.3)."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from framelane.channel import PublicationParams, StartPosition, UdpChannel, UntetheredTimeouts
from framelane.driver.counters import Counters
from framelane.driver.events import wire_text
from framelane.driver.storage import LogFile
from framelane.driver.stream import Stream
from framelane.protocol.commands import AddExclusivePublication, PublicationCommand
from framelane.protocol.events import (
    IPC_SOURCE_IDENTITY,
    ExclusivePublicationReady,
    PublicationAdded,
    PublicationReady,
)
from framelane.shm.counter_types import CounterType
from framelane.shm.log_buffer import LogParams, LogType

if TYPE_CHECKING:
    from framelane.driver.links import Link

__all__ = ["Publication", "PublicationState", "allocate_publisher_counters", "choose_start", "log_params"]


class PublicationState(enum.Enum):
    """How far a publication is, as the control plane sees it."""

    ACTIVE = enum.auto()
    REVOKED = enum.auto()  #: still referenced, and nobody joins any more
    DRAINING = enum.auto()  #: no references; its agent lets it run out
    LINGER = enum.auto()


@dataclass(eq=False)
class Publication(ABC):
    """One publication; a source of IPC subscriptions, or of spies.

    :ivar registration_id: of the first adder; the log file is named after it.
    :ivar client_id: of the first adder.
    :ivar counter_ids: all of them, publisher position and limit first.
    """

    registration_id: int
    client_id: int
    session_id: int
    stream_id: int
    is_exclusive: bool
    params: PublicationParams
    start: StartPosition
    log: LogFile
    counter_ids: list[int]
    state: PublicationState = PublicationState.ACTIVE
    references: int = 0
    links: dict[int, Link] = field(default_factory=dict)
    source_identity: str = IPC_SOURCE_IDENTITY

    @property
    @abstractmethod
    def spied_by(self) -> UdpChannel | None:
        """The channel by which spies know it; ``None``: it is of IPC."""

    @property
    def correlation_id(self) -> int:
        """What clients know its images by."""
        return self.registration_id

    @property
    def mtu_length(self) -> int:
        """Longest frame, bytes."""
        return self.params.mtu_length

    @property
    def term_length(self) -> int:
        """Length of a term, bytes."""
        return self.params.term_length

    @property
    def spies_simulate_connection(self) -> bool:
        """Whether a spy counts as a receiver."""
        return self.params.spies_simulate_connection

    @property
    def limit_counter_id(self) -> int:
        """Of the publisher limit."""
        return self.counter_ids[1]

    @property
    def start_position(self) -> int:
        """Where the stream starts, bytes."""
        return self.start.position(self.term_length)

    def can_be_joined(self, stream_id: int, params: PublicationParams) -> bool:
        """Whether a shared add for a stream, and an equal endpoint, joins this publication."""
        is_open = not self.is_exclusive and self.state is PublicationState.ACTIVE
        same = self.params.response_correlation_id == params.response_correlation_id
        return is_open and self.stream_id == stream_id and same

    def release(self) -> None:
        """Drop one reference; with the last the publication drains."""
        self.references -= 1
        if self.references == 0:
            if self.state is PublicationState.ACTIVE:
                self.state = PublicationState.DRAINING
            self._drain()

    def revoke(self) -> None:
        """End the publication at its producer position, for all who share it."""
        if self.state is PublicationState.ACTIVE:
            self.state = PublicationState.REVOKED
            self.log.set_revoked()
            self._revoke()

    @abstractmethod
    def link(self, subscription_id: int, counter_id: int) -> int:
        """See :class:`framelane.driver.links.Source`."""

    @abstractmethod
    def unlink(self, subscription_id: int) -> None:
        """See :class:`framelane.driver.links.Source`."""

    @abstractmethod
    def is_behind(self, subscription_id: int) -> bool:
        """See :class:`framelane.driver.links.Source`."""

    @property
    def untethered(self) -> UntetheredTimeouts:
        """See :class:`framelane.driver.links.Source`."""
        return self.params.untethered

    @abstractmethod
    def _drain(self) -> None:
        """Tell the owning agent that the last reference is gone."""

    @abstractmethod
    def _revoke(self) -> None:
        """Tell the owning agent that the metadata says so."""

    def ready(self, correlation_id: int, channel_status_id: int) -> PublicationAdded:
        """Return the answer to an add that made or joined this publication."""
        kind = ExclusivePublicationReady if self.is_exclusive else PublicationReady
        return kind(
            correlation_id=correlation_id,
            registration_id=self.registration_id,
            session_id=self.session_id,
            stream_id=self.stream_id,
            publication_limit_counter_id=self.limit_counter_id,
            channel_status_counter_id=channel_status_id,
            log_file=wire_text(str(self.log.path)),
        )


def allocate_publisher_counters(
    counters: Counters, stream: Stream, *, client_id: int, is_exclusive: bool, start_position: int
) -> list[int]:
    """Allocate publisher position and publisher limit, in the order of shm 9.3."""
    kind = "exclusive" if is_exclusive else "concurrent"
    position_id = counters.allocate_stream(
        CounterType.PUBLISHER_POSITION, f"pub-pos ({kind})", stream, owner_id=client_id, value=start_position
    )
    try:
        limit_id = counters.allocate_stream(
            CounterType.PUBLISHER_LIMIT, "pub-lmt", stream, owner_id=client_id, value=start_position
        )
    except BaseException:
        counters.free(position_id)
        raise
    return [position_id, limit_id]


def choose_start(params: PublicationParams, random: Random) -> StartPosition:
    """Return where a publication starts: as its channel says, else position 0 of a random initial term id."""
    if params.start is not None:
        return params.start
    initial_term_id = random.getrandbits(32) - 2**31
    return StartPosition(initial_term_id, initial_term_id, 0)


def log_params(
    command: PublicationCommand, params: PublicationParams, session_id: int, start: StartPosition, page_size: int
) -> LogParams:
    """Return the log metadata of a publication that follows from its channel (shm 7.2)."""
    return LogParams(
        type=LogType.EXCLUSIVE if isinstance(command, AddExclusivePublication) else LogType.CONCURRENT,
        correlation_id=command.correlation_id,
        session_id=session_id,
        stream_id=command.stream_id,
        initial_term_id=start.initial_term_id,
        starting_term_id=start.term_id,
        starting_term_offset=start.term_offset,
        mtu_length=params.mtu_length,
        term_length=params.term_length,
        page_size=page_size,
        publication_window_length=params.publication_window_length,
        max_resend=params.max_resend if params.uri.get("max-resend") is not None else 0,
        entity_tag=-1 if params.entity_tag is None else params.entity_tag,
        linger_timeout_ns=params.linger_timeout_ns,
        untethered_window_limit_timeout_ns=params.untethered.window_limit_ns,
        untethered_resting_timeout_ns=params.untethered.resting_ns,
        untethered_linger_timeout_ns=params.untethered.linger_ns or 0,
        response_correlation_id=params.response_correlation_id,
        is_response=params.is_response,
        sparse=params.is_sparse,
        signal_eos=params.signals_eos,
        spies_simulate_connection=params.spies_simulate_connection,
    )
