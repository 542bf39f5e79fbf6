"""An image: one publication as a subscription sees it."""

from __future__ import annotations

from typing import Any

from framelane._native import ffi, lib
from framelane.shm.cnc import CncFile
from framelane.shm.handle import raise_native
from framelane.shm.log_buffer import LogBuffer

__all__ = ["Image", "native_error"]


class Image:
    """One publication as a subscription sees it.

    Its log stays mapped as long as the image, or a view of a message in it, is referred to by anybody.
    """

    def __init__(
        self,
        cnc: CncFile,
        log: LogBuffer,
        *,
        correlation_id: int,
        subscription_registration_id: int,
        session_id: int,
        stream_id: int,
        subscriber_position_id: int,
        source_identity: str,
    ) -> None:
        """Made by the client, for an image that the driver announced.

        :raises NativeError: if the join position that the driver stored is impossible.
        """
        self.correlation_id = correlation_id
        self.subscription_registration_id = subscription_registration_id
        self.session_id = session_id
        self.stream_id = stream_id
        self.subscriber_position_id = subscriber_position_id  #: counter id
        self.source_identity = source_identity  #: ``ip:port`` of the source; ``aeron:ipc``
        self.initial_term_id = int(log.native.initial_term_id)
        self.term_buffer_length = int(log.native.term_length)
        self.mtu_length = int(log.native.mtu_length)
        self._cnc = cnc  # keeps the position's counter mapped
        self._log = log
        address = ffi.cast("int64_t *", cnc.counters().address(subscriber_position_id))
        native = lib.fl_client_image_new(log.native, address, correlation_id)
        if native == ffi.NULL:
            raise_native(lib.FL_EINVAL)
        self.native = ffi.gc(native, lib.fl_client_image_free)  #: ``fl_client_image_t *``
        self.address = int(ffi.cast("uintptr_t", native))
        length = int(log.native.file.length)
        # Views of messages are slices of this one: each keeps the mapping alive, through the closure.
        self._terms_cdata = ffi.gc(log.native.terms[0], lambda _, _log=log: None)
        self.terms = memoryview(ffi.buffer(self._terms_cdata, length)).toreadonly()
        self.terms_address = int(ffi.cast("uintptr_t", log.native.terms[0]))
        self.terms_end = self.terms_address + length

    @property
    def position(self) -> int:
        """Stream position up to which messages were consumed; the last one if the image is closed."""
        return int(lib.fl_client_image_position(self.native))

    @property
    def join_position(self) -> int:
        """Stream position at which the subscription joined."""
        return int(lib.fl_client_image_join_position(self.native))

    @property
    def end_of_stream_position(self) -> int:
        """Where the stream ends; ``2**63 - 1`` until that is known."""
        return int(lib.fl_client_image_end_of_stream_position(self.native))

    @property
    def is_end_of_stream(self) -> bool:
        """Was everything up to the end of the stream consumed?"""
        return bool(lib.fl_client_image_is_end_of_stream(self.native))

    @property
    def is_publication_revoked(self) -> bool:
        return bool(lib.fl_client_image_is_revoked(self.native))

    @property
    def active_transport_count(self) -> int:
        """Transports over which the stream arrives; 0 once the image is closed, and for IPC and spies."""
        return int(lib.fl_client_image_active_transport_count(self.native))

    @property
    def is_closed(self) -> bool:
        return bool(lib.fl_client_image_is_closed(self.native))

    def close(self) -> None:
        """Made unavailable by the client, after the image left its subscription."""
        lib.fl_client_image_close(self.native)

    def __repr__(self) -> str:
        return (
            f"<Image {self.correlation_id} session {self.session_id} stream {self.stream_id} "
            f"from {self.source_identity} at {self.position}{' closed' if self.is_closed else ''}>"
        )


def native_error() -> str:
    """Return the calling thread's native error text, and forget it."""
    text: Any = ffi.string(lib.fl_error_text()).decode(errors="replace")
    lib.fl_error_clear()
    return str(text)
