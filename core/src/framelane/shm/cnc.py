"""The command and control file: creating it, attaching to it, and whether its driver lives (shm 1.5, 2)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from framelane._native import ffi, lib
from framelane.errors import FramelaneError, NativeError
from framelane.shm.broadcast import BroadcastReceiver, BroadcastTransmitter
from framelane.shm.counters import CountersManager, CountersReader
from framelane.shm.error_log import ErrorEntry, ErrorLog, read_errors
from framelane.shm.handle import Handle, check
from framelane.shm.ring import ToDriverRing

__all__ = [
    "CNC_FILE",
    "CNC_VERSION",
    "CONTROL_PROTOCOL_VERSION",
    "Activity",
    "Clock",
    "CncFile",
    "CncParams",
    "DriverNotActive",
    "attach",
    "probe_activity",
    "semantic_version",
    "version_text",
]

CNC_FILE = "cnc.dat"
RING_TRAILER_LENGTH = 768
BROADCAST_TRAILER_LENGTH = 128
HEARTBEAT_CLOSED = -1


def semantic_version(major: int, minor: int, patch: int) -> int:
    """Return a version as one integer (shm 2.3)."""
    return major << 16 | minor << 8 | patch


def version_text(version: int) -> str:
    """Return a semantic version integer as text."""
    return f"{version >> 16}.{version >> 8 & 0xFF}.{version & 0xFF}"


CNC_VERSION = semantic_version(0, 2, 0)
CONTROL_PROTOCOL_VERSION = semantic_version(1, 0, 0)


@dataclass(frozen=True)
class Clock:
    """What waiting needs; tests pass their own."""

    epoch_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    sleep: Callable[[float], None] = time.sleep


class DriverNotActive(FramelaneError):
    """No driver serves the directory."""


@dataclass(frozen=True)
class CncParams:
    """Lengths and facts of a new file. Section lengths include their trailers."""

    start_timestamp_ms: int
    pid: int
    to_driver_buffer_length: int = 1024 * 1024 + RING_TRAILER_LENGTH
    to_clients_buffer_length: int = 1024 * 1024 + BROADCAST_TRAILER_LENGTH
    counters_values_buffer_length: int = 8 * 1024 * 1024
    error_log_buffer_length: int = 4 * 1024 * 1024
    client_liveness_timeout_ns: int = 10_000_000_000
    file_page_size: int = 4096


class CncFile(Handle):
    """A mapped file. What is made from it (ring, broadcast, counters, error log) is usable while it is open."""

    def __init__(self, path: Path, cnc: Any) -> None:
        self.path = path
        self.native = cnc  #: ``fl_cnc_t *``
        super().__init__()

    @classmethod
    def create(cls, path: Path, params: CncParams) -> Self:
        """Create the file; clients wait until :meth:`ready`.

        :raises NativeError: ``FL_ENOSPC`` without room, ``FL_EEXIST``, ``FL_EINVAL`` for lengths out of range.
        """
        cnc = ffi.new("fl_cnc_t *")
        native = ffi.new(
            "fl_cnc_params_t *",
            {
                "to_driver_buffer_length": params.to_driver_buffer_length,
                "to_clients_buffer_length": params.to_clients_buffer_length,
                "counters_values_buffer_length": params.counters_values_buffer_length,
                "error_log_buffer_length": params.error_log_buffer_length,
                "client_liveness_timeout_ns": params.client_liveness_timeout_ns,
                "start_timestamp_ms": params.start_timestamp_ms,
                "pid": params.pid,
                "file_page_size": params.file_page_size,
            },
        )
        check(lib.fl_cnc_create(cnc, bytes(path), native))
        return cls(path, cnc)

    @classmethod
    def map(cls, path: Path, *, writable: bool = True) -> Self:
        """Map an existing file without looking at it; :meth:`check_version` and :meth:`find_sections` come next.

        :raises NativeError: ``FL_ENOENT``; ``FL_EAGAIN`` or, if empty, ``FL_EINVAL`` while it is being made.
        """
        cnc = ffi.new("fl_cnc_t *")
        check(lib.fl_cnc_map(cnc, bytes(path), writable))
        return cls(path, cnc)

    def _release(self) -> None:
        lib.fl_cnc_close(self.native)

    def ready(self) -> None:
        """Let clients in: everything they need is written."""
        self.require_open()
        lib.fl_cnc_ready(self.native)

    @property
    def version(self) -> int:
        """0 until the driver is ready."""
        self.require_open()
        return int(lib.fl_cnc_version(self.native))

    def check_version(self) -> None:
        """:raises FramelaneError: if the major version is not ours (shm 2.3)."""
        version = self.version
        if version >> 16 != CNC_VERSION >> 16:
            raise FramelaneError(
                f"{self.path}: CnC version {version_text(version)}, but this framelane speaks "
                f"{version_text(CNC_VERSION)}; use the release that matches the driver"
            )

    def find_sections(self) -> None:
        """Check the five lengths; needed once before the sections of a mapped file are used.

        :raises NativeError: ``FL_EAGAIN`` if the file does not cover them, ``FL_EINVAL`` if they are impossible.
        """
        self.require_open()
        check(lib.fl_cnc_sections(self.native))

    @property
    def metadata(self) -> Any:
        """``fl_cnc_metadata_t *``; constant once the version is set."""
        self.require_open()
        return self.native.metadata

    @property
    def length(self) -> int:
        """Bytes of the file."""
        return int(self.native.file.length)

    def _section(self, name: str) -> tuple[Any, int]:
        self.require_open()
        address = getattr(self.native, name)
        if address == ffi.NULL:
            raise FramelaneError(f"{self.path}: the sections were not checked; call find_sections first")
        return address, int(getattr(self.native, f"{name}_length"))

    def to_driver(self) -> ToDriverRing:
        """Return the ring of commands."""
        return ToDriverRing(self, *self._section("to_driver"))

    def transmitter(self) -> BroadcastTransmitter:
        """Return the driver's end of the broadcast of events."""
        return BroadcastTransmitter(self, *self._section("to_clients"))

    def receiver(self) -> BroadcastReceiver:
        """Return a client's end of the broadcast of events."""
        return BroadcastReceiver(self, *self._section("to_clients"))

    def counters(self) -> CountersReader:
        """Return all counters, for reading."""
        return CountersReader(self, *self._section("counters_metadata"), *self._section("counters_values"))

    def counters_manager(self, *, cool_down_ms: int = 1000) -> CountersManager:
        """Return the driver's allocator of counters; once a file."""
        return CountersManager(
            self, *self._section("counters_metadata"), *self._section("counters_values"), cool_down_ms=cool_down_ms
        )

    def error_log(self) -> ErrorLog:
        """Return the driver's error log; once a file."""
        return ErrorLog(self, *self._section("error_log"))

    def errors(self, *, since_ms: int = 0) -> list[ErrorEntry]:
        """Return the distinct errors that were last seen at or after a time."""
        return list(read_errors(self, *self._section("error_log"), since_ms=since_ms))


