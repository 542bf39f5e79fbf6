"""Putting the fragments of messages together, in a handler (shm 7.8).

``Subscription.poll(..., assemble=True)`` does the same in the data plane, and is faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from framelane.client.header import BEGIN_FLAG, END_FLAG, Header, align

__all__ = ["FragmentAssembler"]

_UNFRAGMENTED = BEGIN_FLAG | END_FLAG


@dataclass
class _Builder:
    header: Header
    next_term_offset: int
    parts: bytearray = field(default_factory=bytearray)


class FragmentAssembler:
    """A fragment handler that calls another one with whole messages. One for each subscription, or for several whose
    sessions differ.

    Messages that came in one fragment are passed on as they are.
    """

    def __init__(self, handler: Callable[[memoryview, Header], object]) -> None:
        self._handler = handler
        self._builders: dict[int, _Builder] = {}

    def __call__(self, data: memoryview, header: Header) -> object:
        """Take a fragment. Returns what the handler returned, if the message is whole."""
        flags = header.flags
        if flags & _UNFRAGMENTED == _UNFRAGMENTED:
            return self._handler(data, header)
        begin = header.term_offset
        end = align(begin + 32 + len(data))
        if flags & BEGIN_FLAG:
            self._builders[header.session_id] = _Builder(header, end, bytearray(data))
            return None
        builder = self._builders.get(header.session_id)
        if builder is None:
            return None
        if builder.next_term_offset != begin:
            del self._builders[header.session_id]  # a fragment is missing, so the message is
            return None
        builder.parts += data
        builder.next_term_offset = end
        if not flags & END_FLAG:
            return None
        del self._builders[header.session_id]
        first = builder.header
        whole = Header(
            position=header.position,
            length=len(builder.parts),
            flags=first.flags | flags,
            session_id=first.session_id,
            stream_id=first.stream_id,
            reserved_value=first.reserved_value,
            image=header.image,
        )
        return self._handler(memoryview(builder.parts).toreadonly(), whole)

    def discard(self, session_id: int) -> None:
        """Forget what there is of a session, whose image became unavailable."""
        self._builders.pop(session_id, None)
