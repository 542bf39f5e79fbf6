"""Counters: reading them all, and allocating them (shm 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from framelane._native import ffi, lib
from framelane.shm.handle import Handle, View, check, raise_native

__all__ = ["Counter", "CountersManager", "CountersReader"]

_ENCODING = ("ascii", "surrogateescape")


@dataclass(frozen=True)
class Counter:
    """A counter as it was read."""

    id: int
    type_id: int
    value: int
    registration_id: int
    owner_id: int
    reference_id: int
    key: bytes  #: 112 bytes; see :mod:`framelane.shm.counter_types`
    label: str


class CountersReader(View):
    """All counters of a driver, for any process."""

    def __init__(self, memory: Handle, metadata: Any, metadata_length: int, values: Any, values_length: int) -> None:
        """View both sections.

        :raises NativeError: if their lengths do not fit each other.
        """
        super().__init__(memory)
        self._counters = ffi.new("fl_counters_t *")
        check(lib.fl_counters_init(self._counters, metadata, metadata_length, values, values_length))

    @property
    def max_counter_id(self) -> int:
        return int(self._counters.count) - 1

    def value(self, counter_id: int) -> int:
        """Return a counter's value, whatever its state.

        :raises IndexError: if there is no such id.
        """
        return int(lib.fl_counters_load(self._address(counter_id)))

    def set_value(self, counter_id: int, value: int) -> None:
        """Store a counter's value, with release; for the one who owns it.

        :raises IndexError: if there is no such id.
        """
        lib.fl_counters_store(self._address(counter_id), value)

    def add(self, counter_id: int, delta: int) -> None:
        """Add to a counter that several threads write.

        :raises IndexError: if there is no such id.
        """
        lib.fl_counters_add(self._address(counter_id), delta)

    def address(self, counter_id: int) -> int:
        """Return the address of a value's word, to give to the data plane.

        :raises IndexError: if there is no such id.
        """
        return int(ffi.cast("uintptr_t", self._address(counter_id)))

    def get(self, counter_id: int) -> Counter | None:
        """Return a counter, or ``None`` if it is not allocated.

        :raises NativeError: if there is no such id.
        """
        self.memory.require_open()
        snapshot = ffi.new("fl_counter_snapshot_t *")
        state = lib.fl_counters_read(self._counters, counter_id, snapshot)
        if state == -lib.FL_EINVAL:
            raise_native(lib.FL_EINVAL)
        if state != lib.FL_COUNTER_ALLOCATED:
            return None
        return Counter(
            id=snapshot.id,
            type_id=snapshot.type_id,
            value=snapshot.value,
            registration_id=snapshot.registration_id,
            owner_id=snapshot.owner_id,
            reference_id=snapshot.reference_id,
            key=bytes(ffi.buffer(snapshot.key)),
            label=bytes(ffi.buffer(snapshot.label, snapshot.label_length)).decode(*_ENCODING),
        )

    def __iter__(self) -> Iterator[Counter]:
        """Walk the allocated counters, up to the first record that was never used."""
        counter_id = 0
        while True:
            self.memory.require_open()
            counter_id = lib.fl_counters_next(self._counters, counter_id)
            if counter_id < 0:
                return
            counter = self.get(counter_id)
            if counter is not None:
                yield counter
            counter_id += 1

    def find(self, type_id: int, registration_id: int) -> Counter | None:
        """Return the first allocated counter of a type with this registration id."""
        return next((c for c in self if c.type_id == type_id and c.registration_id == registration_id), None)

    def _address(self, counter_id: int) -> Any:
        self.memory.require_open()
        address = lib.fl_counters_value(self._counters, counter_id)
        if address == ffi.NULL:
            raise IndexError(f"counter id {counter_id} is not in 0 to {self.max_counter_id}")
        return address


class CountersManager(Handle):
    """Allocates counters. One thread of the driver; its state is private, since clients can write the records."""

    def __init__(
        self,
        memory: Handle,
        metadata: Any,
        metadata_length: int,
        values: Any,
        values_length: int,
        *,
        cool_down_ms: int = 1000,
    ) -> None:
        """Begin to manage zeroed sections.

        :param cool_down_ms: how long a freed id rests before it is used again, 0 or more.
        :raises NativeError: if the lengths do not fit each other.
        """
        self.memory = memory
        self.reader = CountersReader(memory, metadata, metadata_length, values, values_length)
        self._manager = lib.fl_counters_manager_new(metadata, metadata_length, values, values_length, cool_down_ms)
        if self._manager == ffi.NULL:
            raise_native(lib.FL_ENOMEM)
        super().__init__()

    def _release(self) -> None:
        lib.fl_counters_manager_free(self._manager)

    def allocate(
        self,
        type_id: int,
        label: str,
        key: bytes = b"",
        *,
        now_ms: int,
        value: int = 0,
        registration_id: int = 0,
        owner_id: int = 0,
        reference_id: int = 0,
    ) -> int:
        """Return the id of a new counter.

        :param label: cut at 380 bytes; ``key`` at 112.
        :param now_ms: epoch ms.
        :raises NativeError: ``FL_ENOBUFS`` if no id is free.
        """
        counter_id = self.reserve(now_ms=now_ms)
        self.reader.set_value(counter_id, value)
        self.set_ids(counter_id, registration_id, owner_id, reference_id)
        self.publish(counter_id, type_id, label, key)
        return counter_id

    def reserve(self, *, now_ms: int) -> int:
        """Take an id that readers do not see until :meth:`publish`; its value is 0."""
        self._require()
        return check(lib.fl_counters_reserve(self._manager, now_ms))

    def publish(self, counter_id: int, type_id: int, label: str, key: bytes = b"") -> None:
        """Show a reserved id."""
        self._require()
        text = label.encode(*_ENCODING)
        check(lib.fl_counters_publish(self._manager, counter_id, type_id, key, len(key), text, len(text)))

    def set_ids(self, counter_id: int, registration_id: int, owner_id: int = 0, reference_id: int = 0) -> None:
        """Set what readers match on; before or after :meth:`publish`."""
        self._require()
        check(lib.fl_counters_set_ids(self._manager, counter_id, registration_id, owner_id, reference_id))

    def free(self, counter_id: int, *, now_ms: int) -> None:
        """Free an id.

        :raises NativeError: ``FL_EINVAL`` if it is not in use.
        """
        self._require()
        check(lib.fl_counters_free(self._manager, counter_id, now_ms))

    def update_label(self, counter_id: int, label: str) -> None:
        """Replace a label; cut at 380 bytes."""
        self._require()
        text = label.encode(*_ENCODING)
        check(lib.fl_counters_label_update(self._manager, counter_id, text, len(text)))

    def append_label(self, counter_id: int, suffix: str) -> None:
        """Extend a label; cut at 380 bytes."""
        self._require()
        text = suffix.encode(*_ENCODING)
        check(lib.fl_counters_label_append(self._manager, counter_id, text, len(text)))

    def _require(self) -> None:
        self.require_open()
        self.memory.require_open()
