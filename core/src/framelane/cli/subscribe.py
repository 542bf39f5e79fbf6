"""``framelane subscribe``: messages to standard output or into a file, exactly once across restarts if asked."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framelane.cli.file_writer import FileWriter
from framelane.cli.options import JsonOption, print_json
from framelane.cli.publish import DEFAULT_CHANNEL, DEFAULT_STREAM
from framelane.cli.running import (
    ChannelOption,
    DirectoryOption,
    Idle,
    StreamOption,
    TimeoutOption,
    connect,
    make_progress,
    stderr_console,
)
from framelane.errors import FramelaneError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from framelane.client import Image, Subscription

__all__ = ["register"]

_LIMIT = 1024
#: Longer than the liveness timeouts of a driver with default settings, so that nothing can come any more.
_RESUME_TIMEOUT_S = 15.0
#: More than two periods of status messages.
_FAREWELL_S = 0.5


def register(app: typer.Typer) -> None:
    """Add ``subscribe``."""
    app.command("subscribe")(subscribe)


def subscribe(
    directory: DirectoryOption = None,
    channel: ChannelOption = DEFAULT_CHANNEL,
    stream: StreamOption = DEFAULT_STREAM,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", "--file", metavar="FILE", help="Write into a file, not to stdout.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="With --output: go on where a subscriber that was killed stopped.")
    ] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many messages.")] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="End when the stream does.")] = False,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print messages as lines, or write them into a file. A file that `framelane publish --file` sends ends the command
    when it is there, with exit code 0 if it is whole."""
    if output is None:
        if resume:
            raise typer.BadParameter("--resume needs --output")
        with connect(directory, "subscribe") as client:
            _print_messages(client.add_subscription(channel, stream), count, until_end, timeout)
        return
    if count is not None:
        raise typer.BadParameter("--count is for standard output; a file ends with its stream")
    _receive(directory, channel, stream, output, resume, until_end, timeout, as_json)


def _print_messages(subscription: Subscription, count: int | None, until_end: bool, timeout_s: float | None) -> None:
    out = sys.stdout.buffer
    left = sys.maxsize if count is None else count
    presence = _Presence(subscription, timeout_s)
    idle = Idle()
    while left > 0:
        batch = subscription.poll_batch(min(left, _LIMIT))
        for message in batch:
            out.write(message)
            out.write(b"\n")
        if batch:
            out.flush()
            presence.note(batch.header(-1).image)
            batch.release()
            left -= len(batch)
            idle.reset()
            continue
        # Without --until-end it waits for the next publication, once there was one.
        if (until_end or left == (count or sys.maxsize)) and presence.has_ended() and until_end:
            return
        idle.wait()
    _let_sender_know(subscription)


class _Presence:
    """Watches the images of a subscription come and go."""

    def __init__(self, subscription: Subscription, timeout_s: float | None, session_id: int | None = None) -> None:
        self._subscription = subscription
        self._timeout_s = timeout_s
        self._session_id = session_id
        self._image: Image | None = None
        self._absent_since: float | None = time.monotonic()

    def note(self, image: Image) -> None:
        """Something came from an image: its session is the one that counts."""
        self._image = image
        self._session_id = image.session_id
        self._absent_since = None

    def has_ended(self) -> bool:
        """Did the stream end? Ask when there was nothing to poll.

        An image that went away before the end of its stream may come back: its driver lost sight of it.

        :raises _Absent: if there has been none for too long.
        """
        for image in self._subscription.images:
            if self._session_id in (None, image.session_id):
                self._image = image
                self._absent_since = None
                return False
        gone = self._image
        if gone is not None and (gone.is_end_of_stream or gone.is_publication_revoked):
            return True
        limit_s = _RESUME_TIMEOUT_S if gone is not None and self._timeout_s is None else self._timeout_s
        if self._absent_since is None:
            self._absent_since = time.monotonic()
        if limit_s is not None and time.monotonic() - self._absent_since > limit_s:
            session = "" if self._session_id is None else f" with session {self._session_id}"
            raise _Absent(
                f"{self._subscription.channel} stream {self._subscription.stream_id}: "
                f"no publication{session} within {limit_s:g} s"
            )
        return False


class _Absent(FramelaneError):
    """Nobody publishes."""


