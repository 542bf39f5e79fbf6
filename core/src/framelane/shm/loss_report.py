"""The loss report (shm 6.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framelane._native import ffi, lib
from framelane.shm.handle import Handle, check

__all__ = ["LOSS_REPORT_FILE", "LossEntry", "LossReport", "read_losses"]

LOSS_REPORT_FILE = "loss-report.dat"


@dataclass(frozen=True)
class LossEntry:
    """What an image lost."""

    observation_count: int
    total_bytes_lost: int
    first_observation_ms: int
    last_observation_ms: int
    session_id: int
    stream_id: int
    channel: str
    source: str


class LossReport(Handle):
    """The driver's loss report, a file of its own. Records are made by one thread and updated by the images' agents."""

    def __init__(self, path: Path, length: int, *, page_size: int = 4096) -> None:
        """Create the file.

        :param length: bytes, rounded up to pages.
        :raises NativeError: if it exists or there is no room.
        """
        self._file = ffi.new("fl_mapped_file_t *")
        check(lib.fl_mapped_file_create(self._file, bytes(path), -(-length // page_size) * page_size, False))
        super().__init__()
        self._report = ffi.new("fl_loss_report_t *")
        lib.fl_loss_report_init(self._report, self._file.address, self._file.length)

    def _release(self) -> None:
        lib.fl_mapped_file_close(self._file)

    def create(
        self, *, bytes_lost: int, now_ms: int, session_id: int, stream_id: int, channel: str, source: str
    ) -> Any | None:
        """Append the record of an image's first gap.

        :returns: ``fl_loss_record_t *`` for the image's agent; ``None`` if the report is full.
        """
        self.require_open()
        ch, src = (text.encode("ascii", "surrogateescape") for text in (channel, source))
        record = lib.fl_loss_report_create(
            self._report, bytes_lost, now_ms, session_id, stream_id, ch, len(ch), src, len(src)
        )
        return None if record == ffi.NULL else record


def read_losses(path: Path) -> Iterator[LossEntry]:
    """Walk the records of a loss report.

    :raises NativeError: if the file cannot be mapped.
    """
    file = ffi.new("fl_mapped_file_t *")
    check(lib.fl_mapped_file_open(file, bytes(path), False))
    try:
        entry = ffi.new("fl_loss_entry_t *")
        offset = 0
        while offset := lib.fl_loss_report_read(file.address, file.length, offset, entry):
            channel, source = (
                bytes(ffi.buffer(text, length)).decode("ascii", "surrogateescape")
                for text, length in ((entry.channel, entry.channel_length), (entry.source, entry.source_length))
            )
            yield LossEntry(
                entry.observation_count,
                entry.total_bytes_lost,
                entry.first_observation_ms,
                entry.last_observation_ms,
                entry.session_id,
                entry.stream_id,
                channel,
                source.rstrip(" "),
            )
    finally:
        lib.fl_mapped_file_close(file)
