"""Processes of a test: logs kept, waits bounded, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

__all__ = ["Process", "Processes", "processes_of_session", "wait_until"]

_Value = TypeVar("_Value")


def wait_until(condition: Callable[[], _Value], what: str = "the condition", timeout_s: float = 60.0) -> _Value:
    """Look until a condition holds, every millisecond at first and later every few; returns its value."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < timeout_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(min(0.001 + waited / 20, 0.02))
    return value


def processes_of_session(session: int) -> list[int]:
    """Return the processes of a session that are not zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


class Process:
    """A child with its output in a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._stream: IO[bytes] = log.open("wb")
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
        self.pid = self._popen.pid

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def wait(self, timeout_s: float = 60.0) -> int:
        """Return the exit status."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout_s} s; its output:\n{self.output}") from None

    def succeed(self, timeout_s: float = 60.0) -> str:
        """Wait for an exit with 0; returns the output."""
        status = self.wait(timeout_s)
        assert status == 0, f"{self.name} exited with {status}; its output:\n{self.output}"
        return self.output

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        """Wait until a text is in the output."""

        def is_there() -> bool:
            assert self.is_running or text in self.output, f"{self.name} ended; its output:\n{self.output}"
            return text in self.output

        wait_until(is_there, f"{text!r} in the output of {self.name}", timeout_s)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.is_running:
            self._popen.send_signal(number)

    def end(self) -> None:
        """Ask it to end, then make it end."""
        self.kill(signal.SIGTERM)
        try:
            self._popen.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            self._popen.wait()
        self._stream.close()


class Processes:
    """Starts processes and ends them all, the last one first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: list[Process] = []

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        namespace: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program, in a network namespace if one is given.

        :param environment: added to this process's own, from which the settings of drivers and clients are taken out.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AERON_", "FRAMELANE_"))}
        words = [str(word) for word in command]
        if namespace is not None:
            words = ["ip", "netns", "exec", namespace, *words]
        log = self._directory / f"{len(self._started):02}-{name}.log"
        process = Process(name, words, log, inherited | dict(environment or {}))
        self._started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._started):
            process.end()
            if error is not None and process.output:
                print(f"--- {process.name}\n{process.output}")
