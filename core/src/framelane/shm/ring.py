"""The to-driver ring (shm 3)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from framelane._native import ffi, lib
from framelane.errors import FramelaneError
from framelane.shm.handle import Handle, View, check

__all__ = ["Batch", "Record", "RingFull", "ToDriverRing"]

_HEADER = struct.Struct("<ii")


class RingFull(FramelaneError):
    """The driver does not read fast enough, or not at all: try again, or give up after the driver timeout."""


class Record(NamedTuple):
    """A record as it was read."""

    type_id: int
    body: bytes


class Batch(NamedTuple):
    """What one read gave."""

    records: list[Record]
    malformed: int  #: corrupt records that were dropped


class ToDriverRing(View):
    """One end of the ring. Any number of processes write; the driver alone calls the methods under *consumer*."""

    def __init__(self, memory: Handle, address: Any, length: int) -> None:
        """View a section: a power of two of bytes and the trailer.

        :raises NativeError: if the length is wrong.
        """
        super().__init__(memory)
        self._ring = ffi.new("fl_mpsc_ring_t *")
        check(lib.fl_mpsc_ring_init(self._ring, address, length))
        self._into: Any = None
        self._malformed = ffi.new("int32_t *")

    @property
    def native(self) -> Any:
        """``fl_mpsc_ring_t *``, alive as long as this object."""
        return self._ring

    @property
    def capacity(self) -> int:
        return int(self._ring.capacity)

    @property
    def max_message_length(self) -> int:
        return int(self._ring.max_message_length)

    def write(self, type_id: int, body: bytes) -> None:
        """Write a record.

        :raises RingFull: if there is no room now.
        :raises NativeError: if the body is too long or the type id below 1.
        """
        self.memory.require_open()
        self._checked(lib.fl_mpsc_ring_write(self._ring, type_id, body, len(body)))

    def claim(self, type_id: int, length: int) -> int:
        """Return the offset of a claim of so many bytes, to be ended by :meth:`commit` or :meth:`abort`.

        :raises RingFull: if there is no room now.
        """
        self.memory.require_open()
        return self._checked(lib.fl_mpsc_ring_claim(self._ring, type_id, length))

    def commit(self, offset: int) -> None:
        self.memory.require_open()
        check(lib.fl_mpsc_ring_commit(self._ring, offset))

    def abort(self, offset: int) -> None:
        self.memory.require_open()
        check(lib.fl_mpsc_ring_abort(self._ring, offset))

    def next_correlation_id(self) -> int:
        """Take the next id of the sequence that clients, commands and images share."""
        self.memory.require_open()
        return int(lib.fl_mpsc_ring_next_correlation_id(self._ring))

    def heartbeat_ms(self) -> int:
        """Epoch ms of the driver's last sign of life; 0: not started; -1: closed."""
        self.memory.require_open()
        return int(lib.fl_mpsc_ring_heartbeat(self._ring))

    def read(self, limit: int = 1024) -> Batch:
        """Consumer: take committed records, at most to the end of the ring, so a full drain takes two calls."""
        self.memory.require_open()
        if self._into is None:
            self._into = ffi.new("uint8_t[]", self.max_message_length + _HEADER.size)
        length = lib.fl_mpsc_ring_read(self._ring, self._into, len(self._into), limit, self._malformed)
        taken = ffi.buffer(self._into, length)
        records = []
        at = 0
        while at < length:
            record_length, type_id = _HEADER.unpack_from(taken, at)
            records.append(Record(type_id, bytes(taken[at + _HEADER.size : at + record_length])))
            at += record_length + -record_length % 8
        return Batch(records, self._malformed[0])

    def unblock(self) -> bool:
        """Consumer: repair the record at the head, whose producer died. Call it when the head did not move for the
        client liveness timeout although :meth:`is_pending`; return whether reading can go on."""
        self.memory.require_open()
        return bool(lib.fl_mpsc_ring_unblock(self._ring))

    def is_pending(self) -> bool:
        """Consumer: is something claimed behind the head?"""
        self.memory.require_open()
        return bool(lib.fl_mpsc_ring_is_pending(self._ring))

    @property
    def head(self) -> int:
        """Consumer: its position."""
        return int(self._ring.head)

    def set_heartbeat_ms(self, epoch_ms: int) -> None:
        """Consumer: show life, or -1 when closing."""
        self.memory.require_open()
        lib.fl_mpsc_ring_set_heartbeat(self._ring, epoch_ms)

    @staticmethod
    def _checked(result: int) -> int:
        if result == -lib.FL_EAGAIN:
            raise RingFull("the to-driver ring is full: the driver does not read commands")
        return check(result)
