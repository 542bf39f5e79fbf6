"""A stream from one simulated driver to another, driven message by message."""

from __future__ import annotations

from collections.abc import Iterable

from support.raw_client import RawClient, RawPublication, RawSubscription
from support.simulation import Simulation
from support.streams import Messages, Sink

__all__ = ["Transfer", "transfer"]


class Transfer:
    """Offers what fits and takes what is there whenever :meth:`pump` is called.

    Subscribers that are added later, or whose reading is paused, are the test's business.
    """

    def __init__(self, publication: RawPublication, messages: Messages, readers: Iterable[RawSubscription]) -> None:
        self.publication = publication
        self._messages = messages
        self._iterator = iter(messages)
        self._next = next(self._iterator, None)
        self.sinks = {reader: Sink() for reader in readers}

    @property
    def is_offered(self) -> bool:
        return self._next is None

    def offer(self, limit: int = 32) -> None:
        """Offer until the publication takes no more."""
        for _ in range(limit):
            if self._next is None:
                return
            if self.publication.offer(self._next) < 0:
                return
            self._next = next(self._iterator, None)

    def take(self) -> None:
        for reader, sink in self.sinks.items():
            for message in reader.poll():
                sink.take(message)

    def pump(self) -> bool:
        """Offer and take once; ``True`` when every reader has everything."""
        self.offer()
        self.take()
        return self._next is None and all(sink.count >= self._messages.count for sink in self.sinks.values())

    def check(self) -> None:
        """Every reader has the bytes that were offered."""
        for sink in self.sinks.values():
            assert sink.count == self._messages.count
            assert sink.digest.digest() == self._messages.digest.digest()


def transfer(
    sim: Simulation,
    publisher: RawClient,
    publication: RawPublication,
    readers: Iterable[RawSubscription],
    messages: Messages,
) -> Transfer:
    """Wait until the publication is connected, send all messages and check what arrived."""
    sim.run_until(lambda: publication.is_connected, "publication connected")
    moving = Transfer(publication, messages, readers)
    sim.run_until(moving.pump, "transfer", limit_ns=600_000_000_000)
    moving.check()
    return moving
