"""A counter that the application owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framelane.shm.cnc import CncFile

if TYPE_CHECKING:
    from framelane.client.conductor import Conductor

__all__ = ["Counter"]


class Counter:
    """A counter of this client, visible to every process. It is freed when it is closed or its client ends.

    A static counter outlives its client.
    """

    def __init__(
        self, conductor: Conductor, cnc: CncFile, counter_id: int, registration_id: int, *, is_static: bool
    ) -> None:
        self.counter_id = counter_id
        self.registration_id = registration_id
        self.is_static = is_static
        self._conductor = conductor
        self._counters = cnc.counters()
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def value(self) -> int:
        return self._counters.value(self.counter_id)

    @value.setter
    def value(self, value: int) -> None:
        """Store with release.

        :raises ValueError: if the counter is closed: it may be somebody else's now.
        """
        if self._is_closed:
            raise ValueError(f"counter {self.counter_id} is closed")
        self._counters.set_value(self.counter_id, value)

    @property
    def label(self) -> str:
        counter = self._counters.get(self.counter_id)
        return "" if counter is None else counter.label

    def close(self) -> None:
        """Free the counter, unless it is static."""
        if not self._is_closed:
            self._is_closed = True
            self._conductor.release_counter(self)

    def mark_closed(self) -> None:
        """By the client, when it ends."""
        self._is_closed = True
