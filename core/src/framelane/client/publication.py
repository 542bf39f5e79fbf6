"""Publications: offering messages."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from framelane._native import ffi, lib
from framelane.client.errors import OfferError, OfferTimeout
from framelane.client.image import native_error
from framelane.shm.cnc import CncFile
from framelane.shm.counter_types import ChannelStatus
from framelane.shm.log_buffer import LogBuffer

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from framelane.client.conductor import Conductor

__all__ = ["BufferClaim", "ExclusivePublication", "Publication"]

_RETRIED = (lib.FL_NOT_CONNECTED, lib.FL_BACK_PRESSURED, lib.FL_ADMIN_ACTION)
_SPINS = 64
_LONGEST_PAUSE_S = 0.001
_NAMES = {
    lib.FL_NOT_CONNECTED: "nobody is subscribed",
    lib.FL_BACK_PRESSURED: "the subscribers or the network do not keep up",
    lib.FL_ADMIN_ACTION: "the log is being rotated",
    lib.FL_CLOSED: "the publication is closed",
    lib.FL_MAX_POSITION_EXCEEDED: "the stream is at its last position; add a new publication",
}


class BufferClaim:
    """Room for one message inside the log: fill :attr:`data`, then :meth:`commit`, or :meth:`abort`.

    As a context manager it commits, and aborts on an exception. Subscribers do not get past a claim that is left open,
    until the driver repairs the log.
    """

    def __init__(self) -> None:
        self.native = ffi.new("fl_claim_t *")
        self._data: memoryview | None = None
        self._publication: Publication | None = None

    @property
    def data(self) -> memoryview:
        """The message's bytes, writable."""
        return self._require_open()

    def open(self, publication: Publication) -> None:
        """Called by ``try_claim``."""
        self._publication = publication  # keeps the log mapped
        self._data = memoryview(ffi.buffer(self.native.payload, self.native.length))

    def set_reserved_value(self, reserved_value: int) -> None:
        """Set the application's 64 bits of the frame header."""
        self._require_open()
        lib.fl_claim_set_reserved_value(self.native, reserved_value)

    def commit(self) -> None:
        """Let subscribers see the message."""
        self._end(lib.fl_claim_commit)

    def abort(self) -> None:
        """Give the message up; subscribers skip its room."""
        self._end(lib.fl_claim_abort)

    def _end(self, function: Any) -> None:
        self._require_open()
        function(self.native)
        self._data = self._publication = None

    def _require_open(self) -> memoryview:
        if self._data is None:
            raise ValueError("the claim is not open: try_claim did not succeed, or it was committed or aborted")
        return self._data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._data is not None:
            self.abort() if kind else self.commit()


