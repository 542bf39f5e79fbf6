"""Events to clients (shm 8.4)."""

from __future__ import annotations

from framelane.protocol.events import Event
from framelane.shm.broadcast import BroadcastTransmitter

__all__ = ["Events", "wire_bytes", "wire_text"]


def wire_text(text: str) -> str:
    """Return a text as messages hold it: one character for each byte of its UTF-8 form."""
    return text.encode("utf-8", "surrogateescape").decode("ascii", "surrogateescape")


def wire_bytes(text: str) -> bytes:
    """Return the bytes of a text as messages hold it."""
    return text.encode("ascii", "surrogateescape")


class Events:
    """Transmits events, in the order of the calls. Control thread."""

    def __init__(self, broadcast: BroadcastTransmitter) -> None:
        self._broadcast = broadcast

    def send(self, event: Event) -> None:
        """Transmit one event to all clients."""
        self._broadcast.transmit(event.TYPE, event.encode())
