"""The writer of ``subscribe --output F --resume``, killed at any of its system calls, and in the middle of one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from framelane.cli import file_format, file_writer, resume_point
from framelane.cli.file_writer import FileWriter
from framelane.client.header import BEGIN_FLAG, END_FLAG, Header, align

PAYLOAD = 100
SESSION = 77


class Killed(BaseException):
    """SIGKILL: nothing of the process runs any more."""


class MortalOs:
    """``os`` for a process that is killed when its writes have passed on so many bytes.

    A process dies between two calls, or in one that has then written the beginning of what it was given (the kernel
    looks for a fatal signal between pages).
    """

    def __init__(self, life: int) -> None:
        self._life = life
        self._descriptors: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, *arguments: Any) -> int:
        descriptor = os.open(*arguments)
        self._descriptors.add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._descriptors.discard(descriptor)
        os.close(descriptor)

    def end(self) -> None:
        """Close what is open, as the kernel does."""
        for descriptor in list(self._descriptors):
            self.close(descriptor)

    def pwritev(self, descriptor: int, parts: list[memoryview], offset: int) -> int:
        return self.pwrite(descriptor, b"".join(parts), offset)

    def pwrite(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        written = os.pwrite(descriptor, data[: self._life], offset)
        self._life -= written
        if self._life <= 0:
            raise Killed
        return written


@dataclass
class Stream:
    """What a publication holds.

    :ivar fragments: payload, flags and the stream position behind it.
    """

    fragments: list[tuple[bytes, int, int]] = field(default_factory=list)

    def add(self, message: bytes) -> None:
        pieces = [message[at : at + PAYLOAD] for at in range(0, len(message), PAYLOAD)]
        for index, piece in enumerate(pieces):
            flags = (BEGIN_FLAG if index == 0 else 0) | (END_FLAG if index == len(pieces) - 1 else 0)
            self.fragments.append((piece, flags, self.end + align(len(piece) + 32)))

    @property
    def end(self) -> int:
        return self.fragments[-1][2] if self.fragments else 0


class Batch:
    """Some fragments of an image, as the client hands them out."""

    def __init__(self, image: Any, fragments: list[tuple[bytes, int, int]]) -> None:
        self._image = image
        self._fragments = fragments
        self.is_released = False

    def items(self) -> Iterator[tuple[memoryview, Header]]:
        for data, flags, position in self._fragments:
            yield memoryview(data), Header(position, len(data), flags, SESSION, 1, 0, self._image)

    def release(self) -> None:
        self.is_released = True


class Reception:
    """A driver and the subscribers that are killed one after the other.

    :ivar consumed: how many fragments the driver knows to be consumed: from there it delivers again.
    """

    def __init__(self, stream: Stream, output: Path, random: Random) -> None:
        self._stream = stream
        self._output = output
        self._random = random
        self.consumed = 0

    def run(self, monkeypatch: pytest.MonkeyPatch, life: int) -> FileWriter | None:
        """Receive to the end of the stream; ``None`` if killed."""
        mortal = MortalOs(life)
        monkeypatch.setattr(file_writer, "os", mortal)
        monkeypatch.setattr(resume_point, "os", mortal)
        before = self._stream.fragments[self.consumed - 1][2] if self.consumed else 0
        image = SimpleNamespace(join_position=before)
        writer = FileWriter(self._output, resume=True)
        try:
            writer.prepare()
            while self.consumed < len(self._stream.fragments):
                count = self._random.randint(1, 12)
                batch = Batch(image, self._stream.fragments[self.consumed : self.consumed + count])
                writer.take(batch)
                assert batch.is_released
                self.consumed += count
        except Killed:
            mortal.end()
            return None
        return writer

    def come_late(self) -> None:
        """Nobody held the stream: it went on by a few fragments, perhaps to its end."""
        self.consumed = min(self.consumed + self._random.randint(0, 30), len(self._stream.fragments))


def runs_of_wrong_bytes(sent: bytes, received: bytes) -> list[list[int]]:
    """Return the ranges [begin, end) in which the file is not what was sent; nothing sent is 0, and a hole is."""
    padded = received.ljust(len(sent), b"\0")
    runs: list[list[int]] = []
    for at in range(len(sent)):
        if padded[at] != sent[at]:
            if runs and runs[-1][1] == at:
                runs[-1][1] += 1
            else:
                runs.append([at, at + 1])
    return runs


def file_stream(content: bytes, random: Random) -> Stream:
    stream = Stream()
    stream.add(file_format.begin(len(content), "file"))
    at = 0
    while at < len(content):
        length = random.randint(1, 900)
        stream.add(file_format.data_header(at) + content[at : at + length])
        at += length
    stream.add(file_format.end(len(content), hashlib.sha256(content).digest()))
    return stream


@pytest.mark.parametrize("seed", range(400))
def test_what_is_missing_is_what_no_process_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    random = Random(seed)
    content = bytes(random.choices(range(1, 256), k=20_000))
    output = tmp_path / "output"
    monkeypatch.setattr(file_writer, "_MOST_PARTS", 5)  # so that a batch takes several writes
    reception = Reception(file_stream(content, random), output, random)
    is_late = seed % 4 != 0
    # A stored point takes about 200 bytes: a life is between one call and a few dozen batches.
    while (writer := reception.run(monkeypatch, random.randint(1, 40_000))) is None:
        if is_late and random.random() < 0.7:
            reception.come_late()

    wrong = runs_of_wrong_bytes(content, output.read_bytes())
    ends = {-1: len(content)}  # the writer never learnt the file's length
    assert [[begin, ends.get(end, end)] for begin, end in writer.missing_ranges()] == wrong
    assert is_late or not wrong
    if writer.is_complete:
        assert writer.is_intact is (True if not wrong else None)
    writer.close()


@pytest.mark.parametrize("seed", range(100))
def test_of_other_streams_the_missing_positions_are_what_is_not_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random = Random(seed)
    stream = Stream()
    for _ in range(150):
        stream.add(random.randbytes(random.randint(1, 400)))
    output = tmp_path / "output"
    reception = Reception(stream, output, random)
    # Long enough for the first point: without one it is a subscriber that joins late, and misses nothing.
    while (writer := reception.run(monkeypatch, random.randint(400, 20_000))) is None:
        reception.come_late()

    assert writer.point is not None
    gaps = [*writer.point.gaps, [writer.point.position, stream.end + 1]]  # of the end of its stream it knows nothing
    assert all(begin < end for begin, end in gaps)
    expected = b"".join(
        data for data, _, position in stream.fragments if not any(begin < position <= end for begin, end in gaps)
    )
    assert output.read_bytes() == expected
    writer.close()
