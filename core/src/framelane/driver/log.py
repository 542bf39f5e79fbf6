"""The driver's log: an event and its fields, through :mod:`logging`, for whatever listens there."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

__all__ = ["DRIVER", "ERRORS", "Log", "errors_logger", "logger", "show_warnings"]

#: Name of the log of the driver's life and surroundings.
DRIVER = "framelane.driver"
#: Name of the log of what the error log records too; a client can write there at its own pace.
ERRORS = "framelane.driver.errors"

logging.getLogger("framelane").addHandler(logging.NullHandler())  # quiet, until somebody listens


class Log:
    """Writes events as lines of ``event key=value``. Who wants them apart finds ``event`` and ``fields`` in the record.

    ``exc_info`` is an exception whose traceback follows; every other keyword is a field.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def _write(self, level: int, event: str, exc_info: BaseException | None, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            text = " ".join([event, *(f"{name}={value!r}" for name, value in fields.items())])
            self._logger.log(level, "%s", text, exc_info=exc_info, extra={"event": event, "fields": fields})

    def info(self, event: str, /, *, exc_info: BaseException | None = None, **fields: object) -> None:
        """Write at this level."""
        self._write(logging.INFO, event, exc_info, fields)

    def warning(self, event: str, /, *, exc_info: BaseException | None = None, **fields: object) -> None:
        """Write at this level."""
        self._write(logging.WARNING, event, exc_info, fields)

    def error(self, event: str, /, *, exc_info: BaseException | None = None, **fields: object) -> None:
        """Write at this level."""
        self._write(logging.ERROR, event, exc_info, fields)


class _StandardError(logging.StreamHandler[TextIO]):
    """Standard error as it is at the moment: a line that shows progress there stands in for it while it does."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def show_warnings(program: str) -> None:
    """Write warnings to standard error from now on, each a line that begins with the program's name.

    What concerns one client is left out: that is in the error log of the driver directory.
    """
    handler = _StandardError()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter(f"{program}: %(levelname)s: %(message)s"))
    handler.addFilter(lambda record: record.name != ERRORS)
    logging.getLogger(DRIVER).addHandler(handler)


logger = Log(DRIVER)
errors_logger = Log(ERRORS)