class Activity(NamedTuple):
    """The outcome of the active-driver test."""

    is_active: bool
    note: str  #: what was found, for the log


def probe_activity(cnc: CncFile, driver_timeout_ms: int, clock: Clock | None = None) -> Activity:
    """Test whether a driver serves a mapped file (shm 1.5). Waits for its version at most the timeout."""
    clock = clock or Clock()
    began_ms = clock.epoch_ms()
    while cnc.version == 0:
        if clock.epoch_ms() - began_ms > driver_timeout_ms:
            return Activity(False, f"{cnc.path} was created but not initialised within {driver_timeout_ms} ms")
        clock.sleep(0.001)
    try:
        cnc.check_version()
        cnc.find_sections()
        heartbeat_ms = cnc.to_driver().heartbeat_ms()
    except FramelaneError as error:
        return Activity(False, str(error))
    if heartbeat_ms == HEARTBEAT_CLOSED:
        return Activity(False, f"the driver of {cnc.path} closed it")
    age_ms = clock.epoch_ms() - heartbeat_ms
    return Activity(age_ms <= driver_timeout_ms, f"the heartbeat in {cnc.path} is {age_ms} ms old")


def _try_attach(path: Path, writable: bool) -> CncFile | str:
    """Map and check a file once. Returns it, or why it is not ready.

    :raises FramelaneError: for what waiting does not cure.
    """
    try:
        cnc = CncFile.map(path, writable=writable)
    except NativeError as error:
        if error.code in (lib.FL_ENOENT, lib.FL_EAGAIN, lib.FL_EINVAL):
            return str(error)
        raise
    try:
        if cnc.version == 0:
            reason = f"{path} has no version yet"
        else:
            cnc.check_version()
            cnc.find_sections()
            if cnc.to_driver().heartbeat_ms() != 0:
                return cnc
            reason = f"{path} has no heartbeat yet"
    except NativeError as error:
        if error.code != lib.FL_EAGAIN:
            cnc.close()
            raise
        reason = str(error)
    except FramelaneError:
        cnc.close()
        raise
    cnc.close()
    return reason


def attach(
    directory: Path, *, driver_timeout_ms: int = 10_000, writable: bool = True, clock: Clock | None = None
) -> CncFile:
    """Attach to the driver of a directory as a client does (shm 2.5), waiting for it at most the timeout.

    :raises DriverNotActive: if none is there, or its heartbeat is too old, when the time is up.
    :raises FramelaneError: if the file is of another version or corrupt.
    """
    clock = clock or Clock()
    path = directory / CNC_FILE
    deadline_ms = clock.epoch_ms() + driver_timeout_ms
    while True:
        found = _try_attach(path, writable)
        pause = 0.001 if path.exists() else 0.016
        if isinstance(found, CncFile):
            heartbeat_ms = found.to_driver().heartbeat_ms()
            age_ms = clock.epoch_ms() - heartbeat_ms
            if age_ms <= driver_timeout_ms and heartbeat_ms != HEARTBEAT_CLOSED:
                return found
            found.close()
            found = f"the heartbeat in {path} is {age_ms} ms old" if heartbeat_ms > 0 else f"{path} was closed"
            pause = 0.1
        if clock.epoch_ms() > deadline_ms:
            raise DriverNotActive(
                f"no driver serves {directory} within {driver_timeout_ms} ms: {found}; start one there, or set "
                "AERON_DIR to the directory that it uses"
            )
        clock.sleep(pause)
