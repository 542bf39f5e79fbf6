"""Streams of known bytes: messages of mixed lengths cut from seeded random data, and what a reader makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from random import Random

__all__ = ["Messages", "Sink"]


class Messages:
    """Messages whose bytes and lengths follow from a seed, and the digest of what was taken so far.

    :param longest: bytes; lengths are uniform from 1 to this.
    :param total: bytes of all messages together.
    """

    def __init__(self, seed: int, total: int, longest: int = 6000) -> None:
        self._random = Random(seed)
        self._pool = self._random.randbytes(256 * 1024 + longest)
        self._longest = longest
        self.left = total
        self.digest = hashlib.sha256()
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.left:
            length = min(self.left, self._random.randint(1, self._longest))
            at = self._random.randrange(len(self._pool) - length)
            message = self._pool[at : at + length]
            self.left -= length
            self.count += 1
            self.digest.update(message)
            yield message


class Sink:
    """Digest of what a subscriber read."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.length = 0
        self.count = 0

    def take(self, message: bytes) -> None:
        self.digest.update(message)
        self.length += len(message)
        self.count += 1
