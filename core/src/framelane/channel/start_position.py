"""Where a publication starts: ``init-term-id``, ``term-id`` and ``term-offset`` (wire 1.3, shm 9.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from framelane.channel.errors import ChannelError, ErrorCode
from framelane.channel.uri import ChannelUri
from framelane.channel.values import INT32_MAX, int32_of, int64_of

__all__ = ["FRAME_ALIGNMENT", "StartPosition"]

FRAME_ALIGNMENT = 32

_KEYS = ("init-term-id", "term-id", "term-offset")


@dataclass(frozen=True)
class StartPosition:
    """Where a publication starts, as given; ``term_offset`` may be the term length, which means the next term."""

    initial_term_id: int
    term_id: int
    term_offset: int

    @classmethod
    def parse(cls, uri: ChannelUri, term_length: int) -> Self | None:
        """Return the position that a channel gives, ``None`` if it gives none.

        :raises ChannelError: GENERIC_ERROR.
        """
        given = [uri.get(key) is not None for key in _KEYS]
        if not any(given):
            return None
        initial_term_id, term_id = int32_of(uri, "init-term-id"), int32_of(uri, "term-id")
        term_offset = int64_of(uri, "term-offset")
        if initial_term_id is None or term_id is None or term_offset is None:
            raise _error("params: init-term-id term-id term-offset must be used as a complete set")
        start = cls(initial_term_id, term_id, term_offset)
        if start.term_count > INT32_MAX:
            raise _error(f"Param difference greater than 2^31 - 1: init-term-id={initial_term_id} term-id={term_id}")
        if term_offset < 0:
            raise _error(f"Param term-offset={term_offset} must not be negative")
        if term_offset > term_length:
            raise _error(f"Param term-offset={term_offset} > term-length={term_length}")
        if term_offset % FRAME_ALIGNMENT:
            raise _error(f"Param term-offset={term_offset} must be multiple of FRAME_ALIGNMENT")
        if start.term_count == INT32_MAX and term_offset == term_length:
            raise _error(f"Param term-offset={term_offset} leaves no room: term-id={term_id} is the last term")
        return start

    @property
    def term_count(self) -> int:
        """Terms before this one; above 2^31-1 if the term id precedes the initial one."""
        return (self.term_id - self.initial_term_id) & 0xFFFFFFFF

    def position(self, term_length: int) -> int:
        """Return the position in the stream, bytes."""
        return self.term_count * term_length + self.term_offset


def _error(message: str) -> ChannelError:
    return ChannelError(ErrorCode.GENERIC_ERROR, message)
