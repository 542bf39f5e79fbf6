"""The distinct error log (shm 6.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from framelane._native import ffi, lib
from framelane.errors import NativeError
from framelane.shm.handle import Handle, check, raise_native

__all__ = ["ErrorEntry", "ErrorLog", "format_errors", "read_errors"]


@dataclass(frozen=True)
class ErrorEntry:
    """A distinct error."""

    count: int
    first_ms: int  #: epoch ms of the first observation
    last_ms: int
    text: str


class ErrorLog(Handle):
    """The driver's error log. One thread."""

    def __init__(self, memory: Handle, address: Any, length: int) -> None:
        """Begin an error log in a zeroed section."""
        self.memory = memory
        self._log = lib.fl_error_log_new(address, length)
        if self._log == ffi.NULL:
            raise_native(lib.FL_ENOMEM)
        super().__init__()

    def _release(self) -> None:
        lib.fl_error_log_free(self._log)

    def record(self, code: int, text: str, *, now_ms: int) -> bool | None:
        """Record one observation.

        :returns: whether the error is new; ``None`` if the log is full, and the caller shows the text elsewhere.
        """
        self.require_open()
        self.memory.require_open()
        encoded = text.encode(errors="surrogateescape")
        try:
            return bool(check(lib.fl_error_log_record(self._log, code, encoded, len(encoded), now_ms)))
        except NativeError as error:
            if error.code == lib.FL_ENOSPC:
                return None
            raise


def read_errors(memory: Handle, address: Any, length: int, *, since_ms: int = 0) -> Iterator[ErrorEntry]:
    """Walk the errors of a section whose last observation is not before ``since_ms``."""
    entry = ffi.new("fl_error_entry_t *")
    offset = 0
    while True:
        memory.require_open()
        offset = lib.fl_error_log_read(address, length, offset, entry)
        if offset == 0:
            return
        if entry.last_observation_ms >= since_ms:
            text = bytes(ffi.buffer(entry.text, entry.text_length)).decode(errors="replace")
            yield ErrorEntry(entry.observation_count, entry.first_observation_ms, entry.last_observation_ms, text)


def _timestamp(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000).astimezone().isoformat(sep=" ", timespec="milliseconds")


def format_errors(entries: Iterable[ErrorEntry], timestamp: Callable[[int], str] = _timestamp) -> str:
    """Return the errors as the stock error tool prints them."""
    entries = list(entries)
    blocks = [
        f"***\n{e.count} observations from {timestamp(e.first_ms)} to {timestamp(e.last_ms)} for:\n {e.text}\n"
        for e in entries
    ]
    return "".join(blocks) + f"\n{len(entries)} distinct errors observed.\n"
