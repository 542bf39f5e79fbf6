"""Streams between clients of two real drivers, all of them in the test's own process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from framelane.client import Client
from framelane.client.publication import ExclusivePublication
from framelane.client.subscription import Subscription
from support.streams import Messages, Sink

__all__ = ["Lane", "exchange"]


class Lane:
    """One stream: what is sent, what was received, and when something last moved."""

    def __init__(
        self, name: str, publication: ExclusivePublication, subscription: Subscription, messages: Messages
    ) -> None:
        self.name = name
        self._publication = publication
        self._subscription = subscription
        self._messages = messages
        self._iterator = iter(messages)
        self._next = next(self._iterator, None)
        self._sink = Sink()

    @property
    def is_done(self) -> bool:
        return self._next is None and self._sink.count >= self._messages.count

    def pump(self) -> bool:
        """Offer what fits and take what is there; ``True`` if either moved."""
        moved = False
        for _ in range(64):
            if self._next is None or self._publication.offer(self._next) < 0:
                break
            self._next = next(self._iterator, None)
            moved = True
        for message in self._subscription.poll_batch():
            self._sink.take(bytes(message))
            moved = True
        return moved

    def check(self) -> None:
        """What was received is what was sent."""
        assert self._sink.count == self._messages.count, self.name
        assert self._sink.digest.digest() == self._messages.digest.digest(), self.name


def exchange(lanes: Mapping[str, tuple[Path, Path, str]], length: int, seed: int, *, limit_s: float = 60.0) -> None:
    """Run streams of random messages all at once, and compare.

    :param lanes: by name, the directories of the sending and of the receiving driver, and the channel.
    :param length: bytes of each stream.
    """
    with ExitStack() as stack:
        directories = {directory for one in lanes.values() for directory in one[:2]}
        clients = {directory: stack.enter_context(Client(directory)) for directory in directories}
        running: Sequence[Lane] = [
            Lane(
                name,
                clients[sender].add_exclusive_publication(channel, 1000 + number),
                clients[receiver].add_subscription(channel, 1000 + number),
                Messages(seed + number, length),
            )
            for number, (name, (sender, receiver, channel)) in enumerate(lanes.items())
        ]
        deadline = time.monotonic() + limit_s
        while not all(lane.is_done for lane in running):
            if not sum(lane.pump() for lane in running):
                late = [lane.name for lane in running if not lane.is_done]
                assert time.monotonic() < deadline, f"not within {limit_s} s: {', '.join(late)}"
                time.sleep(0.0005)
        for lane in running:
            lane.check()