def _receive(
    directory: Path | None,
    channel: str,
    stream: int,
    output: Path,
    resume: bool,
    until_end: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    writer = FileWriter(output, resume=resume)
    reception = _Reception(writer)
    try:
        session = None if writer.point is None else writer.point.session_id
        if session is not None and timeout_s is None:
            timeout_s = _RESUME_TIMEOUT_S
        # First of all: the position of the subscriber that was killed holds the stream only for a while.
        with connect(directory, "subscribe") as client, make_progress() as progress:
            subscription = client.add_subscription(channel, stream)
            task = progress.add_task(output.name, total=None)
            writer.prepare(lambda done, total: progress.update(task, completed=done, total=total))
            presence = _Presence(subscription, timeout_s, session)
            try:
                reception.run(subscription, presence, until_end, progress, task)
            except _Absent as error:
                if writer.point is None:
                    raise
                reception.why = str(error)
            _let_sender_know(subscription)
    finally:
        writer.close()
    _report(writer, reception, as_json=as_json)


class _Reception:
    """Writes a stream into a file.

    :ivar why: it stopped early; ``None`` if it did not.
    """

    def __init__(self, writer: FileWriter) -> None:
        self._writer = writer
        self._began: float | None = None
        self._ended = 0.0
        self.why: str | None = None

    @property
    def seconds(self) -> float:
        """From the first byte to the last."""
        return 0.0 if self._began is None else self._ended - self._began

    def run(
        self, subscription: Subscription, presence: _Presence, until_end: bool, progress: Progress, task: TaskID
    ) -> None:
        """Write until the file is complete or the stream ends."""
        writer = self._writer
        idle = Idle()
        while not writer.is_complete:
            batch = subscription.poll_batch(_LIMIT, assemble=False)
            if batch and writer.take(batch):
                idle.reset()
                self._ended = time.monotonic()
                self._began = self._began or self._ended
                point = writer.point
                assert point is not None and writer.image is not None
                presence.note(writer.image)
                total = point.length if point.length >= 0 else None
                progress.update(task, completed=point.offset, total=total)
                continue
            is_file = writer.point is not None and writer.point.is_file
            if (writer.point is None or is_file or until_end) and presence.has_ended():
                if is_file:
                    self.why = "the stream ended before the file was whole"
                if is_file or until_end:
                    return
            idle.wait()


def _let_sender_know(subscription: Subscription) -> None:
    """Stay while there are images, but not for long: the receiver still has to report what was consumed."""
    deadline = time.monotonic() + _FAREWELL_S
    while subscription.images and time.monotonic() < deadline:
        time.sleep(0.002)


def _report(writer: FileWriter, reception: _Reception, *, as_json: bool) -> None:
    elapsed, why = reception.seconds, reception.why
    point = writer.point
    missing = writer.missing_ranges() if point is not None and (point.is_file or why) else []
    # A file says itself which bytes it lacks; of other streams only the positions are known.
    gaps = point.gaps if point is not None and not point.is_file else []
    is_whole = not missing and not gaps and why is None and writer.is_intact is not False
    if as_json:
        summary: dict[str, Any] = {
            "output": str(writer.output),
            "name": point.name if point else "",
            "session_id": point.session_id if point else None,
            "position": point.position if point else None,
            "bytes": point.offset if point else 0,
            "length": point.length if point and point.length >= 0 else None,
            "seconds": elapsed,
            "resumed": writer.is_resumed,
            "complete": writer.is_complete,
            "sha256_matches": writer.is_intact,
            "missing": missing,
            "missing_positions": gaps,
            "error": why,
        }
        print_json(summary)
    else:
        console = stderr_console()
        if point is not None:
            console.print(
                f"received {point.offset} bytes in {elapsed:.2f} s into {writer.output}"
                + (", SHA-256 matches" if writer.is_intact else "")
            )
        if why is not None:
            console.print(why)
        for begin, end in missing:
            last = "the end" if end < 0 else f"{end - 1} ({end - begin} bytes)"
            console.print(f"missing: byte {begin} to {last}")
        for begin, end in gaps:
            console.print(f"missing: stream positions {begin} to {end - 1}")
        if writer.is_intact is False:
            console.print("the SHA-256 does not match: the file is damaged")
    if not is_whole:
        raise typer.Exit(1)
