"""Log buffer files: made, mapped and removed (shm 1.2, 9.12)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framelane.driver.counters import Counters
from framelane.driver.errors import ErrorRecorder
from framelane.driver.log import logger
from framelane.driver.model import DriverSettings
from framelane.driver.resources import Steps, slowly
from framelane.driver.socket_buffers import SocketBuffers
from framelane.protocol.error_codes import ErrorCode
from framelane.shm.directory import image_log_path, publication_log_path
from framelane.shm.log_buffer import LogBuffer, LogParams, check_storage, log_file_length
from framelane.shm.system_counters import SystemCounter

__all__ = ["LogFile", "Storage"]


@dataclass(eq=False)
class LogFile:
    """One mapped log buffer with its place."""

    buffer: LogBuffer
    path: Path
    length: int

    @property
    def native(self) -> Any:
        """``fl_log_t *``; stays where it is while agents hold it."""
        return self.buffer.native

    def set_revoked(self) -> None:
        """Mark the publication as revoked for those who read it (shm 7.2)."""
        self.buffer.metadata.is_publication_revoked = 1


class Storage:
    """The log buffers under one driver directory. Control thread, but for the slow part of making one."""

    def __init__(
        self,
        directory: Path,
        settings: DriverSettings,
        counters: Counters,
        errors: ErrorRecorder,
        buffers: SocketBuffers,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._counters = counters
        self._errors = errors
        self._lingering: list[Path] = []
        self.buffers = buffers

    def create_publication(self, params: LogParams) -> Steps[LogFile]:
        """Make the log of a publication.

        :raises CommandError: if there is no room for it.
        :raises NativeError: if the file cannot be made.
        """
        return self._create(publication_log_path(self._directory, params.correlation_id), params)

    def create_image(self, params: LogParams) -> Steps[LogFile]:
        """Make the log of an image; errors as above."""
        return self._create(image_log_path(self._directory, params.correlation_id), params)

    def _create(self, path: Path, params: LogParams) -> Steps[LogFile]:
        buffer, usable = yield from slowly(lambda: self._make(path, params))
        if usable is not None:
            self._errors.record(
                ErrorCode.STORAGE_SPACE,
                f"space is running low: threshold={self._settings.low_file_store_warning_threshold} "
                f"usable={usable} in {self._directory}",
            )
        self._counters.add_to(SystemCounter.BYTES_CURRENTLY_MAPPED, buffer.length)
        return LogFile(buffer, path, buffer.length)

    def _make(self, path: Path, params: LogParams) -> tuple[LogBuffer, int | None]:
        """Make a log on the helper thread; with it come the usable bytes if they are worth a warning."""
        usable = None
        if self._settings.perform_storage_checks:
            length = log_file_length(params.term_length, params.page_size)
            is_low, left = check_storage(self._directory, length, self._settings.low_file_store_warning_threshold)
            usable = left if is_low else None
        return LogBuffer.create(path, params), usable

    def remove(self, log: LogFile) -> None:
        """Unmap a log that nobody uses any more and remove its file; tried again later if that fails."""
        log.buffer.close()
        self._counters.add_to(SystemCounter.BYTES_CURRENTLY_MAPPED, -log.length)
        if not self._unlink(log.path):
            self._counters.count(SystemCounter.FREE_FAILS)
            self._lingering.append(log.path)

    def on_timer(self) -> None:
        """Try again to remove files, in turn, so that one that stays holds up no other."""
        limit = self._settings.driver_resource_free_limit
        tried, self._lingering = self._lingering[:limit], self._lingering[limit:]
        self._lingering += [path for path in tried if not self._unlink(path)]

    @staticmethod
    def _unlink(path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("log buffer not removed", path=str(path), error=str(error))
            return False
        return True
