"""Keys and labels of a stream's counters."""

from __future__ import annotations

from dataclasses import dataclass

from framelane.driver.events import wire_text
from framelane.shm.counter_types import CounterType, StreamKey, stream_label

__all__ = ["Stream"]


@dataclass(frozen=True)
class Stream:
    """What key and label of a stream's counter are made of (shm 5.5, 5.6)."""

    registration_id: int
    session_id: int
    stream_id: int
    channel: str

    @property
    def key(self) -> bytes:
        """The stream key."""
        return StreamKey(self.registration_id, self.session_id, self.stream_id, wire_text(self.channel)).encode()

    def label(self, name: CounterType | str, joined_at: int | None = None) -> str:
        """Return ``NAME: R S T CH``, for a subscriber position with its join position."""
        return stream_label(
            name, self.registration_id, self.session_id, self.stream_id, self.channel, join_position=joined_at
        )
