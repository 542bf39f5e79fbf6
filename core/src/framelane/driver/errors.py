"""Errors of commands, and where errors are recorded (shm 6.1, 8.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from framelane.channel import ChannelError
from framelane.driver.log import errors_logger, logger
from framelane.errors import FramelaneError, NativeError
from framelane.protocol.error_codes import ErrorCode
from framelane.shm.error_log import ErrorLog
from framelane.shm.system_counters import SystemCounter

if TYPE_CHECKING:
    from framelane.driver.clock import Clock
    from framelane.driver.counters import Counters
    from framelane.protocol.events import PublicationError

__all__ = ["CommandError", "ErrorRecorder", "error_code", "logger"]

_NO_SPACE = 28


class CommandError(FramelaneError):
    """A command cannot be carried out; the client is told code and text."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def error_code(error: BaseException) -> ErrorCode:
    """Return what clients are told for an exception (shm 8.5)."""
    if isinstance(error, CommandError | ChannelError):
        return ErrorCode(error.code)
    if isinstance(error, NativeError) and error.code == _NO_SPACE:
        return ErrorCode.STORAGE_SPACE
    if isinstance(error, OSError) and error.errno == _NO_SPACE:
        return ErrorCode.STORAGE_SPACE
    return ErrorCode.GENERIC_ERROR


class ErrorRecorder:
    """Records errors in the error log, counts them in system counter 15, and logs each. Control thread."""

    def __init__(self, log: ErrorLog, counters: Counters, clock: Clock) -> None:
        self._log = log
        self._counters = counters
        self._clock = clock

    def record(self, code: int, text: str) -> None:
        """Record one error. A full error log does not keep it from the driver's own log."""
        name = ErrorCode(code).name.lower().replace("_", " ") if code in set(ErrorCode) else "error"
        fits = self._log.record(code, f"({code}) {name}\n{text}", now_ms=self._clock.epoch_ms()) is not None
        self._counters.count(SystemCounter.ERRORS)
        errors_logger.warning("error", code=int(code), text=text, error_log_full=not fits)

    def record_publication_error(self, error: PublicationError, source: str) -> None:
        """Record what clients are told about a publication's stream (shm 8.4.12)."""
        self.record(
            error.error_code if error.error_code in set(ErrorCode) else ErrorCode.GENERIC_ERROR,
            f"publication error: registrationId={error.registration_id} sessionId={error.session_id} "
            f"streamId={error.stream_id} receiverId={error.receiver_id} groupTag={error.group_tag} source={source} "
            f"code={error.error_code}: {error.error_message}",
        )

    def note(self, text: str) -> None:
        """Record what an operator should know and is no error: in the error log, not counted."""
        self._log.record(0, text, now_ms=self._clock.epoch_ms())
        errors_logger.warning("note", text=text)

    def log_unexpected(self, error: BaseException, what: str) -> None:
        """Log an exception that no rule foresees with its traceback."""
        if not isinstance(error, FramelaneError | OSError):
            logger.error("unexpected error", what=what, exc_info=error)

    def record_exception(self, error: BaseException, what: str) -> None:
        """Record an exception that no client waits for."""
        self.log_unexpected(error, what)
        self.record(error_code(error), f"{what}: {str(error) or type(error).__name__}")