class Publication:
    """A publication that other clients and threads may share: any thread may call anything.

    Offers return the stream position behind the message, or one of the negative results below. An offer that cannot
    ever succeed because of its argument raises :class:`OfferError`.
    """

    NOT_CONNECTED: ClassVar[int] = lib.FL_NOT_CONNECTED  #: nobody is subscribed
    BACK_PRESSURED: ClassVar[int] = lib.FL_BACK_PRESSURED  #: try again later
    ADMIN_ACTION: ClassVar[int] = lib.FL_ADMIN_ACTION  #: a term was rotated; try again at once
    CLOSED: ClassVar[int] = lib.FL_CLOSED
    MAX_POSITION_EXCEEDED: ClassVar[int] = lib.FL_MAX_POSITION_EXCEEDED

    IS_EXCLUSIVE: ClassVar[bool] = False

    def __init__(
        self,
        conductor: Conductor,
        cnc: CncFile,
        log: LogBuffer,
        *,
        channel: str,
        registration_id: int,
        original_registration_id: int,
        session_id: int,
        stream_id: int,
        publication_limit_id: int,
        channel_status_id: int,
    ) -> None:
        """Made by the client, for an answer of the driver.

        :raises NativeError: if the log is impossible.
        """
        self.channel = channel
        self.registration_id = registration_id
        self.original_registration_id = original_registration_id  #: of the first client that added it
        self.session_id = session_id
        self.stream_id = stream_id
        self.publication_limit_id = publication_limit_id  #: counter id
        self.channel_status_id = channel_status_id  #: counter id, -1 for IPC
        self.term_buffer_length = int(log.native.term_length)
        self.initial_term_id = int(log.native.initial_term_id)
        self.max_payload_length = int(log.native.mtu_length) - 32  #: bytes of a message that needs no fragments
        self._conductor = conductor
        self._cnc = cnc
        self._counters = cnc.counters()
        self._log = log
        limit = ffi.cast("int64_t *", self._counters.address(publication_limit_id))
        native = lib.fl_client_publication_new(log.native, limit, self.IS_EXCLUSIVE)
        if native == ffi.NULL:
            raise OfferError(native_error())
        self._native = ffi.gc(native, lib.fl_client_publication_free)
        self.max_message_length = int(lib.fl_client_publication_max_message_length(native))  #: bytes
        self._is_closed = False

    @property
    def native(self) -> Any:
        """``fl_client_publication_t *``, for loops in C; lives as long as this object."""
        return self._native

    # ---- offering ----

    def offer(self, message: Buffer, reserved_value: int = 0) -> int:
        """Publish a message.

        :raises OfferError: if it is longer than :attr:`max_message_length`.
        """
        data = ffi.from_buffer(message)
        position = int(lib.fl_client_publication_offer(self._native, data, len(data), reserved_value))
        return position if position >= lib.FL_MAX_POSITION_EXCEEDED else self._refuse()

    def offer_parts(self, parts: Sequence[Buffer], reserved_value: int = 0) -> int:
        """Publish one message made of several buffers, without putting them together first."""
        buffers = [ffi.from_buffer(part) for part in parts]
        native = ffi.new("fl_part_t[]", [(buffer, len(buffer)) for buffer in buffers])
        position = int(lib.fl_client_publication_offer_parts(self._native, native, len(buffers), reserved_value))
        return position if position >= lib.FL_MAX_POSITION_EXCEEDED else self._refuse()

    def offer_batch(self, messages: Buffer | Sequence[bytes], lengths: Buffer | None = None) -> tuple[int, int]:
        """Publish messages one after another, in one call into the data plane, until one is not taken.

        :param messages: their bytes, one behind the other; or a sequence of messages, which are copied together.
        :param lengths: with contiguous bytes: of each message, 32-bit unsigned integers (``array('I')``, NumPy).
        :returns: how many were taken, and the position behind the last one, or why the first one was not.
        """
        if lengths is None:
            parts: Any = messages
            native_lengths = ffi.new("uint32_t[]", [len(part) for part in parts])
            contiguous = ffi.from_buffer(b"".join(parts))
        else:
            contiguous = ffi.from_buffer(messages)
            native_lengths = ffi.from_buffer("uint32_t[]", lengths)
            total = sum(memoryview(lengths).cast("B").cast("I"))
            if total > len(contiguous):
                raise ValueError(f"the lengths add up to {total} bytes, but there are {len(contiguous)}")
        accepted = ffi.new("uint32_t *")
        position = int(
            lib.fl_client_publication_offer_batch(
                self._native, contiguous, native_lengths, len(native_lengths), accepted
            )
        )
        if position < lib.FL_MAX_POSITION_EXCEEDED:
            self._refuse()
        return int(accepted[0]), position

    def try_claim(self, length: int, claim: BufferClaim) -> int:
        """Claim room for a message of at most :attr:`max_payload_length` bytes, to be written in place."""
        position = int(lib.fl_client_publication_try_claim(self._native, length, claim.native))
        if position > 0:
            claim.open(self)
        return position if position >= lib.FL_MAX_POSITION_EXCEEDED else self._refuse()

    def offer_blocking(self, message: Buffer, timeout: float, reserved_value: int = 0) -> int:
        """Publish a message, waiting as long as nobody is subscribed or subscribers do not keep up.

        :param timeout: seconds.
        :returns: the position behind the message.
        :raises OfferTimeout: if it could not be published in time.
        :raises OfferError: if it cannot be published at all.
        :raises ClientClosed: if the client is closed.
        """
        deadline = time.monotonic() + timeout
        pause = 0.0
        attempt = 0
        while True:
            result = self.offer(message, reserved_value)
            if result > 0:
                return result
            if result not in _RETRIED:
                self._conductor.require_open()
                raise OfferError(f"{self!r}: {_NAMES[result]}")
            if time.monotonic() >= deadline:
                raise OfferTimeout(f"{self!r}: nothing was taken for {timeout:g} s: {_NAMES[result]}", result)
            attempt += 1
            if attempt <= _SPINS:
                os.sched_yield()
            else:
                pause = min(_LONGEST_PAUSE_S, pause * 2 or 0.00001)
                time.sleep(pause)

    def _refuse(self) -> int:
        raise OfferError(native_error())

    # ---- state ----

    @property
    def position(self) -> int:
        """Stream position behind what was published; ``CLOSED``."""
        return int(lib.fl_client_publication_position(self._native))

    @property
    def position_limit(self) -> int:
        """Stream position up to which offers succeed now; ``CLOSED``."""
        return int(lib.fl_client_publication_limit(self._native))

    @property
    def is_connected(self) -> bool:
        """Is anybody subscribed?"""
        return bool(lib.fl_client_publication_is_connected(self._native))

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def channel_status(self) -> ChannelStatus:
        """Of the endpoint; always ``ACTIVE`` for IPC."""
        return channel_status(self._counters, self.channel_status_id)

    def close(self) -> None:
        """Give the publication up. What was published is still delivered."""
        self._close(revoke=False)

    def _close(self, *, revoke: bool) -> None:
        if not self._is_closed:
            self.mark_closed()
            self._conductor.release_publication(self, revoke=revoke)

    def mark_closed(self) -> None:
        """By the client, when it ends."""
        self._is_closed = True
        lib.fl_client_publication_close(self._native)

    def add_destination(self, channel: str) -> int:
        """Add a destination to a publication with ``control-mode=manual``; returns its registration id."""
        return self._conductor.add_destination(self, channel)

    def remove_destination(self, destination: str | int) -> None:
        """Remove a destination, by its channel or its registration id."""
        self._conductor.remove_destination(self, destination)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.registration_id} {self.channel} stream {self.stream_id} "
            f"session {self.session_id}{' closed' if self._is_closed else ''}>"
        )


class ExclusivePublication(Publication):
    """A publication with a session of its own: one thread at a time, and faster for it."""

    IS_EXCLUSIVE: ClassVar[bool] = True

    def revoke(self) -> None:
        """Close it, and end the stream at once: subscribers do not get what they have not consumed yet."""
        self._close(revoke=True)


def channel_status(counters: Any, counter_id: int) -> ChannelStatus:
    """Return the status of an endpoint; without a counter there is none that could fail."""
    if counter_id < 0:
        return ChannelStatus.ACTIVE
    value = counters.value(counter_id)
    return ChannelStatus(value) if value in ChannelStatus.__members__.values() else ChannelStatus.ERRORED
