"""The driver's counters: which are allocated, for whom, and what their labels say (shm 5, 9.10).

Clients can write every word of the records, so what the driver decides by is kept here.
"""

from __future__ import annotations

from dataclasses import dataclass

from framelane.driver.clock import Clock
from framelane.driver.errors import CommandError
from framelane.driver.events import wire_text
from framelane.driver.stream import Stream
from framelane.errors import NativeError
from framelane.protocol.error_codes import ErrorCode
from framelane.shm.counter_types import CounterType, index_key
from framelane.shm.counters import CountersManager
from framelane.shm.system_counters import SystemCounter, SystemLabels, allocate_system_counters, free_system_counters

__all__ = ["STATIC_OWNER", "Counters"]

#: Owner of counters that no client owns, and that last.
STATIC_OWNER = -1


#: Reasons to drop a datagram, by ``FL_DROP_*``.
DROP_REASONS = (
    "short",
    "version",
    "type",
    "frame-length",
    "alignment",
    "data-fields",
    "setup-fields",
    "nak-fields",
    "sm-fields",
    "err-fields",
    "wrong-side",
    "no-interest",
    "no-image",
    "no-publication",
    "over-run",
    "under-run",
    "duplicate",
    "term",
    "image-closed",
    "sm-rejected",
    "nak-ignored",
    "setup-ignored",
    "rttm-ignored",
    "truncated",
)


@dataclass(frozen=True)
class _Identity:
    type_id: int
    registration_id: int
    owner_id: int


class Counters:
    """Allocates and frees counters. Control thread."""

    def __init__(self, manager: CountersManager, clock: Clock) -> None:
        self._manager = manager
        self._values = manager.reader
        self._clock = clock
        self._allocated: dict[int, _Identity] = {}

    def allocate_system(self, labels: SystemLabels) -> None:
        """Allocate the system counters, before all others (shm 5.4)."""
        allocate_system_counters(self._manager, labels, now_ms=self._clock.epoch_ms())

    def free_system(self) -> None:
        """Free the system counters, when the driver closes."""
        free_system_counters(self._manager, now_ms=self._clock.epoch_ms())

    def allocate_drops(self) -> list[int]:
        """Allocate a counter for each reason to drop a datagram, by ``FL_DROP_*``."""
        return [
            self.allocate(
                CounterType.DROPPED_FRAMES, index_key(i), f"dropped-{name}", registration_id=i, owner_id=STATIC_OWNER
            )
            for i, name in enumerate(DROP_REASONS)
        ]

    def allocate(
        self,
        type_id: int,
        key: bytes,
        label: str,
        *,
        registration_id: int = 0,
        owner_id: int = 0,
        reference_id: int = 0,
        value: int = 0,
    ) -> int:
        """Allocate a counter and show it with its value.

        :raises CommandError: if the table is full.
        """
        counter_id = self.reserve()
        if value:
            self._values.set_value(counter_id, value)
        self.show(
            counter_id,
            type_id,
            key,
            label,
            registration_id=registration_id,
            owner_id=owner_id,
            reference_id=reference_id,
        )
        return counter_id

    def allocate_stream(self, type_id: CounterType, name: str, stream: Stream, *, owner_id: int, value: int = 0) -> int:
        """Allocate one of a stream's counters; its registration id is the stream's."""
        return self.allocate(
            type_id,
            stream.key,
            stream.label(name),
            registration_id=stream.registration_id,
            owner_id=owner_id,
            value=value,
        )

    def reserve(self) -> int:
        """Take an id that readers do not see yet, its value 0.

        :raises CommandError: if the table is full.
        """
        try:
            return self._manager.reserve(now_ms=self._clock.epoch_ms())
        except NativeError as error:
            text = f"Max counter id ({self._values.max_counter_id}) exceeded"
            raise CommandError(ErrorCode.GENERIC_ERROR, text) from error

    def show(
        self,
        counter_id: int,
        type_id: int,
        key: bytes,
        label: str,
        *,
        registration_id: int,
        owner_id: int,
        reference_id: int = 0,
    ) -> None:
        """Make a reserved counter visible; its value stays as it is."""
        self._manager.publish(counter_id, type_id, wire_text(label), key)
        self._manager.set_ids(counter_id, registration_id, owner_id, reference_id)
        self._allocated[counter_id] = _Identity(type_id, registration_id, owner_id)

    def add_static(self, type_id: int, registration_id: int, key: bytes, label: str) -> int:
        """Find or allocate a static counter (shm 9.10).

        :raises CommandError: if a counter of a client has that type and registration id, or the table is full.
        """
        for counter_id, identity in self._allocated.items():
            if (identity.type_id, identity.registration_id) == (type_id, registration_id):
                if identity.owner_id == STATIC_OWNER:
                    return counter_id
                raise CommandError(
                    ErrorCode.GENERIC_ERROR,
                    "cannot add static counter, because a non-static counter exists "
                    f"(counterId={counter_id}) for typeId={type_id} and registrationId={registration_id}",
                )
        return self.allocate(type_id, key, label, registration_id=registration_id, owner_id=STATIC_OWNER)

    def free(self, counter_id: int) -> None:
        """Free a counter, shown or reserved."""
        self._allocated.pop(counter_id, None)
        self._manager.free(counter_id, now_ms=self._clock.epoch_ms())

    def update_label(self, counter_id: int, label: str) -> None:
        """Replace a label."""
        self._manager.update_label(counter_id, wire_text(label))

    def get(self, counter_id: int) -> int:
        """Return a value."""
        return self._values.value(counter_id)

    def set(self, counter_id: int, value: int) -> None:
        """Store a value, with release."""
        self._values.set_value(counter_id, value)

    def count(self, counter: SystemCounter) -> None:
        """Add 1 to a system counter."""
        self.add_to(counter, 1)

    def add_to(self, counter: SystemCounter, delta: int) -> None:
        """Add to a system counter, which agents may write too."""
        self._values.add(counter, delta)

    def raise_to(self, counter: SystemCounter, value: int) -> None:
        """Raise a system counter that holds a maximum."""
        if value > self._values.value(counter):
            self._values.set_value(counter, value)

    def close(self) -> None:
        """Free what is private; the records stay as they are."""
        self._manager.close()
