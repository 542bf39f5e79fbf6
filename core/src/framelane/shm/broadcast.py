"""The to-clients broadcast (shm 4)."""

from __future__ import annotations

from typing import Any

from framelane._native import ffi, lib
from framelane.errors import FramelaneError
from framelane.shm.handle import Handle, View, check
from framelane.shm.ring import Record

__all__ = ["BroadcastLapped", "BroadcastReceiver", "BroadcastTransmitter"]


class BroadcastLapped(FramelaneError):
    """Events were lost because the client did not read in time; the next receive goes on behind the latest one."""


class BroadcastTransmitter(View):
    """The driver's end."""

    def __init__(self, memory: Handle, address: Any, length: int) -> None:
        """View a section: a power of two of bytes and the trailer.

        :raises NativeError: if the length is wrong.
        """
        super().__init__(memory)
        self._transmitter = ffi.new("fl_broadcast_transmitter_t *")
        check(lib.fl_broadcast_transmitter_init(self._transmitter, address, length))

    @property
    def max_message_length(self) -> int:
        return int(self._transmitter.max_message_length)

    def transmit(self, type_id: int, body: bytes) -> None:
        """Transmit an event to all clients.

        :raises NativeError: if the body is too long or the type id below 1.
        """
        self.memory.require_open()
        check(lib.fl_broadcast_transmit(self._transmitter, type_id, body, len(body)))


class BroadcastReceiver(View):
    """A client's end. The first event is the latest one that was transmitted before."""

    def __init__(self, memory: Handle, address: Any, length: int) -> None:
        """View a section: a power of two of bytes and the trailer.

        :raises NativeError: if the length is wrong.
        """
        super().__init__(memory)
        self._receiver = ffi.new("fl_broadcast_receiver_t *")
        check(lib.fl_broadcast_receiver_init(self._receiver, address, length))
        self._into = ffi.new("uint8_t[]", max(1, self._receiver.max_message_length))
        self._type_id = ffi.new("int32_t *")

    @property
    def lapped_count(self) -> int:
        return int(self._receiver.lapped_count)

    def receive(self) -> Record | None:
        """Return the next event, or ``None`` if there is none.

        :raises BroadcastLapped: if events were lost.
        """
        self.memory.require_open()
        length = lib.fl_broadcast_receive(self._receiver, self._type_id, self._into)
        if length == -lib.FL_EAGAIN:
            return None
        if length in (-lib.FL_ENOBUFS, -lib.FL_EIO):
            raise BroadcastLapped(
                "unable to keep up with broadcast: events of the driver were lost; "
                "raise the to-clients buffer length or run the client's duty cycle more often"
            )
        return Record(self._type_id[0], bytes(ffi.buffer(self._into, check(length))))
