"""Log buffers: creating and opening the files, and the arithmetic of positions (shm 7)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from framelane._native import ffi, lib
from framelane.shm.handle import Handle, check, raise_native

__all__ = [
    "LogBuffer",
    "LogParams",
    "LogType",
    "check_storage",
    "compute_position",
    "framed_length",
    "log_file_length",
    "max_message_length",
    "wrap_i32",
]


class LogType(enum.IntEnum):
    """Whose log a file is."""

    CONCURRENT = 0
    EXCLUSIVE = 1
    IMAGE = 2


@dataclass(frozen=True)
class LogParams:
    """The constant part of a log's metadata; names and meanings are those of shm 7.2."""

    type: LogType
    correlation_id: int
    session_id: int
    stream_id: int
    initial_term_id: int
    term_length: int
    mtu_length: int
    page_size: int = 4096
    starting_term_id: int | None = None  #: ``None``: the initial one
    starting_term_offset: int = 0
    publication_window_length: int = 0
    receiver_window_length: int = 0
    socket_sndbuf_length: int = 0
    os_default_socket_sndbuf_length: int = 0
    os_max_socket_sndbuf_length: int = 0
    socket_rcvbuf_length: int = 0
    os_default_socket_rcvbuf_length: int = 0
    os_max_socket_rcvbuf_length: int = 0
    max_resend: int = 0
    entity_tag: int = -1
    response_correlation_id: int = -1
    linger_timeout_ns: int = 0
    untethered_window_limit_timeout_ns: int = 0
    untethered_resting_timeout_ns: int = 0
    untethered_linger_timeout_ns: int = 0
    group: bool = False
    is_response: bool = False
    rejoin: bool = False
    reliable: bool = False
    sparse: bool = False
    signal_eos: bool = False
    spies_simulate_connection: bool = False
    tether: bool = False

    def native(self) -> Any:
        """Return ``fl_log_params_t *``. For images the fields that only publications have are 0."""
        params = ffi.new("fl_log_params_t *")
        for f in fields(self):
            value = getattr(self, f.name)
            setattr(params, f.name, self.initial_term_id if value is None else int(value))
        if self.type is LogType.IMAGE:
            params.entity_tag = 0
            params.response_correlation_id = 0
        return params


class LogBuffer(Handle):
    """A mapped log. The native struct stays where it is until :meth:`close`, which comes after its agent let go."""

    def __init__(self, log: Any) -> None:
        self.native = log  #: ``fl_log_t *``
        super().__init__()

    @classmethod
    def create(cls, path: Path, params: LogParams) -> Self:
        """Create the file; blocks while storage is allocated, so call it on the helper thread.

        :raises NativeError: ``FL_ENOSPC`` without room, ``FL_EINVAL`` for a parameter out of range.
        """
        return cls._new(lambda log: lib.fl_log_create(log, bytes(path), params.native()))

    @classmethod
    def open(cls, path: Path, *, writable: bool = True) -> Self:
        """Map a log of another process.

        :raises NativeError: if it is not there or not a log buffer.
        """
        return cls._new(lambda log: lib.fl_log_open(log, bytes(path), writable))

    @classmethod
    def _new(cls, fill: Any) -> Self:
        log = lib.fl_log_new()
        if log == ffi.NULL:
            raise_native(lib.FL_ENOMEM)
        result = fill(log)
        if result < 0:
            lib.fl_log_free(log)
        check(result)
        return cls(log)

    def _release(self) -> None:
        lib.fl_log_free(self.native)

    @property
    def metadata(self) -> Any:
        """``fl_log_metadata_t *``; plain reads, for tools and tests."""
        self.require_open()
        return self.native.metadata

    @property
    def length(self) -> int:
        """Bytes of the file."""
        self.require_open()
        return int(self.native.file.length)

    def term(self, partition: int) -> memoryview:
        """The bytes of a partition, valid until :meth:`close`."""
        self.require_open()
        return memoryview(ffi.buffer(self.native.terms[partition], self.native.term_length))


def log_file_length(term_length: int, page_size: int) -> int:
    """Return the bytes of a log file."""
    return int(lib.fl_log_file_length(term_length, page_size))


def check_storage(directory: Path, length: int, warning_threshold: int) -> tuple[bool, int]:
    """Check the file system of a directory before a log is made there (shm 9.12).

    A sparse log takes its storage only when it is written, and a full file system then kills the writer with SIGBUS, so
    this check is all that protects it. Other logs are allocated when they are made.

    :returns: whether usable space is at or below the threshold, and the usable bytes.
    :raises NativeError: ``FL_ENOSPC`` with the text of shm 9.12 if ``length`` bytes do not fit.
    """
    usable = ffi.new("int64_t *")
    is_low = check(lib.fl_storage_check(bytes(directory), length, warning_threshold, usable)) == 1
    return is_low, int(usable[0])


def wrap_i32(value: int) -> int:
    """Return a number as 32-bit arithmetic leaves it."""
    return (value + 2**31) % 2**32 - 2**31


def compute_position(term_id: int, term_offset: int, term_length: int, initial_term_id: int) -> int:
    """Return the position of an offset in a term (shm 7.1); negative for a term before the initial one."""
    return wrap_i32(term_id - initial_term_id) * term_length + term_offset


def max_message_length(term_length: int) -> int:
    """Return the longest message, bytes (shm 7.3)."""
    return min(term_length // 8, 16 * 1024 * 1024)


def framed_length(message_length: int, max_payload: int) -> int:
    """Return the bytes that a message takes in a term (shm 7.5).

    :param max_payload: of one frame: MTU less 32.
    """
    if message_length <= max_payload:
        return -(-(message_length + 32) // 32) * 32
    full, rest = divmod(message_length, max_payload)
    return full * (max_payload + 32) + (-(-(rest + 32) // 32) * 32 if rest else 0)
