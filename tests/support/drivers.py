"""Drivers as processes of their own."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from framelane.errors import FramelaneError
from framelane.shm.cnc import CNC_FILE, CncFile
from support.processes import Process, Processes, wait_until

__all__ = ["DriverProcess", "start_driver"]

_BASE = {
    "AERON_THREADING_MODE": "SHARED",
    "AERON_SHARED_IDLE_STRATEGY": "backoff",
    "AERON_TERM_BUFFER_SPARSE_FILE": "1",
    "AERON_TERM_BUFFER_LENGTH": "4m",
    "AERON_IPC_TERM_BUFFER_LENGTH": "4m",
    "AERON_DIR_DELETE_ON_SHUTDOWN": "1",
    # A process that waits for its processor is not dead; tests of these timeouts set them.
    "AERON_CLIENT_LIVENESS_TIMEOUT": "60s",
    "AERON_PUBLICATION_UNBLOCK_TIMEOUT": "65s",
}


class DriverProcess:
    """A running driver.

    :ivar cnc: mapped for reading counters and errors.
    """

    def __init__(self, process: Process, directory: Path) -> None:
        self.process = process
        self.directory = directory
        wait_until(self._is_ready, f"{process.name} ready", 60)
        self.cnc = CncFile.map(directory / CNC_FILE, writable=False)
        self.cnc.find_sections()
        self._counters = self.cnc.counters()

    def _is_ready(self) -> bool:
        assert self.process.is_running, f"{self.process.name} ended; its output:\n{self.process.output}"
        try:
            with CncFile.map(self.directory / CNC_FILE, writable=False) as cnc:
                return cnc.version != 0
        except FramelaneError:
            return False

    def stop(self) -> None:
        """Let it end in order."""
        self.process.kill(signal.SIGTERM)
        self.process.succeed(60)

    def count(self, counter_id: int) -> int:
        """Return a counter's value; system counters are their own ids."""
        return self._counters.value(counter_id)

    def drops(self) -> dict[str, int]:
        """Return the datagrams that were dropped, by reason."""
        return {c.label: c.value for c in self._counters if c.label.startswith("dropped-") and c.value}

    def labels(self) -> list[str]:
        return [counter.label for counter in self._counters]

    def errors(self) -> list[str]:
        """Return the texts of the error log."""
        return [error.text for error in self.cnc.errors()]


def start_driver(
    processes: Processes,
    directory: Path,
    *,
    name: str = "driver",
    namespace: str | None = None,
    settings: Mapping[str, str] | None = None,
    program: Path | Sequence[str] | None = None,
) -> DriverProcess:
    """Start a driver on a directory and wait until it serves clients.

    :param program: with its arguments, if it has any; ``None``: ours, ``framelaned``.
    :param settings: names of the environment, ``AERON_*`` and ``FRAMELANE_*``.
    """
    if program is None:
        program = Path(sys.executable).with_name("framelaned")
    command = [program] if isinstance(program, Path) else program
    environment = _BASE | {"AERON_DIR": str(directory)} | dict(settings or {})
    return DriverProcess(processes.start(name, command, namespace=namespace, environment=environment), directory)
