"""``framelane publish``: standard input's lines, a file, or generated messages."""

from __future__ import annotations

import hashlib
import math
import mmap
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framelane.cli import file_format
from framelane.cli.options import JsonOption, print_json, warn
from framelane.cli.running import (
    ChannelOption,
    DirectoryOption,
    Idle,
    StreamOption,
    TimeoutOption,
    connect,
    make_progress,
    stderr_console,
    wait_for,
    with_parameter,
)
from framelane.errors import FramelaneError
from framelane.shm.counter_types import CounterType

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from framelane.client import Client, ExclusivePublication

__all__ = ["register"]

DEFAULT_CHANNEL = "aeron:udp?endpoint=localhost:20121"
DEFAULT_STREAM = 1001
_MOST_DATA_LENGTH = 64 * 1024
_BATCH_LENGTH = 64 * 1024
_MOST_BATCH_COUNT = 1024
_MAX_FILE_LENGTH = 2**62


def register(app: typer.Typer) -> None:
    """Add ``publish``."""
    app.command("publish")(publish)


def publish(
    directory: DirectoryOption = None,
    channel: ChannelOption = DEFAULT_CHANNEL,
    stream: StreamOption = DEFAULT_STREAM,
    session_id: Annotated[
        int | None, typer.Option("--session-id", help="Session id; else the driver's choice.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Publish a file, for `framelane subscribe -o`.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option("--generate", metavar="LENGTH", min=0, help="Publish messages of so many bytes.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="How many generated messages; else until interrupted.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Generated messages a second; else as many as are taken.")
    ] = None,
    timeout: TimeoutOption = None,
    drain_timeout: Annotated[
        float, typer.Option("--drain-timeout", metavar="SECONDS", help="Wait at most so long until all is consumed.")
    ] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Publish the lines of standard input, a file, or generated messages; end when they were consumed."""
    if file is not None and generate is not None:
        raise typer.BadParameter("--file and --generate exclude each other")
    if generate is None and (count is not None or rate is not None):
        raise typer.BadParameter("--count and --rate belong to --generate")
    if file is not None and not file.is_file():
        raise FramelaneError(f"cannot publish {file}: it is no regular file")
    if session_id is not None:
        channel = with_parameter(channel, "session-id", session_id)
    with connect(directory, "publish") as client:
        publication = client.add_exclusive_publication(channel, stream)
        wait_for(
            lambda: publication.is_connected or client.is_closed,
            timeout,
            f"{channel} stream {stream}: nobody subscribed",
        )
        drain = Drain(client, publication)
        sender = Sender(publication, timeout)
        began = time.monotonic()
        digest = None
        if file is not None:
            digest = sender.send_file(file)
        elif generate is not None:
            sender.send_generated(generate, count, rate)
        else:
            sender.send_lines()
        is_consumed = drain.wait(drain_timeout)
        elapsed = time.monotonic() - began
        session = publication.session_id
    _report(sender, session, elapsed, digest, is_consumed, as_json=as_json)


def _report(
    sender: Sender, session: int, elapsed: float, digest: str | None, is_consumed: bool, *, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "session_id": session,
                "messages": sender.messages,
                "bytes": sender.bytes,
                "seconds": elapsed,
                "messages_per_second": sender.messages / elapsed,
                "bytes_per_second": sender.bytes / elapsed,
                "sha256": digest,
                "consumed": is_consumed,
            }
        )
    else:
        stderr_console().print(
            f"published {sender.messages} messages, {sender.bytes} bytes in {elapsed:.2f} s "
            f"({sender.messages / elapsed:,.0f} msg/s, {sender.bytes / elapsed / 1e6:,.1f} MB/s) as session {session}"
        )
    if not is_consumed:
        warn("the subscriber left, or did not report in time, before all was known to be consumed")


class Drain:
    """Knows when everything that was published was consumed.

    IPC: the subscribers' positions are at hand. UDP: the sender limit is the consumption position of the status
    messages plus the receiver's window, and the window shows when the publication has just been connected. Receivers
    report in steps of a quarter of the window (wire 4.6), so the last step stays unknown; the driver keeps the stream
    for it when the publication is closed.
    """

    def __init__(self, client: Client, publication: ExclusivePublication) -> None:
        self._client = client
        self._publication = publication
        self._counters = client.counters
        sent = self._find(CounterType.SENDER_POSITION)
        limit = self._find(CounterType.SENDER_LIMIT)
        self._ids = None if sent is None or limit is None else (sent, limit)
        self._window = 0
        if self._ids is not None:
            self._window = max(0, self._counters.value(self._ids[1]) - publication.position)

    def _find(self, kind: CounterType) -> int | None:
        counter = self._counters.find(kind, self._publication.original_registration_id)
        return None if counter is None else counter.id

    def _is_consumed(self) -> bool:
        position = self._publication.position
        if self._ids is not None:
            sent, limit = (self._counters.value(counter) for counter in self._ids)
            return sent >= position and limit >= position + self._window - self._window // 4
        source = self._publication.original_registration_id
        positions = [
            counter.value
            for counter in self._counters
            if counter.type_id == CounterType.SUBSCRIBER_POSITION and counter.reference_id == source
        ]
        return bool(positions) and min(positions) >= position

    def wait(self, timeout_s: float) -> bool:
        """Wait until all is consumed, the subscribers are gone, or the time is up; returns whether all is consumed."""
        deadline = time.monotonic() + timeout_s
        while not (is_consumed := self._is_consumed()) and time.monotonic() < deadline:
            if self._client.is_closed or not self._publication.is_connected:
                break
            time.sleep(0.001)
        return is_consumed


class Sender:
    """Publishes, and counts what it published.

    :ivar bytes: of payload.
    """

    def __init__(self, publication: ExclusivePublication, timeout_s: float | None) -> None:
        self._publication = publication
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self.messages = 0
        self.bytes = 0

    def _send(self, message: bytes | memoryview) -> None:
        self._publication.offer_blocking(message, self._timeout_s)
        self.messages += 1
        self.bytes += len(message)

    # ---- lines ----

    def send_lines(self) -> None:
        """Publish the lines of standard input, without their ends."""
        for line in sys.stdin.buffer:
            self._send(line.rstrip(b"\r\n"))

    # ---- generated ----

    def send_generated(self, length: int, count: int | None, rate: float | None) -> None:
        """Publish messages of one length."""
        with make_progress(counts_bytes=False, is_wanted=count is not None) as progress:
            task = progress.add_task("publishing", total=count)
            if rate is None:
                self._send_unpaced(length, count, progress, task)
            else:
                self._send_paced(length, count, rate, progress, task)

    def _send_paced(self, length: int, count: int | None, rate: float, progress: Progress, task: TaskID) -> None:
        message = bytes(length)
        interval = 1 / rate
        due = time.monotonic()
        while count is None or self.messages < count:
            now = time.monotonic()
            if now < due:
                time.sleep(min(due - now, 0.1))
                continue
            self._send(message)
            due += interval
            progress.update(task, completed=self.messages)

    def _send_unpaced(self, length: int, count: int | None, progress: Progress, task: TaskID) -> None:
        a_batch = max(1, min(_MOST_BATCH_COUNT, _BATCH_LENGTH // max(1, length)))
        contiguous = bytes(length * a_batch)
        lengths = memoryview(array("I", [length] * a_batch))
        idle = _Patience(self._timeout_s)
        while count is None or self.messages < count:
            wanted = a_batch if count is None else min(a_batch, count - self.messages)
            accepted, result = self._publication.offer_batch(contiguous, lengths[:wanted])
            self.messages += accepted
            self.bytes += accepted * length
            progress.update(task, completed=self.messages)
            idle.wait(accepted, result, self._publication)

    # ---- a file ----

    def send_file(self, path: Path) -> str:
        """Publish a file with the framing of ``file_format``; returns its SHA-256."""
        publication = self._publication
        if publication.max_payload_length < file_format.MIN_PAYLOAD_LENGTH:
            raise FramelaneError(
                f"a frame takes {publication.max_payload_length} bytes, but files need "
                f"{file_format.MIN_PAYLOAD_LENGTH}; use an mtu of {file_format.MIN_PAYLOAD_LENGTH + 48} or more"
            )
        digest = hashlib.sha256()
        with path.open("rb") as file, make_progress() as progress:
            length = path.stat().st_size
            task = progress.add_task(path.name, total=length)
            self._publication.offer_blocking(file_format.begin(length, path.name), self._timeout_s)
            data_length = min(_MOST_DATA_LENGTH, publication.max_message_length) - file_format.HEADER_LENGTH
            for offset, data in _pieces(file.fileno(), length, data_length):
                self._send_parts(offset, data)
                digest.update(data)
                progress.update(task, completed=offset + len(data))
            self._publication.offer_blocking(file_format.end(length, digest.digest()), self._timeout_s)
            self.messages += 2
        return digest.hexdigest()

    def _send_parts(self, offset: int, data: memoryview) -> None:
        idle = _Patience(self._timeout_s)
        parts: list[bytes | memoryview] = [file_format.data_header(offset), data]
        while (result := self._publication.offer_parts(parts)) < 0:
            idle.wait(0, result, self._publication)
        self.messages += 1
        self.bytes += len(data)


class _Patience:
    """Waits between offers that are not taken, but not for ever."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._idle = Idle()
        self._since: float | None = None

    def wait(self, accepted: int, result: int, publication: ExclusivePublication) -> None:
        """Wait, if nothing was accepted.

        :raises FramelaneError: if the publication is closed or at its end, or nothing was accepted for too long.
        """
        if accepted:
            self._idle.reset()
            self._since = None
            return
        if result in (publication.CLOSED, publication.MAX_POSITION_EXCEEDED):
            publication.offer_blocking(b"", 0)  # says why
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > self._timeout_s:
            raise FramelaneError(
                f"{publication!r}: nothing was taken for {self._timeout_s:g} s; is the subscriber alive?"
            )
        self._idle.wait()


def _pieces(descriptor: int, length: int, piece_length: int) -> Iterator[tuple[int, memoryview]]:
    """Walk a file through a mapping.

    :raises FramelaneError: if the file is too long.
    """
    if length > _MAX_FILE_LENGTH:
        raise FramelaneError(f"the file is longer than {_MAX_FILE_LENGTH} bytes")
    if length == 0:
        return
    with mmap.mmap(descriptor, length, prot=mmap.PROT_READ) as mapping:
        view = memoryview(mapping)
        try:
            for offset in range(0, length, piece_length):
                with view[offset : offset + piece_length] as piece:
                    yield offset, piece
        finally:
            view.release()
